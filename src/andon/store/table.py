"""Delta tables by path: opened for each call, never kept open, and on disk before anything says so.

Data files are written and fsynced here, then named by one commit to the Delta log, which is fsynced too: a log entry
never names bytes that a power cut could take. All changes are made under the Warehouse's commit lock; other programs may
read at any time, and may write as long as they use no feature that hides rows from a plain list of files.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction, Transaction

from andon.errors import ConfigError, StoreError
from andon.store.disk import disk_errors, make_folder, sync_path

__all__ = [
    "File",
    "Snapshot",
    "append",
    "compact",
    "ensure",
    "heal",
    "kept_type",
    "newest_version",
    "replace",
    "rewrite",
    "rows_with",
    "snapshot",
    "vacuum",
]

SEQ = "andon-seq"
"""Delta application transaction that carries the highest seq: it outlives the rows, so no seq is ever used twice."""

ROW_GROUP = 32_768
"""Rows of a row group, which is read as a whole: a quarter of what is usual, so that one interaction or five minutes cost half
as much, and a scan of everything 5 % more."""

BLOOM_FPP = 0.01
"""Share of row groups that are read in vain when a row is looked for by an id that is not in them."""
SMALL_ROWS, SMALL_BYTES = 250_000, 32 * 2**20
"""A file below both is small: compaction merges it with its neighbours in time until one of them is doubled."""

CHECKPOINT_EVERY = 20
"""Versions between checkpoints: opening a table costs 0.2 ms for each log entry since the last one."""

KEEP_FILES_HOURS = 24
"""How long a removed file stays for readers of older snapshots."""

SAFE_FEATURES = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"})
"""Reader features under which a plain list of Parquet files is still the table."""

CONFIGURATION: dict[str, str | None] = {
    "delta.dataSkippingStatsColumns": "time_us,seq",  # statistics in the log must not hold users' data
    "delta.logRetentionDuration": "interval 1 hours",
}
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One data file; the range of event time is None when another program wrote it without statistics."""

    path: str
    rows: int
    bytes: int
    first_us: int | None
    last_us: int | None

    def overlaps(self, start_us: int, end_us: int) -> bool:
        """Whether a row with ``start_us <= time_us < end_us`` may be in it."""
        return (self.last_us is None or self.last_us >= start_us) and (self.first_us is None or self.first_us < end_us)

    @property
    def small(self) -> bool:
        """Whether compaction should merge it."""
        return self.rows < SMALL_ROWS and self.bytes < SMALL_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a table held at one version: files in the order of their first event time."""

    version: int
    seq: int
    schema: pa.Schema
    files: tuple[File, ...]


def snapshot(folder: Path) -> Snapshot | None:
    """The newest committed version; None when the table does not exist yet.

    Raises:
        StoreError: the table cannot be read, or uses a feature that makes a list of its files wrong.
    """
    if not (folder / "_delta_log").is_dir():
        return None
    with _engine_errors(f"read the table {folder.name!r}"):
        table = _open(folder)
        actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
        return Snapshot(
            version=table.version(),
            seq=table.transaction_version(SEQ) or 0,
            schema=pa.schema(table.schema()),
            files=tuple(sorted((_file(folder, action) for action in actions), key=lambda f: (f.first_us or 0, f.path))),
        )


def newest_version(folder: Path) -> int:
    """The newest version in the log of a table, by the names of its files; -1 when there is none."""
    try:
        names = os.listdir(folder / "_delta_log")  # noqa: PTH208 - called for every plan: Path objects take ten times longer
    except OSError:
        return -1
    return max((int(n[:-5]) for n in names if n.endswith(".json") and n[:-5].isdigit()), default=-1)


def ensure(folder: Path, schema: pa.Schema) -> None:
    """Create the table, or add the columns that it lacks (as nullable ones).

    Raises:
        ConfigError: a column exists with another type.
    """
    with _engine_errors(f"create or extend the table {folder.name!r}"), _durable_log(folder):
        if not DeltaTable.is_deltatable(_uri(folder)):
            DeltaTable.create(_uri(folder), schema, configuration=CONFIGURATION)
            return
        table = _open(folder)
        present = pa.schema(table.schema())
        for field in schema:
            if field.name in present.names and present.field(field.name).type != field.type:
                raise ConfigError(
                    f"column {field.name!r} of table {folder.name!r} is {present.field(field.name).type} on disk and "
                    f"{field.type} in the schema; types cannot change: give the new column another name"
                )
        missing = pa.schema([field for field in schema if field.name not in present.names])
        if missing.names:
            table.alter.add_columns(DeltaSchema.from_arrow(missing).fields)


def append(folder: Path, rows: pa.Table, seq: int) -> None:
    """Add rows as one file and one commit; on return it is on disk."""
    _publish(folder, [rows], [], seq=seq)


def replace(folder: Path, found: Snapshot, rows: pa.Table, paths: set[str], drop: pa.Array, seq: int) -> None:
    """Add rows and take others out, in one commit: those of the files `paths` whose ``id_hash`` is in `drop`."""
    files = [f for f in found.files if f.path in paths]
    with _engine_errors(f"replace rows of the table {folder.name!r}"):
        kept = [_dataset([f], found.schema).to_table(filter=~pc.field("id_hash").isin(drop)) for f in files]
    _publish(folder, [rows, *kept], files, seq=seq)


def compact(folder: Path) -> int:
    """Merge small files that are neighbours in time, and let removed files go after a day; returns files merged."""
    merged = 0
    found = snapshot(folder)
    for group in _neighbours([f for f in found.files if f.small]) if found else []:
        assert found is not None
        with _engine_errors(f"compact the table {folder.name!r}"):
            rows = _dataset(group, found.schema).to_table().sort_by("time_us")
        _publish(folder, [rows], group, same_rows=True)
        merged += len(group)
    if merged:
        vacuum(folder, hours=KEEP_FILES_HOURS)
    return merged


def rewrite(folder: Path, drop: pc.Expression, keep: pc.Expression) -> int:
    """Take rows out of the table, file by file, and return how many.

    `keep` must be the complement of `drop`, nulls included. Each file is one commit: after a crash, call again.
    """
    dropped = 0
    found = snapshot(folder)
    for file in found.files if found else ():
        assert found is not None
        with _engine_errors(f"remove rows from the table {folder.name!r}"):
            data = _dataset([file], found.schema)
            hits = data.count_rows(filter=drop)
            rows = data.to_table(filter=keep) if hits else None
        if rows is not None:
            _publish(folder, [rows], [file])
            dropped += hits
    return dropped


def rows_with(
    found: Snapshot, files: Sequence[File], hashes: pa.Array, columns: tuple[str, ...] | None = None
) -> pa.Table:
    """The rows of these files with one of these values of ``id_hash``, all columns unless given, and each row's ``path``."""
    names = columns or tuple(found.schema.names)
    if not files:
        return pa.schema([*(found.schema.field(n) for n in names), ("path", pa.string())]).empty_table()
    with _engine_errors("look for ids that are already in the table"):
        wanted = pc.field("id_hash").isin(hashes)
        rows = _dataset(list(files), found.schema).to_table(columns=[*names, "__filename"], filter=wanted)
        return rows.rename_columns([*names, "path"])


