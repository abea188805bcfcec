"""Receivers that take data apart get it in their own form, signed, and learn of every state."""

import base64
import hashlib
import hmac
import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from receivers import Receiver

from andon.errors import ConfigError, SeamError
from andon.incidents import Delivery, Incident, due, message_of, open_channels, sample_message
from andon.incidents.channels import send
from andon.incidents.hooks import pagerduty_event, sign, slack_blocks, webhook_event

T0 = 1_790_000_000_000_000
MINUTE = 60_000_000
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()
ROUTING = "0123456789abcdef0123456789abcdef"


def incident(**fields: Any) -> Incident:
    """An incident of refusals."""
    known: dict[str, Any] = {
        "id": "INC-0001", "title": "Refusals rose from 3 % to 41 % in all traffic of triage", "app": "triage",
        "environment": "production", "severity": "P1", "severity_reason": "P1: any safety harm", "metric": "refusal",
        "impact": "safety", "lead": "s", "onset_us": T0, "onset_low_us": T0 - MINUTE, "onset_high_us": T0 + MINUTE,
        "alarmed_us": T0 + 5 * MINUTE, "last_signal_us": T0 + 5 * MINUTE,
    }  # fmt: skip
    return Incident(**{**known, **fields})


def opened(i: Incident | None = None) -> Any:
    """The message that opens it."""
    return message_of(
        i or incident(), "opened", now_us=T0 + 6 * MINUTE, url="https://andon.example", suspects=["a prompt"]
    )


