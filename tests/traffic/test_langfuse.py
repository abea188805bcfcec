"""Exports of Langfuse, beside the facts that the exports themselves state."""

import csv
import gzip
import io
import json
import re

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from andon.errors import InputError
from andon.traffic import BadRow, Context, Feedback, Interaction, SpanRow, assemble, parse_time, spans_to_rows, to_rows
from andon.traffic.files.langfuse import is_export, records_of_export
from andon.traffic.files.reading import read_traffic

START, END = "2026-01-31T12:00:00.000Z", "2026-01-31T12:00:02.500Z"
US = parse_time(START)

FACTS = {
    # name: model, requested model, input, output, query, start of the answer, tools, steps, finish reason
    "agno": ("gpt-4o-mini-2024-07-18", "gpt-4o-mini", 163 + 663, 20 + 225, "What is currently trending on Twitter?",
             "To find out what's currently trending on Twitter", ["duckduckgo_search"], 4, "stop"),
    "autogen": ("gpt-4o", None, 41, 3, "Say 'Hello World!'", "Hello World!", [], 2, None),
    "crewai": ("gpt-4o-mini", "gpt-4o-mini", 190, 164, "\nCurrent Task: Define the HTML for making a simple website",
               "```html\n<!DOCTYPE html>", [], 6, None),
    "csharp-agent-with-gemini": ("gemini-2.5-flash", "gemini-2.5-flash", 2546 + 3004 + 2497, 47 + 167 + 200,
                                 "What are my month over month performance insights the past quarter",
                                 "I couldn't retrieve the month-over-month performance insights",
                                 ["get_custom_report", "final_result"], 8, "stop"),
    "google-gemini": ("gemini-2.5-flash", None, 6, 2055, "What is Langfuse?", "**Langfuse** is an **open-source", [], 0, None),
    "langgraph-python": ("gpt-4o-2024-08-06", "gpt-4o", 60 + 108, 15 + 51, "Search the web for 'example' and summarize.",
                         'The search for "example" primarily leads to', ["Web-Search"], 9, None),
    "llamaindex": ("gpt-4o", "gpt-4o", 13, 81, "What is Langfuse?", "Langfuse is a tool designed to help", [], 2, None),
    "openai-agents": ("gpt-4.1-2025-04-14", "gpt-4.1-2025-04-14", 55 + 85, 15 + 29, "What's the weather in Tokyo?",
                      "The weather in Tokyo is currently sunny.", ["get_weather"], 5, "stop"),
    "pydantic-ai-tools": ("gpt-4o-mini-2024-07-18", "gpt-4o-mini", 265 + 417 + 502 + 131, 73 + 53 + 14 + 69, "programming",
                          "Why do programmers hate nature?",
                          ["get_dad_joke_suggestion", "get_one_liner_suggestion", "get_pun_suggestion", "final_result"], 12,
                          "tool_calls"),
    "pydantic-ai-with-gemini": ("gemini-2.5-flash", "gemini-2.5-flash", 40, 159, "what is 1+1?\nOutput format:",
                                '{"answer": "2", "rationale":', [], 0, "stop"),
}  # fmt: skip
"""Counted and copied by hand from the exports: usage is that of the innermost call, which the API's own response repeats."""


@pytest.fixture(scope="session")
def pack(shared):
    """The real exports by name."""
    folder = shared / "otlp-samples" / "langfuse-traces"
    files = {re.sub(r"-\d{4}-\d\d-\d\d.*", "", p.name): p for p in sorted(folder.iterdir())}
    assert set(files) == set(FACTS)
    return files


def observation(**more):
    """An observation of the API."""
    return {"id": "o1", "traceId": "t1", "type": "GENERATION", "name": "chat", "startTime": START, "endTime": END,
            "parentObservationId": None, "level": "DEFAULT", "statusMessage": None, **more}  # fmt: skip


def export(*observations, **trace):
    """A trace with its observations."""
    return {"trace": {"id": "t1", "timestamp": START, "name": "chat", **trace}, "observations": list(observations)}


