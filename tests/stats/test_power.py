"""What a plan can see: laws, the outcomes one by one, and simulated plans."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from andon.stats.power import (
    days_for,
    power_of_means,
    power_of_rates,
    size_for_means,
    size_for_rates,
    smallest_rate_change,
)
from andon.stats.two_sample import clustered, moments, two_rates, user_design_effect, welch

RATES = st.floats(0.001, 0.999)
SIZES = st.integers(2, 100_000)


def counted(p: float, q: float, n: int, m: int, alpha: float = 0.05) -> float:
    """Probability that `two_rates` calls a difference, outcome by outcome."""
    found = 0.0
    xs, ys = (
        range(int(scipy_stats.binom.ppf(1e-7, k, r)), int(scipy_stats.binom.isf(1e-7, k, r)) + 1)
        for k, r in ((n, p), (m, q))
    )
    for x in xs:
        for y in ys:
            effect = two_rates(x, n, y, m, alpha)
            assert effect is not None
            found += (effect.p <= alpha) * float(scipy_stats.binom.pmf(x, n, p) * scipy_stats.binom.pmf(y, m, q))
    return found


@pytest.mark.parametrize(
    ("plan", "alpha"),
    [
        ((0.005, 0.05, 380, 20), 0.05),  # a formula promises 0.56
        ((0.005, 0.03, 1900, 100), 0.05),
        ((0.95, 0.7, 40, 25), 0.05),
        ((0.3, 0.9, 5, 5), 0.1),
        ((0.06, 0.02, 90, 150), 0.01),
        ((0.0, 0.2, 30, 20), 0.05),
        ((0.3, 1.0, 12, 9), 0.05),
    ],
)
def test_small_plans_are_counted(plan, alpha):
    """Where few events are expected the power is that of `two_rates` over all outcomes, whichever arm is smaller."""
    assert power_of_rates(*plan, alpha) == pytest.approx(counted(*plan, alpha), abs=1e-5)


@pytest.mark.parametrize("plan", [(0.2, 0.3, 150, 150), (0.1, 0.05, 600, 300), (0.9, 0.8, 150, 300)])
def test_the_formula_is_near_where_it_is_used(plan):
    """Where 20 events or more are expected, formula and outcomes differ by at most 0.015."""
    assert power_of_rates(*plan) == pytest.approx(counted(*plan), abs=0.015)


@pytest.mark.parametrize(
    ("rate", "share", "hours", "pooled", "arcsine", "unpooled", "outcomes"),
    [
        (0.008, 0.05, 24, 0.614, 0.560, 0.491, 0.602),
        (0.008, 0.10, 24, 0.813, 0.795, 0.729, 0.813),
        (0.008, 0.20, 24, 0.949, 0.950, 0.923, 0.953),
        (0.008, 0.05, 72, 0.930, 0.928, 0.878, 0.934),
        (0.015, 0.05, 24, 0.999, 1.000, 0.991, 0.999),
    ],
)
def test_which_formula_is_right(rate, share, hours, pooled, arcsine, unpooled, outcomes):
    """The table of docs/methods/power.md: three formulas against all outcomes of the pooled z test, one-sided at 5 %."""
    n, m, p, q = round(2000 * hours * (1 - share)), round(2000 * hours * share), 0.005, rate
    z, b = scipy_stats.norm.isf(0.05), (n * p + m * q) / (n + m)
    null, true = math.sqrt(b * (1 - b) * (1 / n + 1 / m)), math.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    turn = (2 * math.asin(math.sqrt(q)) - 2 * math.asin(math.sqrt(p))) / math.sqrt(1 / n + 1 / m)
    arguments = ((q - p - z * null) / true, turn - z, (q - p) / true - z)
    assert scipy_stats.norm.cdf(arguments) == pytest.approx((pooled, arcsine, unpooled), abs=0.0006)
    x, y = (
        np.arange(int(scipy_stats.binom.ppf(1e-9, k, r)), int(scipy_stats.binom.isf(1e-9, k, r)) + 1)
        for k, r in ((n, p), (m, q))
    )
    seen = (x[:, None] + y) / (n + m)
    called = (y / m - x[:, None] / n) / np.sqrt(seen * (1 - seen) * (1 / n + 1 / m)) > z
    exact = scipy_stats.binom.pmf(x, n, p) @ called @ scipy_stats.binom.pmf(y, m, q)
    assert exact == pytest.approx(outcomes, abs=0.0006)
    assert power_of_rates(p, q, n, m, two_sided=False) == pytest.approx(exact, abs=0.005)


@pytest.mark.parametrize(
    ("plan", "formula", "outcomes"),
    [
        ((0.005, 0.05, 380, 20), 0.56, 0.32),
        ((0.005, 0.03, 1900, 100), 0.70, 0.59),
        ((0.005, 0.05, 1900, 100), 0.90, 0.88),
        ((0.02, 0.06, 150, 150), 0.42, 0.40),
        ((0.05, 0.15, 100, 100), 0.66, 0.68),
    ],
)
def test_a_formula_promises_small_plans_too_much(plan, formula, outcomes):
    """The second table of docs/methods/power.md: the pooled formula where few events are expected, and the truth."""
    p, q, n, m = plan
    z, b = scipy_stats.norm.isf(0.025), (n * p + m * q) / (n + m)
    null, true = math.sqrt(b * (1 - b) * (1 / n + 1 / m)), math.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    assert scipy_stats.norm.cdf((q - p - z * null) / true) == pytest.approx(formula, abs=0.006)
    assert power_of_rates(*plan) == pytest.approx(outcomes, abs=0.006)


def test_one_sided_is_counted_as_simulated():
    """One-sided: the pooled z beyond 1.645, or Fisher's one-sided p, in 20,000 simulated canaries of 2 % against 5 %."""
    rng = np.random.default_rng(1)
    for n, m, p, q in ((400, 60, 0.02, 0.07), (60, 400, 0.07, 0.02)):
        x, y = rng.binomial(n, p, 20_000), rng.binomial(m, q, 20_000)
        small, large, least, most = (y, x, m, n) if m < n else (x, y, n, m)
        total = x + y
        fisher = scipy_stats.hypergeom.sf(small - 1, n + m, total, least) <= 0.05
        pooled = total / (n + m)
        with np.errstate(invalid="ignore"):
            z = (small / least - large / most) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)) > 1.6448536
        called = np.where(least * total < 5 * (n + m), fisher, z)
        assert power_of_rates(p, q, n, m, two_sided=False) == pytest.approx(called.mean(), abs=0.01)


