"""Near-duplicate questions, by exact cosine: no approximate index, so no pair is ever missed.

One question is compared with all of a set in one matrix-vector product. All pairs of a set are found by a bound: rows are
rotated onto their principal directions, and by Cauchy-Schwarz the dot product of two rows is at most that of their first p
coordinates plus the product of the lengths of the rest,

    u . v  <=  u_p . v_p  +  |u_rest| |v_rest|

so that a row of p + 1 numbers (the length stands last) tells most pairs apart, and only what is left is computed in full.
Every cosine that is returned, and every decision, is recomputed in float64 from the vectors as they were given.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from andon.errors import InputError
from andon.golden.cases import same_text
from andon.golden.records import Case
from andon.scores import Vectors
from andon.scores.blas import in_parallel
from andon.scores.text import number_value

__all__ = [
    "ROUNDING",
    "THRESHOLD",
    "judge",
    "near_and_nearest",
    "near_pairs",
    "other_numbers",
    "refusal",
]

THRESHOLD = 0.92
"""Cosine from which two questions count as the same one."""

ROUNDING = 1e-6
"""Unit vectors in float32 have a cosine with themselves of 1 within this; every comparison allows for it."""

_NUMBER = re.compile(r"([^\W\d_]{0,64})-?(\d+(?:[.,]\d+)*)")
"""A number, and the letters that it belongs to where it is part of a name: COVID-19, B12."""

PREFIXES = (32, 128)
"""How many principal coordinates the first and the second bound keep; after that all are compared."""

ROWS, COLUMNS, STRIP = 512, 1024, 8
"""A tile is ROWS x COLUMNS cosines (2 MB); STRIP tiles side by side are one piece of work, which bounds memory."""

DENSE = 0.025
"""Share of a tile's pairs that pass a bound from which the next bound is computed for the whole tile: by a matrix product,
which is cheaper than pair by pair."""

ANCHORS, SAMPLE, AT_ONCE = 256, 4096, 8192
"""Rows by which rows are grouped, rows from which the principal directions are learned, and pairs that are rechecked at once."""

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def near_and_nearest(
    vectors: Vectors, new: Vectors, threshold: float
) -> tuple[list[tuple[int, float]], tuple[int, float] | None]:
    """All of `vectors`, shape (n, d), whose cosine with `new`, shape (d,), is at least the threshold, and the nearest of all.

    Each is index and cosine, nearest first, the first of equals before the others; there is no nearest for n = 0. All by one
    product.

    Raises:
        InputError: the threshold is not in (0, 1].
    """
    _check(threshold)
    if len(vectors) == 0:
        return [], None
    rough = vectors @ new
    slack = _slack(vectors)
    rows = np.flatnonzero(rough >= min(threshold - ROUNDING, float(rough.max())) - slack)
    cosines = _exact(vectors, rows, new)
    order = np.argsort(-cosines, kind="stable").tolist()
    best = int(rows[order[0]]), float(cosines[order[0]])
    return [(int(rows[k]), float(cosines[k])) for k in order if cosines[k] >= threshold - ROUNDING], best


def near_pairs(vectors: Vectors, threshold: float = THRESHOLD) -> Iterator[Pairs]:
    """All pairs of `vectors` with a cosine of at least `threshold`, in parts: arrays i, j with i < j, and their cosines.

    Time n^2 p / 2 with p = 33 where few pairs are near, n^2 d / 2 at worst (vectors without any structure, or nearly all of
    them near each other). Memory is a second copy of the vectors, and a few parts of at most ROWS x COLUMNS x STRIP pairs.
    Parts come in the same order in every run.

    Args:
        vectors: shape (n, d); rows of length 1, or of zeros, which are near nothing.
        threshold: least cosine, in (0, 1].

    Raises:
        InputError: the threshold is not in (0, 1].
    """
    _check(threshold)
    n = len(vectors)
    table = _arranged(vectors)
    strips = [
        (top, left)
        for top in range(0, n, ROWS)
        for left in range(top // COLUMNS * COLUMNS, n, COLUMNS * STRIP)
    ]  # fmt: skip
    yield from in_parallel(partial(_pairs_of, vectors, table, threshold), strips)


@dataclass(frozen=True, slots=True)
class _Arranged:
    """Rows in an order in which near ones stand together, so that most tiles hold few near pairs and a few hold many."""

    order: NDArray[np.int64]
    """Row of the original vectors, by place."""
    stages: tuple[Vectors, ...]
    """By place: shorter rows whose dot product is at least the cosine, and last the rows themselves."""


def _arranged(vectors: Vectors) -> _Arranged:
    n, d = vectors.shape
    prefixes = [p for p in PREFIXES if p < d]
    if n <= COLUMNS or not prefixes:  # nothing is gained by a bound
        return _Arranged(np.arange(n), (vectors,))
    sample = vectors[:: -(-n // SAMPLE)].astype(np.float64)
    _, directions = np.linalg.eigh(sample.T @ sample)
    turned = vectors @ np.ascontiguousarray(directions[:, ::-1]).astype(np.float32)
    first = turned[:, : prefixes[0]]
    anchors = first[:: -(-n // ANCHORS)]
    anchors = anchors[np.argsort(anchors[:, 0], kind="stable")]
    order = np.argsort((first @ anchors.T).argmax(axis=1), kind="stable")
    turned = turned[order]
    return _Arranged(order, (*(_bounding(turned, p) for p in prefixes), turned))


def _bounding(turned: Vectors, p: int) -> Vectors:
    """The first p coordinates and the length of the rest, shape (n, p + 1): dot products of these are upper bounds."""
    rest = turned[:, p:]
    lengths = np.sqrt(np.einsum("ij,ij->i", rest, rest))
    return np.concatenate([turned[:, :p], lengths[:, None]], axis=1)


def _pairs_of(vectors: Vectors, table: _Arranged, threshold: float, strip: tuple[int, int]) -> Pairs:
    """The pairs of ROWS rows with the columns of one strip."""
    top, start = strip
    bound = np.float32(threshold - ROUNDING - _slack(vectors))
    room = np.empty(ROWS * COLUMNS, np.float32), np.empty(ROWS * COLUMNS, bool)
    found = [
        _candidates(table, bound, top, left, *room)
        for left in range(start, min(start + COLUMNS * STRIP, len(vectors)), COLUMNS)
    ]
    one = table.order[np.concatenate([a for a, _ in found])]
    other = table.order[np.concatenate([b for _, b in found])]
    cosines = np.empty(len(one))
    for k in range(0, len(one), AT_ONCE):
        a, b = (vectors[rows[k : k + AT_ONCE]].astype(np.float64) for rows in (one, other))
        cosines[k : k + AT_ONCE] = np.einsum("ij,ij->i", a, b)
    near_ones = cosines >= threshold - ROUNDING
    one, other = one[near_ones], other[near_ones]
    return np.minimum(one, other), np.maximum(one, other), cosines[near_ones]


def _candidates(
    table: _Arranged, bound: np.float32, top: int, left: int, products: NDArray[np.float32], above: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places (one, other), one before other, of the pairs of a tile that no bound tells apart.

    `products` and `above` are room for one tile: to get new memory for each costs more than the product.
    """
    stages = list(table.stages)
    while True:
        rows = stages.pop(0)
        one, other = rows[top : top + ROWS], rows[left : left + COLUMNS]
        shape, size = (len(one), len(other)), len(one) * len(other)
        product = np.matmul(one, other.T, out=products[:size].reshape(shape))
        passed = np.greater_equal(product, bound, out=above[:size].reshape(shape))
        if not stages or np.count_nonzero(passed) <= DENSE * size:
            break
    flat = np.flatnonzero(passed)
    first, second = flat // shape[1] + top, flat % shape[1] + left
    once = first < second
    first, second = first[once], second[once]
    for rows in stages:
        keep = np.empty(len(first), dtype=bool)
        for k in range(0, len(first), AT_ONCE):
            part = slice(k, k + AT_ONCE)
            keep[part] = np.einsum("ij,ij->i", rows[first[part]], rows[second[part]]) >= bound
        first, second = first[keep], second[keep]
    return first, second


