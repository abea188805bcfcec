"""One suite for every ledger: versions without gaps, nothing lost, nothing changed."""

import math
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from andon.errors import InputError, StateError
from andon.store import Ledger, RememberingLedger, Versioned


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    name: str
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    id: str
    state: Literal["open", "closed"] = "open"
    score: float = 0.0
    count: int = 0
    sure: bool | None = None
    parts: tuple[Inner, ...] = ()
    tags: dict[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    id: str


def _named(made: tuple[type[Ledger], str]) -> str:
    return f"{made[0].__name__}-{made[1]}"


@pytest.fixture(
    params=[(kind, where) for kind in (Ledger, RememberingLedger) for where in ("memory", "file", "postgres")],
    ids=_named,
)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """Each ledger there is."""
    kind, where = request.param
    if where == "postgres":
        made = kind(request.getfixturevalue("on_postgres"))
    else:
        made = kind("sqlite://") if where == "memory" else kind.open(tmp_path / "deep" / "ledger.db")
    yield made
    made.close()


def test_versions_count_up_from_one(ledger: Ledger) -> None:
    """Each changed record is the next version; get gives the latest, history all with author and time."""
    first, second = Finding(id="a"), Finding(id="a", state="closed")
    assert ledger.put(first, now_us=10, by="ada") == 1
    assert ledger.put(second, now_us=20, by="bob") == 2
    assert ledger.get(Finding, "a") == second
    assert ledger.history(Finding, "a") == [
        Versioned(record=first, version=1, at_us=10, by="ada"),
        Versioned(record=second, version=2, at_us=20, by="bob"),
    ]


def test_the_latest_version_is_the_last_of_the_history(ledger: Ledger) -> None:
    """Latest is the last entry of the history with its number, author and time, and its number may be expected; else None."""
    assert ledger.latest(Finding, "a") is None
    for count in range(3):
        for name in ("a", "b"):
            ledger.put(Finding(id=name, count=count), now_us=10 * count, by=f"{name}{count}")
            ledger.put(Other(id=name), now_us=1, by="ada")
        latest = ledger.latest(Finding, "a")
        assert latest is not None
        assert latest == ledger.history(Finding, "a")[-1]
        assert (latest.version, latest.at_us, latest.by) == (count + 1, 10 * count, f"a{count}")
    assert ledger.put(Finding(id="a", count=9), now_us=50, by="bob", expect=latest.version) == 4


def test_an_equal_record_writes_nothing(ledger: Ledger) -> None:
    """Putting what is there already returns its version, whoever does it and whenever."""
    record = Finding(id="a", tags={"b": 1.0, "a": "x"})
    assert ledger.put(record, now_us=1, by="ada") == 1
    assert ledger.put(replace(record, tags={"a": "x", "b": 1.0}), now_us=2, by="bob") == 1
    assert len(ledger.history(Finding)) == 1


def test_expect_guards_against_lost_updates(ledger: Ledger) -> None:
    """A writer who read an older version is told who wrote the newer one, and nothing is written."""
    assert ledger.put(Finding(id="a"), now_us=1, by="ada", expect=0) == 1
    with pytest.raises(StateError, match="'ada'"):
        ledger.put(Finding(id="a", count=1), now_us=2, by="bob", expect=0)
    assert ledger.put(Finding(id="a", count=1), now_us=2, by="bob", expect=1) == 2
    with pytest.raises(StateError, match="version 2, written by 'bob'"):
        ledger.put(Finding(id="a", count=9), now_us=3, by="ada", expect=1)
    with pytest.raises(StateError, match="does not exist"):
        ledger.put(Finding(id="b"), now_us=3, by="ada", expect=4)
    assert [v.version for v in ledger.history(Finding)] == [1, 2]


def test_what_was_never_written_is_none(ledger: Ledger) -> None:
    """A missing record is None or an empty list, and kinds do not see each other's ids."""
    ledger.put(Other(id="a"), now_us=1, by="ada")
    assert ledger.get(Finding, "a") is None
    assert ledger.all(Finding) == []
    assert ledger.history(Finding, "a") == []


def test_all_keeps_the_order_of_first_writing(ledger: Ledger) -> None:
    """All gives each record once, latest version, in the order in which they were first written."""
    for name in ("z", "a", "m"):
        ledger.put(Finding(id=name), now_us=1, by="ada")
    ledger.put(Finding(id="z", count=5), now_us=0, by="ada")
    assert ledger.all(Finding) == [Finding(id="z", count=5), Finding(id="a"), Finding(id="m")]
    assert [v.record.id for v in ledger.history(Finding)] == ["z", "a", "m", "z"]


def test_threads_write_versions_without_gaps(ledger: Ledger) -> None:
    """Concurrent writers of one record get versions 1..n, each exactly once."""
    got: list[int] = []

    def write(worker: int) -> None:
        for i in range(20):
            got.append(ledger.put(Finding(id="a", count=worker * 1000 + i), now_us=i, by=str(worker)))
            assert ledger.get(Finding, "a") is not None

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 81))
    assert [v.version for v in ledger.history(Finding, "a")] == list(range(1, 81))


