"""Records of the stage `investigations`: the four questions, answered with evidence."""

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Analysis",
    "Confidence",
    "Evidence",
    "Example",
    "Gap",
    "HarmedSlice",
    "Impact",
    "Investigation",
    "Part",
    "Proposal",
    "Suspect",
    "SuspectTest",
    "Twin",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A figure, the question it answers, and the plan that gives the same figure again."""

    id: str
    """``E1``, ``E2``... within the investigation."""
    claim: str
    plan: dict[str, Any]
    """The plan as JSON (`andon.store.to_json`)."""
    figures: dict[str, float]
    rows: tuple[dict[str, Any], ...] = ()
    """What the plan answered, copied out: the tables forget, and later rows come in."""
    upto: int | None = None
    """The newest commit of the table when it was asked: rows of later commits are left out when it is asked again. None: not
    known."""
    digest: str = ""
    """SHA-256 of plan, figures, rows and newest commit in their canonical form."""


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
class SuspectTest:
    """What would disprove a suspect, and what came of it."""

    name: str
    """``same hour``, ``other versions``, ``dose``, ``tool traces``, ``retrieval logs``, ``policy decisions``, ``same questions``,
    ``old target``."""
    text: str
    """What was compared and what it showed, with figures."""
    result: Literal["supports", "against", "cannot tell"]
    evidence: tuple[str, ...] = ()
    """Ids of the figures: totals by version of a contrast of windows, counts by hour of a dose that speaks for or against."""


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
    tests: tuple[SuspectTest, ...] = ()
    """The tests that Andon ran."""


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
class HarmedSlice:
    """A part of the traffic by up to three attributes, and how much of the harm it carries."""

    where: dict[str, str]
    before_x: int
    before_n: int
    after_x: int
    after_n: int
    outside_x: int
    """Harm since the onset outside of it."""
    outside_n: int
    score: float
    """Log-likelihood ratio of "only this part rose" against "all rose alike", shrunken; larger is surer."""
    share: float
    """Share of the excess harm that lies in it, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """Failing answers by how sure the system was of them: errors of a sure system and of an unsure one differ in cause."""

    high: int
    """Failing answers with a confidence in the upper half of what passing answers have."""
    low: int
    unknown: int
    """Failing answers without a confidence."""
    cut: float | None = None
    """The median confidence of passing answers; None where none is known."""
    text: str = ""
    """What the split points to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A monitor that would have seen the incident sooner, and the command that adds it."""

    title: str
    metric: str
    fired_us: int
    """When it would have fired on this incident's traffic."""
    sooner_s: float
    """By how much sooner than the first alarm."""
    false_pages: float
    """False pages a month at this setting, by its guarantee or by the replay of the time before."""
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Why it was not seen sooner."""

    kind: Literal["signal missing", "evaluation lag", "no process control", "none"]
    text: str
    """The gap in one sentence."""
    proposals: tuple[Proposal, ...] = ()
    """Measured by replay, the best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """A look at one usual mechanism: silent regression, tool cascade, corpus drift, refusal spike."""

    name: str
    found: Literal["yes", "no", "cannot tell"]
    text: str
    """What was found, with figures, in a few sentences."""
    rows: tuple[tuple[str, ...], ...] = ()
    """A table; its first row is the head."""
    evidence: tuple[str, ...] = ()


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
    again: int | None = None
    """Users who were harmed more than once; None when traffic names no users."""
    most: int | None = None
    """Harmed interactions of the user who was hit most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Investigation:
    """What is known about an incident at a time."""

    id: str
    """The id of the incident."""
    at_us: int
    """Data up to here were used."""
    examples: tuple[Example, ...] = ()
    passing: tuple[Example, ...] = ()
    """Passing interactions of the same time and kind, to be held beside the failing ones."""
    confidence: Confidence = Confidence(high=0, low=0, unknown=0)
    suspects: tuple[Suspect, ...] = ()
    verdict: Literal["systematic", "isolated", "undecided"] = "undecided"
    verdict_reason: str = ""
    parts: tuple[Part, ...] = ()
    slices: tuple[HarmedSlice, ...] = ()
    """The parts of up to three attributes that carry the harm, the surest first."""
    impact: Impact
    first_alarms: tuple[tuple[str, int], ...] = ()
    """Which metric spoke first: (metric and direction, time of its first signal)."""
    gap: Gap = Gap(kind="none", text="")
    analyses: tuple[Analysis, ...] = ()
    evidence: tuple[Evidence, ...] = ()
