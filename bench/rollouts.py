"""Errors and power of rollouts: simulated experiments through the real decision, promised beside measured."""

import math
from dataclasses import replace
from typing import Literal

from andon.rollouts.records import Experiment, Guardrail
from bench.figures import figure, note
from bench.rollouts_worlds import World, new_users, returning_users, shares

__all__ = ["run"]

RUNS = 500
"""Of each world: about 40 ms for each at 14 looks, and 130 ms at 28."""
N = 3_350
"""Users of each arm that find 10 % against 8 % with a power of 80 % at 14 looks (3,213 with one)."""

AB = Experiment(
    id="EXP-0001", kind="ab", app="bot", lever="prompt", control=None, treatment="aaaaaaaaaaaa", share=0.5, hypothesis="fewer",
    metric="refusal", better="down", effect=0.02, base=0.1, planned=(N, N), days=14.0, by="bench", at_us=0,
)  # fmt: skip
GUARDS = (Guardrail(metric="error", margin=0.02), Guardrail(metric="error", margin=0.04, risk_category="high"))
CANARY = replace(
    AB, kind="canary", metric="error", effect=0.005, base=0.005, share=0.05, days=1.0, planned=(45_600, 2_400),
    guardrails=(Guardrail(metric="error", margin=0.01, risk_category="high"),),
)  # fmt: skip
METHODS: tuple[Literal["group sequential", "confidence sequence", "fixed"], ...] = (
    "group sequential",
    "confidence sequence",
    "fixed",
)
EQUAL, BETTER = (0.1, 0.1), (0.1, 0.08)
GUARDED = ((0.02, 0.02), (0.02, 0.02))
PART = (1.0, 1.0, 0.25)


def run() -> None:
    """Every simulation."""
    _ab(14)
    _ab(28)
    _clusters()
    _canary()


def _ab(looks: int) -> None:
    for method in METHODS:
        plan = replace(AB, method=method, days=float(looks))
        name = f"rollouts.ab{looks}.{method.replace(' ', '_')}"
        _told(
            name,
            plan,
            new_users((EQUAL,), (N, N), looks),
            looks,
            promote=2.5,
            roll_back=2.5,
            naive=method == METHODS[0],
        )
        guarded = replace(plan, guardrails=GUARDS)
        world = new_users((EQUAL, *GUARDED), (N, N), looks, part=PART)
        _told(f"{name}.guarded", guarded, world, looks, promote=2.5, roll_back=7.5)
        found, _, end = shares(plan, new_users((BETTER,), (N, N), looks), looks, RUNS, 3)
        figure(f"{name}.power", 100 * found["promote"], "%", "planned", 80.0)
        figure(f"{name}.power.end", end, "of the plan")
        found, _, _ = shares(guarded, new_users((BETTER, *GUARDED), (N, N), looks, part=PART), looks, RUNS, 4)
        figure(f"{name}.power.guarded", 100 * found["promote"], "%", "planned", 80.0)
    harm = new_users((BETTER, (0.02, 0.02), (0.02, 0.06)), (N, N), looks, part=PART)
    found, _, end = shares(replace(AB, days=float(looks), guardrails=GUARDS), harm, looks, RUNS, 5)
    figure(f"rollouts.ab{looks}.harm_under_a_good_primary.roll_back", 100 * found["roll back"], "%")
    figure(f"rollouts.ab{looks}.harm_under_a_good_primary.promote", 100 * found["promote"], "%")


def _clusters() -> None:
    """Design effect 3; harm is guarded on the same metric, so errors of all three kinds are counted."""
    looks = 14
    guarded = replace(AB, guardrails=(Guardrail(metric="refusal", margin=0.05),))
    new = new_users((EQUAL, EQUAL), (N, N), looks, interactions=6, correlation=0.4)
    _told("rollouts.users_with_6_interactions", guarded, new, looks, promote=2.5, roll_back=7.5, naive=True)
    same = returning_users(0.1, 2_000, looks, 0.15)
    _told("rollouts.users_who_come_every_day", guarded, same, looks, promote=2.5, roll_back=7.5, naive=True)


def _canary() -> None:
    looks, sizes, part = 24, (45_600, 2_400), (1.0, 0.25)
    for harmed in (0.005, 0.008, 0.01, 0.015):
        rates = ((0.005, harmed), (0.005, 0.005))
        found, naive, end = shares(CANARY, new_users(rates, sizes, looks, part=part), looks, RUNS, 6)
        name = f"rollouts.canary.harm_{100 * harmed:g}"
        promised = {0.005: ("at most", 5.0, None), 0.01: ("at most", None, 2.5)}.get(harmed, (None, None, None))
        figure(f"{name}.roll_back", 100 * found["roll back"], "%", promised[0] if promised[1] else None, promised[1])
        figure(f"{name}.promote", 100 * found["promote"], "%", promised[0] if promised[2] else None, promised[2])
        figure(f"{name}.naive_roll_back", 100 * naive["roll back"], "%")
        figure(f"{name}.end", end, "of the plan")


def _told(
    name: str, plan: Experiment, world: World, looks: int, *, promote: float, roll_back: float, naive: bool = False
) -> None:
    found, peeked, _ = shares(plan, world, looks, RUNS, looks)
    noise = 100 * math.sqrt(0.025 * 0.975 / RUNS)
    note(f"{name}: {found}, {RUNS} runs, standard error of 2.5 % {noise:.1f} %")
    figure(f"{name}.false_promotion", 100 * found["promote"], "%", "at most", promote)
    figure(f"{name}.false_roll_back", 100 * found["roll back"], "%", "at most", roll_back)
    if naive:
        figure(f"{name}.naive_promotion", 100 * peeked["promote"], "%", "at most", promote)
        figure(f"{name}.naive_roll_back", 100 * peeked["roll back"], "%", "at most", roll_back)


if __name__ == "__main__":
    run()
