"""The loop and the commits in a process of their own, its parent's view of it, and what is done there.

Of many replicas one turns the loop, by a lease in the ledger; the others commit what they took in, and wait.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from andon.errors import AndonError, ConfigError, InputError, StoreError
from andon.incidents import Channel, open_channels
from andon.incidents.channels import NOBODY
from andon.loop import Loop, open_loop
from andon.scores import score_schema
from andon.scores.run import installed_scorers
from andon.server.background import (
    CLOCK_S,
    GRACE_S,
    STUCK_S,
    LedgerClock,
    Repeated,
    WorkState,
    last_commit,
    now_us,
    stop_all,
)
from andon.server.leasing import Leased, replica_name
from andon.server.logged import logged
from andon.server.tracing import LOOP, start_traces
from andon.server.vitals import Written
from andon.settings import Settings
from andon.store import LEASE_S, Ledger, Warehouse, open_warehouse
from andon.traffic import SCHEMAS

__all__ = [
    "COMMIT_S",
    "TICK_S",
    "Crank",
    "Turned",
    "committing",
    "do_once",
    "loop_tasks",
    "loop_work",
    "start_log",
    "told_of",
    "turn_crank",
    "turned",
]

COMMIT_S = 0.5
TICK_S, QUICK_TICK_S = 5.0, 1.0
"""Rest between two turns of the loop: short where a rule may pull a lever, and as long as a turn took where that is longer."""

AGAIN_S = 5.0
"""Least time between two starts of the loop's process after the first restart."""

END_S = LEASE_S / 2
"""How long runs have to end where the process is asked to: less than what is left of a lease, which is then given back."""

SILENT_S = STUCK_S / 10
"""A process that has said nothing for longer is told; it should each second."""

FORGET_S = 3600.0
TIDY_S = 10.0
INBOX_S = 2.0
PROBE_S = 30.0
PROBES_STUCK_S = 3600.0

