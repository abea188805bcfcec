"""Silent regression: answers became worse while errors, latency and traffic stayed as they were.

A call that succeeds says nothing about the answer. So every metric is compared before and since the onset, each as
"moved", "the same" or "cannot tell", and the same questions are compared with themselves where they were asked again.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from andon import stats
from andon.investigations.records import Analysis
from andon.monitors.verdicts import p_text, percent
from andon.traffic import quoted

__all__ = [
    "FEWEST",
    "LOUD",
    "STYLE",
    "Move",
    "Side",
    "compare_sides",
    "finish_reasons",
    "same_questions",
    "side_of",
    "side_of_sums",
    "silent_regression",
]

Word = Literal["moved", "the same", "cannot tell"]

LOUD = ("error", "latency_s", "first_token_s")
"""What other monitoring sees: while these stand still, nobody else is paged."""

STYLE = ("output_tokens", "answer_chars", "markdown", "reasoning_tokens", "tool_calls")
"""How answers look; a change of it is a trace of a cause, not harm by itself."""

FEWEST = 20
"""Fewer values than this on a side are not compared."""

SMALL = 0.1
"""A difference below this many standard deviations is not called a move, however sure: with enough traffic all moves."""

SAME = 0.2
"""The same: the whole interval lies within this many standard deviations of no difference ("small" by Cohen)."""

FRACTION = 0.25
"""A rate of errors that rose by surely less than this share of what quality fell stood still beside it."""

LEVEL = 0.05
"""Chance that any of the metrics that are compared is said to have moved though none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A metric in one stretch of time."""

    n: float
    """Effective number of values: ``(sum w)^2 / sum w^2`` with sampling weights w."""
    mean: float
    variance: float


def side_of(values: Iterable[float | None], weights: Iterable[float | None] | None = None) -> Side:
    """Effective number, mean and variance of values, each with its weight (1 where it has none); None is left out."""
    pairs = ((v, 1.0) for v in values) if weights is None else zip(values, weights, strict=True)
    known = [(v, 1.0 if w is None else w) for v, w in pairs if v is not None]
    if not known:
        return Side(n=0.0, mean=0.0, variance=0.0)
    v, w = np.array(known, dtype=np.float64).T
    mean = float(np.average(v, weights=w))
    return Side(n=float(w.sum() ** 2 / (w**2).sum()), mean=mean, variance=float(np.average((v - mean) ** 2, weights=w)))


def side_of_sums(row: Mapping[str, float | None], metric: str) -> Side:
    """The same from the row of a roll-up with ``n, sum, sumsq``, the mean weighted where it has ``w, wsum`` as well."""
    n, total, squares = (float(row.get(f"{metric}.{part}") or 0) for part in ("n", "sum", "sumsq"))
    if not n:
        return Side(n=0.0, mean=0.0, variance=0.0)
    w, weighted = row.get(f"{metric}.w"), row.get(f"{metric}.wsum")
    mean = (weighted or 0.0) / w if w else total / n
    return Side(n=n, mean=mean, variance=max(0.0, squares / n - (total / n) ** 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What became of one metric."""

    name: str
    rate: bool
    """Whether it is a rate, 0..1, else a number."""
    bad: str
    """``up``, ``down`` or ``both``: the direction that harms."""
    before: float
    after: float
    low: float
    high: float
    """Interval of the difference at the level of the whole family."""
    word: Word

    @property
    def worse(self) -> bool:
        """Whether it moved the way that harms."""
        rose = self.after > self.before
        return self.word == "moved" and self.bad in ("both", "up" if rose else "down")


