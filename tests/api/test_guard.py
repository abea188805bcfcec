"""Laws of who is let in."""

import base64
from typing import Any

import pytest

from andon.api.security import is_loopback

TOKEN = "s3cret-tökén"
MACHINES = (
    ("GET", "/metrics"),
    ("POST", "/v1/traces"),
    ("POST", "/v1/interactions"),
    ("POST", "/ofrep/v1/evaluate/flags/kill-switch"),
)
NEEDED = {"/metrics": "read", "/v1/traces": "ingest", "/v1/interactions": "ingest"}
"""The scope that a path needs; the others need `levers`."""


def basic(text: str) -> str:
    """A Basic header."""
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer  {TOKEN} "},
        {"x-api-key": TOKEN},
        {"authorization": basic(f"anyone:{TOKEN}")},
    ],
)
def test_the_token_opens(open_client: Any, headers: dict[str, str]) -> None:
    """The token is taken as a bearer token, an API key or a Basic password, from any client and under any host name."""
    client = open_client(TOKEN, address="203.0.113.9", base_url="https://andon.example")
    raw = {k: v.encode("utf-8") for k, v in headers.items()}
    assert client.get("/metrics", headers=raw).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer"},
        {"x-api-key": ""},
        {"authorization": "Basic !!!"},
        {"authorization": basic("s3cret:")},
        {"x-api-key": "s3cret"},
    ],
)
def test_without_the_token_nothing_opens(open_client: Any, headers: dict[str, str]) -> None:
    """With a token set, even this machine is refused what is for programs without it, with a challenge; only /healthz and /readyz stay open."""
    client = open_client(TOKEN)
    for method, path in (*MACHINES, ("GET", "/v1/nope"), ("GET", "/ofrep/nope"), ("GET", "/openapi.json")):
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["error"]["kind"] == "Unauthorized"
    for path in ("/healthz", "/readyz"):
        assert client.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize("address", ["203.0.113.9", "10.0.0.2", "::2", "::ffff:203.0.113.9"])
def test_other_machines_need_a_token(open_client: Any, address: str) -> None:
    """Without a token a client on another machine is refused, and told what to set."""
    answer = open_client(address=address).get("/healthz")
    assert answer.status_code == 403
    assert "ANDON_TOKEN" in answer.json()["error"]["message"]


@pytest.mark.parametrize("host", ["localhost", "localhost:4318", "127.0.0.1", "127.0.0.2:1", "[::1]:4318", "LOCALHOST"])
def test_loopback_names_are_let_in(open_client: Any, host: str) -> None:
    """Without a token, this machine is let in under each of its loopback names."""
    assert open_client(address="::1").get("/readyz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:4318",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "0.0.0.0",
        "",
        "[::2]",
        "192.168.0.1",
    ],
)
def test_a_rebound_name_is_refused(open_client: Any, host: str) -> None:
    """A Host header that is no loopback name is refused though the client is local: that is what DNS rebinding looks like."""
    client = open_client()
    assert client.get("/readyz", headers={"host": host}).status_code == 403
    assert client.post("/v1/interactions", headers={"host": host}).status_code == 403


def test_a_proxy_does_not_make_strangers_local(open_client: Any) -> None:
    """Without a token, a request that says it came through a proxy is refused: its client is not this machine."""
    assert open_client().get("/readyz", headers={"x-forwarded-for": "127.0.0.1"}).status_code == 403


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://127.0.0.1:3000", "null", "http://localhost:4318", "https://127.0.0.1:4318x", ""],
)
def test_pages_of_other_origins_change_nothing(open_client: Any, doubles: Any, origin: str) -> None:
    """A browser's POST from a page of another origin is refused, with a token or without, and nothing is kept."""
    for token in ("", TOKEN):
        headers = {"origin": origin, "x-api-key": token.encode(), "content-type": "application/x-ndjson"}
        answer = open_client(token).post("/v1/interactions", content=b'{"time": 1790000000}', headers=headers)
        assert answer.status_code == 403
    assert doubles.rows == []


def test_our_own_pages_may_change_things(open_client: Any) -> None:
    """A POST whose origin is the host that it goes to is let in, also where the port is left out as the default one."""
    for base_url in ("http://127.0.0.1:4318", "http://localhost"):
        client = open_client(base_url=base_url)
        headers = {"origin": base_url, "content-type": "application/x-ndjson", "sec-fetch-site": "same-origin"}
        assert client.post("/v1/interactions", content=b"", headers=headers).status_code == 200


