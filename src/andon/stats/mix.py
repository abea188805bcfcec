"""Did the traffic itself change? Shifts of a categorical mix, of numbers and of a cloud of embeddings.

`mix_shift` and `mean_shift` are tested always, `mmd` and `classifier_test` on demand. `ks`, `psi` and `jensen_shannon` are
shown because people know them, and decide nothing: what they miss is in `docs/methods/traffic-shift.md`. Whether a mix
explains a rate is asked of `andon.stats.explained`.
"""

from collections.abc import Mapping

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["classifier_test", "jensen_shannon", "ks", "mean_shift", "mix_shift", "mmd", "psi"]

Floats = NDArray[np.float64]

FOLDS = 5
RIDGE = 1.0
"""Penalty of the classifier, in mean variances of a dimension."""

EXPECTED = 5
"""Observations that the smaller side must expect of a category, for a chi-square law."""

EQUAL = 1e-6
"""Vectors whose squared distance is below this share of the largest squared length differ by rounding only."""

SMALLEST = 10
"""Rows on each side below which a classifier has nothing to learn from."""


def mix_shift(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[float, float]:
    """Shift of a categorical mix as (p-value, total variation distance 0..1).

    G-test of homogeneity on the 2 x k table with Williams' correction. Categories with fewer than 5 expected counts on
    either side are pooled, because the chi-square approximation needs them, into as many groups as reach 5: in order of
    how often they are seen on both sides together, then of their names. Which side a category was seen on has no say in that,
    else values that are new by chance would be evidence. So a mix in which all rare values were replaced is seen;
    random ids, each seen once, tell nothing, whatever the distance. (1, 0) for one category, which both sides have.

    Raises:
        ValueError: a side is empty, or the smaller one expects fewer than 5 of all but one group: too few to tell.

    Use instead: `mean_shift` when the categories are not known beforehand.

    Source: the likelihood ratio test of homogeneity; Sokal & Rohlf, Biometry, 3rd ed. (1995), chapter 17 (G-test);
    Williams, Biometrika 63 (1976), 33-37 (correction). Ours: the groups.
    """
    names = sorted(set(before) | set(after))
    table = np.array([[before.get(c, 0) for c in names], [after.get(c, 0) for c in names]], dtype=np.float64)
    if not names or table.sum(axis=1).min() == 0:
        raise ValueError("both sides need observations")
    distance = min(1.0, 0.5 * float(np.abs(table[0] / table[0].sum() - table[1] / table[1].sum()).sum()))
    expected = table.sum(axis=0) * (table.sum(axis=1).min() / table.sum())
    pooled = _pooled(table, expected)
    if pooled.shape[1] < 2:
        if (table.sum(axis=0) > 0).sum() < 2:
            return 1.0, 0.0
        raise ValueError(
            f"{table.sum(axis=1).astype(int).tolist()} observations are too few to tell two mixes apart; wait for more, or "
            "compare coarser categories"
        )
    g = float(scipy.stats.chi2_contingency(pooled, lambda_="log-likelihood", correction=False).statistic)
    total, freedom = pooled.sum(), pooled.shape[1] - 1
    rows, columns = (float((total / pooled.sum(axis=axis)).sum()) - 1 for axis in (1, 0))
    return float(scipy.stats.chi2.sf(g / (1 + rows * columns / (6 * total * freedom)), freedom)), distance


def _pooled(table: Floats, expected: Floats) -> Floats:
    """The table with categories that expect fewer than `EXPECTED` put together in groups that expect as many."""
    rare = np.flatnonzero((expected > 0) & (expected < EXPECTED))
    groups: list[Floats] = []
    group, reached = np.zeros(2), 0.0
    for i in rare[np.argsort(expected[rare], kind="stable")]:  # columns are in order of their names
        group, reached = group + table[:, i], reached + expected[i]
        if reached >= EXPECTED:
            groups.append(group)
            group, reached = np.zeros(2), 0.0
    if reached > 0:  # what is left joins the last group, if there is one
        groups = [*groups[:-1], groups[-1] + group] if groups else [group]
    return np.column_stack([table[:, expected >= EXPECTED], *groups])


def mean_shift(
    before: NDArray[np.float32], after: NDArray[np.float32], rng: np.random.Generator, rounds: int = 999
) -> tuple[float, float]:
    """Shift of a cloud of embeddings as (p-value, distance): permutation test on the distance of the two means.

    The distance is Euclidean between the mean vectors, less what chance alone would give (the mean over permutations),
    and at least 0. p is ``(1 + #{permuted >= observed}) / (1 + rounds)``, so it is never 0.

    Args:
        before: unit vectors, shape (n, d).
        after: unit vectors, shape (m, d).
        rng: the seeded generator.
        rounds: number of permutations.

    Source: permutation of the linear-kernel MMD (Gretton et al., JMLR 13 (2012), section 6); measured beside MMD and a
    classifier test: equal power at a tenth of the cost.
    """
    n, m = len(before), len(after)
    if n < 2 or m < 2:
        raise ValueError(f"both sides need at least 2 vectors; got {n} and {m}")
    both = np.concatenate([before, after]).astype(np.float64)
    total = both.sum(axis=0)
    observed = _distance(before.sum(axis=0, dtype=np.float64), total, n, m)
    picks = rng.permuted(np.tile(np.concatenate([np.ones(n), np.zeros(m)]), (rounds, 1)), axis=1)
    permuted = _distance(picks @ both, total, n, m)
    p = (1 + int((permuted >= observed - 1e-12).sum())) / (1 + rounds)
    return p, max(0.0, float(observed) - float(permuted.mean()))


def _distance(part: NDArray[np.float64], total: NDArray[np.float64], n: int, m: int) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(part / n - (total - part) / m, axis=-1))


