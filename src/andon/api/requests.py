"""Bodies to JSON: of a change or an alert, and of a webhook of GitHub."""

from typing import Any
from urllib.parse import parse_qs

import orjson

from andon.api.errors import Refused
from andon.traffic.quoting import quoted

__all__ = ["form_payload", "json_of"]

_JSON = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
_FORM = "application/x-www-form-urlencoded"


def json_of(body: bytes, kind: str | None) -> Any:
    """The JSON of a body of this content type; None takes any type, for senders that name none.

    Raises:
        Refused: the type is not one of JSON (415), or the body is no JSON (400).
    """
    if kind is not None and kind not in _JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Refused(415, "UnsupportedMediaType", f"content type {quoted(kind)} is not read; {', '.join(_JSON)} are")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "InputError", f"the body is not JSON: {error.msg} at character {error.pos + 1}") from error


def form_payload(body: bytes, kind: str) -> Any:
    """The JSON of a webhook of GitHub, which sends it as a body or as the field ``payload`` of a form.

    Raises:
        Refused: see `json_of`.
    """
    if kind != _FORM:
        return json_of(body, kind)
    try:
        payload = parse_qs(body.decode(), max_num_fields=10).get("payload", [])
    except ValueError:
        payload = []
    if len(payload) != 1:
        raise Refused(400, "InputError", "the form has no field `payload`; choose application/json as content type")
    return json_of(payload[0].encode("utf-8", "replace"), None)
