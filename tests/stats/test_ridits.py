"""Ridits: what makes a mean ridit readable, whatever the distribution and its ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from andon import stats

BINS = st.lists(st.integers(-30, 30), min_size=1, max_size=60)


@given(BINS)
def test_the_reference_itself_has_the_mean_one_half(values: list[int]) -> None:
    """The mean ridit of the reference is 1/2, and its variance at most 1/12 (Bross 1958)."""
    ridits = stats.ridits_of(values, np.ones(len(values))).share_below(np.array(values))
    assert ridits.mean() == pytest.approx(0.5)
    assert ridits.var() <= stats.RIDIT_VARIANCE + 1e-12


@given(reference=BINS, group=BINS)
def test_the_mean_ridit_is_mann_whitneys_u(reference: list[int], group: list[int]) -> None:
    """The mean ridit of a group is U / (n m): how often one of it exceeds one of the reference, ties half."""
    found = stats.ridits_of(reference, np.ones(len(reference))).share_below(np.array(group)).mean()
    u = scipy_stats.mannwhitneyu(group, reference, method="asymptotic").statistic if len({*reference, *group}) > 1 else (
        len(group) * len(reference) / 2
    )  # fmt: skip
    assert found == pytest.approx(u / (len(group) * len(reference)))


def test_ridits_by_hand() -> None:
    """Counts 10, 20, 40, 20, 10 have the ridits .05, .2, .5, .8, .95: cumulated before, and half of the own."""
    ridits = stats.ridits_of([3, 1, 2, 5, 4], [40, 10, 20, 10, 20])
    assert ridits.share_below(np.array([1, 2, 3, 4, 5])) == pytest.approx([0.05, 0.2, 0.5, 0.8, 0.95])
    assert ridits.share_below(np.array([-7, 0, 6, 99])) == pytest.approx([0, 0, 1, 1])


@given(values=BINS, n=st.lists(st.integers(1, 5), min_size=60, max_size=60))
def test_order_and_repetition_do_not_matter(values: list[int], n: list[int]) -> None:
    """A reference is the same from counts in any order, merged or not, and weights count as so many values."""
    n = n[: len(values)]
    counted = stats.ridits_of(values, np.array(n, dtype=float))
    spelled = stats.ridits_of(np.repeat(values, n)[::-1], np.ones(sum(n)))
    at = np.arange(-31, 32)
    assert counted.share_below(at) == pytest.approx(spelled.share_below(at))


@given(BINS, st.floats(0.01, 0.99))
def test_mirrored_values_have_mirrored_ridits_and_cuts(values: list[int], share: float) -> None:
    """What is high of the values is low of their mirror image: ridits add to 1, and cuts lie at the same place."""
    here = stats.ridits_of(values, np.ones(len(values)))
    there = stats.ridits_of([-v for v in values], np.ones(len(values)))
    at = np.arange(-31, 32)
    assert here.share_below(at) + there.share_below(-at) == pytest.approx(np.ones(len(at)))


def test_the_cut_is_nearest_to_the_share_in_odds() -> None:
    """Of a hundred equal bins the worst fifth begins at bin 80; low ones end before bin 20."""
    ridits = stats.ridits_of(range(100), np.ones(100))
    assert (ridits.cut(0.2, high=True), ridits.cut(0.2, high=False)) == (80, 20)
    assert (ridits.cut(0.02, high=True), ridits.cut(0.02, high=False)) == (98, 2)


def test_the_cut_of_a_constant_is_beyond_it() -> None:
    """Where all values are equal nothing seen lies beyond the cut: calling all of them harm would say nothing."""
    for value in (-1500, 0, 2000):
        ridits = stats.ridits_of([value], [500.0])
        assert ridits.cut(0.2, high=True) == value + 1
        assert ridits.cut(0.2, high=False) == value


@pytest.mark.parametrize(("bins", "n"), [([], []), ([1, 2], [0.0, 0.0])])
def test_a_reference_needs_values(bins: list[int], n: list[float]) -> None:
    """Without values there is no reference, and that is said."""
    with pytest.raises(ValueError, match="needs values"):
        stats.ridits_of(bins, n)
