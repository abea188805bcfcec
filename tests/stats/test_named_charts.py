"""The named charts: worked examples of the textbook, hand derivations, and laws that hold for every series."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from andon.stats import charts
from andon.stats.charts import Chart
from andon.stats.run_length import CountCusum, CountEwma, NormalCusum, NormalEwma, Scheme, average_run_length, limit_for

Floats = NDArray[np.float64]


def column(values: str) -> Floats:
    """One series from a printed row."""
    return np.array(values.split(), dtype=np.float64)[:, None]


# Montgomery, Introduction to Statistical Quality Control, 7th ed., Table 9.1: target 10, sigma 1; a shift of one sigma after 20
MONTGOMERY = """9.45 7.99 9.29 11.66 12.16 10.18 8.04 11.46 9.20 10.34 9.03 11.47 10.51 9.40 10.08 9.37 10.62 10.31 8.52 10.84
10.90 9.33 12.29 11.50 10.60 11.08 10.38 11.62 11.31 10.52"""
SHIFTED = column(MONTGOMERY) - 10

# Table 7.1: cans that leak, of 50
CANS = column("12 15 8 10 4 7 16 9 14 10 5 6 17 12 22 8 10 5 13 11 20 18 24 15 9 12 7 13 9 6")

# Table 6.6: costs of processing loans
LOANS = column("310 288 297 298 307 303 294 297 308 306 294 299 297 299 314 295 293 306 301 304")


def test_montgomery_ewma() -> None:
    """Weight 0.1, L 2.7, exact limits: the values of Montgomery's Table 9.10 and the limits of section 9.2.2."""
    made = charts.ewma(SHIFTED, 0.1, 2.7, exact=True)
    assert made.statistic[:6, 0] + 10 == pytest.approx([9.945, 9.7495, 9.70355, 9.8992, 10.1253, 10.1307], abs=5e-5)
    assert made.statistic[-2:, 0] + 10 == pytest.approx([10.6468, 10.6341], abs=1e-4)
    assert made.high[:2, 0] == pytest.approx([0.27, 0.3632], abs=1e-4)
    assert made.low[-1, 0] == pytest.approx(-0.62, abs=0.002)
    assert np.flatnonzero(made.out).tolist() == [28, 29]


def test_montgomery_cusum() -> None:
    """With k 0.5 and h 5, C+ reaches 5.28 at period 29 and signals: Montgomery, Table 9.2."""
    upper = charts.cusum(SHIFTED, 0.5, 5.0, side="upper")
    assert upper.statistic[3:6, 0] == pytest.approx([1.16, 2.82, 2.50])
    assert upper.statistic[-2:, 0] == pytest.approx([5.28, 5.30])
    assert np.flatnonzero(upper.out).tolist() == [28, 29]
    both = charts.cusum(SHIFTED, 0.5, 5.0)
    assert both.statistic[:4, 0] == pytest.approx([-0.05, -1.56, -1.77, 1.16])  # C- of the table, with a minus sign
    assert (both.out == upper.out).all()


def test_montgomery_p_chart() -> None:
    """The cans of Table 7.1: centre 0.2313, limits 0.0524 and 0.4102, samples 15 and 23 out (section 7.2.1)."""
    made = charts.p_chart(CANS, np.full(CANS.shape, 50.0), CANS.sum() / 1500)
    assert (made.centre[0, 0], made.low[0, 0], made.high[0, 0]) == pytest.approx((0.2313, 0.0524, 0.4102), abs=5e-5)
    assert (np.flatnonzero(made.out) + 1).tolist() == [15, 23]


def test_montgomery_individuals() -> None:
    """The loans of Table 6.6: 300.5, mean range 7.79, limits 279.78 and 321.22, ranges to 25.45 (section 6.4)."""
    sigma = charts.moving_range_sigma(LOANS)
    assert sigma * 1.128 == pytest.approx(7.79, abs=0.005)
    made = charts.individuals_chart(LOANS, LOANS.mean(), sigma)
    assert (made.low[0, 0], made.high[0, 0]) == pytest.approx((279.78, 321.22), abs=0.02)
    assert charts.moving_range_chart(LOANS, sigma).high[0, 0] == pytest.approx(25.45, abs=0.02)
    assert not made.out.any()


