"""Seeded simulations of the named charts: do they run as long as computed, and do their limits keep the promise?

Each band is stated with its reason; `-s` prints the figures.
"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from andon.stats import charts
from andon.stats.charts import Chart
from andon.stats.run_length import (
    CountCusum,
    CountEwma,
    NormalCusum,
    NormalEwma,
    Scheme,
    average_run_length,
    limit_for,
)
from figures import say

Floats = NDArray[np.float64]


def draw(scheme: Scheme, rng: np.random.Generator, shape: tuple[int, int], shift: float = 0.0) -> Floats:
    """Residuals or counts whose truth lies `shift` above the scheme's baseline."""
    if isinstance(scheme, (NormalEwma, NormalCusum)):
        return rng.normal(shift, 1.0, shape)
    if scheme.n is None:
        return rng.poisson(scheme.rate * math.exp(shift), shape).astype(np.float64)
    odds = scheme.rate / (1 - scheme.rate) * math.exp(shift)
    return rng.binomial(scheme.n, odds / (1 + odds), shape).astype(np.float64)


def chart(scheme: Scheme, limit: float, x: Floats, *, restart: bool = False) -> Chart:
    """The chart that the scheme describes, over these residuals or counts."""
    start = scheme.head_start
    if isinstance(scheme, NormalCusum):
        return charts.cusum(x, scheme.reference, limit, side=scheme.side, head_start=start, restart=restart)
    if isinstance(scheme, NormalEwma):
        weight, exact = scheme.weight, scheme.exact
        return charts.ewma(x, weight, limit, side=scheme.side, exact=exact, head_start=start, restart=restart)
    size = np.full(x.shape, scheme.rate if scheme.n is None else float(scheme.n))
    if isinstance(scheme, CountCusum):
        if scheme.n is None:
            return charts.cusum_poisson(x, size, scheme.odds, limit, head_start=start, restart=restart)
        return charts.cusum_binomial(x, size, scheme.rate, scheme.odds, limit, head_start=start, restart=restart)
    r = charts.poisson_residuals(x, size) if scheme.n is None else charts.binomial_residuals(x, size, scheme.rate)
    return charts.ewma(r, scheme.weight, limit, side=scheme.side, head_start=start, restart=restart)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "limit", "shift"),
    [
        (NormalEwma(weight=0.1), 2.2, 0.0),
        (NormalEwma(weight=0.1, exact=True), 2.2, 0.0),
        (NormalEwma(weight=0.3, side="upper"), 2.0, 0.0),
        (NormalEwma(weight=0.05, side="upper", exact=True), 2.5, 0.5),
        (NormalEwma(weight=0.2, side="upper", head_start=0.5), 1.9, -0.1),
        (NormalCusum(), 3.0, 0.0),
        (NormalCusum(side="upper"), 2.5, 0.0),
        (NormalCusum(head_start=0.5), 4.0, 0.25),
        (NormalCusum(reference=0.25, side="upper", head_start=0.8), 4.0, 0.0),
        (CountCusum(rate=0.05, n=20, odds=2.0), 1.5, 0.0),
        (CountCusum(rate=0.005, n=2000, odds=1.6, head_start=0.5), 2.0, 0.1),
        (CountCusum(rate=0.3, n=5, odds=0.5), 1.0, -0.1),
        (CountCusum(rate=3.0, n=None, odds=1.5), 1.5, 0.0),
        (CountEwma(rate=0.05, n=20, weight=0.1), 2.0, 0.0),
        (CountEwma(rate=4.0, n=None, weight=0.2, side="both"), 2.3, 0.0),
        (CountEwma(rate=0.01, n=5, weight=0.3), 2.5, math.log(1.6)),
    ],
    ids=str,
)
def test_simulated_run_length_is_the_computed_one(scheme: Scheme, limit: float, shift: float) -> None:
    """The mean of 6,000 simulated run lengths is the computed one, within 3.5 standard errors (EWMA of counts: and 0.5 %)."""
    rng = np.random.default_rng(31)
    out = chart(scheme, limit, draw(scheme, rng, (1500, 6000), shift)).out
    assert out.any(axis=0).all(), "a run length was cut off; choose a lower limit"
    lengths = out.argmax(axis=0) + 1.0
    error = float(lengths.std() / math.sqrt(len(lengths)))
    computed = average_run_length(scheme, limit, shift=shift)
    say(
        f"{scheme} limit {limit} shift {shift:.2f}: simulated {lengths.mean():.2f} +- {error:.2f}, computed {computed:.2f}"
    )
    lattice = 0.005 * computed if isinstance(scheme, CountEwma) else 0.0
    assert abs(lengths.mean() - computed) <= 3.5 * error + lattice


