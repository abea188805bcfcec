"""Measure whether an incident is over, keep the plan of its recovery, and close it."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from andon.changes.run import changes_of
from andon.errors import AndonError, InputError, StateError
from andon.incidents.records import Ending, ExitCriterion, Incident, Recovery, TimelineEvent
from andon.incidents.recovery import (
    add_criterion,
    add_step,
    brings_news,
    drop_criterion,
    holds_of,
    met_us,
    open_steps,
    quiet_message,
    see_check,
    suggest_criteria,
    take_step,
    unmet,
)
from andon.incidents.run.growing import caught_up, grow_timeline
from andon.incidents.run.measuring import has_probes, measured, still_there
from andon.incidents.run.timeline import (
    ATTEMPTS,
    change_incident,
    event,
    find_incident,
    put_next,
    signals_of,
    state_entry,
    timeline_of,
)
from andon.incidents.states import measure_commands, state_of, unmeasured
from andon.incidents.triage import pages
from andon.incidents.words import one_line
from andon.monitors import Signal
from andon.store import Ledger, Versioned, Warehouse
from andon.traffic import quoted

__all__ = [
    "add_exit_criterion",
    "add_recovery_step",
    "charts_of",
    "close_incident",
    "do_recovery_step",
    "drop_exit_criterion",
    "dropped_of",
    "measure_recovery",
    "recovery_of",
    "see_exit_check",
]

_RECOVERED, _NOT_RECOVERED = "recovered: ", "not recovered after all: "
"""How entries begin that tell of recovery."""

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def recovery_of(ledger: Ledger, incident: Incident) -> Recovery:
    """The plan of an incident's recovery; an empty one where nobody has asked yet."""
    return ledger.get(Recovery, incident.id) or Recovery(id=incident.id)


def measure_recovery(
    warehouse: Warehouse, ledger: Ledger, incident: Incident, *, now_us: int, by: str = "andon"
) -> tuple[Incident, Recovery]:
    """Measure every exit criterion now, and say that the incident has recovered once all are met.

    Criteria that the signals suggest are added when they are missing, unless a person dropped them. The incident is
    recovered since the time at which the last criterion had been met; if one fails afterwards, it is not recovered. The plan
    is written when a verdict changes or a person measures, else once a day.

    Returns:
        The incident as it stands in the ledger now, and its plan as it was measured now. Those of a closed incident are left
        alone.
    """
    incident = find_incident(ledger, incident.id)
    if incident.state == "closed":
        return incident, recovery_of(ledger, incident)
    signals = signals_of(ledger, incident)
    lead = next((s for s in signals if s.id == incident.lead), None)
    changes = changes_of(ledger, incident.app, incident.environment, incident.onset_low_us, now_us + 1)
    holds = holds_of(changes, incident.onset_low_us)

    def looked_at(plan: Recovery) -> Recovery:
        known = (*plan.criteria, *plan.dropped)
        fresh = suggest_criteria(incident, signals, known, probes=has_probes(warehouse, incident))
        criteria = [measured(warehouse, incident, c, signals, lead, holds, now_us) for c in (*plan.criteria, *fresh)]
        return replace(plan, criteria=tuple(criteria))

    plan = _change(ledger, incident, looked_at, now_us=now_us, by=by)
    return _settle(ledger, incident, plan, now_us=now_us), plan


def _settle(ledger: Ledger, incident: Incident, plan: Recovery, *, now_us: int) -> Incident:
    """Write what the criteria say about the state of an incident that they were measured for; others may write meanwhile."""

    def settled(latest: Incident) -> Incident:
        recovered_us = None
        if not unmet(latest, plan):
            signalled = (latest.signals, latest.last_signal_us) != (incident.signals, incident.last_signal_us)
            if signalled:  # harm signalled while it was measured: the next measurement decides
                return latest
            recovered_us = latest.recovered_us or max(latest.onset_low_us, min(met_us(plan), now_us))
        if latest.state == "closed" or latest.recovered_us == recovered_us:
            return latest
        told = replace(latest, recovered_us=recovered_us)
        return replace(told, state=state_of(told))

    done, written = change_incident(ledger, incident, settled, now_us=now_us, by="andon")
    if done.state == "closed":
        return done
    if done.recovered_us is not None:
        if written or state_entry(ledger, done, done.recovered_us, _RECOVERED) is None:
            text = f"{_RECOVERED}all exit criteria are met ({', '.join(c.id for c in plan.criteria)})"
            event(ledger, done, done.recovered_us, now_us, "state", text)
    elif (since_us := now_us if written else _untold_us(ledger, done)) is not None:
        why = one_line("; ".join(unmet(done, plan)), 300)
        event(ledger, done, since_us, since_us, "state", f"{_NOT_RECOVERED}{why}")
    return done


