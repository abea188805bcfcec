"""OTLP requests to rows: traces, logs and metrics, in protobuf and in JSON. Decoding only; nothing is interpreted.

One bad span or record costs itself: it is named in the answer, and the others are kept.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import pyarrow as pa

from andon.errors import InputError
from andon.traffic.clock import check_time, format_time
from andon.traffic.quoting import quoted
from andon.traffic.records import LogRow, SpanRow
from andon.traffic.rows import spans_from_rows, spans_to_rows
from andon.traffic.wire import MOST_ATTRIBUTES, span_table

__all__ = ["Form", "LogRow", "Logs", "SpanRow", "logs_of", "points_of", "spans_of", "traces_of"]

Form = Literal["protobuf", "json"]

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_REMOTE_KNOWN, _REMOTE = 0x100, 0x200
_EVENTS = ("gen_ai.", "feature_flag.")
_DEPTH = 50
"""How deep a value of an attribute may be nested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """The log records of one request."""

    rows: tuple[LogRow, ...]
    """Events of model calls (``gen_ai.*``): what was said, and evaluations; and which variant of a flag they saw."""
    others: int
    """Records of anything else; they are counted and not kept."""
    refused: tuple[str, ...]


def traces_of(body: bytes, form: Form) -> tuple[pa.Table, list[str]]:
    """The spans of a trace request as rows of ``SCHEMAS["spans"]``, and why others were left out.

    Raises:
        InputError: the body is no ``ExportTraceServiceRequest``.
    """
    if form == "protobuf":
        return span_table(body)
    spans: list[SpanRow] = []
    refused: list[str] = []
    for item, inherited in _json_items(body, "resourceSpans", "scopeSpans", "spans", "trace"):
        try:
            spans.append(_span(item, inherited()))
        except InputError as error:
            name = item.get("name") if isinstance(item, dict) else item
            refused.append(f"span {quoted(name)}: {error}")
    return spans_to_rows(spans), refused


def spans_of(body: bytes, form: Form = "protobuf") -> tuple[list[SpanRow], list[str]]:
    """As `traces_of`, as records."""
    rows, refused = traces_of(body, form)
    return spans_from_rows(rows), refused


def logs_of(body: bytes, form: Form, *, now_us: int) -> Logs:
    """The log records of a log request. A record without any time gets `now_us`.

    Raises:
        InputError: the body is no ``ExportLogsServiceRequest``.
    """
    rows: list[LogRow] = []
    refused: list[str] = []
    others = 0
    listed = (
        _protobuf_logs(body)
        if form == "protobuf"
        else _json_items(body, "resourceLogs", "scopeLogs", "logRecords", "log")
    )
    for item, inherited in listed:
        try:
            row = _log(item, inherited, now_us)
        except InputError as error:
            refused.append(f"log record: {error}")
            continue
        if row is None:
            others += 1
        else:
            rows.append(row)
    return Logs(rows=tuple(rows), others=others, refused=tuple(refused))


def points_of(body: bytes, form: Form) -> int:
    """How many data points a metrics request holds.

    Raises:
        InputError: the body is no ``ExportMetricsServiceRequest``.
    """
    if form == "protobuf":
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        request = _parsed(ExportMetricsServiceRequest, body, "metrics")
        metrics = (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics)
        kinds = ((m, m.WhichOneof("data")) for m in metrics)
        return sum(len(getattr(m, kind).data_points) for m, kind in kinds if kind)
    listed = (item for item, _ in _json_items(body, "resourceMetrics", "scopeMetrics", "metrics", "metrics"))
    data = (v for m in listed if isinstance(m, dict) for v in m.values() if isinstance(v, dict))
    return sum(len(_list(d.get("dataPoints"), "dataPoints")) for d in data)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and value - value != 0 else value  # NaN, inf: JSON has none


