"""What a gate can see: how often a bar cries wolf, and how small a drop a comparison finds. Pure."""

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

from andon.errors import InputError
from andon.stats import clopper_pearson

__all__ = ["Power", "cases_for_drop", "chance_of_finding", "cries_wolf", "least_drop", "plan", "say"]

_MOST_CASES = 1_000_000
_STEPS = 2**14


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What a gate with these cases can and cannot tell."""

    n: int
    rate: float
    """The pass rate that the system truly has."""
    bar: float
    margin: float
    discordance: float
    """Share of the cases that differ between two runs of the same version, with one attempt each."""
    repeats: int
    alpha: float
    cries_wolf: float
    """Chance that fewer than `bar` of the cases pass although the true rate is `rate`."""
    shows_bar: int | None
    """Cases from which the gate shows the bar with 80 % power at this rate; None where no number does."""
    mde: float | None
    """Smallest drop that ``not_worse`` finds with 80 % power; None where no drop is found."""
    shows_margin: int
    """Cases from which ``at_most = margin`` passes with 80 % power where nothing changed."""


def cries_wolf(n: int, rate: float, bar: float) -> float:
    """Chance that fewer than `bar` of n cases pass when each passes with probability `rate`: an exact binomial tail.

    Fifty questions, a bar of 95 % and a true rate of 95 %: 0.46.
    """
    return float(scipy.stats.binom.cdf(math.ceil(bar * n - 1e-9) - 1, n, rate))


def chance_of_finding(n: int, drop: float, noise: float, alpha: float) -> float:
    """Power of McNemar's exact one-sided test for a drop of the pass rate.

    Of n cases a share ``noise / 2 + drop`` is lost and ``noise / 2`` gained; the power is computed over all outcomes.
    Source: Connor, Biometrics 43 (1987), 207-211, states the problem; the sum is exact here.
    """
    lost, differing = noise / 2 + drop, noise + drop
    if differing <= 0:
        return 0.0
    if differing > 1:
        return math.nan
    low, high = np.asarray(scipy.stats.binom.ppf([1e-9, 1 - 1e-9], n, differing)).astype(int)
    low = max(0, low)
    d = np.arange(low, high + 1)
    critical = _critical(alpha, 1 << int(high).bit_length())[low : high + 1]
    return float(np.sum(scipy.stats.binom.pmf(d, n, differing) * special.bdtrc(critical, d, lost / differing)))


@lru_cache(maxsize=64)
def _critical(alpha: float, most: int) -> NDArray[np.int64]:
    """For each number of differing cases below `most`, the largest count whose tail beyond it is at most alpha."""
    return np.asarray(scipy.stats.binom.isf(alpha, np.arange(most), 0.5)).astype(np.int64)


def least_drop(n: float, noise: float, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """The smallest drop that n cases find with this power, where `noise` is the share that differs anyway; None where none is."""
    return _least_drop(int(n), noise, alpha, power)


@lru_cache(maxsize=4096)
def _least_drop(cases: int, noise: float, alpha: float, power: float) -> float | None:
    if cases < 1 or not 0 <= noise < 1:
        return None
    step = (1.0 - noise) / _STEPS

    def found(steps: int) -> bool:
        return chance_of_finding(cases, step * steps, noise, alpha) >= power

    return step * bisect_left(range(_STEPS), True, lo=1, key=found) if found(_STEPS) else None


def cases_for_drop(gap: float, noise: float, alpha: float, power: float = 0.8) -> int:
    """Cases after which a mean difference that is `gap` away from a margin is told from it with this power.

    ``((z_alpha + z_power) / gap)^2 * noise``: the normal approximation, with the noise a share of differing cases. With no
    noise at all the bound of nothing lost, ``z^2 (1 - gap) / gap``, decides.
    """
    z = float(scipy.stats.norm.isf(alpha))
    moved = (z + float(scipy.stats.norm.ppf(power))) ** 2 * noise / (gap * gap)
    return min(_MOST_CASES, math.ceil(max(moved, z * z * (1 - gap) / gap)))


def plan(
    n: int,
    *,
    rate: float = 0.95,
    bar: float = 0.95,
    margin: float = 0.02,
    discordance: float = 0.05,
    repeats: int = 1,
    alpha: float = 0.05,
) -> Power:
    """What a gate with n cases can tell: of a bar, and of a comparison with a baseline.

    Repeats divide the discordance, as far as it is chance within each attempt: the mean over k attempts has 1/k of its
    variance. Nothing is simulated; `chance_of_finding` and `cries_wolf` are exact.

    Raises:
        InputError: a number is out of its range.
    """
    if n < 1 or repeats < 1:
        raise InputError(f"n is {n} and repeats {repeats}; at least 1 of each is allowed")
    for name, value, fits, allowed in (
        ("bar", bar, 0 < bar <= 1, "above 0 and at most 1"),
        ("rate", rate, 0 < rate <= 1, "above 0 and at most 1"),
        ("margin", margin, 0 < margin < 1, "above 0 and below 1"),
        ("discordance", discordance, 0 <= discordance < 1, "of at least 0 and below 1"),
        ("alpha", alpha, 0 < alpha <= 0.5, "above 0 and at most 0.5"),
    ):
        if not fits:
            raise InputError(f"{name} is {value}; a share {allowed} is allowed")
    noise = discordance / repeats
    return Power(
        n=n,
        rate=rate,
        bar=bar,
        margin=margin,
        discordance=discordance,
        repeats=repeats,
        alpha=alpha,
        cries_wolf=cries_wolf(n, rate, bar),
        shows_bar=_shows_bar(rate, bar, alpha),
        mde=least_drop(n, noise, alpha),
        shows_margin=cases_for_drop(margin, noise, alpha),
    )


def _shows_bar(rate: float, bar: float, alpha: float, power: float = 0.8) -> int | None:
    """The smallest n from which the interval is above the bar with this power; searched on a grid of 2 % steps."""
    if rate <= bar:
        return None
    n = 1
    while n < _MOST_CASES:
        x = int(scipy.stats.binom.isf(power, n, rate))
        x += float(scipy.stats.binom.sf(x, n, rate)) >= power  # the most passes that are reached with this power
        if clopper_pearson(x, n, 1 - alpha)[0] >= bar:
            return n
        n = max(n + 1, int(n * 1.02))
    return None


def say(plan: Power) -> str:
    """The plan in one paragraph, for whoever sets up a gate or a probe."""
    p = plan
    attempts = "" if p.repeats == 1 else f" with {p.repeats} attempts each"
    wolf = (
        f"{p.n} {'case' if p.n == 1 else 'cases'} and a plain bar of {p.bar:.4g}: when the system truly passes {p.rate:.4g}, fewer than the bar pass in"
        f" {_share(p.cries_wolf)} of runs."
    )
    shown = (
        "A bar of 1 passes where every case passes, and says nothing about other questions."
        if p.bar == 1
        else "No number of cases shows that a rate is above the bar when it is not; the gate will mostly say undecided. Set the bar"
        " where it hurts, below the rate that you expect."
        if p.shows_bar is None
        else f"To show the bar in four runs of five takes {p.shows_bar:,} cases."
    )
    found = (
        "Compared with a baseline case by case, no drop is found in four runs of five: there are too few cases."
        if p.mde is None
        else f"Compared with a baseline case by case{attempts}, a drop of {100 * p.mde:.1f} points is found in four runs of five"
        f" by one rule over one risk category (where {p.discordance:.0%} of cases differ by chance between two runs); several"
        " share the level, and find a larger one."
    )
    margin = (
        f"`at_most = {p.margin:g}` passes an unchanged system in four runs of five from {p.shows_margin:,} cases on."
    )
    return f"{wolf} {shown} {found} {margin}"


def _share(chance: float) -> str:
    return "less than 1%" if chance < 0.005 else f"{chance:.0%}"
