"""What a lever and its versions may be, and which version may be served where: values in, values out."""

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson

from andon.access.names import check_letters, letters
from andon.changes.lines import line_diff
from andon.errors import InputError, StateError
from andon.levers.records import ENVIRONMENTS, Approval, Environment, Lever, LeverValue, Promotion, Pull, Version
from andon.traffic import quoted

__all__ = [
    "MAX_HOLD_US",
    "OURSELVES",
    "approve",
    "check_approved",
    "check_environment",
    "check_key",
    "check_lever",
    "check_person",
    "check_promotion",
    "check_served",
    "check_value",
    "diff",
    "digest_of",
    "find_version",
    "line",
    "not_passed",
    "origin_of",
    "reviewed",
    "same_value",
    "shown_value",
    "value_text",
]

MAX_HOLD_US = 90 * 24 * 3600 * 1_000_000
"""Longest time for which a lever is held; who needs longer promotes another version."""

OURSELVES = "andon"
"""Author of what nobody did: an expiry."""

_KEY = re.compile(r"[a-z0-9._-]{1,100}", re.ASCII)
_KINDS = {"boolean": "true or false", "string": "text", "number": "a finite number", "object": "a JSON object or array"}
_MAX_TEXT = 1_000_000
_DEEPEST = 50


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


def check_environment(environment: str) -> Environment:
    """The environment, when levers are served there.

    Raises:
        InputError: it is another.
    """
    found = next((e for e in ENVIRONMENTS if e == environment), None)
    if found is None:
        raise InputError(f"environment {quoted(environment)} has no levers; {' and '.join(ENVIRONMENTS)} have")
    return found


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
            return number + 0.0  # -0.0 is 0.0, and one version
    if lever.kind == "object" and isinstance(value, dict | list):
        return _plain(value, wrong)
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


def digest_of(value: LeverValue) -> str:
    """The name of a version: the first 12 hex digits of the SHA-256 of its value as canonical JSON.

    It names and proves nothing: two values of one digest are found within a minute. What is allowed is compared by
    `same_value`.
    """
    return hashlib.sha256(_canonical(value).encode()).hexdigest()[:12]


def same_value(one: LeverValue, other: LeverValue) -> bool:
    """Whether two values are the same to an application: in objects true is not 1, and 1 is not 1.0."""
    return _canonical(one) == _canonical(other)


def find_version(lever: Lever, versions: Iterable[Version], named: str) -> Version:
    """The version of a lever whose digest begins so (four characters or more).

    Raises:
        InputError: there is none, or there are several; names those there are.
    """
    own = [v for v in versions if v.lever == lever.id]
    asked = named.removeprefix(f"{lever.id}@")
    found = [v for v in own if v.digest == asked or (len(asked) >= 4 and v.digest.startswith(asked))]
    if len(found) != 1:
        known = (
            ", ".join(f"{v.digest} ({quoted(v.why, 40)})" for v in own[-10:]) or "none yet: `andon lever version add`"
        )
        what = "is no version" if not found else "begins several versions"
        raise InputError(f"{quoted(named, 80)} {what} of {lever.id}; there are: {known}")
    return found[0]


def approve(version: Version, *, by: str, why: str, now_us: int) -> Version:
    """The version with one more approval; who approved already approves no second time.

    Raises:
        InputError: the name is one by which one person could be two.
        StateError: the author cannot approve their own version.
    """
    by = check_person(by)
    if _same_person(by, version.by):
        raise StateError(
            f"{version.id} was written by {quoted(version.by, 200)}, who cannot approve it; ask another person"
        )
    if any(_same_person(by, a.by) for a in version.approvals):
        return version
    return replace(version, approvals=(*version.approvals, Approval(by=by, at_us=now_us, why=why)))


