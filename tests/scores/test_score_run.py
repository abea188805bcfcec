"""Laws of scoring on a real store."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from andon.scores import KEYS, LABELS, SCORERS, failing, hashed, score_schema
from andon.scores.rows import feedback_columns
from andon.scores.run import ScoreCursor, ScorerSet, installed_scorers, score_feedback, score_new, values_of
from andon.settings import Settings
from andon.store import Ledger, Slice, Warehouse
from andon.traffic import SCHEMAS, Context, Feedback, Interaction
from andon.traffic.run import record, record_feedback

T0 = 1_790_000_000_000_000
DAY = 86_400_000_000
EMBEDDER = hashed.load(Settings())


class Store:
    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse(folder, {**SCHEMAS, "scores": score_schema(SCORERS)})
        self.ledger = Ledger("sqlite://")

    def take(self, *rows: Interaction | Feedback) -> None:
        record(self.warehouse, [r for r in rows if isinstance(r, Interaction)])
        record_feedback(self.warehouse, [r for r in rows if isinstance(r, Feedback)])
        self.warehouse.commit()

    def score(self, scorers=SCORERS, now_us: int = T0) -> int:
        return score_new(self.warehouse, self.ledger, scorers, EMBEDDER, now_us=now_us)

    def feedback(self, now_us: int = T0) -> int:
        return score_feedback(self.warehouse, self.ledger, SCORERS, now_us=now_us)

    @property
    def rows(self) -> list[dict[str, object]]:
        columns = tuple(score_schema(SCORERS).names)
        return self.warehouse.run(Slice(table="scores", columns=columns)).to_pylist()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real warehouse and ledger."""
    store = Store(tmp_path)
    yield store
    store.warehouse.close()
    store.ledger.close()


@pytest.fixture
def asked() -> Callable[..., Interaction]:
    """Make an interaction with every key set."""

    def make(name: str = "i1", **fields) -> Interaction:
        keys = {k: f"{k} of {name}" for k in KEYS}
        told = {"time_us": T0, "query": "How tall is K2?", "answer": "8611 m", "weight": 2.0}
        return Interaction(id=name, **{**keys, **told, **fields})

    return make


def test_a_row_has_the_keys_of_its_interaction(store: Store, asked) -> None:
    """A score row carries id, time, weight and every key of its interaction, and the values of its scorers."""
    i = asked(latency_s=1.25, escalated=True)
    store.take(i)
    assert store.score() == 1
    (row,) = store.rows
    assert {k: row[k] for k in KEYS} == {k: getattr(i, k) for k in KEYS}
    assert (row["interaction_id"], row["time_us"], row["weight"]) == ("i1", T0, 2.0)
    assert (row["latency_s"], row["escalation"], row["error"], row["exact_match"]) == (1.25, 1.0, 0.0, None)
    (chosen,) = store.ledger.all(ScorerSet)
    assert row["scorers"] == chosen.id
    assert "refusal@" in " ".join(chosen.scorers)
    assert chosen.embedder == EMBEDDER.name


def test_scoring_twice_writes_nothing_twice(store: Store, asked) -> None:
    """A second call scores nothing, and a cursor that was lost after the write adds no row."""
    store.take(asked("a"), asked("b"))
    assert (store.score(), store.score()) == (2, 0)
    before = store.rows
    store.ledger.put(ScoreCursor(id="scores"), now_us=T0, by="a crash")
    assert store.score() == 2
    assert store.rows == before


def test_only_what_is_new_is_scored(store: Store, asked) -> None:
    """Each call scores what came since the last one, and nothing new writes no version of the cursor."""
    store.take(asked("a"))
    store.score()
    store.take(asked("b"), asked("a"))
    assert store.score() == 1
    store.score()
    assert sorted(r["interaction_id"] for r in store.rows) == ["a", "b"]
    assert len(store.ledger.history(ScoreCursor)) == 2


def test_a_new_scorer_set_has_another_digest(store: Store, asked) -> None:
    """A changed version of one scorer gives the rows another `scorers`, and both sets stay in the ledger."""
    newer = (replace(SCORERS[0], version="99"), *SCORERS[1:])
    store.take(asked("a"))
    store.score()
    store.take(asked("b"))
    store.score(newer)
    assert len({r["scorers"] for r in store.rows}) == 2
    assert {s.id for s in store.ledger.all(ScorerSet)} == {r["scorers"] for r in store.rows}


def test_feedback_becomes_a_score_at_its_own_time(store: Store, asked) -> None:
    """Feedback is one row with the interaction's keys, the time at which it was given, and its metric alone."""
    store.take(asked(), Feedback(id="f1", interaction_id="i1", time_us=T0 + 5, kind="thumb", value=0.0))
    store.score()
    assert (store.feedback(), store.feedback()) == (1, 0)
    row = next(r for r in store.rows if r["scorers"] == "people")
    assert (row["time_us"], row["thumbs"], row["interaction_id"], row["weight"]) == (T0 + 5, 0.0, "i1", 2.0)
    assert row["user_id"] == "user_id of i1"
    assert all(row[s.name] is None for s in SCORERS)


