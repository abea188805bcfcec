"""Figures that others published for two arms, and for what a plan can see."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from andon.stats.power import power_of_means, power_of_rates, size_for_means, size_for_rates, smallest_rate_change
from andon.stats.two_sample import (
    Moments,
    UserSums,
    cuped,
    heterogeneity,
    mann_whitney,
    moments,
    relative,
    two_rates,
    welch,
)

A, B = moments(3407, 1396.87, 52377.9767), moments(3461, 2422.7, 134698.29)
"""The arms of GrowthBook's `packages/stats/tests/frequentist/test_tests.py`."""


def test_growthbook_absolute():
    """Means 0.41 and 0.70: difference 0.29, 0.04538 to 0.53462, p = 0.02016, standard error 0.12478."""
    found = welch(A, B)
    assert found is not None
    assert found == pytest.approx((0.29, 0.04538, 0.53462, 0.02016, 0.12478), abs=5e-6)


def test_growthbook_relative():
    """The same as a share of the control: 0.70732, -0.03526 to 1.44989, p = 0.06191, standard error 0.37879."""
    found = relative(A, B)
    assert found is not None
    assert found == pytest.approx((0.70732, -0.03526, 1.44989, 0.06191, 0.37879), abs=5e-6)


def test_growthbook_relative_of_rates():
    """14 of 28 and 16 of 30, variances p (1 - p) as theirs: 0.06667, -0.47767 to 0.61101, p = 0.80707, standard error 0.2717."""
    rates = [Moments(n, x / n, x / n * (1 - x / n)) for x, n in ((14, 28), (16, 30))]
    found = relative(*rates)
    assert found is not None
    assert found == pytest.approx((0.06667, -0.47767, 0.61101, 0.80707, 0.2717), abs=5e-6)


def test_growthbook_cuped():
    """Their regression-adjusted arms: relative effect 0.50338, standard error 0.33341, both over the control's plain mean."""
    c = UserSums(3000, 1396.87, 52377.9767, 3000, 1396.87, 16.87, 527.9767, 1)
    t = UserSums(3461, 2422.7, 134698.29, 3461, 2422.7, 22.7, 1348.29, 1)
    found = cuped(c, t)
    assert found is not None
    plain, now = c.y / c.users, t.y / t.users
    assert (found.treatment.mean - found.control.mean) / plain == pytest.approx(0.50338, abs=5e-6)
    parts = (found.treatment.variance / 3461 / plain**2, found.control.variance / 3000 * now**2 / plain**4)
    assert math.sqrt(sum(parts)) == pytest.approx(0.33341, abs=5e-6)


@pytest.mark.parametrize(
    ("a", "b", "t", "df", "p"),
    [
        (
            "27.5 21.0 19.0 23.6 17.0 17.9 16.9 20.1 21.9 22.6 23.1 19.6 19.0 21.7 21.4",
            "27.1 22.0 20.8 23.4 23.4 23.5 25.8 22.0 24.8 20.2 21.9 22.1 22.9 20.5 24.4",
            -2.46,
            25.0,
            0.021,
        ),
        (
            "17.2 20.9 22.6 18.1 21.7 21.4 23.5 24.2 14.7 21.8",
            "21.5 22.8 21.0 23.0 21.6 23.6 22.5 20.7 23.4 21.8 20.7 21.7 21.5 22.5 23.6 21.5 22.5 23.5 21.5 21.8",
            -1.57,
            9.9,
            0.149,
        ),
        (
            "19.8 20.4 19.6 17.8 18.5 18.9 18.3 18.9 19.5 22.0",
            "28.2 26.6 20.1 23.3 25.2 22.1 17.7 27.6 20.6 13.7 23.2 17.5 20.6 18.0 23.9 21.6 24.3 20.4 24.0 13.2",
            -2.22,
            24.5,
            0.036,
        ),
    ],
)
def test_welch_of_three_examples(a, b, t, df, p):
    """The three examples of Wikipedia's article on Welch's t-test: t, degrees of freedom and p as printed there."""
    first, second = (np.array(v.split(), dtype=float) for v in (a, b))
    found = welch(*(moments(len(v), v.sum(), v @ v) for v in (second, first)))
    assert found is not None
    assert found.estimate / found.se == pytest.approx(t, abs=0.006)
    assert found.p == pytest.approx(p, abs=0.0006)
    assert (found.high - found.estimate) / found.se == pytest.approx(scipy_stats.t.isf(0.025, df), abs=2e-3)


def test_scipys_fisher():
    """The table 8, 2, 1, 5 of SciPy's page: p = 0.0349650 (scipy.stats.fisher_exact)."""
    found = two_rates(1, 6, 8, 10)
    assert found is not None
    assert found.p == pytest.approx(0.034965034965034975)


