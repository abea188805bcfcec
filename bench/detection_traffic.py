"""The traffic on which detectors are compared: stable data to set thresholds, shifted data to time the alarms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, entropy
from tests.stats.calibration.fleet import (
    DAY,
    HISTORY,
    WEEK,
    Fleet,
    Rise,
    draw_fleet,
    expected,
    risen,
    simulate,
)

from andon import stats
from bench.detection_rules import MONTH

__all__ = ["SCENARIOS", "Scenario", "Seen", "bound", "draw"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Counts = Ints | Floats

BEFORE = 8 * DAY
"""Hours of the future before the first shift; each series has its own, within the week that follows."""

STABLE = 60 * DAY
"""Hours of stable data on which thresholds are set."""

CELLS = 101
"""A score is a multiple of a hundredth."""

MEAN, SD = 0.75, 0.12
FIFTH = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One thing that goes wrong."""

    name: str
    about: str
    volume: float
    """Requests an hour on a working day."""
    rate: float = 0.0
    """Rate of harm before; 0 says that the metric is a score of mean 0.75 and standard deviation 0.12."""
    factor: float = 1.0
    """What the rate is multiplied with."""
    drop: float = 0.0
    """What the mean score loses."""
    ramp: int = 0
    """Hours until the shift is complete."""
    watched: int = 14 * DAY
    """Hours after the shift in which an alarm counts as its detection."""
    series: int = 400


