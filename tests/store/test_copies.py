"""Laws of a machine's copies of a bucket, over one that is a folder: threads that look at once, and what is copied, spared and let go."""

import os
import resource
import shutil
import threading
import time
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from andon.errors import StoreError
from andon.store import Bucket, Place, Plan, Rollup, Slice, Warehouse, Where
from andon.store import place as places
from andon.store import table as delta
from andon.store.duck import Duck

DAY = 86_400_000_000
COLUMNS = pa.schema([("id", pa.string()), ("time_us", pa.int64()), ("user_id", pa.string())])
SCHEMAS = {"turns": COLUMNS, "words": COLUMNS}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of an empty bucket; entries of a log exclude each other in it, as they are made by a link."""
    for name in ("schemas", *(f"tables/{table}" for table in SCHEMAS)):
        (tmp_path / "bucket" / name).mkdir(parents=True)
    monkeypatch.setattr(delta, "prove", lambda _: None)
    return (tmp_path / "bucket").as_uri()


def replica(home: Path, url: str, engine: Duck | None = None) -> Warehouse:
    """A replica with a home of its own."""
    return Warehouse(Bucket(url, home / "copies"), SCHEMAS, engine, home=home)


def put(store: Warehouse, name: str, *, day: int = 5, user: str = "u", table: str = "turns") -> None:
    """Commit one row."""
    store.append(table, pa.table({"id": [name], "time_us": [day * DAY], "user_id": [user]}))
    store.commit()


def ids(store: Warehouse, *where: Where, table: str = "turns") -> list[str]:
    """What is in a table."""
    return sorted(store.run(Slice(table=table, columns=("id",), where=where))["id"].to_pylist())


def copies(home: Path, table: str = "turns") -> set[Path]:
    """The files of rows of which a home has copies."""
    return set(home.glob(f"copies/tables/{table}/*.parquet"))


def aged(paths: set[Path], seconds: float) -> None:
    """As if nobody had used these for so long."""
    for path in paths:
        os.utime(path, (time.time() - seconds,) * 2)


class Slow:
    """Another thread that is held up when it leaves a method, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, method: str) -> None:
        self._mine, self._free, self._held = threading.current_thread(), threading.Event(), threading.Event()
        original = getattr(owner, method)

        def slow(*args: Any) -> Any:
            found = original(*args)
            if threading.current_thread() is not self._mine:
                self._held.set()
                assert self._free.wait(30)
            return found

        monkeypatch.setattr(owner, method, slow)

    def begin(self, work: Any) -> None:
        """Let another thread do this, up to where it is held."""
        self._thread = threading.Thread(target=work)
        self._thread.start()
        assert self._held.wait(30)

    def end(self) -> None:
        """Let it go on to its end."""
        self._free.set()
        self._thread.join()


