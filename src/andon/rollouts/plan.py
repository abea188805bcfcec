"""What a plan of two arms can and cannot see, before anybody is served: users, days, power, and the price of looking. Pure.

Every way of looking is put on one scale, the drift: the expected z of all planned data. `stats.group_sequential.crossing` says
with which probability a way finds a drift, so the drift that each way needs, its sample size and its smallest effect follow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from scipy import special

from andon.errors import InputError
from andon.evals.power import cases_for_drop
from andon.rollouts.effects import harm_limit
from andon.rollouts.findings import FEWEST
from andon.stats import difference
from andon.stats.group_sequential import bounds, crossing
from andon.stats.power import (
    days_for,
    power_of_means,
    power_of_rates,
    size_for_means,
    size_for_rates,
    smallest_rate_change,
)
from andon.stats.sequences import asymptotic_half_width

__all__ = [
    "DIFFERING",
    "LEAST_DAYS",
    "LEAST_USERS",
    "METHODS",
    "MOST_DAYS",
    "Asked",
    "Plan",
    "Way",
    "guard_margin",
    "guard_power",
    "plan_rollout",
]

LEAST_USERS, LEAST_DAYS = 1_000, 7
"""No A/B test promotes with fewer users in an arm, or before every day of the week was there."""

MOST_DAYS = 90
"""Nothing splits longer."""

METHODS = ("group sequential", "confidence sequence", "fixed")

MOST_LOOKS = 48
"""Looks of a canary that are computed: hours are put together where there are more."""

DIFFERING = 0.05
"""Share of golden cases that differ between two runs of the same version, unless measured."""

_SURE = 1 - 1e-12
_FARTHEST = 37.0

Looks = tuple[list[float], list[float]]
"""Shares of the planned information, and the boundaries on z there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is planned: an A/B test looks for a change that is worth having, a canary or a shadow for harm."""

    kind: Literal["ab", "canary", "shadow"] = "ab"
    metric: str
    base: float
    """The metric as it is now: a rate (of a canary: of harm), or a mean where `spread` is given."""
    effect: float
    """Above 0, in the metric's unit: the change that an A/B test shall see, the harm that a canary accepts."""
    up: bool = True
    """Whether the change goes up. Harm of a rate always does."""
    spread: float | None = None
    """Standard deviation of a user's value where the metric is a number."""
    per_day: float
    """New users a day, of both arms together."""
    arrivals: tuple[float, ...] = ()
    """Users who came within 1, 2, ... days of recent traffic, each counted once; after that new ones come as on the last of these days.
    Empty where `per_day` new ones come every day."""
    share: float = 0.5
    """Of the users, for the treatment."""
    days: float
    method: str = "group sequential"
    alpha: float = 0.05
    """Two-sided, so each boundary spends half of it."""
    harm_alpha: float | None = None
    """Of a canary: the one-sided error rate of its own metric's harm; all of alpha unless guardrails share it."""
    power: float = 0.8
    design_effect: float = 1.0
    """Divides users: below 1 where each has several interactions that differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What one way of looking at a plan needs and sees."""

    name: str
    needed: tuple[int, int]
    """Users of control and treatment for the power that is asked."""
    days: float
    """Until they have come; whole weeks of an A/B test."""
    power: float
    """With the users that come in the planned time."""
    smallest: float | None
    """Smallest change that is seen (of a canary: harm that is excluded) so in the planned time; None where none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a plan can and cannot see."""

    asked: Asked
    arrives: tuple[int, int]
    """Users of control and treatment that come in the planned time."""
    ways: tuple[Way, ...]
    """The one that is chosen first."""
    naive: float | None = None
    """Share of A/B tests without any effect in which p < alpha at one of the daily looks."""
    thumb: float
    """Power of the rule of thumb, one look: 1,000 users in each arm of an A/B test; a canary's time, one-sided at alpha, for
    harm of the size that it accepts."""
    harm: float | None = None
    """Of a canary: smallest harm for which the treatment is taken out in the planned time; None where none is. Any harm that is
    shown does so, unless it is surely smaller than `Asked.effect`; so this may be less than that."""
    golden: int | None
    """Cases with which the offline gate shows it; None for a number."""
    unshown: tuple[str, ...] = ()
    """Guardrails that are rather not shown to hold in the planned time, as a promotion needs (`guard_power` below a half)."""

    @property
    def chosen(self) -> Way:
        """How it will be looked at."""
        return self.ways[0]

    @property
    def sees(self) -> bool:
        """Whether it can show, in the planned time and with the power that is asked, what it is made to show."""
        return self.short is None and not self.unshown and self.chosen.power >= self.asked.power - 0.005

    @property
    def short(self) -> str | None:
        """Why the plan is too small to decide anything, whatever the effect; None where it is not."""
        if self.asked.kind != "ab":
            few = min(self.arrives)
            return f"{few:,} users in an arm are fewer than {FEWEST}" if few < FEWEST else None
        if self.asked.days < LEAST_DAYS:
            return f"{self.asked.days:.3g} days do not cover the days of a week, {LEAST_DAYS} are the least"
        least = min(self.arrives)
        return f"{least:,} users in an arm are fewer than {LEAST_USERS:,}" if least < LEAST_USERS else None


