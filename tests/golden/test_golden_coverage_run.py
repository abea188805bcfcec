"""Laws of coverage on a real store: what is asked, weighted, by topic and risk, with the harm that scorers and people saw."""

import numpy as np
import pytest

from andon.errors import SeamError
from andon.golden.run import apps_with_traffic, measure_coverage
from andon.scores import SCORERS, score_schema
from andon.scores.run import score_feedback, score_new
from andon.scores.topics import Topics, learn_topics
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS, Feedback, Interaction
from andon.traffic.run import record, record_feedback

DAY_US = 86_400_000_000
FEES, DOSES = "what is the fee for a transfer number {}", "how many pills of kind {} may a child take"


class Store:
    """A real warehouse and ledger."""

    def __init__(self, folder, words, now_us):
        self.warehouse = Warehouse(folder, {**SCHEMAS, "scores": score_schema(SCORERS)})
        self.ledger, self.words, self.now_us = Ledger("sqlite://"), words, now_us

    def take(self, *rows):
        record(self.warehouse, [r for r in rows if isinstance(r, Interaction)])
        record_feedback(self.warehouse, [r for r in rows if isinstance(r, Feedback)])
        self.warehouse.commit()
        score_new(self.warehouse, self.ledger, SCORERS, self.words, now_us=self.now_us)
        score_feedback(self.warehouse, self.ledger, SCORERS, now_us=self.now_us)

    def asked(self, name, query, **more):
        told = {"time_us": self.now_us - DAY_US, "app": "shop", "answer": "an answer"} | more
        return Interaction(id=name, query=query, **told)

    def measure(self, embedder=None):
        return measure_coverage(
            self.warehouse, self.ledger, embedder or self.words, SCORERS, app="shop", now_us=self.now_us
        )


@pytest.fixture
def store(tmp_path, words, now_us):
    """An empty store."""
    made = Store(tmp_path / "warehouse", words, now_us)
    yield made
    made.warehouse.close()
    made.ledger.close()


def test_holes_are_found_in_what_is_really_asked(store, case, now_us):
    """Fees have a case, doses none; an error, a thumb and the weights of sampled rows count; probes and old traffic do not."""
    store.ledger.put(case(FEES.format(1), app="shop"), now_us=now_us, by="ann")
    store.ledger.put(case(DOSES.format(1), app="another"), now_us=now_us, by="ann")
    gone = case(DOSES.format(2), app="shop", retired="2026-11-01", retired_why="x")
    store.ledger.put(gone, now_us=now_us, by="ann")
    rows = [store.asked(f"f{k}", FEES.format(k), risk_category="low") for k in range(30)]
    rows += [store.asked(f"d{k}", DOSES.format(k), risk_category="high", weight=2.0) for k in range(10)]
    rows += [store.asked("broken", DOSES.format(77), risk_category="high", answer=None, error="timeout", weight=2.0)]
    rows += [store.asked("p", "a probe", source="probe"), store.asked("old", "old", time_us=now_us - 8 * DAY_US)]
    rows += [
        store.asked("no", " "),
        store.asked("s", "staging", environment="staging"),
        store.asked("o", "x", app="other"),
    ]
    rows += [Feedback(id="fb", interaction_id="d3", time_us=now_us - 1, kind="thumb", value=0.0)]
    store.take(*rows)
    found = store.measure()
    assert found.reason == ""
    assert (found.cases, found.whole.questions) == (1, 41)
    assert found.whole.covered == pytest.approx(30 / 52)
    assert [(s.part, s.covered) for s in found.by_risk] == [("high", 0), ("low", 1)]
    assert found.by_topic == ()
    (hole,) = found.holes
    assert (hole.topic, hole.harm, hole.traffic) == ("everything", 1.0, pytest.approx(22 / 52))
    assert set(hole.examples[:2]) == {DOSES.format(77), DOSES.format(3)}
    assert apps_with_traffic(store.warehouse, now_us=now_us) == ["other", "shop"]


def test_topics_name_the_holes(store, case, words, now_us):
    """Where topics were learned by the same embedder, holes are topics; by another one, they are not used."""
    queries = [t.format(k) for t in (FEES, DOSES) for k in range(60)]
    topics = learn_topics("shop/production", words.name, words.embed(queries), queries, np.random.default_rng(0), k=2)
    store.ledger.put(topics, now_us=now_us, by="andon")
    store.ledger.put(case(FEES.format(1), app="shop"), now_us=now_us, by="ann")
    store.take(*(store.asked(f"q{k}", q) for k, q in enumerate(queries)))
    found = store.measure()
    assert [round(s.traffic, 2) for s in found.by_topic][:2] == [0.5, 0.5]
    assert "pills" in found.holes[0].topic
    assert found.holes[0].covered == 0
    other = Topics(**{f: getattr(topics, f) for f in topics.__slots__} | {"embedder": "another"})
    store.ledger.put(other, now_us=now_us, by="andon")
    assert store.measure().by_topic == ()


def test_nobody_can_tell_without_texts_or_embedder(store, case, words, now_us):
    """No questions, or an embedder that fails: no share, and the reason."""
    found = store.measure()
    assert found.whole is None
    assert "no question with a text" in found.reason
    store.take(store.asked("q", "what is the fee"))

    class Broken:
        name = "broken"

        def embed(self, texts):
            raise SeamError("the embedder is down")

    found = store.measure(Broken())
    assert found.whole is None
    assert "the embedder is down" in found.reason
    assert store.measure().whole.covered == 0
