"""What a baseline is worth: how much its windows vary, and how far its rate may be wrong.

A baseline is kept as six sums over its windows (`moments`), so that a window joins it with one addition and a thousand
baselines are judged in one array operation.

Sources: Williams, Applied Statistics 31 (1982), 144-148 (moment estimate of extra-binomial variation); the guard was
chosen by simulation, see `docs/methods/baseline.md`.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

__all__ = ["GUARD", "dispersion", "dispersion_of", "guarded", "moments"]

Floats = NDArray[np.float64]

GUARD = 1.5
"""Standard errors by which a baseline rate is pushed up before it is watched."""


def guarded(x: Floats, n: Floats, design: Floats | float = 1.0) -> Floats:
    """A baseline rate pushed up by `GUARD` standard errors on the logit scale, shape as `x`, strictly between 0 and 1.

    The chart tests against this end, so that the error of the estimate costs delay instead of false alarms. The rate is
    ``(x + 1/2) / (n + 1)`` (Jeffreys), its standard error on the logit scale ``sqrt(design / (n p (1 - p)))``.

    Args:
        x: events in the baseline.
        n: observations in the baseline.
        design: design effect ``1 + (n per window - 1) rho``: by how much clustering inflates the variance of the rate.
    """
    p = (x + 0.5) / (n + 1)
    return np.asarray(expit(logit(p) + GUARD * np.sqrt(design / ((n + 1) * p * (1 - p)))))


def moments(x: Floats, n: Floats) -> Floats:
    """What a window adds to the sums of a baseline: ``1, n, x, x^2/n, n^2, 1/n``; zeros when n = 0. Shape (..., 6)."""
    some = n > 0
    safe = np.where(some, n, 1.0)
    return np.where(some[..., None], np.stack([np.ones_like(safe), n, x, x * x / safe, n * n, 1 / safe], axis=-1), 0.0)


def dispersion_of(sums: Floats, errors: float = 0.0) -> Floats:
    """Intraclass correlation from the sums of windows (`moments`), between 0 and 0.5, shape (k,) for sums (k, 6).

    With ``X2 = sum (x - np)^2 / (n p (1-p))`` over k windows and N observations,
    ``rho = (X2 - (k-1)) / sum (n-1)(1-n/N)``, which is unbiased up to the error of ``p(1-p)``, because
    ``E X2 = (k-1) + rho sum (n-1)(1-n/N)`` when ``var(x) = n p (1-p) (1 + (n-1) rho)``.

    Args:
        sums: sums of `moments` over the windows, shape (k, 6).
        errors: standard errors to add, ``D sqrt(2k + (1/(p(1-p)) - 6) sum 1/n) / sum (n-1)(1-n/N)`` each, with the
            design effect ``D = 1 + (N/k - 1) rho``. 0 is the estimate itself; a chart adds one, because an
            underestimate costs false alarms.

    Fewer than 10 windows give 0, and so does an estimate (not its error) from a rate of exactly 0 or 1.
    """
    k, n, x, x2, n2, inverse = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    total = np.maximum(n, 1.0)
    p = x / total
    variance = p * (1 - p)
    freedom = n - k - n2 / total + 1
    usable = (k >= 10) & (freedom > 1e-9)
    freedom = np.where(usable, freedom, 1.0)
    chi2 = (x2 - 2 * p * x + p * p * n) / np.where(variance > 0, variance, 1.0)
    rho = np.where(variance > 0, np.maximum((chi2 - (k - 1)) / freedom, 0.0), 0.0)
    smooth = (x + 0.5) / (n + 1)
    design = 1 + np.maximum(n / np.maximum(k, 1.0) - 1, 0.0) * rho
    error = design * np.sqrt(np.maximum(2 * k + (1 / (smooth * (1 - smooth)) - 6) * inverse, 0.0)) / freedom
    return np.asarray(np.where(usable, np.clip(rho + errors * error, 0.0, 0.5), 0.0))


def dispersion(x: Floats, n: Floats) -> float:
    """Intraclass correlation of the events within windows, from the windows of a baseline, at least 0. Shapes (t,).

    The moment estimate of `dispersion_of`. Fewer than 10 windows or a rate of exactly 0 or 1 give 0.

    Source: Williams, Applied Statistics 31 (1982), 144-148.
    """
    sums = moments(np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.float64)).sum(axis=0)
    return float(dispersion_of(sums))
