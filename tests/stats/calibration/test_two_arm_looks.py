"""Seeded simulations of two arms that are looked at every day or hour: error rates, power, and what the looks cost.

The sample: 10 % against 8 %, N = 3,213 in each arm, which one look at the end finds with a power of 80 %.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from andon.stats import group_sequential as gs
from andon.stats.e_process import guardrail_e, noninferiority_e, split_e
from andon.stats.sequences import asymptotic_half_width
from figures import say

Floats = NDArray[np.float64]

N = 3213
ONE_SIDED = math.log(1 / 0.025)
NEVER = 10**6


def per_look(total: float, looks: int) -> NDArray[np.int64]:
    """Whole numbers that add up to a total, one for each look."""
    return np.diff(np.round(np.linspace(0, total, looks + 1))).astype(np.int64)


def z_of(control: Floats, treated: Floats, sizes: Floats) -> Floats:
    """Two-proportion z (pooled) of running counts."""
    pooled = (control + treated) / (2 * sizes)
    return np.asarray((treated - control) / sizes / np.sqrt(np.maximum(pooled * (1 - pooled) * 2 / sizes, 1e-12)))


def first(over: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of the first look that is beyond, from 1 on, for each run."""
    return np.where(over.any(axis=1), over.argmax(axis=1) + 1, NEVER)


