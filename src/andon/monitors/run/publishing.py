"""Publish what the charts hold beside the tables, and open it in another process."""

from pathlib import Path

import pyarrow as pa

from andon.errors import StoreError
from andon.monitors.board import ChartBoard
from andon.monitors.charts import Charts
from andon.monitors.counting import Counting
from andon.monitors.publication import STATE, Publication
from andon.store import forget_tables, keep_table, kept_stamp, kept_table

__all__ = ["Publisher", "open_board"]

FOLDER = "charts"
"""In the folder of the store."""


class Publisher:
    """Writes the charts of one process where others find them.

    The state is written last and names its counts, so it is the commit: a reader has both, as they belong together, or
    those of the publication before.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._made = Publication()
        self.failed = ""
        """Why the last publication could not be written; the charts go on, and the next one is tried after the next window."""

    def publish(self, charts: Charts, counting: Counting, end: int) -> None:
        """Write the state of all charts, and their counts where an hour has ended since.

        It is derived data: a disk that refuses keeps no signal from being dealt with.

        Args:
            charts: what is published.
            counting: knows the weights.
            end: index of the first window that was not turned.
        """
        held, made = charts.held(), self._made
        try:
            if made.due(held) or kept_stamp(self._folder, made.counts) is None:  # gone: another process published too
                keep_table(self._folder, *made.counts_of(held, end))
            keep_table(self._folder, STATE, made.state_of(held, end, counting.weights_of(held.monitors)))
            forget_tables(self._folder, but=(STATE, made.counts))
            self.failed = ""
        except StoreError as error:
            self._made, self.failed = Publication(), str(error)


class _Kept:
    """The tables in a folder of the store."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def stamp(self) -> tuple[int, int, int] | None:
        return kept_stamp(self._folder, STATE)

    def state(self) -> pa.Table | None:
        return kept_table(self._folder, STATE)

    def counts(self, name: str) -> pa.Table | None:
        return kept_table(self._folder, name)


def open_board(home: Path) -> ChartBoard:
    """The charts as the loop of this home published them last; empty where it has not yet. `refresh` it before each look."""
    board = ChartBoard(_Kept(home))
    board.refresh()
    return board
