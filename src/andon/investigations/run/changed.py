"""Question 2, read from the tables and the change log: what changed?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from andon import stats
from andon.changes import Change
from andon.changes.run import changes_of
from andon.investigations.records import Suspect
from andon.investigations.run.case import DAY_US, Case
from andon.investigations.suspects import Candidate, Exposure, Traffic, rank_suspects, told_once
from andon.monitors import Signal
from andon.scores import Embedder, failing
from andon.store import Ledger, Sample, Span, Where
from andon.traffic import VERSIONS
from andon.traffic.run import read_interactions_by_id

__all__ = ["suspects_of", "traffic_of"]


LOOK_BACK_US = 60 * DAY_US
"""Changes this long before the onset are candidates: a corpus may take six weeks to hurt."""


QUESTIONS = 800
"""Questions before and after that are compared by meaning."""


def suspects_of(case: Case, ledger: Ledger, traffic: Traffic, opener: Signal) -> tuple[Suspect, ...]:
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


def _exposures(case: Case, changes: Sequence[Change]) -> dict[str, Exposure]:
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


def _share_before(case: Case, change: Change) -> float:
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


def traffic_of(case: Case, embedder: Embedder, rng: np.random.Generator) -> Traffic:
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


def _questions(case: Case, span: Span) -> dict[str, float]:
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
