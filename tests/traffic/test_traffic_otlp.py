"""OTLP bodies to spans, and spans to interactions."""

import json
import random
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode, set_span_in_context

from andon.errors import InputError
from andon.traffic import (
    READINGS,
    Context,
    Interaction,
    SpanRow,
    ToolCall,
    assemble,
    feedback_from_rows,
    feedback_to_rows,
    from_rows,
    spans_from_rows,
    spans_of,
    spans_to_rows,
    to_rows,
)
from andon.traffic.conventions.annotations import annotations_of
from andon.traffic.conventions.readings import KEPT, TOTALS

T0 = 1_790_000_000_000_000_000
MS = 1_000_000


class Recorder:
    """Spans made by the real SDK, with times that we choose."""

    def __init__(self, **resource):
        provider = TracerProvider(resource=Resource({"service.name": "shop", **resource}))
        self.exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("tests", "1.0")

    def span(self, name, parent, start_ms, end_ms, *, status=None, events=(), **attributes):
        context = None if parent is None else set_span_in_context(parent)
        span = self.tracer.start_span(
            name,
            context,
            start_time=T0 + start_ms * MS,
            attributes={k.replace("__", "."): v for k, v in attributes.items()},
        )
        for event, at_ms, values in events:
            span.add_event(event, values, T0 + at_ms * MS)
        if status is not None:
            span.set_status(status)
        return span, T0 + end_ms * MS

    def body(self, spans=None):
        return encode_spans(spans or self.exporter.get_finished_spans()).SerializeToString()


def end(*made):
    """End the spans and return the first."""
    for span, at in made:
        span.end(at)
    return made[0][0]


def agent_trace():
    """A RAG agent: root, retrieval, a model call that asks for a tool, the tool, the model call that answers."""
    r = Recorder(**{"deployment.environment.name": "test", "service.version": "2.1", "andon.index_version": "idx-7"})
    root = r.span(
        "agent", None, 0, 900, gen_ai__operation__name="invoke_agent", input__value="When do you open?",
        output__value="At nine.", gen_ai__conversation__id="s1", user__id="u1", andon__risk_category="low",
        andon__expected_answer="At 9.", team="blue", metadata='{"arm": "B", "tier": "gold"}',
    )  # fmt: skip
    docs = {"id": "d1", "content": "Open from nine.", "score": 0.7}
    found = r.span(
        "retrieval kb", root[0], 10, 50, gen_ai__operation__name="retrieval",
        gen_ai__retrieval__documents=json.dumps([docs, {"id": "d2", "score": 0.1}]),
    )  # fmt: skip
    ask = [{"role": "user", "parts": [{"type": "text", "content": "When do you open?"}]}]
    call = {"type": "tool_call", "id": "c1", "name": "hours", "arguments": {"day": "monday"}}
    first = r.span(
        "chat gpt", root[0], 60, 300, gen_ai__operation__name="chat", gen_ai__provider__name="openai",
        gen_ai__request__model="gpt-4o", gen_ai__response__model="gpt-4o-2024-08-06", gen_ai__usage__input_tokens=100,
        gen_ai__usage__output_tokens=10, gen_ai__response__finish_reasons=["tool_calls"],
        gen_ai__input__messages=json.dumps(ask),
        gen_ai__output__messages=json.dumps([{"role": "assistant", "parts": [call]}]),
    )  # fmt: skip
    tool = r.span(
        "execute_tool hours", root[0], 310, 350, gen_ai__operation__name="execute_tool", gen_ai__tool__name="hours",
        gen_ai__tool__call__id="c1", gen_ai__tool__call__arguments='{"day": "monday"}', gen_ai__tool__call__result="9-17",
    )  # fmt: skip
    last = r.span(
        "chat gpt", root[0], 360, 890, gen_ai__operation__name="chat", gen_ai__provider__name="openai",
        gen_ai__request__model="gpt-4o", gen_ai__response__model="gpt-4o-2024-11-20", gen_ai__usage__input_tokens=150,
        gen_ai__usage__output_tokens=20, gen_ai__response__finish_reasons=["stop"], gen_ai__request__temperature=0.2,
        gen_ai__response__time_to_first_chunk=0.1,
        gen_ai__output__messages=json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "At nine!"}]}]),
    )  # fmt: skip
    end(root, found, first, tool, last)
    return r


