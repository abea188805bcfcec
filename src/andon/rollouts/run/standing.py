"""Experiments of which a look decided something."""

from andon.rollouts.notices import LATELY_US, Decided, decided_of
from andon.rollouts.records import Allocation, Decision, Experiment
from andon.store import Ledger

__all__ = ["decided_experiments"]


def decided_experiments(ledger: Ledger, now_us: int) -> list[Decided]:
    """Experiments that are decided and still run, or ended within the last day; in the order of their starts.

    Raises:
        StoreError: the ledger cannot be read.
    """
    splits = {v.record.experiment: v.record for v in ledger.history(Allocation)}
    found = []
    for split in splits.values():
        if now_us - min(split.until_us, split.until_us if split.ended_us is None else split.ended_us) > LATELY_US:
            continue  # most of them
        experiment = ledger.get(Experiment, split.experiment)
        decision = decided_of(ledger.all(Decision, begins=f"{split.experiment}@"))
        if experiment is not None and decision is not None:
            found.append(Decided(experiment=experiment, split=split, decision=decision))
    return found
