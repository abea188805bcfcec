"""The baseline that runs again by itself, quarantine with an end, and cases that were shown once."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from andon.errors import InputError, SeamError, StoreError
from andon.evals import Baseline, CaseResult, Confirmed, EvalRun, Output, keepable_spec, make_target
from andon.evals.rules import LONGEST_DAYS
from andon.evals.run import (
    baseline_of,
    gate_change,
    judge_kept,
    keep_run,
    quarantine,
    quarantined,
    refresh_baseline,
    run_evals,
    set_baseline,
)
from andon.evals.shown import shown
from andon.scores import SCORERS
from andon.store import Ledger

BY_NAME = {s.name: s for s in SCORERS}
DAY_US = 86_400_000_000


class Live:
    """A live target that knows some right answers and may be away."""

    name = "live"

    def __init__(self, right=(), version=None, away=()):
        self.right, self.version, self.away = set(right), version, set(away)
        self.asked = []

    def ask(self, case):
        self.asked.append(case.question)
        if case.question in self.away or "*" in self.away:
            raise SeamError("away")
        return Output(answer=case.ground_truth if case.question in self.right else "wrong")


@pytest.fixture
def ledger():
    """A ledger in memory."""
    made = Ledger("sqlite://")
    yield made
    made.close()


@pytest.fixture
def cases(case):
    """Five cases."""
    return [case(f"q{i}", f"a{i}") for i in range(5)]


@pytest.fixture
def begun(ledger, cases, words):
    """A baseline over the first three cases, twice each, of which the second fails."""
    run = run_evals(cases[:3], Live({"q0", "q2"}), BY_NAME, words, now_us=10, repeats=2)
    set_baseline(ledger, run, target="https://live.example/ask", now_us=10, by="ann")
    return run


def refresh(ledger, cases, target, words, **more):
    """Refresh at a later time."""
    return refresh_baseline(ledger, "default", cases, {**BY_NAME, **more}, words, now_us=20, by="andon", target=target)


def outcomes(run):
    """Outcomes of a run by case."""
    found = {}
    for r in run.results:
        found.setdefault(r.case_id, []).append(r.outcome)
    return found


def test_a_baseline_is_asked_only_what_is_new(ledger, cases, words, begun):
    """When the set grew, the target is asked the new cases, as often as the others; the rest stands, in the order of the set."""
    target = Live({"q3"})
    grown = [cases[3], *cases[:3], cases[4]]
    done = refresh(ledger, grown, target, words)
    assert sorted(target.asked) == ["q3", "q3", "q4", "q4"]
    assert done.asked == 2
    assert list(outcomes(done.run).items()) == [
        (cases[3].id, ["pass"] * 2),
        (cases[0].id, ["pass"] * 2),
        (cases[1].id, ["fail"] * 2),
        (cases[2].id, ["pass"] * 2),
        (cases[4].id, ["fail"] * 2),
    ]
    assert baseline_of(ledger, "default") == done.run
    assert done.run == replace(
        done.run, at_us=20, repeats=2, golden=run_evals(grown, target, BY_NAME, words, now_us=0).golden
    )
    assert [v.record.run for v in ledger.history(Baseline)] == [begun.id, done.run.id]
    assert "asked 2 of 5 cases 2 times each: 2 passed, 2 failed" in done.said
    again = refresh(ledger, grown, target, words)
    assert (again.run, again.said) == (None, "the baseline holds every case already")


def test_a_target_that_is_away_changes_nothing(ledger, cases, words, begun):
    """No answer to any new case, or a spec that leads nowhere: the baseline stays, and it is said why."""
    done = refresh(ledger, cases, Live(away="*"), words)
    assert done.run is None
    assert 'the baseline stays as it is: its target "live" gave no answer: away' in done.said
    assert baseline_of(ledger, "default") == begun
    ledger.put(replace(ledger.get(Baseline, "default"), target="python:no_such_module:f"), now_us=11, by="ann")
    done = refresh_baseline(ledger, "default", cases, BY_NAME, words, now_us=20, by="andon")
    assert done.run is None
    assert "no_such_module" in done.said
    assert baseline_of(ledger, "default") == begun


def test_a_case_that_could_not_run_is_asked_next_time(ledger, cases, words, begun):
    """A new case that was not answered stands as an error, and is asked again at the next refresh."""
    first = refresh(ledger, cases, Live({"q3"}, away={"q4"}), words)
    assert outcomes(first.run)[cases[4].id] == ["error"] * 2
    target = Live({"q4"})
    second = refresh(ledger, cases, target, words)
    assert set(target.asked) == {"q4"}
    assert outcomes(second.run)[cases[4].id] == ["pass"] * 2


def test_a_case_that_was_taken_out_leaves_the_baseline(ledger, cases, words, begun):
    """A retired case is in the baseline no more; nothing is asked for that."""
    target = Live()
    done = refresh(ledger, cases[:2], target, words)
    assert target.asked == []
    assert list(outcomes(done.run)) == [c.id for c in cases[:2]]
    assert "taken out" in done.said
    assert refresh(ledger, [], target, words).run is None


def test_another_measure_is_asked_everything(ledger, cases, words, begun):
    """Old results never stand beside those of another version of a scorer: all cases are asked again."""
    target = Live({"q0"})
    done = refresh(ledger, cases, target, words, normalised_match=replace(BY_NAME["normalised_match"], version="99"))
    assert len(target.asked) == 10
    assert "normalised_match@99 is another measure than then, so the baseline was run again on all 5 cases" in done.said
    assert done.run.scorers == "normalised_match@99"


def test_another_version_never_becomes_the_baseline_by_itself(ledger, cases, words):
    """Where the target, or the caller, says another version than the baseline's, nobody is asked and nothing changes."""
    run = run_evals(cases[:3], Live(version="1"), BY_NAME, words, now_us=10, versions={"revision": "abc"})
    set_baseline(ledger, run, target="https://live.example/ask", now_us=10, by="ann")
    for target, versions, word in ((Live(version="2"), {}, '"2"'), (Live(version="1"), {"revision": "def"}, '"def"')):
        done = refresh_baseline(
            ledger, "default", cases, BY_NAME, words, now_us=20, by="andon", target=target, versions=versions
        )
        assert (done.run, target.asked) == (None, [])
        assert word in done.said
        assert "stays as it is" in done.said
    done = refresh(ledger, cases, Live(version="1"), words)
    assert done.run.versions == {"version": "1", "revision": "abc"}


