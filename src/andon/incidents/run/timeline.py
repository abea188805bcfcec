"""Read incidents, their signals and timelines; write entries that are never changed."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from andon.errors import InputError, StateError
from andon.incidents.records import (
    Delivery,
    Incident,
    TimelineEvent,
    TimelineMark,
)
from andon.incidents.timeline import shown
from andon.monitors import Signal
from andon.store import Ledger, Where
from andon.traffic import format_time, quoted

__all__ = [
    "ATTEMPTS",
    "Attached",
    "TimelineCursor",
    "add_note",
    "change_incident",
    "entry_id",
    "event",
    "find_entry",
    "find_incident",
    "first_told",
    "mark_entry",
    "marks_of",
    "of_app",
    "put_next",
    "signals_of",
    "state_entry",
    "timeline_of",
]


ATTEMPTS = 3
"""How often signals are given again when somebody writes the same incident at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A signal that came late belongs to an incident; it is told here, not in the incident."""

    id: str
    """The id of the signal."""
    incident: str
    group: tuple[str, ...] = ()
    """In the first one written of signals that came together: the ids of all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineCursor:
    """What a timeline has taken in, so that a turn in which nothing is new costs next to nothing."""

    id: str
    """The id of the incident."""
    signals: str = ""
    """Digest of what the incident held of its signals when all entries about them stood there; empty where an Andon wrote this
    that did not keep it."""
    changes: str = ""
    """Digest of the changes that stand in it."""
    hour: int = 0
    """Number of the hour since 1970 up to which thumbs-down were counted."""
    told: bool = False
    """Whether a channel has taken a message, in time or not."""


def put_next(ledger: Ledger, old: Incident, new: Incident, *, now_us: int, by: str) -> None:
    """Write the next version of an incident if `old` is still the latest one.

    Raises:
        StateError: somebody wrote another version meanwhile.
    """
    latest = ledger.latest(Incident, old.id)
    if latest is not None and latest.record != old:
        raise StateError(f"{old.id} was changed by {latest.by} meanwhile; read it again")
    ledger.put(new, now_us=now_us, by=by, expect=0 if latest is None else latest.version)


def change_incident(
    ledger: Ledger, incident: Incident, change: Callable[[Incident], Incident], *, now_us: int, by: str
) -> tuple[Incident, bool]:
    """Write a change of the latest version, and say whether there was one.

    Where somebody writes at the same moment, the change is decided anew on what they wrote.

    Raises:
        StateError: somebody wrote in between at each attempt.
    """
    for attempt in range(ATTEMPTS):
        latest = ledger.get(Incident, incident.id) or incident
        told = change(latest)
        if told == latest:
            return latest, False
        try:
            put_next(ledger, latest, told, now_us=now_us, by=by)
        except StateError:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        return told, True
    raise AssertionError("the last attempt returns or raises")


NAMED = 10
"""Incidents that are named where an unknown one was asked for."""


def find_incident(ledger: Ledger, incident_id: str) -> Incident:
    """The incident with this id.

    Raises:
        InputError: there is none; the message lists the newest of those there are.
    """
    found = ledger.get(Incident, incident_id)
    if found is None:
        names = [name for _, name in ledger.ids(Incident)]
        more = f" and {len(names) - NAMED} older" if len(names) > NAMED else ""
        raise InputError(
            f"no incident {incident_id!r}; there are: {', '.join(names[: -NAMED - 1 : -1]) or 'none yet'}{more}"
        )
    return found


def of_app(incident: Incident) -> tuple[Where, ...]:
    """The conditions that a row is of the application and environment of an incident."""
    return tuple(Where(column=c, op="eq", value=getattr(incident, c)) for c in ("app", "environment"))


def signals_of(ledger: Ledger, incident: Incident) -> list[Signal]:
    """The signals of an incident, in order of time: those that stand in it, and late ones that are `Attached`."""
    late = (a.id for a in ledger.all(Attached) if a.incident == incident.id)
    found = [s for i in {*incident.signals, *late} if (s := ledger.get(Signal, i)) is not None]
    return sorted(found, key=lambda s: (s.at_us, s.id))


def timeline_of(ledger: Ledger, incident: Incident, *, hidden: bool = False) -> list[TimelineEvent]:
    """The timeline by the time things happened; entries that somebody hid only where `hidden` asks for them."""
    events = [e for e in ledger.all(TimelineEvent) if e.incident == incident.id]
    return shown(events, {} if hidden else marks_of(ledger, incident), hidden=hidden)


