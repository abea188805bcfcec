"""Experiments of which a look decided something, and those of which a look is not taken."""

from collections.abc import Iterator, Sequence

from andon.rollouts.notices import HARM_US, LATELY_US, Decided, decided_of
from andon.rollouts.records import Allocation, Decision, Experiment
from andon.rollouts.run.looking import SETTLE_US, is_over, look_times
from andon.store import Ledger

__all__ = ["decided_experiments", "late_look", "late_looks"]

LATE_US = 3_600_000_000
"""A look that is not written so long after it was due is told to wait."""

KEPT_US = 30 * LATELY_US
"""An experiment that ended longer ago is not read any more: the loop asks at every turn."""


def decided_experiments(ledger: Ledger, now_us: int) -> list[Decided]:
    """Experiments that are decided and still run, or ended or were decided within the last day; in the order of their starts.

    The end may be decided long after it, where no server ran. What harms and is served by something else than Andon stays for a week.

    Raises:
        StoreError: the ledger cannot be read.
    """
    found = []
    for experiment, split, looks in _recent(ledger, now_us):
        decision = decided_of(looks)
        written = None if decision is None else ledger.latest(Decision, decision.id)
        if written is None:
            continue
        decided = Decided(experiment=experiment, split=split, decision=written.record)
        if now_us - max(_end(split), written.at_us) <= (HARM_US if decided.left_served else LATELY_US):
            found.append(decided)
    return found


def late_looks(ledger: Ledger, now_us: int) -> list[tuple[str, int]]:
    """(experiment, since when it is due) of looks that are not written, as `late_look` says it, in the order of their starts.

    Raises:
        StoreError: the ledger cannot be read.
    """
    found = [(e.id, late_look(e, split, looks, now_us)) for e, split, looks in _recent(ledger, now_us)]
    return [(name, due_us) for name, due_us in found if due_us is not None]


def late_look(experiment: Experiment, split: Allocation, looks: Sequence[Decision], now_us: int) -> int | None:
    """Since when the earliest look that is not written is due; None where that is less than an hour, or nothing is left to look at.

    By time alone: why it waits, `waits_for` says.
    """
    if is_over(experiment, split, looks):
        return None
    due_us = look_times(experiment, split)[len(looks)] + SETTLE_US
    return due_us if due_us + LATE_US <= now_us else None


def _recent(ledger: Ledger, now_us: int) -> Iterator[tuple[Experiment, Allocation, list[Decision]]]:
    """Experiments that run, or ended or were decided not long ago, with their splits and looks."""
    splits = {v.record.experiment: v.record for v in ledger.history(Allocation)}
    for split in splits.values():
        if now_us - _end(split) > KEPT_US:
            continue  # most of them
        experiment = ledger.get(Experiment, split.experiment)
        if experiment is None:
            continue
        last = ledger.latest(Decision, f"{split.experiment}@{len(look_times(experiment, split)):04d}")
        if (
            last is None or now_us - max(_end(split), last.at_us) <= HARM_US
        ):  # else hundreds of looks are read for nothing
            looks = ledger.all(Decision, begins=f"{split.experiment}@")
            yield experiment, split, sorted(looks, key=lambda d: d.look or 0)


def _end(split: Allocation) -> int:
    return split.until_us if split.ended_us is None else min(split.ended_us, split.until_us)
