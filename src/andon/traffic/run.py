"""Traffic into the store and out of it: the only file of this stage that touches the Warehouse and the Ledger."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from andon.store import Ledger, Lookup, Rollup, Slice, Span, Warehouse, Where
from andon.traffic.files import check_file, read_feedback, read_interactions
from andon.traffic.intake import BadRow
from andon.traffic.otlp import SpanRow, spans_of
from andon.traffic.records import Feedback, Interaction
from andon.traffic.rows import (
    SCHEMAS,
    feedback_from_rows,
    feedback_to_rows,
    from_rows,
    spans_from_rows,
    spans_to_rows,
    to_rows,
)
from andon.traffic.traces import assemble

__all__ = [
    "Assembled",
    "ImportResult",
    "Progress",
    "TraceCursor",
    "assemble_traces",
    "import_files",
    "read_interactions_by_id",
    "read_new",
    "read_new_feedback",
    "receive_spans",
    "record",
    "record_feedback",
]

_BATCH = 20_000
_COMMIT_ROWS = 100_000
_KEPT_BAD_ROWS = 1_000
_TRACES_AT_ONCE = 1_000
_DAY_US = 86_400_000_000
_AHEAD_US = 3_600_000_000
"""An end further in the future than this is a wrong clock, and nothing to wait for."""
_PATIENCE = 4
"""How many times longer a trace waits of which a span's parent has not come yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an import is; reported after each batch is durable."""

    file: str
    rows: int
    """Rows read so far, over all files."""
    acknowledged: int
    """Rows that will survive a crash from now on."""
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import did."""

    files: tuple[str, ...]
    rows: int
    acknowledged: int
    """Rows taken in; those that were there before (the same id) are in the table once."""
    bad: int
    bad_rows: tuple[BadRow, ...]
    """The first 1,000 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceCursor:
    """How far spans have been assembled into interactions."""

    id: str = "traffic"
    seq: int = 0
    """The traces of all spans up to here are done, or in `held`."""
    read_seq: int = 0
    """Spans up to here were seen by the last call."""
    at_us: int = 0
    settle_us: int = 0
    """Clock and patience of the last call: what had settled by then is done."""
    held: tuple[tuple[str, int], ...] = ()
    """Long traces that still wait, as (trace id, time of the first span), so that they do not hold up the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What one call of `assemble_traces` did."""

    written: int
    """Interactions written."""
    waiting: int
    """Traces that have not settled yet."""
    late: int
    """Spans that came after their trace was written; they are kept in the table of spans."""
    foreign: int
    """Traces of something else than an AI system; they are kept in the table of spans."""


@dataclass(frozen=True, slots=True)
class _Open:
    """What must be known of a trace to decide whether it has settled."""

    first_us: int
    last_us: int
    first_seq: int
    last_seq: int
    rootless: bool
    new_spans: int


def record(warehouse: Warehouse, interactions: Sequence[Interaction]) -> int:
    """Take interactions in; durable on return, visible after the next commit. Returns their number.

    Raises:
        InputError: a value does not fit its column; nothing was taken.
        StoreError: the disk refused; sending again is safe.
    """
    return warehouse.append("interactions", to_rows(interactions)) if interactions else 0


def record_feedback(warehouse: Warehouse, feedback: Sequence[Feedback]) -> int:
    """Take feedback in; durable on return, visible after the next commit. Returns its number.

    Raises:
        InputError: a value does not fit its column; nothing was taken.
        StoreError: the disk refused; sending again is safe.
    """
    return warehouse.append("feedback", feedback_to_rows(feedback)) if feedback else 0


def receive_spans(warehouse: Warehouse, body: bytes) -> tuple[int, list[str]]:
    """Take the spans of an OTLP protobuf body in; durable on return. Returns their number, and why others were refused.

    Raises:
        InputError: the body is no trace request.
        StoreError: the disk refused; sending again is safe.
    """
    spans, problems = spans_of(body)
    if spans:
        warehouse.append("spans", spans_to_rows(spans))
    return len(spans), problems


