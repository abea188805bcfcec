"""Numbers as shares: how bad is a value among the values of a reference?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

__all__ = ["RIDIT_VARIANCE", "Ridits", "ridits_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RIDIT_VARIANCE = 1 / 12
"""Variance of a ridit of the reference itself; ties make it smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridits:
    """The reference: bins in ascending order, and the share of values below each and up to each."""

    bins: Ints
    below: Floats
    upto: Floats

    def share_below(self, bins: Ints) -> Floats:
        """Share of the reference below each value, half of its equals counted: the ridit, 0..1. Shape as `bins`."""
        left = np.searchsorted(self.bins, bins, side="left")
        right = np.searchsorted(self.bins, bins, side="right")
        low = np.append(self.below, 1.0)[left]
        high = np.where(right > left, np.append(self.upto, 1.0)[np.minimum(left, len(self.bins))], low)
        return np.asarray((low + high) / 2)

    def cut(self, share: float, *, high: bool) -> int:
        """The bin edge beyond which lies the share of values that is nearest to `share`, in odds; maybe none of them.

        A cut beyond all values is taken where every other one would call most of them harm (a constant metric, say).

        Args:
            share: of the reference, 0..1.
            high: whether high values (``bin >= cut``) lie beyond it, or low ones (``bin < cut``).
        """
        edges = np.append(self.bins, self.bins[-1] + 1)
        beyond = np.append(1 - self.below, 0.0) if high else np.append(self.below, 1.0)
        near = logit(np.clip(beyond, 0.002, 0.998)) - logit(share)
        return int(edges[np.argmin(np.abs(near))])


def ridits_of(bins: Sequence[int] | Ints, n: Sequence[float] | Floats) -> Ridits:
    """The reference from counts by bin (in any order, bins may repeat).

    The ridit of a value is the probability that a random value of the reference is smaller, ties counted half; a group's
    mean ridit is 1/2 where it is like the reference, and is Mann and Whitney's U as a share.

    Use instead: a mean where the unit itself matters; ridits tell of any shift, whatever the distribution.

    Source: Bross, How to use ridit analysis, Biometrics 14 (1958), 18-38.
    """
    values, inverse = np.unique(np.asarray(bins, dtype=np.int64), return_inverse=True)
    count = np.bincount(inverse, weights=np.asarray(n, dtype=np.float64))
    if len(values) == 0 or count.sum() <= 0:
        raise ValueError("a reference needs values")
    upto = np.cumsum(count) / count.sum()
    return Ridits(bins=values, below=np.append(0.0, upto[:-1]), upto=upto)
