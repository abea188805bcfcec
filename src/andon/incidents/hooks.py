"""Channels whose receivers take data apart: PagerDuty's Events v2, Slack's blocks, Standard Webhooks with signatures.

Everything else goes by apprise (`andon.incidents.channels`). Each is one POST of JSON; what a URL holds beyond its host is a
secret and stands in no name, log or error.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from andon.errors import ConfigError, SeamError
from andon.incidents.records import Message, Tone
from andon.traffic import format_time

__all__ = ["Hook", "hook_of", "pagerduty_event", "sign", "slack_blocks", "webhook_event"]

_PAGERDUTY = "events.pagerduty.com"
_SEVERITY: Mapping[Tone, str] = {"urgent": "critical", "warning": "warning", "note": "info", "over": "info"}
_MOST_BYTES = 20_000
"""Standard Webhooks asks for bodies below 20 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One receiver of JSON."""

    name: str
    url: str = field(repr=False)
    form: str
    """``pagerduty``, ``slack`` or ``webhook``."""
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    """PagerDuty's routing key; the signing keys of a webhook, the newest first."""
    answer_s: float = 20.0

    @property
    def follows(self) -> bool:
        """Receivers with a state of their own are told of acknowledgements and of each pull by itself; a chat is not."""
        return self.form != "slack"

    def send(self, message: Message) -> None:
        """Post it.

        Raises:
            SeamError: see `Channel.send`; the text holds no part of the URL. A receiver that knows messages by their id may
                be given one again, so only for Slack a missing answer is no reason to try again.
        """
        import httpx2

        body, headers = self._request(message)
        again = self.form != "slack"
        try:
            with httpx2.Client(timeout=self.answer_s, follow_redirects=False) as client:
                answer = client.post(self.url, content=body, headers=headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise SeamError("it could not be reached", retryable=True) from None
        except httpx2.TimeoutException:
            raise SeamError("it did not answer; the message may have arrived", retryable=again) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:  # their texts hold the URL
            raise SeamError(f"it could not be asked ({type(error).__name__})", retryable=again) from None
        if not 200 <= answer.status_code < 300:
            raise SeamError(f"it answered with status {answer.status_code}", retryable=True)

    def _request(self, message: Message) -> tuple[bytes, dict[str, str]]:
        headers = {"content-type": "application/json", "user-agent": "andon"}
        if self.form == "slack":
            return _json(slack_blocks(message)), headers
        if self.form == "pagerduty":
            return _json(pagerduty_event(message, self.keys[0].decode())), headers
        body = _json(webhook_event(message))
        name = message.id or hashlib.sha256(body).hexdigest()[:32]
        at_s = message.at_us // 1_000_000
        headers |= {"webhook-id": name, "webhook-timestamp": str(at_s)}
        if self.keys:
            headers["webhook-signature"] = " ".join(sign(key, name, at_s, body) for key in self.keys)
        return body, headers


def hook_of(url: str, name: str, what: str) -> Hook | None:
    """The hook that a URL of ``ANDON_CHANNELS`` names; None where apprise shall read it.

    ``https://hooks.slack.com/...`` is Slack; ``pagerduty-events://ROUTING_KEY`` is PagerDuty (``?host=`` for another region);
    ``webhooks://HOST/PATH?secret=whsec_...`` is a signed webhook over https, ``webhook://`` the same without TLS, and a
    second ``secret=`` signs with the old key as well while it is exchanged.

    Raises:
        ConfigError: it is one of these and incomplete; says `what` and no secret.
    """
    try:
        parts = urlsplit(url)
        host, query = parts.hostname, parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return None
    if parts.scheme == "https" and host == "hooks.slack.com":
        return Hook(name=name, url=url, form="slack")
    if parts.scheme == "pagerduty-events":
        if len(parts.netloc) != 32 or not parts.netloc.isalnum():
            raise ConfigError(f"{what} needs the routing key of an Events API v2 integration: 32 letters and digits")
        region = dict(query).get("host", _PAGERDUTY)
        scheme = "http" if region.startswith(("127.0.0.1:", "localhost:")) else "https"
        return Hook(name=name, url=f"{scheme}://{region}/v2/enqueue", form="pagerduty", keys=(parts.netloc.encode(),))
    if parts.scheme not in ("webhook", "webhooks"):
        return None
    if not host:
        raise ConfigError(f"{what} names no host; webhooks://HOST/PATH?secret=whsec_... is needed")
    keys = tuple(_key(value, what) for key, value in query if key == "secret")
    rest = urlencode([(k, v) for k, v in query if k != "secret"])
    scheme = "https" if parts.scheme == "webhooks" else "http"
    address = f"{scheme}://{parts.netloc}{parts.path or '/'}{'?' + rest if rest else ''}"
    return Hook(name=name, url=address, form="webhook", keys=keys)


def _key(secret: str, what: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ConfigError(
            f"{what} needs a secret of 24 to 64 bytes, written whsec_ and Base64: `openssl rand -base64 32` makes one"
        )
    return key


def sign(key: bytes, message_id: str, at_s: int, body: bytes) -> str:
    """The signature ``v1,...`` of a webhook: HMAC-SHA256 over id, time and body (Standard Webhooks 1.0.0, "Signature scheme")."""
    signed = f"{message_id}.{at_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()


def webhook_event(message: Message) -> dict[str, Any]:
    """The body of a Standard Webhook: type (``incident.opened``, ``lever.held``...), time and data."""
    kinds = {"opened": "opened", "closed": "closed", "acked": "acknowledged", None: "test"}
    kind = message.event or f"incident.{kinds.get(message.reason, 'updated')}"
    data: dict[str, Any] = {
        "title": message.title,
        "reason": message.reason or message.event.rpartition(".")[2] or "test",
        "link": message.link,
        **{k.replace(" ", "_"): v for k, v in message.details.items()},
        "text": message.text,
    }
    event = {"type": kind, "timestamp": format_time(message.at_us), "data": data}
    over = len(_json(event)) - _MOST_BYTES
    if over > 0:
        data["text"] = (
            message.text.encode()[: max(0, len(message.text.encode()) - over - 100)].decode(errors="ignore") + "…"
        )
    return event


def pagerduty_event(message: Message, routing_key: str) -> dict[str, Any]:
    """A body of PagerDuty's Events v2: one alert for one thing, opened, acknowledged and resolved by its key.

    A thing is an incident, a hold, a broken glass that waits for its review, or what was decided of an experiment.
    """
    over = dict.fromkeys(("closed", "lever.ended", "lever.reviewed", "rollout.ended"), "resolve")
    actions = {**over, "acked": "acknowledge"}
    action = actions.get(message.reason or message.event, "trigger")
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": (message.about or message.id or "andon-test")[:255],
    }
    if action != "trigger":
        return event
    details = message.details
    payload = {
        "summary": message.title[:1024],
        "source": details.get("app", "andon"),
        "severity": _SEVERITY[message.tone],
        "timestamp": format_time(message.at_us),
        "component": details.get("part", ""),
        "group": details.get("environment", ""),
        "class": details.get("failure") or details.get("class", "") or message.event,
        "custom_details": details,
    }
    event |= {"client": "Andon", "payload": {k: v for k, v in payload.items() if v}}
    if message.link:
        event |= {"client_url": message.link, "links": [{"href": message.link, "text": "the incident"}]}
    return event


def slack_blocks(message: Message) -> dict[str, Any]:
    """A body for an incoming webhook of Slack: the title, what is needed, the facts side by side, a button.

    Limits of Block Kit: 150 characters of a header, 3,000 of a section, ten fields of 2,000. `Message` is harmless already:
    it holds none of the signs that Slack obeys.
    """
    d = message.details
    sentences = [
        line for line in message.text.split("\n") if not line.startswith(("See: ", "I am on it: ", "Suspects: "))
    ]
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(message.title, 150)}]
    if len(message.title) > 150:
        blocks.append(_section(message.title))
    if message.text:
        blocks.append(_section("\n".join(sentences)))
    shown = [(k, d[k]) for k in ("severity", "class", "failure", "app", "part", "since") if d.get(k)]
    if shown:
        fields = [{"type": "mrkdwn", "text": f"*{k}*\n{v}"[:2000]} for k, v in shown]
        blocks.append({"type": "section", "fields": fields})
    causes = [d[k] for k in ("suspect 1", "suspect 2", "suspect 3") if k in d]
    if causes:
        blocks.append(_section("*Suspects*\n" + "\n".join(f"{n}. {c}" for n, c in enumerate(causes, 1))))
    if message.link:
        button = {"type": "button", "text": _plain("Open the incident", 75), "url": message.link}
        blocks.append({"type": "actions", "elements": [button]})
    if d.get("incident") and message.reason not in ("closed", "late", "acked") and "acknowledged by" not in d:
        blocks.append({"type": "context", "elements": [_plain(f"I am on it: andon incident ack {d['incident']}", 300)]})
    return {"text": message.title, "blocks": blocks}


def _plain(text: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": text if len(text) <= limit else text[: limit - 1] + "…"}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:3000]}}


def _json(body: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
