"""The Warehouse: durable, visible after commit, each row once, and errors that say what to do."""

import os
import resource
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import ConfigError, InputError, StoreError
from andon.store import (
    REPEATED,
    REPLACES,
    REPLACES_EVER,
    Committed,
    Lookup,
    Rollup,
    Slice,
    Span,
    Warehouse,
    Where,
)
from andon.store import table as delta
from andon.store.rows import hash_ids

DAY = 86_400_000_000
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("time_us", pa.int64()),
        ("user_id", pa.string()),
        ("score", pa.float64()),
        ("parts", pa.list_(pa.struct([("text", pa.string())]))),
    ]
)


def rows(ids: list[str], time_us: list[int] | None = None, **columns: Any) -> pa.Table:
    """Rows at the times 0, 1, 2 us unless given."""
    return pa.table({"id": ids, "time_us": time_us or list(range(len(ids))), **columns})


def ids_of(store: Warehouse, table: str = "turns") -> list[str]:
    """Ids of all committed rows, in order of time."""
    ids: list[str] = store.run(Slice(table=table, columns=("id",)))["id"].to_pylist()
    return ids


@pytest.fixture
def store(tmp_path: Path) -> Warehouse:
    """A warehouse with two tables and no rows."""
    return Warehouse(tmp_path / "store", {"turns": SCHEMA, "scores": SCHEMA})


def test_rows_are_visible_after_commit(store: Warehouse) -> None:
    """An append is not visible before a commit, and is after it, in one commit per table."""
    assert store.append("turns", rows(["a", "b"])) == 2
    assert store.append("turns", rows(["c"])) == 1
    assert store.append("scores", rows(["a"])) == 1
    assert ids_of(store) == []
    assert store.commit() == Committed(
        added={"turns": 3, "scores": 1}, duplicates={"turns": 0, "scores": 0}, waiting={}
    )
    assert sorted(ids_of(store)) == ["a", "b", "c"]
    assert ids_of(store, "scores") == ["a"]
    assert (store.newest("turns"), store.newest("scores"), store.tables()) == (1, 1, ("scores", "turns"))
    assert store.commit() == Committed(added={}, duplicates={}, waiting={})
    assert store.newest("turns") == 1


def test_seq_grows_by_one_with_every_commit(store: Warehouse) -> None:
    """All rows of a commit share its seq, and no seq is used twice, even when its rows are gone."""
    for wanted in (1, 2, 3):
        store.append("turns", rows([f"r{wanted}"], [wanted * DAY]))
        store.commit()
        assert store.newest("turns") == wanted
    store.expire("turns", before_us=9 * DAY)
    store.compact("turns")
    assert ids_of(store) == []
    store.append("turns", rows(["late"]))
    store.commit()
    assert store.run(Slice(table="turns", columns=("id", "seq"))).to_pylist() == [{"id": "late", "seq": 4}]


def test_sending_twice_changes_nothing(store: Warehouse) -> None:
    """The same rows sent again, in the same batch or a later one, are dropped, and the first one stays."""
    store.append("turns", rows(["a", "b", "a"], [5, 6, 7], user_id=["first", "x", "second"]))
    store.append("turns", rows(["b", "c"], [6, 8]))
    done = store.commit()
    assert (done.added, done.duplicates) == ({"turns": 3}, {"turns": 2})
    store.append("turns", rows(["a", "b", "c", "d"], [5, 6, 8, 9]))
    done = store.commit()
    assert (done.added, done.duplicates) == ({"turns": 1}, {"turns": 3})
    got = store.run(Slice(table="turns", columns=("id", "user_id"))).to_pylist()
    assert [row["id"] for row in got] == ["a", "b", "c", "d"]
    assert got[0]["user_id"] == "first"


