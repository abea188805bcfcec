"""The detector: a mixture Shiryaev-Roberts e-detector on counts of harm against seasonal expected counts.

For every alternative ratio the statistic follows ``R <- (1 + R) * LR(cluster)``; the chart is the mean of R over the
alternatives and signals when it reaches A. Under the baseline every LR has expectation 1, so the mean time between false
alarms is at least A clusters, whatever the traffic: no table and no calibration by simulation. A *cluster* is an hour. A
chart may be looked at as often as one likes within it, with the counts of the hour so far: the likelihood ratio of a
running count is a martingale, so the promise holds at every look, and the width of the windows does not matter. An hour
without traffic is no cluster: nothing was seen, and R stays.

Counts are in units in which chance alone has a variance equal to the mean (`Baseline.scale`). What real traffic adds to
chance is in the likelihood: hours that differ (negative binomial, `spread`) and hours that resemble their neighbours
(`persistence`, to whose inverse the likelihood ratio is raised). `andon.stats.baseline` estimates both.

Use instead: a p-chart for the human eye; a t-test when the time of the change is known.

Sources: Shin, Ramdas & Rinaldo, E-detectors, New England J. Stat. Data Sci. 2 (2024) (e-SR, its run length, mixtures);
Shiryaev, Theory Probab. Appl. 8 (1963); Roberts, Technometrics 8 (1966). Where we differ: negative-binomial likelihood,
tempered for serial correlation, against a guarded estimate of the baseline, so the guarantee is as good as these; how good
that is, is measured in `docs/methods/detector.md`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

__all__ = ["RATIOS", "detect", "log_likelihood_ratio", "log_ratios", "permitted_run_length", "step"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Single = NDArray[np.float32]

RATIOS: Floats = np.array([1.15, 1.3, 1.6, 2.2, 3.2, 6.0, 16.0, 60.0])
"""Ratios of the odds of harm to those of its baseline that the mixture looks for, shape (m,)."""

_BLOCK = 2048
"""Series that `detect` takes at a time: their state stays in the cache."""

_MOST = 80.0
"""Largest logarithm of the statistic that is kept; every threshold lies far below."""

_POISSON = 1e-200
"""A spread of 0 is taken for this one, at which the negative binomial is Poisson to the last digit (single precision: 1e-30)."""


def log_ratios(rate: Floats) -> Floats:
    """Logarithms of the alternatives as ratios of the rate, shape (m, k), for baseline rates of shape (k,).

    ``log(p' / p)`` with ``p' / (1 - p') = r p / (1 - p)`` for every r of `RATIOS`: r itself where harm is rare, while a rate
    of a half, a ridit say, cannot more than double.
    """
    p = np.clip(rate, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(RATIOS)[:, None] - np.log1p(p * (RATIOS[:, None] - 1)))


def log_likelihood_ratio(y: Floats, mean: Floats, spread: Floats, persistence: Floats, log_ratio: Floats) -> Floats:
    """Log likelihood ratio of each alternative against the baseline, shape (m, k).

    ``(y log r - (y + 1/s) log(1 + s mean (r - 1) / (1 + s mean))) / f``: negative binomial with mean ``mean`` against
    ``r mean`` and the same spread s; at s = 0 it is the Poisson one, ``(y log r - mean (r - 1)) / f``.

    Args:
        y: scaled count of harm in the cluster so far, shape (k,).
        mean: what the baseline expects, shape (k,), greater than 0 where there was traffic.
        spread: squared relative standard deviation of the rate from cluster to cluster, shape (k,), 0 or more.
        persistence: by how much serial correlation inflates the variance of a long sum, shape (k,), at least 1.
        log_ratio: logarithms of the alternatives, shape (m,) or (m, k); negative ones look for a fall.
    """
    log_r = log_ratio[:, None] if log_ratio.ndim == 1 else log_ratio
    s = np.maximum(spread, _POISSON)
    gain = (s * mean / (1 + s * mean)) * np.expm1(log_r)
    return np.asarray((y * log_r - (y + 1 / s) * np.log1p(gain)) / persistence)


def step(r: Floats, log_ratio: Floats) -> Floats:
    """One cluster: ``(1 + R) * LR`` for every alternative; shapes (m, k), bounded so that it cannot overflow.

    For series that had traffic only: without any there is no cluster, and R stays.
    """
    return np.asarray((1 + np.minimum(r, np.exp(_MOST))) * np.exp(np.minimum(log_ratio, _MOST)))


def detect(
    y: Single | Floats,
    mean: Single | Floats,
    spread: Floats,
    persistence: Floats,
    thresholds: Sequence[float],
    *,
    log_ratio: Floats | None = None,
    threads: int = 2,
) -> list[tuple[Ints, Ints]]:
    """Run the detector over many clusters of many series at once, in single precision, for each of several thresholds.

    After a signal a chart starts anew. This is what a replay uses; a running chart steps in double precision. The
    likelihood ratios are computed once for all thresholds.

    Args:
        y: scaled counts of harm, shape (t, k).
        mean: expected (guarded) counts, shape (t, k); 0 where there was no traffic, which is no cluster and changes nothing.
        spread: shape (k,).
        persistence: shape (k,).
        thresholds: mean clusters between false alarms of a chart, shape (q,).
        log_ratio: logarithms of the alternatives, shape (m,) or (m, k); those of `RATIOS` unless given.
        threads: how many blocks of series are worked on at the same time.

    Returns:
        For each threshold the signals as (clusters, series), in order of time.
    """
    given = np.log(RATIOS) if log_ratio is None else log_ratio
    log_r = np.broadcast_to(given[:, None] if given.ndim == 1 else given, (len(given), y.shape[1])).astype(np.float32)
    limits = np.asarray(thresholds, dtype=np.float32)[:, None] * np.float32(len(given))
    block = max(64, _BLOCK // max(1, len(limits) // 2))

    def work(start: int) -> list[tuple[int, int, int]]:
        part = slice(start, start + block)
        hits = _run(y[:, part], mean[:, part], spread[part], persistence[part], log_r[:, part], limits)
        return [(q, t, start + k) for q, t, k in hits]

    with ThreadPoolExecutor(threads) as pool:
        found = sorted(hit for hits in pool.map(work, range(0, y.shape[1], block)) for hit in hits)
    rows = np.array(found, dtype=np.int64).reshape(-1, 3)
    return [(rows[rows[:, 0] == q, 1], rows[rows[:, 0] == q, 2]) for q in range(len(limits))]


def _run(
    y: Single | Floats, mean: Single | Floats, spread: Floats, persistence: Floats, log_r: Single, limits: Single
) -> list[tuple[int, int, int]]:
    """Signals of one block of series as (threshold, cluster, series)."""
    s, inverse = np.maximum(spread.astype(np.float32), np.float32(1e-30)), (1 / persistence).astype(np.float32)
    size, rise = 1 / s, np.expm1(log_r)
    r = np.zeros((len(limits), len(log_r), len(s)), dtype=np.float32)
    a = np.empty(r.shape[1:], dtype=np.float32)
    found = []
    for t in range(len(y)):
        count, expected = y[t].astype(np.float32), mean[t].astype(np.float32)
        spent = s * expected
        np.multiply(spent / (1 + spent), rise, out=a)
        np.log1p(a, out=a)
        a *= -((count + size) * inverse)
        a += (count * inverse) * log_r
        np.minimum(a, np.float32(_MOST / 2), out=a)  # of single precision, whose largest number is e^88
        np.exp(a, out=a)
        r += (expected > 0).astype(np.float32)
        r *= a
        np.minimum(r, np.float32(np.exp(_MOST / 2)), out=r)
        hit = r.sum(axis=1) >= limits
        if hit.any():
            which, series = np.nonzero(hit)
            r[which, :, series] = 0
            found += [(q, t, k) for q, k in zip(which.tolist(), series.tolist(), strict=True)]
    return found


def permitted_run_length(weights: Floats, clusters_per_month: float, false_pages_per_month: float) -> Floats:
    """Threshold A of each chart: mean clusters between its false alarms such that all together keep the budget.

    A chart gets the share ``w / sum(w)`` of the budget, so ``A = clusters_per_month sum(w) / (w false_pages_per_month)``.

    Args:
        weights: share of the budget that each chart deserves, shape (k,), greater than 0.
        clusters_per_month: clusters in 30 days.
        false_pages_per_month: the operator's budget over everything.
    """
    return np.asarray(weights.sum() / weights * clusters_per_month / false_pages_per_month)
