"""A ledger that many processes share: nothing is lost or doubled, nothing comes late, and nobody waits for ever for anybody."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from string import ascii_letters
from typing import Any

import ledger_process
import pytest
from ledger_process import Counter
from postgres import Server, database
from sqlalchemy import URL, text

from andon.errors import StoreError
from andon.store import Ledger, RememberingLedger, databases
from andon.store import ledger as module


def start(*words: str) -> subprocess.Popen[str]:
    """Another process."""
    command = [sys.executable, ledger_process.__file__, *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def ledger(place: URL) -> Iterator[Ledger]:
    """One that processes share."""
    with closing(Ledger(place)) as made:
        yield made


def test_processes_lose_nothing_and_a_reader_misses_nothing(place: URL, ledger: Ledger) -> None:
    """What several processes count together is right; who polls the last entry and reads what came after it sees every entry, in order."""
    workers, times, seen = 3, 25, []
    remembering = RememberingLedger(place)
    remembering.all(Counter)
    others = [start("count", place.render_as_string(), f"w{k}", str(times)) for k in range(workers)]
    for other in others:
        assert other.stdout.readline() == "ready\n"
    for other in others:
        other.stdin.write("go\n")
        other.stdin.flush()
    counts, last, running = [0], 0, True
    while running:
        running = any(other.poll() is None for other in others)  # asked before the last look
        if ledger.last_entry() > last:
            seen += ledger.written((Counter,), last)
            last = seen[-1][0]
        shared = remembering.get(Counter, "shared")
        counts.append(shared.count if shared else 0)
        assert {i for _, _, i in seen} <= {c.id for c in remembering.all(Counter)}
    for other in others:
        other.communicate()
        assert other.returncode == 0
    assert seen == ledger.written((Counter,), 0)
    assert len(seen) == 2 * workers * times
    assert [entry for entry, _, _ in seen] == sorted({entry for entry, _, _ in seen})
    assert counts == sorted(counts)
    history = ledger.history(Counter, "shared")
    assert [(v.version, v.record.count) for v in history] == [(n, n) for n in range(1, workers * times + 1)]
    assert sorted(c.id for c in remembering.all(Counter)) == sorted({i for _, _, i in seen})
    remembering.close()


def test_what_another_ledger_blanked_is_not_remembered(place: URL, ledger: Ledger) -> None:
    """After another writer's blanking the next answer is the new one, whether or not anything was written since."""
    with closing(RememberingLedger(place)) as mine:
        for also in (False, True):
            ledger.put(Counter(id="a", count=7), now_us=1, by="ada")
            assert mine.get(Counter, "a") == Counter(id="a", count=7) == mine.all(Counter)[0]
            assert ledger.blank(lambda value: {**value, "count": 0} if value["count"] else value, [Counter]) > 0
            if also:
                ledger.put(Counter(id="b"), now_us=1, by="ada")
            assert mine.get(Counter, "a") == Counter(id="a") == mine.all(Counter)[0]


def test_a_writer_that_is_stopped_does_not_stop_the_others(on_postgres: URL) -> None:
    """PostgreSQL ends a process that is stopped amid a transaction: the others go on, and it wrote nothing and is told to try again."""
    with closing(Ledger(on_postgres)) as ledger:
        other = start("pause", on_postgres.render_as_string())
        assert other.stdout.readline() == "amid\n"
        began = time.monotonic()
        assert ledger.put(Counter(id="a"), now_us=1, by="ada") == 1
        assert 0.2 < time.monotonic() - began < 25
        os.kill(other.pid, signal.SIGCONT)
        out, _ = other.communicate()
        assert out.startswith("retryable")
        assert other.returncode == 0
        assert [c.id for c in ledger.all(Counter)] == ["a", "afterwards"]


