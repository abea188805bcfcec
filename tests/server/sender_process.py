"""An application for the tests of real senders: it asks a model through the OpenAI SDK and is seen by an instrumentor.

A process of its own, because an instrumentor patches the SDK for the whole process. It says on stdout, one JSON line per
call, what the caller itself saw; that is what Andon must know afterwards.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from openai import OpenAI, OpenAIError
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import fake_model

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_order",
            "description": "Where an order is",
            "parameters": {"type": "object", "properties": {"question": {"type": "string"}}},
        },
    }
]


def instrument(flavour: str, traces: TracerProvider) -> None:
    """Let one of the two instrumentors see the SDK."""
    if flavour == "openinference":
        from openinference.instrumentation.openai import OpenAIInstrumentor as Instrumentor
    else:
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor as Instrumentor
    Instrumentor().instrument(tracer_provider=traces)


def say(call: str, query: str, **seen: Any) -> None:
    """What the caller saw of one call."""
    print(json.dumps({"call": call, "query": query, **seen}), flush=True)  # noqa: T201


def said(answer: Any) -> dict[str, Any]:
    """Answer, model, tokens and tool calls of a chat completion."""
    message = answer.choices[0].message
    asked_for = [[call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls or ()]
    usage = {"input_tokens": answer.usage.prompt_tokens, "output_tokens": answer.usage.completion_tokens}
    return {"answer": message.content, "model": answer.model, "tool_calls": asked_for, **usage}


def chat(client: OpenAI) -> None:
    """Three chats: plain, one in which a tool is asked for, and one that was told what the tool said."""
    query = "What is atrial fibrillation?"
    messages: list[Any] = [{"role": "user", "content": query}]
    say("chat", query, **said(client.chat.completions.create(model="small", messages=messages, temperature=0.2)))
    query = "Where is order 17?"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": query}]
    answer = client.chat.completions.create(model="small", messages=messages, tools=TOOLS)  # type: ignore[call-overload]
    say("tool", query, **said(answer))
    query = "And where is order 18?"
    messages[1]["content"] = query
    messages.append(answer.choices[0].message.model_dump(exclude_none=True))
    messages.append(
        {"role": "tool", "tool_call_id": answer.choices[0].message.tool_calls[0].id, "content": "on its way"}
    )
    answer = client.chat.completions.create(model="small", messages=messages, tools=TOOLS)  # type: ignore[call-overload]
    say("told", query, **said(answer))


def stream(client: OpenAI) -> None:
    """A chat that comes word by word."""
    query = "Who wrote Faust?"
    text, model, usage = "", "", None
    chunks = client.chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": query}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in chunks:
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        model, usage = chunk.model, chunk.usage
    assert usage is not None
    tokens = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    say("stream", query, answer=text, model=model, tool_calls=[], **tokens)


def others(client: OpenAI) -> None:
    """The Responses API, an embedding, and a call that fails."""
    query = "What is the boiling point of water?"
    response = client.responses.create(model="small", input=query)
    assert response.usage is not None
    tokens = {"input_tokens": response.usage.input_tokens, "output_tokens": response.usage.output_tokens}
    say("response", query, answer=response.output_text, model=response.model, tool_calls=[], **tokens)
    query = "a text without a question"
    vectors = client.embeddings.create(model="vectors", input=query)
    say("embedding", query, model=vectors.model, input_tokens=vectors.usage.prompt_tokens)
    query = "Will this fail?"
    try:
        client.chat.completions.create(model="broken", messages=[{"role": "user", "content": query}])
    except OpenAIError as error:
        say("failed", query, error=type(error).__name__)


def main() -> None:
    """Make every call once, and leave when all spans are exported."""
    parser = argparse.ArgumentParser()
    parser.add_argument("flavour", choices=("openinference", "openllmetry"))
    parser.add_argument("endpoint")
    options = parser.parse_args()
    fake_model.start()
    traces = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=options.endpoint)))
    instrument(options.flavour, traces)
    client = OpenAI(max_retries=0)
    chat(client)
    stream(client)
    others(client)
    traces.shutdown()


if __name__ == "__main__":
    main()
