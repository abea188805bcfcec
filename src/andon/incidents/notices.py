"""Pure decisions about alarms: what a channel should be told of an incident now, if anything.

One page for one incident, however many charts speak. After that a channel hears of it again only when it has become more
urgent, when nobody has acknowledged it and harm goes on, and when it is closed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

from andon.incidents.records import Delivery, Incident, Reason, Severity
from andon.incidents.triage import worse

__all__ = [
    "AGAIN_US",
    "LATE_US",
    "MOST_ATTEMPTS",
    "OLD_US",
    "REMIND_US",
    "RETRY_US",
    "STALE_US",
    "UNSURE_US",
    "Notice",
    "delivery_of",
    "due",
    "heard",
    "still_missing",
]

_MINUTE_US = 60_000_000
_HOUR_US = 60 * _MINUTE_US

REMIND_US: Mapping[Severity, int] = {"P1": _HOUR_US, "P2": 24 * _HOUR_US}
"""A page that nobody acknowledged may have been slept through: users are being hurt, so P1 is told again within the hour.
P2 waits for the same hour of the next day, which is somebody's working day. P3 is never told again: it is a task, not an
alarm, and a reminder that can be ignored teaches people to ignore the next one."""

LATE_US = 6 * _HOUR_US
"""A last signal that is older than this was learned late (an outage, late data): it is no news of the present."""

OLD_US = 8 * 24 * _HOUR_US
"""Nobody is told of what ended before this: a lasting event signals again each week, so it is history (a backfill)."""

UNSURE_US = 15 * _MINUTE_US
"""After this a message that may not have arrived is followed by another one that says so, unless it was acknowledged."""

STALE_US = 5 * _MINUTE_US
"""A message that has been under way for longer was cut off by a crash: nobody knows whether it arrived."""

RETRY_US = (_MINUTE_US // 2, 2 * _MINUTE_US, 10 * _MINUTE_US, 30 * _MINUTE_US, _HOUR_US)
"""Waits after the first, second, ... failure; the last one holds for all further ones."""

MOST_ATTEMPTS = 24
"""After these, about 20 hours, it is tried once a day for as long as the incident is not closed: a channel is repaired."""

AGAIN_US = 24 * _HOUR_US
"""The wait after each further failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that a channel should be told now."""

    reason: Reason
    key: str
    """Names this message among all about the incident: the same key is never told twice."""
    attempt: int = 1
    quiet: bool = False
    """A reminder is due, but harm is over: nobody is told, and the wait begins anew."""
    sure: bool = True
    """False: whether harm goes on cannot be told, and the message says so."""

    def id_of(self, incident: str, channel: str) -> str:
        """The id of its delivery."""
        return f"{incident}/{self.key}/{channel}"


def heard(told: Sequence[Delivery]) -> list[Delivery]:
    """The messages that arrived, or may have, by time."""
    return sorted((d for d in told if d.state in ("sent", "unknown")), key=lambda d: d.at_us)


def due(
    incident: Incident,
    told: Sequence[Delivery],
    *,
    now_us: int,
    goes_on: Callable[[], bool | None],
    follows: bool = False,
) -> Notice | None:
    """What a channel should be told of an incident now; None for nothing.

    Args:
        incident: its latest version.
        told: the latest version of every delivery of this incident to this channel.
        now_us: the clock.
        goes_on: whether harm is seen now (None: cannot tell); asked only where the answer matters, because it reads traffic.
        follows: whether the receiver keeps a state of its own, and is told that somebody is at it.
    """
    failed = [d for d in told if d.state == "failed"]
    if any(d.state == "sending" for d in told) or any(now_us < d.at_us + _wait_us(d.attempt) for d in failed):
        return None
    found = _reason(incident, told, now_us, goes_on, follows)
    before = next((d for d in failed if found is not None and d.id == found.id_of(incident.id, d.channel)), None)
    if found is None or before is None:
        return found
    if before.attempt >= MOST_ATTEMPTS and (incident.state == "closed" or now_us < before.at_us + AGAIN_US):
        return None
    return replace(found, attempt=before.attempt + 1)


def still_missing(came: float, usual: float, share: float, unit: float = 1.0) -> bool | None:
    """Whether traffic of which this share did not come is still missing: not even half of the fall is made up.

    Args:
        came: interactions that came now.
        usual: interactions that came in as long a time before the fall, at the same hour of the week.
        share: the part of the usual traffic that was missing when the chart signalled, above 0 and at most 1.
        unit: interactions that one row stands for, where traffic is sampled: fewer rows tell less.

    Returns:
        None where half of the fall is within three standard deviations of a Poisson count of rows: too little to tell, or
        nothing.
    """
    half = usual * share / 2
    return None if half <= 3 * sqrt(usual * unit) else came < usual - half


def delivery_of(incident: Incident, notice: Notice, channel: str, now_us: int) -> Delivery:
    """The record of a notice that is about to be sent to a channel."""
    return Delivery(
        id=notice.id_of(incident.id, channel),
        incident=incident.id,
        reason=notice.reason,
        channel=channel,
        severity=incident.severity,
        signal_us=incident.last_signal_us,
        at_us=now_us,
        attempt=notice.attempt,
        state="quiet" if notice.quiet else "sending",
    )


def _wait_us(attempt: int) -> int:
    return RETRY_US[min(attempt, len(RETRY_US)) - 1]


def _reason(
    incident: Incident, told: Sequence[Delivery], now_us: int, goes_on: Callable[[], bool | None], follows: bool
) -> Notice | None:
    """The notice that is due if everything before it arrived or was given up."""
    arrived = heard(told)
    if incident.state == "closed":
        recent = incident.closed_us is not None and now_us - incident.closed_us <= OLD_US
        ended = any(d.reason == "closed" for d in arrived)
        return Notice(reason="closed", key="closed") if arrived and recent and not ended else None
    paged = [d for d in arrived if d.reason != "late"]
    if not paged:
        return _first(incident, arrived, now_us, goes_on)
    if all(worse(incident.severity, d.severity) for d in paged):
        return Notice(reason="worse", key=f"worse-{incident.severity}")
    if follows and incident.acked_us is not None and not any(d.reason == "acked" for d in arrived):
        return Notice(reason="acked", key="acked")
    if incident.acked_us is not None or incident.state != "open":
        return None
    return _reminder(incident, told, paged, now_us, goes_on)


def _first(
    incident: Incident, arrived: Sequence[Delivery], now_us: int, goes_on: Callable[[], bool | None]
) -> Notice | None:
    age_us = now_us - incident.last_signal_us
    if age_us <= LATE_US:
        return Notice(reason="opened", key="opened")
    if age_us > OLD_US or arrived:
        return None
    seen = goes_on()
    if seen is False:
        return Notice(reason="late", key="late")
    return Notice(reason="opened", key="opened", sure=seen is True)


def _reminder(
    incident: Incident,
    told: Sequence[Delivery],
    paged: Sequence[Delivery],
    now_us: int,
    goes_on: Callable[[], bool | None],
) -> Notice | None:
    last = paged[-1]
    if last.state == "unknown" and last.reason != "unsure":
        return Notice(reason="unsure", key=f"unsure-{len(paged)}") if now_us >= last.at_us + UNSURE_US else None
    wait_us = REMIND_US.get(incident.severity)
    asked_us = max([last.at_us, *(d.at_us for d in told if d.state == "quiet")])
    if wait_us is None or now_us < asked_us + wait_us or now_us - incident.last_signal_us > OLD_US:
        return None
    key = f"still-{1 + sum(d.reason == 'still' for d in paged)}"
    signalled = incident.last_signal_us > last.signal_us and incident.last_signal_us > now_us - wait_us
    seen = True if signalled else goes_on()
    if seen is False:
        return Notice(reason="still", key="quiet", quiet=True)
    return Notice(reason="still", key=key, sure=seen is True)
