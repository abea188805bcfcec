"""What a lever may be, which pull is in force, and what is served: values in, values out.

The answers follow OFREP 0.3.0 and what its Python client was measured to do with them: an answer without ``variant``, with
an invented ``reason`` or with an integer for a float is an error to that client, and every error path of a client returns
the *code default*. So a slightly wrong answer would silently undo a pull.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from andon.changes import Change
from andon.errors import InputError
from andon.levers.records import Lever, LeverValue, Pull
from andon.traffic import format_time, quoted

__all__ = [
    "MAX_HOLD_US",
    "OURSELVES",
    "check_key",
    "check_lever",
    "check_value",
    "default_change",
    "ended_change",
    "evaluate",
    "in_force",
    "latest",
    "pulled_change",
    "superseded",
    "value_text",
]

MAX_HOLD_US = 90 * 24 * 3600 * 1_000_000
"""Longest time for which a lever is held; who needs longer wants another default."""

OURSELVES = "andon"
"""Author of what nobody did: an expiry."""

_KEY = re.compile(r"[a-z0-9._-]{1,100}", re.ASCII)
_KINDS = {"boolean": "true or false", "string": "text", "number": "a finite number"}
_MAX_TEXT = 1_000_000


def check_key(key: str) -> str:
    """The key of a lever, when clients can carry it.

    Raises:
        InputError: a client would mangle the key on its way into a URL (``a/b c?d#e`` is asked for as ``/a/b%20c?d``).
    """
    if not _KEY.fullmatch(key) or key in (".", ".."):
        raise InputError(
            f"{quoted(key, 120)} is not a key of a lever; 1 to 100 of a-z 0-9 . _ - are allowed (and not `.` or `..`)"
        )
    return key


def check_value(lever: Lever, value: Any) -> LeverValue:
    """The value as the lever's kind serves it; a number is always a float.

    Raises:
        InputError: the value has another type: a lever keeps one type for ever, because clients refuse any other.
    """
    wrong = InputError(
        f"{quoted(value)} ({type(value).__name__}) is not a value of {lever.id}; it takes {_KINDS[lever.kind]}"
    )
    if lever.kind == "boolean" and isinstance(value, bool):
        return value
    if lever.kind == "string" and isinstance(value, str):
        return _text(value, wrong)
    if lever.kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise wrong from None
        if math.isfinite(number):
            return number
    raise wrong


def check_lever(lever: Lever) -> Lever:
    """The lever, ready to be declared: its key, kind, values and failure policy agree.

    Raises:
        InputError: they do not; the message says which and what is allowed.
    """
    check_key(lever.id)
    if lever.kind not in _KINDS:
        raise InputError(f"kind {quoted(lever.kind)} of {lever.id} is not known; one of {', '.join(_KINDS)} is")
    if lever.fail not in ("open", "closed"):
        raise InputError(f"fail {quoted(lever.fail)} of {lever.id} is not known; open or closed is")
    checked = replace(lever, default=check_value(lever, lever.default), safe=check_value(lever, lever.safe))
    if checked.fail == "closed" and checked.default != checked.safe:
        raise InputError(
            f"{lever.id} fails closed, but its default {quoted(checked.default)} is not its safe value {quoted(checked.safe)}: every error "
            f"path of a client (timeout, refused connection, unreadable answer) returns the code default, so only a default equal "
            f"to the safe value fails closed. Set default to {quoted(checked.safe)}, or declare fail='open'"
        )
    return checked


def latest(pulls: Iterable[Pull]) -> Pull | None:
    """The newest of one lever's pulls; a pull supersedes all that came before it, also after it ended."""
    return max(pulls, key=lambda p: (p.at_us, p.id), default=None)


def in_force(pulls: Iterable[Pull], now_us: int) -> Pull | None:
    """The one pull of one lever that holds it now: the newest, if it was not released and has not expired."""
    pull = latest(pulls)
    if pull is None or pull.released_us is not None or pull.until_us <= now_us:
        return None
    return pull


def evaluate(lever: Lever, pulls: Iterable[Pull], now_us: int) -> dict[str, Any]:
    """The body of a successful OFREP evaluation: key, value, reason, variant and metadata, each of them always there.

    Metadata are booleans and strings, as the protocol wants: who holds the lever, until when, for which incident.
    """
    pull = in_force(pulls, now_us)
    value = lever.default if pull is None else pull.value
    metadata: dict[str, bool | str] = {"held": pull is not None}
    if pull is not None:
        metadata |= {"pull": pull.id, "author": pull.by, "until": format_time(pull.until_us)}
        if pull.incident is not None:
            metadata["incident"] = pull.incident
    return {
        "key": lever.id,
        "value": float(value) if lever.kind == "number" else value,  # JSON's 1 is an integer to a client, 1.0 a float
        "reason": "STATIC",
        "variant": "default" if pull is None else "held",
        "metadata": metadata,
    }


def superseded(pull: Pull, by: Pull) -> Pull:
    """The pull as it ended when the next one took its place (or before, when its time was over by then)."""
    if pull.until_us <= by.at_us:
        return replace(pull, released_us=pull.until_us, released_by=OURSELVES, released_why="its time is over")
    return replace(pull, released_us=by.at_us, released_by=by.by, released_why=f"superseded by {by.id}")


def pulled_change(lever: Lever, before: Pull | None, pull: Pull) -> Change:
    """The change that a pull is; `before` is the pull of the same lever that came before it, whether it ended or not."""
    value = before.value if before is not None and _gave_way(before, pull) else lever.default
    title = f"lever {lever.id} held at {_short(pull.value)}"
    return _change(lever, f"{pull.id}-held", title, pull.at_us, value, pull.value, pull.by)


def ended_change(lever: Lever, pull: Pull) -> Change:
    """The change that the end of a pull is, by a person or because its time is over."""
    assert pull.released_us is not None
    how = "expired" if pull.released_us >= pull.until_us else "released"
    title = f"hold of lever {lever.id} {how}: back to {_short(lever.default)}"
    author = pull.released_by or OURSELVES
    return _change(lever, f"{pull.id}-{how}", title, pull.released_us, pull.value, lever.default, author)


def default_change(lever: Lever, before: LeverValue, change_id: str, at_us: int, by: str) -> Change:
    """The change that a new default is, while nobody holds the lever."""
    return _change(
        lever,
        change_id,
        f"default of lever {lever.id} set to {_short(lever.default)}",
        at_us,
        before,
        lever.default,
        by,
    )


def _gave_way(before: Pull, pull: Pull) -> bool:
    if before.released_us is None:
        return before.until_us > pull.at_us
    return before.released_why == f"superseded by {pull.id}"


def _change(
    lever: Lever, change_id: str, title: str, at_us: int, before: LeverValue, after: LeverValue, by: str
) -> Change:
    return Change(
        id=change_id,
        at_us=at_us,
        kind="lever",
        title=title,
        app=lever.app,
        environment=lever.environment,
        before=value_text(before),
        after=value_text(after),
        author=by,
        origin="lever",
        own=True,
    )


def value_text(value: LeverValue) -> str:
    """A value as the commands take it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _short(value: LeverValue) -> str:
    return quoted(value) if isinstance(value, str) else value_text(value)


def _text(value: str, wrong: InputError) -> str:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise wrong from None
    if size > _MAX_TEXT:
        raise InputError(f"the text has {size} bytes; up to {_MAX_TEXT} are allowed")
    return value
