"""When what a chart shows began: the bins up to now, and the posterior of the onset by window."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from andon import stats

__all__ = ["Rise", "by_window"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """The bins of a chart up to now, and where in them its rate left the baseline."""

    start: Ints
    bin_us: Ints
    n: Floats
    x: Floats
    mean: Floats
    """What the baseline expects of x, scaled."""
    onset: stats.Onset
    times: float
    """Harm since the onset over what is expected."""


def by_window(start: Ints, bin_us: Ints, probability: tuple[float, ...], width: int) -> tuple[tuple[int, float], ...]:
    """The posterior by window: that of an hour is shared evenly by its windows; what is below a thousandth is left out."""
    found = []
    for begin, long, p in zip(start.tolist(), bin_us.tolist(), probability, strict=True):
        if p > 0.001:
            parts = max(1, long // width)
            found += [(begin + k * width, round(p / parts, 6)) for k in range(parts)]
    return tuple(found)