def test_only_one_of_many_expecting_writers_wins(ledger: Ledger) -> None:
    """Of several writers who read the same version, exactly one succeeds."""
    results: list[Any] = []

    def write(worker: int) -> None:
        try:
            results.append(ledger.put(Finding(id="a", count=worker), now_us=1, by=str(worker), expect=0))
        except StateError as error:
            results.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r for r in results if r == 1] == [1]
    assert len(results) == 6


def test_the_last_entry_grows_with_every_write_and_only_then(ledger: Ledger) -> None:
    """The newest entry's number is 0 at first, grows with each version of any kind, and stays when nothing is written."""
    seen = [ledger.last_entry()]
    assert seen == [0]
    for record in (Finding(id="a"), Other(id="a"), Finding(id="a", count=1), Finding(id="b")):
        ledger.put(record, now_us=1, by="ada")
        seen.append(ledger.last_entry())
        ledger.put(record, now_us=2, by="bob")
        assert ledger.last_entry() == seen[-1]
    assert seen == sorted(set(seen))
    assert ledger.ids(Finding)[-1] == (seen[-1], "b")


def test_what_was_written_after_an_entry_is_every_version_of_the_kinds(ledger: Ledger) -> None:
    """Each version of records of these kinds after the entry, in the order of writing; nothing of other kinds or before."""
    entries = []
    for record in (Finding(id="a"), Other(id="a"), Finding(id="a", count=1), Finding(id="b")):
        ledger.put(record, now_us=1, by="ada")
        entries.append(ledger.last_entry())
    said = list(zip(entries, ("Finding", "Other", "Finding", "Finding"), ("a", "a", "a", "b"), strict=True))
    assert ledger.written((Finding, Other), 0) == said
    assert ledger.written((Finding,), entries[0]) == said[2:]
    assert ledger.written((Finding, Other), entries[-1]) == []
    assert ledger.written((Inner,), 0) == []


def test_all_that_begin_so_are_read_alone(ledger: Ledger) -> None:
    """Only records whose id begins so, letter by letter, in whatever case and alphabet; still in the order of writing."""
    names = [
        "pull-a-2",
        "pull-a-1",
        "pull-A-1",
        "pull-ab-1",
        "pull-a%-1",
        "pull-a-é",
        "pull-a-\U0010fffd",
        "pull-b-1",
        "pull",
        "pull-a-\U0010ffff\U0010ffff",
        "\U0010ffff",
        "\ud7ff",
        "\ue000",
    ]
    for name in names:
        ledger.put(Finding(id=name), now_us=1, by="ada")
        ledger.put(Other(id=name), now_us=1, by="ada")
    texts = ("", "pull", "pull-a", "pull-a-", "pull-A", "pull-a%", "pull-a_", "x", "pull-b-1", "é")
    for begins in (*texts, "pull-a-\U0010ffff", "\U0010ffff", "\U0010ffff\U0010ffff", "\ud7ff"):
        assert [f.id for f in ledger.all(Finding, begins)] == [n for n in names if n.startswith(begins)], begins


