"""One interaction as a story: what was asked and answered, how good it was, what was said about it, what came before and after."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType

from andon.store import Lookup, Slice, Span, Warehouse, Where
from andon.traffic.records import Feedback, Hit, Interaction, SpanRow
from andon.traffic.rows import SCHEMAS, feedback_from_rows, from_rows, spans_from_rows
from andon.traffic.run.searching import hits_of, metrics_of

__all__ = ["AROUND", "Story", "interaction_at", "interaction_story"]

AROUND = 10
"""Interactions of the same session that are told before this one, and after it."""

_DAY_US = 86_400_000_000
_SESSION, _MOST_SPANS = 200, 1_000
_AT_ONCE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One interaction, and all that is known about it."""

    interaction: Interaction
    scores: Mapping[str, float]
    """The last value of each metric that applies, of scores within a day."""
    topic: str | None
    """Key of the topic that the question belongs to."""
    feedback: tuple[Feedback, ...]
    """What was said about the interaction or its session, in order of time."""
    earlier: tuple[Hit, ...]
    """The last `AROUND` of its session within a day before it, in order of time."""
    later: tuple[Hit, ...]
    """The next `AROUND` of its session within a day, in order of time; those of the same microsecond too."""
    spans: tuple[SpanRow, ...]
    """Spans of its trace in order of time, as far as they are kept; the first thousand."""


def interaction_story(warehouse: Warehouse, id: str, *, at_us: int | None = None) -> Story | None:  # noqa: A002 - as in the ledger
    """The story of one interaction; None where no interaction has this id.

    Args:
        warehouse: the tables; scores are told where it has the table ``scores``.
        id: of the interaction.
        at_us: when it began, as links say; a wrong time, as after a late span, costs only time.

    Raises:
        StoreError: the tables cannot be read.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # each of these plans leaves cores idle when it is alone
        scores = None if at_us is None else pool.submit(_scores, warehouse, id, at_us)
        found = _found(warehouse, id, at_us)
        if found is None:
            return None
        if scores is None or found.time_us != at_us:
            scores = pool.submit(_scores, warehouse, id, found.time_us)
        session = pool.submit(_session, warehouse, found)
        feedback = pool.submit(_feedback, warehouse, found)
        spans = pool.submit(_spans, warehouse, found)
    values, topic = scores.result()
    before, after = session.result()
    return Story(
        interaction=found,
        scores=MappingProxyType(values),
        topic=topic,
        feedback=feedback.result(),
        earlier=before,
        later=after,
        spans=spans.result(),
    )


def _found(warehouse: Warehouse, id: str, at_us: int | None) -> Interaction | None:  # noqa: A002
    """The interaction, which is looked for at its time first, then by its id alone."""
    if at_us is None:
        at_us = interaction_at(warehouse, id)
    elif (found := _at(warehouse, id, Span(start_us=at_us, end_us=at_us + 1))) is not None:
        return found
    else:
        at_us = interaction_at(warehouse, id)
    return None if at_us is None else _at(warehouse, id, Span(start_us=at_us, end_us=at_us + 1))


def _at(warehouse: Warehouse, id: str, span: Span) -> Interaction | None:  # noqa: A002
    mine = (Where(column="id", op="eq", value=id),)
    plan = Slice(table="interactions", columns=tuple(SCHEMAS["interactions"].names), span=span, where=mine)
    return next(iter(from_rows(warehouse.run(plan))), None)


def interaction_at(warehouse: Warehouse, id: str) -> int | None:  # noqa: A002
    """When the interaction with this id began; None where there is none.

    Raises:
        StoreError: the tables cannot be read.
    """
    times = warehouse.run(Lookup(table="interactions", ids=(id,), columns=("time_us",)))["time_us"].to_pylist()
    return max(times, default=None)


def _near(at_us: int) -> Span:
    return Span(start_us=at_us - _DAY_US, end_us=at_us + _DAY_US)


def _scores(warehouse: Warehouse, id: str, at_us: int) -> tuple[dict[str, float], str | None]:  # noqa: A002
    metrics = metrics_of(warehouse)
    if not metrics:
        return {}, None
    mine = (Where(column="interaction_id", op="eq", value=id),)
    rows = warehouse.run(Slice(table="scores", columns=("seq", "topic", *metrics), span=_near(at_us), where=mine))
    values: dict[str, float] = {}
    topic = None
    for row in rows.sort_by([("seq", "ascending")]).to_pylist():  # a sort of Arrow is stable: then by time and id
        values |= {m: row[m] for m in metrics if row[m] is not None}
        topic = row["topic"] or topic
    return values, topic


def _session(warehouse: Warehouse, told: Interaction) -> tuple[tuple[Hit, ...], tuple[Hit, ...]]:
    """The nearest of its session before and after it. Two applications may number their sessions alike."""
    if not told.session_id:
        return (), ()
    same = (("session_id", told.session_id), ("app", told.app), ("environment", told.environment))
    mine = (*(Where(column=c, op="eq", value=v) for c, v in same), Where(column="id", op="ne", value=told.id))
    near = _near(told.time_us)
    hits = hits_of(warehouse, near, mine, _SESSION, False)
    before = [h for h in hits if h.time_us < told.time_us]
    after = [h for h in hits if h.time_us >= told.time_us]
    if len(hits) == _SESSION:  # there may be more: each side by itself
        before = hits_of(warehouse, replace(near, end_us=told.time_us), mine, AROUND, True)[::-1]
        after = hits_of(warehouse, replace(near, start_us=told.time_us), mine, AROUND, False)
    return tuple(before[-AROUND:]), tuple(after[:AROUND])


def _feedback(warehouse: Warehouse, told: Interaction) -> tuple[Feedback, ...]:
    about = (Where(column="interaction_id", op="in", value=tuple(i for i in (told.id, told.session_id) if i)),)
    rows = warehouse.run(Slice(table="feedback", columns=tuple(SCHEMAS["feedback"].names), where=about))
    meant = {("interaction", told.id), ("session", told.session_id)}
    return tuple(f for f in feedback_from_rows(rows) if (f.scope, f.interaction_id) in meant)


def _spans(warehouse: Warehouse, told: Interaction) -> tuple[SpanRow, ...]:
    mine = (Where(column="trace_id", op="eq", value=told.trace_id or told.id),)
    columns = tuple(n for n in SCHEMAS["spans"].names if n != "id")
    plan = Slice(table="spans", columns=columns, span=_near(told.time_us), where=mine, limit=_MOST_SPANS)
    return tuple(spans_from_rows(warehouse.run(plan)))
