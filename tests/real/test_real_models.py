"""A model that moves without a word: the same prompts answered by GPT-3.5 and GPT-4 of March and of June 2023.

Data: Chen, Zaharia & Zou, *How is ChatGPT's behavior changing over time?* (2023); pack `drift-llmdrift`.
"""

from pathlib import Path

import pytest
from replayed import Played, Row, play, rows_of, summary, tell

PACE = 100.0
FILES = ("prime.jsonl.gz", "sensitive.jsonl", "code.jsonl", "opinion_survey.jsonl")
GPT4, GPT35 = "gpt-4", "gpt-3.5-turbo"

HARMED = [
    ("normalised_match", "down", "prime", GPT4),
    ("refusal", "up", "sensitive", GPT4),
    ("refusal", "up", "opinion_survey", GPT4),
    ("tool_error", "up", "code", GPT4),
    ("tool_error", "up", "code", GPT35),
]
"""What became worse: chart of a task and a model family."""

FINE = [
    ("normalised_match", "down", "prime", GPT35),
    ("refusal", "up", "opinion_survey", GPT35),
    ("refusal", "up", "sensitive", GPT35),
]
"""What became better: these charts must stay silent."""


@pytest.fixture(scope="module")
def drift(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Ten days of March, then three of June."""
    before, after = (_rows(shared_data, snapshot) for snapshot in ("2023-03", "2023-06"))
    return play(tmp_path_factory.mktemp("llmdrift"), before, after, per_hour=PACE)


def _rows(data: Path, snapshot: str) -> list[Row]:
    """A quarter of each task, so that no task is a rarity."""
    tasks = [[r for r in rows_of(data / "drift-llmdrift" / name) if r["snapshot"] == snapshot] for name in FILES]
    most = max(map(len, tasks))
    return [_traffic(rows[k % len(rows)]) for rows in tasks for k in range(most)]


def _traffic(r: Row) -> Row:
    row = {
        "app": "assistant",
        "query": r["query"] or r["query_id"],
        "answer": r["answer"][:1200],
        "task": r["task"],
        "requested_model": r["model_family"],
        "model": r["model"],
    }
    if r["task"] == "prime" and r["answer_chars"] <= len(r["answer"]):
        row["expected_answer"] = r["reference"]
    if r["task"] in ("sensitive", "opinion_survey"):
        row["refused"] = r["refused"]
    if r["task"] == "code":  # the authors ran the code as it came
        row["tool_calls"] = [{"name": "python", "error": None if r["correct"] else "NotExecutable"}]
    return row


@pytest.mark.slow
def test_what_became_worse_pages(drift: Played) -> None:
    """Every task and model that became worse pages on its own chart within three days."""
    summary("drift-llmdrift", drift)
    pages = [tell(f"{t}, {m}", drift, "page", metric, d, task=t, requested_model=m) for metric, d, t, m in HARMED]
    assert None not in pages


@pytest.mark.slow
def test_march_is_silent(drift: Played) -> None:
    """In ten days of answers of one month nothing pages."""
    assert drift.early == []


@pytest.mark.slow
def test_what_became_better_does_not(drift: Played) -> None:
    """A task that became better for a model family has no page on that chart."""
    pages = [tell(f"{t}, {m}", drift, "silence", metric, d, task=t, requested_model=m) for metric, d, t, m in FINE]
    assert pages == [None] * len(FINE)


@pytest.mark.slow
def test_the_mean_over_both_families_hides_what_the_segments_show(drift: Played) -> None:
    """Primes fall for GPT-4 and rise for GPT-3.5: the chart of GPT-4 pages long before the chart over both, if that ever does."""
    segment = drift.of("normalised_match", "down", task="prime", requested_model=GPT4)
    both = tell("prime, both families", drift, "late or never", "normalised_match", "down", task="prime")
    assert segment is not None
    assert both is None or both.at_us - drift.switch_us > 2 * (segment.at_us - drift.switch_us)


@pytest.mark.slow
def test_onsets_are_held(drift: Played) -> None:
    """At least nine of ten onset intervals hold the moment of the switch."""
    assert drift.onsets() >= 0.9
