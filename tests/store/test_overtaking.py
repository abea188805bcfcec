"""Laws of several writers over the same tables: none holds a lock, and yet each row is there once and none is lost."""

import multiprocessing
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from andon.errors import StoreError
from andon.store import REPEATED, REPLACES, Bucket, Slice, Warehouse
from andon.store import table as delta

DAY = 86_400_000_000
SCHEMA = pa.schema([("id", pa.string()), ("time_us", pa.int64()), ("user_id", pa.string()), ("score", pa.float64())])
SAID_AGAIN = SCHEMA.with_metadata({REPEATED: REPLACES})
SCHEMAS = {"turns": SCHEMA, "words": SAID_AGAIN}


def replica(folder: Path, name: str, url: str = "") -> Warehouse:
    """A replica with a journal of its own over the tables that all see: beside it, or in a bucket."""
    home = folder / name
    return Warehouse(Bucket(url, home / "copies") if url else folder / "store", SCHEMAS, home=home)


def rows(names: list[str], user: str = "u", score: float = 0.0, day: int = 5) -> pa.Table:
    """Rows of one user on one day."""
    times = [day * DAY + i for i in range(len(names))]
    return pa.table(
        {
            "id": names,
            "time_us": pa.array(times, pa.int64()),
            "user_id": [user] * len(names),
            "score": [score] * len(names),
        }
    )


def held(store: Warehouse, table: str) -> list[tuple[str, float]]:
    """Ids and scores of a table, sorted."""
    found = store.run(Slice(table=table, columns=("id", "score"))).to_pylist()
    return sorted((r["id"], r["score"]) for r in found)


@contextmanager
def meanwhile(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> Iterator[list[bool]]:
    """Within the block, the first file that anybody writes is written after `work` was done: its author is overtaken."""
    done: list[bool] = []
    write = delta._write

    def late(*args: Any, **kwargs: Any) -> Any:
        if not done:
            done.append(True)
            work()
        return write(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(delta, "_write", late)
        yield done


def commit(table: str, names: list[str], score: float) -> Callable[[Warehouse], Any]:
    """Take rows in and commit them."""

    def do(store: Warehouse) -> None:
        store.append(table, rows(names, score=score))
        store.commit()

    return do


DEEDS: dict[str, Callable[[Warehouse], Any]] = {
    "rows": commit("turns", ["a", "b", "n1"], 7.0),
    "other rows": commit("turns", ["b", "n1", "n2"], 8.0),
    "the last word": commit("words", ["a", "n1"], 7.0),
    "another last word": commit("words", ["a", "b", "n1"], 8.0),
    "merging turns": lambda store: store.compact("turns"),
    "merging words": lambda store: store.compact("words"),
    "forgetting": lambda store: [store.expire(table, before_us=2 * DAY) for table in SCHEMAS],
    "erasing": lambda store: [store.erase(table, "user_id", "eve") for table in SCHEMAS],
}


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest) -> str:
    """Of a bucket for the tables; empty for a folder."""
    return request.getfixturevalue("bucket") if request.param == "bucket" else ""


def begun(folder: Path, url: str) -> tuple[Warehouse, Warehouse]:
    """Two replicas over small files with rows of three days, of Eve and of others."""
    one, other = (replica(folder, name, url and f"{url}/{folder.name}") for name in ("one", "other"))
    for table in SCHEMAS:
        for n, (user, day) in enumerate((("eve", 5), ("bob", 1), ("u", 5), ("u", 1), ("eve", 1))):
            names = ["a", "b"] if n == 2 else [f"{table}-{n}", f"{table}-{n}x"]
            one.append(table, rows(names, user, day=day))
            one.commit()
    return one, other


def outcome(store: Warehouse) -> dict[str, list[tuple[str, float]]]:
    """What the tables hold."""
    return {table: held(store, table) for table in SCHEMAS}


PAIRS = [("folder", first, second) for first in DEEDS for second in DEEDS]
PAIRS += [("bucket", first, second) for first, second in pairwise([*DEEDS, next(iter(DEEDS))])]
"""In a bucket each takes seconds; one of each deed overtaken, and one of each that overtakes, is enough."""


@pytest.mark.parametrize(
    ("url", "first", "second"),
    [pytest.param(*pair, marks=[pytest.mark.slow] if pair[0] == "bucket" else []) for pair in PAIRS],
    indirect=["url"],
)
def test_whoever_is_overtaken_decides_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, first: str, second: str
) -> None:
    """A change that is overtaken by another one ends as if it had come after it; both are whole, each row is there once."""
    one, other = begun(tmp_path / "together", url)
    with meanwhile(monkeypatch, lambda: DEEDS[second](other)) as done:
        DEEDS[first](one)
    if not done:
        DEEDS[second](other)
    alone, _ = begun(tmp_path / "alone", url)
    DEEDS[second](alone)
    DEEDS[first](alone)
    assert outcome(one) == outcome(other) == outcome(alone)
    for table in SCHEMAS:
        assert set(Counter(name for name, _ in outcome(one)[table]).values()) == {1}


