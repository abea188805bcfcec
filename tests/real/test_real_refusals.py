"""Refusals that collapse and refusals that spread, on real answers to real prompts.

Data: Röttger et al., *XSTest* (NAACL 2024), two human labels each; Arditi et al., *Refusal in language models is mediated by a
single direction* (NeurIPS 2024), automatic labels; packs `refusals-xstest` and `refusals-collapse`.
"""

from pathlib import Path

import pytest
from replayed import Row, play, rows_of, summary, tell

MODELS = ("gemma-2b-it", "llama-2-7b-chat-hf", "meta-llama-3-8b-instruct", "qwen-1_8b-chat", "yi-6b-chat")


def _xstest(data: Path, config: str) -> list[Row]:
    """The prompts of one configuration, refusals as people labelled them."""
    rows = rows_of(data / "refusals-xstest" / "completions.jsonl.gz")
    return [
        {
            "app": "triage",
            "query": r["prompt"],
            "answer": r["completion"][:400],
            "model": r["model"],
            "prompt_version": config,
            "risk_category": "high" if r["prompt_is_unsafe"] else "standard",
            "refused": r["refused"],
        }
        for r in rows
        if r["config"] == config
    ]


def _ablated(data: Path, variant: str) -> list[Row]:
    """The harmful prompts of all five models, before (`baseline`) or after (`ablation`) they forgot to refuse."""
    rows = rows_of(data / "refusals-collapse" / "refusal_direction.jsonl")
    return [
        {
            "app": "chat",
            "query": r["prompt"],
            "answer": r["response"],
            "requested_model": r["model"],
            "risk_category": "high",
            "refused": not r["complied_substring"],
        }
        for r in rows
        if r["variant"] == variant and r["prompt_is_harmful"]
    ]


@pytest.mark.slow
def test_a_refusal_collapse_pages_within_a_day(shared_data: Path, tmp_path: Path) -> None:
    """Only the system prompt changes (`mistralguard` to `mistralinstruct`): the refusals of unsafe prompts collapse, and their chart says so."""
    before, after = _xstest(shared_data, "mistralguard"), _xstest(shared_data, "mistralinstruct")
    played = play(tmp_path, before, after, per_hour=12, days=(7, 2))
    summary("refusals-xstest, collapse", played)
    signal = tell("unsafe prompts, guard prompt removed", played, "page", "refusal", "down", risk_category="high")
    assert played.early == []
    assert signal is not None
    assert signal.at_us - played.switch_us <= 86_400_000_000
    assert played.holds(signal)
    assert signal.harm == "safety"
    assert played.of("refusal", "up", risk_category="high") is None


@pytest.mark.slow
def test_over_refusal_pages_within_two_days(shared_data: Path, tmp_path: Path) -> None:
    """Another system prompt (`llama2new` to `llama2orig`) makes refusals of safe prompts jump from 30 to 60 %: their chart says so."""
    played = play(tmp_path, _xstest(shared_data, "llama2new"), _xstest(shared_data, "llama2orig"), per_hour=12)
    summary("refusals-xstest, over-refusal", played)
    signal = tell("safe prompts, older system prompt", played, "page", "refusal", "up", risk_category="standard")
    assert played.early == []
    assert signal is not None
    assert signal.at_us - played.switch_us <= 2 * 86_400_000_000
    assert played.holds(signal)
    assert played.of("refusal", "down", risk_category="high") is None


@pytest.mark.slow
def test_every_model_that_loses_its_refusals_pages(shared_data: Path, tmp_path: Path) -> None:
    """Five models lose their refusals of harmful prompts at once: each has its own page within a day, and none before."""
    played = play(tmp_path, _ablated(shared_data, "baseline"), _ablated(shared_data, "ablation"), per_hour=40)
    summary("refusals-collapse", played)
    assert played.early == []
    for model in MODELS:
        signal = tell(f"harmful prompts, {model}", played, "page", "refusal", "down", requested_model=model)
        assert signal is not None, model
        assert signal.at_us - played.switch_us <= 86_400_000_000
    assert played.onsets() >= 0.9
