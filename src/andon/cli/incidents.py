"""Commands about incidents: what is wrong, what people say of it, whether it is over."""

from shlex import quote
from typing import Annotated, cast

import typer

from andon.cli import runbooks
from andon.cli.channels import ack
from andon.cli.screen import before, now_us, opened, plain, say, show_table, who
from andon.incidents import Delivery, ExitCriterion, Incident, Recovery, TimelineEvent, duration, odds
from andon.incidents.clocks import clocks_of
from andon.incidents.failures import failure_rows, group_rows
from andon.incidents.records import Ending
from andon.incidents.recovery import unmet
from andon.incidents.run import add_note, find_incident, grow_timeline, timeline_of
from andon.incidents.run.recovery import (
    add_exit_criterion,
    add_recovery_step,
    charts_of,
    close_incident,
    do_recovery_step,
    drop_exit_criterion,
    dropped_of,
    measure_recovery,
    recovery_of,
    see_exit_check,
)
from andon.incidents.run.states import first_visible, mark_incident, noticed, overrule_incident
from andon.incidents.run.timeline import first_told
from andon.incidents.states import Field, Mark, measure_commands, unmeasured, what_next
from andon.incidents.triage import CLASSES, severity_rows
from andon.investigations import Investigation
from andon.traffic import format_time
from andon.traffic.clock import minute_text

__all__ = ["add_to"]

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")]
CriterionId = Annotated[str, typer.Argument(metavar="CRITERION", help="The exit criterion, e.g. C1.")]
Ago = Annotated[str | None, typer.Option(help="When (ISO 8601, or 30m, 2h, 1d ago); now unless given.")]

ENTRIES = 20
"""Entries of the timeline that one screen shows: half of them the first, half the last."""

MOST_CHARTS = 20
"""Charts that one screen names."""


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    incident = typer.Typer(
        help="What is wrong, for whom, since when, how sure; and whether it is over.", no_args_is_help=True
    )
    incident.command(name="list")(list_)
    for command in (show, rules, note, ack, overrule, mark, recovery, close):
        incident.command()(command)
    criteria = typer.Typer(help="What must be true before an incident is over.", no_args_is_help=True)
    criteria.command(name="add")(add_criterion)
    criteria.command(name="drop")(drop_criterion)
    criteria.command(name="check")(check_criterion)
    incident.add_typer(criteria, name="criterion")
    steps = typer.Typer(help="The steps by which what was switched off comes back.", no_args_is_help=True)
    steps.command(name="add")(add_step)
    steps.command(name="done")(step_done)
    incident.add_typer(steps, name="step")
    app.add_typer(incident, name="incident")
    runbooks.add_to(incident, app)


def list_() -> None:
    """All incidents, newest first."""
    with opened() as loop:
        found = sorted(loop.ledger.all(Incident), key=lambda i: (-i.alarmed_us, i.id))
    rows = [(i.id, i.severity, i.impact, i.state, format_time(i.alarmed_us), i.title) for i in found]
    show_table(("incident", "", "class", "state", "alarmed", "what is wrong"), rows, empty="no incident yet")


def show(incident_id: Id) -> None:
    """One incident on one screen: what is wrong, when what was reached, how bad, the suspects, what is next, the timeline."""
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        grow_timeline(loop.warehouse, loop.ledger, incident, now_us=now_us())  # a pull of a minute ago is in it
        events = timeline_of(loop.ledger, incident)
        found = loop.ledger.get(Investigation, incident.id)
        plan = recovery_of(loop.ledger, incident)
        dropped = dropped_of(loop.ledger, incident, plan)
        visible = incident.visible_us or first_visible(loop.warehouse, loop.ledger, incident)
        told = first_told(loop.ledger, incident)
    say(f"{incident.id}  {incident.severity}  {incident.state.upper()}\n{incident.title}\n")
    say(f"next: {what_next(incident, plan)}\n")
    show_table(("when", "", ""), _times(incident, visible, told), empty="")
    say("")
    show_table(("what", "is", "why"), _judged(incident), empty="")
    if found is not None:
        say("")
        suspects = [(odds(s.probability), s.title, "; ".join(s.supports[:2])) for s in found.suspects[:4]]
        show_table(("odds", "suspect", "what speaks for it"), suspects, empty="no suspects")
    if plan.criteria or plan.dropped or plan.steps:
        say("")
        _show_plan(plan, dropped)
    say("")
    _show_timeline(incident, events)


