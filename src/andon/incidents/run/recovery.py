"""Measure whether an incident is over, keep the plan of its recovery, and close it."""

from collections.abc import Callable
from dataclasses import replace

from andon.changes.run import changes_of
from andon.errors import AndonError, InputError, StateError
from andon.incidents.records import Ending, ExitCriterion, Incident, Recovery
from andon.incidents.recovery import (
    Hold,
    add_criterion,
    add_step,
    all_met,
    drop_criterion,
    holds_of,
    judge_chart,
    judge_masked,
    judge_probes,
    judge_silence,
    met_us,
    open_steps,
    quiet_message,
    see_check,
    suggest_criteria,
    take_step,
)
from andon.incidents.run.timeline import ATTEMPTS, event, find_incident, put_next, signals_of
from andon.incidents.states import state_of
from andon.incidents.triage import pages
from andon.incidents.words import one_line
from andon.monitors import Signal
from andon.monitors.records import TRAFFIC
from andon.monitors.run import chart_of, harm_of, scope_of
from andon.scores.rows import PROBE
from andon.store import Ledger, Rollup, Span, Warehouse, Where
from andon.traffic import quoted

__all__ = [
    "add_exit_criterion",
    "add_recovery_step",
    "close_incident",
    "do_recovery_step",
    "drop_exit_criterion",
    "measure_recovery",
    "recovery_of",
    "see_exit_check",
]

HOUR_US = 3_600_000_000
WEEK_US = 7 * 24 * HOUR_US
LONGEST_US = 14 * 24 * HOUR_US
"""How far back a chart is read to find since when it has been quiet."""


def recovery_of(ledger: Ledger, incident: Incident) -> Recovery:
    """The plan of an incident's recovery; an empty one where nobody has asked yet."""
    return ledger.get(Recovery, incident.id) or Recovery(id=incident.id)


def measure_recovery(
    warehouse: Warehouse, ledger: Ledger, incident: Incident, *, now_us: int, by: str = "andon"
) -> tuple[Incident, Recovery]:
    """Measure every exit criterion now, and say that the incident has recovered once all are met.

    Criteria that the signals suggest are added when they are missing, unless a person dropped them. The incident is
    recovered since the time at which the last criterion had been met; if one fails afterwards, it is not recovered.

    Returns:
        The incident and its plan, as they stand in the ledger now. Those of a closed incident are left alone.
    """
    incident = find_incident(ledger, incident.id)
    if incident.state == "closed":
        return incident, recovery_of(ledger, incident)
    signals = signals_of(ledger, incident)
    lead = next((s for s in signals if s.id == incident.lead), None)
    changes = changes_of(ledger, incident.app, incident.environment, incident.onset_low_us, now_us + 1)
    holds = holds_of(changes, incident.onset_low_us)

    def measured(plan: Recovery) -> Recovery:
        known = [*_ever(ledger, incident), *plan.criteria]
        fresh = suggest_criteria(incident, signals, known, probes=_has_probes(warehouse, incident))
        criteria = [_measured(warehouse, incident, c, signals, lead, holds, now_us) for c in (*plan.criteria, *fresh)]
        return replace(plan, criteria=tuple(criteria))

    plan = _change(ledger, incident, measured, now_us=now_us, by=by)
    return _settle(ledger, incident, plan, now_us=now_us), plan


def _settle(ledger: Ledger, incident: Incident, plan: Recovery, *, now_us: int) -> Incident:
    """Write what the criteria say about the state."""
    if all_met(plan) and incident.recovered_us is None:
        recovered = replace(incident, recovered_us=max(incident.onset_low_us, min(met_us(plan), now_us)))
        told = f"recovered: all exit criteria are met ({', '.join(c.id for c in plan.criteria)})"
    elif incident.recovered_us is not None and not all_met(plan):
        recovered = replace(incident, recovered_us=None)
        unmet = "; ".join(f"{c.id}: {c.measured}" for c in plan.criteria if c.met is not True)
        told = f"not recovered after all: {one_line(unmet, 300)}"
    else:
        return incident
    recovered = replace(recovered, state=state_of(recovered))
    put_next(ledger, incident, recovered, now_us=now_us, by="andon")
    event(ledger, recovered, recovered.recovered_us or now_us, now_us, "state", told)
    return recovered


