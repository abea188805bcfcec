"""One row from outside to one record: synonyms, units, and a reason for every row that cannot be kept.

Field names are those of `Interaction` and `Feedback`, or a synonym of `SYNONYMS`; the name itself wins over its
synonyms. Unknown keys become attributes, as text. Null is "not sent", and so is an empty text in any field except those
in which an empty text says something (an empty answer is a fact).
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from math import isfinite
from types import MappingProxyType
from typing import Any

import orjson

from andon.errors import InputError
from andon.traffic.clock import parse_time
from andon.traffic.quoting import quoted
from andon.traffic.records import FEEDBACK_KINDS, Context, Feedback, Interaction, Step, ToolCall

__all__ = [
    "FEEDBACK_SYNONYMS",
    "MAX_LINE",
    "SYNONYMS",
    "BadRow",
    "bad_row",
    "feedback_of",
    "field_of",
    "interaction_of",
    "why_no_json",
]

SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "id": ("interaction_id", "request_id", "response_id", "prediction_id"),
        "time_us": ("time", "timestamp", "created_at", "ts", "datetime", "start_time", "event_time", "event_timestamp"),
        "app": ("application", "service", "service_name"),
        "environment": ("env", "deployment_environment"),
        "session_id": ("session", "conversation_id", "thread_id"),
        "user_id": ("user",),
        "query": ("question", "prompt", "input", "user_input", "user_message"),
        "answer": ("response", "output", "model_answer", "completion", "generated_answer"),
        "contexts": ("retrieved_contexts", "context", "documents", "passages", "retrieved_documents"),
        "tool_calls": ("tools_called",),
        "model": ("model_version", "model_name", "response_model"),
        "requested_model": ("request_model",),
        "code_version": ("app_version", "service_version"),
        "revision": ("git_sha", "commit_sha"),
        "sampling_params": ("model_params", "invocation_parameters"),
        "arm": ("variant", "experiment_arm"),
        "error": ("error_type", "exception"),
        "finish_reason": ("stop_reason",),
        "latency_s": ("latency", "duration_s", "latency_seconds", "latency_ms", "duration_ms"),
        "first_token_s": ("time_to_first_token", "ttft", "first_token_ms", "ttft_ms", "time_to_first_token_ms"),
        "input_tokens": ("prompt_tokens", "tokens_in"),
        "output_tokens": ("completion_tokens", "tokens_out"),
        "cache_read_tokens": ("cached_tokens", "cache_read_input_tokens"),
        "cache_write_tokens": ("cache_creation_tokens", "cache_creation_input_tokens"),
        "reasoning_tokens": ("thinking_tokens", "thoughts_tokens"),
        "cost_usd": ("cost", "total_cost", "price_usd"),
        "expected_answer": ("ground_truth", "reference", "correct_answer", "expected", "reference_answer"),
        "prediction": (
            "predicted",
            "predicted_label",
            "predicted_class",
            "predicted_value",
            "prediction_label",
            "y_pred",
        ),
        "prediction_score": (
            "score",
            "probability",
            "proba",
            "predicted_probability",
            "predicted_proba",
            "prediction_probability",
            "prediction_proba",
            "y_pred_proba",
            "y_proba",
            "y_score",
        ),
        "label": ("target", "true_label", "y_true", "actual", "actual_label", "actual_value"),
        "attributes": ("metadata", "extra"),
        "weight": ("sampling_weight",),
    }
)
"""Other names under which a field of an `Interaction` arrives. Names that end in ``_ms`` are divided by 1000."""

FEEDBACK_SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "id": ("feedback_id",),
        "interaction_id": ("trace_id", "request_id", "response_id"),
        "time_us": ("time", "timestamp", "created_at", "ts"),
        "kind": ("type",),
        "value": ("score", "rating", "thumb", "thumbs"),
        "text": ("comment", "correction", "explanation"),
        "author": ("user", "user_id", "annotator"),
        "name": ("metric", "evaluator"),
        "source": ("annotator_kind",),
        "version": ("evaluator_version",),
        "error": ("error_type",),
    }
)
"""Other names under which a field of a `Feedback` arrives; ``thumb``, ``rating``, ``correction`` and ``label`` also say the kind."""

MAX_LINE = 16 * 2**20
"""Longest line that is read, in bytes."""

_SCOPES = ("interaction", "session")
_SOURCES = {"human": "human", "model": "model", "llm": "model", "code": "code", "andon": "andon"}
_THUMBS = {"up": 1.0, "down": 0.0, "👍": 1.0, "👎": 0.0, "true": 1.0, "false": 0.0}
_NO_ERROR = frozenset(("", "0", "false", "none", "null"))
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
_EMPTY_COUNTS = ("query", "answer", "expected_answer", "prediction")
_INT64_END = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that was not kept, and why."""

    line: int
    """Number of the line (or row) in its file, from 1."""
    reason: str
    """Field, value and what is allowed."""
    text: str
    """Beginning of the row, with control characters escaped."""
    file: str = ""
    """Its file, where several are read."""


