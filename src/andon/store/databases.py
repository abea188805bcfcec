"""The database behind a ledger: how it is reached, how its transactions begin, and what is said where it refuses.

It is SQLite (a file, or in memory for tests) or PostgreSQL. On both one writer at a time has its turn, and its lock comes before
it reads anything. PostgreSQL releases that lock after the commit can be seen by others, and SQLite has one writer anyway: so
entries, whose numbers are given with the lock held, become visible in their order, and a write that is undone leaves a gap only.
"""

import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoneFreeError
from sqlalchemy.pool import StaticPool

from andon.errors import ConfigError, StoreError

__all__ = [
    "BUSY_S",
    "CONNECTIONS",
    "PAUSE_S",
    "READING",
    "SNAPSHOT",
    "TABLE",
    "database_errors",
    "disposing",
    "engine_of",
    "file_of",
    "has_password",
    "shown",
    "url_of",
]

BUSY_S = 30.0
"""How long a writer waits for other processes' writes."""

PAUSE_S = 5.0
"""How long a writer may pause amid its transaction until PostgreSQL ends its connection, so that the others go on.

With a SQLite file nobody can do that: while a process is stopped in there, others are refused after `BUSY_S`.
"""

TURN = 0x616E646F6E
"""The number of PostgreSQL's advisory lock that a writer holds: any, as long as it is nobody else's."""

READING = "andon_reading"
"""Execution option of a connection that only reads: it waits for nobody. `SNAPSHOT`: all that it reads is of one moment."""
SNAPSHOT = "snapshot"

TABLE = "andon_table"
"""Execution option of a connection that writes: which table of PostgreSQL it waits for before it has the turn.

While that is written anew, or an index is made, its writers wait for it without keeping from their turn those who need it not.
"""

_LINE = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "target_session_attrs": "read-write",
}
"""How soon it is noticed that the machine of PostgreSQL is gone, and that none is taken that may not write, such as one that another
one took over from; where the URL says nothing else."""

_READ_ONLY = "25006"
"""What PostgreSQL says where it may not write."""

CONNECTIONS = 5
"""So many connections to PostgreSQL a process has at most: a read is done in a fraction of a millisecond."""

_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
_LIKE_URL = re.compile(
    r"(sqlite|postgres|mysql|mariadb|psycopg)\w*(\+\w*)?(:|//)|[^@]*:[^@]*@|.*//.*@|.*@.*//", re.I | re.S
)
"""No path of a file, but a URL that lacks a sign, maybe with a password in it."""

_FORMS = "postgresql://user:password@host/name, sqlite:///path, or the path of a SQLite file"


def url_of(text: str | URL) -> URL:
    """Where a ledger is, as people write it: a URL, or the path of a SQLite file.

    ``postgresql://`` is understood as psycopg's, which the extra ``andon[postgres]`` installs.

    Raises:
        ConfigError: it cannot be read; the text is not repeated, as there may be a password in it.
    """
    if isinstance(text, str) and not text.strip():
        raise ConfigError(f"it is not said where the ledger is: give {_FORMS}")
    if isinstance(text, str) and "://" not in text and not _LIKE_URL.match(text.strip()):
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
        if "@" in f"{url.host}{url.database}" and url.get_backend_name() != "sqlite":
            raise ValueError("a part of the password is taken for something that is shown")
    except (ArgumentError, ValueError):
        raise ConfigError(
            f"the URL of the ledger cannot be read (it is not shown here): give {_FORMS}; signs such as @ and / in a "
            "password are written %40 and %2F"
        ) from None
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def shown(url: URL) -> str:
    """A URL for people's eyes: as they write it, without its passwords."""
    if url.drivername == "postgresql+psycopg":
        url = url.set(drivername="postgresql")
    return url.update_query_dict(dict.fromkeys(_secrets(url), "***")).render_as_string(hide_password=True)


def has_password(url: URL) -> bool:
    """Whether there is something in a URL that is not shown."""
    return bool(url.password or _secrets(url))


def _secrets(url: URL) -> list[str]:
    return [key for key in url.query if "pass" in key and key != "passfile"]


