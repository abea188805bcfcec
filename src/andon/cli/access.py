"""Commands about who is let in: people and their roles, and the tokens of machines.

They open the ledger alone, and ask nobody for a password: whoever can write the ledger's file may do all of this anyway.
"""

from typing import Annotated

import typer

from andon.access import ROLES, SCOPES, Invitation, Person, Token
from andon.access import run as access
from andon.cli.screen import after, now_us, opened_ledger, say, settings, show_table, who
from andon.errors import ConfigError
from andon.traffic import format_time

__all__ = ["add_to"]

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The person's name; case, spaces and signs make no difference.")
]
_WILD = ("0.0.0.0", "::", "[::]")  # noqa: S104 - compared with, not listened on


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    person = typer.Typer(help="Who signs in to the page, and what they may do there.", no_args_is_help=True)
    person.command(name="add")(add)
    person.command(name="list")(list_people)
    person.command(name="role")(role_)
    person.command()(link)
    person.command()(remove)
    app.add_typer(person, name="person")
    token = typer.Typer(help="Tokens with which programs are let in.", no_args_is_help=True)
    token.command()(make)
    token.command(name="list")(list_tokens)
    token.command()(revoke)
    app.add_typer(token, name="token")


def add(
    name: Name,
    role: Annotated[
        str, typer.Option(help=f"What they may do: {', '.join(ROLES)}; each may do what those before it may.")
    ],
) -> None:
    """Let somebody in: prints a link by which they set a password, once, within a week."""
    with opened_ledger() as ledger:
        now, by = now_us(), who()
        person = access.add_person(ledger, name, role, by=by, now_us=now)
        secret = access.invite(ledger, person.id, by=by, now_us=now)
    say(f"{person.id} is {person.role}: {ROLES[person.role]}")
    _say_link(person, secret, now)


def list_people() -> None:
    """Everybody who is or was let in, with the role, and whether a password is set."""
    with opened_ledger() as ledger:
        now = now_us()
        found = [(p, ledger.get(Invitation, p.invitation)) for p in access.people(ledger)]
    rows = [(p.id, p.role, _state(p, link, now), format_time(p.at_us), p.by) for p, link in found]
    show_table(("person", "role", "", "added", "by"), rows, empty="nobody yet: andon person add NAME --role owner")


def role_(
    name: Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"One of {', '.join(ROLES)}.")],
) -> None:
    """Give somebody another role; it counts at once. The last owner stays one."""
    with opened_ledger() as ledger:
        person = access.set_role(ledger, name, role, by=who(), now_us=now_us())
    say(f"{person.id} is {person.role}: {ROLES[person.role]}")


def link(name: Name) -> None:
    """Print a new link for somebody who forgot the password or lost the link; links made before no longer count."""
    with opened_ledger() as ledger:
        now = now_us()
        secret = access.invite(ledger, name, by=who(), now_us=now)
        person = access.invited(ledger, secret, now)
    assert person is not None
    _say_link(person, secret, now)


def remove(
    name: Name,
    why: Annotated[str, typer.Option(help="The reason, for those who read it later.")],
) -> None:
    """Let somebody out at once; what they did keeps their name. The last owner stays."""
    with opened_ledger() as ledger:
        person = access.remove_person(ledger, name, why=why, by=who(), now_us=now_us())
    say(f"{person.id} is removed: signed out everywhere, and no link or password of theirs counts")


def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What will use it, such as the name of the application.")],
    scope: Annotated[list[str], typer.Option(help=f"What it opens, once or more often: {', '.join(SCOPES)}.")],
    until: Annotated[str | None, typer.Option(help="When it ends by itself: 90d, or a time (ISO 8601).")] = None,
) -> None:
    """Make a token for a program, and print it: it is shown this once, and not kept."""
    with opened_ledger() as ledger:
        now = now_us()
        end = None if until is None else after(now, until)
        token, secret = access.make_token(ledger, name, scope, by=who(), now_us=now, until_us=end)
    say(secret)
    say(
        f"{token.id} for {token.name}: {', '.join(token.scopes)}, {_until(token)}. It is not shown again; the program sends it as"
    )
    say("  Authorization: Bearer ...")
    say(f"end it: andon token revoke {token.id}")


def list_tokens() -> None:
    """Every token with what it opens and until when, never its secret."""
    with opened_ledger() as ledger:
        now, found = now_us(), access.tokens(ledger)
    rows = [(t.id, t.name, ", ".join(t.scopes), _standing(t, now), format_time(t.at_us), t.by) for t in found]
    head = ("token", "for", "scope", "", "made", "by")
    show_table(head, rows, empty="no token yet: andon token make NAME --scope ingest")


def revoke(token_id: Annotated[str, typer.Argument(metavar="ID", help="The token, tok_...")]) -> None:
    """End a token: within a second the server lets it in no more."""
    with opened_ledger() as ledger:
        token = access.revoke_token(ledger, token_id, by=who(), now_us=now_us())
    say(f"{token.id} for {token.name} is revoked")


def _say_link(person: Person, secret: str, now: int) -> None:
    say(f"send {person.id} this link; it can be used once, until {format_time(now + access.INVITED_US)}:")
    say(f"  {_address()}/join/{secret}")


def _address() -> str:
    """Where people reach this Andon; empty where the settings cannot be read, of which `opened_ledger` has told."""
    try:
        chosen = settings()
    except ConfigError:
        return ""
    if chosen.url:
        return chosen.url.rstrip("/")
    host = "localhost" if chosen.host in _WILD else chosen.host
    return f"http://{f'[{host}]' if ':' in host.strip('[]') and not host.startswith('[') else host}:{chosen.port}"


def _state(person: Person, link: Invitation | None, now: int) -> str:
    if not person.active:
        return f"removed: {person.why}"
    told = ["signs in" if person.password else "has no password yet"]
    if link is not None:
        told.append(
            f"has a link until {format_time(link.until_us)}" if now < link.until_us else "has a link that is over"
        )
    return ", ".join(told)


def _until(token: Token) -> str:
    return "until it is revoked" if token.until_us is None else f"until {format_time(token.until_us)}"


def _standing(token: Token, now: int) -> str:
    if token.revoked_us is not None:
        return f"revoked {format_time(token.revoked_us)} by {token.revoked_by}"
    return (
        _until(token) if token.until_us is None or now < token.until_us else f"over since {format_time(token.until_us)}"
    )