def interaction_of(row: Mapping[str, Any]) -> Interaction:
    """The interaction that a row of JSON-like values describes.

    A row without an id gets one made from its content, so that reading it again makes no second row.

    Raises:
        InputError: a field has the wrong type or an impossible value, or there is no time.
    """
    values: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    for key, value in row.items():
        if value is None:
            continue
        field, factor = _FIELDS.get(key, (None, 1.0))
        if field is None or (field != key and row.get(field) is not None) or field in values:
            _attribute(attributes, "", key, value)
        elif field == "attributes":
            _attributes(attributes, key, value)
        else:
            converted = _CONVERTERS[field](key, value)
            if converted is not None:
                values[field] = converted / factor if factor != 1 else converted
    if "time_us" not in values:
        raise InputError("time is missing; give `time` as ISO 8601 text or a number since 1970")
    if "id" not in values:
        values["id"] = _content_id(row)
    return Interaction(**values, attributes=attributes)


def feedback_of(row: Mapping[str, Any]) -> Feedback:
    """The feedback that a row of JSON-like values describes; its id is made from the content where none is given.

    Raises:
        InputError: a field has the wrong type or an impossible value, or the interaction, time or kind is missing.
    """
    values: dict[str, Any] = {"kind": _said_kind(row)}
    raw_value: Any = None
    for key, value in row.items():
        field = _FEEDBACK_FIELDS.get(key)
        taken = field in values and field != "kind"
        if value is None or field is None or (field != key and row.get(field) is not None) or taken:
            continue
        if field == "value":
            raw_value = (key, value)
        elif field == "time_us":
            values[field] = _time(key, value)
        else:
            values[field] = _text(key, value)
    if values.get("interaction_id") is None and row.get("session_id") is not None:
        values |= {"interaction_id": _text("session_id", row["session_id"]), "scope": "session"}
    kind = values.get("kind")
    for field, known in (
        ("interaction_id", values.get("interaction_id")),
        ("kind", kind),
        ("time", "time_us" in values),
    ):
        if not known:
            raise InputError(f"{field} is missing; a feedback needs interaction_id, time and kind")
    if kind in ("thumbs", "thumbs_up", "thumbs_down"):
        raw_value = raw_value or ("kind", {"thumbs_up": "up", "thumbs_down": "down"}.get(kind))
        kind = values["kind"] = "thumb"
    if kind not in FEEDBACK_KINDS:
        raise InputError(f"kind is {quoted(kind)}; allowed: {', '.join(FEEDBACK_KINDS)}")
    if kind == "label" and values.get("text") is None:
        values["text"] = values.pop("label", None)  # a label says what is right; an evaluation's is its word
    if raw_value is not None:
        values["value"] = _feedback_value(kind, *raw_value)
    _complete(values)
    values = {name: value for name, value in values.items() if value is not None}
    return Feedback(**{**values, "id": values.get("id") or _content_id(row)})


def _said_kind(row: Mapping[str, Any]) -> str | None:
    """The kind that the other keys of a feedback imply; what a row says itself under `kind` or `type` wins."""
    if any(row.get(key) is not None for key in ("name", *FEEDBACK_SYNONYMS["name"])):
        return "evaluation"
    said = next((key for key in ("thumb", "thumbs", "rating", "correction", "label") if row.get(key) is not None), None)
    return "thumb" if said == "thumbs" else said


