"""Laws of breaking the glass: what it lets happen, how loudly it is written down, and who looks at it afterwards."""

from collections.abc import Callable
from typing import Any

import pytest

from andon.changes import Change
from andon.errors import InputError, StateError
from andon.levers import GateResult, Pull, Version
from andon.levers.run import (
    Board,
    add_version,
    approve_version,
    expire,
    hold,
    live_in,
    note_gate,
    promote,
    release,
    review,
)
from andon.store import Ledger

T0 = 1_790_000_000_000_000
DAY = 24 * 3600 * 1_000_000


def broken(ledger: Ledger, value: Any = "new", now_us: int = T0, **more: Any) -> Pull:
    """The prompt held at what nobody approved."""
    fields = {"why": "harm", "by": "ann", "until_us": now_us + DAY, "break_glass": True, **more}
    return hold(ledger, "prompt", value, now_us=now_us, **fields)


def served(ledger: Ledger, now_us: int) -> Any:
    """What production is given."""
    board = Board(ledger)
    board.refresh()
    body = board.evaluate("prompt", {}, now_us)
    assert body is not None
    return body["value"]


def test_what_nobody_approved_is_held_only_by_breaking_the_glass(ledger: Ledger) -> None:
    """A value that is no version, and a version that nobody approved, are refused with the way in; a broken glass holds both."""
    add_version(ledger, "prompt", "draft", why="w", by="ann", now_us=T0)
    for n, value in enumerate(("new", "draft")):
        entry = ledger.last_entry()
        with pytest.raises(StateError, match=r"nothing unapproved is served to production.*--break-glass"):
            broken(ledger, value, break_glass=False)
        assert ledger.last_entry() == entry
        pull = broken(ledger, value, T0 + n)
        assert served(ledger, T0 + n) == value
        review(ledger, pull.id, why="it was right", by="bob", now_us=T0 + n)


def test_a_broken_glass_is_loud(ledger: Ledger) -> None:
    """The record says that the glass was broken, and the title of its change begins with it; its end brings what was live."""
    pull = broken(ledger)
    expire(ledger, T0 + DAY)
    first, last = ledger.all(Change)
    assert (pull.break_glass, first.title) == (True, 'BREAK GLASS: lever prompt held at "new"')
    assert (last.at_us, last.before, last.after) == (T0 + DAY, "new", "be helpful")
    assert served(ledger, T0 + DAY) == "be helpful"


def test_a_broken_glass_ends_within_a_day(ledger: Ledger) -> None:
    """It holds for a day at most; a second one right after it, once the first was reviewed, is a second record."""
    with pytest.raises(InputError, match="within a day, which is the longest for a broken glass"):
        broken(ledger, until_us=T0 + DAY + 1)
    assert ledger.all(Pull) == []
    review(ledger, broken(ledger).id, why="it was right", by="bob", now_us=T0)
    broken(ledger, now_us=T0 + DAY)
    assert [p.break_glass for p in ledger.all(Pull)] == [True, True]


@pytest.mark.parametrize("later", [1, DAY, 400 * DAY])
def test_a_glass_is_not_broken_again_before_somebody_else_looked(ledger: Ledger, later: int) -> None:
    """Day after day without a review is no emergency: it is refused with the review that is missing, and nothing is written.

    Harm is stopped all the same: what production may see needs no glass, and is held with or without one.
    """
    pull = broken(ledger)
    now = T0 + later
    expire(ledger, now)
    entry = ledger.last_entry()
    with pytest.raises(
        StateError, match=f'andon lever review {pull.id} .*The safe value \\("say nothing"\\) needs no glass'
    ):
        broken(ledger, "other", now)
    assert ledger.last_entry() == entry
    for value, glass in ((None, False), (None, True), ("be helpful", True)):
        broken(ledger, value, now, break_glass=glass)
        now += 1
    assert served(ledger, now) == "be helpful"
    assert broken(ledger, "other", now, environment="staging").value == "other"
    for waiting in [p for p in ledger.all(Pull) if p.break_glass]:
        review(ledger, waiting.id, why="it was right", by="bob", now_us=now)
    assert broken(ledger, "other", now + 1).break_glass


def test_a_broken_glass_breaks_no_other_law(ledger: Ledger) -> None:
    """It lets in no other type, no hold without reason or author and no unknown lever; nothing is written."""
    for act in (
        lambda: broken(ledger, 7),
        lambda: broken(ledger, why=" "),
        lambda: broken(ledger, by=""),
        lambda: broken(ledger, until_us=T0),
        lambda: hold(ledger, "promt", "x", why="w", by="a", until_us=T0 + 9, now_us=T0, break_glass=True),
    ):
        entry = ledger.last_entry()
        with pytest.raises(InputError):
            act()
        assert ledger.last_entry() == entry


