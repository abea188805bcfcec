"""What a replica can be measured by: the families of ``/metrics`` beside the requests.

Always true: a scrape never waits long for the ledger or the disk. What cannot be read is absent, never 0, and a metric of its own
says so. Labels are names of ours, never what traffic says.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

import pyarrow as pa
from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from andon import __version__
from andon.errors import StoreError
from andon.incidents import Incident
from andon.incidents.records import Severity
from andon.levers import ENVIRONMENTS, Pull, in_force
from andon.monitors.run.watching import WatchCursor
from andon.postmortems.run import overdue
from andon.server.background import Repeated, WorkState
from andon.store import Ledger, Warehouse

__all__ = ["LedgerFacts", "LedgerLook", "Vitals", "Watched", "Written"]

ASK_S = 5.0
"""The ledger is asked at most so often, however many scrape."""

WAIT_S = 0.5
"""How long a scrape waits for the ledger."""

Values = dict[Any, float] | dict[Any, int] | dict[Any, bool]
"""A number for each combination of labels, which are a tuple of texts."""

_SEVERITIES: tuple[str, ...] = get_args(Severity)


class Watched(Protocol):
    """What is measured of the process beside this one: `andon.server.crank.Crank`, or a double."""

    restarts: int

    @property
    def turns(self) -> bool:
        """Whether it turns the loop."""

    @property
    def charts(self) -> tuple[int, int]:
        """How many charts watch, and how many learn."""

    @property
    def work(self) -> Sequence[WorkState]:
        """How its background work stands."""

    @property
    def rows(self) -> Mapping[str, int]:
        """Rows that it has written, by table."""

    @property
    def pid(self) -> int | None:
        """The number of the process."""


class Written:
    """Counts the rows that this process writes from now on; it puts itself before the warehouse's `append` and `derive`."""

    def __init__(self, warehouse: Warehouse) -> None:
        """Begin to count.

        Args:
            warehouse: is written to by who looks its methods up each time.
        """
        self._counting = threading.Lock()
        self._rows = dict.fromkeys(warehouse.tables(), 0)
        self._append, self._derive = warehouse.append, warehouse.derive
        warehouse.append = self._appended  # type: ignore[method-assign]
        warehouse.derive = self._derived  # type: ignore[method-assign]

    def rows(self) -> dict[str, int]:
        """Rows so far, by table; 0 of those to which none was written."""
        with self._counting:
            return dict(self._rows)

    def _appended(self, table: str, rows: pa.Table) -> int:
        count = self._append(table, rows)
        self._count(table, count)
        return count

    def _derived(
        self, table: str, make: Callable[[Collection[str] | None], pa.Table], *, source: str | None = None
    ) -> tuple[int, int]:
        done = self._derive(table, make, source=source)
        self._count(table, sum(done))
        return done

    def _count(self, table: str, rows: int) -> None:
        with self._counting:
            self._rows[table] += rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """What the ledger says of the moment."""

    incidents: Mapping[str, int]
    """Incidents that are not closed, by severity."""
    pulled: int
    """Levers that a pull holds, counted in each environment."""
    overdue: int
    judged_us: int | None
    """End of the last window that was judged; None where none was."""

    @classmethod
    def read(cls, ledger: Ledger, now_us: int) -> "LedgerFacts":
        """The facts.

        Raises:
            StoreError: the ledger cannot be read, or its file is another one by now.
        """
        if ledger.replaced():
            raise StoreError("the ledger's file was moved, deleted or replaced")
        incidents = dict.fromkeys(_SEVERITIES, 0)
        for incident in ledger.all(Incident):
            incidents[incident.severity] += incident.state != "closed"
        pulls: dict[str, list[Pull]] = {}
        for pull in ledger.all(Pull):
            pulls.setdefault(pull.lever, []).append(pull)
        held = (in_force(of_one, now_us, e) is not None for of_one in pulls.values() for e in ENVIRONMENTS)
        cursor = ledger.get(WatchCursor, "monitors")
        return cls(
            incidents=incidents,
            pulled=sum(held),
            overdue=len(overdue(ledger, now_us)),
            judged_us=None if cursor is None else cursor.until_us,
        )


class LedgerLook:
    """Asks the ledger for who scrapes, in a thread beside: a database that does not answer holds up nobody for longer than `WAIT_S`."""

    def __init__(self, ledger: Ledger, clock: Callable[[], int]) -> None:
        """Nothing was asked yet.

        Args:
            ledger: one that remembers answers in a fraction of the time.
            clock: microseconds since 1970 UTC.
        """
        self._ledger, self._clock = ledger, clock
        self._turn, self._answered = threading.Lock(), threading.Event()
        self._answered.set()
        self._next_s = 0.0
        self._facts: LedgerFacts | None = None

    def __call__(self) -> LedgerFacts | None:
        """What it says, at most `ASK_S` ago; None where it cannot be read or does not answer in time."""
        with self._turn:
            if self._answered.is_set() and time.monotonic() >= self._next_s:
                self._answered.clear()
                threading.Thread(target=self._ask, name="andon-facts", daemon=True).start()
        return self._facts if self._answered.wait(WAIT_S) else None

    def _ask(self) -> None:
        facts = None
        try:
            facts = LedgerFacts.read(self._ledger, self._clock())
        except Exception:  # noqa: S110 - whatever it is, /metrics says that it cannot be read, and /readyz why
            pass
        finally:
            self._facts, self._next_s = facts, time.monotonic() + ASK_S
            self._answered.set()


