"""What Prometheus is told: the route ``/metrics``, and how long requests take, by route and kind of answer.

In: the families that the composition root measures. Out: the text format 0.0.4, which every Prometheus reads. Always true: no
label says what came from outside. A request is told apart by the template of its route and the first digit of its status, so there
are at most as many series as there are routes, whatever is asked for.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from prometheus_client import Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["NO_ROUTE", "Measured", "Requests", "Templates", "add_metrics"]

NO_ROUTE = "(none)"
"""The route of a request that was refused before it was routed, or that no route takes."""

_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds: a lever is read in less than the first, a page is drawn in less than one second, no answer should take longer than the last."""

_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_AT_A_TIME = 2
"""Scrapes that are rendered at the same time; others wait."""


class Templates:
    """The templates of an application's routes, by what answers them: Starlette says of a request only the latter."""

    def __init__(self) -> None:
        self._known: dict[Any, str] = {}

    def of(self, scope: Scope) -> str:
        """The template of the route that took a request, such as ``/incidents/{id}``; `NO_ROUTE` where none did."""
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return NO_ROUTE
        if endpoint not in self._known:  # pages are added after the application was made
            self._known = {r.endpoint: r.path for r in scope["app"].router.routes if hasattr(r, "endpoint")}
            self._known |= {r.app: r.path for r in scope["app"].router.routes if not hasattr(r, "endpoint")}
        return self._known.get(endpoint, NO_ROUTE)


class Requests:
    """How many requests there were, and how long each waited for its answer to begin."""

    def __init__(self) -> None:
        """Nothing was asked yet. The histogram is this application's own: two in one process do not add up."""
        self._templates = Templates()
        self._taken = Histogram(
            "andon_http_request_duration_seconds",
            "Seconds from the head of a request to the beginning of its answer, by the route's template and the status's first digit.",
            ("route", "status"),
            buckets=_BUCKETS,
            registry=None,
        )

    def note(self, scope: Scope, status: int | None, took_s: float) -> None:
        """Count a request.

        Args:
            scope: of the request, after it was routed.
            status: of the answer; None where none was begun, as the client had left.
            took_s: how long it took, in seconds.
        """
        kind = "none" if status is None else f"{status // 100}xx"
        self._taken.labels(self._templates.of(scope), kind).observe(took_s)

    def families(self) -> Iterator[Metric]:
        """The histogram, without the library's series that say when each of the others began."""
        for family in self._taken.collect():
            kept = [s for s in family.samples if not s.name.endswith("_created")]
            family.samples = kept
            yield family


class Measured:
    """ASGI middleware around everything that is served: notes each request when its answer begins.

    How fast a client reads is not the server's doing, and an event stream is meant to last for hours.
    """

    def __init__(self, app: ASGIApp, *, requests: Requests) -> None:
        """Measure an application.

        Args:
            app: what is measured.
            requests: where it is noted.
        """
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, noted = time.perf_counter(), False

        async def send_noted(message: Message) -> None:
            nonlocal noted
            if not noted and message["type"] == "http.response.start":
                noted = True
                self._requests.note(scope, message["status"], time.perf_counter() - began_s)
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            if not noted:
                self._requests.note(scope, None, time.perf_counter() - began_s)


class _Scrape(Collector):
    """All that is told in one answer."""

    def __init__(self, parts: Iterable[Callable[[], Iterable[Metric]]]) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        for part in self._parts:
            yield from part()


def add_metrics(app: FastAPI, requests: Requests, measured: Callable[[], Iterable[Metric]]) -> None:
    """Add ``/metrics``.

    Args:
        app: where it is added.
        requests: what was noted of requests.
        measured: everything else that is told; it runs in a thread and may wait, though not for long: Prometheus gives up after
            10 s.
    """
    limiter, scrape = CapacityLimiter(_AT_A_TIME), _Scrape((measured, requests.families))

    @app.get("/metrics")
    async def metrics() -> Response:
        """What this replica is measured by, as Prometheus reads it (text format 0.0.4)."""
        text = await to_thread.run_sync(lambda: generate_latest(scrape), limiter=limiter)
        return Response(text, media_type=_TYPE)
