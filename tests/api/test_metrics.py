"""Laws of what a scrape is told of requests, and of what a probe is told."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from andon.api.metrics import NO_ROUTE, Requests, add_metrics

TOKEN = "s3cret"
FAMILY = "andon_http_request_duration_seconds"


def counts(client: TestClient, **headers: str) -> dict[tuple[str, str], float]:
    """Requests so far, by route and kind of answer, as Prometheus's own reader understands them."""
    text = client.get("/metrics", headers=headers).text
    families = {f.name: f for f in text_string_to_metric_families(text)}
    samples = families[FAMILY].samples if FAMILY in families else []
    return {(s.labels["route"], s.labels["status"]): s.value for s in samples if s.name.endswith("_count")}


def test_a_scrape_is_the_text_that_prometheus_reads(client: TestClient) -> None:
    """A scrape is text of format 0.0.4, whose histogram has every bucket of every series and nothing of how the library counts."""
    client.get("/healthz")
    answer = client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    [family] = text_string_to_metric_families(answer.text)
    assert (family.name, family.type) == (FAMILY, "histogram")
    assert {s.name.removeprefix(FAMILY) for s in family.samples} == {"_bucket", "_count", "_sum"}
    assert [s.labels["le"] for s in family.samples if s.name.endswith("_bucket")][-1] == "+Inf"


def test_a_scrape_tells_what_is_measured_beside_requests() -> None:
    """What the composition root measures is told too, with what it says escaped."""

    def measured() -> list[Metric]:
        family = GaugeMetricFamily("andon_x", "X.", labels=("name",))
        family.add_metric(('a"b\n\\c',), 1.0)
        return [family]

    app = FastAPI()
    add_metrics(app, Requests(), measured)
    text = TestClient(app).get("/metrics").text
    [found, _] = text_string_to_metric_families(text)
    assert found.samples[0].labels == {"name": 'a"b\n\\c'}
    assert text.count("andon_x{") == 1


@pytest.mark.parametrize(("scopes", "status"), [(None, 401), ((), 403), (("ingest", "levers"), 403), (("read",), 200)])
def test_a_scrape_needs_the_scope_read(
    open_client: Callable[..., TestClient], doubles: Any, scopes: tuple[str, ...] | None, status: int
) -> None:
    """With ANDON_TOKEN set, /metrics is answered for who has it or a token with the scope `read`, from anywhere; and for nobody else."""
    client = open_client(TOKEN, address="203.0.113.9", base_url="https://andon.example")
    if scopes is not None:
        doubles.tokens["t"] = frozenset(scopes)
    assert client.get("/metrics", headers={"authorization": "Bearer t"}).status_code == status
    assert client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_scrape_without_a_token_is_for_this_machine(open_client: Callable[..., TestClient]) -> None:
    """While ANDON_TOKEN is not set, /metrics is answered on this machine, and refused to others and to pages under another name."""
    assert open_client().get("/metrics").status_code == 200
    assert open_client(address="203.0.113.9").get("/metrics").status_code == 403
    assert open_client().get("/metrics", headers={"host": "evil.example"}).status_code == 403


def test_requests_are_told_apart_by_template_alone(client: TestClient) -> None:
    """However many paths, queries and methods come in, there is one series per route and kind of answer, and none names what came."""
    for n in range(50):
        client.get(f"/secret-{n}?user=ann-{n}")
        client.post(f"/ofrep/v1/evaluate/flags/lever-{n}", json={})
        client.request(f"VERB{n}", "/healthz")
    client.post("/ofrep/v1/evaluate/flags/kill-switch", json={})
    assert counts(client) == {
        (NO_ROUTE, "4xx"): 50,
        ("/ofrep/v1/evaluate/flags/{key:path}", "4xx"): 50,
        ("/ofrep/v1/evaluate/flags/{key:path}", "2xx"): 1,
        ("/healthz", "4xx"): 50,
    }
    text = client.get("/metrics").text
    assert not any(word in text for word in ("secret", "ann-", "lever-", "VERB"))


def test_a_refused_request_is_counted(open_client: Callable[..., TestClient], doubles: Any) -> None:
    """Who is not let in is counted under no route, whatever was asked for; what fails inside is counted as 5xx of its route."""
    client = open_client(TOKEN)
    for path in ("/openapi.json", "/v1/traces", "/v1/nope"):
        assert client.get(path).status_code == 401
    doubles.fails = ZeroDivisionError("x")
    headers = {"x-api-key": TOKEN, "content-type": "application/x-ndjson"}
    assert client.post("/v1/interactions", content=b'{"time": 1790000000}', headers=headers).status_code == 500
    assert counts(client, authorization=f"Bearer {TOKEN}") == {(NO_ROUTE, "4xx"): 3, ("/v1/interactions", "5xx"): 1}


def test_a_duration_ends_where_the_answer_begins(doubles: Any) -> None:
    """How long an answer is read, or a stream lasts, is not in its duration; what is done before it begins is."""
    app = doubles.app()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"x"
        time.sleep(1.0)  # a client that does not read
        yield b"y"

    def work() -> StreamingResponse:
        time.sleep(0.05)
        return StreamingResponse(slowly())

    app.add_api_route("/stream", work)
    client = TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 1))
    assert client.get("/stream").content == b"xy"
    [family] = text_string_to_metric_families(client.get("/metrics").text)
    [took_s] = [s.value for s in family.samples if s.name.endswith("_sum") and s.labels["route"] == "/stream"]
    assert 0.05 <= took_s < 0.8


def test_two_applications_do_not_add_up(doubles: Any) -> None:
    """What one application was asked is not told by another in the same process."""
    one, other = (TestClient(doubles.app(), base_url="http://127.0.0.1", client=("127.0.0.1", 1)) for _ in range(2))
    one.get("/healthz")
    assert counts(one) == {("/healthz", "2xx"): 1}
    assert counts(other) == {}


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer ingests"}])
def test_a_probe_needs_no_token(open_client: Callable[..., TestClient], doubles: Any, headers: dict[str, str]) -> None:
    """With ANDON_TOKEN set, a stranger is told by /readyz whether this replica is ready, by status and one word, and nothing else."""
    doubles.tokens["ingests"] = frozenset({"ingest", "levers"})
    client = open_client(TOKEN, address="203.0.113.9", base_url="https://andon.example")
    answer = client.get("/readyz", headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"ready": True})
    doubles.problems = ["loop: failed at /srv/andon"]
    answer = client.get("/readyz", headers=headers)
    assert (answer.status_code, answer.json()) == (503, {"ready": False})


def test_who_may_read_is_told_the_problems(open_client: Callable[..., TestClient], doubles: Any) -> None:
    """ANDON_TOKEN, a token with the scope `read`, and this machine while ANDON_TOKEN is not set, are told what is wrong."""
    doubles.tokens["reads"] = frozenset({"read"})
    doubles.problems = ["loop: failed"]
    whole = {"ready": False, "problems": ["loop: failed"], "warnings": []}
    for secret in (TOKEN, "reads"):
        answer = open_client(TOKEN, address="203.0.113.9").get("/readyz", headers={"x-api-key": secret})
        assert (answer.status_code, answer.json()) == (503, whole)
    assert open_client().get("/readyz").json() == whole
    assert open_client(address="203.0.113.9").get("/readyz").status_code == 403
