"""The fields of a change: checked, with an error that names the field, the value and what is allowed."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields
from itertools import chain
from typing import Any

from andon.changes.attributes import attributes_of, canonical, clip, is_link, is_storable
from andon.changes.records import Change
from andon.errors import InputError
from andon.traffic import VERSIONS, parse_time, quoted
from andon.traffic.clock import check_time

__all__ = ["LONG", "SHORT", "change_from", "change_id", "kind_of_words"]

SHORT = 300
"""Most characters of a field of one line."""

LONG = 100_000
"""Most characters of ``before`` and ``after``, which may be a whole prompt."""

_MOST_SCOPE = 20
_KNOWN = frozenset(f.name for f in fields(Change))
_WORDS = (
    ("embedding model", r"embeddings?( model)?"),
    ("tool schema", r"tool schemas?|mcp|function schemas?"),
    ("traffic source", r"traffic source|campaign"),
    ("sampling parameter", r"sampling|temperature|top[-_ ]?[pk]"),
    ("prompt", r"prompts?|prompt templates?"),
    ("policy", r"polic(y|ies)|guardrails?"),
    ("index", r"re-?index(ed|ing)?|index(es)?|vector store"),
    ("corpus", r"corpus|corpora|knowledge base"),
    ("model", r"models?|llm|fine-?tun(e|ed|ing)"),
    ("provider", r"providers?"),
    ("routing", r"rout(e|es|er|ing)|traffic split|canary"),
    ("permission", r"permissions?|access rights?"),
    ("budget", r"budgets?|quotas?|rate limits?"),
    ("config", r"config(uration)?|settings?|feature flags?|flags?|environment"),
    (
        "code",
        r"build|builds|built|commits?|deploy(ed|s|ment|ments)?|hotfix|merged?|patch(ed)?|pull request|pushed|"
        r"releas(e|es|ed)|roll(ed)?[- ]?back|service|upgraded?|version",
    ),
)
_INFERRED = tuple((kind, re.compile(rf"(?<![a-z0-9])({words})(?![a-z0-9])")) for kind, words in _WORDS)


def change_from(data: Mapping[str, Any], *, now_us: int) -> Change:
    """A change from plain JSON: ``kind`` and ``title`` are required, ``at`` is any time text; unknown keys are attributes.

    Raises:
        InputError: a field is missing, of the wrong type or out of range.
    """
    sent = {str(k): v for k, v in data.items()}
    at = sent.pop("at", None)
    given = {k: v for k, v in sent.items() if k in _KNOWN and k != "attributes"}
    given["at_us"] = _time(at) if at is not None else given.get("at_us", now_us)
    for name in ("kind", "title"):
        if not isinstance(given.get(name), str):
            raise InputError(f"a change needs {name!r} as text; got {quoted(given.get(name))}")
    _check(given)
    attributes = sent.get("attributes")
    if not isinstance(attributes, dict | None):
        raise InputError(f"attributes is {quoted(attributes)}; an object is allowed")
    kept = attributes_of({k: v for k, v in sent.items() if k not in _KNOWN}, attributes or {})
    if "id" not in given:
        content = {**given, "attributes": kept} if kept else given
        given["id"] = f"CHG-{hashlib.sha256(canonical(content).encode()).hexdigest()[:10]}"
    return Change(**given, attributes=kept)


def change_id(*parts: str) -> str:
    """The id of a change by what its sender calls it: the same event again is the same change."""
    return f"CHG-{hashlib.sha256(canonical(parts).encode()).hexdigest()[:12]}"


def kind_of_words(text: str) -> str:
    """The kind of change that a text speaks of, ``other`` when no word tells; parts of an AI system go before deploys."""
    short = re.sub(r"[_./:]", " ", clip(text, SHORT).casefold())
    return next((kind for kind, words in _INFERRED if words.search(short)), "other")


def _time(at: Any) -> int:
    try:
        return parse_time(at)
    except InputError as error:
        raise InputError(f"at: {error}") from error


def _check(given: Mapping[str, Any]) -> None:
    """Refuse a value of the wrong type or size, and name its field."""
    for name in ("id", "kind", "title", "app", "environment", "author", "origin"):
        if name in given and not (isinstance(given[name], str) and given[name].strip()):
            raise InputError(f"{name} is {quoted(given[name])}; text that is not blank is allowed")
        if len(given.get(name, "")) > SHORT:
            raise InputError(f"{name} is {quoted(given[name])}; text of at most {SHORT} characters is allowed")
    for name in ("before", "after", "version_field", "link"):
        if not isinstance(given.get(name), str | None):
            raise InputError(f"{name} is {quoted(given[name])}; text or null is allowed")
        if len(given.get(name) or "") > LONG:
            raise InputError(f"{name} is {quoted(given[name])}; text of at most {LONG:,} characters is allowed")
    if given.get("version_field") is not None and given["version_field"] not in VERSIONS:
        raise InputError(f"version_field is {quoted(given['version_field'])}; one of {', '.join(VERSIONS)} is allowed")
    if given.get("link") is not None and not is_link(given["link"]):
        raise InputError(f"link is {quoted(given['link'])}; an http or https address is allowed")
    if isinstance(given["at_us"], bool) or not isinstance(given["at_us"], int):
        raise InputError(
            f"at_us is {quoted(given['at_us'])}; a whole number of microseconds is allowed, or `at` as text"
        )
    if not 0 < given["at_us"] < 2**63:
        raise InputError(f"at_us is {quoted(given['at_us'])}; a time from 2000 to 2100 is allowed")
    check_time(given["at_us"])
    if not isinstance(given.get("own", True), bool):
        raise InputError(f"own is {quoted(given['own'])}; true or false is allowed")
    _check_scope(given.get("scope", {}))
    texts = [t for t in (*given.values(), *chain.from_iterable(given.get("scope", {}).items())) if isinstance(t, str)]
    if strange := next((t for t in texts if not is_storable(t)), None):
        raise InputError(
            f"{quoted(strange)} holds a character that is no text; NUL and half surrogates are not allowed"
        )


def _check_scope(scope: Any) -> None:
    if not isinstance(scope, dict) or not all(isinstance(t, str) for pair in scope.items() for t in pair):
        raise InputError(f'scope is {quoted(scope)}; text by text is allowed, such as {{"risk_category": "high"}}')
    if len(scope) > _MOST_SCOPE or any(len(t) > SHORT for pair in scope.items() for t in pair):
        raise InputError(f"scope is {quoted(scope)}; at most {_MOST_SCOPE} texts of {SHORT} characters are allowed")
