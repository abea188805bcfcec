"""The ledger in a SQLite file: durable, shared by processes, clear when the database refuses."""

import json
import os
import sqlite3
import threading
import traceback
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from andon.errors import ConfigError, StoreError
from andon.store import Ledger, blanking, databases
from andon.store.schema import VERSIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    id: str
    count: int


def test_several_connections_write_versions_without_gaps(tmp_path: Path) -> None:
    """Ledgers that share nothing but the file, as processes do, never give the same version twice and never fail."""
    books = [Ledger.open(tmp_path / "ledger.db") for _ in range(3)]
    got: list[int] = []
    errors: list[BaseException] = []

    def write(worker: int) -> None:
        try:
            for i in range(30):
                got.append(books[worker].put(Thing(id="a", count=worker * 100 + i), now_us=i, by=str(worker)))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(got) == list(range(1, 91))
    assert [v.version for v in books[0].history(Thing)] == list(range(1, 91))
    for book in books:
        book.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A ledger over some other file says so at once."""
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database at all, but long enough to look at" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Ledger.open(path)


@pytest.mark.parametrize(
    "url",
    [
        "nosuchthing://host/x",
        "mysql://me:pw-4711@host/x",
        "postgresql+asyncpg://me:pw-4711@host/x",
        "postgresql://me:pw@-4711@host/x",
        "postgresql://me:pw-4711@h:port/x",
        "postgresql//me:pw-4711@host/x",
        "postgresql:/me:pw-4711@host/x",
        "postgresql+psycopg//me:pw-4711@host/x",
        "Postgres:me:pw-4711@host/x",
        "me:pw-4711@host/x",
        "/me//pw-4711@host",
        " postgresql//pw-4711@host/x",
        "sqlite:pw-4711",
        "",
    ],
)
def test_an_unusable_database_url(url: str) -> None:
    """A URL of another kind of database, or none at all, is a ConfigError that says what is allowed, and never the password."""
    with pytest.raises(ConfigError, match="postgresql://user") as caught:
        Ledger(url)
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize(
    "path", ["postgresql.db", "postgres/ledger.db", "sqlite", "/data/ada@host/ledger.db", "//x/l.db"]
)
def test_a_path_that_looks_a_little_like_a_url_is_a_path(path: str) -> None:
    """Files and folders may be called as databases are, and have signs of addresses in their names."""
    assert databases.file_of(databases.url_of(path)) == Path(path)


def test_only_its_owner_reads_a_ledger(tmp_path: Path) -> None:
    """Whatever the mask is, a new file and its log are for their owner only; one that is there keeps its mode."""
    before = os.umask(0o022)
    try:
        (tmp_path / "there.db").touch(0o640)
        for name, mode in (("new.db", 0o600), ("there.db", 0o640)):
            with closing(Ledger(f"sqlite:///{tmp_path / name}")) as book:
                book.put(Thing(id="a", count=0), now_us=1, by="ada")
                made = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob(f"{name}*")}
                assert made == dict.fromkeys((name, f"{name}-wal", f"{name}-shm"), mode)
    finally:
        os.umask(before)


def test_a_file_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    """A ledger in a folder that is not there is refused, and no file is left beside it."""
    with pytest.raises(StoreError, match="unable to open"):
        Ledger(f"sqlite:///{tmp_path}/none/ledger.db")
    assert list(tmp_path.iterdir()) == []


def test_no_text_of_a_record_is_in_an_error(tmp_path: Path) -> None:
    """Whoever logs an error with all that led to it logs no body, id or author."""
    row = {"kind": "s3cret", "id": "s3cret", "version": 1, "at_us": 1, "author": "s3cret", "body": "s3cret"}

    def write(book: Ledger) -> None:
        with book.writing() as connection:
            connection.execute(VERSIONS.insert(), [row, row])

    with closing(Ledger.open(tmp_path / "ledger.db")) as book, pytest.raises(StoreError) as caught:
        write(book)
    text = "".join(traceback.format_exception(caught.value))
    assert "UNIQUE" in text
    assert "s3cret" not in text


def test_bodies_are_read_as_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not more of them are in memory than one query answers, and all come, in the order of writing."""
    monkeypatch.setattr(blanking, "AT_ONCE", 4)
    with closing(Ledger.open(tmp_path / "ledger.db")) as book:
        for count in range(11):
            book.put(Thing(id=f"t{count % 3}", count=count), now_us=count, by="ada")
        read, seen = book._read, []

        def note(*words: Any, **more: Any) -> Any:
            seen.append(len(rows := read(*words, **more)))
            return rows

        monkeypatch.setattr(book, "_read", note)
        bodies = book.bodies()
        kind, body = next(bodies)
        assert (kind, json.loads(body)["count"], seen) == ("Thing", 0, [4])
        assert [json.loads(body)["count"] for _, body in bodies] == list(range(1, 11))
        assert seen == [4, 4, 3, 0]


def test_a_locked_ledger_is_retryable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that another program keeps locked fails retryably after waiting, and still answers reads."""
    monkeypatch.setattr(databases, "BUSY_S", 0.05)
    book = Ledger.open(tmp_path / "ledger.db")
    book.put(Thing(id="a", count=0), now_us=1, by="ada")
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked") as caught:
        book.put(Thing(id="b", count=0), now_us=2, by="ada")
    assert caught.value.retryable
    assert book.all(Thing) == [Thing(id="a", count=0)]
    other.execute("ROLLBACK")
    other.close()
    assert book.put(Thing(id="b", count=0), now_us=2, by="ada") == 1
    book.close()


def test_who_makes_a_file_at_the_same_time_is_waited_for(tmp_path: Path) -> None:
    """A file that another program is writing for the first time, before it has a write-ahead log, is opened once it is done."""
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE something (x)")
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, other.execute, ["COMMIT"])
    timer.start()
    book = Ledger.open(tmp_path / "ledger.db")
    assert book.put(Thing(id="a", count=0), now_us=1, by="ada") == 1
    book.close()
    timer.join()
    other.close()


def test_the_ledger_is_written_through(tmp_path: Path) -> None:
    """A file ledger runs in WAL mode with synchronous=FULL, so an acknowledged version survives a power cut."""
    book = Ledger.open(tmp_path / "ledger.db")
    with book._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    book.close()
