"""Laws of the e-detector: what its promise rests on, and that replay and running chart agree."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate
from scipy import stats as scipy_stats

from andon import stats

Floats = NDArray[np.float64]
LOG_RATIOS = np.log(stats.RATIOS)


def one(*values: float) -> list[Floats]:
    """Each number as one series."""
    return [np.array([v]) for v in values]


@pytest.mark.parametrize(("mean", "spread"), [(3.0, 0.2), (0.2, 3.0), (400.0, 1e-3), (20.0, 0.05)])
@pytest.mark.parametrize("sign", [1, -1])
def test_likelihood_ratio_has_expectation_one(mean: float, spread: float, sign: int) -> None:
    """Summed over all counts of the baseline's law every likelihood ratio is 1: what the run length rests on."""
    size = 1 / spread
    most = int(scipy_stats.nbinom.isf(1e-15, size, size / (size + 60 * mean))) if sign > 0 else int(mean * 100 + 500)
    y = np.arange(most + 1.0)
    same = np.ones(len(y))
    ratio = stats.log_likelihood_ratio(y, mean * same, spread * same, same, sign * LOG_RATIOS)
    law = scipy_stats.nbinom.logpmf(y, size, size / (size + mean))
    assert np.exp(ratio + law).sum(axis=1) == pytest.approx(np.ones(len(LOG_RATIOS)), rel=1e-6)


