"""Score what came in since the last time: read, score, write."""

import hashlib
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from andon.changes import Change
from andon.changes.discover import inventory_id
from andon.errors import InputError, SeamError
from andon.plugins import load_all
from andon.scores.measuring import Guarded, ScorerFailure, count_failure, values_of
from andon.scores.records import Embedder, Scorer
from andon.scores.rows import (
    KEYS,
    NOVELTY,
    TOPIC,
    feedback_columns,
    is_measure,
    score_row,
    score_schema,
)
from andon.scores.topics import FEWEST, Topics, learn_topics, query_novelty, topic_keys
from andon.store import Ledger, Lookup, Slice, Span, Warehouse, Where
from andon.traffic import SCHEMAS, Feedback, Interaction, feedback_from_rows, from_rows
from andon.traffic.run import read_interactions_by_id, read_new, read_new_feedback

__all__ = [
    "MeasuredBy",
    "ScoreCursor",
    "ScorerFailure",
    "ScorerSet",
    "installed_scorers",
    "score_feedback",
    "score_new",
    "unscored_from",
    "values_of",
]

BATCH = 20_000
DAY_US = 86_400_000_000
MONTH_US = 31 * DAY_US

LEARN_QUESTIONS, LEARN_US = 2_000, 7 * DAY_US
"""Topics of an application are learned from this many distinct questions, or from those of its first week."""

OPENING = 256
"""Characters of a question that are compared by meaning, as in `builtin`: the embedder has them in its cache."""

MOST_WAITING = 5_000
"""Pieces of feedback that wait for their interactions at most; the oldest are let go first. What waits is kept by id in the
ledger, and feedback on interactions that were sampled away would wait in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCursor:
    """How far interactions and feedback have been scored, as sequence numbers of their tables."""

    id: str
    seq: int = 0
    feedback_seq: int = 0
    waiting: tuple[str, ...] = ()
    """Feedback whose interaction has not arrived yet."""
    let_go: int = 0
    """Feedback so far whose interaction never came, within a day or before `MOST_WAITING` others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerSet:
    """The versions behind a value of the column ``scorers``; a new set is a change of the measure."""

    id: str
    scorers: tuple[str, ...]
    embedder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredBy:
    """The scorer set that measured an application last."""

    id: str
    """``app/environment``, as `andon.changes` writes it."""
    scorers: str
    """Id of the set."""


def installed_scorers() -> list[Scorer]:
    """Every scorer that is installed, the built-in ones first.

    Raises:
        ConfigError: a plug-in cannot be imported.
    """
    groups = load_all("andon.scorers")
    ordered = [groups.pop("builtin"), *groups.values()] if "builtin" in groups else list(groups.values())
    return [scorer for group in ordered for scorer in group]


def score_new(
    warehouse: Warehouse,
    ledger: Ledger,
    scorers: Sequence[Scorer],
    embedder: Embedder,
    *,
    now_us: int,
    rng: np.random.Generator | None = None,
) -> int:
    """Score the interactions that came since the last call, until now; returns how many.

    What is committed meanwhile waits for the next call: under load that is never nothing, and a turn must end.

    Another set of scorers than an app was measured by last is recorded as a change of it. With an `rng`, the topics of an app
    are learned once enough was asked; what comes after carries its topic and its novelty.

    Scorers and the embedder are foreign code: what they fail to give is missing from the rows and counted as `ScorerFailure`,
    and everything else is scored now. It is not scored again when the embedder is back, for the windows were judged by then;
    the next batch asks it again.

    Raises:
        StoreError: the disk or the ledger refused; the batches before are done, and calling again goes on.
    """
    cursor = ledger.get(ScoreCursor, "scores") or ScoreCursor(id="scores")
    chosen = _scorer_set(scorers, embedder)
    done, newest = 0, warehouse.newest("interactions")
    while cursor.seq < newest:
        count, reached = _score_batch(
            warehouse, ledger, cursor.seq, (scorers, chosen), embedder, now_us=now_us, rng=rng
        )
        if not count:
            break
        cursor = replace(cursor, seq=reached)
        ledger.put(cursor, now_us=now_us, by="andon")
        done += count
    return done


