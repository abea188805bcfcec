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
LOG_RATIOS = np.log(stats.RATIOS)
WEEK = 168


def counts(
    rng: np.random.Generator, shape: tuple[int, int], mean: float, spread: float, sd: float = 0.0, ar: float = 0.0
) -> Floats:
    """Harm of hours by series: Poisson around a rate that is gamma by the hour and wanders by an AR(1)."""
    level = np.full(shape, mean)
    if spread > 0:
        level *= rng.gamma(1 / spread, spread, shape)
    if sd > 0:
        z = rng.standard_normal(shape[1])
        for t in range(shape[0]):
            z = ar * z + np.sqrt(1 - ar**2) * rng.standard_normal(shape[1])
            level[t] *= np.exp(sd * z - sd**2 / 2)
    return rng.poisson(level).astype(np.float64)


def run_length(y: Floats, mean: Floats | float, spread: Floats | float, persistence: Floats | float = 1.0) -> float:
    """Hours watched for each alarm, over all series; a chart starts anew after an alarm."""
    k = y.shape[1]
    s, f = (np.broadcast_to(np.asarray(v, dtype=np.float64), (k,)) for v in (spread, persistence))
    found = stats.detect(y, np.broadcast_to(np.asarray(mean, dtype=np.float64), y.shape), s, f, [A])[0][0]
    return y.size / max(len(found), 1)


@pytest.mark.parametrize(("mean", "spread"), [(1.0, 1e-4), (20.0, 1e-4), (0.05, 1e-4), (10.0, 0.1), (0.2, 5.0)])
def test_run_length_with_a_known_baseline(mean: float, spread: float) -> None:
    """With the true rate and spread, false alarms are at least A hours apart on average, and not ten times that."""
    y = counts(np.random.default_rng(11), (1000, 400), mean, spread)
    length = run_length(y, mean, spread)
    say(f"known baseline, {mean} an hour, spread {spread}: run length {length:.0f} for A={A:.0f}")
    # some 700 alarms: their number has a relative standard error of 4 %, the band allows one of them
    assert 0.95 * A <= length <= 10 * A


@pytest.mark.parametrize(("spread", "law"), [(0.0, "poisson"), (0.1, "gamma"), (0.1, "beta")])
def test_looks_within_the_hour_keep_the_promise(spread: float, law: str) -> None:
    """Looking every five minutes at the count so far: false alarms are at least A hours apart, whatever clusters the hour."""
    rng = np.random.default_rng(12)
    hours, series, looks, mean = 500, 300, 12, 10.0
    if law == "beta":  # of 200 requests an hour, one in twenty
        size = (1 - spread * 0.05) / (spread * 0.05)
        level = 200 * rng.beta(0.05 * size, 0.95 * size, (hours, 1, series))
    else:
        level = mean * (rng.gamma(1 / spread, spread, (hours, 1, series)) if spread else np.ones((hours, 1, series)))
    y = rng.poisson(np.broadcast_to(level / looks, (hours, looks, series))).astype(np.float64)
    known = np.full(series, max(spread, stats.LEAST_SPREAD))
    r, alarms = np.zeros((len(LOG_RATIOS), series)), 0
    for hour in range(hours):
        so_far, exposure = np.zeros((2, series))
        now = r
        for look in range(looks):
            so_far, exposure = so_far + y[hour, look], exposure + mean / looks
            now = stats.step(r, stats.log_likelihood_ratio(so_far, exposure, known, np.ones(series), LOG_RATIOS))
            hit = now.mean(axis=0) >= A
            alarms += int(hit.sum())
            for array in (r, now):
                array[:, hit] = 0
            so_far[hit] = exposure[hit] = 0
        r = now
    length = hours * series / max(alarms, 1)
    say(f"a look every 5 minutes, {law} clusters of spread {spread}: run length {length:.0f} for A={A:.0f}")
    assert length >= 0.95 * A


