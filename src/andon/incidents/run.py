"""Open, merge, acknowledge and close incidents; write their timelines; tell people."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from andon.changes.run import changes_of
from andon.errors import AndonError, InputError, StateError
from andon.incidents.alerts import alert_text, touches
from andon.incidents.channels import send
from andon.incidents.messages import message_of
from andon.incidents.notices import STALE_US, Notice, delivery_of, due, heard, still_missing
from andon.incidents.records import (
    Alert,
    AlertsTaken,
    Channel,
    Delivery,
    Incident,
    Message,
    Outcome,
    TimelineEvent,
)
from andon.incidents.triage import join, leaves_lead, merges, open_incident, pages, title_of
from andon.incidents.words import change_text, onset_text, signals_text
from andon.monitors import Signal
from andon.monitors.limits import control_points
from andon.monitors.records import TRAFFIC
from andon.monitors.run import chart_of, scope_of
from andon.store import Ledger, Rollup, Span, Warehouse, Where

__all__ = [
    "MOST_TOLD",
    "ack_incident",
    "add_note",
    "close_incident",
    "find_incident",
    "goes_on",
    "notify",
    "receive_alerts",
    "respond",
    "restate",
    "signals_of",
    "timeline_of",
]

ATTEMPTS = 3
"""How often signals are given again when somebody writes the same incident at the same time."""

LOOK_BACK_US = 7 * 86_400_000_000
"""Changes of the week before the onset stand in the timeline."""

MOST_TOLD = 100
"""Entries of alerts in one timeline; a storm of them would bury the rest."""

SEND_S = 10.0
"""How long the loop waits for channels; a slower one goes on in its own thread and writes down how it ended."""

RECENT_WINDOWS, RECENT_US = 6, 3_600_000_000
"""Whether harm goes on is read from these last windows, and at least from this time."""

WEEK_US = 7 * 86_400_000_000

_STORM = f"more alerts came than the {MOST_TOLD} entries that stand here; the others are kept with the alerts"


def respond(ledger: Ledger, signals: Iterable[Signal]) -> list[Incident]:
    """Give every signal to an incident, in order of time; returns the incidents that were opened or changed.

    Signals that have an incident are passed over, so calling again changes nothing; their order within a call is no matter.
    """
    touched: dict[str, Incident] = {}
    ordered = sorted(signals, key=lambda s: (s.at_us, s.app, s.environment, s.id))
    for _, together in groupby(ordered, key=lambda s: (s.at_us, s.app, s.environment)):
        incident = _give(ledger, list({s.id: s for s in together}.values()))
        if incident is not None:
            touched[incident.id] = incident
    return list(touched.values())


def _give(ledger: Ledger, together: Sequence[Signal]) -> Incident | None:
    """Give signals of one app and moment to one incident; a person who closes it meanwhile is not overruled."""
    for attempt in range(ATTEMPTS):
        known = ledger.all(Incident)
        attached = {i for incident in known for i in incident.signals}
        fresh = [s for s in together if s.id not in attached]
        if not fresh:
            return None
        first = next((s for s in fresh if pages(s)), fresh[0])
        home = next((i for i in reversed(known) if merges(i, first)), None)
        if home is None and not pages(first):
            return None  # a warning opens nothing; `andon signals` lists it
        try:
            return _opened(ledger, len(known) + 1, fresh) if home is None else _joined(ledger, home, fresh)
        except StateError:
            if attempt == ATTEMPTS - 1:
                raise
    return None


def _opened(ledger: Ledger, number: int, signals: Sequence[Signal]) -> Incident:
    incident = open_incident(number, signals)
    now_us = incident.alarmed_us
    lead = next(s for s in signals if s.id == incident.lead)
    ledger.put(incident, now_us=now_us, by="andon", expect=0)
    _event(ledger, incident, incident.onset_us, now_us, "onset", onset_text(lead))
    start = incident.onset_low_us - LOOK_BACK_US
    for change in changes_of(ledger, incident.app, incident.environment, start, now_us + 1):
        _event(ledger, incident, change.at_us, now_us, "change", change_text(change))
    _tell_alerts(ledger, incident, ledger.all(Alert))
    _tell_signals(ledger, incident, signals, strongest=lead)
    return incident


def _joined(ledger: Ledger, home: Incident, signals: Sequence[Signal]) -> Incident:
    now_us = signals[0].at_us
    if leaves_lead(home, signals):
        ids = (*home.signals, *(s.id for s in signals))
        last_us = now_us if any(pages(s) for s in signals) else home.last_signal_us
        incident = replace(home, signals=tuple(sorted(ids)), last_signal_us=last_us)
    else:
        together = [*signals_of(ledger, home), *signals]
        incident = join(home, together)
    _replace(ledger, home, incident, now_us=now_us, by="andon")
    if incident.lead != home.lead:
        lead = next(s for s in together if s.id == incident.lead)
        if lead.onset_us >= incident.onset_low_us:  # a slow chart's earlier guess adds nothing to the dated onset
            _event(ledger, incident, lead.onset_us, now_us, "onset", onset_text(lead))
    _tell_signals(ledger, incident, signals)
    return incident


def _tell_signals(
    ledger: Ledger, incident: Incident, signals: Sequence[Signal], strongest: Signal | None = None
) -> None:
    """Write signals of one moment into the timeline: one entry for those that page, one for the warnings."""
    for level, group in (("", [s for s in signals if pages(s)]), ("warning: ", [s for s in signals if not pages(s)])):
        if group:
            first = max(group, key=lambda s: (s.x - s.n * s.baseline_rate, s.id))
            if strongest is not None and strongest in group:
                first = strongest
            text = level + signals_text(first, len(group))
            _event(ledger, incident, first.at_us, first.at_us, "signal", text)


def _replace(ledger: Ledger, old: Incident, new: Incident, *, now_us: int, by: str) -> None:
    """Write the next version of an incident if `old` is still the latest one.

    Raises:
        StateError: somebody wrote another version meanwhile.
    """
    versions = ledger.history(Incident, old.id)
    if versions and versions[-1].record != old:
        raise StateError(f"{old.id} was changed by {versions[-1].by} meanwhile; read it again")
    ledger.put(new, now_us=now_us, by=by, expect=len(versions))


def restate(ledger: Ledger, incident: Incident, rate: float | None, *, now_us: int) -> Incident:
    """Bring the title up to date with the latest rate of harm."""
    incident = ledger.get(Incident, incident.id) or incident  # somebody may have acknowledged it meanwhile
    lead = ledger.get(Signal, incident.lead)
    if lead is None or rate is None or incident.state == "closed":
        return incident
    told = replace(incident, title=title_of(lead, incident.onset_us, rate))
    if told != incident:
        _replace(ledger, incident, told, now_us=now_us, by="andon")
    return told


def find_incident(ledger: Ledger, incident_id: str) -> Incident:
    """The incident with this id.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    found = ledger.get(Incident, incident_id)
    if found is None:
        known = ", ".join(i.id for i in ledger.all(Incident)) or "none yet"
        raise InputError(f"no incident {incident_id!r}; there are: {known}")
    return found