def close_incident(
    warehouse: Warehouse,
    ledger: Ledger,
    incident: Incident,
    why: str,
    *,
    now_us: int,
    by: str,
    ending: Ending = "recovered",
    duplicate_of: str | None = None,
) -> Incident:
    """Close an incident, with the reason.

    As recovered it closes only when every exit criterion is met and every step was taken; as a false alarm, or as a
    duplicate of another incident, whenever a person says so.

    Raises:
        StateError: it is closed already, a criterion is not met (a quiet recovery), or a step is open.
        InputError: no reason was given, or the other incident of a duplicate is missing, itself, or a duplicate too.
    """
    incident = ledger.get(Incident, incident.id) or incident
    if incident.state == "closed":
        raise StateError(f"{incident.id} is closed already ({incident.closed_why}); a new signal opens a new incident")
    if not why.strip():
        raise InputError(f"say why {incident.id} may be closed: what was measured that shows it is over?")
    if ending not in ("recovered", "false alarm", "duplicate"):
        raise InputError(f"{quoted(ending)} is no ending; choose recovered, false alarm or duplicate")
    _check_duplicate(ledger, incident, ending, duplicate_of)
    if ending == "recovered":
        incident, plan = measure_recovery(warehouse, ledger, incident, now_us=now_us, by=by)
        if not all_met(plan):
            raise StateError(quiet_message(incident, plan))
        if steps := open_steps(plan):
            todo = "; ".join(f"{s.id} {one_line(s.text, 100)}" for s in steps)
            raise StateError(
                f"{incident.id} cannot be closed: not everything that was switched off is back. Open steps: {todo}; "
                f"`andon incident step done {incident.id} {steps[0].id} --seen ...` takes the next one"
            )
    closed = replace(
        incident, state="closed", closed_us=now_us, closed_why=why, closed_as=ending, duplicate_of=duplicate_of
    )
    put_next(ledger, incident, closed, now_us=now_us, by=by)
    how = "" if ending == "recovered" else f" as {ending}" + (f" of {duplicate_of}" if duplicate_of else "")
    event(ledger, closed, now_us, now_us, "state", f"closed{how}: {why}", by=by)
    return closed


def _check_duplicate(ledger: Ledger, incident: Incident, ending: Ending, duplicate_of: str | None) -> None:
    if ending != "duplicate":
        if duplicate_of is not None:
            raise InputError(
                f"only a duplicate is one of another incident; close {incident.id} as duplicate, or leave it out"
            )
        return
    if duplicate_of is None:
        raise InputError(f"say of which incident {incident.id} is a duplicate, such as --of INC-0003")
    other = find_incident(ledger, duplicate_of)
    if other.id == incident.id or other.closed_as == "duplicate":
        first = f"; it is one of {other.duplicate_of}" if other.duplicate_of else ""
        raise InputError(f"{incident.id} cannot be a duplicate of {other.id}{first}: name the incident that stays")


def add_exit_criterion(
    ledger: Ledger,
    incident: Incident,
    text: str,
    *,
    monitor: str | None = None,
    at_least: float | None = None,
    watch_us: int = 48 * HOUR_US,
    now_us: int,
    by: str,
) -> Recovery:
    """Add what must be true before the incident is over: a chart of it, a pass rate of probes, or a check by a person.

    Raises:
        InputError: as `andon.incidents.recovery.add_criterion`; or no signal of the incident is of this chart.
        StateError: the incident is closed.
    """
    signal = None
    if monitor is not None:
        known = [s for s in signals_of(ledger, incident) if pages(s)]
        signal = next((s for s in known if s.monitor == monitor), None)
        if signal is None:
            told = ", ".join(sorted({s.monitor for s in known})[:20]) or "none"
            raise InputError(f"no chart {quoted(monitor)} has signalled in {incident.id}; those that have: {told}")
    return _change(
        ledger,
        incident,
        lambda plan: add_criterion(
            plan, _ever(ledger, incident), text, signal=signal, at_least=at_least, watch_us=watch_us, by=by
        ),
        now_us=now_us,
        by=by,
        told=lambda plan: f"exit criterion {plan.criteria[-1].id} added: {plan.criteria[-1].text}",
    )


