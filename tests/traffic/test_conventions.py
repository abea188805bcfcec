"""The conventions of the field, name by name: which attribute becomes which field, and which of two wins."""

import json
from itertools import pairwise

import pytest
from made_spans import T0, TRACE, event, one, span

from andon.traffic.conventions.messages import join_logs
from andon.traffic.conventions.readings import FINISH_REASONS, KEPT, PARAMETERS, PROVIDERS, READINGS, finish_reason
from andon.traffic.conventions.traces import assemble
from andon.traffic.records import LogRow

PLACES = {
    "trace": "chat", "any": "chat", "call": "chat", "calls": "chat", "top": "invoke_agent", "embedding": "embeddings",
    "retrieval": "retrieval", "tool": "execute_tool",
}  # fmt: skip
VALUES = {"text": ("one", "two"), "number": (0.25, 0.5), "count": (3, 7), "flag": (True, False)}
ROWS = [pytest.param(r, n, id=f"{r.field}<{n}") for r in READINGS for n in (*r.names, *r.parts)]
PAIRS = [pytest.param(r, a, b, id=f"{r.field}<{a}<{b}") for r in READINGS for a, b in pairwise(r.names)]


def listed(*items):
    """A list as JSON text."""
    return json.dumps(items)


def brief(value):
    """JSON text in our spelling."""
    return json.dumps(value, separators=(",", ":"))


SENT = {
    "messages": lambda reading, word: listed(
        {"role": "user" if reading.field == "query" else "assistant", "content": word}
    ),
    "documents": lambda reading, word: listed({"document": {"content": word, "id": "d", "score": 0.5}}),
    "definitions": lambda reading, word: listed({"name": word}),
    "milliseconds": lambda reading, word: {"one": 250, "two": 500}[word],
    "features": lambda reading, word: json.dumps({"f": word}),
    "tool_calls": lambda reading, word: json.dumps({"name": word, "arguments": "{}"}),
    "json": lambda reading, word: json.dumps({"a": word}),
    "embedding.embeddings": lambda reading, word: listed({"embedding": {"text": word}}),
    "ai.values": lambda reading, word: [json.dumps(word)],
    "ai.response.text": lambda reading, word: word,
}
FOUND = {
    "milliseconds": lambda reading, word: {"one": 0.25, "two": 0.5}[word],
    "features": lambda reading, word: {"f": word},
    "sampling_params": lambda reading, word: brief({reading.field.removeprefix("sampling_params."): word}),
    "tool_calls": lambda reading, word: word,
    "json": lambda reading, word: brief({"a": word}),
}


def sent(reading, name, which):
    """Attributes that say the first or the second of two things under a name, and what the field must be then."""
    kind = "sampling_params" if reading in PARAMETERS else reading.kind
    value = VALUES.get(kind, VALUES["text"])[which]
    send = next((SENT[k] for k in (name, reading.field, kind) if k in SENT), lambda reading, value: value)
    find = next((FOUND[k] for k in (reading.field, kind) if k in FOUND), lambda reading, value: value)
    return {name: send(reading, value)}, find(reading, value)


def read(found, reading):
    """The field of an interaction that a row of the table fills."""
    if reading.field == "contexts":
        return found.contexts[0].text if found.contexts else None
    if reading.field == "tool_calls":
        return found.tool_calls[0].name if found.tool_calls else None
    if reading.field.startswith("tool_calls."):
        return getattr(found.tool_calls[0], reading.field.removeprefix("tool_calls."))
    if reading in PARAMETERS:
        return found.sampling_params
    return getattr(found, reading.field)


def place(reading, attributes):
    """A span of the kind that a row of the table is read from."""
    return span(gen_ai__operation__name=PLACES[reading.of], **attributes)


@pytest.mark.parametrize(("reading", "name"), ROWS)
def test_each_name_alone_fills_its_field(reading, name):
    """Each attribute name of each row of the table, alone on a span of its kind, fills the row's field."""
    attributes, expected = sent(reading, name, 0)
    if reading.field == "tool_calls.id":  # shows in that the tool which ran is the one that the model had asked for
        asked = {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": expected, "name": "t", "arguments": {"x": 1}}],
        }
        model = span(2, start=0, took=5, gen_ai__operation__name="chat", gen_ai__output__messages=json.dumps([asked]))
        ran = place(reading, {**attributes, "gen_ai.tool.name": "renamed"})
        assert [t.name for t in one(model, ran).tool_calls] == ["renamed"]
        return
    found = one(place(reading, attributes))
    if reading.field == "tools_version":
        assert found.tools_version is not None
        assert found.tools_version != one(place(reading, sent(reading, name, 1)[0])).tools_version
        return
    assert read(found, reading) == expected


