"""What is not ours: foreign exceptions are mapped, and tables that another program changed are refused."""

from collections.abc import Callable
from pathlib import Path

import deltalake.exceptions
import duckdb
import pyarrow as pa
import pytest
import sqlalchemy.exc
from deltalake import DeltaTable, TableFeatures, write_deltalake

from andon.errors import StoreError
from andon.store import Place, Slice, Warehouse, duck, ledger
from andon.store import table as delta

SCHEMA = pa.schema([("id", pa.string()), ("time_us", pa.int64())])


def filled(root: Path) -> Warehouse:
    """A warehouse with one row."""
    store = Warehouse(root, {"turns": SCHEMA})
    store.append("turns", pa.table({"id": ["a"], "time_us": [1]}))
    store.commit()
    return store


def subclasses(kind: type[BaseException]) -> list[type[BaseException]]:
    """A class and everything below it."""
    return [kind, *(sub for one in kind.__subclasses__() for sub in subclasses(one))]


DELTA = [getattr(deltalake.exceptions, name) for name in deltalake.exceptions.__all__]


@pytest.mark.parametrize(
    "kind", [*DELTA, *subclasses(pa.ArrowException), OSError, PermissionError, Exception], ids=lambda k: k.__name__
)
def test_what_delta_and_arrow_raise_is_a_store_error(kind: type[Exception]) -> None:
    """No exception of delta-rs, Arrow or the disk leaves the table module as it is."""
    with pytest.raises(StoreError, match="cannot read"), delta._engine_errors("read", Place(Path("x"))):
        raise kind("why")


@pytest.mark.parametrize("kind", subclasses(duckdb.Error), ids=lambda k: k.__name__)
def test_what_duckdb_raises_is_a_store_error(kind: type[Exception]) -> None:
    """No exception of DuckDB leaves the engine as it is; only a failed read may be repeated."""
    with pytest.raises(StoreError, match="why") as caught, duck._engine_errors():
        raise kind("why")
    assert caught.value.retryable == issubclass(kind, duckdb.IOException)


DATABASE = [sqlalchemy.exc.ArgumentError, sqlalchemy.exc.InvalidRequestError, sqlalchemy.exc.TimeoutError]


@pytest.mark.parametrize("kind", DATABASE)
def test_what_sqlalchemy_raises_is_a_store_error(kind: type[Exception]) -> None:
    """No exception of SQLAlchemy leaves the ledger as it is."""
    with pytest.raises(StoreError, match="why"), ledger.database_errors():
        raise kind("why")


def test_damaged_files_are_store_errors(tmp_path: Path) -> None:
    """A damaged data file, and a damaged log, are StoreErrors that name the table or the engine."""
    store = filled(tmp_path)
    (data,) = store.folder("turns").here.glob("*.parquet")
    data.write_bytes(b"PAR1 rubbish")
    with pytest.raises(StoreError, match="DuckDB"):
        store.run(Slice(table="turns", columns=("id",)))
    (store.folder("turns").here / "_delta_log" / "00000000000000000000.json").write_text("rubbish")
    with pytest.raises(StoreError, match="'turns'"):
        store.run(Slice(table="turns", columns=("id",)))


def deletion_vectors(path: str) -> None:
    """Let deletes hide rows in a side file."""
    DeltaTable(path).alter.add_feature(TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)


def column_mapping(path: str) -> None:
    """Let columns have other names in the files."""
    DeltaTable(path).alter.add_feature(TableFeatures.ColumnMapping, allow_protocol_versions_increase=True)


def partitions(path: str) -> None:
    """Put values into folder names."""
    rows = pa.table({"id": ["a"], "time_us": [1]})
    write_deltalake(path, rows, mode="overwrite", schema_mode="overwrite", partition_by=["id"])


@pytest.mark.parametrize("change", [deletion_vectors, column_mapping, partitions])
def test_tables_that_hide_rows_are_refused(tmp_path: Path, change: Callable[[str], None]) -> None:
    """Once another program has switched on what makes a list of files wrong, every use of the table says so."""
    store = filled(tmp_path)
    change(store.folder("turns").uri)
    with pytest.raises(StoreError, match=r"(deletionVectors|columnMapping|partition columns).*another program"):
        store.run(Slice(table="turns", columns=("id",)))
    store.append("turns", pa.table({"id": ["b"], "time_us": [1]}))
    with pytest.raises(StoreError, match="another program"):
        store.commit()
    with pytest.raises(StoreError, match="another program"):
        Warehouse(tmp_path, {"turns": SCHEMA})


def test_rows_that_another_program_wrote_are_read(tmp_path: Path) -> None:
    """A plain append by another writer is seen, with null in the columns that it does not know."""
    store = filled(tmp_path)
    theirs = pa.table({"id": ["theirs"], "time_us": [2]})
    write_deltalake(store.folder("turns").uri, theirs, mode="append", schema_mode="merge")
    got = store.run(Slice(table="turns", columns=("id", "seq"))).to_pylist()
    assert got == [{"id": "a", "seq": 1}, {"id": "theirs", "seq": None}]
    store.compact("turns")
    assert store.run(Slice(table="turns", columns=("id",)))["id"].to_pylist() == ["a", "theirs"]
