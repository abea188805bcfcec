"""A fleet as large as they come keeps its budget: seasons, clusters, serial correlation and holidays, nothing tuned.

One false page a month over 10,000 series: each may alarm once in 10,000 months. `-s` prints the figures.
"""

import numpy as np
import pytest
from fleet import DAY, HISTORY, Traffic, draw_fleet, simulate
from numpy.typing import NDArray

from andon import stats
from andon.monitors import Charts, Monitor
from figures import say

MONDAY = 4 * DAY
"""Hour 0 of the simulated traffic, in hours since 1970."""

HOLIDAYS = (9, 24, 28 + 10, 28 + 22)
"""Days on which everybody stays at home: two of the history, two of the month that is watched, none at a weekend."""

WATCHED = 30 * DAY
BLOCK = 2_000
"""Series of one app: the kind of a day is read off their traffic together."""


def kinds_of_day(total: NDArray[np.float64], hours: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each hour is like one of a weekend, read off all traffic of an app as a running chart does it."""
    clock, history = stats.clock_of(hours), slice(0, HISTORY)
    x, n = total[history, None], np.ones((HISTORY, 1))
    found = stats.fit_baseline(x, n, clock[history], variance=x.mean(axis=0), least_spread=0.01)
    usual, other = (np.exp(found.log_rate[c, 0]) / found.scale[0] for c in (clock, (clock + 24) % 48))
    return np.asarray((clock >= 24) ^ (stats.like_weekend(total, usual, other) & (usual >= 30)))


def alarms(traffic: Traffic, threshold: float) -> int:
    """Alarms of the watched month with baselines from the history."""
    hours = MONDAY + np.arange(HISTORY + len(traffic.n))
    total = np.concatenate([traffic.n0.sum(axis=1), traffic.n.sum(axis=1)]).astype(np.float64)
    weekend = kinds_of_day(total, hours)
    clock, calendar = stats.clock_of(hours, weekend), stats.clock_of(hours)
    learned = stats.fit_baseline(traffic.x0.astype(np.float64), traffic.n0.astype(np.float64), clock[:HISTORY])
    worst = learned.log_rate + learned.guard
    bound = worst[calendar[HISTORY:]]
    unlike = clock[HISTORY:] != calendar[HISTORY:]
    bound[unlike] = np.maximum(bound[unlike], worst[clock[HISTORY:][unlike]])
    y, mean = traffic.x * learned.scale, traffic.n * np.exp(bound)
    return len(stats.detect(y, mean, learned.spread, learned.persistence, [threshold])[0][0])


def replicate(seed: int, series: int = 10_000) -> int:
    """False alarms of a whole fleet in a month, one permitted."""
    rng = np.random.default_rng([2026, seed])
    found = 0
    for _ in range(series // BLOCK):
        fleet = draw_fleet(rng, BLOCK)
        found += alarms(simulate(rng, fleet, hours=WATCHED, holidays=HOLIDAYS), series * WATCHED)
    return found


def test_holidays_are_read_off_the_traffic() -> None:
    """A weekday with the traffic of a Sunday is one for all but the hours of dusk and dawn, and no other day is."""
    rng = np.random.default_rng(1)
    made = simulate(rng, draw_fleet(rng, 300), hours=WATCHED, holidays=HOLIDAYS)
    hours = MONDAY + np.arange(HISTORY + WATCHED)
    total = np.concatenate([made.n0.sum(axis=1), made.n.sum(axis=1)]).astype(np.float64)
    unlike = kinds_of_day(total, hours) != (stats.clock_of(hours) >= 24)
    days = unlike.reshape(-1, DAY).mean(axis=1)
    say(f"hours taken for the other kind of day: holidays {days[list(HOLIDAYS)]}, other days {unlike.sum()} in all")
    assert (days[list(HOLIDAYS)] > 0.9).all()
    assert np.delete(days, list(HOLIDAYS)).max() == 0


@pytest.mark.slow(110)
def test_ten_thousand_series_keep_the_budget() -> None:
    """In at most one of 20 months do 10,000 series give more false pages than the one permitted, and half of that on average."""
    found = [replicate(seed) for seed in range(20)]
    above = sum(f > 1 for f in found)
    low, high = stats.clopper_pearson(above, len(found))
    say(f"{len(found)} months of 10,000 series: {sum(found)} false pages, one a month permitted: {found}")
    say(f"{above} months with more than one: {low:.1%} to {high:.1%} of all months")
    assert above <= 1
    assert np.mean(found) <= 0.5


def days_of_pages(seed: int) -> list[int]:
    """The days on which 300 charts and one of all traffic page, from their first hour on, over 58 stable days."""
    rng = np.random.default_rng([58, seed])
    made = simulate(rng, draw_fleet(rng, 300), hours=WATCHED, holidays=HOLIDAYS)
    n, x = (np.concatenate(pair).astype(np.float64) for pair in ((made.n0, made.n), (made.x0, made.x)))
    came = n.sum(axis=1, keepdims=True)
    everything = Monitor(app="a", environment="e", metric="traffic", direction="down")
    parts = [
        Monitor(app="a", environment="e", metric="harm", direction="up", scope=(("task", f"{i}"),)) for i in range(300)
    ]
    process = Charts(
        3_600_000_000, 1.0, {"harm": "binary"}, {("harm", "up"): "safety", ("traffic", "down"): "availability"}
    )
    for m in (everything, *parts):
        process.index(m)
    signals = process.advance(MONDAY, np.concatenate([0 * came + 1, n], axis=1), np.concatenate([came, x], axis=1))
    days = [s.at_us // 86_400_000_000 - 4 for s in signals if s.level == "page"]
    say(
        f"whole charts: {len(days)} pages, in the first week {sum(d < 7 for d in days)}, in the last month {sum(d >= 28 for d in days)}"
    )
    return days


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_whole_charts_keep_the_budget_after_a_week(seed: int) -> None:
    """In the seven weeks after their first, charts that learned by themselves page no more than 1.67 expected ones explain."""
    assert sum(d >= 7 for d in days_of_pages(seed)) <= 4  # a Poisson number with this mean exceeds 4 in 3 % of cases


@pytest.mark.slow
@pytest.mark.xfail(
    strict=True, reason="how long hours resemble each other cannot be learned in days: 2 to 13 pages in the first week"
)
@pytest.mark.parametrize("seed", [0, 2])
def test_whole_charts_keep_the_budget_in_their_first_week(seed: int) -> None:
    """In their first week, 300 charts that know nothing yet give at most two false pages."""
    assert sum(d < 7 for d in days_of_pages(seed)) <= 2
