"""Which traces are ready to become interactions: those of which nothing more is to be expected.

Decided for all traces at once, from the heads of their spans and log records.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["LOG_HEAD", "SPAN_HEAD", "Settled", "TraceCursor", "settle"]

SPAN_HEAD = ("id", "trace_id", "parent_span_id", "parent_remote", "time_us", "end_us", "seq")
"""Columns of the table ``spans`` that are needed."""

LOG_HEAD = ("trace_id", "time_us", "seq")
"""Columns of the table ``logs`` that are needed."""

_AHEAD_US = 3_600_000_000
"""An end further in the future than this is a wrong clock, and nothing to wait for."""
_PATIENCE = 4
"""How many times longer a trace waits of which a span's parent has not come yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceCursor:
    """How far spans and log records have been assembled into interactions."""

    id: str = "traffic"
    seq: int = 0
    """The traces of all spans up to here are done, or in `held`."""
    read_seq: int = 0
    """Spans up to here were seen by the last call."""
    logs_seq: int = 0
    logs_read_seq: int = 0
    """The same for log records."""
    at_us: int = 0
    settle_us: int = 0
    """Clock and patience of the last call: what had settled by then is done."""
    held: tuple[tuple[str, int], ...] = ()
    """Long traces that still wait, as (trace id, time of the first span), so that they do not hold up the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is to be done now."""

    ready: tuple[tuple[str, int, int], ...]
    """Traces to write, as (trace id, time of the first part, end of the last), in the order in which they settled."""
    waiting: int
    """Traces that wait for more."""
    behind: int
    """Traces that have settled, and are left to the next call."""
    following: TraceCursor


def settle(
    spans: pa.Table,
    logs: pa.Table,
    cursor: TraceCursor,
    upto: tuple[int, int],
    *,
    now_us: int,
    settle_us: int,
    most: int,
) -> Settled:
    """Decide which traces are ready.

    A trace has settled when its last span ended `settle_us` ago or earlier; four times that while the parent of one of its
    spans is missing. One that settled before and has nothing new is done.

    Args:
        spans: `SPAN_HEAD` of the spans above the cursor and of the held traces.
        logs: `LOG_HEAD` of the log records above the cursor and of the held traces.
        cursor: where the last call ended.
        upto: highest seq of `spans` and of `logs` that was looked at.
        now_us: the clock.
        settle_us: patience.
        most: about how many spans may be handed out; what settled first comes first.
    """
    traces = _traces(spans, logs)
    last, first = traces["last"].to_numpy(), traces["first"].to_numpy()
    seen, seen_logs = _numbers(traces["seq_max"], 0), _numbers(traces["log_max"], 0)
    patience = np.where(traces["rootless"].to_numpy(zero_copy_only=False), _PATIENCE, 1)

    def due(clock_us: int, wait_us: int) -> NDArray[np.int64]:
        return np.where(last - clock_us > _AHEAD_US, np.iinfo(np.int64).min, last + patience * wait_us)

    due_us = due(now_us, settle_us)
    settled = due_us <= now_us
    old = (seen <= cursor.read_seq) & (seen_logs <= cursor.logs_read_seq)
    done = settled & old & (due(cursor.at_us, cursor.settle_us) <= cursor.at_us)
    todo = np.flatnonzero(settled & ~done)
    todo = todo[np.lexsort((first[todo], due_us[todo]))]
    sizes = np.cumsum(traces["parts"].to_numpy()[todo])
    count = max(1, int(np.searchsorted(sizes, most, side="right")))
    bound = due_us[todo[min(count, len(todo)) - 1]] if len(todo) else 0  # those that settled together stay together
    handed, later = todo[due_us[todo] <= bound], todo[due_us[todo] > bound]
    clock_us = min(now_us, int(due_us[later].min()) - 1) if len(later) else now_us
    waiting = np.flatnonzero(~settled)
    long = waiting[now_us - first[waiting] > 2 * _PATIENCE * settle_us]
    pinned = np.concatenate([np.setdiff1d(waiting, long), later])
    ids = traces["trace_id"]
    following = replace(
        cursor,
        seq=_before(traces["seq_min"], pinned, upto[0]),
        read_seq=upto[0],
        logs_seq=_before(traces["log_min"], pinned, upto[1]),
        logs_read_seq=upto[1],
        at_us=clock_us,
        settle_us=settle_us,
        held=tuple(sorted((ids[int(i)].as_py(), int(first[i])) for i in long)),
    )
    ready = tuple((ids[int(i)].as_py(), int(first[i]), int(last[i])) for i in handed)
    return Settled(ready=ready, waiting=len(waiting), behind=len(later), following=following)


def _traces(spans: pa.Table, logs: pa.Table) -> pa.Table:
    """One row per trace: its range of time, ranges of seq, number of parts, and whether a parent is missing."""
    parent = pc.binary_join_element_wise(spans["trace_id"], spans["parent_span_id"], ":")
    found = pc.is_in(parent, value_set=spans["id"].combine_chunks())
    elsewhere = pc.fill_null(spans["parent_remote"], False)
    orphan = pc.and_(pc.is_valid(spans["parent_span_id"]), pc.invert(pc.or_(found, elsewhere)))
    none = pa.nulls(len(spans), pa.int64())
    heads = pa.table(
        {
            "trace_id": spans["trace_id"], "time_us": spans["time_us"], "end_us": spans["end_us"], "seq": spans["seq"],
            "log": none, "orphan": orphan,
        }
    )  # fmt: skip
    logs = logs.filter(pc.is_valid(logs["trace_id"]))
    log_heads = pa.table(
        {
            "trace_id": logs["trace_id"], "time_us": logs["time_us"], "end_us": logs["time_us"],
            "seq": pa.nulls(len(logs), pa.int64()), "log": logs["seq"], "orphan": pa.array([False] * len(logs), pa.bool_()),
        }
    )  # fmt: skip
    grouped = pa.concat_tables([heads, log_heads]).group_by("trace_id", use_threads=False)
    table = grouped.aggregate(
        [("time_us", "min"), ("end_us", "max"), ("seq", "min"), ("seq", "max"), ("log", "min"), ("log", "max"),
         ("orphan", "any"), ("time_us", "count")]
    )  # fmt: skip
    return table.select(
        ["trace_id", "time_us_min", "end_us_max", "seq_min", "seq_max", "log_min", "log_max", "orphan_any", "time_us_count"]
    ).rename_columns(
        ["trace_id", "first", "last", "seq_min", "seq_max", "log_min", "log_max", "rootless", "parts"]
    )  # fmt: skip


def _before(first_seq: pa.ChunkedArray, rows: NDArray[np.int64], otherwise: int) -> int:
    """The seq before the first one of these traces."""
    found = pc.min(first_seq.take(pa.array(rows, pa.int64()))).as_py()
    return otherwise if found is None else min(otherwise, int(found) - 1)


def _numbers(column: pa.ChunkedArray, empty: int) -> NDArray[np.int64]:
    return np.asarray(pc.fill_null(column, empty).to_numpy())
