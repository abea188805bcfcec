"""Files that are written whole."""

import os
import stat
import threading
from pathlib import Path

import pytest

from andon.errors import StoreError
from andon.store import write_whole
from andon.store.disk import make_folder


def test_a_file_is_replaced_whole_and_keeps_its_mode_and_links(tmp_path: Path) -> None:
    """A link stays one, the file behind it has the new text, byte for byte, and its old mode; nothing is left beside it."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old and longer")
    real.chmod(0o600)
    link.symlink_to("real")
    write_whole(link, "é\r\nb\n")
    assert link.is_symlink()
    assert real.read_bytes() == "é\r\nb\n".encode()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


def test_a_new_file_has_the_mode_that_any_has(tmp_path: Path) -> None:
    """Folders are made, and the mode is that of the user's mask; so is that of a file behind a link that leads nowhere."""
    write_whole(tmp_path / "a" / "b", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "a" / "b").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "dangling").symlink_to("there")
    write_whole(tmp_path / "dangling", "x")
    assert (tmp_path / "there").read_text() == "x"


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    """A text that cannot be encoded, or a folder in its place: the old file stands, and no draft is left."""
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text() == "old"
    with pytest.raises(StoreError, match="cannot write"):
        write_whole(tmp_path, "x")
    with pytest.raises(StoreError, match="cannot write"):
        write_whole(path / "below", "x")
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """What is no file is not replaced by one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    thread = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    thread.start()
    write_whole(pipe, "x")
    thread.join(10)
    assert heard == ["x"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_is_for_its_owner_and_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    """What is made for the store nobody else may read; what somebody made before is theirs to decide."""
    mine = tmp_path / "mine"
    mine.mkdir(0o755)
    mine.chmod(0o755)
    make_folder(mine / "a" / "b")
    assert [stat.S_IMODE(p.stat().st_mode) for p in (mine, mine / "a", mine / "a" / "b")] == [0o755, 0o700, 0o700]
