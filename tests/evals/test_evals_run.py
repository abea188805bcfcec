import asyncio
import json
import threading
import time
from dataclasses import replace

import pytest

from andon.errors import InputError
from andon.evals import Output, exit_code, judge, summarise
from andon.evals.run import keep_run, load_run, newest_runs, run_evals, runs_with, save_run
from andon.scores import SCORERS
from andon.store import Ledger

BY_NAME = {s.name: s for s in SCORERS}
HOSTILE = "`x` ``y`` <script>alert(1)</script>\n# head\n| a | @all [l](javascript:1) \x1b[2J\u202e"


@pytest.fixture
def cases(case):
    """Eight cases, the first of high risk."""
    return [case(f"q{i}", f"a{i}", risk_category="high" if i == 0 else None) for i in range(8)]


def timeless(run):
    """A run without what differs each time: how long its answers took."""
    return replace(run, results=tuple(replace(r, latency_s=None) for r in run.results))


def test_a_run_is_the_same_however_many_workers(cases, words, answers):
    """Results stand in the order of the cases, and the same answers at the same time give the same run, id included."""

    class Slow(answers):
        def ask(self, case):
            time.sleep(0.002 * (8 - int(case.question[1:])))
            return super().ask(case)

    said = {c.question: c.ground_truth if i % 2 else "wrong" for i, c in enumerate(cases)}
    runs = [run_evals(cases, Slow(said), BY_NAME, words, now_us=5, workers=w) for w in (1, 3, 8)]
    assert timeless(runs[0]) == timeless(runs[1]) == timeless(runs[2])
    assert [r.case_id for r in runs[0].results] == [c.id for c in cases]
    assert [r.outcome for r in runs[0].results] == ["fail", "pass"] * 4
    assert runs[0].id != run_evals(cases, Slow(said), BY_NAME, words, now_us=6).id


def test_a_case_stands_in_its_cluster(cases, words, answers):
    """The cluster that a case names, else that of the case that it is a variant of, else itself."""
    a, b, c, d = cases[:4]
    named = [replace(a, cluster="fees"), replace(b, variant_of=a.id), c, replace(d, variant_of="G-elsewhere")]
    run = run_evals(named, answers({}), BY_NAME, words, now_us=0, repeats=2)
    assert [r.cluster for r in run.results[::2]] == ["fees", "fees", c.id, "G-elsewhere"]


def test_a_targets_exception_is_that_cases_error(cases, words, answers):
    """Any exception, an exit included, is an error with its name; the other cases run on."""
    said = {c.question: c.ground_truth for c in cases}
    said |= {"q1": ValueError("bad \x1b[2J"), "q2": SystemExit(3), "q3": RecursionError()}
    run = run_evals(cases, answers(said), BY_NAME, words, now_us=0)
    assert [r.outcome for r in run.results] == ["pass", "error", "error", "error", "pass", "pass", "pass", "pass"]
    assert run.results[1].detail.startswith("ValueError")
    assert all(r.detail.isprintable() for r in run.results)
    assert exit_code(judge(run, None)) == 4


def test_a_scorers_exception_is_that_cases_error(cases, words, answers):
    """A scorer that raises is an error of the case, with the scorer's name."""

    def broken(*_):
        raise ZeroDivisionError("oh")

    scorers = {"error": replace(BY_NAME["error"], score=broken)}
    run = run_evals([replace(cases[0], metric="error")], answers("x"), scorers, words, now_us=0)
    assert (run.results[0].outcome, "ZeroDivisionError" in run.results[0].detail) == ("error", True)


def test_an_interrupt_passes_through_and_stops_the_rest(case, words, answers):
    """Ctrl-C is not an execution error, and cases that were not begun are not asked."""
    asked = []

    class Stopped(answers):
        def ask(self, case):
            asked.append(case.id)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_evals([case(f"q{i}") for i in range(2000)], Stopped("x"), BY_NAME, words, now_us=0, workers=1)
    assert len(asked) < 2000


def test_workers_ask_at_the_same_time(cases, words, answers):
    """With four workers, four questions are in flight: each waits for the three others."""
    meeting = threading.Barrier(4, timeout=10)

    class Meeting(answers):
        def ask(self, case):
            meeting.wait()
            return super().ask(case)

    run = run_evals(cases, Meeting("x"), BY_NAME, words, now_us=0, workers=4)
    assert {r.outcome for r in run.results} == {"fail"}


def test_progress_is_told_and_a_repeated_case_is_asked_once(cases, words, answers):
    """`report` hears of every case; a case that stands twice in a file is one case."""
    heard = []
    run = run_evals([*cases, cases[0]], answers("a1"), BY_NAME, words, now_us=0, report=heard.append)
    assert [p.whole.done for p in heard] == list(range(1, 9))
    assert (heard[-1].whole.passed, heard[-1].whole.failed, heard[-1].whole.all) == (1, 7, 8)
    assert {k: (t.done, t.all) for k, t in heard[-1].categories.items()} == {"": (7, 7), "high": (1, 1)}
    assert len(run.results) == 8
    assert run_evals([], answers("x"), BY_NAME, words, now_us=0).results == ()
    with pytest.raises(InputError, match="workers"):
        run_evals(cases, answers("x"), BY_NAME, words, now_us=0, workers=0)


