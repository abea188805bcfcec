"""Every recorded request of the shared samples is accepted by a live server, in every form and encoding."""

import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import orjson
import pyarrow as pa
import pytest

from andon.server import Server, create_server
from andon.store import Ledger, Rollup, Warehouse
from andon.traffic import SCHEMAS

ROOT = Path(__file__).resolve().parents[2]
PACK = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data")) / "otlp-samples"

pytestmark = pytest.mark.skipif(
    not PACK.is_dir(), reason="NOT TESTED: recorded OTLP requests (the pack otlp-samples is not here)"
)

PACKERS = {
    "": lambda body: body,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": lambda body: pa.compress(body, codec="zstd", asbytes=True),
}


def requests() -> Iterator[tuple[str, bytes, str]]:
    """Signal, body and content type of every request of the pack."""
    for path in sorted((PACK / "protobuf").glob("*.pb")):
        yield path.name.split(".")[-2], path.read_bytes(), "application/x-protobuf"
    for path in sorted(PACK.glob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                recorded = orjson.loads(line)
                for signal in ("traces", "logs"):
                    if recorded.get(signal):
                        yield signal, orjson.dumps(recorded[signal]), "application/json"
    yield "metrics", gzip.decompress((PACK / "openllmetry.metrics.json.gz").read_bytes()), "application/json"
    for name, signal in (("trace", "traces"), ("logs", "logs"), ("events", "logs"), ("metrics", "metrics")):
        yield signal, (PACK / "fixtures-otlp-proto" / f"{name}.json").read_bytes(), "application/json; charset=utf-8"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A live server without a loop."""
    with create_server(Warehouse(tmp_path, SCHEMAS), Ledger("sqlite://"), None).running() as running:
        yield running


@pytest.mark.slow
def test_every_recorded_request_is_accepted(server: Server, tmp_path: Path, record_property: object) -> None:
    """All of them are answered 200, in the request's content type, with nothing refused; sent again they add no span."""
    accepted: Counter[str] = Counter()
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        for number, (signal, body, kind) in enumerate(requests()):
            for encoding in PACKERS if number % 10 == 0 else ("", "gzip"):
                headers = {"content-type": kind, **({"content-encoding": encoding} if encoding else {})}
                answer = client.post(f"/v1/{signal}", content=PACKERS[encoding](body), headers=headers)
                assert answer.status_code == 200, (signal, number, answer.text)
                assert answer.headers["content-type"] == kind.partition(";")[0]
                assert answer.content in (b"", b"{}")
            accepted[f"{signal} in {kind.partition(';')[0]}"] += 1
    record_property("accepted", dict(accepted))
    assert accepted["traces in application/x-protobuf"] >= 20
    assert accepted["traces in application/json"] > 400
    assert sum(accepted.values()) > 450
    spans = {
        (span["traceId"], span["spanId"])
        for signal, body, kind in requests()
        if signal == "traces" and kind.startswith("application/json")
        for resource in orjson.loads(body)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    }
    store = Warehouse(tmp_path, SCHEMAS)
    server.work[0]._work()
    store.commit()
    rows = store.run(Rollup(table="spans", metrics=("time_us",)))["rows"][0].as_py()
    store.close()
    assert rows == len({(trace.lower(), span.lower()) for trace, span in spans})