def marks_of(ledger: Ledger, incident: Incident) -> dict[str, TimelineMark]:
    """The marks that people set in a timeline, by the id of the entry."""
    return {m.id: m for m in ledger.all(TimelineMark) if m.incident == incident.id}


def find_entry(ledger: Ledger, incident: Incident, name: str) -> TimelineEvent:
    """The entry with this id, or whose id alone ends in a part that begins so: ``INC-0001-4f1c...`` is found by ``4f1``.

    Raises:
        InputError: there is none, or more than one.
    """
    events = timeline_of(ledger, incident, hidden=True)
    found = [e for e in events if name and (e.id == name or e.id.rpartition("-")[2].startswith(name.casefold()))]
    if len(found) == 1:
        return found[0]
    wrong = f"{len(found)} entries of {incident.id} begin" if found else f"no entry of {incident.id} begins"
    raise InputError(
        f"{wrong} with {quoted(name)}; the whole timeline shows their ids",
        commands=f"`andon incident timeline {incident.id} --all`",
    )


def mark_entry(
    ledger: Ledger, incident: Incident, entry: TimelineEvent, mark: str, *, why: str, now_us: int, by: str
) -> TimelineMark:
    """Pin or hide an entry, or take the mark away (``shown``); the entry itself is never changed.

    Raises:
        InputError: the mark is not one of the three, or no reason was given.
    """
    if mark not in ("pinned", "hidden", "shown"):
        raise InputError(f"mark={quoted(mark)} is not a mark; pinned, hidden or shown is")
    if not why.strip():
        raise InputError(f"say why {entry.id} is to be {mark}: whoever reads the timeline later should know")
    made = TimelineMark(id=entry.id, incident=incident.id, mark=mark, why=why.strip(), by=by)  # type: ignore[arg-type]
    ledger.put(made, now_us=now_us, by=by)
    return made


def add_note(ledger: Ledger, incident: Incident, text: str, *, happened_us: int, now_us: int, by: str) -> TimelineEvent:
    """Add a person's entry to the timeline.

    Raises:
        InputError: there is no text, or it lies in the future.
    """
    if not text.strip():
        raise InputError("a note needs a text")
    if happened_us > now_us:
        raise InputError(
            f"a note tells what has happened; {format_time(happened_us)} lies in the future (it is {format_time(now_us)})"
        )
    return event(ledger, incident, happened_us, now_us, "note", text, by=by)


def event(
    ledger: Ledger, incident: Incident, happened_us: int, learned_us: int, kind: str, text: str, by: str = "andon"
) -> TimelineEvent:
    """Write an entry of the timeline; the same entry again writes nothing, and what stands there is never changed."""
    event = TimelineEvent(
        id=entry_id(incident, happened_us, kind, text),
        incident=incident.id,
        happened_us=happened_us,
        learned_us=learned_us,
        kind=kind,
        text=text,
        by=by,
    )
    known = ledger.get(TimelineEvent, event.id)  # erased texts stay erased
    if known is not None:
        return known
    ledger.put(event, now_us=learned_us, by=by)
    return event


def entry_id(incident: Incident, happened_us: int, kind: str, text: str) -> str:
    """The id of an entry: what happened when in which incident, in which words."""
    digest = hashlib.sha256(f"{incident.id}/{happened_us}/{kind}/{text}".encode()).hexdigest()[:12]
    return f"{incident.id}-{digest}"


def state_entry(ledger: Ledger, incident: Incident, happened_us: int, begins: str) -> TimelineEvent | None:
    """The entry of what was said or measured of an incident's state as of then, by how it begins; None where there is none."""
    entries = ledger.all(TimelineEvent, f"{incident.id}-")
    return next(
        (e for e in entries if (e.kind, e.happened_us) == ("state", happened_us) and e.text.startswith(begins)), None
    )


def first_told(ledger: Ledger, incident: Incident) -> Delivery | None:
    """The first message about an incident that a channel took; None where none did yet."""
    taken = (d for d in ledger.all(Delivery) if d.incident == incident.id and d.state == "sent")
    return min(taken, key=lambda d: (d.at_us, d.id), default=None)