def _json_items(body: bytes, outer: str, middle: str, inner: str, what: str) -> Iterator[tuple[Any, Callable[[], Any]]]:
    """The innermost objects of a request in JSON, each with a function that gives what it inherits."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the body is not JSON: {error.msg} at character {error.pos + 1}") from error
    if not isinstance(request, dict) or not (outer in request or not request):
        raise InputError(f"the body is {quoted(request)}; an OTLP {what} request, an object with {outer}, is allowed")
    budget = MOST_ATTRIBUTES
    for of_resource in _list(request.get(outer), outer):
        resource = _object(of_resource, outer)
        for of_scope in _list(resource.get(middle), middle):
            scope = _object(of_scope, middle)
            inherited = _Inherited(resource.get("resource"), scope.get("scope"))
            for item in _list(scope.get(inner), inner):
                budget -= 1
                if budget < 0:
                    raise InputError(f"the body holds more than {MOST_ATTRIBUTES:,} entries; send fewer at a time")
                yield item, inherited


class _Inherited:
    """The attributes of a resource and a scope in JSON; read once, and again a reason each time when they cannot be."""

    def __init__(self, resource: Any, scope: Any) -> None:
        self._resource, self._scope = resource, scope
        self._found: dict[str, Any] | None = None

    def __call__(self) -> dict[str, Any]:
        if self._found is None:
            scope = _object(self._scope or {}, "scope")
            found = _attributes(_object(self._resource or {}, "resource").get("attributes"))
            found |= _attributes(scope.get("attributes"))
            for name in ("name", "version"):
                if text := _text(scope.get(name), f"scope.{name}"):
                    found[f"otel.scope.{name}"] = text
            self._found = found
        return self._found


def _span(item: Any, inherited: Mapping[str, Any]) -> SpanRow:
    span = _object(item, "a span")
    start = _nanoseconds(span.get("startTimeUnixNano"), "startTimeUnixNano")
    end = _nanoseconds(span.get("endTimeUnixNano"), "endTimeUnixNano") or start
    start, end = check_time(start // 1000), check_time(end // 1000)
    if end < start:
        raise InputError(f"it ends at {format_time(end, 'microsecond')}, before it starts; a later end is allowed")
    flags = _whole(span.get("flags"), "flags")
    status = _object(span.get("status") or {}, "status")
    return SpanRow(
        trace_id=_id(span.get("traceId"), 16, "traceId"),
        span_id=_id(span.get("spanId"), 8, "spanId"),
        parent_span_id=_parent(span.get("parentSpanId")),
        parent_remote=bool(flags & _REMOTE) if flags & _REMOTE_KNOWN else None,
        name=_text(span.get("name"), "name"),
        kind=_word(span.get("kind"), _KINDS, "SPAN_KIND_"),
        time_us=start,
        end_us=end,
        status=_word(status.get("code"), _STATUSES, "STATUS_CODE_"),
        status_message=_text(status.get("message"), "status.message") or None,
        attributes={**inherited, **_attributes(span.get("attributes"))},
        events=tuple(_event(e) for e in _list(span.get("events"), "events")),
        links=tuple(_link(k) for k in _list(span.get("links"), "links")),
    )


def _event(item: Any) -> dict[str, Any]:
    event = _object(item, "an event")
    return {
        "name": _text(event.get("name"), "event name"),
        "time_us": _nanoseconds(event.get("timeUnixNano"), "timeUnixNano") // 1000,
        "attributes": _attributes(event.get("attributes")),
    }


def _link(item: Any) -> dict[str, Any]:
    link = _object(item, "a link")
    ids = {name: _text(link.get(key), key).lower() for name, key in (("trace_id", "traceId"), ("span_id", "spanId"))}
    return {**ids, "attributes": _attributes(link.get("attributes"))}


def _log(item: Any, inherited: Callable[[], Any], now_us: int) -> LogRow | None:
    """A record of a model call; None for any other."""
    log = _object(item, "a log record")
    own = _attributes(log.get("attributes"))
    name = _text(log.get("eventName"), "eventName") or str(own.get("event.name") or "")
    if not name.startswith(_EVENTS):
        return None
    times = [_nanoseconds(log.get(n), n) for n in ("timeUnixNano", "observedTimeUnixNano")]
    time_us = check_time(next((t // 1000 for t in times if t), now_us))
    ids = [_optional_id(log.get(key), length, key) for key, length in (("traceId", 16), ("spanId", 8))]
    body = _value(log.get("body"), "body")
    content = orjson.dumps([*ids, name, times[0], body, own], option=orjson.OPT_SORT_KEYS)
    return LogRow(
        id=hashlib.sha256(content).hexdigest()[:32],
        time_us=time_us,
        trace_id=ids[0],
        span_id=ids[1],
        name=name,
        body=body,
        attributes={**inherited(), **own},
    )


def _protobuf_logs(body: bytes) -> Iterator[tuple[Any, Callable[[], Any]]]:
    """The records of a protobuf request in the shape that OTLP/JSON gives them, which `_log` reads."""
    from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = _parsed(ExportLogsServiceRequest, body, "log")
    for of_resource in request.resource_logs:
        resource = MessageToDict(of_resource.resource)
        for of_scope in of_resource.scope_logs:
            inherited = _Inherited(resource, MessageToDict(of_scope.scope))
            for record in of_scope.log_records:
                found = MessageToDict(record)
                found |= {"traceId": record.trace_id.hex(), "spanId": record.span_id.hex()}  # base64 in MessageToDict
                yield found, inherited


def _parsed(kind: Any, body: bytes, what: str) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise InputError(
            f"the body ({len(body)} bytes) is not an OTLP {what} request: {quoted(str(error), 120)}; an "
            f"{kind.__name__} in protobuf, decompressed, is allowed"
        ) from error


def _attributes(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in _list(pairs, "attributes"):
        item = _object(pair, "an attribute")
        key = _text(item.get("key"), "key")
        found[key] = _value(item.get("value"), f"attribute {quoted(key)}")
    return found


def _value(value: Any, name: str, depth: int = 0) -> Any:
    if depth > _DEPTH:
        raise InputError(f"{name} is nested more than {_DEPTH} deep")
    if value is None:
        return None
    item = _object(value, name)
    kind = next((k for k in item if k in _VALUES), None)
    if kind is None:
        return None
    inner = item[kind]
    if kind == "arrayValue":
        return [_value(v, name, depth + 1) for v in _list(_object(inner, name).get("values"), name)]
    if kind == "kvlistValue":
        pairs = (_object(p, name) for p in _list(_object(inner, name).get("values"), name))
        return {_text(p.get("key"), name): _value(p.get("value"), name, depth + 1) for p in pairs}
    return _VALUES[kind](inner, name)


def _double(value: Any, name: str) -> Any:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} is {quoted(value)}; a number is allowed") from None
    return _plain(number)


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} is {quoted(value)}; true or false is allowed")
    return value


def _whole(value: Any, name: str) -> int:
    """A whole number, which OTLP/JSON writes as text or as a number; 0 where there is none."""
    if value is None:
        return 0
    try:
        number = value if isinstance(value, int) and not isinstance(value, bool) else int(value[:24])
    except (TypeError, ValueError):
        raise InputError(f"{name} is {quoted(value)}; a whole number is allowed") from None
    if not -(2**63) <= number < 2**64:
        raise InputError(f"{name} is {quoted(value)}; a number of 64 bits is allowed")
    return number


def _nanoseconds(value: Any, name: str) -> int:
    number = _whole(value, name)
    if number < 0:
        raise InputError(f"{name} is {quoted(value)}; nanoseconds since 1970 are allowed")
    return number


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{name} is {quoted(value)}; text is allowed")
    return value


_VALUES: Mapping[str, Callable[[Any, str], Any]] = {
    "stringValue": _text,
    "intValue": _whole,
    "doubleValue": _double,
    "boolValue": _boolean,
    "bytesValue": _text,
    "arrayValue": _text,  # these two are read before the table is asked
    "kvlistValue": _text,
}


def _id(value: Any, length: int, name: str) -> str:
    text = _text(value, name).lower()
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != length or not any(raw):
        raise InputError(f"{name} is {quoted(text)}; {2 * length} hexadecimal digits, not all zero, are allowed")
    return raw.hex()


def _optional_id(value: Any, length: int, name: str) -> str | None:
    return None if not value or not str(value).strip("0") else _id(value, length, name)


def _parent(value: Any) -> str | None:
    return _optional_id(value, 8, "parentSpanId")


def _word(value: Any, words: Sequence[str], prefix: str) -> str:
    """An enumeration's number or name as a word; what is unknown is the first word."""
    if isinstance(value, str):
        word = value.removeprefix(prefix).lower()
        return word if word in words else words[0]
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(words)
    return words[value] if known else words[0]


def _list(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InputError(f"{name} is {quoted(value)}; a list is allowed")
    return value


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{name} is {quoted(value)}; an object is allowed")
    return value
