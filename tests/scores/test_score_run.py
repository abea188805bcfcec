"""Laws of scoring on a real store."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from andon.scores import KEYS, LABELS, SCORERS, failing, hashed, score_schema
from andon.scores import run as scoring
from andon.scores.rows import EVALUATION, EVALUATOR, EVENTS, feedback_columns
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


def test_scoring_ends_while_traffic_goes_on(store: Store, asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed while rows are scored waits for the next call: traffic that never stops must not keep a turn from ending."""
    store.take(asked("0"))
    came, values = iter(range(1, 20)), scoring.values_of

    def meanwhile(*given):
        store.take(asked(str(next(came))))
        return values(*given)

    monkeypatch.setattr(scoring, "values_of", meanwhile)
    assert [store.score(), store.score()] == [1, 1]
    assert {row["interaction_id"] for row in store.rows} == {"0", "1"}


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
        ("correction", None, "8611", {}, {"correction": 1.0}),
        ("follow_up", 0.7, "are you sure?", {}, {"follow_up": 1.0}),
        ("abandonment", None, None, {}, {"abandonment": 1.0}),
        ("abandonment", 0.0, None, {}, {"abandonment": 0.0}),
    ],
)
def test_what_feedback_measures(asked, kind, value, text, fields, columns) -> None:
    """Thumbs, ratings and labels are measures; a blank label measures nothing, and a missing answer has no right label."""
    f = Feedback(id="f", interaction_id="i1", time_us=T0, kind=kind, value=value, text=text)
    assert feedback_columns(f, asked(**fields)) == columns


def events(**values: float) -> dict[str, float]:
    """All events as 0, but for these."""
    return {**dict.fromkeys(EVENTS, 0.0), **values}


@pytest.mark.parametrize(
    ("fields", "possible"),
    [
        ({}, True),
        ({"session_id": None}, False),
        ({"answer": None}, False),
        ({"answer": " "}, False),
        ({"answer": None, "prediction": "spam"}, True),
        ({"source": "Probe"}, False),
        ({"attributes": {"user_agent.synthetic.type": "test"}}, False),
    ],
)
def test_an_event_is_possible_where_a_user_was_told_something(asked, fields, possible) -> None:
    """An interaction of a session carries a 0 for each event; without a session, an answer or a user it carries none."""
    (values,) = values_of([asked(**fields)], SCORERS, EMBEDDER)
    assert {k: v for k, v in values.items() if k in EVENTS} == (events() if possible else {})


def test_the_rate_of_events_is_a_monotone_function_of_events_per_interaction(store: Store, asked) -> None:
    """E events on N interactions give the rate E / (N + E), and at its own time each event is a row of its own."""
    store.take(
        *(asked(f"i{k}", time_us=T0 + k) for k in range(8)),
        *(
            Feedback(id=f"f{k}", interaction_id=f"i{k}", time_us=T0 + 100, kind="follow_up", value=0.6)
            for k in range(2)
        ),
    )
    store.score()
    store.feedback()
    seen = [r["follow_up"] for r in store.rows if r["follow_up"] is not None]
    assert (len(seen), sum(seen)) == (10, 2.0)
    assert [r["time_us"] for r in store.rows if r["follow_up"] == 1.0] == [T0 + 100] * 2
    assert [r["correction"] for r in store.rows if r["scorers"] == "people"] == [None, None]


def test_an_event_of_a_session_belongs_to_the_last_interaction_before_it(store: Store, asked) -> None:
    """A session that was given up has the keys of what was said last in it; a thumb for a whole session measures nothing."""
    session = {"session_id": "s1"}
    store.take(
        asked("first", time_us=T0, **session),
        asked("last", time_us=T0 + 10, **session),
        asked("later", time_us=T0 + 99, **session),
        asked("other", time_us=T0 + 20),
        Feedback(id="f1", interaction_id="s1", time_us=T0 + 50, kind="abandonment", scope="session"),
        Feedback(id="f2", interaction_id="s1", time_us=T0 + 50, kind="thumb", value=0.0, scope="session"),
    )
    store.score()
    assert store.feedback() == 1
    row = next(r for r in store.rows if r["scorers"] == "people")
    assert (row["interaction_id"], row["time_us"], row["abandonment"], row["task"]) == (
        "last",
        T0 + 50,
        1.0,
        "task of last",
    )
    assert store.ledger.get(ScoreCursor, "scores").waiting == ()


def test_an_event_of_a_session_waits_for_it(store: Store, asked) -> None:
    """Feedback on a session of which nothing has arrived is scored once there is something."""
    store.take(Feedback(id="f1", interaction_id="s1", time_us=T0 + 50, kind="abandonment", scope="session"))
    assert store.feedback() == 0
    store.take(asked("late", session_id="s1"))
    assert (store.feedback(), store.feedback()) == (1, 0)


