"""What touches the store and the disk: read, decide with the pure functions of the stage, write."""

from andon.postmortems.run.actions import actions_of, overdue, tell_overdue
from andon.postmortems.run.documents import (
    copy_template,
    layout_of,
    layouts_beside,
    team_templates,
    with_template,
    write_documents,
)
from andon.postmortems.run.drafting import draft_postmortem
from andon.postmortems.run.github import issue_closed
from andon.postmortems.run.review import reviewed

__all__ = [
    "actions_of",
    "copy_template",
    "draft_postmortem",
    "issue_closed",
    "layout_of",
    "layouts_beside",
    "overdue",
    "reviewed",
    "team_templates",
    "tell_overdue",
    "with_template",
    "write_documents",
]
