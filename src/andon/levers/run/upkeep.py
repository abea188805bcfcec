"""Keep a board up to date, and say when what it serves has changed."""

from collections.abc import Callable

from andon.errors import StoreError
from andon.levers.run.board import Board
from andon.levers.run.pulling import Expiry
from andon.levers.run.served import note_end, note_served
from andon.store import Ledger

__all__ = ["REPLACED", "Upkeep"]

REPLACED = (
    "the ledger's file was moved, deleted or replaced while this server has it open: levers stay as they were, and nothing that "
    "is written now is seen or kept; start Andon again"
)


class Upkeep:
    """Looks at the ledger for a board: cheap enough to be done many times a second by one thread."""

    def __init__(self, ledger: Ledger, board: Board, tell: Callable[[str, int], None]) -> None:
        """An upkeep that has not looked yet.

        Args:
            ledger: what pulls, promotions and experiments are written to, by whatever process.
            board: what is kept up to date.
            tell: is given the board's state and the time after each look, also when nothing has changed.
        """
        self._ledger, self._board, self._tell, self._expire = ledger, board, tell, Expiry(ledger)

    def look(self, now_us: int, url: str = "") -> None:
        """Read what is new in the ledger, note that it is served, and record what has expired.

        Args:
            now_us: the clock.
            url: where it is served; empty where it is not served yet.

        Raises:
            StoreError: the ledger cannot be used, or its file is another one. What was known goes on being served; what has
                expired is told all the same.
        """
        try:
            if self._ledger.replaced():
                raise StoreError(REPLACED)
            self._board.refresh()
            if self._board.has_expired(now_us):  # last: what cannot be recorded must not keep a pull from being served
                self._expire(now_us)
        finally:
            self._tell(self._board.state(now_us), now_us)
        if url:  # last of all: applications do not wait for the disk
            note_served(self._ledger, url, self._board.entry, now_us)

    def end(self) -> None:
        """Note that nothing is served any more."""
        note_end(self._ledger)
