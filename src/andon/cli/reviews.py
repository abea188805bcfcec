"""Commands of review: sections, comments, sign-offs, publishing, search, learning."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.screen import NOBODY, before, now_us, opened, plain, say, show_table, who
from andon.errors import InputError
from andon.incidents.run import find_incident
from andon.loop import Loop
from andon.postmortems.learning import Agenda, Learned, share_text, spread_text
from andon.postmortems.records import Review
from andon.postmortems.review import (
    AREAS,
    Standing,
    add_factor,
    answer,
    choose_template,
    remark,
    vouching,
    write_section,
)
from andon.postmortems.run import review as stage
from andon.traffic import format_time

__all__ = ["add_to"]

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")]
LARGEST = 1_000_000


def add_to(group: typer.Typer, app: typer.Typer) -> None:
    """Add these commands."""
    for command in (show, edit, factor, comment, resolve, sign, publish, amend, history, search):
        group.command()(command)
    app.command()(learning)


def show(
    incident_id: Id, text: Annotated[bool, typer.Option("--text", help="The text that a sign-off is of.")] = False
) -> None:
    """Where the review stands: sections, comments, sign-offs, and what is missing."""
    from andon.postmortems.markdown import signed_text

    with opened() as loop:
        name = find_incident(loop.ledger, incident_id).id
        layouts = _layouts(loop)
        p, standing = stage.working(loop.ledger, name, layouts), stage.stand(loop.ledger, name, layouts)
        asked, editions = stage.people_write(p), stage.editions(loop.ledger, name)
    if text:
        say(signed_text(p))
        return
    last = editions[-1].record if editions else None
    done = "" if last is None else f"{last.postmortem.status} {format_time(last.at_us)} by {last.by}; "
    same = last is not None and last.digest == standing.digest
    state = "nothing has changed since" if same else f"{'the text since then is ' if last else ''}{p.status}"
    say(f"{name}: {done}{state}; template {p.review.template}")
    written = {s.section: s for s in p.review.sections}
    rows = [(s, f"written by {written[s].by}" if s in written else "EMPTY") for s in asked]
    show_table(("section for people", ""), rows, empty="the template asks people to write nothing")
    comments = [
        (c.id, c.by, c.text, f"{c.answer} ({c.resolved_by})" if c.resolved_by else "OPEN") for c in p.review.comments
    ]
    show_table(("comment", "by", "", "answer"), comments, empty="no comment")
    if not same:
        _standing(standing)


def edit(
    incident_id: Id,
    section: Annotated[str | None, typer.Option(help="Name of the section for people.")] = None,
    text: Annotated[str | None, typer.Option(help="What shall stand there; empty takes it out.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file that holds the text.", exists=True, dir_okay=False)] = None,
    template: Annotated[str | None, typer.Option(help="Another template for this postmortem.")] = None,
) -> None:
    """Write a section that is meant for people, or choose another template."""
    from andon.postmortems.run.documents import layout_of, templates_beside

    if (section is None) == (template is None):
        raise InputError("give --section with --text or --file, or --template")
    if section is not None and (text is None) == (file is None):
        raise InputError("give the text of the section with --text, or with --file")
    with opened() as loop:
        name = find_incident(loop.ledger, incident_id).id
        if template is not None:
            layout_of(template, templates_beside(loop.settings.config))  # refused where there is none of this name
            review = _change(loop, name, lambda r: choose_template(r, template))
            say(f"{name} is written by the template {review.template}")
            return
        asked = stage.people_write(stage.working(loop.ledger, name, _layouts(loop)))
        words, at, me = text if file is None else _read(file), now_us(), who()
        _change(loop, name, lambda r: write_section(r, section or "", words or "", allowed=asked, by=me, at_us=at))
    say(f"{'written' if (words or '').strip() else 'taken out'} in {name}; sign-offs of the earlier text have lapsed")


def factor(
    incident_id: Id,
    area: Annotated[str, typer.Argument(help=f"One of: {', '.join(AREAS)}.")],
    text: Annotated[str, typer.Argument(help="What made the incident possible, larger or longer; never a person.")],
) -> None:
    """Add a contributing factor that the record cannot show."""
    with opened() as loop:
        name = find_incident(loop.ledger, incident_id).id
        _change(loop, name, lambda r: add_factor(r, area, text))
    say(f"added to {name}; sign-offs of the earlier text have lapsed")


def comment(incident_id: Id, text: Annotated[str, typer.Argument(help="What should be looked at.")]) -> None:
    """Comment on a postmortem; it cannot be published before the comment is answered."""
    with opened() as loop:
        name = find_incident(loop.ledger, incident_id).id
        at, me = now_us(), who()
        review = _change(loop, name, lambda r: remark(r, text, by=me, at_us=at))
    say(f"comment {review.comments[-1].id} on {name}")


def resolve(
    incident_id: Id,
    comment_id: Annotated[str, typer.Argument(metavar="COMMENT", help="The comment, e.g. C1.")],
    answer_: Annotated[str, typer.Option("--answer", help="What became of it.")],
) -> None:
    """Answer a comment, which resolves it."""
    with opened() as loop:
        name = find_incident(loop.ledger, incident_id).id
        me = who()
        _change(loop, name, lambda r: answer(r, comment_id, answer_, by=me))
    say(f"{comment_id} on {name} is resolved")


def sign(incident_id: Id) -> None:
    """Stand by the text as it is now; the sign-off lapses when the text changes."""
    me = _named("sign")
    with opened() as loop:
        name = find_incident(loop.ledger, incident_id).id
        layouts = _layouts(loop)
        digest = stage.sign_postmortem(loop.ledger, name, now_us=now_us(), by=me, layouts=layouts)
        standing = stage.stand(loop.ledger, name, layouts)
    say(f"{me} signed {name} ({digest[:12]}; read it with `andon postmortem show {name} --text`)")
    if me not in standing.signed:
        say("it does not count for publishing: who wrote a section does not vouch for it")
    _standing(standing)


def publish(incident_id: Id) -> None:
    """Publish: from now on others see this text, whatever is computed later."""
    me = _named("publish")
    with opened() as loop:
        name = find_incident(loop.ledger, incident_id).id
        done = stage.publish(loop.ledger, name, now_us=now_us(), by=me, layouts=_layouts(loop))
    say(f"{name} is published ({done.digest[:12]}); `andon postmortem write {name}` writes it")


def amend(
    incident_id: Id, why: Annotated[str, typer.Option(help="Why it is amended; it stands in the history.")]
) -> None:
    """Publish the text as it is now in place of the published one; every version stays in the history."""
    me = _named("amend")
    with opened() as loop:
        name = find_incident(loop.ledger, incident_id).id
        done = stage.amend(loop.ledger, name, why, now_us=now_us(), by=me, layouts=_layouts(loop))
    say(f"{name} is amended ({done.digest[:12]}): {done.why}")


def history(incident_id: Id) -> None:
    """Everything that was published about an incident, with who signed it and why it was amended."""
    with opened() as loop:
        name = find_incident(loop.ledger, incident_id).id
        editions = stage.editions(loop.ledger, name)
    rows = []
    for e in editions:
        review = e.record.postmortem.review
        signed = ", ".join(s.by for s in vouching(review, e.record.digest))
        why = e.record.why or "first published"
        rows.append((e.version, format_time(e.record.at_us), e.record.by, signed, e.record.digest[:12], why))
    show_table(("version", "published", "by", "signed by", "text", "why"), rows, empty=f"{name} was never published")


def search(
    words: Annotated[str, typer.Argument(help="Words, or a sentence.")],
    failure: Annotated[str | None, typer.Option(help="Only incidents of this failure type.")] = None,
    since: Annotated[str | None, typer.Option(help="How far back (90d) or since when (ISO 8601).")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1)] = 10,
) -> None:
    """Search all postmortems by words and by meaning."""
    from andon.postmortems.run.search import search_postmortems

    begin = before(now_us(), since) if since else 0
    with opened() as loop:
        found = search_postmortems(
            loop.ledger, loop.embedder, words, failure=failure, since_us=begin, most=limit, layouts=_layouts(loop)
        )
    for f in found:
        how = f"words: {', '.join(f.words)}" if f.words else f"by meaning, cosine {f.similarity:.2f}"
        say(plain(f"{f.postmortem}  {f.section}  ({how})"))  # one line each: no text looks like a line of ours
        say(plain(f"    {f.snippet}"))
    if not found:
        say("nothing fits; `andon incident list` lists the incidents")


def learning(
    since: Annotated[str | None, typer.Option(help="How far back (90d) or since when (ISO 8601).")] = None,
) -> None:
    """What the incidents taught: lags, who found them, levers, proved actions, recurrence, and what is unresolved."""
    from andon.loop.learning import learned_so_far

    now = now_us()
    with opened() as loop:
        learned, agenda = learned_so_far(
            loop.ledger, now_us=now, since_us=before(now, since) if since else 0, layouts=_layouts(loop)
        )
    _learned(learned, agenda)


def _learned(x: Learned, agenda: tuple[Agenda, ...]) -> None:
    say(f"incidents: {x.incidents}; beside them false alarms: {x.false_alarms}, duplicates: {x.duplicates}")
    rows = [(f"detection lag, {quarter}", spread_text(s)) for quarter, s in x.lags]
    rows += [
        ("found by us before any person", share_text(x.found_by_us)),
        ("alarm to first lever", f"{spread_text(x.to_lever)}; no lever in {x.without_lever}"),
        ("first lever to recovery", spread_text(x.lever_to_recovery)),
        ("alarm to harm stopped", spread_text(x.to_stabilise)),
        ("onset to close", f"{spread_text(x.to_close)}; {x.still_open} still open"),
        *((f"actions proved in {days} days", share_text(s)) for days, s in x.verified),
        ("actions claimed, not proved", str(x.claimed)),
        ("came back after it was closed", share_text(x.recurred)),
        ("failure types", ", ".join(f"{name} {n}" for name, n in x.failures) or "none yet"),
    ]
    show_table(("", ""), rows, empty="")
    show_table(("incident", "golden cases", "runs in which they caught something"), x.golden, empty="no incident yet")
    say("")
    show_table(("to talk about", "", ""), [(a.incident, a.what, a.text) for a in agenda], empty="nothing is unresolved")


def _standing(standing: Standing) -> None:
    signed = ", ".join(standing.signed) or "nobody"
    say(f"signed by {signed}; {standing.signers} needed of people who wrote none of it")
    for each in standing.missing:
        say(f"missing: {each}")
    say("`andon postmortem edit`, `resolve` and `sign` do that" if standing.missing else "nothing is missing")


def _named(what: str) -> str:
    """Who gives this command, where that must be somebody: two people without a name would count as one.

    Raises:
        InputError: the environment names nobody.
    """
    me = who()
    if me == NOBODY:
        raise InputError(f"nobody is named, and to {what} is somebody's word: set USER to your name")
    return me


def _change(loop: Loop, name: str, change: Callable[[Review], Review]) -> Review:
    return stage.change_review(loop.ledger, name, change, now_us=now_us(), by=who())


def _layouts(loop: Loop) -> stage.Layouts:
    """Sources of a team's own templates."""
    from andon.postmortems.run.documents import layouts_beside

    return layouts_beside(loop.settings.config)


def _read(path: Path) -> str:
    raw = path.read_bytes()
    if len(raw) > LARGEST:
        raise InputError(f"{path} has {len(raw):,} bytes; a section has at most {LARGEST:,}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
