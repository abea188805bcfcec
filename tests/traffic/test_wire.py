"""Laws of decoding OTLP: two decoders, one result; one bad span costs itself; nothing but InputError ever comes out."""

import base64
import json
import tracemalloc
from typing import Any

import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from andon.errors import InputError
from andon.traffic.otlp import logs_of, points_of, spans_of, traces_of
from andon.traffic.rows import SCHEMAS

NOW_US = 1_790_000_000_000_000
START_NS = NOW_US * 1000
text = st.text(st.characters(codec="utf-8"), max_size=20)


def any_value(depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Values of attributes, as OTLP/JSON writes them."""
    plain = st.one_of(
        st.builds(lambda v: {"stringValue": v}, text),
        st.builds(lambda v: {"boolValue": v}, st.booleans()),
        st.builds(lambda v: {"intValue": str(v)}, st.integers(-(2**63), 2**63 - 1)),
        st.builds(lambda v: {"doubleValue": v}, st.floats(allow_nan=False, allow_infinity=False)),
        st.sampled_from([{"doubleValue": v} for v in ("NaN", "Infinity", "-Infinity")]),
        st.builds(lambda v: {"bytesValue": base64.b64encode(v).decode()}, st.binary(max_size=9)),
        st.just({}),
    )
    if depth == 0:
        return plain
    inner = any_value(depth - 1)
    return st.one_of(
        plain,
        st.builds(lambda v: {"arrayValue": {"values": v}}, st.lists(inner, max_size=3)),
        st.builds(
            lambda v: {"kvlistValue": {"values": [{"key": k, "value": x} for k, x in v.items()]}},
            st.dictionaries(text, inner, max_size=3),
        ),
    )


attributes = st.dictionaries(text, any_value(), max_size=5).map(
    lambda d: [{"key": k, "value": v} for k, v in d.items()]
)
hex_id = {n: st.binary(min_size=n, max_size=n).filter(any).map(bytes.hex) for n in (8, 16)}
nanoseconds = st.integers(START_NS, START_NS + 10**12)
events = st.fixed_dictionaries({"name": text, "timeUnixNano": nanoseconds.map(str), "attributes": attributes})
links = st.fixed_dictionaries({"traceId": hex_id[16], "spanId": hex_id[8], "attributes": attributes})
spans = st.builds(
    lambda first, last, **rest: {
        **{k: v for k, v in rest.items() if v is not None},
        "startTimeUnixNano": str(min(first, last)),
        "endTimeUnixNano": str(max(first, last)),
    },
    nanoseconds,
    nanoseconds,
    traceId=hex_id[16],
    spanId=hex_id[8],
    parentSpanId=st.none() | hex_id[8],
    name=text,
    kind=st.integers(0, 7),
    flags=st.none() | st.integers(0, 0x3FF),
    attributes=attributes,
    events=st.lists(events, max_size=2),
    links=st.lists(links, max_size=2),
    status=st.none() | st.fixed_dictionaries({"message": text, "code": st.integers(0, 4)}),
)
scopes = st.fixed_dictionaries(
    {
        "scope": st.fixed_dictionaries({"name": text, "version": text, "attributes": attributes}),
        "spans": st.lists(spans, max_size=4),
    }
)
requests = st.lists(
    st.fixed_dictionaries(
        {"resource": st.fixed_dictionaries({"attributes": attributes}), "scopeSpans": st.lists(scopes, max_size=2)}
    ),
    max_size=2,
).map(lambda r: {"resourceSpans": r})


def to_protobuf(request: Any) -> bytes:
    """The request in protobuf: OTLP/JSON writes ids in hexadecimal, protobuf's own JSON in base64."""

    def fixed(node: Any) -> Any:
        if isinstance(node, list):
            return [fixed(n) for n in node]
        if not isinstance(node, dict):
            return node
        ids = ("traceId", "spanId", "parentSpanId")
        return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in ids else fixed(v) for k, v in node.items()}

    from google.protobuf.json_format import ParseDict

    return bytes(ParseDict(fixed(request), ExportTraceServiceRequest()).SerializeToString())