def test_what_nobody_approved_never_goes_live(ledger: Ledger) -> None:
    """A promotion has no end, so nothing goes live that nobody approved or that the gate did not pass; a hold is the way."""
    version = add_version(ledger, "prompt", "draft", why="w", by="ann", now_us=T0)
    promote(ledger, "prompt", version.digest, to="staging", why="w", by="ann", now_us=T0)

    def act() -> None:
        promote(ledger, "prompt", version.digest, to="production", why="w", by="ann", now_us=T0)

    with pytest.raises(
        StateError, match=f"holds it for a day at most: `andon lever hold prompt --version {version.digest}"
    ):
        act()
    approve_version(ledger, "prompt", version.digest, why="w", by="bob", now_us=T0)
    failed = GateResult(outcome="fail", reason="r", by="ci", at_us=T0)
    note_gate(ledger, "prompt", version.digest, failed, T0)
    with pytest.raises(StateError, match="did not pass"):
        act()
    assert live_in(ledger, "prompt", "production") is None


def test_who_cannot_wait_for_staging_is_told_to_hold(ledger: Ledger, approved: Callable[[str], Version]) -> None:
    """An approved version that was not tried is no promotion, but the hold that the refusal names serves it, without a glass."""
    version = approved("new")
    with pytest.raises(StateError, match=f"andon lever hold prompt --version {version.digest}`"):
        promote(ledger, "prompt", version.digest, to="production", why="harm", by="ann", now_us=T0)
    pull = broken(ledger, break_glass=False)
    assert (pull.digest, pull.break_glass, served(ledger, T0 + 1)) == (version.digest, False, "new")


@pytest.mark.parametrize("by", ["ann", "ANN", " ann ", "ａｎｎ"])
def test_who_broke_the_glass_does_not_review_it(ledger: Ledger, by: str) -> None:
    """Another person looks at it, in whatever spelling the name is; nothing is written."""
    pull = broken(ledger)
    with pytest.raises(StateError, match="ask another person"):
        review(ledger, pull.id, why="fine", by=by, now_us=T0 + 1)
    assert ledger.get(Pull, pull.id) == pull


def test_a_review_is_written_once(ledger: Ledger) -> None:
    """A review says who, why and when, before or after the end; a second one is refused, and so is one of no broken glass."""
    pull = broken(ledger)
    seen = review(ledger, pull.id, why="it was right", by="bob", now_us=T0 + 5)
    assert seen.reviewed is not None
    assert (seen.reviewed.by, seen.reviewed.why, seen.reviewed.at_us) == ("bob", "it was right", T0 + 5)
    with pytest.raises(StateError, match='reviewed by "bob" already'):
        review(ledger, pull.id, why="no", by="eve", now_us=T0 + 6)
    release(ledger, "prompt", why="over", by="ann", now_us=T0 + 7)
    plain = hold(ledger, "prompt", why="w", by="ann", until_us=T0 + 20, now_us=T0 + 10)
    with pytest.raises(StateError, match="broke no glass"):
        review(ledger, plain.id, why="w", by="bob", now_us=T0 + 11)
    kept = ledger.get(Pull, pull.id)
    assert kept is not None
    assert (kept.reviewed, kept.released_us) == (seen.reviewed, T0 + 7)


def test_a_pull_that_is_none_is_said_with_those_that_wait(ledger: Ledger) -> None:
    """Reviewing an unknown pull names it, and the broken glasses that wait for a review."""
    pull = broken(ledger)
    with pytest.raises(InputError, match=f'there is no pull "pull-9"; waiting for a review: {pull.id}'):
        review(ledger, "pull-9", why="w", by="bob", now_us=T0)


def test_two_who_review_at_once(ledger: Ledger, first: Callable[..., None]) -> None:
    """Of two who review in the same moment one is told; a release in the same moment is not lost either."""
    pull = broken(ledger)
    first(Pull, lambda: review(ledger, pull.id, why="w", by="eve", now_us=T0 + 1))
    with pytest.raises(StateError, match="somebody else reviewed or ended"):
        review(ledger, pull.id, why="w", by="bob", now_us=T0 + 1)
    first(Pull, lambda: release(ledger, "prompt", why="w", by="eve", now_us=T0 + 2))
    with pytest.raises(StateError, match=f"somebody else ended {pull.id} in the same moment"):
        release(ledger, "prompt", why="w", by="bob", now_us=T0 + 2)
    kept = ledger.get(Pull, pull.id)
    assert kept is not None
    assert kept.reviewed is not None
    assert (kept.reviewed.by, kept.released_by) == ("eve", "eve")
