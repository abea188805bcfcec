"""The pages of one server: what they are handed, and the looks that keep open ones up to date."""

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fastapi import FastAPI

from andon.api import Streams
from andon.errors import AndonError
from andon.incidents import duration
from andon.monitors.run import open_board
from andon.postmortems.run.documents import layouts_beside
from andon.postmortems.run.search import make_texts
from andon.server.errands import Errand, Errands
from andon.settings import Settings
from andon.store import Ledger, Warehouse
from andon.web import NoErrands, Site, add_pages
from andon.web.recorded import BESIDE

__all__ = ["LIVE", "Pages", "news_in"]

LIVE = "/live"

TRAFFIC_S = 10.0
"""Open pages are told of new traffic at most so often; of the first traffic at once."""


def news_in(ledger: Ledger, after: int) -> tuple[int, bool]:
    """The number of the newest entry, and whether anything that people see was written after an earlier one.

    Raises:
        StoreError: the ledger cannot be read.
    """
    last = ledger.last_entry()
    if last == after:
        return last, False
    return last, any(kind not in BESIDE for kind in ledger.kinds_written(after))


class Pages:
    """The pages over one store, in the process that serves them. `look` runs in a thread of its own, again and again."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        warehouse: Warehouse,
        *,
        clock: Callable[[], int],
        errands: Errands | None = None,
        note: Callable[[], str] = str,
    ) -> None:
        """Pages that are not served yet.

        Args:
            settings: of this Andon.
            ledger: the records; one that remembers is much faster. It is closed with the pages where nobody else has it.
            warehouse: the tables, with scores, for reading.
            clock: the time.
            errands: who does long work; None: nobody.
            note: a sentence that every page shows while it is not empty.
        """
        self.streams = Streams()
        self._settings, self._ledger, self._warehouse, self._clock = settings, ledger, warehouse, clock
        self._note = note
        self._errands, self._board = errands, open_board(warehouse.place)
        self._begun = secrets.token_hex(4)
        self._news, self._first_told = 0, False
        self._last = ledger.last_entry()
        self._newest, self._traffic_us = 0, 0
        self._counting = threading.Lock()
        self._took, self._first_us = 0, 0
        if errands is not None:
            errands.told(self._errand)

    def add(
        self,
        app: FastAPI,
        problems: Callable[[], list[str]],
        warnings: Callable[[], list[str]],
        levers: Any,
        readers: Any,
    ) -> None:
        """Serve them, after everything else that the application serves.

        Args:
            app: where they are added.
            problems: why the process is not well.
            warnings: what somebody must look at though all work is done.
            levers: what levers give, as applications are told it.
            readers: which applications ask for it.
        """
        site = Site(
            ledger=self._ledger, warehouse=self._warehouse, settings=self._settings, charts=self._board, streams=self.streams,
            errands=NoErrands() if self._errands is None else self._errands, now_us=self._clock, problems=lambda: [*problems(), *self._late()],
            warnings=warnings, took_in=lambda: self._took, first_us=lambda: self._first_us, note=self._note, levers=levers, readers=readers,
        )  # fmt: skip
        add_pages(app, site)

    def _late(self) -> list[str]:
        """That nothing was judged for long, though nothing has failed: a turn that takes hours, charts that nobody can publish."""
        late_us = self._board.late_us(self._clock())
        if not late_us:
            return []
        return [f"charts: they were last turned {duration(late_us / 1e6)} ago, so nothing newer has been judged"]

    def took(self, rows: int) -> None:
        """Count what came in; any thread may call it."""
        with self._counting:
            if rows > 0 and not self._took:
                self._first_us = self._clock()
            self._took += rows

    def look(self) -> None:
        """Tell open pages if there is something new: a record that people see, a chart, traffic.

        Raises:
            StoreError: the ledger or the tables cannot be read.
        """
        self._last, wrote = news_in(self._ledger, self._last)
        first = self._took > 0 and not self._first_told
        self._first_told |= first
        if any((wrote, first, self._board.refresh(), self._came())):
            self._news += 1
        self._tell()

    def warm(self) -> None:
        """Do in a thread beside what would keep the first visitor waiting: load what draws limits, make the texts that are searched."""

        def work() -> None:
            board = self._board.pinned()
            if len(board):
                board.points(0, board.begins_us, board.until_us)
            with suppress(AndonError):  # whoever asks for the page is told
                make_texts(self._ledger, layouts_beside(self._settings.config), pause=time.sleep)

        threading.Thread(target=work, name="andon-warm", daemon=True).start()

    def end(self) -> None:
        """Let go of what was opened for the pages alone."""
        self.streams.end()

    def _came(self) -> bool:
        """Whether new interactions can be seen, and it is time to say so."""
        now = self._clock()
        if self._newest and now - self._traffic_us < TRAFFIC_S * 1e6:
            return False
        newest = self._warehouse.newest("interactions")
        before, self._newest, self._traffic_us = self._newest, newest, now
        return newest != before

    def _errand(self, _: Errand) -> None:
        self._news += 1
        self._tell()

    def _tell(self) -> None:
        self.streams.tell(f"{self._begun}-{self._news}", self._clock())
