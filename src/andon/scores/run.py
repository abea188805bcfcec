"""Score what came in since the last time: read, score, write."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from andon.changes import Change
from andon.plugins import load_all
from andon.scores.records import Embedder, Scorer
from andon.scores.rows import feedback_columns, score_row, score_schema
from andon.store import Ledger, Lookup, Span, Warehouse
from andon.traffic import SCHEMAS, Feedback, Interaction, feedback_from_rows, quoted
from andon.traffic.run import read_interactions_by_id, read_new, read_new_feedback

__all__ = ["ScoreCursor", "ScorerFailure", "ScorerSet", "installed_scorers", "score_feedback", "score_new", "values_of"]

BATCH = 20_000
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCursor:
    """How far interactions and feedback have been scored, as sequence numbers of their tables."""

    id: str
    seq: int = 0
    feedback_seq: int = 0
    scorers: str | None = None
    """Id of the scorer set that was used last."""
    waiting: tuple[str, ...] = ()
    """Feedback whose interaction has not arrived yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerFailure:
    """A scorer that raised: it gave no number for some interactions, and the others went on."""

    id: str
    """Name and version of the scorer."""
    count: int
    last_interaction: str
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerSet:
    """The versions behind a value of the column ``scorers``; a new set is a change of the measure."""

    id: str
    scorers: tuple[str, ...]
    embedder: str


def installed_scorers() -> list[Scorer]:
    """Every scorer that is installed, the built-in ones first.

    Raises:
        ConfigError: a plug-in cannot be imported.
    """
    groups = load_all("andon.scorers")
    ordered = [groups.pop("builtin"), *groups.values()] if "builtin" in groups else list(groups.values())
    return [scorer for group in ordered for scorer in group]


def score_new(
    warehouse: Warehouse, ledger: Ledger, scorers: Sequence[Scorer], embedder: Embedder, *, now_us: int
) -> int:
    """Score the interactions that came since the last call; returns how many.

    Another set of scorers than last time is recorded as a change of every app whose traffic it measures.
    """
    cursor = ledger.get(ScoreCursor, "scores") or ScoreCursor(id="scores")
    chosen = _scorer_set(scorers, embedder)
    seq, done = cursor.seq, 0
    failures: dict[str, ScorerFailure] = {}
    while True:
        batch, reached = read_new(warehouse, seq, BATCH)
        if not batch:
            break
        ledger.put(chosen, now_us=now_us, by="andon")
        _record_new_measure(ledger, cursor.scorers, chosen, batch)
        rows = [
            score_row(i, values, chosen.id, f"{i.id}/{chosen.id}", i.time_us)
            for i, values in zip(batch, values_of(batch, scorers, embedder, failures), strict=True)
        ]
        warehouse.append("scores", pa.Table.from_pylist(rows, schema=score_schema(scorers)))
        warehouse.commit()
        seq, done = reached, done + len(batch)
    for failure in failures.values():
        before = ledger.get(ScorerFailure, failure.id)
        total = failure.count + (before.count if before else 0)
        ledger.put(replace(failure, count=total), now_us=now_us, by="andon")
    if seq != cursor.seq:
        ledger.put(replace(cursor, seq=seq, scorers=chosen.id), now_us=now_us, by="andon")
    return done


def _record_new_measure(ledger: Ledger, before: str | None, chosen: ScorerSet, batch: Sequence[Interaction]) -> None:
    if before in (None, chosen.id):
        return
    for app, environment in sorted({(i.app, i.environment) for i in batch}):
        first = min(i.time_us for i in batch if (i.app, i.environment) == (app, environment))
        change = Change(
            id=f"CHG-scorers-{app}-{environment}-{chosen.id}",
            at_us=first,
            kind="scorer",
            title=f"traffic is scored by another set of scorers ({chosen.id}, embedder {chosen.embedder})",
            app=app,
            environment=environment,
            before=before,
            after=chosen.id,
            author="andon",
        )
        if ledger.get(Change, change.id) is None:
            ledger.put(change, now_us=first, by="andon")