def field_of(name: str) -> str | None:
    """The field of an `Interaction` to which a name leads, its own or a synonym; None for any other name."""
    return _FIELDS.get(name, (None,))[0]


def bad_row(line: int, reason: str, row: bytes | str) -> BadRow:
    """A `BadRow` of which neither the reason nor the text can harm a terminal."""
    return BadRow(line=line, reason=reason, text=quoted(row, 200)[1:-1])


def why_no_json(line: bytes, error: orjson.JSONDecodeError) -> str:
    """Why a line is no JSON; names the field when it is a number that JSON does not have."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.extend(f"{quoted(k)} is {v}" for k, v in pairs if isinstance(v, float) and not isfinite(v))
        return {}

    try:
        json.loads(line, object_pairs_hook=look)
    except (ValueError, RecursionError):
        found.clear()
    if found:
        return f"{found[0]}; a finite number or null is allowed"
    return f"the line is not JSON: {error.msg} at character {error.pos + 1}"


def _content_id(row: Mapping[str, Any]) -> str:
    content = {k: v for k, v in row.items() if v is not None}
    try:
        text = orjson.dumps(content, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError as error:
        raise InputError(f"the row cannot be read: {error}") from error
    return hashlib.sha256(text).hexdigest()[:32]


def _attribute(attributes: dict[str, str], origin: str, key: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        try:
            value = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except orjson.JSONEncodeError:
            raise InputError(f"{quoted(key)} is nested too deeply to keep; allowed: up to 250 levels") from None
    if attributes.get(key, value) != value:
        key = f"{origin}.{key}"  # two values under one name: both are kept
    attributes[key] = value


def _attributes(attributes: dict[str, str], key: str, value: Any) -> None:
    if isinstance(value, str) and value.startswith("{"):
        with suppress(orjson.JSONDecodeError):
            value = orjson.loads(value)
    if isinstance(value, list) and all(isinstance(v, tuple) and len(v) == 2 for v in value):
        value = dict(value)  # a map column of Parquet
    if isinstance(value, dict):
        for name, v in value.items():
            _attribute(attributes, key, str(name), v)
    elif key == "attributes":
        raise InputError(f"attributes is {quoted(value)}; an object is allowed")
    else:
        _attribute(attributes, "", key, value)


def _text(key: str, value: Any) -> str | None:
    if isinstance(value, str):
        return value if value else None
    return _words(key, value)


def _words(key: str, value: Any) -> str:
    """Text in which an empty one says something."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and isfinite(value):
        return repr(value)
    raise InputError(f"{key} is {quoted(value)}; text is allowed")


def _failure(key: str, value: Any) -> str | None:
    """The type of an error; a column that says of each row whether it failed says so of few."""
    if value in (False, 0) or (isinstance(value, str) and value.strip().lower() in _NO_ERROR):
        return None
    if isinstance(value, dict) and (kind := _first(value, "type", "code")) is not None:
        return _json_text(f"{key}.type", kind)
    return "error" if value is True else _json_text(key, value)


def _json_text(key: str, value: Any) -> str | None:
    if isinstance(value, dict | list):
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        except orjson.JSONEncodeError:
            raise InputError(f"{key} is nested too deeply; allowed: up to 250 levels") from None
    return _text(key, value)


def _time(key: str, value: Any) -> int:
    try:
        return parse_time(value)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None


def _number(low: float, high: float, allowed: str) -> Callable[[str, Any], float | None]:
    def convert(key: str, value: Any) -> float | None:
        if value == "":
            return None
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            number = float(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value) if abs(value) < _INT64_END or isinstance(value, float) else float("inf")
        else:
            raise InputError(f"{key} is {quoted(value)}; {allowed} is allowed")
        if not isfinite(number) or not low <= number <= high:
            raise InputError(f"{key} is {quoted(value)}; {allowed} is allowed")
        return number

    return convert


def _count(key: str, value: Any) -> int | None:
    if value == "":
        return None
    number = (
        int(value) if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 20 else value
    )
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < _INT64_END:
        raise InputError(f"{key} is {quoted(value)}; a whole number from 0 is allowed")
    return number


