"""Simulated traffic for charts: counts with a known rate, clusters, daily wave and shift, and what charts make of them."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from andon.monitors import Charts, Monitor, Signal

WIDTH_US = 300_000_000
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MONDAY_US = 4 * DAY_US
"""All traffic here begins on this Monday, 5 January 1970, at midnight."""

DAY = 24
WEEK = 168

Floats = NDArray[np.float64]


def monitor(name: str = "all", metric: str = "harm", direction: str = "up") -> Monitor:
    """A chart of one segment."""
    return Monitor(app="a", environment="e", metric=metric, direction=direction, scope=(("segment", name),))


WHOLE = replace(monitor(), scope=())
TRAFFIC = replace(WHOLE, metric="traffic", direction="down")


def charts(budget: float = 1.0, width_us: int = HOUR_US, kind: str = "binary") -> Charts:
    """The charts of a process that knows one metric."""
    harms = {("harm", "up"): "correctness", ("harm", "down"): "correctness", ("traffic", "down"): "availability"}
    return Charts(width_us, budget, {"harm": kind}, harms)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Many series of the same kind; the rate is multiplied by `factor` from hour `shift` on."""

    series: int
    hours: int
    n: float = 240.0
    """Observations an hour (Poisson)."""
    rate: float = 0.05
    spread: float = 0.0
    """Squared relative standard deviation of the rate from hour to hour."""
    wave: float = 0.0
    """Relative amplitude of a daily sine on the rate."""
    shift: int | None = None
    factor: float = 1.0
    width_us: int = HOUR_US
    seed: int = 0

    def draw(self) -> tuple[Floats, Floats]:
        """Observations and harm, both (windows, series)."""
        rng = np.random.default_rng(self.seed)
        windows = self.hours * HOUR_US // self.width_us
        hour = np.arange(windows) * self.width_us / HOUR_US
        rate = self.rate * (1 + self.wave * np.sin(2 * np.pi * (hour[:, None] / DAY + rng.random(self.series))))
        if self.spread > 0:
            by_hour = rng.gamma(1 / self.spread, self.spread, (self.hours + 1, self.series))
            rate = rate * by_hour[hour.astype(np.int64)]
        if self.shift is not None:
            rate = np.where(hour[:, None] >= self.shift, rate * self.factor, rate)
        n = rng.poisson(self.n * self.width_us / HOUR_US, rate.shape)
        return n.astype(np.float64), rng.binomial(n, np.minimum(rate, 1)).astype(np.float64)


def turn(
    process: Charts,
    monitors: Sequence[Monitor],
    n: Floats,
    x: Floats,
    ends: Iterable[int] = (),
    first: int | None = None,
) -> list[Signal]:
    """Advance in calls that end before these windows and the last; a chart is made in the call in which it first has traffic."""
    signals, start = [], 0
    first = MONDAY_US // process.window_us if first is None else first
    for stop in (*ends, len(n)):
        some = np.flatnonzero((n[start:stop] > 0).any(axis=0))
        for i in some.tolist():
            process.index(monitors[i])
        given = np.zeros((2, stop - start, len(process.monitors)))
        for i, m in enumerate(monitors):
            if m in process.monitors:
                given[:, :, process.index(m)] = n[start:stop, i], x[start:stop, i]
        signals += process.advance(first + start, *given)
        start = stop
    return signals


def watch(traffic: Traffic, budget: float = 1.0) -> list[Signal]:
    """The signals of one process that watches all series."""
    names = [monitor(f"{i:04d}") for i in range(traffic.series)]
    return turn(charts(budget, traffic.width_us), names, *traffic.draw())


def pages(signals: Iterable[Signal]) -> list[Signal]:
    """Those that wake somebody up."""
    return [s for s in signals if s.level == "page"]


def hour_of(signal: Signal) -> int:
    """The hour, from the start of the traffic, in which a chart signalled."""
    return (signal.at_us - MONDAY_US - 1) // HOUR_US


def say(text: str) -> None:
    """Write one line: `pytest -s` shows it."""
    sys.stdout.write(text + "\n")
