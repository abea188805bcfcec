"""The seam for engines: what one must do, and the check of a plan that all of them share."""

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Protocol

import pyarrow as pa

from andon.errors import InputError
from andon.store.plan import Histogram, Plan, Rollup, Sample, Where

__all__ = ["SAMPLE_PRIME", "Engine", "answer_schema", "sample_order"]

SAMPLE_PRIME = 2**31 - 1


class Engine(Protocol):
    """Answers plans; `duck.py` is the default one."""

    def run(self, plan: Plan, files: Sequence[str], schema: pa.Schema) -> pa.Table:
        """Answer a plan over Parquet files.

        Args:
            plan: one of the five.
            files: paths; the first has all columns of `schema` and no rows, later ones may lack columns (all null then).
            schema: the columns of the table, with the store's own.

        Returns:
            Exactly the columns of `answer_schema`, in the order that the plan documents.

        Raises:
            InputError: the plan does not fit the schema.
            StoreError: the engine failed; retryable when a file could not be read.
        """
        ...


def answer_schema(plan: Plan, schema: pa.Schema) -> pa.Schema:
    """The columns of a plan's answer.

    Raises:
        InputError: the plan names an unknown column, repeats one, uses one of the wrong type, or has an impossible number.
    """
    _check_range(plan)
    for where in getattr(plan, "where", ()):
        _check_where(where, schema)
    if isinstance(plan, Rollup | Histogram):
        return pa.schema(_groups(plan, schema) + _measures(plan, schema))
    _check_count("n" if isinstance(plan, Sample) else "limit", getattr(plan, "n", getattr(plan, "limit", None)))
    for text in getattr(plan, "ids", ()):
        _check_value("id", text, str)
    return pa.schema(_fields(plan.columns, schema, "column"))


def sample_order(seed: int) -> tuple[int, int]:
    """Factor a and shift b of a seed: `Sample` takes rows by ``((id_hash mod p) * a + b) mod p``, then by id.

    p is `SAMPLE_PRIME` and mod is never negative. A bijection modulo a prime of which no product leaves 64 bits, so
    every engine can compute it.
    """
    drawn = int.from_bytes(blake2b(str(seed).encode(), digest_size=16).digest(), "little")
    return 1 + drawn % (SAMPLE_PRIME - 1), (drawn >> 64) % SAMPLE_PRIME


def _groups(plan: Rollup | Histogram, schema: pa.Schema) -> list[pa.Field]:
    if plan.window_us is not None:
        _check_value("window_us", plan.window_us, int)
        if plan.window_us <= 0:
            raise InputError(f"window_us={plan.window_us} must be greater than 0")
    keys = _fields(plan.keys, schema, "key") if plan.keys else []
    for key in keys:
        if pa.types.is_nested(key.type):
            raise InputError(f"key {key.name!r} is {key.type}: rows cannot be grouped by a nested column")
    return [*([pa.field("window_us", pa.int64())] if plan.window_us is not None else []), *keys]


def _measures(plan: Rollup | Histogram, schema: pa.Schema) -> list[pa.Field]:
    metrics = plan.metrics if isinstance(plan, Rollup) else (plan.metric,)
    for field in _fields(metrics, schema, "metric") if metrics else []:
        if not _is_number(field.type) and not pa.types.is_boolean(field.type):
            able = [f.name for f in schema if _is_number(f.type) or pa.types.is_boolean(f.type)]
            raise InputError(f"metric {field.name!r} is {field.type}; metrics are numbers or bools: {', '.join(able)}")
    if isinstance(plan, Histogram):
        return [pa.field("bin", pa.int64()), pa.field("n", pa.int64())]
    types = {"n": pa.int64()} | dict.fromkeys(("sum", "sumsq", "min", "max"), pa.float64())
    if "weight" in schema.names:
        types |= {"w": pa.float64(), "wsum": pa.float64()}
    for measure in plan.measures:
        if measure not in types:
            raise InputError(f"there is no measure {measure!r}; the measures are {', '.join(types)}")
    wanted = [part for part in types if not plan.measures or part in plan.measures]
    return [
        pa.field("rows", pa.int64()),
        *(pa.field(f"{metric}.{part}", types[part]) for metric in metrics for part in wanted),
    ]


def _fields(names: Sequence[str], schema: pa.Schema, what: str) -> list[pa.Field]:
    if not names:
        raise InputError(f"the plan asks for no {what}; name at least one of {', '.join(schema.names)}")
    if len(set(names)) < len(names):
        raise InputError(f"the plan repeats a {what}: {', '.join(map(str, names))}; name each once")
    return [_field(name, schema, what) for name in names]


def _field(name: str, schema: pa.Schema, what: str) -> pa.Field:
    if name not in schema.names:
        raise InputError(f"there is no {what} {name!r}; the columns are {', '.join(schema.names)}")
    return schema.field(name)


def _check_range(plan: Plan) -> None:
    if plan.span is not None:
        _check_value("start_us", plan.span.start_us, int)
        _check_value("end_us", plan.span.end_us, int)
    if isinstance(plan, Sample):
        _check_value("seed", plan.seed, int)


def _check_count(name: str, count: int | None) -> None:
    if count is not None:
        _check_value(name, count, int)
        if count < 0:
            raise InputError(f"{name}={count} must be 0 or more")


def _check_where(where: Where, schema: pa.Schema) -> None:
    kind = _field(where.column, schema, "column").type
    match where.op:
        case "null" | "not_null":
            return
        case "in" if pa.types.is_string(kind) and isinstance(where.value, tuple):
            for text in where.value:
                _check_value(where.column, text, str)
        case "contains" if pa.types.is_string(kind):
            _check_value(where.column, where.value, str)
        case "in" | "contains":
            raise InputError(
                f"{where.op!r} on column {where.column!r} ({kind}) needs a text column, and 'in' a tuple of texts"
            )
        case "eq" | "ne" | "ge" | "lt":
            _check_value(where.column, where.value, *_value_types(where.column, kind))
        case _:
            raise InputError(f"{where.op!r} is not an operation; eq, ne, in, ge, lt, null, not_null and contains are")


def _value_types(column: str, kind: pa.DataType) -> tuple[type, ...]:
    if pa.types.is_string(kind):
        return (str,)
    if pa.types.is_boolean(kind):
        return (bool,)
    if _is_number(kind):
        return (int, float)
    raise InputError(f"column {column!r} is {kind}: it can only be asked for null and not_null")


def _check_value(name: str, value: Any, *kinds: type) -> None:
    allowed = " or ".join(kind.__name__ for kind in kinds)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise InputError(f"{name}: {value!r} must be {allowed}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name}: {value!r} is not a finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InputError(f"{name}: {value!r} does not fit into 64 bits")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{name}: {value!r} is not valid Unicode") from error


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
