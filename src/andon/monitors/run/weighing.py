"""What was observed before and since a signal, by kind of question, read once for all charts of an application.

In:     a signal, and the table ``scores``.
Out:    weights by kind of question.
Always: a storm of signals reads what one of its kind does, however many segments signal: each picks its own from the same answer.
        What is read does not grow with the age of a chart.
"""

import pyarrow as pa
import pyarrow.compute as pc

from andon.monitors.records import Signal
from andon.monitors.run.charting import scope_of
from andon.store import Rollup, Span, Warehouse, Where
from andon.traffic import SEGMENTS

__all__ = ["KINDS", "Weighing", "Weights", "usual_span"]

KINDS = tuple(s for s in SEGMENTS if s != "requested_model")
"""Segments that say what is asked, not who answers: another mix of models is a change of ours."""

DAY_US = 86_400_000_000
WEEK, MOST = 7, 28
"""Days that tell what is usual where there is much traffic, and where there is little."""

MANY = 10_000
"""Observations of a chart in a week from which on a week tells enough."""

Weights = dict[tuple[str | None, ...], float]


def usual_span(signal: Signal) -> Span:
    """The time before a signal's onset that tells what is usual: of a chart older than a week whole days, and not more than it takes.

    Whole days are the same for many charts, whatever hour each learned its baseline in. A week has each day and hour once; where
    that holds too few observations it is four. A young chart's baseline is taken as it is.
    """
    start_us, end_us = signal.baseline_from_us, min(signal.baseline_to_us, signal.onset_us)
    first, last = -(-start_us // DAY_US), end_us // DAY_US
    if last - first <= WEEK:
        return Span(start_us=start_us, end_us=end_us)
    a_week = signal.baseline_n * WEEK * DAY_US / (signal.baseline_to_us - start_us)
    days = WEEK if a_week >= MANY else min(MOST, last - first)
    return Span(start_us=(last - days) * DAY_US, end_us=last * DAY_US)


class Weighing:
    """Answers that were read are kept for as long as the object is."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._read: dict[object, pa.Table] = {}

    def __call__(self, signal: Signal, span: Span, *harm: Where) -> Weights:
        """Weights of what was observed of a signal's metric in a span, or of the harm in it, by the values of `KINDS`."""
        apart = {k: v for k, v in signal.scope.items() if k == "source"}  # probes are no traffic, unless asked for
        where = (*scope_of(signal, apart), *harm)
        within = {k: v for k, v in signal.scope.items() if k not in apart}
        keys = tuple(dict.fromkeys((*KINDS, *sorted(within))))
        plan = Rollup(table="scores", metrics=(signal.metric,), measures=("w",), keys=keys, span=span, where=where)
        table = self._read.get(plan)
        if table is None:
            table = self._read[plan] = self._warehouse.run(plan)
        for key, value in within.items():
            table = table.filter(pc.equal(table[key], value))
        weights: Weights = {}
        cells = zip(*(table[k].to_pylist() for k in KINDS), strict=True)
        for cell, weight in zip(cells, table[f"{signal.metric}.w"].to_pylist(), strict=True):
            weights[cell] = weights.get(cell, 0.0) + (weight or 0.0)
        return weights
