"""Laws of labels that people type, and of times that they give: nothing is taken by accident, nothing is dropped in silence."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from andon.cli import labelling
from andon.cli.screen import after, before
from andon.errors import InputError
from andon.golden import Failure, Label, LabelRow, Queued, settled
from andon.golden.run import label_failures
from andon.store import Ledger

NOW = 1_790_000_000_000_000
HOUR = 3_600_000_000
HOSTILE = "14 days\x1b]0;owned\x07\nsuggested: 99 days"

Type = Callable[..., tuple[int, str, str]]


def captured(home: Path, *suggestions: str | None) -> None:
    """Failures in the ledger of the home, with these suggestions."""
    book = Ledger.open(home / "home" / "ledger.db")
    for k, suggestion in enumerate(suggestions, 1):
        failure = Failure(
            id=f"F-{k}",
            captured_us=NOW,
            app="shop",
            question=f"how long? {HOSTILE}",
            answer="no idea",
            suggestion=suggestion,
        )
        book.put(failure, now_us=NOW, by="andon")
    book.close()


def labels(home: Path) -> dict[str, str]:
    """The right answers in the ledger, by failure."""
    book = Ledger.open(home / "home" / "ledger.db")
    found = {x.failure: x.ground_truth for x in book.all(Label)}
    book.close()
    return found


def test_enter_takes_nothing(type_: Type, tmp_path: Path) -> None:
    """An empty line skips, with a suggestion or without; a sign takes the suggestion; a text is the label."""
    captured(tmp_path, "14 days", "30 days", None, None)
    code, out, _ = type_("golden", "label", lines="\n=\n\nnever\n")
    assert code == 0
    assert "2 failures labelled" in out
    assert labels(tmp_path) == {"F-2": "30 days", "F-4": "never"}


def test_no_text_of_a_failure_is_obeyed_by_the_terminal(type_: Type, tmp_path: Path) -> None:
    """Suggestion, question and answer are shown on one line each, without escapes: none looks like a line of ours."""
    captured(tmp_path, HOSTILE)
    _, out, err = type_("golden", "label", lines="\n")
    assert not {"\x1b", "\x07"} & set(out + err)
    assert [line for line in out.splitlines() if line.startswith("suggested: ")] == [
        "suggested: 14 days ]0;owned  suggested: 99 days"
    ]
    assert labels(tmp_path) == {}


def test_rows_that_fit_nothing_are_counted(type_: Type, tmp_path: Path) -> None:
    """A file of labels with an unknown id and a blank row says so in its last line, and names what is unknown."""
    captured(tmp_path, None)
    rows = [{"id": "F-9", "ground_truth": "x"}, {"id": "F-1", "ground_truth": " "}]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    code, out, _ = type_("golden", "label", "--file", "labels.jsonl")
    assert code == 0
    assert out.splitlines()[-1] == "0 failures labelled, 0 had this label, 0 refused, 1 unknown, 1 blank"
    assert "F-9" in out


def test_every_label_is_kept_as_soon_as_it_is_given(type_: Type, tmp_path: Path) -> None:
    """Quitting, or an input that ends, loses nothing of what was said before; the next sitting goes on with the rest."""
    captured(tmp_path, None, None, None)
    assert "1 failure labelled by ann, 2 left" in type_("golden", "label", lines="one\nq\n")[1]
    assert labels(tmp_path) == {"F-1": "one"}
    assert "1 of 2" in type_("golden", "label", lines="two")[1]
    assert labels(tmp_path) == {"F-1": "one", "F-2": "two"}


def test_keys_do_what_the_help_says(type_: Type, tmp_path: Path) -> None:
    """Each key: help, a dismissal with its reason, a label that looks like a key, a skip; what is refused is asked again."""
    captured(tmp_path, None, None, None)
    code, out, _ = type_("golden", "label", lines="?\n=\nd\nNo idea.\nd a joke\n\\s\ns\n")
    assert code == 0
    assert "begin with a backslash" in out
    assert "there is no suggestion" in out
    assert "say why: d WHY" in out
    assert "refused: the label" in out
    assert "2 failures labelled by ann, 1 left" in out
    assert labels(tmp_path) == {"F-1": "", "F-2": "s"}


def test_the_last_label_can_be_undone(type_: Type, tmp_path: Path) -> None:
    """Undo takes the label back, shows the failure again and counts it as open; more than was given cannot be undone."""
    captured(tmp_path, None, None)
    _, out, _ = type_("golden", "label", lines="wrong\nu\nu\nright\nq\n")
    assert "taken back: F-1" in out
    assert "there is nothing to undo" in out
    assert out.count("1 of 2  F-1") == 2
    assert "1 failure labelled by ann, 1 left" in out
    assert labels(tmp_path)["F-1"] == "right"


def test_a_long_answer_is_written_in_the_editor(type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The editor begins with the suggestion, and what is saved is the label, on several lines; saving nothing labels nothing."""
    captured(tmp_path, "14 days")
    script = tmp_path / "editor"
    script.write_text("#!/bin/sh\ntest \"$(cat $1)\" = '14 days' && printf 'fourteen days,\\nnot more\\n' > $1\n")
    script.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "true")
    assert "nothing was saved" in type_("golden", "label", lines="e\n")[1]
    assert labels(tmp_path) == {}
    monkeypatch.setenv("EDITOR", str(script))
    type_("golden", "label", lines="e\n")
    assert labels(tmp_path) == {"F-1": "fourteen days,\nnot more"}


