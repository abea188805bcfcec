"""Leases: of many processes over one ledger, which one may do what only one may do at a time.

A lease lasts for a few seconds and is renewed by its holder; when it is not, because the holder died, is paused or cannot reach
the database, another process takes it. The clock is the database's, so processes whose clocks differ agree. Whoever was paused
may still believe that it holds the lease: `Lease.guard`, asked in the transaction of each write, tells it that it does not.

A lease has a term, which grows with each claim: whoever held it and finds another term was overtaken, also where whoever did that is
gone again. Beside the leases stands which processes are here (`note_here`); that is read by people and decides nothing.
"""

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, literal_column, select, text, update

from andon.errors import StateError
from andon.store.databases import database_errors
from andon.store.ledger import Ledger
from andon.store.schema import LEASES

__all__ = ["LEASE_S", "Here", "Lease", "clock_of", "leave", "note_here", "who_is_here"]

LEASE_S = 10.0
"""How long a lease lasts without being renewed: so much later another process takes over from one that died."""

_L = LEASES.c
_ROW = select(_L.holder, _L.term, _L.until_us).where(_L.name == bindparam("lease"))
_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
}
_CLOCKS = {name: text(f"SELECT {now}") for name, now in _NOW.items()}

_FORGOTTEN_US = 3_600_000_000
"""A process that was here is forgotten so long after it said so last."""


def clock_of(ledger: Ledger) -> int:
    """What the clock of the ledger's database says: microseconds since 1970. Replicas that go by it agree.

    Raises:
        StoreError: the database refused.
    """
    with database_errors(), ledger._reading, ledger._readers.connect() as connection:
        return int(connection.execute(_CLOCKS[connection.dialect.name]).scalar_one())


