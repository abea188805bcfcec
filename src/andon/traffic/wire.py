"""An OTLP trace request in protobuf to the rows of the table ``spans``, column by column.

No object is made per span or attribute: ptars turns the wire format into nested Arrow arrays, and everything after that is
done for all spans at once. The messages are declared here with only the fields that are read. Texts are declared as
bytes, which are the same on the wire, so that one text that is no UTF-8 costs its own span and not the request; a list or
map within an attribute is declared as bytes too, and read by itself where it occurs.
"""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from andon.errors import InputError
from andon.traffic.clock import END_US, FIRST_US, check_time, format_time
from andon.traffic.quoting import quoted
from andon.traffic.rows import SCHEMAS

__all__ = ["MOST_ATTRIBUTES", "span_table"]

MOST_ATTRIBUTES = 500_000
"""Most attributes of one request; a body of empty ones would otherwise take two hundred times its size in memory."""

_SURE_BYTES = 2**20
"""A body up to this cannot hold enough to harm; a longer one is counted before it is decoded."""

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_REMOTE_KNOWN, _REMOTE = 0x100, 0x200

_ATTRIBUTES = (("attributes", "KeyValue*"),)
_MESSAGES: Mapping[str, Mapping[int, tuple[str, str]]] = {
    "Request": {1: ("resource_spans", "ResourceSpans*")},
    "ResourceSpans": {1: ("resource", "Resource"), 2: ("scope_spans", "ScopeSpans*")},
    "Resource": {1: ("attributes", "KeyValue*")},
    "ScopeSpans": {1: ("scope", "Scope"), 2: ("spans", "Span*")},
    "Scope": {1: ("name", "bytes"), 2: ("version", "bytes"), 3: ("attributes", "KeyValue*")},
    "Span": {
        1: ("trace_id", "bytes"),
        2: ("span_id", "bytes"),
        4: ("parent_span_id", "bytes"),
        5: ("name", "bytes"),
        6: ("kind", "int32"),
        7: ("start", "fixed64"),
        8: ("end", "fixed64"),
        9: ("attributes", "KeyValue*"),
        11: ("events", "Event*"),
        13: ("links", "Link*"),
        15: ("status", "Status"),
        16: ("flags", "fixed32"),
    },
    "Event": {1: ("time", "fixed64"), 2: ("name", "bytes"), 3: ("attributes", "KeyValue*")},
    "Link": {1: ("trace_id", "bytes"), 2: ("span_id", "bytes"), 4: ("attributes", "KeyValue*")},
    "Status": {2: ("message", "bytes"), 3: ("code", "int32")},
    "KeyValue": {1: ("key", "bytes"), 2: ("value", "AnyValue")},
    "AnyValue": {
        1: ("string", "bytes?"),
        2: ("bool", "bool?"),
        3: ("int", "int64?"),
        4: ("double", "double?"),
        5: ("list", "bytes?"),
        6: ("map", "bytes?"),
        7: ("bytes", "bytes?"),
    },
}
"""Message -> field number -> (our name, type); ``*`` is repeated, ``?`` one of several.

Numbers and types are those of opentelemetry/proto/{collector/trace,trace,common,resource}/v1.
"""


def span_table(body: bytes) -> tuple[pa.Table, list[str]]:
    """The spans of an ``ExportTraceServiceRequest`` as rows of ``SCHEMAS["spans"]``, and why others were left out.

    Raises:
        InputError: the body is no such message, or holds more than `MOST_ATTRIBUTES` attributes.
    """
    if len(body) > _SURE_BYTES and _count(body, "Request", MOST_ATTRIBUTES) > MOST_ATTRIBUTES:
        raise InputError(f"the body holds more than {MOST_ATTRIBUTES:,} attributes; send fewer spans at a time")
    try:
        request = _handler().list_to_record_batch([body])
    except ValueError as error:
        raise InputError(
            f"the body ({len(body)} bytes) is not an OTLP trace request: {quoted(str(error), 120)}; an "
            "ExportTraceServiceRequest in protobuf, decompressed, is allowed"
        ) from error
    resources, _ = _flat(request.column("resource_spans"))
    scopes, of_resource = _flat(resources.field("scope_spans"))
    spans, of_scope = _flat(scopes.field("spans"))
    reasons: dict[int, str] = {}
    inherited = _inherited(resources, scopes, of_resource)
    return _rows(spans, inherited, of_scope, reasons), [reasons[i] for i in sorted(reasons)]


