"""Laws of the routes by which other systems tell changes and alerts."""

import gzip
import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from andon.api.errors import add_handlers
from andon.api.requests import form_payload, json_of
from andon.api.security import SIGNED_PATH
from andon.api.webhooks import MOST_BYTES, WebhookDeps, add_webhooks, is_signed
from andon.changes import Change, Received
from andon.changes.run import record_changes
from andon.errors import AndonError, InputError, StoreError
from andon.incidents.records import Alert, AlertsTaken, Report
from andon.incidents.run import receive_alerts
from andon.store import Ledger

T0 = 1_790_000_000_000_000
JSON = {"content-type": "application/json"}
PLAIN = {"kind": "prompt", "title": "v13", "at": "2026-09-21T12:00:00Z"}
CDEVENT = {
    "context": {
        "version": "0.5.0",
        "id": "1f2c7a52",
        "source": "/ci/77",
        "type": "dev.cdevents.service.deployed.0.3.0",
        "timestamp": "2026-09-21T12:00:00Z",
    },
    "subject": {"id": "service/bot", "type": "service", "content": {"environment": {"id": "production"}}},
}
PAGERDUTY = {
    "routing_key": "e93facc04764012d7bfb002500d5d1a6",
    "payload": {"summary": "Build Success", "timestamp": "2026-09-21T12:00:00.315+0000", "source": "ci"},
}
DEPLOYED = {
    "action": "created",
    "deployment_status": {
        "id": 7,
        "state": "success",
        "environment": "production",
        "updated_at": "2026-09-21T12:00:00Z",
    },
    "deployment": {"id": 6, "sha": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e", "ref": "main", "task": "deploy"},
    "repository": {"name": "shop-bot", "full_name": "shop/shop-bot", "html_url": "https://github.com/shop/shop-bot"},
    "sender": {"login": "ann-dev"},
}
ALERTS = {
    "version": "4",
    "groupKey": "{}:{}",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "HighErrorRate", "service": "bot"},
            "annotations": {"summary": "Error rate above 5 %"},
            "startsAt": "2026-09-21T12:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.shop.example/graph",
            "fingerprint": "1a30ba71cca2921f",
        }
    ],
}
SECRET = "It's a Secret to Everybody"  # the example of GitHub's documentation


@dataclass
class Doubles:
    """Keeps what it is given in a real ledger, and fails when told to."""

    ledger: Ledger
    seen: list[Received] = field(default_factory=list)
    fails: AndonError | None = None
    now_us: int = T0
    said: list[Mapping[str, Any]] = field(default_factory=list)
    issues: list[Mapping[str, Any]] = field(default_factory=list)

    def report(self, said: Mapping[str, Any]) -> Report:
        self.said.append(said)
        return Report(id="REP-1", incident="INC-0007", text="", app="bot", environment="production", by="mia", at_us=T0)

    def changes(self, received: Received) -> Sequence[str]:
        if self.fails is not None:
            raise self.fails
        self.seen.append(received)
        return [c.id for c in record_changes(self.ledger, received, now_us=self.now_us)]

    def alerts(self, alerts: Sequence[Alert]) -> AlertsTaken:
        if self.fails is not None:
            raise self.fails
        return receive_alerts(self.ledger, alerts, now_us=self.now_us)

    def client(self, secret: str = SECRET) -> TestClient:
        app = FastAPI()
        add_handlers(app)
        add_webhooks(
            app,
            WebhookDeps(
                record_changes=self.changes,
                receive_alerts=self.alerts,
                receive_report=self.report,
                issue_closed=self.issues.append,
                now_us=lambda: self.now_us,
                github_secret=secret,
            ),
        )
        return TestClient(app)


@pytest.fixture
def hooked() -> Iterator[Doubles]:
    """Routes over a ledger in memory."""
    ledger = Ledger("sqlite://")
    yield Doubles(ledger)
    ledger.close()


def post(client: TestClient, path: str, body: Any, **headers: str) -> Any:
    """Post JSON."""
    told = {k.replace("_", "-"): v for k, v in headers.items()}
    return client.post(path, content=orjson.dumps(body), headers={**JSON, **told})


def signed(body: bytes, secret: str = SECRET, event: str = "deployment_status", **more: str) -> dict[str, str]:
    """Headers of a delivery of GitHub."""
    signature = hmac.new(secret.encode(), body, sha256).hexdigest()
    return {**JSON, "x-github-event": event, "x-hub-signature-256": f"sha256={signature}", **more}