def plan_rollout(asked: Asked) -> Plan:
    """Compute what a plan sees: by one look at its end, by planned looks every day or hour, by looks whenever one likes.

    An A/B test sees a change when z of its primary metric crosses the boundary of its method (`stats.group_sequential.bounds`,
    `stats.sequences.asymptotic_half_width`), looked at every day. A canary passes when the upper end of the interval of an hourly
    look is at most the harm that it accepts, and is taken out when its exact z crosses `effects.harm_limit` before that. The
    first is computed for a treatment that changes nothing, from Newcombe's interval of the expected counts.

    Args:
        asked: the plan.

    Raises:
        InputError: a number is out of its range, or the rate cannot change by so much.
    """
    _check(asked)
    total = _arriving(asked)
    arrives = (math.floor(total * (1 - asked.share)), math.floor(total * asked.share))
    if min(arrives) < 2 * max(1.0, asked.design_effect) + 1:
        raise InputError(
            f"{arrives[0]:,} users for the control and {arrives[1]:,} for the treatment come in {asked.days:.3g} days, which are too few to "
            "compute anything from; give more days, another share, or ask the offline gate (`andon gate`)"
        )
    golden = None if asked.spread is not None else cases_for_drop(min(asked.effect, 0.99), DIFFERING, 0.05)
    if asked.kind != "ab":
        ways = (
            _way("every hour", asked, arrives, _looks(asked, "group sequential")),
            _way("once, at the end", asked, arrives, _looks(asked, "fixed")),
        )
        return Plan(
            asked=asked, arrives=arrives, ways=ways, thumb=_thumb_of_canary(asked, arrives),
            harm=_least_harm(asked, arrives), golden=golden,
        )  # fmt: skip
    order = (asked.method, *(m for m in METHODS if m != asked.method))
    times, fixed = _looks(asked, "group sequential")[0], _z(asked)
    naive = crossing(times, [fixed] * len(times), 0.0)
    return Plan(
        asked=asked, arrives=arrives, ways=tuple(_way(_NAMES[m], asked, arrives, _looks(asked, m)) for m in order),
        naive=float(naive.upper.sum() + naive.lower.sum()), thumb=_power(asked, (LEAST_USERS, LEAST_USERS)), golden=golden,
    )  # fmt: skip


