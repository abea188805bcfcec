"""Replicas of a real service on one machine, the traffic that they are given, and what is done to them meanwhile.

Every replica is `andon serve --only ...` in processes of its own, with a home of its own, over one folder of tables and one
PostgreSQL. Their wall clocks may be set wrong, one by one; the folder may be on a disk that is filled.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["APPS", "SHIFTS", "Faults", "Receiver", "Replica", "Traffic", "answers", "disk_of", "free_port", "replicas"]

APPS = ("calm", "chat", "shop")
SHIFTS = {"shop": 0.45, "chat": 0.65}
"""Which app goes wrong from which share of the run on: `shop` fails, `chat` is slow."""

A_SECOND = 10
"""Interactions of each app."""

CLOCK = """
import os, time
_wall, _wall_ns, _steady, _seen = time.time, time.time_ns, time.monotonic, [-1.0, 0.0]
def _off():
    if _steady() - _seen[0] > 0.05:
        _seen[0] = _steady()
        try:
            with open(os.environ["WRONG_CLOCK"]) as file:
                _seen[1] = float(file.read() or 0)
        except (OSError, ValueError, KeyError):
            pass
    return _seen[1]
time.time = lambda: _wall() + _off()
time.time_ns = lambda: _wall_ns() + int(_off() * 1e9)
"""
"""Imported by Python at its start: the wall clock of a process is as wrong as a file says."""


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def answers(port: int, path: str = "/healthz", timeout_s: float = 5.0) -> bool:
    """Whether a server says 200. Asked many times a second, so without a client that loads certificates each time."""
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


@dataclass(slots=True)
class Replica:
    """One replica: its processes are one group, so what is done is done to all of them."""

    name: str
    role: str
    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    stopped: bool = False

    def start(self) -> None:
        """Start it, if it does not run."""
        if self.process is not None and self.process.poll() is None:
            return
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ANDON_")} | self.environment
        environment |= {"ANDON_HOME": str(self.folder / self.name), "ANDON_PORT": str(self.port)}
        environment |= {
            "WRONG_CLOCK": str(self.clock),
            "PYTHONPATH": os.pathsep.join([str(_clock_code(self.folder)), *sys.path]),
        }
        command = [sys.executable, "-c", "from andon.cli import main; main()", "serve", "--only", self.role]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.stopped = False

    @property
    def clock(self) -> Path:
        """The file that says by how many seconds its wall clock is wrong."""
        return self.folder / f"{self.name}.clock"

    def signal(self, number: int) -> None:
        """Send a signal to all of its processes."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
        self.stopped = number == signal.SIGSTOP or (self.stopped and number != signal.SIGCONT)

    def kill(self) -> None:
        """End it without a warning."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def children(self) -> list[int]:
        """Its other processes."""
        if self.process is None:
            return []
        listed = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        with contextlib.suppress(OSError):
            return [int(child) for path in listed for child in path.read_text().split()]
        return []


def _clock_code(folder: Path) -> Path:
    place = folder / "clocks"
    place.mkdir(exist_ok=True)
    code = place / "sitecustomize.py"
    if not code.exists():
        code.write_text(CLOCK)
    return place


@contextmanager
def replicas(
    folder: Path, disk: Path, ledger: str, more: dict[str, str], wait_s: float = 120.0
) -> Iterator[list[Replica]]:
    """Two that take traffic in, two for the loop and one for the pages, all of them well; killed at the end.

    Args:
        folder: of logs and clocks.
        disk: of the tables and the homes.
        ledger: URL of a database on PostgreSQL.
        more: settings of all of them.
        wait_s: how long they may take to start.
    """
    given = {
        "ANDON_LEDGER": ledger, "ANDON_STORE": str(disk / "store"), "ANDON_GRPC_PORT": "0", "ANDON_EMBEDDER": "hashed", **more,
    }  # fmt: skip
    made = [
        Replica(name, role, disk, given)
        for name, role in (("i1", "ingest"), ("i2", "ingest"), ("l1", "loop"), ("l2", "loop"), ("w1", "web"))
    ]
    try:
        for one in made:
            one.start()
        until = time.monotonic() + wait_s
        while not all(answers(one.port, "/readyz") for one in made):
            assert time.monotonic() < until, f"a replica is not ready; {folder} has their logs"
            time.sleep(0.2)
        yield made
    finally:
        for one in made:
            one.signal(signal.SIGCONT)
            one.kill()


@contextmanager
def disk_of(folder: Path, megabytes: int) -> Iterator[bool]:
    """A folder that is a small disk of its own, where that is allowed; gives whether it is."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


