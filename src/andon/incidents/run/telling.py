"""Tell people over channels: each message once, whatever is restarted."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from andon.errors import AndonError, StateError
from andon.incidents.channels import send
from andon.incidents.messages import message_of
from andon.incidents.notices import STALE_US, Notice, delivery_of, due, heard
from andon.incidents.records import (
    Channel,
    Delivery,
    Incident,
    Message,
    Outcome,
)
from andon.monitors import Signal
from andon.store import Ledger

__all__ = ["notify"]


SEND_S = 10.0
"""How long the loop waits for channels; a slower one goes on in its own thread and writes down how it ended."""


def notify(
    ledger: Ledger,
    channels: Sequence[Channel],
    *,
    now_us: int,
    of: Incident | None = None,
    url: str = "",
    suspects: Callable[[Incident], Sequence[str]] | None = None,
    harmed: Callable[[Incident], bool | None] | None = None,
) -> list[Delivery]:
    """Tell every channel what it should hear now; returns the deliveries that came to an end meanwhile.

    Each message is written into the ledger before it is sent, by the first process that comes; so none is sent twice, whatever
    is restarted. One that was cut off is not repeated, but followed after a while by another that says so. Channels are told
    side by side, each in order; this returns after `SEND_S` at the latest, and never raises because of a channel.

    Args:
        ledger: incidents and earlier deliveries.
        channels: where people are told.
        now_us: the clock.
        of: the only incident that is told of; without one, all of which there is something to tell.
        url: address of this Andon, for links.
        suspects: explanations of an incident as texts, the most likely first.
        harmed: whether harm goes on (`goes_on`); without it only further signals tell.

    Raises:
        StoreError: the ledger refused.
    """
    if not channels:
        return []
    told = _settled(ledger, now_us)
    busy = {d.channel for ours in told.values() for d in ours if d.state == "sending"}
    meant = [i for i in ledger.all(Incident) if of is None or i.id == of.id]
    incidents = sorted(meant, key=lambda i: (i.severity, i.alarmed_us, i.id))
    answers: dict[str, bool | None] = {}

    def asked(incident: Incident) -> bool | None:
        if incident.id not in answers:
            answers[incident.id] = None if harmed is None else harmed(incident)
        return answers[incident.id]

    done, workers = list[Delivery](), []
    until = time.monotonic() + SEND_S
    for channel in channels:
        if channel.name in busy:
            continue  # its last message is still under way: a slow receiver is not given the next one
        posts, follows = [], getattr(channel, "follows", False)
        for incident in incidents:
            ours = told.get((channel.name, incident.id), [])
            notice = due(incident, ours, now_us=now_us, goes_on=partial(asked, incident), follows=follows)
            if notice is not None:
                posts.append(_post(ledger, incident, notice, ours, channel.name, now_us, url, suspects))
        if posts:
            worker = threading.Thread(target=_tell, args=(ledger, channel, posts, now_us, until, done))
            worker.start()
            workers.append(worker)
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
    return sorted(done, key=lambda d: d.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Post:
    """One message that is about to be sent."""

    delivery: Delivery
    before: Delivery | None
    """The latest version in the ledger that the decision was based on."""
    message: Message | None
    """None: nobody is told."""


def _settled(ledger: Ledger, now_us: int) -> dict[tuple[str, str], list[Delivery]]:
    """All deliveries by channel and incident; what was cut off while it was sent is marked as such."""
    found: dict[tuple[str, str], list[Delivery]] = {}
    for delivery in ledger.all(Delivery):
        known = delivery
        if delivery.state == "sending" and now_us - delivery.at_us > STALE_US:
            error = "Andon ended, or no answer came, while it was sent; it may have arrived"
            known = _settle(ledger, delivery, "unknown", error, now_us) or delivery
        found.setdefault((known.channel, known.incident), []).append(known)
    return found


def _settle(ledger: Ledger, delivery: Delivery, state: Outcome, error: str, now_us: int) -> Delivery | None:
    """Write how an attempt ended, unless somebody wrote meanwhile."""
    latest = ledger.latest(Delivery, delivery.id)
    if latest is None or latest.record != delivery:
        return None if latest is None else latest.record
    ended = replace(delivery, state=state, error=error)
    try:
        ledger.put(ended, now_us=now_us, by="andon", expect=latest.version)
    except StateError:
        return None
    return ended


def _post(
    ledger: Ledger,
    incident: Incident,
    notice: Notice,
    told: Sequence[Delivery],
    channel: str,
    now_us: int,
    url: str,
    suspects: Callable[[Incident], Sequence[str]] | None,
) -> _Post:
    delivery = delivery_of(incident, notice, channel, now_us)
    before = next((d for d in told if d.id == delivery.id), None)
    if notice.quiet:
        return _Post(delivery=delivery, before=before, message=None)
    lead = ledger.get(Signal, incident.lead)
    message = message_of(
        incident,
        notice.reason,
        now_us=now_us,
        url=url,
        suspects=() if suspects is None else suspects(incident),
        mix="" if lead is None else lead.mix,
        proposal="" if lead is None else lead.proposal,
        told_us=max((d.at_us for d in heard(told)), default=None),
        sure=notice.sure,
    )
    return _Post(delivery=delivery, before=before, message=message)


def _tell(
    ledger: Ledger, channel: Channel, posts: Sequence[_Post], now_us: int, until: float, done: list[Delivery]
) -> None:
    """Send one channel its messages in order until one fails or the time is up: the others wait for the next turn."""
    for post in posts:
        if time.monotonic() > until:
            return
        try:
            latest = ledger.latest(Delivery, post.delivery.id)
            if (latest.record if latest else None) != post.before:
                continue  # another process is telling it
            ledger.put(post.delivery, now_us=now_us, by="andon", expect=latest.version if latest else 0)
            if post.message is None:
                continue
            state, error = send(channel, post.message)
            ended = _settle(ledger, post.delivery, state, error, now_us)
        except StateError:
            continue
        except AndonError:  # the ledger fails: what is under way stays so, and is settled later; the loop says why
            return
        if ended is not None:
            done.append(ended)
        if state != "sent":
            return