SCENARIOS = (
    Scenario(name="step", about="0.5 % → 0.8 % of 2,000 requests an hour", volume=2_000, rate=0.005, factor=1.6),
    Scenario(name="jump", about="0.8 % → 16 % of 2,000 requests an hour", volume=2_000, rate=0.008, factor=20),
    Scenario(
        name="segment",
        about="100 % → 95 % in 0.3 % of the traffic: harm 0.05 % → 5 % of 6 requests an hour",
        volume=6,
        rate=0.0005,
        factor=100,
    ),
    Scenario(
        name="ramp",
        about="0.5 % → 0.8 % over 14 days, 2,000 requests an hour",
        volume=2_000,
        rate=0.005,
        factor=1.6,
        ramp=14 * DAY,
        watched=30 * DAY,
    ),
    Scenario(name="score_step", about="score 0.75 → 0.73 (sd 0.12) of 200 an hour", volume=200, drop=0.02, series=150),
    Scenario(
        name="score_slide",
        about="score 0.75 → 0.72 over 3 days (sd 0.12) of 200 an hour",
        volume=200,
        drop=0.03,
        ramp=3 * DAY,
        series=150,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What detectors may look at: a history and a future of hours, shapes (hours, k)."""

    x0: Counts
    n0: Ints
    x: Counts
    """Harm: of scores, the sum of the shares of the history that are better."""
    n: Ints
    variance: float | None
    """Of the harm of one value; None: that of a yes or no."""
    bad0: Floats
    bad: Floats
    """Mean badness of an hour: the rate of harm, or the mean score with its sign turned; NaN without requests."""
    sd: Floats
    """Standard deviation of a single value in the history, shape (k,)."""
    drift: Floats
    """Distance of each day from the history, as Evidently measures it by default; shape (days, k)."""
    told: Floats
    """What an hour tells for the whole shift and against none, as log likelihood ratio, by one who knows both laws."""
    start: Ints
    """First hour of each series' shift, shape (k,)."""
    examples: Mapping[str, Any]
    """For a peer that measures the same distance: of a few days of series 0 the counts of each value, and the history's."""


def draw(rng: np.random.Generator, scenario: Scenario, *, shifted: bool) -> tuple[Seen, Fleet]:
    """Stable or shifted data of a scenario, with the series that they come from."""
    k = scenario.series
    fleet = draw_fleet(
        rng,
        k,
        volume=(scenario.volume, scenario.volume),
        rate=(scenario.rate or FIFTH, scenario.rate or FIFTH),
        design=(1.0, 1.0),
        serial=((0.0, 0.0),),
    )
    start = (BEFORE + rng.integers(0, WEEK, k)).astype(np.int32)
    hours = -(-(BEFORE + WEEK + scenario.watched) // DAY) * DAY if shifted else STABLE
    if not scenario.rate:
        return _scores(rng, scenario, fleet, start, hours, shifted=shifted), fleet
    rise = Rise(factor=scenario.factor, start=start, ramp=scenario.ramp) if shifted else None
    t = simulate(rng, fleet, hours=hours, shift=rise)
    harm0, total0 = t.x0.sum(axis=0), t.n0.sum(axis=0)
    p = (harm0 + 0.5) / (total0 + 1)
    fine, harm = (_days(counts) for counts in (t.n - t.x, t.x))
    days = np.stack([fine, harm], axis=-1)
    before = np.stack([total0 - harm0, harm0], axis=-1)
    seen = Seen(
        x0=t.x0,
        n0=t.n0,
        x=t.x,
        n=t.n,
        variance=None,
        bad0=_mean(t.x0, t.n0),
        bad=_mean(t.x, t.n),
        sd=np.sqrt(p * (1 - p)),
        drift=_jensen_shannon(before, days),
        told=_told(scenario, fleet, t.x, t.n),
        start=start,
        examples=_examples(before, days),
    )
    return seen, fleet


def bound(scenario: Scenario, fleet: Fleet, start: Ints) -> Floats:
    """Hours that no detector can beat on average, for each series: Lorden's bound with the traffic that really comes.

    The least T with ``sum over the hours from the start to T of E[n] KL(after || before) >= log(720)``, where KL is the
    information in one value and both laws are known, waves and all; at least the one hour until an hour is over. The
    asymptotic form for one rate and steady traffic is ``log(720) / (n KL)``. It bounds the mean delay after the worst
    moment, so that a median may lie a little below it.

    Source: Lorden, Annals of Mathematical Statistics 42 (1971), 1897-1908, theorem 3.
    """
    span = np.arange(BEFORE + WEEK + scenario.watched)
    volume, p = expected(fleet, HISTORY + span)
    if scenario.rate:
        q = risen(p, Rise(factor=scenario.factor, start=start, ramp=scenario.ramp), span)
        each = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    else:
        laws, level = _laws(scenario), _levels(scenario, start, span)
        each = (laws * np.log(np.maximum(laws, 1e-300) / np.maximum(laws[0], 1e-300))).sum(axis=1)[level]
    told = np.cumsum(np.where(span[:, None] >= start, volume * each, 0.0), axis=0)
    enough = np.log(MONTH)
    hour = (told < enough).sum(axis=0)
    last = np.minimum(hour, len(span) - 1)
    series = np.arange(len(start))
    over = np.where(last > 0, told[np.maximum(last - 1, 0), series], 0.0)
    part = (enough - over) / (told[last, series] - over)
    return np.where(hour < len(span), np.maximum(hour - start + part, 1.0), np.inf)


def _told(scenario: Scenario, fleet: Fleet, x: Ints, n: Ints) -> Floats:
    _, p = expected(fleet, HISTORY + np.arange(len(x)))
    q = risen(p, Rise(factor=scenario.factor), np.arange(len(x)))
    return np.asarray(x * np.log(q / p) + (n - x) * np.log((1 - q) / (1 - p)))


def _mean(x: Ints, n: Ints) -> Floats:
    return np.where(n > 0, x / np.maximum(n, 1), np.nan)


def _days(counts: NDArray[np.signedinteger[Any]]) -> Ints:
    """Sums over the hours of each day."""
    return np.asarray(counts.reshape(-1, DAY, *counts.shape[1:]).sum(axis=1, dtype=np.int32))


def _jensen_shannon(before: Ints, days: Ints) -> Floats:
    """Jensen-Shannon distance (natural logarithm) of each day from the history; shapes (k, cells) and (days, k, cells)."""
    p, q = (a / np.maximum(a.sum(axis=-1, keepdims=True), 1) for a in (before, days))
    middle = (p + q) / 2
    both = entropy(p + 0 * q, middle, axis=-1) + entropy(q, middle, axis=-1)
    return np.asarray(np.sqrt(np.maximum(both / 2, 0.0)))


def _wasserstein(before: Ints, days: Ints, sd: Floats) -> Floats:
    """Wasserstein distance of each day from the history, in standard deviations of the history."""
    p, q = (a.cumsum(axis=-1) / np.maximum(a.sum(axis=-1, keepdims=True), 1) for a in (before, days))
    return np.asarray(np.abs(p - q).sum(axis=-1) / (CELLS - 1) / sd)


def _examples(before: Ints, days: Ints) -> dict[str, Any]:
    """The history and the first, middle and last day of series 0, as counts of each value."""
    chosen = (0, len(days) // 2, len(days) - 1)
    return {
        "before": before[0].astype(np.int64),
        "days": days[chosen, 0].astype(np.int64),
        "which": np.array(chosen, dtype=np.int64),
    }


def _badness(before: Ints) -> Floats:
    """Share of each series' history that is better than a value, half of its equals counted; shape (k, cells)."""
    value = np.arange(CELLS)
    return np.stack([1 - stats.ridits_of(value, counts.astype(np.float64)).share_below(value) for counts in before])


def _laws(scenario: Scenario) -> Floats:
    """Probability of each value of the score after no, a hundredth, ... all of the drop; shape (101, cells)."""
    size = MEAN * (1 - MEAN) / SD**2 - 1
    mean = MEAN - scenario.drop * np.linspace(0, 1, 101)[:, None]
    edges = np.clip((np.arange(CELLS + 1) - 0.5) / (CELLS - 1), 0, 1)
    return np.asarray(np.diff(beta.cdf(edges, mean * size, (1 - mean) * size), axis=1))


def _levels(scenario: Scenario, start: Ints, span: NDArray[np.int_]) -> NDArray[np.int64]:
    """Which of `_laws` holds in each hour; shape (hours, k)."""
    one = np.full((len(span), len(start)), 1.0)
    share = risen(one * 1e-3, Rise(factor=2.0, start=start, ramp=scenario.ramp), span) / 1e-3 - 1
    return np.asarray(np.rint(share * 100), dtype=np.int64)


def _scores(
    rng: np.random.Generator, scenario: Scenario, fleet: Fleet, start: Ints, hours: int, *, shifted: bool
) -> Seen:
    """Scores without waves of their own, in the traffic of the others: each value comes as often as a Poisson law says."""
    laws, k, total = _laws(scenario), scenario.series, HISTORY + hours
    level = np.zeros((total, k), dtype=np.int64)
    if shifted:
        level[HISTORY:] = _levels(scenario, start, np.arange(hours))
    volume, _ = expected(fleet, np.arange(total))
    cells = np.empty((total, k, CELLS), dtype=np.int16)
    for hour in range(total):
        cells[hour] = rng.poisson(volume[hour][:, None] * laws[level[hour]])
    n = cells.sum(axis=2, dtype=np.int32)
    value = np.arange(CELLS) / (CELLS - 1)
    bad = -(cells @ value) / np.where(n > 0, n, np.nan)
    days = _days(cells)
    before = days[: HISTORY // DAY].sum(axis=0)
    x = np.einsum("tkc,kc->tk", cells, _badness(before))
    told = cells[HISTORY:] @ np.log(np.maximum(laws[-1], 1e-300) / np.maximum(laws[0], 1e-300))
    mean = before @ value / before.sum(axis=1)
    sd = np.sqrt(before @ value**2 / before.sum(axis=1) - mean**2)
    future = days[HISTORY // DAY :]
    return Seen(
        x0=x[:HISTORY],
        n0=n[:HISTORY],
        x=x[HISTORY:],
        n=n[HISTORY:],
        variance=stats.RIDIT_VARIANCE,
        bad0=bad[:HISTORY],
        bad=bad[HISTORY:],
        sd=sd,
        drift=_wasserstein(before, future, sd),
        told=told,
        start=start,
        examples=_examples(before, future),
    )
