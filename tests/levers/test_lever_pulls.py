"""Laws of declaring, holding, releasing and expiring."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.changes import Change
from andon.errors import InputError, StateError, StoreError
from andon.levers import Asked, GateResult, Lever, Pull, in_force
from andon.levers.pulls import CLOCKS_US, LENGTHENED_US, clock_note
from andon.levers.run import (
    Board,
    add_version,
    approve_version,
    declare,
    expire,
    hold,
    note_gate,
    plan_hold,
    release,
    review,
)
from andon.store import Ledger

T0 = 1_790_000_000_000_000
DAY = 24 * 3600 * 1_000_000
KILL = Lever(id="kill-switch", kind="boolean", default=False, safe=True, app="bot")
DOSE = Lever(id="dose", kind="number", default=1.5, safe=0.0)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory with one declared lever."""
    ledger = Ledger("sqlite://")
    declare(ledger, KILL, T0, "ann")
    yield ledger
    ledger.close()


def pulled(ledger: Ledger, now_us: int = T0, **more: Any) -> Pull:
    """The kill switch held with what a hold needs."""
    fields: dict[str, Any] = {"why": "wrong doses", "by": "ann", "until_us": now_us + 1000, "now_us": now_us}
    return hold(ledger, "kill-switch", **{**fields, **more})


def changes(ledger: Ledger) -> list[Change]:
    """All changes, in the order of writing."""
    return ledger.all(Change)


def test_a_pull_is_a_change_of_our_own(ledger: Ledger) -> None:
    """A hold writes one change, of kind and origin lever, own, with the values before and after, in the lever's app."""
    pull = pulled(ledger, incident="INC-7", trade_off="no answers at night")
    [change] = changes(ledger)
    assert (change.kind, change.origin, change.own, change.author) == ("lever", "lever", True, "ann")
    assert (change.before, change.after, change.at_us) == ("false", "true", T0)
    assert (change.app, change.environment) == ("bot", "production")
    assert (pull.value, pull.incident, pull.trade_off) == (True, "INC-7", "no answers at night")


def test_the_safe_value_is_held_unless_another_is_given(ledger: Ledger) -> None:
    """A hold without a value holds the safe value; a falsy value that is given is held, not taken for none."""
    assert pulled(ledger).value is True
    assert pulled(ledger, T0 + 10, value=False).value is False


def test_release_is_a_change_and_brings_the_default_back(ledger: Ledger) -> None:
    """A release writes a change back to the default, and the lever serves the default at once."""
    pulled(ledger)
    ended = release(ledger, "kill-switch", why="fixed", by="bob", now_us=T0 + 10)
    assert (ended.released_us, ended.released_by, ended.released_why) == (T0 + 10, "bob", "fixed")
    assert [(c.before, c.after, c.author) for c in changes(ledger)] == [
        ("false", "true", "ann"),
        ("true", "false", "bob"),
    ]
    assert in_force(ledger.all(Pull), T0 + 10) is None


def test_expiry_is_one_change_at_the_time_it_happened(ledger: Ledger) -> None:
    """An expiry is recorded once, at the time when it happened, however often and late it is looked for."""
    pulled(ledger)
    assert expire(ledger, T0 + 999) == []
    assert [p.id for p in expire(ledger, T0 + 5000)] == ["pull-kill-switch-00001"]
    assert expire(ledger, T0 + 6000) == []
    assert [(c.at_us, c.after, c.author) for c in changes(ledger)] == [
        (T0, "true", "ann"),
        (T0 + 1000, "false", "andon"),
    ]


def test_a_second_hold_supersedes_and_the_first_never_comes_back(ledger: Ledger) -> None:
    """A hold over a hold ends the first, says so, and after the second ends the default is served, not the first."""
    first = pulled(ledger, until_us=T0 + 10_000)
    second = pulled(ledger, T0 + 10, value=False, until_us=T0 + 20)
    history = ledger.get(Pull, first.id)
    assert history is not None
    assert (history.released_us, history.released_why) == (T0 + 10, f"superseded by {second.id}")
    assert [(c.before, c.after) for c in changes(ledger)] == [("false", "true"), ("true", "false")]
    assert in_force(ledger.all(Pull), T0 + 30) is None


