"""Laws of labels that several people give: in files, one by one, and where they differ."""

import csv
import io
import json

import numpy as np
import pytest

from andon.errors import InputError, StateError
from andon.golden import Label, LabelRow, label_id, label_lines, label_sheet, parse_labels, settled
from andon.golden.run import (
    adjudicate,
    capture,
    conflicting,
    label_failures,
    queue,
    reviewer_agreement,
    withdraw,
)


def says(ledger, failure, author, text="", note="", at_us=1):
    """Give one label; without a text a dismissal with this note."""
    verdict = "answer" if text else "dismiss"
    row = LabelRow(line=1, id=failure.id, question=None, ground_truth=text, verdict=verdict, note=note)
    return label_failures(ledger, [row], now_us=at_us, by=author)


def state(ledger, failure):
    """What the labels of a failure say together."""
    return settled(failure, ledger.all(Label))


def test_each_reviewer_has_one_label(ledger, failure, now_us):
    """A second reviewer's word stands beside the first one's; one's own next word replaces one's own."""
    f = failure(risk_category="high")
    capture(ledger, [f], now_us=now_us)
    says(ledger, f, "ann", "8611 m", at_us=1)
    assert state(ledger, f).state == "second"
    says(ledger, f, "bob", "8612 m", at_us=2)
    assert state(ledger, f).state == "conflict"
    says(ledger, f, "bob", "8611 M", at_us=3)
    assert (state(ledger, f).state, state(ledger, f).ground_truth) == ("agreed", "8611 m")


def test_a_dismissal_says_why(ledger, failure, now_us):
    """Without a reason nothing is dismissed; with one no case comes of it."""
    f = failure()
    capture(ledger, [f], now_us=now_us)
    assert "says why" in says(ledger, f, "ann").refused[0].reason
    assert ledger.all(Label) == []
    assert says(ledger, f, "ann", note="a joke").labelled == (f.id,)
    assert state(ledger, f).state == "dismissed"


def test_a_label_can_be_taken_back(ledger, failure, now_us):
    """What is withdrawn counts no more and can be given again; the ledger keeps every version; another's cannot be taken back."""
    f = failure()
    capture(ledger, [f], now_us=now_us)
    says(ledger, f, "ann", "8611 m", at_us=1)
    with pytest.raises(StateError, match="bob has no label"):
        withdraw(ledger, f.id, now_us=2, by="bob")
    withdraw(ledger, f.id, now_us=2, by="ann")
    assert state(ledger, f).state == "waits"
    with pytest.raises(StateError, match="nothing to take back"):
        withdraw(ledger, f.id, now_us=3, by="ann")
    says(ledger, f, "ann", "8611 m", at_us=4)
    assert state(ledger, f).state == "agreed"
    verdicts = [v.record.verdict for v in ledger.history(Label, label_id(f.id, "ann"))]
    assert verdicts == ["answer", "withdrawn", "answer"]


def test_somebody_else_adjudicates(ledger, failure, now_us):
    """Those who differ cannot settle it; who does keeps their labels, and may take one, give another, or dismiss."""
    f = failure()
    capture(ledger, [f], now_us=now_us)
    says(ledger, f, "ann", "8611 m", at_us=1)
    says(ledger, f, "bob", "8612 m", at_us=2)
    with pytest.raises(StateError, match="somebody else"):
        adjudicate(ledger, f.id, now_us=3, by="ann", take="ann")
    with pytest.raises(InputError, match="ann, bob did"):
        adjudicate(ledger, f.id, now_us=3, by="eve", take="dan")
    for wrong in ({}, {"take": "ann", "answer": "x"}):
        with pytest.raises(InputError, match="give one of"):
            adjudicate(ledger, f.id, now_us=3, by="eve", **wrong)
    with pytest.raises(InputError, match="failing answer itself"):
        adjudicate(ledger, f.id, now_us=3, by="eve", answer="8848 M")
    taken = adjudicate(ledger, f.id, now_us=3, by="eve", take="bob")
    assert (taken.state, taken.ground_truth, taken.authors) == ("agreed", "8612 m", ("eve",))
    assert adjudicate(ledger, f.id, now_us=4, by="eve", answer="8613 m").ground_truth == "8613 m"
    assert adjudicate(ledger, f.id, now_us=5, by="eve", dismiss="moot").state == "dismissed"
    assert state(ledger, f).state == "dismissed"
    assert {x.author: x.ground_truth for x in ledger.all(Label) if not x.final} == {"ann": "8611 m", "bob": "8612 m"}


