"""What was said in a span: messages in the forms of OTel GenAI (attributes, events), OpenInference and the vendors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from andon.traffic.otlp import SpanRow

__all__ = ["Asked", "Message", "compact_json", "flat_list", "inputs", "outputs", "parse_json", "plain_text"]

_QUESTIONS = ("query", "question", "query_str", "input", "user_input", "prompt", "q", "text", "content", "query_bundle")
_ANSWERS = ("answer", "output", "response", "result", "final_output", "text", "content", "completion", "message")
_DEPTH = 4
"""How deep a JSON value is searched for its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A tool call that a model asked for."""

    id: str | None
    name: str
    arguments: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    role: str
    text: str | None
    """None where the message has no text at all; empty where it has an empty one."""
    asked: tuple[Asked, ...] = ()
    results: tuple[tuple[str, str], ...] = ()
    """(id of the call, result as text) of the tool results that the message carries."""


def inputs(span: SpanRow) -> list[Message]:
    """The messages that went into a span, from the newest convention that it carries."""
    return _messages(span, ("gen_ai.input.messages",), _event_inputs, "gen_ai.prompt", "llm.input_messages")


def outputs(span: SpanRow) -> list[Message]:
    """The messages that came out of a span, from the newest convention that it carries."""
    return _messages(span, ("gen_ai.output.messages",), _event_outputs, "gen_ai.completion", "llm.output_messages")


def plain_text(value: Any, *, answer: bool, depth: int = 0) -> str | None:
    """The text that a person wrote or read, out of a value that a framework may have wrapped in JSON.

    Text that is no wrapper is returned as it is. None where there is nothing.
    """
    if value is None or depth > _DEPTH:
        return None
    if isinstance(value, str):
        inner = parse_json(value)
        found = inner if isinstance(inner, str) else plain_text(inner, answer=answer, depth=depth + 1)
        return value if found is None else found
    if isinstance(value, list):
        return _said(_conversation(value), answer=answer)
    if isinstance(value, dict):
        return _text_within(value, answer=answer, depth=depth)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text_within(value: dict[str, Any], *, answer: bool, depth: int) -> str | None:
    for key in ("messages", "choices", "parts"):
        if isinstance(value.get(key), list) and value[key]:
            return _said(_conversation(value[key]), answer=answer)
    for key in _ANSWERS if answer else _QUESTIONS:
        found = plain_text(value.get(key), answer=answer, depth=depth + 1)
        if found is not None:
            return found
    only = list(value.values())
    return only[0] if len(only) == 1 and isinstance(only[0], str) else None


def flat_list(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """The objects under ``prefix.0.…``, ``prefix.1.…`` as nested dicts, in the order of their index."""
    start = prefix + "."
    tree: dict[str, Any] = {}
    for key, value in attributes.items():
        if key.startswith(start):
            _plant(tree, key[len(start) :].split("."), value)
    return [item for item in _ordered(tree) if isinstance(item, dict)]


def compact_json(value: Any) -> str | None:
    """JSON text in one spelling, so that two libraries' texts of one value are equal; text that is no JSON as it is."""
    known = parse_json(value) if isinstance(value, str) else value
    return (value or None) if known is None else _as_text(known)


def parse_json(text: Any) -> Any:
    """The value of JSON text; None where it is none."""
    if not isinstance(text, str) or text.lstrip()[:1] not in ("{", "[", '"'):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _messages(span: SpanRow, names: tuple[str, ...], from_events: Any, g0: str, openinference: str) -> list[Message]:
    for name in names:
        value = span.attributes.get(name)
        listed = parse_json(value) if isinstance(value, str) else value
        if isinstance(listed, list) and listed:
            return _conversation(listed)
    found = from_events(span)
    if found:
        return _conversation(found)
    flat = flat_list(span.attributes, g0) or [m.get("message", m) for m in flat_list(span.attributes, openinference)]
    return _conversation(flat)


def _event_inputs(span: SpanRow) -> list[Any]:
    found: list[Any] = []
    for event in span.events:
        name, attributes = event["name"], event["attributes"]
        if name.startswith("gen_ai.") and name.endswith(".message"):
            found.append({"role": name.split(".")[1], **attributes})
        elif name == "gen_ai.client.inference.operation.details":
            listed = attributes.get("gen_ai.input.messages")
            found.extend(parse_json(listed) or [] if isinstance(listed, str) else listed or [])
        elif name == "gen_ai.content.prompt":
            found.extend(_as_list(attributes.get("gen_ai.prompt"), "user"))
    return found


