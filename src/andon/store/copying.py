"""Copy a ledger to another database, such as from a SQLite file to PostgreSQL, or back.

In:     the database of a ledger, at any revision that this Andon knows; another one that holds no record yet.
Out:    every version of every record there, with its entry's number, author and time, and its body byte for byte.
Always: what is copied is of one moment, while others go on writing; it is written as a whole or not at all, read back, and
        compared by a digest; the numbers of later entries go on after the last one. Leases are not copied: who holds one, holds it
        at the old database.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import URL, Connection, Engine, bindparam, func, insert, select

from andon.errors import ConfigError, StateError, StoreError
from andon.store.databases import READING, SNAPSHOT, database_errors, disposing, engine_of, file_of, shown, url_of
from andon.store.migrations import HEAD, MARKED, move, revision_of
from andon.store.schema import STATE, VERSIONS

__all__ = ["Copied", "copy_ledger"]

CHUNK = 1_000
"""So many entries are read and written at once."""

_V = VERSIONS.c
_PAGE = select(VERSIONS).where(_V.entry > bindparam("after")).order_by(_V.entry).limit(CHUNK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was copied."""

    entries: int
    last: int
    """Number of the last entry; 0 where there is none."""
    digest: str
    """SHA-256 of all entries, the same on both sides."""
    since: int
    """How many entries the source has by now that were written later: the copy lacks them."""
    blanked: bool
    """Whether texts were blanked in the source since: the copy still holds them."""


def copy_ledger(
    source: str | URL, target: str | URL, *, rehearse: bool = False, told: Callable[[int, int], None] | None = None
) -> Copied:
    """Copy all entries.

    Args:
        source: which ledger: a URL, or the path of a SQLite file.
        target: where to; its tables are made where they are missing.
        rehearse: do all of it, and undo it at the end.
        told: is told now and then how many entries are done, of how many; each is done twice, as it is read back.

    Raises:
        ConfigError: there is no ledger at the source, or a later Andon made one of the two.
        StateError: the target holds records.
        StoreError: a database refused, or what was read back is not what was written; the target is as it was.
    """
    here, there = url_of(source), url_of(target)
    with database_errors(), _opened(here, must_exist=True) as reading, _opened(there, keep=not rehearse) as writing:
        with _snapshot(reading) as moment:
            if revision_of(moment) == 0:
                raise ConfigError(f"there is no ledger in {shown(here)}: nothing was copied")
            total, rewrites = moment.execute(select(func.count(_V.entry))).scalar_one(), _rewrites(moment)
            with writing.connect() as connection, connection.begin() as transaction:
                _prepare(connection, there)
                entries, last, digest = _write(moment, connection, lambda done: told and told(done, 2 * total))
                again = _Digest()
                for rows in _pages(connection):
                    again.add(rows)
                    if told:
                        told(total + again.entries, 2 * total)
                if (again.entries, again.hex) != (entries, digest):
                    raise StoreError(
                        f"{again.entries} entries with the digest {again.hex} were read back from {shown(there)}, but {entries} "
                        f"with the digest {digest} were written: nothing was kept there; do not use that database"
                    )
                if rehearse:
                    transaction.rollback()
                elif last and connection.dialect.name == "postgresql":  # SQLite counts on by itself
                    connection.execute(select(func.setval(func.pg_get_serial_sequence("versions", "entry"), last)))
        with _snapshot(reading) as moment:
            since = moment.execute(select(func.count(_V.entry)).where(_V.entry > last)).scalar_one()
            blanked = _rewrites(moment) != rewrites
    return Copied(entries=entries, last=last, digest=digest, since=since, blanked=blanked)


def _prepare(connection: Connection, url: URL) -> None:
    move(connection, HEAD)
    if connection.execute(select(_V.entry).limit(1)).first() is not None:
        raise StateError(f"{shown(url)} holds records already, and nothing was copied: give an empty database")
    if connection.dialect.name == "postgresql":  # nobody waits for this one, however slow the source is
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


def _write(source: Connection, target: Connection, told: Callable[[int], Any]) -> tuple[int, int, str]:
    digest, last = _Digest(), 0
    for rows in _pages(source):
        digest.add(rows)
        target.execute(insert(VERSIONS), [row._asdict() for row in rows])
        last = rows[-1].entry
        told(digest.entries)
    return digest.entries, last, digest.hex


def _pages(connection: Connection) -> Iterator[list[Any]]:
    after = 0
    while rows := list(connection.execute(_PAGE, {"after": after}).all()):
        yield rows
        after = rows[-1].entry


class _Digest:
    """Of entries, in their order; the same whichever database they are read from."""

    def __init__(self) -> None:
        self.entries, self._hash = 0, hashlib.sha256()

    def add(self, rows: list[Any]) -> None:
        self.entries += len(rows)
        for row in rows:
            self._hash.update(orjson.dumps([*row]) + b"\n")

    @property
    def hex(self) -> str:
        return self._hash.hexdigest()


def _rewrites(connection: Connection) -> int:
    if revision_of(connection) < MARKED:
        return 0
    return int(connection.execute(select(STATE.c.rewrites)).scalar_one())


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection of which all that it reads is of one moment."""
    options: dict[str, Any] = {READING: SNAPSHOT}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect() as connection:
        yield connection.execution_options(**options)


@contextmanager
def _opened(url: URL, *, must_exist: bool = False, keep: bool = True) -> Iterator[Engine]:
    """The database, closed at the end; a SQLite file that was not there is removed again unless it is kept."""
    path = file_of(url)
    new = path is not None and not path.exists()
    if new and must_exist:
        raise ConfigError(f"there is no ledger at {path}: give a URL, or the path of its SQLite file")
    done = False
    try:
        with disposing(engine_of(url)) as engine:
            yield engine
        done = True
    finally:
        if new and path is not None and not (keep and done):
            for end in ("", "-wal", "-shm"):
                Path(f"{path}{end}").unlink(missing_ok=True)
