"""Alerts of other systems: read from Alertmanager's webhook, and laid beside the incidents that they belong to."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from andon.changes.attributes import attributes_of, canonical, check_depth, is_link, is_storable, line_of
from andon.errors import InputError
from andon.incidents.records import Alert, Incident
from andon.traffic import parse_time, quoted

__all__ = ["ALERTS_BACK_US", "MOST_ALERTS", "alert_text", "alerts_of_body", "touches"]

ALERTS_BACK_US = 6 * 3_600_000_000
"""Alerts that were over within these hours before an incident's onset stand in its timeline."""

MOST_ALERTS = 500
"""Most alerts of one body: each is written to disk by itself."""

APP_LABELS = ("app", "application", "service", "service_name", "app_kubernetes_io_name", "job", "namespace")
"""Labels that may name an application, the surest first."""

ENVIRONMENT_LABELS = ("environment", "env", "deployment_environment", "deployment_environment_name", "stage")

_TITLES = ("summary", "title", "message", "description")
_KNOWN = frozenset(["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"])
_COMMON = frozenset(["alerts", "status", "groupLabels", "commonLabels", "commonAnnotations"])
"""Parts of the body that only repeat what its alerts say."""

_PRODUCTION = frozenset(["production", "prod", "prd", "live"])


def alerts_of_body(data: Any, *, app: str | None = None, environment: str | None = None) -> tuple[Alert, ...]:
    """The alerts of a body of Alertmanager's webhook (version 4; Grafana sends the same).

    Args:
        data: the parsed JSON.
        app: application of alerts without a label that says so, as told by the request's address.
        environment: the same for the environment.

    Raises:
        InputError: it is no such body, or a part of an alert is of the wrong type or out of range; nothing is taken then.
    """
    check_depth(data)
    alerts = data.get("alerts") if isinstance(data, dict) else None
    if not isinstance(alerts, list):
        raise InputError(f"the body is {quoted(data)}; Alertmanager's webhook is an object with a list `alerts`")
    if len(alerts) > MOST_ALERTS:
        raise InputError(f"the body has {len(alerts)} alerts; set max_alerts of the receiver to {MOST_ALERTS} or fewer")
    about = {k: v for k, v in data.items() if k not in _COMMON}
    found = []
    for number, alert in enumerate(alerts, 1):
        try:
            found.append(_alert(alert, about, app, environment))
        except InputError as error:
            raise InputError(f"alert {number}: {error}") from error
    return tuple(found)


def _alert(sent: Any, about: Mapping[str, Any], app: str | None, environment: str | None) -> Alert:
    if not isinstance(sent, dict):
        raise InputError(f"it is {quoted(sent)}; an object is allowed")
    state = sent.get("status", "firing")
    if state not in ("firing", "resolved"):
        raise InputError(f"status is {quoted(state)}; firing or resolved is allowed")
    labels, annotations = _texts(sent, "labels"), _texts(sent, "annotations")
    starts_us = _time(sent, "startsAt")
    if starts_us is None:
        raise InputError("startsAt is missing; a time is needed")
    fingerprint, link = sent.get("fingerprint"), sent.get("generatorURL")
    if not isinstance(fingerprint, str) or not fingerprint.strip():
        fingerprint = canonical(labels)  # which is what it is the digest of
    whole = isinstance(link, str) and len(link) <= 4_000 and is_link(link) and is_storable(link)
    rest = {k: v for k, v in sent.items() if k not in _KNOWN} | ({} if whole else {"generatorURL": link or None})
    return Alert(
        id=f"ALR-{hashlib.sha256(canonical([fingerprint, starts_us]).encode()).hexdigest()[:12]}",
        state="resolved" if state == "resolved" else "firing",
        title=_first(annotations, _TITLES) or _first(labels, ("alertname",)) or "an alert without a name",
        app=_first(labels, APP_LABELS) or app,
        environment=_first(labels, ENVIRONMENT_LABELS) or environment,
        severity=_first(labels, ("severity", "priority", "level")) or "",
        starts_us=starts_us,
        ends_us=_time(sent, "endsAt") if state == "resolved" else None,  # of a firing one it is a guess of the sender
        labels=labels,
        annotations=annotations,
        link=link if whole else None,
        attributes=attributes_of(rest, about),
    )


def touches(alert: Alert, incident: Incident) -> bool:
    """Whether an alert belongs into the timeline of an incident.

    It speaks of the same application and environment, or does not say of which, and it was not over hours before the onset.
    Once the incident is closed nothing belongs to it any more.
    """
    if incident.state == "closed":
        return False
    if alert.ends_us is not None and alert.ends_us < incident.onset_low_us - ALERTS_BACK_US:
        return False
    names = {alert.labels[k].casefold() for k in APP_LABELS if k in alert.labels}
    if alert.app is not None and incident.app.casefold() not in names | {alert.app.casefold()}:
        return False
    return alert.environment is None or _same_place(alert.environment.casefold(), incident.environment.casefold())


def alert_text(alert: Alert, state: str) -> str:
    """What the timeline says of an alert when it fired or was resolved."""
    severity = f" ({line_of(alert.severity, 40)})" if alert.severity else ""
    return f"alert {'fired' if state == 'firing' else state}: {line_of(alert.title, 200)}{severity}"


def _same_place(one: str, other: str) -> bool:
    return one == other or {one, other} <= _PRODUCTION


def _texts(sent: Mapping[str, Any], key: str) -> dict[str, str]:
    value = sent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{key} is {quoted(value)}; an object of texts is allowed")
    return attributes_of(value)


def _first(texts: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((line for name in names if (line := line_of(texts.get(name, "")))), None)


def _time(sent: Mapping[str, Any], key: str) -> int | None:
    value = sent.get(key)
    if value in (None, "") or (isinstance(value, str) and value.startswith("0001-01-01")):
        return None  # Go's zero time: it has not ended
    try:
        return parse_time(value)
    except InputError as error:
        raise InputError(f"{key}: {error}") from error
