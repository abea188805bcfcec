"""The paired tests and intervals: by hand, against brute force, and against SciPy."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats

from andon.stats import attempts_worse, compare_paired, holm, paired_bootstrap, paired_drop, sign_flip


@given(st.lists(st.integers(-5, 5), max_size=10))
def test_sign_flip_is_the_count_of_all_signs(sums):
    """The p-value is the share of all sign patterns with a total as low, and as high, as this one."""
    totals = [sum(s * x for s, x in zip(signs, sums, strict=True)) for signs in product((-1, 1), repeat=len(sums))]
    worse, better = sign_flip(np.array(sums, dtype=int))
    assert worse == pytest.approx(np.mean([t <= sum(sums) for t in totals]))
    assert better == pytest.approx(np.mean([t >= sum(sums) for t in totals]))


@given(st.integers(0, 60), st.integers(0, 60))
def test_sign_flip_of_single_attempts_is_mcnemar(lost, gained):
    """With one attempt at each case it is McNemar's exact test."""
    found = compare_paired(lost + gained, lost, gained)
    assert sign_flip(np.array([-1] * lost + [1] * gained, dtype=int)) == pytest.approx((found.p_worse, found.p_better))


def test_sign_flip_takes_whole_attempts_only():
    """Shares are refused: the law is computed on whole numbers."""
    with pytest.raises(ValueError, match="whole numbers"):
        sign_flip([0.5, -0.2])


def likelihood_score(lost: int, gained: int, n: int, drop: float) -> float:
    """Tango's statistic by brute force: the likeliest share of gains given the drop, by a search."""

    def minus(q: float) -> float:
        terms = ((lost, q + drop), (gained, q), (n - lost - gained, 1 - 2 * q - drop))
        return -sum(k * np.log(p) for k, p in terms if k)

    low, high = max(0.0, -drop) + 1e-12, (1 - drop) / 2 - 1e-12
    q = optimize.minimize_scalar(minus, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (lost - gained - n * drop) / np.sqrt(n * (2 * q + drop * (1 - drop)))


@pytest.mark.parametrize(("lost", "gained", "n"), [(16, 4, 100), (1, 0, 44), (12, 9, 60), (30, 2, 40)])
def test_the_interval_is_where_the_score_of_the_likelihood_is_the_quantile(lost, gained, n):
    """Single attempts: both ends solve Tango's equation, with the constrained maximum found by a search instead of the formula."""
    d = np.array([-1] * lost + [1] * gained + [0] * (n - lost - gained))
    found = paired_drop(d, np.arange(n), 0.9)
    z = scipy_stats.norm.isf(0.05)
    assert likelihood_score(lost, gained, n, found.low) == pytest.approx(z, abs=1e-3)
    assert likelihood_score(lost, gained, n, found.high) == pytest.approx(-z, abs=1e-3)
    assert found.p_above(found.low) == pytest.approx(0.05, abs=1e-4)
    assert found.drop == pytest.approx((lost - gained) / n)


def test_nothing_lost_has_a_width():
    """With no differing case the bound is z^2 / (n + z^2), and narrows with n; the bootstrap has none."""
    z = scipy_stats.norm.isf(0.05)
    found = paired_drop(np.zeros(100), np.arange(100), 0.9)
    assert found.high == pytest.approx(z * z / (100 + z * z), abs=1e-6)
    assert found.low == pytest.approx(-found.high)
    assert paired_bootstrap(np.zeros(100), np.arange(100), np.random.default_rng(0)) == (0, 0)


def test_copies_say_nothing_new():
    """Each case five times over, in one cluster each: as many effective cases as there are, and no narrower an interval."""
    d = np.array([-1] * 8 + [1] * 3 + [0] * 50)
    once = paired_drop(d, np.arange(61), 0.9)
    copied = paired_drop(np.repeat(d, 5), np.repeat(np.arange(61), 5), 0.9)
    assert copied.drop == pytest.approx(once.drop)
    assert copied.n_effective == pytest.approx(61, rel=0.03)
    assert copied.high - copied.low >= 0.98 * (once.high - once.low)
    assert paired_drop(np.zeros(50), np.repeat(np.arange(10), 5), 0.9).n_effective == pytest.approx(10)


def test_one_cluster_says_nothing_about_others():
    """A single cluster of many cases has an interval that holds everything; no case at all is refused."""
    found = paired_drop(np.array([-1, 0, 0, 1]), np.zeros(4), 0.9)
    assert (found.low, found.high) == (-1, 1)
    with pytest.raises(ValueError, match="at least one case"):
        paired_drop([], [])


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_always_before_and_never_now_is_a_power_of_four(k):
    """By hand: p^k (1 - p)^k is largest at 1/2, so p = 4^-k."""
    assert attempts_worse(k, k, 0, k) == pytest.approx(4.0**-k)


@pytest.mark.parametrize("table", [(9, 10, 4, 10), (7, 8, 3, 12), (5, 5, 3, 5), (4, 9, 1, 4)])
def test_attempts_are_tested_as_scipy_does(table):
    """SciPy's Boschloo test gives the same p, up to its search; Fisher's is never smaller."""
    a, n, b, m = table
    theirs = scipy_stats.boschloo_exact([[b, a], [m - b, n - a]], alternative="less").pvalue
    assert attempts_worse(*table) == pytest.approx(theirs, rel=1e-3)
    assert attempts_worse(*table) <= scipy_stats.fisher_exact([[b, a], [m - b, n - a]], alternative="less")[1] + 1e-12


def test_attempts_keep_their_level_at_every_rate():
    """Computed over all outcomes of seven against five attempts: at no pass rate does p come to 5 % in more than 5 %."""
    p = np.array([[attempts_worse(x, 7, y, 5) for y in range(6)] for x in range(8)])
    for rate in np.linspace(0.01, 0.99, 50):
        law = np.outer(scipy_stats.binom.pmf(range(8), 7, rate), scipy_stats.binom.pmf(range(6), 5, rate))
        assert law[p <= 0.05].sum() <= 0.05 + 1e-9


def test_attempts_that_cannot_be_are_refused():
    """More passes than attempts, or no attempts."""
    for wrong in ((3, 2, 0, 2), (0, 0, 0, 1), (-1, 2, 0, 2)):
        with pytest.raises(ValueError, match="not passes among attempts"):
            attempts_worse(*wrong)


def test_holm_by_hand():
    """Holm's own steps: 0.01 x 3, then 0.03 x 2, then the running maximum; order does not matter; nothing is above 1."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert len(holm([])) == 0
