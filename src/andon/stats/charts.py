"""The named control charts, for the eye and for replay, over thousands of series at once.

Every chart is a function of arrays with time first, shape (t, k) for t windows of k series, and gives a `Chart`. The
baseline (rate, centre, sigma) was estimated before, in Phase I, and is an argument: a number, an array (k,), or (t, k)
where it is seasonal. A window without observations (n = 0, or NaN for means) is never out and moves no sum; `Chart.seen`
says which were.

| harm is | chart |
|---|---|
| a share of n | `p_chart`; `exact_p_chart` where n x rate is small; `laney_p_chart` where windows vary more than chance |
| a count per expected count | `u_chart`, `exact_u_chart` |
| rare: so many observations between two events | `g_chart` |
| a number | `individuals_chart`, `moving_range_chart` (XmR) |
| small but lasting | `ewma`, `cusum` of residuals; `cusum_binomial`, `cusum_poisson` of counts |

Limits of the last row come from `andon.stats.limit_for`. Use instead: the e-detector for alarms, whose threshold holds for
any traffic; these charts show people what it saw, and what a rule they know would have said.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = [
    "Chart",
    "binomial_residuals",
    "cusum",
    "cusum_binomial",
    "cusum_poisson",
    "ewma",
    "exact_p_chart",
    "exact_u_chart",
    "g_chart",
    "individuals_chart",
    "laney_p_chart",
    "laney_sigma",
    "moving_range_chart",
    "moving_range_sigma",
    "p_chart",
    "poisson_residuals",
    "rolling_sigma",
    "u_chart",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
PerSeries = Floats | float
"""A number of the baseline: the same for all, one for each series (k,), or one for each window (t, k)."""
Side = Literal["both", "upper"]

THREE_SIGMA = 0.00135
"""Probability beyond each of Shewhart's limits, if the statistic were normal."""

D2 = 2 / math.sqrt(math.pi)
"""Expectation of the range of two standard normals: 1.128."""

D3 = math.sqrt(2 - 4 / math.pi)
"""Its standard deviation: 0.853."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A control chart of k series over t windows; all arrays (t, k). Centre and limits may be read-only views."""

    statistic: Floats
    """What is drawn; where nothing was seen the centre line, or for EWMA and CUSUM the value that still stands."""
    centre: Floats
    low: Floats
    high: Floats
    """The statistic is in control from `low` to `high`, both included; infinite where there is no limit."""
    out: Flags
    seen: Flags
    """Whether the window held an observation (a rolling limit: and enough windows before it)."""


# --- one window at a time: Shewhart ----------------------------------------------------------------------------------


def p_chart(x: Floats, n: Floats, rate: PerSeries, *, sigmas: float = 3.0) -> Chart:
    """Shares ``x / n`` with limits ``p +- sigmas sqrt(p (1 - p) / n)``, cut at 0 and 1.

    Args:
        x: events, shape (t, k).
        n: observations, shape (t, k).
        rate: the baseline p, strictly between 0 and 1.
        sigmas: width of the limits.

    Use instead: `exact_p_chart` while n p (1 - p) is below about 10, because the normal limits of a skewed count cry wolf
    above and are blind below; `laney_p_chart` when windows vary more than the binomial.

    Raises:
        ValueError: shapes differ, x is not between 0 and n, or a rate is not between 0 and 1.

    Source: Montgomery, Introduction to Statistical Quality Control, 7th ed., section 7.3.
    """
    return laney_p_chart(x, n, rate, 1.0, sigmas=sigmas)


def laney_p_chart(x: Floats, n: Floats, rate: PerSeries, sigma_z: PerSeries, *, sigmas: float = 3.0) -> Chart:
    """Laney's p': the limits of `p_chart` made `sigma_z` times as wide, for windows that differ by more than chance.

    Args:
        x: events, shape (t, k).
        n: observations, shape (t, k).
        rate: the baseline p.
        sigma_z: from `laney_sigma` of the baseline, positive.
        sigmas: width of the limits.

    Raises:
        ValueError: as `p_chart`, or a `sigma_z` is not positive: a baseline that never varied gives no limits.

    Assumption: the extra variation is from window to window and independent; where the rate wanders, moving ranges are
    too small and the limits too narrow. Source: Laney, Quality Engineering 14 (2002), 531-537.
    """
    p, wider = _rate(rate), _positive(sigma_z, "sigma_z")
    x, n = _counts(x, n)
    seen = n > 0
    width = sigmas * wider * np.sqrt(p * (1 - p) / np.where(seen, n, np.inf))
    low, high = np.maximum(p - width, 0.0), np.minimum(p + width, 1.0)
    return _chart(_share(x, n, p), p, np.where(seen, low, 0.0), np.where(seen, high, 1.0), seen)


