"""Which share of what people ask has a golden case near it, and where are the holes?

A question is covered when a case's question has a cosine of at least `THRESHOLD` with it. The share is weighted, so that it
speaks of the traffic and not of the sample; its interval is exact for the effective sample size. Holes are the topics with the
most uncovered harm, then the most uncovered traffic.

Sources: Kish, *Survey Sampling* (1965), section 11.7 (effective sample size of weights); Korn & Graubard, *Confidence intervals
for proportions with small expected number of positive counts estimated from survey data*, Survey Methodology 24 (1998), 193-201
(the Clopper-Pearson interval at the effective sample size).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from andon.errors import InputError
from andon.scores import Vectors

__all__ = [
    "EXAMPLES",
    "THRESHOLD",
    "Asked",
    "Coverage",
    "CoverageMap",
    "Hole",
    "Share",
    "Square",
    "coverage_of",
    "nearest_cosines",
]

THRESHOLD = 0.75
"""Cosine from which a case tests a question; `docs/methods/coverage.md` says how often that is right."""

ROUNDING = 1e-6
EXAMPLES = 3
BLOCK = 2_048

LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question of the sample."""

    question: str
    weight: float = 1.0
    """How many interactions it stands for."""
    topic: str | None = None
    """Name of its topic; None where topics are not known."""
    risk_category: str | None = None
    harmed: bool = False
    """Whether a scorer or a person said that its answer was bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of one part of the traffic is covered."""

    part: str
    questions: int
    traffic: float
    """Share of all traffic that is of this part, 0..1."""
    covered: float
    low: float
    high: float
    """Exact interval at 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """One topic in one risk category: a square of the map."""

    topic: str | None
    """None: topics are not known."""
    risk_category: str | None
    questions: int
    traffic: float
    """Share of all traffic, 0..1."""
    covered: float
    """Share of the square that is covered, 0..1."""
    harmed: int
    """Questions of the sample whose answer a scorer or a person called bad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Uncovered questions of one topic."""

    topic: str
    traffic: float
    """Share of all traffic that is of this topic and uncovered, 0..1."""
    harm: float | None
    """Share of all harm that fell on it, 0..1; None where no harm was seen at all."""
    covered: float
    """Share of the topic that is covered, 0..1."""
    examples: tuple[str, ...]
    """Uncovered questions, harmed ones first, then those that lie furthest from every case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The coverage of one application's traffic by its golden set."""

    app: str
    cases: int
    embedder: str
    threshold: float
    whole: Share | None
    """None: nobody can tell, and `reason` says why."""
    by_risk: tuple[Share, ...] = ()
    by_topic: tuple[Share, ...] = ()
    holes: tuple[Hole, ...] = ()
    squares: tuple[Square, ...] = ()
    """Of every topic and risk category that somebody asked about."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageMap:
    """The coverage of one application as it was measured last."""

    id: str
    """The application."""
    at_us: int
    by: str
    """Who asked for it."""
    found: Coverage


def nearest_cosines(questions: Vectors, cases: Vectors) -> NDArray[np.float64]:
    """Cosine of each question with its nearest case, shape (n,), from unit vectors of shapes (n, d) and (m, d); -1 for m = 0."""
    best = np.full(len(questions), -1.0)
    if len(cases) == 0:
        return best
    for top in range(0, len(questions), BLOCK):
        best[top : top + BLOCK] = (questions[top : top + BLOCK] @ cases.T).max(axis=1)
    return best


def coverage_of(
    asked: Sequence[Asked],
    cosines: NDArray[np.float64],
    *,
    app: str,
    cases: int,
    embedder: str,
    threshold: float = THRESHOLD,
) -> Coverage:
    """The coverage of a sample of questions, from the cosine of each with its nearest case.

    Assumes that questions are independent; of a user who asks the same a hundred times, the interval is too narrow.

    Raises:
        InputError: the sample is empty, or a weight is not positive.
    """
    weights = np.array([a.weight for a in asked], dtype=np.float64)
    if not len(weights) or not (weights > 0).all():
        raise InputError("coverage needs at least one question, and weights above 0")
    covered = np.asarray(cosines) >= threshold - ROUNDING
    everywhere = np.ones(len(asked), dtype=bool)
    risks = sorted({a.risk_category for a in asked if a.risk_category is not None})
    topics = sorted({a.topic for a in asked if a.topic is not None})
    in_risk = {r: np.array([a.risk_category == r for a in asked]) for r in risks}
    in_topic = {t: np.array([a.topic == t for a in asked]) for t in topics}
    by_topic = [_share(t, in_topic[t], covered, weights) for t in topics]
    return Coverage(
        app=app,
        cases=cases,
        embedder=embedder,
        threshold=threshold,
        whole=_share("all", everywhere, covered, weights),
        by_risk=tuple(_share(r, in_risk[r], covered, weights) for r in risks),
        by_topic=tuple(sorted(by_topic, key=lambda s: -s.traffic)),
        squares=_squares(asked, covered, weights),
        holes=_holes(asked, in_topic or {"everything": everywhere}, covered, weights, np.asarray(cosines)),
    )


def _squares(asked: Sequence[Asked], covered: NDArray[np.bool_], weights: NDArray[np.float64]) -> tuple[Square, ...]:
    """Topic by risk category, the most asked first."""
    rows: dict[tuple[str | None, str | None], list[int]] = {}
    for k, a in enumerate(asked):
        rows.setdefault((a.topic, a.risk_category), []).append(k)
    found = []
    for (topic, risk), at in rows.items():
        w = weights[at]
        found.append(
            Square(
                topic=topic,
                risk_category=risk,
                questions=len(at),
                traffic=float(w.sum() / weights.sum()),
                covered=float(w[covered[at]].sum() / w.sum()),
                harmed=sum(asked[k].harmed for k in at),
            )
        )
    return tuple(sorted(found, key=lambda s: (-s.traffic, s.topic or "", s.risk_category or "")))


def _share(part: str, members: NDArray[np.bool_], covered: NDArray[np.bool_], weights: NDArray[np.float64]) -> Share:
    w = weights[members]
    share = float(w[covered[members]].sum() / w.sum())
    low, high = _interval(share, float(w.sum() ** 2 / (w**2).sum()))
    return Share(
        part=part,
        questions=int(members.sum()),
        traffic=float(w.sum() / weights.sum()),
        covered=share,
        low=low,
        high=high,
    )


def _interval(share: float, n: float) -> tuple[float, float]:
    """Clopper-Pearson at a sample size that need not be whole."""
    tail, x = (1 - LEVEL) / 2, share * n
    low = 0.0 if share <= 0 else float(scipy.stats.beta.ppf(tail, x, n - x + 1))
    high = 1.0 if share >= 1 else float(scipy.stats.beta.ppf(1 - tail, x + 1, n - x))
    return low, high


def _holes(
    asked: Sequence[Asked],
    parts: dict[str, NDArray[np.bool_]],
    covered: NDArray[np.bool_],
    weights: NDArray[np.float64],
    cosines: NDArray[np.float64],
) -> tuple[Hole, ...]:
    harmed = np.array([a.harmed for a in asked])
    total, all_harm = weights.sum(), weights[harmed].sum()
    holes = []
    for topic, members in parts.items():
        open_ = members & ~covered
        if not open_.any():
            continue
        order = np.lexsort((cosines[open_], ~harmed[open_]))
        questions = [asked[i].question for i in np.flatnonzero(open_)[order].tolist()]
        holes.append(
            Hole(
                topic=topic,
                traffic=float(weights[open_].sum() / total),
                harm=float(weights[open_ & harmed].sum() / all_harm) if all_harm else None,
                covered=float(weights[members & covered].sum() / weights[members].sum()),
                examples=tuple(dict.fromkeys(questions))[:EXAMPLES],
            )
        )
    return tuple(sorted(holes, key=lambda h: (-(h.harm or 0), -h.traffic, h.topic)))
