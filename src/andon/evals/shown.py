"""Shown once: a case made for an incident failed on the version of then, and passes on a later one. Pure."""

from collections.abc import Iterable, Sequence

from andon.evals.pairs import outcome_of
from andon.evals.records import CaseResult, EvalRun, Shown

__all__ = ["outcomes", "shown"]


def shown(case_id: str, runs: Iterable[EvalRun]) -> Shown | None:
    """The first run in which the case failed, and the first later one of another version or target in which it passes.

    It passes in a run when every attempt at it passes; an attempt that could not run shows nothing. Runs of the same target
    whose known versions are the same (or unknown in both) are one version: flakiness shows nothing. None: not shown yet.
    """
    failed: list[EvalRun] = []
    for run in sorted(runs, key=lambda r: (r.at_us, r.id)):
        outcome = outcome_of(r for r in run.results if r.case_id == case_id)
        if outcome == "fail":
            failed.append(run)
        elif outcome == "pass":
            before = next((f for f in failed if _changed(f, run)), None)
            if before is not None:
                return Shown(
                    case=case_id,
                    failed_run=before.id,
                    failed_target=before.target,
                    failed_us=before.at_us,
                    passed_run=run.id,
                    passed_target=run.target,
                    passed_us=run.at_us,
                    changed=", ".join(_changed(before, run)),
                )
    return None


def outcomes(run: EvalRun) -> dict[str, str]:
    """What became of each case over all its attempts (`outcome_of`)."""
    attempts: dict[str, list[CaseResult]] = {}
    for r in run.results:
        attempts.setdefault(r.case_id, []).append(r)
    return {case: outcome_of(each) for case, each in attempts.items()}


def _changed(before: EvalRun, now: EvalRun) -> Sequence[str]:
    """What differs between what two runs tested, in words."""
    found = [] if before.target == now.target else [f"target {before.target} -> {now.target}"]
    for name in sorted({*before.versions, *now.versions}):
        old, new = before.versions.get(name), now.versions.get(name)
        if old is not None and new is not None and old != new:
            found.append(f"{name} {old} -> {new}")
    return found