def mmd(
    before: NDArray[np.float32], after: NDArray[np.float32], rng: np.random.Generator, rounds: int = 199
) -> tuple[float, float]:
    """Shift of a cloud in any respect, not only of its mean, as (p-value, MMD^2): the Gaussian kernel two-sample test.

    ``MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`` over pairs of different rows, with
    ``k(a, b) = exp(-|a - b|^2 / s)`` and s the median squared distance of rows that are not equal (the median heuristic;
    where most rows are equal the median of all would be 0). (1, 0) when all rows are equal. The estimate is unbiased: without
    a shift it is about 0 and may lie below. p as in `mean_shift`, by permutation.

    Args:
        before: vectors, shape (n, d).
        after: vectors, shape (m, d).
        rng: the seeded generator.
        rounds: number of permutations.

    Needs ``4 (n + m)^2`` bytes and as many operations for every permutation: give samples of a few thousand.

    Use instead: `mean_shift`, which sees as much of new kinds of questions at a tenth of the cost; MMD is for a change of
    spread or shape that leaves the mean where it was.

    Source: Gretton et al., JMLR 13 (2012), 723-773, equation (3) and section 8 (median heuristic).
    """
    n, m = len(before), len(after)
    if n < 2 or m < 2:
        raise ValueError(f"both sides need at least 2 vectors; got {n} and {m}")
    both = np.concatenate([before, after]).astype(np.float64)
    both = (both - both.mean(axis=0)).astype(np.float32)  # distances are the same, and keep more digits
    lengths = np.einsum("ij,ij->i", both, both)
    squared = np.maximum(lengths[:, None] + lengths - 2 * both @ both.T, 0)
    squared[squared <= EQUAL * lengths.max()] = 0
    few = rng.choice(n + m, min(n + m, 500), replace=False)
    apart = squared[np.ix_(few, few)][np.triu_indices(len(few), 1)]
    apart = apart[apart > 0] if (apart > 0).any() else squared[squared > 0]
    if len(apart) == 0:
        return 1.0, 0.0
    scale = float(np.median(apart))
    kernel = np.exp(-squared / np.float32(scale))
    first = np.zeros((1 + rounds, n + m), dtype=np.float32)
    first[:, :n] = 1
    first[1:] = rng.permuted(first[1:], axis=1)
    touching = first @ kernel
    within = np.einsum("ij,ij->i", touching, first, dtype=np.float64)
    crossing = touching.sum(axis=1, dtype=np.float64) - within
    rest = float(kernel.sum(dtype=np.float64)) - 2 * crossing - within
    values = (within - n) / (n * (n - 1)) + (rest - m) / (m * (m - 1)) - 2 * crossing / (n * m)
    return float((values >= values[0] - 1e-9).mean()), float(values[0])


def classifier_test(
    before: NDArray[np.float32], after: NDArray[np.float32], rng: np.random.Generator, rounds: int = 199
) -> tuple[float, float]:
    """Can a classifier tell the two sides apart? As (p-value, AUC): 0.5 it cannot, 1 it always can.

    A linear discriminant (ridge regression on the side) learns from four fifths of the rows and ranks the fifth that it has
    not seen; the AUC is the mean over five folds. p is ``(1 + #{permuted >= observed}) / (1 + rounds)`` with the classifier
    trained anew for every permutation. Ranks are used, not hits: with sides of unequal size a classifier that always says
    "before" scores well, and hits throw away how sure it was.

    Args:
        before: vectors, shape (n, d), n at least 10.
        after: vectors, shape (m, d), m at least 10.
        rng: the seeded generator.
        rounds: number of permutations.

    Use instead: `mean_shift` for the question whether there is a shift. The classifier shows which rows are the new ones.

    Source: Lopez-Paz & Oquab, *Revisiting classifier two-sample tests*, ICLR 2017, section 3; that hits lose power:
    Rosenblatt, Benjamini, Gilron, Mukamel & Goeman, Biostatistics 22 (2021), 365-380.
    """
    n, m = len(before), len(after)
    if min(n, m) < SMALLEST:
        raise ValueError(f"both sides need at least {SMALLEST} vectors; got {n} and {m}")
    order = rng.permutation(n + m)  # so that ties are broken by chance, not by side
    rows = np.concatenate([before, after])[order].astype(np.float32)
    later = np.zeros((n + m, 1 + rounds), dtype=np.float32)
    later[:, 0] = order >= n
    later[:, 1:] = rng.permuted(np.tile(later[:, :1], rounds), axis=0)
    areas = [_area(rows, later, np.arange(n + m) % FOLDS == fold) for fold in range(FOLDS)]
    values = np.mean(areas, axis=0)
    return float((values >= values[0] - 1e-12).mean()), float(values[0])


