"""The detector: a mixture Shiryaev-Roberts e-detector on counts of events in windows.

For every alternative odds ratio the statistic follows ``R <- (1 + R) * LR(window)``; the chart is the mean of R over the
alternatives and signals when it reaches A. Under the null every LR has expectation 1, so the mean time between false
alarms is at least A windows, whatever the traffic: no table and no calibration by simulation.

Two things make that true on real traffic and are handled here: windows that vary more than the binomial allows
(`dispersion`, a beta-binomial likelihood), and a baseline that was itself estimated (`guarded`, by one standard error).

Use instead: a p-chart for the human eye; a t-test when the time of the change is known.

Sources: Shin, Ramdas & Rinaldo, E-detectors, New England J. Stat. Data Sci. 2 (2024), theorem 2.4 (run length) and
section 3 (mixtures); Shiryaev, Theory Probab. Appl. 8 (1963); Roberts, Technometrics 8 (1966). Where we differ: the
likelihood is beta-binomial and the baseline is guarded, so the guarantee is approximate to the extent that the baseline is.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, expit, logit

__all__ = ["ODDS", "dispersion", "guarded", "log_likelihood_ratio", "permitted_run_length", "step"]

Floats = NDArray[np.float64]

ODDS: Floats = np.array([1.25, 1.6, 2.2, 3.2, 5.0, 9.0, 20.0, 60.0])
"""Odds ratios that the mixture looks for; a chart counts harm, so only a rise matters. Shape (m,)."""


def guarded(x: Floats, n: Floats) -> Floats:
    """A baseline rate pushed up by one standard error on the logit scale, shape as `x`, strictly between 0 and 1.

    The chart tests against this end, so that the error of the estimate costs delay instead of false alarms. The rate is
    ``(x + 1/2) / (n + 1)`` (Jeffreys), its standard error on the logit scale ``1 / sqrt(n p (1 - p))``.
    """
    p = (x + 0.5) / (n + 1)
    return np.asarray(expit(logit(p) + 1 / np.sqrt((n + 1) * p * (1 - p))))


def dispersion(x: Floats, n: Floats) -> float:
    """Intraclass correlation of the events within windows, from the windows of a baseline, at least 0. Shapes (t,).

    Moment estimate: with ``X2 = sum (x - np)^2 / (n p (1-p))`` over k windows, ``rho = (X2 - (k-1)) / sum (n - 1)``, so
    that ``var(x) = n p (1-p) (1 + (n-1) rho)``. Fewer than 10 windows or a rate of exactly 0 or 1 give 0.

    Source: Williams, Applied Statistics 31 (1982), 144-148, section 3.
    """
    used = n > 0
    x, n = x[used], n[used]
    total, events = float(n.sum()), float(x.sum())
    if len(n) < 10 or events in (0.0, total) or total <= len(n):
        return 0.0
    p = events / total
    chi2 = float(((x - n * p) ** 2 / (n * p * (1 - p))).sum())
    return float(np.clip((chi2 - (len(n) - 1)) / (n - 1).sum(), 0.0, 0.5))


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
    xs, ns = x[:, None], n[:, None]
    binomial = xs * np.log(other / null) + (ns - xs) * np.log((1 - other) / (1 - null))
    if not (rho > 0).any():
        return np.asarray(binomial)
    size = (1 - rho[:, None]) / np.where(rho[:, None] > 0, rho[:, None], 1.0)
    a0, b0, a1, b1 = null * size, (1 - null) * size, other * size, (1 - other) * size
    clustered = betaln(a1 + xs, b1 + ns - xs) - betaln(a1, b1) - betaln(a0 + xs, b0 + ns - xs) + betaln(a0, b0)
    return np.where(rho[:, None] > 0, clustered, binomial)


def step(r: Floats, log_ratio: Floats) -> Floats:
    """One window: ``(1 + R) * LR`` for every alternative; shapes (k, m), bounded so that it cannot overflow."""
    return np.asarray(np.minimum((1 + r) * np.exp(np.minimum(log_ratio, 300.0)), 1e300))


def permitted_run_length(series: int, windows_per_month: float, false_pages_per_month: float) -> float:
    """Threshold A: mean windows between false alarms that each of `series` charts may have so that all keep the budget."""
    return max(1, series) * windows_per_month / false_pages_per_month
