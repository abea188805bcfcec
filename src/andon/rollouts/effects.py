"""What two arms show on one metric at one look: the effect, its noise, and the interval at a look's boundary. Pure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy import special

from andon.rollouts.arms import Pair
from andon.stats import difference
from andon.stats.group_sequential import bounds, crossing
from andon.stats.sequences import asymptotic_half_width
from andon.stats.two_sample import Moments, UserSums, clustered, cuped, moments, user_design_effect

__all__ = ["FARTHEST", "Seen", "Told", "boundary", "mean_effect", "rate_effect", "told_next"]

Told = tuple[float, float, float, float]
"""Events and size of control and treatment, divided by the design effect."""

FARTHEST = 7.5
"""Boundary in standard errors from which nothing is said: no interval is computed there, and no data reach it by chance."""

CLOSEST = 5e-4
"""Looks nearer to each other than this share of what is in are one look (`bounds` refuses half of it)."""

_SCALE = 10**6
"""Planned information in the whole numbers that `asymptotic_half_width` takes."""


class Seen(NamedTuple):
    """Treatment less control on one metric, with its standard error if there were no effect."""

    control: float
    treatment: float
    estimate: float
    """After adjustment, where there was one."""
    se: float | None
    """None where nothing varies."""
    design_effect: float = 1.0
    counts: Told | None = None
    """None for a mean."""
    removed: float = 0.0
    """Share of the variance that users' past explains."""

    @property
    def z(self) -> float:
        """The effect in standard errors; 0 where nothing varies."""
        return self.estimate / self.se if self.se else 0.0

    def interval(self, c: float) -> tuple[float, float] | None:
        """The interval at a boundary of c standard errors: Newcombe's for a rate, else ``estimate -+ c se``; None beyond `FARTHEST`."""
        if not c <= FARTHEST:
            return None
        if self.counts is not None and not self.removed:
            x1, n1, x2, n2 = self.counts
            _, low, high = difference(x1, n1, x2, n2, 1 - 2 * float(special.ndtr(-c)))  # type: ignore[arg-type]
            return low, high
        return None if self.se is None else (self.estimate - c * self.se, self.estimate + c * self.se)


def rate_effect(pair: Pair, past: tuple[UserSums, UserSums] | None = None) -> Seen | None:
    """Difference of two rates whose units are users; None where an arm has no interaction.

    Counts are divided by the design effect of both arms together, and the standard error is that of the pooled rate: a small arm in
    which few events came would believe its own variance, which is too small (`andon.stats.two_sample`).
    """
    control, treatment = pair
    if not (control.n > 0 and treatment.n > 0):
        return None
    both = control + treatment
    deff = max(_user_effect(pair), both.n / both.rows)  # weights make the sum of weights larger than what was seen
    x1, n1, x2, n2 = (count / deff for count in (control.x, control.n, treatment.x, treatment.n))
    half = min(0.5, 0.5 / (n1 + n2))  # of an event: where none came, some noise is left
    p = min(max((x1 + x2) / (n1 + n2), half), 1 - half)
    se = math.sqrt(p * (1 - p) * (1 / n1 + 1 / n2))
    plain = Seen(x1 / n1, x2 / n2, x2 / n2 - x1 / n1, se, deff, (min(x1, n1), n1, min(x2, n2), n2))
    return _less_noise(plain, past)


def mean_effect(pair: Pair, past: tuple[UserSums, UserSums] | None = None) -> Seen | None:
    """Difference of two means over interactions whose units are users; None where an arm has no interaction."""
    if any(not arm.n > 0 for arm in pair):
        return None
    control, treatment = (clustered(a.units, a.x, a.n, a.xx, a.nn, a.xn) for a in pair)
    variance = control.variance / control.n + treatment.variance / treatment.n
    se = math.sqrt(variance) if variance > 0 and min(control.n, treatment.n) >= 2 else None
    return _less_noise(Seen(control.mean, treatment.mean, treatment.mean - control.mean, se), past)


