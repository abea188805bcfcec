"""Laws of a set that people edit in git: what the file says holds, a case is there once, and doubts are told."""

import json
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from andon.errors import StateError
from andon.golden import Case, LabelRow, NearDuplicate
from andon.golden.run import (
    CaseVectors,
    add_cases,
    capture,
    decide,
    doubts,
    history_of,
    import_set,
    label_failures,
    load_set,
    retire,
    withdraw,
)
from andon.golden.run.sets import export
from andon.scores.text import normalise

ROW = {"question": "What is the fee?", "ground_truth": "5 EUR", "contexts": ["a"], "metric": "contains", "app": "bank"}


def write(path: Path, *rows: dict) -> Path:
    """A file of these rows."""
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.fixture
def book(ledger, tmp_path, now_us):
    """A file of one case, which was imported."""
    path = write(tmp_path / "golden.jsonl", ROW)
    (case,) = import_set(ledger, path, now_us=now_us, by="ann").added
    return path, case


@pytest.mark.parametrize(
    ("edit", "field", "value"),
    [
        ({"metric": "exact_match"}, "metric", "exact_match"),
        ({"contexts": ["b"]}, "contexts", ("b",)),
        ({"risk_category": "high"}, "risk_category", "high"),
        ({"expect": {"tolerance": 1}}, "expect", {"tolerance": 1}),
        ({"cut": 0.5, "direction": "up"}, "cut", 0.5),
        ({"cluster": "fees"}, "cluster", "fees"),
    ],
)
def test_an_edit_of_a_case_in_the_file_holds(ledger, book, now_us, edit, field, value):
    """Measure, contexts and risk that a team edits in git are taken in as a new version and named; the file stays to the byte."""
    path, case = book
    write(path, ROW | edit)
    text = path.read_text()
    found = import_set(ledger, path, now_us=now_us + 1, by="bob")
    assert (found.changed, found.known, found.added) == ((case.id,), (), ())
    assert getattr(load_set(ledger)[0], field) == value
    assert history_of(ledger, case.id)[-1].what.startswith("changed: ")
    again = import_set(ledger, path, now_us=now_us + 2, by="bob")
    assert (again.changed, again.known) == ((), (case.id,))
    assert export(ledger, path) == 0
    assert path.read_text() == text


def test_what_a_line_does_not_say_stays(ledger, book, now_us):
    """A line without a metric says nothing of the measure: an old file of plain questions takes no measure away."""
    path, case = book
    write(path, {k: ROW[k] for k in ("question", "ground_truth", "app")})
    assert import_set(ledger, path, now_us=now_us, by="bob").known == (case.id,)
    assert load_set(ledger) == [case]
    write(path, {k: ROW[k] for k in ("question", "ground_truth", "app")} | {"risk_category": "high"})
    assert import_set(ledger, path, now_us=now_us, by="bob").changed == (case.id,)
    (after,) = load_set(ledger)
    assert (after.metric, after.contexts, after.risk_category) == ("contains", ("a",), "high")


def test_file_and_ledger_that_differ_on_a_retirement_are_told(ledger, book, now_us):
    """A file that brings back says why; one that says nothing may be old, so the ledger's word stands and is named."""
    path, case = book
    retire(ledger, case.id, why="gone", now_us=now_us, by="ann")
    (doubt,) = import_set(ledger, path, now_us=now_us, by="bob").doubts
    assert f"andon golden retire {case.id} --back" in doubt.reason
    assert load_set(ledger) == []
    write(path, ROW | {"retired_why": "we need it"})
    assert import_set(ledger, path, now_us=now_us, by="bob").back == (case.id,)
    assert load_set(ledger)[0].retired_why == "we need it"
    write(path, ROW | {"retired": "2026-01-01", "retired_why": "gone"})
    found = import_set(ledger, path, now_us=now_us, by="bob")
    assert (found.retired, len(found.doubts)) == ((), 1)
    assert "brought back here" in found.doubts[0].reason