def test_who_is_alone_may_settle_and_it_is_noted(ledger, failure, now_us):
    """Where only one person has labelled a high-risk failure, that person may settle it; the label says so. Nobody's word is none."""
    f = failure(risk_category="high")
    capture(ledger, [f], now_us=now_us)
    with pytest.raises(StateError, match="nobody has labelled"):
        adjudicate(ledger, f.id, now_us=1, by="ann", answer="8611 m")
    says(ledger, f, "ann", "8611 m", at_us=1)
    assert adjudicate(ledger, f.id, now_us=2, by="ann", take="ann").state == "agreed"
    assert "the only reviewer" in ledger.get(Label, f"{f.id}/final").note
    with pytest.raises(InputError, match="no failure"):
        adjudicate(ledger, "F-0", now_us=2, by="ann", dismiss="x")


def test_the_queue_holds_what_waits_for_a_person(ledger, failure, words, now_us):
    """Settled failures leave the queue; an app and an incident choose among the rest."""
    one, two, done = failure("a b"), failure("c d", app="other", incident="INC-1"), failure("e f")
    capture(ledger, [one, two, done], now_us=now_us)
    says(ledger, done, "ann", "x")
    assert {q.failure.id for q in queue(ledger, words)} == {one.id, two.id}
    assert [q.failure.id for q in queue(ledger, words, app="other")] == [two.id]
    assert [q.failure.id for q in queue(ledger, words, incident="INC-1")] == [two.id]
    assert queue(ledger, words, app="none") == []


def test_agreement_and_conflicts_are_of_one_application(ledger, failure, now_us):
    """Only failures of the application count, and each conflict lists what everybody said."""
    ours = [failure(f"q{k}") for k in range(12)]
    theirs = failure("q", app="other")
    capture(ledger, [*ours, theirs], now_us=now_us)
    for k, f in enumerate([*ours, theirs]):
        says(ledger, f, "ann", f"right {k}")
        says(ledger, f, "bob", f"right {k}" if k else "wrong", at_us=2)
    (found,) = reviewer_agreement(ledger, np.random.default_rng(0), app="default")
    assert found.failures == 12
    assert [(f.id, [x.ground_truth for x in each]) for f, each in conflicting(ledger, app="default")] == [
        (ours[0].id, ["right 0", "wrong"])
    ]
    assert conflicting(ledger, app="other") == []


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_sheet_goes_out_and_comes_back(ledger, failure, now_us, form):
    """What a reviewer writes into a sheet, in either form, becomes labels of theirs; rows left empty stay open."""
    failures = [failure("=1+1", suggestion="2"), failure("b"), failure("c")]
    capture(ledger, failures, now_us=now_us)
    if form == "csv":
        header, *rows = csv.reader(io.StringIO(label_sheet(failures, author="bob"), newline=""))
        assert rows[0][1] == "'=1+1"
        filled = [dict(zip(header, r, strict=True)) for r in rows]
    else:
        filled = [json.loads(line) for line in label_lines(failures, author="bob").splitlines()]
        assert filled[0]["question"] == "=1+1"
    filled[0]["ground_truth"] = filled[0]["suggestion"]
    filled[1] |= {"verdict": "Dismiss", "note": "spam"}
    if form == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, header)
        writer.writeheader()
        writer.writerows(filled)
        text = out.getvalue()
    else:
        text = "".join(json.dumps(row) + "\n" for row in filled)
    result = label_failures(ledger, parse_labels(text), now_us=now_us, by="ann")
    assert (result.labelled, result.blank) == ((failures[0].id, failures[1].id), 1)
    assert [state(ledger, f).state for f in failures] == ["agreed", "dismissed", "waits"]
    assert {x.author for x in ledger.all(Label)} == {"bob"}


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"verdict": "maybe"}, "answer, dismiss or an empty text"),
        ({"verdict": "dismiss", "ground_truth": "x"}, "keep one of them"),
    ],
)
def test_a_verdict_that_says_two_things_is_refused(row, word):
    """An unknown verdict, or a dismissal with an answer, is named; nothing is guessed."""
    with pytest.raises(InputError, match=word):
        parse_labels(json.dumps({"id": "F-1", "ground_truth": "", **row}))
