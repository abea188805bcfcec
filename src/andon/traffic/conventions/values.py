"""Values of span attributes: anything may come under any name, and nothing here raises."""

from collections.abc import Callable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any

import orjson

__all__ = ["CONVERT", "canonical", "compact_json", "count", "json_text", "listed", "number", "parse_json", "text"]


def text(value: Any) -> str | None:
    """The value as text: a list of texts joined by commas, other structures as JSON; None where there is nothing."""
    if isinstance(value, str):
        return value or None
    if value is None or value in ([], {}):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return ",".join(value) or None
    return json_text(value)


def number(value: Any) -> float | None:
    """The value as a finite number; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


def count(value: Any) -> int | None:
    """The value as a whole number from 0 on; None where it is none."""
    if type(value) is int:
        return value if 0 <= value < 2**53 else None
    found = number(value)
    return int(found) if found is not None and 0 <= found < 2**53 and found == int(found) else None


def flag(value: Any) -> bool | None:
    """The value as true or false; None where it is neither."""
    return {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower()) if _is_plain(value) else None


def parse_json(value: Any) -> Any:
    """The value of JSON text that holds an object, a list or a text; None where it is none."""
    if not isinstance(value, str):
        return None
    first = value[:1]
    if first not in _JSON_STARTS and not (first.isspace() and value.lstrip()[:1] in _JSON_STARTS):
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def listed(value: Any) -> list[Any] | None:
    """The list that a value is, or that its JSON text holds; None where it is neither."""
    found = parse_json(value) if isinstance(value, str) else value
    return found if isinstance(found, list) else None


def compact_json(value: Any) -> str | None:
    """JSON text in one spelling, so that two senders' texts of one value are equal; text that is no JSON as it is."""
    known = parse_json(value) if isinstance(value, str) else value
    if known is None:
        return value or None
    return known if isinstance(known, str) else json_text(known)


def json_text(value: Any) -> str:
    """The value as JSON text, keys in the order in which they came."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        return _repr(value)


def canonical(value: Any) -> bytes:
    """Bytes that are equal for equal values, whatever the order of their keys."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return _repr(value).encode("utf-8", "replace")


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except RecursionError:
        return "(nested too deeply)"


_JSON_STARTS = ("{", "[", '"')
CONVERT: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {"text": text, "number": number, "count": count, "flag": flag}
)
"""How a value of each kind of reading is read."""
