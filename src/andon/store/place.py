"""Where the files of the store are: in a folder that all replicas see, or in a bucket, with copies in a folder of this machine.

A file is written here first and is then *stored*: forced to the disk, or put into the bucket. Files of rows never change and
have names that nobody else gives, so a copy is as good as the original, and whoever wrote one need not fetch it. Buckets are
reached by delta-rs, which also makes the commits there: with one set of credentials, from the environment.
"""

import math
import os
import re
import shutil
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow import fs

from andon.errors import StoreError
from andon.store.disk import disk_errors, make_folder, sync_path

__all__ = ["Bucket", "Place", "Stamp", "at", "said"]

FRESH_S = 0.25
"""How long what was seen in a bucket is believed: a plan asks for the newest version, and each look takes 10 to 50 ms."""

TRUSTED_S = 600.0
"""How long a version is taken for one that the next could follow: entries of the log are removed after an hour."""

UNUSED_S = 86_400.0
"""A copy that nobody has used for so long goes."""

IN_USE_S = 600.0
"""A copy that was used so short a while ago stays, whatever else: somebody may be reading it."""

LEAST_FREE = 0.1
"""Share of the disk that copies leave free, the oldest first."""

SPARED = 2 * 2**30
"""Bytes of the disk, or that share of a small one, that are left to the journal: where fewer are free, no file is copied."""

TOGETHER = 8
"""Files that are fetched at a time."""

PIECE = 8 * 2**20
"""Bytes that are moved at a time."""

RETRIES = {"max_retries": "4", "retry_timeout": "20s"}
"""Of each request; by itself delta-rs would hold a thread for three minutes where nothing answers."""

Stamp = tuple[int, int, int]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Place:
    """A folder on a disk: files are used where they are."""

    def __init__(self, here: Path) -> None:
        # of a relative path DuckDB takes ~ at the beginning for somebody's home, and Arrow takes a: for the scheme of a URL
        self.here = here.absolute()
        """Where files are written first, and read."""
        self.options: dict[str, str] = {}
        """For delta-rs."""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.here.name

    @property
    def uri(self) -> str:
        """Its address for delta-rs."""
        return self.here.as_uri()  # a bare path with % or spaces would be decoded as a URL

    def __str__(self) -> str:
        """Its address for people."""
        return str(self.here)

    def sub(self, name: str) -> "Place":
        """The folder with this name in it."""
        return Place(self.here / name)

    def table(self) -> DeltaTable:
        """The Delta table here, as it is now."""
        return DeltaTable(self.uri, storage_options=self.options)

    def has_table(self) -> bool:
        """Whether there is a Delta table."""
        with self.errors(f"look for a table in {self}"):
            return bool(DeltaTable.is_deltatable(self.uri, self.options))

    def newest(self, known: int) -> int:  # noqa: ARG002 - a folder can be listed
        """The newest version in the log of the Delta table here, if `known` was one; -1 when there is none."""
        try:
            names = os.listdir(self.here / "_delta_log")  # noqa: PTH208 - called for every plan: Path objects take ten times longer
        except OSError:
            return -1
        return max((int(n[:-5]) for n in names if n.endswith(".json") and n[:-5].isdigit()), default=-1)

    def fetch(self, paths: Iterable[str]) -> None:
        """See that files, by their paths here, can be read."""

    def addresses(self, paths: Iterable[str]) -> list[str]:
        """Where other machines find files, by their paths here."""
        return list(paths)

    def store(self, name: str) -> None:
        """A file that was written here is where all see it, whatever happens to this machine."""
        with disk_errors(f"store {name}"):
            sync_path(self.here / name)
            sync_path(self.here)

    def take_back(self, names: Collection[str], since: int) -> None:
        """Remove files whose commit was refused, unless an entry of the log after a version names one.

        A commit may have been made though its answer was lost, as happens on a network: then it is refused as its own successor.
        """
        with disk_errors(f"take files back from {self}"):
            for entry in (self.here / "_delta_log").glob("*.json"):
                if entry.stem.isdigit() and int(entry.stem) > since and any(n in entry.read_text() for n in names):
                    return
            for name in names:
                (self.here / name).unlink(missing_ok=True)

    def stamp(self, name: str) -> Stamp | None:
        """What changes when a file is replaced; None where there is none."""
        try:
            found = (self.here / name).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def renew(self, name: str) -> None:
        """See that a file that may have been replaced is the newest one."""

    def keep_only(self, names: Collection[str]) -> None:
        """Let copies of other files go."""

    def let_go(self, names: Iterable[str]) -> None:
        """Let copies of files go that were removed for all."""

    def names(self) -> list[str]:
        """The files in it."""
        if not self.here.is_dir():
            return []
        with disk_errors(f"list {self}"), os.scandir(self.here) as entries:
            return [entry.name for entry in entries if entry.is_file()]

    def remove(self, names: Iterable[str]) -> None:
        """Remove files for all."""
        with disk_errors(f"remove files from {self}"):
            for name in names:
                (self.here / name).unlink(missing_ok=True)

    def errors(self, doing: str) -> AbstractContextManager[None]:
        """Makes a StoreError of what the system refuses."""
        return disk_errors(doing)

    @contextmanager
    def durable_log(self) -> Iterator[None]:
        """Whatever appears in the Delta log within the block is on disk after it (delta-rs issues no fsync).

        And the entry that it is built on, which another process may not have brought so far yet.
        """
        log = self.here / "_delta_log"
        make_folder(log)
        before = {entry.name for entry in log.iterdir()} - {"_last_checkpoint", f"{self.newest(0):020}.json"}
        yield
        for entry in log.iterdir():
            with suppress(FileNotFoundError):  # another process tidied up
                if entry.name not in before and entry.is_file():
                    sync_path(entry)
        sync_path(log)