class Lease:
    """One process's claim to a lease of this name; not thread-safe but for `guard`, `held` and `left_s`.

    A claim that was lost stays lost, so that nobody goes on with what was begun before: who wants the lease again makes a new claim,
    and begins from nothing.
    """

    def __init__(self, ledger: Ledger, name: str, holder: str, lease_s: float = LEASE_S) -> None:
        """A claim that is not made yet.

        Args:
            ledger: all that share it compete for the lease.
            name: what is leased.
            holder: who claims it, unlike anybody else: a later claim of the same name need not wait until an earlier one is over.
            lease_s: how long it lasts unless it is renewed; the same for all.
        """
        self._ledger, self._name, self._holder, self._lease_s = ledger, name, holder, lease_s
        self._until_s = 0.0
        self._term: int | None = None
        self.other = ""
        """Who held it when this process could not take it."""

    @property
    def held(self) -> bool:
        """Whether this process holds it for certain, by its own steady clock."""
        return self.left_s > 0

    @property
    def left_s(self) -> float:
        """For how many seconds more this process holds it for certain, by its own steady clock; not above 0 where it does not."""
        return self._until_s - time.monotonic()

    def take(self) -> bool:
        """Take it if nobody holds it, or renew it; returns whether this process holds it now.

        False for good once it was held and lost, whoever holds it by now: what was begun under its term is of the past.

        Raises:
            StoreError: the database refused; what was held before is held until its time is over.
        """
        asked_s = (
            time.monotonic()
        )  # before the database looks at its clock, so that we never believe in it for too long
        with self._ledger.writing(guarded=False) as connection:
            now_us = int(connection.execute(_CLOCKS[connection.dialect.name]).scalar_one())
            lasts_us = int(self._lease_s * 1_000_000)
            row = connection.execute(_ROW, {"lease": self._name}).first()
            if not self._may_take(row, now_us, lasts_us):
                self._until_s, self.other = 0.0, "" if row is None else str(row.holder)
                return False
            term = self._term or (1 if row is None else int(row.term) + 1)
            new = {"holder": self._holder, "until_us": now_us + lasts_us, "term": term}
            if row is None:
                connection.execute(insert(LEASES).values(name=self._name, **new))
            else:
                connection.execute(update(LEASES).where(_L.name == self._name).values(**new))
        self._term, self._until_s, self.other = term, asked_s + self._lease_s, ""
        return True

    def _may_take(self, row: Any, now_us: int, lasts_us: int) -> bool:
        if self._term is not None:
            return row is not None and self._is_ours(row)
        if row is None or row.holder == self._holder:
            return True
        return not now_us < row.until_us <= now_us + 2 * lasts_us  # later: the clock went back

    def _is_ours(self, row: Any) -> bool:
        return bool(row.holder == self._holder and row.term == self._term)

    def guard(self, connection: Connection) -> None:
        """Refuse a write of a process that another one has taken over from; see `Ledger.guard`.

        Raises:
            StateError: another process holds the lease, or held it meanwhile.
        """
        row = connection.execute(_ROW, {"lease": self._name}).first()
        if row is None or not self._is_ours(row):
            self._until_s = 0.0
            who = "nobody" if row is None else row.holder
            raise StateError(
                f"{who} holds the lease {self._name!r} now: this process was paused or cut off, and writes nothing more"
            )

    def release(self) -> None:
        """Give it back, so that another process need not wait; nothing of what was begun goes on, so it may be taken anew.

        Raises:
            StoreError: the database refused; it ends by itself.
        """
        term, self._term, self._until_s = self._term, None, 0.0
        with self._ledger.writing(guarded=False) as connection:
            mine = (_L.name == self._name) & (_L.holder == self._holder) & (_L.term == term)
            connection.execute(update(LEASES).where(mine).values(until_us=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A process that said that it is here."""

    name: str
    what: str
    """What it said of itself."""
    number: int
    until_us: int
    """Until when it is believed; another time with each word of it."""
    is_over: bool
    """Whether that is past, by the clock of the ledger's database."""


def note_here(ledger: Ledger, name: str, what: str, number: int, lasts_s: float) -> None:
    """Note that a process is here, and will say so again within this time. It waits for no writer and keeps none waiting.

    Args:
        ledger: others over it read it.
        name: of the process; those of one sort begin alike (`who_is_here`).
        what: what it says of itself.
        number: what it says of itself, too.
        lasts_s: how long it is believed.

    Raises:
        StoreError: the database refused.
    """
    with database_errors(), ledger._reading, ledger._readers.connect() as connection:
        now: ColumnElement[int] = literal_column(_NOW[connection.dialect.name])
        new = {"holder": what, "term": number, "until_us": now + int(lasts_s * 1_000_000)}
        if connection.execute(update(LEASES).where(_L.name == name).values(**new)).rowcount:
            return
        connection.execute(insert(LEASES).values(name=name, **new))
        alike = _L.name.startswith(name.partition(" ")[0] + " ", autoescape=True)
        connection.execute(delete(LEASES).where(alike, _L.until_us < now - _FORGOTTEN_US))


def who_is_here(ledger: Ledger, sort: str) -> list[Here]:
    """The processes whose names begin with this word.

    Raises:
        StoreError: the database refused.
    """
    with database_errors(), ledger._reading, ledger._readers.connect() as connection:
        is_over = (_L.until_us < literal_column(_NOW[connection.dialect.name])).label("is_over")
        alike = _L.name.startswith(f"{sort} ", autoescape=True)
        rows = connection.execute(select(LEASES, is_over).where(alike).order_by(_L.name)).all()
    return [
        Here(name=r.name, what=r.holder, number=int(r.term), until_us=int(r.until_us), is_over=bool(r.is_over))
        for r in rows
    ]


def leave(ledger: Ledger, name: str) -> None:
    """Note that a process is here no more.

    Raises:
        StoreError: the database refused.
    """
    with database_errors(), ledger._reading, ledger._readers.connect() as connection:
        connection.execute(delete(LEASES).where(_L.name == name))