@pytest.mark.parametrize("change", ["crlf", "spaces", "none"])
def test_a_case_that_is_in_the_file_is_not_written_again(ledger, tmp_path, now_us, change):
    """Lines without an app, imported for one, are known whatever their bytes; what is new ends as the file's lines do."""
    path = write(
        tmp_path / "golden.jsonl", {"question": "q1", "ground_truth": "t1"}, {"question": "q2", "ground_truth": "t2"}
    )
    import_set(ledger, path, now_us=now_us, by="ann", app="bank")
    text = path.read_text()
    text = {"crlf": text.replace("\n", "\r\n"), "spaces": text.replace(": ", " :  "), "none": text}[change]
    path.write_bytes(text.encode())
    assert export(ledger, path) == 0
    assert export(ledger, path, app="bank") == 0
    assert path.read_bytes().decode() == text
    import_set(
        ledger, write(tmp_path / "more.jsonl", {"question": "q3", "ground_truth": "t3"}), now_us=now_us, by="ann"
    )
    assert export(ledger, path) == 1
    after = path.read_bytes().decode()
    assert after.startswith(text)
    assert after.count("\r\n") == (3 if change == "crlf" else 0)
    assert export(ledger, path) == 0


def test_the_same_line_of_two_applications_is_two_cases(ledger, tmp_path, now_us):
    """A file that two applications imported holds the first one's case; the other's is appended once, with its app."""
    path = write(tmp_path / "golden.jsonl", {"question": "q", "ground_truth": "t"})
    for app in ("bank", "shop"):
        import_set(ledger, path, now_us=now_us, by="ann", app=app)
    assert export(ledger, path) == 1
    assert json.loads(path.read_text().splitlines()[1])["app"] == "shop"
    assert export(ledger, path) == 0


def test_an_export_goes_through_a_link_and_keeps_the_mode(ledger, book, failure, now_us, tmp_path):
    """A set that is a link stays one, and its file keeps who may read it."""
    path, case = book
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    path.chmod(0o600)
    retire(ledger, case.id, why="x", now_us=now_us, by="ann")
    assert export(ledger, link) == 1
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "retired" in path.read_text()


def says(ledger, failure, truth, author="ann", at_us=1, note=""):
    """Give one label; without a right answer a dismissal."""
    row = LabelRow(
        line=1, id=failure.id, question=None, ground_truth=truth, verdict="answer" if truth else "dismiss", note=note
    )
    assert label_failures(ledger, [row], now_us=at_us, by=author).refused == ()


def test_a_failure_whose_case_is_retired_is_told(ledger, failure, words, now_us):
    """`add` counts it as known and says when and why its case was retired, and how to bring it back; `decide` refuses."""
    f = failure()
    capture(ledger, [f], now_us=now_us)
    says(ledger, f, "8611 m")
    (case,) = add_cases(ledger, words, now_us=now_us, by="ann").added
    add_cases(ledger, words, now_us=now_us, by="ann")
    assert doubts(ledger) == []
    retire(ledger, case.id, why="it melted", now_us=now_us, by="ann")
    found = add_cases(ledger, words, now_us=now_us, by="ann")
    assert found.known == (f.id,)
    (doubt,) = doubts(ledger)
    assert doubt.id == f.id
    assert "it melted" in doubt.reason
    assert f"andon golden retire {case.id} --back" in doubt.reason
    word = NearDuplicate(id=f.id, case=case.id, cosine=1, embedder="e", choice="refuse", by="bob", at_us=1, why="x")
    ledger.put(word, now_us=1, by="bob")
    with pytest.raises(StateError, match=rf"retired since .*it melted.*retire {case.id} --back"):
        decide(ledger, CaseVectors(words), f.id, "keep", why="x", by="bob", now_us=2)
    assert ledger.get(NearDuplicate, f.id) == word


@pytest.mark.parametrize("how", ["dismissed", "disputed", "taken back"])
def test_a_case_of_which_no_right_answer_holds_any_more_is_told(ledger, failure, words, now_us, how):
    """Where its failure was dismissed, disputed or unlabelled since, `add` names the case and how to take it out, until that is done."""
    f = failure()
    capture(ledger, [f], now_us=now_us)
    says(ledger, f, "8611 m")
    (case,) = add_cases(ledger, words, now_us=now_us, by="ann").added
    if how == "dismissed":
        says(ledger, f, "", at_us=2, note="a joke")
    elif how == "disputed":
        says(ledger, f, "9 m", author="bob", at_us=2)
    else:
        withdraw(ledger, f.id, now_us=2, by="ann")
    add_cases(ledger, words, now_us=now_us, by="ann")
    (doubt,) = doubts(ledger)
    assert doubt.id == case.id
    assert f"andon golden retire {case.id}" in doubt.reason
    retire(ledger, case.id, why="x", now_us=now_us, by="ann")
    add_cases(ledger, words, now_us=now_us, by="ann")
    assert doubts(ledger) == []


