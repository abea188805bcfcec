"""Find passing twins in the traffic of the last month, within bounds."""

from collections.abc import Sequence
from dataclasses import replace

from andon.golden.capture import NOT_USERS
from andon.golden.records import Failure
from andon.golden.thresholds import Thresholds
from andon.golden.twins import Passing, find_twin
from andon.scores import Embedder
from andon.store import Lookup, Slice, Span, Warehouse, Where

__all__ = ["USERS", "with_twins"]

USERS = tuple(Where(column=c, op="ne", value=v) for c in ("environment", "source") for v in NOT_USERS)
"""Conditions on rows: a user asked. `not_users` looks again, whatever the case of the words."""

MONTH_US = 31 * 86_400_000_000

MOST = 500
"""Answers with a thumbs-up, and answers to the same words, that are looked at for one application: the newest."""

_TEXTS = ("id", "time_us", "query", "answer")


def with_twins(
    warehouse: Warehouse,
    embedder: Embedder,
    failures: Sequence[Failure],
    *,
    now_us: int,
    thresholds: Thresholds,
    liked: dict[str, list[Passing]],
) -> list[Failure]:
    """The failures, those without a suggestion with the answer of a passing twin where there is one.

    A twin has nearly the same question, and its answer got a thumbs-up; or the very same words, and passed the scorer that
    found the failure. Nobody gave it a thumbs-down.

    Args:
        warehouse: traffic and scores.
        embedder: tells which questions are nearly the same.
        failures: some of which may have a suggestion.
        now_us: the month ends here.
        thresholds: from which cosine on questions count as the same.
        liked: what people liked, by application; applications that are not in it are looked up and added.

    Raises:
        SeamError: the embedder failed.
        StoreError: the disk failed.
    """
    span = Span(start_us=now_us - MONTH_US, end_us=now_us + 1)
    found = {f.id: f for f in failures}
    for app in sorted({f.app for f in failures if f.suggestion is None}):
        mine = [f for f in failures if f.app == app and f.suggestion is None]
        if app not in liked:
            liked[app] = _liked(warehouse, app, span)
        passing = [*liked[app], *_scored(warehouse, app, mine, span)]
        if not passing:
            continue
        vectors = embedder.embed([f.question for f in mine] + [p.question for p in passing])
        for k, failure in enumerate(mine):
            threshold = thresholds.of(failure.app, failure.question)
            twin = find_twin(failure, vectors[k], passing, vectors[len(mine) :], threshold)
            if twin is not None:
                found[failure.id] = replace(failure, suggestion=twin[0], suggested_by=twin[1])
    return list(found.values())


def _liked(warehouse: Warehouse, app: str, span: Span) -> list[Passing]:
    """The newest answers that got a thumbs-up and no thumbs-down, the newest first."""
    where = (Where(column="app", op="eq", value=app), *USERS, Where(column="thumbs", op="ge", value=0.5))
    plan = Slice(table="scores", columns=("interaction_id",), where=where, span=span, limit=MOST, newest_first=True)
    ids = tuple(dict.fromkeys(i for i in warehouse.run(plan)["interaction_id"].to_pylist() if i))
    if not ids:
        return []
    rows = warehouse.run(Lookup(table="interactions", ids=ids, columns=_TEXTS, span=span)).to_pylist()
    disliked = _disliked(warehouse, ids, span)
    return [
        Passing(app=app, question=r["query"], answer=r["answer"])
        for r in reversed(rows)
        if r["query"] and r["answer"] and r["id"] not in disliked
    ]


def _scored(warehouse: Warehouse, app: str, failures: Sequence[Failure], span: Span) -> list[Passing]:
    """The newest answers to the very words of failures that a scorer found, with what they scored, the newest first."""
    metrics = tuple(sorted({f.metric for f in failures if f.value is not None}))
    asked = tuple(sorted({f.question for f in failures if f.value is not None}))
    if not asked:
        return []
    where = (Where(column="app", op="eq", value=app), *USERS, Where(column="query", op="in", value=asked))
    plan = Slice(table="interactions", columns=_TEXTS, where=where, span=span, limit=MOST, newest_first=True)
    rows = [r for r in warehouse.run(plan).to_pylist() if r["answer"]]
    ids = tuple(r["id"] for r in rows)
    if not ids:
        return []
    among = (Where(column="interaction_id", op="in", value=ids),)
    values: dict[str, dict[str, float]] = {}
    for r in warehouse.run(
        Slice(table="scores", columns=("interaction_id", *metrics), where=among, span=span)
    ).to_pylist():
        values.setdefault(r["interaction_id"], {}).update({m: r[m] for m in metrics if r[m] is not None})
    disliked = _disliked(warehouse, ids, span)
    return [
        Passing(app=app, question=r["query"], answer=r["answer"], values=values.get(r["id"], {}))
        for r in rows
        if r["id"] not in disliked
    ]


def _disliked(warehouse: Warehouse, ids: tuple[str, ...], span: Span) -> set[str]:
    where = (Where(column="interaction_id", op="in", value=ids), Where(column="thumbs", op="lt", value=0.5))
    rows = warehouse.run(Slice(table="scores", columns=("interaction_id",), where=where, span=span))
    return set(rows["interaction_id"].to_pylist())
