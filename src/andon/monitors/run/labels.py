"""The rate of harm by what people say, with the scores of everything as its proxy."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from andon.errors import InputError
from andon.monitors.history import HOUR_US
from andon.monitors.truth import GivenLabel, ScoreCell, ScoreSums, Truth, truth_of
from andon.scores import LABELS, Scorer
from andon.scores.rows import PROBE
from andon.store import Histogram, Rollup, Slice, Span, Warehouse, Where

__all__ = ["rate_from_labels"]

DAY_US = 24 * HOUR_US

AT_ONCE = 5_000
"""Interactions whose score is looked up in one plan."""


def rate_from_labels(
    warehouse: Warehouse,
    scorers: Sequence[Scorer],
    rng: np.random.Generator,
    *,
    app: str,
    environment: str,
    metric: str,
    proxy: str,
    span: Span,
    now_us: int,
    level: float = 0.95,
    half_width: float | None = None,
    plan: int = 100,
) -> tuple[Truth, int]:
    """The rate of harm by what people say, and how many of their labels had no score to go with them.

    Interactions are those of the span; labels of them count whenever they were given until now, the last one of each
    interaction. A rating below one half is harm; a follow-up, a correction or an abandonment is. Rows join by
    ``interaction_id``, because feedback is a row of its own.

    Raises:
        InputError: the metric is not one that people give, or no scorer makes the proxy.
    """
    if metric not in LABELS:
        raise InputError(f"{metric!r} is no metric that people give; {', '.join(LABELS)} are")
    by_name = {s.name: s for s in scorers}
    if proxy not in by_name:
        raise InputError(f"{proxy!r} is no score; there are: {', '.join(sorted(by_name))}")
    worst: Literal["up", "down"] = "down" if by_name[proxy].bad == "down" else "up"
    scope = (
        Where(column="app", op="eq", value=app),
        Where(column="environment", op="eq", value=environment),
        Where(column="source", op="ne", value=PROBE),
    )
    scored = (*scope, Where(column=proxy, op="not_null"))
    bins = warehouse.run(Histogram(table="scores", metric=proxy, keys=("weight",), span=span, where=scope)).to_pylist()
    sums = warehouse.run(
        Rollup(table="scores", metrics=(proxy,), keys=("weight",), span=span, where=scored)
    ).to_pylist()
    harm = _harm_by_label(
        warehouse, scope, metric, Span(start_us=span.start_us - DAY_US, end_us=max(now_us, span.end_us) + DAY_US)
    )
    labels = _with_score(warehouse, harm, scored, proxy, span)
    found = truth_of(
        [ScoreCell(bin=r["bin"], weight=_weight(r), n=r["n"]) for r in bins],
        [
            ScoreSums(weight=_weight(r), n=r[f"{proxy}.n"], total=r[f"{proxy}.sum"], squares=r[f"{proxy}.sumsq"])
            for r in sums
        ],
        labels,
        rng,
        worst=worst,
        level=level,
        half_width=half_width,
        plan=plan,
    )
    return found, len(harm) - len(labels)


def _harm_by_label(warehouse: Warehouse, scope: tuple[Where, ...], metric: str, span: Span) -> dict[str, bool]:
    """Whether people call it harm, by interaction: their last word."""
    given = (*scope, Where(column=metric, op="not_null"), Where(column="interaction_id", op="not_null"))
    rows = warehouse.run(Slice(table="scores", columns=("interaction_id", metric), span=span, where=given)).to_pylist()
    rising = LABELS[metric][1] == "up"
    return {r["interaction_id"]: (r[metric] >= 0.5) == rising for r in rows}


def _with_score(
    warehouse: Warehouse, harm: Mapping[str, bool], scored: tuple[Where, ...], proxy: str, span: Span
) -> list[GivenLabel]:
    """The labels whose interaction lies in the span and has the score."""
    ids, found = sorted(harm), {}
    for at in range(0, len(ids), AT_ONCE):
        among = Where(column="interaction_id", op="in", value=tuple(ids[at : at + AT_ONCE]))
        columns = ("interaction_id", proxy, "weight")
        for r in warehouse.run(Slice(table="scores", columns=columns, span=span, where=(*scored, among))).to_pylist():
            identity = r["interaction_id"]
            found[identity] = GivenLabel(harm=harm[identity], score=r[proxy], weight=_weight(r))
    return list(found.values())


def _weight(row: dict[str, Any]) -> float:
    weight = row["weight"]
    return float(weight) if weight is not None and weight > 0 else 1.0