def one(*observations, **trace):
    """The interaction of such a trace."""
    (found,), refused = records_of_export(export(*observations, **trace))
    assert not refused
    return found


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_real_exports_give_what_they_state(pack, name):
    """Model, tokens, texts, tools and steps of ten frameworks' traces are those that the exports state, counted once."""
    found = list(read_traffic(pack[name]))
    (i,) = [f for f in found if isinstance(f, Interaction)]
    model, requested, tokens_in, tokens_out, query, answer, tools, steps, finish = FACTS[name]
    assert (i.model, i.requested_model, i.finish_reason) == (model, requested, finish)
    assert (i.input_tokens, i.output_tokens) == (tokens_in, tokens_out)
    assert (i.query or "").startswith(query)
    assert (i.answer or "").startswith(answer)
    assert sorted(t.name for t in i.tool_calls) == sorted(tools)
    assert (len(i.steps), i.error, i.contexts) == (steps, None, ())
    assert not [f for f in found if isinstance(f, BadRow)]


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_real_exports_agree_with_themselves(pack, name):
    """Id, time, latency, user and session of an interaction are its trace's; each score is one piece of feedback."""
    trace = orjson.loads(gzip.decompress(pack[name].read_bytes()))["trace"]
    found = list(read_traffic(pack[name]))
    (i,) = [f for f in found if isinstance(f, Interaction)]
    assert (i.id, i.trace_id) == (trace["id"], trace["id"])
    assert abs(i.time_us - parse_time(trace["timestamp"])) <= 5_000
    assert i.latency_s == pytest.approx(trace["latency"], abs=0.02)
    assert (i.user_id, i.session_id) == (
        trace["userId"],
        trace["sessionId"] or ("demo-thread-1" if name == "langgraph-python" else None),
    )
    assert (i.code_version, i.environment) == (
        trace["version"], "production" if trace["environment"] == "default" else trace["environment"])  # fmt: skip
    said = [f for f in found if isinstance(f, Feedback)]
    assert [(f.id, f.name, f.value, f.text) for f in said] == [
        (s["id"], s["name"], s["value"], s["comment"]) for s in trace["scores"]]  # fmt: skip
    assert all((f.kind, f.source, f.interaction_id) == ("evaluation", "model", i.id) for f in said)
    assert to_rows([i]).num_rows == 1


def test_tool_calls_of_the_real_exports_have_arguments_and_results(pack):
    """Tools that ran have what they were given and what they gave, also where they were recorded as plain spans."""
    calls = {}
    for name in ("langgraph-python", "openai-agents", "csharp-agent-with-gemini", "agno"):
        (i,) = [f for f in read_traffic(pack[name]) if isinstance(f, Interaction)]
        calls |= {t.name: t for t in i.tool_calls}
    assert (calls["get_weather"].arguments, calls["get_weather"].result) == (
        '{"city":"Tokyo"}',
        "The weather in Tokyo is sunny.",
    )
    assert calls["Web-Search"].arguments == '{"query":"example"}'
    assert json.loads(calls["Web-Search"].result)[0]["url"] == "https://example.com"
    assert "No data found" in calls["get_custom_report"].result
    assert calls["final_result"].result is None
    assert calls["duckduckgo_search"].result.startswith("[\n  {\n")


def test_an_application_that_nobody_named_has_the_default_name(pack):
    """What an SDK says where there is no name is no name; a real one is taken."""
    apps = {n: next(f.app for f in read_traffic(p) if isinstance(f, Interaction)) for n, p in pack.items()}
    assert set(apps.values()) == {"default", "agentic-clientinsights"}


def test_metadata_is_the_users_own(pack):
    """Free attributes are the user's metadata and those of the SDK, without what frameworks and Langfuse add for themselves."""
    found = {n: next(f for f in read_traffic(p) if isinstance(f, Interaction)).attributes for n, p in pack.items()}
    assert found["langgraph-python"] == {
        "trace_name": "LangGraph",
        "thread_id": "demo-thread-1",
        "tags": "langgraph,demo,langfuse",
    }
    assert set(found["autogen"]) == {"trace_name", "email", "tags"}
    assert not [key for one in found.values() for key in one if key.startswith(("langfuse", "ls_", "public_key"))]


def snake(row):
    """The row with the names of the blob storage export."""
    named = {re.sub(r"(?<=[a-z])([A-Z])", lambda m: "_" + m[1].lower(), k): v for k, v in row.items()}
    if "model" in named:
        named["provided_model_name"] = named.pop("model")
    return {k: v.replace("T", " ").rstrip("Z") if k.endswith("_time") and v else v for k, v in named.items()}


