"""The control chart of a signal, read from the table ``scores``, and the conditions that select its rows."""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from andon.monitors.history import HOUR_US, cluster_us
from andon.monitors.limits import control_points, expected
from andon.monitors.records import TRAFFIC, Point, Signal
from andon.scores import failing
from andon.scores.rows import PROBE
from andon.store import Rollup, Span, Warehouse, Where

__all__ = ["chart_of", "harm_of", "missing_of", "scope_of"]


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


def scope_of(signal: Signal, scope: Mapping[str, str] | None = None) -> tuple[Where, ...]:
    """Conditions that select the part of the traffic that a signal is about, or another part of the same application."""
    part = signal.scope if scope is None else scope
    pairs = {"app": signal.app, "environment": signal.environment, **part}
    users = () if "source" in part else (Where(column="source", op="ne", value=PROBE),)
    return (*(Where(column=k, op="eq", value=v) for k, v in pairs.items()), *users)


def _by_window(table: pa.Table, metric: str, unit: float) -> dict[int, int]:
    """Observations by window, each counted as the fraction that its weight is of `unit`."""
    counts = (round(w / unit) for w in table[f"{metric}.w"].to_pylist())
    return dict(zip(table["window_us"].to_pylist(), counts, strict=True))
