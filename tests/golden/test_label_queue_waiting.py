"""Laws of the queue that a server keeps: the order of `prioritise`, without asking for it anew at every label."""

import pytest

from andon.errors import InputError, StateError
from andon.golden import Case, Failure, Label, NearDuplicate
from andon.golden import run as golden
from andon.golden.run import LabelQueue
from andon.golden.run.waiting import AT_ONCE


def kept(ledger, now_us, *records):
    """Put records, and return the first."""
    for r in records:
        ledger.put(r, now_us=now_us, by="andon")
    return records[0]


def test_the_order_is_that_of_the_queue(ledger, words, now_us, failure, case):
    """A new queue has exactly the order and the reasons of `golden.queue`, and of the filters what is left of it."""
    kept(ledger, now_us, case("how tall is the hill"))
    for k in range(12):
        kept(
            ledger, now_us,
            failure(f"question {k} about hill {k % 3}", app=f"a{k % 2}", risk_category="high" if k % 5 == 0 else None, incident=f"I{k % 4}"),
        )  # fmt: skip
    wanted = golden.queue(ledger, words)
    queue = LabelQueue(words)
    assert queue.waiting(ledger, "ann") == [q.failure.id for q in wanted]
    assert queue.queued(ledger, ["F-none", *(q.failure.id for q in wanted)]) == wanted
    for chosen in ({"app": "a1"}, {"incident": "I2"}, {"risk": "high"}, {"app": "a0", "risk": "high"}):
        left = [
            q.failure.id for q in wanted
            if all(getattr(q.failure, {"risk": "risk_category"}.get(k, k)) == v for k, v in chosen.items())
        ]  # fmt: skip
        assert queue.waiting(ledger, "ann", **chosen) == left


def test_a_label_takes_one_out_and_leaves_the_rest_as_it_was(ledger, words, now_us, failure):
    """After a label the others keep their order; taken back, it waits again; of a high risk it waits for others only."""
    made = [
        kept(ledger, now_us, failure(f"question {k} {'x ' * k}", risk_category="high" if k == 3 else None))
        for k in range(6)
    ]
    queue = LabelQueue(words)
    before = queue.waiting(ledger, "ann")
    low = next(f for f in made if f.risk_category is None)
    golden.give_label(ledger, low.id, answer="right", now_us=now_us, by="ann")
    assert queue.waiting(ledger, "ann") == [i for i in before if i != low.id]
    golden.withdraw(ledger, low.id, now_us=now_us, by="ann")
    assert set(queue.waiting(ledger, "ann")) == set(before)
    golden.give_label(ledger, made[3].id, answer="right", now_us=now_us, by="ann")
    assert made[3].id not in queue.waiting(ledger, "Ann ")
    assert made[3].id in queue.waiting(ledger, "bob")


def test_many_failures_are_ordered_beside(ledger, words, now_us, failure):
    """With more failures than are ordered at once all are there from the first call, riskiest first, and soon in their order."""
    for k in range(AT_ONCE + 20):
        kept(ledger, now_us, failure(f"question {k} of {k % 7}", risk_category="high" if k % 50 == 7 else None))
    queue = LabelQueue(words)
    first = queue.waiting(ledger, "ann")
    assert len(first) == AT_ONCE + 20
    high = {f.id for f in ledger.all(Failure) if f.risk_category}
    assert set(first[: len(high)]) == high
    queue.rest()
    assert queue.waiting(ledger, "ann") == [q.failure.id for q in golden.queue(ledger, words)]


def test_what_stands_behind_a_skipped_one(ledger, words, now_us, failure):
    """Behind a failure stand those that come later in the order, also once it is settled; behind an unknown one stand all."""
    for k in range(5):
        kept(ledger, now_us, failure(f"question {k} {'y ' * k}"))
    queue = LabelQueue(words)
    order = queue.waiting(ledger, "ann")
    assert queue.after(order[1], order) == order[2:]
    golden.give_label(ledger, order[1], answer="right", now_us=now_us, by="ann")
    assert queue.after(order[1], queue.waiting(ledger, "ann")) == order[2:]
    assert queue.after("F-none", order) == order


def test_what_is_settled_and_no_case_yet(ledger, words, now_us, failure, case):
    """Ready is what is agreed and is neither a case, retired or not, nor refused as a near-duplicate."""
    a, b, c, d = (kept(ledger, now_us, failure(f"question {k}", app="m")) for k in "abcd")
    for f in (a, b, c):
        golden.give_label(ledger, f.id, answer="right", now_us=now_us, by="ann")
    golden.give_label(ledger, d.id, dismiss="no failure", now_us=now_us, by="ann")
    kept(ledger, now_us, case("question b", "right", "m", retired="2026-01-01", retired_why="old"))
    word = NearDuplicate(
        id=c.id, case="G-1", cosine=0.99, embedder="words-1", choice="refuse", by="andon", at_us=now_us, why="near"
    )
    kept(ledger, now_us, word)
    ready = LabelQueue(words).ready(ledger)
    assert (ready.failures, ready.refused) == ((a.id,), 1)


def test_near_cases_are_of_the_application_and_tested(ledger, words, now_us, failure, case):
    """Beside a failure stand the tested cases of its application that resemble it, the nearest first."""
    f = kept(ledger, now_us, failure("how tall is the hill", app="m"))
    near, nearer = case("how tall is a hill", "1", "m"), case("how tall is the hill then", "2", "m")
    kept(ledger, now_us, near, nearer, case("how tall is the hill", "3", "other"), case("what else", "4", "m"))
    kept(ledger, now_us, case("how tall is the hill", "5", "m", retired="2026-01-01"))
    found = LabelQueue(words).near(ledger, f)
    assert [c.id for c, _ in found] == [nearer.id, near.id]
    assert all(isinstance(c, Case) for c, _ in found)


def test_one_word_for_one_failure(ledger, now_us, failure):
    """A label goes to a failure that is there and waits for its author; again only by who said something before."""
    f = kept(ledger, now_us, failure(suggestion="8611 m", suggested_by="correction"))
    with pytest.raises(InputError, match="no failure"):
        golden.give_label(ledger, "F-none", answer="x", now_us=now_us, by="ann")
    first = golden.give_label(ledger, f.id, answer="8611 m", now_us=now_us, by="Ann")
    assert (first.author, first.note) == ("ann", "accepted: correction")
    for again in (False, True):
        with pytest.raises(StateError, match="waits for you no more"):
            golden.give_label(ledger, f.id, answer="9 m", now_us=now_us, by="bob", again=again)
    with pytest.raises(StateError):
        golden.give_label(ledger, f.id, answer="9 m", now_us=now_us, by="ann")
    golden.give_label(ledger, f.id, answer="9 m", now_us=now_us + 1, by="ann", again=True)
    assert [x.ground_truth for x in ledger.all(Label)] == ["9 m"]
