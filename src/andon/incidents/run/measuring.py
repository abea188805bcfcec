"""Measure one exit criterion: read the chart, the traffic or the probes that it is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from andon.errors import AndonError
from andon.incidents.records import ExitCriterion, Incident
from andon.incidents.recovery import WATCH_US, Hold, every_us_of, judge_chart, judge_masked, judge_probes, judge_silence
from andon.incidents.run.timeline import of_app
from andon.incidents.triage import pages
from andon.incidents.words import one_line, scope_text
from andon.monitors import Signal
from andon.monitors.records import TRAFFIC
from andon.monitors.run import chart_of, harm_of, scope_of
from andon.scores.rows import PROBE
from andon.store import Rollup, Span, Warehouse, Where

__all__ = ["came_of", "has_probes", "measured", "still_there", "unit_of"]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
LONGEST_US = 14 * DAY_US
"""How far back a chart is read at least, to find since when it has been quiet."""

OF_PROBES = Where(column="source", op="eq", value=PROBE)

FEWEST_USUAL = 5
"""Rows of which none comes by chance less than once in a hundred times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """Traffic that came in a stretch of time."""

    weight: float
    """Interactions, whatever share of them is kept."""
    rows: int
    """Rows that stand for them."""
    first_us: int | None = None
    """When the first of them came."""


def measured(
    warehouse: Warehouse,
    incident: Incident,
    criterion: ExitCriterion,
    signals: list[Signal],
    lead: Signal | None,
    holds: list[Hold],
    now_us: int,
) -> ExitCriterion:
    """One criterion as it stands now; what a person checked stays as it was said."""
    if criterion.kind == "check":
        return criterion if criterion.met else replace(criterion, measured="nobody has looked yet")
    if (hidden := judge_masked(criterion, holds, now_us)) is not None:
        return hidden
    back_us = max([incident.onset_us, *(h.ended_us for h in holds if h.ended_us is not None)])
    try:
        if criterion.kind == "probe":
            return _probes(warehouse, incident, criterion, lead, max(back_us, now_us - criterion.watch_us), now_us)
        own = [s for s in signals if s.monitor == criterion.monitor and pages(s)]
        if not own:
            return replace(criterion, met=None, at_us=now_us, measured="cannot tell: no signal of this chart is known")
        width = max(own[0].window_us, HOUR_US)
        longest_us = max(LONGEST_US, criterion.watch_us + 2 * width)  # two: both ends are rounded to whole points
        start_us = max(back_us, own[-1].at_us, now_us - longest_us)
        judge = _silence if own[0].metric == TRAFFIC else _chart
        chart = replace(own[0], every_us=every_us_of(signals) if own[0].of_probes else 0)
        return judge(warehouse, incident, criterion, chart, start_us, now_us)
    except AndonError as error:
        return replace(criterion, met=None, at_us=now_us, measured=f"cannot tell: {one_line(str(error), 200)}")


