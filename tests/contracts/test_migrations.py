"""The tables of a ledger from one revision to another, both ways, on each database: every row stays, and it is done once."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ledger_process
import pytest
from sqlalchemy import URL, Connection, Engine, event, inspect

from andon.errors import ConfigError, InputError, StateError, StoreError
from andon.store import Ledger
from andon.store.databases import disposing, engine_of
from andon.store.migrations import HEAD, migrate
from andon.store.schema import METADATA

ENTRY = {"sqlite": "INTEGER NOT NULL", "postgresql": "BIGSERIAL NOT NULL"}
END = {"sqlite": "", "postgresql": ", PRIMARY KEY (entry)"}
FIRST = """CREATE TABLE versions (
    entry {entry}, kind VARCHAR(200) NOT NULL, id VARCHAR(1000) NOT NULL, version INTEGER NOT NULL, at_us BIGINT NOT NULL,
    author TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, id, version){end})"""
"""The table as the first Andon made it."""
TRAIL = "CREATE INDEX versions_trail ON versions (kind, entry, author, at_us, id, version)"
ROWS = [
    (n, "Thing", f"t{n % 3}", 1 + n // 3, 10 * n, "ada é", f'{{"count":{n},"id":"t{n % 3}"}}')
    for n in (*range(3, 9), 12)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    id: str
    count: int = 0


@contextmanager
def connected(place: URL) -> Iterator[Connection]:
    """A transaction of somebody who knows nothing of ledgers."""
    with disposing(engine_of(place)) as engine, engine.begin() as connection:
        yield connection


def make_early(place: URL, revision: int) -> None:
    """A ledger as an Andon made it that knew nothing of revisions."""
    with connected(place) as connection:
        name = connection.dialect.name
        entry = "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT" if name == "sqlite" else ENTRY[name]
        connection.exec_driver_sql(FIRST.format(entry=entry, end=END[name]))
        for row in ROWS:
            connection.exec_driver_sql(f"INSERT INTO versions VALUES {row!r}")
        if name == "postgresql":
            connection.exec_driver_sql("SELECT setval('versions_entry_seq', 12)")
        if revision == 2:
            connection.exec_driver_sql(TRAIL)


def rows_of(place: URL) -> list[tuple[Any, ...]]:
    """All that is kept of the versions."""
    with connected(place) as connection:
        return [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM versions ORDER BY entry")]


def schema_of(place: URL) -> dict[str, Any]:
    """All that the database says of its tables, with the types, collations and defaults as it names them."""
    with connected(place) as connection:
        there = inspect(connection)
        tables = "SELECT sql FROM sqlite_master" if connection.dialect.name == "sqlite" else "SELECT NULL"
        counts = {sql for sql in connection.exec_driver_sql(tables).scalars() if sql and "AUTOINCREMENT" in sql}
        return {
            table: {
                "columns": [
                    (
                        c["name"],
                        c["type"].compile(connection.dialect),
                        c["nullable"],
                        getattr(c["type"], "collation", None),
                    )
                    for c in there.get_columns(table)
                ],
                "key": there.get_pk_constraint(table)["constrained_columns"],
                "unique": [u["column_names"] for u in there.get_unique_constraints(table)],
                "counts": any(f"TABLE {table} " in sql for sql in counts),
                "indexes": sorted((i["name"], i["column_names"], bool(i["unique"])) for i in there.get_indexes(table)),
            }
            for table in there.get_table_names()
        }


@pytest.mark.parametrize("revision", [1, 2])
def test_an_earlier_ledger_is_brought_up_when_it_is_opened(place: URL, revision: int) -> None:
    """Every row of a ledger that was written before there were revisions is there after opening it, and its numbers go on."""
    make_early(place, revision)
    with closing(Ledger(place)) as ledger:
        assert ledger.get(Thing, "t0") == Thing(id="t0", count=12)
        assert [e.entry for e in ledger.trail(["Thing"])] == [12, 8, 7, 6, 5, 4, 3]
        assert rows_of(place) == ROWS
        ledger.put(Thing(id="t9"), now_us=1, by="ada")
        assert ledger.last_entry() == 13
    made = schema_of(place)
    assert set(made) == set(METADATA.tables)
    assert migrate(place).statements == []


@pytest.mark.parametrize("revision", [0, 1])
def test_many_processes_bring_it_up_once(place: URL, revision: int) -> None:
    """Processes that open an earlier ledger, or make a new one, at the same time all succeed, and each step is made once."""
    if revision:
        make_early(place, revision)
    command = [sys.executable, ledger_process.__file__, "open", place.render_as_string()]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [other.communicate()[0] for other in others]
    assert [other.returncode for other in others] == [0] * 3
    assert said == ["12\n" if revision else "0\n"] * 3
    assert rows_of(place) == (ROWS if revision else [])
    with connected(place) as connection:
        assert connection.exec_driver_sql("SELECT revision FROM ledger_state").all() == [(HEAD,)]


@pytest.mark.parametrize("round_", range(3))
def test_many_threads_make_it_once(place: URL, round_: int) -> None:
    """Those who make a ledger at the very same moment all have it, however they interleave."""
    barrier, errors = threading.Barrier(8), []

    def make() -> None:
        barrier.wait()
        try:
            Ledger(place).close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert migrate(place).statements == []


@pytest.mark.parametrize("revision", range(1, HEAD + 1))
def test_down_and_up_again_keeps_every_row(place: URL, revision: int) -> None:
    """Whatever revision a ledger is brought down to, its versions are the same there and afterwards, and so are its tables."""
    make_early(place, 2)
    Ledger(place).close()
    schema = schema_of(place)
    down = migrate(place, revision)
    assert (down.before, down.after) == (HEAD, revision)
    assert rows_of(place) == ROWS
    if revision < 3:
        assert set(schema_of(place)) == {"versions"}
        indexes = {name for name, *_ in schema_of(place)["versions"]["indexes"]}
        assert ("versions_trail" in indexes) == (revision == 2)
    up = migrate(place)
    assert (up.before, up.after) == (revision, HEAD)
    assert rows_of(place) == ROWS
    assert schema_of(place) == schema


def test_the_steps_make_the_tables_that_the_code_asks_for(
    place: URL, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """An empty database brought up step by step has the tables, types, keys, indexes and collations of the code's own description."""
    Ledger(place).close()
    made = schema_of(place)
    with connected(place) as connection:
        for table in METADATA.tables:
            connection.exec_driver_sql(f"DROP TABLE {table}")
    with connected(place) as connection:
        METADATA.create_all(connection)
    assert schema_of(place) == made
    if place.get_backend_name() == "postgresql":
        assert 'VARCHAR(1000) COLLATE "C"' in str(made)
    else:
        assert [table for table, of in made.items() if of["counts"]] == ["versions"]