def test_feedback_waits_for_its_interaction(store: Store, asked) -> None:
    """Feedback that comes first is scored once its interaction is there, and once only."""
    store.take(Feedback(id="f1", interaction_id="i1", time_us=T0 + 5, kind="thumb", value=1.0))
    assert store.feedback() == 0
    assert store.feedback(T0 + DAY // 2) == 0
    store.take(asked())
    assert (store.feedback(T0 + DAY // 2), store.feedback(T0 + DAY // 2)) == (1, 0)
    assert store.ledger.get(ScoreCursor, "scores").waiting == ()


def test_feedback_whose_interaction_never_comes_is_let_go(store: Store) -> None:
    """After a day of its own clock, feedback waits no longer."""
    store.take(Feedback(id="f1", interaction_id="gone", time_us=T0, kind="thumb", value=1.0))
    store.feedback(T0 + 1)
    assert store.ledger.get(ScoreCursor, "scores").waiting == ("f1",)
    store.feedback(T0 + 2 * DAY)
    assert store.ledger.get(ScoreCursor, "scores").waiting == ()


def test_feedback_of_a_clock_that_is_slow_is_found(store: Store, asked) -> None:
    """Feedback that seems to come a minute before its interaction is still scored."""
    store.take(asked(), Feedback(id="f1", interaction_id="i1", time_us=T0 - 60_000_000, kind="thumb", value=1.0))
    assert store.feedback() == 1


def test_feedback_scored_twice_is_there_once(store: Store, asked) -> None:
    """A cursor that was lost after the write adds no row."""
    store.take(asked(), Feedback(id="f1", interaction_id="i1", time_us=T0 + 5, kind="rating", value=0.25))
    store.feedback()
    store.ledger.put(ScoreCursor(id="scores"), now_us=T0, by="a crash")
    store.feedback()
    assert [r["rating"] for r in store.rows] == [0.25]


@pytest.mark.parametrize(
    ("kind", "value", "text", "fields", "columns"),
    [
        ("thumb", 1.0, None, {}, {"thumbs": 1.0}),
        ("thumb", None, None, {}, {}),
        ("rating", 0.5, None, {}, {"rating": 0.5}),
        ("label", None, "8611 m ", {}, {"label_match": 1.0}),
        ("label", None, "8848 m", {}, {"label_match": 0.0}),
        ("label", None, "spam", {"prediction": "spam"}, {"label_match": 1.0}),
        ("label", None, "spam", {"answer": None}, {"label_match": 0.0}),
        ("label", None, " ", {"answer": " "}, {}),
        ("copy", 1.0, None, {}, {}),
        ("correction", None, "8611", {}, {}),
    ],
)
def test_what_feedback_measures(asked, kind, value, text, fields, columns) -> None:
    """Thumbs, ratings and labels are measures; a blank label measures nothing, and a missing answer has no right label."""
    f = Feedback(id="f", interaction_id="i1", time_us=T0, kind=kind, value=value, text=text)
    assert feedback_columns(f, asked(**fields)) == columns


def test_values_leave_out_what_does_not_apply(asked) -> None:
    """`values_of` gives each interaction its metrics in order, without those that do not apply."""
    good, silent = values_of([asked(), asked("b", answer=None)], SCORERS, EMBEDDER)
    assert good["error"] == 0.0
    assert silent["error"] == 1.0
    assert "retrieval_score" not in good
    assert "refusal" not in silent


def test_texts_are_embedded_in_one_batch(asked) -> None:
    """The texts of all interactions reach the embedder together before the scorers ask one by one."""
    calls = []

    class Counting:
        name = "counting"

        def embed(self, texts):
            calls.append(len(texts))
            return EMBEDDER.embed(texts)

    values_of([asked(str(k), query=f"q{k}") for k in range(10)], SCORERS, Counting())
    assert calls[0] == 11  # ten questions and the one answer
    assert set(calls[1:]) == {2}


def test_installed_scorers_begin_with_the_built_in_ones() -> None:
    """The built-in scorers are found as a plug-in, and stand first."""
    assert tuple(installed_scorers()[: len(SCORERS)]) == SCORERS


def test_the_schema_has_a_column_for_every_metric() -> None:
    """The table has one float column per scorer and per measure that people give, and each key once."""
    schema = score_schema(SCORERS)
    assert len(set(schema.names)) == len(schema.names)
    assert all(schema.field(m).type == pa.float64() for m in (*[s.name for s in SCORERS], *LABELS))
    assert set(KEYS) <= set(schema.names)


@pytest.mark.parametrize(
    ("kind", "direction", "cut", "bad", "good"),
    [
        ("binary", "up", None, 1.0, 0.0),
        ("binary", "down", None, 0.0, 1.0),
        ("number", "up", 2.0, 2.0, 1.9),
        ("number", "down", 2.0, 1.9, 2.0),
    ],
)
def test_failing_tells_harm_from_good(kind, direction, cut, bad, good) -> None:
    """The condition holds for the harmful value and not for the good one."""
    op, bound = failing(kind, direction, cut)
    holds = (lambda v: v >= bound) if op == "ge" else (lambda v: v < bound)
    assert holds(bad)
    assert not holds(good)


def test_a_number_without_a_cut_cannot_fail() -> None:
    """Asking which numbers fail before the monitor has learned a cut is refused."""
    with pytest.raises(ValueError, match="cut"):
        failing("number", "up", None)


def test_an_interaction_of_hostile_text_is_scored(store: Store, asked) -> None:
    """Control characters, markup and long texts in every field reach the table as they are."""
    nasty = "<script>alert(1)</script>\x1b[31m'; DROP TABLE scores; --\u202e" * 50
    i = asked(query=nasty, answer=nasty, contexts=(Context(text=nasty),), segment=nasty, guardrail=nasty)
    store.take(i)
    assert store.score() == 1
    assert store.rows[0]["segment"] == nasty
