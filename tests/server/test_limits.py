"""Laws of what a server needs of its machine: files, time for its own work, a configuration that can be read."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import eventually, free_port, start

from andon.levers import Lever
from andon.levers.run import Board, declare
from andon.server import Repeated, background, create_server, now_us, serving
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS


@pytest.mark.parametrize(
    ("took_s", "rests_s"),
    [(0.0, 1.0), (0.2, 1.0), (1.0, 1.0), (3.0, 3.0), (5.0, 5.0), (60.0, 5.0)],
)
def test_slow_work_rests_as_long_as_it_took(monkeypatch: pytest.MonkeyPatch, took_s: float, rests_s: float) -> None:
    """Quick work is done again after `every_s`, slow work rests as long as it took, and no work longer than `longest_rest_s`.

    Also when it fails. Without `longest_rest_s` the rest is always the same.
    """
    clock = [100.0]
    monkeypatch.setattr(background, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def rests_of(longest_s: float | None, fails: bool) -> list[float]:
        rests: list[float] = []

        class Stop(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                rests.append(timeout or 0.0)
                return len(rests) == 4

        def work() -> None:
            clock[0] += took_s
            if fails:
                raise ZeroDivisionError

        repeated = Repeated("work", work, 1.0, longest_rest_s=longest_s)
        repeated._stop = Stop()
        repeated._run()
        return rests

    assert rests_of(5.0, False) == pytest.approx([1.0, rests_s, rests_s, rests_s])
    assert rests_of(5.0, True) == pytest.approx([1.0, rests_s, rests_s, rests_s])
    assert rests_of(None, False) == [1.0] * 4


def limited(soft: int, hard: int) -> tuple[int, int, str]:
    """What becomes of the limits of a process of its own: what is returned, the soft limit, and what was logged."""
    script = (
        "import resource, logging; logging.basicConfig()\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from andon.server.files import allow_files\n"
        "print(allow_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    returned, now = done.stdout.split()
    return int(returned), int(now), done.stderr


@pytest.mark.slow
def test_a_thousand_streams_have_files() -> None:
    """The soft limit is raised to what is wanted, never lowered; a hard limit below that is taken whole, and told."""
    assert limited(256, 8192) == (4000, 4000, "")
    assert limited(6000, 8192) == (6000, 6000, "")
    returned, now, said = limited(256, 512)
    assert (returned, now) == (512, 512)
    assert "at most 512 files may be open" in said
    assert "ulimit -Hn" in said


def test_levers_are_read_before_anybody_can_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can connect before the ledger was read: an answer without levers would end every hold in every client."""
    warehouse, ledger = Warehouse(tmp_path, SCHEMAS), Ledger.open(tmp_path / "ledger.db")
    declare(ledger, Lever(id="x", kind="boolean", default=False, safe=True), now_us(), "ann")
    steps: list[str] = []
    refresh, listen = Board.refresh, serving.listen

    def refreshed(board: Board) -> None:
        refresh(board)
        steps.append(f"read {board.keys()}")

    monkeypatch.setattr(Board, "refresh", refreshed)
    monkeypatch.setattr(serving, "listen", lambda *a: (steps.append("listen"), listen(*a))[1])
    create_server(warehouse, ledger, None).abandon()
    assert steps[0] == "read ['x']"
    assert steps[-1] == "listen"


def test_a_client_that_takes_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """A stream whose client stopped reading is let go of: the server ends within 4 s, not after its 10 s of grace."""
    warehouse, ledger = Warehouse(tmp_path, SCHEMAS), Ledger.open(tmp_path / "ledger.db")
    server = create_server(warehouse, ledger, None)
    (streams,) = server._http._streams
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with server.running():
            client.connect(("127.0.0.1", server.port))
            client.sendall(b"GET /ofrep/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            eventually(lambda: streams.open == 1)
            for work in server.work:  # nothing but this test tells what is served
                if work.name == "levers":
                    work.stop()
            for k in range(3):
                streams.tell(f"{k}" * 8_000_000, now_us())
                time.sleep(0.2)
            (connection,) = server._http.server_state.connections
            assert connection.flow.write_paused  # type: ignore[union-attr]
            begun = time.monotonic()
        assert time.monotonic() - begun < 4
    assert streams.open == 0


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ('name = "r"\nlever = "x"\nby = "ann"\nfor = "4h"\nsignal = "no such metric"', "signal"),
        ('name = "r"\nlever = "x"\nby = "ann"\nfor = "for ever"\nsignal = "refusal"', "for"),
    ],
)
def test_a_rule_that_cannot_be_read_stops_the_start(tmp_path: Path, rule: str, named: str) -> None:
    """`andon serve` does not run without a rule that stands in the file: exit 2, with file, entry and key."""
    (tmp_path / "andon.toml").write_text(f"[[pull]]\n{rule}\n", encoding="utf-8")
    process = start(tmp_path / "home", free_port())
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    (line,) = (s for s in said.decode().splitlines() if s.startswith("error:"))
    assert process.returncode == 2, said
    assert "andon.toml, pull 1" in line
    assert named in line