@pytest.mark.parametrize(
    "body", [PLAIN, CDEVENT, PAGERDUTY, {"specversion": "1.0", "type": "x", "id": "1", "data": PLAIN}]
)
def test_every_form_is_a_change(hooked: Doubles, body: Any) -> None:
    """One path takes every form, answers the id in the log, and a second delivery answers the same and writes nothing."""
    client = hooked.client()
    answer = post(client, "/v1/changes", body)
    (change,) = hooked.ledger.all(Change)
    assert (answer.status_code, answer.json()) == (200, {"id": change.id, "ids": [change.id], "ignored": []})
    hooked.now_us += 60_000_000
    assert post(client, "/v1/changes", body).json() == answer.json()
    assert len(hooked.ledger.history(Change)) == 1


@pytest.mark.parametrize(
    "kind", ["application/cloudevents+json; charset=utf-8", "application/cdevents+json", "APPLICATION/JSON"]
)
def test_json_has_several_names(hooked: Doubles, kind: str) -> None:
    """The content types of CloudEvents and CDEvents are read like JSON."""
    answer = hooked.client().post("/v1/changes", content=orjson.dumps(CDEVENT), headers={"content-type": kind})
    assert answer.status_code == 200


def test_binary_mode_and_batches(hooked: Doubles) -> None:
    """An envelope in the headers is read, and a batch answers all ids in order."""
    client = hooked.client()
    envelope = {"ce_specversion": "1.0", "ce_id": "9", "ce_source": "/ci", "ce_type": "com.example.prompt.updated"}
    assert post(client, "/v1/changes", {"version": "v13"}, **envelope).status_code == 200
    event = {"specversion": "1.0", "type": "x", "source": "/ci", "data": PLAIN}
    headers = {"content-type": "application/cloudevents-batch+json"}
    batch = orjson.dumps([{**event, "id": "1"}, {**event, "id": "2"}, {**event, "id": "1"}])
    answer = client.post("/v1/changes", content=batch, headers=headers).json()
    assert (len(answer["ids"]), answer["id"]) == (2, answer["ids"][0])
    assert [c.kind for c in hooked.ledger.all(Change)] == ["prompt"] * 3


def test_what_is_ignored_is_answered_with_the_reason(hooked: Doubles) -> None:
    """An event that is no change is accepted with 202, no id and a reason; beside a change it is 200."""
    test = {**CDEVENT, "context": {**CDEVENT["context"], "type": "dev.cdevents.testcaserun.finished.0.3.0"}}
    answer = post(hooked.client(), "/v1/changes", test)
    assert (answer.status_code, answer.json()["id"], answer.json()["ids"]) == (202, None, [])
    assert answer.json()["ignored"] == [
        {"what": "dev.cdevents.testcaserun.finished.0.3.0 service/bot", "why": "a test changes nothing that runs"}
    ]
    both = post(hooked.client(), "/v1/changes", [test, PLAIN])
    assert (both.status_code, len(both.json()["ids"]), len(both.json()["ignored"])) == (200, 1, 1)


def test_the_address_names_the_application(hooked: Doubles) -> None:
    """``?app=`` and ``?environment=`` hold where the body does not say."""
    post(hooked.client(), "/v1/changes?app=desk&environment=eu", PLAIN)
    post(hooked.client(), "/v2/change/enqueue?app=desk", PAGERDUTY)
    assert [(c.app, c.environment) for c in hooked.ledger.all(Change)] == [("desk", "eu"), ("desk", "production")]


def test_pagerdutys_own_path(hooked: Doubles) -> None:
    """A sender that only changes the host gets the answer that it knows, and its key is neither kept nor said."""
    answer = hooked.client().post("/v2/change/enqueue", content=orjson.dumps(PAGERDUTY))
    (change,) = hooked.ledger.all(Change)
    assert answer.status_code == 202
    assert answer.json() == {"status": "success", "message": "Change event processed", "ids": [change.id]}
    alert = post(hooked.client(), "/v2/change/enqueue", {**PAGERDUTY, "event_action": "trigger"})
    assert (alert.status_code, alert.json()["status"], alert.json()["ids"]) == (202, "success", [])
    for wrong in ({**PAGERDUTY, "payload": {}}, {**PAGERDUTY, "payload": 7}, [PAGERDUTY], PLAIN):
        refused = post(hooked.client(), "/v2/change/enqueue", wrong)
        assert (refused.status_code, refused.json()["error"]["kind"]) == (422, "InputError")
        assert PAGERDUTY["routing_key"] not in refused.text
    assert PAGERDUTY["routing_key"] not in repr(hooked.ledger.history(Change)) + repr(hooked.seen)