def test_a_trace_of_the_real_sdk_is_one_interaction():
    """Every field of an agent's trace is read: texts, tokens summed, the last model, contexts, tools, versions."""
    spans, problems = spans_of(agent_trace().body())
    (found,) = assemble(spans)
    assert not problems
    assert [(s.kind, s.name, s.parent, s.start_s, s.input_tokens) for s in found.steps] == [
        ("agent", "agent", None, 0.0, None), ("retriever", "retrieval kb", 0, 0.01, None), ("llm", "chat gpt", 0, 0.06, 100),
        ("tool", "hours", 0, 0.31, None), ("llm", "chat gpt", 0, 0.36, 150),
    ]  # fmt: skip
    assert replace(found, steps=()) == Interaction(
        id=spans[0].trace_id, trace_id=spans[0].trace_id, time_us=T0 // 1000, app="shop", environment="test",
        session_id="s1", user_id="u1", query="When do you open?", answer="At nine.",
        contexts=(Context(text="Open from nine.", id="d1", score=0.7), Context(text="", id="d2", score=0.1)),
        tool_calls=(ToolCall(name="hours", arguments='{"day":"monday"}', result="9-17"),),
        provider="openai", model="gpt-4o-2024-11-20", requested_model="gpt-4o", index_version="idx-7", arm="B",
        code_version="2.1", sampling_params='{"temperature":0.2}', risk_category="low", finish_reason="stop",
        latency_s=0.9, first_token_s=0.46, input_tokens=250, output_tokens=30, expected_answer="At 9.",
        attributes={"team": "blue", "tier": "gold"},
    )  # fmt: skip


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_order_and_repetition_of_spans_do_not_matter(rng, parts):
    """The spans of a trace in any order, split over any requests, some sent twice, give the same interaction."""
    recorder = agent_trace()
    finished = list(recorder.exporter.get_finished_spans())
    (expected,) = assemble(spans_of(recorder.body())[0])
    sent = finished + rng.sample(finished, 2)
    rng.shuffle(sent)
    cuts = sorted(rng.choices(range(len(sent) + 1), k=parts - 1))
    requests = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True) if b > a]
    spans = [s for part in requests for s in spans_of(recorder.body(part))[0]]
    assert assemble(spans) == [expected]


