"""Score what came in since the last time: read, score, write."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from andon.plugins import load_all
from andon.scores.records import Embedder, Scorer
from andon.scores.rows import feedback_columns, score_row, score_schema
from andon.store import Ledger, Lookup, Slice, Span, Warehouse, Where
from andon.traffic import Feedback, Interaction, feedback_from_rows
from andon.traffic.run import read_interactions_by_id, read_new

__all__ = ["ScoreCursor", "ScorerSet", "installed_scorers", "score_feedback", "score_new", "values_of"]

BATCH = 20_000
DAY_US = 86_400_000_000
FEEDBACK_COLUMNS = ("id", "interaction_id", "time_us", "kind", "value", "text", "author")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCursor:
    """How far interactions and feedback have been scored, as sequence numbers of their tables."""

    id: str
    seq: int = 0
    feedback_seq: int = 0
    waiting: tuple[str, ...] = ()
    """Feedback whose interaction has not arrived yet."""


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
    """Score the interactions that came since the last call; returns how many."""
    cursor = ledger.get(ScoreCursor, "scores") or ScoreCursor(id="scores")
    chosen = _scorer_set(scorers, embedder)
    seq, done = cursor.seq, 0
    while True:
        batch, reached = read_new(warehouse, seq, BATCH)
        if not batch:
            break
        ledger.put(chosen, now_us=now_us, by="andon")
        rows = [
            score_row(i, values, chosen.id, f"{i.id}/{chosen.id}", i.time_us)
            for i, values in zip(batch, values_of(batch, scorers, embedder), strict=True)
        ]
        warehouse.append("scores", pa.Table.from_pylist(rows, schema=score_schema(scorers)))
        warehouse.commit()
        seq, done = reached, done + len(batch)
    if seq != cursor.seq:
        moved = replace(cursor, seq=seq)
        ledger.put(moved, now_us=now_us, by="andon")
    return done


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
    moved = ScoreCursor(id="scores", seq=cursor.seq, feedback_seq=newest, waiting=waiting)
    ledger.put(moved, now_us=now_us, by="andon")
    return len(rows)


def _feedback(warehouse: Warehouse, cursor: ScoreCursor) -> list[Feedback]:
    new = (Where(column="seq", op="ge", value=cursor.feedback_seq + 1),)
    given = feedback_from_rows(warehouse.run(Slice(table="feedback", columns=FEEDBACK_COLUMNS, where=new)))
    if cursor.waiting:
        again = Lookup(table="feedback", ids=cursor.waiting, columns=FEEDBACK_COLUMNS)
        given = [*feedback_from_rows(warehouse.run(again)), *given]
    return given


def values_of(
    interactions: Sequence[Interaction], scorers: Sequence[Scorer], embedder: Embedder
) -> list[dict[str, float]]:
    """The scores of each interaction: metric -> value, without the metrics that do not apply."""
    wanted = dict.fromkeys(t for s in scorers if s.texts for i in interactions for t in s.texts(i))
    if wanted:
        embedder.embed(list(wanted))  # one batch: the embedder caches, so the scorers below find every vector
    return [_values(i, scorers, embedder) for i in interactions]


def _values(interaction: Interaction, scorers: Iterable[Scorer], embedder: Embedder) -> dict[str, float]:
    values = ((s.name, s.score(interaction, embedder)) for s in scorers)
    return {name: float(v) for name, v in values if v is not None}


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
