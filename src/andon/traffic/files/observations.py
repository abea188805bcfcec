"""One observation of Langfuse as the attributes of a span: roles, messages, usage, parameters, metadata.

Names of fields are those of Langfuse's API. Values are anything: structures may come as JSON text, twice over.
"""

from collections.abc import Mapping
from typing import Any

from andon.traffic.conventions.messages import plain_text
from andon.traffic.conventions.readings import READINGS
from andon.traffic.conventions.values import count, json_text, number, parse_json
from andon.traffic.files.cells import parse_cell

__all__ = ["attributes_of", "decoded", "text_of", "trace_attributes"]

_KINDS = {
    "GENERATION": "LLM", "SPAN": "CHAIN", "EVENT": "PROMPT", "AGENT": "AGENT", "TOOL": "TOOL", "CHAIN": "CHAIN",
    "RETRIEVER": "RETRIEVER", "EVALUATOR": "EVALUATOR", "EMBEDDING": "EMBEDDING", "GUARDRAIL": "GUARDRAIL",
}  # fmt: skip
"""Kind of a span by the type of the observation; an event is something that happened, and no step that ran."""
_ROLES = (
    "gen_ai.operation.name",
    "openinference.span.kind",
    "traceloop.span.kind",
    "llm.request.type",
    "ai.operationId",
)
_OWN = frozenset(n for r in READINGS for n in r.names if n.startswith("metadata."))
"""Metadata that any observation may carry for the whole; other metadata is taken from the trace and its outermost step."""
_SENT = ("attributes", "resourceAttributes", "scope")
_NOISE = ("langgraph_", "ls_", "checkpoint_ns", "langfuse_")
_INPUTS = ("llm.input_messages", "gen_ai.input.messages", "gen_ai.prompt")
_OUTPUTS = ("llm.output_messages", "gen_ai.output.messages", "gen_ai.completion")
_EMPTY_LIST = '{"arrayValue":{}}'
"""How an SDK sends a list of stop sequences in which there is none."""
_UNSET = "default"
"""What Langfuse calls an environment that nobody has named."""


def attributes_of(row: Mapping[str, Any], *, outermost: bool) -> dict[str, Any]:
    """The attributes of an observation's span."""
    metadata = row.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    found = _sent(metadata)
    found |= {k: v for k, v in _metadata(metadata).items() if outermost or k in _OWN}
    if outermost and isinstance(metadata.get("thread_id"), str):
        found.setdefault("session.id", metadata["thread_id"])
    if not any(name in found for name in _ROLES):
        kind = _KINDS.get(str(row.get("type")).upper(), "CHAIN")
        found["openinference.span.kind"] = "AGENT" if kind == "CHAIN" and "gen_ai.agent.name" in found else kind
    given, made = decoded(row.get("input")), decoded(row.get("output"))
    if _is_tool_message(made) and found.get("openinference.span.kind") == "CHAIN":
        found["openinference.span.kind"] = "TOOL"
    role = _role(found)
    if role == "TOOL":
        _take_tool(found, row, given, made if _is_tool_message(made) else _once(row.get("output")))
    elif role in ("LLM", "EMBEDDING"):
        _take_call(found, row, metadata, role)
        _take_messages(found, given, made)
        _put(found, "input.value", given)
        _put(found, "output.value", made)
    elif role == "RETRIEVER":
        _put(found, "input.value", text_of(given, answer=False))
        _take_documents(found, made)
    else:
        for name, value, answer in (("input.value", given, False), ("output.value", made, True)):
            sent = found.pop(name, None)  # else a framework's own objects, printed, would be what the user said
            _put(found, name, text_of(sent if value is None else value, answer=answer))
    if role == "GUARDRAIL" and isinstance(made, str) and len(made) < 60:
        found.setdefault("andon.guardrail", made)
    environment = row.get("environment")
    if isinstance(environment, str) and environment not in ("", _UNSET):
        found.setdefault("deployment.environment.name", environment)
    return found


