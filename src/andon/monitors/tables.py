"""Tables that people write (andon.toml, OpenSLO), read strictly: what is not understood is an error that names the key."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from andon.errors import InputError
from andon.traffic import quoted

__all__ = ["keys_of", "number", "text"]

LONGEST = 255


def keys_of(table: object, place: str, allowed: Sequence[str], required: Sequence[str] = ()) -> Mapping[str, Any]:
    """The table itself, once it is known to be one, with no other keys than the allowed and all of the required.

    Raises:
        InputError: it is no table, or a key is unknown or missing; names the place and the key.
    """
    if not isinstance(table, Mapping):
        raise InputError(f"{place} must be a table with the keys {', '.join(allowed)}; it is {quoted(table)}")
    for key in table:
        if key not in allowed:
            raise InputError(f"{place}: {quoted(key)} is not a key here; allowed are {', '.join(allowed)}")
    for key in required:
        if table.get(key) is None:
            raise InputError(f"{place}: {key} is missing; required are {', '.join(required)}")
    return table


def text(table: Mapping[str, Any], key: str, place: str, longest: int = LONGEST) -> str | None:
    """The text under a key; None where nothing is said.

    Raises:
        InputError: it is no text, blank, too long, or has blanks around it (it would match nothing).
    """
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value or value != value.strip() or len(value) > longest:
        raise InputError(
            f"{place}: {key} = {quoted(value)} must be text of 1 to {longest} characters, without blanks around it"
        )
    return value


def number(table: Mapping[str, Any], key: str, place: str) -> float | None:
    """The number under a key; None where nothing is said.

    Raises:
        InputError: it is no finite number.
    """
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise InputError(f"{place}: {key} = {quoted(value)} must be a number")
    if abs(value) > 1e300:
        raise InputError(f"{place}: {key} = {quoted(value)} is too large")
    return float(value)
