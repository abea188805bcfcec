"""Laws of scoring when foreign code fails: a scorer or an embedder takes no other number with it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_score_run import EMBEDDER, T0, Store

from andon.changes import Change
from andon.errors import SeamError, StoreError
from andon.scores import SCORERS, Scorer
from andon.scores.measuring import Guarded
from andon.scores.records import Vectors
from andon.scores.run import ScoreCursor, ScorerFailure, score_new, values_of
from andon.scores.topics import Topics
from andon.traffic import Interaction

HOUR = 3_600_000_000
BUSY = SeamError("the embedder made at http://e failed: HTTP 503", retryable=True)


class Flaky:
    """An embedder that raises `error` where one is set, and counts how often it is asked."""

    def __init__(self, error: Exception | None = None, name: str = EMBEDDER.name) -> None:
        self.name, self.error, self.asked = name, error, 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of hashed words."""
        self.asked += 1
        if self.error is not None:
            raise self.error
        return EMBEDDER.embed(texts)


def question(k: int, **fields: object) -> Interaction:
    """One of many questions."""
    told = {"query": f"where is parcel {k}?", "answer": f"parcel {k} is here", "latency_s": 1.0, "time_us": T0 + k}
    return Interaction(id=f"i{k:05d}", **{**told, **fields})  # type: ignore[arg-type]


def made(score: Callable[..., object], texts: Callable[..., object] | None = None) -> Scorer:
    """A plug-in's scorer."""
    return Scorer(
        name="made",
        version="3",
        kind="number",
        bad="up",
        harm="cost",
        unit="score",
        about="Made.",
        score=score,
        texts=texts,
    )  # type: ignore[arg-type]


def raising(*_: object) -> float:
    """What a plug-in may do."""
    raise KeyError("no such\nkey")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real warehouse and ledger."""
    store = Store(tmp_path)
    yield store
    store.warehouse.close()
    store.ledger.close()


@pytest.mark.parametrize(
    ("scorer", "said"),
    [
        (made(raising), "KeyError"),
        (made(lambda *_: "high"), "ValueError"),
        (made(lambda *_: [1.0]), "TypeError"),
        (made(lambda *_: math.nan), "nan is not a finite number"),
        (made(lambda *_: -math.inf), "-inf is not a finite number"),
        (made(lambda *_: 1.0, texts=raising), "KeyError"),
        (made(lambda *_: 1.0, texts=lambda _: 7), "TypeError"),
        (made(lambda *_: 1.0, texts=lambda _: (None,)), "Error"),
        (made(lambda *_: 1.0, texts=lambda _: (b"bytes",)), "Error"),
    ],
)
def test_a_scorer_that_fails_loses_its_own_numbers_only(scorer: Scorer, said: str) -> None:
    """Whatever a plug-in raises, returns or wants embedded: each interaction counts once as its failure, all else is as without it."""
    asked = [question(k) for k in range(3)]
    failures: dict[str, ScorerFailure] = {}
    found = values_of(asked, (scorer, *SCORERS), EMBEDDER, failures)
    assert found == values_of(asked, SCORERS, EMBEDDER)
    (failure,) = failures.values()
    assert (failure.id, failure.count, failure.last_interaction) == ("made@3", 3, "i00002")
    assert said in failure.last_error
    assert "\n" not in failure.last_error


def test_a_scorer_that_fails_once_gives_its_other_numbers() -> None:
    """Texts or a score that fail for one interaction cost that one its number, and are counted once."""
    for broken in (
        made(lambda i, _: raising() if i.id == "i00001" else 1.0),
        made(lambda i, _: math.nan if i.id == "i00001" else 1.0),
        made(lambda *_: 1.0, texts=lambda i: raising() if i.id == "i00001" else ("a",)),
    ):
        failures: dict[str, ScorerFailure] = {}
        found = values_of([question(k) for k in range(3)], (broken,), EMBEDDER, failures)
        assert [v.get("made") for v in found] == [1.0, None, 1.0]
        assert [(f.count, f.last_interaction) for f in failures.values()] == [(1, "i00001")]
    failures = {}
    values_of([question(k) for k in range(3)], (broken,), Flaky(BUSY), failures)
    assert [f.count for f in failures.values()] == [3]


@pytest.mark.parametrize("error", [BUSY, SeamError("HTTP 400"), RuntimeError("CUDA\x1b[31m")])
def test_without_its_embedder_everything_else_is_scored(store: Store, error: Exception) -> None:
    """While the embedder fails, rows have every metric but those that need it, and those are missing from all rows."""
    embedder = Flaky(error)
    store.take(question(1), question(2, answer=None))
    assert score_new(store.warehouse, store.ledger, SCORERS, embedder, now_us=T0) == 2
    assert [(r["latency_s"], r["error"]) for r in store.rows] == [(1.0, 0.0), (1.0, 1.0)]
    assert [r["answer_relevancy"] for r in store.rows] == [None, None]  # not -1 for the missing answer alone
    (failure,) = store.ledger.all(ScorerFailure)
    assert (failure.id, failure.count) == ("answer_relevancy@1", 2)
    assert "\x1b" not in failure.last_error
    embedder.error = None
    store.take(question(3))
    score_new(store.warehouse, store.ledger, SCORERS, embedder, now_us=T0)
    assert next(r["answer_relevancy"] for r in store.rows if r["interaction_id"] == "i00003") is not None


def test_nobody_waits_twice_for_an_embedder_that_does_not_answer(store: Store) -> None:
    """After a failure that may pass, the embedder is asked no more in this batch, whoever wants it; in the next one it is."""
    embedder = Flaky(BUSY)
    wants = replace(made(lambda i, e: float(e.embed([i.id]).sum())), name="confidence")
    scorers = (*(s for s in SCORERS if s.name != "confidence"), wants)
    for taken in (1, 2):
        store.take(*(question(k) for k in range(10 * taken, 10 * taken + 10)))
        score_new(store.warehouse, store.ledger, scorers, embedder, now_us=T0)
        assert embedder.asked == taken
    counts = {f.id: f.count for f in store.ledger.all(ScorerFailure)}
    assert counts == {"answer_relevancy@1": 20, "confidence@3": 20}


def test_a_text_that_is_refused_costs_the_others_nothing() -> None:
    """An embedder that refuses one scorer's texts for good still embeds those of the others."""

    class Choosy(Flaky):
        def embed(self, texts: Sequence[str]) -> Vectors:
            if "too long" in texts:
                raise SeamError("HTTP 400: too long")
            return EMBEDDER.embed(texts)

    asked = [question(k) for k in range(3)]
    greedy = made(lambda *_: 1.0, texts=lambda _: ("too long",))
    found = values_of(asked, (greedy, *SCORERS), Guarded(Choosy()))
    assert found == values_of(asked, SCORERS, EMBEDDER)


