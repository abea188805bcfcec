"""Do two, or many, say the same? Krippendorff's alpha, Cohen's kappa, and the area under the ROC curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["Estimate", "Level", "alpha_interval", "area_under", "cohens_kappa", "krippendorff_alpha"]

Level = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; no interval where it cannot be told."""

    value: float
    low: float | None
    high: float | None
    n: int


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
    units: Sequence[Sequence[float]], rng: np.random.Generator, level: Level = "nominal", draws: int = 1_000
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


def cohens_kappa(both: int, first_only: int, second_only: int, neither: int) -> Estimate | None:
    """Agreement of two beyond chance, ``(p_o - p_e) / (1 - p_e)``, with its large-sample 95 % interval.

    The counts are of what both, only one, or neither of the two said yes to. The variance is
    ``[sum_i p_ii ((1 - p_e) - (p_i. + p_.i)(1 - p_o))^2 + (1 - p_o)^2 sum_{i != j} p_ij (p_.i + p_j.)^2 -
    (p_o p_e - 2 p_e + p_o)^2] / (n (1 - p_e)^4)``. No interval where they never differ: the formula's width is 0 then.

    Returns:
        None where nothing was judged, or both say the same of all of it: chance alone would agree as well.

    Source: Cohen, Educational and Psychological Measurement 20 (1960), 37-46; Fleiss, Cohen & Everitt, Psychological Bulletin
    72 (1969), 323-327. Use instead: `krippendorff_alpha` for more than two, or with gaps.
    """
    table = np.array([[both, second_only], [first_only, neither]], float)  # rows: the second; columns: the first
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
        return Estimate(value=kappa, low=None, high=None, n=n)
    half = float(scipy.stats.norm.isf(0.025)) * math.sqrt(variance)
    return Estimate(value=kappa, low=max(-1.0, kappa - half), high=min(1.0, kappa + half), n=n)


def area_under(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> Estimate | None:
    """Chance that a positive has a higher score than a negative (area under the ROC curve), ties halved; None without either.

    With ``V(x) = P(negative < x)`` for each positive and ``W(y) = P(positive > y)`` for each negative, ties halved, the area is
    the mean of either and its variance ``var(V)/m + var(W)/n``. The interval is taken on the logit scale, so that it stays
    within 0..1. No interval where the area is 0 or 1, or one side has a single score: the variance says nothing then.

    Args:
        positive: shape (m,).
        negative: shape (n,).

    Source: DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988), 837-845; by ranks: Sun & Xu, IEEE Signal Processing Letters 21
    (2014), 1389-1393. The logit: Pepe, *The Statistical Evaluation of Medical Tests* (2003), 5.2.
    """
    m, n = len(positive), len(negative)
    if m == 0 or n == 0:
        return None
    together = scipy.stats.rankdata(np.concatenate([positive, negative]))
    v = (together[:m] - scipy.stats.rankdata(positive)) / n
    w = 1 - (together[m:] - scipy.stats.rankdata(negative)) / m
    area = float(v.mean())
    if not 0 < area < 1 or m < 2 or n < 2:
        return Estimate(value=area, low=None, high=None, n=m + n)
    error = math.sqrt(float(v.var(ddof=1)) / m + float(w.var(ddof=1)) / n) / (area * (1 - area))
    logit, half = math.log(area / (1 - area)), float(scipy.stats.norm.isf(0.025)) * error
    low, high = (1 / (1 + math.exp(-x)) for x in (logit - half, logit + half))
    return Estimate(value=area, low=low, high=high, n=m + n)
