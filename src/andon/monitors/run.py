"""Turn the charts: read windows of counts, step, write signals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon.errors import InputError
from andon.monitors.charts import Charts
from andon.monitors.counting import KEYS, Bound, Counting
from andon.monitors.history import HOUR_US, cluster_us
from andon.monitors.limits import control_points, expected
from andon.monitors.objectives import MonitorRule, Objective, rule_for
from andon.monitors.records import TOPIC_SHARE, TRAFFIC, Crowded, Monitor, NewNormal, Point, Signal, names
from andon.monitors.series import Metric, all_metrics
from andon.monitors.shift import TrafficWindow, explain_strata
from andon.monitors.truth import GivenLabel, ScoreCell, ScoreSums, Truth, truth_of
from andon.scores import LABELS, Embedder, Harm, Scorer, failing
from andon.scores.blas import one_blas_thread
from andon.scores.rows import EVALUATION, EVALUATOR, PROBE
from andon.store import Histogram, Ledger, Rollup, Sample, Slice, Span, Warehouse, Where
from andon.traffic import SEGMENTS, format_time

__all__ = [
    "Watch",
    "accept",
    "chart_of",
    "harm_of",
    "history_of",
    "missing_of",
    "rate_from_labels",
    "scope_of",
    "traffic_window",
]

WORST_FIFTH, WORSE_HALF = 0.2, 0.5
"""Shares of a number's reference beyond whose bound a value counts as harm: the first that shows what moved."""

KINDS = tuple(s for s in SEGMENTS if s != "requested_model")
"""Segments that say what is asked, not who answers: another mix of models is a change of ours."""

DAY_US = 24 * HOUR_US

_Key = TypeVar("_Key")

_Weights = dict[tuple[str | None, ...], float]

AT_ONCE = 5_000
"""Interactions whose score is looked up in one plan."""

CHUNK = 288
"""Windows read at a time: a day of five-minute ones."""

ASKER = (*SEGMENTS, "source")
"""Columns of what the asker brings; versions are ours, and have the change log."""

ASKED = ("input_tokens",)
"""Numbers that the asker sets; what the system sets (latency, cost, length of the answer) is behaviour, and has its charts."""

