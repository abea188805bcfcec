"""The scores of what a list shows."""

from collections.abc import Collection, Sequence

from andon.store import Slice, Span, Warehouse, Where
from andon.traffic.records import Hit
from andon.traffic.run.searching import metrics_of

__all__ = ["scores_of"]

_MOST_ROWS = 150_000
"""Rows of scores that are looked through at most: a list that reaches over more time is shown without its scores."""


def scores_of(warehouse: Warehouse, hits: Sequence[Hit], wanted: Collection[str]) -> dict[str, dict[str, float]]:
    """The last value of some metrics of interactions of a list, by id; the newest ones alone where the list reaches far back.

    Only what was scored at the time of the interaction: a word of people comes later, and is told on its own page.

    Raises:
        StoreError: the tables cannot be read.
    """
    metrics = [m for m in metrics_of(warehouse) if m in wanted]
    if not hits or not metrics:
        return {}
    first, last = min(h.time_us for h in hits), max(h.time_us for h in hits) + 1
    cheap_us = warehouse.back_to("scores", last, _MOST_ROWS)
    span = Span(start_us=first if cheap_us is None else max(first, cheap_us), end_us=last)
    ids = tuple(dict.fromkeys(h.id for h in hits if h.time_us >= span.start_us))
    mine = (Where(column="interaction_id", op="in", value=ids),)
    rows = warehouse.run(Slice(table="scores", columns=("interaction_id", "seq", *metrics), span=span, where=mine))
    found: dict[str, dict[str, float]] = {}
    for row in rows.sort_by([("seq", "ascending")]).to_pylist():
        found.setdefault(row["interaction_id"], {}).update({m: row[m] for m in metrics if row[m] is not None})
    return found
