"""An endpoint as a target: JSON of any shape, by a template. A redirect is not followed: the headers may hold a key."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import httpx2

from andon.errors import InputError, SeamError
from andon.evals.pace import BusyError, asked_to_wait
from andon.evals.records import Output
from andon.evals.targets.reading import json_of
from andon.evals.targets.templates import Template, fill, fill_url, read_output, secrets_in, with_secrets
from andon.golden import Case
from andon.traffic.quoting import quoted

__all__ = ["HttpTarget", "http_target"]

_SHORTEST_SECRET = 6
_BUSY = (httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """An endpoint that takes a question as JSON."""

    name: str
    template: Template
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    """Texts that no message may show."""

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

    def ask(self, case: Case) -> Output:
        """The answer to the question of a case.

        Raises:
            SeamError: no connection, no answer in time, another status than 200..299, or another shape. `BusyError` where the
                endpoint says how long to wait.
        """
        body, url = fill(self.template, case), fill_url(self.url, case)
        content = None if body is None else json.dumps(body).encode()
        headers = {**({} if content is None else {"content-type": "application/json"}), **self.headers}
        timeout_s = self.template.timeout_s
        try:
            response = httpx2.request(self.template.method, url, content=content, headers=headers, timeout=timeout_s)
        except httpx2.TimeoutException:
            raise SeamError(f"{self.name} gave no answer within {timeout_s:g} s", retryable=True) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise SeamError(f"{self.name} cannot be asked: {self._shown(str(error))}", retryable=True) from None
        if not response.is_success:
            raise self._refused(response)
        try:
            return read_output(self.template, json_of(response.content, self.name), self.name)
        except SeamError as error:
            raise SeamError(self._clean(str(error))) from None

    def _refused(self, response: httpx2.Response) -> SeamError:
        status = response.status_code
        message = f"{self.name} answered HTTP {status}: {self._shown(response.content)}"
        if status in _BUSY:
            wait_s = asked_to_wait(response.headers.get("retry-after"), response.headers.get("date"))
            if wait_s is not None:
                return BusyError(message, wait_s=wait_s)
        return SeamError(message, retryable=status == httpx2.codes.TOO_MANY_REQUESTS or status >= 500)

    def _shown(self, said: str | bytes) -> str:
        text = said[:2000].decode("utf-8", "backslashreplace") if isinstance(said, bytes) else said
        return quoted(self._clean(text), 200)

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
    own = (where.query, where.password or "", where.netloc.rpartition("@")[0])
    secrets = {*values.values(), *safe.values(), *sent.values(), *own}
    return HttpTarget(
        name=template.name or _place(template.url),
        template=template,
        url=with_secrets(template.url, safe),
        headers=sent,
        secrets=tuple(sorted((s for s in secrets if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)),
    )


def _place(text: str) -> str:
    """A URL without user, password, query and fragment, which may hold a key."""
    try:
        url = urlsplit(text)
        place = f"{url.scheme}://{url.hostname or ''}{f':{url.port}' if url.port else ''}{url.path}"
    except ValueError as error:
        raise InputError(f"{quoted(text)} is not a URL: {error}") from None
    return place
