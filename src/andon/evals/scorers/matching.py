"""Case scorers that compare texts: one of several right answers, texts within it, its meaning, a refusal."""

import unicodedata
from typing import Any

from andon.errors import InputError
from andon.evals.records import CaseScorer, Measured, Output
from andon.golden import Case, same_text
from andon.scores import Embedder, answers_match, is_refusal
from andon.scores.text import normalise
from andon.traffic.quoting import quoted

__all__ = [
    "ANY_OF",
    "CONTAINS",
    "REFUSAL_EXPECTED",
    "REFUSAL_FORBIDDEN",
    "SIMILAR",
    "SIMILARITY",
    "compare_meaning",
    "failed_before",
    "texts_of",
]

SIMILAR = 0.75
"""Cosine of an answer and a long right answer from which the answer passes."""


def failed_before(case: Case, answer: str) -> bool:
    """Whether this is the answer that failed when the case was captured: it never passes by resembling the right one."""
    return (
        bool(case.answer)
        and not same_text(case.answer or "", case.ground_truth)
        and same_text(answer, case.answer or "")
    )


def compare_meaning(case: Case, answer: str, threshold: float, embedder: Embedder) -> Measured:
    """Cosine of an answer with the right one: passes from `threshold` on, where it is nearer to it than to the one that failed."""
    failed = None if not case.answer or same_text(case.answer, case.ground_truth) else case.answer
    vectors = embedder.embed((answer, case.ground_truth, *([] if failed is None else [failed])))
    to_right = float(vectors[0] @ vectors[1])
    passed = to_right >= threshold
    detail = f"cosine {to_right:.3f} with the right answer, passes from {threshold:g} ({embedder.name})"
    if failed is not None:
        to_failed = float(vectors[0] @ vectors[2])
        passed = passed and to_right > to_failed
        detail += f"; {to_failed:.3f} with the one that failed, which must be less"
    return Measured(value=to_right, passed=passed, detail=detail)


def texts_of(case: Case, key: str) -> tuple[str, ...] | None:
    """A list of texts that a case expects under a key; None where the key is absent.

    Raises:
        InputError: it is something else.
    """
    value: Any = case.expect.get(key)
    if value is None:
        return None
    items = [value] if isinstance(value, str) else value
    if isinstance(items, list | tuple) and items and all(isinstance(t, str) and t.strip() for t in items):
        return tuple(items)
    raise InputError(f"expect.{key} is {quoted(value)}; a list of texts is allowed")


def _any_of(case: Case, output: Output, _: Embedder) -> Measured:
    answer = output.answer or ""
    right = (case.ground_truth, *(texts_of(case, "any_of") or ()))
    if failed_before(case, answer):
        return _again()
    found = next((text for text in right if answers_match(answer, text)), None)
    said = f"none of {len(right)} right answers" if found is None else f"the right answer {quoted(found)}"
    return Measured(value=float(found is not None), passed=found is not None, detail=f"the answer is {said}")


def _contains(case: Case, output: Output, _: Embedder) -> Measured:
    answer = output.answer or ""
    wanted = texts_of(case, "contains") or (case.ground_truth,)
    if failed_before(case, answer):
        return _again()
    said = normalise(answer)
    missing = [text for text in wanted if not _within(text, answer, said)]
    share = 1 - len(missing) / len(wanted)
    detail = f"it lacks {quoted(missing[0])}" if missing else f"it holds all {len(wanted)} texts"
    return Measured(value=share, passed=not missing, detail=detail)


def _within(wanted: str, answer: str, said: str) -> bool:
    """Whether a text stands in an answer, in whole words; scripts that put no space between words are searched as they are."""
    want = normalise(wanted)
    if not want:
        return wanted.strip() in answer
    if any(unicodedata.east_asian_width(c) in "WF" for c in want):
        return want in said
    return f" {want} " in f" {said} "


def _similarity(case: Case, output: Output, embedder: Embedder) -> Measured:
    answer = output.answer or ""
    threshold = case.expect.get("threshold", SIMILAR if case.cut is None else case.cut)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not -1 <= threshold <= 1:
        raise InputError(f"expect.threshold is {quoted(threshold)}; a cosine between -1 and 1 is allowed")
    return _again() if failed_before(case, answer) else compare_meaning(case, answer, float(threshold), embedder)


def _refusal_expected(case: Case, output: Output, _: Embedder) -> Measured:  # noqa: ARG001 (the seam)
    refused = is_refusal(output.answer or "")
    return Measured(
        value=float(refused), passed=refused, detail=f"it {'declines' if refused else 'does not decline'}, as it must"
    )


def _refusal_forbidden(case: Case, output: Output, _: Embedder) -> Measured:  # noqa: ARG001 (the seam)
    refused = is_refusal(output.answer or "")
    return Measured(
        value=float(not refused), passed=not refused, detail="it declines" if refused else "it does not decline"
    )


def _again() -> Measured:
    return Measured(value=0.0, passed=False, detail="the answer is the one that failed before")


ANY_OF = CaseScorer(
    name="any_of",
    version="1",
    about="The answer equals the right one, or one of `expect.any_of`, after normalisation.",
    score=_any_of,
)
CONTAINS = CaseScorer(
    name="contains",
    version="1",
    about="The answer holds each text of `expect.contains` (else the right answer) in whole words, whatever stands around them.",
    score=_contains,
)
SIMILARITY = CaseScorer(
    name="similarity",
    version="1",
    about="The answer's cosine with the right one reaches `expect.threshold` (0.75) and is above that with the failing one.",
    score=_similarity,
    embeds=True,
)
REFUSAL_EXPECTED = CaseScorer(
    name="refusal_expected",
    version="1",
    about="The answer declines to answer.",
    score=_refusal_expected,
)
REFUSAL_FORBIDDEN = CaseScorer(
    name="refusal_forbidden",
    version="1",
    about="The answer does not decline to answer.",
    score=_refusal_forbidden,
)
