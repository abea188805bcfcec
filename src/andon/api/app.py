"""The routes: parse, call one function that was handed over, render."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from prometheus_client.metrics_core import Metric
from starlette.responses import Response

from andon.api.bodies import Room, media_type, rows_of, unpack
from andon.api.errors import add_handlers, json_response
from andon.api.metrics import Measured, Requests, add_metrics
from andon.api.ofrep import LeverDeps, add_ofrep
from andon.api.otlp import Receive, add_otlp
from andon.api.security import Guard, Opens, may_read
from andon.api.webhooks import WebhookDeps, add_webhooks
from andon.traffic.files.kinds import Record, traffic_in
from andon.traffic.intake import BadRow

__all__ = ["Deps", "create_app"]

_BATCH = 5_000
"""Rows that are stored at a time, so that a body of millions of tiny rows is never held as records."""

_REJECTED = 100
"""Bad lines that an answer describes; all are counted."""

_AT_A_TIME = 4
"""Ingest requests that are unpacked and stored at the same time; it bounds memory, others wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """What the routes need, handed over by the composition root. Everything that stores returns after it is on disk."""

    receive: Receive
    record: Callable[[Sequence[Record]], object]
    webhooks: WebhookDeps
    levers: LeverDeps
    problems: Callable[[], list[str]] = field(default=list)
    """Why the process is not ready; nothing when it is."""
    warnings: Callable[[], list[str]] = field(default=list)
    """What somebody must look at though all work is done."""
    measured: Callable[[], Iterable[Metric]] = field(default=list)
    """What ``/metrics`` tells beside the requests; asked in a thread."""
    token: str = ""
    refused: Callable[[str, str, str], object] = lambda *_: None
    """Is told the path of each request that is not let in, why, and the client's address."""
    scopes_of: Opens = lambda _: None
    """What the secret of a machine's token opens, by its scopes; None where it is no token's, or its token is revoked or over."""


def create_app(deps: Deps, *, ingest: bool = True) -> FastAPI:
    """The application, guarded; pages may be added to it afterwards and are guarded too.

    Args:
        deps: what the routes need.
        ingest: whether traffic and webhooks are taken; levers are read from, and health is told by, each replica.
    """
    app = FastAPI(title="Andon", docs_url=None, redoc_url=None)
    add_handlers(app)
    app.add_middleware(Guard, token=deps.token, refused=deps.refused, scopes_of=deps.scopes_of)
    app.add_middleware(Measured, requests=(requests := Requests()))  # around the guard: who is refused is counted too
    _add_health(app, deps)
    add_metrics(app, requests, deps.measured)
    add_ofrep(app, deps.levers)
    if ingest:
        room = Room()
        add_otlp(app, deps.receive, room)
        _add_rows(app, deps, room)
        add_webhooks(app, deps.webhooks)
    return app


def _add_health(app: FastAPI, deps: Deps) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        """Whether the process lives."""
        return json_response({"status": "ok"})

    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        """Whether requests are well sent here: 200, or 503 while some work is not done, or this replica is about to end.

        A load balancer or a kubelet has no token and is told no more than that; who may read is told what is wrong.
        """
        problems = deps.problems()
        told: dict[str, Any] = {"ready": not problems}
        if may_read(request.scope):
            told |= {"problems": problems, "warnings": deps.warnings()}
        return json_response(told, 503 if problems else 200)


def _add_rows(app: FastAPI, deps: Deps, room: Room) -> None:
    limiter = CapacityLimiter(_AT_A_TIME)

    async def store(request: Request, read: Callable[..., Any], keep: Callable[[Sequence[Any]], object]) -> Response:
        kind, encoding = media_type(request), request.headers.get("content-encoding", "")
        try:
            body = await room.read(request)
            return await to_thread.run_sync(lambda: _store(unpack(body, encoding), kind, read, keep), limiter=limiter)
        finally:
            room.leave(request)

    @app.post("/v1/interactions")
    async def interactions(request: Request) -> Response:
        """Interactions as JSON lines, a JSON array or one JSON object; rows of a failure log give feedback too."""
        return await store(request, partial(traffic_in, table=None), deps.record)

    @app.post("/v1/feedback")
    async def feedback(request: Request) -> Response:
        """Feedback as JSON lines, a JSON array or one JSON object."""
        return await store(request, partial(traffic_in, table="feedback"), deps.record)


def _store(body: bytes, kind: str, read: Callable[..., Any], keep: Callable[[Sequence[Any]], object]) -> Response:
    """Keep the good rows, report the bad ones. Rows have ids, so a request that failed half-way may be sent again."""
    accepted, refused = 0, 0
    rejected: list[dict[str, Any]] = []
    batch: list[Any] = []
    for row in rows_of(body, kind, read):
        if isinstance(row, BadRow):
            refused += 1
            if len(rejected) < _REJECTED:
                rejected.append({"line": row.line, "reason": row.reason})
            continue
        batch.append(row)
        if len(batch) == _BATCH:
            keep(batch)
            accepted, batch = accepted + len(batch), []
    if batch:
        keep(batch)
        accepted += len(batch)
    answer: dict[str, Any] = {"accepted": accepted, "rejected": rejected, "rejected_count": refused}
    if refused and not accepted:
        first = rejected[0]
        answer["error"] = {
            "kind": "InputError",
            "message": f"no row could be kept; line {first['line']}: {first['reason']}",
        }
        return json_response(answer, 422)
    return json_response(answer)
