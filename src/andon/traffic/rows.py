"""Records to Arrow columns and back, exactly.

Contexts and tool calls are lists of structs; free attributes and features are JSON text, which every engine reads and
no engine has to merge schemas for.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from math import isfinite
from operator import attrgetter
from types import MappingProxyType
from typing import Any

import orjson
import pyarrow as pa

from andon.errors import InputError
from andon.traffic.quoting import quoted
from andon.traffic.records import SEGMENTS, VERSIONS, Context, Feedback, Interaction, LogRow, SpanRow, Step, ToolCall

__all__ = [
    "SCHEMAS",
    "feedback_from_rows",
    "feedback_to_rows",
    "from_rows",
    "logs_from_rows",
    "logs_to_rows",
    "spans_from_rows",
    "spans_to_rows",
    "to_rows",
]

_CONTEXT = pa.struct([("text", pa.string()), ("id", pa.string()), ("score", pa.float64())])
_TOOL_CALL = pa.struct([(name, pa.string()) for name in ("name", "arguments", "result", "error")])
_STEP = pa.struct(
    [
        ("kind", pa.string()),
        ("name", pa.string()),
        ("parent", pa.int64()),
        ("start_s", pa.float64()),
        ("latency_s", pa.float64()),
        ("model", pa.string()),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("error", pa.string()),
    ]
)
_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_NUMBERS = ("confidence", "latency_s", "first_token_s", "cost_usd", "prediction_score", "weight")
_TYPES: dict[str, pa.DataType] = {
    "time_us": pa.int64(),
    "contexts": pa.list_(_CONTEXT),
    "tool_calls": pa.list_(_TOOL_CALL),
    "steps": pa.list_(_STEP),
    "refused": pa.bool_(),
    "escalated": pa.bool_(),
    **dict.fromkeys(_COUNTS, pa.int64()),
    **dict.fromkeys(_NUMBERS, pa.float64()),
}
_SPAN_TYPES: dict[str, pa.DataType] = {
    "time_us": pa.int64(),
    "end_us": pa.int64(),
    "parent_remote": pa.bool_(),
}


def _schema(record: type[Any], types: Mapping[str, pa.DataType]) -> pa.Schema:
    return pa.schema([(f.name, types.get(f.name, pa.string())) for f in fields(record)])


_SPAN_SCHEMA = _schema(SpanRow, _SPAN_TYPES)
SCHEMAS: Mapping[str, pa.Schema] = MappingProxyType(
    {
        "interactions": _schema(Interaction, _TYPES).with_metadata({"andon.repeated": "replaces"}),
        "feedback": _schema(Feedback, {"time_us": pa.int64(), "value": pa.float64()}).with_metadata(
            {"andon.repeated": "replaces at any time"}
        ),
        "spans": pa.schema([pa.field("id", pa.string()), *_SPAN_SCHEMA], {"andon.repeated": "has the same time"}),
        "logs": _schema(LogRow, {"time_us": pa.int64()}),
        "intake": pa.schema(
            [
                ("id", pa.string()),
                ("time_us", pa.int64()),
                ("what", pa.string()),
                ("subject", pa.string()),
                ("count", pa.int64()),
            ]
        ),
    }
)
"""Columns of each table of this stage; a column has the name of its field.

