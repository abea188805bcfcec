"""What would disprove a suspect, as tests on figures: each supports, speaks against, or cannot tell.

A test never moves a probability: it stands beside it. "Supports" means that the data are as this suspect would make them,
which something that always came together with it would do as well; "against" means that they are surely not.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from andon import stats
from andon.investigations.exposure import SIDES, Bin
from andon.investigations.records import SuspectTest
from andon.investigations.silent import Side, compare_sides
from andon.monitors.verdicts import p_text, percent
from andon.traffic import Interaction

__all__ = [
    "Ask",
    "Contrast",
    "compare_exposed",
    "dose_test",
    "other_versions_test",
    "passages_test",
    "replay_test",
    "same_hour_test",
    "same_questions_test",
    "trace_test",
]

Ask = Callable[[Literal["old", "new"], Sequence[Interaction]], Sequence[Interaction | None]]
"""Asks a target again: (which target, interactions to repeat) -> its answers in the same order, None where it gave none.

An answer is the interaction asked, with what the target said in place of what was said (`answer`, `contexts`, `refused`...).
"""

Result = Literal["supports", "against", "cannot tell"]

SURE = 0.01
"""p-value below which those who saw a version are said to be harmed more often."""

FEWEST = 10
"""Interactions on either side below which a contrast says nothing."""

EXACT = 20_000
"""Harmed interactions up to which the stratified test is exact; beyond, its normal approximation."""

HALF = 0.5
"""A suspect that explains surely less than this share of the rise is not the cause of it."""

MIXED_HOURS = 5
"""Hours with some, but not all traffic exposed, that a dose needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Harm of the exposed less harm of the others, over strata in which there are both."""

    difference: float
    low: float
    high: float
    p: float
    """One-sided: as many harmed among the exposed by chance."""
    exposed_x: float
    exposed_n: float
    other_x: float
    other_n: float
    share: float
    """Share of the traffic of these strata that was exposed."""

    @property
    def text(self) -> str:
        """The figures in words."""
        return (
            f"harm {percent(self.exposed_x / self.exposed_n)} of {self.exposed_n:,.0f} against "
            f"{percent(self.other_x / self.other_n)} of {self.other_n:,.0f}: {self.difference * 100:+.1f} points "
            f"({self.low * 100:+.1f} to {self.high * 100:+.1f}, {p_text(self.p)})"
        )


def compare_exposed(cells: Sequence[Bin]) -> Contrast | None:
    """Mantel-Haenszel difference of rates over strata, its 95 % interval and an exact test; None without a common stratum.

    With a of m harmed among the exposed, b of k among the others and N = m + k in each stratum:
    ``RD = sum (a k - b m) / N / sum m k / N``, with Sato's variance, which holds for few large strata and for many small ones.
    p is the upper tail of a under the product of hypergeometric laws that fix the margins of every stratum (exact up to
    20,000 harmed; beyond by the normal law with the same mean and variance).

    Fractions (sampling weights over their unit) are rounded for the test. Assumes that interactions are independent: where a
    few users cause most traffic the p-value is too small.

    Source: Mantel & Haenszel, Journal of the National Cancer Institute 22 (1959), 719-748; Sato, Biometrics 45 (1989),
    1323-1324 (letter; the variance); Cox & Snell, *Analysis of Binary Data*, 2nd ed. (1989), section 2.1 (exact test).
    """
    both = [c for c in cells if c.exposed_n > 0 and c.other_n > 0]
    if not both:
        return None
    a, m, b, k = (np.array([getattr(c, f) for c in both], dtype=np.float64) for f in SIDES)
    total = m + k
    scale = float((m * k / total).sum())
    difference = float(((a * k - b * m) / total).sum()) / scale
    first = (m**2 * b - k**2 * a + m * k * (k - m) / 2) / total**2
    second = (a * (k - b) + b * (m - a)) / (2 * total)
    variance = max(0.0, (difference * float(first.sum()) + float(second.sum())) / scale**2)
    if variance == 0.0:  # nobody was harmed on either side, or all were: the rule of three bounds what may be hidden
        variance = (3 / min(m.sum(), k.sum()) / 1.96) ** 2
    half = 1.96 * math.sqrt(variance)
    return Contrast(
        difference=difference,
        low=max(-1.0, difference - half),
        high=min(1.0, difference + half),
        p=_upper_tail(np.rint(a), np.rint(m), np.rint(b), np.rint(k)),
        exposed_x=float(a.sum()),
        exposed_n=float(m.sum()),
        other_x=float(b.sum()),
        other_n=float(k.sum()),
        share=float(m.sum() / total.sum()),
    )


def _upper_tail(
    a: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    m: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    b: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    k: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> float:
    """Chance of at least this many harmed exposed ones, with the margins of every stratum fixed."""
    harmed, total = a + b, m + k
    if (total < 1).any() or harmed.sum() > EXACT:
        use = total > 1
        mean = float((harmed[use] * m[use] / total[use]).sum())
        parts = harmed[use] * (total[use] - harmed[use]) * m[use] * k[use] / (total[use] ** 2 * (total[use] - 1))
        spread = math.sqrt(float(parts.sum()))
        return float(scipy.stats.norm.sf((a[use].sum() - 0.5 - mean) / spread)) if spread > 0 else 1.0
    law, lowest = np.ones(1), 0
    for h, n, exposed in zip(harmed.astype(int), total.astype(int), m.astype(int), strict=True):
        least, most = max(0, h - (n - exposed)), min(h, exposed)
        law = np.convolve(law, scipy.stats.hypergeom.pmf(np.arange(least, most + 1), n, h, exposed))
        lowest += least
    return float(min(1.0, law[max(0, int(a.sum()) - lowest) :].sum()))


def _judge(c: Contrast, rise: float | None) -> tuple[Result, str]:
    """What a contrast says of a suspect, given the rise of the rate over all traffic."""
    if c.low > 0 and c.p < SURE:
        if rise is None or rise <= 0:
            return "supports", ""
        return "supports", f"; it explains {percent(min(1.0, c.share * c.difference / rise))} of the rise"
    if c.high <= 0 or (rise is not None and rise > 0 and c.share * c.high < HALF * rise):
        return "against", "; that is too little to explain the rise"
    return "cannot tell", ""


def same_hour_test(
    windows: Sequence[Bin], version: str, rise: float | None, evidence: Sequence[str] = ()
) -> SuspectTest:
    """Harm among those who saw the version against the others, in the same windows since the onset.

    The strata are as fine as the chart's windows, so that the minutes in which a version replaced another one contrast little.
    """
    found = compare_exposed(windows)
    if found is None:
        n = sum(c.exposed_n for c in windows)
        why = "nobody" if n == 0 else "everybody"
        if n == 0 and sum(c.other_x for c in windows) > 0:
            text = f"nobody saw {version} since the onset, and yet there is harm"
            return SuspectTest(name="same hour", text=text, result="against", evidence=tuple(evidence))
        text = f"{why} saw {version} in every window since the onset: serve the version before to a part of the traffic"
        return SuspectTest(name="same hour", text=text, result="cannot tell", evidence=tuple(evidence))
    if min(found.exposed_n, found.other_n) < FEWEST:
        text = f"since the onset {found.exposed_n:,.0f} saw {version} beside {found.other_n:,.0f} others at the same time; {FEWEST} of each are needed"
        return SuspectTest(name="same hour", text=text, result="cannot tell", evidence=tuple(evidence))
    result, more = _judge(found, rise)
    text = f"at the same time, {version} against the others: {found.text}{more}"
    return SuspectTest(name="same hour", text=text, result=result, evidence=tuple(evidence))


def other_versions_test(cells: Sequence[Bin], version: str, held: Sequence[str]) -> SuspectTest:
    """Harm with and without the version before and since, where all other version fields that moved are the same.

    Args:
        cells: one for each combination of the other version fields.
        version: the version that the suspect brought.
        held: those other fields.
    """
    names = ", ".join(f.replace("_", " ") for f in held)
    if not held:
        text = f"no other version field moved with {version}, so none has to be held fixed"
        return SuspectTest(name="other versions", text=text, result="cannot tell")
    found = compare_exposed(cells)
    if found is None or min(found.exposed_n, found.other_n) < FEWEST:
        text = f"{version} was hardly ever seen without another change of {names}: only replay can tell them apart"
        return SuspectTest(name="other versions", text=text, result="cannot tell")
    result, more = _judge(found, None)
    text = f"with {names} held fixed, {version} against other versions: {found.text}{more}"
    return SuspectTest(name="other versions", text=text, result=result)


def dose_test(hours: Sequence[Bin], version: str, rise: float | None) -> SuspectTest:
    """Harm against the share of traffic that saw the version, over hours: ``rate = c + slope x share``.

    Least squares weighted by the interactions of each hour, the error of the slope from the residuals, Student's t with
    hours - 2 degrees of freedom. Needs five hours in which some, but not all traffic saw it: a step from none to all is a date,
    not a dose. `against`: the slope is surely less than half of the rise.

    Assumes hours without serial correlation beyond the dose.
    """
    known = [c for c in hours if c.exposed_n + c.other_n > 0]
    n = np.array([c.exposed_n + c.other_n for c in known])
    share = np.array([c.exposed_n for c in known]) / np.maximum(n, 1e-12)
    mixed = int(((share > 0.02) & (share < 0.98)).sum())
    if mixed < MIXED_HOURS or share.std() < 0.05:
        text = f"{mixed} hours with a part of the traffic on {version}, and a share that moves: {MIXED_HOURS} are needed for a dose"
        return SuspectTest(name="dose", text=text, result="cannot tell")
    rate = np.array([c.exposed_x + c.other_x for c in known]) / n
    centre, middle = float(np.average(share, weights=n)), float(np.average(rate, weights=n))
    spread = float((n * (share - centre) ** 2).sum())
    slope = float((n * (share - centre) * (rate - middle)).sum()) / spread
    freedom = len(known) - 2
    left = rate - middle - slope * (share - centre)
    error = math.sqrt(float((n * left**2).sum()) / freedom / spread)
    half = float(scipy.stats.t.ppf(0.975, freedom)) * error
    low, high = slope - half, slope + half
    p = float(scipy.stats.t.sf(slope / error, freedom)) if error > 0 else 0.0 if slope > 0 else 1.0
    text = (
        f"over {len(known)} hours the share on {version} went from {percent(float(share.min()))} to "
        f"{percent(float(share.max()))}; all of it would add {slope * 100:+.1f} points of harm ({low * 100:+.1f} to "
        f"{high * 100:+.1f}, {p_text(p)})"
    )
    result: Result = "cannot tell"
    if low > 0 and p < SURE:
        result = "supports"
    elif high <= 0 or (rise is not None and rise > 0 and high < HALF * rise):
        result = "against"
    return SuspectTest(name="dose", text=text, result=result)


def trace_test(
    name: str,
    measures: Sequence[tuple[str, str, bool, Side, Side]],
    version: str,
    *,
    apart: bool,
    evidence: Sequence[str] = (),
) -> SuspectTest:
    """Whether what the suspect would have done stands in the traces: calls that fail, poorer passages, decisions of policy.

    Args:
        name: ``tool traces``, ``retrieval logs`` or ``policy decisions``.
        measures: (metric, bad direction, whether it is a rate, of the others, of those who saw the version).
        version: the version that the suspect brought.
        apart: the others were seen since the onset, too; otherwise they are the traffic before it, and whatever else moved
            then moved with it.
        evidence: ids of the figures.

    `supports`: one of the measures is surely worse among those who saw it. `against`: all are the same (`compare_sides`).
    """
    moves = [
        compare_sides(metric, other, seen, rate=rate, bad=bad, family=len(measures))
        for metric, bad, rate, other, seen in measures
    ]
    known = [m for m in moves if m is not None]
    if not known:
        wanted = ", ".join(m[0].replace("_", " ") for m in measures)
        text = f"too few interactions carry {wanted} with and without {version}"
        return SuspectTest(name=name, text=text, result="cannot tell", evidence=tuple(evidence))
    told = []
    for m in known:
        show = percent if m.rate else "{:.3g}".format
        told.append(f"{m.name.replace('_', ' ')} {show(m.before)} without, {show(m.after)} with it ({m.word})")
    result: Result = "cannot tell"
    if any(m.worse for m in known):
        result = "supports"
    elif all(m.word != "cannot tell" for m in known):
        result = "against"
    when = "since the onset" if apart else "before the onset against since: everybody sees it now"
    text = f"{version}, {when}: {', '.join(told)}"
    return SuspectTest(name=name, text=text, result=result, evidence=tuple(evidence))


def passages_test(overlap: Sequence[float], control: Sequence[float]) -> SuspectTest:
    """Whether the same questions retrieve other passages than before the onset.

    Args:
        overlap: for each question asked before and since, the share of the passages of both that both have (Jaccard, by id).
        control: the same for two askings before the onset; empty where there are none.

    `supports` where the mean overlap is below one half, and surely below that of the control where there is one; `against`
    where it is 95 % or more. Fewer than ten questions cannot tell.
    """
    if len(overlap) < 10:
        text = f"{len(overlap)} questions with passages by id were asked before and since; 10 are needed"
        return SuspectTest(name="retrieval logs", text=text, result="cannot tell")
    mean = float(np.mean(overlap))
    text = f"{len(overlap)} questions asked before and since retrieve {percent(mean)} of their passages in common"
    result: Result = "cannot tell"
    if mean >= 0.95:
        result = "against"
    elif mean < 0.5:
        result = "supports"
    if len(control) >= 10:
        usual = float(np.mean(control))
        text += f"; two askings before the onset {percent(usual)}"
        p = float(scipy.stats.mannwhitneyu(overlap, control, alternative="less").pvalue)
        if p >= SURE:
            result = "against" if mean >= 0.95 else "cannot tell"
        elif mean < usual - 0.2:
            result = "supports"
    return SuspectTest(name="retrieval logs", text=text, result=result)


def same_questions_test(pairs: Sequence[tuple[bool, bool]], rise: float | None) -> SuspectTest:
    """For "the traffic changed": do the same questions, once each as (harmed before, harmed since), fail more often now?

    If they surely do (exact McNemar, one-sided 1 %), other questions are not the reason. If surely fewer than half of the rise
    comes to them, the traffic is as it would be.
    """
    if len(pairs) < 20:
        text = f"{len(pairs)} questions were asked both before and since the onset; 20 are needed"
        return SuspectTest(name="same questions", text=text, result="cannot tell")
    lost = sum(since and not before for before, since in pairs)
    gained = sum(before and not since for before, since in pairs)
    found = stats.compare_paired(len(pairs), lost, gained)
    _, most = stats.clopper_pearson(lost, len(pairs))
    text = (
        f"of {len(pairs)} questions asked before and since {lost} fail only since and {gained} failed only before "
        f"(exact McNemar {p_text(found.p_worse)})"
    )
    result: Result = "cannot tell"
    if found.p_worse < SURE:
        result = "against"
    elif rise is not None and rise > 0 and most < HALF * rise:
        result = "supports"
    return SuspectTest(name="same questions", text=text, result=result)


def replay_test(pairs: Sequence[tuple[bool | None, bool | None]], *, own: bool) -> SuspectTest:
    """The same inputs on an old and a new target, as (harmed on old, harmed on new); None where a target gave no answer.

    The targets shall differ by the suspect only. Of the inputs on which they differ, McNemar's exact test asks whether more
    fail on the new one. For a change of our own that `supports`; where surely fewer than half of what fails on the new target
    passes on the old one, the change is not the cause. For "no own change" it is the other way round.

    Args:
        pairs: one for each input, each input once.
        own: whether the suspect is a change of ours.
    """
    known = [(o, n) for o, n in pairs if o is not None and n is not None]
    errors = len(pairs) - len(known)
    lost = sum(n and not o for o, n in known)
    gained = sum(o and not n for o, n in known)
    failing = sum(n for _, n in known)
    text = f"{len(known)} inputs on both targets: {failing} fail on the new one, {lost} of them not on the old one, {gained} only on the old one"
    text += f"; {errors} got no answer" if errors else ""
    if len(known) < 5:
        return SuspectTest(name="old target", text=f"{text}; at least 5 are needed", result="cannot tell")
    found = stats.compare_paired(len(known), lost, gained)
    text += f" (exact McNemar {p_text(found.p_worse)})"
    result: Result = "cannot tell"
    if found.p_worse < 0.05 and 2 * lost >= failing:
        result = "supports" if own else "against"
    elif failing >= 5 and stats.clopper_pearson(lost, failing)[1] < HALF:
        text += ": the old target fails as well"
        result = "against" if own else "supports"
    elif failing < 5:
        text += ": the failure does not show on replay"
    return SuspectTest(name="old target", text=text, result=result)
