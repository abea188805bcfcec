"""Replicas: what each role serves, who turns the loop, and what becomes of everything while they are killed and paused."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from bench.faults import run_once
from bench.replicas import Replica, answers, free_port
from tests.contracts.postgres import database, programs, server

from andon.store import LEASE_S, Lease, Ledger

TAKES_OVER_S = LEASE_S + 15
"""How long another replica may take to turn the loop on this machine while others start."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """An empty database on a server of our own."""
    found = programs()
    if found is None:
        pytest.skip("NO PostgreSQL IS INSTALLED HERE, so replicas are not tested: sh scripts/install_postgres.sh")
    with server(found) as at:
        yield database(at).render_as_string(hide_password=False)


def three(folder: Path) -> list[Replica]:
    """One replica of each role, over one SQLite file and one folder of tables, as they may be on one machine."""
    given = {
        "ANDON_STORE": str(folder / "store"),
        "ANDON_LEDGER": f"sqlite:///{folder}/ledger.db",
        "ANDON_EMBEDDER": "hashed",
    }
    given |= {"ANDON_GRPC_PORT": "0"}
    return [Replica(role, role, folder, given) for role in ("ingest", "web", "loop")]


def eventually(what: Callable[[], bool], within_s: float) -> None:
    """Wait until it is so."""
    until = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.1)


@pytest.mark.slow(25)
def test_each_role_serves_its_own(tmp_path: Path) -> None:
    """Traffic is taken by the role ingest alone, pages are served by web alone; each role says whether it is well, and gives levers."""
    made = three(tmp_path)
    try:
        for one in made:
            one.start()
        for one in made:
            eventually(lambda port=one.port: answers(port, "/readyz"), 60)
        found = {}
        for one in made:
            at = f"http://127.0.0.1:{one.port}"
            with httpx2.Client(base_url=at, trust_env=False) as client:
                row = {"id": one.role, "time": time.time(), "query": "q", "answer": "a"}
                found[one.role] = (
                    client.post("/v1/interactions", json=row).status_code,
                    client.post("/v1/changes", json={}).status_code != 503,
                    client.get("/sign-in").status_code,
                    "serves no pages" in client.get("/").text,
                    client.post("/ofrep/v1/evaluate/flags", json={"context": {}}).status_code,
                )
        assert found == {
            "ingest": (200, True, 404, True, 200),
            "web": (503, False, 200, False, 200),
            "loop": (503, False, 404, True, 200),
        }
    finally:
        for one in made:
            one.kill()


@pytest.mark.slow(60)
def test_another_replica_turns_the_loop(tmp_path: Path, postgres: str) -> None:
    """When the replica that turns the loop is killed or paused another one does, in time; the paused one ends its loop and waits."""
    given = {
        "ANDON_STORE": str(tmp_path / "store"),
        "ANDON_LEDGER": postgres,
        "ANDON_EMBEDDER": "hashed",
        "ANDON_GRPC_PORT": "0",
    }
    made = [Replica(name, "loop", tmp_path, given, port=free_port()) for name in ("one", "other")]
    ledger = Ledger(postgres)

    def holder() -> int | None:
        """Which of them holds the lease, by the number of its process."""
        asked = Lease(ledger, "loop", "nobody", LEASE_S)
        if asked.take():
            asked.release()
            return None
        return int(asked.other.split()[1])

    def turns() -> Replica | None:
        return next((one for one in made if one.process is not None and one.process.pid == holder()), None)

    try:
        for one in made:
            one.start()
        eventually(lambda: turns() is not None, 60)
        first = turns()
        assert first is not None
        first.signal(signal.SIGSTOP)
        eventually(lambda: turns() not in (None, first), TAKES_OVER_S)
        second = turns()
        first.signal(signal.SIGCONT)
        eventually(lambda: answers(first.port, "/readyz"), 30)
        assert turns() is second
        assert second is not None
        second.kill()
        eventually(lambda: turns() is first, TAKES_OVER_S)
        assert "turned by" in (tmp_path / f"{first.name}.log").read_text()
        assert first.process is not None
        first.process.terminate()
        first.process.wait(30)
        assert holder() is None, "whoever is asked to end gives the lease back"
    finally:
        ledger.close()
        for one in made:
            one.signal(signal.SIGCONT)
            one.kill()


@pytest.mark.slow(170)
def test_nothing_is_lost_or_doubled_by_what_is_done_to_replicas(tmp_path: Path, postgres: str) -> None:
    """Five replicas under load are killed, paused and lied to, on a disk that is filled: rows, incidents and messages are there once."""
    found = run_once(tmp_path, postgres, 100, faults=True, seed=1, window_s=1)
    assert (found.lost, found.twice) == (0, 0), found
    assert found.acknowledged == 3000
    assert sum(found.faults.values()) >= 5, found
    assert [app for app, _ in found.incidents] == ["chat", "shop"], found
    assert set(found.told.values()) == {1}, found