def test_a_case_that_another_failure_stands_for_is_in_no_doubt(ledger, failure, words, now_us):
    """Of two failures of one question one is dismissed: the case of the other is right."""
    one, other = failure(), failure(answer="8 km")
    capture(ledger, [one, other], now_us=now_us)
    for f in (one, other):
        says(ledger, f, "8611 m")
    assert len(add_cases(ledger, words, now_us=now_us, by="ann").added) == 1
    says(ledger, one, "", at_us=2, note="a joke")
    add_cases(ledger, words, now_us=now_us, by="ann")
    assert doubts(ledger) == []


def test_a_case_of_an_earlier_right_answer_is_told_until_it_is_retired(ledger, failure, words, now_us):
    """A label that was corrected after `add` leaves two cases of which one fails for ever: each `add` names the old one. Another spelling is no other answer."""
    f = failure()
    capture(ledger, [f], now_us=now_us)
    says(ledger, f, "No!")
    (old,) = add_cases(ledger, words, now_us=now_us, by="ann").added
    says(ledger, f, "no", at_us=2)
    assert doubts(ledger) == []
    says(ledger, f, "Only in a box", at_us=3)
    (new,) = add_cases(ledger, words, now_us=now_us, by="ann").added
    for _ in range(2):
        add_cases(ledger, words, now_us=now_us, by="ann")
        (doubt,) = doubts(ledger)
        assert doubt.id == old.id
        assert f'"Only in a box" is the right answer of {f.id} now' in doubt.reason
        assert f"andon golden retire {old.id}" in doubt.reason
    retire(ledger, old.id, why="x", now_us=now_us, by="ann")
    assert doubts(ledger) == []
    retire(ledger, new.id, why="x", now_us=now_us, by="ann")
    assert [d.id for d in doubts(ledger)] == [f.id]


class Strict:
    """An embedder by which the same words in another spelling have a cosine of 0.3, and other words one of 0."""

    name = "strict-1"

    def embed(self, texts):
        rows = np.zeros((len(texts), 4000), np.float32)
        for i, text in enumerate(texts):
            rows[i, crc32(text.encode()) % 2000] = 0.7**0.5
            rows[i, 2000 + crc32(normalise(text).encode()) % 2000] = 0.3**0.5
        return rows


def test_other_punctuation_is_no_other_question(ledger, failure, now_us):
    """The same question and right answer in another spelling repeat the case whatever the embedder says; other numbers do not."""
    asked = ("How tall is K2?", "how tall is K2", "How tall is K3?")
    failures = [failure(q, answer=str(k)) for k, q in enumerate(asked)]
    capture(ledger, failures, now_us=now_us)
    for f in failures:
        says(ledger, f, "8611 m")
    found = add_cases(ledger, Strict(), now_us=now_us, by="ann")
    assert [c.question for c in found.added] == ["How tall is K2?", "How tall is K3?"]
    assert "the same question in another spelling" in found.refused[0].reason
    other = failure("How tall is K2", answer="x")
    capture(ledger, [other], now_us=now_us)
    says(ledger, other, "28251 ft")
    told = add_cases(ledger, Strict(), now_us=now_us, by="ann")
    assert [c.ground_truth for c in told.added] == ["28251 ft"]
    assert told.conflicts == ((told.added[0].id, found.added[0].id),)


def test_a_label_that_was_taken_back_is_told_as_such(ledger, failure, words, now_us):
    """The history of a case says of a withdrawn label that it was taken back, and not that it was given again."""
    f = failure()
    capture(ledger, [f], now_us=now_us)
    says(ledger, f, "8611 m")
    (case,) = add_cases(ledger, words, now_us=now_us, by="ann").added
    withdraw(ledger, f.id, now_us=now_us + 1, by="ann")
    told = [e.what for e in history_of(ledger, case.id)]
    assert sum(what.startswith("labelled: right is") for what in told) == 1
    assert told[-1] == "took their label back"
    assert isinstance(ledger.get(Case, case.id), Case)
