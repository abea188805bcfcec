"""Answers of live targets, kept as they come: a run that was broken off goes on where it stopped, and a cache is the same file.

One file of JSON lines for each target, version and settings. A line is the begin of a run, one answer, or the end of a run in
which everything was answered. Lines are only ever appended, each by one write, so several runs may write at the same time; a
line that a crash has torn is passed over. Whoever writes holds a shared lock of the file. A run that ended leaves nothing
behind where its target has no version, as nobody could use it again, unless another run in the file has not ended.
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from andon.errors import InputError, StoreError
from andon.evals.records import Output, Target
from andon.golden import Case
from andon.store.disk import make_folder, try_lock, write_whole
from andon.traffic import format_time

__all__ = ["KEPT_US", "Kept", "Take", "attempt_key", "expire_kept", "forget_kept", "open_kept"]

Take = Literal["nothing", "resume", "cache"]
"""``resume``: the answers of the last run that did not end. ``cache``: those of every run of the same target and version."""

_DAY_US = 86_400_000_000
KEPT_US = 30 * _DAY_US
"""Answers of runs that began before are removed: they may hold what users said."""

_OUTPUT = TypeAdapter(Output)
_BATCH = 32
"""Answers between two calls of fsync."""


class Kept:
    """The answers of one target on disk; its methods may be called by many threads. `open_kept` makes it."""

    def __init__(
        self,
        path: Path,
        found: dict[str, Output],
        *,
        take: Take,
        last: dict[str, Any] | None,
        lasting: bool,
        since_us: int | None,
    ) -> None:
        self._path, self._found, self._take, self._last, self._lasting = path, found, take, last, lasting
        self.since_us = since_us
        """When the oldest run began whose answers are there to be taken."""
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._unsynced = 0
        self._run = ""

    @property
    def resumed(self) -> bool:
        """Whether a run that was broken off goes on."""
        return self._last is not None

    @property
    def begun_us(self) -> int | None:
        """When the run that goes on began."""
        return None if self._last is None else int(self._last["begun_us"])

    @property
    def answers(self) -> int:
        """How many answers are there to be taken."""
        return len(self._found)

    def get(self, key: str) -> Output | None:
        """The answer that is there already."""
        return self._found.get(key)

    def begin(self, now_us: int) -> int:
        """Begin a run, or go on with one; gives the time at which it began.

        Raises:
            InputError: the run that goes on began more than a day ago, and its target has no version: what answers there may
                be another one by now.
            StoreError: the disk refused.
        """
        begun_us = self.begun_us
        if begun_us is not None and not self._lasting and now_us - begun_us > _DAY_US:
            raise InputError(
                f"the run that was broken off began at {format_time(begun_us)}, more than a day ago, and its target"
                " has no version: nobody can tell whether the same one answers now; run without --resume"
            )
        with _disk(self._path):
            make_folder(self._path.parent)
            self._handle = _opened(self._path)
            size = os.fstat(self._handle).st_size
            if size and os.pread(self._handle, 1, size - 1) != b"\n":
                os.write(self._handle, b"\n")  # the end of a line that a crash has torn
        if self._last is not None and begun_us is not None:
            self._run = str(self._last["run"])
            return begun_us
        self._run = f"{now_us}-{os.getpid()}-{size}"  # the file only grows, so no two runs have the same name
        self._write({"run": self._run, "begun_us": now_us, "take": self._take})
        return now_us

    def keep(self, key: str, output: Output) -> None:
        """Keep an answer: a crash of this process loses nothing, one of the machine at most the last few.

        Raises:
            StoreError: the disk refused.
        """
        self._write({"run": self._run, "key": key, "output": _OUTPUT.dump_python(output, mode="json")})

    def end(self, *, whole: bool) -> None:
        """End a run; what is not whole may go on later.

        Raises:
            StoreError: the disk refused.
        """
        if not whole:
            return
        self._write({"run": self._run, "end": True})
        with self._lock, _disk(self._path):
            alone = not self._lasting and self._handle is not None and try_lock(self._handle)
            if alone and _last_unended(_rows(self._path)) is None:
                self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Force everything to the disk.

        Raises:
            StoreError: the disk refused.
        """
        with self._lock, _disk(self._path):
            handle, self._handle = self._handle, None
            if handle is not None:
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    def _write(self, row: dict[str, Any]) -> None:
        line = _line(row)
        with self._lock, _disk(self._path):
            if self._handle is None:  # the run was stopped while this answer was on its way
                return
            os.write(self._handle, line)
            self._unsynced += 1
            if self._unsynced >= _BATCH:
                os.fsync(self._handle)
                self._unsynced = 0


