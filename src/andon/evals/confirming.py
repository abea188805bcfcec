"""Lost high-risk cases are asked again, of both versions, before anybody says that something broke. Pure."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from scipy import stats

from andon.evals.pairs import Pair, pairs_of, ran
from andon.evals.records import EvalRun
from andon.evals.rules import DEFAULT, Rules
from andon.stats import attempts_worse

__all__ = ["Asked", "ConfirmPlan", "asked_again", "attempts_needed", "confirm_plan", "worst_case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPlan:
    """What to ask again, of both versions, and how often."""

    cases: tuple[str, ...]
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of asking lost cases again."""

    again: bool = False
    """Whether they were asked again at all."""
    p: float = 1.0
    """That a case passes less often: the smallest p of the lost cases times their number."""
    worst: str = ""
    """The case with the smallest p, with its counts, in words."""
    cleared: tuple[str, ...] = ()
    """Lost cases that pass now as often as in the baseline's version, over all attempts that were asked for."""


def confirm_plan(
    run: EvalRun, baseline: EvalRun | None, rules: Rules = DEFAULT, *, quarantined: Collection[str] = ()
) -> ConfirmPlan | None:
    """The lost cases of ``no_regression`` rules, and how many new attempts at each, of both versions, could show the loss.

    None where nothing was lost, or the rules say that the first loss fails. Ask the same number of attempts at these cases of
    both versions (`run_evals` with `repeats`), and give both runs to `judge` as `confirmations`.
    """
    if baseline is None or not rules.confirm:
        return None
    lost = [p for p in pairs_of(run, baseline) if p.net < 0 and p.case not in quarantined and _strict(p, rules)]
    if not lost:
        return None
    return ConfirmPlan(cases=tuple(p.case for p in lost), attempts=attempts_needed(len(lost), rules))


def attempts_needed(lost: int, rules: Rules) -> int:
    """Attempts of each version after which "always before, never now" shows one loss among so many: at least `confirm`.

    Of k attempts each, k passes before and none now have p = 4^-k (`attempts_worse`). The tests of the gate share its level;
    four of them are provided for.
    """
    return max(rules.confirm, math.ceil(math.log(4 * max(1, lost) / rules.alpha, 4)))


def asked_again(lost: Sequence[str], confirmations: tuple[EvalRun, EvalRun] | None, confirm: int) -> Asked:
    """What the new attempts say of each lost case; `confirmations` are this version's and the baseline's.

    The attempts were not chosen by their outcome, so the test is exact; it is made once for each lost case. A case is cleared
    when both versions ran at least `confirm` times and it passes now in as large a share as before.
    """
    if confirmations is None or not lost:
        return Asked()
    now, before = (ran(r.results) for r in confirmations)
    least, worst, cleared = 1.0, "", []
    for case in lost:
        if case not in now or case not in before:
            continue
        new, old = ([a.outcome == "pass" for a in side[case]] for side in (now, before))
        p = attempts_worse(sum(old), len(old), sum(new), len(new))
        if p < least:
            least = p
            worst = f"{case} passed {sum(old)} of {len(old)} before and {sum(new)} of {len(new)} now"
        if min(len(new), len(old)) >= max(1, confirm) and sum(new) * len(old) >= sum(old) * len(new):
            cleared.append(case)
    return Asked(again=True, p=min(1.0, least * len(lost)), worst=worst, cleared=tuple(cleared))


def worst_case(pairs: Sequence[Pair]) -> tuple[float, str]:
    """Whether the runs' own repeats show that one case got worse: the smallest p times the number of cases that vary.

    Given how many attempts at a case passed in both runs together, Fisher's exact test; cases whose attempts all passed or all
    failed in both say nothing, whatever happened, and are not counted.
    """
    varied = [p for p in pairs if 0 < sum(p.before) + sum(p.now) < 2 * len(p.now)]
    least, worst = 1.0, ""
    for p in varied:
        k, before, now = len(p.now), sum(p.before), sum(p.now)
        chance = float(stats.hypergeom.cdf(now, 2 * k, before + now, k))
        if chance < least:
            least, worst = chance, f"{p.case} passed {before} of {k} before and {now} of {k} now"
    return min(1.0, least * max(1, len(varied))), worst


def _strict(pair: Pair, rules: Rules) -> bool:
    rule = rules.rule_of(pair.categories)
    return rule is not None and rule.kind == "no_regression"