def laney_sigma(x: Floats, n: Floats, rate: PerSeries) -> Floats:
    """``sigma_z``: mean moving range of the standardised shares, divided by 1.128; shape (k,).

    1 where the windows vary as the binomial says; below 1 they vary less. Windows without observations are passed over;
    a series with fewer than two windows with observations says nothing and gets 1. 0 where the standardised shares never
    moved, which `laney_p_chart` refuses: take `p_chart` there.

    Source: Laney, Quality Engineering 14 (2002), 531-537.
    """
    z = binomial_residuals(x, n, rate)
    return np.where((~np.isnan(z)).sum(axis=0) < 2, 1.0, _mean_range(z) / D2)


def exact_p_chart(x: Floats, n: Floats, rate: PerSeries, *, tail: float = THREE_SIGMA) -> Chart:
    """Shares ``x / n`` with limits at binomial quantiles: at most `tail` of windows in control lie beyond each.

    The chart for small n and for rare events. Two seconds for a million points.

    Args:
        x: events, whole numbers, shape (t, k).
        n: observations, whole numbers, shape (t, k).
        rate: the baseline p.
        tail: probability beyond each limit, between 0 and 0.5.

    Raises:
        ValueError: as `p_chart`, or a count is not whole: the binomial has no quantiles for parts of an observation, and
            `p_chart` takes them.

    Known limit: below about ``log(1 / tail) / rate`` observations the lower limit is 0, and nothing is too good to be true.
    """
    _tail(tail)
    p = _rate(rate)
    x, n = _counts(x, n)
    _whole(x, "x")
    _whole(n, "n")
    seen, some = n > 0, np.maximum(n, 1.0)
    low, high = scipy.stats.binom.ppf(tail, some, p) / some, scipy.stats.binom.isf(tail, some, p) / some
    return _chart(_share(x, n, p), p, np.where(seen, low, 0.0), np.where(seen, high, 1.0), seen)


def u_chart(x: Floats, exposure: Floats, rate: PerSeries, *, sigmas: float = 3.0) -> Chart:
    """Events for each unit of exposure, ``x / a``, with limits ``u +- sigmas sqrt(u / a)``, cut at 0.

    Args:
        x: events, shape (t, k); may exceed the exposure.
        exposure: units a in which events can occur (answers, tokens, hours), shape (t, k).
        rate: the baseline u, events a unit, positive.
        sigmas: width of the limits.

    Use instead: `exact_u_chart` while u a is below about 10. Source: Montgomery, 7th ed., section 7.3.
    """
    u = _positive(rate, "rate")
    x, exposure = _exposed(x, exposure)
    seen = exposure > 0
    width = sigmas * np.sqrt(u / np.where(seen, exposure, np.inf))
    high = np.where(seen, u + width, np.inf)
    return _chart(_share(x, exposure, u), u, np.where(seen, np.maximum(u - width, 0.0), 0.0), high, seen)


def exact_u_chart(x: Floats, exposure: Floats, rate: PerSeries, *, tail: float = THREE_SIGMA) -> Chart:
    """`u_chart` with limits at Poisson quantiles: at most `tail` of windows in control lie beyond each."""
    _tail(tail)
    u = _positive(rate, "rate")
    x, exposure = _exposed(x, exposure)
    seen, some = exposure > 0, np.where(exposure > 0, exposure, 1.0)
    low, high = scipy.stats.poisson.ppf(tail, u * some) / some, scipy.stats.poisson.isf(tail, u * some) / some
    return _chart(_share(x, exposure, u), u, np.where(seen, low, 0.0), np.where(seen, high, np.inf), seen)


