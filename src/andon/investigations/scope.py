"""Isolated or systematic, and which part of the traffic carries the harm."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from andon import stats
from andon.investigations.records import Part
from andon.monitors.verdicts import percent

__all__ = ["Limit", "Users", "Verdict", "design_effect", "isolated_or_systematic", "rank_parts"]

Verdict = Literal["systematic", "isolated", "undecided"]

FEW = 5
"""Fewer harmful interactions than this are single cases, whatever the rate."""

DOUBLE = 2.0
"""A rate this many times the limit must be excluded before harm is called isolated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The rate that harm is held against."""

    rate: float
    source: str = ""
    """Name of the objective that sets it; empty for the baseline."""
    counted: tuple[int, int] | None = None
    """Of a baseline: harmed interactions and interactions before, which the text shows in place of the rate."""

    @property
    def text(self) -> str:
        """The limit in words, to stand behind "against"."""
        if self.source:
            return f"at most {percent(self.rate)} by {self.source}"
        if self.counted is None:
            return f"{percent(self.rate)} before"
        x, n = self.counted
        return f"{x:,} of {n:,} before ({percent(x / n)})" if n else "one half, for nothing is known of the time before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Harm and interactions since the onset by user; those that name nobody are counted apart."""

    x: NDArray[np.float64]
    """Harmed interactions of each user, shape (users,)."""
    n: NDArray[np.float64]
    alone_x: float = 0.0
    """Harmed interactions that name no user: each is taken for another person's."""
    alone_n: float = 0.0
    name: str = "users"
    """``users``, or ``sessions`` where no user is named."""


def isolated_or_systematic(x: int, n: int, limit: Limit, *, users: Users | None = None) -> tuple[Verdict, str]:
    """Whether the rate after the onset is above its limit, as (verdict, reason), by the exact 95 % interval.

    ``systematic`` when the interval lies above the limit and there are at least five harmed interactions; ``isolated``
    when there are fewer, or when the interval holds the limit and excludes twice the limit; ``undecided`` without traffic,
    or when the interval holds both. Interactions of one user resemble each other: x and n are divided by the design effect
    (`design_effect`) first, so that two hundred failures of one user among many count as one case.

    Args:
        x: harmed interactions; with sampling, as many as the rows are evidence for.
        n: interactions.
        limit: the rate before, or an objective's.
        users: who was hit, where traffic says so.

    Source: effective sample size: Korn & Graubard, Survey Methodology 24 (1998), 193-201, without their degrees-of-freedom
    factor; interval: `andon.stats.clopper_pearson`.
    """
    if n == 0:
        return "undecided", "no traffic after the onset; wait for some, or send probes"
    effect = 1.0 if users is None else design_effect(users)
    cases, of = round(x / effect), max(1, round(n / effect))
    low, high = stats.clopper_pearson(min(cases, of), of)
    interval = f"95 % interval {percent(low)} to {percent(high)}"
    figures = f"{x:,} of {n:,} harmed ({percent(x / n)}, {interval}) against {limit.text}{_hit(users, effect)}"
    if cases < FEW:
        gathered = "" if x < FEW else f"as the harm gathers, it is evidence for {_cases(cases)}, "
        return "isolated", f"{figures}: {gathered}fewer than {FEW} cases"
    if low > limit.rate:
        return "systematic", figures
    name = limit.source or "the baseline"
    if high < DOUBLE * limit.rate:
        return "isolated", f"{figures}: the interval {'lies below' if high < limit.rate else 'holds'} {name}"
    more = math.ceil(_needed(limit.rate) * effect)
    return (
        "undecided",
        f"{figures}: the interval holds {name}, and twice as much too; about {more:,} interactions would tell",
    )


def design_effect(users: Users) -> float:
    """By how much the variance of a rate grows because interactions come in users, at least 1.

    ``sum over users (x_u - p n_u)^2 / (n p q)``, with ``p = x / n``; an interaction that names nobody is a user of its own.
    1 where all or none are harmed, and where one user made all interactions: nothing can be told then.

    Source: linearised variance of a ratio, Cochran, *Sampling Techniques* (3rd ed. 1977), section 6.3.
    """
    x, n = float(users.x.sum()) + users.alone_x, float(users.n.sum()) + users.alone_n
    if n <= 0 or not 0 < x < n:
        return 1.0
    p = x / n
    between = float(((users.x - p * users.n) ** 2).sum())
    alone = users.alone_x * (1 - p) ** 2 + (users.alone_n - users.alone_x) * p**2
    return max(1.0, (between + alone) / (n * p * (1 - p)))


def _hit(users: Users | None, effect: float) -> str:
    """Who was hit, in words."""
    if users is None or not len(users.x):
        return ""
    hit = int((users.x > 0).sum())
    among = f"; {hit:,} of {len(users.x):,} {users.name} were hit"
    return among + (f" (design effect {effect:.3g})" if effect >= 1.05 else "")


def _cases(cases: int) -> str:
    return "one" if cases <= 1 else f"{cases}"


def _needed(rate: float) -> float:
    """Interactions at which the 95 % interval of a rate as high as the limit excludes twice the limit, about."""
    return 3.84 * (2 * rate) * (1 - min(2 * rate, 0.999)) / rate**2


def rank_parts(rows: Sequence[tuple[str, str, int, int, int, int]], limit: int = 12) -> tuple[Part, ...]:
    """Parts of the traffic by how surely harm rose in them: by the lower end of the difference's interval.

    Args:
        rows: (field, value, harm before, n before, harm after, n after).
        limit: how many are returned.
    """
    parts = [_part(*row) for row in rows if row[5] > 0]
    return tuple(sorted(parts, key=lambda p: (-p.low, -p.after_n, p.field, p.value))[:limit])


def _part(name: str, value: str, x1: int, n1: int, x2: int, n2: int) -> Part:
    low, high = (-1.0, 1.0) if n1 == 0 else stats.difference(x1, n1, x2, n2)[1:]
    return Part(field=name, value=value, before_x=x1, before_n=n1, after_x=x2, after_n=n2, low=low, high=high)
