"""A sender of OTLP over HTTP, in a process of its own: `python -m bench.load URL --seconds 20`.

It does what an exporter does, and as little else as possible, because it shares the machine with the server that it
drives: bodies are serialised (and compressed) before the clock starts, and what is left per request is to write the ids
of this body into their places. A refused body (429, 503) is sent again after `Retry-After`, one whose connection broke
at once. One JSON line at the end says what was acknowledged.
"""

import argparse
import http.client
import json
import math
import os
import signal
import statistics
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bench.bodies import SPANS, Template, body, templates

__all__ = ["main"]

PREBUILT = 2_000
"""Bodies that are compressed beforehand: 20 s at 50,000 spans/s."""
ANSWER_S, PATIENCE_S, BROKEN_S = 120.0, 60.0, 0.1
AGAIN_S = 1.0
"""How long to wait where a refusal does not say it."""

Take = Callable[[], tuple[int, bytes] | None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to send, where to, and for how long."""

    url: str
    headers: dict[str, str]
    seconds: float
    connections: int
    packed: bool
    run: int
    """Part of every id: two runs on one server must differ in it."""
    bodies: int | None = None
    """How many bodies to send at most."""
    kill_group: int | None = None
    """Process group that is killed (-9) at the first acknowledgement after `seconds`."""


@dataclass(kw_only=True)
class Tally:
    """What became of the bodies so far; shared by the connections."""

    acknowledged: list[int] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    unsaid: int = 0
    """Refusals without an integer `Retry-After`."""
    broken: int = 0
    """Requests whose connection ended without an answer."""
    rejected: int = 0
    """Spans that an answer of 200 says were not stored."""
    problem: str = ""
    last_ack: float = 0.0
    killed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


def main(words: Sequence[str]) -> None:
    """Send, and print what happened."""
    order = _order(words)
    made = templates(time.time_ns())
    endless = iter(_packed(made, order.run)) if order.packed else _endless(made, order.run)
    bodies = islice(endless, order.bodies)
    tally, taking = Tally(), threading.Lock()
    begun = time.monotonic()
    until = begun + order.seconds
    # a server that is to be killed is sent bodies until it is dead, so that the kill hits it at full speed
    last = until + (PATIENCE_S if order.kill_group else 0)

    def take() -> tuple[int, bytes] | None:
        with taking:
            return None if tally.killed or time.monotonic() >= last else next(bodies, None)

    threads = [threading.Thread(target=_connection, args=(order, take, until, tally)) for _ in range(order.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(_summary(tally, begun)), flush=True)


def _order(words: Sequence[str]) -> Order:
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    parser.add_argument("url", help="whole address, path included")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--bodies", type=int, help="stop after so many")
    parser.add_argument("--run", type=int, default=1, help="0 to 255; part of every id")
    parser.add_argument("--kill-group", type=int, help="kill -9 this process group after the time is over")
    given = parser.parse_args(words)
    headers = {"content-type": "application/x-protobuf", **dict(h.split("=", 1) for h in given.header)}
    if given.gzip:
        headers["content-encoding"] = "gzip"
    return Order(
        url=given.url,
        headers=headers,
        seconds=given.seconds,
        connections=given.connections,
        packed=given.gzip,
        run=given.run,
        bodies=given.bodies,
        kill_group=given.kill_group,
    )


def _endless(made: Sequence[Template], run: int) -> Iterator[tuple[int, bytes]]:
    number = 0
    while True:
        yield number, body(made[number % len(made)], run, number)
        number += 1


def _packed(made: Sequence[Template], run: int) -> list[tuple[int, bytes]]:
    def pack(number: int) -> tuple[int, bytes]:
        stream = zlib.compressobj(wbits=31)
        return number, stream.compress(body(made[number % len(made)], run, number)) + stream.flush()

    with ThreadPoolExecutor() as pool:  # zlib works outside the interpreter's lock
        return list(pool.map(pack, range(PREBUILT)))


def _connection(order: Order, take: Take, until: float, tally: Tally) -> None:
    """One connection that is kept: body after body, each until it is acknowledged, failed or given up."""
    place = urlsplit(order.url)
    client = http.client.HTTPConnection(place.hostname or "", place.port, timeout=ANSWER_S)
    last = until + (PATIENCE_S if order.kill_group else 0)
    while (taken := take()) is not None:
        number, content = taken
        while (wait_s := _sent(client, place.path, order, content, number, until, tally)) is not None:
            if tally.killed or time.monotonic() + wait_s > last:
                break  # still refused when the time is over: it was never acknowledged, so nobody counts on it
            time.sleep(wait_s)
    client.close()


def _sent(
    client: http.client.HTTPConnection,
    path: str,
    order: Order,
    content: bytes,
    number: int,
    until: float,
    tally: Tally,
) -> float | None:
    """Send a body once and count the answer; in how many seconds it must be sent again, None when it must not."""
    begun = time.monotonic()
    try:
        client.request("POST", path, content, order.headers)
        answer = client.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException):
        client.close()  # the next request opens it again
        with tally.lock:
            tally.broken += not tally.killed
        return BROKEN_S
    now = time.monotonic()
    stated = answer.getheader("retry-after") or ""
    rejected = _rejected(answer, said)
    with tally.lock:
        tally.statuses[answer.status] += 1
        if answer.status in (429, 503):
            tally.unsaid += not stated.isdigit()
            return float(stated) if stated.isdigit() else AGAIN_S
        if answer.status != 200 or rejected:
            tally.rejected += rejected
            tally.problem = tally.problem or f"{answer.status}: {said[:200]!r}"
            return None
        tally.acknowledged.append(number)
        tally.latencies_s.append(now - begun)
        tally.last_ack = now
        if order.kill_group and now >= until and not tally.killed:
            tally.killed = True
            with suppress(ProcessLookupError):
                os.killpg(order.kill_group, signal.SIGKILL)
    return None


def _rejected(answer: http.client.HTTPResponse, said: bytes) -> int:
    if answer.status != 200 or not said or "protobuf" not in (answer.getheader("content-type") or ""):
        return 0
    return int(ExportTraceServiceResponse.FromString(said).partial_success.rejected_spans)


def _summary(tally: Tally, begun: float) -> dict[str, Any]:
    """One line: `begun` and `last_ack` are of the machine's monotonic clock, which all processes share."""
    latencies = sorted(tally.latencies_s) or [0.0]
    return {
        "acknowledged": len(tally.acknowledged) * SPANS,
        "bodies": sorted(tally.acknowledged),
        "begun": begun,
        "last_ack": tally.last_ack or begun,
        "p50_ms": statistics.median(latencies) * 1000,
        "p95_ms": latencies[math.ceil(0.95 * len(latencies)) - 1] * 1000,
        "refused": tally.statuses[429] + tally.statuses[503],
        "refused_without_retry_after": tally.unsaid,
        "rejected_spans": tally.rejected,
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
        "broken": tally.broken,
        "problem": tally.problem,
        "killed": tally.killed,
        "cpu_s": time.process_time(),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
