"""Read what came of an experiment until one look."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from andon.errors import InputError
from andon.rollouts.arms import NOBODY, Groups, Split, arm_of, before_sums, split_of, sums_of
from andon.rollouts.findings import Guarded, Present
from andon.rollouts.records import Allocation, Experiment
from andon.rollouts.run.comparing import Metric, cut_of, known_metric
from andon.scores import Scorer
from andon.scores.rows import PROBE
from andon.stats.two_sample import UserSums
from andon.store import Histogram, Rollup, Span, Warehouse, Where, bin_edges

__all__ = ["BEFORE_US", "folded", "present_of"]

_DAY_US = 86_400_000_000
BEFORE_US = 14 * _DAY_US
"""How far back the past of users is looked at."""

MOST_SEGMENTS = 20
"""Risk categories that are told at most, those with the most rows: applications send what they like."""


class _Read(NamedTuple):
    """Rows of both arms, grouped; columns of the same length."""

    treated: NDArray[np.bool_]
    user: NDArray[np.int64]
    risk: pa.Array
    """Risk categories, as a dictionary."""
    weight: NDArray[np.float64]
    rows: NDArray[np.float64]
    columns: Mapping[str, NDArray[np.float64]]
    users: pa.Array
    """Names by number."""


def present_of(
    warehouse: Warehouse, scorers: Sequence[Scorer], experiment: Experiment, allocation: Allocation, at_us: int
) -> Present:
    """What came of an experiment from its start until `at_us`."""
    end = min(allocation.until_us, allocation.ended_us or allocation.until_us)
    traffic = _Traffic(warehouse, experiment, allocation, at_us)
    ab = experiment.kind == "ab"
    metrics: dict[str, Metric | None] = {}
    for name in dict.fromkeys((experiment.metric, *(g.metric for g in experiment.guardrails))):
        try:
            metrics[name] = known_metric(name, scorers)
        except InputError:
            metrics[name] = None
    read = traffic.read([m.name for m in metrics.values() if m is not None])
    of_metric = metrics[experiment.metric]
    primary, past, segments = Guarded(pair=None, problem="it is not measured any more"), None, {}
    if of_metric is not None:
        groups = traffic.values(read, of_metric)
        as_harm = not ab and experiment.spread is None
        if as_harm:
            rate = Metric(of_metric.name, "binary", experiment.better == "down")
            groups = _harmed(groups, rate)
            primary = Guarded(pair=sums_of(groups), before=traffic.rate_before(rate, None))
        else:
            primary = Guarded(pair=sums_of(groups))
        past = traffic.past(read, groups, of_metric.name) if ab else None
        risks = _most(read.risk)
        segments = {risk: sums_of(groups.only(_is(read.risk, risk))) for risk in risks} if len(risks) > 1 else {}
    guards = tuple(traffic.guarded(read, metrics[g.metric], g.risk_category) for g in experiment.guardrails)
    return Present(
        at_us=at_us, days=(at_us - allocation.from_us) / _DAY_US, last=at_us >= end, whole=at_us >= allocation.until_us,
        split=_split(read), primary=primary, past=past, segments=segments, guards=guards,
    )  # fmt: skip


class _Traffic:
    """The traffic of one experiment, and of its application before it."""

    def __init__(self, warehouse: Warehouse, experiment: Experiment, allocation: Allocation, at_us: int) -> None:
        self.warehouse, self.allocation = warehouse, allocation
        self.span = Span(start_us=allocation.from_us, end_us=at_us)
        self.before = Span(start_us=allocation.from_us - BEFORE_US, end_us=allocation.from_us)
        app = (Where(column="app", op="eq", value=experiment.app), Where(column="source", op="ne", value=PROBE))
        self.where = (*app, Where(column="arm", op="contains", value=f"{experiment.id.lower()}-"))
        # an arm is of one environment; what was before it names no experiment
        self.where_before = (*app, Where(column="environment", op="eq", value=experiment.environment))

    def read(self, metrics: Sequence[str], *more: Where) -> _Read:
        """Rows of both arms until the look, by arm, user, risk category and weight."""
        plan = Rollup(
            table="scores", metrics=tuple(metrics), measures=("n", "sum", "sumsq"), span=self.span,
            keys=("arm", "user_id", "risk_category", "weight"), where=(*self.where, *more),
        )  # fmt: skip
        table = self.warehouse.run(plan)
        arms = _coded(table.column("arm"))
        found = [arm_of(name, self.allocation) for name in arms.dictionary.to_pylist()]
        ours = np.array([arm is not None for arm in found], dtype=np.bool_)
        index = np.asarray(arms.indices, dtype=np.int64)
        table = table.filter(pa.array(ours[index], pa.bool_()))
        index = index[ours[index]]
        treated = np.array([arm == "treatment" for arm in found], dtype=np.bool_)[index]
        users = _coded(table.column("user_id"))
        number = np.asarray(pc.fill_null(users.indices, NOBODY), dtype=np.int64)
        columns = {name: _floats(table.column(name)) for name in table.column_names if "." in name}
        return _Read(
            treated, number, _coded(table.column("risk_category")), _floats(table.column("weight"), 1.0),
            _floats(table.column("rows")), columns, users.dictionary,
        )  # fmt: skip

    def values(self, read: _Read, metric: Metric) -> Groups:
        """The metric's values."""
        n, total, squares = (read.columns[f"{metric.name}.{part}"] for part in ("n", "sum", "sumsq"))
        return Groups(read.treated, read.user, read.weight, n, total, squares)

    def guarded(self, read: _Read, metric: Metric | None, risk: str | None) -> Guarded:
        """What a guardrail sees: a rate at its bad value, a number in the worst fifth of the time before the start."""
        if metric is None:
            return Guarded(pair=None, problem="it is not measured any more")
        groups = self.values(read, metric)
        chosen = _is(read.risk, risk)
        if metric.kind == "binary":
            return Guarded(pair=sums_of(_harmed(groups, metric).only(chosen)), before=self.rate_before(metric, risk))
        bins = self._bins_before(metric, None)
        sign = 1 if metric.up_is_bad else -1
        cut = cut_of(bins, sign)
        if cut is None:
            return Guarded(pair=None, problem="there was no traffic before the start, whose worst fifth is harm")
        edge = bin_edges(sign * cut)[1 if metric.up_is_bad else 0]
        worst = Where(column=metric.name, op="ge" if metric.up_is_bad else "lt", value=edge)
        bad = self.read([metric.name], worst)
        # users are numbered by name: those of the second answer are looked up in the first
        number = np.asarray(pc.fill_null(pc.index_in(bad.users, value_set=read.users), NOBODY), dtype=np.int64)
        user = np.where(bad.user == NOBODY, NOBODY, number[bad.user]) if len(number) else bad.user
        events, none = bad.columns[f"{metric.name}.n"], np.zeros(len(bad.user))
        harmed = Groups(bad.treated, user, bad.weight, none, events, events).only(_is(bad.risk, risk))
        everything = groups.only(chosen)
        every = everything._replace(total=np.zeros(len(everything.n)), squares=np.zeros(len(everything.n)))
        both = Groups(*(np.concatenate(pair) for pair in zip(every, harmed, strict=True)))
        of_risk = bins if risk is None else self._bins_before(metric, risk)
        beyond = sum(n for k, n in of_risk.items() if sign * k > cut)
        return Guarded(pair=sums_of(both), before=(beyond, sum(of_risk.values())))

    def rate_before(self, metric: Metric, risk: str | None) -> tuple[float, float] | None:
        """Harmed and all interactions of the application before the start."""
        plan = Rollup(
            table="scores", metrics=(metric.name,), measures=("w", "wsum"), keys=("risk_category",), span=self.before,
            where=self.where_before,
        )  # fmt: skip
        rows = self.warehouse.run(plan)
        chosen = _is(_coded(rows.column("risk_category")), risk)
        n, ones = (float(_floats(rows.column(f"{metric.name}.{part}"))[chosen].sum()) for part in ("w", "wsum"))
        return None if n <= 0 else (ones if metric.up_is_bad else n - ones, n)

    def past(self, read: _Read, groups: Groups, metric: str) -> tuple[UserSums, UserSums] | None:
        """The same users on the same metric before the start."""
        if not len(read.users):
            return None
        plan = Rollup(
            table="scores", metrics=(metric,), measures=("w", "wsum"), keys=("user_id",), span=self.before,
            where=(*self.where_before, Where(column="user_id", op="not_null")),
        )  # fmt: skip
        rows = self.warehouse.run(plan)
        number = np.asarray(pc.fill_null(pc.index_in(rows.column("user_id"), value_set=read.users), NOBODY))
        known = number != NOBODY
        size = len(read.users)
        total, n = (
            np.bincount(number[known], weights=_floats(rows.column(f"{metric}.{part}"))[known], minlength=size).astype(float)
            for part in ("wsum", "w")
        )  # fmt: skip
        return before_sums(groups, (total, n)) if n.any() else None

    def _bins_before(self, metric: Metric, risk: str | None) -> dict[int, float]:
        plan = Histogram(
            table="scores", metric=metric.name, keys=("risk_category", "weight"), span=self.before,
            where=self.where_before,
        )  # fmt: skip
        rows = self.warehouse.run(plan)
        chosen = _is(_coded(rows.column("risk_category")), risk)
        bins: dict[int, float] = {}
        columns: list[list[Any]] = [rows.column(name).to_pylist() for name in ("bin", "n", "weight")]
        for there, index, n, weight in zip(chosen, *columns, strict=True):
            if there:
                bins[index] = bins.get(index, 0.0) + n * (1.0 if weight is None else weight)
        return bins


