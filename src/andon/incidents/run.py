"""Open, merge and close incidents; write their timelines."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from andon.changes import Change
from andon.changes.run import changes_of
from andon.errors import InputError, StateError
from andon.incidents.records import Incident, TimelineEvent
from andon.incidents.triage import join, merges, open_incident
from andon.incidents.words import phrase_of, scope_text
from andon.monitors import Signal
from andon.store import Ledger

__all__ = ["add_note", "close_incident", "find_incident", "respond", "signals_of", "timeline_of"]

LOOK_BACK_US = 7 * 86_400_000_000
"""Changes of the week before the onset stand in the timeline."""


def respond(ledger: Ledger, signals: Iterable[Signal]) -> list[Incident]:
    """Give every signal to an incident, in order of time; returns the incidents that were opened or changed."""
    touched: dict[str, Incident] = {}
    for signal in sorted(signals, key=lambda s: (s.at_us, s.id)):
        known = ledger.all(Incident)
        if any(signal.id in i.signals for i in known):
            continue
        home = next((i for i in reversed(known) if merges(i, signal)), None)
        if home is None:
            incident = open_incident(len(known) + 1, signal)
            ledger.put(incident, now_us=signal.at_us, by="andon", expect=0)
            _event(ledger, incident, signal.onset_us, signal.at_us, "onset", _onset_text(signal))
            _add_changes(ledger, incident, signal.at_us)
        else:
            incident = join(home, [*signals_of(ledger, home), signal])
            ledger.put(incident, now_us=signal.at_us, by="andon")
        _event(ledger, incident, signal.at_us, signal.at_us, "signal", _signal_text(signal))
        touched[incident.id] = incident
    return list(touched.values())


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


def close_incident(ledger: Ledger, incident: Incident, why: str, *, now_us: int, by: str) -> Incident:
    """Close an incident, with the reason.

    Raises:
        StateError: it is closed already.
        InputError: no reason was given.
    """
    if incident.state == "closed":
        raise StateError(f"{incident.id} is closed already ({incident.closed_why}); a new signal opens a new incident")
    if not why.strip():
        raise InputError(f"say why {incident.id} may be closed: what was measured that shows it is over?")
    closed = replace(incident, state="closed", closed_us=now_us, closed_why=why)
    ledger.put(closed, now_us=now_us, by=by)
    _event(ledger, closed, now_us, now_us, "state", f"closed: {why}", by=by)
    return closed


def _add_changes(ledger: Ledger, incident: Incident, now_us: int) -> None:
    start = incident.onset_low_us - LOOK_BACK_US
    for change in changes_of(ledger, incident.app, incident.environment, start, now_us + 1):
        _event(ledger, incident, change.at_us, now_us, "change", _change_text(change))


def _change_text(change: Change) -> str:
    who = change.author if change.own else "not us"
    return f"{change.kind}: {change.title} ({who})"


def _onset_text(signal: Signal) -> str:
    return f"estimated onset of more {phrase_of(signal.metric, signal.direction)} in {scope_text(signal.scope)}"


def _signal_text(signal: Signal) -> str:
    return (
        f"{phrase_of(signal.metric, signal.direction)} in {scope_text(signal.scope)}: {signal.x} of {signal.n} "
        f"({signal.rate:.1%}) against {signal.baseline_x} of {signal.baseline_n} ({signal.baseline_rate:.1%})"
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
