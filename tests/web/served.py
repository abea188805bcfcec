"""The pages over the store of `lived_in`, served to a real browser."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from lived_in import ENDS

from andon.access.run import accept, add_person, found, invite
from andon.api import Streams
from andon.monitors.run import open_board
from andon.scores import score_schema
from andon.scores.run import installed_scorers
from andon.settings import load
from andon.store import RememberingLedger, Warehouse
from andon.traffic import SCHEMAS
from andon.web import Site, add_pages

__all__ = ["PEOPLE", "Served", "serve_pages"]

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
def serve_pages(home: Path) -> Iterator[Served]:
    """Serve them on a free port of this machine, with the clock standing at the end of the store's story."""
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
    app = FastAPI()
    add_pages(app, site)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Served(f"http://127.0.0.1:{port}", secrets, ledger, site)
    finally:
        site.streams.end()
        server.should_exit = True
        thread.join(10)
        warehouse.close()
        ledger.close()