def risky(home: Path, n: int = 1) -> None:
    """Failures of high risk, with a context and a twin's answer."""
    book = Ledger.open(home / "home" / "ledger.db")
    for k in range(1, n + 1):
        failure = Failure(
            id=f"F-{k}", captured_us=NOW, app="shop", question=f"how long may I keep loan {k}", answer="no idea",
            contexts=(f"Loans last 14 days. {HOSTILE}",), reason="a user gave a thumbs-down (thumbs = 0)",
            source="thumbs-down", said=f"far too short {HOSTILE}", risk_category="high", suggestion="14 days", suggested_by="passing twin",
        )  # fmt: skip
        book.put(failure, now_us=NOW, by="andon")
    book.close()


def test_a_second_reviewer_is_blind(type_: Type, tmp_path: Path) -> None:
    """The second reviewer of a high risk sees failure and contexts, and nothing of what the first one said."""
    risky(tmp_path)
    out = type_("golden", "label", lines="secret answer\n")[1]
    assert "risk high, two reviewers" in out
    assert "the user said: far too short" in out
    assert "another answer to this question, which passed" in out
    assert "nothing" not in type_("golden", "queue")[1]
    assert "nothing waits for a label of ann" in type_("golden", "label", lines="again\n")[1]
    _, out, err = type_("golden", "label", "--as", "bob", lines="c\nSecret answer.\n")
    assert "[1] Loans last 14 days." in out
    assert "secret answer" not in out
    assert "ann" not in out
    assert not {"\x1b", "\x07"} & set(out + err)
    assert "nothing waits for a label" in type_("golden", "queue")[1]


def test_the_queue_says_why_and_who_is_needed(type_: Type, tmp_path: Path) -> None:
    """Each row has its place, its reason, who has labelled it and who is still needed; a sheet is written on demand."""
    risky(tmp_path, 2)
    type_("golden", "label", lines="14 days\nq\n")
    out = type_("golden", "queue")[1]
    assert "risk high; novelty 1.00; uncertainty 0.50: waits for a second reviewer" in out
    assert "1 reviewer" in out
    assert "2 reviewers" in out
    assert type_("golden", "queue", "--reviewer", "ann")[1].count("F-") == 1
    assert type_("golden", "queue", "--app", "other")[1] == "nothing waits for a label\n"
    assert "2 failures in q.csv" in type_("golden", "queue", "--out", "q.csv", "--reviewer", "bob")[1]
    with (tmp_path / "q.csv").open(newline="") as sheet:
        assert [row["author"] for row in csv.DictReader(sheet)] == ["bob", "bob"]
    code, out, err = type_("golden", "queue", "--out", "q.txt")
    assert (code, out) == (2, "")
    assert ".csv or .jsonl" in err


