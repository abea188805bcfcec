"""The one place where the bench touches the detector: everything else here knows alarms and seconds only."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from andon import stats
from andon.monitors import Monitor
from andon.monitors.backtest import Setting, alarms_of

__all__ = ["many_steps", "one_step", "ours", "replay_grid"]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]
Counts = Ints | NDArray[np.float64]

MONDAY = 4 * 24
"""Hour 0 of the simulated traffic, in hours since 1970: Monday, 5 January."""


def ours(x0: Counts, n0: Ints, x: Counts, n: Ints, variance: float | None) -> Callable[[float], Bools]:
    """Learn from a history and watch a future; threshold -> alarms (hours, k).

    Args:
        x0: harm in each hour of the history, shape (hours, k).
        n0: observations in each hour of the history.
        x: harm in the future.
        n: observations in the future.
        variance: of the harm of one observation; None is that of a yes or no.
    """
    clock = stats.clock_of(MONDAY + np.arange(len(x0) + len(x)))
    each = None if variance is None else np.full(x.shape[1], variance)
    learned = stats.fit_baseline(x0.astype(np.float64), n0.astype(np.float64), clock[: len(x0)], variance=each)
    mean = n.astype(np.float64) * np.exp(learned.log_rate + learned.guard)[clock[len(x0) :]]
    y = x.astype(np.float64) * learned.scale

    def alarms(threshold: float) -> Bools:
        ((hours, series),) = stats.detect(
            y, mean, learned.spread, learned.persistence, [threshold], log_ratio=stats.log_ratios(learned.rate)
        )
        found = np.zeros(y.shape, dtype=np.bool_)
        found[hours, series] = True
        return found

    return alarms


def one_step(series: int) -> Callable[[], object]:
    """One hour of this many series: the mathematics alone, as a running chart does it."""
    mean, y, spread, persistence = _hour(series, np.random.default_rng(0))
    state = np.zeros((len(stats.RATIOS), series))
    log_ratio = np.log(stats.RATIOS)

    def step() -> object:
        return stats.step(state, stats.log_likelihood_ratio(y, mean, spread, persistence, log_ratio)).mean(axis=0)

    return step


def many_steps(series: int, hours: int) -> Callable[[], object]:
    """Many hours of this many series at once."""
    rng = np.random.default_rng(1)
    mean, _, spread, persistence = _hour(series, rng)
    y = rng.poisson(mean, (hours, series)).astype(np.float32)
    means = np.broadcast_to(mean.astype(np.float32), y.shape).copy()
    return lambda: stats.detect(y, means, spread, persistence, [720.0])


def replay_grid(series: int, hours: int, settings: int) -> Callable[[], object] | None:
    """A replay of this many settings of the detector over this many charts: baselines, guards and budgets tried."""
    rng = np.random.default_rng(2)
    n = rng.poisson(100, (hours, series)).astype(np.float64)
    x = rng.binomial(n.astype(np.int64), 0.05).astype(np.float64)
    monitors = [
        Monitor(app="bench", environment="p", metric="harm", direction="up", scope=(("task", f"{k:05d}"),))
        for k in range(series)
    ]
    tried = [
        Setting(false_pages_per_month=budget, guard=guard)
        for guard in np.linspace(0.5, 2.0, 10).tolist()
        for budget in np.geomspace(0.01, 100, settings // 10).tolist()
    ]
    return lambda: alarms_of(monitors, {"harm": "binary"}, n, x, MONDAY, 28 * 24, tried)


def _hour(series: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    """Expected and seen harm of an hour, and how series vary."""
    mean = rng.uniform(1, 20, series)
    return mean, rng.poisson(mean).astype(np.float64), rng.uniform(0.001, 0.05, series), rng.uniform(1, 2, series)
