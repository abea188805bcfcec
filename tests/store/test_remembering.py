"""A ledger that remembers answers as one that does not, whoever writes, and its records cannot be changed by who reads them."""

import copy
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import StoreError
from andon.store import Ledger, RememberingLedger, remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    where: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    id: str
    text: str = ""
    count: int = 0
    scope: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    id: str
    text: str = ""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[RememberingLedger, Ledger]]:
    """A remembering ledger, and another writer of the same file."""
    mine, other = RememberingLedger.open(tmp_path / "ledger.db"), Ledger.open(tmp_path / "ledger.db")
    yield mine, other
    mine.close()
    other.close()


def test_the_next_read_sees_what_another_ledger_wrote(two: tuple[RememberingLedger, Ledger]) -> None:
    """A new record and a new version, written through another ledger, are in the very next answer; the order is that of first writing."""
    mine, other = two
    for name in ("z", "a"):
        other.put(Page(id=name), now_us=1, by="ada")
    assert [p.id for p in mine.all(Page)] == ["z", "a"]
    assert mine.get(Page, "m") is None
    other.put(Page(id="m"), now_us=2, by="ada")
    assert mine.get(Page, "m") == Page(id="m")
    assert [p.id for p in mine.all(Page)] == ["z", "a", "m"]
    other.put(Page(id="z", count=5), now_us=3, by="bob")
    assert [(p.id, p.count) for p in mine.all(Page)] == [("z", 5), ("a", 0), ("m", 0)]
    latest = mine.latest(Page, "z")
    assert latest is not None
    assert (latest.version, latest.at_us, latest.by) == (2, 3, "bob")


def test_the_next_read_sees_what_another_process_wrote(tmp_path: Path) -> None:
    """A write of another process is seen as soon as it was acknowledged."""
    mine = RememberingLedger.open(tmp_path / "ledger.db")
    assert mine.all(Line) == []
    code = (
        "import sys; from dataclasses import dataclass; from pathlib import Path; from andon.store import Ledger\n"
        "@dataclass(frozen=True, slots=True, kw_only=True)\nclass Line:\n    id: str\n    text: str = ''\n"
        "Ledger.open(Path(sys.argv[1])).put(Line(id='far'), now_us=1, by='x')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "ledger.db")], check=True, env=dict(os.environ))
    assert mine.all(Line) == [Line(id="far")]
    mine.close()


def test_what_did_not_change_is_not_read_again(two: tuple[RememberingLedger, Ledger]) -> None:
    """Two answers share the records that nobody wrote in between, and the list itself is the caller's own."""
    mine, other = two
    for name in ("a", "b"):
        other.put(Page(id=name), now_us=1, by="ada")
    before = mine.all(Page)
    before_b = mine.get(Page, "b")
    other.put(Page(id="a", count=1), now_us=1, by="ada")
    after = mine.all(Page)
    assert after[1] is before[1] is before_b
    assert after[0] == Page(id="a", count=1)
    for _ in range(3):
        after.clear()
        after = mine.all(Page)
        assert len(after) == 2


def test_records_cannot_be_changed_by_their_readers(two: tuple[RememberingLedger, Ledger]) -> None:
    """Every dict and list of a remembered record refuses each way to change it; copies are plain, and the record can be written again."""
    mine, other = two
    row = {"a": [1, {"b": 2}], "c": {}}
    page = Page(id="a", scope={"x": "y"}, more=row, parts=(Part(where={"k": "v"}),), rows=(row, {}))
    other.put(page, now_us=1, by="ada")
    read = mine.all(Page)[0]
    assert read == page == mine.get(Page, "a")
    inner = read.rows[0]["a"]
    for held in (read.scope, read.more, read.parts[0].where, read.rows[0], read.rows[1], inner[1], read.more["c"]):
        for change in (
            lambda d: d.update(x=1), lambda d: d.__setitem__("x", 1), lambda d: d.clear(), lambda d: d.pop("x", 0),
            lambda d: d.setdefault("x", 1), lambda d: d.popitem(), lambda d: d.__delitem__("x"), lambda d: d.__ior__({}),
        ):  # fmt: skip
            with pytest.raises(TypeError, match="copy it with dict"):
                change(held)
    for spoil in (
        lambda v: v.append(1), lambda v: v.extend([1]), lambda v: v.insert(0, 1), lambda v: v.pop(), lambda v: v.remove(1),
        lambda v: v.sort(), lambda v: v.reverse(), lambda v: v.clear(), lambda v: v.__setitem__(0, 1),
        lambda v: v.__delitem__(0), lambda v: v.__iadd__([1]), lambda v: v.__imul__(2),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="copy it with list"):
            spoil(inner)
    for made in (copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))):
        assert type(made(read.more)) is dict
        assert type(made(inner)) is list
    assert type({**read.scope}) is type(read.scope | {"p": "q"}) is dict
    assert json.dumps(asdict(read)) == json.dumps(asdict(page))
    assert repr(read) == repr(page)
    assert mine.put(replace(read, count=1, scope={**read.scope, "p": "q"}), now_us=2, by="bob", expect=1) == 2
    assert other.get(Page, "a") == replace(page, count=1, scope={"x": "y", "p": "q"})


