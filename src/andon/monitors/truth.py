"""The true rate of harm, from few labels by people and a cheap score on all traffic.

In: how the score is spread over all traffic (by log bin and sampling weight), and the labelled interactions with their score.
Out: `Truth`: the rate with its interval, how it was made and why so, what more labels would bring and where they belong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from andon.stats.bins import bin_edges, bin_of
from andon.stats.labels import RateInterval, allocate, choose, labels_needed, ppi_rate, stratified_rate

__all__ = ["LEAST_LABELS", "GivenLabel", "ScoreCell", "ScoreSums", "Stratum", "Truth", "truth_of"]

Floats = NDArray[np.float64]

LEAST_LABELS = 10
"""With fewer labels nothing is said but that more are needed."""

CUTS = (0.2, 0.5)
"""Shares of the traffic, worst scores first, at which strata end: the worst fifth, up to the worse half, the rest."""

SECOND_STRATUM, THIRD_STRATUM = 20, 90
"""Labels from which on two and three strata are used: about thirty a stratum, where the traffic is halved."""

WISHED = 0.05
"""Half-width that labels are planned for where nothing is known yet and nothing was wished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCell:
    """Scored interactions of one sampling weight whose score lies in one log bin (`andon.stats.bin_of`)."""

    bin: int
    weight: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSums:
    """Scored interactions of one sampling weight: their number, the sum of their scores and of the squares."""

    weight: float
    n: int
    total: float
    squares: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenLabel:
    """One labelled interaction: what people say, and what the cheap score said."""

    harm: bool
    score: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """A part of the traffic with similar scores."""

    lowest: float
    highest: float
    """Ends of its scores, as log bins have them (2 % apart)."""
    share: float
    """Of the traffic, 0..1."""
    scored: int
    labels: int
    harmed: int
    next_labels: int
    """How many of the next labels belong here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What few labels and a cheap score say about the rate of harm."""

    interval: RateInterval | None
    """None: cannot be told; `reason` says why."""
    method: Literal["stratified", "ppi", "none"]
    reason: str
    labels: int
    scored: int
    stands_for: float
    """Interactions that the scored ones stand for."""
    strata: tuple[Stratum, ...]
    """The worst scores first."""
    wished: float
    needed: int | None
    """Labels in all for an interval of half-width `wished`; None where labelling everything would not do."""


def truth_of(
    cells: Sequence[ScoreCell],
    sums: Sequence[ScoreSums],
    labels: Sequence[GivenLabel],
    rng: np.random.Generator,
    *,
    worst: Literal["up", "down"],
    level: float = 0.95,
    half_width: float | None = None,
    plan: int = 100,
) -> Truth:
    """The rate of harm in the traffic, with its interval, from labels and the score's spread over all traffic.

    Strata are cut by the traffic, never by what the labels say: at the bin edges nearest to the worst fifth and to the worse
    half. A weighted row counts by its weight, and is as certain as the effective number of rows (Kish). Which estimate is
    used is the word of `andon.stats.labels.choose`.

    Args:
        cells: scored interactions (the labelled ones among them) by bin of the score and sampling weight.
        sums: the same interactions by sampling weight.
        labels: labelled interactions that have a score.
        rng: the seeded generator.
        worst: which scores are taken for bad: high ones (``up``) or low ones. A wrong guess costs width, not truth.
        level: of the interval.
        half_width: half-width that is wished; half of the present one unless given.
        plan: how many next labels to allocate.
    """
    whole = float(sum(c.n * c.weight for c in cells))
    scored = sum(c.n for c in cells)
    if scored == 0:
        reason = "no interaction has this score"
        return Truth(
            interval=None, method="none", reason=reason, labels=len(labels), scored=0, stands_for=0.0, strata=(),
            wished=half_width or WISHED, needed=None,
        )  # fmt: skip
    carrying = (
        len(labels) if len(labels) >= LEAST_LABELS else plan
    )  # with no estimate yet, strata are those of the plan
    cuts = _cuts(cells, 1 + (carrying >= SECOND_STRATUM) + (carrying >= THIRD_STRATUM), worst)
    traffic, given = _by_stratum(cells, labels, cuts)
    population = traffic[:, 1] / whole * (whole**2 / traffic[:, 2].sum())
    n = given[:, 1] ** 2 / np.maximum(given[:, 2], 1e-300)
    x = np.minimum(n * given[:, 3] / np.maximum(given[:, 1], 1e-300), n)
    interval, method, reason = _estimate(population, n, x, sums, labels, rng, level)
    wished = half_width or (WISHED if interval is None else interval.half_width / 2)
    planned = allocate(np.maximum(traffic[:, 0], n), n, x, plan)
    strata = _described(_ends(cells, cuts), traffic, given, planned)
    return Truth(
        interval=interval,
        method=method,
        reason=reason,
        labels=len(labels),
        scored=scored,
        stands_for=whole,
        strata=tuple(strata[::-1] if worst == "up" else strata),
        wished=wished,
        needed=labels_needed(population, n, x, wished, level),
    )


