"""Commands about the ledger's database: the revision of its tables, and copies of it.

They open the database and nothing else, so that they work where Andon itself cannot be started on it.
"""

import sys
from typing import Annotated

import typer
from sqlalchemy import URL

from andon.cli.screen import progress, say, settings
from andon.errors import InputError
from andon.store.copying import copy_ledger
from andon.store.databases import file_of, has_password, shown, url_of
from andon.store.migrations import HEAD, Moved, migrate

__all__ = ["add_to"]

Sql = Annotated[bool, typer.Option("--sql", help="Print the SQL that would be executed, and change nothing.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    ledger = typer.Typer(
        help="The ledger's database: the revision of its tables, and copies of it.", no_args_is_help=True
    )
    ledger.command()(upgrade)
    ledger.command()(downgrade)
    ledger.command()(copy)
    app.add_typer(ledger, name="ledger")


def upgrade(sql: Sql = False) -> None:
    """Bring the ledger's tables to what this Andon reads and writes; it does so by itself when it is started."""
    _say(migrate(_configured(), rehearse=sql), rehearsed=sql)


def downgrade(
    revision: Annotated[
        int, typer.Argument(metavar="REVISION", help=f"Which one an earlier Andon reads, 1 to {HEAD}.")
    ],
    sql: Sql = False,
) -> None:
    """Bring the ledger's tables back to those of an earlier Andon; every record keeps all its versions. Stop each Andon first."""
    _say(migrate(_configured(), revision, rehearse=sql), rehearsed=sql)


def copy(
    to: Annotated[
        str,
        typer.Argument(
            metavar="TO", help="Where to: a URL, or the path of a SQLite file; -: a line of standard input says it."
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="URL", help="Which ledger, if not that of the settings; -: as for TO, before it."
        ),
    ] = None,
    rehearse: Annotated[bool, typer.Option("--rehearse", help="Do all of it, and undo it at the end.")] = False,
) -> None:
    """Copy every version of every record to an empty database, such as from SQLite to PostgreSQL, or back.

    A password in an argument could be read by everybody on this machine: say such a URL by standard input, or leave the password
    to PGPASSWORD or ~/.pgpass. Others may go on writing meanwhile; what they write is not in the copy, so stop Andon first where
    it shall go on with the copy.
    """
    here = _configured() if source is None else _place(source, "--from")
    there = _place(to, "TO")
    with progress("copying", total=None) as told:
        done = copy_ledger(
            here, there, rehearse=rehearse,
            told=lambda n, total: told("writing" if 2 * n <= total else "reading back", n / max(total, 1)),
        )  # fmt: skip
    word = "would be copied (rehearsed, and undone)" if rehearse else "copied"
    say(f"{done.entries} entries {word} from {shown(here)} to {shown(there)}, the last is number {done.last}")
    say(f"sha256 of them on both sides: {done.digest}")
    if done.since or done.blanked:
        say(
            f"the copy is not up to date: since then {done.since} entries were written"
            f"{' and texts were blanked' if done.blanked else ''}; to go on with the copy, stop Andon and copy again to an empty "
            "database"
        )
    elif not rehearse:
        say(f"to go on with the copy, set {_named(there)} and start Andon again")


def _configured() -> URL:
    chosen = settings()
    return url_of(chosen.ledger or str(chosen.home / "ledger.db"))


def _place(text: str, what: str) -> URL:
    """The database that an argument names."""
    if text == "-":
        return url_of(sys.stdin.readline().strip())
    url = url_of(text)
    if has_password(url):
        raise InputError(
            f"{what} holds a password, which everybody on this machine can read there: give - and say the URL by standard input, "
            "or leave the password to PGPASSWORD or ~/.pgpass"
        )
    return url


def _named(url: URL) -> str:
    """A database as the setting names it, from whichever folder Andon is started."""
    file = file_of(url)
    secret = " (with the password in place of ***)" if has_password(url) else ""
    return f"ANDON_LEDGER={shown(url) if file is None else file.absolute()}{secret}"


def _say(moved: Moved, *, rehearsed: bool) -> None:
    if not moved.statements:
        say(f"the ledger is at revision {moved.before} already")
    elif rehearsed:
        say("\n".join(f"{statement};" for statement in moved.statements))
    else:
        say(f"the ledger was at revision {moved.before}, and is at revision {moved.after} now")