def test_no_version_is_followed_by_an_earlier_one(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked for the last commit gets its rows, though another thread ends a look that it began before that commit."""
    store = replica(tmp_path / "one", url)
    put(store, "a")
    slow = Slow(monkeypatch, Place, "table")
    answers: list[list[str]] = []
    slow.begin(lambda: answers.append(ids(store)))
    put(store, "b")
    seqs = store.run(Rollup(table="turns", keys=("seq",)))["seq"].to_pylist()
    slow.end()
    after = Where(column="seq", op="ge", value=1), Where(column="seq", op="lt", value=max(seqs) + 1)
    assert seqs == [1, 2]
    assert ids(store, *after) == ["a", "b"]
    assert answers == [["a", "b"]]


@pytest.mark.parametrize(("owner", "method"), [(Bucket, "_has"), (Place, "table")])
def test_what_a_process_committed_it_sees_at_once(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, owner: type, method: str
) -> None:
    """A look at the log, or at the table, that began before a commit and ends after it does not hide the commit."""
    store = replica(tmp_path / "one", url)
    put(store, "a")
    assert ids(store) == ["a"]
    folder = store.folder("turns")
    found = delta.snapshot(folder)
    assert found is not None
    monkeypatch.setattr(places, "FRESH_S", 0.0)
    slow = Slow(monkeypatch, owner, method)
    slow.begin(lambda: folder.newest(0) if method == "_has" else folder.table())
    monkeypatch.setattr(places, "FRESH_S", 60.0)
    with folder.durable_log():
        delta._commit_nothing(found.table, 1)
    slow.end()
    assert folder.newest(found.version) == found.version + 1


def test_what_a_slow_look_found_counts(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look during which something else became known is not fresh, but a later version that it found is known from then on."""
    one, other = replica(tmp_path / "one", url), replica(tmp_path / "other", url)
    put(one, "a")
    found = delta.snapshot(one.folder("turns"))
    assert found is not None
    put(other, "b")
    slow = Slow(monkeypatch, Place, "table")
    slow.begin(one.folder("turns").table)
    with one.folder("turns").durable_log():  # a commit that was refused
        pass
    slow.end()
    assert one.folder("turns").newest(found.version + 1) == found.version + 1


def test_whoever_reads_on_copies_what_is_new(tmp_path: Path, url: str) -> None:
    """A plan from a commit on has only files copied in which such rows may be; merged ones too, and those without statistics."""
    one, other = replica(tmp_path / "one", url), replica(tmp_path / "other", url)
    for n in range(25):  # beyond a checkpoint
        put(one, f"r{n}")
    assert ids(other, Where(column="seq", op="ge", value=24)) == ["r23", "r24"]
    assert len(copies(tmp_path / "other")) == 2
    one.compact("turns")
    put(one, "new")
    third = replica(tmp_path / "third", url)
    assert ids(third, Where(column="seq", op="ge", value=26)) == ["new"]
    assert len(copies(tmp_path / "third")) == 1
    assert ids(third, Where(column="seq", op="ge", value=25)) == ["new", "r24"]


def test_a_file_without_statistics_may_hold_any_seq(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are found in a file of which the log says no seq."""
    one = replica(tmp_path / "one", url)
    added = delta._added
    monkeypatch.setattr(delta, "_added", lambda *args, **kwargs: _unsaid(added(*args, **kwargs)))
    put(one, "a")
    assert ids(one, Where(column="seq", op="ge", value=1)) == ["a"]
    assert [f.last_seq for f in delta.snapshot(one.folder("turns")).files] == [None]  # type: ignore[union-attr]


def _unsaid(action: Any) -> Any:
    return type(action)(action.path, action.size, {}, action.modification_time, action.data_change, "{}")


def test_forgetting_copies_only_what_is_old(tmp_path: Path, url: str) -> None:
    """A file whose first row is young enough is not copied to be looked into."""
    one, other = replica(tmp_path / "one", url), replica(tmp_path / "other", url)
    for day in range(5):
        put(one, f"d{day}", day=day)
    assert other.expire("turns", before_us=2 * DAY) == 2
    assert len(copies(tmp_path / "other")) <= 2
    assert ids(other) == ["d2", "d3", "d4"]


def test_a_disk_that_is_nearly_full_is_left_to_the_journal(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies that nobody uses, of any table, make room; where that is not enough nothing is copied, and the error names the disk.

    Of a large disk a tenth need not be free: copies that are in use may take more.
    """
    one, other = replica(tmp_path / "one", url), replica(tmp_path / "other", url)
    for table in SCHEMAS:
        put(one, "a", table=table)
    assert ids(other, table="words") == ["a"]
    usage, small = namedtuple("usage", "total free"), 1

    def disk(_: Any) -> Any:
        return usage(100 * small, 9 * small if copies(tmp_path / "other", "words") else 10 * small)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", disk)
        with pytest.raises(StoreError, match=f"disk of {tmp_path}") as refused:
            ids(other)
        assert refused.value.retryable
        assert "credentials" not in str(refused.value)
        assert copies(tmp_path / "other") == set()
        put(other, "b", day=50)  # nothing has to be copied for it
        aged(copies(tmp_path / "other", "words"), 2 * places.IN_USE_S)
        assert ids(other) == ["a", "b"]
        small = places.SPARED
        assert ids(other, table="words") == ["a"]
        put(one, "c", table="words", day=6)
        time.sleep(places.FRESH_S)
        assert ids(other, table="words") == ["a", "c"]


@pytest.mark.parametrize("doing", [ids, Warehouse.commit])
def test_a_disk_that_refuses_is_not_taken_for_a_bucket(tmp_path: Path, url: str, doing: Any) -> None:
    """Where this machine's disk takes no copy or no new file, the error says so, and speaks of no credentials."""
    one, other = replica(tmp_path / "one", url), replica(tmp_path / "other", url)
    put(one, "a")
    other.append("turns", pa.table({"id": ["c"], "time_us": [DAY], "user_id": ["u"]}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StoreError, match="free space") as refused:
            doing(other)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "credentials" not in str(refused.value)
    assert not [path for path in (tmp_path / "other" / "copies" / "tables").rglob("*") if path.is_file()]
    doing(other)


class Meanwhile(Duck):
    """An engine before whose first answer something happens."""

    def __init__(self, work: Any) -> None:
        super().__init__()
        self._works = [work]

    def run(self, plan: Plan, files: Sequence[str], schema: pa.Schema) -> pa.Table:
        """Answer a plan, late."""
        while self._works:
            self._works.pop()()
        return super().run(plan, files, schema)


def test_erased_rows_are_in_no_copy_of_the_machine(tmp_path: Path, url: str) -> None:
    """On return no copy here has them, of files that were merged away before either; readers meanwhile get an answer without them."""
    store = replica(tmp_path / "one", url)
    for n in range(3):
        put(store, f"r{n}", user="eve-of-old" if n == 1 else "u")
    store.compact("turns")
    beside = replica(tmp_path / "one", url, Meanwhile(lambda: store.erase("turns", "user_id", "eve-of-old")))
    assert ids(beside) == ["r0", "r2"]
    left = [path for path in tmp_path.rglob("*.parquet") if b"eve-of-old" in path.read_bytes()]
    assert left == []
    assert ids(store) == ["r0", "r2"]


def test_tidying_lets_copies_go_that_are_not_listed(tmp_path: Path, url: str) -> None:
    """A copy of a file that its table does not list any more goes though nobody commits to the table."""
    one, other = replica(tmp_path / "one", url), replica(tmp_path / "other", url)
    put(one, "a", user="eve")
    put(one, "b")
    assert ids(other) == ["a", "b"]
    one.erase("turns", "user_id", "eve")
    time.sleep(places.FRESH_S)
    assert ids(other) == ["b"]
    assert len(copies(tmp_path / "other")) == 2
    aged(copies(tmp_path / "other"), 2 * places.IN_USE_S)
    other.tidy()
    assert len(copies(tmp_path / "other")) == 1
    assert ids(other) == ["b"]


def test_a_bucket_that_does_not_answer_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a failure of the store that may pass, and the error says what to look at."""
    monkeypatch.setattr(places, "RETRIES", {"max_retries": "0", "retry_timeout": "1s"})
    for name, value in (("ENDPOINT_URL", "http://127.0.0.1:9"), ("REGION", "x"), ("ALLOW_HTTP", "true")):
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "x")
    with pytest.raises(StoreError, match="credentials") as refused:
        replica(tmp_path / "one", "s3://tables/x")
    assert refused.value.retryable
