"""The tokens of machines in memory."""

from andon.access.records import Token, TokenUse
from andon.access.tokens import opens, token_id
from andon.store import Ledger

__all__ = ["Keyring"]

HOUR_US = 3_600_000_000


class Keyring:
    """The tokens of machines in memory: a request that carries one waits neither for the ledger nor for its disk.

    `refresh` reads the ledger; until it is called again, a token that was made is not known and one that was revoked still opens. An
    end by the clock needs no reading. When the ledger fails, what was known stays.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[str, Token] = {}
        self._used: dict[str, int] = {}
        self._kept: dict[str, int] = {}

    def refresh(self) -> None:
        """Read the tokens anew.

        Raises:
            StoreError: the ledger cannot be read.
        """
        self._known = {t.id: t for t in self._ledger.all(Token) if t.revoked_us is None}

    def scopes_of(self, secret: str, now_us: int) -> frozenset[str] | None:
        """What the secret of a token opens; None where it is no token's, or its token is revoked or over."""
        token = self._known.get(token_id(secret) or "")
        if token is None or not opens(token, secret, now_us):
            return None
        self._used[token.id] = now_us
        return frozenset(token.scopes)

    def keep_uses(self) -> None:
        """Write when each token was used last, where that is an hour or more after what is written: never while a request waits.

        Raises:
            StoreError: the ledger cannot be written; it is tried again at the next call.
        """
        for name, at_us in tuple(self._used.items()):
            if name not in self._kept:
                known = self._ledger.get(TokenUse, name)
                self._kept[name] = known.at_us if known is not None else 0
            if at_us - self._kept[name] >= HOUR_US:
                self._ledger.put(TokenUse(id=name, at_us=at_us), now_us=at_us, by="andon")
                self._kept[name] = at_us