@pytest.mark.parametrize("name", sorted(set(FACTS) - {"agno"}))
@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "snake.jsonl"])
def test_observations_alone_are_spans_that_make_the_same_interaction(pack, tmp_path, name, form):
    """Observations exported one by one, in any of the formats, are spans of the trace: assembled, they say the same."""
    document = orjson.loads(gzip.decompress(pack[name].read_bytes()))
    (whole,) = [f for f in read_traffic(pack[name]) if isinstance(f, Interaction)]
    rows = [
        {**o, "sessionId": document["trace"]["sessionId"], "userId": document["trace"]["userId"]}
        for o in document["observations"]
    ]
    rows = [snake(r) for r in rows] if form == "snake.jsonl" else rows
    path = tmp_path / f"observations.{form}"
    if form == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in r.items()} for r in rows)
        path.write_text(out.getvalue())
    else:
        path.write_bytes(orjson.dumps(rows) if form == "json" else b"\n".join(map(orjson.dumps, rows)))
    spans = list(read_traffic(path))
    assert all(isinstance(s, SpanRow) for s in spans), spans
    (found,) = assemble(spans)
    same = ("id", "time_us", "model", "requested_model", "input_tokens", "output_tokens", "cost_usd", "tool_calls", "latency_s",
            "user_id", "finish_reason", "environment", "tools_version")  # fmt: skip
    assert {n: getattr(found, n) for n in same} == {n: getattr(whole, n) for n in same}
    assert len(found.steps) == len(whole.steps)
    assert spans_to_rows(spans).num_rows == len(rows)


def test_a_list_of_traces_gives_each(pack, tmp_path):
    """An array of exports, and the API's answer with traces in ``data``, give the interactions of all of them."""
    documents = [orjson.loads(gzip.decompress(pack[n].read_bytes())) for n in ("agno", "autogen", "crewai")]
    inside = [{**d["trace"], "observations": d["observations"]} for d in documents]
    for body in (documents, inside, {"data": inside, "meta": {"page": 1}}):
        path = tmp_path / "traces.json"
        path.write_bytes(orjson.dumps(body))
        found = [f for f in read_traffic(path) if isinstance(f, Interaction)]
        assert found == [
            next(f for f in read_traffic(pack[n]) if isinstance(f, Interaction)) for n in ("agno", "autogen", "crewai")
        ]


def test_usage_that_a_call_repeats_is_counted_once():
    """Of a call seen twice, one within the other, the inner count is taken; where the inner has none, the outer."""
    outer = observation(id="a", usageDetails={"input": 500, "output": 50, "total": 550}, costDetails={"total": 0.5})
    inner = observation(
        id="b",
        parentObservationId="a",
        usageDetails={"input": 100, "output": 10, "total": 110},
        costDetails={"total": 0.1},
    )
    beside = observation(id="c", parentObservationId="a", usageDetails={"input": 30, "output": 3})
    assert (one(outer, inner).input_tokens, one(outer, inner).output_tokens, one(outer, inner).cost_usd) == (
        100,
        10,
        0.1,
    )
    assert one(outer, inner, beside).input_tokens == 130
    silent = {**inner, "usageDetails": {}, "costDetails": {}}
    assert (one(outer, silent).input_tokens, one(outer, silent).cost_usd) == (500, 0.5)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input": 100, "output": 10, "total": 110}, (100, 10, None, None, None)),
        ({"input": 60, "input_cached_tokens": 40, "output": 10, "total": 110}, (100, 10, 40, None, None)),
        ({"input": 100, "prompt_details.cache_read": 40, "output": 10, "total": 110}, (100, 10, 40, None, None)),
        ({"input": 5, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 2, "output": 10, "total": 57}, (47, 10, 40, 2, None)),
        ({"input": 100, "output": 6, "output_reasoning": 4, "total": 110}, (100, 10, None, None, 4)),
        ({"input": 90, "input_audio": 10, "output": 10, "total": 110}, (100, 10, None, None, None)),
        ({"input": 100, "prompt_details.audio": 10, "output": 10, "total": 110}, (100, 10, None, None, None)),
        ({"promptTokens": 7, "completionTokens": 3, "totalTokens": 10}, (7, 3, None, None, None)),
        ({}, (None, None, None, None, None)),
        ({"input": -1, "output": "x"}, (None, None, None, None, None)),
    ],
)  # fmt: skip
def test_tokens_include_their_parts_once(usage, expected):
    """Input holds what was read from a cache and output the reasoning, whether the sender's total says they are apart or not."""
    found = one(observation(usageDetails=usage))
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    assert tuple(getattr(found, n) for n in names) == expected


