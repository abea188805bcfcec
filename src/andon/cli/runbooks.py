"""Commands about runbooks, timelines, reports and related incidents."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli.screen import now_us, opened, say, settings, show_table, who
from andon.errors import InputError
from andon.incidents import Incident, RunbookState, TimelineMark
from andon.incidents.run import find_incident, grow_timeline
from andon.incidents.run.related import related_to
from andon.incidents.run.reports import receive_report
from andon.incidents.run.runbook import query_log, read_runbook, tick_item
from andon.incidents.run.timeline import find_entry, mark_entry, marks_of, timeline_of
from andon.incidents.runbooks import PHASES, clock_text, entry_of, next_item
from andon.incidents.timeline import brief, t_of
from andon.investigations import Investigation
from andon.loop import Loop
from andon.monitors.verdicts import percent
from andon.traffic import format_time
from andon.traffic.clock import minute_text

__all__ = ["add_to"]

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")]
Entry = Annotated[str, typer.Argument(metavar="ENTRY", help="The entry, by the beginning of its id.")]
Why = Annotated[str, typer.Option(help="The reason that is recorded.")]

_BOXES = {"yes": "[yes]", "no": "[no] ", "cannot tell": "[?]  ", "done": "[x]  "}


def add_to(incident: typer.Typer, app: typer.Typer) -> None:
    """Add these commands."""
    for about in (timeline, pin, hide, unmark, report, related):
        incident.command()(about)
    group = typer.Typer(
        help="What to do in which order: answered by the data, or ticked by people.", no_args_is_help=True
    )
    for command in (show, answer, tick, queries, check):
        group.command()(command)
    app.add_typer(group, name="runbook")


def timeline(
    incident_id: Id,
    every: Annotated[bool, typer.Option("--all", help="Show every signal, and what somebody hid.")] = False,
) -> None:
    """What happened in order, with both clocks: when it happened and when it was learned."""
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        grow_timeline(loop.warehouse, loop.ledger, incident, now_us=now_us())
        events = timeline_of(loop.ledger, incident, hidden=every)
        marks = marks_of(loop.ledger, incident)
    left = 0
    if not every:
        events, left = brief(events, marks, alarmed_us=incident.alarmed_us)
    rows = [
        (
            e.id.rpartition("-")[2][:6],
            t_of(e.happened_us, incident.alarmed_us),
            format_time(e.happened_us)[:19].replace("T", " "),
            t_of(e.learned_us, incident.alarmed_us),
            e.kind,
            f"{_mark(marks.get(e.id))}{e.text}",
            e.by,
        )
        for e in events
    ]
    say(f"{incident.id}: {incident.title}")
    say("T is the time since the alarm, in hours and minutes.")
    head = ("entry", "T", "happened at (UTC)", "learned", "what", "", "by")
    show_table(head, rows, empty="the timeline is empty")
    if left:
        say(f"{left:,} later signals and warnings are left out; --all shows them")


def _mark(mark: TimelineMark | None) -> str:
    return "" if mark is None or mark.mark == "shown" else f"[{mark.mark}: {mark.why}] "


def pin(incident_id: Id, entry: Entry, why: Why) -> None:
    """Pin an entry of the timeline: it stands in the short form of every document."""
    _set(incident_id, entry, "pinned", why)


def hide(incident_id: Id, entry: Entry, why: Why) -> None:
    """Hide an entry of the timeline: it is shown only where all entries are asked for, and never removed."""
    _set(incident_id, entry, "hidden", why)


def unmark(incident_id: Id, entry: Entry, why: Why) -> None:
    """Take back that an entry is pinned or hidden."""
    _set(incident_id, entry, "shown", why)


def _set(incident_id: str, entry: str, mark: str, why: str) -> None:
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        found = find_entry(loop.ledger, incident, entry)
        mark_entry(loop.ledger, incident, found, mark, why=why, now_us=now_us(), by=who())
    say(f"{mark}: {found.text}")


def report(
    text: Annotated[str, typer.Argument(help="What is wrong, in your words.")],
    interaction: Annotated[str | None, typer.Option(help="The answer that it is about, by its id.")] = None,
    app: Annotated[str | None, typer.Option(help="The application; that of the interaction unless given.")] = None,
    environment: Annotated[
        str | None, typer.Option(help="The environment; that of the interaction unless given.")
    ] = None,
    near_miss: Annotated[bool, typer.Option("--near-miss", help="Nobody was harmed, but only by luck.")] = False,
) -> None:
    """Say that an answer is wrong: opens an incident, or joins the open one that it belongs to."""
    with opened() as loop:
        loop.warehouse.commit()
        made = receive_report(
            loop.warehouse, loop.ledger, text, app=app, environment=environment, interaction_id=interaction,
            near_miss=near_miss, by=who(), now_us=now_us(),
        )  # fmt: skip
        incident = find_incident(loop.ledger, made.incident)
    say(f"{made.id} is recorded in {incident.id} ({incident.severity}): {incident.title}")


def related(incident_id: Id) -> None:
    """Incidents that are like this one: by the signature of the failure, and by what people wrote."""
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        found = related_to(loop.ledger, incident, loop.embedder, kind_of=lambda i: _kind(loop, i))
        titles = {i.id: (i.state, i.title) for i in loop.ledger.all(Incident)}
    rows = [(r.id, percent(r.score), titles[r.id][0], r.why, titles[r.id][1]) for r in found]
    show_table(("incident", "alike", "state", "why", "what was wrong"), rows, empty="no incident is like it")


def _kind(loop: Loop, incident: Incident) -> str | None:
    found = loop.ledger.get(Investigation, incident.id)
    return found.suspects[0].kind if found is not None and found.suspects else None


def show(incident_id: Id) -> None:
    """The runbook of an incident: what is answered, what is ticked, what is next, and how the clock stands."""
    now = now_us()
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        loop.warehouse.commit()
        state = loop.runbook(incident, now)
    _tell(incident, state, now)


def answer(incident_id: Id) -> None:
    """Answer the items that data can answer anew, as of now, and record what was found."""
    now = now_us()
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        loop.warehouse.commit()
        state = loop.runbook(incident, now, anew=True)
    _tell(incident, state, now)


def _tell(incident: Incident, state: RunbookState, now: int) -> None:
    say(f"{incident.id}: {incident.title}")
    say(f"runbook: {state.runbook.name} ({state.runbook.source})")
    wide = max(len(item.id) for item in state.runbook.items)
    for phase in PHASES:
        items = [item for item in state.runbook.items if item.phase == phase.name]
        say(f"\n{phase.name.upper()} ({clock_text(phase, now - incident.alarmed_us)}): {phase.about}")
        for item in items:
            entry = entry_of(state, item.id)
            say(f"{'[ ]  ' if entry is None else _BOXES[entry.found]} {item.id:<{wide}}  {item.text}")
            indent = " " * (wide + 8)
            if entry is not None and entry.by != "andon":
                said = f": {entry.text}" if entry.text else ""
                say(f"{indent}{entry.by}, {t_of(entry.at_us, incident.alarmed_us)}{said}")
            elif entry is not None:
                say(f"{indent}{entry.text}")
                say(f"{indent}see {entry.link} (as of {minute_text(entry.at_us)} UTC)")
    following = next_item(state)
    left = "everything is answered or ticked" if following is None else f"next: {following.id}: {following.text}"
    say(f"\n{left}")


def tick(
    incident_id: Id,
    item: Annotated[str, typer.Argument(metavar="ITEM", help="The item, e.g. read.")],
    note: Annotated[str, typer.Option(help="What was found or done.")] = "",
) -> None:
    """Tick an item that you did or found out; it takes the place of Andon's answer, where there is one."""
    now = now_us()
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        loop.warehouse.commit()
        tick_item(loop.ledger, incident, item, note=note, config=loop.settings.config, now_us=now, by=who())
        state = loop.runbook(incident, now)
    following = next_item(state)
    say(f"ticked {item}; " + ("nothing is left" if following is None else f"next: {following.id}: {following.text}"))


def queries(
    incident_id: Id,
    out: Annotated[Path, typer.Option(help="The CSV file to write.", dir_okay=False)],
) -> None:
    """Write the full query log of an incident since its onset, with the type of each query and whether it was harmed."""
    now = now_us()
    n = -1
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        loop.warehouse.commit()
        try:
            with out.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                for line in query_log(loop.warehouse, loop.ledger, incident, now_us=now):
                    file.write(line)
                    n += 1
        except OSError as error:
            raise InputError(f"cannot write {out}: {error.strerror}; give the path of a file") from error
    say(f"{n:,} interactions since {format_time(incident.onset_low_us)} in {out}")


def check(file: Annotated[Path, typer.Argument(help="The runbook.", dir_okay=False)]) -> None:
    """Say whether a runbook can be read, and what is in it."""
    found = read_runbook(file)
    rows = [(i.phase, i.id, i.answer or "a person", i.text) for i in found.items]
    show_table(("phase", "item", "answered by", "what"), rows, empty="it has no items")
    folder = Path(settings().config).parent
    say(f"{found.name}: {len(found.items)} items can be read; it is used where it is {folder / 'runbook.toml'}")