@given(requests)
@settings(max_examples=300, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_protobuf_and_json_give_the_same_rows(request: Any) -> None:
    """The column-wise decoder of protobuf and the object-wise one of JSON agree on every span of every request."""
    from_protobuf, refused = spans_of(to_protobuf(request), "protobuf")
    from_json, also_refused = spans_of(orjson.dumps(request), "json")
    assert from_protobuf == from_json
    assert refused == also_refused == []
    assert len(from_json) == sum(len(s["spans"]) for r in request["resourceSpans"] for s in r["scopeSpans"])


def one_span(**changed: Any) -> dict[str, Any]:
    """A good span, in JSON, with changes."""
    good = {"traceId": "01" * 16, "spanId": "02" * 8, "name": "chat", "startTimeUnixNano": str(START_NS)}
    return {**good, "endTimeUnixNano": str(START_NS + 10**9), **changed}


def request_of(*listed: Any) -> dict[str, Any]:
    """A request of spans in one scope."""
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(listed)}]}]}


BAD_SPANS = {
    "traceId": ({"traceId": "00" * 16}, "trace"),
    "no traceId": ({"traceId": ""}, "trace"),
    "short spanId": ({"spanId": "0101"}, "span"),
    "early": ({"startTimeUnixNano": "5", "endTimeUnixNano": "6"}, "between 2000 and 2100"),
    "no time": ({"startTimeUnixNano": "0", "endTimeUnixNano": "0"}, "between 2000 and 2100"),
    "late": ({"startTimeUnixNano": str(2**63), "endTimeUnixNano": str(2**64 - 1)}, "between 2000 and 2100"),
    "backwards": ({"endTimeUnixNano": str(START_NS - 10**6)}, "before it starts"),
}


@pytest.mark.parametrize("form", ["protobuf", "json"])
@pytest.mark.parametrize("case", BAD_SPANS)
def test_a_bad_span_is_named_and_the_others_are_kept(case: str, form: Any) -> None:
    """A span with an impossible id or time is refused with its name and the reason; its neighbours stay."""
    change, reason = BAD_SPANS[case]
    request = request_of(one_span(name="a"), one_span(name="bad", **change), one_span(name="b"))
    body = to_protobuf(request) if form == "protobuf" else orjson.dumps(request)
    found, refused = spans_of(body, form)
    assert [s.name for s in found] == ["a", "b"]
    [why] = refused
    assert '"bad"' in why
    assert reason in why


@pytest.mark.parametrize(
    ("where", "field"),
    [("NAME", "name"), ("VALUE", "attribute"), ("KEY", "attribute name"), ("MESSAGE", "status"), ("EVENT", "event")],
)
def test_text_that_is_no_utf8_costs_its_span_only(where: str, field: str) -> None:
    """A span with invalid UTF-8 anywhere in it is refused by the name of the field; all others are kept."""
    marked = one_span(
        name="xNAMEx",
        attributes=[{"key": "xKEYx", "value": {"stringValue": "xVALUEx"}}],
        status={"message": "xMESSAGEx"},
        events=[{"name": "xEVENTx", "timeUnixNano": str(START_NS)}],
    )
    body = to_protobuf(request_of(one_span(name="a"), marked, one_span(name="b")))
    mark = f"x{where}x".encode()
    found, refused = spans_of(body.replace(mark, b"\xff" + mark[1:]), "protobuf")
    assert [s.name for s in found] == ["a", "b"]
    [why] = refused
    assert field in why
    assert "UTF-8" in why


