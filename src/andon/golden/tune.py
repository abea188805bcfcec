"""Which threshold of near-duplicates fits: precision and recall on pairs of questions of which people said whether they are the same."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from andon.errors import InputError
from andon.golden.duplicates import ROUNDING, other_numbers
from andon.golden.formats.rows import rows_of
from andon.scores.language import language_of
from andon.stats import area_under, clopper_pearson
from andon.traffic.quoting import quoted

__all__ = ["GRID", "Pair", "Point", "Tuned", "at_threshold", "parse_pairs", "tune", "word_overlap"]

GRID = tuple(round(0.5 + k / 100, 2) for k in range(51))
"""Thresholds that are looked at."""

PRECISION = 0.95
"""What the lower end of the precision's interval must reach for a threshold to be picked."""

INVERTED = 0.3
"""AUC below which the labels say the opposite of what both texts say."""

FEW = 10
"""Pairs of either kind below which there is no AUC, and pairs that are not the same below which no threshold is picked."""

APART = -1.0
"""What stands for the cosine of two questions with other numbers."""

NAMES = {"ko": "korean", "ja": "japanese", "zh": "han", "ru": "cyrillic", "ar": "arabic", "hi": "devanagari"}
"""Codes of languages that `language_of` tells by their script only."""

_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")
_WORD = re.compile(r"\w+")
_NAMED = 5

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two questions, and whether a person says that they are the same one."""

    a: str
    b: str
    same: bool
    language: str
    """By its name in the configuration; "" where it is unclear."""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a threshold does to pairs."""

    threshold: float
    n: int
    """Pairs that it calls the same."""
    right: int
    precision: float | None
    """None where it calls none the same."""
    low: float
    high: float
    """Exact 95 % interval of the precision."""
    recall: float
    f1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What was measured on the pairs of one language, or of one source in it."""

    language: str
    source: str | None
    """None: all sources of the language."""
    n: int
    same: int
    auc: float | None
    """How often a pair that is the same has the larger cosine than one that is not, where other numbers put a pair last;
    None with too few of either kind."""
    overlap_auc: float | None
    points: tuple[Point, ...]
    """By threshold on the cosine (`GRID`)."""
    overlap: tuple[Point, ...]
    """By threshold on the share of words in common."""
    chosen: float | None
    """The lowest threshold whose precision is surely at least `PRECISION`, and as measured at least that in each source: a mix
    of easy and hard pairs hides what it does to the hard ones. Never below the lowest cosine of all pairs, for they say nothing
    of what is further apart. None where there is no such threshold, or fewer than `FEW` pairs that only the cosine can tell
    are not the same: where all are the same, every threshold is precise."""
    overlap_chosen: float | None
    """The same for the share of words in common."""
    why: str
    inverted: bool
    """Whether the labels look as if ``same`` were coded the other way round."""


def parse_pairs(text: str, *, name: str = "the file of pairs") -> tuple[Pair, ...]:
    """The pairs of a file: JSONL, a JSON list or CSV with ``a``, ``b``, ``same`` (true, false, 1, 0, yes, no), and maybe ``lang`` and ``source``.

    Raises:
        InputError: a row is no pair; names the lines.
    """
    rows, bad = rows_of(text, name)
    wrong = [f"{b.id}: {b.reason}" for b in bad]
    pairs: list[Pair] = []
    for row in rows:
        try:
            pairs.append(_pair(row.value))
        except InputError as error:
            wrong.append(f"{row.place}: {error}")
    if wrong:
        more = f", and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise InputError(f"{name}: {'; '.join(wrong[:_NAMED])}{more}")
    if not pairs:
        raise InputError(f'{name} holds no pair; a line is {{"a": ..., "b": ..., "same": true}}')
    return tuple(pairs)


def _pair(row: object) -> Pair:
    if not isinstance(row, Mapping):
        raise InputError("this is no object with a, b and same")
    a, b, same = (row.get(k) for k in ("a", "b", "same"))
    if not isinstance(a, str) or not isinstance(b, str) or not a.strip() or not b.strip():
        raise InputError("a and b must be the two questions")
    said = str(same).strip().casefold() if isinstance(same, bool | int | str) else ""
    if said not in (*_YES, *_NO):
        raise InputError(f"same = {quoted(same)}; true, false, 1, 0, yes or no is allowed")
    given = row.get("lang")
    language = given.strip().casefold() if isinstance(given, str) and given.strip() else language_of(a) or ""
    source = row.get("source")
    return Pair(
        a=a,
        b=b,
        same=said in _YES,
        language=NAMES.get(language, language),
        source=source if isinstance(source, str) else "",
    )


def word_overlap(one: str, other: str) -> float:
    """The baseline that anybody can compute: words in common as a share of all words of two texts (Jaccard), 0..1."""
    a, b = (set(_WORD.findall(t.casefold())) for t in (one, other))
    return len(a & b) / len(a | b) if a | b else 0.0


def tune(pairs: Sequence[Pair], cosines: Floats) -> tuple[Tuned, ...]:
    """What thresholds do to pairs: of each language, and of each source in it where there are several.

    A pair counts as called the same where its cosine (or its share of words in common) reaches the threshold and neither
    question has other numbers, as in `judge`; right answers are not known here, so in use precision is higher.

    Args:
        pairs: n pairs.
        cosines: shape (n,).
    """
    apart = np.array([other_numbers(p.a, p.b) for p in pairs], dtype=bool)
    overlaps = np.array([word_overlap(p.a, p.b) for p in pairs])
    scores = np.where(apart, APART, np.array([cosines, overlaps]))
    same = np.array([p.same for p in pairs], dtype=bool)
    found = []
    for language in sorted({p.language for p in pairs}):
        sources = sorted({p.source for p in pairs if p.language == language})
        parts = []
        for source in sources if len(sources) > 1 else ():
            mine = np.array([p.language == language and p.source == source for p in pairs], dtype=bool)
            parts.append(_tuned(language, source, same[mine], scores[:, mine], ()))
        mine = np.array([p.language == language for p in pairs], dtype=bool)
        found += [_tuned(language, None, same[mine], scores[:, mine], parts), *parts]
    return tuple(found)


def _tuned(language: str, source: str | None, same: Flags, scores: Floats, parts: Sequence[Tuned]) -> Tuned:
    points, overlap = (tuple(at_threshold(same, row, t) for t in GRID) for row in scores)
    told = FEW <= same.sum() <= len(same) - FEW
    areas = (area_under(row[same], row[~same]) if told else None for row in scores)
    auc, overlap_auc = (None if area is None else area.value for area in areas)
    others = int((~same & (scores[0] > APART)).sum())
    a, b = (_first(row) for row in scores)
    chosen = _chosen(points[a:], [part.points[a:] for part in parts]) if others >= FEW else None
    by_overlap = _chosen(overlap[b:], [part.overlap[b:] for part in parts]) if others >= FEW else None
    return Tuned(
        language=language,
        source=source,
        n=len(same),
        same=int(same.sum()),
        auc=auc,
        overlap_auc=overlap_auc,
        points=points,
        overlap=overlap,
        chosen=None if chosen is None else chosen.threshold,
        overlap_chosen=None if by_overlap is None else by_overlap.threshold,
        why=_why(points[a:], chosen, others) + _unsure(chosen, parts),
        inverted=auc is not None and auc < INVERTED,
    )


def _first(scores: Floats) -> int:
    """Place in `GRID` of the first threshold that is not below the lowest score."""
    lowest = scores[scores > APART].min(initial=GRID[-1])
    return int(np.searchsorted(GRID, lowest - ROUNDING))


def _chosen(points: Sequence[Point], parts: Sequence[Sequence[Point]]) -> Point | None:
    """The lowest threshold that is precise: surely in all pairs together, and as measured in those of each part."""
    for place, point in enumerate(points):
        if point.low >= PRECISION and all(p[place].right >= PRECISION * p[place].n for p in parts):
            return point
    return None


def _unsure(chosen: Point | None, parts: Sequence[Tuned]) -> str:
    """Which sources do not show by themselves that a threshold is precise."""
    if chosen is None:
        return ""
    own = [(part.source, p) for part in parts for p in part.points if p.threshold == chosen.threshold]
    unsure = [f"{quoted(source)} ({p.right:,} of {p.n:,})" for source, p in own if p.low < PRECISION]
    return f"; not shown by the pairs of {', '.join(unsure)} alone" if unsure else ""


def at_threshold(same: Flags, scores: Floats, threshold: float) -> Point:
    """Precision with its exact interval, recall and F1 of calling the same what reaches a threshold."""
    called = scores >= threshold - ROUNDING
    n, right, total = int(called.sum()), int((called & same).sum()), int(same.sum())
    low, high = clopper_pearson(right, n)
    return Point(
        threshold=threshold,
        n=n,
        right=right,
        precision=right / n if n else None,
        low=low,
        high=high,
        recall=right / total if total else 0.0,
        f1=2 * right / (n + total) if n + total else 0.0,
    )


def _why(points: Iterable[Point], chosen: Point | None, others: int) -> str:
    if chosen is not None:
        return (
            f"{chosen.right:,} of {chosen.n:,} called the same are ({chosen.right / chosen.n:.3f}, interval"
            f" {chosen.low:.3f} to {chosen.high:.3f}), which finds {chosen.recall:.1%} of those that are the same"
        )
    if others < FEW:
        return (
            f"cannot tell: {others} pairs are not the same (those with other numbers aside), and {FEW} are the least: where all"
            " are the same, every threshold looks right"
        )
    best = max(points, key=lambda p: p.low)
    if best.n == 0:
        return f"cannot tell: no pair has a cosine of {GRID[0]:g} or more"
    return (
        f"cannot tell: at best, at {best.threshold:.2f}, {best.right:,} of {best.n:,} called the same are, so precision is"
        f" {best.low:.3f} to {best.high:.3f}; {PRECISION:g} needs 72 pairs without a mistake, or more with few"
    )
