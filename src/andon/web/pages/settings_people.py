"""Settings of owners: the people who sign in, and the tokens of programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from andon.access import SCOPES, Invitation, Person, Session, Token, TokenUse
from andon.access.run import (
    INVITED_US,
    add_person,
    end_sessions,
    invite,
    make_token,
    people,
    person_of,
    remove_person,
    revoke_token,
    set_role,
    tokens,
)
from andon.errors import InputError
from andon.web.asking import Ask, Done, Page, Undo
from andon.web.pages.settings import settings_page
from andon.web.routing import Pages
from andon.web.tables import Column, Table

__all__ = ["pages"]

pages = Pages()
DAY_US = 86_400_000_000
ENDS = {"90": "in 90 days", "30": "in 30 days", "365": "in a year", "": "when it is revoked"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    """One person as the list shows them."""

    person: Person
    path: str
    """Where what is done about them is sent."""
    link: Invitation | None
    """The link that they were given, while it can be used."""
    seen_us: int | None
    """When they signed in last."""

    @property
    def state(self) -> str:
        """How they stand, in a few words."""
        if not self.person.active:
            return "removed"
        if self.person.password:
            return "signs in"
        return "invited" if self.link is not None else "no password and no link"


@pages.read("/settings/people", role="owner")
def everybody(ask: Ask) -> Page:
    """Everybody who is or was let in."""
    seen: dict[str, int] = {}
    for session in ask.ledger.all(Session):
        seen[session.person] = max(seen.get(session.person, 0), session.at_us)
    all_ = [_somebody(ask, p, seen.get(p.id)) for p in people(ask.ledger)]
    here = [s for s in all_ if s.person.active]
    return settings_page(
        ask, "/settings/people", "People", tables=(_people_table(all_),), here=here, gone=[s for s in all_ if not s.person.active],
        days=INVITED_US // DAY_US,
    )  # fmt: skip


@pages.act("/settings/people", role="owner")
def let_in(ask: Ask) -> Done:
    """Add somebody, and make their link."""
    person = add_person(
        ask.ledger, ask.given("name", "the name"), ask.given("role", "the role"), by=ask.by, now_us=ask.now_us
    )
    return _linked(ask, person.id, f"{person.id} is {person.role}.")


@pages.act("/settings/people/{name:path}/link", role="owner")
def new_link(ask: Ask, name: str) -> Done:
    """Make another link; the one before no longer counts."""
    return _linked(ask, name, "Links made before no longer count.")


@pages.act("/settings/people/{name:path}/role", role="owner")
def another_role(ask: Ask, name: str) -> Done:
    """Give somebody another role."""
    before = person_of(ask.ledger, name)
    person = set_role(ask.ledger, name, ask.given("role", "the role"), by=ask.by, now_us=ask.now_us)
    undo = None
    if before is not None and before.role != person.role and person.id != ask.by:
        undo = Undo(action=_path(person.id) + "/role", fields={"role": before.role})
    return Done(to="/settings/people", said=f"{person.id} is {person.role} from the next click on.", undo=undo)


@pages.act("/settings/people/{name:path}/sessions", role="owner")
def end_theirs(ask: Ask, name: str) -> Done:
    """Sign somebody out everywhere."""
    person = end_sessions(ask.ledger, name, by=ask.by, now_us=ask.now_us)
    return Done(to="/settings/people", said=f"{person.id} is signed out everywhere, and can sign in again.")


@pages.act("/settings/people/{name:path}/remove", role="owner")
def let_out(ask: Ask, name: str) -> Done:
    """Remove somebody."""
    why = ask.given("why", "the reason")
    person = remove_person(ask.ledger, name, why=why, by=ask.by, now_us=ask.now_us)
    return Done(
        to="/settings/people", said=f"{person.id} is removed: signed out everywhere; what they did keeps their name."
    )


@pages.read("/settings/tokens", role="owner")
def machines(ask: Ask) -> Page:
    """The tokens of programs."""
    all_ = sorted(tokens(ask.ledger), key=lambda t: (-t.at_us, t.id))
    live = [t for t in all_ if _lives(t, ask.now_us)]
    used = {u.id: u.at_us for u in ask.ledger.all(TokenUse)}
    return settings_page(
        ask, "/settings/tokens", "Tokens", tables=(_tokens_table(all_, used, ask.now_us),), live_ones=live, used=used,
        over=[t for t in all_ if t not in live], scopes=SCOPES, ends=ENDS, guarded=bool(ask.site.settings.token),
    )  # fmt: skip


@pages.act("/settings/tokens", role="owner")
def make(ask: Ask) -> Done:
    """Make a token; its secret is shown on the next page, and nowhere else."""
    days = ask.form.get("ends", "90")
    if days not in ENDS:
        raise InputError(
            f"a token ends in {', '.join(d for d in ENDS if d)} days, or when it is revoked; not {days[:20]!r}"
        )
    until_us = ask.now_us + int(days) * DAY_US if days else None
    token, secret = make_token(
        ask.ledger,
        ask.given("name", "what uses it"),
        ask.many.get("scope", ()),
        by=ask.by,
        now_us=ask.now_us,
        until_us=until_us,
    )
    said = f"{token.id} for {token.name}: {', '.join(token.scopes)}. The program sends it as the header Authorization: Bearer."
    return Done(to="/settings/tokens", said=said, shown_once=secret)


@pages.act("/settings/tokens/{id}/revoke", role="owner")
def revoke(ask: Ask, id: str) -> Done:  # noqa: A002 - a part of the path
    """End a token."""
    token = revoke_token(ask.ledger, id, by=ask.by, now_us=ask.now_us)
    return Done(
        to="/settings/tokens", said=f"{token.id} for {token.name} is revoked: within a second it opens nothing."
    )


def _linked(ask: Ask, name: str, said: str) -> Done:
    secret = invite(ask.ledger, name, by=ask.by, now_us=ask.now_us)
    address = ask.site.settings.url.rstrip("/") or ask.address
    told = f"{said} Send {name} this link: it works once, within {INVITED_US // DAY_US} days, and sets their password."
    return Done(to="/settings/people", said=told, shown_once=f"{address}/join/{secret}")


def _path(name: str) -> str:
    return f"/settings/people/{quote(name, safe='')}"


def _somebody(ask: Ask, person: Person, seen_us: int | None) -> Somebody:
    link = ask.ledger.get(Invitation, person.invitation) if person.invitation else None
    live = link is not None and ask.now_us < link.until_us
    return Somebody(person=person, path=_path(person.id), link=link if live else None, seen_us=seen_us)


def _lives(token: Token, now_us: int) -> bool:
    return token.revoked_us is None and (token.until_us is None or now_us < token.until_us)


def _people_table(all_: list[Somebody]) -> Table:
    columns = (
        Column(key="person", title="person", wide=True), Column(key="role", title="role"), Column(key="state", title="state"),
        Column(key="added", title="added", kind="time"), Column(key="by", title="by"),
        Column(key="signed_in", title="signed in last", kind="time"), Column(key="why", title="why removed"),
    )  # fmt: skip
    rows = [
        {
            "person": s.person.id, "role": s.person.role, "state": s.state, "added": s.person.at_us, "by": s.person.by,
            "signed_in": s.seen_us, "why": s.person.why,
        }
        for s in all_
    ]  # fmt: skip
    return Table(name="people", title="People", columns=columns, rows=rows)


def _tokens_table(all_: list[Token], used: Mapping[str, int], now_us: int) -> Table:
    columns = (
        Column(key="token", title="token", kind="code"), Column(key="name", title="used by", wide=True),
        Column(key="scopes", title="opens"), Column(key="state", title="state"), Column(key="made", title="made", kind="time"),
        Column(key="by", title="by"), Column(key="used", title="used last, to the hour", kind="time"), Column(key="until", title="ends", kind="time"),
        Column(key="revoked", title="revoked", kind="time"), Column(key="revoked_by", title="revoked by"),
    )  # fmt: skip
    rows = [
        {
            "token": t.id, "name": t.name, "scopes": ", ".join(t.scopes), "made": t.at_us, "by": t.by, "until": t.until_us,
            "used": used.get(t.id),
            "state": "opens" if _lives(t, now_us) else "revoked" if t.revoked_us is not None else "over",
            "revoked": t.revoked_us, "revoked_by": t.revoked_by,
        }
        for t in all_
    ]  # fmt: skip
    return Table(name="tokens", title="Tokens", columns=columns, rows=rows)
