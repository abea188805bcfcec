"""What an application sees through the real OpenFeature client: every row of field/ofrep.md section 2 about a single flag."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from live_levers import HOUR, TOKEN, Live, server_process
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason

from andon.errors import StateError, StoreError
from andon.levers import Lever
from andon.levers.run import declare, hold
from andon.server import now_us


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
    live.release()
    assert clean(app.get_boolean_details("kill-switch", False)) == (False, "default")


def test_a_pull_is_served_within_seconds_by_itself(live: Live) -> None:
    """A hold that another process writes into the ledger is served without anybody telling the server."""
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
    assert clean(app.get_float_details("limit", 0.5)) == (1.0, "default")
    live.hold("limit", 2)
    value, _ = clean(app.get_float_details("limit", 0.5))
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

    for name in ("all", "get", "put", "last_entry", "written"):
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


@contextmanager
def stub(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Another server than ours, that answers every request as it is told; gives its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def saying(status: int, body: dict[str, Any], **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer of the stub."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        content = json.dumps(body).encode()
        request.send_response(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(content)

    return answer


GOOD = {"key": "k", "value": True, "reason": "STATIC", "variant": "held", "metadata": {}}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({k: v for k, v in GOOD.items() if k != "variant"}, "'variant'"),
        ({k: v for k, v in GOOD.items() if k != "reason"}, "'reason'"),
        ({**GOOD, "reason": "HELD"}, "'HELD'"),
    ],
)
def test_a_slightly_wrong_answer_would_be_the_code_default(live: Live, body: dict[str, Any], says: str) -> None:
    """The trap: without a variant or a known reason the client throws a held value away; our answers always carry both."""
    with stub(saying(200, body)) as url:
        details = live.app(live.provider(url)).get_boolean_details("k", False)
    assert (details.value, details.error_code) == (False, ErrorCode.GENERAL)
    assert says in str(details.error_message)


def test_no_value_with_a_variant_is_no_opinion(live: Live) -> None:
    """Reason DEFAULT, a variant and no value give the code default without an error."""
    with stub(saying(200, {"key": "k", "reason": "DEFAULT", "variant": "none"})) as url:
        details = live.app(live.provider(url)).get_boolean_details("k", True)
    assert (details.value, details.reason, details.error_code) == (True, Reason.DEFAULT, None)


def test_types_are_the_clients_weak_spot(live: Live) -> None:
    """The traps: a whole number without its point is no float, and true is taken for an integer."""
    with stub(saying(200, {**GOOD, "value": 1})) as url:
        details: FlagEvaluationDetails[Any] = live.app(live.provider(url)).get_float_details("k", 0.5)
    assert (details.value, details.error_code) == (0.5, ErrorCode.TYPE_MISMATCH)
    with stub(saying(200, GOOD)) as url:
        assert live.app(live.provider(url)).get_integer_details("k", 7).value is True


def test_a_refusal_without_details_loses_its_reason(live: Live) -> None:
    """The trap: of a 400 without errorDetails only the missing field is told."""
    with stub(saying(400, {"key": "k", "errorCode": "PARSE_ERROR"})) as url:
        details = live.app(live.provider(url)).get_boolean_details("k", False)
    assert (details.value, details.error_code, details.error_message) == (False, ErrorCode.GENERAL, "'errorDetails'")


def test_one_rate_limit_would_pause_every_lever(live: Live) -> None:
    """The trap: 429 with whole seconds pauses the whole client, the specification's timestamp only breaks it: we send no 429."""
    paused = live.provider()
    with stub(saying(429, {}, retry_after="2")) as url:
        paused.base_url = url
        assert live.app(paused).get_boolean_value("bad", False) is False
    paused.base_url = live.url
    live.hold()
    details = live.app(paused).get_boolean_details("kill-switch", False)
    assert (details.value, "paused" in str(details.error_message)) == (False, True)
    with stub(saying(429, {}, retry_after="2024-02-07T12:00:00Z")) as url:
        broken = live.provider(url)
        assert live.app(broken).get_boolean_details("bad", False).error_code == ErrorCode.GENERAL
        assert broken.retry_after is None
        broken.base_url = live.url
        assert live.app(broken).get_boolean_value("kill-switch", False) is True


def test_a_server_that_hangs_means_the_code_default_after_the_clients_timeout(live: Live) -> None:
    """An accepted connection that is never answered costs the application its timeout (5 s by default), then the code default."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = live.app(live.provider(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3))
        for default in (False, True):
            begun = time.monotonic()
            details = app.get_boolean_details("kill-switch", default)
            assert 0.3 <= time.monotonic() - begun < 2
            assert (details.value, details.reason, details.error_code) == (default, Reason.ERROR, ErrorCode.GENERAL)


def test_a_server_that_is_killed_means_the_code_default_at_once(live: Live, tmp_path: Path) -> None:
    """An application that reads a held lever has its code default as soon as the server is killed, and waits for nothing."""
    with server_process(tmp_path / "other") as (process, port):
        app = live.app(live.provider(f"http://127.0.0.1:{port}"))
        assert app.get_boolean_value("kill-switch", False) is True
        process.kill()
        process.wait()
        for default in (False, True):
            begun = time.monotonic()
            details = app.get_boolean_details("kill-switch", default)
            assert time.monotonic() - begun < 1
            assert (details.value, details.reason) == (default, Reason.ERROR)


@pytest.mark.parametrize("key", [None, "", 4.5, ["u"]])
def test_starting_an_experiment_takes_nobody_off_the_live_version(live: Live, key: object) -> None:
    """A read that says no user, or none that can be split, has the control's value, as no arm: never the code default."""
    live.split("policy", "v3")
    app, where = live.app(), {"environment": "staging"}
    nobody = where if key is None else {**where, "targetingKey": key}
    details = app.get_string_details("policy", "code", EvaluationContext(attributes=nobody))  # type: ignore[arg-type]
    assert (details.value, details.variant, details.reason) == ("v2", "unallocated", Reason.DEFAULT)
    assert details.error_code is None
    arms = {app.get_string_details("policy", "code", EvaluationContext(f"u{n}", where)).value for n in range(50)}
    assert arms == {"v2", "v3"}
    same = [app.get_string_details("policy", "code", EvaluationContext("u1", where)) for _ in range(5)]
    assert len({(d.value, d.variant) for d in same}) == 1
    assert same[0].reason == Reason.SPLIT


@pytest.mark.parametrize("key", [42, 4.5, True, ["u"], {"id": "u"}])
def test_a_user_id_that_is_no_text_disarms_no_kill_switch(live: Live, key: object) -> None:
    """Whatever an application sends as targeting key, a lever that splits nobody is answered, never the code default."""
    live.hold()
    context = EvaluationContext(attributes={"targetingKey": key})  # type: ignore[dict-item]
    details = live.app().get_boolean_details("kill-switch", False, context)
    assert (details.value, details.error_code) == (True, None)
