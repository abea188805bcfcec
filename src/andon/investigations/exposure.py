"""Who saw a change, and what that says: harm among the exposed against harm among the others in the same hours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from andon.monitors.verdicts import percent

__all__ = ["MOST", "NEVER", "SIDES", "TOGETHER", "Bin", "Exposure", "growth", "sharpness", "weigh_exposure"]

NEVER = 3e-7
"""Factor of a change that the failing traffic never saw: below 1 % beside "no own change", whatever speaks for it."""

MOST = 100.0
"""A contrast counts at most this much: whoever saw this change may have seen another that no log holds."""

SEEN_BEFORE = 0.0005
"""Factor of a version that most traffic had before the change was made: the record and the traffic disagree."""

WANDER = 2_000.0
"""Interactions that the baseline is taken to be known from when exposed and others are compared."""

BESIDE = 0.1
"""Factor of "those who saw it fare worse than the rest, though the rest left the baseline too": two causes at once are rarer."""

TOGETHER = 2.0
"""Factor of a version that all traffic saw since the onset and little of it before: it moved, but nothing contrasts it."""


SHAPE = 20.0
"""What the course of the harm says counts at most this much: harm may grow because the traffic does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Harm and traffic of one stretch of time, of those who saw the new version and of the rest."""

    exposed_x: float
    exposed_n: float
    other_x: float
    other_n: float


SIDES = ("exposed_x", "exposed_n", "other_x", "other_n")
"""The counts of a `Bin`, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Harm among the affected traffic after the onset that saw the new version, and among the rest."""

    exposed_x: float
    exposed_n: float
    other_x: float
    other_n: float
    before_share: float
    """Share of the traffic before the change (and before the onset) that saw the new version already."""
    bins: tuple[Bin, ...] = ()
    """The same by stretches of time, so that hours are compared with themselves; empty: one stretch."""


def weigh_exposure(
    exposure: Exposure | None, version: str | None, baseline: float
) -> tuple[float, list[str], list[str]]:
    """Likelihood factor of what traffic shows of a change, and the words for and against.

    Args:
        exposure: who saw it; None where no field tells.
        version: the new version, for the words.
        baseline: rate of harm before.
    """
    if exposure is None:
        return 1.0, [], ["traffic does not show who saw it"]
    if exposure.exposed_n + exposure.other_n == 0:
        return 1.0, [], ["there is no traffic since the onset that could show who saw it"]
    if exposure.before_share > 0.5:
        seen = f"{percent(exposure.before_share)} of the traffic saw {version} before this change"
        return SEEN_BEFORE, [], [seen]
    ratio = max(_contrast(exposure, baseline), BESIDE * _difference(exposure))
    harmed = exposure.exposed_x + exposure.other_x
    if harmed and exposure.exposed_x < 0.02 * harmed:
        return ratio, [], [f"only {percent(exposure.exposed_x / harmed)} of the failing traffic saw {version}"]
    words = []
    if harmed:
        words.append(
            f"{percent(exposure.exposed_x / harmed)} of the failing traffic saw {version}; "
            f"{percent(exposure.before_share)} of the traffic had before"
        )
    if min(exposure.exposed_n, exposure.other_n) == 0:
        return ratio * (TOGETHER if exposure.other_n == 0 else 1), words, []
    compared = (
        f"harm {percent(exposure.exposed_x / exposure.exposed_n)} among those who saw it, "
        f"{percent(exposure.other_x / exposure.other_n)} among the others at the same time"
    )
    return ratio, [*words, compared] if ratio >= 1 else words, [] if ratio >= 1 else [compared]


def growth(course: Sequence[tuple[float, float]], baseline: float) -> float:
    """Likelihood ratio of harm that grows since the onset against harm that is there at once, bounded to 1/`SHAPE` .. `SHAPE`.

    Args:
        course: (harm, traffic) of equal stretches of time since the onset.
        baseline: rate of harm before.

    ``at once``: one fitted rate, never below the baseline. ``grows``: a line from the baseline at the onset to a fitted end.
    """
    told = [(x, n, (k + 0.5) / len(course)) for k, (x, n) in enumerate(course) if n > 0]
    if len(told) < 3:
        return 1.0
    base = min(max(baseline, 1e-3), 1 - 1e-3)
    level = min(_fitted(math.fsum(x for x, _, _ in told), math.fsum(n for _, n, _ in told), base), 1 - 1e-6)
    at_once = math.fsum(_log_likelihood(x, n, level) for x, n, _ in told)
    ends = (base + (1 - base) * (k / 40) ** 2 for k in range(40))
    grows = max(math.fsum(_log_likelihood(x, n, base + (end - base) * t) for x, n, t in told) for end in ends)
    return math.exp(min(max(grows - at_once, -math.log(SHAPE)), math.log(SHAPE)))


def _contrast(e: Exposure, baseline: float) -> float:
    """Likelihood ratio of "only the exposed left the baseline" against "all of them did", bounded to `NEVER` .. `MOST`.

    See `_log_contrast`.
    """
    return math.exp(min(max(_log_contrast(e, baseline), math.log(NEVER)), math.log(MOST)))


def sharpness(e: Exposure | None, baseline: float) -> float:
    """Logarithm of the contrast without its upper bound, to compare two contrasts with each other; 0 where there is none.

    The bound stands for causes that no log holds. Between two changes that both have a contrast it says nothing: they explain
    the same counts, and the one whose exposed fare worse and whose others fare better explains the contrast of the other.
    """
    if e is None or min(e.exposed_n, e.other_n) == 0 or e.before_share > 0.5:
        return 0.0
    return max(0.0, _log_contrast(e, baseline))


def _log_contrast(e: Exposure, baseline: float) -> float:
    """Log likelihood ratio of "only the exposed left the baseline" against "all of them did".

    In every bin each side has one free rate, fitted and never below the baseline: that of the exposed, and the common one.
    So a share of exposed that grows with the harm is compared hour by hour, and a rate that moves for all is no contrast.
    The others' rate is the baseline as if known from `WANDER` interactions only (beta-binomial), because a baseline itself
    wanders: a fixed one would acquit the true cause wherever the others moved by a hair among millions.
    """
    base = min(max(baseline, 1e-3), 1 - 1e-3)
    log_ratio = _log_wandering(e.other_x, e.other_n, base)
    bins = e.bins or (Bin(exposed_x=e.exposed_x, exposed_n=e.exposed_n, other_x=e.other_x, other_n=e.other_n),)
    for b in bins:
        common = _fitted(b.exposed_x + b.other_x, b.exposed_n + b.other_n, base)
        own = _fitted(b.exposed_x, b.exposed_n, base)
        log_ratio += _log_likelihood(b.exposed_x, b.exposed_n, own) - _log_likelihood(b.exposed_x, b.exposed_n, common)
        log_ratio -= _log_likelihood(b.other_x, b.other_n, common)
    return log_ratio


def _difference(e: Exposure) -> float:
    """Likelihood ratio of "those who saw it fare worse than the rest of their time" against "all fare alike", 0 .. `MOST`.

    ``exp(z^2 / 2) / sqrt(n)`` with Cochran's z over the bins (Biometrics 10 (1954), 417-451), so hours are compared with
    themselves, and n of the smaller side (BIC: the price of a rate of their own). The rest may have left the baseline as well:
    then another cause stands beside this one.
    """
    excess = variance = 0.0
    bins = e.bins or (Bin(exposed_x=e.exposed_x, exposed_n=e.exposed_n, other_x=e.other_x, other_n=e.other_n),)
    for b in bins:
        n, x = b.exposed_n + b.other_n, b.exposed_x + b.other_x
        if n > 1:
            excess += b.exposed_x - x * b.exposed_n / n
            variance += b.exposed_n * b.other_n * x * (n - x) / (n * n * (n - 1))
    if excess <= 0 or variance <= 0:
        return 0.0
    log_ratio = excess * excess / variance / 2 - 0.5 * math.log(max(1.0, min(e.exposed_n, e.other_n)))
    return math.exp(min(log_ratio, math.log(MOST)))


def _fitted(x: float, n: float, least: float) -> float:
    """The rate of x of n, a little towards the middle, and at least this."""
    return max((x + 0.5) / (n + 1), least)


def _log_likelihood(x: float, n: float, p: float) -> float:
    return x * math.log(p) + (n - x) * math.log(1 - p)


def _log_wandering(x: float, n: float, p: float) -> float:
    """Log likelihood of x of n (without the binomial coefficient) under a beta of mean p and size `WANDER`."""
    a, b = p * WANDER, (1 - p) * WANDER
    fit = math.lgamma(x + a) + math.lgamma(n - x + b) - math.lgamma(n + a + b)
    return fit - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)
