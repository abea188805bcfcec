"""People, sessions, invitations, tokens. None holds a secret: only digests, by which a secret is recognised."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["KINDS", "Claim", "Invitation", "Person", "Role", "Scope", "Session", "Token", "TokenUse"]

Role = Literal["viewer", "reviewer", "responder", "owner"]
"""A ladder: each may do what those before it may."""

Scope = Literal["ingest", "levers", "read"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who signs in."""

    id: str
    """The name as it was typed; no other person has the same letters and digits in any case."""
    role: Role
    at_us: int
    """When they were added."""
    by: str
    """Who added them."""
    password: str = ""
    """What the password is recognised by (`andon.access.passwords`); empty until a link was used."""
    active: bool = True
    """False once they were removed; the name stays in what they did."""
    invitation: str = ""
    """The one link that counts, by its digest; empty when there is none."""
    era: int = 0
    """Grows when all sessions are ended at once: a session counts only in the era in which it was begun."""
    why: str = ""
    """Why they were removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One browser of one person, from the sign-in on."""

    id: str
    """SHA-256 of the secret in the cookie."""
    person: str
    at_us: int
    until_us: int
    era: int = 0
    """The person's era at the sign-in."""
    ended_us: int | None = None
    """When the person signed out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A link by which a person sets a password, once."""

    id: str
    """SHA-256 of the secret in the link."""
    person: str
    at_us: int
    until_us: int
    by: str
    used_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a program sends to be let in."""

    id: str
    """Public, such as ``tok_x7k2m9qa``; the secret names it, so that one that leaked can be revoked."""
    name: str
    """What uses it."""
    scopes: tuple[Scope, ...]
    digest: str
    """SHA-256 of the whole secret."""
    at_us: int
    by: str
    until_us: int | None = None
    """None: until it is revoked."""
    revoked_us: int | None = None
    revoked_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUse:
    """When a token opened something last, to the hour: so that one that nothing uses any more can be revoked."""

    id: str
    """That of the token."""
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What only one may have, a name or the place of the first owner: of two who take it at once, one is refused."""

    id: str
    """``name:`` and the letters of the name, or ``owner``."""
    person: str
    """Who has it. Of a name it never changes: it is how the name is spelt."""
    at_us: int
    by: str


KINDS = (Claim, Invitation, Person, Session, Token, TokenUse)
"""All of them. They are about those who work with Andon, and hold nothing that came with traffic."""
