"""Commands about investigations: the four questions, and the figures behind them."""

from typing import Annotated

import typer

from andon.cli.screen import now_us, opened, say, show_table
from andon.errors import InputError
from andon.incidents import odds
from andon.incidents.run import find_incident
from andon.investigations import Investigation

__all__ = ["add_to"]

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(investigate)
    evidence = typer.Typer(help="The figures behind an investigation.", no_args_is_help=True)
    evidence.command()(verify)
    app.add_typer(evidence, name="evidence")


def investigate(incident_id: Id) -> None:
    """Answer the four questions anew with everything that is known now."""
    with opened() as loop:
        found = loop.look_into(find_incident(loop.ledger, incident_id), now_us()).investigation
    say(f"{found.verdict}: {found.verdict_reason}")
    rows = [(odds(s.probability), s.title, "; ".join(s.supports), "; ".join(s.against)) for s in found.suspects[:8]]
    show_table(("", "suspect", "for", "against"), rows, empty="no suspects")


def verify(incident_id: Id) -> None:
    """Recompute every figure of an investigation from its stored plan and compare."""
    from andon.investigations.run import recompute

    with opened() as loop:
        found = loop.ledger.get(Investigation, find_incident(loop.ledger, incident_id).id)
        if found is None:
            raise InputError(f"{incident_id} has no investigation yet; `andon investigate {incident_id}` makes one")
        rows = [
            (e.id, e.claim, "same" if recompute(loop.warehouse, e) == e.figures else "DIFFERS") for e in found.evidence
        ]
    show_table(("", "figure", "recomputed"), rows, empty="the investigation holds no figures")
    if any(row[2] != "same" for row in rows):
        raise InputError("some figures differ: rows were added or erased since; `andon investigate` freezes them anew")
