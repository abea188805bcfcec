"""A target file: how any JSON endpoint is asked, and where in its answer things stand. Pure.

Placeholders stand inside texts of `url`, `system` and `body`: ``{question}``, ``{contexts}``, ``{id}``, ``{expect.KEY}``. A text
that is nothing but a placeholder becomes the value itself (a list stays a list); elsewhere its text is put in. What was put in
is not read again, and the body is made of values, so no question can change its shape.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from urllib.parse import quote, urlsplit

from andon.errors import InputError, SeamError
from andon.evals.records import Output
from andon.evals.targets.reading import (
    MISSING,
    chat_output,
    find,
    number_of,
    output_of,
    steps_of,
    texts_of,
    tool_calls_of,
)
from andon.golden import Case
from andon.traffic.quoting import quoted

__all__ = [
    "TIMEOUT_S",
    "Template",
    "body_of",
    "fill",
    "fill_url",
    "is_chat",
    "read_output",
    "secrets_in",
    "template_of",
    "with_secrets",
]

TIMEOUT_S = 60.0
"""How long a target may take for one question."""

_PLACE = re.compile(r"\{(question|contexts|id|expect\.[A-Za-z0-9_-]+)\}")
_SECRET = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")
_PATHS = ("answer", "contexts", "tool_calls", "input_tokens", "output_tokens", "cost_usd")
_PRICES = ("price_per_million_in", "price_per_million_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a target file says. Secrets are references such as ``env:BOT_KEY``, never values."""

    url: str = field(repr=False)
    name: str | None = None
    version: str | None = None
    """Which version answers there: answers of the same version may be taken from earlier runs."""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Any = None
    """None: an OpenAI-compatible chat where the path ends with /chat/completions, else ``{"question": ...}``."""
    answer: str | None = None
    """Path of the answer; None: `answer` of an object, or the message of a chat completion."""
    contexts: str | None = None
    tool_calls: str | None = None
    input_tokens: str | None = None
    output_tokens: str | None = None
    cost_usd: str | None = None
    model: str | None = None
    system: str | None = None
    temperature: float | None = None
    price_per_million_in: float | None = None
    """US dollars for a million input tokens; with `price_per_million_out` the cost is counted where the answer tells none."""
    price_per_million_out: float | None = None
    timeout_s: float = TIMEOUT_S

    @property
    def settings(self) -> str:
        """All that changes what is asked and read, as one text; secrets stand in it as references."""
        kept = {k: v for k, v in asdict(self).items() if k not in ("name", "version", "timeout_s", *_PRICES)}
        return json.dumps(kept, sort_keys=True)