@pytest.mark.parametrize(("reading", "earlier", "later"), PAIRS)
def test_of_two_names_the_earlier_wins(reading, earlier, later):
    """Where a span has two names of one row, the one that stands earlier in the table is taken."""
    (first, expected), (second, _) = sent(reading, earlier, 0), sent(reading, later, 1)
    if reading.field == "tool_calls.id":
        asked = {"role": "assistant", "parts": [{"type": "tool_call", "id": expected, "name": "t"}]}
        model = span(2, gen_ai__operation__name="chat", gen_ai__output__messages=json.dumps([asked]))
        assert len(one(model, place(reading, {**second, **first, "gen_ai.tool.name": "renamed"})).tool_calls) == 1
        return
    both, alone = one(place(reading, {**second, **first})), one(place(reading, first))
    if reading.field == "tools_version":
        assert both.tools_version == alone.tools_version
        return
    assert read(both, reading) == expected


AGES = (
    ("andon.",),
    ("gen_ai.usage.cache_write.", "gen_ai.prompt.version", "gen_ai.retrieval.top_k", "gen_ai.request.reasoning.level"),
    ("gen_ai.", "deployment.environment.name", "service.", "feature_flag.", "user.", "session.", "error."),
    ("gen_ai.system", "pydantic_ai."),
    ("gen_ai.prompt", "gen_ai.completion", "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens", "traceloop.",
     "llm.usage.", "llm.request.", "llm.response.", "llm.user", "llm.top_k", "llm.chat.", "llm.frequency", "llm.presence",
     "gen_ai.usage.details.", "gen_ai.usage.cost", "gen_ai.usage.reasoning_tokens", "gen_ai.usage.cache_read_input_tokens",
     "gen_ai.usage.cache_write_input_tokens", "gen_ai.usage.cache_creation_input_tokens", "db.", "feature_flag.variant",
     "gen_ai.request.reasoning_effort", "operation.cost", "deployment.environment", "enduser."),
    ("", "llm.request.model_name", "llm.response.model_name"),
    ("ai.",),
    ("metadata.", "traceloop.association.", "ai.telemetry."),
    ("prompt.id", "gen_ai.data_source.id", "deployment.id", "vcs.ref.", "openinference.project.", "feature_flag.result.value"),
)  # fmt: skip
"""Beginnings of names, from what is read first: our own, the generations from the newest, OpenInference, Vercel, metadata,
and last resorts."""


def age(name):
    """Where a name stands in the reading order: its longest known beginning says."""
    known = ((len(start), rank) for rank, starts in enumerate(AGES) for start in starts if name.startswith(start))
    return max(known)[1]


@pytest.mark.parametrize("reading", [r for r in READINGS if r.field != "arm"], ids=lambda r: r.field)
def test_names_stand_in_reading_order(reading):
    """Of each row our own word comes first, then the generations from the newest, then other conventions, then last resorts."""
    assert sorted(reading.names, key=age) == list(reading.names)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("gen_ai.prompt", {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "one"}),
        ("llm.input_messages", {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "one"}),
        ("contents", {"llm.input_messages.0.message.role": "user",
                      "llm.input_messages.0.message.contents.0.message_content.type": "text",
                      "llm.input_messages.0.message.contents.0.message_content.text": "one"}),
        ("llm.prompts", {"llm.prompts.0.prompt.text": "one"}),
        ("embedding.embeddings", {"embedding.embeddings.0.embedding.text": "one", "openinference.span.kind": "EMBEDDING",
                                  "embedding.embeddings.0.embedding.vector": [0.5]}),
        ("reranker.query", {"openinference.span.kind": "RERANKER", "reranker.query": "one"}),
    ],
)  # fmt: skip
def test_flattened_questions_are_read(name, attributes):
    """Lists that a convention flattens into attributes are read like lists: the question is the last user's text."""
    assert one(span(**attributes)).query == "one", name


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "one"},
        {"llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "one"},
        {"llm.choices.0.completion.text": "one"},
        {"llm.output_messages.0.message.contents.0.message_content.text": "one"},
    ],
)
def test_flattened_answers_are_read(attributes):
    """Lists that a convention flattens into attributes are read like lists: the answer is the model's text."""
    assert one(span(gen_ai__operation__name="chat", **attributes)).answer == "one"