def test_laney_by_hand() -> None:
    """Shares of 0.4, 0.6, 0.4 of 100 about 0.5 have z -2, 2, -2: mean range 4, sigma_z 4 / 1.128, limits as much wider."""
    x, n = column("40 60 40"), np.full((3, 1), 100.0)
    sigma_z = charts.laney_sigma(x, n, 0.5)
    assert sigma_z == pytest.approx(4 / 1.128379)
    made = charts.laney_p_chart(x, n, 0.5, sigma_z, sigmas=2.0)
    assert made.high[:, 0] == pytest.approx(0.5 + 2 * 0.05 * 4 / 1.128379)
    assert charts.p_chart(x, n, 0.5, sigmas=2.0).high[0, 0] == pytest.approx(0.6)
    assert charts.laney_sigma(x[:1], n[:1], 0.5) == 1.0  # one window says nothing
    assert (
        charts.laney_sigma(np.full((9, 1), 50.0), np.full((9, 1), 100.0), 0.5) == 0.0
    )  # never moved: no limits from that


def test_u_chart_by_hand() -> None:
    """Sixteen expected of exposure 4 at u 4: sigma 1, three of it 1 to 7; the exact limits hold their tails."""
    x, a = column("29 3 16"), np.full((3, 1), 4.0)
    made = charts.u_chart(x, a, 4.0)
    assert (made.low[0, 0], made.high[0, 0]) == pytest.approx((1.0, 7.0))
    assert made.out[:, 0].tolist() == [True, True, False]
    exact = charts.exact_u_chart(x, a, 4.0)
    law = scipy_stats.poisson(16)
    high, low = exact.high[0, 0] * 4, exact.low[0, 0] * 4
    assert law.sf(high) <= 0.00135 < law.sf(high - 1)
    assert law.cdf(low - 1) <= 0.00135 < law.cdf(low)


@given(n=st.integers(1, 400), rate=st.floats(0.001, 0.999), tail=st.floats(1e-6, 0.2))
def test_exact_limits_hold_their_tails(n: int, rate: float, tail: float) -> None:
    """Of binomial windows at most `tail` lie beyond each exact limit, and no limit is wider than that needs."""
    made = charts.exact_p_chart(np.zeros((1, 1)), np.full((1, 1), float(n)), rate, tail=tail)
    law, high, low = scipy_stats.binom(n, rate), round(made.high[0, 0] * n), round(made.low[0, 0] * n)
    assert law.sf(high) <= tail * (1 + 1e-9)
    assert high == 0 or law.sf(high - 1) > tail * (1 - 1e-9)
    assert law.cdf(low - 1) <= tail * (1 + 1e-9)
    assert low == n or law.cdf(low) > tail * (1 - 1e-9)


def test_g_chart_by_hand() -> None:
    """At p 0.1 and a tail of 5 %: gaps above 29 are too long (0.9^29 <= 0.05), none is too short (P(gap 1) = 0.1)."""
    made = charts.g_chart(np.array([[1.0], [29.0], [30.0], [np.nan]]), 0.1, tail=0.05)
    assert (made.centre[0, 0], made.low[0, 0], made.high[0, 0]) == pytest.approx((10, 1, 29))
    assert made.out[:, 0].tolist() == [False, False, True, False]
    assert made.seen[:, 0].tolist() == [True, True, True, False]
    assert charts.g_chart(np.array([[1.0], [2.0]]), 0.001, tail=0.0015).out[:, 0].tolist() == [True, False]


def test_log_likelihood_cusum_by_hand() -> None:
    """One window adds log of the ratio of the two likelihoods, and the sum never falls below 0."""
    x, n = column("3 0 9"), column("20 20 20")
    made = charts.cusum_binomial(x, n, 0.1, 2.0, 3.0)
    odds = 2 * 0.1 / 0.9
    other = odds / (1 + odds)
    ratio = [float(np.diff(scipy_stats.binom.logpmf(v, 20, [0.1, other]))[0]) for v in (3, 0, 9)]
    want = [max(0.0, ratio[0])]
    for step in ratio[1:]:
        want.append(max(0.0, want[-1] + step))
    assert made.statistic[:, 0] == pytest.approx(want)
    poisson = charts.cusum_poisson(column("7"), column("4"), 1.5, 3.0)
    assert poisson.statistic[0, 0] == pytest.approx(float(np.diff(scipy_stats.poisson.logpmf(7, [4, 6]))[0]))


def test_rolling_sigma_by_hand() -> None:
    """Mean and standard deviation are those of the windows before; too few of them, or an empty one, give no alarm."""
    rates = np.array([0.1, 0.3, 0.2, 0.9, 0.2, 0.2])
    n = np.full((6, 1), 10.0)
    made = charts.rolling_sigma(rates[:, None] * n, n, 3)
    assert made.seen[:, 0].tolist() == [False, False, True, True, True, True]
    assert made.centre[3, 0] == pytest.approx(rates[:3].mean())
    assert made.high[3, 0] == pytest.approx(rates[:3].mean() + 2 * rates[:3].std(ddof=1))
    assert made.low[4, 0] == pytest.approx(rates[1:4].mean() - 2 * rates[1:4].std(ddof=1))
    assert made.out[:, 0].tolist() == [False, False, False, True, False, False]
    assert not np.isfinite(made.high[0, 0])


