"""Rows on their way into a table: checked, cast, and given the three columns that the store adds.

``id_hash`` is a 64-bit hash of the id, stored because engines' own hash functions differ; ``day`` is days since 1970
UTC; ``seq`` numbers the commits of a table.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from andon.errors import ConfigError, InputError, StoreError
from andon.store.table import kept_type

__all__ = [
    "DAY_US",
    "REPEATED",
    "REPLACES",
    "REPLACES_EVER",
    "SAME_TIME",
    "STORED",
    "changed",
    "check_schema",
    "conform",
    "first_of_each",
    "fits",
    "hash_ids",
    "last_of_each",
    "stamp",
    "stored_schema",
]

DAY_US = 86_400_000_000
STORED = pa.schema([("id_hash", pa.int64()), ("day", pa.int32()), ("seq", pa.int64())])
"""The columns that the store adds to every table."""

REPEATED = b"andon.repeated"
REPLACES, REPLACES_EVER, SAME_TIME = b"replaces", b"replaces at any time", b"has the same time"
"""What the metadata of a schema may say of a row whose id is there already. Unless it does, the first row stays, and is
looked for on the same and the neighbouring days. A row that ``replaces`` takes the place of the one there, or ``at any
time`` of one of any day; one that ``has the same time`` is looked for at its very time only, which is much faster."""

TAKEN = frozenset({*STORED.names, "window_us", "rows", "bin", "n"})
"""Names that no column may have: they are columns of answers, or the store's own."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def check_schema(table: str, schema: pa.Schema) -> None:
    """Refuse a schema that the store cannot keep.

    Raises:
        ConfigError: a name is not lower case letters, digits and underscores, is taken or repeated; ``id`` (string) or
            ``time_us`` (int64) is missing; or Delta Lake cannot hold a type as it is.
    """
    for name in (table, *schema.names):
        if not NAME.fullmatch(name) or name in TAKEN or schema.names.count(name) > 1:
            raise ConfigError(
                f"{name!r} in the schema of table {table!r} cannot be a name: take lower case letters, digits and "
                f"underscores, once each, and none of {', '.join(sorted(TAKEN))}"
            )
    required = [("id", pa.string()), ("time_us", pa.int64())]
    if "weight" in schema.names:
        required.append(("weight", pa.float64()))
    for name, kind in required:
        if name not in schema.names or schema.field(name).type != kind:
            raise ConfigError(f"the schema of table {table!r} needs the column {name!r} of type {kind}")
    for field in schema:
        try:
            kept = kept_type(field.type)
        except StoreError as error:
            raise ConfigError(
                f"column {field.name!r} of table {table!r}: Delta Lake has no {field.type}: {error}"
            ) from error
        if kept != field.type:
            raise ConfigError(
                f"column {field.name!r} of table {table!r}: Delta Lake keeps {field.type} as {kept}; use that"
            )


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """The columns of the table on disk: the given ones and the store's own, all nullable, so that columns can be added."""
    return pa.schema([field.with_nullable(True).remove_metadata() for field in (*schema, *STORED)])


def fits(rows: pa.Table, schema: pa.Schema) -> bool:
    """Whether the schema has every column of these rows (rows of a newer Andon may have more)."""
    return set(rows.column_names) <= set(schema.names)


