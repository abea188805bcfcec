"""Laws of what a server says of levers: who read a hold first, that a hold is served, and who is not let in."""

import logging
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from andon.api.errors import OFREP
from andon.levers import FirstRead, Lever, Pull
from andon.levers.run import Board, declare, hold, release
from andon.levers.run.served import served_within
from andon.levers.run.upkeep import Upkeep
from andon.server import Server, create_server, now_us
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS

LEVER = Lever(id="citations.enabled", kind="boolean", default=True, safe=False, app="bot")
FLAGS = f"{OFREP}v1/evaluate/flags"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(file: Path) -> Iterator[Ledger]:
    """The ledger as a command opens it, with a declared lever."""
    ledger = Ledger.open(file)
    declare(ledger, LEVER, now_us(), "ann")
    yield ledger
    ledger.close()


def served(file: Path, **more: Any) -> Any:
    """A running server over the ledger."""
    return create_server(Warehouse(file.parent / "warehouse", SCHEMAS), Ledger.open(file), None, **more).running()


def notes(file: Path) -> list[Path]:
    """What servers left beside the ledger of what they serve."""
    return [*file.parent.glob("ledger.db.served-*")]


def held(ledger: Ledger) -> Pull:
    """A hold of an hour."""
    at_us = now_us()
    return hold(ledger, LEVER.id, why="harm", by="ann", until_us=at_us + 3_600_000_000, now_us=at_us)