def test_a_guarded_embedder_fails_in_one_way() -> None:
    """Whatever comes from inside is a SeamError, also a vector that is not finite; what is right comes through."""
    inside = Flaky()
    guarded = Guarded(inside)
    np.testing.assert_array_equal(guarded.embed(["a b"]), EMBEDDER.embed(["a b"]))
    inside.error = ZeroDivisionError("x")
    with pytest.raises(SeamError, match="ZeroDivisionError: x"):
        guarded.embed(["a"])
    inside.error = None
    assert guarded.embed(["a"]).shape[0] == 1
    inside.embed = lambda texts: np.full((len(texts), 2), np.nan, np.float32)  # type: ignore[method-assign]
    with pytest.raises(SeamError, match="not finite"):
        guarded.embed(["a"])


def test_topics_wait_for_the_embedder(store: Store) -> None:
    """While the embedder fails topics are not learned, or not told, and counted; afterwards they are."""
    embedder, rng = Flaky(BUSY), np.random.default_rng(1)
    step = 7 * 24 * HOUR // 140

    def turn(start: int, n: int) -> None:
        store.take(*(question(k, time_us=T0 + k * step) for k in range(start, start + n)))
        score_new(store.warehouse, store.ledger, SCORERS, embedder, now_us=T0, rng=rng)

    turn(0, 145)
    assert store.ledger.all(Topics) == []
    embedder.error = None
    turn(145, 1)
    (topics,) = store.ledger.all(Topics)
    assert topics.since_us == T0 + 7 * 24 * HOUR
    embedder.error = BUSY
    turn(146, 5)
    embedder.error = None
    turn(151, 5)
    told = {r["interaction_id"]: r["topic"] for r in store.rows}
    assert [told[f"i{k:05d}"] is not None for k in (145, 146, 150, 151, 155)] == [True, False, False, True, True]
    counts = {f.id: f.count for f in store.ledger.all(ScorerFailure)}
    assert counts[f"topic by {embedder.name}"] == 145 + 5
    assert counts["answer_relevancy@1"] == 145 + 5


