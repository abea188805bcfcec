"""Laws of the whole process: real HTTP, real store, real exporter."""

import gzip
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from andon.errors import ConfigError, SeamError, StoreError
from andon.incidents.channels import NOBODY
from andon.levers import Lever, Pull
from andon.levers.run import add_version, approve_version, declare, hold, start_split
from andon.loop import open_loop
from andon.rollouts import Allocation, Arm, Decision, Experiment
from andon.scores import SCORERS, score_schema
from andon.server import Repeated, Server, create_server, listen, now_us, serve
from andon.settings import Settings, load
from andon.store import Ledger, Rollup, Warehouse
from andon.traffic import SCHEMAS

LINES = {"content-type": "application/x-ndjson"}


@pytest.fixture
def store(tmp_path: Path) -> tuple[Warehouse, Ledger]:
    """A real warehouse and ledger; the server closes them."""
    return Warehouse(tmp_path / "warehouse", {**SCHEMAS, "scores": score_schema(SCORERS)}), Ledger.open(
        tmp_path / "ledger.sqlite"
    )


@pytest.fixture
def server(store: tuple[Warehouse, Ledger]) -> Iterator[Server]:
    """A live server without a token."""
    with create_server(*store, None).running() as server:
        yield server


def url(server: Server, path: str) -> str:
    """Address of a path."""
    return f"http://127.0.0.1:{server.port}{path}"


def eventually(holds: Callable[[], bool], within_s: float = 8.0) -> None:
    """Wait until something holds."""
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def rows(warehouse: Warehouse, table: str) -> int:
    """Committed rows of a table."""
    return int(warehouse.run(Rollup(table=table)).column("rows")[0].as_py())


@pytest.mark.parametrize("compressed", [False, True])
def test_the_real_exporter_is_understood(server: Server, store: tuple[Warehouse, Ledger], compressed: bool) -> None:
    """Spans of the OpenTelemetry SDK's own exporter, plain or gzip, are acknowledged and become rows of the table of spans."""
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    results: list[SpanExportResult] = []

    class Watched(SpanExporter):
        def __init__(self, inner: SpanExporter) -> None:
            self.inner = inner

        def export(self, spans: Any) -> SpanExportResult:
            results.append(self.inner.export(spans))
            return results[-1]

        def shutdown(self) -> None:
            self.inner.shutdown()

    how = Compression.Gzip if compressed else Compression.NoCompression
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(
        SimpleSpanProcessor(Watched(OTLPSpanExporter(endpoint=url(server, "/v1/traces"), compression=how)))
    )
    tracer = provider.get_tracer("bot")
    with (
        tracer.start_as_current_span("chat", attributes={"gen_ai.request.model": "m1"}),
        tracer.start_as_current_span("retrieve"),
    ):
        pass
    provider.shutdown()
    assert results == [SpanExportResult.SUCCESS] * 2
    eventually(lambda: rows(store[0], "spans") == 2)


def test_rows_are_on_disk_when_they_are_acknowledged(
    server: Server, store: tuple[Warehouse, Ledger], tmp_path: Path
) -> None:
    """What was answered with 200 is there for another process that opens the same folder, before any commit of ours."""
    warehouse = store[0]
    warehouse.commit = lambda: None  # type: ignore[method-assign,assignment,return-value]
    server.work[0].stop()
    answer = httpx2.post(url(server, "/v1/interactions"), content=b'{"id": "i1", "time": 1790000000}', headers=LINES)
    assert answer.json()["accepted"] == 1
    journal = b"".join(p.read_bytes() for p in (tmp_path / "warehouse" / "journal").iterdir())
    assert b"i1" in journal


def test_acknowledged_rows_become_visible_once(server: Server, store: tuple[Warehouse, Ledger]) -> None:
    """The committing thread makes rows visible by itself, and a request that was sent twice adds nothing."""
    for _ in range(2):
        httpx2.post(url(server, "/v1/interactions"), content=b'{"id": "i1", "time": 1790000000}', headers=LINES)
    eventually(lambda: rows(store[0], "interactions") == 1)