def test_a_baseline_that_somebody_set_meanwhile_stays(ledger, cases, words, begun):
    """A person's word while the target is asked is not overwritten by what comes of the asking."""

    class Slow(Live):
        def ask(self, case):
            if not self.asked:
                set_baseline(ledger, begun, target="python:a:b", now_us=15, by="bob")
            return super().ask(case)

    done = refresh_baseline(ledger, "default", cases, BY_NAME, words, now_us=20, by="andon", target=Slow(), workers=1)
    assert (done.run, ledger.get(Baseline, "default").by) == (None, "bob")
    assert "meanwhile" in done.said


def test_without_a_baseline_nothing_happens(ledger, cases, words):
    """An application without a baseline has none to refresh; a run of which a gate says that it could not run, or of nobody, becomes none."""
    assert baseline_of(ledger, "default") is None
    assert "no baseline" in refresh(ledger, cases, Live(), words).said
    for away, word in (("*", "none of 5 cases ran"), ({"q0"}, "1 of 5 cases could not run")):
        broken = run_evals(cases, Live(away=away), BY_NAME, words, now_us=0)
        with pytest.raises(InputError, match=word):
            set_baseline(ledger, broken, target="python:a:b", now_us=0, by="ann")
    mixed = run_evals([cases[0], replace(cases[1], app="b")], Live(), BY_NAME, words, now_us=0)
    with pytest.raises(InputError, match="several applications"):
        set_baseline(ledger, mixed, target="python:a:b", now_us=0, by="ann")
    ledger.put(Baseline(id="lost", target="python:a:b", run="E-none", by="ann", at_us=0), now_us=0, by="ann")
    with pytest.raises(StoreError, match="does not hold"):
        baseline_of(ledger, "lost")


