"""The Ledger: every small record, every version of it, for ever. The audit trail is the storage.

A record is any frozen dataclass with an ``id``; its kind is the name of its class. Nothing is ever changed or deleted:
a change is the next version, with its author and time.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from sqlalchemy import (
    URL,
    ColumnElement,
    CompoundSelect,
    Connection,
    Row,
    Select,
    bindparam,
    func,
    insert,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import DataError, DBAPIError

from andon.errors import InputError, StateError, StoreError
from andon.store.blanking import clear, pages, rewrite
from andon.store.databases import CONNECTIONS, READING, TABLE, database_errors, engine_of, file_of, url_of
from andon.store.disk import disk_errors, make_folder
from andon.store.migrations import bring_up
from andon.store.schema import STATE, VERSIONS, beyond

__all__ = ["COLUMNS", "Entry", "Ledger", "Versioned", "database_errors", "kept_id", "read_body"]

T = TypeVar("T")

COLUMNS = _V = VERSIONS.c
"""What is kept of each version, for the queries of this package."""

LONGEST = 1_000
"""Bytes of an id or of an author's name in UTF-8: PostgreSQL's indexes refuse rows of more than 2,700.

Names in traffic become ids, and one that is too long must stop nobody: it is kept as its beginning and a digest (`kept_id`).
"""

# The queries that are asked most, built once: to build one costs as much as to answer it.
_KIND = _V.kind == bindparam("kind")
_ONE = _KIND & (_V.id == bindparam("name"))
_INSERT = insert(VERSIONS)
_LATEST = select(_V.body, _V.version, _V.at_us, _V.author).where(_ONE).order_by(_V.version.desc()).limit(1)
_ENTRY = select(_V.entry).where(_ONE).order_by(_V.version.desc()).limit(1)  # by the index of versions
_NEWEST = select(func.max(_V.entry))
_HISTORY = select(_V.body, _V.version, _V.at_us, _V.author).where(_KIND).order_by(_V.entry)
_HISTORY_OF_ONE = _HISTORY.where(_ONE)

KINDS_AT_ONCE = 100
"""So many kinds are asked for in one query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned(Generic[T]):
    """One version of a record: what it was, from when on, and by whom."""

    record: T
    version: int
    at_us: int
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the audit trail: a version of a record, without what it says."""

    entry: int
    """Its number, which grows with every write."""
    kind: str
    """Name of the record's class."""
    id: str
    version: int
    at_us: int
    by: str


