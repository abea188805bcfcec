"""Spans and log records of settled traces become interactions and feedback."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import pyarrow as pa

from andon.store import Ledger, Slice, Span, Warehouse, Where
from andon.traffic.conventions.annotations import annotations_of
from andon.traffic.conventions.messages import join_logs
from andon.traffic.conventions.traces import assemble
from andon.traffic.records import Feedback, Interaction, LogRow, SpanRow
from andon.traffic.rows import feedback_to_rows, logs_from_rows, spans_from_rows, to_rows
from andon.traffic.run.reading import chunks, last_seq
from andon.traffic.run.taking import Intake
from andon.traffic.settling import LOG_HEAD, SPAN_HEAD, TraceCursor, settle

__all__ = ["TRACES_AT_ONCE", "Assembled", "assemble_traces", "assembled"]

TRACES_AT_ONCE = 5_000
_SPANS_AT_ONCE = 40_000
"""About how many spans one call of `assemble_traces` turns into interactions."""
_HEADS_AT_ONCE = 2_000_000
"""About how many spans one call of `assemble_traces` looks at."""
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What one call of `assemble_traces` did."""

    written: int = 0
    """Interactions that are new."""
    updated: int = 0
    """Interactions of which more came to light: a late span or message."""
    waiting: int = 0
    """Traces that have not settled yet."""
    behind: int = 0
    """Traces that have settled and are left to the next call, so that one call does not take too long."""
    foreign: int = 0
    """Traces of something else than an AI system; they are kept in the table of spans."""
    sampled_out: int = 0
    """Traces that are not in the sample; they are kept in the table of spans."""


def assemble_traces(
    warehouse: Warehouse, ledger: Ledger, *, now_us: int, settle_us: int, intake: Intake | None = None
) -> Assembled:
    """Write the interactions of the traces that have settled, and what their spans say as feedback (`settle`).

    Commits before reading. A span or log record that comes after its trace was written leads to the same
    interaction, written anew. A crash at any point is repaired by the next call: interactions have the id of their trace.

    Raises:
        StoreError: the disk or the ledger refused; calling again is safe.
    """
    warehouse.commit()
    cursor = ledger.get(TraceCursor, "traffic") or TraceCursor()
    spans, upto_spans = _heads(warehouse, "spans", SPAN_HEAD, cursor.seq, cursor.held)
    logs, upto_logs = _heads(warehouse, "logs", LOG_HEAD, cursor.logs_seq, cursor.held)
    if not len(spans) and not len(logs):
        return Assembled()
    upto = max(upto_spans, cursor.read_seq), max(upto_logs, cursor.logs_read_seq)
    found = settle(spans, logs, cursor, upto, now_us=now_us, settle_us=settle_us, most=_SPANS_AT_ONCE)
    made, kept, said = 0, 0, list[Feedback]()

    def interactions(again: Collection[str] | None) -> pa.Table:
        nonlocal made, kept
        traces = found.ready if again is None else [t for t in found.ready if t[0] in again]
        rows: list[Interaction] = []
        for chunk in chunks(traces, TRACES_AT_ONCE):
            mine, feedback = assembled(warehouse, chunk)
            rows += mine
            said.extend(feedback)
        sampled = rows if intake is None else intake.sampled(rows)
        if again is None:
            made, kept = len(rows), len(sampled)
        return to_rows(sampled)

    written, updated = warehouse.derive("interactions", interactions, source="trace_id")
    warehouse.derive("feedback", lambda _: feedback_to_rows(said))
    ledger.put(found.following, now_us=now_us, by="traffic")
    return Assembled(
        written=written,
        updated=updated,
        waiting=found.waiting,
        behind=found.behind,
        foreign=len(found.ready) - made,
        sampled_out=made - kept,
    )


def _heads(
    warehouse: Warehouse, table: str, columns: tuple[str, ...], after_seq: int, held: tuple[tuple[str, int], ...]
) -> tuple[pa.Table, int]:
    """Heads of the rows above a seq, as far as one call looks, and of the held traces; and the seq looked up to."""
    last = last_seq(warehouse, table, after_seq, _HEADS_AT_ONCE)
    upto = Where(column="seq", op="lt", value=last + 1)
    after = Where(column="seq", op="ge", value=after_seq + 1)
    parts = [warehouse.run(Slice(table=table, columns=columns, where=(after, upto)))]
    for chunk in chunks(held, TRACES_AT_ONCE):
        since = Span(start_us=min(first for _, first in chunk), end_us=2**62)
        mine = Where(column="trace_id", op="in", value=tuple(trace for trace, _ in chunk))
        before = Where(column="seq", op="lt", value=after_seq + 1)
        parts.append(warehouse.run(Slice(table=table, columns=columns, span=since, where=(mine, before))))
    return pa.concat_tables(parts).combine_chunks(), last


def assembled(warehouse: Warehouse, chunk: Sequence[tuple[str, int, int]]) -> tuple[list[Interaction], list[Feedback]]:
    """What the spans and log records of some traces say."""
    span = Span(  # a day more on both sides: parts of a trace may have been read by an earlier call
        start_us=min(first for _, first, _ in chunk) - _DAY_US, end_us=max(last for _, _, last in chunk) + _DAY_US
    )
    mine = (Where(column="trace_id", op="in", value=tuple(trace for trace, _, _ in chunk)),)
    names = {"spans": tuple(f.name for f in fields(SpanRow)), "logs": tuple(f.name for f in fields(LogRow))}
    rows = {t: warehouse.run(Slice(table=t, columns=c, span=span, where=mine)) for t, c in names.items()}
    spans = join_logs(spans_from_rows(rows["spans"]), logs_from_rows(rows["logs"]))
    return assemble(spans), annotations_of(spans)