def import_files(
    warehouse: Warehouse,
    paths: Iterable[Path | str],
    *,
    table: Literal["interactions", "feedback"] = "interactions",
    report: Callable[[Progress], None] | None = None,
) -> ImportResult:
    """Import JSONL and Parquet files, and commit.

    A crash at any moment loses no row that `report` has counted as acknowledged, and importing again adds no row twice.

    Raises:
        InputError: a file cannot be opened or read; checked for all files before the first row is taken.
        StoreError: the disk refused; importing again is safe.
    """
    checked = [check_file(path) for path in paths]
    read: Callable[[Path], Iterator[Any]] = read_interactions if table == "interactions" else read_feedback
    take: Callable[[Warehouse, list[Any]], int] = record if table == "interactions" else record_feedback
    rows = acknowledged = bad = uncommitted = 0
    kept: list[BadRow] = []
    for path in checked:
        for batch in _batches(read(path), _BATCH):
            good = [row for row in batch if not isinstance(row, BadRow)]
            wrong = [row for row in batch if isinstance(row, BadRow)]
            taken = take(warehouse, good)
            rows, bad = rows + len(batch), bad + len(wrong)
            acknowledged, uncommitted = acknowledged + taken, uncommitted + taken
            kept.extend(replace(row, file=str(path)) for row in wrong[: _KEPT_BAD_ROWS - len(kept)])
            if uncommitted >= _COMMIT_ROWS:
                warehouse.commit()
                uncommitted = 0
            if report is not None:
                report(Progress(file=str(path), rows=rows, acknowledged=acknowledged, bad=bad))
    warehouse.commit()
    return ImportResult(
        files=tuple(map(str, checked)), rows=rows, acknowledged=acknowledged, bad=bad, bad_rows=tuple(kept)
    )


def assemble_traces(warehouse: Warehouse, ledger: Ledger, *, now_us: int, settle_us: int) -> Assembled:
    """Write the interactions of the traces that have settled: whose last span ended `settle_us` ago or earlier.

    A trace with a missing parent span waits four times as long. Commits before reading and after writing. A crash at any
    point is repaired by the next call: interactions have the id of their trace, so writing again adds none.

    Raises:
        StoreError: the disk or the ledger refused; calling again is safe.
    """
    warehouse.commit()
    cursor = ledger.get(TraceCursor, "traffic") or TraceCursor()
    newest = warehouse.newest("spans")
    traces = _open_traces(warehouse, cursor, newest)
    if not traces:
        return Assembled(written=0, waiting=0, late=0, foreign=0)
    known = _known_ids(warehouse, traces)
    late = sum(traces[trace].new_spans for trace in known)
    still = {trace: t for trace, t in traces.items() if trace not in known}
    settled = [trace for trace, t in still.items() if _has_settled(t, now_us, settle_us)]
    ready = [trace for trace in settled if not _was_done(still[trace], cursor)]
    written = _write(warehouse, ready, traces)
    warehouse.commit()
    waiting = {trace: t for trace, t in still.items() if trace not in set(settled)}
    long = {trace for trace, t in waiting.items() if now_us - t.first_us > 2 * _PATIENCE * settle_us}
    following = TraceCursor(
        seq=min((t.first_seq - 1 for trace, t in waiting.items() if trace not in long), default=newest),
        read_seq=newest,
        at_us=now_us,
        settle_us=settle_us,
        held=tuple(sorted((trace, waiting[trace].first_us) for trace in long)),
    )
    ledger.put(following, now_us=now_us, by="traffic")
    return Assembled(written=written, waiting=len(waiting), late=late, foreign=len(ready) - written)


def read_new(warehouse: Warehouse, after_seq: int, limit: int) -> tuple[list[Interaction], int]:
    """Committed interactions with a seq above `after_seq`, ordered by (seq, time, id), and the highest seq read.

    About `limit` rows: whole commits are read, at least one, so that the returned seq can be the next `after_seq`. With
    nothing new the list is empty and the seq is `after_seq`.
    """
    rows, seq = _read_commits(warehouse, "interactions", after_seq, limit)
    return from_rows(rows), seq


def read_new_feedback(warehouse: Warehouse, after_seq: int, limit: int) -> tuple[list[Feedback], int]:
    """As `read_new`, for feedback."""
    rows, seq = _read_commits(warehouse, "feedback", after_seq, limit)
    return feedback_from_rows(rows), seq


def read_interactions_by_id(warehouse: Warehouse, ids: Iterable[str], span: Span | None = None) -> list[Interaction]:
    """The committed interactions with these ids, ordered by time and id; give a `span` where it is known."""
    columns = tuple(SCHEMAS["interactions"].names)
    wanted = tuple(dict.fromkeys(ids))
    if not wanted:
        return []
    return from_rows(warehouse.run(Lookup(table="interactions", ids=wanted, columns=columns, span=span)))