def signals_of(ledger: Ledger, incident: Incident) -> list[Signal]:
    """The signals of an incident, in order of time."""
    found = [s for i in incident.signals if (s := ledger.get(Signal, i)) is not None]
    return sorted(found, key=lambda s: (s.at_us, s.id))


def timeline_of(ledger: Ledger, incident: Incident) -> list[TimelineEvent]:
    """The timeline by the time things happened."""
    events = [e for e in ledger.all(TimelineEvent) if e.incident == incident.id]
    return sorted(events, key=lambda e: (e.happened_us, e.learned_us, e.id))


def add_note(ledger: Ledger, incident: Incident, text: str, *, happened_us: int, now_us: int, by: str) -> TimelineEvent:
    """Add a person's entry to the timeline."""
    if not text.strip():
        raise InputError("a note needs a text")
    return _event(ledger, incident, happened_us, now_us, "note", text, by=by)


def receive_alerts(ledger: Ledger, alerts: Iterable[Alert], *, now_us: int) -> AlertsTaken:
    """Keep alerts of another system, and tell the open incidents to which they belong; none is opened by them.

    The same again writes nothing. An alert that is over stays so: a late word that it fires comes from a repeated delivery.
    """
    received = list({(a.id, a.state): a for a in alerts}.values())
    fates = [_keep_alert(ledger, alert, now_us) for alert in sorted(received, key=lambda a: a.state)]
    kept = {a.id: latest for a in received if (latest := ledger.get(Alert, a.id)) is not None}
    told = []
    for incident in ledger.all(Incident):  # read after the alerts are written: one that opens now reads them itself
        if _tell_alerts(ledger, incident, kept.values()):
            told.append(incident.id)
    return AlertsTaken(
        fired=fates.count("fired"), resolved=fates.count("resolved"), known=fates.count("known"), incidents=tuple(told)
    )