def test_run_length_where_hours_differ_more_than_counts_do() -> None:
    """Of 500 harms an hour that vary by 10 %, false alarms are at least A hours apart, and not twenty times that."""
    length = run_length(counts(np.random.default_rng(11), (1000, 400), 500.0, 0.01), 500.0, 0.01)
    say(f"known baseline, 500 an hour, spread 0.01: run length {length:.0f} for A={A:.0f}")
    assert 0.95 * A <= length <= 20 * A


def test_a_lower_rate_than_the_baseline_is_quieter() -> None:
    """Where the true rate lies a third below the baseline, false alarms are rarer than a third of what they may be."""
    assert run_length(counts(np.random.default_rng(13), (1000, 400), 1.0, 0.0), 1.5, 1e-4) > 3 * A


@pytest.mark.parametrize(("sd", "ar"), [(0.1, 0.9), (0.2, 0.5), (0.2, 0.9)])
@pytest.mark.parametrize("mean", [5.0, 50.0])
def test_run_length_under_serial_correlation(sd: float, ar: float, mean: float) -> None:
    """Where the rate wanders from hour to hour, the estimated persistence keeps the promise that independence breaks."""
    rng = np.random.default_rng(14)
    y = counts(rng, (5 * WEEK, 300), mean, 0.0, sd, ar)
    history, future = y[: 4 * WEEK], y[4 * WEEK :]
    learned = learn(history)
    length = run_length(future, bound(learned, len(history), len(future)), learned.spread, learned.persistence)
    naive = run_length(future, mean, stats.LEAST_SPREAD)
    say(
        f"serial correlation sd {sd}, ar {ar}, {mean} an hour: run length {length:.0f}, taken as Poisson {naive:.0f}, A={A:.0f}"
    )
    assert length >= 0.95 * A


def learn(y: Floats) -> stats.Baseline:
    """The baseline of a history that begins on a Monday, chance alone as Poisson."""
    clock = stats.clock_of(96 + np.arange(len(y)))
    return stats.fit_baseline(y, np.ones(y.shape), clock, variance=np.maximum(y.mean(axis=0), 1e-3))


def bound(learned: stats.Baseline, start: int, hours: int) -> Floats:
    """The guarded mean of the hours after a history."""
    clock = stats.clock_of(96 + start + np.arange(hours))
    return np.asarray(np.exp(learned.log_rate + learned.guard)[clock])


@pytest.mark.parametrize("history", [24, WEEK, 4 * WEEK])
@pytest.mark.parametrize(("mean", "spread"), [(1.0, 0.0), (20.0, 0.0), (10.0, 0.1), (0.05, 0.0)])
def test_run_length_with_an_estimated_baseline(mean: float, spread: float, history: int) -> None:
    """With everything estimated from a day, a week or a month, the promise A is still kept."""
    rng = np.random.default_rng(15)
    y = counts(rng, (history + 500, 400), mean, spread)
    learned, future = learn(y[:history]), y[history:]
    guarded = run_length(future, bound(learned, history, 500), learned.spread, learned.persistence)
    plain = np.exp(learned.log_rate)[stats.clock_of(96 + history + np.arange(500))]
    naive = run_length(future, plain, stats.LEAST_SPREAD)
    say(
        f"{history} h of {mean} an hour, spread {spread}: run length {guarded:.0f}, without guards {naive:.0f}, A={A:.0f}"
    )
    assert guarded >= 0.95 * A
    assert guarded > naive


@pytest.mark.parametrize(("ratio", "most"), [(1.3, 90), (2.0, 12), (5.0, 3)])
def test_delay(ratio: float, most: float) -> None:
    """A rise of 10 harms an hour by this ratio is found, learned from a month, in this many hours in half of the series."""
    rng = np.random.default_rng(16)
    history = counts(rng, (4 * WEEK, 400), 10.0, 0.0)
    future = counts(rng, (2 * WEEK, 400), 10.0 * ratio, 0.0)
    learned = learn(history)
    hour, series = stats.detect(
        future, bound(learned, 4 * WEEK, len(future)), learned.spread, learned.persistence, [7.2e4]
    )[0]
    first = np.full(400, len(future))
    np.minimum.at(first, series, hour)
    middle, late = np.quantile(first, [0.5, 0.9]) + 1
    say(f"10 an hour x {ratio}, one of 100 charts: found after {middle:.0f} hours (90 %: {late:.0f})")
    assert middle <= most


