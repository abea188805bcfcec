"""Laws of the pytest plug-in: cases are tests, the verdict decides where there is a baseline, and nobody else pays for it."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import andon
from andon.cli import main
from andon.evals import Quarantine
from andon.evals.run import load_run, save_run
from andon.golden import Case
from andon.golden.files import read_set
from andon.store import Ledger

pytest_plugins = ("pytester",)
INSTALLED = any(p.name == "andon" for p in entry_points(group="pytest11"))
PLUGIN = "andon" if INSTALLED else "andon.pytest_plugin"
FAR_US = 4_000_000_000_000_000
HOSTILE = "Lyon \x1b]0;owned\x07\u202e"

TEST = """
import andon

ANSWERS = {answers!r}

@andon.case("golden.jsonl")
def test_answers(case, andon_check):
    answer = ANSWERS[case.question]
    if isinstance(answer, list):  # one for each attempt
        answer = answer.pop(0)
    if answer == "raise":
        raise RuntimeError("down")
    andon_check(answer)
"""

Run = Callable[..., "Done"]


def golden_set(folder: Path, *, n: int = 8, high: int = 0) -> list[Case]:
    """A golden set of so many questions, the first of them of high risk; the right answer is the number."""
    rows = [
        {"question": f"question {k}?", "answer": "wrong", "contexts": [], "ground_truth": str(k), "source": "s",
         "failure_reason": "r", "added_date": "2026-11-20", **({"risk_category": "high"} if k < high else {})}
        for k in range(n)
    ]  # fmt: skip
    (folder / "golden.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return list(read_set(folder / "golden.jsonl"))


def answers(n: int = 8, **other: object) -> dict[str, object]:
    """Right answers, and other ones by the number of the question: ``q3="no"``."""
    return {f"question {k}?": other.get(f"q{k}", str(k)) for k in range(n)}


@dataclass(frozen=True)
class Done:
    """A session of pytest that is over."""

    returncode: int
    stdout: str


@pytest.fixture
def asked(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest in this process over a test that gives these answers."""
    alone = ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the plug-ins of others take seconds to load, each time
    for name, value in (("ANDON_EMBEDDER", "hashed"), ("ANDON_HOME", "home"), ("COLUMNS", "200"), alone):
        monkeypatch.setenv(name, value)

    def run(given: dict[str, object], *words: str, test: str = TEST) -> Done:
        pytester.makepyfile(test_it=test.replace("{answers!r}", repr(given)))
        plugins = (PLUGIN, "no:cacheprovider", *(("xdist.plugin",) if "-n" in words else ()))
        named = [word for name in plugins for word in ("-p", name)]
        done = pytester.runpytest_inprocess(*named, "-q", "--strict-markers", *words)
        return Done(int(done.ret), done.stdout.str())

    return run


def saved(folder: Path, name: str, *failing: int, n: int = 8, repeats: int = 1) -> str:
    """A run of the golden set in which these cases fail, saved as a baseline."""
    cases = read_set(folder / "golden.jsonl")
    run = load_run(folder / "out.json")
    word = {cases[k].id: "fail" if k in failing else "pass" for k in range(n)}
    results = tuple(replace(r, outcome=word[r.case_id]) for r in run.results)
    save_run(replace(run, results=results, id="E-base", repeats=repeats), folder / name)
    return name


def test_cases_are_tests_by_their_ids(asked: Run, pytester: pytest.Pytester) -> None:
    """Every case is one test, named by the case, in the order of the file; a failing one says what was asked and what is right."""
    cases = golden_set(pytester.path)
    done = asked(answers(q3=HOSTILE), "-vv")
    tests = [line.split("[")[1].split("]")[0] for line in done.stdout.splitlines() if line.startswith("test_it.py::")]
    assert tests == [c.id for c in cases]
    assert done.returncode == 1
    for text in (
        f"case {cases[3].id}: ",
        'question: "question 3?"',
        'expected: "3"',
        r'got:      "Lyon \x1b]0;owned\x07\u202e"',
    ):
        assert text in done.stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout)
    assert "7 of 8 cases pass (" in done.stdout


