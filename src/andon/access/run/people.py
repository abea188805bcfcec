"""Let people in, and out again."""

from dataclasses import replace

from andon.access.names import check_person
from andon.access.passwords import check_password
from andon.access.records import Claim, Invitation, Person
from andon.access.roles import check_role
from andon.access.run.reading import active_of, claim_of_name, hashed, known_person, new_secret
from andon.access.run.sessions import begin_session
from andon.access.tokens import digest
from andon.errors import InputError, StateError
from andon.store import Ledger
from andon.store.ledger import Versioned

__all__ = [
    "INVITED_US",
    "accept",
    "add_person",
    "found",
    "invite",
    "invited",
    "owned",
    "people",
    "person_of",
    "remove_person",
    "set_role",
]

INVITED_US = 7 * 24 * 3_600_000_000
"""How long a link can be used."""

_OWNER = "owner"
_OWNED = "this Andon has an owner already; sign in, or ask an owner for a link (on the machine: andon person link NAME)"
_USED = "this link was used, is over or was replaced by a newer one; ask an owner for another (andon person link NAME)"


def people(ledger: Ledger) -> list[Person]:
    """Everybody, those who were removed too, by name."""
    return sorted(ledger.all(Person), key=lambda p: (not p.active, p.id.casefold(), p.id))


def person_of(ledger: Ledger, name: str) -> Person | None:
    """Whoever has a name, in any spelling, removed ones too; None where nobody has it."""
    found = known_person(ledger, name)
    return None if found is None else found.record


def owned(ledger: Ledger) -> bool:
    """Whether there is an owner who can sign in. Once there is, there always is one."""
    return any(_owns(p) for p in ledger.all(Person))


def found(ledger: Ledger, name: str, password: str, *, now_us: int) -> tuple[Person, str]:
    """Make the first owner; returns them, and the secret of their first session. For whoever is trusted with the whole machine.

    Raises:
        InputError: the name or the password cannot be taken; says why.
        StateError: there is an owner, or somebody becomes one at this moment, or the name belongs to somebody with a password.
    """
    if owned(ledger):
        raise StateError(_OWNED)
    name = check_person(name)
    check_password(password, name)
    before = known_person(ledger, name)
    if before is not None and before.record.active and before.record.password:
        raise StateError(f"{before.record.id!r} is here already, with a password; take another name")
    encoded = hashed(password)
    place = ledger.latest(Claim, _OWNER)
    claim = Claim(id=_OWNER, person=name, at_us=now_us, by=name)
    try:
        claimed = ledger.put(claim, now_us=now_us, by=name, expect=0 if place is None else place.version)
        if owned(ledger):  # by somebody who had claimed it before, and wrote between
            raise StateError(_OWNED)
        owner = Person(id=name, role="owner", at_us=now_us, by=name, password=encoded)
        person = _written(ledger, owner, before, now_us=now_us, by=name, beside=((Claim, _OWNER, claimed),))
    except StateError as error:
        raise StateError(
            _OWNED if owned(ledger) else f"somebody else did the same just now; try again ({error})"
        ) from error
    return person, begin_session(ledger, person, now_us=now_us)


def add_person(ledger: Ledger, name: str, role: str, *, by: str, now_us: int) -> Person:
    """Add somebody, who can sign in once they used a link (`invite`). Whoever was removed comes back so, without their password.

    Raises:
        InputError: the name or the role cannot be taken.
        StateError: somebody has the name, or takes it at this moment.
    """
    name, chosen = check_person(name), check_role(role)
    before = known_person(ledger, name)
    if before is not None and before.record.active:
        raise StateError(
            f"{before.record.id!r} is here already, as {before.record.role}; give another name, another role (andon person role) or a "
            "new link (andon person link)"
        )
    person = Person(id=name, role=chosen, at_us=now_us, by=by)
    return _written(ledger, person, before, now_us=now_us, by=by)


def _written(
    ledger: Ledger,
    person: Person,
    before: Versioned[Person] | None,
    *,
    now_us: int,
    by: str,
    beside: tuple[tuple[type, str, int], ...] = (),
) -> Person:
    """Write somebody new, or anew, so that of two who take one name at once only one is written."""
    if before is not None:
        person = replace(person, id=before.record.id, era=before.record.era + 1)
        ledger.put(person, now_us=now_us, by=by, expect=before.version, beside=beside)
        return person
    key = claim_of_name(person.id)
    if (claim := ledger.get(Claim, key)) is None:
        claim = Claim(id=key, person=person.id, at_us=now_us, by=by)
        ledger.put(claim, now_us=now_us, by=by, expect=0)
    person = replace(person, id=claim.person)  # who claims and then comes to an end leaves the spelling to the next
    ledger.put(person, now_us=now_us, by=by, expect=0, beside=beside)
    return person


