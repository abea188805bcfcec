"""One interaction as a story: what was asked and answered, how good it was, what was said about it, what came before and after."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

from andon.store import Slice, Span, Warehouse, Where
from andon.traffic.records import Feedback, Hit, Interaction, SpanRow
from andon.traffic.rows import SCHEMAS, feedback_from_rows, from_rows, spans_from_rows
from andon.traffic.run.searching import hits_of, metrics_of

__all__ = ["AROUND", "Story", "interaction_story"]

AROUND = 10
"""Interactions of the same session that are told before this one, and after it."""

_DAY_US = 86_400_000_000
_FIRST_ROWS, _GROWTH = 500_000, 8
_MOST_SPANS = 1_000
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
    found = _found(warehouse, id, at_us)
    if found is None:
        return None
    near = Span(start_us=found.time_us - _DAY_US, end_us=found.time_us + _DAY_US)
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # each of these plans leaves cores idle when it is alone
        scores = pool.submit(_scores, warehouse, id, near)
        earlier = pool.submit(_earlier, warehouse, found, near)
        later = pool.submit(_later, warehouse, found, near)
        feedback = pool.submit(_feedback, warehouse, found)
        spans = pool.submit(_spans, warehouse, found.trace_id or id, near)
    values, topic = scores.result()
    return Story(
        interaction=found,
        scores=MappingProxyType(values),
        topic=topic,
        feedback=feedback.result(),
        earlier=earlier.result(),
        later=later.result(),
        spans=spans.result(),
    )


def _found(warehouse: Warehouse, id: str, at_us: int | None) -> Interaction | None:  # noqa: A002
    """The interaction, which is looked for at its time first, then around it, then from the newest back."""
    if at_us is None:
        at_us = _time_of(warehouse, id)
    elif (found := _at(warehouse, id, Span(start_us=at_us, end_us=at_us + 1))) is not None:
        return found
    else:
        at_us = _time_of(warehouse, id)
    return None if at_us is None else _at(warehouse, id, Span(start_us=at_us, end_us=at_us + 1))


def _at(warehouse: Warehouse, id: str, span: Span) -> Interaction | None:  # noqa: A002
    mine = (Where(column="id", op="eq", value=id),)
    plan = Slice(table="interactions", columns=tuple(SCHEMAS["interactions"].names), span=span, where=mine)
    return next(iter(from_rows(warehouse.run(plan))), None)


def _time_of(warehouse: Warehouse, id: str) -> int | None:  # noqa: A002
    mine = (Where(column="id", op="eq", value=id),)
    top, rows = 2**62, _FIRST_ROWS
    while (start := warehouse.back_to("interactions", top, rows)) is not None:
        span = Span(start_us=start, end_us=top)
        plan = Slice(table="interactions", columns=("time_us",), span=span, where=mine, limit=1, newest_first=True)
        if (found := warehouse.run(plan)).num_rows:
            return int(found["time_us"][0].as_py())
        top, rows = start, rows * _GROWTH
    return None


def _scores(warehouse: Warehouse, id: str, near: Span) -> tuple[dict[str, float], str | None]:  # noqa: A002
    metrics = metrics_of(warehouse)
    if not metrics:
        return {}, None
    mine = (Where(column="interaction_id", op="eq", value=id),)
    rows = warehouse.run(Slice(table="scores", columns=("seq", "topic", *metrics), span=near, where=mine))
    values: dict[str, float] = {}
    topic = None
    for row in rows.sort_by([("seq", "ascending")]).to_pylist():  # a sort of Arrow is stable: then by time and id
        values |= {m: row[m] for m in metrics if row[m] is not None}
        topic = row["topic"] or topic
    return values, topic


def _earlier(warehouse: Warehouse, told: Interaction, near: Span) -> tuple[Hit, ...]:
    span = Span(start_us=near.start_us, end_us=told.time_us)
    return tuple(hits_of(warehouse, span, mine, AROUND, True)[::-1]) if (mine := _of_session(told)) else ()


def _later(warehouse: Warehouse, told: Interaction, near: Span) -> tuple[Hit, ...]:
    span = Span(start_us=told.time_us, end_us=near.end_us)
    return tuple(hits_of(warehouse, span, mine, AROUND, False)) if (mine := _of_session(told)) else ()


def _of_session(told: Interaction) -> tuple[Where, ...]:
    """The other interactions of its session; empty where it has none. Two applications may number their sessions alike."""
    same = (("session_id", told.session_id), ("app", told.app), ("environment", told.environment))
    mine = tuple(Where(column=column, op="eq", value=value) for column, value in same)
    return (*mine, Where(column="id", op="ne", value=told.id)) if told.session_id else ()


def _feedback(warehouse: Warehouse, told: Interaction) -> tuple[Feedback, ...]:
    about = (Where(column="interaction_id", op="in", value=tuple(i for i in (told.id, told.session_id) if i)),)
    rows = warehouse.run(Slice(table="feedback", columns=tuple(SCHEMAS["feedback"].names), where=about))
    meant = {("interaction", told.id), ("session", told.session_id)}
    return tuple(f for f in feedback_from_rows(rows) if (f.scope, f.interaction_id) in meant)


def _spans(warehouse: Warehouse, trace_id: str, near: Span) -> tuple[SpanRow, ...]:
    mine = (Where(column="trace_id", op="eq", value=trace_id),)
    columns = tuple(n for n in SCHEMAS["spans"].names if n != "id")
    plan = Slice(table="spans", columns=columns, span=near, where=mine, limit=_MOST_SPANS)
    return tuple(spans_from_rows(warehouse.run(plan)))