@pytest.mark.parametrize(("more", "asked"), [("", 0), ('version = "1"\n', 2)])
def test_a_baseline_whose_version_nobody_can_tell_stays(server, tmp_path, cases, words, ledger, more, asked):
    """An endpoint without a version may answer as another one by now: it is not asked for a new baseline by itself."""
    path = tmp_path / "t.toml"
    path.write_text(f'url = "{server.url}/"\n{more}')
    server.reply = lambda *_: (200, b'{"answer": "a0"}')
    run = run_evals(cases[:3], make_target(str(path)), BY_NAME, words, now_us=10)
    set_baseline(ledger, run, target=str(path), now_us=10, by="ann")
    server.seen.clear()
    done = refresh_baseline(ledger, "default", cases, BY_NAME, words, now_us=20, by="bob")
    assert len(server.seen) == asked
    assert (done.run is not None) == bool(asked)
    assert ("nobody can tell" in done.said) == (not asked)


@pytest.mark.parametrize(
    ("spec", "code", "then", "now", "asked"),
    [
        ("python:bot_with_a_prompt:f", "", {}, {}, 0),
        ("python:bot_with_a_prompt:f", "", {"revision": "abc-dirty"}, {"revision": "abc-dirty"}, 0),
        ("python:bot_with_a_prompt:f", "", {}, {"revision": "abc"}, 0),
        ("python:bot_with_a_prompt:f", "", {"revision": "abc"}, {"revision": "abc"}, 2),
        ("python:bot_with_a_prompt:f", "__version__ = '1'", {"revision": "a-dirty"}, {"revision": "a-dirty"}, 2),
        ("command:wc", "", {"revision": "abc-dirty"}, {"revision": "abc-dirty"}, 0),
        ("command:wc", "", {"revision": "abc"}, {"revision": "abc"}, 2),
    ],
)
def test_code_whose_version_nobody_can_tell_is_not_asked(
    tmp_path, monkeypatch, cases, words, ledger, spec, code, then, now, asked
):
    """A function or a program may read a prompt that has changed: without a version or a committed revision, the same then and now, it becomes no baseline by itself."""
    (tmp_path / "bot_with_a_prompt.py").write_text(f"{code}\n\ndef f(question):\n    return 'a0'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        run = run_evals(cases[:3], make_target(spec), BY_NAME, words, now_us=10, versions=then)
        set_baseline(ledger, run, target=spec, now_us=10, by="ann")
        done = refresh_baseline(ledger, "default", cases, BY_NAME, words, now_us=20, by="bob", versions=now)
    finally:
        sys.modules.pop("bot_with_a_prompt", None)
    assert done.asked == asked
    assert ("nobody can tell" in done.said) == (not asked)


def test_a_target_whose_code_or_settings_changed_is_another_version(tmp_path, cases, words, ledger):
    """What tells versions apart holds the settings of a target: with other ones the baseline stays as it is."""
    path = tmp_path / "t.jsonl"
    line = '{{"question": "{}", "answer": "x"}}\n'
    path.write_text("".join(line.format(c.question) for c in cases))
    run = run_evals(cases[:3], make_target(f"recorded:{path}"), BY_NAME, words, now_us=10)
    set_baseline(ledger, run, target=f"recorded:{path}", now_us=10, by="ann")
    path.write_text("".join(line.format(c.question) for c in cases) + line.format("more"))
    done = refresh_baseline(ledger, "default", cases, BY_NAME, words, now_us=20, by="bob")
    assert (done.run, done.asked) == (None, 0)
    assert "its settings is" in done.said


def test_a_kept_spec_holds_no_secret(tmp_path, monkeypatch, ledger, begun):
    """A URL with a user or a query is refused without being shown; paths are kept so that any folder can ask again."""
    for spec in ("https://u:s3cret@h/x", "https://h/x?key=s3cret", "https://h/ask/sk-proj-s3cret-a1b2c3d4e5f6g7h8"):
        with pytest.raises(InputError) as caught:
            set_baseline(ledger, begun, target=spec, now_us=0, by="ann")
        assert "s3cret" not in str(caught.value)
    for spec in (
        "command:python bot.py --api-key=sk-live-123456789",
        "command:python bot.py --api-key sk-live-s3cret",
        "cmd:env BOT_TOKEN=a1b2c3d4e5f6g7h8i9 ./bot",
        "command:./bot 'Authorization: Bearer s3cret-a1b2c3d4e5f6'",
        "command:./bot ghp_" + "a1" * 18,
        "command:./bot --token=s3cret",
        "command:./bot --bot-token s3cret",
        "cmd:env BOT_KEY=s3cret ./bot",
        "command:./bot --key s3cret",
        "command:./bot --password s3cret",
        "command:./bot --secret=s3cret",
        "command:./bot -p s3cret",
        "command:curl -u bob:s3cret https://h/ask",
        "command:curl --user=bob:s3cret https://h/ask",
    ):
        with pytest.raises(InputError, match="environment variable") as caught:
            keepable_spec(spec)
        assert not {"s3cret", "a1b2", "12345", "a1a1"} & set(re.findall(r"s3cret|a1b2|12345|a1a1", str(caught.value)))
    monkeypatch.chdir(tmp_path)
    assert keepable_spec("t.toml") == keepable_spec("file:t.toml") == f"file:{tmp_path}/t.toml"
    assert keepable_spec("recorded:r.jsonl") == f"recorded:{tmp_path}/r.jsonl"
    for spec in (
        "https://h/v1/chat/completions#m",
        "python:a:b",
        "command:./x 1 --max-tokens 500 --key-file k.txt",
        "command:python -u bot.py -p 8080 --config bot.toml",
        "command:llm --token --no-stream -u https://h/ask -p 'Answer briefly.'",
    ):
        assert keepable_spec(spec) == spec


def test_a_quarantine_ends_by_itself(ledger, cases, words, begun):
    """Until its time the case is named as one that decides nothing, with who and why; from then on it decides again."""
    made = quarantine(ledger, cases[0].id, 5 * DAY_US, "the bank is closed", now_us=0, by="ann")
    assert quarantined(ledger, 5 * DAY_US - 1) == {cases[0].id: made}
    assert quarantined(ledger, 5 * DAY_US) == {}
    assert (made.why, made.by) == ("the bank is closed", "ann")
    quarantine(ledger, cases[0].id, DAY_US, now_us=DAY_US, by="ann")  # ending one needs no reason
    assert quarantined(ledger, DAY_US) == {}


def test_a_quarantine_needs_a_flake_or_a_reason(ledger, cases, words, begun):
    """Without a reason a kept run has to hold both outcomes of the case; the reason is then its figures."""
    for stable in (cases[0], cases[1]):  # one that always passed, one that never did
        with pytest.raises(InputError, match="say why"):
            quarantine(ledger, stable.id, DAY_US, "  ", now_us=0, by="ann")
    flaky = replace(
        begun, id="E-flaky", results=tuple(replace(r, outcome=("pass", "fail")[r.repeat]) for r in begun.results)
    )
    keep_run(ledger, flaky, now_us=0, by="ann")
    assert quarantine(ledger, cases[0].id, DAY_US, now_us=0, by="ann").why == (
        "flaky: 1 of 2 attempts passed in run E-flaky"
    )


@pytest.mark.parametrize(
    ("case_id", "until_us", "word"),
    [("G-none", DAY_US, "no case"), (None, LONGEST_DAYS * DAY_US + 1, "30 days"), (None, 0, "is over")],
)
def test_a_quarantine_is_of_a_case_and_of_at_most_30_days(ledger, cases, words, begun, case_id, until_us, word):
    """An unknown case, a longer time, or one that is over is refused."""
    with pytest.raises(InputError, match=word):
        quarantine(ledger, case_id or cases[0].id, until_us, "why", now_us=0, by="ann")


def made(word, at_us, target="t", **versions):
    """A run in which case G had these outcomes."""
    names = {"p": "pass", "f": "fail", "e": "error"}
    results = tuple(CaseResult(case_id="G", repeat=i, outcome=names[c]) for i, c in enumerate(word))
    return EvalRun(
        id=f"E-{at_us}", at_us=at_us, target=target, golden="g", scorers="", results=results, versions=versions
    )


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([made("f", 1, revision="a"), made("p", 2, revision="b")], (1, 2)),
        ([made("p", 2, revision="b"), made("f", 1, revision="a")], (1, 2)),
        ([made("f", 1, "old"), made("p", 2, "new")], (1, 2)),
        ([made("pf", 1, m="a"), made("pp", 2, m="b")], (1, 2)),
        ([made("f", 1, m="a"), made("pf", 2, m="b"), made("pp", 3, m="b")], (1, 3)),
        ([made("f", 1, m="a"), made("pe", 2, m="b")], None),
        ([made("f", 1, m="a"), made("p", 2, m="a")], None),
        ([made("f", 1), made("p", 2, m="a")], None),
        ([made("f", 1), made("p", 2)], None),
        ([made("p", 1, m="a"), made("f", 2, m="b")], None),
        ([made("e", 1, m="a"), made("p", 2, m="b")], None),
        ([made("f", 1, m="a"), made("f", 2, m="b"), made("p", 3, m="b")], (1, 3)),
        ([made("", 1, m="a")], None),
    ],
)
def test_a_case_is_shown_once_it_failed_before_and_passes_on_another_version(runs, found):
    """Failing first and passing later, in every attempt, on what is known to be another version or target: the two runs, else None."""
    got = shown("G", runs)
    assert (None if got is None else tuple(run.at_us for run in got)) == found
    assert shown("H", runs) is None