def judge(
    new: Case, near_cases: Sequence[tuple[Case, float]]
) -> tuple[Case, float, Literal["refuse", "keep"], str] | None:
    """What to do with a case whose question is near those of others, given nearest first: (case, cosine, choice, why).

    ``refuse`` where one of them is the same test: no other number in the question and the same right answer, in the same
    app. ``keep`` where all of them are other tests (then the nearest is named): "may I fly with a cat" and "may I fly with a
    bat" have different right answers; "is 17 a prime" and "is 19 a prime" differ in a number, which an embedding hardly
    sees. None where none is of the same app and in use: a retired case tests nothing, so it is repeated by nobody.
    """
    mine = [(c, cosine) for c, cosine in near_cases if c.app == new.app and c.retired is None and c.id != new.id]
    for case, cosine in mine:
        if not other_numbers(case.question, new.question) and same_text(case.ground_truth, new.ground_truth):
            return case, cosine, "refuse", "no other number and the same right answer"
    for case, cosine in mine:
        other = "other numbers" if other_numbers(case.question, new.question) else "another right answer"
        return case, cosine, "keep", f"{other} than {case.id}"
    return None


def other_numbers(one: str, other: str) -> bool:
    """Whether both questions have numbers, and not the same ones in the same order.

    Numbers are compared by value (1,000 and 1000). Digits behind letters are part of a name and compared within that
    name alone: B12 is not B6, and COVID-19 is no other number than the 43 of another question. A number that only one of
    them has says nothing: people leave out ages and doses when they ask the same thing again.
    """
    a, b = _numbers(one), _numbers(other)
    return any(a[name] != b[name] for name in a.keys() & b.keys())


def _numbers(question: str) -> dict[str, list[str]]:
    """The values of a question's numbers by the name that they belong to, "" for none; only letters with case make names."""
    found: dict[str, list[str]] = {}
    for letters, digits in _NUMBER.findall(question):
        name = letters.casefold() if letters.upper() != letters.lower() else ""
        found.setdefault(name, []).append(number_value(digits))
    return found


def refusal(case: Case, cosine: float, embedder: str, threshold: float = THRESHOLD) -> str:
    """Why a near-duplicate of `case` is refused, in one sentence."""
    return (
        f"it repeats case {case.id}: the questions have a cosine of {cosine:.3f} (from {threshold:g} on they count as the same,"
        f" by {embedder}) and the right answer is the same; other numbers or another right answer would make it a new case"
    )


def _exact(vectors: Vectors, rows: NDArray[np.int64], new: Vectors) -> NDArray[np.float64]:
    exact = new.astype(np.float64)
    parts = [vectors[rows[k : k + AT_ONCE]].astype(np.float64) @ exact for k in range(0, len(rows), AT_ONCE)]
    return np.concatenate(parts) if parts else np.empty(0)


def _slack(vectors: Vectors) -> float:
    """How far a dot product of unit vectors in float32 may be off at worst, of rotated ones too: 4 d u (Higham 2002, 3.1)."""
    return 4.0 * int(vectors.shape[1]) * float(np.finfo(np.float32).eps) / 2


def _check(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise InputError(f"threshold is {threshold}; a cosine above 0 and up to 1 is allowed")
