"""Laws of the label queue: what settles a failure, and what comes first."""

import numpy as np
import pytest

from andon.golden import Label, open_to, settled
from andon.golden.cases import label_id
from andon.golden.queue import prioritise


def label(failure, author="ann", text="", at_us=1, **more) -> Label:
    """A reviewer's label; without a text a dismissal."""
    fields = {"verdict": "answer" if text else "dismiss", "note": "" if text else "no failure"}
    return Label(
        **(fields | more),
        id=label_id(failure.id, author),
        failure=failure.id,
        author=author,
        ground_truth=text,
        at_us=at_us,
    )


def test_one_word_settles_a_low_risk_and_two_a_high_one(failure):
    """A failure of high risk needs two reviewers who agree, in any spelling; any other one needs one."""
    low, high = failure("low"), failure("high", risk_category="High")
    assert settled(low, []).state == "waits"
    one = settled(low, [label(low, text="8611 m")])
    assert (one.state, one.ground_truth, one.authors) == ("agreed", "8611 m", ("ann",))
    first = settled(high, [label(high, text="8611 m")])
    assert (first.state, first.ground_truth) == ("second", None)
    both = settled(high, [label(high, "bob", " 8611 M.", 2), label(high, text="8611 m")])
    assert (both.state, both.ground_truth, both.authors) == ("agreed", "8611 m", ("ann", "bob"))
    assert "ann and bob agree" in both.why


def test_the_data_owners_expected_answer_is_a_reviewers_word(failure):
    """Where the expected answer came with the data, one reviewer who says the same is the second; a user's correction is not."""
    for origin, state in (("expected_answer", "agreed"), ("correction", "second"), ("passing twin", "second")):
        high = failure(risk_category="high", suggestion="8611 m", suggested_by=origin)
        assert settled(high, [label(high, text="8611 M")]).state == state
        assert settled(high, [label(high, text="9 m")]).state == "second"


def test_what_was_accepted_in_bulk_is_no_second_word(failure):
    """Of a label that nobody read, the data owner's answer is not the second reviewer; of one that somebody read, it is."""
    high = failure(risk_category="high", suggestion="8611 m", suggested_by="expected_answer")
    ann, bob = (label(high, name, "8611 m", note="accepted in bulk: expected_answer") for name in ("ann", "bob"))
    assert settled(high, [ann]).state == "second"
    assert settled(high, [ann, bob]).state == "agreed"
    assert settled(high, [label(high, "ann", "8611 m", note="accepted: expected_answer")]).state == "agreed"


def test_the_same_reviewer_is_not_two(failure):
    """A second reviewer is another person: labels are kept by author, so the same one replaces their own."""
    for other in ("Ann", " ann ", "ＡＮＮ", "ann\t"):
        high = failure(risk_category="high")
        assert label(high, other, "1").id == label(high, "ann", "2").id
        assert settled(high, [label(high, other, "1"), label(high, "ann", "1")]).state == "second"
        assert not open_to(other, settled(high, [label(high, "ann", "1")]))
    high = failure(risk_category="high")
    assert label(high, "ann", "1").id == label(high, "ann", "2").id
    assert settled(high, [label(high, "ann", "1")]).state == "second"


@pytest.mark.parametrize("risk", [None, "high"])
def test_reviewers_who_differ_are_a_conflict_at_any_risk(failure, risk):
    """Two right answers, or an answer and a dismissal, wait for an adjudicator; nobody's word is taken silently."""
    f = failure(risk_category=risk)
    for other in (label(f, "bob", "8612 m", 2), label(f, "bob", at_us=2)):
        found = settled(f, [label(f, text="8611 m"), other])
        assert (found.state, found.ground_truth, found.authors) == ("conflict", None, ("ann", "bob"))


def test_an_adjudication_settles_and_the_latest_one_holds(failure):
    """A final label stands above what reviewers say, whichever they are."""
    f = failure(risk_category="high")
    labels = [label(f, text="1"), label(f, "bob", "2", 2), label(f, "eve", "1", 3, final=True)]
    found = settled(f, labels)
    assert (found.state, found.ground_truth, found.authors, found.why) == (
        "agreed",
        "1",
        ("eve",),
        "adjudicated by eve",
    )
    ended = settled(f, [*labels, label(f, "dan", at_us=4, final=True, note="spam")])
    assert (ended.state, ended.ground_truth) == ("dismissed", None)
    assert "spam" in ended.why