def test_reviewers_who_differ_are_listed_and_settled_by_somebody_else(type_: Type, tmp_path: Path) -> None:
    """From two sheets to a conflict, the agreement that few labels cannot tell, and the word of a third person."""
    risky(tmp_path)
    type_("golden", "label", lines="14 days\n")
    type_("golden", "label", "--as", "bob", lines="30 days\n")
    assert "an adjudicator" in type_("golden", "queue")[1]
    out = type_("golden", "agreement")[1]
    assert "cannot tell: 1 failures" in out
    assert "30 days" in out
    assert "golden adjudicate" in out
    code, _, err = type_("golden", "adjudicate", "F-1", "--take", "bob")
    assert code == 2
    assert "somebody else" in err
    code, out, _ = type_("golden", "adjudicate", "F-1", "--take", "bob", "--as", "eve")
    assert (code, out) == (0, "F-1 is agreed on 30 days, adjudicated by eve\n")
    assert "no conflict waits" in type_("golden", "agreement")[1]
    assert "agreed" in type_("golden", "failures")[1]


def test_what_is_not_utf8_ends_the_sitting_and_keeps_what_was_before(type_: Type, tmp_path: Path) -> None:
    """Of lines that come through a pipe, one of another encoding is an error by name, and no label."""
    captured(tmp_path, None, None, None)
    code, _, err = type_("golden", "label", lines="14 days\nZ\udcfcrich\nlater\n")
    assert code == 2
    assert "not UTF-8" in err
    assert labels(tmp_path) == {"F-1": "14 days"}


def test_a_filled_in_sheet_is_not_overwritten(type_: Type, tmp_path: Path) -> None:
    """A sheet that is there already stays to the byte; the message says how its labels are read. A new one begins with the mark by which Excel knows UTF-8."""
    risky(tmp_path)
    assert type_("golden", "queue", "--out", "new.csv")[0] == type_("golden", "queue", "--out", "new.jsonl")[0] == 0
    assert (tmp_path / "new.csv").read_bytes().startswith(b"\xef\xbb\xbfid,")
    assert (tmp_path / "new.jsonl").read_bytes().startswith(b"{")
    assert type_("golden", "label", "--file", "new.csv")[0] == 0
    (tmp_path / "s.csv").write_text("id,ground_truth\nF-1,14 days\n")
    code, _, err = type_("golden", "queue", "--out", "s.csv")
    assert code == 2
    assert "golden label --file s.csv" in err
    assert (tmp_path / "s.csv").read_text() == "id,ground_truth\nF-1,14 days\n"


def asked_twice(home: Path) -> None:
    """The same question, asked of two applications with other right answers, one in an incident and by a version."""
    book = Ledger.open(home / "home" / "ledger.db")
    more: dict[str, dict[str, Any]] = {
        "shop": {"incident": "INC-0007", "versions": {"prompt": "p-12", "model": "m-3"}},
        "bank": {},
    }
    for name, fields in more.items():
        f = Failure(
            id=f"F-{name}", captured_us=NOW, app=name, question="how long may I wait", answer="no idea", **fields
        )
        book.put(f, now_us=NOW, by="andon")
    book.close()


def test_reviewers_are_told_which_application_failed(type_: Type, tmp_path: Path) -> None:
    """The screen, the queue, the list and both sheets say the application, and its incident and versions where they are known."""
    asked_twice(tmp_path)
    whence = "shop, INC-0007, model m-3, prompt p-12"
    assert f"asked of: {whence}" in type_("golden", "label", "--app", "shop", lines="\n")[1]
    assert "asked of: bank\n" in type_("golden", "label", "--app", "bank", lines="\n")[1]
    for command in ("queue", "failures"):
        assert whence in type_("golden", command)[1]
    type_("golden", "queue", "--out", "s.csv")
    type_("golden", "queue", "--out", "s.jsonl")
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8-sig") as sheet:
        rows = [*csv.DictReader(sheet), *map(json.loads, (tmp_path / "s.jsonl").read_text().splitlines())]
    told = {(r["id"], r["app"], r["incident"], r["versions"]) for r in rows}
    assert told == {("F-shop", "shop", "INC-0007", "model m-3, prompt p-12"), ("F-bank", "bank", "", "")}
    assert len(rows) == 4


