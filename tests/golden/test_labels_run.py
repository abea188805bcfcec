"""Laws of labels that several people give: in files, one by one, and where they differ."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from andon.errors import InputError, StateError
from andon.golden import Label, LabelRow, label_lines, label_sheet, settled
from andon.golden.cases import label_id
from andon.golden.files import parse_labels
from andon.golden.run import (
    CaseVectors,
    accept_suggestions,
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
    """Those who differ cannot settle it; who does keeps their labels, and may take one, give another, or dismiss. Labels that come later are refused."""
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
    (refused,) = says(ledger, f, "dan", "8614 m", at_us=6).refused
    assert (
        f"adjudicated by eve, so another label changes nothing; `andon golden adjudicate {f.id}` again"
        in refused.reason
    )
    assert says(ledger, f, "ann", "8611 m", at_us=6).unchanged == (f.id,)


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


def test_a_queue_embeds_no_case_that_is_embedded_already(ledger, failure, case, words, now_us, tmp_path):
    """With the vectors of the cases at hand only the questions that wait are embedded; retired cases and other apps' are no neighbours."""
    for c in (case("a b"), case("c d", retired="2026-01-01", retired_why="x"), case("e f", app="other")):
        ledger.put(c, now_us=now_us, by="ann")
    failures = [failure(q, app="default") for q in ("a b", "c d", "e f")]
    capture(ledger, failures, now_us=now_us)
    plain = queue(ledger, words)
    assert {q.failure.question: q.novelty for q in plain} == pytest.approx({"a b": 0, "c d": 1, "e f": 1})
    vectors = CaseVectors(words, tmp_path)
    vectors.catch_up(ledger)
    asked = []

    class Counting:
        name = words.name

        def embed(self, texts):
            asked.extend(texts)
            return words.embed(texts)

    vectors.embedder = Counting()
    assert queue(ledger, Counting(), vectors=vectors) == plain
    assert asked == ["a b", "c d", "e f"]


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


def test_who_accepts_in_bulk_answers_for_it(ledger, failure, now_us):
    """One command of one person settles no high risk; a second person's is theirs, and nobody's word is given twice."""
    high = failure("a", risk_category="high", suggestion="1", suggested_by="expected_answer")
    low = failure("b", suggestion="2", suggested_by="expected_answer")
    twin = failure("c", suggestion="3", suggested_by="passing twin")
    capture(ledger, [high, low, twin], now_us=now_us)
    assert accept_suggestions(ledger, now_us=1, by="ann").labelled == (high.id, low.id)
    assert [state(ledger, f).state for f in (high, low, twin)] == ["second", "agreed", "waits"]
    assert accept_suggestions(ledger, now_us=2, by="Ann ").labelled == ()
    assert accept_suggestions(ledger, now_us=3, by="bob").labelled == (high.id,)
    assert (state(ledger, high).state, state(ledger, high).authors) == ("agreed", ("ann", "bob"))


@pytest.mark.parametrize("text", ["14\x1b[D days", "14\x00", "14\x9b days", "14 \udcfc", "14\x7f"])
def test_what_nobody_can_see_is_in_no_label(ledger, failure, now_us, text):
    """A control character is refused wherever a label comes in; line ends and tabs are text."""
    f = failure(suggestion=text, suggested_by="expected_answer")
    capture(ledger, [replace(f, suggestion=None)] if "\udcfc" in text else [f], now_us=now_us)
    assert "nobody can see" in says(ledger, f, "ann", text).refused[0].reason
    assert "nobody can see" in says(ledger, f, "ann", note=text).refused[0].reason
    if "\udcfc" not in text:
        assert "nobody can see" in accept_suggestions(ledger, now_us=1, by="ann").refused[0].reason
    assert says(ledger, f, "ann", "14\tdays,\r\nnot more").labelled == (f.id,)
    with pytest.raises(InputError, match="nobody can see"):
        adjudicate(ledger, f.id, now_us=2, by="eve", answer=text)


def test_two_right_answers_in_one_sheet_are_one_too_many(ledger, failure, now_us):
    """The second one is refused by its line, whether the failure is named by id or by question; another author's is not."""
    f = failure("q", risk_category="high")
    capture(ledger, [f], now_us=now_us)
    text = f"id,question,ground_truth,author\n{f.id},,one,\n,q,two,\n{f.id},,one,\n{f.id},,three,bob\n"
    result = label_failures(ledger, parse_labels(text), now_us=now_us, by="ann")
    assert [r.id for r in result.refused] == [f.id]
    assert result.refused[0].reason.startswith("line 3: ann says something else in line 2")
    assert {x.author: x.ground_truth for x in ledger.all(Label)} == {"ann": "one", "bob": "three"}


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
