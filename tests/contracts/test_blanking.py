"""Blanking holds nobody up: neither leases nor writers nor readers, and what was there before is gone or it is said that it is not."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from string import ascii_letters
from typing import Any

import pytest
from sqlalchemy import URL, Connection

from andon.errors import StateError, StoreError
from andon.store import Lease, Ledger, RememberingLedger, blanking, databases
from andon.store.databases import READING, SNAPSHOT, disposing, engine_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    id: str
    text: str = ""


@pytest.fixture
def ledger(place: URL) -> Iterator[Ledger]:
    """One with thirty notes of eve's."""
    with closing(Ledger(place)) as made:
        for count in range(30):
            made.put(Note(id=f"n{count}", text="eve"), now_us=count, by="ada")
        yield made


def erased(value: Any) -> Any:
    """What becomes of a note."""
    return {**value, "text": value["text"].replace("eve", "x")} if "eve" in value["text"] else value


def rewrites(ledger: Ledger) -> int:
    """How often bodies were rewritten."""
    with ledger.writing() as connection:
        return int(connection.exec_driver_sql("SELECT rewrites FROM ledger_state").scalar_one())


def test_thinking_takes_no_turn(place: URL, ledger: Ledger) -> None:
    """While it is decided what becomes of a body nothing is under way: however long that takes, nobody waits, nobody is ended for it."""
    with closing(Ledger(place)) as other:
        lease, under_way = Lease(other, "loop", "other"), []

        def watched(value: Any) -> Any:
            under_way.append(ledger._engine.pool.checkedout())
            if len(under_way) < 10:
                other.put(Note(id=f"of others {len(under_way)}"), now_us=1, by="bob")
                assert lease.take()
            return erased(value)

        assert ledger.blank(watched, [Note]) == 30
    assert under_way == [0] * len(under_way)
    assert len(under_way) >= 30
    assert {note.text for note in ledger.all(Note)} == {"x", ""}


