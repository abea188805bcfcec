"""Laws of versions that a lever gives and traffic shows: one change, that of the lever, with who saw it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from andon.changes import Change
from andon.changes.discover import PLAIN_US, SHOWN_US, shown_by
from andon.changes.run import AGAIN_US, changes_of, find_versions
from andon.investigations.suspects import told_once
from andon.levers import Lever
from andon.levers.run import add_version, approve_version, declare, hold, promote
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS, Interaction
from andon.traffic.run import record

SECOND = 1_000_000
HOUR = 3600 * SECOND
T0 = 1_790_000_000_000_000
PROMPT = Lever(id="desk.prompt", kind="string", default="cite", safe="cite", app="desk")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[Warehouse, Ledger, str]]:
    """A home with a lever of app desk, the digest of an approved version that is live in staging, and traffic of the default."""
    warehouse, ledger = Warehouse(tmp_path, SCHEMAS), Ledger.open(tmp_path / "ledger.db")
    declare(ledger, PROMPT, T0, "ann")
    digest = add_version(ledger, PROMPT.id, "cite more", why="more sources", by="bob", now_us=T0).digest
    approve_version(ledger, PROMPT.id, digest, why="reads well", by="cem", now_us=T0)
    promote(ledger, PROMPT.id, digest, to="staging", why="try it", by="bob", now_us=T0)
    seen(warehouse, ledger, "default", T0)
    yield warehouse, ledger, digest
    warehouse.close()
    ledger.close()


def seen(warehouse: Warehouse, ledger: Ledger, version: str, at_us: int, field: str = "prompt_version") -> list[Change]:
    """Traffic of a version, of the prompt unless said; the new changes that are found in it."""
    record(
        warehouse,
        [
            Interaction(
                id=f"{field}-{version}-{at_us}", time_us=at_us, app="desk", query="q", answer="a", **{field: version}
            )
        ],
    )
    warehouse.commit()
    return find_versions(warehouse, ledger, now_us=at_us)


def test_a_promotion_that_traffic_shows_is_one_change(store: tuple[Warehouse, Ledger, str]) -> None:
    """The promotion stays the only change, at its own time, and is told the field and values by which traffic shows it."""
    warehouse, ledger, digest = store
    promote(ledger, PROMPT.id, digest, to="production", why="good", by="bob", now_us=T0 + HOUR)
    assert seen(warehouse, ledger, digest, T0 + HOUR + SECOND) == []
    (change,) = changes_of(ledger, "desk", "production", 0, T0 + 2 * HOUR)
    assert (change.origin, change.at_us, change.author) == ("lever", T0 + HOUR, "bob")
    assert (change.version_field, change.before, change.after) == ("prompt_version", "default", digest)
    assert told_once([change]) == [change]


def test_a_hold_that_traffic_shows_is_one_change(store: tuple[Warehouse, Ledger, str]) -> None:
    """So is a hold of a value that is no version, and another version is a change by itself, though a lever moved."""
    warehouse, ledger, _ = store
    hold(ledger, PROMPT.id, why="harm", by="ann", until_us=T0 + 3 * HOUR, now_us=T0 + HOUR)
    assert seen(warehouse, ledger, "held", T0 + HOUR + SECOND) == []
    (change,) = changes_of(ledger, "desk", "production", 0, T0 + 2 * HOUR)
    assert (change.origin, change.version_field, change.after) == ("lever", "prompt_version", "held")
    (other,) = seen(warehouse, ledger, "v9", T0 + HOUR + 2 * SECOND)
    assert (other.origin, other.before, other.after) == ("traffic", "held", "v9")
    assert len(changes_of(ledger, "desk", "production", 0, T0 + 2 * HOUR)) == 2


def lever(after: str = "a whole prompt", **more: str) -> Change:
    """A change of a lever that gives version 1a2b."""
    shown = {"lever": "desk.prompt", "shown as": "1a2b exp-1-treatment", **more}
    return Change(id="L", at_us=T0, kind="lever", title="lever", after=after, origin="lever", attributes=shown)


def sighting(after: str, kind: str = "prompt") -> Change:
    """A version that traffic shows for the first time."""
    return Change(
        id="S", at_us=T0, kind=kind, title="seen", before="old", after=after, version_field="prompt_version", origin="traffic"
    )  # fmt: skip


@pytest.mark.parametrize("name", ["1a2b", "exp-1-treatment", "a whole prompt"])
def test_every_name_of_what_a_lever_gives_is_known(name: str) -> None:
    """The digest, the variant and the value itself; what traffic showed first stays."""
    told = shown_by(sighting(name), [lever()])
    assert told is not None
    assert (told.id, told.version_field, told.before, told.after) == ("L", "prompt_version", "old", name)
    assert shown_by(sighting("1a2b"), [told]) == told


def test_the_control_of_a_split_is_no_version_of_its_own() -> None:
    """Traffic names the arm in which nothing changed as well: that is no change, and not what the split gives."""
    split = lever(control="exp-1-control")
    assert shown_by(sighting("exp-1-control"), [split]) == split


def test_what_no_lever_gives_is_a_change_by_itself() -> None:
    """Another version, a new traffic source of that name, and a change that somebody recorded."""
    assert shown_by(sighting("1a2c"), [lever()]) is None
    assert shown_by(sighting("1a2b", "traffic source"), [lever()]) is None
    recorded = Change(id="R", at_us=T0, kind="prompt", title="v", after="1a2b")
    assert shown_by(sighting("1a2b"), [recorded]) is None
    assert shown_by(sighting("1a2b"), []) is None


@pytest.mark.parametrize(
    ("after_us", "one"), [(SHOWN_US - SECOND, True), (SHOWN_US + SECOND, False), (-AGAIN_US + 1, True)]
)
def test_only_what_is_seen_soon_is_the_lever(store: tuple[Warehouse, Ledger, str], after_us: int, one: bool) -> None:
    """Within two days of the promotion, or a little before it by another clock; later it is a change by itself."""
    warehouse, ledger, digest = store
    at_us = T0 + HOUR
    promote(ledger, PROMPT.id, digest, to="production", why="good", by="bob", now_us=at_us)
    assert len(seen(warehouse, ledger, digest, at_us + after_us)) == (0 if one else 1)


def hold_index(ledger: Ledger, at_us: int) -> None:
    """A lever of the index is held at the text v2."""
    declare(ledger, Lever(id="desk.index", kind="string", default="v1", safe="v2", app="desk"), T0, "ann")
    hold(ledger, "desk.index", why="harm", by="ann", until_us=at_us + 90 * HOUR, now_us=at_us)


@pytest.mark.parametrize("shown", [False, True])
def test_a_deploy_of_the_same_name_is_a_change_by_itself(store: tuple[Warehouse, Ledger, str], shown: bool) -> None:
    """A prompt v2 a day after a lever gave the index v2 is a deploy, whether traffic showed the index or not."""
    warehouse, ledger, _ = store
    seen(warehouse, ledger, "v1", T0, "index_version")
    hold_index(ledger, T0 + HOUR)
    assert not shown or seen(warehouse, ledger, "v2", T0 + HOUR + SECOND, "index_version") == []
    (deploy,) = seen(warehouse, ledger, "v2", T0 + 26 * HOUR)
    assert (deploy.origin, deploy.version_field, deploy.after) == ("traffic", "prompt_version", "v2")
    log = changes_of(ledger, "desk", "production", 0, T0 + 30 * HOUR)
    assert [(c.origin, c.version_field) for c in log] == [
        ("lever", "index_version" if shown else None),
        ("traffic", "prompt_version"),
    ]


def test_what_one_field_shows_no_other_field_shows(store: tuple[Warehouse, Ledger, str]) -> None:
    """Once traffic told in which field a lever is seen, the same value in another is a change, also at once."""
    warehouse, ledger, _ = store
    seen(warehouse, ledger, "v1", T0, "index_version")
    hold_index(ledger, T0 + HOUR)
    assert seen(warehouse, ledger, "v2", T0 + HOUR + SECOND, "index_version") == []
    assert len(seen(warehouse, ledger, "v2", T0 + HOUR + 2 * SECOND)) == 1


@pytest.mark.parametrize(("kind", "value", "name"), [("number", 2.0, "2.0"), ("boolean", True, "true")])
def test_a_bare_figure_names_nothing(
    store: tuple[Warehouse, Ledger, str], kind: str, value: float | bool, name: str
) -> None:
    """Code 2.0 that goes live as a number is held at 2.0 is a deploy."""
    warehouse, ledger, _ = store
    seen(warehouse, ledger, "1.0", T0, "code_version")
    declare(ledger, Lever(id="desk.figure", kind=kind, default=type(value)(), safe=value, app="desk"), T0, "ann")
    hold(ledger, "desk.figure", why="harm", by="ann", until_us=T0 + 9 * HOUR, now_us=T0 + HOUR)
    (deploy,) = seen(warehouse, ledger, name, T0 + HOUR + SECOND, "code_version")
    assert (deploy.version_field, deploy.before, deploy.after) == ("code_version", "1.0", name)


@pytest.mark.parametrize(("after_us", "one"), [(PLAIN_US, True), (PLAIN_US + 1, False)])
def test_a_bare_value_is_the_lever_within_ten_minutes(after_us: int, one: bool) -> None:
    """Later it is a change by itself; the digest is the lever for two days."""
    late = replace(sighting("a whole prompt"), at_us=T0 + after_us)
    assert (shown_by(late, [lever()]) is not None) is one
    assert shown_by(replace(late, after="1a2b"), [lever()]) is not None