def check_promotion(
    version: Version,
    environment: Environment,
    staged: Promotion | None,
    before: Iterable[Promotion],
) -> None:
    """Whether a version may go live in an environment: anything in staging; in production what was approved and tried.

    Args:
        version: what is to go live.
        environment: where.
        staged: what is live in staging.
        before: what was live in production until now, the present one too: back to such a one is no new promotion.

    Raises:
        StateError: it may not; says what is missing and what to do.
    """
    if environment != "production":
        return
    check_approved(version)
    if any(p.digest == version.digest for p in before):
        return
    if staged is None or staged.digest != version.digest:
        raise StateError(
            f"{version.id} is not live in staging: `andon lever promote {version.lever} {version.digest} --to staging` first, and see "
            f"it work there (or, in an emergency, hold it for a time: `andon lever hold {version.lever} --version {version.digest}`)"
        )


def check_approved(version: Version) -> None:
    """Whether production may see a version at all.

    Raises:
        StateError: nobody but its author has read it, or the gate did not pass it.
    """
    if not version.approvals:
        raise StateError(
            f"{version.id} by {quoted(version.by, 200)} is not approved, and nothing unapproved is served to production; another person "
            f"says `andon lever version approve {version.lever} {version.digest}` (or, in an emergency, holds it for a day at most: "
            f"`andon lever hold {version.lever} --version {version.digest} --break-glass`)"
        )
    if said := not_passed(version):
        raise StateError(
            f"the gate did not pass {version.id}: {said}; mend it and add the version that passes, "
            f"or ask the gate again: `andon lever version gate {version.lever} {version.digest}`"
        )


def not_passed(version: Version) -> str:
    """What the gate said last of a version that it did not pass, which may be live or held since before; empty where it passed.

    Empty, too, where it was never asked.
    """
    gate = version.gates[-1] if version.gates else None
    return "" if gate is None or gate.outcome == "pass" else f"{gate.outcome} ({quoted(gate.reason, 200)})"


def check_served(lever: Lever, value: LeverValue, environment: Environment, versions: Iterable[Version]) -> None:
    """Whether a value may be given where it would be: production sees what was declared or approved.

    That is the safe value, the default, what lies between the two of a number (part of the way needs no second reading), and
    approved versions. Where both are whole numbers and so is every version, the application reads a whole number, and no
    fraction lies between.

    Raises:
        StateError: it may not.
    """
    versions = [v for v in versions if v.lever == lever.id]
    if environment != "production" or any(same_value(value, v) for v in (lever.safe, lever.default)):
        return
    ends = (lever.safe, lever.default)
    between = lever.kind == "number" and min(ends) <= value <= max(ends)  # type: ignore[type-var, operator]
    if between and (_whole(value) or not all(map(_whole, (*ends, *(v.value for v in versions))))):
        return
    version = next((v for v in versions if same_value(v.value, value)), None)
    if version is None and between:
        raise StateError(
            f"{shown_value(value)} is no whole number, and {lever.id} takes whole numbers: its default ({shown_value(lever.default)}), its "
            f"safe value ({shown_value(lever.safe)}) and its versions are. Take {math.floor(value)} or {math.ceil(value)}; where "  # type: ignore[arg-type]
            f"the application can read fractions, `andon lever version add {lever.id}` says so with one (or, in an emergency, hold it "
            f"for a day at most: `andon lever hold {lever.id} --value ... --break-glass`)"
        )
    if version is None:
        raise StateError(
            f"{shown_value(value)} is neither the safe value of {lever.id} ({shown_value(lever.safe)}) nor its default nor a version, and nothing "
            f"unapproved is served to production: `andon lever version add {lever.id}` and have it approved (or, in an emergency, hold "
            f"it for a day at most: `andon lever hold {lever.id} --value ... --break-glass`)"
        )
    check_approved(version)


def diff(before: Version | Lever, after: Version | Lever) -> str:
    """What changed between two versions, line by line; of an object, line by line of its indented JSON.

    A lever stands for its declared default.
    """
    (old, one), (new, other) = (
        (x.default, "default") if isinstance(x, Lever) else (x.value, x.digest) for x in (before, after)
    )
    return "\n".join(line_diff(_lines(old), _lines(new), one, other))


