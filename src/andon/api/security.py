"""Which programs are let in: a token, or this machine alone; and what every answer says to browsers."""

import base64
import binascii
import hmac
import logging
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from andon.api.errors import OFREP, error_response

__all__ = [
    "OPEN_PATHS",
    "SIGNED_PATH",
    "Guard",
    "Opens",
    "is_loopback",
    "may_read",
    "refusal",
    "scope_of",
    "sent_tokens",
]

READY = "/readyz"

OPEN_PATHS = frozenset({"/healthz", READY})
"""Answered without the token, because a load balancer has none; they tell it nothing but that the process lives, or is ready."""

SIGNED_PATH = "/v1/webhooks/github"
"""Let in from anywhere without the token: its route lets in who has signed, and nobody while there is no secret."""

Opens = Callable[[str], frozenset[str] | None]
"""What the secret of a machine's token opens, by its scopes; None where it is no token's, or its token is revoked or over."""

_SCOPES = {"/v1/": "ingest", OFREP: "levers"}
"""What lies under these paths is for programs, and asks for a token with the scope."""

_READ = (READY, "/metrics", "/openapi.json")
"""For programs too, with the scope ``read``; while ANDON_TOKEN is not set they ask for nothing."""

_MAY_READ = "andon.may_read"
"""Where the guard writes into a request's scope whether its sender may read."""

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

_Refusal = tuple[int, str, str]
"""Status, kind and reason."""


def scope_of(path: str) -> str | None:
    """The scope that a token needs for a path; None where the path is the page's, which signs people in by itself."""
    if path in _READ:
        return "read"
    return next((scope for begin, scope in _SCOPES.items() if path.startswith(begin)), None)


def may_read(scope: Scope) -> bool:
    """Whether the sender of a request to ``/readyz``, which is open to strangers, may be told more than they are."""
    return bool(scope.get(_MAY_READ, False))


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

    What is for programs (`scope_of`) asks for a token: ANDON_TOKEN, which opens everything, or one of a machine's that has the
    scope; as ``Authorization: Bearer``, ``X-API-Key``, or the password of ``Authorization: Basic``. While ANDON_TOKEN is not set,
    programs on this machine are let in without one. Everything else belongs to the page and is passed on to it.

    For all of it: while ANDON_TOKEN is not set, only clients on this machine are let in, and only when they asked for it by a
    loopback name: a page that rebinds its DNS name to 127.0.0.1 sends its own name. A browser's request that may change
    something must come from our own pages. Headers that a page set itself stay.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str = "",
        refused: Callable[[str, str, str], object] = lambda *_: None,
        scopes_of: Opens = lambda _: None,
    ) -> None:
        """Guard an application.

        Args:
            app: what is guarded.
            token: ANDON_TOKEN; while it is empty only this machine is let in.
            refused: is told the path of each request that is not let in, why, and the client's address.
            scopes_of: what the token of a machine opens.
        """
        self._app = app
        self._token = token
        self._tell = refused
        self._scopes_of = scopes_of

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
        if scope["path"] == READY:
            given = _tokens(Headers(raw=scope["headers"])) if self._token else ()
            scope[_MAY_READ] = refusal(given, "read", self._token, self._scopes_of) is None
        try:
            await self._app(scope, receive, send_guarded)
        except Exception:  # the last line: whatever it was, it is logged whole and leaves as one sentence
            _log.exception("%s %r failed", scope["method"], scope["path"])
            if started:
                raise
            failed = error_response(500, "InternalError", "Andon failed; its log says why", path=scope["path"])
            await failed(scope, receive, send_guarded)

    def _refused(self, scope: Scope, headers: Headers) -> _Refusal | None:
        # GitHub has no token and comes from anywhere; it signs what it sends, and its route checks that
        if scope["path"] != SIGNED_PATH or scope["method"] != "POST":
            if not self._token and (why := _stranger(scope, headers)):
                return why
            needed = (
                None
                if scope["path"] in OPEN_PATHS or (not self._token and scope["path"] in _READ)
                else scope_of(scope["path"])
            )
            if needed is not None and (why := refusal(_tokens(headers), needed, self._token, self._scopes_of)):
                return why
        if scope["method"] not in _SAFE and not _same_origin(headers):
            return (
                403,
                "Forbidden",
                "this request comes from a page of another origin; only Andon's own pages may change anything",
            )
        return None


def refusal(given: Iterable[bytes], needed: str, token: str, scopes_of: Opens) -> _Refusal | None:
    """Why a program is not let in; None where it is.

    Args:
        given: the tokens that it sends, as they came.
        needed: the scope that a machine's token must have.
        token: ANDON_TOKEN; while it is empty, who sends no token is let in: it was looked at before that it is on this machine.
        scopes_of: what the token of a machine opens.
    """
    sent = [g for g in given if g]
    if (not token and not sent) or (token and any(hmac.compare_digest(g, token.encode()) for g in sent)):
        return None
    found = [opened for g in sent if (opened := scopes_of(g.decode("utf-8", "replace"))) is not None]
    if any(needed in opened for opened in found):
        return None
    if found:
        has = ", ".join(sorted(frozenset().union(*found)))
        return (
            403,
            "Forbidden",
            f"the token's scope is {has}, and this needs the scope {needed}; an owner makes such a token (andon token make)",
        )
    what = "missing or wrong" if token else "wrong (while ANDON_TOKEN is not set, this machine needs none)"
    return (
        401,
        "Unauthorized",
        f"the token is {what}, revoked or over; send ANDON_TOKEN, or a token with the scope {needed} (andon token make), as "
        "`Authorization: Bearer ...` or `X-API-Key`",
    )


def sent_tokens(pairs: Iterable[tuple[str, str]]) -> list[bytes]:
    """The tokens in headers, which are pairs of a name in lower case and a value."""
    raw = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in pairs]
    return _tokens(Headers(raw=raw))


def _stranger(scope: Scope, headers: Headers) -> _Refusal | None:
    """Why a client is not one on this machine that asked for this machine; None where it is."""
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
    return None


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
    origins, site = headers.getlist("origin"), headers.get("sec-fetch-site")
    if not origins:  # no browser, or one that follows a link
        return site in (None, "same-origin", "none")
    if (
        origins == ["null"] and site == "same-origin"
    ):  # ours, of a browser that is told to send no referrer: it hides the origin too
        return True
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
