"""Which charts there are: metric x direction x part of the traffic. Made by themselves from what comes in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from andon.monitors.records import Monitor
from andon.scores import LABELS, Harm, Scorer
from andon.traffic import SEGMENTS

__all__ = ["Metric", "gather", "metrics_of", "parts_of", "tells", "watched"]

NOT_HIGH = frozenset(("low", "medium", "minimal", "limited", "standard", "normal", "none"))
"""Risk categories in which fewer refusals are no harm."""


class Metric:
    """What a chart must know of a metric: its name, kind, directions that harm and what is lost."""

    __slots__ = ("directions", "harm", "kind", "name")

    def __init__(self, name: str, kind: str, bad: str, harm: Harm) -> None:
        self.name, self.kind, self.harm = name, kind, harm
        self.directions = ("up", "down") if bad == "both" else (bad,)

    def harm_of(self, direction: str) -> Harm:
        """What is lost when the metric moves this way; fewer refusals are a matter of safety, more of usefulness."""
        return "safety" if self.name == "refusal" and direction == "down" else self.harm


def metrics_of(scorers: Sequence[Scorer]) -> list[Metric]:
    """The metrics of the scorers and those that people give, in their order."""
    given = [
        Metric(name, "number" if name == "rating" else "binary", bad, harm)
        for name, (_, bad, harm, _) in LABELS.items()
    ]
    return [Metric(s.name, s.kind, s.bad, s.harm) for s in scorers] + given


def parts_of(cell: Mapping[str, str | None]) -> list[tuple[tuple[str, str], ...]]:
    """Parts of the traffic that a cell of segment values belongs to: all of it, each segment, each pair of segments."""
    present = [(k, v) for k in SEGMENTS if (v := cell.get(k)) is not None]
    return [(), *((p,) for p in present), *combinations(present, 2)]


def watched(metric: str, direction: str, scope: Iterable[tuple[str, str]]) -> bool:
    """Whether a move of the metric in this direction harms in this part of the traffic."""
    if metric == "refusal" and direction == "down":
        return dict(scope).get("risk_category", "").casefold() not in NOT_HIGH
    return True


def tells(metric: str, direction: str, baseline_rate: float) -> bool:
    """Whether a chart with this baseline can tell of harm: fewer refusals harm only where refusing was the rule."""
    return not (metric == "refusal" and direction == "down" and baseline_rate > 0.5)


def gather(
    cells: Sequence[tuple[str, str, Mapping[str, str | None]]], values: NDArray[np.float64], metric: str, direction: str
) -> dict[Monitor, NDArray[np.float64]]:
    """Sum the rows of cells into charts.

    Args:
        cells: app, environment and segment values of each row.
        values: one row of numbers per cell, shape (rows, c).
        metric: name of the metric.
        direction: ``up`` or ``down``.

    Returns:
        For every chart the stacked rows that belong to it, shape (its rows, c).
    """
    members: dict[Monitor, list[int]] = defaultdict(list)
    for row, (app, environment, cell) in enumerate(cells):
        for scope in parts_of(cell):
            if watched(metric, direction, scope):
                key = Monitor(app=app, environment=environment, metric=metric, direction=direction, scope=scope)
                members[key].append(row)
    return {key: values[rows] for key, rows in members.items()}
