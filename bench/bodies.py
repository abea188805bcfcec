"""Requests of an exporter: model calls with their messages, retrievals, tools, and the many short attributes around them.

They are serialised once, with a placeholder where ids go, so that a new request costs a copy: a sender that shares the
machine with the server must not spend the time that it measures. Every span id holds the number of its request, so that
whoever reads the ids back from a store knows which requests are there in full.
"""

import json
import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["SPANS", "Template", "body", "body_of", "templates"]

SPANS, ATTRIBUTES, DEPTH = 500, 25, 5
TEMPLATES = 16
PLACE = b"<BODY>"
"""Where the six hexadecimal digits go that are different in each body: two of the run, four of the body."""

COMMON = list(accumulate(1 / (rank + 10) for rank in range(4_000)))
"""How often each word comes: as in real text, few words make up most of it."""

NAMES = ("invoke_agent shop", "retrieve docs", "chat small-2", "execute_tool find_order", "chat small-2")

EXTRAS = (
    "request.id", "app.tenant", "app.region", "app.release_ring", "user.plan", "cart.items", "cart.value", "session.age_s",
    "flag.new_ranker", "flag.short_answers", "cache.hit", "cache.key", "queue.wait_ms", "retry.count", "host.name",
    "k8s.pod.name", "k8s.namespace.name", "thread.id", "locale", "device.kind", "build.commit", "policy.version", "risk.tier",
)  # fmt: skip

RESOURCE = (("service.name", "shop-assistant"), ("service.version", "2.14.0"), ("telemetry.sdk.language", "python"))
WIRE = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}

Template = list[bytes]
"""A serialised request, cut where the digits of the body go."""


def templates(now_ns: int, count: int = TEMPLATES) -> list[Template]:
    """Serialised requests, cut where the ids go; the same texts each time, with times just before `now_ns`."""
    rng = random.Random(0)
    letters = "aabcdeeefghiiklmnnoooprrssttuuvwyz"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(4_000)]
    return [_template(rng, words, now_ns).split(PLACE) for _ in range(count)]


def body(template: Template, run: int, number: int) -> bytes:
    """The request with the ids of body `number` (up to 65,535) of a run (up to 255): no other body has them."""
    return f"{run:02x}{number:04x}".encode().join(template)


def body_of(span_id: str) -> tuple[int, int]:
    """The run and the number of the body in which a span was sent, by its id in hexadecimal."""
    digits = bytes.fromhex(span_id)
    return int(digits[:2], 16), int(digits[2:6], 16)


def _template(rng: random.Random, words: Sequence[str], now_ns: int) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for key, value in RESOURCE:
        resource.resource.attributes.add(key=key).value.string_value = value
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "shop.assistant", "2.14.0"
    for k in range(SPANS):
        place = k % DEPTH
        start_ns = now_ns - 3_000_000_000 + (k // DEPTH) * 10_000_000 + place * 150_000_000
        span = scope.spans.add(name=NAMES[place], kind=1 if place in (0, 3) else 3)
        span.trace_id = PLACE + (k // DEPTH + 1).to_bytes(10, "big")
        span.span_id = PLACE + (k + 1).to_bytes(2, "big")
        if place:
            span.parent_span_id = PLACE + (k - place + 1).to_bytes(2, "big")
        span.start_time_unix_nano = start_ns
        span.end_time_unix_nano = start_ns + (900_000_000 if place == 0 else 120_000_000)
        for key, value in _attributes(place, rng, words):
            setattr(span.attributes.add(key=key).value, WIRE[type(value)], value)
    return bytes(request.SerializeToString())


def _attributes(place: int, rng: random.Random, words: Sequence[str]) -> list[tuple[str, Any]]:
    """The attributes of one span: an agent that retrieves, asks a model, runs a tool and asks again."""

    def text(length: int) -> str:
        return " ".join(rng.choices(words, cum_weights=COMMON, k=length // 6))

    def messages(*parts: tuple[str, int]) -> str:
        return json.dumps([{"role": r, "parts": [{"type": "text", "content": text(n)}]} for r, n in parts])

    if place == 0:
        own: list[tuple[str, Any]] = [
            ("gen_ai.operation.name", "invoke_agent"),
            ("gen_ai.agent.name", "shop"),
            ("gen_ai.conversation.id", f"c{rng.randrange(10**9):09d}"),
            ("input.value", text(120)),
            ("output.value", text(350)),
        ]
    elif place == 1:
        own = [("gen_ai.operation.name", "retrieval"), ("openinference.span.kind", "RETRIEVER")]
        for k in range(3):
            name = f"retrieval.documents.{k}.document"
            own += [(f"{name}.id", f"doc-{rng.randrange(10**5)}"), (f"{name}.content", text(210))]
            own += [(f"{name}.score", rng.random())]
    elif place == 3:
        own = [
            ("gen_ai.operation.name", "execute_tool"),
            ("gen_ai.tool.name", "find_order"),
            ("gen_ai.tool.call.arguments", json.dumps({"order": rng.randrange(10**8)})),
            ("gen_ai.tool.call.result", json.dumps({"status": rng.choice(words), "items": text(120)})),
        ]
    else:
        own = [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "small-2"),
            ("gen_ai.response.model", "small-2-2026-05-01"),
            ("gen_ai.response.id", f"chatcmpl-{PLACE.decode()}{rng.randrange(16**4):04x}"),
            ("gen_ai.request.temperature", 0.2),
            ("gen_ai.usage.input_tokens", rng.randrange(200, 4_000)),
            ("gen_ai.usage.output_tokens", rng.randrange(20, 600)),
            ("gen_ai.input.messages", messages(("system", 240), ("user", 120), ("user", 330))),
            ("gen_ai.output.messages", messages(("assistant", 300 if place == 4 else 60))),
        ]
    return own + [_extra(name, rng, words) for name in EXTRAS[: ATTRIBUTES - len(own)]]


def _extra(name: str, rng: random.Random, words: Sequence[str]) -> tuple[str, Any]:
    """One of the many short attributes that real spans carry."""
    if name == "request.id":
        return name, f"{PLACE.decode()}-{rng.randrange(16**12):012x}"
    kind = name.rpartition(".")[2]
    if kind in ("items", "age_s", "wait_ms", "count", "id"):
        return name, rng.randrange(1, 5_000)
    if kind in ("new_ranker", "short_answers", "hit"):
        return name, rng.random() < 0.5
    if kind == "value":
        return name, round(rng.uniform(1, 500), 2)
    return name, f"{rng.choice(words)}-{rng.randrange(1_000)}"