def _keep_alert(ledger: Ledger, alert: Alert, now_us: int) -> str:
    for attempt in range(ATTEMPTS):
        versions = ledger.history(Alert, alert.id)
        if versions and (alert.state == "firing" or versions[-1].record.state == "resolved"):
            return "known"
        try:
            ledger.put(alert, now_us=now_us, by="alertmanager", expect=len(versions))
        except StateError:  # the same alert came twice at the same moment
            if attempt == ATTEMPTS - 1:
                raise
            continue
        break
    return "resolved" if alert.state == "resolved" else "fired"


def _tell_alerts(ledger: Ledger, incident: Incident, alerts: Iterable[Alert]) -> bool:
    """Write the alerts that belong to an incident into its timeline; whether there were any."""
    ours = sorted((a for a in alerts if touches(a, incident)), key=lambda a: (a.starts_us, a.id))
    if not ours:
        return False
    known = {(e.happened_us, e.text) for e in timeline_of(ledger, incident) if e.kind == "alert"}
    for happened_us, learned_us, text in [entry for alert in ours for entry in _alert_entries(ledger, alert)]:
        entry = (happened_us, text)
        if entry not in known and len(known) >= MOST_TOLD:
            entry = (incident.alarmed_us, _STORM)
        if entry not in known:
            _event(ledger, incident, entry[0], max(learned_us, incident.alarmed_us), "alert", entry[1])
            known.add(entry)
    return True


def _alert_entries(ledger: Ledger, alert: Alert) -> list[tuple[int, int, str]]:
    """What a timeline says of an alert: when it happened, when we learned it, in which words."""
    versions = ledger.history(Alert, alert.id)
    first, last = versions[0], versions[-1]
    entries = [(first.record.starts_us, first.at_us, alert_text(first.record, "firing"))]
    if last.record.state == "resolved":
        ended_us = last.at_us if last.record.ends_us is None else last.record.ends_us
        entries.append((ended_us, last.at_us, alert_text(first.record, "resolved")))
    return entries


def close_incident(ledger: Ledger, incident: Incident, why: str, *, now_us: int, by: str) -> Incident:
    """Close an incident, with the reason.

    Raises:
        StateError: it is closed already.
        InputError: no reason was given.
    """
    incident = ledger.get(Incident, incident.id) or incident
    if incident.state == "closed":
        raise StateError(f"{incident.id} is closed already ({incident.closed_why}); a new signal opens a new incident")
    if not why.strip():
        raise InputError(f"say why {incident.id} may be closed: what was measured that shows it is over?")
    closed = replace(incident, state="closed", closed_us=now_us, closed_why=why)
    _replace(ledger, incident, closed, now_us=now_us, by=by)
    _event(ledger, closed, now_us, now_us, "state", f"closed: {why}", by=by)
    return closed


def ack_incident(ledger: Ledger, incident: Incident, *, now_us: int, by: str) -> Incident:
    """Say that somebody is at it: nobody is reminded any more. Who said so first stays.

    Raises:
        StateError: it is closed.
    """
    for attempt in range(ATTEMPTS):
        incident = ledger.get(Incident, incident.id) or incident
        if incident.state == "closed":
            raise StateError(f"{incident.id} is closed already ({incident.closed_why}); nobody has to be at it")
        if incident.acked_us is not None:
            return incident
        acked = replace(incident, acked_us=now_us, acked_by=by)
        try:
            _replace(ledger, incident, acked, now_us=now_us, by=by)
        except StateError:  # the loop wrote it at the same moment
            if attempt == ATTEMPTS - 1:
                raise
            continue
        break
    _event(ledger, acked, now_us, now_us, "state", "acknowledged", by=by)
    return acked


