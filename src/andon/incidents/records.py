"""Records of the stage `incidents`."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from andon.scores import Harm

__all__ = [
    "Alert",
    "AlertsTaken",
    "Channel",
    "Delivery",
    "Incident",
    "Message",
    "Outcome",
    "Reason",
    "Severity",
    "State",
    "TimelineEvent",
    "Tone",
]

Severity = Literal["P1", "P2", "P3"]
State = Literal["open", "stabilised", "diagnosed", "recovered", "closed"]
Reason = Literal["opened", "late", "worse", "still", "unsure", "closed"]
"""Why people are told; see `andon.incidents.notices`."""
Outcome = Literal["sending", "sent", "failed", "unknown", "quiet"]
Tone = Literal["urgent", "warning", "note", "over"]


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
    scope: dict[str, str] = field(default_factory=dict)
    """Part of the traffic of the leading signal."""
    metric: str
    """Metric of the leading signal."""
    lead: str
    """Id of the leading signal: the strongest of the worst class."""
    signals: tuple[str, ...] = ()
    onset_us: int
    onset_low_us: int
    onset_high_us: int
    """95 % interval of the onset, by the leading one of the signals that opened the incident."""
    alarmed_us: int
    """When the first signal was raised."""
    last_signal_us: int
    """When the last signal that pages was raised."""
    closed_us: int | None = None
    closed_why: str | None = None
    acked_us: int | None = None
    """When somebody said that they are at it; nobody is reminded after that."""
    acked_by: str | None = None

    @property
    def lag_s(self) -> tuple[float, float, float]:
        """Detection lag in seconds: (best estimate, shortest, longest), from the onset's interval."""
        ends = (self.onset_us, self.onset_high_us, self.onset_low_us)
        best, low, high = (max(0.0, (self.alarmed_us - t) / 1e6) for t in ends)
        return best, low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One entry of an incident's timeline, with two clocks."""

    id: str
    incident: str
    happened_us: int
    learned_us: int
    kind: str
    """``onset``, ``change``, ``signal``, ``alert``, ``state``, ``lever``, ``note``."""
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
    """The same for all messages about one incident, so that a receiver can keep them together."""


class Channel(Protocol):
    """Where people are told: a seam of one method."""

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
