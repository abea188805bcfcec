"""Laws of promotion: the order of environments, the way back, and that no promotion or declaration lacks its change."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from andon.changes import Change
from andon.errors import InputError, StateError
from andon.levers import GateResult, Lever, Promotion, Version
from andon.levers.run import (
    Board,
    add_version,
    declare,
    expire,
    hold,
    live_in,
    note_gate,
    promote,
    release,
    version_before,
)
from andon.store import Ledger

T0 = 1_790_000_000_000_000


def to(ledger: Ledger, environment: str, version: Version, now_us: int = T0 + 10, **more: Any) -> Promotion:
    """A version made live."""
    fields: dict[str, Any] = {"why": "better", "by": "ann", "now_us": now_us}
    return promote(ledger, version.lever, version.digest, to=environment, **{**fields, **more})


def served(ledger: Ledger, environment: str = "production", now_us: int = T0 + 20) -> tuple[Any, str]:
    """Value and variant that an application is given."""
    board = Board(ledger)
    board.refresh()
    body = board.evaluate("prompt", {"environment": environment}, now_us)
    assert body is not None
    return body["value"], body["variant"]


def test_staging_takes_anything_and_production_what_was_tried_there(
    ledger: Ledger, approved: Callable[[str], Version]
) -> None:
    """Staging serves what nobody approved; production what was approved and is live in staging, in this order."""
    draft = add_version(ledger, "prompt", "draft", why="w", by="ann", now_us=T0)
    to(ledger, "staging", draft)
    assert (served(ledger, "staging"), served(ledger)) == (("draft", draft.digest), ("be helpful", "default"))
    with pytest.raises(StateError, match="not approved"):
        to(ledger, "production", draft)
    ready = approved("ready")
    with pytest.raises(StateError, match="is not live in staging: `andon lever promote"):
        to(ledger, "production", ready)
    assert live_in(ledger, "prompt", "production") is None
    to(ledger, "staging", ready)
    to(ledger, "production", ready)
    assert served(ledger) == ("ready", ready.digest)


def test_the_way_back_needs_no_staging(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """A version that was live in production before goes back there at once, while staging has another one."""
    one, two = live("1"), live("2")
    to(ledger, "production", one)
    assert (served(ledger), served(ledger, "staging")) == (("1", one.digest), ("2", two.digest))
    to(ledger, "production", two)
    assert served(ledger) == ("2", two.digest)


def test_the_way_back_needs_the_gate(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """A version that the gate did not pass since it was live does not come back."""
    one, _ = live("1"), live("2")
    note_gate(ledger, "prompt", one.digest, GateResult(outcome="fail", reason="r", by="ann", at_us=T0), T0)
    with pytest.raises(StateError, match="did not pass"):
        to(ledger, "production", one)
    assert served(ledger)[0] == "2"


def test_a_rollback_is_what_was_live_before(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """A rollback holds the version before the live one; before the first one was the default; before none there is none."""
    with pytest.raises(StateError, match="no version of prompt was ever promoted to production"):
        version_before(ledger, "prompt", "production")
    live("1")
    assert version_before(ledger, "prompt", "production") == "be helpful"
    live("2")
    assert version_before(ledger, "prompt", "production") == "1"
    pull = hold(
        ledger,
        "prompt",
        version_before(ledger, "prompt", "production"),
        why="w",
        by="b",
        until_us=T0 + 99,
        now_us=T0 + 9,
    )
    assert (served(ledger, now_us=T0 + 98), served(ledger, now_us=T0 + 99)[0]) == (("1", pull.digest), "2")


def test_a_promotion_is_a_change_from_what_was_live_to_what_is(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """Every promotion writes one change in its environment, from the default or the version before; a repeated one nothing."""
    one, two = live("1"), live("2")
    entry = ledger.last_entry()
    assert to(ledger, "production", two, why="again") == live_in(ledger, "prompt", "production")
    assert ledger.last_entry() == entry
    to(ledger, "production", one)
    said = [(c.environment, c.before, c.after) for c in ledger.all(Change)]
    assert said == [
        ("staging", "be helpful", "1"),
        ("production", "be helpful", "1"),
        ("staging", "1", "2"),
        ("production", "1", "2"),
        ("production", "2", "1"),
    ]
    assert {(c.kind, c.origin, c.own, c.app, c.author) for c in ledger.all(Change)} == {
        ("lever", "lever", True, "bot", "ann")
    }


def test_the_default_is_live_again(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """Back to the declared default needs no approval and no staging: it is served, one change says so, and it can be undone.

    A rollback of it does not lead back to the version that was bad.
    """
    one = live("1")
    back = promote(ledger, "prompt", "default", to="production", why="worse", by="ann", now_us=T0 + 10)
    assert (back.digest, served(ledger)) == (None, ("be helpful", "default"))
    last = ledger.all(Change)[-1]
    assert (last.before, last.after, last.title) == (
        "1",
        "be helpful",
        "the default of lever prompt promoted to production",
    )
    entry = ledger.last_entry()
    assert promote(ledger, "prompt", "default", to="production", why="w", by="bob", now_us=T0 + 11) == back
    assert ledger.last_entry() == entry
    with pytest.raises(StateError, match="the default of prompt is live in production, and was before any version"):
        version_before(ledger, "prompt", "production")
    to(ledger, "production", one, T0 + 12)
    assert served(ledger)[0] == "1"


def test_where_nothing_was_ever_live_the_default_is(ledger: Ledger) -> None:
    """Who asks for the default where no version was ever promoted is told that it is live; nothing is written."""
    entry = ledger.last_entry()
    with pytest.raises(StateError, match="no version of prompt was ever live in staging: its default is"):
        promote(ledger, "prompt", "default", to="staging", why="w", by="ann", now_us=T0)
    assert ledger.last_entry() == entry


def test_a_promotion_under_a_hold_serves_when_the_hold_ends(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """A pull in force wins over a promotion; its release says that what is live now is served, its expiry too."""
    hold(ledger, "prompt", why="harm", by="ann", until_us=T0 + 100, now_us=T0)
    one = live("1")
    assert served(ledger)[0] == "say nothing"
    release(ledger, "prompt", why="w", by="ann", now_us=T0 + 15)
    assert served(ledger) == ("1", one.digest)
    assert (ledger.all(Change)[-1].before, ledger.all(Change)[-1].after) == ("say nothing", "1")


def test_an_expiry_that_is_noticed_late_says_what_was_served_then(
    ledger: Ledger, approved: Callable[[str], Version]
) -> None:
    """A hold that ended before a promotion went back to what was live then, however late anybody notices that it ended."""
    version = approved("1")
    hold(ledger, "prompt", why="harm", by="ann", until_us=T0 + 5, now_us=T0)
    to(ledger, "staging", version)
    to(ledger, "production", version)
    expire(ledger, T0 + 50)
    [ended] = [c for c in ledger.all(Change) if c.id.endswith("-expired")]
    assert (ended.at_us, ended.before, ended.after) == (T0 + 5, "say nothing", "be helpful")


def test_an_environment_that_is_none_is_refused(ledger: Ledger, approved: Callable[[str], Version]) -> None:
    """Another environment is an InputError that names it and those there are, for every act; nothing is written."""
    version = approved("1")
    for act in (
        lambda: to(ledger, "prod", version),
        lambda: release(ledger, "prompt", why="w", by="b", now_us=T0, environment="prod"),
        lambda: hold(ledger, "prompt", why="w", by="b", until_us=T0 + 9, now_us=T0, environment="prod"),
    ):
        entry = ledger.last_entry()
        with pytest.raises(InputError, match='"prod" has no levers; staging and production have'):
            act()
        assert ledger.last_entry() == entry


def test_two_who_promote_at_once(ledger: Ledger, live: Callable[[str], Version], first: Callable[..., None]) -> None:
    """Of two who promote in the same moment one is told; one version is live, and one change says so."""
    one, two, _ = live("1"), live("2"), live("3")
    count = len(ledger.all(Change))
    first(Promotion, lambda: to(ledger, "production", one, by="eve"))
    with pytest.raises(StateError, match=r"somebody else promoted .* in the same moment; nothing of yours was written"):
        to(ledger, "production", two)
    assert served(ledger)[0] == "1"
    assert [(c.author, c.before, c.after) for c in ledger.all(Change)[count:]] == [("eve", "3", "1")]


def law_of_changes(ledger: Ledger) -> None:
    """Every promotion and every new default has its change, none has two, and values follow on one another."""
    wanted = Counter(f"lever-{v.record.lever}-{v.record.environment}-p{v.version}" for v in ledger.history(Promotion))
    said = ledger.all(Change)
    assert Counter(c.id for c in said if re.search(r"-p\d+$", c.id)) == wanted
    assert {v.version for v in ledger.history(Change)} <= {1}
    for environment in ("staging", "production"):
        value = "be helpful"
        for change in sorted((c for c in said if c.environment == environment), key=lambda c: c.at_us):
            assert change.before == value
            value = str(change.after)
        assert value == served(ledger, environment)[0]


@pytest.mark.parametrize("survives", range(13))
@pytest.mark.parametrize("look", [True, False])
def test_a_crash_leaves_no_promotion_without_its_change(
    ledger: Ledger, approved: Callable[[str], Version], power_cut: Callable[[int], Any], survives: int, look: bool
) -> None:
    """Wherever promotions break off, the next tick or the next promotion completes the changes, each once."""
    one, two, three = approved("1"), approved("2"), approved("3")
    with power_cut(survives):
        for n, version in enumerate((one, two)):
            to(ledger, "staging", version, T0 + 2 * n + 1)
            to(ledger, "production", version, T0 + 2 * n + 2)
        to(ledger, "production", one, T0 + 6)
    if look:
        expire(ledger, T0 + 7)
        law_of_changes(ledger)
        entry = ledger.last_entry()
        expire(ledger, T0 + 8)
        assert ledger.last_entry() == entry
    to(ledger, "staging", three, T0 + 9)
    to(ledger, "production", three, T0 + 10)
    law_of_changes(ledger)


@pytest.mark.parametrize("survives", range(7))
@pytest.mark.parametrize("look", [True, False])
def test_a_crash_leaves_no_new_default_without_its_change(
    ledger: Ledger, approved: Callable[[str], Version], power_cut: Callable[[int], Any], survives: int, look: bool
) -> None:
    """Wherever declarations break off, the next tick or the next declaration completes the changes, each once."""
    lever = ledger.get(Lever, "prompt")
    assert lever is not None
    approved("third")
    approved("fourth")
    with power_cut(survives):
        declare(ledger, replace(lever, default="say nothing"), T0 + 1, "ann")
        declare(ledger, replace(lever, default="third"), T0 + 2, "ann")
    if look:
        expire(ledger, T0 + 3)
        law_of_changes(ledger)
        entry = ledger.last_entry()
        expire(ledger, T0 + 4)
        assert ledger.last_entry() == entry
    declare(ledger, replace(lever, default="fourth"), T0 + 5, "ann")
    law_of_changes(ledger)


def test_a_default_under_a_live_version_changes_nothing(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """A new default of a lever of which a version is live is no change of what is served."""
    live("1")
    count = len(ledger.all(Change))
    lever = ledger.get(Lever, "prompt")
    assert lever is not None
    declare(ledger, replace(lever, default="say nothing"), T0 + 30, "ann")
    expire(ledger, T0 + 31)
    assert (len(ledger.all(Change)), served(ledger)[0]) == (count, "1")


def test_a_clock_set_back_does_not_undo_a_promotion(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """The promotion written last is live, also where its clock says that it came before the last one."""
    one, two = live("1"), live("2")
    to(ledger, "production", one, T0 - 500)
    assert served(ledger)[0] == "1"
    to(ledger, "production", two, T0 - 900)
    assert served(ledger)[0] == "2"
    assert [(c.before, c.after) for c in ledger.all(Change)[-2:]] == [("2", "1"), ("1", "2")]
