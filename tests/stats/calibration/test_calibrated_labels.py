"""Seeded simulations of few labels beside a cheap score, and of always-valid bounds; by hand what can be done by hand.

Each band is stated with the figure that was measured; `-s` prints the figures. What is aimed for in the coverage table is
published in `docs/methods/few-labels.md`, misses included.
"""

import gzip
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from andon.stats import edetector, labels, sequences
from figures import say

Floats = NDArray[np.float64]
TRAFFIC = 50_000
LEVEL = 0.90


# ---------------------------------------------------------------------------------------------------- by hand


def test_power_tuning_by_hand() -> None:
    """PPI++ equals its formula worked by hand: lam = cov / ((1 + n/N) var), rate = lam m + mean(y - lam f)."""
    y, f = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.1, 0.6, 0.4])
    # cov = (0.4 + 0.4 + 0.1 + 0.1) x 0.5 / 3 = 1/6; N = 12, n = 4, var = 0.1: lam = (1/6) / ((4/3) 0.1) = 1.25
    found = labels.ppi_rate(y, f, mean=0.3, variance=0.1, scored=12, level=0.90)
    rest = y - 1.25 * f
    rate = 1.25 * 0.3 + rest.mean()
    error = math.sqrt(1.25**2 * 0.1 / 12 + rest.var(ddof=1) / 4)
    z = 1.6448536269514722
    assert (found.rate, found.low, found.high) == pytest.approx((rate, max(0, rate - z * error), rate + z * error))


def test_a_useless_score_gets_no_weight() -> None:
    """A constant score leaves PPI++ with the labels alone, and a perfect one with the rate of the score."""
    rng = np.random.default_rng(31)
    y = (rng.random(400) < 0.3).astype(float)
    alone = labels.ppi_rate(y, np.full(400, 0.7), mean=0.7, variance=0.0, scored=10_000)
    assert alone.rate == pytest.approx(y.mean())
    perfect = labels.ppi_rate(y, y, mean=0.25, variance=y.var(ddof=1), scored=10**9)
    assert perfect.rate == pytest.approx(0.25, abs=0.01)
    assert perfect.half_width < 0.1 * alone.half_width


def test_weights_of_one_and_of_seven_are_the_same() -> None:
    """Only the proportions of sampling weights matter to PPI++."""
    y, f = np.array([1.0, 0.0, 0.0, 1.0, 0.0]), np.array([0.8, 0.3, 0.2, 0.9, 0.4])
    one, seven = (labels.ppi_rate(y, f, mean=0.4, variance=0.05, scored=90, weight=np.full(5, w)) for w in (1.0, 7.0))
    assert (one.rate, one.low) == pytest.approx((seven.rate, seven.low))


def test_one_stratum_is_jeffreys() -> None:
    """With one stratum the posterior is the Jeffreys interval of the labels, within the error of its draws."""
    found = labels.stratified_rate(
        np.array([1e9]), np.array([40.0]), np.array([7.0]), np.random.default_rng(32), level=0.90
    )
    low, high = scipy_stats.beta.ppf([0.05, 0.95], 7.5, 33.5)
    assert found.rate == pytest.approx(7.5 / 41)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.003)


def test_a_stratum_that_nobody_looked_at_may_be_anything() -> None:
    """A tenth of the traffic without labels widens the interval by about that tenth."""
    found = labels.stratified_rate(
        np.array([900.0, 100.0]) * 1e6, np.array([500.0, 0.0]), np.array([5.0, 0.0]), np.random.default_rng(33)
    )
    assert 0.09 < found.high - found.low < 0.13


def test_allocation_is_neymans() -> None:
    """Labels go by share x standard deviation, each stratum gets the least first, and none gets more than it holds."""
    population = np.array([90_000.0, 10_000.0])
    n, x = np.array([1000.0, 1000.0]), np.array([10.0, 500.0])
    # 0.9 sqrt(0.0105 x 0.9895) = 0.0917 and 0.1 x 0.5 = 0.05: 65 % of the labels in all to the first
    given = labels.allocate(population, n, x, 2000)
    assert given.sum() == 2000
    assert (n + given)[0] / 4000 == pytest.approx(0.647, abs=0.01)
    assert labels.allocate(population, np.zeros(2), np.zeros(2), 20).tolist() == [10, 10]
    assert labels.allocate(np.array([3.0, 5000.0]), np.zeros(2), np.zeros(2), 50).tolist() == [3, 47]


