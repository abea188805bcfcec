"""Question 4, read from the tables and the ledger: why was it not seen sooner, and which limit would have?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon.incidents import Delivery, Incident, pages
from andon.investigations.gap import (
    LEAST_BEFORE_N,
    Candidate,
    Clocks,
    Replayed,
    gap_from,
    proposal_of,
    replay_limits,
    sooner_limits,
)
from andon.investigations.records import Gap, HarmedSlice
from andon.investigations.run.case import DAY_US, Case
from andon.monitors import TRAFFIC, Signal, watched
from andon.monitors.objectives import rule_for
from andon.monitors.records import SOFT
from andon.monitors.series import Metric, metrics_of
from andon.scores import LABELS, Scorer, failing
from andon.scores.rows import PROBE
from andon.stats import Ridits, ridits_of
from andon.stats.bins import bin_edges
from andon.store import Histogram, Ledger, Rollup, Span, Where
from andon.traffic import SEGMENTS, Interaction

__all__ = ["first_alarms", "gap_of"]

Floats = NDArray[np.float64]
Scope = tuple[tuple[str, str], ...]

REPLAYED_US = 14 * DAY_US
"""Time before the onset that is replayed, at most."""

MOST_ROWS = 2_000_000
"""Rows before the onset that are replayed, at most: a busy application is replayed over a shorter time."""

UNKNOWN_CHARTS = 200
"""Charts that are taken to watch where no signal tells how often one of them may cry wolf."""


def first_alarms(signals: Sequence[Signal]) -> tuple[tuple[str, int], ...]:
    """Which metric spoke first: (metric and direction, time of its first signal), by time."""
    first: dict[str, int] = {}
    for s in signals:
        first.setdefault(f"{s.metric} {s.direction}" + ("" if pages(s) else " (warning)"), s.at_us)
    return tuple(sorted(first.items(), key=lambda p: (p[1], p[0])))


def gap_of(
    case: Case,
    ledger: Ledger,
    incident: Incident,
    signals: Sequence[Signal],
    harmed: Sequence[tuple[Interaction, float]],
    scorers: Sequence[Scorer],
    slices: Sequence[HarmedSlice] = (),
    answered_us: int | None = None,
) -> Gap:
    """Why it was not seen sooner: the two clocks, and a replay of the traffic over limits that might have stood.

    A report is held against the time when it came (`answered_us` is that of the answer it names): nothing dates its onset.
    """
    lead = next((s for s in signals if s.id == incident.lead), None)
    alarmed_us = incident.alarmed_us if lead is not None else None
    seen_us = incident.alarmed_us  # of a reported incident, the first report
    if seen_us <= case.after.start_us or seen_us - case.after.start_us > 2 * REPLAYED_US:
        replayed = []  # nothing to replay, or so slow that no limit of this family is the question
    else:
        replayed = _replayed(case, ledger, scorers, slices, seen_us)
    chosen = sooner_limits(
        replayed, onset_us=case.after.start_us, seen_us=seen_us, window_us=case.signal.window_us,
        metric=case.signal.metric, known=signals,
    )  # fmt: skip
    proposals = [proposal_of(r, incident.app, incident.environment, seen_us) for r in chosen]
    for r, p in zip(chosen, proposals, strict=True):
        _keep(case, r.candidate, p.fired_us)
    clocks = Clocks(
        onset_us=case.after.start_us,
        visible_us=_visible(case, incident, lead),
        answered_us=answered_us if lead is None else None,
        warned_us=_warned(ledger, lead),
        alarmed_us=alarmed_us,
        noticed_us=incident.noticed_us or incident.acked_us or (incident.alarmed_us if lead is None else None),
        told_us=_told(ledger, incident),
        now_us=case.after.end_us,
        delay_s=_delay(case, harmed),
    )
    return gap_from(incident, lead, clocks, proposals, young=lead is not None and lead.baseline_n < LEAST_BEFORE_N)


def _visible(case: Case, incident: Incident, lead: Signal | None) -> int | None:
    """When the first harmed interaction since the onset was; who gets no answer sees it from the onset on."""
    if lead is not None and lead.metric == TRAFFIC:
        return case.after.start_us
    if incident.visible_us is not None:
        return incident.visible_us
    plan = Rollup(
        table="scores", metrics=("time_us",), measures=("min",), span=case.after, where=(*case.scope, case.harm)
    )
    at = case.warehouse.run(plan)["time_us.min"][0].as_py()
    return None if at is None else int(at)


def _told(ledger: Ledger, incident: Incident) -> int | None:
    """When a message about it reached a channel first."""
    mine = (d for d in ledger.all(Delivery) if d.incident == incident.id and d.state == "sent")
    return min((d.at_us for d in mine), default=None)


def _warned(ledger: Ledger, lead: Signal | None) -> int | None:
    """The first warning of the same harm between onset and page."""
    if lead is None:
        return None
    same = (lead.app, lead.environment, lead.metric, lead.direction)
    return min(
        (
            s.at_us
            for s in ledger.all(Signal)
            if not pages(s)
            and (s.app, s.environment, s.metric, s.direction) == same
            and lead.onset_us < s.at_us < lead.at_us
        ),
        default=None,
    )


def _delay(case: Case, harmed: Sequence[tuple[Interaction, float]]) -> float | None:
    """Median time from an answer to what people said of it; None for what is measured on the answer itself."""
    if case.signal.metric not in LABELS or not harmed:
        return None
    among = Where(column="interaction_id", op="in", value=tuple(sorted(i.id for i, _ in harmed)))
    plan = Rollup(
        table="scores", metrics=("time_us",), measures=("min",), keys=("interaction_id",), span=case.after,
        where=(*case.scope, case.harm, among),
    )  # fmt: skip
    rows = case.warehouse.run(plan).to_pylist()
    asked = {i.id: i.time_us for i, _ in harmed}
    return median((r["time_us.min"] - asked[r["interaction_id"]]) / 1e6 for r in rows) if rows else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """The windows that are replayed."""

    width: int
    first: int
    length: int
    before: int
    """Windows before the onset."""

    @property
    def span(self) -> Span:
        return Span(start_us=self.first * self.width, end_us=(self.first + self.length) * self.width)


def _replayed(
    case: Case, ledger: Ledger, scorers: Sequence[Scorer], slices: Sequence[HarmedSlice], seen_us: int
) -> list[Replayed]:
    s = case.signal
    grid = _grid(case, seen_us)
    if grid is None:
        return []
    mine = tuple((k, v) for k, v in s.scope.items() if k in SEGMENTS)[:2]
    scopes: dict[Scope, None] = dict.fromkeys([(), mine, *((p,) for p in mine)])
    for found in slices[:2]:
        part = tuple((k, found.where[k]) for k in SEGMENTS if k in found.where)
        if part and len(part) == len(found.where) and len(part) <= 2:
            scopes[part] = None
    metrics = [m for m in metrics_of(scorers) if m.name not in SOFT]
    candidates = []
    for scope in scopes:
        candidates += _rates(case, grid, scope, [m for m in metrics if m.kind == "binary"])
    for scope in dict.fromkeys([(), mine]):
        candidates += _numbers(case, grid, scope, [m for m in metrics if m.kind == "number"])
    known = [
        o
        for o in ledger.all(Signal)
        if (o.app, o.environment) == (s.app, s.environment) and o.at_us <= case.after.end_us
    ]
    candidates = [replace(c, persistence=_persistence(c, known or [s])) for c in candidates]
    return replay_limits(
        candidates, app=s.app, environment=s.environment, first_window=grid.first, window_us=grid.width,
        onset_us=case.after.start_us, threshold=_threshold(case, ledger),
    )  # fmt: skip


def _persistence(c: Candidate, known: Sequence[Signal]) -> float:
    """What charts said of this part last: the same chart, else the most of its part, else the most of all."""
    part = [s for s in known if tuple(s.scope.items()) == c.scope]
    same = [s for s in part if (s.metric, s.direction) == (c.metric, c.direction)]
    return max(s.persistence for s in same or part or known)


def _threshold(case: Case, ledger: Ledger) -> float:
    """Hours between false alarms that a chart of weight 1 has, as the newest signal says."""
    newest = max(ledger.all(Signal), key=lambda s: s.at_us, default=None)
    told = case.signal if case.signal.threshold > 0 else newest
    if told is None:
        return 720.0 * UNKNOWN_CHARTS
    scope = tuple(told.scope.items())
    return told.threshold * rule_for((), told.app, told.environment, told.metric, told.direction, scope)[1]


def _grid(case: Case, seen_us: int) -> _Grid | None:
    width, onset = case.signal.window_us, case.after.start_us
    start = max(case.before.start_us, onset - REPLAYED_US)
    if start >= onset:
        return None
    plan = Rollup(table="scores", span=Span(start_us=start, end_us=onset), where=_where(case, ()))
    rows = int(case.warehouse.run(plan)["rows"][0].as_py())
    if rows > MOST_ROWS:
        start = onset - round((onset - start) * MOST_ROWS / rows)
    first, last = start // width, -(-seen_us // width)
    return _Grid(width=width, first=first, length=last - first, before=onset // width - first)


def _where(case: Case, scope: Scope) -> tuple[Where, ...]:
    pairs = (("app", case.signal.app), ("environment", case.signal.environment), *scope)
    people = Where(column="source", op="ne", value=PROBE)
    return (*(Where(column=k, op="eq", value=v) for k, v in pairs), people)


def _rates(case: Case, grid: _Grid, scope: Scope, metrics: Sequence[Metric]) -> list[Candidate]:
    """Candidates of all 0-or-1 metrics in one part of the traffic: one plan."""
    known = set(case.warehouse.schema("scores").names)
    metrics = [m for m in metrics if m.name in known]
    plan = Rollup(
        table="scores", metrics=(*(m.name for m in metrics), "weight"), measures=("n", "w", "wsum", "max"),
        window_us=grid.width, span=grid.span, where=_where(case, scope),
    )  # fmt: skip
    table = case.warehouse.run(plan)
    if not len(table):
        return []
    at = np.asarray(table["window_us"].to_numpy(), dtype=np.int64) // grid.width - grid.first
    unit = max((w for w in table["weight.max"].to_pylist() if w), default=1.0)
    found = []
    for m in metrics:
        n, ones = np.zeros((2, grid.length))
        n[at], ones[at] = (_numbers_of(table, f"{m.name}.{what}") / unit for what in ("w", "wsum"))
        if not n.any():
            continue
        for direction in m.directions:
            if watched(m.name, direction, scope):
                x = ones if direction == "up" else n - ones
                found.append(
                    Candidate(
                        metric=m.name, direction=direction, kind="binary", harm=m.harm_of(direction), scope=scope,
                        n=n, x=np.clip(x, 0, n),
                    )
                )  # fmt: skip
    return found


def _numbers_of(table: pa.Table, column: str) -> Floats:
    return np.asarray(np.nan_to_num(table[column].to_numpy(zero_copy_only=False).astype(np.float64)))


def _numbers(case: Case, grid: _Grid, scope: Scope, metrics: Sequence[Metric]) -> list[Candidate]:
    """Candidates of numbers in one part of the traffic: harm is what lies beyond the tail of the time before."""
    known = set(case.warehouse.schema("scores").names)
    metrics = [m for m in metrics if m.name in known]
    where = _where(case, scope)
    windows = Rollup(
        table="scores", metrics=(*(m.name for m in metrics), "weight"), measures=("w", "max"), window_us=grid.width,
        span=grid.span, where=where,
    )  # fmt: skip
    table = case.warehouse.run(windows)
    if not len(table):
        return []
    unit = max((w for w in table["weight.max"].to_pylist() if w), default=1.0)
    before = Span(start_us=grid.span.start_us, end_us=case.after.start_us)
    found = []
    for m in metrics:
        n = _by_window(table, m.name, grid, unit)
        usual = _usual(case, m.name, before, where) if n[: grid.before].any() else None
        for direction in m.directions if usual is not None and n[grid.before :].any() else ():
            if usual is None or not watched(m.name, direction, scope):
                continue
            beyond = float(f"{bin_edges(usual.cut(m.tail, high=direction == 'up'))[0]:.9g}")
            op, bound = failing("number", direction, beyond)
            harm = Where(column=m.name, op="ge" if op == "ge" else "lt", value=bound)
            plan = replace(windows, metrics=(m.name,), measures=("w",), where=(*where, harm))
            x = _by_window(case.warehouse.run(plan), m.name, grid, unit)
            found.append(
                Candidate(
                    metric=m.name, direction=direction, kind="number", harm=m.harm_of(direction), scope=scope,
                    beyond=beyond, n=n, x=np.minimum(x, n),
                )
            )  # fmt: skip
    return found


def _usual(case: Case, metric: str, before: Span, where: tuple[Where, ...]) -> Ridits:
    """How the values of the time before are spread, in interactions."""
    plan = Histogram(table="scores", metric=metric, keys=("weight",), span=before, where=where)
    table = case.warehouse.run(plan)
    weight = _numbers_of(table, "weight")
    count = _numbers_of(table, "n") * np.where(weight > 0, weight, 1.0)
    return ridits_of(np.asarray(table["bin"].to_numpy(), dtype=np.int64), count)


def _by_window(table: pa.Table, metric: str, grid: _Grid, unit: float) -> Floats:
    """Sums of weights by window, in units of the greatest weight."""
    found = np.zeros(grid.length)
    at = np.asarray(table["window_us"].to_numpy(), dtype=np.int64) // grid.width - grid.first
    found[at] = _numbers_of(table, f"{metric}.w") / unit
    return found


def _keep(case: Case, c: Candidate, fired_us: int) -> None:
    """What the limit would have seen from the onset until it spoke, as evidence."""
    span = Span(start_us=case.after.start_us, end_us=fired_us)
    where = (*_where(case, c.scope), Where(column=c.metric, op="not_null"))
    op, bound = failing(c.kind, c.direction, c.beyond)
    harm = Where(column=c.metric, op="ge" if op == "ge" else "lt", value=bound)
    name = f"{c.metric} {c.direction} in {dict(c.scope) or 'all traffic'} until its limit would have spoken"
    for what, conditions in (("harmed interactions", (*where, harm)), ("interactions", where)):
        plan = Rollup(table="scores", metrics=(c.metric,), span=span, where=conditions)
        case.keep(f"{what} by {name}", plan, {})
