"""People who look at pages, over a real ledger and a real warehouse in memory or in a folder; no browser."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from andon.access.run import accept, add_person, found, invite
from andon.api import Streams
from andon.scores import score_schema
from andon.scores.run import installed_scorers
from andon.settings import load
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS
from andon.web import NoErrands, Site, add_pages
from andon.web.routing import SESSION, csrf_of

__all__ = ["NOW", "House", "Seen", "Visitor", "seen"]

NOW = 1_772_409_600_000_000
ROLES = ("owner", "responder", "reviewer", "viewer")
NAMES = {"owner": "Ada", "responder": "Rob", "reviewer": "Rita", "viewer": "Vic"}
PASSWORD = "a horse that is correct"


class Seen(HTMLParser):
    """What a page shows: its text, its tags, its forms' fields, its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._hidden = 0
        self.feed(html)

    @property
    def text(self) -> str:
        """All words in one line."""
        return " ".join(" ".join(self.words).split())

    @property
    def links(self) -> list[str]:
        """Where links lead."""
        return [a["href"] or "" for t, a in self.tags if t == "a" and "href" in a]

    @property
    def forms(self) -> list[str]:
        """Where forms are sent."""
        return [a.get("action") or "" for t, a in self.tags if t == "form" and a.get("method") == "post"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append((tag, dict(attrs)))
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        """Leave what nobody sees."""
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        """Keep what people read."""
        if not self._hidden:
            self.words.append(data)


def seen(response: Response) -> Seen:
    """What an answer shows."""
    return Seen(response.text)


@dataclass
class Visitor:
    """Somebody with a browser that has no script."""

    client: TestClient
    secret: str = ""

    def get(self, path: str, **headers: str) -> Response:
        """Ask for a page; redirects are not followed."""
        return self.client.get(path, follow_redirects=False, headers=headers)

    def sees(self, path: str) -> Seen:
        """A page that is there."""
        answer = self.client.get(path)
        assert answer.status_code == 200, (answer.status_code, Seen(answer.text).text[:600])
        return Seen(answer.text)

    def send(self, path: str, fields: Mapping[str, Any] | None = None, *, origin: str = "/") -> Response:
        """Send a form as a page of this session would; `origin` is the page that it stands on."""
        said = {"csrf": csrf_of(self.secret) if self.secret else "", "from": origin, **(fields or {})}
        return self.client.post(path, data=said, follow_redirects=False)

    def does(self, path: str, fields: Mapping[str, Any] | None = None, *, origin: str = "/") -> Seen:
        """Send a form that is taken; returns the page that comes after it."""
        answer = self.send(path, fields, origin=origin)
        assert answer.status_code == 303, (answer.status_code, Seen(answer.text).text[:600])
        return self.sees(answer.headers["location"])


@dataclass
class House:
    """A site with an owner, a responder, a reviewer and a viewer."""

    folder: Path
    now: int = NOW
    more: dict[str, Any] = field(default_factory=dict)
    ledger: Ledger = field(init=False)
    site: Site = field(init=False)
    app: FastAPI = field(init=False)
    secrets: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Open everything."""
        self.ledger = Ledger("sqlite://")
        schemas = {**SCHEMAS, "scores": score_schema(installed_scorers())}
        defaults: dict[str, Any] = {
            "ledger": self.ledger,
            "warehouse": self.more.pop("warehouse", None) or Warehouse(self.folder / "store", schemas),
            "settings": replace(load({}), home=self.folder / "store"),
            "charts": None,
            "streams": Streams(),
            "errands": NoErrands(),
            "now_us": lambda: self.now,
        }
        self.site = Site(**{**defaults, **self.more})
        self.app = FastAPI()
        add_pages(self.app, self.site)
        _, self.secrets["owner"] = found(self.ledger, NAMES["owner"], PASSWORD, now_us=self.now)

    def visitor(self, role: str | None) -> Visitor:
        """Somebody with a role; None is a stranger."""
        client = TestClient(self.app, base_url="http://127.0.0.1:4318")
        if role is None:
            return Visitor(client)
        if role not in self.secrets:
            add_person(self.ledger, NAMES[role], role, by=NAMES["owner"], now_us=self.now)
            link = invite(self.ledger, NAMES[role], by=NAMES["owner"], now_us=self.now)
            _, self.secrets[role] = accept(self.ledger, link, PASSWORD, now_us=self.now)
        client.cookies.set(SESSION, self.secrets[role])
        return Visitor(client, self.secrets[role])