def test_a_resource_that_is_no_utf8_costs_its_own_spans() -> None:
    """Spans under an unreadable resource are refused with its reason, those of another resource are kept."""
    bad = {"resource": {"attributes": [{"key": "host", "value": {"stringValue": "xVALUEx"}}]}}
    request = {
        "resourceSpans": [
            {**bad, **request_of(one_span())["resourceSpans"][0]},
            *request_of(one_span())["resourceSpans"],
        ]
    }
    found, refused = spans_of(to_protobuf(request).replace(b"xVALUEx", b"\xffVALUEx"), "protobuf")
    assert len(found) == len(refused) == 1
    assert "host" in refused[0]


def test_the_own_attribute_wins_over_the_inherited_one() -> None:
    """An attribute of the span hides the one of its scope, and that the one of its resource."""

    def pair(value: str) -> list[dict[str, Any]]:
        return [{"key": "k", "value": {"stringValue": value}}]

    for own, scope, expected in (
        (pair("span"), pair("scope"), "span"),
        ([], pair("scope"), "scope"),
        ([], [], "resource"),
    ):
        request = {
            "resourceSpans": [
                {
                    "resource": {"attributes": pair("resource")},
                    "scopeSpans": [{"scope": {"attributes": scope}, "spans": [one_span(attributes=own)]}],
                }
            ]
        }
        assert [s.attributes["k"] for s in spans_of(to_protobuf(request))[0]] == [expected]
        assert [s.attributes["k"] for s in spans_of(orjson.dumps(request), "json")[0]] == [expected]


SAMPLE = to_protobuf(
    request_of(
        *(
            one_span(
                spanId=f"{k + 1:016x}",
                attributes=[
                    {"key": "gen_ai.request.model", "value": {"stringValue": 'm"\n'}},
                    {"key": "n", "value": {"intValue": "7"}},
                    {"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
                ],
                events=[{"name": "e", "timeUnixNano": str(START_NS), "attributes": []}],
                links=[{"traceId": "03" * 16, "spanId": "04" * 8}],
                status={"code": 2, "message": "m"},
            )
            for k in range(3)
        )
    )
)


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    """Random bytes are a request (perhaps empty) or an InputError, in every decoder and form."""
    for form in ("protobuf", "json"):
        for decode in (traces_of, points_of, lambda b, f: logs_of(b, f, now_us=NOW_US)):
            try:
                decode(body, form)  # type: ignore[operator]
            except InputError:
                continue


@given(
    st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 40),
)
@settings(max_examples=700, deadline=None)
def test_a_damaged_request_is_decoded_or_refused(damage: list[tuple[int, int]], cut: int) -> None:
    """A real request with flipped bytes and a missing end gives rows of the right schema, or an InputError."""
    body = bytearray(SAMPLE)
    for at, byte in damage:
        body[at] = byte
    try:
        rows, refused = traces_of(bytes(body[: len(body) - cut]), "protobuf")
    except InputError:
        return
    assert rows.schema == SCHEMAS["spans"]
    for row in rows.to_pylist():
        assert isinstance(orjson.loads(row["attributes"]), dict)
        assert isinstance(orjson.loads(row["events"]), list)
    assert all(len(r) < 500 for r in refused)


def field_bytes(number: int, inner: bytes) -> bytes:
    """A length-delimited field."""
    length, out = len(inner), bytearray([number << 3 | 2])
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(out) + bytes([length]) + inner


@pytest.mark.slow
@pytest.mark.parametrize("level", ["resource_spans", "spans", "attributes"])
def test_a_body_of_empty_parts_is_refused_before_it_fills_the_memory(level: str) -> None:
    """A million empty parts in two MiB are refused with little memory, wherever they stand."""
    tiny = {"resource_spans": b"\x0a\x00", "spans": b"\x12\x00", "attributes": b"\x4a\x00"}[level] * 2**20
    body = tiny
    if level != "resource_spans":
        body = field_bytes(1, field_bytes(2, tiny if level == "spans" else field_bytes(2, tiny)))
    tracemalloc.start()
    with pytest.raises(InputError, match="send fewer"):
        traces_of(body, "protobuf")
    assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    tracemalloc.stop()


