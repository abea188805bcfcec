"""Commands about action items: list, show, take, add, prove, claim, drop, sync."""

import os
from typing import Annotated

import typer

from andon.cli.screen import after, now_us, opened, say, show_table, who
from andon.incidents.run import find_incident
from andon.postmortems.actions import KINDS, criterion_of, nags, state_text, steps_of
from andon.postmortems.records import ActionItem
from andon.postmortems.run import actions as stage
from andon.traffic import format_time

__all__ = ["add_to"]

Action = Annotated[str, typer.Argument(metavar="ACTION", help="The action, e.g. INC-0001-A1.")]
Test = "The test that proves it done: 'case passes G-123 x5', 'monitor fires ID', 'gate blocks TARGET', 'lever exists KEY'."


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="What shall be done, and the proof that it was.", no_args_is_help=True)
    group.command(name="list")(list_)
    for command in (show, take, add, prove, claim, drop, sync):
        group.command()(command)
    app.add_typer(group, name="action")


def list_(
    all_: Annotated[bool, typer.Option("--all", help="Also what is done or dropped.")] = False,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only commitments that are overdue.")] = False,
    incident: Annotated[str | None, typer.Option(help="Only actions of this incident.")] = None,
) -> None:
    """Proposals and commitments: who, until when, and the test that proves each done."""
    now = now_us()
    with opened() as loop:
        wanted = find_incident(loop.ledger, incident).id if incident else None
        found = stage.actions_of(loop.ledger, wanted)
    if overdue:
        found = list(nags(found, now))
    elif not all_:
        found = [i for i in found if i.state in ("proposed", "open")]
    rows = [
        (
            i.id,
            state_text(i, now),
            i.owner or "nobody yet",
            format_time(i.due_us)[:10] if i.state == "open" else "",
            i.title,
            i.criterion.text if i.criterion else "nobody has chosen a test yet",
        )
        for i in found
    ]
    show_table(("action", "state", "owner", "due", "what", "done when"), rows, empty="no action to do")


def show(action: Action) -> None:
    """One action: what, who, until when, what came of its test, and the steps that lead to its proof."""
    with opened() as loop:
        item = stage.find_action(loop.ledger, action)
    due = f", due {format_time(item.due_us)[:10]}" if item.state == "open" else ""
    say(f"{item.id} ({item.kind}): {item.title}")
    say(f"{state_text(item, now_us())}, {item.owner or 'nobody yet'}{due}")
    say(f"done when {item.criterion.text if item.criterion else 'somebody has chosen a test, and it is met'}")
    if item.proof is not None:
        say(f"tested {format_time(item.proof.at_us)} by {item.proof.by}: {item.proof.text}")
    for text in (item.claimed, item.link, item.why):
        if text:
            say(text)
    for number, step in enumerate(steps_of(item), 1):
        say(f"  {number}. {step}")


def take(
    action: Action,
    owner: Annotated[str, typer.Option(help="The one person who sees to it.")],
    due: Annotated[
        str | None, typer.Option(help="Until when (30d or ISO 8601); 15 days for P1, else 30, unless given.")
    ] = None,
    criterion: Annotated[str | None, typer.Option(help=Test)] = None,
) -> None:
    """Make a proposal somebody's commitment; nothing else does."""
    now = now_us()
    with opened() as loop:
        known = stage.find_action(loop.ledger, action)
        item = stage.take_action(
            loop.ledger,
            action,
            owner=owner,
            due_us=after(now, due) if due else None,
            criterion=criterion_of(criterion) if criterion else None,
            now_us=now,
            by=who(),
        )
    if known.state == "open" and known.owner and known.owner != item.owner:
        say(f"{item.id} was {known.owner}'s")
    _told(item)


def add(
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")],
    title: Annotated[str, typer.Argument(help="What shall be done.")],
    kind: Annotated[str, typer.Option(help=f"What it is for: {', '.join(KINDS)}.")],
    owner: Annotated[str, typer.Option(help="The one person who sees to it.")],
    criterion: Annotated[str, typer.Option(help=Test)],
    due: Annotated[
        str | None, typer.Option(help="Until when (30d or ISO 8601); 15 days for P1, else 30, unless given.")
    ] = None,
) -> None:
    """Add an action that nobody proposed; it is a commitment at once."""
    now = now_us()
    with opened() as loop:
        item = stage.add_action(
            loop.ledger,
            find_incident(loop.ledger, incident),
            title,
            kind=kind,  # type: ignore[arg-type]
            owner=owner,
            criterion=criterion_of(criterion),
            due_us=after(now, due) if due else None,
            now_us=now,
            by=who(),
        )
    _told(item)


def prove(action: Action) -> None:
    """Run the test of an action; only a proof that is met closes it (exit 0 met, 1 not met, 3 cannot tell)."""
    from andon.loop.proving import provers

    with opened() as loop:
        item = stage.prove_action(loop.ledger, action, provers(loop), now_us=now_us(), by=who())
    assert item.proof is not None
    said = {True: "proved", False: "NOT proved", None: "cannot tell"}[item.proof.met]
    say(f"{item.id} {said}: {item.proof.text}")
    say(f"{item.id} is {item.state}")
    if not item.proof.met:
        raise typer.Exit(3 if item.proof.met is None else 1)


def claim(
    action: Action, link: Annotated[str, typer.Option(help="The ticket that says so; http or https.")] = ""
) -> None:
    """Say that it is done elsewhere: the proof is asked for, and the action stays open."""
    with opened() as loop:
        item = stage.claim_action(
            loop.ledger, action, said=f"{who()} says that it is done", link=link, now_us=now_us(), by=who()
        )
    say(f"{item.id} stays open until it is proved: `andon action prove {item.id}`")


def drop(action: Action, why: Annotated[str, typer.Option(help="Why it is not worth doing any more.")]) -> None:
    """Give an action up, with the reason."""
    with opened() as loop:
        item = stage.drop_action(loop.ledger, action, why, now_us=now_us(), by=who())
    say(f"{item.id} is dropped: {item.why}")


def sync(
    repo: Annotated[str, typer.Option(help="The repository, as OWNER/NAME.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Keep one GitHub issue per open action; a closed issue asks for the proof, it closes nothing here."""
    from andon.errors import SeamError
    from andon.postmortems.github import API, open_github
    from andon.postmortems.run.github import sync_issues

    github = open_github(repo, os.environ.get("GITHUB_TOKEN", ""), api=os.environ.get("GITHUB_API_URL") or API)
    with opened() as loop:
        url = loop.settings.url
        done = sync_issues(loop.ledger, github, now_us=now_us(), by=who(), url=url, dry_run=dry_run)
    for step in done.steps:
        say(f"{step.action}: {'would ' if dry_run else ''}{step.text}")
    if not done.steps and not done.failed:
        say("every issue says what its action does")
    if done.failed:
        raise SeamError("; ".join(f"{action}: {why}" for action, why in done.failed), retryable=True)


def _told(item: ActionItem) -> None:
    assert item.criterion is not None
    say(f"{item.id} is {item.owner}'s, due {format_time(item.due_us)[:10]}: {item.title}")
    say(f"done when {item.criterion.text}")
