"""What is normal, hour by hour, how much do hours vary, and how sure are we?

A seasonal rate for every series at once: a ridge Poisson regression of harm on the clock (two daily harmonics, weekend),
the dispersion of hours around it, how long it lasts (correlation at lags of 1 to 24 hours), and the error of the estimate.
All arrays are time-major.

Sources: Farrington, Andrews, Beale & Catchpole, J. R. Stat. Soc. A 159 (1996), 547-563 (quasi-Poisson regression for the
surveillance of counts, trimming of past outbreaks); McCullagh & Nelder, Generalized Linear Models, 2nd ed. (1989),
section 6.2 (extra-Poisson variation); Newey & West, Econometrica 55 (1987), 703-708 (long-run variance from
autocovariances). The guards were chosen by simulation, see `docs/methods/baseline.md`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HOURS", "LEAST_SPREAD", "Baseline", "Priors", "clock_of", "fit_baseline", "like_weekend"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HOURS = 48
"""Cells of the clock: the hours of a working day, then those of a weekend day."""

COEFFICIENTS = 6
"""Intercept, two daily harmonics, weekend."""

SMOOTH = np.array([0.2, 0.2, 0.1, 0.1, 0.15])
"""Prior standard deviations of the seasonal coefficients, in log odds: without evidence the day is flat."""

VAGUE = 5.0
"""Prior standard deviation of the level without relatives, on the log scale, around what the counts say."""

LEAST_SPREAD = 1e-4
"""No real rate is steadier than 1 % from hour to hour."""

MOST_SPREAD = 300.0
YOUNG, USUAL_SPREAD = 6.0, 0.01
"""Before a baseline has hours of its own it counts this many in which the rate varied by 10 %."""

SPREAD_ERRORS = 1.5
LAGS = 12
LAG_ERRORS, INFLATION_ERRORS = 1.0, 1.0
POOLED_HOURS = 14 * 24
MOST_SCALE = 10.0
GUARD, GUARD_HOUR = 1.0, 0.4
"""Standard errors by which the expected count is pushed away: of the level, and of the single hour (whichever is more)."""

TRIMS = 3
NORMAL_SHARE = 0.25
"""Share of the hours with traffic beyond which what is far above is how the series is, and stays."""

SEEN_OFTEN = 2
"""An hour of the clock that was seen less often is one that nobody knows: its own error is given away in full."""


def _features() -> Floats:
    hour = np.arange(HOURS)
    turn = 2 * np.pi * (hour % 24) / 24
    columns = [np.ones(HOURS), np.cos(turn), np.sin(turn), np.cos(2 * turn), np.sin(2 * turn), hour >= 24]
    return np.stack([np.asarray(c, dtype=np.float64) for c in columns], axis=1)


FEATURES = _features()
_PRODUCTS = (FEATURES[:, :, None] * FEATURES[:, None, :]).reshape(HOURS, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The baselines of k series."""

    rate: Floats
    """Harm per observation, over all hours; shape (k,)."""
    scale: Floats
    """What a count of harm is multiplied by, so that chance alone has a variance equal to the mean; shape (k,)."""
    log_rate: Floats
    """Log of the expected scaled harm per observation, by hour of the clock; shape (48, k)."""
    guard: Floats
    """How far the log rate may be wrong, by hour of the clock; shape (48, k)."""
    spread: Floats
    """Squared relative standard deviation of the rate from hour to hour, with one standard error added; shape (k,)."""
    persistence: Floats
    """By how much serial correlation inflates the variance of a long sum, with its error added; shape (k,), at least 1."""
    coefficients: Floats
    """Of the regression; shape (6, k)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priors:
    """What relatives say of a series before it has spoken for itself."""

    centre: Floats
    """Coefficients of the relatives, the first one the log of a rate (not scaled); shape (k, 6)."""
    error: Floats
    """Standard deviation of the level around that of the relatives, on the log scale; shape (k,). Infinite: no relatives."""


def clock_of(hour: Ints, weekend: Bools | None = None) -> Ints:
    """The cell of the clock (0..47) of hours since 1970 UTC; `weekend` says otherwise than the calendar, say on a holiday."""
    if weekend is None:
        weekend = calendar_weekend(hour)
    return np.asarray(hour % 24 + 24 * weekend, dtype=np.int64)


def calendar_weekend(hour: Ints) -> Bools:
    """Whether hours since 1970 UTC lie on a Saturday or Sunday (1 January 1970 was a Thursday)."""
    return np.asarray((hour // 24 + 3) % 7 >= 5)


def fit_baseline(
    x: Floats,
    n: Floats,
    clock: Ints,
    *,
    variance: Floats | None = None,
    priors: Priors | None = None,
    least_spread: Floats | float = LEAST_SPREAD,
) -> Baseline:
    """Estimate the baselines of k series from t hours.

    With ``scale c = p / variance`` and exposure n, ``y = c x`` has mean ``mu = c n exp(b z(clock))``; b maximises the
    penalised Poisson likelihood, the information of which is divided by the dispersion. Around it
    ``var(y) = mu + spread mu^2``, estimated by moments, and ``persistence = 1 + 2 S(1..12) / (1 - q)`` with S the sum of
    autocorrelations over lags of 1 to 12 hours and q the part of it that is still there 12 hours later. Hours whose
    count is far above, three or more of five in a row (an incident in the history), are trimmed, unless they are more than a
    quarter of the hours with traffic.

    Args:
        x: harm in each hour, shape (t, k); may be fractional.
        n: observations in each hour, shape (t, k); 0 leaves the hour out.
        clock: cell of the clock of each hour, shape (t,).
        variance: of the harm of one observation, shape (k,); None: that of a yes or no.
        priors: what relatives say.
        least_spread: smallest `spread`, one number or shape (k,).
    """
    x, n = np.asarray(x, dtype=np.float64), np.asarray(n, dtype=np.float64)
    fitted = _fit(x, n, clock, variance, priors, least_spread)
    least = np.broadcast_to(least_spread, n.shape[1:])
    kept, some = n > 0, np.arange(x.shape[1])
    for _ in range(TRIMS):
        now, lost = _inliers(x[:, some], n[:, some], clock, _part(fitted, some), kept[:, some], some)
        kept[:, some] = now
        some = lost
        if len(some) == 0:
            break
        again = _fit(
            x[:, some],
            np.where(kept[:, some], n[:, some], 0.0),
            clock,
            None if variance is None else variance[some],
            None if priors is None else Priors(centre=priors.centre[some], error=priors.error[some]),
            least[some],
        )
        for name in Baseline.__slots__:
            getattr(fitted, name)[..., some] = getattr(again, name)
    return fitted


def _part(baseline: Baseline, some: Ints) -> Baseline:
    return Baseline(**{name: getattr(baseline, name)[..., some] for name in Baseline.__slots__})


def _inliers(x: Floats, n: Floats, clock: Ints, fitted: Baseline, kept: Bools, some: Ints) -> tuple[Bools, Ints]:
    """Which hours are still kept, and which series lost one: three or more of five in a row far above what was fitted.

    Far is three times what the median hour is off; a standard deviation would hide what inflates it.
    """
    mean = n * fitted.scale * np.exp(fitted.log_rate[clock])
    off = (x * fitted.scale - mean) / np.sqrt(np.maximum(mean, 0.25))
    some_hours = (n > 0).any(axis=0)
    usual = 1.4826 * np.nanmedian(np.where((n > 0) | ~some_hours, np.abs(off), np.nan), axis=0)
    far = off > 3 * np.maximum(usual, 1.0) + 3 * fitted.scale / np.sqrt(np.maximum(mean, 0.25))
    padded = np.pad(far, ((2, 2), (0, 0)))
    beside = np.zeros(far.shape, dtype=np.int8)
    for first in range(5):
        beside += padded[first : first + len(far)]
    far &= beside >= 3  # an hour by itself is dispersion
    often = (far | (~kept & (n > 0))).sum(axis=0) > NORMAL_SHARE * (n > 0).sum(axis=0)
    far &= ~often  # what happens often is normal
    lost = (far & kept).any(axis=0)
    return kept & ~far, some[lost]


def _fit(
    x: Floats, n: Floats, clock: Ints, variance: Floats | None, priors: Priors | None, least_spread: Floats | float
) -> Baseline:
    x = np.where(n > 0, x, 0.0)
    cells = np.zeros((HOURS, len(x)))
    cells[clock, np.arange(len(x))] = 1
    harm, seen = cells @ x, cells @ n
    total = np.maximum(seen.sum(axis=0), 1e-9)
    rate = (harm.sum(axis=0) + 0.5) / (total + 1)
    if priors is not None:  # what has not spoken yet has the rate of its relatives
        silent = np.isfinite(priors.error) & (seen.sum(axis=0) <= 0)
        rate[silent] = np.clip(np.exp(priors.centre[silent, 0]), 1e-6, 0.9)
    scale = np.minimum(rate / np.maximum(rate * (1 - rate) if variance is None else variance, 1e-12), MOST_SCALE)
    centre, precision = _prior(rate, scale, priors)
    y = (harm + 0.5 * seen / total) * scale
    dispersion = np.ones(x.shape[1])
    for _ in range(2):
        coefficients, covariance = _regress(y, seen, centre, precision, dispersion)
        log_rate = FEATURES @ coefficients.T
        mean = n * np.exp(log_rate)[clock]
        spread, unguarded = _spread(x * scale, mean, least_spread)
        variance_now = mean + unguarded * mean * mean
        own = (x * scale).sum(axis=0) / np.maximum(mean.sum(axis=0), 1e-9)  # a prior may hold the level elsewhere
        persistence, sure = _persistence(x * scale - mean * own, variance_now)
        dispersion = persistence * np.maximum(variance_now.sum(axis=0) / np.maximum(mean.sum(axis=0), 1e-9), 1.0)
    hours = np.maximum((mean > 0).sum(axis=0), 1)
    expected = cells @ mean
    usual = (expected / np.maximum(expected.sum(axis=0), 1e-9)).T @ FEATURES  # of the hours that were seen
    level = np.sqrt(np.einsum("kp,kpq,kq->k", usual, covariance, usual))
    single = np.sqrt(np.einsum("hp,kpq,hq->hk", FEATURES, covariance, FEATURES))
    typical = np.maximum(mean.sum(axis=0) / hours, 0.01)
    swing = np.sqrt(np.maximum(persistence - 1, 0) * (1 + typical * spread) / (24 * typical))
    known = cells @ (n > 0) >= SEEN_OFTEN
    guard = np.maximum(GUARD * level, np.where(known, GUARD_HOUR, GUARD) * single)
    return Baseline(
        rate=rate,
        scale=scale,
        log_rate=log_rate,
        guard=np.sqrt(guard**2 + np.where(sure, swing, 0.0) ** 2),
        spread=spread,
        persistence=persistence,
        coefficients=coefficients.T,
    )


def _prior(rate: Floats, scale: Floats, priors: Priors | None) -> tuple[Floats, Floats]:
    """Centre and precision of the coefficients, shapes (k, 6); a season moves odds, so a rate near 1 little."""
    level, room = rate * scale, np.where(rate > 1, 1.0, np.clip(1 - rate, 0.1, 1.0))[:, None]  # counts have no odds
    centre = np.zeros((len(level), COEFFICIENTS))
    precision = np.empty((len(level), COEFFICIENTS))
    centre[:, 0], precision[:, 0], precision[:, 1:] = np.log(level), 1 / VAGUE**2, 1 / (SMOOTH * room) ** 2
    if priors is not None:
        known = np.isfinite(priors.error)
        centre[known] = priors.centre[known]
        centre[known, 0] += np.log(scale[known])
        precision[known, 0] = 1 / priors.error[known] ** 2
    return centre, precision


def _regress(y: Floats, seen: Floats, centre: Floats, precision: Floats, dispersion: Floats) -> tuple[Floats, Floats]:
    """Coefficients (k, 6) and their covariance (k, 6, 6) by Newton's method, from sums over the clock (48, k)."""
    b = centre.copy()
    total = seen.sum(axis=0)
    b[:, 0] = np.where(total > 0, np.log(np.maximum(y.sum(axis=0), 1e-9) / np.maximum(total, 1e-9)), centre[:, 0])
    for _ in range(8):
        mean = seen * np.exp(np.clip(FEATURES @ b.T, -40, 40))
        slope = (FEATURES.T @ (y - mean) / dispersion).T - precision * (b - centre)
        information = (mean.T @ _PRODUCTS).reshape(-1, COEFFICIENTS, COEFFICIENTS) / dispersion[:, None, None]
        information[:, np.arange(COEFFICIENTS), np.arange(COEFFICIENTS)] += precision
        move = np.clip(np.linalg.solve(information, slope[:, :, None])[:, :, 0], -1, 1)
        b += move
        if np.abs(move).max(initial=0) < 1e-9:
            break
    return b, np.asarray(np.linalg.inv(information), dtype=np.float64)