def _score_batch(
    warehouse: Warehouse,
    ledger: Ledger,
    after: int,
    chosen: tuple[Sequence[Scorer], ScorerSet],
    embedder: Embedder,
    *,
    now_us: int,
    rng: np.random.Generator | None,
) -> tuple[int, int]:
    """Score the interactions of the next commits after a seq; returns how many, and the seq they go to."""
    scorers, of = chosen
    failures: dict[str, ScorerFailure] = {}
    count, reached = 0, after

    def scored(again: Collection[str] | None) -> pa.Table:
        nonlocal count, reached
        batch, upto = read_new(warehouse, after, BATCH)
        if again is None:
            count, reached = len(batch), upto
        mine = [i for i in batch if again is None or f"{i.id}/{of.id}" in again]
        rows = []
        if mine:
            ledger.put(of, now_us=now_us, by="andon")
            _record_new_measure(ledger, of, mine)
            asked = Guarded(embedder)
            topics = _topics_of(warehouse, ledger, mine, asked, rng, failures)
            about = _asked_about(mine, topics, asked, failures)
            rows = [
                score_row(i, {**given, **known}, of.id, f"{i.id}/{of.id}", i.time_us)
                for i, given, known in zip(mine, values_of(mine, scorers, asked, failures), about, strict=True)
            ]
        return pa.Table.from_pylist(rows, schema=score_schema(scorers))

    warehouse.derive("scores", scored, source="id")
    for failure in failures.values():
        before = ledger.get(ScorerFailure, failure.id)
        total = failure.count + (before.count if before else 0)
        ledger.put(replace(failure, count=total), now_us=now_us, by="andon")
    return count, reached


def unscored_from(warehouse: Warehouse, ledger: Ledger, app: str) -> int | None:
    """Time of the earliest interaction of an application that is committed and not scored yet; None where all are scored.

    Raises:
        StoreError: the disk or the ledger refused.
    """
    cursor = ledger.get(ScoreCursor, "scores") or ScoreCursor(id="scores")
    if warehouse.newest("interactions") <= cursor.seq:
        return None
    where = (Where(column="seq", op="ge", value=cursor.seq + 1), Where(column="app", op="eq", value=app))
    first = warehouse.run(Slice(table="interactions", columns=("time_us",), where=where, limit=1))
    return int(first["time_us"][0].as_py()) if first.num_rows else None


def _topics_of(
    warehouse: Warehouse,
    ledger: Ledger,
    batch: Sequence[Interaction],
    embedder: Embedder,
    rng: np.random.Generator | None,
    failures: dict[str, ScorerFailure],
) -> dict[tuple[str, str], Topics]:
    """Topics of the applications in a batch; those that cannot be learned yet are left out."""
    found = {}
    for app, environment in sorted({(i.app, i.environment) for i in batch}):
        topics = ledger.get(Topics, f"{app}/{environment}")
        if rng is not None and (topics is None or topics.embedder != embedder.name):
            mine = [i for i in batch if (i.app, i.environment) == (app, environment)]
            until_us = max(i.time_us for i in mine)
            try:
                topics = _learned(warehouse, app, environment, embedder, rng, until_us, topics)
            except SeamError as error:
                count_failure(failures, _topic_scorer(embedder), mine, error)
                continue
            if topics is not None:
                ledger.put(topics, now_us=topics.since_us, by="andon")
        if topics is not None and topics.embedder == embedder.name:
            found[app, environment] = topics
    return found


