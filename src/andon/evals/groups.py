"""What each rule of the gate says about the cases that it covers; all its tests together keep the gate's level. Pure."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import scipy

from andon.evals.confirming import Asked, asked_again, attempts_needed, worst_case
from andon.evals.covering import Covered, listed
from andon.evals.pairs import Pair, Together, compare, rate_interval
from andon.evals.power import cases_for_drop, least_drop
from andon.evals.records import CaseResult, EvalRun, Group
from andon.evals.rules import Rules
from andon.stats import clopper_pearson, compare_paired, holm

__all__ = ["NOTHING_LOST", "count_tests", "judge_groups"]

_MOST = 10_000_000
_MILLION = 1_000_000
_MARGIN = 0.02
NOTHING_LOST = "nothing that passed fails now"
_EQUAL = 0.25
"""One-sided p above which, in both directions, two runs are called equal on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """One test of the gate. Whether it counts depends on how many cases and attempts there are, never on outcomes."""

    group: int
    p: float
    shows: str
    """What a small p shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A group before it is decided."""

    covered: Covered
    name: str
    found: Together | None
    asked: Asked
    part_of: str = ""


def judge_groups(
    covered: Sequence[Covered], rules: Rules, confirmations: tuple[EvalRun, EvalRun] | None
) -> tuple[Group, ...]:
    """One group for each rule, then its risk categories where it covers several; see `judge` for when each fails or passes.

    All tests that could fail the gate are adjusted together (Holm), so the gate as a whole fails a change that made nothing
    worse in at most `rules.alpha`. A test that could reach no such p, whatever happens, for want of cases or attempts, is none.
    """
    alpha = rules.alpha
    parts = [part for c in covered for part in _parts(c, rules, confirmations)]
    tests = [test for k, part in enumerate(parts) for test in _tests(k, part, rules)]
    adjusted = holm([t.p for t in tests])
    groups = []
    for k, part in enumerate(parts):
        own = [(float(p), t.shows) for p, t in zip(adjusted, tests, strict=True) if t.group == k]
        p, shows = min(own, default=(1.0, ""))
        if part.covered.rule.kind == "bar":
            group = _bar(part, p, alpha)
        else:
            group = _comparison(part, p, shows, rules, max(1, len(tests)))
        groups.append(group)
    return tuple(groups)


def count_tests(covered: Sequence[Covered], rules: Rules) -> int:
    """How many tests could fail the gate; it does not depend on whether lost cases were asked again."""
    parts = [part for c in covered for part in _parts(c, rules, None)]
    return max(1, sum(len(_tests(k, part, rules)) for k, part in enumerate(parts)))


def _parts(c: Covered, rules: Rules, confirmations: tuple[EvalRun, EvalRun] | None) -> list[_Part]:
    if c.rule.kind == "bar":
        return [_Part(covered=c, name=c.rule.category, found=None, asked=Asked())]
    found = compare(c.pairs, rules.alpha) if c.pairs else None
    asked = Asked()
    if c.rule.kind == "no_regression" and found is not None:
        asked = asked_again(found.lost, confirmations, rules.confirm)
    parts = [_Part(covered=c, name=c.rule.category, found=found, asked=asked)]
    by_category: dict[str, list[Pair]] = {}
    for pair in c.pairs:
        by_category.setdefault((pair.categories[1] or "").strip().casefold(), []).append(pair)
    if c.rule.kind != "no_regression" and len(by_category) > 1:
        for name in sorted(by_category):
            part = replace(c, pairs=tuple(by_category[name]), gaps=())
            found = compare(part.pairs, rules.alpha)
            parts.append(
                _Part(covered=part, name=name or "(none)", found=found, asked=Asked(), part_of=c.rule.category)
            )
    return parts


def _tests(k: int, part: _Part, rules: Rules) -> list[_Test]:
    rule, found = part.covered.rule, part.found
    if rule.kind == "bar":
        return [_Test(group=k, p=_bar_p(part.covered.results, rule.limit or 0), shows="")]
    if found is None:
        return []
    if rule.kind == "at_most":
        return [_Test(group=k, p=found.drop.p_above(rule.limit or 0), shows="")]
    tests = []
    if 2.0**-found.clusters <= rules.alpha:
        tests.append(_Test(group=k, p=found.p_worse, shows=_test_name(found)))
    if rule.kind == "no_regression":
        most = max(math.comb(len(p.before) + len(p.now), len(p.now)) for p in part.covered.pairs)
        if 1 / most <= rules.alpha:
            p, worst = worst_case(part.covered.pairs)
            tests.append(_Test(group=k, p=p, shows=worst))
        if rules.confirm:
            shows = f"asked again, {part.asked.worst}"
            tests.append(_Test(group=k, p=part.asked.p, shows=shows))
    return tests