class Bucket(Place):
    """A path in a bucket; what is used of it has a copy here.

    S3, Google Cloud Storage or Azure, whose credentials, region and endpoint are in the environment as delta-rs reads them.
    """

    def __init__(self, url: str, here: Path, top: Path | None = None) -> None:
        """Name it; nothing is asked for yet.

        Args:
            url: ``s3://bucket/path``, or with ``gs``, ``az`` or ``abfss``.
            here: folder of this machine for the copies.
            top: the folder in which copies have to make room; `here` when not given.

        Raises:
            StoreError: it is no such URL, or what the environment says of it cannot be used.
        """
        super().__init__(here)
        self._url = url.rstrip("/")
        self._top = self.here if top is None else top
        self.options = dict(RETRIES)
        with _bucket_errors(f"use {url}"):
            self._files = fs.PyFileSystem(DeltaStorageHandler(self._url, self.options))
        self._subs: dict[str, Bucket] = {}
        self._seen: tuple[float, int] = (-TRUSTED_S, -1)  # when it was looked for, newest version
        self._stamps: dict[str, tuple[float, Stamp | None]] = {}
        self._copied: dict[str, Stamp] = {}  # of files that may be replaced: which one is here
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        """Its address for delta-rs."""
        return self._url

    def __str__(self) -> str:
        """Its address for people."""
        return self._url

    def sub(self, name: str) -> "Bucket":
        """The folder with this name in it."""
        with self._lock:
            if name not in self._subs:
                self._subs[name] = Bucket(f"{self._url}/{name}", self.here / name, self._top)
            return self._subs[name]

    def table(self) -> DeltaTable:
        """The Delta table here, as it is now."""
        before, now_s = self._seen, _now_s()
        found = super().table()
        self._saw(before, now_s, found.version())
        return found

    def newest(self, known: int) -> int:
        """The newest version in the log, if `known` was one; -1 when it is not known any more what could follow."""
        before, now_s = self._seen, _now_s()
        at_s, version = before
        if now_s - at_s > TRUSTED_S or version < known:
            return -1
        if now_s - at_s > FRESH_S:
            with _bucket_errors(f"look for changes of {self}"):
                while self._has(f"_delta_log/{version + 1:020}.json"):
                    version += 1
            return self._saw(before, now_s, version)
        return version

    def fetch(self, paths: Iterable[str]) -> None:
        """Copy files to this machine that are not there yet."""
        missing = [path for path in paths if not _used(path)]  # what is used now does not have to make room
        if not missing:
            return
        self._make_room()
        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(self._take_in, missing))

    def addresses(self, paths: Iterable[str]) -> list[str]:
        """Where other machines find files, by their paths here."""
        return [f"{self._url}/{self._of(path)}" for path in paths]

    def store(self, name: str) -> None:
        """Put a file that was written here into the bucket: whole or not at all."""
        with _bucket_errors(f"put {name} into {self}"):
            fs.copy_files(
                str(self.here / name), name, source_filesystem=fs.LocalFileSystem(), destination_filesystem=self._files,
                chunk_size=PIECE,
            )  # fmt: skip
        self._stamps.pop(name, None)
        self._copied.pop(name, None)

    def take_back(self, names: Collection[str], since: int) -> None:
        """Leave them: if no entry names them, they go a day later with others that no version lists."""

    def stamp(self, name: str) -> Stamp | None:
        """What changes when a file is replaced, as of at most `FRESH_S` ago; None where there is none."""
        at_s, stamp = self._stamps.get(name, (-FRESH_S, None))
        if _now_s() - at_s >= FRESH_S:
            with _bucket_errors(f"look for {name} in {self}"):
                found = self._files.get_file_info(name)
            stamp = (0, found.mtime_ns or 0, found.size or 0) if found.type == fs.FileType.File else None
            self._stamps[name] = (_now_s(), stamp)
        return stamp

    def renew(self, name: str) -> None:
        """See that a file that may have been replaced is the newest one; there is none here where there is none there."""
        stamp = self.stamp(name)
        if stamp is None:
            (self.here / name).unlink(missing_ok=True)
        elif self._copied.get(name) != stamp or not _used(self.here / name):
            self._copy(str(self.here / name))
            self._copied[name] = stamp

    def keep_only(self, names: Collection[str]) -> None:
        """Let copies of other files go that nobody has used for a while."""
        with suppress(FileNotFoundError):
            for entry in os.scandir(self.here):
                if entry.is_file() and entry.name not in names and time.time() - entry.stat().st_mtime > IN_USE_S:
                    with suppress(FileNotFoundError):
                        os.unlink(entry.path)  # noqa: PTH108

    def let_go(self, names: Iterable[str]) -> None:
        """Let copies of files go that were removed for all: at once, as whoever is reading one would miss the original too."""
        super().remove(names)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files for all."""
        names = list(names)
        super().remove(names)
        for name in names:
            with _bucket_errors(f"remove {name} from {self}"), suppress(FileNotFoundError):
                self._files.delete_file(name)
            self._stamps.pop(name, None)

    def names(self) -> list[str]:
        """The files in it."""
        with _bucket_errors(f"list {self}"):
            found = self._files.get_file_info(fs.FileSelector("", allow_not_found=True))
        return [f.base_name for f in found if f.type == fs.FileType.File]

    def errors(self, doing: str) -> AbstractContextManager[None]:
        """Makes a StoreError of what the bucket refuses."""
        return _bucket_errors(doing)

    @contextmanager
    def durable_log(self) -> Iterator[None]:
        """Whatever the block does to the Delta log is durable when it is acknowledged; what was seen of it before is out of date."""
        try:
            yield
        finally:
            with self._lock:
                self._seen = (self._seen[0] - FRESH_S, self._seen[1])

    def _saw(self, before: tuple[float, int], at_s: float, version: int) -> int:
        """Remember the version that a look found, which began at this time; returns the newest that is known.

        Another thread may have seen a later one meanwhile, or made it: then this look is older than what is known by now, and
        `before`, what was known when it began, has been replaced.
        """
        with self._lock:
            if self._seen is before:
                self._seen = (at_s, version)
            elif version > self._seen[1]:
                self._seen = (self._seen[0], version)
            return self._seen[1]

    def _has(self, name: str) -> bool:
        try:
            self._files.open_input_file(name).close()
        except FileNotFoundError:
            return False
        return True

    def _of(self, path: str | Path) -> str:
        return Path(path).relative_to(self.here).as_posix()

    def _take_in(self, path: str) -> None:
        """Copy a file that is not here, where the disk has room for one more."""
        with disk_errors(f"copy {self._of(path)} of {self}"):
            make_folder(self.here)
            if _nearly_full(self.here, SPARED):
                self._make_room()
                if _nearly_full(self.here, SPARED):
                    raise StoreError(
                        f"cannot copy {self._of(path)} of {self}: the disk of {self.here} is nearly full, and what is left of "
                        "it is for the journal; free space on this disk, then try again",
                        retryable=True,
                    )
        self._copy(path)

    def _copy(self, path: str) -> None:
        """Copy one file; it is here whole or not at all."""
        there = Path(path)
        draft = there.with_name(f".{there.name}.{uuid4().hex}")
        with disk_errors(f"copy {self._of(path)} of {self}"):
            make_folder(there.parent)
            try:
                with draft.open("wb") as target:
                    for piece in self._pieces(self._of(path)):
                        target.write(piece)
                draft.replace(there)
            finally:
                draft.unlink(missing_ok=True)

    def _pieces(self, name: str) -> Iterator[bytes]:
        """What a file in the bucket holds; what the bucket refuses is told from what the disk refuses to whoever writes it."""
        with _bucket_errors(f"fetch {name} of {self}"), self._files.open_input_file(name) as source:
            while piece := source.read(PIECE):
                yield piece

    def _make_room(self) -> None:
        """Let copies go, of other tables too, that nobody has used for a day, and while the disk is nearly full the oldest."""
        with disk_errors(f"make room for copies of {self}"):
            for used_s, path in sorted(_files_below(self._top)):
                unused_s = time.time() - used_s
                if unused_s < IN_USE_S or (unused_s < UNUSED_S and not _nearly_full(self._top)):
                    break
                Path(path).unlink(missing_ok=True)


def at(where: Path | Place) -> Place:
    """A place as it is, or that of a folder."""
    return where if isinstance(where, Place) else Place(where)


def _used(path: str | Path) -> bool:
    """Whether a copy is here; it is used now."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def _files_below(folder: str | Path) -> list[tuple[float, str]]:
    """When each file in a folder and in those below was used last, and its path."""
    found: list[tuple[float, str]] = []
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            with suppress(FileNotFoundError):  # a draft that another thread has just finished
                if entry.is_file():
                    found.append((entry.stat().st_mtime, entry.path))
                elif entry.is_dir():
                    found += _files_below(entry.path)
    return found


def _nearly_full(folder: Path, enough: float = math.inf) -> bool:
    """Whether less of the disk is free than `LEAST_FREE`, and than what is enough on any disk."""
    disk = shutil.disk_usage(folder)
    return disk.free < min(LEAST_FREE * disk.total, enough)


def _now_s() -> float:
    """A clock that goes on while a machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def said(error: Exception) -> str:
    """What a library says of a failure, in one line, without colours."""
    lines = [line.strip(" ↳") for line in _COLOUR.sub("", str(error)).splitlines()]
    return " | ".join(line for line in lines if line)[:500]


@contextmanager
def _bucket_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(f"cannot {doing}: {said(error)}", retryable=True) from error
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"cannot {doing}: {said(error)}; check the bucket, and its credentials and region in the environment, then try again",
            retryable=True,
        ) from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise StoreError(f"cannot {doing}: {said(error)}") from error  # delta-rs raises bare ones too