def test_cross_site_without_an_origin_is_refused(open_client: Any) -> None:
    """A POST that a browser marks as cross-site is refused even when it carries no origin."""
    assert open_client().post("/v1/interactions", headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_every_answer_is_guarded(open_client: Any) -> None:
    """Good answers, refusals and errors all carry the security headers."""
    client = open_client()
    for path in ("/healthz", "/nope", "/openapi.json"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
    assert client.get("/healthz", headers={"host": "evil"}).headers["x-content-type-options"] == "nosniff"


def test_a_page_keeps_its_own_policy(doubles: Any) -> None:
    """A page that is added to the app is passed on to, as it signs people in by itself, and the policy that it sets itself stays."""
    from starlette.responses import Response
    from starlette.testclient import TestClient

    app = doubles.app(TOKEN)
    app.add_api_route("/page", lambda: Response("x", headers={"content-security-policy": "default-src 'self'"}))
    client = TestClient(app)
    for headers in ({}, {"x-api-key": b"wrong"}, {"x-api-key": TOKEN.encode()}):
        page = client.get("/page", headers=headers)
        assert page.status_code == 200
        assert page.headers["content-security-policy"] == "default-src 'self'"
        assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("token", ["", TOKEN])
def test_page_paths_are_passed_on_within_limits(open_client: Any, token: str) -> None:
    """A path that is not for programs is the page's: no token is asked for, no browser is asked for one; a foreign origin changes nothing."""
    client = open_client(token)
    for path in ("/", "/incidents/INC-0001", "/sign-in", "/v1", "/v2/traces", "/static/andon.css"):
        for headers in ({}, {"authorization": "Bearer wrong"}):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 404  # no page was added here
            assert "www-authenticate" not in answer.headers
        assert client.post(path, headers={"origin": "https://evil.example"}).status_code == 403
    if not token:
        assert client.get("/", headers={"host": "evil.example"}).status_code == 403
        assert open_client("", address="203.0.113.9").get("/").status_code == 403


@pytest.mark.parametrize("token", ["", TOKEN])
@pytest.mark.parametrize("scopes", [(), ("ingest",), ("levers",), ("read",), ("ingest", "levers", "read")])
def test_a_machines_token_opens_what_its_scopes_name(
    open_client: Any, doubles: Any, token: str, scopes: tuple[str, ...]
) -> None:
    """A known token lets in where it has the scope; elsewhere it is a 403 that names the scope that is needed."""
    doubles.tokens["andon_abcdefgh_x"] = frozenset(scopes)
    client = open_client(token)
    for headers in ({"authorization": "Bearer andon_abcdefgh_x"}, {"x-api-key": "andon_abcdefgh_x"}):
        for method, path in MACHINES:
            needed = NEEDED.get(path, "levers")
            answer = client.request(method, path, headers=headers)
            if needed in scopes or (path == "/metrics" and not token):
                assert answer.status_code not in (401, 403)
            else:
                assert (answer.status_code, answer.json()["error"]["kind"]) == (403, "Forbidden")
                assert f"the scope {needed}" in answer.json()["error"]["message"]


def test_a_wrong_token_is_refused_even_on_this_machine(open_client: Any, doubles: Any) -> None:
    """While ANDON_TOKEN is not set, a program on this machine needs no token; one that it sends must be right all the same."""
    client = open_client()
    for method, path in MACHINES:
        assert client.request(method, path).status_code not in (401, 403)
        assert client.request(method, path, headers={"authorization": "Bearer "}).status_code not in (401, 403)
        for wrong in ("andon_abcdefgh_x", "wrong") if path != "/metrics" else ():
            answer = client.request(method, path, headers={"authorization": f"Bearer {wrong}"})
            assert answer.status_code == 401
            assert "ANDON_TOKEN is not set" in answer.json()["error"]["message"]
    assert doubles.rows == []
    assert client.get("/healthz", headers={"x-api-key": "wrong"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("example.com", False),
    ],
)
def test_what_counts_as_this_machine(host: str, local: bool) -> None:
    """Only loopback addresses and the name localhost are this machine; the wildcard addresses are not."""
    assert is_loopback(host) is local
