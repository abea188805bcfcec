"""Two arms: laws, SciPy on the units one by one, and error rates of seeded simulations."""

import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from andon.stats import difference
from andon.stats.two_sample import (
    Effect,
    Moments,
    UserSums,
    clustered,
    cuped,
    heterogeneity,
    mann_whitney,
    moments,
    relative,
    two_rates,
    user_design_effect,
    welch,
)

COUNTS = st.lists(st.integers(0, 40), min_size=3, max_size=8)
VALUES = st.lists(st.floats(-100, 100, allow_subnormal=False).map(lambda v: round(v, 3)), min_size=3, max_size=30)


def say(text: str) -> None:
    """Show a figure: `pytest -s`."""
    sys.stdout.write(text + "\n")


def of(values: np.ndarray) -> Moments:
    """Moments from the sums of these values."""
    return moments(len(values), float(np.sum(values)), float(np.sum(np.square(values))))


def of_users(y: np.ndarray, x: np.ndarray, seen: np.ndarray | None = None) -> UserSums:
    """Sums of users with y now and x before, x of those who were seen."""
    seen = np.ones(len(y), bool) if seen is None else seen
    x, ys = x[seen], y[seen]
    return UserSums(len(y), y.sum(), y @ y, len(ys), ys.sum(), x.sum(), x @ x, x @ ys)


def of_ratio(x: np.ndarray, n: np.ndarray) -> Moments:
    """Moments of the ratio of users with x_i of n_i."""
    return clustered(len(x), x.sum(), n.sum(), x @ x, n @ n, x @ n)


def swapped(effect: Effect | None) -> tuple[float, ...]:
    """The effect of the arms the other way round."""
    assert effect is not None
    return (-effect.estimate, -effect.high, -effect.low, effect.p, effect.se)


# means


@given(VALUES, VALUES)
def test_welch_is_scipys_on_the_values(a, b):
    """From sums alone: the p-value and interval of scipy.stats.ttest_ind on the values, both ways round."""
    a, b = np.array(a), np.array(b)
    assume(np.ptp(a) > 0.01 and np.ptp(b) > 0.01)
    found = welch(of(a), of(b), 0.1)
    theirs = scipy_stats.ttest_ind(b, a, equal_var=False)
    interval = theirs.confidence_interval(0.9)
    assert found is not None
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-6)
    assert swapped(welch(of(b), of(a), 0.1)) == pytest.approx(tuple(found))
    assert not found.at_odds(0.1) or found.p == pytest.approx(0.1)


def test_no_variance_is_no_answer():
    """Arms that do not vary, or have one unit, tell nothing; a constant summed with rounding does not vary either."""
    tenth = moments(1000, sum([0.1] * 1000), sum([0.1 * 0.1] * 1000))
    assert tenth.variance == 0
    assert welch(tenth, moments(1000, 200.0, 40.0)) is None
    assert relative(tenth, moments(1000, 200.0, 40.0)) is None
    assert welch(Moments(1, 3.0, 0.0), Moments(50, 2.0, 1.0)) is None
    found = welch(Moments(50, 3.0, 0.0), Moments(50, 2.0, 1.0))
    assert found is not None  # one arm that varies is enough
    assert found.p == pytest.approx(scipy_stats.ttest_1samp(of_moments(50, 2.0, 1.0), 3.0).pvalue)


def of_moments(n: int, mean: float, variance: float) -> np.ndarray:
    """Values with exactly these moments."""
    values = np.arange(n, dtype=float)
    return mean + (values - values.mean()) * math.sqrt(variance / values.var(ddof=1))


def test_sums_that_no_values_have_are_refused():
    """A sum of squares below what the sum implies, and arms of nobody, are refused with the numbers."""
    with pytest.raises(ValueError, match="belong to no values"):
        moments(10, 100.0, 10.0)
    with pytest.raises(ValueError, match="n=0"):
        moments(0, 0.0, 0.0)
    with pytest.raises(ValueError, match="alpha=1"):
        welch(Moments(5, 1, 1), Moments(5, 1, 1), 1)
    with pytest.raises(ValueError, match="no sample"):
        welch(Moments(5, math.nan, 1), Moments(5, 1, 1))
    with pytest.raises(ValueError, match="x=6 of n=5"):
        two_rates(6, 5, 1, 5)
    with pytest.raises(ValueError, match="at least one user"):
        clustered(0, 0, 0, 0, 0, 0)


