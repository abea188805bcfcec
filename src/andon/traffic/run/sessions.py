"""Sessions are looked through for questions that were asked again."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from andon.store import Ledger, Slice, Span, Warehouse, Where
from andon.traffic.followups import find_follow_ups
from andon.traffic.rows import feedback_to_rows, from_rows
from andon.traffic.run.reading import chunks, read_commits

__all__ = ["FollowUpCursor", "find_follow_ups_in"]

_BATCH = 20_000
_SESSIONS_AT_ONCE = 5_000
_HOUR_US = 3_600_000_000
_SESSION_COLUMNS = (
    "id", "time_us", "app", "environment", "session_id", "query", "answer", "latency_s", "tool_calls", "error",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpCursor:
    """How far interactions have been looked through for follow-ups, as a seq of their table."""

    id: str = "follow-ups"
    seq: int = 0


def find_follow_ups_in(
    warehouse: Warehouse, ledger: Ledger, *, now_us: int, similar: Callable[[str, str], float] | None = None
) -> int:
    """Look through the sessions that have gone on since the last call for questions that say that an answer failed.

    What is found is feedback of kind ``follow_up``; returns how many were written. Calling again adds nothing.
    """
    cursor = ledger.get(FollowUpCursor, "follow-ups") or FollowUpCursor()
    seq, found = cursor.seq, 0
    while True:
        rows, reached = read_commits(warehouse, "interactions", seq, _BATCH, _SESSION_COLUMNS)
        if reached == seq:
            break
        rows = rows.filter(pc.is_valid(rows["session_id"]))
        sessions = rows["session_id"].unique().to_pylist()
        for chunk in chunks(sessions, _SESSIONS_AT_ONCE):
            times = pc.min_max(rows["time_us"]).as_py()
            span = Span(start_us=times["min"] - _HOUR_US, end_us=times["max"] + _HOUR_US)
            mine = (Where(column="session_id", op="in", value=tuple(chunk)),)
            plan = Slice(table="interactions", columns=_SESSION_COLUMNS, span=span, where=mine)
            new, replaced = warehouse.derive("feedback", partial(_follow_ups, warehouse, plan, similar))
            found += new + replaced
        seq = reached
        ledger.put(FollowUpCursor(seq=seq), now_us=now_us, by="traffic")
    return found


def _follow_ups(
    warehouse: Warehouse, plan: Slice, similar: Callable[[str, str], float] | None, _: Collection[str] | None
) -> pa.Table:
    return feedback_to_rows(find_follow_ups(from_rows(warehouse.run(plan)), similar=similar))