def compare_sides(
    name: str, before: Side, after: Side, *, rate: bool, bad: str, family: int, least: float = SMALL
) -> Move | None:
    """One metric before and since; None where a side has fewer than 20 values.

    The interval of the difference has the level ``1 - 0.05 / family`` (Bonferroni over the metrics compared): Newcombe's for
    a rate, Welch's with normal quantiles for a number. The metric *moved* when the interval excludes 0 (for a rate Fisher's
    exact test must agree, for far out Newcombe's interval is too short) and the difference is at least `least` standard
    deviations; it is *the same* when the whole interval is within 0.2; else nobody can tell. A difference of rates is in
    standard deviations by Cohen's ``h = 2 asin sqrt p2 - 2 asin sqrt p1``.

    Assumes independent interactions: where hours or users cluster, the charts' own dispersion is the better judge.

    Source: Newcombe, Statistics in Medicine 17 (1998), 873-890; Cohen, *Statistical Power Analysis* (1988), section 6.2
    (h; 0.2 is small). Ours: the floor of 0.1.
    """
    if min(before.n, after.n) < FEWEST:
        return None
    level, sure = 1 - LEVEL / max(1, family), True
    if rate:
        sizes = [round(s.n) for s in (before, after)]
        counts = [min(n, max(0, round(s.mean * n))) for s, n in zip((before, after), sizes, strict=True)]
        _, low, high = stats.difference(counts[0], sizes[0], counts[1], sizes[1], level)
        effects = [_h(before.mean, before.mean + d) for d in (low, after.mean - before.mean, high)]
        table = np.array([[x, n - x] for x, n in zip(counts, sizes, strict=True)])
        sure = float(scipy.stats.fisher_exact(table).pvalue) <= 1 - level
    else:
        spread = math.sqrt((before.variance + after.variance) / 2)
        error = math.sqrt(before.variance / before.n + after.variance / after.n)
        half = float(scipy.stats.norm.ppf(0.5 + level / 2)) * error
        middle = after.mean - before.mean
        low, high = middle - half, middle + half
        effects = [d / spread if spread > 0 else math.copysign(math.inf, d) if d else 0.0 for d in (low, middle, high)]
    word: Word = "cannot tell"
    if sure and (low > 0 or high < 0) and abs(effects[1]) >= least:
        word = "moved"
    elif max(abs(effects[0]), abs(effects[2])) <= SAME:
        word = "the same"
    return Move(name=name, rate=rate, bad=bad, before=before.mean, after=after.mean, low=low, high=high, word=word)


def _h(p1: float, p2: float) -> float:
    return 2 * (math.asin(math.sqrt(min(1.0, max(0.0, p2)))) - math.asin(math.sqrt(min(1.0, max(0.0, p1)))))


def same_questions(pairs: Sequence[tuple[bool, bool]]) -> str:
    """The same questions before and since, each once, as (harmed before, harmed since), in words.

    The test is McNemar's exact one (`andon.stats.compare_paired`): other questions cannot be the reason when the same ones
    fail more often.
    """
    if not pairs:
        return "no question was asked both before and since the onset"
    lost = sum(since and not before for before, since in pairs)
    gained = sum(before and not since for before, since in pairs)
    found = stats.compare_paired(len(pairs), lost, gained)
    worse = lost >= gained
    p = found.p_worse if worse else found.p_better
    return (
        f"of {len(pairs)} questions asked before and since, {lost} fail only since and {gained} failed only before "
        f"(exact McNemar, one-sided {p_text(p)} for {'worse' if worse else 'better'})"
    )