def test_a_deep_value_is_refused_and_the_process_lives() -> None:
    """A value nested ten thousand deep costs its own span, in protobuf, and the reason says so."""
    inner = b"\x0a\x01x"
    for _ in range(5_000):
        inner = field_bytes(5, field_bytes(1, inner))
    deep = field_bytes(9, field_bytes(1, b"deep") + field_bytes(2, inner))
    good = ExportTraceServiceRequest.FromString(SAMPLE).resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    body = field_bytes(1, field_bytes(2, field_bytes(2, good) + field_bytes(2, good + deep)))
    found, [why] = spans_of(body)
    assert len(found) == 1
    assert '"deep"' in why
    assert "nested too deeply" in why


def log(**changed: Any) -> dict[str, Any]:
    """A log record of a model call, in JSON."""
    good = {"traceId": "01" * 16, "spanId": "02" * 8, "timeUnixNano": str(START_NS), "eventName": "gen_ai.user.message"}
    return {
        **good,
        "body": {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "hi"}}]}},
        **changed,
    }


def logs_body(*records: Any) -> bytes:
    """A log request."""
    return orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]})


def test_log_records_of_model_calls_are_kept_and_others_counted() -> None:
    """An event named gen_ai.* is kept with its body; a line of an ordinary log is counted."""
    old_style = log(eventName=None, attributes=[{"key": "event.name", "value": {"stringValue": "gen_ai.choice"}}])
    flag = log(eventName="feature_flag.evaluation", body=None)
    found = logs_of(logs_body(log(), old_style, flag, log(eventName="startup")), "json", now_us=NOW_US)
    assert [(r.name, r.body) for r in found.rows] == [
        ("gen_ai.user.message", {"content": "hi"}),
        ("gen_ai.choice", {"content": "hi"}),
        ("feature_flag.evaluation", None),
    ]
    assert (found.others, found.refused) == (1, ())


def test_the_same_log_record_has_the_same_id_and_another_one_has_not() -> None:
    """Identity is the content: sent twice it is one, with another word it is two; a record without a time gets now."""
    first = logs_of(logs_body(log(), log()), "json", now_us=NOW_US).rows
    assert first[0].id == first[1].id
    assert logs_of(logs_body(log(spanId="03" * 8)), "json", now_us=NOW_US).rows[0].id != first[0].id
    timeless = [logs_of(logs_body(log(timeUnixNano="0")), "json", now_us=now).rows[0] for now in (NOW_US, NOW_US + 1)]
    assert timeless[0].id == timeless[1].id
    assert timeless[0].time_us == NOW_US


def test_logs_are_the_same_in_both_forms() -> None:
    """A log request in protobuf gives the rows that it gives in JSON."""
    request = ExportLogsServiceRequest()
    record = (
        request.resource_logs.add()
        .scope_logs.add()
        .log_records.add(
            time_unix_nano=START_NS, event_name="gen_ai.user.message", trace_id=b"\1" * 16, span_id=b"\2" * 8
        )
    )
    record.body.kvlist_value.values.add(key="content").value.string_value = "hi"
    from_protobuf = logs_of(request.SerializeToString(), "protobuf", now_us=NOW_US).rows
    assert from_protobuf == logs_of(logs_body(log()), "json", now_us=NOW_US).rows


def test_metric_points_are_counted_in_both_forms() -> None:
    """Every data point of every kind of metric counts once."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for kind, points in (("gauge", 2), ("sum", 1), ("histogram", 3), ("exponential_histogram", 1), ("summary", 1)):
        data = getattr(metrics.add(name=kind), kind).data_points
        for _ in range(points):
            data.add()
    assert points_of(request.SerializeToString(), "protobuf") == 8
    assert points_of(json.dumps(MessageToDict(request)).encode(), "json") == 8