def test_a_writer_waits_for_another_only_so_long(on_postgres: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not get its turn is refused, retryably, and readers are not held up meanwhile."""
    with closing(Ledger(on_postgres)) as one, closing(Ledger(on_postgres)) as two:
        one.put(Counter(id="a"), now_us=1, by="ada")
        with one.writing():
            monkeypatch.setattr("andon.store.databases.BUSY_S", 0.2)
            with pytest.raises(StoreError, match="lock timeout") as caught:
                two.put(Counter(id="b"), now_us=1, by="ada")
            assert caught.value.retryable
            assert two.all(Counter) == [Counter(id="a")]
        assert two.put(Counter(id="b"), now_us=1, by="ada") == 1


@pytest.mark.parametrize("kind", [Ledger, RememberingLedger])
def test_a_server_that_was_restarted_is_reached_again(postgres: Server, kind: type[Ledger]) -> None:
    """After a restart the next read and the next write work; what was amid a transaction is refused, retryably, and left nothing."""
    with closing(kind(database(postgres))) as ledger:
        ledger.put(Counter(id="a"), now_us=1, by="ada")

        def amid() -> None:
            with ledger.writing() as connection:
                connection.exec_driver_sql("UPDATE versions SET author = 'eve'")
                postgres.control("-m", "fast", "restart")

        assert ledger.get(Counter, "a") is not None
        with pytest.raises(StoreError) as caught:
            amid()
        assert caught.value.retryable
        assert ledger.get(Counter, "a") == Counter(id="a")
        postgres.control("-m", "fast", "restart")
        assert ledger.put(Counter(id="a", count=1), now_us=2, by="ada") == 2
        assert [v.by for v in ledger.history(Counter)] == ["ada", "ada"]
        postgres.control("-m", "fast", "stop")
        with pytest.raises(StoreError) as caught:
            ledger.get(Counter, "a")
        assert caught.value.retryable
        postgres.control("start")
        assert ledger.all(Counter) == [Counter(id="a", count=1)]
        with ledger._engine.begin() as connection:  # as where another server took over that lacks the last write
            connection.exec_driver_sql("UPDATE versions SET body = replace(body, '1', '7')")
        postgres.control("-m", "fast", "restart")
        assert ledger.all(Counter) == [Counter(id="a", count=7)]


def test_a_write_is_on_disk_whatever_the_server_is_set_to(on_postgres: URL) -> None:
    """A database that need not wait for its disk, or reads one moment per transaction, is told otherwise for each write."""
    with closing(Ledger(on_postgres)) as ledger:
        with ledger._engine.begin() as connection:
            for setting in ("synchronous_commit = off", "default_transaction_isolation = 'repeatable read'"):
                connection.exec_driver_sql(f"ALTER DATABASE {on_postgres.database} SET {setting}")
        ledger._engine.dispose()
        with ledger.writing() as connection:
            for setting, value in (("synchronous_commit", "on"), ("transaction_isolation", "read committed")):
                assert connection.exec_driver_sql(f"SHOW {setting}").scalar_one() == value


def test_ids_that_begin_so_are_found_by_an_index(on_postgres: URL) -> None:
    """Where people's order is that of the database, a range of ids by code points is still one range of the index."""
    with closing(Ledger(on_postgres)) as ledger, ledger._engine.begin() as connection:
        if not connection.exec_driver_sql("SELECT 'a' < 'B'").scalar_one():
            pytest.skip("this PostgreSQL was built without ICU: its order of texts is that of code points anyway")
        connection.exec_driver_sql(
            "INSERT INTO versions (kind, id, version, at_us, author, body) SELECT 'Counter', 'c-' || n, 1, 1, 'ada', "
            "'{}' FROM generate_series(1, 5000) AS n"
        )
        connection.exec_driver_sql("ANALYZE versions")
        query = module._heads((module._V.kind == "Counter") & module._begins("c-77"))
        sql = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {sql}").scalars())
        assert "Index Scan using versions_kind_id_version_key" in plan
        assert "((id)::text >= 'c-77'::text) AND ((id)::text < 'c-78'::text)" in plan


def _anywhere(folder: Path, word: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and word in path.read_bytes()]


@pytest.fixture
def kept(place: URL, ledger: Ledger, request: pytest.FixtureRequest) -> Any:
    """A function that tells which files of the database hold a text, once all is written through."""

    def on_disk(word: bytes) -> list[str]:
        if place.get_backend_name() == "sqlite":
            return _anywhere(Path(str(place.database)).parent, word)
        with ledger._engine.begin() as connection:
            connection.exec_driver_sql("CHECKPOINT")
            number = connection.exec_driver_sql(
                "SELECT oid FROM pg_database WHERE datname = current_database()"
            ).scalar_one()
        return _anywhere(request.getfixturevalue("postgres").data / "base" / str(number), word)

    return on_disk


@pytest.mark.parametrize("length", [40, 20_000], ids=["short", "long"])
def test_what_was_blanked_is_gone_from_the_files(
    ledger: Ledger, kept: Any, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before is in no file of the database any more; where clearing it failed, the next call does it, changed or not."""
    noise = "".join(random.Random(1).choices(ascii_letters, k=length))  # not to be compressed
    secret = f"s3cret-7731{noise}s3cret-7732"
    for k in range(30):
        ledger.put(Counter(id=f"c{k}", count=k), now_us=1, by="ada")
    with ledger.writing() as connection:
        body = f'{{"count":0,"id":"{secret}"}}'
        connection.execute(module.update(module.VERSIONS).where(module._V.entry == 7).values(body=body))
    if ledger.path is None:
        with ledger._engine.begin() as connection:
            connection.exec_driver_sql("ANALYZE versions")
    assert kept(b"s3cret-7731")

    def change(value: Any) -> Any:
        return {**value, "id": "x"} if "s3cret" in value["id"] else value

    def fail(self: Ledger) -> None:
        raise StoreError("the disk is full", retryable=True)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_clear", fail)
        with pytest.raises(StoreError, match="disk is full"):
            ledger.blank(change, [Counter])
    assert kept(b"s3cret-7731")
    assert ledger.blank(change, [Counter]) == 0
    assert kept(b"s3cret-773") == []
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_clear", fail)
        assert ledger.blank(change, [Counter]) == 0  # nothing is left to clear


def test_two_may_blank_at_the_same_time(place: URL, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of two is done with clearing first, all is cleared afterwards, and what is blanked later is cleared again."""
    clear, cleared = Ledger._clear, []

    def blank(book: Ledger, count: int) -> int:
        return book.blank(lambda value: {**value, "count": count}, [Counter])

    def clear_late(self: Ledger) -> None:
        cleared.append(self)
        if len(cleared) == 1:
            assert blank(other, 2) == 1
        clear(self)

    monkeypatch.setattr(Ledger, "_clear", clear_late)
    ledger.put(Counter(id="a"), now_us=1, by="ada")
    with closing(Ledger(place)) as other:
        assert blank(ledger, 1) == 1
        assert cleared == [ledger, other]
        assert ledger.blank(lambda value: value, [Counter]) == 0
        assert cleared == [ledger, other]
        assert blank(ledger, 3) == 1
        assert cleared == [ledger, other, ledger]


def test_who_may_not_clear_is_told(on_postgres: URL) -> None:
    """A user who does not own the table cannot remove what was there before, and hears so, until the owner does it."""
    with closing(Ledger(on_postgres)) as owner:
        owner.put(Counter(id="secret"), now_us=1, by="ada")
        with owner._engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE ROLE guest_of_{on_postgres.database} LOGIN")
            for what in ("ALL TABLES", "ALL SEQUENCES"):
                grant = f"GRANT ALL ON {what} IN SCHEMA public TO guest_of_{on_postgres.database}"
                connection.exec_driver_sql(grant)
        with closing(Ledger(on_postgres.set(username=f"guest_of_{on_postgres.database}"))) as guest:
            with pytest.raises(StoreError, match="does not own the table"):
                guest.blank(lambda value: {**value, "count": 7}, [Counter])
            with pytest.raises(StoreError, match="does not own the table"):
                guest.blank(lambda value: value, [Counter])
        assert owner.blank(lambda value: value, [Counter]) == 0
        assert owner.get(Counter, "secret") == Counter(id="secret", count=7)


def test_a_process_has_few_connections(on_postgres: URL) -> None:
    """However many threads read and write, a process takes no more of the server's connections than it says."""
    with closing(Ledger(on_postgres)) as ledger:
        seen, wrong = [], []

        def work(name: str) -> None:
            try:
                for count in range(10):
                    ledger.put(Counter(id=name, count=count), now_us=1, by="ada")
                    assert ledger.get(Counter, name) == Counter(id=name, count=count)
                    mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    seen.append(ledger._read(text(mine))[0][0])
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(f"t{k}",)) for k in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert max(seen) <= databases.CONNECTIONS
