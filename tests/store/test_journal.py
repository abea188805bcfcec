"""The journal: what was acknowledged is there after any crash, and nothing else is promised."""

import errno
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from andon.errors import StoreError
from andon.store.journal import Journal


def rows(*ids: str) -> pa.Table:
    """Rows with these ids."""
    return pa.table({"id": list(ids), "time_us": list(range(len(ids)))})


def recovered(journal: Journal) -> list[tuple[str, list[str]]]:
    """Table and ids of every record that can be claimed now."""
    with journal.claimed() as claims:
        return [(name, table["id"].to_pylist()) for claim in claims for name, table in claim.records()]


def test_records_come_back_in_order(tmp_path: Path) -> None:
    """Every record comes back whole, under its table's name, in the order of writing."""
    journal = Journal(tmp_path)
    journal.append("turns", rows("a", "b"))
    journal.append("scores", rows("c"))
    journal.append("turns", rows("d"))
    assert recovered(journal) == [("turns", ["a", "b"]), ("scores", ["c"]), ("turns", ["d"])]


def test_a_torn_tail_costs_only_the_torn_record(tmp_path: Path) -> None:
    """Cut at any byte, a segment gives every record that lies wholly before the cut."""
    journal = Journal(tmp_path / "whole")
    ends = []
    for name in ("a", "b"):
        journal.append("turns", pa.table({"id": [name]}))
        (path,) = (tmp_path / "whole").iterdir()
        ends.append(path.stat().st_size)
    journal.close()
    data = path.read_bytes()
    torn = Journal(tmp_path / "torn")
    for cut in range(len(data) + 1):
        (tmp_path / "torn" / "1.segment").write_bytes(data[:cut])
        assert len(recovered(torn)) == sum(end <= cut for end in ends), cut


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 4096, b"\x10" + b"\0" * 40])
def test_rubbish_after_the_records_is_ignored(tmp_path: Path, tail: bytes) -> None:
    """Zeros or rubbish that a power cut leaves behind the last record are not records."""
    journal = Journal(tmp_path)
    journal.append("turns", rows("a"))
    journal.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + tail)
    assert recovered(journal) == [("turns", ["a"])]


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    """A record whose bytes changed on the disk is not taken for rows."""
    journal = Journal(tmp_path)
    journal.append("turns", rows("a"))
    journal.close()
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert recovered(journal) == []


def test_a_living_owners_segment_is_left_alone_and_a_dead_ones_recovered(tmp_path: Path) -> None:
    """Another process's segment can be claimed when that process is dead, and not before."""
    code = (
        "import sys, pyarrow as pa; from pathlib import Path; from andon.store.journal import Journal\n"
        f"Journal(Path({str(tmp_path)!r})).append('turns', pa.table({{'id': ['theirs'], 'time_us': [1]}}))\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdout.readline()
    journal = Journal(tmp_path)
    journal.append("turns", rows("mine"))
    assert recovered(journal) == [("turns", ["mine"])]
    other.kill()
    other.wait()
    other.stdin.close()
    other.stdout.close()
    assert recovered(journal) == [("turns", ["theirs"]), ("turns", ["mine"])]


def test_a_forked_child_writes_its_own_segment(tmp_path: Path) -> None:
    """After a fork, parent and child append to different segments."""
    journal = Journal(tmp_path)
    journal.append("turns", rows("before"))
    pid = os.fork()
    if pid == 0:
        try:
            journal.append("turns", rows("child"))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    journal.append("turns", rows("parent"))
    assert len(list(tmp_path.iterdir())) == 2
    assert sorted(ids for _, ids in recovered(journal)) == [["before"], ["child"], ["parent"]]


def test_claims_that_are_not_deleted_come_back(tmp_path: Path) -> None:
    """A commit that failed leaves its claims for the next one; a deleted claim is gone."""
    journal = Journal(tmp_path)
    journal.append("turns", rows("a"))
    assert recovered(journal) == recovered(journal) == [("turns", ["a"])]
    with journal.claimed() as claims:
        claims[0].delete()
    assert recovered(journal) == []


def test_threads_share_fsyncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appends that wait for the same fsync return after one that began after their bytes were written."""
    calls = []
    sync = os.fsync

    def slow(handle: int) -> None:
        calls.append(handle)
        threading.Event().wait(0.02)
        sync(handle)

    journal = Journal(tmp_path)
    journal.append("turns", rows("first"))
    monkeypatch.setattr(os, "fsync", slow)
    threads = [threading.Thread(target=journal.append, args=("turns", rows(str(i)))) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(calls) <= 8
    assert len(recovered(journal)) == 17


def test_append_returns_after_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No append returns before an fsync of its segment, nor the first one before an fsync of the folder."""
    synced: list[str] = []
    sync = os.fsync

    def spy(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        sync(handle)

    journal = Journal(tmp_path)
    monkeypatch.setattr(os, "fsync", spy)
    journal.append("turns", rows("a"))
    (path,) = tmp_path.iterdir()
    assert str(tmp_path) in synced
    assert synced[-1] == str(path)
    journal.append("turns", rows("b"))
    assert synced.count(str(path)) == 2


def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    """When the disk takes only a part of a record, append fails retryably, and later appends are whole."""
    journal = Journal(tmp_path)
    journal.append("turns", rows("a"))
    (path,) = tmp_path.iterdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, hard))
    try:
        for _ in range(3):
            with pytest.raises(StoreError, match=r"cannot write the journal.*free space") as caught:
                journal.append("turns", rows(*map(str, range(1000))))
            assert caught.value.retryable
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.append("turns", rows("b"))
    assert recovered(journal) == [("turns", ["a"]), ("turns", ["b"])]


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC is named in the error, nothing torn stays in the file, and the journal goes on when there is space."""
    journal = Journal(tmp_path)
    write = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) > 64:
            return write(handle, data[:64])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="No space left on device"):
        journal.append("turns", rows("a"))
    monkeypatch.undo()
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == 0
    journal.append("turns", rows("b"))
    assert recovered(journal) == [("turns", ["b"])]


def test_a_failed_fsync_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fsync the record is dropped and a new segment begun; what was acknowledged before stays."""
    journal = Journal(tmp_path)
    journal.append("turns", rows("a"))

    def broken(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreError, match="Input/output error"):
        journal.append("turns", rows("lost"))
    monkeypatch.undo()
    journal.append("turns", rows("b"))
    assert len(list(tmp_path.iterdir())) == 2
    assert recovered(journal) == [("turns", ["a"]), ("turns", ["b"])]


def test_segments_roll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that has grown is sealed, so recovery never holds one that is much greater than the limit."""
    monkeypatch.setattr("andon.store.journal.ROLL_BYTES", 2000)
    journal = Journal(tmp_path)
    for i in range(20):
        journal.append("turns", rows(str(i)))
    assert len(list(tmp_path.iterdir())) > 3
    assert [ids for _, ids in recovered(journal)] == [[str(i)] for i in range(20)]