def test_a_cost_of_nothing_is_unknown():
    """A model without a price costs 0 in the export, which nobody measured; a price is taken from any of its places."""
    assert one(observation(totalCost=0, costDetails={})).cost_usd is None
    assert one(observation(totalCost=-1, costDetails={"total": -1})).cost_usd is None
    assert one(observation(totalCost=0.2)).cost_usd == 0.2
    assert one(observation(calculatedTotalCost=0.2)).cost_usd == 0.2


def test_what_a_trace_says_of_itself_arrives():
    """User, session, release, version, tags, environment and metadata of the trace are the interaction's."""
    found = one(
        observation(type="SPAN"), userId="u", sessionId="s", release="r7", version="v2", tags=["a", "b"], environment="staging",
        input='"q?"', output={"answer": "a!"}, metadata={"index_version": "i3", "team": "blue", "scope": {"attributes": {"public_key": "pk"}}},
    )  # fmt: skip
    assert (found.user_id, found.session_id, found.code_version, found.agent_version) == ("u", "s", "r7", "v2")
    assert (found.environment, found.query, found.answer, found.index_version) == ("staging", "q?", "a!", "i3")
    assert found.attributes == {"tags": "a,b", "team": "blue", "trace_name": "chat"}


def test_a_call_has_its_prompt_parameters_and_first_token():
    """Prompt with version, parameters, provider's own model name and the time to the first token are read."""
    raw = {
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "length"}],
    }
    found = one(
        observation(promptName="qa", promptVersion=3, model="gpt-4o", modelParameters='{"temperature": 0.5, "seed": ""}',
                    completionStartTime="2026-01-31T12:00:00.700Z", input=[{"role": "user", "content": "hello"}], output=json.dumps(raw))
    )  # fmt: skip
    assert (found.prompt_version, found.model, found.requested_model) == ("qa@3", "gpt-4o-2024-08-06", "gpt-4o")
    assert (found.sampling_params, found.first_token_s, found.latency_s) == ('{"temperature":0.5}', 0.7, 2.5)
    assert (found.query, found.answer, found.finish_reason) == ("hello", "hi", "length")


@pytest.mark.parametrize(
    ("given", "made", "query", "answer"),
    [
        ({"args": ["why?"], "kwargs": {}}, "so", "why?", "so"),
        ({"args": [], "kwargs": {"question": "why?", "user": "u"}}, {"answer": "so"}, "why?", "so"),
        ({"args": ["a", "b"], "kwargs": {}}, {"x": 1, "y": 2}, None, None),
        ('"why?"', '"{\\"answer\\": \\"so\\"}"', "why?", "so"),
        (
            {"messages": [{"type": "human", "content": "why?"}]},
            {"messages": [{"type": "ai", "content": "so"}]},
            "why?",
            "so",
        ),
        ("why?", {"raw": "so", "tasks_output": []}, "why?", "so"),
        (None, None, None, None),
        ("", "null", None, None),
    ],
)
def test_question_and_answer_are_what_a_person_wrote_and_read(given, made, query, answer):
    """Texts are found in arguments of functions, messages and wrapped JSON; structure alone is no text of anybody."""
    for found in (
        one(observation(type="SPAN"), input=given, output=made),
        one(observation(type="AGENT", input=given, output=made)),
    ):
        assert (found.query, found.answer) == (query, answer)