def goes_on(warehouse: Warehouse, ledger: Ledger, incident: Incident, *, now_us: int) -> bool | None:
    """Whether harm is seen now: the leading chart's rate over the last hour (six windows at least) is above its limits.

    Charts speak once per event, so the absence of a further signal says nothing about this. Traffic that fell is held against
    the same hours of the last week before the fall. None where it cannot be told: no traffic, or so little that even the
    signal's own rate would be within the limits.
    """
    lead = ledger.get(Signal, incident.lead)
    if lead is None:
        return None
    width = lead.window_us
    end = now_us // width * width
    start = end - max(RECENT_WINDOWS, -(-RECENT_US // width)) * width
    try:
        if lead.metric == TRAFFIC:
            weeks = max(1, -(-(end - lead.onset_low_us) // WEEK_US))
            came, usual = (_came(warehouse, lead, start - back, end - back) for back in (0, weeks * WEEK_US))
            return still_missing(came, usual, lead.rate)
        seen = chart_of(warehouse, lead, start_us=start, end_us=end, points=(end - start) // width)
    except AndonError:
        return None
    n, x = sum(p.n for p in seen), sum(p.x for p in seen)
    if n == 0:
        return None
    hours = (end - start) // max(RECENT_US, width)  # dispersion is that of hours
    (now,) = control_points([(start, end, n, x)], lead.baseline_x, lead.baseline_n, lead.dispersion, hours, lead.clock)
    if x > now.high * n:
        return True
    return False if lead.rate > now.high else None


def _came(warehouse: Warehouse, signal: Signal, start_us: int, end_us: int) -> int:
    """Interactions in the part of the traffic that a signal is about; the chart's own rate of them knows no hour of the day."""
    answered = Where(column="error", op="not_null")  # rows of feedback are no traffic
    span = Span(start_us=start_us, end_us=end_us)
    table = warehouse.run(Rollup(table="scores", span=span, where=(*scope_of(signal), answered)))
    return sum(table["rows"].to_pylist())


def notify(
    ledger: Ledger,
    channels: Sequence[Channel],
    *,
    now_us: int,
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
    incidents = sorted(ledger.all(Incident), key=lambda i: (i.severity, i.alarmed_us, i.id))
    answers: dict[str, bool | None] = {}

    def asked(incident: Incident) -> bool | None:
        if incident.id not in answers:
            answers[incident.id] = None if harmed is None else harmed(incident)
        return answers[incident.id]

    done: list[Delivery] = []
    workers = []
    until = time.monotonic() + SEND_S
    for channel in channels:
        if channel.name in busy:
            continue  # its last message is still under way: a slow receiver is not given the next one
        posts = []
        for incident in incidents:
            ours = told.get((channel.name, incident.id), [])
            notice = due(incident, ours, now_us=now_us, goes_on=partial(asked, incident))
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
    versions = ledger.history(Delivery, delivery.id)
    if versions[-1].record != delivery:
        return versions[-1].record
    ended = replace(delivery, state=state, error=error)
    try:
        ledger.put(ended, now_us=now_us, by="andon", expect=len(versions))
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
            versions = ledger.history(Delivery, post.delivery.id)
            if (versions[-1].record if versions else None) != post.before:
                continue  # another process is telling it
            ledger.put(post.delivery, now_us=now_us, by="andon", expect=len(versions))
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


def _event(
    ledger: Ledger, incident: Incident, happened_us: int, learned_us: int, kind: str, text: str, by: str = "andon"
) -> TimelineEvent:
    digest = hashlib.sha256(f"{incident.id}/{happened_us}/{kind}/{text}".encode()).hexdigest()[:12]
    event = TimelineEvent(
        id=f"{incident.id}-{digest}",
        incident=incident.id,
        happened_us=happened_us,
        learned_us=learned_us,
        kind=kind,
        text=text,
        by=by,
    )
    ledger.put(event, now_us=learned_us, by=by)
    return event
