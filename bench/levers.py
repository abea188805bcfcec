"""Reading levers: our caching provider and the official OFREP provider against one live server; how fast a pull arrives."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider import AbstractProvider
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from andon.client.allocation import allocate
from andon.client.openfeature import AndonProvider
from andon.levers import Lever
from andon.levers.run import declare, hold, release
from andon.store import Ledger
from bench.figures import best_s, figure, note, scratch

__all__ = ["run"]

LEVERS, KEY = 50, "bench.lever-7"
CACHED_READS, ASKED_READS, PULLS, KEYS = 20_000, 2_000, 15, 100_000
HOUR_US = 3_600_000_000


def run() -> None:
    """Reads while all is well, killed and hung; a pull's way into the application; allocations."""
    with scratch() as folder, _serving(folder) as (server, url):
        ours = _client("ours", AndonProvider(url, cache=str(folder)))
        official = _client("official", OFREPProvider(url))
        floor = _client("floor", InMemoryProvider({KEY: InMemoryFlag("on", {"on": True, "off": False})}))
        _until(lambda: ours.get_boolean_details(KEY, False).variant == "default")
        memory_us = _reads("floor", floor, CACHED_READS)[0] * 1e6
        cached_s, cached_p99_s = _reads("ours", ours, CACHED_READS)
        asked_s, asked_p99_s = _reads("official", official, ASKED_READS)
        figure("levers.cached_read_us", cached_s * 1e6, "us", "the SDK's in-memory provider", memory_us)
        figure("levers.cached_p99_us", cached_p99_s * 1e6, "us", "the official OFREP provider", asked_p99_s * 1e6)
        figure("levers.cached_reads_per_s", 1 / cached_s, "1/s", "the official OFREP provider", 1 / asked_s)
        figure("levers.ofrep_read_ms", asked_s * 1e3, "ms")
        figure("levers.ofrep_p99_ms", asked_p99_s * 1e3, "ms")
        figure("levers.ofrep_reads_per_s", 1 / asked_s, "1/s")
        figure("levers.pull_to_application_ms", _pulls(folder, ours) * 1e3, "ms")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            hung_s, _ = _reads("ours, server hung", ours, CACHED_READS)
            figure("levers.cached_read_hung_us", hung_s * 1e6, "us", "the server alive", cached_s * 1e6)
            figure("levers.ofrep_read_hung_ms", _reads("official, server hung", official, 1)[0] * 1e3, "ms")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        server.kill()
        server.wait()
        killed_s, _ = _reads("ours, server killed", ours, CACHED_READS)
        figure("levers.cached_read_killed_us", killed_s * 1e6, "us", "the server alive", cached_s * 1e6)
        api.shutdown()
        started = time.perf_counter()
        again = _client("again", AndonProvider(url, cache=str(folder)))
        value = again.get_boolean_details(KEY, False)
        figure("levers.start_from_disk_ms", (time.perf_counter() - started) * 1e3, "ms")
        note(f"started without a server: {value.value} ({value.variant}, {value.reason})")
        api.shutdown()
    keys = [f"user-{n}" for n in range(KEYS)]
    arms = [0, 0]

    def split() -> None:
        arms[:] = 0, 0
        for key in keys:
            arms[allocate(key, "bench:EXP-0001", (0.5, 0.5))] += 1

    figure("levers.allocations_per_s", KEYS / best_s(split), "1/s")
    note(f"arms of {KEYS:,} keys: {arms[0]:,} and {arms[1]:,}")


def _client(name: str, provider: AbstractProvider) -> OpenFeatureClient:
    api.set_provider_and_wait(provider, domain=name)
    return api.get_client(name)


def _reads(name: str, client: OpenFeatureClient, n: int) -> tuple[float, float]:
    """Median and 99th percentile of one read, in seconds, with a user's context as an application gives it."""
    context, took = EvaluationContext("user-1"), []
    for _ in range(n):
        begun = time.perf_counter()
        client.get_boolean_value(KEY, False, context)
        took.append(time.perf_counter() - begun)
    note(f"{name}: {n:,} reads, the longest {max(took) * 1e3:.3f} ms")
    return statistics.median(took), sorted(took)[int(0.99 * (n - 1))]


def _pulls(folder: Path, app: OpenFeatureClient) -> float:
    """Median seconds from a pull by another process's ledger to the application, over SSE."""
    ledger = Ledger.open(folder / "ledger.db")
    took = []
    for _ in range(PULLS):
        now = time.time_ns() // 1000
        begun = time.perf_counter()
        hold(ledger, KEY, why="bench", by="ann", until_us=now + HOUR_US, now_us=now)
        _until(lambda: app.get_boolean_value(KEY, True) is False)
        took.append(time.perf_counter() - begun)
        release(ledger, KEY, why="bench", by="ann", now_us=time.time_ns() // 1000)
        _until(lambda: app.get_boolean_value(KEY, True) is True)
    ledger.close()
    note(f"pulls arrived within {min(took) * 1e3:.0f} to {max(took) * 1e3:.0f} ms")
    return statistics.median(took)


@contextmanager
def _serving(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    ledger = Ledger.open(folder / "ledger.db")
    for n in range(LEVERS):
        declare(ledger, Lever(id=f"bench.lever-{n}", kind="boolean", default=True, safe=False), 0, "ann")
    ledger.close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {**os.environ, "ANDON_HOME": str(folder), "ANDON_PORT": str(port), "ANDON_GRPC_PORT": "0"}
    command = [sys.executable, "-c", "from andon.cli import main; main()", "serve"]
    server = subprocess.Popen(command, env={**env, "ANDON_EMBEDDER": "hashed"}, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: _ready(url), 60)
        yield server, url
    finally:
        server.kill()
        server.wait()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _until(true: Callable[[], bool], most_s: float = 10) -> None:
    until = time.monotonic() + most_s
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"it did not happen within {most_s:g} s")
        time.sleep(0.001)