def _split(read: _Read) -> Split:
    return split_of(read.treated, read.user, read.rows)


def _harmed(groups: Groups, metric: Metric) -> Groups:
    """A rate at its bad value: 1 where it is harm that goes up, else 0."""
    if metric.up_is_bad:
        return groups
    return groups._replace(total=groups.n - groups.total, squares=groups.n - 2 * groups.total + groups.squares)


def folded(risk: str) -> str:
    """A risk category without its spelling."""
    return risk.strip().casefold()


def _is(risks: pa.Array, wanted: str | None) -> NDArray[np.bool_]:
    """Which are of a risk category, however it is spelt; all where none is wanted."""
    if wanted is None:
        return np.ones(len(risks), dtype=np.bool_)
    same = np.array([folded(risk) == folded(wanted) for risk in risks.dictionary.to_pylist()] + [False], dtype=np.bool_)
    return np.asarray(same[np.asarray(pc.fill_null(risks.indices, len(same) - 1), dtype=np.int64)])


def _most(risks: pa.Array) -> list[str]:
    """The categories with the most groups of rows, in the order of their names."""
    names = {name.strip().casefold(): name for name in sorted(risks.dictionary.to_pylist(), reverse=True)}
    found = [(int(_is(risks, name).sum()), name) for name in list(names.values())[:1_000]]
    return sorted(name for _, name in sorted(found, reverse=True)[:MOST_SEGMENTS])


def _coded(column: pa.ChunkedArray) -> pa.Array:
    """Texts as numbers of a dictionary; null where there is none."""
    return pc.dictionary_encode(column).combine_chunks()


def _floats(column: pa.ChunkedArray, empty: float = 0.0) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(pc.cast(column, pa.float64()), empty), dtype=np.float64)
