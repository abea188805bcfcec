"""Laws of tables in a bucket: as in a folder, whatever becomes of requests, and with copies that nobody has to think of."""

import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pyarrow as pa
import pytest
from object_store import ObjectStore

from andon.cli.places import check_places
from andon.errors import ConfigError, StoreError
from andon.settings import load
from andon.store import (
    Bucket,
    Ledger,
    Lookup,
    Rollup,
    Slice,
    Span,
    Warehouse,
    forget_tables,
    keep_table,
    kept_stamp,
    kept_table,
)
from andon.store import place as places
from andon.store import table as delta
from andon.store.backups import back_up, restore
from andon.store.opening import open_warehouse, store_place

pytestmark = pytest.mark.slow

DAY = 86_400_000_000
SCHEMAS = {
    "turns": pa.schema(
        [("id", pa.string()), ("time_us", pa.int64()), ("user_id", pa.string()), ("score", pa.float64())]
    )
}


def rows(names: list[str], user: str = "u", day: int = 5) -> pa.Table:
    """Rows of one user on one day."""
    times = pa.array([day * DAY + i for i in range(len(names))], pa.int64())
    return pa.table({"id": names, "time_us": times, "user_id": [user] * len(names), "score": [1.0] * len(names)})


def replica(home: Path, url: str) -> Warehouse:
    """A replica with a home of its own."""
    return Warehouse(Bucket(url, home / "copies"), SCHEMAS, home=home)


def ids(store: Warehouse) -> list[str]:
    """What is in the table."""
    return sorted(store.run(Slice(table="turns", columns=("id",)))["id"].to_pylist())


def copies(home: Path) -> set[str]:
    """The files of rows of which a home has copies."""
    return {path.name for path in home.glob("copies/tables/turns/*.parquet")}


def test_every_replica_has_what_any_committed(tmp_path: Path, bucket: str) -> None:
    """Rows that one replica takes in are there for another, once, through appends, merging, forgetting and erasing."""
    one, other = replica(tmp_path / "one", bucket), replica(tmp_path / "other", bucket)
    for n in range(25):  # beyond a checkpoint
        (one if n % 2 else other).append("turns", rows([f"r{n}", "same"], "eve" if n == 3 else "u", day=n % 3))
        assert (one if n % 2 else other).commit().added["turns"] >= 1
        time.sleep(places.FRESH_S)
    wanted = sorted({f"r{n}" for n in range(25)} | {"same"})
    assert sorted(set(ids(one))) == sorted(set(ids(other))) == wanted
    assert one.compact("turns") > 0
    time.sleep(places.FRESH_S)
    assert ids(one) == ids(other)
    assert other.erase("turns", "user_id", "eve") == 1
    assert other.expire("turns", before_us=DAY) > 0
    time.sleep(places.FRESH_S)
    assert ids(one) == ids(other) == ids(replica(tmp_path / "third", bucket))
    assert "r3" not in ids(one)
    counted = one.run(Rollup(table="turns", metrics=("score",), span=Span(start_us=DAY, end_us=2 * DAY)))
    assert counted["rows"].to_pylist() == [sum(n % 3 == 1 for n in range(25))]
    assert one.run(Lookup(table="turns", columns=("id",), ids=("r4",)))["id"].to_pylist() == ["r4"]


def test_a_commit_whose_answer_was_lost_is_one_commit(tmp_path: Path, bucket: str, object_store: ObjectStore) -> None:
    """A commit that the store made and did not acknowledge leaves rows that can be read, and each of them once."""
    store = replica(tmp_path / "one", bucket)
    for n in range(3):
        store.append("turns", rows([f"r{n}"]))
        with object_store.fault("lost"):
            store.commit()
        store.commit()
    assert ids(store) == ids(replica(tmp_path / "other", bucket)) == ["r0", "r1", "r2"]
    assert store.uncommitted_bytes() == 0