@pytest.mark.parametrize(
    "scheme",
    [
        NormalEwma(weight=0.1),
        NormalEwma(weight=0.2, side="upper", exact=True),
        NormalCusum(side="upper", head_start=0.5),
        CountCusum(rate=0.02, n=100, odds=1.6),
        CountEwma(rate=0.1, n=50, weight=0.2),
    ],
    ids=str,
)
def test_limit_for_keeps_the_false_alarm_rate(scheme: Scheme) -> None:
    """With a known baseline, a limit for 200 windows gives one false alarm in 200 windows; counts up to a step fewer."""
    rng = np.random.default_rng(32)
    limit = limit_for(scheme, 200)
    x = draw(scheme, rng, (4000, 500))
    alarms = int(chart(scheme, limit, x, restart=True).out.sum())
    say(f"{scheme}: limit {limit:.4f}, {x.size / alarms:.1f} windows for each false alarm, 200 asked")
    # about 10,000 alarms: their number has a standard error of 1 %
    expected = x.size / average_run_length(scheme, limit)
    assert abs(alarms - expected) <= 3.5 * math.sqrt(expected) + 0.01 * expected
    assert alarms <= x.size / 200 * 1.03


@pytest.mark.parametrize(("scheme", "m"), [(NormalCusum(), 100), (NormalEwma(weight=0.1), 200)], ids=str)
def test_limit_for_an_estimated_baseline(scheme: Scheme, m: int) -> None:
    """Of charts set up on a baseline of m windows, 90 % keep the run length asked for; without the allowance, far fewer."""
    rng = np.random.default_rng(33)
    arl = 500.0
    naive, paid = limit_for(scheme, arl), limit_for(scheme, arl, baseline=m)
    history = rng.normal(size=(m, 800))
    centre, sigma = history.mean(axis=0), history.std(axis=0, ddof=1)
    kept = {}
    for limit in (naive, paid):
        lengths = [
            average_run_length(scheme, limit, shift=-c / s, scale=1 / s)
            for c, s in zip(map(float, centre), map(float, sigma), strict=True)
        ]
        kept[limit] = float(np.mean(np.array(lengths) >= arl))
    say(f"{scheme} m={m}: {kept[naive]:.0%} keep {arl:.0f} with {naive:.3f}, {kept[paid]:.0%} with {paid:.3f}")
    # 800 baselines: a share of 90 % has a standard error of 1.1 %
    assert 0.87 <= kept[paid] <= 0.93
    assert kept[naive] < 0.6


def test_alarms_with_an_estimated_baseline() -> None:
    """Simulated: at most a tenth of 400 charts on baselines of 100 windows alarm more often than 1 in 100 windows."""
    rng = np.random.default_rng(34)
    scheme, m, arl = NormalCusum(), 100, 100.0
    limit = limit_for(scheme, arl, baseline=m)
    history = rng.normal(size=(m, 400))
    centre, sigma = history.mean(axis=0), history.std(axis=0, ddof=1)
    x = (rng.normal(size=(10_000, 400)) - centre) / sigma
    share = {}
    for name, h in (("known", limit_for(scheme, arl)), ("estimated", limit)):
        alarms = chart(scheme, h, x, restart=True).out.sum(axis=0)
        share[name] = float((alarms > len(x) / arl).mean())
    say(f"charts above 1 false alarm in 100 windows: {share['known']:.0%}, with the allowance {share['estimated']:.0%}")
    # 10 % has a standard error of 1.5 % over 400 charts; noise of the alarms themselves moves some across the line
    assert share["estimated"] <= 0.15
    assert share["known"] > 0.35


