from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from andon.errors import InputError
from andon.golden import THRESHOLD, Case, duplicates, find_duplicate, find_pairs, nearest
from andon.golden.duplicates import refusal

grids = hnp.arrays(np.int8, st.tuples(st.integers(0, 25), st.just(3)), elements=st.integers(-2, 2))


def unit(grid):
    """Rows of length 1; rows of zeros stay."""
    rows = grid.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0).astype(np.float32)


@given(grids, st.sampled_from([0.5, 0.8, THRESHOLD, 1.0]), st.integers(1, 7))
def test_blocked_pairs_are_those_of_brute_force(grid, threshold, block):
    """Whatever the block, every pair of at least the threshold is found once, and no other."""
    vectors = unit(grid)
    brute = {
        (i, j): float(vectors[i].astype(float) @ vectors[j].astype(float))
        for i in range(len(vectors))
        for j in range(i + 1, len(vectors))
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BLOCK", block)
        found = find_pairs(vectors, threshold)
    assert [(i, j) for i, j, _ in found] == [p for p, c in brute.items() if c >= threshold - 1e-6]
    assert all(c == pytest.approx(brute[i, j], abs=1e-12) for i, j, c in found)


@given(grids)
def test_nearest_is_the_largest_cosine_of_all(grid):
    """No other row has a larger cosine than the nearest; nothing is nearest in an empty set."""
    vectors = unit(grid)
    if len(vectors) < 2:
        assert nearest(vectors[:0], np.ones(3, np.float32)) is None
        return
    index, cosine = nearest(vectors[1:], vectors[0])
    assert cosine == pytest.approx(max(float(v.astype(float) @ vectors[0].astype(float)) for v in vectors[1:]))
    assert float(vectors[1 + index].astype(float) @ vectors[0].astype(float)) == pytest.approx(cosine)


def test_identical_questions_are_duplicates_at_any_threshold():
    """Rounding of float32 does not hide a question from itself, even at a threshold of 1."""
    vectors = np.random.default_rng(1).standard_normal((300, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    twice = np.concatenate([vectors, vectors])
    assert [(i, j) for i, j, _ in find_pairs(twice, 1.0)] == [(i, i + 300) for i in range(300)]


def test_a_near_question_with_another_right_answer_is_new(case, words):
    """Only the same right answer, in the same app, makes a near question a duplicate, even when it is not the nearest."""
    old = [case("may I fly with a cat", "no"), case("may I fly with a cat please", "yes"), case("is it far", "no")]
    new = case("may I fly with a cat today please", "Yes.")
    vectors = words.embed([c.question for c in old])
    vector = words.embed([new.question])[0]
    found, cosine = find_duplicate(old, vectors, new, vector, 0.8)
    assert found is old[1]
    assert cosine == pytest.approx(7 / 56**0.5)
    assert find_duplicate(old, vectors, case(new.question, "maybe"), vector, 0.5) is None
    assert find_duplicate(old, vectors, case(new.question, "yes", app="other"), vector, 0.5) is None
    assert find_duplicate(old, vectors, new, vector, 0.99) is None
    assert find_duplicate([], vectors[:0], new, vector) is None


def test_a_refusal_names_case_cosine_and_embedder(case):
    """Who reads a refusal can look up what it resembles, and by how much."""
    text = refusal(case(), 0.9312, "words-1")
    assert case().id in text
    assert "0.931" in text
    assert "words-1" in text
    assert "0.92" in text


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_a_threshold_is_a_cosine(case, threshold):
    """A threshold outside (0, 1] is refused with the value."""
    with pytest.raises(InputError, match=str(threshold)):
        find_pairs(np.zeros((2, 2), np.float32), threshold)


def test_other_numbers_make_another_test() -> None:
    """Two questions that differ only in a number are two tests, however near their vectors are."""
    one = Case(
        question="Is 17077 a prime number?",
        answer=None,
        contexts=(),
        ground_truth="yes",
        source="",
        failure_reason="",
        added_date="2026-01-01",
        id="G-1",
    )
    other = replace(one, question="Is 19997 a prime number?")
    same = np.ones((1, 1), dtype=np.float32)
    assert find_duplicate([one], same, other, same[0]) is None
    assert find_duplicate([one], same, replace(one, question="is 17077 prime"), same[0]) is not None
