"""The Ledger: every small record, every version of it, for ever. The audit trail is the storage.

A record is any frozen dataclass with an ``id``; its kind is the name of its class. Nothing is ever changed or deleted:
a change is the next version, with its author and time.
"""

import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    CompoundSelect,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    func,
    insert,
    make_url,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from andon.errors import InputError, StateError, StoreError
from andon.store.disk import disk_errors, make_folder

__all__ = ["COLUMNS", "Entry", "Ledger", "Versioned", "database_errors", "read_body"]

T = TypeVar("T")

_VERSIONS = Table(
    "versions",
    MetaData(),
    Column("entry", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String(200), nullable=False),
    Column("id", String(1000), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("kind", "id", "version"),
    sqlite_autoincrement=True,
)
_TRAIL = Index("versions_trail", *(_VERSIONS.c[name] for name in ("kind", "entry", "author", "at_us", "id", "version")))
"""For the audit trail: who wrote which record when, the newest first, without reading a body."""
COLUMNS = _V = _VERSIONS.c
"""What is kept of each version, for the queries of this package."""
BUSY_S = 30.0
"""How long a writer waits for other processes' writes."""

READING = "andon_reading"

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
        """Connect, and create the table if it is missing.

        Args:
            url: an SQLAlchemy URL; ``sqlite://`` lives in memory (for tests).

        Raises:
            StoreError: the database cannot be opened.
        """
        url = make_url(url)
        memory = url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")
        # One connection is all that an in-memory database has, so there every call takes its turn.
        self._turn = threading.RLock()
        self._reading = self._turn if memory else nullcontext()
        with database_errors():
            options: dict[str, Any] = {"poolclass": StaticPool} if memory else {}
            if url.get_backend_name() == "sqlite":
                options["connect_args"] = {"check_same_thread": False, "timeout": BUSY_S}
            self._engine = create_engine(url, **options)
            if url.get_backend_name() == "sqlite":
                event.listen(self._engine, "connect", _set_up_sqlite)
                event.listen(self._engine, "begin", _begin_immediate)
            with self._turn:
                _VERSIONS.metadata.create_all(self._engine)
                _TRAIL.create(self._engine, checkfirst=True)  # a ledger of an earlier Andon lacks it
        on_disk = url.get_backend_name() == "sqlite" and not memory
        self.path = Path(url.database or "") if on_disk else None
        """The SQLite file; None where the ledger is none."""
        self.number = self._number()
        """What the file system calls the file that was opened; 0 where there is none."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """The ledger in a SQLite file, created with its folder if missing."""
        with disk_errors("create the ledger"):
            make_folder(path.parent)
        return cls(URL.create("sqlite", database=str(path)))

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
        with database_errors(), self._turn, self._engine.begin() as connection:
            for other, name, read in beside:
                found = connection.execute(_latest(other.__name__, name)).first()
                if read != (found.version if found else 0):
                    raise StateError(_conflict(other.__name__, name, read, found))
            latest = connection.execute(_latest(kind, record.id)).first()
            version = latest.version if latest else 0
            if expect is not None and expect != version:
                raise StateError(_conflict(kind, record.id, expect, latest))
            if latest and latest.body == body:
                return int(version)
            new = {
                "kind": kind,
                "id": record.id,
                "version": version + 1,
                "at_us": now_us,
                "author": by,
                "body": body,
            }
            connection.execute(insert(_VERSIONS).values(new))
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
        query = (
            select(_V.body, _V.version, _V.at_us, _V.author)
            .where(_V.kind == kind.__name__, _V.id == id)
            .order_by(_V.version.desc())
            .limit(1)
        )
        row = next(iter(self._read(query)), None)
        return None if row is None else _versioned(kind, row)

    def all(self, kind: type[T], begins: str = "") -> list[T]:
        """The latest version of every record of a kind, in the order in which they were first written.

        Args:
            kind: which.
            begins: only those whose id begins so; found by an index, so the others cost nothing.

        Raises:
            StoreError: as for `get`.
        """
        where = _V.kind == kind.__name__
        if begins:
            where &= self._begins(begins)
        heads = (
            select(func.min(_V.entry).label("first"), func.max(_V.entry).label("last"))
            .where(where)
            .group_by(_V.id)
            .subquery()
        )
        query = select(_V.body).join(heads, _V.entry == heads.c.last).order_by(heads.c.first)
        return [read_body(kind, row.body) for row in self._read(query)]

    def ids(self, kind: type, after: int = 0) -> list[tuple[int, str]]:
        """(entry, id) of the records of a kind that were first written after an entry, in the order of writing.

        Reads no body: it tells a cache what is new, at a hundredth of the cost of `all`. Entries are numbers that grow with
        every write; another writer's may become visible a little out of order.

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

        Reads no row: a cache asks it many times a second whether there is something to read. Where several writers commit out
        of order (PostgreSQL), a lower number may become visible later, so such a cache reads anew now and then all the same.

        Raises:
            StoreError: the database refused.
        """
        return int(self._read(select(func.max(_V.entry)))[0][0] or 0)

    def entry(self, kind: type, id: str) -> int:  # noqa: A002
        """The number of the entry that wrote the latest version of a record; 0 where there never was one.

        Raises:
            StoreError: the database refused.
        """
        mine = (_V.kind == kind.__name__, _V.id == id)
        query = select(_V.entry).where(*mine).order_by(_V.version.desc()).limit(1)  # by the index of versions
        row = next(iter(self._read(query)), None)
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
        wanted = [self._begins(begins)] if begins else []
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
        query = select(_V.body).where(_V.kind == kind, _V.id == id, _V.version == version)
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
        query = select(_V.body, _V.version, _V.at_us, _V.author).where(_V.kind == kind.__name__).order_by(_V.entry)
        if id is not None:
            query = query.where(_V.id == id)
        return [_versioned(kind, row) for row in self._read(query)]

    def blank(self, change: Callable[[Any], Any], kinds: Collection[type]) -> int:
        """Rewrite bodies in all versions, for the erasure of what a person asked to have erased; returns how many changed.

        The one exception to "nothing is ever changed": versions, times and authors stay. What was there before is removed
        from the file too. A body that could no longer be read as its record stays as it is: one unreadable version would stop
        every reader of its kind. So does one whose class is not among `kinds`, as nobody can tell.

        Args:
            change: is given the JSON value of a body, and answers it as it shall be (the same object: no change).
            kinds: the classes of the records that are kept.
        """
        changed = 0
        classes = {c.__name__: c for c in kinds}
        query = select(_V.entry, _V.kind, _V.body).where(_V.kind.in_(classes))
        with database_errors(), self._turn, self._engine.begin() as connection:
            if sqlite := connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete = ON")
            for row in connection.execute(query).all():
                before = json.loads(row.body)
                after = change(before)
                if after is before:
                    continue
                text = json.dumps(after, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
                if _reads(classes[row.kind], text):
                    connection.execute(update(_VERSIONS).where(_V.entry == row.entry).values(body=text))
                    changed += 1
            if changed and sqlite:  # no new entry says so, and other processes remember what they read
                times = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                connection.exec_driver_sql(f"PRAGMA user_version = {(times + 1) % 2**31}")
        if changed and sqlite:
            with database_errors(), self._turn, self._engine.connect() as opened:
                connection = opened.execution_options(**{READING: True})  # VACUUM must not stand in a transaction
                for command in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    connection.exec_driver_sql(command)
        return changed

    def bodies(self) -> Iterator[tuple[str, str]]:
        """The kind and the JSON text of every version of every record, in the order of writing."""
        return iter([(row.kind, row.body) for row in self._read(select(_V.kind, _V.body).order_by(_V.entry))])

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

    def _begins(self, begins: str) -> Any:
        """That an id begins so: by code points, whatever order the database has for texts."""
        name = _V.id.collate("BINARY" if self._engine.dialect.name == "sqlite" else "C")
        return (name >= begins) & (name < begins + chr(0x10FFFF))

    def _read(self, query: "Select[Any] | CompoundSelect[Any]") -> list[Row[Any]]:
        with database_errors(), self._reading, self._engine.connect() as connection:
            return list(connection.execution_options(**{READING: True}).execute(query).all())


def _latest(kind: str, name: str) -> Select[Any]:
    this = (_V.kind == kind) & (_V.id == name)
    return select(_V.version, _V.author, _V.at_us, _V.body).where(this).order_by(_V.version.desc()).limit(1)


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:  # two threads may build the same one: costs a little, harms nothing
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _dump(record: Any) -> str:
    """A record as JSON text that is the same for equal records."""
    kind, name = type(record), getattr(record, "id", None)
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"{kind.__name__}: id {name!r} must be a text that is not empty")
    try:
        plain = _adapter(kind).dump_python(record, mode="json", warnings="error")
        text = json.dumps(plain, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        (text + name).encode()
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


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not guessed by the driver
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    if READING not in connection.get_execution_options():  # a single SELECT needs no lock, and must not wait for one
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the write lock comes before reading the latest version


@contextmanager
def database_errors() -> Iterator[None]:
    """Engine exceptions as a StoreError that says what the database said."""
    try:
        yield
    except DBAPIError as error:  # locked, full or gone: the same call may succeed later
        raise StoreError(f"the ledger's database refused: {error.orig}", retryable=True) from error
    except SQLAlchemyError as error:
        raise StoreError(f"the ledger's database cannot be used: {error}") from error