def test_a_clock_set_back_does_not_undo_a_hold(ledger: Ledger) -> None:
    """The newest hold is in force even when the clock says that it came before the last one."""
    pulled(ledger, value=False, until_us=T0 + 2000)
    second = pulled(ledger, T0 - 500, until_us=T0 + 3000)
    held = in_force(ledger.all(Pull), T0 - 500)
    assert held is not None
    assert (held.id, held.value) == (second.id, True)


@pytest.mark.parametrize(("ahead", "longer"), [(600, 0), (DAY, DAY), (400 * DAY, 0)])
def test_a_pull_from_a_clock_ahead_holds_and_keeps_nobody_from_pulling(ledger: Ledger, ahead: int, longer: int) -> None:
    """A pull of a clock that is ahead is in force for one that is behind, and who pulls or releases by the right clock can.

    The one who came last is obeyed, whatever the clocks say, for the time that they asked for by either clock; where that were
    longer than a hold may last, by their own.
    """
    first = pulled(ledger, T0 + ahead, value=False)
    assert in_force(ledger.all(Pull), T0) == first
    second = pulled(ledger, T0, until_us=T0 + 500)
    assert in_force(ledger.all(Pull), T0 + 1) == second
    assert (second.at_us, second.until_us) == (T0, T0 + 500 + longer)
    over = ledger.get(Pull, first.id)
    assert over is not None
    assert over.released_us is not None
    assert over.at_us <= over.released_us <= over.until_us
    board = Board(ledger)
    board.refresh()
    served = [(board.evaluate("kill-switch", {}, T0 + longer + t) or {})["value"] for t in (0, 499, 500, 400 * DAY)]
    assert served == [True, True, False, False]
    expire(ledger, T0 + longer + 500)
    law_of_changes(ledger)
    third = pulled(ledger, T0 + longer + 600)
    ended = release(ledger, "kill-switch", why="w", by="b", now_us=T0 + longer + 601)
    assert (ended.id, in_force(ledger.all(Pull), T0 + longer + 601)) == (third.id, None)


@settings(max_examples=100, deadline=None)
@given(
    behind=st.integers(-2 * DAY, 100 * DAY),
    length=st.integers(1, 90 * DAY),
    first=st.integers(1, 90 * DAY),
    glass=st.booleans(),
    place=st.sampled_from(["production", "staging"]),
)
def test_a_hold_lasts_as_long_as_was_asked_by_whichever_clock_is_right(
    behind: int, length: int, first: int, glass: bool, place: str
) -> None:
    """Whatever the clocks say, a hold is written whole and is in force at once, by the clock of who asked and by that of the last pull.

    It never begins after its end, lasts as long as was asked by its own clock at least, never more than a day longer and never
    longer than a hold may last; a clock that is far off is named, one that is a little off is not.
    """
    ledger, most = Ledger("sqlite://"), DAY if glass else 90 * DAY
    length = min(length, most)
    declare(ledger, KILL, T0, "ann")
    before = hold(ledger, "kill-switch", why="w", by="ann", until_us=T0 + first, now_us=T0, environment=place)
    now = T0 - behind
    pull = pulled(ledger, now, until_us=now + length, break_glass=glass)
    assert in_force(ledger.all(Pull), now) == pull
    assert pull.at_us < pull.until_us
    assert abs(pull.at_us - now) <= CLOCKS_US + 1
    assert now + length <= pull.until_us <= now + most
    if CLOCKS_US < behind <= LENGTHENED_US and length + behind <= most:
        assert pull.until_us == before.at_us + length
    assert pull.until_us - (now + length) <= LENGTHENED_US
    assert bool(clock_note([before], now)) == (behind > CLOCKS_US)
    expire(ledger, pull.until_us)
    assert {p.released_us is not None for p in ledger.all(Pull) if p.environment == "production"} == {True}
    if place == "production":
        law_of_changes(ledger)
    ledger.close()


def test_a_clock_that_is_behind_is_said(ledger: Ledger) -> None:
    """The note says how far, behind whose pull, and what to compare."""
    pulled(ledger, until_us=T0 + DAY)
    note = clock_note(ledger.all(Pull), T0 - 2 * 3_600_000_000)
    assert note == (
        'this clock (2026-09-21T12:13:20Z) is 2 h behind that of "ann", by which pull-kill-switch-00001 was written, so one of the '
        "two is wrong: compare it with `date -u` elsewhere, and look at when this hold ends"
    )
    assert clock_note(ledger.all(Pull), T0 - 60_000_000) == clock_note([], T0) == ""


