"""The vectors of all case questions: in memory, and in a file so that nothing is embedded twice.

The file is only a saving: the ledger says which cases there are, and what the file lacks is embedded again. It is appended
to, one record for each case; several processes may append.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from andon.golden.records import Case
from andon.scores import Embedder, Vectors
from andon.store import Ledger

__all__ = ["FEW", "CaseVectors", "forget_vectors"]

_T = TypeVar("_T")

AT_ONCE = 4096
"""Questions that are embedded between two reports of progress."""

OVERLAP = 1000
"""Entries of the ledger that are looked at again: another writer's may become visible out of order."""

FEW = 200
"""Cases up to which each is read from the ledger by its id."""

_MAGIC = b"andon case vectors 1\n"
_HEADER = 64
_ID_BYTES = 56
_SALT = 0xA5A5A5A5
_SAME = 1e-3
"""How far two vectors of the same text by the same embedder may differ in a coordinate."""


def forget_vectors(home: Path) -> None:
    """Remove the files: vectors of a text that was erased say much of the text."""
    for path in (home / "golden").glob("*.vectors"):
        path.unlink(missing_ok=True)


class CaseVectors:
    """Vectors of the questions of all cases of a ledger, by one embedder. Whoever works on them holds `turn`."""

    def __init__(self, embedder: Embedder, home: Path | None = None) -> None:
        """Nothing is read yet: `catch_up` does.

        Args:
            embedder: makes the vectors.
            home: keeps the file in its folder ``golden``; None keeps vectors in memory only.
        """
        self.turn = RLock()
        self.notice = ""
        """What was wrong with the file; "" where nothing was."""
        self.embedder = embedder
        self._digest = hashlib.sha256(embedder.name.encode()).hexdigest()[:16]
        self._path = None if home is None else home / "golden" / f"{self._digest}.vectors"
        self._read_to = 0
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._space: Vectors = np.empty((0, 0), np.float32)
        self._entry: int | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, case: str) -> bool:
        return case in self._rows

    @property
    def ids(self) -> Sequence[str]:
        """The cases, in the order of the rows."""
        return self._ids

    @property
    def vectors(self) -> Vectors:
        """Shape (n, d), one row for each case; valid until the next change."""
        return self._space[: len(self._ids)]

    def catch_up(self, ledger: Ledger, report: Callable[[str, float], None] | None = None) -> None:
        """Embed what the ledger holds and this does not.

        Args:
            ledger: holds the cases.
            report: told what is being done, and the share done, 0..1.

        Raises:
            StoreError: the ledger failed. A file that cannot be read or written is no error: see `notice`.
        """
        first = self._entry is None
        known = ledger.ids(Case, after=max(0, (self._entry or 0) - OVERLAP))
        self._read_file({i for _, i in known} if first else None)
        if first and self._ids and not self._is_ours(ledger):
            self._start_again("was made by an embedder with other vectors")
        missing = [i for _, i in known if i not in self._rows]
        if len(missing) <= FEW:
            cases = [c for i in missing if (c := ledger.get(Case, i)) is not None]
        else:
            wanted = set(missing)
            cases = [c for c in ledger.all(Case) if c.id in wanted]
        for k in range(0, len(cases), AT_ONCE):
            if report is not None:
                report(f"embedding {len(cases):,} questions of cases", k / len(cases))
            part = cases[k : k + AT_ONCE]
            self.add([c.id for c in part], self.embedder.embed([c.question for c in part]))
        if known:
            self._entry = max(self._entry or 0, known[-1][0])
        elif first:
            self._entry = 0

    def add(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Take in the vectors, shape (n, d), of cases that are in the ledger already."""
        new = [k for k, i in enumerate(ids) if i not in self._rows]
        if new:
            self._take([ids[k] for k in new], vectors[new])
            self._append([ids[k] for k in new], vectors[new])

    def _take(self, ids: Sequence[str], vectors: Vectors) -> None:
        n, d = len(self._ids), vectors.shape[1]
        if n + len(ids) > len(self._space):
            space = np.empty((max(2 * len(self._space), n + len(ids), 64), d), np.float32)
            if n:
                space[:n] = self._space[:n]
            self._space = space
        self._space[n : n + len(ids)] = vectors
        for k, i in enumerate(ids, n):
            self._rows[i] = k
        self._ids.extend(ids)

    def _start_again(self, why: str) -> None:
        self.notice = f"{self._path} {why}; it is made anew"
        self._ids, self._rows, self._space, self._read_to = [], {}, np.empty((0, 0), np.float32), 0
        self._try(lambda path: path.unlink(missing_ok=True))

    def _is_ours(self, ledger: Ledger) -> bool:
        """Whether the embedder still gives the vector that is kept of the last case."""
        case = ledger.get(Case, self._ids[-1])
        if case is None:
            return True
        again = self.embedder.embed([case.question])[0]
        kept = self._space[len(self._ids) - 1]
        return again.shape == kept.shape and bool(np.abs(again - kept).max(initial=0) < _SAME)

    def _read_file(self, wanted: set[str] | None) -> None:
        """Take in what the file holds beyond what was read; of a first reading, only the `wanted` ids."""
        path = self._path
        if path is None or not self._try(lambda p: p.exists() and p.stat().st_size > self._read_to):
            return
        if not self._read_to:
            d = _dimension(self._try(_header) or b"", self._digest)
            if d is None:
                self._start_again("is not a file of these vectors")
                return
            self._read_to, self._space = _HEADER, np.empty((0, d), np.float32)
        kind = _record(self._space.shape[1])
        while raw := self._try(lambda p: _read(p, self._read_to, AT_ONCE * kind.itemsize)):
            whole = len(raw) // kind.itemsize
            records = np.frombuffer(raw, kind, whole)
            sound = _sums(records) == records["sum"]
            good = whole if sound.all() else int(np.argmin(sound))
            self._read_to += good * kind.itemsize
            names = [i.decode(errors="replace") for i in records["id"][:good].tolist()]
            fresh = {i: k for k, i in enumerate(names) if i not in self._rows and (wanted is None or i in wanted)}
            if fresh:
                self._take(list(fresh), records["vector"][list(fresh.values())])
            if good * kind.itemsize < len(raw):  # damage, or what another process is writing just now
                if wanted is not None:
                    self.notice = f"{path} was damaged after {len(self):,} vectors; the rest is made anew"
                    self._try(lambda p: os.truncate(p, self._read_to))
                return

    def _append(self, ids: Sequence[str], vectors: Vectors) -> None:
        if self._path is None:
            return
        rows = [k for k, i in enumerate(ids) if len(i.encode()) <= _ID_BYTES]
        records = np.zeros(len(rows), _record(vectors.shape[1]))
        records["id"] = [ids[k].encode() for k in rows]
        records["vector"] = vectors[rows]
        records["sum"] = _sums(records)
        header = _MAGIC + self._digest.encode() + vectors.shape[1].to_bytes(4, "little")
        raw = records.tobytes()
        end = self._try(lambda path: _write(path, header.ljust(_HEADER, b"\0"), raw))
        if end is not None and end == (self._read_to or _HEADER) + len(
            raw
        ):  # else another process wrote as well: read it
            self._read_to = end

    def _try(self, act: Callable[[Path], _T]) -> _T | None:
        """Do something with the file; where the disk refuses, go on without it."""
        if self._path is None:
            return None
        try:
            return act(self._path)
        except OSError as error:
            self.notice = f"{self._path} cannot be used ({error.strerror}); vectors are kept in memory only"
            self._path = None
            return None


def _record(d: int) -> np.dtype[np.void]:
    return np.dtype([("sum", "<u8"), ("id", f"S{_ID_BYTES}"), ("vector", "<f4", (d,))])


def _sums(records: NDArray[np.void]) -> NDArray[np.uint64]:
    """A checksum of id and vector of each record; never 0, which is what a crash leaves in a file."""
    words = records.view("<u4").reshape(len(records), -1)[:, 2:]
    sums: NDArray[np.uint64] = words.sum(axis=1, dtype=np.uint64) + np.uint64(_SALT)
    return sums


def _dimension(raw: bytes, digest: str) -> int | None:
    """The length of the vectors of a file; None where it holds anything else, or those of another embedder."""
    start = _MAGIC + digest.encode()
    if len(raw) < _HEADER or not raw.startswith(start):
        return None
    return int.from_bytes(raw[len(start) : len(start) + 4], "little") or None


def _header(path: Path) -> bytes:
    return _read(path, 0, _HEADER)


def _read(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _write(path: Path, header: bytes, raw: bytes) -> int:
    """Append to a file, which gets its header where it is new; returns its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        new = path.with_name(f"{path.name}.{os.getpid()}.new")
        new.write_bytes(header)
        new.rename(path)
    with path.open("ab", buffering=0) as file:
        left = memoryview(raw)
        while left:
            left = left[file.write(left) or 0 :]
        return file.tell()
