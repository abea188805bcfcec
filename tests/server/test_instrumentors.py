"""Laws of the wire with real senders: SDK exporter, instrumentors, and the retries of exporters and collectors."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from andon.server import Server, create_server, now_us
from andon.store import Ledger, Slice, Warehouse
from andon.traffic import SCHEMAS, Interaction
from andon.traffic.run import assemble_traces, read_new

SENDER = Path(__file__).with_name("sender_process.py")
FLAVOURS = {
    "openinference": ("openai", "openinference-instrumentation-openai"),
    "openllmetry": ("openai", "opentelemetry-instrumentation-openai"),
}
PROTOBUF = {"content-type": "application/x-protobuf"}
HOUR_US = 3_600_000_000


@pytest.fixture
def store(tmp_path: Path) -> tuple[Warehouse, Ledger]:
    """A real warehouse and ledger; the server closes them."""
    return Warehouse(tmp_path / "warehouse", SCHEMAS), Ledger.open(tmp_path / "ledger.sqlite")


@pytest.fixture
def server(store: tuple[Warehouse, Ledger]) -> Iterator[Server]:
    """A live server without a token and without a loop: the tests assemble traces themselves."""
    with create_server(*store, None).running() as server:
        yield server


def traces_url(server: Server) -> str:
    """Where exporters send to."""
    return f"http://127.0.0.1:{server.port}/v1/traces"


def need(*packages: str) -> None:
    """Skip, and say what is missing, where a package is not installed."""
    for package in packages:
        try:
            version(package)
        except PackageNotFoundError:
            pytest.skip(f"{package} is not installed, so this real sender is NOT tested: pip install {package}")


def stored_spans(warehouse: Warehouse) -> Counter[str]:
    """How often each span is in the table, by its id."""
    warehouse.commit()
    return Counter(warehouse.run(Slice(table="spans", columns=("span_id",)))["span_id"].to_pylist())


def assembled(store: tuple[Warehouse, Ledger]) -> list[Interaction]:
    """All interactions, after every trace has settled."""
    warehouse, ledger = store
    assemble_traces(warehouse, ledger, now_us=now_us() + HOUR_US, settle_us=1)
    return read_new(warehouse, 0, 1_000)[0]


def finished_spans(count: int) -> list[ReadableSpan]:
    """Spans of the real SDK, two in each trace."""
    kept, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("bot")
    for k in range(count // 2):
        with (
            tracer.start_as_current_span("answer", attributes={"input.value": f"question {k}", "output.value": "yes"}),
            tracer.start_as_current_span("chat", attributes={"gen_ai.request.model": "small"}),
        ):
            pass
    return list(kept.get_finished_spans())


def sent_by(flavour: str, url: str) -> dict[str, dict[str, Any]]:
    """Run the application; what its caller saw, by call."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "TRACELOOP_", "OPENAI_"))}
    command = [sys.executable, str(SENDER), flavour, url]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {line["call"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_call_of_the_openai_sdk_is_one_interaction(
    flavour: str, server: Server, store: tuple[Warehouse, Ledger]
) -> None:
    """What the caller saw of each call is what Andon has of it: one interaction, same question, answer, model, tokens, tools."""
    need(*FLAVOURS[flavour])
    calls = sent_by(flavour, traces_url(server))
    interactions = assembled(store)
    found = {i.query: i for i in interactions}
    assert sorted(i.query or "" for i in interactions) == sorted(call["query"] for call in calls.values())
    assert {i.app for i in interactions} == {"shop"}
    for name in ("chat", "tool", "told", "stream", "response"):
        call, ours = calls[name], found[calls[name]["query"]]
        asked_for = [[t.name, json.loads(t.arguments or "null")] for t in ours.tool_calls]
        assert (ours.answer, ours.model, ours.error) == (call["answer"], call["model"], None), name
        assert (ours.input_tokens, ours.output_tokens) == (call["input_tokens"], call["output_tokens"]), name
        assert asked_for == call["tool_calls"], name
        assert ours.requested_model == "small", name
    assert found[calls["stream"]["query"]].first_token_s is not None
    assert found[calls["embedding"]["query"]].embedding_model == calls["embedding"]["model"]
    failed = found[calls["failed"]["query"]]
    assert (failed.error, failed.answer) == (calls["failed"]["error"], None)


@contextmanager
def losing_acknowledgements(target: str, how: str) -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that forwards every post and loses the first answer: it says 503 instead, or cuts the connection."""
    posts: list[bytes] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            kept = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "content-encoding")}
            answer = httpx2.post(target, content=content, headers=kept)
            posts.append(content)
            if len(posts) == 1 and how == "cut":
                self.close_connection = True
                return
            self.send_response(503 if len(posts) == 1 else answer.status_code)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}/v1/traces", posts
        finally:
            proxy.shutdown()
            thread.join()


@pytest.mark.parametrize("how", ["503", "cut"])
def test_a_lost_acknowledgement_costs_nothing(how: str, server: Server, store: tuple[Warehouse, Ledger]) -> None:
    """When the answer to a stored batch gets lost, the real exporter sends the batch again, and every span is there once."""
    with losing_acknowledgements(traces_url(server), how) as (url, posts):
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        tracer = provider.get_tracer("bot")
        sent = []
        for k in range(20):
            with tracer.start_as_current_span("chat", attributes={"input.value": f"question {k}"}) as span:
                sent.append(format(span.get_span_context().span_id, "016x"))
        provider.shutdown()
    assert posts[0] == posts[1], "the exporter did not send the same batch again"
    assert stored_spans(store[0]) == Counter(sent)
    assert sorted(i.query or "" for i in assembled(store)) == sorted(f"question {k}" for k in range(20))


def test_a_batch_that_a_collector_sends_again_is_there_once(server: Server, store: tuple[Warehouse, Ledger]) -> None:
    """A batch posted twice at once, again after a commit, and again in other batches, is each span once, each trace once."""
    spans = finished_spans(40)
    whole, halves = encode_spans(spans), (encode_spans(spans[:25]), encode_spans(spans[15:]))
    post = partial(httpx2.post, traces_url(server), headers=PROTOBUF)
    answers = _at_once([lambda: post(content=whole.SerializeToString())] * 2)
    assert len(assembled(store)) == 20
    answers += [post(content=whole.SerializeToString())]
    answers += [post(content=half.SerializeToString()) for half in halves]
    assert [answer.status_code for answer in answers] == [200] * 5
    wanted = Counter(format(span.context.span_id, "016x") for span in spans if span.context)
    assert stored_spans(store[0]) == wanted
    assert Counter(i.query for i in assembled(store)) == Counter(f"question {k}" for k in range(20))


def _at_once(work: list[Callable[[], Any]]) -> list[Any]:
    done: list[Any] = []
    threads = [threading.Thread(target=lambda step=step: done.append(step())) for step in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done
