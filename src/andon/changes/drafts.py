"""What readers of foreign forms have in common: a change as far as its sender tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from andon.changes.attributes import attributes_of, canonical, clip, is_link, is_storable, line_of
from andon.changes.fields import SHORT, change_from, change_id, kind_of_words
from andon.changes.records import KINDS, Change
from andon.errors import InputError
from andon.traffic import VERSIONS, parse_time, quoted

__all__ = [
    "Draft",
    "change_of",
    "first_line",
    "first_link",
    "first_text",
    "known_kind",
    "known_version",
    "plain_draft",
    "titled",
]

_SYNONYMS = {
    "title": ("summary", "message"),
    "app": ("application", "service", "service_name"),
    "environment": ("env", "deployment_environment"),
    "after": ("version",),
    "before": ("previous_version",),
    "author": ("user", "actor"),
    "link": ("url", "html_url"),
    "at": ("time", "timestamp"),
}
_FIELDS = frozenset({
    "id", "kind", "title", "app", "environment", "before", "after", "version_field", "scope", "author", "own", "link",
    "at", "at_us", "attributes",
})  # fmt: skip
_NAMES = ("name", "login", "id", "username")
"""Keys by which an object is called when a text was expected, such as ``{"id": "prod"}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A change before it has an id, a time and the defaults of its address."""

    fields: Mapping[str, Any]
    """Fields of `Change` as sent; those that are not there take their defaults."""
    at: Any = None
    """When it happened, in any form; None when the sender did not say."""
    at_name: str = "at"
    key: tuple[str, ...] = ()
    """What the sender calls this event, so that a second delivery is the same change; empty when it has no name."""
    guessed_app: str | None = None
    """An application that was not named as such, e.g. the name of a repository; the address of the request may say better."""
    attributes: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    """The rest, the most important first."""


def change_of(
    draft: Draft, *, now_us: int, app: str | None = None, environment: str | None = None
) -> tuple[Change, bool]:
    """The change, and whether its sender said when it happened.

    `app` and `environment` are what the request's address says; they hold where the sender does not say.

    Raises:
        InputError: a field is of the wrong type or out of range.
    """
    given = {k: v for k, v in draft.fields.items() if v is not None}
    for name, text in (("app", app or draft.guessed_app), ("environment", environment)):
        if text is not None:
            given.setdefault(name, text)
    given["attributes"] = attributes_of(*draft.attributes)
    dated = draft.at not in (None, "") or "at_us" in given
    if draft.at not in (None, ""):
        try:
            given["at_us"] = parse_time(draft.at)
        except InputError as error:
            raise InputError(f"{draft.at_name}: {error}") from error
    if "id" not in given:  # without a name the content is the name, and the time only when it was sent
        given["id"] = change_id(*(draft.key or (canonical(given),)))
    return change_from(given, now_us=now_us), dated


def plain_draft(data: Mapping[str, Any]) -> Draft:
    """A change in our own words; other usual names of a field are read where the field itself is not there.

    Raises:
        InputError: it has no title.
    """
    sent = {str(k): v for k, v in data.items() if v is not None}
    given = {k: v for k, v in sent.items() if k in _FIELDS}
    rest = {k: v for k, v in sent.items() if k not in _FIELDS}
    for name, others in _SYNONYMS.items():
        if name not in given and not (name == "at" and "at_us" in given):
            used: set[str] = set()
            text = first_link(rest, others, used) if name == "link" else first_text(rest, others, used)
            if text is not None:
                given[name] = line_of(text) if name in ("title", "app", "environment", "author") else text
                rest = {k: v for k, v in rest.items() if k not in used}
    if "title" not in given:
        keys = ", ".join(quoted(k, 30) for k in sorted(sent)[:5]) or "none"
        raise InputError(f"a change needs 'title' as text, one line that a person recognises it by; keys sent: {keys}")
    if isinstance(given["title"], str):
        given["title"] = line_of(given["title"]) if len(given["title"]) <= SHORT else given["title"]
    if "kind" not in given:
        given["kind"] = kind_of_words(given["title"]) if isinstance(given["title"], str) else "other"
    elif isinstance(given["kind"], str) and given["kind"] not in KINDS:
        raise InputError(f"kind is {quoted(given['kind'])}; choose one of: {', '.join(KINDS)}")
    attributes = given.pop("attributes", {})
    if not isinstance(attributes, dict):
        raise InputError(f"attributes is {quoted(attributes)}; an object is allowed")
    return Draft(fields=given, at=given.pop("at", None), attributes=(rest, attributes))


def first_text(sent: Mapping[str, Any], names: Sequence[str], used: set[str] | None = None) -> str | None:
    """The first of these keys that holds text or a number, or an object with a name; None when there is none.

    A key whose whole value is the text is added to `used`: it need not be kept as an attribute too.
    """
    for name in names:
        value = sent.get(name)
        if isinstance(value, dict):
            if (inner := first_text(value, _NAMES)) is not None:
                if used is not None and len(value) == 1:
                    used.add(name)
                return inner
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            text = value if isinstance(value, str) else quoted(value)
            if text.strip():
                if used is not None:
                    used.add(name)
                return clip(text, 1_000)
    return None


def first_line(sent: Mapping[str, Any], names: Sequence[str], used: set[str] | None = None) -> str | None:
    """The same on one line; None when nothing is left of it."""
    text = first_text(sent, names, used)
    return (line_of(text) or None) if text is not None else None


def first_link(sent: Mapping[str, Any], names: Sequence[str], used: set[str] | None = None) -> str | None:
    """The first of these keys that holds an http or https address that is not absurdly long."""
    for name in names:
        value = sent.get(name)
        if isinstance(value, str) and len(value) <= 1_000 and is_link(value) and is_storable(value):
            if used is not None:
                used.add(name)
            return value
    return None


def known_kind(*words: Any) -> str | None:
    """The first of these that is one of `KINDS`."""
    return next((w for w in words if isinstance(w, str) and w in KINDS), None)


def known_version(sent: Mapping[str, Any], used: set[str]) -> str | None:
    """The field of the traffic that carries the version, when the sender named one that there is."""
    name = sent.get("version_field")
    if not isinstance(name, str) or name not in VERSIONS:
        return None
    used.add("version_field")
    return name


def titled(text: str, before: str | None, after: str | None) -> str:
    """A title with the versions, each cut so that both are seen."""
    old, new = (line_of(v, 80) if v else "" for v in (before, after))
    if old and new:
        return line_of(f"{line_of(text, 120)}: {old} -> {new}")
    return line_of(f"{line_of(text, 120)}: {new}" if new else text)