def make_all(x: Floats, n: Floats, rate: Floats) -> dict[str, Chart]:
    """Every chart of the same counts."""
    r = charts.binomial_residuals(x, n, rate)
    share = np.where(n > 0, x / np.maximum(n, 1), np.nan)
    spread = np.sqrt(rate * (1 - rate) / 10)
    return {
        "p": charts.p_chart(x, n, rate),
        "exact p": charts.exact_p_chart(x, n, rate),
        "laney": charts.laney_p_chart(x, n, rate, 1.5),
        "u": charts.u_chart(x, n, rate),
        "exact u": charts.exact_u_chart(x, n, rate),
        "g": charts.g_chart(np.where(n > 0, n, np.nan), rate),
        "individuals": charts.individuals_chart(share, rate, spread),
        "ranges": charts.moving_range_chart(share, spread),
        "rolling": charts.rolling_sigma(x, n, 5),
        "ewma": charts.ewma(r, 0.2, 2.0),
        "ewma exact restart": charts.ewma(r, 0.2, 2.0, exact=True, restart=True, head_start=0.3),
        "cusum": charts.cusum(r, 0.5, 2.0),
        "cusum restart": charts.cusum(r, 0.5, 2.0, restart=True, head_start=0.5),
        "binomial cusum": charts.cusum_binomial(x, n, rate, 2.0, 2.0),
        "poisson cusum": charts.cusum_poisson(x, n * rate, 2.0, 2.0, restart=True),
    }


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), windows=st.integers(1, 30), empty=st.floats(0, 0.6))
def test_series_do_not_know_each_other(seed: int, windows: int, empty: float) -> None:
    """Charts of five series at once are the five charts one by one, with empty windows or without."""
    rng = np.random.default_rng(seed)
    n = np.where(rng.random((windows, 5)) < empty, 0, rng.integers(1, 40, (windows, 5))).astype(np.float64)
    rate = rng.uniform(0.02, 0.6, 5)
    x = rng.binomial(n.astype(int), rate).astype(np.float64)
    whole = make_all(x, n, rate)
    for i in range(5):
        alone = make_all(x[:, [i]], n[:, [i]], rate[[i]])
        for name, one in alone.items():
            for field in ("statistic", "centre", "low", "high", "out", "seen"):
                mine = getattr(whole[name], field)[:, i]
                np.testing.assert_allclose(mine, getattr(one, field)[:, 0], atol=1e-9, err_msg=f"{name}.{field}")


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), windows=st.integers(1, 30))
def test_an_empty_window_changes_nothing(seed: int, windows: int) -> None:
    """A window without observations is never out or seen, holds no NaN, and leaves EWMA and CUSUM where they stand."""
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 40, (windows, 3)).astype(np.float64)
    x, rate = rng.binomial(n.astype(int), 0.2).astype(np.float64), np.full(3, 0.2)
    at = int(rng.integers(0, windows + 1))
    gap = make_all(np.insert(x, at, 0, axis=0), np.insert(n, at, 0, axis=0), rate)
    for name, made in gap.items():
        assert not made.out[at].any(), name
        assert not made.seen[at].any(), name
        assert not np.isnan(made.statistic).any(), name
        assert (made.out == made.seen & ((made.statistic > made.high) | (made.statistic < made.low))).all(), name
    plain = make_all(x, n, rate)
    for name in ("ewma", "ewma exact restart", "cusum", "cusum restart", "binomial cusum", "poisson cusum"):
        np.testing.assert_allclose(np.delete(gap[name].statistic, at, axis=0), plain[name].statistic, err_msg=name)
        np.testing.assert_allclose(np.delete(gap[name].high, at, axis=0), plain[name].high, err_msg=name)


def test_a_seasonal_baseline_is_followed_window_by_window() -> None:
    """A baseline of shape (t, k) gives each window its own centre; a constant one gives the same as a number."""
    rng = np.random.default_rng(3)
    n = np.full((48, 2), 200.0)
    season = 0.05 + 0.03 * np.sin(np.arange(48) * 2 * math.pi / 24)[:, None] * np.ones(2)
    x = rng.binomial(200, season).astype(np.float64)
    made = make_all(x, n, season)
    assert (made["p"].centre == season).all()
    flat = make_all(x, n, np.full((48, 2), 0.05))
    for name, one in make_all(x, n, np.full(2, 0.05)).items():
        np.testing.assert_allclose(flat[name].statistic, one.statistic, err_msg=name)
    assert made["cusum"].out.sum() < flat["cusum"].out.sum()  # a flat baseline calls the wave a shift


