"""Put the parts of the site together."""

from collections import Counter

from anyio import to_thread
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from andon.access import Person
from andon.access.run import signed_in
from andon.api import EventStream
from andon.errors import StoreError
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


MOST_OF_ONE = 30
"""Event streams of one person, so that nobody takes those of all others. A browser has one, however many pages are open."""


class _Live(EventStream):
    """The events for one person; ends when the session does."""

    def __init__(self, site: Site, person: str, secret: str, heard: str, open_: "Counter[str]") -> None:
        async def may() -> bool:
            try:
                return await _person_of(site, secret) is not None
            except StoreError:  # it cannot be told: the browser asks again, and is told why
                return False

        super().__init__(site.streams, heard, may)
        self._person, self._open = person, open_

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        self._open[self._person] += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._open[self._person] -= 1
            self._open += Counter()  # forgets who has none


async def _person_of(site: Site, secret: str) -> Person | None:
    """Who is signed in, asked in a thread: the ledger may be slow, and the event loop takes traffic in."""
    return await to_thread.run_sync(lambda: signed_in(site.ledger, secret, site.now_us()))


def add_pages(app: FastAPI, site: Site) -> None:
    """Add the pages to an application, after everything else: they answer for every path that is left."""
    open_: Counter[str] = Counter()

    async def live(request: Request) -> Response:
        """The events that bring open pages up to date, for who is signed in."""
        secret = request.cookies.get(SESSION, "")
        person = await _person_of(site, secret) if secret else None
        if person is None:
            raise HTTPException(401, "sign in first")
        if open_[person.id] >= MOST_OF_ONE:
            raise HTTPException(503, f"{MOST_OF_ONE} event streams of yours are open already: close some pages")
        heard = request.headers.get("last-event-id") or request.query_params.get("heard", "")
        return _Live(site, person.id, secret, heard, open_)

    app.router.routes += [
        Mount("/static", _Static(directory=STATIC), name="static"),
        Route("/live", live, include_in_schema=False),
        *routes(PARTS, site),
    ]
