"""Answers from retrieved passages that became worse for a known reason: is it retrieval or generation?

Data: Niu et al., *RAGTruth* (ACL 2024); Malaviya et al., *ExpertQA* (NAACL 2024); Hu et al., *RefChecker* (2024); packs
`rag-ragtruth`, `rag-expertqa`, `rag-refchecker`. Labels are people's. Items are real, the pace is ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from data_packs import pack
from planted import HOUR, MINUTE, T0, Planted, signal

from andon.investigations import Investigation
from andon.investigations.freshness import corpus_drift, retrieval_or_generation
from andon.traffic import Context, Feedback, Interaction

Judged = tuple[Interaction, bool]


def ragtruth(model: str) -> list[Judged]:
    """One model's answers; the share of the question's words in each passage stands in for its score, as in the pack."""
    return [
        (
            Interaction(
                id="x",
                time_us=0,
                app="triage",
                query=r["question"],
                answer=r["response"][:400],
                model=model,
                index_version="msmarco",
                contexts=tuple(
                    Context(text="(not kept)", id=f"{r['source_id']}-{k}", score=s)
                    for k, s in enumerate(r["question_coverage"])
                ),
            ),
            bool(r["hallucinated"]),
        )
        for r in pack("rag-ragtruth", "qa_responses.jsonl.gz")
        if r["model"] == model
    ]


def expertqa(system: str, index: str) -> list[Judged]:
    """One row for each sentence that an expert judged, with the passages that it cites."""
    answers = {r["response_id"]: r for r in pack("rag-expertqa", "answers.jsonl.gz") if r["system"] == system}
    return [
        (
            Interaction(
                id="x",
                time_us=0,
                app="triage",
                query=c["question"],
                answer=c["claim"],
                model="gpt-4",
                index_version=index,
                contexts=tuple(
                    Context(text=e.split("\n\n", maxsplit=1)[-1], id=e.split("\n", maxsplit=1)[0])
                    for e in c["evidence"] or ()
                ),
            ),
            c["support"] != "Complete",
        )
        for c in pack("rag-expertqa", "claims.jsonl.gz")
        if c["response_id"] in answers and c["support"] != "N/A"
    ]


@pytest.fixture
def investigated(plant: Callable[..., Planted]) -> Callable[..., Investigation]:
    """Replays 30 hours of one set of answers and 20 of another with thumbs by the labels, and looks into it."""

    def look(before: Sequence[Judged], after: Sequence[Judged]) -> Investigation:
        traffic, thumbs = [], []
        for rows, start, n, seed in ((before, T0 - 30 * HOUR, 1790, 1), (after, T0, 1200, 2)):
            for j, k in enumerate(np.random.default_rng(seed).integers(0, len(rows), n)):
                i, harmed = rows[int(k)]
                at = start + j * MINUTE
                traffic.append(replace(i, id=f"{start}-{j}", time_us=at))
                about = {"id": f"f{start}-{j}", "interaction_id": f"{start}-{j}", "time_us": at + 1}
                thumbs.append(Feedback(**about, kind="thumb", value=float(not harmed)))
        rate = float(np.mean([h for _, h in before]))
        lead = signal(
            id="t@1",
            monitor="t",
            metric="thumbs",
            direction="down",
            harm="correctness",
            baseline_from_us=T0 - 30 * HOUR,
            baseline_to_us=T0 - HOUR,
            baseline_x=round(1700 * rate),
            baseline_n=1700,
        )
        return plant(traffic, feedback=thumbs, lead=lead).look(T0 + 20 * HOUR)

    return look


@pytest.mark.parametrize(
    ("before", "after"), [("70b", "13b"), ("70b", "7b"), ("13b", "7b")], ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_smaller_model_on_the_same_passages_is_generation(before: str, after: str) -> None:
    """The same questions and passages, another model: generation, not retrieval, with nearly all of the rise."""
    sides = [ragtruth(f"llama-2-{size}-chat") for size in (before, after)]
    found = retrieval_or_generation(*sides)
    rise = np.mean([h for _, h in sides[1]]) - np.mean([h for _, h in sides[0]])
    assert found.verdict == "generation"
    assert found.by_generation == pytest.approx(rise, abs=0.005)
    assert corpus_drift(*sides).found == "no"


def test_a_small_difference_of_models_is_left_open() -> None:
    """Four points between two models on 495 questions are within chance: nobody is blamed."""
    found = retrieval_or_generation(ragtruth("llama-2-70b-chat"), ragtruth("mistral-7B-instruct"))
    assert found.verdict == "cannot tell"


def refchecker(setting: str, model: str) -> list[Judged]:
    """Answers in one setting; closed book retrieves nothing. Harm: a claim that the reference does not support."""
    rows = pack("rag-refchecker", "responses.jsonl.gz")
    context = () if setting == "zero_context" else (Context(text="(not kept)", id=setting),)
    return [
        (
            Interaction(id=r["item_id"], time_us=0, query=r["item_id"], answer=r["response"], contexts=context),
            r["n_neutral"] + r["n_contradiction"] > 0,
        )
        for r in rows
        if r["setting"] == setting and r["model"] == model and not r["abstained"]
    ]


@pytest.mark.parametrize("model", ["chatgpt", "claude2", "davinci001", "gpt4", "llama2_70b_chat"])
def test_a_model_that_lost_its_passages_is_retrieval(model: str) -> None:
    """The same model with passages and without any: retrieval, with the words that equal passages cannot be compared."""
    found = corpus_drift(refchecker("noisy_context", model), refchecker("zero_context", model))
    assert found.found == "yes"
    assert "nothing was retrieved for 0 % before and 100 % since" in found.text


def test_another_model_on_noisy_passages_is_never_retrieval() -> None:
    """Over all pairs of models on the same items, where nothing of retrieval changed, retrieval is never blamed."""
    models = ("gpt4", "claude2", "chatgpt", "davinci001", "llama2_70b_chat")
    found = [
        corpus_drift(refchecker("noisy_context", a), refchecker("noisy_context", b)).found
        for a in models
        for b in models
        if a != b
    ]
    assert "yes" not in found


@pytest.mark.slow
def test_a_smaller_model_is_the_suspect_and_retrieval_is_cleared(investigated) -> None:
    """Replayed with thumbs: the model ranks first, drift is cleared, and the same questions fail more often."""
    found = investigated(ragtruth("llama-2-70b-chat"), ragtruth("llama-2-13b-chat"))
    looks = {a.name: a for a in found.analyses}
    assert found.suspects[0].kind == "model"
    assert looks["corpus drift"].found == "no"
    assert "Generation, not retrieval" in looks["corpus drift"].text
    assert "retrieval score is the same" in looks["corpus drift"].text
    assert looks["silent regression"].found == "yes"
    assert "exact McNemar" in looks["silent regression"].text


@pytest.mark.slow
def test_a_swapped_index_is_the_suspect_and_retrieval_is_blamed(investigated) -> None:
    """Google to Sphere with the same reader: the index ranks first, and harm comes with poorer passages.

    On the 266 and 221 rows themselves nobody can tell (a miss: retrieval is expected); replayed, which repeats rows, it is
    retrieval. These passages carry no scores; the words of the question stand in for them.
    """
    before, after = expertqa("rr_gs_gpt4", "google"), expertqa("rr_sphere_gpt4", "sphere")
    assert retrieval_or_generation(before, after).verdict == "cannot tell"
    found = investigated(before, after)
    drift = next(a for a in found.analyses if a.name == "corpus drift")
    assert found.suspects[0].kind == "index"
    assert drift.found == "yes"
    assert drift.text.startswith("Retrieval: harm rises because passages became poorer")
    assert "draw mostly on documents that were not retrieved earlier" in drift.text