def _untold_us(ledger: Ledger, incident: Incident) -> int | None:
    """Since when an incident is not recovered after all, where what wrote so broke off before it told it; None where it is told."""
    caught_up(ledger, incident)  # a signal may have said so
    said = [e for e in ledger.all(TimelineEvent, f"{incident.id}-") if e.kind == "state"]
    recovered = max((e.learned_us for e in said if e.text.startswith(_RECOVERED)), default=None)
    if recovered is None or any(e.learned_us >= recovered and e.text.startswith(_NOT_RECOVERED) for e in said):
        return None
    versions = ledger.history(Incident, incident.id)
    steps = zip(reversed(versions[:-1]), reversed(versions), strict=False)
    return next((new.at_us for old, new in steps if old.record.recovered_us is not None), None)


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

    As recovered it closes only when every exit criterion is met, one of them by a measurement where a chart signalled, and
    every step was taken; as retired only when nothing of the harmed part of the traffic came for 48 hours; as a false alarm, or
    as a duplicate of another incident, whenever a person says so.

    Raises:
        StateError: it is closed already, a criterion is not met (a quiet recovery), a step is open, or traffic of what is said to
            be retired still comes.
        InputError: no reason was given, or the other incident of a duplicate is missing, itself, or a duplicate too.
    """
    incident = ledger.get(Incident, incident.id) or incident
    if incident.state == "closed":
        _tell_closed(ledger, incident)  # where the first time broke off in between
        raise StateError(f"{incident.id} is closed already ({incident.closed_why}); a new signal opens a new incident")
    if not why.strip():
        raise InputError(f"say why {incident.id} may be closed: what was measured that shows it is over?")
    if ending not in get_args(Ending):
        raise InputError(f"{quoted(ending)} is no ending; choose one of: {', '.join(get_args(Ending))}")
    _check_duplicate(ledger, incident, ending, duplicate_of)
    if ending == "retired":
        _check_retired(warehouse, ledger, incident, now_us)
    if ending == "recovered":
        incident, plan = measure_recovery(warehouse, ledger, incident, now_us=now_us, by=by)
        if unmet(incident, plan):
            again, drop = (f"`andon incident {verb} {incident.id}" for verb in ("recovery", "criterion drop"))
            add = f"{measure_commands(incident.id)}, " if unmeasured(incident, plan.criteria) else ""
            raise StateError(quiet_message(incident, plan), commands=f"{add}{again}`, {drop} ...`, or add `--as ...`")
        if incident.state == "closed" or incident.recovered_us is None:
            raise StateError(
                f"{incident.id} was changed while it was measured (it signalled, or was closed); read it again"
            )
        if steps := open_steps(plan):
            todo = "; ".join(f"{s.id} {one_line(s.text, 100)}" for s in steps)
            raise StateError(
                f"{incident.id} cannot be closed: not everything that was switched off is back. Open steps: {todo}; "
                "take the next one, and say what its check showed",
                commands=f"`andon incident step done {incident.id} {steps[0].id} --seen ...`",
            )
    grow_timeline(warehouse, ledger, incident, now_us=now_us)  # a closed one grows no more
    closed = replace(
        incident, state="closed", closed_us=now_us, closed_why=why, closed_as=ending, duplicate_of=duplicate_of
    )
    put_next(ledger, incident, closed, now_us=now_us, by=by)
    _tell_closed(ledger, closed)
    return closed


def _tell_closed(ledger: Ledger, closed: Incident) -> None:
    """Write when, how, why and by whom an incident was closed into its timeline, unless it stands there."""
    at_us, ending, other = closed.closed_us, closed.closed_as, closed.duplicate_of
    if at_us is None or state_entry(ledger, closed, at_us, "closed") is not None:
        return
    by = next((v.by for v in ledger.history(Incident, closed.id) if v.record.state == "closed"), "andon")
    how = "" if ending in (None, "recovered") else f" as {ending}" + (f" of {other}" if other else "")
    event(ledger, closed, at_us, at_us, "state", f"closed{how}: {closed.closed_why}", by=by)


def _check_retired(warehouse: Warehouse, ledger: Ledger, incident: Incident, now_us: int) -> None:
    lead = ledger.get(Signal, incident.lead) if incident.lead else None
    why = "no chart says which traffic would have to be gone"
    if lead is not None:
        changes = changes_of(ledger, incident.app, incident.environment, incident.onset_low_us, now_us + 1)
        why = still_there(warehouse, incident, lead, holds_of(changes, incident.onset_low_us), now_us)
    if why:
        raise StateError(
            f"{incident.id} cannot be closed as retired: {why}. Retired is what was taken out for good, so that no traffic can "
            "show recovery; else measure that it is over",
            commands=f"`andon incident recovery {incident.id}`",
        )


def _check_duplicate(ledger: Ledger, incident: Incident, ending: Ending, duplicate_of: str | None) -> None:
    if ending != "duplicate":
        if duplicate_of is not None:
            raise InputError(
                f"only a duplicate is one of another incident; close {incident.id} as duplicate, or leave it out"
            )
        return
    if duplicate_of is None:
        raise InputError(f"say of which incident {incident.id} is a duplicate", commands="--of INC-0003")
    other = find_incident(ledger, duplicate_of)
    if other.id == incident.id or other.closed_as == "duplicate":
        first = f"; it is one of {other.duplicate_of}" if other.duplicate_of else ""
        raise InputError(f"{incident.id} cannot be a duplicate of {other.id}{first}: name the incident that stays")


def charts_of(ledger: Ledger, incident: Incident) -> dict[str, Signal]:
    """The charts that an exit criterion may be about, each with its first signal that paged, by their ids."""
    return {s.monitor: s for s in reversed(signals_of(ledger, incident)) if pages(s)}


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
        known = charts_of(ledger, incident)
        signal = known.get(monitor)
        if signal is None:
            told = ", ".join(sorted(known)[:20]) or "none"
            raise InputError(f"no chart {quoted(monitor)} has signalled in {incident.id}; those that have: {told}")
    return _change(
        ledger,
        incident,
        lambda plan: add_criterion(plan, text, signal=signal, at_least=at_least, watch_us=watch_us, by=by),
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
        StateError: the incident is closed, or it is the last criterion that is measured.
    """
    if not why.strip():
        raise InputError(f"say why {criterion_id} does not apply: the reason stands in the timeline")
    return _change(
        ledger,
        incident,
        lambda plan: drop_criterion(incident, plan, criterion_id),
        now_us=now_us,
        by=by,
        told=lambda _: f"{_dropped(criterion_id)}{why.strip()}",
    )


