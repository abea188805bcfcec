"""Laws of taking rows in over HTTP."""

import gzip
import threading
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.testclient import TestClient

from andon.api.bodies import MAX_BODY, MAX_UNPACKED, unpack
from andon.api.errors import Refused
from andon.errors import ConfigError, InputError, StateError, StoreError
from andon.traffic import Interaction

PROTOBUF = {"content-type": "application/x-protobuf"}
LINES = {"content-type": "application/x-ndjson"}
JSON = {"content-type": "application/json"}
ROW = {"id": "i1", "time": "2026-09-21T12:00:00Z", "query": "q", "answer": "a"}


def bomb(size: int) -> bytes:
    """Gzip of that many zeros."""
    return gzip.compress(bytes(size))


def status_message(body: bytes) -> tuple[int, str]:
    """Code and message of a google.rpc.Status, read with the real class where it is installed."""
    from google.rpc.status_pb2 import Status

    status = Status.FromString(body)
    return status.code, status.message


@pytest.mark.parametrize(
    "content_type", ["application/x-protobuf", "application/x-protobuf; charset=utf-8", "Application/X-Protobuf"]
)
@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "GZIP"])
def test_traces_are_handed_over_unpacked(client: TestClient, doubles: Any, content_type: str, encoding: str) -> None:
    """A protobuf body arrives as it was before gzip, and the answer is an empty ExportTraceServiceResponse."""
    body = gzip.compress(b"spans") if encoding.lower() == "gzip" else b"spans"
    headers = {"content-type": content_type, **({"content-encoding": encoding} if encoding else {})}
    answer = client.post("/v1/traces", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
    assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()
    assert doubles.spans == [b"spans"]


def test_spans_that_were_not_kept_are_a_partial_success(client: TestClient, doubles: Any) -> None:
    """Refused spans are counted and explained in partial_success, with status 200, so that nothing is sent again."""
    doubles.refused_spans = [f"span {n}: no trace id" for n in range(7)]
    answer = ExportTraceServiceResponse.FromString(client.post("/v1/traces", content=b"x", headers=PROTOBUF).content)
    assert answer.partial_success.rejected_spans == 7
    assert "span 0: no trace id" in answer.partial_success.error_message
    assert "and 2 more" in answer.partial_success.error_message


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/grpc", "application/jsonx"])
def test_other_trace_formats_are_told_what_to_send(client: TestClient, doubles: Any, content_type: str) -> None:
    """What is neither protobuf nor JSON is a 415 that names both."""
    answer = client.post("/v1/traces", content=b"{}", headers={"content-type": content_type})
    assert answer.status_code == 415
    assert "application/x-protobuf and application/json" in answer.json()["error"]["message"]
    assert doubles.spans == []


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
@pytest.mark.parametrize(
    ("content_type", "form"),
    [("application/json", "json"), ("application/json; charset=utf-8", "json"), ("application/x-protobuf", "protobuf")],
)
def test_every_signal_is_answered_in_its_own_content_type(
    client: TestClient, doubles: Any, signal: str, content_type: str, form: str
) -> None:
    """Traces, logs and metrics in both forms are handed over, and the answer has the request's content type."""
    answer = client.post(f"/v1/{signal}", content=b"{}", headers={"content-type": content_type})
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type.partition(";")[0])
    assert doubles.received == [(signal, form)]
    assert answer.content == (b"{}" if form == "json" else b"")


REFUSED = {"traces": "rejectedSpans", "logs": "rejectedLogRecords", "metrics": "rejectedDataPoints"}


@pytest.mark.parametrize("signal", REFUSED)
def test_a_partial_success_in_json_has_the_names_of_the_protocol(client: TestClient, doubles: Any, signal: str) -> None:
    """In JSON what was not kept is counted under the signal's own name, as text, as OTLP writes 64-bit numbers."""
    doubles.refused_spans = ["span x: no trace id"]
    answer = client.post(f"/v1/{signal}", content=b"{}", headers=JSON).json()
    assert answer["partialSuccess"][REFUSED[signal]] == "1"
    assert "no trace id" in answer["partialSuccess"]["errorMessage"]