def test_a_shutdown_keeps_what_was_acknowledged(store: tuple[Warehouse, Ledger], tmp_path: Path) -> None:
    """What was acknowledged a moment before a shutdown is committed by it."""
    with create_server(*store, None).running() as server:
        httpx2.post(url(server, "/v1/interactions"), content=b'{"id": "i1", "time": 1790000000}', headers=LINES)
    again = Warehouse(tmp_path / "warehouse", {**SCHEMAS, "scores": score_schema(SCORERS)})
    assert rows(again, "interactions") == 1
    again.close()


def test_a_posted_change_is_in_the_ledger(server: Server, store: tuple[Warehouse, Ledger]) -> None:
    """A change that is posted is a record with its author; posting it again makes no second one."""
    from andon.changes import Change

    sent = {"kind": "prompt", "title": "v13", "at": "2026-09-21T12:00:00Z", "author": "ann"}
    ids = {httpx2.post(url(server, "/v1/changes"), json=sent).json()["id"] for _ in range(2)}
    [change] = store[1].all(Change)
    assert ids == {change.id}
    assert (change.kind, change.author, change.origin) == ("prompt", "ann", "recorded")
    refused = httpx2.post(url(server, "/v1/changes"), json={**sent, "kind": "nope"})
    assert (refused.status_code, refused.json()["error"]["kind"]) == (422, "InputError")


def test_malformed_protobuf_is_a_bad_request(server: Server) -> None:
    """A body that is no trace request is a 400, plain or gzip, and the server goes on."""
    for body, encoding in ((b"\xff\xff\xff", "identity"), (gzip.compress(b"\xff" * 1000), "gzip")):
        headers = {"content-type": "application/x-protobuf", "content-encoding": encoding}
        assert httpx2.post(url(server, "/v1/traces"), content=body, headers=headers).status_code == 400
    assert httpx2.get(url(server, "/healthz")).status_code == 200


