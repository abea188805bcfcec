"""Draft a postmortem from the record."""

from andon.incidents import Incident, phrase_of, scope_text
from andon.incidents.run import signals_of, timeline_of
from andon.investigations import Investigation
from andon.monitors.run import chart_of
from andon.postmortems.draft import contributing_factors, propose_actions, summarise
from andon.postmortems.records import Postmortem
from andon.store import Ledger, Warehouse

__all__ = ["draft_postmortem"]


def draft_postmortem(
    warehouse: Warehouse, ledger: Ledger, incident: Incident, found: Investigation, *, now_us: int
) -> Postmortem:
    """A draft with everything that the record knows now; recorded, so that its history is kept."""
    lead = next(s for s in signals_of(ledger, incident) if s.id == incident.lead)
    points = chart_of(warehouse, lead, start_us=lead.baseline_from_us, end_us=found.at_us)
    title = f"Share of {phrase_of(lead.metric, lead.direction)}, {scope_text(lead.scope)} of {lead.app}"
    draft = Postmortem(
        id=incident.id,
        at_us=now_us,
        incident=incident,
        investigation=found,
        timeline=tuple(timeline_of(ledger, incident)),
        points=tuple(points),
        chart_title=title,
        summary=summarise(incident, found, lead),
        factors=contributing_factors(incident, found),
        actions=propose_actions(incident, found, lead),
    )
    ledger.put(draft, now_us=now_us, by="andon")
    return draft