def _rows(
    spans: pa.StructArray, inherited: list[tuple[str, str | None]], of_scope: NDArray[np.int64], reasons: dict[int, str]
) -> pa.Table:
    names = _texts(spans.field("name"), "name", np.arange(len(spans)), reasons)
    start, end = _times(spans, reasons)
    trace_id = _hex(spans.field("trace_id"), 16, "trace_id", reasons)
    span_id = _hex(spans.field("span_id"), 8, "span_id", reasons)
    status, flags = spans.field("status"), spans.field("flags").to_numpy()
    message = _texts(_filled(status.field("message")), "status.message", np.arange(len(spans)), reasons)
    own = _objects(spans.field("attributes"), np.arange(len(spans)), reasons)
    for scope, (_, wrong) in enumerate(inherited):
        if wrong is not None:
            reasons.update((int(i), wrong) for i in np.flatnonzero(of_scope == scope) if int(i) not in reasons)
    above = pa.array([text for text, _ in inherited], pa.string()).take(_arrow(of_scope))
    columns = {
        "id": _glued(trace_id, ":", span_id),
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_span_id": _parents(spans.field("parent_span_id"), reasons),
        "parent_remote": _where((flags & _REMOTE_KNOWN) > 0, _arrow((flags & _REMOTE) > 0)),
        "name": names,
        "kind": _words(spans.field("kind"), _KINDS),
        "time_us": start,
        "end_us": end,
        "status": _words(_filled(status.field("code")), _STATUSES),
        "status_message": _where(pc.not_equal(message, _scalar("")), message),
        "attributes": _braced(_joined(above, own)),
        "events": _events(spans.field("events"), reasons),
        "links": _links(spans.field("links"), reasons),
    }
    schema = SCHEMAS["spans"]
    table = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
    if not reasons:
        return table
    for i, reason in reasons.items():
        reasons[i] = f"span {quoted(names[i].as_py() or spans.field('name')[i].as_py())}: {reason}"
    keep = np.ones(len(spans), dtype=bool)
    keep[list(reasons)] = False
    return table.filter(_arrow(keep))


def _inherited(
    resources: pa.StructArray, scopes: pa.StructArray, of_resource: NDArray[np.int64]
) -> list[tuple[str, str | None]]:
    """For each scope the inside of the JSON object of its resource's and its own attributes, or why it cannot be read."""
    wrong_resource: dict[int, str] = {}
    wrong: dict[int, str] = {}
    resource, scope = resources.field("resource"), scopes.field("scope")
    above = _objects(_filled_list(resource.field("attributes")), np.arange(len(resources)), wrong_resource).to_pylist()
    own = _objects(_filled_list(scope.field("attributes")), np.arange(len(scopes)), wrong).to_pylist()
    found: list[tuple[str, str | None]] = []
    for i, parent in enumerate(of_resource.tolist()):
        parts = [above[parent], own[i]]
        for key, name in (("name", "otel.scope.name"), ("version", "otel.scope.version")):
            text = _decoded(scope.field(key)[i].as_py() or b"", f"scope.{key}", i, wrong)
            parts.append(f'"{name}":{orjson.dumps(text).decode()}' if text else "")
        found.append((",".join(p for p in parts if p), wrong.get(i) or wrong_resource.get(parent)))
    return found


