"""Commands that hand a postmortem to others (AVID, AIID, Article 73), or let a language model suggest its prose."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer

from andon.cli.screen import before, now_us, opened, say
from andon.errors import InputError
from andon.incidents import Incident
from andon.incidents.run import find_incident
from andon.postmortems.exports import DAYS, Clock, aiid_of, article_73_of, avid_of, awareness_of, organisation_of
from andon.postmortems.prose import check_prose, instruction, suggestible
from andon.postmortems.run import layouts_beside, reviewed
from andon.postmortems.run.review import people_write, working
from andon.postmortems.writer import open_writer
from andon.traffic import format_time

__all__ = ["add_to"]

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")]


class Form(StrEnum):
    """What a postmortem can be handed over as."""

    AVID = "avid"
    AIID = "aiid"
    ARTICLE_73 = "article-73"


def add_to(group: typer.Typer) -> None:
    """Add these commands."""
    group.command()(export)
    group.command()(suggest)


def export(
    incident_id: Id,
    form: Annotated[Form, typer.Option("--as", help="avid and aiid are JSON, article-73 is Markdown with its clocks.")],
    out: Annotated[Path | None, typer.Option(help="File to write; without it the text is printed.")] = None,
    aware: Annotated[
        str | None,
        typer.Option(
            help="When the provider became aware (ISO 8601, or 3h ago as 3h); else when the first person said anything, and "
            "where nobody has, the alarm, marked as assumed."
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option(help="Clock of article-73: general (15 days), death (10) or widespread (2).")
    ] = "general",
) -> None:
    """Hand an incident to others: the AVID and AIID databases, or the authority by Article 73 of the EU AI Act."""
    if kind not in DAYS:
        raise InputError(f"{kind!r} is no clock of Article 73; one of {', '.join(DAYS)} is")
    now = now_us()
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        p = reviewed(loop.ledger, incident.id, layouts_beside(loop.settings.config))
        organisation = organisation_of(loop.settings.tables, loop.settings.config)
    if form is Form.ARTICLE_73:
        aware_us, how = (before(now, aware), "") if aware else awareness_of(incident)
        if aware:
            _check_aware(incident, aware_us, now)
        text = article_73_of(p, organisation, aware_us=aware_us, kind=cast(Clock, kind), now_us=now, how=how)
    else:
        record = avid_of(p, organisation) if form is Form.AVID else aiid_of(p, organisation)
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    if out is None:
        say(text.rstrip())
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    say(str(out))


def _check_aware(incident: Incident, aware_us: int, now: int) -> None:
    """Refuse a time of awareness that cannot be: a clock that began elsewhere would show a wrong date.

    Raises:
        InputError: it lies ahead, or before the incident can have begun, where a chart dates that.
    """
    if aware_us > now:
        raise InputError(f"--aware {format_time(aware_us)} lies ahead; nobody can be aware of it before now")
    if incident.lead and aware_us < incident.onset_low_us:
        raise InputError(
            f"--aware {format_time(aware_us)} is before {incident.id} can have begun "
            f"({format_time(incident.onset_low_us)} at the earliest)"
        )


def suggest(
    incident_id: Id,
    section: Annotated[
        list[str] | None,
        typer.Option(help="Which section for people; may be given again. All that a model may suggest unless given."),
    ] = None,
) -> None:
    """Let a language model suggest prose, section by section; a text with a number that the record does not hold is refused."""
    with opened() as loop:
        write = open_writer(loop.settings)
        incident = find_incident(loop.ledger, incident_id)
        p = working(loop.ledger, incident.id, layouts_beside(loop.settings.config))
    may = suggestible(people_write(p))
    known = {name.casefold(): name for name in may}
    lost = [name for name in section or () if name.casefold() not in known]
    if lost or not may:
        what = f"{lost[0]!r} is no section" if lost else "there is no section"
        raise InputError(
            f"{what} that a model may suggest by the template {p.review.template!r}; those are {', '.join(may) or 'none'}"
        )
    sections = [known[name.casefold()] for name in section or may]
    refused = 0
    for name in sections:
        done = check_prose(p, name, write(instruction(p, name)))
        refused += not done.accepted
        say(f"## {name}")
        if done.accepted:
            say(done.text)
        elif done.unknown:
            say(f"refused: not in the record, or not to be suggested: {', '.join(done.unknown)}")
        else:
            say("refused: the answer was empty")
        say("")
    if refused == len(sections):
        raise typer.Exit(1)
    say(
        f"These are suggestions. `andon postmortem edit {incident.id} --section NAME --text ...` makes one of them yours."
    )
