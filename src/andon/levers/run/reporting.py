"""All that the ledger knows of an experiment: for its report, and for the lists of experiments."""

from collections.abc import Mapping
from dataclasses import dataclass

from andon.changes import Change
from andon.errors import InputError
from andon.levers.records import Version
from andon.levers.run.declaring import live_in
from andon.levers.run.splitting import allocation_of
from andon.rollouts import Allocation, Decision, Experiment
from andon.rollouts.report import Report, is_over
from andon.rollouts.run.reading import known_metric
from andon.rollouts.run.standing import late_look
from andon.scores import SCORERS
from andon.store import Ledger

__all__ = ["Step", "outlines_of", "report_of", "splits_of", "steps_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a promotion; they work in their order."""

    name: str
    """``end``, or ``staging`` and ``production``: where the version is made live."""
    done: bool


def report_of(ledger: Ledger, experiment: Experiment, now_us: int) -> Report:
    """All that a report of an experiment says; a list of many does with `outlines_of`.

    Raises:
        StoreError: the ledger failed.
    """
    looks = sorted(ledger.all(Decision, begins=f"{experiment.id}@"), key=lambda d: d.look or 0)
    gates = []
    for digest in () if experiment.lever is None else (experiment.treatment, experiment.control):
        version = None if digest is None else ledger.get(Version, f"{experiment.lever}@{digest}")
        if version is not None:
            gate = version.gates[-1] if version.gates else None
            said = "nobody asked it" if gate is None else f"{gate.outcome}: {gate.reason}"
            gates.append((f"{digest} ({'treatment' if digest == experiment.treatment else 'control'})", said))
    names = [f"lever-{experiment.lever}-{experiment.id}-{what}" for what in ("began", "ended")]
    changes = [change for name in names if (change := ledger.get(Change, name)) is not None]
    split = allocation_of(ledger, experiment.id)
    return Report(
        experiment=experiment, decisions=looks, allocation=split,
        written=[(v.at_us, v.by) for v in ledger.history(Experiment, experiment.id)], gates=gates,
        changes=[(c.at_us, c.id, c.title) for c in changes], now_us=now_us,
        should_rise=[g.metric for g in experiment.guardrails if _should_rise(g.metric)],
        late_us=None if split is None else late_look(experiment, split, looks, now_us),
    )  # fmt: skip


def outlines_of(ledger: Ledger, now_us: int) -> list[Report]:
    """Every experiment with its looks, the newest first: enough for its headline, and without what only a whole report says.

    Raises:
        StoreError: the ledger failed.
    """
    splits = splits_of(ledger)
    looks: dict[str | None, list[Decision]] = {}
    for decision in sorted(ledger.all(Decision), key=lambda d: d.look or 0):
        looks.setdefault(decision.experiment, []).append(decision)
    found = []
    for e in sorted(ledger.all(Experiment), key=lambda e: e.id, reverse=True):
        split, mine = splits.get(e.id), looks.get(e.id, [])
        late = None if split is None else late_look(e, split, mine, now_us)
        found.append(Report(experiment=e, decisions=mine, allocation=split, now_us=now_us, late_us=late))
    return found


def splits_of(ledger: Ledger) -> Mapping[str, Allocation]:
    """Experiment -> how it splits, or split; those that were never started are not in it.

    Raises:
        StoreError: the ledger failed.
    """
    return {v.record.experiment: v.record for v in ledger.history(Allocation)}


def steps_of(ledger: Ledger, report: Report) -> list[Step]:
    """What carries out a promotion, in the order in which it works: who splits cannot promote, and production takes what staging has.

    Empty where another system than Andon serves the versions.
    """
    e = report.experiment
    if e.lever is None:
        return []
    staging = ["staging"] if e.treatment is not None else []  # the default has no version that could be live there
    steps = [Step(name="end", done=is_over(report))]
    for place in dict.fromkeys([*staging, e.environment]):
        live = live_in(ledger, e.lever, place)
        steps.append(Step(name=place, done=(None if live is None else live.digest) == e.treatment))
    return steps


def _should_rise(metric: str) -> bool:
    """Whether a fall of a metric is harm; believed of one that nobody knows here, so that its figures are named as harm."""
    try:
        return not known_metric(metric, SCORERS).up_is_bad
    except InputError:
        return True
