"""One body to changes: the form is recognised by itself, and unknown keys are kept.

Read are our own JSON, CloudEvents (structured and binary), CDEvents, PagerDuty's change events, GitHub's webhooks, and JSON
arrays of those that stand alone. What was understood and is no change of what runs is answered with the reason.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from andon.changes.attributes import check_depth, line_of, text_of
from andon.changes.cdevents import is_cdevent, read_cdevent, read_cloudevent
from andon.changes.drafts import (
    Draft,
    change_of,
    first_line,
    first_link,
    first_text,
    known_kind,
    known_version,
    plain_draft,
)
from andon.changes.fields import SHORT, kind_of_words
from andon.changes.github import github_event, read_github
from andon.changes.records import Change, Ignored, Received
from andon.errors import InputError
from andon.traffic import quoted

__all__ = ["MOST_CHANGES", "changes_of_body", "pagerduty_of_body"]

MOST_CHANGES = 500
"""Most changes of one array: each is written to disk by itself."""


def changes_of_body(
    data: Any, *, headers: Mapping[str, str], now_us: int, app: str | None = None, environment: str | None = None
) -> Received:
    """The changes of a body in any of the forms, and what was ignored.

    Args:
        data: the parsed JSON.
        headers: those of the request; ``X-GitHub-*`` and ``ce-*`` are read. Empty for a line of a file.
        now_us: time of a change whose sender did not say when it happened.
        app: application of a change whose sender did not name one, as told by the request's address.
        environment: the same for the environment.

    Raises:
        InputError: the body is none of these, or a field is of the wrong type or out of range; of an array nothing is taken.
    """
    check_depth(data)
    known = {str(k).lower(): v for k, v in headers.items()}
    if not isinstance(data, list) or "ce-type" in known:
        return _received([_read(data, known)], now_us, app, environment)
    if len(data) > MOST_CHANGES:
        raise InputError(f"the array has {len(data)} items; at most {MOST_CHANGES} are allowed in one request")
    found = []
    for number, item in enumerate(data, 1):
        try:
            found.append(_read(item, {}))
        except InputError as error:
            raise InputError(f"item {number}: {error}") from error
    return _received(found, now_us, app, environment)


def pagerduty_of_body(data: Any, *, now_us: int, app: str | None = None, environment: str | None = None) -> Received:
    """The change of a body that came in at PagerDuty's own path.

    Raises:
        InputError: it is not a change event of PagerDuty.
    """
    check_depth(data)
    if not isinstance(data, dict):
        raise InputError(f"the body is {quoted(data)}; a change event is an object with payload.summary")
    return _received([_pagerduty(data)], now_us, app, environment)


def _received(found: list[Draft | Ignored], now_us: int, app: str | None, environment: str | None) -> Received:
    for name, text in (("app", app), ("environment", environment)):
        if text is not None and not (text.strip() and len(text) <= SHORT):
            raise InputError(f"{name} of the address is {quoted(text)}; text of at most {SHORT} characters is allowed")
    changes: list[Change] = []
    undated, unnamed = set(), set()
    drafts = [d for d in found if isinstance(d, Draft)]
    for number, draft in enumerate(drafts, 1):
        try:
            change, dated = change_of(draft, now_us=now_us, app=app, environment=environment)
        except InputError as error:
            raise InputError(f"change {number}: {error}" if len(drafts) > 1 else str(error)) from error
        changes.append(change)
        if not dated:
            undated.add(change.id)
            if not draft.key and "id" not in draft.fields:
                unnamed.add(change.id)
    ignored = tuple(i for i in found if isinstance(i, Ignored))
    return Received(changes=tuple(changes), ignored=ignored, undated=frozenset(undated), unnamed=frozenset(unnamed))


def _read(data: Any, headers: Mapping[str, str]) -> Draft | Ignored:
    if "ce-type" in headers:  # binary mode: the envelope is in the headers, the body is its data
        envelope = {k.removeprefix("ce-"): unquote(v) for k, v in headers.items() if k.startswith("ce-")}
        return read_cloudevent({**envelope, "data": data})
    if not isinstance(data, dict):
        raise InputError(f"the body is {quoted(data)}; a change is a JSON object, or several in an array")
    if event := headers.get("x-github-event") or github_event(data):
        return read_github(event, data, line_of(headers.get("x-github-delivery", ""), 80))
    if "specversion" in data and "type" in data:
        return read_cloudevent(data)
    if is_cdevent(data):
        return read_cdevent(data)
    payload = data.get("payload")
    if "routing_key" in data or "event_action" in data or (isinstance(payload, dict) and "summary" in payload):
        return _pagerduty(data)
    if isinstance(data.get("alerts"), list) and "title" not in data:
        raise InputError("this is a body of Alertmanager; alerts come in at /v1/alerts")
    return plain_draft(data)


def _pagerduty(data: Mapping[str, Any]) -> Draft | Ignored:
    """A change event of PagerDuty; its routing key is a secret and goes no further."""
    if "event_action" in data:
        return Ignored(
            what=line_of(f"event_action {text_of(data['event_action'])}", 80), why="an alert event is no change"
        )
    payload = data.get("payload")
    if not isinstance(payload, dict):
        raise InputError(f"payload is {quoted(payload)}; an object with a summary is allowed")
    summary = first_text(payload, ("summary",))
    if summary is None or not line_of(summary):
        raise InputError(f"payload.summary is {quoted(payload.get('summary'))}; text is allowed")
    details = payload.get("custom_details")
    details = details if isinstance(details, dict) else {"custom_details": details}
    links = [link for link in _list(data.get("links")) if isinstance(link, dict)]
    used: set[str] = set()
    given = {
        "kind": known_kind(details.get("kind")) or kind_of_words(summary),
        "title": line_of(summary),
        "before": first_text(details, ("before", "previous_version"), used),
        "after": first_text(details, ("after", "version"), used),
        "app": first_line(details, ("app", "application", "service"), used),
        "environment": first_line(details, ("environment", "env"), used),
        "version_field": known_version(details, used),
        "author": first_line(details, ("author", "user", "actor"), used),
        "link": next((found for link in links if (found := first_link(link, ("href",)))), None),
    }
    about = {f"payload.{k}": v for k, v in payload.items() if k not in ("summary", "timestamp", "custom_details")}
    rest = {k: v for k, v in data.items() if k not in ("routing_key", "payload", "links")}
    more = {"links": links} if len(links) > 1 or any("text" in link for link in links) else {}
    whole = {"payload.summary": summary} if line_of(summary) != summary else {}
    return Draft(
        fields=given,
        at=payload.get("timestamp"),
        at_name="payload.timestamp",
        attributes=({**about, **whole}, {k: v for k, v in details.items() if k not in used}, {**more, **rest}),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
