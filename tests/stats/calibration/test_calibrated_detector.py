"""Seeded simulations of the detector: does it keep the promises that its docstrings make?

Each band is stated with the figure that was measured; `-s` prints the figures.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from andon import stats
from figures import say

Floats = NDArray[np.float64]
A = 200.0


def counts(
    rng: np.random.Generator, shape: tuple[int, int], n: float, rate: float, rho: float
) -> tuple[Floats, Floats]:
    """Observations (Poisson) and harm (beta-binomial), shape (windows, series)."""
    size = rng.poisson(n, shape)
    rates: Floats | float = rate
    if rho > 0:
        rates = rng.beta(rate * (1 - rho) / rho, (1 - rate) * (1 - rho) / rho, shape)
    return rng.binomial(size, rates).astype(np.float64), size.astype(np.float64)


def run_length(x: Floats, n: Floats, null: Floats, rho: Floats, threshold: float = A) -> float:
    """Windows watched for each alarm, over all series; a chart starts anew after an alarm."""
    r, alarms = np.zeros((x.shape[1], len(stats.ODDS))), 0
    for t in range(len(x)):
        r = stats.step(r, stats.log_likelihood_ratio(x[t], n[t], null, stats.ODDS, rho))
        crossed = r.mean(axis=1) >= threshold
        alarms += int(crossed.sum())
        r[crossed] = 0
    return x.size / max(alarms, 1)


@pytest.mark.parametrize(("n", "rate", "rho"), [(20, 0.05, 0.0), (5, 0.3, 0.0), (200, 0.01, 0.0), (50, 0.05, 0.02)])
def test_run_length_with_a_known_baseline(n: float, rate: float, rho: float) -> None:
    """With the true rate and dispersion, false alarms are at least A windows apart on average, and not ten times that."""
    rng = np.random.default_rng(11)
    x, size = counts(rng, (1000, 400), n, rate, rho)
    length = run_length(x, size, np.full(400, rate), np.full(400, rho))
    say(f"known baseline n={n} p={rate} rho={rho}: run length {length:.0f} for A={A:.0f}")
    # about 1,500 alarms: their number has a relative standard error of 3 %, the band allows two of them
    assert 0.95 * A <= length <= 10 * A


def test_a_lower_rate_than_the_baseline_is_quieter() -> None:
    """Where the true rate lies below the baseline, false alarms are rarer still."""
    rng = np.random.default_rng(12)
    x, size = counts(rng, (1000, 400), 20, 0.03, 0.0)
    assert run_length(x, size, np.full(400, 0.05), np.zeros(400)) > 3 * A


@pytest.mark.parametrize(("n", "rate", "rho"), [(20, 0.05, 0.0), (200, 0.01, 0.005), (50, 0.05, 0.02), (5, 0.1, 0.0)])
def test_run_length_with_an_estimated_baseline(n: float, rate: float, rho: float) -> None:
    """With rate and dispersion estimated from as many windows as are then watched, the promise A is still kept."""
    rng = np.random.default_rng(13)
    x0, n0 = counts(rng, (500, 400), n, rate, rho)
    x, size = counts(rng, (500, 400), n, rate, rho)
    sums = stats.moments(x0, n0).sum(axis=0)
    guessed = stats.dispersion_of(sums, errors=1)
    design = 1 + (sums[:, 1] / sums[:, 0] - 1) * guessed
    guarded = run_length(x, size, stats.guarded(sums[:, 2], sums[:, 1], design), guessed)
    naive = run_length(x, size, sums[:, 2] / sums[:, 1], np.zeros(400))
    say(f"estimated baseline n={n} p={rate} rho={rho}: run length {guarded:.0f}, without guards {naive:.0f}, A={A:.0f}")
    assert guarded >= 0.95 * A
    assert guarded > naive


@pytest.mark.parametrize(("k", "n", "rate", "rho"), [(20, 10, 0.2, 0.05), (20, 100, 0.02, 0.01), (200, 20, 0.05, 0.02)])
def test_dispersion_is_unbiased(k: int, n: int, rate: float, rho: float) -> None:
    """The mean estimate over many baselines is the true intraclass correlation within a tenth of it."""
    rng = np.random.default_rng(14)
    x, size = counts(rng, (k, 4000), n, rate, rho)
    found = stats.dispersion_of(stats.moments(x, size).sum(axis=0))
    say(f"dispersion k={k} n={n} p={rate}: true {rho}, mean {found.mean():.4f}, median {np.median(found):.4f}")
    assert found.mean() == pytest.approx(rho, rel=0.10)


def test_dispersion_with_its_error_is_seldom_too_low() -> None:
    """Estimate plus one standard error lies below the truth in at most three tenths of the baselines."""
    rng = np.random.default_rng(15)
    for k, n, rate, rho in ((20, 20, 0.05, 0.02), (20, 200, 0.01, 0.005), (100, 50, 0.1, 0.01)):
        x, size = counts(rng, (k, 2000), n, rate, rho)
        below = float((stats.dispersion_of(stats.moments(x, size).sum(axis=0), errors=1) < rho).mean())
        say(f"dispersion + 1 SE below the truth: {below:.1%} (k={k}, n={n}, p={rate}, rho={rho})")
        assert below <= 0.30


def test_guarded_rate_is_seldom_too_low() -> None:
    """The guarded rate lies below the true one in at most a tenth of the baselines, rare events or not."""
    rng = np.random.default_rng(16)
    for n, rate in ((100, 0.05), (1000, 0.003), (400, 0.5), (200, 0.001)):
        below = float(
            (stats.guarded(rng.binomial(n, rate, 20_000).astype(float), np.full(20_000, float(n))) < rate).mean()
        )
        say(f"guarded rate below the truth: {below:.1%} (n={n}, p={rate})")
        assert below <= 0.10


@pytest.mark.parametrize(
    ("n", "rate", "rho", "odds", "after"),
    [(20, 0.05, 0.0, 3.0, 15), (200, 0.01, 0.005, 1.6, 90), (5, 0.2, 0.0, 5.0, 10)],
)
def test_onset_interval_covers(n: float, rate: float, rho: float, odds: float, after: int) -> None:
    """The 95 % interval of the onset holds the true window in 93 to 99.9 % of series."""
    rng = np.random.default_rng(17)
    series, before = 600, 300
    other = rate * odds / (1 - rate + rate * odds)
    x0, n0 = counts(rng, (before, series), n, rate, rho)
    x1, n1 = counts(rng, (after, series), n, other, rho)
    x, size = np.concatenate([x0, x1]), np.concatenate([n0, n1])
    found = [stats.locate_onset(x[:, i], size[:, i], rate, rho) for i in range(series)]
    share = float(np.mean([f.low <= before <= f.high for f in found]))
    error = float(np.median([abs(f.best - before) for f in found]))
    say(f"onset n={n} p={rate} odds={odds}: coverage {share:.1%}, median error {error:.0f} windows")
    assert 0.93 <= share <= 0.999


def test_onset_posterior_is_a_distribution() -> None:
    """Probabilities sum to 1, the best window is inside the interval, and a higher level gives a wider one."""
    rng = np.random.default_rng(18)
    x, n = rng.binomial(20, np.r_[np.full(50, 0.05), np.full(10, 0.3)]).astype(float), np.full(60, 20.0)
    narrow, wide = (stats.locate_onset(x, n, 0.05, 0.0, level=level) for level in (0.5, 0.99))
    assert sum(narrow.probability) == pytest.approx(1.0)
    assert wide.low <= narrow.low <= narrow.best <= narrow.high <= wide.high


def test_a_single_window_is_its_own_onset() -> None:
    """With one window there is one answer."""
    onset = stats.locate_onset(np.array([5.0]), np.array([10.0]), 0.1, 0.0)
    assert (onset.best, onset.low, onset.high, onset.probability) == (0, 0, 0, (1.0,))