def told_next(seen: Seen | None, told: Told | None) -> Told | None:
    """What the e-process has been told after this look: never less than before, and no more events than interactions.

    An increment is what the effective counts grew by. Users who come back raise the design effect, so they add little; where the
    effective counts did not grow, the look adds nothing, and a later one makes up for it.
    """
    before = told or (0.0, 0.0, 0.0, 0.0)
    if seen is None or seen.counts is None:
        return told
    sizes = [max(0.0, now - was) for now, was in zip(seen.counts[1::2], before[1::2], strict=True)]
    events = [
        min(max(0.0, now - was), size) for now, was, size in zip(seen.counts[0::2], before[0::2], sizes, strict=True)
    ]
    grown = (events[0], sizes[0], events[1], sizes[1])
    a, b, c, d = (was + more for was, more in zip(before, grown, strict=True))
    return a, b, c, d


def _spending_times(fractions: Sequence[float | None]) -> list[float]:
    """The looks that spend: each must have added information to the one before."""
    times: list[float] = []
    for fraction in fractions:
        if fraction is not None and fraction > 0 and fraction > (times[-1] if times else 0.0) * (1 + CLOSEST):
            times.append(fraction)
    return times


def boundary(method: str, fractions: Sequence[float | None], information: float, alpha: float, *, last: bool) -> float:
    """Standard errors beyond which an effect is shown at this look, two-sided alpha over all looks; infinite where none can be.

    Args:
        method: of the experiment.
        fractions: share of the plan at each look, the present one last; None where nothing could be read.
        information: share of the planned information that is in, which may exceed 1.
        alpha: two-sided error rate.
        last: whether the experiment ran its planned time: what is left of alpha may be spent.
    """
    if method == "fixed":
        return -float(special.ndtri(alpha / 2)) if last else math.inf
    if method == "confidence sequence":
        n = max(1, round(information * _SCALE))
        return asymptotic_half_width(1.0, n, alpha, n_opt=_SCALE) * math.sqrt(n)
    earlier = _spending_times(fractions[:-1])
    times = _spending_times(fractions)
    if len(times) == len(earlier):
        return math.inf
    limits = [float(c) for c in bounds(times, alpha)]
    return _all_that_is_left(times, limits, alpha) if last and times[-1] < 1 else limits[-1]


def _all_that_is_left(times: list[float], limits: list[float], alpha: float) -> float:
    """The boundary at which both sides together reach alpha, though less came than was planned."""
    low, high = 0.0, min(limits[-1], FARTHEST)
    for _ in range(30):
        middle = (low + high) / 2
        spends = float(crossing(times, [*limits[:-1], middle], 0.0).upper.sum()) > alpha / 2
        low, high = (middle, high) if spends else (low, middle)
    return high


def _user_effect(pair: Pair) -> float:
    both = pair[0] + pair[1]
    if both.units < 2 or both.n < 1 or not 0 < both.x < both.n:
        return 1.0
    by_user: Moments = clustered(both.units, both.x, both.n, both.xx, both.nn, both.xn)
    return max(1.0, user_design_effect(by_user, moments(both.n, both.x, both.x)) or 1.0)


_WORTH = 0.01
"""Share of the variance below which users' past is left alone."""


def _less_noise(seen: Seen, past: tuple[UserSums, UserSums] | None) -> Seen:
    adjusted = None if past is None else cuped(*past)
    if past is None or adjusted is None or seen.se is None or adjusted.removed < _WORTH:
        return seen
    plain = past[1].y / past[1].users - past[0].y / past[0].users
    moved = adjusted.treatment.mean - adjusted.control.mean - plain
    return seen._replace(
        estimate=seen.estimate + moved, se=seen.se * math.sqrt(1 - adjusted.removed), removed=adjusted.removed
    )
