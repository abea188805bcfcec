"""The run of an application that candidates are compared with: set, read, and run again by itself when the set has changed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from andon.errors import InputError, StateError, StoreError
from andon.evals.records import Baseline, CaseResult, CaseScorer, EvalRun, Progress, Refreshed, Target
from andon.evals.repeats import counts_of
from andon.evals.run.asking import run_evals, versions_of
from andon.evals.run.gating import judge_kept
from andon.evals.run.runs import named
from andon.evals.scoring import measured_by, scorer_versions
from andon.evals.targets import CallableTarget, CommandTarget, HttpTarget, keepable_spec, make_target
from andon.golden import Case, golden_digest
from andon.scores import Embedder, Scorer
from andon.store import Ledger
from andon.traffic.quoting import quoted

__all__ = ["baseline_of", "refresh_baseline", "set_baseline"]


def set_baseline(
    ledger: Ledger, run: EvalRun, *, target: str, now_us: int, by: str, app: str | None = None
) -> Baseline:
    """Compare candidates of an application with this run from now on; it is kept, with the spec that asks its target again.

    Raises:
        InputError: the spec may hold a secret, or the run could not run (as a gate says it: more than 5 % errors).
        StoreError: the ledger failed.
    """
    name = app or run.app
    if not name:
        raise InputError("the run is of several applications; name one whose baseline it shall be")
    verdict = judge_kept(ledger, run, None, (), now_us=now_us)
    if verdict.outcome == "error":
        raise InputError(f"run {quoted(run.id)} can be no baseline, for it could not run: {verdict.reason}")
    made = Baseline(id=name, target=keepable_spec(target), run=run.id, by=by, at_us=now_us)
    ledger.put(run, now_us=now_us, by=by)
    ledger.put(made, now_us=now_us, by=by)
    return made


def baseline_of(ledger: Ledger, app: str) -> EvalRun | None:
    """The run that candidates of an application are compared with; None where nobody has set one.

    Raises:
        StoreError: the ledger failed, or the run is not in it.
    """
    found = ledger.get(Baseline, app)
    if found is None:
        return None
    run = ledger.get(EvalRun, found.run)
    if run is None:
        raise StoreError(
            f"the baseline of {quoted(app)} is run {quoted(found.run)}, which the ledger does not hold; set another"
        )
    return run


def refresh_baseline(
    ledger: Ledger,
    app: str,
    cases: Sequence[Case],
    scorers: Mapping[str, Scorer | CaseScorer],
    embedder: Embedder,
    *,
    now_us: int,
    by: str,
    target: Target | None = None,
    versions: Mapping[str, str] | None = None,
    workers: int = 4,
    report: Callable[[Progress], None] | None = None,
) -> Refreshed:
    """Bring the baseline of an application up to a golden set that has changed.

    The baseline's target is asked the cases that did not run in the baseline, or are measured otherwise now, as often as the
    others were, and a new run over all cases is kept; where a scorer has another version, all cases are asked. A target that cannot be reached, or is another
    version than the baseline's by now, changes nothing, and it is said: a regression must not become the baseline by itself.

    Args (the others as for `run_evals`):
        cases: the whole golden set of the application as it is now.
        target: asked instead of making one from the baseline's spec.
        versions: what would be asked now, as far as the caller knows (``revision``); its model and version are looked at.

    Raises:
        StoreError: the ledger failed.
    """
    found, old = ledger.latest(Baseline, app), baseline_of(ledger, app)
    if found is None or old is None:
        return Refreshed(said=f"{quoted(app)} has no baseline; `andon eval baseline` sets one")
    try:
        asked = _its_target(found.record, old, target, versions or {})
    except InputError as error:
        return Refreshed(said=f"the baseline stays as it is: {error}")
    each = list({c.id: c for c in cases}.values())
    why = _changed(old, each, scorers, embedder)
    there = {} if why else {r.case_id: r.measured for r in old.results if r.outcome != "error"}
    new = [c for c in each if there.get(c.id) != measured_by(c, scorers, embedder)]
    if not each or (not new and golden_digest(each) == old.golden):
        return Refreshed(said="the baseline holds every case already" if each else "the golden set is empty")
    fresh = run_evals(
        new, asked, scorers, embedder, now_us=now_us, repeats=old.repeats, workers=workers, report=report, app=app
    )
    if new and all(r.outcome == "error" for r in fresh.results):
        said = f"the baseline stays as it is: its target {quoted(asked.name)} gave no answer: {fresh.results[0].detail}"
        return Refreshed(asked=len(new), said=said)
    run = _merged(old, fresh, each, scorer_versions(each, scorers, embedder), now_us)
    ledger.put(run, now_us=now_us, by=by)
    try:
        ledger.put(replace(found.record, run=run.id, by=by, at_us=now_us), now_us=now_us, by=by, expect=found.version)
    except StateError:
        return Refreshed(asked=len(new), said=f"somebody set another baseline of {quoted(app)} meanwhile, which stays")
    return Refreshed(run=run, asked=len(new), said=_said(new, each, fresh, why))


def _merged(old: EvalRun, fresh: EvalRun, cases: Sequence[Case], scorers: str, now_us: int) -> EvalRun:
    """The new run: what was asked now, and what stands from before, by case and then by repeat."""
    asked = {r.case_id for r in fresh.results}
    results: dict[str, list[CaseResult]] = {c.id: [] for c in cases}
    for r in (*fresh.results, *(r for r in old.results if r.case_id not in asked)):
        if r.case_id in results:
            results[r.case_id].append(r)
    return named(
        replace(
            old,
            at_us=now_us,
            target=fresh.target,
            golden=golden_digest(cases),
            scorers=scorers,
            results=tuple(r for c in cases for r in results[c.id]),
            versions={**old.versions, **fresh.versions},
        )
    )


def _its_target(kept: Baseline, old: EvalRun, target: Target | None, versions: Mapping[str, str]) -> Target:
    """What the baseline is of, so that it can be asked again.

    Raises:
        InputError: it leads nowhere, to another version by now, or nothing tells which version answers there.
    """
    found = make_target(kept.target) if target is None else target
    now = {**versions_of(found), **versions}
    for name, value in now.items():
        if old.versions.get(name, value) != value:
            was = quoted(old.versions[name])
            raise InputError(
                f"its {name} is {was}, and that of its target now {quoted(value)}; `andon eval baseline` sets another one"
            )
    same = [now[n] for n in ("model", "version", "revision") if n in old.versions and n in now]
    told = [v for v in same if not v.endswith("-dirty")]  # which is the name of any change
    if isinstance(found, HttpTarget | CommandTarget | CallableTarget) and not told:
        raise InputError(
            f"nobody can tell whether {quoted(found.name)} is still the version that it ran on; give one (`version` in a target"
            " file, `__version__` in a module, or git with all changes committed) and run it again: `andon eval baseline --target ...`"
        )
    return found


def _changed(
    old: EvalRun, cases: Sequence[Case], scorers: Mapping[str, Scorer | CaseScorer], embedder: Embedder
) -> str:
    """Why the old results cannot stand beside new ones; empty if they can."""
    there = {r.case_id for r in old.results}
    measures = set(scorer_versions([c for c in cases if c.id in there], scorers, embedder).split())
    changed = sorted(measures - set(old.scorers.split()))
    return f"{', '.join(changed)} is another measure than then" if changed else ""


def _said(new: Sequence[Case], cases: Sequence[Case], fresh: EvalRun, why: str) -> str:
    passed, failed, errors = counts_of(fresh.results)
    attempts = "" if fresh.repeats == 1 else f" {fresh.repeats} times each"
    counts = f"{passed} passed, {failed} failed" + (f", {errors} could not run" if errors else "")
    if why:
        return f"{why}, so the baseline was run again on all {len(cases)} cases{attempts}: {counts}"
    if not new:
        return f"cases were taken out of the golden set; the baseline holds the {len(cases)} that are left"
    return f"the baseline's target was asked {len(new)} of {len(cases)} cases{attempts}: {counts}"