@pytest.mark.parametrize(("rate", "n", "m"), [(0.05, 20, 100), (0.02, 100, 48), (0.005, 100, 200)])
def test_limit_for_an_estimated_rate(rate: float, n: int, m: int) -> None:
    """Over all baselines that can occur, 90 % give a binomial CUSUM that keeps 200 windows (computed, not simulated)."""
    trials, arl = n * m, 200.0
    law = scipy_stats.binom(trials, rate)
    kept = {}
    for name, m_ in (("known", None), ("estimated", m)):

        def keeps(x: int, m_: int | None = m_) -> bool:
            scheme = CountCusum(rate=(x + 0.5) / (trials + 1), n=n, odds=1.6)
            truth = math.log(rate / (1 - rate)) - math.log(scheme.rate / (1 - scheme.rate))
            return average_run_length(scheme, limit_for(scheme, arl, baseline=m_), shift=truth) >= arl

        # the more events in the baseline, the wider the chart, so one bisection finds all baselines that keep it
        least, most = int(law.ppf(1e-6)), int(law.isf(1e-6))
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (least, middle) if keeps(middle) else (middle, most)
        kept[name] = float(law.sf(most - 1))
    say(
        f"binomial CUSUM p={rate} n={n} m={m}: {kept['known']:.0%} keep {arl:.0f}, with the allowance {kept['estimated']:.0%}"
    )
    assert kept["estimated"] >= 0.89  # the exact bound is cautious; the half event in the rate takes a little of it
    assert kept["known"] < kept["estimated"]


def test_the_textbook_cusum_alarms_in_most_stable_streams() -> None:
    """The CUSUM with k 0.5, h 5 (run length 465) alarms in 88 % of stable streams of 1,000 points; a limit for the stream does not."""
    rng = np.random.default_rng(35)
    x = rng.normal(size=(1000, 5000))
    share = float(charts.cusum(x, 0.5, 5.0).out.any(axis=0).mean())
    limit = limit_for(NormalCusum(), 100_000)
    calm = float(charts.cusum(x, 0.5, limit).out.any(axis=0).mean())
    say(
        f"stable streams of 1,000 points that alarm: {share:.1%} at h=5, {calm:.1%} at h={limit:.2f} (run length 100,000)"
    )
    assert share == pytest.approx(0.88, abs=0.015)  # standard error 0.5 %
    assert calm <= 0.015


def test_the_rolling_rule_cries_wolf_and_goes_blind() -> None:
    """Two sigma of the rolling week: 13 alarms a month when all is well, and a lasting rise is normal within the week."""
    rng = np.random.default_rng(36)
    n = np.full((168 + 720, 400), 2000.0)
    x = rng.binomial(2000, 0.005, n.shape).astype(np.float64)
    rolling = charts.rolling_sigma(x, n, 168)
    alarms, silent = np.zeros(400), np.zeros(400)
    for high in (rolling.statistic > rolling.high)[168:]:
        told = high & (silent <= 0)
        alarms += told
        silent = np.where(told, 23, silent - 1)  # silent for the rest of the day
    x[528:] = rng.binomial(2000, 0.008, x[528:].shape)
    later = charts.rolling_sigma(x, n, 168)
    share = (later.statistic > later.high)[528:].mean(axis=1)
    say(f"rolling two sigma: {alarms.mean():.1f} alarms a month in control; after a rise of 0.5 % to 0.8 % "
        f"{share[:6].mean():.0%} of points are high, a week later {share[162:174].mean():.0%}")  # fmt: skip
    assert alarms.mean() == pytest.approx(13, abs=1)
    assert share[:6].mean() > 0.3
    assert share[162:174].mean() < 0.1