@pytest.mark.parametrize("persistence", [1.5, 4.0, 20.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_tempered_likelihood_ratio_has_expectation_at_most_one(persistence: float, sign: int) -> None:
    """Raised to the inverse of a persistence, no likelihood ratio has an expectation above 1 (Jensen)."""
    size, mean, y = 20.0, 6.0, np.arange(4000.0)
    same = np.ones(len(y))
    ratio = stats.log_likelihood_ratio(y, mean * same, same / size, persistence * same, sign * LOG_RATIOS)
    law = scipy_stats.nbinom.logpmf(y, size, size / (size + mean))
    assert (np.exp(ratio + law).sum(axis=1) <= 1 + 1e-9).all()


@pytest.mark.parametrize("exposure", [0.1, 0.5])
def test_a_look_within_the_hour_has_expectation_one(exposure: float) -> None:
    """The ratio of a part of an hour, whose rate is gamma around the baseline, has expectation 1 too: looks are free."""
    spread, mean = 0.1, 12.0 * exposure
    y, same = np.arange(400.0), np.ones(400)
    ratio = stats.log_likelihood_ratio(y, mean * same, spread * same, same, LOG_RATIOS[:5])

    def expectation(rate: float) -> Floats:
        law = scipy_stats.poisson.pmf(y, rate * mean) * scipy_stats.gamma.pdf(rate, 1 / spread, scale=spread)
        return np.asarray(np.exp(ratio) @ law)

    found, _ = integrate.quad_vec(expectation, 1e-9, 12)
    assert found == pytest.approx(np.ones(5), rel=1e-6)


@given(y=st.floats(0, 1e5), mean=st.floats(1e-6, 1e5), ratio=st.floats(-5, 5))
def test_without_spread_it_is_the_poisson_ratio(y: float, mean: float, ratio: float) -> None:
    """As the spread goes to 0 the log likelihood ratio becomes ``y log r - mean (r - 1)``."""
    mean = min(mean, 10 * y + 10)
    found = stats.log_likelihood_ratio(*one(y, mean, 1e-12, 1.0), np.array([ratio]))[0, 0]
    expected = y * ratio - mean * np.expm1(ratio)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("mean", [1e-3, 7.0, 1e6])
def test_a_spread_of_zero_is_poisson(mean: float) -> None:
    """At a spread of 0 the log likelihood ratio is the Poisson one to ten digits, and a replay agrees with it."""
    y = np.round(1.3 * mean)
    found = stats.log_likelihood_ratio(*one(y, mean, 0.0, 2.0), LOG_RATIOS)[:, 0]
    assert found == pytest.approx((y * LOG_RATIOS - mean * np.expm1(LOG_RATIOS)) / 2, rel=1e-10)
    series = np.random.default_rng(6).poisson(8.0, (200, 1)) * 1.0
    given = (series, np.full((200, 1), 6.0), np.zeros(1), np.ones(1))
    signals = replay(*given, thresholds=(300.0,))[0]
    assert signals.any()
    assert (signals == running(*given, 300.0)[0]).all()


def test_hours_without_traffic_are_no_clusters() -> None:
    """A replay without traffic never signals; with hours of none put in between, it signals at the same hours with traffic."""
    none = np.zeros((40, 1))
    assert not replay(none, none, np.full(1, 0.01), np.ones(1), thresholds=(10.0,)).any()
    rng = np.random.default_rng(7)
    mean = np.full((300, 20), 8.0)
    y, spread, persistence = rng.poisson(mean * 1.1).astype(float), np.full(20, 0.01), np.ones(20)
    plain = replay(y, mean, spread, persistence, thresholds=(100.0,))[0]
    at = np.repeat(np.arange(300), 5)
    gaps = replay(np.insert(y, at, 0, axis=0), np.insert(mean, at, 0, axis=0), spread, persistence, thresholds=(100.0,))
    assert plain.any()
    assert (gaps[0][5::6] == plain).all()
    assert gaps.sum() == plain.sum()


def test_no_traffic_is_no_evidence() -> None:
    """A cluster without traffic, hence without expected harm, has the log likelihood ratio 0."""
    assert (stats.log_likelihood_ratio(*one(0.0, 0.0, 0.01, 2.0), LOG_RATIOS) == 0).all()


def test_ratios_by_series_and_in_common_agree() -> None:
    """Alternatives may be given once for all series or for each of them."""
    values = [np.array([1.0, 9.0]), np.array([2.0, 4.0]), np.array([0.1, 0.2]), np.array([1.0, 3.0])]
    common = stats.log_likelihood_ratio(*values, LOG_RATIOS)
    assert (stats.log_likelihood_ratio(*values, np.stack([LOG_RATIOS, LOG_RATIOS], axis=1)) == common).all()


def test_step_by_hand() -> None:
    """Two clusters with likelihood ratio 2: R = (1 + 0) 2 = 2, then (1 + 2) 2 = 6; and no step overflows."""
    once = stats.step(np.zeros((1, 1)), np.log([[2.0]]))
    assert stats.step(once, np.log([[2.0]])) == pytest.approx(6.0)
    assert np.isfinite(stats.step(np.full((1, 1), 1e300), np.array([[1e6]]))).all()


def running(
    y: Floats, mean: Floats, spread: Floats, persistence: Floats, threshold: float
) -> tuple[NDArray[np.bool_], Floats]:
    """Alarms of a running chart, cluster by cluster in double precision, and the statistic before it starts anew.

    As `monitors` does, a chart is stepped only where there was traffic.
    """
    r, signals, told = np.zeros((len(LOG_RATIOS), y.shape[1])), np.zeros(y.shape, dtype=bool), np.zeros(y.shape)
    for t in range(len(y)):
        stepped = stats.step(r, stats.log_likelihood_ratio(y[t], mean[t], spread, persistence, LOG_RATIOS))
        r = np.where(mean[t] > 0, stepped, r)
        told[t] = r.mean(axis=0)
        signals[t] = told[t] >= threshold
        r[:, signals[t]] = 0
    return signals, told


def replay(*given: Floats, thresholds: Sequence[float], threads: int = 2) -> NDArray[np.bool_]:
    """Alarms of `detect`, shape (thresholds, clusters, series)."""
    signals = np.zeros((len(thresholds), *given[0].shape), dtype=bool)
    for found, (cluster, series) in zip(signals, stats.detect(*given, thresholds, threads=threads), strict=True):
        found[cluster, series] = True
    return signals


@pytest.mark.parametrize("seed", range(4))
def test_a_replay_signals_where_the_running_chart_does(seed: int) -> None:
    """`detect` (single precision, many threads) gives the alarms of `step`, but for ties within 5 %, in one series of 100 at most."""
    rng = np.random.default_rng(seed)
    hours, series = 300, 2100 if seed == 0 else 150  # one of them takes more than a block
    mean = rng.uniform(0, 40, (hours, series)) * rng.choice([0.01, 1.0, 50.0], series)
    mean[rng.random((hours, series)) < 0.1] = 0
    spread, persistence = np.exp(rng.uniform(np.log(1e-4), 1, series)), 1 + rng.exponential(1, series)
    y = rng.poisson(mean * rng.gamma(1 / spread, spread) * rng.choice([1.0, 1.3, 4.0], series)) * 1.25
    thresholds = (30.0, 720.0, 1e6)
    found = replay(y, mean, spread, persistence, thresholds=thresholds)
    for threshold, signals in zip(thresholds, found, strict=True):
        expected, told = running(y, mean, spread, persistence, threshold)
        differ = (expected != signals).any(axis=0)
        near = (np.abs(told / threshold - 1) < 0.05).any(axis=0)
        assert expected.sum() > 100
        assert not (differ & ~near).any()
        assert differ.mean() <= 0.01


def test_a_chart_that_is_alone_signals_as_in_company() -> None:
    """Neither series, nor thresholds, nor threads change the alarms of another; they come in order of time."""
    rng = np.random.default_rng(5)
    mean = np.full((300, 40), 8.0)
    y, spread, persistence = rng.poisson(mean * 1.4).astype(float), np.full(40, 0.01), np.ones(40)
    whole = replay(y, mean, spread, persistence, thresholds=(100.0, 1e4))
    apart = [
        replay(y[:, [i]], mean[:, [i]], spread[[i]], persistence[[i]], thresholds=(1e4,), threads=1) for i in range(40)
    ]
    assert whole.any(axis=(1, 2)).all()
    assert (np.concatenate(apart, axis=2)[0] == whole[1]).all()
    times = stats.detect(y, mean, spread, persistence, (100.0,))[0][0]
    assert (np.diff(times) >= 0).all()


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=30),
    budget=st.floats(0.1, 100),
    clusters=st.sampled_from([30.0, 720.0]),
)
def test_the_budget_is_shared_out_whole(weights: list[float], budget: float, clusters: float) -> None:
    """False alarms of all charts at their thresholds add up to the budget, each in proportion to its weight."""
    w = np.array(weights)
    each = clusters / stats.permitted_run_length(w, clusters, budget)
    assert each.sum() == pytest.approx(budget)
    assert each / each.sum() == pytest.approx(w / w.sum())
