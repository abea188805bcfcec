"""Records of the stage `investigations`: the four questions, answered with evidence."""

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Evidence", "Example", "Impact", "Investigation", "Part", "Suspect", "Twin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A figure, the question it answers, and the plan that gives the same figure again."""

    id: str
    """``E1``, ``E2``... within the investigation."""
    claim: str
    plan: dict[str, Any]
    """The plan as JSON (`andon.store.to_json`)."""
    figures: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """An answer to the same question from before the onset that was fine."""

    answer: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One failing interaction, copied out so that it outlives the table."""

    interaction_id: str
    at_us: int
    question: str
    answer: str | None
    value: float
    """The metric's value."""
    expected: str | None = None
    expected_from: str | None = None
    """``expected answer``, ``correction`` or ``passing twin``; never the failing answer itself."""
    twin: Twin | None = None
    confidence: float | None = None
    contexts: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    segments: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """One explanation with its probability, what speaks for it, what against, and what would disprove it."""

    id: str
    """Id of the change, or ``no own change: ...``."""
    title: str
    kind: str
    probability: float
    own: bool
    at_us: int | None = None
    supports: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    disproof: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Harm in one part of the traffic before and after the onset."""

    field: str
    value: str
    before_x: int
    before_n: int
    after_x: int
    after_n: int
    low: float
    high: float
    """95 % interval of the difference of the rates; (-1, 1) where one side has no traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """Who was hit since the onset."""

    n: int
    """Interactions in the affected part of the traffic."""
    harmed: int
    excess: float
    """Harmed interactions beyond what the baseline would have given."""
    lately: float | None = None
    """Rate of harm in the last tenth of the time since the onset; None when there was no traffic."""
    users: int | None
    """Distinct users among the harmed; None when traffic names no users."""
    sessions: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Investigation:
    """What is known about an incident at a time."""

    id: str
    """The id of the incident."""
    at_us: int
    """Data up to here were used."""
    examples: tuple[Example, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    verdict: Literal["systematic", "isolated", "undecided"] = "undecided"
    verdict_reason: str = ""
    parts: tuple[Part, ...] = ()
    impact: Impact
    first_alarms: tuple[tuple[str, int], ...] = ()
    """Which metric spoke first: (metric and direction, time of its first signal)."""
    gap: str = ""
    """The detection gap in one sentence."""
    evidence: tuple[Evidence, ...] = ()
