"""Which cases each rule of the gate decides, and those of which a comparison of two runs can say nothing. Pure."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from andon.evals.pairs import Pair, high_risk, other_measure, pairs_of, ran
from andon.evals.records import CaseResult, EvalRun
from andon.evals.rules import Rule, Rules

__all__ = ["Covered", "Gap", "covered_by", "listed", "uncovered"]

_LISTED = 5
_AGAIN = "run the baseline again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that nobody compared and that may have been lost: with it no rule that compares can pass."""

    why: str
    decides: str
    unrun: bool = False
    """Whether it could not run: then no bar can pass either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """The cases of one rule."""

    rule: Rule
    pairs: tuple[Pair, ...] = ()
    """Of a comparison: the cases that ran in both runs and were measured alike."""
    results: tuple[CaseResult, ...] = ()
    """Of a bar: the attempts that ran."""
    broken: int = 0
    """Attempts that could not run."""
    gaps: tuple[Gap, ...] = ()


def covered_by(
    run: EvalRun, baseline: EvalRun | None, rules: Rules, left_out: Collection[str] = ()
) -> tuple[Covered, ...]:
    """The cases of each rule, in the order of the rules; rules without any are left out.

    Args:
        run: what is judged.
        baseline: what it is compared with.
        rules: what is asked of which cases.
        left_out: cases that are not run on purpose (retired, or of another application): that they are missing is no gap.
    """
    there = _there(baseline, left_out)
    risks = _risks(run, there)
    high = {case for case, each in risks.items() if high_risk(*each)}
    rule_for = cache(rules.rule_of)
    rule_of = {case: rule_for(each) for case, each in risks.items()}
    pairs = [] if baseline is None else pairs_of(run, baseline)
    other = () if baseline is None else other_measure(run, baseline)
    found = []
    for rule in rules.rules:
        own, before = ([r for r in each if rule_of[r.case_id] is rule] for each in (run.results, there))
        mine = [p for p in pairs if rule_of.get(p.case) is rule]
        gaps = _gaps(own, before, high, other)
        made = Covered(
            rule=rule,
            pairs=tuple(mine),
            results=tuple(r for r in own if r.outcome != "error"),
            broken=sum(r.outcome == "error" for r in own),
            gaps=tuple(g for g in gaps if g.unrun) if rule.kind == "bar" else (*gaps, *_silent(own, before, mine)),
        )
        if (baseline is None and own) or made.pairs or made.gaps or (rule.kind == "bar" and own):
            found.append(made)
    return tuple(found)


def uncovered(run: EvalRun, baseline: EvalRun | None, rules: Rules, left_out: Collection[str] = ()) -> tuple[str, ...]:
    """Cases of no rule that must not go unseen: of high risk, lost, or passed before and could not run. Arguments as above."""
    there = _there(baseline, left_out)
    free = {case: each for case, each in _risks(run, there).items() if rules.rule_of(each) is None}
    lost = {p.case for p in ([] if baseline is None else pairs_of(run, baseline)) if p.change < 0}
    now, before = ran(run.results), ran(there)
    here = {r.case_id for r in run.results}
    broken = {
        case
        for case, each in before.items()
        if case in here and case not in now and any(r.outcome == "pass" for r in each)
    }
    return tuple(case for case, each in free.items() if high_risk(*each) or case in lost or case in broken)


def _there(baseline: EvalRun | None, left_out: Collection[str]) -> tuple[CaseResult, ...]:
    out = {*left_out}
    return () if baseline is None else tuple(r for r in baseline.results if r.case_id not in out)


def _risks(run: EvalRun, there: Sequence[CaseResult]) -> dict[str, frozenset[str | None]]:
    """Case -> its risk categories in both runs."""
    found: dict[str, set[str | None]] = {}
    for r in (*there, *run.results):
        found.setdefault(r.case_id, set()).add(r.risk_category)
    return {case: frozenset(each) for case, each in found.items()}


def _gaps(
    own: Sequence[CaseResult], before: Sequence[CaseResult], high: Collection[str], other: Collection[str]
) -> list[Gap]:
    """The cases of one rule of which nobody can say whether they were lost."""
    now, old = ran(own), ran(before)
    asked = Counter(r.case_id for r in own)
    broken = [c for c, n in asked.items() if 2 * len(now.get(c, ())) < n]  # most of its attempts could not run
    here, there = ({r.case_id: None for r in each if r.case_id in high} for each in (own, before))
    passed, fails = (
        {case: None for case, each in side.items() if case in high and any(a.outcome == word for a in each)}
        for side, word in ((old, "pass"), (now, "fail"))
    )
    kinds = (
        ("could not run", [c for c in broken if c in here and (c not in old or c in passed)], "run them again"),
        ("failing, could not run in the baseline", [c for c in fails if c in there and c not in old], _AGAIN),
        ("measured otherwise than in the baseline", [c for c in here if c in other], _AGAIN),
        ("new and failing", [c for c in fails if c not in there], f"mend them, or {_AGAIN} on this golden set"),
        ("in the baseline, and not run now", [c for c in passed if c not in here], "run them too, or retire them"),
    )
    others = [c for c in broken if c not in high and any(a.outcome == "pass" for a in old.get(c, ()))]
    lost = [Gap(why=f"passed before, could not run: {listed(others)}", decides="run them again")] if others else []
    return lost + [
        Gap(why=f"of high risk, {what}: {listed(cases)}", decides=decides, unrun=k == 0)
        for k, (what, cases, decides) in enumerate(kinds)
        if cases
    ]


def _silent(own: Sequence[CaseResult], before: Sequence[CaseResult], pairs: Sequence[Pair]) -> list[Gap]:
    """The other risk categories of one rule of which nothing was compared, although something passed there, or nothing new ran."""
    now, there = ran(own), {r.case_id for r in before}
    compared = {_named(c) for p in pairs for c in p.categories}
    fresh = [r for r in own if r.case_id not in there]
    heard = {_named(r.risk_category) for r in fresh if r.case_id in now}
    lone = [r.risk_category for r in before if r.outcome == "pass"]
    lone += [r.risk_category for r in fresh if r.case_id not in now and _named(r.risk_category) not in heard]
    names = [c for c in dict.fromkeys(_named(c) for c in lone if not high_risk(c)) if c not in compared]
    return [Gap(why=f"nothing was compared of {listed(names)}", decides="run both versions on it")] if names else []


def _named(category: str | None) -> str:
    return (category or "").strip().casefold() or "(no risk category)"


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
