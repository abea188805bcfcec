"""The ledger in a SQLite file: durable, shared by processes, clear when the database refuses."""

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from andon.errors import StoreError
from andon.store import Ledger, ledger


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


def test_an_unknown_database_url() -> None:
    """A URL of an unknown kind of database is a StoreError, not an import error."""
    with pytest.raises(StoreError, match="nosuchthing"):
        Ledger("nosuchthing://host/x")


def test_a_locked_ledger_is_retryable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that another program keeps locked fails retryably after waiting, and still answers reads."""
    monkeypatch.setattr(ledger, "BUSY_S", 0.05)
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


def test_the_ledger_is_written_through(tmp_path: Path) -> None:
    """A file ledger runs in WAL mode with synchronous=FULL, so an acknowledged version survives a power cut."""
    book = Ledger.open(tmp_path / "ledger.db")
    with book._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    book.close()