def _comparison(part: _Part, p: float, shows: str, rules: Rules, tests: int) -> Group:
    c, found, alpha = part.covered, part.found, rules.alpha
    if found is None:
        outcome, why, more = _open(c)
        return Group(name=part.name, rule=c.rule.says, outcome=outcome, why=why, n=0, decides=more)
    noise = max(0.0, found.drop.noise - abs(found.drop.drop))
    if c.rule.kind == "no_regression":
        outcome, why, more = _no_regression(part, found, p, shows, rules, tests)
    elif c.rule.kind == "at_most":
        outcome, why, more = _at_most(part, found, p, alpha)
    else:
        outcome, why, more = _not_worse(part, found, p, alpha, tests)
    return Group(
        name=part.name,
        part_of=part.part_of,
        rule=c.rule.says,
        outcome=outcome,
        why=why,
        n=found.n,
        before=found.before,
        now=found.now,
        lost=found.lost,
        gained=found.gained,
        difference=-found.drop.drop,
        low=-found.drop.high,
        high=-found.drop.low,
        p=p,
        margin=c.rule.limit,
        mde=least_drop(found.drop.n_effective, noise, alpha / tests),
        decides=more,
    )


_Outcome = Literal["pass", "fail", "undecided"]
_Word = tuple[_Outcome, str, str]
"""Outcome, why, and what would decide it."""


def _no_regression(part: _Part, found: Together, p: float, shows: str, rules: Rules, tests: int) -> _Word:
    alpha = rules.alpha
    open_ = [case for case in found.lost if case not in part.asked.cleared]
    lost = f"{len(found.lost)} lost, where no regression is tolerated"
    if p <= alpha:
        return "fail", f"{lost} ({shows}; p = {p:.3g}, at most {alpha:g})", ""
    if open_ and not rules.confirm:
        return "fail", f"{lost}, and the first loss fails (`confirm = 0`)", ""
    if open_:
        return _open_losses(part, open_, lost, attempts_needed(len(open_), tests, alpha, rules.confirm))
    if part.covered.gaps:
        return _open(part.covered)
    if found.lost:
        return "pass", f"{len(found.lost)} lost, and asked again they pass as often as in the baseline's version", ""
    return "pass", NOTHING_LOST, ""


def _open_losses(part: _Part, cases: Sequence[str], lost: str, more: int) -> _Word:
    """Undecided, because nobody knows whether lost cases will be lost again."""
    if gone := part.asked.gone:
        why = f"{lost}; asked again, the version in place fails now too: {listed(gone)}"
        return "undecided", why, "run the baseline again"
    if part.asked.again:
        told = part.asked.worst or "nothing is shown"
        why = f"{lost}; asked again, {told}, which may be chance"
        return "undecided", why, f"{2 * more} new attempts at {listed(cases)}, of both versions"
    why = f"{lost}; one loss cannot say whether it will be lost again"
    ask = f"{more} new attempts at {listed(cases)}, of both versions (or `confirm = 0`, if answers never vary)"
    return "undecided", why, ask


def _not_worse(part: _Part, found: Together, p: float, alpha: float, tests: int) -> _Word:
    test = f"{_test_name(found)} p = {found.p_worse:.3g}" + (f", {p:.3g} after Holm" if p > found.p_worse else "")
    if p <= alpha:
        return "fail", f"worse than the baseline ({test}, at most {alpha:g})", ""
    if part.covered.gaps:
        return _open(part.covered)
    if not found.lost:
        return "pass", NOTHING_LOST, ""
    if found.p_better <= alpha:
        return "pass", f"better than the baseline ({_test_name(found)} p = {found.p_better:.3g}, at most {alpha:g})", ""
    if found.p_alone <= alpha / tests:
        many = f"{len(found.lost)} lost, in {len(found.fallen)} of {found.clusters} clusters ({listed(found.fallen)})"
        why = f"{many}: what falls together counts once, so it may be chance ({test}, above {alpha:g})"
        return "undecided", why, _what_decides(found, alpha, tests)
    flipped = len(found.lost) + len(found.gained)
    equal = min(found.p_worse, found.p_better) > _EQUAL and found.lost and found.gained
    why = f"equal on average, but {flipped} cases flipped" if equal else "either may be chance"
    return "undecided", f"{why} ({test}, above {alpha:g})", _what_decides(found, alpha, tests)


def _what_decides(found: Together, alpha: float, tests: int) -> str:
    if found.uneven:
        return "run both versions with as many attempts at each case"
    drop, noise, scale = found.drop.drop, found.drop.noise, found.n / found.drop.n_effective
    said = []
    if found.single:
        n, lost, gained = found.n, len(found.lost), len(found.gained)
        steps = range(1, _MOST)
        worse = next(k for k in steps if compare_paired(n + k, lost + k, gained).p_worse <= alpha / tests)
        better = next(k for k in steps if compare_paired(n + k, lost, gained + k).p_better <= alpha)
        said.append(f"{worse} more lost would show that it is worse, {better} more gained that it is better")
    if drop > 0:
        need = math.ceil(scale * cases_for_drop(drop, noise, alpha / tests))
        said.append(f"about {max(need, found.n + 1):,} cases like these would show a drop as large as this one")
    elif found.drop.high <= _MARGIN:
        said.append(f"a rule `at_most = {_MARGIN}` would pass")
    else:
        need = max(found.n + 1, math.ceil(scale * cases_for_drop(_MARGIN, noise, alpha)))
        said.append(f"a rule `at_most = {_MARGIN}` would take about {need:,} cases like these to show")
    return "; ".join(said)


