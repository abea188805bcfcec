"""Settings: what is one's own, and the way to what owners look after."""

from typing import Any

from andon.access import ROLES
from andon.access.passwords import check_password
from andon.access.run import change_password, end_sessions, sessions_of
from andon.access.tokens import digest
from andon.errors import InputError, StateError
from andon.web.asking import Ask, Done, Page
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table
from andon.web.zones import zone_names

__all__ = ["pages", "settings_page"]

pages = Pages()
THEMES = {"auto": "as the system says", "light": "light", "dark": "dark"}

TABS = (
    ("/settings", "Me", "viewer"),
    ("/settings/people", "People", "owner"),
    ("/settings/tokens", "Tokens", "owner"),
    ("/settings/channels", "Channels", "owner"),
    ("/settings/budget", "Page budget", "viewer"),
    ("/settings/health", "Health", "viewer"),
    ("/settings/audit", "Audit trail", "owner"),
)


def settings_page(
    ask: Ask, tab: str, title: str, *, tables: tuple[Table, ...] = (), live: bool = False, **context: Any
) -> Page:
    """One of the settings, under its tab."""
    tabs = [(path, text) for path, text, role in TABS if ask.may(role)]  # type: ignore[arg-type]
    name = tab.rpartition("/")[2] if tab != "/settings" else "me"
    return Page(
        template=f"settings/{name}.html", title=title, tables=tables, live=live,
        context={"tabs_": tabs, "tab": tab, "roles": ROLES, **context},
    )  # fmt: skip


@pages.read("/settings")
def mine(ask: Ask) -> Page:
    """How the pages look to me, my password, my sessions."""
    sessions = _sessions(ask) if ask.secret else Table(name="sessions", title="My sessions", columns=())
    return settings_page(
        ask, "/settings", "Settings", tables=(sessions,), sessions=sessions, themes=THEMES, zones=zone_names(),
        may=ROLES[ask.person.role],
    )  # fmt: skip


@pages.act("/settings/me", role="viewer")
def prefer(ask: Ask) -> Done:
    """Keep how the pages look, in this browser."""
    theme, zone = ask.form.get("theme", ""), ask.given("zone", "the time zone")
    if theme not in THEMES:
        raise InputError(f"there is no look {theme[:40]!r}; choose of {', '.join(THEMES)}")
    if zone not in zone_names():
        raise InputError(
            f"there is no time zone {zone[:60]!r}; the names are those of the IANA, such as Europe/Berlin or UTC"
        )
    return Done(to="/settings", said="Kept in this browser.", cookies={"andon_theme": theme, "andon_zone": zone})


@pages.act("/settings/password", role="viewer")
def another_password(ask: Ask) -> Done:
    """Take another password; every other session ends."""
    if ask.form.get("new", "") != ask.form.get("again", ""):
        raise InputError("the two new passwords differ: type the same one twice")
    check_password(ask.form.get("new", ""), ask.by)  # first: a weak new one says nothing about the old
    wait = ask.site.attempts.begin(ask.by, ask.client, ask.now_us)
    if wait:
        raise StateError(f"there were too many wrong attempts; wait for {wait // 60 + 1} minutes")
    _, secret = change_password(ask.ledger, ask.by, ask.form.get("old", ""), ask.form.get("new", ""), now_us=ask.now_us)
    ask.site.attempts.right(ask.by, ask.client)
    return Done(to="/settings", said="Your password is changed; every other session of yours is over.", session=secret)


@pages.act("/settings/sessions", role="viewer")
def end_mine(ask: Ask) -> Done:
    """Sign out everywhere."""
    end_sessions(ask.ledger, ask.by, by=ask.by, now_us=ask.now_us)
    return Done(to="/sign-in", said="You are signed out everywhere.", session="")


def _sessions(ask: Ask) -> Table:
    here = digest(ask.secret)
    columns = (
        Column(key="session", title="session", wide=True), Column(key="begun", title="signed in", kind="time"),
        Column(key="until", title="ends by itself", kind="time"),
    )  # fmt: skip
    rows = [
        {
            "session": Cell(value="this one", tone="good") if s.id == here else "another browser or device",
            "begun": s.at_us, "until": s.until_us,
        }
        for s in sessions_of(ask.ledger, ask.by, ask.now_us)
    ]  # fmt: skip
    return Table(name="sessions", title="My sessions", columns=columns, rows=rows)