def test_withdrawn_labels_and_those_of_others_do_not_count(failure):
    """A label that was taken back is as if it had not been given."""
    f, g = failure("f"), failure("g")
    assert settled(f, [label(f, text="1", verdict="withdrawn"), label(g, "bob", "2")]).state == "waits"


def test_a_dismissal_of_high_risk_needs_two_as_well(failure):
    """Nobody alone can keep a high-risk failure out of the golden set."""
    f = failure(risk_category="critical")
    assert settled(f, [label(f)]).state == "second"
    assert settled(f, [label(f), label(f, "bob")]).state == "dismissed"


def test_who_can_still_label(failure):
    """Each reviewer is asked once, and nobody where a label would not settle anything."""
    f = failure(risk_category="high")
    once = settled(f, [label(f, text="1")])
    assert open_to("bob", once)
    assert not open_to("ann", once)
    assert not open_to("eve", settled(f, [label(f, text="1"), label(f, "bob", "2")]))


def queue(failures, words, labels=(), cases=()):
    """The queue of these failures with an embedder that counts words."""
    vectors = words.embed([f.question for f in failures])
    known = {"default": words.embed(list(cases))} if cases else {}
    return prioritise(failures, labels, vectors, known)


def test_risk_goes_first_and_settled_ones_are_gone(failure, words):
    """A high risk outweighs the newest question; what is agreed or dismissed is not in the queue."""
    plain, risky, done, gone = failure("a b"), failure("c d", risk_category="high"), failure("e f"), failure("g h")
    found = queue([plain, risky, done, gone], words, [label(done, text="x"), label(gone)], cases=["c d"])
    assert [q.failure for q in found] == [risky, plain]
    assert (found[0].risk, found[0].novelty, found[0].priority) == (1, 0, 2)
    assert found[0].why.startswith("risk high; novelty 0.00")


def test_twenty_of_one_kind_do_not_stand_before_the_rest(failure, words):
    """Novelty counts what stands above in the queue: after one of a kind come the other kinds."""
    same = [failure("how long may I keep a loan", answer=str(k)) for k in range(20)]
    other = failure("who pays the postage")
    found = queue([*same, other], words)
    assert [q.failure for q in found[:2]] == [same[0], other]
    assert [q.failure for q in found[2:]] == same[1:]
    assert found[2].novelty == pytest.approx(0, abs=1e-5)


def test_what_is_known_to_one_application_is_new_to_another(failure, words):
    """Cases and failures of another application do not make a question less new."""
    here, there = failure("a b c"), failure("a b c", app="other")
    found = queue([here, there], words, cases=["a b c"])
    assert {q.failure.app: q.novelty for q in found} == {"default": 0, "other": 1}
    assert [q.novelty for q in queue([here, there], words)] == [1, 1]


def test_what_is_unsure_comes_before_what_is_clear(failure, words):
    """Reviewers who differ come first, then hints and what waits for a second; a number is the less sure the nearer its cut."""
    differ, hint, clear = failure("a b"), failure("c d", source="follow-up"), failure("e f", source="thumbs-down")
    far = failure("g h", metric="groundedness", cut=0.4, value=0.0)
    near = failure("i j", metric="groundedness", cut=0.4, value=0.39)
    found = queue([clear, far, hint, near, differ], words, [label(differ, text="1"), label(differ, "bob", "2", 2)])
    assert [q.failure for q in found] == [differ, near, hint, clear, far]
    assert [round(q.uncertainty, 3) for q in found] == [1, 0.975, 0.5, 0, 0]


def test_novelty_is_the_same_in_blocks(failure, words, monkeypatch):
    """However many failures are compared at once, the queue is the same."""
    import andon.golden.queue

    many = [failure(f"question {k % 7} about {k % 11}") for k in range(40)]
    cases = [f"question {k} about {k}" for k in range(5)]
    whole = queue(many, words, cases=cases)
    assert len({q.novelty for q in whole}) > 2
    monkeypatch.setattr(andon.golden.queue, "AT_ONCE", 3)
    assert queue(many, words, cases=cases) == whole


def test_a_long_queue_is_ordered_too(failure, words):
    """Beyond the places that take account of those above, failures stand by their novelty against cases; none is lost."""
    from andon.golden.queue import ORDERED

    many = [failure(f"question number {k}") for k in range(ORDERED + 50)]
    found = queue(many, words)
    assert sorted(q.failure.id for q in found) == sorted(f.id for f in many)
    assert np.all(np.diff([q.priority for q in found[:ORDERED]]) <= 1e-5)
