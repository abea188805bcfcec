"""Laws of the baseline: what is put in is found, within stated errors; incidents, relatives and empty series."""

import numpy as np
import pytest
from numpy.typing import NDArray

from andon import stats
from andon.stats.baseline import FEATURES, HOURS

Floats = NDArray[np.float64]
MONTH = 28 * 24
CLOCK = stats.clock_of(96 + np.arange(MONTH))  # from a Monday
WAVE = np.array([0.0, 0.3, -0.2, 0.1, -0.1, -0.4])
"""Coefficients of a day that is worth learning: harmonics, and a weekend with two thirds of the rate."""


def draw(
    rng: np.random.Generator,
    series: int,
    n: float,
    rate: float,
    *,
    spread: float = 0.0,
    sd: float = 0.0,
    ar: float = 0.0,
) -> tuple[Floats, Floats, Floats]:
    """Harm, observations and true rate of a month; the rate has a wave, is gamma by the hour, and wanders by an AR(1)."""
    seen = rng.poisson(n, (MONTH, series)).astype(np.float64)
    p = rate * np.exp(FEATURES @ WAVE)[CLOCK][:, None] * np.ones((1, series))
    factor = rng.gamma(1 / spread, spread, p.shape) if spread > 0 else np.ones(p.shape)
    z = rng.standard_normal(series)
    for t in range(MONTH):
        z = ar * z + np.sqrt(1 - ar**2) * rng.standard_normal(series)
        factor[t] *= np.exp(sd * z - sd**2 / 2)
    return rng.binomial(seen.astype(np.int64), np.minimum(p * factor, 1)).astype(np.float64), seen, p


def rate_of(found: stats.Baseline) -> Floats:
    """The rate of harm that a baseline expects, by hour of the clock, shape (48, k)."""
    return np.asarray(np.exp(found.log_rate) / found.scale)


def test_the_clock() -> None:
    """Cells 0 to 23 are the hours of working days, 24 to 47 those of weekends; a holiday may be said to be one."""
    friday = 24  # 2 January 1970
    assert stats.clock_of(np.array([0, 23, friday, friday + 24, friday + 71, friday + 72])).tolist() == [
        0,
        23,
        0,
        24,
        47,
        0,
    ]
    assert stats.clock_of(np.array([5]), np.array([True])).tolist() == [29]
    assert sorted(set(CLOCK.tolist())) == list(range(HOURS))


def test_coefficients_are_found() -> None:
    """From a month of 20 harms an hour every seasonal coefficient is found within 0.08 on the log scale, with a bias below 0.02: a prior shrinks them."""
    x, n, _ = draw(np.random.default_rng(1), 300, 400, 0.05)
    found = stats.fit_baseline(x, n, CLOCK).coefficients.T
    assert np.abs(found[:, 1:] - WAVE[1:]).max() < 0.08
    assert np.abs(found[:, 1:].mean(axis=0) - WAVE[1:]).max() < 0.02


@pytest.mark.parametrize(("n", "rate"), [(400.0, 0.05), (60.0, 0.02), (20.0, 0.3)])
def test_the_rate_of_every_hour_is_within_its_guard(n: float, rate: float) -> None:
    """The guarded rate lies below the true one in at most a third of the hours, and two days need twice the guard of a month."""
    x, seen, p = draw(np.random.default_rng(2), 300, n, rate)
    found = stats.fit_baseline(x, seen, CLOCK)
    below = np.exp(found.log_rate + found.guard)[CLOCK] / found.scale < p
    assert below.mean() < 0.33
    few = stats.fit_baseline(x[:48], seen[:48], CLOCK[:48])
    assert np.median(few.guard) > 2 * np.median(found.guard)


