"""Laws of tables that are kept for readers in other processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from andon.errors import InputError, StoreError
from andon.store import Place, forget_tables, keep_table, kept_stamp, kept_table


def table(value: float, k: int = 1000) -> pa.Table:
    """A table of one number, with something said of it."""
    return pa.table({"x": np.full(k, value)}, metadata={"told": str(value)})


def test_what_is_kept_is_read_without_a_copy(tmp_path: Path) -> None:
    """A table comes back as it was, with what it says of itself, as views of the file."""
    keep_table(Place(tmp_path / "a"), "of-it_1", table(3.0))
    before = pa.total_allocated_bytes()
    found = kept_table(Place(tmp_path / "a"), "of-it_1")
    assert found is not None
    assert found.equals(table(3.0), check_metadata=True)
    assert pa.total_allocated_bytes() - before < 1000
    found["x"].chunk(0).to_numpy(zero_copy_only=True)


def test_batches_are_kept_one_by_one(tmp_path: Path) -> None:
    """A reader of batches is written as they come, and read as one table."""
    whole = table(1.0, 10)
    keep_table(Place(tmp_path), "t", pa.RecordBatchReader.from_batches(whole.schema, whole.to_batches(max_chunksize=3)))
    found = kept_table(Place(tmp_path), "t")
    assert found is not None
    assert found.equals(whole)
    assert found["x"].num_chunks == 4


def test_a_reader_keeps_what_it_opened(tmp_path: Path) -> None:
    """A table that is kept anew or forgotten stays what it was for whoever has it open, and its stamp changes."""
    keep_table(Place(tmp_path), "t", table(1.0))
    first, stamp = kept_table(Place(tmp_path), "t"), kept_stamp(Place(tmp_path), "t")
    keep_table(Place(tmp_path), "t", table(2.0))
    assert kept_stamp(Place(tmp_path), "t") != stamp
    forget_tables(Place(tmp_path), but=())
    assert first is not None
    assert set(first["x"].to_pylist()) == {1.0}
    assert kept_table(Place(tmp_path), "t") is None
    assert kept_stamp(Place(tmp_path), "t") is None


@pytest.mark.parametrize("length", [0, 5, 100, 4000, -1])
def test_what_cannot_be_read_is_none(tmp_path: Path, length: int) -> None:
    """A file that is torn, or is something else, is as if it were not there."""
    keep_table(Place(tmp_path), "t", table(1.0))
    file = tmp_path / "t.arrow"
    body = file.read_bytes()
    file.write_bytes(body[:length] if length >= 0 else b"x" * len(body))
    assert kept_table(Place(tmp_path), "t") is None


def test_a_writer_that_is_killed_leaves_the_old_table(tmp_path: Path) -> None:
    """However a writer dies, a reader meets the table before or the new one, whole; its draft is forgotten after a while."""
    keep_table(Place(tmp_path), "t", table(0.0))
    code = (
        "import sys, itertools, numpy as np, pyarrow as pa; from pathlib import Path; from andon.store import Place, keep_table\n"
        "for k in itertools.count(1):\n"
        "    keep_table(Place(Path(sys.argv[1])), 't', pa.table({'x': np.full(500_000, float(k))})); print(k, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(50):
            found = kept_table(Place(tmp_path), "t")
            assert found is not None
            assert len(set(found["x"].to_numpy()[::50_000].tolist())) == 1
        writer.kill()
    found = kept_table(Place(tmp_path), "t")
    assert found is not None
    assert len(np.unique(found["x"].to_numpy())) == 1
    draft = tmp_path / "t-1.draft"
    draft.touch()
    forget_tables(Place(tmp_path), but=("t",))
    assert draft.exists()
    os.utime(draft, (time.time() - 3600,) * 2)
    forget_tables(Place(tmp_path), but=("t",))
    assert not draft.exists()
    assert kept_table(Place(tmp_path), "t") is not None


def test_names_and_disks_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    """A name that leaves the folder is refused, and so is a folder that is a file; no draft is left behind."""
    for name in ("", "../t", "a b", "a/b", "ä"):
        with pytest.raises(InputError, match="cannot be kept"):
            keep_table(Place(tmp_path), name, table(1.0))
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot keep the table t"):
        keep_table(Place(tmp_path / "file"), "t", table(1.0))

    def torn() -> object:
        yield table(1.0).to_batches()[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        keep_table(Place(tmp_path), "t", pa.RecordBatchReader.from_batches(table(1.0).schema, torn()))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    forget_tables(Place(tmp_path / "nowhere"), but=())