def test_a_percentage_of_nothing_is_refused():
    """Where the control may be 0 there is no relative change; where it may not, it is the delta method's."""
    assert relative(Moments(100, 0.1, 1.0), Moments(100, 0.4, 1.0)) is None
    found = relative(Moments(100, 2.0, 1.0), Moments(100, 2.2, 1.0))
    assert found is not None
    assert found.estimate == pytest.approx(0.1)
    assert found.se == pytest.approx(math.sqrt(0.01 / 4 + 0.01 * 2.2**2 / 16))
    negative = relative(Moments(100, -2.0, 1.0), Moments(100, -1.8, 1.0))
    assert negative is not None
    assert negative.estimate == pytest.approx(0.1)  # more is positive, whatever the sign of the control


# rates


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 60), st.integers(1, 60))
def test_two_rates_are_scipys(x, n, y, m):
    """The p-value is SciPy's Fisher where an expected count is below 5, else its chi-square without correction; swapping arms negates."""
    x, y = min(x, n), min(y, m)
    found = two_rates(x, n, y, m)
    assert found is not None
    table = np.array([[x, n - x], [y, m - y]])
    expected = np.outer(table.sum(1), table.sum(0)) / (n + m)
    if expected.min() < 5:
        assert found.p == pytest.approx(scipy_stats.fisher_exact(table).pvalue)
    else:
        assert found.p == pytest.approx(scipy_stats.chi2_contingency(table, correction=False).pvalue)
    assert (found.estimate, found.low, found.high) == difference(x, n, y, m)
    assert swapped(two_rates(y, m, x, n)) == pytest.approx(tuple(found))
    assert found.se > 0
    assert 0 <= found.p <= 1


def test_rates_of_nobody_and_of_nothing():
    """An empty arm tells nothing. No event in either is an effect of 0 with a width and p = 1, also for millions."""
    assert two_rates(0, 0, 3, 10) is None
    found = two_rates(0, 2_000_000, 0, 100_000)
    assert found is not None
    assert (found.estimate, found.p) == (0, 1)
    assert found.low < 0 < found.high < 1e-4


def test_test_and_interval_may_be_at_odds():
    """4 of 200 against 12 of 200: p and the interval agree; 0 of 100 against 5 of 100: Fisher says 0.059, the interval leaves 0 out."""
    together, apart = two_rates(4, 200, 12, 200), two_rates(0, 100, 5, 100)
    assert together is not None
    assert apart is not None
    assert not together.at_odds()
    assert apart.p > 0.05
    assert apart.low > 0
    assert apart.at_odds()
    assert not apart.at_odds(0.06)  # at a level above p both say yes, as the interval given is the one of 0.05


@pytest.mark.parametrize(("p", "n", "m"), [(0.02, 150, 150), (0.2, 80, 40), (0.5, 30, 60), (0.005, 1900, 100)])
def test_the_level_of_two_rates(p, n, m):
    """Computed over all outcomes: at 5 % without an effect at most 6 % are called one, by p and by the interval alike."""
    xs, ys = (range(int(scipy_stats.binom.ppf(1e-5, k, p)), int(scipy_stats.binom.isf(1e-5, k, p)) + 1) for k in (n, m))
    by_p = by_interval = odds = 0.0
    for x in xs:
        for y in ys:
            found = two_rates(x, n, y, m)
            assert found is not None
            chance = float(scipy_stats.binom.pmf(x, n, p) * scipy_stats.binom.pmf(y, m, p))
            by_p += chance * (found.p <= 0.05)
            by_interval += chance * (not found.low <= 0 <= found.high)
            odds += chance * found.at_odds()
    say(f"rates of {p:.1%}, {n} and {m}: p {by_p:.1%}, interval {by_interval:.1%}, at odds {odds:.1%}")
    assert by_p <= 0.06
    assert by_interval <= 0.06


# ranks


@given(COUNTS, COUNTS)
def test_mann_whitney_is_scipys_on_the_units(c, t):
    """Counts per bin give the U and the p-value of scipy.stats.mannwhitneyu on the units one by one; swapping arms mirrors."""
    bins = max(len(c), len(t))
    c, t = (np.pad(np.array(v), (0, bins - len(v))) for v in (c, t))
    assume(c.sum() and t.sum() and np.count_nonzero(c + t) > 1)
    found, mirrored = mann_whitney(c, t), mann_whitney(t, c)
    units = [np.repeat(np.arange(bins), v) for v in (t, c)]
    theirs = scipy_stats.mannwhitneyu(*units, method="asymptotic")
    assert found is not None
    assert mirrored is not None
    assert found[0] == pytest.approx(theirs.statistic / (c.sum() * t.sum()))
    assert found[1] == pytest.approx(theirs.pvalue)
    assert mirrored == pytest.approx((1 - found[0], found[1]))


