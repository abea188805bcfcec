"""The detector: a mixture Shiryaev-Roberts e-detector on counts of events in windows.

For every alternative odds ratio the statistic follows ``R <- (1 + R) * LR(window)``; the chart is the mean of R over the
alternatives and signals when it reaches A. Under the null every LR has expectation 1, so the mean time between false
alarms is at least A windows, whatever the traffic: no table and no calibration by simulation.

Two things break that on real traffic: windows that vary more than the binomial allows (answered by a beta-binomial
likelihood and `dispersion_of`), and a baseline that was itself estimated (answered by `guarded`).

Use instead: a p-chart for the human eye; a t-test when the time of the change is known.

Sources: Shin, Ramdas & Rinaldo, E-detectors, New England J. Stat. Data Sci. 2 (2024) (e-SR, its run length, mixtures);
Shiryaev, Theory Probab. Appl. 8 (1963); Roberts, Technometrics 8 (1966). Where we differ: the
likelihood is beta-binomial and the baseline is guarded, so the guarantee is approximate to the extent that the baseline is.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, logit

__all__ = ["ODDS", "log_likelihood_ratio", "permitted_run_length", "step"]

Floats = NDArray[np.float64]

ODDS: Floats = np.array([1.25, 1.6, 2.2, 3.2, 5.0, 9.0, 20.0, 60.0])
"""Odds ratios that the mixture looks for; a chart counts harm, so only a rise matters. Shape (m,)."""

NEGLIGIBLE = 1e-7
"""Intraclass correlations up to here are taken as 0: windows of a million vary by a tenth more, and gamma functions of
larger arguments would lose digits."""


def log_likelihood_ratio(x: Floats, n: Floats, null: Floats, odds: Floats, rho: Floats) -> Floats:
    """Log likelihood ratio of each alternative odds ratio against the baseline, shape (k, m).

    Args:
        x: events in the window, shape (k,).
        n: observations in the window, shape (k,).
        null: baseline rate, strictly between 0 and 1, shape (k,) or (k, m) when it differs by alternative.
        odds: alternative odds ratios, shape (m,).
        rho: intraclass correlation, shape (k,); 0 is the binomial.
    """
    null = null[:, None] if null.ndim == 1 else null
    other = expit(logit(null) + np.log(odds))
    harmed, fine = x[:, None], (n - x)[:, None]
    binomial = harmed * np.log(other / null) + fine * np.log((1 - other) / (1 - null))
    clustered = rho > NEGLIGIBLE
    if not clustered.any():
        return np.asarray(binomial)
    spread = np.where(clustered, rho, 0.5)[:, None]
    size = (1 - spread) / spread
    # a + b is the same under both, so only these gamma functions of the beta-binomial are left
    rise = _rising(other * size, harmed) - _rising(null * size, harmed)
    fall = _rising((1 - other) * size, fine) - _rising((1 - null) * size, fine)
    return np.where(clustered[:, None], rise + fall, binomial)


def step(r: Floats, log_ratio: Floats) -> Floats:
    """One window: ``(1 + R) * LR`` for every alternative; shapes (k, m), bounded so that it cannot overflow."""
    return np.asarray(np.minimum((1 + r) * np.exp(np.minimum(log_ratio, 300.0)), 1e150))


def _rising(a: Floats, count: Floats) -> Floats:
    """Log of ``a (a + 1) ... (a + count - 1)``."""
    return np.asarray(gammaln(a + count) - gammaln(a))


def permitted_run_length(series: int, windows_per_month: float, false_pages_per_month: float) -> float:
    """Threshold A: mean windows between false alarms that each of `series` charts may have so that all keep the budget."""
    return max(1, series) * windows_per_month / false_pages_per_month