def test_a_ledger_of_a_later_andon_is_refused(place: URL) -> None:
    """Opening what a later Andon made, or bringing it anywhere, is refused and says which one is needed; nothing is changed."""
    Ledger(place).close()
    with connected(place) as connection:
        connection.exec_driver_sql(f"UPDATE ledger_state SET revision = {HEAD + 1}, andon = '9.8.7'")
    for use in (lambda: Ledger(place), lambda: migrate(place), lambda: migrate(place, 1)):
        with pytest.raises(ConfigError, match=rf"revision {HEAD + 1}.*Andon 9\.8\.7 or a later one") as caught:
            use()
        assert caught.value.commands == f"andon ledger downgrade {HEAD}"
    with connected(place) as connection:
        assert connection.exec_driver_sql("SELECT revision, andon FROM ledger_state").all() == [(HEAD + 1, "9.8.7")]


def test_a_ledger_that_lost_its_revision_is_refused(place: URL) -> None:
    """Where the revision should stand and does not, nothing is guessed."""
    Ledger(place).close()
    with connected(place) as connection:
        connection.exec_driver_sql("DELETE FROM ledger_state")
    with pytest.raises(StoreError, match="restore it"):
        Ledger(place)


@pytest.mark.parametrize("revision", [-1, 0, HEAD + 1])
def test_there_is_no_other_revision(place: URL, revision: int) -> None:
    """A revision that there is none of, or at which there would be no ledger, is refused with those that there are."""
    Ledger(place).close()
    with pytest.raises(InputError, match=f"give 1 to {HEAD}"):
        migrate(place, revision)


