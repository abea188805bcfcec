"""Near-duplicate questions, by exact cosine. No index: a golden set is small enough to compare with all of it."""

import re
from collections.abc import Sequence

import numpy as np

from andon.errors import InputError
from andon.golden.cases import same_text
from andon.golden.records import Case
from andon.scores import Vectors

__all__ = ["THRESHOLD", "find_duplicate", "find_pairs", "nearest", "refusal"]

THRESHOLD = 0.92
"""Cosine from which two questions count as the same one."""

ROUNDING = 1e-6
"""Unit vectors in float32 have a cosine with themselves of 1 within this; every comparison allows for it."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")

BLOCK = 2048
"""Rows that are compared at once: bounds memory at 32 MB whatever the size of the set."""


def nearest(vectors: Vectors, new: Vectors) -> tuple[int, float] | None:
    """Index and cosine of the nearest of `vectors`, shape (n, d), to `new`, shape (d,); the first of equals, None for n = 0."""
    if len(vectors) == 0:
        return None
    cosines = _cosines(vectors, new)
    index = int(np.argmax(cosines))
    return index, float(cosines[index])


def find_pairs(vectors: Vectors, threshold: float = THRESHOLD) -> list[tuple[int, int, float]]:
    """All pairs (i, j, cosine) with i < j and a cosine of at least `threshold`, ordered by i, then j.

    Compares all pairs of `vectors`, shape (n, d), in blocks: time n^2 d, memory constant. Use instead: an approximate
    index, beyond about 10^5 cases.

    Raises:
        InputError: the threshold is not in (0, 1].
    """
    _check(threshold)
    exact = vectors.astype(np.float64)
    pairs: list[tuple[int, int, float]] = []
    for top in range(0, len(exact), BLOCK):
        for left in range(top, len(exact), BLOCK):
            cosines = exact[top : top + BLOCK] @ exact[left : left + BLOCK].T
            rows, columns = np.nonzero(cosines >= threshold - ROUNDING)
            for r, c in zip(rows.tolist(), columns.tolist(), strict=True):
                if top + r < left + c:
                    pairs.append((top + r, left + c, float(cosines[r, c])))
    return sorted(pairs)


def find_duplicate(
    cases: Sequence[Case], vectors: Vectors, new: Case, vector: Vectors, threshold: float = THRESHOLD
) -> tuple[Case, float] | None:
    """The case that `new` repeats, and the cosine of their questions; None when it is new.

    A repeated case has a near question with the same numbers and the same right answer, in the same app. A near question
    with a different right answer is no duplicate: "may I fly with a cat" and "may I fly with a bat" are two tests. Nor is
    one with other numbers, which an embedding hardly sees: "is 17 a prime" and "is 19 a prime" are two tests. `vectors`
    has shape (len(cases), d), `vector` shape (d,).

    Raises:
        InputError: the threshold is not in (0, 1].
    """
    _check(threshold)
    if not cases:
        return None
    cosines = _cosines(vectors, vector)
    for index in np.argsort(-cosines, kind="stable").tolist():
        if cosines[index] < threshold - ROUNDING:
            return None
        if _same_test(cases[index], new):
            return cases[index], float(cosines[index])
    return None


def _same_test(one: Case, other: Case) -> bool:
    return (
        one.app == other.app
        and _NUMBER.findall(one.question) == _NUMBER.findall(other.question)
        and same_text(one.ground_truth, other.ground_truth)
    )


def refusal(case: Case, cosine: float, embedder: str, threshold: float = THRESHOLD) -> str:
    """Why a near-duplicate of `case` is refused, in one sentence."""
    return (
        f"it repeats case {case.id}: the questions have a cosine of {cosine:.3f} (from {threshold:g} on they count as the same,"
        f" by {embedder}) and the right answer is the same; other numbers or another right answer would make it a new case"
    )


def _cosines(vectors: Vectors, new: Vectors) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.asarray(vectors.astype(np.float64) @ new.astype(np.float64))


def _check(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise InputError(f"threshold is {threshold}; a cosine above 0 and up to 1 is allowed")
