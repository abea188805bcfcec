"""Looks at the usual mechanisms, read from samples and roll-ups: silent regression, tools, retrieval, refusals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from andon.changes import Change
from andon.investigations.cascades import tool_cascades
from andon.investigations.freshness import corpus_drift
from andon.investigations.records import Analysis
from andon.investigations.refusals import Cohort, kind_of_refusal, refusal_spike
from andon.investigations.run.case import DAY_US, Case, figures_of
from andon.investigations.silent import (
    LOUD,
    Move,
    Side,
    compare_sides,
    finish_reasons,
    same_questions,
    side_of,
    silent_regression,
)
from andon.monitors import TRAFFIC, Signal
from andon.monitors.objectives import BEYOND, Objective
from andon.monitors.run import scope_of
from andon.scores import SCORERS, Scorer, failing
from andon.scores.rows import EVALUATION, LABELS
from andon.store import Rollup, Sample, Slice, Span, Where
from andon.traffic import SEGMENTS, VERSIONS, Interaction, from_rows
from andon.traffic.run import read_interactions_by_id

__all__ = ["Asked", "Looked", "analyses_of", "keep_figure", "look_at"]

LOOKED = 1_500
"""Interactions before, and since the onset, that are read with their texts."""

SCORED = 5_000
"""Rows of scores before and since that metrics are compared on."""

ENOUGH = 20
"""Times as many interactions as are read that a day must have to stand for all."""

REPEATED = 300
"""Questions since the onset that are looked for before it."""

HARM = "harm"
"""How the incident's own rate of harm is called among the metrics."""

_UNTOLD = ("cost_usd", "input_tokens", "cache_hit", "confidence")
"""Scorers that are neither quality nor what other monitoring watches nor style of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question asked before the onset and since: each side's interaction and whether it was harmed."""

    before: tuple[Interaction, bool]
    since: tuple[Interaction, bool]
    earlier: Interaction | None = None
    """One more asking before the onset, as a control."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Seeded samples that all analyses and tests share, so that texts are read once."""

    spans: tuple[Span, Span]
    """The time before, and since the onset, that they are of."""
    before: tuple[tuple[Interaction, bool], ...]
    after: tuple[tuple[Interaction, bool], ...]
    asked: tuple[Asked, ...]


def look_at(case: Case) -> Looked:
    """Read the samples of an incident's traffic: interactions with whether they were harmed, and repeated questions.

    Where a day has far more interactions than are read, only the last day before the onset and the first day since are looked
    at: they are nearest to what changed, and millions of texts need not be searched.
    """
    before, after = _day_of(case, case.before, last=True), _day_of(case, case.after, last=False)
    seen = _sample(case, after)
    return Looked(spans=(before, after), before=_sample(case, before), after=seen, asked=_asked(case, before, seen))


def _day_of(case: Case, span: Span, *, last: bool) -> Span:
    """The last or first day of a time, where it alone has enough."""
    if span.end_us - span.start_us <= DAY_US:
        return span
    day = Span(
        start_us=span.end_us - DAY_US if last else span.start_us, end_us=span.end_us if last else span.start_us + DAY_US
    )
    return day if case.count(day) >= ENOUGH * LOOKED else span


def analyses_of(
    case: Case,
    signals: Sequence[Signal],
    changes: Sequence[Change],
    looked: Looked,
    *,
    objectives: Sequence[Objective] = (),
) -> tuple[Analysis, ...]:
    """Look at each usual mechanism, with its figures kept as evidence.

    Args:
        case: the affected traffic.
        signals: all that the incident has.
        changes: the change log of the time before the onset, and since.
        looked: the samples (`look_at`).
        objectives: what latency may be; against it, observed retries are held.
    """
    before, after = ([i for i, _ in side] for side in (looked.before, looked.after))
    return (
        _silent(case, signals, looked),
        tool_cascades(
            looked.before,
            looked.after,
            limits_s=_limits(case.signal, objectives),
            evidence=_kept(case, looked, "tool_error"),
        ),
        corpus_drift(
            looked.before,
            looked.after,
            stale=_stale(changes, case.after.start_us),
            evidence=_kept(case, looked, "retrieval_score"),
        ),
        refusal_spike(
            _cohorts(case, looked),
            before,
            after,
            new_versions=_new_versions(before, after),
            evidence=_kept(case, looked, "refusal"),
        ),
    )


