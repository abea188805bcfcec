"""Records of the stage `postmortems`."""

from dataclasses import dataclass
from typing import Literal

from andon.incidents import Incident, TimelineEvent
from andon.investigations import Investigation
from andon.monitors import Point

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
    "Status",
    "Written",
]

Status = Literal["draft", "in review", "published", "amended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributingFactor:
    """Something that made the incident possible, larger or longer; never a person, never the only one."""

    area: Literal["observability", "testing", "change control", "dependency", "data", "incentives"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A test that Andon can run, which proves an action done."""

    kind: Literal["case passes", "monitor fires", "gate blocks", "lever exists"]
    """``case passes``: golden cases pass `times` runs in a row. ``monitor fires``: a monitor signals when the incident's
    traffic is replayed. ``gate blocks``: the gate fails on the version of the incident. ``lever exists``: with a safe value."""
    subject: str
    """Ids of cases, id of the monitor, the bad version, name of the lever."""
    times: int = 1

    @property
    def text(self) -> str:
        """The criterion as people read it."""
        runs = "one run" if self.times == 1 else f"{self.times} runs in a row"
        of = self.subject.removeprefix("cases of ")
        several = of == self.subject and len(self.subject.replace(",", " ").split()) > 1
        cases = f"all golden cases of {of} pass" if of != self.subject else f"golden case {self.subject} passes"
        return {
            "case passes": f"{f'golden cases {self.subject} pass' if several else cases} {runs}",
            "monitor fires": f"{self.subject} signals when the incident's traffic is replayed",
            "gate blocks": f"the gate fails on {self.subject}",
            "lever exists": f"lever {self.subject} has a safe value and was pulled once in a drill",
        }[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came of testing a criterion."""

    met: bool | None
    """None: it cannot be told, and the text says why."""
    text: str
    at_us: int
    by: str = "andon"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionItem:
    """What shall be done, and the test that proves it done."""

    id: str
    """``INC-0001-A1``."""
    incident: str
    kind: Literal["prevent", "detect", "mitigate", "process"]
    title: str
    criterion: Criterion | None = None
    """None as long as nobody has chosen one; such an item cannot be closed."""
    due_us: int
    owner: str | None = None
    state: Literal["proposed", "open", "done", "dropped"] = "proposed"
    """A proposal is nobody's commitment until somebody takes it."""
    proof: Proof | None = None
    """The latest one; only one that is met closes the item."""
    claimed: str = ""
    """Who says elsewhere that it is done (a closed ticket): proof is asked for, nothing is closed."""
    link: str = ""
    """Where the team tracks it, e.g. a GitHub issue."""
    why: str = ""
    """Why it was dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A section that a person wrote."""

    section: str
    text: str
    by: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A remark on a draft; open until somebody resolves it."""

    id: str
    text: str
    by: str
    at_us: int
    resolved_by: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOff:
    """Somebody read it and stands by it."""

    by: str
    at_us: int
    digest: str
    """SHA-256 of the Markdown that was read: a sign-off is of that text, and lapses when it changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What people wrote, said and signed; the computed part is redrafted beside it."""

    id: str
    """The id of the incident."""
    template: str = "llm"
    status: Status = "draft"
    sections: tuple[Written, ...] = ()
    factors: tuple[ContributingFactor, ...] = ()
    """Factors that people added."""
    comments: tuple[Comment, ...] = ()
    signoffs: tuple[SignOff, ...] = ()


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
    review: Review = Review(id="")
    """The human part, as it was when this was put together."""
    objective: str = ""
    """The objective that the leading signal broke; empty where it left the limits of a learned baseline."""
    before_alarm: tuple[int, int] | None = None
    """Harmed interactions, and all, between the onset and the first alarm, as that signal counted them; None: not known."""
    published_us: int | None = None
    """When this was published or amended; None: it was not, or it was before this was kept."""
    pinned: tuple[str, ...] = ()
    """Ids of the entries of the timeline that people pinned; hidden ones are not in the timeline."""
    layout: str = ""
    """Source of the team's own template, as it was; empty for a built-in one."""

    @property
    def status(self) -> Status:
        """Where the review stands."""
        return self.review.status


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A postmortem as it was published; each amendment is another version of the record, and all stay."""

    id: str
    """The id of the incident."""
    postmortem: Postmortem
    at_us: int
    by: str
    why: str = ""
    """Why it was amended; empty for the first."""
    digest: str = ""
    """SHA-256 of the Markdown that was signed (without status and time of the draft): tells whether a template changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nagged:
    """That an owner was told of overdue actions: once a week is enough."""

    id: str
    """The owner."""
    at_us: int
    items: tuple[str, ...] = ()
    """Ids of the actions."""
    again_us: int = 0
    """When it is told again, where no channel took it; else 0."""
