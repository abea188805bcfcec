"""Let timelines grow: by what became known, and by what a turn that broke off did not write any more."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from andon.changes import Change
from andon.changes.run import changes_of
from andon.incidents.records import Alert, Incident, TimelineEvent
from andon.incidents.run.alerts import tell_alerts
from andon.incidents.run.timeline import (
    TimelineCursor,
    entry_id,
    event,
    first_told,
    of_app,
    timeline_of,
)
from andon.incidents.timeline import BEFORE_HOURS, CHANGES_BACK_US, change_entry, spike_text, spikes, told_text
from andon.incidents.triage import pages
from andon.incidents.words import onset_text, signals_text
from andon.monitors import Signal
from andon.scores.rows import PROBE
from andon.store import Ledger, Rollup, Span, Warehouse, Where

__all__ = ["caught_up", "grow_timeline", "tell_given", "tell_signals"]

HOUR_US = 3_600_000_000

SETTLED_US = 300_000_000
"""An hour of thumbs-down is judged so long after its end: an entry is never changed, and feedback arrives late."""


def tell_given(
    ledger: Ledger, old: Incident | None, new: Incident, *, now_us: int, signals: Iterable[Signal] = ()
) -> None:
    """Write what a timeline says of the step from one version of an incident to the next in which signals were given to it.

    It is a function of the two versions and of records that do not change, so writing it again adds nothing, and whoever finds
    both versions in the ledger can do it. A step in which no signals were given has no entries.

    Args:
        ledger: signals, changes and alerts; and the timeline.
        old: the version before; None where these signals opened the incident.
        new: the version with them.
        now_us: when it was written.
        signals: those that the caller has at hand; the others are read.
    """
    if old is None and new.origin != "signal":
        return  # what a person said is told with the report
    known = {s.id: s for s in signals}

    def read(name: str) -> Signal | None:
        return known.get(name) or ledger.get(Signal, name)

    lead = read(new.lead)
    if old is None:
        _tell_opening(ledger, new, lead, now_us)
    else:
        if old.recovered_us is not None and new.recovered_us is None and new.last_signal_us > old.last_signal_us:
            event(ledger, new, now_us, now_us, "state", "not recovered after all: harm signals again")
        # a slow chart's earlier guess adds nothing to the dated onset
        if lead is not None and new.lead != old.lead and lead.onset_us >= new.onset_low_us:
            event(ledger, new, lead.onset_us, now_us, "onset", onset_text(lead))
    fresh = sorted(set(new.signals).difference(old.signals if old is not None else ()))
    tell_signals(ledger, new, [s for i in fresh if (s := read(i))], strongest=lead if old is None else None)
    _say_told(ledger, new)


def _tell_opening(ledger: Ledger, incident: Incident, lead: Signal | None, now_us: int) -> None:
    """What was known when signals opened an incident: the onset, the changes and alerts before it."""
    if lead is not None:
        event(ledger, incident, incident.onset_us, now_us, "onset", onset_text(lead))
    start = incident.onset_low_us - CHANGES_BACK_US
    for change in changes_of(ledger, incident.app, incident.environment, start, now_us + 1):
        event(ledger, incident, change.at_us, now_us, *change_entry(change))
    tell_alerts(ledger, incident, ledger.all(Alert))


def tell_signals(
    ledger: Ledger, incident: Incident, signals: Iterable[Signal], strongest: Signal | None = None
) -> None:
    """Write signals of one moment into the timeline: one entry for those that page, one for the warnings."""
    signals = list(signals)
    for level, group in (("", [s for s in signals if pages(s)]), ("warning: ", [s for s in signals if not pages(s)])):
        if group:
            first = max(group, key=lambda s: (s.x - s.n * s.baseline_rate, s.id))
            if strongest is not None and strongest in group:
                first = strongest
            text = level + signals_text(first, len(group))
            event(ledger, incident, first.at_us, first.at_us, "signal", text)


def caught_up(ledger: Ledger, incident: Incident) -> None:
    """Write the entries that a turn which broke off owes the timeline: it wrote the incident, and not all that is told of it.

    They are read off the versions of the incident since the one of which all was told. Where nothing is owed this reads one
    small record.
    """
    cursor = ledger.get(TimelineCursor, incident.id)
    if cursor is not None and cursor.signals == _held(incident):
        return
    versions = ledger.history(Incident, incident.id)
    if cursor is None:
        start = 0
    else:  # None is found where another Andon kept none, or ids were erased: what was told in which words is not known
        start = max((k for k, v in enumerate(versions, 1) if _held(v.record) == cursor.signals), default=len(versions))
    for k, version in enumerate(versions[start:], start):
        tell_given(ledger, versions[k - 1].record if k else None, version.record, now_us=version.at_us)
    if versions:
        _say_told(ledger, versions[-1].record)


def _say_told(ledger: Ledger, incident: Incident) -> None:
    """Keep that all was told of the signals that an incident holds."""
    cursor = ledger.get(TimelineCursor, incident.id) or TimelineCursor(id=incident.id)
    if cursor.signals != (held := _held(incident)):
        ledger.put(replace(cursor, signals=held), now_us=incident.last_signal_us, by="andon")


def _held(incident: Incident) -> str:
    """Digest of what an incident holds of its signals; it changes whenever there is something to tell of them."""
    told = "\n".join((incident.lead, str(incident.last_signal_us), *incident.signals))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def grow_timeline(warehouse: Warehouse, ledger: Ledger, incident: Incident, *, now_us: int) -> list[TimelineEvent]:
    """Add what became known since the last call: changes, pulls, spikes of thumbs-down, a first message that came late; returns those.

    Signals, alerts, states, reports and notes are written where they come about, and where that broke off, those of signals are
    made up for first. How often this is called makes no difference to the entries: a change is learned when it was recorded, a spike at the end of its first hour. A closed incident grows no more.

    Raises:
        StoreError: the store refused.
    """
    if incident.state == "closed":
        return []
    caught_up(ledger, incident)
    known = ledger.get(TimelineCursor, incident.id) or TimelineCursor(id=incident.id)
    told, cursor = _tell_changes(ledger, incident, known, now_us)
    settled_us = now_us - SETTLED_US
    if settled_us // HOUR_US > cursor.hour:
        told += _tell_spikes(warehouse, ledger, incident, settled_us)
        cursor = replace(cursor, hour=settled_us // HOUR_US)
    if not cursor.told and (first := first_told(ledger, incident)) is not None:
        cursor = replace(cursor, told=True)
        if text := told_text(first, incident):
            told.append(event(ledger, incident, first.at_us, first.at_us, "told", f"first told {text}"))
    if cursor != known:
        ledger.put(cursor, now_us=now_us, by="andon")
    return told


def _tell_changes(
    ledger: Ledger, incident: Incident, cursor: TimelineCursor, now_us: int
) -> tuple[list[TimelineEvent], TimelineCursor]:
    start_us = incident.onset_low_us - CHANGES_BACK_US
    changes = changes_of(ledger, incident.app, incident.environment, start_us, now_us + 1)
    digest = hashlib.sha256("\n".join(f"{c.at_us} {c.title} {c.id}" for c in changes).encode()).hexdigest()[:16]
    if digest == cursor.changes:
        return [], cursor
    told = []
    for change in changes:
        kind, text = change_entry(change)
        if ledger.get(TimelineEvent, entry_id(incident, change.at_us, kind, text)) is not None:
            continue
        recorded_us = ledger.history(Change, change.id)[0].at_us
        learned_us = max(incident.alarmed_us, change.at_us, recorded_us)
        told.append(event(ledger, incident, change.at_us, learned_us, kind, text))
    return told, replace(cursor, changes=digest)


def _tell_spikes(warehouse: Warehouse, ledger: Ledger, incident: Incident, now_us: int) -> list[TimelineEvent]:
    first, last = incident.onset_low_us // HOUR_US, now_us // HOUR_US
    counts, seen = _thumbs_down(warehouse, incident, first - BEFORE_HOURS, last)
    before = {h: n for h, n in counts.items() if h < first}
    found = spikes(
        counts,
        first=first,
        last=last,
        before=sum(before.values()),
        hours=0 if seen is None else max(0, first - seen),
        most=max(before.values(), default=0),
    )
    if not found:
        return []
    there = [e.happened_us for e in timeline_of(ledger, incident, hidden=True) if e.kind == "feedback"]
    told = []
    for spike in found:
        end_us = spike.start_us + spike.hours * HOUR_US
        if not any(spike.start_us <= at < end_us for at in there):  # late feedback may move its first hour
            learned_us = max(incident.alarmed_us, spike.start_us + HOUR_US)
            told.append(event(ledger, incident, spike.start_us, learned_us, "feedback", spike_text(spike)))
    return told


def _thumbs_down(warehouse: Warehouse, incident: Incident, first: int, last: int) -> tuple[dict[int, int], int | None]:
    """Thumbs-down of users by hour, and the first hour in which anything came at all (None: nothing did)."""
    ours = (*of_app(incident), Where(column="source", op="ne", value=PROBE))
    span = Span(start_us=first * HOUR_US, end_us=last * HOUR_US)
    came = warehouse.run(Rollup(table="scores", metrics=("time_us",), measures=("min",), span=span, where=ours))
    seen = came["time_us.min"][0].as_py()
    down = (*ours, Where(column="thumbs", op="lt", value=0.5))
    table = warehouse.run(Rollup(table="scores", window_us=HOUR_US, span=span, where=down))
    windows, rows = table["window_us"].to_pylist(), table["rows"].to_pylist()
    return {w // HOUR_US: n for w, n in zip(windows, rows, strict=True)}, None if seen is None else int(seen) // HOUR_US
