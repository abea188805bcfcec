"""Real OTLP requests of real instrumentations: what three of them recorded of one call is one interaction."""

import csv
import gzip
import json
from itertools import combinations
from pathlib import Path

import orjson
import pytest

from andon.traffic.conventions.annotations import annotations_of
from andon.traffic.conventions.messages import join_logs
from andon.traffic.conventions.traces import assemble
from andon.traffic.otlp import logs_of, spans_of
from andon.traffic.records import SpanRow
from andon.traffic.rows import from_rows, to_rows

CALLS = ("openinference", "openllmetry", "otel-genai")
FLAVOURS = (*CALLS, "pydantic-ai", "rag-llamaindex")
NOW_US = 1_790_000_000_000_000


@pytest.fixture(scope="module")
def pack(shared: Path) -> Path:
    """The folder of recorded requests; tests that need it are skipped, and say so, where it is absent."""
    folder = shared / "otlp-samples"
    if not folder.is_dir():
        pytest.skip(f"real data absent: {folder} is no folder; set SHARED_DATA")
    return folder


def lines(pack, flavour):
    """The spans, with their log records joined, of every recorded call of one instrumentation, by the id of the call."""
    found = {}
    with gzip.open(pack / f"{flavour}.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            call = json.loads(line)
            spans, refused = spans_of(orjson.dumps(call["traces"]), "json")
            assert not refused
            logs = logs_of(orjson.dumps(call["logs"]), "json", now_us=NOW_US) if "logs" in call else None
            assert logs is None or not (logs.refused or logs.others)
            found[call["id"]] = join_logs(spans, logs.rows if logs else ())
    return found


@pytest.fixture(scope="module")
def recorded(pack):
    """Flavour -> id of the call -> its interaction."""
    found = {}
    for flavour in FLAVOURS:
        found[flavour] = {}
        for identity, spans in lines(pack, flavour).items():
            (found[flavour][identity],) = assemble(spans)
    return found


@pytest.fixture(scope="module")
def facts(pack):
    """(flavour, id of the call) -> what the pack's index says of it."""
    with (pack / "index.csv").open(encoding="utf-8") as file:
        return {(row["flavour"], row["id"]): row for row in csv.DictReader(file)}


def field_of(interaction, name):
    """A field in the form in which two recordings are compared."""
    if name == "tool_calls":
        return sorted((c.name, c.arguments) for c in interaction.tool_calls)
    return getattr(interaction, name)


CONTRACT = ("query", "answer", "provider", "model", "requested_model", "embedding_model", "error", "tool_calls",
            "input_tokens", "output_tokens", "finish_reason")  # fmt: skip
STREAMS_OF_SERVER_TOOLS = "6a295e80694c c7f752372dcc ec743ecbdb29"
SERVER_TOOLS = (
    "38d4ba201cc6 392e6656ea63 3eb8be81face 3f8839f32e16 4108550e4d3f 71fd850bab14 890f143f0187 afb0983a9bb2 e2d4f13cec17 "
    "ed7fdf9dbcb9 f5d41debd40f"
)
DIFFERENCES = (
    ("query", "otel-genai", "it records no content of embedding calls",
     "017152eef81f 089991398b9a 1dba3384843e 1e04deb9eefc a4711008d88d cc2c2cae8f74 dff14244b7ea"),
    ("model", "openllmetry", "it cuts the vendor off: kimi-k2 for moonshotai/kimi-k2", "a5f03e61a9d7 d90a34d0c734"),
    ("input_tokens", "openllmetry",
     "of a stream it takes the first count, before the provider's own tools added their results to the input",
     STREAMS_OF_SERVER_TOOLS),
    ("output_tokens", "openllmetry", "of a stream of Anthropic it adds the first count to the last, which holds it already",
     f"21ec45a8faf7 4e085fdc3bae 76bdf2f12271 8fba4e90c505 9828b0032c37 a22c00e10f21 {STREAMS_OF_SERVER_TOOLS}"),
    ("tool_calls", "openllmetry", "it leaves out the tools that ran at the provider (web search, file search)", SERVER_TOOLS),
    ("finish_reason", "openllmetry", "it takes tools that ran at the provider for a question back to the application",
     f"2e37b5ad9555 ee2210cf6562 {SERVER_TOOLS}"),
    ("finish_reason", "otel-genai", "of a stream without any reason it says error", "a5f03e61a9d7"),
)  # fmt: skip
"""(field, the instrumentation that says something else than the others, why, ids of the calls): all that remains."""


def test_three_instrumentations_of_one_call_agree(recorded, record_property):
    """The same call has the same texts, models, tool calls, tokens and outcome, but for exactly the listed differences."""
    found, compared = set(), 0
    for one, other in combinations(CALLS, 2):
        for identity in recorded[one].keys() & recorded[other].keys():
            pair = recorded[one][identity], recorded[other][identity]
            found |= {(n, one, other, identity) for n in CONTRACT if field_of(pair[0], n) != field_of(pair[1], n)}
            compared += 1
    listed = {
        (field, one, other, identity)
        for field, odd, _, identities in DIFFERENCES
        for one, other in combinations(CALLS, 2)
        for identity in identities.split()
        if odd in (one, other) and identity in recorded[one] and identity in recorded[other]
    }
    record_property("calls_compared", compared)
    assert found == listed
    assert compared > 250


def test_parts_of_tokens_agree_where_two_counted_them(recorded):
    """Tokens read from a cache, written to one and spent on reasoning are equal wherever two instrumentations counted them."""
    for one, other in combinations(CALLS, 2):
        for identity in recorded[one].keys() & recorded[other].keys():
            for name in ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens"):
                pair = {getattr(recorded[f][identity], name) for f in (one, other)} - {None}
                assert len(pair) < 2, (name, identity, pair)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_parts_are_never_larger_than_their_wholes(recorded, flavour):
    """Cache tokens are within the input, reasoning tokens within the output, and steps count what the whole counts."""
    for interaction in recorded[flavour].values():
        cached = (interaction.cache_read_tokens or 0) + (interaction.cache_write_tokens or 0)
        assert cached <= (interaction.input_tokens or 0)
        assert (interaction.reasoning_tokens or 0) <= (interaction.output_tokens or 0)
        if interaction.steps:
            assert sum(s.input_tokens or 0 for s in interaction.steps) == (interaction.input_tokens or 0)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_recorded_call_fits_its_table(recorded, facts, flavour):
    """Every recorded request gives one interaction, which survives a table exactly; none is missing from the index."""
    interactions = list(recorded[flavour].values())
    assert from_rows(to_rows(interactions)) == interactions
    assert {identity for f, identity in facts if f == flavour} <= recorded[flavour].keys()


def test_recorded_facts_are_found(recorded, facts, record_property):
    """A call asks for its recorded model; it has an error where the API refused it, else what it said or which tools it asked for."""
    heard = talked = 0
    for (flavour, identity), fact in facts.items():
        if flavour not in CALLS:
            continue
        found = recorded[flavour][identity]
        assert (found.error is not None) == bool(fact["api_error"]), (flavour, identity)
        if fact["op"] == "embeddings":
            assert found.embedding_model
            assert found.model is None
        elif not fact["api_error"]:
            assert found.requested_model == fact["model"], (flavour, identity)
            talked += 1
            heard += found.model is not None and (found.answer is not None or bool(found.tool_calls))
        else:
            assert (found.model, found.answer) == (None, None), (flavour, identity)
    record_property("with_model_and_answer_or_tools", f"{heard} of {talked}")
    assert heard > 0.98 * talked


def test_double_spans_of_a_vendors_sdk_count_once(pack, recorded):
    """Where Anthropic's SDK made a span of its own within the instrumentor's, the tokens are those of one of them, not of both."""
    doubled = 0
    for identity, spans in lines(pack, "openinference").items():
        inner = [s for s in spans if s.attributes.get("otel.scope.name") == "com.anthropic.sdk.python"]
        counted = [
            s.attributes["gen_ai.usage.input_tokens"] for s in inner if "gen_ai.usage.input_tokens" in s.attributes
        ]
        if counted:
            doubled += 1
            assert recorded["openinference"][identity].input_tokens == counted[0]
            assert recorded["openinference"][identity].steps == ()
    assert doubled > 50


def test_protobuf_and_json_of_one_call_are_one_interaction(pack, recorded, record_property):
    """The same request in protobuf and in JSON gives the same interaction, log records among it."""
    compared = 0
    for path in sorted((pack / "protobuf").glob("*.traces.pb")):
        flavour, _, identity, *_ = path.name.split(".")
        spans, refused = spans_of(path.read_bytes())
        assert not refused
        beside = path.with_name(path.name.replace(".traces.", ".logs."))
        logs = logs_of(beside.read_bytes(), "protobuf", now_us=NOW_US).rows if beside.is_file() else ()
        (found,) = assemble(join_logs(spans, logs))
        assert found == recorded[flavour][identity], path.name
        compared += 1
    record_property("compared", compared)
    assert compared > 25


def test_agents_keep_their_steps_and_tools(pack, recorded, facts):
    """An agent's recorded run has its spans as steps below the agent, its tools with results, and its final answer."""
    for identity, spans in lines(pack, "pydantic-ai").items():
        found, fact = recorded["pydantic-ai"][identity], facts["pydantic-ai", identity]
        tools = [s for s in spans if s.attributes.get("gen_ai.operation.name") == "execute_tool"]
        assert len(found.steps) == len(spans)
        assert (found.steps[0].kind, found.steps[0].parent) == ("agent", None)
        assert {s.kind for s in found.steps[1:]} <= {"llm", "tool"}
        assert {s.parent for s in found.steps[1:]} == {0}
        assert len(found.tool_calls) == len(tools)
        assert all(t.arguments and t.result for t in found.tool_calls)
        assert found.query
        assert (found.error is not None) == bool(fact["agent_error"])
        assert (found.answer is None) == bool(fact["agent_error"])


def test_rag_traces_have_contexts_and_segments(pack, recorded):
    """Recorded RAG traces give question, answer, passages with ids and scores, session, user, risk category and index version."""
    with (pack / "rag-index.jsonl").open(encoding="utf-8") as file:
        index = {row["id"]: row for row in map(json.loads, file)}
    for identity, found in recorded["rag-llamaindex"].items():
        assert found.query
        assert found.answer
        assert [round(c.score, 4) for c in found.contexts] == [round(s, 4) for s in index[identity]["top_scores"]]
        assert all(c.id and c.text for c in found.contexts)
        assert found.index_version in ("idx-full", "idx-stale")
        assert found.risk_category
        assert found.session_id
        assert found.user_id
        assert found.attributes["risk_tier"]
        assert found.embedding_model == "hashed-bow-512"
        assert {s.kind for s in found.steps} == {"chain", "retriever", "embedding", "llm"}


def test_nothing_recorded_is_feedback(pack):
    """Requests without annotations or evaluations give no feedback."""
    for flavour in FLAVOURS:
        assert not any(annotations_of(spans) for spans in lines(pack, flavour).values())


def fixture_spans(pack, name):
    """Spans as OpenInference publishes them for its tests of the Vercel AI SDK."""
    listed = json.loads((pack / "fixtures-openinference" / name).read_text(encoding="utf-8"))
    return [
        SpanRow(
            trace_id=s["spanContext"]["traceId"], span_id=s["spanContext"]["spanId"], name=s["name"],
            time_us=s["startTime"][0] * 10**6 + s["startTime"][1] // 1000,
            end_us=s["endTime"][0] * 10**6 + s["endTime"][1] // 1000, attributes=s["attributes"],
        )
        for s in listed
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["ai-embed.json", "ai-generateText-doGenerate.json", "ai-streamText-doStream.json",
                                  "ai-streamText.json", "all-spans.json"])  # fmt: skip
def test_spans_of_the_vercel_sdk_are_read(pack, name):
    """Published spans of the Vercel AI SDK give question, answer, models, tokens and reason."""
    for span in fixture_spans(pack, name):
        (found,) = assemble([span])
        assert found.query
        assert found.input_tokens == next(
            v for n in ("inputTokens", "promptTokens", "tokens") if (v := span.attributes.get(f"ai.usage.{n}"))
        )
        if "embed" in span.name:
            assert (found.embedding_model, found.answer) == ("text-embedding-3-small", None)
            continue
        assert found.answer == span.attributes.get("ai.response.text", span.attributes.get("ai.response.object"))
        assert (found.requested_model, found.finish_reason) == ("gpt-4o-mini", "stop")
        assert found.model == span.attributes.get("ai.response.model")
        assert found.attributes["testCategory"]


def test_an_operation_of_the_vercel_sdk_and_its_call_count_once(pack):
    """The SDK's outer span and the model call within it, which say the same tokens, are one call with two steps."""
    outer, inner = (fixture_spans(pack, n)[0] for n in ("ai-streamText.json", "ai-streamText-doStream.json"))
    as_child = {f: getattr(inner, f) for f in ("span_id", "name", "attributes", "time_us", "end_us")}
    (found,) = assemble([outer, SpanRow(trace_id=outer.trace_id, parent_span_id=outer.span_id, **as_child)])
    assert (found.input_tokens, found.output_tokens) == (15, 112)
    assert [s.kind for s in found.steps] == ["agent", "llm"]
    assert found.first_token_s == pytest.approx(0.4308, abs=1e-3)


def test_published_genai_attributes_are_read(pack):
    """OpenInference's published examples of GenAI spans give the call with its history, and the tool with its result."""
    folder = pack / "fixtures-openinference"
    rows = [
        SpanRow(trace_id=f"{n}" * 32, span_id="2" * 16, time_us=NOW_US + n, end_us=NOW_US + n,
                attributes=json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
        for n, name in ((1, "otel_genai_client_span_tool_calls"), (2, "otel_genai_tool_execution_span"))
    ]  # fmt: skip
    call, tool = assemble(rows)
    assert call.query == "Weather in Paris?"
    assert call.answer.startswith("The weather in Paris")
    assert (call.model, call.requested_model, call.input_tokens, call.output_tokens) == ("gpt-4-0613", "gpt-4", 97, 52)
    assert call.tool_calls == ()
    assert [(t.name, t.arguments) for t in tool.tool_calls] == [("get_weather", '{"city":"New York"}')]
    assert tool.tool_calls[0].result