def _estimate(
    population: Floats,
    n: Floats,
    x: Floats,
    sums: Sequence[ScoreSums],
    labels: Sequence[GivenLabel],
    rng: np.random.Generator,
    level: float,
) -> tuple[RateInterval | None, Literal["stratified", "ppi", "none"], str]:
    if len(labels) < LEAST_LABELS:
        more = LEAST_LABELS - len(labels)
        return None, "none", f"{len(labels)} labels are too few; give at least {more} more, drawn at random"
    choice = choose(population, n, x)
    if choice.method == "ppi" and (found := _ppi(sums, labels, level)) is not None:
        return found, "ppi", choice.reason
    reason = choice.reason if choice.method == "stratified" else "nearly all scored interactions are labelled"
    return stratified_rate(population, n, x, rng, level), "stratified", reason


def _cuts(cells: Sequence[ScoreCell], most: int, worst: str) -> NDArray[np.int64]:
    """Bins at which strata begin, but the lowest: at most `most` strata, ends as near to `CUTS` as bins allow."""
    bins = sorted({c.bin for c in cells})
    weight = np.array([sum(c.n * c.weight for c in cells if c.bin == b) for b in bins])
    below = np.cumsum(weight)[:-1] / weight.sum()
    if len(below) == 0:
        return np.array([], dtype=np.int64)
    shares = [cut if worst == "down" else 1 - cut for cut in CUTS[: most - 1]]
    return np.unique([bins[int(np.argmin(np.abs(below - share))) + 1] for share in shares]).astype(np.int64)


def _by_stratum(
    cells: Sequence[ScoreCell], labels: Sequence[GivenLabel], cuts: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Rows, weight, squared weight (and of labels weighted harm and harm) by stratum, the lowest scores first."""
    traffic, given = np.zeros((len(cuts) + 1, 3)), np.zeros((len(cuts) + 1, 5))
    for c in cells:
        traffic[int(np.searchsorted(cuts, c.bin, side="right"))] += c.n * np.array([1.0, c.weight, c.weight**2])
    for label in labels:
        w, harm = label.weight, float(label.harm)
        at = int(np.searchsorted(cuts, bin_of(label.score), side="right"))
        given[at] += np.array([1.0, w, w * w, w * harm, harm])
    return traffic, given


def _described(
    ends: Sequence[tuple[float, float]], traffic: Floats, given: Floats, planned: NDArray[np.int64]
) -> list[Stratum]:
    whole = float(traffic[:, 1].sum())
    return [
        Stratum(
            lowest=low,
            highest=high,
            share=float(traffic[h, 1]) / whole,
            scored=int(traffic[h, 0]),
            labels=int(given[h, 0]),
            harmed=int(given[h, 4]),
            next_labels=int(planned[h]),
        )
        for h, (low, high) in enumerate(ends)
    ]


def _ends(cells: Sequence[ScoreCell], cuts: NDArray[np.int64]) -> list[tuple[float, float]]:
    bins = np.unique([c.bin for c in cells])
    place = np.searchsorted(cuts, bins, side="right")
    ends = [(int(bins[place == h].min()), int(bins[place == h].max())) for h in range(len(cuts) + 1)]
    return [(0.0 if low == 0 else bin_edges(low)[0], 0.0 if high == 0 else bin_edges(high)[1]) for low, high in ends]


def _ppi(sums: Sequence[ScoreSums], labels: Sequence[GivenLabel], level: float) -> RateInterval | None:
    """PPI++ with the score as it is; None where hardly anything is left without label."""
    weight = np.array([label.weight for label in labels])
    score = np.array([label.score for label in labels])
    # over all traffic less over what is labelled gives the mean and variance of what is not
    held = sum(s.n * s.weight for s in sums) - float(weight.sum())
    square = sum(s.n * s.weight**2 for s in sums) - float((weight**2).sum())
    if sum(s.n for s in sums) - len(labels) < 2 or held <= 0 or square <= 0:
        return None
    mean = (sum(s.total * s.weight for s in sums) - float(weight @ score)) / held
    variance = (sum(s.squares * s.weight for s in sums) - float(weight @ score**2)) / held - mean * mean
    truth = np.array([float(label.harm) for label in labels])
    return ppi_rate(
        truth, score, mean=mean, variance=max(variance, 0.0), scored=held**2 / square, weight=weight, level=level
    )
