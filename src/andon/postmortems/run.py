"""Draft a postmortem from the record, and write its documents."""

from pathlib import Path

from andon.incidents import Incident, phrase_of, scope_text
from andon.incidents.run import signals_of, timeline_of
from andon.investigations import Investigation
from andon.monitors.run import chart_of
from andon.postmortems.draft import contributing_factors, propose_actions, summarise
from andon.postmortems.html import render_html
from andon.postmortems.markdown import render_markdown
from andon.postmortems.records import Postmortem
from andon.store import Ledger, Warehouse

__all__ = ["draft_postmortem", "write_documents"]


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


def write_documents(postmortem: Postmortem, folder: Path) -> tuple[Path, Path]:
    """Write ``INC-0001.md`` and ``INC-0001.html`` into a folder; returns the two paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{postmortem.id}.md", folder / f"{postmortem.id}.html"
    paths[0].write_text(render_markdown(postmortem), encoding="utf-8")
    paths[1].write_text(render_html(postmortem), encoding="utf-8")
    return paths
