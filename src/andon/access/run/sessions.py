"""Signing in and out."""

from dataclasses import replace

from andon.access.passwords import NOBODYS, check_password
from andon.access.records import Person, Session
from andon.access.run.reading import active_of, hashed, known_person, new_secret, tried
from andon.access.tokens import digest
from andon.errors import InputError
from andon.store import Ledger

__all__ = [
    "SIGNED_IN_US",
    "begin_session",
    "change_password",
    "end_sessions",
    "sessions_of",
    "sign_in",
    "sign_out",
    "signed_in",
]

SIGNED_IN_US = 14 * 24 * 3_600_000_000
"""How long a session lasts."""

_WRONG = "the name or the password is wrong; type both again, or ask an owner for a link (andon person link NAME)"


def begin_session(ledger: Ledger, person: Person, *, now_us: int) -> str:
    """A session of somebody who has shown who they are; returns its secret, for the cookie."""
    secret = new_secret()
    begun = Session(
        id=digest(secret), person=person.id, at_us=now_us, until_us=now_us + SIGNED_IN_US, era=person.era
    )  # fmt: skip
    ledger.put(begun, now_us=now_us, by=person.id, expect=0)
    return secret


def sign_in(ledger: Ledger, name: str, password: str, *, now_us: int) -> tuple[Person, str]:
    """Begin a session; returns the person and its secret. How often somebody may be wrong is up to `andon.access.Attempts`.

    Raises:
        InputError: the name or the password is wrong, or both: it takes the same time and says the same.
    """
    found = known_person(ledger, name)
    person = None if found is None or not found.record.active or not found.record.password else found.record
    right = tried(password, NOBODYS if person is None else person.password)
    if person is None or not right:
        raise InputError(_WRONG)
    return person, begin_session(ledger, person, now_us=now_us)


def signed_in(ledger: Ledger, secret: str, now_us: int) -> Person | None:
    """Who sends the secret of a session; None where the session is over, or there is none. Two reads by key."""
    session = ledger.get(Session, digest(secret)) if secret else None
    if session is None or session.ended_us is not None or now_us >= session.until_us:
        return None
    person = ledger.get(Person, session.person)
    return person if person is not None and person.active and person.era == session.era else None


def sign_out(ledger: Ledger, secret: str, *, now_us: int) -> None:
    """End one session; nothing where it is over."""
    session = ledger.get(Session, digest(secret)) if secret else None
    if session is not None and session.ended_us is None:
        ledger.put(replace(session, ended_us=now_us), now_us=now_us, by=session.person)


def sessions_of(ledger: Ledger, name: str, now_us: int) -> list[Session]:
    """The sessions of a person that are not over, the newest first. Reads all sessions: for a page that is seldom asked for.

    Raises:
        InputError: nobody has this name.
        StateError: they were removed.
    """
    person = active_of(ledger, name).record
    mine = [s for s in ledger.all(Session) if s.person == person.id and s.era == person.era and s.ended_us is None]
    return sorted((s for s in mine if now_us < s.until_us), key=lambda s: (-s.at_us, s.id))


def end_sessions(ledger: Ledger, name: str, *, by: str, now_us: int) -> Person:
    """End all sessions of a person at once.

    Raises:
        InputError: nobody has this name.
        StateError: they were removed, or somebody else changed them at this moment.
    """
    before = active_of(ledger, name)
    person = replace(before.record, era=before.record.era + 1)
    ledger.put(person, now_us=now_us, by=by, expect=before.version)
    return person


def change_password(ledger: Ledger, name: str, old: str, new: str, *, now_us: int) -> tuple[Person, str]:
    """Take another password: all sessions and links end, and a new session begins; returns the person and its secret.

    Raises:
        InputError: nobody has this name, the old password is wrong, or the new one cannot be taken.
        StateError: they were removed, or somebody else changed them at this moment.
    """
    before = active_of(ledger, name)
    if not tried(old, before.record.password or NOBODYS):
        raise InputError(
            "the old password is wrong; type it again, or ask an owner for a link (andon person link NAME)"
        )
    check_password(new, before.record.id)
    person = replace(before.record, password=hashed(new), invitation="", era=before.record.era + 1)
    ledger.put(person, now_us=now_us, by=person.id, expect=before.version)
    return person, begin_session(ledger, person, now_us=now_us)
