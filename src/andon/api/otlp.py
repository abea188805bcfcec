"""Answers in OTLP's own words (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Response").

A failure is a ``google.rpc.Status``: code = 1 (int32), message = 2 (string). Two fields, so it is written by hand.
"""

import logging
from collections.abc import Sequence

from starlette.responses import Response

from andon.api.errors import RETRY_AFTER_S, Refused, status_of
from andon.errors import AndonError, InputError

__all__ = ["PROTOBUF", "export_response", "status_response"]

PROTOBUF = "application/x-protobuf"

_INVALID_ARGUMENT, _FAILED, _INTERNAL, _UNAVAILABLE = 3, 9, 13, 14
_SHOWN = 5

_log = logging.getLogger("andon")


def export_response(kept: int, problems: Sequence[str]) -> Response:
    """A 200: everything was stored, or ``partial_success`` says how many spans were not and why (exporters do not retry)."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    answer = ExportTraceServiceResponse()
    if problems:
        shown = "; ".join(problems[:_SHOWN]) + (
            f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        )
        answer.partial_success.rejected_spans = len(problems)
        answer.partial_success.error_message = f"{kept} kept, {len(problems)} not: {shown}"
    return Response(answer.SerializeToString(), media_type=PROTOBUF)


def status_response(error: Refused | AndonError) -> Response:
    """The failure as OTLP says it: 400 for a malformed body (never retried), 503 with Retry-After for what may pass later."""
    if isinstance(error, Refused):
        return _status(error.status, _INVALID_ARGUMENT, error.message)
    if isinstance(error, InputError):
        return _status(400, _INVALID_ARGUMENT, str(error))
    status = status_of(error)
    if status == 503:
        _log.warning("spans were not stored and may be sent again: %s", error)
        return _status(503, _UNAVAILABLE, "not stored; send the same spans again later")
    if status == 500:
        _log.error("spans were not stored", exc_info=error)
        return _status(500, _INTERNAL, "Andon failed; its log says why")
    return _status(status, _FAILED, str(error))


def _status(status: int, code: int, message: str) -> Response:
    text = message.encode("utf-8", "replace")
    body = b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text
    headers = {"retry-after": str(RETRY_AFTER_S)} if status == 503 else {}
    return Response(body, status, headers, media_type=PROTOBUF)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