@pytest.mark.parametrize(
    ("fields", "columns"),
    [
        ({"value": 0.25}, {"evaluation": 0.25, "evaluator": "Relevance"}),
        ({"value": 3.0, "version": "2"}, {"evaluation": 3.0, "evaluator": "Relevance@2"}),
        ({"value": 1.0, "version": "2", "author": "ragas"}, {"evaluation": 1.0, "evaluator": "Relevance@2 by ragas"}),
        ({"value": 1.0, "author": "u17", "source": "human"}, {"evaluation": 1.0, "evaluator": "Relevance"}),
        ({"label": "Not relevant"}, {"evaluation": 0.0, "evaluator": "Relevance"}),
        ({"label": "PASS"}, {"evaluation": 1.0, "evaluator": "Relevance"}),
        ({"label": "pass", "value": 0.5}, {"evaluation": 0.5, "evaluator": "Relevance"}),
        ({"label": "somewhat"}, {}),
        ({"text": "because"}, {}),
        ({"value": 1.0, "name": None}, {}),
        ({"value": 1.0, "error": "Timeout"}, {}),
        ({"value": 1.0, "scope": "session"}, {}),
    ],
)
def test_what_an_evaluation_measures(asked, fields, columns) -> None:
    """An evaluation is a number, or a word that says yes or no, of an evaluator with its version; a failed one is none."""
    told = {"name": "Relevance", "source": "model", **fields}
    f = Feedback(id="f", interaction_id="i1", time_us=T0, kind="evaluation", **told)
    assert feedback_columns(f, asked()) == columns


def test_another_version_of_a_judge_is_another_series(store: Store, asked) -> None:
    """Evaluations stand in one column, told apart by evaluator and version; no other metric of the row is filled in."""
    told = {"interaction_id": "i1", "kind": "evaluation", "name": "Relevance", "source": "model"}
    store.take(
        asked(),
        Feedback(id="f1", time_us=T0 + 1, value=0.9, version="1", **told),
        Feedback(id="f2", time_us=T0 + 2, value=0.4, version="2", **told),
    )
    store.score()
    assert store.feedback() == 2
    rows = [r for r in store.rows if r["scorers"] == "people"]
    assert [(r["evaluator"], r["evaluation"]) for r in rows] == [("Relevance@1", 0.9), ("Relevance@2", 0.4)]
    assert all(r[m] is None for r in rows for m in (*(s.name for s in SCORERS), *LABELS))
    assert all(r["evaluator"] is None for r in store.rows if r["scorers"] != "people")


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"source": "Probe "}, "probe"),
        ({"source": "web", "attributes": {"user_agent.synthetic.type": "test"}}, "probe"),
        ({"source": "web", "attributes": {"user_agent.synthetic.type": "bot"}}, "web"),
        ({"source": None}, None),
    ],
)
def test_probes_are_a_part_of_the_traffic_of_their_own(store: Store, asked, fields, source) -> None:
    """However a probe was marked, the source of its score row is `probe`; any other row keeps its source."""
    store.take(asked(**fields))
    store.score()
    assert [r["source"] for r in store.rows] == [source]


def test_what_waits_is_bounded(store: Store, asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more feedback than may wait the oldest is let go first, and counted; what waits is still scored."""
    monkeypatch.setattr("andon.scores.run.MOST_WAITING", 3)
    store.take(
        *(Feedback(id=f"f{k}", interaction_id=f"i{k}", time_us=T0 + k, kind="thumb", value=1.0) for k in range(5))
    )
    store.feedback(T0 + 10)
    cursor = store.ledger.get(ScoreCursor, "scores")
    assert (cursor.waiting, cursor.let_go) == (("f2", "f3", "f4"), 2)
    store.take(asked("i4"), asked("i0"))
    assert store.feedback(T0 + 11) == 1
    assert store.ledger.get(ScoreCursor, "scores").waiting == ("f2", "f3")
    store.feedback(T0 + 2 * DAY)
    assert (store.ledger.get(ScoreCursor, "scores").waiting, store.ledger.get(ScoreCursor, "scores").let_go) == ((), 4)


def test_waiting_writes_no_versions(store: Store) -> None:
    """As long as nothing comes, waiting feedback writes nothing into the ledger."""
    store.take(Feedback(id="f1", interaction_id="gone", time_us=T0, kind="thumb", value=1.0))
    for k in range(1, 4):
        store.feedback(T0 + k)
    assert len(store.ledger.history(ScoreCursor)) == 1


def test_what_measures_nothing_does_not_wait(store: Store) -> None:
    """A copy, a failed evaluation and a thumb for a session wait for no interaction."""
    told = {"interaction_id": "gone", "time_us": T0}
    store.take(
        Feedback(id="f1", kind="copy", value=1.0, **told),
        Feedback(id="f2", kind="evaluation", name="n", value=1.0, error="Timeout", **told),
        Feedback(id="f3", kind="thumb", value=1.0, scope="session", **told),
    )
    store.feedback(T0 + 1)
    assert store.ledger.get(ScoreCursor, "scores").waiting == ()


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
    assert all(schema.field(m).type == pa.float64() for m in (*[s.name for s in SCORERS], *LABELS, EVALUATION))
    assert schema.field(EVALUATOR).type == pa.string()
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
