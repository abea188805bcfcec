"""Serve the pages over a store, with a clock that began at a given time: `python -m bench.web_server FOLDER NOW_US`."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from andon.api import Streams
from andon.monitors.run import open_board
from andon.scores import score_schema
from andon.scores.run import installed_scorers
from andon.settings import load
from andon.store import RememberingLedger, Warehouse
from andon.traffic import SCHEMAS
from andon.web import Site, add_pages


def main(folder: Path, begins_us: int) -> None:
    """Serve until killed; the port is the first line of stdout."""
    settings = replace(load({}), home=folder)
    begun = time.monotonic_ns()
    site = Site(
        ledger=RememberingLedger.open(folder / "ledger.db"),
        warehouse=Warehouse(folder, {**SCHEMAS, "scores": score_schema(installed_scorers())}),
        settings=settings, charts=open_board(folder), streams=Streams(),
        now_us=lambda: begins_us + (time.monotonic_ns() - begun) // 1000,
    )  # fmt: skip
    app = FastAPI()
    add_pages(app, site)
    config = uvicorn.Config(
        app, port=0, http="httptools", loop="uvloop", log_level="error", access_log=False, lifespan="off"
    )
    bound = config.bind_socket()
    bound.listen(64)
    print(bound.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[bound])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
