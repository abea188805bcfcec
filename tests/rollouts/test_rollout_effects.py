"""Laws of effects, boundaries and of what an e-process is told."""

import math

import numpy as np
import pytest

from andon.rollouts.arms import Sums
from andon.rollouts.effects import Seen, boundary, mean_effect, rate_effect, told_next
from andon.stats.group_sequential import bounds, crossing


def counted(x1: float, n1: float, x2: float, n2: float) -> Seen:
    """A rate effect with these effective counts."""
    return Seen(x1 / n1, x2 / n2, x2 / n2 - x1 / n1, 0.1, 1.0, (x1, n1, x2, n2))


def test_an_e_process_is_told_what_grew() -> None:
    """Told counts follow the effective counts while these grow."""
    told = told_next(counted(5, 100, 6, 50), None)
    assert told == (5, 100, 6, 50)
    assert told_next(counted(9, 180, 8, 90), told) == (9, 180, 8, 90)


def test_an_e_process_is_never_told_less() -> None:
    """Where effective counts fall (a greater design effect), nothing is taken back, and a later look makes up for it."""
    told = (5.0, 100.0, 6.0, 50.0)
    assert told_next(counted(4, 80, 5, 40), told) == told
    assert told_next(counted(7, 120, 8, 60), told) == (7, 120, 8, 60)
    assert told_next(None, told) == told
    assert told_next(None, None) is None


def test_an_increment_has_no_more_events_than_interactions() -> None:
    """Whatever effective counts do, each increment is a possible count: 0 <= events <= size."""
    rng = np.random.default_rng(2)
    told = None
    for _ in range(200):
        n1, n2 = rng.uniform(1, 100, 2)
        before = np.array(told or (0, 0, 0, 0))
        told = told_next(counted(rng.uniform(0, n1), n1, rng.uniform(0, n2), n2), told)
        assert told is not None
        step = np.array(told) - before
        assert (step >= 0).all()
        assert step[0] <= step[1] + 1e-9
        assert step[2] <= step[3] + 1e-9


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


def test_an_empty_arm_has_no_effect() -> None:
    """None where an arm has no interaction, for rates and means."""
    some = Sums(10, 10, 1, 10, 1, 10, 1)
    assert rate_effect((some, Sums())) is None
    assert mean_effect((Sums(), some)) is None


def test_no_interval_where_the_boundary_is_out_of_reach() -> None:
    """At an infinite boundary nothing is said."""
    assert counted(5, 100, 6, 50).interval(math.inf) is None
    assert counted(5, 100, 6, 50).interval(7.0) is not None