def dropped_of(ledger: Ledger, incident: Incident, plan: Recovery) -> list[tuple[ExitCriterion, str, TimelineEvent]]:
    """The criteria that people dropped: each as it was measured last, why, and the entry that says by whom and when."""
    if not plan.dropped:
        return []
    said = [e for e in timeline_of(ledger, incident, hidden=True) if e.kind == "state"]
    found = ((c, _dropped(c.id), e) for c in plan.dropped for e in said)
    return [(c, e.text.removeprefix(begins), e) for c, begins, e in found if e.text.startswith(begins)]


def _dropped(criterion_id: str) -> str:
    """How the timeline begins to tell that a criterion was dropped; the reason follows."""
    return f"exit criterion {criterion_id} dropped: "


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
    """Write the next version of a plan; who writes at the same moment is not lost.

    A change is `told` in the timeline. A measurement is not, and where nobody asked for it and it says nothing new it is
    written once a day.
    """
    incident = find_incident(ledger, incident.id)
    if incident.state == "closed":
        raise StateError(f"{incident.id} is closed already ({incident.closed_why}); its recovery stays as it was")
    if told is not None and (before := _broken_off(ledger, incident, change, told, by)) is not None:
        return before
    for attempt in range(ATTEMPTS):
        known = ledger.latest(Recovery, incident.id)
        plan = change(known.record if known else Recovery(id=incident.id))
        if told is None and by == "andon" and known is not None and not _is_due(known, plan, now_us):
            return plan
        try:
            ledger.put(plan, now_us=now_us, by=by, expect=known.version if known else 0)
        except StateError:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        break
    if told is not None:
        event(ledger, incident, now_us, now_us, "state", told(plan), by=by)
    return plan


def _broken_off(
    ledger: Ledger,
    incident: Incident,
    change: Callable[[Recovery], Recovery],
    told: Callable[[Recovery], str],
    by: str,
) -> Recovery | None:
    """The plan as it stands, where the same person made this very change last and that broke off before it was told; told now."""
    versions = ledger.history(Recovery, incident.id)[-2:]
    if not versions or versions[-1].by != by:
        return None
    last = versions[-1]
    said = (e for e in ledger.all(TimelineEvent, f"{incident.id}-") if e.kind == "state" and e.by == by)
    if any(e.learned_us == last.at_us for e in said):
        return None
    known = versions[0].record if len(versions) > 1 else Recovery(id=incident.id)
    try:
        again = _timeless(change(known))
    except AndonError:
        return None
    if again != _timeless(last.record) or again == _timeless(known):  # another change, or a measurement
        return None
    event(ledger, incident, last.at_us, last.at_us, "state", told(last.record), by=by)
    return last.record


def _timeless(plan: Recovery) -> Recovery:
    """A plan without the times at which somebody looked or took a step."""
    criteria = tuple(replace(c, at_us=None) for c in plan.criteria)
    steps = tuple(s if s.done_us is None else replace(s, done_us=0) for s in plan.steps)
    return replace(plan, criteria=criteria, steps=steps)


def _is_due(known: Versioned[Recovery], measured: Recovery, now_us: int) -> bool:
    """Whether a measurement is worth a version of its own: no incident grows by one an hour for as long as it is open."""
    return brings_news(known.record, measured) or now_us - known.at_us >= DAY_US
