"""Ask a candidate, ask again what was lost where the risk is high, and give the verdict."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from andon.evals.records import Confirmed, EvalRun, Target, Verdict
from andon.evals.rules import DEFAULT, Rules
from andon.evals.run.quarantine import quarantined
from andon.evals.run.runs import keep_run, runs_with
from andon.evals.shown import shown
from andon.evals.verdict import confirm_plan, judge
from andon.golden import Case
from andon.store import Ledger
from andon.traffic.quoting import quoted

__all__ = ["Ask", "Gated", "gate_change", "judge_kept"]

Ask = Callable[[Sequence[Case], Target, int], EvalRun | None]
"""Ask a target these cases so often (`run_evals` with the caller's limits); None where the budget is spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """What came of a gate."""

    verdict: Verdict
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
    left_out: Collection[str] = (),
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
    left_out = {*left_out, *_left_out(ledger, run, baseline)}
    plan = confirm_plan(run, baseline, rules, quarantined=out, left_out=left_out)
    again, why_not = None, ""
    if plan is not None and place is None:
        why_not = "it is not known how the version in place is asked"
    elif (
        plan is not None and place is not None and (still := [t.name for t in (target, place) if hasattr(t, "attempt")])
    ):
        why_not = f"{still[0]} is a recording"
    elif plan is not None and place is not None and _same(target, place):
        why_not = "the candidate and the version in place are asked in the same way, so both would be the candidate"
    elif plan is not None and place is not None:
        lost = [c for c in cases if c.id in plan.cases]
        now, before = (ask(lost, t, plan.attempts) for t in (target, place))
        again = None if now is None or before is None else (now, before)
        why_not = "the budget is spent"
        if again is not None and baseline is not None and (other := _other_versions(baseline, again[1])):
            again, why_not = None, f"what is asked as the version in place is another one by now ({other})"
    if again is not None and baseline is not None:
        ledger.put(Confirmed(id=_pair(run, baseline), now=again[0], before=again[1]), now_us=now_us, by=by)
    verdict = judge_kept(
        ledger, run, baseline, cases, rules=rules, bar=bar, again=again, left_out=left_out, now_us=now_us
    )
    not_asked = why_not if again is None and verdict.outcome == "undecided" else ""
    return Gated(verdict=verdict, not_asked=not_asked)


def judge_kept(
    ledger: Ledger,
    run: EvalRun,
    baseline: EvalRun | None,
    cases: Sequence[Case],
    *,
    rules: Rules = DEFAULT,
    bar: float | None = None,
    again: tuple[EvalRun, EvalRun] | None = None,
    left_out: Collection[str] = (),
    now_us: int,
) -> Verdict:
    """The verdict with what the ledger knows: quarantines, retired cases, attempts made again, new cases of incidents never shown to work.

    Raises:
        InputError: as `judge`.
        StoreError: the ledger failed.
    """
    if again is None and baseline is not None and (kept := ledger.get(Confirmed, _pair(run, baseline))) is not None:
        again = kept.now, kept.before
    there = set() if baseline is None else {r.case_id for r in baseline.results}
    new = [c.id for c in cases if c.incident and c.id not in there] if baseline is not None else []
    runs = runs_with(ledger, new)
    return judge(
        run,
        baseline,
        rules=rules,
        bar=bar,
        quarantined=quarantined(ledger, now_us),
        left_out={*left_out, *_left_out(ledger, run, baseline)},
        confirmations=again,
        unshown=[i for i in new if shown(i, runs) is None],
    )


def _pair(run: EvalRun, baseline: EvalRun) -> str:
    return f"{run.id}/{baseline.id}"


def _same(target: Target, place: Target) -> bool:
    """Whether two targets lead to the same thing: a version cannot be asked to confirm itself."""
    one, other = ([getattr(t, name, "") for name in ("name", "model", "version", "settings")] for t in (target, place))
    return one == other


def _other_versions(baseline: EvalRun, asked: EvalRun) -> str:
    """In what the version that was asked differs from that of the baseline, as far as both are known."""
    names = [
        n for n in sorted(baseline.versions) if asked.versions.get(n, baseline.versions[n]) != baseline.versions[n]
    ]
    return ", ".join(f"{n} {quoted(baseline.versions[n], 60)} -> {quoted(asked.versions[n], 60)}" for n in names)


def _left_out(ledger: Ledger, run: EvalRun, baseline: EvalRun | None) -> list[str]:
    """Cases of the baseline that this run rightly lacks: they are retired, or of another application."""
    here = {r.case_id for r in run.results}
    missing = dict.fromkeys(r.case_id for r in (() if baseline is None else baseline.results) if r.case_id not in here)
    known = [case for case in (ledger.get(Case, i) for i in missing) if case is not None]
    return [c.id for c in known if c.retired is not None or run.app not in (None, c.app)]
