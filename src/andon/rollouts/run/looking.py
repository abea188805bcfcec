"""Look at experiments at the fixed times of their plan, and write what each look decides."""

from collections.abc import Sequence

from andon.errors import StateError
from andon.rollouts.decide import decide
from andon.rollouts.records import Allocation, Decision, Experiment
from andon.rollouts.run.reading import present_of
from andon.scores import Scorer
from andon.scores.run import unscored_from
from andon.store import Ledger, Warehouse

__all__ = ["SETTLE_US", "is_over", "look_at", "look_times", "waits_for"]

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


def is_over(experiment: Experiment, allocation: Allocation, looks: Sequence[Decision]) -> bool:
    """Whether nothing is left to look at: harm is shown, or the look at the end is written.

    After any other decision the looks go on, for harm, because users are still served the treatment.
    """
    return looks[-1:] != [] and (
        looks[-1].outcome == "roll back" or len(looks) >= len(look_times(experiment, allocation))
    )


def waits_for(
    warehouse: Warehouse, ledger: Ledger, experiment: Experiment, allocation: Allocation, now_us: int
) -> int | None:
    """When the earliest interaction happened that a look which is due would miss, because it came and is not scored yet.

    Such a look waits: it would be written without what came, and is never taken again.

    Raises:
        StoreError: the store refused.
    """
    looks = _looks(ledger, experiment)
    due = [] if is_over(experiment, allocation, looks) else _due(experiment, allocation, len(looks), now_us)
    unscored = unscored_from(warehouse, ledger, experiment.app) if due else None
    return unscored if unscored is not None and unscored < due[0] else None


def look_at(
    warehouse: Warehouse,
    ledger: Ledger,
    scorers: Sequence[Scorer],
    experiment: Experiment,
    allocation: Allocation,
    now_us: int,
) -> list[Decision]:
    """Take the looks that are due, the earliest first, and write their decisions; returns the new ones.

    A look reads what happened until its time only, and waits until all of that which came is scored. Looks go on until `is_over`.
    Two who look at once write the same; who comes second writes nothing.

    Args:
        warehouse: holds the tables ``interactions`` and ``scores``.
        ledger: has the looks so far, and gets the new ones.
        scorers: whose metrics are known.
        experiment: the plan.
        allocation: how its users are split, or were.
        now_us: the clock; a look is due `SETTLE_US` after its time.

    Raises:
        StoreError: the store refused; what was decided before is written.
    """
    looks = _looks(ledger, experiment)
    due = _due(experiment, allocation, len(looks), now_us)
    unscored = unscored_from(warehouse, ledger, experiment.app) if due else None
    new: list[Decision] = []
    for at_us in due:
        if is_over(experiment, allocation, looks) or (unscored is not None and unscored < at_us):
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


def _looks(ledger: Ledger, experiment: Experiment) -> list[Decision]:
    return sorted(ledger.all(Decision, begins=f"{experiment.id}@"), key=lambda d: d.look or 0)


def _due(experiment: Experiment, allocation: Allocation, taken: int, now_us: int) -> list[int]:
    return [at_us for at_us in look_times(experiment, allocation)[taken:] if at_us + SETTLE_US <= now_us]