def _area(rows: NDArray[np.float32], later: NDArray[np.float32], unseen: NDArray[np.bool_]) -> Floats:
    """Area under the curve on the unseen rows, for each column of sides, of a discriminant learned from the other rows."""
    seen, sides = rows[~unseen], later[~unseen]
    centre = seen.mean(axis=0)
    seen = seen - centre
    scatter = seen.T @ seen
    scatter[np.diag_indices_from(scatter)] += RIDGE * np.trace(scatter) / len(scatter) + 1e-6
    weights = scipy.linalg.solve(scatter, seen.T @ (sides - sides.mean(axis=0)), assume_a="pos")
    ranks = np.argsort(np.argsort((rows[unseen] - centre) @ weights, axis=0), axis=0) + 1.0
    m = later[unseen].sum(axis=0, dtype=np.float64)
    n = unseen.sum() - m
    pairs = n * m  # a fold without one of the sides tells nothing
    above = (ranks * later[unseen]).sum(axis=0) - m * (m + 1) / 2
    return np.where(pairs > 0, above / np.maximum(pairs, 1), 0.5)


def ks(before: Floats, after: Floats) -> tuple[float, float]:
    """Shift of a number as (p-value, largest distance of the two distribution functions, 0..1). Shown; never pages.

    Kolmogorov-Smirnov with its asymptotic p-value; with ties (whole numbers, say) it is conservative. Never a reason for a
    page: on the dimensions of an embedding, with Bonferroni, it saw 38 % of what the distance of means saw 95 % of, and on
    the tens of columns of real traffic it calls every large sample different.

    Use instead: `mean_shift` for embeddings, the detector for a number that harms.

    Source: Smirnov, Annals of Mathematical Statistics 19 (1948), 279-281; measured in `docs/methods/traffic-shift.md`.
    """
    before, after = (np.asarray(v, dtype=np.float64) for v in (before, after))
    if min(len(before), len(after)) < 1 or not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError(f"both sides need finite numbers; got {len(before)} and {len(after)}")
    result = scipy.stats.ks_2samp(before, after, method="asymp")
    return float(result.pvalue), float(result.statistic)


def psi(before: Mapping[str, int], after: Mapping[str, int]) -> float:
    """Population stability index of a mix, ``sum (q - p) ln(q / p)``, at least 0. Shown; never pages.

    Shares have half an observation added to each category, so that a new one gives a finite number. Usual thresholds: below
    0.1 "stable", 0.1 to 0.25 "moderate", above 0.25 "shifted". They are no test: without any shift the index is about
    ``(k - 1) (1/n + 1/m)``, so that small windows cross a threshold by chance, while in large ones a tenth of new traffic
    does not reach it.

    Use instead: `mix_shift`.

    Source: Siddiqi, *Credit Risk Scorecards* (2006), chapter 8 (thresholds); Yurdakul & Naranjo, *Statistical properties of
    the population stability index*, Journal of Risk Model Validation 14 (2020) (law under no shift).
    """
    p, q = _shares(before, after, added=0.5)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(before: Mapping[str, int], after: Mapping[str, int]) -> float:
    """Jensen-Shannon distance of two mixes, 0 (the same) to 1 (nothing in common). Shown; never pages.

    ``sqrt((KL(p | c) + KL(q | c)) / 2)`` with ``c = (p + q) / 2`` and logarithms to base 2. Usual threshold: 0.1. It is no
    test, for the same reason as `psi`: what is large depends on how many rows there were.

    Use instead: `mix_shift`.

    Source: Lin, IEEE Transactions on Information Theory 37 (1991), 145-151; Endres & Schindelin, the same 49 (2003),
    1858-1860 (the root is a metric).
    """
    p, q = _shares(before, after, added=0.0)
    centre = (p + q) / 2
    parts = [(s[s > 0] * np.log2(s[s > 0] / centre[s > 0])).sum() for s in (p, q)]
    return float(np.sqrt(np.clip(sum(parts) / 2, 0.0, 1.0)))


def _shares(before: Mapping[str, int], after: Mapping[str, int], added: float) -> Floats:
    names = sorted(set(before) | set(after))
    table = np.array([[side.get(c, 0) for c in names] for side in (before, after)], dtype=np.float64)
    if not names or table.sum(axis=1).min() == 0:
        raise ValueError("both sides need observations")
    table = table[:, table.sum(axis=0) > 0] + added
    return np.asarray(table / table.sum(axis=1, keepdims=True))
