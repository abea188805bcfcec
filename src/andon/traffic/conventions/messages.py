"""What was said in a span: messages in the forms of OTel GenAI (attributes, events, log records), OpenInference and others."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from andon.traffic.conventions.readings import names_of
from andon.traffic.conventions.values import compact_json, json_text, listed, parse_json
from andon.traffic.conventions.views import View
from andon.traffic.records import LogRow, SpanRow

__all__ = ["Asked", "Message", "asked_by", "inputs", "join_logs", "outputs", "plain_text", "raw_response"]

_QUESTIONS = ("query", "question", "query_str", "input", "user_input", "prompt", "q", "text", "content", "query_bundle")
_ANSWERS = ("answer", "output", "response", "result", "final_output", "text", "content", "completion", "message")
_DEPTH = 4
"""How deep a JSON value is searched for its text."""
_NEWEST_IN, _NEWEST_OUT = "gen_ai.input.messages", "gen_ai.output.messages"
_OLDER_IN = tuple(n for n in names_of("query", "call") if n != _NEWEST_IN)
_OLDER_OUT = tuple(n for n in names_of("answer", "call") if n != _NEWEST_OUT)
_ASKED = names_of("tool_calls", "call")
_DETAILS = "gen_ai.client.inference.operation.details"
_ORDER_OF_EVENTS = {"gen_ai.system.message": 0, "gen_ai.choice": 2}
"""Events of one microsecond: what a conversation starts and ends with."""
_CALLS = ("tool_call", "tool_use", "function_call", "server_tool_call", "server_tool_use")
_RESULTS = ("tool_call_response", "tool_result", "server_tool_call_response")
_LISTS = ("[{", "[ ")
"""How text begins that may be a list of parts."""
_TEXTS = ("text", "output_text", "input_text", "refusal")


class Asked(NamedTuple):
    """A tool call that a model asked for."""

    id: str | None
    name: str
    arguments: str | None


class Message(NamedTuple):
    """One message of a conversation."""

    role: str
    text: str | None
    """None where the message has no text at all; empty where it has an empty one."""
    asked: tuple[Asked, ...] = ()
    results: tuple[tuple[str, str], ...] = ()
    """(id of the call, result as text) of the tool results that the message carries."""
    finish: Any = None
    """Why it ended, as it came."""


def inputs(view: View) -> list[Message]:
    """The messages that went into a span, from the newest convention that it carries."""
    if "inputs" not in view.said:
        view.said["inputs"] = _messages(view, _NEWEST_IN, _event_inputs, _OLDER_IN)
    found: list[Message] = view.said["inputs"]
    return found


def outputs(view: View) -> list[Message]:
    """The messages that came out of a span, from the newest convention that it carries."""
    if "outputs" not in view.said:
        view.said["outputs"] = _messages(view, _NEWEST_OUT, _event_outputs, _OLDER_OUT)
    found: list[Message] = view.said["outputs"]
    return found


def asked_by(view: View) -> list[Asked]:
    """The tools that the model asked for in a span."""
    asked = [a for m in outputs(view) for a in m.asked]
    if not asked:
        for name in _ASKED:
            if name in view.attributes:
                value = parse_json(view.attributes[name]) or view.attributes[name]
                for call in value if isinstance(value, list) else [value]:
                    _take_call(call, asked)
    if any(a.arguments is None for a in asked):
        known = _raw_arguments(view)
        asked = [a._replace(arguments=known.get(a.id)) if a.arguments is None else a for a in asked]
    return asked


def raw_response(view: View) -> dict[str, Any]:
    """The provider's own response where the span has it as its output; empty where it has not.

    OpenInference leaves out of its attributes what is empty (``"arguments": "{}"``) and what it has no name for.
    """
    if "raw" not in view.said:
        found = parse_json(view.attributes.get("output.value")) if view.role == "llm" else None
        view.said["raw"] = found if isinstance(found, dict) else {}
    raw: dict[str, Any] = view.said["raw"]
    return raw


def join_logs(spans: Sequence[SpanRow], logs: Iterable[LogRow]) -> list[SpanRow]:
    """The spans, each with the log records of its (trace id, span id) as further events in the order of their times.

    The order of the records and repeated ones do not matter. Entries of a record's structured body become attributes of
    the event; any other body is its attribute ``body``.
    """
    events: dict[tuple[str, str], dict[str, tuple[Any, dict[str, Any]]]] = defaultdict(dict)
    for log in logs:
        if log.trace_id is not None and log.span_id is not None:
            order = (log.time_us, _ORDER_OF_EVENTS.get(log.name, 1), log.id)
            events[log.trace_id, log.span_id][log.id] = (order, _event_of(log))
    if not events:
        return list(spans)
    joined = []
    for span in spans:
        mine = events.get((span.trace_id, span.span_id))
        more = [] if mine is None else [event for _, event in sorted(mine.values(), key=lambda v: v[0])]
        joined.append(replace(span, events=(*span.events, *more)) if more else span)
    return joined


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


def _messages(view: View, newest: str, from_events: Any, older: tuple[str, ...]) -> list[Message]:
    if newest in view.attributes:
        found = listed(view.attributes[newest])
        if found:
            return _conversation(found)
    if view.row.events:
        found = from_events(view.row)
        if found:
            return _conversation(found)
    for name in older:
        if view.has(name):
            value = view.attributes.get(name)
            if name == "ai.response.text":  # the text itself, even where it looks like a list of messages
                return [Message(role="assistant", text=value)] if isinstance(value, str) else []
            found = view.objects(name)
            if found:
                return _conversation(found)
    return []


def _event_inputs(span: SpanRow) -> list[Any]:
    found: list[Any] = []
    for event in span.events:
        name = event["name"]
        if name.startswith("gen_ai.") and name.endswith(".message"):
            found.append({"role": name.split(".")[1], **_content(event)})
        elif name == _DETAILS:
            found.extend(listed(event["attributes"].get(_NEWEST_IN)) or [])
        elif name == "gen_ai.content.prompt":
            found.extend(_as_list(event["attributes"].get("gen_ai.prompt"), "user"))
    return found


def _event_outputs(span: SpanRow) -> list[Any]:
    found: list[Any] = []
    for event in span.events:
        name = event["name"]
        if name == "gen_ai.choice":
            content = _content(event)
            message = content.get("message", content)
            message = parse_json(message) or message if isinstance(message, str) else message
            message = message if isinstance(message, dict) else {"content": message}
            found.append({"finish_reason": content.get("finish_reason"), **message})
        elif name == _DETAILS:
            found.extend(listed(event["attributes"].get(_NEWEST_OUT)) or [])
        elif name == "gen_ai.content.completion":
            found.extend(_as_list(event["attributes"].get("gen_ai.completion"), "assistant"))
    return found


def _content(event: dict[str, Any]) -> dict[str, Any]:
    """What an event says, wherever its sender puts it: attributes, a body, or a body as JSON text."""
    attributes: dict[str, Any] = event["attributes"]
    for name in ("body", "gen_ai.event.content"):
        if name in attributes:
            inner = attributes[name]
            inner = parse_json(inner) or inner if isinstance(inner, str) else inner
            return {**attributes, **inner} if isinstance(inner, dict) else {"content": inner, **attributes}
    return attributes


def _event_of(log: LogRow) -> dict[str, Any]:
    body = {} if log.body is None else log.body if isinstance(log.body, dict) else {"body": log.body}
    return {"name": log.name, "time_us": log.time_us, "attributes": {**log.attributes, **body}}


def _as_list(value: Any, role: str) -> list[Any]:
    found = listed(value)
    if found is not None:
        return found
    return [] if value is None else [{"role": role, "content": value}]


def _conversation(items: Iterable[Any]) -> list[Message]:
    return [_message(item) for item in items if isinstance(item, dict | str)]


def _message(item: dict[str, Any] | str) -> Message:
    if isinstance(item, str):
        return Message(role="", text=item)
    finish = item.get("finish_reason")
    for wrapper in ("message", "prompt", "completion"):  # the last two are OpenInference's for text completion
        inner = item.get(wrapper)
        if isinstance(inner, dict):
            item = inner
            break
    said, role = item.get("content"), item.get("role")
    if len(item) == 2 and isinstance(said, str) and isinstance(role, str) and said[:2] not in _LISTS:
        return Message(role=role, text=said, finish=finish)  # most messages are no more than that
    texts: list[str] = []
    asked: list[Asked] = []
    results: list[tuple[str, str]] = []
    content = next((item[k] for k in ("parts", "contents", "content", "text") if item.get(k) is not None), None)
    parsed = parse_json(content) if isinstance(content, str) and content[:2] in _LISTS else None
    for part in parsed if isinstance(parsed, list) else content if isinstance(content, list) else [content]:
        _take(part, texts, asked, results)
    _take_calls_of(item, asked)
    role = str(item.get("role") or item.get("type") or "")
    answered = item.get("tool_call_id") or (item.get("id") if role == "tool" else None)
    if answered is not None:  # a tool speaks, under whatever role: nobody's question and nobody's answer
        results.append((str(answered), "\n".join(texts)))
        role, texts = "tool", []
    whole = "\n".join(texts) if texts and (any(texts) or not asked) else None
    finish = item.get("finish_reason") if finish is None else finish
    return Message(role=role, text=whole, asked=tuple(asked), results=tuple(results), finish=finish)


def _take_calls_of(message: dict[str, Any], asked: list[Asked]) -> None:
    """The calls that stand beside the parts of a message; OpenInference lists some of them in both places."""
    calls, name = message.get("tool_calls"), message.get("function_call_name")
    if not calls and not isinstance(name, str):
        return
    also: list[Asked] = []
    for call in calls if isinstance(calls, list) else []:
        _take_call(call, also)
    if isinstance(name, str):
        _take_call({"name": name, "arguments": message.get("function_call_arguments_json")}, also)
    known = {_key(a) for a in asked}
    asked.extend(a for a in also if _key(a) not in known)


def _take(part: Any, texts: list[str], asked: list[Asked], results: list[tuple[str, str]]) -> None:
    if isinstance(part, str):
        texts.append(part)
    if not isinstance(part, dict):
        return
    if part.get("type") == "text" and isinstance(part.get("content"), str):
        texts.append(part["content"])
        return
    if isinstance(part.get("message_content"), dict):
        part = {**part, **part["message_content"]}
    kind = str(part.get("type", "text")).replace("-", "_")
    if kind in _CALLS or isinstance(part.get("tool_call"), dict):
        _take_call(part, asked)
    elif kind in _RESULTS:
        identity = next((part[k] for k in ("id", "tool_use_id", "tool_call_id", "toolCallId") if part.get(k)), None)
        names = ("response", "result", "content", "output", "server_tool_call_response")
        result = next((part[k] for k in names if part.get(k) is not None), None)
        if identity is not None and result is not None:
            results.append((str(identity), result if isinstance(result, str) else json_text(result)))
    elif kind in _TEXTS:
        said = next((part[k] for k in ("content", "text", "refusal") if isinstance(part.get(k), str)), None)
        if said is not None:
            texts.append(said)


def _take_call(call: Any, asked: list[Asked]) -> None:
    if not isinstance(call, dict):
        return
    if isinstance(call.get("tool_call"), dict):
        call = call["tool_call"]
    function = call["function"] if isinstance(call.get("function"), dict) else call
    name = next((function[k] for k in ("name", "toolName") if function.get(k)), None)
    if isinstance(name, str):
        names = ("arguments", "input", "args", "server_tool_call")
        arguments = next((function[k] for k in names if function.get(k) is not None), None)
        identity = next((call[k] for k in ("id", "call_id", "toolCallId") if call.get(k) is not None), None)
        asked.append(
            Asked(id=None if identity is None else str(identity), name=name, arguments=compact_json(arguments))
        )


def _key(asked: Asked) -> Any:
    return asked.id or (asked.name, asked.arguments)


def _raw_arguments(view: View) -> dict[str | None, str | None]:
    """Arguments by the id of the call, from the provider's own response."""
    found: dict[str | None, str | None] = {}
    items = raw_response(view).get("output")
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and item.get("type") == "function_call" and isinstance(item.get("call_id"), str):
            found[item["call_id"]] = compact_json(item.get("arguments"))
    return found


def _said(messages: list[Message], *, answer: bool) -> str | None:
    """The last message of the side that is asked for; of a list without roles, the last text."""
    roles = ("assistant", "ai", "model") if answer else ("user", "human")
    with_text = [m for m in messages if m.text is not None]
    of_role = [m.text for m in with_text if m.role in roles]
    without = [m.text for m in with_text if m.role in ("", "text")]
    return of_role[-1] if of_role else without[-1] if without else None