def _spread(y: Floats, mean: Floats, least: Floats | float) -> tuple[Floats, Floats]:
    """Spread with its error added, and without; shapes (k,).

    At most ``(events / 8)^2`` times the variance of a typical hour: of events that were hardly ever seen moments know
    nothing, and to expect bursts of them would be to wait for bursts.
    """
    hours = np.maximum((mean > 0).sum(axis=0), 1)
    lost = np.minimum(COEFFICIENTS / hours, 0.5)
    squares = np.maximum((mean**2).sum(axis=0), 1e-12)
    found = np.maximum((((y - mean) ** 2) - mean * (1 - lost)).sum(axis=0) / squares, 0.0)
    variance = mean + found * mean * mean
    error = np.sqrt((2 * variance**2 + variance).sum(axis=0)) / squares
    most = (y.sum(axis=0) / 8) ** 2 * hours / np.maximum(mean.sum(axis=0), 1e-9)
    found = np.minimum(found, most)
    bound = np.minimum(found + SPREAD_ERRORS * error, most)
    bound = (hours * bound + YOUNG * USUAL_SPREAD) / (hours + YOUNG)
    return np.clip(bound, least, MOST_SPREAD), found


def _persistence(residual: Floats, variance: Floats) -> tuple[Floats, Bools]:
    """Inflation of the variance of long sums, with its error added, and whether correlation is beyond doubt; shapes (k,)."""
    z = residual / np.sqrt(np.maximum(variance, 1e-12))
    z[variance <= 0] = 0
    hours = np.maximum((variance > 0).sum(axis=0), 1.0)
    lags = min(2 * LAGS, len(z) - 1)
    products = np.zeros((2 * LAGS, z.shape[1]))
    for lag in range(1, lags + 1):
        products[lag - 1] = np.einsum("tk,tk->k", z[lag:], z[:-lag])
    near, far = (p.sum(axis=0) / hours for p in (products[:LAGS], products[LAGS:]))
    few = hours + 2 * LAGS  # a handful of hours tells nothing of correlation: its error is bounded
    error = np.sqrt(LAGS / few)  # of a sum of autocorrelations
    sure = near > error
    near, error = _pooled(near, error, hours)
    later = np.clip(far / np.maximum(near, 0.05), 0, 0.7)
    inflation = np.maximum(1 + 2 * (near + LAG_ERRORS * error) / (1 - later), 1.0)
    inflation = inflation * (1 + INFLATION_ERRORS * np.sqrt(2 * inflation / few))
    return inflation, sure