def invite(ledger: Ledger, name: str, *, by: str, now_us: int) -> str:
    """Make a link by which a person sets a password, once; returns its secret. Links made before no longer count.

    Raises:
        InputError: nobody has this name.
        StateError: they were removed, or somebody else changed them at this moment.
    """
    person, secret = active_of(ledger, name), new_secret()
    made = Invitation(
        id=digest(secret), person=person.record.id, at_us=now_us, until_us=now_us + INVITED_US, by=by
    )  # fmt: skip
    ledger.put(made, now_us=now_us, by=by, expect=0)
    ledger.put(replace(person.record, invitation=made.id), now_us=now_us, by=by, expect=person.version)
    return secret


def invited(ledger: Ledger, secret: str, now_us: int) -> Person | None:
    """Whose link it is; None where it does not count, or no longer."""
    found = _invited(ledger, secret, now_us)
    return None if found is None else found[1].record


def _invited(ledger: Ledger, secret: str, now_us: int) -> tuple[Invitation, Versioned[Person]] | None:
    link = ledger.get(Invitation, digest(secret))
    if link is None or link.used_us is not None or now_us >= link.until_us:
        return None
    person = ledger.latest(Person, link.person)
    if person is None or not person.record.active or person.record.invitation != link.id:
        return None
    return link, person


def accept(ledger: Ledger, secret: str, password: str, *, now_us: int) -> tuple[Person, str]:
    """Use a link: the password is set, all sessions end, and a new one begins; returns the person and its secret.

    Raises:
        InputError: the link does not count, or the password cannot be taken; then the link still counts.
        StateError: the link is used by somebody else at this moment.
    """
    found = _invited(ledger, secret, now_us)
    if found is None:
        raise InputError(_USED)
    link, before = found
    check_password(password, before.record.id)
    person = replace(before.record, password=hashed(password), invitation="", era=before.record.era + 1)
    try:
        ledger.put(person, now_us=now_us, by=person.id, expect=before.version)
    except StateError as error:
        if invited(ledger, secret, now_us) is None:
            raise InputError(_USED) from error
        raise
    ledger.put(replace(link, used_us=now_us), now_us=now_us, by=person.id)
    return person, begin_session(ledger, person, now_us=now_us)


def set_role(ledger: Ledger, name: str, role: str, *, by: str, now_us: int) -> Person:
    """Give somebody another role; it counts from their next request on.

    Raises:
        InputError: nobody has this name, or there is no such role.
        StateError: they were removed, they are the last owner, or somebody else changed them at this moment.
    """
    chosen, before = check_role(role), active_of(ledger, name)
    beside = () if chosen == "owner" else _other_owners(ledger, before.record, "given another role")
    person = replace(before.record, role=chosen)
    ledger.put(person, now_us=now_us, by=by, expect=before.version, beside=beside)
    return person


def remove_person(ledger: Ledger, name: str, *, why: str, by: str, now_us: int) -> Person:
    """Let somebody out: their sessions, their link and their password end at once; what they did keeps their name.

    Raises:
        InputError: nobody has this name, or there is no reason.
        StateError: they were removed before, they are the last owner, or somebody else changed them at this moment.
    """
    if not why.strip():
        raise InputError("say why they are removed, for those who read it later")
    before = active_of(ledger, name)
    beside = _other_owners(ledger, before.record, "removed")
    gone = replace(
        before.record, active=False, password="", invitation="", era=before.record.era + 1, why=why.strip()
    )  # fmt: skip
    ledger.put(gone, now_us=now_us, by=by, expect=before.version, beside=beside)
    return gone


def _owns(person: Person) -> bool:
    return person.active and person.role == "owner" and bool(person.password)


def _other_owners(ledger: Ledger, person: Person, what: str) -> tuple[tuple[type, str, int], ...]:
    """The other owners with their versions, to be read beside: of two who let each other go, one is refused.

    Raises:
        StateError: they are the last one.
    """
    if not _owns(person):
        return ()
    ids = [p.id for p in ledger.all(Person) if p.id != person.id]
    others = [o for i in ids if (o := ledger.latest(Person, i)) is not None and _owns(o.record)]
    if not others:
        raise StateError(f"{person.id!r} is the last owner and cannot be {what}; make somebody else an owner first")
    return tuple((Person, o.record.id, o.version) for o in others)
