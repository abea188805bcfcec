"""Draft a postmortem from the record."""

from andon.incidents import Incident, phrase_of, scope_text
from andon.incidents.run import signals_of, timeline_of
from andon.incidents.run.timeline import marks_of
from andon.investigations import Evidence, Investigation
from andon.monitors import TRAFFIC, Point, Signal
from andon.monitors.run import chart_of, harm_of, scope_of
from andon.postmortems.draft import contributing_factors, propose_actions, summarise
from andon.postmortems.lessons import COST, USUAL_BEFORE, USUAL_SINCE, WATCHED
from andon.postmortems.records import Postmortem
from andon.store import Ledger, Rollup, Span, Warehouse, Where, to_json

__all__ = ["draft_postmortem"]

DAY_US = 86_400_000_000
LOOK_BACK_US = 2 * DAY_US
"""The chart shows at least so much of the time before the onset."""


def draft_postmortem(
    warehouse: Warehouse, ledger: Ledger, incident: Incident, found: Investigation, *, now_us: int
) -> Postmortem:
    """A draft with everything that the record knows now; recorded, so that its history is kept.

    An incident without a leading signal (people reported it) has no control chart; its draft says so.
    """
    lead = next((s for s in signals_of(ledger, incident) if s.id == incident.lead), None)
    points, title = ([], "") if lead is None else _chart(warehouse, incident, found, lead)
    marks = marks_of(ledger, incident)
    draft = Postmortem(
        id=incident.id,
        at_us=now_us,
        incident=incident,
        investigation=found,
        timeline=tuple(timeline_of(ledger, incident)),
        pinned=tuple(sorted(m.id for m in marks.values() if m.mark == "pinned")),
        points=tuple(points),
        chart_title=title,
        objective=lead.objective if lead is not None else "",
        summary=summarise(incident, found, lead, points),
        factors=contributing_factors(incident, found),
        actions=propose_actions(incident, found, lead),
        evidence=tuple(_figures(warehouse, incident, found, lead)),
    )
    ledger.put(draft, now_us=now_us, by="andon")
    return draft


def _chart(warehouse: Warehouse, incident: Incident, found: Investigation, lead: Signal) -> tuple[list[Point], str]:
    """The chart of the leading signal: as much time before the onset as since it, and the change that explains it best."""
    ago = max(LOOK_BACK_US, found.at_us - incident.onset_low_us)
    start = incident.onset_low_us - ago
    first = found.suspects[0] if found.suspects else None
    if first is not None and first.at_us is not None and first.probability >= 0.5:
        start = min(start, first.at_us - ago // 10)
    start = max(start, lead.baseline_from_us) // lead.window_us * lead.window_us
    title = f"Share of {phrase_of(lead.metric, lead.direction)}, {scope_text(lead.scope)} of {lead.app}"
    return chart_of(warehouse, lead, start_us=start, end_us=found.at_us), title


def _figures(warehouse: Warehouse, incident: Incident, found: Investigation, lead: Signal | None) -> list[Evidence]:
    """What the investigation does not ask: what is usually watched, before and since the onset, and what the harm cost."""
    if lead is None:
        return []
    before = Span(start_us=lead.baseline_from_us, end_us=max(incident.onset_low_us, lead.baseline_from_us + 1))
    since = Span(start_us=incident.onset_us, end_us=max(found.at_us, incident.onset_us + 1))
    where = scope_of(lead)
    plans = [(USUAL_BEFORE, _rollup(before, where)), (USUAL_SINCE, _rollup(since, where))]
    if lead.metric != TRAFFIC:  # what did not come cost nothing
        plans.append((COST, _rollup(since, (*where, harm_of(lead)), ("cost_usd",))))
    last = len(found.evidence)
    return [
        Evidence(id=f"E{last + n}", claim=claim, plan=to_json(plan), figures=_row(warehouse, plan))
        for n, (claim, plan) in enumerate(plans, 1)
    ]


def _rollup(span: Span, where: tuple[Where, ...], metrics: tuple[str, ...] = tuple(WATCHED)) -> Rollup:
    return Rollup(table="scores", metrics=metrics, measures=("n", "w", "wsum"), span=span, where=where)


def _row(warehouse: Warehouse, plan: Rollup) -> dict[str, float]:
    """The one row of a roll-up, without metrics that nobody measured."""
    row = warehouse.run(plan).to_pylist()[0]
    return {k: float(v) for k, v in row.items() if v is not None and row.get(f"{k.rpartition('.')[0]}.n", 1)}
