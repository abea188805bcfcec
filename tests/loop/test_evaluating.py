"""Laws of evals that are asked for without a person at the machine: what may be asked, and what becomes of it."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from andon.errors import InputError, StateError
from andon.evals import Baseline, EvalRun, make_target
from andon.golden import Case
from andon.golden.cases import case_id
from andon.loop import Loop, open_loop
from andon.loop.evaluating import Asked, KnownTarget, evaluate, find_target, known_targets, revision_of
from andon.settings import load

START_US = 1_772_409_600_000_000
OF = 40


def now_us() -> int:
    """The clock."""
    return time.time_ns() // 1000


def case(n: int) -> Case:
    """The n-th question of a legal assistant."""
    question, truth = f"Which article holds rule {n}?", f"Article {n}"
    return Case(
        id=case_id("legal", question, truth), question=question, ground_truth=truth, app="legal", answer=None,
        contexts=(), source="", failure_reason="", added_date="2026-03-01",
    )  # fmt: skip


def recorded(path: Path, right: int) -> None:
    """A model that answers the first `right` questions rightly."""
    rows = [{"question": case(n).question, "answer": f"Article {n if n < right else n + 1}"} for n in range(OF)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    """A loop with forty cases and two probes: of the version in place, which is right, and of a candidate, which is not."""
    text = "".join(
        f'[[probe]]\nname = "{name}"\napp = "{app}"\ntarget = "recorded:{tmp_path}/{name}.jsonl"\nevery = "7d"\n'
        for name, app in (("place", "legal"), ("candidate", "legal"), ("elsewhere", "travel"))
    )
    (tmp_path / "andon.toml").write_text(text, encoding="utf-8")
    recorded(tmp_path / "place.jsonl", OF)
    recorded(tmp_path / "candidate.jsonl", OF // 2)
    made = open_loop(
        load(
            {
                "ANDON_HOME": str(tmp_path / "home"),
                "ANDON_CONFIG": str(tmp_path / "andon.toml"),
                "ANDON_EMBEDDER": "hashed",
            }
        )
    )
    for n in range(OF):
        made.ledger.put(case(n), now_us=START_US, by="ann")
    return made


def test_a_run_becomes_the_baseline_and_a_worse_candidate_fails_against_it(loop: Loop) -> None:
    """The run of a known target is kept and set as the baseline with its spec; the gate compares a candidate with it."""
    told: list[float] = []
    asked = Asked(target="probe:place", baseline=True, by="ann")
    run, _ = evaluate(loop, asked, clock=now_us, report=lambda p: told.append(p.whole.done / p.whole.all))
    kept = loop.ledger.get(Baseline, "legal")
    assert kept is not None
    assert (kept.run, kept.target, kept.by) == (run.id, loop.probes[0].target, "ann")
    assert loop.ledger.get(EvalRun, run.id) == run
    assert told == sorted(told)
    assert told[-1] == 1.0
    worse, verdict = evaluate(loop, Asked(target="probe:candidate", gate=True, by="ann"), clock=now_us)
    assert (verdict.outcome, verdict.passed, verdict.failed) == ("fail", OF // 2, OF // 2)
    assert loop.ledger.get(EvalRun, worse.id) == worse
    _, verdict = evaluate(loop, Asked(target="baseline:legal", gate=True, by="ann"), clock=now_us)
    assert verdict.outcome != "fail"
    assert loop.ledger.get(Baseline, "legal") == kept, "a gate sets no baseline"


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        (Asked(target="probe:place", gate=True, by="ann"), StateError, "no baseline to compare with"),
        (Asked(target="probe:place", gate=True, baseline=True, by="ann"), InputError, "ask for one of them"),
        (Asked(target="probe:place", resume=True, by="ann"), InputError, "was broken off"),
        (Asked(target="probe:elsewhere", by="ann"), InputError, 'golden set of "travel" is empty'),
        (Asked(target="probe:nobody", by="ann"), InputError, "known are probe:place, probe:candidate, probe:elsewhere"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_kept(
    loop: Loop, asked: Asked, error: type[Exception], said: str
) -> None:
    """The message says what is missing, and no run is in the ledger."""
    with pytest.raises(error, match=said):
        evaluate(loop, asked, clock=now_us)
    assert loop.ledger.ids(EvalRun) == []


SPECS = st.sampled_from(
    ["python:os:getcwd", "command:id", "https://10.0.0.1/", "file:/etc/passwd", "recorded:/etc/passwd"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(name=SPECS | st.text(max_size=40) | SPECS.map(lambda s: f"baseline:{s}") | SPECS.map(lambda s: f"probe:{s}"))
def test_only_what_was_written_down_is_ever_asked(loop: Loop, name: str) -> None:
    """Whatever a request names, the spec that is asked stands in andon.toml or in a baseline, or nothing is asked."""
    written = {p.target for p in loop.probes} | {b.target for b in loop.ledger.all(Baseline)}
    try:
        assert find_target(loop.ledger, loop.probes, name).spec in written
    except InputError:
        return


def test_known_targets_are_those_of_baselines_and_probes(loop: Loop) -> None:
    """Each has a name that requests use, its application, and where it was written."""
    loop.ledger.put(
        Baseline(id="legal", target="python:mine:ask", run="E-1", by="ann", at_us=START_US), now_us=START_US, by="ann"
    )
    found = known_targets(loop.ledger, loop.probes)
    assert [t.name for t in found] == ["baseline:legal", "probe:place", "probe:candidate", "probe:elsewhere"]
    assert found[0] == KnownTarget(
        name="baseline:legal", app="legal", spec="python:mine:ask", source="the baseline that ann set"
    )
    assert found[1].source == loop.probes[0].source


def test_a_revision_is_told_of_code_only(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The revision of the working directory is that of a program or a module that stands in it, and of nothing else."""
    monkeypatch.setenv("GITHUB_SHA", "abc\n123")
    assert revision_of(make_target("command:true")) == {"revision": "abc 123"}
    assert revision_of(make_target(loop.probes[0].target)) == {}
