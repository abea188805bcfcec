"""Laws of the change log on a real store."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from andon.changes import KINDS, Change, Inventory, changes_of_body
from andon.changes.run import AGAIN_US, change_from, changes_of, find_versions, record_change, record_changes
from andon.errors import InputError
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS, Interaction
from andon.traffic.run import record

T0 = 1_790_000_000_000_000


class Store:
    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse(folder, SCHEMAS)
        self.ledger = Ledger("sqlite://")
        self.sent = 0

    def take(self, *rows: dict[str, object]) -> None:
        record(self.warehouse, [Interaction(**{"id": f"i{self.sent + k}", **row}) for k, row in enumerate(rows)])
        self.sent += len(rows)
        self.warehouse.commit()

    def find(self) -> list[Change]:
        return find_versions(self.warehouse, self.ledger, now_us=T0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real warehouse and ledger."""
    store = Store(tmp_path)
    yield store
    store.warehouse.close()
    store.ledger.close()


def test_versions_in_traffic_become_changes(store: Store) -> None:
    """A version that traffic shows for the first time is in the log at that time, once, without anybody's doing."""
    store.take({"time_us": T0, "prompt_version": "v1"}, {"time_us": T0 + 5, "prompt_version": "v1"})
    assert store.find() == []
    store.take({"time_us": T0 + 9, "prompt_version": "v2"}, {"time_us": T0 + 7, "prompt_version": "v2"})
    (change,) = store.find()
    assert (change.at_us, change.after, change.author) == (T0 + 7, "v2", "seen in traffic")
    assert store.ledger.all(Change) == [change]
    assert store.find() == []
    assert len(store.ledger.history(Change)) == 1


def test_batches_do_not_matter(store: Store, tmp_path: Path) -> None:
    """Traffic searched commit by commit gives the log that traffic searched at once gives."""
    rows = [
        {
            "time_us": T0 + k,
            "app": f"org/{k % 2}",
            "model": f"m-{k // 8}",
            "requested_model": "m",
            "source": f"s{k // 10}",
        }
        for k in range(24)
    ]
    other = Store(tmp_path / "other")
    other.take(*rows)
    at_once = other.find()
    for k in range(0, 24, 5):
        store.take(*rows[k : k + 5])
        store.find()
    by_id = {c.id: c for c in store.ledger.all(Change)}
    assert by_id == {c.id: c for c in at_once}
    assert len(by_id) == 8
    assert {c.app for c in at_once} == {"org/0", "org/1"}
    assert {i.id: i for i in store.ledger.all(Inventory)} == {i.id: i for i in other.ledger.all(Inventory)}
    other.warehouse.close()
    other.ledger.close()


def test_no_versions_no_changes(store: Store) -> None:
    """Traffic that names no version at all changes nothing."""
    assert store.find() == []
    store.take({"time_us": T0}, {"time_us": T0 + 1})
    assert store.find() == []
    assert store.ledger.all(Inventory) == []


def test_apps_and_environments_are_apart(store: Store) -> None:
    """What one app or environment shows is no change of another."""
    store.take(
        {"time_us": T0, "app": "a", "code_version": "1"},
        {"time_us": T0 + 1, "app": "b", "code_version": "2"},
        {"time_us": T0 + 2, "app": "a", "environment": "staging", "code_version": "3"},
    )
    assert store.find() == []


def test_a_plain_change() -> None:
    """Kind and title are enough; the id follows from the content, so sending it again is the same change."""
    now = T0 + 77
    data = {"kind": "prompt", "title": "shorter answers", "at": "2026-09-21T12:00:00Z", "after": "v2"}
    change = change_from(data, now_us=now)
    assert change == change_from(dict(reversed(data.items())), now_us=now + 5)
    assert change.at_us == 1_789_992_000_000_000
    assert change_from({"kind": "prompt", "title": "x"}, now_us=now).at_us == now


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"kind": None}, "kind"),
        ({"title": 5}, "title"),
        ({"at": "yesterday"}, "at: "),
        ({"at_us": "now"}, "at_us"),
        ({"at_us": True}, "at_us"),
        ({"app": 5}, "app"),
        ({"id": " "}, "id"),
        ({"after": ["v2"]}, "after"),
        ({"own": "yes"}, "own"),
        ({"scope": "high"}, "scope"),
        ({"scope": {"risk_category": 1}}, "scope"),
        ({"version_field": "promt_version"}, "version_field.*prompt_version"),
        ({"after": "v\0"}, "NUL"),
        ({"app": "b" * 301}, "app.*at most 300"),
        ({"before": "x" * 100_001}, "before.*100,000"),
        ({"link": "javascript:alert(1)"}, "link.*http"),
        ({"link": "http://["}, "link.*http"),
        ({"at_us": 10**30}, "at_us"),
        ({"at_us": 5}, "2000"),
        ({"attributes": "x"}, "attributes.*object"),
        ({"scope": {f"k{n}": "v" for n in range(21)}}, "scope.*20"),
    ],
)
def test_an_error_names_the_field(wrong: dict[str, object], names: str) -> None:
    """A value that cannot be is refused with the name of its field and what is allowed, on one clean line."""
    with pytest.raises(InputError, match=names) as caught:
        change_from({"kind": "prompt", "title": "x", **wrong}, now_us=T0)
    assert str(caught.value).isprintable()


