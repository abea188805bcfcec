"""A folder that is watched for new files: what is in it, and which of it is ready to be imported.

Files are only read: nothing in the folder is moved, changed or deleted. A file is taken when it has been left alone for a
while, and again when it has changed since; rows have ids, so that reading a file again adds only what is new in it.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from andon.errors import InputError
from andon.traffic.files.reading import ENDINGS
from andon.traffic.quoting import quoted

__all__ = ["Imported", "Seen", "ready_files", "scan"]

_TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".filepart", ".swp", "~")
_HIDDEN = (".", "_", "~$")
_DEPTH = 10
_MOST_FILES = 100_000
_AHEAD_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A file as it was found in the folder."""

    path: str
    """Absolute path."""
    size: int
    """Bytes."""
    mtime_us: int
    """Time of its last change, as the file says."""
    inode: int
    changed_us: int
    """Time at which its content, its name or its times changed last, as the system says: a copy keeps the old `mtime_us`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a file that was imported."""

    id: str
    """Its path."""
    size: int
    mtime_us: int
    inode: int
    rows: int
    bad: int
    at_us: int
    """When it was imported."""
    error: str | None = None
    """Why it could not be read at all."""


def ready_files(listing: Sequence[Seen], known: Mapping[str, Imported], now_us: int, settle_us: int) -> list[Path]:
    """The files to import now, the one that changed first, first.

    Ready is a file with an ending that is read, that is neither hidden nor a temporary name of a program that writes it,
    that nobody has touched for `settle_us`, and that is new or has changed since it was imported.
    """
    ready = [
        s for s in listing if _is_ours(s.path) and _has_settled(s, now_us, settle_us) and _is_new(s, known.get(s.path))
    ]
    return [Path(s.path) for s in sorted(ready, key=lambda s: (s.mtime_us, s.path))]


def scan(folder: Path | str) -> list[Seen]:
    """The ordinary files in a folder and the folders below it, by path; links that lead out of it are left out.

    Raises:
        InputError: the folder is not there, is no folder, or holds too many files.
    """
    root = os.path.realpath(folder)
    if not os.path.isdir(root):  # noqa: PTH112 - strings throughout: a Path for each file costs more than the rest
        raise InputError(f"{quoted(str(folder), 200)} is no folder; give one that exists")
    found: list[Seen] = []
    waiting = [(root, 0)]
    while waiting:
        at, depth = waiting.pop()
        try:
            with os.scandir(at) as entries:
                listed = list(entries)
        except OSError as error:
            if at == root:
                raise InputError(f"{quoted(root, 200)} cannot be read: {error.strerror or error}") from error
            continue  # a folder below that vanished or is closed to us: the others are still read
        for entry in listed:
            if entry.name.startswith(_HIDDEN):
                continue
            if _is_folder(entry):
                if depth < _DEPTH:
                    waiting.append((entry.path, depth + 1))
            elif (seen := _seen(entry, root)) is not None:
                found.append(seen)
        if len(found) > _MOST_FILES:
            raise InputError(
                f"{quoted(root, 200)} holds more than {_MOST_FILES:,} files; move those that are done elsewhere"
            )
    return sorted(found, key=lambda s: s.path)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _seen(entry: "os.DirEntry[str]", root: str) -> Seen | None:
    try:
        if entry.is_symlink() and os.path.commonpath((os.path.realpath(entry.path), root)) != root:
            return None
        status = entry.stat()
    except (OSError, ValueError):
        return None  # it vanished, or leads nowhere
    if not stat.S_ISREG(status.st_mode):
        return None
    return Seen(
        path=entry.path,
        size=status.st_size,
        mtime_us=status.st_mtime_ns // 1000,
        inode=status.st_ino,
        changed_us=status.st_ctime_ns // 1000,
    )


def _is_ours(path: str) -> bool:
    name = Path(path).name.lower()
    return name.endswith(ENDINGS) and not name.startswith(_HIDDEN) and not name.endswith(_TEMPORARY)


def _has_settled(seen: Seen, now_us: int, settle_us: int) -> bool:
    """Whether nobody has touched a file for long enough; a time far in the future is a wrong clock, and nothing to wait for."""
    times = (t for t in (seen.mtime_us, seen.changed_us) if t <= now_us + _AHEAD_US)
    return now_us - max(times, default=0) >= settle_us


def _is_new(seen: Seen, known: Imported | None) -> bool:
    return known is None or (known.size, known.mtime_us, known.inode) != (seen.size, seen.mtime_us, seen.inode)