def file_of(url: URL) -> Path | None:
    """The SQLite file; None where it is in memory, or another database."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def engine_of(url: URL, connections: int = CONNECTIONS) -> Engine:
    """Connections to the database; each transaction has its turn as a writer, unless its connection is for `READING`.

    Args:
        url: which database; a SQLite file that is not there yet is made for its owner only.
        connections: to PostgreSQL, at most so many at a time.

    Raises:
        ConfigError: it is neither SQLite nor PostgreSQL, or the driver is not installed.
    """
    if url.drivername not in _DRIVERS:
        raise ConfigError(f"no ledger can be in {url.drivername}://: give {_FORMS}")
    options: dict[str, Any] = {"hide_parameters": True}  # errors are logged, and users' texts are not
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"check_same_thread": False, "timeout": BUSY_S}
        if file_of(url) is None:  # one connection is all that an in-memory database has
            options["poolclass"] = StaticPool
    else:  # in the turn each statement sees what was committed before it, whatever the server's default is
        options["connect_args"] = {key: value for key, value in _LINE.items() if key not in url.query}
        options |= {"isolation_level": "READ COMMITTED", "pool_size": connections, "max_overflow": 0}
    try:
        engine = create_engine(url, **options)
    except ImportError as error:
        raise ConfigError(
            f"the driver of {url.drivername}:// is not installed: pip install 'andon[postgres]'"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        if file_of(url) is not None and "uri" not in url.query:
            event.listen(engine, "do_connect", lambda *given: _make_file(Path(given[2][0])))
    event.listen(engine, "handle_error", _mark_gone)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def disposing(engine: Engine) -> Iterator[Engine]:
    """Connections that are closed at the end."""
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def database_errors() -> Iterator[None]:
    """Engine exceptions as a StoreError that says what the database said."""
    try:
        yield
    except DBAPIError as error:  # locked, full or gone: the same call may succeed later
        raise StoreError(f"the ledger's database refused: {error.orig}", retryable=True) from error
    except NoneFreeError as error:
        raise StoreError(f"all connections to the ledger's database are in use: {error}", retryable=True) from error
    except SQLAlchemyError as error:
        raise StoreError(f"the ledger's database cannot be used: {error}") from error


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not guessed by the driver
    until_s = time.monotonic() + BUSY_S
    while True:  # who makes a file's first write-ahead log at the same time is refused at once, whatever the timeout is
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous = FULL")


def _make_file(path: Path) -> None:
    """Make a file that is missing, for its owner only; SQLite gives its log the same mode.

    It is named when it is closed: to close a file takes from this process its locks of it, also those that SQLite has.
    """
    if path.exists():
        return
    draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    with suppress(OSError):  # SQLite says what is wrong
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            os.link(draft, path)  # of several who do it at the same time one makes it
        finally:
            draft.unlink()


def _mark_gone(context: ExceptionContext) -> None:
    """A server that may not write is left, as one that is gone: the next connection is to one that may."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _begin(connection: Connection) -> None:
    """Take the turn of a writer; a single SELECT needs none, and must not wait for one."""
    options = connection.get_execution_options()
    reading = options.get(READING)
    if connection.dialect.name == "sqlite":
        if reading in (None, SNAPSHOT):
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
    elif not reading:
        connection.exec_driver_sql(_turn(options.get(TABLE)))


def _turn(table: str | None) -> str:
    """One round trip: for this transaction alone how long it may wait and pause, that it is on disk once it is done, and its locks.

    The turn comes last: whoever has it waits for nobody any more.
    """
    kept = "current_setting('synchronous_commit')"
    return (
        f"SELECT set_config('lock_timeout', '{BUSY_S * 1000:.0f}', true), "
        f"set_config('idle_in_transaction_session_timeout', '{PAUSE_S * 1000:.0f}', true), "
        f"set_config('synchronous_commit', CASE {kept} WHEN 'off' THEN 'on' ELSE {kept} END, true); "
        f"{f'LOCK TABLE {table} IN ROW EXCLUSIVE MODE; ' if table else ''}"
        f"SELECT pg_advisory_xact_lock({TURN})"
    )
