"""Delta tables by place: opened for each call, never kept open, and on disk, or in the bucket, before anything says so.

Data files are written and fsynced here, then named by one commit to the Delta log, which is fsynced too: a log entry
never names bytes that a power cut could take. In a bucket, files are put before the commit names them, and the commit is a put
that is refused where there is one already. No lock is held: a change says which version it was decided on, and is refused
(`OvertakenError`) where another one came first that it should have known of. So a writer that is paused for an hour, or
believes that it is the only one, harms nothing. Other programs may read at any time, and may write as long as they use no
feature that hides rows from a plain list of files.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, Transaction

from andon.errors import ConfigError, StoreError
from andon.store.disk import disk_errors, make_folder
from andon.store.place import Bucket, Place, said

__all__ = [
    "File",
    "OvertakenError",
    "Snapshot",
    "adopt",
    "append",
    "compact",
    "ensure",
    "heal",
    "kept_type",
    "prove",
    "replace",
    "rewrite",
    "rows_with",
    "snapshot",
    "vacuum",
]

SEQ = "andon-seq"
"""Delta application transaction that carries the highest seq: it outlives the rows, so no seq is ever used twice."""

REMOVED = "andon-removed"
"""Delta application transaction of those who remove files: of two who decided on the same version one is refused."""

ROW_GROUP = 32_768
"""Rows of a row group, which is read as a whole: a quarter of what is usual, so that one interaction or five minutes cost half
as much, and a scan of everything 5 % more."""

BLOOM_FPP = 0.01
"""Share of row groups that are read in vain when a row is looked for by an id that is not in them."""
SMALL_ROWS, SMALL_BYTES = 250_000, 32 * 2**20
"""A file below both is small: compaction merges it with its neighbours in time until one of them is doubled."""

CHECKPOINT_EVERY = 20
"""Versions between checkpoints: opening a table costs 0.2 ms for each log entry since the last one."""

TORN_S = 5.0
"""How long an entry of the log must stay torn before it is taken for what a power cut left; NFS believes what it saw for 3 s."""

RIVALS = 12
"""How many commit at the same time to try a store."""

KEEP_FILES_HOURS = 24
"""How long a removed file stays for readers of older snapshots."""

SAFE_FEATURES = frozenset({"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"})
"""Reader features under which a plain list of Parquet files is still the table."""

CONFIGURATION: dict[str, str | None] = {
    "delta.dataSkippingStatsColumns": "time_us,seq",  # statistics in the log must not hold users' data
    "delta.logRetentionDuration": "interval 1 hours",
}
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class OvertakenError(StoreError):
    """Another writer was faster: nothing was changed. Look at the table again and decide anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One data file; the range of event time and the highest seq are None when another program wrote it without statistics."""

    path: str
    rows: int
    bytes: int
    first_us: int | None
    last_us: int | None
    last_seq: int | None

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
    table: DeltaTable = field(repr=False, compare=False)
    """As it was read: what is published on it is refused where it should have known of a later version."""


def snapshot(folder: Place) -> Snapshot | None:
    """The newest committed version; None when the table does not exist yet.

    Raises:
        StoreError: the table cannot be read, or uses a feature that makes a list of its files wrong.
    """
    with _engine_errors(f"read the table {folder.name!r}", folder):
        try:
            table = _open(folder)
        except TableNotFoundError:
            return None
        actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
        return Snapshot(
            version=table.version(),
            seq=table.transaction_version(SEQ) or 0,
            schema=pa.schema(table.schema()),
            files=tuple(sorted((_file(folder, action) for action in actions), key=lambda f: (f.first_us or 0, f.path))),
            table=table,
        )


def ensure(folder: Place, schema: pa.Schema) -> None:
    """Create the table, or add the columns that it lacks (as nullable ones).

    Raises:
        ConfigError: a column exists with another type.
    """
    with _engine_errors(f"create or extend the table {folder.name!r}", folder), folder.durable_log():
        if not folder.has_table():
            with suppress(DeltaError):  # another process makes it at this moment; if not, opening it says why
                DeltaTable.create(folder.uri, schema, configuration=CONFIGURATION, storage_options=folder.options)
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
            try:
                table.alter.add_columns(DeltaSchema.from_arrow(missing).fields)
            except DeltaError:
                if not {*missing.names} <= {
                    *pa.schema(_open(folder).schema()).names
                }:  # nobody else added them meanwhile
                    raise


def append(folder: Place, found: Snapshot, rows: pa.Table, seq: int) -> None:
    """Add rows as one file and one commit; on return it is on disk.

    Raises:
        OvertakenError: somebody else added or replaced rows since the table was looked at.
    """
    _publish(folder, found, [rows], [], seq=seq)


def replace(folder: Place, found: Snapshot, rows: pa.Table, paths: set[str], drop: pa.Array, seq: int) -> None:
    """Add rows and take others out, in one commit: those of the files `paths` whose ``id_hash`` is in `drop`.

    Raises:
        OvertakenError: somebody else changed one of these files, or added or replaced rows, since the table was looked at.
    """
    files = [f for f in found.files if f.path in paths]
    with _engine_errors(f"replace rows of the table {folder.name!r}", folder):
        kept = [_dataset(folder, [f], found.schema).to_table(filter=~pc.field("id_hash").isin(drop)) for f in files]
    _publish(folder, found, [rows, *kept], files, seq=seq)


def adopt(folder: Place, names: Sequence[str], seq: int) -> None:
    """List files that somebody put into the folder of an empty table, in one commit.

    Args:
        folder: of the table.
        names: of Parquet files that another table of the same columns has listed; they are stored.
        seq: the highest one that was ever used in that table.
    """
    found = snapshot(folder)
    if found is None or found.files:
        raise StoreError(f"the table {folder.name!r} is not an empty one, and no files were added to it")
    with _engine_errors(f"add files to the table {folder.name!r}", folder), folder.durable_log():
        now_ms = time.time_ns() // 1_000_000
        actions = []
        for name in names:
            columns = pq.read_table(folder.here / name, columns=["time_us", "seq"])
            actions.append(_added(folder.here / name, columns, now_ms, data_change=True))
        found.table.create_write_transaction(
            actions,
            "append",
            found.table.schema(),
            commit_properties=CommitProperties(app_transactions=[Transaction(SEQ, seq)]),
            post_commithook_properties=NO_HOOKS,
        )


def compact(folder: Place) -> int:
    """Merge small files that are neighbours in time, and let removed files go after a day; returns files merged.

    Files that others change meanwhile stay as they are. A crash leaves at most a file that no version lists.
    """
    merged = 0
    first = snapshot(folder)
    for group in _neighbours([f for f in first.files if f.small]) if first else []:
        found = snapshot(folder)
        if found is None or not {f.path for f in group} <= {f.path for f in found.files}:
            continue
        with _engine_errors(f"compact the table {folder.name!r}", folder):
            rows = _dataset(folder, group, found.schema).to_table().sort_by("time_us")
        with suppress(OvertakenError):
            _publish(folder, found, [rows], group, same_rows=True)
            merged += len(group)
    if merged:
        vacuum(folder)
    return merged


def rewrite(folder: Place, drop: pc.Expression, keep: pc.Expression, *, before_us: int = 2**63) -> int:
    """Take rows out of the table, file by file, also out of files that come meanwhile; returns how many.

    `keep` must be the complement of `drop`, nulls included. Each file is one commit: after a crash, call again. Files whose rows
    all have a time of `before_us` or later have none to drop, and are not looked into.
    """
    dropped = 0
    clean: set[str] = set()
    while found := snapshot(folder):
        doubtful = (f for f in found.files if f.path not in clean and f.overlaps(-(2**63), before_us))
        hit = next((f for f in doubtful if not _clean(folder, found, f, drop, clean)), None)
        if hit is None:
            break
        with _engine_errors(f"remove rows from the table {folder.name!r}", folder):
            data = _dataset(folder, [hit], found.schema)
            rows, count = data.to_table(filter=keep), data.count_rows()
        with suppress(OvertakenError):
            _publish(folder, found, [rows], [hit])
            dropped += count - rows.num_rows
    return dropped


def _clean(folder: Place, found: Snapshot, file: File, drop: pc.Expression, clean: set[str]) -> bool:
    """Whether no row of a file is to be dropped; then the file is noted, as files never change."""
    with _engine_errors(f"remove rows from the table {folder.name!r}", folder):
        if _dataset(folder, [file], found.schema).count_rows(filter=drop):
            return False
    clean.add(file.path)
    return True


def rows_with(
    folder: Place, found: Snapshot, files: Sequence[File], hashes: pa.Array, columns: tuple[str, ...] | None = None
) -> pa.Table:
    """The rows of these files with one of these values of ``id_hash``, all columns unless given, and each row's ``path``."""
    names = columns or tuple(found.schema.names)
    if not files:
        return pa.schema([*(found.schema.field(n) for n in names), ("path", pa.string())]).empty_table()
    with _engine_errors("look for ids that are already in the table", folder):
        wanted = pc.field("id_hash").isin(hashes)
        # first by the one column: all others are read of all rows before the filter is asked, and most files have none
        hits = _dataset(folder, files, found.schema).to_table(columns=["__filename"], filter=wanted)
        paths = set(pc.unique(hits["__filename"]).to_pylist())
        with_hits = [file for file in files if file.path in paths]
        if not with_hits:
            return rows_with(folder, found, [], hashes, columns)
        rows = _dataset(folder, with_hits, found.schema).to_table(columns=[*names, "__filename"], filter=wanted)
        return rows.rename_columns([*names, "path"])