def _flag(key: str, value: Any) -> bool | None:
    known = {"true": True, "false": False, "1": True, "0": False, "": None}
    text = value.lower() if isinstance(value, str) else str(value).lower() if isinstance(value, int) else "?"
    if text not in known:
        raise InputError(f"{key} is {quoted(value)}; true or false is allowed")
    return known[text]


def _contexts(key: str, value: Any) -> tuple[Context, ...]:
    items = [value] if isinstance(value, str | dict) else value
    if not isinstance(items, list | tuple):
        raise InputError(f"{key} is {quoted(value)}; a list of texts or objects is allowed")
    return tuple(_context(f"{key}[{i}]", item) for i, item in enumerate(items) if item is not None)


def _context(key: str, item: Any) -> Context:
    if isinstance(item, str):
        return Context(text=item)
    if not isinstance(item, dict):
        raise InputError(f"{key} is {quoted(item)}; text or an object with `text` is allowed")
    text = _first(item, "text", "content", "page_content", "passage", "chunk")
    if text is None:
        raise InputError(f"{key} has no `text`; an object with `text`, and perhaps `id` and `score`, is allowed")
    identity = _first(item, "id", "doc_id", "document_id", "source")
    score = _first(item, "score", "similarity", "relevance_score")
    return Context(
        text=_words(f"{key}.text", text),
        id=None if identity is None else _text(f"{key}.id", identity),
        score=None if score is None else _ANY(f"{key}.score", score),
    )


def _tool_calls(key: str, value: Any) -> tuple[ToolCall, ...]:
    items = [value] if isinstance(value, str | dict) else value
    if not isinstance(items, list | tuple):
        raise InputError(f"{key} is {quoted(value)}; a list of objects with `name` is allowed")
    return tuple(_tool_call(f"{key}[{i}]", item) for i, item in enumerate(items) if item is not None)


def _tool_call(key: str, item: Any) -> ToolCall:
    if isinstance(item, str) and item:
        return ToolCall(name=item)
    if not isinstance(item, dict):
        raise InputError(f"{key} is {quoted(item)}; an object with `name` is allowed")
    call = item["function"] if isinstance(item.get("function"), dict) else item
    name = call.get("name") or call.get("tool")
    if not isinstance(name, str):
        raise InputError(f"{key} is {quoted(item)}; an object with `name` is allowed")
    parts = {
        "arguments": _first(call, "arguments", "args", "input", "parameters"),
        "result": _first(item, "result", "output", "response"),
        "error": item.get("error"),
    }
    ways = {"error": _failure}
    texts = {k: ways.get(k, _json_text)(f"{key}.{k}", v) for k, v in parts.items() if v is not None}
    return ToolCall(name=name, **texts)


def _steps(key: str, value: Any) -> tuple[Step, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"{key} is {quoted(value)}; a list of objects with `kind` and `name` is allowed")
    return tuple(_step(f"{key}[{i}]", item) for i, item in enumerate(value) if item is not None)


def _step(key: str, item: Any) -> Step:
    if not isinstance(item, dict):
        raise InputError(f"{key} is {quoted(item)}; an object with `kind` and `name` is allowed")
    texts = {n: _text(f"{key}.{n}", item[n]) for n in ("kind", "name", "model") if item.get(n) is not None}
    if item.get("error") is not None:
        texts["error"] = _failure(f"{key}.error", item["error"])
    counts = ("parent", "input_tokens", "output_tokens")
    wholes = {n: _count(f"{key}.{n}", item[n]) for n in counts if item.get(n) is not None}
    start, latency = (_SECONDS(f"{key}.{n}", item.get(n) or 0) or 0.0 for n in ("start_s", "latency_s"))
    return Step(
        kind=texts.get("kind") or "other",
        name=texts.get("name") or "",
        model=texts.get("model"),
        error=texts.get("error"),
        start_s=start,
        latency_s=latency,
        **wholes,
    )


