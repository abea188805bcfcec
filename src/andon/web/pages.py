"""Two pages: home, and an incident: its postmortem, or what is known before there is one."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined

from andon.incidents import Incident, TimelineEvent, duration
from andon.levers import Lever, Pull, in_force, value_text
from andon.postmortems import Postmortem, render_html
from andon.traffic.clock import minute_text

__all__ = ["Reader", "add_pages"]

T = TypeVar("T")

PAGE_CSP = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
DOCUMENT_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


class Reader(Protocol):
    """What the pages need of the ledger."""

    def get(self, kind: type[T], id: str) -> T | None:  # noqa: A002 - the field is called id
        """The latest version of a record."""

    def all(self, kind: type[T]) -> list[T]:
        """The latest version of every record of a kind."""


def add_pages(
    app: FastAPI,
    ledger: Reader,
    now_us: Callable[[], int],
    charts: Callable[[], tuple[int, int]],
    reviewed: Callable[[str], Postmortem],
) -> None:
    """Add the pages to an application.

    Args:
        app: where they are added.
        ledger: the records.
        now_us: the clock.
        charts: how many charts watch, and how many still learn.
        reviewed: a postmortem by its incident as others shall see it, with what people wrote.
    """
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")

    def home(request: Request) -> HTMLResponse:
        now = now_us()
        incidents = sorted(ledger.all(Incident), key=lambda i: (i.state == "closed", -i.alarmed_us, i.id))
        pulls = ledger.all(Pull)
        watching, learning = charts()
        levers = [(x, in_force([p for p in pulls if p.lever == x.id], now)) for x in ledger.all(Lever)]
        text = (
            _environment()
            .get_template("home.html")
            .render(
                incidents=incidents,
                levers=levers,
                watching=watching,
                learning=learning,
                address=str(request.base_url).rstrip("/"),
            )
        )
        return HTMLResponse(text, headers={"content-security-policy": PAGE_CSP})

    def incident(incident_id: str) -> HTMLResponse:
        if ledger.get(Postmortem, incident_id) is not None:
            return HTMLResponse(render_html(reviewed(incident_id)), headers={"content-security-policy": DOCUMENT_CSP})
        if (known := ledger.get(Incident, incident_id)) is None:
            raise HTTPException(404, f"there is no incident {incident_id!r}; the list is on the first page")
        events = sorted((e for e in ledger.all(TimelineEvent) if e.incident == known.id), key=lambda e: e.happened_us)
        text = _environment().get_template("incident.html").render(i=known, events=events)
        return HTMLResponse(text, headers={"content-security-policy": PAGE_CSP})

    app.get("/", response_class=HTMLResponse, include_in_schema=False)(home)
    app.get("/incidents/{incident_id}", response_class=HTMLResponse, include_in_schema=False)(incident)


@cache
def _environment() -> Environment:
    env = Environment(loader=PackageLoader("andon.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    env.filters |= {
        "when": minute_text,
        "duration": duration,
        "value": value_text,
    }
    return env