def test_a_pull_that_is_dated_far_ahead_lengthens_no_hold(ledger: Ledger) -> None:
    """One wrong date does not make the next hold last for months: its own clock is believed, and the note says so."""
    before = pulled(ledger, T0 + 60 * DAY)
    assert pulled(ledger, T0, until_us=T0 + DAY // 48).until_us == T0 + DAY // 48
    assert "that is by this clock alone" in clock_note([before], T0)
    assert "that is by this clock alone" not in clock_note([before], T0 + 59 * DAY)


def test_an_end_that_is_a_moment_is_moved_by_no_clock(ledger: Ledger) -> None:
    """Who says until when means that moment, also where the last pull is of a clock that is ahead."""
    for fixed in (True, False):
        pulled(ledger, T0 + DAY // 2)
        assert pulled(ledger, T0, until_us=T0 + 500, until_fixed=fixed).until_us == T0 + 500 + (
            0 if fixed else DAY // 2
        )


def test_a_release_is_now_by_whatever_clock(ledger: Ledger) -> None:
    """A release is dated by the clock of who releases, never long after it, and never after the end that the hold would have had."""
    for n, ahead in enumerate((0, 30_000_000, DAY)):
        pull = pulled(ledger, T0 + n * DAY + ahead, until_us=T0 + n * DAY + ahead + DAY // 2)
        ended = release(ledger, "kill-switch", why="w", by="bob", now_us=T0 + n * DAY)
        assert ended.released_us is not None
        assert ended.released_us <= pull.until_us
        assert ended.released_us - (T0 + n * DAY) <= CLOCKS_US
        if ahead < DAY:
            assert ended.released_us >= pull.at_us


@pytest.mark.parametrize("act", ["hold", "release"])
def test_a_wrong_clock_ends_nothing_in_another_environment(ledger: Ledger, act: str) -> None:
    """Who pulls in staging by a clock that is ahead leaves the hold of production as it is, change and all."""
    kept = pulled(ledger, until_us=T0 + DAY)
    late = T0 + 2 * DAY
    pulled(ledger, late, until_us=late + 10, environment="staging")
    if act == "release":
        release(ledger, "kill-switch", why="w", by="ann", now_us=late + 1, environment="staging")
    assert ledger.get(Pull, kept.id) == kept
    assert in_force(ledger.all(Pull), T0 + 1) == kept


@pytest.mark.parametrize("change", ["safe value", "version"])
def test_a_pull_is_not_written_by_what_was_true_a_moment_ago(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A lever that is declared anew, or a version that the gate fails, between reading and writing: the pull is refused, nothing written."""
    declare(ledger, DOSE, T0, "ann")
    version = add_version(ledger, "dose", 3.0, why="w", by="ann", now_us=T0)
    approve_version(ledger, "dose", version.digest, why="w", by="bob", now_us=T0)
    put = ledger.put

    def put_late(record: Any, **more: Any) -> int:
        monkeypatch.setattr(ledger, "put", put)
        if change == "version":
            failed = GateResult(outcome="fail", reason="r", by="ci", at_us=T0)
            note_gate(ledger, "dose", version.digest, failed, T0)
        else:
            declare(ledger, replace(DOSE, safe=0.5), T0, "eve")
        return put(record, **more)

    monkeypatch.setattr(ledger, "put", put_late)
    value = 3.0 if change == "version" else None
    with pytest.raises(StateError, match="declared it or changed the version in the same moment; nothing of yours"):
        hold(ledger, "dose", value, why="w", by="ann", until_us=T0 + 9, now_us=T0)
    assert ledger.all(Pull) == []
    if change == "version":
        with pytest.raises(StateError, match="the gate did not pass"):
            hold(ledger, "dose", value, why="w", by="ann", until_us=T0 + 9, now_us=T0)
    else:
        assert hold(ledger, "dose", why="w", by="ann", until_us=T0 + 9, now_us=T0).value == 0.5


def test_a_hold_in_the_same_microsecond_is_the_newer_one(ledger: Ledger) -> None:
    """Of two holds in one microsecond the one written last is in force, and its change names what it replaced."""
    pulled(ledger, until_us=T0 + 1)
    second = pulled(ledger, value=False, until_us=T0 + 1)
    assert in_force(ledger.all(Pull), T0) == second
    expire(ledger, T0 + 1)
    law_of_changes(ledger)


def test_a_review_does_not_end_a_hold_nor_keep_it_from_ending(ledger: Ledger) -> None:
    """A broken glass that was reviewed while it holds goes on holding, and is released, superseded and expires like any."""
    ways = [
        lambda: release(ledger, "kill-switch", why="w", by="ann", now_us=T0 + 20),
        lambda: pulled(ledger, T0 + 20, until_us=T0 + 30),
        lambda: expire(ledger, T0 + 2000),
    ]
    for end in ways:
        pull = pulled(ledger, T0 + 10, break_glass=True)
        review(ledger, pull.id, why="it was right", by="bob", now_us=T0 + 15)
        assert in_force(ledger.all(Pull), T0 + 15) is not None
        end()
        ended = ledger.get(Pull, pull.id)
        assert ended is not None
        assert ended.released_us is not None
        assert ended.reviewed is not None
        expire(ledger, T0 + 2000)
    law_of_changes(ledger)


def test_a_hold_does_not_say_that_it_replaced_what_was_released_meanwhile(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release between the reading and the writing of a hold stays: it is one change, and the hold begins at the default."""
    pulled(ledger)
    put = ledger.put

    def put_late(record: Any, **more: Any) -> int:
        if isinstance(record, Pull) and record.id.endswith("2"):
            monkeypatch.setattr(ledger, "put", put)
            release(ledger, "kill-switch", why="fixed", by="bob", now_us=T0 + 5)
        return put(record, **more)

    monkeypatch.setattr(ledger, "put", put_late)
    pulled(ledger, T0 + 6)
    expire(ledger, T0 + 7)
    law_of_changes(ledger)


@pytest.mark.parametrize("survives", range(3))
@pytest.mark.parametrize(
    "act",
    [
        lambda x: release(x, "kill-switch", why="w", by="bob", now_us=T0 + 999),
        lambda x: pulled(x, T0 + 999, value=False, until_us=T0 + 5000),
    ],
    ids=["released", "superseded"],
)
def test_an_expiry_that_a_person_came_before_is_none(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, survives: int, act: Callable[[Ledger], object]
) -> None:
    """Who expires a pull that somebody ended a moment before writes no second end, wherever they were in between."""
    pulled(ledger)
    calls, latest = [survives], ledger.latest

    def latest_late(kind: Any, name: str) -> Any:
        if kind is Pull and calls[0] == 0:
            monkeypatch.setattr(ledger, "latest", latest)
            act(ledger)
        calls[0] -= kind is Pull
        return latest(kind, name)

    monkeypatch.setattr(ledger, "latest", latest_late)
    expire(ledger, T0 + 1001)
    monkeypatch.undo()
    expire(ledger, T0 + 1002)
    law_of_changes(ledger)
    assert len([p for p in ledger.all(Pull) if p.released_us is not None]) == 1


def test_a_review_while_somebody_releases_is_not_lost(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A review that comes between the reading and the writing of a release stays."""
    pull, latest = pulled(ledger, break_glass=True), ledger.latest

    def latest_late(kind: Any, name: str) -> Any:
        monkeypatch.setattr(ledger, "latest", latest)
        review(ledger, pull.id, why="w", by="bob", now_us=T0 + 5)
        return latest(kind, name)

    monkeypatch.setattr(ledger, "latest", latest_late)
    monkeypatch.setattr(ledger, "get", lambda kind, name: (v := latest(kind, name)) and v.record)
    release(ledger, "kill-switch", why="w", by="ann", now_us=T0 + 6)
    kept = ledger.history(Pull, pull.id)[-1].record
    assert kept.reviewed is not None
    assert (kept.reviewed.by, kept.released_by) == ("bob", "ann")


def test_a_plan_writes_nothing_and_names_what_it_would_replace(ledger: Ledger) -> None:
    """A plan of a hold is the pull that would be written, the value now and the pull that is in force; nothing is written."""
    asked = Asked(why="w", by="b", until_us=T0 + 500)
    entry = ledger.last_entry()
    planned, now, held = plan_hold(ledger, "kill-switch", asked, T0)
    assert (planned.value, now, held, ledger.last_entry()) == (True, False, None, entry)
    assert hold(ledger, "kill-switch", why="w", by="b", until_us=T0 + 500, now_us=T0) == planned
    _, now, held = plan_hold(ledger, "kill-switch", asked, T0 + 1)
    assert (now, held) == (True, planned)
    assert plan_hold(ledger, "kill-switch", replace(asked, until_us=T0 + 900), T0 + 500)[1:] == (False, None)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"why": "  "}, "why"),
        ({"by": ""}, "by"),
        ({"by": "x" * 201}, "200"),
        ({"until_us": T0}, "after now"),
        ({"break_glass": True, "until_us": T0 + DAY + 1}, "a day"),
        ({"environment": "prod"}, "prod.*staging and production"),
        ({"until_us": T0 - 1}, "after now"),
        ({"until_us": T0 + 90 * DAY + 1}, "90 days"),
        ({"until_us": T0 - DAY}, "a hold until 2026-09-20T14:13:20Z is not allowed"),
        ({"until_us": float("inf")}, "90 days"),
        ({"until_us": True}, "90 days"),
        ({"until_us": 10**40}, "90 days"),
        ({"value": "yes"}, "str.*true or false"),
        ({"value": 1}, "int.*true or false"),
        ({"incident": ""}, "incident"),
    ],
)
def test_a_hold_that_lacks_something_writes_nothing(ledger: Ledger, fields: dict[str, Any], says: str) -> None:
    """A hold without reason, author, expiry or right value is refused with a message about it, and nothing is written."""
    with pytest.raises(InputError, match=says):
        pulled(ledger, **fields)
    assert (ledger.all(Pull), changes(ledger)) == ([], [])


def test_an_unknown_lever_names_the_known_ones(ledger: Ledger) -> None:
    """Holding or releasing an unknown lever is refused with the list of those that are declared."""
    with pytest.raises(InputError, match="declared: kill-switch"):
        hold(ledger, "kil-switch", why="w", by="b", until_us=T0 + 1, now_us=T0)
    with pytest.raises(InputError, match="declared: kill-switch"):
        release(ledger, "x", why="w", by="b", now_us=T0)


def test_releasing_what_nobody_holds_is_refused(ledger: Ledger) -> None:
    """A release of a lever that nobody holds, or no longer, is not allowed now."""
    with pytest.raises(StateError, match="nothing holds"):
        release(ledger, "kill-switch", why="w", by="b", now_us=T0)
    pulled(ledger)
    with pytest.raises(StateError, match="expired at"):
        release(ledger, "kill-switch", why="w", by="b", now_us=T0 + 2000)


def test_a_lever_keeps_one_type_for_ever(ledger: Ledger) -> None:
    """Declaring a known key with another kind is refused; declaring it again as it was writes nothing."""
    with pytest.raises(StateError, match="boolean lever and stays one"):
        declare(ledger, Lever(id="kill-switch", kind="number", default=0.0, safe=1.0), T0, "ann")
    declare(ledger, KILL, T0 + 1, "bob")
    assert len(ledger.history(Lever, "kill-switch")) == 1


def test_a_new_default_is_a_change_only_while_nobody_holds(ledger: Ledger) -> None:
    """A new default changes what is served, so it is a change, in each environment where nobody holds the lever."""
    declare(ledger, DOSE, T0, "ann")
    declare(ledger, replace(DOSE, default=0.5), T0 + 1, "bob")
    said = [(c.environment, c.before, c.after, c.author) for c in changes(ledger)]
    assert said == [("staging", "1.5", "0.5", "bob"), ("production", "1.5", "0.5", "bob")]
    hold(ledger, "dose", why="w", by="b", until_us=T0 + 100, now_us=T0 + 2)
    declare(ledger, replace(DOSE, default=0.25), T0 + 3, "ann")
    assert [(c.environment, c.after) for c in changes(ledger)[3:]] == [("staging", "0.25")]


def test_a_default_that_nobody_approved_is_refused(ledger: Ledger) -> None:
    """A new default or safe value is one that production may see already; the refusal names approval and the way to hold it."""
    declare(ledger, DOSE, T0, "ann")
    for changed in (replace(DOSE, default=2.0), replace(DOSE, safe=-1.0)):
        with pytest.raises(StateError, match=r"nothing unapproved is served.*version add.*hold dose .*--break-glass"):
            declare(ledger, changed, T0 + 1, "bob")
    assert (ledger.get(Lever, "dose"), changes(ledger)) == (DOSE, [])


def test_two_who_pull_at_once_are_told(ledger: Ledger) -> None:
    """Of two processes that pull the same lever in the same moment one is refused, and there is one pull."""

    class Late(Ledger):
        def all(self, kind: Any, begins: str = "") -> Any:
            return [] if kind is Pull else super().all(kind, begins)

    pulled(ledger)
    ledger.__class__ = Late  # it read before the other one wrote
    with pytest.raises(
        StateError, match="somebody else pulled kill-switch, declared it or changed the version in the same moment"
    ):
        pulled(ledger, T0 + 1)
    ledger.__class__ = Ledger
    assert len(ledger.all(Pull)) == 1


@pytest.mark.parametrize("survives", range(7))
def test_a_crash_between_pull_and_change_is_repaired(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    """Wherever a hold over a hold and a release break off, the next call leaves no pull and no end without its change."""
    put, left = ledger.put, [survives]

    def put_until_crash(*args: Any, **more: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise StoreError("power cut", retryable=True)
        return put(*args, **more)

    monkeypatch.setattr(ledger, "put", put_until_crash)
    try:
        pulled(ledger)
        pulled(ledger, T0 + 10, value=False)
        release(ledger, "kill-switch", why="w", by="b", now_us=T0 + 20)
    except StoreError:
        pass
    monkeypatch.undo()
    expire(ledger, T0 + 30)
    expire(ledger, T0 + 30)
    law_of_changes(ledger)


def law_of_changes(ledger: Ledger) -> None:
    """Every pull has its change, every end by a person or by time too, none has two, and values follow on one another."""
    pulls = ledger.all(Pull)
    wanted = Counter(f"{p.id}-held" for p in pulls)
    for p in pulls:
        if p.released_us is not None and not (p.released_why or "").startswith("superseded"):
            wanted[f"{p.id}-{'expired' if p.released_us == p.until_us else 'released'}"] += 1
    assert Counter(c.id for c in changes(ledger)) == wanted
    value = "false"
    for change in changes(ledger):
        assert change.before == value
        value = str(change.after)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.booleans(), st.integers(1, 50)),
        st.tuples(st.just("release"), st.none(), st.none()),
        st.tuples(st.just("wait"), st.none(), st.integers(0, 60)),
        st.tuples(st.just("expire"), st.none(), st.none()),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_any_sequence_keeps_the_laws(steps: list[tuple[str, Any, Any]]) -> None:
    """After any sequence at most one pull is in force, the right value is served, and every pull and end wrote its change."""
    ledger = Ledger("sqlite://")
    try:
        declare(ledger, KILL, T0, "ann")
        board = Board(ledger)
        now, value, until = T0, False, 0
        for step, given_value, length in steps:
            if until and now >= until:
                value, until = False, 0
            if step == "wait":
                now += length
            elif step == "hold":
                pulled(ledger, now, value=given_value, until_us=now + length)
                value, until = given_value, now + length
            elif step == "expire":
                expire(ledger, now)
            elif until:
                release(ledger, "kill-switch", why="w", by="b", now_us=now)
                value, until = False, 0
            if until and now >= until:
                value, until = False, 0
            active = [p for p in ledger.all(Pull) if p.released_us is None and p.until_us > now]
            assert len(active) == (1 if until else 0)
            board.refresh()
            served = board.evaluate("kill-switch", {}, now)
            assert served is not None
            assert (served["value"], served["variant"]) == (value, "held" if until else "default")
        expire(ledger, now)
        law_of_changes(ledger)
    finally:
        ledger.close()


def test_the_board_survives_its_ledger(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the ledger fails the last known hold is served, and it still expires on time."""
    pulled(ledger)
    board = Board(ledger)
    board.refresh()

    def fail(*_: object) -> None:
        raise StoreError("gone", retryable=True)

    monkeypatch.setattr(ledger, "written", fail)
    with pytest.raises(StoreError):
        board.refresh()
    held, after = board.evaluate("kill-switch", {}, T0 + 10), board.evaluate("kill-switch", {}, T0 + 1000)
    assert held is not None
    assert after is not None
    assert (held["value"], after["value"]) == (True, False)
    assert board.has_expired(T0 + 1000)
    assert not board.has_expired(T0 + 10)


def test_reading_the_board_asks_the_ledger_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation touches the ledger not once, for known and unknown keys."""
    board = Board(ledger)
    board.refresh()
    for name in ("all", "get", "put", "history", "ids", "latest", "last_entry", "written"):
        monkeypatch.setattr(ledger, name, None)
    assert board.evaluate("kill-switch", {}, T0) is not None
    assert board.evaluate("unknown", {}, T0) is None
    assert board.keys() == ["kill-switch"]