@settings(max_examples=25, deadline=None)
@given(
    sent=st.lists(st.tuples(st.sampled_from("abc"), st.integers(-4, 4)), min_size=1, max_size=14),
    cuts=st.sets(st.integers(0, 14)),
    compact=st.booleans(),
)
def test_the_rule_of_one_day(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[str, int]], cuts: set[int], compact: bool
) -> None:
    """A row is a duplicate if and only if a kept one has its id within a day either side, however commits are cut."""
    store = Warehouse(tmp_path_factory.mktemp("day"), {"turns": SCHEMA})
    kept: list[tuple[str, int]] = []
    for at, (name, day) in enumerate(sent):
        if not any(name == other and abs(day - on) <= 1 for other, on in kept):
            kept.append((name, day))
        store.append("turns", rows([name], [day * DAY + DAY // 2]))
        if at in cuts:
            store.commit()
            if compact:
                store.compact("turns")
    store.commit()
    got = store.run(Slice(table="turns", columns=("id", "day"))).to_pylist()
    assert sorted((row["id"], row["day"]) for row in got) == sorted(kept)
    store.close()


def test_hash_of_an_id_never_changes() -> None:
    """The stored hash is blake2b with 8 bytes, little-endian, signed: these values hold for ever."""
    ids = pa.chunked_array([["", "a", "ä"], ["019b8f6e-0000-7000-8000-000000000000"]])
    assert hash_ids(ids).tolist() == [
        -5426141060434712860,
        3405396810240292928,
        4152366542966443504,
        8413498136758334394,
    ]


def test_hashing_is_fast() -> None:
    """100,000 ids are hashed in well under 0.3 s of processor time."""
    ids = pa.chunked_array([[f"{i:032x}" for i in range(100_000)]])
    began = time.process_time()
    hash_ids(ids)
    assert time.process_time() - began < 0.3


def test_rows_are_cast_and_filled(store: Warehouse) -> None:
    """Columns may come in any order and type that casts; absent ones are null, and numbers that are not finite too."""
    store.append("turns", pa.table({"time_us": pa.array([1], pa.int32()), "id": pa.array(["a"], pa.large_string())}))
    values = [1.5, float("nan"), float("inf"), None]
    store.append("turns", rows(["b", "c", "d", "e"], [2, 3, 4, 5], score=pa.array(values, pa.float32())))
    store.append("turns", rows(["f"], [6], parts=[[{"text": "ä"}, {"text": None}]], score=pa.array([7])))
    store.commit()
    got = store.run(Slice(table="turns", columns=("id", "score", "parts", "user_id"))).to_pylist()
    assert [row["score"] for row in got] == [None, 1.5, None, None, None, 7.0]
    assert got[-1]["parts"] == [{"text": "ä"}, {"text": None}]
    assert {row["user_id"] for row in got} == {None}


@pytest.mark.parametrize(
    ("table", "sent", "hint"),
    [
        ("nope", rows(["a"]), "'nope'.*scores, turns"),
        ("turns", pa.table({"id": ["a"]}), "'time_us'"),
        ("turns", pa.table({"time_us": [1]}), "'id'"),
        ("turns", pa.table({"id": ["a", None], "time_us": [1, 2]}), "'id'.*1 rows"),
        ("turns", pa.table({"id": ["a"], "time_us": pa.array([None], pa.int64())}), "'time_us'"),
        ("turns", rows(["a", ""]), "'id'.*empty"),
        ("turns", rows(["a"], score=["many"]), "'score'.*many"),
        ("turns", rows(["a"], parts=["text"]), "'parts'"),
        ("turns", rows(["a"], colour=["red"]), "'colour'.*user_id"),
        ("turns", rows(["a"], seq=[7]), "'seq'"),
        ("turns", pa.table([["a"], ["b"], [1]], names=["id", "id", "time_us"]), "'id' comes twice"),
    ],
)
def test_wrong_rows_are_refused_whole(store: Warehouse, table: str, sent: pa.Table, hint: str) -> None:
    """Rows that do not fit are the caller's error: the message names column and reason, and nothing is taken."""
    with pytest.raises(InputError, match=hint):
        store.append(table, sent)
    assert store.commit().added == {}


@pytest.mark.parametrize(
    ("name", "schema", "hint"),
    [
        ("turns", pa.schema([("id", pa.string())]), "'time_us'"),
        ("turns", pa.schema([("id", pa.int64()), ("time_us", pa.int64())]), "'id'"),
        ("turns", SCHEMA.append(pa.field("weight", pa.int64())), "'weight'"),
        ("turns", SCHEMA.append(pa.field("seq", pa.int64())), "'seq'"),
        ("turns", SCHEMA.append(pa.field("score", pa.int64())), "'score'"),
        ("turns", SCHEMA.append(pa.field('x"; DROP', pa.int64())), "lower case"),
        ("turns", SCHEMA.append(pa.field("Score", pa.int64())), "lower case"),
        ("../turns", SCHEMA, "lower case"),
        ("turns", SCHEMA.append(pa.field("size", pa.uint32())), "'size'"),
        ("turns", SCHEMA.append(pa.field("span", pa.duration("s"))), "'span'"),
        ("turns", SCHEMA.append(pa.field("app", pa.dictionary(pa.int32(), pa.string()))), "'app'"),
    ],
)
def test_schemas_that_cannot_be_kept_are_refused_at_start(
    tmp_path: Path, name: str, schema: pa.Schema, hint: str
) -> None:
    """A schema without id or time, or with a name or type that would not come back, stops the start."""
    with pytest.raises(ConfigError, match=hint):
        Warehouse(tmp_path, {name: schema})


def test_columns_may_be_added(tmp_path: Path) -> None:
    """A later schema may have more columns: old rows have null there, and an older process goes on beside it."""
    old = Warehouse(tmp_path, {"turns": SCHEMA})
    old.append("turns", rows(["a"], [1]))
    old.commit()
    wider = SCHEMA.append(pa.field("colour", pa.string())).append(pa.field("size", pa.float64()))
    new = Warehouse(tmp_path, {"turns": wider})
    red = (Where(column="colour", op="eq", value="red"),)
    assert new.run(Slice(table="turns", columns=("id", "colour"))).to_pylist() == [{"id": "a", "colour": None}]
    assert new.run(Rollup(table="turns", metrics=("size",), where=red)).to_pylist()[0]["rows"] == 0
    new.append("turns", rows(["b"], [2], colour=["red"], size=[1.0]))
    new.commit()
    old.append("turns", rows(["c"], [3]))
    old.commit()
    wanted = [("a", None), ("b", "red"), ("c", None)]
    for _ in range(2):
        got = new.run(Slice(table="turns", columns=("id", "colour"))).to_pylist()
        assert [(row["id"], row["colour"]) for row in got] == wanted
        assert ids_of(old) == ["a", "b", "c"]
        new.compact("turns")


def test_types_may_not_change(tmp_path: Path) -> None:
    """A column that changed its type stops the start, and the message names both types."""
    Warehouse(tmp_path, {"turns": SCHEMA})
    other = pa.schema([f if f.name != "score" else pa.field("score", pa.string()) for f in SCHEMA])
    with pytest.raises(ConfigError, match=r"'score'.*double.*string"):
        Warehouse(tmp_path, {"turns": other})


def test_rows_of_a_newer_andon_wait(tmp_path: Path) -> None:
    """Rows with a table or column that this version does not know stay in the journal for one that does."""
    wider = SCHEMA.append(pa.field("colour", pa.string()))
    newer = Warehouse(tmp_path, {"turns": wider, "extra": SCHEMA})
    newer.append("turns", rows(["a"], colour=["red"]))
    newer.append("extra", rows(["b"]))
    newer.close()
    older = Warehouse(tmp_path, {"turns": SCHEMA})
    older.append("turns", rows(["mine"]))
    assert older.commit() == Committed(added={"turns": 1}, duplicates={"turns": 0}, waiting={"turns": 1, "extra": 1})
    assert newer.commit().added == {"turns": 1, "extra": 1}
    assert sorted(ids_of(newer)) == ["a", "mine"]


def test_nothing_is_deleted_before_it_is_on_disk(store: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data file is fsynced before the log names it, and the log entry and the one before it before the journal forgets the rows."""
    events: list[str] = []
    sync, unlink = os.fsync, Path.unlink
    folder = store.folder("turns").here

    def spy_sync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        named = any(path.name in entry.read_text() for entry in (folder / "_delta_log").glob("*.json"))
        events.append(f"sync {path.suffix or path.name}{' too late' if named and path.suffix == '.parquet' else ''}")
        sync(handle)

    def spy_unlink(path: Path, missing_ok: bool = False) -> None:
        events.append(f"delete {path.suffix}")
        unlink(path, missing_ok)

    store.append("turns", rows(["a"]))
    monkeypatch.setattr(os, "fsync", spy_sync)
    monkeypatch.setattr(Path, "unlink", spy_unlink)
    store.commit()
    once = ["sync .parquet", "sync turns", "sync .json", "sync .json", "sync _delta_log", "delete .segment"]
    assert events == once


@pytest.mark.parametrize("damage", [b"", b'{"commitInfo":{"time', b'{"commitInfo":{}}\n{"add":'])
def test_a_torn_log_entry_is_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes) -> None:
    """When a power cut tears the last log entry, the next start drops it, and the rows come from the journal again."""
    monkeypatch.setattr(delta, "TORN_S", 0.0)
    store = Warehouse(tmp_path, {"turns": SCHEMA})
    store.append("turns", rows(["a"], [1]))
    store.commit()
    store.append("turns", rows(["b"], [2]))
    shutil.copytree(tmp_path / "journal", tmp_path / "kept")
    store.commit()
    shutil.copytree(tmp_path / "kept", tmp_path / "journal", dirs_exist_ok=True)
    newest = max((tmp_path / "tables" / "turns" / "_delta_log").glob("*.json"))
    newest.write_bytes(damage)
    again = Warehouse(tmp_path, {"turns": SCHEMA})
    assert ids_of(again) == ["a"]
    again.commit()
    assert ids_of(again) == ["a", "b"]


def test_an_entry_that_somebody_is_writing_is_not_torn(tmp_path: Path) -> None:
    """A start that meets an entry which another machine has not yet shown whole waits for it, and removes nothing."""
    store = Warehouse(tmp_path, {"turns": SCHEMA})
    store.append("turns", rows(["a"], [1]))
    store.commit()
    newest = max((tmp_path / "tables" / "turns" / "_delta_log").glob("*.json"))
    whole = newest.read_bytes()
    newest.write_bytes(whole[:20])
    later = threading.Timer(0.3, newest.write_bytes, (whole,))
    later.start()
    assert ids_of(Warehouse(tmp_path, {"turns": SCHEMA})) == ["a"]
    later.join()
    assert newest.read_bytes() == whole


@pytest.mark.parametrize("torn", ["_last_checkpoint", "*.checkpoint.parquet"])
def test_a_torn_checkpoint_is_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: str) -> None:
    """When a power cut tears a checkpoint, the next start goes on from the log entries before it."""
    monkeypatch.setattr(delta, "TORN_S", 0.0)
    store = Warehouse(tmp_path, {"turns": SCHEMA})
    for i in range(25):
        store.append("turns", rows([str(i)], [i]))
        store.commit()
    (path,) = (tmp_path / "tables" / "turns" / "_delta_log").glob(torn)
    path.write_bytes(path.read_bytes()[:10])
    again = Warehouse(tmp_path, {"turns": SCHEMA})
    assert len(ids_of(again)) == 25
    again.append("turns", rows(["new"], [99]))
    again.commit()
    assert len(ids_of(again)) == 26


def test_a_crash_between_table_and_journal_duplicates_nothing(store: Warehouse, tmp_path: Path) -> None:
    """A journal that was committed but not deleted gives no row twice."""
    store.append("turns", rows(["a", "b"]))
    shutil.copytree(tmp_path / "store" / "journal", tmp_path / "kept")
    store.commit()
    shutil.copytree(tmp_path / "kept", tmp_path / "store" / "journal", dirs_exist_ok=True)
    assert store.commit().duplicates == {"turns": 2}
    assert sorted(ids_of(store)) == ["a", "b"]


def test_a_full_disk_during_commit_loses_nothing(store: Warehouse) -> None:
    """A commit that the disk refuses raises a retryable StoreError, and the next one succeeds."""
    noise = [os.urandom(2000).hex() for _ in range(50)]
    store.append("turns", rows([str(i) for i in range(50)], user_id=noise))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(StoreError, match="'turns'") as caught:
            store.commit()
        assert caught.value.retryable
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(store.folder("turns").here.glob("*.parquet"))
    assert store.commit().added == {"turns": 50}


def test_many_small_commits_are_compacted(store: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tidying merges small files when there are many; rows, seqs and answers stay the same, and times are in order."""
    monkeypatch.setattr("andon.store.warehouse.COMPACT_FILES", 10)
    tidied = []
    for i in range(25):
        store.append("turns", rows([f"r{i}", f"s{i}"], [100 - i, i], score=[1.0, 2.0]))
        store.commit()
        tidied.append(store.tidy())
    assert [n for n in tidied if n] == [10, 10]
    found = delta.snapshot(store.folder("turns"))
    assert found is not None
    assert len(found.files) <= 10
    assert store.newest("turns") == 25
    answer = store.run(Rollup(table="turns", metrics=("score", "seq"))).to_pylist()[0]
    assert (answer["rows"], answer["score.sum"], answer["seq.sum"]) == (50, 75.0, 650.0)
    assert store.compact("turns") > 0
    assert len(ids_of(store)) == 50
    assert store.append("turns", rows(["r3"], [97])) == 1
    assert store.commit().duplicates == {"turns": 1}


def test_expire_forgets_old_rows(store: Warehouse) -> None:
    """Rows before the border go, rows on it stay, and the number that went is returned."""
    for day in range(4):
        store.append("turns", rows([f"a{day}", f"b{day}"], [day * DAY, day * DAY + 5]))
        store.commit()
    assert store.expire("turns", before_us=2 * DAY + 1) == 5
    assert ids_of(store) == ["b2", "a3", "b3"]
    assert store.expire("turns", before_us=2 * DAY + 1) == 0


def test_erase_leaves_no_trace(store: Warehouse, tmp_path: Path) -> None:
    """Erasure removes a person's rows, committed or not, from every file on the disk, and keeps all others."""
    names = ["eve", "bob", None]
    for i in range(3):
        sent = rows([f"{i}-{n}" for n in range(3)], [i * 10 + n for n in range(3)], user_id=names)
        store.append("turns", sent.append_column("parts", pa.array([[{"text": "SECRET-OF-EVE"}], None, None])))
        if i < 2:
            store.commit()
    store.compact("turns")
    assert store.erase("turns", "user_id", "eve") == 3
    assert ids_of(store) == [f"{i}-{n}" for i in range(3) for n in (1, 2)]
    left = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert left
    assert not [path for path in left if b"SECRET-OF-EVE" in path.read_bytes() or b"eve" in path.read_bytes()]
    with pytest.raises(InputError, match=r"'nope'.*user_id"):
        store.erase("turns", "nope", "x")


def test_files_outside_the_span_are_not_opened(store: Warehouse) -> None:
    """A span prunes whole files before the engine sees them."""
    for day in range(5):
        store.append("turns", rows([f"r{day}"], [day * DAY]))
        store.commit()
    span = Span(start_us=2 * DAY, end_us=3 * DAY + 1)
    assert len(store._files(Slice(table="turns", columns=("id",), span=span), here=True)) == 1 + 2
    assert store.run(Lookup(table="turns", ids=("r1", "r3"), columns=("id",), span=span)).to_pylist() == [{"id": "r3"}]


def test_a_file_that_vanished_is_looked_for_once_more(store: Warehouse, tmp_path: Path) -> None:
    """A query that loses a file to an erasure is repeated on the next snapshot; a file lost for good is an error."""
    store.append("turns", rows(["a"]))
    store.commit()
    calls = []

    class Flaky:
        def run(self, plan: Any, files: Any, schema: pa.Schema) -> pa.Table:
            calls.append(files)
            if len(calls) == 1:
                raise StoreError("gone", retryable=True)
            return pa.table({"id": ["a"]})

    second = Warehouse(tmp_path / "store", {"turns": SCHEMA, "scores": SCHEMA}, Flaky())
    assert ids_of(second) == ["a"]
    assert len(calls) == 2
    for path in store.folder("turns").here.glob("*.parquet"):
        path.unlink()
    with pytest.raises(StoreError, match="DuckDB"):
        ids_of(store)


def test_threads_share_a_warehouse(store: Warehouse) -> None:
    """Threads append, commit and ask at the same time; nothing is lost or doubled, and counts never go back."""
    errors: list[BaseException] = []
    counts: list[int] = []

    def work(worker: int) -> None:
        try:
            for i in range(8):
                store.append("turns", rows([f"{worker}-{i}-{n}" for n in range(20)]))
                if i % 3 == worker % 3:
                    store.commit()
                if worker == 0:
                    counts.append(store.run(Rollup(table="turns")).to_pylist()[0]["rows"])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert counts == sorted(counts)
    store.commit()
    assert len(set(ids_of(store))) == len(ids_of(store)) == 4 * 8 * 20


def test_any_folder_name_will_do(tmp_path: Path) -> None:
    """Spaces, quotes and brackets in the folder's name change nothing."""
    root = tmp_path / "a b[1]*'\"; --é"
    store = Warehouse(root, {"turns": SCHEMA})
    store.append("turns", rows(["a"]))
    store.commit()
    assert ids_of(store) == ["a"]
    assert store.erase("turns", "user_id", "x") == 0
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


def test_a_per_cent_sign_in_the_folders_name_is_refused(tmp_path: Path) -> None:
    """delta-rs decodes a path twice and would write elsewhere, so such a folder stops the start."""
    with pytest.raises(ConfigError, match="%"):
        Warehouse(tmp_path / "a%20b", {"turns": SCHEMA})
    assert list(tmp_path.iterdir()) == []


HOSTILE = [
    "'; DROP TABLE turns; --",
    '" OR 1=1 --',
    "$1",
    "?",
    "%s",
    "\0",
    "COPY x TO '/tmp/x'",
    "\\'",
    "read_csv('/etc/passwd')",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(store: Warehouse, text: str) -> None:
    """Hostile values are stored, found and told apart like any others, and as names they are refused."""
    store.append("turns", rows([text, "other"], user_id=[text, "x"]))
    store.commit()
    only = [{"id": text}]
    for where in (
        Where(column="user_id", op="eq", value=text),
        Where(column="user_id", op="in", value=(text,)),
        Where(column="user_id", op="contains", value=text),
        Where(column="id", op="lt", value=text + "\0"),
    ):
        got = store.run(Slice(table="turns", columns=("id",), where=(where,))).to_pylist()
        assert only[0] in got
        assert got == only or where.op == "lt"
    assert store.run(Lookup(table="turns", ids=(text,), columns=("id",))).to_pylist() == only
    for plan in (
        Slice(table=text, columns=("id",)),
        Slice(table="turns", columns=(text,)),
        Rollup(table="turns", metrics=(text,)),
        Rollup(table="turns", keys=(text,)),
        Rollup(table="turns", where=(Where(column=text, op="null"),)),
    ):
        with pytest.raises(InputError, match="there is no"):
            store.run(plan)
    assert store.erase("turns", "user_id", text) == 1
    assert ids_of(store) == ["other"]


def test_another_program_may_read_the_table(store: Warehouse) -> None:
    """The table is plain Delta Lake: any reader sees the same rows and schema."""
    store.append("turns", rows(["a", "b"]))
    store.commit()
    table = DeltaTable(store.folder("turns").uri)
    assert sorted(table.to_pyarrow_table()["id"].to_pylist()) == ["a", "b"]
    assert pa.schema(table.schema()).names == store.schema("turns").names


def replacing(root: Path, mode: bytes) -> Warehouse:
    """A store of one table in which a later row takes the place of an earlier one."""
    schema = pa.schema([("id", pa.string()), ("time_us", pa.int64()), ("text", pa.string())])
    return Warehouse(root, {"notes": schema.with_metadata({REPEATED: mode})})


def say(store: Warehouse, *rows: tuple[str, int, str]) -> Committed:
    """Append rows of (id, time, text) and commit."""
    columns = [list(c) for c in zip(*rows, strict=True)]
    store.append("notes", pa.table(dict(zip(("id", "time_us", "text"), columns, strict=True))))
    return store.commit()


def notes(store: Warehouse) -> dict[str, str]:
    """Text by id; fails when an id is there twice."""
    rows = store.run(Slice(table="notes", columns=("id", "text"))).to_pylist()
    assert len({r["id"] for r in rows}) == len(rows)
    return {r["id"]: r["text"] for r in rows}


@pytest.mark.parametrize("mode", [REPLACES, REPLACES_EVER])
def test_the_last_word_counts_where_the_schema_says_so(tmp_path: Path, mode: bytes) -> None:
    """A row with a known id replaces the earlier one, its neighbours stay; the same row again is dropped; seq grows."""
    store = replacing(tmp_path, mode)
    assert say(store, ("a", 1, "old"), ("b", 2, "b")).added == {"notes": 2}
    before = store.newest("notes")
    done = say(store, ("a", 1, "new"), ("c", 3, "c"), ("b", 2, "b"))
    assert (done.added, done.replaced, done.duplicates) == ({"notes": 1}, {"notes": 1}, {"notes": 1})
    assert notes(store) == {"a": "new", "b": "b", "c": "c"}
    after = Where(column="seq", op="ge", value=before + 1)
    assert [r["id"] for r in store.run(Slice(table="notes", columns=("id",), where=(after,))).to_pylist()] == ["a", "c"]
    store.close()


def test_of_two_words_in_one_commit_the_later_counts(tmp_path: Path) -> None:
    """Within one commit the row with the latest time stays, and of equal times the last to come."""
    store = replacing(tmp_path, REPLACES)
    say(store, ("a", 5, "late"), ("a", 1, "early"), ("b", 1, "first"), ("b", 1, "second"))
    assert notes(store) == {"a": "late", "b": "second"}
    say(store, ("a", 2, "older"))
    assert notes(store) == {"a": "late", "b": "second"}
    store.close()


def test_a_word_of_another_week_replaces_only_where_that_is_asked_for(tmp_path: Path) -> None:
    """``at any time`` reaches rows of any day; without it an id is one row within neighbouring days only."""
    week = 7 * DAY
    for mode, expected in ((REPLACES_EVER, 1), (REPLACES, 2)):
        store = replacing(tmp_path / mode.decode(), mode)
        say(store, ("a", 1, "old"))
        say(store, ("a", 1 + week, "new"))
        assert store.run(Rollup(table="notes"))["rows"][0].as_py() == expected
        store.close()


def test_sealed_rows_can_be_committed_by_another_process(tmp_path: Path) -> None:
    """What one store has appended and sealed, a second one commits; the size of what waits goes to zero."""
    front, back = replacing(tmp_path, REPLACES), replacing(tmp_path, REPLACES)
    front.append("notes", pa.table({"id": ["a"], "time_us": [1], "text": ["x"]}))
    assert front.uncommitted_bytes() > 0
    assert back.commit().added == {}
    front.seal()
    assert back.commit().added == {"notes": 1}
    assert front.uncommitted_bytes() == 0
    assert notes(front) == {"a": "x"}
    front.close()
    back.close()
