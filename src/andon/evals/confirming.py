"""Lost high-risk cases are asked again, of both versions, before anybody says that something broke. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import scipy

from andon.evals.pairs import Pair, ran
from andon.evals.records import EvalRun
from andon.stats import attempts_worse

__all__ = ["Asked", "asked_again", "attempts_needed", "worst_case"]


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
    gone: tuple[str, ...] = ()
    """Lost cases that the version in place never passes any more: nothing can be compared with it."""


def attempts_needed(lost: int, tests: int, alpha: float, least: int) -> int:
    """Attempts of each version after which "always before, never now" shows one loss among so many, in a gate of so many tests.

    Of k attempts each, k passes before and none now have p = 4^-k (`attempts_worse`), which is paid for once for each lost
    case and (Holm) once for each test.
    """
    return max(least, math.ceil(math.log(max(1, tests) * max(1, lost) / alpha, 4) - 1e-9))


def asked_again(lost: Sequence[str], confirmations: tuple[EvalRun, EvalRun] | None, confirm: int) -> Asked:
    """What the new attempts say of each lost case; `confirmations` are this version's and the baseline's.

    The attempts were not chosen by their outcome, so the test is exact; it is made once for each lost case. A case is cleared
    when both versions ran at least `confirm` times, the version in place still passes it, and it passes now in as large a
    share; or where it always passes now.
    """
    if confirmations is None or not lost:
        return Asked()
    now, before = (ran(r.results) for r in confirmations)
    least, worst, cleared, gone = 1.0, "", [], []
    for case in lost:
        if case not in now or case not in before:
            continue
        new, old = ([a.outcome == "pass" for a in side[case]] for side in (now, before))
        p = attempts_worse(sum(old), len(old), sum(new), len(new))
        if p < least:
            least = p
            worst = f"{case} passed {sum(old)} of {len(old)} before and {sum(new)} of {len(new)} now"
        if not any(old) and not all(new):
            gone.append(case)
        elif min(len(new), len(old)) >= max(1, confirm) and sum(new) * len(old) >= sum(old) * len(new):
            cleared.append(case)
    return Asked(again=True, p=min(1.0, least * len(lost)), worst=worst, cleared=tuple(cleared), gone=tuple(gone))


def worst_case(pairs: Sequence[Pair]) -> tuple[float, str]:
    """Whether the runs' own repeats show that one case got worse: the smallest p times the number of cases that vary.

    Given how many attempts at a case passed in both runs together, Fisher's exact test; cases whose attempts all passed or all
    failed in both say nothing, whatever happened, and are not counted.
    """
    varied = [p for p in pairs if 0 < sum(p.before) + sum(p.now) < len(p.before) + len(p.now)]
    least, worst = 1.0, ""
    for p in varied:
        m, k, before, now = len(p.before), len(p.now), sum(p.before), sum(p.now)
        chance = float(scipy.stats.hypergeom.cdf(now, m + k, before + now, k))
        if chance < least:
            least, worst = chance, f"{p.case} passed {before} of {m} before and {now} of {k} now"
    return min(1.0, least * max(1, len(varied))), worst
