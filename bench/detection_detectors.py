"""The detectors that are compared. Each looks at a history and a future and gives its alarms at a threshold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tests.stats.calibration.fleet import DAY, WEEK

from bench.detection_ours import ours
from bench.detection_rules import MONTH
from bench.detection_traffic import Seen

__all__ = ["DETECTORS", "OURS", "Detector"]

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One way to give alarms."""

    name: str
    about: str
    fit: Callable[[Seen], Callable[[float], Bools]]
    """What is seen -> threshold -> alarms of the future, (hours, k)."""
    usual: float
    """The threshold that it promises or that books give."""
    low: float = 1.0
    high: float = 1.0
    """Where the threshold for equal false alarms is looked for; nowhere when both are equal: the usual one is used."""


def _ours(seen: Seen) -> Callable[[float], Bools]:
    return ours(seen.x0, seen.n0, seen.x, seen.n, seen.variance)


def _oracle(seen: Seen) -> Callable[[float], Bools]:
    """CUSUM of the log likelihood ratio by one who knows the waves and the size of the shift: nobody does."""

    def alarms(threshold: float) -> Bools:
        found = np.zeros(seen.n.shape, dtype=bool)
        level, limit = np.zeros(seen.n.shape[1]), np.log(threshold)
        for hour, told in enumerate(seen.told):
            level = np.maximum(level, 0.0) + told
            found[hour] = level >= limit
            level[found[hour]] = 0.0
        return found

    return alarms


def _shewhart(seen: Seen) -> Callable[[float], Bools]:
    """Above ``mean + L sd / sqrt(n)``, mean and sd from all of the history, whatever the hour or the day."""
    total = seen.n0.sum(axis=0)
    mean = (np.nan_to_num(seen.bad0) * seen.n0).sum(axis=0) / total
    z = np.nan_to_num((seen.bad - mean) * np.sqrt(seen.n) / seen.sd, nan=-np.inf)
    return lambda threshold: np.asarray(z > threshold)


def _rolling(seen: Seen) -> Callable[[float], Bools]:
    """Above ``mean + L sd`` of the 168 hours before, which move along."""
    bad = np.concatenate([seen.bad0[-WEEK:], seen.bad])
    known = np.isfinite(bad)
    value = np.where(known, bad, 0.0)
    middle = value.mean(axis=0)  # sums of squares about it lose no digits
    count, total, square = (
        _before(a) for a in (known, np.where(known, value - middle, 0.0), known * (value - middle) ** 2)
    )
    mean = total / np.maximum(count, 1)
    sd = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0.0))
    now = np.where(known, value - middle, -np.inf)[WEEK:]
    return lambda threshold: np.asarray(now > mean + threshold * sd + 1e-12)


def _before(values: NDArray[np.generic]) -> Floats:
    """Sum of the week before each hour of the future."""
    upto = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    return np.asarray(upto[WEEK:-1] - upto[: -WEEK - 1])


def _evidently(seen: Seen) -> Callable[[float], Bools]:
    """Once a day, on the 24 hours that end then."""

    def alarms(threshold: float) -> Bools:
        found = np.zeros(seen.n.shape, dtype=bool)
        found[DAY - 1 :: DAY] = seen.drift >= threshold
        return found

    return alarms


OURS = Detector(name="ours", about="Andon", fit=_ours, usual=float(MONTH), low=1.0, high=1e15)

DETECTORS = (
    OURS,
    Detector(
        name="oracle",
        about="CUSUM that knows all waves and the shift",
        fit=_oracle,
        usual=float(MONTH),
        low=1.0,
        high=1e15,
    ),
    Detector(name="shewhart", about="Shewhart 3 sigma, mean of 28 days", fit=_shewhart, usual=3.0, low=0.5, high=100.0),
    Detector(name="rolling", about="2 sigma of the last 168 hours", fit=_rolling, usual=2.0, low=0.2, high=100.0),
    Detector(name="evidently", about="Evidently, default test, 24-hour windows", fit=_evidently, usual=0.1),
)