def test_labels_needed_by_hand() -> None:
    """One stratum at 20 %: z^2 p (1-p) / h^2 labels; a score that tells apart saves some; too fine a wish is refused."""
    rate = np.array([200.0])
    alone = labels.labels_needed(np.array([1e9]), np.array([1000.0]), rate, 0.02)
    assert alone == pytest.approx(1.96**2 * 0.16 / 0.02**2, rel=0.01)
    helped = labels.labels_needed(np.array([8e8, 2e8]), np.array([800.0, 200.0]), np.array([20.0, 180.0]), 0.02)
    assert helped is not None
    assert alone is not None
    assert helped < 0.4 * alone
    assert labels.labels_needed(np.array([500.0]), np.array([10.0]), np.array([2.0]), 0.001) is None


def test_choice_follows_what_was_measured() -> None:
    """Few labels, low rates and labels that were not drawn from all traffic alike are for the stratified estimate."""
    traffic = np.array([8000.0, 2000.0])
    assert labels.choose(traffic, np.array([80.0, 20.0]), np.array([20.0, 15.0])).method == "stratified"
    assert labels.choose(traffic, np.array([800.0, 200.0]), np.array([1.0, 9.0])).method == "stratified"
    uneven = labels.choose(traffic, np.array([200.0, 200.0]), np.array([40.0, 100.0]))
    assert uneven.method == "stratified"
    assert "spread" in uneven.reason
    assert labels.choose(traffic, np.array([320.0, 80.0]), np.array([40.0, 60.0])).method == "ppi"


def test_near_certain_harm_is_as_hard_as_near_certain_harmlessness() -> None:
    """The choice is the same with harm and harmless exchanged; 400 harmful labels of 400 leave no interval of length 0."""
    traffic = np.array([8000.0, 2000.0])
    n = np.array([320.0, 80.0])
    for x in (np.array([0.0, 0.0]), np.array([3.0, 5.0]), np.array([20.0, 30.0]), np.array([160.0, 40.0])):
        assert labels.choose(traffic, n, x).method == labels.choose(traffic, n, n - x).method
    certain = labels.choose(traffic, n, n)
    assert certain.method == "stratified"
    assert "above 95%" in certain.reason
    assert labels.stratified_rate(traffic, n, n, np.random.default_rng(41)).low < 0.999
    found = labels.ppi_rate(np.ones(400), np.random.default_rng(42).random(400), mean=0.5, variance=1 / 12, scored=1e4)
    assert 0 <= found.low <= found.rate <= found.high <= 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"truth": np.array([1.0, np.nan, 0.0])}, "truth needs 3 finite"),
        ({"proxy": np.array([0.5, np.nan, 0.1])}, "proxy needs 3 finite"),
        ({"weight": np.array([1.0, np.inf, 1.0])}, "weight needs 3 finite"),
        ({"weight": np.array([1.0, 1.0])}, "weight needs 3 finite"),
        ({"weight": np.zeros(3)}, "one of them positive"),
        ({"mean": math.nan}, "mean=nan"),
        ({"variance": math.inf}, "variance=inf"),
        ({"truth": np.array([0.0, 2.0, 1.0])}, "within 0..1"),
    ],
)
def test_what_is_not_a_number_is_refused(wrong: dict[str, Any], says: str) -> None:
    """A missing or impossible label, proxy, weight or mean is refused by name: it never becomes a rate of NaN within 0 and 1."""
    given = {"truth": np.array([1.0, 0.0, 1.0]), "proxy": np.array([0.9, 0.1, 0.5]), "mean": 0.5, "variance": 0.1}
    with pytest.raises(ValueError, match=says):
        labels.ppi_rate(**{**given, "scored": 100.0, **wrong})