# --- onset


def onset_share(
    name: str,
    rng: np.random.Generator,
    y: Floats,
    mean: Floats,
    spread: float,
    persistence: float,
    at: int,
    width: Floats | None,
) -> None:
    """Say and check how many intervals hold the bin of the onset."""
    found = [stats.locate_onset(y[:, i], mean, spread, persistence, width=width) for i in range(y.shape[1])]
    share = float(np.mean([f.low <= at <= f.high for f in found]))
    error = float(np.median([abs(f.best - at) for f in found]))
    size = float(np.median([f.high - f.low + 1 for f in found]))
    say(f"onset {name}: coverage {share:.1%}, median error {error:.0f} bins, interval of {size:.0f}")
    assert 0.93 <= share <= 0.999


@pytest.mark.parametrize(
    ("mean", "spread", "ratio", "after"),
    [(1.0, 0.0, 3.0, 15), (2.0, 0.0, 1.6, 90), (10.0, 0.0, 2.0, 6), (10.0, 0.1, 2.0, 30), (0.1, 0.0, 10.0, 24)],
)
def test_onset_interval_covers(mean: float, spread: float, ratio: float, after: int) -> None:
    """The 95 % interval of the onset holds the true hour in 93 to 99.9 % of series, with clusters and without."""
    rng = np.random.default_rng(17)
    before, series = 300, 600
    y = np.concatenate(
        [counts(rng, (before, series), mean, spread), counts(rng, (after, series), mean * ratio, spread)]
    )
    name = f"{mean} an hour x {ratio}, spread {spread}"
    onset_share(name, rng, y, np.full(len(y), mean), max(spread, stats.LEAST_SPREAD), 1.0, before, None)


@pytest.mark.parametrize("begin", ["in the hours", "in the windows"])
def test_onset_interval_covers_with_bins_of_two_widths(begin: str) -> None:
    """Hours before and windows of five minutes after: the interval covers wherever the onset lies."""
    rng = np.random.default_rng(18)
    coarse, fine, series, mean = 200, 240, 600, 6.0
    at = coarse - 4 if begin == "in the hours" else coarse + 150
    width = np.repeat([1.0, 1 / 12], [coarse, fine])
    risen = np.where(np.arange(coarse + fine) >= at, 3.0 if at > coarse else 1.6, 1.0)
    y = rng.poisson((mean * width * risen)[:, None], (coarse + fine, series)).astype(np.float64)
    onset_share(begin, rng, y, mean * width, stats.LEAST_SPREAD, 1.0, at, width)


@pytest.mark.parametrize(("sd", "ar"), [(0.2, 0.5), (0.1, 0.9)])
def test_onset_interval_covers_under_serial_correlation(sd: float, ar: float) -> None:
    """Where the rate wanders and its persistence is given, the interval covers in 93 to 99.9 % of series too."""
    rng = np.random.default_rng(19)
    mean, before, after, series = 30.0, 300, 40, 600
    y = counts(rng, (before + after, series), mean, 0.0, sd, ar)
    y[before:] = rng.poisson(0.6 * y[before:]) + y[before:]
    share = sd**2 * mean / (1 + sd**2 * mean)
    persistence = 1 + 2 * share * ar / (1 - ar)
    onset_share(f"sd {sd}, ar {ar}", rng, y, np.full(len(y), mean), sd**2, persistence, before, None)


