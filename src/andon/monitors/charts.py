"""The charts themselves: Phase I learns a baseline, Phase II watches it. Counts in, signals out; no clock, no store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from andon import stats
from andon.monitors.records import Monitor, Signal
from andon.monitors.series import tells
from andon.scores import Harm

__all__ = ["Charts", "Counts"]

Floats = NDArray[np.float64]

LEARN_WINDOWS = 20
LEARN_N = 100
"""Phase I lasts for this many windows with traffic and this many observations, whichever comes later."""

WORST_FIFTH = 0.2
"""Share of the baseline's values that a number metric counts as harm."""

ABSORB_LAG = 12
"""Windows after which a calm window joins a baseline that is not precise enough yet."""

PRECISE = 200.0
"""A baseline stops growing when ``n p (1 - p)`` reaches this: a standard error of 7 % of the odds."""

ABSORB_US = 14 * 86_400_000_000
"""A baseline stops growing after 14 days: a slow drift must not become the new normal."""

HISTORY = 5_000
"""Windows back from an alarm among which the onset is looked for."""

SILENCE_US = 24 * 3_600_000_000
"""After a signal a chart is silent for a day: one signal per event, and a reminder a day later if it lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What came in for one chart: rows of (window, bin, n), a binary metric's harm being bin 1."""

    window: NDArray[np.int64]
    """Index of the window since the epoch of the charts."""
    bin: NDArray[np.int64]
    n: NDArray[np.int64]