def vacuum(folder: Place, *, at_once: bool = False) -> None:
    """Delete files that no version of the last day lists, and those that a crash left without a commit a day ago; copies too.

    Args:
        folder: of the table.
        at_once: delete what the newest version does not list any more; not what no version ever listed, as somebody may be
            about to commit it.
    """
    with _engine_errors(f"clean the table {folder.name!r}", folder), folder.durable_log():
        for hours, full in ((KEEP_FILES_HOURS, True), *(((0, False),) if at_once else ())):
            gone = _open(folder).vacuum(
                hours,
                dry_run=False,
                enforce_retention_duration=False,
                full=full,
                post_commithook_properties=NO_HOOKS,
            )
            folder.let_go(gone)


def heal(folder: Place) -> None:
    """Remove the torn end that a power cut may have left in the log, where no fsync had been reached.

    What is torn is looked at again for `TORN_S`: on a shared file system an entry that another machine is writing at this moment
    may look empty or short for a while.

    Nothing acknowledged is lost: the journal keeps its rows until the log entry is on disk, and the log keeps its entries
    until the checkpoint is. In a bucket nothing is torn.
    """
    if isinstance(folder, Bucket):
        return
    log = folder.here / "_delta_log"
    with disk_errors(f"repair the log of the table {folder.name!r}"):
        for entry in (*sorted(log.glob("*.json"))[-1:], *log.glob("_last_checkpoint")):
            if _torn(entry, _whole):
                entry.unlink(missing_ok=True)
        for checkpoint in sorted(log.glob("*.checkpoint*.parquet"))[-1:]:
            if _torn(checkpoint, _whole_parquet):
                (log / "_last_checkpoint").unlink(missing_ok=True)
                checkpoint.unlink(missing_ok=True)


