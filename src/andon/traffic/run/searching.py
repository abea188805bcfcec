"""Search traffic from the newest back, in stretches, until a page is full, all was looked through, or time is up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from andon.errors import InputError
from andon.store import Rollup, Slice, Span, Warehouse, Where
from andon.traffic.quoting import quoted
from andon.traffic.records import Hit
from andon.traffic.searching import LATER, Cursor, Search

__all__ = ["Found", "Volume", "hits_of", "metrics_of", "search_traffic", "volume"]

_FIRST_ROWS, _GROWTH, _MOST_ROWS = 12_000, 4.0, 4_000_000
"""Rows that the first stretch looks at, about; how many times more each next one may; and the most."""
_NAMED, _SPARSE_ROWS = frozenset({"user_id", "session_id", "trace_id"}), 65_536
"""Fields for which files have filters, and the rows for each hit from which on these filters spare most of the reading."""
_CANDIDATES = 400
"""Interactions whose score fits that are looked up at a time, where more than their score is asked."""
_FEW = 10_000
"""Ids that the engine is asked for one by one. Of a million it would take seconds and half a gigabyte: more are compared here, with
the rows of a stretch."""
_EARLIER_US = 86_400_000_000
"""Clocks differ: feedback may seem to come up to a day before its interaction."""
_ENDS_US = 2**62
_COLUMNS = (
    "id", "time_us", "app", "environment", "query", "answer", "prediction", "error", "latency_s", "model", "prompt_version",
    "risk_category", "user_id", "session_id",
)  # fmt: skip
_NOT_IN_SCORES = frozenset({"source", "trace_id"})
"""Fields that the table ``scores`` lacks, or of which it says something else."""
_AS_SAID = frozenset({"thumbs", "rating", "probe_pass"})
"""Metrics whose score is the value of the feedback: the table of feedback is far smaller than that of scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of what was searched for."""

    rows: tuple[Hit, ...]
    """The newest first."""
    searched_back_to_us: int | None
    """All that came at this time or later was looked through; None where there is no traffic to look through."""
    complete: bool
    """False where time was up before the page was full: there may be more, and `next` goes on with it."""
    next: Cursor | None
    """Where the next page begins; None where the search has come to its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """How many interactions a search finds, by time."""

    start_us: int
    width_us: int
    counts: tuple[int, ...]
    """Of each bucket of `width_us`, from `start_us` on."""


def search_traffic(
    warehouse: Warehouse,
    search: Search,
    *,
    limit: int = 50,
    before: Cursor | None = None,
    within_s: float = 0.12,
    clock: Callable[[], float],
) -> Found:
    """The newest interactions that a search finds, older than `before`.

    Looks back over growing stretches of time. When `within_s` is used up it says how far it came, and the next call goes on from
    there; each call looks at one stretch at least, so whoever goes on comes to the end. A metric that feedback gives is asked of
    what was given since a day before the search's start; of all others one row of scores must meet all conditions.

    Args:
        warehouse: the tables; ``scores`` is read where the search has conditions on scores.
        search: what is looked for.
        limit: most rows of the page.
        before: `Found.next` of the page before.
        within_s: seconds; the last stretch may take longer.
        clock: monotonic seconds (`time.monotonic`).

    Raises:
        InputError: a metric is no column of ``scores``, or `limit` is below 1.
        StoreError: the tables cannot be read.
    """
    if limit < 1:
        raise InputError(f"limit={limit} must be 1 or more")
    begun = clock()
    look = _Look(warehouse, search)
    top = min(us for us in (search.end_us, None if before is None else before.time_us, _ENDS_US) if us is not None)
    hits: list[Hit] = []
    if before is not None and before.id is not None:
        hits, _ = look(Span(start_us=top, end_us=top + 1), limit, Where(column="id", op="lt", value=before.id))
    wanted, spent, steps, seen = float(_FIRST_ROWS), 0.0, 0, 0.0
    while len(hits) < limit:
        start = warehouse.back_to("interactions", top, int(wanted))
        if start is None or (search.start_us is not None and top <= search.start_us):
            reached = search.start_us if search.start_us is not None else (top if top < _ENDS_US else None)
            return Found(rows=tuple(hits), searched_back_to_us=reached, complete=True, next=None)
        if steps and clock() - begun + spent / 2 >= within_s:  # the next takes half of the last at least
            return Found(rows=tuple(hits), searched_back_to_us=top, complete=False, next=Cursor(time_us=top))
        since = clock()
        start = start if search.start_us is None else max(start, search.start_us)
        more, top = look(Span(start_us=start, end_us=top), limit - len(hits))
        hits, spent, steps, seen = hits + more, clock() - since, steps + 1, seen + wanted
        left = max(within_s - (clock() - begun), 0.0)
        if look.named and len(hits) * _SPARSE_ROWS <= seen:  # most row groups will be passed over by their filters
            wanted = min(wanted * _GROWTH**2, _MOST_ROWS)
        else:
            # about half of what a stretch takes is the same however long it is
            wanted = min(max(wanted * min(_GROWTH, 2 * left / max(spent, 1e-6)), _FIRST_ROWS), _MOST_ROWS)
    last = hits[-1]
    following = Cursor(time_us=last.time_us, id=last.id)
    return Found(rows=tuple(hits), searched_back_to_us=last.time_us, complete=True, next=following)