@pytest.mark.parametrize("kind", ["llm.output_messages.0.message.tool_calls.0.tool_call",
                                  "llm.output_messages.0.message.contents.1.tool_call",
                                  "gen_ai.completion.0.tool_calls.0"])  # fmt: skip
def test_flattened_tool_calls_are_read(kind):
    """A tool that a model asked for is found wherever OpenInference and OpenLLMetry flatten it to."""
    inner = f"{kind}.function" if "tool_call" in kind.rsplit(".", 1)[1] else kind
    found = one(span(openinference__span__kind="LLM", **{f"{inner}.name": "t", f"{inner}.arguments": '{"a": 1}'}))
    assert [(t.name, t.arguments) for t in found.tool_calls] == [("t", '{"a":1}')]


def test_a_call_that_stands_in_two_places_is_one():
    """A tool call that OpenInference lists among the parts of a message and again beside them is one call, with or without id."""
    start = "llm.output_messages.0.message."
    places = (f"{start}contents.0.tool_call.function", f"{start}tool_calls.0.tool_call.function")
    flat = {f"{p}.{k}": v for p in places for k, v in (("name", "t"), ("arguments", "{}"))}
    assert [t.name for t in one(span(openinference__span__kind="LLM", **flat)).tool_calls] == ["t"]


@pytest.mark.parametrize("name", ["retrieval.documents", "reranker.output_documents"])
def test_flattened_documents_are_read(name):
    """Documents come with id, text and score, in the order of their index and not of their names."""
    flat = {}
    for n in (10, 2):
        flat[f"{name}.{n}.document.id"] = n
        flat[f"{name}.{n}.document.content"] = f"text {n}"
        flat[f"{name}.{n}.document.score"] = n / 10
    found = one(span(openinference__span__kind="RERANKER" if name.startswith("reranker") else "RETRIEVER", **flat))
    assert [(c.id, c.text, c.score) for c in found.contexts] == [("2", "text 2", 0.2), ("10", "text 10", 1.0)]


def test_what_a_vector_database_found_is_a_context():
    """The events of OpenLLMetry's vector databases are contexts; a distance, which is low for what is near, is no score."""
    events = [event("db.query.result", db__query__result__id="d1", db__query__result__document="text",
                    db__query__result__score=0.9),
              event("db.search.result", db__search__result__id="d2", db__search__result__distance=0.1)]  # fmt: skip
    found = one(span(name="pinecone.query", db__system="pinecone", db__vector__query__top_k=5, events=events))
    assert [(c.id, c.text, c.score) for c in found.contexts] == [("d1", "text", 0.9), ("d2", "", None)]
    assert found.sampling_params == '{"retrieval.top_k":5}'
    assert found.steps == ()


def test_reranked_documents_replace_retrieved_ones():
    """The passages that the answer could draw on are those that the last reranker gave, in its order."""
    retrieved = span(1, openinference__span__kind="RETRIEVER", **{"retrieval.documents.0.document.id": "a"})
    kept = {"reranker.output_documents.0.document.id": "b", "reranker.input_documents.0.document.id": "a"}
    ranked = span(2, start=5, openinference__span__kind="RERANKER", reranker__model_name="r-1", **kept)
    found = one(retrieved, ranked)
    assert [c.id for c in found.contexts] == ["b"]
    assert found.attributes["reranker.model_name"] == "r-1"


