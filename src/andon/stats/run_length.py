"""Exact run lengths of EWMA and CUSUM charts, and the limit that gives a chart the run length it may have.

A budget of false pages leaves to each series a mean number of windows between false alarms: `limit_for` finds the limit
that keeps it, instead of a constant from a textbook. For normal residuals the integral equation of the run length is
solved by Gauss-Legendre quadrature (Nystroem); for counts the chart is a Markov chain. Both are deterministic: nothing is
simulated.

An estimated baseline shortens run lengths; ``limit_for(..., baseline=m)`` pays for that with a wider limit.

Use instead: the e-detector, whose threshold needs neither a table nor a distribution of traffic.

Sources: Crowder, Technometrics 29 (1987), 401-407 and Lucas & Saccucci, Technometrics 32 (1990), 1-12 (EWMA); Page,
Biometrika 41 (1954), 100-115, Goel & Wu, Technometrics 13 (1971), 221-230, Vance, J. Quality Technology 18 (1986), 189-193
and Lucas & Crosier, Technometrics 24 (1982), 199-205 (CUSUM); Brook & Evans, Biometrika 59 (1972), 539-549 and Lucas,
Technometrics 27 (1985), 129-144 (counts); Knoth, Sequential Analysis 22 (2003), 241-255 (limits that vary); Gandy &
Kvaloy, Scandinavian J. Statistics 40 (2013), 647-668 (guarantee with an estimated baseline).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr

__all__ = ["CountCusum", "CountEwma", "NormalCusum", "NormalEwma", "Scheme", "average_run_length", "limit_for"]

Floats = NDArray[np.float64]

LONGEST = 1e12
"""Run lengths beyond this are reported as infinite: the equations lose all digits there."""

ERRORS = 11
"""Values of each estimate, in standard errors, at which the run length is computed; splines fill the gaps."""

LATTICE = 1000
"""Steps of the lattice on which the chain of a count EWMA moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalEwma:
    """``z <- (1 - weight) z + weight x`` of standard normal x, out beyond ``limit`` standard deviations of z.

    `side` "upper" has no lower limit. `exact` takes the standard deviation that z has after t windows, otherwise the one
    that it has in the end, ``sqrt(weight / (2 - weight))``. z starts at `head_start` times the limit.
    """

    weight: float
    side: Literal["both", "upper"] = "both"
    exact: bool = False
    head_start: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalCusum:
    """``S <- max(0, S + x - reference)`` of standard normal x, out above `limit`; "both" adds the same of -x.

    `reference` is half the shift to be found, in standard deviations. Each S starts at `head_start` times the limit.
    """

    reference: float = 0.5
    side: Literal["both", "upper"] = "both"
    head_start: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CountEwma:
    """`NormalEwma` of the standardised counts ``(x - E x) / sd(x)``, with the limit of the end (not `exact`).

    x is binomial of `n` observations with probability `rate`, or, when n is None, Poisson with mean `rate`.
    """

    rate: float
    n: int | None
    weight: float
    side: Literal["both", "upper"] = "upper"
    head_start: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CountCusum:
    """``S <- max(0, S + log likelihood ratio of x)``, out above `limit` (natural logarithms).

    The alternative multiplies the odds of the binomial `rate` (n observations), or, when n is None, the Poisson mean `rate`,
    by `odds`; below 1 it looks for a fall. S starts at `head_start` times the limit.
    """

    rate: float
    n: int | None
    odds: float
    head_start: float = 0.0


Scheme = NormalEwma | NormalCusum | CountEwma | CountCusum


