"""Who is let in: a token, or this machine alone; and what every answer says to browsers."""

import base64
import binascii
import hmac
import logging
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from andon.api.errors import error_response

__all__ = ["OPEN_PATHS", "SIGNED_PATH", "Guard", "allowed_by_token", "is_loopback"]

OPEN_PATHS = frozenset({"/healthz"})
"""Answered without the token, because a load balancer has none; they tell nothing but that the process lives."""

SIGNED_PATH = "/v1/webhooks/github"
"""Let in from anywhere without the token: its route lets in who has signed, and nobody while there is no secret."""

_SAFE = ("GET", "HEAD", "OPTIONS")
_PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}

_log = logging.getLogger("andon")


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine and nothing else."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class Guard:
    """ASGI middleware around everything that is served.

    With a token, every request but `OPEN_PATHS` carries it: ``Authorization: Bearer``, ``X-API-Key``, or as the password of
    ``Authorization: Basic``, for which browsers ask by themselves. Without one, only clients on this machine are let in,
    and only when they asked for it by a loopback name: a page that rebinds its DNS name to 127.0.0.1 sends its own name.
    A browser's request that may change something must come from our own pages. Headers that a page set itself stay.
    """

    def __init__(
        self, app: ASGIApp, *, token: str = "", refused: Callable[[str, str, str], object] = lambda *_: None
    ) -> None:
        """Guard an application.

        Args:
            app: what is guarded.
            token: what requests carry; without one only this machine is let in.
            refused: is told the path of each request that is not let in, why, and the client's address.
        """
        self._app = app
        self._token = token.encode()
        self._tell = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on and complete its answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(raw=message["headers"])
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(scope, Headers(raw=scope["headers"]))
        if refused is not None:
            status, kind, reason = refused
            self._tell(scope["path"], reason, (scope.get("client") or ("somewhere",))[0])
            challenge = {"www-authenticate": 'Bearer, Basic realm="andon", charset="UTF-8"'} if status == 401 else {}
            await error_response(status, kind, reason, challenge, path=scope["path"])(scope, receive, send_guarded)
            return
        try:
            await self._app(scope, receive, send_guarded)
        except Exception:  # the last line: whatever it was, it is logged whole and leaves as one sentence
            _log.exception("%s %r failed", scope["method"], scope["path"])
            if started:
                raise
            failed = error_response(500, "InternalError", "Andon failed; its log says why", path=scope["path"])
            await failed(scope, receive, send_guarded)

    def _refused(self, scope: Scope, headers: Headers) -> tuple[int, str, str] | None:
        if scope["path"] == SIGNED_PATH and scope["method"] == "POST":
            pass  # GitHub has no token and comes from anywhere; it signs what it sends, and its route checks that
        elif self._token:
            if scope["path"] not in OPEN_PATHS and not _has_token(headers, self._token):
                return (
                    401,
                    "Unauthorized",
                    "the token is missing or wrong; send ANDON_TOKEN as `Authorization: Bearer ...` or `X-API-Key`",
                )
        else:
            client = scope.get("client")
            if client is None or not is_loopback(client[0]) or any(h in headers for h in _PROXIED):
                return (
                    403,
                    "Forbidden",
                    "only this machine is let in while ANDON_TOKEN is not set; set it and send it as a bearer token",
                )
            if len(headers.getlist("host")) != 1 or not is_loopback(_split(headers["host"])[0]):
                return (
                    403,
                    "Forbidden",
                    "the Host header is not a loopback name (localhost, 127.0.0.1, [::1]); set ANDON_TOKEN to serve others",
                )
        if scope["method"] not in _SAFE and not _same_origin(headers):
            return (
                403,
                "Forbidden",
                "this request comes from a page of another origin; only Andon's own pages may change anything",
            )
        return None


def allowed_by_token(pairs: Iterable[tuple[str, str]], token: str) -> bool:
    """Whether headers, as pairs of a name in lower case and a value, carry the token."""
    raw = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in pairs]
    return _has_token(Headers(raw=raw), token.encode())


def _has_token(headers: Headers, token: bytes) -> bool:
    return any(hmac.compare_digest(t, token) for t in _tokens(headers))


def _tokens(headers: Headers) -> list[bytes]:
    given = [key.encode("latin-1") for key in headers.getlist("x-api-key")]
    for value in headers.getlist("authorization"):
        scheme, _, rest = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            given.append(rest.strip().encode("latin-1"))
        elif scheme.lower() == "basic":
            try:
                given.append(base64.b64decode(rest.strip(), validate=True).partition(b":")[2])
            except (binascii.Error, ValueError):
                continue
    return given


def _same_origin(headers: Headers) -> bool:
    origins = headers.getlist("origin")
    if not origins:  # no browser, or one that follows a link
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    parts = urlsplit(origins[0])
    if len(origins) > 1 or parts.scheme not in ("http", "https"):
        return False
    default = "443" if parts.scheme == "https" else "80"
    host, port = _split(parts.netloc)
    own_host, own_port = _split(headers.get("host", ""))
    return (host, port or default) == (own_host, own_port or default)


def _split(netloc: str) -> tuple[str, str]:
    """Host and port as they stand in a Host header; an IPv6 host keeps its brackets."""
    if netloc.startswith("["):
        host, _, port = netloc.partition("]")
        return host.lower() + "]", port.removeprefix(":")
    host, _, port = netloc.partition(":")
    return host.lower(), port
