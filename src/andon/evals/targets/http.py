"""An endpoint as a target: JSON of any shape, by a template. A redirect is not followed: the headers may hold a key."""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2

from andon.errors import InputError, SeamError
from andon.evals.pace import BusyError
from andon.evals.records import Output
from andon.evals.targets.templates import Template, body_of, fill, fill_url, read_output, secrets_in, with_secrets
from andon.golden import Case
from andon.scores.posting import asked_to_wait
from andon.traffic.quoting import quoted
from andon.traffic.redaction import RULES
from andon.traffic.redaction.forms import found_in

__all__ = ["HttpTarget", "http_target", "keys_in"]

MOST_BYTES = 10_000_000
"""An answer that is larger is none."""

_SHORTEST_SECRET = 6
_BUSY = (httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """An endpoint that takes a question as JSON."""

    name: str
    template: Template
    url: str = field(repr=False)
    body: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    """Texts that no message may show and no answer may bring back: ``***`` stands in their place."""

    @property
    def version(self) -> str | None:
        """Which version answers, where its target file says so."""
        return self.template.version

    @property
    def model(self) -> str | None:
        """The model that is asked for, where it is known."""
        return self.template.model

    @property
    def settings(self) -> str:
        """All that changes what is asked and read, without secrets."""
        return self.template.settings

    @property
    def sees_id(self) -> bool:
        """Whether what is sent holds the id of the case."""
        return "{id}" in json.dumps([self.body, self.url])

    def ask(self, case: Case) -> Output:
        """The answer to the question of a case.

        Raises:
            SeamError: no connection, no whole answer in time, another status than 200..299, more than 10 MB, or another shape.
                `BusyError` where the endpoint says how long to wait.
        """
        body, url = fill(self.body, case), fill_url(self.url, case)
        sent = None if body is None else json.dumps(body).encode()
        try:
            response, content = asyncio.run(self._in_time(url, sent))
        except TimeoutError:
            text = f"{self.name} gave no answer within {self.template.timeout_s:g} s"
            raise SeamError(text, retryable=True) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise SeamError(f"{self.name} cannot be asked: {self._shown(str(error))}", retryable=True) from None
        if not response.is_success:
            raise self._refused(response, content)
        try:
            row = self._without_secrets(json.loads(content))
        except (ValueError, RecursionError):
            row = None
        if row is None:
            raise SeamError(f"{self.name} gave no JSON: {self._shown(content)}")
        return read_output(self.template, row, self.name)

    async def _in_time(self, url: str, content: bytes | None) -> tuple[httpx2.Response, bytes]:
        """The response and what it holds; the time is for everything, from the connection to the last byte."""
        headers = {**({} if content is None else {"content-type": "application/json"}), **self.headers}
        method, read = self.template.method, bytearray()
        async with (
            asyncio.timeout(self.template.timeout_s),
            httpx2.AsyncClient(timeout=None) as client,
            client.stream(method, url, content=content, headers=headers) as response,
        ):
            async for part in response.aiter_bytes():
                read += part
                if len(read) > MOST_BYTES:
                    raise SeamError(f"{self.name} answered more than {MOST_BYTES // 1_000_000} MB, which is not read")
        return response, bytes(read)

    def _refused(self, response: httpx2.Response, content: bytes) -> SeamError:
        status = response.status_code
        message = f"{self.name} answered HTTP {status}: {self._shown(content)}"
        if status in _BUSY:
            wait_s = asked_to_wait(response.headers.get("retry-after"), response.headers.get("date"))
            if wait_s is not None:
                return BusyError(message, wait_s=wait_s)
        return SeamError(message, retryable=status == httpx2.codes.TOO_MANY_REQUESTS or status >= 500)

    def _shown(self, said: str | bytes) -> str:
        text = said.decode("utf-8", "backslashreplace") if isinstance(said, bytes) else said
        return quoted(self._clean(text), 200)

    def _without_secrets(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._clean(k): self._without_secrets(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._without_secrets(v) for v in value]
        return self._clean(value) if isinstance(value, str) else value

    def _clean(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def http_target(template: Template, headers: Mapping[str, str] | None = None) -> HttpTarget:
    """The target of a template, with the secrets that it refers to read from the environment; `headers` go before its own.

    Raises:
        InputError: a variable is not set, a header cannot be sent, or the URL is none.
    """
    values: dict[str, str] = {}
    for variable in secrets_in(template):
        value = os.environ.get(variable, "")
        if not value:
            raise InputError(
                f"the environment variable {variable} is not set; the target file refers to it as env:{variable}"
            )
        values[variable] = value
    sent = {**{k: with_secrets(v, values) for k, v in template.headers.items()}, **(headers or {})}
    for key, value in sent.items():
        if not all(text.isascii() and text.isprintable() for text in (key, value)) or not key:
            raise InputError(
                f"header {quoted(key)} is not printable ASCII; correct it (its value is not shown: it may be a key)"
            )
    safe = {k: quote(v, safe="") for k, v in values.items()}
    where = urlsplit(template.url)
    own = (where.query, where.password or "", where.netloc.rpartition("@")[0], *keys_in(where.path))
    keys = (v for k, v in sent.items() if k in (headers or {}) or _is_key(k, v))
    secrets = {*values.values(), *safe.values(), *keys, *own}
    escaped = {json.dumps(s)[1:-1] for s in secrets}  # as a message shows JSON that is cut off
    name = template.name or _place(template.url)
    for found in keys_in(name):
        name = name.replace(found, "***")
    return HttpTarget(
        name=name,
        template=template,
        url=with_secrets(template.url, safe),
        body=with_secrets(body_of(template), values),
        headers=sent,
        secrets=tuple(sorted((s for s in secrets | escaped if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)),
    )


def keys_in(text: str) -> list[str]:
    """What the rule that redacts keys in traffic finds in a text."""
    return [value for form in RULES["key"].forms for _, _, value in found_in(form, text)]


def _is_key(name: str, value: str) -> bool:
    read = RULES["key"].field
    return read is not None and read(name, value) is not None


def _place(text: str) -> str:
    """A URL without user, password, query and fragment, which may hold a key."""
    try:
        url = urlsplit(text)
        place = f"{url.scheme}://{url.hostname or ''}{f':{url.port}' if url.port else ''}{url.path}"
    except ValueError as error:
        raise InputError(f"{quoted(text)} is not a URL: {error}") from None
    return place
