"""Simulated traffic of many series: hourly or finer counts of requests and of harm, a history and a future.

What is in it: traffic with a daily wave and quiet weekends; a rate of harm with a daily wave of its own phase and more
harm at weekends; harm that comes in clusters; a rate that wanders from hour to hour; holidays of the whole fleet; a
past incident that nobody noticed; a shift to be found. Each can be switched off, so a test can vary one at a time.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DAY",
    "HISTORY",
    "SERIAL",
    "WEEK",
    "Fleet",
    "Rise",
    "Traffic",
    "draw_fleet",
    "expected",
    "risen",
    "simulate",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

DAY, WEEK = 24, 168
HISTORY = 28 * DAY
"""Hours of history."""

VOLUME_WAVE, QUIET = 0.6, 0.6
"""Traffic swings by 0.4 to 1.6 times its mean each day, and is 0.6 times as much on a quiet day."""

RATE_WAVE, QUIET_RATE = 0.25, 1.1
"""The rate of harm swings by a quarter each day, and is a tenth higher on a quiet day."""

SERIAL = ((0.0, 0.0), (0.1, 0.5), (0.1, 0.9), (0.2, 0.5), (0.2, 0.9))
"""Standard deviation and hour-to-hour correlation of the logarithm of the rate."""

MOST = 0.999
"""No rate is higher."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What is true of each series for ever; all arrays have the shape (k,)."""

    volume: Floats
    """Mean requests an hour on a working day."""
    rate: Floats
    """Mean rate of harm on a working day."""
    design: Floats
    """Design effect: variance of the harm of an hour over that of a binomial, at `volume` requests. 1 is binomial."""
    sd: Floats
    """Standard deviation of the log rate, beyond its waves; 0 is a rate that does not wander."""
    ar: Floats
    """Correlation of the log rate of one hour with that of the next."""
    phase: Floats
    """Hour of the day at which the daily wave of the rate rises through its mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """The rate is multiplied by `factor`; numbers or arrays of shape (k,), hours counted from the start of its part."""

    factor: float | Floats
    start: int | Ints = 0
    """First hour of the rise."""
    ramp: float = 0.0
    """Hours in which the factor grows linearly from 1; 0 is a step."""
    hours: float = np.inf
    """Hours after which all is as before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Counts in time-major order: shapes (windows of the history, k) and (windows of the future, k), int32."""

    x0: Ints
    """Harm in the history."""
    n0: Ints
    """Requests in the history."""
    x: Ints
    n: Ints


def draw_fleet(
    rng: np.random.Generator,
    series: int,
    *,
    volume: tuple[float, float] = (20, 20_000),
    rate: tuple[float, float] = (0.001, 0.3),
    design: tuple[float, float] = (1.0, 5.0),
    serial: Sequence[tuple[float, float]] = SERIAL,
) -> Fleet:
    """Series of many kinds.

    Args:
        rng: the seeded generator.
        series: how many, k.
        volume: least and most requests an hour, log-uniform.
        rate: least and most rate of harm, log-uniform.
        design: least and most design effect, uniform.
        serial: (sd, ar) to choose from, each as often as any other.
    """
    pairs = np.array(serial, dtype=np.float64)[rng.integers(0, len(serial), series)]
    return Fleet(
        volume=np.exp(rng.uniform(np.log(volume[0]), np.log(volume[1]), series)),
        rate=np.exp(rng.uniform(np.log(rate[0]), np.log(rate[1]), series)),
        design=rng.uniform(*design, series),
        sd=pairs[:, 0],
        ar=pairs[:, 1],
        phase=rng.uniform(0, DAY, series),
    )


def expected(
    fleet: Fleet, hours: Sequence[int] | NDArray[np.int_], holidays: Collection[int] = ()
) -> tuple[Floats, Floats]:
    """Mean requests in each hour and mean rate of harm, before clusters, wandering and rises. Shapes (hours, k).

    Args:
        fleet: the series.
        hours: hours since the start of the history; hour 0 is a Monday, midnight.
        holidays: days since the start of the history on which every series behaves as on a Sunday.
    """
    hour = np.asarray(hours)[:, None]
    day = hour // DAY
    quiet = (day % 7 >= 5) | np.isin(day, list(holidays))
    busy = 1 + VOLUME_WAVE * np.sin(2 * np.pi * (hour - 9) / DAY)
    wave = 1 + RATE_WAVE * np.sin(2 * np.pi * (hour - fleet.phase) / DAY)
    rate = np.minimum(fleet.rate * wave * np.where(quiet, QUIET_RATE, 1.0), MOST)
    return fleet.volume * busy * np.where(quiet, QUIET, 1.0), rate


def risen(rate: Floats, rise: Rise | None, hours: Sequence[int] | NDArray[np.int_]) -> Floats:
    """Rates, shape (hours, k), with a rise; `hours` are counted as those of the rise are."""
    if rise is None:
        return rate
    since = np.asarray(hours)[:, None] - np.asarray(rise.start)
    grown = np.clip((since + 0.5) / rise.ramp, 0, 1) if rise.ramp > 0 else np.ones(since.shape)
    share = np.where((since >= 0) & (since < rise.hours), grown, 0.0)
    return np.asarray(np.minimum(rate * (1 + (np.asarray(rise.factor) - 1) * share), MOST))


def simulate(
    rng: np.random.Generator,
    fleet: Fleet,
    *,
    hours: int,
    history: int = HISTORY,
    per_hour: int = 1,
    holidays: Collection[int] = (),
    contamination: Rise | None = None,
    shift: Rise | None = None,
) -> Traffic:
    """Draw a history and a future.

    Requests are Poisson. The rate of an hour is its mean, times ``exp(sd z - sd^2/2)`` with z a stationary AR(1) of
    variance 1, and then beta with intraclass correlation ``(design - 1) / (volume - 1)``; harm is binomial at that rate.
    An hour's windows share its rate, so the counts of an hour have the same law however it is divided.

    Args:
        rng: the seeded generator.
        fleet: the series.
        hours: length of the future.
        history: length of the history in hours, a whole number of weeks if the future shall begin on a Monday.
        per_hour: windows in an hour; 12 are windows of five minutes.
        holidays: days since the start of the history on which every series behaves as on a Sunday.
        contamination: an incident in the history that nobody noticed.
        shift: what shall be found, hours counted from the start of the future.
    """
    k, total = len(fleet.rate), history + hours
    x, n = np.zeros((2, total * per_hour, k), dtype=np.int32)
    rho = np.clip((fleet.design - 1) / np.maximum(fleet.volume - 1, 1.0), 0.0, 0.5)
    clustered, size = rho > 0, (1 - rho) / np.where(rho > 0, rho, 1.0)
    z = rng.standard_normal(k)
    for day in range(0, total, DAY):
        span = np.arange(day, min(day + DAY, total))
        volume, rate = expected(fleet, span, holidays)
        rate[span < history] = risen(rate[span < history], contamination, span[span < history])
        rate[span >= history] = risen(rate[span >= history], shift, span[span >= history] - history)
        for i in range(len(span)):
            z = fleet.ar * z + np.sqrt(1 - fleet.ar**2) * rng.standard_normal(k)
            p = np.minimum(rate[i] * np.exp(fleet.sd * z - fleet.sd**2 / 2), MOST)
            p[clustered] = rng.beta((p * size)[clustered], ((1 - p) * size)[clustered])
            rows = slice((day + i) * per_hour, (day + i + 1) * per_hour)
            n[rows] = rng.poisson(volume[i] / per_hour, (per_hour, k))
            x[rows] = rng.binomial(n[rows], p)
    cut = history * per_hour
    return Traffic(x0=x[:cut], n0=n[:cut], x=x[cut:], n=n[cut:])
