"""Turn the charts: read windows of counts, step, write signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon.monitors.charts import Charts, Counts
from andon.monitors.limits import control_points
from andon.monitors.records import Monitor, Point, Signal
from andon.monitors.series import Metric, gather, metrics_of
from andon.scores import Scorer, failing
from andon.store import Histogram, Ledger, Rollup, Span, Warehouse, Where
from andon.traffic import SEGMENTS

__all__ = ["Watch", "chart_of"]

KEYS = ("app", "environment", *SEGMENTS)
CHUNK = 2_000
"""Windows read at a time."""


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
    ) -> None:
        self._warehouse, self._ledger = warehouse, ledger
        self._metrics = metrics_of(scorers)
        self._width = window_s * 1_000_000
        self._charts = Charts(
            self._width,
            false_pages_per_month,
            {m.name: m.kind for m in self._metrics},
            {(m.name, d): m.harm_of(d) for m in self._metrics for d in m.directions},
        )
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
        signals: list[Signal] = []
        while self._next < last:
            stop = min(last, self._next + CHUNK)
            signals.extend(self._charts.advance(range(self._next, stop), self._read(self._next, stop)))
            self._next = stop
        cursor = self._ledger.get(WatchCursor, "monitors")
        fresh = [s for s in signals if cursor is None or s.at_us > cursor.until_us]
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

    def _read(self, start: int, stop: int) -> dict[Monitor, Counts]:
        span = Span(start_us=start * self._width, end_us=stop * self._width)
        binary = [m for m in self._metrics if m.kind == "binary"]
        counts: dict[Monitor, Counts] = {}
        table = self._warehouse.run(
            Rollup(
                table="scores",
                metrics=tuple(m.name for m in binary),
                keys=(*KEYS, "weight"),
                window_us=self._width,
                span=span,
            )
        )
        cells, window, weight = _cells(table), _ints(table, "window_us") // self._width, _weights(table)
        for metric in binary:
            n = _ints(table, f"{metric.name}.n")
            ones = np.clip(_ints(table, f"{metric.name}.sum"), 0, n)  # a plug-in may call binary what is not
            for direction in metric.directions:
                harm = ones if direction == "up" else n - ones
                rows = np.column_stack([window, n - harm, harm, weight])[n > 0]
                kept = [c for c, some in zip(cells, n > 0, strict=True) if some]
                for monitor, values in gather(kept, rows, metric.name, direction).items():
                    counts[monitor] = _binary(values)
        for metric in self._metrics:
            if metric.kind == "number":
                counts.update(self._read_numbers(metric, span))
        return counts

    def _read_numbers(self, metric: Metric, span: Span) -> dict[Monitor, Counts]:
        table = self._warehouse.run(
            Histogram(table="scores", metric=metric.name, keys=(*KEYS, "weight"), window_us=self._width, span=span)
        )
        if len(table) == 0:
            return {}
        columns = [_ints(table, "window_us") // self._width, _ints(table, "bin"), _ints(table, "n"), _weights(table)]
        rows = np.column_stack(columns)
        cells = _cells(table)
        found: dict[Monitor, Counts] = {}
        for direction in metric.directions:
            for monitor, values in gather(cells, rows, metric.name, direction).items():
                window, bins = values[:, 0].astype(np.int64), values[:, 1].astype(np.int64)
                found[monitor] = Counts(window=window, bin=bins, n=values[:, 2], weight=values[:, 3])
        return found


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
    return control_points(windows, signal.baseline_x, signal.baseline_n, signal.dispersion, width // signal.window_us)


def scope_of(signal: Signal) -> tuple[Where, ...]:
    """Conditions that select the part of the traffic that a signal is about."""
    pairs = {"app": signal.app, "environment": signal.environment, **signal.scope}
    return tuple(Where(column=k, op="eq", value=v) for k, v in pairs.items())


def _by_window(table: pa.Table, metric: str, unit: float) -> dict[int, int]:
    """Observations by window, each counted as the fraction that its weight is of `unit`."""
    counts = (round(w / unit) for w in table[f"{metric}.w"].to_pylist())
    return dict(zip(table["window_us"].to_pylist(), counts, strict=True))


def _binary(values: NDArray[np.float64]) -> Counts:
    """Rows of (window, fine, harm, weight) as counts of the bins 0 and 1."""
    window = np.concatenate([values[:, 0], values[:, 0]]).astype(np.int64)
    bins = np.repeat(np.array([0, 1], dtype=np.int64), len(values))
    n, weight = np.concatenate([values[:, 1], values[:, 2]]), np.concatenate([values[:, 3], values[:, 3]])
    return Counts(window=window, bin=bins, n=n, weight=weight)


def _cells(table: pa.Table) -> list[tuple[str, str, Mapping[str, str | None]]]:
    columns = [table[k].to_pylist() for k in KEYS]
    return [(str(a), str(e), dict(zip(SEGMENTS, rest, strict=True))) for a, e, *rest in zip(*columns, strict=True)]


def _weights(table: pa.Table) -> NDArray[np.float64]:
    """The weight of each group; a row without one stands for itself."""
    weight = table["weight"].to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(weight > 0, weight, 1.0)


def _ints(table: pa.Table, column: str) -> NDArray[np.int64]:
    values = table[column].to_numpy(zero_copy_only=False).astype(np.float64)
    return np.asarray(np.nan_to_num(values), dtype=np.int64)
