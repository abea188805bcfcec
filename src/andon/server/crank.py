"""The loop and the commits in a process of their own, its parent's view of it, and what is done there."""

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
from dataclasses import asdict
from pathlib import Path
from typing import Any

from andon.errors import AndonError, ConfigError, InputError, StoreError
from andon.incidents import Channel, open_channels
from andon.incidents.channels import NOBODY
from andon.loop import Loop, open_loop
from andon.server.background import GRACE_S, STUCK_S, Repeated, last_commit, now_us
from andon.settings import Settings

__all__ = ["COMMIT_S", "TICK_S", "Crank", "Turned", "loop_work", "start_log", "turn_crank", "turned"]

COMMIT_S = 0.5
TICK_S, QUICK_TICK_S = 5.0, 1.0
"""Rest between two turns of the loop: short where a rule may pull a lever, and as long as a turn took where that is longer."""

AGAIN_S = 5.0
"""Least time between two starts of the loop's process after the first restart."""

FORGET_S = 3600.0
INBOX_S = 2.0
PROBE_S = 30.0
PROBES_STUCK_S = 3600.0

_log = logging.getLogger("andon")


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
        self._settings = json.dumps(plain).encode() + b"\n"  # by a pipe, not by arguments: there are secrets in it
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
        self._process.stdin.write(self._settings)
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
    def lag_us(self) -> int:
        """How far its clock is behind: 0 but in a demo, which plays the past."""
        return int(self._told.get("lag_us", self._lag_us))

    def problems(self) -> list[str]:
        """What does not work there."""
        if not self._heard.is_set():
            return [f"loop: its process is starting; restarts so far: {self.restarts}"]
        if failed := self._told.get("failed"):
            return [f"loop: its process cannot start: {failed}"]
        silent = time.monotonic() - self._told_at
        if silent > STUCK_S / 10:
            return [f"loop: its process has said nothing for {silent:.0f} s; restarts so far: {self.restarts}"]
        return [str(p) for p in self._told.get("problems", ())]

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


Turned = tuple[Loop, Sequence[Repeated], Callable[[], Mapping[str, Any]]]
"""A loop, the background work that turns it, and what is told of it beside its problems and charts."""


def turned(settings: Settings) -> Turned:
    """The loop of a service.

    Raises:
        AndonError: the settings, the store or a plug-in cannot be used.
    """
    channels = open_channels(settings.channels)
    loop = open_loop(settings)
    if not channels:
        _log.warning(NOBODY)
    return loop, loop_work(loop, settings, channels), dict


def turn_crank(begin: Callable[[Settings], Turned]) -> None:
    """What the process of `Crank` does: settings come in by stdin, news go out by stdout, the end of stdin is the end."""
    start_log()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both; the other process says when to end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    news = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever prints must not be taken for news
    plain = json.loads(sys.stdin.buffer.readline())
    settings = Settings(**{**plain, "home": Path(plain["home"])})
    try:
        loop, work, more = begin(settings)
    except AndonError as error:  # input, at this moment, is what stands in andon.toml
        told: dict[str, Any] = {"failed": str(error), "config": isinstance(error, ConfigError | InputError)}
        news.write(json.dumps(told).encode() + b"\n")
        sys.exit(2)
    for w in work:
        w.start()
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    pause_s = 0.0
    while not ended.wait(pause_s):
        pause_s = 1.0
        problems = [p for w in work if (p := w.problem()) is not None]
        problems += [f"charts: pages show them as they were ({loop.unpublished})"] if loop.unpublished else []
        told = {"problems": problems, "charts": loop.charts, **more()}
        try:
            news.write(json.dumps(told).encode() + b"\n")
        except OSError:
            break
    for w in work:
        w.stop()
    last_commit(loop.warehouse)
    loop.close()
    os._exit(0)  # threads of a tick that takes long must not hold up the end: what they do is done again


def loop_work(loop: Loop, settings: Settings, channels: Sequence[Channel] = ()) -> list[Repeated]:
    """The background work of one store: commits, ticks, and what is done now and then."""
    work = [
        Repeated("commit", loop.warehouse.commit, COMMIT_S),
        Repeated(
            "loop",
            lambda: loop.turn(channels, now_us),
            QUICK_TICK_S if loop.pull_rules else TICK_S,
            longest_rest_s=TICK_S,
        ),
        Repeated("retention", lambda: loop.forget(now_us()), FORGET_S),
    ]
    if loop.probes:
        work.append(Repeated("probes", lambda: loop.probe(now_us()), PROBE_S, PROBES_STUCK_S))
    if settings.inbox:
        work.append(Repeated("inbox", lambda: loop.take_in(Path(settings.inbox), now_us()), INBOX_S))
    return work
