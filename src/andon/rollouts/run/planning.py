"""Write plans down before anything is served, from what recent traffic shows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc

from andon.errors import InputError, StateError
from andon.rollouts.records import Allocation, Experiment
from andon.rollouts.run.comparing import known_metric
from andon.rollouts.run.reading import folded
from andon.scores import SCORERS, Scorer
from andon.scores.rows import PROBE
from andon.settings import is_high_risk
from andon.stats.two_sample import clustered, moments, user_design_effect
from andon.store import Ledger, Rollup, Span, Warehouse, Where
from andon.traffic import quoted

__all__ = [
    "Recent",
    "change_plan",
    "check_changeable",
    "find_experiment",
    "recent_traffic",
    "risk_metrics",
    "write_plan",
]

_DAY_US = 86_400_000_000
RECENT_US = 7 * _DAY_US

FEWEST = 100
"""Interactions that a metric needs before it becomes a guardrail by itself."""

GUARDED = ("error", "refusal", "groundedness", "guardrail_block", "citation_valid", "tool_error")
"""Metrics that guard a rollout unless others are named: where the application is scored by them, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """One metric in the traffic of the last seven days."""

    users: int
    """Who came; interactions that name no user count as one each."""
    per_day: float
    """Users a day: all of them over the days since the first interaction, so that who comes daily counts once."""
    interactions: int
    mean: float
    """Rate or mean."""
    spread: float | None
    """Standard deviation of a user's mean; None for a rate."""
    design_effect: float
    """What divides users: the design effect over the interactions of a user. 1 where interactions name no user."""
    unnamed: int
    """Interactions that name no user."""


def recent_traffic(
    warehouse: Warehouse, app: str, environment: str, metric: str, now_us: int, *,
    scorers: Sequence[Scorer] = SCORERS, risk: str | None = None,
) -> Recent | None:  # fmt: skip
    """What an application's last seven days in one environment say of a metric, for a plan; None where nothing came.

    Args:
        warehouse: holds the table ``scores``.
        app: the application.
        environment: where the experiment shall run.
        metric: of a scorer, or one that people give.
        now_us: the clock.
        scorers: whose metrics are known.
        risk: only this risk category, however it is spelt.

    Raises:
        InputError: the metric is unknown.
    """
    kind = known_metric(metric, scorers).kind
    where, span = _of(app, environment), Span(start_us=now_us - RECENT_US, end_us=now_us)
    if risk is not None:
        spelt = tuple(r for r in _risks(warehouse, where, span) if folded(r) == folded(risk))
        if not spelt:
            return None
        where = (*where, Where(column="risk_category", op="in", value=spelt))
    plan = Rollup(
        table="scores", metrics=(metric, "time_us"), measures=("n", "sum", "sumsq", "min", "w", "wsum"), keys=("user_id",), span=span,
        where=(*where, Where(column=metric, op="not_null")),
    )  # fmt: skip
    rows = warehouse.run(plan)
    if not rows.num_rows:
        return None
    n, x, xx = (np.asarray(rows.column(f"{metric}.{m}"), dtype=np.float64) for m in ("n", "sum", "sumsq"))
    named = np.asarray(pc.is_valid(rows.column("user_id")))
    first = float(np.min(np.asarray(rows.column("time_us.min"), dtype=np.float64)))
    days = max(1.0, (now_us - first) / _DAY_US)
    alone = float(n[~named].sum())
    users, total = named.sum() + alone, float(n.sum())
    # of users; an interaction that names none is one, with n = 1 and x its value
    sums = (float((x[named] ** 2).sum() + xx[~named].sum()), float((n[named] ** 2).sum() + alone), float((x * n)[named].sum() + x[~named].sum()))  # fmt: skip
    by_user = clustered(float(users), float(x.sum()), total, *sums)
    of_all = moments(total, float(x.sum()), float(xx.sum()))
    effect = user_design_effect(by_user, of_all)
    weight, weighed = (float(np.sum(np.asarray(rows.column(f"{metric}.{m}"), dtype=np.float64))) for m in ("w", "wsum"))
    return Recent(
        users=round(float(users)), per_day=float(users) / days, interactions=round(total),
        mean=weighed / weight if weight > 0 else of_all.mean,
        spread=None if kind == "binary" else float(np.sqrt(by_user.variance)),
        design_effect=1.0 if effect is None or kind != "binary" else effect * float(users) / total, unnamed=round(alone),
    )  # fmt: skip


