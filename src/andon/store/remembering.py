"""A ledger that remembers: for readers who ask for many kinds on each request, such as the page.

In:     the calls of a `Ledger`; what others write to the same database meanwhile.
Out:    the same answers, from memory, without reading and checking the JSON of every record again.
Always: before each answer the database is asked whether anything was written or blanked since; so a caller sees every write
        that was done before it asked, whoever made it.
        Records are shared between callers: their dicts and lists refuse to be changed (`andon.store.sealed`).
"""

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import URL, PoolProxiedConnection, Row, Select, func, select

from andon.errors import StoreError
from andon.store.ledger import COLUMNS, Ledger, Versioned, database_errors, kept_id, read_body
from andon.store.remembered import Head, Kind, Memory
from andon.store.schema import STATE
from andon.store.sealed import sealed

__all__ = ["RememberingLedger"]

T = TypeVar("T")

MANY = 500
"""So many bodies are asked for in one query."""

_STATE_OF_FILE = "SELECT (SELECT max(entry) FROM versions), (SELECT rewrites FROM ledger_state)"
_FULL = (COLUMNS.id, COLUMNS.entry, COLUMNS.version, COLUMNS.at_us, COLUMNS.author, COLUMNS.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What the database says of itself; as long as that is the same, what is remembered is what it holds."""

    last: int
    """Its newest entry."""
    contents: tuple[Any, ...]
    """Which ones it holds: others after a blanking, in another database, and where PostgreSQL was started anew."""
    change: int = 0
    """SQLite's `data_version`: another one after each commit of any other connection, and now and then without one."""


class _VanishedError(Exception):
    """An entry that was there is not there any more: the database is another one, such as a backup copied over it."""


class RememberingLedger(Ledger):
    """A `Ledger` whose `get`, `latest` and `all` answer from memory; threads share it, and it is closed as any other.

    A kind is read as a whole when `all` of it is asked for the first time; before that `get` remembers the single records that
    were asked for. From then on only what was written since is read. Records of more than `remembered.LARGE` characters are held
    as long as there is room for them, and else read again.

    A SQLite file is asked for its `data_version`, which tells of every commit of any process; any other database for the number
    of its newest entry and how often bodies were rewritten. (What somebody changes in there by other means than a ledger is not
    seen.)
    """

    def __init__(self, url: str | URL) -> None:
        """Connect as a `Ledger` does, and remember nothing yet.

        Args:
            url: an SQLAlchemy URL of PostgreSQL or SQLite; ``sqlite://`` lives in memory (for tests).

        Raises:
            ConfigError: no ledger can be there, or a later Andon made the one that is.
            StoreError: the database cannot be opened.
        """
        self._line: PoolProxiedConnection | None = None
        """A connection to the SQLite file that asks for its `data_version`, and nothing else: it counts from the same one on."""
        self._asking = threading.Lock()
        """Held while the database is asked for news, never while JSON is parsed or bodies are read."""
        self._memory = Memory()
        self._look: _Look | None = None
        self._last = 0
        """The newest entry that the kinds were told of."""
        super().__init__(url)
        self._state = _state_of(self._engine.dialect.name)

    def latest(self, kind: type[T], id: str) -> Versioned[T] | None:  # noqa: A002 - the field is called id
        """As `Ledger.latest`, from memory; `get` too answers by it.

        Raises:
            StoreError: the database refused, or what it holds does not fit the class.
        """
        if (known := self._known(kind)) is None:
            return super().latest(kind, id)
        try:
            with known.turn:
                self._read_news(known)
                head = known.heads.get(name := kept_id(id))
                if head is None and not known.whole:
                    mine = (COLUMNS.kind == kind.__name__, COLUMNS.id == name)
                    query = select(*_FULL).where(*mine).order_by(COLUMNS.version.desc()).limit(1)
                    for row in self._read(query):
                        head = known.keep(row)
            if head is None:
                return None
            record = self._records(known, [head])[0]
        except _VanishedError:
            self._forget()
            return super().latest(kind, id)
        return Versioned(record=record, version=head.version, at_us=head.at_us, by=head.by)

    def all(self, kind: type[T], begins: str = "") -> list[T]:
        """As `Ledger.all`, from memory; the list is the caller's own, the records are shared.

        Args:
            kind: which.
            begins: only those whose id begins so; the others cost nothing.

        Raises:
            StoreError: as for `latest`.
        """
        if (known := self._known(kind)) is None:
            return super().all(kind, begins)
        try:
            with known.turn:
                if not known.whole:
                    self._read_whole(known)
                self._read_news(known)
                changes, answer = known.changes, known.answer
                if not begins and answer[0] == changes:
                    return list(answer[1])
                heads = known.begin(begins) if begins else known.ordered()
            return self._records(known, heads) if begins else self._answer(known, heads, changes)
        except _VanishedError:
            self._forget()
            return super().all(kind, begins)

    def blank(self, change: Callable[[Any], Any], kinds: Collection[type]) -> int:
        """As `Ledger.blank`; what was remembered is forgotten."""
        try:
            return super().blank(change, kinds)
        finally:
            self._forget()

    def replaced(self) -> bool:
        """As `Ledger.replaced`; where it is so, what was remembered is forgotten, and every answer is read from the database."""
        gone = super().replaced()
        if gone:
            self._forget()
        return gone

    def close(self) -> None:
        """Close all connections."""
        with self._asking:
            self._hang_up()
        super().close()

    def _forget(self) -> None:
        with self._asking:
            self._begin_anew(None)

    def _begin_anew(self, look: _Look | None) -> None:
        """A new memory, not an emptied one: who still reads into the old one leaves nothing behind in this one."""
        self._memory, self._look = Memory(), look
        self._last = look.last if look else 0

    def _known(self, kind: type[T]) -> Kind[T] | None:
        """What is remembered of a kind, told of all that was written until now; None where nothing may be remembered."""
        if self.replaced():
            return None
        with self._asking:
            self._ask()
            return self._memory.kind(kind)

    def _ask(self) -> None:
        """Ask whether anything was written, and tell each kind which of its records have a new version."""
        before = self._look
        look = self._ask_server() if self.path is None else self._ask_file(before)
        if look == before:
            return
        if before is None or look.contents != before.contents or look.last < before.last:
            self._begin_anew(look)  # blanked, or another database, such as a backup copied over it
            return
        written = self.written(list(self._memory.kinds), self._last) if self.path is None else self._written_in_file()
        self._memory.tell(written)
        self._last = max([look.last, self._last, *(entry for entry, _, _ in written)])
        self._look = look

    def _ask_server(self) -> _Look:
        row = tuple(self._read(self._state)[0])
        return _Look(last=row[0] or 0, contents=row[1:])

    def _ask_file(self, before: _Look | None) -> _Look:
        """What the SQLite file says of itself: a few microseconds where nothing was committed."""
        if self._line is None:
            with database_errors():
                self._line = self._engine.raw_connection()
            self._line.detach()  # never lent to anyone else
            before = None  # another connection counts otherwise
        with self._asked() as line:
            change = line.execute("PRAGMA data_version").fetchall()[0][0]
            if before is not None and before.change == change:
                return before
            last, rewrites = line.execute(_STATE_OF_FILE).fetchall()[
                0
            ]  # what is newer than `change` is asked for again
            return _Look(last=last or 0, contents=(rewrites,), change=change)

    def _written_in_file(self) -> list[tuple[int, str, str]]:
        """As `written`, at a tenth of the price, of all kinds: a file's entries become visible in their order."""
        with self._asked() as line:
            query = "SELECT entry, kind, id FROM versions WHERE entry > ? ORDER BY entry"
            found: list[tuple[int, str, str]] = line.execute(query, (self._last,)).fetchall()
            return found

    @contextmanager
    def _asked(self) -> Iterator[sqlite3.Connection]:
        assert self._line is not None
        line: Any = self._line.dbapi_connection
        try:
            yield line
        except sqlite3.Error as error:
            self._hang_up()
            raise StoreError(f"the ledger's database refused: {error}", retryable=True) from error

    def _hang_up(self) -> None:
        """Close the line; the next one counts otherwise, so what is remembered goes with it."""
        if self._line is not None:
            self._line.close()
            self._line = None
        self._begin_anew(None)

    def _read_whole(self, known: Kind[Any]) -> None:
        """Read all records of a kind; with its turn."""
        ends = (func.min(COLUMNS.entry).label("first"), func.max(COLUMNS.entry).label("last"))
        heads = select(*ends).where(COLUMNS.kind == known.kind.__name__).group_by(COLUMNS.id).subquery()
        query = select(*_FULL, heads.c.first).join(heads, COLUMNS.entry == heads.c.last).order_by(heads.c.first)
        rows = self._read(query)
        known.heads.clear()
        for row in rows:
            known.keep(row, first=row.first)
        known.whole = True

    def _read_news(self, known: Kind[Any]) -> None:
        """Read the records of a kind that have a new version; with its turn. Where that fails they stay news."""
        if not known.news:
            return
        with self._asking:
            news = dict(known.news)
        newer = {i: ends for i, ends in news.items() if known.is_news(i, ends[1])}
        if known.whole:
            for row in self._bodies(last for _, last in newer.values()):
                known.keep(row, first=newer[row.id][0])
        else:
            for name in newer:
                known.drop(name)
        with self._asking:
            for name, ends in news.items():
                if known.news.get(name) == ends:
                    del known.news[name]

    def _bodies(self, entries: Iterable[int]) -> list[Row[Any]]:
        wanted = list(entries)
        parts = [wanted[i : i + MANY] for i in range(0, len(wanted), MANY)]
        rows = [row for part in parts for row in self._read(select(*_FULL).where(COLUMNS.entry.in_(part)))]
        if len(rows) < len(wanted):
            raise _VanishedError
        return rows

    def _answer(self, known: Kind[T], heads: list[Head], changes: int) -> list[T]:
        """The records of a whole kind; of several threads that ask at once, one parses them."""
        with known.parsing:
            if known.answer[0] != changes:
                records = self._records(known, heads)
                if any(head.held is None for head in heads):
                    return records
                if known.answer[0] > changes:  # a later one was quicker
                    return records
                known.answer = (changes, records)
            return list(known.answer[1])

    def _records(self, known: Kind[T], heads: list[Head]) -> list[T]:
        """The records, parsed where they were not yet; large ones from the shelf, or else from the database."""
        held = [head.held for head in heads]
        odd = [i for i, value in enumerate(held) if value is None or type(value) is str]
        for i in odd:
            if held[i] is None:
                held[i] = known.shelf.take((known.kind, heads[i].id), heads[i].entry)
        missing = {heads[i].entry: i for i in odd if held[i] is None}
        for row in self._bodies(missing) if missing else ():
            held[missing[row.entry]] = row.body
        for i in odd:
            held[i] = self._record(known, heads[i], held[i], scan=len(heads) > 1)
        return held

    @staticmethod
    def _record(known: Kind[T], head: Head, held: Any, scan: bool) -> T:
        if not isinstance(held, str):
            return held  # type: ignore[no-any-return]
        record = sealed(read_body(known.kind, held))
        if head.held is not None:
            head.held = record
        else:
            known.shelf.put((known.kind, head.id), head.entry, record, len(held), push=not scan)
        return record


def _state_of(dialect: str) -> Select[Any]:
    """The newest entry and which contents a database holds, of one moment."""
    asked = [select(func.max(COLUMNS.entry)).scalar_subquery(), select(STATE.c.rewrites).scalar_subquery()]
    return select(*asked, *([func.pg_postmaster_start_time()] if dialect == "postgresql" else []))
