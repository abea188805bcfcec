"""What can be done on the page of an incident."""

from collections.abc import Callable
from typing import Any, cast, get_args

from andon.errors import InputError, StateError
from andon.incidents import Incident, RunbookState, TimelineEvent
from andon.incidents.records import Ending
from andon.incidents.recovery import WATCH_US
from andon.incidents.run.recovery import (
    add_exit_criterion,
    add_recovery_step,
    close_incident,
    do_recovery_step,
    drop_exit_criterion,
    see_exit_check,
)
from andon.incidents.run.reports import receive_report
from andon.incidents.run.runbook import tick_item
from andon.incidents.run.states import ack_incident, mark_incident, noticed, overrule_incident
from andon.incidents.run.timeline import add_note, find_entry, mark_entry, marks_of
from andon.incidents.runbooks import entry_of
from andon.incidents.states import MARKS, OVERRULED, Field, Mark, overruled
from andon.traffic import quoted
from andon.web.asking import Ask, Done, Gone, Undo
from andon.web.pages.incidents_tables import incident_link
from andon.web.routing import Pages

__all__ = ["found", "pages"]

pages = Pages()
HOUR_US = 3_600_000_000


def found(ask: Ask, incident_id: str) -> Incident:
    """The incident of a page.

    Raises:
        Gone: there is none.
    """
    incident: Incident | None = ask.ledger.get(Incident, incident_id)
    if incident is None:
        raise Gone(f"There is no incident {quoted(incident_id)}", "/incidents", "All incidents")
    return incident


def _by(ask: Ask) -> dict[str, Any]:
    return {"now_us": ask.now_us, "by": ask.by}


def _unchanged(ask: Ask, now: object, who: Callable[[], str]) -> None:
    """Refuse where somebody changed what the form showed."""
    if "seen" in ask.form and ask.form["seen"] != str(now or ""):
        raise StateError(f"{who()}. What you typed is kept: send it again if it still holds")


@pages.act("/incidents/report", role="reviewer")
def report(ask: Ask) -> Done:
    """Take in what a person says of an answer."""
    made = receive_report(
        ask.warehouse, ask.ledger, ask.given("text", "what is wrong"), app=ask.maybe("app"), environment=ask.maybe("environment"),
        interaction_id=ask.maybe("interaction"), near_miss=ask.maybe("near_miss") == "yes", **_by(ask),
    )  # fmt: skip
    return Done(to=incident_link(made.incident), said=f"Your report is recorded in {made.incident}.")


@pages.act("/incidents/{id}/acknowledge", role="responder")
def acknowledge(ask: Ask, id: str) -> Done:  # noqa: A002 - the field is called id
    """Say that somebody is at it."""
    done = ack_incident(ask.ledger, found(ask, id), **_by(ask))
    if done.acked_by != ask.by:
        return Done(to=incident_link(id), said=f"{done.acked_by} has acknowledged it already.")
    return Done(to=incident_link(id), said="You are on it; nobody is reminded any more.")


@pages.act("/incidents/{id}/mark/{milestone}", role="responder")
def mark(ask: Ask, id: str, milestone: str) -> Done:  # noqa: A002
    """Say what was reached, since when, and how one knows."""
    incident = found(ask, id)
    if milestone in MARKS:
        _unchanged(
            ask,
            getattr(incident, f"{milestone}_us"),
            lambda: f"somebody said meanwhile that {id} is {milestone}: see the timeline",
        )
    at_us = ask.time_us("at")
    why = ask.given("why", "why")
    mark_incident(ask.ledger, incident, cast(Mark, milestone), why, at_us=at_us or ask.now_us, **_by(ask))
    return Done(to=incident_link(id), said=f"{id} is {milestone}.")


