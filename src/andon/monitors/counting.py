"""From rows of counts to the harm of every chart: parts of the traffic, sampling weights, ridits of numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon import stats
from andon.monitors.charts import Charts
from andon.monitors.history import cluster_us
from andon.monitors.objectives import Objective, matching
from andon.monitors.records import TOPIC_SHARE, TRAFFIC, Monitor
from andon.monitors.series import APART, Metric, parts_of, watched
from andon.scores.rows import EVALUATOR, TOPIC
from andon.traffic import SEGMENTS

__all__ = ["KEYS", "Counting"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Part = tuple[str, str, tuple[tuple[str, str], ...]]
Key = tuple[str, str, tuple[tuple[str, str], ...], str]
"""App, environment, what sets the values apart, and metric: where numbers have one reference."""

KEYS = ("app", "environment", *SEGMENTS, TOPIC)

LEARN_N, LEARN_WINDOWS = 100, 6
"""The reference of a number are the first windows of its app: this many with traffic, and this many observations."""


BEYOND = "beyond "
"""Aspect of a number metric that has an objective: the share of values beyond its bound."""

ENOUGH = 50
"""A part of the traffic has charts once this many of its interactions have come."""

MOST_PARTS = 20_000
"""Parts of the traffic beyond these are not watched apart: a field with a value for every user is no segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The rows of a table, once for every part of the traffic that a row belongs to."""

    window: Ints
    """Of each entry, from 0."""
    part: Ints
    row: Ints
    fraction: Floats
    """What an observation counts: its sampling weight as a fraction of the greatest of its part so far."""


class Counting:
    """Turns windows of counts by cell (app, environment, segments) into observations and harm by chart.

    Args:
        charts: told of every chart that is new.
        metrics: what is counted.
        wanted: whether a chart with a learned baseline is watched; all are unless given.
        objectives: limits that have charts of their own.
    """

    def __init__(
        self,
        charts: Charts,
        metrics: Sequence[Metric],
        wanted: Callable[[Monitor], bool] = lambda _: True,
        objectives: Sequence[Objective] = (),
    ) -> None:
        self._charts, self._metrics, self._wanted = charts, {m.name: m for m in metrics}, wanted
        self._objectives = tuple(objectives)
        self.crowded = False
        """Whether there are more parts of the traffic than are watched apart."""
        self._copies: list[tuple[int, int]] = []  # charts that count what another one counts
        self._cells: dict[tuple[tuple[str, str | None], ...], Ints] = {}  # cell -> the parts it belongs to
        self._parts: dict[Part, int] = {}
        self._names: list[Part] = []
        self._top, self._came = np.zeros((2, 0))  # by part: greatest sampling weight and interactions so far
        self._slots: dict[tuple[str, str, str], Ints] = {}  # stream -> number of the chart of each part; -1: none
        self._references: dict[Key, stats.Ridits] = {}
        self._waiting: dict[Key, list[Floats]] = {}  # rows of (window, bin, n, weight) before there is a reference

    def weight_of(self, monitor: Monitor) -> float:
        """How many interactions one observation of this chart stands for, at most."""
        part = self._parts.get((monitor.app, monitor.environment, monitor.scope))
        return 1.0 if part is None or part >= len(self._top) else float(self._top[part]) or 1.0

    def cut_of(self, monitor: Monitor, share: float | None = None) -> float | None:
        """For a number: the value beyond which lies this share of its reference, that of its tail unless given."""
        if monitor.aspect.startswith(BEYOND):
            return float(monitor.aspect.removeprefix(BEYOND))
        reference = self._references.get(_key(monitor.app, monitor.environment, monitor.scope, monitor.metric))
        if reference is None:
            return None
        beyond = self._metrics[monitor.metric].tail if share is None else share
        return stats.bin_edges(reference.cut(beyond, high=monitor.direction == "up"))[0]

    def take(self, first: int, length: int, rates: pa.Table, numbers: Mapping[str, pa.Table]) -> tuple[Floats, Floats]:
        """Observations and harm of every chart, both of shape (length, charts), for the windows from `first`.

        Args:
            first: index of the first window.
            length: how many windows.
            rates: a `Rollup` of the binary metrics by `KEYS`, weight and window.
            numbers: metric -> its `Histogram` by `KEYS`, weight and window.
        """
        tables = [rates, *numbers.values()]
        cells = [self._cells_of(t) for t in tables]
        window, weight = self._windows(rates, first), _weights(rates)
        top, alive = self._grown(cells[0], window, weight, _column(rates, "rows"), length)
        rows = self._entries(cells[0], window, weight, top)
        answered = "error.n" if "error.n" in rates.column_names else "rows"  # rows of feedback are no traffic
        came = _column(rates, answered)
        found = [self._traffic(rows, came, alive, length), self._topics(rows, came, alive, length)]
        for metric in self._metrics.values():
            if metric.kind == "binary" and f"{metric.name}.n" in rates.column_names:
                n = _column(rates, f"{metric.name}.n")
                ones = np.clip(_column(rates, f"{metric.name}.sum"), 0, n)  # a plug-in may call binary what is not
                for direction in metric.directions:
                    harm = ones if direction == "up" else n - ones
                    found.append(self._stream(rows, (metric.name, direction, ""), n, harm, alive, length))
        for (name, table), cell in zip(numbers.items(), cells[1:], strict=True):
            if len(table):
                found += self._number(self._metrics[name], table, cell, first, top, alive, length)
        n, x = np.zeros((2, length, len(self._charts.monitors)))
        for charts, seen, harm in found:
            n[:, charts], x[:, charts] = seen, harm
        for chart, copy in self._copies:
            n[:, copy], x[:, copy] = n[:, chart], x[:, chart]
        return n, x

    def _windows(self, table: pa.Table, first: int) -> Ints:
        return _column(table, "window_us").astype(np.int64) // self._charts.window_us - first

    def _cells_of(self, table: pa.Table) -> list[Ints]:
        """For each row the parts that it belongs to."""
        codes, values = np.zeros(len(table), dtype=np.int64), []
        keys = (*KEYS, *(k for k in APART if k in table.column_names))
        for key in keys:
            column = table[key].combine_chunks().dictionary_encode()
            code = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
            values.append([None, *column.dictionary.to_pylist()])
            codes = codes * len(values[-1]) + code
        unique, inverse = np.unique(codes, return_inverse=True)
        parts = []
        for left in unique.tolist():
            cell = []
            for known in reversed(values):
                left, at = divmod(left, len(known))  # noqa: PLW2901
                cell.append(known[at])
            parts.append(self._parts_of(tuple(zip(keys, reversed(cell), strict=True))))
        return [parts[i] for i in inverse.tolist()]

    def _parts_of(self, cell: tuple[tuple[str, str | None], ...]) -> Ints:
        if cell not in self._cells:
            values = dict(cell)
            scopes = parts_of({k: v for k, v in cell if k in (*SEGMENTS, TOPIC)})
            for apart in APART:
                if (value := values.get(apart)) is not None:
                    scopes = [((apart, value), *scope) for scope in scopes if len(scope) <= 1]
            keys = [(str(values["app"]), str(values["environment"]), scope) for scope in scopes]
            if len(self._names) + len(keys) > MOST_PARTS:
                self.crowded = True
                keys = [k for k in keys if k in self._parts or not k[2]] or keys[:1]
            for key in keys:
                if key not in self._parts:
                    self._parts[key] = len(self._names)
                    self._names.append(key)
            parts = np.array([self._parts[k] for k in keys], dtype=np.int64)
            if len(self._cells) >= 5 * MOST_PARTS:  # hostile values: not remembered, and so found out anew
                return parts
            self._cells[cell] = parts
        return self._cells[cell]

    def _grown(
        self, cells: list[Ints], window: Ints, weight: Floats, came: Floats, length: int
    ) -> tuple[Floats, Floats]:
        """By window and part: the greatest weight so far, and whether enough has come for a chart."""
        more = len(self._names) - len(self._top)
        self._top, self._came = (np.concatenate([a, np.zeros(more)]) for a in (self._top, self._came))
        parts = len(self._names)
        rows = self._entries(cells, window, weight, None)
        top, rise = np.zeros((2, length, parts))
        np.maximum.at(top, (rows.window, rows.part), weight[rows.row])
        np.add.at(rise, (rows.window, rows.part), came[rows.row])
        top = np.maximum(np.maximum.accumulate(top, axis=0), self._top)
        rise = np.cumsum(rise, axis=0) + self._came
        if length:
            self._top, self._came = top[-1], rise[-1]
        return top, (rise >= np.array([_enough(scope) for _, _, scope in self._names])).astype(np.float64)

    def _entries(self, cells: list[Ints], window: Ints, weight: Floats, top: Floats | None) -> _Rows:
        count = np.array([len(c) for c in cells], dtype=np.int64)
        row = np.repeat(np.arange(len(cells)), count)
        part = np.concatenate(cells) if cells else np.zeros(0, dtype=np.int64)
        share = np.ones(len(row)) if top is None else weight[row] / np.maximum(top[window[row], part], weight[row])
        return _Rows(window=window[row], part=part, row=row, fraction=share)

    def _by_part(self, rows: _Rows, values: Floats, length: int) -> Floats:
        """Sums by window and part, shape (length, parts)."""
        parts = len(self._names)
        flat = np.bincount(rows.window * parts + rows.part, weights=values, minlength=length * parts)
        return flat.reshape(length, parts).astype(np.float64)

    def _stream(
        self, rows: _Rows, stream: tuple[str, str, str], n: Floats, x: Floats, alive: Floats, length: int
    ) -> tuple[Ints, Floats, Floats]:
        """Charts of one metric, direction and aspect: their numbers, observations and harm by window."""
        seen = self._by_part(rows, n[rows.row] * rows.fraction, length) * alive
        harm = self._by_part(rows, x[rows.row] * rows.fraction, length) * alive
        parts, charts = self._charts_of(stream, np.asarray(seen.any(axis=0)))
        return charts, seen[:, parts], harm[:, parts]

    def _traffic(self, rows: _Rows, came: Floats, alive: Floats, length: int) -> tuple[Ints, Floats, Floats]:
        """Charts of the traffic itself: what came, and for how much of an hour it was counted; silence counts too."""
        count = self._by_part(rows, came[rows.row], length) * alive
        parts, charts = self._charts_of((TRAFFIC, "down", ""), np.asarray(count.any(axis=0)))
        share = self._charts.window_us / cluster_us(self._charts.window_us)
        return charts, alive[:, parts] * share, count[:, parts]

    def _topics(self, rows: _Rows, came: Floats, alive: Floats, length: int) -> tuple[Ints, Floats, Floats]:
        """Charts of what is asked: the share that each topic has in the questions of its app that have one."""
        count = self._by_part(rows, came[rows.row] * rows.fraction, length)
        topics = [i for i, (_, _, scope) in enumerate(self._names) if len(scope) == 1 and scope[0][0] == TOPIC]
        share, asked = np.zeros((2, *count.shape))
        for app in {self._names[i][:2] for i in topics}:
            mine = [i for i in topics if self._names[i][:2] == app]
            share[:, mine] = count[:, mine] * alive[:, mine]
            asked[:, mine] = count[:, mine].sum(axis=1, keepdims=True) * alive[:, mine]
        parts, charts = self._charts_of((TOPIC_SHARE, "up", ""), np.asarray(share.any(axis=0)))
        return charts, asked[:, parts], share[:, parts]

    def _charts_of(self, stream: tuple[str, str, str], needed: NDArray[np.bool_]) -> tuple[Ints, Ints]:
        """The parts that have a chart of this stream, and its numbers; charts that are needed and new are made."""
        slots = self._slots.get(stream, np.zeros(0, dtype=np.int64))
        slots = np.concatenate([slots, np.full(len(self._names) - len(slots), -1)])
        metric, direction, aspect = stream
        for part in np.flatnonzero(needed & (slots == -1)).tolist():
            app, environment, scope = self._names[part]
            learned = Monitor(
                app=app, environment=environment, metric=metric, direction=direction, scope=scope, aspect=aspect
            )
            plain = watched(metric, direction, scope) and self._wanted(learned) and not aspect.startswith(BEYOND)
            limits = [
                replace(learned, objective=o.name, at_most=o.at_most)
                for o in matching(self._objectives, app, environment, metric, direction, scope)
                if aspect == ("" if o.beyond is None else f"{BEYOND}{o.beyond:g}")
            ]
            charts = [self._charts.index(m) for m in (*([learned] if plain else []), *limits)]
            slots[part] = charts[0] if charts else -2
            self._copies += [(charts[0], copy) for copy in charts[1:]]
        self._slots[stream] = slots
        parts = np.flatnonzero(slots >= 0)
        return parts, slots[parts]

    def _number(
        self, metric: Metric, table: pa.Table, cells: list[Ints], first: int, top: Floats, alive: Floats, length: int
    ) -> list[tuple[Ints, Floats, Floats]]:
        """Charts of a number: the share of the reference that each value is worse than, and its tail."""
        window, bins, n = self._windows(table, first), _column(table, "bin").astype(np.int64), _column(table, "n")
        weight = _weights(table)
        app = np.array([c[0] for c in cells])  # the first part of a cell is all of its app
        ridit, high, low, counted = np.zeros((4, len(table)))
        for whole in np.unique(app).tolist():
            of_app = app == whole
            of, environment, scope = self._names[whole]
            key = _key(of, environment, scope, metric.name)
            since = self._refer(key, first, window[of_app], bins[of_app], n[of_app], weight[of_app])
            reference = self._references.get(key)
            if reference is not None:
                ridit[of_app] = reference.share_below(bins[of_app])
                high[of_app] = bins[of_app] >= reference.cut(metric.tail, high=True)
                low[of_app] = bins[of_app] < reference.cut(metric.tail, high=False)
                counted[of_app] = window[of_app] > since
        rows = self._entries(cells, window, weight, top)
        harms = {("up", ""): ridit, ("down", ""): 1 - ridit, ("up", "tail"): high, ("down", "tail"): low}
        found = [
            self._stream(rows, (metric.name, *stream), n * counted, n * counted * harms[stream], alive, length)
            for stream in metric.streams()
        ]
        for limit in {
            (o.direction, o.beyond) for o in self._objectives if o.metric == metric.name and o.beyond is not None
        }:
            direction, beyond = limit
            harm = bins >= stats.bin_of(beyond) if direction == "up" else bins < stats.bin_of(beyond)
            stream = (metric.name, direction, f"{BEYOND}{beyond:g}")
            found.append(self._stream(rows, stream, n, n * harm, alive, length))
        return found

    def _refer(self, key: Key, first: int, window: Ints, bins: Ints, n: Floats, weight: Floats) -> int:
        """Learn the reference of a number if there is none; returns the window after which it may be used."""
        if key in self._references:
            return -1
        waiting = self._waiting.setdefault(key, [])
        waiting.append(np.column_stack([window + first, bins, n, weight]))
        rows = np.concatenate(waiting)
        windows, inverse = np.unique(rows[:, 0], return_inverse=True)
        came = np.cumsum(np.bincount(inverse, weights=rows[:, 2]))
        enough = np.flatnonzero((came >= LEARN_N) & (np.arange(1, len(windows) + 1) >= LEARN_WINDOWS))
        if len(enough) == 0:
            return int(window.max())
        last = windows[enough[0]]
        past = rows[rows[:, 0] <= last]
        self._references[key] = stats.ridits_of(past[:, 1].astype(np.int64), past[:, 2] * past[:, 3])
        del self._waiting[key]
        return int(last) - first


def _key(app: str, environment: str, scope: tuple[tuple[str, str], ...], metric: str) -> Key:
    return app, environment, tuple(pair for pair in scope if pair[0] in APART), metric


def _enough(scope: tuple[tuple[str, str], ...]) -> int:
    """Interactions from which a part has charts; what evaluators say is counted by itself."""
    return ENOUGH if scope and scope[0][0] != EVALUATOR else int(not scope)


def _weights(table: pa.Table) -> Floats:
    """The weight of each group; a row without one stands for itself."""
    weight = _column(table, "weight")
    return np.where(weight > 0, weight, 1.0)


def _column(table: pa.Table, name: str) -> Floats:
    return np.asarray(np.nan_to_num(table[name].to_numpy(zero_copy_only=False).astype(np.float64)))
