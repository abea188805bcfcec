"""A service of five replicas for ten minutes while they are killed, paused and lied to, beside the same service left alone.

What is shown is what must not happen: an acknowledged row that is lost or there twice, an incident that is lost, opened twice or
new, a message sent twice. What it costs is how late incidents come.
"""

import os
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from andon.incidents import Delivery, Incident
from andon.monitors.run.watching import WatchCursor
from andon.store import Ledger, Slice, Warehouse
from andon.traffic import SCHEMAS
from bench.figures import ROOT, figure, note
from bench.replicas import SHIFTS, Faults, Receiver, Replica, Traffic, disk_of, replicas

__all__ = ["Outcome", "run", "run_once"]

SECONDS = float(os.environ.get("FAULT_SECONDS", "600"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run."""

    acknowledged: int
    lost: int
    """Acknowledged rows that are not in the table."""
    twice: int
    """Rows that are there more than once."""
    incidents: tuple[tuple[str, str], ...]
    """App and severity of each incident, sorted."""
    after_s: dict[str, float]
    """App -> how long after the app went wrong its incident was opened."""
    told: dict[str, int]
    """Title of each message -> how often it was sent."""
    faults: dict[str, int]


def run_once(
    folder: Path, ledger_url: str, seconds: float, *, faults: bool, seed: int = 0, window_s: int = 5
) -> Outcome:
    """One run, and what came of it once everything has settled.

    Args:
        folder: an empty one.
        ledger_url: an empty database.
        seconds: how long traffic comes.
        faults: whether anything is done to the replicas.
        seed: of traffic and faults.
        window_s: width of a window.
    """
    receiver, disk = Receiver(), folder / "disk"
    settings = {
        "ANDON_WINDOW_S": str(window_s), "ANDON_SETTLE_S": "20", "ANDON_CHANNELS": receiver.url,
        "ANDON_FALSE_PAGES_PER_MONTH": "1",
    }  # fmt: skip
    with disk_of(disk, 600) as small, replicas(folder, disk, ledger_url, settings) as made:
        traffic = Traffic(seconds, seed)
        start_s = float(int(time.time()) + 1)
        ports = [one.port for one in made if one.role == "ingest"]
        sending = threading.Thread(target=traffic.run, args=(ports, start_s), daemon=True)
        sending.start()
        schedule = Faults(made, disk, seed, may_fill=small)
        if faults:
            schedule.run(seconds)
        sending.join()
        return _settled(folder, disk, ledger_url, made, traffic, receiver, dict(schedule.done), start_s, seconds)


def _settled(
    folder: Path, disk: Path, ledger_url: str, made: list[Replica], traffic: Traffic, receiver: Receiver,
    faults: dict[str, int], start_s: float, seconds: float,
) -> Outcome:  # fmt: skip
    ledger, end_us = Ledger(ledger_url), int((start_s + seconds) * 1e6)
    until = time.monotonic() + 240

    def settled() -> bool:
        waiting = [f for one in made for f in (disk / one.name / "journal").glob("*") if f.stat().st_size]
        cursor = ledger.get(WatchCursor, "monitors")
        sending = [d for d in ledger.all(Delivery) if d.state in ("sending", "failed")]
        return not waiting and not sending and cursor is not None and cursor.until_us >= end_us

    while not settled():
        assert time.monotonic() < until, f"it does not settle; the logs are in {disk}"
        time.sleep(0.5)
    time.sleep(5)
    store = Warehouse(disk / "store", SCHEMAS, home=folder / "reader")
    there = Counter(store.run(Slice(table="interactions", columns=("id",)))["id"].to_pylist())
    incidents = sorted(ledger.all(Incident), key=lambda i: i.opened_us)
    after = {
        i.app: i.opened_us / 1e6 - start_s - SHIFTS[i.app] * seconds for i in reversed(incidents) if i.app in SHIFTS
    }
    receiver.close()
    ledger.close()
    store.close()
    return Outcome(
        acknowledged=len(traffic.acknowledged),
        lost=len(traffic.acknowledged - there.keys()),
        twice=sum(n > 1 for n in there.values()),
        incidents=tuple(sorted((i.app, i.severity) for i in incidents)),
        after_s=after,
        told=dict(Counter(str(m.get("title")) for m in receiver.messages)),
        faults=faults,
    )


def run() -> None:
    """Both runs."""
    sys.path.append(str(ROOT / "tests" / "contracts"))
    from postgres import database, programs, server

    found = programs()
    if found is None:
        note("faults: no PostgreSQL is installed here (sh scripts/install_postgres.sh)")
        return
    with server(found) as at, tempfile.TemporaryDirectory(prefix="andon-faults-") as made:
        outcomes = {}
        for name in ("alone", "faults"):
            folder = Path(made) / name
            folder.mkdir()
            url = database(at).render_as_string(hide_password=False)
            outcomes[name] = run_once(folder, url, SECONDS, faults=name == "faults")
            note(f"{name}: {outcomes[name]}")
    alone, hurt = outcomes["alone"], outcomes["faults"]
    figure("faults.seconds", SECONDS, "s")
    figure("faults.done", sum(hurt.faults.values()), "faults")
    figure("faults.acknowledged", hurt.acknowledged, "rows")
    figure("faults.rows_lost", hurt.lost, "rows", "left alone", alone.lost)
    figure("faults.rows_twice", hurt.twice, "rows", "left alone", alone.twice)
    figure("faults.incidents", len(hurt.incidents), "incidents", "left alone", len(alone.incidents))
    figure("faults.same_incidents", float(hurt.incidents == alone.incidents), "1: yes")
    figure("faults.messages_twice", sum(n > 1 for n in hurt.told.values()), "messages")
    for app in SHIFTS:
        figure(f"faults.{app}.opened_after_s", hurt.after_s.get(app, -1), "s", "left alone", alone.after_s.get(app, -1))
