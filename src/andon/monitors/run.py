"""Turn the charts: read windows of counts, step, write signals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from andon.monitors.charts import Charts
from andon.monitors.counting import KEYS, Counting
from andon.monitors.history import HOUR_US
from andon.monitors.limits import control_points
from andon.monitors.records import TRAFFIC, Monitor, Point, Signal
from andon.monitors.series import Metric, metrics_of
from andon.scores import Harm, Scorer, failing
from andon.store import Histogram, Ledger, Rollup, Span, Warehouse, Where

__all__ = ["Watch", "chart_of"]

CHUNK = 288
"""Windows read at a time: a day of five-minute ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCursor:
    """How far the charts have been turned: signals up to here are in the ledger."""

    id: str
    until_us: int


class Watch:
    """The charts of this process over one warehouse.

    The charts are a function of the counts, so a new process rebuilds them by reading the counts again; signals that
    were written before are not written twice.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        ledger: Ledger,
        scorers: Sequence[Scorer],
        *,
        window_s: int,
        false_pages_per_month: float,
        wanted: Callable[[Monitor], bool] = lambda _: True,
        weigh: Callable[[Monitor], float] = lambda _: 1.0,
    ) -> None:
        self._warehouse, self._ledger = warehouse, ledger
        self._metrics = metrics_of(scorers)
        self._width = window_s * 1_000_000
        self._charts = Charts(
            self._width, false_pages_per_month, {m.name: m.kind for m in self._metrics}, _harms(self._metrics), weigh
        )
        self._counting = Counting(self._charts, self._metrics, wanted)
        self._next: int | None = None

    @property
    def phases(self) -> tuple[int, int]:
        """How many charts watch, and how many still learn their baseline, as of the last turn."""
        return self._charts.phases

    def advance(self, until_us: int) -> list[Signal]:
        """Turn the charts through every whole window that ends at or before `until_us`; new signals are recorded.

        What is returned stays new until `done` is called, so that a crash in between loses no signal.
        """
        if self._next is None:
            first = self._warehouse.run(Rollup(table="scores", metrics=("time_us",)))["time_us.min"][0].as_py()
            if first is None:
                return []
            self._next = int(first) // self._width
        last = until_us // self._width
        cursor = self._ledger.get(WatchCursor, "monitors")
        told_us = cursor.until_us if cursor is not None else -1
        fresh: list[Signal] = []
        while self._next < last:
            length = min(CHUNK, last - self._next)
            n, x = self._counting.take(self._next, length, *self._read(self._next, length))
            found = self._charts.advance(self._next, n, x)
            fresh.extend(self._complete(s) for s in found if s.at_us > told_us)
            self._next += length
        for signal in fresh:
            self._ledger.put(signal, now_us=signal.at_us, by="andon")
        return fresh

    def done(self) -> None:
        """Say that everything up to the last window has been dealt with."""
        if self._next is None:
            return
        cursor = self._ledger.get(WatchCursor, "monitors")
        done = WatchCursor(id="monitors", until_us=self._next * self._width)
        if cursor is None or done.until_us > cursor.until_us:
            self._ledger.put(done, now_us=done.until_us, by="andon")

    def _read(self, first: int, length: int) -> tuple[pa.Table, dict[str, pa.Table]]:
        span = Span(start_us=first * self._width, end_us=(first + length) * self._width)
        keys, names = (*KEYS, "weight"), tuple(m.name for m in self._metrics)
        rates = self._warehouse.run(Rollup(table="scores", metrics=names, keys=keys, window_us=self._width, span=span))
        numbers = {}
        for name in (m.name for m in self._metrics if m.kind == "number"):
            if len(rates) and pc.max(rates[f"{name}.n"]).as_py():
                plan = Histogram(table="scores", metric=name, keys=keys, window_us=self._width, span=span)
                numbers[name] = self._warehouse.run(plan)
        return rates, numbers

    def _complete(self, signal: Signal) -> Signal:
        """The signal with what only rows can tell: for a number, the harm beyond its cut before and since."""
        monitor = Monitor(
            app=signal.app, environment=signal.environment, metric=signal.metric, direction=signal.direction,
            aspect=signal.aspect, scope=tuple(signal.scope.items()),
        )  # fmt: skip
        signal = replace(signal, stands_for=self._counting.weight_of(monitor))
        if signal.kind != "number" or signal.metric == TRAFFIC:
            return signal
        signal = replace(signal, cut=self._counting.cut_of(monitor))
        since = Span(start_us=signal.onset_us, end_us=signal.at_us)
        before = Span(start_us=signal.baseline_from_us, end_us=min(signal.baseline_to_us, signal.onset_us))
        (x, n), (x0, n0) = (self._harm(signal, span) for span in (since, before))
        return replace(signal, x=x, n=max(1, n), baseline_x=x0, baseline_n=max(1, n0))

    def _harm(self, signal: Signal, span: Span) -> tuple[int, int]:
        """Harm and observations in a span, in the units of the chart."""
        op, bound = failing(signal.kind, signal.direction, signal.cut)
        harm = Where(column=signal.metric, op="ge" if op == "ge" else "lt", value=bound)
        x, n = (
            self._warehouse.run(Rollup(table="scores", metrics=(signal.metric,), span=span, where=where))
            for where in ((*scope_of(signal), harm), scope_of(signal))
        )
        return tuple(round((t[f"{signal.metric}.w"][0].as_py() or 0) / signal.stands_for) for t in (x, n))  # type: ignore[return-value]


def _harms(metrics: Sequence[Metric]) -> dict[tuple[str, str], Harm]:
    harms: dict[tuple[str, str], Harm] = {(m.name, d): m.harm_of(d) for m in metrics for d in m.directions}
    return harms | {(TRAFFIC, "down"): "availability"}


def chart_of(warehouse: Warehouse, signal: Signal, *, start_us: int, end_us: int, points: int = 90) -> list[Point]:
    """The control chart of a signal's monitor over a range, in about this many points."""
    width = max(signal.window_us, -(-(end_us - start_us) // points // signal.window_us) * signal.window_us)
    span = Span(start_us=start_us, end_us=end_us)
    where = scope_of(signal)
    op, bound = failing(signal.kind, signal.direction, signal.cut)
    total = Rollup(table="scores", metrics=(signal.metric, "weight"), window_us=width, span=span, where=where)
    harm = Where(column=signal.metric, op="ge" if op == "ge" else "lt", value=bound)
    failed = Rollup(table="scores", metrics=(signal.metric,), window_us=width, span=span, where=(*where, harm))
    table = warehouse.run(total)
    unit = max(table["weight.max"].to_pylist(), default=None) or 1.0
    counts = _by_window(table, signal.metric, unit)
    harmed = _by_window(warehouse.run(failed), signal.metric, unit)
    windows = [(w, w + width, n, harmed.get(w, 0)) for w, n in sorted(counts.items())]
    hours = max(1, width // max(HOUR_US, signal.window_us))
    return control_points(windows, signal.baseline_x, signal.baseline_n, signal.dispersion, hours)


def scope_of(signal: Signal) -> tuple[Where, ...]:
    """Conditions that select the part of the traffic that a signal is about."""
    pairs = {"app": signal.app, "environment": signal.environment, **signal.scope}
    return tuple(Where(column=k, op="eq", value=v) for k, v in pairs.items())


def _by_window(table: pa.Table, metric: str, unit: float) -> dict[int, int]:
    """Observations by window, each counted as the fraction that its weight is of `unit`."""
    counts = (round(w / unit) for w in table[f"{metric}.w"].to_pylist())
    return dict(zip(table["window_us"].to_pylist(), counts, strict=True))