def average_run_length(scheme: Scheme, limit: float, *, shift: float = 0.0, scale: float = 1.0) -> float:
    """Mean number of windows until the chart signals, when it starts fresh and the truth differs by `shift`.

    Args:
        scheme: the chart.
        limit: its limit, in the unit that the scheme names; positive.
        shift: how far the truth lies above the baseline: in standard deviations for normal residuals, in log odds for
            binomial and in log mean for Poisson counts. 0 gives the run length to a false alarm.
        scale: true standard deviation divided by the baseline's; normal residuals only.

    Returns:
        Windows, at least 1; infinite beyond 1e12.

    Normal residuals: ten digits. CUSUM of counts: exact, by following the law of the count between two returns to 0. EWMA of
    counts: a chain on 1,000 steps between the limits, within half a per cent. A two-sided CUSUM is combined from its sides (Lucas &
    Crosier 1982, appendix A.1), which is exact while ``head_start * limit <= limit / 2 + reference``.

    Raises:
        ValueError: a parameter is out of range.
    """
    _check(scheme)
    if not (limit > 0 and math.isfinite(limit)) or not (scale > 0 and math.isfinite(scale)) or not math.isfinite(shift):
        raise ValueError(f"limit={limit} and scale={scale} must be positive numbers and shift={shift} a number")
    if isinstance(scheme, (CountEwma, CountCusum)):
        if scale != 1.0:
            raise ValueError(
                f"scale={scale} has no meaning for counts, whose spread follows from their rate; leave it 1"
            )
        return _counted(scheme, limit, shift)
    return float(_normal(scheme, limit, np.array([shift]), scale)[0])


def limit_for(scheme: Scheme, arl: float, *, baseline: int | None = None, certainty: float = 0.9) -> float:
    """The smallest limit with which false alarms are `arl` windows apart on average.

    With `baseline` the chart's centre (and, for normal residuals, its standard deviation) was estimated from so many
    windows in control, and the promise becomes conditional: with probability `certainty` over such baselines, the chart
    that is set up has a run length of at least `arl`. That is stronger than a run length of `arl` on average over
    baselines, which a few lucky charts keep for the many that cry wolf.

    - Normal: with a mean of m values and their standard deviation, residuals are N(-d/w, 1/w^2), where
      d is N(0, 1/m) and (m-1) w^2 is chi-square of m-1 degrees; the quantile of the run length is taken over both.
    - Counts: `rate` is the estimate, from `baseline` windows of n each. The truth lies below the exact upper bound of the
      rate (Clopper-Pearson or Garwood; for "both" within the two-sided interval) with probability `certainty`, and a
      higher truth means a shorter run, so the run length at the bound is what is guaranteed.

    Args:
        scheme: the chart; its `rate` is the baseline's.
        arl: permitted mean number of windows between false alarms, for example
            ``series x windows a month / false pages a month``; above 1, at most 1e11.
        baseline: windows that the baseline was estimated from; None when it is known.
        certainty: probability of the promise, over baselines; ignored without `baseline`.

    Returns:
        The limit, on the side of too few alarms, within a billionth of itself (counts, or a baseline: a hundred-thousandth).

    Raises:
        ValueError: `arl`, `baseline` or `certainty` is out of range, every limit gives a longer run length, or none up to
            five times that of a known baseline does.

    Source: Gandy & Kvaloy (2013) for the guarantee (they estimate the quantile by bootstrap, here it is computed); Jones,
    Champ & Rigdon, Technometrics 43 (2001), 156-167 (EWMA) and J. Quality Technology 36 (2004), 95-108 (CUSUM) for the
    distribution of the residuals.
    """
    _check(scheme)
    if not 1 < arl <= 1e11:
        raise ValueError(f"arl={arl} must be above 1 window and at most 1e11")
    if baseline is not None and (baseline < 10 or not 0 < certainty < 1):
        raise ValueError(f"baseline={baseline} must be 10 windows or more and certainty={certainty} between 0 and 1")
    promised = _promise(scheme, baseline, certainty)
    low = 1e-3
    high, most = (1.0, math.inf) if baseline is None else (known := limit_for(scheme, arl), 5 * known)
    if promised(low) >= arl:
        raise ValueError(f"arl={arl} is too short: with every limit this chart runs for longer; ask for more windows")
    while promised(high) < arl:
        low, high = high, 1.25 * high
        if high > most:
            raise ValueError(
                f"no limit up to {most:.3g} promises arl={arl} after a baseline of {baseline} windows: its error may be as "
                "large as the shift that the chart looks for; learn from more windows, or look for a larger shift"
            )
    precision = 1e-5 if baseline or isinstance(scheme, (CountEwma, CountCusum)) else 1e-9
    found = scipy.optimize.brentq(
        lambda limit: math.log(min(promised(limit), LONGEST) / arl), low, high, xtol=precision, rtol=precision
    )
    while promised(found) < arl:  # the root lies on the side of too many alarms, perhaps below a step of counts
        found *= 1 + precision
    return float(found)


