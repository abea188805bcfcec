"""The routes: parse, call one function that was handed over, render."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from starlette.responses import Response

from andon.api.bodies import Room, media_type, read_body, rows_of, unpack
from andon.api.errors import Refused, add_handlers, json_response
from andon.api.otlp import Receive, add_otlp
from andon.api.requests import context_of
from andon.api.security import Guard
from andon.api.webhooks import WebhookDeps, add_webhooks
from andon.errors import InputError
from andon.traffic.files.kinds import Record, traffic_in
from andon.traffic.intake import BadRow
from andon.traffic.quoting import quoted

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
    evaluate: Callable[[str], dict[str, Any] | None]
    """The OFREP body of a lever from memory, or None when there is none with this key."""
    lever_keys: Callable[[], list[str]] = field(default=list)
    problems: Callable[[], list[str]] = field(default=list)
    """Why the process is not ready; nothing when it is."""
    token: str = ""


def create_app(deps: Deps) -> FastAPI:
    """The application, guarded; pages may be added to it afterwards and are guarded too."""
    app = FastAPI(title="Andon", docs_url=None, redoc_url=None)
    add_handlers(app)
    app.add_middleware(Guard, token=deps.token)
    _add_health(app, deps)
    room = Room()
    add_otlp(app, deps.receive, room)
    _add_rows(app, deps, room)
    add_webhooks(app, deps.webhooks)
    _add_ofrep(app, deps)
    return app


def _add_health(app: FastAPI, deps: Deps) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        """Whether the process lives."""
        return json_response({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> Response:
        """Whether everything that runs in the background does its work; 503 says what does not."""
        problems = deps.problems()
        return json_response({"ready": not problems, "problems": problems}, 503 if problems else 200)


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


def _add_ofrep(app: FastAPI, deps: Deps) -> None:
    @app.post("/ofrep/v1/evaluate/flags/{key:path}")
    async def evaluate(key: str, request: Request) -> Response:
        """The value of one lever (OFREP 0.3.0), from memory; never rate-limited."""
        try:
            context_of(await read_body(request))
        except (Refused, InputError) as error:
            return json_response({"key": key, "errorCode": "PARSE_ERROR", "errorDetails": str(error)}, 400)
        body = deps.evaluate(key)
        if body is not None:
            return json_response(body)
        keys = deps.lever_keys()
        known = ", ".join(keys[:20]) + (" ..." if len(keys) > 20 else "") or "none yet"
        details = f"there is no lever {quoted(key, 100)}; declared: {known}"
        return json_response({"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": details}, 404)