def test_restart_counts_alarms_and_going_on_shows_how_far() -> None:
    """After a window that is out, a restarted sum begins anew; without restart it stays high while the shift lasts."""
    up = np.full((8, 1), 2.0)
    assert charts.cusum(up, 0.5, 4.0).out[:, 0].tolist() == [False, False, *[True] * 6]
    again = charts.cusum(up, 0.5, 4.0, restart=True)
    assert again.statistic[:, 0] == pytest.approx([1.5, 3.0, 4.5, 1.5, 3.0, 4.5, 1.5, 3.0])
    started = charts.cusum(up, 0.5, 4.0, restart=True, head_start=0.5)
    assert started.statistic[:, 0] == pytest.approx([3.5, 5.0, 3.5, 5.0, 3.5, 5.0, 3.5, 5.0])
    smooth = charts.ewma(up, 0.5, 2.1, exact=True, restart=True)
    assert smooth.out[:, 0].tolist() == [False, True] * 4
    assert smooth.high[:, 0] == pytest.approx([1.05, 1.05 * math.sqrt(1.25)] * 4)


def test_an_upper_chart_has_no_lower_limit() -> None:
    """A fall is out of a two-sided chart and not of an upper one."""
    down = np.full((20, 1), -3.0)
    for made in (charts.ewma(down, 0.2, 2.5), charts.cusum(down, 0.5, 4.0)):
        assert made.out[-1, 0]
    for made in (charts.ewma(down, 0.2, 2.5, side="upper"), charts.cusum(down, 0.5, 4.0, side="upper")):
        assert not made.out.any()


def test_clustering_widens_the_standard_deviation_of_residuals() -> None:
    """With rho the variance of a window grows by 1 + (n - 1) rho."""
    x, n = column("30"), column("100")
    plain = charts.binomial_residuals(x, n, 0.2)
    assert plain[0, 0] == pytest.approx(10 / 4)
    assert charts.binomial_residuals(x, n, 0.2, rho=0.03)[0, 0] == pytest.approx(10 / 4 / math.sqrt(1 + 99 * 0.03))


ONE = np.ones((1, 1))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: charts.p_chart(2 * ONE, ONE, 0.1), "2.0 events in n=1.0"),
        (lambda: charts.p_chart(np.ones(3), np.ones(3), 0.1), "time first"),
        (lambda: charts.p_chart(ONE, np.ones((2, 1)), 0.1), "one exposure for each count"),
        (lambda: charts.p_chart(-ONE, ONE, 0.1), "negative or NaN"),
        (lambda: charts.p_chart(ONE, np.full((1, 1), np.nan), 0.1), "negative or NaN"),
        (lambda: charts.p_chart(ONE, ONE, np.array([0.0])), "not between 0 and 1"),
        (lambda: charts.u_chart(ONE, ONE, 0.0), "rate of the baseline must be positive"),
        (lambda: charts.exact_p_chart(ONE, ONE, 0.1, tail=0.7), "tail=0.7"),
        (lambda: charts.exact_p_chart(10.5 * ONE, 11 * ONE, 0.1), r"x=10\.5 .* not a whole number"),
        (lambda: charts.exact_p_chart(10 * ONE, 10.5 * ONE, 0.1), r"n=10\.5 .* not a whole number"),
        (lambda: charts.exact_p_chart(ONE, np.inf * ONE, 0.1), "n=inf"),
        (lambda: charts.laney_p_chart(ONE, 9 * ONE, 0.1, np.zeros(1)), "sigma_z of the baseline must be positive"),
        (lambda: charts.laney_p_chart(ONE, 9 * ONE, 0.1, np.nan), "sigma_z of the baseline must be positive"),
        (lambda: charts.g_chart(0 * ONE, 0.1), "gap of 0.0"),
        (lambda: charts.moving_range_sigma(ONE), "series 0 has fewer than two"),
        (lambda: charts.individuals_chart(ONE, 0.0, 0.0), "never varied"),
        (lambda: charts.rolling_sigma(ONE, ONE, 1), "window=1"),
        (lambda: charts.ewma(ONE, 0.0, 3.0), r"weight=0\.0"),
        (lambda: charts.cusum(ONE, -0.5, 3.0), r"reference=-0\.5"),
        (lambda: charts.cusum(ONE, 0.5, 0.0), r"limit=0\.0"),
        (lambda: charts.cusum_binomial(ONE, ONE, 0.1, 1.0, 3.0), r"odds=1\.0"),
        (lambda: charts.cusum_poisson(ONE, ONE, -1.0, 3.0), r"ratio=-1\.0"),
        (lambda: average_run_length(NormalCusum(), 0.0), r"limit=0\.0"),
        (lambda: average_run_length(NormalCusum(head_start=1.0), 4.0), r"head_start=1\.0"),
        (lambda: average_run_length(NormalCusum(reference=-1.0), 4.0), r"reference=-1\.0"),
        (lambda: average_run_length(NormalEwma(weight=1.5), 4.0), r"weight=1\.5"),
        (lambda: average_run_length(CountCusum(rate=0.1, n=10, odds=1.0), 4.0), r"odds=1\.0"),
        (lambda: average_run_length(CountCusum(rate=1.1, n=10, odds=2.0), 4.0), r"rate=1\.1"),
        (lambda: average_run_length(CountEwma(rate=-1.0, n=None, weight=0.1), 4.0), r"rate=-1\.0"),
        (lambda: average_run_length(CountEwma(rate=1.0, n=None, weight=0.1), 4.0, scale=2.0), r"scale=2\.0"),
        (lambda: limit_for(NormalCusum(), 0.5), r"arl=0\.5"),
        (lambda: limit_for(NormalCusum(side="upper"), 3.0), "too short"),
        (lambda: limit_for(NormalCusum(), 500, baseline=3), "baseline=3"),
        (lambda: limit_for(NormalCusum(), 1e6, baseline=12), "learn from more windows"),
    ],
)
def test_what_cannot_be_is_refused(wrong: object, says: str) -> None:
    """An impossible argument is refused with its value and what is allowed, never turned into NaN."""
    assert callable(wrong)
    with pytest.raises(ValueError, match=says):
        wrong()


