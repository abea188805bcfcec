"""What a replica answers that is asked for what others do: a sentence that says so, and where it is done.

Traffic is answered with 503: exporters tell of it, and send the same again; what another status refuses they drop in silence.
"""

from collections.abc import Collection

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from andon.api.errors import OFREP, RETRY_AFTER_S, error_response

__all__ = ["say_elsewhere"]

TRAFFIC = "/v1/"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def say_elsewhere(app: FastAPI, only: Collection[str]) -> None:
    """Add the answers for the roles that this replica has not.

    Args:
        app: takes them before its pages are added.
        only: the roles that it has.
    """
    has = f"it runs with {' '.join(f'--only {role}' for role in only)}"
    if "ingest" not in only:

        async def no_traffic(request: Request) -> Response:
            said = (
                f"nothing was taken in: this replica takes no traffic, changes and webhooks ({has}); send {request.url.path[:200]!r} to a "
                "replica with --only ingest, or without --only"
            )
            retry = {"retry-after": str(RETRY_AFTER_S)}
            return error_response(503, "NotHere", said, retry, path=request.url.path)

        app.add_route(f"{TRAFFIC}{{path:path}}", no_traffic, methods=_METHODS, include_in_schema=False)
    if "web" not in only:

        async def no_page(request: Request, _: Exception) -> Response:
            said, path = "Not Found", request.url.path
            if not path.startswith((TRAFFIC, OFREP)):
                said = f"this replica serves no pages ({has}); they are at a replica with --only web, or without --only"
            if "text/html" in request.headers.get("accept", ""):
                return PlainTextResponse(said, 404)
            return error_response(404, "NotFound", f"{request.method} {path[:200]!r}: {said}", path=path)

        app.add_exception_handler(404, no_page)
