"""Promised error rates, by simulation through the real decision; `bench/rollouts.py` has more runs and more worlds."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from test_decide import AB, CANARY

from andon.rollouts import Guardrail

ROOT = Path(__file__).parents[2]
LOOKS, RUNS, NOISE = 14, 400, 0.025
"""NOISE: three standard errors of 2.5 % in so many runs."""

PLAN = replace(AB, planned=(1_600, 1_600), effect=0.03)


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The simulations of the bench."""
    monkeypatch.syspath_prepend(str(ROOT))
    import bench.rollouts_worlds

    return bench.rollouts_worlds


@pytest.mark.slow
@pytest.mark.parametrize("method", ["group sequential", "confidence sequence", "fixed"])
def test_without_an_effect_promotions_and_roll_backs_are_rare(worlds: ModuleType, method: str) -> None:
    """Daily looks without an effect: at most 2.5 % promoted and 2.5 % rolled back; naive peeking errs several times as often."""
    plan = replace(PLAN, method=method)
    ours, naive, _ = worlds.shares(plan, worlds.new_users(((0.1, 0.1),), (1_600, 1_600), LOOKS), LOOKS, RUNS, 1)
    assert ours["promote"] <= 0.025 + NOISE
    assert ours["roll back"] <= 0.025 + NOISE
    assert naive["promote"] + naive["roll back"] > 0.15


@pytest.mark.slow
def test_the_planned_power_is_reached(worlds: ModuleType) -> None:
    """10 % to 7 % with 1,600 users in each arm (80 % at 14 looks needs about 1,430): promoted in four of five runs at least."""
    world = worlds.new_users(((0.1, 0.07),), (1_600, 1_600), LOOKS)
    ours, _, end = worlds.shares(PLAN, world, LOOKS, RUNS, 2)
    assert ours["promote"] >= 0.78
    assert end < 0.9


@pytest.mark.slow
def test_users_who_come_back_do_not_multiply_errors(worlds: ModuleType) -> None:
    """The same users at every look, correlated: primary and a guardrail on the same metric keep their rates."""
    plan = replace(PLAN, guardrails=(Guardrail(metric="refusal", margin=0.05),))
    ours, _, _ = worlds.shares(plan, worlds.returning_users(0.1, 1_200, LOOKS, 0.15), LOOKS, RUNS, 3)
    assert ours["promote"] <= 0.025 + NOISE
    assert ours["roll back"] <= 0.075


@pytest.mark.slow
def test_a_canary_errs_as_promised(worlds: ModuleType) -> None:
    """24 hourly looks: no harm is rolled back in at most 5 %, harm at the margin promoted in at most 2.5 %, great harm found."""
    sizes = (45_600, 2_400)
    good, bad, awful = (
        worlds.shares(CANARY, worlds.new_users(((0.005, p),), sizes, 24), 24, 150, 4)[0] for p in (0.005, 0.01, 0.02)
    )
    assert good["roll back"] <= 0.05
    assert bad["promote"] <= 0.025 + NOISE
    assert awful["roll back"] > 0.95
