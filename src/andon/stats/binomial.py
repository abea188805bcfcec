"""Rates: exact intervals for one, intervals and tests for two."""

import math

import scipy

__all__ = ["clopper_pearson", "difference"]


def clopper_pearson(x: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a binomial rate; (0, 1) when n = 0, because nothing is known.

    The bounds are beta quantiles: ``B(a/2; x, n-x+1)`` and ``B(1-a/2; x+1, n-x)``. Coverage is at least `level` for
    every rate, at the price of width. Counts need not be whole: where observations come in clusters, give the effective
    ones, as Korn & Graubard do. Use instead: a Jeffreys posterior where average coverage is enough.

    Source: Clopper & Pearson, Biometrika 26 (1934), 404-413; Korn & Graubard, Survey Methodology 24 (1998), 193-201.
    """
    if not 0 <= x <= n:
        raise ValueError(f"x={x} must be between 0 and n={n}")
    if n == 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if x == 0 else float(scipy.stats.beta.ppf(tail, x, n - x + 1))
    high = 1.0 if x == n else float(scipy.stats.beta.ppf(1 - tail, x + 1, n - x))
    return low, high


def difference(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> tuple[float, float, float]:
    """Difference of two independent rates ``x2/n2 - x1/n1`` and its interval, as (estimate, low, high).

    Newcombe's hybrid score interval (method 10): the two Wilson intervals combined. It keeps its coverage for small n and
    rates near 0 or 1, where the Wald interval does not. With n1 = 0 or n2 = 0 the interval is (-1, 1) and the estimate NaN
    is refused: the caller must ask first.

    Source: Newcombe, Statistics in Medicine 17 (1998), 873-890, method 10.
    """
    if n1 == 0 or n2 == 0:
        raise ValueError(f"both groups need observations; got n1={n1}, n2={n2}")
    p1, p2 = x1 / n1, x2 / n2
    low1, high1 = _wilson(x1, n1, level)
    low2, high2 = _wilson(x2, n2, level)
    delta = p2 - p1
    return (
        delta,
        delta - math.hypot(p2 - low2, high1 - p1),
        delta + math.hypot(high2 - p2, p1 - low1),
    )


def _wilson(x: int, n: int, level: float) -> tuple[float, float]:
    z = float(scipy.special.ndtri(0.5 + level / 2))  # what norm.ppf computes, without its checks
    p = x / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
