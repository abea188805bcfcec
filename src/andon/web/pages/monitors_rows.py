"""From a point of a chart to the rows behind it: the search of traffic that finds them."""

from collections.abc import Sequence
from urllib.parse import urlencode

from andon.monitors import ChartState, Signal
from andon.monitors.records import TOPIC_SHARE, TRAFFIC
from andon.scores import failing
from andon.traffic.searching import EXACT, LATER, ScoreCondition, Search, query_of

__all__ = ["rows_link"]


def rows_link(state: ChartState, start_us: int, end_us: int, signals: Sequence[Signal]) -> tuple[str, str]:
    """The link to the interactions behind a stretch of a chart, and what it leaves open; empty where it is exact.

    Args:
        state: the chart.
        start_us: from here.
        end_us: to before here.
        signals: of this chart, the newest first: they know from which value on a number is harm.
    """
    pairs = {"app": state.app, "environment": state.environment, **dict(state.scope)}
    condition, note = _condition(state, signals)
    left = sorted(set(pairs) - {*EXACT, "topic"})
    if left:
        note = f"of every {' and '.join(k.replace('_', ' ') for k in left)}"
    if state.metric in LATER:
        note = "people told of it later: the times are those of the interactions"
    search = Search(
        start_us=start_us, end_us=end_us, exact=tuple((k, pairs[k]) for k in EXACT if k in pairs), topic=pairs.get("topic"),
        scores=() if condition is None else (condition,),
    )  # fmt: skip
    told = [(k, v.replace(".000000", "") if k in ("from", "to") else v) for k, v in query_of(search)]
    return f"/traffic?{urlencode(told, safe=':,')}", note


def _condition(state: ChartState, signals: Sequence[Signal]) -> tuple[ScoreCondition | None, str]:
    """What makes an interaction harm on this chart, where that is one condition on its score."""
    if state.metric == TRAFFIC:
        return None, "what did come: what is missing cannot be shown"
    if state.metric == TOPIC_SHARE:  # what counts is that a question is of the topic
        return None, ""
    cut: float | None = None
    if state.kind == "number":
        if state.aspect.startswith("beyond "):
            cut = _number(state.aspect.removeprefix("beyond "))
        cut = cut if cut is not None else next((s.cut for s in signals if s.cut is not None), None)
        if cut is None:
            return None, "all of them: from which value on one is harm is told by a signal only"
    op, bound = failing(state.kind, state.direction, cut)
    return ScoreCondition(metric=state.metric, op="ge" if op == "ge" else "lt", value=bound), ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