def test_a_baseline_of_a_proxy_is_guarded() -> None:
    """Each rate of a learned baseline lies above its estimate, and its sensitivity and specificity are those of Bayes' rule."""
    base = labels.learn_proxy(100_000, 2400, np.array([9000.0, 1000.0]), np.array([9.0, 160.0]))
    assert base.flagged > 0.024
    assert base.harm_passed > 0.001
    assert base.harm_flagged > 0.16
    assert base.rate * base.sensitivity == pytest.approx(base.flagged * base.harm_flagged)
    assert (1 - base.rate) * (1 - base.specificity) == pytest.approx(base.flagged * (1 - base.harm_flagged))
    flagged, in_flagged, in_passed = base.at(np.array([1.0]))
    assert (flagged[0], in_flagged[0], in_passed[0]) == pytest.approx(
        (base.flagged, base.harm_flagged, base.harm_passed)
    )


@pytest.mark.parametrize("part", ["scores", "labels"])
def test_evidence_has_expectation_one(part: str) -> None:
    """Summed over all outcomes of the null, likelihood ratios are 1; at a lower rate of harm they are less."""
    null = labels.ProxyBaseline(flagged=0.05, harm_flagged=0.2, harm_passed=0.01)
    n = 25
    x = np.arange(n + 1.0)
    law = scipy_stats.binom.pmf(x, n, 0.05 if part == "scores" else 0.2)
    lower = scipy_stats.binom.pmf(x, n, 0.03 if part == "scores" else 0.1)
    if part == "scores":
        log_e = labels.scores_log_ratio(np.full(n + 1, n), x, null, edetector.RATIOS)
    else:
        zeros = np.zeros(n + 1)
        log_e = labels.labels_log_ratio(
            np.stack([zeros, zeros + n], 1), np.stack([zeros, x], 1), null, edetector.RATIOS
        )
    assert np.exp(log_e) @ law == pytest.approx(np.ones(len(edetector.RATIOS)))
    assert (np.exp(log_e) @ lower < 1).all()


# ---------------------------------------------------------------------------------------------------- coverage

# Rate, labels, sensitivity, specificity, and what was measured before this code was written (coverage of stratified with a
# Jeffreys posterior, of PPI++): 3,000 repetitions, so the band of +-0.04 around it is about four standard errors of ours.
TABLE = [
    (0.005, 100, 0.80, 0.98, 0.88, 0.35),
    (0.005, 1000, 0.80, 0.98, 0.94, 0.86),
    (0.05, 300, 0.85, 0.95, 0.91, 0.87),
    (0.20, 300, 0.80, 0.90, 0.90, 0.90),
]


def drawn(rng: np.random.Generator, rate: float, sens: float, spec: float) -> tuple[Floats, Floats]:
    """Passed and flagged interactions of a day of traffic, and the harmful among them."""
    harm = rng.binomial(TRAFFIC, rate)
    caught, cried = rng.binomial(harm, sens), rng.binomial(TRAFFIC - harm, 1 - spec)
    return np.array([TRAFFIC - caught - cried, caught + cried]), np.array([harm - caught, caught])


def looked_at(rng: np.random.Generator, there: Floats, harmful: Floats, n: NDArray[np.int64]) -> Floats:
    """Harm among n labels of each stratum, drawn without replacement."""
    return np.array([rng.hypergeometric(h, t - h, k) if k else 0 for t, h, k in zip(there, harmful, n, strict=True)])