def _batches(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _read_commits(warehouse: Warehouse, table: str, after_seq: int, limit: int) -> tuple[pa.Table, int]:
    after = Where(column="seq", op="ge", value=after_seq + 1)
    sizes = warehouse.run(Rollup(table=table, keys=("seq",), where=(after,)))
    last, total = after_seq, 0
    for seq, rows in sorted(zip(sizes["seq"].to_pylist(), sizes["rows"].to_pylist(), strict=True)):
        if total and total + rows > limit:
            break
        last, total = seq, total + rows
    columns = (*SCHEMAS[table].names, "seq")
    upto = Where(column="seq", op="lt", value=last + 1)
    found = warehouse.run(Slice(table=table, columns=columns, where=(after, upto)))
    return found.sort_by([("seq", "ascending"), ("time_us", "ascending"), ("id", "ascending")]), last


def _open_traces(warehouse: Warehouse, cursor: TraceCursor, newest: int) -> dict[str, _Open]:
    """The traces that may still need work, by id: those of spans above the cursor, and those held."""
    names = ("trace_id", "span_id", "parent_span_id", "parent_remote", "time_us", "end_us", "seq")
    upto = Where(column="seq", op="lt", value=newest + 1)
    parts = []
    if newest > cursor.seq:
        after = Where(column="seq", op="ge", value=cursor.seq + 1)
        parts.append(warehouse.run(Slice(table="spans", columns=names, where=(after, upto))))
    for held in _chunks(cursor.held):
        since = Span(start_us=min(first for _, first in held), end_us=2**62)
        mine = Where(column="trace_id", op="in", value=tuple(trace for trace, _ in held))
        parts.append(warehouse.run(Slice(table="spans", columns=names, span=since, where=(mine, upto))))
    spans: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in (row for part in parts for row in part.to_pylist()):
        spans[row["trace_id"]][row["span_id"]] = row
    return {trace: _open(list(rows.values()), cursor.read_seq) for trace, rows in spans.items()}


def _open(rows: list[dict[str, Any]], read_seq: int) -> _Open:
    ids = {row["span_id"] for row in rows}
    orphans = (r for r in rows if r["parent_span_id"] is not None and r["parent_span_id"] not in ids)
    return _Open(
        first_us=min(row["time_us"] for row in rows),
        last_us=max(row["end_us"] for row in rows),
        first_seq=min(row["seq"] for row in rows),
        last_seq=max(row["seq"] for row in rows),
        rootless=any(row["parent_remote"] is not True for row in orphans),
        new_spans=sum(row["seq"] > read_seq for row in rows),
    )


def _has_settled(trace: _Open, now_us: int, settle_us: int) -> bool:
    wait_us = settle_us * (_PATIENCE if trace.rootless else 1)
    return now_us - trace.last_us >= wait_us or trace.last_us - now_us > _AHEAD_US


def _was_done(trace: _Open, cursor: TraceCursor) -> bool:
    """Whether the last call saw all of this trace and did what there was to do with it."""
    return trace.last_seq <= cursor.read_seq and _has_settled(trace, cursor.at_us, cursor.settle_us)


def _known_ids(warehouse: Warehouse, traces: dict[str, _Open]) -> set[str]:
    """Traces that have their interaction already."""
    found: set[str] = set()
    for chunk in _chunks(traces.items()):
        span = Span(start_us=min(t.first_us for _, t in chunk) - _DAY_US, end_us=max(t.last_us for _, t in chunk) + 1)
        ids = tuple(trace for trace, _ in chunk)
        rows = warehouse.run(Lookup(table="interactions", ids=ids, columns=("id",), span=span))
        found.update(rows["id"].to_pylist())
    return found


def _write(warehouse: Warehouse, ready: Sequence[str], traces: dict[str, _Open]) -> int:
    columns = tuple(f.name for f in fields(SpanRow))
    written = 0
    for chunk in _chunks(ready):
        span = Span(  # a day more on both sides: spans of a trace may have been read by an earlier call
            start_us=min(traces[t].first_us for t in chunk) - _DAY_US,
            end_us=max(traces[t].last_us for t in chunk) + _DAY_US,
        )
        mine = Where(column="trace_id", op="in", value=tuple(chunk))
        spans = spans_from_rows(warehouse.run(Slice(table="spans", columns=columns, span=span, where=(mine,))))
        written += record(warehouse, assemble(spans))
    return written


def _chunks(items: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    listed = list(items)
    return (tuple(listed[i : i + _TRACES_AT_ONCE]) for i in range(0, len(listed), _TRACES_AT_ONCE))