def test_the_signature_of_githubs_documentation() -> None:
    """The example that GitHub documents is verified; any other signature, secret or body is not."""
    right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert is_signed(b"Hello, World!", right, SECRET)
    assert not is_signed(b"Hello, World?", right, SECRET)
    assert not is_signed(b"Hello, World!", right, "another")
    for wrong in ("", "sha256=", right[7:], right.replace("sha256", "sha1"), right[:-1], "sha256=\udce9ü"):
        assert not is_signed(b"Hello, World!", wrong, SECRET)
    nothing = "sha256=" + hmac.new(b"", b"x", sha256).hexdigest()
    assert not is_signed(b"x", nothing, "")


def test_a_delivery_of_github(hooked: Doubles) -> None:
    """A signed delivery is a change, as JSON or as a form; a redelivery adds nothing; a ping is answered."""
    client, body = hooked.client(), orjson.dumps(DEPLOYED)
    answer = client.post(SIGNED_PATH, content=body, headers=signed(body))
    (change,) = hooked.ledger.all(Change)
    assert (answer.status_code, answer.json()["id"], change.author) == (200, change.id, "ann-dev")
    form = urlencode({"payload": body.decode()}).encode()
    headers = signed(form) | {"content-type": "application/x-www-form-urlencoded"}
    assert client.post(SIGNED_PATH, content=form, headers=headers).json()["ids"] == [change.id]
    assert len(hooked.ledger.history(Change)) == 1
    ping = orjson.dumps({"zen": "Speak like a human.", "hook_id": 1})
    assert client.post(SIGNED_PATH, content=ping, headers=signed(ping, event="ping")).status_code == 202


@pytest.mark.parametrize(
    "spoil",
    [
        lambda h: h | {"x-hub-signature-256": "sha256=" + "0" * 64},
        lambda h: h | {"x-hub-signature-256": h["x-hub-signature-256"].upper()},
        lambda h: {k: v for k, v in h.items() if k != "x-hub-signature-256"},
        lambda h: h | {"x-hub-signature-256": "sha256=é"},
        lambda _: signed(orjson.dumps({**DEPLOYED, "x": 1})),
        lambda _: signed(orjson.dumps(DEPLOYED), secret="guessed"),
    ],
)
def test_what_github_did_not_sign_is_refused(
    hooked: Doubles, spoil: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    """Without the right signature nothing is read: 401 in the one shape, without the secret or what was expected."""
    body = orjson.dumps(DEPLOYED)
    headers = {k: v.encode() for k, v in spoil(signed(body)).items()}
    answer = hooked.client().post(SIGNED_PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["kind"]) == (401, "Unauthorized")
    assert SECRET not in answer.text
    assert signed(body)["x-hub-signature-256"][7:] not in answer.text
    assert hooked.seen == []


def test_without_a_secret_github_is_not_let_in(hooked: Doubles) -> None:
    """While no secret is set every delivery is a 403 that says what to set, even one signed with the empty text."""
    body = orjson.dumps(DEPLOYED)
    answer = hooked.client(secret="").post(SIGNED_PATH, content=body, headers=signed(body, secret=""))
    assert answer.status_code == 403
    assert "ANDON_GITHUB_SECRET" in answer.json()["error"]["message"]
    assert hooked.seen == []


def test_an_unsigned_body_is_not_even_read(hooked: Doubles) -> None:
    """A stranger's body without a signature is refused before it is read, so it costs nothing."""
    unsigned = hooked.client().post(SIGNED_PATH, content=b"x" * (MOST_BYTES + 1))
    assert unsigned.status_code == 401
    huge = hooked.client().post(SIGNED_PATH, content=b"x" * (MOST_BYTES + 1), headers=signed(b"x"))
    assert huge.status_code == 413


def test_alerts_of_alertmanager(hooked: Doubles) -> None:
    """A body of alerts is kept and answered with what it did; again it says that all are known."""
    client = hooked.client()
    first = post(client, "/v1/alerts?environment=production", ALERTS)
    assert (first.status_code, first.json()) == (200, {"fired": 1, "resolved": 0, "known": 0, "incidents": []})
    assert post(client, "/v1/alerts", ALERTS).json()["known"] == 1
    (alert,) = hooked.ledger.all(Alert)
    assert (alert.app, alert.environment, alert.title) == ("bot", "production", "Error rate above 5 %")


@pytest.mark.parametrize("path", ["/v1/changes", "/v2/change/enqueue", "/v1/alerts", SIGNED_PATH])
def test_every_route_has_the_same_limits(hooked: Doubles, path: str) -> None:
    """Gzip is unpacked; more than 1 MiB is a 413, also unpacked; what is no JSON is a 400 in the one shape."""
    client = hooked.client()
    body = orjson.dumps({"/v1/alerts": ALERTS, "/v2/change/enqueue": PAGERDUTY, SIGNED_PATH: DEPLOYED}.get(path, PLAIN))
    packed, bomb = gzip.compress(body), gzip.compress(b" " * (MOST_BYTES + 1))

    def send(content: bytes, **more: str) -> Any:
        return client.post(
            path, content=content, headers=signed(content) | {k.replace("_", "-"): v for k, v in more.items()}
        )

    assert send(packed, content_encoding="gzip").status_code in (200, 202)
    assert send(bomb, content_encoding="gzip").status_code == 413
    assert send(b" " * (MOST_BYTES + 1)).status_code == 413
    for wrong in (b"", b"{", b"\xff", b"[" * 5_000):
        refused = send(wrong)
        assert (refused.status_code, refused.json()["error"]["kind"]) == (400, "InputError")
    assert send(b"7").status_code == 422


@pytest.mark.parametrize("path", ["/v1/changes", "/v1/alerts"])
@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "text/json+json"])
def test_other_content_types_are_refused_by_name(hooked: Doubles, path: str, kind: str) -> None:
    """A body that is not called JSON is a 415 that names what is read: a page of another site can send no more than that."""
    answer = hooked.client().post(path, content=orjson.dumps(PLAIN), headers={"content-type": kind})
    assert answer.status_code == 415
    assert "application/cloudevents+json" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("error", "status"),
    [(InputError("closed"), 422), (StoreError("/disk", retryable=True), 503), (StoreError("/disk"), 500)],
)
def test_failures_of_the_store_are_the_one_shape(hooked: Doubles, error: AndonError, status: int) -> None:
    """When nothing could be stored the sender is told so, without internals, and may send the same again."""
    hooked.fails = error
    for path, body in (("/v1/changes", PLAIN), ("/v1/alerts", ALERTS), ("/v2/change/enqueue", PAGERDUTY)):
        answer = post(hooked.client(), path, body)
        assert (answer.status_code, set(answer.json()["error"])) == (status, {"kind", "message"})
        assert "/disk" not in answer.text