GENERATIONS = {
    "G0": {
        "llm.request.type": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.response.model": "m-1",
        "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "Be brief.",
        "gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "Q?",
        "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "A.",
        "gen_ai.completion.0.finish_reason": "stop", "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 2,
        "llm.usage.total_tokens": 12, "traceloop.prompt.version": 3, "traceloop.association.properties.session_id": "s",
    },
    "G2": {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-1", "gen_ai.system_instructions": '[{"type": "text", "content": "Be brief."}]',
        "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "Q?"}]}]',
        "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "A."}]}]',
        "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.conversation.id": "s", "andon.prompt_version": "3",
    },
    "G3, structured": {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m",
        "gen_ai.response.model": "m-1", "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "Q?"}]}],
        "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "A."}]}],
        "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.conversation.id": "s", "gen_ai.prompt.version": "3",
    },
    "OpenInference": {
        "openinference.span.kind": "LLM", "llm.provider": "openai", "llm.request.model_name": "m", "llm.model_name": "m-1",
        "llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": "Be brief.",
        "llm.input_messages.1.message.role": "user", "llm.input_messages.1.message.content": "Q?",
        "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "A.",
        "llm.token_count.prompt": 10, "llm.token_count.completion": 2, "llm.finish_reason": "stop", "session.id": "s",
        "llm.prompt_template.version": "3",
    },
    "Vercel AI SDK": {
        "ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "openai", "ai.model.id": "m",
        "ai.response.model": "m-1", "ai.response.text": "A.", "ai.response.finishReason": "stop",
        "ai.prompt.messages": '[{"role": "system", "content": "Be brief."}, '
                              '{"role": "user", "content": [{"type": "text", "text": "Q?"}]}]',
        "ai.usage.promptTokens": 10, "ai.usage.completionTokens": 2, "ai.telemetry.metadata.session_id": "s",
        "ai.telemetry.metadata.prompt_version": "3",
    },
}  # fmt: skip
SAID = ("query", "answer", "provider", "model", "requested_model", "input_tokens", "output_tokens", "finish_reason",
        "session_id", "prompt_version")  # fmt: skip
EXPECTED = ("Q?", "A.", "openai", "m-1", "m", 10, 2, "stop", "s", "3")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_one_call_in_every_generation_is_one_interaction(generation):
    """The same call in each convention gives the same fields; system instructions are nobody's question."""
    found = one(span(**GENERATIONS[generation]))
    assert tuple(getattr(found, field) for field in SAID) == EXPECTED


def logs(*said, start=0):
    """Log records of one span, a microsecond apart; `said` are (event name, body)."""
    return [
        LogRow(id=f"{n}-{name}", time_us=T0 + start + n, trace_id=TRACE, span_id=f"{1:016x}", name=name, body=body)
        for n, (name, body) in enumerate(said)
    ]


G1 = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "m"}
SAID_IN_G1 = (
    ("gen_ai.system.message", {"content": "Be brief."}),
    ("gen_ai.user.message", {"content": "First?"}),
    ("gen_ai.assistant.message", {"tool_calls": [{"id": "c", "function": {"name": "t", "arguments": '{"a": 1}'}}]}),
    ("gen_ai.tool.message", {"id": "c", "content": "42"}),
    ("gen_ai.user.message", {"content": "Q?"}),
    ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A."}}),
)
DETAILS = {
    "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "Q?"}]}],
    "gen_ai.output.messages": [
        {"role": "assistant", "parts": [{"type": "text", "content": "A."}], "finish_reason": "stop"}
    ],
}


@pytest.mark.parametrize("form", ["log", "span event", "json body", "text body", "details", "details in attributes"])
def test_messages_in_events_are_read_in_every_form(form):
    """Content in log records, in span events, as JSON text or in one structured event gives question, answer and reason."""
    if form == "log":
        (joined,) = join_logs([span(**G1)], logs(*SAID_IN_G1))
    elif form == "details":
        (joined,) = join_logs([span(**G1)], logs(("gen_ai.client.inference.operation.details", DETAILS)))
    elif form == "details in attributes":
        joined = span(events=[event("gen_ai.client.inference.operation.details", **DETAILS)], **G1)
    elif form == "span event":
        joined = span(events=[event(name, **body) for name, body in SAID_IN_G1], **G1)
    elif form == "json body":
        joined = span(events=[event(n, gen_ai__event__content=json.dumps(b)) for n, b in SAID_IN_G1], **G1)
    else:
        said = [("gen_ai.user.message", "Q?"), ("gen_ai.choice", {"finish_reason": "stop", "message": "A."})]
        (joined,) = join_logs([span(**G1)], logs(*said))
    found = one(joined)
    assert (found.query, found.answer, found.finish_reason, found.provider) == ("Q?", "A.", "stop", "openai")


