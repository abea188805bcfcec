"""Rows in: durable and visible, against the least that any such program must do."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from andon.store import Rollup, Warehouse
from andon.traffic import SCHEMAS
from andon.traffic.run import import_files, receive_spans
from bench.figures import best_s, figure, note, scratch

__all__ = ["run"]

ROWS = 60_000
BODIES, SPANS, ATTRIBUTES = 40, 500, 25
START_US = 1_760_000_000_000_000


def run() -> None:
    """Both ways in."""
    with scratch() as folder:
        _files(folder)
    with scratch() as folder:
        _otlp(folder)


def _files(folder: Path) -> None:
    path = folder / "traffic.jsonl"
    _write_traffic(path)
    note(f"{ROWS:,} rows, {path.stat().st_size / ROWS:,.0f} bytes each")
    ours = best_s(_fresh(folder, lambda store: import_files(store, [path])))
    floor = best_s(lambda: _parse_and_append(path, folder / "floor.bin"))
    figure("ingest.jsonl.durable_rows_per_s", ROWS / ours, "1/s", "orjson parse + fsynced append", ROWS / floor)


def _otlp(folder: Path) -> None:
    bodies = [_body(number) for number in range(BODIES)]
    count = BODIES * SPANS
    note(f"{BODIES} bodies of {SPANS} spans with {ATTRIBUTES} attributes, {len(bodies[0]) / 1024:,.0f} KB each")
    durable, visible = [], []
    for k in range(3):
        store = Warehouse(folder / f"otlp{k}", SCHEMAS)
        begun = time.perf_counter()
        for body in bodies:
            receive_spans(store, body)
        acknowledged = time.perf_counter()
        store.commit()
        rows = store.run(Rollup(table="spans", metrics=("time_us",)))["rows"][0].as_py()
        done = time.perf_counter()
        store.close()
        if rows != count:
            raise SystemExit(f"{rows} of {count} spans are visible")
        durable.append(acknowledged - begun)
        visible.append((done - begun, done - acknowledged))
    floor = best_s(lambda: [ExportTraceServiceRequest.FromString(body) for body in bodies])
    against = "bare protobuf parse"
    figure("ingest.otlp.durable_spans_per_s", count / min(durable), "1/s", against, count / floor)
    figure("ingest.otlp.visible_spans_per_s", count / min(visible)[0], "1/s", against, count / floor)
    figure("ingest.otlp.last_ack_to_visible_s", min(v for _, v in visible), "s")


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


def _body(number: int) -> bytes:
    """One request of an exporter: traces of five spans, the attributes of a model call on each."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "bench"
    scope = resource.scope_spans.add()
    for k in range(SPANS):
        identity = number * SPANS + k
        span = scope.spans.add(name="chat", kind=3)
        span.trace_id = (identity // 5 + 1).to_bytes(16, "big")
        span.span_id = (identity + 1).to_bytes(8, "big")
        if k % 5:
            span.parent_span_id = (identity - k % 5 + 1).to_bytes(8, "big")
        span.start_time_unix_nano = (START_US + identity * 2_000) * 1_000
        span.end_time_unix_nano = span.start_time_unix_nano + 1_200_000_000
        span.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
        span.attributes.add(key="gen_ai.response.model").value.string_value = "model-1"
        span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 80
        span.attributes.add(key="input.value").value.string_value = f"question {identity} " + "about the bill " * 8
        span.attributes.add(key="output.value").value.string_value = f"answer {identity} " + "of some length " * 20
        for extra in range(ATTRIBUTES - 5):
            span.attributes.add(key=f"app.attribute.{extra}").value.string_value = f"value {identity % 97} of {extra}"
    return bytes(request.SerializeToString())