def vacuum(folder: Path, *, hours: int) -> None:
    """Delete files that no version of the last `hours` lists, and those that a crash left without a commit."""
    with _engine_errors(f"clean the table {folder.name!r}"), _durable_log(folder):
        table = _open(folder)
        table.vacuum(
            hours,
            dry_run=False,
            enforce_retention_duration=False,
            full=True,
            post_commithook_properties=NO_HOOKS,
        )


def heal(folder: Path) -> None:
    """Remove the torn end that a power cut may have left in the log, where no fsync had been reached.

    Nothing acknowledged is lost: the journal keeps its rows until the log entry is on disk, and the log keeps its entries
    until the checkpoint is.
    """
    log = folder / "_delta_log"
    with disk_errors(f"repair the log of the table {folder.name!r}"):
        for entry in (*sorted(log.glob("*.json"))[-1:], *log.glob("_last_checkpoint")):
            if not _whole(entry):
                entry.unlink()
        for checkpoint in sorted(log.glob("*.checkpoint*.parquet"))[-1:]:
            try:
                pq.read_metadata(checkpoint)
            except (pa.ArrowException, OSError):
                (log / "_last_checkpoint").unlink(missing_ok=True)
                checkpoint.unlink()


def kept_type(kind: pa.DataType) -> pa.DataType:
    """The type as a table will give it back.

    Raises:
        StoreError: Delta Lake has no such type.
    """
    with _engine_errors(f"keep a column of type {kind}"):
        return pa.schema(DeltaSchema.from_arrow(pa.schema([("column", kind)]))).field(0).type


def _open(folder: Path) -> DeltaTable:
    table = DeltaTable(_uri(folder))
    protocol, metadata = table.protocol(), table.metadata()
    settings = metadata.configuration
    refused = sorted(set(protocol.reader_features or ()) - SAFE_FEATURES)
    if settings.get("delta.enableDeletionVectors", "false").lower() == "true":
        refused.append("deletionVectors")
    if settings.get("delta.columnMapping.mode", "none").lower() != "none":
        refused.append("columnMapping")
    if metadata.partition_columns:
        refused.append("partition columns")
    if refused:
        raise StoreError(
            f"the Delta table {folder} uses {', '.join(sorted(set(refused)))}, switched on by another program: a list of its "
            "files no longer gives its rows. Rewrite the table without it (in Spark: deep clone to a new table with the "
            "feature off) and put it back in this place"
        )
    return table


