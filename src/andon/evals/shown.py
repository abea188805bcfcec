"""Shown once: a case made for an incident failed on the version of then, and passes on a later one. Pure."""

from collections.abc import Iterable

from andon.evals.pairs import outcome_of
from andon.evals.records import EvalRun
from andon.evals.repeats import attempts_of

__all__ = ["outcomes", "shown"]


def shown(case_id: str, runs: Iterable[EvalRun]) -> tuple[EvalRun, EvalRun] | None:
    """The first run in which the case failed, and the first later one of another version or target in which it passes.

    It passes in a run when every attempt at it passes; an attempt that could not run shows nothing. Runs of the same target
    whose known versions are the same (or unknown in one) are one version: flakiness shows nothing. None: not shown yet.
    """
    failed: list[EvalRun] = []
    for run in sorted(runs, key=lambda r: (r.at_us, r.id)):
        outcome = outcome_of(r for r in run.results if r.case_id == case_id)
        if outcome == "fail":
            failed.append(run)
        elif outcome == "pass" and (before := next((f for f in failed if _differ(f, run)), None)) is not None:
            return before, run
    return None


def outcomes(run: EvalRun) -> dict[str, str]:
    """What became of each case over all its attempts (`outcome_of`)."""
    return {case: outcome_of(each) for case, each in attempts_of(run.results).items()}


def _differ(one: EvalRun, other: EvalRun) -> bool:
    """Whether two runs tested different things, as far as it is known."""
    both = one.versions.keys() & other.versions.keys()
    return one.target != other.target or any(one.versions[name] != other.versions[name] for name in both)
