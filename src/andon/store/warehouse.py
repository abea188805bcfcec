"""The Warehouse: rows in by the million, answers out by plan."""

import random
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from andon.errors import ConfigError, InputError, StoreError
from andon.store import table as delta
from andon.store.disk import disk_errors, make_folder, sync_path
from andon.store.duck import Duck
from andon.store.engine import Engine
from andon.store.journal import Claim, Journal
from andon.store.place import Bucket, Place, at
from andon.store.plan import Lookup, Plan, Span, Where
from andon.store.rows import (
    DAY_US,
    REPEATED,
    REPLACES_EVER,
    SAME_TIME,
    changed,
    check_schema,
    conform,
    first_of_each,
    fits,
    last_of_each,
    stamp,
    stored_schema,
)

__all__ = ["Committed", "Warehouse"]

RECORD_ROWS = 50_000
"""Most rows of one journal record."""

BATCH_BYTES = 128 * 2**20
"""Most journal bytes that one commit holds in memory."""

LARGE_ROWS = 20_000_000
"""Rows in the files of a plan at which a cluster answers it: DuckDB takes 1 to 5 s for so many on two cores, by their groups and
measures, and up to 4 GB; a cluster takes 0.04 s for each file on top of the work, and 5 to 15 s to begin its first plan."""

CLUSTER_TRIES = 3
"""How often a plan is put to the cluster: one that loses a machine fails, and another may be lost while the first is missed."""

TRIES = 50
"""How often rows are tried to be committed where other processes are faster, before they are left in the journal for a while."""

DERIVED_TRIES = 8
"""How often rows are derived that somebody else writes at the same time."""

COMPACT_FILES = 200
"""Small files of a table at which `tidy` compacts it: 800 of them make queries eight times slower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What one `commit` moved from the journal into the tables: rows by table."""

    added: Mapping[str, int]
    duplicates: Mapping[str, int]
    """Rows dropped because their id was there before."""
    waiting: Mapping[str, int]
    """Rows that stay in the journal, because a newer Andon wrote them with a table or column unknown to this one."""
    replaced: Mapping[str, int] = field(default_factory=dict)
    """Rows that took the place of an earlier one with their id; they are not among `added`."""