def stops(
    rates: tuple[float, float], days: int, total: float, runs: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """When each method stops, in looks, over many tests of this length that are looked at every day."""
    sizes = per_look(total, days)
    new = [rng.binomial(sizes, p, (runs, days)).astype(np.float64) for p in rates]
    control, treated = (np.cumsum(x, axis=1) for x in new)
    so_far = np.cumsum(sizes).astype(np.float64)
    z, fractions = z_of(control, treated, so_far), (so_far / so_far[-1]).tolist()
    half = np.array([asymptotic_half_width(1.0, int(2 * n), n_opt=2 * N) for n in so_far])
    p, q = control / so_far, treated / so_far
    spread = np.sqrt(2 * (p * (1 - p) + q * (1 - q)))  # standard error times the root of the size of both arms
    found = {
        "every look at p < 0.05": first(np.abs(z) > 1.959964),
        "group-sequential, O'Brien-Fleming": first(np.abs(z) >= gs.bounds(fractions)),
        "group-sequential, Pocock": first(np.abs(z) >= gs.bounds(fractions, kind="pocock")),
        "confidence sequence": first(np.abs(q - p) > half * spread),
    }
    odds = 0.1 / 0.9 * 0.92 / 0.08
    for name, ratio, history in (
        ("e-process, planned effect, history", odds, [[rates[1] * 10 * N, 10 * N, 0, 0]]),
        ("e-process, planned effect", odds, []),
        ("e-process", 1.5, []),
    ):
        logs = []
        for k in range(min(runs, 2000)):
            batches = np.column_stack([new[1][k], sizes, new[0][k], sizes])  # swapped: that the treatment is better
            logs.append(guardrail_e(np.vstack([*history, batches]), ratio=ratio)[len(history) :])
        found[name] = first(np.array(logs) >= ONE_SIDED)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("looks", [14, 28, 32])
def test_error_rates_of_repeated_looks(looks: int) -> None:
    """Without an effect: group-sequential within noise of 5 %, sequence below 5 %, one-sided e-process below 2.5 %, p-values far above."""
    found = stops((0.1, 0.1), looks, N, 20_000, np.random.default_rng(looks))
    rates = {name: float(np.mean(at < NEVER)) for name, at in found.items()}
    law = gs.crossing([(k + 1) / looks for k in range(looks)], [1.959964] * looks, 0.0)
    say(f"{looks} looks, no effect, every look at p < 0.05, computed: {float((law.upper + law.lower).sum()):.2%}")
    assert rates["every look at p < 0.05"] == pytest.approx(float((law.upper + law.lower).sum()), abs=0.01)
    for name, rate in rates.items():
        say(f"{looks} looks, no effect, {name}: alarms in {rate:.2%}")
    for kind in ("O'Brien-Fleming", "Pocock"):
        assert rates[f"group-sequential, {kind}"] == pytest.approx(0.05, abs=0.007)
    assert rates["confidence sequence"] <= 0.05
    for name in ("e-process", "e-process, planned effect", "e-process, planned effect, history"):
        assert rates[name] <= 0.025


@pytest.mark.slow
def test_what_looking_costs() -> None:
    """10 % to 8 %, looks every day, N in 14 days: what may be looked at for ever has a power of 80 % between 1.5 N and 2 N."""
    power: dict[str, list[float]] = {}
    for times in (1.0, 1.5, 2.0):
        days = round(14 * times)
        found = stops((0.1, 0.08), days, N * times, 4000, np.random.default_rng(days))
        for name, at in found.items():
            power.setdefault(name, []).append(float(np.mean(at < NEVER)))
            half = f"{np.median(at) / 14:.2f} N" if np.median(at) < NEVER else "not reached"
            say(f"up to {times} N, {name}: power {power[name][-1]:.3f}, median stop {half}")
    assert power["group-sequential, O'Brien-Fleming"][0] > 0.76
    assert power["confidence sequence"][0] > 0.4
    for name in ("confidence sequence", "e-process, planned effect, history"):
        assert power[name][0] > 0.45
        assert power[name][1] < 0.8 < power[name][2]


def canary(
    share: float | Floats, rates: tuple[Floats | float, Floats | float], hours: int, rng: np.random.Generator
) -> Floats:
    """Hourly batches of 2,000 interactions in two arms."""
    treated = rng.binomial(2000, np.broadcast_to(share, hours))
    rows = [rng.binomial(2000 - treated, rates[0]), 2000 - treated, rng.binomial(treated, rates[1]), treated]
    return np.column_stack(rows).astype(np.float64)


RAMP = np.repeat([0.01, 0.05, 0.25, 0.5], 42)
WAVE = 0.005 * (1 + 0.5 * np.sin(np.arange(168) * 2 * np.pi / 24))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "share", "rates"),
    [
        ("5 %", 0.05, (0.005, 0.005)),
        ("95 %", 0.95, (0.005, 0.005)),
        ("half", 0.5, (0.2, 0.2)),
        ("a ramp 1, 5, 25, 50 %, rates in daily waves", RAMP, (WAVE, WAVE)),
    ],
)
def test_a_canary_that_is_no_worse_is_seldom_stopped(name: str, share: float, rates: tuple[float, float]) -> None:
    """168 hourly looks: false alarms of harm, and of its absence at the margin, are at most 2.5 %."""
    rng, runs, margin = np.random.default_rng(11), 400, 0.0025
    harm = passed = 0
    for _ in range(runs):
        harm += bool(guardrail_e(canary(share, rates, 168, rng)).max() >= ONE_SIDED)
        worse = canary(share, (rates[0], rates[1] + margin), 168, rng)
        passed += bool(noninferiority_e(worse, margin).max() >= ONE_SIDED)
    say(
        f"treatment share {name}, 168 hourly looks: false alarm of harm {harm / runs:.2%}, false pass {passed / runs:.2%}"
    )
    assert harm / runs <= 0.025
    assert passed / runs <= 0.025


@pytest.mark.slow
def test_how_long_a_canary_takes() -> None:
    """5 % of 2,000 an hour: 0.5 % to 0.8 % and to 1.5 % found, 0.5 % passed within 0.25 points; hours, beside one look."""
    rng, runs, hours = np.random.default_rng(12), 300, 336
    cases: dict[str, tuple[float, Callable[[Floats], Floats]]] = {
        "harm 0.5 % to 0.8 %": (0.008, guardrail_e),
        "harm 0.5 % to 0.8 %, planned": (0.008, lambda rows: guardrail_e(rows, ratio=1.6)),
        "harm 0.5 % to 1.5 %": (0.015, guardrail_e),
        "equal, margin 0.25 points": (0.005, lambda rows: noninferiority_e(rows, 0.0025)),
    }
    for name, (rate, log_e) in cases.items():
        at = first(np.array([log_e(canary(0.05, (0.005, rate), hours, rng)) for _ in range(runs)]) >= ONE_SIDED)
        shares = {h: float(np.mean(at <= h)) for h in (24, 72, 168, 336)}
        say(f"{name}: median {np.median(at):.0f} h; by hour " + ", ".join(f"{h}: {s:.2f}" for h, s in shares.items()))
        assert shares[336] > 0.75


