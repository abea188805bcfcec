"""Commands about probes: golden cases that are asked on a schedule."""

from typing import Annotated

import typer

from andon.cli.screen import now_us, opened, say, show_table
from andon.evals import Probed
from andon.evals.probes import every_text, next_us, probed_text
from andon.monitors import Signal
from andon.traffic import format_time

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Golden cases that are asked on a schedule, and what they said.", no_args_is_help=True)
    group.command(name="list")(list_)
    group.command()(ask)
    app.add_typer(group, name="probe")


def list_() -> None:
    """The probes of andon.toml, when each was last asked, and what came of it."""
    now = now_us()
    with opened() as loop:
        last = {p.id: p for p in loop.ledger.all(Probed)}
        probes = loop.probes
    rows = [
        (
            p.name,
            f"{p.app} ({p.environment})",
            f"every {every_text(p)}",
            format_time(done.at_us)[:16] if (done := last.get(p.name)) else "never",
            probed_text(p, done),
            "now" if (then := next_us(p, done)) <= now else format_time(then)[:16],
        )
        for p in probes
    ]
    head = ("probe", "of", "asked", "last", "what it said", "next")
    show_table(head, rows, empty="no probe is set up; write [[probe]] in andon.toml")


def ask(name: Annotated[str, typer.Argument(metavar="PROBE", help="Its name in andon.toml.")]) -> None:
    """Ask a probe now: exit code 0, 1 where it pages, 4 where it could not be asked; the next turn of `andon serve` opens the incident."""
    with opened() as loop:
        done = loop.probe(now_us(), name)[0]
        probe = next(p for p in loop.probes if p.name == name)
        pages = [s for i in done.signals if (s := loop.ledger.get(Signal, i)) is not None and s.level == "page"]
    say(f"{name}: {probed_text(probe, done)}")
    if done.problem or pages:
        raise typer.Exit(4 if done.problem else 1)