def _learned(
    warehouse: Warehouse,
    app: str,
    environment: str,
    embedder: Embedder,
    rng: np.random.Generator,
    until_us: int,
    before: Topics | None,
) -> Topics | None:
    """Learn the topics of an application from its first questions, or None where there are too few yet.

    Which they are depends on their times alone, not on how they came: on the first 2,000 that are distinct, or on those of
    the first week. With another embedder than before they are those of the last day, so that few are without a topic.

    Raises:
        SeamError: the embedder failed.
    """
    mine = tuple(Where(column=k, op="eq", value=v) for k, v in (("app", app), ("environment", environment)))
    plan = Slice(
        table="interactions",
        columns=("time_us", "query"),
        where=(*mine, Where(column="query", op="not_null")),
        span=None if before is None else Span(start_us=until_us - DAY_US, end_us=until_us + 1),
        limit=10 * LEARN_QUESTIONS,
    )
    rows = warehouse.run(plan)
    first: dict[str, int] = {}
    for query, at_us in zip(rows["query"].to_pylist(), rows["time_us"].to_pylist(), strict=True):
        if query.strip():
            first.setdefault(query, at_us)
    if not first:
        return None
    start_us = min(first.values())
    texts = [q for q, at_us in first.items() if at_us < start_us + LEARN_US][:LEARN_QUESTIONS]
    week = before is not None or until_us - start_us >= LEARN_US
    if len(texts) < (FEWEST if week else LEARN_QUESTIONS):
        return None
    # where there are no more of them, all was learned from, and what comes next has a topic
    last_us = first[texts[-1]] if len(texts) == LEARN_QUESTIONS else min(start_us + LEARN_US - 1, until_us)
    vectors = embedder.embed([t[:OPENING] for t in texts])
    key = 0 if before is None else int(before.topics[-1].key[1:]) + 1
    try:
        learned = learn_topics(f"{app}/{environment}", embedder.name, vectors, texts, rng, first=key)
    except InputError:  # too many of them have no meaning: an embedder has no vector for a row of question marks
        return None
    return replace(learned, since_us=last_us + 1)


def _asked_about(
    batch: Sequence[Interaction],
    topics: dict[tuple[str, str], Topics],
    embedder: Embedder,
    failures: dict[str, ScorerFailure],
) -> list[dict[str, float | str]]:
    """Topic and novelty of each interaction that has a question, where the topics of its application are known."""
    about: list[dict[str, float | str]] = [{} for _ in batch]
    for (app, environment), known in topics.items():
        rows = [
            k
            for k, i in enumerate(batch)
            if (i.app, i.environment) == (app, environment)
            and i.time_us >= known.since_us
            and i.query
            and i.query.strip()
        ]
        if rows:
            try:
                vectors = embedder.embed([(batch[k].query or "")[:OPENING] for k in rows])
                found = zip(rows, topic_keys(known, vectors), query_novelty(known, vectors).tolist(), strict=True)
            except (SeamError, InputError) as error:  # it failed, or its vectors are of another width than before
                count_failure(failures, _topic_scorer(embedder), [batch[k] for k in rows], error)
                continue
            for k, key, novelty in found:
                about[k] = {TOPIC: key, NOVELTY: novelty}
    return about


def _topic_scorer(embedder: Embedder) -> str:
    return f"{TOPIC} by {embedder.name}"


def _record_new_measure(ledger: Ledger, chosen: ScorerSet, batch: Sequence[Interaction]) -> None:
    """Record a change for each app that another set of scorers measured last, at the first time of its traffic."""
    for app, environment in sorted({(i.app, i.environment) for i in batch}):
        measured = MeasuredBy(id=inventory_id(app, environment), scorers=chosen.id)
        before = ledger.get(MeasuredBy, measured.id)
        if before == measured:
            continue
        first = min(i.time_us for i in batch if (i.app, i.environment) == (app, environment))
        change = Change(
            id=f"CHG-scorers-{app}-{environment}-{chosen.id}",
            at_us=first,
            kind="scorer",
            title=f"traffic is scored by another set of scorers ({chosen.id}, embedder {chosen.embedder})",
            app=app,
            environment=environment,
            before=None if before is None else before.scorers,
            after=chosen.id,
            author="andon",
        )
        if before is not None and ledger.get(Change, change.id) is None:
            ledger.put(change, now_us=first, by="andon")
        ledger.put(measured, now_us=first, by="andon")


