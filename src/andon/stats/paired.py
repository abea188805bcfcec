"""The same cases run twice: did the second run do worse?"""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Paired",
    "PairedDrop",
    "attempts_worse",
    "compare_paired",
    "design_effect",
    "holm",
    "paired_bootstrap",
    "paired_drop",
    "sign_flip",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A paired comparison of pass/fail: what was lost, what was gained, and how surprising that is."""

    n: int
    lost: int
    """Cases that passed before and fail now."""
    gained: int
    """Cases that failed before and pass now."""
    p_worse: float
    """Exact one-sided p-value that losses outnumber gains by chance."""
    p_better: float
    """Exact one-sided p-value that gains outnumber losses by chance."""


def compare_paired(n: int, lost: int, gained: int) -> Paired:
    """McNemar's exact test: of the cases that differ, each is lost or gained with probability 1/2 under no change.

    Assumes that cases are independent; repeats of one case are not cases. Use instead: an unpaired comparison
    (`difference`) when the two runs hold different cases; `sign_flip` where cases have several attempts, or come in clusters.

    Source: McNemar, Psychometrika 12 (1947), 153-157, in the exact binomial form.
    """
    if lost < 0 or gained < 0 or lost + gained > n:
        raise ValueError(f"lost={lost} and gained={gained} must be counts within n={n}")
    differing = lost + gained
    if differing == 0:
        return Paired(n=n, lost=0, gained=0, p_worse=1.0, p_better=1.0)
    return Paired(
        n=n,
        lost=lost,
        gained=gained,
        p_worse=float(scipy.stats.binomtest(lost, differing, 0.5, alternative="greater").pvalue),
        p_better=float(scipy.stats.binomtest(gained, differing, 0.5, alternative="greater").pvalue),
    )


def sign_flip(sums: ArrayLike) -> tuple[float, float]:
    """Exact one-sided p-values (worse, better) that integer differences of clusters add up to this by chance.

    ``sums`` (C,) holds for each cluster the attempts that pass now less those that passed before. Where nothing changed, the
    two runs could as well be the other way round, cluster by cluster, so each sum had either sign with probability 1/2. The
    law of the total is a convolution, computed and not sampled: for single attempts at single cases it is McNemar's exact
    test, and for C clusters p is never below 2^-C.

    Assumes as many attempts at each case before as now; clusters are independent, the cases within need not be.
    Use instead: `paired_drop`, where the question is not whether but by how much.

    Source: Fisher, *The Design of Experiments* (1935), section 21; Good, *Permutation, Parametric and Bootstrap Tests of
    Hypotheses* (2005), section 3.2.
    """
    each = np.asarray(sums)
    if each.size and not np.issubdtype(each.dtype, np.integer):
        raise ValueError(f"sums are {each.dtype}; whole numbers of attempts are allowed")
    sizes, counts = np.unique(np.abs(each[each != 0]), return_counts=True)
    law = np.ones(1)  # of the sum of absolute differences that are gains
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(size * count + 1)
        spread[::size] = scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5)
        law = np.convolve(law, spread)
    gained = int(each[each > 0].sum()) if each.size else 0
    return min(1.0, float(law[: gained + 1].sum())), min(1.0, float(law[gained:].sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDrop:
    """By how much a pass rate fell from one run to the next, over the same cases."""

    drop: float
    """Pass rate before less pass rate now."""
    low: float
    high: float
    n_effective: float
    """As many independent pairs of attempts say as much."""
    noise: float
    """Share of pairs that differ."""

    def p_above(self, margin: float) -> float:
        """One-sided p-value for a drop of more than `margin`: chance of these data where it is `margin`."""
        return float(scipy.stats.norm.sf(_score(self, margin)))


def paired_drop(differences: ArrayLike, clusters: ArrayLike, level: float = 0.95) -> PairedDrop:
    """The mean drop with its score interval, for attempts at cases, alone or in clusters.

    ``differences`` (n,) holds for each pair of attempts (the first at a case before and the first now, the second and the
    second, ...) 1 where it was gained, -1 where lost, else 0; ``clusters`` (n,) the number of its cluster: attempts at one
    case are at least one cluster. For single attempts at single cases it is Tango's interval: the drops D at which

    ``z(D) = (b - c - n D) / sqrt(n (2 q + D (1 - D)))``,  q the likeliest share of gains given D,

    is within the normal quantile; b pairs are lost and c gained. It has a width even where no case differs
    (``z^2 / (n + z^2)``), which no bootstrap has. In clusters n, b and c are divided by the design effect (variance of the
    mean by clusters over that by pairs, at least 1; the mean size of a cluster where no pair differs), and the quantile is
    Student's with one degree of freedom less than clusters.

    Use instead: `sign_flip` for whether anything is worse at all; it is exact.

    Source: Tango, Statistics in Medicine 17 (1998), 891-908; the design effect as in Rao & Scott, Biometrics 48 (1992),
    577-585. That both go together is ours, and is measured in docs/methods/paired.md.
    """
    d = np.asarray(differences, dtype=float)
    n = len(d)
    if n == 0:
        raise ValueError("no differences; at least one case is needed")
    inverse = np.unique(np.asarray(clusters), return_inverse=True)[1]
    count = int(inverse.max()) + 1
    deff = 1.0 if count == n else design_effect(d, inverse, count)
    found = PairedDrop(drop=-float(d.mean()), low=-1.0, high=1.0, n_effective=n / deff, noise=float(np.mean(d * d)))
    tail = (1 - level) / 2
    if count == 1 and n > 1:
        return found  # one cluster says nothing about others
    z = float(scipy.stats.norm.isf(tail)) if count == n else float(scipy.stats.t.isf(tail, count - 1))
    low = _solve(found, z, -1.0, found.drop)
    high = _solve(found, -z, found.drop, 1.0)
    return PairedDrop(drop=found.drop, low=low, high=high, n_effective=found.n_effective, noise=found.noise)


def design_effect(d: NDArray[np.float64], inverse: NDArray[np.intp], count: int) -> float:
    """Variance of the mean of ``d`` (n,) by clusters over that by single values, at least 1.

    ``inverse`` (n,) numbers the cluster of each from 0 to ``count - 1``. Where all values are equal, or there is one cluster,
    it is the mean size of a cluster: such a cluster is worth one value. Source: Rao & Scott, Biometrics 48 (1992), 577-585.
    """
    centred = d - d.mean()
    spread = float(centred @ centred)
    if spread == 0 or count < 2:
        return len(d) / count
    sums = np.bincount(inverse, centred, minlength=count)
    return max(1.0, float(sums @ sums) / spread * count / (count - 1))


def _score(found: PairedDrop, drop: float) -> float:
    """Tango's statistic: large where the drop is more than the one asked about."""
    n = found.n_effective
    lost, gained = (n * (found.noise + sign * found.drop) / 2 for sign in (1, -1))
    b = -lost - gained + (2 * n - lost + gained) * drop
    c = -gained * drop * (1 - drop)
    q = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
    variance = n * (2 * q + drop * (1 - drop))
    over = lost - gained - n * drop
    if variance <= 1e-12:
        return 0.0 if abs(over) < 1e-9 else math.copysign(math.inf, over)
    return over / math.sqrt(variance)


