"""What an application sees through the real OpenFeature client: every row of field/ofrep.md section 2 about a single flag."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason
from openfeature.provider import ProviderStatus

from andon.errors import StateError, StoreError
from andon.levers import Lever
from andon.levers.run import declare, hold, release
from andon.scores import SCORERS, score_schema
from andon.server import Server, create_server, now_us
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS

TOKEN = "t0ken"
HOUR = 3600 * 1_000_000
LEVERS = (
    Lever(id="kill-switch", kind="boolean", default=False, safe=True),
    Lever(id="temperature", kind="number", default=1, safe=0),
    Lever(id="policy", kind="string", default="v2", safe="v1"),
    Lever(id="never-held", kind="boolean", default=True, safe=False),
)


class Live:
    """A live server with a real store, and applications that read levers from it."""

    def __init__(self, server: Server, ledger: Ledger) -> None:
        self.server, self.ledger = server, ledger
        self.url = f"http://127.0.0.1:{server.port}"
        self.providers: list[OFREPProvider] = []

    def provider(self, url: str | None = None, token: str = TOKEN) -> OFREPProvider:
        provider = OFREPProvider(
            url or self.url, headers_factory=lambda: {"Authorization": f"Bearer {token}"}, timeout=5.0
        )
        self.providers.append(provider)
        return provider

    def app(self, provider: OFREPProvider | None = None) -> OpenFeatureClient:
        from openfeature import api

        api.set_provider(provider or self.provider(), domain="andon-test")
        client = api.get_client("andon-test")
        assert client.get_provider_status() == ProviderStatus.READY
        return client

    def hold(self, lever: str, value: Any = None, incident: str | None = "INC-1") -> None:
        now = now_us()
        hold(self.ledger, lever, value, why="harm", by="ann", until_us=now + HOUR, incident=incident, now_us=now)
        self.server.board.refresh()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """Andon over a real warehouse and ledger, on an ephemeral loopback port, with a token."""
    warehouse = Warehouse(tmp_path / "warehouse", {**SCHEMAS, "scores": score_schema(SCORERS)})
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    for lever in LEVERS:
        declare(ledger, lever, now_us(), "ann")
    with create_server(warehouse, ledger, None, token=TOKEN).running() as server:
        live = Live(server, ledger)
        yield live
        for provider in live.providers:
            provider.session.close()


def clean(details: FlagEvaluationDetails[Any]) -> tuple[Any, str | None]:
    """Value and variant, after checking that the client took the answer without an error."""
    assert (details.error_code, details.error_message) == (None, None)
    assert details.reason == Reason.STATIC
    return details.value, details.variant


def test_a_held_kill_switch_reaches_the_application(live: Live) -> None:
    """A held kill switch is True in the application, released it is False, and the client reports no error either way."""
    app = live.app()
    assert clean(app.get_boolean_details("kill-switch", False)) == (False, "default")
    live.hold("kill-switch")
    assert clean(app.get_boolean_details("kill-switch", False)) == (True, "held")
    release(live.ledger, "kill-switch", why="fixed", by="bob", now_us=now_us())
    live.server.board.refresh()
    assert clean(app.get_boolean_details("kill-switch", False)) == (False, "default")


def test_a_pull_is_served_within_seconds_by_itself(live: Live) -> None:
    """A hold that another process writes into the ledger is served without anybody telling the server."""
    import time

    app, now = live.app(), now_us()
    hold(live.ledger, "kill-switch", why="harm", by="ann", until_us=now + HOUR, now_us=now)
    until = time.monotonic() + 5
    while not app.get_boolean_value("kill-switch", False):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("lever", "default", "safe"), [("kill-switch", False, True), ("temperature", 1.0, 0.0), ("policy", "v2", "v1")]
)
def test_every_kind_always_carries_variant_and_a_known_reason(live: Live, lever: str, default: Any, safe: Any) -> None:
    """For each kind, held or not, the client finds value, variant and a reason that it knows: none falls to an error path."""
    app = live.app()
    ask = {bool: app.get_boolean_details, float: app.get_float_details, str: app.get_string_details}[type(default)]
    assert clean(ask(lever, default)) == (default, "default")
    live.hold(lever)
    assert clean(ask(lever, default)) == (safe, "held")


def test_no_opinion_is_the_declared_default_not_an_error(live: Live) -> None:
    """A lever that was never held gives its declared default as a clean answer, whatever the code default is."""
    assert clean(live.app().get_boolean_details("never-held", False)) == (True, "default")


def test_a_whole_number_reaches_the_application_as_a_float(live: Live) -> None:
    """A number lever declared as 1 and held at 2 arrives as 1.0 and 2.0, never as a type mismatch."""
    app = live.app()
    assert clean(app.get_float_details("temperature", 0.5)) == (1.0, "default")
    live.hold("temperature", 2)
    value, _ = clean(app.get_float_details("temperature", 0.5))
    assert (value, type(value)) == (2.0, float)


def test_a_lever_never_changes_type_under_an_application(live: Live) -> None:
    """A boolean cannot become a number (the client would take True for an integer); a number read as integer is the code default."""
    with pytest.raises(StateError):
        declare(live.ledger, Lever(id="kill-switch", kind="number", default=0.0, safe=1.0), now_us(), "ann")
    details = live.app().get_integer_details("temperature", 7)
    assert (details.value, details.error_code) == (7, ErrorCode.TYPE_MISMATCH)


def test_a_body_that_cannot_be_parsed_says_why(live: Live) -> None:
    """A mangled request is a PARSE_ERROR whose details reach the application, with the code default."""

    def mangle(request: Any) -> Any:
        request.body = b'{"context": [1'
        request.headers["Content-Length"] = str(len(request.body))
        return request

    provider = live.provider()
    provider.session.auth = mangle
    details = live.app(provider).get_boolean_details("kill-switch", False)
    assert (details.value, details.error_code) == (False, ErrorCode.PARSE_ERROR)
    assert "not JSON" in str(details.error_message)


def test_many_reads_and_bad_keys_never_pause_the_client(live: Live) -> None:
    """After hundreds of reads, half of them of unknown flags, the client is not paused and a held lever is still read."""
    provider = live.provider()
    app = live.app(provider)
    live.hold("kill-switch")
    for n in range(150):
        assert app.get_boolean_value(f"unknown-{n}", False) is False
        assert app.get_boolean_value("kill-switch", False) is True
    assert provider.retry_after is None


def test_no_evaluation_context_is_fine(live: Live) -> None:
    """Reads without a context, with an empty one, without a targeting key and with a large one all give the held value."""
    live.hold("kill-switch")
    provider = live.provider()
    assert provider.resolve_boolean_details("kill-switch", False, None).value is True
    app = live.app(provider)
    for context in (
        None,
        EvaluationContext(),
        EvaluationContext("user-1"),
        EvaluationContext(attributes={"a": ["x" * 2_000_000]}),
    ):
        assert clean(app.get_boolean_details("kill-switch", False, context)) == (True, "held")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"context": {}}', b'{"context": null}', b'{"context": {"targetingKey": "u"}}']
)
def test_a_missing_context_is_accepted_on_the_wire(live: Live, body: bytes) -> None:
    """An empty body, no context and no targeting key are all answered with the value."""
    answer = httpx2.post(f"{live.url}/ofrep/v1/evaluate/flags/kill-switch", content=body, headers={"x-api-key": TOKEN})
    assert (answer.status_code, answer.json()["value"]) == (200, False)


@pytest.mark.parametrize(
    "key",
    ["a/b c?d#e", "nope", "../../healthz", "KILL-SWITCH", "kill-switch/", "%00", "%ff", "ä", "x" * 5000, "<script>"],
)
def test_a_hostile_key_is_a_flag_that_is_not_found(live: Live, key: str) -> None:
    """A key that no lever has, however strange, gives the code default in the application, and no other error."""
    details = live.app().get_boolean_details(key, False)
    assert (details.value, details.error_code) == (False, ErrorCode.FLAG_NOT_FOUND)


def test_an_unknown_flag_has_the_whole_body(live: Live) -> None:
    """A 404 carries key, errorCode and errorDetails; the details name the levers that there are."""
    answer = httpx2.post(f"{live.url}/ofrep/v1/evaluate/flags/a/b%20c?d", json={}, headers={"x-api-key": TOKEN})
    assert answer.status_code == 404
    body = answer.json()
    assert (body["key"], body["errorCode"]) == ("a/b c", "FLAG_NOT_FOUND")
    assert "kill-switch" in body["errorDetails"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'"x"', b'{"context": []}', b'{"context": "u"}', b"\xff"])
def test_a_bad_request_has_the_whole_body(live: Live, body: bytes) -> None:
    """A 400 carries key, PARSE_ERROR and errorDetails: without details the client loses the reason."""
    answer = httpx2.post(f"{live.url}/ofrep/v1/evaluate/flags/kill-switch", content=body, headers={"x-api-key": TOKEN})
    assert answer.status_code == 400
    assert set(answer.json()) == {"key", "errorCode", "errorDetails"}
    assert (answer.json()["key"], answer.json()["errorCode"]) == ("kill-switch", "PARSE_ERROR")


def test_a_server_that_is_down_means_the_code_default(live: Live) -> None:
    """When nothing listens, the application gets the default that it passed: the code default is the failure policy."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    app = live.app(live.provider(f"http://127.0.0.1:{port}"))
    for default in (False, True):
        details = app.get_boolean_details("kill-switch", default)
        assert (details.value, details.reason) == (default, Reason.ERROR)


