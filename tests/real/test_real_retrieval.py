"""Answers from retrieved passages that become a little worse, judged by people.

Data: Niu et al., *RAGTruth* (ACL 2024); Malaviya et al., *ExpertQA* (NAACL 2024); Katsis et al., *MTRAG* (TACL 2025);
Dziri et al., *BEGIN* (TACL 2022); packs `rag-ragtruth`, `rag-expertqa`, `rag-mtrag` and `rag-grounded-dialogue`.
"""

from pathlib import Path

import numpy as np
import pytest
from replayed import Played, Row, play, rows_of, summary, tell


def _ragtruth(data: Path, model: str) -> list[Row]:
    """One model's answers: thumbs by the annotators' labels, and the crude groundedness of the pack as a number."""
    rows = rows_of(data / "rag-ragtruth" / "qa_responses.jsonl.gz")
    return [
        {
            "app": "questions",
            "query": r["question"],
            "answer": r["response"][:400],
            "model": r["model"],
            "confidence": r["response_words_in_context"],
            "_thumb": not r["hallucinated"],
        }
        for r in rows
        if r["model"] == model
    ]


@pytest.fixture(scope="module")
def smaller(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Ten days of llama-2-70b, then five of llama-2-13b: 8 points more answers with a hallucination."""
    before, after = (_ragtruth(shared_data, f"llama-2-{size}-chat") for size in ("70b", "13b"))
    return play(tmp_path_factory.mktemp("ragtruth"), before, after, per_hour=40, days=(10, 5))


@pytest.mark.slow
def test_eight_points_of_hallucination_page(smaller: Played) -> None:
    """A third of answers hallucinated become four tenths: the chart of what people said signals within five days, none before."""
    summary("rag-ragtruth, 70b to 13b", smaller)
    signal = tell("llama-2-70b to 13b, 8 points by people's labels", smaller, "page", "thumbs", "down")
    assert smaller.early == []
    assert signal is not None
    assert smaller.holds(signal)


@pytest.mark.slow
def test_a_crude_score_of_groundedness_is_charted(smaller: Played) -> None:
    """The share of the answer's words that stand in the passages (AUC 0.64 against people) is told as measured, found or not."""
    for aspect in ("", "tail"):
        name, expected = "llama-2-70b to 13b, crude groundedness", "page, if it can be seen"
        signal = tell(name, smaller, expected, "confidence", "down", aspect=aspect)
        assert signal is None or signal.kind == "number"


@pytest.mark.slow
def test_another_retrieval_index_pages(shared_data: Path, tmp_path: Path) -> None:
    """The same reader over another index (Google to Sphere): the chart of fully supported answers signals within five days."""
    claims: dict[str, list[bool]] = {}
    for claim in rows_of(shared_data / "rag-expertqa" / "claims.jsonl.gz"):
        if claim["support"] != "N/A":
            claims.setdefault(claim["response_id"], []).append(claim["support"] == "Complete")
    systems: dict[str, list[Row]] = {}
    for r in rows_of(shared_data / "rag-expertqa" / "answers.jsonl.gz"):
        for supported in claims.get(r["response_id"], []):  # a row for each sentence that an expert judged
            row = {"app": "experts", "query": r["question"], "answer": r["answer"][:200], "_thumb": supported}
            systems.setdefault(r["system"], []).append(row)
    played = play(tmp_path, systems["rr_gs_gpt4"], systems["rr_sphere_gpt4"], per_hour=20, days=(10, 5))
    summary("rag-expertqa, Google to Sphere", played)
    before, after = (np.mean([r["_thumb"] for r in systems[s]]) for s in ("rr_gs_gpt4", "rr_sphere_gpt4"))
    name = f"another index, supported claims {before:.0%} to {after:.0%}"
    signal = tell(name, played, "page", "thumbs", "down")
    assert played.early == []
    assert signal is not None


@pytest.mark.slow
def test_a_model_in_place_of_people_pages(shared_data: Path, tmp_path: Path) -> None:
    """GPT-4o takes over from answers that people wrote: raters find it less faithful, and their chart says so within five days."""
    rated = rows_of(shared_data / "rag-mtrag" / "human_eval.jsonl.gz")
    sides = [
        [
            {
                "app": "turns",
                "query": r["conversation"][-1]["text"],
                "answer": r["response"][:200],
                "segment": r["domain"],
                "_thumb": r["human_faithfulness_mean"] >= 3,
            }
            for r in rated
            if r["model"] == model and r["human_faithfulness_mean"] is not None
        ]
        for model in ("reference", "gpt-4o")
    ]
    played = play(tmp_path, *sides, per_hour=20, days=(10, 5))
    summary("rag-mtrag, people to GPT-4o", played)
    before, after = (np.mean([r["_thumb"] for r in side]) for side in sides)
    signal = tell(f"faithful by raters {before:.0%} to {after:.0%}", played, "page", "thumbs", "down")
    assert played.early == []
    assert signal is not None


def _dialogue(data: Path, model: str) -> list[Row]:
    """One model's answers from a passage about a topic of Wikipedia: thumbs by the annotators' labels, passages as they came."""
    rows = rows_of(data / "rag-grounded-dialogue" / "turns.jsonl.gz")
    return [
        {
            "app": "talk",
            "query": r["user_message"],
            "answer": r["response"],
            "contexts": [r["context"]],
            "_thumb": r["label"] == "Fully attributable",
        }
        for r in rows
        if (r["domain"], r["model"]) == ("wow", model)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("models", [("ctrl", "t5"), ("t5", "doha")])
def test_groundedness_sees_what_people_saw(models: tuple[str, str], shared_data: Path, tmp_path: Path) -> None:
    """Another model invents more, by people's labels: groundedness, which has none of them, pages within five days, none before."""
    before, after = (_dialogue(shared_data, m) for m in models)
    played = play(tmp_path, before, after, per_hour=40, days=(10, 5))
    summary(f"rag-grounded-dialogue, {models[0]} to {models[1]}", played)
    said, now = (np.mean([r["_thumb"] for r in side]) for side in (before, after))
    name = f"{models[0]} to {models[1]}, attributable {said:.0%} to {now:.0%}"
    tell(f"{name}, by people's labels", played, "page", "thumbs", "down")
    typical = tell(f"{name}, typical groundedness", played, "page", "groundedness", "down")
    tail = tell(f"{name}, tail of groundedness", played, "page", "groundedness", "down", aspect="tail")
    assert played.early == []
    assert typical is not None or tail is not None


@pytest.mark.slow
def test_groundedness_sees_a_model_in_place_of_people(shared_data: Path, tmp_path: Path) -> None:
    """GPT-4o takes over from answers that people wrote: groundedness pages within five days, as the raters' chart does."""
    rated = [r for r in rows_of(shared_data / "rag-mtrag" / "human_eval.jsonl.gz") if r["contexts"]]
    sides = [
        [
            {
                "app": "turns",
                "query": r["conversation"][-1]["text"],
                "answer": r["response"],
                "contexts": [c["text"] for c in r["contexts"]],
            }
            for r in rated
            if r["model"] == model
        ]
        for model in ("reference", "gpt-4o")
    ]
    played = play(tmp_path, *sides, per_hour=20, days=(10, 5))
    summary("rag-mtrag, people to GPT-4o, groundedness", played)
    typical = tell("people to GPT-4o, typical groundedness", played, "page", "groundedness", "down")
    tail = tell("people to GPT-4o, tail of groundedness", played, "page", "groundedness", "down", aspect="tail")
    assert played.early == []
    assert typical is not None or tail is not None