class Charts:
    """All charts of a process, vectorised: arrays over charts, one step per window.

    Args:
        window_us: width of a window.
        false_pages_per_month: the operator's budget over everything.
        kinds: metric -> ``binary`` or ``number``.
        harms: (metric, direction) -> what is lost.
    """

    def __init__(
        self,
        window_us: int,
        false_pages_per_month: float,
        kinds: Mapping[str, str],
        harms: Mapping[tuple[str, str], Harm],
    ) -> None:
        self.window_us, self.budget, self.kinds, self.harms = window_us, false_pages_per_month, kinds, harms
        self.monitors: list[Monitor] = []
        self._index: dict[Monitor, int] = {}
        self._pending: list[list[Counts]] = []  # numbers whose cut is not known yet
        self._n: list[dict[int, int]] = []  # per chart: window -> observations
        self._x: list[dict[int, int]] = []  # per chart: window -> harm
        self._learn_n = np.zeros(0)
        self._learn_windows = np.zeros(0)
        self._x0 = np.zeros(0)
        self._n0 = np.zeros(0)
        self._rho = np.zeros(0)
        self._cut: list[int | None] = []
        self._first = np.zeros(0, dtype=np.int64)
        self._learned = np.full(0, -1, dtype=np.int64)
        self._absorbed = np.zeros(0, dtype=np.int64)
        self._silent_until = np.zeros(0, dtype=np.int64)
        self._r = np.zeros((0, len(stats.ODDS)))

    def advance(self, windows: Sequence[int], counts: Mapping[Monitor, Counts]) -> list[Signal]:
        """Take in the counts of these windows (indices, ascending) and step through them in order.

        Any partition of the same windows into calls gives the same signals.
        """
        for monitor in sorted(counts):
            self._take(monitor, counts[monitor])
        signals = []
        for window in windows:
            signals.extend(self._step(window))
        return signals

    def _take(self, monitor: Monitor, rows: Counts) -> None:
        if monitor not in self._index:
            self._add(monitor)
        i = self._index[monitor]
        for window, n in _sum_by(rows.window, rows.n):
            self._n[i][window] = self._n[i].get(window, 0) + n
        if self.kinds[monitor.metric] == "number" and self._cut[i] is None:
            self._pending[i].append(rows)
        else:
            self._fill(i, rows)

    def _add(self, monitor: Monitor) -> None:
        self._index[monitor] = len(self.monitors)
        self.monitors.append(monitor)
        self._pending.append([])
        self._n.append({})
        self._x.append({})
        self._cut.append(None)
        for name in ("_learn_n", "_learn_windows", "_x0", "_n0", "_rho"):
            setattr(self, name, np.append(getattr(self, name), 0.0))
        self._first = np.append(self._first, -1)
        self._learned = np.append(self._learned, -1)
        self._absorbed = np.append(self._absorbed, -1)
        self._silent_until = np.append(self._silent_until, 0)
        self._r = np.vstack([self._r, np.zeros(len(stats.ODDS))])

    def _fill(self, i: int, rows: Counts) -> None:
        """Add the harm among these rows to the chart."""
        cut = self._cut[i]
        if cut is None:
            harmful = rows.bin == 1
        else:
            harmful = rows.bin >= cut if self.monitors[i].direction == "up" else rows.bin < cut
        for window, x in _sum_by(rows.window[harmful], rows.n[harmful]):
            self._x[i][window] = self._x[i].get(window, 0) + x

    def _step(self, window: int) -> list[Signal]:
        n = np.array([c.get(window, 0) for c in self._n], dtype=np.float64)
        self._first = np.where((self._first < 0) & (n > 0), window, self._first)
        learning = (self._learned < 0) & (n > 0)
        self._learn_n += np.where(learning, n, 0)
        self._learn_windows += learning
        ready = learning & (self._learn_n >= LEARN_N) & (self._learn_windows >= LEARN_WINDOWS)
        watching = (self._learned >= 0) & (n > 0)
        for i in np.flatnonzero(ready):
            self._learn(int(i), window)
        due = np.flatnonzero(watching)
        if len(due) == 0:
            return []
        x = np.array([self._x[i].get(window, 0) for i in due], dtype=np.float64)
        null = stats.guarded(self._x0[due], self._n0[due])
        ratio = stats.log_likelihood_ratio(x, n[due], null, stats.ODDS, self._rho[due])
        self._r[due] = stats.step(self._r[due], ratio)
        threshold = self._threshold()
        statistic = self._r[due].mean(axis=1)
        end_us = (window + 1) * self.window_us
        self._absorb(due[statistic < threshold**0.5], window)
        signals = []
        for i, value in zip(due[statistic >= threshold], statistic[statistic >= threshold], strict=True):
            self._r[i] = 0
            if end_us >= self._silent_until[i]:
                self._silent_until[i] = end_us + SILENCE_US
                signals.append(self._signal(int(i), window, float(value), threshold))
        return signals

    def _threshold(self) -> float:
        per_month = 30 * 86_400_000_000 / self.window_us
        return stats.permitted_run_length(int((self._learned >= 0).sum()), per_month, self.budget)

    def _learn(self, i: int, window: int) -> None:
        """End of Phase I of one chart."""
        if self.kinds[self.monitors[i].metric] == "number":
            past = [(r.bin[r.window <= window], r.n[r.window <= window]) for r in self._pending[i]]
            cut = _cut_of(
                np.concatenate([b for b, _ in past]), np.concatenate([n for _, n in past]), self.monitors[i].direction
            )
            if cut is None:  # all values are equal: nothing to compare yet, so keep learning
                return
            self._cut[i] = cut
            for rows in self._pending[i]:
                self._fill(i, rows)
            self._pending[i].clear()
        seen = [w for w in self._n[i] if w <= window]
        n = np.array([self._n[i][w] for w in seen], dtype=np.float64)
        x = np.array([self._x[i].get(w, 0) for w in seen], dtype=np.float64)
        self._n0[i], self._x0[i], self._rho[i] = n.sum(), x.sum(), stats.dispersion(x, n)
        monitor = self.monitors[i]
        if tells(monitor.metric, monitor.direction, self._x0[i] / self._n0[i]):
            self._learned[i] = self._absorbed[i] = window

    def _absorb(self, calm: NDArray[np.int64], window: int) -> None:
        """Let the window before the lag join the baselines that are still imprecise."""
        joining = window - ABSORB_LAG
        p = (self._x0[calm] + 0.5) / (self._n0[calm] + 1)
        open_ = (self._n0[calm] * p * (1 - p) < PRECISE) & (joining > self._learned[calm])
        young = (window - self._first[calm]) * self.window_us < ABSORB_US
        for i in calm[open_ & young]:
            for w in range(int(self._absorbed[i]) + 1, joining + 1):
                self._n0[i] += self._n[i].get(w, 0)
                self._x0[i] += self._x[i].get(w, 0)
            self._absorbed[i] = joining

    def _signal(self, i: int, window: int, statistic: float, threshold: float) -> Signal:
        monitor, width = self.monitors[i], self.window_us
        seen = sorted(w for w in self._n[i] if self._learned[i] < w <= window)[-HISTORY:]
        n = np.array([self._n[i][w] for w in seen], dtype=np.float64)
        x = np.array([self._x[i].get(w, 0) for w in seen], dtype=np.float64)
        baseline = float((self._x0[i] + 0.5) / (self._n0[i] + 1))
        onset = stats.locate_onset(x, n, baseline, float(self._rho[i]))
        cut = self._cut[i]
        return Signal(
            id=f"{monitor.id}@{(window + 1) * width}",
            monitor=monitor.id,
            app=monitor.app,
            environment=monitor.environment,
            metric=monitor.metric,
            direction=monitor.direction,
            scope=dict(monitor.scope),
            kind=self.kinds[monitor.metric],
            harm=self.harms[monitor.metric, monitor.direction],
            at_us=(window + 1) * width,
            window_us=width,
            x=int(x[onset.best :].sum()),
            n=int(n[onset.best :].sum()),
            baseline_x=int(self._x0[i]),
            baseline_n=int(self._n0[i]),
            baseline_from_us=int(self._first[i]) * width,
            baseline_to_us=(int(self._absorbed[i]) + 1) * width,
            cut=None if cut is None else stats.bin_edges(cut)[0],
            dispersion=round(float(self._rho[i]), 9),
            statistic=statistic,
            threshold=threshold,
            onset_us=seen[onset.best] * width,
            onset_low_us=seen[onset.low] * width,
            onset_high_us=(seen[onset.high] + 1) * width,
            onset_probability=tuple(
                (seen[k] * width, round(p, 6)) for k, p in enumerate(onset.probability) if p > 0.001
            ),
        )


def _sum_by(window: NDArray[np.int64], n: NDArray[np.int64]) -> list[tuple[int, int]]:
    keys, inverse = np.unique(window, return_inverse=True)
    return list(zip(keys.tolist(), np.bincount(inverse, weights=n).astype(np.int64).tolist(), strict=True))


def _cut_of(bins: NDArray[np.int64], n: NDArray[np.int64], direction: str) -> int | None:
    """The bin edge whose far side holds the share of values nearest to a fifth; None when all values are equal."""
    edges, inverse = np.unique(bins, return_inverse=True)
    if len(edges) < 2:
        return None
    share = np.bincount(inverse, weights=n) / n.sum()
    below = np.cumsum(share)[:-1]  # share strictly below edges[1:]
    far = below if direction == "down" else 1 - below
    return int(edges[1:][np.argmin(np.abs(far - WORST_FIFTH))])