def test_the_signature_is_that_of_the_standard() -> None:
    """The example that libraries of Standard Webhooks test themselves with gives the same signature."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert (
        sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_a_webhook_is_signed_over_what_arrives(receiver: Receiver) -> None:
    """A receiver with the secret can check id, time and body as they came; with two secrets either of them will do."""
    old = "whsec_" + base64.b64encode(b"o" * 24).decode()
    (channel,) = open_channels(f"webhook://127.0.0.1:{receiver.port}/hook?secret={KEY}&secret={old}&team=ml")
    message = opened()
    assert send(channel, message) == ("sent", "")
    ((path, headers, body),) = receiver.requests
    assert path == "/hook?team=ml"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for key, signature in zip((b"k" * 32, b"o" * 24), headers["webhook-signature"].split(), strict=True):
        assert signature == "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    event = json.loads(body)
    assert (event["type"], event["data"]["incident"]) == ("incident.opened", "INC-0001")
    assert event["data"]["suspect_1"] == "a prompt"
    assert event["data"]["link"] == "https://andon.example/incidents/INC-0001"


def test_the_id_of_a_webhook_is_the_same_for_a_second_try_only() -> None:
    """Receivers drop repetitions by id, so another message has another id, and the same message tried again the same."""
    first, again = opened(), opened()
    closed = message_of(incident(state="closed"), "closed", now_us=T0 + 9 * MINUTE)
    assert first.id == again.id
    assert len({first.id, closed.id, opened(incident(id="INC-0002")).id}) == 3


def test_a_message_of_a_lever_is_no_test() -> None:
    """Its type says what it tells of; only a message about nothing is a test, and PagerDuty resolves what ended."""
    told = {
        what: replace(
            sample_message(), event=f"lever.{what}", about="andon-pull-x-00001", details={"pull": "pull-x-00001"}
        )
        for what in ("held", "ending", "ended", "unreviewed")
    }
    for what, message in told.items():
        body = webhook_event(message)
        assert (body["type"], body["data"]["reason"]) == (f"lever.{what}", what)
        event = pagerduty_event(message, ROUTING)
        assert event["event_action"] == ("resolve" if what == "ended" else "trigger")
        assert event["dedup_key"] == "andon-pull-x-00001"
    assert pagerduty_event(told["held"], ROUTING)["payload"]["class"] == "lever.held"
    sample = webhook_event(sample_message())
    assert (sample["type"], sample["data"]["reason"]) == ("incident.test", "test")


@given(st.text(max_size=60_000))
def test_bodies_stay_below_what_the_standard_asks_for(text: str) -> None:
    """However long a message is, its body stays below 20 kB and is JSON."""
    body = json.dumps(webhook_event(replace(opened(), text=text)), ensure_ascii=False, separators=(",", ":")).encode()
    assert len(body) <= 20_000


def test_pagerduty_has_one_alert_per_incident() -> None:
    """Opening triggers, an acknowledgement acknowledges, closing resolves, and all three carry the same key."""
    at_it = incident(acked_us=T0 + 7 * MINUTE, acked_by="mia")
    events = [
        pagerduty_event(opened(), ROUTING),
        pagerduty_event(message_of(at_it, "acked", now_us=T0 + 7 * MINUTE), ROUTING),
        pagerduty_event(message_of(replace(at_it, state="closed"), "closed", now_us=T0 + 9 * MINUTE), ROUTING),
    ]
    assert [e["event_action"] for e in events] == ["trigger", "acknowledge", "resolve"]
    assert len({e["dedup_key"] for e in events}) == 1
    assert events[0]["payload"]["severity"] == "critical"
    assert events[0]["payload"]["custom_details"]["incident"] == "INC-0001"
    assert len(pagerduty_event(opened(incident(title="x" * 5000)), ROUTING)["payload"]["summary"]) <= 1024


def test_slack_gets_blocks_within_its_limits() -> None:
    """Title, facts and button are blocks of the sizes that Slack takes, and the fallback text is the title."""
    for message in (
        opened(),
        opened(incident(title="x" * 5000, app="y" * 500)),
        sample_message("https://andon.example"),
    ):
        body = slack_blocks(message)
        assert body["text"] == message.title
        assert body["blocks"][0]["type"] == "header"
        for block in body["blocks"]:
            assert len(block.get("fields", ())) <= 10
            limit = 150 if block["type"] == "header" else 3000
            assert len(block.get("text", {}).get("text", "")) <= limit
    buttons = [b for b in slack_blocks(opened())["blocks"] if b["type"] == "actions"]
    assert buttons[0]["elements"][0]["url"] == "https://andon.example/incidents/INC-0001"


def test_a_slack_address_is_spoken_to_in_blocks_under_its_old_name() -> None:
    """The address that Slack shows is taken as it is, and its channel keeps the name that it had."""
    (channel,) = open_channels("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    assert channel.name == "https://hooks.slack.com"
    assert not getattr(channel, "follows", False)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500])
def test_a_refusal_is_tried_again(receiver: Receiver, status: int) -> None:
    """Any answer but 2xx is an error that names the status and may be tried again."""
    receiver.mode, receiver.status = "refuse", status
    (channel,) = open_channels(f"pagerduty-events://{ROUTING}?host=127.0.0.1:{receiver.port}")
    with pytest.raises(SeamError, match=str(status)) as refused:
        channel.send(opened())
    assert refused.value.retryable


def test_secrets_of_a_url_are_told_nowhere(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Neither names, errors nor logs hold the path, query or key of a hook."""
    caplog.set_level(logging.DEBUG)
    port = receiver.port
    urls = f"webhook://127.0.0.1:{port}/path-s3cret?secret={KEY}&token=query-s3cret pagerduty-events://{ROUTING}?host=127.0.0.1:{port}"
    channels = open_channels(urls)
    assert [c.name for c in channels] == [f"webhook://127.0.0.1:{port}", "pagerduty-events://…"]
    receiver.mode = "refuse"
    said = [send(c, opened())[1] for c in channels]
    receiver.stop()
    said += [send(c, opened())[1] for c in channels]
    everything = " ".join([*said, *(repr(c) for c in channels), caplog.text])
    for secret in ("s3cret", KEY, KEY[6:], ROUTING):
        assert secret not in everything


@pytest.mark.parametrize(
    "url",
    [
        "pagerduty-events://short",
        "webhooks://?secret=x",
        "webhooks://host/x?secret=whsec_AAAA",
        "webhooks://host?secret=no!",
    ],
)
def test_an_incomplete_url_says_what_is_needed(url: str) -> None:
    """A hook that cannot work is refused at the start, by its number and without its secret."""
    with pytest.raises(ConfigError, match="channel 1 of ANDON_CHANNELS"):
        open_channels(url)


def test_only_receivers_with_a_state_hear_of_an_acknowledgement() -> None:
    """Once, after the page arrived and before the end; a chat is not told."""
    at_it = incident(acked_us=T0 + 7 * MINUTE, acked_by="mia")
    paged = Delivery(
        id="d", incident=at_it.id, reason="opened", channel="c", severity="P1", signal_us=T0, at_us=T0, state="sent"
    )  # fmt: skip

    def now(told: list[Delivery], follows: bool, i: Incident = at_it) -> str | None:
        notice = due(i, told, now_us=T0 + 8 * MINUTE, goes_on=lambda: True, follows=follows)
        return notice and notice.reason

    assert now([paged], True) == "acked"
    assert now([paged], False) is None
    assert now([paged, replace(paged, id="e", reason="acked")], True) is None
    assert now([], True) == "opened"
    assert now([paged], True, replace(at_it, state="closed", closed_us=T0 + 8 * MINUTE)) == "closed"
