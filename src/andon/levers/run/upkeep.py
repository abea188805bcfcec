"""Keep a board up to date, and say when what it serves has changed."""

from collections.abc import Callable

from andon.levers.run.board import Board
from andon.levers.run.pulling import Expiry
from andon.store import Ledger

__all__ = ["Upkeep"]


class Upkeep:
    """Looks at the ledger for a board: cheap enough to be done many times a second by one thread."""

    def __init__(self, ledger: Ledger, board: Board, tell: Callable[[str, int], None]) -> None:
        """An upkeep that has not looked yet.

        Args:
            ledger: what pulls, promotions and experiments are written to, by whatever process.
            board: what is kept up to date.
            tell: is given the board's state and the time after each look, also when nothing has changed.
        """
        self._board, self._tell, self._expire = board, tell, Expiry(ledger)

    def look(self, now_us: int) -> None:
        """Read what is new in the ledger, and record what has expired.

        Raises:
            StoreError: the ledger cannot be used. What was known goes on being served; what has expired is told all the same.
        """
        try:
            self._board.refresh()
            if self._board.has_expired(now_us):  # last: what cannot be recorded must not keep a pull from being served
                self._expire(now_us)
        finally:
            self._tell(self._board.state(now_us), now_us)
