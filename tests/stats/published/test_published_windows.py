"""Hand derivations about windows of counts: the baseline, likelihood, the e-SR step, mixes, bins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from andon import stats

SIZES = st.floats(1e-3, 100)


def test_scale_by_hand() -> None:
    """A yes or no with rate 0.2 has variance 0.16: counted 1.25 times, chance alone has a variance equal to the mean."""
    n = np.full((48, 1), 100.0)
    found = stats.fit_baseline(0.2 * n, n, stats.clock_of(np.arange(48)))
    assert found.scale[0] == pytest.approx(1.25, rel=1e-3)
    assert np.exp(found.log_rate) / found.scale == pytest.approx(np.full((48, 1), 0.2), rel=1e-3)


def test_spread_by_hand() -> None:
    """Hours of 5 and 15 harms by turns: variance 25 around a mean of 10, of which 10 is chance, so spread^2 is 15 / 100."""
    x = np.tile([5.0, 15.0], 336)[:, None]
    found = stats.fit_baseline(x, np.full(x.shape, 1e5), np.zeros(672, dtype=np.int64)).spread[0]
    # it carries 1.5 standard errors: variance v = 25, error sqrt(672 (2 v^2 + v)) / (672 x 100) = 0.01378; six of 672
    # degrees of freedom are lost: 15 + 10 x 6 / 672 = 15.09
    assert found == pytest.approx(0.1509 + 1.5 * math.sqrt(672 * (2 * 25.09**2 + 25.09)) / 67_200, rel=0.01)


@pytest.mark.parametrize("spread", [1e-4, 0.001, 0.05, 0.4])
def test_likelihood_ratio_is_that_of_the_laws(spread: float) -> None:
    """The log likelihood ratio equals the difference of the negative binomial log probabilities of SciPy."""
    mean, ratios, size = 7.0, np.array([0.2, 1.25, 3.2, 60.0]), 1 / spread
    for y in (0, 1, 5, 37):
        given = [np.array([v]) for v in (float(y), mean, spread, 1.0)]
        found = stats.log_likelihood_ratio(*given, np.log(ratios))[:, 0]
        expected = [
            scipy_stats.nbinom.logpmf(y, size, size / (size + r * mean))
            - scipy_stats.nbinom.logpmf(y, size, size / (size + mean))
            for r in ratios
        ]
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(spread=SIZES, mean=SIZES, persistence=st.floats(1, 50))
def test_persistence_divides_the_evidence(spread: float, mean: float, persistence: float) -> None:
    """A series whose long sums vary f times as much as independent hours say gives a f-th of the evidence."""
    given = [np.array([v]) for v in (3.0, mean, spread)]
    whole = stats.log_likelihood_ratio(*given, np.ones(1), np.log(stats.RATIOS))
    part = stats.log_likelihood_ratio(*given, np.array([persistence]), np.log(stats.RATIOS))
    assert part * persistence == pytest.approx(whole)


def test_permitted_run_length_by_hand() -> None:
    """Ten charts, 720 hours a month, one false page a month: 7,200 hours each; one with twice the weight gets half of that."""
    assert stats.permitted_run_length(np.ones(10), 720, 1.0) == pytest.approx(np.full(10, 7_200))
    assert stats.permitted_run_length(np.array([2.0, 1.0, 1.0]), 720, 2.0) == pytest.approx([720, 1_440, 1_440])


def test_g_test_by_hand() -> None:
    """A 2 x 2 mix worked by hand: G = 2 sum O ln(O/E), divided by Williams' q, on one degree of freedom; distance half the sum of differences."""
    # before 60/40, after 40/60: every expected count is 50, G = 2 (2 x 60 ln 1.2 + 2 x 40 ln 0.8) = 8.0542; p = 0.00454
    g = 2 * (2 * 60 * math.log(1.2) + 2 * 40 * math.log(0.8))
    assert g == pytest.approx(8.0542, abs=1e-4)
    p, distance = stats.mix_shift({"a": 60, "b": 40}, {"a": 40, "b": 60})
    # q = 1 + (200/100 + 200/100 - 1)^2 / (6 x 200) = 1.0075 (Sokal & Rohlf, 17.4); chi-square tail on one degree of freedom
    assert p == pytest.approx(math.erfc(math.sqrt(g / 1.0075 / 2)))
    assert distance == pytest.approx(0.2)


def test_mix_pools_rare_categories() -> None:
    """Categories too rare to compare are pooled; one category that both sides have did not move, and p is 1."""
    p, distance = stats.mix_shift({"a": 100, "x1": 1, "x2": 1}, {"a": 100, "x3": 1, "x4": 1})
    assert p == pytest.approx(1.0)
    assert distance == pytest.approx(2 / 102)
    assert stats.mix_shift({"a": 7}, {"a": 9, "b": 0}) == (1.0, 0.0)
    with pytest.raises(ValueError, match="both sides"):
        stats.mix_shift({"a": 7}, {})


def test_rare_values_that_were_all_replaced_are_seen() -> None:
    """Five hundred values of three observations replaced by as many others are a shift, whatever they are called; p is never 1."""
    gone, come = ({f"{name}{i}": 3 for i in range(500)} for name in ("old", "new"))
    p, distance = stats.mix_shift(gone, come)
    assert p < 1e-9
    assert distance == 1.0
    order = np.random.default_rng(2).permutation(1000)
    p, _ = stats.mix_shift(*({f"v{i}": 3 for i in part} for part in (order[:500], order[500:])))
    assert p < 1e-9


@pytest.mark.parametrize(("k", "n", "m"), [(500, 1500, 1500), (3000, 1000, 200), (100_000, 500, 500)])
def test_rare_values_that_stay_are_no_shift(k: int, n: int, m: int) -> None:
    """Two samples of one long tail, ids that never come twice included, are called shifted at 5 % in at most 10 % of 150."""
    rng = np.random.default_rng(3)
    law = 1 / np.arange(1, k + 1) if k < 100_000 else np.ones(k)
    p = []
    for _ in range(150):
        sides = (rng.choice(k, size, p=law / law.sum()) for size in (n, m))
        counted = [dict(zip(*np.unique(side.astype(str), return_counts=True), strict=True)) for side in sides]
        p.append(stats.mix_shift(*counted)[0])
    assert np.mean(np.array(p) <= 0.05) <= 0.10


def test_too_few_observations_are_no_answer() -> None:
    """Three observations against three of other values are refused, not called p = 1."""
    with pytest.raises(ValueError, match=r"\[3, 3\] observations are too few"):
        stats.mix_shift({"a": 2, "b": 1}, {"c": 2, "d": 1})


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