@given(RATES, RATES, SIZES, SIZES, st.booleans())
def test_power_knows_no_names(p, q, n, m, two_sided):
    """Arms may swap names, and events with non-events, without a change of power."""
    assume(p != q)  # one-sided, equal rates have no direction
    power = power_of_rates(p, q, n, m, two_sided=two_sided)
    assert 0 <= power <= 1
    assert power_of_rates(q, p, m, n, two_sided=two_sided) == pytest.approx(power, abs=0.01)
    assert power_of_rates(1 - p, 1 - q, n, m, two_sided=two_sided) == pytest.approx(power, abs=0.01)


def test_no_difference_is_called_one_as_often_as_promised():
    """Equal rates have the power alpha, both sides of it, where the formula is used; and one side of it half of that."""
    assert power_of_rates(0.2, 0.2, 1000, 500) == pytest.approx(0.05)
    assert power_of_rates(0.2, 0.2, 1000, 500, 0.01) == pytest.approx(0.01)
    assert power_of_rates(0.2, 0.2, 1000, 500, two_sided=False) == pytest.approx(0.05)


def test_fewer_events_are_counted_too():
    """One-sided, a fall from 10 % to 1 % of 40 beside 400: Fisher's lower tail, outcome by outcome."""
    n, m, p, q, found = 400, 40, 0.1, 0.01, 0.0
    for x in range(5, 90):
        for y in range(15):
            if m * (x + y) < 5 * (n + m):
                called = scipy_stats.hypergeom.cdf(y, n + m, x + y, m) <= 0.05
            else:
                b = (x + y) / (n + m)
                called = (y / m - x / n) / math.sqrt(b * (1 - b) * (1 / n + 1 / m)) < -1.6448536
            found += called * scipy_stats.binom.pmf(x, n, p) * scipy_stats.binom.pmf(y, m, q)
    assert power_of_rates(p, q, n, m, two_sided=False) == pytest.approx(found, abs=1e-5)
    assert found > 0.1


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.05, 0.95), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_size_has_the_power(p, q, share, power):
    """A plan of the size given has its power, and one of nine tenths of it has less (or is too small for the formula)."""
    assume(abs(p - q) > 0.005)
    n, m = size_for_rates(p, q, power, share=share)
    assert power_of_rates(p, q, n, m) >= power - 0.01
    assert n / (n + m) == pytest.approx(1 - share, abs=2 / (n + m) + 1e-9)
    if min(n, m) * min(p, q, 1 - p, 1 - q) > 30:
        assert power_of_rates(p, q, n, m) == pytest.approx(power, abs=0.02)
        assert power_of_rates(p, q, 0.9 * n, 0.9 * m) < power


