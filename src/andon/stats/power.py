"""What a plan of two arms can see, and how large it must be: computed before it starts, and shown.

Power is the probability that a difference of a given size is called one. Below 0.8 a plan misses it too often to say anything
by its silence. Each function says which test it speaks of; looking more than once costs more (`andon.stats.sequences`).

``design_effect`` divides the counts: users with many interactions (`two_sample.user_design_effect`, above 1), or less noise by
what users did before (1 - ``removed`` of `two_sample.cuped`, below 1).
"""

import math
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

__all__ = ["days_for", "power_of_means", "power_of_rates", "size_for_means", "size_for_rates", "smallest_rate_change"]

_FEW = 20
"""Events that the smaller arm expects, below which outcomes are counted instead of approximated."""

_OUTCOMES = 201
"""Most numbers of events that are counted per arm."""

_SUPPORT = 60
"""Largest number of events in the smaller arm that can happen by chance where fewer than 5 are expected."""

_STEP = 1.05
"""Growth of a small plan until its counted power suffices."""


def power_of_rates(
    p_control: float,
    p_treatment: float,
    n_control: float,
    n_treatment: float,
    alpha: float = 0.05,
    *,
    two_sided: bool = True,
    design_effect: float = 1.0,
) -> float:
    """Power of the chi-square test of two rates (`two_sample.two_rates`), or of its one-sided form in the direction given.

    With d the difference, s0 its standard error under the pooled rate ``(n1 p1 + n2 p2) / (n1 + n2)``, which the test uses, and s1
    the true one: ``Phi((|d| - z s0) / s1)``, z the quantile of alpha / 2 (one-sided alpha); two-sided also the chance of the wrong
    side, which R leaves out. For equal rates it is the level of the test.

    That is a normal approximation. Where the smaller arm expects fewer than 20 events (or non-events) at the pooled rate, the power
    is counted over the outcomes of both arms instead, with Fisher's test wherever `two_rates` would take it: there the formula may
    promise twice the truth (docs/methods/power.md).

    Source: Fleiss, Levin & Paik, *Statistical Methods for Rates and Proportions* (2003), section 4.2, without its continuity
    correction; R's ``power.prop.test``.
    """
    _check(p_control=p_control, p_treatment=p_treatment, alpha=alpha)
    _check_positive(n_control=n_control, n_treatment=n_treatment, design_effect=design_effect)
    n1, n2 = n_control / design_effect, n_treatment / design_effect
    pooled = (n1 * p_control + n2 * p_treatment) / (n1 + n2)
    if min(n1, n2) * min(pooled, 1 - pooled) < _FEW:
        return _counted(p_control, p_treatment, n1, n2, alpha, two_sided)
    tested = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    true = math.sqrt(p_control * (1 - p_control) / n1 + p_treatment * (1 - p_treatment) / n2)
    gap, reach = abs(p_treatment - p_control), _z(alpha, two_sided) * tested
    if true == 0:  # each arm has always the same outcome
        return float(gap > reach)
    found = float(special.ndtr((gap - reach) / true))
    return found + float(special.ndtr((-gap - reach) / true)) if two_sided else found


def size_for_rates(
    p_control: float,
    p_treatment: float,
    power: float = 0.8,
    alpha: float = 0.05,
    share: float = 0.5,
    *,
    two_sided: bool = True,
    design_effect: float = 1.0,
) -> tuple[int, int]:
    """Units of control and treatment with which `power_of_rates` reaches this power; `share` is the treatment's of both.

    ``N = ((z sqrt(p (1 - p) / (s (1 - s))) + z_power sqrt(p1 (1 - p1) / (1 - s) + p2 (1 - p2) / s)) / d)^2`` with s the share and
    ``p = (1 - s) p1 + s p2``; each arm is rounded up. The chance of the wrong side is left out. Where the smaller arm would expect
    fewer than 20 events, the size grows in steps of 5 % until the counted power suffices (whole counts make that power a saw: a
    plan that is one unit larger may see a little less).

    Source: as `power_of_rates`; Fleiss, Levin & Paik (2003), formula 4.14 for equal arms.
    """
    _check(p_control=p_control, p_treatment=p_treatment, alpha=alpha)
    _check_plan(power, alpha, share)
    _check_positive(design_effect=design_effect)
    if p_control == p_treatment:
        raise ValueError(f"both rates are {p_control}; no sample shows a difference of 0")
    pooled = (1 - share) * p_control + share * p_treatment
    tested = math.sqrt(pooled * (1 - pooled) / (share * (1 - share)))
    true = math.sqrt(p_control * (1 - p_control) / (1 - share) + p_treatment * (1 - p_treatment) / share)
    root = (_z(alpha, two_sided) * tested + float(special.ndtri(power)) * true) / (p_treatment - p_control)
    total = root * root * design_effect
    while total * min(share, 1 - share) * min(pooled, 1 - pooled) < _FEW * design_effect:
        arms = _arms(total, share)
        if (
            power_of_rates(p_control, p_treatment, *arms, alpha, two_sided=two_sided, design_effect=design_effect)
            >= power
        ):
            break
        total *= _STEP
    return _arms(total, share)