def test_a_span_without_ids_is_a_partial_success(server: Server) -> None:
    """Of a request with a good and a bad span one is kept, and the answer counts and explains the other."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
    )

    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    times = {"start_time_unix_nano": 1_790_000_000 * 10**9, "end_time_unix_nano": 1_790_000_001 * 10**9}
    spans.add(trace_id=bytes(range(16)), span_id=bytes(range(8)), name="good", **times)
    spans.add(name="bad", **times)
    headers = {"content-type": "application/x-protobuf"}
    answer = httpx2.post(url(server, "/v1/traces"), content=request.SerializeToString(), headers=headers)
    found = ExportTraceServiceResponse.FromString(answer.content)
    assert (answer.status_code, found.partial_success.rejected_spans) == (200, 1)
    assert "bad" in found.partial_success.error_message


def test_a_rebound_name_is_refused_on_the_wire(server: Server) -> None:
    """A page that points its own name at 127.0.0.1 is refused by the live server; HTTP/1.0 without a Host too."""
    assert httpx2.get(url(server, "/readyz"), headers={"host": "evil.example"}).status_code == 403
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert b" 403 " in raw.recv(4096)


def test_an_expired_hold_is_recorded_by_the_running_server(server: Server, store: tuple[Warehouse, Ledger]) -> None:
    """The server writes the end of a hold whose time is over, without being asked."""
    ledger, now = store[1], now_us()
    declare(ledger, Lever(id="x", kind="boolean", default=False, safe=True), now, "ann")
    hold(ledger, "x", why="w", by="ann", until_us=now + 300_000, now_us=now)
    eventually(lambda: ledger.all(Pull)[0].released_why == "its time is over")


def test_a_failing_background_is_told(store: tuple[Warehouse, Ledger], caplog: pytest.LogCaptureFixture) -> None:
    """A loop that fails makes /readyz a 503 that names it, is logged with its traceback once, and recovers by itself."""

    class Loop:
        broken = True
        turns = 0

        def turn(self, *_: object) -> None:
            self.turns += 1
            if self.broken:
                raise ZeroDivisionError("secret")

        def capture_due(self, _: int) -> None:
            """Nothing failed."""

    loop = Loop()
    with caplog.at_level(logging.ERROR, "andon"), create_server(*store, loop, tick_s=0.02).running() as server:
        eventually(lambda: loop.turns > 5)
        answer = httpx2.get(url(server, "/readyz"))
        assert answer.status_code == 503
        [problem] = answer.json()["problems"]
        assert problem.startswith("loop: failed")
        assert "ZeroDivisionError" in problem
        assert "secret" not in problem
        assert httpx2.get(url(server, "/healthz")).status_code == 200
        loop.broken = False
        eventually(lambda: httpx2.get(url(server, "/readyz")).status_code == 200)
        assert next(w for w in server.work if w.name == "loop").failures > 4
    records = [r for r in caplog.records if "loop failed" in r.getMessage()]
    assert len(records) == 1
    assert records[0].exc_info is not None


def test_an_embedded_server_acts_on_levers(tmp_path: Path) -> None:
    """With a loop it does whole turns in its own process: a budget that is spent holds its lever, and harm is taken out."""
    toml = tmp_path / "andon.toml"
    toml.write_text(
        '[[pull]]\nname = "budget"\nlever = "routing"\nby = "jo"\nfor = "1h"\nmetric = "cost_usd"\ntotal = 1\nwithin = "24h"\n'
    )
    env = {"ANDON_HOME": str(tmp_path / "home"), "ANDON_CONFIG": str(toml), "ANDON_EMBEDDER": "hashed"}
    loop, now = open_loop(load(env)), now_us()
    declare(loop.ledger, Lever(id="routing", kind="string", default="large", safe="small", app="shop"), now, "ann")
    prompt = Lever(id="prompt", kind="string", default="old", safe="none", app="shop")
    declare(loop.ledger, prompt, now, "ann")
    new = add_version(loop.ledger, "prompt", "new", why="try", by="ann", now_us=now)
    approve_version(loop.ledger, "prompt", new.digest, why="read", by="bob", now_us=now)
    plan = Experiment(
        id="EXP-0001", kind="canary", app="shop", lever="prompt", control=None, treatment=new.digest, share=0.5,
        hypothesis="no harm", metric="error", better="down", effect=0.01, base=0.1, planned=(10, 10), days=1.0,
        by="ann", at_us=now,
    )  # fmt: skip
    loop.ledger.put(plan, now_us=now, by="ann")
    start_split(loop.ledger, plan, why="try", by="ann", now_us=now)
    arms = [Arm(name=name, n=9, events=9) for name in ("control", "treatment")]
    harm = Decision(
        id="EXP-0001@0001", at_us=now, app="shop", metric="error", outcome="roll back", reason="harm",
        experiment="EXP-0001", look=1, control=arms[0], treatment=arms[1],
    )  # fmt: skip
    loop.ledger.put(harm, now_us=now, by="rollouts")
    served = create_server(loop.warehouse, loop.ledger, loop, tick_s=0.05, intake=loop.intake)
    with served.running() as server:
        sent = {"id": "i1", "app": "shop", "query": "q", "answer": "a", "cost_usd": 2.0, "time": now / 1e6}
        assert httpx2.post(url(server, "/v1/interactions"), json=sent).json()["accepted"] == 1
        eventually(lambda: [p.rule for p in loop.ledger.all(Pull)] == ["budget"])
        eventually(lambda: loop.ledger.all(Allocation)[0].ended_us is not None)
        assert next(w for w in server.work if w.name == "loop").failures == 0


def test_a_stuck_background_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run that takes longer than it may is a problem while it lasts, and none afterwards."""
    monkeypatch.setattr("andon.server.background.STUCK_S", 0.05)
    gate = threading.Event()
    work = Repeated("slow", gate.wait, 0.01)
    assert work.problem() is None
    work.start()
    eventually(lambda: work.problem() is not None)
    assert "slow: one run takes" in str(work.problem())
    gate.set()
    eventually(lambda: work.problem() is None)
    work.stop()


