"""One step of ten thousand charts, against a loop over a detector of river that sees the same observations."""

import time
from collections.abc import Callable

import numpy as np

from andon import stats
from andon.monitors import Charts, Counts, Monitor
from bench.figures import best_s, figure, note
from bench.peers import ask

__all__ = ["run"]

CHARTS, PER_WINDOW = 10_000, 50
LEARNING, WATCHED = 25, 5
UPDATES = 300_000


def run() -> None:
    """The mathematics alone, then the charts with all their book-keeping."""
    observations = CHARTS * PER_WINDOW
    pure = best_s(_pure_step(), 5)
    whole = _whole_step()
    note(f"{CHARTS:,} charts, {PER_WINDOW} observations each in a window")
    peer = ask("river", ("river==0.26.1",), "river_loop.py", str(UPDATES))
    for name, seconds in (("step", pure), ("charts", whole)):
        figure(f"detection.{name}.10k_charts_1_window_ms", seconds * 1000, "ms")
        for detector in ("ADWIN", "PageHinkley"):
            other = peer and peer[detector] * observations * 1000
            against = f"river {peer['version']} {detector}, one update per observation" if peer else None
            figure(f"detection.{name}.against_{detector.casefold()}_ms", seconds * 1000, "ms", against, other)


def _pure_step() -> Callable[[], None]:
    rng = np.random.default_rng(0)
    n = np.full(CHARTS, float(PER_WINDOW))
    x = rng.binomial(PER_WINDOW, 0.05, CHARTS).astype(np.float64)
    rho = np.where(np.arange(CHARTS) % 2, 0.01, 0.0)
    x0, n0 = np.full(CHARTS, 100.0), np.full(CHARTS, 2_000.0)
    state = np.zeros((CHARTS, len(stats.ODDS)))

    def step() -> None:
        null = stats.guarded(x0, n0)
        after = stats.step(state, stats.log_likelihood_ratio(x, n, null, stats.ODDS, rho))
        after.mean(axis=1)

    return step


def _whole_step() -> float:
    """Seconds for one window of all charts, counts taken in; the shortest of several windows."""
    rng = np.random.default_rng(1)
    charts = Charts(300_000_000, 1.0, {"refusal": "binary"}, {("refusal", "up"): "usefulness"})
    monitors = [
        Monitor(app="bench", environment="production", metric="refusal", direction="up", scope=(("task", f"{k:05d}"),))
        for k in range(CHARTS)
    ]
    bins = np.array([0, 1], dtype=np.int64)
    seconds = []
    for window in range(LEARNING + WATCHED):
        harm = rng.binomial(PER_WINDOW, 0.05, CHARTS)
        at = np.array([window, window], dtype=np.int64)
        counts = {
            m: Counts(window=at, bin=bins, n=np.array([PER_WINDOW - x, x])) for m, x in zip(monitors, harm, strict=True)
        }
        begun = time.perf_counter()
        charts.advance([window], counts)
        seconds.append(time.perf_counter() - begun)
    return min(seconds[LEARNING:])
