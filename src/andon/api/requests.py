"""JSON requests to checked values: what a stranger may say about a change, and an OFREP context."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from andon.api.errors import Refused
from andon.errors import InputError
from andon.traffic import VERSIONS
from andon.traffic.quoting import quoted

__all__ = ["change_fields", "context_of"]

_TEXT = ("id", "kind", "title", "app", "environment", "before", "after", "version_field", "author", "link")
_FIELDS = ("at", *_TEXT, "scope", "own")
_MOST = 100_000
_SHORT = 300
_LONG = ("before", "after")


def change_fields(body: bytes, kind: str) -> Mapping[str, Any]:
    """The fields of a change that were sent, each of its type; nulls are left out. Its origin is ours to say.

    Raises:
        Refused: the body is no JSON (415, 400).
        InputError: it is no object, or a field is unknown, of the wrong type or too long.
    """
    if kind != "application/json":
        raise Refused(415, "UnsupportedMediaType", f"content type {quoted(kind)} is not read; application/json is")
    data = _object(body, "a change")
    if unknown := sorted(set(data) - set(_FIELDS)):
        raise InputError(f"{quoted(unknown[0])} is not a field of a change that may be sent; {', '.join(_FIELDS)} are")
    given = {name: value for name, value in data.items() if value is not None}
    for name in _TEXT:
        if name in given:
            _check_text(name, given[name])
    if not isinstance(given.get("own", True), bool):
        raise InputError(f"own is {quoted(given['own'])}; true or false is allowed")
    scope = given.get("scope", {})
    if not isinstance(scope, dict) or not all(isinstance(v, str) for v in scope.values()):
        raise InputError(f"scope is {quoted(scope)}; an object of texts is allowed")
    if "version_field" in given and given["version_field"] not in VERSIONS:
        raise InputError(f"version_field is {quoted(given['version_field'])}; one of {', '.join(VERSIONS)} is allowed")
    if "link" in given and urlsplit(given["link"]).scheme not in ("http", "https"):
        raise InputError(f"link is {quoted(given['link'])}; an http or https address is allowed")
    return given


def context_of(body: bytes) -> Mapping[str, Any]:
    """The evaluation context of an OFREP request. Clients without one send ``{}``, ``{"context": {}}`` or nothing.

    Raises:
        InputError: the body is no JSON object, or its context is none.
    """
    if not body.strip():
        return {}
    try:
        data = _object(body, "an evaluation request")
    except Refused as error:
        raise InputError(error.message) from error
    context = data.get("context")
    if context is not None and not isinstance(context, dict):
        raise InputError(f"context is {quoted(context)}; an object is allowed")
    return context or {}


def _object(body: bytes, what: str) -> dict[str, Any]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "InputError", f"the body is not JSON: {error.msg} at character {error.pos + 1}") from error
    if not isinstance(data, dict):
        raise InputError(f"the body is {quoted(data)}; {what} is a JSON object")
    return data


def _check_text(name: str, value: Any) -> None:
    most = _MOST if name in _LONG else _SHORT
    if not isinstance(value, str) or len(value) > most:
        raise InputError(f"{name} is {quoted(value)}; text of at most {most} characters is allowed")
