"""The whole loop on real rows: a stable period, then the change that really happened."""

import sys
from pathlib import Path

import pytest

from andon.evals import Verdict, judge, make_target
from andon.evals.run import run_evals
from andon.golden import Case
from andon.golden.run import add_cases, label_failures, load_set, read_labels
from andon.loop import Loop, Replay, open_loop, replay
from andon.postmortems.run import write_documents
from andon.scores import minilm
from andon.settings import Settings

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))

import packs  # noqa: E402 - the adapters live in examples/, not in the product

PACKS = ["refusals-xstest", "drift-llmdrift", "rag-expertqa", "intents-clinc-oos"]


def _run(name: str, data: Path, home: Path) -> tuple[packs.Scene, dict[str, Path], Loop, Replay]:
    scene = packs.build(name, data)
    files = packs.write(scene, home / "scene")
    loop = open_loop(Settings(home=home / "store", window_s=60, embedder=_embedder(name)))
    feedback = [files["feedback"]] if scene.feedback else []
    return scene, files, loop, replay(loop, [files["traffic"]], feedback=feedback)


def _embedder(name: str) -> str:
    """Only the story of new questions needs meaning; the others are as true, and faster, with hashed words."""
    if name != "intents-clinc-oos":
        return "hashed"
    if not minilm.available(Settings()):
        pytest.skip("the weights of all-MiniLM-L6-v2 are not installed: run `andon model fetch`")
    return "minilm"


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKS)
def test_a_real_change_is_found_explained_and_gated(name: str, shared_data: Path, tmp_path: Path) -> None:
    """One incident of the right class, onset inside its interval, true cause first, and a gate that fails the bad version once six cases are lost, and is undecided before."""
    scene, files, loop, result = _run(name, shared_data, tmp_path)
    assert [i.impact for i in result.incidents] == [scene.impact]
    incident, first = result.incidents[0], result.investigations[0].suspects[0]
    assert incident.onset_low_us <= scene.changed_us < incident.onset_high_us
    assert incident.alarmed_us > scene.changed_us
    assert first.kind == scene.cause, [(s.kind, s.probability) for s in result.investigations[0].suspects[:3]]
    for path in write_documents(result.postmortems[0], tmp_path):
        assert path.suffix == ".svg" or incident.id in path.read_text(encoding="utf-8")
    cases = _grow(loop, files["labels"])
    assert cases
    good, bad = (_ask(loop, cases, files[version]) for version in ("good", "bad"))
    verdict = judge(bad, good)
    assert len(verdict.lost) >= 2, verdict
    assert verdict.outcome == ("fail" if len(verdict.lost) >= 6 else "undecided"), verdict  # five lost may be chance
    assert judge(good, good).outcome == "pass"
    assert _gains(judge(good, bad)) > 0
    loop.close()


@pytest.mark.slow
def test_identical_outputs_open_no_incident(shared_data: Path, tmp_path: Path) -> None:
    """The control, two snapshots with the same outputs, raises no signal at all."""
    _, _, loop, result = _run("tools-bfcl", shared_data, tmp_path)
    assert result.imported.acknowledged > 10_000
    assert result.incidents == ()
    loop.close()


def _grow(loop: Loop, labels: Path) -> list[Case]:
    for reviewer in ("ann", "bob"):  # high risk asks for two
        label_failures(loop.ledger, read_labels(labels), now_us=1, by=reviewer)
    add_cases(loop.ledger, loop.embedder, now_us=1, by="the pack")
    return load_set(loop.ledger)


def _ask(loop: Loop, cases: list[Case], answers: Path):  # type: ignore[no-untyped-def]
    scorers = {s.name: s for s in loop.scorers}
    return run_evals(cases, make_target(f"recorded:{answers}"), scorers, loop.embedder, now_us=1)


def _gains(verdict: Verdict) -> int:
    return len(verdict.gained)