@pages.act("/incidents/{id}/overrule/{field}", role="responder")
def overrule(ask: Ask, id: str, field: str) -> Done:  # noqa: A002
    """Put a person's word in place of what the signals suggest; both are kept."""
    incident, chosen = found(ask, id), ask.given("chosen", "what it is")
    before = getattr(incident, field, None) if field in OVERRULED else None
    word = overruled(incident, cast(Field, field))
    _unchanged(ask, before, lambda: f"{word.by if word else 'andon'} says meanwhile that the {field} is {before}")
    if chosen == before:
        raise InputError(f"the {field} is {chosen} already; choose another one")
    overrule_incident(ask.ledger, incident, cast(Field, field), chosen, ask.given("why", "why"), **_by(ask))
    undo = None
    if before:
        undo = Undo(
            action=f"{incident_link(id)}/overrule/{field}",
            fields={"chosen": before, "seen": chosen, "why": f"taken back by {ask.by}"},
        )
    return Done(
        to=incident_link(id), said=f"The {field} of {id} is {chosen} now; what was suggested is kept.", undo=undo
    )


@pages.act("/incidents/{id}/close", role="responder")
def close(ask: Ask, id: str) -> Done:  # noqa: A002
    """Close it, as what it was."""
    incident, ending = found(ask, id), ask.given("ending", "as what it is closed")
    if ending not in get_args(Ending):
        raise InputError(f"{quoted(ending)} is no ending; choose one of: {', '.join(get_args(Ending))}")
    close_incident(
        ask.warehouse, ask.ledger, incident, ask.given("why", "why"), ending=cast(Ending, ending),
        duplicate_of=ask.maybe("duplicate_of") if ending == "duplicate" else None, **_by(ask),
    )  # fmt: skip
    return Done(to=incident_link(id), said=f"{id} is closed.")


@pages.act("/incidents/{id}/investigate", role="responder")
def investigate(ask: Ask, id: str) -> Done:  # noqa: A002
    """Answer the four questions anew."""
    ask.site.errands.ask("investigate", by=ask.by, incident=found(ask, id).id)
    return Done(
        to=incident_link(id), said=f"{id} is investigated with everything that is known now; this page follows it."
    )


@pages.act("/incidents/{id}/recovery/measure", role="responder")
def measure(ask: Ask, id: str) -> Done:  # noqa: A002
    """Measure the exit criteria now."""
    ask.site.errands.ask("recover", by=ask.by, incident=found(ask, id).id)
    return Done(to=incident_link(id, "recovery"), said="The exit criteria are measured; this page follows it.")


@pages.act("/incidents/{id}/recovery/criteria", role="responder")
def add_criterion(ask: Ask, id: str) -> Done:  # noqa: A002
    """Add what must be true before the incident is over."""
    kind, watch_h = ask.given("kind", "what is asked for"), ask.maybe("watch_h")
    watch_us = round(ask.number("watch_h", "how many hours") * HOUR_US) if watch_h else WATCH_US
    plan = add_exit_criterion(
        ask.ledger, found(ask, id), ask.maybe("text") or "",
        monitor=ask.given("monitor", "the chart") if kind == "metric" else None,
        at_least=ask.number("at_least", "the share of probes") / 100 if kind == "probe" else None,
        watch_us=watch_us, **_by(ask),
    )  # fmt: skip
    return Done(to=incident_link(id, "recovery"), said=f"{plan.criteria[-1].id} was added.")


@pages.act("/incidents/{id}/recovery/criteria/{criterion}/drop", role="responder")
def drop_criterion(ask: Ask, id: str, criterion: str) -> Done:  # noqa: A002
    """Take out a criterion that does not apply, with the reason."""
    plan = drop_exit_criterion(ask.ledger, found(ask, id), criterion, ask.given("why", "why"), **_by(ask))
    return Done(to=incident_link(id, "recovery"), said=f"{criterion} was dropped; {len(plan.criteria)} are left.")


