"""Ask a candidate, ask again what was lost where the risk is high, and give the verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from andon.evals.confirming import confirm_plan
from andon.evals.records import EvalRun, Target, Verdict
from andon.evals.rules import DEFAULT, Rules
from andon.evals.run.quarantine import quarantined
from andon.evals.run.runs import keep_run
from andon.evals.shown import shown
from andon.evals.verdict import judge
from andon.golden import Case
from andon.store import Ledger

__all__ = ["Ask", "Gated", "gate_change", "judge_kept"]

Ask = Callable[[Sequence[Case], Target, int], EvalRun | None]
"""Ask a target these cases so often (`run_evals` with the caller's limits); None where the budget is spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """What came of a gate."""

    verdict: Verdict
    asked_again: tuple[EvalRun, EvalRun] | None = None
    """New attempts at lost high-risk cases, of the candidate and of the version in place."""
    not_asked: str = ""
    """Why lost high-risk cases were not asked again, although that could decide it."""


def gate_change(
    ledger: Ledger,
    run: EvalRun,
    baseline: EvalRun | None,
    cases: Sequence[Case],
    ask: Ask,
    *,
    target: Target,
    place: Target | None,
    rules: Rules = DEFAULT,
    bar: float | None = None,
    now_us: int,
    by: str,
) -> Gated:
    """Keep the run of a candidate, ask again what has to be confirmed, and judge it.

    Lost cases of ``no_regression`` rules are asked again of the candidate and of the version in `place`, unless that is not
    known or one of them is a recording: then the verdict says how often to ask.

    Raises:
        InputError: as `judge`.
        StoreError: the ledger failed.
    """
    keep_run(ledger, run, now_us=now_us, by=by)
    out = quarantined(ledger, now_us)
    plan = confirm_plan(run, baseline, rules, quarantined=out)
    again, why_not = None, ""
    if plan is not None and place is None:
        why_not = "it is not known how the version in place is asked"
    elif (
        plan is not None and place is not None and (still := [t.name for t in (target, place) if hasattr(t, "attempt")])
    ):
        why_not = f"{still[0]} is a recording"
    elif plan is not None and place is not None:
        lost = [c for c in cases if c.id in plan.cases]
        now, before = (ask(lost, t, plan.attempts) for t in (target, place))
        again = None if now is None or before is None else (now, before)
        why_not = "" if again else "the budget is spent"
    verdict = judge_kept(ledger, run, baseline, cases, rules=rules, bar=bar, again=again, now_us=now_us)
    return Gated(verdict=verdict, asked_again=again, not_asked=why_not if verdict.outcome == "undecided" else "")


def judge_kept(
    ledger: Ledger,
    run: EvalRun,
    baseline: EvalRun | None,
    cases: Sequence[Case],
    *,
    rules: Rules = DEFAULT,
    bar: float | None = None,
    again: tuple[EvalRun, EvalRun] | None = None,
    now_us: int,
) -> Verdict:
    """The verdict with what the ledger knows: quarantines, and whether new cases of incidents were ever shown to work.

    Raises:
        InputError: as `judge`.
        StoreError: the ledger failed.
    """
    there = set() if baseline is None else {r.case_id for r in baseline.results}
    new = [c.id for c in cases if c.incident and c.id not in there] if baseline is not None else []
    runs = ledger.all(EvalRun) if new else []
    return judge(
        run,
        baseline,
        rules=rules,
        bar=bar,
        quarantined=quarantined(ledger, now_us),
        confirmations=again,
        unshown=[i for i in new if shown(i, runs) is None],
    )