def _chart(
    warehouse: Warehouse, incident: Incident, criterion: ExitCriterion, signal: Signal, start_us: int, now_us: int
) -> ExitCriterion:
    width = max(signal.window_us, HOUR_US)
    end = now_us // width * width
    start = -(-start_us // width) * width
    points = []
    if start < end:
        points = chart_of(warehouse, signal, start_us=start, end_us=end, points=(end - start) // width)
    since = min(end, max(start, end - criterion.watch_us))
    came, usual = came_of(warehouse, signal, since, end), None
    if not signal.every_us:
        usual = _usual(warehouse, incident, signal, since, end)
    return judge_chart(
        criterion,
        signal,
        points,
        start_us=start,
        end_us=end,
        came=came.weight,
        usual=None if usual is None else usual.weight,
        unit=unit_of(came, usual),
    )


def _silence(
    warehouse: Warehouse, incident: Incident, criterion: ExitCriterion, signal: Signal, start_us: int, now_us: int
) -> ExitCriterion:
    width = -(-6 * max(signal.window_us, HOUR_US) // HOUR_US) * HOUR_US
    end = now_us // HOUR_US * HOUR_US
    ends = range(end, max(start_us, end - 2 * criterion.watch_us), -width)
    now = _by_hour(warehouse, signal, end - len(ends) * width, end)
    before = _by_hour(warehouse, signal, incident.onset_low_us - WEEK_US - width, incident.onset_low_us)
    stretches = [(e - width, e) for e in ends]
    came = [_within(now, *hours) for hours in stretches]
    usual = [_within(before, *_week_before(incident, *hours)) for hours in stretches]
    blocks = [(e, c.weight, u.weight) for e, c, u in zip(ends, came, usual, strict=True)]
    unit = unit_of(_together(came), _together(usual))
    return judge_silence(criterion, signal, blocks, start_us=start_us, end_us=end, unit=unit)


def _probes(
    warehouse: Warehouse, incident: Incident, criterion: ExitCriterion, lead: Signal | None, start_us: int, now_us: int
) -> ExitCriterion:
    """Probes that came and those that passed; where the harm that leads is one of probes, those of its part.

    Where that harm is measured on each answer, a probe passes that was answered without it; else one whose case passed, which
    is feedback, and a row of its own. Where none was given, a probe that was answered passes.
    """
    probes = scope_of(lead) if lead is not None and lead.of_probes else (*of_app(incident), OF_PROBES)
    asked, judged = ((*probes, Where(column=c, op="not_null")) for c in ("error", "probe_pass"))
    came, good = [asked], (*probes, Where(column="error", op="lt", value=0.5))
    span, ever = (Span(start_us=since, end_us=now_us) for since in (start_us, incident.onset_low_us - WEEK_US))
    harm = None if lead is None or lead.metric == TRAFFIC else harm_of(lead)
    unseen = ""
    if harm is not None and _rows(warehouse, ever, (*asked, Where(column=harm.column, op="not_null"))):
        good = (*good, replace(harm, op="lt" if harm.op == "ge" else "ge"))
    elif _rows(warehouse, ever, judged):  # what was not answered is not judged
        came = [judged, (*probes, Where(column="error", op="ge", value=0.5))]
        good = (*probes, Where(column="probe_pass", op="ge", value=0.5))
    elif harm is not None:  # what only users say (a thumb, a hand-over) is known of no probe
        unseen = harm.column
    n, passed = sum(_rows(warehouse, span, where) for where in came), _rows(warehouse, span, good)
    return judge_probes(criterion, passed, n, start_us=start_us, end_us=now_us, unseen=unseen)


def has_probes(warehouse: Warehouse, incident: Incident) -> bool:
    """Whether probes of the app came in since a week before harm began."""
    where = (*of_app(incident), OF_PROBES)
    since = Span(start_us=incident.onset_low_us - WEEK_US, end_us=2**62)
    return _rows(warehouse, since, where) > 0


def still_there(warehouse: Warehouse, incident: Incident, lead: Signal, holds: Sequence[Hold], now_us: int) -> str:
    """What speaks against that the harmed part of the traffic was taken out for good; empty where nothing of it came for 48 h.

    None must be surprising at these hours of the week, and a lever that was held meanwhile may have kept it away: holds end.
    """
    part, start_us = replace(lead, aspect=""), now_us - WATCH_US  # every answer, also where a metric is not measured
    where, came = scope_text(lead.scope), came_of(warehouse, part, start_us, now_us)
    if came.rows:
        return f"{came.weight:,.0f} interactions of {where} came in the last 48 h"
    if held := [h for h in holds if h.ended_us is None or h.ended_us > start_us]:
        return f"a lever may have kept {where} away within the last 48 h ({one_line(held[0].text, 100)})"
    usual = _usual(warehouse, incident, part, start_us, now_us)
    if usual is None or usual.rows < FEWEST_USUAL:
        return (
            f"cannot tell: nothing of {where} came in the last 48 h, and too little is known to be usual at these hours"
        )
    return ""


def _usual(warehouse: Warehouse, incident: Incident, signal: Signal, start_us: int, end_us: int) -> Came | None:
    """Interactions in as long a time at the same hours of the last week before harm began; None where nothing came then.

    Of traffic that is younger than those hours, it is the mean of what came before harm began, if that was a day at least.
    """
    first_us, last_us = _week_before(incident, start_us, end_us)
    if came_of(warehouse, signal, first_us - WEEK_US, first_us + HOUR_US).rows:  # a weekend may be silent
        usual = came_of(warehouse, signal, first_us, last_us)
        return usual if usual.rows else None
    known = came_of(warehouse, signal, first_us, incident.onset_low_us)
    if known.first_us is None or incident.onset_low_us - known.first_us < DAY_US:
        return None
    part = (end_us - start_us) / (incident.onset_low_us - known.first_us)
    return Came(weight=known.weight * part, rows=max(1, round(known.rows * part)))


def _week_before(incident: Incident, start_us: int, end_us: int) -> tuple[int, int]:
    """The same hours of the last week before harm began."""
    back_us = max(1, -(-(end_us - incident.onset_low_us) // WEEK_US)) * WEEK_US
    return start_us - back_us, end_us - back_us


def came_of(warehouse: Warehouse, signal: Signal, start_us: int, end_us: int) -> Came:
    """What came of the part of the traffic that a signal is about; rows of feedback are none.

    Of a signal that a metric is not measured any more, it is what was measured.
    """
    (row,) = warehouse.run(_traffic_of(signal, start_us, end_us)).to_pylist()
    return _came(row)


def _came(row: dict[str, Any]) -> Came:
    return Came(weight=row["time_us.w"] or 0.0, rows=row["time_us.n"] or 0, first_us=row["time_us.min"])


def unit_of(*stretches: Came | None) -> float:
    """Interactions that one row stands for, by the stretch of which the smallest share was kept."""
    return max([1.0, *(c.weight / c.rows for c in stretches if c is not None and c.rows)])


def _by_hour(warehouse: Warehouse, signal: Signal, start_us: int, end_us: int) -> dict[int, Came]:
    """What came, by the hour in which it did."""
    plan = replace(_traffic_of(signal, start_us, end_us), window_us=HOUR_US)
    return {row["window_us"]: _came(row) for row in warehouse.run(plan).to_pylist()}


def _within(hours: Mapping[int, Came], start_us: int, end_us: int) -> Came:
    return _together([hours[h] for h in range(start_us, end_us, HOUR_US) if h in hours])


def _together(stretches: Sequence[Came]) -> Came:
    return Came(weight=sum(c.weight for c in stretches), rows=sum(c.rows for c in stretches))


def _traffic_of(signal: Signal, start_us: int, end_us: int) -> Rollup:
    measured_by = (
        signal.aspect if signal.metric == TRAFFIC and signal.aspect else "error"
    )  # an error is told of each answer
    where = (*scope_of(signal), Where(column=measured_by, op="not_null"))
    span = Span(start_us=start_us, end_us=end_us)
    return Rollup(table="scores", metrics=("time_us",), measures=("n", "w", "min"), span=span, where=where)


def _rows(warehouse: Warehouse, span: Span, where: tuple[Where, ...]) -> int:
    return sum(warehouse.run(Rollup(table="scores", span=span, where=where))["rows"].to_pylist())