def power_of_means(
    difference: float,
    sd: float,
    n_control: float,
    n_treatment: float,
    alpha: float = 0.05,
    *,
    two_sided: bool = True,
    design_effect: float = 1.0,
) -> float:
    """Power of the t test of two means with the same standard deviation `sd` of one unit in both arms.

    The t statistic has the noncentral t law with ``n1 + n2 - 2`` degrees of freedom and ``|difference| / (sd sqrt(1/n1 + 1/n2))``;
    two-sided also the wrong side. Welch's test (`two_sample.welch`) has the same power for equal variances, up to a hair.

    Assumes values that are about normal, or many of them. Source: Cohen, *Statistical Power Analysis* (1988), chapter 2; R's
    ``power.t.test``.
    """
    _check(alpha=alpha)
    _check_positive(sd=sd, n_control=n_control, n_treatment=n_treatment, design_effect=design_effect)
    n1, n2 = n_control / design_effect, n_treatment / design_effect
    freedom = n1 + n2 - 2
    if freedom <= 0:
        raise ValueError(
            f"n_control={n_control} and n_treatment={n_treatment} are too few: more than 2 effective units are needed"
        )
    shift = abs(difference) / (sd * math.sqrt(1 / n1 + 1 / n2))
    reach = -float(special.stdtrit(freedom, alpha / 2 if two_sided else alpha))
    found = float(scipy.stats.nct.sf(reach, freedom, shift))
    return min(1.0, found + float(scipy.stats.nct.cdf(-reach, freedom, shift))) if two_sided else found


def size_for_means(
    difference: float,
    sd: float,
    power: float = 0.8,
    alpha: float = 0.05,
    share: float = 0.5,
    *,
    two_sided: bool = True,
    design_effect: float = 1.0,
) -> tuple[int, int]:
    """Units of control and treatment with which `power_of_means` reaches this power; `share` is the treatment's of both.

    Solved for the size; each arm is rounded up, and has two units at least.
    """
    _check_plan(power, alpha, share)
    _check_positive(sd=sd, design_effect=design_effect)
    if difference == 0:
        raise ValueError("difference=0; no sample shows a difference of 0")

    def short(total: float) -> float:
        return power_of_means(difference, sd, total * (1 - share), total * share, alpha, two_sided=two_sided) - power

    low = high = 2.5  # more than two effective units
    while short(high) < 0:
        low, high = high, high * 2
    total = high if low == high else float(scipy.optimize.brentq(short, low, high, xtol=1e-6, rtol=1e-12))
    control, treatment = _arms(total * design_effect, share)
    return max(2, control), max(2, treatment)


def smallest_rate_change(
    p_control: float,
    n_control: float,
    n_treatment: float,
    power: float = 0.8,
    alpha: float = 0.05,
    direction: Literal["up", "down"] = "up",
    *,
    two_sided: bool = True,
    design_effect: float = 1.0,
) -> float | None:
    """The smallest change of a rate, ``p_treatment - p_control``, that a plan of this size sees with this power.

    Smaller changes may well be missed: "no difference found" then says nothing about them. None where even a rate of 1 (or, down,
    of 0) is not seen.

    Source: `power_of_rates`, solved for the treatment's rate.
    """
    _check(p_control=p_control, alpha=alpha)
    _check_plan(power, alpha, 0.5)
    end = 1.0 if direction == "up" else 0.0

    def short(rate: float) -> float:
        found = power_of_rates(
            p_control, rate, n_control, n_treatment, alpha, two_sided=two_sided, design_effect=design_effect
        )
        return found - power

    if p_control == end or short(end) < 0:
        return None
    return float(scipy.optimize.brentq(short, p_control, end, xtol=1e-12)) - p_control


def days_for(n: float, per_day: float) -> float:
    """Days until n units have come, `per_day` of them new each day: users that were counted before do not count again.

    Round up to whole weeks where weekends differ from working days.
    """
    _check_positive(per_day=per_day)
    if not n >= 0:
        raise ValueError(f"n={n} must be at least 0")
    return n / per_day