def test_tools_in_message_events_are_tool_calls():
    """A tool call in the choice of a model and its result in the next call's messages are one tool call."""
    asked = {
        "finish_reason": "tool_calls",
        "message": {"tool_calls": [{"id": "c", "function": {"name": "t", "arguments": "{}"}}]},
    }
    first = span(1, events=[event("gen_ai.choice", **asked)], **G1)
    second = span(2, start=2000, events=[event("gen_ai.tool.message", id="c", content="42")], **G1)
    (call,) = one(first, second).tool_calls
    assert (call.name, call.arguments, call.result) == ("t", "{}", "42")


def test_joining_logs_is_free_of_order_and_repetition():
    """Log records in any order, repeated, and those of other spans or of none give the same spans; others stay as they are."""
    rows = logs(*SAID_IN_G1)
    stray = [LogRow(id="x", time_us=T0, name="gen_ai.choice", body={"message": "no"}),
             LogRow(id="y", time_us=T0, trace_id="2" * 32, span_id=f"{1:016x}", name="gen_ai.choice", body="no")]  # fmt: skip
    other = span(2, **G1)
    expected = join_logs([span(**G1), other], rows)
    assert join_logs([span(**G1), other], [*reversed(rows), *stray, *rows]) == expected
    assert expected[1] is other
    assert [e["name"] for e in expected[0].events] == [name for name, _ in SAID_IN_G1]
    assert join_logs([other], []) == [other]


def test_messages_of_one_microsecond_keep_their_sense():
    """Of log records with one time the system's comes first and the model's choice last, whatever their ids."""
    said = [LogRow(id=i, time_us=T0, trace_id=TRACE, span_id=f"{1:016x}", name=n, body=b)
            for i, (n, b) in zip("cba", (SAID_IN_G1[0], SAID_IN_G1[4], SAID_IN_G1[5]), strict=True)]  # fmt: skip
    (joined,) = join_logs([span(**G1)], said)
    assert [e["name"].split(".")[1] for e in joined.events] == ["system", "user", "choice"]


def test_of_two_generations_on_one_span_the_newer_speaks():
    """Messages under the newest name win over events, these over flattened ones, and nothing is counted twice."""
    everything = {**GENERATIONS["G0"], **GENERATIONS["OpenInference"], **GENERATIONS["G2"]}
    everything["gen_ai.prompt.1.content"] = everything["llm.input_messages.1.message.content"] = "older"
    events = [event("gen_ai.user.message", content="older"), event("gen_ai.choice", message="older")]
    found = one(span(events=events, **everything))
    assert tuple(getattr(found, field) for field in SAID) == EXPECTED


@pytest.mark.parametrize("part", [{"type": "reasoning", "content": "hm"}, {"type": "blob", "content": "eA==", "modality": "image"},
                                  {"type": "uri", "uri": "x"}, {"type": "compaction", "content": "old"}, {"type": "new", "content": "?"}])  # fmt: skip
def test_parts_that_are_no_text_are_not_the_answer(part):
    """Reasoning, images and unknown parts of a message stand beside the answer and are not taken for it."""
    said = [{"role": "assistant", "parts": [part, {"type": "text", "content": "A."}]}]
    assert one(span(gen_ai__operation__name="chat", gen_ai__output__messages=json.dumps(said))).answer == "A."


@pytest.mark.parametrize("name", ["response", "result"])
def test_tool_results_have_two_names(name):
    """The result of a tool is read under the name of the schema and under that of its published example."""
    asked = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "t", "arguments": {}}]}]
    told = [{"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", name: "rainy"}]}]
    first = span(1, gen_ai__operation__name="chat", gen_ai__output__messages=json.dumps(asked))
    second = span(2, start=5, gen_ai__operation__name="chat", gen_ai__input__messages=json.dumps(told))
    assert [t.result for t in one(first, second).tool_calls] == ["rainy"]


