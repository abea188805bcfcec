"""The tokens of machines in memory."""

from andon.access.records import Token
from andon.access.tokens import opens, token_id
from andon.store import Ledger

__all__ = ["Keyring"]


class Keyring:
    """The tokens of machines in memory: a request that carries one waits neither for the ledger nor for its disk.

    `refresh` reads the ledger; until it is called again, a token that was made is not known and one that was revoked still opens. An
    end by the clock needs no reading. When the ledger fails, what was known stays.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[str, Token] = {}

    def refresh(self) -> None:
        """Read the tokens anew.

        Raises:
            StoreError: the ledger cannot be read.
        """
        self._known = {t.id: t for t in self._ledger.all(Token) if t.revoked_us is None}

    def scopes_of(self, secret: str, now_us: int) -> frozenset[str] | None:
        """What the secret of a token opens; None where it is no token's, or its token is revoked or over."""
        token = self._known.get(token_id(secret) or "")
        return frozenset(token.scopes) if token is not None and opens(token, secret, now_us) else None