class Receiver:
    """A webhook: keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[dict[str, object]] = []
        keep = self.messages.append

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                keep(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(order=True, slots=True)
class _Batch:
    due_s: float
    number: int
    body: bytes = field(compare=False)
    ids: tuple[str, ...] = field(compare=False)


class Traffic:
    """Interactions of a few apps for some seconds: late, twice and out of order, sent until somebody has acknowledged them.

    The same seed gives the same rows at the same offsets, whatever happens to the replicas.
    """

    def __init__(self, seconds: float, seed: int = 0, latest_s: float = 40.0) -> None:
        """Nothing is sent yet.

        Args:
            seconds: how long traffic comes.
            seed: of all that is random.
            latest_s: how late the latest is.
        """
        self.acknowledged: set[str] = set()
        self.sent = Counter[str]()
        self._seconds, self._seed, self._latest_s = seconds, seed, latest_s
        self._stop = threading.Event()

    def run(self, ports: Sequence[int], start_s: float, senders: int = 6) -> None:
        """Send everything from a moment on, by the wall clock; returns once all of it is acknowledged."""
        batches = sorted(self._batches(start_s), reverse=True)
        left, turn = len(batches), threading.Lock()

        def work(n: int) -> None:
            nonlocal left
            rng = random.Random(f"{self._seed} {n}")
            while not self._stop.is_set():
                with turn:
                    if not batches:
                        return
                    batch = batches.pop()
                time.sleep(max(0.0, start_s + batch.due_s - time.time()))
                while not self._stop.is_set() and not self._post(rng.choice(list(ports)), batch):
                    time.sleep(0.2)
                with turn:
                    left -= 1

        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """Send nothing more."""
        self._stop.set()

    def _post(self, port: int, batch: _Batch) -> bool:
        connection = HTTPConnection("127.0.0.1", port, timeout=4)
        try:
            connection.request("POST", "/v1/interactions", batch.body, {"content-type": "application/x-ndjson"})
            answer = connection.getresponse()
            if answer.status != 200 or json.loads(answer.read())["accepted"] != len(batch.ids):
                return False
        except (OSError, HTTPException, ValueError):
            return False
        finally:
            connection.close()
        self.acknowledged.update(batch.ids)
        self.sent.update(batch.ids)
        return True

    def _batches(self, start_s: float) -> Iterator[_Batch]:
        rng = random.Random(self._seed)
        for second in range(int(self._seconds)):
            for app in APPS:
                rows = [self._row(rng, app, second, i, start_s) for i in range(A_SECOND)]
                rng.shuffle(rows)
                late_s = rng.choices(
                    [rng.uniform(0, 1), rng.uniform(1, 4), rng.uniform(0.5, 1) * self._latest_s], [85, 13, 2]
                )[0]
                body = "\n".join(map(json.dumps, rows)).encode()
                ids = tuple(str(row["id"]) for row in rows)
                number = second * len(APPS) + APPS.index(app)
                yield _Batch(second + 1 + late_s, number, body, ids)
                if rng.random() < 0.1:
                    yield _Batch(second + 1 + late_s + rng.uniform(0, 10), number, body, ids)

    def _row(self, rng: random.Random, app: str, second: int, i: int, start_s: float) -> dict[str, object]:
        bad = second >= SHIFTS.get(app, 9.0) * self._seconds
        return {
            "id": f"{app}-{second}-{i}", "time": start_s + second + rng.random(), "app": app,
            "query": "Where is my order?", "answer": "It is on its way, and comes on Friday.",
            "error": rng.random() < (0.5 if bad and app == "shop" else 0.02),
            "latency_s": rng.lognormvariate(2.0 if bad and app == "chat" else 0.0, 0.4),
        }  # fmt: skip


class Faults:
    """Does things to replicas at random moments, and says what."""

    def __init__(self, made: Sequence[Replica], disk: Path, seed: int = 0, *, may_fill: bool = False) -> None:
        """Nothing is done yet.

        Args:
            made: the replicas.
            disk: where they write.
            seed: of the schedule.
            may_fill: whether the disk is small, and may be filled.
        """
        self.done = Counter[str]()
        self._made, self._disk, self._rng, self._may_fill = made, disk, random.Random(seed), may_fill
        self._ballast = disk / "ballast"

    def run(self, seconds: float, gap_s: tuple[float, float] = (4.0, 9.0)) -> None:
        """One fault after the other for so long; at the end everything runs again, with right clocks and room on the disk."""
        until = time.monotonic() + seconds
        kinds = [
            "kill",
            "kill",
            "pause",
            "pause",
            "kill the child",
            "wrong clock",
            *(["fill the disk"] if self._may_fill else []),
        ]
        while (left_s := until - time.monotonic()) > 0:
            time.sleep(min(left_s, self._rng.uniform(*gap_s)))
            if time.monotonic() < until:
                kind = self._rng.choice(kinds)
                self.done[kind] += 1
                self._do(kind, self._rng.choice(list(self._made)))
        self.mend()

    def mend(self) -> None:
        """End all faults."""
        self._ballast.unlink(missing_ok=True)
        for one in self._made:
            one.clock.write_text("0")
            one.signal(signal.SIGCONT)
            one.start()

    def _do(self, kind: str, one: Replica) -> None:
        match kind:
            case "kill":
                one.kill()
                time.sleep(self._rng.uniform(0.0, 2.0))
                one.start()
            case "pause":
                one.signal(signal.SIGSTOP)
                time.sleep(self._rng.uniform(1.0, 15.0))
                one.signal(signal.SIGCONT)
            case "kill the child":
                for child in one.children()[:1]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
            case "wrong clock":
                one.clock.write_text(str(self._rng.choice([-1, 1]) * self._rng.uniform(10, 3600)))
            case _:
                self._fill()
                time.sleep(self._rng.uniform(1.0, 5.0))
                self._ballast.unlink()

    def _fill(self) -> None:
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while file.write(bytes(2**20)):
                pass
            while file.write(bytes(2**12)):
                pass
