"""False alarms of whole charts, baseline learned on the way, against the budget; `-s` prints the figures."""

import time
from collections import Counter

import numpy as np
import pytest
from charted import DAY, Traffic, charts, hour_of, monitor, pages, say, turn, watch

from andon.monitors import Signal

STABLE = {
    "plain": Traffic(series=300, hours=17 * DAY, seed=1),
    "clustered": Traffic(series=300, hours=17 * DAY, spread=0.05, seed=1),
    "rare": Traffic(series=300, hours=17 * DAY, rate=0.003, seed=1),
    "busy, clustered": Traffic(series=300, hours=17 * DAY, n=2400, rate=0.01, spread=0.02, seed=1),
    "busy, rare": Traffic(series=300, hours=17 * DAY, n=2400, rate=0.003, seed=1),
    "sparse": Traffic(series=300, hours=17 * DAY, n=20, rate=0.2, seed=1),
    "half": Traffic(series=300, hours=17 * DAY, rate=0.5, spread=0.01, seed=1),
}


def false_alarms(traffic: Traffic) -> tuple[list[Signal], int, float]:
    """Pages, charts that paged, and the pages that a budget of one a month permits in this time."""
    signals = pages(watch(traffic))
    return signals, len({s.monitor for s in signals}), traffic.hours / (30 * DAY)


def test_a_stable_stream_keeps_the_budget() -> None:
    """200 stable charts over 17 days give no more false alarms than the budget of 30 pages a month."""
    signals = pages(watch(Traffic(series=200, hours=17 * DAY, seed=7), budget=30.0))
    say(f"{len(signals)} false alarms, {30.0 * 17 / 30:.1f} permitted")
    assert len(signals) <= 30.0 * 17 / 30


@pytest.mark.slow
def test_stable_streams_of_all_kinds_keep_the_budget() -> None:
    """Over seven kinds of stable traffic, false pages are at most what the budgets permit in all."""
    found, permitted = 0, 0.0
    for name, traffic in STABLE.items():
        signals, alarmed, budget = false_alarms(traffic)
        say(f"{name}: {len(signals)} pages on {alarmed} of {traffic.series} charts, {budget:.2f} permitted")
        found, permitted = found + len(signals), permitted + budget
    say(f"all: {found} pages, {permitted:.2f} permitted")
    assert found <= permitted


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="how much hours differ cannot be learned in hours: 2 pages on the third day")
def test_strong_clusters_keep_the_budget() -> None:
    """Hours that differ by half from each other are no shift, even where the first hours of a chart did not show it."""
    signals, alarmed, permitted = false_alarms(Traffic(series=300, hours=34 * DAY, spread=0.3, seed=1))
    days = Counter(hour_of(s) // DAY for s in signals)
    say(
        f"strong clusters: {len(signals)} pages on {alarmed} of 300 charts, {permitted:.2f} permitted; by day {sorted(days.items())}"
    )
    assert len(signals) <= permitted


@pytest.mark.parametrize("n", [240, 2400])
def test_a_daily_wave_keeps_the_budget(n: int) -> None:
    """A rate that swings by a quarter every day is no shift, from the first day on."""
    traffic = Traffic(series=200, hours=14 * DAY, n=n, rate=0.02, wave=0.25, seed=1)
    signals, alarmed, permitted = false_alarms(traffic)
    say(
        f"daily wave of 25 %, n={n} an hour: {len(signals)} pages on {alarmed} of 200 charts, {permitted:.2f} permitted"
    )
    assert len(signals) <= permitted


MISSED = pytest.mark.xfail(
    strict=True, reason="one of 300 charts takes it for normal: what comes first is what it learns from"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shift", "factor"),
    [*((h, 1.6) for h in (6, 12, 33, 216)), pytest.param(6, 3.0, marks=MISSED), *((h, 3.0) for h in (12, 33, 216))],
)
def test_delay(shift: int, factor: float) -> None:
    """The delay of a shift shrinks with the age of the baseline, and no shift to three times the rate is missed."""
    signals = pages(watch(Traffic(series=300, hours=shift + 14 * DAY, shift=shift, factor=factor, seed=5)))
    first: dict[str, int] = {}
    for s in signals:
        if hour_of(s) >= shift:
            first.setdefault(s.monitor, hour_of(s) - shift + 1)
    found = len(first) / 300
    middle, late = np.quantile([*first.values(), *([10_000] * (300 - len(first)))], [0.5, 0.9])
    say(
        f"shift x{factor} at hour {shift}, 12 an hour, one of 300 charts: found {found:.1%}, delay {middle:.0f} (90 %: {late:.0f}) hours"
    )
    assert factor < 3 or found == 1.0


def test_speed() -> None:
    """500 charts over a week of windows of five minutes take a few seconds."""
    rng = np.random.default_rng(1)
    n = rng.poisson(20, (2016, 500)).astype(float)
    x = rng.binomial(20, 0.05, n.shape).astype(float)
    process, start = charts(width_us=300_000_000), time.process_time()
    turn(process, [monitor(f"{i:03d}") for i in range(500)], n, x)
    seconds = time.process_time() - start
    say(f"500 charts x 2,016 windows: {seconds:.1f} s")
    assert seconds < 15