def test_a_turn_is_short_and_others_have_theirs_in_between(
    place: URL, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No turn goes on for longer than it may; each is a rewriting of its own, so who remembers bodies sees what is done by then."""
    monkeypatch.setattr(blanking, "TURN_S", 0.0)
    monkeypatch.setattr(blanking, "AT_ONCE", 20)
    before, writing, seen = rewrites(ledger), ledger.writing, []
    with closing(RememberingLedger(place)) as mine:

        def watched(**more: Any) -> Any:
            seen.append(sum(note.text == "eve" for note in mine.all(Note)))
            return writing(**more)

        with monkeypatch.context() as patch:
            patch.setattr(ledger, "writing", watched)
            assert ledger.blank(erased, [Note]) == 30
        assert seen == [*range(30, -1, -1)]  # the last one notes that all is cleared
    assert rewrites(ledger) == before + 30


def test_two_who_blank_the_same_body_undo_nothing(place: URL, ledger: Ledger) -> None:
    """Whoever comes second looks at what the first one left, not at what it read before."""
    other_is_done = []
    ledger.put(Note(id="both", text="eve and mallory"), now_us=1, by="ada")

    def without_mallory(value: Any) -> Any:
        return {**value, "text": value["text"].replace("mallory", "y")} if "mallory" in value["text"] else value

    def overtaken(value: Any) -> Any:
        if "mallory" in value["text"] and not other_is_done:
            with closing(Ledger(place)) as other:
                other_is_done.append(other.blank(without_mallory, [Note]))
        return erased(value)

    assert ledger.blank(overtaken, [Note]) == 31
    assert other_is_done == [1]
    assert ledger.get(Note, "both") == Note(id="both", text="x and y")


def test_what_was_rewritten_before_it_failed_is_cleared_by_the_next_call(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it ends amid its turns, those that were done stay, and the next call goes on and clears."""
    monkeypatch.setattr(blanking, "TURN_S", 0.0)
    clear, cleared, asked = Ledger._clear, [], []

    def guard(connection: Any) -> None:
        asked.append(connection)
        if len(asked) == 8:
            raise StateError("not any more")

    def note(self: Ledger) -> None:
        clear(self)
        cleared.append(sum(note.text == "x" for note in ledger.all(Note)))

    monkeypatch.setattr(Ledger, "_clear", note)
    ledger.guard = guard
    with pytest.raises(StateError, match="not any more"):
        ledger.blank(erased, [Note])
    assert (cleared, sum(note.text == "x" for note in ledger.all(Note))) == ([], 7)
    assert ledger.blank(lambda value: value, [Note]) == 0
    assert cleared == [7]
    assert ledger.blank(erased, [Note]) == 23
    assert cleared == [7, 30]


def until_they_wait(connection: Connection, count: int) -> None:
    """Until so many wait for the table."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = CAST('versions' AS regclass)"
    until = time.monotonic() + 10
    while connection.exec_driver_sql(waits).scalar_one() < count:
        assert time.monotonic() < until, "others wait for something else"
        time.sleep(0.02)


def test_leases_are_renewed_while_the_table_is_written_anew(on_postgres: URL) -> None:
    """Neither a writer nor readers who wait for the whole table keep anybody's lease from being renewed, nor lose what they wanted."""
    done: list[str] = []

    def soon(what: Callable[[], object], name: str) -> threading.Thread:
        def run() -> None:
            what()
            done.append(name)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with ExitStack() as stack:
        one, two = (stack.enter_context(closing(Ledger(on_postgres))) for _ in range(2))
        mine, theirs = Lease(one, "loop", "one"), Lease(two, "probes", "two")
        assert mine.take()
        assert theirs.take()
        with disposing(engine_of(on_postgres)) as engine, engine.connect() as plain:
            connection = plain.execution_options(**{READING: True})
            with connection.begin():
                connection.exec_driver_sql("LOCK TABLE versions IN ACCESS EXCLUSIVE MODE")  # as VACUUM (FULL) does
                threads = [soon(lambda: two.put(Note(id="a"), now_us=1, by="ada"), "written")]
                threads += [soon(lambda: one.put(Note(id="b"), now_us=1, by="ada"), "written")]
                until_they_wait(connection, 2)
                threads += [soon(lambda: one.get(Note, "a"), "read") for _ in range(2 * databases.CONNECTIONS)]
                until_they_wait(connection, databases.CONNECTIONS)  # as many as can
                began = time.monotonic()
                for _ in range(3):
                    assert mine.take()
                    assert theirs.take()
                    mine.release()
                assert time.monotonic() - began < 2.0
                assert done == []
        for thread in threads:
            thread.join()
        assert sorted(done) == ["read"] * 2 * databases.CONNECTIONS + ["written"] * 2
        assert one.get(Note, "a") == Note(id="a")


def in_files(place: URL, ledger: Ledger, data: Path | None, word: bytes) -> bool:
    """Whether a file of the database holds a text."""
    if data is None:
        folder = Path(str(place.database)).parent
    else:
        with ledger._engine.begin() as connection:
            connection.exec_driver_sql("CHECKPOINT")
        folder = data / "base"
    return any(path.is_file() and word in path.read_bytes() for path in folder.rglob("*"))


@pytest.mark.parametrize("whose", ["reader", "writer"])
def test_what_somebody_may_still_see_is_not_called_cleared(
    place: URL, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """While a transaction that began before is under way the files keep what it may see: that is said, and the next call clears it."""
    server = None if place.get_backend_name() == "sqlite" else request.getfixturevalue("postgres")
    if server is None and whose == "writer":
        pytest.skip("in a SQLite file there is no other writer")
    monkeypatch.setattr(databases, "BUSY_S", 0.2)
    monkeypatch.setattr(blanking, "OLDER_S", 0.2)
    secret = "".join(random.Random(2).choices(ascii_letters, k=40))
    with closing(Ledger(place)) as ledger, disposing(engine_of(place)) as engine, engine.connect() as plain:
        ledger.put(Note(id="a", text=f"eve {secret}"), now_us=1, by="ada")
        with ledger.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE other (x INTEGER)")
        options = {"isolation_level": "REPEATABLE READ"} if server else {}
        with plain.execution_options(**{READING: SNAPSHOT}, **options).begin():
            what = {"reader": "SELECT count(*) FROM other", "writer": "INSERT INTO other VALUES (1)"}[whose]
            plain.exec_driver_sql(what)
            with pytest.raises(StoreError, match="still in") as caught:
                ledger.blank(lambda value: {**value, "text": ""}, [Note])
            assert caught.value.retryable
            assert in_files(place, ledger, server and server.data, secret.encode())
        assert ledger.blank(lambda value: value, [Note]) == 0
        assert not in_files(place, ledger, server and server.data, secret.encode())


def test_who_sees_what_was_there_may_be_asked_by_anybody(on_postgres: URL) -> None:
    """Every user of the server may ask who may still see what was there; where nothing is under way, that is nobody."""
    with closing(Ledger(on_postgres)) as owner, owner._engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE asker_of_{on_postgres.database} LOGIN")
    asker = on_postgres.set(username=f"asker_of_{on_postgres.database}")
    with disposing(engine_of(asker)) as engine, engine.connect().execution_options(**{READING: True}) as connection:
        now = connection.exec_driver_sql("SELECT txid_current()").scalar_one()
        assert connection.execute(blanking._OLDER, {"mine": now}).all() == []
