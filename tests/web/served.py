"""The pages over the store of `lived_in`, served to a real browser."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI
from lived_in import ENDS, STORM
from lived_traffic import AGENT

from andon.access.run import accept, add_person, found, invite
from andon.api import Streams
from andon.api.security import Guard
from andon.changes import Change
from andon.evals import EvalRun
from andon.golden import Case, Failure
from andon.incidents import Incident
from andon.investigations import Investigation
from andon.monitors import Signal
from andon.monitors.run import open_board
from andon.postmortems import ActionItem
from andon.rollouts import Allocation
from andon.scores import score_schema
from andon.scores.run import installed_scorers
from andon.settings import load
from andon.store import RememberingLedger, Warehouse
from andon.traffic import SCHEMAS
from andon.web import Site, add_pages

__all__ = ["PEOPLE", "Served", "place_of", "serve_pages", "serve_site"]

PEOPLE = {"owner": "Ada", "responder": "Rob", "reviewer": "Rita", "viewer": "Vic"}
PASSWORD = "a horse that is correct"


@dataclass(frozen=True)
class Served:
    """Pages that are served: where, and the secrets of sessions by role."""

    address: str
    secrets: dict[str, str]
    ledger: RememberingLedger
    site: Site


@contextmanager
def serve_pages(home: Path, port: int = 0) -> Iterator[Served]:
    """Serve them on this machine behind the real guard, with the clock starting at the end of the store's story; port 0 is a free one."""
    ledger = RememberingLedger.open(home / "ledger.db")
    warehouse = Warehouse(home, {**SCHEMAS, "scores": score_schema(installed_scorers())})
    began = time.monotonic_ns()
    site = Site(
        ledger=ledger, warehouse=warehouse, settings=replace(load({}), home=home), charts=open_board(home), streams=Streams(),
        now_us=lambda: ENDS + (time.monotonic_ns() - began) // 1000,
    )  # fmt: skip
    secrets = {}
    _, secrets["owner"] = found(ledger, PEOPLE["owner"], PASSWORD, now_us=ENDS)
    for role in ("responder", "reviewer", "viewer"):
        add_person(ledger, PEOPLE[role], role, by="Ada", now_us=ENDS)
        link = invite(ledger, PEOPLE[role], by="Ada", now_us=ENDS)
        _, secrets[role] = accept(ledger, link, PASSWORD, now_us=ENDS)
    try:
        with serve_site(site, port) as address:
            yield Served(address, secrets, ledger, site)
    finally:
        warehouse.close()
        ledger.close()


@contextmanager
def serve_site(site: Site, port: int = 0) -> Iterator[str]:
    """Serve pages on this machine behind the real guard; gives their address."""
    app = FastAPI()
    app.add_middleware(Guard)
    add_pages(app, site)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError(f"port {port} cannot be listened on: end what listens there, an Andon perhaps")
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        site.streams.end()
        server.should_exit = True
        thread.join(10)


def place_of(served: Served, name: str) -> str:
    """The address of a page about one thing that is in the store."""
    ledger = served.ledger
    first, second = ledger.get(Investigation, STORM).examples[:2]
    runs = [r.id for r in ledger.all(EvalRun)]
    return {
        "monitor": lambda: f"/monitors/{quote(ledger.get(Signal, ledger.get(Incident, STORM).lead).monitor, safe='')}",
        "agent": lambda: f"/traffic/{AGENT}",
        "interaction": lambda: f"/traffic/{first.interaction_id}?at={first.at_us}",
        "compare": lambda: f"/traffic/compare?a={first.interaction_id}&b={second.interaction_id}",
        "change": lambda: f"/changes/{quote(ledger.all(Change)[0].id, safe='')}",
        "case": lambda: f"/golden/{ledger.all(Case)[0].id}",
        "run": lambda: f"/evals/{quote(runs[0], safe='')}",
        "runs": lambda: f"/evals/compare?a={quote(runs[0])}&b={quote(runs[1])}",
        "action": lambda: f"/actions/{ledger.all(ActionItem)[0].id}",
        "plan": lambda: (
            f"/rollouts/new?kind=ab&of=lever:support.summary&treatment={ledger.all(Allocation)[-1].treatment}&metric=escalation&better=down"
            "&effect=0.03&hypothesis=Longer+summaries+settle+more.&base=0.1&per_day=1440&share=50"
        ),
        "failure": lambda: f"/labels/{ledger.all(Failure)[-1].id}",
    }[name]()