@pages.act("/incidents/{id}/recovery/criteria/{criterion}/check", role="responder")
def check_criterion(ask: Ask, id: str, criterion: str) -> Done:  # noqa: A002
    """Say that a person looked, and what was seen."""
    see_exit_check(ask.ledger, found(ask, id), criterion, ask.given("seen_when_checked", "what you saw"), **_by(ask))
    return Done(to=incident_link(id, "recovery"), said=f"{criterion} is met.")


@pages.act("/incidents/{id}/recovery/steps", role="responder")
def add_step(ask: Ask, id: str) -> Done:  # noqa: A002
    """Plan one more step of letting the capability back in."""
    text, check = ask.given("text", "what is let in again"), ask.given("check", "what must be seen")
    plan = add_recovery_step(ask.ledger, found(ask, id), text, check, **_by(ask))
    return Done(to=incident_link(id, "recovery"), said=f"{plan.steps[-1].id} is planned.")


@pages.act("/incidents/{id}/recovery/steps/{step}/done", role="responder")
def step_done(ask: Ask, id: str, step: str) -> Done:  # noqa: A002
    """Say that a step was taken and what its check showed."""
    do_recovery_step(
        ask.ledger, found(ask, id), step, ask.given("seen_when_checked", "what the check showed"), **_by(ask)
    )
    return Done(to=incident_link(id, "recovery"), said=f"{step} is done.")


@pages.act("/incidents/{id}/runbook/{item}/tick", role="responder")
def tick(ask: Ask, id: str, item: str) -> Done:  # noqa: A002
    """Record that a person did, or found out, what an item asks for."""
    incident = found(ask, id)
    state = ask.ledger.get(RunbookState, id)
    entry = entry_of(state, item) if state else None
    whose = f"{entry.by} {entry.at_us}" if entry is not None and entry.by != "andon" else ""
    _unchanged(ask, whose, lambda: f"{entry.by if entry else 'somebody'} ticked {item} meanwhile")
    note, config = ask.maybe("note") or "", ask.site.settings.config
    tick_item(ask.ledger, incident, item, note=note, config=config, **_by(ask))
    return Done(to=incident_link(id, "runbook"), said=f"{item} is ticked.")


@pages.act("/incidents/{id}/note", role="reviewer")
def note(ask: Ask, id: str) -> Done:  # noqa: A002
    """Add an entry to the timeline; comments are notes."""
    incident = found(ask, id)
    text, happened_us = ask.given("text", "the note"), ask.time_us("happened")
    made = add_note(
        ask.ledger, incident, text, happened_us=ask.now_us if happened_us is None else happened_us, **_by(ask)
    )
    noticed(ask.ledger, incident, **_by(ask))
    undo = (
        Undo(action=_mark_path(id, made, "hidden"), fields={"why": f"taken back by {ask.by}"})
        if ask.may("responder")
        else None
    )
    return Done(to=incident_link(id, "timeline"), said="Noted in the timeline.", undo=undo)


@pages.act("/incidents/{id}/timeline/{entry}/{mark}", role="responder")
def set_mark(ask: Ask, id: str, entry: str, mark: str) -> Done:  # noqa: A002
    """Pin or hide an entry, or take the mark away; the entry itself is never changed."""
    incident = found(ask, id)
    event = find_entry(ask.ledger, incident, entry)
    known = marks_of(ask.ledger, incident).get(event.id)
    before = known.mark if known else "shown"
    mark_entry(ask.ledger, incident, event, mark, why=ask.given("why", "why"), **_by(ask))
    said = {"pinned": "Pinned: it stands in every short form.", "hidden": "Hidden: it is shown where all is asked for."}
    undo = (
        Undo(action=_mark_path(id, event, before), fields={"why": f"taken back by {ask.by}"})
        if before != mark
        else None
    )
    return Done(to=f"{incident_link(id)}/timeline", said=said.get(mark, "The mark is taken away."), undo=undo)


def _mark_path(incident_id: str, event: TimelineEvent, mark: str) -> str:
    return f"{incident_link(incident_id)}/timeline/{event.id.rpartition('-')[2]}/{mark}"
