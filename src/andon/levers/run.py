"""Declare, hold, release and expire levers; keep what they serve in memory for reads."""

import threading
from collections import defaultdict
from dataclasses import replace
from typing import Any

from andon.changes import Change
from andon.errors import InputError, StateError
from andon.levers.records import Lever, Pull
from andon.levers.registry import (
    MAX_HOLD_US,
    OURSELVES,
    check_lever,
    check_value,
    default_change,
    ended_change,
    evaluate,
    in_force,
    latest,
    pulled_change,
    superseded,
)
from andon.store import Ledger
from andon.traffic import format_time, quoted

__all__ = ["Board", "declare", "expire", "hold", "release"]

_HELD = 1
"""Version of a pull that nobody ended: a pull has two versions in its life, held and ended."""


def declare(ledger: Ledger, lever: Lever, now_us: int, by: str) -> Lever:
    """Write a lever, or a new version of one; a changed default of a lever that nobody holds is a change.

    Raises:
        InputError: the lever contradicts itself.
        StateError: it was declared with another kind: a lever keeps one type for ever.
    """
    lever, by = check_lever(lever), _line("by", by, 200)
    known = ledger.get(Lever, lever.id)
    if known == lever:
        return known
    if known is not None and known.kind != lever.kind:
        raise StateError(
            f"{lever.id} is a {known.kind} lever and stays one, because applications read it as such; "
            f"declare another key for a {lever.kind}"
        )
    version = ledger.put(lever, now_us=now_us, by=by)
    if known is not None and known.default != lever.default and in_force(_pulls(ledger, lever.id), now_us) is None:
        change = default_change(lever, known.default, f"lever-{lever.id}-v{version}", now_us, by)
        ledger.put(change, now_us=now_us, by=by)
    return lever


def hold(
    ledger: Ledger,
    lever_id: str,
    value: Any = None,
    *,
    why: str,
    by: str,
    until_us: int,
    incident: str | None = None,
    trade_off: str = "",
    now_us: int,
) -> Pull:
    """Hold a lever at a value (its safe value unless given) until a time; supersedes the pull that holds it now.

    Raises:
        InputError: the lever is unknown, the value has another type, why or by is empty, or the time is not in the future
            or more than 90 days away.
        StateError: somebody else pulled the same lever in the same moment.
    """
    lever = _known(ledger, lever_id)
    why, by = _line("why", why, 2_000), _line("by", by, 200)
    trade_off = _line("trade_off", trade_off, 2_000) if trade_off.strip() else ""
    incident = _line("incident", incident, 200) if incident is not None else None
    value = lever.safe if value is None else check_value(lever, value)
    pulls, _ = _settle(ledger, lever, _pulls(ledger, lever.id), now_us)
    last = latest(pulls)
    at_us = now_us if last is None else max(now_us, last.at_us + 1)  # a clock that was set back must not undo a pull
    if isinstance(until_us, bool) or not isinstance(until_us, int) or not at_us < until_us <= now_us + MAX_HOLD_US:
        raise InputError(
            f"until_us={quoted(until_us)} is not allowed: a hold ends after now ({format_time(at_us)}) and within 90 days "
            f"(by {format_time(now_us + MAX_HOLD_US)}); who needs longer changes the lever's default"
        )
    pull = Pull(
        id=f"pull-{lever.id}-{len(pulls) + 1:05d}",
        lever=lever.id,
        value=value,
        at_us=at_us,
        by=by,
        why=why,
        until_us=until_us,
        incident=incident,
        trade_off=trade_off,
    )
    ledger.put(pull, now_us=now_us, by=by, expect=0)
    _settle(ledger, lever, [*pulls, pull], now_us)
    return pull


def release(ledger: Ledger, lever_id: str, *, why: str, by: str, now_us: int) -> Pull:
    """End the pull that holds a lever; from now on the default is served.

    Raises:
        InputError: the lever is unknown, or why or by is empty.
        StateError: nothing holds the lever, or somebody else ended the hold in the same moment.
    """
    lever = _known(ledger, lever_id)
    why, by = _line("why", why, 2_000), _line("by", by, 200)
    pulls, _ = _settle(ledger, lever, _pulls(ledger, lever.id), now_us)
    held = in_force(pulls, now_us)
    if held is None:
        last = latest(pulls)
        ended = (
            "" if last is None or last.released_us is None else f"; {last.id} ended at {format_time(last.released_us)}"
        )
        raise StateError(f"nothing holds {lever.id}{ended}")
    ended_pull = replace(held, released_us=max(now_us, held.at_us), released_by=by, released_why=why)
    ledger.put(ended_pull, now_us=now_us, by=by, expect=_HELD)
    _settle(ledger, lever, [ended_pull if p.id == held.id else p for p in pulls], now_us)
    return ended_pull


