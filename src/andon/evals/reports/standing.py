"""Where each case of a run stands: passed, lost, failing as before, ... Every report says it in these words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from andon.evals.pairs import outcome_of
from andon.evals.records import CaseResult, EvalRun, Verdict
from andon.golden import Case

__all__ = ["FAILING", "Standing", "Word", "standings"]

Word = Literal["pass", "gained", "lost", "new", "before", "fail", "error", "quarantined"]
"""``lost``: the baseline passed it. ``new``: the baseline does not know it. ``before``: it failed there too. ``fail``: it
fails, and there is nothing to compare with. ``error``: it could not run. ``quarantined``: it decides nothing for now."""

FAILING: tuple[Word, ...] = ("lost", "new", "fail", "before")
"""The words of a case that fails, the most urgent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One case of a run: its attempts, and where it stands."""

    case_id: str
    word: Word
    case: Case | None
    """None: the golden set at hand does not hold it."""
    attempts: tuple[CaseResult, ...]
    shown: CaseResult
    """The attempt that a report shows: the first that failed, else the first that could not run, else the first."""
    passed: int
    ran: int
    """Attempts that ran: the rest are execution errors."""

    @property
    def outcome(self) -> Literal["pass", "fail", "error"]:
        """What became of it over all its attempts (`outcome_of`)."""
        return outcome_of(self.attempts)

    @property
    def share(self) -> str:
        """How many attempts failed, where there was more than one."""
        return f"{self.ran - self.passed} of {self.ran} attempts failed" if self.ran > 1 else ""


def standings(run: EvalRun, verdict: Verdict, cases: Iterable[Case], baseline: EvalRun | None) -> tuple[Standing, ...]:
    """Each case of a run once, in the order of the run.

    What is lost and gained is the verdict's word. A case passes when every attempt at it ran and passed.
    """
    known = {c.id: c for c in cases}
    attempts: dict[str, list[CaseResult]] = {}
    for r in run.results:
        attempts.setdefault(r.case_id, []).append(r)
    before = None if baseline is None else {r.case_id: r.outcome for r in baseline.results}
    failed_before = set() if baseline is None else {r.case_id for r in baseline.results if r.outcome == "fail"}
    lost, gained, out = set(verdict.lost), set(verdict.gained), set(verdict.quarantined)

    def word(case_id: str, outcome: Literal["pass", "fail", "error"]) -> Word:
        if case_id in out:
            return "quarantined"
        if case_id in lost:
            return "lost"
        if outcome == "error":
            return "error"
        if outcome == "pass":
            return "gained" if case_id in gained else "pass"
        if before is None:
            return "fail"
        return "before" if case_id in failed_before else "fail" if case_id in before else "new"

    found = []
    for case_id, each in attempts.items():
        passed, ran = (sum(r.outcome in kinds for r in each) for kinds in (("pass",), ("pass", "fail")))
        shown = min(each, key=lambda r: ("fail", "error", "pass").index(r.outcome))
        found.append(
            Standing(
                case_id=case_id,
                word=word(case_id, outcome_of(each)),
                case=known.get(case_id),
                attempts=tuple(each),
                shown=shown,
                passed=passed,
                ran=ran,
            )
        )
    return tuple(found)
