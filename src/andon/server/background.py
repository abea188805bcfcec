"""Work that is done again and again beside the requests: a failure is counted, logged once, and told until it succeeds."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from andon.errors import AndonError
from andon.store import Ledger, Warehouse, clock_of

__all__ = ["CLOCK_S", "GRACE_S", "STUCK_S", "LedgerClock", "Repeated", "WorkState", "last_commit", "now_us", "stop_all"]

STUCK_S = 300.0
"""A single run of background work that takes longer than this is told by ``/readyz``."""

GRACE_S = 10

CLOCK_S = 1.0
"""How often the clock is set."""

SLOW_US = 500_000
"""The clock is not set back by an answer that was under way for longer: nobody knows how old it is."""

_log = logging.getLogger("andon")


def now_us() -> int:
    """The wall clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class LedgerClock:
    """The clock of the ledger's database, which all replicas share: the wall clock of one of them may be wrong.

    Between two looks the steady clock of this machine goes on, which no correction of the wall clock moves. It never goes back, and
    it never runs ahead: of an answer it is only known that the database's clock stood so before it came.
    """

    def __init__(self, ledger: Ledger) -> None:
        """It is set at once.

        Raises:
            StoreError: the ledger cannot be read.
        """
        self._ledger, self._last, self._setting = ledger, 0, threading.Lock()
        self._ahead_us: int | None = None
        self.look()

    def look(self) -> None:
        """Set it by the database; by an answer that was long under way only where it must have fallen behind.

        Raises:
            StoreError: the ledger cannot be read; it goes on as it was set.
        """
        asked_us = time.monotonic_ns() // 1_000
        at_us = clock_of(self._ledger)
        answered_us = time.monotonic_ns() // 1_000
        least, most, ahead = at_us - answered_us, at_us - asked_us, self._ahead_us
        if ahead is None or ahead < least or (ahead > most and answered_us - asked_us <= SLOW_US):
            self._ahead_us = least

    def __call__(self) -> int:
        """The time: microseconds since 1970 UTC."""
        with self._setting:
            self._last = max(self._last, time.monotonic_ns() // 1_000 + (self._ahead_us or 0))
            return self._last


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkState:
    """How one piece of background work stands."""

    name: str
    runs: int
    """Runs that ended since it was begun, well or not."""
    failures: int
    """Those of them that failed."""
    fails: bool
    """Whether it is not done now; ``/readyz`` says why."""
    since_s: float
    """Seconds since a run ended well, or since it was begun where none has."""


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
        self.runs = 0
        """Runs that ended since the start, well or not."""
        self._work = work
        self._every_s, self._stuck_s = every_s, stuck_s or STUCK_S
        self._longest_rest_s = longest_rest_s
        self._row = 0
        self._last = ""
        self._told: set[tuple[object, ...]] = set()
        self._since = self._well = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"andon-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._well = time.monotonic()
        self._thread.start()

    def stop(self, timeout_s: float = GRACE_S) -> None:
        """Ask it to end after the present run, and wait for that."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    @property
    def begun(self) -> bool:
        """Whether it was started."""
        return self._thread.ident is not None

    def state(self) -> WorkState:
        """How it stands; once it was begun."""
        return WorkState(
            name=self.name,
            runs=self.runs,
            failures=self.failures,
            fails=self.problem() is not None,
            since_s=round(time.monotonic() - self._well, 3),
        )

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
                self._row, self._last, self._well = 0, "", time.monotonic()
                self._told.clear()
            except (Exception, SystemExit) as error:  # whatever it is, the thread must live, and somebody must be told
                self._failed(error)
            finally:
                self._since = 0.0
                self.runs += 1
                if self._longest_rest_s is not None:
                    rest_s = min(max(self._every_s, time.monotonic() - began), self._longest_rest_s)

    def _failed(self, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        where = (type(error), frames[-1].filename, frames[-1].lineno) if frames else (type(error),)
        self.failures += 1
        self._row += 1
        if where not in self._told:  # the same outage is told once, another fault behind it too
            _log.error("%s failed; it is tried again every %g s", self.name, self._every_s, exc_info=error)
        self._told.add(where)
        self._last = type(error).__name__


def stop_all(work: Iterable[Repeated], within_s: float) -> None:
    """Ask all to end after their present runs, and wait for that, for no longer than this altogether."""
    until_s, asked = time.monotonic() + within_s, list(work)
    for w in asked:
        w.stop(0.0)
    for w in asked:
        w.stop(max(0.0, until_s - time.monotonic()))


def last_commit(warehouse: Warehouse) -> None:
    """Commit what is in the journal; what cannot be waits there for the next start."""
    try:
        warehouse.commit()
    except AndonError as error:
        _log.warning("the last commit failed (%s); its rows wait in the journal for the next start", error)