def volume(warehouse: Warehouse, search: Search, buckets: int = 60, most_rows: int = 3_000_000) -> Volume | None:
    """How many interactions a search finds in each of about so many equal stretches of its time.

    None where that would take too long, and where there is no traffic: for conditions on scores, topic and feedback, over more than
    `most_rows` rows, and for texts over a tenth of them.

    Raises:
        InputError: `buckets` is below 1.
        StoreError: the tables cannot be read.
    """
    if buckets < 1:
        raise InputError(f"buckets={buckets} must be 1 or more")
    extent = warehouse.extent("interactions")
    if search.scores or search.topic or search.feedback or extent is None:
        return None
    start_us = extent.start_us if search.start_us is None else search.start_us
    end_us = extent.end_us if search.end_us is None else search.end_us
    rows = most_rows // 10 if search.question or search.answer else most_rows
    cheap_us = warehouse.back_to("interactions", end_us, rows)
    if start_us >= end_us or (cheap_us is not None and cheap_us > max(start_us, extent.start_us)):
        return None
    width_us = -(-(end_us - start_us) // buckets)
    span = Span(start_us=start_us, end_us=end_us)
    found = warehouse.run(Rollup(table="interactions", window_us=width_us, span=span, where=_conditions(search)))
    first_us = start_us // width_us * width_us
    counts = [0] * ((end_us - 1 - first_us) // width_us + 1)
    for at_us, n in zip(found["window_us"].to_pylist(), found["rows"].to_pylist(), strict=True):
        counts[(at_us - first_us) // width_us] = n
    return Volume(start_us=first_us, width_us=width_us, counts=tuple(counts))


def hits_of(
    warehouse: Warehouse, span: Span, where: Sequence[Where], limit: int | None, newest_first: bool
) -> list[Hit]:
    """Interactions as a list shows them."""
    plan = Slice(
        table="interactions", columns=_COLUMNS, span=span, where=tuple(where), limit=limit, newest_first=newest_first
    )
    return [Hit.of(row) for row in warehouse.run(plan).to_pylist()]


class _Look:
    """One search over one stretch of time after the other, from the newest back."""

    def __init__(self, warehouse: Warehouse, search: Search) -> None:
        self._warehouse = warehouse
        self._where = _conditions(search)
        self.named = any(field in _NAMED for field, _ in search.exact)
        metrics = metrics_of(warehouse) if search.scores else ()
        for s in search.scores:
            if s.metric not in metrics:
                raise InputError(
                    f"there is no score {quoted(s.metric)}; the scores are {', '.join(sorted(metrics)) or 'none yet'}"
                )
        scores = [(s.metric, Where(column=s.metric, op=s.op, value=s.value)) for s in search.scores]
        same = tuple(w for w in self._where if w.column in dict(search.exact) and w.column not in _NOT_IN_SCORES)
        own = tuple(w for metric, w in scores if metric not in LATER)
        self._only_scores = len(same) == len(self._where) and len(own) == len(scores) and not search.feedback
        if search.topic:
            if "scores" not in warehouse.tables():
                raise InputError(f"no topic {quoted(search.topic)} is known: nothing was measured yet")
            own += (Where(column="topic", op="eq", value=search.topic),)
        self._scores = (*own, *same) if own else ()
        self._later = [_said(warehouse, metric, w, search.start_us) for metric, w in scores if metric in LATER]
        kind = Where(column="kind", op="eq", value=search.feedback)
        self._feedback = (
            [
                (
                    field,
                    _Later(warehouse, "feedback", (kind, Where(column="scope", op="eq", value=scope)), search.start_us),
                )
                for field, scope in (("id", "interaction"), ("session_id", "session"))
            ]
            if search.feedback
            else []
        )

    def __call__(self, span: Span, limit: int, *also: Where) -> tuple[list[Hit], int]:
        """The newest hits of a span, and the time down to which it was looked through."""
        where = (*self._where, *also)
        if not (self._scores or self._later or self._feedback):
            return hits_of(self._warehouse, span, where, limit, True), span.start_us
        if self._scores:
            ids, start_us = self._candidates(span, limit)
            span = replace(span, start_us=start_us)
            where = (*where, Where(column="id", op="in", value=tuple(ids)))
        asked = [("id", later.ids()) for later in self._later]
        found: set[tuple[int, str]] = set()
        for one in [[*asked, (field, later.ids())] for field, later in self._feedback] or [asked]:
            if all(len(ids) for _, ids in one) and not any(w.op == "in" and not w.value for w in where):
                found |= self._told(span, where, one, limit)
        return self._shown(sorted(found, reverse=True)[:limit]), span.start_us

    def _told(
        self, span: Span, where: tuple[Where, ...], asked: Sequence[tuple[str, pa.Array]], limit: int
    ) -> set[tuple[int, str]]:
        """Time and id of the newest of a span whose fields are among those that something was said about."""
        few = tuple(Where(column=f, op="in", value=tuple(ids.to_pylist())) for f, ids in asked if len(ids) <= _FEW)
        many = [(f, ids) for f, ids in asked if len(ids) > _FEW]
        plan = Slice(
            table="interactions", columns=tuple(dict.fromkeys(("time_us", "id", *(f for f, _ in many)))), span=span,
            where=(*where, *few), limit=None if many else limit, newest_first=True,
        )  # fmt: skip
        rows = self._warehouse.run(plan)
        for field, ids in many:
            rows = rows.filter(pc.is_in(rows[field], value_set=ids))
        rows = rows.slice(0, limit)
        return set(zip(rows["time_us"].to_pylist(), rows["id"].to_pylist(), strict=True))

    def _shown(self, found: list[tuple[int, str]]) -> list[Hit]:
        if not found:
            return []
        span = Span(start_us=found[-1][0], end_us=found[0][0] + 1)
        mine = Where(column="id", op="in", value=tuple(i for _, i in found))
        return hits_of(self._warehouse, span, (mine,), None, True)

    def _candidates(self, span: Span, limit: int) -> tuple[list[str], int]:
        """Ids of the newest interactions of a span whose scores fit, and the time down to which they are all."""
        most = limit if self._only_scores else max(limit, _CANDIDATES)
        rows = self._scored(span, most)
        start_us = span.start_us
        if rows.num_rows == most:
            start_us = rows["time_us"][most - 1].as_py()
            rows = pa.concat_tables([rows, self._scored(Span(start_us=start_us, end_us=start_us + 1), None)])
        return list(dict.fromkeys(i for i in rows["interaction_id"].to_pylist() if i is not None)), start_us

    def _scored(self, span: Span, limit: int | None) -> pa.Table:
        columns = ("interaction_id", "time_us")
        own = (*self._scores, Where(column="scorers", op="ne", value="people"))
        return self._warehouse.run(
            Slice(table="scores", columns=columns, span=span, where=own, limit=limit, newest_first=True)
        )


class _Later:
    """Ids of what something was said about, which are read when they are needed."""

    def __init__(self, warehouse: Warehouse, table: str, where: tuple[Where, ...], since_us: int | None) -> None:
        self._warehouse = warehouse
        span = None if since_us is None else Span(start_us=since_us - _EARLIER_US, end_us=_ENDS_US)
        self._plan = Slice(table=table, columns=("interaction_id",), span=span, where=where)
        self._ids: pa.Array | None = None

    def ids(self) -> pa.Array:
        """All of them, each once."""
        if self._ids is None:
            self._ids = pc.unique(self._warehouse.run(self._plan)["interaction_id"]).drop_null()
        return self._ids


def _said(warehouse: Warehouse, metric: str, asked: Where, since_us: int | None) -> _Later:
    """Interactions of which feedback gave a score that fits; a thumb, a rating and a probe are their feedback's value."""
    if metric not in _AS_SAID:
        return _Later(warehouse, "scores", (Where(column="scorers", op="eq", value="people"), asked), since_us)
    kind = (("kind", LATER[metric]), ("scope", "interaction"))
    where = tuple(Where(column=column, op="eq", value=value) for column, value in kind)
    value = replace(asked, column="value")
    return _Later(warehouse, "feedback", (*where, Where(column="error", op="null"), value), since_us)


def _conditions(search: Search) -> tuple[Where, ...]:
    """What a search asks of the row of an interaction itself."""
    texts = (("query", search.question), ("answer", search.answer))
    failed = () if search.error is None else (Where(column="error", op="not_null" if search.error else "null"),)
    return (
        *(Where(column=field, op="eq", value=value) for field, value in search.exact),
        *failed,
        *(Where(column=column, op="contains", value=text) for column, text in texts if text),
    )


def metrics_of(warehouse: Warehouse) -> tuple[str, ...]:
    """The metrics of the table of scores: none where this store has no such table."""
    if "scores" not in warehouse.tables():
        return ()
    return tuple(f.name for f in warehouse.schema("scores") if f.type == pa.float64() and f.name != "weight")
