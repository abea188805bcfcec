"""False alarms of whole charts, baseline learned on the way, against the budget; `-s` prints the figures."""

import time

import numpy as np
import pytest
from charted import DAY, Traffic, binary, charts, monitor, say, watch, window_of

STABLE = {
    "plain": Traffic(series=800, windows=5000, seed=1),
    "clustered": Traffic(series=800, windows=5000, rho=0.02, seed=1),
    "rare": Traffic(series=800, windows=5000, rate=0.003, seed=1),
    "busy, clustered": Traffic(series=800, windows=5000, n=200, rate=0.01, rho=0.005, seed=1),
    "busy, rare": Traffic(series=800, windows=5000, n=200, rate=0.003, seed=1),
    "sparse": Traffic(series=800, windows=5000, n=2, rate=0.2, seed=1),
    "half": Traffic(series=800, windows=5000, rate=0.5, rho=0.01, seed=1),
}


def false_alarms(traffic: Traffic) -> tuple[int, int, float]:
    """Signals, charts that signalled, and the signals that a budget of one a month permits in this time."""
    signals = watch(traffic)
    return len(signals), len({s.monitor for s in signals}), traffic.windows / (30 * DAY)


def test_a_stable_stream_keeps_the_budget() -> None:
    """300 stable charts over 5,000 windows give no more false alarms than the budget of 30 pages a month."""
    signals = watch(Traffic(series=300, windows=5000, seed=7), budget=30.0)
    permitted = 30.0 * 5000 / (30 * DAY)
    say(f"{len(signals)} false alarms, {permitted:.1f} permitted")
    assert len(signals) <= permitted


@pytest.mark.slow
def test_stable_streams_of_all_kinds_keep_the_budget() -> None:
    """Over seven kinds of stable traffic, the charts that cry wolf are at most what the budgets permit in all."""
    found, permitted = 0, 0.0
    for name, traffic in STABLE.items():
        signals, alarmed, budget = false_alarms(traffic)
        say(f"{name}: {signals} signals on {alarmed} of {traffic.series} charts, {budget:.2f} permitted")
        found, permitted = found + alarmed, permitted + budget
    say(f"all: {found} charts cry wolf, {permitted:.2f} permitted")
    assert found <= permitted


@pytest.mark.slow
@pytest.mark.xfail(strict=True, reason="baselines have no hour of the day yet, see docs/methods/baseline.md")
@pytest.mark.parametrize("n", [200])
def test_a_daily_wave_keeps_the_budget(n: int) -> None:
    """A rate that swings by a quarter every day is no shift."""
    traffic = Traffic(series=300, windows=3500, n=n, rate=0.02, wave=0.25, seed=1)
    signals, alarmed, permitted = false_alarms(traffic)
    say(f"daily wave of 25 %, n={n}: {signals} signals on {alarmed} of 300 charts, {permitted:.2f} permitted")
    assert alarmed <= 2 * permitted + 2


@pytest.mark.slow
@pytest.mark.parametrize("shift", [60, 150, 400, 2500])
@pytest.mark.parametrize("odds", [1.6, 3.0])
def test_delay(shift: int, odds: float) -> None:
    """The delay of a shift shrinks with the age of the baseline, and no shift of three times the odds is missed."""
    signals = watch(Traffic(series=300, windows=3500, shift=shift, odds=odds, seed=5))
    first: dict[str, int] = {}
    for s in signals:
        if window_of(s) >= shift:
            first.setdefault(s.monitor, window_of(s) - shift)
    found = len(first) / 300
    middle, late = np.quantile([*first.values(), *([10_000] * (300 - len(first)))], [0.5, 0.9])
    say(f"shift x{odds} at window {shift}: found {found:.1%}, delay {middle:.0f} (90 %: {late:.0f}) windows")
    assert odds < 3 or found == 1.0


def test_speed() -> None:
    """500 charts over 2,000 windows take a few seconds."""
    rng = np.random.default_rng(1)
    n = rng.poisson(20, (500, 2000))
    x = rng.binomial(n, 0.05)
    counts = {monitor(f"{i:03d}"): binary(np.arange(2000), n[i], x[i]) for i in range(500)}
    process, start = charts(), time.process_time()
    process.advance(range(2000), counts)
    seconds = time.process_time() - start
    say(f"500 charts x 2,000 windows: {seconds:.1f} s")
    assert seconds < 15
