"""Fixtures: a receiver of what is sent, and a store with a table of scores."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from receivers import Receiver, receiving

from andon.scores import score_schema
from andon.scores.builtin import SCORERS
from andon.store import Ledger, Warehouse


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that listens."""
    with receiving() as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[Warehouse, Ledger]]:
    """A store whose table of scores is empty, and a ledger."""
    warehouse = Warehouse(tmp_path, {"scores": score_schema(SCORERS)})
    ledger = Ledger.open(tmp_path / "ledger.db")
    yield warehouse, ledger
    warehouse.close()
    ledger.close()
