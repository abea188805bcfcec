"""What the users of some names left behind, and its end."""

from collections import Counter
from collections.abc import Iterable, Sequence

import orjson

from andon.store import Slice, Warehouse, Where
from andon.traffic.erasure import Traces, texts_of
from andon.traffic.rows import SCHEMAS, from_rows
from andon.traffic.run.assembling import TRACES_AT_ONCE, assembled
from andon.traffic.run.reading import chunks

__all__ = ["erase_traffic", "traffic_of"]


def traffic_of(warehouse: Warehouse, names: Sequence[str]) -> Traces:
    """What the users of these names left behind: interactions of theirs, and traces in which they are named as the user."""
    warehouse.commit()
    columns = tuple(SCHEMAS["interactions"].names)
    mine = (Where(column="user_id", op="in", value=tuple(names)),)
    interactions = from_rows(warehouse.run(Slice(table="interactions", columns=columns, where=mine)))
    ids = {i for found in interactions for i in (found.id, found.trace_id) if i}
    for name in names:  # traces that gave no interaction yet, or none in the sample
        heard = (Where(column="attributes", op="contains", value=orjson.dumps(name).decode()[1:-1]),)
        rows = warehouse.run(Slice(table="spans", columns=("trace_id", "time_us", "end_us"), where=heard)).to_pylist()
        parts = sorted({r["trace_id"]: (r["trace_id"], r["time_us"], r["end_us"]) for r in rows}.values())
        for chunk in chunks([part for part in parts if part[0] not in ids], TRACES_AT_ONCE):
            theirs = [i for i in assembled(warehouse, chunk)[0] if i.user_id in names]
            interactions += theirs
            ids |= {i.id for i in theirs}
    sessions = frozenset(i.session_id for i in interactions if i.session_id)
    said = _said(warehouse, "interaction_id", ids | sessions) | _said(warehouse, "author", names)
    texts = {t for i in interactions for t in texts_of(i)}
    asked = frozenset((i.app, i.query, i.answer) for i in interactions if i.query)
    return Traces(ids=frozenset(ids), sessions=sessions, texts=frozenset(texts | said), asked=asked)


def _said(warehouse: Warehouse, column: str, values: Iterable[str]) -> set[str]:
    """The texts of feedback with one of these values: comments, corrections, labels."""
    mine = (Where(column=column, op="in", value=tuple(sorted(values))), Where(column="text", op="not_null"))
    return {t for t in warehouse.run(Slice(table="feedback", columns=("text",), where=mine))["text"].to_pylist() if t}


def erase_traffic(warehouse: Warehouse, names: Sequence[str], found: Traces) -> dict[str, int]:
    """Remove the rows of these users from every table that has any, from the disk too; rows removed by table."""
    wanted = {"user_id": names, "author": names, "interaction_id": sorted(found.ids), "trace_id": sorted(found.ids)}
    removed: Counter[str] = Counter()
    first = (
        "spans",
        "logs",
        "interactions",
    )  # what others are derived of, so that little of it is derived again meanwhile
    for table in sorted(warehouse.tables(), key=lambda t: first.index(t) if t in first else len(first)):
        columns = [c for c in wanted if c in warehouse.schema(table).names and wanted[c]]
        columns += ["id"] if table == "interactions" and found.ids else []
        for column in columns:
            removed[table] += warehouse.erase(table, column, wanted.get(column, sorted(found.ids)))
    return {table: n for table, n in removed.items() if n}
