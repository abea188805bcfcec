"""Values of levers as people type and read them, and the line of code that reads a lever: texts in, texts out."""

import json
from typing import Any

from andon.errors import InputError, StateError
from andon.levers.records import Lever, LeverValue
from andon.levers.registry import check_value, digest_of, value_text
from andon.traffic import quoted

__all__ = ["MOST_SHOWN", "SHORT", "code_of", "gave_way", "parsed", "rule_of", "shown", "value_of_text", "version_text"]

MOST_SHOWN = 60
"""Characters of a value in a sentence."""

SHORT = 40
"""Characters of a value or a reason in a column of a table: five of them are to be read on 100 columns."""

_GETTERS = {"boolean": "boolean", "string": "string", "number": "float", "object": "object"}


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
            raise InputError(f"{quoted(text)} is not JSON: {error}; an object or array is allowed") from None
    return text


def value_of_text(lever: Lever, text: str) -> LeverValue:
    """The value of a lever that a text is.

    Raises:
        InputError: it is none of its kind.
    """
    return check_value(lever, parsed(lever.kind, text))


def shown(value: LeverValue, most: int = MOST_SHOWN) -> str:
    """A value on one line: itself where it is short, else how it begins and how long it is."""
    text = value_text(value)
    if len(text) > most:
        return f"{quoted(text, most // 2)} ({len(text):,} characters)"
    return quoted(text) if isinstance(value, str) or not text.isprintable() else text


def version_text(value: LeverValue, digest: str | None) -> str:
    """A value with the version that it is."""
    return shown(value) if digest is None else f"version {digest}, {shown(value)}"


def code_of(lever: Lever) -> tuple[str, str]:
    """The line of Python by which an application reads a lever; and what its name DEFAULT stands for, where the default is long."""
    default = repr(lever.default)
    short = len(default) <= 2 * MOST_SHOWN
    line = f'client.get_{_GETTERS[lever.kind]}_value("{lever.id}", {default if short else "DEFAULT"})'
    return line, "" if short else f"where DEFAULT is the declared default, version {digest_of(lever.default)}"


def rule_of(error: StateError) -> str:
    """The rule that an error says was broken, without the advice to break the glass."""
    return str(error).partition(" (or, in an emergency")[0]


def gave_way(released_why: str | None) -> str:
    """The pull that took the place of one which ended so; empty where none did."""
    why = released_why or ""
    return why.removeprefix("superseded by ") if why.startswith("superseded by ") else ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
