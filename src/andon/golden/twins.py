"""Passing twins: an answer that passed, to a question that asks the same as one whose answer failed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from andon.golden.cases import same_text
from andon.golden.duplicates import THRESHOLD
from andon.golden.records import Failure
from andon.scores import Vectors, failing

__all__ = ["Passing", "find_twin"]

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """An answer that passed: a user gave it a thumbs-up, or the scorer that found the failure let it pass."""

    app: str
    question: str
    answer: str
    values: Mapping[str, float] | None = None
    """What it scored; None where a user gave it a thumbs-up, which lets it pass whatever it scored."""


def find_twin(
    failure: Failure,
    vector: Vectors,
    passing: Sequence[Passing],
    vectors: Vectors,
    threshold: float = THRESHOLD,
) -> tuple[str, str] | None:
    """A right answer that a failure's twin gave, and its origin: ``passing twin``, or ``near twin`` for other words.

    A twin's question has a cosine of at least `threshold` with the failure's, and the same numbers. Its answer is not the
    failing one, nor the same text after normalisation. The nearest one is taken, of equals the first.

    Args:
        failure: what failed.
        vector: its embedded question, shape (d,).
        passing: n answers that passed, the newest first.
        vectors: their embedded questions, shape (n, d).
        threshold: cosine from which on two questions count as the same one.
    """
    if not passing:
        return None
    cosines = np.asarray(vectors.astype(np.float64) @ vector.astype(np.float64))
    numbers = _NUMBER.findall(failure.question)
    for k in np.argsort(-np.round(cosines, 6), kind="stable").tolist():
        if cosines[k] < threshold:
            return None
        p = passing[k]
        if p.app != failure.app or not _passes(p, failure):
            continue
        if _NUMBER.findall(p.question) != numbers or not p.answer.strip():
            continue
        if failure.answer is None or not same_text(p.answer, failure.answer):
            return p.answer, "passing twin" if same_text(p.question, failure.question) else "near twin"
    return None


def _passes(passing: Passing, failure: Failure) -> bool:
    """Whether an answer passes by what found the failure."""
    if passing.values is None:
        return True
    value = passing.values.get(failure.metric)
    if value is None or (failure.cut is None and failure.value not in (0.0, 1.0)):
        return False  # not measured, or found by people
    op, bound = failing("binary" if failure.cut is None else "number", failure.direction, failure.cut)
    return value < bound if op == "ge" else value >= bound
