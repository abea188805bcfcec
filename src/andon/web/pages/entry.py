"""Coming in: the first owner, signing in and out, and links by which people set a password."""

import hmac
from typing import Any

from andon.access.run import accept, found, invited, owned, sign_in, sign_out
from andon.errors import InputError, StateError
from andon.web.asking import Ask, Done, Gone, Page
from andon.web.routing import Pages

__all__ = ["pages"]

pages = Pages()


@pages.read("/welcome", role=None)
def welcome(ask: Ask) -> Page:
    """The first visit: whoever is on this machine, or holds ANDON_TOKEN, becomes the owner."""
    return _page("welcome", "Welcome", owned=owned(ask.ledger), guarded=bool(ask.site.settings.token))


@pages.act("/welcome", role=None)
def become_owner(ask: Ask) -> Done:
    """Make the first owner."""
    name, password = ask.given("name", "your name"), ask.form.get("password", "")
    token = ask.site.settings.token
    if token:
        _limited(ask, "ANDON_TOKEN")
        if not hmac.compare_digest(ask.form.get("token", "").strip().encode(), token.encode()):
            raise InputError("this is not the ANDON_TOKEN of this server: it stands where the server's settings are")
        ask.site.attempts.right("ANDON_TOKEN", ask.client)
    _same_twice(ask)
    _, secret = found(ask.ledger, name, password, now_us=ask.now_us)
    return Done(to="/", said=f"You are the owner of this Andon, {name}.", session=secret)


@pages.read("/sign-in", role=None)
def come_in(ask: Ask) -> Page:
    """Name and password."""
    return _page("sign_in", "Sign in", to=ask.query.get("to", "/"), owned=owned(ask.ledger))


@pages.act("/sign-in", role=None)
def enter(ask: Ask) -> Done:
    """Let somebody in."""
    name = ask.given("name", "your name")
    _limited(ask, name)
    _, secret = sign_in(ask.ledger, name, ask.form.get("password", ""), now_us=ask.now_us)
    ask.site.attempts.right(name, ask.client)
    return Done(to=ask.form.get("to") or "/", session=secret)


@pages.act("/sign-out", role="viewer")
def leave(ask: Ask) -> Done:
    """End this session."""
    sign_out(ask.ledger, ask.secret, now_us=ask.now_us)
    return Done(to="/sign-in", said="You are signed out.", session="")


@pages.read("/join/{secret}", role=None)
def join(ask: Ask, secret: str) -> Page:
    """A link that somebody was given: they choose a password."""
    person = invited(ask.ledger, secret, ask.now_us)
    if person is None:
        raise Gone(
            "This link does not count, or no longer: it was used, or is older than a week. Ask an owner for another one.",
            "/sign-in", "Sign in",
        )  # fmt: skip
    return _page("join", "Choose a password", who=person, link=secret)


@pages.act("/join/{secret}", role=None)
def set_password(ask: Ask, secret: str) -> Done:
    """Set the password and come in."""
    _same_twice(ask)
    person, session = accept(ask.ledger, secret, ask.form.get("password", ""), now_us=ask.now_us)
    return Done(to="/", said=f"Welcome, {person.id}.", session=session)


def _limited(ask: Ask, name: str) -> None:
    wait = ask.site.attempts.begin(name, ask.client, ask.now_us)
    if wait:
        raise StateError(
            f"there were too many wrong attempts; wait for {wait // 60 + 1} minutes, or ask an owner for a link"
        )


def _same_twice(ask: Ask) -> None:
    if ask.form.get("password", "") != ask.form.get("again", ""):
        raise InputError("the two passwords differ: type the same one twice")


def _page(name: str, title: str, **context: Any) -> Page:
    return Page(template=f"entry/{name}.html", title=title, live=False, context=context)
