"""Open, merge and close incidents; write their timelines."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from andon.changes import Change
from andon.changes.run import changes_of
from andon.errors import InputError, StateError
from andon.incidents.alerts import alert_text, touches
from andon.incidents.records import Alert, AlertsTaken, Incident, TimelineEvent
from andon.incidents.triage import join, leaves_lead, merges, open_incident, title_of
from andon.incidents.words import phrase_of, scope_text
from andon.monitors import Signal
from andon.store import Ledger

__all__ = [
    "MOST_TOLD",
    "add_note",
    "close_incident",
    "find_incident",
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
        home = next((i for i in reversed(known) if merges(i, fresh[0])), None)
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
    _event(ledger, incident, incident.onset_us, now_us, "onset", _onset_text(lead))
    start = incident.onset_low_us - LOOK_BACK_US
    for change in changes_of(ledger, incident.app, incident.environment, start, now_us + 1):
        _event(ledger, incident, change.at_us, now_us, "change", _change_text(change))
    _tell_alerts(ledger, incident, ledger.all(Alert))
    _event(ledger, incident, now_us, now_us, "signal", _signals_text(lead, len(signals)))
    return incident


def _joined(ledger: Ledger, home: Incident, signals: Sequence[Signal]) -> Incident:
    now_us = signals[0].at_us
    if leaves_lead(home, signals):
        ids = (*home.signals, *(s.id for s in signals))
        incident = replace(home, signals=tuple(sorted(ids)), last_signal_us=now_us)
    else:
        together = [*signals_of(ledger, home), *signals]
        incident = join(home, together)
    _replace(ledger, home, incident, now_us=now_us, by="andon")
    strongest = max(signals, key=lambda s: (s.x - s.n * s.baseline_rate, s.id))
    if incident.lead != home.lead:
        lead = next(s for s in together if s.id == incident.lead)
        if lead.onset_us >= incident.onset_low_us:  # a slow chart's earlier guess adds nothing to the dated onset
            _event(ledger, incident, lead.onset_us, now_us, "onset", _onset_text(lead))
    _event(ledger, incident, now_us, now_us, "signal", _signals_text(strongest, len(signals)))
    return incident


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
    lead = ledger.get(Signal, incident.lead)
    if lead is None or rate is None:
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


def _change_text(change: Change) -> str:
    who = change.author if change.own else "not us"
    return f"{change.kind}: {change.title} ({who})"


def _onset_text(signal: Signal) -> str:
    return f"estimated onset of more {phrase_of(signal.metric, signal.direction)} in {scope_text(signal.scope)}"


def _signals_text(strongest: Signal, n: int) -> str:
    more = f"; {n - 1} more charts left their limits in the same window" if n > 1 else ""
    return (
        f"{phrase_of(strongest.metric, strongest.direction)} in {scope_text(strongest.scope)}: {strongest.x} of "
        f"{strongest.n} ({strongest.rate:.1%}) against {strongest.baseline_x} of {strongest.baseline_n} "
        f"({strongest.baseline_rate:.1%}){more}"
    )


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
