"""Back up the ledger and the tables together, while everything goes on, and restore them where there is nothing yet.

In:     a warehouse and the address of its ledger.
Out:    a folder that says what is in it: the ledger as a SQLite file, each table as a Delta table of its own, and ``backup.json``.
Always: the ledger is copied first, and each table afterwards: so the tables have whatever the ledger speaks of, and of what they
        have more, the loop finds out again when it goes on. Every file has its SHA-256 in ``backup.json``, which is written last:
        a folder without it is no backup. Only the owner can read what is in it, also in a folder that was there before. Nothing is
        restored before all files are found to be what they were.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from sqlalchemy import URL

import andon
from andon.errors import ConfigError, InputError, StateError, StoreError
from andon.store import table as delta
from andon.store.copying import copy_ledger
from andon.store.disk import disk_errors, make_folder, sync_path, write_whole
from andon.store.place import Bucket, Place
from andon.store.warehouse import Warehouse

__all__ = ["Backup", "TableBackup", "back_up", "read_backup", "restore"]

SAYS, LEDGER, KEY = "backup.json", "ledger.db", "redaction.key"

TRIES = 5
"""How often a table is copied anew where files of it vanished meanwhile, as they do when somebody is erased."""

Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableBackup:
    """What a backup holds of one table."""

    rows: int
    bytes: int
    seq: int
    files: Mapping[str, str]
    """Name of each file -> its SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a backup holds."""

    at_us: int
    """When it was begun: what was acknowledged before is in it, or in the journal of a replica that had not committed it yet."""
    andon: str
    """Version of the Andon that made it."""
    entries: int
    """Of the ledger."""
    digest: str
    """SHA-256 of the ledger's entries."""
    tables: Mapping[str, TableBackup]


