"""What did we learn? A blameless draft from the record, as Markdown and as one self-contained page.

In: an incident, its investigation and timeline. Out: a `Postmortem` record and its documents. Always true: numbers are
computed, never typed; a sentence that states a figure points at its evidence; sections meant for people stay empty for
people; an action names the test that proves it.
"""

from andon.postmortems.draft import contributing_factors, propose_actions, summarise
from andon.postmortems.html import render_html
from andon.postmortems.markdown import render_markdown
from andon.postmortems.records import (
    ActionItem,
    Comment,
    ContributingFactor,
    Criterion,
    Nagged,
    Postmortem,
    Proof,
    Published,
    Review,
    SignOff,
    Written,
)

__all__ = [
    "ActionItem",
    "Comment",
    "ContributingFactor",
    "Criterion",
    "Nagged",
    "Postmortem",
    "Proof",
    "Published",
    "Review",
    "SignOff",
    "Written",
    "contributing_factors",
    "propose_actions",
    "render_html",
    "render_markdown",
    "summarise",
]
