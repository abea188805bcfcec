"""Records of the stage `rollouts`: two arms compared, and the decision."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Arm", "Decision"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What one arm of an experiment showed on one metric: sufficient statistics."""

    name: str
    n: int
    events: int
    """Interactions that harm on this metric (a rate at its bad value, a number in the worst fifth of the control)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the comparison of two arms allows."""

    id: str
    at_us: int
    app: str
    metric: str
    control: Arm
    treatment: Arm
    outcome: Literal["promote", "hold", "roll back"]
    reason: str
    effect: float | None = None
    """Harm of the treatment less harm of the control, as a difference of rates."""
    low: float | None = None
    high: float | None = None
    ratio_mismatch: float | None = None
    """p-value of the sample-ratio check against the planned allocation; small means that the split itself is broken."""
