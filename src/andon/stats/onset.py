"""When did it begin? The posterior over the moment in which a rate left its baseline."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from andon.stats.edetector import log_likelihood_ratio

__all__ = ["Onset", "locate_onset"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """An onset as indices of bins: the most probable bin and the ends of the 95 % set (both included)."""

    best: int
    low: int
    high: int
    probability: tuple[float, ...]
    """Posterior of every bin, sum 1."""


def locate_onset(
    y: Floats,
    mean: Floats,
    spread: float,
    persistence: float = 1.0,
    *,
    width: Floats | None = None,
    fall: bool = False,
    level: float = 0.95,
    alternatives: int = 32,
) -> Onset:
    """Posterior over the first bin after the change, given that there was one before the last bin.

    One change from a known (seasonal) baseline to an unknown multiple of it; uniform prior over time and over log ratios
    between 1.1 and 200. ``P(k) ~ width_k mean_j exp(sum_{t >= k} log LR_j(t))``. The interval is the hull of the
    highest-posterior-density set.

    Args:
        y: scaled counts per bin, shape (t,), at least one.
        mean: what the baseline expects per bin, shape (t,), greater than 0.
        spread: squared relative standard deviation of the rate from hour to hour (`Baseline.spread`); 0 is Poisson.
        persistence: inflation by serial correlation (`Baseline.persistence`).
        width: of each bin in time, in any unit, shape (t,); None: all equal.
        fall: look for less than the baseline instead of more (missing traffic).
        level: posterior mass of the interval.
        alternatives: how many ratios are tried.

    Raises:
        ValueError: there is no bin, shapes differ, or a number is out of its range or not finite.

    Use instead: `find_changes` when several changes are looked for in months of data.

    Source: Bayesian change point for one change (Smith, Biometrika 62 (1975), 407-416); measured against PELT, BOCPD and
    CUSUM in `docs/methods/onset.md`.
    """
    same = np.ones(len(y))
    widths = same if width is None else width
    _check(y, mean, widths, spread, persistence)
    grid = np.linspace(np.log(1.1), np.log(200.0), alternatives) * (-1 if fall else 1)
    ratios = log_likelihood_ratio(y, mean, spread * same, persistence * same, grid)
    suffix = np.cumsum(ratios[:, ::-1], axis=1)[:, ::-1]
    top = suffix.max(axis=0)
    log_evidence = top + np.log(np.exp(suffix - top).mean(axis=0)) + np.log(widths)
    mass = np.exp(log_evidence - log_evidence.max())
    mass /= mass.sum()
    density = mass / widths
    order = np.argsort(-density, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(mass[order]), level)) + 1]
    return Onset(
        best=int(density.argmax()),
        low=int(kept.min()),
        high=int(kept.max()),
        probability=tuple(float(v) for v in mass),
    )


def _check(y: Floats, mean: Floats, width: Floats, spread: float, persistence: float) -> None:
    if len(y) == 0:
        raise ValueError("there is no bin to look for an onset in; give the bins since the baseline was learned")
    if not np.shape(y) == np.shape(mean) == np.shape(width) == (len(y),):
        raise ValueError(
            f"every bin needs its mean and width; got {len(y)} bins, {len(mean)} means, {len(width)} widths"
        )
    for name, values in (("y", y), ("mean", mean), ("width", width)):
        wrong = ~(np.isfinite(values) & (values >= 0 if name == "y" else values > 0))
        if wrong.any():
            at = int(wrong.argmax())
            least = "0 or more" if name == "y" else "above 0: leave out bins without traffic"
            raise ValueError(f"{name}[{at}] is {values[at]}; it must be finite and {least}")
    if not (0 <= spread < np.inf and 1 <= persistence < np.inf):
        raise ValueError(f"spread={spread} must be 0 or more and persistence={persistence} 1 or more, both finite")
