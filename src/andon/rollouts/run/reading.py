"""Read what came of an experiment until one look, and how each metric is read as harm."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from andon.errors import InputError
from andon.rollouts.arms import NOBODY, Groups, Split, arm_of, before_sums, split_of, sums_of
from andon.rollouts.findings import Guarded, Present
from andon.rollouts.records import Allocation, Experiment
from andon.scores import LABELS, Scorer
from andon.scores.rows import PROBE
from andon.stats.two_sample import UserSums
from andon.store import Histogram, Rollup, Span, Warehouse, Where, bin_edges
from andon.traffic import quoted

__all__ = ["BEFORE_US", "Metric", "Worst", "folded", "known_metric", "present_of", "worst_of"]

_DAY_US = 86_400_000_000
BEFORE_US = 14 * _DAY_US
"""How far back the past of users is looked at."""

MOST_SEGMENTS = 20
"""Risk categories that are told at most, those with the most rows: applications send what they like."""

_WORST = 0.2
"""Share of what came that counts as harmed on a metric that is a number: its worst fifth."""

_NO_UNIT = ("rate", "cosine", "share", "score")
"""Units that are not said behind a number."""


class Metric(NamedTuple):
    """How a metric is read as harm."""

    name: str
    kind: Literal["binary", "number"]
    up_is_bad: bool
    unit: str = ""
    """As it stands behind a number."""


class Worst(NamedTuple):
    """What counts as harm of a metric that is a number."""

    edge: float
    """From there on it is harm; below it, where a fall harms."""
    harmed: float
    """What was beyond it, and `n` of all, in the traffic that it was taken from."""
    n: float
    text: str
    """Of what it is the worst part, for people."""


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
            primary = Guarded(pair=sums_of(groups))
        else:
            primary = Guarded(pair=sums_of(groups))
        past = traffic.past(read, groups, of_metric.name) if ab else None
        risks = _most(read.risk, read.rows)
        segments = {risk: sums_of(groups.only(_is(read.risk, risk))) for risk in risks} if len(risks) > 1 else {}
    guards = tuple(traffic.guarded(read, metrics[g.metric], g.risk_category) for g in experiment.guardrails)
    return Present(
        at_us=at_us, days=(at_us - allocation.from_us) / _DAY_US, last=at_us >= end, whole=at_us >= allocation.until_us,
        split=_split(read), primary=primary, past=past, segments=segments, guards=guards,
    )  # fmt: skip


def known_metric(name: str, scorers: Sequence[Scorer]) -> Metric:
    """A metric that is measured or that people give; one that may harm both ways is read upward.

    Raises:
        InputError: it is neither.
    """
    for scorer in scorers:
        if scorer.name == name:
            unit = "" if scorer.unit in _NO_UNIT else f" {scorer.unit}"
            return Metric(name, scorer.kind, scorer.bad != "down", unit)
    if name in LABELS:
        kind, bad = LABELS[name][:2]
        return Metric(name, "number" if kind == "rating" else "binary", bad != "down")
    raise InputError(
        f"{quoted(name)} is not a metric; the metrics are {', '.join([s.name for s in scorers] + list(LABELS))}"
    )


def worst_of(
    warehouse: Warehouse, metric: Metric, span: Span, where: tuple[Where, ...], risk: str | None, when: str
) -> Worst | None:
    """The worst fifth of a number, and how much of one risk category is in it; None where nothing came.

    It is read from log bins: the largest share of whole bins that is not above a fifth. Where the worst bin alone is more than that, it
    is that bin; where it is the only one, what is worse than it.

    Args:
        warehouse: holds the table ``scores``.
        metric: that is a number.
        span: the time whose worst fifth is meant.
        where: the traffic.
        risk: `Worst.harmed` and `Worst.n` are of this risk category only; the edge is of all.
        when: how people call that time.
    """
    plan = Histogram(table="scores", metric=metric.name, keys=("risk_category", "weight"), span=span, where=where)
    rows = warehouse.run(plan)
    columns = [rows.column(name).to_pylist() for name in ("bin", "n", "weight")]
    found = [(index, n * (1.0 if weight is None else weight)) for index, n, weight in zip(*columns, strict=True)]
    sign = 1 if metric.up_is_bad else -1
    cut = _cut_of(found, sign)
    if cut is None:
        return None
    edge = bin_edges(sign * cut)[1 if metric.up_is_bad else 0]
    every, beyond = sum(n for _, n in found), sum(n for index, n in found if sign * index > cut)
    way = "above" if metric.up_is_bad else "below"
    part = f"the worst {100 * beyond / every:.0f} %" if beyond else "worse than all"
    text = f"{way} {edge:.3g}{metric.unit}, {part} of {when}"
    there = _is(_coded(rows.column("risk_category")), risk)
    mine = [each for each, chosen in zip(found, there, strict=True) if chosen]
    return Worst(edge, sum(n for index, n in mine if sign * index > cut), sum(n for _, n in mine), text)


def _cut_of(counted: Iterable[tuple[int, float]], sign: int) -> int | None:
    """Signed bin strictly beyond which lies what is harm; None where nothing was counted."""
    bins: dict[int, float] = {}
    for index, n in counted:
        bins[index] = bins.get(index, 0.0) + n
    ordered = sorted((index for index, n in bins.items() if n > 0), key=lambda i: -sign * i)
    room = _WORST * sum(bins.values())
    for index in ordered:
        room -= bins[index]
        if room < 0:
            return sign * index - (index == ordered[0] and len(ordered) > 1)
    return None


class _Traffic:
    """The traffic of one experiment, and of its application before it."""

    def __init__(self, warehouse: Warehouse, experiment: Experiment, allocation: Allocation, at_us: int) -> None:
        self.warehouse, self.allocation = warehouse, allocation
        self.span = Span(start_us=allocation.from_us, end_us=at_us)
        self.before = Span(start_us=allocation.from_us - BEFORE_US, end_us=allocation.from_us)
        app = (Where(column="app", op="eq", value=experiment.app), Where(column="source", op="ne", value=PROBE))
        here = (*app, Where(column="environment", op="eq", value=experiment.environment))
        self.key, two = experiment.field or "arm", (experiment.control or "", experiment.treatment or "")
        self.where: tuple[Where, ...]
        self.where_before: tuple[Where, ...]
        if experiment.field is None:
            self.where = (*app, Where(column="arm", op="contains", value=f"{experiment.id.lower()}-"))
            self.where_before = here  # an arm is of one environment; what was before it names no experiment
        else:
            self.where = (*here, Where(column=self.key, op="in", value=two))
            self.where_before = (*here, Where(column=self.key, op="eq", value=two[0]))
        self.values_of = None if experiment.field is None else dict(zip(two, ("control", "treatment"), strict=True))

    def arm(self, name: str | None) -> str | None:
        """The arm that a value of the key belongs to."""
        return arm_of(name, self.allocation) if self.values_of is None else self.values_of.get(name or "")

    def read(self, metrics: Sequence[str], *more: Where) -> _Read:
        """Rows of both arms until the look, by arm, user, risk category and weight."""
        plan = Rollup(
            table="scores", metrics=tuple(metrics), measures=("n", "sum", "sumsq"), span=self.span,
            keys=(self.key, "user_id", "risk_category", "weight"), where=(*self.where, *more),
        )  # fmt: skip
        table = self.warehouse.run(plan)
        arms = _coded(table.column(self.key))
        found = [self.arm(name) for name in arms.dictionary.to_pylist()]
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
            return Guarded(pair=sums_of(_harmed(groups, metric).only(chosen)))
        worst = worst_of(self.warehouse, metric, self.before, self.where_before, risk, "the two weeks before the start")
        if worst is None:
            return Guarded(pair=None, problem="there was no traffic before the start, whose worst fifth is harm")
        beyond = Where(column=metric.name, op="ge" if metric.up_is_bad else "lt", value=worst.edge)
        bad = self.read([metric.name], beyond)
        # users are numbered by name: those of the second answer are looked up in the first
        number = np.asarray(pc.fill_null(pc.index_in(bad.users, value_set=read.users), NOBODY), dtype=np.int64)
        user = np.where(bad.user == NOBODY, NOBODY, number[bad.user]) if len(number) else bad.user
        events, none = bad.columns[f"{metric.name}.n"], np.zeros(len(bad.user))
        harmed = Groups(bad.treated, user, bad.weight, none, events, events).only(_is(bad.risk, risk))
        everything = groups.only(chosen)
        every = everything._replace(total=np.zeros(len(everything.n)), squares=np.zeros(len(everything.n)))
        both = Groups(*(np.concatenate(pair) for pair in zip(every, harmed, strict=True)))
        return Guarded(pair=sums_of(both), harm=worst.text)

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


def _split(read: _Read) -> Split:
    uneven = len(read.weight) > 0 and bool(np.ptp(read.weight) > 0)
    return split_of(read.treated, read.user, read.rows)._replace(uneven=uneven)


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


def _most(risks: pa.Array, rows: NDArray[np.float64]) -> list[str]:
    """The categories with the most rows, each in one of its spellings, in the order of their names."""
    names = risks.dictionary.to_pylist()
    index = np.asarray(pc.fill_null(risks.indices, len(names)), dtype=np.int64)
    spelt: dict[str, str] = {}
    came: Counter[str] = Counter()
    for name, n in sorted(zip(names, np.bincount(index, weights=rows, minlength=len(names)).tolist(), strict=False)):
        spelt.setdefault(folded(name), name)
        came[folded(name)] += n
    return sorted(spelt[risk] for risk, _ in came.most_common(MOST_SEGMENTS))


def _coded(column: pa.ChunkedArray) -> pa.Array:
    """Texts as numbers of a dictionary; null where there is none."""
    return pc.dictionary_encode(column).combine_chunks()


def _floats(column: pa.ChunkedArray, empty: float = 0.0) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(pc.cast(column, pa.float64()), empty), dtype=np.float64)