@pytest.mark.parametrize(("n", "rate", "spread"), [(400.0, 0.05, 0.05), (2000.0, 0.05, 0.01), (50.0, 0.1, 0.3)])
def test_spread_is_found(n: float, rate: float, spread: float) -> None:
    """The median of the spread lies between the truth and 1.5 times it: it carries one and a half of its standard errors."""
    x, seen, _ = draw(np.random.default_rng(3), 300, n, rate, spread=spread)
    found = stats.fit_baseline(x, seen, CLOCK).spread
    assert spread <= np.median(found) <= 1.5 * spread
    assert (found < spread).mean() < 0.25


def test_binomial_hours_have_next_to_no_spread() -> None:
    """Where hours vary by chance alone, spread adds at most a seventh to the variance of an hour, however high the rate."""
    for rate in (0.01, 0.3, 0.6):
        x, n, p = draw(np.random.default_rng(4), 200, 500, rate * 0.8)
        found = stats.fit_baseline(x, n, CLOCK)
        mean = (n * p).mean() * found.scale
        assert np.median(found.spread * mean) < 1 / 7


@pytest.mark.parametrize(("sd", "ar"), [(0.2, 0.5), (0.2, 0.9)])
def test_persistence_is_found(sd: float, ar: float) -> None:
    """Persistence is at least the ratio of long-run to short-run variance of the counts in most series, and not thrice it."""
    x, n, _ = draw(np.random.default_rng(5), 300, 2000, 0.05, sd=sd, ar=ar)
    found = stats.fit_baseline(x, n, CLOCK).persistence
    share = sd**2 * 100 / (1 + sd**2 * 100)  # of the variance of an hour of 100 harms that wanders
    true = 1 + 2 * share * ar / (1 - ar)
    assert 0.8 * true <= np.median(found) <= 3 * true
    independent, seen, _ = draw(np.random.default_rng(6), 300, 2000, 0.05, spread=sd**2)
    assert np.median(stats.fit_baseline(independent, seen, CLOCK).persistence) < 1.4


def with_incident() -> tuple[stats.Baseline, stats.Baseline]:
    """Baselines of 9 harms an hour without and with six hours of tenfold harm."""
    x, n, _ = draw(np.random.default_rng(7), 100, 300, 0.03)
    bad = x.copy()
    bad[400:406] = np.minimum(10 * x[400:406] + 20, n[400:406])
    return stats.fit_baseline(x, n, CLOCK), stats.fit_baseline(bad, n, CLOCK)


def shifts() -> Floats:
    """By how much the incident moves the mean rate of each series, on the log scale."""
    clean, soiled = with_incident()
    return np.asarray(np.abs(np.log(rate_of(soiled).mean(axis=0) / rate_of(clean).mean(axis=0))))


def test_an_incident_in_the_history_is_trimmed() -> None:
    """Six hours of tenfold harm move the mean rate of most series by less than 6 % (untrimmed: 11 to 17 %)."""
    assert np.median(shifts()) < 0.06


def test_an_incident_in_the_history_leaves_no_trace() -> None:
    """Six hours of tenfold harm move no mean rate by more than 6 %, and leave the spread within a third of chance."""
    _, soiled = with_incident()
    assert np.median(soiled.spread * 9) < 0.3
    assert shifts().max() < 0.06


def test_what_happens_often_is_not_trimmed() -> None:
    """Bursts in a fifth of all hours are how this series is: the mean counts them and the spread is wide."""
    rng = np.random.default_rng(8)
    n = np.full((MONTH, 50), 200.0)
    x = rng.binomial(200, np.where(rng.random(n.shape) < 0.2, 0.3, 0.01)).astype(np.float64)
    found = stats.fit_baseline(x, n, CLOCK)
    assert rate_of(found).mean() == pytest.approx(0.068, rel=0.1)
    assert np.median(found.spread) > 1


