"""What a turn of the crank does about levers: rules pull, decisions take treatments out, holds expire, effects are measured."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from andon.levers.records import Pull
from andon.levers.rules import PullRule
from andon.levers.run.automatic import Freeze, pull_by_rules
from andon.levers.run.effects import measure_effects
from andon.levers.run.splitting import act_on
from andon.monitors import Signal
from andon.rollouts import Allocation, Decision, Experiment
from andon.rollouts.run import look_at
from andon.rollouts.run.looking import is_over
from andon.scores import Scorer
from andon.store import Ledger, Warehouse

__all__ = ["Turned", "look_and_act", "turn_levers"]


class Turned(NamedTuple):
    """What a turn did about levers."""

    decided: tuple[Decision, ...] = ()
    """New looks at experiments."""
    stopped: tuple[Allocation, ...] = ()
    """Experiments whose treatment was taken out because of harm."""

    pulled: tuple[Pull, ...] = ()
    refused: tuple[str, ...] = ()
    """Why a rule could not pull, each reason once."""
    retold: tuple[str, ...] = ()
    """Incidents whose timeline tells the effect of a pull now."""


def turn_levers(
    warehouse: Warehouse,
    ledger: Ledger,
    rules: Sequence[PullRule],
    *,
    scorers: Sequence[Scorer],
    expire: Callable[[int], object],
    finished: set[str] | None = None,
    fresh: Iterable[Signal] = (),
    freeze: Freeze | None = None,
    now_us: int,
    failed: Callable[[Exception], object],
) -> Turned:
    """Expire, pull by rule, look at experiments and take out what harms, measure. One that fails keeps no other from being done.

    Args:
        warehouse: traffic and scores.
        ledger: levers, pulls and incidents.
        rules: that people wrote.
        scorers: whose metrics experiments are about.
        expire: ends what is over (an `Expiry` of this ledger).
        finished: experiments that ended and whose last look is written: they are left out, and those that are found so are added.
            Who turns again gives the same set; without it the decisions of all experiments that ever ran are read.
        fresh: signals of this turn, after each has its incident.
        freeze: called before each pull.
        now_us: the clock.
        failed: is told what failed.
    """
    done, over = Turned(), set() if finished is None else finished
    try:
        expire(now_us)
    except Exception as error:  # whatever it is, the rest of the turn is not to suffer
        failed(error)
    try:
        told = pull_by_rules(warehouse, ledger, rules, fresh=fresh, freeze=freeze, now_us=now_us)
        done = done._replace(
            pulled=tuple(t.pull for t in told if t.pull is not None),
            refused=tuple(f"{t.rule.name}: {t.refused}" for t in told if t.refused),
        )
    except Exception as error:
        failed(error)
    decided, stopped = _look_at_all(warehouse, ledger, scorers, over, now_us, failed)
    done = done._replace(decided=decided, stopped=stopped)
    try:
        done = done._replace(retold=tuple(measure_effects(warehouse, ledger, now_us).retold))
    except Exception as error:
        failed(error)
    return done


def _look_at_all(
    warehouse: Warehouse,
    ledger: Ledger,
    scorers: Sequence[Scorer],
    over: set[str],
    now_us: int,
    failed: Callable[[Exception], object],
) -> tuple[tuple[Decision, ...], tuple[Allocation, ...]]:
    """Look at every experiment that is not over, and add those that are now; the new looks, and the splits that were ended."""
    decided: list[Decision] = []
    stopped: list[Allocation] = []
    splits = {v.record.experiment: v.record for v in ledger.history(Allocation)}
    for split in (s for name, s in splits.items() if name not in over):
        try:
            experiment = ledger.get(Experiment, split.experiment)
            if experiment is None:
                continue
            made, ended = look_and_act(warehouse, ledger, scorers, experiment, split, now_us)
            decided += made
            stopped += [] if ended is None else [ended]
            if _is_finished(ledger, experiment, split):
                over.add(experiment.id)
        except Exception as error:
            failed(error)
    return tuple(decided), tuple(stopped)


def look_and_act(
    warehouse: Warehouse,
    ledger: Ledger,
    scorers: Sequence[Scorer],
    experiment: Experiment,
    split: Allocation,
    now_us: int,
) -> tuple[list[Decision], Allocation | None]:
    """Look at an experiment that runs or has just ended, and take its treatment out where the last look says so.

    The last look, not only a new one: what a crash kept from being done is done by the next turn.

    Args:
        warehouse: traffic and scores.
        ledger: has the experiment, and gets the decisions.
        scorers: whose metrics are known.
        experiment: the plan.
        split: how its users are split, or were.
        now_us: the clock.

    Returns:
        The new looks, and the split if it was ended now.

    Raises:
        StoreError: the store refused.
        StateError: somebody else ended the split in the same moment.
    """
    made = look_at(warehouse, ledger, scorers, experiment, split, now_us)
    looks = [] if split.ended_us is not None else ledger.all(Decision, begins=f"{experiment.id}@")
    return made, act_on(ledger, experiment, looks[-1], now_us) if looks else None


def _is_finished(ledger: Ledger, experiment: Experiment, split: Allocation) -> bool:
    """Whether an experiment has ended and nothing is left to look at."""
    if split.ended_us is None:
        return False
    return is_over(experiment, split, ledger.all(Decision, begins=f"{experiment.id}@"))