def conform(table: str, rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with exactly the schema's columns: cast, in its order, absent nullable columns filled with null.

    A number that is not finite is no measurement and becomes null: one of them would spoil every sum that it enters.

    Raises:
        InputError: names the column and the reason; no row is taken.
    """
    if unknown := sorted(set(rows.column_names) - set(schema.names)):
        raise InputError(f"table {table!r} has no column {unknown[0]!r}; its columns are {', '.join(schema.names)}")
    if repeated := [name for name in schema.names if rows.column_names.count(name) > 1]:
        raise InputError(f"column {repeated[0]!r} comes twice in rows for table {table!r}; send it once")
    columns = [_column(table, rows, field) for field in schema]
    if pc.any(pc.equal(columns[schema.get_field_index("id")], "")).as_py():
        raise InputError(f"column 'id' of table {table!r} holds an empty text; every row needs an id of its own")
    return pa.table(columns, schema=pa.schema([field.with_nullable(True).remove_metadata() for field in schema]))


def _column(table: str, rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    required = field.name in ("id", "time_us") or not field.nullable
    if field.name not in rows.column_names:
        if required:
            raise InputError(f"rows for table {table!r} lack the required column {field.name!r} ({field.type})")
        return pa.chunked_array([pa.nulls(rows.num_rows, field.type)])
    given = rows[field.name]
    try:
        column = given.cast(field.type)
    except pa.ArrowException as error:
        raise InputError(
            f"column {field.name!r} of table {table!r}: {given.type} is not {field.type}: {error}"
        ) from error
    if required and column.null_count:
        raise InputError(
            f"column {field.name!r} of table {table!r} is required, but {column.null_count} rows have none"
        )
    if pa.types.is_floating(field.type) and not pc.all(pc.is_finite(column), min_count=0).as_py():
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, field.type))
    return column


def hash_ids(ids: pa.ChunkedArray) -> NDArray[np.int64]:
    """Hash of each id: blake2b of its UTF-8 with an 8-byte digest, read as little-endian signed. Never changes."""
    digests = [blake2b(text.encode(), digest_size=8).digest() for text in ids.to_pylist()]
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64, copy=False)


def stamp(rows: pa.Table, seq: int) -> pa.Table:
    """Add the store's three columns; `seq` is the same for all rows."""
    days = rows["time_us"].to_numpy() // DAY_US
    stored = [hash_ids(rows["id"]), days.astype(np.int32), np.full(rows.num_rows, seq, dtype=np.int64)]
    for field, values in zip(STORED, stored, strict=True):
        rows = rows.append_column(field, pa.array(values, field.type))
    return rows


def first_of_each(rows: pa.Table, known: Mapping[int, list[int]]) -> pa.Table:
    """Drop every row whose id was seen before, in `known` or above it, within one day either side of its own day.

    Args:
        rows: stamped rows in the order of arrival.
        known: the days on which the table already has a row, by ``id_hash``.
    """
    hashes, days = rows["id_hash"].to_numpy(), rows["day"].to_numpy()
    unique, counts = np.unique(hashes, return_counts=True)
    doubtful = np.isin(hashes, np.concatenate([unique[counts > 1], np.fromiter(known, np.int64, len(known))]))
    seen = {hashed: list(on) for hashed, on in known.items()}
    keep = np.ones(rows.num_rows, dtype=bool)
    for at in np.flatnonzero(doubtful).tolist():
        day, on = int(days[at]), seen.setdefault(int(hashes[at]), [])
        if any(abs(day - other) <= 1 for other in on):
            keep[at] = False
        else:
            on.append(day)
    return rows if keep.all() else rows.filter(pa.array(keep))


def last_of_each(rows: pa.Table) -> pa.Table:
    """The rows without those that a later one of the same id replaces: the one with the latest time, then the last to come."""
    ids, times = rows["id"].to_pylist(), rows["time_us"].to_pylist()
    last: dict[str, int] = {}
    for at, name in enumerate(ids):
        if name not in last or times[at] >= times[last[name]]:
            last[name] = at
    return rows if len(last) == rows.num_rows else rows.take(pa.array(sorted(last.values())))


def changed(
    rows: pa.Table, stored: pa.Table, seen: int | None = None, source: str | None = None
) -> tuple[pa.Table, pa.Table, frozenset[str]]:
    """The rows that are new or say something else than what is stored, and the stored rows that they replace.

    A row that is older than the stored one of its id says nothing new: it was late. Rows that are derived have the time of what
    they are derived from, which may turn out to have begun earlier: so they replace what was derived of the same, whatever its time.

    Args:
        rows: what came.
        stored: what is there of the same ids.
        seen: the last seq that was known when rows were derived: what came later is not replaced.
        source: column that says of what a row was derived.

    Returns:
        Rows to write; rows that they replace; ids of those that were left out because of `seen`.
    """
    columns = [name for name in rows.column_names if name not in STORED.names]
    names = set(rows["id"].to_pylist())
    before = {row["id"]: (at, row) for at, row in enumerate(stored.select(columns).to_pylist()) if row["id"] in names}
    if not before:
        return rows, stored.slice(0, 0), frozenset()
    seqs = stored["seq"].to_pylist()
    doubtful = pc.is_in(rows["id"], pa.array(list(before), pa.string()))
    keep, out, overtaken = np.ones(rows.num_rows, dtype=bool), [], set()
    again = rows.select(columns).filter(doubtful).to_pylist()
    for at, new in zip(np.flatnonzero(doubtful.to_numpy(zero_copy_only=False)).tolist(), again, strict=True):
        position, old = before[new["id"]]
        same = source is not None and new[source] == old[source]
        if new == old or (new["time_us"] < old["time_us"] and not same):
            keep[at] = False
        elif seen is not None and (seqs[position] or 0) > seen:
            keep[at] = False
            overtaken.add(new["id"])
        else:
            out.append(position)
    return rows.filter(pa.array(keep)), stored.take(pa.array(sorted(out), pa.int64())), frozenset(overtaken)