def _features_of(key: str, value: Any) -> dict[str, float | str]:
    if isinstance(value, str) and value.startswith("{"):
        with suppress(orjson.JSONDecodeError):
            value = orjson.loads(value)
    if isinstance(value, list) and all(isinstance(v, tuple) and len(v) == 2 for v in value):
        value = dict(value)
    if not isinstance(value, dict):
        raise InputError(f"{key} is {quoted(value)}; an object of numbers and texts is allowed")
    found: dict[str, float | str] = {}
    for name, v in value.items():
        if type(v) is str or (type(v) is float and isfinite(v)):
            found[str(name)] = v
        elif v is not None:
            found[str(name)] = _feature(f"{key}.{quoted(name)}", v)
    return found


def _feature(key: str, value: Any) -> float | str:
    if isinstance(value, str):
        return value
    number = _ANY(key, float(value) if isinstance(value, bool) else value)
    assert number is not None  # only an empty text is none
    return number


def _first(item: Mapping[str, Any], *names: str) -> Any:
    return next((item[n] for n in names if item.get(n) is not None), None)


def _feedback_value(kind: str, key: str, value: Any) -> float | None:
    if value is None:
        return None
    word = value.lower() if isinstance(value, str) else value
    if kind in ("thumb", "probe"):
        word = _THUMBS.get(word, word) if isinstance(word, str) else float(word) if isinstance(word, bool) else word
        number = _ANY(key, word) if not isinstance(word, str) or _NUMBER.fullmatch(word) else None
        if number not in (0.0, 1.0):
            allowed = "a thumb is `up` (1) or `down` (0)" if kind == "thumb" else "a probe passed (1) or failed (0)"
            raise InputError(f"{key} is {quoted(value)}; {allowed}")
        return number
    if kind == "rating":
        return _SHARE(key, value)
    return _ANY(key, float(value) if isinstance(value, bool) else value)


def _complete(values: dict[str, Any]) -> None:
    kind = values["kind"]
    if kind in ("thumb", "rating", "probe") and values.get("value") is None:
        raise InputError(f"value is missing; a {kind} needs one")
    if kind in ("correction", "label") and values.get("text") is None and values.get("value") is None:
        raise InputError(f"text is missing; a {kind} says what is right in `text`")
    if kind == "evaluation" and all(values.get(n) is None for n in ("value", "label", "error")):
        raise InputError("value is missing; an evaluation gives a `value`, a `label`, or the `error` that it met")
    scope, source = values.get("scope") or "interaction", (values.get("source") or "human").lower()
    if scope not in _SCOPES:
        raise InputError(f"scope is {quoted(scope)}; allowed: {', '.join(_SCOPES)}")
    if source not in _SOURCES:
        raise InputError(f"source is {quoted(source)}; allowed: {', '.join(_SOURCES)}")
    values["source"] = _SOURCES[source]


_ANY = _number(-float("inf"), float("inf"), "a finite number")
_SHARE = _number(0.0, 1.0, "a number from 0 to 1")
_SECONDS = _number(0.0, 1e12, "a number of seconds from 0 (or ms in a field that ends in _ms)")


def _converters() -> dict[str, Callable[[str, Any], Any]]:
    special: dict[str, Callable[[str, Any], Any]] = {
        **dict.fromkeys(_EMPTY_COUNTS, _words),
        "time_us": _time,
        "contexts": _contexts,
        "tool_calls": _tool_calls,
        "steps": _steps,
        "sampling_params": _json_text,
        "tools_version": _json_text,
        "error": _failure,
        "refused": _flag,
        "escalated": _flag,
        "confidence": _SHARE,
        "latency_s": _SECONDS,
        "first_token_s": _SECONDS,
        **dict.fromkeys(
            ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"), _count
        ),
        "cost_usd": _number(0.0, 1e12, "a number of US dollars from 0"),
        "features": _features_of,
        "prediction_score": _ANY,
        "weight": _number(1e-12, 1e6, "a number above 0, at most 1,000,000,"),
    }
    return {f.name: special.get(f.name, _text) for f in fields(Interaction)}


_CONVERTERS = _converters()
_FIELDS: dict[str, tuple[str, float]] = {
    name: (field, 1000.0 if name.endswith("_ms") else 1.0)
    for field in _CONVERTERS
    for name in (field, *SYNONYMS.get(field, ()))
}
_FEEDBACK_FIELDS = {
    name: field for field in (f.name for f in fields(Feedback)) for name in (field, *FEEDBACK_SYNONYMS.get(field, ()))
}
