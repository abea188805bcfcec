"""Locks and fsync: what a file system promises only when it is asked.

A name is durable when its folder was fsynced, and bytes are when their file was. `flock` belongs to an open file, so
the kernel gives it back when a process dies, however it dies.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from andon.errors import StoreError

__all__ = ["disk_errors", "kept_secret", "make_folder", "sync_path", "try_lock", "write_whole"]


def sync_path(path: Path) -> None:
    """Force a file's bytes, or a folder's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Create a folder and its parents, each of them durable and for its owner only; one that is there keeps its mode."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(0o700, exist_ok=True)
    sync_path(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, durably: whoever reads it meets the old text or the new one.

    A link stays a link, and a file that is there keeps its mode. A device or a pipe is written to as it is.

    Raises:
        StoreError: the disk refused.
    """
    with disk_errors(f"write {path}"):
        there = path.resolve()
        if there.exists() and not there.is_file():
            there.write_text(text, encoding="utf-8")
            return
        there.parent.mkdir(parents=True, exist_ok=True)
        draft = there.with_name(f".{there.name[:100]}.{secrets.token_hex(8)}")
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                if there.exists():
                    os.fchmod(handle, there.stat().st_mode & 0o7777)
                file.write(text)
                file.flush()
                os.fsync(handle)
            draft.replace(there)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync_path(there.parent)


def kept_secret(path: Path) -> bytes:
    """The secret in a file that only its owner can read; a random one is made when there is none.

    Raises:
        StoreError: the file cannot be made or read.
    """
    with disk_errors("keep a secret"):
        make_folder(path.parent)
        draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
        if not path.exists():
            handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            try:
                os.write(handle, secrets.token_hex(32).encode())
                os.fsync(handle)
            finally:
                os.close(handle)
            try:
                os.link(draft, path)  # of two processes that start together one wins, and both use its secret
            except FileExistsError:
                pass
            finally:
                draft.unlink()
            sync_path(path.parent)
        return path.read_bytes()


def try_lock(handle: int) -> bool:
    """Take the exclusive lock of an open file if nobody holds it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn an `OSError` into a retryable `StoreError` that says what was being done, on which path and why it failed."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise StoreError(
            f"cannot {doing}{where}: {error.strerror or error}; check free space, quota and permissions, then try again",
            retryable=True,
        ) from error