def covers(intervals: list[labels.RateInterval], rate: float) -> tuple[float, float]:
    """Share of intervals that hold the rate, and their mean width."""
    held = [i.low <= rate <= i.high for i in intervals]
    return float(np.mean(held)), float(np.mean([i.high - i.low for i in intervals]))


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "n", "sens", "spec", "stratified", "ppi"), TABLE)
def test_coverage_table(rate: float, n: int, sens: float, spec: float, stratified: float, ppi: float) -> None:
    """Nominal 90 %: stratified (half of the labels to the flagged) and PPI++ (labels from all) cover as measured before."""
    rng = np.random.default_rng(34)
    ours, theirs, spread = [], [], []
    for _ in range(1000):
        there, harmful = drawn(rng, rate, sens, spec)
        population = there.astype(float)
        half = np.array([n // 2, n // 2])
        x = looked_at(rng, there, harmful, half)
        ours.append(labels.stratified_rate(population, half.astype(float), x, rng, LEVEL))
        evenly = rng.multivariate_hypergeometric(there, n)
        x = looked_at(rng, there, harmful, evenly)
        spread.append(labels.stratified_rate(population, evenly.astype(float), x, rng, LEVEL))
        y = np.concatenate([np.arange(k) < h for k, h in zip(evenly, x, strict=True)]).astype(float)
        f = np.repeat([0.0, 1.0], evenly)
        left = there - evenly
        share = left[1] / left.sum()
        theirs.append(labels.ppi_rate(y, f, mean=share, variance=share * (1 - share), scored=left.sum(), level=LEVEL))
    figures = [covers(i, rate) for i in (ours, spread, theirs)]
    told = ", ".join(
        f"{who} {c:.3f} / {w:.4f}"
        for who, (c, w) in zip(("stratified half", "stratified even", "PPI++"), figures, strict=True)
    )
    say(f"coverage / width at 90 %, p={rate}, n={n}: {told}")
    assert figures[0][0] == pytest.approx(stratified, abs=0.04)
    assert figures[2][0] == pytest.approx(ppi, abs=0.04)
    assert figures[1][0] >= 0.85


@pytest.mark.slow
def test_a_useless_proxy_does_no_harm() -> None:
    """Three strata of a score that knows nothing, 0.5 % and 100 labels: coverage 0.86 or more where 0.90 is asked for."""
    rng = np.random.default_rng(35)
    there = np.array([25_000, 15_000, 10_000])
    found, worse = [], 0
    for _ in range(1000):
        harmful = rng.binomial(there, 0.005)
        n = rng.multivariate_hypergeometric(there, 100)
        x = looked_at(rng, there, harmful, n)
        found.append(labels.stratified_rate(there.astype(float), n.astype(float), x, rng, LEVEL))
        share = there / there.sum()
        each = (share * rng.beta(x + 0.5, n - x + 0.5, (2000, 3))).sum(axis=1)  # a Jeffreys prior for each stratum
        worse += int(np.quantile(each, 0.05) <= 0.005 <= np.quantile(each, 0.95))
    coverage, width = covers(found, 0.005)
    say(f"useless proxy: coverage {coverage:.3f}, width {width:.4f}; with a prior for each stratum {worse / 1000:.3f}")
    assert coverage >= 0.86
    assert worse / 1000 < 0.75


# ---------------------------------------------------------------------------------------------------- both in one detector

RATE, RISEN, SENS, SPEC = 0.005, 0.008, 0.80, 0.98
FLAGGED = RATE * SENS + (1 - RATE) * (1 - SPEC)
NULL = labels.ProxyBaseline(
    flagged=FLAGGED, harm_flagged=RATE * SENS / FLAGGED, harm_passed=RATE * (1 - SENS) / (1 - FLAGGED)
)


def watched(
    rng: np.random.Generator,
    hours: int,
    series: int,
    parts: str,
    *,
    null: labels.ProxyBaseline = NULL,
    rate: float = RATE,
    spec: float = SPEC,
    state: Floats | None = None,
    threshold: float = 720.0,
    stop: bool = False,
) -> tuple[Floats, int, Floats]:
    """2,000 requests an hour, 5 % of them labelled: the hour of the first alarm (inf: none), alarms, and the state."""
    r = np.zeros((len(edetector.RATIOS), series)) if state is None else state.copy()
    first, alarms = np.full(series, np.inf), 0
    for t in range(hours):
        n = rng.poisson(2000, series)
        harm = rng.binomial(n, rate)
        caught, cried = rng.binomial(harm, SENS), rng.binomial(n - harm, 1 - spec)
        flagged, given = caught + cried, rng.binomial(n, 0.05)
        among = rng.hypergeometric(flagged, n - flagged, given)
        hit = rng.hypergeometric(caught, cried, among)
        missed = rng.hypergeometric(harm - caught, n - flagged - (harm - caught), given - among)
        log_e = np.zeros_like(r)
        if parts != "labels":
            log_e += labels.scores_log_ratio(n, flagged, null, edetector.RATIOS)
        if parts != "scores":
            both = np.stack([given - among, among], 1), np.stack([missed, hit], 1)
            log_e += labels.labels_log_ratio(*both, null, edetector.RATIOS)
        r = edetector.step(r, log_e)
        crossed = r.mean(axis=0) >= threshold
        first[crossed & np.isinf(first)] = t + 1
        alarms += int(crossed.sum())
        if not stop:
            r[:, crossed] = 0
    return first, alarms, r


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "threshold", "hours"),
    [
        ("labels", 720, 45),
        ("scores", 720, 20),
        ("both", 720, 17),
        ("labels", 348, 35),
        ("scores", 278, 15),
        ("both", 248, 12),
    ],
)
def test_fusion_halves_the_delay(parts: str, threshold: float, hours: float) -> None:
    """0.5 % -> 0.8 %: a false alarm in 720 h or fewer, and the median delay within a fifth (2 h) of what was measured before.

    The threshold 720 needs no table; the others were found by bisection, for a run length of 720 h.
    """
    rng = np.random.default_rng(36)
    _, alarms, state = watched(rng, 1440, 300, parts, threshold=threshold)
    length = 300 * 1440 / max(alarms, 1)
    first, _, _ = watched(rng, 400, 300, parts, rate=RISEN, state=state, threshold=threshold, stop=True)
    median, late = np.median(first), np.quantile(first, 0.9)
    say(f"{parts}: run length {length:.0f} h for A={threshold}; delay median {median:.0f} h, 90 % {late:.0f} h")
    assert length >= (0.95 if threshold == 720 else 0.85) * 720
    assert median == pytest.approx(hours, rel=0.2, abs=2)


