"""Read counts from the table ``scores``: by window and cell for the charts, by hour for their whole history."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon.errors import InputError
from andon.monitors.charts import Charts
from andon.monitors.counting import KEYS, Bound, Counting
from andon.monitors.history import HOUR_US
from andon.monitors.objectives import MonitorRule, Objective, rule_for
from andon.monitors.records import TOPIC_SHARE, TRAFFIC, Monitor
from andon.monitors.series import Metric, all_metrics
from andon.scores import Harm, Scorer, failing
from andon.scores.rows import EVALUATION, EVALUATOR, PROBE
from andon.store import Histogram, Rollup, Span, Warehouse, Where

__all__ = ["CHUNK", "CHUNK_CHARTS", "harms_of", "history_of", "read_counts", "rule_of"]

_Key = TypeVar("_Key")

CHUNK, CHUNK_CHARTS = 288, 4_000
"""Windows read at a time: a day of five-minute ones; of more charts than these so much fewer, as each window of each is held."""


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
    charts = Charts(HOUR_US, 1.0, {m.name: m.kind for m in metrics}, harms_of(metrics))
    counting = Counting(charts, metrics, lambda m: rule_of(rules, m)[0], objectives)
    found = warehouse.run(Rollup(table="scores", metrics=("time_us",), span=span))
    low, high = found["time_us.min"][0].as_py(), found["time_us.max"][0].as_py()
    if low is None:
        raise InputError("nothing has been scored in this time; import traffic and turn the crank (`andon tick`) first")
    first, last = int(low) // HOUR_US, int(high) // HOUR_US + 1
    parts = []
    for start in range(first, last, CHUNK):
        length = min(CHUNK, last - start)
        read = read_counts(warehouse, metrics, counting.bounds, HOUR_US, start, length)
        parts.append(counting.take(start, length, *read))
    wide, told = len(charts.monitors), [i for i, m in enumerate(charts.monitors) if m not in charts.quiet]
    n, x = (np.concatenate([np.pad(p[i], ((0, 0), (0, wide - p[i].shape[1]))) for p in parts]) for i in (0, 1))
    return [charts.monitors[i] for i in told], dict(charts.kinds), first, n[:, told], x[:, told]


def read_counts(
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


def rule_of(rules: Sequence[MonitorRule], m: Monitor) -> tuple[bool, float]:
    """Whether a chart is watched, and the share of the budget that it deserves."""
    return rule_for(rules, m.app, m.environment, m.metric, m.direction, m.scope)


def harms_of(metrics: Sequence[Metric]) -> dict[tuple[str, str], Harm]:
    """(metric, direction) -> what is lost."""
    harms: dict[tuple[str, str], Harm] = {(m.name, d): m.harm_of(d) for m in metrics for d in m.directions}
    return harms | {(TRAFFIC, "down"): "availability", (TOPIC_SHARE, "up"): "usefulness"}
