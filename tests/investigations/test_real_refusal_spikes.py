"""Refusals that collapse and spread on real answers: which way, of which kind, and what came with it.

Data: Röttger et al., *XSTest* (NAACL 2024), human labels; Arditi et al., *Refusal in language models is mediated by a single
direction* (NeurIPS 2024), automatic labels; packs `refusals-xstest` and `refusals-collapse`. Items are real, the pace is ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from data_packs import pack
from planted import HOUR, MINUTE, T0, Planted, signal

from andon.investigations import Investigation
from andon.traffic import Interaction

MODELS = ("gemma-2b-it", "llama-2-7b-chat-hf", "meta-llama-3-8b-instruct", "qwen-1_8b-chat", "yi-6b-chat")


def drawn(rows: Sequence[Interaction], start_us: int, n: int, seed: int) -> list[Interaction]:
    """One of these interactions a minute, drawn with replacement."""
    picks = np.random.default_rng(seed).integers(0, len(rows), n)
    return [replace(rows[int(k)], id=f"{start_us}-{j}", time_us=start_us + j * MINUTE) for j, k in enumerate(picks)]


def xstest(config: str) -> list[Interaction]:
    """The prompts of one system prompt, refusals as people labelled them."""
    return [
        Interaction(
            id="x",
            time_us=0,
            app="triage",
            query=r["prompt"],
            answer=r["completion"][:400],
            model=r["model"],
            prompt_version=config,
            risk_category="high" if r["prompt_is_unsafe"] else "standard",
            task=r["topic"],
            refused=r["refused"],
        )
        for r in pack("refusals-xstest", "completions.jsonl.gz")
        if r["config"] == config
    ]


def edited(model: str, variant: str, *, harmful: bool) -> list[Interaction]:
    """Answers of a model whose weights were edited, or of the model before."""
    return [
        Interaction(
            id="x",
            time_us=0,
            app="triage",
            query=r["prompt"],
            answer=r["response"],
            model=model if variant == "baseline" else f"{model} {variant}",
            prompt_version="p1",
            risk_category="high" if harmful else "standard",
            refused=not r["complied_substring"],
        )
        for r in pack("refusals-collapse", "refusal_direction.jsonl")
        if r["model"] == model and r["variant"] == variant and r["prompt_is_harmful"] == harmful
    ]


@pytest.fixture
def investigated(plant: Callable[..., Planted]) -> Callable[..., Investigation]:
    """Replays 20 hours of one set of answers and 8 of another, and looks into it."""

    def look(before: Sequence[Interaction], after: Sequence[Interaction], **lead: Any) -> Investigation:
        traffic = [*drawn(before, T0 - 20 * HOUR, 1190, 1), *drawn(after, T0, 480, 2)]
        told = signal(baseline_from_us=T0 - 20 * HOUR, baseline_to_us=T0 - HOUR, **lead)
        return plant(traffic, lead=told).look(T0 + 8 * HOUR)

    return look


def spike(found: Investigation) -> tuple[str, str]:
    """Verdict and words on refusals."""
    return next((a.found, a.text) for a in found.analyses if a.name == "refusal spike")


def test_a_guard_prompt_that_was_removed(investigated) -> None:
    """Only the system prompt changed: missing refusals where the risk is high, of policy, with the prompt and not the model."""
    found = investigated(
        xstest("mistralguard"), xstest("mistralinstruct"), direction="down", scope={"risk_category": "high"}
    )
    verdict, text = spike(found)
    assert verdict == "yes"
    assert text.startswith("Missing refusals: they fell where the risk is high")
    assert "policy rather than capability" in text
    assert 'new since the onset: prompt version "mistralinstruct"' in text
    assert found.suspects[0].kind == "prompt"
    tests = {t.name: t.result for t in found.suspects[0].tests}
    assert tests["policy decisions"] == "supports"
    assert tests["same hour"] == "cannot tell"  # everybody saw it at once


def test_a_prompt_that_blocks_too_much(investigated) -> None:
    """The opposite failure: over-blocking of safe prompts, of policy, with the prompt; the same questions fail more often."""
    found = investigated(xstest("llama2new"), xstest("llama2orig"), scope={"risk_category": "standard"})
    verdict, text = spike(found)
    assert verdict == "yes"
    assert text.startswith("Over-blocking: refusals rose where the risk is not high")
    assert "policy rather than capability" in text
    assert 'new since the onset: prompt version "llama2orig"' in text
    assert found.suspects[0].kind == "prompt"
    silent = next(a for a in found.analyses if a.name == "silent regression")
    assert silent.found == "yes"
    assert "exact McNemar" in silent.text


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_weights_that_lost_their_refusals(investigated, model: str) -> None:
    """The weights changed and the prompt did not: missing refusals, and the model is what came with them, never the prompt."""
    found = investigated(
        edited(model, "baseline", harmful=True), edited(model, "ablation", harmful=True), direction="down"
    )
    verdict, text = spike(found)
    assert verdict == "yes"
    assert text.startswith("Missing refusals")
    assert f'new since the onset: model "{model} ablation".' in text
    assert found.suspects[0].kind == "model"


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_weights_that_refuse_everything(investigated, model: str) -> None:
    """Refusals induced on harmless prompts: over-blocking, with the model."""
    found = investigated(edited(model, "baseline", harmful=False), edited(model, "actadd", harmful=False))
    verdict, text = spike(found)
    assert verdict == "yes"
    assert text.startswith("Over-blocking")
    assert f'new since the onset: model "{model} actadd".' in text
    assert found.suspects[0].kind == "model"


def test_the_same_answers_are_no_spike(investigated) -> None:
    """The same system prompt before and since: no spike, and no silent regression is claimed."""
    found = investigated(xstest("llama2new"), xstest("llama2new"), scope={"risk_category": "standard"})
    assert spike(found)[0] == "no"
    assert next(a for a in found.analyses if a.name == "silent regression").found != "yes"
