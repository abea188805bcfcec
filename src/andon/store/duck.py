"""The default engine: DuckDB over the list of a table's files.

Names come from the checked schema and are quoted; every value is a bound parameter. No extension is ever loaded.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from andon.errors import StoreError
from andon.store.engine import SAMPLE_PRIME, answer_schema, sample_order
from andon.store.plan import (
    BIN_BASE,
    OFFSET,
    TINY,
    Histogram,
    Lookup,
    Plan,
    Rollup,
    Sample,
    Slice,
    Where,
)

__all__ = ["Duck"]

SETUP = """
SET GLOBAL parquet_metadata_cache = true;  -- files never change once a snapshot lists them

-- The sum of doubles, 0 over nothing, the same to the last bit in whatever order threads and files come: each value is split into
-- multiples of 2**-20 and of 2**-82, which are added as integers. Where one is too great for that (from 2**43 on), all are added
-- as doubles. As macros because planning is most of what a small query costs, and a macro is parsed once.
CREATE MACRO whole(x) AS TRY_CAST(x * 1048576e0 AS BIGINT);
CREATE MACRO rest(x) AS ((x * 1048576e0 - whole(x)) * 4611686018427387904e0)::BIGINT;
CREATE MACRO total(x) AS coalesce(
    CASE WHEN count(whole(x)) = count(x)
         THEN sum(whole(x))::DOUBLE / 1048576e0 + sum(rest(x))::DOUBLE / 4835703278458516698824704e0
         ELSE sum(x) END,
    0);
