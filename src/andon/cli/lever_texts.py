"""Levers as texts: values as people type and read them, what is served now, and what one lever looks like."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from andon.cli.screen import plain, say, show_table
from andon.errors import InputError, StateError
from andon.golden.files import read_text
from andon.levers import (
    ENVIRONMENTS,
    Effect,
    FirstRead,
    Lever,
    LeverValue,
    Promotion,
    Pull,
    Version,
    check_value,
    digest_of,
    in_force,
    standing,
    turn,
    value_text,
)
from andon.levers import run as levers
from andon.levers.records import Environment
from andon.levers.registry import not_passed
from andon.levers.run.declaring import splitting
from andon.levers.run.reading import pulls_of
from andon.store import Ledger, Versioned
from andon.traffic import format_time, quoted

__all__ = [
    "SHORT",
    "failing",
    "parsed",
    "resting_text",
    "rule_of",
    "say_code",
    "served",
    "show_lever",
    "show_versions",
    "shown",
    "typed",
    "value_of",
    "version_text",
]

MOST_SHOWN = 60
SHORT = 40
"""Characters of a value or a reason in a column of a table: five of them are to be read on 100 columns."""

MOST_PULLS = 5
"""Pulls that a lever's page shows, newest first."""

_GETTERS = {"boolean": "boolean", "string": "string", "number": "float", "object": "object"}


def typed(kind: str, text: str) -> Any:
    """A value as somebody types it; ``@file`` reads a text or an object from a file.

    Raises:
        InputError: it is no value of this kind, or the file cannot be read.
    """
    from_file = kind in ("string", "object") and text.startswith("@")
    return parsed(kind, read_text(Path(text[1:])) if from_file else text)


def parsed(kind: str, text: str) -> Any:
    """The value of a kind that a text is.

    Raises:
        InputError: it is none.
    """
    if kind == "boolean":
        if text.strip().casefold() not in ("true", "false"):
            raise InputError(f"{quoted(text)} is not a boolean; give true or false")
        return text.strip().casefold() == "true"
    if kind == "number":
        try:
            return float(text)
        except ValueError:
            raise InputError(f"{quoted(text)} is not a number") from None
    if kind == "object":
        try:
            return json.loads(text, object_pairs_hook=_object)
        except RecursionError:
            raise InputError("the object is nested too deep; flatten it") from None
        except ValueError as error:
            raise InputError(f"{quoted(text)} is not JSON: {error}; an object or array is allowed, or @file") from None
    return text


def value_of(lever: Lever, text: str) -> LeverValue:
    """The value of a lever that somebody typed.

    Raises:
        InputError: it is none of its kind.
    """
    return check_value(lever, typed(lever.kind, text))


def shown(value: LeverValue, most: int = MOST_SHOWN) -> str:
    """A value on one line: itself where it is short, else how it begins and how long it is."""
    text = value_text(value)
    if len(text) > most:
        return f"{quoted(text, most // 2)} ({len(text):,} characters)"
    return quoted(text) if isinstance(value, str) or not text.isprintable() else text


def version_text(value: LeverValue, digest: str | None) -> str:
    """A value with the version that it is."""
    return shown(value) if digest is None else f"version {digest}, {shown(value)}"


def say_code(lever: Lever) -> None:
    """The line of Python by which an application reads a lever."""
    say("The application reads it by this line; its second argument is what it gets whenever no answer comes:")
    default = repr(lever.default)
    short = len(default) <= 2 * MOST_SHOWN
    say(f'  client.get_{_GETTERS[lever.kind]}_value("{lever.id}", {default if short else "DEFAULT"})')
    if not short:
        say(f"  where DEFAULT is the declared default, version {digest_of(lever.default)}")


def rule_of(error: StateError) -> str:
    """The rule that an error says was broken, without the advice to break the glass."""
    return plain(str(error).partition(" (or, in an emergency")[0])


def resting_text(ledger: Ledger, lever: Lever, environment: str, at_us: int) -> str:
    """What a lever gives while nobody holds it."""
    if (split := splitting(ledger, lever.id, environment, at_us)) is not None:
        arms = [f"version {d}" if d else "the default" for d in (split.treatment, split.control)]
        if split.shadow:
            return f"{arms[1]}, and {arms[0]} in the shadow of {split.experiment}"
        return f"{arms[0]} for {split.share:.3g} of the users and {arms[1]} for the others ({split.experiment})"
    value, digest = standing(lever, levers.live_in(ledger, lever.id, environment), levers.versions_of(ledger, lever.id))
    return f"{shown(value)} (the default)" if digest is None else _given(ledger, lever.id, value, digest)


def failing(ledger: Ledger) -> list[str]:
    """A line for each version that is live in production though the gate, asked again, did not pass it.

    Staging is for trying: what fails there is no alarm.
    """
    said = []
    for live in ledger.all(Promotion):
        users = live.digest is not None and live.environment == "production"
        version = ledger.get(Version, f"{live.lever}@{live.digest}") if users else None
        if version is not None and (why := not_passed(version)):
            said.append(
                f"live in {live.environment} though the gate did not pass it: {version.id}: {plain(why)}: "
                f'andon lever rollback {live.lever} --environment {live.environment} --for 4h --why "..."'
            )
    return said


def _given(ledger: Ledger, lever_id: str, value: LeverValue, digest: str | None) -> str:
    """A value with the version that it is, and with what the gate said where it did not pass it."""
    version = None if digest is None else ledger.get(Version, f"{lever_id}@{digest}")
    why = "" if version is None else not_passed(version)
    return version_text(value, digest) + (f" (THE GATE DID NOT PASS IT: {plain(why)})" if why else "")


def served(
    ledger: Ledger, lever: Lever, pulls: Sequence[Pull], environment: Environment, now_us: int, *, brief: bool = False
) -> str:
    """What a lever gives now, and why; `brief`: for a column of a table that has the default beside it."""
    held = in_force([p for p in pulls if p.lever == lever.id], now_us, environment)
    if held is None:
        rest = resting_text(ledger, lever, environment, now_us)
        return "the default" if brief and rest == f"{shown(lever.default)} (the default)" else rest
    loud = "BREAK GLASS: " if held.break_glass else ""
    why = quoted(held.why, SHORT if brief else 2_000)[1:-1]
    until = f"{format_time(held.until_us)[:16]}Z" if brief else format_time(held.until_us)
    return f"{loud}held at {_given(ledger, lever.id, held.value, held.digest)} by {plain(held.by)} until {until}: {why}"


def show_lever(ledger: Ledger, lever: Lever, now_us: int) -> None:
    """All that one lever is, gives and was."""
    pulls = sorted(pulls_of(ledger, lever.id), key=turn, reverse=True)
    say(plain(f"{lever.id} ({lever.kind}, of {lever.app})" + (f": {lever.about}" if lever.about else "")))
    say(f"default {shown(lever.default)}, safe {shown(lever.safe)}, fails {lever.fail}")
    say_code(lever)
    for environment in reversed(ENVIRONMENTS):
        say(f"{environment}: {served(ledger, lever, pulls, environment, now_us)}")
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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