def g_chart(gaps: Floats, rate: PerSeries, *, tail: float = THREE_SIGMA) -> Chart:
    """Observations from one rare event to the next, with exact geometric limits.

    A gap g counts the later event itself, so ``P(gap > g) = (1 - p)^g``, mean 1 / p. Below `low` events come too thick, above
    `high` they have become rarer; at most `tail` of gaps in control lie beyond each.

    Args:
        gaps: shape (t, k), the i-th gap of each series in row i, at least 1; NaN where a series has no further gap.
        rate: the baseline p.
        tail: probability beyond each limit, between 0 and 0.5.

    Known limit: one gap is weak evidence of harm. While ``rate >= tail`` nothing lies below `low`, and even a rate ten times the
    baseline gives gaps below it in about ``10 x tail`` of cases. Use instead: `cusum_binomial`.

    Source: Kaminsky, Benneyan, Davis & Burke, J. Quality Technology 24 (1992), 63-69; probability limits: Yang, Xie, Kuralmani
    & Tsui, J. Quality Technology 34 (2002), 448-458.
    """
    _tail(tail)
    p = _rate(rate)
    gaps = _table(gaps, "gaps")
    if np.any(gaps < 1):
        raise ValueError(f"a gap of {np.nanmin(gaps)} observations; the later event counts, so a gap is 1 or more")
    low = np.floor(math.log1p(-tail) / np.log1p(-p)) + 1
    return _chart(gaps, 1 / p, low, np.ceil(math.log(tail) / np.log1p(-p)), ~np.isnan(gaps))


def individuals_chart(x: Floats, centre: PerSeries, sigma: PerSeries, *, sigmas: float = 3.0) -> Chart:
    """The X of XmR: single values (or means of windows) with limits ``centre +- sigmas sigma``.

    Args:
        x: values, shape (t, k); NaN where a window has none.
        centre: mean of the baseline.
        sigma: from `moving_range_sigma` of the baseline, positive.
        sigmas: width of the limits.

    Assumption: values are near to normal and independent. Source: Montgomery, 7th ed., section 6.4.
    """
    x, width = _table(x, "x"), sigmas * _positive(sigma, "sigma")
    return _chart(x, np.asarray(centre, dtype=np.float64), centre - width, centre + width, ~np.isnan(x))


def moving_range_chart(x: Floats, sigma: PerSeries, *, sigmas: float = 3.0) -> Chart:
    """The mR of XmR: ``|x_t - x_(t-1)|``, centre 1.128 sigma, upper limit 3.686 sigma; a jump, or a wider spread.

    The first row, and rows beside a missing value, are not seen. Source: Montgomery, 7th ed., section 6.4.
    """
    x, s = _table(x, "x"), _positive(sigma, "sigma")
    ranges = np.full(x.shape, np.nan)
    ranges[1:] = np.abs(np.diff(x, axis=0))
    return _chart(ranges, D2 * s, 0.0 * s, (D2 + sigmas * D3) * s, ~np.isnan(ranges))


def moving_range_sigma(x: Floats) -> Floats:
    """Standard deviation from the mean moving range over 1.128, shape (k,); a shift in the baseline hardly widens it.

    Args:
        x: baseline values, shape (t, k); NaN where missing, which is passed over.

    Raises:
        ValueError: a series has fewer than two values, which say nothing about spread.

    Source: Montgomery, 7th ed., section 6.4.
    """
    x = _table(x, "x")
    few = (~np.isnan(x)).sum(axis=0) < 2
    if few.any():
        raise ValueError(
            f"series {int(few.argmax())} has fewer than two values, which say nothing about spread; leave it out"
        )
    return _mean_range(x) / D2


def rolling_sigma(x: Floats, n: Floats, window: int, width: float = 2.0) -> Chart:
    """The rule of thumb "beyond two sigma of the rolling baseline", for comparison only.

    A window's share is held against mean and standard deviation (divisor m - 1) of the shares in the `window` windows before
    it. It cries wolf 13 to 16 times a month on stable hourly series, and is late, because the rolling baseline absorbs what it
    should show (`docs/methods/named-charts.md`).

    Args:
        x: events, shape (t, k).
        n: observations, shape (t, k).
        window: windows before the present one, at least 2; fewer than two with observations give no limit.
        width: standard deviations.
    """
    if window < 2:
        raise ValueError(f"window={window} must be 2 windows or more, to have a standard deviation")
    x, n = _counts(x, n)
    some = n > 0
    total = n.sum(axis=0)
    middle = np.where(total > 0, x.sum(axis=0) / np.maximum(total, 1.0), 0.0)  # keeps digits in the sum of squares
    share = _share(x, n, middle) - middle
    count, mean, square = (_before(v, window) for v in (some.astype(np.float64), share, share * share))
    enough = count >= 2
    count = np.where(enough, count, 2.0)
    mean = mean / count
    spread = width * np.sqrt(np.maximum(square - count * mean * mean, 0.0) / (count - 1))
    low, high = np.where(enough, mean - spread, -np.inf), np.where(enough, mean + spread, np.inf)
    return _chart(share + middle, mean + middle, low + middle, high + middle, some & enough)