@pytest.mark.slow
@pytest.mark.parametrize(("parts", "most"), [("labels", 120), ("scores", 26), ("both", 26)])
def test_an_estimated_baseline_costs_delay_not_pages(parts: str, most: float) -> None:
    """Learned from four weeks, a detector keeps its run length; the fused one still sees the rise in a day (median)."""
    rng = np.random.default_rng(37)
    hours, given = 28 * 24, np.array([1 - FLAGGED, FLAGGED]) * 100
    lengths, delays = [], []
    for _ in range(5):
        n = rng.poisson(given * hours)
        harmed = rng.binomial(n, [NULL.harm_passed, NULL.harm_flagged])
        null = labels.learn_proxy(2000 * hours, rng.binomial(2000 * hours, FLAGGED), n, harmed)
        _, alarms, state = watched(rng, 720, 100, parts, null=null)
        first, _, _ = watched(rng, 400, 100, parts, null=null, rate=RISEN, state=state, stop=True)
        lengths.append(100 * 720 / max(alarms, 1))
        delays.append(float(np.median(first)))
    say(f"estimated baselines, {parts}: run lengths {np.round(lengths)}, median delays {delays} h")
    assert min(lengths) >= 0.95 * 720
    assert np.median(delays) <= most


@pytest.mark.slow
@pytest.mark.parametrize("less", [0.001, 0.002])
def test_a_judge_that_drifts_looks_like_harm(less: float) -> None:
    """The assumption, shown: with a little less specificity and no more harm, scores cry wolf and labels do not."""
    rng = np.random.default_rng(38)
    share = {}
    for parts in ("scores", "labels", "both"):
        first, _, _ = watched(rng, 168, 200, parts, spec=SPEC - less, stop=True)
        share[parts] = float(np.isfinite(first).mean())
    say(f"specificity {SPEC:.1%} -> {SPEC - less:.1%}: alarm within a week {share}")
    assert share["labels"] < 0.2
    assert min(share["scores"], share["both"]) > 0.6  # a known limit: published, not hidden


def test_delay_formula_agrees_with_what_was_simulated() -> None:
    """Hours by formula against medians by simulation at one false alarm in 720 h: 4, 34 and 96 h for 2,000, 100 and 20 labels."""
    by = {
        n: labels.detection_delay(RATE, RISEN, labels_per_h=n, false_alarm_every_h=720) for n in (2000.0, 100.0, 20.0)
    }
    fused = labels.detection_delay(
        RATE, RISEN, labels_per_h=100, scored_per_h=2000, sensitivity=SENS, specificity=SPEC, false_alarm_every_h=720
    )
    say(f"delay by formula: {by}, fused {fused:.1f} h")
    for n, simulated in ((2000.0, 4), (100.0, 34), (20.0, 96)):
        assert by[n] == pytest.approx(simulated, rel=0.2)
    assert fused == pytest.approx(
        14.5, rel=0.2
    )  # simulated: 12 h at equal false alarms, 17 h at the threshold without table