def drop_exit_criterion(
    ledger: Ledger, incident: Incident, criterion_id: str, why: str, *, now_us: int, by: str
) -> Recovery:
    """Take out a criterion that does not apply; the timeline keeps the reason, and it is not suggested again.

    Raises:
        InputError: there is none with this id, or no reason is given.
        StateError: the incident is closed.
    """
    if not why.strip():
        raise InputError(f"say why {criterion_id} does not apply: the reason stands in the timeline")
    dropped = f"exit criterion {criterion_id} dropped: {why.strip()}"
    return _change(
        ledger, incident, lambda plan: drop_criterion(plan, criterion_id), now_us=now_us, by=by, told=lambda _: dropped
    )


def see_exit_check(
    ledger: Ledger, incident: Incident, criterion_id: str, seen: str, *, now_us: int, by: str
) -> Recovery:
    """Say that a person looked, and what was seen.

    Raises:
        InputError: as `andon.incidents.recovery.see_check`.
        StateError: the incident is closed.
    """
    return _change(
        ledger,
        incident,
        lambda plan: see_check(plan, criterion_id, seen, by=by, now_us=now_us),
        now_us=now_us,
        by=by,
        told=lambda _: f"exit criterion {criterion_id} is met: {seen.strip()}",
    )


def add_recovery_step(ledger: Ledger, incident: Incident, text: str, check: str, *, now_us: int, by: str) -> Recovery:
    """Plan one more step of letting the capability back in, with the check after which the next one may be taken.

    Raises:
        InputError: the step or its check is empty.
        StateError: the incident is closed.
    """
    return _change(
        ledger,
        incident,
        lambda plan: add_step(plan, text, check),
        now_us=now_us,
        by=by,
        told=lambda plan: f"step {plan.steps[-1].id} planned: {plan.steps[-1].text}; check: {plan.steps[-1].check}",
    )


def do_recovery_step(ledger: Ledger, incident: Incident, step_id: str, seen: str, *, now_us: int, by: str) -> Recovery:
    """Say that a step was taken and what its check showed.

    Raises:
        InputError: there is no such step, or nothing was seen.
        StateError: an earlier step is open, this one is done, or the incident is closed.
    """
    return _change(
        ledger,
        incident,
        lambda plan: take_step(plan, step_id, seen, by=by, now_us=now_us),
        now_us=now_us,
        by=by,
        told=lambda _: f"step {step_id} done: {seen.strip()}",
    )


def _change(
    ledger: Ledger,
    incident: Incident,
    change: Callable[[Recovery], Recovery],
    *,
    now_us: int,
    by: str,
    told: Callable[[Recovery], str] | None = None,
) -> Recovery:
    """Write the next version of a plan; who writes at the same moment is not lost."""
    incident = find_incident(ledger, incident.id)
    if incident.state == "closed":
        raise StateError(f"{incident.id} is closed already ({incident.closed_why}); its recovery stays as it was")
    for attempt in range(ATTEMPTS):
        versions = ledger.history(Recovery, incident.id)
        plan = change(versions[-1].record if versions else Recovery(id=incident.id))
        try:
            ledger.put(plan, now_us=now_us, by=by, expect=len(versions))
        except StateError:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        break
    if told is not None:
        event(ledger, incident, now_us, now_us, "state", told(plan), by=by)
    return plan


def _ever(ledger: Ledger, incident: Incident) -> list[ExitCriterion]:
    """The criteria of all versions of a plan, those that were dropped too."""
    return [c for version in ledger.history(Recovery, incident.id) for c in version.record.criteria]


def _measured(
    warehouse: Warehouse,
    incident: Incident,
    criterion: ExitCriterion,
    signals: list[Signal],
    lead: Signal | None,
    holds: list[Hold],
    now_us: int,
) -> ExitCriterion:
    """One criterion as it stands now; what a person checked stays as it was said."""
    if criterion.kind == "check":
        return criterion if criterion.met else replace(criterion, measured="nobody has looked yet")
    if (hidden := judge_masked(criterion, holds, now_us)) is not None:
        return hidden
    back_us = max([incident.onset_us, *(h.ended_us for h in holds if h.ended_us is not None)])
    try:
        if criterion.kind == "probe":
            return _probes(warehouse, incident, criterion, lead, max(back_us, now_us - criterion.watch_us), now_us)
        own = [s for s in signals if s.monitor == criterion.monitor and pages(s)]
        if not own:
            return replace(criterion, met=None, at_us=now_us, measured="cannot tell: no signal of this chart is known")
        start_us = max(back_us, own[-1].at_us, now_us - LONGEST_US)
        judge = _silence if own[0].metric == TRAFFIC else _chart
        return judge(warehouse, incident, criterion, own[0], start_us, now_us)
    except AndonError as error:
        return replace(criterion, met=None, at_us=now_us, measured=f"cannot tell: {one_line(str(error), 200)}")