def guard_power(asked: Asked, base: float, margin: float, part: float = 1.0) -> float:
    """Probability that a guardrail is shown not worse by more than its margin, in the planned time, if nothing changed.

    Without that a promotion is never earned, so a guardrail on rare traffic can block every one.

    Args:
        asked: the plan.
        base: rate of harm of the guarded metric now, where it is guarded.
        margin: of the guardrail.
        part: share of the users who belong to the risk category.
    """
    total = _arriving(asked) * part
    arms = (total * (1 - asked.share), total * asked.share)
    if min(arms) < FEWEST:
        return 0.0
    drift = _drift_of_pass(min(max(base, 0.0), 1.0), margin, arms, asked.design_effect)
    return float(crossing(*_looks(asked, asked.method), drift).upper.sum())


def guard_margin(asked: Asked, base: float, part: float = 1.0) -> float | None:
    """The smallest margin that a guardrail is shown to keep with the power that is asked, if nothing changed; else as `guard_power`."""
    total = _arriving(asked) * part
    sizes = [total * share / asked.design_effect for share in (1 - asked.share, asked.share)]
    if total * min(asked.share, 1 - asked.share) < FEWEST:
        return None
    found = _upper(min(max(base, 0.0), 1.0), sizes, _drift_needed(_looks(asked, asked.method), asked.power))
    return found if found < 1 else None


_NAMES = {
    "group sequential": "every day, group-sequential",
    "confidence sequence": "whenever you like, confidence sequence",
    "fixed": "once, at the end",
}


def _arriving(asked: Asked) -> float:
    """Users who come in the planned time, each counted once."""
    came = (0.0, *(asked.arrivals or (asked.per_day,)))
    whole = len(came) - 1
    beyond = max(0.0, asked.days - whole) * (came[-1] - came[-2])
    return float(np.interp(asked.days, range(len(came)), came)) + beyond


def _days_until(asked: Asked, users: float) -> float:
    """Days until so many users have come; infinite where the same ones come again and again."""
    came = (0.0, *(asked.arrivals or (asked.per_day,)))
    if users <= came[-1]:
        return float(np.interp(users, came, range(len(came))))
    new = came[-1] - came[-2]
    return len(came) - 1 + days_for(users - came[-1], new) if new > 0 else math.inf


def _looks(asked: Asked, method: str) -> Looks:
    """Looks and boundaries: every day of an A/B test, every hour of a canary."""
    count = round(asked.days * (1 if asked.kind == "ab" else 24))
    count = max(1, count if asked.kind == "ab" else min(MOST_LOOKS, count))
    times = [(k + 1) / count for k in range(count)]
    if method == "fixed":
        return [1.0], [_z(asked)]
    if method == "confidence sequence":
        return times, _sequence_limits(times, _arriving(asked), asked.alpha)
    return times, [float(b) for b in bounds(times, asked.alpha)]


def _sequence_limits(times: Sequence[float], n: float, alpha: float) -> list[float]:
    """Boundaries on z of the confidence sequence that is tightest at the planned size."""
    whole = max(100, round(n))
    sizes = [max(1, round(t * whole)) for t in times]
    return [asymptotic_half_width(1.0, k, alpha, n_opt=whole) * math.sqrt(k) for k in sizes]


def _way(name: str, asked: Asked, arrives: tuple[int, int], looks: Looks) -> Way:
    need = _drift_needed(looks, asked.power)
    needed = _size(asked, need)
    days = _days_until(asked, sum(needed))
    if asked.kind == "ab" and math.isfinite(days):
        days = float(LEAST_DAYS * math.ceil(max(days, LEAST_DAYS) / LEAST_DAYS - 1e-9))
    power = float(crossing(*looks, _drift(asked, arrives)).upper.sum())
    return Way(name=name, needed=needed, days=days, power=power, smallest=_smallest(asked, arrives, need))


def _drift_needed(looks: Looks, power: float) -> float:
    return float(
        scipy.optimize.brentq(lambda d: float(crossing(*looks, d).upper.sum()) - power, -15.0, 15.0, xtol=1e-7)
    )


