"""Two runs side by side: the attempts at each case that both hold, and what they say together. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from andon.evals.records import CaseResult, EvalRun
from andon.settings import HIGH_RISK
from andon.stats import PairedDrop, clopper_pearson, paired_drop, sign_flip

__all__ = ["Pair", "Together", "compare", "flaky_cases", "high_risk", "pairs_of", "ran", "rate_interval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One case that ran in both runs, with as many attempts of each as both hold."""

    case: str
    before: tuple[bool, ...]
    now: tuple[bool, ...]
    categories: tuple[str | None, str | None]
    cluster: str

    @property
    def net(self) -> int:
        """Attempts that pass now less those that passed before."""
        return sum(self.now) - sum(self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What some pairs say together."""

    n: int
    attempts: int
    """Of each run."""
    clusters: int
    before: float
    """Share of the attempts that passed."""
    now: float
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    p_worse: float
    p_better: float
    drop: PairedDrop

    @property
    def single(self) -> bool:
        """Whether each case is a cluster of its own with one attempt, so that it is McNemar's test."""
        return self.clusters == self.n == self.attempts


def ran(results: Iterable[CaseResult]) -> dict[str, list[CaseResult]]:
    """Case -> its attempts that ran, in the order of the run."""
    found: dict[str, list[CaseResult]] = {}
    for r in results:
        if r.outcome != "error":
            found.setdefault(r.case_id, []).append(r)
    return found


def pairs_of(run: EvalRun, baseline: EvalRun) -> list[Pair]:
    """The cases with an attempt that ran in both runs, in the order of `run`.

    Of each case as many attempts count as both runs hold, the first ones: only then could the two runs be swapped, which is
    what makes the tests exact.
    """
    now, before = ran(run.results), ran(baseline.results)
    found = []
    for case, attempts in now.items():
        if case not in before:
            continue
        both = list(zip(before[case], attempts, strict=False))
        old, new = both[0]
        found.append(
            Pair(
                case=case,
                before=tuple(a.outcome == "pass" for a, _ in both),
                now=tuple(b.outcome == "pass" for _, b in both),
                categories=(old.risk_category, new.risk_category),
                cluster=new.cluster or old.cluster or case,
            )
        )
    return found


def compare(pairs: Sequence[Pair], alpha: float) -> Together:
    """Rates, lost and gained cases, the exact test and the interval (each end a one-sided bound at `alpha`)."""
    names = {name: k for k, name in enumerate(dict.fromkeys(p.cluster for p in pairs))}
    cluster = np.array([names[p.cluster] for p in pairs])
    net = np.array([p.net for p in pairs])
    sums = np.zeros(len(names), dtype=np.int64)
    np.add.at(sums, cluster, net)
    worse, better = sign_flip(sums)
    each = np.array([int(b) - int(a) for p in pairs for a, b in zip(p.before, p.now, strict=True)])
    attempts = np.array([len(p.now) for p in pairs])
    drop = paired_drop(each, np.repeat(cluster, attempts), 1 - 2 * alpha)
    return Together(
        n=len(pairs),
        attempts=len(each),
        clusters=len(names),
        before=sum(sum(p.before) for p in pairs) / len(each),
        now=sum(sum(p.now) for p in pairs) / len(each),
        lost=tuple(p.case for p in pairs if p.net < 0),
        gained=tuple(p.case for p in pairs if p.net > 0),
        p_worse=worse,
        p_better=better,
        drop=drop,
    )


def rate_interval(results: Sequence[CaseResult], level: float) -> tuple[float, float, float, float]:
    """Passes and attempts as independent cases would have them, and the exact interval of the pass rate.

    Single attempts at single cases are counted as they are. Attempts at one case, and cases of one cluster, are divided by
    their design effect, with Student's quantile for the number of clusters (Korn & Graubard, Survey Methodology 24 (1998)),
    and are never more than the cases.
    """
    passed = np.array([r.outcome == "pass" for r in results], dtype=float)
    names = {name: k for k, name in enumerate(dict.fromkeys(r.cluster or r.case_id for r in results))}
    n = float(len(passed))
    if len(names) < n:
        cluster = np.array([names[r.cluster or r.case_id] for r in results])
        n = min(_effective(passed, cluster, len(names)), float(len({r.case_id for r in results})))
    x = n * float(passed.mean()) if len(names) < len(passed) else float(passed.sum())
    low, high = clopper_pearson(min(x, n), n, level)
    return min(x, n), n, low, high


def _effective(passed: NDArray[np.float64], cluster: NDArray[np.intp], count: int) -> float:
    if count < 2:
        return 1.0
    centred = passed - passed.mean()
    spread = float(centred @ centred)
    if spread == 0:
        return float(count)
    sums = np.bincount(cluster, centred, minlength=count)
    deff = max(1.0, float(sums @ sums) / spread * count / (count - 1))
    ratio = float(stats.t.isf(0.025, len(passed) - 1) / stats.t.isf(0.025, count - 1))
    return max(1.0, len(passed) / deff * ratio * ratio)


def flaky_cases(*runs: EvalRun) -> tuple[str, ...]:
    """Ids of cases that both passed and failed within one of the runs."""
    found = {
        case: None
        for run in runs
        for case, attempts in ran(run.results).items()
        if len({a.outcome for a in attempts}) > 1
    }
    return tuple(found)


def high_risk(*categories: str | None) -> bool:
    """Whether one of these risk categories is a high one."""
    return any((c or "").strip().casefold() in HIGH_RISK for c in categories)