def _counted(
    p_control: float, p_treatment: float, n_control: float, n_treatment: float, alpha: float, two_sided: bool
) -> float:
    """Probability of outcomes of both arms that `two_rates`, or its one-sided form, calls a difference."""
    sizes, rates = [max(1, round(n_control)), max(1, round(n_treatment))], [p_control, p_treatment]
    up = p_treatment > p_control
    if sizes[1] > sizes[0]:  # the second is the smaller arm
        sizes, rates, up = sizes[::-1], rates[::-1], not up
    n = sum(sizes)
    if sizes[0] * rates[0] + sizes[1] * rates[1] > n / 2:  # what is counted is the rarer outcome
        rates, up = [1 - rate for rate in rates], not up
    x, weight_x = _outcomes(sizes[0], rates[0])
    y, weight_y = _outcomes(sizes[1], rates[1])
    total = x[:, None] + y
    p = np.ones(total.shape)
    fisher = sizes[1] * np.minimum(total, n - total) < 5 * n
    z = _pooled_z(np.broadcast_to(x[:, None], p.shape)[~fisher], np.broadcast_to(y, p.shape)[~fisher], sizes)
    p[~fisher] = 2 * special.ndtr(-np.abs(z)) if two_sided else special.ndtr(-z if up else z)
    p[fisher] = _fisher(total[fisher], np.broadcast_to(y, p.shape)[fisher], sizes, two_sided, up)
    return min(1.0, float(weight_x @ (p <= alpha) @ weight_y))


def _outcomes(n: int, rate: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of events and their probabilities; where there are many, quantiles that are equally likely."""
    low, high = int(scipy.stats.binom.ppf(1e-9, n, rate)), int(scipy.stats.binom.isf(1e-9, n, rate))
    if high - low < _OUTCOMES:
        x = np.arange(max(0, low), high + 1)
        weights = np.asarray(scipy.stats.binom.pmf(x, n, rate))
        return x, weights / weights.sum()
    x = np.asarray(scipy.stats.binom.ppf((np.arange(_OUTCOMES) + 0.5) / _OUTCOMES, n, rate)).astype(np.int64)
    return x, np.full(_OUTCOMES, 1 / _OUTCOMES)


def _pooled_z(x: NDArray[np.int64], y: NDArray[np.int64], sizes: list[int]) -> NDArray[np.float64]:
    pooled = (x + y) / sum(sizes)
    found: NDArray[np.float64] = (y / sizes[1] - x / sizes[0]) / np.sqrt(
        pooled * (1 - pooled) * (1 / sizes[0] + 1 / sizes[1])
    )
    return found


def _fisher(
    total: NDArray[np.int64], y: NDArray[np.int64], sizes: list[int], two_sided: bool, up: bool
) -> NDArray[np.float64]:
    """Fisher's exact p-values of y events in the smaller arm among `total`; the expected ones are fewer than 5."""
    totals, where = np.unique(total, return_inverse=True)
    support = np.arange(min(sizes[1], _SUPPORT) + 1)
    law = _hypergeometric(totals[:, None].astype(float), sizes, support)[where]
    place = np.minimum(y, support[-1])[:, None]  # beyond the support there is nothing
    if two_sided:
        extreme = law <= np.take_along_axis(law, place, 1) * (1 + 1e-7)
    else:
        extreme = support >= place if up else support <= place
    found: NDArray[np.float64] = np.where(extreme, law, 0).sum(axis=1)
    return found


def _hypergeometric(total: NDArray[np.float64], sizes: list[int], support: NDArray[np.int64]) -> NDArray[np.float64]:
    """Law of the events in the smaller arm given all of them, from the ratios of neighbours; SciPy's takes seconds for 10^9."""
    left = sizes[0] - total  # non-events of the larger arm, were all events in it
    s = support[:-1]
    more, less = (total - s) * (sizes[1] - s), (s + 1) * (left + s + 1)
    possible = (more > 0) & (less > 0)
    steps = np.log(np.where(possible, more, 1) / np.where(possible, less, 1))
    logs = np.concatenate([np.zeros((len(total), 1)), np.cumsum(steps, axis=1)], axis=1)
    logs = np.where((support <= total) & (support >= -left), logs, -np.inf)
    law: NDArray[np.float64] = np.exp(logs - logs.max(axis=1, keepdims=True))
    law /= law.sum(axis=1, keepdims=True)
    return law


def _z(alpha: float, two_sided: bool) -> float:
    return -float(special.ndtri(alpha / 2 if two_sided else alpha))


def _arms(total: float, share: float) -> tuple[int, int]:
    return math.ceil(total * (1 - share)), math.ceil(total * share)


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 <= value <= 1 or (name == "alpha" and value in (0, 1)):
            raise ValueError(f"{name}={value} must be from 0 to 1" + (", both excluded" if name == "alpha" else ""))


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value} must be finite and above 0")


def _check_plan(power: float, alpha: float, share: float) -> None:
    if not 0 < alpha < power < 1:
        raise ValueError(f"power={power} must be above alpha={alpha} and below 1, and alpha above 0")
    if not 0 < share < 1:
        raise ValueError(f"share={share} must be between 0 and 1, both excluded")
