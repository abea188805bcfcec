"""Real systems at two dates: what an equal average hides, and a control in which nothing changed."""

import os
from pathlib import Path

import packs_judged as packs
import pytest

from andon.evals import judge

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "gate.md"


@pytest.fixture(scope="module")
def data() -> Path:
    """The folder of the packs; without it the test is skipped and says how to have it."""
    place = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (place / "tools-bfcl").is_dir():
        pytest.skip(f"no real data in {place}: put the packs there, or name their folder in SHARED_DATA")
    return place


def by_hand(data: Path, model: str) -> tuple[set[str], set[str]]:
    """Items that a model lost and gained from July to August, straight from the rows."""
    rows = packs.rows_of(data / "tools-bfcl" / "calls.jsonl.gz")
    passed = {(r["item_id"], r["snapshot"]): r["passed"] for r in rows if r["model"] == model}
    items = {item for item, _ in passed}
    before, now = ({i for i in items if passed[i, date]} for date in ("2024-07-25", "2024-08-11"))
    return before - now, now - before


def test_the_control_passes(data):
    """Eight models at two dates with the same bytes: nothing lost, nothing gained, pass."""
    verdicts = [judge(now, before) for _, when, before, now in packs.bfcl(data) if when == "07-06 to 07-25"]
    assert [(v.outcome, v.lost, v.gained) for v in verdicts] == [("pass", (), ())] * 8


def test_losses_behind_an_equal_average_are_found_by_name(data):
    """claude-3-haiku passes 307 of 520 at both dates; 8 items were lost and 8 gained, and each of them is named."""
    pairs = {name: (before, now) for name, when, before, now in packs.bfcl(data) if when == "07-25 to 08-11"}
    before, now = pairs["tools-bfcl claude-3-haiku-20240307-FC"]
    verdict = judge(now, before)
    assert verdict.groups[0].before == verdict.groups[0].now
    assert ({*verdict.lost}, {*verdict.gained}) == by_hand(data, "claude-3-haiku-20240307-FC")
    assert verdict.outcome == "undecided"
    assert "equal on average, but 16 cases flipped" in verdict.notes[0]
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"`{item}`" in page for item in verdict.lost)


def test_a_category_that_fell_behind_a_better_average_fails(data):
    """mistral-small gains 49 points on average and loses 14 items of `relevance`: the gate fails, and names the category."""
    pairs = {name: (before, now) for name, when, before, now in packs.bfcl(data) if when == "07-25 to 08-11"}
    before, now = pairs["tools-bfcl mistral-small-2402-FC-Auto"]
    verdict = judge(now, before)
    assert verdict.outcome == "fail"
    assert [g.name for g in verdict.groups if g.outcome == "fail"] == ["relevance"]
    assert ({*verdict.lost}, {*verdict.gained}) == by_hand(data, "mistral-small-2402-FC-Auto")
    assert all(item.startswith("relevance") for item in verdict.lost)


def test_opposite_directions_do_not_cancel(data):
    """Primes fall for GPT-4 and rise for GPT-3.5: over both families the gate fails, and names GPT-4 alone."""
    _, _, before, now = next(p for p in packs.llmdrift(data) if "both families" in p[0])
    verdict = judge(now, before)
    assert verdict.outcome == "fail"
    assert [g.name for g in verdict.groups if g.part_of and g.outcome == "fail"] == ["gpt-4"]


def test_runs_without_a_shared_question_are_not_compared(data):
    """Of rag-expertqa no question was asked of two indexes: undecided, with what to do."""
    _, _, before, now = next(packs.expertqa(data))
    verdict = judge(now, before)
    assert verdict.outcome == "undecided"
    assert verdict.decides[0] == "run the baseline on this golden set"


def test_the_table_of_the_page_is_the_measured_one(data):
    """Every pair of snapshots stands in docs/methods/gate.md with its verdict, losses, gains and p."""
    page = PAGE.read_text(encoding="utf-8")
    missing = [line for line in (packs.row(*each) for each in packs.judged(data)) if line not in page]
    assert missing == []
