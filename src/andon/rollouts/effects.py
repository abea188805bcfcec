"""What two arms show on one metric at one look: the effect, its noise, and the interval at a look's boundary. Pure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import scipy
from scipy import special

from andon.rollouts.arms import Pair
from andon.stats import difference
from andon.stats.group_sequential import bounds
from andon.stats.sequences import asymptotic_half_width
from andon.stats.two_sample import UserSums, clustered, cuped, design_effects

__all__ = ["FARTHEST", "Counts", "Seen", "boundary", "harm_limit", "mean_effect", "rate_effect"]

Counts = tuple[float, float, float, float]
"""Events and size of control and treatment, each arm's divided by its design effect."""

FARTHEST = 7.5
"""Boundary in standard errors from which nothing is said: no interval is computed there, and no data reach it by chance."""

CLOSEST = 5e-4
"""Looks nearer to each other than this share of what is in are one look (`bounds` refuses half of it)."""

_SMALLEST = 1e-290
"""Probability below which only its logarithm is exact."""

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
    counts: Counts | None = None
    """None for a mean."""
    removed: float = 0.0
    """Share of the variance that users' past explains."""

    @property
    def z(self) -> float:
        """The effect in standard errors; 0 where nothing varies."""
        return self.estimate / self.se if self.se else 0.0

    @property
    def exact_z(self) -> float:
        """The z of the exact probability that so many or more of all events are the treatment's, if rates are alike; of a mean `z`.

        Given all events, those of the treatment are hypergeometric. With few events this is smaller than `z`, which calls harm too often
        in a small arm. Effective counts are rounded.

        Source: Fisher, *The Design of Experiments* (1935), chapter 2.
        """
        if self.counts is None:
            return self.z
        x1, n1, x2, n2 = (round(count) for count in self.counts)
        drawn = x2 - 1, n1 + n2, x1 + x2, n2
        p = float(scipy.stats.hypergeom.sf(*drawn))
        return -float(special.ndtri(p) if p > _SMALLEST else special.ndtri_exp(scipy.stats.hypergeom.logsf(*drawn)))

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

    Counts are divided by each arm's design effect (`andon.stats.two_sample.design_effects`), and the standard error is that of the
    pooled rate: a small arm in which few events came would believe its own variance, which is too small.
    """
    control, treatment = pair
    if not (control.n > 0 and treatment.n > 0):
        return None
    sums = [(arm.units, arm.x, arm.n, arm.xx, arm.nn, arm.xn) for arm in pair]
    # weights make the sum of weights larger than what was seen
    by, of = (max(d, arm.n / arm.rows) for d, arm in zip(design_effects(*sums), pair, strict=True))
    x1, n1, x2, n2 = control.x / by, control.n / by, treatment.x / of, treatment.n / of
    half = min(0.5, 0.5 / (n1 + n2))  # of an event: where none came, some noise is left
    p = min(max((x1 + x2) / (n1 + n2), half), 1 - half)
    se = math.sqrt(p * (1 - p) * (1 / n1 + 1 / n2))
    plain = Seen(x1 / n1, x2 / n2, x2 / n2 - x1 / n1, se, (min(x1, n1), n1, min(x2, n2), n2))
    return _less_noise(plain, past)


def mean_effect(pair: Pair, past: tuple[UserSums, UserSums] | None = None) -> Seen | None:
    """Difference of two means over interactions whose units are users; None where an arm has no interaction.

    The variance is the larger one of Welch's and of that with one variance of both arms. Of skewed values (costs, times) a small arm
    that happened to get few large ones has a mean and a variance that are both too small; Welch's test believes it, and calls it better.
    """
    if any(not arm.n > 0 for arm in pair):
        return None
    control, treatment = (clustered(a.units, a.x, a.n, a.xx, a.nn, a.xn) for a in pair)
    n1, n2 = control.n, treatment.n
    pooled = (control.variance * (n1 - 1) + treatment.variance * (n2 - 1)) / max(1.0, n1 + n2 - 2)
    variance = max(control.variance / n1 + treatment.variance / n2, pooled * (1 / n1 + 1 / n2))
    se = math.sqrt(variance) if variance > 0 and min(control.n, treatment.n) >= 2 else None
    return _less_noise(Seen(control.mean, treatment.mean, treatment.mean - control.mean, se), past)


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
    if not times or (len(times) == len(earlier) and not last):
        return math.inf
    # a last look to which nothing was added reads once more what the look before it read, at what is left of alpha
    clock = [*times[:-1], 1.0] if last and times[-1] < 1 else times
    return float(bounds(times, alpha, clock=clock)[-1])


def harm_limit(looks: Sequence[tuple[float, float]], alpha: float) -> float:
    """Standard errors beyond which harm is shown at this look, one-sided alpha over all looks; infinite where none can be.

    The error rate is spent by the clock, by the square of the planned time that has passed: a canary is planned for a time, and who is
    harmed at its first hour shall not wait for the last.

    Args:
        looks: share of the planned time, and what is in (in any unit), at each look, the present one last.
        alpha: one-sided error rate.
    """
    clock: list[float] = []
    came: list[float] = []
    for share, information in looks:
        if came and information <= came[-1] * (1 + CLOSEST):
            clock[-1] = share  # nothing came: the same is read again, as at one look
        elif information > 0:
            clock.append(share)
            came.append(information)
    return float(bounds(came, 2 * alpha, "square", clock=clock)[-1]) if came else math.inf


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
