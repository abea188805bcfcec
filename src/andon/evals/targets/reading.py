"""What a target gave, as an `Output`: text, an object of ours, an OpenAI-compatible completion, or any JSON by paths. Pure."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from andon.errors import InputError, SeamError
from andon.evals.records import Output
from andon.traffic import ToolCall
from andon.traffic.quoting import quoted

__all__ = [
    "MISSING",
    "chat_output",
    "find",
    "json_of",
    "number_of",
    "output_of",
    "steps_of",
    "texts_of",
    "tool_calls_of",
]

MISSING = object()
"""What `find` gives where the path leads nowhere."""

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(-?\d+|\*)\]")
_MOST = 2**53


def json_of(content: bytes, name: str) -> Any:
    """The value of JSON text.

    Raises:
        SeamError: it is none.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise SeamError(f"{name} gave no JSON: {quoted(content, 200)}") from None


def output_of(row: Any, name: str) -> Output:
    """An output from text, None (no answer), an object with `answer` and perhaps other fields of `Output`, or an `Output`.

    Raises:
        SeamError: it is none of them.
    """
    if row is None or isinstance(row, str):
        row = {"answer": row}
    if isinstance(row, Output):  # whoever made it may have put anything into it
        row = asdict(row)
    if not isinstance(row, Mapping):
        raise SeamError(f"{name} gave {quoted(row)}; text or an object with `answer` is allowed")
    if "answer" not in row:
        raise SeamError(f"{name} gave an object without `answer`; it has {quoted(', '.join(map(str, row)), 200)}")
    answer, contexts = row["answer"], row.get("contexts")
    texts = None if contexts is None else texts_of(contexts)
    if not (answer is None or isinstance(answer, str)) or (texts is None and contexts is not None):
        raise SeamError(
            f"{name} gave answer {quoted(answer)}, contexts {quoted(contexts)}; text and a list of texts are allowed"
        )
    return Output(
        answer=None if answer is None else _unicode(answer),
        contexts=texts if texts is None else tuple(map(_unicode, texts)),
        tool_calls=tool_calls_of(row.get("tool_calls"), name),
        latency_s=number_of(row.get("latency_s"), "latency_s", name),
        input_tokens=_whole(row.get("input_tokens"), "input_tokens", name),
        output_tokens=_whole(row.get("output_tokens"), "output_tokens", name),
        cost_usd=number_of(row.get("cost_usd"), "cost_usd", name),
    )


def chat_output(row: Any, name: str) -> Output:
    """The output of an OpenAI-compatible completion: its text or refusal, tool calls and usage.

    Raises:
        SeamError: it holds no choice with a message.
    """
    try:
        message = row["choices"][0]["message"]
        answer = message.get("content") if message.get("content") is not None else message.get("refusal")
        calls = message.get("tool_calls")
        said = answer is not None or "content" in message or bool(calls)
    except (KeyError, IndexError, TypeError, AttributeError):
        said = False
    if not said:
        raise SeamError(f"{name} gave no choices[0].message.content, but {quoted(json.dumps(row), 200)}")
    if isinstance(answer, list):  # parts, of which some are text
        answer = "".join(p["text"] for p in answer if isinstance(p, dict) and isinstance(p.get("text"), str))
    usage = row.get("usage")
    tokens = usage if isinstance(usage, Mapping) else {}
    counts = (("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens"))
    return output_of(
        {"answer": answer, "tool_calls": calls, **{ours: tokens.get(theirs) for ours, theirs in counts}}, name
    )


def texts_of(value: Any) -> tuple[str, ...] | None:
    """Passages from a text, a list of texts or of objects with `text`. None: it is another shape."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        return None
    found = [c.get("text") if isinstance(c, Mapping) else c for c in items]
    texts = tuple(t for t in found if isinstance(t, str))
    return texts if len(texts) == len(found) else None


def tool_calls_of(value: Any, name: str) -> tuple[ToolCall, ...]:
    """Tool calls, each an object with `name` and `arguments` (or `input`), or one with these in `function`; none from None.

    Raises:
        SeamError: it is another shape.
    """
    if value is None:
        return ()
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(_tool_call(item, name) for item in items)


def number_of(value: Any, what: str, name: str) -> float | None:
    """A finite number that is not negative; None from None.

    Raises:
        SeamError: it is none.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST:
        raise SeamError(f"{name} gave {what} {quoted(value)}; a number that is not negative is allowed")
    return float(value)


def steps_of(path: str) -> tuple[str | int, ...]:
    """The steps of a path such as ``data.reply[0].text`` or ``sources[*].text``: names, positions, ``*`` for every item.

    Raises:
        InputError: it is no path.
    """
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise InputError(f"{quoted(path)} is no path; write it like data.reply[0].text or sources[*].text")
        name, place = found.groups()
        steps.append(name if name is not None else place if place == "*" else int(place))
        at = found.end()
    if not steps:
        raise InputError("a path is empty; write it like data.reply[0].text")
    return tuple(steps)


def find(value: Any, steps: Iterable[str | int]) -> Any:
    """What stands in a JSON value at a path; `MISSING` where there is nothing. ``*`` gives a list of what each item has."""
    steps = tuple(steps)
    for done, step in enumerate(steps):
        if step == "*":
            if not isinstance(value, list):
                return MISSING
            each = (find(item, steps[done + 1 :]) for item in value)
            return [item for item in each if item is not MISSING]
        if isinstance(step, int):
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return MISSING
            value = value[step]
        elif not isinstance(value, Mapping) or step not in value:
            return MISSING
        else:
            value = value[step]
    return value


def _tool_call(item: Any, name: str) -> ToolCall:
    inner = item.get("function", item) if isinstance(item, Mapping) else item
    called = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(called, str):
        raise SeamError(f"{name} gave a tool call {quoted(item)}; an object with `name` and `arguments` is allowed")
    given = inner.get("arguments", inner.get("input"))
    result, error = _text(item.get("result")), _text(item.get("error"))
    return ToolCall(name=_unicode(called), arguments=_text(given), result=result, error=error)


def _text(value: Any) -> str | None:
    return None if value is None else _unicode(value) if isinstance(value, str) else json.dumps(value)


def _unicode(text: str) -> str:
    """A text with halves of surrogate pairs replaced: JSON can spell them, but nothing can keep them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _whole(value: Any, what: str, name: str) -> int | None:
    number = number_of(value, what, name)
    return None if number is None or math.isinf(number) else int(number)