def prove(folder: Place) -> None:
    """Make sure that of two who write the same entry of a log there one is refused: every commit rests on that.

    Several commit to a table of their own at the same time: none may be lost.

    Raises:
        ConfigError: some are.
        StoreError: it cannot be tried.
    """
    trial = folder.sub(f"andon-check-{uuid4().hex}")
    with _engine_errors(f"try whether {folder} refuses to replace a file", trial), trial.durable_log():
        DeltaTable.create(trial.uri, pa.schema([("x", pa.int64())]), storage_options=trial.options)
        try:
            tables = [trial.table() for _ in range(RIVALS)]
            with ThreadPoolExecutor(RIVALS) as pool:
                list(pool.map(_commit_nothing, tables, range(RIVALS)))
            version = trial.table().version()
        finally:
            trial.sub("_delta_log").remove([f"{version:020}.json" for version in range(RIVALS + 1)])
    if version != RIVALS:
        raise ConfigError(
            f"{folder} does not refuse to replace a file that is there (a put with If-None-Match): rows would be lost. Take a "
            "store that does, such as Amazon S3, MinIO, R2, Google Cloud Storage or Azure"
        )


def _commit_nothing(table: DeltaTable, number: int) -> None:
    """One commit that conflicts with no other."""
    table.create_write_transaction(
        [],
        "append",
        table.schema(),
        commit_properties=CommitProperties(
            app_transactions=[Transaction(f"andon-check-{number}", 1)], max_commit_retries=100
        ),
        post_commithook_properties=NO_HOOKS,
    )


def kept_type(kind: pa.DataType) -> pa.DataType:
    """The type as a table will give it back.

    Raises:
        StoreError: Delta Lake has no such type.
    """
    with _engine_errors(f"keep a column of type {kind}"):
        return pa.schema(DeltaSchema.from_arrow(pa.schema([("column", kind)]))).field(0).type


