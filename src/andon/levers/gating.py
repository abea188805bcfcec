"""Which version of a lever an eval run tested, and the gate's word as a version keeps it: values in, values out."""

from collections.abc import Sequence
from contextlib import suppress

from andon.errors import InputError
from andon.evals import EvalRun, Verdict
from andon.levers.records import GateResult, Lever, Version
from andon.levers.registry import find_version
from andon.traffic import quoted

__all__ = ["names_version", "result_of"]

_WORDS = {"error": "could not run"}
_APART = ("settings", "revision")
"""Digests of something else."""


def names_version(run: EvalRun, version: Version, lever: Lever, versions: Sequence[Version]) -> bool:
    """Whether a run says that it tested this version; False where it says nothing of the lever.

    Raises:
        InputError: it says that it tested another version of the lever.
    """
    told: set[str] = set()
    for key, text in run.versions.items():
        if key not in _APART:
            with suppress(InputError):
                told.add(find_version(lever, versions, text).digest)
    if others := sorted(told - {version.digest}):
        raise InputError(
            f"run {run.id} tested {lever.id}@{others[0]}, not {version.id}; run the golden set against {version.id}"
        )
    return bool(told)


def result_of(
    run: EvalRun, before: EvalRun | None, verdict: Verdict, *, vouched_by: str | None = None, by: str, now_us: int
) -> GateResult:
    """The verdict on a run that tested a version, as the version keeps it.

    Args:
        run: that tested it.
        before: what it was compared with.
        verdict: on the run.
        vouched_by: who says that it tested this version, where the run itself does not say.
        by: who asked.
        now_us: the clock.
    """
    against = "no baseline" if before is None else f"run {before.id}"
    word = (
        f"; the run does not say which version it tested, {vouched_by} says that it was this one" if vouched_by else ""
    )
    reason = f"{verdict.reason} (run {run.id} of {quoted(run.target, 120)} against {against}{word})"
    outcome = _WORDS.get(verdict.outcome, verdict.outcome)
    return GateResult(outcome=outcome, reason=reason, by=by, at_us=now_us, run=run.id)  # type: ignore[arg-type]
