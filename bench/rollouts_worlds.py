"""Simulated experiments through the real decision: who comes, what is harmed, and how each run ends."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from andon.rollouts.arms import Pair, Split, Sums
from andon.rollouts.decide import decide
from andon.rollouts.effects import rate_effect
from andon.rollouts.findings import Guarded, Present
from andon.rollouts.records import Decision, Experiment

__all__ = ["DAY_US", "Ended", "World", "ended", "new_users", "returning_users", "shares"]

DAY_US = 86_400_000_000

World = Callable[[np.random.Generator], Iterator[tuple[Pair, ...]]]
"""What has come until each look: the primary metric, then each guardrail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one run ended."""

    outcome: str
    look: int
    naive: str
    """What p < 0.05 at any look would have done."""


def new_users(
    rates: tuple[tuple[float, float], ...], sizes: tuple[int, int], looks: int, *, interactions: int = 1,
    correlation: float = 0.0, part: tuple[float, ...] = (),
) -> World:  # fmt: skip
    """New users at every look, each with so many interactions; rates of control and treatment by metric.

    Args:
        rates: by metric.
        sizes: users of control and treatment in all looks together.
        looks: how many.
        interactions: of each user.
        correlation: of two interactions of one user; the design effect is 1 + (interactions - 1) correlation.
        part: share of the users on whom each metric is measured; all unless given.
    """

    def world(rng: np.random.Generator) -> Iterator[tuple[Pair, ...]]:
        so_far = [[Sums(), Sums()] for _ in rates]
        for look in range(looks):
            for k, by_arm in enumerate(rates):
                for arm, rate in enumerate(by_arm):
                    size = sizes[arm] * (part[k] if part else 1.0)
                    users = round(size * (look + 1) / looks) - round(size * look / looks)
                    p = _rates(rate, correlation, users, rng)
                    so_far[k][arm] += _users(rng.binomial(interactions, p, users), interactions)
            yield tuple((both[0], both[1]) for both in so_far)

    return world


def returning_users(rate: float, users: int, looks: int, correlation: float) -> World:
    """The same users come at every look, once each: their interactions resemble each other."""

    def world(rng: np.random.Generator) -> Iterator[tuple[Pair, ...]]:
        p = [_rates(rate, correlation, users, rng) for _ in range(2)]
        x = [np.zeros(users), np.zeros(users)]
        for look in range(looks):
            for arm in range(2):
                x[arm] += rng.random(users) < p[arm]
            both = (_users(x[0], look + 1), _users(x[1], look + 1))
            yield both, both

    return world


def ended(
    experiment: Experiment,
    world: World,
    looks: int,
    rng: np.random.Generator,
) -> Ended:
    """Run one experiment to its end: real decisions, one after the other."""
    decisions: list[Decision] = []
    naive, outcome = "", ""
    up = 1 if experiment.better == "up" and experiment.kind == "ab" else -1
    for look, pairs in enumerate(world(rng), 1):
        days = experiment.days * look / looks
        primary, guards = pairs[0], pairs[1:]
        seen = rate_effect(primary)
        if seen is not None and not naive and abs(seen.z) > 1.96:
            naive = "promote" if up * seen.z > 0 else "roll back"
        if not outcome:
            present = Present(
                at_us=round(days * DAY_US), days=days, last=look == looks, whole=look == looks,
                split=Split(round(primary[0].units), round(primary[1].units), 0, 0), primary=Guarded(pair=primary),
                segments={}, guards=tuple(Guarded(pair=g) for g in guards[: len(experiment.guardrails)]),
            )  # fmt: skip
            decisions.append(decide(experiment, decisions, present))
            if decisions[-1].outcome != "undecided":
                outcome = decisions[-1].outcome
    return Ended(outcome=outcome, look=len(decisions), naive=naive or "hold")


def shares(
    experiment: Experiment, world: World, looks: int, runs: int, seed: int
) -> tuple[dict[str, float], dict[str, float], float]:
    """Share of the runs that end in each way; the same of naive peeking; median share of the looks at the end."""
    rng = np.random.default_rng(seed)
    found = [ended(experiment, world, looks, rng) for _ in range(runs)]
    names = ("promote", "hold", "roll back")
    ours = {name: sum(e.outcome == name for e in found) / runs for name in names}
    naive = {name: sum(e.naive == name for e in found) / runs for name in names}
    return ours, naive, float(np.median([e.look for e in found])) / looks


def _rates(rate: float, correlation: float, users: int, rng: np.random.Generator) -> np.ndarray | float:
    if correlation == 0:
        return rate
    size = (1 - correlation) / correlation
    return np.asarray(rng.beta(rate * size, (1 - rate) * size, users))


def _users(x: np.ndarray, n: int) -> Sums:
    users, total = len(x), float(x.sum())
    return Sums(users, users * n, total, users * n, float((x * x).sum()), users * n * n, total * n)