def test_tools_of_the_provider_are_tool_calls():
    """A tool that runs at the provider is a call with its own arguments and result."""
    said = [{"role": "assistant", "parts": [
        {"type": "server_tool_call", "id": "s", "name": "web_search", "server_tool_call": {"type": "web_search", "query": "x"}},
        {"type": "server_tool_call_response", "id": "s", "server_tool_call_response": {"type": "web_search", "hits": 1}},
        {"type": "text", "content": "A."}]}]  # fmt: skip
    found = one(span(gen_ai__operation__name="chat", gen_ai__output__messages=json.dumps(said)))
    assert [(t.name, t.arguments, t.result) for t in found.tool_calls] == [
        ("web_search", '{"type":"web_search","query":"x"}', '{"type":"web_search","hits":1}')
    ]
    assert found.answer == "A."


def test_a_failed_call_has_no_answering_model():
    """Of a call that failed, OpenInference's one model name is the model asked for; with an answer it is the one that gave it."""
    failed = one(span(openinference__span__kind="LLM", llm__model_name="m", status="error"))
    broken = one(span(openinference__span__kind="LLM", llm__model_name="m-1", status="error", output__value="half"))
    assert (failed.model, failed.requested_model) == (None, "m")
    assert (broken.model, broken.requested_model) == ("m-1", None)


@pytest.mark.parametrize("old", PROVIDERS)
def test_renamed_providers_are_the_same(old):
    """A provider that the conventions have renamed is the same provider under both names."""
    assert one(span(gen_ai__operation__name="chat", gen_ai__system=old)).provider == PROVIDERS[old]


@pytest.mark.parametrize("name", KEPT)
def test_what_has_no_field_is_kept_as_attribute(name):
    """Attributes without a field of their own are kept under their own names, from whichever span has them."""
    root = span(1, took=9, gen_ai__operation__name="invoke_agent")
    assert one(root, span(2, 1, gen_ai__operation__name="chat", **{name: "v"})).attributes[name] == "v"


def test_an_application_that_nobody_named_takes_its_projects_name():
    """The name that an SDK invents is no name: the OpenInference project stands in, else the default."""
    unnamed = {"gen_ai.operation.name": "chat", "service.name": "unknown_service:python"}
    assert one(span(**unnamed)).app == "default"
    assert one(span(**unnamed, openinference__project__name="shop")).app == "shop"


@pytest.mark.parametrize("how", ["attributes", "feature_flag.evaluation", "feature_flag"])
def test_flags_give_the_arm(how):
    """One flag's variant is the arm; several are named, sorted by key; each is an attribute; attributes and events agree."""

    def flagged(*flags):
        spans = []
        for n, (key, variant) in enumerate(flags):
            said = {"feature_flag.key": key, "feature_flag.result.variant": variant}
            mine = {} if how != "attributes" else said
            events = [] if how == "attributes" else [event(how, **said)]
            spans.append(span(n + 1, n or None, n, events=events, gen_ai__operation__name="chat", **mine))
        return one(*spans)

    assert (flagged(("ui", "blue")).arm, flagged(("ui", "blue")).attributes) == ("blue", {"feature_flag.ui": "blue"})
    several = flagged(("ui", "blue"), ("model", "b"), ("ui", "late"))
    assert several.arm == "model=b,ui=blue"
    assert several.attributes == {"feature_flag.ui": "blue", "feature_flag.model": "b"}


def test_an_arm_that_the_application_names_is_not_overruled_by_flags():
    """The application's own word on its arm wins over flags; the flags stay as attributes."""
    flag = {"feature_flag.key": "ui", "feature_flag.variant": "blue"}
    found = one(span(gen_ai__operation__name="chat", andon__arm="B", **flag))
    assert (found.arm, found.attributes) == ("B", {"feature_flag.ui": "blue"})


def test_the_control_plane_is_told_apart():
    """Version, revision, deployment, agent and data source each go to their own field, and fall back as documented."""
    chat = {"gen_ai.operation.name": "chat"}
    full = one(span(**chat, service__version="2.1", deployment__id="d-7", vcs__ref__head__revision="abc",
                    gen_ai__agent__version="4", gen_ai__data_source__id="kb", andon__index_version="7"))  # fmt: skip
    assert (full.code_version, full.revision, full.agent_version, full.index_version) == ("2.1", "abc", "4", "7")
    assert full.attributes["deployment.id"] == "d-7"
    poor = one(span(**chat, deployment__id="d-7", vcs__ref__head__revision="abc", gen_ai__data_source__id="kb"))
    assert (poor.code_version, poor.revision, poor.index_version) == ("d-7", "abc", "kb")
    assert one(span(**chat, vcs__ref__head__revision="abc")).code_version == "abc"