def test_a_file_that_is_not_committed_yet_survives_an_erasure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Whoever erases while another process has written a file and not yet named it leaves that file alone."""
    one, other = begun(tmp_path, url)
    publish = delta.DeltaTable.create_write_transaction
    erased: list[int] = []

    def late(table: Any, *args: Any, **kwargs: Any) -> None:
        if not erased:
            erased.append(0)
            erased[0] = other.erase("turns", "user_id", "eve")
        publish(table, *args, **kwargs)

    monkeypatch.setattr(delta.DeltaTable, "create_write_transaction", late)
    one.append("turns", rows(["new"], score=1.0))
    one.commit()
    assert erased == [4]
    assert ("new", 1.0) in held(other, "turns")


@pytest.mark.parametrize("told", [delta.CommitFailedError, delta.DeltaError])
@pytest.mark.parametrize("deed", DEEDS)
def test_a_commit_whose_answer_was_lost_is_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, told: type[Exception]
) -> None:
    """Whoever is told that a commit failed which was made keeps its files; done again, everything is there once."""
    one, other = begun(tmp_path / "lost", "")
    publish, lost = delta.DeltaTable.create_write_transaction, []

    def lose(table: Any, *args: Any, **kwargs: Any) -> None:
        publish(table, *args, **kwargs)
        if not lost:
            lost.append(True)
            raise told("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(delta.DeltaTable, "create_write_transaction", lose)
        with suppress(StoreError):
            DEEDS[deed](one)
    assert lost
    DEEDS[deed](one)
    alone, _ = begun(tmp_path / "alone", "")
    DEEDS[deed](alone)
    assert outcome(one) == outcome(other) == outcome(alone)


def _storm(folder: Path, name: str, url: str, seed: int) -> None:
    """Take in rows that others take in too, commit, merge and forget, in any order."""
    rng, store = random.Random(seed), replica(folder, name, url)
    for n in range(12):
        store.append("turns", rows([f"r{n}-{i}" for i in rng.sample(range(20), 12)]))
        store.append("words", rows([f"w{i}" for i in rng.sample(range(20), 5)], score=float(n)))
        if rng.random() < 0.7:
            store.commit()
        if rng.random() < 0.3:
            store.compact(rng.choice(["turns", "words"]))
        if rng.random() < 0.2:
            store.expire("turns", before_us=2 * DAY)
    store.commit()


@pytest.mark.slow(20)
def test_a_storm_of_replicas_loses_nothing_and_doubles_nothing(tmp_path: Path, url: str) -> None:
    """Four processes that take in the same rows and change the tables at will leave each row once, and no journal."""
    replica(tmp_path, "first", url).close()
    spawn = multiprocessing.get_context("spawn")
    storms = [spawn.Process(target=_storm, args=(tmp_path, f"home{n}", url, n)) for n in range(4)]
    for storm in storms:
        storm.start()
    for storm in storms:
        storm.join()
    assert [storm.exitcode for storm in storms] == [0] * 4
    wanted = set()
    for n in range(4):
        rng = random.Random(n)
        for k in range(12):
            wanted |= {f"r{k}-{i}" for i in rng.sample(range(20), 12)}
            rng.sample(range(20), 5)
            rng.random()
            if rng.random() < 0.3:
                rng.choice(["turns", "words"])
            rng.random()
    store = replica(tmp_path, "last", url)
    assert Counter(name for name, _ in held(store, "turns")) == Counter(wanted)
    assert max(Counter(name for name, _ in held(store, "words")).values()) == 1
    assert all(replica(tmp_path, f"home{n}", url).uncommitted_bytes() == 0 for n in range(4))