@pytest.mark.parametrize(
    "scheme",
    [
        NormalEwma(weight=0.1),
        NormalEwma(weight=0.1, side="upper", exact=True),
        NormalCusum(),
        NormalCusum(side="upper", head_start=0.5),
        CountCusum(rate=0.02, n=100, odds=1.6),
        CountCusum(rate=0.02, n=100, odds=0.5),
        CountCusum(rate=2.0, n=None, odds=1.6, head_start=0.5),
        pytest.param(CountEwma(rate=0.02, n=100, weight=0.1), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_limits_and_run_lengths_are_inverse(scheme: Scheme) -> None:
    """`limit_for` gives the run length asked for, counts at most a step above."""
    limit = limit_for(scheme, 300)
    found = average_run_length(scheme, limit)
    assert 300 * (1 - 1e-7) <= found <= 300 * (1.1 if isinstance(scheme, CountCusum) else 1.02)
    assert average_run_length(scheme, limit * 0.999) < 300


@pytest.mark.parametrize(
    "scheme", [NormalEwma(weight=0.1), NormalCusum(), CountCusum(rate=0.02, n=100, odds=1.6)], ids=str
)
def test_a_worse_baseline_and_a_longer_run_cost_more(scheme: Scheme) -> None:
    """The limit grows with the run length asked for, with the certainty of the promise, and as the baseline gets shorter."""
    known = limit_for(scheme, 300)
    long, short = limit_for(scheme, 300, baseline=400), limit_for(scheme, 300, baseline=50)
    assert known < limit_for(scheme, 3000)
    assert known < long < short < limit_for(scheme, 300, baseline=50, certainty=0.99)


@pytest.mark.parametrize(
    "scheme", [NormalEwma(weight=0.1), NormalCusum(), CountCusum(rate=0.02, n=100, odds=1.6)], ids=str
)
def test_the_longer_the_shift_the_shorter_the_run(scheme: Scheme) -> None:
    """Run lengths fall with the shift, towards 1, and are infinite where double precision ends."""
    lengths = [average_run_length(scheme, 4.0, shift=s) for s in (0.0, 0.3, 0.6, 1.0, 2.0)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] < 10
    assert average_run_length(scheme, 35.0) == math.inf


def test_one_side_is_the_limit_of_two() -> None:
    """A shift up makes the lower side of a CUSUM silent: both sides run as long as the upper one."""
    for shift in (0.5, 1.0, 3.0):
        one = average_run_length(NormalCusum(side="upper"), 5.0, shift=shift)
        assert average_run_length(NormalCusum(), 5.0, shift=shift) == pytest.approx(one, rel=2e-3)