"""

CONFIG = {
    "memory_limit": "25%",  # of this machine's, or of the container's: a replica has several processes; more is spilt
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # a name in SQL must never find a Python variable
}


_PATTERN = re.compile(r"[*?\[]")
"""Signs that DuckDB takes for a pattern in a path; within brackets each is itself."""


class Duck:
    """One in-memory DuckDB; threads may share it, because every call has a cursor of its own."""

    def __init__(self, spill: Path | None = None) -> None:
        """Open the engine.

        Args:
            spill: folder for what does not fit into memory; None makes such a query fail instead.
        """
        with _engine_errors():
            self._connection = duckdb.connect(":memory:", config={**CONFIG, "temp_directory": str(spill or "")})
            self._connection.execute(SETUP)

    def run(self, plan: Plan, files: Sequence[str], schema: pa.Schema) -> pa.Table:
        """Answer a plan (see `Engine`)."""
        answer = answer_schema(plan, schema)
        query = _Query(schema, files)
        with _engine_errors(), self._connection.cursor() as cursor:
            if isinstance(
                plan, Rollup | Histogram
            ):  # most plans, of few rows: `sql` would parse and bind each of them twice
                found = cursor.execute(query.groups(plan), query.values).fetchnumpy()
                return pa.table([_array(found[field.name], field.type) for field in answer], schema=answer)
            return cursor.sql(query.rows(plan), params=query.values).to_arrow_table().cast(answer)

    def close(self) -> None:
        """Close the engine."""
        self._connection.close()


def _array(values: np.ndarray[Any, Any], type_: pa.DataType) -> pa.Array:
    """A column of a result, in which nulls are masked; a number that is not a number stays one."""
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    return pa.array(np.ma.getdata(values), type_, mask=mask, from_pandas=False)


@contextmanager
def _engine_errors() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        # A file can vanish between snapshot and scan (erasure); the next snapshot no longer lists it.
        raise StoreError(f"DuckDB failed: {error}", retryable=isinstance(error, duckdb.IOException)) from error


class _Query:
    """Writes one SELECT and collects its parameters."""

    def __init__(self, schema: pa.Schema, files: Sequence[str]) -> None:
        self.values: list[Any] = []
        self._schema = schema
        paths = [_PATTERN.sub(r"[\g<0>]", file) for file in files]
        self._source = f"read_parquet({self._bind(paths)}, union_by_name = true)"

    def groups(self, plan: Rollup | Histogram) -> str:
        keys = [_quote(key) for key in plan.keys]
        if plan.window_us is not None:
            # // and % of DuckDB round towards zero; windows before 1970 must round down like all others
            width = f"{self._bind(plan.window_us)}::BIGINT"
            keys.insert(0, f"time_us - (time_us % {width} + {width}) % {width} AS window_us")
        where = self._where(plan)
        if isinstance(plan, Rollup):
            columns = [
                *keys,
                'count(*) AS "rows"',
                *(part for metric in plan.metrics for part in self._measures(metric, plan.measures)),
            ]
        else:
            columns = [*keys, f"{self._bin(plan.metric)} AS bin", "count(*) AS n"]
            keys.append("bin")
            where = f"{where} AND {_quote(plan.metric)} IS NOT NULL"
        order = ", ".join(f"{at} NULLS LAST" for at in range(1, len(keys) + 1))
        group = f" GROUP BY {', '.join(map(str, range(1, len(keys) + 1)))} ORDER BY {order}" if keys else ""
        return f"SELECT {', '.join(columns)} FROM {self._source} WHERE {where}{group}"

    def rows(self, plan: Slice | Sample | Lookup) -> str:
        columns = ", ".join(_quote(name) for name in plan.columns)
        order, limit = "time_us, id", None
        where = self._where(plan)
        match plan:
            case Slice():
                order = "time_us DESC, id DESC" if plan.newest_first else order
                limit = plan.limit
            case Sample():
                a, b = (f"{self._bind(part)}::BIGINT" for part in sample_order(plan.seed))
                p = SAMPLE_PRIME
                order, limit = f"((id_hash % {p} + {p}) % {p} * {a} + {b}) % {p}, id", plan.n
            case Lookup():
                where += f" AND {self._among('id', plan.ids)}"
        most = "" if limit is None else f" LIMIT {self._bind(limit)}"
        return f"SELECT {columns} FROM {self._source} WHERE {where} ORDER BY {order}{most}"

    def _bind(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def _where(self, plan: Plan) -> str:
        conditions = ["true"]
        if plan.span is not None:
            conditions.append(f"time_us >= {self._bind(plan.span.start_us)}::BIGINT")
            conditions.append(f"time_us < {self._bind(plan.span.end_us)}::BIGINT")
        conditions += [self._condition(where) for where in getattr(plan, "where", ())]
        return " AND ".join(conditions)

    def _condition(self, where: Where) -> str:
        column = _quote(where.column)
        match where.op:
            case "null":
                return f"{column} IS NULL"
            case "not_null":
                return f"{column} IS NOT NULL"
            case "in":
                assert isinstance(where.value, tuple)
                return self._among(column, where.value)
            case "contains":
                return f"contains(lower({column}), lower({self._bind(where.value)}::VARCHAR))"
            case _:
                return f"{column} {_OPERATORS[where.op]} {self._bind(where.value)}"

    def _among(self, column: str, texts: Sequence[str]) -> str:
        return f"{column} IN (SELECT unnest({self._bind(list(texts))}::VARCHAR[]))"

    def _measures(self, metric: str, wanted: Sequence[str]) -> list[str]:
        value = f"{_quote(metric)}::DOUBLE"
        parts = {
            "n": f"count({value})",
            "sum": f"total({value})",
            "sumsq": f"total({value} * {value})",
            "min": f"min({value})",
            "max": f"max({value})",
        }
        if "weight" in self._schema.names:
            parts["w"] = f"total(CASE WHEN {value} IS NOT NULL THEN coalesce(weight, 1) END)"
            parts["wsum"] = f"total(coalesce(weight, 1) * {value})"
        kept = {part: sql for part, sql in parts.items() if not wanted or part in wanted}
        return [f"{sql} AS {_quote(f'{metric}.{part}')}" for part, sql in kept.items()]

    def _bin(self, metric: str) -> str:
        value = f"{_quote(metric)}::DOUBLE"
        base = f"{self._bind(math.log(BIN_BASE))}::DOUBLE"
        # greatest() keeps ln() away from 0, also where the optimiser computes both branches
        magnitude = f"floor(ln(greatest(abs({value}), {TINY!r})) / {base})::BIGINT + {OFFSET}"
        return f"CASE WHEN abs({value}) < {TINY!r} THEN 0 WHEN {value} > 0 THEN {magnitude} ELSE -({magnitude}) END"


_OPERATORS = {"eq": "=", "ne": "IS DISTINCT FROM", "ge": ">=", "lt": "<"}


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
