"""A real store that holds what a test says."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from watched import SCHEMA, Row, Store

from andon.store import Ledger, Warehouse


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens a store with such rows."""
    opened: list[Warehouse] = []

    def make(*parts: Sequence[Row]) -> Store:
        warehouse = Warehouse(tmp_path / str(len(opened)), {"scores": SCHEMA})
        opened.append(warehouse)
        given = [row for part in parts for row in part]
        named = set().union(*given)  # the store fills the other columns
        warehouse.append(
            "scores", pa.Table.from_pylist(given, schema=pa.schema([f for f in SCHEMA if f.name in named]))
        )
        warehouse.commit()
        return warehouse, Ledger("sqlite://")

    yield make
    for warehouse in opened:
        warehouse.close()