def expire(ledger: Ledger, now_us: int) -> list[Pull]:
    """End every pull whose time is over, each with a change of its own, once; returns those that ended now.

    It also completes what a crash left half-written: a pull or an end without its change.
    """
    pulls: dict[str, list[Pull]] = defaultdict(list)
    for pull in ledger.all(Pull):
        pulls[pull.lever].append(pull)
    ended: list[Pull] = []
    for lever in sorted(ledger.all(Lever), key=lambda x: x.id):
        ended += _settle(ledger, lever, pulls[lever.id], now_us)[1]
    return ended


class Board:
    """What every lever serves, in memory: reads touch neither the ledger nor a lock, and outlive both.

    `refresh` reads the ledger; whoever serves calls it at least every second. When it fails, the last known state stays:
    holds still expire on time, because their expiry is part of it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reading = threading.Lock()
        self._known: dict[str, tuple[Lever, tuple[Pull, ...]]] = {}

    def refresh(self) -> None:
        """Read the ledger.

        Raises:
            StoreError: it cannot be read; what was known before is still served.
        """
        with self._reading:  # an older reading must not replace a newer one
            pulls: dict[str, list[Pull]] = defaultdict(list)
            for pull in self._ledger.all(Pull):
                pulls[pull.lever].append(pull)
            known: dict[str, tuple[Lever, tuple[Pull, ...]]] = {}
            for lever in self._ledger.all(Lever):
                last = latest(pulls[lever.id])
                known[lever.id] = (lever, () if last is None else (last,))
            self._known = known

    def evaluate(self, key: str, now_us: int) -> dict[str, Any] | None:
        """The OFREP body of a lever, or None when there is no lever with this key."""
        found = self._known.get(key)
        return None if found is None else evaluate(*found, now_us)

    def keys(self) -> list[str]:
        """Keys of all levers, sorted."""
        return sorted(self._known)

    def has_expired(self, now_us: int) -> bool:
        """Whether a pull's time is over and its end is not recorded yet."""
        return any(p.released_us is None and p.until_us <= now_us for _, pulls in self._known.values() for p in pulls)


def _settle(ledger: Ledger, lever: Lever, pulls: list[Pull], now_us: int) -> tuple[list[Pull], list[Pull]]:
    """All pulls of a lever after writing what follows from them, and those whose time is over and that ended now.

    Pulls are written before their changes, guarded by their version, and a change is computed from its pull. So whoever
    settles next completes what a crash left, and two who settle at once write the same.
    """
    ordered = sorted(pulls, key=lambda p: (p.at_us, p.id))
    if not ordered:
        return [], []
    last = ordered[-1]
    before = ordered[-2] if len(ordered) > 1 else None
    expired: list[Pull] = []
    _record(ledger, pulled_change(lever, before, last), now_us)
    if before is not None and before.released_us is None:
        ordered[-2] = superseded(before, last)
        _write_end(ledger, ordered[-2], now_us)
    if last.released_us is None and last.until_us <= now_us:
        ordered[-1] = last = replace(
            last, released_us=last.until_us, released_by=OURSELVES, released_why="its time is over"
        )
        if _write_end(ledger, last, now_us):
            expired = [last]
    if last.released_us is not None:
        _record(ledger, ended_change(lever, last), now_us)
    return ordered, expired


def _write_end(ledger: Ledger, pull: Pull, now_us: int) -> bool:
    try:
        ledger.put(pull, now_us=now_us, by=pull.released_by or OURSELVES, expect=_HELD)
    except StateError:  # another process ended it a moment ago
        return False
    return True


def _record(ledger: Ledger, change: Change, now_us: int) -> None:
    if ledger.get(Change, change.id) is None:
        ledger.put(change, now_us=now_us, by=change.author)


def _pulls(ledger: Ledger, lever_id: str) -> list[Pull]:
    return [p for p in ledger.all(Pull) if p.lever == lever_id]


def _known(ledger: Ledger, lever_id: str) -> Lever:
    lever = ledger.get(Lever, lever_id)
    if lever is None:
        known = ", ".join(sorted(x.id for x in ledger.all(Lever))) or "none yet"
        raise InputError(f"there is no lever {quoted(lever_id)}; declared: {known}")
    return lever


def _line(name: str, text: str, most: int) -> str:
    stripped = text.strip() if isinstance(text, str) else ""
    if not 0 < len(stripped) <= most:
        raise InputError(
            f"{name}={quoted(text)} is not allowed: every pull and release says {name} in 1 to {most} characters"
        )
    return stripped
