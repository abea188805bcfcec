"""Answers are kept as they come: what was answered is never asked again."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from andon.errors import InputError, SeamError
from andon.evals import Output, make_target
from andon.evals.run import expire_kept, forget_kept, open_kept, run_evals
from andon.evals.run.keeping import _opened
from andon.scores import SCORERS

BY_NAME = {s.name: s for s in SCORERS}


class Live:
    """A live target: answers, notes what it was asked, and stops after so many."""

    name = "live"

    def __init__(self, version=None, stops_after=None):
        self.version, self.stops_after = version, stops_after
        self.asked = []

    def ask(self, case):
        if self.stops_after is not None and len(self.asked) >= self.stops_after:
            raise KeyboardInterrupt
        self.asked.append(case.question)
        return Output(answer=f"a{len(self.asked)}", contexts=("c",), cost_usd=0.5, latency_s=float(len(self.asked)))


@pytest.fixture
def cases(case):
    """Six cases; the right answer of each is what a target says that is asked them in order."""
    return [case(f"q{i}", f"a{i + 1}") for i in range(6)]


def run(cases, target, words, kept, now_us=5, **more):
    """A run by one worker."""
    return run_evals(cases, target, BY_NAME, words, now_us=now_us, kept=kept, **{"workers": 1, **more})


def test_a_run_that_was_broken_off_goes_on_where_it_stopped(cases, words, tmp_path):
    """After Ctrl-C only the rest is asked, and the run is the one that would have been: id, time and answers."""
    whole = run(cases, Live(), words, None)
    with pytest.raises(KeyboardInterrupt):
        run(cases, Live(stops_after=4), words, open_kept(tmp_path, Live()))
    rest = Live()
    rest.asked = [""] * 4  # it says what the first target would have said next
    kept = open_kept(tmp_path, rest, take="resume")
    assert (kept.answers, kept.begun_us, kept.resumed) == (4, 5, True)
    heard = []
    again = run(cases, rest, words, kept, now_us=99, report=heard.append)
    assert rest.asked[4:] == ["q4", "q5"]
    assert again == whole
    assert (heard[-1].reused, heard[-1].spent_usd) == (4, 3.0)
    assert list(tmp_path.iterdir()) == []  # nobody could use it any more


def test_repeats_are_asked_and_kept_apart(cases, words, tmp_path):
    """Each attempt at a case is a question of its own; a resumed run has all of them, in order."""
    with pytest.raises(KeyboardInterrupt):
        run(cases, Live(stops_after=8), words, open_kept(tmp_path, Live()), repeats=3)
    rest = Live()
    again = run(cases, rest, words, open_kept(tmp_path, rest, take="resume"), repeats=3)
    assert len(rest.asked) == 10
    assert [(r.case_id, r.repeat) for r in again.results] == [(c.id, k) for c in cases for k in range(3)]
    assert again.repeats == 3


def test_an_attempt_that_could_not_run_is_asked_again(cases, words, tmp_path):
    """An execution error is not kept: a run with errors can go on, and asks exactly those."""

    class Away(Live):
        def ask(self, case):
            output = super().ask(case)
            if case.question in ("q1", "q4"):
                raise SeamError("away")
            return output

    first = run(cases, Away(), words, open_kept(tmp_path, Live()))
    assert [r.outcome for r in first.results].count("error") == 2
    rest = Live()
    again = run(cases, rest, words, open_kept(tmp_path, rest, take="resume"))
    assert rest.asked == ["q1", "q4"]
    assert not any(r.outcome == "error" for r in again.results)
    third = Live()
    run(cases, third, words, open_kept(tmp_path, third, take="resume"))
    assert len(third.asked) == 6  # the run had ended: there is nothing to go on with


def test_a_cache_holds_for_one_version(cases, words, tmp_path):
    """Answers of the same version are taken from any earlier run and cost nothing; another version, or none, is asked."""
    run(cases[:4], Live("1"), words, open_kept(tmp_path, Live("1")))
    again = Live("1")
    heard = []
    got = run(cases, again, words, open_kept(tmp_path, again, take="cache"), now_us=9, report=heard.append)
    assert again.asked == ["q4", "q5"]
    assert (heard[-1].reused, heard[-1].spent_usd, got.at_us) == (4, 1.0, 9)
    other = Live("2")
    run(cases, other, words, open_kept(tmp_path, other, take="cache"))
    assert len(other.asked) == 6
    plain = Live("1")
    run(cases, plain, words, open_kept(tmp_path, plain))
    assert len(plain.asked) == 6
    with pytest.raises(InputError, match="no version"):
        open_kept(tmp_path, Live(), take="cache")


def test_a_cached_run_that_was_broken_off_keeps_what_it_took(cases, words, tmp_path):
    """A run that took answers from the cache and was stopped goes on with those too."""
    run(cases[:3], Live("1"), words, open_kept(tmp_path, Live("1")))
    with pytest.raises(KeyboardInterrupt):
        run(cases, Live("1", stops_after=1), words, open_kept(tmp_path, Live("1"), take="cache"))
    rest = Live("1")
    run(cases, rest, words, open_kept(tmp_path, rest, take="resume"))
    assert rest.asked == ["q4", "q5"]


def test_the_same_content_is_asked_once(case, words):
    """Two cases that ask the same, with the same passages and expectations, share an answer; another expectation does not."""
    cases = [case("q", "a1"), case("q", "b"), case("q", "c", expect={"tolerance": 1}), case("q", "d", contexts=("p",))]
    target = Live()
    target.sees_id = False
    got = run(cases, target, words, None)
    assert len(target.asked) == 3
    assert [r.outcome for r in got.results] == ["pass", "fail", "fail", "fail"]
    assert got.results[0].answer == got.results[1].answer == "a1"
    assert got.results[2].answer == "a2"


def test_cases_of_one_question_share_no_answer_that_may_differ(case, words):
    """A target that is shown the id of a case, or of which nobody knows, is asked each; so are cases of two applications."""
    same = [case("q", "a1"), case("q", "b")]
    target = Live()
    run(same, target, words, None)
    assert len(target.asked) == 2
    other = Live()
    other.sees_id = False
    run([same[0], replace(same[1], app="other")], other, words, None)
    assert len(other.asked) == 2


def test_the_id_is_seen_where_it_is_sent(tmp_path):
    """A program and a function of the case see the id; an endpoint only where its target file puts it in."""
    for text, sees in (('q = "{question}"', False), ('q = "{question} {id}"', True)):
        path = tmp_path / "t.toml"
        path.write_text(f'url = "http://h/"\n[body]\n{text}\n')
        assert make_target(str(path)).sees_id is sees
    assert make_target("command:cat").sees_id
    assert not make_target("python:json:dumps").sees_id


@pytest.mark.parametrize("first", [True, False])
def test_a_run_that_ends_leaves_the_answers_of_another_that_has_not(tmp_path, first):
    """Of two runs of a target without a version, the one that ends does not take what the other has paid for, broken off or not."""
    one, two = open_kept(tmp_path, Live()), open_kept(tmp_path, Live())
    one.begin(1)
    two.begin(2)
    one.keep("k", Output(answer="paid"))
    if first:
        one.close()
    two.end(whole=True)
    two.close()
    one.close()
    again = open_kept(tmp_path, Live(), take="resume")
    assert (again.answers, again.begun_us) == (1, 1)
    again.begin(3)
    again.end(whole=True)
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_begins_while_the_last_one_ends_keeps_its_file(tmp_path):
    """Whoever has begun is seen by whoever ends, even before its first line."""
    one = open_kept(tmp_path, Live())
    one.begin(1)
    path = next(tmp_path.iterdir())
    other = _opened(path)
    one.end(whole=True)
    assert path.exists()
    os.close(other)
    one.close()


def test_old_answers_of_a_target_without_a_version_are_not_taken(cases, words, tmp_path):
    """After a day nobody can tell what answers there now; with a version the same one does."""
    day = 86_400_000_000
    for version in (None, "1"):
        with pytest.raises(KeyboardInterrupt):
            run(cases, Live(version, stops_after=3), words, open_kept(tmp_path, Live(version)), now_us=5)
        kept = open_kept(tmp_path, Live(version), take="resume")
        assert kept.since_us == 5
        if version is None:
            with pytest.raises(InputError, match="more than a day ago"):
                run(cases, Live(version), words, kept, now_us=6 + day)
            kept = open_kept(tmp_path, Live(version), take="resume")
        assert run(cases, Live(version), words, kept, now_us=5 + day).at_us == 5


def test_kept_answers_expire(cases, words, tmp_path):
    """Answers of runs that began before the bound are removed, later ones stay, and a file in use is left for the next turn."""
    for now_us in (5, 50):
        run(cases[:3] if now_us == 5 else cases, Live("1"), words, open_kept(tmp_path, Live("1")), now_us=now_us)
    busy = open_kept(tmp_path, Live("1"))
    busy.begin(60)
    assert expire_kept(tmp_path, 50) == 0
    busy.close()
    assert expire_kept(tmp_path, 50) == 3
    assert open_kept(tmp_path, Live("1"), take="cache").answers == 6
    assert next(tmp_path.iterdir()).stat().st_mode & 0o077 == 0
    assert expire_kept(tmp_path, 1000) == 6
    assert list(tmp_path.iterdir()) == []
    assert expire_kept(tmp_path / "none", 1000) == 0


def test_ctrl_c_keeps_what_is_on_its_way(cases, words, tmp_path):
    """The run says that it waits, and the answer that comes then is there to go on with."""
    begun, go = threading.Event(), threading.Event()

    class Slow(Live):
        def ask(self, case):
            if case.question == "q1":
                begun.wait(10)
                raise KeyboardInterrupt
            begun.set()
            go.wait(10)
            return super().ask(case)

    def heard(progress):
        if progress.stopping is not None:
            go.set()

    with pytest.raises(KeyboardInterrupt):
        run(cases[:2], Slow(), words, open_kept(tmp_path, Live()), workers=2, report=heard)
    assert go.is_set()
    assert open_kept(tmp_path, Live(), take="resume").answers == 1


@pytest.mark.parametrize("torn", [b'{"run": "x", "key', b"\xff\xfe{", b"[1]\nnull\n5\n", b'{"key": "k", "output": 5}'])
def test_a_torn_line_is_passed_over(cases, words, tmp_path, torn):
    """Whatever a crash left at the end of the file, what stands before it holds, and what comes after is read."""
    with pytest.raises(KeyboardInterrupt):
        run(cases, Live(stops_after=3), words, open_kept(tmp_path, Live()))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes() + torn)
    with pytest.raises(KeyboardInterrupt):
        run(cases, Live(stops_after=2), words, open_kept(tmp_path, Live(), take="resume"))
    rest = Live()
    run(cases, rest, words, open_kept(tmp_path, rest, take="resume"))
    assert rest.asked == ["q5"]


def test_what_is_kept_can_be_read_by_its_owner_only_and_forgotten(cases, words, tmp_path):
    """Answers may hold what users said: the file is for its owner, holds no question, and can be removed."""
    with pytest.raises(KeyboardInterrupt):
        run(
            [replace(cases[0], question="secret question"), *cases],
            Live(stops_after=3),
            words,
            open_kept(tmp_path, Live()),
        )
    path = next(tmp_path.iterdir())
    assert path.stat().st_mode & 0o077 == 0
    assert "secret question" not in path.read_text()
    assert forget_kept(tmp_path) == 1
    assert forget_kept(tmp_path / "none") == 0


def test_recorded_answers_are_kept_already(tmp_path):
    """A target of recorded answers has no file of its own."""
    said = tmp_path / "said.jsonl"
    said.write_text('{"question": "q", "answer": "a"}\n')
    assert open_kept(tmp_path / "kept", make_target(f"recorded:{said}"), take="resume") is None


def test_other_settings_are_another_target(tmp_path, words, cases):
    """A changed body, argument or model is another file: answers of one are never taken for the other."""
    specs = []
    for body in ('q = "{question}"', 'q = "{question}!"'):
        path = tmp_path / f"{len(specs)}.toml"
        path.write_text(f'name = "n"\nversion = "1"\nurl = "http://h/"\n[body]\n{body}\n')
        specs.append(make_target(str(path)))
    folder = tmp_path / "kept"
    for target in [*specs, make_target("command:echo a"), make_target("command:echo b")]:
        kept = open_kept(folder, target)
        kept.begin(1)
        kept.close()
    assert len(list(folder.iterdir())) == 4


KILLED = """
import pathlib, sys, time
from andon.evals import Output
from andon.evals.run import open_kept, run_evals
from andon.golden import Case
from andon.scores import SCORERS
folder, asked, slow, take = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]

