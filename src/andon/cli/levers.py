"""Commands about levers.

They open the ledger alone: a wrong line in andon.toml, a plug-in or an embedder must keep nobody from stopping harm.
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import fields, replace
from typing import Annotated, Any

import typer

from andon.cli import versions
from andon.cli.lever_texts import say_code, served_text, show_lever, typed, value_of
from andon.cli.screen import (
    after,
    now_us,
    opened,
    opened_ledger,
    plain,
    progress,
    say,
    show_table,
    somebody,
    span_us,
    who,
)
from andon.cli.versions import Key, Why
from andon.errors import InputError
from andon.incidents.run import find_incident
from andon.levers import Asked, Lever, LeverValue, Pull, find_version, latest, standing
from andon.levers import run as levers
from andon.levers.pulls import clock_note, pulled_change
from andon.levers.registry import check_environment
from andon.levers.run.declaring import splitting
from andon.levers.run.freezing import NOTHING_OPEN, app_of, freeze_before, freeze_within, not_frozen, open_incidents
from andon.levers.run.giving import earlier, given_by_all, resting_text, rule_against
from andon.levers.run.giving import unreviewed as unreviewed_pulls
from andon.levers.run.reading import pulls_of
from andon.levers.run.served import served_within
from andon.levers.words import SHORT, gave_way, shown, version_text
from andon.store import Ledger
from andon.traffic import format_time, quoted

__all__ = ["add_to", "unreviewed"]

LATE_S = 30.0
"""How long a command stays for evidence that is not frozen yet when its lever is held, in seconds."""

For = Annotated[str, typer.Option("--for", help="How long (30m, 4h, 2d) or until when (ISO 8601).")]
IncidentName = Annotated[str | None, typer.Option(metavar="INCIDENT", help="The incident it answers.")]
TradeOff = Annotated[str, typer.Option(help="What is lost meanwhile.")]
Exit = Annotated[str, typer.Option("--exit", help="What must be true before it may be released.")]
Where = Annotated[str, typer.Option(help="production or staging.")]
BreakGlass = Annotated[
    bool, typer.Option("--break-glass", help="In an emergency: serve what nobody approved; told loudly and reviewed.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; write nothing.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Reversible settings that the application reads over OpenFeature.", no_args_is_help=True)
    for command in (hold, release, rollback, show, declare, review):
        group.command()(command)
    group.command(name="list")(list_)
    versions.add_to(group)
    app.add_typer(group, name="lever")


def declare(
    lever: Key,
    default: Annotated[
        str | None, typer.Option(help="Value served while nobody holds it; also the code default.")
    ] = None,
    safe: Annotated[str | None, typer.Option(help="Value that stops harm.")] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="boolean (unless said), string, number or object (JSON). Of texts and objects @FILE reads a file."
        ),
    ] = None,
    fail: Annotated[
        str | None, typer.Option(help="open (unless said), or closed: then the default must be the safe value.")
    ] = None,
    about: Annotated[str | None, typer.Option(help="What it does.")] = None,
    app: Annotated[
        str | None, typer.Option(help="The application that reads it; `default` (unless said): any may.")
    ] = None,
) -> None:
    """Declare a lever: its type, its default and its safe value. Declared again, it keeps what is not given."""
    with opened_ledger() as ledger:
        known = ledger.get(Lever, lever)
        if known is None and (default is None or safe is None):
            raise InputError(f"no lever {quoted(lever)} is declared yet; give its --default and its --safe value")
        of = kind or ("boolean" if known is None else known.kind)
        texts = (("kind", kind), ("fail", fail), ("about", about), ("app", app))
        given: dict[str, Any] = {name: text for name, text in texts if text is not None}
        given |= {name: typed(of, text) for name, text in (("default", default), ("safe", safe)) if text is not None}
        wanted = Lever(**{"id": lever, "kind": of, **given}) if known is None else replace(known, **given)
        made = levers.declare(ledger, wanted, now_us(), who())
    _say_declared(known, made)


def hold(
    lever: Key,
    why: Why,
    until: For,
    value: Annotated[
        str | None, typer.Option(help="Value to hold, of an object its JSON, or @FILE; the safe value unless given.")
    ] = None,
    version: Annotated[str | None, typer.Option(metavar="DIGEST", help="Version to hold.")] = None,
    incident: IncidentName = None,
    trade_off: TradeOff = "",
    exit_: Exit = "",
    environment: Where = "production",
    dry_run: DryRun = False,
    break_glass: BreakGlass = False,
) -> None:
    """Hold a lever, at its safe value unless another is given; evidence is frozen first, and it ends by itself."""
    if value is not None and version is not None:
        raise InputError("--value and --version exclude each other; a version is a value")
    with opened_ledger() as ledger:
        known = levers.known_lever(ledger, lever)
        wanted = known.safe
        if value is not None:
            wanted = value_of(known, value)
        if version is not None:
            wanted = find_version(known, levers.versions_of(ledger, lever), version).value
        asked = Asked(
            value=wanted, why=why, by=who(), until_us=0, environment=environment, incident=incident,
            trade_off=trade_off, exit=exit_, break_glass=break_glass,
        )  # fmt: skip
        _pull(ledger, known, asked, until, dry_run=dry_run)


def rollback(
    lever: Key,
    why: Why,
    until: For,
    to: Annotated[
        str | None,
        typer.Option(metavar="DIGEST", help="An earlier version; the one that was live before unless given."),
    ] = None,
    incident: IncidentName = None,
    trade_off: TradeOff = "",
    exit_: Exit = "",
    environment: Where = "production",
    dry_run: DryRun = False,
    break_glass: BreakGlass = False,
) -> None:
    """Hold the version that was live before the present one, or an earlier one that was."""
    with opened_ledger() as ledger:
        known = levers.known_lever(ledger, lever)
        wanted = earlier(ledger, known, check_environment(environment), to)
        asked = Asked(
            value=wanted, why=why, by=who(), until_us=0, environment=environment, incident=incident,
            trade_off=trade_off, exit=exit_, break_glass=break_glass,
        )  # fmt: skip
        _pull(ledger, known, asked, until, dry_run=dry_run)


def release(lever: Key, why: Why, environment: Where = "production") -> None:
    """End a hold before its time is over."""
    now = now_us()
    with opened_ledger() as ledger:
        pull = levers.release(ledger, lever, why=why, by=who(), environment=environment, now_us=now)
        rest = resting_text(ledger, levers.known_lever(ledger, lever), pull.environment, now)
        say(f"{lever} is released in {pull.environment} ({pull.id}): {rest} is served again")
        say(served_within(ledger, pull))
    if pull.exit:
        say(f"it was to be released when: {plain(pull.exit)}")


def list_() -> None:
    """Levers, and what each gives now."""
    now = now_us()
    with opened_ledger() as ledger:
        rows = [
            (
                production.lever.id,
                served_text(production, brief=True),
                served_text(staging, brief=True),
                shown(production.lever.default, SHORT),
                shown(production.lever.safe, SHORT),
            )
            for staging, production in given_by_all(ledger, now)
        ]
    head = ("lever", "production", "staging", "default", "safe")
    show_table(head, rows, empty="no lever is declared yet; `andon lever declare` declares one")


def show(lever: Key) -> None:
    """One lever: what it gives now and why, the line of code that reads it, its versions and its last pulls."""
    with opened_ledger() as ledger:
        show_lever(ledger, levers.known_lever(ledger, lever), now_us())


def review(
    pull: Annotated[str, typer.Argument(metavar="PULL", help="The pull that broke the glass.")],
    why: Annotated[str, typer.Option(help="What you think of it, for the record.")],
) -> None:
    """Look at why somebody else broke the glass."""
    by = somebody("reviews it")
    with opened_ledger() as ledger:
        done = levers.review(ledger, pull, why=why, by=by, now_us=now_us())
    say(f"{done.id} by {plain(done.by)} is reviewed by {by}")


def unreviewed(ledger: Ledger) -> list[str]:
    """A line for each broken glass that nobody else has looked at yet, oldest first."""
    return [
        f"glass broken by {plain(p.by)} at {format_time(p.at_us)}, and nobody else has looked at it: {p.lever} held at "
        f'{shown(p.value)}: {quoted(p.why, 200)[1:-1]}: andon lever review {p.id} --why "..."'
        for p in unreviewed_pulls(ledger)
    ]


def _say_declared(before: Lever | None, made: Lever) -> None:
    if before is None:
        say(f"{made.id} is declared: default {shown(made.default)}, safe {shown(made.safe)}")
    elif before == made:
        say(f"{made.id} was declared so before; nothing is written")
    else:
        pairs = ((f.name, getattr(before, f.name), getattr(made, f.name)) for f in fields(made))
        changed = (f"{name} {shown(old)} -> {shown(new)}" for name, old, new in pairs if old != new)
        say(f"{made.id} is declared anew: {', '.join(changed)}; all else stays")
    say_code(made)


def _pull(ledger: Ledger, lever: Lever, asked: Asked, until: str, *, dry_run: bool) -> None:
    """Hold a lever, or show what a hold would do; whatever is wrong is said before anything is frozen or written."""
    now = now_us()
    if asked.incident is not None:
        find_incident(ledger, asked.incident)
    rule = rule_against(ledger, lever, asked) if asked.break_glass else None
    if rule is not None:
        somebody("breaks the glass, which somebody else reviews")
    elif asked.break_glass:
        say("no rule stands against it, so no glass is broken")
    fixed = span_us(until) is None
    asked = replace(asked, until_us=after(now, until), until_fixed=fixed, break_glass=rule is not None)
    plan, given, before = levers.plan_hold(ledger, lever.id, asked, now)
    if note := clock_note(pulls_of(ledger, lever.id), now):
        say(note)
    if rule is not None:
        say(f"BREAK GLASS: {plain(asked.by)} overrides a rule: {plain(rule)}")
    if dry_run:
        _show_plan(ledger, lever, plan, given, before, now)
        return
    evidence, late = _freeze(ledger, lever, now)
    now = now_us()  # freezing takes its time
    pull = levers.hold(
        ledger, lever.id, asked.value, why=asked.why, by=asked.by, until_us=after(now, until), until_fixed=fixed, now_us=now,
        environment=asked.environment, incident=asked.incident, trade_off=asked.trade_off, exit=asked.exit,
        break_glass=asked.break_glass, evidence=evidence,
    )  # fmt: skip
    _say_held(ledger, pull, now)
    say(served_within(ledger, pull))
    if late is not None:
        _stay(late)


def _stay(late: Future[Sequence[str]]) -> None:
    """Let evidence that was too slow be frozen all the same, for a while; the lever is held, and all is written."""
    say("evidence is still being frozen as it was before the hold; Ctrl-C leaves that, and the lever stays held")
    try:
        failed = late.exception(LATE_S)
    except (TimeoutError, KeyboardInterrupt):
        say("freezing has not ended and is left")
        sys.stdout.flush()
        os._exit(0)  # Python would abort over a thread that is within an engine
    else:
        say("evidence is frozen" if failed is None else not_frozen(failed))


def _say_held(ledger: Ledger, pull: Pull, now: int) -> None:
    place = "" if pull.environment == "production" else f" --environment {pull.environment}"
    say(
        f"{pull.lever} is held at {version_text(pull.value, pull.digest)} in {pull.environment} until "
        f"{format_time(pull.until_us)} ({pull.id})"
    )
    say(f'end it: andon lever release {pull.lever}{place} --why "..."')
    for before in (p for p in pulls_of(ledger, pull.lever) if gave_way(p.released_why) == pull.id):
        say(f"it supersedes {before.id} by {plain(before.by)}, which held {shown(before.value)}")
    if (split := splitting(ledger, pull.lever, pull.environment, now)) is not None:
        say(f"{split.experiment} splits its users: all of them are given this meanwhile")
    if pull.break_glass:
        say(
            f"BREAK GLASS: it ends by itself at {format_time(pull.until_us)}, and somebody else than {plain(pull.by)} reviews it:"
        )
        say(f'BREAK GLASS: andon lever review {pull.id} --why "..."')


def _show_plan(ledger: Ledger, lever: Lever, plan: Pull, given: LeverValue, before: Pull | None, now: int) -> None:
    environment = plan.environment
    mine = pulls_of(ledger, lever.id)
    live, known = levers.live_in(ledger, lever.id, environment), levers.versions_of(ledger, lever.id)
    change = pulled_change(lever, latest(mine, environment), plan, standing(lever, live, known)[0])
    say("dry run: nothing is written and nothing is frozen")
    say(f"{lever.id} in {environment}: {shown(given)} -> {version_text(plan.value, plan.digest)}")
    if before is None:
        say("nobody holds it now")
    else:
        say(
            f"{before.id} by {plain(before.by)} holds it until {format_time(before.until_us)} and would be superseded: {plain(before.why)}"
        )
    if (split := splitting(ledger, lever.id, environment, now)) is not None:
        say(f"{split.experiment} splits its users until {format_time(split.until_us)}: all of them would be given this")
    say(
        f"it ends at {format_time(plan.until_us)}; then {resting_text(ledger, lever, environment, plan.until_us)} is served"
    )
    say(plain(f"in the log of changes: {change.title} ({change.before} -> {change.after})"))
    say(f"evidence first: {', '.join(open_incidents(ledger, lever)) or 'no incident is open'}")
    if not plan.break_glass:
        say(f"{environment} may be given it")


def _freeze(ledger: Ledger, lever: Lever, now: int) -> tuple[str, Future[Sequence[str]] | None]:
    """Freeze what is known now, which must not be lost by what the lever changes; nothing keeps people from stopping the harm.

    Args:
        ledger: has the incidents.
        lever: what is about to move.
        now: the clock.

    Returns:
        What was done, for the record; it is said, too. And what is still being done, where it took too long.
    """
    going = Future[Sequence[str]]()

    def freeze() -> Sequence[str]:
        try:
            with opened() as loop:  # all that may fail or take long: settings, plug-ins, an embedder
                frozen = loop.freeze(app_of(lever), now)
        except BaseException as error:
            going.set_exception(error)
            raise
        going.set_result(frozen)
        return frozen

    def watched(known: Sequence[str]) -> Sequence[str] | None:
        with progress("evidence") as tell:
            tell(f"looking at the evidence of {', '.join(known)} before the lever moves", 0.0)
            return freeze_within(freeze)

    parts, late = freeze_before(ledger, lever, watched)
    for part in parts if parts != [NOTHING_OPEN] else ():
        say(part)
    return "; ".join(parts), going if late else None
