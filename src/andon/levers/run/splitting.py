"""Start and end what splits users between two versions of a lever, as experiments ask for."""

import math
from dataclasses import replace

from andon.errors import InputError, StateError
from andon.levers.records import Lever, Promotion, Version
from andon.levers.registry import (
    MAX_HOLD_US,
    OURSELVES,
    check_approved,
    check_environment,
    find_version,
    line,
    same_value,
)
from andon.levers.run.declaring import in_the_way, known_lever, live_in, number_of, splitting
from andon.levers.run.reading import versions_of
from andon.levers.run.recording import named, put_once, record_split
from andon.rollouts import Allocation, Decision, Experiment
from andon.store import Ledger
from andon.traffic import format_time, quoted

__all__ = ["act_on", "allocation_of", "check_start", "settle_split", "start_split", "stop_split"]

DAY_US = 86_400_000_000


def start_split(ledger: Ledger, experiment: Experiment, *, why: str, by: str, now_us: int) -> Allocation:
    """Serve an experiment: from now on its share of the users is given the treatment.

    Of one on a field of traffic nothing is served: from now on it is looked at.

    Raises:
        InputError: the lever or a version is unknown, share or days are none, or why or by is empty.
        StateError: a version is not approved, the control is not what is live, another experiment splits the lever there, this
            one was started before, or somebody else started one, promoted or declared in the same moment.
    """
    if experiment.lever is None:
        return _watch(ledger, experiment, why=why, by=by, now_us=now_us)
    environment = check_environment(experiment.environment)
    name = f"{experiment.lever}:{environment}"
    beside = [number_of(ledger, Lever, experiment.lever), number_of(ledger, Promotion, name)]
    arms = (experiment.treatment, experiment.control)
    beside += [number_of(ledger, Version, f"{experiment.lever}@{digest}") for digest in arms if digest is not None]
    lever = known_lever(ledger, experiment.lever)
    why, by = line("why", why, 2_000), line("by", by, 200)
    check_start(ledger, experiment, now_us)
    if (before := ledger.get(Allocation, name)) is not None:
        settle_split(ledger, before, now_us)
    allocation = Allocation(
        id=name, experiment=experiment.id, lever=lever.id, environment=experiment.environment,
        control=experiment.control, treatment=experiment.treatment, share=experiment.share or 0.0,
        shadow=experiment.kind == "shadow", salt=f"{lever.id}:{experiment.id}", from_us=now_us,
        until_us=now_us + round(experiment.days * DAY_US), by=by, why=why,
    )  # fmt: skip
    number = number_of(ledger, Allocation, name)[2]
    what = f"started or ended an experiment on {lever.id} in {environment}, promoted a version or declared the lever"
    put_once(ledger, allocation, now_us=now_us, by=by, expect=number, lever_id=lever.id, what=what, beside=beside)
    record_split(ledger, allocation, now_us)
    return allocation


def check_start(ledger: Ledger, experiment: Experiment, now_us: int) -> None:
    """Whether an experiment could be started now, written down or not.

    Raises:
        InputError: the lever or a version is unknown, both are the same, or share or days are none.
        StateError: a version is not approved, the control is not what is live, another experiment splits the lever there, or this
            one was started before.
    """
    environment = check_environment(experiment.environment)
    _check_plan(experiment)
    if experiment.lever is None:
        return
    lever = known_lever(ledger, experiment.lever)
    versions, arms = versions_of(ledger, lever.id), (experiment.treatment, experiment.control)
    given = [None if digest is None else find_version(lever, versions, digest) for digest in arms]
    if environment == "production":
        for version in given:
            if version is not None:
                check_approved(version)
    values = [lever.default if v is None else v.value for v in given]
    if same_value(*values):
        raise InputError(f"treatment and control of {experiment.id} are the same; name two versions of {lever.id}")
    if allocation_of(ledger, experiment.id) is not None:
        raise StateError(f"{experiment.id} was started before; an experiment runs once: plan another one")
    if (other := splitting(ledger, lever.id, environment, now_us)) is not None:
        raise in_the_way(other)
    live = live_in(ledger, lever.id, environment)
    served = None if live is None else live.digest
    if experiment.control != served:
        raise StateError(
            f"control of {experiment.id} is {named(experiment.control)}, but {named(served)} of {lever.id} is live in {environment}, and "
            f"users have that again when the experiment ends: plan one whose control is {named(served)}, or promote the other first"
        )


