"""A live server for the tests of levers, applications that read from it, and raw clients of its event stream."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.provider import ProviderStatus

from andon.levers import Lever
from andon.levers.run import add_version, declare, hold, release, start_split
from andon.rollouts import Experiment
from andon.scores import SCORERS, score_schema
from andon.server import Server, create_server, now_us
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS

TOKEN = "t0ken"
KEY = {"x-api-key": TOKEN}
HOUR = 3600 * 1_000_000
BULK, EVENTS = "/ofrep/v1/evaluate/flags", "/ofrep/v1/events"
LEVERS = (
    Lever(id="kill-switch", kind="boolean", default=False, safe=True),
    Lever(id="temperature", kind="number", default=1, safe=0),
    Lever(id="limit", kind="number", default=1, safe=2),
    Lever(id="policy", kind="string", default="v2", safe="v1"),
    Lever(id="never-held", kind="boolean", default=True, safe=False),
)


class Live:
    """A live server with a real store, and applications that read levers from it."""

    def __init__(self, server: Server, ledger: Ledger, path: Path) -> None:
        self.server, self.ledger, self.path = server, ledger, path
        self.url = f"http://127.0.0.1:{server.port}"
        self.providers: list[OFREPProvider] = []
        self.streams: list[Stream] = []

    def provider(self, url: str | None = None, token: str = TOKEN, timeout: float = 5.0) -> OFREPProvider:
        """The official provider, reading from here or from another address."""
        provider = OFREPProvider(
            url or self.url, headers_factory=lambda: {"Authorization": f"Bearer {token}"}, timeout=timeout
        )
        self.providers.append(provider)
        return provider

    def app(self, provider: OFREPProvider | None = None) -> OpenFeatureClient:
        """What an application reads with."""
        from openfeature import api

        api.set_provider_and_wait(provider or self.provider(), domain="andon-test")
        client = api.get_client("andon-test")
        assert client.get_provider_status() == ProviderStatus.READY
        return client

    def hold(
        self, lever: str = "kill-switch", value: Any = None, incident: str | None = "INC-1", for_us: int = HOUR
    ) -> None:
        """A pull in this process, served at once."""
        now = now_us()
        hold(self.ledger, lever, value, why="harm", by="ann", until_us=now + for_us, incident=incident, now_us=now)
        self.server.board.refresh()

    def release(self, lever: str = "kill-switch") -> None:
        """The end of a hold in this process, served at once."""
        release(self.ledger, lever, why="fixed", by="bob", now_us=now_us())
        self.server.board.refresh()

    def split(self, lever: str, treatment: Any, days: float = 1.0) -> None:
        """An experiment in staging: half of the users are given another value than the default."""
        now = now_us()
        version = add_version(self.ledger, lever, treatment, why="better", by="ann", now_us=now)
        experiment = Experiment(
            id="EXP-0001", kind="ab", app="default", environment="staging", lever=lever, control=None, share=0.5,
            treatment=version.digest, hypothesis="it is better", metric="refusals", better="down", effect=0.1, base=0.2,
            planned=(100, 100), days=days, by="ann", at_us=now,
        )  # fmt: skip
        start_split(self.ledger, experiment, why="to learn", by="ann", now_us=now)
        self.server.board.refresh()

    def bulk(self, context: Any = None, *, query: str = "", tag: str | None = None) -> httpx2.Response:
        """All levers, as a static client asks for them."""
        headers = KEY if tag is None else {**KEY, "if-none-match": tag}
        return httpx2.post(f"{self.url}{BULK}{query}", json={"context": context or {}}, headers=headers, verify=False)

    def served(self, lever: str = "kill-switch") -> Any:
        """The value of one lever in a bulk answer."""
        return next(f["value"] for f in self.bulk().json()["flags"] if f["key"] == lever)

    def stream(self, **headers: str) -> "Stream":
        """A client of the event stream, once its answer has begun."""
        stream = Stream(self.server.port, {**KEY, **{k.replace("_", "-"): v for k, v in headers.items()}})
        self.streams.append(stream)
        return stream


class Stream:
    """A client of the event stream on a bare socket: it sees what is sent, and when."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        lines = [f"GET {EVENTS} HTTP/1.1", "Host: 127.0.0.1", *(f"{k}: {v}" for k, v in headers.items())]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.sent = b""
        self.wait(b"\r\n\r\n", 5)
        head, _, self.sent = self.sent.partition(b"\r\n\r\n")
        self.head = head.decode().lower()
        self.status = int(self.head.split()[1])

    def wait(self, text: bytes, within_s: float, times: int = 1) -> bool:
        """Whether a text has come so many times within a time; returns as soon as it has."""
        until = time.monotonic() + within_s
        while self.sent.count(text) < times:
            left = until - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                return False
            if not more:
                return False
            self.sent += more
        return True

    def events(self, at_least: int = 0, within_s: float = 5) -> list[dict[str, Any]]:
        """The data of all events so far, after waiting for so many."""
        self.wait(b"}\n\n", within_s, at_least)
        return [json.loads(found) for found in re.findall(rb"\ndata: (.*)\n\n", self.sent)]

    def quiet(self, for_s: float) -> bool:
        """Whether no further event comes for a time."""
        return not self.wait(b"}\n\n", for_s, self.sent.count(b"}\n\n") + 1)

    def ended(self, within_s: float) -> bool:
        """Whether the server ends the answer as HTTP wants it, within a time."""
        return self.wait(b"\r\n0\r\n\r\n", within_s)

    def close(self) -> None:
        """Leave."""
        self.socket.close()


@contextmanager
def server_process(path: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Andon as `live_server` serves it, but in a process of its own, with the kill switch held; the process and its port."""
    script = (
        "import sys; from pathlib import Path; from live_levers import *\n"
        "path = Path(sys.argv[1]); ledger = Ledger.open(path / 'ledger.sqlite'); now = now_us()\n"
        "declare(ledger, LEVERS[0], now, 'ann')\n"
        "hold(ledger, 'kill-switch', why='harm', by='ann', until_us=now + HOUR, now_us=now)\n"
        "server = create_server(Warehouse(path / 'warehouse', SCHEMAS), ledger, None, token=TOKEN)\n"
        "print(server.port, flush=True); server.run()\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def live_server(path: Path) -> Iterator[Live]:
    """Andon over a real warehouse and ledger, on an ephemeral loopback port, with a token."""
    warehouse = Warehouse(path / "warehouse", {**SCHEMAS, "scores": score_schema(SCORERS)})
    ledger = Ledger.open(path / "ledger.sqlite")
    for lever in LEVERS:
        declare(ledger, lever, now_us(), "ann")
    with create_server(warehouse, ledger, None, token=TOKEN).running() as server:
        live = Live(server, ledger, path)
        yield live
        for provider in live.providers:
            provider.session.close()
    for stream in live.streams:
        stream.close()
