"""Records of the stage `incidents`."""

from dataclasses import dataclass, field
from typing import Literal

from andon.scores import Harm

__all__ = ["Alert", "AlertsTaken", "Incident", "Severity", "State", "TimelineEvent"]

Severity = Literal["P1", "P2", "P3"]
State = Literal["open", "stabilised", "diagnosed", "recovered", "closed"]


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
    closed_us: int | None = None
    closed_why: str | None = None

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
