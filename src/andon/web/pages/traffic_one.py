"""One interaction as a story: who asked what, what was retrieved and done, what the answer was, how it was judged."""

from dataclasses import replace
from urllib.parse import quote, urlencode

from andon.golden import Failure, Label
from andon.golden.cases import failure_id
from andon.golden.run import capture_by_hand
from andon.incidents import Incident
from andon.incidents.records import Report
from andon.monitors import Signal
from andon.monitors.cuts import cuts_of
from andon.scores.judging import Judged, judge, measured_of
from andon.scores.run import installed_scorers
from andon.traffic import SEGMENTS, VERSIONS, Interaction
from andon.traffic.run import Story, interaction_story
from andon.web.asking import Ask, Done, Gone, Page
from andon.web.pages.traffic_shown import (
    FOLD,
    LENIENT,
    STRICTER,
    bad_name,
    clean,
    facts_of,
    feedback_table,
    grounded_parts,
    name_of,
    passages_table,
    scores_table,
    shown_value,
    story_markdown,
    tools_table,
    versions_of,
)
from andon.web.pages.traffic_steps import (
    error_of,
    failing_of,
    loose_calls,
    steps_of,
    steps_table,
    steps_text,
    took,
    tools_text,
)
from andon.web.routing import Pages

__all__ = ["judged_of", "link_of", "pages", "story_of"]

pages = Pages()
WHOLE = 1_000_000
"""Characters of one text that are shown at most, where all of it is asked for."""


def link_of(id: str, at_us: int | None = None) -> str:  # noqa: A002 - the field is called id
    """The address of an interaction; with its time it is found at once."""
    return f"/traffic/{quote(id, safe='')}" + (f"?at={at_us}" if at_us is not None else "")


def story_of(ask: Ask, id: str, at: str) -> Story:  # noqa: A002
    """The story of an interaction.

    Raises:
        Gone: there is none with this id.
    """
    at_us = int(at) if at.removeprefix("-").isdecimal() and at.isascii() and len(at) < 19 else None
    story = interaction_story(ask.warehouse, id, at_us=at_us)
    if story is None:
        raise Gone(
            f"There is no interaction {id[:200]!r}: it may be older than what is kept, may have been erased, or comes in a moment",
            "/traffic", "All traffic",
        )  # fmt: skip
    return story


def judged_of(ask: Ask, story: Story) -> list[Judged]:
    """The scores of an interaction, the bad ones first."""
    i = story.interaction
    part = {name: getattr(i, name) for name in (*SEGMENTS, *VERSIONS)}
    cuts = cuts_of(ask.ledger.all(Signal), i.app, i.environment, part)
    found = judge(story.scores, measured_of(installed_scorers()), cuts)
    if not any(j.measured.metric == LENIENT for j in found):
        return found
    found = [replace(j, bad=None) if j.measured.metric == STRICTER else j for j in found]
    return sorted(found, key=lambda j: (j.bad is not True, j.bad is None))


@pages.read("/traffic/{id:path}")
def one(ask: Ask, id: str) -> Page:  # noqa: A002
    """All that is known about one interaction, in the order in which it happened."""
    story = story_of(ask, id, ask.query.get("at", ""))
    i = story.interaction
    judged = judged_of(ask, story)
    steps = steps_of(story)
    tables = [
        scores_table(judged), feedback_table(story), steps_table(steps, story), passages_table(i), tools_table(i),
    ]  # fmt: skip
    known = ask.ledger.get(Failure, failure_id(i.app, i.query, i.answer)) if i.query else None
    whole = ask.query.get("whole", "")
    return Page(
        template="traffic/one.html",
        title=clean(i.query or i.prediction or i.id)[:70],
        tables=tables,
        markdown=lambda: story_markdown(story, judged, link_of(i.id, i.time_us)),
        context={
            "i": i, "story": story, "judged": judged, "head": _head(i, judged), "scores": tables[0], "feedback": tables[1],
            "steps": tables[2], "stepped": steps, "steps_text": steps_text(steps), "failing": failing_of(steps), "loose": loose_calls(i, steps), "error_of": error_of, "parts": grounded_parts(i, story.scores), "versions": versions_of(i), "facts": facts_of(i),
            "fold": WHOLE if whole == "all" else FOLD, "whole": whole, "limit": WHOLE, "link_of": link_of, "failure": known,
            "labelled": known is not None and any(x.verdict != "withdrawn" for x in ask.ledger.all(Label, f"{known.id}/")),
            "here": link_of(i.id), "took": took, "name_of": name_of,
            "bad_name": bad_name, "value_of": shown_value, "alike": _alike(i), "segments": [(s, v) for s in ("risk_category", "task", "segment") if (v := getattr(i, s))],
            "incidents": _reported(ask, i.id),
        },
    )  # fmt: skip


def _head(i: Interaction, judged: list[Judged]) -> str:
    """One sentence: how it went."""
    tools = f"; {text}" if (text := tools_text(i)) else ""
    time = "" if i.latency_s is None else f" {'after' if i.error else 'in'} {took(i.latency_s)}"
    bad = [j for j in judged if j.bad]
    if i.error:
        return f"{i.app} failed{time}: {i.error[:120]}"
    if not (i.answer or i.prediction or "").strip():
        return f"{i.app} gave no answer{time}{tools}"
    if bad:
        names = ", ".join(bad_name(j.measured) for j in bad[:3]) + (", …" if len(bad) > 3 else "")
        return f"{i.app} answered{time}, and {len(bad)} score{'s say' if len(bad) != 1 else ' says'} that it is bad: {names}{tools}"
    told = sum(j.bad is False for j in judged)
    return f"{i.app} answered{time}{tools}" + (
        f"; none of {told} scores says that it is bad" if told else "; nothing has judged it yet"
    )


def _reported(ask: Ask, id: str) -> list[tuple[Report, Incident]]:  # noqa: A002
    """What people reported about it, with the incident that came of it."""
    about = [r for r in ask.ledger.all(Report) if r.interaction_id == id]
    return [(r, i) for r in about[:5] if (i := ask.ledger.get(Incident, r.incident)) is not None]


def _alike(i: Interaction) -> list[tuple[str, str]]:
    """Searches for others like it."""
    where = {"app": i.app, "environment": i.environment}
    found = []
    for name, words in (
        ("user_id", "of this user"),
        ("session_id", "of this session"),
        ("model", "of this model"),
        ("prompt_version", "of this prompt"),
        ("risk_category", "of this risk"),
    ):
        value = getattr(i, name)
        if value:
            found.append((words, f"/traffic?{urlencode(where | {name: value})}"))
    if i.error:
        found.append(("that failed too", f"/traffic?{urlencode(where | {'error': 'yes'})}"))
    return found


@pages.act("/traffic/{id:path}/capture", role="reviewer")
def capture(ask: Ask, id: str) -> Done:  # noqa: A002
    """Capture it as a failure that waits for a label."""
    why = ask.given("why", "why it is a failure")
    story = story_of(ask, id, ask.form.get("at", ""))
    failure, new = capture_by_hand(
        ask.ledger, story.interaction, why, right=ask.maybe("right"), by=ask.by, now_us=ask.now_us
    )
    said = "Captured: it waits for a label here." if new else "It was captured before: this is what was said then."
    return Done(to=f"/labels/{quote(failure.id, safe='')}", said=said)
