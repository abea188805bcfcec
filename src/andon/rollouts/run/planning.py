"""Write plans down before anything is served, from what recent traffic shows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from andon.errors import InputError, StateError
from andon.rollouts.records import Allocation, Experiment
from andon.rollouts.run.reading import folded, known_metric, worst_of
from andon.scores import SCORERS, Scorer
from andon.scores.rows import PROBE
from andon.settings import is_high_risk
from andon.stats.two_sample import clustered, moments, user_design_effect
from andon.store import Ledger, Rollup, Span, Warehouse, Where
from andon.traffic import VERSIONS, quoted

__all__ = [
    "Recent",
    "change_plan",
    "check_changeable",
    "find_experiment",
    "how_many_came",
    "recent_traffic",
    "risk_metrics",
    "values_of",
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
    arrivals: tuple[float, ...]
    """Users who came within 1, 2, ... days of the first interaction, each counted once."""
    interactions: int
    mean: float
    """Rate or mean."""
    spread: float | None
    """Standard deviation of a user's mean; None for a rate."""
    design_effect: float
    """What divides users: the design effect over the interactions of a user. 1 where interactions name no user."""
    unnamed: int
    """Interactions that name no user."""
    harmed: float
    """Share that is harmed: at the bad value of a rate, in the worst fifth of a number."""
    harm: str = ""
    """What counts as harm, of a number."""


def recent_traffic(
    warehouse: Warehouse, app: str, environment: str, metric: str, now_us: int, *,
    scorers: Sequence[Scorer] = SCORERS, risk: str | None = None, arms: Where | None = None, days: float = 7.0,
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
        arms: only these values of the field that tells the versions apart.
        days: of the plan. Who comes on seven days has more interactions than on one, so what a user says is read from as long a time.

    Raises:
        InputError: the metric is unknown.
    """
    known = known_metric(metric, scorers)
    where, span = _of(app, environment), Span(start_us=now_us - RECENT_US, end_us=now_us)
    where = everywhere = where if arms is None else (*where, arms)
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
    seen = np.asarray(rows.column("time_us.min"), dtype=np.float64)
    said = _sums(rows, metric)
    weight, weighed = (float(np.sum(np.asarray(rows.column(f"{metric}.{m}"), dtype=np.float64))) for m in ("w", "wsum"))
    mean, rate = weighed / weight if weight > 0 else said.x / said.n, known.kind == "binary"
    worst = None if rate else worst_of(warehouse, known, span, everywhere, risk, "the last 7 days")
    lately = replace(plan, span=Span(start_us=now_us - round(max(1.0, days) * _DAY_US), end_us=now_us))
    short = warehouse.run(lately) if days < RECENT_US / _DAY_US else rows
    each = _sums(short, metric) if short.num_rows else said
    by_user = clustered(each.units, each.x, each.n, each.xx, each.nn, each.xn)
    effect = user_design_effect(by_user, moments(each.n, each.x, each.squares))
    here = max(1.0, (now_us - float(seen.min())) / _DAY_US)
    return Recent(
        users=round(said.units), per_day=said.units / here, interactions=round(said.n), mean=mean,
        arrivals=_arrivals(seen[np.asarray(pc.is_valid(rows.column("user_id")))], float(seen.min()), said.alone, here),
        spread=None if rate else float(np.sqrt(by_user.variance)),
        design_effect=1.0 if effect is None or not rate else effect * each.units / each.n, unnamed=round(said.alone),
        harmed=(mean if known.up_is_bad else 1 - mean) if worst is None else worst.harmed / max(worst.n, 1.0),
        harm="" if worst is None else worst.text,
    )  # fmt: skip


class _Sums(NamedTuple):
    """Of units: users, and each interaction that names none."""

    units: float
    alone: float
    """Interactions that name no user."""
    x: float
    n: float
    xx: float
    nn: float
    xn: float
    squares: float
    """Of the values of single interactions."""


def _sums(rows: pa.Table, metric: str) -> _Sums:
    """Sums over units of rows by user; an interaction that names none is a unit with n = 1 and x its value."""
    n, x, xx = (np.asarray(rows.column(f"{metric}.{m}"), dtype=np.float64) for m in ("n", "sum", "sumsq"))
    named = np.asarray(pc.is_valid(rows.column("user_id")))
    alone = n[~named].sum()
    found = (
        named.sum() + alone, alone, x.sum(), n.sum(), (x[named] ** 2).sum() + xx[~named].sum(), (n[named] ** 2).sum() + alone,
        (x * n)[named].sum() + x[~named].sum(), xx.sum(),
    )  # fmt: skip
    return _Sums(*(float(each) for each in found))


def _arrivals(seen: NDArray[np.float64], first: float, alone: float, days: float) -> tuple[float, ...]:
    """Users who were seen within 1, 2, ... whole days of the first moment; who names no user is new each time, evenly."""
    whole = max(1, int(days + 0.05))
    return tuple(
        float((seen < first + (d + 1) * _DAY_US).sum()) + alone * min(1.0, (d + 1) / days) for d in range(whole)
    )


def values_of(warehouse: Warehouse, app: str, environment: str, field: str, now_us: int) -> dict[str, float]:
    """The values of a field in the last seven days, the most frequent first -> how many interactions had each.

    Raises:
        InputError: the field does not tell versions apart.
    """
    if field != "arm" and field not in VERSIONS:
        raise InputError(f"{quoted(field)} is not a field that tells versions apart; arm, {', '.join(VERSIONS)} are")
    plan = Rollup(table="scores", keys=(field,), span=Span(start_us=now_us - RECENT_US, end_us=now_us), where=_of(app, environment))  # fmt: skip
    rows = warehouse.run(plan)
    found = zip(rows.column(field).to_pylist(), rows.column("rows").to_pylist(), strict=True)
    return dict(sorted(((v, n) for v, n in found if v is not None), key=lambda each: (-each[1], each[0])))


def how_many_came(warehouse: Warehouse, table: str, app: str, environment: str, now_us: int) -> int:
    """Rows of the last seven days in the table ``interactions``, or of those that are scored, in ``scores``."""
    span = Span(start_us=now_us - RECENT_US, end_us=now_us)
    rows = warehouse.run(Rollup(table=table, span=span, where=_of(app, environment)))
    return int(pc.sum(rows.column("rows")).as_py() or 0)


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
    known = check_changeable(ledger, experiment.id, of=experiment.lever or experiment.field, kind=experiment.kind)
    written = replace(experiment, id=known.id)
    ledger.put(written, now_us=now_us, by=experiment.by, expect=0 if latest is None else latest.version)
    return written


def check_changeable(ledger: Ledger, named: str, *, of: str | None, kind: str) -> Experiment:
    """The experiment, where its plan may still be changed.

    Args:
        ledger: has it.
        named: its id.
        of: the lever or field that the changed plan compares versions of.
        kind: of the changed plan.

    Raises:
        InputError: there is no such experiment.
        StateError: it was started: a hypothesis is not changed once results may be known. Or it is of another lever, field or kind.
    """
    known = find_experiment(ledger, named)
    if any(v.record.experiment == known.id for v in ledger.history(Allocation)):
        raise StateError(
            f"{known.id} was started, and what was to be shown is not changed once results may be known; plan another experiment"
        )
    if (known.lever or known.field, known.kind) != (of, kind):
        raise StateError(
            f"{known.id} is a {known.kind} of {known.lever or known.field} and stays one; plan another experiment"
        )
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
