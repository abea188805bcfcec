"""For authors of plug-ins: the laws that a scorer, a case scorer, an embedder or a target must keep, as functions to call in a test.

from andon.testing import check_scorer

def test_my_scorer():
    check_scorer(MY_SCORER)
"""

import math
import re
from dataclasses import replace

import numpy as np

from andon.errors import AndonError
from andon.evals import CaseScorer, Output, Target, score_case
from andon.golden import Case
from andon.scores import Embedder, Scorer
from andon.traffic import Context, Interaction, ToolCall

__all__ = ["INTERACTIONS", "OUTPUTS", "check_case_scorer", "check_embedder", "check_scorer", "check_target"]

_FULL = Interaction(
    id="full",
    time_us=1_772_409_600_000_000,
    query="What is the capital of France?",
    answer="The capital of France is Paris [1].",
    contexts=(Context(id="1", text="Paris is the capital of France.", score=0.9),),
    tool_calls=(ToolCall(name="look_up", arguments="{}", result="Paris"),),
    expected_answer="Paris",
    risk_category="standard",
    refused=False,
    escalated=False,
    guardrail="pass",
    confidence=0.9,
    latency_s=0.7,
    input_tokens=12,
    output_tokens=9,
    cost_usd=0.001,
)
INTERACTIONS: tuple[Interaction, ...] = (
    _FULL,
    Interaction(id="bare", time_us=0),
    replace(_FULL, id="silent", answer=None),
    replace(_FULL, id="blank", answer="   "),
    replace(_FULL, id="failed", error="timeout", answer=None),
    replace(_FULL, id="hostile", answer="<script>alert(1)</script>\x1b[2J'; DROP TABLE scores; --", query="\u202e[[["),
    replace(_FULL, id="huge", answer="sorry " * 50_000),
)
"""Interactions that a scorer must survive: whole, bare, silent, failed, hostile and huge."""


OUTPUTS: tuple[Output, ...] = (
    Output(answer="The capital of France is Paris [1].", contexts=("Paris is the capital of France.",)),
    Output(answer=None),
    Output(answer="   "),
    Output(answer=None, tool_calls=(ToolCall(name="look_up", arguments="{}"),)),
    Output(answer="x", tool_calls=(ToolCall(name="\x1b[2J", arguments="[" * 10_000, error="boom"),)),
    Output(answer="<script>alert(1)</script>\x1b[2J'; DROP TABLE cases; -- \u202e[[["),
    Output(answer="sorry 1,2. " * 50_000),
)
"""Outputs that a case scorer must survive: whole, silent, blank, only calls, calls and texts that are hostile, and huge."""


class _Words:
    """An embedder for scorers that ask for one: word counts, hashed."""

    name = "words"

    def embed(self, texts: "tuple[str, ...] | list[str]") -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        rows = np.zeros((len(texts), 64), dtype=np.float32)
        for k, text in enumerate(texts):
            for word in text.split():
                rows[k, sum(word.encode()) % 64] += 1
            rows[k] /= np.linalg.norm(rows[k]) or 1.0
        return rows


def check_scorer(scorer: Scorer) -> None:
    """A scorer is named, versioned, repeatable, finite, in its range, and never rewards a missing answer.

    Raises:
        AssertionError: a law is broken; the message names it.
    """
    assert re.fullmatch(r"[a-z][a-z0-9_]*", scorer.name), f"{scorer.name!r} is not a lower-case identifier"
    assert scorer.version, f"{scorer.name} has no version"
    words: Embedder = _Words()  # type: ignore[assignment]
    for interaction in INTERACTIONS:
        value = scorer.score(interaction, words)
        assert value == scorer.score(interaction, words), f"{scorer.name} gives two values for {interaction.id!r}"
        if value is None:
            continue
        assert math.isfinite(value), f"{scorer.name} gives {value} for {interaction.id!r}"
        assert scorer.kind != "binary" or value in (0, 1), f"{scorer.name} is a rate and gives {value}"
    whole, silent = scorer.score(_FULL, words), scorer.score(replace(_FULL, answer=None), words)
    if whole is not None and silent is not None and scorer.bad == "down":
        assert silent <= whole, f"{scorer.name} rewards a missing answer: {silent} over {whole}"


def check_case_scorer(scorer: CaseScorer, case: Case, *, right: Output, wrong: Output) -> None:
    """A case scorer is named, versioned, repeatable and finite, survives hostile outputs, and never passes a missing answer.

    Args:
        scorer: what is checked.
        case: a case that it can score.
        right: an output that must pass.
        wrong: an output that must fail.

    Raises:
        AssertionError: a law is broken; the message names it.
    """
    name = scorer.name
    assert re.fullmatch(r"[a-z][a-z0-9_]*(:\w+)?", name), f"{name!r} is not a lower-case identifier, nor `family:part`"
    assert scorer.version, f"{name} has no version"
    assert not re.search(r"\s", name + scorer.version), f"{name}@{scorer.version} holds a space"
    words: Embedder = _Words()  # type: ignore[assignment]
    asked = replace(case, metric=name)
    for output, wanted in ((right, "pass"), (wrong, "fail")):
        found = score_case(asked, output, {name: scorer}, words)
        assert found.outcome == wanted, f"{name} says {found.outcome} where {wanted} is right: {found.detail}"
        assert found == score_case(asked, output, {name: scorer}, words), f"{name} gives two results for one output"
    for output in OUTPUTS:
        found = score_case(asked, output, {name: scorer}, words)
        missing = not (output.answer or "").strip() and not output.tool_calls
        assert not missing or found.outcome == "fail", f"{name} does not fail a missing answer"
        try:
            measured = scorer.score(asked, output, words)
        except AndonError:
            continue
        if measured is not None:
            numbers = (measured.value, *measured.judged)
            assert all(map(math.isfinite, numbers)), f"{name} gives {numbers} for {(output.answer or '')[:30]!r}"
            assert len(measured.detail) <= 1000, f"the detail of {name} has {len(measured.detail)} characters"
            assert measured.detail.isprintable(), (
                f"the detail of {name} holds control characters of an output; quote them"
            )


def check_embedder(embedder: Embedder) -> None:
    """An embedder is named, keeps order and length, gives unit vectors, a zero vector for no text, and repeats itself.

    Raises:
        AssertionError: a law is broken; the message names it.
    """
    texts = ["What is the capital of France?", "", "Paris", "What is the capital of France?", "naïve 日本語 \U0001f600"]
    vectors = embedder.embed(texts)
    assert embedder.name, "an embedder needs a name that every similarity carries"
    assert vectors.dtype == np.float32, f"vectors are {vectors.dtype}, not float32"
    assert len(vectors) == len(texts), f"{len(texts)} texts gave {len(vectors)} vectors"
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.allclose(lengths[[0, 2, 3, 4]], 1, atol=1e-4), f"lengths are {lengths}, not 1"
    assert lengths[1] == 0, "an empty text must give a zero vector"
    assert np.allclose(vectors[0], vectors[3], atol=1e-6), "the same text gave two vectors"
    assert np.allclose(embedder.embed([texts[2]])[0], vectors[2], atol=1e-5), "a text alone differs from it in a batch"


def check_target(target: Target, case: Case) -> Output:
    """A target is named and answers a case with an `Output`.

    Raises:
        AssertionError: a law is broken; the message names it.
    """
    assert target.name, "a target needs a name for reports"
    output = target.ask(case)
    assert isinstance(output, Output), f"{target.name} gave a {type(output).__name__}, not an Output"
    assert output.answer is None or isinstance(output.answer, str), f"{target.name} gave an answer that is no text"
    return output
