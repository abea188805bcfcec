"""The gate's word on a run: pass, fail, undecided, or could not run. Pure and without chance: equal runs, equal verdict.

1. No cases, no case that ran, or more than 5 % execution errors: ``error``. An error is neither pass nor fail.
2. With a baseline a shared scorer has another version: ``undecided``, for the measure changed. No case ran in both:
   ``undecided``. A case that is measured otherwise than in the baseline (`CaseResult.measured`) is not compared.
3. Each case belongs to one rule (`Rules.rule_of`), and each rule has a word on its cases. *Lost*: passes less often than in
   the baseline; *gained*: more often. The gate fails where a rule fails, else is undecided where a rule is, else passes.

   - ``not_worse`` fails when losses outnumber gains beyond chance (McNemar's exact test; `stats.sign_flip` with repeats or
     clusters). It passes where nothing is lost, or gains outnumber losses beyond chance.
   - ``no_regression`` never passes with a lost case. It fails where the loss is shown: over its cases as above, by the
     repeats of one case, or by new attempts (`confirm_plan`), or at once with ``confirm = 0``. Until then it is undecided. A
     case that, asked again, passes as often as in the baseline's version, which still passes it, is not lost any more.
   - ``at_most`` fails when the drop of the pass rate is shown to be more than its limit, and passes when it is shown not
     to be (`stats.paired_drop`).
   - ``bar`` holds the exact interval of the pass rate against the bar; it needs no baseline.

   A rule for several risk categories also fails where one of them is worse beyond chance. p-values are adjusted over all
   tests that could fail the gate (Holm): a change that made nothing worse fails in at most `alpha`.
4. No pass where nobody can say whether something was lost: a case that passed in the baseline could not run; a high-risk case
   could not run there, is measured otherwise, is new and fails, or is in the baseline and was not run; nothing of a risk
   category was compared, or less than half of all cases; the baseline has more than 5 % errors; a rule covers no case, or no
   rule a case that is lost, of high risk, or passed before and could not run.
5. Without a baseline the ``bar`` rules and the bar of `judge` decide; a rule that needs a baseline is then undecided, unless
   `judge` was given a bar instead. A bar of 1 asks that every case of this set passes, and says nothing about other questions.

Other cases that only one of the runs holds do not decide; they are told. Where the runs asked a case unequally often, it is
lost or gained by all its attempts, and tested by those that both hold.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from andon.errors import InputError
from andon.evals.confirming import attempts_needed
from andon.evals.covering import Covered, covered_by, listed, uncovered
from andon.evals.groups import NOTHING_LOST, count_tests, judge_groups
from andon.evals.pairs import compare, flaky_cases, other_measure, pairs_of, rate_interval
from andon.evals.records import CaseResult, EvalRun, Group, Verdict
from andon.evals.rules import DEFAULT, GROUP, REST, Rule, Rules
from andon.evals.sentences import (
    changed_scorers,
    count,
    figure,
    in_one_run,
    name_of,
    never_shown,
    not_compared,
    quarantines,
    worse_parts,
)
from andon.traffic.quoting import quoted

__all__ = ["ERRORS_MAX", "ConfirmPlan", "confirm_plan", "exit_code", "judge"]

ERRORS_MAX = 0.05
"""Share of execution errors above which a run is no measurement."""

_Outcome = Literal["pass", "fail", "undecided", "error"]
_EXIT: dict[_Outcome, int] = {"pass": 0, "fail": 1, "undecided": 3, "error": 4}


def exit_code(verdict: Verdict) -> int:
    """What a gate in CI ends with: 0 pass, 1 fail, 3 undecided, 4 could not run (2 is a wrong call)."""
    return _EXIT[verdict.outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPlan:
    """What to ask again, of both versions, and how often."""

    cases: tuple[str, ...]
    attempts: int


def confirm_plan(
    run: EvalRun,
    baseline: EvalRun | None,
    rules: Rules = DEFAULT,
    *,
    quarantined: Collection[str] = (),
    left_out: Collection[str] = (),
) -> ConfirmPlan | None:
    """The lost cases of ``no_regression`` rules, and how many new attempts at each, of both versions, could show the loss.

    None where nothing was lost, or the rules say that the first loss fails. Ask the same number of attempts at these cases of
    both versions (`run_evals` with `repeats`), and give both runs to `judge` as `confirmations`.
    """
    if baseline is None or not rules.confirm:
        return None
    out = {*quarantined, *rules.set_aside(run.at_us)}
    covered = covered_by(_without(run, out), _without(baseline, out), rules, left_out)
    lost = tuple(p.case for c in covered if c.rule.kind == "no_regression" for p in c.pairs if p.change < 0)
    if not lost:
        return None
    tests = count_tests(covered, rules)
    return ConfirmPlan(cases=lost, attempts=attempts_needed(len(lost), tests, rules.alpha, rules.confirm))


def judge(
    run: EvalRun,
    baseline: EvalRun | None,
    *,
    rules: Rules = DEFAULT,
    bar: float | None = None,
    alpha: float | None = None,
    quarantined: Collection[str] = (),
    left_out: Collection[str] = (),
    confirmations: tuple[EvalRun, EvalRun] | None = None,
    unshown: Collection[str] = (),
) -> Verdict:
    """The verdict on a run, by the rules that the docstring of this module tells.

    Args:
        run: what is judged.
        baseline: the run to compare with.
        rules: what is asked of which cases; their quarantines hold as of the time of the run.
        bar: the pass rate that must be shown over all cases, beside the rules; without a baseline instead of those that need one.
        alpha: the level, instead of the rules' own.
        quarantined: ids of cases that do not decide, beside those of the rules.
        left_out: ids of cases that are not run on purpose (retired, of another application): it is no gap that they are missing.
        confirmations: new attempts at lost high-risk cases (`confirm_plan`), of this version and of the baseline's.
        unshown: ids of cases of incidents that were never shown to fail on the old version and to pass on the fix; they are named.

    Raises:
        InputError: `bar` is not in (0, 1], `alpha` not in (0, 0.5], or the runs are of two applications.
    """
    if baseline is not None and run.app and baseline.app and run.app != baseline.app:
        apps = f"{quoted(run.app, 60)} and the baseline of {quoted(baseline.app, 60)}"
        raise InputError(f"the run is of {apps}; compare runs of one application")
    rules = rules if alpha is None else replace(rules, alpha=alpha)
    if bar is not None and not 0 < bar <= 1:
        raise InputError(f"bar is {bar}; a pass rate above 0 and up to 1 is allowed")
    if not 0 < rules.alpha <= 0.5:
        raise InputError(f"alpha is {alpha}; a level above 0 and up to 0.5 is allowed, 0.05 is usual")
    out = {*quarantined, *rules.set_aside(run.at_us)}
    aside = tuple(dict.fromkeys(r.case_id for r in run.results if r.case_id in out))
    run = _without(run, out)
    baseline = None if baseline is None else _without(baseline, out)
    word = _could_not_run(run.results, aside)
    if word is None:
        covered = covered_by(run, baseline, rules, left_out)
        if bar is not None:
            every = replace(rules, rules=(Rule(category=REST, kind="bar", limit=bar),))
            named = replace(every.rules[0], category="every case")
            covered = (*covered, *(replace(c, rule=named) for c in covered_by(run, baseline, every, left_out)))
        if baseline is None or (_bars_only(rules) and not pairs_of(run, baseline)):
            word = _alone(run, rules, covered, bar)
        else:
            word = _against(run, baseline, rules, covered, confirmations)
        word = _held_back(word, run, baseline, rules, covered, left_out)
    notes = (*in_one_run(run, baseline, left_out), *never_shown(run, unshown), *quarantines(run, rules, aside))
    return _verdict(replace(word, notes=(*word.notes, *notes)), run, baseline, rules.alpha, aside)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    outcome: _Outcome
    reason: str
    notes: tuple[str, ...] = ()
    decides: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    p_worse: float | None = None
    groups: tuple[Group, ...] = ()
    mde: float | None = None


def _verdict(word: _Word, run: EvalRun, baseline: EvalRun | None, alpha: float, aside: tuple[str, ...]) -> Verdict:
    """The word with the counts of the run."""
    ended = [r for r in run.results if r.outcome != "error"]
    _, _, low, high = rate_interval(ended, 1 - alpha) if ended else (0, 0, None, None)
    return Verdict(
        outcome=word.outcome,
        reason=word.reason,
        passed=sum(r.outcome == "pass" for r in ended),
        failed=sum(r.outcome == "fail" for r in ended),
        errors=len(run.results) - len(ended),
        lost=word.lost,
        gained=word.gained,
        low=low,
        high=high,
        p_worse=word.p_worse,
        groups=word.groups,
        mde=word.mde,
        notes=tuple(dict.fromkeys(word.notes)),
        decides=word.decides,
        quarantined=aside,
        flaky=flaky_cases(run, *([] if baseline is None else [baseline])),
    )


def _could_not_run(results: Sequence[CaseResult], aside: Collection[str]) -> _Word | None:
    errors = [r for r in results if r.outcome == "error"]
    if not results:
        text = "every case is in quarantine" if aside else "the golden set is empty"
        return _Word(outcome="error", reason=f"{text}: nothing was tested; add cases")
    if len(errors) <= ERRORS_MAX * len(results):
        return None
    cases = len({r.case_id for r in results})
    what = f"{len(results)} cases" if cases == len(results) else f"{len(results)} attempts at {count(cases, 'case')}"
    first = f"the first: {errors[0].detail}" if errors[0].detail else "see their errors"
    if len(errors) == len(results):
        return _Word(outcome="error", reason=f"none of {what} ran; {first}")
    more = f"more than {ERRORS_MAX:.0%}; {first}"
    return _Word(outcome="error", reason=f"{len(errors)} of {what} could not run, {more}")


def _bars_only(rules: Rules) -> bool:
    return all(r.kind == "bar" for r in rules.rules)


def _alone(run: EvalRun, rules: Rules, covered: Sequence[Covered], bar: float | None) -> _Word:
    """Without a baseline: the bars, and no word on what only a comparison can say."""
    groups = judge_groups([c for c in covered if c.rule.kind == "bar"], rules, None)
    waiting = [c.rule.category for c in covered if c.rule.kind != "bar"]
    word = _said(groups)
    errors = sum(r.outcome == "error" for r in run.results)
    reason = word.reason + (f"; {errors} could not run" if errors else "")
    if waiting and bar is None and word.outcome != "fail":
        again = (
            "a saved run of the version in place (`--baseline`), or a pass rate that must be shown (`--bar 0.95`)",
        )
        why = f"there is no baseline to compare with, and these rules need one: {listed(waiting)}"
        notes = (reason, *word.notes) if groups else ()
        return replace(word, outcome="undecided", reason=why, notes=notes, decides=again)
    return replace(word, reason=reason)


def _against(
    run: EvalRun,
    baseline: EvalRun,
    rules: Rules,
    covered: Sequence[Covered],
    confirmations: tuple[EvalRun, EvalRun] | None,
) -> _Word:
    pairs = pairs_of(run, baseline)
    notes = not_compared(run, baseline, pairs, covered)
    if not _bars_only(rules) and (changed := changed_scorers(run.scorers, baseline.scorers)):
        again = ("run the baseline again with these scorers",)
        reason = f"the measure changed since the baseline ({changed})"
        return _Word(outcome="undecided", reason=reason, notes=notes, decides=again)
    if not pairs:
        why = (
            "every case is measured otherwise than in the baseline"
            if other_measure(run, baseline)
            else "no case ran in both runs"
        )
        return _Word(outcome="undecided", reason=why, notes=notes, decides=("run the baseline on this golden set",))
    every = compare(pairs, rules.alpha)
    word = _said(judge_groups(covered, rules, confirmations))
    told = () if word.reason == NOTHING_LOST else (word.reason,)
    strict = {c.rule.category for c in covered if c.rule.kind == "no_regression"}
    cleared = sum(len(g.lost) for g in word.groups if g.outcome == "pass" and g.name in strict and not g.part_of)
    return replace(
        word,
        reason=figure(run, baseline, pairs, every, cleared),
        notes=(*told, *word.notes, *notes),
        lost=every.lost,
        gained=every.gained,
        p_worse=every.p_worse,
        mde=max(((g.n, g.mde) for g in word.groups if g.before is not None), key=lambda m: m[0], default=(0, None))[1],
    )


def _held_back(
    word: _Word,
    run: EvalRun,
    baseline: EvalRun | None,
    rules: Rules,
    covered: Sequence[Covered],
    left_out: Collection[str],
) -> _Word:
    """No pass where the comparison as a whole does not carry one: a broken baseline, few shared cases, rules that miss cases."""
    found = [] if baseline is None or _bars_only(rules) else _thin(run, baseline, left_out)
    free = uncovered(run, baseline, rules, left_out)
    idle = [r.category for r in rules.rules if r.category not in (GROUP, REST) and r not in [c.rule for c in covered]]
    if free:
        found.append((f"no rule covers what is lost or of high risk: {listed(free)}", 'a rule for the category "*"'))
    if idle:
        found.append((f"a rule covers no case: {listed(idle)}", "correct the category of the rule, or remove it"))
    if not found:
        return word
    notes = (*word.notes, *(why for why, _ in found))
    if word.outcome in ("fail", "error"):
        return replace(word, notes=notes)
    decides = tuple(dict.fromkeys((*word.decides, *(more for _, more in found))))
    return replace(word, outcome="undecided", notes=notes, decides=decides)


def _thin(run: EvalRun, baseline: EvalRun, left_out: Collection[str]) -> list[tuple[str, str]]:
    """Why two runs are no comparison, each with what would mend it."""
    pairs, out = pairs_of(run, baseline), {*left_out}
    there = [r for r in baseline.results if r.case_id not in out]
    errors = sum(r.outcome == "error" for r in there)
    most = max(len({r.case_id for r in side}) for side in (run.results, there))
    found = []
    if errors > ERRORS_MAX * len(there):
        found.append((f"{errors} of {len(there)} attempts of the baseline could not run", "run the baseline again"))
    if 2 * len(pairs) < most:
        found.append((f"only {len(pairs)} of {most} cases were compared", "run the baseline on this golden set"))
    return found


def _said(groups: Sequence[Group]) -> _Word:
    """One outcome from the words of all groups: the first that decides as the reason, the others as notes."""
    if not groups:
        more = 'a rule for the category "*"'
        return _Word(outcome="undecided", reason="no rule covers any of these cases", decides=(more,))
    deciding = [g for g in groups if g.outcome == "fail"]
    outcome: _Outcome = "fail"
    if not deciding:
        deciding, outcome = [g for g in groups if g.outcome == "undecided" and not g.part_of], "undecided"
    if not deciding:
        deciding, outcome = [g for g in groups if not g.part_of], "pass"
    whole = [g for g in groups if not g.part_of]
    named = len(whole) > 1 or any(g.part_of for g in deciding)
    told = [
        (f"{name_of(g)}: " if named else "") + g.why for g in deciding if outcome != "pass" or g.why != NOTHING_LOST
    ]
    decides = tuple(dict.fromkeys(g.decides for g in deciding if g.decides)) if outcome == "undecided" else ()
    worse = worse_parts(groups) if outcome == "undecided" else ()
    reason, *others = told or [NOTHING_LOST]
    return _Word(outcome=outcome, reason=reason, notes=(*others, *worse), decides=decides, groups=tuple(groups))


def _without(run: EvalRun, cases: Collection[str]) -> EvalRun:
    out = {*cases}
    left: tuple[CaseResult, ...] = tuple(r for r in run.results if r.case_id not in out) if cases else run.results
    return replace(run, results=left)