def test_an_erasure_elsewhere_is_forgotten_here(two: tuple[RememberingLedger, Ledger]) -> None:
    """What another ledger blanked is gone from the next answer, also where a record was written right after it."""
    mine, other = two

    def change(value: Any) -> Any:
        return {**value, "text": "x"} if value["text"] == "secret" else value

    for also in (False, True):
        for name in ("a", "b"):
            other.put(Page(id=name, text="secret", count=int(also)), now_us=1, by="ada")
        assert [p.text for p in mine.all(Page)] == ["secret", "secret"]
        assert other.blank(change, [Page]) > 0
        if also:
            other.put(Line(id="erased"), now_us=2, by="ada")
        assert [p.text for p in mine.all(Page)] == ["x", "x"]
        assert mine.get(Page, "a") == Page(id="a", text="x", count=int(also))
    other.put(Page(id="a", text="secret"), now_us=1, by="ada")
    assert mine.get(Page, "a") == Page(id="a", text="secret")
    assert mine.blank(change, [Page]) == 1
    assert mine.get(Page, "a") == Page(id="a", text="x")


def test_a_ledger_that_was_put_in_its_place_is_not_answered_from_memory(tmp_path: Path) -> None:
    """Where the file is another one, `replaced` says so and nothing remembered is said; a backup copied over it is read anew."""
    path, backup = tmp_path / "ledger.db", tmp_path / "backup.db"
    with sqlite3.connect(backup) as target:
        first = RememberingLedger.open(path)
        first.put(Page(id="a"), now_us=1, by="ada")
        sqlite3.connect(path).backup(target)
    for count in range(1, 4):
        first.put(Page(id="a", count=count), now_us=1, by="ada")
    assert first.get(Page, "a") == Page(id="a", count=3)
    sqlite3.connect(backup).backup(sqlite3.connect(path))  # in place: the same file holds what it held before
    assert first.get(Page, "a") == Page(id="a") == first.all(Page)[0]
    assert not first.replaced()
    backup.replace(path)
    assert first.replaced()
    plain = Ledger.open(path)
    assert plain.get(Page, "a") == Page(id="a")
    first.all(Page)
    assert first._memory.kinds == {}
    first.close()
    plain.close()


def test_one_record_that_cannot_be_read_stops_only_who_asks_for_it(two: tuple[RememberingLedger, Ledger]) -> None:
    """`get` of others still answers, `all` and `get` of it say what is wrong each time, and are well once it is."""
    mine, other = two
    for name in ("a", "b"):
        other.put(Page(id=name), now_us=1, by="ada")
    with other._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE versions SET body = '{\"id\": 7}' WHERE id = 'b'")
    for _ in range(2):
        assert mine.get(Page, "a") == Page(id="a")
        with pytest.raises(StoreError, match="cannot read"):
            mine.all(Page)
        with pytest.raises(StoreError, match="cannot read"):
            mine.get(Page, "b")
    other.put(Page(id="b"), now_us=2, by="ada")
    assert mine.all(Page) == [Page(id="a"), Page(id="b")]


def test_writing_much_forgets_nothing(two: tuple[RememberingLedger, Ledger]) -> None:
    """However much is written and whenever the file's write-ahead log starts over, a record that nobody wrote is not read again."""
    mine, other = two
    other.put(Page(id="still"), now_us=1, by="ada")
    still = mine.all(Page)[0]
    done = threading.Event()

    def write() -> None:
        for k in range(400):
            other.put(Line(id=f"l{k % 9}", text=str(k) * 1_500), now_us=k, by="ada")
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        assert mine.all(Page)[0] is still
    thread.join()
    assert mine.all(Line) == other.all(Line)