@pytest.mark.parametrize("every_h", [1e-3, 720.0, 7.2e6, 1e15])
def test_the_delay_solves_its_equation_at_any_budget(every_h: float) -> None:
    """From a false alarm in seconds to one in the life of a fleet: e^h - h - 1 = K0 x hours, and the delay is (h - 1 + e^-h) / K1."""
    found = labels.detection_delay(0.05, 0.15, labels_per_h=100, false_alarm_every_h=every_h)
    k1, k0 = (
        100 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))) for p, q in ((0.15, 0.05), (0.05, 0.15))
    )
    low, high = 0.0, 60.0
    for _ in range(200):  # by bisection
        h = (low + high) / 2
        low, high = (h, high) if math.expm1(h) - h < k0 * every_h else (low, h)
    assert found == pytest.approx((h + math.expm1(-h)) / k1, rel=1e-4)
    promise = labels.labels_for_change(0.05, 0.15, within_h=2 * found, false_alarm_every_h=every_h)
    assert 0 <= promise < 100


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.0, 1.0), (1.0, 0.0), (1.2, 0.5), (math.nan, 0.5)])
def test_a_proxy_that_flags_nothing_or_everything_is_refused(sensitivity: float, specificity: float) -> None:
    """It is refused with its figures; a proxy that never errs is none of those, and sees a rise at once."""
    proxy = {"scored_per_h": 100.0, "sensitivity": sensitivity, "specificity": specificity}
    with pytest.raises(ValueError, match=f"sensitivity={sensitivity}"):
        labels.detection_delay(0.05, 0.15, labels_per_h=1, false_alarm_every_h=720, **proxy)
    with pytest.raises(ValueError, match="flags"):
        labels.labels_for_change(0.05, 0.15, within_h=24, false_alarm_every_h=720, **proxy)
    perfect = labels.detection_delay(
        0.05, 0.15, labels_per_h=0, scored_per_h=100, sensitivity=1, specificity=1, false_alarm_every_h=720
    )
    assert perfect == pytest.approx(labels.detection_delay(0.05, 0.15, labels_per_h=100, false_alarm_every_h=720))


def test_scored_traffic_sets_the_delay() -> None:
    """In a day: 196 labels an hour, or none with the proxy on all traffic; and as many labels as promised keep the delay."""
    promise = {"within_h": 24.0, "false_alarm_every_h": 720.0}
    alone = labels.labels_for_change(RATE, RISEN, **promise)
    assert alone == pytest.approx(196, rel=0.02)
    assert labels.detection_delay(RATE, RISEN, labels_per_h=alone, false_alarm_every_h=720) == pytest.approx(24)
    proxy = {"scored_per_h": 2000.0, "sensitivity": SENS, "specificity": SPEC}
    assert labels.labels_for_change(RATE, RISEN, **promise, **proxy) == 0.0
    useless = {"scored_per_h": 2000.0, "sensitivity": 0.3, "specificity": 0.7}
    assert labels.labels_for_change(RATE, RISEN, **promise, **useless) == pytest.approx(alone, rel=0.01)


# ---------------------------------------------------------------------------------------------------- always valid


@pytest.mark.parametrize(("rate", "n_opt"), [(0.005, 1000), (0.3, 200)])
def test_a_sequence_holds_at_every_look(rate: float, n_opt: int) -> None:
    """Looked at 100 times, the sequence misses the rate at any look in at most 5 %; the exact interval of one look does not."""
    rng = np.random.default_rng(39)
    looks = np.unique(np.geomspace(10, 5000, 100).astype(int))
    missed = naive = 0
    for _ in range(200):
        x = np.cumsum(rng.random(looks[-1]) < rate)[looks - 1]
        pairs = zip(x.tolist(), looks.tolist(), strict=True)
        ends = np.array([sequences.bernoulli_sequence(k, n, n_opt=n_opt) for k, n in pairs])
        missed += bool(((rate < ends[:, 0]) | (rate > ends[:, 1])).any())
        low, high = scipy_stats.beta.ppf(0.025, x, looks - x + 1), scipy_stats.beta.ppf(0.975, x + 1, looks - x)
        naive += bool(((rate < np.nan_to_num(low)) | (rate > high)).any())
    say(f"rate {rate}: sequence missed in {missed / 200:.1%}, an interval for one look in {naive / 200:.1%}")
    assert missed / 200 <= 0.08  # 5 % and two standard errors
    assert naive > missed


