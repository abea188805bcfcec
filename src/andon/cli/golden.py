"""Commands about the golden set: golden add, list, export, import."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli import labels
from andon.cli.screen import now_us, opened, say, show_table, who
from andon.golden import run as golden

__all__ = ["add_to"]

App = Annotated[str | None, typer.Option(help="Only cases of this application.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Failures become labelled cases that must pass for ever.", no_args_is_help=True)
    labels.add_to(group)
    group.command(name="add")(add)
    group.command(name="list")(list_)
    group.command(name="export")(export)
    group.command(name="import")(import_)
    app.add_typer(group, name="golden")


def add() -> None:
    """Turn labelled failures into golden cases; near-duplicates are refused by name."""
    with opened() as loop:
        result = golden.add_cases(loop.ledger, loop.embedder, now_us=now_us(), by=who())
    for refused in result.refused:
        say(f"refused {refused.id}: {refused.reason}")
    for one, other in result.conflicts:
        say(f"conflict: {one} and {other} ask the same and differ in what is right")
    say(
        f"{len(result.added)} cases added, {len(result.known)} known, {len(result.refused)} refused, {result.unlabelled} wait for a label"
    )


def list_(
    app: App = None, incident: Annotated[str | None, typer.Option(help="Only cases of this incident.")] = None
) -> None:
    """The golden cases."""
    with opened() as loop:
        cases = [c for c in golden.load_set(loop.ledger, app) if incident in (None, c.incident)]
    rows = [(c.id, c.added_date, c.incident, c.question[:80], c.ground_truth[:60], c.metric) for c in cases]
    show_table(("case", "added", "incident", "question", "right answer", "metric"), rows, empty="no golden case yet")


def export(path: Annotated[Path, typer.Argument(help="JSONL file to write.")], app: App = None) -> None:
    """Write the golden set as JSONL that a team keeps in git."""
    with opened() as loop:
        n = golden.export(loop.ledger, path, app=app)
    say(f"{n} cases in {path}")


def import_(
    path: Annotated[Path, typer.Argument(help="JSONL file to read.", exists=True)],
    app: Annotated[str, typer.Option(help="Application of cases that name none.")] = "default",
) -> None:
    """Take an existing golden set in."""
    with opened() as loop:
        result = golden.import_set(loop.ledger, path, now_us=now_us(), by=who(), app=app)
    say(f"{len(result.added)} cases added, {len(result.known)} known, {len(result.refused)} refused")
