"""Laws of effects and boundaries."""

import math

import numpy as np
import pytest
from scipy import special

from andon.rollouts.arms import Sums
from andon.rollouts.effects import Seen, boundary, harm_limit, mean_effect, rate_effect
from andon.stats.group_sequential import bounds, crossing


def counted(x1: float, n1: float, x2: float, n2: float) -> Seen:
    """A rate effect with these effective counts."""
    return Seen(x1 / n1, x2 / n2, x2 / n2 - x1 / n1, 0.1, (x1, n1, x2, n2))


def test_harm_is_spent_by_the_clock() -> None:
    """The limits of hourly looks are together crossed in alpha, whatever comes at night; a look that adds nothing costs nothing."""
    night = [0.1 * k if k < 8 else k - 7.2 for k in range(1, 25)]
    looks = [((k + 1) / 24, came) for k, came in enumerate(night)]
    limits = [harm_limit(looks[: k + 1], 0.025) for k in range(24)]
    assert float(crossing(night, limits, 0.0).upper.sum()) == pytest.approx(0.025, abs=1e-6)
    silent = [(0.25, 10.0), (0.5, 10.0), (0.75, 10.0), (1.0, 20.0)]
    assert harm_limit(silent[:2], 0.025) < harm_limit(silent[:1], 0.025)
    assert harm_limit(silent, 0.025) == pytest.approx(harm_limit([silent[2], silent[3]], 0.025))
    assert harm_limit([(0.5, 0.0)], 0.025) == math.inf


def test_an_exact_z_errs_less_than_its_level_in_a_small_arm() -> None:
    """At 0.5 % and a share of 5 %, z of the pooled rate calls harm in more than its level, the exact one in at most that."""
    rng = np.random.default_rng(4)
    x = rng.binomial((950, 50), 0.01, (2_000, 2))
    seen = [
        rate_effect(tuple(Sums(n, n, k, n, k, n, k) for n, k in zip((950, 50), row, strict=True))) for row in x.tolist()
    ]
    assert np.mean([s.z > 1.96 for s in seen if s]) > 0.04
    assert np.mean([s.exact_z > 1.96 for s in seen if s]) <= 0.025


def test_each_arm_has_its_own_design_effect() -> None:
    """Users who ask more often in the treatment resemble themselves there: its counts shrink by more."""
    rng = np.random.default_rng(5)
    arms = []
    for users, each in ((4_000, 2), (4_000, 10)):
        y = rng.binomial(each, rng.beta(0.6, 1.4, users))
        arms.append(Sums(users, users * each, y.sum(), users * each, y @ y, users * each**2, each * y.sum()))
    seen = rate_effect((arms[0], arms[1]))
    assert seen is not None
    assert seen.counts is not None
    assert 8_000 / seen.counts[1] == pytest.approx(1 + 1 / 3, rel=0.05)
    assert 40_000 / seen.counts[3] == pytest.approx(1 + 9 / 3, rel=0.05)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
def test_skewed_values_are_not_called_lower_in_a_small_arm(sigma: float) -> None:
    """Costs of a lognormal law, 5 % of the users: Welch's z calls the small arm lower too often, ours in at most 2.5 % (and noise)."""
    rng, runs, sizes = np.random.default_rng(6), 800, (3_800, 200)
    found = []
    for _ in range(runs):
        y = [rng.lognormal(0, sigma, n) for n in sizes]
        pair = tuple(Sums(n, n, v.sum(), n, v @ v, n, v.sum()) for n, v in zip(sizes, y, strict=True))
        seen = mean_effect(pair)  # type: ignore[arg-type]
        welch = (y[1].mean() - y[0].mean()) / math.sqrt(sum(v.var(ddof=1) / len(v) for v in y))
        assert seen is not None
        found.append((welch < -1.96, seen.z < -1.96, seen.z > 1.96))
    naive, lower, higher = np.mean(found, axis=0)
    assert naive > 0.04
    assert max(lower, higher) <= 0.03


def test_boundaries_of_a_full_plan_are_those_of_the_method() -> None:
    """Group-sequential boundaries are those of `bounds`; a look that adds nothing has none; fixed has one, at its end."""
    times = [0.25, 0.5, 0.75, 1.0]
    found = [boundary("group sequential", times[: k + 1], times[k], 0.05, last=k == 3) for k in range(4)]
    assert found == pytest.approx(list(bounds(times)))
    assert boundary("group sequential", [0.25, None, 0.5, 0.5], 0.5, 0.05, last=False) == math.inf
    assert boundary("group sequential", [0.25, None, 0.5], 0.5, 0.05, last=False) == pytest.approx(
        bounds([0.25, 0.5])[1]
    )
    assert boundary("fixed", [0.5], 0.5, 0.05, last=False) == math.inf
    assert boundary("fixed", [0.5], 0.5, 0.05, last=True) == pytest.approx(1.96, abs=1e-3)


def test_the_last_look_of_a_small_test_spends_what_is_left() -> None:
    """With 60 % of the plan at its end, both sides together have spent alpha exactly."""
    times = [0.2, 0.4, 0.6]
    last = boundary("group sequential", times, 0.6, 0.05, last=True)
    earlier = [float(c) for c in bounds(times)]
    law = crossing(times, [*earlier[:2], last], 0.0)
    assert float((law.upper + law.lower).sum()) == pytest.approx(0.05, abs=1e-6)
    assert last < earlier[2]


def test_a_small_arm_without_events_keeps_noise() -> None:
    """Nothing harmed in either arm: the standard error is that of half an event, not 0."""
    seen = rate_effect((Sums(900, 900, 0, 900, 0, 900, 0), Sums(100, 100, 0, 100, 0, 100, 0)))
    assert seen is not None
    assert seen.estimate == 0
    assert seen.se == pytest.approx(math.sqrt(0.0005 * 0.9995 * (1 / 900 + 1 / 100)))


def test_a_huge_effect_has_a_number() -> None:
    """Beyond the smallest probability a machine knows, z goes on growing with what came, and is never infinite."""
    found = [counted(0, n, n, n).exact_z for n in (500, 600, 2_000, 20_000)]
    assert found == sorted(found)
    assert 36 < found[0] < 38 < found[1] < found[-1] < 400
    p = -counted(0, 480, 480, 480).exact_z  # the probability is 1 over the ways to choose 480 of 960
    assert special.log_ndtr(p) == pytest.approx(-math.log(math.comb(960, 480)), rel=1e-9)
    z = counted(0, 1_000, 1_000, 1_000).exact_z
    assert special.log_ndtr(-z) == pytest.approx(-math.log(math.comb(2_000, 1_000)), rel=1e-9)


def test_an_empty_arm_has_no_effect() -> None:
    """None where an arm has no interaction, for rates and means."""
    some = Sums(10, 10, 1, 10, 1, 10, 1)
    assert rate_effect((some, Sums())) is None
    assert mean_effect((Sums(), some)) is None


def test_no_interval_where_the_boundary_is_out_of_reach() -> None:
    """At an infinite boundary nothing is said."""
    assert counted(5, 100, 6, 50).interval(math.inf) is None
    assert counted(5, 100, 6, 50).interval(7.0) is not None
