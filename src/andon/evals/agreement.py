"""Does a judge say what people say of the same answers?"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from andon import stats
from andon.errors import InputError
from andon.stats import Estimate
from andon.traffic.quoting import quoted

__all__ = ["FEWEST", "JudgeAgreement", "Judged", "Share", "judge_agreement", "judged_rows"]

FEWEST = 30
"""Answers that both judged, below which nothing is said of a judge."""

_WORDS = dict.fromkeys(("pass", "true", "yes", "right"), True) | dict.fromkeys(("fail", "false", "no", "wrong"), False)

Share = Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One answer that people and a judge judged."""

    human: bool
    """True: it passes."""
    judge: bool
    score: float | None = None
    """The judge's number, higher for a better answer, where it gave one."""
    group: str | None = None
    """What gave the answer (a version, a model): a judge may lean to one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAgreement:
    """How far a judge says what people say, of the same answers."""

    n: int
    both_pass: int
    judge_only: int
    """The judge passes what people fail: what a gate would let through."""
    human_only: int
    """The judge fails what people pass: what a gate would stop for nothing."""
    both_fail: int
    accuracy: Estimate | None
    """Share of answers of which both say the same; exact interval."""
    chance: float | None
    """Accuracy that two who do not look at the answer, with these rates of passing, would have."""
    kappa: Estimate | None
    alpha: float | None
    """Krippendorff's alpha, nominal."""
    sensitivity: Estimate | None
    """Share of the right answers that the judge passes; exact interval."""
    specificity: Estimate | None
    """Share of the wrong answers that the judge fails; exact interval."""
    auc: Estimate | None
    """Chance that a right answer has a higher score than a wrong one, ties halved."""
    lean: Estimate | None
    """Pass rate by the judge less pass rate by people: above 0 the judge is lenient."""
    leans: dict[str, Estimate]
    """The same by group. Groups between which it differs cannot be compared by this judge alone."""
    text: str
    """What it means, or why it cannot be told."""


def judged_rows(rows: Iterable[Mapping[str, Any]]) -> list[Judged]:
    """Rows of a file as judged answers.

    Each has `human` and `judge` (pass, fail, true, false, or a number from 0 to 1, which passes from 0.5 on), and perhaps
    `score` and `group`. Without a score, a number of the judge is one.

    Raises:
        InputError: a row is something else; names it, from 1.
    """
    found = []
    for number, row in enumerate(rows, 1):
        human, _ = _passes(row, "human", number)
        judge, given = _passes(row, "judge", number)
        score = row.get("score", given)
        if score is not None and (
            isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score)
        ):
            raise InputError(f"row {number}: score is {quoted(score)}; a number is allowed")
        group = row.get("group")
        found.append(Judged(human=human, judge=judge, score=score, group=None if group is None else str(group)))
    return found


def judge_agreement(rows: Sequence[Judged]) -> JudgeAgreement:
    """How far a judge agrees with people.

    Accuracy alone flatters a judge where most answers are right: one that passes everything has the accuracy of the pass rate,
    and kappa 0. For a gate specificity counts: what the judge does with wrong answers.

    Answers are independent: several of one question are less than they seem (see docs/methods/judge.md). Fewer than 30 answers, or
    answers of which people say all the same, say nothing of a judge; what cannot be told is None.
    """
    human, judge = (np.array([getattr(r, k) for r in rows], bool) for k in ("human", "judge"))
    n, a, d = len(rows), int((human & judge).sum()), int((~human & ~judge).sum())
    b, c = int((~human & judge).sum()), int((human & ~judge).sum())
    kappa = stats.cohens_kappa(a, b, c, d)
    groups = sorted({r.group for r in rows if r.group is not None})
    return JudgeAgreement(
        n=n,
        both_pass=a,
        judge_only=b,
        human_only=c,
        both_fail=d,
        accuracy=_share(a + d, n),
        chance=((a + b) * (a + c) + (c + d) * (b + d)) / n**2 if n else None,
        kappa=kappa,
        alpha=stats.krippendorff_alpha([(int(r.human), int(r.judge)) for r in rows]),
        sensitivity=_share(a, a + c),
        specificity=_share(d, b + d),
        auc=_auc(rows),
        lean=_lean(rows),
        leans={g: s for g in groups if (s := _lean([r for r in rows if r.group == g])) is not None},
        text=_meaning(n, a + c, b, b + d, kappa),
    )


def _passes(row: Mapping[str, Any], key: str, number: int) -> tuple[bool, float | None]:
    value = row.get(key)
    if isinstance(value, bool):
        return value, None
    if isinstance(value, str) and value.strip().casefold() in _WORDS:
        return _WORDS[value.strip().casefold()], None
    if isinstance(value, int | float) and 0 <= value <= 1:
        return value >= 0.5, float(value)
    raise InputError(
        f"row {number}: {key} is {quoted(value)}; pass, fail, true, false or a number from 0 to 1 is allowed"
    )


def _share(x: int, n: int) -> Estimate | None:
    if n == 0:
        return None
    low, high = stats.clopper_pearson(x, n)
    return Estimate(value=x / n, low=low, high=high, n=n)


def _auc(rows: Sequence[Judged]) -> Estimate | None:
    scored = [r for r in rows if r.score is not None]
    right, wrong = (np.array([r.score for r in scored if r.human == side], float) for side in (True, False))
    return stats.area_under(right, wrong)


def _lean(rows: Sequence[Judged]) -> Estimate | None:
    """Pass rate by the judge less pass rate by people, on the same answers."""
    if not rows:
        return None
    found = stats.paired_drop([int(r.judge) - int(r.human) for r in rows], range(len(rows)))
    return Estimate(value=-found.drop, low=-found.high, high=-found.low, n=len(rows))


def _meaning(n: int, right: int, missed: int, wrong: int, kappa: Estimate | None) -> str:
    if n < FEWEST:
        return f"cannot tell: {n} answers were judged by both; from {FEWEST} on it is said"
    if wrong == 0 or right == 0:
        said = "right" if wrong == 0 else "wrong"
        return (
            f"cannot tell: people call all {n} answers {said}, so nothing shows whether the judge knows the other kind"
        )
    low, high = stats.clopper_pearson(missed, wrong)
    gate = f"it passes {missed} of {wrong} wrong answers ({missed / wrong:.0%}, 95 % interval {low:.0%} to {high:.0%})"
    if kappa is None or (kappa.low is not None and kappa.low <= 0):
        return f"agreement beyond chance is not shown: {gate}"
    return f"it agrees with people beyond chance (kappa {kappa.value:.2f}): {gate}"
