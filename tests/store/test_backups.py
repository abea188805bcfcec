"""Laws of backups: what is restored is what was there, taken while others write, and a damaged one is refused."""

import json
import os
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from andon.errors import ConfigError, InputError, StateError, StoreError
from andon.store import Ledger, Slice, Warehouse, backups
from andon.store.backups import back_up, read_backup, restore

DAY = 86_400_000_000
SCHEMA = pa.schema([("id", pa.string()), ("time_us", pa.int64()), ("user_id", pa.string()), ("score", pa.float64())])
SCHEMAS = {"turns": SCHEMA, "words": SCHEMA}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    id: str
    seq: int


def rows(first: int, count: int, user: str = "u") -> pa.Table:
    """Rows with numbers for ids."""
    ids = [f"{first + i:06d}" for i in range(count)]
    times = pa.array([5 * DAY + first + i for i in range(count)], pa.int64())
    return pa.table({"id": ids, "time_us": times, "user_id": [user] * count, "score": [0.5] * count})


def store(folder: Path) -> Warehouse:
    """A warehouse in a folder."""
    return Warehouse(folder, SCHEMAS)


def held(warehouse: Warehouse, table: str) -> list[dict[str, object]]:
    """Everything in a table."""
    return warehouse.run(Slice(table=table, columns=("id", "time_us", "user_id", "score", "seq"))).to_pylist()


def test_what_is_restored_is_what_was_there(tmp_path: Path) -> None:
    """Rows, their seqs and every version of every record come back, and what is written then goes on after them."""
    one = store(tmp_path / "one")
    for n in range(3):
        one.append("turns", rows(10 * n, 10))
        one.commit()
    one.append("words", rows(0, 5))  # not committed yet
    with closing(Ledger.open(tmp_path / "one" / "ledger.db")) as ledger:
        for n in range(4):
            ledger.put(Cursor(id="c", seq=n), now_us=n, by="ada")
        before = ledger.history(Cursor)
    (tmp_path / "one" / "redaction.key").write_bytes(b"secret")
    made = back_up(one, str(tmp_path / "one" / "ledger.db"), tmp_path / "kept", now_us=7)
    assert (made.at_us, made.entries, made.tables["turns"].rows, made.tables["words"].rows) == (7, 4, 30, 5)
    assert read_backup(tmp_path / "kept") == made
    assert {oct(p.stat().st_mode & 0o077) for p in (tmp_path / "kept").glob("**/*.parquet")} == {"0o0"}
    other = store(tmp_path / "other")
    assert restore(other, str(tmp_path / "other" / "ledger.db"), tmp_path / "kept") == made
    for table in SCHEMAS:
        assert held(other, table) == held(one, table)
    assert (tmp_path / "other" / "redaction.key").read_bytes() == b"secret"
    with closing(Ledger.open(tmp_path / "other" / "ledger.db")) as ledger:
        assert ledger.history(Cursor) == before
        assert ledger.put(Cursor(id="c", seq=9), now_us=9, by="ada") == 5
    newest = other.newest("turns")
    other.append("turns", rows(5, 10))  # five of them are there already
    assert other.commit().added == {"turns": 0}
    other.append("turns", rows(100, 1))
    other.commit()
    assert other.newest("turns") == newest + 1


def test_a_backup_while_others_write_has_no_less_than_the_ledger_speaks_of(tmp_path: Path) -> None:
    """Of two stores that grow together, rows first and then the record of them, a backup never has the record without its rows."""
    one, ended = store(tmp_path / "one"), threading.Event()
    place = tmp_path / "one" / "ledger.db"
    with closing(Ledger.open(place)) as ledger:

        def write() -> None:
            n = 0
            while not ended.is_set():
                one.append("turns", rows(n, 5))
                one.commit()
                n += 5
                ledger.put(Cursor(id="c", seq=one.newest("turns")), now_us=n, by="loop")
                if n % 100 == 0:
                    one.compact("turns")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for n in range(4):
                back_up(store(tmp_path / "one"), str(place), tmp_path / f"kept{n}", now_us=n)
        finally:
            ended.set()
            writer.join()
    for n in range(4):
        other = store(tmp_path / f"other{n}")
        restore(other, str(tmp_path / f"other{n}" / "ledger.db"), tmp_path / f"kept{n}")
        with closing(Ledger.open(tmp_path / f"other{n}" / "ledger.db")) as found:
            cursor = found.get(Cursor, "c")
        assert other.newest("turns") >= (cursor.seq if cursor else 0)
        ids = [row["id"] for row in held(other, "turns")]
        assert len(ids) == len(set(ids))