def _drift(asked: Asked, arms: tuple[float, float]) -> float:
    """Expected z of what shall be shown, with all data of these arms."""
    if asked.kind == "ab":
        return _z(asked) + float(special.ndtri(min(max(_power(asked, arms), 1e-12), _SURE)))
    if asked.spread is not None:
        return asked.effect / _mean_se(asked, arms)
    return _drift_of_pass(asked.base, asked.effect, arms, asked.design_effect)


def _drift_of_pass(base: float, margin: float, arms: tuple[float, float], design_effect: float) -> float:
    """Standard errors at which Newcombe's interval of the expected counts just reaches the margin, if nothing changed."""
    sizes = [n / design_effect for n in arms]

    def room(c: float) -> float:
        return _upper(base, sizes, c) - margin

    if room(_FARTHEST) <= 0:
        return _FARTHEST
    return 0.0 if room(1e-6) >= 0 else float(scipy.optimize.brentq(room, 1e-6, _FARTHEST, xtol=1e-9))


def _upper(base: float, sizes: Sequence[float], c: float, harm: float = 0.0) -> float:
    """Upper end of Newcombe's interval of the difference, c standard errors wide, where the treatment harms by so much more."""
    (n1, n2), tail = sizes, 2 * float(special.ndtr(-c))
    x1, x2 = base * n1, min(base + harm, 1.0) * n2
    return difference(x1, n1, x2, n2, 1 - max(tail, 1e-15))[2]  # type: ignore[arg-type]  # effective counts


def _mean_se(asked: Asked, arms: tuple[float, float]) -> float:
    assert asked.spread is not None
    return asked.spread * math.sqrt(asked.design_effect * (1 / arms[0] + 1 / arms[1]))


def _power(asked: Asked, arms: tuple[float, float]) -> float:
    """Of a single look of an A/B test."""
    if asked.spread is not None:
        return power_of_means(asked.effect, asked.spread, *arms, asked.alpha, design_effect=asked.design_effect)
    there = asked.base + (asked.effect if asked.up else -asked.effect)
    return power_of_rates(asked.base, there, *arms, asked.alpha, design_effect=asked.design_effect)


def _thumb_of_canary(asked: Asked, arms: tuple[int, int]) -> float:
    one_sided: dict[str, float | bool] = {"two_sided": False, "design_effect": asked.design_effect}
    if asked.spread is not None:
        return power_of_means(asked.effect, asked.spread, *arms, asked.alpha, **one_sided)  # type: ignore[arg-type]
    return power_of_rates(asked.base, asked.base + asked.effect, *arms, asked.alpha, **one_sided)  # type: ignore[arg-type]


def _size(asked: Asked, drift: float) -> tuple[int, int]:
    """Users of control and treatment with which the drift is reached."""
    share, alone = asked.share, min(float(special.ndtr(drift - _z(asked))), _SURE)
    if asked.kind != "ab":
        low, high = 0.0, math.log(1e13)
        for _ in range(60):
            middle = (low + high) / 2
            total = math.exp(middle)
            enough = _drift(asked, (total * (1 - share), total * share)) >= drift
            low, high = (low, middle) if enough else (middle, high)
        total = math.exp(high)
        return math.ceil(total * (1 - share)), math.ceil(total * share)
    if asked.spread is not None:
        found = size_for_means(asked.effect, asked.spread, alone, asked.alpha, share, design_effect=asked.design_effect)
    else:
        there = asked.base + (asked.effect if asked.up else -asked.effect)
        found = size_for_rates(asked.base, there, alone, asked.alpha, share, design_effect=asked.design_effect)
    if min(found) >= LEAST_USERS:
        return found
    total = LEAST_USERS / min(share, 1 - share)
    return math.ceil(total * (1 - share) - 1e-9), math.ceil(total * share - 1e-9)


