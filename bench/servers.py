"""Servers that take OTLP, ours and the peers': how each is started, what it uses, and which spans it can be asked for.

All are driven from outside, over HTTP, with the settings that they have after installation and a folder of their own on
the disk of the checkout. A span counts as queryable when it is in the table that the program's own queries read.
"""

import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from andon.settings import describe
from andon.store import Rollup, Slice, Warehouse
from andon.traffic import SCHEMAS
from bench.figures import note
from bench.peers import environment, version

__all__ = ["Program", "Running", "Stored", "andon", "mlflow", "phoenix", "serving"]

READY_S, STOP_S = 180.0, 30.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Stored(Protocol):
    """What a server has stored, read from beside it."""

    def count(self) -> int:
        """How many spans a query sees now."""

    def span_ids(self) -> list[str]:
        """Their ids in hexadecimal, as often as they are there."""

    def close(self) -> None:
        """Let go of the store."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What must be known of a server before it runs."""

    name: str
    command: Callable[[int], list[str]]
    """By port."""
    env: Callable[[Path, int], dict[str, str]]
    ready: str
    stored: Callable[[Path], Stored]
    headers: Mapping[str, str] = field(default_factory=dict)
    """What every request must carry."""


@dataclass(kw_only=True)
class Running:
    """A server that answers; `serving` makes and ends it."""

    program: Program
    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    stored: Stored
    ready_s: float
    """From its start until it was ready."""

    @property
    def url(self) -> str:
        """Where traces are sent."""
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def cpu_s(self) -> float:
        """CPU seconds of the whole family so far; those of children that ended and were waited for are in their parent's."""
        return sum(sum(map(int, stat[11:15])) for stat in _family(self.process.pid)) / TICKS

    def rss_mb(self) -> float:
        """Memory of the whole family; pages that several of them share count several times."""
        return sum(int(stat[21]) for stat in _family(self.process.pid)) * PAGE / 2**20


def andon() -> Program:
    """`andon serve`, the real one."""
    own = {"ANDON_EMBEDDER": "hashed"}
    if "ANDON_GRPC_PORT" in {name for name, _, _ in describe()}:
        own["ANDON_GRPC_PORT"] = "0"
    return Program(
        name="andon",
        command=lambda _: [str(Path(sys.executable).parent / "andon"), "serve"],
        env=lambda folder, port: {**own, "ANDON_HOME": str(folder / "home"), "ANDON_PORT": str(port)},
        ready="/readyz",
        stored=lambda folder: _Tables(folder / "home"),
    )


def phoenix() -> Program | None:
    """Arize Phoenix on its SQLite; None after a note that says why not."""
    place = environment("phoenix", ("arize-phoenix==20.26.1",))
    if place is None:
        return None
    return Program(
        name=f"Arize Phoenix {version(place, 'arize-phoenix')}",
        command=lambda _: [str(place / "bin" / "phoenix"), "serve"],
        env=lambda folder, port: {
            "PHOENIX_WORKING_DIR": str(folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(_free_port()),
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        ready="/healthz",
        stored=lambda folder: _Sqlite(folder / "phoenix.db"),
    )


def mlflow() -> Program | None:
    """MLflow on its SQLite; None after a note that says why not."""
    place = environment("mlflow", ("mlflow==3.17.2",))
    if place is None:
        return None
    return Program(
        name=f"MLflow {version(place, 'mlflow')}",
        command=lambda port: [str(place / "bin" / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)],
        env=lambda *_: {"MLFLOW_DISABLE_TELEMETRY": "true"},
        ready="/health",
        stored=lambda folder: _Sqlite(folder / "mlflow.db"),
        headers={"x-mlflow-experiment-id": "0"},
    )


@contextmanager
def serving(program: Program, folder: Path) -> Iterator[Running]:
    """The program on a free port with its data in `folder` (which may hold that of an earlier run), until the end.

    Raises:
        ChildProcessError: it ended, or was not ready in time; its last words are in the message.
    """
    folder.mkdir(exist_ok=True)
    port, log = _free_port(), folder / "log.txt"
    begun = time.monotonic()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ANDON_", "OTEL_", "PHOENIX_", "MLFLOW_"))}
    with log.open("ab") as out:
        process = subprocess.Popen(
            program.command(port),
            cwd=folder,
            env={**env, **program.env(folder, port)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,  # so that the family can be found, and killed as one
        )
    try:
        _wait_until_ready(program, process, port, log)
        ready_s = time.monotonic() - begun
        with closing(program.stored(folder)) as stored:
            yield Running(program=program, folder=folder, port=port, process=process, stored=stored, ready_s=ready_s)
    finally:
        _end(process)


class _Tables:
    """Andon's own tables, opened by a second process beside the server."""

    def __init__(self, home: Path) -> None:
        self._warehouse = Warehouse(home, {"spans": SCHEMAS["spans"]})
        self.close = self._warehouse.close

    def count(self) -> int:
        rows = self._warehouse.run(Rollup(table="spans", metrics=("time_us",)))["rows"]
        return int(rows[0].as_py())

    def span_ids(self) -> list[str]:
        found: list[str] = self._warehouse.run(Slice(table="spans", columns=("span_id",)))["span_id"].to_pylist()
        return found


class _Sqlite:
    """The table `spans` of a peer's database; read-only, each time by a new connection, which sees what is committed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def count(self) -> int:
        return int(self._ask("select count(*) from spans")[0][0])

    def span_ids(self) -> list[str]:
        return [row[0] for row in self._ask("select span_id from spans")]

    def close(self) -> None:
        """Nothing is held between calls."""

    def _ask(self, sql: str) -> list[tuple[str]]:
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=60)) as database:
            return database.execute(sql).fetchall()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


def _wait_until_ready(program: Program, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < until:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with closing(client), suppress(OSError, http.client.HTTPException):
            client.request("GET", program.ready)
            if client.getresponse().status == 200:
                return
        time.sleep(0.1)
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"]
    raise ChildProcessError(f"{program.name} was not ready after {READY_S:.0f} s or ended; it said: {said[-1]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask, then make: afterwards nothing of the family is left."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        note("it did not end within 30 s of SIGTERM and was killed")
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _family(root: int) -> list[list[str]]:
    """The fields of /proc/PID/stat, from the third on, of every process in the session that `root` leads."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat = path.read_text().rpartition(")")[2].split()  # the name before it may hold anything
        except OSError:
            continue  # it ended a moment ago
        if int(stat[3]) == root:
            found.append(stat)
    return found
