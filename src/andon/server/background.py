"""Work that is done again and again beside the requests: a failure is counted, logged once, and told until it succeeds."""

import logging
import threading
import time
from collections.abc import Callable

from andon.errors import AndonError
from andon.store import Warehouse

__all__ = ["GRACE_S", "STUCK_S", "Repeated", "last_commit", "now_us"]

STUCK_S = 300.0
"""A single run of background work that takes longer than this is told by ``/readyz``."""

GRACE_S = 10

_log = logging.getLogger("andon")


def now_us() -> int:
    """The wall clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class Repeated:
    """One piece of background work, done again and again in a thread of its own until it is stopped."""

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        every_s: float,
        stuck_s: float | None = None,
        longest_rest_s: float | None = None,
    ) -> None:
        """Work that is not begun yet.

        Args:
            name: what people call it.
            work: what is done.
            every_s: the rest between two runs.
            stuck_s: a run that takes longer is told.
            longest_rest_s: where given, the rest is as long as the run took, between `every_s` and this: quick work is done
                often, and slow work takes half of a processor at most.
        """
        self.name = name
        self.failures = 0
        """Failures since the start; the work goes on after each."""
        self._work = work
        self._every_s, self._stuck_s = every_s, stuck_s or STUCK_S
        self._longest_rest_s = longest_rest_s
        self._row = 0
        self._last = ""
        self._since = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"andon-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = GRACE_S) -> None:
        """Ask it to end after the present run, and wait for that."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def problem(self) -> str | None:
        """Why this work is not done now, in one sentence; None when it is."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self._stop.is_set():
            return f"{self.name}: the thread ended; start Andon again"
        since = self._since
        if since and time.monotonic() - since > self._stuck_s:
            return f"{self.name}: one run takes {time.monotonic() - since:.0f} s already"
        if self._row:
            return f"{self.name}: failed {self._row} times in a row ({self._last}); the log says where"
        return None

    def _run(self) -> None:
        rest_s = self._every_s
        while not self._stop.wait(rest_s):
            self._since = began = time.monotonic()
            try:
                self._work()
                self._row, self._last = 0, ""
            except (Exception, SystemExit) as error:  # whatever it is, the thread must live, and somebody must be told
                self._failed(error)
            finally:
                self._since = 0.0
                if self._longest_rest_s is not None:
                    rest_s = min(max(self._every_s, time.monotonic() - began), self._longest_rest_s)

    def _failed(self, error: BaseException) -> None:
        name = type(error).__name__
        self.failures += 1
        self._row += 1
        if name != self._last:
            _log.error("%s failed; it is tried again every %g s", self.name, self._every_s, exc_info=error)
        self._last = name


def last_commit(warehouse: Warehouse) -> None:
    """Commit what is in the journal; what cannot be waits there for the next start."""
    try:
        warehouse.commit()
    except AndonError as error:
        _log.warning("the last commit failed (%s); its rows wait in the journal for the next start", error)
