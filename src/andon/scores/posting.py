"""Post JSON to an endpoint of a model and read JSON: asked again where that may help, ended in time, and no secret is said."""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx2

from andon.errors import ConfigError, SeamError
from andon.traffic.quoting import quoted

__all__ = ["LONGEST_WAIT_S", "Endpoint", "asked_to_wait", "endpoint_at", "without_secret"]

LONGEST_WAIT_S = 120.0
"""An endpoint that asks for a longer pause is asked again after this one."""

PAUSES_S = (1.0, 4.0)  # before the second and the third try
MOST_BYTES = 2**25
"""Bytes of an answer: 128 vectors of 4,096 numbers are 12 million."""

SHORTEST_SECRET = 6
"""Characters of a key from which it is one: endpoints that need none are given ``none`` or ``x``, which are words."""

_WAIT_MOST_S = 30.0  # for a pause that is asked for: somebody waits for the score
_SHOWN = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint that is asked by ``POST`` with a key; `endpoint_at` makes it."""

    who: str
    """How messages call it: ``the judge "m"``."""
    url: str = field(repr=False)
    place: str
    """The URL without user, password and query: what a message may show."""
    key: str = field(repr=False)
    answer_s: float = 120.0
    """Seconds for the body of an answer, however slowly it comes, and for each part of its head."""
    sleep: Callable[[float], None] = time.sleep

    @contextmanager
    def asked(self) -> Iterator[Callable[[Mapping[str, Any]], Any]]:
        """A connection, as a function from a request to the JSON that the endpoint answers.

        After a failure of the transport, 429 and 5xx it is asked again, twice, after 1 s and 4 s, or the pause that it asks
        for where that is longer (at most 30 s). The function raises a `SeamError` where it failed three times, refused, or
        answered too late, too much or no JSON.
        """
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        with httpx2.Client(headers=headers, timeout=self.answer_s, follow_redirects=False) as client:
            yield partial(self._post, client)

    def failed(self, problem: str, *, retryable: bool = False) -> SeamError:
        """The error that says what went wrong, and where."""
        return SeamError(f"{self.who} at {self.place} failed: {problem}", retryable=retryable)

    def clean(self, text: str) -> str:
        """What the endpoint said without the secrets that it was sent: it may repeat the header of the request."""
        login = unquote(urlsplit(self.url).netloc.rpartition("@")[0])
        for secret in (self.key, login, login.partition(":")[2], b64encode(login.encode()).decode()):
            text = without_secret(text, secret)
        return text

    def _post(self, client: httpx2.Client, request: Mapping[str, Any]) -> Any:
        for pause in (*PAUSES_S, None):
            wait_s = pause or 0.0
            try:
                status, headers, content = self._answer(client, request)
            except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError) as error:
                problem = f"{type(error).__name__}: {self._shown(str(error))}"
                retryable = isinstance(error, httpx2.TransportError)
            else:
                if status == httpx2.codes.OK:
                    return self._decoded(content)
                problem = f"HTTP {status}: {self._shown(content)}"
                retryable = status == httpx2.codes.TOO_MANY_REQUESTS or status >= 500
                asked_s = asked_to_wait(headers.get("retry-after"), headers.get("date")) or 0.0
                wait_s = max(wait_s, min(asked_s, _WAIT_MOST_S))
            if pause is None or not retryable:
                raise self.failed(problem, retryable=retryable)
            self.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _answer(self, client: httpx2.Client, request: Mapping[str, Any]) -> tuple[int, httpx2.Headers, bytes]:
        until_s, content = time.monotonic() + self.answer_s, bytearray()
        with client.stream("POST", self.url, json=request) as answer:
            for part in answer.iter_bytes():
                content += part
                if len(content) > MOST_BYTES:
                    raise self.failed(f"its answer has more than {MOST_BYTES:,} bytes")
                if time.monotonic() > until_s:  # each part comes in time, and the whole never
                    raise httpx2.ReadTimeout(f"no whole answer within {self.answer_s:g} s")
        return answer.status_code, answer.headers, bytes(content)

    def _decoded(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            pass  # the error would chain to the text, which may hold the key
        raise self.failed(f"the answer is not JSON: {self._shown(content)}")

    def _shown(self, said: str | bytes) -> str:
        """What the endpoint said as a message may show it: without secrets, short, on one line."""
        text = said[:_SHOWN].decode("utf-8", "replace") if isinstance(said, bytes) else said
        return quoted(self.clean(text.replace(self.url, self.place)), 200)


def without_secret(text: str, secret: str) -> str:
    """A text with ``***`` in place of a secret."""
    return text.replace(secret, "***") if len(secret) >= SHORTEST_SECRET else text


def endpoint_at(who: str, base: str, path: str, key: str, variable: str, *, answer_s: float = 120.0) -> Endpoint:
    """The endpoint of an OpenAI-compatible URL and key. A key goes before a user and password in the URL.

    Args:
        who: how messages call it.
        base: the URL of the settings.
        path: what is added to its path, e.g. ``embeddings``.
        key: the key of the settings; empty where none is needed.
        variable: the settings without their last word, e.g. ``ANDON_JUDGE`` for ``ANDON_JUDGE_URL`` and ``ANDON_JUDGE_KEY``.
        answer_s: seconds for a whole answer.

    Raises:
        ConfigError: the URL is not http(s), or the key cannot be sent in a header. Neither is repeated: both may be secret.
    """
    try:
        parts = urlsplit(base)
        host = f"{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{variable}_URL is not a URL of the form http(s)://host[:port]/path")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{variable}_KEY holds a character that a header cannot carry (a line end, perhaps)")
    path = f"{parts.path.rstrip('/')}/{path}"
    url = parts._replace(netloc=host if key.strip() else parts.netloc, path=path, fragment="").geturl()
    place = f"{parts.scheme}://{host}{path}"
    return Endpoint(who=who, url=url, place=place, key=key.strip(), answer_s=answer_s)


def asked_to_wait(retry_after: str | None, date: str | None) -> float | None:
    """Seconds in a Retry-After header: a number, or a time against the response's own Date (RFC 9110, 10.2.3); else None."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_WAIT_S)
    if date is None:
        return None
    try:
        wait_s = (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S)
