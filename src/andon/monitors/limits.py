"""Control limits for the eye: what the rate of a window may be while the baseline holds."""

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from andon.monitors.records import Point
from andon.stats import RIDIT_VARIANCE, clock_of

__all__ = ["control_points", "expected", "rank_points"]

Floats = NDArray[np.float64]

HOUR_US = 3_600_000_000

TAIL = 0.00135
"""Probability beyond each limit, the 3 sigma of Shewhart."""

SIGMA = 3.0

EXACT = 4_000
"""Counts of harm up to which limits are exact; beyond, a limit is a few counts off, which no eye sees."""

Windows = Sequence[tuple[int, int, int, int]]


def control_points(
    windows: Windows,
    baseline_x: int,
    baseline_n: int,
    dispersion: float = 0.0,
    clusters: int = 1,
    clock: Sequence[float] = (),
) -> list[Point]:
    """Points of a p-chart with exact limits: quantiles of the (beta-)binomial at the baseline rate and the window's n.

    Args:
        windows: (start_us, end_us, n, x) of each window; windows without observations are left out.
        baseline_x: harmful interactions in the baseline.
        baseline_n: interactions in the baseline.
        dispersion: intraclass correlation within an hour.
        clusters: how many hours one of these windows spans; what clusters within each of them evens out.
        clock: the baseline rate by hour of the day, 24 of working days and 24 of weekends; the same all day unless given.

    The chart is for reading; alarms come from the e-detector, which sees small lasting shifts that no single point shows.

    Source: Montgomery, Introduction to Statistical Quality Control, 7th ed., section 7.3 (p-chart); exact instead of
    normal limits, because harm is rare. Beyond 4,000 counts of harm the beta-binomial is taken for the beta distribution of
    the same mean and variance.
    """
    seen = [w for w in windows if w[2] != 0]
    if not seen:
        return []
    n = np.array([w[2] for w in seen], dtype=np.float64)
    rate = np.full(len(seen), (baseline_x + 0.5) / (baseline_n + 1))
    if len(clock):
        rate = _centres(seen, clock)
    low, high = _limits(n, rate, _spread(n, dispersion, clusters)) / n
    return _points(seen, low, rate, high)


def rank_points(
    windows: Windows, centre: float, spread: float = 0.0, clusters: int = 1, clock: Sequence[float] = ()
) -> list[Point]:
    """Points of a chart of mean ranks: shares of its reference that the values of a number are worse than.

    Limits are ``c +- 3 sqrt((v + (n / h - 1) s c^2) / n)``, on whole counts outwards, because x is rounded: v = 1/12 is the
    variance of a rank, s that of the rate of an hour relative to its square, h the hours that a window spans. By the central
    limit theorem, which twelve ranks satisfy to two digits; below that the limits are as wide as they need be, or wider.

    Args:
        windows: (start_us, end_us, n, x), x the sum of the ranks; windows without observations are left out.
        centre: the mean rank of the baseline.
        spread: squared relative standard deviation of the mean rank from hour to hour.
        clusters: how many hours one of these windows spans.
        clock: the centre by hour of the day, as for `control_points`.

    Use instead: `control_points` for shares of harm.

    Source: Bross, Biometrics 14 (1958), 18-38 (ridits); Montgomery, as above, section 6.3 (charts of means).
    """
    seen = [w for w in windows if w[2] != 0]
    if not seen:
        return []
    n = np.array([w[2] for w in seen], dtype=np.float64)
    rate = _centres(seen, clock) if len(clock) else np.full(len(seen), centre)
    within = np.maximum(n / clusters - 1, 0) * spread * rate**2
    far = SIGMA * np.sqrt(n * (RIDIT_VARIANCE + within))
    low, high = np.floor(n * rate - far) / n, np.ceil(n * rate + far) / n
    return _points(seen, np.clip(low, 0, 1), rate, np.clip(high, 0, 1))