@pytest.mark.parametrize("fault", ["down", "full"])
def test_a_store_that_refuses_loses_nothing(
    tmp_path: Path, bucket: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Rows wait in the journal until the bucket takes them again; the error says what to look at."""
    monkeypatch.setattr(places, "RETRIES", {"max_retries": "1", "retry_timeout": "1s"})
    store = replica(tmp_path / "one", bucket)
    store.append("turns", rows(["a"]))
    store.commit()
    store.append("turns", rows(["b"]))
    with object_store.fault(fault):
        with pytest.raises(StoreError, match="credentials") as refused:
            store.commit()
        assert refused.value.retryable
        assert "\x1b" not in str(refused.value)
        assert "\n" not in str(refused.value)
        if fault == "full":
            assert ids(store) == ["a"]
    assert store.uncommitted_bytes() > 0
    store.commit()
    assert ids(store) == ["a", "b"]


def test_a_store_that_replaces_is_refused(tmp_path: Path, bucket: str, object_store: ObjectStore) -> None:
    """Where a put replaces what it must not, no table is made; where it does not, nothing of the trial stays."""
    place = Bucket(bucket, tmp_path / "copies")
    with object_store.fault("careless"), pytest.raises(ConfigError, match="If-None-Match"):
        delta.prove(place)
    with object_store.fault("careless"), pytest.raises(ConfigError, match="If-None-Match"):
        replica(tmp_path / "one", bucket)
    delta.prove(place)
    assert b"<Key>" not in object_store.ask("GET", f"/tables?list-type=2&prefix={bucket.rpartition('/')[2]}")


def test_copies_come_and_go_by_themselves(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wrote a file has it; others fetch what a plan needs; what is unlisted, unused or too much goes, and comes back."""
    one, other = replica(tmp_path / "one", bucket), replica(tmp_path / "other", bucket)
    for day in range(4):
        one.append("turns", rows([f"d{day}"], day=day))
        one.commit()
    assert len(copies(tmp_path / "one")) == 4
    assert copies(tmp_path / "other") == set()
    time.sleep(places.FRESH_S)
    other.run(Slice(table="turns", columns=("id",), span=Span(start_us=DAY, end_us=2 * DAY)))
    assert len(copies(tmp_path / "other")) == 1
    assert ids(other) == ["d0", "d1", "d2", "d3"]

    def aged(home: Path, seconds: float) -> None:
        for path in home.glob("copies/tables/turns/*.parquet"):
            os.utime(path, (time.time() - seconds, time.time() - seconds))

    aged(tmp_path / "other", 2 * places.UNUSED_S)
    one.append("turns", rows(["d4"], day=4))
    one.commit()
    time.sleep(places.FRESH_S)
    other.run(Slice(table="turns", columns=("id",), span=Span(start_us=4 * DAY, end_us=5 * DAY)))
    assert len(copies(tmp_path / "other")) == 1
    assert len(ids(other)) == 5
    one.compact("turns")
    aged(tmp_path / "other", 2 * places.IN_USE_S)
    time.sleep(places.FRESH_S)
    assert len(ids(other)) == 5
    assert len(copies(tmp_path / "other")) == 1
    usage = namedtuple("usage", "total free")
    one.append("turns", rows(["d5"], day=5))
    one.commit()
    time.sleep(places.FRESH_S)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage(100, 1))
        with pytest.raises(StoreError, match="nearly full"):
            ids(other)
    assert len(ids(other)) == 6


def test_a_copy_that_is_gone_is_fetched_again(tmp_path: Path, bucket: str) -> None:
    """Whoever cleans up under a running replica costs it a fetch."""
    store = replica(tmp_path / "one", bucket)
    store.append("turns", rows(["a"]))
    store.commit()
    shutil.rmtree(tmp_path / "one" / "copies" / "tables")
    assert ids(store) == ["a"]
    assert len(copies(tmp_path / "one")) == 1


