"""Records of the stage `rollouts`: what is compared, how users are split, and what the comparison allows."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Allocation", "Arm", "Decision", "Experiment", "Finding", "Guardrail", "Outcome"]

Outcome = Literal["promote", "hold", "roll back", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrail:
    """A metric that must not get worse by more than a margin, in all of the traffic or in one risk category."""

    metric: str
    margin: float
    """Largest acceptable increase of the rate of harm: any harm that is shown rolls back, unless it is surely smaller than this."""
    risk_category: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is to be learned about a version before it serves everybody: written down before anything is served."""

    id: str
    """``EXP-0001``."""
    kind: Literal["ab", "canary", "shadow"]
    """``ab``: does it improve a metric? ``canary``: does it harm? ``shadow``: the same, and no user is given its answers."""
    app: str
    environment: Literal["staging", "production"] = "production"
    lever: str | None
    """Whose versions are compared, and whose users Andon splits; None where `field` tells the versions apart."""
    field: str | None = None
    """Column of traffic (``prompt_version``, ``model``, ``arm`` ...) whose values are compared, where something else serves them: Andon
    reads and tells, and splits nothing."""
    control: str | None
    """Digest of the version in place, None is the lever's default; of a field its value."""
    treatment: str | None
    share: float | None
    """Share of the users (targeting keys) that get the treatment; None where nobody planned one, so the split is not checked."""
    hypothesis: str
    metric: str
    """The primary metric."""
    better: Literal["up", "down"]
    """Where the primary metric is to go."""
    effect: float
    """A/B: the smallest change that is worth having. Canary and shadow: the largest harm that is acceptable: any harm
    that is shown rolls back, unless it is surely smaller than this. Absolute."""
    guardrails: tuple[Guardrail, ...] = ()
    method: Literal["group sequential", "confidence sequence", "fixed"] = "group sequential"
    alpha: float = 0.05
    power: float = 0.8
    base: float
    """The primary metric as it is now: a rate, or a mean."""
    spread: float | None = None
    """Standard deviation of the primary metric where it is a number; None for a rate."""
    planned: tuple[int, int]
    """Users of control and treatment that the plan needs."""
    arrives: tuple[int, int] | None = None
    """Users of control and treatment that the plan expected to come; None of plans that do not say."""
    design_effect: float = 1.0
    """What the plan divided users by, as earlier traffic says it."""
    days: float
    """How long it runs at most."""
    on_harm: Literal["roll back", "tell"] = "roll back"
    """What is done by itself when harm is shown: the treatment is taken out, or people are told."""
    by: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """How the users of one lever are split between two versions while an experiment runs: one at a time.

    Of an experiment on a field, when it is read: no lever is split.
    """

    id: str
    """``<lever>:<environment>``, of a field ``<experiment>:<environment>``; the record's versions are the history."""
    experiment: str
    lever: str | None
    environment: Literal["staging", "production"]
    control: str | None
    """As in the experiment."""
    treatment: str | None
    share: float
    """Of the users whom Andon gives the treatment: none where no lever is split."""
    shadow: bool = False
    """Nobody is served the treatment, save who asks for the shadow."""
    salt: str
    from_us: int
    until_us: int
    """Nothing splits for ever: from then on everybody has the control."""
    by: str
    why: str
    ended_us: int | None = None
    ended_by: str | None = None
    ended_why: str | None = None

    @property
    def variants(self) -> tuple[str, str]:
        """Names of treatment and control in answers and in traffic: of this experiment alone."""
        return f"{self.experiment.lower()}-treatment", f"{self.experiment.lower()}-control"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What one arm of an experiment showed on one metric: sufficient statistics."""

    name: str
    n: int
    """Users, or interactions where users are not known."""
    events: int
    """Interactions that harm on this metric (a rate at its bad value, a number in the worst fifth of the control); of an A/B those
    at 1, and 0 where its metric is a mean."""
    interactions: int | None = None
    """Interactions behind it, where `n` counts users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What two arms show on one metric, in all traffic or in one risk category."""

    metric: str
    role: Literal["primary", "guardrail", "segment"]
    risk_category: str | None = None
    control: float | None
    """Mean or rate; None where nothing came in."""
    treatment: float | None
    effect: float | None
    """Treatment less control."""
    low: float | None
    high: float | None
    """Interval that holds at every look of the method."""
    verdict: Literal["better", "worse", "not worse", "undecided"]
    """``not worse``: by less than the margin."""
    text: str
    se: float | None = None
    """Standard error of the effect, if there were none; None where nothing varies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the comparison of two arms allows: one look of an experiment."""

    id: str
    at_us: int
    app: str
    metric: str
    control: Arm
    treatment: Arm
    outcome: Outcome
    reason: str
    effect: float | None = None
    """Harm of the treatment less harm of the control, as a difference of rates (of an A/B's primary metric, treatment less
    control)."""
    low: float | None = None
    high: float | None = None
    ratio_mismatch: float | None = None
    """p-value of the sample-ratio check against the planned allocation; small means that the split itself is broken."""
    experiment: str | None = None
    """None of records from before every comparison was an experiment."""
    look: int | None = None
    """1 for the first look."""
    fraction: float | None = None
    """Share of the planned information that was in."""
    more_days: float | None = None
    """Undecided: about so many days until it is decided, if all stays as it is and luck is good."""
    most_days: float | None = None
    """The same if luck is bad: with the effects a standard error worse than they are seen."""
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    """What must be known to read it: users in both arms, interactions without a user, noise that was taken out."""