def _events(column: pa.ListArray, reasons: dict[int, str]) -> pa.Array:
    events, owner = _flat(column)
    if len(events) == 0:
        return _same("[]", len(column))
    name = _json_texts(_texts(events.field("name"), "event name", owner, reasons))
    time = (events.field("time").to_numpy() // np.uint64(1000)).astype(np.int64)
    attributes = _braced(_objects(events.field("attributes"), owner, reasons))
    written = _glued('{"name":', name, ',"time_us":', _arrow(time).cast(pa.string()), ',"attributes":', attributes, "}")
    return _listed(written, column)


def _links(column: pa.ListArray, reasons: dict[int, str]) -> pa.Array:
    links, owner = _flat(column)
    if len(links) == 0:
        return _same("[]", len(column))
    ids = [pa.array([v.hex() for v in links.field(name).to_pylist()], pa.string()) for name in ("trace_id", "span_id")]
    attributes = _braced(_objects(links.field("attributes"), owner, reasons))
    written = _glued('{"trace_id":"', ids[0], '","span_id":"', ids[1], '","attributes":', attributes, "}")
    return _listed(written, column)


def _listed(items: pa.Array, column: pa.ListArray) -> pa.Array:
    """JSON lists of JSON items, one for each row of the column that they came from."""
    return _glued("[", _list_joined(column, items), "]")


def _objects(column: pa.ListArray, owner: NDArray[np.int64], reasons: dict[int, str]) -> pa.Array:
    """Lists of key-values as the insides of JSON objects (without braces).

    Args:
        column: one list of ``KeyValue`` for each row.
        owner: the span to which each row belongs; a value that cannot be read is a reason to leave its span out.
        reasons: span -> reason; the first one of a span stays.
    """
    pairs, row = _flat(column)
    if len(pairs) == 0:
        return _same("", len(column))
    spans = owner[row]
    keys, key_texts = _keys(pairs.field("key"), spans, reasons)
    value = pairs.field("value")
    texts = value.field("string")
    plain = np.asarray(texts.is_valid())
    bodies = _texts(_filled(texts), keys, spans, reasons)
    harmful = _needs_escape(bodies) & plain
    odd = np.flatnonzero(harmful | ~plain)
    quoted_key = pa.array([f'"{k}":"' for k in key_texts], pa.string()).take(keys.indices)
    found = _glued(quoted_key, bodies, '"')
    if len(odd):
        at = _arrow(odd)
        bare = pa.array([f'"{k}":' for k in key_texts], pa.string()).take(keys.indices.take(at))
        written = _written(value.take(at), bodies.take(at), harmful[odd], keys.take(at), spans[odd], reasons)
        mask = np.zeros(len(pairs), dtype=bool)
        mask[odd] = True
        found = pc.replace_with_mask(found, _arrow(mask), _glued(bare, written))
    return _list_joined(column, found)


def _written(
    value: pa.StructArray,
    texts: pa.Array,
    harmful: NDArray[np.bool_],
    keys: pa.DictionaryArray,
    spans: NDArray[np.int64],
    reasons: dict[int, str],
) -> pa.Array:
    """JSON of the values that are no plain text: numbers, lists, and texts with something to escape."""
    plain = pc.coalesce(value.field("int").cast(pa.string()), value.field("bool").cast(pa.string()), _scalar("null"))
    where = [np.flatnonzero(harmful)]
    found = [orjson.dumps(text).decode() for text in texts.filter(_arrow(harmful)).to_pylist()]
    for name, write in _WRITERS.items():
        column = value.field(name)
        if column.null_count == len(column):
            continue
        where.append(np.flatnonzero(np.asarray(column.is_valid())))
        for i, one in zip(where[-1].tolist(), column.drop_null().to_pylist(), strict=True):
            try:
                found.append(write(one))
            except (InputError, ValueError) as error:
                found.append("null")
                key = _key_text(keys, i)
                reasons.setdefault(int(spans[i]), f"attribute {quoted(key)} cannot be read: {quoted(str(error), 100)}")
    at = np.concatenate(where)
    if not len(at):
        return plain
    mask = np.zeros(len(value), dtype=bool)
    mask[at] = True
    in_order = pa.array(found, pa.string()).take(_arrow(np.argsort(at, kind="stable")))
    return pc.replace_with_mask(plain, _arrow(mask), in_order)


def _keys(column: pa.Array, spans: NDArray[np.int64], reasons: dict[int, str]) -> tuple[pa.DictionaryArray, list[str]]:
    """Keys as a dictionary, and the inside of each one's JSON text."""
    keys = column.dictionary_encode()
    texts: list[str] = []
    for code, raw in enumerate(keys.dictionary.to_pylist()):
        try:
            texts.append(orjson.dumps(raw.decode()).decode()[1:-1])
        except UnicodeDecodeError:
            texts.append("")
            bad = np.flatnonzero(keys.indices.to_numpy() == code)
            for span in spans[bad].tolist():
                reasons.setdefault(span, f"the attribute name {quoted(raw)} is no UTF-8")
    return keys, texts


def _texts(
    column: pa.Array, name: "str | pa.DictionaryArray", spans: NDArray[np.int64], reasons: dict[int, str]
) -> pa.Array:
    """Bytes as text; what is no UTF-8 is a reason to leave its span out, and empty here."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        out = []
        for i, raw in enumerate(column.to_pylist()):
            label = name if isinstance(name, str) else f"attribute {quoted(_key_text(name, i))}"
            out.append(_decoded(raw, label, int(spans[i]), reasons))
        return pa.array(out, pa.string())


def _decoded(raw: bytes, label: str, span: int, reasons: dict[int, str]) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        reasons.setdefault(
            span, f"{label} is no UTF-8: byte 0x{raw[error.start]:02x} at {error.start}; UTF-8 is allowed"
        )
        return ""


def _key_text(keys: pa.DictionaryArray, i: int) -> str:
    raw: bytes = keys[i].as_py()
    return raw.decode("utf-8", "backslashreplace")


def _times(spans: pa.StructArray, reasons: dict[int, str]) -> tuple[pa.Array, pa.Array]:
    start = spans.field("start").to_numpy() // np.uint64(1000)
    end = spans.field("end").to_numpy() // np.uint64(1000)
    end = np.where(end == 0, start, end)
    for i in np.flatnonzero(~((start >= FIRST_US) & (end < END_US) & (start <= end))).tolist():
        try:
            first, last = check_time(int(start[i])), check_time(int(end[i]))
            if last < first:
                last_text = format_time(last, "microsecond")
                raise InputError(f"it ends at {last_text}, before it starts; a later end is allowed")
        except InputError as error:
            reasons.setdefault(i, str(error))
    top = np.uint64(2**62)  # a time that is refused must not overflow before its row is dropped
    return _arrow(np.minimum(start, top).astype(np.int64)), _arrow(np.minimum(end, top).astype(np.int64))


_HEX = np.frombuffer(b"".join(f"{i:02x}".encode() for i in range(256)), dtype=np.uint16)


def _hex(column: pa.Array, length: int, name: str, reasons: dict[int, str]) -> pa.Array:
    """Ids of `length` bytes as hexadecimal text; one of another length, or of zeros only, is a reason."""
    right = pc.binary_length(column).to_numpy() == length
    raw = column if right.all() else pc.if_else(_arrow(right), column, pa.scalar(bytes(length), pa.binary()))
    data = np.frombuffer(b"".join(raw.to_pylist()), dtype=np.uint8).reshape(-1, length)
    for i in np.flatnonzero(~(right & data.any(axis=1))).tolist():
        shown = column[i].as_py()[:20].hex() or "empty"
        reasons.setdefault(i, f"{name} is {shown}; {length} bytes, not all zero, are allowed")
    return _hex_texts(data)


def _parents(column: pa.Array, reasons: dict[int, str]) -> pa.Array:
    """Ids of parent spans; absent, empty and zero all mean that there is none."""
    values = column.to_pylist()
    present = np.array([any(v) for v in values], dtype=bool)
    for i in np.flatnonzero(present).tolist():
        if len(values[i]) != 8:
            reasons.setdefault(i, f"parent_span_id is {values[i][:20].hex()}; 8 bytes, not all zero, are allowed")
    data = np.frombuffer(b"".join(v if len(v) == 8 else bytes(8) for v in values), dtype=np.uint8).reshape(-1, 8)
    return _where(present, _hex_texts(data))


def _hex_texts(data: NDArray[np.uint8]) -> pa.Array:
    rows, length = data.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * (2 * length)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(_HEX[data])))


def _words(column: pa.Array, words: Sequence[str]) -> pa.Array:
    """Numbers of an enumeration as words; an unknown number is the first word."""
    codes = column.to_numpy()
    return pa.array(words, pa.string()).take(_arrow(np.where((codes >= 0) & (codes < len(words)), codes, 0)))


_ESCAPED = np.zeros(256, dtype=bool)
_ESCAPED[:0x20] = _ESCAPED[ord('"')] = _ESCAPED[ord("\\")] = True


def _needs_escape(texts: pa.StringArray) -> NDArray[np.bool_]:
    """Whether a text holds something that JSON escapes."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    if data is None or ends[0] == ends[-1]:
        return np.zeros(len(texts), dtype=bool)
    where = np.flatnonzero(_ESCAPED[np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]]]) + ends[0]
    return np.asarray(np.searchsorted(where, ends[1:]) > np.searchsorted(where, ends[:-1]))


