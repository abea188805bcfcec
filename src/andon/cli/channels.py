"""Commands about who is told: channels list, channels test, signals, and the acknowledgement of an incident."""

from typing import Annotated

import typer

from andon.cli.screen import now_us, opened, say, settings, show_table, who
from andon.errors import InputError, SeamError
from andon.incidents import Delivery, open_channels, pages, phrase_of, sample_message, scope_text
from andon.incidents.channels import NOBODY, send
from andon.incidents.run import ack_incident, find_incident
from andon.monitors import Signal
from andon.monitors.verdicts import percent
from andon.traffic import format_time, parse_time

__all__ = ["ack", "add_to", "test"]

LATEST = 20


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Where people are told of incidents.", no_args_is_help=True)
    group.command(name="list")(list_)
    group.command()(test)
    app.add_typer(group, name="channels")
    app.command()(signals)


def list_() -> None:
    """The channels, and what each was told last: what arrived, what failed and is tried again, what may be lost."""
    chosen = settings()
    channels = open_channels(chosen.channels)
    with opened(chosen) as loop:
        known = sorted(loop.ledger.all(Delivery), key=lambda d: -d.at_us)
    told = [d for d in known if d.state != "quiet"]
    rows = []
    for channel in channels:
        ours = [d for d in told if d.channel == channel.name]
        arrived = next((format_time(d.at_us) for d in ours if d.state == "sent"), "nothing yet")
        wrong = ours[0].error if ours and ours[0].state != "sent" else ""
        rows.append((channel.name, arrived, wrong))
    show_table(("channel", "told last", "what is wrong"), rows, empty=NOBODY)
    if told:
        head = ("at", "incident", "why", "channel", "outcome", "attempt", "")
        latest = [
            (format_time(d.at_us), d.incident, d.reason, d.channel, d.state, d.attempt, d.error) for d in told[:LATEST]
        ]
        say("")
        show_table(head, latest, empty="")


def test() -> None:
    """Send a message marked as a test through every channel, and say for each whether it went; exit 4 if one failed."""
    chosen = settings()
    channels = open_channels(chosen.channels)
    if not channels:
        raise InputError(NOBODY)
    message = sample_message(chosen.url)
    done = [(c.name, *send(c, message)) for c in channels]
    show_table(("channel", "outcome", "error"), done, empty="")
    failed = [name for name, state, _ in done if state != "sent"]
    if failed:
        raise SeamError(f"{len(failed)} of {len(done)} channels could not be told: {', '.join(failed)}")


def signals(
    since: Annotated[str | None, typer.Option(help="Only signals raised since then (ISO 8601).")] = None,
) -> None:
    """All signals, newest first: pages, and warnings that open no incident by themselves."""
    start_us = parse_time(since) if since else 0
    with opened() as loop:
        found = [s for s in loop.ledger.all(Signal) if s.at_us >= start_us]
    rows = [
        (
            format_time(s.at_us),
            "page" if pages(s) else "warning",
            f"{phrase_of(s.metric, s.direction)} in {scope_text(s.scope)} of {s.app} ({s.environment})",
            percent(s.rate),
            percent(s.baseline_rate),
            format_time(s.onset_us),
        )
        for s in sorted(found, key=lambda s: (-s.at_us, s.id))
    ]
    show_table(("at", "level", "monitor", "rate", "baseline", "onset"), rows, empty="no signal yet")


def ack(incident_id: Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")]) -> None:
    """Say that you are at it: nobody is reminded of this incident any more."""
    with opened() as loop:
        done = ack_incident(loop.ledger, find_incident(loop.ledger, incident_id), now_us=now_us(), by=who())
    say(f"{done.id} was acknowledged by {done.acked_by} at {format_time(done.acked_us or 0)}")