def _check(scheme: Scheme) -> None:
    """Refuse parameters that no chart has."""
    if not 0 <= scheme.head_start < 1:
        raise ValueError(f"head_start={scheme.head_start} is a share of the limit: 0 or more, below 1")
    if isinstance(scheme, (NormalEwma, CountEwma)) and not 0 < scheme.weight <= 1:
        raise ValueError(f"weight={scheme.weight} must be above 0 and at most 1")
    if isinstance(scheme, NormalCusum) and not 0 <= scheme.reference < math.inf:
        raise ValueError(f"reference={scheme.reference} must be 0 or more")
    if isinstance(scheme, CountCusum) and not (0 < scheme.odds < math.inf and abs(math.log(scheme.odds)) > 0.02):
        raise ValueError(
            f"odds={scheme.odds} must be positive and differ from 1, the baseline itself, by more than 2 %"
        )
    if isinstance(scheme, (CountEwma, CountCusum)):
        if scheme.n is None and not 0 < scheme.rate < math.inf:
            raise ValueError(f"rate={scheme.rate} is a Poisson mean (n is None) and must be positive")
        if scheme.n is not None and not (0 < scheme.rate < 1 and scheme.n >= 1):
            raise ValueError(f"rate={scheme.rate} must lie between 0 and 1 and n={scheme.n} must be 1 or more")


def _promise(scheme: Scheme, baseline: int | None, certainty: float) -> Callable[[float], float]:
    """The run length to a false alarm that a limit guarantees."""
    if isinstance(scheme, (CountEwma, CountCusum)):
        shifts = [0.0] if baseline is None else _rate_bounds(scheme, baseline, certainty)
        return lambda limit: min(_counted(scheme, limit, shift) for shift in shifts)
    if baseline is None:
        return lambda limit: float(_normal(scheme, limit, np.zeros(1), 1.0)[0])
    errors = np.linspace(-3.5, 3.5, ERRORS)
    spreads = np.sqrt(scipy.stats.chi2.ppf(ndtr(errors), baseline - 1) / (baseline - 1))
    likely = scipy.stats.norm.ppf((np.arange(200) + 0.5) / 200)

    def guaranteed(limit: float) -> float:
        lengths = [_normal(scheme, limit, errors / math.sqrt(baseline) / w, 1 / w) for w in map(float, spreads)]
        logs = np.log(np.minimum(lengths, LONGEST))
        smooth = scipy.interpolate.RectBivariateSpline(errors, errors, logs)(likely, likely)
        return math.exp(float(np.quantile(smooth, 1 - certainty)))

    return guaranteed


def _rate_bounds(scheme: CountEwma | CountCusum, windows: int, certainty: float) -> list[float]:
    """Where the true rate may lie at worst, as shifts from the estimate, one for each side that can signal."""
    both = isinstance(scheme, CountEwma) and scheme.side == "both"
    tail = (1 - certainty) / (2 if both else 1)
    if scheme.n is None:
        x = scheme.rate * windows
        low, high = scipy.stats.gamma.ppf(tail, x), scipy.stats.gamma.isf(tail, x + 1)
        shifts = [math.log(v / x) for v in (low, high)]
    else:
        trials = scheme.n * windows
        x = scheme.rate * trials
        low, high = scipy.stats.beta.ppf(tail, x, trials - x + 1), scipy.stats.beta.isf(tail, x + 1, trials - x)
        shifts = [float(logit(v) - logit(scheme.rate)) for v in (low, high)]
    if both:
        return shifts
    return shifts[:1] if isinstance(scheme, CountCusum) and scheme.odds < 1 else shifts[1:]


# --- normal residuals: the integral equation -------------------------------------------------------------------------


def _normal(scheme: NormalEwma | NormalCusum, limit: float, shift: Floats, scale: float) -> Floats:
    """Run lengths for residuals N(shift, scale^2), shape (b,)."""
    if isinstance(scheme, NormalEwma):
        lengths = _ewma(scheme, limit, shift, scale)
    else:
        start = scheme.head_start * limit
        upper = _cusum(scheme.reference, limit, start, shift, scale)
        lengths = upper[:, 1]
        if scheme.side == "both":  # when one side signals the other stands at 0, so each ends the other like a renewal
            lower = _cusum(scheme.reference, limit, start, -shift, scale)
            gain = upper[:, 1] / upper[:, 0] + lower[:, 1] / lower[:, 0] - 1
            lengths = gain / (1 / upper[:, 0] + 1 / lower[:, 0])
    return np.where(lengths <= LONGEST, lengths, np.inf)


