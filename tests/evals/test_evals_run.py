import json
import threading
import time
from dataclasses import replace

import pytest

from andon.errors import InputError
from andon.evals import Output, exit_code, judge, summarise
from andon.evals.run import keep_run, latest_run, load_run, run_evals, save_run
from andon.scores import SCORERS
from andon.store import Ledger

BY_NAME = {s.name: s for s in SCORERS}
HOSTILE = "`x` ``y`` <script>alert(1)</script>\n# head\n| a | @all [l](javascript:1) \x1b[2J\u202e"


@pytest.fixture
def cases(case):
    """Eight cases, the first of high risk."""
    return [case(f"q{i}", f"a{i}", risk_category="high" if i == 0 else None) for i in range(8)]


def test_a_run_is_the_same_however_many_workers(cases, words, answers):
    """Results stand in the order of the cases, and the same answers at the same time give the same run, id included."""

    class Slow(answers):
        def ask(self, case):
            time.sleep(0.002 * (8 - int(case.question[1:])))
            return super().ask(case)

    said = {c.question: c.ground_truth if i % 2 else "wrong" for i, c in enumerate(cases)}
    runs = [run_evals(cases, Slow(said), BY_NAME, words, now_us=5, workers=w) for w in (1, 3, 8)]
    assert runs[0] == runs[1] == runs[2]
    assert [r.case_id for r in runs[0].results] == [c.id for c in cases]
    assert [r.outcome for r in runs[0].results] == ["fail", "pass"] * 4
    assert runs[0].id != run_evals(cases, Slow(said), BY_NAME, words, now_us=6).id


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
    run = run_evals([*cases, cases[0]], answers("x"), BY_NAME, words, now_us=0, report=lambda *p: heard.append(p))
    assert heard == [(i, 8) for i in range(1, 9)]
    assert len(run.results) == 8
    assert run_evals([], answers("x"), BY_NAME, words, now_us=0).results == ()
    with pytest.raises(InputError, match="workers"):
        run_evals(cases, answers("x"), BY_NAME, words, now_us=0, workers=0)


def test_time_is_measured_where_the_target_does_not(case, words, answers):
    """A latency metric has a value for any target; a target's own measure goes before ours."""
    c = case(metric="latency_s", direction="up", cut=10.0)
    assert 0 <= run_evals([c], answers("x"), BY_NAME, words, now_us=0).results[0].value < 10
    own = answers(Output(answer="x", latency_s=12.0))
    assert run_evals([c], own, BY_NAME, words, now_us=0).results[0].outcome == "fail"


def test_a_run_is_kept_in_a_file_and_in_the_ledger(case, words, answers, tmp_path):
    """A run, hostile answers and halves of surrogate pairs included, comes back equal from both."""
    ledger = Ledger("sqlite://")
    said = {"a": HOSTILE, "b": "\ud800", "c": "x" * 1_000_000, "d": None}
    run = run_evals([case(q) for q in said], answers(said), BY_NAME, words, now_us=7)
    path = tmp_path / "deep" / "run.json"
    save_run(run, path)
    keep_run(ledger, run, now_us=7, by="ci")
    assert load_run(path) == latest_run(ledger) == run
    assert [p.name for p in path.parent.iterdir()] == ["run.json"]
    later = replace(run, id="E-2", at_us=8, target="other")
    keep_run(ledger, later, now_us=8, by="ci")
    assert latest_run(ledger) == later
    assert latest_run(ledger, target="double") == run
    assert latest_run(ledger, golden="none") is None
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


def test_a_report_begins_with_the_outcome_and_counts_by_risk(cases, words, answers):
    """First sentence the outcome; then a table by risk category; then lost and gained with what was expected and said."""
    before = run_evals(
        cases,
        answers({c.question: c.ground_truth if c.question != "q1" else "w" for c in cases}),
        BY_NAME,
        words,
        now_us=0,
    )
    now = run_evals(
        cases,
        answers({c.question: c.ground_truth if c.question != "q0" else "nope" for c in cases}),
        BY_NAME,
        words,
        now_us=1,
    )
    text = summarise(now, judge(now, before), cases)
    assert text.startswith("**Fail**: of 8 cases that ran in both, 1 lost and 1 gained: 1 lost of high risk")
    assert "| `high` | 1 | 0 | 1 | 0 |" in text
    assert "| (none) | 7 | 7 | 0 | 0 |" in text
    assert "| all | 8 | 7 | 1 | 0 |" in text
    lost, gained = text.split("### Lost")[1].split("### Gained")
    assert "`q0`" in lost
    assert "expected `a0`" in lost
    assert "got `nope`" in lost
    assert "`q1`" in gained
    same = summarise(now, judge(now, now), cases)
    assert "### Fail: 1" in same


def test_hostile_content_stays_in_code_spans(case, words, answers):
    """Nothing in a question, answer or category is Markdown, HTML, a table cell or an order to a terminal."""
    cases = [
        case(HOSTILE, HOSTILE + "!", risk_category=HOSTILE),
        case("`", "``", risk_category="|"),
        case("x" * 10**6, "y" * 10**6),
    ]
    run = run_evals(cases, answers(HOSTILE + "?"), BY_NAME, words, now_us=0)
    text = summarise(run, judge(run, None), cases)
    assert all(line.isprintable() for line in text.split("\n"))
    assert len(text) < 5000
    outside = "".join(part for i, part in enumerate(_spans(text)) if i % 2 == 0)
    for word in ("<script>", "@all", "javascript", "# head"):
        assert word in text
        assert word not in outside
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)


def _spans(text):
    """Text outside and inside code spans by turns, by CommonMark's rule: a span ends at a run of as many backticks."""
    parts, rest = [], text
    while "`" in rest:
        start = rest.index("`")
        ticks = len(rest) - start - len(rest[start:].lstrip("`"))
        parts.append(rest[:start])
        end = start + ticks
        while True:
            end = rest.index("`", end)
            run = len(rest) - end - len(rest[end:].lstrip("`"))
            if run == ticks:
                break
            end += run
        parts.append(rest[start + ticks : end])
        rest = rest[end + ticks :]
    return [*parts, rest]


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
    assert row["scorers"] == "normalised_match@1"
