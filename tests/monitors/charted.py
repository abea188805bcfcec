"""Simulated traffic for charts: counts with a known rate, dispersion, daily wave and shift, and what charts make of them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from andon.monitors import Charts, Counts, Monitor, Signal

WIDTH_US = 300_000_000
DAY = 288
"""Windows of five minutes in a day."""


def monitor(name: str = "all", metric: str = "harm", direction: str = "up") -> Monitor:
    """A chart of one segment."""
    return Monitor(app="a", environment="e", metric=metric, direction=direction, scope=(("segment", name),))


def charts(kind: str = "binary", budget: float = 1.0, metric: str = "harm") -> Charts:
    """The charts of a process that knows one metric."""
    return Charts(WIDTH_US, budget, {metric: kind}, {(metric, "up"): "correctness", (metric, "down"): "correctness"})


def binary(window: NDArray[np.int64], n: NDArray[np.int64], x: NDArray[np.int64]) -> Counts:
    """Counts of a binary metric from observations and harm per window."""
    rows = np.concatenate([window, window])
    return Counts(window=rows, bin=np.repeat([0, 1], len(window)), n=np.concatenate([n - x, x]))


def numbers(window: Sequence[int], bins: Sequence[int], n: Sequence[int]) -> Counts:
    """Counts of a number metric."""
    return Counts(window=np.array(window), bin=np.array(bins), n=np.array(n))


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Many series of the same kind; the rate moves by the factor `odds` from window `shift` on."""

    series: int
    windows: int
    n: float = 20.0
    """Observations per window (Poisson)."""
    rate: float = 0.05
    rho: float = 0.0
    """Intraclass correlation within windows (beta-binomial)."""
    wave: float = 0.0
    """Relative amplitude of a daily sine on the rate."""
    shift: int | None = None
    odds: float = 1.0
    seed: int = 0

    def draw(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Observations and harm, both (series, windows)."""
        rng = np.random.default_rng(self.seed)
        time = np.arange(self.windows)
        rate = self.rate * (1 + self.wave * np.sin(2 * np.pi * (time / DAY + rng.random((self.series, 1)))))
        if self.shift is not None:
            rate = np.where(time >= self.shift, expit(logit(rate) + np.log(self.odds)), rate)
        n = rng.poisson(self.n, rate.shape)
        if self.rho > 0:
            size = (1 - self.rho) / self.rho
            rate = rng.beta(rate * size, (1 - rate) * size)
        return n, rng.binomial(n, rate)


def watch(traffic: Traffic, budget: float = 1.0, chunk: int = 1_000) -> list[Signal]:
    """The signals of one process that watches all series."""
    n, x = traffic.draw()
    names = [monitor(f"{i:04d}") for i in range(traffic.series)]
    process, signals = charts(budget=budget), []
    for start in range(0, traffic.windows, chunk):
        window = np.arange(start, min(start + chunk, traffic.windows))
        counts = {m: binary(window, n[i, window], x[i, window]) for i, m in enumerate(names)}
        signals += process.advance(range(start, int(window[-1]) + 1), counts)
    return signals


def window_of(signal: Signal) -> int:
    """Index of the window in which a chart signalled."""
    return signal.at_us // WIDTH_US - 1


def say(text: str) -> None:
    """Write one line: `pytest -s` shows it."""
    sys.stdout.write(text + "\n")
