"""What was sent and has no field of its own: kept as text, within bounds and without secrets."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from andon.errors import InputError
from andon.traffic import quoted

__all__ = [
    "LEFT_OUT",
    "MOST_KEYS",
    "MOST_NAME",
    "MOST_TEXT",
    "SECRET",
    "attributes_of",
    "canonical",
    "check_depth",
    "clip",
    "is_link",
    "is_storable",
    "line_of",
    "text_of",
]

MOST_KEYS = 50
"""Most attributes of one record; the rest is counted in `LEFT_OUT`."""

MOST_TEXT = 1_000
"""Most characters of one attribute; a longer one ends in an ellipsis."""

MOST_NAME = 100
"""Most characters of the name of an attribute."""

LEFT_OUT = "andon.left_out"
"""Attribute that says how many others there was no room for."""

SECRET = "(a secret, not kept)"  # noqa: S105 - what stands in its place
"""Stands where a key says that its value opens a door."""

DEEPEST = 50
_OPENED = 3
_SECRETS = frozenset({
    "accesstoken", "apikey", "authorization", "bearertoken", "clientsecret", "cookie", "credential", "credentials",
    "integrationkey", "passwd", "password", "privatekey", "refreshtoken", "routingkey", "secret", "servicekey",
    "sessiontoken", "signature", "token", "webhooksecret",
})  # fmt: skip
_UNKEEPABLE = re.compile("[\ud800-\udfff\0]")


def attributes_of(*sent: Mapping[str, Any]) -> dict[str, str]:
    """Every key of these objects as text, objects within them opened as ``key.inner``; nulls are not sent.

    The first object is the most important: its keys come first, and keys of the last go first when there is no room. Within
    one object keys are sorted, so that their order when they are sent is no matter.
    """
    found: dict[str, str] = {}
    left_out = 0
    for name, text in chain.from_iterable(sorted(_leaves("", s, 0)) for s in sent):
        if name == LEFT_OUT:  # said by a record of ours that comes in again
            left_out += int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        elif found.get(name, text) != text:
            left_out += 1
        else:
            found[name] = text
    room = MOST_KEYS - 1 if left_out else MOST_KEYS
    if len(found) > room:
        kept = dict(list(found.items())[: MOST_KEYS - 1])
        left_out += len(found) - len(kept)
        found = kept
    return {**found, LEFT_OUT: str(left_out)} if left_out else found


def _leaves(prefix: str, sent: Mapping[str, Any], depth: int) -> Iterator[tuple[str, str]]:
    for key, value in sent.items():
        name = f"{prefix}{key}"
        if value is None:
            continue
        if _is_secret(str(key)):
            yield clip(name, MOST_NAME), SECRET
        elif isinstance(value, dict) and value and depth < _OPENED:
            yield from _leaves(f"{clip(name, MOST_NAME)}.", value, depth + 1)
        else:
            yield clip(name, MOST_NAME), text_of(value)


def text_of(value: Any) -> str:
    """A JSON value as text of at most `MOST_TEXT` characters: text as it is, anything else as JSON."""
    return clip(value if isinstance(value, str) else _json(_without_secrets(value)), MOST_TEXT)


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, the last an ellipsis where more were there; what cannot be stored becomes U+FFFD."""
    return _UNKEEPABLE.sub("\ufffd", text if len(text) <= limit else text[: limit - 1] + "…")


def line_of(text: str, limit: int = 300) -> str:
    """Text on one line, without control characters, of at most `limit` characters; empty when nothing is left."""
    short = "".join(c if c.isprintable() else " " for c in text[: 4 * limit])
    return clip(" ".join(short.split()) + (" …" if len(text) > 4 * limit else ""), limit)


def is_link(text: str) -> bool:
    """Whether this is an http or https address: anything else could be a script."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def is_storable(text: str) -> bool:
    """Whether text can be written to a database: it has no NUL and no half of a surrogate pair."""
    return _UNKEEPABLE.search(text) is None


def canonical(value: Any) -> str:
    """JSON text that is the same for equal values, whatever the order of their keys."""
    try:
        return json.dumps(value, sort_keys=True, default=str)
    except (ValueError, TypeError) as error:
        raise InputError(f"the content cannot be read as JSON: {quoted(str(error))}") from error


def check_depth(value: Any) -> None:
    """Refuse what is nested deeper than any sender needs, before anything walks through it.

    Raises:
        InputError: it is nested deeper than 50 levels.
    """
    level: Iterable[Any] = (value,)
    for _ in range(DEEPEST):
        inner = [v for v in level if isinstance(v, dict | list)]
        if not inner:
            return
        level = list(chain.from_iterable(v.values() if isinstance(v, dict) else v for v in inner))
    raise InputError(f"the body is nested deeper than {DEEPEST} levels; send less deep objects")


def _is_secret(key: str) -> bool:
    return re.sub(r"[^a-z]", "", key[:MOST_NAME].rpartition(".")[2].casefold()) in _SECRETS


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): SECRET if _is_secret(str(k)) else _without_secrets(v) for k, v in value.items()}
    return [_without_secrets(v) for v in value] if isinstance(value, list) else value


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    except ValueError:  # a number of thousands of digits
        return quoted(value)
