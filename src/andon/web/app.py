"""Put the parts of the site together."""

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from andon.access.run import signed_in
from andon.api import EventStream
from andon.web.pages import PARTS
from andon.web.rendering import STATIC
from andon.web.routing import SESSION, routes
from andon.web.site import Site

__all__ = ["add_pages"]


class _Static(StaticFiles):
    """Files whose address changes with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept for ever where it was asked for by its content."""
        response = await super().get_response(path, scope)
        known = b"=" not in scope["query_string"] and scope["query_string"]
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if known else "no-cache"
        return response


def add_pages(app: FastAPI, site: Site) -> None:
    """Add the pages to an application, after everything else: they answer for every path that is left."""

    async def live(request: Request) -> Response:
        """The events that bring open pages up to date, for who is signed in."""
        secret = request.cookies.get(SESSION, "")
        if not secret or signed_in(site.ledger, secret, site.now_us()) is None:
            raise HTTPException(401, "sign in first")
        return EventStream(site.streams, request.headers.get("last-event-id", ""))

    app.router.routes += [
        Mount("/static", _Static(directory=STATIC), name="static"),
        Route("/live", live, include_in_schema=False),
        *routes(PARTS, site),
    ]
