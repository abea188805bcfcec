"""A real `andon serve` in a process of its own, and a sender of spans that remembers what was acknowledged."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random

import httpx2
from bench.replicas import answers, free_port
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from andon.store import Slice, Warehouse
from andon.traffic import SCHEMAS

__all__ = [
    "HEADERS",
    "START_NS",
    "Sender",
    "answers",
    "body_of",
    "eventually",
    "free_port",
    "numbers_in",
    "serving",
    "start",
]

HEADERS = {"content-type": "application/x-protobuf"}
START_NS = 1_790_000_000 * 10**9


def start(home: Path, port: int, more: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """The command, with a home, a port and more settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ANDON_")}
    environment |= {"ANDON_HOME": str(home), "ANDON_PORT": str(port), "ANDON_GRPC_PORT": "0"}
    environment |= {"ANDON_EMBEDDER": "hashed", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= more or {}
    command = [sys.executable, "-c", "from andon.cli import main; main()", "serve"]
    # beside the home, as a file of settings where the tests run is the developer's
    return subprocess.Popen(
        command, cwd=home.parent, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )


def eventually(true: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is true."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)


@contextmanager
def serving(home: Path, port: int, more: Mapping[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    """The server, answering; killed at the end if it still runs."""
    process = start(home, port, more)
    try:
        eventually(lambda: process.poll() is not None or answers(port))
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def body_of(first: int, count: int, noise: int = 0) -> bytes:
    """A request of spans with the numbers from `first`; with noise, each has so many bytes that no disk can compress."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in range(first, first + count):
        at = START_NS + number * 1_000_000
        text = Random(number).randbytes(noise).hex() if noise else "x" * 200
        span = spans.add(name="chat", start_time_unix_nano=at, end_time_unix_nano=at + 10**9)
        span.trace_id, span.span_id = (number + 1).to_bytes(16, "big"), (number + 1).to_bytes(8, "big")
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        span.attributes.add(key="input.value").value.string_value = f"question {number} {text}"
    return bytes(request.SerializeToString())


class Sender:
    """Sends batch after batch; one that got no answer is sent again, as an exporter does. Counts what was acknowledged."""

    def __init__(self, port: int, size: int = 20, noise: int = 0) -> None:
        self.port, self.size, self.noise = port, size, noise
        self.acknowledged: set[int] = set()
        self.statuses: list[int] = []
        self._next = 0
        self._stop = threading.Event()

    @contextmanager
    def sending(self, pause_s: float = 0.0) -> Iterator[None]:
        """Send in a thread for as long as the block takes."""
        self._stop.clear()
        thread = threading.Thread(target=self._run, args=(pause_s,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(20)

    def send(self) -> int:
        """Send the next batch once; the status, or 0 when there was no answer."""
        try:
            url = f"http://127.0.0.1:{self.port}/v1/traces"
            body = body_of(self._next, self.size, self.noise)
            status = httpx2.post(url, content=body, headers=HEADERS, timeout=10, verify=False).status_code
        except httpx2.HTTPError:
            return 0
        self.statuses.append(status)
        if status == 200:
            self.acknowledged |= set(range(self._next, self._next + self.size))
            self._next += self.size
        return status

    def _run(self, pause_s: float) -> None:
        while not self._stop.is_set():
            if self.send() != 200:
                time.sleep(0.02)
            time.sleep(pause_s)


def numbers_in(home: Path) -> list[int]:
    """The numbers of all spans in the table, after recovery, each as often as it is there."""
    store = Warehouse(home, SCHEMAS)
    store.commit()
    found = [int(i, 16) - 1 for i in store.run(Slice(table="spans", columns=("trace_id",)))["trace_id"].to_pylist()]
    store.close()
    return found