def _json_texts(texts: pa.Array) -> pa.Array:
    return pa.array([orjson.dumps(t).decode() for t in texts.to_pylist()], pa.string())


def _joined(left: pa.Array, right: pa.Array) -> pa.Array:
    """Two insides of JSON objects as one; a key that is in both counts as it stands on the right."""
    both = pc.and_(pc.not_equal(left, _scalar("")), pc.not_equal(right, _scalar("")))
    return _glued(left, pc.if_else(both, _scalar(","), _scalar("")), right)


def _braced(insides: pa.Array) -> pa.Array:
    return _glued("{", insides, "}")


def _glued(*parts: str | pa.Array) -> pa.Array:
    """Texts put together row by row."""
    return pc.binary_join_element_wise(*(_scalar(p) if isinstance(p, str) else p for p in parts), _scalar(""))


def _list_joined(column: pa.ListArray, items: pa.Array) -> pa.Array:
    """The texts of each list of `column`, put together with commas."""
    return pc.binary_join(_like(column, items), _scalar(","))


@cache
def _scalar(text: str) -> pa.StringScalar:
    return pa.scalar(text, pa.string())  # making one costs 70 us, as pyarrow looks for dateutil on the disk


def _same(text: str, rows: int) -> pa.Array:
    return pa.array([text], pa.string()).take(_arrow(np.zeros(rows, dtype=np.int64)))


