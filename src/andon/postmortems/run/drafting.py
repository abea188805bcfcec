"""Draft a postmortem from the record."""

from andon.incidents import Incident, phrase_of, scope_text
from andon.incidents.run import signals_of, timeline_of
from andon.incidents.run.timeline import marks_of
from andon.investigations import Investigation
from andon.monitors import Point, Signal
from andon.monitors.run import chart_of
from andon.postmortems.draft import contributing_factors, harmed_by_alarm, propose_actions, summarise
from andon.postmortems.happened import since_alarm
from andon.postmortems.lessons import harm_went
from andon.postmortems.records import Postmortem
from andon.store import Ledger, Warehouse

__all__ = ["draft_postmortem"]

DAY_US = 86_400_000_000
LOOK_BACK_US, LEAST_WINDOWS = 2 * DAY_US, 24
"""The chart shows so much of the time before the onset, or so many windows."""


def draft_postmortem(
    warehouse: Warehouse, ledger: Ledger, incident: Incident, found: Investigation, *, now_us: int
) -> Postmortem:
    """A draft with everything that the record knows now; recorded, so that its history is kept.

    An incident without a leading signal (people reported it) has no control chart; its draft says so.
    """
    signals, events = signals_of(ledger, incident), timeline_of(ledger, incident)
    lead = next((s for s in signals if s.id == incident.lead), None)
    end_us = max([found.at_us, *(e.happened_us for e in events if e.kind == "lever")])  # effects are measured later
    points, title = ([], "") if lead is None else _chart(warehouse, incident, found, lead, end_us)
    marks = marks_of(ledger, incident)
    helped = any(harm_went(h) == "fell" for h in since_alarm(incident, events))
    draft = Postmortem(
        id=incident.id,
        at_us=now_us,
        incident=incident,
        investigation=found,
        timeline=tuple(events),
        pinned=tuple(sorted(m.id for m in marks.values() if m.mark == "pinned")),
        points=tuple(points),
        chart_title=title,
        objective=lead.objective if lead is not None else "",
        before_alarm=harmed_by_alarm(incident, signals),
        summary=summarise(incident, found, lead, points),
        factors=contributing_factors(incident, found),
        actions=propose_actions(incident, found, lead, helped=helped),
    )
    ledger.put(draft, now_us=now_us, by="andon")
    return draft


def _chart(
    warehouse: Warehouse, incident: Incident, found: Investigation, lead: Signal, end_us: int
) -> tuple[list[Point], str]:
    """The chart of the leading signal: as much time before the onset as since it, and the change that explains it best.

    Of a short incident ten times as much up to two days, so that it is no single line at the edge.
    """
    since_us = end_us - incident.onset_low_us
    ago = max(since_us, min(LOOK_BACK_US, max(10 * since_us, LEAST_WINDOWS * lead.window_us)))
    start = incident.onset_low_us - ago
    first = found.suspects[0] if found.suspects else None
    if first is not None and first.at_us is not None and first.probability >= 0.5:
        start = min(start, first.at_us - ago // 10)
    start = max(start, lead.baseline_from_us) // lead.window_us * lead.window_us
    title = f"Share of {phrase_of(lead.metric, lead.direction)}, {scope_text(lead.scope, lead.app)}"
    return chart_of(warehouse, lead, start_us=start, end_us=end_us), title