def test_what_is_often_is_told_by_hours_with_traffic() -> None:
    """A short history has the same baseline alone and beside longer ones: what it often does is no incident among their hours."""
    rng = np.random.default_rng(16)
    hours, rate = 270, np.full(MONTH, 0.002)
    for start in range(MONTH - hours + 5, MONTH, 45):  # an eighth of its hours are very bad, and another eighth bad
        rate[start : start + 6], rate[start + 20 : start + 26] = 0.5, 0.03
    n = np.full((MONTH, 6), 10_000.0)
    n[:-hours, :3] = 0
    x = rng.binomial(n.astype(np.int64), rate[:, None]) * 1.0
    x[:, 3:] = rng.binomial(10_000, 0.002, (MONTH, 3))
    whole = stats.fit_baseline(x, n, CLOCK)
    alone = stats.fit_baseline(x[-hours:, :3], n[-hours:, :3], CLOCK[-hours:])
    for name in stats.Baseline.__slots__:
        assert getattr(whole, name)[..., :3] == pytest.approx(getattr(alone, name), rel=1e-6, abs=1e-9), name


def test_the_ends_of_a_history_are_no_neighbours() -> None:
    """A bad first hour and two bad last ones are not three in a row, so they stay; three of the last five are an incident."""
    rng = np.random.default_rng(17)
    n = np.full((MONTH, 1), 300.0)
    usual = rng.binomial(300, 0.03, n.shape) * 1.0
    for bad, stay in (((0, -2, -1), True), ((0, 1, -1), True), ((-4, -2, -1), False), ((0, 2, 3), False)):
        x = usual.copy()
        x[list(bad)] = 150
        found, all_hours = stats.fit_baseline(x, n, CLOCK).rate[0], (x.sum() + 0.5) / (n.sum() + 1)
        assert (found == pytest.approx(all_hours)) == stay, bad


def test_hours_without_traffic_say_nothing() -> None:
    """Hours with n = 0 may hold anything, or be absent: the baseline is the same."""
    x, n, _ = draw(np.random.default_rng(9), 20, 100, 0.05)
    night = CLOCK % 24 < 6
    n[night] = 0
    junk = np.where(n > 0, x, 999.0)
    a, b = stats.fit_baseline(np.where(n > 0, x, 0), n, CLOCK), stats.fit_baseline(junk, n, CLOCK)
    for name in ("scale", "log_rate", "guard", "spread", "persistence"):
        assert (getattr(a, name) == getattr(b, name)).all()


def test_series_do_not_mix() -> None:
    """A series has the same baseline alone and among others."""
    x, n, _ = draw(np.random.default_rng(10), 12, 100, 0.05, spread=0.1)
    x[:, 3] *= 0
    x[:, 4] = n[:, 4]
    n[:, 5] = x[:, 5] = 0
    whole = stats.fit_baseline(x, n, CLOCK)
    for i in range(12):
        alone = stats.fit_baseline(x[:, [i]], n[:, [i]], CLOCK)
        assert alone.log_rate[:, 0] == pytest.approx(whole.log_rate[:, i], abs=1e-9)
        assert alone.spread[0] == pytest.approx(whole.spread[i], rel=1e-6)
        assert alone.persistence[0] == pytest.approx(whole.persistence[i], rel=1e-6)


@pytest.mark.parametrize("hours", [1, 2, 30, MONTH])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_any_history_gives_numbers(hours: int, share: float) -> None:
    """No traffic, never harm, always harm: every part of a baseline is finite and in its range."""
    n = np.outer(np.ones(hours), [0.0, 1.0, 30.0, 1e6])
    found = stats.fit_baseline(share * n, n, CLOCK[:hours])
    for name in stats.Baseline.__slots__:
        assert np.isfinite(getattr(found, name)).all(), name
    assert (found.spread >= stats.LEAST_SPREAD).all()
    assert (found.persistence >= 1).all()
    assert (found.guard >= 0).all()
    assert (found.scale > 0).all()


