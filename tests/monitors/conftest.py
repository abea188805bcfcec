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
        filled = [{n: r.get(n) for n in SCHEMA.names} for part in parts for r in part]
        warehouse.append("scores", pa.Table.from_pylist(filled, schema=SCHEMA))
        warehouse.commit()
        return warehouse, Ledger("sqlite://")

    yield make
    for warehouse in opened:
        warehouse.close()
