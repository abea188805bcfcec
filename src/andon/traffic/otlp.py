"""An OTLP trace request to flat span records: decoding only, nothing is interpreted."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from andon.errors import InputError
from andon.traffic.clock import check_time, format_time
from andon.traffic.quoting import quoted

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["SpanRow", "spans_of"]

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_REMOTE_KNOWN, _REMOTE = 0x100, 0x200


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRow:
    """One span, with the attributes of its resource and scope merged under its own."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_span_id: str | None = None
    parent_remote: bool | None = None
    """Whether the parent lives in another process; None where the sender did not say."""
    name: str = ""
    kind: str = "unspecified"
    time_us: int
    end_us: int
    status: str = "unset"
    """``unset``, ``ok`` or ``error``."""
    status_message: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    events: tuple[dict[str, Any], ...] = ()
    """Each with ``name``, ``time_us`` and ``attributes``."""

    @property
    def id(self) -> str:
        """Identity of the span: re-sent spans have the same."""
        return f"{self.trace_id}:{self.span_id}"


def spans_of(body: bytes) -> tuple[list[SpanRow], list[str]]:
    """The spans of an OTLP/HTTP protobuf body (``ExportTraceServiceRequest``), and why others were left out.

    Raises:
        InputError: the body is not such a message.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise InputError(
            f"the body ({len(body)} bytes) is not an OTLP trace request; an ExportTraceServiceRequest in protobuf, "
            f"decompressed, is allowed"
        ) from error
    spans: list[SpanRow] = []
    problems: list[str] = []
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            scope = _attributes(scope_spans.scope.attributes)
            if scope_spans.scope.name:
                scope["otel.scope.name"] = scope_spans.scope.name
            if scope_spans.scope.version:
                scope["otel.scope.version"] = scope_spans.scope.version
            inherited = {**resource, **scope}
            for span in scope_spans.spans:
                try:
                    spans.append(_span(span, inherited))
                except InputError as error:
                    problems.append(f"span {quoted(span.name)}: {error}")
    return spans, problems


def _span(span: "Span", inherited: dict[str, Any]) -> SpanRow:
    start = check_time(span.start_time_unix_nano // 1000)
    end = check_time((span.end_time_unix_nano or span.start_time_unix_nano) // 1000)
    if end < start:
        raise InputError(f"it ends at {format_time(end, 'microsecond')}, before it starts; a later end is allowed")
    known = bool(span.flags & _REMOTE_KNOWN)
    return SpanRow(
        trace_id=_hex(span.trace_id, 16, "trace_id"),
        span_id=_hex(span.span_id, 8, "span_id"),
        parent_span_id=_hex(span.parent_span_id, 8, "parent_span_id") if any(span.parent_span_id) else None,
        parent_remote=bool(span.flags & _REMOTE) if known else None,
        name=span.name,
        kind=_KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else "unspecified",
        time_us=start,
        end_us=end,
        status=_STATUSES[span.status.code] if 0 <= span.status.code < len(_STATUSES) else "unset",
        status_message=span.status.message or None,
        attributes={**inherited, **_attributes(span.attributes)},
        events=tuple(
            {"name": e.name, "time_us": e.time_unix_nano // 1000, "attributes": _attributes(e.attributes)}
            for e in span.events
        ),
    )


def _hex(value: bytes, length: int, name: str) -> str:
    if len(value) != length or not any(value):
        raise InputError(f"{name} is {value[:20].hex() or 'empty'}; {length} bytes, not all zero, are allowed")
    return value.hex()


def _attributes(pairs: "Iterable[KeyValue]") -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: "AnyValue") -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    plain = getattr(value, kind)
    return str(plain) if isinstance(plain, float) and plain - plain != 0 else plain  # NaN, inf: JSON has none
