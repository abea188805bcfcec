"""Ask a candidate, ask again what was lost where the risk is high, and give the verdict."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from andon.evals.records import Confirmed, EvalRun, Target, Verdict
from andon.evals.rules import DEFAULT, Rules
from andon.evals.run.quarantine import quarantined
from andon.evals.run.runs import keep_run, runs_with
from andon.evals.sentences import shifted
from andon.evals.shifts import score_shifts
from andon.evals.shown import shown
from andon.evals.verdict import ConfirmPlan, confirm_plan, judge
from andon.golden import Case
from andon.store import Ledger
from andon.traffic.quoting import quoted

__all__ = ["Ask", "gate_change", "judge_kept"]

Ask = Callable[[Sequence[Case], Target, int], EvalRun | None]
"""Ask a target these cases so often (`run_evals` with the caller's limits); None where the budget is spent."""


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
    rng: np.random.Generator,
) -> Verdict:
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
    if plan is not None and baseline is not None:
        again, why_not = _asked_again(plan, cases, ask, target, place, baseline)
    if again is not None and baseline is not None:
        ledger.put(Confirmed(id=_pair(run, baseline), now=again[0], before=again[1]), now_us=now_us, by=by)
    verdict = judge_kept(
        ledger, run, baseline, cases, rules=rules, bar=bar, again=again, left_out=left_out, now_us=now_us, rng=rng
    )
    if again is not None or verdict.outcome != "undecided" or not why_not:
        return verdict
    return replace(verdict, notes=(*verdict.notes, f"lost high-risk cases were not asked again: {why_not}"))


def _asked_again(
    plan: ConfirmPlan, cases: Sequence[Case], ask: Ask, target: Target, place: Target | None, baseline: EvalRun
) -> tuple[tuple[EvalRun, EvalRun] | None, str]:
    """New attempts of both versions, or why there are none."""
    if place is None or (never := _never(target, place)):
        return None, never if place else "it is not known how the version in place is asked (`--baseline-target`)"
    lost = [c for c in cases if c.id in plan.cases]
    found = []
    for each in (target, place):
        answered = ask(lost, each, plan.attempts)
        if answered is None:
            return None, "the budget is spent"
        if all(r.outcome == "error" for r in answered.results):
            return None, f"{each.name} could not be asked ({answered.results[0].detail})"
        found.append(answered)
    if other := _other_versions(baseline, found[1], place):
        return None, f"what is asked as the version in place is another one by now ({other})"
    return (found[0], found[1]), ""


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
    rng: np.random.Generator | None = None,
) -> Verdict:
    """The verdict with what the ledger knows: quarantines, retired cases, attempts made again, new cases of incidents never shown to work.

    With `rng`, which draws an interval and nothing that decides, it also tells how graded scores moved.

    Raises:
        InputError: as `judge`.
        StoreError: the ledger failed.
    """
    if again is None and baseline is not None and (kept := ledger.get(Confirmed, _pair(run, baseline))) is not None:
        again = kept.now, kept.before
    there = set() if baseline is None else {r.case_id for r in baseline.results}
    new = [c.id for c in cases if c.incident and c.id not in there] if baseline is not None else []
    runs = runs_with(ledger, new)
    verdict = judge(
        run,
        baseline,
        rules=rules,
        bar=bar,
        quarantined=quarantined(ledger, now_us),
        left_out={*left_out, *_left_out(ledger, run, baseline)},
        confirmations=again,
        unshown=[i for i in new if shown(i, runs) is None],
    )
    told = () if baseline is None or rng is None else shifted(score_shifts(run, baseline, rng))
    return replace(verdict, notes=(*verdict.notes, *told))


def _pair(run: EvalRun, baseline: EvalRun) -> str:
    return f"{run.id}/{baseline.id}"


def _same(target: Target, place: Target) -> bool:
    """Whether two targets lead to the same thing: a version cannot be asked to confirm itself."""
    one, other = ([getattr(t, name, "") for name in ("name", "model", "version", "settings")] for t in (target, place))
    return one == other


def _never(target: Target, place: Target) -> str:
    """Why asking these two would be no comparison; empty where it would be."""
    if still := [t.name for t in (target, place) if hasattr(t, "attempt")]:
        return f"{still[0]} is a recording"
    same = "the candidate and the version in place are asked in the same way, so both would be the candidate"
    return same if _same(target, place) else ""


def _other_versions(baseline: EvalRun, asked: EvalRun, place: Target) -> str:
    """In what the version that was asked differs from that of the baseline, as far as both are known.

    Another address, or another folder, is a place that the user named: then only what the two say of themselves counts.
    """
    names = sorted(baseline.versions) if place.name == baseline.target else ("model", "version")
    before, now = baseline.versions, asked.versions
    other = [n for n in names if n in before and now.get(n, before[n]) != before[n]]
    return ", ".join(f"{n} {quoted(before[n], 60)} -> {quoted(now[n], 60)}" for n in other)


def _left_out(ledger: Ledger, run: EvalRun, baseline: EvalRun | None) -> list[str]:
    """Cases of the baseline that this run rightly lacks: they are retired, or of another application."""
    here = {r.case_id for r in run.results}
    missing = dict.fromkeys(r.case_id for r in (() if baseline is None else baseline.results) if r.case_id not in here)
    known = [case for case in (ledger.get(Case, i) for i in missing) if case is not None]
    return [c.id for c in known if c.retired is not None or run.app not in (None, c.app)]
