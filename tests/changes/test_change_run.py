"""Laws of the change log on a real store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.changes import KINDS, Change, Inventory
from andon.changes.run import change_from, changes_of, find_versions, record_change
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
        ({"colour": "red"}, "colour.*the fields are"),
        ({"\x1b[31m": 1}, "x1b"),
    ],
)
def test_an_error_names_the_field(wrong: dict[str, object], names: str) -> None:
    """A value that cannot be is refused with the name of its field and what is allowed, on one clean line."""
    with pytest.raises(InputError, match=names) as caught:
        change_from({"kind": "prompt", "title": "x", **wrong}, now_us=T0)
    assert str(caught.value).isprintable()


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


def test_changes_of_a_range(store: Store) -> None:
    """The changes of one app and environment in a half-open range, in order of time."""
    for name, at, app in (("c3", 3, "bot"), ("c1", 1, "bot"), ("c2", 2, "other"), ("c5", 5, "bot")):
        store.ledger.put(Change(id=name, at_us=at, kind="code", title="x", app=app), now_us=T0, by="ann")
    assert [c.id for c in changes_of(store.ledger, "bot", "production", 1, 5)] == ["c1", "c3"]
