"""The gate's word on a run: pass, fail, undecided, or could not run. Pure and without chance: equal runs, equal verdict.

1. No cases, no case that ran, or more than 5 % execution errors: ``error``. An error is neither pass nor fail.
2. With a baseline a shared scorer has another version: ``undecided``, for the measure changed. No case ran in both:
   ``undecided``.
3. Each case belongs to one rule (`Rules.rule_of`), and each rule has a word on its cases. *Lost*: passes less often than in
   the baseline; *gained*: more often. The gate fails where a rule fails, else is undecided where a rule is, else passes.

   - ``not_worse`` fails when losses outnumber gains beyond chance (McNemar's exact test; `stats.sign_flip` with repeats or
     clusters). It passes where nothing is lost, or gains outnumber losses beyond chance.
   - ``no_regression`` never passes with a lost case. It fails where the loss is shown: over its cases as above, by the
     repeats of one case, or by new attempts (`confirm_plan`), or at once with ``confirm = 0``. Until then it is undecided. A
     case that, asked again, passes as often as in the baseline's version is not lost any more.
   - ``at_most`` fails when the drop of the pass rate is shown to be more than its limit, and passes when it is shown not
     to be (`stats.paired_drop`).
   - ``bar`` holds the exact interval of the pass rate against the bar; it needs no baseline.

   A rule for several risk categories also fails where one of them is worse beyond chance. p-values are adjusted over all
   tests that could fail the gate (Holm): a change that made nothing worse fails in at most `alpha`.
4. A high-risk case that could not run in one of the runs, so that nobody can say whether it was lost: no pass.
5. Without a baseline the ``bar`` rules decide, or else the bar of `judge` over all cases. A bar of 1 asks that every case of
   this set passes, and says nothing about other questions.

Cases that only one of the runs holds do not decide; they are named.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from andon.errors import InputError
from andon.evals.groups import Covered, judge_groups
from andon.evals.pairs import Pair, compare, flaky_cases, high_risk, pairs_of, ran, rate_interval
from andon.evals.power import least_drop
from andon.evals.records import CaseResult, EvalRun, Group, Verdict
from andon.evals.rules import DEFAULT, REST, Rule, Rules

__all__ = ["BAR", "ERRORS_MAX", "exit_code", "judge"]

BAR = 0.95
"""Pass rate that a run without a baseline has to show."""

ERRORS_MAX = 0.05
"""Share of execution errors above which a run is no measurement."""

_Outcome = Literal["pass", "fail", "undecided", "error"]
_EXIT: dict[_Outcome, int] = {"pass": 0, "fail": 1, "undecided": 3, "error": 4}
_LISTED = 5


def exit_code(verdict: Verdict) -> int:
    """What a gate in CI ends with: 0 pass, 1 fail, 3 undecided, 4 could not run (2 is a wrong call)."""
    return _EXIT[verdict.outcome]


def judge(
    run: EvalRun,
    baseline: EvalRun | None,
    *,
    rules: Rules = DEFAULT,
    bar: float | None = None,
    alpha: float | None = None,
    quarantined: Collection[str] = (),
    confirmations: tuple[EvalRun, EvalRun] | None = None,
    unshown: Collection[str] = (),
) -> Verdict:
    """The verdict on a run, by the rules that the docstring of this module tells.

    Args:
        run: what is judged.
        baseline: the run to compare with.
        rules: what is asked of which cases.
        bar: without a baseline and a rule of that kind, the pass rate that must be shown; 0.95 unless given.
        alpha: the level, instead of the rules' own.
        quarantined: ids of cases that do not decide.
        confirmations: new attempts at lost high-risk cases (`confirm_plan`), of this version and of the baseline's.
        unshown: ids of cases of incidents that were never shown to fail on the old version and to pass on the fix; they are named.

    Raises:
        InputError: `bar` is not in (0, 1], or `alpha` not in (0, 0.5].
    """
    bar = BAR if bar is None else bar
    alpha = rules.alpha if alpha is None else alpha
    if not 0 < bar <= 1:
        raise InputError(f"bar is {bar}; a pass rate above 0 and up to 1 is allowed")
    if not 0 < alpha <= 0.5:
        raise InputError(f"alpha is {alpha}; a level above 0 and up to 0.5 is allowed, 0.05 is usual")
    aside = tuple(dict.fromkeys(r.case_id for r in run.results if r.case_id in {*quarantined}))
    run = _without(run, quarantined)
    baseline = None if baseline is None else _without(baseline, quarantined)
    word = _could_not_run(run.results, aside)
    if word is None and (baseline is None or all(r.kind == "bar" for r in rules.rules)):
        word = _alone(run, rules, bar, alpha)
    elif word is None and baseline is not None:
        word = _against(run, baseline, rules, alpha, confirmations, unshown)
    assert word is not None
    return _verdict(word, run, baseline, alpha, aside)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    outcome: _Outcome
    reason: str
    notes: str = ""
    decides: str = ""
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    p_worse: float | None = None
    groups: tuple[Group, ...] = ()
    mde: float | None = None


def _verdict(word: _Word, run: EvalRun, baseline: EvalRun | None, alpha: float, aside: tuple[str, ...]) -> Verdict:
    """The word with the counts of the run."""
    ended = [r for r in run.results if r.outcome != "error"]
    _, _, low, high = rate_interval(ended, 1 - alpha) if ended else (0, 0, None, None)
    quarantine = f". {_count(len(aside), 'case')} in quarantine did not decide" if aside else ""
    return Verdict(
        outcome=word.outcome,
        reason=word.reason + word.notes + quarantine,
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
        decides=word.decides,
        quarantined=aside,
        flaky=flaky_cases(run, *([] if baseline is None else [baseline])),
    )


def _could_not_run(results: Sequence[CaseResult], aside: Collection[str]) -> _Word | None:
    errors = sum(r.outcome == "error" for r in results)
    if not results:
        text = "every case is in quarantine" if aside else "the golden set is empty"
        return _Word(outcome="error", reason=f"{text}: nothing was tested; add cases")
    if errors == len(results):
        return _Word(outcome="error", reason=f"none of {errors} cases ran; see the errors of the cases")
    if errors > ERRORS_MAX * len(results):
        share = f"{errors} of {len(results)} cases could not run, more than {ERRORS_MAX:.0%}"
        return _Word(outcome="error", reason=f"{share}; see their errors and run again")
    return None


def _alone(run: EvalRun, rules: Rules, bar: float, alpha: float) -> _Word:
    """Without a baseline: the rules that need none, or else the bar over all cases."""
    if not any(r.kind == "bar" for r in rules.rules):
        rules = replace(rules, rules=(Rule(category=REST, kind="bar", limit=bar),))
    covered = _covered(run, None, rules)
    bars = [c for c in covered if c.rule.kind == "bar"]
    groups = judge_groups(bars, rules, alpha, None)
    waiting = [c.rule.category for c in covered if c.rule.kind != "bar"]
    word = _said(groups, "")
    errors = sum(r.outcome == "error" for r in run.results)
    notes = f" ({errors} could not run)" if errors else ""
    if waiting and word.outcome != "fail":
        why = f"{', '.join(waiting)}: there is no baseline to compare with"
        reason = f"{why}; {word.reason}" if groups else why
        return replace(
            word, outcome="undecided", reason=reason, notes=notes, decides="a saved run of the version in place"
        )
    return replace(word, notes=notes)


def _against(
    run: EvalRun,
    baseline: EvalRun,
    rules: Rules,
    alpha: float,
    confirmations: tuple[EvalRun, EvalRun] | None,
    unshown: Collection[str],
) -> _Word:
    pairs = pairs_of(run, baseline)
    covered = _covered(run, baseline, rules)
    notes = _notes(run, baseline, pairs, covered, unshown)
    if changed := _changed_scorers(run.scorers, baseline.scorers):
        again = "run the baseline again with these scorers"
        reason = f"the measure changed since the baseline ({changed}); {again}"
        return _Word(outcome="undecided", reason=reason, notes=notes, decides=again)
    if not pairs:
        again = "run the baseline on this golden set"
        return _Word(outcome="undecided", reason=f"no case ran in both runs; {again}", notes=notes, decides=again)
    groups = judge_groups(covered, rules, alpha, confirmations)
    every = compare(pairs, alpha)
    noise = max(0.0, every.drop.noise - abs(every.drop.drop))
    counts = f"of {every.n} cases that ran in both, {len(every.lost)} lost and {len(every.gained)} gained: "
    word = _said(groups, counts)
    return replace(
        word,
        notes=notes,
        lost=every.lost,
        gained=every.gained,
        p_worse=every.p_worse,
        mde=least_drop(every.drop.n_effective, noise, alpha),
    )


def _covered(run: EvalRun, baseline: EvalRun | None, rules: Rules) -> list[Covered]:
    """The cases of each rule, in the order of the rules; rules without any are left out."""
    before = {} if baseline is None else {r.case_id: r.risk_category for r in baseline.results}
    rule_of = {r.case_id: rules.rule_of((before.get(r.case_id, r.risk_category), r.risk_category)) for r in run.results}
    pairs = [] if baseline is None else pairs_of(run, baseline)
    unseen = _unseen(run, baseline)
    covered = []
    for rule in rules.rules:
        own = [r for r in run.results if rule_of[r.case_id] is rule]
        found = Covered(
            rule=rule,
            pairs=tuple(p for p in pairs if rule_of[p.case] is rule),
            results=tuple(r for r in own if r.outcome != "error"),
            broken=sum(r.outcome == "error" for r in own),
            unseen=tuple(i for i in unseen if rule_of[i] is rule),
        )
        counts = (baseline is None and own) or found.pairs or found.unseen or (rule.kind == "bar" and own)
        if counts:
            covered.append(found)
    return covered


def _unseen(run: EvalRun, baseline: EvalRun | None) -> tuple[str, ...]:
    """High-risk cases that could not run here, unless they failed in the baseline; or fail here and could not run there."""
    now = ran(run.results)
    before = {} if baseline is None else ran(baseline.results)
    there = {} if baseline is None else {r.case_id: r.risk_category for r in baseline.results}
    found: dict[str, None] = {}
    for r in run.results:
        case = r.case_id
        if not high_risk(r.risk_category, there.get(case)):
            continue
        passed_before = any(a.outcome == "pass" for a in before.get(case, ()))
        if case not in now and (case not in before or passed_before):
            found[case] = None
        if case in there and case not in before and any(a.outcome == "fail" for a in now.get(case, ())):
            found[case] = None
    return tuple(found)


def _said(groups: Sequence[Group], counts: str) -> _Word:
    """One outcome and one sentence from the words of all groups."""
    if not groups:
        more = 'a rule for the category "*"'
        return _Word(outcome="undecided", reason=f"{counts}no rule covers any of these cases; {more}", decides=more)
    deciding = [g for g in groups if g.outcome == "fail"]
    outcome: _Outcome = "fail"
    if not deciding:
        deciding, outcome = [g for g in groups if g.outcome == "undecided" and not g.part_of], "undecided"
    if not deciding:
        deciding, outcome = [g for g in groups if not g.part_of], "pass"
    whole = [g for g in groups if not g.part_of]
    named = len(whole) > 1 or any(g.part_of for g in deciding)
    told = "; ".join((f"{_name(g)}: " if named else "") + g.why for g in deciding)
    decides = "; ".join(dict.fromkeys(g.decides for g in deciding if g.decides)) if outcome == "undecided" else ""
    worse = _worse_parts(groups) if outcome == "undecided" else ""
    return _Word(
        outcome=outcome,
        reason=counts + told + worse + (f"; {decides}" if decides else ""),
        decides=decides,
        groups=tuple(groups),
    )


def _worse_parts(groups: Sequence[Group]) -> str:
    """Where the losses are, when several categories were compared together."""
    parts = [g for g in groups if g.part_of and len(g.lost) > len(g.gained)]
    parts.sort(key=lambda g: len(g.gained) - len(g.lost))
    said = ", ".join(f"{g.name} ({len(g.lost)} lost, {len(g.gained)} gained)" for g in parts[:_LISTED])
    return f"; more lost than gained in {said}" if said else ""


def _name(group: Group) -> str:
    name = "the rest" if group.name == REST else group.name
    return name if not group.part_of else f"{name} (of {group.part_of})"


def _notes(
    run: EvalRun, baseline: EvalRun, pairs: Sequence[Pair], covered: Sequence[Covered], unshown: Collection[str]
) -> str:
    return (
        _other_cases(run, baseline)
        + _other_attempts(run, baseline, pairs)
        + _without_rule(pairs, covered)
        + _never_shown(run, unshown)
    )


def _other_cases(run: EvalRun, baseline: EvalRun) -> str:
    there, here = {r.case_id for r in baseline.results}, {r.case_id for r in run.results}
    if run.golden == baseline.golden or there == here:
        return ""
    new = [i for i in dict.fromkeys(r.case_id for r in run.results) if i not in there]
    bad = {r.case_id for r in run.results if r.outcome == "fail"}
    failing = [i for i in new if i in bad]
    named = f". New and failing: {_listed(failing)}" if failing else ""
    return (
        f". The golden set is another one than the baseline's: {len(new)} cases are new ({len(failing)} of them fail),"
        f" {len(there - here)} are gone; only shared cases are compared{named}"
    )


def _other_attempts(run: EvalRun, baseline: EvalRun, pairs: Sequence[Pair]) -> str:
    now, before = ran(run.results), ran(baseline.results)
    here, there = (max((len(side[p.case]) for p in pairs), default=0) for side in (now, before))
    if here == there:
        return ""
    return (
        f". This run has {_count(here, 'attempt')} at each case and the baseline {there}: only {min(here, there)} of each"
        f" {'counts' if min(here, there) == 1 else 'count'}; run the {'baseline' if there < here else 'gate'} with"
        f" {max(here, there)}"
    )


def _without_rule(pairs: Sequence[Pair], covered: Sequence[Covered]) -> str:
    ruled = {p.case for c in covered for p in c.pairs}
    free = [p.case for p in pairs if p.case not in ruled]
    return f". No rule covers {_count(len(free), 'case')}, which decide nothing" if free else ""


def _never_shown(run: EvalRun, unshown: Collection[str]) -> str:
    found = [i for i in dict.fromkeys(r.case_id for r in run.results) if i in {*unshown}]
    if not found:
        return ""
    many = "1 case of an incident was" if len(found) == 1 else f"{len(found)} cases of incidents were"
    return f". {many} never shown to fail on the old version and to pass on the fix: {_listed(found)}"


def _changed_scorers(now: str, before: str) -> str:
    old, new = (dict(part.split("@", 1) for part in text.split() if "@" in part) for text in (before, now))
    return ", ".join(
        f"{name} {old[name]} -> {new[name]}" for name in sorted(new) if name in old and old[name] != new[name]
    )


def _without(run: EvalRun, cases: Collection[str]) -> EvalRun:
    left: tuple[CaseResult, ...] = tuple(r for r in run.results if r.case_id not in {*cases}) if cases else run.results
    return replace(run, results=left)


def _listed(cases: Sequence[str]) -> str:
    return ", ".join(cases[:_LISTED]) + (f" and {len(cases) - _LISTED} more" if len(cases) > _LISTED else "")


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
