"""Move an incident through its states, and say whether harm goes on."""

from dataclasses import replace

from andon.errors import AndonError, InputError, StateError
from andon.incidents.notices import still_missing
from andon.incidents.records import (
    Incident,
)
from andon.incidents.run.timeline import ATTEMPTS, event, put_next
from andon.monitors import Signal
from andon.monitors.limits import control_points
from andon.monitors.records import TRAFFIC
from andon.monitors.run import chart_of, scope_of
from andon.store import Ledger, Rollup, Span, Warehouse, Where

__all__ = ["ack_incident", "close_incident", "goes_on"]


RECENT_WINDOWS, RECENT_US = 6, 3_600_000_000
"""Whether harm goes on is read from these last windows, and at least from this time."""


WEEK_US = 7 * 86_400_000_000


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
    put_next(ledger, incident, closed, now_us=now_us, by=by)
    event(ledger, closed, now_us, now_us, "state", f"closed: {why}", by=by)
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
            put_next(ledger, incident, acked, now_us=now_us, by=by)
        except StateError:  # the loop wrote it at the same moment
            if attempt == ATTEMPTS - 1:
                raise
            continue
        break
    event(ledger, acked, now_us, now_us, "state", "acknowledged", by=by)
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
