"""Laws of changing a case: two people's changes are merged where they differ, and nobody's is lost without a word."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError, StateError
from andon.golden import Case
from andon.golden import run as golden
from andon.golden.cases import case_id
from andon.golden.run import Measure
from andon.golden.run.sets import chronicle
from andon.golden.words import added_words, passes_when
from andon.store import Ledger

NAMES = [f.name for f in fields(Measure)]
VALUES = {
    "metric": st.sampled_from(["normalised_match", "numeric", "judge"]),
    "direction": st.sampled_from(["up", "down"]),
    "cut": st.sampled_from([None, 0.5, 0.7]),
    "expect": st.sampled_from([{}, {"tolerance": 1}, {"tolerance": 2}]),
    "risk_category": st.sampled_from([None, "high", "low"]),
    "cluster": st.sampled_from([None, "a", "b"]),
}
MEASURES = st.builds(Measure, **VALUES)


def put_case(ledger: Ledger) -> Case:
    """A case in a ledger."""
    made = Case(
        id=case_id("m", "q?", "a"), question="q?", ground_truth="a", app="m", answer=None, contexts=(), source="", failure_reason="",
        added_date="2026-01-01",
    )  # fmt: skip
    ledger.put(made, now_us=1, by="ann")
    return made


@given(theirs=MEASURES, mine=MEASURES)
def test_changes_of_two_are_merged_or_refused(theirs, mine):
    """Of every field the case has what was changed by one of them; where both changed it to different values, nothing is written."""
    ledger = Ledger("sqlite://")
    case = put_case(ledger)
    before = Measure.of(case)
    golden.restate(ledger, case.id, theirs, version=1, now_us=2, by="bob")
    both = [n for n in NAMES if len({str(getattr(x, n)) for x in (before, theirs, mine)}) == 3]
    if both:
        with pytest.raises(StateError, match="bob changed the same"):
            golden.restate(ledger, case.id, mine, version=1, now_us=3, by="ann")
        assert Measure.of(ledger.get(Case, case.id)) == theirs
        last = ledger.latest(Case, case.id).version
        golden.restate(ledger, case.id, mine, version=1, now_us=3, by="ann", over=last)
    else:
        golden.restate(ledger, case.id, mine, version=1, now_us=3, by="ann")
    after = Measure.of(ledger.get(Case, case.id))
    for n in NAMES:
        changed = getattr(mine, n) != getattr(before, n)
        assert getattr(after, n) == (getattr(mine, n) if changed else getattr(theirs, n))
    ledger.close()


def test_what_cannot_be_changed_says_why(ledger):
    """An unknown case or version, an empty metric and a retired case are refused; the same again writes nothing."""
    case = put_case(ledger)
    for name, version in (("G-none", 1), (case.id, 7)):
        with pytest.raises(InputError):
            golden.restate(ledger, name, Measure.of(case), version=version, now_us=2, by="ann")
    with pytest.raises(InputError):
        golden.restate(ledger, case.id, Measure(metric=" "), version=1, now_us=2, by="ann")
    golden.restate(ledger, case.id, Measure.of(case), version=1, now_us=2, by="ann")
    assert ledger.latest(Case, case.id).version == 1
    golden.retire(ledger, case.id, why="old", now_us=2, by="ann")
    with pytest.raises(StateError, match="retired"):
        golden.restate(ledger, case.id, Measure(metric="judge"), version=2, now_us=3, by="ann")


def test_the_chronicle_names_who_did_what(ledger):
    """Each version of a case is one move, with its author; a change says what was there before and what is there now."""
    case = put_case(ledger)
    golden.restate(ledger, case.id, Measure(metric="judge"), version=1, now_us=2, by="bob")
    golden.retire(ledger, case.id, why="old", now_us=3, by="cid")
    golden.retire(ledger, case.id, why="new again", now_us=4, by="dan", back=True)
    states, moves = chronicle(ledger)
    assert [(m.kind, m.by) for m in moves] == [
        ("added", "ann"),
        ("changed", "bob"),
        ("retired", "cid"),
        ("back", "dan"),
    ]
    assert moves[1].what == 'changed: metric from "normalised_match" to "judge"'
    assert states == golden.states_of(ledger)
    assert chronicle(ledger, "other") == ([], [])


def test_what_a_case_asks_is_said_in_words(case):
    """The sentence names the metric, and for a number its bound on the right side."""
    assert "same as the right answer" in passes_when(case())
    assert passes_when(case(metric="latency", direction="up", cut=2.0)).endswith("below 2.")
    assert passes_when(case(metric="groundedness", cut=0.4)).endswith("at least 0.4.")
    assert "answers that do not refuse" in passes_when(case(metric="refusal"))
    assert "ragas:faithfulness says so" in passes_when(case(metric="ragas:faithfulness"))


def test_what_became_of_labels_is_said_in_words(case):
    """Cases made, refused and in conflict are counted."""
    from andon.golden.records import AddResult, Refusal

    done = AddResult(added=(case(),), refused=(Refusal(id="F", reason="r"),), conflicts=(("a", "b"),))
    assert added_words(done) == (
        "1 case made; 1 refused, near a case that is there; 1 ask what another case asks and differ in what is right"
    )