def test_a_blanking_in_memory_is_seen() -> None:
    """A ledger that forgets what it blanked itself does so where there is no file, too."""
    book = RememberingLedger("sqlite://")
    book.put(Page(id="a", text="secret"), now_us=1, by="ada")
    assert book.all(Page) == [Page(id="a", text="secret")]
    assert book.blank(lambda value: {**value, "text": "x"}, [Page]) == 1
    assert book.all(Page) == [Page(id="a", text="x")] == [book.get(Page, "a")]
    book.close()


def test_the_shelf_holds_what_was_asked_for_last() -> None:
    """One that is put goes before those used since; who may not push leaves all as it is; an older version is never given or kept."""
    shelf = remembered.Shelf(100)
    for name in "ab":
        shelf.put((Page, name), 1, name, 40, push=True)
    assert shelf.take((Page, "a"), 1) == "a"
    shelf.put((Page, "c"), 1, "c", 40, push=False)
    assert [shelf.take((Page, n), 1) for n in "abc"] == ["a", "b", None]
    assert shelf.take((Page, "a"), 1) == "a"
    shelf.put((Page, "c"), 1, "c", 40, push=True)
    assert [shelf.take((Page, n), 1) for n in "abc"] == ["a", None, "c"]
    shelf.put((Page, "a"), 3, "a3", 40, push=False)
    shelf.put((Page, "a"), 2, "a2", 40, push=True)
    assert [shelf.take((Page, "a"), entry) for entry in (1, 2, 3)] == [None, None, "a3"]
    shelf.put((Page, "a"), 4, "a4", 90, push=False)
    shelf.put((Page, "d"), 1, "d", 101, push=True)
    assert [shelf.take((Page, n), 4) for n in "ad"] == [None, None]
    assert shelf._taken == 40


def test_reading_a_kind_that_does_not_fit_keeps_the_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `all` of more large records than there is room for, what was asked for by id is still held."""
    monkeypatch.setattr(remembered, "LARGE", 100)
    monkeypatch.setattr(remembered, "ROOM", 3_000)
    mine = RememberingLedger.open(tmp_path / "ledger.db")
    for k in range(10):
        mine.put(Page(id=f"p{k}", text=str(k) * 900), now_us=1, by="ada")
    held = [mine.get(Page, f"p{k}") for k in (7, 8)]
    assert [p.id for p in mine.all(Page)] == [f"p{k}" for k in range(10)]
    assert mine.all(Page)[7] is held[0] is mine.get(Page, "p7")
    mine.close()


def test_large_records_are_held_as_long_as_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shelf never holds more than its room; what is not on it is read again, and every answer is right."""
    monkeypatch.setattr(remembered, "LARGE", 100)
    monkeypatch.setattr(remembered, "ROOM", 5_000)
    mine, other = RememberingLedger.open(tmp_path / "ledger.db"), Ledger.open(tmp_path / "ledger.db")
    pages = [Page(id=f"p{k}", text=str(k) * (1_000 if k % 2 else 10)) for k in range(20)]
    for page in pages:
        other.put(page, now_us=1, by="ada")
    shelf = mine._memory._shelf
    for _ in range(3):
        assert mine.all(Page) == other.all(Page) == pages
        assert [mine.get(Page, p.id) for p in pages] == pages
        shelf = mine._memory._shelf
        assert 0 < shelf._taken <= 5_000
        assert shelf._taken == sum(size for _, _, size in shelf._held.values())
    assert mine.get(Page, "p19") is mine.get(Page, "p19")
    other.put(replace(pages[19], count=1), now_us=2, by="ada")
    assert mine.get(Page, "p19") == replace(pages[19], count=1)
    other.put(Page(id="p19"), now_us=2, by="ada")
    assert mine.get(Page, "p19") == Page(id="p19") == mine.all(Page)[19]
    mine.close()
    other.close()


