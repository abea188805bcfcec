"""Answer the four questions of an incident from the tables and the change log, and keep the evidence."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from andon import stats
from andon.changes import Change
from andon.changes.run import changes_of
from andon.errors import InputError, StateError
from andon.incidents import Incident, duration, pages
from andon.incidents.run import signals_of
from andon.investigations.records import Evidence, Example, Impact, Investigation, Suspect, Twin
from andon.investigations.scope import isolated_or_systematic, rank_parts
from andon.investigations.suspects import Candidate, Exposure, Traffic, rank_suspects, told_once
from andon.monitors import TRAFFIC, Signal, cluster_us
from andon.monitors.run import harm_of, scope_of
from andon.scores import Embedder, failing
from andon.store import Ledger, Plan, Rollup, Sample, Slice, Span, Warehouse, Where, from_json, to_json
from andon.traffic import SEGMENTS, VERSIONS, Interaction
from andon.traffic.run import read_interactions_by_id

__all__ = ["investigate", "recompute"]

DAY_US = 86_400_000_000
LOOK_BACK_US = 60 * DAY_US
"""Changes this long before the onset are candidates: a corpus may take six weeks to hurt."""

EXAMPLES = 12
QUESTIONS = 800
"""Questions before and after that are compared by meaning."""


@dataclass(slots=True)
class _Case:
    """What one investigation works on: the affected traffic, before and after."""

    warehouse: Warehouse
    signal: Signal
    before: Span
    after: Span
    evidence: list[Evidence] = field(default_factory=list)

    @property
    def scope(self) -> tuple[Where, ...]:
        return (*scope_of(self.signal), Where(column=self.signal.metric, op="not_null"))

    @property
    def harm(self) -> Where:
        return harm_of(self.signal)

    def unit(self) -> float:
        """The greatest sampling weight: a row counts as evidence by the fraction that its own weight is of it."""
        table = self.warehouse.run(Rollup(table="scores", metrics=("weight",), where=self.scope))
        return table["weight.max"][0].as_py() or 1.0

    def units(self, key: str) -> dict[str, float]:
        """The same by value of a key."""
        table = self.warehouse.run(Rollup(table="scores", metrics=("weight",), keys=(key,), where=self.scope))
        return {k: u or 1.0 for k, u in zip(table[key].to_pylist(), table["weight.max"].to_pylist(), strict=True)}

    def count(self, span: Span, *extra: Where) -> float:
        plan = Rollup(table="scores", metrics=(self.signal.metric,), span=span, where=(*self.scope, *extra))
        return float(self.warehouse.run(plan)[f"{self.signal.metric}.w"][0].as_py() or 0)

    def by(self, key: str, span: Span, *extra: Where) -> dict[str, float]:
        plan = Rollup(
            table="scores", metrics=(self.signal.metric,), keys=(key,), span=span, where=(*self.scope, *extra)
        )
        table = self.warehouse.run(plan)
        counts = zip(table[key].to_pylist(), table[f"{self.signal.metric}.w"].to_pylist(), strict=True)
        return {value: w for value, w in counts if value is not None}

    def keep(self, claim: str, plan: Plan, figures: dict[str, float]) -> None:
        self.evidence.append(
            Evidence(id=f"E{len(self.evidence) + 1}", claim=claim, plan=to_json(plan), figures=figures)
        )


def investigate(
    warehouse: Warehouse,
    ledger: Ledger,
    incident: Incident,
    embedder: Embedder,
    *,
    now_us: int,
    rng: np.random.Generator,
) -> Investigation:
    """Answer the four questions with what was known at `now_us`, and record the answer.

    Where data are missing the answer says so (``undecided``, no examples, "too few questions"); it never raises for them.

    Raises:
        StateError: the ledger holds no leading signal of this incident.
    """
    signals = signals_of(ledger, incident)
    lead = next((s for s in signals if s.id == incident.lead), None)
    if lead is None:
        raise StateError(
            f"{incident.id} has no signal {incident.lead!r} in the ledger, so there is nothing to look into"
        )
    if lead.metric == TRAFFIC:  # what did not come has no rows: what came is looked into, by whether it failed
        lead = replace(lead, metric="error", direction="up", kind="binary")
    before = Span(start_us=lead.baseline_from_us, end_us=max(incident.onset_low_us, lead.baseline_from_us + 1))
    case = _Case(warehouse, lead, before, Span(start_us=incident.onset_us, end_us=now_us))
    opener = next((s for s in signals if (s.at_us, s.onset_us) == (incident.alarmed_us, incident.onset_us)), lead)
    x1, n1, x2, n2, x3, n3 = _totals(case)
    x0, n0 = (x1, n1) if n1 else (lead.baseline_x, lead.baseline_n)
    unit = case.unit()
    verdict, reason = isolated_or_systematic(round(x2 / unit), round(n2 / unit), (x0 / unit + 0.5) / (n0 / unit + 1))
    harmed = _harmed_interactions(case)
    traffic = _traffic(case, embedder, rng)
    found = Investigation(
        id=incident.id,
        at_us=now_us,
        examples=_examples(case, harmed),
        suspects=_suspects(case, ledger, traffic, opener),
        verdict=verdict,
        verdict_reason=reason,
        parts=rank_parts(_parts(case)),
        impact=_impact(case, x0 / n0 if n0 else 0.0, x2, n2, lately=x3 / n3 if n3 else None),
        first_alarms=_first_alarms(signals),
        gap=_gap(incident, lead),
        evidence=tuple(case.evidence),
    )
    ledger.put(found, now_us=now_us, by="andon")
    return found


def recompute(warehouse: Warehouse, evidence: Evidence) -> dict[str, float]:
    """Run the plan of a piece of evidence again; the figures must be the same.

    Raises:
        InputError: the plan is not one of the five, or is not a roll-up.
    """
    plan = from_json(evidence.plan)
    if not isinstance(plan, Rollup):
        raise InputError(f"evidence {evidence.id} holds a {type(plan).__name__}; only roll-ups carry figures")
    return _figures(warehouse, plan)


def _figures(warehouse: Warehouse, plan: Rollup) -> dict[str, float]:
    row = warehouse.run(plan).to_pylist()[0]
    return {k: float(v) for k, v in row.items() if v is not None}


def _totals(case: _Case) -> list[float]:
    """Harm and traffic before the onset, since it, and in the last tenth of the time since it, kept as evidence."""
    start, end = case.after.start_us, case.after.end_us
    lately = Span(start_us=end - max(case.signal.window_us, (end - start) // 10), end_us=end)
    numbers = []
    for name, span in (("before the onset", case.before), ("since the onset", case.after), ("lately", lately)):
        for what, extra in (("harmed interactions", (case.harm,)), ("interactions", ())):
            plan = Rollup(table="scores", metrics=(case.signal.metric,), span=span, where=(*case.scope, *extra))
            figures = _figures(case.warehouse, plan)
            case.keep(f"{what} {name}", plan, figures)
            numbers.append(figures[f"{case.signal.metric}.w"])
    return numbers


def _harmed_interactions(case: _Case) -> list[tuple[Interaction, float]]:
    metric = case.signal.metric
    plan = Sample(
        table="scores",
        n=4 * EXAMPLES,
        seed=1,
        columns=("interaction_id", "time_us", metric),
        span=case.after,
        where=(*case.scope, case.harm),
    )
    table = case.warehouse.run(plan)
    values = dict(zip(table["interaction_id"].to_pylist(), table[metric].to_pylist(), strict=True))
    day = Span(start_us=case.after.start_us - DAY_US, end_us=case.after.end_us)
    found = {i.id: i for i in read_interactions_by_id(case.warehouse, sorted(values), day)}
    return [(found[k], float(v)) for k, v in values.items() if k in found]


def _examples(case: _Case, harmed: Sequence[tuple[Interaction, float]]) -> tuple[Example, ...]:
    """Failing interactions, one per question, with what the answer should have been where that is known."""
    examples: dict[str, Example] = {}
    corrections = _corrections(case, [i.id for i, _ in harmed])
    for interaction, value in harmed:
        question = interaction.query or ""
        if question in examples or len(examples) >= EXAMPLES:
            continue
        twin = _twin(case, question, interaction.answer) if question else None
        known = (
            (interaction.expected_answer, "expected answer"),
            (corrections.get(interaction.id), "correction"),
            (twin.answer if twin else None, "passing twin"),
        )
        expected, source = next(
            ((t, how) for t, how in known if t and t.strip() and not _same(t, interaction.answer)), (None, None)
        )
        examples[question] = Example(
            interaction_id=interaction.id,
            at_us=interaction.time_us,
            question=question,
            answer=interaction.answer,
            value=value,
            expected=expected,
            expected_from=source,
            twin=twin,
            confidence=interaction.confidence,
            contexts=tuple(c.text for c in interaction.contexts),
            versions={k: v for k in VERSIONS if (v := getattr(interaction, k)) is not None},
            segments={k: v for k in SEGMENTS if (v := getattr(interaction, k)) is not None},
        )
    return tuple(examples.values())


def _same(one: str, other: str | None) -> bool:
    return other is not None and one.strip() == other.strip()


def _corrections(case: _Case, ids: Sequence[str]) -> dict[str, str]:
    """What people said the right answer is, by interaction; the latest word counts."""
    if not ids:
        return {}
    where = (
        Where(column="interaction_id", op="in", value=tuple(ids)),
        Where(column="kind", op="eq", value="correction"),
        Where(column="text", op="not_null"),
    )
    until = Span(start_us=case.after.start_us - DAY_US, end_us=case.after.end_us)
    found = case.warehouse.run(Slice(table="feedback", columns=("interaction_id", "text"), span=until, where=where))
    return dict(zip(found["interaction_id"].to_pylist(), found["text"].to_pylist(), strict=True))


def _twin(case: _Case, question: str, failing_answer: str | None) -> Twin | None:
    """An answer to the same question before the onset that was fine by the same metric, and is not the failing one."""
    same = (Where(column="query", op="eq", value=question), Where(column="app", op="eq", value=case.signal.app))
    segments = {k: v for k, v in case.signal.scope.items() if k in SEGMENTS}  # what rows of traffic know of themselves
    pairs = {"environment": case.signal.environment, **segments}
    scope = tuple(Where(column=k, op="eq", value=v) for k, v in pairs.items())
    columns = ("id", "time_us", "answer")
    rows = case.warehouse.run(
        Slice(
            table="interactions", columns=columns, span=case.before, where=(*same, *scope), limit=20, newest_first=True
        )
    ).to_pylist()
    if not rows:
        return None
    ids = Where(column="interaction_id", op="in", value=tuple(str(r["id"]) for r in rows))
    metric = case.signal.metric
    scored = case.warehouse.run(
        Slice(table="scores", columns=("interaction_id", metric), span=case.before, where=(ids, *case.scope))
    ).to_pylist()
    op, bound = failing(case.signal.kind, case.signal.direction, case.signal.cut)
    fine = {r["interaction_id"] for r in scored if (r[metric] < bound if op == "ge" else r[metric] >= bound)}
    given = (r for r in rows if r["id"] in fine and r["answer"] and r["answer"].strip())
    row = next((r for r in given if not _same(r["answer"], failing_answer)), None)
    return Twin(answer=row["answer"], at_us=row["time_us"]) if row else None


def _suspects(case: _Case, ledger: Ledger, traffic: Traffic, opener: Signal) -> tuple[Suspect, ...]:
    """Rank the changes before the onset; `opener` is the signal that dated it."""
    s = case.signal
    start, end = opener.onset_low_us - LOOK_BACK_US, max(case.after.end_us, opener.onset_high_us + 1)
    recorded = [c for c in changes_of(ledger, s.app, s.environment, start, end) if c.at_us <= opener.onset_high_us]
    changes = told_once(recorded)
    exposures = _exposures(case, changes)
    candidates = [Candidate(change=c, exposure=exposures.get(c.id), note=_note(c, changes)) for c in changes]
    return rank_suspects(
        candidates,
        metric=s.metric,
        scope=s.scope,
        onset=opener.onset_probability or ((opener.onset_us, 1.0),),
        window_us=s.window_us,
        baseline=(s.baseline_x + 0.5) / (s.baseline_n + 1),
        traffic=traffic,
    )


def _exposures(case: _Case, changes: Sequence[Change]) -> dict[str, Exposure]:
    """Who saw each change that carries a version field, by id of the change."""
    n, x, unit = case.count(case.after), case.count(case.after, case.harm), case.unit()
    seen: dict[str, tuple[dict[str, float], dict[str, float], dict[str, float]]] = {}
    exposures = {}
    for change in changes:
        name, value = change.version_field, change.after
        if name is None or name not in VERSIONS or value is None:
            continue
        if name not in seen:
            seen[name] = case.by(name, case.after), case.by(name, case.after, case.harm), case.by(name, case.before)
        after, harmed, before = seen[name]
        exposures[change.id] = Exposure(
            exposed_x=harmed.get(value, 0) / unit,
            exposed_n=after.get(value, 0) / unit,
            other_x=(x - harmed.get(value, 0)) / unit,
            other_n=(n - after.get(value, 0)) / unit,
            before_share=_share_before(case, change) if value in before else 0.0,
        )
    return exposures


def _share_before(case: _Case, change: Change) -> float:
    """Share of the traffic before the change (and the onset) that saw its version already; 0 where there was none."""
    end = min(change.at_us, case.before.end_us)
    if change.version_field is None or end <= case.before.start_us:
        return 0.0
    span = Span(start_us=case.before.start_us, end_us=end)
    total = case.count(span)
    saw = Where(column=change.version_field, op="eq", value=change.after)
    return case.count(span, saw) / total if total else 0.0


def _note(change: Change, changes: Sequence[Change]) -> str:
    """A corpus that moved while the index stood still is worse than either alone."""
    rebuilt = any(c.kind == "index" and c.at_us >= change.at_us for c in changes)
    return "the index was not rebuilt after the corpus changed" if change.kind == "corpus" and not rebuilt else ""


def _parts(case: _Case) -> list[tuple[str, str, int, int, int, int]]:
    """Harm before and after by each value of each segment and version field; a value that all traffic has tells nothing."""
    rows = []
    for name in (*SEGMENTS, *VERSIONS):
        after, before = case.by(name, case.after), case.by(name, case.before)
        if name in case.signal.scope or len({*after, *before}) < 2:
            continue
        harm_after, harm_before = case.by(name, case.after, case.harm), case.by(name, case.before, case.harm)
        units = case.units(name)
        for value, n in after.items():
            counts = (harm_before.get(value, 0), before.get(value, 0), harm_after.get(value, 0), n)
            x1, n1, x2, n2 = (round(c / units[value]) for c in counts)
            rows.append((name, value, x1, n1, x2, n2))
    return list(dict.fromkeys(rows))


def _impact(case: _Case, baseline: float, x2: float, n2: float, *, lately: float | None) -> Impact:
    users = len(case.by("user_id", case.after, case.harm))
    sessions = len(case.by("session_id", case.after, case.harm))
    return Impact(
        n=round(n2),
        harmed=round(x2),
        excess=round(max(0.0, x2 - n2 * baseline), 1),
        lately=lately,
        users=users or None,
        sessions=sessions or None,
    )


def _traffic(case: _Case, embedder: Embedder, rng: np.random.Generator) -> Traffic:
    """Compare the questions of before and after the onset, and see whether the new ones carry the harm."""
    before, after = _questions(case, case.before), _questions(case, case.after)
    if min(len(before), len(after)) < 20:
        few = (
            f"too few distinct questions to compare ({len(before)} before, {len(after)} since the onset; 20 are needed)"
        )
        return Traffic(shifted=False, explained=0.0, words=(few,), tested=False)
    old = embedder.embed(list(before))
    new = embedder.embed(list(after))
    p, distance = stats.mean_shift(old, new, rng)
    if p >= 0.01:
        return Traffic(shifted=False, explained=0.0, words=(f"questions are as before (p = {p:.3f}, {embedder.name})",))
    likeness = old @ old.T
    np.fill_diagonal(likeness, -1.0)
    familiar = (new @ old.T).max(axis=1) >= np.quantile(likeness.max(axis=1), 0.1)
    harmed = np.array(list(after.values()))
    base = float(np.mean(list(before.values())))
    rate, known = float(harmed.mean()), float(harmed[familiar].mean()) if familiar.any() else base
    explained = float(np.clip(1 - (known - base) / (rate - base), 0, 1)) if rate > base else 0.0
    words = (
        f"the questions changed (permutation p = {p:.3f}, distance of means {distance:.2f}, {embedder.name})",
        f"{1 - familiar.mean():.0%} of the questions are of new kinds, against 10 % expected",
        f"harm {_rate(harmed[familiar])} among familiar questions, {_rate(harmed[~familiar])} among new ones, {base:.0%} before",
    )
    return Traffic(shifted=True, explained=explained, words=words)


def _rate(harmed: NDArray[np.float64]) -> str:
    return f"{harmed.mean():.0%}" if len(harmed) else "none"


def _questions(case: _Case, span: Span) -> dict[str, float]:
    """A sample of distinct questions of the affected traffic and whether each was harmed."""
    metric = case.signal.metric
    plan = Sample(table="scores", n=QUESTIONS, seed=2, columns=("interaction_id", metric), span=span, where=case.scope)
    table = case.warehouse.run(plan)
    values = dict(zip(table["interaction_id"].to_pylist(), table[metric].to_pylist(), strict=True))
    op, bound = failing(case.signal.kind, case.signal.direction, case.signal.cut)
    day = Span(start_us=span.start_us - DAY_US, end_us=span.end_us)
    return {
        i.query: float(values[i.id] >= bound if op == "ge" else values[i.id] < bound)
        for i in read_interactions_by_id(case.warehouse, sorted(values), day)
        if i.query
    }


def _first_alarms(signals: Sequence[Signal]) -> tuple[tuple[str, int], ...]:
    first: dict[str, int] = {}
    for s in signals:
        first.setdefault(f"{s.metric} {s.direction}" + ("" if pages(s) else " (warning)"), s.at_us)
    return tuple(sorted(first.items(), key=lambda p: (p[1], p[0])))


def _gap(incident: Incident, lead: Signal) -> str:
    best, low, high = incident.lag_s
    return (
        f"{duration(best)} from the estimated onset to the first alarm (between {duration(low)} and {duration(high)}, 95 %); "
        f"the evidence was {lead.x} harmed of {lead.n} interactions, and the chart raises a false alarm once in "
        f"{duration(lead.threshold * cluster_us(lead.window_us) / 1e6)}"
    )
