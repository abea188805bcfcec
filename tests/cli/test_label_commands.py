"""Laws of labels that people type, and of times that they give: nothing is taken by accident, nothing is dropped in silence."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from andon.cli.screen import after, before
from andon.errors import InputError
from andon.golden import Failure, Label
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
    arms = ("--app", "a", "--metric", "error", "--control", "x", "--treatment", "y")
    for words in (
        ("lever", "hold", "cite", "--why", "x", "--for", "\u00b2d"),
        ("rollout", "compare", *arms, "--since", "\u00b2d"),
        ("truth", "thumbs", "--app", "a", "--proxy", "groundedness", "--since", "\u00b2d"),
    ):
        code, _, err = type_(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert err.startswith("error: ")