def test_vectors_of_another_width_stop_nothing(store: Store) -> None:
    """An embedder whose vectors have another width than those that topics were learned from costs the topics only."""
    rng = np.random.default_rng(1)
    step = 7 * 24 * HOUR // 140
    store.take(*(question(k, time_us=T0 + k * step) for k in range(145)))
    score_new(store.warehouse, store.ledger, SCORERS, EMBEDDER, now_us=T0, rng=rng)
    assert store.ledger.all(Topics)
    other = Flaky()
    other.embed = lambda texts: np.ones((len(texts), 1), np.float32)  # type: ignore[method-assign]
    store.take(question(200, time_us=T0 + 200 * step))
    assert score_new(store.warehouse, store.ledger, SCORERS, other, now_us=T0, rng=rng) == 1
    row = next(r for r in store.rows if r["interaction_id"] == "i00200")
    assert (row["topic"], row["latency_s"]) == (None, 1.0)


def test_questions_without_meaning_stop_nothing(store: Store) -> None:
    """A week of questions of which most have no vector teaches no topics, and is scored all the same."""

    class Speechless(Flaky):
        def embed(self, texts: Sequence[str]) -> Vectors:
            return super().embed(["" if "?" in t else t for t in texts])

    step = 7 * 24 * HOUR // 140
    store.take(*(question(k, time_us=T0 + k * step) for k in range(145)))
    rng = np.random.default_rng(1)
    assert score_new(store.warehouse, store.ledger, SCORERS, Speechless(), now_us=T0, rng=rng) == 145
    assert store.ledger.all(Topics) == []


def test_after_another_embedder_what_comes_next_has_a_topic(store: Store) -> None:
    """Topics that are learned anew with another embedder are told from the next question on, not from the next week on."""
    rng = np.random.default_rng(1)
    hour = HOUR // 10
    store.take(*(question(k, time_us=T0 + k * hour) for k in range(1_700)))  # a little more than a week
    score_new(store.warehouse, store.ledger, SCORERS, Flaky(), now_us=T0, rng=rng)
    (before,) = store.ledger.all(Topics)
    store.take(*(question(k, time_us=T0 + k * hour) for k in range(1_700, 1_800)))
    score_new(store.warehouse, store.ledger, SCORERS, Flaky(name="other"), now_us=T0, rng=rng)
    (topics,) = store.ledger.all(Topics)
    assert topics.embedder == "other"
    assert topics.since_us == T0 + 1_799 * hour + 1
    store.take(question(1_800, time_us=T0 + 1_800 * hour))
    score_new(store.warehouse, store.ledger, SCORERS, Flaky(name="other"), now_us=T0, rng=rng)
    assert next(r for r in store.rows if r["interaction_id"] == "i01800")["topic"] is not None
    assert not {t.key for t in topics.topics} & {t.key for t in before.topics}


def test_a_new_measure_is_recorded_for_every_app(store: Store) -> None:
    """Another set of scorers is a change of each app at its first traffic after it, whenever that comes, and once."""
    newer = (replace(SCORERS[0], version="99"), *SCORERS[1:])
    store.take(question(1, app="a"), question(2, app="b"), question(3, app="b", environment="staging"))
    store.score()
    assert store.ledger.all(Change) == []
    for k, app in ((4, "a"), (5, "b"), (6, "new"), (7, "a"), (8, "b"), (9, "new")):
        store.take(question(k, app=app))
        store.score(newer)
    changes = store.ledger.all(Change)
    assert sorted((c.app, c.environment, c.at_us) for c in changes) == [
        ("a", "production", T0 + 4),
        ("b", "production", T0 + 5),
    ]
    assert {(c.kind, c.before != c.after, c.before is None) for c in changes} == {("scorer", True, False)}


def test_an_app_of_any_name_is_measured(store: Store) -> None:
    """Names that no id may have, or that look alike when they are put together, are scored and told apart."""
    newer = (replace(SCORERS[0], version="99"), *SCORERS[1:])
    store.take(question(1, app="a\0b"), question(2, app="a/b", environment="c"), question(3, app="%00"))
    assert store.score() == 3
    store.take(question(4, app="a", environment="b/c"))
    assert store.score(newer) == 1
    assert store.ledger.all(Change) == []


def test_a_batch_that_is_scored_stays_scored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk refuses in the midst of much traffic, the batches before it are done and the next call goes on after them."""
    monkeypatch.setattr("andon.scores.run.BATCH", 5)
    for start in (0, 5, 10):
        store.take(*(question(k) for k in range(start, start + 5)))
    derive, calls = store.warehouse.derive, []

    def refusing(table: str, *given: object, **named: object) -> tuple[int, int]:
        calls.append(table)
        if len(calls) == 2:
            raise StoreError("the disk is full", retryable=True)
        return derive(table, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(store.warehouse, "derive", refusing)
    with pytest.raises(StoreError):
        store.score()
    cursor = store.ledger.get(ScoreCursor, "scores")
    assert cursor is not None
    assert cursor.seq > 0
    assert store.score() == 10
    assert len(store.rows) == 15
