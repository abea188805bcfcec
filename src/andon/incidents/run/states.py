"""Move an incident through its states, keep what people overrule, and say whether harm goes on."""

from dataclasses import replace

from andon.errors import AndonError, InputError, StateError
from andon.incidents.notices import still_missing
from andon.incidents.records import Incident, Report
from andon.incidents.run.measuring import came_of, unit_of
from andon.incidents.run.timeline import change_incident, event, of_app, signals_of, state_entry
from andon.incidents.states import Field, Mark, mark, overrule, overruled
from andon.incidents.triage import suggested_severity
from andon.incidents.words import one_line
from andon.monitors import Signal
from andon.monitors.limits import control_points
from andon.monitors.records import TRAFFIC
from andon.monitors.run import chart_of, harm_of, scope_of
from andon.store import Ledger, Slice, Span, Warehouse, Where
from andon.traffic import format_time

__all__ = [
    "ack_incident",
    "first_visible",
    "goes_on",
    "mark_incident",
    "noticed",
    "overrule_incident",
    "recent",
    "tell_visible",
]


RECENT_WINDOWS, RECENT_US = 6, 3_600_000_000
"""Whether harm goes on is read from these last windows, and at least from this time."""


WEEK_US = 7 * 86_400_000_000


def ack_incident(ledger: Ledger, incident: Incident, *, now_us: int, by: str) -> Incident:
    """Say that somebody is at it: nobody is reminded any more. Who said so first stays.

    Raises:
        StateError: it is closed.
    """

    def ack(latest: Incident) -> Incident:
        if latest.state == "closed":
            raise StateError(f"{latest.id} is closed already ({latest.closed_why}); nobody has to be at it")
        if latest.acked_us is not None:
            return latest
        return replace(_noticed(latest, now_us, by), acked_us=now_us, acked_by=by)

    acked, _ = change_incident(ledger, incident, ack, now_us=now_us, by=by)
    if acked.acked_us is not None:  # who says so again makes up for an entry that was not written the first time
        event(ledger, acked, acked.acked_us, acked.acked_us, "state", "acknowledged", by=acked.acked_by or by)
    return acked


def noticed(ledger: Ledger, incident: Incident, *, now_us: int, by: str) -> Incident:
    """Keep who was the first person to say anything of an incident: a report, a note, an acknowledgement. A closed one stays."""
    told, _ = change_incident(ledger, incident, lambda latest: _noticed(latest, now_us, by), now_us=now_us, by=by)
    return told


def mark_incident(
    ledger: Ledger, incident: Incident, milestone: Mark, why: str, *, at_us: int, now_us: int, by: str
) -> Incident:
    """Say that an incident is stabilised, diagnosed or fixed, since when, and how one knows.

    A later mark corrects an earlier one; the timeline keeps both.

    Raises:
        InputError: no reason is given, or as `andon.incidents.states.mark`.
        StateError: the incident is closed.
    """
    if not why.strip():
        raise InputError(f"say why {incident.id} is {milestone}: what was done or found, and how one knows?")

    def marked(latest: Incident) -> Incident:
        return _noticed(mark(latest, milestone, at_us, now_us=now_us), now_us, by)

    before = ledger.get(Incident, incident.id) or incident
    done, _ = change_incident(ledger, incident, marked, now_us=now_us, by=by)
    was_us = getattr(before, f"{milestone}_us")
    if was_us == at_us and state_entry(ledger, done, at_us, milestone) is None:  # marked so before, which broke off
        was_us = _marked_before(ledger, done, milestone, at_us)
    corrects = f" (not since {format_time(was_us)})" if was_us not in (None, at_us) else ""
    event(ledger, done, at_us, now_us, "state", f"{milestone}{corrects}: {why.strip()}", by=by)
    return done


def _marked_before(ledger: Ledger, incident: Incident, milestone: Mark, at_us: int) -> int | None:
    """Since when a milestone was said to be reached before it was marked with this time; None where it was not."""
    marked = [getattr(v.record, f"{milestone}_us") for v in ledger.history(Incident, incident.id)]
    return next((was_us for was_us in reversed(marked) if was_us != at_us), None)


