"""Commands that back everything up, and restore it."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli.screen import now_us, opened, say, settings
from andon.settings import Settings
from andon.traffic import format_time

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(backup)
    app.command()(restore)


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to: a new or empty folder.", file_okay=False)],
) -> None:
    """Copy the ledger and all tables, as they belong together, into a folder; Andon may run meanwhile.

    The folder holds everything that was kept of your users, and the key that their redacted values are marked with: guard it as
    you guard Andon's own.
    """
    from andon.store.backups import back_up

    chosen = settings()
    with opened(chosen) as loop:
        done = back_up(
            loop.warehouse, _ledger(chosen), folder, now_us=now_us(), tell=lambda what: say(f"copying {what}")
        )
    rows = sum(t.rows for t in done.tables.values())
    say(f"{done.entries:,} entries of the ledger and {rows:,} rows of {len(done.tables)} tables are in {folder}")


def restore(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A backup that `andon backup` made.", exists=True, file_okay=False)
    ],
) -> None:
    """Put a backup where the settings say, which must be empty; each file is compared with what was backed up.

    Whoever was erased since the backup was made is in it again: erase them again.
    """
    from andon.store.backups import read_backup
    from andon.store.backups import restore as put_back

    chosen = settings()
    read_backup(folder)  # first: to open the store is to make it
    with opened(chosen) as loop:
        done = put_back(loop.warehouse, _ledger(chosen), folder, tell=lambda what: say(f"restoring {what}"))
    rows = sum(t.rows for t in done.tables.values())
    say(
        f"{done.entries:,} entries of the ledger and {rows:,} rows of {len(done.tables)} tables are as they were at "
        f"{format_time(done.at_us)}; start Andon, and it goes on from there"
    )


def _ledger(chosen: Settings) -> str:
    return chosen.ledger or str(chosen.home / "ledger.db")
