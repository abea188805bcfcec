"""Two runs side by side: the attempts at each case that both hold, and what they say together. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from andon.evals.records import CaseResult, EvalRun
from andon.evals.repeats import attempts_of
from andon.evals.rules import GROUP
from andon.settings import is_high_risk
from andon.stats import PairedDrop, clopper_pearson, design_effect, paired_drop, sign_flip

__all__ = [
    "Pair",
    "Together",
    "compare",
    "flaky_cases",
    "high_risk",
    "other_measure",
    "outcome_of",
    "pairs_of",
    "ran",
    "rate_interval",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One case that ran in both runs and was measured alike, with all attempts of each."""

    case: str
    before: tuple[bool, ...]
    now: tuple[bool, ...]
    categories: tuple[str | None, str | None]
    cluster: str

    @property
    def change(self) -> int:
        """Below 0: passes less often than before (lost), above 0: more often (gained), over all attempts."""
        return sum(self.now) * len(self.before) - sum(self.before) * len(self.now)

    @property
    def steps(self) -> list[int]:
        """What became of each attempt that both runs hold: the first ones, for only then could the two runs be swapped."""
        return [int(b) - int(a) for a, b in zip(self.before, self.now, strict=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What some pairs say together."""

    n: int
    attempts: int
    """That both runs hold."""
    clusters: int
    before: float
    """Share of the attempts that passed."""
    now: float
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    p_worse: float
    p_better: float
    p_alone: float
    """What `p_worse` would be if each case stood for itself, in clusters or not."""
    fallen: tuple[str, ...]
    """Clusters that lost more than they gained."""
    drop: PairedDrop
    uneven: bool
    """Whether the runs differ in how often they asked one of the cases: the tests take the attempts that both hold."""

    @property
    def single(self) -> bool:
        """Whether each case is a cluster of its own with one attempt, so that it is McNemar's test."""
        return self.clusters == self.n == self.attempts


def ran(results: Iterable[CaseResult]) -> dict[str, list[CaseResult]]:
    """Case -> its attempts that ran, in the order of the run."""
    return attempts_of(r for r in results if r.outcome != "error")


def outcome_of(attempts: Iterable[CaseResult]) -> Literal["pass", "fail", "error"]:
    """What became of one case over all its attempts: it fails once one fails, and passes where all of them ran and passed."""
    seen = {r.outcome for r in attempts}
    return "fail" if "fail" in seen else "pass" if seen == {"pass"} else "error"


def other_measure(run: EvalRun, baseline: EvalRun) -> tuple[str, ...]:
    """The cases that ran in both runs and were measured in two ways: another scorer, metric, cut, right answer, ..."""
    now, before = ran(run.results), ran(baseline.results)
    return tuple(case for case in now if case in before and not _alike(now[case], before[case]))


def _alike(now: Sequence[CaseResult], before: Sequence[CaseResult]) -> bool:
    """Whether one measure decided all attempts, and one model judged those that a model judged (an alias may be moved)."""
    every = (*now, *before)
    return len({r.measured for r in every}) == 1 and len({r.judged_by for r in every} - {""}) <= 1


def pairs_of(run: EvalRun, baseline: EvalRun) -> list[Pair]:
    """The cases with an attempt that ran in both runs and was measured alike, in the order of `run`."""
    now, before = ran(run.results), ran(baseline.results)
    found = []
    for case, attempts in now.items():
        if case not in before or not _alike(attempts, before[case]):
            continue
        old, new = before[case][0], attempts[0]
        found.append(
            Pair(
                case=case,
                before=tuple(a.outcome == "pass" for a in before[case]),
                now=tuple(b.outcome == "pass" for b in attempts),
                categories=(old.risk_category, new.risk_category),
                cluster=new.cluster or old.cluster or case,
            )
        )
    return found


def compare(pairs: Sequence[Pair], alpha: float) -> Together:
    """Rates, lost and gained cases, the exact test and the interval (each end a one-sided bound at `alpha`)."""
    names = {name: k for k, name in enumerate(dict.fromkeys(p.cluster for p in pairs))}
    cluster = np.array([names[p.cluster] for p in pairs])
    steps = [p.steps for p in pairs]
    sums = np.zeros(len(names), dtype=np.int64)
    np.add.at(sums, cluster, np.array([sum(s) for s in steps]))
    worse, better = sign_flip(sums)
    alone = worse if len(names) == len(pairs) else sign_flip(np.array([sum(s) for s in steps]))[0]
    each = np.array([step for s in steps for step in s])
    drop = paired_drop(each, np.repeat(cluster, [len(s) for s in steps]), 1 - 2 * alpha)
    return Together(
        n=len(pairs),
        attempts=len(each),
        clusters=len(names),
        before=sum(sum(p.before) for p in pairs) / sum(len(p.before) for p in pairs),
        now=sum(sum(p.now) for p in pairs) / sum(len(p.now) for p in pairs),
        lost=tuple(p.case for p in pairs if p.change < 0),
        gained=tuple(p.case for p in pairs if p.change > 0),
        p_worse=worse,
        p_better=better,
        p_alone=alone,
        fallen=tuple(name for name, k in names.items() if sums[k] < 0),
        drop=drop,
        uneven=any(len(p.before) != len(p.now) for p in pairs),
    )


def rate_interval(results: Sequence[CaseResult], level: float) -> tuple[float, float, float, float]:
    """Passes and attempts as independent cases would have them, and the exact interval of the pass rate.

    Single attempts at single cases are counted as they are. Attempts at one case, and cases of one cluster, are divided by
    their design effect, with Student's quantile for the number of clusters (Korn & Graubard, Survey Methodology 24 (1998)),
    and are never more than the clusters: with few of them, or few failures, the design effect is too often estimated too
    small.
    """
    passed = np.array([r.outcome == "pass" for r in results], dtype=float)
    names = {name: k for k, name in enumerate(dict.fromkeys(r.cluster or r.case_id for r in results))}
    n = float(len(passed))
    if len(names) < n:
        cluster = np.array([names[r.cluster or r.case_id] for r in results])
        n = min(_effective(passed, cluster, len(names)), float(len(names)))
    x = n * float(passed.mean()) if len(names) < len(passed) else float(passed.sum())
    low, high = clopper_pearson(min(x, n), n, level)
    return min(x, n), n, low, high


def _effective(passed: NDArray[np.float64], cluster: NDArray[np.intp], count: int) -> float:
    n = len(passed) / design_effect(passed, cluster, count)
    if count < 2 or passed.min() == passed.max():
        return n
    ratio = float(scipy.stats.t.isf(0.025, len(passed) - 1) / scipy.stats.t.isf(0.025, count - 1))
    return max(1.0, n * ratio * ratio)


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
    """Whether one of these risk categories is a high one, or names the group of them."""
    return any(is_high_risk(c) or (c or "").strip().casefold() == GROUP for c in categories)