@settings(max_examples=50)
@given(st.floats(0.001, 0.9), st.integers(20, 50_000), st.integers(20, 50_000), st.sampled_from(["up", "down"]))
def test_the_smallest_change_is_just_seen(p, n, m, direction):
    """The change has the power asked for, half of it has less; where there is none, not even the end of the scale is seen."""
    change = smallest_rate_change(p, n, m, direction=direction)
    end = 1.0 if direction == "up" else 0.0
    if change is None:
        assert power_of_rates(p, end, n, m) < 0.8
        return
    assert (change > 0) == (direction == "up")
    assert power_of_rates(p, p + change, n, m) == pytest.approx(0.8, abs=0.03)
    assert power_of_rates(p, p + change / 2, n, m) < 0.8


@given(st.floats(0.01, 3), SIZES, SIZES)
def test_means_see_more_with_more(difference, n, m):
    """The power of means grows with the size, does not care for the sign or the unit, and is alpha for no difference."""
    power = power_of_means(difference, 1, n, m)
    assert power_of_means(-10 * difference, 10, m, n) == pytest.approx(power, abs=1e-9)
    assert power_of_means(difference, 1, 2 * n, 2 * m) >= power - 1e-9
    assert power_of_means(0, 1, n, m) == pytest.approx(0.05)
    assert 0.05 <= power <= 1


def test_means_are_seen_as_simulated():
    """20,000 plans of 30 and 60 units, a shift of 0.6 standard deviations: Welch finds as many as promised (within 1.5 points)."""
    rng = np.random.default_rng(2)
    p = scipy_stats.ttest_ind(rng.normal(0.6, 1, (20_000, 60)), rng.normal(0, 1, (20_000, 30)), axis=1, equal_var=False)
    assert np.mean(p.pvalue <= 0.05) == pytest.approx(power_of_means(0.6, 1, 30, 60), abs=0.015)


@given(st.floats(0.02, 2), st.floats(0.05, 0.95), st.booleans())
def test_the_size_for_means_has_the_power(difference, share, two_sided):
    """A plan of the size given sees the difference, and one of nine tenths does not (rounding apart)."""
    n, m = size_for_means(difference, 1, share=share, two_sided=two_sided)
    assert power_of_means(difference, 1, n, m, two_sided=two_sided) >= 0.8 - 1e-6
    if min(n, m) > 30:
        assert power_of_means(difference, 1, 0.9 * n, 0.9 * m, two_sided=two_sided) < 0.8