def overrule_incident(
    ledger: Ledger, incident: Incident, field: Field, chosen: str, why: str, *, now_us: int, by: str
) -> Incident:
    """Put a person's word in place of the class, severity or failure type that was suggested; both are kept.

    The suggested severity follows from the class, so another class suggests it anew. The same word of the same person again
    is said once.

    Raises:
        InputError: as `andon.incidents.states.overrule`.
        StateError: the incident is closed.
    """

    def said(latest: Incident) -> Incident:
        last = overruled(latest, field)
        if (
            last is not None
            and latest.state != "closed"
            and (last.chosen, last.why, last.by) == (chosen, why.strip(), by)
        ):
            return latest
        told = _noticed(overrule(latest, field, chosen, why, by=by, now_us=now_us), now_us, by)
        return suggested_severity(told, signals_of(ledger, told)) if field == "impact" else told

    done, _ = change_incident(ledger, incident, said, now_us=now_us, by=by)
    word = overruled(done, field)
    before = (word.suggested if word is not None else "") or "nothing"
    at_us = now_us if word is None else word.at_us  # that of the first time, where the entry of it may be missing
    text = f"{field} overruled: {chosen} instead of {before}: {one_line(why, 500)}"
    event(ledger, done, at_us, at_us, "state", text, by=by)
    return done


def _noticed(incident: Incident, now_us: int, by: str) -> Incident:
    if incident.noticed_us is not None or incident.state == "closed":
        return incident
    return replace(incident, noticed_us=now_us, noticed_by=by)


def first_visible(warehouse: Warehouse, ledger: Ledger, incident: Incident) -> int | None:
    """When users could first see it: the first harmed answer of the leading chart, thumbs-down or report since the onset.

    The onset is the earliest one that is likely. None where the tables hold none of these. Of traffic that did not come no answer
    was harmed, and a thumbs-down is about another failure: who got no answer saw it from the estimated onset on, unless somebody
    reported it before. Where traffic came and was only not measured, reports alone count.
    """
    seen = [r.at_us for r in ledger.all(Report) if r.incident == incident.id and not r.near_miss]
    lead = ledger.get(Signal, incident.lead) if incident.lead else None
    if lead is not None and lead.metric == TRAFFIC:
        return min(seen if lead.aspect else [*seen, incident.onset_us], default=None)
    span = Span(start_us=incident.onset_low_us, end_us=max(incident.alarmed_us, incident.onset_high_us) + 1)
    disliked = (*of_app(incident), Where(column="thumbs", op="lt", value=0.5))
    wanted: list[tuple[Where, ...]] = [disliked]
    if lead is not None:
        wanted.append((*scope_of(lead), harm_of(lead)))
    for where in wanted:
        found = warehouse.run(Slice(table="scores", columns=("time_us",), span=span, where=where, limit=1))
        seen += found["time_us"].to_pylist()
    return min(seen, default=None)


def tell_visible(warehouse: Warehouse, ledger: Ledger, incident: Incident, *, now_us: int) -> Incident:
    """Keep when users could first see an incident, once that is known; an earlier time that is learned later takes its place."""
    if incident.state == "closed":
        return incident
    try:
        first = first_visible(warehouse, ledger, incident)
    except InputError:  # a metric that is not measured any more
        return incident
    if first is None or (incident.visible_us is not None and incident.visible_us <= first):
        return incident
    told, _ = change_incident(
        ledger, incident, lambda latest: replace(latest, visible_us=first), now_us=now_us, by="andon"
    )
    return told


def recent(signal: Signal, now_us: int) -> Span:
    """The last whole windows, from which is read whether harm goes on: those of an hour, and six at least."""
    width = signal.window_us
    end = now_us // width * width
    return Span(start_us=end - max(RECENT_WINDOWS, -(-RECENT_US // width)) * width, end_us=end)


def goes_on(warehouse: Warehouse, ledger: Ledger, incident: Incident, *, now_us: int) -> bool | None:
    """Whether harm is seen now: the leading chart's rate over the `recent` windows is above its limits.

    Charts speak once per event, so the absence of a further signal says nothing about this. Traffic that fell is held against
    the same hours of the last week before the fall. None where it cannot be told: no traffic, or so little that even the
    signal's own rate would be within the limits.
    """
    lead = ledger.get(Signal, incident.lead)
    if lead is None:
        return None
    width, span = lead.window_us, recent(lead, now_us)
    start, end = span.start_us, span.end_us
    try:
        if lead.metric == TRAFFIC:
            weeks = max(1, -(-(end - lead.onset_low_us) // WEEK_US))
            came, usual = (came_of(warehouse, lead, start - back, end - back) for back in (0, weeks * WEEK_US))
            return still_missing(came.weight, usual.weight, lead.rate, unit_of(came, usual))
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