def origin_of(
    lever: Lever, version: Version, versions: Iterable[Version], live: Promotion | None
) -> tuple[Version | Lever, str]:
    """What a version has to be compared with by somebody who is to approve it: a text that somebody has read already.

    Args:
        lever: of which the version is.
        version: what is to be read.
        versions: all of the lever.
        live: what is live in production.

    Returns:
        The nearest version on the way that it was made from which somebody approved; else what is live in production; else the
        lever, for its declared default; and why it is this one.
    """
    known = {v.digest: v for v in versions if v.lever == lever.id}
    parent = origin = known.get(version.parent or "")
    while origin is not None and not origin.approvals:
        origin = known.get(origin.parent or "")
    unread = "" if parent is None else f"{parent.id}, which it was made from, is not approved"
    if origin is not None:
        nearest = f"{unread}, and this is the nearest before that is"
        return origin, "it was made from this, which is approved" if origin is parent else nearest
    unread = unread or "it was made from no version"
    if live is not None and live.digest in known and live.digest != version.digest:
        return known[live.digest], f"{unread}, and this is live in production"
    return lever, f"{unread}, and no other is live in production" if parent is not None else unread


def value_text(value: LeverValue) -> str:
    """A value as the commands take it."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown_value(value: LeverValue, most: int = 80) -> str:
    """A value in a sentence: a text in quotes, anything else as the commands take it; after `most` characters it is cut."""
    return quoted(value, most) if isinstance(value, str) else quoted(value_text(value), most)[1:-1]


def line(name: str, text: str, most: int) -> str:
    """A text that must say something.

    Raises:
        InputError: it is empty or too long.
    """
    stripped = text.strip() if isinstance(text, str) else ""
    if not 0 < len(stripped) <= most:
        raise InputError(
            f"{name}={quoted(text)} is not allowed: every pull and release says {name} in 1 to {most} characters"
        )
    return stripped


def reviewed(pull: Pull, *, by: str, why: str, now_us: int) -> Pull:
    """The pull after another person looked at why the glass was broken.

    Raises:
        InputError: the name is one by which one person could be two.
        StateError: no glass was broken, it was looked at already, or it is the same person.
    """
    by = check_person(by)
    if not pull.break_glass:
        raise StateError(f"{pull.id} broke no glass; there is nothing to review")
    if pull.reviewed is not None:
        raise StateError(f"{pull.id} was reviewed by {quoted(pull.reviewed.by, 200)} already")
    if _same_person(by, pull.by):
        raise StateError(f"{pull.id} was pulled by {quoted(pull.by, 200)}, who cannot review it; ask another person")
    return replace(pull, reviewed=Approval(by=by, at_us=now_us, why=why))


def check_person(name: str) -> str:
    """The name of somebody who is told from another person by it, ready to be written.

    Raises:
        InputError: it is empty, too long or without a letter, or one person could be two by it: it holds what nobody sees, or
            letters of two scripts, which look alike.
    """
    return check_letters(line("by", name, 200))


def _same_person(one: str, other: str) -> bool:
    """Whether two names are of one person: their letters and digits are, in any case and form."""
    return letters(one) == letters(other)


def _whole(value: LeverValue) -> bool:
    return isinstance(value, int | float) and value == math.floor(value)


def _canonical(value: LeverValue) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _lines(value: LeverValue) -> list[str]:
    if isinstance(value, str):
        return value.split("\n")
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True).split("\n")


def _text(value: str, wrong: InputError) -> str:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise wrong from None
    if size > _MAX_TEXT:
        raise InputError(f"the text has {size} bytes; up to {_MAX_TEXT} are allowed")
    return value


def _plain(value: dict[str, Any] | list[Any], wrong: InputError) -> LeverValue:
    """A copy of a JSON value, with whole numbers as they are."""
    if not _within(value, _DEEPEST):
        raise InputError(f"the object is nested more than {_DEEPEST} deep; flatten it")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        orjson.dumps(value)  # what answers are written with: a number of more than 64 bits would fail all of them
    except (TypeError, ValueError):
        raise wrong from None
    _text(text, wrong)
    copy: LeverValue = json.loads(text)
    if copy != value:  # keys that are no text, tuples: another value would be read back
        raise wrong
    return copy


def _within(value: Any, deep: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return not isinstance(value, dict | list | tuple) or (deep > 0 and all(_within(v, deep - 1) for v in inner))
