"""A PostgreSQL that may not be written to, or in which nothing may be made: it is left, or it is said what to do."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from andon.cli.places import check_places
from andon.errors import StoreError
from andon.settings import Settings
from andon.store import Lease, Ledger
from andon.store.databases import disposing, engine_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    id: str


@pytest.fixture
def run(on_postgres: URL) -> Iterator[Any]:
    """A function that executes a statement as the superuser, who may always write."""
    with disposing(engine_of(on_postgres.update_query_dict({"target_session_attrs": "any"}))) as engine:

        def execute(statement: str) -> None:
            with engine.begin() as connection:
                connection.exec_driver_sql("SET LOCAL transaction_read_only = off")
                connection.exec_driver_sql(statement)

        yield execute


def test_a_server_that_may_not_write_is_not_taken(on_postgres: URL, run: Any) -> None:
    """A server that another one took over from is refused before anything is read from it, unless the URL says otherwise."""
    Ledger(on_postgres).close()
    run(f"ALTER DATABASE {on_postgres.database} SET default_transaction_read_only = on")
    with pytest.raises(StoreError, match="read-only") as caught:
        Ledger(on_postgres)
    assert caught.value.retryable
    with closing(Ledger(on_postgres.update_query_dict({"target_session_attrs": "any"}))) as reading:
        assert reading.all(Note) == []


def test_a_connection_that_may_not_write_any_more_is_left(on_postgres: URL) -> None:
    """Who finds a connection to a server that became one that only reads is refused, retryably, and the next call gets another one."""
    with closing(Ledger(on_postgres)) as ledger:
        lease = Lease(ledger, "loop", "me")
        assert lease.take()
        for engine in (ledger._engine, ledger._aside):
            with engine.begin() as connection:
                connection.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        for write in (lambda: ledger.put(Note(id="a"), now_us=1, by="ada"), lease.take):
            with pytest.raises(StoreError, match="read-only transaction") as caught:
                write()
            assert caught.value.retryable
            assert write()


@pytest.fixture
def guest(on_postgres: URL, run: Any) -> URL:
    """The database as somebody sees it who may make nothing there, as PostgreSQL 15 has it."""
    run(f'CREATE ROLE "Guest of {on_postgres.database}" LOGIN')
    run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    return on_postgres.set(username=f"Guest of {on_postgres.database}")


def check(url: URL, home: Path) -> tuple[list[str], list[str]]:
    """What is said of a ledger."""
    ledger = url.render_as_string(hide_password=False)
    return check_places(replace(Settings(home=home), ledger=ledger, channels=""))


def test_who_may_make_no_tables_is_told_before_the_first_start(guest: URL, run: Any, tmp_path: Path) -> None:
    """An empty database is a problem for a user who cannot make tables in it, and what is said to run solves it."""
    _, problems = check(guest, tmp_path)
    (said,) = [problem for problem in problems if problem.startswith("ledger")]
    assert "is empty, and" in said
    grant = said.rpartition(", run ")[2]
    assert grant == f'GRANT CREATE ON SCHEMA public TO "{guest.username}"'
    with pytest.raises(StoreError, match="permission denied"):
        Ledger(guest)
    run(grant)
    lines, problems = check(guest, tmp_path)
    assert problems == []
    assert any("empty: the first start makes its tables" in line for line in lines)
    Ledger(guest).close()
    lines, problems = check(guest, tmp_path)
    assert problems == []
    assert any("revision" in line for line in lines)


def test_who_has_no_schema_is_told(on_postgres: URL, run: Any, tmp_path: Path) -> None:
    """Where none of the schemas is there in which tables would be made, that is the problem."""
    run(f"ALTER DATABASE {on_postgres.database} SET search_path = nowhere")
    _, problems = check(on_postgres, tmp_path)
    assert any("search_path is nowhere" in problem and "CREATE SCHEMA" in problem for problem in problems)