def _nodes(low: float, high: float, kernel: float) -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes and weights that resolve a normal kernel of this standard deviation."""
    y, w = _legendre(16 * math.ceil(1 + (high - low) / kernel / 8))
    return low + (high - low) * (y + 1) / 2, w * (high - low) / 2


@cache
def _legendre(n: int) -> tuple[Floats, Floats]:
    y, w = np.polynomial.legendre.leggauss(n)
    return y, w


def _density(z: Floats) -> Floats:
    return np.asarray(np.exp(-z * z / 2) / math.sqrt(2 * math.pi))


def _solve(transition: Floats) -> Floats:
    """Run lengths ``(I - Q) L = 1`` from each state, 1e300 where digits are lost; shape (b, m) for Q (b, m, m)."""
    m = transition.shape[-1]
    found = np.linalg.solve(np.eye(m) - transition, np.ones((len(transition), m, 1)))[..., 0]
    return np.where((found >= 1 - 1e-9) & (found <= LONGEST), found, 1e300)


def _cusum(reference: float, limit: float, start: float, shift: Floats, scale: float) -> Floats:
    """Run lengths of the upper side, from 0 and from `start`, shape (b, 2).

    ``L(s) = 1 + L(0) P(x < k - s) + integral over 0..h of L(y) f(y + k - s) dy``
    """
    y, w = _nodes(0.0, limit, scale)
    states = np.concatenate([[0.0, start], y])
    inside = w * _density((y - states[:, None] + reference - shift[:, None, None]) / scale) / scale
    stay = ndtr((reference - states - shift[:, None]) / scale)[..., None]
    # no move ends exactly at the head start, so its column is empty
    return _solve(np.concatenate([stay, np.zeros_like(stay), inside], axis=2))[:, :2]


def _ewma(scheme: NormalEwma, limit: float, shift: Floats, scale: float) -> Floats:
    """Run lengths: ``L(z) = 1 + integral over the limits of L(y) f((y - (1 - weight) z) / weight) / weight dy``."""
    weight, end = scheme.weight, limit * math.sqrt(scheme.weight / (2 - scheme.weight))
    # without a lower limit z is followed down to 8.5 standard deviations below its mean
    depth = 8.5 * end / limit * scale + float(np.abs(shift).max())
    floor = -end if scheme.side == "both" else -depth
    sd = weight * scale
    y, w = _nodes(floor, end, sd)

    def move(states: Floats, to: Floats) -> Floats:
        """Density of the next z, shape (b, states, to)."""
        mean = (1 - weight) * states[:, None] + weight * shift[:, None, None]
        return np.asarray(_density((to - mean) / sd) / sd)

    lengths = _solve(w * move(y, y))
    start = np.array([scheme.head_start * end])
    if not scheme.exact:
        return np.asarray(1 + np.einsum("bj,bj->b", w * move(start, y)[:, 0], lengths))
    # Knoth: follow the density of z while its limits widen, then use the lengths for limits that stay
    ages = np.arange(1, 2 + math.ceil(7 / -math.log1p(-weight)) if weight < 1 else 2)
    total, mass, before = np.ones(len(shift)), np.ones((len(shift), 1)), start
    for high in end * np.sqrt(1 - (1 - weight) ** (2 * ages)):
        y_t, w_t = _nodes(-high if scheme.side == "both" else floor, float(high), sd)
        mass = w_t * np.einsum("bi,bij->bj", mass, move(before, y_t))
        total, before = total + mass.sum(axis=1), y_t
    rest = np.einsum("bij,bj->bi", w * move(before, y), lengths)
    return np.asarray(total + np.einsum("bi,bi->b", mass, rest))


# --- counts: a Markov chain --------------------------------------------------------------------------------------------


def _counted(scheme: CountEwma | CountCusum, limit: float, shift: float) -> float:
    """Run length when the true rate is `shift` log odds (Poisson: log mean) above the baseline."""
    law: Any
    if scheme.n is None:
        law, mean, variance = scipy.stats.poisson(scheme.rate * math.exp(shift)), scheme.rate, scheme.rate
    else:
        law, mean = scipy.stats.binom(scheme.n, expit(logit(scheme.rate) + shift)), scheme.n * scheme.rate
        variance = mean * (1 - scheme.rate)
    reach = 9.5 * law.std() + 40  # the tails beyond have less than 1e-18
    most = math.inf if scheme.n is None else scheme.n
    counts = np.arange(max(0, int(law.mean() - reach)), int(min(law.mean() + reach, most)) + 1)
    chances = np.asarray(law.pmf(counts), dtype=np.float64)
    if isinstance(scheme, CountCusum):
        return _count_cusum(scheme, limit, counts, chances)
    residuals = np.asarray((counts - mean) / math.sqrt(variance), dtype=np.float64)
    return _count_ewma(scheme, limit, residuals, chances, -mean / math.sqrt(variance))


def _count_cusum(scheme: CountCusum, limit: float, counts: NDArray[np.int64], chances: Floats) -> float:
    """Each return to 0 is a renewal, so the run length is windows between two returns over the chance of an alarm."""
    slope = math.log(scheme.odds)
    if scheme.n is None:
        k = scheme.rate * (scheme.odds - 1) / slope
    else:
        k = scheme.n * math.log1p(scheme.rate * (scheme.odds - 1)) / slope
    height, first = limit / abs(slope), int(counts[0])
    if slope < 0:  # a fall: the sum grows with -x
        k, first, chances = -k, -int(counts[-1]), chances[::-1]
    windows, alarm = _excursion(0.0, k, height, first, chances)
    if windows > LONGEST * alarm:
        return math.inf
    run = windows / alarm
    if scheme.head_start == 0:
        return run
    windows, alarm = _excursion(scheme.head_start * height, k, height, first, chances)
    return windows + (1 - alarm) * run


def _excursion(start: float, k: float, height: float, first: int, chances: Floats) -> tuple[float, float]:
    """Windows until the sum of ``x - k`` falls to 0 or leaves above `height`, and the chance of the latter.

    After j windows the sum is ``start + X - j k`` with the integer X of events, so the law of X is followed: exactly, for
    any k. x is `first`, first + 1, ... with these chances.
    """
    law, least, j = np.ones(1), 0, 0
    windows = alarm = 0.0
    while (left := float(law.sum())) > 1e-12 * alarm + 1e-30:
        windows += left
        law, least, j = np.convolve(law, chances), least + first, j + 1
        sums = start + least + np.arange(len(law)) - j * k
        low, high = np.searchsorted(sums, [1e-9, height + 1e-9], side="right")
        alarm += float(law[high:].sum())
        law, least = law[low:high], least + int(low)
    return windows, alarm


def _count_ewma(scheme: CountEwma, limit: float, residuals: Floats, chances: Floats, least: float) -> float:
    """From `least`, below which z cannot fall, or from the lower limit, to the upper one."""
    end = limit * math.sqrt(scheme.weight / (2 - scheme.weight))
    floor = -end if scheme.side == "both" else least
    steps = LATTICE / (end - floor)
    states = floor + np.arange(LATTICE + 1) / steps
    after = (1 - scheme.weight) * states[:, None] + scheme.weight * residuals
    return _chain((after - floor) * steps, LATTICE, chances, round((scheme.head_start * end - floor) * steps))


def _chain(after: Floats, top: int, chances: Floats, start: int) -> float:
    """Run length from state `start` of 0 to `top`: from state i, chance j leads to `after[i, j]`, out of 0 to `top` to the end.

    A move that ends between two states is shared between them so that its mean is kept.
    """
    within = (after >= -1e-9) & (after <= top + 1e-9)
    row, column = np.nonzero(within)
    to = np.clip(after[within], 0, top)
    below = np.minimum(to.astype(np.int64), top - 1) if top else np.zeros(len(to), dtype=np.int64)
    m = top + 1
    upper = chances[column] * (to - below)
    moves = np.bincount(row * m + below, chances[column] - upper, m * m + 1)
    moves += np.bincount(row * m + below + 1, upper, m * m + 1)
    found = float(np.linalg.solve(np.eye(m) - moves[:-1].reshape(m, m), np.ones(m))[start])
    return found if 1 - 1e-9 <= found <= LONGEST else math.inf
