"""Laws of the folder of a store: which one it is, and what is in it after rows went."""

import os
import time
from pathlib import Path

import pyarrow as pa
import pytest

from andon.store import Slice, Warehouse
from andon.store import table as delta

DAY = 86_400_000_000
SCHEMAS = {"turns": pa.schema([("id", pa.string()), ("time_us", pa.int64())])}


def row(name: str, day: int = 0) -> pa.Table:
    """One row."""
    return pa.table({"id": [name], "time_us": [day * DAY]})


def ids(store: Warehouse) -> list[str]:
    """What is in the table."""
    return sorted(store.run(Slice(table="turns", columns=("id",)))["id"].to_pylist())


def test_expired_rows_leave_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their files stay for a day, for readers, however old they are; then forgetting removes them, without any merging."""
    store = Warehouse(tmp_path, SCHEMAS)
    folder = store.folder("turns").here
    for name, day in (("old", 1), ("young", 5)):
        store.append("turns", row(name, day))
        store.commit()
    for path in folder.glob("*.parquet"):
        os.utime(path, (time.time() - 3 * 86_400,) * 2)
    (folder / "refused.parquet").write_bytes(b"x")
    assert store.expire("turns", before_us=2 * DAY) == 1
    assert len(list(folder.glob("*.parquet"))) == 3
    monkeypatch.setattr(delta, "KEEP_FILES_HOURS", 0)
    assert store.expire("turns", before_us=2 * DAY) == 0
    assert len(list(folder.glob("*.parquet"))) == 1
    assert ids(store) == ["young"]


@pytest.mark.parametrize("home", ["~/x", "a:b", "here"])
def test_a_home_may_be_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """A folder is one in the current folder, whatever other programs take its name for, and stays that one."""
    monkeypatch.setenv("HOME", str(tmp_path / "somebody"))
    monkeypatch.chdir(tmp_path)
    store = Warehouse(Path(home), SCHEMAS, home=Path(home) / "own")
    monkeypatch.chdir("/")
    for n in range(3):
        store.append("turns", row(f"r{n}"))
        store.commit()
    assert store.compact("turns") == 3
    assert ids(store) == ["r0", "r1", "r2"]
    assert {path.name for path in tmp_path.iterdir()} == {Path(home).parts[0]}
