"""Laws of probes: what is asked on a schedule, what a fall raises, and what it proposes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from andon.errors import InputError
from andon.evals import CaseResult, EvalRun, Probed
from andon.evals.probes import METRIC, Probe, chosen, next_us, objectives_of_probes, probes_of, signals_of
from andon.golden import Case
from andon.golden.cases import case_id
from andon.incidents import Incident, Message
from andon.incidents.run import timeline_of
from andon.loop import Loop, open_loop
from andon.scores.rows import PROBE
from andon.settings import load
from andon.store import Rollup, Where

WEEK_US = 7 * 86_400_000_000
START_US = 1_772_409_600_000_000


def case(n: int, **more: object) -> Case:
    """The n-th question of a legal assistant."""
    question, truth = f"Which article holds rule {n}?", f"Article {n}"
    fields = {"answer": None, "contexts": (), "source": "", "failure_reason": "", "added_date": "2026-03-01"} | more
    return Case(id=case_id("legal", question, truth), question=question, ground_truth=truth, app="legal", **fields)  # type: ignore[arg-type]


def recorded(path: Path, right: int, of: int = 50) -> None:
    """A model that answers the first `right` questions rightly."""
    rows = [{"question": case(n).question, "answer": f"Article {n if n < right else n + 1}"} for n in range(of)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


class Ear:
    """A channel that keeps what it is told."""

    name = "chat"

    def __init__(self, told: list[Message]) -> None:
        self._told = told

    def send(self, message: Message) -> None:
        self._told.append(message)


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    """A loop with fifty cases and a weekly probe of them."""
    toml = tmp_path / "andon.toml"
    toml.write_text(
        f'[[probe]]\nname = "weekly"\napp = "legal"\ntarget = "recorded:{tmp_path}/model.jsonl"\nevery = "7d"\n'
        'cases = 50\nbar = 0.95\nlever = "citations"\n',
        encoding="utf-8",
    )
    made = open_loop(
        load({"ANDON_HOME": str(tmp_path / "home"), "ANDON_CONFIG": str(toml), "ANDON_EMBEDDER": "hashed"})
    )
    for n in range(60):
        made.ledger.put(case(n), now_us=START_US, by="ann")
    recorded(tmp_path / "model.jsonl", right=60, of=60)
    return made


def test_a_fall_below_the_bar_opens_an_incident_and_proposes_the_lever(loop: Loop, tmp_path: Path) -> None:
    """Fifty questions a week: a week at the bar says nothing; the week in which a quarter fails pages.

    It dates the fall between the two runs, and proposes to hold the lever. Nothing is pulled.
    """
    first, second = START_US, START_US + WEEK_US
    assert [(p.passed, p.failed, p.signals) for p in loop.probe(first)] == [(50, 0, ())]
    assert loop.probe(second - 1) == []
    recorded(tmp_path / "model.jsonl", right=30, of=60)
    (fallen,) = loop.probe(second)
    assert fallen.failed > 12
    loop.tick(second + 120_000_000)
    (incident,) = loop.ledger.all(Incident)
    assert (incident.app, incident.metric, incident.scope) == ("legal", METRIC, {"source": PROBE, "segment": "weekly"})
    assert (incident.onset_low_us, incident.onset_high_us) == (first, second)
    (proposed,) = (e.text for e in timeline_of(loop.ledger, incident) if e.kind == "signal")
    assert "proposed: hold citations at its safe value" in proposed
    told: list[Message] = []
    loop.tell([Ear(told)], second + 130_000_000)
    assert "Proposed: hold citations" in told[0].text
    loop.tick(second + 240_000_000)
    assert len(loop.ledger.all(Incident)) == 1
    loop.close()


def test_its_answers_are_traffic_of_their_own_with_a_pass_rate(loop: Loop) -> None:
    """The answers of a probe are interactions with the source `probe`, never sampled out, and their passes a metric."""
    loop.probe(START_US)
    loop.tick(START_US + 120_000_000)
    plan = Rollup(
        table="scores", metrics=(METRIC, "normalised_match"), where=(Where(column="source", op="eq", value=PROBE),)
    )
    row = loop.warehouse.run(plan)
    assert (row[f"{METRIC}.n"][0].as_py(), row[f"{METRIC}.sum"][0].as_py()) == (50, 50.0)
    assert row["normalised_match.n"][0].as_py() == 50
    loop.close()


def test_what_cannot_be_asked_is_said_and_asked_again_within_the_hour(loop: Loop, tmp_path: Path) -> None:
    """A probe without cases, or with a target that is not there, is no pass and no alarm; `problem` says why."""
    (tmp_path / "model.jsonl").unlink()
    (done,) = loop.probe(START_US)
    assert "cannot be read" in done.problem
    assert (done.run, done.signals, done.kept_us) == ("", (), None)
    assert loop.probe(START_US + 3_599_000_000) == []
    recorded(tmp_path / "model.jsonl", right=60, of=60)
    (done,) = loop.probe(START_US + 3_600_000_000)
    assert (done.passed, done.problem) == (50, "")
    with pytest.raises(InputError, match='there is no probe "x"'):
        loop.probe(START_US, "x")
    loop.close()


def run_of(failed: int, n: int, at_us: int = START_US) -> EvalRun:
    """A run of n cases."""
    results = tuple(CaseResult(case_id=str(k), outcome="fail" if k < failed else "pass") for k in range(n))
    return EvalRun(id=f"E-{failed}", at_us=at_us, target="t", golden="g", scorers="", results=results)


PROBE_ = Probe(name="weekly", app="legal", target="t", every_s=7 * 86400, source="andon.toml, probe 1")


@pytest.mark.parametrize(
    ("failed", "level"), [(0, None), (2, None), (3, "warning"), (5, "warning"), (6, "page"), (50, "page")]
)
def test_a_page_needs_what_chance_would_not_give(failed: int, level: str | None) -> None:
    """Of fifty with a bar of 95 %, three failures come in 46 % of the runs of a system that is at it, six in 3.8 %.

    Only these page.
    """
    found = signals_of(PROBE_, run_of(failed, 50), None, window_us=300_000_000)
    assert [s.level for s in found] == ([] if level is None else [level])


def test_the_onset_lies_between_the_last_good_run_and_the_first_bad_one() -> None:
    """What happened between two runs is not dated nearer than that; runs that failed or were not answered date nothing."""
    asked_us = START_US - 5 * 86_400_000_000
    last = Probed(id="weekly", at_us=START_US - 1, kept_us=asked_us, problem="no target")
    (signal,) = signals_of(PROBE_, run_of(20, 50), last, window_us=300_000_000)
    assert (signal.onset_low_us, signal.onset_high_us) == (asked_us, START_US)
    assert abs(sum(p for _, p in signal.onset_probability) - 1) < 0.001
    assert all(asked_us <= t < START_US for t, _ in signal.onset_probability)


def test_what_could_not_be_asked_is_no_pass() -> None:
    """One answer that passes beside 49 errors is an outage of the probe, and pages as that; two errors of fifty may be chance."""
    run = run_of(0, 50)
    broken = replace(run, results=tuple(replace(r, outcome="error") if k else r for k, r in enumerate(run.results)))
    (signal,) = signals_of(PROBE_, broken, None, window_us=300_000_000)
    assert (signal.metric, signal.level, signal.harm, signal.x, signal.n) == ("error", "page", "availability", 49, 50)
    assert signal.proposal == ""
    few = replace(run, results=tuple(replace(r, outcome="error") if k < 2 else r for k, r in enumerate(run.results)))
    assert signals_of(PROBE_, few, None, window_us=300_000_000) == []


def test_variants_of_one_case_count_as_one() -> None:
    """Eight failures of fifty page; eight wordings of one case that fail are one failure, and only warn."""
    run = run_of(8, 50)
    assert [s.level for s in signals_of(PROBE_, run, None, window_us=300_000_000)] == ["page"]
    alike = replace(run, results=tuple(replace(r, cluster="one") if r.outcome == "fail" else r for r in run.results))
    assert [s.level for s in signals_of(PROBE_, alike, None, window_us=300_000_000)] == ["warning"]


def test_always_the_same_cases_are_asked() -> None:
    """Of too many cases the same ones are asked whatever their order, and a case that joins changes few of them."""
    cases = [case(n) for n in range(200)]
    probe = Probe(name="w", app="legal", target="t", every_s=60, cases=50, source="")
    asked = {c.id for c in chosen(probe, cases)}
    assert asked == {c.id for c in chosen(probe, cases[::-1])}
    assert len(asked - {c.id for c in chosen(probe, [*cases, case(200)])}) <= 1
    gone = [case(n, retired="2026-03-02") for n in range(200)]
    assert chosen(probe, gone) == []
    assert {c.metric for c in chosen(Probe(name="w", app="legal", target="t", every_s=60, metric="m", source=""),
                                     [case(1), case(2, metric="m")])} == {"m"}  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "name is missing"),
        ({"name": "a", "app": "b", "target": "c", "every": "weekly"}, 'every = "weekly"'),
        ({"name": "a", "app": "b", "target": "c", "every": "1d", "bar": 95}, "bar = 95"),
        ({"name": "a", "app": "b", "target": "c", "every": "1d", "cases": 0.5}, "cases = 0.5"),
        ({"name": "a", "app": "b", "target": "c", "every": "1d", "cron": "*"}, '"cron" is not a key'),
        (3, "must be a table"),
    ],
)
def test_a_probe_that_is_not_understood_is_named(entry: object, said: str) -> None:
    """Every mistake in the file is said with the file, the entry and the key; two probes of one name are refused."""
    with pytest.raises(InputError, match=r"andon\.toml, probe 1") as error:
        probes_of({"probe": [entry]}, "andon.toml")
    assert said in str(error.value)
    good = {"name": "a", "app": "b", "target": "c", "every": "6h"}
    with pytest.raises(InputError, match=r"is taken by andon\.toml, probe 1"):
        probes_of({"probe": [good, good]}, "andon.toml")


def test_a_probe_is_due_after_its_time() -> None:
    """Never asked: now. Asked: again after `every`, or within the hour where it could not be asked."""
    assert next_us(PROBE_, None) == 0
    last = Probed(id="weekly", at_us=START_US)
    assert next_us(PROBE_, last) == START_US + WEEK_US
    assert next_us(PROBE_, replace(last, problem="no target")) == START_US + 3_600_000_000
    assert next_us(replace(PROBE_, every_s=60), replace(last, problem="no target")) == START_US + 60_000_000
    (objective,) = objectives_of_probes([PROBE_])
    assert (objective.metric, objective.at_most, objective.scope) == (
        METRIC,
        0.05,
        (("source", PROBE), ("segment", "weekly")),
    )