def _open(folder: Place) -> DeltaTable:
    table = folder.table()
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
    folder: Place,
    found: Snapshot,
    parts: list[pa.Table],
    remove: list[File],
    *,
    seq: int | None = None,
    same_rows: bool = False,
) -> None:
    """One commit that adds each part as a file and removes others: bytes first, then the log entry, each fsynced.

    Two commits with a seq exclude each other, and so do two that remove files; all others may be made side by side.
    """
    with _engine_errors(f"write the table {folder.name!r}", folder):
        now_ms = time.time_ns() // 1_000_000
        added = [_write(folder, rows, now_ms, data_change=not same_rows) for rows in parts if rows.num_rows]
        removed = [RemoveAction(Path(f.path).name, not same_rows, now_ms) for f in remove]
        marks = [] if seq is None else [Transaction(SEQ, seq)]
        marks += (
            [Transaction(REMOVED, found.version + 1)] if remove else []
        )  # delta-rs compares no files that are merged
        try:
            with folder.durable_log():
                found.table.create_write_transaction(
                    [*added, *removed],
                    "append",
                    found.table.schema(),
                    commit_properties=CommitProperties(app_transactions=marks),
                    post_commithook_properties=NO_HOOKS,
                )
        except DeltaError as error:
            folder.take_back({action.path for action in added}, found.version)
            if isinstance(error, CommitFailedError):
                raise OvertakenError(
                    f"the table {folder.name!r} was changed meanwhile: {error}", retryable=True
                ) from error
            raise
        if folder.newest(found.version) // CHECKPOINT_EVERY > found.version // CHECKPOINT_EVERY:
            with folder.durable_log():
                table = _open(folder)
                table.create_checkpoint()
            table.cleanup_metadata()


def _write(folder: Place, rows: pa.Table, now_ms: int, *, data_change: bool) -> AddAction:
    path = folder.here / f"part-{uuid4().hex}.parquet"
    try:
        with disk_errors(f"write the table {folder.name!r}"):  # of a bucket too: what is full is this machine's disk
            make_folder(folder.here)
            pq.write_table(rows, path, compression="zstd", row_group_size=ROW_GROUP, bloom_filter_options=_blooms(rows))
        folder.store(path.name)
    except (OSError, StoreError):
        path.unlink(missing_ok=True)  # a full disk should get its space back
        raise
    return _added(path, rows, now_ms, data_change=data_change)


def _added(path: Path, rows: pa.Table, now_ms: int, *, data_change: bool) -> AddAction:
    """What the log says of a file with these times and seqs."""
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


def _file(folder: Place, action: dict[str, object]) -> File:
    def number(name: str) -> int | None:
        value = action.get(name)
        return value if isinstance(value, int) else None

    return File(
        path=str(folder.here / str(action["path"])),
        rows=number("num_records") or 0,
        bytes=number("size_bytes") or 0,
        first_us=number("min.time_us"),
        last_us=number("max.time_us"),
        last_seq=number("max.seq"),
    )


def _dataset(folder: Place, files: Sequence[File], schema: pa.Schema) -> ds.Dataset:
    folder.fetch(f.path for f in files)
    return ds.dataset([f.path for f in files], schema=schema, format="parquet")


def _torn(file: Path, whole: Callable[[Path], bool]) -> bool:
    """Whether a file stays torn for as long as somebody could be writing it."""
    end = time.monotonic() + TORN_S
    while file.exists() and not whole(file):
        if time.monotonic() > end:
            return True
        time.sleep(TORN_S / 10)
    return False


def _whole_parquet(file: Path) -> bool:
    try:
        pq.read_metadata(file)
    except (pa.ArrowException, OSError):
        return False
    return True


def _whole(entry: Path) -> bool:
    try:
        return all(json.loads(line) for line in entry.read_text().splitlines()) and entry.stat().st_size > 0
    except ValueError:
        return False


@contextmanager
def _engine_errors(doing: str, folder: Place | None = None) -> Iterator[None]:
    with folder.errors(doing) if folder is not None else nullcontext():
        try:
            yield
        except (DeltaError, pa.ArrowException) as error:
            raise StoreError(f"cannot {doing}: {said(error)}", retryable=isinstance(error, DeltaError)) from error
        except Exception as error:
            if type(error) is not Exception:
                raise
            reason = said(error).partition(" | ")[0]  # delta-rs also raises bare exceptions, with a stack of its own
            raise StoreError(f"cannot {doing}: {reason}") from error