def test_kept_tables_are_those_that_were_kept_last(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one keeps another reads, the newest; the stamp tells when it changed; what is forgotten is gone for all."""
    monkeypatch.setattr(places, "FRESH_S", 0.0)
    one, other = (Bucket(bucket, tmp_path / name).sub("charts") for name in ("one", "other"))
    assert kept_table(other, "state") is None
    assert kept_stamp(other, "state") is None
    stamps = []
    for n in range(2):
        keep_table(one, "state", pa.table({"x": range(n + 3)}))
        found = kept_table(other, "state")
        assert found is not None
        assert found.num_rows == n + 3
        stamps.append(kept_stamp(other, "state"))
    assert stamps[0] != stamps[1]
    forget_tables(one, but=())
    assert kept_table(other, "state") is None


def test_a_process_that_slept_looks_anew(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version that would follow the last one seen may be gone from the log; after a long sleep the table is opened anew."""
    one, other = replica(tmp_path / "one", bucket), replica(tmp_path / "other", bucket)
    one.append("turns", rows(["a"]))
    one.commit()
    time.sleep(places.FRESH_S)
    assert ids(other) == ["a"]
    one.append("turns", rows(["b"]))
    one.commit()
    other.folder("turns").sub("_delta_log").remove([f"{version:020}.json" for version in (2,)])
    log = one.folder("turns").sub("_delta_log")
    assert f"{2:020}.json" not in log.names()
    now_s = places._now_s()
    monkeypatch.setattr(places, "_now_s", lambda: now_s + 2 * places.TRUSTED_S)
    assert other.folder("turns").newest(1) == -1


def test_a_backup_of_a_bucket_comes_back_in_a_folder_and_in_a_bucket(tmp_path: Path, bucket: str) -> None:
    """Tables are backed up from a bucket and restored into another one, or onto a disk."""
    store = replica(tmp_path / "one", f"{bucket}/one")
    store.append("turns", rows(["a", "b"]))
    Ledger.open(tmp_path / "ledger.db").close()
    back_up(store, str(tmp_path / "ledger.db"), tmp_path / "backup", now_us=1)
    for name, place in (("bucket", Bucket(f"{bucket}/two", tmp_path / "copies")), ("disk", tmp_path / "disk")):
        again = Warehouse(place, SCHEMAS, home=tmp_path / name)
        restore(again, str(tmp_path / f"{name}.db"), tmp_path / "backup")
        assert ids(again) == ["a", "b"]


def test_settings_name_a_bucket(tmp_path: Path, bucket: str) -> None:
    """A bucket is taken for the tables, with the rest in the home; without a key of redaction, or misspelt, it is refused."""
    env = {"ANDON_HOME": str(tmp_path / "home"), "ANDON_STORE": bucket, "ANDON_REDACT_KEY": "k" * 32}
    settings = load(env)
    assert settings.place == tmp_path / "home"
    assert str(store_place(settings)) == bucket
    store = open_warehouse(settings, SCHEMAS)
    store.append("turns", rows(["a"]))
    store.commit()
    assert ids(store) == ["a"]
    assert {p.name for p in (tmp_path / "home").iterdir()} >= {"journal", "copies"}
    with pytest.raises(ConfigError, match="ANDON_REDACT_KEY"):
        load({**env, "ANDON_REDACT_KEY": ""})
    for wrong in ("ftp://bucket/x", "s3://", "s3://b/a b", "s3://b/../x%2f"):
        with pytest.raises(ConfigError, match="s3://bucket/path"):
            load({**env, "ANDON_STORE": wrong})


def test_the_check_looks_at_the_bucket(
    tmp_path: Path, bucket: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`andon check` says whether the bucket can be used, and what is wrong with it."""
    monkeypatch.setattr(places, "RETRIES", {"max_retries": "1", "retry_timeout": "1s"})
    settings = load({"ANDON_HOME": str(tmp_path), "ANDON_STORE": bucket, "ANDON_REDACT_KEY": "k" * 32})
    lines, problems = check_places(settings)
    assert f"ANDON_STORE={bucket}: can be read and written, and refuses to replace a file" in lines
    assert problems == []
    for fault, said in (("down", "cannot be used"), ("careless", "If-None-Match")):
        with object_store.fault(fault):
            _, problems = check_places(settings)
        assert len(problems) == 1
        assert said in problems[0]


def test_a_draft_that_vanishes_keeps_nobody_from_a_fetch(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread makes room another one finishes a draft, whose name is gone by then: that is no failure."""
    one, other = replica(tmp_path / "one", bucket), replica(tmp_path / "other", bucket)
    one.append("turns", rows(["a"]))
    one.commit()
    (tmp_path / "other" / "copies" / "tables" / "turns").mkdir(parents=True, exist_ok=True)

    class Gone:
        path = name = "draft"

        def is_file(self) -> bool:
            return True

        def stat(self) -> os.stat_result:
            raise FileNotFoundError

    monkeypatch.setattr(places.os, "scandir", lambda _: iter([Gone()]))
    other._place.sub("tables").sub("turns").fetch([f.path for f in delta.snapshot(other.folder("turns")).files])  # type: ignore[union-attr]
    monkeypatch.undo()
    assert len(copies(tmp_path / "other")) == 1
