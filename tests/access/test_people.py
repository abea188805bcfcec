"""Laws of letting people in and out."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from andon.access import Claim, Invitation, Person
from andon.access.run import (
    INVITED_US,
    accept,
    add_person,
    found,
    invite,
    invited,
    owned,
    people,
    person_of,
    remove_person,
    set_role,
    sign_in,
    signed_in,
)
from andon.errors import AndonError, InputError, StateError
from andon.store import Ledger

NOW = 1_790_000_000_000_000
PASSWORD, OTHER = "violet gravel 41 otters", "nine copper ladders up"

pytestmark = pytest.mark.usefixtures("cheap")


def at_once(acts: list[Callable[[], object]]) -> list[object]:
    """What each of several threads got, or the error that it was refused with."""
    gate, done = threading.Barrier(len(acts)), [None] * len(acts)

    def run(n: int) -> None:
        gate.wait()
        try:
            done[n] = acts[n]()
        except AndonError as error:
            done[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def test_the_first_owner_is_found_once(ledger: Ledger) -> None:
    """With nobody there, a name and a password make an owner who is signed in; nobody else becomes one so."""
    assert not owned(ledger)
    person, secret = found(ledger, "Ann", PASSWORD, now_us=NOW)
    assert (person.role, owned(ledger)) == ("owner", True)
    assert signed_in(ledger, secret, NOW) == person
    with pytest.raises(StateError, match="has an owner already"):
        found(ledger, "Bob", PASSWORD, now_us=NOW)
    assert [p.id for p in people(ledger)] == ["Ann"]


@pytest.mark.parametrize("round_", range(5))
def test_of_several_first_owners_one_is_made(tmp_path: Path, round_: int) -> None:
    """Of people who all become the first owner at once, through ledgers of their own, exactly one does."""
    ledgers = [Ledger.open(tmp_path / "ledger.db") for _ in range(4)]
    done = at_once([lambda n=n: found(ledgers[n], f"p{n}", PASSWORD, now_us=NOW + n) for n in range(4)])
    assert sum(isinstance(d, tuple) for d in done) == 1
    assert all(isinstance(d, tuple | StateError) for d in done)
    assert [p.role for p in people(ledgers[0])] == ["owner"]
    for ledger in ledgers:
        ledger.close()


def test_a_crash_between_claim_and_owner_locks_nobody_out(ledger: Ledger) -> None:
    """A claim that nobody came to use keeps neither the next owner nor the next bearer of the name out; the spelling stays."""
    for key in ("owner", "name:ann"):
        ledger.put(Claim(id=key, person="ann", at_us=NOW, by="ann"), now_us=NOW, by="ann")
    assert found(ledger, "Ann", PASSWORD, now_us=NOW + 1)[0].id == "ann"


def test_the_first_owner_may_have_been_added_before(ledger: Ledger) -> None:
    """Who was added and has no password yet may be made the first owner; who has one is not taken over."""
    add_person(ledger, "Ann", "viewer", by="root", now_us=NOW)
    add_person(ledger, "Bob", "viewer", by="root", now_us=NOW)
    accept(ledger, invite(ledger, "bob", by="root", now_us=NOW), PASSWORD, now_us=NOW)
    with pytest.raises(StateError, match="take another name"):
        found(ledger, "BOB", OTHER, now_us=NOW)
    assert found(ledger, "ann", OTHER, now_us=NOW)[0].id == "Ann"


def test_a_name_is_one_persons(ledger: Ledger) -> None:
    """Another spelling of a name is the same person: it is not added a second time, and finds them."""
    ann = add_person(ledger, " Ann  Bell ", "reviewer", by="root", now_us=NOW)
    assert ann.id == "Ann Bell"
    with pytest.raises(StateError, match="is here already"):
        add_person(ledger, "ann-bell", "viewer", by="root", now_us=NOW)
    assert person_of(ledger, "ANN BELL") == ann
    assert person_of(ledger, "") is None


@pytest.mark.parametrize("round_", range(5))
def test_of_several_spellings_at_once_one_is_added(tmp_path: Path, round_: int) -> None:
    """Of spellings of one name that are added at once, exactly one becomes a person."""
    ledgers = [Ledger.open(tmp_path / "ledger.db") for _ in range(4)]
    names = ("Ann", "ann", "ANN", "A.n.n")
    done = at_once(
        [lambda n=n: add_person(ledgers[n], names[n], "viewer", by="root", now_us=NOW) for n in range(4)]
    )  # fmt: skip
    assert sum(isinstance(d, Person) for d in done) == 1
    assert len(people(ledgers[0])) == 1
    for ledger in ledgers:
        ledger.close()


def test_a_link_works_once(ledger: Ledger) -> None:
    """A link names its person, sets a password and signs in; then it is used up. A bad password does not use it up."""
    add_person(ledger, "Ann", "viewer", by="root", now_us=NOW)
    link = invite(ledger, "ann", by="root", now_us=NOW)
    shown = invited(ledger, link, NOW)
    assert shown is not None
    assert shown.id == "Ann"
    with pytest.raises(InputError, match="too short"):
        accept(ledger, link, "short", now_us=NOW)
    person, secret = accept(ledger, link, PASSWORD, now_us=NOW + 1)
    assert signed_in(ledger, secret, NOW + 1) == person
    assert invited(ledger, link, NOW + 1) is None
    with pytest.raises(InputError, match="link"):
        accept(ledger, link, OTHER, now_us=NOW + 2)
    assert sign_in(ledger, "ann", PASSWORD, now_us=NOW + 2)[0].id == "Ann"
    assert [i.used_us for i in ledger.all(Invitation)] == [NOW + 1]


def test_a_link_ends(ledger: Ledger) -> None:
    """A week later, after a newer link, and for somebody who was removed, a link does not count; nor does an invented one."""
    add_person(ledger, "Ann", "viewer", by="root", now_us=NOW)
    first = invite(ledger, "Ann", by="root", now_us=NOW)
    assert invited(ledger, first, NOW + INVITED_US - 1) is not None
    assert invited(ledger, first, NOW + INVITED_US) is None
    second = invite(ledger, "Ann", by="root", now_us=NOW)
    assert invited(ledger, first, NOW) is None
    remove_person(ledger, "Ann", why="left", by="root", now_us=NOW)
    for link in (first, second, "", "invented"):
        assert invited(ledger, link, NOW) is None
        with pytest.raises(InputError, match="link"):
            accept(ledger, link, PASSWORD, now_us=NOW)


def test_a_link_is_used_by_one(tmp_path: Path) -> None:
    """Of several who use one link at once, one sets the password."""
    ledgers = [Ledger.open(tmp_path / "ledger.db") for _ in range(4)]
    add_person(ledgers[0], "Ann", "viewer", by="root", now_us=NOW)
    link = invite(ledgers[0], "Ann", by="root", now_us=NOW)
    done = at_once([lambda n=n: accept(ledgers[n], link, f"{PASSWORD} {n}", now_us=NOW) for n in range(4)])
    assert sum(isinstance(d, tuple) for d in done) == 1
    for ledger in ledgers:
        ledger.close()


def test_the_last_owner_stays(ledger: Ledger) -> None:
    """The last owner who can sign in is neither given another role nor removed; an owner without a password does not count."""
    found(ledger, "Ann", PASSWORD, now_us=NOW)
    add_person(ledger, "Bob", "owner", by="Ann", now_us=NOW)
    for act in (
        lambda: set_role(ledger, "ann", "viewer", by="Ann", now_us=NOW),
        lambda: remove_person(ledger, "ann", why="left", by="Ann", now_us=NOW),
    ):
        with pytest.raises(StateError, match="last owner"):
            act()
    assert set_role(ledger, "Ann", "owner", by="Ann", now_us=NOW).role == "owner"
    accept(ledger, invite(ledger, "Bob", by="Ann", now_us=NOW), OTHER, now_us=NOW)
    assert set_role(ledger, "Ann", "viewer", by="Bob", now_us=NOW).role == "viewer"
    with pytest.raises(StateError, match="last owner"):
        remove_person(ledger, "Bob", why="left", by="Ann", now_us=NOW)


@pytest.mark.parametrize("round_", range(5))
def test_two_owners_cannot_let_each_other_go(tmp_path: Path, round_: int) -> None:
    """Of two owners who remove each other at once, one is refused: an owner is left."""
    ledgers = [Ledger.open(tmp_path / "ledger.db") for _ in range(2)]
    found(ledgers[0], "Ann", PASSWORD, now_us=NOW)
    add_person(ledgers[0], "Bob", "owner", by="Ann", now_us=NOW)
    accept(ledgers[0], invite(ledgers[0], "Bob", by="Ann", now_us=NOW), OTHER, now_us=NOW)
    at_once(
        [
            lambda: remove_person(ledgers[0], "Bob", why="x", by="Ann", now_us=NOW),
            lambda: remove_person(ledgers[1], "Ann", why="x", by="Bob", now_us=NOW),
        ]
    )
    assert owned(ledgers[0])
    for ledger in ledgers:
        ledger.close()


def test_who_was_removed_comes_back_without_what_they_had(ledger: Ledger) -> None:
    """A removed person keeps the name, cannot sign in, and comes back with a new role, without password and session."""
    found(ledger, "Ann", PASSWORD, now_us=NOW)
    add_person(ledger, "Bob", "responder", by="Ann", now_us=NOW)
    _, secret = accept(ledger, invite(ledger, "Bob", by="Ann", now_us=NOW), OTHER, now_us=NOW)
    gone = remove_person(ledger, "Bob", why="left", by="Ann", now_us=NOW)
    assert (gone.active, gone.password, gone.why) == (False, "", "left")
    for act in (
        lambda: remove_person(ledger, "Bob", why="left", by="Ann", now_us=NOW),
        lambda: set_role(ledger, "Bob", "viewer", by="Ann", now_us=NOW),
        lambda: invite(ledger, "Bob", by="Ann", now_us=NOW),
    ):
        with pytest.raises(StateError, match="was removed"):
            act()
    back = add_person(ledger, "bob", "viewer", by="Ann", now_us=NOW)
    assert (back.id, back.role, back.active) == ("Bob", "viewer", True)
    assert signed_in(ledger, secret, NOW) is None
    with pytest.raises(InputError, match="wrong"):
        sign_in(ledger, "Bob", OTHER, now_us=NOW)


def test_the_ledger_says_who_let_whom_in(ledger: Ledger) -> None:
    """Each change of a person is a version with its author: that is the audit trail."""
    found(ledger, "Ann", PASSWORD, now_us=NOW)
    add_person(ledger, "Bob", "viewer", by="Ann", now_us=NOW)
    accept(ledger, invite(ledger, "Bob", by="Ann", now_us=NOW + 1), OTHER, now_us=NOW + 2)
    set_role(ledger, "Bob", "responder", by="Ann", now_us=NOW + 3)
    remove_person(ledger, "Bob", why="left", by="Ann", now_us=NOW + 4)
    told = [(v.by, v.record.role, v.record.active) for v in ledger.history(Person, "Bob")]
    assert told == [
        ("Ann", "viewer", True),
        ("Ann", "viewer", True),
        ("Bob", "viewer", True),
        ("Ann", "responder", True),
        ("Ann", "responder", False),
    ]


@pytest.mark.parametrize("act", [set_role, remove_person, invite])
def test_nobody_is_told_who_nobody_is(ledger: Ledger, act: Callable[..., object]) -> None:
    """A name that nobody has is refused with where the names are."""
    more = {set_role: {"role": "viewer"}, remove_person: {"why": "x"}}.get(act, {})
    with pytest.raises(InputError, match="andon person list"):
        act(ledger, "nobody", by="ann", now_us=NOW, **more)