# --- memory: EWMA and CUSUM ------------------------------------------------------------------------------------------


def binomial_residuals(x: Floats, n: Floats, rate: PerSeries, *, rho: PerSeries = 0.0) -> Floats:
    """Standardised counts ``(x - n p) / sqrt(n p (1 - p) (1 + (n - 1) rho))``, shape (t, k); NaN where n = 0.

    `rho` is the intraclass correlation of the observations of a window; 0 is the binomial.
    """
    p = _rate(rate)
    x, n = _counts(x, n)
    variance = n * (p * (1 - p))
    if np.any(np.asarray(rho) != 0):
        variance *= 1 + (n - 1) * rho
    return _residuals(x - n * p, variance)


def poisson_residuals(x: Floats, expected: Floats) -> Floats:
    """Standardised counts ``(x - m) / sqrt(m)`` of expected counts m, shape (t, k); NaN where nothing was expected."""
    x, expected = _exposed(x, expected)
    return _residuals(x - expected, expected)


def ewma(
    residuals: Floats,
    weight: float,
    limit: float,
    *,
    side: Side = "both",
    exact: bool = False,
    head_start: float = 0.0,
    restart: bool = False,
) -> Chart:
    """Exponentially weighted moving average ``z <- (1 - weight) z + weight r`` of standardised residuals, from 0.

    Limits are ``+- limit sqrt(weight / (2 - weight))``; if `exact`, times ``sqrt(1 - (1 - weight)^(2 t))``, which is the
    standard deviation after t windows, so that the first windows are watched as closely.

    Args:
        residuals: shape (t, k); NaN where a window has none, which leaves z where it is.
        weight: of the newest window, above 0 and at most 1; small finds small shifts.
        limit: from ``limit_for(NormalEwma(...), arl)``.
        side: "upper" has no lower limit; turn the sign of the residuals for a lower one.
        exact: limits that widen, instead of those of the end.
        head_start: z begins at this share of the upper limit.
        restart: z begins anew after a window that is out, as run lengths count alarms; otherwise it goes on, for the eye.

    Source: Roberts, Technometrics 1 (1959), 239-250; Lucas & Saccucci, Technometrics 32 (1990), 1-12.
    """
    if not 0 < weight <= 1 or not limit > 0 or not 0 <= head_start < 1:
        raise ValueError(
            f"weight={weight} (0 to 1), limit={limit} (positive) or head_start={head_start} (0 to 1) is wrong"
        )
    r = _table(residuals, "residuals")
    seen = ~np.isnan(r)
    windows, series = r.shape
    width = np.full(windows + 1, limit * math.sqrt(weight / (2 - weight)))
    begin = head_start * width[0]
    if exact:
        width *= np.sqrt(1 - (1 - weight) ** (2 * np.arange(windows + 1)))
    z, statistic = np.full(series, begin), np.empty_like(r)
    if seen.all() and not restart:
        for t in range(windows):
            z *= 1 - weight
            z += weight * r[t]
            statistic[t] = z
        high = width[1:, None]
    else:
        age, high = np.zeros(series, dtype=np.int64), np.empty_like(r)
        for t in range(windows):
            np.add(z, weight * (r[t] - z), out=z, where=seen[t])
            age += seen[t]
            statistic[t], high[t] = z, width[age]
            if restart:
                ended = seen[t] & ((z > high[t]) | ((z < -high[t]) & (side == "both")))
                z[ended], age[ended] = begin, 0
    return _chart(statistic, np.zeros(1), -high if side == "both" else np.full(1, -np.inf), high, seen, blank=False)