def test_onset_of_silence() -> None:
    """A fall is dated like a rise: the interval holds the hour in which half of the traffic went missing."""
    rng = np.random.default_rng(20)
    y = rng.poisson(np.repeat([100.0, 50.0], [200, 12])[:, None], (212, 300)).astype(np.float64)
    found = [stats.locate_onset(y[:, i], np.full(212, 100.0), 0.01, fall=True) for i in range(300)]
    share = float(np.mean([f.low <= 200 <= f.high for f in found]))
    say(f"onset of a fall by half: coverage {share:.1%}")
    assert share >= 0.93


def test_onset_posterior_is_a_distribution() -> None:
    """Probabilities sum to 1, the best bin is inside the interval, and a higher level gives a wider one."""
    y = np.random.default_rng(21).poisson(np.r_[np.full(50, 1.0), np.full(10, 5.0)]).astype(float)
    narrow, wide = (stats.locate_onset(y, np.ones(60), 1e-4, level=level) for level in (0.5, 0.99))
    assert sum(narrow.probability) == pytest.approx(1.0)
    assert wide.low <= narrow.low <= narrow.best <= narrow.high <= wide.high


def test_dividing_bins_divides_their_probability() -> None:
    """Hours cut into windows of five minutes have together the probability of uncut ones: time is what is uniform."""
    y, mean = np.zeros(33), np.full(33, 1e-4)
    cut = np.repeat([12, 1], [20, 13])
    whole = stats.locate_onset(y, mean, 1e-9)
    parts = stats.locate_onset(np.repeat(y / cut, cut), np.repeat(mean / cut, cut), 1e-9, width=np.repeat(1 / cut, cut))
    assert sum(parts.probability[:240]) == pytest.approx(sum(whole.probability[:20]), abs=0.01)
    assert sum(whole.probability[:20]) == pytest.approx(20 / 33, abs=0.05)


def test_a_single_bin_is_its_own_onset() -> None:
    """With one bin there is one answer."""
    onset = stats.locate_onset(np.array([5.0]), np.array([1.0]), 0.01)
    assert (onset.best, onset.low, onset.high, onset.probability) == (0, 0, 0, (1.0,))


def test_an_onset_without_spread_is_that_of_poisson_counts() -> None:
    """At a spread of 0 the posterior is that of Poisson likelihoods, by hand; next to 0 it is the same."""
    y, mean = np.array([1.0, 0.0, 2.0, 6.0, 4.0]), np.array([1.0, 1.0, 1.5, 1.0, 0.5])
    ratios = np.linspace(np.log(1.1), np.log(200.0), 32)
    by_hand = np.array(
        [np.exp([y[k:].sum() * r - mean[k:].sum() * np.expm1(r) for r in ratios]).mean() for k in range(5)]
    )
    found = stats.locate_onset(y, mean, 0.0)
    assert found.probability == pytest.approx(by_hand / by_hand.sum(), rel=1e-9)
    assert stats.locate_onset(y, mean, 1e-9).probability == pytest.approx(found.probability, rel=1e-4)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"y": [], "mean": []}, "no bin"),
        ({"mean": [1.0]}, "every bin needs its mean"),
        ({"y": [1.0, np.nan]}, r"y\[1\] is nan"),
        ({"mean": [0.0, 1.0]}, r"mean\[0\] is 0.0; .* leave out bins without traffic"),
        ({"width": [1.0, np.inf]}, r"width\[1\] is inf"),
        ({"spread": -0.1}, r"spread=-0\.1"),
        ({"spread": np.nan}, "spread=nan"),
        ({"persistence": 0.5}, r"persistence=0\.5"),
    ],
)
def test_an_onset_of_nothing_is_refused(wrong: dict[str, object], says: str) -> None:
    """No bins, or numbers that cannot be, are refused by name: no onset is ever made up from NaN."""
    given = {"y": [1.0, 5.0], "mean": [1.0, 1.0], "spread": 0.1, **wrong}
    arrays = {k: np.array(v) if isinstance(v, list) else v for k, v in given.items()}
    with pytest.raises(ValueError, match=says):
        stats.locate_onset(**arrays)