def risk_metrics(
    warehouse: Warehouse, app: str, environment: str, now_us: int, scorers: Sequence[Scorer] = SCORERS
) -> tuple[list[str], list[str]]:
    """Metrics that guard a rollout of this application by default, and its high-risk categories, from the last seven days.

    Spellings of one category are one: high of ``High`` and `` high``, so that what guards it does not share its error rate with itself.
    """
    known = [m for m in GUARDED if any(s.name == m for s in scorers)]
    where, span = _of(app, environment), Span(start_us=now_us - RECENT_US, end_us=now_us)
    rows = warehouse.run(Rollup(table="scores", metrics=tuple(known), measures=("n",), span=span, where=where))
    risks = dict.fromkeys(folded(r) for r in _risks(warehouse, where, span) if is_high_risk(r))
    return [m for m in known if (pc.sum(rows.column(f"{m}.n")).as_py() or 0) >= FEWEST], list(risks)


def write_plan(ledger: Ledger, experiment: Experiment, *, now_us: int) -> Experiment:
    """Write an experiment under the next number (``EXP-0001``); its own id is not used.

    Raises:
        StateError: somebody else wrote one in the same moment.
    """
    numbers = [int(found[1]) for _, name in ledger.ids(Experiment) if (found := re.fullmatch(r"EXP-(\d+)", name))]
    written = replace(experiment, id=f"EXP-{max(numbers, default=0) + 1:04d}")
    ledger.put(written, now_us=now_us, by=experiment.by, expect=0)
    return written


def change_plan(ledger: Ledger, experiment: Experiment, *, now_us: int) -> Experiment:
    """Write another plan under the id of one that was not started yet.

    Raises:
        InputError: there is no such experiment.
        StateError: as for `check_changeable`; or somebody else changed it just now.
    """
    latest = ledger.latest(Experiment, experiment.id)
    known = check_changeable(ledger, experiment.id, lever=experiment.lever, kind=experiment.kind)
    written = replace(experiment, id=known.id)
    ledger.put(written, now_us=now_us, by=experiment.by, expect=0 if latest is None else latest.version)
    return written


def check_changeable(ledger: Ledger, named: str, *, lever: str, kind: str) -> Experiment:
    """The experiment, where its plan may still be changed.

    Raises:
        InputError: there is no such experiment.
        StateError: it was started: a hypothesis is not changed once results may be known. Or it is of another lever or kind.
    """
    known = find_experiment(ledger, named)
    if any(v.record.experiment == known.id for v in ledger.history(Allocation)):
        raise StateError(
            f"{known.id} was started, and what was to be shown is not changed once results may be known; plan another experiment"
        )
    if (known.lever, known.kind) != (lever, kind):
        raise StateError(f"{known.id} is a {known.kind} of {known.lever} and stays one; plan another experiment")
    return known


def find_experiment(ledger: Ledger, named: str) -> Experiment:
    """The experiment of this id, in any case; ``1`` is ``EXP-0001``.

    Raises:
        InputError: there is none; names those there are.
    """
    name = named.strip().upper()
    name = f"EXP-{int(name):04d}" if re.fullmatch(r"[0-9]{1,6}", name, re.ASCII) else name
    found = ledger.get(Experiment, name)
    if found is None:
        there = ", ".join(name for _, name in ledger.ids(Experiment)[-10:]) or "none yet: `andon rollout ab` plans one"
        raise InputError(f"there is no experiment {quoted(named)}; there are: {there}")
    return found


def _of(app: str, environment: str) -> tuple[Where, ...]:
    there = Where(column="environment", op="eq", value=environment)
    return Where(column="app", op="eq", value=app), there, Where(column="source", op="ne", value=PROBE)


def _risks(warehouse: Warehouse, where: tuple[Where, ...], span: Span) -> list[str]:
    """Risk categories as they are spelt."""
    rows = warehouse.run(Rollup(table="scores", keys=("risk_category",), span=span, where=where))
    return [r for r in rows.column("risk_category").to_pylist() if r is not None]