def _flat(column: pa.ListArray) -> tuple[pa.StructArray, NDArray[np.int64]]:
    """The items of all lists, and the row of each."""
    return column.flatten(), np.asarray(pc.list_parent_indices(column)).astype(np.int64)


def _like(column: pa.ListArray, items: pa.Array) -> pa.ListArray:
    """Lists of the same lengths as in `column`, of other items."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(_arrow(offsets), items)


def _arrow(values: NDArray[Any]) -> pa.Array:
    """A NumPy array as an Arrow one, without copying; ``pa.array`` looks for pandas on the disk at every call."""
    if values.dtype == np.bool_:
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
    kind = pa.int32() if values.dtype == np.int32 else pa.int64()
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _where(present: Any, values: pa.Array) -> pa.Array:
    """The values that are present, null elsewhere."""
    mask = _arrow(present) if isinstance(present, np.ndarray) else present
    return pc.if_else(mask, values, pa.scalar(None, values.type))


def _filled(column: pa.Array) -> pa.Array:
    """The column with the value that protobuf gives to an absent one."""
    if column.null_count == 0:
        return column
    empty = pa.scalar(b"", column.type) if pa.types.is_binary(column.type) else pa.scalar(0, column.type)
    return pc.fill_null(column, empty)


def _filled_list(column: pa.ListArray) -> pa.ListArray:
    return column if column.null_count == 0 else pc.coalesce(column, pa.scalar([], column.type))


def _number(value: float) -> str:
    return orjson.dumps(value if value - value == 0 else str(value)).decode()  # NaN and inf: JSON has none


def _nested(raw: bytes, kind: str) -> str:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from opentelemetry.proto.common.v1 import common_pb2

    try:
        known = (common_pb2.ArrayValue if kind == "list" else common_pb2.KeyValueList).FromString(raw)
    except DecodeError as error:  # no UTF-8, or nested more than a hundred deep
        raise InputError(f"a {kind} that is broken, nested too deeply or no UTF-8") from error
    if kind == "list":
        return orjson.dumps([_value(v) for v in known.values]).decode()
    return orjson.dumps({v.key: _value(v.value) for v in known.values}).decode()


def _value(value: Any) -> Any:
    """The plain value of an ``AnyValue``; protobuf itself refuses one that is nested more than a hundred deep."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(v) for v in value.array_value.values]
    if kind == "kvlist_value":
        return {v.key: _value(v.value) for v in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    plain = getattr(value, kind)
    return str(plain) if isinstance(plain, float) and plain - plain != 0 else plain


_WRITERS: Mapping[str, Any] = {
    "double": _number,
    "list": lambda v: _nested(v, "list"),
    "map": lambda v: _nested(v, "map"),
    "bytes": lambda v: f'"{base64.b64encode(v).decode()}"',
}


@cache
def _handler() -> Any:
    """What decodes requests; made once, from `_MESSAGES`."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto  # type: ignore[import-untyped]
    from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
    from ptars import HandlerPool

    file = FileDescriptorProto(name="andon/spans.proto", package="andon", syntax="proto3")
    for name, declared in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "AnyValue":
            message.oneof_decl.add(name="value")
        for number, (field_name, kind) in declared.items():
            field = message.field.add(name=field_name, number=number)
            field.label = (
                FieldDescriptorProto.LABEL_REPEATED if kind[-1] == "*" else FieldDescriptorProto.LABEL_OPTIONAL
            )
            if kind[-1] == "?":
                field.oneof_index = 0
            plain = kind.rstrip("*?")
            if plain in _MESSAGES:
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".andon.{plain}"
            else:
                field.type = getattr(FieldDescriptorProto, f"TYPE_{plain.upper()}")
    pool = DescriptorPool()
    pool.Add(file)
    return HandlerPool([pool.FindFileByName(file.name)]).get_for_message(pool.FindMessageTypeByName("andon.Request"))


def _count(body: bytes, message: str, most: int) -> int:
    """How many messages a body holds, down to attributes; stops soon after `most`. What is broken the decoder will say."""
    total = 0
    waiting = [(0, len(body), _MESSAGES[message])]
    while waiting and total <= most:
        at, end, fields = waiting.pop()
        while at < end and total <= most:
            tag, at = _varint(body, at, end)
            kind = tag & 7
            if kind == 2:
                length, at = _varint(body, at, end)
                inner = fields.get(tag >> 3, ("", ""))[1].rstrip("*?")
                if inner in _MESSAGES:
                    total += 1
                    if inner not in ("KeyValue", "Status"):
                        waiting.append((at, min(at + length, end), _MESSAGES[inner]))
                at += length
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
            elif kind == 0:
                _, at = _varint(body, at, end)
            else:
                break
    return total


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, end + 1
