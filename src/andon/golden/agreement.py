"""Whether reviewers say the same of the same failures: Krippendorff's alpha."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from andon import stats
from andon.golden.queue import labels_by_failure
from andon.golden.records import Agreement, Label
from andon.scores.text import normalise

__all__ = ["FEWEST", "RELIABLE", "TENTATIVE", "agreement_of", "alpha_interval", "krippendorff_alpha"]

Level = Literal["nominal", "ordinal", "interval"]

FEWEST = 10
"""Failures that at least two people labelled, below which nothing is said."""

TENTATIVE, RELIABLE = 0.667, 0.8
"""Conventions of Krippendorff (Content Analysis, 2nd ed. 2004, p. 241): below the first nothing should be concluded from
labels, from the second on they can be relied on. They come from practice, not from a proof."""

DRAWS = 1_000


def krippendorff_alpha(units: Sequence[Sequence[float]], level: Level = "nominal") -> float | None:
    """Krippendorff's alpha: 1 where all say the same, 0 where they agree as often as chance would, below 0 where less.

    ``alpha = 1 - D_o / D_e``. Observed disagreement ``D_o`` is the mean difference of two values of one unit, each unit with
    m values counted with weight ``1 / (m - 1)``; expected disagreement ``D_e`` that of any two of the n values. The difference
    of values c and k is 1 for other names (nominal), ``(c - k)^2`` (interval), and the same of their mid-ranks (ordinal).

    Args:
        units: for each unit the values that reviewers gave it; missing ones are left out, and so are units with one value.
        level: what the values are; names are numbered, in any order.

    Returns:
        None where no unit has two values, or where all values are the same: then nothing tells agreement from habit.

    Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011 (sections A to E are tests); an ordinal
    difference there, ``n_c / 2 + ... + n_k / 2``, is one of mid-ranks. Use instead: nothing, for any number of reviewers; for
    two reviewers and no missing values Scott's pi is nearly the same.
    """
    data = _Data.of(units)
    return None if data is None else _alpha(data, np.ones(len(data.sizes)), level)


def alpha_interval(
    units: Sequence[Sequence[float]], rng: np.random.Generator, level: Level = "nominal", draws: int = DRAWS
) -> tuple[float, float] | None:
    """The 95 % bootstrap interval of alpha: percentiles over units drawn with replacement.

    Draws in which all values are the same have no alpha and are left out. None where alpha is 1 or cannot be told: a
    bootstrap cannot show disagreement that was never seen. Differs from Krippendorff's own bootstrap, which draws pairs of
    values as if they came from different units, and is too sure where one unit has many.
    """
    data = _Data.of(units)
    alpha = krippendorff_alpha(units, level)
    if data is None or alpha is None or alpha >= 1:
        return None
    n = len(data.sizes)
    times = (rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64) for _ in range(draws))
    found = [a for t in times if (a := _alpha(data, t, level)) is not None]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def agreement_of(labels: Iterable[Label], rng: np.random.Generator) -> list[Agreement]:
    """How far reviewers agree: all of them first, then each pair of two who labelled a failure in common, by name.

    Labels are names: two right answers are the same value when they are the same text after normalisation, and to dismiss is
    a value of its own. Adjudications are left out, for whoever adjudicates has read the others.
    """
    given = {f: {x.author: _value(x) for x in each if not x.final} for f, each in labels_by_failure(labels).items()}
    numbers = {v: k for k, v in enumerate(sorted({v for each in given.values() for v in each.values()}))}
    units = [{a: numbers[v] for a, v in each.items()} for each in given.values() if len(each) >= 2]
    people = sorted({a for each in units for a in each})
    found = [_agreement(tuple(people), [list(u.values()) for u in units], rng)]
    if len(people) > 2:
        for one, other in combinations(people, 2):
            both = [[u[one], u[other]] for u in units if one in u and other in u]
            if both:
                found.append(_agreement((one, other), both, rng))
    return found


def _value(label: Label) -> tuple[str, str]:
    if label.verdict == "dismiss":
        return "dismiss", ""
    return "answer", normalise(label.ground_truth) or label.ground_truth.strip().casefold()


def _agreement(reviewers: tuple[str, ...], units: Sequence[Sequence[int]], rng: np.random.Generator) -> Agreement:
    n = len(units)
    if n < FEWEST:
        text = f"cannot tell: {n} failures were labelled by two people; from {FEWEST} on it is said"
        return Agreement(reviewers=reviewers, failures=n, alpha=None, text=text)
    alpha = krippendorff_alpha(units)
    if alpha is None:
        text = f"cannot tell: every label of the {n} failures is the same, so nothing tells agreement from habit"
        return Agreement(reviewers=reviewers, failures=n, alpha=None, text=text)
    interval = alpha_interval(units, rng)
    if interval is None:
        most = stats.clopper_pearson(0, n)[1]
        text = f"all {n} agree; up to {most:.0%} of failures may still be labelled differently (exact 95 % interval)"
        return Agreement(reviewers=reviewers, failures=n, alpha=alpha, text=text)
    low, high = interval
    return Agreement(reviewers=reviewers, failures=n, alpha=alpha, low=low, high=high, text=_meaning(alpha, low, high))


def _meaning(alpha: float, low: float, high: float) -> str:
    if low >= RELIABLE:
        return f"labels can be relied on: surely {RELIABLE} or more"
    if high < TENTATIVE:
        return f"labels cannot be relied on: surely below {TENTATIVE}; agree on what counts as right, then label again"
    if alpha >= RELIABLE:
        return f"reliable by its value, but the interval does not exclude less than {RELIABLE}; label more by two"
    word = "good for tentative conclusions" if alpha >= TENTATIVE else "not reliable"
    return f"{word} by its value, but the interval does not exclude another answer; label more by two"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    """Values of units that have at least two each, in one line."""

    names: NDArray[np.float64]
    """Distinct values, in their order, shape (v,)."""
    place: NDArray[np.int64]
    """Number of each value among the names, shape (n,)."""
    unit: NDArray[np.int64]
    """Number of the unit of each value, shape (n,)."""
    sizes: NDArray[np.float64]
    """Values of each unit, shape (u,)."""

    @classmethod
    def of(cls, units: Sequence[Sequence[float]]) -> "_Data | None":
        paired = [u for u in units if len(u) >= 2]
        if not paired:
            return None
        names, place = np.unique(np.array([v for u in paired for v in u], dtype=np.float64), return_inverse=True)
        sizes = np.array([len(u) for u in paired])
        unit = np.repeat(np.arange(len(paired)), sizes)
        return cls(names=names, place=place, unit=unit, sizes=sizes.astype(np.float64))


def _alpha(data: _Data, drawn: NDArray[np.float64], level: Level) -> float | None:
    """Alpha where each unit was drawn so many times, shape (u,); None where the values of all that were drawn are the same."""
    u, weights = len(data.sizes), drawn / (data.sizes - 1)
    each = drawn[data.unit]
    times = np.bincount(data.place, each, len(data.names))
    n = float(times.sum())
    if np.count_nonzero(times) == 1:
        return None
    if level == "nominal":
        cell = data.unit * len(data.names) + data.place
        cells, alike = np.unique(cell, return_counts=True)
        same = np.bincount(cells // len(data.names), alike.astype(np.float64) ** 2, u)
        observed = float(np.sum((data.sizes**2 - same) * weights))
        expected = n**2 - float(np.sum(times**2))
    else:
        x = (data.names if level == "interval" else np.cumsum(times) - times / 2)[data.place]
        x = x - np.sum(x * each) / n
        first, second = np.bincount(data.unit, x, u), np.bincount(data.unit, x**2, u)
        observed = 2 * float(np.sum((data.sizes * second - first**2) * weights))
        expected = 2 * n * float(np.sum(each * x**2))
    return 1 - (n - 1) * observed / expected