def _watch(ledger: Ledger, experiment: Experiment, *, why: str, by: str, now_us: int) -> Allocation:
    """Begin to look at two values of a field: something else serves them, so no change is written and nothing is split."""
    environment, why, by = check_environment(experiment.environment), line("why", why, 2_000), line("by", by, 200)
    _check_plan(experiment)
    allocation = Allocation(
        id=f"{experiment.id}:{environment}", experiment=experiment.id, lever=None, environment=experiment.environment,
        control=experiment.control, treatment=experiment.treatment, share=0.0, salt="", from_us=now_us,
        until_us=now_us + round(experiment.days * DAY_US), by=by, why=why,
    )  # fmt: skip
    if ledger.latest(Allocation, allocation.id) is not None:
        raise StateError(f"{experiment.id} was started before; an experiment runs once: plan another one")
    ledger.put(allocation, now_us=now_us, by=by, expect=0)
    return allocation


def stop_split(ledger: Ledger, experiment_id: str, *, why: str, by: str, now_us: int) -> Allocation:
    """Take the treatment out: everybody has the control again. Of an experiment on a field only the looks end.

    Raises:
        InputError: the experiment was never started, or why or by is empty.
        StateError: it ended before, or somebody else ended it in the same moment.
    """
    why, by = line("why", why, 2_000), line("by", by, 200)
    known = allocation_of(ledger, experiment_id)
    if known is None:
        running = ", ".join(sorted(a.experiment for a in ledger.all(Allocation) if a.ended_us is None)) or "none"
        raise InputError(f"{quoted(experiment_id)} was never started, so there is nothing to stop; running: {running}")
    if known.ended_us is None:
        known = settle_split(ledger, known, now_us)
    if known.ended_us is not None:
        raise StateError(
            f"{known.experiment} ended at {format_time(known.ended_us)}: {quoted(known.ended_why or '', 100)}"
        )
    return _end(ledger, known, why=why, by=by, at_us=max(now_us, known.from_us), now_us=now_us)


def settle_split(ledger: Ledger, split: Allocation, now_us: int) -> Allocation:
    """A split of users after writing what follows from it: that it began, and its end when its time is over."""
    if split.ended_us is None and split.until_us <= now_us:
        try:
            return _end(ledger, split, why="its time is over", by=OURSELVES, at_us=split.until_us, now_us=now_us)
        except StateError:  # another process ended it a moment ago
            split = ledger.get(Allocation, split.id) or split
    record_split(ledger, split, now_us)
    return split


def act_on(ledger: Ledger, experiment: Experiment, decision: Decision, now_us: int) -> Allocation | None:
    """Take the treatment out where a decision says so and the plan wants it; None where nothing is done.

    Raises:
        StateError: somebody else ended it in the same moment.
    """
    split = allocation_of(ledger, experiment.id)
    if split is not None and split.lever is None:  # no lever's upkeep ends it
        settle_split(ledger, split, now_us)
        return None
    if decision.outcome != "roll back" or experiment.on_harm != "roll back":
        return None
    if split is None or split.ended_us is not None or split.until_us <= now_us:
        return None
    why = f"{decision.id}: {decision.reason}"[:2_000]
    return stop_split(ledger, experiment.id, why=why, by=f"rule of {experiment.by}"[:200], now_us=now_us)


def allocation_of(ledger: Ledger, experiment_id: str) -> Allocation | None:
    """How an experiment splits, or split; None where it was never started."""
    found = [v.record for v in ledger.history(Allocation) if v.record.experiment == experiment_id]
    return found[-1] if found else None


def _check_plan(experiment: Experiment) -> None:
    days = MAX_HOLD_US / DAY_US
    share = 0.5 if experiment.share is None and experiment.lever is None else experiment.share or 0.0
    if not (0 < share < 1 and math.isfinite(experiment.days) and 0 < experiment.days <= days):
        raise InputError(
            f"{experiment.id} gives the treatment to a share of {experiment.share} for {experiment.days} days; a share between 0 and 1 "
            f"and up to {days:.0f} days are allowed: plan another one"
        )


def _end(ledger: Ledger, split: Allocation, *, why: str, by: str, at_us: int, now_us: int) -> Allocation:
    """End the split of a lever: everybody has again what is live. A change says so.

    Raises:
        StateError: it had ended, or somebody else ended it in the same moment.
    """
    latest = ledger.latest(Allocation, split.id)
    assert latest is not None, "what is ended was read from the ledger"
    if latest.record.experiment != split.experiment or latest.record.ended_us is not None:
        raise StateError(
            f"{split.experiment} had ended", commands=f"`andon rollout show {split.experiment}`, which says how"
        )
    ended = replace(latest.record, ended_us=at_us, ended_by=by, ended_why=why)
    if split.lever is None:
        ledger.put(ended, now_us=now_us, by=by, expect=latest.version)
        return ended
    what = f"ended {split.experiment}"
    put_once(ledger, ended, now_us=now_us, by=by, expect=latest.version, lever_id=split.lever, what=what)
    record_split(ledger, ended, now_us)
    return ended