@pytest.mark.parametrize("level", [1e3, 1e5, 1e7])
def test_levels_of_any_size_are_fitted(level: float) -> None:
    """Traffic of ten million an hour is fitted as well as that of a thousand: counts per hour have no natural bound."""
    rng = np.random.default_rng(11)
    x = rng.poisson(level * np.exp(FEATURES @ WAVE)[CLOCK][:, None], (MONTH, 5)).astype(np.float64)
    found = stats.fit_baseline(x, np.ones(x.shape), CLOCK, variance=x.mean(axis=0))
    assert rate_of(found)[CLOCK] == pytest.approx(level * np.exp(FEATURES @ WAVE)[CLOCK][:, None] + 0 * x, rel=0.1)


def test_traffic_of_any_size_has_a_day() -> None:
    """Traffic with a sharp wave, which two harmonics fit within a tenth, is fitted alike whether hundreds or millions come."""
    hour = np.arange(MONTH)[:, None]
    wave = (1 + 0.6 * np.sin(2 * np.pi * (hour - 9) / 24)) * np.where(CLOCK[:, None] >= 24, 0.6, 1.0)
    for level in (300.0, 3e6):
        x = np.random.default_rng(15).poisson(level * wave).astype(np.float64)
        found = stats.fit_baseline(x, np.ones(x.shape), CLOCK, variance=x.mean(axis=0), least_spread=0.01)
        assert np.abs(np.log(rate_of(found)[CLOCK] / (level * wave))).mean() < 0.1


# --- relatives


def relatives(found: stats.Baseline, error: float, series: int) -> stats.Priors:
    """Priors for new series from one that is known."""
    return stats.Priors(centre=np.repeat(found.coefficients.T[:1], series, axis=0), error=np.full(series, error))


def test_relatives_speak_for_a_series_that_is_young() -> None:
    """With two hours of data a part has the day of its whole within 0.3; with a month it has its own, whatever the whole says."""
    rng = np.random.default_rng(12)
    whole, n, _ = draw(rng, 1, 5000, 0.05)
    known = stats.fit_baseline(whole, n, CLOCK)
    x, seen, _ = draw(rng, 40, 100, 0.1)
    young = stats.fit_baseline(x[:2], seen[:2], CLOCK[:2], priors=relatives(known, 0.5, 40))
    assert young.coefficients.T[:, 1:] == pytest.approx(np.repeat(known.coefficients.T[:, 1:], 40, axis=0), abs=0.3)
    old = stats.fit_baseline(x, seen, CLOCK, priors=relatives(known, 0.5, 40))
    assert rate_of(old).mean() == pytest.approx(0.1 * np.exp(FEATURES @ WAVE).mean(), rel=0.05)


def test_infinite_error_is_no_relative() -> None:
    """A prior with infinite error changes nothing."""
    x, n, _ = draw(np.random.default_rng(13), 5, 50, 0.05)
    nobody = stats.Priors(centre=np.full((5, 6), 7.0), error=np.full(5, np.inf))
    assert (stats.fit_baseline(x, n, CLOCK, priors=nobody).log_rate == stats.fit_baseline(x, n, CLOCK).log_rate).all()


def test_a_series_without_data_expects_what_its_relatives_do() -> None:
    """Before it has spoken a series has the rate of its relatives, and a guard as wide as the prior's error."""
    whole, n, _ = draw(np.random.default_rng(14), 1, 5000, 0.05)
    known = stats.fit_baseline(whole, n, CLOCK)
    nothing = np.zeros((3, 2))
    found = stats.fit_baseline(nothing, nothing, CLOCK[:3], priors=relatives(known, 0.5, 2))
    assert found.guard.mean() == pytest.approx(0.5, abs=0.1)
    assert rate_of(found) == pytest.approx(np.repeat(rate_of(known), 2, axis=1), rel=0.1)


# --- the kind of day


def test_like_weekend_needs_a_difference() -> None:
    """Traffic nearer to the other kind of day is like it; where both kinds are alike within a tenth nothing is said."""
    usual, other = np.full(6, 100.0), np.array([60.0, 60, 60, 95, 105, 160])
    n = np.array([59.0, 76, 79, 10, 500, 130])
    assert stats.like_weekend(n, usual, other).tolist() == [True, True, False, False, False, True]
