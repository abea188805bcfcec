"""CloudEvents and CDEvents: which of them are changes of what runs, and of which kind.

CDEvents (cdevents.dev, 0.3 to 0.6) has no subject for a model, a prompt, a policy or an index: those come as custom events,
``dev.cdeventsx.<tool>-<subject>.<predicate>.<version>``, by the names of `CUSTOM`.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import orjson

from andon.changes.attributes import check_depth, line_of, text_of
from andon.changes.drafts import (
    Draft,
    first_line,
    first_link,
    first_text,
    known_kind,
    known_version,
    plain_draft,
    titled,
)
from andon.changes.fields import kind_of_words
from andon.changes.records import Ignored
from andon.errors import InputError
from andon.traffic import quoted

__all__ = ["CUSTOM", "STANDARD", "is_cdevent", "read_cdevent", "read_cloudevent"]

STANDARD: Mapping[str, str] = MappingProxyType(
    {
        "service.deployed": "code",
        "service.upgraded": "code",
        "service.rolledback": "code",
        "service.removed": "code",
        "service.published": "routing",
        "deployment.finished": "code",
        "targetrollout.finished": "code",
        "reconciliation.finished": "config",
        "migration.finished": "code",
        "environment.created": "config",
        "environment.modified": "config",
        "environment.deleted": "config",
        "change.merged": "code",
        "artifact.published": "code",
        "pipelinerun.finished": "code",
    }
)
"""Events of CDEvents that are changes of what runs, and their kind; every other one is ignored."""

CUSTOM: Mapping[str, str] = MappingProxyType(
    {
        "model": "model",
        "llm": "model",
        "prompt": "prompt",
        "prompttemplate": "prompt",
        "systemprompt": "prompt",
        "policy": "policy",
        "guardrail": "policy",
        "routing": "routing",
        "route": "routing",
        "index": "index",
        "vectorindex": "index",
        "corpus": "corpus",
        "knowledgebase": "corpus",
        "embedding": "embedding model",
        "embeddingmodel": "embedding model",
        "toolschema": "tool schema",
        "tool": "tool schema",
        "permission": "permission",
        "sampling": "sampling parameter",
        "samplingparameter": "sampling parameter",
        "budget": "budget",
        "quota": "budget",
        "provider": "provider",
        "trafficsource": "traffic source",
        "config": "config",
        "featureflag": "config",
        "flag": "config",
        "code": "code",
        "service": "code",
        "scorer": "scorer",
    }
)
"""Subjects of custom events (without hyphens, in lower case) and their kind; any other subject is of kind ``other``."""

_TYPE = re.compile(r"dev\.cdevents(x?)\.([^.]{1,200})\.([^.]{1,100})(?:\..*)?", re.DOTALL)
_NOT_YET = frozenset({
    "abandoned", "approved", "canceled", "cancelled", "downloaded", "exceeded", "failed", "planned", "proposed",
    "queued", "requested", "reviewed", "skipped", "started", "tested", "validated",
})  # fmt: skip
"""Predicates after which the same thing runs as before."""

_ELSEWHERE = {
    "incident": "an incident is no change; alerts come in at /v1/alerts",
    "ticket": "a ticket changes nothing that runs",
    "testcaserun": "a test changes nothing that runs",
    "testsuiterun": "a test changes nothing that runs",
    "testoutput": "a test changes nothing that runs",
    "build": "a build is not live; its deployment is the change",
    "taskrun": "a task is a part of a pipeline; the deployment is the change",
}
_BEFORE = ("before", "previousVersion", "previous_version", "fromVersion", "previousArtifactId", "from")
_AFTER = ("after", "version", "newVersion", "toVersion", "to", "artifactId", "desiredState")
_ENVELOPE = (
    "specversion",
    "type",
    "source",
    "id",
    "time",
    "subject",
    "datacontenttype",
    "dataschema",
    "data",
    "data_base64",
)


def is_cdevent(data: Any) -> bool:
    """Whether this is a CDEvent: a context with a type."""
    return isinstance(data, dict) and isinstance(data.get("context"), dict) and "type" in data["context"]


def read_cloudevent(event: Mapping[str, Any]) -> Draft | Ignored:
    """A change from a CloudEvents envelope (1.0, as one object); what it carries is a CDEvent, a plain change, or anything.

    Raises:
        InputError: the envelope has no type, or its data cannot be read.
    """
    name = _text(event, "type", "the CloudEvent")
    data = _data(event)
    if is_cdevent(data):
        return read_cdevent(data, envelope={k: v for k, v in event.items() if k not in _ENVELOPE})
    if _TYPE.fullmatch(name):  # the subject's content alone, its context in the envelope
        context = {"type": name, "id": event.get("id"), "source": event.get("source"), "timestamp": event.get("time")}
        return read_cdevent({"context": context, "subject": {"id": event.get("subject"), "content": data}})
    about = {f"event.{k}": event.get(k) for k in ("type", "source", "id", "subject")}
    about |= {k: v for k, v in event.items() if k not in _ENVELOPE}
    ours = isinstance(data, dict) and isinstance(data.get("title"), str)
    told = plain_draft(data) if ours else _foreign(name, event.get("subject"), data)
    own_time = told.at not in (None, "") or "at_us" in told.fields
    return Draft(
        fields=told.fields,
        at=told.at if own_time else event.get("time"),
        at_name="at" if own_time else "time",
        key=_key(event.get("source"), event.get("id")),
        attributes=(about, *told.attributes),
    )


def _foreign(name: str, subject: Any, data: Any) -> Draft:
    """A change from an event of somebody's own type, whose fields may mean anything."""
    sent = data if isinstance(data, dict) else {"data": data}
    used: set[str] = set()
    before, after = first_text(sent, _BEFORE, used), first_text(sent, _AFTER, used)
    title = first_line(sent, ("summary", "message")) or titled(f"{name} {text_of(subject or '')}", before, after)
    given = {
        "kind": known_kind(sent.get("kind")) or kind_of_words(f"{name} {title}"),
        "title": title,
        "before": before,
        "after": after,
        **_where(sent, used),
    }
    return Draft(fields=given, attributes=({f"data.{k}": v for k, v in sent.items() if k not in used},))


