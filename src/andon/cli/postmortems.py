"""Commands about postmortems: write the documents."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli import actions, exports, linting, reviews
from andon.cli.screen import opened, say
from andon.errors import InputError
from andon.incidents.run import find_incident
from andon.postmortems import Postmortem

__all__ = ["add_to"]

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="What we learned: drafts, documents, review, publishing.", no_args_is_help=True)
    group.command()(write)
    reviews.add_to(group, app)
    linting.add_to(group)
    exports.add_to(group)
    app.add_typer(group, name="postmortem")
    actions.add_to(app)


def write(
    incident_id: Id,
    out: Annotated[Path, typer.Option(help="Folder for the documents.")] = Path("postmortems"),
) -> None:
    """Write the latest draft as Markdown and as one self-contained HTML page."""
    from andon.postmortems.run import write_documents

    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        draft = loop.ledger.get(Postmortem, incident.id)
    if draft is None:
        raise InputError(f"{incident.id} has no draft yet; `andon investigate {incident.id}` writes one")
    for path in write_documents(draft, out):
        say(str(path))
