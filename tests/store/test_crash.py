"""Processes that die and processes that race: every acknowledged row is there exactly once."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from andon.store import Slice, Warehouse

WRITER = Path(__file__).with_name("writer_process.py")
SCHEMA = pa.schema([("id", pa.string()), ("time_us", pa.int64()), ("text", pa.string())])


def start(root: Path, first: int, batches: int, size: int, seed: int) -> "subprocess.Popen[str]":
    """A process that writes batches of rows and says what was acknowledged."""
    arguments = [str(part) for part in (root, first, batches, size, seed)]
    return subprocess.Popen([sys.executable, str(WRITER), *arguments], stdout=subprocess.PIPE, text=True)


def acknowledged(lines: list[str]) -> set[str]:
    """Ids of the rows that these lines acknowledge."""
    ends = [tuple(map(int, line.split())) for line in lines if line.endswith("\n") and line != "ready\n"]
    return {str(i) for low, high in ends for i in range(low, high)}


def there(root: Path) -> list[str]:
    """Ids of all rows after recovery; the journal is empty then."""
    store = Warehouse(root, {"turns": SCHEMA})
    store.commit()
    ids: list[str] = store.run(Slice(table="turns", columns=("id",)))["id"].to_pylist()
    store.close()
    assert list((root / "journal").iterdir()) == []
    return ids


def crash_storm(root: Path, kills: int) -> None:
    """Kill one writer after the other, and check what is there now and then."""
    rng = random.Random(5)
    sure: set[str] = set()
    for kill in range(kills):
        # Each process sends again the last rows of the one before, as a client would that got no answer.
        process = start(root, kill * 1000 - 20, 10_000, 10, kill)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(rng.random() * 0.25)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        sure |= acknowledged(lines)
        if kill % 5 == 4:
            ids = there(root)
            assert len(ids) == len(set(ids))
            assert sure <= set(ids)
    ids = there(root)
    assert len(ids) == len(set(ids))
    assert sure <= set(ids)
    assert len(sure) > kills * 10


def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    """After kill -9 at random moments of append and commit every acknowledged row is there exactly once."""
    crash_storm(tmp_path, 10)


@pytest.mark.slow(90)
def test_kill_9_a_hundred_times(tmp_path: Path) -> None:
    """The same after a hundred kills."""
    crash_storm(tmp_path, 100)


def test_two_processes_append_and_commit_at_once(tmp_path: Path) -> None:
    """Two processes that send overlapping rows and commit at the same time lose none and duplicate none."""
    processes = [start(tmp_path, 0, 25, 40, 1), start(tmp_path, 800, 25, 40, 2)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    ids = there(tmp_path)
    assert len(ids) == 1800
    assert set(ids) == {str(i) for i in range(1800)}
