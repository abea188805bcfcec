"""Laws of signing in and out."""

import time

import pytest

from andon.access import Person, Session
from andon.access.run import (
    SIGNED_IN_US,
    accept,
    add_person,
    change_password,
    end_sessions,
    found,
    invite,
    remove_person,
    sessions_of,
    set_role,
    sign_in,
    sign_out,
    signed_in,
)
from andon.errors import InputError
from andon.store import Ledger

NOW = 1_790_000_000_000_000
PASSWORD, OTHER = "violet gravel 41 otters", "nine copper ladders up"


@pytest.fixture
def staffed(ledger: Ledger, cheap: None) -> Ledger:
    """A ledger with Ann, the owner, and Bob."""
    found(ledger, "Ann", PASSWORD, now_us=NOW)
    add_person(ledger, "Bob", "reviewer", by="Ann", now_us=NOW)
    accept(ledger, invite(ledger, "Bob", by="Ann", now_us=NOW), PASSWORD, now_us=NOW)
    return ledger


def test_a_session_says_who_it_is_with_the_role_of_now(staffed: Ledger) -> None:
    """Whoever sends the secret is the person, with the role that they have at this moment."""
    _, secret = sign_in(staffed, "BOB", PASSWORD, now_us=NOW)
    set_role(staffed, "Bob", "responder", by="Ann", now_us=NOW)
    person = signed_in(staffed, secret, NOW)
    assert person is not None
    assert (person.id, person.role) == ("Bob", "responder")
    for wrong in ("", "x", secret[:-1], secret + "x", "\ud800"):
        assert signed_in(staffed, wrong, NOW) is None


@pytest.mark.parametrize("end", ["sign out", "expiry", "removal", "all", "password", "link"])
def test_a_session_ends(staffed: Ledger, end: str) -> None:
    """A session is over after the sign-out, its time, a removal, the end of all, a new password or a used link, at the same moment."""
    _, secret = sign_in(staffed, "Bob", PASSWORD, now_us=NOW)
    _, anns = sign_in(staffed, "Ann", PASSWORD, now_us=NOW)
    later, fresh = NOW, None
    if end == "sign out":
        sign_out(staffed, secret, now_us=NOW)
        sign_out(staffed, secret, now_us=NOW + 1)
    elif end == "expiry":
        assert signed_in(staffed, secret, NOW + SIGNED_IN_US - 1) is not None
        later = NOW + SIGNED_IN_US
    elif end == "removal":
        remove_person(staffed, "Bob", why="left", by="Ann", now_us=NOW)
    elif end == "all":
        end_sessions(staffed, "Bob", by="Ann", now_us=NOW)
    elif end == "password":
        _, fresh = change_password(staffed, "Bob", PASSWORD, OTHER, now_us=NOW)
    else:
        _, fresh = accept(staffed, invite(staffed, "Bob", by="Ann", now_us=NOW), OTHER, now_us=NOW)
    assert signed_in(staffed, secret, later) is None
    assert fresh is None or signed_in(staffed, fresh, later) is not None
    assert end == "expiry" or signed_in(staffed, anns, later) is not None


def test_the_sessions_of_a_person_are_those_that_count(staffed: Ledger) -> None:
    """The list holds exactly the sessions that are let in, the newest first."""
    secrets = [sign_in(staffed, "Bob", PASSWORD, now_us=NOW + n)[1] for n in range(3)]
    sign_out(staffed, secrets[1], now_us=NOW + 9)
    assert [s.at_us for s in sessions_of(staffed, "Bob", NOW + 9)] == [NOW + 2, NOW, NOW]
    end_sessions(staffed, "Bob", by="Bob", now_us=NOW + 9)
    assert sessions_of(staffed, "Bob", NOW + 9) == []


def test_a_password_that_was_changed_is_the_only_one(staffed: Ledger) -> None:
    """The old password is asked for and no longer counts; a bad new one changes nothing."""
    with pytest.raises(InputError, match="old password is wrong"):
        change_password(staffed, "Bob", OTHER, OTHER, now_us=NOW)
    with pytest.raises(InputError, match="too short"):
        change_password(staffed, "Bob", PASSWORD, "short", now_us=NOW)
    change_password(staffed, "Bob", PASSWORD, OTHER, now_us=NOW)
    with pytest.raises(InputError, match="wrong"):
        sign_in(staffed, "Bob", PASSWORD, now_us=NOW)
    assert sign_in(staffed, "Bob", OTHER, now_us=NOW)[0].id == "Bob"


def test_a_sign_in_never_says_what_was_wrong(staffed: Ledger) -> None:
    """An unknown name, a wrong password, a removed person and one without a password get the same message, and no session."""
    add_person(staffed, "Cy", "viewer", by="Ann", now_us=NOW)
    before, said = len(staffed.all(Session)), set()
    for name, password in (
        ("nobody", PASSWORD),
        ("Bob", OTHER),
        ("Cy", ""),
        ("Cy", PASSWORD),
        ("", ""),
        ("Ann" * 99, ""),
    ):
        with pytest.raises(InputError) as refused:
            sign_in(staffed, name, password, now_us=NOW)
        said.add(str(refused.value))
    remove_person(staffed, "Bob", why="left", by="Ann", now_us=NOW)
    with pytest.raises(InputError) as refused:
        sign_in(staffed, "Bob", PASSWORD, now_us=NOW)
    assert said == {str(refused.value)}
    assert len(staffed.all(Session)) == before


def test_an_unknown_name_takes_as_long_as_a_wrong_password(ledger: Ledger) -> None:
    """At the real cost both take a hash: the quicker takes more than half as long as the slower."""
    found(ledger, "Ann", PASSWORD, now_us=NOW)

    def took(name: str) -> float:
        begun = time.thread_time()  # of the processor: the machine may be busy with other things
        with pytest.raises(InputError):
            sign_in(ledger, name, OTHER, now_us=NOW)
        return time.thread_time() - begun

    known, unknown = (min(took(name) for _ in range(3)) for name in ("Ann", "nobody"))
    assert min(known, unknown) > 0.5 * max(known, unknown)
    assert min(known, unknown) > 0.01


def test_a_password_that_changes_during_a_sign_in_wins(staffed: Ledger) -> None:
    """A session that is begun with the old password after the new one was written does not count."""
    from andon.access.run.sessions import begin_session

    stale = staffed.get(Person, "Bob")
    assert stale is not None
    change_password(staffed, "Bob", PASSWORD, OTHER, now_us=NOW)
    assert signed_in(staffed, begin_session(staffed, stale, now_us=NOW), NOW) is None
