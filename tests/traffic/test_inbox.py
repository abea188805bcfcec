"""The watched folder: which files are taken, when, and that nothing in it is touched."""

import os
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import InputError
from andon.traffic.files.inbox import Imported, Seen, ready_files, scan
from andon.traffic.files.reading import ENDINGS, read_traffic

NOW = 1_790_000_000_000_000
S = 1_000_000
SETTLE = 2 * S
FILE = Seen(path="/in/a.jsonl", size=10, mtime_us=NOW - 60 * S, inode=7, changed_us=NOW - 60 * S)


def ready(*files, known=(), now_us=NOW):
    """Paths of the files that are ready, as text."""
    return [str(p) for p in ready_files(files, {k.id: k for k in known}, now_us, SETTLE)]


def imported(seen, **more):
    """The record of this file as it was."""
    return replace(
        Imported(id=seen.path, size=seen.size, mtime_us=seen.mtime_us, inode=seen.inode, rows=1, bad=0, at_us=NOW),
        **more,
    )


def settled(folder, known=()):
    """Names of the files of a folder that are ready a minute from now."""
    listing = scan(folder)
    now_us = max((s.changed_us for s in listing), default=NOW) + 60 * S
    return [Path(p).name for p in ready(*listing, known=known, now_us=now_us)]


def test_a_file_is_taken_once_and_again_when_it_changed():
    """A new file is ready, one that was imported is not, and a change of size, time or inode makes it ready again."""
    assert ready(FILE) == [FILE.path]
    assert ready(FILE, known=[imported(FILE)]) == []
    assert ready(FILE, known=[imported(FILE, error="no Parquet file")]) == []
    for change in ({"size": 11}, {"mtime_us": FILE.mtime_us + 1}, {"inode": 8}):
        assert ready(replace(FILE, **change), known=[imported(FILE)]) == [FILE.path]


@pytest.mark.parametrize("name", ["mtime_us", "changed_us"])
@pytest.mark.parametrize(
    ("age_us", "taken"), [(0, False), (SETTLE - 1, False), (SETTLE, True), (-5 * S, False), (-2 * 3600 * S, True)]
)
def test_a_file_that_is_being_written_waits(name, age_us, taken):
    """A file is left alone until nobody has touched it for the settling time; a clock hours ahead holds nothing up."""
    assert bool(ready(replace(FILE, **{name: NOW - age_us}))) is taken


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a.jsonl", True), ("A.CSV", True), ("x.parquet", True), ("x.json.gz", True), ("x.feedback.csv", True),
        ("x.changes.jsonl", True), ("a.txt", False), ("a.jsonl.tmp", False), ("a.jsonl.part", False), ("a.csv~", False),
        ("a.csv.crdownload", False), (".a.csv", False), ("_a.csv", False), ("~$a.csv", False), ("csv", False),
    ],
)  # fmt: skip
def test_only_files_of_ours_are_taken(name, taken):
    """Taken are endings that are read; hidden files and names of programs that still write are left alone."""
    assert bool(ready(replace(FILE, path=f"/in/{name}"))) is taken


def test_files_come_in_the_order_in_which_they_changed():
    """What happened first is imported first; equal times go by name, so that the order is the same each time."""
    files = [replace(FILE, path=f"/in/{n}.csv", mtime_us=FILE.mtime_us + t) for n, t in (("c", 0), ("b", 1), ("a", 1))]
    assert ready(*files) == ready(*files[::-1]) == ["/in/c.csv", "/in/a.csv", "/in/b.csv"]


seen = st.builds(
    Seen,
    path=st.sampled_from([f"/in/{n}{e}" for n in ("a", ".b", "_c", "d.feedback") for e in (*ENDINGS, ".tmp", "")]),
    size=st.integers(0, 3),
    mtime_us=st.integers(NOW - 4 * S, NOW + 4 * S),
    inode=st.integers(0, 2),
    changed_us=st.integers(NOW - 4 * S, NOW + 4 * S),
)


@given(st.lists(seen, max_size=6, unique_by=lambda s: s.path))
@settings(max_examples=200)
def test_what_was_imported_is_never_ready_unchanged(listing):
    """After importing what is ready, nothing of the same listing is ready, then or later; the order of the listing is nothing."""
    first = ready_files(listing, {}, NOW, SETTLE)
    assert first == ready_files(listing[::-1], {}, NOW, SETTLE)
    known = {s.path: imported(s) for s in listing if Path(s.path) in first}
    assert not set(first) & set(ready_files(listing, known, NOW, SETTLE))
    assert not set(first) & set(ready_files(listing, known, NOW + 3600 * S, SETTLE))