def test_unknown_keys_are_kept() -> None:
    """A key that is no field is kept as text, and is part of what the change is."""
    plain = {"kind": "prompt", "title": "x"}
    change = change_from({**plain, "colour": "red", "build": {"number": 7}, "attributes": {"team": "b"}}, now_us=T0)
    assert change.attributes == {"colour": "red", "build.number": "7", "team": "b"}
    assert change.id != change_from(plain, now_us=T0).id


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_recorded(store: Store, kind: str) -> None:
    """Each of `KINDS` is accepted, with its author in the history."""
    change = change_from({"kind": kind, "title": "x"}, now_us=T0)
    assert record_change(store.ledger, change, now_us=T0, by="ann") == change
    assert store.ledger.history(Change, change.id)[0].by == "ann"


@pytest.mark.parametrize(("kind", "title", "says"), [("deploy", "x", "choose one of"), ("code", "  ", "needs a title")])
def test_what_is_no_change_is_refused(store: Store, kind: str, title: str, says: str) -> None:
    """An unknown kind or an empty title is refused, and nothing is written."""
    with pytest.raises(InputError, match=says):
        record_change(store.ledger, Change(id="c", at_us=T0, kind=kind, title=title), now_us=T0, by="ann")
    assert store.ledger.all(Change) == []


def send(store: Store, body: object, now_us: int = T0) -> list[str]:
    """Record what a body holds; answers the ids."""
    received = changes_of_body(body, headers={}, now_us=now_us)
    return [c.id for c in record_changes(store.ledger, received, now_us=now_us)]


def test_a_second_delivery_adds_nothing(store: Store) -> None:
    """A body that comes again writes no version, whether or not its sender said a time or a name."""
    dated = {"kind": "prompt", "title": "x", "at": "2026-09-21T12:00:00Z", "team": {"name": "b"}}
    named = {"specversion": "1.0", "type": "com.example.prompt.updated", "id": "7", "source": "/ci", "data": {}}
    bare = {"kind": "prompt", "title": "y"}
    first = send(store, [dated, named, bare])
    history = store.ledger.history(Change)
    assert len(history) == len(set(first)) == 3
    assert send(store, [dated, named, bare], T0 + AGAIN_US) == first
    assert send(store, [named, dated], T0 + 99 * AGAIN_US) == [first[1], first[0]]
    assert store.ledger.history(Change) == history


def test_the_same_words_later_are_another_change(store: Store) -> None:
    """Without a time and a name, the same body after ten minutes is a change of its own, each time."""
    body = {"kind": "config", "title": "flag toggled"}
    ids = [send(store, body, T0 + k * (AGAIN_US + 1))[0] for k in (0, 1, 2)]
    assert len(set(ids)) == 3
    assert send(store, body, T0 + 2 * (AGAIN_US + 1) + 5) == ids[2:]
    assert [c.at_us for c in store.ledger.all(Change)] == [T0 + k * (AGAIN_US + 1) for k in (0, 1, 2)]


def test_a_correction_is_the_next_version(store: Store) -> None:
    """The same id with other words corrects the change, and an undated one keeps the time of its first arrival."""
    send(store, {"id": "deploy-7", "kind": "code", "title": "x"})
    send(store, {"id": "deploy-7", "kind": "code", "title": "x, to the end"}, T0 + 5)
    (change,) = store.ledger.all(Change)
    assert (change.title, change.at_us, len(store.ledger.history(Change))) == ("x, to the end", T0, 2)


def test_what_andon_found_cannot_be_overwritten(store: Store) -> None:
    """An id of a change that traffic showed is refused, and of the whole body nothing is written."""
    store.take({"time_us": T0, "prompt_version": "v1"}, {"time_us": T0 + 1, "prompt_version": "v2"})
    (found,) = store.find()
    with pytest.raises(InputError, match="found itself"):
        send(store, [{"kind": "code", "title": "new"}, {"id": found.id, "kind": "code", "title": "x"}])
    assert store.ledger.all(Change) == [found]


def test_a_ledger_of_before_can_be_read(store: Store) -> None:
    """A change that was written before there were attributes is read as one without any."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Before:
        id: str
        at_us: int
        kind: str
        title: str

    Before.__name__ = "Change"
    store.ledger.put(Before(id="c", at_us=T0, kind="code", title="x"), now_us=T0, by="ann")
    assert store.ledger.all(Change) == [Change(id="c", at_us=T0, kind="code", title="x", attributes={})]


def test_changes_of_a_range(store: Store) -> None:
    """The changes of one app and environment in a half-open range, in order of time."""
    for name, at, app in (("c3", 3, "bot"), ("c1", 1, "bot"), ("c2", 2, "other"), ("c5", 5, "bot")):
        store.ledger.put(Change(id=name, at_us=at, kind="code", title="x", app=app), now_us=T0, by="ann")
    assert [c.id for c in changes_of(store.ledger, "bot", "production", 1, 5)] == ["c1", "c3"]