def test_time_is_measured_where_the_target_does_not(case, words, answers):
    """A latency metric has a value for any target; a target's own measure goes before ours."""
    c = case(metric="latency_s", direction="up", cut=10.0)
    assert 0 <= run_evals([c], answers("x"), BY_NAME, words, now_us=0).results[0].value < 10
    own = answers(Output(answer="x", latency_s=12.0))
    result = run_evals([c], own, BY_NAME, words, now_us=0).results[0]
    assert (result.outcome, result.latency_s) == ("fail", 12.0)


@pytest.mark.parametrize("odd", [GeneratorExit(), SystemExit(0), BaseException("odd"), asyncio.CancelledError()])
def test_whatever_a_target_raises_is_that_cases_error(case, words, answers, odd):
    """Only Ctrl-C ends a run: whatever else one call raises, the others go on."""
    run = run_evals([case("a", "x"), case("b", "x")], answers({"a": odd, "b": "x"}), BY_NAME, words, now_us=0)
    assert [r.outcome for r in run.results] == ["error", "pass"]


@pytest.mark.parametrize(
    "odd",
    [
        Output(answer="x", cost_usd=float("nan")),
        Output(answer="x", latency_s=float("inf")),
        Output(answer=5),
        Output(answer="x", contexts=(5,)),
        Output(answer="x", input_tokens=-1),
        Output(answer="x", tool_calls=5),
        5,
    ],
)
def test_an_output_that_cannot_be_kept_is_that_cases_error(case, words, answers, odd, tmp_path):
    """Whoever makes an `Output` may put anything into it: the run is not lost for it, and can be saved."""
    target = answers({"b": "x"})
    target.ask = lambda c: odd if c.question == "a" else Output(answer="x")
    run = run_evals([case("a", "x"), case("b", "x")], target, BY_NAME, words, now_us=0)
    assert [r.outcome for r in run.results] == ["error", "pass"]
    save_run(run, tmp_path / "run.json")


def test_a_saved_run_goes_where_a_link_leads_and_keeps_the_mode(case, words, answers, tmp_path):
    """A link stays a link, the file behind it keeps its mode, and nothing else is left in the folder."""
    run = run_evals([case()], answers("x"), BY_NAME, words, now_us=0)
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    save_run(run, link)
    assert link.is_symlink()
    assert load_run(real) == run
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.json", "real.json"]


def test_kept_runs_are_read_one_by_one(case, words, answers, monkeypatch):
    """Whoever looks for the newest run does not read a thousand; those of some cases hold nothing of the others."""
    ledger = Ledger("sqlite://")
    run = run_evals([case("a"), case("b")], answers("x"), BY_NAME, words, now_us=7)
    for k in range(5):
        keep_run(ledger, replace(run, id=f"E-{k}", results=run.results[k % 2 :]), now_us=k, by="ci")
    read = []
    get = ledger.get
    monkeypatch.setattr(ledger, "get", lambda kind, name: (read.append(name), get(kind, name))[1])
    assert next(newest_runs(ledger)).id == "E-4"
    assert read == ["E-4"]
    a = run.results[0].case_id
    assert [(r.id, [x.case_id for x in r.results]) for r in runs_with(ledger, [a])] == [
        (f"E-{k}", [a]) for k in (4, 2, 0)
    ]
    assert runs_with(ledger, []) == []
    ledger.close()


def test_a_run_is_kept_in_a_file_and_in_the_ledger(case, words, answers, tmp_path):
    """A run, hostile answers and halves of surrogate pairs included, comes back equal from both."""
    ledger = Ledger("sqlite://")
    said = {"a": HOSTILE, "b": "\ud800", "c": "x" * 1_000_000, "d": None}
    run = run_evals([case(q) for q in said], answers(said), BY_NAME, words, now_us=7)
    path = tmp_path / "deep" / "run.json"
    save_run(run, path)
    keep_run(ledger, run, now_us=7, by="ci")
    assert load_run(path) == next(newest_runs(ledger)) == run
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]
    later = replace(run, id="E-2", at_us=8, target="other")
    keep_run(ledger, later, now_us=8, by="ci")
    assert list(newest_runs(ledger)) == [later, run]
    ledger.close()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": "E-1"}', '{"\x1b[2J": 1}'])
def test_a_file_that_holds_no_run_is_named(tmp_path, content):
    """A missing or broken baseline is an input error with the path, never an empty run."""
    path = tmp_path / "run.json"
    with pytest.raises(InputError, match="cannot read"):
        load_run(path)
    path.write_text(content)
    with pytest.raises(InputError, match=r"run\.json holds no run"):
        load_run(path)


def test_a_long_list_is_counted(case, words, answers):
    """Twenty cases are shown, the rest is a number; a run without cases has a report too."""
    cases = [case(f"q{i}") for i in range(50)]
    run = run_evals(cases, answers("x"), BY_NAME, words, now_us=0)
    assert "- and 30 more" in summarise(run, judge(run, None), cases)
    empty = run_evals([], answers("x"), BY_NAME, words, now_us=0)
    assert summarise(empty, judge(empty, None), []).startswith("**Could not run**: the golden set is empty")


def test_a_saved_run_is_plain_json(case, words, answers, tmp_path):
    """The file can be read by anything: an object with the fields of the record."""
    path = tmp_path / "run.json"
    save_run(run_evals([case()], answers("8611 m"), BY_NAME, words, now_us=1), path)
    row = json.loads(path.read_text())
    assert row["results"][0]["outcome"] == "pass"
    assert row["scorers"] == "normalised_match@3"