def _publish(
    folder: Path, parts: list[pa.Table], remove: list[File], *, seq: int | None = None, same_rows: bool = False
) -> None:
    """One commit that adds each part as a file and removes others: bytes first, then the log entry, each fsynced."""
    with _engine_errors(f"write the table {folder.name!r}"):
        now_ms = time.time_ns() // 1_000_000
        added = [_write(folder, rows, now_ms, data_change=not same_rows) for rows in parts if rows.num_rows]
        removed = [RemoveAction(Path(f.path).name, not same_rows, now_ms) for f in remove]
        marks = None if seq is None else [Transaction(SEQ, seq)]
        try:
            with _durable_log(folder):
                table = _open(folder)
                table.create_write_transaction(
                    [*added, *removed],
                    "append",
                    table.schema(),
                    commit_properties=CommitProperties(app_transactions=marks),
                    post_commithook_properties=NO_HOOKS,
                )
        except DeltaError:
            for action in added:  # refused, so no log entry names the file
                (folder / action.path).unlink(missing_ok=True)
            raise
        if (table.version() + 1) % CHECKPOINT_EVERY == 0:
            with _durable_log(folder):
                table.update_incremental()
                table.create_checkpoint()
            table.cleanup_metadata()


def _write(folder: Path, rows: pa.Table, now_ms: int, *, data_change: bool) -> AddAction:
    path = folder / f"part-{uuid4().hex}.parquet"
    try:
        pq.write_table(rows, path, compression="zstd", row_group_size=ROW_GROUP, bloom_filter_options=_blooms(rows))
        sync_path(path)
        sync_path(folder)
    except OSError:
        path.unlink(missing_ok=True)  # a full disk should get its space back
        raise
    ranges = {name: pc.min_max(rows[name]).as_py() for name in ("time_us", "seq")}
    stats = {
        "numRecords": rows.num_rows,
        "minValues": {name: ends["min"] for name, ends in ranges.items()},
        "maxValues": {name: ends["max"] for name, ends in ranges.items()},
        "nullCount": dict.fromkeys(ranges, 0),
    }
    return AddAction(path.name, path.stat().st_size, {}, now_ms, data_change, json.dumps(stats))


def _blooms(rows: pa.Table) -> dict[str, dict[str, float]]:
    """Filters for the columns by which single rows are looked for: ``id``, and texts whose name ends in ``_id``."""
    ids = [f.name for f in rows.schema if (f.name == "id" or f.name.endswith("_id")) and pa.types.is_string(f.type)]
    return {name: {"ndv": max(min(rows.num_rows, ROW_GROUP), 1), "fpp": BLOOM_FPP} for name in ids}


def _neighbours(small: list[File]) -> Iterator[list[File]]:
    group: list[File] = []
    for file in small:
        group.append(file)
        if sum(f.rows for f in group) >= 2 * SMALL_ROWS or sum(f.bytes for f in group) >= 2 * SMALL_BYTES:
            yield group
            group = []
    if len(group) > 1:
        yield group


def _file(folder: Path, action: dict[str, object]) -> File:
    def number(name: str) -> int | None:
        value = action.get(name)
        return value if isinstance(value, int) else None

    return File(
        path=str(folder / str(action["path"])),
        rows=number("num_records") or 0,
        bytes=number("size_bytes") or 0,
        first_us=number("min.time_us"),
        last_us=number("max.time_us"),
    )


def _dataset(files: list[File], schema: pa.Schema) -> ds.Dataset:
    return ds.dataset([f.path for f in files], schema=schema, format="parquet")


def _uri(folder: Path) -> str:
    return folder.absolute().as_uri()  # a bare path with % or spaces would be decoded as a URL


def _whole(entry: Path) -> bool:
    try:
        return all(json.loads(line) for line in entry.read_text().splitlines()) and entry.stat().st_size > 0
    except ValueError:
        return False


@contextmanager
def _durable_log(folder: Path) -> Iterator[None]:
    """Whatever appears in the Delta log within the block is on disk after it (delta-rs issues no fsync)."""
    log = folder / "_delta_log"
    make_folder(log)
    before = {entry.name for entry in log.iterdir()} - {"_last_checkpoint"}
    yield
    for entry in log.iterdir():
        if entry.name not in before and entry.is_file():
            sync_path(entry)
    sync_path(log)


@contextmanager
def _engine_errors(doing: str) -> Iterator[None]:
    with disk_errors(doing):
        try:
            yield
        except (DeltaError, pa.ArrowException) as error:
            raise StoreError(f"cannot {doing}: {error}", retryable=isinstance(error, DeltaError)) from error
        except Exception as error:
            if type(error) is not Exception:
                raise
            reason = str(error).partition("\n")[0]  # delta-rs also raises bare exceptions, with a stack of its own
            raise StoreError(f"cannot {doing}: {reason}") from error
