"""Does a judge say what people say? And how much of a difference between two runs does a changed judge make alone?"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from andon.errors import InputError
from andon.golden.agreement import krippendorff_alpha
from andon.stats.binomial import clopper_pearson
from andon.stats.paired import compare_paired, paired_drop
from andon.traffic.quoting import quoted

__all__ = [
    "FEWEST",
    "JudgeAgreement",
    "JudgeShift",
    "Judged",
    "Share",
    "area_under",
    "cohens_kappa",
    "judge_agreement",
    "judge_shift",
    "judged_rows",
]

FEWEST = 30
"""Answers that both judged, below which nothing is said of a judge."""

_WORDS = {
    "pass": True,
    "true": True,
    "yes": True,
    "right": True,
    "fail": False,
    "false": False,
    "no": False,
    "wrong": False,
}


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
class Share:
    """A number with its 95 % interval; None where it cannot be told."""

    value: float
    low: float | None
    high: float | None
    n: int


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
    accuracy: Share | None
    """Share of answers of which both say the same; exact interval."""
    chance: float | None
    """Accuracy that two who do not look at the answer, with these rates of passing, would have."""
    kappa: Share | None
    alpha: float | None
    """Krippendorff's alpha, nominal."""
    sensitivity: Share | None
    """Share of the right answers that the judge passes; exact interval."""
    specificity: Share | None
    """Share of the wrong answers that the judge fails; exact interval."""
    auc: Share | None
    """Chance that a right answer has a higher score than a wrong one, ties halved."""
    lean: Share | None
    """Pass rate by the judge less pass rate by people: above 0 the judge is lenient."""
    leans: dict[str, Share]
    """The same by group. Groups between which it differs cannot be compared by this judge alone."""
    text: str
    """What it means, or why it cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeShift:
    """Two judges of the same answers: what a change from one to the other does to a pass rate, without any other change."""

    n: int
    before: float
    """Pass rate by the old judge."""
    now: float
    shift: Share
    """Pass rate by the new judge less that by the old one; score interval."""
    differ: int
    """Answers of which they say different things, either way."""
    p: float
    """Exact two-sided p-value that the shift is chance (McNemar)."""
    text: str


def judged_rows(rows: Iterable[Mapping[str, Any]]) -> list[Judged]:
    """Rows of a file as judged answers.

    Each has `human` and `judge` (pass, fail, true, false, or a number from 0 to 1, which passes from 0.5 on), and perhaps
    `score` and `group`. Without a score, a number of the judge is one.

    Raises:
        InputError: a row is something else; names it, from 1.
    """
    found = []
    for number, row in enumerate(rows, 1):
        human, _ = _verdict(row, "human", number)
        judge, given = _verdict(row, "judge", number)
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
    kappa = cohens_kappa(a, b, c, d)
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
        alpha=krippendorff_alpha([(int(r.human), int(r.judge)) for r in rows]),
        sensitivity=_share(a, a + c),
        specificity=_share(d, b + d),
        auc=_auc(rows),
        lean=_lean(rows),
        leans={g: s for g in groups if (s := _lean([r for r in rows if r.group == g])) is not None},
        text=_meaning(n, a + c, b, b + d, kappa),
    )


def cohens_kappa(both_pass: int, judge_only: int, human_only: int, both_fail: int) -> Share | None:
    """Agreement beyond chance, ``(p_o - p_e) / (1 - p_e)``, with its large-sample 95 % interval.

    The variance is ``[sum_i p_ii ((1 - p_e) - (p_i. + p_.i)(1 - p_o))^2 + (1 - p_o)^2 sum_{i != j} p_ij (p_.i + p_j.)^2 -
    (p_o p_e - 2 p_e + p_o)^2] / (n (1 - p_e)^4)``. No interval where they never differ: the formula's width is 0 then.

    Returns:
        None where there is no answer, or both say the same of every one: chance alone would agree as well.

    Source: Cohen, Educational and Psychological Measurement 20 (1960), 37-46; Fleiss, Cohen & Everitt, Psychological Bulletin
    72 (1969), 323-327. Use instead: `krippendorff_alpha` for more than two, or with gaps.
    """
    table = np.array([[both_pass, human_only], [judge_only, both_fail]], float)  # rows: people; columns: the judge
    n = int(table.sum())
    if n == 0:
        return None
    p = table / n
    rows, columns = p.sum(1), p.sum(0)
    observed, expected = float(np.trace(p)), float(rows @ columns)
    if expected >= 1:
        return None
    kappa = (observed - expected) / (1 - expected)
    same = sum(p[i, i] * ((1 - expected) - (rows[i] + columns[i]) * (1 - observed)) ** 2 for i in (0, 1))
    other = (1 - observed) ** 2 * sum(p[i, 1 - i] * (columns[i] + rows[1 - i]) ** 2 for i in (0, 1))
    variance = (same + other - (observed * expected - 2 * expected + observed) ** 2) / (n * (1 - expected) ** 4)
    if observed >= 1 or variance <= 0:
        return Share(value=kappa, low=None, high=None, n=n)
    half = float(stats.norm.isf(0.025)) * math.sqrt(variance)
    return Share(value=kappa, low=max(-1.0, kappa - half), high=min(1.0, kappa + half), n=n)


def area_under(right: NDArray[np.float64], wrong: NDArray[np.float64]) -> Share | None:
    """Chance that a right answer has a higher score than a wrong one (area under the ROC curve), ties halved.

    With ``V(x) = P(wrong < x)`` for each right answer and ``W(y) = P(right > y)`` for each wrong one, ties halved, the area is
    the mean of either and its variance ``var(V)/m + var(W)/n``. The interval is taken on the logit scale, so that it stays
    within 0..1. No interval where the area is 0 or 1, or one side has a single answer: the variance says nothing then.

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988), 837-845; by ranks: Sun & Xu, IEEE Signal Processing Letters 21
    (2014), 1389-1393. The logit: Pepe, *The Statistical Evaluation of Medical Tests* (2003), 5.2.
    """
    m, n = len(right), len(wrong)
    if m == 0 or n == 0:
        return None
    together = stats.rankdata(np.concatenate([right, wrong]))
    v = (together[:m] - stats.rankdata(right)) / n
    w = 1 - (together[m:] - stats.rankdata(wrong)) / m
    area = float(v.mean())
    if not 0 < area < 1 or m < 2 or n < 2:
        return Share(value=area, low=None, high=None, n=m + n)
    error = math.sqrt(float(v.var(ddof=1)) / m + float(w.var(ddof=1)) / n) / (area * (1 - area))
    logit, half = math.log(area / (1 - area)), float(stats.norm.isf(0.025)) * error
    low, high = (1 / (1 + math.exp(-x)) for x in (logit - half, logit + half))
    return Share(value=area, low=low, high=high, n=m + n)


def judge_shift(before: Sequence[bool], now: Sequence[bool], clusters: Sequence[int] | None = None) -> JudgeShift:
    """How much of a pass rate's difference a changed judge makes alone: both judges on the same answers.

    A pass rate by the new judge is compared with one by the old judge only after this shift has been taken off, and no closer
    than its interval. `clusters` numbers answers that go together (those to one question).

    Raises:
        InputError: there are no answers, or not as many of the one as of the other.
    """
    if not before or len(before) != len(now):
        raise InputError(
            f"the old judge judged {len(before)} answers and the new one {len(now)}; the same answers are needed"
        )
    old, new = np.array(before, bool), np.array(now, bool)
    n, lost, gained = len(old), int((old & ~new).sum()), int((~old & new).sum())
    found = paired_drop(new.astype(int) - old.astype(int), range(n) if clusters is None else clusters)
    shift = Share(value=-found.drop, low=-found.high, high=-found.low, n=n)
    test = compare_paired(n, lost, gained)
    word = "stricter" if shift.value < 0 else "more lenient"
    surely = found.low > 0 or found.high < 0
    text = (
        f"of {n} answers the old judge passes {old.mean():.1%} and the new one {new.mean():.1%}"
        f" ({100 * shift.value:+.1f} points, 95 % interval {-100 * found.high:+.1f} to {-100 * found.low:+.1f}); they differ on"
        f" {lost + gained}: "
    ) + (f"the new judge is {word}, whatever the product did" if surely else "a shift of the judge is not shown")
    return JudgeShift(
        n=n,
        before=float(old.mean()),
        now=float(new.mean()),
        shift=shift,
        differ=lost + gained,
        p=min(1.0, 2 * min(test.p_worse, test.p_better)),
        text=text,
    )


def _verdict(row: Mapping[str, Any], key: str, number: int) -> tuple[bool, float | None]:
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


def _share(x: int, n: int) -> Share | None:
    if n == 0:
        return None
    low, high = clopper_pearson(x, n)
    return Share(value=x / n, low=low, high=high, n=n)


def _auc(rows: Sequence[Judged]) -> Share | None:
    scored = [r for r in rows if r.score is not None]
    right, wrong = (np.array([r.score for r in scored if r.human == side], float) for side in (True, False))
    return area_under(right, wrong)


def _lean(rows: Sequence[Judged]) -> Share | None:
    """Pass rate by the judge less pass rate by people, on the same answers."""
    if not rows:
        return None
    found = paired_drop([int(r.judge) - int(r.human) for r in rows], range(len(rows)))
    return Share(value=-found.drop, low=-found.high, high=-found.low, n=len(rows))


def _meaning(n: int, right: int, missed: int, wrong: int, kappa: Share | None) -> str:
    if n < FEWEST:
        return f"cannot tell: {n} answers were judged by both; from {FEWEST} on it is said"
    if wrong == 0 or right == 0:
        said = "right" if wrong == 0 else "wrong"
        return (
            f"cannot tell: people call all {n} answers {said}, so nothing shows whether the judge knows the other kind"
        )
    low, high = clopper_pearson(missed, wrong)
    gate = f"it passes {missed} of {wrong} wrong answers ({missed / wrong:.0%}, 95 % interval {low:.0%} to {high:.0%})"
    if kappa is None or (kappa.low is not None and kappa.low <= 0):
        return f"agreement beyond chance is not shown: {gate}"
    return f"it agrees with people beyond chance (kappa {kappa.value:.2f}): {gate}"