def test_a_case_that_is_measured_otherwise_now_is_asked_again(ledger, cases, words, begun):
    """Another expectation (or cut, or metric) under the same id is another measure: the version in place is asked that case again."""
    target = Live({"q0", "q2"})
    edited = [replace(cases[0], expect={"tolerance": 0.1}), *cases[1:3]]
    done = refresh(ledger, edited, target, words)
    assert target.asked == ["q0", "q0"]
    assert "asked 1 of 3 cases" in done.said
    measures = [{r.measured for r in each.results if r.case_id == cases[0].id} for each in (begun, done.run)]
    assert not measures[0] & measures[1]
    assert all(r.measured.startswith("normalised_match@") for r in done.run.results)


def test_a_baseline_whose_measure_nobody_knows_is_asked_again(ledger, cases, words):
    """Results that carry no measure compare with no new run, so the refresh asks these cases anew."""
    old = run_evals(cases[:2], Live({"q0", "q1"}), BY_NAME, words, now_us=10)
    old = replace(old, results=tuple(replace(r, measured="") for r in old.results))
    set_baseline(ledger, old, target="https://live.example/ask", now_us=10, by="ann")
    target = Live({"q0", "q1"})
    done = refresh(ledger, cases[:2], target, words)
    assert target.asked == ["q0", "q1"]
    assert all(r.measured for r in done.run.results)


