"""Laws of Andon's own traces: nothing unless asked for, what a turn takes, and nothing that came from outside."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pytest
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from running import answers, eventually, free_port, serving
from starlette.responses import Response
from starlette.testclient import TestClient

from andon.loop import Loop, open_loop
from andon.server.tracing import LOOP, SERVER, Traces, exporters_of, ourselves, start_traces
from andon.settings import Settings, load
from andon.store import Warehouse

OTLP, GRPC = ("otlp_proto_http",), ("otlp_proto_grpc",)
AT, OF_TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
TABLES = {"t": pa.schema([("id", pa.string()), ("time_us", pa.int64())])}


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """Keeps what is traced."""
    return InMemorySpanExporter()


@pytest.fixture
def traces(spans: InMemorySpanExporter) -> Iterator[Traces]:
    """Traces that are kept in memory."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    yield Traces(provider)
    provider.shutdown()


@pytest.fixture(autouse=True)
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks for traces unless a test does."""
    for name in [n for n in os.environ if n.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def said(span: ReadableSpan) -> str:
    """Everything that a span says."""
    return f"{span.name} {dict(span.attributes or {})} {span.events} {span.status.description}"


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, ()),
        ({"OTEL_SERVICE_NAME": "x"}, ()),
        ({AT: "http://c:4318"}, OTLP),
        ({OF_TRACES: "http://c:4318/v1/traces"}, OTLP),
        ({AT: " "}, ()),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, OTLP),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ("console", *OTLP)),
        ({"OTEL_TRACES_EXPORTER": "none", AT: "http://c:4318"}, ()),
        ({"OTEL_SDK_DISABLED": "TRUE", AT: "http://c:4318"}, ()),
        ({AT: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, GRPC),
        ({AT: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, OTLP),
    ],
)  # fmt: skip
def test_traces_are_asked_for_by_the_standard_variables(environ: dict[str, str], names: tuple[str, ...]) -> None:
    """Only the variables that OpenTelemetry has for it turn traces on, choose their exporter, and turn them off again."""
    assert exporters_of(environ) == names


@pytest.mark.parametrize(
    ("at", "own"),
    [
        ("http://localhost:4318", True),
        ("http://127.0.0.1:4318/v1/traces", True),
        ("[::1]:4317", True),
        ("http://ANDON.internal:4318", True),
        ("http://localhost:4319", False),
        ("http://collector:4318", False),
        ("http://localhost", False),
        ("http://localhost:port", False),
    ],
)
def test_ourselves_are_recognised(at: str, own: bool) -> None:
    """An address is this Andon's where host and port are those that it listens on, or its port on this machine."""
    assert ourselves(at, Settings(host="andon.internal", port=4318, grpc_port=4317)) is own


