"""Laws of finding versions in traffic."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.changes import KINDS, Inventory, Sighting, discover, group_field
from andon.changes.discover import MANY, inventory_id
from andon.traffic import VERSIONS

HOUR = 3_600_000_000


def seen(value: str, at: int = 0, field: str = "prompt_version", group: str = "", **more: str) -> Sighting:
    """A sighting, in hours."""
    told = {"app": "bot", "environment": "production", **more}
    return Sighting(field=field, group=group, value=value, first_us=at * HOUR, n=1, **told)


def blank() -> Inventory:
    """The inventory of an app without traffic."""
    return Inventory(id="bot/production")


def test_the_first_value_is_the_inventory() -> None:
    """The first value of a field is no change; the second one is, at its first time, from the one before it."""
    inventory, changes = discover(blank(), [seen("v1", 1)])
    assert changes == []
    _, (change,) = discover(inventory, [seen("v2", 5), seen("v1", 6)])
    assert (change.before, change.after, change.at_us, change.kind) == ("v1", "v2", 5 * HOUR, "prompt")
    assert (change.version_field, change.origin, change.own) == ("prompt_version", "traffic", True)


def test_a_value_that_comes_back_is_no_new_change() -> None:
    """Only the first sighting of a value counts, however the traffic goes to and fro."""
    inventory, changes = discover(blank(), [seen("v1", 1), seen("v2", 2)])
    again, more = discover(inventory, [seen("v1", 3), seen("v2", 4)])
    assert (len(changes), more, again) == (1, [], inventory)


def test_a_value_that_was_there_before_all_others_is_no_change() -> None:
    """Late traffic of an older version is not a change back to it."""
    inventory, _ = discover(blank(), [seen("v2", 5)])
    inventory, changes = discover(inventory, [seen("v1", 1)])
    assert changes == []
    _, (change,) = discover(inventory, [seen("v3", 9)])
    assert change.before == "v2"


def test_a_silent_move_of_the_provider() -> None:
    """A new resolved model behind the same requested one is not our own change, and touches that alias only."""
    models = [seen("m-0314", 1, "model", "m"), seen("m-0613", 2, "model", "m"), seen("m", 3, "model", "m")]
    _, changes = discover(blank(), models)
    assert [(c.before, c.after, c.own) for c in changes] == [("m-0314", "m-0613", False), ("m-0613", "m", False)]
    assert changes[0].scope == {"requested_model": "m"}
    assert "behind m moved from m-0314 to m-0613" in changes[0].title


def test_models_behind_different_requests_are_apart() -> None:
    """Each requested model has its own inventory; asking for another model is our own change."""
    rows = [seen("a-1", 1, "model", "a"), seen("b-1", 2, "model", "b"), seen("x", 1, "model"), seen("y", 2, "model")]
    _, changes = discover(blank(), [*rows, seen("a", 1, "requested_model"), seen("b", 2, "requested_model")])
    assert {(c.version_field, c.after, c.own) for c in changes} == {
        ("model", "y", True),
        ("requested_model", "b", True),
    }


def test_a_new_traffic_source_is_not_our_own() -> None:
    """A source that appears is a change of kind traffic source that somebody else made."""
    _, (change,) = discover(blank(), [seen("web", 1, "source"), seen("tv", 2, "source")])
    assert (change.kind, change.own) == ("traffic source", False)


def test_a_field_with_many_values_holds_no_versions() -> None:
    """Beyond 200 values new ones are no changes, and the inventory stops growing."""
    rows = [seen(f"user-{k}", k) for k in range(MANY + 500)]
    inventory, changes = discover(blank(), rows)
    assert len(changes) == MANY - 1
    assert len(inventory.seen["prompt_version|"]) == MANY + 1
    assert discover(inventory, [seen("another", 9_999)])[1] == []


@pytest.mark.parametrize("field", VERSIONS)
def test_every_version_field_gives_a_known_kind(field: str) -> None:
    """The kind of a discovered change is one of `KINDS`, and its title names the new value."""
    _, (change,) = discover(blank(), [seen("old", 1, field), seen("new", 2, field)])
    assert change.kind in KINDS
    assert "new" in change.title
    assert group_field(field) in (None, "requested_model")


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(("prompt_version", "model", "source")), st.sampled_from("abcd"), st.integers(0, 30)),
        max_size=25,
    ),
    cuts=st.lists(st.integers(0, 30), max_size=4),
    shuffle=st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_any_partition_in_time_order_gives_the_same_changes(rows, cuts, shuffle) -> None:
    """Sightings handed over at once, or in any number of calls in order of time, give the same changes and inventory."""
    sightings = [seen(value, at, field) for field, value, at in rows]
    whole = discover(blank(), sightings)
    inventory, changes = blank(), []
    edges = [0, *sorted(set(cuts)), 31]
    for low, high in pairwise(edges):
        part = [s for s in sightings if low * HOUR <= s.first_us < high * HOUR]
        shuffle.shuffle(part)
        inventory, more = discover(inventory, part)
        changes += more
    assert (inventory, changes) == whole
    assert len({c.id for c in changes}) == len(changes)


@given(parts=st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), min_size=2, max_size=2, unique=True))
def test_two_apps_never_share_an_inventory(parts) -> None:
    """Slashes in names do not make two apps one; a plain name keeps its plain id."""
    (a, b), (c, d) = parts
    assert inventory_id(a, b) != inventory_id(c, d)
    assert inventory_id("bot", "production") == "bot/production"


def test_the_change_has_the_app_of_the_sighting() -> None:
    """An app with a slash in its name keeps it."""
    home = Inventory(id=inventory_id("org/bot", "eu/prod"))
    rows = [replace(seen(v, at), app="org/bot", environment="eu/prod") for v, at in (("v1", 1), ("v2", 2))]
    _, (change,) = discover(home, rows)
    assert (change.app, change.environment) == ("org/bot", "eu/prod")
