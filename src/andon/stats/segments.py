"""Where did months of history change? The most probable cuts of one series, each with an interval.

Every stretch between two cuts has its own level, trend, memory and noise: the regression of a value on 1, time and the value
before it. That is what keeps drifts, seasons and slow wandering from being called changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChangePoint", "find_changes"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SHORTEST = 6
"""Values in the shortest stretch: as many as it has parameters (three coefficients, a variance), and two to spare."""

PLACES = 1_000
"""Cuts of a longer series are searched for on a grid of about this many places, and then placed exactly."""

PERIODS = (7, 12, 24, 168)
"""Seasons that are looked for: days of a week, months of a year, hours of a day and of a week."""

CYCLES = 4
SEASON_STRENGTH = 0.1
"""A season must be seen this many times, and each half of the cycles must foretell this share of the other half."""

AROUND = 3
SPIKE = 3.0
"""A value further than this many robust standard deviations from the median of itself and so many values on each side is
pulled back to that distance (Hampel's filter)."""

JUMP = 5.0
"""Steps from value to value beyond this many robust standard deviations are cut to it."""

ROUNDING = 1e-9
"""What varies by less than this share of the series varies by rounding only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """One change point of a series."""

    at: int
    """Index of the first value after the change."""
    low: int
    high: int
    """95 % interval of `at`, both ends included."""
    log10_odds: float
    """Evidence: decimal logarithm of the odds that the series changed here against that it did not, given its neighbours."""
    before: float
    after: float
    """Median of the values from the change before up to this one, and from this one up to the next."""


def find_changes(values: Sequence[float] | Floats, *, level: float = 0.95) -> list[ChangePoint]:
    r"""The change points of one series, in order; an empty list when one stretch explains it.

    The series is cut where ``sum over stretches of C(stretch) + 2 ln n`` per cut is least (optimal partitioning), with

        C = (m - 2) ln((RSS + s^2) / (m - 2)) + 4 ln m

    for a stretch of m values of the series scaled to variance 1: RSS of the least-squares regression of its values on 1, time
    and the value before (its first value, which has none, takes itself); s^2 half the square of a typical step of the series,
    one observation of prior knowledge of the noise. C is -2 log marginal likelihood: four parameters under unit information
    (4 ln m); the three values that the coefficients use up are foretold by nothing, so they have the law of the whole series
    (variance 1, ln 1 = 0), which leaves m - 3, and one. 2 ln n is a uniform prior over the places of a cut, so no penalty is
    tuned. Values that repeat are taken apart by noise of variance ``f = v z^2 / (1 - z^2)``, added to RSS and to the value
    before in expectation (none is drawn): z is the share of steps that are 0, v half the mean square of a step. So m equal values
    among others gain at most ``m ln((v + f) / f) = -2 ln z^m``, as much as their ties are unlikely. The interval is the hull of the highest-posterior-density set of the places between the neighbouring cuts,
    ``P(k) ~ exp(-(C(a, k) + C(k, b)) / 2)``; where values are missing before its first place, it begins after the last known one.

    Before, a season of 7, 12, 24 or 168 values is taken out where it repeats itself (profile of medians around a moving mean;
    each half of the cycles is foretold by the other, by a tenth better than by one median for all), spikes beyond 3 robust
    standard deviations from the median of seven values are pulled back to that, and steps beyond 5 are cut to that.

    Args:
        values: the series, evenly spaced, shape (n,), any unit; NaN is a missing value. Multiplying it or adding to it
            changes nothing.
        level: posterior mass of the intervals.

    Raises:
        ValueError: fewer than 12 values are there, one is infinite, or the shape is another.

    Assumes equal spacing and noise that is roughly normal once outliers are cut. Of spikes, and of stretches shorter than 6
    values, it says nothing. Where nearly all values are 0 only large shifts are found: from 1 % to 20 % of 300 values each in a
    third of series; count over longer stretches first. Cost: O(n^2) up to 1,000 values, then linear in n.

    Use instead: the charts of the loop to be told of a change while it happens; `locate_onset` for counts with a known baseline.

    Source: Jackson et al., IEEE Signal Processing Letters 12 (2005), 105-108 (optimal partitioning); Fearnhead,
    Statistics and Computing 16 (2006), 203-213 (posterior of places from marginal likelihoods); Davis, Lee &
    Rodriguez-Yam, JASA 101 (2006), 223-239 (piecewise autoregressions); Kass & Wasserman, JASA 90 (1995), 928-934 (unit
    information); Hampel, JASA 69 (1974), 383-393. Where we differ: trend in every stretch; ties; seasons and outliers go first.
    """
    series, place = _known(values)
    known = series[place]
    adjusted = _without_outliers(_without_season(series)[place])
    if adjusted.std() <= ROUNDING * known.std():
        return []
    cost = _Cost(adjusted, _ties(known))
    cuts = _best_cuts(cost)
    found = []
    for k in range(len(cuts)):
        start = cuts[k - 1] if k else 0
        end = cuts[k + 1] if k + 1 < len(cuts) else len(known)
        cuts[k], low, high, odds = _place(cost, start, end, level)
        found.append((int(place[low - 1]) + 1, int(place[high]), odds))
    levels = [float(np.median(part)) for part in np.split(known, cuts)]
    each = zip(cuts, found, levels[:-1], levels[1:], strict=True)
    return [
        ChangePoint(at=int(place[c]), low=f[0], high=f[1], log10_odds=f[2], before=b, after=a) for c, f, b, a in each
    ]


def _known(values: Sequence[float] | Floats) -> tuple[Floats, Ints]:
    """The series, and the places of the values that are there."""
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise ValueError(f"values must be one series, shape (n,); got shape {series.shape}")
    if np.isinf(series).any():
        raise ValueError(f"value {int(np.flatnonzero(np.isinf(series))[0])} is infinite; a missing value is NaN")
    place = np.flatnonzero(~np.isnan(series))
    if len(place) < 2 * SHORTEST:
        raise ValueError(f"{len(place)} values cannot show a change; at least {2 * SHORTEST} are needed")
    return series, place


def _ties(known: Floats) -> tuple[float, Bools]:
    """Share of the steps of a series that are 0, and which steps lie between two plateaus: moves of level, not noise."""
    moved = np.diff(known) != 0
    ends = np.concatenate([[0], np.flatnonzero(moved) + 1, [len(known)]])
    plateau = np.diff(ends) >= SHORTEST
    stays = np.zeros(len(moved), dtype=np.bool_)
    stays[moved] = plateau[:-1] & plateau[1:]
    return float(1 - moved.mean()), stays


class _Cost:
    """C(a, b), -2 log marginal likelihood of values a to b - 1 as one stretch, from cumulative sums.

    Without the noise f for ties a run of zeros among counts would seem to have no noise at all, and be infinitely sure. A step
    between two plateaus of 6 equal values or more is what is looked for, so it is not counted in v.
    """

    def __init__(self, y: Floats, ties: tuple[float, Bools]) -> None:
        y = (y - y.mean()) / y.std()
        steps = np.diff(y)
        self.n = len(y)
        inside, first = (
            np.column_stack([np.ones(self.n), np.linspace(-1, 1, self.n), before, y])
            for before in (np.append(0.0, y[:-1]), y)
        )
        self._sums = np.concatenate([np.zeros((1, 4, 4)), np.cumsum(inside[:, :, None] * inside[:, None, :], axis=0)])
        self._first = first[:, :, None] * first[:, None, :]
        self._noise = max(float(np.pi / 2 * np.mean(np.abs(steps - np.median(steps))) ** 2 / 2), ROUNDING)
        share, stays = ties
        self._dither = float(np.mean(np.where(stays, 0.0, steps) ** 2) / 2) * share**2 / (1 - share**2)

    def __call__(self, start: Ints | int, end: Ints | int) -> Floats:
        """C of stretches, shape of `start` and `end` together."""
        sums = self._first[start] + self._sums[end] - self._sums[np.add(start, 1)]
        size = np.subtract(end, start) * 1.0
        dither = size * self._dither
        gram = sums[..., :3, :3] + 1e-11 * self.n * np.eye(3)
        gram[..., 2, 2] += dither
        moments = sums[..., :3, 3]
        beta = np.linalg.solve(gram, moments[..., None])[..., 0]
        rss = np.maximum(sums[..., 3, 3] + dither - (beta * moments).sum(axis=-1), 0.0)
        return np.asarray((size - 2) * np.log((rss + self._noise) / (size - 2)) + 4 * np.log(size))


def _best_cuts(cost: _Cost) -> list[int]:
    """The cuts of the cheapest partition, among places of a grid."""
    step = -(-cost.n // PLACES)
    grid = np.append(np.arange(0, cost.n - SHORTEST + 1, step), cost.n)
    penalty = 2 * np.log(cost.n)
    total, back = np.full(len(grid), np.inf), np.zeros(len(grid), dtype=np.int64)
    total[0] = -penalty
    for k in range(1, len(grid)):
        starts = np.flatnonzero(np.isfinite(total[:k]) & (grid[:k] <= grid[k] - SHORTEST))
        if len(starts):
            through = total[starts] + cost(grid[starts], int(grid[k])) + penalty
            best = int(through.argmin())
            total[k], back[k] = through[best], starts[best]
    cuts, k = [], int(back[-1])
    while k > 0:
        cuts.append(int(grid[k]))
        k = int(back[k])
    return cuts[::-1]


def _place(cost: _Cost, start: int, end: int, level: float) -> tuple[int, int, int, float]:
    """The most probable place of one cut between its neighbours, its interval, and the evidence that there is a cut."""
    places = np.arange(start + SHORTEST, end - SHORTEST + 1)
    evidence = -(cost(start, places) + cost(places, end)) / 2
    top = float(evidence.max())
    mass = np.exp(evidence - top)
    odds = top + float(np.log(mass.sum())) - float(np.log(cost.n)) + float(cost(start, end)) / 2
    mass /= mass.sum()
    order = np.argsort(-mass, kind="stable")
    kept = places[order[: int(np.searchsorted(np.cumsum(mass[order]), level)) + 1]]
    return int(places[mass.argmax()]), int(kept.min()), int(kept.max()), odds / float(np.log(10))


def _without_season(series: Floats) -> Floats:
    """The series less the strongest of the seasons that foretell themselves, or as it was; NaN stay.

    What a season foretells is held against what one median for all phases foretells: around the mean of skewed values the
    median is not 0, which is no season.
    """
    strongest, adjusted = SEASON_STRENGTH, series
    for period in PERIODS:
        if len(series) < CYCLES * period:
            continue
        around = series - _moving_mean(series, period)
        phase, odd = np.arange(len(series)) % period, np.arange(len(series)) // period % 2
        halves = np.array([[_median(around[(phase == p) & (odd == h)]) for p in range(period)] for h in (0, 1)])
        seen = ~np.isnan(around)
        left = np.abs(around - halves[1 - odd, phase])[seen].sum()
        spread = np.abs(around[seen] - np.median(around[seen])).sum()
        if spread > 0 and 1 - left / spread > strongest:
            strongest = float(1 - left / spread)
            profile = halves.mean(axis=0)
            adjusted = series - (profile - profile.mean())[phase]
    return adjusted


def _moving_mean(series: Floats, period: int) -> Floats:
    """Mean over one period around each value, of what is there; NaN at the ends."""
    weight = np.ones(period) if period % 2 else np.concatenate([[0.5], np.ones(period - 1), [0.5]])
    there = ~np.isnan(series)
    inner = slice(len(weight) // 2, len(series) - len(weight) // 2)
    total = np.convolve(np.where(there, series, 0.0), weight, "valid")
    count = np.convolve(there.astype(np.float64), weight, "valid")
    mean = np.full(len(series), np.nan)
    mean[inner] = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean


def _median(values: Floats) -> float:
    """Median of what is there; 0 of nothing."""
    there = values[~np.isnan(values)]
    return float(np.median(there)) if len(there) else 0.0


def _without_outliers(y: Floats) -> Floats:
    """The series with spikes pulled back towards their neighbours, then with steps cut; what never moves sets no scale."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(y, AROUND, mode="reflect"), 2 * AROUND + 1)
    middle = np.median(around, axis=1)
    y = middle + _bounded(y - middle, SPIKE)
    steps = np.diff(y)
    usual = float(np.median(steps))
    return np.append(y[0], y[0] + np.cumsum(usual + _bounded(steps - usual, JUMP)))


def _bounded(deviations: Floats, most: float) -> Floats:
    """Deviations cut to so many robust standard deviations (1.4826 times the median size of those that are not 0)."""
    size = np.abs(deviations)
    bound = most * 1.4826 * float(np.median(size[size > 0])) if (size > 0).any() else 0.0
    return np.asarray(np.clip(deviations, -bound, bound))
