"""Routes for what other systems tell: changes in any usual form, and alerts."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from starlette.responses import Response

from andon.api.bodies import media_type, read_body, unpack
from andon.api.errors import Refused, json_response
from andon.api.requests import form_payload, json_of
from andon.api.security import SIGNED_PATH
from andon.changes import Received, changes_of_body
from andon.changes.intake import pagerduty_of_body
from andon.errors import InputError
from andon.incidents import Alert, AlertsTaken, Report
from andon.incidents.alerts import alerts_of_body
from andon.traffic import quoted

__all__ = ["MOST_BYTES", "WebhookDeps", "add_webhooks", "is_signed"]

MOST_BYTES = 2**20
"""Longest body, as it travels and unpacked."""

_AT_A_TIME = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDeps:
    """What these routes need, handed over by the composition root. What stores returns after it is on disk."""

    record_changes: Callable[[Received], Sequence[str]]
    """Writes the changes; answers their ids in the log."""
    receive_alerts: Callable[[Sequence[Alert]], AlertsTaken]
    receive_report: Callable[[Mapping[str, Any]], Report]
    """Takes in what a person says of an answer; raises `InputError` where that is incomplete."""
    issue_closed: Callable[[Mapping[str, Any]], object]
    """Takes a delivery about an issue of GitHub."""
    now_us: Callable[[], int]
    github_secret: str = ""
    """Secret of GitHub's webhook; nobody is let in by signature while it is empty."""


def add_webhooks(app: FastAPI, deps: WebhookDeps) -> None:
    """Add the routes."""
    limiter = CapacityLimiter(_AT_A_TIME)

    async def take(request: Request, body: bytes, work: Callable[[bytes], Response]) -> Response:
        encoding = request.headers.get("content-encoding", "")
        return await to_thread.run_sync(lambda: work(unpack(body, encoding, MOST_BYTES)), limiter=limiter)

    @app.post("/v1/changes")
    async def changes(request: Request) -> Response:
        """Changes of the control plane: our own JSON, CloudEvents, CDEvents, PagerDuty's or GitHub's; one or an array."""
        kind = media_type(request)
        body = await read_body(request, MOST_BYTES)
        return await take(request, body, lambda plain: _changes(json_of(plain, kind), request, deps))

    @app.post("/v2/change/enqueue")
    async def enqueue(request: Request) -> Response:
        """A change event, at the path and with the answer of PagerDuty's Events API v2."""
        body = await read_body(request, MOST_BYTES)
        return await take(request, body, lambda plain: _enqueued(json_of(plain, None), request, deps))

    @app.post(SIGNED_PATH)
    async def github(request: Request) -> Response:
        """A delivery of GitHub, let in by its signature."""
        _check_signer(request.headers, deps.github_secret)
        body = await read_body(request, MOST_BYTES)
        if not is_signed(body, request.headers.get("x-hub-signature-256", ""), deps.github_secret):
            raise Refused(
                401, "Unauthorized", "the signature does not fit; set the webhook's secret to ANDON_GITHUB_SECRET"
            )
        kind = media_type(request)
        return await take(request, body, lambda plain: _delivered(form_payload(plain, kind), request, deps))

    @app.post("/v1/reports")
    async def reports(request: Request) -> Response:
        """A person says that an answer is wrong (``text``, ``interaction_id``, ``app``, ``near_miss``, ``by``)."""
        kind = media_type(request)
        body = await read_body(request, MOST_BYTES)
        return await take(request, body, lambda plain: _reported(json_of(plain, kind), deps))

    @app.post("/v1/alerts")
    async def alerts(request: Request) -> Response:
        """Alerts, as Alertmanager's webhook sends them."""
        kind = media_type(request)
        body = await read_body(request, MOST_BYTES)
        return await take(request, body, lambda plain: _alerts(json_of(plain, kind), request, deps))


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether ``X-Hub-Signature-256`` is that of this body and secret; the time it takes tells nothing of the right one."""
    expected = "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()
    return bool(secret) and hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode())


def _check_signer(headers: Mapping[str, str], secret: str) -> None:
    """Refuse before the body is read who cannot have signed it."""
    if not secret:
        raise Refused(
            403,
            "Forbidden",
            "GitHub's webhooks are not let in while ANDON_GITHUB_SECRET is not set; set it to the webhook's secret",
        )
    if not headers.get("x-hub-signature-256", "").startswith("sha256="):
        raise Refused(401, "Unauthorized", "X-Hub-Signature-256 is missing; give the webhook a secret on GitHub")


def _changes(data: Any, request: Request, deps: WebhookDeps) -> Response:
    received = changes_of_body(data, headers=request.headers, now_us=deps.now_us(), **_address(request))
    ids = _ids(received, deps)
    ignored = [{"what": i.what, "why": i.why} for i in received.ignored]
    return json_response({"id": next(iter(ids), None), "ids": ids, "ignored": ignored}, 200 if ids else 202)


def _enqueued(data: Any, request: Request, deps: WebhookDeps) -> Response:
    received = pagerduty_of_body(data, now_us=deps.now_us(), **_address(request))
    ids = _ids(received, deps)
    said = "Change event processed" if ids else f"Ignored: {received.ignored[0].why}"
    return json_response({"status": "success", "message": said, "ids": ids}, 202)


def _alerts(data: Any, request: Request, deps: WebhookDeps) -> Response:
    taken = deps.receive_alerts(alerts_of_body(data, **_address(request)))
    return json_response(
        {"fired": taken.fired, "resolved": taken.resolved, "known": taken.known, "incidents": list(taken.incidents)}
    )


def _delivered(data: Any, request: Request, deps: WebhookDeps) -> Response:
    if request.headers.get("x-github-event") == "issues":
        deps.issue_closed(data if isinstance(data, dict) else {})
        return json_response({"id": None, "ids": [], "ignored": []}, 202)
    return _changes(data, request, deps)


_REPORT = {"text": str, "interaction_id": str, "app": str, "environment": str, "by": str, "near_miss": bool}


def _reported(data: Any, deps: WebhookDeps) -> Response:
    if not isinstance(data, dict):
        raise InputError('a report is a JSON object: {"text": "...", "interaction_id": "...", "by": "..."}')
    for key, value in data.items():
        if key not in _REPORT:
            raise InputError(f"{quoted(key)} is not known of a report; allowed are {', '.join(_REPORT)}")
        if value is not None and not isinstance(value, _REPORT[key]):
            raise InputError(f"{key} of a report must be {'true or false' if _REPORT[key] is bool else 'text'}")
    report = deps.receive_report({k: v for k, v in data.items() if v is not None})
    return json_response({"id": report.id, "incident": report.incident})


def _ids(received: Received, deps: WebhookDeps) -> list[str]:
    return list(dict.fromkeys(deps.record_changes(received))) if received.changes else []


def _address(request: Request) -> dict[str, str | None]:
    """What the address says of a body that does not name its application: ``?app=bot&environment=staging``."""
    return {name: request.query_params.get(name) for name in ("app", "environment")}
