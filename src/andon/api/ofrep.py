"""What applications read levers with: the OpenFeature Remote Evaluation Protocol (OFREP) 0.3.0.

Source: open-feature/protocol, ``service/openapi.yaml`` 0.3.0 and ADR-8 (event streams). Always true: answers come from memory;
no read is rate-limited; every failure carries ``errorCode`` and ``errorDetails``, because on every error path a client gives
its application the code default, and one that finds no details loses the reason.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson
from fastapi import FastAPI, Request
from starlette.responses import Response

from andon.api.bodies import read_body
from andon.api.errors import OFREP, Refused, json_response
from andon.api.events import EventStream, Streams
from andon.api.requests import json_of
from andon.traffic.quoting import quoted

__all__ = ["LeverDeps", "add_ofrep"]

_EVENTS = f"{OFREP}v1/events"
_INACTIVITY_S = 120
"""A client that its user does not look at closes its stream after this long: the protocol's default."""

_STREAMS = [{"type": "sse", "endpoint": {"requestUri": _EVENTS}, "inactivityDelaySec": _INACTIVITY_S}]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverDeps:
    """What the routes need; all of it answers from memory."""

    evaluate: Callable[[str, Mapping[str, Any]], dict[str, Any] | None]
    """The OFREP body of a lever for a context, a success or a failure; None when there is no lever with this key."""
    evaluate_all: Callable[[Mapping[str, Any]], Sequence[dict[str, Any]]]
    """The bodies of all levers for a context; successes and failures may be mixed."""
    state: Callable[[], str]
    """One word for all that is served; it differs when anything that is served does."""
    keys: Callable[[], list[str]]
    streams: Streams = field(default_factory=Streams)


def add_ofrep(app: FastAPI, deps: LeverDeps) -> None:
    """Add the evaluation of one lever, of all levers, and the stream that tells when to evaluate again."""

    @app.post(f"{OFREP}v1/evaluate/flags/{{key:path}}")
    async def evaluate(key: str, request: Request) -> Response:
        """The value of one lever (OFREP 0.3.0), from memory; never rate-limited."""
        if not key:  # a client that ends the path of all levers with a slash
            return await evaluate_all(request)
        try:
            context = _context_of(await read_body(request))
        except Refused as error:
            return _failure(error, key=key)
        body = deps.evaluate(key, context)
        if body is None:
            return json_response({"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": _unknown(key, deps)}, 404)
        return json_response(body, 400 if "errorCode" in body else 200)

    @app.post(f"{OFREP}v1/evaluate/flags")
    async def evaluate_all(request: Request) -> Response:
        """The values of all levers (OFREP 0.3.0), from memory; 304 when the client has them already."""
        try:
            sent = await read_body(request)
            context = _context_of(sent)
        except Refused as error:
            return _failure(error)
        state = deps.state()
        flags = [_rendered(body) for body in deps.evaluate_all(context)]
        answer = orjson.dumps({"flags": flags, "metadata": {"state": state}, "eventStreams": _STREAMS})
        etag = _etag(answer, context, sent)
        if _has_it(request, etag, state):
            return Response(status_code=304, headers={"etag": etag})
        return Response(answer, headers={"etag": etag}, media_type="application/json")

    @app.get(_EVENTS)
    async def events(request: Request) -> Response:
        """Server-sent events (OFREP 0.3.0, ADR-8): one whenever something that levers serve has changed."""
        return EventStream(deps.streams, request.headers.get("last-event-id", ""))


def _context_of(body: bytes) -> Mapping[str, Any]:
    """The evaluation context of a request. Clients without one send ``{}``, ``{"context": {}}`` or nothing.

    Raises:
        Refused: the body is no JSON object, or its context is none; the kind is OFREP's code. What a targeting key may be, the
            levers that split say: for all others it is of no matter.
    """
    if not body.strip():
        return {}
    try:
        data = json_of(body, None)
    except Refused as error:
        raise Refused(400, "PARSE_ERROR", error.message) from error
    if not isinstance(data, dict):
        raise Refused(400, "PARSE_ERROR", f"the body is {quoted(data)}; an evaluation request is a JSON object")
    context = data.get("context")
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise Refused(400, "PARSE_ERROR", f"context is {quoted(context)}; an object is allowed")
    if context.get("targetingKey") is None:
        context.pop("targetingKey", None)
    return context


def _failure(error: Refused, **key: str) -> Response:
    code = error.kind if error.status == 400 else "GENERAL"
    return json_response({**key, "errorCode": code, "errorDetails": error.message}, error.status)


def _unknown(key: str, deps: LeverDeps) -> str:
    keys = deps.keys()
    known = ", ".join(keys[:20]) + (" ..." if len(keys) > 20 else "") or "none yet"
    return f"there is no lever {quoted(key, 100)}; declared: {known}"


def _rendered(body: dict[str, Any]) -> orjson.Fragment:
    """The JSON of one lever. One that cannot be written is one failure, never a failure of the whole answer."""
    try:
        return orjson.Fragment(orjson.dumps(body))
    except TypeError as error:
        details = f"the value cannot be written as JSON: {error}"
        return orjson.Fragment(orjson.dumps({"key": body["key"], "errorCode": "GENERAL", "errorDetails": details}))


def _etag(answer: bytes, context: Mapping[str, Any], sent: bytes) -> str:
    """Names an answer to one context.

    The context is a part of it, because the reference web client forgets an ETag only when the targeting key changes: with a
    name for the levers alone it would go on with values for the attributes that it had before.
    """
    try:
        said = orjson.dumps(context, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested deeper than can be written again: then the request as it came stands for its context
        said = sent
    digest = blake2b(answer, digest_size=16)
    digest.update(said)
    return f'"{digest.hexdigest()}"'


def _has_it(request: Request, etag: str, state: str) -> bool:
    """Whether 304 is right: the client has this answer, and was not told of a state that is not the present one (ADR-8, rule 9)."""
    told = _bare(request.query_params.get("flagConfigEtag", ""))
    if told not in ("", state):
        return False
    names = [_bare(name) for value in request.headers.getlist("if-none-match") for name in value.split(",")]
    return "*" in names or _bare(etag) in names


def _bare(tag: str) -> str:
    """An entity tag without the mark of a weak one and without quotes; some clients leave the quotes out."""
    return tag.strip().removeprefix("W/").strip('"')