class Vitals:
    """All that is measured of one replica."""

    def __init__(
        self,
        warehouse: Warehouse,
        ledger: Ledger,
        *,
        clock: Callable[[], int],
        journal: Path,
        work: Sequence[Repeated],
        problems: Callable[[], list[str]],
        crank: Watched | None = None,
    ) -> None:
        """What was written is counted from now on.

        Args:
            warehouse: takes the rows.
            ledger: see `LedgerLook`.
            clock: microseconds since 1970 UTC.
            journal: the folder of the journal.
            work: what this process does in the background.
            problems: why this replica is not ready.
            crank: the process beside this one, where there is one.
        """
        self._look, self._clock, self._journal = LedgerLook(ledger, clock), clock, journal
        self._written, self._work, self._problems, self._crank = Written(warehouse), work, problems, crank
        self._processes = [ProcessCollector(registry=None)]
        if crank is not None:
            self._processes.append(ProcessCollector("andon_loop", lambda: crank.pid or "gone", registry=None))

    def families(self) -> Iterator[Metric]:
        """Everything, as it is now."""
        yield _gauge(
            "build_info", "Always 1; the version of Andon that runs is its label.", {(__version__,): 1}, "version"
        )
        yield _gauge("ready", "1 while /readyz answers 200.", {(): not self._problems()})
        yield from self._rows()
        yield from self._waiting()
        yield from self._background()
        yield from self._loop()
        yield from self._ledger()
        for process in self._processes:
            yield from process.collect()

    def _rows(self) -> Iterator[Metric]:
        rows = {(table, "server"): n for table, n in self._written.rows().items()}
        if self._crank is not None:
            rows |= {(table, "loop"): n for table, n in self._crank.rows.items()}
        about = "Rows written, by table and process: what was sent, and what the loop made of it."
        yield _counter("rows", about, rows, "table", "process")

    def _waiting(self) -> Iterator[Metric]:
        try:
            sizes = _sizes(self._journal)
        except OSError:
            return
        yield _gauge("journal_bytes", "Bytes in the journal that are not committed yet.", {(): sum(sizes.values())})
        begun = [
            int(ns) for name in sizes if (ns := name.partition("-")[0]).isdecimal()
        ]  # when it was, stands in its name
        oldest_s = max(0.0, (time.time_ns() - min(begun)) / 1e9) if begun else 0.0
        about = "Age of the oldest part of the journal that is not committed yet, in seconds; 0 where nothing waits."
        yield _gauge("journal_oldest_seconds", about, {(): oldest_s})

    def _background(self) -> Iterator[Metric]:
        states = {(w.name, "server"): w.state() for w in self._work if w.begun}
        if self._crank is not None:
            states |= {(w.name, "loop"): w for w in self._crank.work}
        names = ("work", "process")
        runs, failures = ({key: getattr(w, what) for key, w in states.items()} for what in ("runs", "failures"))
        yield _counter("background_runs", "Runs of background work that ended, well or not.", runs, *names)
        yield _counter("background_failures", "Runs of background work that failed.", failures, *names)
        about = "1 while background work fails, is stuck or has ended; /readyz says why."
        yield _gauge("background_failing", about, {key: w.fails for key, w in states.items()}, *names)
        about = "Seconds since a run of background work ended well, or since it was begun where none has."
        yield _gauge(
            "background_since_success_seconds", about, {key: round(w.since_s, 3) for key, w in states.items()}, *names
        )

    def _loop(self) -> Iterator[Metric]:
        if self._crank is None:
            return
        turns = self._crank.turns
        yield _gauge("loop_turns_here", "1 while this replica turns the loop; of all replicas one should.", {(): turns})
        restarts = {(): self._crank.restarts}
        yield _counter("loop_process_restarts", "How often the loop's process ended and was started again.", restarts)
        if turns:
            watching, learning = self._crank.charts
            charts = {("watching",): watching, ("learning",): learning}
            yield _gauge("charts", "Charts of the loop that this replica turns, by what they do.", charts, "phase")

    def _ledger(self) -> Iterator[Metric]:
        facts = self._look()
        about = "1 while the ledger can be read; what is read from it is absent otherwise."
        yield _gauge("ledger_readable", about, {(): facts is not None})
        if facts is None:
            return
        incidents = {(severity,): n for severity, n in facts.incidents.items()}
        yield _gauge("incidents_open", "Incidents that are not closed, by severity.", incidents, "severity")
        yield _gauge("levers_pulled", "Levers that a pull holds, counted in each environment.", {(): facts.pulled})
        yield _gauge("actions_overdue", "Actions of postmortems whose time is over.", {(): facts.overdue})
        if facts.judged_us is not None:
            about = "Seconds since the end of the last window of traffic that was judged, by whichever replica."
            yield _gauge("loop_behind_seconds", about, {(): max(0.0, (self._clock() - facts.judged_us) / 1e6)})


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file in a folder; one that goes meanwhile is left out."""
    found = {}
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):
            found[entry.name] = entry.stat().st_size
    return found


def _gauge(name: str, about: str, values: Values, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"andon_{name}", about, labels=labels), values)


def _counter(name: str, about: str, values: Values, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"andon_{name}", about, labels=labels), values)


def _filled(family: Any, values: Values) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, float(value))
    return family  # type: ignore[no-any-return]
