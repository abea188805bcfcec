"""Records of the stage `postmortems`."""

from dataclasses import dataclass
from typing import Literal

from andon.incidents import Incident, TimelineEvent
from andon.investigations import Investigation
from andon.monitors import Point

__all__ = ["ActionItem", "ContributingFactor", "Postmortem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributingFactor:
    """Something that made the incident possible, larger or longer; never a person, never the only one."""

    area: Literal["observability", "testing", "change control", "dependency", "data", "incentives"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionItem:
    """What shall be done, and the test that proves it done."""

    id: str
    incident: str
    kind: Literal["prevent", "detect", "mitigate", "process"]
    title: str
    criterion: str
    """What Andon or a person can run to see that it is done."""
    due_us: int
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmortem:
    """Everything a postmortem shows, frozen, so that the document can be made again to the letter."""

    id: str
    """The id of the incident."""
    at_us: int
    incident: Incident
    investigation: Investigation
    timeline: tuple[TimelineEvent, ...] = ()
    points: tuple[Point, ...] = ()
    """The control chart of the leading signal."""
    chart_title: str = ""
    summary: tuple[str, ...] = ()
    """Paragraphs; every figure in them is computed."""
    factors: tuple[ContributingFactor, ...] = ()
    actions: tuple[ActionItem, ...] = ()
    status: Literal["draft", "published"] = "draft"