def open_kept(folder: Path, target: Target, *, take: Take = "nothing") -> Kept | None:
    """Where a target's answers are kept in a folder, with those that may be taken; None for recorded answers, which are kept.

    Raises:
        InputError: the cache is asked for, and the target has no version by which an answer is known to be still true.
        StoreError: the disk refused.
    """
    if hasattr(target, "attempt"):
        return None
    version = getattr(target, "version", None)
    if take == "cache" and version is None:
        raise InputError(
            f"{target.name} has no version, so nobody knows whether earlier answers still hold; give `version` in a target"
            " file, or run without the cache"
        )
    identity = json.dumps([target.name, version, getattr(target, "settings", "")])
    path = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.jsonl"
    rows = [] if take == "nothing" else _rows(path)
    last = _last_unended(rows) if take == "resume" else None
    every = take == "cache" or (last is not None and last.get("take") == "cache")
    found: dict[str, Output] = {}
    runs = set()
    for row in rows:
        if "key" in row and (every or (last is not None and row.get("run") == last["run"])):
            try:
                found[str(row["key"])] = _OUTPUT.validate_python(row.get("output"))
            except ValidationError:  # of another version of Andon: it is asked again
                continue
            runs.add(str(row.get("run")))
    since = [r["begun_us"] for r in rows if isinstance(r.get("begun_us"), int) and str(r.get("run")) in runs]
    return Kept(path, found, take=take, last=last, lasting=version is not None, since_us=min(since, default=None))


def forget_kept(folder: Path) -> int:
    """Remove all answers that are kept in a folder (they may hold what users said); returns how many files there were.

    Raises:
        StoreError: the disk refused.
    """
    with _disk(folder):
        files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
        for path in files:
            path.unlink(missing_ok=True)
    return len(files)


def expire_kept(folder: Path, before_us: int) -> int:
    """Remove the answers of runs that began before a time; a file that a run writes is left for the next turn.

    Returns:
        How many answers were removed.

    Raises:
        StoreError: the disk refused.
    """
    gone = 0
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        with _disk(path):
            handle = _opened(path)
            try:
                if not try_lock(handle):
                    continue
                rows = _rows(path)
                young = {
                    r.get("run") for r in rows if isinstance(r.get("begun_us"), int) and r["begun_us"] >= before_us
                }
                left = [r for r in rows if r.get("run") in young]
                gone += sum("key" in r for r in rows) - sum("key" in r for r in left)
                if not left:
                    path.unlink()
                elif len(left) < len(rows):
                    write_whole(path, "".join(_line(r).decode() for r in left))
            finally:
                os.close(handle)
    return gone


def attempt_key(target: Target, case: Case, repeat: int) -> str:
    """What an attempt asks: question, contexts, what is expected, of which application, and which attempt it is.

    Also of which case, unless the target says that it is not shown its id (``sees_id``): one that is may answer two cases of
    one question differently.
    """
    case_id = case.id if getattr(target, "sees_id", True) else None
    seen = [case.question, case.contexts, case.expect, case.app, case_id, repeat]
    content = json.dumps(seen, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _opened(path: Path) -> int:
    """The file, created if missing, for appending, with a shared lock; not one that was removed while the lock was waited for."""
    while True:
        handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _rows(path: Path) -> list[dict[str, Any]]:
    with _disk(path):
        lines = path.read_bytes().split(b"\n") if path.exists() else []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _last_unended(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The begin of the last run that did not end."""
    ended = {row.get("run") for row in rows if row.get("end")}
    begun = [r for r in rows if isinstance(r.get("begun_us"), int) and r.get("run") not in ended]
    return begun[-1] if begun else None


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"answers cannot be kept in {path}: {error.strerror}", retryable=True) from error