def _smallest(asked: Asked, arms: tuple[int, int], drift: float) -> float | None:
    if asked.spread is not None:  # the normal law, which is the t law for so many users
        return drift * _mean_se(asked, arms)
    if asked.kind != "ab":
        found = _upper(asked.base, [n / asked.design_effect for n in arms], drift)
        return found if found < 1 else None
    alone, way = min(float(special.ndtr(drift - _z(asked))), _SURE), "up" if asked.up else "down"
    change = smallest_rate_change(asked.base, *arms, alone, asked.alpha, way, design_effect=asked.design_effect)  # type: ignore[arg-type]
    return None if change is None else abs(change)


def _least_harm(asked: Asked, arms: tuple[int, int]) -> float | None:
    """Smallest harm that is taken out in the planned time with the power that is asked.

    It is shown with that power, and if nothing else were asked it would be found to be within what is accepted no more often than in
    the rest. Where a generous margin makes the second the larger one, harm is often shown first: four of five are then the least.
    """
    alpha = asked.harm_alpha or asked.alpha
    times, accepts = _looks(asked, "group sequential")
    shows = [harm_limit([(t, t) for t in times[: k + 1]], alpha) for k in range(len(times))]
    drift, passes = _drift_needed((times, shows), asked.power), _drift_needed((times, accepts), 1 - asked.power)
    if asked.spread is not None:
        se = _mean_se(asked, arms)
        return max(drift * se, asked.effect - passes * se)
    alone = min(float(special.ndtr(drift + special.ndtri(alpha))), _SURE)
    found = smallest_rate_change(
        asked.base, *arms, alone, alpha, "up", two_sided=False, design_effect=asked.design_effect
    )
    if found is None:
        return None
    sizes = [n / asked.design_effect for n in arms]

    def room(harm: float) -> float:
        return _upper(asked.base, sizes, max(passes, 1e-6), harm) - asked.effect

    most = min(asked.effect, 1 - asked.base)
    return found if room(found) >= 0 or room(most) < 0 else float(scipy.optimize.brentq(room, found, most, xtol=1e-9))


def _z(asked: Asked) -> float:
    return -float(special.ndtri(asked.alpha / 2))


def _check(asked: Asked) -> None:
    least = min(asked.arrivals, default=1.0)
    ranges = (
        ("the power", asked.power, 0.5 <= asked.power < 1, "from 0.5 to below 1"),
        ("alpha", asked.alpha, 0.0001 <= asked.alpha <= 0.2, "from 0.0001 to 0.2"),
        ("the share", asked.share, 0 < asked.share < 1, "between 0 and 1"),
        ("the number of users a day", asked.per_day, 0 < asked.per_day <= 1e10, "above 0 and at most 10 billion"),
        ("the number of users who came", least, 0 < least < math.inf, "above 0"),
        ("the number of days", asked.days, 0 < asked.days <= MOST_DAYS, f"above 0 and at most {MOST_DAYS}"),
        ("the effect", asked.effect, 0 < asked.effect < math.inf, "above 0 (the direction is given apart)"),
        ("the design effect", asked.design_effect, 0 < asked.design_effect <= 1e6, "above 0 and at most a million"),
    )
    for name, value, fits, allowed in ranges:
        if not fits:
            raise InputError(f"{name} is {value:g}; {allowed} is allowed")
    if asked.method not in METHODS:
        raise InputError(f"method {asked.method!r} is not known; {', '.join(METHODS)} are")
    if asked.spread is not None:
        if not (0 < asked.spread < math.inf and math.isfinite(asked.base)):
            raise InputError(
                f"the spread is {asked.spread:g}, of a mean of {asked.base:g}; a spread above 0 is allowed"
            )
        return
    if not 0 < asked.base < 1:
        raise InputError(
            f"the base is {asked.base:g}; a rate between 0 and 1 is allowed (of a metric that is a number, give its spread as well)"
        )
    way, room = ("rise", 1 - asked.base) if asked.up else ("fall", asked.base)
    if asked.effect > room:
        raise InputError(
            f"a rate of {asked.base:g} cannot {way} by {asked.effect:g}; at most {room:g} is possible (an effect is absolute: 0.005 is half a point)"
        )
