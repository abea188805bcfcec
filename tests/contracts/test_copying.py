"""A copy of a ledger in another database: every entry byte for byte, of one moment, as a whole or not at all."""

from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from postgres import Server, database
from sqlalchemy import URL

from andon.errors import ConfigError, StateError, StoreError
from andon.store import Ledger, RememberingLedger, copying
from andon.store.copying import copy_ledger
from andon.store.databases import disposing, engine_of, shown, url_of
from andon.store.migrations import migrate


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    id: str
    text: str = ""


TEXTS = [
    "",
    "\x00\x01\x7f",
    "é\U0010ffff\u2028",
    "'; DROP TABLE versions; --\\",
    "%s %(x)s :y {z}",
    "long " * 20_000,
    "\r\n\t",
]


@pytest.fixture(params=["file to postgres", "postgres to file", "file to file", "postgres to postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[URL, URL]:
    """From where to where."""
    source, target = request.param.split(" to ")

    def place(kind: str, name: str) -> URL:
        return url_of(str(tmp_path / name)) if kind == "file" else database(request.getfixturevalue("postgres"))

    return place(source, "from.db"), place(target, "to.db")


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several pages, the last one not full."""
    monkeypatch.setattr(copying, "CHUNK", 4)
    monkeypatch.setattr(copying, "_PAGE", copying._PAGE.limit(4))


def fill(place: URL) -> None:
    """Versions of some records, with gaps between their numbers."""
    with closing(Ledger(place)) as ledger:
        for n, text in enumerate(TEXTS):
            ledger.put(Note(id=f"n{n % 3}é", text=text), now_us=n, by=f"ada {n} ☃")
            with suppress(ZeroDivisionError), ledger.writing() as connection:
                connection.exec_driver_sql(
                    "INSERT INTO versions (kind, id, version, at_us, author, body) VALUES ('gone', 'x', 1, 1, 'x', 'x')"
                )
                raise ZeroDivisionError


def rows_of(place: URL) -> list[tuple[Any, ...]]:
    """All that is kept of the versions."""
    with disposing(engine_of(place)) as engine, engine.begin() as connection:
        return [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM versions ORDER BY entry")]


def is_untouched(place: URL) -> bool:
    """Whether nothing was ever written there."""
    if place.get_backend_name() == "sqlite":
        folder = Path(str(place.database)).parent
        return not [path for path in folder.iterdir() if path.name.startswith("to.db")]
    with disposing(engine_of(place)) as engine, engine.begin() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM pg_class WHERE relname = 'versions'").scalar_one() == 0


def test_a_copy_has_every_entry_and_goes_on_after_the_last(places: tuple[URL, URL]) -> None:
    """Numbers, ids, versions, times, authors and bodies are the same, the source is unchanged, and the next entry has the next number."""
    source, target = places
    fill(source)
    before, told = rows_of(source), []
    done = copy_ledger(source, target, told=lambda n, total: told.append((n, total)))
    assert rows_of(target) == rows_of(source) == before
    assert (done.entries, done.last, done.since, done.blanked) == (len(TEXTS), before[-1][0], 0, False)
    assert told == sorted(told)
    assert told[-1] == (2 * len(TEXTS), 2 * len(TEXTS))
    with closing(RememberingLedger(target)) as ledger:
        assert [v.record.text for v in ledger.history(Note)] == TEXTS
        ledger.put(Note(id="next"), now_us=1, by="ada")
        assert ledger.last_entry() == done.last + 1
    with pytest.raises(StateError, match="holds records already"):
        copy_ledger(source, target)
    assert len(rows_of(target)) == len(TEXTS) + 1


def test_the_digest_tells_copies_apart(places: tuple[URL, URL], tmp_path: Path) -> None:
    """It is the same for the same entries in whichever database, and another one where anything differs."""
    source, target = places
    fill(source)
    first = copy_ledger(source, target)
    assert copy_ledger(target, tmp_path.joinpath("again.db").as_uri().replace("file://", "sqlite:///")) == first
    with disposing(engine_of(target)) as engine, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE versions SET author = 'Ada 0 ☃' WHERE author = 'ada 0 ☃'")
    assert copy_ledger(target, str(tmp_path / "other.db")).digest != first.digest


def test_an_empty_ledger_is_copied(places: tuple[URL, URL]) -> None:
    """A ledger without a record becomes another one, whose first entry is number 1."""
    source, target = places
    Ledger(source).close()
    done = copy_ledger(source, target)
    assert (done.entries, done.last) == (0, 0)
    with closing(Ledger(target)) as ledger:
        ledger.put(Note(id="a"), now_us=1, by="ada")
        assert ledger.last_entry() == 1


def test_a_rehearsal_says_the_same_and_leaves_nothing(places: tuple[URL, URL]) -> None:
    """What is rehearsed finds the same digest, and the target is as it was: not there, or empty, or with its records."""
    source, target = places
    fill(source)
    rehearsed = copy_ledger(source, target, rehearse=True)
    assert is_untouched(target)
    assert copy_ledger(source, target) == rehearsed
    with pytest.raises(StateError, match="holds records already"):
        copy_ledger(source, target, rehearse=True)
    assert rows_of(target) == rows_of(source)


def test_what_is_copied_is_of_one_moment(places: tuple[URL, URL]) -> None:
    """Writes and blankings while it is copied are not in the copy, do not wait for it, and are told of."""
    source, target = places
    fill(source)
    before, writes = rows_of(source), []
    with closing(Ledger(source)) as ledger:

        def write(done: int, total: int) -> None:
            if not writes:
                writes.append(ledger.put(Note(id="meanwhile"), now_us=1, by="eve"))
                with (
                    ledger.writing() as connection
                ):  # as a blanking does, without its clearing, which waits for readers
                    connection.exec_driver_sql('UPDATE versions SET body = \'{"id":"n0é"}\'')
                    connection.exec_driver_sql("UPDATE ledger_state SET rewrites = rewrites + 1")

        done = copy_ledger(source, target, told=write)
    assert rows_of(target) == before
    assert (done.since, done.blanked) == (1, True)


def test_what_reads_back_otherwise_is_not_kept(tmp_path: Path) -> None:
    """Where the target does not hold what was written to it, the copy fails, says both digests, and leaves nothing."""
    source, target = url_of(str(tmp_path / "from.db")), url_of(str(tmp_path / "to.db"))
    fill(source)
    Ledger(target).close()
    with disposing(engine_of(target)) as engine, engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER odd AFTER INSERT ON versions WHEN new.entry = 3 BEGIN UPDATE versions SET at_us = 7 WHERE entry = 3; END"
        )
    with pytest.raises(StoreError, match=f"{len(TEXTS)} entries with the digest .* were read back"):
        copy_ledger(source, target)
    assert rows_of(target) == []


@pytest.mark.parametrize("revision", [1, 2])
def test_an_earlier_ledger_is_copied_as_it_is(places: tuple[URL, URL], revision: int) -> None:
    """The source need not be brought up first, and is not; the copy is at the revision of this Andon."""
    source, target = places
    fill(source)
    migrate(source, revision)
    done = copy_ledger(source, target)
    assert rows_of(target) == rows_of(source)
    assert migrate(source, rehearse=True).before == revision
    assert migrate(target).statements == []
    assert not done.blanked


def test_nothing_is_copied_from_nothing(places: tuple[URL, URL]) -> None:
    """Where there is no ledger at the source, that is said, and neither side is made."""
    source, target = places
    with pytest.raises(ConfigError, match="there is no ledger"):
        copy_ledger(source, target)
    assert is_untouched(target)
    if source.get_backend_name() == "sqlite":
        assert not Path(str(source.database)).exists()


def test_a_copy_that_fails_amid_leaves_nothing(places: tuple[URL, URL]) -> None:
    """Whoever interrupts it finds the target as it was before, and can begin again."""
    source, target = places
    fill(source)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_ledger(source, target, told=stop)
    assert is_untouched(target)
    assert copy_ledger(source, target).entries == len(TEXTS)


def test_passwords_are_never_shown(postgres: Server) -> None:
    """A URL is shown without its password, wherever in it that stands."""
    for url in (
        "postgresql://me:pw4711@h/x",
        "postgresql://h/x?user=me&password=pw4711&sslpassword=pw4711&passfile=~/.pgpass",
    ):
        assert "4711" not in shown(url_of(url))
        assert "h/x" in shown(url_of(url))
    assert "passfile=~/.pgpass" in shown(url_of(url)).replace("%2F", "/")
    wrong = postgres.url.set(username="nobody", password="pw4711", database="no-such")
    with pytest.raises(StoreError) as caught:
        Ledger(wrong)
    assert "4711" not in str(caught.value)