@pytest.mark.parametrize("body", [b"payload", b"payload=1&payload=2", b"\xff", b"a=1&" * 50, b"other=%7B%7D"])
def test_a_form_without_one_payload_is_refused(body: bytes) -> None:
    """A form of GitHub has one field `payload`; anything else says which content type to choose."""
    from andon.api.errors import Refused

    with pytest.raises(Refused, match="application/json"):
        form_payload(body, "application/x-www-form-urlencoded")
    assert json_of(b"{}", None) == form_payload(b"{}", "application/json") == {}


def test_a_report_is_taken_in_and_names_its_incident(hooked: Doubles) -> None:
    """What a person says of an answer goes to the incident that it opens or joins; nothing is made up for what is missing."""
    body = {"text": "this dose is wrong", "interaction_id": "i-1", "by": "nurse", "near_miss": True, "app": None}
    answer = hooked.client().post("/v1/reports", json=body)
    assert answer.json() == {"id": "REP-1", "incident": "INC-0007"}
    assert hooked.said == [{"text": "this dose is wrong", "interaction_id": "i-1", "by": "nurse", "near_miss": True}]


@pytest.mark.parametrize("body", [[], "x", {"text": 1}, {"txt": "x"}, {"near_miss": "yes", "text": "x"}])
def test_a_report_of_another_form_is_refused(hooked: Doubles, body: object) -> None:
    """A body that is no report is refused by the key that is wrong, and nothing is kept."""
    answer = hooked.client().post("/v1/reports", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["kind"] == "InputError"
    assert hooked.said == []


def test_an_issue_of_github_is_no_change(hooked: Doubles) -> None:
    """A signed delivery about an issue goes to the actions, and is recorded as no change."""
    body = json.dumps({"action": "closed", "issue": {"number": 7}}).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, sha256).hexdigest()
    headers = {"x-github-event": "issues", "x-hub-signature-256": signature, "content-type": "application/json"}
    answer = hooked.client().post("/v1/webhooks/github", content=body, headers=headers)
    assert answer.status_code == 202
    assert hooked.issues == [{"action": "closed", "issue": {"number": 7}}]
    assert hooked.seen == []