def test_repeats_are_attempts(asked: Run, pytester: pytest.Pytester) -> None:
    """With repeats each attempt is a test; the run holds them all by case, then by attempt; flaky cases are named."""
    cases = golden_set(pytester.path, n=2)
    done = asked(answers(2, q1=["1", "no", "1"]), "--andon-repeats", "3", "--andon-out", "out.json")
    run = load_run(pytester.path / "out.json")
    assert run.repeats == 3
    assert [(r.case_id, r.repeat, r.outcome) for r in run.results] == [
        *((cases[0].id, k, "pass") for k in range(3)),
        *((cases[1].id, k, o) for k, o in enumerate(("pass", "fail", "pass"))),
    ]
    assert f"- `{cases[1].id}` 2 of 3 attempts pass now" in done.stdout


def test_a_run_is_that_of_the_gate(asked: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run of pytest and that of `andon eval run` hold the same cases, outcomes, measures and golden set: one compares with the other."""
    golden_set(pytester.path)
    given = answers(q2="no")
    assert asked(given, "--andon-out", "out.json").returncode == 1
    (pytester.path / "model_of_test.py").write_text(f"A = {given!r}\n\ndef answer(q):\n    return A[q]\n")
    words = ("eval", "run", "--target", "python:model_of_test:answer", "--golden", "golden.jsonl", "--out", "cli.json")
    monkeypatch.setattr(sys, "argv", ["andon", *words])
    with pytest.raises(SystemExit, match="0"):
        main()
    ours, theirs = load_run(pytester.path / "out.json"), load_run(pytester.path / "cli.json")
    assert (ours.golden, ours.scorers, ours.app) == (theirs.golden, theirs.scorers, theirs.app)
    assert [(r.case_id, r.outcome, r.value, r.cluster) for r in ours.results] == [
        (r.case_id, r.outcome, r.value, r.cluster) for r in theirs.results
    ]


def test_the_verdict_decides_where_there_is_a_baseline(asked: Run, pytester: pytest.Pytester) -> None:
    """What failed before does not fail the run (0), many losses do (1), and so do two, which are undecided, unless the team lets them."""
    golden_set(pytester.path)
    asked(answers(), "--andon-out", "out.json")
    base = saved(pytester.path, "base.json", 7)
    same = asked(answers(q7="no"), "--andon-baseline", base)
    assert (
        same.returncode,
        "**Pass**: nothing that passed fails now, of 8 cases" in same.stdout,
        "1 xfailed" in same.stdout,
    ) == (0, True, True)
    two = answers(q1="no", q2="no")
    said = asked(two, "--andon-baseline", base)
    assert (said.returncode, "**Undecided**: " in said.stdout, "**What would decide it**" in said.stdout) == (
        1,
        True,
        True,
    )
    assert asked(two, "--andon-baseline", base, "--andon-undecided", "pass").returncode == 0
    assert asked({**two, "question 3?": "raise"}, "--andon-baseline", base, "--andon-undecided", "pass").returncode == 1
    lost = asked(answers(**{f"q{k}": "no" for k in (0, 1, 2, 3, 4, 5, 7)}), "--andon-baseline", base)
    assert lost.returncode == 1
    assert "**Fail**: 6 of 8 cases" in lost.stdout
    assert "### Lost" in lost.stdout


def test_an_error_is_no_answer(asked: Run, pytester: pytest.Pytester) -> None:
    """A test that raises is an execution error of its case, fails as a test with a baseline too, and is neither pass nor fail in the run."""
    golden_set(pytester.path)
    asked(answers(), "--andon-out", "out.json")
    base = saved(pytester.path, "base.json")
    done = asked(answers(q1="raise"), "--andon-baseline", base, "--andon-out", "new.json")
    assert done.returncode == 1
    assert "RuntimeError: down" in done.stdout
    assert "1 of 8 cases could not run" in done.stdout
    assert [r.outcome for r in load_run(pytester.path / "new.json").results].count("error") == 1


@pytest.mark.slow
def test_workers_bring_the_same_run(asked: Run, pytester: pytest.Pytester) -> None:
    """With pytest-xdist the run and the verdict are those of one process, whatever came first."""
    golden_set(pytester.path, n=12)
    given = answers(12, q3="no", q5="no", q9="raise")
    for words in (("--andon-out", "out.json"), ("--andon-out", "many.json", "-n", "2")):
        assert asked(given, *words).returncode == 1
    one, many = (
        [replace(r, latency_s=None) for r in load_run(pytester.path / name).results]
        for name in ("out.json", "many.json")
    )
    assert one == many


def test_a_rerun_turns_no_failure_into_a_pass(asked: Run, pytester: pytest.Pytester) -> None:
    """Where another plug-in runs a failing test again until it passes, the first answer stands; after an error the next one does."""
    (pytester.path / "conftest.py").write_text(
        "from _pytest.runner import runtestprotocol\n\n"
        "def pytest_runtest_protocol(item, nextitem):\n"
        "    for k in range(3):\n"
        "        reports = runtestprotocol(item, nextitem=nextitem, log=False)\n"
        "        again = any(r.failed for r in reports) and k < 2\n"
        "        for report in reports:\n"
        "            if again and report.failed:\n"
        "                report.outcome = 'rerun'\n"
        "            item.ihook.pytest_runtest_logreport(report=report)\n"
        "        if not again:\n"
        "            break\n"
        "        item._initrequest()\n"
        "    return True\n"
    )
    cases = golden_set(pytester.path, n=3)
    done = asked(answers(3, q1=["no", "1"], q2=["raise", "2"]), "--andon-out", "out.json")
    found = {r.case_id: r.outcome for r in load_run(pytester.path / "out.json").results}
    assert done.returncode == 0  # pytest's own word: everything passed in the end
    assert found == {cases[0].id: "pass", cases[1].id: "fail", cases[2].id: "pass"}


def test_quarantined_cases_decide_nothing(asked: Run, pytester: pytest.Pytester) -> None:
    """A quarantined case is an expected failure that may pass as well: neither stops anybody, and the verdict leaves it out."""
    cases = golden_set(pytester.path, high=2)
    asked(answers(), "--andon-out", "out.json")
    base = saved(pytester.path, "base.json")
    book = Ledger.open(pytester.path / "home" / "ledger.db")
    for k in (0, 1):
        book.put(
            Quarantine(id=cases[k].id, until_us=FAR_US, by="ann", why=f"flaky {HOSTILE}", at_us=1), now_us=1, by="ann"
        )
    book.close()
    done = asked(answers(q0="no"))
    assert (done.returncode, "6 passed, 1 xfailed, 1 xpassed" in done.stdout) == (0, True)
    passed_over = TEST.replace(
        "    andon_check(answer)", "    try:\n        andon_check(answer)\n    except BaseException:\n        pass"
    )
    assert asked(answers(q0="no"), test=passed_over).returncode == 0
    judged = asked(answers(q0="no"), "--andon-baseline", base, "-rx")
    assert judged.returncode == 0
    assert "**Pass**: nothing that passed fails now, of 6 cases" in judged.stdout
    assert not {"\x1b", "\x07"} & set(judged.stdout)


def test_own_assertions_count(asked: Run, pytester: pytest.Pytester) -> None:
    """A test that asserts by itself is a case too: an assertion is a failure, and the worst of two tests counts."""
    cases = golden_set(pytester.path, n=3)
    test = (
        "import andon, pytest\n\n"
        "@andon.case('golden.jsonl')\n@pytest.mark.parametrize('m', ['x', 'y'])\n"
        "def test_own(case, m):\n"
        "    assert case.question != 'question 1?' or m == 'x'\n"
    )
    done = asked({}, "--andon-out", "out.json", test=test)
    found = {r.case_id: r.outcome for r in load_run(pytester.path / "out.json").results}
    assert found == {cases[0].id: "pass", cases[1].id: "fail", cases[2].id: "pass"}
    assert "1 failed, 5 passed" in done.stdout


OWN = """
import andon

ANSWERS = {answers!r}

@andon.case("golden.jsonl")
def test_answers(case):
    assert ANSWERS[case.question]
"""


def test_an_own_assertion_is_a_measure_of_its_own(asked: Run, pytester: pytest.Pytester) -> None:
    """What a test asserts is never compared with what a scorer said, nor with another test; with itself it is, by any repeats."""
    golden_set(pytester.path)
    asked(answers(), "--andon-out", "scored.json")
    asked(answers(), "--andon-out", "own.json", test=OWN)
    own = load_run(pytester.path / "own.json")
    assert (own.scorers, load_run(pytester.path / "scored.json").scorers.split("@")[0]) == (
        "pytest",
        "normalised_match",
    )
    assert {r.measured for r in own.results} == {"pytest test_it.py::test_answers[]"}
    unlike = "**Undecided**: every case is measured otherwise than in the baseline"
    for base, test in (("scored.json", OWN), ("own.json", TEST), ("own.json", OWN.replace("_answers", "_others"))):
        done = asked(answers(), "--andon-baseline", base, test=test)
        assert (done.returncode, unlike in done.stdout) == (1, True)
    same = asked(answers(), "--andon-baseline", "own.json", "--andon-repeats", "2", test=OWN)
    assert (same.returncode, "**Pass**: nothing that passed fails now, of 8 cases" in same.stdout) == (0, True)


def test_what_asserts_before_it_checks_is_measured_by_the_check(asked: Run, pytester: pytest.Pytester) -> None:
    """An assertion that fails before `andon_check` is called, in a fixture or in the test, is a lost case, not another measure."""
    golden_set(pytester.path)
    asked(answers(), "--andon-out", "out.json")
    early = TEST.replace("    answer = ANSWERS", "    assert False\n    answer = ANSWERS")
    fixture = TEST.replace("(case, andon_check)", "(case, broken, andon_check)").replace(
        "\n@andon", "\nimport pytest\n\n@pytest.fixture\ndef broken():\n    assert False\n\n@andon"
    )
    for test in (early, fixture):
        done = asked(answers(), "--andon-baseline", "out.json", test=test)
        assert "**Fail**: 8 of 8 cases passed before and fail now" in done.stdout


def test_every_test_of_a_case_measures_it(asked: Run, pytester: pytest.Pytester) -> None:
    """A case that two tests ask is measured by both, whichever is told: a loss in one is seen, one test less is another measure."""
    golden_set(pytester.path)
    both = TEST + OWN.replace("_answers", "_own")
    asked(answers(), "--andon-out", "out.json", test=both)
    for r in load_run(pytester.path / "out.json").results:
        assert re.fullmatch(r"normalised_match@\d+ [0-9a-f]{16} pytest test_it.py::test_own\[\]", r.measured)
    lost = asked(answers(), "--andon-baseline", "out.json", test=both.replace("assert ANSWERS", "assert not ANSWERS"))
    assert "**Fail**: 8 of 8 cases passed before and fail now" in lost.stdout
    fewer = asked(answers(), "--andon-baseline", "out.json")
    assert "every case is measured otherwise than in the baseline" in fewer.stdout


def test_the_mark_is_written_with_a_path() -> None:
    """Without parentheses the mark would swallow the test: it says how it is written. A `Path` is a path."""
    with pytest.raises(TypeError, match=r'write @andon.case\("golden.jsonl"\)'):
        andon.case(lambda case: None)  # type: ignore[arg-type]
    assert andon.case(Path("golden.jsonl")).args == (Path("golden.jsonl"),)


SKIPPED = TEST.replace("    answer = ANSWERS", "    __import__('pytest').skip('later')\n    answer = ANSWERS")


@pytest.mark.parametrize("option", ["--andon-out", "--andon-baseline"])
@pytest.mark.parametrize(
    ("test", "words"),
    [
        (SKIPPED, ()),
        (TEST.replace("@andon.case", "@__import__('pytest').mark.skip\n@andon.case"), ()),
        (TEST, ("-k", "nothing")),
        ("def test_other():\n    pass\n", ()),
        ("", ()),
    ],
)
def test_nothing_asked_is_no_pass(
    asked: Run, pytester: pytest.Pytester, option: str, test: str, words: tuple[str, ...]
) -> None:
    """A run to save or to compare that holds no attempt ends with 4 and a sentence: all skipped, deselected, or no golden test."""
    golden_set(pytester.path)
    asked(answers(), "--andon-out", "out.json")
    base = saved(pytester.path, "base.json")
    before = (pytester.path / base).read_bytes()
    done = asked(answers(), option, base, *words, test=test)
    assert (done.returncode, "error: no golden case was asked" in done.stdout) == (4, True)
    assert (pytester.path / base).read_bytes() == before
    assert asked(answers(), option, base, "--collect-only").returncode == 0


TWO = TEST.replace("def test_answers", "def test_answer") + TEST.replace("import andon\n", "")
SOME = TEST.replace(
    "    answer = A", "    if case.question == 'question 2?':\n        __import__('pytest').skip('')\n    answer = A"
)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (SOME, ()),
        (TEST, ("-k", "not G-7102d9577e4b2b6d")),
        (TEST, ("--deselect", "test_it.py::test_answers[G-7102d9577e4b2b6d]")),
        (TEST, ("test_it.py::test_answers[G-7102d9577e4b2b6d]",)),
        (TWO, ("-k", "test_answers")),
        (TEST.replace("def test_answers", "def test_answer") + SOME.replace("import andon\n", ""), ()),
        pytest.param(TWO, ("-k", "test_answers", "-n", "2"), marks=pytest.mark.slow),
    ],
)
def test_a_part_is_no_baseline(asked: Run, pytester: pytest.Pytester, test: str, words: tuple[str, ...]) -> None:
    """Where golden cases were skipped, deselected or chosen by name, no run is saved, and pytest ends with 4."""
    assert golden_set(pytester.path)[1].id == "G-7102d9577e4b2b6d"
    done = asked(answers(), "--andon-out", "out.json", *words, test=test)
    assert (done.returncode, "no run is saved in out.json: not every golden case was asked" in done.stdout) == (4, True)
    assert not (pytester.path / "out.json").exists()
    assert asked(answers(), *words, test=test).returncode == 0


def test_a_run_is_not_its_own_baseline(asked: Run, pytester: pytest.Pytester) -> None:
    """The file that a run is compared with is never the one that it is saved in, however it is written."""
    golden_set(pytester.path)
    asked(answers(), "--andon-out", "out.json")
    before = (pytester.path / "out.json").read_bytes()
    done = asked(answers(q1="no"), "--andon-out", "./out.json", "--andon-baseline", "out.json")
    assert done.returncode == 4
    assert (pytester.path / "out.json").read_bytes() == before


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("    case.question", "error"),  # never checked
        ("    try:\n        andon_check('no')\n    except BaseException:\n        pass", "fail"),
        ("    try:\n        andon_check(3)\n    except Exception:\n        pass", "error"),
    ],
)
def test_a_test_that_measures_nothing_fails(asked: Run, pytester: pytest.Pytester, body: str, word: str) -> None:
    """Who takes the check and does not call it, or passes over what it says, has a failing test; with a baseline the verdict decides."""
    golden_set(pytester.path)
    asked(answers(), "--andon-out", "out.json")
    base = saved(pytester.path, "base.json", *range(8))
    test = f"import andon\n\n@andon.case('golden.jsonl')\ndef test_answers(case, andon_check):\n{body}\n"
    done = asked({}, "--andon-out", "new.json", test=test)
    assert (done.returncode, "8 failed" in done.stdout) == (1, True)
    assert {r.outcome for r in load_run(pytester.path / "new.json").results} == {word}
    if word == "error" and "andon_check" not in body:
        assert "the test never called andon_check" in done.stdout
    judged = asked({}, "--andon-baseline", base, test=test)
    assert (judged.returncode, "8 xfailed" in judged.stdout) == ((0, True) if word == "fail" else (1, False))


def test_cases_are_chosen_by_app_and_incident(asked: Run, pytester: pytest.Pytester) -> None:
    """A mark may ask for the cases of one application or incident; retired cases are not asked."""
    golden_set(pytester.path, n=4)
    file = pytester.path / "golden.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[0] |= {"app": "shop", "incident": "INC-0001"}
    rows[1] |= {"app": "shop"}
    rows[2] |= {"app": "shop", "incident": "INC-0001", "retired": "2026-11-21", "retired_why": "gone"}
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    test = TEST.replace('"golden.jsonl"', '"golden.jsonl", app="shop", incident="INC-0001"')
    assert "1 passed" in asked(answers(), test=test).stdout


@pytest.mark.parametrize(
    ("text", "mark", "said"),
    [
        (None, '"golden.jsonl"', "there is no golden set golden.jsonl beside the test"),
        ("", '"golden.jsonl"', "an empty golden set tests nothing"),
        ("{}\n", '"golden.jsonl"', "line 1: question is missing"),
        ('{"question": "q?", "ground_truth": "a"}\n', '"golden.jsonl", application="x"', "application"),
    ],
)
def test_what_cannot_be_asked_is_said(
    asked: Run, pytester: pytest.Pytester, text: str | None, mark: str, said: str
) -> None:
    """A missing, empty or broken golden set and a wrong mark stop the collection with one line that says why."""
    if text is not None:
        (pytester.path / "golden.jsonl").write_text(text)
    done = asked({}, test=TEST.replace('"golden.jsonl"', mark))
    assert done.returncode == 2
    assert said in done.stdout


def test_a_stopped_session_has_no_verdict(asked: Run, pytester: pytest.Pytester) -> None:
    """Where pytest is stopped half-way nothing is saved and nothing judged: half a run never passes."""
    golden_set(pytester.path)
    asked(answers(), "--andon-out", "out.json")
    base = saved(pytester.path, "base.json")
    test = TEST.replace('raise RuntimeError("down")', "import pytest; pytest.exit('enough')")
    for given, code in ((TEST, 1), (test, 2)):
        done = asked(answers(q4="raise"), "-x", "--andon-baseline", base, "--andon-out", "new.json", test=given)
        assert done.returncode == code
        assert "there is no verdict" in done.stdout
        assert not (pytester.path / "new.json").exists()


def test_the_rules_are_those_of_the_gate(asked: Run, pytester: pytest.Pytester) -> None:
    """The rules file in the root folder decides, as for `andon gate`; a broken one is a wrong call (4 is pytest's usage error)."""
    golden_set(pytester.path)
    asked(answers(), "--andon-out", "out.json")
    base = saved(pytester.path, "base.json")
    rules = pytester.path / "andon-gate.toml"
    rules.write_text('confirm = 0\n\n[[rule]]\ncategory = "*"\nno_regression = true\n')
    assert asked(answers(q1="no"), "--andon-baseline", base).returncode == 1
    rules.write_text("[[rule]]\n")
    done = asked(answers(), "--andon-baseline", base)
    assert (done.returncode, "error: andon-gate.toml: rule 1" in done.stdout) == (4, True)


def test_who_does_not_use_it_does_not_pay(pytester: pytest.Pytester) -> None:
    """In a session without a golden case the plug-in loads nothing but itself, and says nothing."""
    (pytester.path / "conftest.py").write_text(
        "import sys\n\ndef pytest_unconfigure():\n"
        "    print('LOADED', sorted(m for m in sys.modules if m.split('.')[0] == 'andon'))\n"
    )
    pytester.makepyfile(test_it="def test_nothing():\n    pass\n")
    done = pytester.runpytest_subprocess("-p", PLUGIN, "-q", timeout=120)
    assert "LOADED ['andon', 'andon.pytest_plugin']" in done.stdout.str()
    assert "golden cases" not in done.stdout.str()


def test_the_rules_quarantine_cases_and_say_what_does_not_count(asked: Run, pytester: pytest.Pytester) -> None:
    """A quarantine of andon-gate.toml holds here too; its baseline and repeats are options of pytest, which is said."""
    cases = golden_set(pytester.path, high=2)
    asked(answers(), "--andon-out", "out.json")
    base = saved(pytester.path, "base.json")
    until = (datetime.now(UTC) + timedelta(days=7)).date()
    rules = (
        f'baseline = "x.json"\nrepeats = 5\n[[quarantine]]\ncase = "{cases[0].id}"\nuntil = {until}\nwhy = "flaky"\n'
    )
    (pytester.path / "andon-gate.toml").write_text(rules)
    done = asked(answers(q0="no"), "--andon-baseline", base)
    assert (done.returncode, "1 case in quarantine did not decide" in done.stdout) == (0, True)
    for text in ("`baseline` of andon-gate.toml does not count", "`repeats` of andon-gate.toml does not count"):
        assert text in done.stdout


def test_cases_that_no_mark_asks_for_are_not_missed(asked: Run, pytester: pytest.Pytester) -> None:
    """A retired case of high risk may be gone from the baseline's cases; one that is deselected may not."""
    golden_set(pytester.path, high=3)
    asked(answers(), "--andon-out", "out.json")
    base = saved(pytester.path, "base.json")
    file = pytester.path / "golden.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    first, second = (c.id for c in read_set(file)[:2])
    rows[0] |= {"retired": "2026-11-21", "retired_why": "gone"}
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert "**Pass**: " in asked(answers(), "--andon-baseline", base).stdout
    done = asked(answers(), "--andon-baseline", base, "--deselect", f"test_it.py::test_answers[{second}]")
    missed = [line for line in done.stdout.splitlines() if "of high risk, in the baseline, and not run now: " in line]
    assert [(second in line, first in line) for line in missed] == [(True, False)]