def test_a_graded_score_that_sank_is_told_beside_the_verdict(ledger, cases, begun):
    """With a generator the verdict of kept runs names the means before and now; it decides as it does without."""

    def graded(value):
        each = (replace(r, outcome="pass", value=value, measured="groundedness@2 x") for r in begun.results)
        return replace(begun, results=tuple(each))

    now, old = graded(0.6), graded(0.9)
    plain = judge_kept(ledger, now, old, cases[:3], now_us=20)
    told = judge_kept(ledger, now, old, cases[:3], now_us=20, rng=np.random.default_rng(0))
    assert told.notes == (*plain.notes, "mean groundedness 0.900 before and 0.600 now (-0.300; 3 cases)")
    assert told.outcome == plain.outcome


def test_a_retired_case_of_the_baseline_may_be_missing(ledger, cases, words, begun):
    """A case of high risk that the run lacks is no pass, unless the golden set says that it is retired."""
    old = replace(begun, results=tuple(replace(r, risk_category="high") for r in begun.results))
    now = replace(old, results=tuple(r for r in old.results if r.case_id != cases[0].id))
    assert judge_kept(ledger, now, old, cases[1:3], now_us=20).outcome == "undecided"
    ledger.put(replace(cases[0], retired="2026-11-21", retired_why="gone"), now_us=20, by="ann")
    assert judge_kept(ledger, now, old, cases[1:3], now_us=20).outcome == "pass"


