"""Read incidents, their signals and timelines; write entries that are never changed."""

import hashlib

from andon.errors import InputError, StateError
from andon.incidents.records import (
    Incident,
    TimelineEvent,
)
from andon.monitors import Signal
from andon.store import Ledger

__all__ = ["ATTEMPTS", "add_note", "event", "find_incident", "put_next", "signals_of", "timeline_of"]


ATTEMPTS = 3
"""How often signals are given again when somebody writes the same incident at the same time."""


def put_next(ledger: Ledger, old: Incident, new: Incident, *, now_us: int, by: str) -> None:
    """Write the next version of an incident if `old` is still the latest one.

    Raises:
        StateError: somebody wrote another version meanwhile.
    """
    versions = ledger.history(Incident, old.id)
    if versions and versions[-1].record != old:
        raise StateError(f"{old.id} was changed by {versions[-1].by} meanwhile; read it again")
    ledger.put(new, now_us=now_us, by=by, expect=len(versions))


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
    return event(ledger, incident, happened_us, now_us, "note", text, by=by)


def event(
    ledger: Ledger, incident: Incident, happened_us: int, learned_us: int, kind: str, text: str, by: str = "andon"
) -> TimelineEvent:
    """Write an entry of the timeline; the same entry again writes nothing."""
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
