"""The one error shape: ``{"error": {"kind": ..., "message": ...}}``, and the status of each kind.

What clients of OpenFeature ask for (`OFREP`) carries their ``errorCode`` and ``errorDetails`` as well: a client that finds
no ``errorDetails`` loses the reason.
"""

import logging
from collections.abc import Mapping

import orjson
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from andon.errors import AndonError, InputError, StateError

__all__ = ["OFREP", "RETRY_AFTER_S", "Refused", "add_handlers", "error_response", "json_response", "status_of"]

RETRY_AFTER_S = 5
"""Sent with every 503 as an integer: clients choke on the other forms."""

OFREP = "/ofrep/"
"""Where everything lies that the OpenFeature Remote Evaluation Protocol asks for."""

_KINDS = {404: "NotFound", 405: "MethodNotAllowed"}

_log = logging.getLogger("andon")


class Refused(Exception):  # noqa: N818 - an answer of HTTP, not a failure of ours
    """A request that HTTP itself has a status for: 400, 413, 415."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON; a float keeps its decimal point."""
    return Response(orjson.dumps(content), status, dict(headers or {}), media_type="application/json")


def error_response(
    status: int, kind: str, message: str, headers: Mapping[str, str] | None = None, *, path: str = ""
) -> Response:
    """The error shape, as an answer to a request for a path."""
    body: dict[str, object] = {"error": {"kind": kind, "message": message}}
    if path.startswith(OFREP):
        body |= {"errorCode": "GENERAL", "errorDetails": message}
    return json_response(body, status, headers)


def status_of(error: AndonError) -> int:
    """HTTP status of an error: who has to act decides."""
    if isinstance(error, InputError):
        return 422
    if isinstance(error, StateError):
        return 409
    return 503 if error.retryable else 500


def add_handlers(app: FastAPI) -> None:
    """Let the app answer every error of ours, and HTTP's own, in the one shape."""
    app.add_exception_handler(AndonError, _on_andon_error)
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(HTTPException, _on_http_exception)


def _on_andon_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AndonError)
    status, path = status_of(error), request.url.path
    if status == 500:  # what it says may name paths and hosts
        _log.error("a request failed", exc_info=error)
        return error_response(500, type(error).__name__, "Andon failed; its log says why", path=path)
    if status == 503:
        _log.warning("a request failed and may be repeated: %s", error)
        said, retry = "not stored; the same request may succeed later", {"retry-after": str(RETRY_AFTER_S)}
        return error_response(503, type(error).__name__, said, retry, path=path)
    return error_response(status, type(error).__name__, str(error), path=path)


def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    retry = {"retry-after": str(RETRY_AFTER_S)} if error.status == 503 else {}
    return error_response(error.status, error.kind, error.message, retry, path=request.url.path)


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind, path = _KINDS.get(error.status_code, "HTTPError"), request.url.path
    message = f"{request.method} {path[:200]!r}: {error.detail}"
    return error_response(error.status_code, kind, message, error.headers, path=path)