def cusum(
    residuals: Floats,
    reference: float,
    limit: float,
    *,
    side: Side = "both",
    head_start: float = 0.0,
    restart: bool = False,
) -> Chart:
    """Tabular CUSUM of standardised residuals: ``S+ <- max(0, S+ + r - k)`` and ``S- <- max(0, S- - r - k)``, out above h.

    With two sides the statistic is the larger of the two, S- with a minus sign, within -h and h.

    Args:
        residuals: shape (t, k); NaN where a window has none, which leaves the sums where they are.
        reference: k, half the shift to be found, in standard deviations.
        limit: h, from ``limit_for(NormalCusum(...), arl)``.
        side: "upper" has only S+.
        head_start: sums begin at this share of h (0.5 is Lucas & Crosier's).
        restart: both sums begin anew after a window that is out, as run lengths count alarms.

    Source: Page, Biometrika 41 (1954), 100-115; Lucas & Crosier, Technometrics 24 (1982), 199-205.
    """
    if not reference >= 0:
        raise ValueError(f"reference={reference} must be 0 or more")
    r = _table(residuals, "residuals")
    seen = ~np.isnan(r)
    held = r if seen.all() else np.where(seen, r, 0.0)
    return _sums(lambda t: held[t], reference, limit, seen, side, head_start, restart)


def cusum_binomial(
    x: Floats,
    n: Floats,
    rate: PerSeries,
    odds: float,
    limit: float,
    *,
    head_start: float = 0.0,
    restart: bool = False,
) -> Chart:
    """CUSUM of the binomial log likelihood ratio: ``S <- max(0, S + x log(odds) - n log(1 + p (odds - 1)))``, out above h.

    Args:
        x: events, shape (t, k).
        n: observations, shape (t, k); may differ from window to window.
        rate: the baseline p.
        odds: ratio of the odds that is looked for; below 1, a fall.
        limit: h in natural logarithms, from ``limit_for(CountCusum(...), arl)`` for a typical n.
        head_start: S begins at this share of h.
        restart: S begins anew after a window that is out.

    Source: Page, Biometrika 41 (1954), 100-115; Steiner, Cook, Farewell & Treasure, Biostatistics 1 (2000), 441-452 (rates that
    differ from case to case).
    """
    p, slope = _rate(rate), _log_ratio(odds, "odds")
    x, n = _counts(x, n)
    cost = np.broadcast_to(np.log1p(p * (odds - 1)), x.shape)
    return _sums(lambda t: slope * x[t] - cost[t] * n[t], 0.0, limit, n > 0, "upper", head_start, restart)


def cusum_poisson(
    x: Floats,
    expected: Floats,
    ratio: float,
    limit: float,
    *,
    head_start: float = 0.0,
    restart: bool = False,
) -> Chart:
    """CUSUM of the Poisson log likelihood ratio: ``S <- max(0, S + x log(ratio) - m (ratio - 1))``, out above h.

    Args:
        x: events, shape (t, k).
        expected: expected events m of the baseline in each window, shape (t, k).
        ratio: ratio of the means that is looked for; below 1, a fall.
        limit: h in natural logarithms, from ``limit_for(CountCusum(n=None, ...), arl)``.
        head_start: S begins at this share of h.
        restart: S begins anew after a window that is out.

    Source: Lucas, Technometrics 27 (1985), 129-144.
    """
    slope = _log_ratio(ratio, "ratio")
    x, expected = _exposed(x, expected)
    gain = ratio - 1
    return _sums(lambda t: slope * x[t] - gain * expected[t], 0.0, limit, expected > 0, "upper", head_start, restart)


def _sums(
    step: Callable[[int], Floats],
    reference: float,
    limit: float,
    seen: Flags,
    side: Side,
    head_start: float,
    restart: bool,
) -> Chart:
    """One or two sums that never fall below 0."""
    if not limit > 0 or not 0 <= head_start < 1:
        raise ValueError(
            f"limit={limit} must be positive and head_start={head_start} a share of it, 0 or more, below 1"
        )
    windows, series = seen.shape
    whole = bool(seen.all())
    statistic = np.empty(seen.shape)
    sums = [(sign, np.full(series, head_start * limit)) for sign in ((1, -1) if side == "both" else (1,))]
    for t in range(windows):
        moved = step(t)
        for sign, s in sums:
            if whole:
                np.add(s, sign * moved - reference, out=s)
                np.maximum(s, 0.0, out=s)
            else:
                np.copyto(s, np.maximum(s + sign * moved - reference, 0.0), where=seen[t])
        up, down = sums[0][1], sums[-1][1]
        statistic[t] = up if side == "upper" else np.where(up >= down, up, -down)
        if restart:
            ended = seen[t] & (np.abs(statistic[t]) > limit)
            for _, s in sums:
                s[ended] = head_start * limit
    low = np.full(1, -limit if side == "both" else 0.0)
    return _chart(statistic, np.zeros(1), low, np.full(1, limit), seen, blank=False)


