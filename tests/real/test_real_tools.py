"""Calls of tools by eight models: two dates with identical outputs, and a third at which some models moved.

Data: results of the Berkeley Function Calling Leaderboard; pack `tools-bfcl`.
"""

from pathlib import Path

import numpy as np
import pytest
from replayed import Played, Row, play, rows_of, summary, tell

FIRST, SAME, MOVED = "2024-07-06", "2024-07-25", "2024-08-11"
SHARP = 0.05
"""Points of accuracy in one category by which a model must fall to have become worse."""


def _calls(data: Path, date: str) -> list[Row]:
    """The calls of one date: a failed check is a tool's error."""
    return [
        {
            "app": "tools",
            "query": r["item_id"],
            "answer": "done",
            "requested_model": r["model"],
            "task": r["category"],
            "tool_calls": [{"name": "function", "error": None if r["passed"] else r["error_type"] or "wrong"}],
        }
        for r in rows_of(data / "tools-bfcl" / "calls.jsonl.gz")
        if r["snapshot"] == date
    ]


@pytest.mark.slow
def test_identical_outputs_do_not_page(shared_data: Path, tmp_path: Path) -> None:
    """The control: the same outputs at two dates raise no page, over eight models and four categories."""
    played = play(tmp_path, _calls(shared_data, FIRST), _calls(shared_data, SAME), per_hour=100)
    summary("tools-bfcl, identical outputs", played)
    assert played.pages == []


@pytest.fixture(scope="module")
def moved(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Played, dict[tuple[str, str], float]]:
    """The third date, and by how much each model and category changed."""
    before, after = _calls(shared_data, SAME), _calls(shared_data, MOVED)
    played = play(tmp_path_factory.mktemp("bfcl"), before, after, per_hour=100, days=(10, 7))
    rates = []
    for side in (before, after):
        passed: dict[tuple[str, str], list[bool]] = {}
        for row in side:
            passed.setdefault((row["requested_model"], row["task"]), []).append(row["tool_calls"][0]["error"] is None)
        rates.append({k: float(np.mean(v)) for k, v in passed.items()})
    return played, {k: rates[1][k] - rates[0][k] for k in sorted(rates[0])}


@pytest.mark.slow
def test_models_that_became_worse_page(moved: tuple[Played, dict[tuple[str, str], float]]) -> None:
    """Where a model lost ten points or more in a category, its chart pages within a week; smaller losses are told as measured."""
    played, change = moved
    summary("tools-bfcl, the third date", played)
    worse = sorted((c, k) for k, c in change.items() if c <= -SHARP)
    found = {}
    for lost, (model, task) in worse:
        scope = {"requested_model": model, "task": task}
        found[model, task] = tell(f"{model}, {task}, {lost:+.0%}", played, "page", "tool_error", "up", **scope)
    assert played.early == []
    assert worse
    assert all(found[key] is not None for lost, key in worse if lost <= -0.10)


@pytest.mark.slow
def test_models_that_became_better_do_not(moved: tuple[Played, dict[tuple[str, str], float]]) -> None:
    """Where a model gained or stayed as it was, its chart is silent."""
    played, change = moved
    for (model, task), gained in change.items():
        if gained >= 0:
            scope = {"requested_model": model, "task": task}
            assert tell(f"{model}, {task}, {gained:+.0%}", played, "silence", "tool_error", "up", **scope) is None