class Ledger:
    """Append-only versions of records in one SQL table; threads and processes may share it."""

    def __init__(self, url: str | URL) -> None:
        """Connect, and bring the tables to what this Andon reads and writes, where they are not.

        Args:
            url: an SQLAlchemy URL of PostgreSQL or SQLite; ``sqlite://`` lives in memory (for tests).

        Raises:
            ConfigError: no ledger can be there, or a later Andon made the one that is.
            StoreError: the database cannot be opened.
        """
        url = url_of(url)
        self.path = file_of(url)
        """The SQLite file; None where the ledger is none."""
        self.guard: Callable[[Connection], None] | None = None
        """Asked first in each transaction that writes; where it raises an error, nothing is written."""
        # One connection is all that an in-memory database has, so there every call takes its turn.
        self._turn = threading.RLock()
        self._server = url.get_backend_name() != "sqlite"
        self._reading: AbstractContextManager[Any] = (
            self._turn if self.path is None and not self._server else nullcontext()
        )
        # Of a server's turns nobody may keep the leases: one connection is theirs, and they queue there and not here.
        self._alone: AbstractContextManager[Any] = nullcontext() if self._server else self._turn
        with database_errors():
            self._engine = engine_of(url, CONNECTIONS - 1)
            self._aside = engine_of(url, 1) if self._server else self._engine
            alone = {"isolation_level": "AUTOCOMMIT"} if self._server else {}
            self._readers = self._engine.execution_options(**{READING: True}, **alone)
            self._writers = self._engine.execution_options(**{TABLE: VERSIONS.name})
            try:
                with self._turn:
                    bring_up(self._engine)
            except BaseException:
                self.close()
                raise
        self.number = self._number()
        """What the file system calls the file that was opened; 0 where there is none."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """The ledger in a SQLite file, created with its folder if missing."""
        with disk_errors("create the ledger"):
            make_folder(path.parent)
        return cls(URL.create("sqlite", database=str(path)))

    @contextmanager
    def writing(self, *, guarded: bool = True) -> Iterator[Connection]:
        """One transaction that writes, in turn: no other one, of any thread or process, is under way meanwhile.

        It is committed at the end, and undone where an error leaves it. Keep it short: everybody else waits. Who pauses in it for
        longer than `databases.PAUSE_S` is ended by PostgreSQL; it is told so, and wrote nothing.

        Args:
            guarded: whether the ledger's guard is asked first; no: for what the guard itself goes by. That is not held up by who
                reads or rewrites versions of records, of which it needs none.

        Raises:
            StateError: the guard refuses; nothing was written.
            StoreError: the database refused; nothing was written.
        """
        turn, engine = (self._turn, self._writers) if guarded else (self._alone, self._aside)
        with database_errors(), turn, ExitStack() as stack:
            try:
                connection = stack.enter_context(engine.begin())
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                connection = stack.enter_context(engine.begin())  # the server was restarted, and nothing was begun
            if guarded and self.guard is not None:
                self.guard(connection)
            yield connection

    def put(
        self,
        record: Any,
        *,
        now_us: int,
        by: str,
        expect: int | None = None,
        beside: Iterable[tuple[type, str, int]] = (),
    ) -> int:
        """Write the next version of a record and return its number; the first one is 1.

        A record equal to its latest version writes nothing and returns that version's number.

        Args:
            record: a dataclass instance with an ``id``.
            now_us: time of the change.
            by: who makes it: a person's name or a stage's.
            expect: version that the caller read, 0 for "must not exist yet"; None to overwrite whatever there is.
            beside: (kind, id, version) of other records that were read to decide this: nothing is written where one of them is at
                another version. So of two writers who each read what the other one writes, one is refused.

        Raises:
            InputError: the record cannot be kept as it is (no id, a number that is not finite, a field of another type).
            StateError: the latest version is not `expect`, or one beside it is not at its version; says who wrote it.
            StoreError: the database refused.
        """
        kind, body = type(record).__name__, _dump(record)
        if len(_checked(f"{kind} {record.id!r}: author", by)) > LONGEST:
            raise InputError(
                f"{kind} {record.id!r}: an author of more than {LONGEST} bytes cannot be kept: {by[:60]!r}..."
            )
        name = kept_id(record.id)
        with self.writing() as connection:
            for other, read_id, read in beside:
                found = connection.execute(_LATEST, {"kind": other.__name__, "name": kept_id(read_id)}).first()
                if read != (found.version if found else 0):
                    raise StateError(_conflict(other.__name__, read_id, read, found))
            latest = connection.execute(_LATEST, {"kind": kind, "name": name}).first()
            version = latest.version if latest else 0
            if expect is not None and expect != version:
                raise StateError(_conflict(kind, record.id, expect, latest))
            if latest and latest.body == body:
                return int(version)
            new = {
                "kind": kind,
                "id": name,
                "version": version + 1,
                "at_us": now_us,
                "author": by,
                "body": body,
            }
            connection.execute(_INSERT, new)
            return int(version) + 1

    def get(self, kind: type[T], id: str) -> T | None:  # noqa: A002 - the field is called id
        """The latest version of one record; None if there never was one.

        Raises:
            StoreError: the database refused, or what it holds does not fit the class.
        """
        found = self.latest(kind, id)
        return None if found is None else found.record

    def latest(self, kind: type[T], id: str) -> Versioned[T] | None:  # noqa: A002
        """The latest version of one record, with its number, time and author; None if there never was one.

        Its number is what `put` is told to expect; `history` reads every version to say the same.

        Raises:
            StoreError: as for `get`.
        """
        row = next(iter(self._read(_LATEST, kind=kind.__name__, name=kept_id(id))), None)
        return None if row is None else _versioned(kind, row)

    def all(self, kind: type[T], begins: str = "") -> list[T]:
        """The latest version of every record of a kind, in the order in which they were first written.

        Args:
            kind: which.
            begins: only those whose id begins so; found by an index, so the others cost nothing.

        Raises:
            StoreError: as for `get`.
        """
        query = _heads(_KIND & _begins(begins)) if begins else _ALL
        return [read_body(kind, row.body) for row in self._read(query, kind=kind.__name__)]

    def ids(self, kind: type, after: int = 0) -> list[tuple[int, str]]:
        """(entry, id) of the records of a kind that were first written after an entry, in the order of writing.

        Reads no body: it tells a cache what is new, at a hundredth of the cost of `all`. Entries are numbers that grow with
        every write, and become visible in their order.

        Raises:
            StoreError: the database refused.
        """
        if after:  # by the key: an index on the kind would be read from end to end
            query = select(_V.entry, _V.id, _V.kind, _V.version).where(_V.entry > after).order_by(_V.entry)
            rows = [r for r in self._read(query) if r.version == 1 and r.kind == kind.__name__]
        else:
            first = (_V.kind == kind.__name__) & (_V.version == 1)
            rows = self._read(select(_V.entry, _V.id).where(first).order_by(_V.entry))
        return [(int(row.entry), str(row.id)) for row in rows]

    def written(self, kinds: Collection[type], after: int) -> list[tuple[int, str, str]]:
        """(entry, name of the kind, id) of each version of records of these kinds written after an entry, in the order of writing.

        Reads no body, and costs as much as there is after the entry: it tells who keeps something in memory what to read anew.

        Raises:
            StoreError: the database refused.
        """
        names = [k.__name__ for k in kinds]
        mine = (_V.kind + "").in_(names)  # not by the index on the kind, which would be read from end to end
        query = select(_V.entry, _V.kind, _V.id).where(_V.entry > after, mine).order_by(_V.entry)
        return [(int(row.entry), str(row.kind), str(row.id)) for row in self._read(query)]

    def kinds_written(self, after: int) -> set[str]:
        """Names of the kinds of which something was written after an entry; costs as much as there is after it.

        Raises:
            StoreError: the database refused.
        """
        query = (
            select(_V.kind).where(_V.entry > after).order_by(_V.entry)
        )  # by the key: distinct ones would read the whole index
        return {str(row.kind) for row in self._read(query)}

    def last_entry(self) -> int:
        """The number of the newest entry of any kind, 0 when there is none; it grows with every write.

        Reads no row: a cache asks it many times a second whether there is something to read. What becomes visible later has a
        higher number, whoever writes it.

        Raises:
            StoreError: the database refused.
        """
        return int(self._read(_NEWEST)[0][0] or 0)

    def entry(self, kind: type, id: str) -> int:  # noqa: A002
        """The number of the entry that wrote the latest version of a record; 0 where there never was one.

        Raises:
            StoreError: the database refused.
        """
        row = next(iter(self._read(_ENTRY, kind=kind.__name__, name=kept_id(id))), None)
        return 0 if row is None else int(row.entry)

    def trail(
        self,
        kinds: Collection[str],
        *,
        by: str = "",
        begins: str = "",
        start_us: int | None = None,
        end_us: int | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Entry]:
        """Who wrote what when, the newest first; by an index that holds no bodies.

        Args:
            kinds: names of the kinds that are asked for.
            by: only by this author; empty for all.
            begins: only records whose id begins so.
            start_us: only what was written from then on.
            end_us: only what was written before then.
            before: only entries with a lower number, for the next page.
            limit: at most so many.

        Raises:
            StoreError: the database refused.
        """
        wanted = [_begins(begins)] if begins else []
        wanted += [_V.author == by] if by else []
        wanted += [] if start_us is None else [_V.at_us >= start_us]
        wanted += [] if end_us is None else [_V.at_us < end_us]
        wanted += [] if before is None else [_V.entry < before]
        columns = (_V.entry, _V.kind, _V.id, _V.version, _V.at_us, _V.author)
        found: list[Row[Any]] = []
        names = sorted(kinds)
        for part in (names[i : i + KINDS_AT_ONCE] for i in range(0, len(names), KINDS_AT_ONCE)):
            each = [
                select(*columns).where(_V.kind == name, *wanted).order_by(_V.entry.desc()).limit(limit).subquery()
                for name in part
            ]
            found += self._read(union_all(*(select(one) for one in each)))
        found.sort(key=lambda row: -row.entry)
        return [
            Entry(entry=r.entry, kind=r.kind, id=r.id, version=r.version, at_us=r.at_us, by=r.author)
            for r in found[:limit]
        ]

    def plain(self, kind: str, id: str, version: int) -> Any:  # noqa: A002
        """What one version of a record says, as JSON values, also of a kind that this version no longer reads; None: there is none.

        Raises:
            StoreError: the database refused.
        """
        query = select(_V.body).where(_V.kind == kind, _V.id == kept_id(id), _V.version == version)
        row = next(iter(self._read(query)), None)
        return None if row is None else json.loads(row.body)

    def entry_at(self, entry: int) -> Entry | None:
        """The line of the audit trail with this number; None where there is none.

        Raises:
            StoreError: the database refused.
        """
        query = select(_V.entry, _V.kind, _V.id, _V.version, _V.at_us, _V.author).where(_V.entry == entry)
        r = next(iter(self._read(query)), None)
        return r and Entry(entry=r.entry, kind=r.kind, id=r.id, version=r.version, at_us=r.at_us, by=r.author)

    def history(self, kind: type[T], id: str | None = None) -> list[Versioned[T]]:  # noqa: A002
        """Every version of one record, or of all records of a kind, in the order of writing.

        Raises:
            StoreError: as for `get`.
        """
        one = {} if id is None else {"name": kept_id(id)}
        query = _HISTORY_OF_ONE if one else _HISTORY
        return [_versioned(kind, row) for row in self._read(query, kind=kind.__name__, **one)]

    def blank(self, change: Callable[[Any], Any], kinds: Collection[type]) -> int:
        """Rewrite bodies in all versions, for the erasure of what a person asked to have erased; returns how many changed.

        The one exception to "nothing is ever changed": versions, times and authors stay. What was there before is removed
        from the database's files too (`blanking.clear`); where that fails, the next call does it. A body that could no longer be
        read as its record stays as it is: one unreadable version would stop every reader of its kind. So does one whose class is
        not among `kinds`, as nobody can tell. Not reached is what lies elsewhere: backups, replicas and dumps, and on PostgreSQL
        the write-ahead log, until it is recycled. Others write meanwhile, in between: what they write after it was looked for
        there stays.

        Args:
            change: is given the JSON value of a body, and answers it as it shall be (the same object: no change). It may be asked
                for the same body twice, where another one blanks at the same time.
            kinds: the classes of the records that are kept.

        Raises:
            StateError: the guard refuses; what was rewritten before stays so.
            StoreError: the database refused, or what was there before cannot be removed yet; calling again goes on.
        """
        changed = rewrite(self._read, self.writing, change, {c.__name__: c for c in kinds}, _reads)
        state = self._read(select(STATE.c.rewrites, STATE.c.cleared))[0]
        rewrites = int(state.rewrites)
        if state.cleared < rewrites:
            self._clear()
            with self.writing() as connection:  # another one may have cleared more meanwhile
                connection.execute(update(STATE).where(STATE.c.cleared < rewrites).values(cleared=rewrites))
        return changed

    def _clear(self) -> None:
        """Leave nothing of what was overwritten in the files."""
        with database_errors(), self._alone, self._readers.connect() as connection:  # in no transaction
            if self._server:
                connection.detach()  # not lent to anyone else afterwards
            clear(connection)

    def bodies(self) -> Iterator[tuple[str, str]]:
        """The kind and the JSON text of every version of every record, in the order of writing; read as they are asked for.

        Raises:
            StoreError: the database refused.
        """
        return ((row.kind, row.body) for page in pages(self._read) for row in page)

    def replaced(self) -> bool:
        """Whether the file that was opened is no longer the one at its path: it was moved, deleted, or restored from a backup.

        Nothing that is written from then on is kept there: whoever holds it open for long opens it anew.
        """
        return self._number() != self.number

    def _number(self) -> int:
        try:
            return 0 if self.path is None else self.path.stat().st_ino
        except OSError:
            return -1

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
        self._aside.dispose()

    def _read(self, query: "Select[Any] | CompoundSelect[Any]", **values: str) -> list[Row[Any]]:
        with database_errors(), self._reading:
            try:
                return self._rows(query, values)
            except DBAPIError as error:
                if isinstance(error, DataError):
                    return []  # NUL, or a number that no column holds
                if not error.connection_invalidated:
                    raise
                return self._rows(query, values)  # the server was restarted; by now all connections are new
            except (UnicodeEncodeError, OverflowError):
                return []  # what cannot even be asked for is not there

    def _rows(self, query: "Select[Any] | CompoundSelect[Any]", values: dict[str, str]) -> list[Row[Any]]:
        with self._readers.connect() as connection:
            return list(connection.execute(query, values).all())


def _begins(begins: str) -> ColumnElement[bool]:
    """That an id begins so, by code points: a range of the index."""
    end = beyond(begins)
    return _V.id >= begins if end is None else (_V.id >= begins) & (_V.id < end)


def _heads(where: ColumnElement[bool]) -> Select[Any]:
    """The latest body of each record, in the order in which they were first written."""
    first, last = func.min(_V.entry).label("first"), func.max(_V.entry).label("last")
    heads = select(first, last).where(where).group_by(_V.id).subquery()
    return select(_V.body).join(heads, _V.entry == heads.c.last).order_by(heads.c.first)


_ALL = _heads(_KIND)


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:  # two threads may build the same one: costs a little, harms nothing
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def kept_id(name: str) -> str:
    """What stands in the database for an id: itself, or its beginning and a digest where it has more than `LONGEST` bytes."""
    if len(name) * 4 <= LONGEST:  # so it is with all but the oddest
        return name
    data = name.encode(errors="surrogatepass")
    return name if len(data) <= LONGEST else f"{name[:100]}... sha256 {hashlib.sha256(data).hexdigest()}"


def _checked(what: str, text: str) -> bytes:
    """A text in UTF-8, if either database can hold it, whichever this one is: so a ledger can be copied to the other."""
    try:
        if "\0" not in text:
            return text.encode()
        why = "with the character NUL"
    except UnicodeEncodeError:
        why = "with half of a surrogate pair"
    raise InputError(f"{what} {text[:60]!r} cannot be kept, {why} in it: leave that out")


def _dump(record: Any) -> str:
    """A record as JSON text that is the same for equal records."""
    kind, name = type(record), getattr(record, "id", None)
    if not isinstance(name, str) or not name:
        raise InputError(f"{kind.__name__}: id {name!r} must be a text that is not empty")
    _checked(f"{kind.__name__}: id", name)
    try:
        plain = _adapter(kind).dump_python(record, mode="json", warnings="error")
        text = json.dumps(plain, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        text.encode()
        if _adapter(kind).validate_json(text) != record:  # one that cannot be read back would stop `all` for ever
            raise ValueError("it would be read back as another record")
    except (ValueError, TypeError, PydanticSerializationError) as error:
        raise InputError(
            f"{kind.__name__} {name!r} cannot be kept: {error}; numbers must be finite, text valid Unicode, and every "
            "field of the type that its class declares"
        ) from error
    return text


def read_body(kind: type[T], body: str) -> T:
    """The record that a JSON text of the ledger says.

    Raises:
        StoreError: it does not fit the class.
    """
    try:
        record: T = _adapter(kind).validate_json(body)
    except ValidationError as error:
        raise StoreError(f"the ledger holds a {kind.__name__} that this version cannot read: {error}") from error
    return record


def _reads(kind: type, body: str) -> bool:
    try:
        _adapter(kind).validate_json(body)
    except ValidationError:
        return False
    return True


def _versioned(kind: type[T], row: Row[Any]) -> Versioned[T]:
    return Versioned(record=read_body(kind, row.body), version=row.version, at_us=row.at_us, by=row.author)


def _conflict(kind: str, name: str, expect: int, latest: Any) -> str:
    if latest is None:
        return f"{kind} {name!r} does not exist, but version {expect} was expected; read it again"
    return (
        f"{kind} {name!r} is at version {latest.version}, written by {latest.author!r} at {latest.at_us} us, but version "
        f"{expect} was expected; read it again and repeat the change"
    )