def _times(incident: Incident, visible_us: int | None, told: Delivery | None) -> list[tuple[str, str, str]]:
    """When what was reached, with what is still missing; that people were told only where it was late."""
    rows = []
    for c in clocks_of(incident, visible_us=visible_us, told=told):
        if c.name == "first told" and not c.note:
            continue
        at = _reached(c.at_us, "nothing found" if c.name == "first visible" else "not yet")
        rows.append((c.name, f"{at} (estimated)" if c.name == "began" else at, c.note))
    return rows


def _judged(incident: Incident) -> list[tuple[str, str, str]]:
    """Class, severity and failure type, each with its reason (which names an overrule and what the signals suggest)."""
    told = (
        ("class", incident.impact, incident.impact_reason),
        ("severity", incident.severity, incident.severity_reason),
        ("failure", incident.failure or "cannot tell", incident.failure_reason),
    )
    return [(name, value, reason.removeprefix(f"{value}: ")) for name, value, reason in told]


def _show_timeline(incident: Incident, events: list[TimelineEvent]) -> None:
    rows = [(minute_text(e.happened_us), _late(e), e.kind, e.text, e.by) for e in events]
    left = len(rows) - ENTRIES
    if left > 0:  # how it began, and what came last
        gap = ("", "", "", f"({left} more: andon incident timeline {incident.id})", "")
        rows = [*rows[: ENTRIES // 2], gap, *rows[-ENTRIES // 2 :]]
    show_table(("happened (UTC)", "learned", "what", "", "by"), rows, empty="the timeline is empty")


def _late(entry: TimelineEvent) -> str:
    late_s = (entry.learned_us - entry.happened_us) / 1e6
    return f"{duration(late_s)} later" if late_s >= 60 else ""


def _reached(at_us: int | None, never: str = "not yet") -> str:
    return never if at_us is None else minute_text(at_us)


def rules() -> None:
    """The rules: the classes, how severity follows, and which signals and changes point to which failure type."""
    show_table(("class", "what users lose, worst first"), list(CLASSES.items()), empty="")
    say("")
    show_table(
        ("severity", "class", "risk category", "more harm", "the first row that fits"), severity_rows(), empty=""
    )
    say("")
    show_table(("metrics", "what counts as moved"), group_rows(), empty="")
    say("")
    show_table(("moved first", "nearest change", "failure", "because"), failure_rows(), empty="")


def note(incident_id: Id, text: Annotated[str, typer.Argument(help="What happened.")], at: Ago = None) -> None:
    """Add an entry to the timeline."""
    now = now_us()
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        add_note(loop.ledger, incident, text, happened_us=before(now, at) if at else now, now_us=now, by=who())
        noticed(loop.ledger, incident, now_us=now, by=who())
    say(f"noted in {incident_id}")


def overrule(
    incident_id: Id,
    field: Annotated[str, typer.Argument(help="impact, severity or failure.")],
    value: Annotated[str, typer.Argument(help="What it is, e.g. safety, P1, 'prompt regression'.")],
    why: Annotated[str, typer.Option(help="Why; it stands beside what the signals suggest.")],
) -> None:
    """Put your word in place of the class, severity or failure type that the signals suggest; both are kept."""
    with opened() as loop:
        found = find_incident(loop.ledger, incident_id)
        done = overrule_incident(loop.ledger, found, cast(Field, field), value, why, now_us=now_us(), by=who())
    show_table(("what", "is", "why"), _judged(done), empty="")


def mark(
    incident_id: Id,
    milestone: Annotated[
        str, typer.Argument(help="stabilised (harm stopped), diagnosed (cause known) or fixed (cause gone).")
    ],
    why: Annotated[str, typer.Option(help="What was done or found, and how you know.")],
    at: Ago = None,
) -> None:
    """Say what has been reached, and since when."""
    now = now_us()
    with opened() as loop:
        found = find_incident(loop.ledger, incident_id)
        at_us = before(now, at) if at else now
        done = mark_incident(loop.ledger, found, cast(Mark, milestone), why, at_us=at_us, now_us=now, by=who())
        plan = recovery_of(loop.ledger, done)
    say(f"{done.id} is {milestone} since {minute_text(at_us)} UTC\nnext: {what_next(done, plan)}")


def recovery(incident_id: Id) -> None:
    """Measure the exit criteria now, and show them with the steps by which what was switched off comes back."""
    with opened() as loop:
        loop.warehouse.commit()
        found = find_incident(loop.ledger, incident_id)
        incident, plan = measure_recovery(loop.warehouse, loop.ledger, found, now_us=now_us(), by=who())
        dropped = dropped_of(loop.ledger, incident, plan)
        charts = sorted(charts_of(loop.ledger, incident))
    _show_plan(plan, dropped)
    if incident.state == "closed":
        say(f"{incident.id} is closed: {incident.closed_why}")
    elif missing := unmet(incident, plan):
        known = [f"{c.id} is not met" for c in plan.criteria if c.met is not True]  # the table has their figures
        add = f" ({measure_commands(incident.id)})" if unmeasured(incident, plan.criteria) else ""
        say(f"{incident.id} has not recovered: {'; '.join((*known, *missing[len(known) :]))}{add}")
    else:
        say(f"{incident.id} has recovered, since {minute_text(incident.recovered_us or 0)} UTC")
    say(f"next: {what_next(incident, plan)}")
    if charts and incident.state != "closed":
        _show_charts(incident, plan, charts)


def _show_plan(plan: Recovery, dropped: list[tuple[ExitCriterion, str, TimelineEvent]]) -> None:
    """The criteria, beneath them those that were dropped and why, and the steps."""
    rows = [(c.id, _met(c), c.text, c.measured or "not measured yet") for c in plan.criteria]
    show_table(("", "met", "exit criterion", "measured"), rows, empty="no exit criterion yet")
    if dropped:
        say("")
        out = [
            (c.id, c.text, c.measured or "never measured", w, e.by, minute_text(e.learned_us)) for c, w, e in dropped
        ]
        show_table(("", "dropped, does not count", "measured last", "why", "by", "when"), out, empty="")
    if plan.steps:
        say("")
        taken = [(s.id, _reached(s.done_us), s.text, s.check, s.seen, s.by) for s in plan.steps]
        show_table(("", "done", "step", "check", "seen", "by"), taken, empty="")


def _show_charts(incident: Incident, plan: Recovery, charts: list[str]) -> None:
    """The charts that signalled, one to a line, each as a shell takes it."""
    say(f'\nCharts that signalled, for `andon incident criterion add {incident.id} "" --chart CHART`:')
    for chart in charts[:MOST_CHARTS]:
        known = ", ".join(c.id for c in plan.criteria if c.monitor == chart)
        say(f"  {quote(plain(chart))}" + (f"  ({known})" if known else ""))
    if len(charts) > MOST_CHARTS:
        say(f"  ({len(charts) - MOST_CHARTS} more)")


def _met(criterion: ExitCriterion) -> str:
    return {True: "yes", False: "not yet", None: "cannot tell"}[criterion.met] if criterion.measured else "?"


def add_criterion(
    incident_id: Id,
    text: Annotated[str, typer.Argument(help="What must be true, in words.")],
    chart: Annotated[str | None, typer.Option(help="The chart that must stay inside its limits, by its id.")] = None,
    probes: Annotated[float | None, typer.Option(help="The share of probes that must pass, 0..1.")] = None,
    watch: Annotated[str, typer.Option(help="How long it must hold, such as 24h or 7d.")] = "48h",
) -> None:
    """Add an exit criterion: a chart, a pass rate of probes, or else something that a person checks."""
    now = now_us()
    with opened() as loop:
        plan = add_exit_criterion(
            loop.ledger, find_incident(loop.ledger, incident_id), text, monitor=chart, at_least=probes,
            watch_us=now - before(now, watch), now_us=now, by=who(),
        )  # fmt: skip
    say(f"{plan.criteria[-1].id} was added: {plan.criteria[-1].text}")


def drop_criterion(
    incident_id: Id,
    criterion_id: CriterionId,
    why: Annotated[str, typer.Option(help="Why it does not apply; it stands in the timeline.")],
) -> None:
    """Take out an exit criterion that does not apply, with the reason."""
    with opened() as loop:
        found = find_incident(loop.ledger, incident_id)
        plan = drop_exit_criterion(loop.ledger, found, criterion_id, why, now_us=now_us(), by=who())
    say(f"{criterion_id} was dropped; {len(plan.criteria)} are left")


def check_criterion(
    incident_id: Id,
    criterion_id: CriterionId,
    seen: Annotated[str, typer.Option(help="What you saw when you looked.")],
) -> None:
    """Say that you checked an exit criterion that only a person can check, and that it is met."""
    with opened() as loop:
        found = find_incident(loop.ledger, incident_id)
        see_exit_check(loop.ledger, found, criterion_id, seen, now_us=now_us(), by=who())
    say(f"{criterion_id} is met")


def add_step(
    incident_id: Id,
    text: Annotated[str, typer.Argument(help="What is let in again, e.g. '10 % of traffic'.")],
    check: Annotated[str, typer.Option(help="What must be seen before the next step may be taken.")],
) -> None:
    """Plan the next step of letting the capability back in."""
    with opened() as loop:
        found = find_incident(loop.ledger, incident_id)
        plan = add_recovery_step(loop.ledger, found, text, check, now_us=now_us(), by=who())
    say(f"{plan.steps[-1].id} is planned: {plan.steps[-1].text}")


def step_done(
    incident_id: Id,
    step_id: Annotated[str, typer.Argument(metavar="STEP", help="The step, e.g. S1.")],
    seen: Annotated[str, typer.Option(help="What the check showed.")],
) -> None:
    """Say that a step was taken and what its check showed; steps are taken in order."""
    with opened() as loop:
        found = find_incident(loop.ledger, incident_id)
        plan = do_recovery_step(loop.ledger, found, step_id, seen, now_us=now_us(), by=who())
    left = [s for s in plan.steps if s.done_us is None]
    say(f"{step_id} is done; " + (f"next is {left[0].id}: {left[0].text}" if left else "all steps are done"))


def close(
    incident_id: Id,
    why: Annotated[str, typer.Option(help="What was measured that shows it is over.")],
    ending: Annotated[str, typer.Option("--as", help="recovered, 'false alarm', duplicate or retired.")] = "recovered",
    of: Annotated[str | None, typer.Option(help="The incident that it is a duplicate of.")] = None,
) -> None:
    """Close an incident: as recovered only when every exit criterion is met, as retired only when its traffic is gone."""
    with opened() as loop:
        loop.warehouse.commit()
        found = find_incident(loop.ledger, incident_id)
        closed = close_incident(
            loop.warehouse, loop.ledger, found, why, now_us=now_us(), by=who(), ending=cast(Ending, ending),
            duplicate_of=of,
        )  # fmt: skip
    say(f"{closed.id} is closed: {closed.closed_why}")
