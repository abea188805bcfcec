"""Isolated or systematic, and which part of the traffic carries the harm."""

from collections.abc import Sequence
from typing import Literal

from andon import stats
from andon.investigations.records import Part

__all__ = ["isolated_or_systematic", "rank_parts"]

Verdict = Literal["systematic", "isolated", "undecided"]

FEW = 5
"""Fewer harmful interactions than this are single cases, whatever the rate."""


def isolated_or_systematic(x: int, n: int, baseline: float) -> tuple[Verdict, str]:
    """Whether the rate after the onset is above the baseline, as (verdict, reason), by the exact 95 % interval.

    ``systematic`` when the interval lies above the baseline and there are at least five harmed interactions;
    ``isolated`` when the interval holds the baseline or there are fewer; ``undecided`` without traffic.
    """
    if n == 0:
        return "undecided", "no traffic after the onset; wait for some, or send probes"
    low, high = stats.clopper_pearson(x, n)
    figures = f"{x} of {n} harmed ({x / n:.1%}, 95 % interval {low:.1%} to {high:.1%}) against {baseline:.1%} before"
    if low > baseline and x >= FEW:
        return "systematic", figures
    if x < FEW:
        return "isolated", f"{figures}: fewer than {FEW} cases"
    return "isolated", f"{figures}: the interval holds the baseline"


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
