"""Commands about levers and rollouts."""

from typing import Annotated

import typer

from andon.cli.screen import after, before, now_us, opened, say, show_table, who
from andon.errors import AndonError, InputError
from andon.levers import Lever, Pull, in_force, value_text
from andon.levers import run as levers
from andon.traffic import format_time

__all__ = ["add_to"]

Key = Annotated[str, typer.Argument(metavar="LEVER", help="The flag key that the application reads.")]
Why = Annotated[str, typer.Option(help="Why, for the record.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Reversible settings that the application reads over OpenFeature.", no_args_is_help=True)
    for command in (declare, hold, release):
        group.command()(command)
    group.command(name="list")(list_)
    app.add_typer(group, name="lever")
    rollout = typer.Typer(help="Decide whether a new version may go on.", no_args_is_help=True)
    rollout.command(name="compare")(compare)
    app.add_typer(rollout, name="rollout")


def declare(
    lever: Key,
    default: Annotated[str, typer.Option(help="Value served while nobody holds it; also the code default.")],
    safe: Annotated[str, typer.Option(help="Value that stops harm.")],
    kind: Annotated[str, typer.Option(help="boolean, string or number.")] = "boolean",
    fail: Annotated[str, typer.Option(help="open, or closed: then the default must be the safe value.")] = "open",
    about: Annotated[str, typer.Option(help="What it does.")] = "",
    app: Annotated[str, typer.Option(help="The application that reads it; `default`: any may.")] = "default",
) -> None:
    """Declare a lever: its type, its default and its safe value."""
    declared = Lever(
        id=lever,
        kind=kind,  # type: ignore[arg-type]
        default=_value(kind, default),
        safe=_value(kind, safe),
        fail=fail,  # type: ignore[arg-type]
        about=about,
        app=app,
    )
    with opened() as loop:
        levers.declare(loop.ledger, declared, now_us(), who())
    say(f"{lever} is declared: default {default}, safe {safe}; the application must pass {default} as its code default")


def hold(
    lever: Key,
    why: Why,
    until: Annotated[str, typer.Option("--for", help="How long (30m, 4h, 2d) or until when (ISO 8601).")],
    value: Annotated[str | None, typer.Option(help="Value to hold; the safe value unless given.")] = None,
    incident: Annotated[str | None, typer.Option(help="The incident it answers.")] = None,
    trade_off: Annotated[str, typer.Option(help="What is lost meanwhile.")] = "",
) -> None:
    """Hold a lever at a value; it is recorded as a change and expires by itself."""
    now = now_us()
    with opened() as loop:
        known = loop.ledger.get(Lever, lever)
        try:
            frozen = loop.freeze(None, now)  # what is known now must not be lost by what the lever changes
            if frozen:
                say(f"evidence of {', '.join(frozen)} is frozen")
        except AndonError as error:  # but nothing may keep people from stopping the harm
            say(f"evidence of an open incident could not be frozen before: {error}")
        pull = levers.hold(
            loop.ledger,
            lever,
            _value(known.kind, value) if known and value is not None else value,
            why=why,
            by=who(),
            until_us=after(now, until),
            incident=incident,
            trade_off=trade_off,
            now_us=now,
        )
    say(f"{lever} is held at {value_text(pull.value)} until {format_time(pull.until_us)} ({pull.id})")


def release(lever: Key, why: Why) -> None:
    """End a hold."""
    with opened() as loop:
        pull = levers.release(loop.ledger, lever, why=why, by=who(), now_us=now_us())
    say(f"{lever} is released ({pull.id}); the default is served again")


def list_() -> None:
    """Levers, and what holds them now."""
    now = now_us()
    with opened() as loop:
        declared, pulls = loop.ledger.all(Lever), loop.ledger.all(Pull)
    rows = []
    for lever in declared:
        held = in_force([p for p in pulls if p.lever == lever.id], now)
        state = (
            f"held at {value_text(held.value)} by {held.by} until {format_time(held.until_us)}: {held.why}"
            if held
            else "released"
        )
        rows.append((lever.id, lever.kind, value_text(lever.default), value_text(lever.safe), state))
    show_table(("lever", "kind", "default", "safe", "now"), rows, empty="no lever is declared yet")


def compare(
    app: Annotated[str, typer.Option(help="The application.")],
    metric: Annotated[str, typer.Option(help="The metric that must not get worse.")],
    control: Annotated[str, typer.Option(help="Value of the field that is in place.")],
    treatment: Annotated[str, typer.Option(help="Value that asks to replace it.")],
    by: Annotated[str, typer.Option(help="Field that tells the arms apart, e.g. prompt_version.")] = "arm",
    since: Annotated[str, typer.Option(help="How far back (24h, 7d) or since when (ISO 8601).")] = "7d",
    share: Annotated[
        float | None, typer.Option(help="Planned share of the treatment; leave out if nobody planned one.")
    ] = None,
) -> None:
    """Compare two arms of live traffic: promote, hold or roll back."""
    from andon.rollouts.run import compare_arms
    from andon.store import Span

    now = now_us()
    with opened() as loop:
        decision = compare_arms(
            loop.warehouse,
            loop.ledger,
            app=app,
            metric=metric,
            by=by,
            control=control,
            treatment=treatment,
            span=Span(start_us=before(now, since), end_us=now),
            now_us=now,
            planned_share=share,
            scorers=loop.scorers,
        )
    for arm in (decision.control, decision.treatment):
        say(f"{arm.name}: {arm.events:,} of {arm.n:,} harmed" + (f" ({arm.events / arm.n:.1%})" if arm.n else ""))
    say(f"{decision.outcome}: {decision.reason}")


def _value(kind: str, text: str) -> bool | str | float:
    if kind == "boolean":
        if text.casefold() not in ("true", "false"):
            raise InputError(f"{text!r} is not a boolean; give true or false")
        return text.casefold() == "true"
    if kind == "number":
        try:
            return float(text)
        except ValueError as error:
            raise InputError(f"{text!r} is not a number") from error
    return text