def test_a_failure_in_json_is_a_status_in_json(client: TestClient, doubles: Any) -> None:
    """A malformed request in JSON is answered 400 with code and message in JSON."""
    doubles.fails = InputError("bad message")
    answer = client.post("/v1/traces", content=b"{}", headers=JSON)
    assert (answer.status_code, answer.json()) == (400, {"code": 3, "message": "bad message"})


def zlib_of(raw: bytes, wbits: int) -> bytes:
    """A deflated body, with zlib's wrapper or without."""
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(raw) + packer.flush()


@pytest.mark.parametrize("size", [0, 5, 3_000_000])
@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("deflate", lambda raw: zlib_of(raw, 15)),
        ("deflate", lambda raw: zlib_of(raw, -15)),
        ("zstd", lambda raw: pa.compress(raw, codec="zstd", asbytes=True)),
        ("gzip", gzip.compress),
    ],
)
def test_every_encoding_gives_the_body_back(encoding: str, pack: Any, size: int) -> None:
    """gzip, deflate (with and without its wrapper) and zstd unpack to what was packed, and not beyond the limit."""
    raw = bytes(k * k % 251 for k in range(min(size, 10_000))) * max(1, size // 10_000)
    assert unpack(pack(raw), encoding, len(raw) + 1) == raw
    if size > 5:
        with pytest.raises(Refused) as refused:
            unpack(pack(raw), encoding, len(raw) - 1)
        assert refused.value.status == 413
        with pytest.raises(Refused) as cut:
            unpack(pack(raw)[:-9], encoding)
        assert cut.value.status == 400


def test_who_does_not_fit_is_asked_to_come_again(
    open_client: Any, doubles: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While bodies fill the room, a further one is a 503 with an integer Retry-After, and when they are done it is taken."""
    monkeypatch.setattr("andon.api.bodies.Room.__init__.__defaults__", (100,))
    gate, inside = threading.Event(), threading.Event()

    def slow(signal: str, body: bytes, form: str) -> tuple[int, list[str]]:
        inside.set()
        gate.wait(10)
        return 1, []

    doubles.receive = slow
    client = open_client()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/traces", content=b"x" * 80, headers=PROTOBUF)
        assert inside.wait(10)
        busy = client.post("/v1/traces", content=b"x" * 80, headers=PROTOBUF)
        gate.set()
        assert first.result().status_code == 200
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
    assert client.post("/v1/traces", content=b"x" * 80, headers=PROTOBUF).status_code == 200
    assert client.post("/v1/interactions", content=b"", headers=LINES).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (InputError("bad message"), 400, None),
        (StoreError("disk full", retryable=True), 503, "5"),
        (StoreError("/secret/path is broken"), 500, None),
        (ConfigError("secret"), 500, None),
    ],
)
def test_trace_failures_are_otlp_statuses(
    client: TestClient, doubles: Any, error: Exception, status: int, retry: str | None
) -> None:
    """A failure is a google.rpc.Status: 400 for a bad message, 503 with integer Retry-After for the disk, no internals."""
    doubles.fails = error
    answer = client.post("/v1/traces", content=b"x", headers=PROTOBUF)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/x-protobuf")
    assert answer.headers.get("retry-after") == retry
    code, message = status_message(answer.content)
    assert code
    assert ("bad message" in message) == (status == 400)
    assert "secret" not in message


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/interactions", "/v1/feedback"])
def test_a_body_over_the_limit_is_refused(client: TestClient, doubles: Any, path: str) -> None:
    """A body over 16 MiB is a 413, announced or not, and nothing of it is kept."""
    headers = PROTOBUF if path == "/v1/traces" else LINES
    big = b"x" * (MAX_BODY + 1)
    assert client.post(path, content=big, headers=headers).status_code == 413
    assert client.post(path, content=iter([big]), headers=headers).status_code == 413
    assert (doubles.spans, doubles.rows) == ([], [])


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/interactions"])
def test_a_gzip_bomb_is_refused(client: TestClient, doubles: Any, path: str) -> None:
    """A small body that unpacks to more than 64 MiB is a 413."""
    headers = {**(PROTOBUF if path == "/v1/traces" else LINES), "content-encoding": "gzip"}
    assert client.post(path, content=bomb(MAX_UNPACKED + 1), headers=headers).status_code == 413
    assert (doubles.spans, doubles.rows) == ([], [])


def test_a_gzip_bomb_does_not_fill_memory() -> None:
    """Unpacking a gigabyte stops at the limit: memory stays under a small multiple of it."""
    body = b"".join([bomb(64 * 2**20)] * 16)
    tracemalloc.start()
    try:
        with pytest.raises(Refused) as refused:
            unpack(body, "gzip", 4 * 2**20)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"not gzip", 400),
        (gzip.compress(b"spans")[:-3], 400),
        (gzip.compress(b"spans") + b"rubbish", 400),
        (gzip.compress(b"") * 101, 400),
        (gzip.compress(b"sp") + gzip.compress(b"ans"), 200),
        (b"", 200),
    ],
)
def test_broken_gzip_is_malformed(client: TestClient, doubles: Any, body: bytes, status: int) -> None:
    """What is no gzip, is cut off or has rubbish behind it is a 400; several members are one body."""
    answer = client.post("/v1/traces", content=body, headers={**PROTOBUF, "content-encoding": "gzip"})
    assert answer.status_code == status
    assert doubles.spans == ([] if status == 400 else [b"spans" if body else b""])


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "\x00"])
def test_other_encodings_are_refused_by_name(client: TestClient, encoding: str) -> None:
    """An encoding that is not read is a 415 that names those that are."""
    answer = client.post("/v1/interactions", content=b"x", headers={**LINES, "content-encoding": encoding})
    assert answer.status_code == 415
    assert "gzip, deflate, zstd or none" in answer.json()["error"]["message"]


def test_good_lines_are_kept_and_bad_ones_reported(client: TestClient, doubles: Any) -> None:
    """Of a body with bad lines the good ones are kept, and each bad one is answered with its number and reason."""
    body = b"\n".join(
        [
            orjson.dumps(ROW),
            b"{",
            b"",
            orjson.dumps({**ROW, "id": "i2", "confidence": 7}),
            orjson.dumps({**ROW, "id": "i3"}),
        ]
    )
    answer = client.post("/v1/interactions", content=body, headers=LINES)
    assert answer.status_code == 200
    found = answer.json()
    assert (found["accepted"], found["rejected_count"]) == (2, 2)
    assert [r["line"] for r in found["rejected"]] == [2, 4]
    assert "confidence" in found["rejected"][1]["reason"]
    assert [r.id for r in doubles.rows] == ["i1", "i3"]
    assert all(isinstance(r, Interaction) for r in doubles.rows)


@pytest.mark.parametrize("body", [ROW, [ROW]])
def test_json_objects_and_arrays_are_rows_too(client: TestClient, doubles: Any, body: Any) -> None:
    """A JSON object is one row and an array is many; bad items are numbered from 1."""
    answer = client.post("/v1/interactions", content=orjson.dumps(body), headers=JSON)
    assert answer.json() == {"accepted": 1, "rejected": [], "rejected_count": 0}
    mixed = client.post("/v1/interactions", content=orjson.dumps([ROW, 7, None]), headers=JSON).json()
    assert [r["line"] for r in mixed["rejected"]] == [2, 3]


def test_feedback_is_taken_like_interactions(client: TestClient, doubles: Any) -> None:
    """Feedback comes in as lines, and its bad lines are reported the same way."""
    good = {"interaction_id": "i1", "time": "2026-09-21T12:00:00Z", "thumb": "down"}
    body = orjson.dumps(good) + b"\n" + orjson.dumps({"interaction_id": "i1"})
    answer = client.post("/v1/feedback", content=body, headers=LINES).json()
    assert (answer["accepted"], answer["rejected"][0]["line"]) == (1, 2)
    assert (doubles.rows[0].kind, doubles.rows[0].value) == ("thumb", 0.0)


def test_only_bad_rows_are_an_error(client: TestClient) -> None:
    """When no row could be kept the status is 422, with the error shape and the reasons; an empty body is not an error."""
    answer = client.post("/v1/interactions", content=b"{\n}\n", headers=LINES)
    assert answer.status_code == 422
    assert answer.json()["error"]["kind"] == "InputError"
    assert answer.json()["rejected_count"] == 2
    assert client.post("/v1/interactions", content=b"\n", headers=LINES).json()["accepted"] == 0


def test_many_bad_lines_do_not_fill_the_answer(client: TestClient) -> None:
    """All bad lines are counted, a hundred of them are described."""
    found = client.post("/v1/interactions", content=b"x\n" * 5000, headers=LINES).json()
    assert (found["rejected_count"], len(found["rejected"])) == (5000, 100)


def test_many_rows_are_kept_in_batches(client: TestClient, doubles: Any) -> None:
    """Every row of a body larger than a batch is kept once."""
    body = b"\n".join(orjson.dumps({"id": f"i{n}", "time": 1_790_000_000}) for n in range(12_345))
    assert client.post("/v1/interactions", content=body, headers=LINES).json()["accepted"] == 12_345
    assert len({r.id for r in doubles.rows}) == 12_345


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"[", JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b"{}", {"content-type": "text/csv"}, 415),
        (gzip.compress(b"[" + b"0," * (MAX_BODY // 2) + b"0]"), {**JSON, "content-encoding": "gzip"}, 413),
    ],
)
def test_bodies_that_cannot_be_split_into_rows(
    client: TestClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    """What is no JSON, too long for a JSON array, or of another type is refused whole in the one error shape."""
    answer = client.post("/v1/interactions", content=content, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"kind", "message"}


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InputError("confidence=7"), 422, "InputError"),
        (StateError("closed"), 409, "StateError"),
        (StoreError("/secret: disk full", retryable=True), 503, "StoreError"),
        (StoreError("/secret: broken"), 500, "StoreError"),
        (ZeroDivisionError("secret"), 500, "InternalError"),
    ],
)
def test_one_error_shape(client: TestClient, doubles: Any, error: Exception, status: int, kind: str) -> None:
    """Every failure is {"error": {"kind", "message"}} with the status of who has to act, and leaks nothing internal."""
    doubles.fails = error
    for path, body, headers in (
        ("/v1/interactions", ROW, LINES),
        ("/v1/changes", {"kind": "model", "title": "t"}, JSON),
    ):
        answer = client.post(path, content=orjson.dumps(body), headers=headers)
        assert (answer.status_code, answer.json()["error"]["kind"]) == (status, kind)
        assert "secret" not in answer.text
        assert answer.headers.get("retry-after") == ("5" if status == 503 else None)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_unknown_paths_and_methods_have_the_shape_too(client: TestClient) -> None:
    """404 and 405 carry the same error shape."""
    assert client.get("/nope").json()["error"]["kind"] == "NotFound"
    assert client.get("/v1/traces").json()["error"]["kind"] == "MethodNotAllowed"


def test_readiness_tells_what_does_not_work(client: TestClient, doubles: Any) -> None:
    """/readyz is 200 while everything works and 503 with the reasons when something does not; /healthz only says alive."""
    assert client.get("/readyz").json() == {"ready": True, "problems": [], "warnings": []}
    doubles.problems = ["commit: failed 3 times in a row"]
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (503, doubles.problems)
    assert client.get("/healthz").json() == {"status": "ok"}