class Live:
    name = "live"
    def ask(self, case):
        time.sleep(slow)
        with asked.open("a") as f:
            f.write(case.question + "\\n")
        return Output(answer=case.question.upper(), cost_usd=0.1)

class Words:
    name = "words"

cases = [
    Case(question=f"q{i}", answer=None, contexts=(), ground_truth=f"Q{i}" if i % 3 else "no", source="", failure_reason="",
         added_date="", id=f"G-{i}")
    for i in range(200)
]
target = Live()
run = run_evals(cases, target, {s.name: s for s in SCORERS}, Words(), now_us=int(sys.argv[5]), workers=4, repeats=2,
                kept=open_kept(folder, target, take=take))
print(run.id)
"""


def test_a_killed_run_goes_on_and_is_the_same_run(tmp_path):
    """After kill -9 half-way the rest is asked, no answer twice but those on their way, and the run has the same id."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)

    def start(name, slow, take, now_us):
        args = [
            sys.executable,
            str(script),
            str(tmp_path / name),
            str(tmp_path / f"{name}.asked"),
            str(slow),
            take,
            str(now_us),
        ]
        return subprocess.Popen(args, stdout=subprocess.PIPE, text=True)

    other = start("whole", 0, "nothing", 7)
    first = start("killed", 0.01, "nothing", 7)
    asked = tmp_path / "killed.asked"
    until = time.monotonic() + 30
    while time.monotonic() < until and (not asked.exists() or len(asked.read_text().splitlines()) < 150):
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=30)
    whole = other.communicate(timeout=60)[0]
    before = len(asked.read_text().splitlines())
    assert 150 <= before < 400
    rest = start("killed", 0, "resume", 8)
    assert rest.communicate(timeout=60)[0] == whole
    after = asked.read_text().splitlines()
    assert 400 <= len(after) <= 404  # the four that were on their way when it was killed are asked again
    assert rest.returncode == 0


def test_two_runs_may_write_at_the_same_time(cases, words, tmp_path):
    """Lines of two runs of one target stand beside each other; each goes on with its own."""
    one, two = open_kept(tmp_path, Live("1")), open_kept(tmp_path, Live("1"))
    one.begin(1)
    two.begin(2)
    for i in range(50):
        one.keep(f"one{i}", Output(answer="é" * 2000))
        two.keep(f"two{i}", Output(answer="x"))
    one.close()
    two.end(whole=True)
    two.close()
    kept = open_kept(tmp_path, Live("1"), take="resume")
    assert (kept.answers, kept.begun_us) == (50, 1)
    assert open_kept(tmp_path, Live("1"), take="cache").answers == 100
    rows = [json.loads(line) for line in Path(next(tmp_path.iterdir())).read_text().splitlines()]
    assert len(rows) == 103