def test_files_that_vanish_meanwhile_are_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody is erased while a table is copied, the copy is begun anew, and has nothing of them."""
    one = store(tmp_path / "one")
    for n, user in enumerate(("eve-of-old", "bob")):
        one.append("turns", rows(10 * n, 10, user))
        one.commit()
    copy, erased = backups._copy, []

    def late(source: Path, target: Path) -> str:
        if source.suffix == ".parquet" and not erased:
            erased.append(one.erase("turns", "user_id", "eve-of-old"))
        return copy(source, target)

    monkeypatch.setattr(backups, "_copy", late)
    Ledger.open(tmp_path / "ledger.db").close()
    made = back_up(one, str(tmp_path / "ledger.db"), tmp_path / "kept", now_us=1)
    assert erased == [10]
    assert made.tables["turns"].rows == 10
    kept = [p for p in (tmp_path / "kept").rglob("*") if p.is_file()]
    assert not any(b"eve-of-old" in p.read_bytes() for p in kept)


def backed_up(folder: Path) -> Path:
    """A backup of a little."""
    one = store(folder / "one")
    one.append("turns", rows(0, 10))
    one.append("words", rows(0, 10))
    (folder / "one" / "redaction.key").write_bytes(b"secret")
    with closing(Ledger.open(folder / "one" / "ledger.db")) as ledger:
        ledger.put(Cursor(id="c", seq=1), now_us=1, by="ada")
    back_up(one, str(folder / "one" / "ledger.db"), folder / "kept", now_us=1)
    return folder / "kept"


def files_of(folder: Path) -> set[str]:
    """All files in a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def damage_file(kept: Path) -> None:
    """One bit of a data file."""
    path = next((kept / "tables" / "turns").glob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_ledger(kept: Path) -> None:
    """Somebody changed a record."""
    with closing(Ledger.open(kept / "ledger.db")) as ledger:
        ledger.put(Cursor(id="c", seq=99), now_us=1, by="mallory")


def outside(kept: Path) -> None:
    """A file name that leads out of the folder."""
    said = json.loads((kept / "backup.json").read_text())
    said["tables"]["turns"]["files"] = {"../../../evil": "0"}
    (kept / "backup.json").write_text(json.dumps(said))


def damage_the_last(kept: Path) -> None:
    """One bit of a file of the last table that is restored."""
    path = next((kept / "tables" / "words").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def break_ledger(kept: Path) -> None:
    """Bytes in the midst of the ledger's file."""
    data = (kept / "ledger.db").read_bytes()
    (kept / "ledger.db").write_bytes(data[:4096] + b"?" * (len(data) - 4096))


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (damage_file, StoreError, "is damaged.*restore another one"),
        (damage_the_last, StoreError, "is damaged.*restore another one"),
        (
            lambda kept: next((kept / "tables" / "turns").glob("*.parquet")).unlink(),
            StoreError,
            "gone.*restore another",
        ),
        (break_ledger, StoreError, "is damaged.*restore another one"),
        (lambda kept: (kept / "ledger.db").unlink(), StoreError, "is damaged.*restore another one"),
        (damage_ledger, StoreError, "is not what was backed up"),
        (outside, StoreError, "outside of its folder"),
        (lambda kept: (kept / "backup.json").unlink(), ConfigError, "is no backup"),
        (lambda kept: (kept / "backup.json").write_text("{}"), ConfigError, "is no backup"),
    ],
)
def test_a_damaged_backup_is_refused(
    tmp_path: Path, damage: Callable[[Path], object], error: type[Exception], says: str
) -> None:
    """What was changed since it was backed up is said, with what to do, and nothing of it is restored: not even what is well."""
    kept = backed_up(tmp_path)
    damage(kept)
    other = store(tmp_path / "other")
    before = files_of(tmp_path / "other")
    with pytest.raises(error, match=says):
        restore(other, str(tmp_path / "other" / "ledger.db"), kept)
    assert files_of(tmp_path / "other") == before
    with closing(Ledger.open(tmp_path / "other" / "ledger.db")) as ledger:
        assert ledger.history(Cursor) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A folder that holds something takes no backup, and neither rows nor records that are there are restored over."""
    kept = backed_up(tmp_path)
    with pytest.raises(InputError, match="not empty"):
        back_up(store(tmp_path / "one"), str(tmp_path / "one" / "ledger.db"), kept, now_us=2)
    with pytest.raises(StateError, match="has rows already"):
        restore(store(tmp_path / "one"), str(tmp_path / "new.db"), kept)
    with closing(Ledger.open(tmp_path / "full.db")) as ledger:
        ledger.put(Cursor(id="mine", seq=1), now_us=1, by="ada")
    empty = store(tmp_path / "empty")
    with pytest.raises(StateError, match="holds records already"):
        restore(empty, str(tmp_path / "full.db"), kept)
    assert held(empty, "turns") == []


@pytest.mark.parametrize("there", [False, True])
def test_only_its_owner_reads_a_backup_and_what_is_restored(tmp_path: Path, there: bool) -> None:
    """Whatever the mask is and whoever made the folder, nobody else can look into a backup, or at the ledger that is restored."""
    before = os.umask(0o022)
    try:
        if there:
            (tmp_path / "kept").mkdir(mode=0o755)
        kept = backed_up(tmp_path)
        restore(store(tmp_path / "other"), str(tmp_path / "other" / "ledger.db"), kept)
    finally:
        os.umask(before)
    for path in (kept, *kept.iterdir(), tmp_path / "other" / "ledger.db"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_somebody_elses_folder_takes_a_backup_that_is_ours_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the mode of the folder cannot be changed, the files in it are for their owner only."""

    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "not ours", str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    (tmp_path / "kept").mkdir(mode=0o755)
    kept = backed_up(tmp_path)
    assert kept.stat().st_mode & 0o777 == 0o755
    assert {path.name: path.stat().st_mode & 0o077 for path in kept.iterdir()} == dict.fromkeys(
        ("ledger.db", "tables", "redaction.key", "backup.json"), 0
    )