@pytest.mark.parametrize(
    ("output", "answer", "tools"),
    [
        ({"role": "assistant", "content": "hi"}, "hi", []),
        ([{"role": "assistant", "content": [{"type": "text", "text": "hi"}, {"type": "tool_use", "id": "1", "name": "f", "input": {}}]}], "hi", ["f"]),
        ({"candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}]}, "hi", []),
        ({"object": "response", "output": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
          {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}]}, "hi", ["f"]),
        ({"role": "assistant", "content": "", "additional_kwargs": {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}}, None, ["f"]),
        ("plain", "plain", []),
    ],
)  # fmt: skip
def test_the_answers_of_the_large_providers_are_read(output, answer, tools):
    """Text and tool calls are found in what the APIs of OpenAI, Anthropic, Google and LangChain answer."""
    found = one(observation(output=output))
    assert (found.answer, [t.name for t in found.tool_calls]) == (answer, tools)


def test_documents_of_a_retriever_are_contexts():
    """What a retriever found, as texts or documents, are the contexts."""
    docs = [{"page_content": "one", "id": "7", "metadata": {}}, "two"]
    found = one(
        observation(type="SPAN"),
        observation(id="r", type="RETRIEVER", parentObservationId="o1", input="q", output=docs),
    )
    assert found.contexts == (Context(text="one", id="7"), Context(text="two"))
    assert [s.kind for s in found.steps] == ["chain", "retriever"]


def test_types_of_observations_are_kinds_of_steps():
    """Each type is the kind of step that it names; a judge within the trace is no step of the application."""
    types = ("AGENT", "GENERATION", "TOOL", "RETRIEVER", "EMBEDDING", "GUARDRAIL", "CHAIN", "EVENT", "EVALUATOR", "NEW")
    found = one(
        *(observation(id=t, type=t, parentObservationId=None if t == "AGENT" else "AGENT", name=t) for t in types)
    )
    assert {s.name: s.kind for s in found.steps} == {
        "AGENT": "agent", "GENERATION": "llm", "TOOL": "tool", "RETRIEVER": "retriever", "EMBEDDING": "embedding",
        "GUARDRAIL": "guardrail", "CHAIN": "chain", "EVENT": "other", "NEW": "chain"}  # fmt: skip


def test_an_error_is_an_error_and_a_warning_is_none():
    """Level ERROR is the step's error, with the type that its message begins with; the root's is the interaction's."""
    failed = observation(level="ERROR", statusMessage="openai.RateLimitError: too many")
    assert one(failed).error == "openai.RateLimitError"
    assert one({**failed, "statusMessage": "it broke"}).error == "error"
    assert one({**failed, "level": "WARNING"}).error is None
    within = one(
        observation(id="a", type="SPAN", output="fine"), {**failed, "parentObservationId": "a", "type": "TOOL"}
    )
    assert (within.error, [s.error for s in within.steps]) == (None, [None, "openai.RateLimitError"])


SCORE = {
    "id": "s1",
    "traceId": "t1",
    "name": "quality",
    "timestamp": END,
    "dataType": "NUMERIC",
    "value": 0.5,
    "source": "EVAL",
}


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ({}, {"kind": "evaluation", "name": "quality", "value": 0.5, "source": "model"}),
        ({"source": "ANNOTATION", "authorUserId": "ann", "comment": "ok"}, {"source": "human", "author": "ann", "text": "ok"}),
        ({"source": "API"}, {"source": "code", "value": 0.5}),
        ({"dataType": "CATEGORICAL", "value": 2, "stringValue": "good"}, {"value": None, "label": "good"}),
        ({"dataType": "BOOLEAN", "value": 1, "stringValue": "True"}, {"value": 1.0, "label": "True"}),
        ({"source": "API", "name": "user-feedback", "value": 0, "comment": "no"}, {"kind": "thumb", "value": 0.0, "source": "human", "text": "no"}),
        ({"dataType": "CORRECTION", "value": 0, "longStringValue": "right"}, {"kind": "correction", "text": "right", "label": None}),
        ({"traceId": None, "sessionId": "s"}, {"scope": "session", "interaction_id": "s"}),
    ],
)  # fmt: skip
def test_scores_are_feedback(score, expected):
    """Numbers, words, thumbs and corrections of people, judges and code keep what they are, in an export or alone."""
    (alone,), _ = records_of_export({**SCORE, **score})
    assert {n: getattr(alone, n) for n in expected} == expected
    assert (alone.id, alone.time_us) == ("s1", parse_time(END))
    if score.get("traceId", "t1") is not None:
        (_, within), _ = records_of_export(export(observation(), scores=[{**SCORE, **score}]))
        assert within == alone
    (blob,), _ = records_of_export(snake({**SCORE, **score}))
    assert blob == alone
    cells = {k: str(v) for k, v in snake({**SCORE, **score}).items() if v is not None}
    (cell,), _ = records_of_export(cells)
    assert cell == alone