def _event_outputs(span: SpanRow) -> list[Any]:
    found: list[Any] = []
    for event in span.events:
        name, attributes = event["name"], event["attributes"]
        if name == "gen_ai.choice":
            message = attributes.get("message", attributes)
            message = parse_json(message) or message if isinstance(message, str) else message
            found.append(message if isinstance(message, dict) else {"content": message})
        elif name == "gen_ai.client.inference.operation.details":
            listed = attributes.get("gen_ai.output.messages")
            found.extend(parse_json(listed) or [] if isinstance(listed, str) else listed or [])
        elif name == "gen_ai.content.completion":
            found.extend(_as_list(attributes.get("gen_ai.completion"), "assistant"))
    return found


def _as_list(value: Any, role: str) -> list[Any]:
    listed = parse_json(value) if isinstance(value, str) else value
    if isinstance(listed, list):
        return listed
    return [] if value is None else [{"role": role, "content": value}]


def _conversation(items: Iterable[Any]) -> list[Message]:
    return [_message(item) for item in items if isinstance(item, dict | str)]


def _message(item: dict[str, Any] | str) -> Message:
    if isinstance(item, str):
        return Message(role="", text=item)
    inner = item.get("message")
    if isinstance(inner, dict):
        item = inner
    texts: list[str] = []
    asked: list[Asked] = []
    results: list[tuple[str, str]] = []
    content = next((item[k] for k in ("parts", "contents", "content") if item.get(k) is not None), None)
    content = _indexed(content)
    parsed = parse_json(content) if isinstance(content, str) and content[:2] in ("[{", "[ ") else None
    for part in parsed if isinstance(parsed, list) else content if isinstance(content, list) else [content]:
        _take(part, texts, asked, results)
    for call in _indexed(item.get("tool_calls")) or []:
        _take_call(call, asked)
    role = str(item.get("role") or item.get("type") or "")
    answered = item.get("tool_call_id") or (item.get("id") if role == "tool" else None)
    if answered is not None:  # a tool speaks, under whatever role: nobody's question and nobody's answer
        results.append((str(answered), "\n".join(texts)))
        role, texts = "tool", []
    text = "\n".join(texts) if texts and (any(texts) or not asked) else None
    return Message(role=role, text=text, asked=tuple(asked), results=tuple(results))


def _take(part: Any, texts: list[str], asked: list[Asked], results: list[tuple[str, str]]) -> None:
    if isinstance(part, str):
        texts.append(part)
    if not isinstance(part, dict):
        return
    if isinstance(part.get("message_content"), dict):
        part = part["message_content"]
    kind = str(part.get("type", "text"))
    if kind in ("tool_call", "tool_use", "function_call"):
        _take_call(part, asked)
    elif kind in ("tool_call_response", "tool_result"):
        identity = part.get("id") or part.get("tool_use_id") or part.get("tool_call_id")
        result = next((part[k] for k in ("response", "result", "content") if part.get(k) is not None), None)
        if identity is not None and result is not None:
            results.append((str(identity), _as_text(result)))
    elif kind in ("text", "output_text", "input_text", "refusal"):
        text = next((part[k] for k in ("content", "text", "refusal") if isinstance(part.get(k), str)), None)
        if text is not None:
            texts.append(text)


def _take_call(call: Any, asked: list[Asked]) -> None:
    if not isinstance(call, dict):
        return
    if isinstance(call.get("tool_call"), dict):
        call = call["tool_call"]
    function = call["function"] if isinstance(call.get("function"), dict) else call
    name = function.get("name")
    if isinstance(name, str) and name:
        arguments = next((function[k] for k in ("arguments", "input") if function.get(k) is not None), None)
        identity = call.get("id") or call.get("call_id")
        asked.append(
            Asked(
                id=None if identity is None else str(identity),
                name=name,
                arguments=compact_json(arguments),
            )
        )


def _said(messages: list[Message], *, answer: bool) -> str | None:
    """The last message of the side that is asked for; of a list without roles, the last text."""
    roles = ("assistant", "ai", "model") if answer else ("user", "human")
    with_text = [m for m in messages if m.text is not None]
    of_role = [m.text for m in with_text if m.role in roles]
    without = [m.text for m in with_text if m.role in ("", "text")]
    return of_role[-1] if of_role else without[-1] if without else None


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:
        return str(value)


def _indexed(value: Any) -> Any:
    """A dict whose keys are indices, as a list; anything else as it is."""
    if isinstance(value, dict) and value and all(k.isdecimal() for k in value):
        return _ordered(value)
    return value


def _ordered(tree: Mapping[str, Any]) -> list[Any]:
    return [tree[k] for k in sorted((k for k in tree if k.isdecimal() and len(k) < 19), key=int)]


def _plant(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        below = tree.setdefault(step, {})
        if not isinstance(below, dict):
            return  # a leaf and a branch under one name: the leaf came first
        tree = below
    tree.setdefault(path[-1], value)