def test_features_of_a_classical_model_are_read():
    """Inputs of a model come as one object or one attribute each: numbers as numbers, the rest as text."""
    found = one(span(andon__prediction="yes", andon__features='{"age": 30, "city": "X"}', andon__features__plan="gold",
                     andon__features__odd=[1, 2]))  # fmt: skip
    assert found.features == {"age": 30.0, "city": "X", "plan": "gold", "odd": "[1,2]"}
    assert found.prediction == "yes"


@pytest.mark.parametrize("said", FINISH_REASONS)
def test_finish_reasons_have_one_vocabulary(said):
    """Every provider's word, in any case and with dashes or underscores, is one of five."""
    expected = FINISH_REASONS[said]
    assert expected in ("stop", "length", "tool_calls", "content_filter", "error")
    assert finish_reason(said) == finish_reason([said.upper()]) == finish_reason(said.replace("_", "-")) == expected


def test_other_finish_reasons_are_kept_and_several_joined():
    """A word that nobody knows is kept as it is; choices that ended alike give one word, others are joined in their order."""
    assert finish_reason("pause_turn") == "pause_turn"
    assert finish_reason(["end_turn", "stop"]) == "stop"
    assert finish_reason('["stop", "max_tokens"]') == "stop,length"
    assert finish_reason([]) is finish_reason("") is finish_reason([None, ""]) is None


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"object": "response", "status": "completed", "output": [{"type": "message"}]}, "stop"),
        ({"object": "response", "status": "completed", "output": [{"type": "function_call"}]}, "tool_calls"),
        (
            {"object": "response", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
        ),
        ({"choices": [{"finish_reason": "content_filter"}]}, "content_filter"),
        ({"stop_reason": "end_turn"}, "stop"),
        ({"text": "hello"}, None),
    ],
)
def test_the_providers_own_response_says_why_it_ended(output, expected):
    """Where an instrumentation leaves the reason out, the response that it kept as output value is asked."""
    assert one(span(openinference__span__kind="LLM", output__value=json.dumps(output))).finish_reason == expected


def test_large_texts_and_deep_values_cost_no_more_than_reading_them():
    """Ten megabytes of text, JSON nested a thousand deep and names of megabytes are read without failing."""
    deep = "[" * 900 + "]" * 900
    wide = json.dumps([{"role": "user", "content": "x" * 10_000_000}])
    found = one(
        span(1, gen_ai__operation__name="chat", gen_ai__input__messages=wide, input__value=deep, metadata=deep,
             gen_ai__tool__definitions=deep, llm__invocation_parameters=deep, gen_ai__request__seed=deep,
             **{"x" * 1_000_000: "v", "llm.input_messages.0." + "a." * 50_000 + "b": 1, "team": "y" * 10_000_000}),
    )  # fmt: skip
    assert len(found.query) == 10_000_000
    assert found.attributes == {}


def test_reading_changes_nothing_that_was_sent():
    """Assembling leaves the spans as they came, dicts within their attributes among them."""
    given = {"llm.output_messages.0": {"message": {"role": "assistant"}}, "llm.output_messages.0.message.content": "A."}
    before = json.dumps(given)
    assemble([span(openinference__span__kind="LLM", **given)])
    assert json.dumps(given) == before