def finish_reasons(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """Whether answers end for other reasons than before, in words; empty where they do not or cannot be compared."""
    if not before or not after:
        return ""
    try:
        p, _ = stats.mix_shift(before, after)
    except ValueError:  # too few to tell
        return ""
    if p >= LEVEL / 10:
        return ""
    n, m = sum(before.values()), sum(after.values())
    moved = max(sorted({*before, *after}), key=lambda r: abs(after.get(r, 0) / m - before.get(r, 0) / n))
    shares = f"{percent(before.get(moved, 0) / n)} to {percent(after.get(moved, 0) / m)}"
    return f"finish reasons changed (G-test {p_text(p)}): {quoted(moved)} {shares}"


def silent_regression(
    moves: Sequence[Move],
    *,
    paired: str = "",
    finish: str = "",
    loud_signals: Sequence[str] = (),
    an_hour: tuple[float, float] | None = None,
    evidence: Sequence[str] = (),
) -> Analysis:
    """Whether quality moved while nothing moved that other monitoring watches.

    Found: a quality metric moved the way that harms, and each of error rate and latencies is the same, or (a rate) rose by
    surely less than a quarter of the fall of quality. Without a measured error rate nobody can tell. The text says what was
    found, then the figures that decide it, clause by clause; the table holds every metric.

    Args:
        moves: every metric that could be compared.
        paired: the comparison of the same questions, in words.
        finish: how answers end, in words.
        loud_signals: metrics of errors, latency and traffic on which a chart signalled within the incident.
        an_hour: interactions an hour before and since. Shown; judged by the chart of traffic, which knows the daily wave.
        evidence: ids of the figures.
    """
    loud = [m for m in moves if m.name in LOUD]
    style = [m for m in moves if m.name in STYLE and m.word == "moved"]
    quality = [m for m in moves if m.name not in LOUD and m.name not in STYLE]
    worse = sorted((m for m in quality if m.worse), key=_size, reverse=True)
    broken = [m.name for m in loud if m.worse] + [s for s in loud_signals if s not in {m.name for m in loud if m.worse}]
    unsure = [m.name for m in loud if not _quiet(m, worse)]
    found: Literal["yes", "no", "cannot tell"] = "no"
    deciding = [_told(m) for m in worse[:1]]
    if broken:
        first = f"not silent: {', '.join(broken)} moved too, which other monitoring sees"
        deciding = [_told(m) for m in loud if m.worse] + deciding
    elif not worse:
        found = "no" if quality and all(m.word != "cannot tell" for m in quality) else "cannot tell"
        first = "no measured quality moved the way that harms" if found == "no" else "no quality metric surely moved"
    elif unsure or not any(m.name == "error" for m in loud):
        found = "cannot tell"
        first = f"quality fell, and whether {', '.join(unsure) or 'errors'} stood still cannot be told"
        deciding += [_told(m) for m in loud if m.name in unsure]
    else:
        found = "yes"
        first = "quality fell while calls succeeded as before"
        deciding += [f"unmoved: {_told(m)}" for m in loud if m.name == "error"]
    looks = f"answers look otherwise: {', '.join(m.name.replace('_', ' ') for m in style)}" if style else ""
    text = "; ".join(w for w in (first, *deciding, looks, finish, paired) if w)
    return Analysis(
        name="silent regression",
        found=found,
        text=text[0].upper() + text[1:] + ".",
        rows=_table(moves, an_hour),
        evidence=tuple(evidence),
    )


def _table(moves: Sequence[Move], an_hour: tuple[float, float] | None) -> tuple[tuple[str, ...], ...]:
    """Every metric that was compared, what moved most surely first; empty where there is none."""
    order = {"moved": 0, "cannot tell": 1, "the same": 2}
    rows: list[tuple[str, ...]] = [
        (m.name, _value(m, m.before), _value(m, m.after), _interval(m), m.word)
        for m in sorted(moves, key=lambda m: (order[m.word], -_size(m)))
    ]
    if rows and an_hour is not None:
        rows.append(("interactions an hour", f"{an_hour[0]:,.1f}", f"{an_hour[1]:,.1f}", "–", "judged by its chart"))
    head = ("metric", "before", "since", "difference, interval", "verdict")
    return (head, *rows) if rows else ()


def _quiet(m: Move, worse: Sequence[Move]) -> bool:
    """Whether this stood still, or at least can be no more than a fraction of what happened to quality."""
    fall = max((abs(w.after - w.before) for w in worse if w.rate), default=0.0)
    return m.word == "the same" or (m.rate and m.high <= FRACTION * fall)


def _size(m: Move) -> float:
    """How large a move is beside its uncertainty."""
    half = (m.high - m.low) / 2
    return abs(m.after - m.before) / half if half > 0 else 0.0


def _value(m: Move, value: float) -> str:
    return percent(value) if m.rate else f"{value:.3g}"


def _interval(m: Move) -> str:
    return f"{m.low * 100:+.1f} to {m.high * 100:+.1f} points" if m.rate else f"{m.low:+.3g} to {m.high:+.3g}"


def _told(m: Move) -> str:
    return f"{m.name.replace('_', ' ')} {_value(m, m.before)} to {_value(m, m.after)}"
