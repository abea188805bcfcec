"""A ledger that fails at one write, for the tests of turns and acts that break off."""

from typing import Any

from andon.errors import StoreError
from andon.store import Ledger


class FailingLedger(Ledger):
    """A ledger in memory of which one `put` fails: before it writes, or after it wrote and before it can say so."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
        self.puts = 0
        self.fails_at = -1
        """Which one fails, counted from 0; none by default."""
        self.writes = False
        """Whether that one writes."""

    def put(self, record: Any, **fields: Any) -> int:
        """As `Ledger.put`, unless it is the one that fails."""
        self.puts += 1
        if self.puts - 1 != self.fails_at:
            return super().put(record, **fields)
        if self.writes:
            super().put(record, **fields)
        raise StoreError("the database failed over", retryable=True)
