"""Laws of the commands about runs and of the gate: exit codes, files for CI, and nothing that is asked twice or decided by chance."""

import io
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
import yaml
from rich.console import Console

from andon.evals import EvalRun
from andon.evals.run import load_run
from andon.golden.files import read_set
from andon.store import Ledger

Type = Callable[..., tuple[int, str, str]]

HOSTILE = "no \x1b]0;owned\x07 <script>alert(1)</script> `x` @team"

MODEL = """
__version__ = "1"
RIGHT = {f"question {k}?": str(k) for k in range(40)}
SEEN = []

def good(question):
    SEEN.append(question)
    return RIGHT[question]

def bad(question):  # loses the high-risk ones
    return {**RIGHT, "question 0?": HOSTILE, "question 1?": HOSTILE}[question]

def slightly(question):  # loses two of no risk
    return {**RIGHT, "question 20?": HOSTILE, "question 21?": HOSTILE}[question]

def down(question):
    raise RuntimeError("down " + HOSTILE)

def shaky(question):  # three of 40 cannot be asked
    return RIGHT[question] if question not in ("question 7?", "question 8?", "question 9?") else 1 / 0

def dear(question):
    return {"answer": RIGHT[question], "cost_usd": 0.5}

def dear_and_bad(question):
    return {"answer": bad(question) if question in ("question 0?", "question 1?") else good(question), "cost_usd": 0.5}

def flaky(question):
    SEEN.append(question)
    return RIGHT[question] if SEEN.count(question) % 2 else "no"
"""