def keep_figure(case: Case, claim: str, plan: Rollup) -> str:
    """Run a roll-up without keys, keep it as evidence, and return its id."""
    return case.keep(claim, plan, figures_of(case.warehouse, plan))


def _kept(case: Case, looked: Looked, metric: str) -> tuple[str, ...]:
    """Figures of a metric before and since, kept as evidence where it was measured at all."""
    ids = []
    for name, span in zip(("before the onset", "since the onset"), looked.spans, strict=True):
        plan = Rollup(
            table="scores", metrics=(metric,), measures=("n", "w", "wsum"), span=span, where=scope_of(case.signal)
        )
        figures = figures_of(case.warehouse, plan)
        if figures[f"{metric}.n"]:
            ids.append(case.keep(f"{metric.replace('_', ' ')} {name}", plan, figures))
    return tuple(ids)


def _sample(case: Case, span: Span) -> tuple[tuple[Interaction, bool], ...]:
    """A seeded sample of the affected interactions of a time, with their texts and whether each was harmed."""
    metric = case.signal.metric
    plan = Sample(table="scores", n=LOOKED, seed=4, columns=("interaction_id", metric), span=span, where=case.scope)
    return _judged(case, case.warehouse.run(plan), span)


def _judged(case: Case, rows: pa.Table, span: Span) -> tuple[tuple[Interaction, bool], ...]:
    values = dict(zip(rows["interaction_id"].to_pylist(), rows[case.signal.metric].to_pylist(), strict=True))
    given = case.signal.metric in (*LABELS, EVALUATION)  # what people say comes after the answer
    day = Span(start_us=span.start_us - given * DAY_US, end_us=span.end_us)
    found = read_interactions_by_id(case.warehouse, sorted(values), day)
    return tuple((i, _harmed(case, values[i.id])) for i in found)


def _harmed(case: Case, value: float) -> bool:
    op, bound = failing(case.signal.kind, case.signal.direction, case.signal.cut)
    return value >= bound if op == "ge" else value < bound


def _asked(case: Case, span: Span, after: Sequence[tuple[Interaction, bool]]) -> tuple[Asked, ...]:
    """Questions of the sample that were asked before as well: the latest asking before, the first in the sample since."""
    since: dict[str, tuple[Interaction, bool]] = {}
    for i, harmed in after:
        if i.query and i.query.strip() and len(since) < REPEATED:
            since.setdefault(i.query, (i, harmed))
    if not since:
        return ()
    pairs = {"app": case.signal.app, "environment": case.signal.environment}
    where = tuple(Where(column=k, op="eq", value=v) for k, v in pairs.items())
    same = Slice(
        table="interactions",
        columns=("id", "time_us", "query", "contexts"),
        span=span,
        where=(*where, Where(column="query", op="in", value=tuple(since))),
        limit=4 * REPEATED,
        newest_first=True,
    )
    rows = from_rows(case.warehouse.run(same))
    if not rows:
        return ()
    mine = Where(column="interaction_id", op="in", value=tuple(i.id for i in rows))
    plan = Slice(
        table="scores", columns=("interaction_id", case.signal.metric), span=case.before, where=(*case.scope, mine)
    )
    scored = case.warehouse.run(plan)
    values = dict(zip(scored["interaction_id"].to_pylist(), scored[case.signal.metric].to_pylist(), strict=True))
    earlier: dict[str, list[Interaction]] = {}
    for i in rows:  # the newest first
        if i.id in values:
            earlier.setdefault(i.query or "", []).append(i)
    return tuple(
        Asked(
            before=(told[0], _harmed(case, values[told[0].id])),
            since=since[q],
            earlier=told[1] if len(told) > 1 else None,
        )
        for q, told in sorted(earlier.items())
    )