def test_a_folder_is_listed_with_what_is_below_it(tmp_path, monkeypatch):
    """Ordinary files are listed by absolute path with size and times, in the folders below too; hidden ones are not."""
    inside = tmp_path / "in" / "2026" / "01"
    inside.mkdir(parents=True)
    (inside / "a.jsonl").write_bytes(b"12345")
    (tmp_path / "in" / "b.csv").write_bytes(b"")
    for hidden in (".git", "_tmp"):
        (tmp_path / "in" / hidden).mkdir()
        (tmp_path / "in" / hidden / "c.jsonl").write_bytes(b"1")
    os.mkfifo(tmp_path / "in" / "pipe.jsonl")
    monkeypatch.chdir(tmp_path)
    found = scan("in")
    assert [Path(s.path).relative_to(tmp_path / "in").as_posix() for s in found] == ["2026/01/a.jsonl", "b.csv"]
    status = (inside / "a.jsonl").stat()
    assert (found[0].size, found[0].mtime_us, found[0].inode) == (5, status.st_mtime_ns // 1000, status.st_ino)


def test_links_that_lead_out_are_not_followed(tmp_path):
    """A link to a file or folder elsewhere is left alone, one to a file of the folder is the file; a broken one is nothing."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.jsonl").write_bytes(b"1")
    (tmp_path / "in-other").mkdir()
    (tmp_path / "in-other" / "o.jsonl").write_bytes(b"1")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"1")
    (folder / "same.jsonl").symlink_to(folder / "a.jsonl")
    (folder / "out.jsonl").symlink_to(tmp_path / "secret" / "s.jsonl")
    (folder / "next.jsonl").symlink_to(tmp_path / "in-other" / "o.jsonl")
    (folder / "outside").symlink_to(tmp_path / "secret")
    (folder / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    (folder / "ring").symlink_to(folder)
    assert [Path(s.path).name for s in scan(folder)] == ["a.jsonl", "same.jsonl"]
    (tmp_path / "way").symlink_to(folder)
    assert len(scan(tmp_path / "way")) == 2


@pytest.mark.parametrize("name", ["none", "file.jsonl"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    """A folder that is not there, and a file, are an InputError that says so."""
    (tmp_path / "file.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match="no folder"):
        scan(tmp_path / name)


def test_a_growing_file_is_taken_again_and_adds_only_what_is_new(tmp_path):
    """A log that grows is ready again once it has settled; its old rows have the same ids as before."""
    path = tmp_path / "log.jsonl"
    row = {"time": NOW, "query": "q1"}
    path.write_bytes(orjson.dumps(row) + b"\n")
    assert settled(tmp_path) == ["log.jsonl"]
    first = [r.id for r in read_traffic(path)]
    known = [imported(s) for s in scan(tmp_path)]
    assert settled(tmp_path, known) == []
    with path.open("ab") as log:
        log.write(orjson.dumps({**row, "query": "q2"}) + b"\n")
    assert settled(tmp_path, known) == ["log.jsonl"]
    again = [r.id for r in read_traffic(path)]
    assert (again[: len(first)], len(set(again))) == (first, 2)


def test_a_file_put_in_place_of_another_is_taken(tmp_path):
    """A file that replaces one of the same name, size and time is another file."""
    path, other = tmp_path / "a.csv", tmp_path / "a.csv.tmp"
    path.write_bytes(b"time\n1")
    known = [imported(s) for s in scan(tmp_path)]
    other.write_bytes(b"time\n2")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)
    assert settled(tmp_path, known) == ["a.csv"]


def test_a_copy_that_keeps_an_old_time_waits_too(tmp_path):
    """A file whose own time is old, but which came a moment ago, may still be being written."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"time\n1")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    (found,) = scan(tmp_path)
    assert ready(found, now_us=found.changed_us + S) == []
    assert ready(found, now_us=found.changed_us + SETTLE) == [str(path)]


def test_looking_changes_nothing(tmp_path):
    """Listing a folder and reading its files leaves every file, time and name as it was."""
    (tmp_path / "a.csv").write_bytes(f"time,query\n{NOW},q\n".encode())
    before = [(p.name, p.stat().st_mtime_ns, p.stat().st_ctime_ns, p.read_bytes()) for p in tmp_path.iterdir()]
    for s in scan(tmp_path):
        assert len(list(read_traffic(s.path))) == 1
    assert [(p.name, p.stat().st_mtime_ns, p.stat().st_ctime_ns, p.read_bytes()) for p in tmp_path.iterdir()] == before