def trace_attributes(trace: Mapping[str, Any], *, metadata: bool = True) -> dict[str, Any]:
    """What a trace says of itself: who, in which session, with which release, and its metadata and tags."""
    found: dict[str, Any] = {}
    own = trace.get("metadata")
    if metadata and isinstance(own, dict):
        found |= _metadata(own)
    release, version = _scalar(trace.get("release")), _scalar(trace.get("version"))
    environment = trace.get("environment")
    named = {
        "session.id": _scalar(trace.get("sessionId")),
        "user.id": _scalar(trace.get("userId")),
        "service.version": release or version,
        "gen_ai.agent.version": version if release else None,
        "deployment.environment.name": None if environment == _UNSET else _scalar(environment),
        "metadata.trace_name": _scalar(trace.get("traceName", trace.get("name") if metadata else None)),
    }
    found |= {name: value for name, value in named.items() if value}
    tags = trace.get("tags")
    if isinstance(tags, list) and tags and all(isinstance(t, str) for t in tags):
        found["metadata.tags"] = ",".join(tags)
    return found


def text_of(value: Any, *, answer: bool) -> str | None:
    """What a person wrote or read, in the input or output of a trace or a step; None where it is only structure."""
    value = decoded(value)
    if isinstance(value, dict):
        if set(value) == {"args", "kwargs"} or set(value) == {"args"}:  # of a decorated function
            return _argument(value)
        if answer and isinstance(value.get("raw"), str):
            return str(value["raw"])  # of a crew
    if isinstance(value, str) or value is None:
        return value
    return plain_text(value, answer=answer)


def decoded(value: Any) -> Any:
    """The value of JSON text, also where the text is within a text; ``null`` is None, and other text is as it came."""
    for _ in range(3):
        inner = parse_json(value)
        if inner is None:
            break
        value = inner
    return None if value in ("null", "") else value


def _once(value: Any) -> Any:
    """A text that came as JSON, as the text that it is; structures keep the spelling in which they came."""
    inner = parse_json(value)
    value = inner if isinstance(inner, str) else value
    return None if value in ("null", "") else value


def _argument(call: Mapping[str, Any]) -> str | None:
    """The question among the arguments of a function: the only text, else one whose name says so."""
    args, kwargs = call.get("args"), call.get("kwargs")
    listed = [*(args if isinstance(args, list) else []), *(kwargs.values() if isinstance(kwargs, dict) else ())]
    texts = [v for v in listed if isinstance(v, str)]
    if len(texts) == 1:
        return texts[0]
    return plain_text(kwargs, answer=False) if isinstance(kwargs, dict) and kwargs else None