def template_of(row: Mapping[str, Any], where: str) -> Template:
    """The template in a parsed target file.

    Raises:
        InputError: a key is unknown, missing or of another type; the question stands nowhere; a path is none.
    """
    known = {f.name for f in fields(Template)}
    if strange := sorted(set(row) - known):
        raise InputError(f"{where} has {quoted(strange[0])}; known keys are {', '.join(sorted(known))}")
    for key in known & set(row):
        _check(key, row[key], where)
    if "url" not in row:
        raise InputError(f"{where} has no `url`; give the address that is asked, like https://HOST/PATH")
    made = Template(**row)
    for path in (p for name in _PATHS if (p := getattr(made, name)) is not None):
        steps_of(path)
    if made.body is not None and (made.system is not None or made.temperature is not None):
        raise InputError(f"{where} has a `body`, so `system` and `temperature` are not sent; write them into the body")
    if not is_chat(made) and made.body is None and (made.system is not None or made.temperature is not None):
        raise InputError(
            f"{where} has `system` or `temperature`; they go to /chat/completions only, else give a `body`"
        )
    if (made.price_per_million_in is None) != (made.price_per_million_out is None):
        raise InputError(f"{where} has one of {' and '.join(f'`{p}`' for p in _PRICES)}; give both")
    try:
        asked = json.dumps([body_of(made), made.url], allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InputError(f"{where} has a `body` that is no JSON (a date or nan, perhaps); write it as text") from None
    if "{question}" not in asked:
        raise InputError(f"{where} sends the question nowhere; write {{question}} where it belongs in `body` or `url`")
    return made


def is_chat(template: Template) -> bool:
    """Whether the endpoint speaks OpenAI's chat protocol."""
    return urlsplit(template.url).path.rstrip("/").endswith("/chat/completions")


def body_of(template: Template) -> Any:
    """What is sent, with its placeholders; None where a GET has none."""
    if template.body is not None:
        return template.body
    if not is_chat(template):
        return {"question": "{question}"} if template.method != "GET" else None
    system = [] if template.system is None else [{"role": "system", "content": template.system}]
    chat: dict[str, Any] = {
        "model": template.model or "default",
        "messages": [*system, {"role": "user", "content": "{question}"}],
    }
    return chat if template.temperature is None else {**chat, "temperature": template.temperature}


def fill(body: Any, case: Case) -> Any:
    """The body for a case.

    Raises:
        SeamError: the case does not expect what a placeholder names.
    """

    def filled(text: str) -> Any:
        whole = _PLACE.fullmatch(text)
        if whole is not None:
            return _value(whole[1], case)
        return _PLACE.sub(lambda m: _as_text(_value(m[1], case)), text)

    return _changed(body, filled)


def fill_url(url: str, case: Case) -> str:
    """The URL for a case, with what was put in percent-encoded.

    Raises:
        SeamError: as for `fill`.
    """
    return _PLACE.sub(lambda m: quote(_as_text(_value(m[1], case)), safe="", errors="replace"), url)


def read_output(template: Template, row: Any, name: str) -> Output:
    """What an answer of the endpoint holds, by the template's paths.

    Raises:
        SeamError: there is no answer where it should stand, or something has another shape.
    """
    if template.answer is not None:
        answer = find(row, steps_of(template.answer))
        if answer is MISSING:
            raise SeamError(f"{name} gave nothing at {quoted(template.answer)}, but {quoted(json.dumps(row), 200)}")
        if isinstance(answer, int | float) and not isinstance(answer, bool):
            answer = str(answer)
        out = output_of({"answer": answer}, name)
    else:
        out = chat_output(row, name) if is_chat(template) else output_of(row, name)
    given: dict[str, Any] = {key: getattr(out, key) for key in _PATHS}
    for key in _PATHS[1:]:
        path = getattr(template, key)
        value = None if path is None else find(row, steps_of(path))
        if value is not None and value is not MISSING:
            given[key] = _read(key, value, name)
        elif key == "contexts" and path is not None:  # it says where its passages stand, and none stand there
            given[key] = ()
    cost = given["cost_usd"]
    if cost is None and given["input_tokens"] is not None and given["output_tokens"] is not None:
        given["cost_usd"] = _priced(template, given["input_tokens"], given["output_tokens"])
    return Output(**given, latency_s=out.latency_s)


def secrets_in(template: Template) -> tuple[str, ...]:
    """The environment variables that its URL, headers and body refer to, each once."""
    texts = (template.url, *template.headers.values(), *_texts(body_of(template)))
    return tuple(dict.fromkeys(m[1] for text in texts for m in _SECRET.finditer(text)))


def with_secrets(value: Any, values: Mapping[str, str]) -> Any:
    """A text, or a body, with every reference ``env:NAME`` in its texts replaced by its value."""
    return _changed(value, lambda text: _SECRET.sub(lambda m: values[m[1]], text))


def _changed(value: Any, change: Callable[[str], Any]) -> Any:
    """A JSON value with its texts changed, apart from keys."""
    if isinstance(value, Mapping):
        return {k: _changed(v, change) for k, v in value.items()}
    if isinstance(value, list):
        return [_changed(v, change) for v in value]
    return change(value) if isinstance(value, str) else value


def _texts(value: Any) -> Iterator[str]:
    found: list[str] = []
    _changed(value, found.append)
    return iter(found)


def _value(place: str, case: Case) -> Any:
    if place == "contexts":
        return list(case.contexts)
    if place in ("question", "id"):
        return getattr(case, place)
    key = place.removeprefix("expect.")
    if key not in case.expect:
        raise SeamError(f"case {quoted(case.id)} has no expect.{key}, which the target file puts into the request")
    return case.expect[key]


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "\n\n".join(value)
    return json.dumps(value, ensure_ascii=False)


def _read(key: str, value: Any, name: str) -> Any:
    if key == "tool_calls":
        return tool_calls_of(value, name)
    if key == "contexts":
        texts = texts_of(value)
        if texts is None:
            raise SeamError(f"{name} gave contexts {quoted(value)}; a list of texts is allowed")
        return texts
    number = number_of(value, key, name)
    return number if number is None or key == "cost_usd" else int(number)


def _priced(template: Template, tokens_in: int, tokens_out: int) -> float | None:
    if template.price_per_million_in is None or template.price_per_million_out is None:
        return None
    return (tokens_in * template.price_per_million_in + tokens_out * template.price_per_million_out) / 1e6


def _check(key: str, value: Any, where: str) -> None:
    if key == "body":
        return
    if key in ("temperature", "timeout_s", *_PRICES):
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
        if not number or (key == "timeout_s" and value == 0):
            raise InputError(f"{where} has {key} {quoted(value)}; a number that is not negative is allowed")
    elif key == "headers":
        if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
            raise InputError(
                f"{where} has `headers` that are no table of texts (values are not shown: they may be keys)"
            )
    elif not isinstance(value, str) or not value.strip():
        raise InputError(f"{where} has {key} {quoted(value)}; a text that is not empty is allowed")
    elif key == "method" and value not in ("GET", "POST", "PUT", "PATCH"):
        raise InputError(f"{where} has method {quoted(value)}; GET, POST, PUT and PATCH are allowed")
    elif key == "url":
        try:
            usable = urlsplit(value).scheme in ("http", "https") and bool(urlsplit(value).hostname)
        except ValueError:
            usable = False
        if not usable:  # the value is not repeated: it may hold a key
            raise InputError(f"{where} has a `url` that is not of the form http(s)://HOST/PATH")
