"""Blanking: bodies are rewritten in short turns, and what they said before is removed from the database's files.

In:     what shall stand in the place of a body; a ledger's reads and its turns as a writer.
Out:    the bodies rewritten, and the files without what was there before.
Always: what is decided is decided while nobody waits, and a turn lasts for `TURN_S`; a body that somebody else rewrote meanwhile is
        looked at anew; each turn counts as a rewriting, so who remembers bodies never goes on with one that is gone. What is not
        known to be removed is an error.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, select, text, update

from andon.errors import StoreError
from andon.store.databases import PAUSE_S
from andon.store.schema import STATE, VERSIONS

__all__ = ["AT_ONCE", "TURN_S", "clear", "pages", "rewrite"]

AT_ONCE = 100
"""So many bodies are read at once."""

TURN_S = 0.5
"""How long a turn of blanking lasts: no statement is begun in it later."""

REST_S = 0.1
"""How long others have their turns after each, at most; shorter after a short one. Who waits for a SQLite file looks as often."""

OLDER_S = 10.0
"""How long it is waited for transactions that began before."""

_V = VERSIONS.c
_WRITE = update(VERSIONS).where(_V.entry == bindparam("at"), _V.body == bindparam("before"))
_COUNT = update(STATE).values(rewrites=STATE.c.rewrites + 1)

Read = Callable[[Select[Any]], list[Row[Any]]]
Turn = Callable[[], AbstractContextManager[Connection]]

_FILE = "SELECT pg_relation_filenode('versions')"
_OLDER = text("""
    WITH mine AS (SELECT CAST(CAST(:mine % 4294967296 AS text) AS xid) AS x)
    SELECT 'process ' || pid FROM mine, pg_stat_activity
        WHERE pid <> pg_backend_pid() AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
        AND (age(backend_xid) > age(x)
            OR age(backend_xmin) > age(x) AND coalesce(datname, current_database()) = current_database())
    UNION ALL SELECT 'replication slot ' || slot_name FROM mine, pg_replication_slots WHERE age(xmin) > age(x)
    UNION ALL SELECT 'prepared transaction ' || gid FROM mine, pg_prepared_xacts WHERE age(transaction) > age(x)
    """)
"""Who may still see rows as they were before a transaction: `VACUUM` keeps these for them, the full one too, and does not say so.

Of other databases only those who write count, and those who only clean tables never do.
"""


def pages(read: Read, *where: ColumnElement[bool]) -> Iterator[list[Row[Any]]]:
    """The entry, kind and body of all versions, or of those for which something holds, in the order of writing, some at a time."""
    after = 0
    query = select(_V.entry, _V.kind, _V.body).order_by(_V.entry).limit(AT_ONCE)
    while rows := read(query.where(_V.entry > after, *where)):
        yield rows
        after = rows[-1].entry


def rewrite(
    read: Read, turn: Turn, change: Callable[[Any], Any], kinds: Mapping[str, type], fits: Callable[[type, str], bool]
) -> int:
    """Rewrite bodies, in turns of `TURN_S`; returns how many changed. What was rewritten stays so where a later turn fails.

    Args:
        read: answers a query, in no transaction.
        turn: a transaction that writes.
        change: is given the JSON value of a body, and answers it as it shall be (the same object: no change).
        kinds: name -> class of the records that are looked at.
        fits: whether a body can be read as a record of a class; one that cannot is not written.
    """
    changed = 0
    for page in pages(read, _V.kind.in_(kinds)):
        rows: Sequence[Row[Any]] = page
        while rows:
            wanted = []
            for row in rows:
                value = json.loads(row.body)
                if (other := change(value)) is value:
                    continue
                body = json.dumps(other, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
                if body != row.body and fits(kinds[row.kind], body):
                    wanted.append({"at": row.entry, "before": row.body, "body": body})
            overtaken = _write(turn, wanted)
            changed += len(wanted) - len(overtaken)
            again = select(_V.entry, _V.kind, _V.body).where(_V.entry.in_(overtaken)).order_by(_V.entry)
            rows = read(again) if overtaken else []
    return changed


def _write(turn: Turn, wanted: list[dict[str, Any]]) -> list[int]:
    """Write bodies in as many turns as it takes; returns the entries whose bodies are not what they were any more."""
    done, overtaken = 0, []
    while done < len(wanted):
        with turn() as connection:
            began_s = time.monotonic()
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete = ON")
            connection.execute(_COUNT)  # no new entry says so, and others remember what they read
            while True:  # one at least, however slow the database is
                if not connection.execute(_WRITE, wanted[done]).rowcount:
                    overtaken.append(wanted[done]["at"])
                done += 1
                if done == len(wanted) or time.monotonic() - began_s > TURN_S:
                    break
        time.sleep(min(time.monotonic() - began_s, REST_S))
    return overtaken


def clear(connection: Connection) -> None:
    """Remove from the database's files what was there before bodies were rewritten; in no transaction.

    A SQLite file is written anew (VACUUM), and its write-ahead log is cut to nothing. On PostgreSQL the table is written anew
    (VACUUM FULL): a plain one leaves the bytes in the pages until they are written over. That takes its room once more, and about a
    second for each 100 MB, in which nobody reads or writes a record: who wants to waits, a writer for `databases.BUSY_S` at most,
    and without holding the writers' turn, so that leases are renewed meanwhile.

    What a transaction may still see is kept in the new table too. So first those that began before the rewriting have to end: all
    in this database, and those on the same server that write. The connection is the caller's own: how long it waits is changed.

    Raises:
        StoreError: what was there before is still in the files, and why.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("VACUUM")
        if connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
            raise StoreError(
                "bodies were rewritten, but what was there before is still in the ledger's write-ahead log, as somebody is reading "
                "an earlier state of the file (such as a copy that is being made): do it again when that is over",
                retryable=True,
            )
        return
    before = connection.exec_driver_sql(_FILE).scalar_one()
    _await_older(connection)
    # everybody waits behind who waits for the whole table, so that must not be for long
    connection.exec_driver_sql(f"SET lock_timeout = {PAUSE_S * 1000:.0f}")
    connection.exec_driver_sql("VACUUM (FULL) versions")
    if connection.exec_driver_sql(_FILE).scalar_one() == before:  # PostgreSQL only warns of that
        raise StoreError(
            "bodies were rewritten, but what was there before is still in PostgreSQL's files: the user of the ledger does "
            "not own the table versions; make it the owner, and do it again"
        )


def _await_older(connection: Connection) -> None:
    """Wait until nobody sees what was there before now; whoever begins later does not, so it stays so."""
    now = connection.exec_driver_sql("SELECT txid_current()").scalar_one()
    until_s = time.monotonic() + OLDER_S
    while older := connection.execute(_OLDER, {"mine": now}).scalars().all():
        if time.monotonic() > until_s:
            raise StoreError(
                "bodies were rewritten, but what was there before is still in PostgreSQL's files, as a transaction that began "
                f"before may see it ({', '.join(older)}): do it again when that is over",
                retryable=True,
            )
        time.sleep(0.05)
