"""OTLP over HTTP: three routes, in protobuf and in JSON, answered in the request's own content type.

A failure is a ``google.rpc.Status``: code = 1 (int32), message = 2 (string); opentelemetry.io/docs/specs/otlp, "OTLP/HTTP
Response". Two fields, so it is written by hand.
"""

import logging
import os
from collections.abc import Callable, Sequence

import orjson
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from starlette.responses import Response

from andon.api.bodies import MAX_UNPACKED, Room, media_type, unpack
from andon.api.errors import RETRY_AFTER_S, Refused, error_response, status_of
from andon.errors import AndonError, InputError
from andon.traffic.otlp import Form
from andon.traffic.quoting import quoted

__all__ = ["REFUSED_FIELD", "Receive", "add_otlp", "partial_success", "said_of"]

Receive = Callable[[str, bytes, Form], tuple[int, Sequence[str]]]
"""Takes a request in: (``traces``, ``logs`` or ``metrics``; body; form) -> how many were kept, why each other was not."""

REFUSED_FIELD = {"traces": "rejectedSpans", "logs": "rejectedLogRecords", "metrics": "rejectedDataPoints"}
"""The field of ``partial_success`` that counts; in protobuf it is number 1 of each."""

_FORMS: dict[str, Form] = {
    "application/x-protobuf": "protobuf",
    "application/protobuf": "protobuf",
    "application/json": "json",
}
_AT_A_TIME = (os.cpu_count() or 1) + 1
"""Requests that are unpacked, decoded and stored at the same time; others wait. It bounds memory."""

_INVALID_ARGUMENT, _FAILED, _INTERNAL, _UNAVAILABLE = 3, 9, 13, 14
_SHOWN = 5

_log = logging.getLogger("andon")


def add_otlp(app: FastAPI, receive: Receive, room: Room) -> None:
    """Add ``/v1/traces``, ``/v1/logs`` and ``/v1/metrics``; a 200 means that what was kept is on disk."""
    limiter = CapacityLimiter(_AT_A_TIME)
    for signal in REFUSED_FIELD:
        app.add_api_route(f"/v1/{signal}", _route(signal, receive, room, limiter), methods=["POST"], name=signal)


def _route(signal: str, receive: Receive, room: Room, limiter: CapacityLimiter) -> Callable[[Request], object]:
    async def export(request: Request) -> Response:
        """OTLP over HTTP; answered after everything is on disk."""
        kind = media_type(request)
        form = _FORMS.get(kind)
        if form is None:
            message = f"content type {quoted(kind)} is not read here; application/x-protobuf and application/json are"
            return error_response(415, "UnsupportedMediaType", message)
        encoding = request.headers.get("content-encoding", "")
        try:
            body = await room.read(request)
            kept, problems = await to_thread.run_sync(
                lambda: receive(signal, unpack(body, encoding, MAX_UNPACKED), form), limiter=limiter
            )
        except (Refused, AndonError) as error:
            return _status(error, form, kind)
        finally:
            room.leave(request)
        if form == "json":
            partial = {REFUSED_FIELD[signal]: str(len(problems)), "errorMessage": said_of(kept, problems)}
            return Response(orjson.dumps({"partialSuccess": partial} if problems else {}), media_type=kind)
        return Response(partial_success(kept, problems), media_type=kind)

    return export


def partial_success(kept: int, problems: Sequence[str]) -> bytes:
    """The answer to any of the three requests in protobuf: empty, or how many were not kept and why."""
    if not problems:
        return b""
    text = said_of(kept, problems).encode("utf-8", "replace")
    inner = b"\x08" + _varint(len(problems)) + b"\x12" + _varint(len(text)) + text
    return b"\x0a" + _varint(len(inner)) + inner


def said_of(kept: int, problems: Sequence[str]) -> str:
    """What was not kept, in one line."""
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return f"{kept} kept, {len(problems)} not: {'; '.join(problems[:_SHOWN])}{more}"


def _status(error: Refused | AndonError, form: Form, kind: str) -> Response:
    """The failure as OTLP says it: 400 for a malformed body (never retried), 503 with Retry-After for what may pass later."""
    status, code, message = _failure(error)
    headers = {"retry-after": str(RETRY_AFTER_S)} if status == 503 else {}
    if form == "json":
        return Response(orjson.dumps({"code": code, "message": message}), status, headers, media_type=kind)
    text = message.encode("utf-8", "replace")
    return Response(b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text, status, headers, media_type=kind)


def _failure(error: Refused | AndonError) -> tuple[int, int, str]:
    if isinstance(error, Refused):
        return error.status, _UNAVAILABLE if error.status == 503 else _INVALID_ARGUMENT, error.message
    if isinstance(error, InputError):
        return 400, _INVALID_ARGUMENT, str(error)
    status = status_of(error)
    if status == 503:
        _log.warning("a request was not stored and may be sent again: %s", error)
        return 503, _UNAVAILABLE, "not stored; send the same again later"
    if status == 500:
        _log.error("a request was not stored", exc_info=error)
        return 500, _INTERNAL, "Andon failed; its log says why"
    return status, _FAILED, str(error)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