def score_feedback(warehouse: Warehouse, ledger: Ledger, scorers: Sequence[Scorer], *, now_us: int) -> int:
    """Turn feedback since the last call into scores, at the time it was given; returns how many.

    Feedback whose interaction has not arrived waits for it, for a day of its own clock.
    """
    cursor = ledger.get(ScoreCursor, "scores") or ScoreCursor(id="scores")
    newest = warehouse.newest("feedback")
    given = _feedback(warehouse, cursor)
    if not given and newest == cursor.feedback_seq:
        return 0
    known = {i.id: i for i in _interactions(warehouse, given)}
    rows = []
    for f in given:
        interaction = known.get(f.interaction_id)
        if interaction is not None and (values := feedback_columns(f, interaction)):
            rows.append(score_row(interaction, values, "people", f"feedback/{f.id}", f.time_us))
    if rows:
        warehouse.append("scores", pa.Table.from_pylist(rows, schema=score_schema(scorers)))
        warehouse.commit()
    waiting = tuple(f.id for f in given if f.interaction_id not in known and now_us - f.time_us < DAY_US)
    moved = replace(cursor, feedback_seq=newest, waiting=waiting)
    ledger.put(moved, now_us=now_us, by="andon")
    return len(rows)


def _feedback(warehouse: Warehouse, cursor: ScoreCursor) -> list[Feedback]:
    given: list[Feedback] = []
    seq = cursor.feedback_seq
    while True:
        batch, reached = read_new_feedback(warehouse, seq, BATCH)
        if reached == seq:
            break
        given, seq = [*given, *batch], reached
    if cursor.waiting:
        columns = tuple(SCHEMAS["feedback"].names)
        again = Lookup(table="feedback", ids=cursor.waiting, columns=columns)
        new = {f.id for f in given}
        given = [*(f for f in feedback_from_rows(warehouse.run(again)) if f.id not in new), *given]
    return given


def values_of(
    interactions: Sequence[Interaction],
    scorers: Sequence[Scorer],
    embedder: Embedder,
    failures: dict[str, ScorerFailure] | None = None,
) -> list[dict[str, float]]:
    """The scores of each interaction: metric -> value, without the metrics that do not apply.

    A scorer that raises gives no number and is counted in `failures`; a plug-in must not stop the loop.
    """
    wanted = dict.fromkeys(t for s in scorers if s.texts for i in interactions for t in s.texts(i))
    if wanted:
        embedder.embed(list(wanted))  # one batch: the embedder caches, so the scorers below find every vector
    counted = {} if failures is None else failures
    return [_values(i, scorers, embedder, counted) for i in interactions]


def _values(
    interaction: Interaction, scorers: Iterable[Scorer], embedder: Embedder, failures: dict[str, ScorerFailure]
) -> dict[str, float]:
    values: dict[str, float] = {}
    for s in scorers:
        try:
            value = s.score(interaction, embedder)
        except Exception as error:
            name = f"{s.name}@{s.version}"
            count = failures[name].count + 1 if name in failures else 1
            what = quoted(f"{type(error).__name__}: {error}", 200)
            failures[name] = ScorerFailure(id=name, count=count, last_interaction=interaction.id, last_error=what)
            continue
        if value is not None:
            values[s.name] = float(value)
    if interaction.label is not None:
        values |= feedback_columns(_label(interaction), interaction)
    return values


def _label(interaction: Interaction) -> Feedback:
    """A label that came with the interaction, as the feedback that it would have been later."""
    return Feedback(
        id=f"{interaction.id}/label",
        interaction_id=interaction.id,
        time_us=interaction.time_us,
        kind="label",
        text=interaction.label,
    )


def _interactions(warehouse: Warehouse, given: Sequence[Feedback]) -> list[Interaction]:
    """The interactions that feedback speaks of; it comes after them, seldom by more than a month.

    Clocks differ, so feedback may also seem to come up to a day before its interaction.
    """
    if not given:
        return []
    month = 31 * 86_400_000_000
    span = Span(start_us=min(f.time_us for f in given) - month, end_us=max(f.time_us for f in given) + DAY_US)
    return read_interactions_by_id(warehouse, sorted({f.interaction_id for f in given}), span)


def _scorer_set(scorers: Sequence[Scorer], embedder: Embedder) -> ScorerSet:
    names = tuple(f"{s.name}@{s.version}" for s in scorers)
    digest = hashlib.sha256("\n".join((*names, embedder.name)).encode()).hexdigest()[:12]
    return ScorerSet(id=digest, scorers=names, embedder=embedder.name)
