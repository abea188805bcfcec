"""The charts themselves: Phase I learns a baseline, Phase II watches it. Counts in, signals out; no clock, no store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from andon import stats
from andon.monitors.records import Monitor, Signal
from andon.monitors.series import tells
from andon.scores import Harm

__all__ = ["Charts", "Counts"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEARN_WINDOWS = 20
LEARN_N = 100
"""Phase I lasts for this many windows with traffic and this many observations, whichever comes later."""

WORST_FIFTH = 0.2
"""Share of the baseline's values that a number metric counts as harm."""

ABSORB_LAG = 12
ABSORB_SHARE = 0.25
"""A window joins the baseline when it is this many windows and this share of the chart's age old, and only while the chart
is calm: a lasting shift has that long to show itself before it becomes part of what it is compared with."""

ABSORB_US = 14 * 86_400_000_000
"""A baseline stops growing after 14 days: a slow drift must not become the new normal."""

HISTORY = 5_000
"""Windows back from an alarm among which the onset is looked for."""

SILENCE_US = 24 * 3_600_000_000
"""After a signal a chart is silent until it has been calm for a day: one signal per event."""

REMINDER_US = 7 * SILENCE_US
"""An event that lasts is told again after a week, should its incident have been closed too early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What came in for one chart: rows of (window, bin, n), a binary metric's harm being bin 1."""

    window: Ints
    """Index of the window since the epoch of the charts."""
    bin: Ints
    n: Ints | Floats
    weight: Floats | None = None
    """How many interactions each of the n stands for; None is 1."""

    def only(self, kept: NDArray[np.bool_]) -> "Counts":
        """The rows where `kept` is true."""
        weight = None if self.weight is None else self.weight[kept]
        return Counts(window=self.window[kept], bin=self.bin[kept], n=self.n[kept], weight=weight)


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
        self._cut: list[int | None] = []
        self._waiting: list[list[Counts]] = []  # Phase I of numbers, whose cut is not known yet
        self._sums = np.zeros((0, 6))  # `stats.moments` of the windows of the baseline
        self._rho, self._top = np.zeros((2, 0))
        self._r = np.zeros((0, len(stats.ODDS)))
        self._first, self._learned, self._joined, self._left_out = np.zeros((4, 0), dtype=np.int64)
        self._silent_until, self._told = np.zeros((2, 0), dtype=np.int64)
        # the last windows of every chart, window w in column w % width: what may still join, and where onsets are sought
        self._n_seen = np.zeros((0, HISTORY + int(ABSORB_US * ABSORB_SHARE) // window_us + 2), dtype=np.float32)
        self._x_seen = self._n_seen.copy()

    @property
    def phases(self) -> tuple[int, int]:
        """How many charts watch, and how many still learn their baseline."""
        watching = int((self._learned >= 0).sum())
        return watching, len(self.monitors) - watching

    def advance(self, windows: Sequence[int], counts: Mapping[Monitor, Counts]) -> list[Signal]:
        """Step through these windows (consecutive indices) with their counts, and return the signals in order of time.

        Any partition of the same windows into calls gives the same signals. Counts of other windows are left out.
        """
        self._add(m for m in sorted(counts) if m not in self._index)
        n, x = np.zeros((2, len(windows), len(self.monitors)))
        start = windows[0] if windows else 0
        for monitor, given in counts.items():
            i = self._index[monitor]
            rows = given.only((given.window >= start) & (given.window < start + len(windows)))
            rows = self._fractions(i, rows, start, len(windows))
            n[:, i] = _per_window(rows, start, len(windows))
            if self.kinds[monitor.metric] == "number" and self._cut[i] is None:
                self._waiting[i].append(rows)
            else:
                x[:, i] = _per_window(self._harmful(i, rows), start, len(windows))
        signals = []
        for t, window in enumerate(windows):
            for i in self._take(window, n[t], x[t]):
                self._learn(i, window, start, x)
            signals.extend(self._watch(window, n[t], x[t]))
        return signals

    def _add(self, monitors: Iterable[Monitor]) -> None:
        for monitor in monitors:
            self._index[monitor] = len(self.monitors)
            self.monitors.append(monitor)
            self._cut.append(None)
            self._waiting.append([])
        more = len(self.monitors) - len(self._rho)
        if more == 0:
            return
        for name in ("_sums", "_rho", "_top", "_r", "_silent_until", "_told", "_n_seen", "_x_seen"):
            setattr(self, name, _longer(getattr(self, name), more, 0))
        for name in ("_first", "_learned", "_joined", "_left_out"):
            setattr(self, name, _longer(getattr(self, name), more, -1))

    def _fractions(self, i: int, rows: Counts, start: int, length: int) -> Counts:
        """The rows with each observation counted as the fraction that its weight is of the greatest so far.

        A fraction of at most 1 keeps the promise of the detector (`docs/methods/sampling.md`); equal weights all count 1.
        """
        if rows.weight is None or len(rows.window) == 0:
            return rows
        top = np.full(length, self._top[i])
        np.maximum.at(top, rows.window - start, rows.weight)
        top = np.maximum.accumulate(top)
        self._top[i] = top[-1]
        return Counts(window=rows.window, bin=rows.bin, n=rows.n * (rows.weight / top[rows.window - start]))

    def _harmful(self, i: int, rows: Counts) -> Counts:
        """The rows that count as harm on this chart."""
        cut = self._cut[i]
        if cut is None:
            return rows.only(rows.bin == 1)
        return rows.only(rows.bin >= cut if self.monitors[i].direction == "up" else rows.bin < cut)

    def _take(self, window: int, n: Floats, x: Floats) -> list[int]:
        """Take in one window of every chart; returns the charts whose Phase I may end with it."""
        column = window % self._n_seen.shape[1]
        self._n_seen[:, column], self._x_seen[:, column] = n, x
        self._first[(self._first < 0) & (n > 0)] = window
        learning = (self._learned < 0) & (n > 0)
        self._sums[learning] += stats.moments(x[learning], n[learning])
        enough = (self._sums[:, 0] >= LEARN_WINDOWS) & (self._sums[:, 1] >= LEARN_N)
        return [int(i) for i in np.flatnonzero(learning & enough)]

    def _learn(self, i: int, window: int, start: int, x: Floats) -> None:
        """End Phase I of one chart, unless it cannot tell harm yet; fills in `x`, the harm per window, of a number."""
        monitor = self.monitors[i]
        if self.kinds[monitor.metric] == "number":
            rows = Counts(
                **{f: np.concatenate([getattr(r, f) for r in self._waiting[i]]) for f in ("window", "bin", "n")}
            )
            past = rows.only(rows.window <= window)
            self._cut[i] = _cut_of(past.bin, past.n, monitor.direction)
            x[:, i] = _per_window(self._harmful(i, rows), start, len(x))
            first, length = int(self._first[i]), window + 1 - int(self._first[i])
            harm = _per_window(self._harmful(i, past), first, length)
            self._sums[i] = stats.moments(harm, _per_window(past, first, length)).sum(axis=0)
            self._waiting[i].clear()
        if tells(monitor.metric, monitor.direction, self._sums[i, 2] / self._sums[i, 1]):
            self._learned[i] = self._joined[i] = window
            self._rho[i] = stats.dispersion_of(self._sums[i], errors=1)

    def _watch(self, window: int, n: Floats, x: Floats) -> list[Signal]:
        """One step of Phase II of every chart that is past its Phase I."""
        due = np.flatnonzero((self._learned >= 0) & (self._learned < window) & (n > 0))
        if len(due):
            _, total, harm, *_ = self._sums[due].T
            null = stats.guarded(harm, total, self._design(due))
            ratio = stats.log_likelihood_ratio(x[due], n[due], null, stats.ODDS, self._rho[due])
            self._r[due] = stats.step(self._r[due], ratio)
        statistic, threshold = self._r.mean(axis=1), self._threshold()
        end_us = (window + 1) * self.window_us
        crossing = np.flatnonzero(statistic >= threshold)
        self._r[crossing] = 0
        told, silent_until = self._told[crossing], self._silent_until[crossing]
        loud = crossing[(end_us >= silent_until) | (end_us >= told + REMINDER_US)]
        self._told[loud] = end_us
        self._silent_until[crossing] = end_us + SILENCE_US
        self._left_out[end_us < self._silent_until] = window
        signals = [self._signal(i, window, float(statistic[i]), threshold) for i in loud.tolist()]
        self._absorb(window, statistic < threshold**0.5)
        return sorted(signals, key=lambda s: s.id)

    def _design(self, charts: Ints) -> Floats:
        """Design effect: by how much clustering within windows inflates the variance of these baselines."""
        return np.asarray(1 + (self._sums[charts, 1] / self._sums[charts, 0] - 1) * self._rho[charts])

    def _threshold(self) -> float:
        per_month = 30 * 86_400_000_000 / self.window_us
        return stats.permitted_run_length(int((self._learned >= 0).sum()), per_month, self.budget)

    def _absorb(self, window: int, calm: NDArray[np.bool_]) -> None:
        """Let the next window of every baseline join it where it is old enough and the chart is calm.

        What came before a signal, and during its silence, never joins. What came before a chart merely rose does, once it
        has sunk again: to leave it out would leave out the bad side of chance, and so make the baseline too low.
        """
        age = window - self._first
        lag = np.maximum(ABSORB_LAG, np.ceil(age * ABSORB_SHARE).astype(np.int64))
        joining = np.maximum(self._joined, self._left_out) + 1
        old = calm & (self._learned >= 0) & (age * self.window_us < ABSORB_US) & (joining <= window - lag)
        charts = np.flatnonzero(old)
        if len(charts) == 0:
            return
        column = joining[charts] % self._n_seen.shape[1]
        n = self._n_seen[charts, column].astype(np.float64)
        self._sums[charts] += stats.moments(self._x_seen[charts, column].astype(np.float64), n)
        self._rho[charts] = stats.dispersion_of(self._sums[charts], errors=1)
        self._joined[charts] = joining[charts]

    def _signal(self, i: int, window: int, statistic: float, threshold: float) -> Signal:
        monitor, width = self.monitors[i], self.window_us
        past = np.arange(max(int(self._learned[i]), window - HISTORY) + 1, window + 1)
        n, x = (a[i, past % a.shape[1]].astype(np.float64) for a in (self._n_seen, self._x_seen))
        seen, n, x = past[n > 0].tolist(), n[n > 0], x[n > 0]
        _, total, harm, *_ = self._sums[i]
        onset = stats.locate_onset(x, n, float((harm + 0.5) / (total + 1)), float(self._rho[i]))
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
            x=round(float(x[onset.best :].sum())),
            n=max(1, round(float(n[onset.best :].sum()))),
            baseline_x=round(float(harm)),
            baseline_n=round(float(total)),
            stands_for=float(self._top[i]) or 1.0,
            baseline_from_us=int(self._first[i]) * width,
            baseline_to_us=(int(self._joined[i]) + 1) * width,
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


def _longer(array: NDArray[np.generic], more: int, value: int) -> NDArray[np.generic]:
    return np.concatenate([array, np.full((more, *array.shape[1:]), value, dtype=array.dtype)])


def _per_window(rows: Counts, start: int, length: int) -> Floats:
    """Observations in each of the windows from `start`; earlier ones are left out."""
    kept = rows.only(rows.window >= start)
    return np.bincount(kept.window - start, weights=kept.n, minlength=length).astype(np.float64)


def _cut_of(bins: Ints, n: Ints | Floats, direction: str) -> int:
    """The bin edge whose far side holds the share of values nearest to a fifth, as odds; maybe none of the values.

    A cut beyond all values is taken where every other one would call most of them harm (a constant metric, say): the chart
    then tells of values that are worse than any before.
    """
    values, inverse = np.unique(bins, return_inverse=True)
    count = np.bincount(inverse, weights=n)
    if direction == "up":
        edges, far = np.append(values, values[-1] + 1), np.append(np.cumsum(count[::-1])[::-1], 0.0)
    else:
        edges, far = np.append(values, values[-1] + 1), np.append(0.0, np.cumsum(count))
    odds = logit((far + 0.5) / (count.sum() + 1))
    return int(edges[np.argmin(np.abs(odds - logit(WORST_FIFTH)))])