@pytest.mark.parametrize(("rate", "n"), [(0.005, 100), (0.05, 20), (0.005, 2000), (0.3, 50)])
def test_false_alarms_of_shewhart_limits(rate: float, n: int) -> None:
    """Exact limits keep 0.00135 above for every n; three sigma break it manyfold where counts are small (computed)."""
    counts = np.arange(n + 1, dtype=np.float64)[:, None]
    size = np.full(counts.shape, float(n))
    law = scipy_stats.binom.pmf(counts, n, rate)
    above = {}
    for name, made in (
        ("sigma", charts.p_chart(counts, size, rate)),
        ("exact", charts.exact_p_chart(counts, size, rate)),
    ):
        above[name] = float(law[made.statistic > made.high].sum())
        assert float(law[made.statistic < made.low].sum()) <= 0.00136
    say(f"p={rate} n={n}: above three sigma {above['sigma']:.5f}, above the exact limit {above['exact']:.5f}")
    assert above["exact"] <= 0.00135 <= above["sigma"]


def test_laney_keeps_three_sigma_where_windows_differ() -> None:
    """With clustered windows (2,000 observations, correlation 0.002) p' is out in under 1 %, the p-chart in over 10 %."""
    rng = np.random.default_rng(37)
    rate, rho, n = 0.05, 0.002, 2000
    rates = rng.beta(rate * (1 - rho) / rho, (1 - rate) * (1 - rho) / rho, (700, 400))
    x, size = rng.binomial(n, rates).astype(np.float64), np.full((700, 400), float(n))
    past, now = slice(0, 200), slice(200, None)
    p = (x[past].sum(axis=0) + 0.5) / (size[past].sum(axis=0) + 1)
    sigma_z = charts.laney_sigma(x[past], size[past], p)
    laney = float(charts.laney_p_chart(x[now], size[now], p, sigma_z).out.mean())
    plain = float(charts.p_chart(x[now], size[now], p).out.mean())
    say(f"clustered windows: sigma_z {sigma_z.mean():.2f} (true 2.24), out {laney:.2%} with p', {plain:.1%} with p")
    assert sigma_z.mean() == pytest.approx(math.sqrt(1 + (n - 1) * rho), rel=0.02)
    assert 0.002 <= laney <= 0.01  # 0.27 % for a normal with a known sigma_z
    assert plain > 0.1


def test_g_chart_keeps_its_tails() -> None:
    """Of geometric gaps in control at most 0.135 % lie beyond each limit, and nearly that many above (computed)."""
    for rate in (0.5, 0.05, 0.001, 0.0001):
        made = charts.g_chart(np.ones((1, 1)), rate)
        high, low = float(made.high[0, 0]), float(made.low[0, 0])
        assert (1 - rate) ** high <= 0.00135 < (1 - rate) ** (high - 1)
        assert 1 - (1 - rate) ** (low - 1) <= 0.00135 < 1 - (1 - rate) ** low


def test_individuals_with_moving_ranges() -> None:
    """Limits from 100 values by moving ranges leave out 0.3 to 0.6 % of later values (0.27 % with a known sigma)."""
    rng = np.random.default_rng(38)
    x = rng.normal(7, 3, (1100, 500))
    sigma = charts.moving_range_sigma(x[:100])
    made = charts.individuals_chart(x[100:], x[:100].mean(axis=0), sigma)
    ranges = charts.moving_range_chart(x[100:], sigma)
    say(
        f"XmR from 100 values: sigma {sigma.mean():.3f} (true 3), out {made.out.mean():.2%}, ranges {ranges.out.mean():.2%}"
    )
    assert sigma.mean() == pytest.approx(3, rel=0.017)  # four standard errors
    assert 0.003 <= made.out.mean() <= 0.006
    assert ranges.out.mean() == pytest.approx(0.0097, abs=0.002)  # 0.91 % with a known sigma
