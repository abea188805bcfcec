"""Give every signal to an incident: open one, or join one that is open."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from andon.changes import Change
from andon.changes.run import changes_of
from andon.errors import StateError
from andon.incidents.failures import NEAR_US, says_input
from andon.incidents.records import (
    Alert,
    Incident,
)
from andon.incidents.run.alerts import tell_alerts
from andon.incidents.run.timeline import ATTEMPTS, Attached, change_incident, event, put_next, signals_of
from andon.incidents.timeline import CHANGES_BACK_US, change_entry
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
from andon.incidents.words import onset_text, signals_text
from andon.monitors import TRAFFIC, Signal
from andon.store import Ledger

__all__ = ["respond", "restate"]


LATE_US = 2 * MERGE_US
"""Signals that come so long after the alarm are attached to the incident, not written into it: a lasting event signals without
end, and each version of the incident would hold the whole list."""


def respond(ledger: Ledger, signals: Iterable[Signal], clock: Callable[[], int] | None = None) -> list[Incident]:
    """Give every signal to an incident, in order of time; returns the incidents that were opened or changed.

    Signals that have an incident are passed over, so calling again changes nothing; their order within a call is no matter.

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
    for attempt in range(ATTEMPTS):
        known = ledger.all(Incident)
        held = {incident.id: list(incident.signals) for incident in known}
        for late in ledger.all(Attached):
            held.setdefault(late.incident, []).append(late.id)
        given = {i for ids in held.values() for i in ids}
        fresh = [s for s in together if s.id not in given]
        if not fresh:
            return None
        first = next((s for s in fresh if pages(s)), fresh[0])
        home = next((i for i in reversed(known) if merges(replace(i, signals=tuple(held[i.id])), first)), None)
        if home is None and not pages(first):
            return None  # a warning opens nothing; `andon signals` lists it
        try:
            if home is not None:
                return _joined(ledger, home, fresh)
            return _opened(ledger, len(known) + 1, fresh, None if clock is None else clock())
        except StateError:
            if attempt == ATTEMPTS - 1:
                raise
    return None


def _opened(ledger: Ledger, number: int, signals: Sequence[Signal], opened_us: int | None) -> Incident:
    incident = replace(open_incident(number, signals), opened_us=opened_us)
    incident = suggests(incident, signals, _changes_near(ledger, incident))
    now_us = incident.alarmed_us
    lead = next(s for s in signals if s.id == incident.lead)
    ledger.put(incident, now_us=now_us, by="andon", expect=0)
    event(ledger, incident, incident.onset_us, now_us, "onset", onset_text(lead))
    start = incident.onset_low_us - CHANGES_BACK_US
    for change in changes_of(ledger, incident.app, incident.environment, start, now_us + 1):
        event(ledger, incident, change.at_us, now_us, *change_entry(change))
    tell_alerts(ledger, incident, ledger.all(Alert))
    _tell_signals(ledger, incident, signals, strongest=lead)
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
    for name in ids if late else ():
        ledger.put(Attached(id=name, incident=home.id), now_us=now_us, by="andon")
    if home.recovered_us is not None and incident.recovered_us is None:
        event(ledger, incident, now_us, now_us, "state", "not recovered after all: harm signals again")
    if incident.lead != home.lead:
        lead = next(s for s in together if s.id == incident.lead)
        if lead.onset_us >= incident.onset_low_us:  # a slow chart's earlier guess adds nothing to the dated onset
            event(ledger, incident, lead.onset_us, now_us, "onset", onset_text(lead))
    _tell_signals(ledger, incident, signals)
    return incident


def _changes_near(ledger: Ledger, incident: Incident) -> list[Change]:
    """The changes that may say what failure type it is."""
    return changes_of(
        ledger, incident.app, incident.environment, incident.onset_low_us - NEAR_US, incident.onset_high_us + 1
    )


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
            event(ledger, incident, first.at_us, first.at_us, "signal", text)


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