def _pooled(found: Floats, error: Floats, hours: Floats) -> tuple[Floats, Floats]:
    """Estimates drawn to their mean as far as they do not differ by more than their errors, and the errors; shapes (k,).

    Series that differ keep what they say; those that are alike say it together (empirical Bayes, normal means: Efron &
    Morris, JASA 68 (1973), 117-130). Fewer than 20 series are not pooled. Errors are made smaller from two weeks on: with
    fewer hours all are wrong alike.
    """
    if len(found) < 20:
        return found, error
    between = max(0.0, float(found.var() - np.mean(error**2)))
    keep = between / (between + error**2)
    left = np.where(hours >= POOLED_HOURS, np.sqrt(keep + (1 - keep) / len(found)), 1.0)
    mean = float(found.mean())
    return np.asarray(mean + keep * (found - mean)), np.asarray(error * left)


def like_weekend(n: Floats, usual: Floats, other: Floats) -> Bools:
    """Whether traffic is that of the other kind of day: nearer to it, and within a factor of two and the noise of counts.

    Only where the two kinds of day differ by a tenth or more.

    Args:
        n: traffic of a stretch of time, shape (t,).
        usual: what the kind of day by the calendar would bring.
        other: what the other kind of day would bring.
    """
    between, noise = np.sqrt(usual * other), 2 * np.sqrt(other)
    nearer = np.where(other < usual, n < between, n > between) & (n >= other / 2 - noise) & (n <= 2 * other + noise)
    return np.asarray(nearer & (np.abs(np.log(np.maximum(other, 1e-9) / np.maximum(usual, 1e-9))) > 0.1))
