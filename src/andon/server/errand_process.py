"""The process in which errands are done, its parent's view of it, and what is done there. Its manners are those of the `Crank`.

The parent writes JSON lines: the settings, then what is to be done, and perhaps that it is to stop. The child answers with JSON
lines: how far it is, and what came of it. The end of its stdin is its end, however the parent ended.
"""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from andon.errors import AndonError
from andon.loop import Loop, open_loop
from andon.server.crank import start_log
from andon.server.errand_work import MOST_CHARS, VERBS, Order
from andon.settings import Settings

__all__ = ["END_S", "FAILED", "ErrandProcess", "do_errands"]

END_S = 3.0
"""How long what is being done may go on after the parent's end; the ledger and the tables take it whole or not at all."""

REPORT_S = 0.1
"""Least time between two reports of how far it is."""

FAILED = "Andon failed; its log says why"

_STOP = signal.SIGUSR1
_log = logging.getLogger("andon")


class ErrandProcess:
    """The parent's view: started once, spoken to by one thread; `stop` and `ask_to_stop` may be called by any."""

    def __init__(self, settings: Settings) -> None:
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(settings).items()}
        self._settings = json.dumps(plain).encode() + b"\n"  # by a pipe, not by arguments: there are secrets in it
        self._process: subprocess.Popen[bytes] | None = None
        self._writing = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether the process is there and has not ended."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def pid(self) -> int | None:
        """The number of the process; None before the first one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process; what is left of the one before is let go of."""
        self.stop(0.0)
        code = "from andon.server.errand_process import do_errands; do_errands()"
        command = [sys.executable, "-c", code]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        self._write(self._settings)

    def give(self, errand_id: str, what: str, args: Mapping[str, Any], by: str, at_us: int) -> None:
        """Have an errand done; `news` tells what comes of it."""
        row = {"id": errand_id, "what": what, "args": args, "by": by, "at_us": at_us}
        self._write(json.dumps(row).encode() + b"\n")

    def ask_to_stop(self, errand_id: str) -> None:
        """Stop an errand, if it is the one that is being done, or that was given last and is not begun yet."""
        self._write(json.dumps({"stop": errand_id}).encode() + b"\n")

    def news(self) -> Iterator[dict[str, Any]]:
        """What the process says, until it ends."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        with suppress(ValueError, OSError):  # the pipe was closed, or a line was torn by the end of the process
            for line in process.stdout:
                yield json.loads(line)

    def ended(self) -> str:
        """How the process ended, in a few words; for after the end of `news`."""
        process = self._process
        if process is None:
            return "its process was ended"
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        status = process.returncode
        if status is not None and status < 0:
            return f"its process was ended by signal {-status}"
        return f"its process ended with status {status}"

    def stop(self, timeout_s: float = 2 * END_S) -> None:
        """Ask it to end, and wait for that; after `timeout_s` it is ended."""
        process = self._process
        if process is None:
            return
        with suppress(OSError), self._writing:
            assert process.stdin is not None
            process.stdin.close()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()  # whoever listens has come to its end

    def _write(self, line: bytes) -> None:
        """Write a line; that nobody reads it any more is seen by who listens to the news."""
        process = self._process
        if process is None:  # it is not there yet
            return
        assert process.stdin is not None
        with suppress(OSError, ValueError), self._writing:
            process.stdin.write(line)
            process.stdin.flush()


class _Stops:
    """Stops what is being done, as Ctrl-C stops a command: only the errand that was meant, and only where it allows that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._id, self._open = "", False
        self._early = ""
        """What was to be stopped while it was not being done: perhaps it was not begun yet."""
        signal.signal(_STOP, self._raise)

    def begin(self, errand_id: str, stoppable: bool) -> None:
        with self._lock:
            if stoppable and errand_id == self._early:
                raise KeyboardInterrupt
            self._id, self._open = errand_id, stoppable

    def end(self) -> None:
        self._open = False  # without the lock: the signal may come while it is held by the other thread

    def stop(self, errand_id: str | None = None) -> None:
        """Called by the thread that listens; None stops whatever it is."""
        with self._lock:
            if self._open and errand_id in (None, self._id):
                signal.pthread_kill(threading.main_thread().ident or 0, _STOP)
            elif errand_id is not None:
                self._early = errand_id

    def _raise(self, *_: object) -> None:
        if self._open:
            self._open = False  # once: what was on its way is waited for
            raise KeyboardInterrupt


def do_errands() -> None:
    """What the process does: settings and errands come in by stdin, news go out by stdout, the end of stdin is the end."""
    start_log()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent says when to end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    news = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever prints must not be taken for news
    first = sys.stdin.buffer.readline()
    if not first:
        return
    plain = json.loads(first)

    def say(row: Mapping[str, Any]) -> None:
        with suppress(OSError):  # nobody listens any more: the end of stdin ends this
            news.write(json.dumps(row).encode() + b"\n")

    try:
        loop = open_loop(Settings(**{**plain, "home": Path(plain["home"])}))
    except AndonError as error:
        say({"failed": str(error)})
        sys.exit(2)
    stops, asked = _Stops(), queue.SimpleQueue[dict[str, Any] | None]()
    threading.Thread(target=_listen, args=(stops, asked), daemon=True).start()
    ready()
    say({"ready": True})
    while (row := asked.get()) is not None:
        say({"id": row["id"], **_done(loop, row, stops, say)})
    with suppress(Exception):
        loop.close()
    os._exit(0)  # threads of targets that do not answer must not hold up the end


def ready() -> None:
    """Load what is loaded where it is used: what has to be quick is not to wait for it."""
    import scipy.special
    import scipy.stats  # noqa: F401


def _listen(stops: _Stops, asked: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    for line in sys.stdin.buffer:
        row = json.loads(line)
        if "stop" in row:
            stops.stop(row["stop"])
        else:
            asked.put(row)
    stops.stop()
    asked.put(None)
    time.sleep(END_S)
    os._exit(0)


def _done(
    loop: Loop, row: Mapping[str, Any], stops: _Stops, say: Callable[[Mapping[str, Any]], None]
) -> dict[str, Any]:
    """Do one errand; returns what came of it, and whether the process is to end because code of users may be loaded."""
    verb = VERBS[row["what"]]
    told_s, begun = 0.0, False

    def report(text: str, share: float | None) -> None:
        nonlocal told_s, begun
        begun = True
        if time.monotonic() - told_s >= REPORT_S or share in (0.0, 1.0):
            told_s = time.monotonic()
            say({"id": row["id"], "text": text[:MOST_CHARS], "share": share})

    told: dict[str, Any]
    try:
        stops.begin(row["id"], verb.stoppable)
        try:
            order = Order(loop=loop, args=row["args"], by=row["by"], now_us=row["at_us"], report=report)
            said, result = verb.do(order)
            told = {"result": result, "said": said[:MOST_CHARS]}
        finally:
            stops.end()
            loop.warehouse.seal()
    except KeyboardInterrupt:
        told = {"stopped": True}
    except AndonError as error:
        told = {"error": str(error)}
    except (Exception, SystemExit):  # whatever it is, the next errand must be done, and somebody must be told
        _log.exception("the errand %s failed", row["what"])
        told = {"error": FAILED}
    return {**told, "ends": verb.ends and begun}
