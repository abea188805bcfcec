"""Tables that one process keeps for others to look at: derived data, whole or not at all, read without a copy.

A table is one Arrow IPC file, not compressed. Who reads it maps it into memory: the kernel keeps one copy for all
processes of a machine, and only pages that are looked at are read. A file is never changed, only replaced, so a map stays what it
was when it was opened. What is kept here can be computed again from the tables of rows, and may be lost.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa

from andon.errors import InputError
from andon.store.disk import disk_errors, make_folder, sync_path
from andon.store.place import Place, Stamp

__all__ = ["forget_tables", "keep_table", "kept_stamp", "kept_table"]

ENDING, DRAFT = ".arrow", ".draft"

FORGOTTEN_S = 600.0
"""A draft this old belongs to a process that died."""


def keep_table(folder: Place, name: str, table: pa.Table | pa.RecordBatchReader) -> None:
    """Write a table, durably; whoever reads it meets the one before or this one, never a part.

    Args:
        folder: where it is kept; made if it is not there.
        name: of letters, digits, ``-`` and ``_``; one that is there is replaced.
        table: all of it, or a reader that gives its batches one by one, so that no second copy is held.

    Raises:
        InputError: the name is not one that a file can have everywhere.
        StoreError: the disk refused; what was kept before is still there.
    """
    there = _path(folder, name)
    draft = there.with_name(f"{name}-{secrets.token_hex(8)}{DRAFT}")  # in containers all have one process number
    with disk_errors(f"keep the table {name}"):
        make_folder(folder.here)
        try:
            with pa.OSFile(str(draft), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                if isinstance(table, pa.Table):
                    writer.write_table(table)
                else:
                    for batch in table:
                        writer.write_batch(batch)
            sync_path(draft)
            draft.replace(there)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    folder.store(there.name)


def kept_table(folder: Place, name: str) -> pa.Table | None:
    """The table as it was kept last, mapped into memory; None where there is none, or none that can be read.

    Its arrays are views of the file: they hold it open, and stay what they are when the table is kept anew.

    Raises:
        InputError: the name is not one that a file can have everywhere.
    """
    there = _path(folder, name)
    folder.renew(there.name)
    try:
        with pa.memory_map(str(there)) as file:
            table = pa.ipc.open_file(file).read_all()
        table.validate(full=True)
    except (OSError, pa.ArrowException, ValueError):  # absent, torn, or written by something else
        return None
    return table


def kept_stamp(folder: Place, name: str) -> Stamp | None:
    """What changes when a table is kept anew (file, time, size), without opening it; None where there is none."""
    return folder.stamp(_path(folder, name).name)


def forget_tables(folder: Place, but: Collection[str]) -> None:
    """Remove the tables of a folder except those named, and drafts of processes that died.

    Whoever has one of them open goes on reading it.

    Raises:
        StoreError: the disk refused.
    """
    kept = {f"{name}{ENDING}" for name in but}
    folder.remove(name for name in folder.names() if name.endswith(ENDING) and name not in kept)
    if not folder.here.is_dir():
        return
    with disk_errors("forget tables"), os.scandir(folder.here) as entries:
        for entry in entries:
            if entry.name.endswith(DRAFT):
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    if time.time() - entry.stat().st_mtime > FORGOTTEN_S:
                        os.unlink(entry.path)  # noqa: PTH108


def _path(folder: Place, name: str) -> Path:
    if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"a table cannot be kept as {name!r}: take letters, digits, - and _")
    return folder.here / f"{name}{ENDING}"
