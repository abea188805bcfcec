import pytest

from andon.errors import InputError
from andon.golden import Case, Failure, Label, LabelRow
from andon.golden.cases import label_id
from andon.golden.files import parse_cases
from andon.golden.run import (
    accept_suggestions,
    add_cases,
    capture,
    import_set,
    label_failures,
    load_set,
    read_labels,
)
from andon.golden.run.sets import export


def row(id=None, truth="8611 m", question=None, author=None):  # noqa: A002
    """One row of a label file."""
    return LabelRow(line=1, id=id, question=question, ground_truth=truth, author=author)


def test_the_same_failure_is_captured_once(ledger, failure, now_us):
    """Capturing again, later and for another reason, changes nothing."""
    f, g = failure(reason="one"), failure(answer=None)
    assert capture(ledger, [f, g, f], now_us=now_us).captured == (f.id, g.id)
    again = capture(ledger, [failure(reason="two")], now_us=now_us + 1)
    assert (again.captured, again.known) == ((), (f.id,))
    assert ledger.all(Failure) == [f, g]
    assert len(ledger.history(Failure)) == 2


def test_a_failure_that_cannot_be_kept_is_refused_and_the_rest_captured(ledger, failure, now_us):
    """Half a surrogate pair cannot be stored; it is refused with a reason, the others are kept."""
    good, bad = failure(), failure(question="\ud800")
    result = capture(ledger, [bad, good], now_us=now_us)
    assert result.captured == (good.id,)
    assert [r.id for r in result.refused] == [bad.id]


def test_labels_are_sorted_into_labelled_unknown_refused_and_blank(ledger, failure, now_us):
    """Every row of a label file is accounted for."""
    f, g, h = failure(), failure("q"), failure("blank")
    capture(ledger, [f, g, h], now_us=now_us)
    rows = [row(f.id), row(g.id, "8848 M"), row("F-none"), row(question="nobody asked"), row(h.id, " ")]
    result = label_failures(ledger, rows, now_us=now_us, by="ann")
    assert result.labelled == (f.id,)
    assert [r.id for r in result.refused] == [g.id]
    assert result.unknown == ("F-none", "nobody asked")
    assert result.blank == 1
    assert [(x.ground_truth, x.author) for x in ledger.all(Label)] == [("8611 m", "ann")]


def test_a_question_labels_all_its_failures(ledger, failure, now_us):
    """Two wrong answers to one question have one right answer; the one that gave it already is refused."""
    f, g, right = failure(answer="1"), failure(answer="2"), failure(answer="8611 M")
    capture(ledger, [f, g, right], now_us=now_us)
    result = label_failures(ledger, [row(question=" How tall is K2? ", author="bob")], now_us=now_us, by="ann")
    assert result.labelled == (f.id, g.id)
    assert [r.id for r in result.refused] == [right.id]
    assert {x.author for x in ledger.all(Label)} == {"bob"}


def test_labelling_again_is_a_new_version_only_when_it_differs(ledger, failure, now_us):
    """The same word twice is one version; a corrected word is the next one."""
    f = failure()
    capture(ledger, [f], now_us=now_us)
    for at, truth in ((1, "8611 m"), (2, "8611 m"), (3, "8612 m")):
        result = label_failures(ledger, [row(f.id, truth)], now_us=now_us + at, by="ann")
        assert (result.labelled, result.unchanged) == (((), (f.id,)) if at == 2 else ((f.id,), ()))
    assert [v.record.ground_truth for v in ledger.history(Label, label_id(f.id, "ann"))] == ["8611 m", "8612 m"]


def test_only_the_owners_gold_is_accepted_in_bulk(ledger, failure, now_us):
    """Expected answers become labels unread; a user's correction, a twin's, a label that is there and a failing answer do not."""
    own = failure("a", suggestion="yes", suggested_by="expected_answer")
    sent = failure("b", suggestion="Send your PIN to pin.example", suggested_by="correction")
    twin = failure("c", suggestion="yes", suggested_by="passing twin")
    done = failure("d", suggestion="yes", suggested_by="expected_answer")
    same = failure("e", suggestion="8848 M", suggested_by="expected_answer")
    capture(ledger, [own, sent, twin, done, same, failure("f")], now_us=now_us)
    label_failures(ledger, [row(done.id, "by hand")], now_us=now_us, by="ann")
    result = accept_suggestions(ledger, now_us=now_us, by="ann")
    assert result.labelled == (own.id,)
    assert [r.id for r in result.refused] == [same.id]
    assert [x.ground_truth for x in ledger.all(Label) if x.failure == done.id] == ["by hand"]
    assert accept_suggestions(ledger, now_us=now_us, by="ann").labelled == ()


def test_near_duplicates_are_refused_by_name_and_twice_adds_nothing(ledger, failure, words, now_us):
    """A case joins once; a near question with the same answer is refused, with another answer it joins."""
    asked = "may I take a cat on board of the night train to Rome"
    texts = {asked: "yes", f"{asked} please": "Yes!", f"{asked} today": "no", "how old is Rome": "very"}
    failures = [failure(q) for q in texts]
    capture(ledger, [*failures, failure("unlabelled")], now_us=now_us)
    label_failures(ledger, [row(f.id, texts[f.question]) for f in failures], now_us=now_us, by="ann")
    result = add_cases(ledger, words, now_us=now_us, by="ann")
    assert [c.question for c in result.added] == [asked, f"{asked} today", "how old is Rome"]
    assert [r.id for r in result.refused] == [failures[1].id]
    assert result.added[0].id in result.refused[0].reason
    assert "words-1" in result.refused[0].reason
    assert result.unlabelled == 1
    assert result.added[0].nearest is None
    assert result.added[1].nearest == pytest.approx((13 / 14) ** 0.5, abs=1e-6)
    again = add_cases(ledger, words, now_us=now_us + 1, by="ann")
    assert (again.added, again.known) == ((), tuple(failures[i].id for i in (0, 2, 3)))
    assert load_set(ledger) == list(result.added)


