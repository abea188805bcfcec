"""Rows in: durable and visible, beside the least that any such program must do and beside what others install instead.

Spans are sent over HTTP to a real `andon serve` by a sender of its own (`bench.load`), and the same bodies to the peers.
An acknowledgement of ours is an fsync; one of a peer is what its documentation makes of it, so theirs are counted when
they can be queried, and ours too wherever the two stand side by side.
"""

import json
import os
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from andon.store import Warehouse
from andon.traffic import SCHEMAS
from andon.traffic.run import import_files
from bench.bodies import SPANS, body, body_of, templates
from bench.figures import ROOT, best_s, figure, note, scratch
from bench.servers import Program, Running, andon, mlflow, phoenix, serving

__all__ = ["run"]

ROWS = 60_000
START_US = 1_760_000_000_000_000
LOAD_S, KILL_S, FLOOD_S = 20.0, 8.0, 60.0
FLOOD_CONNECTIONS = 150
WAIT_S, STILL_S = 60.0, 10.0
"""How long queryable spans are waited for, and after a crash: without any more of them coming."""
BURST_BODIES = 6
WARM, RUN, BURST = 0, 1, 2
"""Runs of the sender: its number is part of every id."""


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What came of one load on one server."""

    acknowledged: int
    acknowledged_per_s: float
    queryable: int
    queryable_per_s: float
    """Over the time from the first request until they were, or until the wait was over."""
    visible_s: float
    """From the last acknowledgement until all could be queried, or until the wait was over."""
    cpu_s_per_1000: float
    """Of the server's processes, per 1,000 queryable spans."""
    peak_rss_mb: float

    @property
    def complete(self) -> bool:
        """Whether all that was acknowledged could be queried when the wait ended."""
        return self.queryable >= self.acknowledged


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What is in a store of what was acknowledged, span by span."""

    acknowledged: int
    lost: int
    twice: int


def run() -> None:
    """Files, spans, and the peers' spans."""
    with scratch() as folder:
        _files(folder)
    with scratch() as folder:
        ours, lost = _ours(folder)
    for name, program in (("phoenix", phoenix), ("mlflow", mlflow)):
        with scratch() as folder:
            _peer(name, program, folder, ours, lost)


def _ours(folder: Path) -> tuple[Ingested, Counted]:
    """Every figure of our own; the plain load and the crash are what peers are compared with."""
    floors = {packed: _floor(packed) for packed in (False, True)}
    with _warm(andon(), folder / "plain") as server:
        plain = _drive(server)
    with _warm(andon(), folder / "gzip") as server:
        packed = _drive(server, "--gzip")
    floor = f"bare protobuf parse of {SPANS} spans"
    figure("ingest.otlp.durable_spans_per_s", plain.acknowledged_per_s, "1/s", floor, floors[False])
    figure("ingest.otlp.gzip.durable_spans_per_s", packed.acknowledged_per_s, "1/s", f"gunzip + {floor}", floors[True])
    figure("ingest.otlp.queryable_spans_per_s", plain.queryable_per_s, "1/s", floor, floors[False])
    figure("ingest.otlp.visible_s", plain.visible_s, "s", _left(plain))
    figure("ingest.otlp.gzip.visible_s", packed.visible_s, "s", _left(packed))
    figure("ingest.otlp.cpu_s_per_1000", plain.cpu_s_per_1000, "s", floor, 1000 / floors[False])
    killed = _kill(andon(), folder / "kill")
    figure("ingest.otlp.kill9_lost", killed.lost, "spans")
    figure("ingest.otlp.kill9_twice", killed.twice, "spans")
    _flood(folder / "flood")
    return plain, killed


def _flood(folder: Path) -> None:
    """A sender that never stops: memory stays bounded, what is refused is said, what was acknowledged is there."""
    with _warm(andon(), folder) as server:
        begun, there = time.monotonic(), server.stored.count()
        said, samples = _load(server, FLOOD_S, "--connections", str(FLOOD_CONNECTIONS))
        _wait(server, there + said["acknowledged"])
        counted = _count(server, said["bodies"])
        note(f"memory by the second, in MB: {' '.join(f'{mb:.0f}' for mb in samples)}")
        note(f"all was counted {time.monotonic() - begun:.0f} s after the first request")
    figure("ingest.otlp.peak_rss_mb", max(samples), "MB")
    figure("ingest.otlp.flood.durable_spans_per_s", _per_s(said), "1/s")
    figure("ingest.otlp.flood.refused", said["refused"], "answers of 429 or 503")
    figure("ingest.otlp.flood.refused_without_retry_after", said["refused_without_retry_after"], "answers")
    figure("ingest.otlp.flood.lost", counted.lost, "spans")