CONVENTIONS = """
gen_ai.operation.name gen_ai.provider.name gen_ai.system gen_ai.request.model gen_ai.response.model gen_ai.request.temperature
gen_ai.request.top_p gen_ai.request.top_k gen_ai.request.max_tokens gen_ai.request.seed gen_ai.request.stop_sequences
gen_ai.request.frequency_penalty gen_ai.request.presence_penalty gen_ai.request.choice.count gen_ai.request.stream
gen_ai.request.encoding_formats gen_ai.response.id gen_ai.response.finish_reasons gen_ai.response.time_to_first_chunk
gen_ai.output.type gen_ai.usage.input_tokens gen_ai.usage.output_tokens gen_ai.usage.cache_read.input_tokens
gen_ai.usage.cache_creation.input_tokens gen_ai.usage.reasoning.output_tokens gen_ai.system_instructions
gen_ai.input.messages gen_ai.output.messages gen_ai.tool.name gen_ai.tool.type gen_ai.tool.description
gen_ai.tool.definitions gen_ai.tool.call.id gen_ai.tool.call.arguments gen_ai.tool.call.result gen_ai.data_source.id
gen_ai.retrieval.query.text gen_ai.retrieval.documents gen_ai.prompt.name gen_ai.prompt.version gen_ai.agent.id
gen_ai.agent.name gen_ai.agent.description gen_ai.agent.version gen_ai.workflow.name gen_ai.conversation.id session.id
user.id error.type service.version deployment.id deployment.environment.name vcs.ref.head.revision feature_flag.key
feature_flag.result.variant feature_flag.version feature_flag.set.id cicd.pipeline.run.id openinference.span.kind
llm.provider llm.system llm.request.model_name llm.response.model_name llm.model_name embedding.model_name
llm.invocation_parameters llm.finish_reason llm.token_count.prompt llm.token_count.completion llm.token_count.total
llm.cost.prompt llm.cost.completion llm.cost.total input.value output.value input.mime_type output.mime_type
llm.input_messages llm.output_messages tool.name tool.description tool.parameters tool.id tool.json_schema llm.tools
retrieval.documents reranker.query reranker.model_name reranker.top_k reranker.input_documents reranker.output_documents
embedding.embeddings llm.prompt_template.template llm.prompt_template.variables llm.prompt_template.version prompt.id
prompt.url prompt.vendor agent.name graph.node.id graph.node.name graph.node.parent_id tag.tags openinference.project.name
llm.token_count.prompt_details.cache_read llm.token_count.prompt_details.cache_write
llm.token_count.prompt_details.cache_input llm.token_count.prompt_details.audio
llm.token_count.completion_details.reasoning llm.token_count.completion_details.audio metadata gen_ai.prompt
gen_ai.completion llm.usage.total_tokens traceloop.span.kind traceloop.entity.name traceloop.entity.input
traceloop.entity.output traceloop.entity.version traceloop.workflow.name traceloop.prompt.key traceloop.prompt.version
traceloop.prompt.version_hash db.vector.query.top_k gen_ai.usage.cache_write.input_tokens gen_ai.retrieval.top_k
gen_ai.request.reasoning.level gen_ai.conversation.compacted gen_ai.usage.text.input_tokens
gen_ai.usage.image.output_tokens gen_ai.usage.audio.input_tokens gen_ai.usage.video.output_tokens
gen_ai.usage.prompt_tokens gen_ai.usage.completion_tokens
""".split()  # noqa: SIM905 - a list of 150 quoted names is no easier to read
ELSEWHERE = {
    "gen_ai.operation.name": "role", "openinference.span.kind": "role", "traceloop.span.kind": "role",
    "gen_ai.response.id": "double spans", "feature_flag.key": "name of the flag", "llm.token_count.total": "witness",
    "llm.usage.total_tokens": "witness", "metadata": "opened", "llm.invocation_parameters": "opened",
    "openinference.project.name": "app", "tag.tags": "free attribute", "graph.node.name": "name of a step",
    "reranker.input_documents": "what was not chosen", "gen_ai.system_instructions": "no question, no version of its own",
}  # fmt: skip
LEFT_TO_THE_SPANS = (
    "gen_ai.request.stream", "gen_ai.request.encoding_formats", "gen_ai.tool.type", "gen_ai.tool.description",
    "gen_ai.agent.description", "feature_flag.version", "feature_flag.set.id", "input.mime_type", "output.mime_type",
    "tool.description", "tool.json_schema", "llm.prompt_template.template", "llm.prompt_template.variables",
    "graph.node.id", "graph.node.parent_id", "llm.token_count.prompt_details.audio",
    "llm.token_count.completion_details.audio",
)  # fmt: skip


@pytest.mark.parametrize("name", CONVENTIONS)
def test_no_name_of_the_conventions_is_forgotten(name):
    """Each name of the field's conventions is in the table, kept, read elsewhere, or left to the table of spans on purpose."""
    table = {n for r in READINGS for n in (*r.names, *r.parts)}
    assert (name in table) + (name in KEPT and name not in table) + (name in ELSEWHERE and name not in table) + (
        name in LEFT_TO_THE_SPANS
    ) == 1
