"""Publish what the charts hold beside the tables, and open it in another process."""

from hashlib import blake2b
from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from andon.errors import StoreError
from andon.monitors.board import ChartBoard
from andon.monitors.charts import Charts
from andon.monitors.counting import Counting
from andon.monitors.publication import STATE, Publication
from andon.store import Place, Warehouse, at, forget_tables, keep_table, kept_stamp, kept_table

__all__ = ["Publisher", "keep_charts", "kept_charts", "mark_of", "open_board"]

FOLDER = "charts"
"""In the place of the store."""


STANDING = "standing"
"""Folder and table of the charts as they stood, for a process that goes on."""


def mark_of(*given: object) -> str:
    """A mark of what charts depend on beside their counts: these, and the code that turns them. Another mark, another past."""
    digest = blake2b(repr(given).encode(), digest_size=12)
    for package in ("andon.monitors", "andon.stats"):
        for file in sorted(files(package).iterdir(), key=lambda f: f.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    return digest.hexdigest()


def keep_charts(warehouse: Warehouse, table: pa.Table) -> str:
    """Keep how the charts stand; returns why it could not be. That keeps nobody from going on: only a start takes longer then."""
    try:
        keep_table(warehouse.place.sub(STANDING), STANDING, table)
    except StoreError as error:
        return str(error)
    return ""


def kept_charts(warehouse: Warehouse) -> pa.Table | None:
    """How the charts stood when somebody kept them last; None where nobody has."""
    return kept_table(warehouse.place.sub(STANDING), STANDING)


class Publisher:
    """Writes the charts of one process where others find them.

    The state is written last and names its counts, so it is the commit: a reader has both, as they belong together, or
    those of the publication before.
    """

    def __init__(self, home: Path | Place) -> None:
        self._folder = at(home).sub(FOLDER)
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

    def __init__(self, home: Path | Place) -> None:
        self._folder = at(home).sub(FOLDER)

    def stamp(self) -> tuple[int, int, int] | None:
        return kept_stamp(self._folder, STATE)

    def state(self) -> pa.Table | None:
        return kept_table(self._folder, STATE)

    def counts(self, name: str) -> pa.Table | None:
        found = kept_table(self._folder, name)
        self._folder.keep_only({f"{kept}.arrow" for kept in (STATE, name)})
        return found


def open_board(home: Path | Place) -> ChartBoard:
    """The charts as the loop of this store published them last; empty where it has not yet. `refresh` it before each look."""
    board = ChartBoard(_Kept(home))
    board.refresh()
    return board
