"""Give every signal to an incident: open one, or join one that is open."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from andon.changes import Change
from andon.changes.run import changes_of
from andon.errors import StateError
from andon.incidents.failures import NEAR_US, says_input
from andon.incidents.records import Incident
from andon.incidents.run.growing import caught_up, tell_given, tell_signals
from andon.incidents.run.timeline import ATTEMPTS, Attached, change_incident, put_next, signals_of
from andon.incidents.triage import (
    MERGE_US,
    join,
    leaves_lead,
    merges,
    open_incident,
    pages,
    suggests,
    title_of,
    worsened,
)
from andon.monitors import TRAFFIC, Signal
from andon.store import Ledger

__all__ = ["respond", "restate"]


LATE_US = 2 * MERGE_US
"""Signals that come so long after the alarm are attached to the incident, not written into it: a lasting event signals without
end, and each version of the incident would hold the whole list."""


def respond(ledger: Ledger, signals: Iterable[Signal], clock: Callable[[], int] | None = None) -> list[Incident]:
    """Give every signal to an incident, in order of time; returns the incidents that were opened or changed.

    Signals that have an incident are passed over, so calling again changes nothing; their order within a call is no matter.
    Where a call broke off, whatever it had written, the next one writes the rest.

    Args:
        ledger: where signals and incidents stand.
        signals: of any time and application.
        clock: of a service, for when an incident was opened; None in a replay, which has the clock of the traffic alone.
    """
    touched: dict[str, Incident] = {}
    ordered = sorted(signals, key=lambda s: (s.at_us, s.app, s.environment, s.id))
    for _, together in groupby(ordered, key=lambda s: (s.at_us, s.app, s.environment)):
        incident = _give(ledger, list({s.id: s for s in together}.values()), clock)
        if incident is not None:
            touched[incident.id] = incident
    return list(touched.values())


def _give(ledger: Ledger, together: Sequence[Signal], clock: Callable[[], int] | None) -> Incident | None:
    """Give signals of one app and moment to one incident; a person who closes it meanwhile is not overruled."""
    ids = {s.id for s in together}
    for attempt in range(ATTEMPTS):
        known = ledger.all(Incident)
        held = _held(known, _attached(ledger, together))
        for incident in known:
            if not ids.isdisjoint(held[incident.id]):
                caught_up(ledger, incident)
        given = {i for names in held.values() for i in names}
        fresh = [s for s in together if s.id not in given]
        if not fresh:
            return None
        first = next((s for s in fresh if pages(s)), fresh[0])
        home = next((i for i in reversed(known) if merges(replace(i, signals=tuple(held[i.id])), first)), None)
        if home is None and not pages(first):
            return None  # a warning opens nothing; `andon signals` lists it
        try:
            if home is not None:
                caught_up(ledger, home)
                return _joined(ledger, home, fresh)
            return _opened(ledger, len(known) + 1, fresh, None if clock is None else clock())
        except StateError:
            if attempt == ATTEMPTS - 1:
                raise
    return None


def _attached(ledger: Ledger, together: Sequence[Signal]) -> list[Attached]:
    """The late signals of all incidents; of a group of which not all were attached before a turn broke off, the rest is now."""
    late = ledger.all(Attached)
    there = {a.id for a in late}
    homes = {name: a.incident for a in late for name in a.group}
    for signal in together:
        if signal.id in homes and signal.id not in there:
            late.append(Attached(id=signal.id, incident=homes[signal.id]))
            ledger.put(late[-1], now_us=signal.at_us, by="andon")
    return late


def _held(known: Sequence[Incident], late: Sequence[Attached]) -> dict[str, list[str]]:
    """The ids of the signals of each incident."""
    held = {incident.id: list(incident.signals) for incident in known}
    for attached in late:
        held.setdefault(attached.incident, []).append(attached.id)
    return held


def _opened(ledger: Ledger, number: int, signals: Sequence[Signal], opened_us: int | None) -> Incident:
    incident = replace(open_incident(number, signals), opened_us=opened_us)
    incident = suggests(incident, signals, _changes_near(ledger, incident))
    now_us = incident.alarmed_us
    ledger.put(incident, now_us=now_us, by="andon", expect=0)
    tell_given(ledger, None, incident, now_us=now_us, signals=signals)
    return incident


def _joined(ledger: Ledger, home: Incident, signals: Sequence[Signal]) -> Incident:
    now_us = signals[0].at_us
    if leaves_lead(home, signals):
        severer = worsened(home, ledger.get(Signal, home.lead), signals)
        last_us = now_us if any(pages(s) for s in signals) else home.last_signal_us
        incident = replace(severer, last_signal_us=last_us)
        if any(says_input(s) and s.at_us - home.alarmed_us <= MERGE_US for s in signals) and home.lead:
            incident = suggests(incident, [*signals_of(ledger, home), *signals], _changes_near(ledger, home))
    else:
        together = [*signals_of(ledger, home), *signals]
        incident = join(home, together, _changes_near(ledger, home))
    late, ids = now_us - home.alarmed_us > LATE_US, sorted(s.id for s in signals)
    incident = replace(incident, signals=home.signals if late else tuple(sorted((*home.signals, *ids))))
    put_next(ledger, home, incident, now_us=now_us, by="andon")
    tell_given(ledger, home, incident, now_us=now_us, signals=signals)
    if late:  # told first: as long as none of them is attached they are given again, all of them
        tell_signals(ledger, incident, signals)
        for k, name in enumerate(ids):
            first = Attached(id=name, incident=home.id, group=() if k or len(ids) == 1 else tuple(ids))
            ledger.put(first, now_us=now_us, by="andon")
    return incident


def _changes_near(ledger: Ledger, incident: Incident) -> list[Change]:
    """The changes that may say what failure type it is."""
    return changes_of(
        ledger, incident.app, incident.environment, incident.onset_low_us - NEAR_US, incident.onset_high_us + 1
    )


def restate(ledger: Ledger, incident: Incident, rate: float | None, *, now_us: int) -> Incident:
    """Bring the title up to date with the latest rate of harm, and the failure type with changes that were learned late.

    The title says how bad it is, or was before it was stopped: a rate that falls, because a lever is held or the cause is gone,
    does not make harmless what happened.
    """
    known = ledger.get(Incident, incident.id) or incident
    lead = ledger.get(Signal, known.lead)
    if lead is None or rate is None:
        return known

    def told(latest: Incident) -> Incident:
        if latest.state == "closed" or latest.lead != lead.id:  # a rate of another chart says nothing of the new one
            return latest
        named = latest
        stopped = latest.stabilised_us or latest.fixed_us or latest.recovered_us
        worse = rate > lead.rate and not stopped
        # where traffic fell the rate is of those who came: not how much is missing
        if worse and lead.metric != TRAFFIC:
            named = replace(latest, title=title_of(lead, latest.onset_us, rate))
        return suggests(named, signals_of(ledger, latest), _changes_near(ledger, latest))

    return change_incident(ledger, known, told, now_us=now_us, by="andon")[0]