def expected(clock: Sequence[float], start_us: int, end_us: int) -> float:
    """Mean of what 24 hours of working days and 24 of weekends bring, over a stretch of time."""
    cells = clock_of(np.arange(start_us // HOUR_US, max(start_us // HOUR_US + 1, -(-end_us // HOUR_US))))
    return float(np.mean(np.asarray(clock)[cells]))


def _centres(windows: Windows, clock: Sequence[float]) -> Floats:
    cells = np.asarray(clock)
    return np.array([expected(cells, w[0], w[1]) for w in windows])  # type: ignore[arg-type]


def _points(windows: Windows, low: Floats, rate: Floats, high: Floats) -> list[Point]:
    limits = zip(low.tolist(), rate.tolist(), high.tolist(), strict=True)
    return [
        Point(start_us=start, end_us=end, n=n, x=x, low=lowest, centre=centre, high=highest)
        for (start, end, n, x), (lowest, centre, highest) in zip(windows, limits, strict=True)
    ]


def _spread(n: Floats, dispersion: float, clusters: int) -> Floats:
    """Intraclass correlation of n observations in this many clusters taken as one: the same design effect."""
    return np.where(n <= clusters, 0.0, dispersion * (n / clusters - 1) / np.maximum(n - 1, 1))


def _limits(n: Floats, rate: Floats, dispersion: Floats) -> Floats:
    """Fewest and most harmful interactions among n that are within the limits, shape (2, m)."""
    found = np.empty((2, len(n)))
    alone = (dispersion <= 0) | (rate <= 0) | (rate >= 1)
    tails = np.array([TAIL, 1 - TAIL])[:, None]
    if alone.any():
        found[:, alone] = scipy.stats.binom.ppf(tails, n[alone], np.clip(rate[alone], 0, 1))
    if not alone.all():
        n, rate, dispersion = n[~alone], rate[~alone], dispersion[~alone]
        found[:, ~alone] = _clustered(n, rate, dispersion)
    return found


def _clustered(n: Floats, rate: Floats, dispersion: Floats) -> Floats:
    """Quantiles of the beta-binomial at both tails, shape (2, m)."""
    whole = (1 + (n - 1) * dispersion) / n  # of the share itself, with the chance of its n
    size = np.maximum(1 / whole - 1, 1e-9)
    share = scipy.stats.beta.ppf(np.array([TAIL, 1 - TAIL])[:, None], rate * size, (1 - rate) * size)
    found = np.clip(np.rint(n * share), 0, n)
    summed = np.flatnonzero(found[1] <= EXACT)
    most = found[1, summed].max(initial=0.0) * 1.25 + 20
    while len(summed):
        k = np.arange(min(most, n[summed].max()) + 1)
        low, high, last = _quantiles(k, n[summed], rate[summed], dispersion[summed])
        found[0, summed], found[1, summed] = low, high
        summed, most = summed[(last < 1 - TAIL) & (k[-1] < n[summed])], 2 * most
    return found


def _quantiles(k: Floats, n: Floats, rate: Floats, dispersion: Floats) -> tuple[Floats, Floats, Floats]:
    """The smallest counts among k = 0, 1, ... whose probability, summed, is either tail's, and the sum up to the last k.

    The probabilities of the beta-binomial follow from that of 0: ``p(k + 1) / p(k) = (n - k) (a + k) / ((k + 1) (b + n - k - 1))``.
    """
    size = (1 - dispersion) / dispersion
    a, b, i = (rate * size)[:, None], ((1 - rate) * size)[:, None], k[:-1]
    left = np.maximum(n[:, None] - i, 0.0)
    with np.errstate(divide="ignore"):  # beyond n there is nothing
        ratio = np.log(left * (a + i) / ((i + 1) * (b + np.maximum(left - 1, 0.0))))
    none = scipy.special.betaln(a, b + n[:, None]) - scipy.special.betaln(a, b)
    total = np.cumsum(np.exp(np.concatenate([none, none + np.cumsum(ratio, axis=1)], axis=1)), axis=1)
    low, high = ((total < tail).sum(axis=1).astype(np.float64) for tail in (TAIL, 1 - TAIL))
    return np.minimum(low, n), np.minimum(high, n), total[:, -1]