NOTHING = "(none)"


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
        objectives: Sequence[Objective] = (),
        rules: Sequence[MonitorRule] = (),
    ) -> None:
        self._warehouse, self._ledger = warehouse, ledger
        self._metrics = all_metrics(scorers)
        self._width = window_s * 1_000_000
        self._charts = Charts(
            self._width,
            false_pages_per_month,
            {m.name: m.kind for m in self._metrics},
            _harms(self._metrics),
            lambda m: _rule(rules, m)[1],
        )
        self._counting = Counting(self._charts, self._metrics, lambda m: _rule(rules, m)[0], objectives)
        self._next: int | None = None
        self._fresh: list[Signal] = []
        self._told_us = -1

    @property
    def phases(self) -> tuple[int, int]:
        """How many charts watch, and how many still learn their baseline, as of the last turn."""
        return self._charts.phases

    def advance(self, until_us: int) -> list[Signal]:
        """Turn the charts through every whole window that ends at or before `until_us`; new signals are recorded.

        What is returned is returned again until `done` is called, so that a failure in between loses no signal.
        """
        if self._next is None:
            first = self._warehouse.run(Rollup(table="scores", metrics=("time_us",)))["time_us.min"][0].as_py()
            if first is None:
                return []
            self._next = int(first) // self._width
        last = until_us // self._width
        cursor = self._ledger.get(WatchCursor, "monitors")
        self._told_us = cursor.until_us if cursor is not None else -1
        news = sorted(self._ledger.all(NewNormal), key=lambda w: (w.accepted_us, w.id))
        while self._next < last:
            length = min(CHUNK, last - self._next)
            for accepted in news:
                at = accepted.accepted_us // self._width
                if at == self._next:
                    hour_us = cluster_us(self._width)
                    for monitor in self._counting.relearn(self._charts.relearn(accepted.monitor, accepted.from_us)):
                        # their counts so far are of a reference that is gone
                        self._charts.relearn(monitor.id, -(-accepted.accepted_us // hour_us) * hour_us)
                elif self._next < at < self._next + length:
                    length = at - self._next
            read = _read(self._warehouse, self._metrics, self._counting.bounds, self._width, self._next, length)
            n, x = self._counting.take(self._next, length, *read)
            self._say_crowded((self._next + length) * self._width)
            with one_blas_thread():  # products of charts are too small to share: threads would wait for each other
                found = self._charts.advance(self._next, n, x, self._consider)
            fresh = [s for s in found if s.at_us > self._told_us]
            for signal in fresh:
                self._ledger.put(signal, now_us=signal.at_us, by="andon")
            self._fresh += fresh
            self._next += length
        return list(self._fresh)

    def done(self) -> None:
        """Say that everything up to the last window has been dealt with."""
        if self._next is None:
            return
        self._fresh.clear()
        cursor = self._ledger.get(WatchCursor, "monitors")
        done = WatchCursor(id="monitors", until_us=self._next * self._width)
        if cursor is None or done.until_us > cursor.until_us:
            self._ledger.put(done, now_us=done.until_us, by="andon")

    def _say_crowded(self, at_us: int) -> None:
        """Record once which fields have more values than are watched apart: what has no chart cannot signal."""
        for fields in self._counting.crowded:
            if self._ledger.get(Crowded, fields) is None:
                self._ledger.put(Crowded(id=fields, seen_us=at_us), now_us=at_us, by="andon")

    def _consider(self, signal: Signal) -> Signal:
        """The signal as it was recorded when these charts were turned the first time, or with what only rows can tell."""
        recorded = self._ledger.get(Signal, signal.id) if signal.at_us <= self._told_us else None
        return recorded if recorded is not None else self._complete(signal)

    def _complete(self, signal: Signal) -> Signal:
        """The signal with what only rows can tell: for a number, the harm beyond its cut before and since."""
        monitor = Monitor(
            app=signal.app, environment=signal.environment, metric=signal.metric, direction=signal.direction,
            aspect=signal.aspect, scope=tuple(signal.scope.items()),
        )  # fmt: skip
        if signal.metric == TRAFFIC:
            return self._in_interactions(signal, self._counting.weight_of(monitor, signal.at_us))
        signal = replace(signal, stands_for=self._counting.weight_of(monitor, signal.at_us))
        if signal.metric == TOPIC_SHARE:
            return signal
        before = Span(start_us=signal.baseline_from_us, end_us=min(signal.baseline_to_us, signal.onset_us))
        sides = (before, Span(start_us=signal.onset_us, end_us=signal.at_us))
        pages = signal.level == "page" and not signal.objective and before.start_us < before.end_us
        kinds = KINDS if pages else ()
        typical = signal.kind == "number" and not signal.aspect
        if signal.kind == "number" and signal.aspect:
            signal = replace(signal, cut=self._counting.cut_of(monitor))
        if not pages and not typical:
            return signal
        every = [self._weights(signal, span, kinds) for span in sides]
        if typical:
            signal, harmed = self._with_cut(signal, monitor, sides, kinds, every)
        else:
            harmed = [self._weights(signal, span, kinds, harm_of(signal)) for span in sides]
        return self._unless_mix(signal, sides[1], every, harmed) if pages else signal

    def _in_interactions(self, signal: Signal, unit: float) -> Signal:
        """A signal of traffic in interactions that came, whatever was kept of them; its chart counts in greatest weights."""
        if unit == 1.0:
            return signal
        span = Span(start_us=signal.baseline_from_us, end_us=signal.baseline_to_us)
        came = Rollup(table="scores", metrics=("error",), measures=("w",), span=span, where=scope_of(signal))
        before = self._warehouse.run(came)["error.w"][0].as_py() or 0
        x, n = (max(least, round(k * unit)) for k, least in ((signal.x, 0), (signal.n, 1)))
        return replace(signal, x=x, n=n, baseline_n=max(1, round(before)))

    def _with_cut(
        self, signal: Signal, monitor: Monitor, sides: tuple[Span, Span], kinds: tuple[str, ...], every: list[_Weights]
    ) -> tuple[Signal, list[_Weights]]:
        """The signal of a typical value that moved, with counts beyond a bound that show it, and their weights on both sides."""
        n0, n = (self._counted(signal, weights) for weights in every)
        for share in (WORST_FIFTH, WORSE_HALF):
            told = replace(signal, cut=self._counting.cut_of(monitor, share))
            harmed = [self._weights(told, span, kinds, harm_of(told)) for span in sides]
            x0, x = (self._counted(signal, weights) for weights in harmed)
            told = replace(told, x=x, n=max(1, n), baseline_x=x0, baseline_n=max(1, n0))
            if told.rate > told.baseline_rate:
                break
        return told, harmed

    def _unless_mix(self, signal: Signal, since: Span, every: Sequence[_Weights], harmed: Sequence[_Weights]) -> Signal:
        """The signal, as a warning if the mix of the traffic alone explains it; nobody is woken for other questions."""
        unit = signal.stands_for
        sides = [
            {kind: (w / unit, min(w / unit, harm.get(kind, 0.0) / unit)) for kind, w in whole.items() if w > 0}
            for whole, harm in zip(every, harmed, strict=True)
        ]
        if any(sum(n for n, _ in side.values()) < 1 for side in sides):
            return signal
        hours = (since.end_us - since.start_us) / cluster_us(signal.window_us)
        an_hour = sum(n for n, _ in sides[1].values()) / max(hours, 1 / 12)
        design = (1 + max(0.0, an_hour - 1) * signal.dispersion) * signal.persistence
        found = explain_strata(*sides, design=max(1.0, design))
        if found.verdict == "mix" and found.new_share < 0.5 * found.mix:  # new kinds that fail are no mere mix
            return replace(signal, level="warning", mix=found.reason)
        return replace(signal, mix=found.reason) if found.verdict == "both" else signal

    def _weights(self, signal: Signal, span: Span, kinds: tuple[str, ...], *harm: Where) -> _Weights:
        """Weights of what was observed in a span, or of the harm in it, of every kind of question."""
        where = (*scope_of(signal), *harm)
        plan = Rollup(table="scores", metrics=(signal.metric,), measures=("w",), keys=kinds, span=span, where=where)
        table = self._warehouse.run(plan)
        cells = zip(*(table[k].to_pylist() for k in kinds), strict=True) if kinds else [()]
        return dict(zip(cells, table[f"{signal.metric}.w"].to_pylist(), strict=True))

    def _counted(self, signal: Signal, weights: _Weights) -> int:
        """Weights in the units of the chart."""
        return round(sum(weights.values()) / signal.stands_for)


def accept(
    ledger: Ledger, monitor: str, known: Sequence[str], *, from_us: int, why: str, by: str, now_us: int, window_s: int
) -> NewNormal:
    """Record that what a chart shows is the new normal; from the next window on it learns its baseline anew.

    Args:
        ledger: where it is recorded.
        monitor: id of a chart; with ``*`` at its end, the beginning of the ids of several.
        known: ids of charts, of signals say, to tell a misspelt one.
        from_us: what came before is forgotten.
        why: the reason that is recorded.
        by: who says so.
        now_us: the time.
        window_s: width of a window.

    Raises:
        InputError: no such chart, no reason, or a time to come.
    """
    if not why.strip():
        raise InputError("say why this is the new normal: it will be read when the same chart is asked about again")
    if not any(names(monitor, k) for k in known):
        told = ", ".join(sorted(set(known))[:20]) or "none has signalled yet"
        raise InputError(
            f"no chart {monitor!r} has signalled (a * at the end means all that begin so); those that have: {told}"
        )
    if from_us > now_us:
        raise InputError(f"{format_time(from_us)} is in the future: until then the charts would say nothing")
    width = window_s * 1_000_000
    at_us = (now_us // width + 1) * width  # a window is judged once: the next is the first that is learned from anew
    digest = blake2b(f"{monitor}/{at_us}".encode(), digest_size=6).hexdigest()
    accepted = NewNormal(id=f"NORMAL-{digest}", monitor=monitor, from_us=from_us, accepted_us=at_us, why=why, by=by)
    ledger.put(accepted, now_us=now_us, by=by)
    return accepted


def history_of(
    warehouse: Warehouse,
    scorers: Sequence[Scorer],
    *,
    objectives: Sequence[Objective] = (),
    rules: Sequence[MonitorRule] = (),
    span: Span | None = None,
) -> tuple[list[Monitor], dict[str, str], int, NDArray[np.float64], NDArray[np.float64]]:
    """All charts of a warehouse with their counts by hour: (monitors, kinds of metrics, first hour, n, x), arrays (t, k).

    Raises:
        InputError: nothing has been scored in this span.
    """
    metrics = all_metrics(scorers)
    charts = Charts(HOUR_US, 1.0, {m.name: m.kind for m in metrics}, _harms(metrics))
    counting = Counting(charts, metrics, lambda m: _rule(rules, m)[0], objectives)
    found = warehouse.run(Rollup(table="scores", metrics=("time_us",), span=span))
    low, high = found["time_us.min"][0].as_py(), found["time_us.max"][0].as_py()
    if low is None:
        raise InputError("nothing has been scored in this time; import traffic and turn the crank (`andon tick`) first")
    first, last = int(low) // HOUR_US, int(high) // HOUR_US + 1
    parts = []
    for start in range(first, last, CHUNK):
        length = min(CHUNK, last - start)
        read = _read(warehouse, metrics, counting.bounds, HOUR_US, start, length)
        parts.append(counting.take(start, length, *read))
    wide, told = len(charts.monitors), [i for i, m in enumerate(charts.monitors) if m not in charts.quiet]
    n, x = (np.concatenate([np.pad(p[i], ((0, 0), (0, wide - p[i].shape[1]))) for p in parts]) for i in (0, 1))
    return [charts.monitors[i] for i in told], dict(charts.kinds), first, n[:, told], x[:, told]


def _read(
    warehouse: Warehouse, metrics: Sequence[Metric], bounds: Sequence[Bound], width: int, first: int, length: int
) -> tuple[pa.Table, dict[str, pa.Table], dict[Bound, pa.Table]]:
    """Counts of the binary metrics, histograms of the numbers, and harm by every bound; by window, cell and weight."""
    span = Span(start_us=first * width, end_us=(first + length) * width)
    people = Where(column="source", op="ne", value=PROBE)
    rates, numbers, beyond = _counts(warehouse, metrics, bounds, width, span, people)
    probes = Where(column="source", op="eq", value=PROBE)
    if not warehouse.run(Rollup(table="scores", span=span, where=(probes,)))["rows"][0].as_py():
        return rates, numbers, beyond
    asked, counted, harmed = _counts(warehouse, metrics, bounds, width, span, probes)
    return _joined([rates, asked]), _both(numbers, counted), _both(beyond, harmed)


def _both(one: Mapping[_Key, pa.Table], other: Mapping[_Key, pa.Table]) -> dict[_Key, pa.Table]:
    return {k: _joined([t[k] for t in (one, other) if k in t]) for k in dict.fromkeys((*one, *other))}


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="default")


def _counts(
    warehouse: Warehouse, metrics: Sequence[Metric], bounds: Sequence[Bound], width: int, span: Span, where: Where
) -> tuple[pa.Table, dict[str, pa.Table], dict[Bound, pa.Table]]:
    keys = (*KEYS, "weight", *(("source",) if where.op == "eq" else ()))
    names = tuple(m.name for m in metrics)
    found = warehouse.run(Rollup(table="scores", metrics=names, measures=("n",), span=span, where=(where,)))
    there = [m for m in metrics if found[f"{m.name}.n"][0].as_py()]
    always = ("error",)  # it tells what is traffic, also where nothing but feedback came
    binary = tuple(m.name for m in metrics if m.kind == "binary" and (m in there or m.name in always))
    rates = Rollup(
        table="scores", metrics=binary, measures=("n", "sum"), keys=keys, window_us=width, span=span, where=(where,)
    )
    numbers = {}
    for m in there:
        if m.kind == "number":
            by = (*keys, EVALUATOR) if m.name == EVALUATION else keys
            plan = Histogram(table="scores", metric=m.name, keys=by, window_us=width, span=span, where=(where,))
            numbers[m.name] = warehouse.run(plan)
    beyond = {}
    for metric, direction, bound in bounds:
        if metric in numbers:
            op, value = failing("number", direction, bound)
            harmed = Where(column=metric, op="ge" if op == "ge" else "lt", value=value)
            beyond[metric, direction, bound] = warehouse.run(
                replace(rates, metrics=(metric,), measures=("n",), where=(where, harmed))
            )
    return warehouse.run(rates), numbers, beyond


def _rule(rules: Sequence[MonitorRule], m: Monitor) -> tuple[bool, float]:
    return rule_for(rules, m.app, m.environment, m.metric, m.direction, m.scope)


def _harms(metrics: Sequence[Metric]) -> dict[tuple[str, str], Harm]:
    harms: dict[tuple[str, str], Harm] = {(m.name, d): m.harm_of(d) for m in metrics for d in m.directions}
    return harms | {(TRAFFIC, "down"): "availability", (TOPIC_SHARE, "up"): "usefulness"}


def chart_of(warehouse: Warehouse, signal: Signal, *, start_us: int, end_us: int, points: int = 90) -> list[Point]:
    """The control chart of a signal's monitor over a range, in about this many points."""
    width = max(signal.window_us, -(-(end_us - start_us) // points // signal.window_us) * signal.window_us)
    span = Span(start_us=start_us, end_us=end_us)
    where = scope_of(signal)
    hours = max(1, width // cluster_us(signal.window_us))
    if signal.metric == TRAFFIC:
        return _traffic(warehouse, signal, span, width)
    total = Rollup(table="scores", metrics=(signal.metric, "weight"), window_us=width, span=span, where=where)
    failed = Rollup(
        table="scores", metrics=(signal.metric,), window_us=width, span=span, where=(*where, harm_of(signal))
    )
    table = warehouse.run(total)
    unit = max(table["weight.max"].to_pylist(), default=None) or 1.0
    counts = _by_window(table, signal.metric, unit)
    harmed = _by_window(warehouse.run(failed), signal.metric, unit)
    windows = [(w, w + width, n, harmed.get(w, 0)) for w, n in sorted(counts.items())]
    return control_points(windows, signal.baseline_x, signal.baseline_n, signal.dispersion, hours, signal.clock)


def missing_of(warehouse: Warehouse, signal: Signal, *, start_us: int, end_us: int) -> tuple[int, int]:
    """What did not come (or was not measured) in a stretch of whole windows, as a whole, and what usually does."""
    usual = list(_usual(warehouse, signal, Span(start_us=start_us, end_us=end_us), signal.window_us))
    n = round(sum(expects for _, expects, _ in usual))
    return max(0, n - sum(came for _, _, came in usual)), n


def _traffic(warehouse: Warehouse, signal: Signal, span: Span, width: int) -> list[Point]:
    """What did not come (or was not measured), as a share of what does at that hour of the day."""
    counts = ((w, max(1, round(expects)), came) for w, expects, came in _usual(warehouse, signal, span, width))
    windows = [(w, w + width, n, max(0, n - came)) for w, n, came in counts]
    return control_points(windows, 0, signal.baseline_n, signal.dispersion)


def _usual(warehouse: Warehouse, signal: Signal, span: Span, width: int) -> Iterator[tuple[int, float, int]]:
    """Start of each window, what usually comes (or of what came is measured) in it, and what did."""
    metrics = ("error", signal.aspect) if signal.aspect else ("error",)
    table = warehouse.run(Rollup(table="scores", metrics=metrics, window_us=width, span=span, where=scope_of(signal)))
    answers, came = (
        dict(zip(table["window_us"].to_pylist(), map(round, table[f"{m}.w"].to_pylist()), strict=True))
        for m in ("error", signal.aspect or "error")
    )
    clock = signal.clock or (signal.baseline_n * HOUR_US / (signal.baseline_to_us - signal.baseline_from_us),) * 48
    for w in range(span.start_us // width * width, span.end_us, width):
        exposure = answers.get(w, 0) if signal.aspect else width / HOUR_US
        yield w, expected(clock, w, w + width) * exposure, came.get(w, 0)


def harm_of(signal: Signal) -> Where:
    """The condition under which a row of the table ``scores`` is harm to a signal's chart."""
    op, bound = failing(signal.kind, signal.direction, signal.cut)
    return Where(column=signal.metric, op="ge" if op == "ge" else "lt", value=bound)


def scope_of(signal: Signal) -> tuple[Where, ...]:
    """Conditions that select the part of the traffic that a signal is about."""
    pairs = {"app": signal.app, "environment": signal.environment, **signal.scope}
    users = () if "source" in signal.scope else (Where(column="source", op="ne", value=PROBE),)
    return (*(Where(column=k, op="eq", value=v) for k, v in pairs.items()), *users)


def _by_window(table: pa.Table, metric: str, unit: float) -> dict[int, int]:
    """Observations by window, each counted as the fraction that its weight is of `unit`."""
    counts = (round(w / unit) for w in table[f"{metric}.w"].to_pylist())
    return dict(zip(table["window_us"].to_pylist(), counts, strict=True))


def traffic_window(
    warehouse: Warehouse, embedder: Embedder, span: Span, where: tuple[Where, ...] = (), *, questions: int = 2_000
) -> TrafficWindow:
    """One stretch of traffic for `andon.monitors.shift.compare_traffic`: mix, numbers, and a sample of the questions."""
    categories = {c: _mix_of(warehouse, c, span, where) for c in ASKER}
    plan = Sample(table="interactions", n=questions, seed=3, columns=("query", *ASKED), span=span, where=where)
    rows = warehouse.run(plan)
    asked = tuple(dict.fromkeys(q for q in rows["query"].to_pylist() if q and q.strip()))
    numbers = {c: rows[c].drop_null().to_numpy(zero_copy_only=False).astype(np.float64) for c in ASKED}
    return TrafficWindow(
        categories={c: counts for c, counts in categories.items() if counts.keys() - {NOTHING}},
        numbers={c: values for c, values in numbers.items() if len(values)},
        questions=asked,
        vectors=embedder.embed(list(asked)),
    )


def _mix_of(warehouse: Warehouse, column: str, span: Span, where: tuple[Where, ...]) -> dict[str, int]:
    """Interactions by value, each row counted as the fraction that its sampling weight is of the greatest."""
    table = warehouse.run(Rollup(table="interactions", metrics=("weight",), keys=(column,), span=span, where=where))
    unit = max((w for w in table["weight.max"].to_pylist() if w), default=1.0)
    values, sums = table[column].to_pylist(), table["weight.sum"].to_pylist()
    return {NOTHING if v is None else str(v): round((w or 0) / unit) for v, w in zip(values, sums, strict=True)}


def rate_from_labels(
    warehouse: Warehouse,
    scorers: Sequence[Scorer],
    rng: np.random.Generator,
    *,
    app: str,
    environment: str,
    metric: str,
    proxy: str,
    span: Span,
    now_us: int,
    level: float = 0.95,
    half_width: float | None = None,
    plan: int = 100,
) -> tuple[Truth, int]:
    """The rate of harm by what people say, and how many of their labels had no score to go with them.

    Interactions are those of the span; labels of them count whenever they were given until now, the last one of each
    interaction. A rating below one half is harm; a follow-up, a correction or an abandonment is. Rows join by
    ``interaction_id``, because feedback is a row of its own.

    Raises:
        InputError: the metric is not one that people give, or no scorer makes the proxy.
    """
    if metric not in LABELS:
        raise InputError(f"{metric!r} is no metric that people give; {', '.join(LABELS)} are")
    by_name = {s.name: s for s in scorers}
    if proxy not in by_name:
        raise InputError(f"{proxy!r} is no score; there are: {', '.join(sorted(by_name))}")
    worst: Literal["up", "down"] = "down" if by_name[proxy].bad == "down" else "up"
    scope = (
        Where(column="app", op="eq", value=app),
        Where(column="environment", op="eq", value=environment),
        Where(column="source", op="ne", value=PROBE),
    )
    scored = (*scope, Where(column=proxy, op="not_null"))
    bins = warehouse.run(Histogram(table="scores", metric=proxy, keys=("weight",), span=span, where=scope)).to_pylist()
    sums = warehouse.run(
        Rollup(table="scores", metrics=(proxy,), keys=("weight",), span=span, where=scored)
    ).to_pylist()
    harm = _harm_by_label(
        warehouse, scope, metric, Span(start_us=span.start_us - DAY_US, end_us=max(now_us, span.end_us) + DAY_US)
    )
    labels = _with_score(warehouse, harm, scored, proxy, span)
    found = truth_of(
        [ScoreCell(bin=r["bin"], weight=_weight(r), n=r["n"]) for r in bins],
        [
            ScoreSums(weight=_weight(r), n=r[f"{proxy}.n"], total=r[f"{proxy}.sum"], squares=r[f"{proxy}.sumsq"])
            for r in sums
        ],
        labels,
        rng,
        worst=worst,
        level=level,
        half_width=half_width,
        plan=plan,
    )
    return found, len(harm) - len(labels)


def _harm_by_label(warehouse: Warehouse, scope: tuple[Where, ...], metric: str, span: Span) -> dict[str, bool]:
    """Whether people call it harm, by interaction: their last word."""
    given = (*scope, Where(column=metric, op="not_null"), Where(column="interaction_id", op="not_null"))
    rows = warehouse.run(Slice(table="scores", columns=("interaction_id", metric), span=span, where=given)).to_pylist()
    rising = LABELS[metric][1] == "up"
    return {r["interaction_id"]: (r[metric] >= 0.5) == rising for r in rows}


def _with_score(
    warehouse: Warehouse, harm: Mapping[str, bool], scored: tuple[Where, ...], proxy: str, span: Span
) -> list[GivenLabel]:
    """The labels whose interaction lies in the span and has the score."""
    ids, found = sorted(harm), {}
    for at in range(0, len(ids), AT_ONCE):
        among = Where(column="interaction_id", op="in", value=tuple(ids[at : at + AT_ONCE]))
        columns = ("interaction_id", proxy, "weight")
        for r in warehouse.run(Slice(table="scores", columns=columns, span=span, where=(*scored, among))).to_pylist():
            identity = r["interaction_id"]
            found[identity] = GivenLabel(harm=harm[identity], score=r[proxy], weight=_weight(r))
    return list(found.values())


def _weight(row: dict[str, Any]) -> float:
    weight = row["weight"]
    return float(weight) if weight is not None and weight > 0 else 1.0