_log = logging.getLogger("andon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """What a crank does."""

    warehouse: Warehouse
    close: Callable[[], None]
    work: Sequence[Repeated]
    """What every replica does."""
    leased: Sequence[Repeated] = ()
    """What one replica does at a time: the one that holds the lease."""
    ledger: Ledger | None = None
    """That of the leased work; nobody writes through it who does not hold the lease."""
    told: Callable[[], Mapping[str, Any]] = dict
    """What the parent is told each second."""
    loop: Loop | None = None
    """What is turned, where its turns may be traced."""


class Crank:
    """The loop and the commits in a process of their own.

    What turns the crank is Python for seconds at a time; in the process that takes requests in, every request would wait
    for it. The child ends by itself when this process does, however that ends. It tells each second what does not work.
    """

    def __init__(self, settings: Settings, turner: str = f"{__name__}:turned", lag_us: int = 0) -> None:
        """A process that is not started yet.

        Args:
            settings: of the store.
            turner: what it does, as module and function: see `turn_crank`.
            lag_us: how far its clock is behind until it says so itself.
        """
        module, _, name = turner.partition(":")
        self._code = f"from andon.server.crank import turn_crank; from {module} import {name}; turn_crank({name})"
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(settings).items()}
        given = {
            "settings": plain,
            "replica": replica_name(),
        }  # the same after a restart: it need not wait for its own lease
        self._given = json.dumps(given).encode() + b"\n"  # by a pipe, not by arguments: there are secrets in it
        self._process: subprocess.Popen[bytes] | None = None
        self._told: dict[str, Any] = {}
        self._told_at = self._began_at = 0.0
        self._heard = threading.Event()
        """Set when the present process has said something."""
        self.restarts = 0
        self._lag_us = lag_us

    def start(self) -> None:
        """Start the process and listen to it."""
        command = [sys.executable, "-c", self._code]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        assert self._process.stdin is not None
        self._process.stdin.write(self._given)
        self._process.stdin.flush()
        self._heard.clear()
        self._told_at = self._began_at = time.monotonic()
        threading.Thread(target=self._listen, args=(self._process,), name="andon-crank", daemon=True).start()

    def wait(self) -> None:
        """Return when the process works.

        Raises:
            ConfigError: it cannot, because of a setting.
            StoreError: it cannot, because of the store.
        """
        assert self._process is not None
        while not self._heard.wait(0.05):
            if self._process.poll() is not None and not self._heard.wait(1.0):
                raise StoreError(f"the loop's process ended with status {self._process.returncode}; its log says why")
        if failed := self._told.get("failed"):
            raise (ConfigError if self._told.get("config") else StoreError)(str(failed))

    def look_after(self) -> None:
        """Start the process again if it ended, but not again and again at once."""
        if self._process is not None and self._process.poll() is not None:
            if time.monotonic() - self._began_at < AGAIN_S and self.restarts:
                return
            self.restarts += 1
            _log.error("the loop's process ended with status %d; it is started again", self._process.returncode)
            self.start()

    def stop(self, timeout_s: float = GRACE_S) -> None:
        """Ask it to commit and end, and wait for that; after `timeout_s` it is ended: nothing acknowledged is lost."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def charts(self) -> tuple[int, int]:
        """How many charts watch, and how many still learn, as it told last."""
        watching, learning = self._told.get("charts", (0, 0))
        return int(watching), int(learning)

    @property
    def turns(self) -> bool:
        """Whether it turns the loop now, and not another replica; False while its process is gone or says nothing."""
        return bool(self._heard.is_set() and self._silent_s <= SILENT_S and self._told.get("turns"))

    @property
    def work(self) -> list[WorkState]:
        """How its background work stands."""
        silent_s = self._silent_s
        told = [WorkState(**w) for w in self._told.get("work", ())]
        return [replace(w, since_s=w.since_s + silent_s) for w in told]

    @property
    def rows(self) -> Mapping[str, int]:
        """Rows that its present process has written, by table."""
        return dict(self._told.get("rows", {}))

    @property
    def pid(self) -> int | None:
        """The number of its process."""
        return None if self._process is None else self._process.pid

    @property
    def _silent_s(self) -> float:
        return time.monotonic() - self._told_at

    @property
    def waits_for(self) -> str:
        """The replica that turns the loop, where that is another one; empty otherwise."""
        return str(self._told.get("waits_for", ""))

    @property
    def lag_us(self) -> int:
        """How far its clock is behind: 0 but in a demo, which plays the past."""
        return int(self._told.get("lag_us", self._lag_us))

    def problems(self) -> list[str]:
        """What does not work there."""
        if not self._heard.is_set():
            return [f"loop: its process is starting; restarts so far: {self.restarts}"]
        if failed := self._told.get("failed"):
            return [f"loop: its process cannot start: {failed}"]
        silent = self._silent_s
        if silent > SILENT_S:
            return [f"loop: its process has said nothing for {silent:.0f} s; restarts so far: {self.restarts}"]
        told = (str(p) for p in self._told.get("problems", ()))
        return [p if p.startswith("loop") else f"in the loop's process: {p}" for p in told]  # this one has a clock, too

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with suppress(ValueError):
                self._told = json.loads(line)
                self._told_at = time.monotonic()
                self._heard.set()


def start_log() -> None:
    """Write what is worth knowing to stderr, in this process; secrets in addresses that are asked stay out of it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for client in ("httpx2", "httpx"):  # at INFO they write every address, with the user, password and query in it
        logging.getLogger(client).setLevel(logging.WARNING)


def turned(settings: Settings) -> Turned:
    """The loop of a service.

    Raises:
        AndonError: the settings, the store or a plug-in cannot be used.
    """
    channels = open_channels(settings.channels)
    loop = open_loop(settings)
    if not channels:
        _log.warning(NOBODY)
    clock = LedgerClock(loop.ledger)
    commit, *leased = loop_work(loop, settings, channels, clock)
    return Turned(
        loop=loop,
        warehouse=loop.warehouse,
        close=loop.close,
        work=[commit, Repeated("clock", clock.look, CLOCK_S)],
        leased=leased,
        ledger=loop.ledger,
        told=lambda: told_of(loop),
    )


def told_of(loop: Loop) -> dict[str, Any]:
    """What the parent is told of a loop."""
    problems = [f"charts: pages show them as they were ({loop.unpublished})"] if loop.unpublished else []
    problems += [f"charts: the next start turns all of them again ({loop.unkept})"] if loop.unkept else []
    return {"charts": loop.charts, "problems": problems}


def committing(settings: Settings) -> Turned:
    """What moves the journal of a replica into the tables, where that does not turn the loop.

    Raises:
        AndonError: the settings, the store or a plug-in cannot be used.
    """
    warehouse = open_warehouse(settings, {**SCHEMAS, "scores": score_schema(installed_scorers())})
    commit = Repeated("commit", lambda: warehouse.commit(), COMMIT_S)  # noqa: PLW0108 - as in `loop_work`
    return Turned(warehouse=warehouse, close=warehouse.close, work=[commit])


def turn_crank(begin: Callable[[Settings], Turned]) -> None:
    """What the process of `Crank` does: settings come in by stdin, news go out by stdout, the end of stdin is the end."""
    start_log()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both; the other process says when to end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    news = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever prints must not be taken for news
    given = json.loads(sys.stdin.buffer.readline())
    settings = Settings(**{**given["settings"], "home": Path(given["settings"]["home"])})
    try:
        turned = begin(settings)
    except AndonError as error:  # input, at this moment, is what stands in andon.toml
        told: dict[str, Any] = {"failed": str(error), "config": isinstance(error, ConfigError | InputError)}
        news.write(json.dumps(told).encode() + b"\n")
        sys.exit(2)
    leased = None if turned.ledger is None else Leased(turned.ledger, turned.leased, given["replica"])
    written, traces = Written(turned.warehouse), start_traces(settings, LOOP)
    if traces is not None:
        traces.watch(turned.warehouse, turned.loop)
    for w in turned.work:
        w.start()
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    pause_s = 0.0
    while not ended.wait(pause_s):
        pause_s = 1.0
        waits = {} if leased is None else leased.look()
        try:
            news.write(json.dumps(_news(turned, waits, written)).encode() + b"\n")
        except OSError:
            break
    stop_all((*turned.work, *turned.leased), END_S)
    if leased is not None:
        leased.give_back()
    last_commit(turned.warehouse)
    turned.close()
    if traces is not None:
        traces.end()
    os._exit(0)  # threads of a tick that takes long must not hold up the end: what they do is done again


def _news(turned: Turned, waits: Mapping[str, Any], written: Written) -> dict[str, Any]:
    """What the parent is told now."""
    more, work = turned.told(), (*turned.work, *turned.leased)
    problems = [p for w in work if (p := w.problem()) is not None]
    problems += [*more.get("problems", ()), *waits.get("problems", ())]
    turns = any(w.begun for w in turned.leased) if turned.ledger is not None else "charts" in more
    states = [asdict(w.state()) for w in work if w.begun]
    return {**more, **waits, "problems": problems, "turns": turns, "work": states, "rows": written.rows()}


def loop_tasks(
    loop: Loop, settings: Settings, channels: Sequence[Channel] = (), clock: Callable[[], int] = now_us
) -> dict[str, Callable[[], object]]:
    """All that is done for one store, by name, in the order in which one who does it once does it: what came in comes first.

    A method is looked up each time, as who traces it replaces it.
    """
    tasks: dict[str, Callable[[], object]] = {}
    told = logged(channels)
    if settings.inbox:
        tasks["inbox"] = lambda: loop.take_in(Path(settings.inbox), clock())
    tasks["commit"] = lambda: loop.warehouse.commit()  # noqa: PLW0108
    if loop.probes:
        tasks["probes"] = lambda: loop.probe(clock())
    tasks["loop"] = lambda: loop.turn(told, clock)
    tasks["capture"] = lambda: loop.capture_due(clock())
    tasks["compaction"] = lambda: loop.warehouse.tidy()  # noqa: PLW0108
    tasks["retention"] = lambda: loop.forget(clock())
    return tasks


def loop_work(
    loop: Loop, settings: Settings, channels: Sequence[Channel] = (), clock: Callable[[], int] = now_us
) -> list[Repeated]:
    """The background work of one store: commits first, then ticks, and what is done now and then."""
    tasks = loop_tasks(loop, settings, channels, clock)
    turn_s = QUICK_TICK_S if loop.pull_rules else TICK_S
    work = [
        Repeated("commit", tasks["commit"], COMMIT_S),
        Repeated("loop", tasks["loop"], turn_s, longest_rest_s=TICK_S),
        Repeated("capture", tasks["capture"], TICK_S),
        Repeated("compaction", tasks["compaction"], TIDY_S),
        Repeated("retention", tasks["retention"], FORGET_S),
    ]
    if "probes" in tasks:
        work.append(Repeated("probes", tasks["probes"], PROBE_S, PROBES_STUCK_S))
    if "inbox" in tasks:
        work.append(Repeated("inbox", tasks["inbox"], INBOX_S))
    return work


def do_once(
    loop: Loop, settings: Settings, channels: Sequence[Channel] = ()
) -> tuple[dict[str, object], dict[str, Exception]]:
    """Do once what a service does again and again, by the clock of the ledger's database; what fails keeps nothing else from it.

    Returns:
        What each task came to, and what kept it from that, by its name.

    Raises:
        StoreError: the ledger cannot be read.
    """
    done: dict[str, object] = {}
    failed: dict[str, Exception] = {}
    for name, task in loop_tasks(loop, settings, channels, LedgerClock(loop.ledger)).items():
        try:
            done[name] = task()
        except Exception as error:  # whatever it is, as in `Repeated`
            failed[name] = error
    return done, failed
