"""`andon serve`: the one place where store, stages and faces are put together, and the threads that keep them going.

Three things run in the background: the commit of the journal, the reading of levers, and the loop. None of them fails in
silence: a failure is counted, logged with its traceback once, and told by ``/readyz`` until the work succeeds again.
"""

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI

from andon.api import Deps, create_app
from andon.api.security import is_loopback
from andon.changes.run import change_from, record_change
from andon.errors import AndonError, ConfigError
from andon.levers.run import Board, expire
from andon.settings import Settings
from andon.store import Ledger, Warehouse
from andon.traffic.run import receive_spans, record, record_feedback
from andon.web import add_pages

__all__ = ["Repeated", "Server", "Ticking", "create_deps", "create_server", "listen", "serve"]

COMMIT_S = 1.0
REFRESH_S = 0.5
TICK_S = 5.0
STUCK_S = 300.0
"""A single run of background work that takes longer than this is told by ``/readyz``."""

GRACE_S = 10

_log = logging.getLogger("andon")


class Ticking(Protocol):
    """What turns the crank: `andon.loop.Loop`, or a double."""

    def tick(self, now_us: int) -> object:
        """Do what is due now."""


def now_us() -> int:
    """The wall clock, in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class Repeated:
    """One piece of background work, done again and again in a thread of its own until it is stopped."""

    def __init__(self, name: str, work: Callable[[], object], every_s: float) -> None:
        self.name = name
        self.failures = 0
        """Failures since the start; the work goes on after each."""
        self._work = work
        self._every_s = every_s
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
        if since and time.monotonic() - since > STUCK_S:
            return f"{self.name}: one run takes {time.monotonic() - since:.0f} s already"
        if self._row:
            return f"{self.name}: failed {self._row} times in a row ({self._last}); the log says where"
        return None

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._since = time.monotonic()
            try:
                self._work()
                self._row, self._last = 0, ""
            except Exception as error:  # whatever it is, the thread must live, and somebody must be told
                self._failed(error)
            finally:
                self._since = 0.0

    def _failed(self, error: Exception) -> None:
        name = type(error).__name__
        self.failures += 1
        self._row += 1
        if name != self._last:
            _log.error("%s failed; it is tried again every %g s", self.name, self._every_s, exc_info=error)
        self._last = name


class Server:
    """One Andon process: HTTP on a bound socket, and its background work."""

    def __init__(
        self, app: FastAPI, board: Board, bound: socket.socket, work: Sequence[Repeated], close: Callable[[], None]
    ) -> None:
        self.app = app
        self.board = board
        """What levers serve; refresh it after a pull in this process, and the pull is served at once."""
        self.work = tuple(work)
        self._socket = bound
        self._close = close
        config = uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="off",
            proxy_headers=False,  # a client must not choose the address that it seems to come from
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._http = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._socket.getsockname()[1])

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT ends it, then finish what was begun and return."""
        # uvicorn raises the signal again when it is done, which would end the process before `_finish`.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_end)
        self._start_work()
        try:
            self._http.run(sockets=[self._socket])
        finally:
            self._finish()

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Serve in a thread, for tests and demos."""
        self._start_work()
        thread = threading.Thread(
            target=self._http.run, kwargs={"sockets": [self._socket]}, name="andon-http", daemon=True
        )
        thread.start()
        try:
            while not self._http.started:
                if not thread.is_alive():
                    raise ConfigError("the HTTP server did not start; its log says why")
                time.sleep(0.005)
            yield self
        finally:
            self._http.should_exit = True
            thread.join(2 * GRACE_S)
            self._finish()

    def _asked_to_end(self, *_: object) -> None:
        self._http.should_exit = True

    def _start_work(self) -> None:
        for work in self.work:
            work.start()

    def _finish(self) -> None:
        for work in self.work:
            work.stop()
        self._socket.close()
        self._close()


def listen(host: str, port: int, token: str) -> socket.socket:
    """A socket bound to the address.

    Raises:
        ConfigError: others could reach it and there is no token, or the address cannot be listened on.
    """
    if not token and not is_loopback(host):
        raise ConfigError(
            f"ANDON_HOST={host} can be reached by others, but ANDON_TOKEN is not set: set ANDON_TOKEN to a long random text "
            "(`python -c 'import secrets; print(secrets.token_urlsafe(32))'`), or ANDON_HOST to 127.0.0.1"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=1024)
    except OSError as error:
        raise ConfigError(
            f"ANDON_HOST={host} ANDON_PORT={port} cannot be listened on: {error.strerror or error}; another Andon or an OpenTelemetry "
            "collector may be there already: stop it, or set another ANDON_PORT"
        ) from error


def create_deps(
    warehouse: Warehouse, ledger: Ledger, board: Board, problems: Callable[[], list[str]], token: str = ""
) -> Deps:
    """What the API needs, made of the stages."""

    def keep_change(fields: Mapping[str, Any]) -> str:
        now = now_us()
        change = change_from(fields, now_us=now)
        return record_change(ledger, change, now_us=now, by=change.author).id

    return Deps(
        receive_spans=partial(receive_spans, warehouse),
        record=partial(record, warehouse),
        record_feedback=partial(record_feedback, warehouse),
        record_change=keep_change,
        evaluate=lambda key: board.evaluate(key, now_us()),
        lever_keys=board.keys,
        problems=problems,
        token=token,
    )


def create_server(
    warehouse: Warehouse,
    ledger: Ledger,
    loop: Ticking | None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str = "",
    add_pages: Callable[[FastAPI], None] | None = None,
    tick_s: float = TICK_S,
) -> Server:
    """A server that is bound and not yet running; port 0 takes a free one.

    Raises:
        ConfigError: see `listen`.
        StoreError: levers cannot be read: it is better not to start than to serve no holds.
    """
    board = Board(ledger)
    expire(ledger, now_us())
    board.refresh()

    def read_levers() -> None:
        if board.has_expired(now := now_us()):
            expire(ledger, now)
        board.refresh()

    work = [Repeated("commit", warehouse.commit, COMMIT_S), Repeated("levers", read_levers, REFRESH_S)]
    if loop is not None:
        work.append(Repeated("loop", lambda: loop.tick(now_us()), tick_s))

    def problems() -> list[str]:
        return [problem for w in work if (problem := w.problem()) is not None]

    def close() -> None:
        try:
            warehouse.commit()
        except AndonError as error:
            _log.warning("the last commit failed (%s); its rows wait in the journal for the next start", error)
        warehouse.close()
        ledger.close()

    app = create_app(create_deps(warehouse, ledger, board, problems, token))
    if add_pages is not None:
        add_pages(app)
    return Server(app, board, listen(host, port, token), work, close)


def serve(settings: Settings) -> None:
    """Serve until a signal ends it.

    Raises:
        ConfigError: the settings do not allow a start.
        StoreError: the store cannot be opened.
    """
    from andon.loop import open_loop

    listen(settings.host, settings.port, settings.token).close()  # before the store is touched
    loop = open_loop(settings)
    server = create_server(
        loop.warehouse,
        loop.ledger,
        loop,
        host=settings.host,
        port=settings.port,
        token=settings.token,
        add_pages=lambda app: add_pages(app, loop.ledger, now_us, lambda: loop.charts),
    )
    _log.info("Andon listens on http://%s:%d", settings.host, server.port)
    server.run()