def test_a_design_effect_is_a_smaller_plan():
    """A design effect of 3 is a third of the units, and needs three times as many."""
    assert power_of_rates(0.05, 0.06, 9000, 6000, design_effect=3) == power_of_rates(0.05, 0.06, 3000, 2000)
    assert power_of_means(0.1, 1, 900, 600, design_effect=3) == power_of_means(0.1, 1, 300, 200)
    assert size_for_rates(0.05, 0.06, design_effect=3)[0] == pytest.approx(3 * size_for_rates(0.05, 0.06)[0], abs=3)
    assert size_for_means(0.1, 1, design_effect=3)[0] == pytest.approx(3 * size_for_means(0.1, 1)[0], abs=3)
    assert smallest_rate_change(0.05, 9000, 9000, design_effect=3) == smallest_rate_change(0.05, 3000, 3000)


def test_a_plan_of_users_sees_what_it_says():
    """Users with five interactions each that resemble each other: the power by the design effect is that of 2,000 simulated plans."""
    rng = np.random.default_rng(3)

    def draw(users: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
        n = rng.geometric(0.2, users).astype(float)
        return rng.binomial(n.astype(int), rng.beta(4 * rate, 4 * (1 - rate), users)).astype(float), n

    def of(x: np.ndarray, n: np.ndarray):
        return clustered(len(x), x.sum(), n.sum(), x @ x, n @ n, x @ n)

    x, n = draw(200_000, 0.125)
    effect = user_design_effect(of(x, n), moments(n.sum(), x.sum(), x.sum()))
    assert effect is not None
    found = [welch(of(*draw(300, 0.1)), of(*draw(300, 0.15))) for _ in range(2000)]
    seen = np.mean([f is not None and f.p <= 0.05 for f in found])
    promised = power_of_rates(0.1, 0.15, 1500, 1500, design_effect=effect)
    assert promised == pytest.approx(seen, abs=0.03)
    assert power_of_rates(0.1, 0.15, 1500, 1500) > promised + 0.1


def test_plans_of_every_size_are_answered():
    """From two units to a hundred millions and from a millionth to a hundred thousand standard deviations: a probability."""
    for difference in (1e-6, 0.02, 1.0, 1e5):
        for n in (1.5, 30, 1e8):
            for share in (0.5, 0.05, 0.999):
                assert 0 <= power_of_means(difference, 0.25, 2 * n * (1 - share), 2 * n * share) <= 1
    for p, q in ((0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1e-6, 1e-3), (0.5, 0.5)):
        for n, m in ((1, 1), (0.4, 20), (10**9, 15), (10**7, 10**7)):
            for two_sided in (True, False):
                assert 0 <= power_of_rates(p, q, n, m, two_sided=two_sided) <= 1


def test_days():
    """10,770 users at 1,500 new ones a day take 7.18 days; nobody a day is refused."""
    assert days_for(10_770, 1500) == pytest.approx(7.18)
    with pytest.raises(ValueError, match="per_day=0"):
        days_for(10, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power_of_rates(1.2, 0.1, 10, 10), "p_control=1.2"),
        (lambda: power_of_rates(0.1, 0.2, 0, 10), "n_control=0"),
        (lambda: power_of_rates(0.1, math.nan, 10, 10), "p_treatment=nan"),
        (lambda: size_for_rates(0.1, 0.1), "difference of 0"),
        (lambda: size_for_rates(0.1, 0.2, power=0.04), "above alpha"),
        (lambda: size_for_rates(0.1, 0.2, share=1), "share=1"),
        (lambda: size_for_means(0, 1), "difference=0"),
        (lambda: power_of_means(1, 0, 10, 10), "sd=0"),
        (lambda: power_of_means(1, 1, 1, 1), "too few"),
        (lambda: smallest_rate_change(0.1, 10, 10, alpha=0), "alpha=0"),
    ],
)
def test_nonsense_is_refused(call, message):
    """Impossible numbers are refused with their value."""
    with pytest.raises(ValueError, match=message):
        call()