def test_what_was_decided_by_another_record_is_not_written_when_that_changed(ledger: Ledger) -> None:
    """Of two writers who each read what the other one writes, the second is told who came first, and writes nothing."""
    ledger.put(Other(id="b"), now_us=1, by="ada")
    read = ((Other, "b", 1), (Other, "none", 0))
    assert ledger.put(Finding(id="a"), now_us=2, by="bob", expect=0, beside=read) == 1
    ledger.put(Other(id="none"), now_us=3, by="eve")
    with pytest.raises(StateError, match=r"Other 'none' is at version 1, written by 'eve'"):
        ledger.put(Finding(id="a", count=1), now_us=4, by="bob", expect=1, beside=read)
    with pytest.raises(StateError, match=r"Other 'gone' does not exist"):
        ledger.put(Finding(id="a", count=1), now_us=4, by="bob", expect=1, beside=[(Other, "gone", 2)])
    assert [v.version for v in ledger.history(Finding)] == [1]


@dataclass(frozen=True, slots=True, kw_only=True)
class This:
    id: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class That:
    id: str
    by: str


def test_of_two_records_that_exclude_each_other_one_is_written(ledger: Ledger) -> None:
    """Threads that write one of two records, each beside the absence of the other, leave one of them, however they interleave."""
    for n in range(20):
        barrier = threading.Barrier(2)

        def write(kind: Any, other: Any, name: str, barrier: threading.Barrier) -> None:
            barrier.wait()
            with suppress(StateError):
                ledger.put(kind(id=name, by="x"), now_us=1, by="x", expect=0, beside=[(other, name, 0)])

        threads = [
            threading.Thread(target=write, args=(*kinds, f"{n}", barrier)) for kinds in ((This, That), (That, This))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (ledger.get(This, f"{n}") is None) != (ledger.get(That, f"{n}") is None)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
FINDINGS = st.builds(
    Finding,
    id=TEXT.filter(lambda t: t and "\0" not in t),
    state=st.sampled_from(["open", "closed"]),
    score=FINITE,
    count=st.integers(-(2**63), 2**63 - 1),
    sure=st.none() | st.booleans(),
    parts=st.lists(st.builds(Inner, name=TEXT, share=st.none() | FINITE), max_size=3).map(tuple),
    tags=st.dictionaries(TEXT, FINITE | TEXT, max_size=3),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=FINDINGS)
def test_records_come_back_equal(ledger: Ledger, record: Finding) -> None:
    """What is read is what was written, for any text, number and nesting."""
    ledger.put(record, now_us=1, by="ada")
    assert ledger.get(Finding, record.id) == record


@pytest.mark.parametrize(
    "record",
    [
        Finding(id="a", score=math.nan),
        Finding(id="a", tags={"x": math.inf}),
        Finding(id="a", parts=(Inner(name="x", share=-math.inf),)),
        Finding(id="a\ud800"),
        Finding(id=""),
        Finding(id="a\0"),
        Finding(id="a", state="odd"),  # type: ignore[arg-type]
        Finding(id="a", count="many"),  # type: ignore[arg-type]
        Inner(name="no id"),
        "not a record",
    ],
    ids=repr,
)
def test_what_cannot_be_kept_is_refused(ledger: Ledger, record: Any) -> None:
    """A number that is not finite, a missing id or a field of another type is refused, never turned into null."""
    with pytest.raises(InputError):
        ledger.put(record, now_us=1, by="ada")
    assert ledger.all(Finding) == []


@pytest.mark.parametrize("by", ["a\0", "a\ud800", "a" * 1001], ids=["NUL", "surrogate", "long"])
def test_an_author_that_cannot_be_kept_is_refused(ledger: Ledger, by: str) -> None:
    """What one database could hold as an author and the other could not is refused by both, before anything is written."""
    with pytest.raises(InputError, match="author"):
        ledger.put(Finding(id="a"), now_us=1, by=by)
    assert ledger.last_entry() == 0


@pytest.mark.parametrize("length", [249, 250, 251, 500, 501, 1000, 1001, 100_000])
def test_names_of_any_length_are_kept(ledger: Ledger, length: int) -> None:
    """Ids that cannot be compressed, however long and much alike, are versions of their own records, found by what they are."""
    noise = "".join(chr(0x100 + (k * k * 7919) % 1500) for k in range(length))
    names = [noise, noise + "1", noise + "2"]
    by = noise[:500]
    for count in range(2):
        for name in names:
            ledger.put(Finding(id=name, count=count), now_us=1, by=by, expect=count, beside=[(Finding, name, count)])
    for _ in range(2):  # before and after the kind is remembered as a whole
        assert [ledger.get(Finding, name) for name in names] == [Finding(id=name, count=1) for name in names]
        assert [f.id for f in ledger.all(Finding)] == names
        assert [f.id for f in ledger.all(Finding, noise[:100])] == names
    for name in names:
        assert [v.record.id for v in ledger.history(Finding, name)] == [name] * 2
        assert ledger.plain("Finding", name, 2)["id"] == name
        line = ledger.entry_at(ledger.entry(Finding, name))
        assert line is not None
        assert ledger.get(Finding, line.id) == Finding(id=name, count=1)
    assert {e.by for e in ledger.trail(["Finding"])} == {by}


@pytest.mark.parametrize("odd", ["a\0", "a\ud800"], ids=["NUL", "surrogate"])
def test_what_cannot_be_kept_is_not_there(ledger: Ledger, odd: str) -> None:
    """Who asks for a text that no ledger can hold, or a number that is too large, is told that there is none; no error."""
    ledger.put(Finding(id="a"), now_us=1, by="ada")
    for _ in range(2):  # before and after the kind is remembered as a whole
        assert ledger.get(Finding, odd) is None
        assert ledger.all(Finding, odd) == []
        assert ledger.all(Finding) == [Finding(id="a")]
    assert ledger.history(Finding, odd) == []
    assert ledger.entry(Finding, odd) == 0
    assert ledger.plain("Finding", odd, 1) is None
    assert ledger.trail(["Finding"], by=odd) == ledger.trail(["Finding"], begins=odd) == ledger.trail([odd]) == []
    assert ledger.entry_at(10**30) is None


def test_a_guard_that_refuses_stops_every_write(ledger: Ledger) -> None:
    """Where the guard raises, neither `put` nor `blank` nor `writing` changes anything; who asks it not to is let by."""
    ledger.put(Finding(id="a"), now_us=1, by="ada")
    asked = []

    def guard(connection: Any) -> None:
        asked.append(connection.exec_driver_sql("SELECT count(*) FROM versions").scalar_one())
        raise StateError("not any more")

    ledger.guard = guard
    for write in (
        lambda: ledger.put(Finding(id="a", count=1), now_us=2, by="ada"),
        lambda: ledger.put(Finding(id="b"), now_us=2, by="ada"),
        lambda: ledger.blank(lambda value: {**value, "count": 7}, [Finding]),
        lambda: ledger.writing().__enter__(),
    ):
        with pytest.raises(StateError, match="not any more"):
            write()
    assert asked == [1] * 4
    with ledger.writing(guarded=False) as connection:
        assert connection.exec_driver_sql("UPDATE versions SET author = 'eve'").rowcount == 1
    assert ledger.history(Finding) == [Versioned(record=Finding(id="a"), version=1, at_us=1, by="eve")]
    ledger.guard = None
    assert ledger.put(Finding(id="b"), now_us=2, by="ada") == 1


def test_what_an_error_leaves_is_undone(ledger: Ledger) -> None:
    """Nothing of a transaction that an error leaves is kept, and the next one has its turn."""
    ledger.put(Finding(id="a"), now_us=1, by="ada")

    def fail() -> None:
        with ledger.writing() as connection:
            connection.exec_driver_sql("DELETE FROM versions")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ledger.put(Finding(id="a", count=1), now_us=2, by="ada", expect=1) == 2


def test_older_and_newer_fields(ledger: Ledger) -> None:
    """A field of a newer version is ignored in reading, and a field that an older one lacks has its default."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Finding:  # the same kind, as another version of the code has it
        id: str
        invented_later: str = "x"

    newer = Finding
    ledger.put(newer(id="a"), now_us=1, by="newer")
    older = globals()["Finding"]
    assert ledger.get(older, "a") == older(id="a")
    ledger.put(older(id="b", count=3), now_us=2, by="older")
    assert ledger.get(newer, "b") == newer(id="b", invented_later="x")
    assert [v.by for v in ledger.history(older)] == ["newer", "older"]


def test_blanking_rewrites_every_version_and_nothing_else(ledger: Ledger) -> None:
    """A text is gone from all versions of all records; numbers, times, authors and other records stay."""
    for k, name in enumerate(("eve", "bob", "eve again")):
        ledger.put(Finding(id="a", parts=(Inner(name=name),), count=k), now_us=k, by="ada")
    ledger.put(Finding(id="b", parts=(Inner(name="bob"),)), now_us=9, by="ada")

    def change(value: Any) -> Any:
        parts = [{**p, "name": "x"} if "eve" in p["name"] else p for p in value["parts"]]
        return value if parts == value["parts"] else {**value, "parts": parts}

    assert ledger.blank(change, [Finding]) == 2
    told = ledger.history(Finding, "a")
    assert [(v.record.parts[0].name, v.record.count, v.version, v.at_us, v.by) for v in told] == [
        ("x", 0, 1, 0, "ada"), ("bob", 1, 2, 1, "ada"), ("x", 2, 3, 2, "ada"),
    ]  # fmt: skip
    assert ledger.get(Finding, "b") == Finding(id="b", parts=(Inner(name="bob"),))


def test_blanking_never_makes_a_record_unreadable(ledger: Ledger) -> None:
    """A body that its class would not read any more stays as it was, and is not counted; the others are changed."""
    kept = Finding(id="a", state="closed")
    ledger.put(kept, now_us=1, by="ada")
    ledger.put(Other(id="closed"), now_us=1, by="ada")

    def change(value: Any) -> Any:
        return {k: "[erased]" if v == "closed" else v for k, v in value.items()}

    assert ledger.blank(change, [Finding, Other]) == 1
    assert ledger.all(Finding) == [kept]
    assert ledger.all(Other) == [Other(id="[erased]")]


def test_what_no_class_here_reads_is_not_blanked(ledger: Ledger) -> None:
    """Where the class of a record is not named nobody can tell what it still reads, so its body stays."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Hidden:
        id: str
        text: str

    ledger.put(Hidden(id="h", text="secret"), now_us=1, by="ada")
    assert ledger.blank(lambda value: {**value, "text": "x"}, [Finding]) == 0
    assert ledger.all(Hidden) == [Hidden(id="h", text="secret")]


def test_the_trail_tells_who_wrote_what_newest_first(ledger: Ledger) -> None:
    """Each version is one line with its author and time, the newest first; by kind, author, id, time and page, nothing else is told."""
    for n in range(6):
        ledger.put(Finding(id=f"a{n % 3}", count=n), now_us=10 * n, by="ada" if n % 2 else "bob")
    ledger.put(Other(id="a%"), now_us=70, by="ada")
    lines = ledger.trail(["Finding", "Other"])
    assert [(e.kind, e.id, e.version, e.at_us, e.by) for e in lines[:2]] == [
        ("Other", "a%", 1, 70, "ada"),
        ("Finding", "a2", 2, 50, "ada"),
    ]
    assert [e.entry for e in lines] == sorted((e.entry for e in lines), reverse=True)
    assert len(lines) == 7
    assert {e.by for e in ledger.trail(["Finding", "Other"], by="bob")} == {"bob"}
    assert [e.id for e in ledger.trail(["Finding", "Other"], begins="a%")] == ["a%"]
    assert ledger.trail(["Finding"], begins="A") == []
    assert [e.at_us for e in ledger.trail(["Finding"], start_us=10, end_us=30)] == [20, 10]
    assert ledger.trail(["Other"]) == lines[:1]
    assert ledger.trail([]) == []
    pages = ledger.trail(["Finding", "Other"], limit=3)
    assert [*pages, *ledger.trail(["Finding", "Other"], before=pages[-1].entry)] == lines
    assert ledger.entry_at(lines[1].entry) == lines[1]
    assert ledger.entry_at(10**6) is None
    assert ledger.plain("Finding", "a0", 2)["count"] == 3
    assert ledger.plain("Finding", "a0", 3) is None
    assert ledger.kinds_written(lines[1].entry) == {"Other"}