def test_spans_keep_what_was_sent_and_survive_rows():
    """A span keeps its names, times, parent, status, events and merged attributes, and survives a table exactly."""
    r = Recorder()
    root = r.span("a", None, 0, 10, x=1, y=[1.5, 2.5], z=True)
    child = r.span("b", root[0], 1, 2, status=Status(StatusCode.ERROR, "no"), events=[("hit", 1, {"k": "v"})])
    end(root, child)
    spans, _ = spans_of(r.body())
    by_name = {s.name: s for s in spans}
    assert by_name["b"].parent_span_id == by_name["a"].span_id
    assert (by_name["b"].status, by_name["b"].status_message, by_name["b"].parent_remote) == ("error", "no", False)
    assert by_name["b"].events == ({"name": "hit", "time_us": T0 // 1000 + 1000, "attributes": {"k": "v"}},)
    own = {"service.name": "shop", "otel.scope.name": "tests", "otel.scope.version": "1.0"}
    assert by_name["a"].attributes == {**own, "x": 1, "y": [1.5, 2.5], "z": True}
    assert by_name["a"].end_us - by_name["a"].time_us == 10_000
    assert spans_from_rows(spans_to_rows(spans)) == spans


def test_one_bad_span_does_not_cost_the_others():
    """A span without ids, or with an impossible time, is reported with its reason; the others are kept."""
    request = ExportTraceServiceRequest.FromString(agent_trace().body())
    spans = request.resource_spans[0].scope_spans[0].spans
    spans[0].trace_id = b"short"
    spans[1].start_time_unix_nano = 5
    spans[2].end_time_unix_nano = spans[2].start_time_unix_nano - 1_000_000
    spans[2].name = "\x1b[31mevil"
    kept, problems = spans_of(request.SerializeToString())
    assert len(kept) == 2
    assert [("trace_id" in problems[0]), ("2000" in problems[1]), ("before it starts" in problems[2])] == [True] * 3
    assert all(p.isprintable() for p in problems)


@given(st.binary(max_size=200))
def test_a_body_that_is_no_request_is_an_input_error(body):
    """Random bytes are an InputError or an empty or partial request, never another exception."""
    refused = "ExportTraceServiceRequest"
    spans, problems = [], []
    try:
        spans, problems = spans_of(body)
    except InputError as error:
        refused = str(error)
    assert "ExportTraceServiceRequest" in refused
    assert all(isinstance(s, SpanRow) for s in spans)
    assert all(isinstance(p, str) for p in problems)


def test_double_spans_are_counted_once():
    """Two instrumentations of one call, nested or side by side with one response id, count its tokens once."""
    r = Recorder()
    root = r.span("app", None, 0, 100, openinference__span__kind="CHAIN", input__value="q")
    outer = r.span(
        "oi",
        root[0],
        10,
        90,
        openinference__span__kind="LLM",
        llm__token_count__prompt=7,
        llm__token_count__completion=3,
    )
    inner = r.span("sdk", outer[0], 11, 89, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=7,
                   gen_ai__usage__output_tokens=3, gen_ai__response__model="m", gen_ai__response__id="r1")  # fmt: skip
    beside = r.span("again", root[0], 91, 95, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=5,
                    gen_ai__response__id="r2")  # fmt: skip
    repeated = r.span("again", root[0], 92, 95, gen_ai__operation__name="chat", gen_ai__usage__input_tokens=5,
                      gen_ai__response__id="r2")  # fmt: skip
    end(root, outer, inner, beside, repeated)
    (found,) = assemble(spans_of(r.body())[0])
    assert (found.input_tokens, found.output_tokens, found.model) == (12, 3, "m")


def test_foreign_traces_give_nothing():
    """A trace of a web server or a database, even with our resource attributes, is no interaction."""
    r = Recorder(**{"andon.index_version": "7"})
    end(r.span("GET /health", None, 0, 1, http__route="/health"))
    assert assemble(spans_of(r.body())[0]) == []


def test_errors_are_those_of_the_whole():
    """A failed root gives its error type; a tool that failed on the way to an answer does not."""
    r = Recorder()
    failed = Status(StatusCode.ERROR)
    root = r.span("a", None, 0, 10, gen_ai__operation__name="invoke_agent", output__value="fine")
    tool = r.span("t", root[0], 1, 2, gen_ai__operation__name="execute_tool", gen_ai__tool__name="t", status=failed,
                  error__type="Timeout")  # fmt: skip
    alone = r.span("chat", None, 0, 5, gen_ai__operation__name="chat", status=failed,
                   events=[("exception", 4, {"exception.type": "openai.RateLimitError"})])  # fmt: skip
    end(root, tool, alone)
    found = {i.answer: i for i in assemble(spans_of(r.body())[0])}
    assert (found["fine"].error, found["fine"].tool_calls[0].error) == (None, "Timeout")
    assert (found[None].error, found[None].answer) == ("RateLimitError", None)


def test_a_missing_answer_is_none_and_an_empty_one_is_empty():
    """A model that said nothing is told from one of which nothing was sent, and from one that only asked for a tool."""
    answers = []
    for parts in ([{"type": "text", "content": ""}], [{"type": "tool_call", "name": "t", "id": "1"}], None):
        r = Recorder()
        said = (
            {} if parts is None else {"gen_ai__output__messages": json.dumps([{"role": "assistant", "parts": parts}])}
        )
        end(r.span("chat", None, 0, 5, gen_ai__operation__name="chat", **said))
        answers.append(assemble(spans_of(r.body())[0])[0].answer)
    assert answers == ["", None, None]


def test_the_query_is_the_last_question_of_the_user():
    """In a conversation that carries its history, the query is the last user message, not the first or a tool's."""
    messages = [("user", "hello"), ("assistant", "hi"), ("user", "and now?"), ("tool", "42")]
    flat = {}
    for n, (role, text) in enumerate(messages):
        flat[f"llm.input_messages.{n}.message.role"] = role
        flat[f"llm.input_messages.{n}.message.content"] = text
    r = Recorder()
    end(r.span("chat", None, 0, 5, openinference__span__kind="LLM", **flat))
    assert assemble(spans_of(r.body())[0])[0].query == "and now?"


wild = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
wild_json = wild | wild.map(json.dumps)
BELOW = {"messages": ("0.role", "0.content", "1.message.role", "0.message.contents.1.message_content", "2.tool_calls.0.id",
                      "0.message.tool_calls.0.tool_call.function.name", "9", "0.finish_reason", "0.message.tool_call_id"),
         "documents": ("0.document", "1.document.content", "0.id"), "definitions": ("0.tool", "0.tool.json_schema")}  # fmt: skip
wild_names = st.sampled_from(
    sorted(
        {
            *(n for r in READINGS for n in (*r.names, *r.parts)),
            *(f"{n}.{below}" for r in READINGS for n in r.names for below in BELOW.get(r.kind, ())),
            *KEPT,
            *TOTALS,
            *("gen_ai.response.id", "metadata", "llm.invocation_parameters", "feature_flag.key", "andon.features.x"),
            *("embedding.embeddings.0.embedding.text", "annotations.0.annotation", "annotations.0.annotation.score"),
        }
    )
)
kinds = st.sampled_from(
    [
        "chat",
        "invoke_agent",
        "execute_tool",
        "retrieval",
        "embeddings",
        "",
        "ai.embed",
        "GUARDRAIL",
        "EVALUATOR",
        "RERANKER",
    ]
)
event_attributes = st.sampled_from(
    ["content", "message", "role", "body", "gen_ai.event.content", "gen_ai.input.messages", "finish_reason", "id",
     "gen_ai.evaluation.name", "gen_ai.evaluation.score.value", "gen_ai.prompt", "exception.type", "feature_flag.key",
     "feature_flag.variant", "db.query.result.id", "tool_calls"]
)  # fmt: skip
event_names = st.sampled_from(
    ["gen_ai.choice", "gen_ai.user.message", "gen_ai.client.inference.operation.details", "gen_ai.evaluation.result",
     "gen_ai.content.prompt", "exception", "feature_flag", "db.query.result", "First Token Stream Event", ""]
)  # fmt: skip
ids = st.sampled_from(["a" * 16, "b" * 16, "c" * 16, "d" * 16])


@settings(max_examples=200)
@given(
    st.lists(
        st.builds(
            lambda span_id, parent, at, took, attributes, kind, failed, name, said: SpanRow(
                trace_id="1" * 32, span_id=span_id, parent_span_id=parent, time_us=T0 // 1000 + at,
                end_us=T0 // 1000 + at + took, status="error" if failed else "unset",
                attributes={**attributes, "gen_ai.operation.name": kind, "openinference.span.kind": kind,
                            "ai.operationId": kind},
                events=({"name": name, "time_us": T0 // 1000, "attributes": said},),
            ),
            ids, st.none() | ids, st.integers(0, 5), st.integers(0, 5), st.dictionaries(wild_names, wild_json, max_size=6),
            kinds, st.booleans(), event_names, st.dictionaries(event_attributes, wild_json, max_size=4),
        ),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_hostile_spans_give_one_interaction_that_fits_its_table(spans):
    """Whatever stands under the names of the table, even in a ring of parents, a trace gives one writable interaction.

    It gives none where all of it was judging, and feedback that is as writable.
    """
    found = assemble(spans)
    assert found == assemble(list(reversed(spans)))
    judging = [s.attributes["openinference.span.kind"] == "EVALUATOR" for s in spans]
    assert len(found) < 2
    assert found or any(judging)
    assert not (found and all(judging))
    assert from_rows(to_rows(found)) == found
    said = annotations_of(spans)
    assert feedback_from_rows(feedback_to_rows(said)) == said
    assert spans_from_rows(spans_to_rows(spans)) == spans


@pytest.mark.parametrize("nested", [True, False])
def test_a_huge_trace_takes_linear_time(nested):
    """A trace of 20,000 model calls, in a chain of parents or side by side, takes seconds: no recursion, no square."""
    spans = [
        SpanRow(
            trace_id="1" * 32, span_id=f"{n:016x}", parent_span_id=f"{n - 1:016x}" if n and nested else None,
            time_us=T0 // 1000 + n, end_us=T0 // 1000 + n + 1,
            attributes={"gen_ai.operation.name": "chat", "gen_ai.response.model": "m"},
        )
        for n in range(20_000)
    ]  # fmt: skip
    random.Random(1).shuffle(spans)
    began = time.perf_counter()
    assert assemble(spans)[0].model == "m"
    assert time.perf_counter() - began < 30  # quadratic work took minutes
