"""Commands about postmortems: write the documents, list and copy templates."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli import actions, exports, linting, reviews
from andon.cli.screen import now_us, opened, say, settings, show_table
from andon.incidents.run import find_incident, grow_timeline

__all__ = ["add_to"]

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="What we learned: drafts, documents, review, publishing.", no_args_is_help=True)
    group.command()(write)
    group.command()(templates)
    reviews.add_to(group, app)
    linting.add_to(group)
    exports.add_to(group)
    app.add_typer(group, name="postmortem")
    actions.add_to(app)


def write(
    incident_id: Id,
    out: Annotated[Path, typer.Option(help="Folder for the documents.")] = Path("postmortems"),
    template: Annotated[
        str | None, typer.Option(help="llm, ml, questions, or one of your own; that of its review unless given.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Print a PDF as well; needs Chromium or Chrome.")] = False,
) -> None:
    """Write a postmortem as Markdown, as one self-contained HTML page and, if you wish, as PDF."""
    from andon.postmortems.run.documents import layouts_beside, templates_beside, with_template, write_documents
    from andon.postmortems.run.review import reviewed

    with opened() as loop:
        config = loop.settings.config
        incident = find_incident(loop.ledger, incident_id)
        grow_timeline(loop.warehouse, loop.ledger, incident, now_us=now_us())
        found = reviewed(loop.ledger, incident.id, layouts_beside(config))
    if template is not None:
        found = with_template(found, template, templates_beside(config))
    for path in write_documents(found, out, pdf=pdf):
        say(str(path))


def templates(
    copy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Copy this built-in template beside your andon.toml, to change it."),
    ] = None,
) -> None:
    """List the templates of postmortems, or copy one to change it."""
    from andon.postmortems.markdown import BUILT_IN, sections_of
    from andon.postmortems.run.documents import copy_template, layout_of, team_templates, templates_beside

    folder = templates_beside(settings().config)
    if copy is not None:
        path = copy_template(copy, folder)
        say(f"{path} is yours to change; `andon postmortem write INCIDENT --template {copy}` uses it")
        return
    own = team_templates(folder)
    rows = [(name, "yours, in place of ours" if name in own else "built in", about) for name, about in BUILT_IN.items()]
    for name, path in own.items():
        if name not in BUILT_IN:
            asks = sections_of(name, layout_of(name, folder))
            rows.append((name, str(path), f"asks people for {', '.join(asks)}" if asks else "asks people for nothing"))
    show_table(("template", "where", "what it is for"), rows, empty="There are none.")
