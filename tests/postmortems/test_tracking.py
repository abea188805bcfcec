"""Laws of the story of an action: each decision and each test is one step, by who made it, and nothing else is."""

from dataclasses import replace

import pytest
from records_made import DAY, T0, action

from andon.errors import StateError
from andon.postmortems import ActionItem, Criterion, Proof
from andon.postmortems.actions import claim, drop, give_back, link_to, prove, restore, take
from andon.postmortems.tracking import steps_taken


def taken() -> ActionItem:
    """A commitment of ann."""
    return take(action(), owner="ann", due_us=T0 + DAY, now_us=T0)


def test_each_step_is_told_once() -> None:
    """From taking to the proof: kinds in order, with who and when."""
    one = taken()
    two = take(one, owner="bob", due_us=T0 + 2 * DAY, now_us=T0, criterion=Criterion(kind="lever exists", subject="k"))
    three = claim(two, said="#4 was closed", link="https://t.example/4")
    four = prove(three, Proof(met=False, text="no such lever", at_us=T0 + 5))
    five = prove(four, Proof(met=True, text="held", at_us=T0 + 6))
    steps = steps_taken([(item, T0 + n, f"p{n}") for n, item in enumerate((one, two, three, four, five))])
    assert [(s.kind, s.by, s.at_us - T0) for s in steps] == [
        ("taken", "p0", 0), ("changed", "p1", 1), ("claimed", "p2", 2), ("changed", "p2", 2), ("tested", "p3", 3), ("tested", "p4", 4),
    ]  # fmt: skip
    assert [s.proof.met for s in steps if s.proof] == [False, True]
    assert "bob takes it over from ann" in steps[1].text
    assert "lever k" in steps[1].text


def test_dropping_and_restoring_are_steps() -> None:
    """What was dropped says why; restoring it and giving it back are told as such."""
    one = taken()
    gone = drop(one, "the model is gone")
    back = restore(gone)
    steps = steps_taken([(i, T0, "ann") for i in (one, gone, back, give_back(back))])
    assert [s.kind for s in steps] == ["taken", "dropped", "restored", "given back"]
    assert "the model is gone" in steps[1].text


def test_a_version_that_says_the_same_is_no_step() -> None:
    """Writing the same again tells nothing; a proposal nobody decided on has no story."""
    assert steps_taken([]) == ()
    assert len(steps_taken([(taken(), T0, "ann"), (taken(), T0, "ann")])) == 1


def test_what_somebody_worked_on_is_not_given_back_in_silence() -> None:
    """After a test or a claim an action is dropped with a reason or given to another, never made a proposal again."""
    one = taken()
    for item in (claim(one, said="x"), prove(one, Proof(met=None, text="?", at_us=T0)), replace(one, state="done")):
        with pytest.raises(StateError):
            give_back(item)
    with pytest.raises(StateError):
        restore(one)
    with pytest.raises(StateError):
        link_to(action(), "https://t.example/4")