# --- what all share --------------------------------------------------------------------------------------------------


def _chart(statistic: Floats, centre: Floats, low: Floats, high: Floats, seen: Flags, *, blank: bool = True) -> Chart:
    """Spread the limits over the points and compare; with `blank`, points without observations lie on the centre."""
    shape = statistic.shape
    middle = np.broadcast_to(centre, shape)
    whole = bool(seen.all())
    drawn = statistic if whole or not blank else np.where(seen, statistic, middle)
    out = (drawn > high) | (drawn < low)
    return Chart(
        statistic=drawn,
        centre=middle,
        low=np.broadcast_to(low, shape),
        high=np.broadcast_to(high, shape),
        out=out if whole else out & seen,
        seen=seen,
    )


def _share(x: Floats, n: Floats, otherwise: Floats) -> Floats:
    return np.where(n > 0, x / np.where(n > 0, n, 1.0), otherwise)


def _residuals(excess: Floats, variance: Floats) -> Floats:
    return np.where(variance > 0, excess / np.sqrt(np.where(variance > 0, variance, 1.0)), np.nan)


def _mean_range(x: Floats) -> Floats:
    """Mean distance of successive values of each column, missing ones passed over; 0 for fewer than two."""
    order = np.argsort(np.isnan(x), axis=0, kind="stable")  # values first, in their order
    ranges = np.abs(np.diff(np.take_along_axis(x, order, axis=0), axis=0))
    count = (~np.isnan(ranges)).sum(axis=0)
    return np.asarray(np.nansum(ranges, axis=0) / np.maximum(count, 1))


def _before(values: Floats, window: int) -> Floats:
    """Sum over the `window` rows before each."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    rows = np.arange(len(values))
    return np.asarray(sums[rows] - sums[np.maximum(rows - window, 0)])


def _table(values: Floats, name: str) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"{name} has shape {table.shape}; it must be (windows, series), time first")
    return table


def _counts(x: Floats, n: Floats) -> tuple[Floats, Floats]:
    x, n = _exposed(x, n)
    if np.any(x > n):
        at = tuple(int(i) for i in np.argwhere(x > n)[0])
        raise ValueError(f"x={x[at]} events in n={n[at]} observations (window, series {at}); x is at most n")
    return x, n


def _whole(counts: Floats, name: str) -> None:
    wrong = ~np.isfinite(counts) | (counts != np.floor(counts))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"{name}={counts[at]} (window, series {at}) is not a whole number; `p_chart` takes fractions")


def _exposed(x: Floats, exposure: Floats) -> tuple[Floats, Floats]:
    x, exposure = _table(x, "x"), _table(exposure, "the exposure")
    if x.shape != exposure.shape:
        raise ValueError(f"x has shape {x.shape} and its exposure {exposure.shape}; give one exposure for each count")
    if not (x.size == 0 or (x.min() >= 0 and exposure.min() >= 0)):
        raise ValueError("a count or an exposure is negative or NaN; a window without observations has n = 0 and x = 0")
    return x, exposure


def _rate(rate: PerSeries) -> Floats:
    p = np.asarray(rate, dtype=np.float64)
    if not np.all((p > 0) & (p < 1)):
        raise ValueError(
            "a baseline rate is not between 0 and 1; estimate it as (x + 1/2) / (n + 1), which never is 0 or 1"
        )
    return p


def _positive(value: PerSeries, name: str) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if not np.all((array > 0) & (array < np.inf)):
        raise ValueError(f"{name} of the baseline must be positive in every series; leave out series that never varied")
    return array


def _tail(tail: float) -> None:
    if not 0 < tail < 0.5:
        raise ValueError(f"tail={tail} is the probability beyond one limit: between 0 and 0.5")


def _log_ratio(ratio: float, name: str) -> float:
    if not 0 < ratio < math.inf or ratio == 1:
        raise ValueError(f"{name}={ratio} must be positive and not 1, which is the baseline itself")
    return math.log(ratio)
