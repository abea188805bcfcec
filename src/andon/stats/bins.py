"""Logarithmic bins: quantiles that can be counted on any engine and merged over windows."""

import math

__all__ = ["BIN_BASE", "OFFSET", "TINY", "bin_edges", "bin_of"]

BIN_BASE = 1.02
"""Ratio of neighbouring bin edges: a quantile read from bins is within 2 % of the value."""

TINY = 1e-9
"""Values nearer to zero than this share the bin 0."""

OFFSET = 2000
"""Added to a bin's magnitude so that positive bins are > 0 and negative bins < 0 (covers 1e-9 .. 1e9 and beyond)."""


def bin_of(value: float) -> int:
    """Bin of a value: 0 near zero, growing with the value, negative for negative values (the engines use the same rule)."""
    if abs(value) < TINY:
        return 0
    magnitude = math.floor(math.log(abs(value)) / math.log(BIN_BASE)) + OFFSET
    return magnitude if value > 0 else -magnitude


def bin_edges(index: int) -> tuple[float, float]:
    """Smallest and largest value of a bin, in the order of the number line."""
    if index == 0:
        return -TINY, TINY
    low = BIN_BASE ** (abs(index) - OFFSET)
    high = low * BIN_BASE
    return (low, high) if index > 0 else (-high, -low)