def _peer(name: str, make: Callable[[], Program | None], folder: Path, ours: Ingested, killed: Counted) -> None:
    """The same load and the same crash on a peer; what cannot be measured is said, and the rest goes on.

    A peer that queues in memory and falls behind at full speed does better with a few requests and time to digest them:
    it gets both, and what is printed is the better one.
    """
    program = make()
    if program is None:
        return
    try:
        with _warm(program, folder / "plain") as server:
            tried = [_drive(server, "--bodies", str(BURST_BODIES), run=BURST), _drive(server)]
        lost = _kill(program, folder / "kill")
    except (OSError, subprocess.SubprocessError) as error:
        note(f"{program.name} was not measured: {error}")
        return
    theirs = max(tried, key=lambda done: done.queryable_per_s)
    for done in tried:
        note(f"{program.name}: {done.queryable_per_s:,.0f} durable and queryable spans/s, {_left(done)}")
    against = f"Andon at full speed; {program.name}: {_left(theirs)}"
    figure(f"ingest.{name}.durable_spans_per_s", theirs.queryable_per_s, "1/s", against, ours.queryable_per_s)
    figure(f"ingest.{name}.visible_s", theirs.visible_s, "s", against, ours.visible_s)
    figure(f"ingest.{name}.cpu_s_per_1000", theirs.cpu_s_per_1000, "s", against, ours.cpu_s_per_1000)
    figure(f"ingest.{name}.peak_rss_mb", theirs.peak_rss_mb, "MB", against, ours.peak_rss_mb)
    against = f"Andon, {killed.lost:,} of {killed.acknowledged:,}; {program.name}: of {lost.acknowledged:,}"
    figure(f"ingest.{name}.kill9_lost", lost.lost, "spans", against, killed.lost)


def _left(done: Ingested) -> str:
    """Whether the wait was long enough, in words: where it was not, the real figure is worse than the printed one."""
    if done.complete:
        return f"all of {done.acknowledged:,} acknowledged"
    return f"only {done.queryable:,} of {done.acknowledged:,} acknowledged after {done.visible_s:.0f} s"


@contextmanager
def _warm(program: Program, folder: Path) -> Iterator[Running]:
    """The program, after it has taken one body on each connection: what it imports and creates late is not measured."""
    with serving(program, folder) as server:
        note(f"{program.name}: ready after {server.ready_s:.1f} s")
        said, _ = _load(server, LOAD_S, "--bodies", "4", run=WARM)
        _wait(server, said["acknowledged"])
        yield server


def _drive(server: Running, *options: str, run: int = RUN) -> Ingested:
    """Load the server, and wait until everything that it acknowledged can be queried."""
    there, cpu_s = server.stored.count(), server.cpu_s()
    said, samples = _load(server, LOAD_S, *options, run=run)
    seen_s, count = _wait(server, there + said["acknowledged"])
    spent_s, queryable = server.cpu_s() - cpu_s, max(count - there, 1)
    return Ingested(
        acknowledged=said["acknowledged"],
        acknowledged_per_s=_per_s(said),
        queryable=queryable,
        queryable_per_s=queryable / (seen_s - said["begun"]),
        visible_s=max(seen_s - said["last_ack"], 0.0),
        cpu_s_per_1000=1000 * spent_s / queryable,
        peak_rss_mb=max(samples),
    )


def _kill(program: Program, folder: Path) -> Counted:
    """A crash at full speed: kill -9 right after an acknowledgement; then start again, and look for what was acknowledged."""
    with _warm(program, folder) as server:
        said, _ = _load(server, KILL_S, "--kill-group", str(server.process.pid))
    if not said["killed"]:
        raise ChildProcessError("it acknowledged nothing more after 8 s of load, so the crash could not be timed")
    with serving(program, folder) as server:
        note(f"{program.name}: ready again {server.ready_s:.1f} s after kill -9")
        _settle(server)
        counted = _count(server, said["bodies"])
    note(f"{program.name}: {counted.acknowledged:,} acknowledged, {counted.lost:,} lost, {counted.twice:,} there twice")
    return counted


def _load(server: Running, seconds: float, *options: str, run: int = RUN) -> tuple[dict[str, Any], list[float]]:
    """Run the sender; what it says, and the memory of the server in MB at every second."""
    headers = [f"--header={name}={value}" for name, value in server.program.headers.items()]
    command = [sys.executable, "-m", "bench.load", server.url, *headers, *options, "--seconds", str(seconds)]
    samples, over = [server.rss_mb()], threading.Event()

    def sample() -> None:
        while not over.wait(1.0):
            samples.append(server.rss_mb())

    sampling = threading.Thread(target=sample)
    sampling.start()
    try:
        done = subprocess.run([*command, "--run", str(run)], stdout=subprocess.PIPE, check=True, cwd=ROOT)
    finally:
        over.set()
        sampling.join()
    said: dict[str, Any] = json.loads(done.stdout)
    if run != WARM:
        quiet = ("bodies", "begun", "last_ack", "killed")
        note(f"{server.program.name}: " + ", ".join(f"{k} {_said(v)}" for k, v in said.items() if k not in quiet))
    return said, samples