def test_a_bad_part_is_named_and_the_rest_is_kept():
    """An observation or a score that cannot be read costs itself and is named."""
    records, refused = records_of_export(
        export(observation(), observation(id=None, name="x"), observation(id="b", startTime="soon"), 5,
               scores=[{**SCORE, "value": None}, {**SCORE, "id": {}}, SCORE])
    )  # fmt: skip
    assert [type(r) for r in records] == [Interaction, Feedback]
    assert len(refused) == 5
    assert all(r.isprintable() for r in refused)
    with pytest.raises(InputError, match="id is null"):
        records_of_export(export(id=None))


def test_traces_without_observations_are_taken_as_far_as_they_go():
    """A trace that says how long it took is an interaction; one that does not waits as a span for its observations."""
    row = {
        "id": "t9",
        "timestamp": START,
        "name": "n",
        "bookmarked": False,
        "input": "q",
        "output": "a",
        "sessionId": "s",
    }
    (found,), _ = records_of_export(
        {**row, "latency": 1.5, "totalCost": 0.1, "observations": ["o1", "o2"], "scores": ["s1"]}
    )
    assert (found.id, found.query, found.answer, found.latency_s, found.cost_usd, found.session_id) == (
        "t9",
        "q",
        "a",
        1.5,
        0.1,
        "s",
    )
    (waiting,), _ = records_of_export(row)
    assert (type(waiting), waiting.trace_id) == (SpanRow, "t9")
    (spans,), _ = records_of_export({**observation(traceId="t9", parentObservationId=None), "output": "hi"})
    (joined,) = assemble([waiting, spans])
    assert (joined.query, joined.latency_s, joined.session_id) == ("q", 2.5, "s")


def test_deep_and_large_values_fit_the_tables():
    """What is nested deeper than anybody writes, or larger than a column holds, is kept as text or left out."""
    deep = orjson.loads(b"[" * 900 + b"]" * 900)
    hostile = {"metadata": {"x": deep, "n": 2**63}, "input": deep, "output": {"a": deep}, "modelParameters": {"seed": deep},
               "usageDetails": {"input": 2**63}, "toolDefinitions": {"t": deep}, "tags": deep}  # fmt: skip
    for kind in ("GENERATION", "SPAN", "TOOL", "RETRIEVER"):
        records, _ = records_of_export(
            export(
                observation(**hostile, type=kind), **{k: hostile[k] for k in ("metadata", "input", "output", "tags")}
            )
        )
        assert to_rows(records).num_rows == 1
        (span,), _ = records_of_export(observation(**hostile, type=kind))
        assert spans_to_rows([span]).num_rows == 1


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (export(), True),
        (observation(), True),
        (snake(observation()), True),
        (SCORE, True),
        ({"id": "a", "timestamp": START, "query": "q", "project_id": "p", "session_id": "s"}, False),
        ({"trace_id": "a", "start_time": START, "type": "chat", "query": "q"}, False),
        ({"interaction_id": "a", "time": START, "name": "x", "source": "human"}, False),
        ({"observations": 3, "time": START}, False),
    ],
)
def test_only_exports_are_taken_for_exports(row, expected):
    """Rows of our own with some of the same names stay rows of our own."""
    assert is_export(row) is expected


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([START, "t1", "ERROR", "{}", '{"a":']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.sampled_from(["role", "content", "messages"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
keys = st.sampled_from([*observation(), "input", "output", "model", "modelParameters", "usageDetails", "costDetails", "metadata",
                       "completionStartTime", "promptName", "toolDefinitions", "tags", "environment", "scores", "userId", "value"])  # fmt: skip


@given(st.dictionaries(keys, values, max_size=6), st.dictionaries(keys, values, max_size=6))
@example({"metadata": {"far": -(2**63) - 1}}, {})
@settings(max_examples=500)
def test_any_values_give_records_that_fit_or_reasons(mine, whole):
    """Whatever JSON stands in an export, it gives records that fit their tables, reasons, or an InputError."""
    try:
        records, refused = records_of_export(export(observation(**mine), **whole))
    except InputError:
        return
    assert all(r.isprintable() for r in refused)
    assert to_rows([r for r in records if isinstance(r, Interaction)]) is not None
    for row in (observation(**mine), {**SCORE, **mine}):
        try:
            (record,), _ = records_of_export(row)
        except InputError:
            continue
        if isinstance(record, SpanRow):
            assert spans_to_rows([record]).num_rows == 1
