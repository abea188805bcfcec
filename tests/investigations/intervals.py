"""The interval of a difference of two rates, worked out beside the package."""

from math import hypot

from scipy.stats import binomtest


def points(x1: int, n1: int, x2: int, n2: int, level: float = 0.95) -> str:
    """Newcombe's interval as texts show it (Statistics in Medicine 17 (1998), 873-890, method 10), from SciPy's of Wilson."""
    (l1, u1), (l2, u2) = (binomtest(x, n).proportion_ci(level, "wilson") for x, n in ((x1, n1), (x2, n2)))
    p1, p2 = x1 / n1, x2 / n2
    low, high = p2 - p1 - hypot(p2 - l2, u1 - p1), p2 - p1 + hypot(u2 - p2, p1 - l1)
    return f"{100 * low:+.1f} to {100 * high:+.1f} points"