def test_a_file_of_labels_is_for_the_application_that_is_named(type_: Type, tmp_path: Path) -> None:
    """With --app or --incident, a question that two applications were asked is labelled in the chosen one alone."""
    asked_twice(tmp_path)
    (tmp_path / "l.jsonl").write_text('{"question": "how long may I wait", "ground_truth": "a week"}\n')
    out = type_("golden", "label", "--file", "l.jsonl", "--app", "other")[1]
    assert "captured and chosen" in out
    assert "0 failures labelled" in out
    type_("golden", "label", "--file", "l.jsonl", "--app", "bank")
    assert labels(tmp_path) == {"F-bank": "a week"}
    type_("golden", "label", "--file", "l.jsonl", "--incident", "INC-0007")
    assert set(labels(tmp_path)) == {"F-bank", "F-shop"}


def test_one_person_by_any_spelling_settles_no_high_risk(type_: Type, tmp_path: Path) -> None:
    """`Ann`, `ann` and `ann` with spaces are one reviewer, for labels, the queue and an adjudication."""
    risky(tmp_path)
    type_("golden", "label", lines="14 days\n")
    assert "nothing waits for a label of ann" in type_("golden", "label", "--as", " Ann ", lines="14 days\n")[1]
    (tmp_path / "l.csv").write_text("id,ground_truth,author\nF-1,14 days,ANN \n")
    type_("golden", "label", "--file", "l.csv")
    assert "1 reviewer" in type_("golden", "queue")[1]
    assert type_("golden", "queue", "--reviewer", "aNN")[1] == "nothing waits for a label\n"
    type_("golden", "label", "--as", "Bob", lines="30 days\n")
    assert "somebody else" in type_("golden", "adjudicate", "F-1", "--take", "bob", "--as", "BOB")[2]
    assert "agreed on 30 days" in type_("golden", "adjudicate", "F-1", "--take", "BOB", "--as", "eve")[1]
    code, _, err = type_("golden", "label", "--as", "ann\u200b", lines="14 days\n")
    assert code == 2
    assert "nobody sees" in err


def test_accept_says_what_it_refuses(type_: Type, tmp_path: Path) -> None:
    """An owner's answer that cannot be a label is named, with the reason; it is not dropped in silence."""
    book = Ledger.open(tmp_path / "home" / "ledger.db")
    for k, answer in enumerate(("14 days", "14\x1b[2Jdays"), 1):
        f = Failure(
            id=f"F-{k}", captured_us=NOW, app="shop", question=f"q{k}", answer="no idea", suggestion=answer,
            suggested_by="expected_answer",
        )  # fmt: skip
        book.put(f, now_us=NOW, by="andon")
    book.close()
    out = type_("golden", "accept")[1]
    assert 'refused F-2: the label holds "\\x1b"' in out
    assert "1 failure labelled" in out


def test_a_case_of_a_dismissed_failure_is_named(type_: Type, tmp_path: Path) -> None:
    """A case that was added before its failure was dismissed stays tested: the message names it and how it is retired."""
    captured(tmp_path, None)
    type_("golden", "label", lines="14 days\n")
    type_("golden", "add")
    case = re.search(r"G-[0-9a-f]{16}", type_("golden", "list")[1])
    assert case is not None
    for other in ("dismiss,,moot", ",30 days,"):
        (tmp_path / "sheet.csv").write_text(f"id,verdict,ground_truth,note\nF-1,{other}\n")
        out = type_("golden", "label", "--file", str(tmp_path / "sheet.csv"))[1]
        assert f"F-1: case {case[0]} is still tested: `andon golden retire {case[0]}" in out
        (tmp_path / "sheet.csv").write_text("id,verdict,ground_truth,note\nF-1,,14 days,\n")
        assert "still tested" not in type_("golden", "label", "--file", str(tmp_path / "sheet.csv"))[1]
    out = type_("golden", "adjudicate", "F-1", "--dismiss", "moot", "--as", "eve")[1]
    assert out.startswith("F-1 is dismissed, adjudicated by eve: moot\n")
    assert f"andon golden retire {case[0]}" in out
    type_("golden", "retire", case[0], "--why", "moot")
    assert "retire" not in type_("golden", "adjudicate", "F-1", "--dismiss", "moot", "--as", "eve")[1]