def _silent(case: Case, signals: Sequence[Signal], looked: Looked) -> Analysis:
    scorers = _measured(case)
    sides = [_scored(case, span, scorers) for span in looked.spans]
    found = [_harm_itself(case), *(_move(s, sides, len(scorers)) for s in scorers)]
    moves = [m for m in found if m is not None]
    evidence = [
        e
        for m in [m for m in moves if m.worse and m.name not in LOUD and not m.name.startswith(HARM)][:3]
        for e in _kept(case, looked, m.name)
    ]
    finish = [Counter(i.finish_reason for i, _ in side if i.finish_reason) for side in (looked.before, looked.after)]
    pairs = [(a.before[1], a.since[1]) for a in looked.asked]
    return silent_regression(
        moves,
        paired=same_questions(pairs),
        finish=finish_reasons(*finish),
        loud_signals=sorted({s.metric for s in signals if s.metric in (*LOUD, TRAFFIC)}),
        an_hour=_an_hour(case),
        evidence=evidence,
    )


def _measured(case: Case) -> list[tuple[str, bool, str]]:
    """Metrics to compare, as (name, whether it is a rate, bad direction); the incident's own always among them."""
    names = set(case.warehouse.schema("scores").names)
    known: list[Scorer] = [s for s in SCORERS if s.name not in _UNTOLD and s.name in names]
    found = {s.name: (s.kind == "binary", str(s.bad)) for s in known}
    found |= {name: (True, bad) for name, (_, bad, _, _) in LABELS.items() if name in names}
    rate, _ = found.get(case.signal.metric, (case.signal.kind == "binary", ""))
    found[case.signal.metric] = (rate, case.signal.direction)
    return [(name, rate, bad) for name, (rate, bad) in found.items()]


def _scored(case: Case, span: Span, metrics: Sequence[tuple[str, bool, str]]) -> pa.Table:
    columns = ("weight", *(name for name, _, _ in metrics))
    plan = Sample(table="scores", n=SCORED, seed=5, columns=columns, span=span, where=scope_of(case.signal))
    return case.warehouse.run(plan)


def _move(metric: tuple[str, bool, str], sides: Sequence[pa.Table], family: int) -> Move | None:
    name, rate, bad = metric
    before, after = (side_of(t[name].to_pylist(), t["weight"].to_pylist()) for t in sides)
    return compare_sides(name, before, after, rate=rate, bad=bad, family=family)


def _harm_itself(case: Case) -> Move | None:
    """The harm that the incident is about, over all traffic: a chart found it, so no difference is too small for it."""
    sides = []
    for span in (case.before, case.after):
        n = case.count(span) / case.unit()
        mean = case.count(span, case.harm) / case.unit() / n if n else 0.0
        sides.append(Side(n=n, mean=mean, variance=mean * (1 - mean)))
    name = f"{HARM} ({case.signal.metric} {case.signal.direction})"
    return compare_sides(name, *sides, rate=True, bad="up", family=1, least=0.0)


def _an_hour(case: Case) -> tuple[float, float] | None:
    hours = [(s.end_us - s.start_us) / 3.6e9 for s in (case.before, case.after)]
    if min(hours) <= 0:
        return None
    return case.count(case.before) / hours[0], case.count(case.after) / hours[1]


