"""An fsynced journal of rows: what was acknowledged survives a crash, before any table has seen it.

Each process appends to its own segment and holds its lock. Whoever commits seals its own segment, which is to close it,
and claims every segment whose lock is free: its own sealed ones and those of dead processes alike.

A segment is a row of records: length (8 bytes), CRC-32 (4 bytes), then an Arrow IPC stream whose schema names the table.
A record that was torn by a crash is always in the unacknowledged tail, so reading stops at the first bad record.
"""

import fcntl
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from andon.store.disk import disk_errors, make_folder, sync_path, try_lock

__all__ = ["Claim", "Journal"]

HEADER = struct.Struct("<QI")
TABLE = b"andon.table"
ROLL_BYTES = 64 * 2**20
"""A segment that has grown to this is sealed, so that recovery never has to hold more than a few of them."""


class _Segment:
    """The open segment of this process: one writer at a time, one fsync for all who wait for it."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self.end = 0
        self.broken = False
        self._handle = handle
        self._synced = 0
        self._syncing = threading.Lock()

    def write(self, frame: bytes) -> int:
        """Append a record and return the offset of its end; a record that does not fit leaves nothing behind."""
        rest = memoryview(frame)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError:
            self._cut(self.end)
            raise
        self.end += len(frame)
        return self.end

    def sync(self, end: int) -> None:
        """Return when everything up to `end` is on disk; an fsync covers all that was written before it began."""
        with self._syncing:
            if self._synced >= end:
                return
            if self.broken:
                raise OSError(f"an earlier fsync of {self.path.name} failed, and took this record with it")
            upto = self.end
            try:
                os.fsync(self._handle)
            except OSError:
                # After a failed fsync nobody knows what the disk holds: drop what was never acknowledged, write no more.
                self.broken = True
                self._cut(self._synced)
                raise
            self._synced = upto

    def seal(self) -> None:
        """Close the segment for ever: from now on its lock is free, and it can be claimed."""
        try:
            self.sync(self.end)
        except OSError:
            self.broken = True  # those who wait for this record are told by their own `sync`
        with self._syncing:
            fcntl.flock(self._handle, fcntl.LOCK_UN)
            os.close(self._handle)

    def _cut(self, length: int) -> None:
        try:
            os.ftruncate(self._handle, length)
        except OSError:
            self.broken = True  # a torn record stays in the file: append nothing behind it


@dataclass(frozen=True, slots=True)
class Claim:
    """A sealed or orphaned segment that this process alone may now move into the tables."""

    path: Path
    size: int

    def records(self) -> Iterator[tuple[str, pa.Table]]:
        """Every whole record as (table name, rows), in the order of writing."""
        yield from _records(self.path.read_bytes())

    def delete(self) -> None:
        """Forget the segment: its rows are durable elsewhere."""
        self.path.unlink()


class Journal:
    """The journal of one folder; any number of threads and processes of one machine may append to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = threading.Lock()
        self._segment: _Segment | None = None
        self._owner = os.getpid()
        with disk_errors("create the journal"):
            make_folder(folder)

    def append(self, table_name: str, rows: pa.Table) -> None:
        """Write the rows as one record; on return they are on disk.

        Raises:
            StoreError: the disk refused (retryable). Nothing was acknowledged and the journal stays usable.
        """
        frame = _frame(table_name, rows)
        with disk_errors("write the journal"):
            with self._writing:
                segment = self._open()
                end = segment.write(frame)
            segment.sync(end)

    @contextmanager
    def claimed(self) -> Iterator[list[Claim]]:
        """Seal this process's segment and hold every segment that nobody is writing, oldest first.

        A claim that is not deleted before the block ends goes back, and will be claimed again.
        """
        handles: list[int] = []
        claims: list[Claim] = []
        try:
            with disk_errors("read the journal"):
                self.close()
                for path in sorted(self._folder.glob("*.segment")):
                    handle = os.open(path, os.O_RDONLY)
                    handles.append(handle)
                    if try_lock(handle):
                        claims.append(Claim(path, os.fstat(handle).st_size))
            yield claims
        finally:
            for handle in handles:
                os.close(handle)

    def size(self) -> int:
        """Bytes in the segments of all processes."""
        total = 0
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):  # committed meanwhile
                total += entry.stat().st_size
        return total

    def close(self) -> None:
        """Seal this process's segment; a later `append` opens a new one."""
        with self._writing:
            self._forget_parents_segment()
            if self._segment is not None:
                segment, self._segment = self._segment, None
                segment.seal()

    def _open(self) -> _Segment:
        self._forget_parents_segment()
        if self._segment is not None and (self._segment.broken or self._segment.end >= ROLL_BYTES):
            segment, self._segment = self._segment, None
            segment.seal()
        while self._segment is None:
            path = self._folder / f"{time.time_ns():020d}-{os.getpid()}.segment"
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644)
            # A committer may have claimed and deleted the file in the moment before it was locked: then take another.
            if try_lock(handle) and path.exists():
                sync_path(self._folder)
                self._segment = _Segment(path, handle)
            else:
                os.close(handle)
        return self._segment

    def _forget_parents_segment(self) -> None:
        if self._owner != os.getpid():  # a fork: the open segment belongs to the parent
            self._owner, self._segment = os.getpid(), None


def _frame(table_name: str, rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    named = rows.replace_schema_metadata({TABLE: table_name.encode()})
    with pa.ipc.new_stream(sink, named.schema) as writer:
        writer.write_table(named)
    body = sink.getvalue()
    return b"".join((HEADER.pack(body.size, zlib.crc32(body)), body))


def _records(data: bytes) -> Iterator[tuple[str, pa.Table]]:
    at, view = 0, memoryview(data)
    while at + HEADER.size <= len(data):
        length, crc = HEADER.unpack_from(view, at)
        body = view[at + HEADER.size : at + HEADER.size + length]
        if length == 0 or len(body) < length or zlib.crc32(body) != crc:  # zeros are a torn tail too
            return
        rows = pa.ipc.open_stream(pa.py_buffer(body)).read_all()
        yield rows.schema.metadata[TABLE].decode(), rows.replace_schema_metadata(None)
        at += HEADER.size + length
