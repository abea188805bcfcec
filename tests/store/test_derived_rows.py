"""Laws of rows that are derived of others: what came later is not replaced, and nobody who writes all the time stops the rest."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from andon.errors import StoreError
from andon.store import Slice, Warehouse
from andon.store.rows import REPEATED, REPLACES
from andon.store.warehouse import DERIVED_TRIES

T0 = 1_790_000_000_000_000
SCHEMA = pa.schema(
    {"id": pa.string(), "time_us": pa.int64(), "of": pa.string(), "said": pa.string()}, metadata={REPEATED: REPLACES}
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Warehouse]:
    """A store with one table."""
    warehouse = Warehouse(tmp_path, {"notes": SCHEMA})
    yield warehouse
    warehouse.close()


def rows(*given: tuple[str, int, str | None, str]) -> pa.Table:
    """Rows as id, time after `T0`, of what, and what they say."""
    return pa.Table.from_pylist(
        [{"id": i, "time_us": T0 + at, "of": of, "said": said} for i, at, of, said in given], schema=SCHEMA
    )


def there(store: Warehouse) -> dict[str, Any]:
    """What each id says, where each is there once."""
    found = store.run(Slice(table="notes", columns=("id", "said")))
    assert found.num_rows == len(set(found["id"].to_pylist()))
    return dict(zip(found["id"].to_pylist(), found["said"].to_pylist(), strict=True))


def sent(store: Warehouse, *given: tuple[str, int, str | None, str]) -> None:
    """Take rows in as from outside, and commit them."""
    store.append("notes", rows(*given))
    store.commit()


def test_what_began_earlier_than_was_known_replaces_what_was_derived_of_the_same(store: Warehouse) -> None:
    """A derived row has the time of what it is derived of: where more of it comes to light, it may move to an earlier time."""
    half, whole = ("a", 5, "trace", "half"), ("a", 1, "trace", "whole")
    assert store.derive("notes", lambda _: rows(half), source="of") == (1, 0)
    assert store.derive("notes", lambda _: rows(whole), source="of") == (0, 1)
    assert store.derive("notes", lambda _: rows(whole), source="of") == (0, 0)
    assert there(store) == {"a": "whole"}


def test_what_was_sent_later_stays(store: Warehouse) -> None:
    """A row of something else with the same id and a later time is the last word about it."""
    sent(store, ("a", 5, None, "sent"))
    assert store.derive("notes", lambda _: rows(("a", 1, "trace", "derived")), source="of") == (0, 0)
    assert there(store) == {"a": "sent"}


def test_only_what_was_overtaken_is_derived_again(store: Warehouse) -> None:
    """A row that somebody wrote meanwhile is derived again, and alone; the others are there already."""
    asked = []

    def make(again: Collection[str] | None) -> pa.Table:
        asked.append(again)
        if again is None:
            sent(store, ("a", 1, "trace", "known to another one"))
            return rows(("a", 1, "trace", "half"), ("b", 2, "trace", "b"))
        assert there(store)["b"] == "b"
        return rows(("a", 1, "trace", "known to another one"))

    assert store.derive("notes", make, source="of") == (1, 0)
    assert asked == [None, {"a"}]
    assert there(store) == {"a": "known to another one", "b": "b"}


def test_somebody_who_writes_all_the_time_is_named(store: Warehouse) -> None:
    """Where a row is written whenever it was derived, that is an error which names it, and all others are written."""
    number = iter(range(100))

    def make(again: Collection[str] | None) -> pa.Table:
        sent(store, ("a", 1, None, f"sent {next(number)}"))
        return rows(("a", 1, "trace", "derived"), ("b", 2, "trace", "b"))

    with pytest.raises(StoreError, match="'a'") as caught:
        store.derive("notes", make, source="of")
    assert caught.value.retryable
    assert next(number) == DERIVED_TRIES
    assert there(store) == {"a": f"sent {DERIVED_TRIES - 1}", "b": "b"}
