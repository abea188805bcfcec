"""Graded scores side by side: a score can sink while every case still passes its cut. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from andon.evals.pairs import other_measure, ran
from andon.evals.records import CaseResult, EvalRun
from andon.stats import paired_bootstrap

__all__ = ["ScoreShift", "score_shifts"]

_LEAST = 20
"""Clusters from which on the bootstrap's interval is told: with 8 it misses in 20 %, not 10 % (docs/methods/paired.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreShift:
    """How the mean of one graded score moved, over the cases that have it in both runs."""

    metric: str
    cases: int
    before: float
    now: float
    low: float | None
    """95 % interval of the change, by the paired bootstrap of clusters; None with fewer than 20 of them."""
    high: float | None


def score_shifts(run: EvalRun, baseline: EvalRun, rng: np.random.Generator) -> tuple[ScoreShift, ...]:
    """One for each metric that gave anything else than 0 and 1; each case counts once, with the mean over its attempts."""
    other = {*other_measure(run, baseline)}
    now, before = (_graded(each) for each in (run, baseline))
    both = [case for case in now if case in before and case not in other]
    metrics: dict[str, list[str]] = {}
    for case in both:
        metrics.setdefault(now[case][0].measured.split("@")[0], []).append(case)
    found = []
    for metric, cases in metrics.items():
        new, old = (np.array([np.mean([r.value for r in side[c]]) for c in cases]) for side in (now, before))
        if metric and not np.isin(np.concatenate([new, old]), (0, 1)).all():
            found.append(_shift(metric, old, new, [now[c][0].cluster or c for c in cases], rng))
    return tuple(found)


def _graded(run: EvalRun) -> dict[str, list[CaseResult]]:
    with_value = {case: [r for r in each if r.value is not None] for case, each in ran(run.results).items()}
    return {case: each for case, each in with_value.items() if each}


def _shift(
    metric: str, old: np.ndarray, new: np.ndarray, clusters: Sequence[str], rng: np.random.Generator
) -> ScoreShift:
    low, high = None, None
    if len({*clusters}) >= _LEAST:
        fell = paired_bootstrap(new - old, clusters, rng)
        low, high = -fell[1], -fell[0]
    return ScoreShift(
        metric=metric, cases=len(old), before=float(old.mean()), now=float(new.mean()), low=low, high=high
    )
