"""A stretch of traffic as what the askers brought: the mix, numbers, and a sample of the questions."""

import numpy as np

from andon.monitors.shift import TrafficWindow
from andon.scores import Embedder
from andon.store import Rollup, Sample, Span, Warehouse, Where
from andon.traffic import SEGMENTS

__all__ = ["traffic_window"]

ASKER = (*SEGMENTS, "source")
"""Columns of what the asker brings; versions are ours, and have the change log."""

ASKED = ("input_tokens",)
"""Numbers that the asker sets; what the system sets (latency, cost, length of the answer) is behaviour, and has its charts."""

NOTHING = "(none)"


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