class Warehouse:
    """Tables of rows that came in from outside: append, commit, ask.

    `append` is durable when it returns; `commit` makes rows visible. Rows are told apart by id: the first one stays, and
    any later one with the same id on the same or a neighbouring day is dropped, so whatever is sent, imported or
    recovered twice is there once. In a table whose schema says so (`andon.store.REPEATED`), a later row that says
    something else takes the place of the earlier one instead. Any number of threads and processes of one machine may use
    the same folder; one may append and seal while another commits.
    """

    def __init__(
        self,
        root: Path | Place,
        schemas: Mapping[str, pa.Schema],
        engine: Engine | None = None,
        *,
        home: Path | None = None,
        cluster: Engine | None = None,
    ) -> None:
        """Open the folder `root`, creating what is missing and repairing what a power cut tore.

        Args:
            root: a folder that all replicas see, where fsync must work, or a bucket, with a folder of this machine for copies.
            schemas: columns by table; each needs ``id`` (string) and ``time_us`` (int64), ``weight`` (float64) is optional.
            engine: answers plans; DuckDB when not given.
            home: a folder of this machine alone, for the journal; locks and fsync must work there. `root` when not given, which
                is no bucket then.
            cluster: answers plans over `LARGE_ROWS` and more in place of `engine`, which then answers none of them, not even
                while the cluster is gone: such a plan could take the memory that taking in traffic needs.

        Raises:
            ConfigError: a schema or folder cannot be used, or a column's type is not the one on disk.
            StoreError: the folder cannot be written, or a table has features that Andon cannot read.
        """
        self._place = at(root)
        if not isinstance(self._place, Bucket) and "%" in str(self._place.here.absolute()):
            raise ConfigError(
                f"the folder {root} has a % in its path, which delta-rs cannot write to; take another name"
            )
        home = self._place.here if home is None else home.absolute()  # as a place is, and for the same reason
        for name, schema in schemas.items():
            check_schema(name, schema)
        self._incoming = dict(schemas)
        self._schemas = {name: stored_schema(schema) for name, schema in schemas.items()}
        self._read: dict[str, delta.Snapshot] = {}  # by table, as of the newest version in its log
        self._reading = threading.Lock()
        self._turn = threading.RLock()
        """Held while this process commits: its threads would only overtake each other."""
        with disk_errors("create the store"):
            make_folder(self._place.sub("schemas").here)
        if isinstance(self._place, Bucket) and not all(self.folder(name).has_table() for name in schemas):
            delta.prove(self._place)
        for name, schema in self._schemas.items():
            delta.heal(self.folder(name))
            delta.ensure(self.folder(name), schema)
        self._blanks = {name: self._blank(name, schema) for name, schema in self._schemas.items()}
        self._journal = Journal(home / "journal")
        self._engine = engine or Duck(spill=home / "spill")
        self._cluster = cluster

    @property
    def place(self) -> Place:
        """Where the store is; what is derived from its tables may be kept beside them."""
        return self._place

    def folder(self, table: str) -> Place:
        """Where the Delta table of this name is."""
        return self._place.sub("tables").sub(table)

    def append(self, table: str, rows: pa.Table) -> int:
        """Take rows in: on return they are on disk, and the next `commit` makes them visible. Returns their number.

        Raises:
            InputError: unknown table or column, no id or time, or a value of the wrong type; nothing was taken.
            StoreError: the disk refused (retryable; sending again is safe).
        """
        self._known(table)
        ready = conform(table, rows, self._incoming[table])
        for start in range(0, ready.num_rows, RECORD_ROWS):
            self._journal.append(table, ready.slice(start, RECORD_ROWS))
        return int(ready.num_rows)

    def derive(
        self, table: str, make: Callable[[Collection[str] | None], pa.Table], *, source: str | None = None
    ) -> tuple[int, int]:
        """Commit rows that are derived of what is committed; returns how many are new, and how many replaced an earlier one.

        They do not go through the journal: whoever dies has it done again from what is committed, and nothing of it lies on a
        machine that comes back when another one has derived more. A row that somebody wrote meanwhile is not replaced by what was
        known before: it is derived again.

        Args:
            table: its name.
            make: reads, and gives the rows. It is asked again for those that were overtaken, whose ids it is given then.
            source: column that says of what a row was derived: what was derived of the same is replaced also where its time is later.

        Raises:
            InputError: unknown table or column, no id or time, or a value of the wrong type; nothing was taken.
            StoreError: the store refused (retryable); what was written is written again as it is.
        """
        self._known(table)
        new, replaced, again = 0, 0, None
        for _ in range(DERIVED_TRIES):
            seen = self.newest(table)
            rows = make(again)
            if not rows.num_rows:
                return new, replaced
            with self._turn:
                taken, instead, again = self._store(table, conform(table, rows, self._incoming[table]), seen, source)
            new, replaced = new + taken - instead, replaced + instead
            if not again:
                return new, replaced
        raise StoreError(
            f"rows of the table {table!r} are written by somebody else whenever they were derived ({min(again or ())!r} and "
            f"{len(again or ()) - 1} more); nothing is lost: the loop derives them again at its next turn, a command has to be "
            "given again. Does a client send interactions with the ids of traces?",
            retryable=True,
        )

    def commit(self) -> Committed:
        """Move the journal into the tables, as one commit per table.

        Covers this process's rows and those of processes that died. A crash at any point is repaired by the next call.

        Raises:
            StoreError: the rows stay in the journal.
        """
        added, duplicates, replaced, waiting = (defaultdict[str, int](int) for _ in range(4))
        with self._turn, self._journal.claimed() as claims:
            for batch in _batches(claims):
                ready: dict[str, list[pa.Table]] = defaultdict(list)
                done = [claim for claim in batch if self._unpack(claim, ready, waiting)]
                for name, parts in ready.items():
                    rows = pa.concat_tables(parts)
                    taken, instead, _ = self._store(name, rows)
                    added[name] += taken - instead
                    replaced[name] += instead
                    duplicates[name] += rows.num_rows - taken
                with disk_errors("empty the journal"):
                    for claim in done:
                        claim.delete()
        return Committed(
            added=MappingProxyType(dict(added)),
            duplicates=MappingProxyType(dict(duplicates)),
            replaced=MappingProxyType({name: n for name, n in replaced.items() if n}),
            waiting=MappingProxyType(dict(waiting)),
        )

    def run(self, plan: Plan) -> pa.Table:
        """Answer a plan from what is committed.

        Raises:
            InputError: unknown table or column, or a value of the wrong type.
            StoreError: the engine failed twice, or the cluster `CLUSTER_TRIES` times; plans are read-only, so a failed one is
                repeated, over the files that are there by then.
        """
        self._known(plan.table)
        for tried in count(1):
            engine, tries = self._engine, 2
            try:
                if self._cluster is not None and self._is_large(plan):
                    engine, tries = self._cluster, CLUSTER_TRIES
                return engine.run(plan, self._files(plan, here=engine is self._engine), self._schemas[plan.table])
            except StoreError as error:
                self._read.pop(plan.table, None)
                if not error.retryable or tried >= tries:
                    raise StoreError(f"{error} (attempt {tried})", retryable=error.retryable) from error
        raise AssertionError

    def _is_large(self, plan: Plan) -> bool:
        """Whether a plan has to go through so many rows; a look-up does not, it reads what the files' Bloom filters leave."""
        if isinstance(plan, Lookup):
            return False
        return sum(file.rows for file in self._holding(plan)) >= LARGE_ROWS

    def newest(self, table: str) -> int:
        """The highest seq of a table: rows of later commits have a greater one; 0 before the first commit."""
        self._known(table)
        return self._snapshot(table).seq

    def extent(self, table: str) -> Span | None:
        """From the first to the last row of a table, as far as its files tell; None while it is empty."""
        self._known(table)
        files = [f for f in self._snapshot(table).files if f.rows and f.first_us is not None and f.last_us is not None]
        if not files:
            return None
        return Span(start_us=min(f.first_us or 0 for f in files), end_us=max(f.last_us or 0 for f in files) + 1)

    def back_to(self, table: str, before_us: int, rows: int) -> int | None:
        """The time from which on about so many rows of a table lie before `before_us`; None when none does.

        Where fewer do, that of the first row. By what is known of the files, without reading one: for readers who go back in
        time step by step, whatever the pace of the rows.
        """
        self._known(table)
        files = [f for f in self._snapshot(table).files if f.rows and f.overlaps(-(2**63), before_us)]
        files = [f for f in files if (f.first_us or 0) < before_us]
        if not files:
            return None
        first = np.array([f.first_us or 0 for f in files])
        end = np.array([before_us if f.last_us is None else f.last_us + 1 for f in files])
        each = np.array([f.rows for f in files]) / np.maximum(end - first, 1)
        upto = np.minimum(end, before_us)
        low, high = int(first.min()), before_us  # as many rows lie after `low` as there are, after `high` none
        while high - low > 1:
            middle = (low + high) // 2
            enough = float((np.maximum(upto - np.maximum(first, middle), 0) * each).sum()) >= rows
            low, high = (middle, high) if enough else (low, middle)
        return low

    def tables(self) -> tuple[str, ...]:
        """Names of the tables, sorted."""
        return tuple(sorted(self._schemas))

    def schema(self, table: str) -> pa.Schema:
        """Columns of a table as plans see them, with ``id_hash``, ``day`` and ``seq``."""
        self._known(table)
        return self._schemas[table]

    def tidy(self) -> int:
        """Merge the small files of each table that has many of them, as somebody should do now and then; returns how many.

        Copies of files that no table lists any more go. Beside it rows are taken in, committed and asked for.

        Raises:
            StoreError: the disk refused; the tables are as they were.
        """
        merged = 0
        for name in self.tables():
            found = self._snapshot(name)
            self._keep_only(name, found)
            if sum(f.small for f in found.files) >= COMPACT_FILES:
                merged += self.compact(name)
        return merged

    def compact(self, table: str) -> int:
        """Merge small files now; returns how many were merged. `tidy` does it where there are 200 of them."""
        self._known(table)
        return delta.compact(self.folder(table))

    def expire(self, table: str, *, before_us: int) -> int:
        """Forget rows from before this event time; returns how many.

        Their files go with the first call that comes a day later, and so do files that a crash or a refused commit left.
        """
        self._known(table)
        folder, time_us = self.folder(table), pc.field("time_us")
        expired = delta.rewrite(folder, time_us < before_us, time_us >= before_us, before_us=before_us)
        delta.vacuum(folder)
        return expired

    def erase(self, table: str, column: str, values: str | Collection[str]) -> int:
        """Remove every row with this value, or with one of these, from the disk too, and return how many.

        Rows that another living process has not sealed yet are not reached: erase again after its next commit.

        Raises:
            InputError: the column is unknown or is not text.
        """
        self._known(table)
        schema = self._schemas[table]
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        if column not in texts:
            raise InputError(f"table {table!r} has no text column {column!r} to erase by; it has {', '.join(texts)}")
        values = (values,) if isinstance(values, str) else values
        self.commit()
        hit = pc.field(column).isin(pa.array(sorted(values), pa.string()))
        erased = delta.rewrite(self.folder(table), hit, ~hit | pc.field(column).is_null())
        delta.vacuum(self.folder(table), at_once=True)
        return erased

    def seal(self) -> None:
        """Let other processes commit what this one has appended so far; for a process that does not commit by itself."""
        self._journal.close()

    def uncommitted_bytes(self) -> int:
        """Size of what waits in the journal, of all processes."""
        return self._journal.size()

    def close(self) -> None:
        """Close the journal; rows that were not committed stay in it for whoever commits next."""
        self._journal.close()

    def _unpack(self, claim: Claim, ready: dict[str, list[pa.Table]], waiting: dict[str, int]) -> bool:
        """Sort a claim's rows by table; False, and nothing is taken, if some of them are unknown to this version."""
        with disk_errors("read the journal"):
            records = list(claim.records())
        strange = [(n, r) for n, r in records if n not in self._incoming or not fits(r, self._incoming[n])]
        if strange:
            for name, rows in strange:
                waiting[name] += rows.num_rows
            return False
        for name, rows in records:
            ready[name].append(conform(name, rows, self._incoming[name]))
        return True

    def _store(
        self, name: str, rows: pa.Table, seen: int | None = None, source: str | None = None
    ) -> tuple[int, int, frozenset[str]]:
        """Commit new rows to one table; returns how many were taken, how many of them replaced an earlier one, and who was overtaken.

        Decided anew where another process was faster: what it wrote may be the same rows.
        """
        for tried in count():
            try:
                return self._store_once(name, rows, seen, source)
            except delta.OvertakenError:
                if tried == TRIES:
                    raise
                time.sleep(random.uniform(0, 0.01 * 2 ** min(tried, 6)))  # noqa: S311 - so that two do not meet for ever
        raise AssertionError

    def _store_once(
        self, name: str, rows: pa.Table, seen: int | None, source: str | None
    ) -> tuple[int, int, frozenset[str]]:
        folder, found = self.folder(name), self._snapshot(name)
        stamped = stamp(rows, found.seq + 1)
        hashes = stamped["id_hash"].combine_chunks()
        mode = (self._incoming[name].metadata or {}).get(REPEATED)
        files = _where_they_may_be(found.files, stamped["time_us"].to_numpy(), mode)
        if mode in (None, SAME_TIME):
            known: dict[int, list[int]] = defaultdict(list)
            hits = delta.rows_with(folder, found, files, hashes, ("id_hash", "day"))
            for hashed, day in zip(hits["id_hash"].to_pylist(), hits["day"].to_pylist(), strict=True):
                known[hashed].append(day)
            fresh, old, overtaken = first_of_each(stamped, known), hits.slice(0, 0), frozenset[str]()
        else:
            hits = delta.rows_with(folder, found, files, hashes)
            fresh, old, overtaken = changed(last_of_each(stamped), hits, seen, source)
        if old.num_rows:
            paths = set(old["path"].to_pylist())
            delta.replace(
                folder, found, fresh.sort_by("time_us"), paths, old["id_hash"].combine_chunks(), found.seq + 1
            )
        elif fresh.num_rows:
            delta.append(folder, found, fresh.sort_by("time_us"), found.seq + 1)
        return fresh.num_rows, old.num_rows, overtaken

    def _files(self, plan: Plan, *, here: bool) -> list[str]:
        """The files that a plan has to read: on this machine, or where others find them."""
        folder, paths = self.folder(plan.table), [file.path for file in self._holding(plan)]
        blank = [self._blanks[plan.table]]
        if here:
            self._place.sub("schemas").fetch(blank)
            folder.fetch(paths)
            return blank + paths
        return self._place.addresses(blank) + folder.addresses(paths)

    def _holding(self, plan: Plan) -> list[delta.File]:
        """The files in which a row that a plan asks for may be: by time, and for whoever reads on from a commit by seq."""
        within = plan.span or Span(start_us=-(2**63), end_us=2**63)
        wheres: tuple[Where, ...] = getattr(plan, "where", ())
        first_seq = max(
            (w.value for w in wheres if w.column == "seq" and w.op == "ge" and isinstance(w.value, int)),
            default=-(2**63),
        )
        return [
            f for f in self._snapshot(plan.table).files
            if f.overlaps(within.start_us, within.end_us) and (f.last_seq is None or f.last_seq >= first_seq)
        ]  # fmt: skip

    def _snapshot(self, name: str) -> delta.Snapshot:
        """The newest version of a table; the one that was read last, as long as no later one is in its log.

        A version is never followed by an earlier one, however long a thread takes to read it: whoever has asked for the last
        commit, and then asks for the rows up to it, would take those for read that an earlier version does not have.
        """
        read, folder = self._read.get(name), self.folder(name)
        if read is not None and read.version == folder.newest(read.version):
            return read
        found = delta.snapshot(folder)
        if found is None:
            raise StoreError(f"the folder of table {name!r} ({folder}) is gone; restore it and start again")
        with self._reading:
            now = self._read.get(name)
            if now is not None and now is not read and now.version > found.version:  # another thread was faster
                return now
            self._read[name] = found
        self._keep_only(name, found)
        return found

    def _keep_only(self, name: str, found: delta.Snapshot) -> None:
        """Let copies go of files of a table that it does not list any more."""
        self.folder(name).keep_only({Path(file.path).name for file in found.files})

    def _blank(self, name: str, schema: pa.Schema) -> str:
        """A file with all columns and no rows: engines learn columns from it that older data files lack."""
        mark = blake2b(schema.serialize().to_pybytes(), digest_size=8).hexdigest()
        folder = self._place.sub("schemas")
        path = folder.here / f"{name}-{mark}.parquet"
        if folder.stamp(path.name) is None:
            with disk_errors("write the schema of a table"):
                draft = path.with_suffix(f".{secrets.token_hex(8)}.draft")  # in containers all have one process number
                pq.write_table(schema.empty_table(), draft)
                sync_path(draft)
                draft.rename(path)
                folder.store(path.name)
        return str(path)

    def _known(self, table: str) -> None:
        if table not in self._schemas:
            raise InputError(f"there is no table {table!r}; the tables are {', '.join(self.tables())}")


def _where_they_may_be(
    files: Sequence[delta.File], times_us: NDArray[np.int64], mode: bytes | None
) -> list[delta.File]:
    """The files in which a row with one of the ids of new rows, which have these times, may be."""
    if mode == REPLACES_EVER:
        return list(files)
    if mode == SAME_TIME:
        times = np.sort(times_us)
        return [
            f for f in files if f.last_us is None or f.first_us is None or _any_within(times, f.first_us, f.last_us)
        ]
    days = times_us // DAY_US
    start_us, end_us = (int(days.min()) - 1) * DAY_US, (int(days.max()) + 2) * DAY_US
    return [f for f in files if f.overlaps(start_us, end_us)]


def _any_within(times: NDArray[np.int64], first: int, last: int) -> bool:
    at = int(np.searchsorted(times, first))
    return at < len(times) and int(times[at]) <= last


def _batches(claims: list[Claim]) -> Iterator[list[Claim]]:
    """Claims in groups that fit into memory, in order."""
    batch: list[Claim] = []
    for claim in claims:
        if batch and sum(c.size for c in batch) + claim.size > BATCH_BYTES:
            yield batch
            batch = []
        batch.append(claim)
    yield batch
