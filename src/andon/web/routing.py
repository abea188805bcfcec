"""Pages and what can be done on them: each says who may, and nothing is served without having said it.

A page is a function from an `Ask` to a `Page`; what changes something is a function from an `Ask` to a `Done`. Everything
around them is here once: sessions, roles, the proof that a form is ours (CSRF), files of tables, errors, messages.
"""

import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import orjson
from anyio import CapacityLimiter, to_thread
from isal import igzip
from markupsafe import escape
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from andon.access import Person, Role, Token, may
from andon.access.run import owned, signed_in, token_of
from andon.api import status_of
from andon.errors import AndonError, InputError, StateError
from andon.web import told
from andon.web.asking import Ask, Done, Gone, Page, Wrong
from andon.web.rendering import render
from andon.web.site import Site
from andon.web.tables import Table, as_csv, as_json, as_markdown
from andon.web.zones import zone_of

__all__ = ["SESSION", "Act", "Pages", "Read", "csrf_of", "routes"]

SESSION = "andon_session"
STRANGER = Person(id="", role="viewer", at_us=0, by="")
LONGEST = 2_000_000
"""Bytes of a form."""
SHORT = 20_000
"""Bytes of a form of a stranger: a name, passwords, where to go."""
SMALL = 2_000
"""Bytes of a page that are sent as they are."""
AT_ONCE = 4
"""Pages that are made at the same time: more would only share two cores, and traffic is taken in beside them."""
FILES_AT_ONCE = 2
"""Files of tables that are made at the same time: they are long, and no page waits for them."""
AT_THE_DOOR = 2
"""Strangers who are let in, or not, at the same time: passwords are slow on purpose, and no page waits for them."""

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# With `no-referrer` a browser sends `Origin: null` with our own forms, which the guard refuses; other hosts still learn nothing.
_HEADERS = {
    "content-security-policy": _CSP,
    "cache-control": "no-store",
    "vary": "cookie, accept-encoding",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json", "md": "text/markdown; charset=utf-8"}

_log = logging.getLogger("andon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A page."""

    path: str
    show: Callable[..., Page | Response]
    role: Role | None
    """Who may see it; None for everybody, signed in or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that can be done."""

    path: str
    do: Callable[..., Done | Response]
    role: Role | None


class Pages:
    """The pages of one part of the site, and what can be done there."""

    def __init__(self) -> None:
        self.all: list[Read | Act] = []

    def read(self, path: str, role: Role | None = "viewer") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Let a function show what lies at a path; it is given the `Ask` and what the path holds in braces."""

        def keep(show: Callable[..., Any]) -> Callable[..., Any]:
            self.all.append(Read(path=path, show=show, role=role))
            return show

        return keep

    def act(self, path: str, role: Role | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Let a function do what is sent to a path; only a signed-in person with this role comes to it.

        It returns a `Done`; or a response for a script that asked.
        """

        def keep(do: Callable[..., Done | Response]) -> Callable[..., Done | Response]:
            self.all.append(Act(path=path, do=do, role=role))
            return do

        return keep


def routes(parts: Sequence[Pages], site: Site) -> list[Route]:
    """All routes of the site, ending in one that says that there is nothing at any other path."""
    inside, files, door = (CapacityLimiter(n) for n in (AT_ONCE, FILES_AT_ONCE, AT_THE_DOOR))
    table = [p for part in parts for p in part.all]
    pages = [(Route(p.path, endpoint=_nothing), p) for p in table if isinstance(p, Read)]

    def endpoint(entry: Read | Act) -> Callable[[Request], Any]:
        stranger = isinstance(entry, Act) and entry.role is None

        async def answer(request: Request) -> Response:
            form = await _sent(request, SHORT if stranger else LONGEST) if isinstance(entry, Act) else b""
            limiter = door if stranger else files if request.query_params.get("as") in _TYPES else inside
            return await to_thread.run_sync(lambda: _answer(entry, request, form, site, pages), limiter=limiter)

        return answer

    found = [
        Route(p.path, endpoint=endpoint(p), methods=["POST" if isinstance(p, Act) else "GET"], include_in_schema=False)
        for p in table
    ]
    rest = Read(path="/{rest:path}", show=_missing, role="viewer")
    return [*found, Route(rest.path, endpoint=endpoint(rest), methods=["GET"], include_in_schema=False)]


def csrf_of(secret: str) -> str:
    """What every form of a session carries, so that no other site can send one: worthless without the session itself."""
    return hmac.new(secret.encode(), b"andon form", "sha256").hexdigest()[:32]


def _nothing(_: Request) -> Response:
    return Response(status_code=404)


def _missing(_: Ask, rest: str) -> Page:
    raise Gone(f"There is no page at /{rest[:200]}")


async def _sent(request: Request, most: int) -> bytes | InputError:
    """The body of a form, as it came."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return InputError("a form is sent as application/x-www-form-urlencoded")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            return InputError(f"this form is larger than {most:,} bytes")
    return bytes(body)


def _form_of(body: bytes) -> list[tuple[str, str]] | InputError:
    """The fields of a form. It takes up to a second of the processor, so never where requests are taken in."""
    try:
        return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=2_000)
    except (UnicodeDecodeError, ValueError):
        return InputError("this form is not UTF-8 text")


def _answer(
    entry: Read | Act,
    request: Request,
    body: bytes | InputError,
    site: Site,
    pages: Sequence[tuple[Route, Read]],
) -> Response:
    """Let in, or send to sign in; then show or do, and say what went wrong where something did."""
    now = site.now_us()
    secret = request.cookies.get(SESSION, "")
    person = signed_in(site.ledger, secret, now) if secret else None
    machine = None if person else _machine(request, site, now)
    if person is None and machine is not None and isinstance(entry, Read):
        person = machine
    known = person is not None or entry.role is None
    form = body if isinstance(body, InputError) else _form_of(body) if known else []
    ask = _ask(request, form if isinstance(form, list) else [], site, person or STRANGER, secret if person else "", now)
    if not known:
        return _to_sign_in(request, ask)
    try:
        if refused := _refusal(entry, ask, form):
            return _wrong(ask, 403, refused)
        return _done(entry, request, ask, pages) if isinstance(entry, Act) else _shown(entry, request, ask)
    except Gone as gone:
        return _wrong(ask, 404, gone.message, (gone.to, gone.where))
    except AndonError as error:
        return _failed(ask, error)


def _refusal(entry: Read | Act, ask: Ask, form: list[tuple[str, str]] | InputError) -> str:
    """Why this person may not do this, or not with this form; empty where they may."""
    if entry.role is not None and not may(ask.person.role, entry.role):
        return f"This needs the role of {entry.role}; yours is {ask.person.role}. An owner can change that."
    if isinstance(entry, Act):
        if isinstance(form, InputError):
            raise form
        if entry.role is not None and not hmac.compare_digest(
            ask.form.get("csrf", "").encode(), csrf_of(ask.secret).encode()
        ):
            return "This form is not of your present session. Go back, load the page again and send it again."
    return ""


def _ask(request: Request, form: list[tuple[str, str]], site: Site, person: Person, secret: str, now: int) -> Ask:
    many: dict[str, list[str]] = {}
    for name, value in form:
        many.setdefault(name, []).append(value)
    theme = request.cookies.get("andon_theme", "")
    return Ask(
        site=site,
        person=person,
        now_us=now,
        path=request.scope["path"],
        query=dict(request.query_params),
        pairs=request.query_params.multi_items(),
        form={name: values[-1] for name, values in many.items()},
        many=many,
        zone=zone_of(request.cookies.get("andon_zone", "")),
        theme=theme if theme in ("light", "dark") else "auto",
        secret=secret,
        address=str(request.base_url).rstrip("/"),
        client=request.client.host if request.client else "",
        gzip="gzip" in request.headers.get("accept-encoding", ""),
        heard=site.streams.told,
        exporting=request.query_params.get("as") in _TYPES,
    )


def _machine(request: Request, site: Site, now: int) -> Person | None:
    """A machine that may read, as somebody with the role of a viewer."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    given = given.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
    if not given:
        return None
    token = site.settings.token
    if token and hmac.compare_digest(given.encode(), token.encode()):
        return Person(id="ANDON_TOKEN", role="viewer", at_us=0, by="")
    known: Token | None = token_of(site.ledger, given, now)
    return Person(id=known.id, role="viewer", at_us=0, by=known.by) if known and "read" in known.scopes else None


def _to_sign_in(request: Request, ask: Ask) -> Response:
    if request.method != "GET" or request.headers.get("x-andon-live") or ask.exporting:
        return _wrong(ask, 401, "You are not signed in, or your session has ended.", ("/sign-in", "Sign in"))
    if not owned(ask.ledger):
        return RedirectResponse("/welcome", 303, headers=_HEADERS)
    to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/sign-in" + (f"?to={quote(to)}" if to != "/" else ""), 303, headers=_HEADERS)


def _shown(entry: Read, request: Request, ask: Ask) -> Response:
    page = entry.show(ask, **request.path_params)
    if isinstance(page, Response):
        return page
    if ask.exporting:
        return _file(page, ask)
    # What brings an open page up to date shows nobody anything: the sentence waits for the page that it is for.
    said = None if request.headers.get("x-andon-live") else told.read(request.cookies, ask.secret)
    response = _html(ask, page, said)
    if said is not None:
        response.delete_cookie(told.COOKIE, path="/")
    return response


def _done(entry: Act, request: Request, ask: Ask, pages: Sequence[tuple[Route, Read]]) -> Response:
    try:
        done = entry.do(ask, **request.path_params)
    except (InputError, StateError) as error:
        return _again(ask, error, pages)
    if isinstance(done, Response):
        return done
    response = RedirectResponse(_ours(done.to), 303, headers=_HEADERS)
    secure = _over_tls(request)
    if done.session is not None:
        if done.session:
            days = 14 * 86_400
            response.set_cookie(SESSION, done.session, days, path="/", secure=secure, httponly=True, samesite="lax")
        else:
            response.delete_cookie(SESSION, path="/")
    for name, value in done.cookies.items():
        response.set_cookie(name, value, 400 * 86_400, path="/", secure=secure, samesite="lax")
    told.write(response, done, secret=ask.secret if done.session is None else done.session, secure=secure)
    return response


def _over_tls(request: Request) -> bool:
    """Whether the browser sees this server by HTTPS: a proxy may have taken that off, and the browser says where its form stood."""
    return "https" in (request.url.scheme, request.headers.get("origin", "").partition(":")[0])


def _again(ask: Ask, error: AndonError, pages: Sequence[tuple[Route, Read]]) -> Response:
    """The page that the form stood on, with what was typed and why it was refused; without one, the reason alone."""
    place = urlsplit(_ours(ask.form.get("from", "")))
    path, pairs = unquote(place.path), parse_qsl(place.query)
    wrong = Wrong(action=ask.path, message=str(error), form=ask.form, conflict=isinstance(error, StateError))
    for route, page in pages:
        match, scope = route.matches({"type": "http", "path": path, "method": "GET"})
        if match.value != 2 or (page.role is not None and not (ask.secret and may(ask.person.role, page.role))):
            continue
        here = replace(ask, path=path, query=dict(pairs), pairs=pairs, wrong=wrong)
        try:
            found = page.show(here, **scope["path_params"])
        except (AndonError, Gone):
            break
        if isinstance(found, Page):
            again = _html(replace(here, gzip=False), replace(found, status=status_of(error)), None)
            if str(escape(wrong.message)).encode() in bytes(again.body):
                return again
            break  # an undo, or a form that is not there any more: shown in none of its forms
    return _failed(ask, error)


def _file(page: Page, ask: Ask) -> Response:
    """A table of the page as a file, or the page as Markdown, or all its tables as JSON."""
    form, name = ask.query["as"], ask.query.get("table", "")
    tables: Mapping[str, Table] = {t.name: t for t in page.tables}
    if name and name not in tables:
        raise Gone(f"This page has no table {name[:100]!r}; it has {', '.join(tables) or 'none'}")
    headers, told = dict(_HEADERS), [tables[name]] if name else list(tables.values())
    if form == "md" and not name:
        text = page.markdown() if page.markdown else "\n".join(f"## {t.title}\n\n{as_markdown(t)}" for t in page.tables)
    elif form == "json" and not name:
        text = orjson.dumps({n: as_json(t) for n, t in tables.items()}).decode()
    else:
        table = tables.get(name) or next(iter(tables.values()), None)
        if table is None:
            raise Gone("This page has no table")
        text, told = _table_text(table, form), [table]
    if cut := [t for t in told if t.cut]:
        headers["andon-cut"] = ", ".join(f"{t.name}: {len(t.rows)} rows, there may be more" for t in cut)
    if form == "csv":
        part = f"-first-{len(told[0].rows)}" if cut else ""
        headers["content-disposition"] = f'attachment; filename="andon-{told[0].name}{part}.csv"'
    return Response(text, media_type=_TYPES[form], headers=headers)


def _table_text(table: Table, form: str) -> str:
    if form == "csv":
        return as_csv(table)
    return as_markdown(table) if form == "md" else orjson.dumps(as_json(table)).decode()


def _failed(ask: Ask, error: AndonError) -> Response:
    status = status_of(error)
    if status >= 500:
        _log.error("the page %r failed", ask.path, exc_info=error)
        return _wrong(
            ask,
            status,
            "Andon failed; its log says why." if status == 500 else "The store is busy. Try again in a moment.",
        )
    return _wrong(ask, status, str(error))


def _wrong(ask: Ask, status: int, message: str, way: tuple[str, str] = ("/", "Home")) -> Response:
    title = {401: "Sign in", 403: "Not allowed", 404: "Not found", 409: "Not now", 422: "That did not work"}.get(
        status, "Failed"
    )
    page = Page(template="error.html", title=title, live=False, status=status, context={"message": message, "way": way})
    if ask.exporting:
        body = orjson.dumps({"error": {"kind": title, "message": message}})
        return Response(body, status, _HEADERS, media_type="application/json")
    return _html(ask, page, None)


def _html(ask: Ask, page: Page, said: "told.Said | None") -> Response:
    body = render(ask, page, csrf=csrf_of(ask.secret) if ask.secret else "", said=said).encode("utf-8", "replace")
    headers = dict(_HEADERS)
    # Who listens on the wire and has somebody follow links of his own choice learns from sizes what a page repeats of its address and
    # of a secret. So a page with a secret is sent as it is; the proof in our forms is worth nothing without the session's cookie.
    if ask.gzip and len(body) > SMALL and not (said and said.once):
        body, headers["content-encoding"] = igzip.compress(body, 1), "gzip"
    return Response(body, page.status, headers, media_type="text/html; charset=utf-8")


def _ours(path: str) -> str:
    """A path of this server: never one that leads elsewhere, whatever a form said."""
    try:
        parts = urlsplit(path)
    except ValueError:  # an address of IPv6 without its end
        return "/"
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc and path.isprintable()
    return path if safe else "/"
