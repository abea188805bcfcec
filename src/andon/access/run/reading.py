"""Who is in the ledger, and the hashing of their passwords."""

import secrets
import threading

from andon.access.names import typed_letters
from andon.access.passwords import SALT_BYTES, encode_password, fits
from andon.access.records import Claim, Person
from andon.errors import InputError, StateError
from andon.store import Ledger
from andon.store.ledger import Versioned

__all__ = ["active_of", "claim_of_name", "hashed", "known_person", "new_secret", "tried"]

_HASHING = threading.BoundedSemaphore(2)
"""Two hashes at once, of 32 MiB each: however many sign in, ingest keeps the memory and the processor."""


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def hashed(password: str) -> str:
    """What a new password is recognised by."""
    salt = secrets.token_bytes(SALT_BYTES)
    with _HASHING:
        return encode_password(password, salt)


def tried(password: str, encoded: str) -> bool:
    """Whether it is the password."""
    with _HASHING:
        return fits(password, encoded)


def claim_of_name(name: str) -> str:
    """The id of the claim on a name."""
    return f"name:{typed_letters(name)}"


def known_person(ledger: Ledger, name: str) -> Versioned[Person] | None:
    """Whoever has a name, in any spelling, removed ones too, with the version."""
    claim = ledger.get(Claim, claim_of_name(name))
    return ledger.latest(Person, "" if claim is None else claim.person)  # asked for nobody as well: it takes as long


def active_of(ledger: Ledger, name: str) -> Versioned[Person]:
    """A person who was not removed.

    Raises:
        InputError: nobody has this name.
        StateError: they were removed.
    """
    person = known_person(ledger, name)
    if person is None:
        raise InputError(f"nobody here is called {name[:100]!r}; `andon person list` shows who is")
    if not person.record.active:
        raise StateError(f"{person.record.id!r} was removed; add them again to let them in")
    return person
