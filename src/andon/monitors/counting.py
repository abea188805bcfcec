"""From rows of counts to the harm of every chart: parts of the traffic, sampling weights, ridits of numbers."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon import stats
from andon.monitors.charts import Charts
from andon.monitors.history import cluster_us
from andon.monitors.objectives import BEYOND, Objective, aspect_of, matching
from andon.monitors.records import TOPIC_SHARE, TRAFFIC, Monitor
from andon.monitors.series import APART, Metric, parts_of, watched
from andon.scores.rows import EVALUATOR, TOPIC
from andon.traffic import SEGMENTS

__all__ = ["KEYS", "Bound", "Counting"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Part = tuple[str, str, tuple[tuple[str, str], ...]]
Key = tuple[str, str, tuple[tuple[str, str], ...], str]
"""App, environment, what sets the values apart, and metric: where numbers have one reference."""

Bound = tuple[str, str, float]
"""Metric, direction and value from which on it harms (``up``), or below which it does (``down``)."""

KEYS = ("app", "environment", *SEGMENTS, TOPIC)

LEARN_N, LEARN_WINDOWS = 100, 6
"""The reference of a number are the first windows of its app: this many with traffic, and this many observations."""


ENOUGH = 50
"""A part of the traffic has charts once this many of its interactions have come."""

MOST_PARTS, ROOM = 20_000, 1_000
"""Parts of the traffic beyond these are not watched apart: a field with a value for every user is no segment. The first parts
of every field, and of every pair of fields, have room nevertheless: a field with too many values crowds out no other."""

MOST_CELLS = 5 * MOST_PARTS
"""Cells beyond these are not remembered: hostile values, whose parts are found out anew each time."""


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
        self._full: set[tuple[str, ...]] = set()  # fields of parts that had no room
        self._of: Counter[tuple[str, ...]] = Counter()  # how many parts these fields have
        self._copies: list[tuple[int, int]] = []  # charts that count what another one counts
        self._cells: dict[tuple[tuple[str, str | None], ...], Ints] = {}  # cell -> the parts it belongs to
        self._parts: dict[Part, int] = {}
        self._names: list[Part] = []
        self._top, self._came = np.zeros((2, 0))  # by part: greatest sampling weight and interactions so far
        self._tops, self._taken = np.zeros((0, 0)), 0  # greatest weights by window and part; the first window of them
        self._slots: dict[tuple[str, str, str], Ints] = {}  # stream -> number of the chart of each part; -1: none
        self._references: dict[Key, stats.Ridits] = {}
        self._waiting: dict[Key, list[Floats]] = {}  # rows of (window, bin, n, weight) before there is a reference

    @property
    def bounds(self) -> list[Bound]:
        """Every bound of a number that objectives limit the harm beyond, once."""
        return sorted(
            {
                (o.metric, o.direction, o.beyond)
                for o in self._objectives
                if o.beyond is not None and o.metric in self._metrics
            }
        )

    @property
    def crowded(self) -> list[str]:
        """Fields with more values than are watched apart, and pairs (``segment and task``) that only together have too many."""
        alone = {fields[0] for fields in self._full if len(fields) == 1}
        return sorted({*alone, *(" and ".join(fields) for fields in self._full if not alone & {*fields})})

    def relearn(self, monitors: Sequence[Monitor]) -> list[Monitor]:
        """Forget the references of numbers whose chart of the whole is to be learned anew; the next values make new ones.

        What was counted until now is in shares of the old reference, so no baseline may be learned from it.

        Args:
            monitors: charts that learn anew; those of parts have the reference of their whole, which stays.

        Returns:
            Every chart whose counts are of these references, of parts and of other directions and tails too: these
            learn from what comes from now on.
        """
        forgotten = {
            _key(m.app, m.environment, m.scope, m.metric)
            for m in monitors
            if m.aspect in ("", "tail") and all(name in APART for name, _ in m.scope)
        } & {*self._references, *self._waiting}
        for key in forgotten:
            self._references.pop(key, None)
            self._waiting.pop(key, None)
        return [
            m
            for m in self._charts.monitors
            if m.aspect in ("", "tail") and _key(m.app, m.environment, m.scope, m.metric) in forgotten
        ]

    def weight_of(self, monitor: Monitor, at_us: int) -> float:
        """How many interactions one observation of this chart stood for, at most, in the window that ended then.

        Only windows of the last `take` are known; what comes after one of them does not count.
        """
        part = self._parts.get((monitor.app, monitor.environment, monitor.scope))
        row = at_us // self._charts.window_us - 1 - self._taken
        known = part is not None and 0 <= row < len(self._tops) and part < self._tops.shape[1]
        return float(self._tops[row, part]) or 1.0 if known else 1.0

    def weights_of(self, monitors: Sequence[Monitor]) -> Floats:
        """How many interactions one observation of each of these charts stands for, at most, so far; shape (k,)."""
        parts = [self._parts.get((m.app, m.environment, m.scope), -1) for m in monitors]
        tops = np.append(self._top, 0.0)[parts]  # the last is that of no part
        return np.where(tops > 0, tops, 1.0)

    def cut_of(self, monitor: Monitor, share: float | None = None) -> float | None:
        """For a number: the value beyond which lies this share of its reference, that of its tail unless given."""
        if monitor.aspect.startswith(BEYOND):
            return float(monitor.aspect.removeprefix(BEYOND))
        reference = self._references.get(_key(monitor.app, monitor.environment, monitor.scope, monitor.metric))
        if reference is None:
            return None
        beyond = self._metrics[monitor.metric].tail if share is None else share
        return stats.bin_edges(reference.cut(beyond, high=monitor.direction == "up"))[0]

    def take(
        self,
        first: int,
        length: int,
        rates: pa.Table,
        numbers: Mapping[str, pa.Table],
        beyond: Mapping[Bound, pa.Table],
    ) -> tuple[Floats, Floats]:
        """Observations and harm of every chart, both of shape (length, charts), for the windows from `first`.

        Args:
            first: index of the first window.
            length: how many windows.
            rates: a `Rollup` of the binary metrics by `KEYS`, weight and window.
            numbers: metric -> its `Histogram` by `KEYS`, weight and window.
            beyond: each of `bounds` -> the `Rollup` of the rows that are harm by it, by `KEYS`, weight and window.
        """
        cells = [self._cells_of(t) for t in (rates, *numbers.values(), *beyond.values())]
        window, weight = self._windows(rates, first), _weights(rates)
        top, alive = self._grown(cells[0], window, weight, _column(rates, "rows"), length)
        self._tops, self._taken = top, first
        rows = self._entries(cells[0], window, weight, top)
        answered = "error.n" if "error.n" in rates.column_names else "rows"  # rows of feedback are no traffic
        came = _column(rates, answered)
        found = [self._traffic(rows, came * weight, top, alive, length), self._topics(rows, came, alive, length)]
        answers = self._by_part(rows, came[rows.row] * rows.fraction, length) * alive
        for metric in self._metrics.values():
            if metric.kind == "binary" and f"{metric.name}.n" in rates.column_names:
                n = _column(rates, f"{metric.name}.n")
                if metric.name != "error":  # by which answers are known
                    measured = self._by_part(rows, n[rows.row] * rows.fraction, length) * alive
                    found.append(self._measured(metric.name, answers, measured))
                ones = np.clip(_column(rates, f"{metric.name}.sum"), 0, n)  # a plug-in may call binary what is not
                for direction in metric.directions:
                    harm = ones if direction == "up" else n - ones
                    found.append(self._stream(rows, (metric.name, direction, ""), n, harm, alive, length))
        of_number = dict(zip(numbers, cells[1:], strict=False))
        for name, table in numbers.items():
            if len(table):
                found += self._number(self._metrics[name], table, of_number[name], first, top, alive, length)
                measured = self._total(table, of_number[name], "n", first, top, alive)
                found.append(self._measured(name, answers, measured))
        for (bound, table), cell in zip(beyond.items(), cells[1 + len(numbers) :], strict=True):
            seen = self._total(numbers[bound[0]], of_number[bound[0]], "n", first, top, alive)
            harm = self._total(table, cell, f"{bound[0]}.n", first, top, alive)
            parts, charts = self._charts_of((*bound[:2], aspect_of(bound[2])), np.asarray(seen.any(axis=0)))
            found.append((charts, seen[:, parts], np.minimum(harm, seen)[:, parts]))
        n, x = np.zeros((2, length, len(self._charts.monitors)))
        for numbers_of, observed, harmed in found:
            n[:, numbers_of], x[:, numbers_of] = observed, harmed
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
            there = [self._has_room(key) for key in keys]  # the whole first: without it no part is watched either
            parts = np.array([self._parts[k] for k, has in zip(keys, there, strict=True) if has and there[0]], np.int64)
            if len(self._cells) >= MOST_CELLS:
                return parts
            self._cells[cell] = parts
        return self._cells[cell]

    def _has_room(self, key: Part) -> bool:
        """Whether this part of the traffic is watched; one that is new is, while there is room (a pair with both its values)."""
        fields = tuple(name for name, _ in key[2])
        if key in self._parts:
            return True
        if len(fields) == 2 and fields[0] not in APART and any((*key[:2], (p,)) not in self._parts for p in key[2]):
            return False
        if fields and self._of[fields] >= ROOM and len(self._names) >= MOST_PARTS:
            self._full.add(fields)
            return False
        self._parts[key] = len(self._names)
        self._names.append(key)
        self._of[fields] += 1
        return True

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

    def _total(self, table: pa.Table, cells: list[Ints], column: str, first: int, top: Floats, alive: Floats) -> Floats:
        """Observations of a column by window and part, shape (length, parts)."""
        rows = self._entries(cells, self._windows(table, first), _weights(table), top)
        return self._by_part(rows, _column(table, column)[rows.row] * rows.fraction, len(alive)) * alive

    def _traffic(
        self, rows: _Rows, came: Floats, top: Floats, alive: Floats, length: int
    ) -> tuple[Ints, Floats, Floats]:
        """Charts of the traffic itself: what came, and for how much of an hour it was counted; silence counts too.

        Both are divided by the greatest weight so far: the rate stays that of the traffic, whatever share of it is kept,
        and the count varies as much as that of rows does.
        """
        unit = np.where(top > 0, top, 1.0)
        count = self._by_part(rows, came[rows.row], length) * alive / unit
        parts, charts = self._charts_of((TRAFFIC, "down", ""), np.asarray(count.any(axis=0)))
        share = self._charts.window_us / cluster_us(self._charts.window_us)
        return charts, alive[:, parts] * share / unit[:, parts], count[:, parts]

    def _measured(self, metric: str, answers: Floats, measured: Floats) -> tuple[Ints, Floats, Floats]:
        """Charts of how often a metric is measured at all, of all answers of an app: a judge that is dead looks healthy."""
        whole = np.array([not scope for _, _, scope in self._names], dtype=np.bool_)
        parts, charts = self._charts_of((TRAFFIC, "down", metric), measured.any(axis=0) & whole)
        return charts, answers[:, parts], measured[:, parts]

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
                if aspect == aspect_of(o.beyond)
            ]
            # a limit needs the chart beside it even where that tells nothing: it learns how much hours vary
            beside = [self._charts.index(learned, quiet=not plain)] if plain or limits else []
            charts = [*beside, *(self._charts.index(m) for m in limits)]
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
        app = np.array([c[0] if len(c) else -1 for c in cells])  # the first part of a cell is all of its app
        ridit, high, low, counted = np.zeros((4, len(table)))
        for whole in np.unique(app[app >= 0]).tolist():
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
        return [
            self._stream(rows, (metric.name, *stream), n * counted, n * counted * harms[stream], alive, length)
            for stream in metric.streams()
        ]

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
