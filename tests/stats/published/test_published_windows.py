"""Hand derivations about windows of counts: dispersion, likelihood, the e-SR step, mixes, bins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from andon import stats


def test_williams_by_hand() -> None:
    """Twelve windows worked by hand give the rho that the moment equation says (Williams 1982)."""
    # Ten observations in each of 12 windows, six with x = 1 and six with x = 5: N = 120, p = 36/120 = 0.3, npq = 2.1.
    # X2 = 12 (2^2) / 2.1 = 22.857; E X2 = (k-1) + rho sum (n-1)(1-n/N) = 11 + rho 12 x 9 x 11/12 = 11 + 99 rho.
    # So rho = (22.857 - 11) / 99 = 0.119769.
    x, n = np.array([1.0, 5.0] * 6), np.full(12, 10.0)
    assert stats.dispersion(x, n) == pytest.approx((48 / 2.1 - 11) / 99)


def test_dispersion_without_evidence_is_zero() -> None:
    """Too few windows, a rate of exactly 0 or 1, single observations or less spread than chance give 0."""
    ten = np.full(12, 10.0)
    assert stats.dispersion(np.array([1.0, 5.0] * 4), ten[:8]) == 0.0
    assert stats.dispersion(np.zeros(12), ten) == 0.0
    assert stats.dispersion(ten, ten) == 0.0
    assert stats.dispersion(np.array([0.0, 1.0] * 6), np.ones(12)) == 0.0
    assert stats.dispersion(np.full(12, 3.0), ten) == 0.0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=40))
def test_dispersion_from_sums_needs_no_windows(pairs: list[tuple[int, int]]) -> None:
    """The sums of two halves of a baseline, added, give the dispersion of the whole, within 0 and 0.5, empty windows or not."""
    n = np.array([max(p) for p in pairs], dtype=np.float64)
    x = np.array([min(p) for p in pairs], dtype=np.float64)
    half = len(pairs) // 2
    sums = stats.moments(x[:half], n[:half]).sum(axis=0) + stats.moments(x[half:], n[half:]).sum(axis=0)
    found = float(stats.dispersion_of(sums))
    assert found == pytest.approx(stats.dispersion(x[n > 0], n[n > 0]), abs=1e-9)
    assert 0 <= found <= stats.dispersion_of(sums, errors=1) <= 0.5


def test_guard_by_hand() -> None:
    """A baseline of 20 in 100 is pushed up by 1.5 standard errors of its log odds."""
    p = 20.5 / 101
    up = math.log(p / (1 - p)) + 1.5 / math.sqrt(101 * p * (1 - p))
    assert float(stats.guarded(np.array(20.0), np.array(100.0))) == pytest.approx(1 / (1 + math.exp(-up)))


@given(n=st.integers(1, 10**7), share=st.floats(0, 1), design=st.floats(1, 1e4))
def test_guard_is_a_rate_above_the_estimate(n: int, share: float, design: float) -> None:
    """The guarded rate lies strictly between the estimate and 1, and clustering pushes it further up."""
    x = float(round(share * n))
    plain, clustered = (float(stats.guarded(np.array(x), np.array(float(n)), d)) for d in (1.0, design))
    assert 0 < (x + 0.5) / (n + 1) < plain <= clustered <= 1


@pytest.mark.parametrize("rho", [0.0, 1e-6, 0.001, 0.05, 0.4])
def test_likelihood_ratio_is_that_of_the_laws(rho: float) -> None:
    """The log likelihood ratio equals the difference of the (beta-)binomial log probabilities of SciPy."""
    n, null, odds = 37, 0.07, np.array([1.25, 3.2, 60.0])
    other = null * odds / (1 - null + null * odds)
    for x in (0, 1, 5, 37):
        found = stats.log_likelihood_ratio(
            np.array([float(x)]), np.array([float(n)]), np.array([null]), odds, np.array([rho])
        )[0]
        if rho > 0:
            size = (1 - rho) / rho
            expected = [
                scipy_stats.betabinom.logpmf(x, n, p * size, (1 - p) * size)
                - scipy_stats.betabinom.logpmf(x, n, null * size, (1 - null) * size)
                for p in other
            ]
        else:
            expected = scipy_stats.binom.logpmf(x, n, other) - scipy_stats.binom.logpmf(x, n, null)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.02])
def test_likelihood_ratio_has_expectation_one(rho: float) -> None:
    """Summed over all outcomes of the null law every likelihood ratio is 1: what the run length rests on."""
    n, null = 30, 0.1
    x = np.arange(n + 1.0)
    ratio = np.exp(
        stats.log_likelihood_ratio(x, np.full(n + 1, n), np.full(n + 1, null), stats.ODDS, np.full(n + 1, rho))
    )
    size = (1 - rho) / rho if rho else 0.0
    law = scipy_stats.betabinom.pmf(x, n, null * size, (1 - null) * size) if rho else scipy_stats.binom.pmf(x, n, null)
    assert law @ ratio == pytest.approx(np.ones(len(stats.ODDS)), rel=1e-9)


def test_step_by_hand() -> None:
    """Two windows with likelihood ratio 2: R = (1 + 0) 2 = 2, then (1 + 2) 2 = 6; and no step overflows."""
    once = stats.step(np.zeros((1, 1)), np.log([[2.0]]))
    assert stats.step(once, np.log([[2.0]])) == pytest.approx(6.0)
    assert np.isfinite(stats.step(np.full((1, 1), 1e150), np.array([[1e6]]))).all()


def test_permitted_run_length_by_hand() -> None:
    """Ten charts of 8,640 windows a month and one false page a month: 86,400 windows between false alarms of each."""
    assert stats.permitted_run_length(10, 8640, 1.0) == 86_400
    assert stats.permitted_run_length(0, 8640, 2.0) == 4_320


def test_g_test_by_hand() -> None:
    """A 2 x 2 mix worked by hand: G = 2 sum O ln(O/E) on one degree of freedom, distance half the sum of differences."""
    # before 60/40, after 40/60: every expected count is 50, G = 2 (2 x 60 ln 1.2 + 2 x 40 ln 0.8) = 8.0542; p = 0.00454
    g = 2 * (2 * 60 * math.log(1.2) + 2 * 40 * math.log(0.8))
    assert g == pytest.approx(8.0542, abs=1e-4)
    p, distance = stats.mix_shift({"a": 60, "b": 40}, {"a": 40, "b": 60})
    assert p == pytest.approx(math.erfc(math.sqrt(g / 2)))  # chi-square tail on one degree of freedom
    assert distance == pytest.approx(0.2)


def test_mix_pools_rare_categories() -> None:
    """Categories too rare to compare are pooled; with one category left there is nothing to tell, and p is 1."""
    p, distance = stats.mix_shift({"a": 100, "x1": 1, "x2": 1}, {"a": 100, "x3": 1, "x4": 1})
    assert p == pytest.approx(1.0)
    assert distance == pytest.approx(2 / 102)
    assert stats.mix_shift({"a": 7}, {"a": 9}) == (1.0, 0.0)
    with pytest.raises(ValueError, match="both sides"):
        stats.mix_shift({"a": 7}, {})


def test_permutation_p_is_never_zero() -> None:
    """However far two clouds lie apart, p is at least 1 / (1 + rounds) (Phipson & Smyth, SAGMB 9 (2010), article 39)."""
    rng = np.random.default_rng(1)
    before = rng.normal(size=(30, 8)).astype(np.float32)
    p, distance = stats.mean_shift(before, before + np.float32(100), rng, rounds=199)
    assert p == 1 / 200
    assert distance > 100


def test_permutation_of_equal_vectors_is_no_evidence() -> None:
    """Where all vectors are equal every permutation is as extreme as the data, so p is 1; too few vectors are refused."""
    rng = np.random.default_rng(1)
    same = np.ones((5, 3), dtype=np.float32)
    assert stats.mean_shift(same, same, rng)[0] == 1.0
    with pytest.raises(ValueError, match="at least 2"):
        stats.mean_shift(same[:1], same, rng)


@given(st.floats(1e-8, 1e12), st.booleans())
def test_bins_hold_their_values_within_two_percent(value: float, negative: bool) -> None:
    """Every value lies in its bin (to the last digit), and the bin's ends are 2 % apart."""
    value = -value if negative else value
    low, high = stats.bin_edges(stats.bin_of(value))
    assert low * (1 - math.copysign(1e-9, low)) <= value <= high * (1 + math.copysign(1e-9, high))
    assert max(abs(low), abs(high)) / min(abs(low), abs(high)) == pytest.approx(1.02)


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=30))
def test_bins_keep_the_order_of_values(values: list[float]) -> None:
    """A larger value never lies in a smaller bin."""
    bins = [stats.bin_of(v) for v in sorted(values)]
    assert bins == sorted(bins)


@pytest.mark.parametrize("q", [0.05, 0.5, 0.8, 0.99])
def test_quantile_from_bins_is_within_two_percent(q: float) -> None:
    """A quantile read from bins of a log-normal sample (the upper edge of its bin) is within 2 % of the sample's."""
    sample = np.sort(np.random.default_rng(3).lognormal(0.0, 1.5, 20_000))
    bins = np.array([stats.bin_of(v) for v in sample])
    rank = math.ceil(q * len(sample)) - 1
    assert 1.0 <= stats.bin_edges(int(bins[rank]))[1] / sample[rank] * (1 + 1e-12) <= 1.02 * (1 + 1e-9)