def _limits(signal: Signal, objectives: Sequence[Objective]) -> list[tuple[str, float]]:
    """Objectives of latency that hold for the affected traffic, as (name, seconds)."""
    mine = [
        (o.name, o.beyond)
        for o in objectives
        if o.metric == "latency_s"
        and o.beyond is not None
        and o.app in (None, signal.app)
        and o.environment in (None, signal.environment)
        and all(signal.scope.get(k) in (None, v) for k, v in o.scope)
    ]
    if signal.metric == "latency_s" and signal.objective and signal.aspect.startswith(BEYOND):
        mine.append((signal.objective, float(signal.aspect.removeprefix(BEYOND))))
    return sorted(set(mine))


def _stale(changes: Sequence[Change], onset_us: int) -> str:
    """What the change log says of corpus and index, in words."""
    corpus = max((c for c in changes if c.kind == "corpus"), key=lambda c: (c.at_us, c.id), default=None)
    index = max(
        (c for c in changes if c.kind in ("index", "embedding model")), key=lambda c: (c.at_us, c.id), default=None
    )
    days = 86_400e6
    if corpus is not None and (index is None or index.at_us < corpus.at_us):
        return f"the index was not rebuilt after the corpus changed {abs(onset_us - corpus.at_us) / days:.1f} days from the onset"
    if index is not None:
        return f"the last change of the index is {abs(onset_us - index.at_us) / days:.1f} days from the onset"
    return ""


def _new_versions(before: Sequence[Interaction], after: Sequence[Interaction]) -> dict[str, str]:
    """Version fields with a value that most refusals saw since the onset, and little traffic did before.

    Where refusals vanished there is nothing to count among them, and all traffic since is looked at. Versions that refusals
    saw more often than other answers did stand alone: the others came at the same time, to everybody.
    """
    refused = [i for i in after if kind_of_refusal(i) is not None]
    fell = len(refused) * max(1, len(before)) <= sum(kind_of_refusal(i) is not None for i in before) * max(
        1, len(after)
    )
    group = after if fell else refused
    found: dict[str, str] = {}
    apart: dict[str, str] = {}
    for name in VERSIONS:
        now = Counter(v for i in group if (v := getattr(i, name)) is not None)
        if not now or not before:
            continue
        value, n = min(now.items(), key=lambda p: (-p[1], p[0]))
        if 2 * n <= now.total() or sum(getattr(i, name) == value for i in before) >= 0.1 * len(before):
            continue
        found[name] = value
        if n / len(group) > sum(getattr(i, name) == value for i in after) / len(after) + 0.1:
            apart[name] = value
    return apart or found


def _cohorts(case: Case, looked: Looked) -> list[Cohort]:
    """Refusals by value of each segment field, counted over all affected traffic; a blocking guardrail counts as one."""
    counts: list[dict[tuple[str, str], list[float]]] = []
    unit = 1.0
    for span in looked.spans:
        plan = Rollup(
            table="scores",
            metrics=("refusal", "weight"),
            measures=("w", "wsum", "max"),
            keys=SEGMENTS,
            span=span,
            where=(*scope_of(case.signal), Where(column="refusal", op="not_null")),
        )
        side: dict[tuple[str, str], list[float]] = {}
        for row in case.warehouse.run(plan).to_pylist():
            unit = max(unit, row["weight.max"] or 1.0)
            parts = [("all", "all traffic"), *((k, row[k]) for k in SEGMENTS if row[k] is not None)]
            for part in parts:
                sums = side.setdefault(part, [0.0, 0.0])
                sums[0] += row["refusal.wsum"] or 0.0
                sums[1] += row["refusal.w"] or 0.0
        counts.append(side)
    cohorts = []
    order = (*SEGMENTS, "all")
    for part in sorted({*counts[0], *counts[1]}, key=lambda p: (order.index(p[0]), p[1])):
        (x1, n1), (x2, n2) = ([round(v / unit) for v in side.get(part, (0.0, 0.0))] for side in counts)
        cohorts.append(Cohort(field=part[0], value=part[1], before_x=x1, before_n=n1, after_x=x2, after_n=n2))
    return cohorts