def test_scipys_chi_square():
    """The table 12, 3, 17, 16 of SciPy's page, without correction: p = 0.0614123 (scipy.stats.chi2_contingency)."""
    found = two_rates(12, 15, 17, 33)
    assert found is not None
    assert found.p == pytest.approx(0.0614122539870913)


def test_scipys_mann_whitney():
    """Ages 19, 22, 16, 29, 24 against 20, 11, 17, 12: U = 17 of 20, p = 0.1113469 (scipy.stats.mannwhitneyu, asymptotic)."""
    males, females = (np.bincount(v, minlength=30) for v in ([19, 22, 16, 29, 24], [20, 11, 17, 12]))
    assert mann_whitney(females, males) == pytest.approx((17 / 20, 0.11134688653314041))


def test_heterogeneity_of_the_vaccine_trials():
    """Thirteen trials of BCG (Colditz et al. 1994): Q = 152.2330 of log risk ratios, 163.1649 of log odds ratios (metafor)."""
    rows = (
        "4 119 11 128; 6 300 29 274; 3 228 11 209; 62 13536 248 12619; 33 5036 47 5761; 180 1361 372 1079; 8 2537 10 619;"
        "505 87886 499 87892; 29 7470 45 7232; 17 1699 65 1600; 186 50448 141 27197; 5 2493 3 2338; 27 16886 29 17825"
    )
    a, b, c, d = np.array([row.split() for row in rows.split(";")], dtype=float).T
    risks = heterogeneity(np.log(a / (a + b) / (c / (c + d))), np.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)))
    odds = heterogeneity(np.log(a * d / (b * c)), np.sqrt(1 / a + 1 / b + 1 / c + 1 / d))
    assert risks is not None
    assert odds is not None
    assert (risks.q, risks.df, odds.q) == pytest.approx((152.2330, 12, 163.1649), abs=5e-5)
    assert risks.i2 == pytest.approx(1 - 12 / 152.2330, abs=1e-6)


def test_the_rules_of_thumb():
    """A thousand per arm, ten percent less: power 0.08 at 5 %, 0.21 at 20 %; 28,408 and 6,039 are needed. A score: 0.43."""
    assert power_of_rates(0.05, 0.045, 1000, 1000) == pytest.approx(0.08, abs=0.005)
    assert power_of_rates(0.20, 0.18, 1000, 1000) == pytest.approx(0.21, abs=0.005)
    assert size_for_rates(0.05, 0.045) == (28_408, 28_408)
    assert size_for_rates(0.20, 0.18) == (6_039, 6_039)
    assert power_of_means(0.02, 0.25, 1000, 1000) == pytest.approx(0.43, abs=0.005)


@pytest.mark.parametrize(
    ("rate", "share", "hours", "power"),
    [
        (0.008, 0.05, 24, 0.60),
        (0.008, 0.10, 24, 0.81),
        (0.008, 0.20, 24, 0.95),
        (0.008, 0.05, 72, 0.93),
        (0.015, 0.05, 24, 1.00),
    ],
)
def test_the_canaries(rate, share, hours, power):
    """Canaries at 2,000 an hour, 0.5 % at rest: the powers that were simulated are those of the one-sided test at 5 %."""
    n = 2000 * hours
    found = power_of_rates(0.005, rate, n * (1 - share), n * share, two_sided=False)
    assert found == pytest.approx(power, abs=0.005)


def test_r_of_rates():
    """R's examples of power.prop.test: 76.7 per arm; 0.740 for 50 per arm, where counting outcomes says 0.745; p2 = 0.8026."""
    assert size_for_rates(0.50, 0.75, 0.90) == (77, 77)
    assert power_of_rates(0.50, 0.75, 50, 50) == pytest.approx(0.745, abs=0.0005)
    change = smallest_rate_change(0.50, 50, 50, 0.90)
    assert change is not None
    assert change == pytest.approx(0.3026, abs=0.003)


def test_r_of_means():
    """R's examples of power.t.test: 0.8689528 for 20 per arm; 22.02110 per arm, one-sided 17.84713, for a power of 0.9."""
    assert power_of_means(1, 1, 20, 20) == pytest.approx(0.8689528, abs=5e-7)
    assert size_for_means(1, 1, 0.9) == (23, 23)
    assert size_for_means(1, 1, 0.9, two_sided=False) == (18, 18)
    assert power_of_means(1, 1, 22.02110, 22.02110) == pytest.approx(0.9, abs=1e-6)
    assert power_of_means(1, 1, 17.84713, 17.84713, two_sided=False) == pytest.approx(0.9, abs=1e-6)