An interaction or feedback that comes again with another content replaces the one before; a span or log record does not.
``intake`` counts what was done to rows on their way in: ``what`` (``redacted``, ``sampled out``...), ``subject`` to which.
"""


_NAMES = ("app", "environment", "source", *SEGMENTS, *VERSIONS)
"""What becomes part of the name of a chart, a change or an inventory."""


def to_rows(interactions: Sequence[Interaction]) -> pa.Table:
    """Interactions as one table of the schema ``SCHEMAS["interactions"]``, in the order given.

    A NUL in an app, environment, segment or version becomes U+FFFD: no database keeps it in the names made of these.

    Raises:
        InputError: a value does not fit its column (text that is no Unicode, a number that is not finite in `features`).
    """
    special: dict[str, Callable[[Sequence[Any]], pa.Array]] = {
        "contexts": lambda lists: _lists(lists, _CONTEXT),
        "tool_calls": lambda lists: _lists(lists, _TOOL_CALL),
        "steps": lambda lists: _lists(lists, _STEP),
        "attributes": lambda column: pa.array([_json(v) for v in column], pa.string()),
        "features": lambda column: pa.array([_features(v) for v in column], pa.string()),
    }
    return _table(interactions, SCHEMAS["interactions"], special | dict.fromkeys(_NAMES, _names))


def from_rows(table: pa.Table) -> list[Interaction]:
    """The interactions of a table; columns that it lacks (or that are null) take the field's default.

    Raises:
        InputError: the table lacks `id` or `time_us`.
    """
    special: dict[str, Callable[[Any], Any]] = {
        "contexts": lambda structs: tuple(Context(**c) for c in structs),
        "tool_calls": lambda structs: tuple(ToolCall(**c) for c in structs),
        "steps": lambda structs: tuple(Step(**s) for s in structs),
        "attributes": orjson.loads,
        "features": orjson.loads,
    }
    return _records(table, Interaction, special)


def feedback_to_rows(feedback: Sequence[Feedback]) -> pa.Table:
    """Feedback as one table of the schema ``SCHEMAS["feedback"]``, in the order given.

    Raises:
        InputError: a value does not fit its column.
    """
    return _table(feedback, SCHEMAS["feedback"], dict.fromkeys(("author", "name", "version"), _names))


def feedback_from_rows(table: pa.Table) -> list[Feedback]:
    """The feedback of a table that has its required columns.

    Raises:
        InputError: the table lacks `id`, `interaction_id`, `time_us` or `kind`.
    """
    return _records(table, Feedback, {})


def spans_to_rows(spans: Sequence[SpanRow]) -> pa.Table:
    """Spans as one table of the schema ``SCHEMAS["spans"]``; attributes, events and links are JSON text."""
    special = dict.fromkeys(("attributes", "events", "links"), _json_column)
    return _table(spans, SCHEMAS["spans"], special)


def spans_from_rows(table: pa.Table) -> list[SpanRow]:
    """The spans of a table."""
    special: dict[str, Callable[[Any], Any]] = {
        "attributes": orjson.loads,
        "events": lambda text: tuple(orjson.loads(text)),
        "links": lambda text: tuple(orjson.loads(text)),
    }
    return _records(table, SpanRow, special)


def logs_to_rows(logs: Sequence[LogRow]) -> pa.Table:
    """Log records as one table of the schema ``SCHEMAS["logs"]``; body and attributes are JSON text."""
    return _table(logs, SCHEMAS["logs"], dict.fromkeys(("body", "attributes"), _json_column))


def logs_from_rows(table: pa.Table) -> list[LogRow]:
    """The log records of a table."""
    return _records(table, LogRow, {"body": orjson.loads, "attributes": orjson.loads})


def _table(
    records: Sequence[Any], schema: pa.Schema, special: Mapping[str, Callable[[Sequence[Any]], pa.Array]]
) -> pa.Table:
    columns = []
    for column in schema:
        values = list(map(attrgetter(column.name), records))
        build = special.get(column.name)
        try:
            columns.append(pa.array(values, column.type) if build is None else build(values))
        except (pa.ArrowException, UnicodeError, TypeError, OverflowError) as error:
            raise InputError(f"{column.name}: a value does not fit the type {column.type}: {error}") from error
    return pa.Table.from_arrays(columns, schema=schema)


def _lists(values: Sequence[tuple[Any, ...]], struct: pa.StructType) -> pa.Array:
    offsets: list[int] = [0]
    flat: list[Any] = []
    for items in values:
        flat.extend(items)
        offsets.append(len(flat))
    children = [pa.array(list(map(attrgetter(f.name), flat)), f.type) for f in struct]
    structs = pa.StructArray.from_arrays(children, fields=list(struct))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs)


def _records(table: pa.Table, record: type[Any], special: Mapping[str, Callable[[Any], Any]]) -> list[Any]:
    names, columns = [], []
    for f in fields(record):
        required = f.default is MISSING and f.default_factory is MISSING
        if f.name not in table.column_names:
            if required:
                raise InputError(f"the table has no column {f.name}, which {record.__name__} needs")
            continue
        default = None if f.default is MISSING else f.default
        values = table.column(f.name).to_pylist()
        names.append(f.name)
        columns.append(_read(values, special.get(f.name), default, f.default_factory))
    return [record(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _read(values: list[Any], convert: Callable[[Any], Any] | None, default: Any, factory: Any) -> list[Any]:
    if factory is not MISSING:
        assert convert is not None
        return [factory() if v is None else convert(v) for v in values]
    if convert is not None:
        return [default if v is None else convert(v) for v in values]
    return values if default is None else [default if v is None else v for v in values]


def _names(column: Sequence[Any]) -> pa.Array:
    return pa.array([v.replace("\0", "\ufffd") if isinstance(v, str) and "\0" in v else v for v in column], pa.string())


def _json_column(column: Sequence[Any]) -> pa.Array:
    return pa.array([_json(v) for v in column], pa.string())


def _json(value: Any) -> str:
    if value == {}:
        return "{}"
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits, which JSON knows and orjson does not; the rest fails here too
        return json.dumps(value, ensure_ascii=False)


def _features(value: Mapping[str, Any]) -> str:
    for name, v in value.items():
        if isinstance(v, float) and not isfinite(v):
            raise InputError(f"features: {quoted(name)} is {v}; a finite number or text is allowed")
        if isinstance(v, int) and not -(2**63) <= v < 2**63:
            raise InputError(f"features: {quoted(name)} is an integer beyond 64 bits; give it as text if it is an id")
    return _json(value)
