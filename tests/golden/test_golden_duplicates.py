from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from andon.errors import InputError
from andon.golden import THRESHOLD, duplicates, near_pairs
from andon.golden.duplicates import judge, near_and_nearest, other_numbers, refusal

grids = hnp.arrays(np.int8, st.tuples(st.integers(0, 25), st.just(3)), elements=st.integers(-2, 2))


def find_pairs(vectors, threshold):
    """All pairs in one list, by row."""
    parts = list(near_pairs(vectors, threshold))
    return sorted((i, j, c) for a, b, cs in parts for i, j, c in zip(a.tolist(), b.tolist(), cs.tolist(), strict=True))


def unit(grid):
    """Rows of length 1; rows of zeros stay."""
    rows = np.asarray(grid, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0).astype(np.float32)


def brute(vectors, threshold):
    """The pairs of at least the threshold, each compared in float64."""
    exact = vectors.astype(np.float64)
    cosines = np.triu(exact @ exact.T, 1) - np.tril(np.ones((len(exact), len(exact))))
    rows, columns = np.nonzero(cosines >= threshold - duplicates.ROUNDING)
    return {(i, j): float(cosines[i, j]) for i, j in zip(rows.tolist(), columns.tolist(), strict=True)}


def world(name, rng, n=300, d=48):
    """Vectors of one kind: what a set may look like, and what would break a bound."""
    noise = rng.standard_normal((n, d))
    rows = {
        "random": noise,
        "decaying": noise / np.arange(1, d + 1),
        "clusters": rng.standard_normal((9, d))[rng.integers(0, 9, n)] + 0.25 * noise,
        "copies": noise[rng.integers(0, n // 4, n)],
        "all the same": np.repeat(noise[:1], n, axis=0),
        "zeros among them": noise[rng.integers(0, n // 2, n)] * (rng.random((n, 1)) < 0.8),
        "a few axes, and rounding": np.eye(d)[rng.integers(0, 3, n)] + 1e-4 * noise,
    }
    return unit(rows[name])


WORLDS = ("random", "decaying", "clusters", "copies", "all the same", "zeros among them", "a few axes, and rounding")


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("threshold", [0.5, THRESHOLD, 0.9999, 1.0])
def test_the_bound_loses_no_pair(name, threshold, monkeypatch):
    """With bounds, tiles and strips of any shape, the pairs are those of brute force: no pair lost, none invented."""
    vectors = world(name, np.random.default_rng(7))
    expected = brute(vectors, threshold)
    for prefixes, rows, columns, strip, dense in (
        ((4, 16), 64, 96, 2, 0.025),
        ((8,), 512, 128, 8, 1.0),
        ((4, 16), 50, 70, 3, 0.0),
    ):
        monkeypatch.setattr(duplicates, "PREFIXES", prefixes)
        monkeypatch.setattr(duplicates, "ROWS", rows)
        monkeypatch.setattr(duplicates, "COLUMNS", columns)
        monkeypatch.setattr(duplicates, "STRIP", strip)
        monkeypatch.setattr(duplicates, "DENSE", dense)
        found = find_pairs(vectors, threshold)
        assert [(i, j) for i, j, _ in found] == list(expected)
        np.testing.assert_allclose([c for _, _, c in found], list(expected.values()), atol=1e-12)


@given(grids, st.sampled_from([0.5, 0.8, THRESHOLD, 1.0]), st.integers(1, 7))
def test_pairs_of_any_small_set_are_those_of_brute_force(grid, threshold, block):
    """Ties, zeros, one row and none: every pair of at least the threshold is found once, and no other."""
    vectors = unit(grid)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "ROWS", block)
        patch.setattr(duplicates, "COLUMNS", block + 1)
        patch.setattr(duplicates, "PREFIXES", (1, 2))
        found = find_pairs(vectors, threshold)
    assert {(i, j): pytest.approx(c, abs=1e-12) for i, j, c in found} == brute(vectors, threshold)
    assert found == sorted(found)


def test_parts_are_bounded_and_come_in_the_same_order(monkeypatch):
    """However many pairs there are, a part holds at most a strip of them, and two runs give the same parts."""
    monkeypatch.setattr(duplicates, "ROWS", 32)
    monkeypatch.setattr(duplicates, "COLUMNS", 64)
    monkeypatch.setattr(duplicates, "STRIP", 2)
    monkeypatch.setattr(duplicates, "PREFIXES", (4, 16))
    vectors = world("all the same", np.random.default_rng(3))
    one, other = list(near_pairs(vectors)), list(near_pairs(vectors))
    assert max(len(a) for a, _, _ in one) <= 32 * 64 * 2
    assert sum(len(a) for a, _, _ in one) == 300 * 299 // 2
    for first, second in zip(one, other, strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)


@given(grids, st.sampled_from([0.3, 0.8, 1.0]))
def test_near_are_all_of_at_least_the_threshold_nearest_first(grid, threshold):
    """One question finds exactly the rows of brute force, by falling cosine; the first of equals comes first."""
    vectors = unit(grid)
    if len(vectors) == 0:
        return
    exact = vectors.astype(np.float64)
    cosines = exact[1:] @ exact[0]
    found, _ = near_and_nearest(vectors[1:], vectors[0], threshold)
    rows = [i for i in range(len(cosines)) if cosines[i] >= threshold - duplicates.ROUNDING]
    assert sorted(i for i, _ in found) == rows
    assert found == sorted(found, key=lambda f: (-f[1], f[0]))
    assert all(c == pytest.approx(cosines[i], abs=1e-12) for i, c in found)


@given(grids)
def test_nearest_is_the_largest_cosine_of_all(grid):
    """No other row has a larger cosine than the nearest; nothing is nearest in an empty set."""
    vectors = unit(grid)
    if len(vectors) < 2:
        assert near_and_nearest(vectors[:0], np.ones(3, np.float32), 1.0) == ([], None)
        return
    _, (index, cosine) = near_and_nearest(vectors[1:], vectors[0], 1.0)
    assert cosine == pytest.approx(max(float(v.astype(float) @ vectors[0].astype(float)) for v in vectors[1:]))
    assert float(vectors[1 + index].astype(float) @ vectors[0].astype(float)) == pytest.approx(cosine)


def test_identical_questions_are_duplicates_at_any_threshold():
    """Rounding of float32 does not hide a question from itself, even at a threshold of 1."""
    vectors = unit(np.random.default_rng(1).standard_normal((700, 384)))
    twice = np.concatenate([vectors, vectors])
    assert [(i, j) for i, j, _ in find_pairs(twice, 1.0)] == [(i, i + 700) for i in range(700)]
    assert [i for i, _ in near_and_nearest(twice, vectors[3], 1.0)[0]] == [3, 703]


def test_a_look_alike_is_another_test(case):
    """Only the same right answer and no other number, in the same app and in use, make a near question a duplicate."""
    old = case("may I fly with a cat", "no")
    new = case("may I fly with a cat please", "No.")
    assert judge(new, [(old, 0.95)])[0::2] == (old, "refuse")
    assert judge(replace(new, ground_truth="maybe"), [(old, 0.95)])[2:] == (
        "keep",
        f"another right answer than {old.id}",
    )
    two = replace(old, question="may I fly with 2 cats")
    assert judge(replace(new, question="may I fly with 3 cats"), [(two, 0.95)])[2:] == (
        "keep",
        f"other numbers than {two.id}",
    )
    assert judge(replace(new, app="other"), [(old, 0.95)]) is None
    assert judge(new, [(replace(old, retired="2026-01-01"), 0.95)]) is None
    assert judge(new, []) is None


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("is 17 a prime", "is 19 a prime", True),
        ("from 5 to 10", "from 10 to 5", True),
        ("is -5.5 less", "is 5.6 less", True),
        ("how much vitamin B12", "how much vitamin B6", True),
        ("Covid-19 or flu", "COVID-22 or flu", True),
        ("3개 주세요", "4개 주세요", True),
        ("오늘3시", "내일4시", True),
        ("a 43 year-old woman", "43-year-old woman", False),
        ("1,000 people", "1000 people", False),
        ("it costs 4.50", "it costs 4.5", False),
        ("COVID-19 at 43", "the coronavirus at 43", False),
        ("is COVID-19 new", "is covid19 new", False),
        ("a rash for 3 months", "a rash", False),
    ],
)
def test_numbers_are_other_ones_by_value_or_within_a_name(one, other, apart):
    """Two values in the same place differ; spelling, names, and what only one question says, make no other number."""
    assert other_numbers(one, other) == other_numbers(other, one) == apart


def test_a_duplicate_is_found_behind_a_nearer_look_alike(case):
    """The nearest may be another test; what decides is whether any near one is the same."""
    look_alike, twin = case("may I fly with a bat", "yes"), case("may I fly with my cat", "no")
    new = case("may I fly with a cat", "no")
    assert judge(new, [(look_alike, 0.97), (twin, 0.93)])[:3] == (twin, 0.93, "refuse")
    assert judge(new, [(look_alike, 0.97)])[:3] == (look_alike, 0.97, "keep")


def test_a_refusal_names_case_cosine_and_embedder(case):
    """Who reads a refusal can look up what it resembles, and by how much."""
    text = refusal(case(), 0.9312, "words-1")
    assert case().id in text
    assert "0.931" in text
    assert "words-1" in text
    assert "0.92" in text


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_a_threshold_is_a_cosine(threshold):
    """A threshold outside (0, 1] is refused with the value."""
    with pytest.raises(InputError, match=str(threshold)):
        find_pairs(np.zeros((2, 2), np.float32), threshold)
    with pytest.raises(InputError, match=str(threshold)):
        near_and_nearest(np.zeros((2, 2), np.float32), np.zeros(2, np.float32), threshold)
