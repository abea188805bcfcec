"""Levers as texts: values as people type and read them, what is served now, and what one lever looks like."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from andon.cli.screen import plain, say, show_table
from andon.golden.files import read_text
from andon.levers import ENVIRONMENTS, Effect, FirstRead, Lever, LeverValue, Promotion, Pull, Version, check_value, turn
from andon.levers import run as levers
from andon.levers.given import Given, given_text
from andon.levers.records import Environment
from andon.levers.run.giving import failing as failing_versions
from andon.levers.run.giving import given
from andon.levers.run.reading import pulls_of
from andon.levers.words import SHORT, code_of, parsed, shown, version_text
from andon.store import Ledger, Versioned
from andon.traffic import format_time, quoted

__all__ = ["failing", "say_code", "served", "served_text", "show_lever", "show_versions", "typed", "value_of"]

MOST_PULLS = 5
"""Pulls that a lever's page shows, newest first."""


def typed(kind: str, text: str) -> Any:
    """A value as somebody types it; ``@file`` reads a text or an object from a file.

    Raises:
        InputError: it is no value of this kind, or the file cannot be read.
    """
    from_file = kind in ("string", "object") and text.startswith("@")
    return parsed(kind, read_text(Path(text[1:])) if from_file else text)


def value_of(lever: Lever, text: str) -> LeverValue:
    """The value of a lever that somebody typed.

    Raises:
        InputError: it is none of its kind.
    """
    return check_value(lever, typed(lever.kind, text))


def say_code(lever: Lever) -> None:
    """The line of Python by which an application reads a lever."""
    say("The application reads it by this line; its second argument is what it gets whenever no answer comes:")
    line, where = code_of(lever)
    say(f"  {line}")
    if where:
        say(f"  {where}")


def failing(ledger: Ledger) -> list[str]:
    """A line for each version that is live in production though the gate, asked again, did not pass it."""
    return [
        f"live in {live.environment} though the gate did not pass it: {version.id}: {plain(why)}: "
        f'andon lever rollback {live.lever} --environment {live.environment} --for 4h --why "..."'
        for live, version, why in failing_versions(ledger)
    ]


def served(ledger: Ledger, lever: Lever, environment: Environment, now_us: int, *, brief: bool = False) -> str:
    """What a lever gives now, and why; `brief`: for a column of a table that has the default beside it."""
    return served_text(given(ledger, lever, environment, now_us), brief=brief)


def served_text(now: Given, *, brief: bool = False) -> str:
    """The same of what was read already."""
    held = now.held
    if held is None:
        return "the default" if brief and now.is_default else plain(now.rest)
    loud = "BREAK GLASS: " if held.break_glass else ""
    why = quoted(held.why, SHORT if brief else 2_000)[1:-1]
    until = f"{format_time(held.until_us)[:16]}Z" if brief else format_time(held.until_us)
    value = plain(given_text(held.value, held.digest, now.gate))
    return f"{loud}held at {value} by {plain(held.by)} until {until}: {why}"


def show_lever(ledger: Ledger, lever: Lever, now_us: int) -> None:
    """All that one lever is, gives and was."""
    pulls = sorted(pulls_of(ledger, lever.id), key=turn, reverse=True)
    say(plain(f"{lever.id} ({lever.kind}, of {lever.app})" + (f": {lever.about}" if lever.about else "")))
    say(f"default {shown(lever.default)}, safe {shown(lever.safe)}, fails {lever.fail}")
    say_code(lever)
    for environment in reversed(ENVIRONMENTS):
        say(f"{environment}: {served(ledger, lever, environment, now_us)}")
    say("")
    show_versions(ledger, lever)
    if not pulls:
        say("nobody has pulled it yet")
    effects = ledger.all(Effect)
    for pull in pulls[:MOST_PULLS]:
        say("")
        for line in _pull_lines(ledger, pull, [e for e in effects if e.pull == pull.id], now_us):
            say(plain(line))
    if len(pulls) > MOST_PULLS:
        say(f"\n{len(pulls) - MOST_PULLS} earlier pulls are not shown; `andon change list` has them")


def show_versions(ledger: Ledger, lever: Lever) -> None:
    """The versions of a lever: who wrote and who approved each, what the gate said, and where it is live."""
    histories = [ledger.history(Promotion, f"{lever.id}:{e}") for e in ENVIRONMENTS]
    rows = [
        (
            v.digest,
            v.by,
            format_time(v.at_us)[:16],
            ", ".join(a.by for a in v.approvals) or "nobody",
            f"{v.gates[-1].outcome} ({v.gates[-1].run or 'no run'})" if v.gates else "not asked",
            "; ".join(text for h in histories if (text := _live(v, h))),
            v.parent or "",
            quoted(v.why, 80)[1:-1],
        )
        for v in levers.versions_of(ledger, lever.id)
    ]
    head = ("version", "author", "written", "approved by", "gate", "live", "made from", "why")
    show_table(head, rows, empty=f"no version yet; `andon lever version add {lever.id}` writes one")


def _live(version: Version, history: Sequence[Versioned[Promotion]]) -> str:
    mine = [v.record for v in history if v.record.digest == version.digest]
    if not mine:
        return ""
    last = mine[-1]
    if history[-1].record.digest != version.digest:
        return f"{last.environment} before"
    return f"{last.environment} since {format_time(last.at_us)[:16]} by {plain(last.by)}"


def _pull_lines(ledger: Ledger, pull: Pull, effects: Sequence[Effect], now_us: int) -> Iterator[str]:
    loud = "BREAK GLASS: " if pull.break_glass else ""
    yield (
        f"{loud}{pull.id}: {pull.by} held {pull.environment} at {version_text(pull.value, pull.digest)}, "
        f"{format_time(pull.at_us)} to {format_time(pull.until_us)}"
    )
    parts = (
        ("why", pull.why),
        ("trade-off", pull.trade_off),
        ("incident", pull.incident),
        ("to be released when", pull.exit),
    )
    yield from (f"  {name}: {text}" for name, text in parts if text)
    if pull.evidence:
        yield f"  {pull.evidence}"
    read = ledger.get(FirstRead, pull.id)
    if read is not None:
        whom = "read by an application" if read.by_application else "given to a client that did not say what it is,"
        yield f"  first {whom} {(read.at_us - pull.at_us) / 1e6:.1f} s after the pull"
    yield from (f"  effect: {e.text}" for e in effects)
    yield f"  {_end(pull, now_us)}"
    if pull.reviewed is not None:
        yield f"  reviewed by {pull.reviewed.by}: {pull.reviewed.why}"
    elif pull.break_glass:
        yield f'  nobody but {pull.by} has looked at it: andon lever review {pull.id} --why "..."'


def _end(pull: Pull, now_us: int) -> str:
    if pull.released_us is not None:
        return f"ended {format_time(pull.released_us)} by {pull.released_by}: {pull.released_why}"
    return "holds" if pull.until_us > now_us else f"ended {format_time(pull.until_us)}: its time is over"
