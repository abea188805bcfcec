"""A request as pages see it, and what they answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from andon.access import Person, Role, may
from andon.errors import InputError
from andon.traffic import parse_time, quoted
from andon.web.site import Site
from andon.web.tables import Table

__all__ = ["Ask", "Done", "Gone", "Page", "Undo", "Wrong"]

LONGEST = 200_000
"""Characters of one field of a form."""
LARGEST = 1e12
"""The greatest number in a field: what is reckoned from it stays a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Why a form was refused, and what was in it: the page is shown again with both."""

    action: str
    message: str
    form: Mapping[str, str]
    conflict: bool = False
    """Somebody else changed the same thing meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request: who asks, for what, and when."""

    site: Site
    person: Person
    """Who is signed in. Of a page for strangers it is nobody in particular, with the role of a viewer."""
    now_us: int
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    pairs: Sequence[tuple[str, str]] = ()
    """The query in its order, with keys that come several times."""
    form: Mapping[str, str] = field(default_factory=dict)
    many: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The form's fields with all their values, where one is given several times."""
    zone: ZoneInfo
    theme: str = "auto"
    wrong: Wrong | None = None
    secret: str = ""
    """The secret of the session; never shown."""
    address: str = ""
    """Where this server was asked, such as ``http://127.0.0.1:4318``."""
    client: str = ""
    """Where the request comes from."""
    gzip: bool = False
    """Whether the answer may be compressed."""
    heard: str = ""
    """What had been told to open pages before anything was read for this one."""
    exporting: bool = False
    """Whether a table is asked for as a file: then all of it, not a screenful."""

    @property
    def by(self) -> str:
        """Who does what is asked for, as records name people."""
        return self.person.id

    @property
    def ledger(self) -> Any:
        """The records."""
        return self.site.ledger

    @property
    def warehouse(self) -> Any:
        """The tables."""
        return self.site.warehouse

    def here(self, **values: Any) -> str:
        """The address of this page, with other values in its query; None takes one out."""
        told = [(k, v) for k, v in self.pairs if v and k not in values]
        told += [(k, v) for k, v in values.items() if v not in (None, "")]
        return quote(self.path, safe="/:@!$&'()*+,;=~") + (f"?{urlencode(told)}" if told else "")

    def may(self, role: Role) -> bool:
        """Whether who asks may do what this role may."""
        return may(self.person.role, role)

    def given(self, name: str, what: str = "") -> str:
        """A field of the form that must be filled in.

        Args:
            name: of the field.
            what: how people call it.

        Raises:
            InputError: it is empty.
        """
        text = self.maybe(name)
        if text is None:
            raise InputError(f"{what or name} is empty: fill it in")
        return text

    def maybe(self, name: str) -> str | None:
        """A field of the form, without the space around it; None where it is empty.

        Raises:
            InputError: it is too long.
        """
        text = self.form.get(name, "").replace("\r\n", "\n").strip()
        if len(text) > LONGEST:
            raise InputError(f"{name} has {len(text):,} characters; {LONGEST:,} are allowed")
        return text or None

    def number(self, name: str, what: str = "") -> float:
        """A field of the form that must be a finite number.

        Raises:
            InputError: it is none.
        """
        text = self.given(name, what)
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not isfinite(value):
            raise InputError(f"{what or name} {quoted(text)} is not a number")
        if abs(value) > LARGEST:
            raise InputError(f"{what or name} {quoted(text)} is out of all reason; up to {LARGEST:g} is allowed")
        return value

    def time_us(self, name: str) -> int | None:
        """A field of the form that is a time in the zone of who asks, or with a zone of its own; None where it is empty.

        Raises:
            InputError: it is no time.
        """
        from datetime import datetime

        text = self.maybe(name)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return parse_time(text)
        return parse_time(moment if moment.tzinfo else moment.replace(tzinfo=self.zone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page shows: a template and what it needs."""

    template: str
    title: str
    """Of the window: the one thing that tells this page from others."""
    tables: Sequence[Table] = ()
    """Each can be had as CSV, JSON and Markdown from the same address."""
    markdown: Callable[[], str] | None = None
    """The page as Markdown, where that is more than its tables."""
    live: bool = True
    """Whether it is brought up to date while it is open."""
    status: int = 200
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """How what was just done is taken back: a form that is sent."""

    action: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was asked for is done: where to go, and what to say there."""

    to: str
    """A path of ours."""
    said: str = ""
    undo: Undo | None = None
    shown_once: str = ""
    """A secret that the next page shows, and no other."""
    session: str | None = None
    """The secret of a session that begins; empty: of the one that ends."""
    cookies: Mapping[str, str] = field(default_factory=dict)


class Gone(Exception):  # noqa: N818 - an answer of HTTP
    """There is no such thing: 404, with the way to those that there are."""

    def __init__(self, message: str, to: str = "/", where: str = "Home") -> None:
        super().__init__(message)
        self.message, self.to, self.where = message, to, where
