"""Control limits for the eye: what the rate of a window may be while the baseline holds."""

from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from andon.monitors.records import Point
from andon.stats import clock_of

__all__ = ["control_points", "expected"]

HOUR_US = 3_600_000_000

TAIL = 0.00135
"""Probability beyond each limit, the 3 sigma of Shewhart."""


def control_points(
    windows: Sequence[tuple[int, int, int, int]],
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
    normal limits, because harm is rare.
    """
    mean = (baseline_x + 0.5) / (baseline_n + 1)
    points = []
    for start, end, n, x in windows:
        if n == 0:
            continue
        rate = expected(clock, start, end) if clock else mean
        low, high = _limits(n, rate, _spread(n, dispersion, clusters)) / n
        points.append(Point(start_us=start, end_us=end, n=n, x=x, low=float(low), centre=rate, high=float(high)))
    return points


def expected(clock: Sequence[float], start_us: int, end_us: int) -> float:
    """Mean of what 24 hours of working days and 24 of weekends bring, over a stretch of time."""
    cells = clock_of(np.arange(start_us // HOUR_US, max(start_us // HOUR_US + 1, -(-end_us // HOUR_US))))
    return float(np.mean(np.array(clock)[cells]))


def _spread(n: int, dispersion: float, clusters: int) -> float:
    """Intraclass correlation of n observations in this many clusters taken as one: the same design effect."""
    return 0.0 if n <= clusters else dispersion * (n / clusters - 1) / (n - 1)


def _limits(n: int, rate: float, dispersion: float) -> NDArray[np.float64]:
    """Fewest and most harmful interactions among n that are within the limits."""
    tails = np.array([TAIL, 1 - TAIL])
    if dispersion <= 0:
        return np.asarray(scipy.stats.binom.ppf(tails, n, rate))
    size = (1 - dispersion) / dispersion
    return np.asarray(scipy.stats.betabinom.ppf(tails, n, rate * size, (1 - rate) * size))