def _sent(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that the SDK sent; those of the span win over those of its resource."""
    found: dict[str, Any] = {}
    for name in ("resourceAttributes", "attributes"):
        sent = decoded(metadata.get(name))
        if isinstance(sent, dict):
            mine = ((str(k), v) for k, v in sent.items() if v is not None)
            found |= {k: _attribute(k, v) for k, v in mine if not k.startswith("langfuse.")}  # those are columns here
    return found


def _attribute(name: str, value: Any) -> Any:
    if isinstance(value, str) and name.startswith("gen_ai.request.") and (known := number(value)) is not None:
        return int(known) if known.is_integer() and abs(known) < 2**53 else known  # all attributes come as text
    if isinstance(value, list) and all(isinstance(v, str | bool | int | float) for v in value):
        return value
    return json_text(value) if isinstance(value, list | dict) else value


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The user's own metadata."""
    own = {str(k): v for k, v in metadata.items() if k not in _SENT and not str(k).startswith(_NOISE)}
    return {f"metadata.{k}": _attribute(k, v) for k, v in own.items() if v is not None}


def _role(found: Mapping[str, Any]) -> str:
    """The kind of a span as far as it decides how its input and output are read."""
    said = str(next((found[n] for n in _ROLES if n in found), ""))
    return {"chat": "LLM", "generate_content": "LLM", "text_completion": "LLM", "completion": "LLM", "embeddings": "EMBEDDING",
            "execute_tool": "TOOL", "tool": "TOOL", "retrieval": "RETRIEVER"}.get(said, said)  # fmt: skip


def _take_call(found: dict[str, Any], row: Mapping[str, Any], metadata: Mapping[str, Any], role: str) -> None:
    """Model, parameters, prompt and usage of a call."""
    raw = decoded(row.get("output"))
    resolved = raw.get("model", raw.get("modelVersion")) if isinstance(raw, dict) and _is_response(raw) else None
    model = _scalar(row.get("model"))
    if isinstance(resolved, str) and resolved:
        found.setdefault("gen_ai.response.model", resolved)
    if model:
        found.setdefault("llm.model_name" if role == "LLM" else "embedding.model_name", model)
    asked = metadata.get("ls_model_name") or (model if "gen_ai.response.model" in found and model != resolved else None)
    if isinstance(asked, str) and asked != found.get("gen_ai.response.model"):
        found.setdefault("gen_ai.request.model", asked)
    if isinstance(metadata.get("ls_provider"), str):
        found.setdefault("llm.provider", metadata["ls_provider"])
    parameters = row.get("modelParameters")
    if isinstance(parameters, dict):
        given = {k: v for k, v in parameters.items() if v not in (None, "", _EMPTY_LIST)}
        _put(found, "llm.invocation_parameters", given or None)
    prompt = _scalar(row.get("promptName"))
    if prompt:
        version = row.get("promptVersion")
        found.setdefault("llm.prompt_template.version", prompt if version is None else f"{prompt}@{version}")
    definitions = row.get("toolDefinitions")
    if isinstance(definitions, dict) and definitions:
        found.setdefault("gen_ai.tool.definitions", json_text(list(definitions.values())))
    _take_usage(found, row)


def _take_usage(found: dict[str, Any], row: Mapping[str, Any]) -> None:
    """Tokens and cost, where the SDK did not send them itself.

    Langfuse's units are disjoint or not, as the sender had them: parts that its total counts besides input and output are
    added here where they are of another kind (audio), and by the reader where they are cache or reasoning.
    """
    usage = row.get("usageDetails") or row.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    parts = {str(k): c for k, v in usage.items() if (c := count(v)) is not None}
    given = next((parts[n] for n in ("input", "promptTokens", "prompt_tokens") if n in parts), None)
    made = next((parts[n] for n in ("output", "completionTokens", "completion_tokens") if n in parts), None)
    total = next((parts[n] for n in ("total", "totalTokens", "total_tokens") if n in parts), None)
    details: dict[str, int] = {}
    besides = {"in": 0, "out": 0}
    for name, tokens in parts.items():
        if "cache" in name:
            written = "creation" in name or "write" in name
            details["prompt_details.cache_write" if written else "prompt_details.cache_read"] = tokens
        elif any(word in name for word in ("reasoning", "thought", "thinking")):
            details["completion_details.reasoning"] = tokens
        elif name.startswith(("input_", "prompt_details", "output_", "completion_details")):
            besides["in" if name.startswith(("input_", "prompt_details")) else "out"] += tokens
    known = (given or 0) + (made or 0) + sum(details.values()) + sum(besides.values())
    if total == known and any(besides.values()):
        given, made = (given or 0) + besides["in"], (made or 0) + besides["out"]
    counted = {"prompt": given, "completion": made, "total": total, **details}
    if given is not None or made is not None:
        for name, tokens_of in counted.items():
            if tokens_of is not None:
                found.setdefault(f"llm.token_count.{name}", tokens_of)
    costs = row.get("costDetails")
    said = costs.get("total") if isinstance(costs, dict) else None
    places = (said, row.get("totalCost"), row.get("calculatedTotalCost"))
    paid = next((cost for cost in map(number, places) if cost), None)
    if paid is not None and paid > 0:  # a model without a price costs 0 there, which nobody measured
        found.setdefault("llm.cost.total", paid)


def _take_messages(found: dict[str, Any], given: Any, made: Any) -> None:
    """The conversation of a call, in the form of OpenTelemetry GenAI, where the SDK did not send it."""
    if not any(name.startswith(_INPUTS) for name in found):
        listed = _conversation(given)
        tools = [m["content"] for m in listed if _is_definition(m)]
        messages = [m for m in listed if not _is_definition(m)]
        if messages:
            found["gen_ai.input.messages"] = json_text(messages)
        if tools:
            found.setdefault("gen_ai.tool.definitions", json_text(tools))
    if not any(name.startswith(_OUTPUTS) for name in found):
        answered = _conversation(made)
        if answered:
            found["gen_ai.output.messages"] = json_text(answered)


def _conversation(value: Any) -> list[dict[str, Any]]:
    """The messages in an input or output of a call, as the APIs of the large providers write them."""
    if isinstance(value, dict):
        inner = next((value[n] for n in ("messages", "choices", "candidates") if isinstance(value.get(n), list)), None)
        if inner is None and value.get("object") == "response" and isinstance(value.get("output"), list):
            inner = value["output"]
        listed = [value] if inner is None and ("role" in value or "parts" in value) else inner or []
    else:
        listed = value if isinstance(value, list) else []
    messages = [_message(m) for m in listed if isinstance(m, dict)]
    return messages if all(_speaks(m) for m in messages) else []


def _message(message: dict[str, Any]) -> dict[str, Any]:
    if message.get("type") == "function_call" and isinstance(message.get("name"), str):
        return {"role": "assistant", "tool_calls": [{**message, "id": message.get("call_id")}]}
    if message.get("type") == "function_call_output":
        return {"role": "tool", "tool_call_id": message.get("call_id"), "content": message.get("output")}
    content = message.get("content")
    if isinstance(content, dict) and "parts" in content:  # a candidate of Gemini
        return {"finish_reason": message.get("finish_reason", message.get("finishReason")), **content}
    more = message.get("additional_kwargs")
    if isinstance(more, dict) and isinstance(more.get("tool_calls"), list) and not message.get("tool_calls"):
        return {**message, "tool_calls": more["tool_calls"]}
    return message


def _speaks(message: Mapping[str, Any]) -> bool:
    return any(name in message for name in ("role", "parts", "message")) or message.get("type") in (
        "human",
        "ai",
        "tool",
    )


def _is_definition(message: Mapping[str, Any]) -> bool:
    """Whether a message is the definition of a tool: so the integration of LangChain records them."""
    content = message.get("content")
    return isinstance(content, dict) and content.get("type") == "function" and isinstance(content.get("function"), dict)


def _is_response(value: Mapping[str, Any]) -> bool:
    """Whether an output is what a provider's API answered, and no text or message of it."""
    return any(isinstance(value.get(name), list) for name in ("choices", "output", "candidates", "content"))


def _is_tool_message(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "tool" and "tool_call_id" in value


def _take_tool(found: dict[str, Any], row: Mapping[str, Any], given: Any, made: Any) -> None:
    if isinstance(given, str):
        given = parse_cell(given)
    if _is_tool_message(made):
        _put(found, "gen_ai.tool.call.id", made.get("tool_call_id"))
        if made.get("status") == "error":
            found.setdefault("error.type", "tool_error")
        made = made.get("content")
    if not any(name in found for name in ("gen_ai.tool.name", "tool.name", "traceloop.entity.name")):
        _put(found, "gen_ai.tool.name", row.get("name"))
    _put(found, "gen_ai.tool.call.arguments", given)
    _put(found, "gen_ai.tool.call.result", made)


def _take_documents(found: dict[str, Any], made: Any) -> None:
    """What a retriever found."""
    if isinstance(made, dict):
        names = ("documents", "results", "matches", "chunks", "data")
        made = next((made[n] for n in names if isinstance(made.get(n), list)), [made])
    listed = (
        [{"content": d} if isinstance(d, str) else d for d in made if isinstance(d, str | dict)]
        if isinstance(made, list)
        else []
    )
    if isinstance(made, str):
        listed = [{"content": made}]
    if listed and not any(name.startswith(("retrieval.documents", "gen_ai.retrieval.documents")) for name in found):
        found["gen_ai.retrieval.documents"] = json_text(listed)


def _put(found: dict[str, Any], name: str, value: Any) -> None:
    if value is not None and name not in found:
        found[name] = value if isinstance(value, str) else json_text(value)


def _scalar(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