def _at_most(part: _Part, found: Together, p: float, alpha: float) -> _Word:
    margin = part.covered.rule.limit or 0.0
    d = found.drop
    moved = f"rose by {-100 * d.drop:.1f} points" if d.drop < 0 else f"fell by {100 * d.drop + 0:.1f} points"
    shown = f"the pass rate {moved} (one-sided bounds of the drop {100 * d.low:.1f} and {100 * d.high:.1f})"
    if p <= alpha:
        return "fail", f"{shown}: by more than {100 * margin:g} (p = {p:.3g}, at most {alpha:g})", ""
    if part.covered.gaps:
        return _open(part.covered)
    if d.high <= margin:
        return "pass", f"{shown}: by {100 * margin:g} at most", ""
    told = "show that it is not more" if d.drop < margin else "show that it is more"
    need = _cases_for_margin(found, margin, alpha)
    if need is None:
        return (
            "undecided",
            f"{shown}: {100 * margin:g} lies between them",
            f"more than a million cases like these would {told}",
        )
    return "undecided", f"{shown}: {100 * margin:g} lies between them", f"about {need:,} cases like these would {told}"


def _cases_for_margin(found: Together, margin: float, alpha: float) -> int | None:
    """The fewest cases with these rates after which the drop is told from the margin; None where a million are too few."""

    def enough(n: int) -> bool:
        p = replace(found.drop, n_effective=found.drop.n_effective * n / found.n).p_above(margin)
        return min(p, 1 - p) <= alpha

    need = bisect_left(range(_MILLION), True, lo=found.n + 1, key=enough)
    return need if need < _MILLION else None


def _bar_p(results: Sequence[CaseResult], bar: float) -> float:
    """Two-sided p of Clopper and Pearson that the rate is below the bar; a bar of 1 is lost by one failure."""
    if bar == 1:
        return 0.0 if any(r.outcome == "fail" for r in results) else 1.0
    if not results:
        return 1.0
    x, n, _, _ = rate_interval(results, 0.95)
    return min(1.0, 2 * float(scipy.stats.beta.sf(bar, x + 1, n - x))) if x < n else 1.0


def _bar(part: _Part, p: float, alpha: float) -> Group:
    c, bar = part.covered, part.covered.rule.limit or 0.0
    passed, n = sum(r.outcome == "pass" for r in c.results), len(c.results)
    cases = len({r.case_id for r in c.results})
    rate = f"{passed} of {n} cases pass" if cases == n else f"{passed} of {n} attempts at {cases} cases pass"
    x, n_effective, low, high = rate_interval(c.results, 1 - alpha) if c.results else (0.0, 0.0, 0.0, 1.0)
    shown = f"{rate} ({passed / n:.1%}, {low:.1%} to {high:.1%})" if n else rate
    outcome: _Outcome
    more = ""
    if bar == 1:
        outcome, why = ("fail" if passed < n else "pass"), f"{rate}; the bar is every case"
        if c.broken and outcome == "pass":
            outcome, more = "undecided", f"run {'it' if c.broken == 1 else f'the {c.broken}'} again that could not run"
    elif p <= alpha:
        outcome, why = "fail", f"{shown}, all of it below the bar {bar:g}"
    elif low >= bar and n:
        outcome, why = "pass", f"{shown}, all of it above the bar {bar:g}"
    else:
        outcome, why, more = (
            "undecided",
            f"{shown}; the bar {bar:g} lies within",
            _more_passing(x, n_effective, bar, alpha),
        )
    if c.gaps and outcome == "pass":
        outcome, why, more = "undecided", f"{rate}; {_open(c)[1]}", _open(c)[2]
    return Group(
        name=part.name,
        rule=c.rule.says,
        outcome=outcome,
        why=why,
        n=cases,
        now=passed / n if n else None,
        low=low if n else None,
        high=high if n else None,
        p=p,
        margin=bar,
        decides=more,
    )


def _more_passing(x: float, n: float, bar: float, alpha: float) -> str:
    def enough(more: int) -> bool:
        return clopper_pearson(x + more, n + more, 1 - alpha)[0] >= bar

    more = bisect_left(range(_MOST), True, lo=1, key=enough)
    if more == _MOST:
        return f"more than {_MOST:,} further cases that all pass would be needed to show it"
    return f"{more} further cases that all pass would show it"


def _test_name(found: Together) -> str:
    return "exact McNemar" if found.single else "exact sign-flip over clusters"


def _open(c: Covered) -> _Word:
    """Undecided, because something was not compared that may have been lost."""
    return "undecided", "; ".join(g.why for g in c.gaps), "; ".join(dict.fromkeys(g.decides for g in c.gaps))