def test_unasked_nothing_is_loaded() -> None:
    """Without the variables the SDK is not even imported, though it is installed."""
    script = (
        "import sys; from andon.server import serve; from andon.server.tracing import start_traces\n"
        "from andon.settings import Settings; assert start_traces(Settings(), 'server') is None\n"
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318 is this Andon"),
        ({AT: "http://127.0.0.1:4318"}, "http://127.0.0.1:4318 is this Andon"),
        ({"OTEL_TRACES_EXPORTER": "nonsense"}, "asks for nonsense, which is not installed"),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "refused to begin"),
    ],
)
def test_what_cannot_be_sent_is_told_once(
    environ: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Andon does not export to itself, nor end because of a variable: traces are off, and one of its two processes says why."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert start_traces(Settings(), SERVER) is None
    assert start_traces(Settings(), LOOP) is None
    [record] = [r for r in caplog.records if r.levelname == "WARNING" and r.name == "andon"]
    assert told in record.getMessage()


def test_without_the_sdk_there_are_no_traces(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where the SDK is asked for and not installed, Andon runs without traces and says what to install."""
    monkeypatch.setenv(AT, "http://collector:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    assert start_traces(Settings(), SERVER) is None
    assert "pip install 'andon[otel]'" in caplog.text


def test_a_turn_is_traced_with_its_parts(traces: Traces, spans: InMemorySpanExporter, tmp_path: Path) -> None:
    """A turn is one trace: what it did lies below it, in its order."""
    loop = _loop(tmp_path)
    traces.watch(loop.warehouse, loop)
    loop.turn((), lambda: 1_790_000_000_000_000)
    done = spans.get_finished_spans()
    names = {s.context.span_id: s.name for s in done if s.context}
    tree = [(s.name, names.get(s.parent.span_id) if s.parent else None) for s in done]
    assert tree == [
        ("assemble", "read"),
        ("score", "read"),
        ("read", "tick"),
        ("watch", "tick"),
        ("tick", "turn"),
        ("act", "turn"),
        ("tell", "turn"),
        ("follow", "turn"),
        ("turn", None),
    ]
    loop.close()


def _loop(folder: Path) -> Loop:
    return open_loop(load({"ANDON_HOME": str(folder / "home"), "ANDON_EMBEDDER": "hashed"}))


def test_a_failure_says_no_more_than_its_class(
    traces: Traces, spans: InMemorySpanExporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an error says may quote traffic: a span that failed names its class, and nothing of its text or its stack."""

    class LeakError(Exception):
        pass

    def fail(*_: object) -> None:
        raise LeakError("ann@example.com asked for something")

    loop = _loop(tmp_path)
    monkeypatch.setattr(loop, "act", fail)
    monkeypatch.setattr(loop.warehouse, "tidy", fail)
    traces.watch(loop.warehouse, loop)
    for work in (lambda: loop.turn((), lambda: 1_790_000_000_000_000), loop.warehouse.tidy):
        with pytest.raises(LeakError):
            work()
    failed = {s.name: s for s in spans.get_finished_spans() if s.status.status_code is StatusCode.ERROR}
    assert set(failed) == {"act", "turn", "compaction"}
    assert all(s.attributes == {"error.type": "LeakError"} for s in failed.values())
    assert not any("ann" in said(s) or s.events for s in spans.get_finished_spans())
    loop.close()


def test_a_commit_that_moved_nothing_makes_no_span(traces: Traces, spans: InMemorySpanExporter, tmp_path: Path) -> None:
    """Of the commits, twice a second, those are traced that moved rows: how long they took and how many rows, not which."""
    warehouse = Warehouse(tmp_path, TABLES)
    traces.watch(warehouse)
    warehouse.commit()
    warehouse.tidy()
    assert spans.get_finished_spans() == ()
    warehouse.append("t", pa.table({"id": ["ann", "ann"], "time_us": [1_790_000_000_000_000] * 2}))
    before_ns = time.time_ns()
    assert warehouse.commit().added == {"t": 1}
    [span] = spans.get_finished_spans()
    assert span.name == "commit"
    assert before_ns <= (span.start_time or 0) < (span.end_time or 0) <= time.time_ns()
    assert span.attributes == {"andon.rows.added": 1, "andon.rows.replaced": 0, "andon.rows.duplicates": 1}
    warehouse.close()


def _app() -> FastAPI:
    app = FastAPI()

    async def answer(name: str) -> Response:
        if name == "broken":
            raise ZeroDivisionError("ann")
        return Response(status_code=204)

    def nothing() -> Response:
        return Response()

    app.add_api_route("/users/{name}", answer, methods=["GET", "VERB"])
    for path in ("/v1/traces", "/readyz"):
        app.add_api_route(path, nothing, methods=["GET"])
    return app


def test_a_request_is_traced_by_its_template(traces: Traces, spans: InMemorySpanExporter) -> None:
    """A request makes a root span with method, template and status; what its path, query, headers and method say is nowhere."""
    app = _app()
    traces.add_to(app)
    client = TestClient(app, raise_server_exceptions=False)
    headers = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-00", "baggage": "user=ann", "user-agent": "ann"}
    client.get("/users/ann?q=ann", headers=headers)
    client.request("VERB", "/users/ann")
    client.get("/ann")
    client.get("/users/broken")
    one, verb, lost, broken = spans.get_finished_spans()
    assert one.attributes == {
        "http.request.method": "GET",
        "http.route": "/users/{name}",
        "http.response.status_code": 204,
    }
    assert (one.name, one.kind, one.parent) == ("GET /users/{name}", SpanKind.SERVER, None)
    assert verb.name == "_OTHER /users/{name}"
    assert (lost.name, (lost.attributes or {})["http.response.status_code"]) == ("GET (none)", 404)
    assert broken.status.status_code is StatusCode.ERROR
    assert not any("ann" in said(s) for s in spans.get_finished_spans())


def test_telemetry_and_probes_make_no_spans(traces: Traces, spans: InMemorySpanExporter) -> None:
    """What is asked of OTLP's routes is never traced, or spans about spans would never end; nor are probes."""
    app = _app()
    traces.add_to(app)
    client = TestClient(app)
    for path in ("/v1/traces", "/v1/traces/", "/v1/logs", "/v1/metrics", "/readyz", "/healthz", "/metrics"):
        client.get(path, follow_redirects=False)
    assert spans.get_finished_spans() == ()


def test_the_end_waits_for_no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that does not answer holds up the end of a process for a moment, not for as long as it pleases."""
    monkeypatch.setattr("andon.server.tracing.END_S", 0.2)
    gate = threading.Event()
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(provider, "shutdown", lambda: gate.wait(20))
    began = time.monotonic()
    Traces(provider).end()
    assert 0.1 < time.monotonic() - began < 2
    gate.set()


@contextmanager
def collector() -> Iterator[tuple[int, list[bytes]]]:
    """A collector: its port, and the bodies that came."""
    bodies: list[bytes] = []

    class Taken(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Taken) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1], bodies
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow(20)
def test_both_processes_send_their_spans(tmp_path: Path) -> None:
    """A real service sends the spans of its requests and of its turns to the collector, under one name, and no word of traffic."""
    port = free_port()
    with collector() as (at, bodies):
        asked = {AT: f"http://127.0.0.1:{at}", "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with serving(tmp_path / "home", port, asked) as process:
            row = {
                "id": "marker-1",
                "app": "marker-2",
                "time": time.time() - 900,
                "query": "marker-3",
                "answer": "marker-4",
            }
            url = f"http://127.0.0.1:{port}"
            assert httpx2.post(f"{url}/v1/interactions?marker-5", json=row).status_code == 200
            httpx2.get(f"{url}/incidents/marker-6")
            eventually(lambda: {"turn", "commit", "POST /v1/interactions"} <= set(names_in(bodies)), 60)
            assert answers(port, "/readyz")
            process.terminate()
            assert process.wait(30) == 0
    services = {r: dict(attributes) for r, attributes in resources_in(bodies).items()}
    assert set(services) == {SERVER, LOOP}
    assert {a["service.name"] for a in services.values()} == {"andon"}
    assert names_in(bodies)["turn"] == LOOP
    assert names_in(bodies)["POST /v1/interactions"] == SERVER
    assert not any(name.endswith(("/v1/traces", "/readyz", "/healthz")) for name in names_in(bodies))
    assert b"marker" not in b"".join(bodies)


def resources_in(bodies: list[bytes]) -> dict[str, tuple[tuple[str, str], ...]]:
    """What each process says of itself."""
    found = {}
    for body in list(bodies):
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            said_ = {a.key: a.value.string_value for a in part.resource.attributes}
            found[said_["andon.process"]] = tuple(said_.items())
    return found


def names_in(bodies: list[bytes]) -> dict[str, str]:
    """Names of the spans that came, and whose they were."""
    found = {}
    for body in list(bodies):
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            [process] = [a.value.string_value for a in part.resource.attributes if a.key == "andon.process"]
            found |= {span.name: process for scope in part.scope_spans for span in scope.spans}
    return found