def test_a_broken_ledger_does_not_release_a_hold(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the ledger fails, a held lever is still held in the application: reads come from memory."""
    live.hold("kill-switch")

    def fail(*_: object) -> None:
        raise StoreError("gone", retryable=True)

    for name in ("all", "get", "put"):
        monkeypatch.setattr(live.ledger, name, fail)
    with pytest.raises(StoreError):
        live.server.board.refresh()
    assert clean(live.app().get_boolean_details("kill-switch", False)) == (True, "held")


def test_the_application_learns_who_holds_it(live: Live) -> None:
    """Incident, author, expiry and pull arrive in the application's flag metadata."""
    live.hold("kill-switch")
    metadata = live.app().get_boolean_details("kill-switch", False).flag_metadata
    assert (metadata["held"], metadata["incident"], metadata["author"]) == (True, "INC-1", "ann")
    assert str(metadata["until"]).endswith("Z")
    assert metadata["pull"] == "pull-kill-switch-00001"


def test_a_wrong_token_is_unauthorised_and_the_code_default(live: Live) -> None:
    """With a wrong token the application gets its code default and is told that it is unauthorised."""
    live.hold("kill-switch")
    details = live.app(live.provider(token="wrong")).get_boolean_details("kill-switch", False)
    assert (details.value, details.error_message) == (False, "unauthorized")