def gated_against(ledger, cases, words, old, place):
    """The gate's word on a version that lost the first case, against a run of `old`; `place` is what is asked again."""

    def ask(which, target, repeats):
        return run_evals(which, target, BY_NAME, words, now_us=30, repeats=repeats)

    new = Live({"q1", "q2"}, version="2")
    runs = (ask(cases, new, 1), ask(cases, old, 1))
    rng = np.random.default_rng(0)
    return gate_change(ledger, *runs, cases, ask, target=new, place=place, now_us=40, by="ann", rng=rng)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Live({"q1", "q2"}, version="2"), "asked in the same way"),
        (Live({"q0", "q1", "q2"}, version="3"), 'another one by now (version "1" -> "3")'),
        (Live({"q0", "q1", "q2"}, version="1"), ""),
        (Live({"q0", "q1", "q2"}, version="1", away="*"), "live could not be asked (away"),
        (None, "it is not known how the version in place is asked"),
    ],
)
def test_no_version_confirms_itself(ledger, cases, words, place, said):
    """What is asked in the same way as the candidate, is another version by now, or does not answer, clears no lost case; the verdict says which."""
    risky = [replace(c, risk_category="high") for c in cases[:3]]

    gated = gated_against(ledger, risky, words, Live({"q0", "q1", "q2"}, version="1"), place)
    told = "; ".join(gated.notes)
    assert said in told
    assert ("were not asked again" in told) == bool(said)
    assert gated.outcome == ("undecided" if said else "fail")
    assert (not ledger.all(Confirmed)) == bool(said)


@pytest.mark.parametrize(("name", "outcome"), [("elsewhere", "fail"), ("live", "undecided")])
def test_the_version_in_place_may_have_moved(ledger, cases, words, name, outcome):
    """At an address that the user names, only what the targets say of themselves tells versions apart; at the same one, all that is known does."""
    risky = [replace(c, risk_category="high") for c in cases[:3]]
    old, place = Live({"q0", "q1", "q2"}, version="1"), Live({"q0", "q1", "q2"}, version="1")
    old.settings, place.settings, place.name = "http://a", "http://b", name

    assert gated_against(ledger, risky, words, old, place).outcome == outcome


def test_two_scripts_are_two_places(tmp_path, monkeypatch):
    """A command is named by its program and its script, so the version of another folder is another place; other arguments stay untold."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    for name in ("bot.py", "old/bot.py"):
        (tmp_path / name).write_text("print('x')")
    names = [make_target(f"command:{sys.executable} {script} secret").name for script in ("bot.py", "old/bot.py")]
    program = Path(sys.executable).name
    assert names == [f"command:{program} bot.py", f"command:{program} old/bot.py"]
