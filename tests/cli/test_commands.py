"""The command line on a real store: what people type, what they see, and the exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from andon.cli import main

START_US = 1_772_409_600_000_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh home with the hashed embedder, and its folder as the working directory."""
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANDON_EMBEDDER", "hashed")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("USER", "ann")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def andon(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """Type a command; returns the exit code and what was printed."""
    monkeypatch.setattr(sys, "argv", ["andon", *words])
    try:
        main()
        code = 0
    except SystemExit as done:
        code = int(done.code or 0)
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture
def type_(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A function that types one command in the fresh home."""
    return lambda *words: andon(capsys, monkeypatch, *words)


def shift(path: Path) -> Path:
    """Three hours of traffic; in the last the model behind the name moves and half the answers are refusals."""
    rows = []
    for n in range(1800):
        moved = n >= 1200
        rows.append(
            {
                "id": f"i{n:04d}",
                "time": START_US + n * 6_000_000,
                "app": "shop",
                "query": f"question {n % 30}",
                "answer": "I'm sorry, I cannot help with that." if moved and n % 2 else f"answer {n % 30}",
                "requested_model": "m",
                "model": "m-2" if moved else "m-1",
                "risk_category": "standard",
            }
        )
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_import_names_bad_lines_and_keeps_the_rest(type_, home: Path) -> None:
    """A bad line is named with its number and reason, the others are in, and importing again adds none."""
    good = {"id": "a", "time": "2026-03-02T00:00:00Z", "query": "q ann@example.com", "answer": "a"}
    (home / "t.jsonl").write_text(json.dumps(good) + "\nnot json\n" + json.dumps({**good, "id": "b"}) + "\n")
    code, out, _ = type_("import", "t.jsonl")
    assert code == 0
    assert "t.jsonl:2" in out
    assert "2 of 3 rows are in" in out
    type_("import", "t.jsonl")
    assert "2 interactions" in type_("status")[1]
    assert "email in interactions.query" in type_("intake")[1]


def test_a_replay_ends_in_an_incident_a_postmortem_and_a_gate(type_, home: Path) -> None:
    """From a file of traffic to the verdict of the gate, by commands alone."""
    shift(home / "t.jsonl")
    code, out, err = type_("replay", "t.jsonl", "--home", str(home / "home"), "--out", "pm", "--window", "60")
    assert code == 0, err
    assert "the model behind m moved from m-1 to m-2" in out
    assert (home / "pm" / "INC-0001.md").exists()
    assert "<svg" in (home / "pm" / "INC-0001.html").read_text()
    assert "INC-0001" in type_("incident", "list")[1]
    assert "refuse" in type_("incident", "show", "INC-0001")[1]
    assert type_("evidence", "verify", "INC-0001")[0] == 0
    assert "waits" in type_("golden", "failures")[1] or "passing twin" in type_("golden", "failures")[1]
    labels = [{"question": f"question {k}", "ground_truth": f"answer {k}"} for k in range(30)]
    (home / "labels.jsonl").write_text("".join(json.dumps(r) + "\n" for r in labels))
    assert "failures labelled" in type_("golden", "label", "--file", "labels.jsonl")[1]
    assert "cases added" in type_("golden", "add")[1]
    assert type_("golden", "export", "golden.jsonl")[0] == 0
    first = json.loads((home / "golden.jsonl").read_text().splitlines()[0])
    common = ["question", "answer", "contexts", "ground_truth", "source", "failure_reason", "added_date"]
    assert list(first)[:7] == common
    _write_answers(home / "good.jsonl", "answer {}")
    _write_answers(home / "bad.jsonl", "I'm sorry, I cannot help with that.")
    assert type_("eval", "run", "--target", "recorded:good.jsonl", "--out", "good.json")[0] == 0
    assert type_("gate", "--target", "recorded:good.jsonl", "--baseline", "good.json")[0] == 0
    code, out, _ = type_("gate", "--target", "recorded:bad.jsonl", "--baseline", "good.json")
    assert code == 1
    assert "fail" in out.casefold().splitlines()[0]


def _write_answers(path: Path, answer: str) -> None:
    rows = [{"question": f"question {k}", "answer": answer.format(k)} for k in range(30)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))


def test_an_empty_golden_set_could_not_run(type_) -> None:
    """A gate over nothing is exit 4, never a pass."""
    assert type_("gate", "--target", "recorded:/dev/null")[0] == 4


def test_levers_by_hand(type_) -> None:
    """Declare, hold, list and release say what they did; a hold without a lever is refused with the known ones."""
    assert (
        'get_boolean_value("cite", True)'
        in type_("lever", "declare", "cite", "--default", "true", "--safe", "false")[1]
    )
    assert "held at false" in type_("lever", "hold", "cite", "--why", "test", "--for", "30m")[1]
    assert "held at false by ann" in type_("lever", "list")[1]
    assert "released" in type_("lever", "release", "cite", "--why", "done")[1]
    code, _, err = type_("lever", "hold", "other", "--why", "x", "--for", "30m")
    assert code == 2
    assert "cite" in err
    assert "lever" in type_("change", "list")[1]


def test_a_change_by_hand_names_what_is_allowed(type_) -> None:
    """A recorded change is listed; an unknown kind is refused with the kinds there are."""
    assert type_("change", "record", "--kind", "prompt", "--title", "new footer")[0] == 0
    assert "new footer" in type_("change", "list")[1]
    code, _, err = type_("change", "record", "--kind", "vibes", "--title", "x")
    assert code == 2
    assert "traffic source" in err


@pytest.mark.parametrize(
    "words",
    [
        ("incident", "show", "INC-9"),
        ("postmortem", "write", "INC-9"),
        ("investigate", "INC-9"),
        ("evidence", "verify", "INC-9"),
    ],
)
def test_an_unknown_incident_is_one_line_and_exit_2(type_, words: tuple[str, ...]) -> None:
    """What does not exist is said in one line without a traceback."""
    code, out, err = type_(*words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "INC-9" in err


def test_hostile_text_cannot_move_the_cursor(type_, home: Path) -> None:
    """Escape sequences of traffic and titles never reach the terminal."""
    type_("change", "record", "--kind", "prompt", "--title", "x\x1b[2J\x1b]0;owned\x07y")
    assert "\x1b" not in type_("change", "list")[1]


def test_a_misspelt_setting_is_refused(home: Path) -> None:
    """A setting that does not exist stops the start and names those that do."""
    command = [sys.executable, "-c", "from andon.cli import main; main()", "status"]
    environment = {"PATH": "/usr/bin:/bin", "ANDON_HOME": str(home), "ANDON_WINDOWS": "60"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "ANDON_WINDOW_S" in done.stderr
    assert "Traceback" not in done.stderr