def test_ranks_of_nobody_and_of_one_bin():
    """An empty arm tells nothing; one bin is no evidence (p = 1); bins that differ, or negative counts, are refused."""
    assert mann_whitney([0, 0], [3, 1]) is None
    assert mann_whitney([0, 5], [0, 9]) == (0.5, 1)
    with pytest.raises(ValueError, match="same bins"):
        mann_whitney([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="not negative"):
        mann_whitney([1, -2], [1, 2])


def test_ranks_of_billions():
    """Counts of billions beside single units keep their precision: share and p are those of exact fractions."""
    c, t = [5 * 10**9, 3 * 10**9, 2 * 10**9, 1], [5 * 10**9 - 30_000, 3 * 10**9, 2 * 10**9 + 30_000, 3]
    below = [Fraction(sum(c[:i])) + Fraction(c[i], 2) for i in range(4)]
    u, n, m = sum(b * k for b, k in zip(below, t, strict=True)), sum(c), sum(t)
    ties = Fraction(sum((a + b) ** 3 - (a + b) for a, b in zip(c, t, strict=True)), (n + m) * (n + m - 1))
    variance = Fraction(n * m, 12) * (n + m + 1 - ties)
    z = float(u - Fraction(n * m, 2) - Fraction(1, 2)) / math.sqrt(variance)
    found = mann_whitney(c, t)
    assert found is not None
    assert found[0] == pytest.approx(float(u / (n * m)), rel=1e-14)
    assert found[1] == pytest.approx(2 * scipy_stats.norm.sf(z), rel=1e-6)
    assert 0.1 < found[1] < 0.9


# users


@given(st.lists(st.integers(0, 1), min_size=3, max_size=50))
def test_one_interaction_each_is_the_plain_rate(outcomes):
    """Users with one interaction each have the moments of their interactions, and the design effect 1."""
    x = np.array(outcomes, dtype=float)
    by_user, plain = of_ratio(x, np.ones(len(x))), of(x)
    assert by_user == pytest.approx(plain)
    if plain.variance:
        assert user_design_effect(by_user, plain) == pytest.approx(1)
    else:
        assert user_design_effect(by_user, plain) is None


def test_copies_of_an_interaction_say_nothing_new():
    """Each user five times the same answer: the variance of the rate is that of one each, and the design effect is 5."""
    x = np.array([1.0] * 30 + [0.0] * 170)
    by_user = of_ratio(5 * x, np.full(200, 5.0))
    assert by_user == pytest.approx(of(x))
    assert user_design_effect(by_user, moments(1000, 150, 150)) == pytest.approx(5, rel=0.01)


def test_users_count_as_their_linearised_values():
    """The moments are those of R + (x_i - R n_i) / mean(n), by hand for users of different sizes."""
    rng = np.random.default_rng(1)
    n = rng.integers(1, 20, 300).astype(float)
    x = rng.binomial(n.astype(int), rng.beta(1, 9, 300)).astype(float)
    ratio = x.sum() / n.sum()
    by_hand = ratio + (x - ratio * n) / n.mean()
    assert of_ratio(x, n) == pytest.approx((300, by_hand.mean(), by_hand.var(ddof=1)))
    assert of_ratio(x, n).mean == pytest.approx(ratio)


def test_users_who_always_fail_do_not_vary():
    """All interactions of all users harmful: the rate is 1 and nothing is left to vary, whatever their sizes."""
    n = np.random.default_rng(2).integers(1, 9, 100).astype(float)
    assert of_ratio(n, n) == (100, 1, 0)
    assert welch(of_ratio(n, n), of_ratio(n, n)) is None


def draw_users(rng: np.random.Generator, users: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Users with 1 + geometric interactions (mean 5) and their own rate (beta, correlation 0.2 within a user)."""
    n = rng.geometric(0.2, users)
    own = rng.beta(4 * rate, 4 * (1 - rate), users)
    return rng.binomial(n, own).astype(float), n.astype(float)


def total(x: np.ndarray, y: np.ndarray, n: np.ndarray, m: np.ndarray) -> float:
    """The design effect of both arms as one, from their sums."""
    both = of_ratio(np.concatenate([x, y]), np.concatenate([n, m]))
    events = x.sum() + y.sum()
    return user_design_effect(both, moments(n.sum() + m.sum(), events, events)) or 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("users", "rate", "rounds", "worst"),
    [
        ((15, 15), 0.1, 3000, 0.03),
        ((100, 100), 0.01, 3000, 0.03),
        ((1000, 1000), 0.005, 2000, 0.035),
        ((1900, 100), 0.1, 2000, 0.045),
        ((1900, 100), 0.01, 2000, 0.055),
    ],
)
def test_users_keep_the_level_where_interactions_do_not(users, rate, rounds, worst):
    """Without an effect each side errs in about 2.5 %, by `two_rates` with the design effect; unequal arms in up to 5.5 %, a miss."""
    rng = np.random.default_rng(sum(users))
    wrong = {"design effect": [0, 0], "welch": [0, 0], "interactions": [0, 0]}
    for _ in range(rounds):
        (x, n), (y, m) = (draw_users(rng, k, rate) for k in users)
        counts = (int(x.sum()), int(n.sum()), int(y.sum()), int(m.sum()))
        effects = {
            "design effect": two_rates(*counts, design_effect=total(x, y, n, m)),
            "welch": welch(of_ratio(x, n), of_ratio(y, m)),
            "interactions": two_rates(*counts),
        }
        for name, effect in effects.items():
            if effect is not None:
                wrong[name][0] += effect.low > 0
                wrong[name][1] += effect.high < 0
    for name, (worse, better) in wrong.items():
        say(f"{users} users, rate {rate:.1%}, {name}: worse {worse / rounds:.1%}, better {better / rounds:.1%}")
    assert max(wrong["design effect"]) / rounds <= worst
    assert sum(wrong["interactions"]) / rounds > 0.12


def test_a_design_effect_divides_the_counts():
    """A design effect of 4 is a quarter of the counts: interval, p and standard error, exact or not; below 1 it is none."""
    for x, n, y, m in ((400, 4000, 480, 3600), (8, 400, 24, 320)):
        quarter = two_rates(x // 4, n // 4, y // 4, m // 4)
        assert two_rates(x, n, y, m, design_effect=4) == pytest.approx(quarter)
        assert two_rates(x, n, y, m, design_effect=0.8) == two_rates(x, n, y, m)
    with pytest.raises(ValueError, match="design_effect=0"):
        two_rates(1, 5, 1, 5, design_effect=0)


# before the experiment


def test_cuped_is_an_analysis_of_covariance():
    """The effect and theta are the coefficients of least squares on arm and x; every user was seen before."""
    rng = np.random.default_rng(3)
    x = rng.gamma(2, 3, 500)
    arm = np.repeat([0.0, 1.0], [200, 300])
    y = 0.7 * x + 0.3 * arm + rng.normal(size=500)
    found = cuped(of_users(y[:200], x[:200]), of_users(y[200:], x[200:]))
    assert found is not None
    slopes = np.linalg.lstsq(np.column_stack([np.ones(500), arm, x]), y)[0]
    assert found.treatment.mean - found.control.mean == pytest.approx(slopes[1])
    assert found.theta == pytest.approx(slopes[2])
    left = y - found.theta * (x - x.mean())
    assert found.control == pytest.approx(of(left[:200]))
    assert found.treatment == pytest.approx(of(left[200:]))


def test_users_who_were_not_seen_have_the_mean():
    """Missing values are as if they were the mean of both arms' values, and the sums need no second pass."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(5, 2, 400), rng.normal(size=400)
    y += x
    seen = rng.random(400) < 0.6
    filled = np.where(seen, x, x[seen].mean())
    found = cuped(of_users(y[:150], x[:150], seen[:150]), of_users(y[150:], x[150:], seen[150:]))
    whole = cuped(of_users(y[:150], filled[:150]), of_users(y[150:], filled[150:]))
    assert found is not None
    assert whole is not None
    for one, other in zip(found, whole, strict=True):
        assert one == pytest.approx(other)


def test_cuped_removes_all_nothing_or_the_square_of_the_correlation():
    """An x equal to y removes everything (and leaves no variance to test), an independent x nothing, correlation 0.7 about 49 %."""
    rng = np.random.default_rng(5)
    y, other = rng.normal(10, 3, (2, 20_000))
    same = cuped(of_users(y[:9000], y[:9000]), of_users(y[9000:], y[9000:]))
    assert same is not None
    assert same.removed == pytest.approx(1)
    assert same.theta == pytest.approx(1)
    assert welch(same.control, same.treatment) is None
    independent = cuped(of_users(y[:9000], other[:9000]), of_users(y[9000:], other[9000:]))
    assert independent is not None
    assert independent.removed == pytest.approx(0, abs=0.001)
    half = 0.7 * (y - 10) + math.sqrt(1 - 0.49) * (other - 10)
    found = cuped(of_users(y[:9000], half[:9000]), of_users(y[9000:], half[9000:]))
    assert found is not None
    assert found.removed == pytest.approx(0.49, abs=0.02)


def test_cuped_without_a_before_is_no_answer():
    """Nobody seen, an x that does not vary, or one user in an arm: None; more seen than there are: refused."""
    y, x = np.arange(10.0), np.full(10, 0.1)
    nobody = np.zeros(10, bool)
    assert cuped(of_users(y, x, nobody), of_users(y, x, nobody)) is None
    assert cuped(of_users(y, x), of_users(y, x)) is None
    assert cuped(of_users(y[:1], y[:1]), of_users(y, y)) is None
    with pytest.raises(ValueError, match="seen=11"):
        cuped(of_users(y, y)._replace(seen=11), of_users(y, y))


def test_intervals_cover():
    """95 % intervals of the difference, of the relative one and after CUPED hold the truth in 93.5 to 96.5 % of 4,000 skewed samples."""
    rng = np.random.default_rng(6)
    rounds, held, shorter = 4000, dict.fromkeys(("absolute", "relative", "cuped"), 0), 0.0
    for _ in range(rounds):
        x = rng.gamma(2, 1, 400)
        y = rng.poisson(x + 1).astype(float)  # mean 3
        y[150:] = rng.poisson(1.1 * (x[150:] + 1))
        c, t = of_users(y[:150], x[:150]), of_users(y[150:], x[150:])
        plain, percent, less = welch(of(y[:150]), of(y[150:])), relative(of(y[:150]), of(y[150:])), cuped(c, t)
        assert plain is not None
        assert percent is not None
        assert less is not None
        adjusted = welch(less.control, less.treatment)
        assert adjusted is not None
        for name, effect, truth in (("absolute", plain, 0.3), ("relative", percent, 0.1), ("cuped", adjusted, 0.3)):
            held[name] += effect.low <= truth <= effect.high
        shorter += (adjusted.se / plain.se) ** 2 / rounds
    say(
        ", ".join(f"{name} {count / rounds:.1%}" for name, count in held.items())
        + f", variance left by CUPED {shorter:.0%}"
    )
    assert all(0.935 <= count / rounds <= 0.965 for count in held.values())
    assert shorter < 0.75


# parts


def test_equal_effects_are_homogeneous():
    """The same effect in every part has Q = 0; fewer than two parts have no answer; a part without an error is refused."""
    assert heterogeneity([0.2, 0.2, 0.2], [0.1, 0.3, 0.2]) == pytest.approx((0, 2, 1, 0), abs=1e-12)
    assert heterogeneity([0.2], [0.1]) is None
    with pytest.raises(ValueError, match="above 0"):
        heterogeneity([0.2, 0.1], [0.1, 0.0])


@given(st.floats(-5, 5), st.floats(0.01, 3), st.floats(-5, 5), st.floats(0.01, 3))
def test_two_parts_are_a_z_test(a, s, b, t):
    """For two parts Q is the square of their difference in standard errors."""
    found = heterogeneity([a, b], [s, t])
    assert found is not None
    z2 = (a - b) ** 2 / (s * s + t * t)
    assert found.q == pytest.approx(z2, abs=1e-9)
    assert found.p == pytest.approx(2 * scipy_stats.norm.sf(math.sqrt(z2)), abs=1e-6)


def test_heterogeneity_keeps_its_level():
    """Parts with one effect are called different at 5 % in 5 % of 4,000 draws (4 to 6 %)."""
    rng = np.random.default_rng(7)
    ses = np.array([0.1, 0.2, 0.5, 1.0])
    draws = (heterogeneity(0.3 + ses * rng.normal(size=4), ses) for _ in range(4000))
    assert 0.04 <= np.mean([found is not None and found.p <= 0.05 for found in draws]) <= 0.06