@pytest.mark.slow
def test_a_split_that_is_looked_at_every_day() -> None:
    """28 daily looks at 1,000 users: a chi-square at p < 0.001 errs several times as often as it says, the e-process does not."""
    rng, days = np.random.default_rng(13), 28

    def alarms(share: float, true: float, per_day: int, runs: int) -> tuple[Floats, Floats]:
        treated = rng.binomial(per_day, true, (runs, days)).astype(np.float64)
        total, n = np.cumsum(treated, axis=1), per_day * np.arange(1, days + 1)
        z = (total - n * share) / np.sqrt(n * share * (1 - share))
        logs = np.array([split_e(per_day - row, row, share) for row in treated])
        return first(np.abs(z) > stats.norm.isf(0.0005)), first(logs >= math.log(1000))

    chi, e = (float(np.mean(at < NEVER)) for at in alarms(0.5, 0.5, 1000, 20_000))
    say(f"28 looks, no fault: chi-square at p < 0.001 {chi:.2%}, e-process {e:.3%}")
    assert chi > 0.005
    assert e <= 0.001 + 2 * math.sqrt(0.001 / 20_000)
    for share, true, per_day in ((0.5, 0.51, 4000), (0.5, 0.53, 500), (0.05, 0.055, 2000), (0.05, 0.03, 500)):
        late = alarms(share, true, per_day, 1000)
        days_to = [float(np.median(at)) for at in late]
        power = [float(np.mean(at < NEVER)) for at in late]
        say(
            f"planned {share}, true {true}, {per_day} a day: median days chi-square {days_to[0]:.0f}, e-process {days_to[1]:.0f};"
            f" found within 28 days {power[0]:.2f}, {power[1]:.2f}"
        )
        assert power[1] > 0.7


@pytest.mark.slow
def test_users_with_many_interactions() -> None:
    """Users with 6 interactions and a design effect of 3: plain counts err, counts divided by it keep 2.5 %."""
    rng, runs, days, users, p, correlation = np.random.default_rng(14), 1000, 28, 400, 0.1, 0.4
    size = (1 - correlation) / correlation
    wrong = {"plain counts": 0, "counts divided by 3": 0, "divided by 3, margin": 0, "the same users again": 0}
    for _ in range(runs):
        rates = rng.beta(p * size, (1 - p) * size, (days, 2, users))
        x = rng.binomial(6, rates).sum(axis=2).astype(np.float64)
        n = np.full(days, 6.0 * users)
        rows = np.column_stack([x[:, 0], n, x[:, 1], n])
        wrong["plain counts"] += bool(guardrail_e(rows).max() >= ONE_SIDED)
        wrong["counts divided by 3"] += bool(guardrail_e(rows / 3).max() >= ONE_SIDED)
        shifted = rng.beta((p + 0.02) * size, (1 - p - 0.02) * size, (days, users))
        worse = rng.binomial(6, shifted).sum(axis=1)
        at_edge = np.column_stack([x[:, 0], n, worse, n]) / 3
        wrong["divided by 3, margin"] += bool(noninferiority_e(at_edge, 0.02).max() >= ONE_SIDED)
        again = rng.binomial(6, rates[0], (days, 2, users)).sum(axis=2).astype(np.float64)
        wrong["the same users again"] += bool(
            guardrail_e(np.column_stack([again[:, 0], n, again[:, 1], n]) / 3).max() >= ONE_SIDED
        )
    for name, count in wrong.items():
        say(f"beta-binomial users, design effect 3, {name}: false alarms {count / runs:.1%}")
    assert wrong["plain counts"] / runs > 0.05
    assert wrong["counts divided by 3"] / runs <= 0.025
    assert wrong["divided by 3, margin"] / runs <= 0.025
