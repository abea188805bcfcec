"""What touches the ledger: people, their sessions and links, and the tokens of machines.

Each write has its author and time, and the ledger keeps every version: that is the record of who let whom in. Secrets are drawn here,
by the operating system's generator.
"""

from andon.access.run.keyring import Keyring
from andon.access.run.people import (
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
)
from andon.access.run.sessions import (
    SIGNED_IN_US,
    change_password,
    end_sessions,
    sessions_of,
    sign_in,
    sign_out,
    signed_in,
)
from andon.access.run.tokens import make_token, revoke_token, token_of, tokens

__all__ = [
    "INVITED_US",
    "SIGNED_IN_US",
    "Keyring",
    "accept",
    "add_person",
    "change_password",
    "end_sessions",
    "found",
    "invite",
    "invited",
    "make_token",
    "owned",
    "people",
    "person_of",
    "remove_person",
    "revoke_token",
    "sessions_of",
    "set_role",
    "sign_in",
    "sign_out",
    "signed_in",
    "token_of",
    "tokens",
]
