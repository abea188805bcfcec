"""OTLP over gRPC, with a real channel."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import body_of, free_port, numbers_in

grpc = pytest.importorskip("grpc", reason="NOT TESTED: OTLP over gRPC (the extra andon[grpc] is not installed)")

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub  # noqa: E402
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest  # noqa: E402
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub  # noqa: E402

from andon.api.grpc import open_grpc  # noqa: E402
from andon.errors import InputError, SeamError, StoreError  # noqa: E402
from andon.settings import Settings  # noqa: E402
from andon.store import Warehouse  # noqa: E402
from andon.traffic import SCHEMAS  # noqa: E402
from andon.traffic.run import Intake  # noqa: E402


class Doubles:
    """Stands in for what stores."""

    fails: Exception | None = None
    problems: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.received: list[tuple[str, str]] = []

    def receive(self, signal: str, body: bytes, form: str) -> tuple[int, tuple[str, ...]]:
        if self.fails is not None:
            raise self.fails
        self.received.append((signal, form))
        return 1, self.problems


@pytest.fixture
def doubles() -> Doubles:
    """What is called."""
    return Doubles()


@pytest.fixture
def channel(doubles: Doubles) -> Iterator[Any]:
    """A channel to a server without a token."""
    port = free_port()
    server = open_grpc(Settings(grpc_port=port), doubles.receive)
    assert server is not None
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    server.stop(None)


def test_the_three_services_answer(channel: Any, doubles: Doubles) -> None:
    """Traces, logs and metrics are handed over as protobuf, and answered with their own empty response."""
    TraceServiceStub(channel).Export(ExportTraceServiceRequest())
    LogsServiceStub(channel).Export(ExportLogsServiceRequest())
    MetricsServiceStub(channel).Export(ExportMetricsServiceRequest())
    assert doubles.received == [("traces", "protobuf"), ("logs", "protobuf"), ("metrics", "protobuf")]


def test_what_was_not_kept_is_a_partial_success(channel: Any, doubles: Doubles) -> None:
    """Refused spans are counted and explained, over gRPC too."""
    doubles.problems = ("span x: no trace id",)
    answer = TraceServiceStub(channel).Export(ExportTraceServiceRequest())
    assert answer.partial_success.rejected_spans == 1
    assert "no trace id" in answer.partial_success.error_message


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("bad message"), "INVALID_ARGUMENT", "bad message"),
        (StoreError("/secret: disk full", retryable=True), "UNAVAILABLE", "again later"),
        (StoreError("/secret is broken"), "INTERNAL", "its log says why"),
    ],
)
def test_failures_have_the_codes_of_the_protocol(
    channel: Any, doubles: Doubles, error: Exception, code: str, said: str
) -> None:
    """A malformed request is never to be retried, a full disk is, and nothing internal leaves."""
    doubles.fails = error
    with pytest.raises(grpc.RpcError) as raised:
        TraceServiceStub(channel).Export(ExportTraceServiceRequest())
    assert raised.value.code().name == code
    assert said in raised.value.details()
    assert "secret" not in raised.value.details()


def test_a_token_is_asked_for(doubles: Doubles) -> None:
    """With a token set, a call without it is UNAUTHENTICATED, and one with it as a bearer is answered."""
    port = free_port()
    server = open_grpc(Settings(grpc_port=port, token="t0ken"), doubles.receive)
    assert server is not None
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        for metadata in ((), (("authorization", "Bearer wrong"),)):
            with pytest.raises(grpc.RpcError) as raised:
                TraceServiceStub(opened).Export(ExportTraceServiceRequest(), metadata=metadata)
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        TraceServiceStub(opened).Export(ExportTraceServiceRequest(), metadata=(("authorization", "Bearer t0ken"),))
    server.stop(None)
    assert len(doubles.received) == 1


@pytest.mark.parametrize("token", ["", "t0ken"])
def test_a_machines_token_needs_the_scope(doubles: Doubles, token: str) -> None:
    """A machine's token with the scope `ingest` is answered, one with another is PERMISSION_DENIED, an unknown one UNAUTHENTICATED."""
    known = {"good": frozenset({"ingest", "read"}), "other": frozenset({"levers"})}
    port = free_port()
    server = open_grpc(Settings(grpc_port=port, token=token), doubles.receive, known.get)
    assert server is not None
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        for sent, code in (("other", "PERMISSION_DENIED"), ("unknown", "UNAUTHENTICATED")):
            with pytest.raises(grpc.RpcError) as raised:
                TraceServiceStub(opened).Export(
                    ExportTraceServiceRequest(), metadata=(("authorization", f"Bearer {sent}"),)
                )
            assert raised.value.code().name == code
            assert "ingest" in raised.value.details()
        TraceServiceStub(opened).Export(ExportTraceServiceRequest(), metadata=(("authorization", "Bearer good"),))
    server.stop(None)
    assert len(doubles.received) == 1


def test_a_taken_port_is_an_error_unless_it_is_the_usual_one(
    doubles: Doubles, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that was chosen and is taken stops the start; where a collector sits on 4317 Andon starts, and says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SeamError, match="ANDON_GRPC_PORT"):
            open_grpc(Settings(grpc_port=port), doubles.receive)
        monkeypatch.setattr("andon.api.grpc._DEFAULT_PORT", port)
        assert open_grpc(Settings(grpc_port=port), doubles.receive) is None
    assert "over HTTP it works" in caplog.text
    assert open_grpc(Settings(grpc_port=0), doubles.receive) is None


def test_the_same_spans_over_grpc_and_http_are_there_once(tmp_path: Path) -> None:
    """A batch that comes over gRPC and again over HTTP is one batch."""
    store = Warehouse(tmp_path, SCHEMAS)
    intake = Intake(store)
    port = free_port()
    server = open_grpc(Settings(grpc_port=port), lambda signal, body, form: intake.traces(body, form))
    assert server is not None
    server.start()
    body = body_of(0, 30)
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=(("grpc.enable_http_proxy", 0),)) as opened:
        TraceServiceStub(opened).Export(ExportTraceServiceRequest.FromString(body))
    server.stop(None)
    intake.traces(body, "protobuf")
    store.close()
    assert sorted(numbers_in(tmp_path)) == list(range(30))
