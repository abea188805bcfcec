"""Look at experiments at the fixed times of their plan, and write what each look decides."""

from collections.abc import Sequence

from andon.errors import StateError
from andon.rollouts.decide import decide
from andon.rollouts.records import Allocation, Decision, Experiment
from andon.rollouts.run.reading import present_of
from andon.scores import Scorer
from andon.store import Ledger, Warehouse

__all__ = ["SETTLE_US", "look_at", "look_times"]

SETTLE_US = 5 * 60_000_000
"""How long after its time a look is taken: traffic that comes later is in the next one."""

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


def look_times(experiment: Experiment, allocation: Allocation) -> list[int]:
    """When an experiment is looked at: at every day of an A/B, at every hour of a canary or shadow, and at its end.

    Counted from its start, so that the same traffic gives the same decisions whenever somebody asks.
    """
    step = _DAY_US if experiment.kind == "ab" else _HOUR_US
    end = allocation.until_us if allocation.ended_us is None else min(allocation.ended_us, allocation.until_us)
    return [*range(allocation.from_us + step, end, step), end]


def look_at(
    warehouse: Warehouse,
    ledger: Ledger,
    scorers: Sequence[Scorer],
    experiment: Experiment,
    allocation: Allocation,
    now_us: int,
) -> list[Decision]:
    """Take the looks that are due, the earliest first, and write their decisions; returns the new ones.

    A look reads what happened until its time only. The first decision that is not "undecided" is the last one. Two who look at once
    write the same; who comes second writes nothing.

    Args:
        warehouse: holds the table ``scores``.
        ledger: has the looks so far, and gets the new ones.
        scorers: whose metrics are known.
        experiment: the plan.
        allocation: how its users are split, or were.
        now_us: the clock; a look is due `SETTLE_US` after its time.

    Raises:
        StoreError: the store refused; what was decided before is written.
    """
    looks = ledger.all(Decision, begins=f"{experiment.id}@")
    looks.sort(key=lambda d: d.look or 0)
    new: list[Decision] = []
    for at_us in look_times(experiment, allocation)[len(looks) :]:
        if at_us + SETTLE_US > now_us or (looks and looks[-1].outcome != "undecided"):
            break
        decision = decide(experiment, looks, present_of(warehouse, scorers, experiment, allocation, at_us))
        try:
            ledger.put(decision, now_us=now_us, by="rollouts", expect=0)
        except StateError:  # another process looked in the same moment
            decision = ledger.get(Decision, decision.id) or decision
        else:
            new.append(decision)
        looks.append(decision)
    return new
