from dataclasses import dataclass

import pytest

from andon.store import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    id: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    id: str


@pytest.fixture
def ledger():
    """An empty ledger in memory."""
    book = Ledger("sqlite://")
    yield book
    book.close()


def test_ids_tell_what_is_new_of_one_kind(ledger):
    """Each record stands once, at its first version, in the order of writing; `after` leaves out what was seen."""
    for record in (Note(id="b"), Other(id="x"), Note(id="a"), Note(id="b", text="again")):
        ledger.put(record, now_us=1, by="ann")
    found = ledger.ids(Note)
    assert [i for _, i in found] == ["b", "a"]
    assert ledger.ids(Note, after=found[-1][0]) == []
    ledger.put(Note(id="a", text="again"), now_us=2, by="ann")
    ledger.put(Note(id="c"), now_us=2, by="ann")
    assert [i for _, i in ledger.ids(Note, after=found[-1][0])] == ["c"]
    assert ledger.ids(int) == []