# ---------------------------------------------------------------------------------------------------- real data


@pytest.fixture(scope="module")
def shared_data() -> Path:
    """The folder of the packs; without it the test is skipped and says how to have it."""
    place = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
    if not (place / "rag-ragtruth").is_dir():
        pytest.skip(f"no real data in {place}: put the packs there, or name their folder in SHARED_DATA")
    return place


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a packed file."""
    return [json.loads(row) for row in gzip.decompress(path.read_bytes()).decode().splitlines()]


def pack(place: Path, name: str) -> tuple[Floats, Floats]:
    """Harm by people and the cheap score (low is bad) of every answer of a pack."""
    if name == "mtrag":
        rows = lines(place / "rag-mtrag" / "human_eval.jsonl.gz")
        kept = [r for r in rows if r["human_faithfulness_mean"] is not None and r["judge"].get("rl_f") is not None]
        return (
            np.array([r["human_faithfulness_mean"] < 3 for r in kept], dtype=float),
            np.array([r["judge"]["rl_f"] for r in kept]),
        )
    kept = lines(place / "rag-ragtruth" / "qa_responses.jsonl.gz")
    harm = {
        "hallucinated": lambda r: r["hallucinated"],
        "evident conflict": lambda r: any(s["label_type"] == "Evident Conflict" for s in r["labels"]),
        "subtle conflict": lambda r: any(s["label_type"] == "Subtle Conflict" for s in r["labels"]),
    }[name]
    return np.array([harm(r) for r in kept], dtype=float), np.array([r["response_words_in_context"] for r in kept])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hallucinated", "evident conflict", "subtle conflict", "mtrag"])
def test_coverage_on_real_labels(shared_data: Path, name: str) -> None:
    """20,000 interactions drawn from a pack, a few of them labelled: the pack's own rate is covered at 90 % in 84 % or more.

    With 30 labels in 78 % or more: a known miss, and mostly that of the Jeffreys interval itself (exactly 85 % at 17.6 %).
    """
    from andon.monitors.truth import GivenLabel, ScoreCell, ScoreSums, truth_of
    from andon.stats.bins import bin_of

    harm, score = pack(shared_data, name)
    bins, rate = np.array([bin_of(v) for v in score]), float(harm.mean())
    rng = np.random.default_rng(40)
    for n in (30, 100, 300, 1000):
        found, alone, methods = [], [], []
        for _ in range(250):
            at = rng.integers(0, len(harm), 20_000)
            values, counts = np.unique(bins[at], return_counts=True)
            cells = [ScoreCell(bin=int(b), weight=1.0, n=int(k)) for b, k in zip(values, counts, strict=True)]
            seen = score[at]
            sums = [ScoreSums(weight=1.0, n=20_000, total=float(seen.sum()), squares=float(seen @ seen))]
            given = [GivenLabel(harm=bool(harm[i]), score=float(score[i])) for i in at[:n]]
            truth = truth_of(cells, sums, given, rng, worst="down", level=LEVEL)
            assert truth.interval is not None
            found.append(truth.interval)
            methods.append(truth.method)
            x = harm[at[:n]].sum()
            alone.append(labels.stratified_rate(np.array([2e4]), np.array([float(n)]), np.array([x]), rng, LEVEL))
        (c, w), (c1, w1) = covers(found, rate), covers(alone, rate)
        ppi = np.mean([m == "ppi" for m in methods])
        say(f"{name} ({rate:.1%}), n={n}: {c:.3f} / {w:.4f} (PPI++ in {ppi:.0%}), labels alone {c1:.3f} / {w1:.4f}")
        assert c >= (0.84 if n >= 100 else 0.78)
