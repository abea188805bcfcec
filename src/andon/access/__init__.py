"""Who may do what: people with a role, their sessions, and tokens for machines.

In: names, passwords, links that are opened, tokens that are sent. Out: a person, or the scopes of a token. Always true: no secret and no
password is ever written, only what they are recognised by; what a role may, every higher role may; a session, a link and a token
that was ended stays ended; there is an owner for as long as there was one.
"""

from andon.access.attempts import Attempts
from andon.access.names import check_letters, check_name, letters
from andon.access.records import KINDS, Claim, Invitation, Person, Role, Scope, Session, Token, TokenUse
from andon.access.roles import ROLES, SCOPES, check_role, check_scopes, may

__all__ = [
    "KINDS",
    "ROLES",
    "SCOPES",
    "Attempts",
    "Claim",
    "Invitation",
    "Person",
    "Role",
    "Scope",
    "Session",
    "Token",
    "TokenUse",
    "check_letters",
    "check_name",
    "check_role",
    "check_scopes",
    "letters",
    "may",
]