def test_a_server_that_cannot_read_levers_does_not_start(
    store: tuple[Warehouse, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than serve no holds, a server whose ledger fails does not start."""

    def fail(*_: object) -> None:
        raise StoreError("gone", retryable=True)

    monkeypatch.setattr(store[1], "all", fail)
    with pytest.raises(StoreError):
        create_server(*store, None)
    store[0].close()
    store[1].close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "andon.example"])
def test_an_open_host_needs_a_token(tmp_path: Path, host: str) -> None:
    """A host that others can reach is refused at start without a token, with the fix, before anything is created."""
    with pytest.raises(ConfigError, match="set ANDON_TOKEN"):
        serve(Settings(home=tmp_path / "andon", host=host))
    assert not (tmp_path / "andon").exists()


def test_a_taken_port_is_refused() -> None:
    """A port on which something else listens is refused with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SeamError, match="another ANDON_PORT"):
        listen("127.0.0.1", taken.getsockname()[1], "")


def test_with_a_token_any_host_is_allowed() -> None:
    """With a token the server may listen for others."""
    bound = listen("0.0.0.0", 0, "token")
    assert bound.getsockname()[1] > 0
    bound.close()


def test_reading_a_lever_waits_for_nobody(server: Server, store: tuple[Warehouse, Ledger]) -> None:
    """While ingest hangs on a full disk, a lever is still read at once."""
    gate, append = threading.Event(), store[0].append
    store[0].append = lambda *a: gate.wait(10) and append(*a)  # type: ignore[method-assign,assignment,return-value]
    declare(store[1], Lever(id="x", kind="boolean", default=False, safe=True), now_us(), "ann")
    server.board.refresh()
    body = b'{"id": "i1", "time": 1790000000}'
    stuck = [
        threading.Thread(
            target=httpx2.post,
            args=(url(server, "/v1/interactions"),),
            kwargs={"content": body, "headers": LINES, "timeout": 20},
        )
        for _ in range(8)
    ]
    for thread in stuck:
        thread.start()
    time.sleep(0.2)
    begun = time.monotonic()
    assert httpx2.post(url(server, "/ofrep/v1/evaluate/flags/x"), json={}).json()["value"] is False
    assert time.monotonic() - begun < 1
    gate.set()
    for thread in stuck:
        thread.join()


@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_cleanly(tmp_path: Path, signal_name: str) -> None:
    """The real `serve`, loop and all, ends on SIGTERM and SIGINT with status 0, after committing what it had acknowledged."""
    import signal
    import subprocess
    import sys

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = (
        "from pathlib import Path; from andon.server import serve; from andon.settings import Settings\n"
        f"serve(Settings(home=Path({str(tmp_path)!r}), port={port}, embedder='hashed'))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) as process:
        address = f"http://127.0.0.1:{port}"

        def up() -> bool:
            try:
                return httpx2.get(f"{address}/readyz").status_code == 200
            except httpx2.HTTPError:
                return False

        try:
            eventually(up, 30)
        except BaseException:
            process.kill()  # else its end would be waited for
            raise
        body = b'{"id": "i1", "time": 1790000000}'
        assert httpx2.post(f"{address}/v1/interactions", content=body, headers=LINES).json()["accepted"] == 1
        process.send_signal(getattr(signal, signal_name))
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    (line,) = errors.decode().splitlines()
    assert line.endswith(NOBODY)
    again = Warehouse(tmp_path, {**SCHEMAS, "scores": score_schema(SCORERS)})
    assert rows(again, "interactions") == 1
    again.close()
