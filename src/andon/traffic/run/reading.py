"""Rows out of the store again: what is new, what has an id, what was said about it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from andon.store import Lookup, Rollup, Slice, Span, Warehouse, Where
from andon.traffic.records import Feedback, Interaction
from andon.traffic.rows import SCHEMAS, feedback_from_rows, from_rows

__all__ = [
    "Size",
    "came_by_app",
    "chunks",
    "feedback_on",
    "last_seq",
    "read_commits",
    "read_interactions_by_id",
    "read_new",
    "read_new_feedback",
    "sizes",
]


def read_new(warehouse: Warehouse, after_seq: int, limit: int) -> tuple[list[Interaction], int]:
    """Committed interactions with a seq above `after_seq`, ordered by (seq, time, id), and the highest seq read.

    About `limit` rows: whole commits are read, at least one, so that the returned seq can be the next `after_seq`. With
    nothing new the list is empty and the seq is `after_seq`.
    """
    rows, seq = read_commits(warehouse, "interactions", after_seq, limit)
    return from_rows(rows), seq


def read_new_feedback(warehouse: Warehouse, after_seq: int, limit: int) -> tuple[list[Feedback], int]:
    """As `read_new`, for feedback."""
    rows, seq = read_commits(warehouse, "feedback", after_seq, limit)
    return feedback_from_rows(rows), seq


def read_interactions_by_id(warehouse: Warehouse, ids: Iterable[str], span: Span | None = None) -> list[Interaction]:
    """The committed interactions with these ids, ordered by time and id; give a `span` where it is known."""
    columns = tuple(SCHEMAS["interactions"].names)
    wanted = tuple(dict.fromkeys(ids))
    if not wanted:
        return []
    return from_rows(warehouse.run(Lookup(table="interactions", ids=wanted, columns=columns, span=span)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a table holds."""

    table: str
    rows: int
    first_us: int | None
    """Time of its first row, as far as files tell; None while it is empty."""
    last_us: int | None


def sizes(warehouse: Warehouse) -> list[Size]:
    """How much each table holds."""
    found = []
    for table in warehouse.tables():
        extent = warehouse.extent(table)
        rows = 0 if extent is None else int(warehouse.run(Rollup(table=table))["rows"][0].as_py())
        found.append(
            Size(
                table=table, rows=rows, first_us=None if extent is None else extent.start_us, last_us=None if extent is None else extent.end_us - 1
            )
        )  # fmt: skip
    return found


def came_by_app(warehouse: Warehouse) -> tuple[tuple[tuple[str, int], ...], int | None]:
    """Applications with their interactions, the busiest first, and the time of the first one; None while there is none."""
    if warehouse.extent("interactions") is None:
        return (), None
    rows = warehouse.run(
        Rollup(table="interactions", keys=("app",), metrics=("time_us",), measures=("n", "min"))
    ).to_pylist()
    apps = sorted(((str(row["app"]), int(row["rows"])) for row in rows), key=lambda pair: (-pair[1], pair[0]))
    return tuple(apps), min((int(row["time_us.min"]) for row in rows), default=None)


def feedback_on(warehouse: Warehouse, interaction_id: str) -> list[Feedback]:
    """What was said about one interaction, in order of time."""
    mine = (Where(column="interaction_id", op="eq", value=interaction_id),)
    return feedback_from_rows(
        warehouse.run(Slice(table="feedback", columns=tuple(SCHEMAS["feedback"].names), where=mine))
    )


def read_commits(
    warehouse: Warehouse, table: str, after_seq: int, limit: int, names: tuple[str, ...] = ()
) -> tuple[pa.Table, int]:
    """Rows of the next commits, about `limit` of them, ordered by (seq, time, id), and the highest seq read."""
    last = last_seq(warehouse, table, after_seq, limit)
    after = Where(column="seq", op="ge", value=after_seq + 1)
    columns = (*(names or SCHEMAS[table].names), "seq")
    upto = Where(column="seq", op="lt", value=last + 1)
    found = warehouse.run(Slice(table=table, columns=columns, where=(after, upto)))
    return found.sort_by([("seq", "ascending"), ("time_us", "ascending"), ("id", "ascending")]), last


def last_seq(warehouse: Warehouse, table: str, after_seq: int, limit: int) -> int:
    """The seq of the last commit to read after this one, so that about `limit` rows are read, of at least one commit."""
    after = Where(column="seq", op="ge", value=after_seq + 1)
    sizes = warehouse.run(Rollup(table=table, keys=("seq",), where=(after,)))
    last, total = after_seq, 0
    for seq, rows in sorted(zip(sizes["seq"].to_pylist(), sizes["rows"].to_pylist(), strict=True)):
        if total and total + rows > limit:
            break
        last, total = seq, total + rows
    return last


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """The items in order, at most `size` at a time."""
    return (items[i : i + size] for i in range(0, len(items), size))