def score_feedback(warehouse: Warehouse, ledger: Ledger, scorers: Sequence[Scorer], *, now_us: int) -> int:
    """Turn feedback since the last call into scores, at the time it was given; returns how many.

    Feedback whose interaction has not arrived waits for it, for a day of its own clock; at most `MOST_WAITING` pieces do.
    """
    cursor = ledger.get(ScoreCursor, "scores") or ScoreCursor(id="scores")
    newest = warehouse.newest("feedback")
    if not cursor.waiting and newest == cursor.feedback_seq:
        return 0
    given, known, found = list[Feedback](), dict[str, Interaction](), 0

    def scored(_: Collection[str] | None) -> pa.Table:
        nonlocal given, known, found
        given = [f for f in _feedback(warehouse, cursor, now_us) if is_measure(f)]
        known = _interactions(warehouse, given)
        rows = [
            score_row(interaction, values, "people", f"feedback/{f.id}", f.time_us)
            for f in given
            if (interaction := known.get(f.id)) is not None and (values := feedback_columns(f, interaction))
        ]
        found = len(rows)
        return pa.Table.from_pylist(rows, schema=score_schema(scorers))

    warehouse.derive("scores", scored, source="id")
    without = sorted((f for f in given if f.id not in known), key=lambda f: (f.time_us, f.id))
    waiting = [f.id for f in without if now_us - f.time_us < DAY_US][-MOST_WAITING:]
    let_go = len(without) - len(waiting)
    moved = replace(cursor, feedback_seq=newest, waiting=tuple(waiting), let_go=cursor.let_go + let_go)
    ledger.put(moved, now_us=now_us, by="andon")
    return found


def _feedback(warehouse: Warehouse, cursor: ScoreCursor, now_us: int) -> list[Feedback]:
    """What waits, and what is new."""
    given: list[Feedback] = []
    seq = cursor.feedback_seq
    while True:
        batch, reached = read_new_feedback(warehouse, seq, BATCH)
        if reached == seq:
            break
        given, seq = [*given, *batch], reached
    if cursor.waiting:
        columns = tuple(SCHEMAS["feedback"].names)
        lately = Span(start_us=now_us - MONTH_US, end_us=2**62)  # what waits was a day old at most
        again = Lookup(table="feedback", ids=cursor.waiting, columns=columns, span=lately)
        new = {f.id for f in given}
        given = [*(f for f in feedback_from_rows(warehouse.run(again)) if f.id not in new), *given]
    return given


def _interactions(warehouse: Warehouse, given: Sequence[Feedback]) -> dict[str, Interaction]:
    """The interaction that each piece of feedback speaks of, by the id of the feedback; for a session, its last one before.

    Feedback comes after its interaction, seldom by more than a month. Clocks differ, so it may also seem to come up to a day
    before.
    """
    if not given:
        return {}
    span = Span(start_us=min(f.time_us for f in given) - MONTH_US, end_us=max(f.time_us for f in given) + DAY_US)
    one = {f.interaction_id for f in given if f.scope == "interaction"}
    known = {i.id: i for i in read_interactions_by_id(warehouse, sorted(one), span)}
    found = {f.id: known[f.interaction_id] for f in given if f.scope == "interaction" and f.interaction_id in known}
    return found | _last_of_sessions(warehouse, [f for f in given if f.scope == "session"], span)


def _last_of_sessions(warehouse: Warehouse, given: Sequence[Feedback], span: Span) -> dict[str, Interaction]:
    """The last interaction of its session before each piece of feedback, by the id of the feedback; without its texts."""
    if not given:
        return {}
    mine = (Where(column="session_id", op="in", value=tuple(sorted({f.interaction_id for f in given}))),)
    columns = ("id", "time_us", "weight", *KEYS)
    sessions: dict[str, list[Interaction]] = {}
    for i in from_rows(warehouse.run(Slice(table="interactions", columns=columns, span=span, where=mine))):
        sessions.setdefault(i.session_id or "", []).append(i)
    found = {}
    for f in given:
        said = sessions.get(f.interaction_id, [])
        before = bisect_right(said, f.time_us, key=lambda i: i.time_us)
        if before:
            found[f.id] = said[before - 1]
    return found


def _scorer_set(scorers: Sequence[Scorer], embedder: Embedder) -> ScorerSet:
    names = tuple(f"{s.name}@{s.version}" for s in scorers)
    digest = hashlib.sha256("\n".join((*names, embedder.name)).encode()).hexdigest()[:12]
    return ScorerSet(id=digest, scorers=names, embedder=embedder.name)
