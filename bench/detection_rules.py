"""What is the same for all detectors that are compared: which alarms count, equal false alarms, delays. Only NumPy.

Peers import this in environments of their own, so nothing of ours may be needed here. Alarms are booleans of the shape
(hours, series).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["MONTH", "SILENCE", "calibrate", "delays", "false_alarms"]

Bools = NDArray[np.bool_]

MONTH = 720
"""Hours of 30 days; also the mean hours between false alarms at which detectors are compared."""

SILENCE = 24
"""Hours after an alarm in which another one of the same series does not count."""


def false_alarms(alarms: Bools) -> float:
    """Alarms for each series in 30 days; after one, a series is silent for a day."""
    until = np.zeros(alarms.shape[1], dtype=np.int64)
    told = 0
    for hour in np.flatnonzero(alarms.any(axis=1)):
        loud = alarms[hour] & (hour >= until)
        told += int(loud.sum())
        until[loud] = hour + SILENCE
    return told * MONTH / alarms.size


def calibrate(
    alarms_at: Callable[[float], Bools], low: float, high: float, steps: int = 12, permitted: float = 1.0
) -> float:
    """The threshold at which stable data give this many false alarms a month, or the nearest one that gives fewer.

    Args:
        alarms_at: alarms of stable data at a threshold; a higher threshold gives fewer.
        low: least threshold; it is returned when even there the alarms are too few.
        high: highest threshold; it is returned when even there the alarms are too many.
        steps: halvings of the logarithm of the interval.
        permitted: false alarms for each series in 30 days.
    """
    if false_alarms(alarms_at(low)) <= permitted:
        return low
    for _ in range(steps):
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if false_alarms(alarms_at(middle)) <= permitted else (middle, high)
    return high


def delays(alarms: Bools, start: NDArray[np.int32]) -> NDArray[np.float64]:
    """Hours from the start of each series' shift to the end of the hour with its first alarm since; inf is never."""
    after = alarms & (np.arange(len(alarms))[:, None] >= start)
    return np.where(after.any(axis=0), after.argmax(axis=0) - start + 1.0, np.inf)