def test_two_labellers_at_once_are_not_a_conflict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What somebody else settled while it was on the screen is not labelled again, and the next one is asked."""
    captured(tmp_path, None, None)
    book = Ledger.open(tmp_path / "home" / "ledger.db")
    waiting = [
        Queued(failure=f, settled=settled(f, ()), priority=0, risk=0, novelty=0, uncertainty=0, why="")
        for f in book.all(Failure)
    ]
    row = LabelRow(line=0, id="F-1", question=None, ground_truth="a week")
    label_failures(book, [row], now_us=NOW, by="bob")
    assert labelling.ask(book, waiting, "ann", io.StringIO("14 days\n30 days\n")) == 1
    assert "meanwhile" in capsys.readouterr().out
    assert {x.failure: (x.author, x.ground_truth) for x in book.all(Label)} == {
        "F-1": ("bob", "a week"),
        "F-2": ("ann", "30 days"),
    }
    book.close()


def test_a_suggestion_from_a_case_is_named_as_such(type_: Type, tmp_path: Path) -> None:
    """The origin of every suggestion that Andon makes has words on the screen."""
    book = Ledger.open(tmp_path / "home" / "ledger.db")
    f = Failure(
        id="F-1", captured_us=NOW, app="shop", question="q", answer=None, suggestion="14 days", suggested_by="case"
    )
    book.put(f, now_us=NOW, by="andon")
    book.close()
    assert "which is the right answer of the case that this is a re-framing of" in type_("golden", "label")[1]


def test_capture_tells_what_each_rule_did(type_: Type, tmp_path: Path) -> None:
    """One row for each rule; a thumbs-down that was imported is captured at once, and known the second time."""
    rows = [{"id": "i1", "time": "2026-03-02T00:00:00Z", "app": "shop", "query": "how long", "answer": "for ever"}]
    (tmp_path / "t.jsonl").write_text(json.dumps(rows[0]) + "\n")
    said = {"id": "f1", "interaction_id": "i1", "time": "2026-03-02T00:01:00Z", "kind": "thumb", "value": 0}
    (tmp_path / "f.jsonl").write_text(json.dumps(said) + "\n")
    assert type_("import", "t.jsonl")[0] == 0
    assert type_("import", "--feedback", "f.jsonl")[0] == 0
    lines = type_("golden", "capture", "--since", "2026-03-01T00:00:00Z")[1].splitlines()
    assert lines[0].split() == ["rule", "captured", "known", "left", "out"]
    assert lines[1].split() == ["thumbs-down", "1", "0", "0"]
    assert lines[-1].startswith("1 failure captured")
    lines = type_("golden", "capture", "--since", "2026-03-01T00:00:00Z")[1].splitlines()
    assert lines[1].split() == ["thumbs-down", "0", "1", "0"]
    assert type_("golden", "capture")[1].splitlines()[1].split() == ["thumbs-down", "0", "0", "0"]


@pytest.mark.parametrize(("text", "span"), [("30m", HOUR // 2), ("24h", 24 * HOUR), ("7d", 168 * HOUR), ("0h", 0)])
def test_a_span_counts_from_now(text: str, span: int) -> None:
    """The same words mean the same span before and after now."""
    assert (NOW - before(NOW, text), after(NOW, text) - NOW) == (span, span)


@pytest.mark.parametrize("text", ["\u00b2d", "\u0663d", "-1d", "1.5h", "d", "", "9" * 5000 + "d", "soon", "1w"])
def test_what_is_no_time_is_an_input_error(text: str) -> None:
    """What is neither a span nor a time is refused with what is allowed, never a traceback."""
    for ask in (before, after):
        with pytest.raises(InputError):
            ask(NOW, text)


def test_every_command_reads_times_the_same_way(type_: Type) -> None:
    """A superscript two is no number: exit 2 and one line, in each command that takes a span."""
    type_("lever", "declare", "cite", "--default", "true", "--safe", "false")
    for words in (
        ("lever", "hold", "cite", "--why", "x", "--for", "\u00b2d"),
        ("rollout", "canary", "--lever", "cite", "--treatment", "x", "--for", "\u00b2d"),
        ("truth", "thumbs", "--app", "a", "--proxy", "groundedness", "--since", "\u00b2d"),
    ):
        code, _, err = type_(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert err.startswith("error: ")