def back_up(
    warehouse: Warehouse, ledger: str | URL, folder: Path, *, now_us: int, tell: Tell = lambda _: None
) -> Backup:
    """Copy everything into a folder, while others go on writing.

    Args:
        warehouse: its journal is committed first.
        ledger: URL of the ledger, or the path of its file.
        folder: a new or empty one, which only its owner can read then.
        now_us: the clock.
        tell: is told what is being done.

    Raises:
        InputError: there is something in the folder.
        StoreError: the disk or the database refused; the folder is no backup.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; give a new folder: a backup is never written over another one")
    warehouse.commit()
    with disk_errors("make the folder of a backup"):
        make_folder(folder)
        with suppress(PermissionError):  # somebody else's folder: our files in it are for us alone anyway
            folder.chmod(0o700)
    tell("the ledger")
    copied = copy_ledger(ledger, str(folder / LEDGER))
    found = {}
    for name in warehouse.tables():
        tell(f"table {name}")
        found[name] = _copy_table(warehouse.folder(name), folder / "tables" / name, warehouse)
    if (key := warehouse.place.here / KEY).exists():
        with disk_errors("copy the key of redaction"):
            _copy(key, folder / KEY)
    backup = Backup(at_us=now_us, andon=andon.__version__, entries=copied.entries, digest=copied.digest, tables=found)
    with disk_errors("make the folder of a backup"):  # it keeps this mode when it is written
        (folder / SAYS).touch(0o600)
    write_whole(folder / SAYS, json.dumps(asdict(backup), indent=2) + "\n")
    return backup


def read_backup(folder: Path) -> Backup:
    """What a backup says of itself.

    Raises:
        ConfigError: the folder is no backup, or one that was broken off.
    """
    try:
        said = json.loads((folder / SAYS).read_text(encoding="utf-8"))
        tables = {name: TableBackup(**table) for name, table in said.pop("tables").items()}
        return Backup(**said, tables=tables)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{folder} is no backup, or one that was broken off: {SAYS} cannot be read ({error}); give the folder of another one"
        ) from error


def restore(warehouse: Warehouse, ledger: str | URL, folder: Path, *, tell: Tell = lambda _: None) -> Backup:
    """Put a backup where there is nothing yet; each file is compared with its SHA-256, and the ledger with its digest.

    Args:
        warehouse: one without rows.
        ledger: URL of a ledger without records, or the path of its file.
        folder: of the backup.
        tell: is told what is being done.

    Raises:
        ConfigError: the folder is no backup.
        StateError: there are rows or records already; nothing was changed.
        StoreError: a file of the backup is damaged, and nothing was changed; or the disk or the database refused amid it: empty the
            place and restore again.
    """
    backup = read_backup(folder)
    for name in warehouse.tables():
        if warehouse.extent(name) is not None:
            raise StateError(f"table {name!r} in {warehouse.place} has rows already: restore into an empty folder")
    if strange := sorted(set(backup.tables) - set(warehouse.tables())):
        raise StateError(
            f"the backup has a table {strange[0]!r} that this Andon does not know: install {backup.andon} or later"
        )
    for name, said in backup.tables.items():
        tell(f"table {name}, looked through")
        _look_through(folder / "tables" / name, said)
    tell("the ledger, as a rehearsal")
    _rehearse(folder / LEDGER, ledger, backup.digest)
    if (folder / KEY).exists() and isinstance(warehouse.place, Bucket):
        tell(f"set ANDON_REDACT_KEY to what {folder / KEY} holds, so that redacted values keep their marks")
    elif (folder / KEY).exists():
        with disk_errors("copy the key of redaction"):
            _copy(folder / KEY, warehouse.place.here / KEY)
    for name, said in backup.tables.items():
        tell(f"table {name}")
        _restore_table(folder / "tables" / name, warehouse.folder(name), said)
    tell("the ledger")
    copy_ledger(str(folder / LEDGER), ledger)
    return backup


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(
        f"{path} is damaged ({why}), and nothing was restored: copy the backup here again from where it is kept, or restore "
        "another one"
    )


def _rehearse(source: Path, target: str | URL, digest: str) -> None:
    """Copy the ledger and undo it: it is what was backed up, and can be written there."""
    try:
        found = copy_ledger(str(source), target, rehearse=True).digest
    except ConfigError as error:  # gone or empty: nobody makes a backup without a ledger
        raise _damaged(source, str(error)) from error
    except StoreError as error:
        said = getattr(getattr(error.__cause__, "orig", None), "sqlite_errorname", "")
        if said in ("SQLITE_CORRUPT", "SQLITE_NOTADB"):
            raise _damaged(source, str(error)) from error
        raise
    if found != digest:
        raise _damaged(source, f"it is not what was backed up: the digest of its entries is {found}, and was {digest}")


def _look_through(source: Path, said: TableBackup) -> None:
    """Compare each file of a table with what was backed up."""
    for name, digest in said.files.items():
        if Path(name).name != name:
            raise StoreError(
                f"the backup names a file {name!r} outside of its folder, and nothing was restored: do not trust it, restore "
                "another one"
            )
        if not (source / name).is_file():
            raise _damaged(source / name, "it is gone")
        found = sha256()
        with disk_errors(f"read the backup of table {source.name!r}"):
            for piece in _pieces(source / name):
                found.update(piece)
        if found.hexdigest() != digest:
            raise _damaged(source / name, f"its SHA-256 is {found.hexdigest()}, and was {digest}")


def _copy_table(source: Place, target: Path, warehouse: Warehouse) -> TableBackup:
    for left in reversed(range(TRIES)):
        try:
            return _copy_once(source, target, warehouse)
        except StoreError as error:
            if not left or not isinstance(error.__cause__, FileNotFoundError):
                raise
            for path in target.glob("*.parquet"):
                path.unlink()
    raise AssertionError


def _copy_once(source: Place, target: Path, warehouse: Warehouse) -> TableBackup:
    found = delta.snapshot(source)
    if found is None:
        raise StoreError(f"the folder of table {source.name!r} ({source}) is gone")
    with disk_errors(f"copy the table {source.name!r}"):
        make_folder(target)
        source.fetch(f.path for f in found.files)
        files = {Path(f.path).name: _copy(Path(f.path), target / Path(f.path).name) for f in found.files}
    delta.ensure(Place(target), warehouse.schema(source.name))
    delta.adopt(Place(target), list(files), found.seq)
    rows, size = sum(f.rows for f in found.files), sum(f.bytes for f in found.files)
    return TableBackup(rows=rows, bytes=size, seq=found.seq, files=files)


def _restore_table(source: Path, target: Place, said: TableBackup) -> None:
    for name, digest in said.files.items():
        with disk_errors(f"copy the table {source.name!r}"):
            make_folder(target.here)
            copied = _copy(source / name, target.here / name)
        if copied != digest:  # it was well when it was looked through
            (target.here / name).unlink()
            raise StoreError(f"{source / name} was changed while it was restored: empty the place, and restore again")
        target.store(name)
    delta.adopt(target, list(said.files), said.seq)


def _copy(source: Path, target: Path) -> str:
    """Copy a file, for its owner only and durably; returns its SHA-256."""
    digest = sha256()
    handle = os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        for piece in _pieces(source):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(handle)
    sync_path(target.parent)
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(2**22):
            yield piece
