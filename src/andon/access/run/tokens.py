"""Tokens for machines: made, revoked, recognised."""

import secrets
from collections.abc import Iterable
from dataclasses import replace

from andon.access.names import check_name
from andon.access.records import Token
from andon.access.roles import check_scopes
from andon.access.run.reading import new_secret
from andon.access.tokens import ALPHABET, ID_LENGTH, digest, opens, secret_of, token_id
from andon.errors import InputError, StateError
from andon.store import Ledger

__all__ = ["make_token", "revoke_token", "token_of", "tokens"]


def tokens(ledger: Ledger) -> list[Token]:
    """Every token, revoked ones too, in the order in which they were made."""
    return ledger.all(Token)


def make_token(
    ledger: Ledger, name: str, scopes: Iterable[str], *, by: str, now_us: int, until_us: int | None = None
) -> tuple[Token, str]:
    """Make a token; returns it and its secret, which nobody can be told a second time.

    Args:
        ledger: where it is kept.
        name: what uses it.
        scopes: what it opens.
        by: who makes it.
        now_us: the clock.
        until_us: when it ends by itself; None for never.

    Raises:
        InputError: the name, a scope or the end cannot be taken.
    """
    name, chosen = check_name(name, "the name of the token"), check_scopes(scopes)
    if until_us is not None and until_us <= now_us:
        raise InputError("the token would be over before it is made; give an end that is still to come, such as 90d")
    name_part = "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))
    token_name = f"tok_{name_part}"
    secret = secret_of(token_name, new_secret())
    token = Token(
        id=token_name, name=name, scopes=chosen, digest=digest(secret), at_us=now_us, by=by, until_us=until_us
    )  # fmt: skip
    ledger.put(token, now_us=now_us, by=by, expect=0)
    return token, secret


def revoke_token(ledger: Ledger, id: str, *, by: str, now_us: int) -> Token:  # noqa: A002 - the field is called id
    """End a token at once.

    Raises:
        InputError: there is none with this id.
        StateError: it was revoked before.
    """
    known = ledger.latest(Token, id)
    if known is None:
        raise InputError(f"there is no token {id[:100]!r}; `andon token list` shows the ids")
    if known.record.revoked_us is not None:
        raise StateError(f"{id} was revoked by {known.record.revoked_by!r} already")
    token = replace(known.record, revoked_us=now_us, revoked_by=by)
    ledger.put(token, now_us=now_us, by=by, expect=known.version)
    return token


def token_of(ledger: Ledger, secret: str, now_us: int) -> Token | None:
    """The token whose secret it is; None where there is none, or it is revoked or over. One read by key."""
    name = token_id(secret)
    token = None if name is None else ledger.get(Token, name)
    return token if token is not None and opens(token, secret, now_us) else None