def test_several_that_come_at_once_stand_in_their_order(two: tuple[RememberingLedger, Ledger]) -> None:
    """Records that another writer wrote between two answers stand in the order in which they were first written, not last."""
    mine, other = two
    other.put(Page(id="first"), now_us=1, by="ada")
    assert [p.id for p in mine.all(Page)] == ["first"]
    for page in (Page(id="b"), Page(id="a"), Page(id="c"), Page(id="b", count=1)):
        other.put(page, now_us=1, by="ada")
    assert mine.all(Page) == other.all(Page)
    assert [p.id for p in mine.all(Page)] == ["first", "b", "a", "c"]


def test_a_database_that_refuses_is_not_answered_for(tmp_path: Path) -> None:
    """Where the database cannot be asked whether there is news, memory answers nothing; afterwards all is well."""
    mine = RememberingLedger.open(tmp_path / "ledger.db")
    mine.put(Page(id="a"), now_us=1, by="ada")
    assert mine.get(Page, "a") is not None
    shutil.copy(tmp_path / "ledger.db", tmp_path / "kept.db")
    with mine._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE versions RENAME TO elsewhere")
    with pytest.raises(StoreError, match="refused") as caught:
        mine.get(Page, "a")
    assert caught.value.retryable
    with mine._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO versions")
    assert mine.get(Page, "a") == Page(id="a")
    mine.close()


def test_threads_always_see_their_own_writes(two: tuple[RememberingLedger, Ledger]) -> None:
    """Threads that write through either ledger read what they wrote in the very next answer, and never an older version after a newer one."""
    mine, other = two
    mine.all(Page)
    wrong: list[Any] = []

    def work(worker: int) -> None:
        try:
            seen = 0
            for k in range(1, 40):
                name = f"{worker}-{k % 5}"
                (mine, other)[k % 2].put(Page(id=name, count=k), now_us=k, by=str(worker))
                found, among = mine.get(Page, name), [p.count for p in mine.all(Page) if p.id == name]
                begun = [p.count for p in mine.all(Page, f"{worker}-") if p.id == name]
                if found is None or [found.count] != [k] or among != [k] or begun != [k]:
                    wrong.append((name, k, found, among, begun))
                shared = mine.put(Page(id="all", count=worker * 100 + k), now_us=k, by=str(worker))
                latest = mine.latest(Page, "all")
                if latest is None or latest.version < max(seen, shared):
                    wrong.append((latest, seen, shared))
                seen = latest.version if latest else 0
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert mine.all(Page) == other.all(Page)


NAMES = st.sampled_from(["a", "b", "ab", "a-1", "é", "z", "a\U0010ffff"])
SAID = st.builds(
    lambda n, k, c: k(id=n, text=c), NAMES, st.sampled_from([Page, Line]), st.sampled_from(["", "s", "L" * 200])
)
STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 1), SAID),
    st.tuples(st.just("get"), st.sampled_from([Page, Line]), NAMES),
    st.tuples(st.just("all"), st.sampled_from([Page, Line]), st.sampled_from(["", "", "a", "a-", "x", "é"])),
    st.tuples(st.just("blank"), st.integers(0, 1), st.sampled_from([Page, Line])),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=25), room=st.sampled_from([0, 500, 10_000]))
def test_it_answers_as_a_plain_ledger_after_whatever_was_done(steps: list[Any], room: int) -> None:
    """After any sequence of writes by two writers, blankings and questions each answer equals the plain ledger's."""
    large, space = remembered.LARGE, remembered.ROOM
    remembered.LARGE, remembered.ROOM = 100, room
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        mine, plain = RememberingLedger.open(path), Ledger.open(path)
        try:
            for time_us, (what, which, value) in enumerate(steps):
                if what == "put":
                    (mine, plain)[which].put(value, now_us=time_us, by=str(which))
                elif what == "blank":
                    (mine, plain)[which].blank(lambda v: {**v, "text": "gone"} if v["text"] == "s" else v, [value])
                elif what == "get":
                    assert mine.latest(which, value) == plain.latest(which, value)
                    assert mine.get(which, value) == plain.get(which, value)
                else:
                    assert mine.all(which, value) == plain.all(which, value)
            for kind in (Page, Line):
                assert mine.all(kind) == plain.all(kind)
                assert mine.history(kind) == plain.history(kind)
        finally:
            remembered.LARGE, remembered.ROOM = large, space
            mine.close()
            plain.close()