def test_what_is_no_ledger_is_not_made_one(place: URL) -> None:
    """Bringing up what is not there says so, and makes nothing."""
    with pytest.raises(ConfigError, match="there is no ledger"):
        migrate(place)
    if place.get_backend_name() == "sqlite":
        assert not Path(str(place.database)).exists()
    else:
        assert schema_of(place) == {}


@pytest.mark.parametrize("revision", [1, 2])
def test_the_statements_that_are_shown_are_those_that_do_it(place: URL, revision: int) -> None:
    """A rehearsal changes nothing, and whoever executes what it shows has the same tables."""
    make_early(place, 2)
    Ledger(place).close()
    schema = schema_of(place)
    down = migrate(place, revision, rehearse=True)
    assert schema_of(place) == schema
    with connected(place) as connection:
        for statement in down.statements:
            connection.exec_driver_sql(statement)
    assert migrate(place, rehearse=True).before == revision
    with connected(place) as connection:
        for statement in migrate(place, rehearse=True).statements:
            connection.exec_driver_sql(statement)
    assert schema_of(place) == schema
    assert migrate(place).statements == []
    assert rows_of(place) == ROWS


def test_a_ledger_is_made_by_whoever_executes_what_is_shown(place: URL) -> None:
    """Of an empty database a rehearsal shows how a ledger is made in it; the first start of Andon finds one then."""
    if place.get_backend_name() == "sqlite":
        Path(str(place.database)).touch()
    made = migrate(place, rehearse=True)
    assert (made.before, made.after, schema_of(place)) == (0, HEAD, {})
    with connected(place) as connection:
        for statement in made.statements:
            connection.exec_driver_sql(statement)
    shown = schema_of(place)
    with closing(Ledger(place)) as ledger:
        assert ledger.put(Thing(id="a"), now_us=1, by="ada") == 1
    with connected(place) as connection:
        assert connection.exec_driver_sql("SELECT revision FROM ledger_state").all() == [(HEAD,)]
        for table in METADATA.tables:
            connection.exec_driver_sql(f"DROP TABLE {table}")
    Ledger(place).close()
    assert schema_of(place) == shown


@pytest.mark.parametrize("rehearse", [True, False])
def test_what_is_still_to_be_cleared_is_not_forgotten_on_the_way_down(
    place: URL, rehearse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where blanked texts are still in the files, a revision that could not say so is refused; once they are gone it is not."""

    def fail(self: Ledger) -> None:
        raise StoreError("the disk is full")

    with closing(Ledger(place)) as ledger:
        ledger.put(Thing(id="a", count=7), now_us=1, by="ada")
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "_clear", fail)
            with pytest.raises(StoreError, match="disk is full"):
                ledger.blank(lambda value: {**value, "count": 0}, [Thing])
        schema = schema_of(place)
        with pytest.raises(StateError, match="erase them again") as caught:
            migrate(place, 2, rehearse=rehearse)
        assert caught.value.commands == "andon erase --user USER --yes"
        assert schema_of(place) == schema
        assert ledger.blank(lambda value: value, [Thing]) == 0
    assert migrate(place, 2, rehearse=rehearse).after == 2


def test_an_ordinary_opening_asks_one_question_and_waits_for_nobody(place: URL) -> None:
    """A ledger that is up to date is asked for its revision and nothing else, also while somebody writes."""
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    with closing(Ledger(place)) as first, first.writing():
        event.listen(Engine, "before_cursor_execute", note)
        try:
            Ledger(place).close()
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    assert len([text for text in asked if "ledger_state" in text]) == 1
    assert not [text for text in asked if not text.lower().startswith(("select", "show"))]
    assert len(asked) == (1 if place.get_backend_name() == "sqlite" else len(asked))