def _said(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else str(value or 0)


def _per_s(said: dict[str, Any]) -> float:
    return float(said["acknowledged"] / max(said["last_ack"] - said["begun"], 1e-9))


def _wait(server: Running, wanted: int) -> tuple[float, int]:
    """Wait until so many spans can be queried, at most `WAIT_S`; when that was seen, and how many they are."""
    begun = time.monotonic()
    while True:
        count, now = server.stored.count(), time.monotonic()
        if count >= wanted or now - begun > WAIT_S:
            return now, count
        time.sleep(min(0.02 + (now - begun) / 10, 1.0))  # asking costs the server time, so seldom when it takes long


def _settle(server: Running) -> None:
    """After a crash: wait until no more spans turn up."""
    begun = changed = time.monotonic()
    count = -1
    while (now := time.monotonic()) - changed < STILL_S and now - begun < WAIT_S:
        seen = server.stored.count()
        if seen != count:
            count, changed = seen, now
        time.sleep(0.5)


def _count(server: Running, bodies: Iterable[int]) -> Counted:
    """Look for every acknowledged span by its id; spans of bodies that were under way at the crash do not matter."""
    ids = Counter(server.stored.span_ids())
    there = Counter(number for run, number in map(body_of, ids) if run == RUN)
    wanted = list(bodies)
    return Counted(
        acknowledged=len(wanted) * SPANS,
        lost=sum(SPANS - there[number] for number in wanted),
        twice=sum(count - 1 for count in ids.values()),
    )


def _floor(packed: bool) -> float:
    """Spans per second of a process that only parses the bodies, in memory."""
    made = [body(template, RUN, number) for number, template in enumerate(templates(time.time_ns()))]
    note(f"bodies of {SPANS} spans, {len(made[0]) / 1024:,.0f} KB, {len(zlib.compress(made[0])) / 1024:,.0f} KB packed")
    if not packed:
        seconds = best_s(lambda: [ExportTraceServiceRequest.FromString(b) for b in made])
    else:
        small = [zlib.compress(b, wbits=31) for b in made]
        seconds = best_s(lambda: [ExportTraceServiceRequest.FromString(zlib.decompress(b, wbits=31)) for b in small])
    return len(made) * SPANS / seconds


def _files(folder: Path) -> None:
    path = folder / "traffic.jsonl"
    _write_traffic(path)
    note(f"{ROWS:,} rows, {path.stat().st_size / ROWS:,.0f} bytes each")
    ours = best_s(_fresh(folder, lambda store: import_files(store, [path])))
    floor = best_s(lambda: _parse_and_append(path, folder / "floor.bin"))
    figure("ingest.jsonl.durable_rows_per_s", ROWS / ours, "1/s", "orjson parse + fsynced append", ROWS / floor)


def _fresh(folder: Path, work: Callable[[Warehouse], object]) -> Callable[[], None]:
    made = iter(range(1_000))

    def timed() -> None:
        store = Warehouse(folder / f"store{next(made)}", SCHEMAS)
        work(store)
        store.close()

    return timed


def _parse_and_append(path: Path, target: Path) -> None:
    """Every line parsed, and the bytes of every 20,000 lines on the disk before the next are read."""
    with path.open("rb") as lines, target.open("wb", buffering=0) as out:
        held = []
        for line in lines:
            orjson.loads(line)
            held.append(line)
            if len(held) == 20_000:
                out.write(b"".join(held))
                os.fsync(out.fileno())
                held = []
        out.write(b"".join(held))
        os.fsync(out.fileno())


def _write_traffic(path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [f"word{k}" for k in range(2_000)]
    with path.open("w", encoding="utf-8") as out:
        for k in range(ROWS):
            picks = [words[i] for i in rng.integers(0, len(words), 60)]
            row = {
                "id": f"i{k:07d}",
                "time": START_US + k * 50_000,
                "app": "bench",
                "question": " ".join(picks[:12]),
                "response": " ".join(picks[12:]),
                "contexts": [{"id": "1", "text": " ".join(picks[20:50]), "score": 0.8}],
                "model": "model-1",
                "prompt_version": "p1",
                "task": f"task{k % 5}",
                "latency_s": round(float(rng.gamma(2.0, 0.4)), 3),
                "input_tokens": 80,
                "output_tokens": 60,
            }
            out.write(json.dumps(row) + "\n")
