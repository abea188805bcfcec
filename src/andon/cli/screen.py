"""Output for people: tables and lines, with everything that came from traffic made harmless for a terminal."""

import os
import re
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from andon.errors import ConfigError, InputError
from andon.loop import Loop, open_loop
from andon.settings import Settings, load
from andon.store import Ledger, open_ledger
from andon.traffic import parse_time

__all__ = [
    "NOBODY",
    "after",
    "before",
    "fail",
    "now_us",
    "opened",
    "opened_ledger",
    "plain",
    "progress",
    "say",
    "settings",
    "show_table",
    "somebody",
    "span_us",
    "who",
]

WIDE = 1_000
"""Columns of a table that no terminal shows: it is not folded."""

NOBODY = "somebody at the command line"
"""Who gives a command where the environment names nobody."""

_UNITS_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def plain(text: object) -> str:
    """Text without control characters: an answer cannot move the cursor, colour the screen or fake a line."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def say(text: str) -> None:
    """Lines of text."""
    for line in text.split("\n"):
        _out.print(Text(plain(line)))


def fail(text: str) -> None:
    """One line of error."""
    _err.print(Text("error: ", style="bold red") + Text(plain(text)))


def show_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or one sentence where there is nothing to show."""
    rows = list(rows)
    if not rows:
        say(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain("" if cell is None else cell)) for cell in row))
    out = _out if _out.is_terminal else Console(highlight=False, soft_wrap=True, width=WIDE)  # a pipe reads lines
    out.print(table)


@contextmanager
def progress(title: str, total: float | None = 1.0) -> Iterator[Callable[[str, float], None]]:
    """Progress on stderr: give the text and how much is done. A bar on a terminal, else a line per new text."""
    if not _err.is_terminal:
        told: set[str] = set()

        def line(text: str, _: float) -> None:
            if text not in told:
                told.add(text)
                _err.print(Text(plain(text)))

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_err, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda text, done: bar.update(task, description=escape(plain(text)), completed=done)


def settings() -> Settings:
    """The settings of this process."""
    return load()


@contextmanager
def opened(chosen: Settings | None = None) -> Iterator[Loop]:
    """The loop over the store of this process, closed at the end."""
    loop = open_loop(chosen or settings())
    try:
        yield loop
    finally:
        loop.close()


@contextmanager
def opened_ledger() -> Iterator[Ledger]:
    """The ledger of this process alone, closed at the end: for what has to work while settings, plug-ins or the embedder do not.

    What is wrong with the settings is said on stderr.

    Raises:
        ConfigError: the settings are wrong, and do not say where the ledger lies.
        StoreError: the ledger cannot be opened.
    """
    ledger = open_ledger(_place())
    try:
        yield ledger
    finally:
        ledger.close()


def now_us() -> int:
    """The clock."""
    return time.time_ns() // 1000


def before(now: int, text: str) -> int:
    """The moment that lies so long before `now` (30m, 24h, 7d), or a time in ISO 8601; microseconds since 1970.

    Raises:
        InputError: it is neither.
    """
    return parse_time(text) if (span := span_us(text)) is None else now - span


def after(now: int, text: str) -> int:
    """The moment that lies so long after `now`; else as `before`."""
    return parse_time(text) if (span := span_us(text)) is None else now + span


def span_us(text: str) -> int | None:
    """How long a text like 30m, 24h or 7d is; None where it is none."""
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    return int(found[1]) * _UNITS_US[found[2]] if found else None


def who() -> str:
    """Who gives this command, for the record: claimed by the environment, not checked."""
    return os.environ.get("USER", "").strip() or os.environ.get("LOGNAME", "").strip() or NOBODY


def somebody(what: str) -> str:
    """Who gives this command, where it takes another person than the one before.

    Raises:
        InputError: the environment names nobody.
    """
    by = who()
    if by == NOBODY:
        raise InputError(f"nobody knows who {what}: set USER to your name")
    return by


def _place() -> Settings:
    """Settings that say where the ledger is, also where the others are wrong."""
    try:
        return settings()
    except ConfigError as error:
        home, ledger = _home_despite(), os.environ.get("ANDON_LEDGER", "")
        if home is None and not ledger:
            raise ConfigError(
                f"{error} (and so nobody knows where the data lies: mend it, or set ANDON_HOME)"
            ) from error
        found = replace(Settings(), home=home or Settings().home, ledger=ledger)
        where = "in the database of ANDON_LEDGER" if ledger else f"in {found.home}"
        _err.print(Text(plain(f"warning: {error} (goes on with the data {where})")))
        return found


def _home_despite() -> Path | None:
    """The data folder by settings of which something cannot be read; None where that may be the folder itself."""
    if "ANDON_HOME" in os.environ:
        return Path(os.environ["ANDON_HOME"])
    usual = Settings()
    try:
        text = Path(os.environ.get("ANDON_CONFIG") or usual.config).read_text(encoding="utf-8-sig", errors="replace")
        top = re.split(r"^[ \t]*\[", text, maxsplit=1, flags=re.MULTILINE)[0]
        found = re.search(r"^[ \t]*home\b.*$", top, re.MULTILINE)
        if found is not None:
            return Path(tomllib.loads(found[0])["home"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return usual.home if (usual.home / "ledger.db").is_file() else None
