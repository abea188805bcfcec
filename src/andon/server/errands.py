"""Errands: long work that people ask for on the page, done outside the process that takes traffic in, with its progress told.

Two lanes, each with a process of its own: one for most work, started when it is needed and ended when it has rested for ten
minutes, and one for what must not wait (`freeze`), kept ready once somebody looks at what he may pull. What was asked is known
in memory only: after a restart of the server nobody waits for it any more.
"""

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from andon.errors import InputError, StateError
from andon.server.background import now_us
from andon.server.errand_process import ErrandProcess
from andon.server.errand_work import VERBS, about_of, checked
from andon.settings import Settings
from andon.traffic.quoting import quoted

__all__ = ["IDLE_S", "KEPT", "MOST_WAITING", "Errand", "Errands"]

IDLE_S = 600.0
"""How long a process is kept after its last work."""

KEPT = 200
"""Errands that are known; the oldest ones that are over are forgotten first."""

MOST_WAITING = 50
"""Errands of one lane that may wait."""

_CLOSED = "Andon was stopped before it was done; ask again"
_log = logging.getLogger("andon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One piece of work that somebody asked for."""

    id: str
    what: str
    """The verb: one of `errand_work.VERBS`."""
    about: str
    """The incident, the action, the target...; ``all`` where it is about everything."""
    by: str
    at_us: int
    """When it was asked for."""
    state: Literal["waiting", "working", "done", "failed"] = "waiting"
    text: str = ""
    """What it does now, or what came of it."""
    share: float | None = None
    """How much of it is done, 0..1; None where nobody knows."""
    done_us: int | None = None
    """When it was done, or failed."""
    result: Mapping[str, Any] | None = None
    """What came of it, as small JSON: see the verb."""
    error: str = ""
    """Why it failed, and what to do."""
    stopped_by: str = ""
    """Who stopped it; it counts as failed."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("done", "failed")


class Errands:
    """What was asked for, and the processes that do it. All methods may be called by any thread."""

    def __init__(self, settings: Settings, *, idle_s: float = IDLE_S, clock: Callable[[], int] = now_us) -> None:
        """No process is started yet.

        Args:
            settings: of the store that is worked on.
            idle_s: how long a process is kept after its last work.
            clock: the time.
        """
        self.clock = clock
        self._changed = threading.Condition(threading.RLock())
        self._errands: dict[str, Errand] = {}
        self._args: dict[str, dict[str, Any]] = {}
        self._telling = threading.RLock()
        self._listeners: list[Callable[[Errand], None]] = []
        self._closed = False
        self._lanes = {quick: _Lane(self, settings, "quick" if quick else "long", idle_s) for quick in (False, True)}

    def ask(self, what: str, by: str, **args: Any) -> str:
        """Have something done; returns at once with the id of the errand.

        The same work that still waits or is being done is not done twice: its id comes back.

        Raises:
            InputError: no such verb, or wrong arguments.
            StateError: too much waits already, or the server ends.
        """
        verb, given = checked(what, args)
        with self._telling:  # so that "waiting" is told before anything that becomes of it
            with self._changed:
                if self._closed:
                    raise StateError("Andon is being stopped; ask again when it runs")
                for known in self._errands.values():
                    if known.what == what and not known.over and self._args[known.id] == given:
                        return known.id
                lane = self._lanes[verb.quick]
                if len(lane.waiting) >= MOST_WAITING:
                    raise StateError(f"{MOST_WAITING} errands wait already; ask again when some are done")
                made = Errand(
                    id=secrets.token_hex(6),
                    what=what,
                    about=about_of(what, given),
                    by=by,
                    at_us=self.clock(),
                    text="waiting",
                )
                self._errands[made.id], self._args[made.id] = made, given
                self._forget()
                lane.take(made.id)
            self._tell(made)
        return made.id

    def get(self, id: str) -> Errand | None:  # noqa: A002 - the field is called id
        """The errand as it stands now; None where it is not known (any more)."""
        with self._changed:
            return self._errands.get(id)

    def all(self) -> list[Errand]:
        """All that are known, the newest first."""
        with self._changed:
            return list(reversed(self._errands.values()))

    def wait(self, id: str, timeout_s: float) -> Errand:  # noqa: A002
        """The errand when it is over, or as it stands after `timeout_s`. It blocks: call it in a thread.

        Raises:
            InputError: it is not known.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            while not (errand := self._known(id)).over and (left_s := until - time.monotonic()) > 0:
                self._changed.wait(left_s)
            return errand

    def told(self, listener: Callable[[Errand], None]) -> Callable[[], None]:
        """Call a function with an errand at every change of it, in a thread of ours; it must be quick.

        Returns:
            What ends this.
        """
        with self._telling:
            self._listeners.append(listener)

        def end() -> None:
            with self._telling:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return end

    def warm(self) -> None:
        """Keep the process ready that does what must not wait; returns at once. Call it where somebody may pull a lever."""
        with self._changed:
            if not self._closed:
                self._lanes[True].warm()

    def stop(self, id: str, by: str = "somebody") -> None:  # noqa: A002
        """Stop an errand: one that waits is not begun, and of an eval that is being done what was answered is kept.

        Raises:
            InputError: it is not known.
            StateError: it is over, or it cannot be stopped once it has begun.
        """
        with self._changed:
            errand = self._known(id)
            if errand.over:
                raise StateError(f"this errand is {errand.state} already")
            lane = self._lanes[VERBS[errand.what].quick]
            if errand.state == "working" and not VERBS[errand.what].stoppable:
                raise StateError(f"{errand.what} cannot be stopped once it has begun; wait until it is done")
            if errand.state == "waiting":
                lane.waiting.remove(id)
                self.note(id, state="failed", stopped_by=by, error=f"stopped by {by} before it was begun")
            else:
                text = errand.text if errand.stopped_by else f"stopping: {errand.text}"
                self.note(id, stopped_by=errand.stopped_by or by, text=text)
        self.tell(id)
        if errand.state == "working":
            lane.process.ask_to_stop(id)

    def close(self) -> None:
        """End the processes; what was not done fails, and says so."""
        with self._changed:
            self._closed = True
            open_ = [e.id for e in self._errands.values() if e.state == "waiting"]
            for lane in self._lanes.values():
                lane.waiting.clear()
            self._changed.notify_all()
        for errand_id in open_:
            self.change(errand_id, state="failed", error=_CLOSED)
        ends = [threading.Thread(target=lane.end, daemon=True) for lane in self._lanes.values()]
        for end in ends:
            end.start()
        for end in ends:
            end.join()

    @property
    def closed(self) -> bool:
        """Whether the server ends."""
        return self._closed

    @property
    def processes(self) -> dict[str, int]:
        """The numbers of the processes that run now, by lane: ``long`` and ``quick``."""
        lanes = self._lanes.values()
        return {lane.name: pid for lane in lanes if lane.process.alive and (pid := lane.process.pid) is not None}

    def change(self, errand_id: str, **now: Any) -> None:
        """Note what has become of an errand, and tell; for the lanes."""
        self.note(errand_id, **now)
        self.tell(errand_id)

    def note(self, errand_id: str, **now: Any) -> None:
        """Note what has become of an errand; whoever holds the lock tells it when he has let go of it."""
        with self._changed:
            errand = replace(self._known(errand_id), **now)
            if errand.over:
                errand = replace(errand, done_us=self.clock())
                self._args.pop(errand_id, None)
            self._errands[errand_id] = errand
            self._changed.notify_all()

    def tell(self, errand_id: str) -> None:
        """Tell those who listen how an errand stands; never an older state after a newer one."""
        with self._telling:
            errand = self.get(errand_id)
            if errand is not None:
                self._tell(errand)

    def _tell(self, errand: Errand) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(errand)
            except Exception:  # one who listens wrongly must keep neither the others nor the work
                _log.exception("somebody could not be told of an errand")

    def _known(self, errand_id: str) -> Errand:
        with self._changed:
            errand = self._errands.get(errand_id)
        if errand is None:
            raise InputError(f"no errand is called {quoted(errand_id)}; the last {KEPT} since the start are known")
        return errand

    def _forget(self) -> None:
        over = [e.id for e in self._errands.values() if e.over]
        for errand_id in over[: max(0, len(self._errands) - KEPT)]:
            del self._errands[errand_id]


class _Lane:
    """Errands that are done one after the other by one process, and the thread that gives them to it."""

    def __init__(self, errands: Errands, settings: Settings, name: str, idle_s: float) -> None:
        self.process = ErrandProcess(settings)
        self.waiting: deque[str] = deque()
        self.name, self._errands, self._idle_s = name, errands, idle_s
        self._changed = errands._changed
        self._thread: threading.Thread | None = None
        self._wanted = self._kept = self._ends = False

    def take(self, errand_id: str) -> None:
        """Do an errand after those that wait; the lock is held."""
        self.waiting.append(errand_id)
        self._wake()

    def warm(self) -> None:
        """Keep the process ready from now on; the lock is held."""
        if not (self._kept and self.process.alive):
            self._wanted = self._kept = True
            self._wake()

    def end(self) -> None:
        """End the process and the thread."""
        self.process.stop()
        if self._thread is not None:
            self._thread.join(1.0)

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"andon-errands-{self.name}", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while not self._errands.closed:
            try:
                errand_id = self._next()
                if errand_id is not None:
                    self._do(errand_id)
            except Exception:  # whatever it is, the thread must live
                _log.exception("the errands of the %s lane could not go on", self.name)
        self.process.stop()

    def _next(self) -> str | None:
        """The next errand, marked as begun; meanwhile the process is started where it is wanted, and ended after its rest."""
        rest_until = time.monotonic() + self._idle_s
        with self._changed:
            while not self.waiting and not self._errands.closed:
                if self._wanted:
                    break
                left_s = rest_until - time.monotonic()
                resting = self.process.alive and not self._kept
                if resting and left_s <= 0:
                    break
                self._changed.wait(left_s if resting else None)
            errand_id = self.waiting.popleft() if self.waiting and not self._errands.closed else None
            wanted, self._wanted = self._wanted, False
            if errand_id is not None:
                self._errands.note(errand_id, state="working", text="starting")
        if errand_id is not None:
            self._errands.tell(errand_id)
        elif wanted:
            if not self.process.alive:
                self.process.start()
        elif not self._errands.closed:
            self.process.stop()  # it has rested for long enough
        return errand_id

    def _do(self, errand_id: str) -> None:
        """Do one errand to its end. A process that had died while it rested costs a new start, and no errand."""
        errands, errand = self._errands, self._errands.get(errand_id)
        assert errand is not None
        with self._changed:
            args = errands._args[errand_id]
        self._ends = False
        try:
            for fresh in (False, True):
                if fresh or not self.process.alive:
                    self.process.start()
                    fresh = True  # noqa: PLW2901
                at_us = errand.at_us if VERBS[errand.what].quick else errands.clock()
                self.process.give(errand_id, errand.what, args, errand.by, at_us)
                if self._stopping(errand_id):  # perhaps before the process was there to be told
                    self.process.ask_to_stop(errand_id)
                heard = self._follow(errand_id)
                if heard or fresh or errands.closed:
                    break
        except Exception as error:
            _log.exception("the errand %s could not be given to its process", errand.what)
            errands.change(errand_id, state="failed", error=f"its process cannot be started ({error}); ask again")
        now = errands.get(errand_id)
        if now is not None and not now.over:
            said = _CLOSED if errands.closed else _died(now, self.process.ended())
            errands.change(errand_id, state="failed", error=said)
        if self._ends:
            self.process.stop()

    def _follow(self, errand_id: str) -> bool:
        """Tell what the process says of an errand until it is over or the process ends; whether it said anything."""
        heard = False
        for said in self.process.news():
            if "failed" in said:
                self._errands.change(errand_id, state="failed", error=said["failed"])
                return True
            if said.get("id") != errand_id:
                continue
            heard = True
            if self._over(errand_id, said):
                return True
            text = {} if self._stopping(errand_id) else {"text": said["text"]}
            share = {} if said["share"] is None and self._stopping(errand_id) else {"share": said["share"]}
            self._errands.change(errand_id, **text, **share)
        return heard

    def _over(self, errand_id: str, said: Mapping[str, Any]) -> bool:
        self._ends = bool(said.get("ends"))
        if "result" in said:
            self._errands.change(errand_id, state="done", share=1.0, result=said["result"], text=said["said"])
        elif "error" in said:
            self._errands.change(errand_id, state="failed", error=said["error"])
        elif "stopped" in said:
            self._errands.change(errand_id, state="failed", error=self._stopped(errand_id))
        else:
            return False
        return True

    def _stopping(self, errand_id: str) -> bool:
        errand = self._errands.get(errand_id)
        return errand is not None and errand.stopped_by != ""

    def _stopped(self, errand_id: str) -> str:
        errand = self._errands.get(errand_id)
        by = errand.stopped_by if errand is not None else ""
        if not by:
            return _CLOSED
        return f"stopped by {by}; what was answered is kept: ask again with resume to go on where it stopped"


def _died(errand: Errand, how: str) -> str:
    kept = "; an eval keeps its answers: ask again with resume" if VERBS[errand.what].stoppable else ""
    return f"{how} in the middle of the work, perhaps for want of memory: ask again, and look into the log{kept}"
