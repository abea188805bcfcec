"""When did it begin? The posterior over the window in which a rate left its baseline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from andon.stats.edetector import log_likelihood_ratio

__all__ = ["Onset", "locate_onset"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """An onset as window indices: the most probable window and the ends of the 95 % set (both included)."""

    best: int
    low: int
    high: int
    probability: tuple[float, ...]
    """Posterior of every window, sum 1."""


def locate_onset(
    x: Floats,
    n: Floats,
    baseline: float,
    rho: float,
    *,
    level: float = 0.95,
    alternatives: int = 32,
) -> Onset:
    """Posterior over the first window after the change, given that there was one before the last window.

    One change from a known baseline rate to an unknown higher rate; uniform prior over windows and over
    log odds ratios between 1.1 and 200. ``P(k) ~ mean_j exp(sum_{t >= k} log LR_j(t))``. The interval is the hull of the
    highest-posterior-density set.

    Args:
        x: events per window, shape (t,).
        n: observations per window, shape (t,).
        baseline: rate before the change, 0 < baseline < 1.
        rho: intraclass correlation of windows (`dispersion`).
        level: posterior mass of the interval.
        alternatives: how many odds ratios are tried.

    Use instead: a segmentation (ruptures) when several changes are looked for in months of data.

    Source: Bayesian change point for one change (Smith, Biometrika 62 (1975), 407-416); measured against PELT, BOCPD and
    CUSUM in `docs/methods/onset.md`.
    """
    grid = np.exp(np.linspace(np.log(1.1), np.log(200.0), alternatives))
    null, spread = np.full(len(x), baseline), np.full(len(x), rho)
    ratios = log_likelihood_ratio(x, n, null, grid, spread)
    suffix = np.cumsum(ratios[::-1], axis=0)[::-1]
    top = suffix.max(axis=1)
    log_evidence = top + np.log(np.exp(suffix - top[:, None]).mean(axis=1))
    mass = np.exp(log_evidence - log_evidence.max())
    mass /= mass.sum()
    order = np.argsort(-mass, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(mass[order]), level)) + 1]
    return Onset(
        best=int(mass.argmax()),
        low=int(kept.min()),
        high=int(kept.max()),
        probability=tuple(float(v) for v in mass),
    )