def eventually(holds: Callable[[], object], within_s: float = 8.0) -> None:
    """Wait until something holds."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def ask(server: Server, context: dict[str, str], key: str = "", **headers: str) -> httpx2.Response:
    """What a client is answered that asks for one lever, or for all."""
    url = f"http://127.0.0.1:{server.port}{FLAGS}" + (f"/{key}" if key else "")
    return httpx2.post(url, json={"context": context}, headers=headers, timeout=10)


def ready(server: Server) -> tuple[int, dict[str, Any]]:
    """What /readyz says."""
    answer = httpx2.get(f"http://127.0.0.1:{server.port}/readyz", timeout=10, headers={"x-api-key": "right"})
    return answer.status_code, answer.json()


@pytest.mark.parametrize("key", ["", LEVER.id])
def test_a_read_is_an_applications_where_its_context_says_so(file: Path, ledger: Ledger, key: str) -> None:
    """Another application's read and one that says nothing make no hold effective; one that names the lever's app does, by a 304 too."""
    with served(file) as server:
        pull = held(ledger)
        eventually(lambda: ask(server, {"app": "other"}, key).text.find(pull.id) >= 0)
        time.sleep(0.3)
        assert ledger.all(FirstRead) == []
        ask(server, {}, key)
        eventually(lambda: [r.by_application for r in ledger.all(FirstRead)] == [False])
        tag = ask(server, {"app": "bot"}).headers["etag"]
        eventually(lambda: [r.by_application for r in ledger.all(FirstRead)] == [True])
        assert ask(server, {"app": "bot"}, **{"if-none-match": tag}).status_code == 304


def test_a_hold_says_which_server_serves_it(file: Path, ledger: Ledger) -> None:
    """Of a hold and of its release; at once where a server runs, and true when it is said."""
    with served(file) as server:
        eventually(lambda: notes(file))
        for act in (held, lambda ledger: release(ledger, LEVER.id, why="w", by="ann", now_us=now_us())):
            said = served_within(ledger, act(ledger))
            assert said.startswith(f"the server at http://127.0.0.1:{server.port} has picked it up, 0.")
            assert (ask(server, {}, LEVER.id).json()["variant"] == "held") == (act is held)


def test_a_hold_that_nobody_serves_says_so(file: Path, ledger: Ledger) -> None:
    """Before any server ran it is said at once, and after one ended; where one runs on another folder, within the time."""
    began = time.monotonic()
    assert served_within(ledger, held(ledger)).startswith("NOT SERVED YET: no running server has picked it up (")
    assert time.monotonic() - began < 0.5
    with served(file) as server:
        eventually(lambda: notes(file))
        assert ready(server)[0] == 200
        other = Ledger.open(file.parent / "other" / "ledger.db")
        declare(other, LEVER, now_us(), "ann")
        shutil.copy(notes(file)[0], file.parent / "other")
        assert served_within(other, held(other), 0.2).startswith("NOT SERVED YET: ")
        other.close()
    began = time.monotonic()
    assert served_within(ledger, held(ledger)).startswith("NOT SERVED YET: ")
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("how", ["left", "copied", "new"])
def test_what_a_dead_server_left_behind_is_not_believed(file: Path, ledger: Ledger, how: str) -> None:
    """A server that was killed says nothing of what is written next: not on its ledger, on a backup copied over it, or on a new one."""
    ledger.close()
    backup = file.with_name("backup.db")
    shutil.copy(file, backup)
    dying = Ledger.open(file)
    held(dying)
    held(dying)
    Upkeep(dying, Board(dying), lambda *_: None).look(now_us(), "http://gone")  # and nothing after that
    dying.close()
    if how == "new":
        file.unlink()
    if how == "copied":
        number = file.stat().st_ino
        shutil.copyfile(backup, file)
        assert file.stat().st_ino == number
    mine = Ledger.open(file)
    declare(mine, LEVER, now_us(), "ann")
    assert notes(file)
    assert served_within(mine, held(mine), 0.2).startswith("NOT SERVED YET: ")
    mine.close()


def test_a_backup_that_is_restored_into_the_file_is_served(file: Path, ledger: Ledger) -> None:
    """Where the ledger goes back under a running server, that serves what the ledger holds then, and says so when it does."""
    with sqlite3.connect(file) as opened, sqlite3.connect(file.with_name("backup.db")) as backup:
        opened.backup(backup)
    with served(file) as server:
        for _ in range(3):
            pull = held(ledger)
        eventually(lambda: ask(server, {}, LEVER.id).json()["metadata"].get("pull") == pull.id)
        with sqlite3.connect(file) as opened, sqlite3.connect(file.with_name("backup.db")) as backup:
            backup.backup(opened)
        eventually(lambda: ask(server, {}, LEVER.id).json()["metadata"].get("pull") is None)
        again = held(ledger)
        assert "has picked it up" in served_within(ledger, again)
        assert ask(server, {}, LEVER.id).json()["metadata"]["pull"] == again.id


def test_a_hold_that_is_over_by_the_servers_clock_is_said_not_to_be_in_force(file: Path, ledger: Ledger) -> None:
    """A clock that is hours behind is told at the first pull of a lever, when there is no earlier one to compare it with."""
    with served(file):
        eventually(lambda: notes(file))
        behind = now_us() - 5 * 3_600_000_000
        for hours, words in ((4, "NOT IN FORCE: its time is over by the server's clock (20"), (6, "the server at ")):
            until = behind + hours * 3_600_000_000
            pull = hold(ledger, LEVER.id, why="harm", by="ann", until_us=until, now_us=behind)
            assert served_within(ledger, pull).startswith(words)


def test_a_restored_ledger_is_said_not_to_be_served(
    file: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """Another file in its place is noticed: not ready, with the reason; what is held there is said not to be served."""
    with served(file) as server:
        pull = held(ledger)
        eventually(lambda: ask(server, {}, LEVER.id).json()["metadata"].get("pull") == pull.id)
        for part in ("", "-wal", "-shm"):
            Path(f"{file}{part}").rename(file.parent / f"before.db{part}")
        restored = Ledger.open(file)
        declare(restored, LEVER, now_us(), "ann")
        eventually(lambda: ready(server)[0] == 503)
        assert any("the ledger's file was moved, deleted or replaced" in p for p in ready(server)[1]["problems"])
        assert served_within(restored, held(restored), 0.2).startswith("NOT SERVED YET: ")
        assert ask(server, {}, LEVER.id).json()["metadata"]["pull"] == pull.id  # what was known goes on
        restored.close()
    assert "start Andon again" in caplog.text


def test_refused_lever_reads_are_told(file: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """An application with a wrong token is not silent: a warning with how many, and one line of the log a minute."""
    with served(file, token="right") as server, caplog.at_level(logging.WARNING, "andon"):
        assert ready(server)[1]["warnings"] == []
        assert httpx2.get(f"http://127.0.0.1:{server.port}/v1/nothing", timeout=10).status_code == 401
        assert ready(server)[1]["warnings"] == []
        for _ in range(3):
            assert ask(server, {}, **{"x-api-key": "wrong"}).status_code == 401
        ask(server, {}, **{"x-api-key": "right"})
        status, said = ready(server)
        assert status == 200
        (warning,) = said["warnings"]
        assert warning.startswith(
            "3 lever reads were refused in the last 5 minutes, so some application is given no hold"
        )
        assert "the last of 127.0.0.1: the token is missing or wrong" in warning
        assert [r for r in caplog.records if "refused in the last" in r.getMessage()][1:] == []
    assert "lever read was refused" in caplog.text
