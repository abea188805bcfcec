"""A Ray cluster of the tests' own: each of its machines is a session of processes on loopback, and can lose its power."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

LOOPBACK = "127.0.0.2"
"""Ray takes 127.0.0.1 for the address under which others know this machine."""

WORKER, RUNNER = "RaySwordfishActor", "RemoteFlotillaRunner"
"""What Daft calls a process that works on plans, while it rests, and the one that hands their parts out."""

STEADY = {"GRPC_ENABLE_FORK_SUPPORT": "0"}
"""Without it the client server loses about one connection in ten: https://github.com/ray-project/ray/issues/63202."""

EVERY_NODE = (
    "--num-cpus=1", "--object-store-memory=200000000", f"--node-ip-address={LOOPBACK}", "--min-worker-port=0",
    "--max-worker-port=0", "--dashboard-agent-listen-port=0", "--disable-usage-stats",
)  # fmt: skip


def missing() -> str | None:
    """Why there can be no cluster here; None where there can."""
    if not sys.platform.startswith("linux"):
        return "RAY IS TESTED ON LINUX ONLY, so nothing of plans on a cluster is tested here"
    if not all(find_spec(name) for name in ("ray", "grpc", "daft")):
        return "RAY OR DAFT IS NOT INSTALLED HERE, so nothing of plans on a cluster is tested: pip install 'andon[ray]'"
    return None


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A head and its workers; each has one processor to give."""

    folder: Path
    port: int
    client_port: int
    nodes: list[int] = field(default_factory=list)
    """Session of each node that has power, the head first."""

    @property
    def address(self) -> str:
        """Where its client server listens."""
        return f"ray://{LOOPBACK}:{self.client_port}"

    def start_head(self) -> None:
        """Start the head, which has a processor too."""
        self._start(
            "--head", f"--port={self.port}", f"--ray-client-server-port={self.client_port}", f"--temp-dir={self.folder}",
            "--include-dashboard=false",
        )  # fmt: skip

    def start_worker(self) -> None:
        """Start one more machine."""
        self._start(f"--address={LOOPBACK}:{self.port}")

    def processes(self, node: int, title: str) -> list[int]:
        """The processes of a node that have this in their title."""
        return [pid for pid in session(self.nodes[node]) if title in title_of(pid)]

    def kill(self, node: int) -> None:
        """Take a node's power."""
        lost = self.nodes.pop(node)
        while alive := session(lost):
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def kill_all(self) -> None:
        """Take the power of all."""
        while self.nodes:
            self.kill(-1)

    def _start(self, *words: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, *EVERY_NODE]
        told = {"RAY_USAGE_STATS_ENABLED": "0", "DO_NOT_TRACK": "1", "RAY_TMPDIR": str(self.folder), **STEADY}
        log = self.folder / "start.log"
        with log.open("w") as said:
            started = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, **told}, start_new_session=True
            )  # fmt: skip
            self.nodes.append(started.pid)
            code = started.wait(120)
        assert code == 0, log.read_text()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster of two machines."""
    with TemporaryDirectory(
        prefix="ray-", dir="/tmp"
    ) as made:  # a socket's path has 107 bytes, most of which Ray takes
        ports = free_ports(2)
        ours = Cluster(folder=Path(made), port=ports[0], client_port=ports[1])
        try:
            ours.start_head()
            ours.start_worker()
            yield ours
        finally:
            ours.kill_all()


def session(leader: int) -> list[int]:
    """The processes of a session that have not ended."""
    return [pid for pid, _, its_session in running() if its_session == leader]


def children(parent: int, title: str) -> list[int]:
    """The processes that a process started, which have not ended and have this in their title."""
    return [pid for pid, its_parent, _ in running() if its_parent == parent and title in title_of(pid)]


def running() -> Iterator[tuple[int, int, int]]:
    """Each process with its parent and its session."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if state != "Z":
                    yield int(folder.name), int(parent), int(its_session)


def title_of(pid: int) -> str:
    """What a process says that it is; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def free_ports(n: int) -> list[int]:
    """Ports on which nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((LOOPBACK, 0))) for _ in range(n)]
        return [one.getsockname()[1] for one in sockets]
