"""The gate's word on a run: pass, fail, undecided, or could not run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from andon.errors import InputError
from andon.evals.records import CaseResult, EvalRun, Verdict
from andon.settings import HIGH_RISK
from andon.stats import clopper_pearson, compare_paired

__all__ = ["BAR", "ERRORS_MAX", "exit_code", "judge"]

BAR = 0.95
"""Pass rate that a run without a baseline has to show."""

ERRORS_MAX = 0.05
"""Share of execution errors above which a run is no measurement."""

_Outcome = Literal["pass", "fail", "undecided", "error"]
_EXIT: dict[_Outcome, int] = {"pass": 0, "fail": 1, "undecided": 3, "error": 4}
_MORE_MAX = 10_000_000


def exit_code(verdict: Verdict) -> int:
    """What a gate in CI ends with: 0 pass, 1 fail, 3 undecided, 4 could not run (2 is a wrong call)."""
    return _EXIT[verdict.outcome]


def judge(run: EvalRun, baseline: EvalRun | None, *, bar: float | None = None, alpha: float = 0.05) -> Verdict:
    """The verdict on a run; the first rule that holds decides.

    1. No cases, no case that ran, or more than 5 % execution errors: ``error``. An error is neither pass nor fail.
    2. With a baseline, by the cases that ran in both (*lost*: passed there, fails here; *gained*: the reverse). `bar` is
       not asked.

       a. A shared scorer has another version: ``undecided``, for the measure changed. No case ran in both: ``undecided``.
       b. A lost case of high risk (category ``high``, ``critical`` or ``unacceptable``, in either run): ``fail``; high risk
          has no tolerated regression.
       c. McNemar's exact one-sided p that losses outnumber gains is at most `alpha`: ``fail``.
       d. A high-risk case passed there and could not run here: ``undecided``.
       e. Nothing lost, or the p that gains outnumber losses is at most `alpha`: ``pass``.
       f. Otherwise ``undecided``, with how many more lost or gained cases would decide it.
    3. Without a baseline, by the exact (Clopper-Pearson) interval of the pass rate at 1 - `alpha`: all above `bar`
       (default 0.95): ``pass``; all below: ``fail``; otherwise ``undecided``, with how many more passing cases would
       decide it. A bar of 1 asks that every case of this set passes, and says nothing about other questions.

    Other cases than the baseline's (another golden set) are named in the reason; they do not decide.

    Raises:
        InputError: `bar` is not in (0, 1], or `alpha` not in (0, 0.5].
    """
    bar = BAR if bar is None else bar
    if not 0 < bar <= 1:
        raise InputError(f"bar is {bar}; a pass rate above 0 and up to 1 is allowed")
    if not 0 < alpha <= 0.5:
        raise InputError(f"alpha is {alpha}; a level above 0 and up to 0.5 is allowed, 0.05 is usual")
    passed, failed, errors = (sum(r.outcome == o for r in run.results) for o in ("pass", "fail", "error"))
    word = _could_not_run(passed + failed, errors)
    if word is None:
        word = (
            _against_bar(passed, failed, errors, bar, alpha)
            if baseline is None
            else _against_baseline(run, baseline, alpha)
        )
    low, high = clopper_pearson(passed, passed + failed, 1 - alpha)
    return Verdict(
        outcome=word.outcome,
        reason=word.reason,
        passed=passed,
        failed=failed,
        errors=errors,
        lost=word.lost,
        gained=word.gained,
        low=low if passed + failed else None,
        high=high if passed + failed else None,
        p_worse=word.p_worse,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    outcome: _Outcome
    reason: str
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    p_worse: float | None = None


def _could_not_run(ran: int, errors: int) -> _Word | None:
    if ran + errors == 0:
        return _Word(outcome="error", reason="the golden set is empty: nothing was tested; add cases")
    if ran == 0:
        return _Word(outcome="error", reason=f"none of {errors} cases ran; see the errors of the cases")
    if errors > ERRORS_MAX * (ran + errors):
        share = f"{errors} of {ran + errors} cases could not run, more than {ERRORS_MAX:.0%}"
        return _Word(outcome="error", reason=f"{share}; see their errors and run again")
    return None


def _against_bar(passed: int, failed: int, errors: int, bar: float, alpha: float) -> _Word:
    n = passed + failed
    low, high = clopper_pearson(passed, n, 1 - alpha)
    rate = f"{passed} of {n} cases pass" + (f" ({errors} could not run)" if errors else "")
    if bar == 1:
        if failed:
            return _Word(outcome="fail", reason=f"{rate}; the bar is every case")
        if errors:
            return _Word(outcome="undecided", reason=f"{rate}; the bar is every case: run those again")
        return _Word(outcome="pass", reason=f"{rate}; the bar is every case")
    shown = f"{rate}; the {1 - alpha:.0%} interval of the rate, {low:.3f} to {high:.3f},"
    if low >= bar:
        return _Word(outcome="pass", reason=f"{shown} is above the bar {bar:g}")
    if high < bar:
        return _Word(outcome="fail", reason=f"{shown} is below the bar {bar:g}")
    return _Word(outcome="undecided", reason=f"{shown} holds the bar {bar:g}; {_more_passing(passed, n, bar, alpha)}")


def _more_passing(passed: int, n: int, bar: float, alpha: float) -> str:
    def enough(more: int) -> bool:
        return clopper_pearson(passed + more, n + more, 1 - alpha)[0] >= bar

    if not enough(_MORE_MAX):
        return f"more than {_MORE_MAX:,} further cases that all pass would be needed to show it"
    low, high = 0, _MORE_MAX  # not enough, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return f"{high} further cases that all pass would show it"


def _against_baseline(run: EvalRun, baseline: EvalRun, alpha: float) -> _Word:
    before, now = _ran(baseline.results), _ran(run.results)
    shared = [i for i in now if i in before]
    notes = _other_cases(run, baseline)
    changed = _changed_scorers(run.scorers, baseline.scorers)
    if changed:
        reason = f"the measure changed since the baseline ({changed}); run the baseline again with these scorers"
        return _Word(outcome="undecided", reason=reason + notes)
    if not shared:
        return _Word(
            outcome="undecided", reason=f"no case ran in both runs; run the baseline on this golden set{notes}"
        )
    lost = tuple(i for i in shared if before[i].outcome == "pass" and now[i].outcome == "fail")
    gained = tuple(i for i in shared if before[i].outcome == "fail" and now[i].outcome == "pass")
    test = compare_paired(len(shared), len(lost), len(gained))
    outcome, why = _decide(
        lost=[_high(now[i], before[i]) for i in lost],
        gained=len(gained),
        unseen=sum(
            r.outcome == "error" and r.case_id in before and _passed_high(before[r.case_id], r) for r in run.results
        ),
        alpha=alpha,
    )
    counts = f"of {len(shared)} cases that ran in both, {len(lost)} lost and {len(gained)} gained"
    return _Word(outcome=outcome, reason=f"{counts}: {why}{notes}", lost=lost, gained=gained, p_worse=test.p_worse)


def _decide(*, lost: Sequence[bool], gained: int, unseen: int, alpha: float) -> tuple[_Outcome, str]:
    """Outcome and why; `lost` says of each lost case whether it is high-risk."""
    if any(lost):
        return "fail", f"{sum(lost)} lost of high risk, where no regression is tolerated"
    n = len(lost)
    test = compare_paired(n + gained, n, gained)
    if test.p_worse <= alpha:
        return "fail", f"worse than the baseline (exact McNemar p = {test.p_worse:.3g}, at most {alpha:g})"
    if unseen:
        return "undecided", f"{unseen} of high risk passed in the baseline and could not run now; run them again"
    if n == 0:
        return "pass", "nothing that passed fails now"
    if test.p_better <= alpha:
        return "pass", f"better than the baseline (exact McNemar p = {test.p_better:.3g}, at most {alpha:g})"
    worse = next(k for k in range(1, _MORE_MAX) if compare_paired(n + gained + k, n + k, gained).p_worse <= alpha)
    better = next(k for k in range(1, _MORE_MAX) if compare_paired(n + gained + k, n, gained + k).p_better <= alpha)
    return "undecided", (
        f"either may be chance (exact McNemar p = {test.p_worse:.3g} for worse, above {alpha:g}); {worse} more lost would show"
        f" that it is worse, {better} more gained that it is better"
    )


def _other_cases(run: EvalRun, baseline: EvalRun) -> str:
    if run.golden == baseline.golden:
        return ""
    there, here = {r.case_id for r in baseline.results}, {r.case_id for r in run.results}
    new = [r for r in run.results if r.case_id not in there]
    failing = sum(r.outcome == "fail" for r in new)
    return (
        f". The golden set is another one than the baseline's: {len(new)} cases are new ({failing} of them fail),"
        f" {len(there - here)} are gone; only shared cases are compared"
    )


def _changed_scorers(now: str, before: str) -> str:
    old, new = (dict(part.split("@", 1) for part in text.split() if "@" in part) for text in (before, now))
    return ", ".join(
        f"{name} {old[name]} -> {new[name]}" for name in sorted(new) if name in old and old[name] != new[name]
    )


def _ran(results: Sequence[CaseResult]) -> dict[str, CaseResult]:
    return {r.case_id: r for r in results if r.outcome != "error"}


def _high(*results: CaseResult) -> bool:
    return any((r.risk_category or "").strip().casefold() in HIGH_RISK for r in results)


def _passed_high(before: CaseResult, now: CaseResult) -> bool:
    return before.outcome == "pass" and _high(before, now)
