"""Records of the stage `incidents`."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from andon.scores import Harm
from andon.traffic.clock import minute_text

__all__ = [
    "Alert",
    "AlertsTaken",
    "Channel",
    "Delivery",
    "Ending",
    "ExitCriterion",
    "FailureType",
    "Incident",
    "Message",
    "Origin",
    "Outcome",
    "Overrule",
    "Reason",
    "Recovery",
    "Report",
    "Runbook",
    "RunbookEntry",
    "RunbookItem",
    "RunbookState",
    "Severity",
    "State",
    "Step",
    "TimelineEvent",
    "TimelineMark",
    "Tone",
]

Severity = Literal["P1", "P2", "P3"]
State = Literal["open", "stabilised", "diagnosed", "fixed", "recovered", "closed"]
FailureType = Literal[
    "retrieval regression",
    "prompt regression",
    "model drift",
    "config error",
    "infrastructure failure",
    "data quality regression",
]
Origin = Literal["signal", "report", "near miss"]
Ending = Literal["recovered", "false alarm", "duplicate", "retired"]
"""``retired``: what was harmed was taken out for good, and nothing comes that could show recovery."""
Reason = Literal["opened", "late", "worse", "still", "unsure", "acked", "closed"]
"""Why people are told; see `andon.incidents.notices`."""
Outcome = Literal["sending", "sent", "failed", "unknown", "quiet"]
Tone = Literal["urgent", "warning", "note", "over"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrule:
    """A person's word on what was suggested from the signals; both are kept, and the loop leaves the field alone after it."""

    field: Literal["impact", "severity", "failure"]
    suggested: str
    """What stood there before; empty where nothing was suggested."""
    chosen: str
    why: str
    by: str
    at_us: int
    latest: str = ""
    """What the signals suggest by now, with the reason; the loop keeps it up to date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One thing that went wrong for users, from the first signal to its close."""

    id: str
    title: str
    """One sentence: what is wrong, for whom, since when."""
    app: str
    environment: str
    state: State = "open"
    impact: Harm = "usefulness"
    """What users lose: the class of the incident."""
    impact_reason: str = ""
    severity: Severity = "P3"
    severity_reason: str = ""
    failure: FailureType | None = None
    """The failure type that the signals point to; None where they point to none."""
    failure_reason: str = ""
    overrules: tuple[Overrule, ...] = ()
    origin: Origin = "signal"
    scope: dict[str, str] = field(default_factory=dict)
    """Part of the traffic of the leading signal."""
    metric: str
    """Metric of the leading signal; empty for a report as long as no signal joined it."""
    lead: str
    """Id of the leading signal: the strongest of the worst class; empty as above."""
    signals: tuple[str, ...] = ()
    """Those of the first two days; `andon.incidents.run.signals_of` reads the later ones too."""
    onset_us: int
    onset_low_us: int
    onset_high_us: int
    """95 % interval of the onset, by the leading one of the signals that opened the incident."""
    alarmed_us: int
    """When the first signal was raised: the end of its window, by the clock of the traffic."""
    opened_us: int | None = None
    """When it stood in the ledger and people could be told, by the clock of the service; None in a replay and for a report."""
    last_signal_us: int
    """When the last signal that pages was raised."""
    visible_us: int | None = None
    """First visible to users: the first harmed answer, thumbs-down or report since the onset; None where none was found."""
    noticed_us: int | None = None
    """When the first person said anything: a report, an acknowledgement, a note."""
    noticed_by: str | None = None
    stabilised_us: int | None = None
    """Harm stopped, whatever the cause."""
    diagnosed_us: int | None = None
    """The cause is known."""
    fixed_us: int | None = None
    """The cause is gone."""
    recovered_us: int | None = None
    """All exit criteria were met; see `Recovery`."""
    closed_us: int | None = None
    closed_why: str | None = None
    closed_as: Ending | None = None
    duplicate_of: str | None = None
    acked_us: int | None = None
    """When somebody said that they are at it; nobody is reminded after that."""
    acked_by: str | None = None

    @property
    def lag_s(self) -> tuple[float, float, float]:
        """Detection lag in seconds: (best estimate, shortest, longest), from the onset's interval."""
        ends = (self.onset_us, self.onset_high_us, self.onset_low_us)
        best, low, high = (max(0.0, (self.alarmed_us - t) / 1e6) for t in ends)
        return best, low, high

    @property
    def what(self) -> str:
        """The title without when it began: for who reads that beside it, in a time zone of their own."""
        return self.title.removesuffix(f" since {minute_text(self.onset_us)} UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One entry of an incident's timeline, with two clocks."""

    id: str
    incident: str
    happened_us: int
    learned_us: int
    kind: str
    """``onset``, ``change``, ``lever``, ``signal``, ``alert``, ``feedback``, ``report``, ``told``, ``evaluation``, ``state`` or
    ``note``."""
    text: str
    by: str = "andon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that another monitoring system noticed; it stands beside incidents and opens none."""

    id: str
    """By the sender's fingerprint and the start: the same alert that fires again later is another one."""
    state: Literal["firing", "resolved"]
    title: str
    app: str | None = None
    """None where no label says whose alert it is."""
    environment: str | None = None
    severity: str = ""
    """The sender's word for it, e.g. ``critical``."""
    starts_us: int
    ends_us: int | None = None
    """None while it fires, and where the sender did not say."""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    link: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    """What was sent and has no field here, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsTaken:
    """What a body of alerts did."""

    fired: int = 0
    """Alerts that were not known before."""
    resolved: int = 0
    """Known or not, alerts that are over since this body."""
    known: int = 0
    """Alerts about which it said nothing new."""
    incidents: tuple[str, ...] = ()
    """Open incidents that have one of these alerts in their timeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What people are told, harmless for chat, mail and terminals."""

    title: str
    """The one sentence that is needed."""
    text: str
    """The rest as plain text."""
    markdown: str
    """The rest as Markdown."""
    tone: Tone
    about: str = ""
    """The same for all messages about one incident, or one pull, so that a receiver can keep them together."""
    id: str = ""
    """Another one for each message; the same when it is tried again."""
    reason: Reason | None = None
    """Why it is sent; None for a test, and where it is not about an incident (`event`)."""
    event: str = ""
    """What a message that is not about an incident tells of: ``lever.held``, ``.ending``, ``.ended``, ``.unreviewed``, ``.reviewed``,
    ``rollout.decided``, ``.ended``."""
    at_us: int = 0
    link: str = ""
    """The page of the incident; empty where Andon has no address."""
    details: dict[str, str] = field(default_factory=dict)
    """The facts one by one, for receivers that take data apart: ``incident``, ``severity``, ``class``, ``app``..."""


class Channel(Protocol):
    """Where people are told: a seam of one method.

    A channel whose receiver keeps a state of its own may say so by an attribute ``follows = True``: it is then told of
    acknowledgements, too.
    """

    @property
    def name(self) -> str:
        """How people recognise it; holds no secret, differs from the names of the other channels."""

    def send(self, message: Message) -> None:
        """Tell it; return when it has arrived.

        Raises:
            SeamError: it did not arrive; `retryable` is False where it may have, so that it must not be sent again.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one channel: written before it is sent, so that no other process or later start sends it again."""

    id: str
    """Incident, what is said and channel; a second try is a new version of the same record."""
    incident: str
    reason: Reason
    channel: str
    """Name of the channel, without its secrets."""
    severity: Severity
    """As it was told."""
    signal_us: int
    """Last signal of the incident when it was told."""
    at_us: int
    """When this attempt began."""
    attempt: int = 1
    state: Outcome = "sending"
    """``unknown``: it may have arrived. ``quiet``: a reminder was due, but harm was not seen any more."""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineMark:
    """A person's mark on an entry of a timeline; the entry itself is never changed."""

    id: str
    """The id of the entry."""
    incident: str
    mark: Literal["pinned", "hidden", "shown"]
    """``pinned``: always in the short form. ``hidden``: only where all is asked for. ``shown``: neither."""
    why: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A person says that an answer is wrong, or would have been; opens an incident or joins one."""

    id: str
    """``REP-`` and a digest of who said what of which interaction."""
    incident: str
    text: str
    app: str
    environment: str
    interaction_id: str | None = None
    near_miss: bool = False
    """Nobody was harmed, but only by luck: caught by a reviewer, a test, a user who knew better."""
    by: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitCriterion:
    """What must be measured before an incident is over."""

    id: str
    """``C1``, ``C2``... within the incident."""
    kind: Literal["metric", "probe", "check"]
    """``metric``: a chart stays inside its limits for the watch window. ``probe``: a share of probes passes. ``check``: a
    person looks, and says what was seen."""
    text: str
    """What must be true, in words."""
    monitor: str = ""
    """Chart of a ``metric`` criterion."""
    at_least: float | None = None
    """Pass rate of a ``probe`` criterion."""
    watch_us: int = 48 * 3_600_000_000
    """How long it must hold."""
    met: bool | None = None
    """None: not measured, or it cannot be told."""
    measured: str = ""
    """What was measured, in words, with its figures."""
    at_us: int | None = None
    """Since when it is met; else when it was looked at last."""
    by: str = "andon"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of letting the capability back in, and the check after which the next one may be taken."""

    id: str
    """``S1``, ``S2``... within the incident."""
    text: str
    check: str
    done_us: int | None = None
    seen: str = ""
    """What the check showed."""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """When an incident is over, and how what was switched off comes back."""

    id: str
    """The id of the incident."""
    criteria: tuple[ExitCriterion, ...] = ()
    dropped: tuple[ExitCriterion, ...] = ()
    """Criteria that a person took out: they are not suggested again, and their ids are not used again."""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookItem:
    """One thing to find out or to do."""

    id: str
    """Short name within the runbook, e.g. ``model-changes``."""
    phase: Literal["triage", "scope", "mitigate", "after"]
    text: str
    answer: str = ""
    """Which of Andon's answers gives it; empty: a person ticks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """What to do in which order: a file that a team can change."""

    name: str
    items: tuple[RunbookItem, ...]
    source: str = "built in"
    """The file that it was read from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookEntry:
    """An item of a runbook that was done or answered."""

    item: str
    text: str = ""
    """What was found, in a sentence."""
    found: Literal["yes", "no", "cannot tell", "done"] = "done"
    """Andon's answers are yes, no or cannot tell; people's are done."""
    link: str = ""
    """Where it can be seen: a path of the page, or a command."""
    by: str = "andon"
    at_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookState:
    """What has been done of the runbook of one incident."""

    id: str
    """The id of the incident."""
    runbook: Runbook
    """As it was when the incident opened: a changed file changes no past."""
    entries: tuple[RunbookEntry, ...] = ()