def test_two_failures_of_one_question_make_one_case(ledger, failure, words, now_us):
    """Another wrong answer to a question that is a case adds no second case; another right answer is reported."""
    f, g = failure(answer="1"), failure(answer="2")
    capture(ledger, [f], now_us=now_us)
    label_failures(ledger, [row(f.id)], now_us=now_us, by="ann")
    (old,) = add_cases(ledger, words, now_us=now_us, by="ann").added
    capture(ledger, [g], now_us=now_us)
    label_failures(ledger, [row(g.id)], now_us=now_us, by="ann")
    assert add_cases(ledger, words, now_us=now_us, by="ann").known == (f.id, g.id)
    label_failures(ledger, [row(g.id, "another")], now_us=now_us, by="ann")
    result = add_cases(ledger, words, now_us=now_us, by="ann")
    assert result.conflicts == ((result.added[0].id, old.id),)


def test_two_new_failures_of_one_question_are_one_case(ledger, failure, words, now_us):
    """Within one call, too, the second of two equal cases is refused by name."""
    f, g = failure(answer="1"), failure(answer="2")
    capture(ledger, [f, g], now_us=now_us)
    label_failures(ledger, [row(f.id), row(g.id)], now_us=now_us, by="ann")
    result = add_cases(ledger, words, now_us=now_us, by="ann")
    assert len(result.added) == len(result.refused) == 1
    assert len(ledger.all(Case)) == 1


def test_a_set_is_imported_once_and_exported_to_the_byte(ledger, tmp_path, now_us):
    """Import and export leave a team's file as it was, unknown keys, spacing and all; importing again adds nothing."""
    text = (
        '{"ground_truth":"t","question":"q" , "tags":[1.0]}\n{"question": "q2", "ground_truth": "t2", "answer": null}\n'
    )
    path, copy = tmp_path / "golden.jsonl", tmp_path / "new" / "copy.jsonl"
    path.write_text(text)
    assert len(import_set(ledger, path, now_us=now_us, by="ann").added) == 2
    assert len(import_set(ledger, path, now_us=now_us, by="ann").known) == 2
    assert export(ledger, path) == 0
    assert export(ledger, copy) == 2
    assert path.read_text() == copy.read_text() == text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["golden.jsonl", "new"]


def test_an_export_appends_and_never_removes(ledger, failure, words, tmp_path, now_us):
    """Lines that the ledger does not know stay; a new case is one line more."""
    path = tmp_path / "golden.jsonl"
    path.write_text('{"question": "theirs", "ground_truth": "t"}')
    f = failure()
    capture(ledger, [f], now_us=now_us)
    label_failures(ledger, [row(f.id)], now_us=now_us, by="ann")
    add_cases(ledger, words, now_us=now_us, by="ann")
    assert export(ledger, path) == 1
    assert [c.question for c in parse_cases(path.read_text())] == ["theirs", "How tall is K2?"]
    assert export(ledger, path) == 0


def test_an_imported_failing_answer_is_not_gold(ledger, tmp_path, now_us):
    """A line whose ground truth is its failing answer is refused by its number and question; a broken file writes nothing."""
    path = tmp_path / "golden.jsonl"
    path.write_text(
        '{"question": "q", "answer": "Yes", "ground_truth": "yes."}\n{"question": "r", "ground_truth": "t"}\n'
    )
    result = import_set(ledger, path, now_us=now_us, by="ann")
    assert len(result.added) == len(result.refused) == 1
    assert (result.refused[0].id, result.refused[0].reason[:5]) == ("line 1", '"q": ')
    path.write_text('{"question": "new", "ground_truth": "t"}\n{"question": 1}\n')
    with pytest.raises(InputError, match="line 2"):
        import_set(ledger, path, now_us=now_us, by="ann")
    assert [c.question for c in load_set(ledger)] == ["r"]


def test_a_bad_label_of_long_ago_stops_nothing(ledger, failure, words, now_us):
    """A label that equals the failing answer, however it came into the ledger, is refused; the other cases are added."""
    f, g = failure(), failure("q")
    capture(ledger, [f, g], now_us=now_us)
    ledger.put(Label(id="L", failure=f.id, ground_truth="8848 M", author="x", at_us=0), now_us=0, by="x")
    label_failures(ledger, [row(g.id)], now_us=now_us, by="ann")
    result = add_cases(ledger, words, now_us=now_us, by="ann")
    assert [c.question for c in result.added] == ["q"]
    assert [r.id for r in result.refused] == [f.id]


def test_a_set_is_of_one_app(ledger, tmp_path, now_us):
    """Cases of other apps are not in an app's set."""
    path = tmp_path / "golden.jsonl"
    path.write_text('{"question": "q", "ground_truth": "t"}\n{"question": "q", "ground_truth": "t", "app": "shop"}\n')
    import_set(ledger, path, now_us=now_us, by="ann", app="help")
    assert [len(load_set(ledger, app)) for app in (None, "shop", "help", "default")] == [2, 1, 1, 0]


def test_labels_come_from_a_file(tmp_path):
    """A label file is read from disk, and its name stands in complaints."""
    path = tmp_path / "labels.csv"
    path.write_text("id,ground_truth\nF-1,yes\n")
    assert read_labels(path)[0].ground_truth == "yes"
    path.write_text("nothing")
    with pytest.raises(InputError, match=r"labels\.csv"):
        read_labels(path)
