"""What the scores of one interaction say: which of them are bad, and from where on one is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from andon.scores.records import Scorer
from andon.scores.rows import EVALUATION, LABELS, failing

__all__ = ["Judged", "Measured", "judge", "measured_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a metric is, as far as a single value of it can be read."""

    metric: str
    kind: Literal["binary", "number"]
    bad: Literal["up", "down", "both", "unknown"]
    """Direction that harms; ``unknown`` of evaluations, of which nobody says it."""
    harm: str
    unit: str
    about: str
    version: str
    """Of the scorer that is installed; empty where people gave the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One value, and whether it is bad."""

    measured: Measured
    value: float
    cut: float | None
    """Of a number: the bound from which on it counts as harm; None where no chart has told one."""
    bad: bool | None
    """None where nobody can tell from this value alone."""


def measured_of(scorers: Sequence[Scorer]) -> dict[str, Measured]:
    """Every metric by its name: those of scorers, those that people give, and evaluations."""
    found = {
        s.name: Measured(
            metric=s.name, kind=s.kind, bad=s.bad, harm=s.harm, unit=s.unit, about=s.about, version=s.version
        )
        for s in scorers
    }
    for name, (_, bad, harm, about) in LABELS.items():
        kind: Literal["binary", "number"] = "number" if name == "rating" else "binary"
        way: Literal["up", "down"] = "up" if bad == "up" else "down"
        unit = "share" if name == "rating" else "rate"
        found[name] = Measured(metric=name, kind=kind, bad=way, harm=harm, unit=unit, about=about, version="")
    about = "A number that an evaluator of yours gave."
    unknown = Measured(metric=EVALUATION, kind="number", bad="unknown", harm="", unit="score", about=about, version="")
    return found | {EVALUATION: unknown}


def judge(
    values: Mapping[str, float], known: Mapping[str, Measured], cuts: Mapping[tuple[str, str], float]
) -> list[Judged]:
    """The scores of one interaction, bad ones first, then by name.

    Args:
        values: by metric; metrics that nobody knows any more are left out.
        known: what each metric is.
        cuts: bounds of numbers, by metric and direction.
    """
    found = [_judged(known[m], value, cuts) for m, value in values.items() if m in known]
    return sorted(found, key=lambda j: (j.bad is not True, j.bad is None, j.measured.metric))


def _judged(measured: Measured, value: float, cuts: Mapping[tuple[str, str], float]) -> Judged:
    if measured.bad not in ("up", "down"):
        return Judged(measured=measured, value=value, cut=None, bad=None)
    cut = cuts.get((measured.metric, measured.bad))
    if measured.kind == "number" and cut is None:
        return Judged(measured=measured, value=value, cut=None, bad=None)
    op, bound = failing(measured.kind, measured.bad, cut)
    bad = value >= bound if op == "ge" else value < bound
    return Judged(measured=measured, value=value, cut=cut if measured.kind == "number" else None, bad=bad)