def _where(sent: Mapping[str, Any], used: set[str]) -> dict[str, str | None]:
    return {
        "app": first_line(sent, ("app", "application", "service"), used),
        "environment": first_line(sent, ("environment", "env"), used),
        "version_field": known_version(sent, used),
        "author": first_line(sent, ("author", "user", "actor", "committer"), used),
        "link": first_link(sent, ("link", "url", "uri"), used),
    }


def read_cdevent(data: Mapping[str, Any], envelope: Mapping[str, Any] | None = None) -> Draft | Ignored:
    """A change from a CDEvent, or why it is none.

    Raises:
        InputError: its context has no type of CDEvents, or a part of it is no object.
    """
    context, subject = _object(data, "context", "the CDEvent"), _object(data, "subject", "the CDEvent")
    content = _object(subject, "content", "subject")
    name = _text(context, "type", "context")
    match = _TYPE.fullmatch(name)
    if match is None:
        raise InputError(
            f"context.type is {quoted(name)}; dev.cdevents.<subject>.<predicate>.<version> or "
            "dev.cdeventsx.<tool>-<subject>.<predicate>.<version> is allowed"
        )
    custom, thing, predicate = bool(match[1]), match[2].casefold(), match[3].casefold()
    kind, why = _custom_kind(thing, predicate) if custom else _standard_kind(thing, predicate)
    outcome = content.get("outcome")
    if kind and isinstance(outcome, str) and outcome.casefold() not in ("", "success", "succeeded"):
        kind, why = None, f"its outcome is {quoted(outcome)}: nothing went live"
    if kind and content.get("changed") is False:
        kind, why = None, "it changed nothing"
    what = line_of(f"{name} {first_text(subject, ('id',)) or ''}")
    if kind is None:
        return Ignored(what=what, why=why)
    return _draft(data, context, subject, content, envelope or {}, kind, thing, predicate)


def _draft(
    data: Mapping[str, Any],
    context: Mapping[str, Any],
    subject: Mapping[str, Any],
    content: Mapping[str, Any],
    envelope: Mapping[str, Any],
    kind: str,
    thing: str,
    predicate: str,
) -> Draft:
    used: set[str] = set()
    name = first_text(subject, ("id",))
    before, after = first_text(content, _BEFORE, used), first_text(content, _AFTER, used)
    if after is None and f"{thing}.{predicate}" in ("artifact.published", "change.merged"):
        after = name
    title = first_line(content, ("title", "summary"), used)
    given = {
        "kind": known_kind(content.get("kind")) or kind,
        "title": title or titled(f"{thing} {name or ''} {predicate}", before, after),
        "before": before,
        "after": after,
        **_where(content, used),
    }
    if thing == "environment" and given["environment"] is None:
        given["environment"] = first_line(content, ("name",), used) or first_line(subject, ("id",))
    rest = {k: v for k, v in data.items() if k not in ("context", "subject", "customData")}
    return Draft(
        fields=given,
        at=context.get("timestamp"),
        at_name="context.timestamp",
        key=_key(context.get("source"), context.get("id")),
        guessed_app=(line_of(name.rpartition("/")[2]) or None) if name and thing == "service" else None,
        attributes=(
            {f"event.{k}": context.get(k) for k in ("type", "source", "id", "chainId")} | {"event.subject": name},
            {k: v for k, v in content.items() if k not in used},
            {"customData": data.get("customData")},
            {
                f"context.{k}": v
                for k, v in context.items()
                if k not in ("type", "source", "id", "chainId", "timestamp")
            },
            {f"subject.{k}": v for k, v in subject.items() if k not in ("id", "content")},
            {**envelope, **rest},
        ),
    )


def _standard_kind(thing: str, predicate: str) -> tuple[str | None, str]:
    kind = STANDARD.get(f"{thing}.{predicate}")
    return kind, "" if kind else _ELSEWHERE.get(thing, "it changes nothing that runs")


def _custom_kind(thing: str, predicate: str) -> tuple[str | None, str]:
    if predicate in _NOT_YET:
        return None, f"{predicate}: the same runs as before"
    parts = thing.split("-")
    names = ("".join(parts[k:]) for k in range(1 if len(parts) > 1 else 0, len(parts)))
    return next((CUSTOM[n] for n in names if n in CUSTOM), "other"), ""


def _data(event: Mapping[str, Any]) -> Any:
    if "data_base64" not in event:
        return event.get("data")
    try:
        data = orjson.loads(base64.b64decode(event["data_base64"], validate=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise InputError("data_base64 is not JSON in base64; send `data` as JSON") from error
    check_depth(data)
    return data


def _key(source: Any, name: Any) -> tuple[str, ...]:
    """What makes an event unique: CloudEvents and CDEvents both say source and id."""
    return ("event", source if isinstance(source, str) else "", name) if isinstance(name, str) and name else ()


def _object(sent: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = sent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{key} of {where} is {quoted(value)}; an object is allowed")
    return value


def _text(sent: Mapping[str, Any], key: str, where: str) -> str:
    value = sent.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{key} of {where} is {quoted(value)}; text is allowed")
    return value