@pytest.fixture
def gate(type_: Type, tmp_path: Path) -> Iterator[Type]:
    """Type `andon` words beside a golden set of 40 cases, two of high risk, and a module with models."""
    rows = [
        {"question": f"question {k}?", "answer": "wrong", "contexts": [], "ground_truth": str(k), "source": "s",
         "failure_reason": "r", "added_date": "2026-11-20", **({"risk_category": "high"} if k < 2 else {})}
        for k in range(40)
    ]  # fmt: skip
    (tmp_path / "golden.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "models_of_test.py").write_text(f"HOSTILE = {HOSTILE!r}\n" + MODEL)
    path = list(sys.path)
    yield type_
    sys.path[:] = path
    sys.modules.pop("models_of_test", None)


def model(name: str) -> tuple[str, str]:
    """The option that names a model of the module."""
    return "--target", f"python:models_of_test:{name}"


GOLDEN = ("--golden", "golden.jsonl")


def kept(home: Path) -> list[EvalRun]:
    """The runs in the ledger."""
    book = Ledger.open(home / "home" / "ledger.db")
    found = book.all(EvalRun)
    book.close()
    return found


def test_each_word_has_its_exit_code(gate: Type) -> None:
    """Pass is 0, fail 1, undecided 3, could not run 4, a wrong call 2; the first sentence is the word."""
    assert gate("eval", "run", *model("good"), *GOLDEN, "--out", "good.json")[0] == 0
    for name, code, word in (
        ("good", 0, "Pass"),
        ("bad", 1, "Fail"),
        ("slightly", 3, "Undecided"),
        ("down", 4, "Could not run"),
    ):
        found, out, err = gate(
            "gate", *model(name), *GOLDEN, "--baseline", "good.json", "--baseline-target", model("good")[1]
        )
        assert (name, found, out.split(":")[0]) == (name, code, f"**{word}**"), err
        assert not {"\x1b", "\x07"} & set(out + err)
    for words in (("gate",), ("gate", *model("nothing")), ("gate", *model("good"), *GOLDEN, "--baseline", "none.json")):
        assert gate(*words)[0] == 2
    for old in ("--resume", "--cache"):  # a verdict is on what the candidate says now, never on kept answers
        assert gate("gate", *model("good"), *GOLDEN, "--baseline", "good.json", old)[0] == 2


def test_the_gate_writes_over_nothing_that_it_reads(gate: Type, tmp_path: Path) -> None:
    """The baseline (named, or by the rules), the golden set and the rules are never a place for reports: a wrong call, and nobody is asked."""
    gate("eval", "run", *model("good"), *GOLDEN, "--out", "good.json")
    (tmp_path / "andon-gate.toml").write_text('baseline = "good.json"\n')
    (tmp_path / "link.json").symlink_to("good.json")
    inputs = ("good.json", "golden.jsonl", "andon-gate.toml")
    before = [(tmp_path / name).read_bytes() for name in inputs]
    asked = len(sys.modules["models_of_test"].SEEN)
    for words in (
        ("--out", "good.json"),
        ("--baseline", "./good.json", "--out", str(tmp_path / "good.json")),
        ("--baseline", "link.json", "--out", "good.json"),
        ("--markdown", "golden.jsonl"),
        ("--junit", "andon-gate.toml"),
    ):
        code, _, err = gate("gate", *model("good"), *GOLDEN, *words)
        assert (code, "would be written over" in err) == (2, True)
    assert len(sys.modules["models_of_test"].SEEN) == asked
    assert [(tmp_path / name).read_bytes() for name in inputs] == before


def test_no_file_of_a_command_is_lost(gate: Type, tmp_path: Path) -> None:
    """Neither `gate` nor `eval run` writes over the golden set, a target file or recorded answers, of the candidate or of the baseline, nor two things into one file; a device takes both."""
    answers = [{"question": f"question {k}?", "answer": str(k)} for k in range(40)]
    (tmp_path / "rec.jsonl").write_text("".join(json.dumps(a) + "\n" for a in answers))
    (tmp_path / "bot.toml").write_text('url = "http://127.0.0.1:9/"\n')
    gate("eval", "run", *model("good"), *GOLDEN, "--out", "good.json")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    recorded, file = ("--target", "recorded:rec.jsonl"), ("--target", "bot.toml")
    old = ("--baseline", "good.json")
    for words in (
        ("eval", "run", *recorded, *GOLDEN, "--out", "golden.jsonl"),
        ("eval", "run", *recorded, *GOLDEN, "--out", str(tmp_path / "rec.jsonl")),
        ("eval", "run", *file, *GOLDEN, "--out", "bot.toml"),
        ("eval", "run", "--target", "file:./bot.toml", *GOLDEN, "--out", "bot.toml"),
        ("gate", *recorded, *GOLDEN, *old, "--out", "rec.jsonl"),
        ("gate", *model("good"), *GOLDEN, *old, "--baseline-target", "recorded:rec.jsonl", "--junit", "rec.jsonl"),
        ("gate", *recorded, *GOLDEN, *old, "--out", "o.x", "--markdown", "./o.x"),
    ):
        code, _, err = gate(*words)
        assert (words, code, "would be written over" in err) == (words, 2, True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    both = ("--out", os.devnull, "--markdown", os.devnull)
    assert gate("gate", *recorded, *GOLDEN, *old, *both)[0] == 0


def test_a_comparison_knows_what_was_retired(gate: Type, tmp_path: Path) -> None:
    """Two runs get the word that the gate gave them: a case of high risk that the file of the set retires is not missed."""
    gate("eval", "run", *model("good"), *GOLDEN, "--out", "good.json")
    lines = (tmp_path / "golden.jsonl").read_text().splitlines()
    gone = json.loads(lines[0]) | {"retired": "2026-11-21", "retired_why": "no longer asked"}
    (tmp_path / "golden.jsonl").write_text("\n".join([json.dumps(gone), *lines[1:]]) + "\n")
    assert gate("gate", *model("good"), *GOLDEN, "--baseline", "good.json", "--out", "new.json")[0] == 0
    assert "**Pass**" in gate("eval", "compare", "good.json", "new.json", *GOLDEN)[1]


def test_an_unknown_application_is_named(gate: Type) -> None:
    """A misspelt --app is a wrong call that names it and those there are, with a file and with the store; never "the set is empty"."""
    gate("golden", "import", "golden.jsonl", "--app", "shop")
    for words in (("gate", *model("good")), ("eval", "run", *model("good"))):
        code, _, err = gate(*words, "--app", "typo")
        assert (code, "'typo'" in err, "shop" in err) == (2, True, True), err


PROGRAM = (sys.executable, "-c", "from andon.cli import main; main()")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_no_verdict_ends_with_its_code_unless_it_was_said(gate: Type, tmp_path: Path) -> None:
    """A full disk or a closed pipe at the output of a gate that would pass ends with 4, in one line at most: 1 is "fail" and nothing else."""
    words = ("gate", *model("good"), *GOLDEN, "--bar", "0.5")
    environment = {**os.environ, "ANDON_HOME": "home", "ANDON_EMBEDDER": "hashed"}

    def ends(out: int) -> tuple[int, str]:
        done = subprocess.run(
            [*PROGRAM, *words],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        return done.returncode, done.stderr

    assert ends(subprocess.DEVNULL)[0] == 0
    with Path("/dev/full").open("w") as full:
        code, err = ends(full.fileno())
    assert (code, "No space left" in err, "Traceback" in err, "ignored" in err) == (4, True, False, False)
    read, write = os.pipe()
    os.close(read)
    code, err = ends(write)
    os.close(write)
    assert (code, "Traceback" in err) == (4, False)


def test_what_nobody_expected_is_no_verdict(gate: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that no stage knows is one line and 4, with the place for a report; of a hostile text the terminal sees nothing."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError(HOSTILE)

    monkeypatch.setattr("andon.cli.gates.summarise", broken)
    code, _, err = gate("gate", *model("good"), *GOLDEN, "--bar", "0.5")
    last = err.splitlines()[-1]
    assert (code, last.startswith("error: KeyError: "), "(unexpected, in test_eval_commands.py, line" in last) == (
        4,
        True,
        True,
    )
    assert not {"\x1b", "\x07"} & set(err)


def test_a_lost_high_risk_case_is_asked_again(gate: Type) -> None:
    """Of both versions, where both can be asked; without a way to ask the old one the gate is undecided and says what to do.

    The new attempts are kept, so that comparing the two runs later gives the same verdict.
    """
    gate("eval", "run", *model("good"), *GOLDEN, "--out", "good.json")
    code, out, _ = gate("gate", *model("bad"), *GOLDEN, "--baseline", "good.json")
    assert code == 3
    assert "2 of 40 cases passed before and fail now, 2 of them of high risk" in out
    assert "not asked again: it is not known how the version in place is asked (`--baseline-target`)" in out
    code, out, _ = gate(
        "gate",
        *model("bad"),
        *GOLDEN,
        "--baseline",
        "good.json",
        "--baseline-target",
        model("good")[1],
        "--out",
        "bad.json",
    )
    assert (code, "asked again, G-" in out) == (1, True)
    compared = gate("eval", "compare", "good.json", "bad.json", *GOLDEN)[1]
    assert "asked again, G-" in compared
    assert "**Fail**" in compared


def test_the_baseline_that_was_set_is_taken(gate: Type) -> None:
    """`eval run --baseline` sets it; `gate` compares with it, and asks its target again, without being told."""
    gate("golden", "import", "golden.jsonl")
    assert "compared with run" in gate("eval", "run", *model("good"), "--baseline")[1]
    assert gate("gate", *model("bad"))[0] == 1
    assert gate("gate", *model("good"), "--baseline", "auto")[0] == 0
    assert "python:models_of_test:good" in gate("eval", "baseline")[1]
    assert gate("gate", *model("good"), "--bar", "0.5")[1].count("baseline `") == 0  # a bar needs none


def test_auto_without_a_baseline_is_a_wrong_call(gate: Type) -> None:
    """Asked for a baseline that nobody set, the gate says so and how to set one."""
    code, _, err = gate("gate", *model("good"), *GOLDEN, "--baseline", "auto")
    assert code == 2
    assert "andon eval baseline" in err


def test_reports_for_ci_are_written(gate: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JUnit parses, SARIF stands at the line of the lost case, Markdown is also the summary of the job; the run is saved."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    gate("eval", "run", *model("good"), *GOLDEN, "--out", "good.json")
    words = ("--junit", "out/j.xml", "--sarif", "out/s.json", "--markdown", "out/m.md", "--out", "out/run.json")
    gate("gate", *model("slightly"), *GOLDEN, "--baseline", "good.json", *words)
    suite = Xml.parse(tmp_path / "out" / "j.xml").find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("41", "3", "0")
    (log,) = json.loads((tmp_path / "out" / "s.json").read_text())["runs"]
    places = [r["locations"][0]["physicalLocation"] for r in log["results"]]
    assert [(p["artifactLocation"]["uri"], p["region"]["startLine"]) for p in places] == [
        ("golden.jsonl", 21),
        ("golden.jsonl", 22),
    ]
    page = (tmp_path / "out" / "m.md").read_text()
    assert page.startswith("**Undecided**: 2 of 40 cases passed before and fail now")
    assert (tmp_path / "summary.md").read_text() == page
    assert load_run(tmp_path / "out" / "run.json").id == max(kept(tmp_path), key=lambda r: r.at_us).id


def test_what_cannot_be_written_is_no_pass(gate: Type, tmp_path: Path) -> None:
    """A report that the disk refuses ends with 4 and one line: CI never reads an old report as a new one in silence."""
    (tmp_path / "file").write_text("")
    code, _, err = gate("gate", *model("good"), *GOLDEN, "--bar", "0.5", "--junit", "file/j.xml")
    assert (code, err.splitlines()[-1][:20]) == (4, "error: cannot write ")


def test_rules_are_read_and_their_power_is_said(gate: Type, tmp_path: Path) -> None:
    """`--init` writes rules that are read back, and says the 46 %; a bar says what it can show; a broken file is a wrong call."""
    code, out, _ = gate("gate", "--init")
    assert (code, "fewer than the bar pass in 46% of runs" in out) == (0, True)
    assert gate("gate", "--init")[0] == 2
    gate("eval", "run", *model("good"), *GOLDEN, "--out", "good.json")
    assert gate("gate", *model("good"), *GOLDEN, "--baseline", "good.json")[0] == 0
    (tmp_path / "bar.toml").write_text('[[rule]]\ncategory = "*"\nbar = 0.95\n')
    code, out, _ = gate("gate", *model("good"), *GOLDEN, "--rules", "bar.toml")
    assert code == 3
    assert "*: 38 cases and a plain bar of 0.95" in out or "*: 40 cases and a plain bar of 0.95" in out
    (tmp_path / "andon-gate.toml").write_text("[[rule]]\n")
    code, _, err = gate("gate", *model("good"), *GOLDEN)
    assert (code, "andon-gate.toml: rule 1" in err) == (2, True)


def test_the_baseline_of_the_rules_lies_beside_them(gate: Type, tmp_path: Path) -> None:
    """A baseline that the rules name is a path beside the rules file, wherever the command is typed."""
    (tmp_path / "ci").mkdir()
    gate("eval", "run", *model("good"), *GOLDEN, "--out", "ci/good.json")
    (tmp_path / "ci" / "rules.toml").write_text('baseline = "good.json"\n')
    code, out, _ = gate("gate", *model("good"), *GOLDEN, "--rules", "ci/rules.toml")
    assert (code, "baseline `python:models_of_test:good`" in out) == (0, True)


def test_a_budget_stops_the_asking(gate: Type, tmp_path: Path) -> None:
    """Once the money is spent nothing more is asked: the rest could not run, and the gate says so with 4."""
    code, out, _ = gate("gate", *model("dear"), *GOLDEN, "--bar", "0.5", "--budget-usd", "2", "--workers", "1")
    assert code == 4
    (run,) = kept(tmp_path)
    assert sum(r.outcome == "pass" for r in run.results) == 4
    assert "the budget of $2 is spent" in out


def test_the_budget_is_that_of_the_whole_command(gate: Type) -> None:
    """What the run has spent is not there for asking again: then lost cases stay undecided, and the gate says why."""
    gate("eval", "run", *model("good"), *GOLDEN, "--out", "good.json")
    words = ("--baseline", "good.json", "--baseline-target", model("dear")[1], "--workers", "1", "--budget-usd")
    code, out, _ = gate("gate", *model("dear_and_bad"), *GOLDEN, *words, "20")
    assert (code, "not asked again: the budget is spent" in out) == (3, True)
    assert gate("gate", *model("dear_and_bad"), *GOLDEN, *words, "200")[0] == 1


def test_nothing_is_paid_for_that_would_be_refused(gate: Type) -> None:
    """With nothing to go on with, a spec that cannot be kept, or none at all, nobody is asked."""
    for words, word in (
        (("run", *model("good"), *GOLDEN, "--resume"), "run without --resume"),
        (("run", "--target", "http://u:s3cret@127.0.0.1:9/", *GOLDEN, "--baseline"), "write a target file"),
        (("baseline", "--set", "none.json"), "no kept run"),
    ):
        code, _, err = gate("eval", *words)
        assert (code, word in err) == (2, True), err
    assert "models_of_test" not in sys.modules or sys.modules["models_of_test"].SEEN == []
    gate("eval", "run", *model("good"), *GOLDEN, "--out", "good.json")
    code, _, err = gate("eval", "baseline", "--set", "good.json")
    assert (code, "give --target" in err) == (2, True)


def test_a_run_that_could_not_run_is_no_success_and_no_baseline(gate: Type, tmp_path: Path) -> None:
    """`eval run` ends with 4 where the gate would, and such a run never takes the place of a baseline, nor does one that is named."""
    gate("golden", "import", "golden.jsonl")
    good = kept(tmp_path) if gate("eval", "run", *model("good"), "--baseline")[0] == 0 else []
    for words in (
        ("run", *model("down"), "--baseline"),
        ("run", *model("shaky"), "--baseline"),
        ("baseline", *model("shaky")),
    ):
        code, out, _ = gate("eval", *words)
        assert (words, code, "Could not run" in out, "no baseline" in out) == (words, 4, True, True)
    shaky = max(kept(tmp_path), key=lambda r: r.at_us)
    code, _, err = gate("eval", "baseline", "--set", shaky.id, *model("shaky"))
    assert (code, "3 of 40 cases could not run" in err) == (2, True)
    assert good[0].id in gate("eval", "baseline")[1]


def test_a_spent_budget_is_raised_and_not_begun_again(gate: Type, tmp_path: Path) -> None:
    """After a spent budget a run says how it goes on, and goes on so: only what has no answer yet is asked."""
    words = ("eval", "run", *model("dear"), *GOLDEN, "--workers", "1", "--budget-usd")
    code, out, _ = gate(*words, "2")
    assert (code, "`--resume` and a larger `--budget-usd`" in out, "run again" in out) == (4, True, False)
    code, out, err = gate(*words, "100", "--resume")
    assert (code, "goes on with 4 kept answers" in err, "--resume" in out) == (0, True, False)


def test_a_run_says_what_it_goes_on_with(gate: Type, tmp_path: Path) -> None:
    """How many answers are taken and from when stands on stderr, before anything is asked."""
    (tmp_path / "models_of_test.py").write_text(
        MODEL.replace("HOSTILE", "''").replace(
            "def good(question):",
            """
def good(question):
    if question == "question 39?" and len(SEEN) < 60:
        SEEN.append(question)
        raise RuntimeError
""",
        )
    )
    gate("eval", "run", *model("good"), *GOLDEN)
    _, _, err = gate("eval", "run", *model("good"), *GOLDEN, "--resume")
    assert re.search(r"goes on with 39 kept answers, the oldest of a run of 20\d\d-\S+ UTC", err), err


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[str]]]:
    """An endpoint that knows every right answer: its address, and what it was asked."""
    asked: list[str] = []

    class Bot(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["question"]
            asked.append(question)
            body = json.dumps({"answer": question.removeprefix("question ").removesuffix("?")}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Bot) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", asked
        server.shutdown()


def test_the_cache_asks_nothing_twice(gate: Type, tmp_path: Path, endpoint: tuple[str, list[str]]) -> None:
    """With the cache a second run asks nobody; without it everybody again; both at once with --resume is a wrong call."""
    url, asked = endpoint
    (tmp_path / "bot.toml").write_text(
        f'url = "{url}"\nversion = "1"\nbody = {{question = "{{question}}"}}\nanswer = "answer"\n'
    )
    run = ("eval", "run", "--target", "bot.toml", *GOLDEN)
    gate(*run)
    for words, n in ((("--cache",), 40), ((), 80)):
        assert gate(*run, *words)[0] == 0
        assert len(asked) == n
    assert gate(*run, "--cache", "--resume")[0] == 2


def test_code_has_no_cache(gate: Type) -> None:
    """What a Python target imports or reads may have changed while its version stayed: --cache is refused, and nobody is asked."""
    gate("eval", "run", *model("good"), *GOLDEN)
    code, _, err = gate("eval", "run", *model("good"), *GOLDEN, "--cache")
    assert (code, "code on this machine" in err, len(sys.modules["models_of_test"].SEEN)) == (2, True, 40)


def test_runs_are_listed_shown_and_compared(gate: Type, tmp_path: Path) -> None:
    """A kept run is found by its id, the beginning of it or a file; a comparison asks nobody, and is told both ways."""
    for name in ("good", "slightly"):
        gate("eval", "run", *model(name), *GOLDEN, "--out", f"{name}.json")
    first, second = (r.id for r in sorted(kept(tmp_path), key=lambda r: r.at_us))
    listed = gate("eval", "list")[1]
    assert listed.index(second) < listed.index(first)
    assert "38 of" in gate("eval", "show", second[:10])[1]
    code, out, err = gate("eval", "compare", "good.json", second)
    assert (code, err) == (0, "")
    assert "**Undecided**: 2 of 40 cases passed before and fail now" in out
    assert f"The other way round, {first} compared with {second}: pass" in out
    assert out.count("| rule | cases | before | now |") == 2
    assert gate("eval", "show", "E-nothing")[0] == 2
    assert gate("eval", "show", "E-")[0] == 2


def test_flaky_cases_are_told_and_quarantined(gate: Type, tmp_path: Path) -> None:
    """Repeats give pass@k and pass^k; a flaky case may be put aside without a reason, another only with one; then it decides nothing."""
    gate("golden", "import", "golden.jsonl")
    code, out, _ = gate("eval", "run", *model("flaky"), "--repeats", "2", "--workers", "1")
    assert code == 0
    assert re.search(r"^2 +100\.0% +0\.0% +40", out, re.MULTILINE)
    assert "40 are flaky" in out
    assert "40 are flaky" in gate("eval", "flaky")[1]
    lost = [c.id for c in read_set(tmp_path / "golden.jsonl")][:2]
    for case in lost:
        code, out, _ = gate("eval", "quarantine", case, "--until", "3d")
        assert (code, "1 of 2 attempts passed" in out) == (0, True)
    assert lost[0] in gate("eval", "quarantine")[1]
    gate("eval", "run", *model("good"), "--baseline")
    code, out, _ = gate("gate", *model("bad"))
    assert (code, "2 cases in quarantine did not decide" in out) == (0, True)
    assert "decides again" in gate("eval", "quarantine", lost[0], "--until", "0h")[1]
    assert gate("eval", "quarantine", "G-none", "--why", "x")[0] == 2
    assert gate("eval", "quarantine", lost[0], "--until", "60d", "--why", "x")[0] == 2


def test_a_plan_says_how_often_a_bar_cries_wolf(gate: Type) -> None:
    """Fifty cases and a bar of 95 % at a true 95 %: in 46 % of runs fewer pass."""
    code, out, _ = gate("eval", "plan", "--n", "50", "--bar", "0.95")
    assert (code, "in 46% of runs" in out) == (0, True)
    assert gate("eval", "plan", "--n", "50", "--bar", "2")[0] == 2
    assert "40 cases" in gate("eval", "plan", *GOLDEN)[1]


def test_a_judge_is_held_against_people(gate: Type, tmp_path: Path) -> None:
    """Rows of JSON or CSV say how far a judge agrees; numbers of CSV are numbers; a broken row is named."""
    rows = [("pass", "0.9")] * 30 + [("fail", "0.8")] * 4 + [("fail", "0.1")] * 6
    (tmp_path / "j.csv").write_text("human,judge,group\n" + "".join(f"{h},{j},a\n" for h, j in rows))
    (tmp_path / "j.jsonl").write_text(
        "".join(json.dumps({"human": h, "judge": float(j), "group": "a"}) + "\n" for h, j in rows)
    )
    said = [gate("eval", "judge-agreement", name) for name in ("j.csv", "j.jsonl")]
    assert said[0] == said[1]
    assert "it passes 4 of 10 wrong answers" in said[0][1]
    for text, where in (
        ('{"human": "pass"}\n', "row 1: judge"),
        ("{\n", "line 1"),
        ('{"human": "maybe", "judge": 1}\n', "row 1: human"),
    ):
        (tmp_path / "bad.jsonl").write_text(text)
        code, _, err = gate("eval", "judge-agreement", "bad.jsonl")
        assert (code, where in err) == (2, True)


def test_an_empty_set_is_no_pass(gate: Type, tmp_path: Path) -> None:
    """Nothing was tested: the gate could not run (4), and `eval run` is a wrong call (2)."""
    (tmp_path / "empty.jsonl").write_text("")
    assert gate("gate", *model("good"), "--golden", "empty.jsonl")[0] == 4
    assert gate("eval", "run", *model("good"), "--golden", "empty.jsonl")[0] == 2


def test_retired_cases_are_not_asked(gate: Type, tmp_path: Path) -> None:
    """A retired case stays in the file and is not run."""
    lines = (tmp_path / "golden.jsonl").read_text().splitlines()
    gone = json.loads(lines[0]) | {"retired": "2026-11-21", "retired_why": "no longer asked"}
    (tmp_path / "golden.jsonl").write_text("\n".join([json.dumps(gone), *lines[1:]]) + "\n")
    gate("eval", "run", *model("good"), *GOLDEN)
    assert len({r.case_id for r in kept(tmp_path)[0].results}) == 39


def test_progress_is_told_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody looks at a terminal a short run says nothing of its progress, and a long one a line every five seconds."""
    from andon.cli import running
    from andon.evals import Progress, Tally

    page = io.StringIO()
    monkeypatch.setattr(running, "_err", Console(file=page, width=200))
    for pause, lines in ((0.1, 0), (1.0, 8)):
        ticks = itertools.count(0.0, pause)
        monkeypatch.setattr(running.time, "monotonic", lambda ticks=ticks: next(ticks))
        with running.watching("asking") as report:
            for k in range(40):
                report(Progress(whole=Tally(all=40, passed=k), categories={}))
        assert len(page.getvalue().splitlines()) == lines


def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the table lives: each risk category with its counts, what was spent; a name from outside colours nothing."""
    from rich.console import Console

    from andon.cli import running
    from andon.evals import Progress, Tally

    screen = io.StringIO()
    monkeypatch.setattr(running, "_err", Console(file=screen, force_terminal=True, width=120))
    with running.watching("asking [red]x[/red]") as report:
        whole = Tally(all=4, passed=1, failed=1, errors=1)
        report(Progress(whole=whole, categories={f"[blink]{HOSTILE}": whole}, reused=1, spent_usd=0.25))
    said = screen.getvalue()
    assert all(
        text in said for text in ("asking [red]x[/red]", "[blink]no", "3 of 4", "1 kept from before, spent $0.25")
    )
    assert "]0;owned\x07" not in said


def test_a_golden_set_is_checked_before_a_commit(gate: Type, tmp_path: Path) -> None:
    """Good files are counted; a line that is no case, or that an import would refuse, is named with its number, and so is a question with two right answers."""
    assert gate("golden", "check", "golden.jsonl")[:2] == (0, "golden.jsonl: 40 cases\n")
    text = (tmp_path / "golden.jsonl").read_text()
    (tmp_path / "broken.jsonl").write_text(text + "<<<<<<< HEAD\n")
    code, out, err = gate("golden", "check", "golden.jsonl", "broken.jsonl")
    assert (code, "40 cases" in out, "broken.jsonl: line 41: " in err) == (1, True, True)
    (tmp_path / "empty.jsonl").write_text("\n")
    code, _, err = gate("golden", "check", "empty.jsonl", "golden.jsonl")
    assert (code, "empty.jsonl: holds no case" in err) == (1, True)
    (tmp_path / "twice.jsonl").write_text(
        text + json.dumps({"question": "question  7?", "ground_truth": "seven"}) + "\n"
    )
    code, _, err = gate("golden", "check", "twice.jsonl")
    assert (code, "ask the same and differ in what is right" in err) == (1, True)
    row = {"question": "D?", "answer": "Z", "ground_truth": "z"}
    (tmp_path / "gold.jsonl").write_text(text + json.dumps(row) + "\n")
    code, out, err = gate("golden", "check", "gold.jsonl")
    assert (code, out, 'gold.jsonl: line 41: "D?": the label "z" is the failing answer itself' in err) == (1, "", True)
    code, out, _ = gate("golden", "import", "gold.jsonl", "--app", "other")
    assert 'refused line 41: "D?": the label "z" is the failing answer itself' in out
    assert "correct it in gold.jsonl and import it again" in out


def test_hooks_name_commands_that_exist() -> None:
    """Each hook for pre-commit calls a command that the command line has."""
    from typer.main import get_command

    from andon.cli import app

    hooks = yaml.safe_load((Path(__file__).resolve().parents[2] / ".pre-commit-hooks.yaml").read_text())
    for hook in hooks:
        command = get_command(app)
        for word in hook["entry"].split()[1:]:
            command = command.commands[word]  # type: ignore[attr-defined]
    assert {h["id"] for h in hooks} == {"andon-golden-check", "andon-gate"}
