"""Five plans: every question that Andon asks of its tables, as engine-neutral data.

An engine turns a plan into its own language (`duck.py`: SQL) and answers with an Arrow table. The rules that make
engines agree: time is int64 microseconds UTC, a window is an integer division, aggregates are only count, sum, min
and max in float64, quantiles come from log bins, and sampling orders rows by a hash that was stored with them.

Plans are read-only and may be repeated; evidence keeps the plan (`to_json`) beside its answer.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from andon.errors import InputError
from andon.stats.bins import BIN_BASE, OFFSET, TINY, bin_edges, bin_of

__all__ = [
    "BIN_BASE",
    "OFFSET",
    "TINY",
    "Histogram",
    "Lookup",
    "Plan",
    "Rollup",
    "Sample",
    "Slice",
    "Span",
    "Where",
    "bin_edges",
    "bin_of",
    "from_json",
    "to_json",
]

Op = Literal["eq", "ne", "in", "ge", "lt", "null", "not_null", "contains"]
Value = str | int | float | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A half-open range of event time, ``start_us <= time_us < end_us``."""

    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """One condition on a column; the conditions of a plan are joined by *and*.

    A null fulfils only ``null`` and ``ne``. ``contains`` is a case-insensitive substring; ``in`` takes a tuple of strings; ``null`` and ``not_null`` take no value.
    """

    column: str
    op: Op
    value: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """Counts and sums of metrics by window and keys.

    Answer columns: ``window_us`` (start of the window, only when `window_us` is given), each key, ``rows``, and for each
    metric m (nulls left out): ``m.n``, ``m.sum``, ``m.sumsq``, ``m.min``, ``m.max``, and with sampling weights ``m.w``
    (sum of weights) and ``m.wsum`` (sum of weight x value). Ordered by window, then keys. Without keys and window the
    answer always has one row. `measures` names those of them that are wanted (``("n", "sum")``); empty is all.
    """

    table: str
    metrics: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    window_us: int | None = None
    span: Span | None = None
    where: tuple[Where, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Row counts of one metric by logarithmic bin (`bin_of`), window and keys; mergeable, so quantiles are too.

    Answer columns: ``window_us`` (only when given), each key, ``bin`` (int), ``n``. Ordered by all of them.
    """

    table: str
    metric: str
    keys: tuple[str, ...] = ()
    window_us: int | None = None
    span: Span | None = None
    where: tuple[Where, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows as they are, ordered by time and id (`newest_first` turns the order round), at most `limit`."""

    table: str
    columns: tuple[str, ...]
    span: Span | None = None
    where: tuple[Where, ...] = ()
    limit: int | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`n` rows chosen by the seeded hash of their id: the same rows on every engine and on every call."""

    table: str
    n: int
    seed: int
    columns: tuple[str, ...]
    span: Span | None = None
    where: tuple[Where, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """The rows with these ids, ordered by time and id; give a `span` where it is known: it spares a full scan."""

    table: str
    ids: tuple[str, ...]
    columns: tuple[str, ...]
    span: Span | None = None


Plan = Rollup | Histogram | Slice | Sample | Lookup
_PLANS: dict[str, type[Any]] = {p.__name__: p for p in (Rollup, Histogram, Slice, Sample, Lookup)}


def to_json(plan: Plan) -> dict[str, Any]:
    """A plan as plain JSON data, for evidence that can be recomputed."""
    data: dict[str, Any] = json.loads(json.dumps({"plan": type(plan).__name__, **asdict(plan)}))
    return data


def from_json(data: dict[str, Any]) -> Plan:
    """The plan that `to_json` wrote.

    Raises:
        InputError: the data do not name one of the five plans.
    """
    fields = dict(data)
    name = fields.pop("plan", None)
    if name not in _PLANS:
        raise InputError(f"{name!r} is not a plan; one of {', '.join(_PLANS)} is")
    for key in ("metrics", "measures", "keys", "columns", "ids"):
        if key in fields:
            fields[key] = tuple(fields[key])
    if fields.get("span") is not None:
        fields["span"] = Span(**fields["span"])
    if "where" in fields:
        fields["where"] = tuple(
            Where(**{**w, "value": tuple(w["value"]) if isinstance(w["value"], list) else w["value"]})
            for w in fields["where"]
        )
    plan: Plan = _PLANS[name](**fields)
    return plan
