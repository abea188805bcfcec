"""Commands about incidents: list, show, note, state, recovery, close."""

from typing import Annotated

import typer

from andon.cli import runbooks
from andon.cli.channels import ack
from andon.cli.screen import now_us, opened, say, show_table, who
from andon.incidents import Incident, duration, odds
from andon.incidents.run import add_note, close_incident, find_incident, timeline_of
from andon.investigations import Investigation
from andon.traffic import format_time, parse_time

__all__ = ["add_to"]

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    incident = typer.Typer(help="What is wrong, for whom, since when, how sure.", no_args_is_help=True)
    incident.command(name="list")(list_)
    incident.command()(show)
    incident.command()(note)
    incident.command()(close)
    incident.command()(ack)
    app.add_typer(incident, name="incident")
    runbooks.add_to(incident, app)


def list_() -> None:
    """All incidents, newest first."""
    with opened() as loop:
        found = sorted(loop.ledger.all(Incident), key=lambda i: (-i.alarmed_us, i.id))
    rows = [(i.id, i.severity, i.impact, i.state, format_time(i.alarmed_us), i.title) for i in found]
    show_table(("incident", "", "class", "state", "alarmed", "what is wrong"), rows, empty="no incident yet")


def show(incident_id: Id) -> None:
    """One incident: what is wrong, the suspects, the timeline."""
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        events = timeline_of(loop.ledger, incident)
        found = loop.ledger.get(Investigation, incident.id)
    say(f"{incident.id} {incident.severity} {incident.state}: {incident.title}")
    say(f"class: {incident.impact_reason}")
    say(f"severity: {incident.severity_reason}")
    best, low, high = incident.lag_s
    say(f"detection lag: {duration(best)} ({duration(low)} to {duration(high)})")
    if found is not None:
        suspects = [(odds(s.probability), s.title, "; ".join(s.supports)) for s in found.suspects[:6]]
        show_table(("", "suspect", "for"), suspects, empty="no suspects")
    rows = [(format_time(e.happened_us), e.kind, e.text, e.by) for e in events]
    show_table(("happened at", "what", "", "by"), rows, empty="the timeline is empty")


def note(
    incident_id: Id,
    text: Annotated[str, typer.Argument(help="What happened.")],
    at: Annotated[str | None, typer.Option(help="When it happened (ISO 8601); now unless given.")] = None,
) -> None:
    """Add an entry to the timeline."""
    now = now_us()
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        add_note(loop.ledger, incident, text, happened_us=parse_time(at) if at else now, now_us=now, by=who())
    say(f"noted in {incident_id}")


def close(incident_id: Id, why: Annotated[str, typer.Option(help="What was measured that shows it is over.")]) -> None:
    """Close an incident, with the reason."""
    with opened() as loop:
        closed = close_incident(loop.ledger, find_incident(loop.ledger, incident_id), why, now_us=now_us(), by=who())
    say(f"{closed.id} is closed: {closed.closed_why}")