def _chart(
    warehouse: Warehouse, incident: Incident, criterion: ExitCriterion, signal: Signal, start_us: int, now_us: int
) -> ExitCriterion:
    width = max(signal.window_us, HOUR_US)
    end = now_us // width * width
    start = min(end, -(-start_us // width) * width)
    points = []
    if start < end:
        points = chart_of(warehouse, signal, start_us=start, end_us=end, points=(end - start) // width)
    since = max(start, end - criterion.watch_us)
    came = _came(warehouse, signal, since, end)
    usual = _usual(warehouse, incident, signal, since, end)
    return judge_chart(criterion, signal, points, start_us=start, end_us=end, came=came, usual=usual)


def _silence(
    warehouse: Warehouse, incident: Incident, criterion: ExitCriterion, signal: Signal, start_us: int, now_us: int
) -> ExitCriterion:
    width = max(6 * signal.window_us, 6 * HOUR_US)
    end = now_us // HOUR_US * HOUR_US
    ends = range(end, max(start_us, end - 2 * criterion.watch_us), -width)
    blocks = [
        (e, _came(warehouse, signal, e - width, e), _usual(warehouse, incident, signal, e - width, e) or 0)
        for e in ends
    ]
    return judge_silence(criterion, signal, blocks, start_us=start_us, end_us=end)


def _probes(
    warehouse: Warehouse, incident: Incident, criterion: ExitCriterion, lead: Signal | None, start_us: int, now_us: int
) -> ExitCriterion:
    """Probes that were answered, and answered without the harm that leads the incident."""
    probes = (*_of_app(incident), Where(column="source", op="eq", value=PROBE), Where(column="error", op="not_null"))
    span = Span(start_us=start_us, end_us=now_us)
    good = (*probes, Where(column="error", op="lt", value=0.5))
    if lead is not None and lead.metric != TRAFFIC:
        harm = harm_of(lead)
        good = (*good, replace(harm, op="lt" if harm.op == "ge" else "ge"))
    n, passed = (_rows(warehouse, span, where) for where in (probes, good))
    return judge_probes(criterion, passed, n, start_us=start_us, end_us=now_us)


def _has_probes(warehouse: Warehouse, incident: Incident) -> bool:
    where = (*_of_app(incident), Where(column="source", op="eq", value=PROBE))
    since = Span(start_us=incident.onset_low_us - WEEK_US, end_us=2**62)
    return _rows(warehouse, since, where) > 0


def _usual(warehouse: Warehouse, incident: Incident, signal: Signal, start_us: int, end_us: int) -> int | None:
    """Interactions in as long a time at the same hours of the last week before harm began; None where there were none."""
    weeks = max(1, -(-(end_us - incident.onset_low_us) // WEEK_US))
    return _came(warehouse, signal, start_us - weeks * WEEK_US, end_us - weeks * WEEK_US) or None


def _came(warehouse: Warehouse, signal: Signal, start_us: int, end_us: int) -> int:
    """Interactions in the part of the traffic that a signal is about; rows of feedback are none."""
    answered = Where(column="error", op="not_null")
    return _rows(warehouse, Span(start_us=start_us, end_us=end_us), (*scope_of(signal), answered))


def _rows(warehouse: Warehouse, span: Span, where: tuple[Where, ...]) -> int:
    return sum(warehouse.run(Rollup(table="scores", span=span, where=where))["rows"].to_pylist())


def _of_app(incident: Incident) -> tuple[Where, ...]:
    pairs = {"app": incident.app, "environment": incident.environment}
    return tuple(Where(column=k, op="eq", value=v) for k, v in pairs.items())