def _solve(found: PairedDrop, z: float, low: float, high: float) -> float:
    """The drop between two at which the statistic is z; an end where it is not reached."""
    ends = (_score(found, low) - z, _score(found, high) - z)
    if ends[0] <= 0:
        return low
    if ends[1] >= 0:
        return high
    return float(scipy.optimize.brentq(lambda drop: max(-1e9, min(1e9, _score(found, drop) - z)), low, high, xtol=1e-9))


def paired_bootstrap(
    differences: ArrayLike, clusters: ArrayLike, rng: np.random.Generator, *, level: float = 0.95, rounds: int = 2000
) -> tuple[float, float]:
    """Percentile interval of the mean drop, by drawing whole clusters again with replacement.

    Arguments as in `paired_drop`. Its width is 0 where no case differs, and too small with few clusters (measured in
    docs/methods/paired.md). Use instead: `paired_drop`, which the gate does.

    Source: Efron & Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13; clusters as units: Davison & Hinkley,
    *Bootstrap Methods and their Application* (1997), section 3.8.
    """
    d = np.asarray(differences, dtype=float)
    inverse = np.unique(np.asarray(clusters), return_inverse=True)[1]
    sums, sizes = np.bincount(inverse, d), np.bincount(inverse)
    picks = rng.integers(0, len(sums), (rounds, len(sums)))
    means = -sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def attempts_worse(passed_before: int, n_before: int, passed_now: int, n_now: int) -> float:
    """One-sided p-value that a single case passes less often now, from attempts that were made to find out.

    Boschloo's unconditional test: the chance of a Fisher p-value as small as this one, at the pass rate at which it is
    largest. Never above Fisher's own, and exact: k of k before and 0 of k now is 4^-k.

    Attempts are independent, and were not chosen because of their outcome. Use instead: `sign_flip` for many cases.

    Source: Boschloo, Statistica Neerlandica 24 (1970), 1-35.
    """
    if not (0 <= passed_before <= n_before and 0 <= passed_now <= n_now and n_before > 0 and n_now > 0):
        raise ValueError(f"{passed_before} of {n_before} and {passed_now} of {n_now} are not passes among attempts")
    x, y = np.arange(n_before + 1)[:, None], np.arange(n_now + 1)[:, None]
    fisher = np.asarray(scipy.stats.hypergeom.cdf(y.T, n_before + n_now, x + y.T, n_now))
    extreme = fisher <= fisher[passed_before, passed_now] * (1 + 1e-9)
    if fisher[passed_before, passed_now] >= 1 - 1e-12:
        return 1.0

    def chance(rate: NDArray[np.float64] | float) -> NDArray[np.float64]:
        now = extreme @ scipy.stats.binom.pmf(y, n_now, rate)
        return np.asarray((scipy.stats.binom.pmf(x, n_before, rate) * now).sum(axis=0))

    grid = np.linspace(0, 1, 201)
    rates = chance(grid)
    best = int(rates.argmax())
    ends = (grid[max(0, best - 1)], grid[min(200, best + 1)])
    finer = scipy.optimize.minimize_scalar(
        lambda r: -float(chance(r)[0]), bounds=ends, method="bounded", options={"xatol": 1e-9}
    )
    return min(1.0, float(fisher[passed_before, passed_now]), max(float(rates[best]), -float(finer.fun)))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values (m,): reject those at most alpha, and any false rejection among m has at most that chance.

    ``p(i)``, ascending, becomes the running maximum of ``(m - i + 1) p(i)``, at most 1. Tests may depend on each other.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    each = np.asarray(p, dtype=float)
    order = np.argsort(each, kind="stable")
    stepped = np.maximum.accumulate(each[order] * np.arange(len(each), 0, -1))
    adjusted = np.empty(len(each))
    adjusted[order] = np.minimum(1.0, stepped)
    return adjusted
