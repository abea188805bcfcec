"""`andon serve`: the one place where store, stages and faces are put together, and what keeps them going.

Two processes: this one takes requests in and answers them; its child, the `Crank`, moves the journal into the tables and
turns the loop. Nothing that runs in the background fails in silence: a failure is counted, logged with its traceback once,
and told by ``/readyz`` until the work succeeds again.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI

from andon.api import Deps, WebhookDeps, create_app
from andon.api.grpc import GrpcServer, open_grpc
from andon.api.security import is_loopback
from andon.changes import Received
from andon.changes.run import record_changes
from andon.errors import AndonError, ConfigError, StoreError
from andon.incidents import Channel, Report, open_channels
from andon.incidents.channels import NOBODY
from andon.incidents.run import receive_alerts, receive_report
from andon.levers.run import Board, expire
from andon.loop import Loop, open_loop
from andon.postmortems.run import issue_closed, layouts_beside, reviewed
from andon.settings import Settings
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS
from andon.traffic.otlp import Form
from andon.traffic.run import Intake, open_intake
from andon.web import add_pages

__all__ = ["Repeated", "Server", "Ticking", "create_deps", "create_server", "listen", "serve", "start_log"]

COMMIT_S = 0.5
SEAL_S = 0.5
REFRESH_S = 0.5
TICK_S = 5.0
COUNTS_S = 10.0
AGAIN_S = 5.0
"""Least time between two starts of the loop's process after the first restart."""

FORGET_S = 3600.0
INBOX_S = 2.0
PROBE_S = 30.0
PROBES_STUCK_S = 3600.0
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

    def __init__(self, name: str, work: Callable[[], object], every_s: float, stuck_s: float | None = None) -> None:
        self.name = name
        self.failures = 0
        """Failures since the start; the work goes on after each."""
        self._work = work
        self._every_s, self._stuck_s = every_s, stuck_s or STUCK_S
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
        while not self._stop.wait(self._every_s):
            self._since = time.monotonic()
            try:
                self._work()
                self._row, self._last = 0, ""
            except (Exception, SystemExit) as error:  # whatever it is, the thread must live, and somebody must be told
                self._failed(error)
            finally:
                self._since = 0.0

    def _failed(self, error: BaseException) -> None:
        name = type(error).__name__
        self.failures += 1
        self._row += 1
        if name != self._last:
            _log.error("%s failed; it is tried again every %g s", self.name, self._every_s, exc_info=error)
        self._last = name


class Crank:
    """The loop and the commits in a process of their own.

    What turns the crank is Python for seconds at a time; in the process that takes requests in, every request would wait
    for it. The child ends by itself when this process does, however that ends. It tells each second what does not work.
    """

    def __init__(self, settings: Settings) -> None:
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(settings).items()}
        self._settings = json.dumps(plain).encode() + b"\n"  # by a pipe, not by arguments: there are secrets in it
        self._process: subprocess.Popen[bytes] | None = None
        self._told: dict[str, Any] = {}
        self._told_at = self._began_at = 0.0
        self._heard = threading.Event()
        """Set when the present process has said something."""
        self.restarts = 0

    def start(self) -> None:
        """Start the process and listen to it."""
        code = "from andon.server import turn_crank; turn_crank()"
        command = [sys.executable, "-c", code]
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


def turn_crank() -> None:
    """What the process of `Crank` does: settings come in by stdin, news go out by stdout, the end of stdin is the end."""
    start_log()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both; the other process says when to end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    news = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever prints must not be taken for news
    plain = json.loads(sys.stdin.buffer.readline())
    settings = Settings(**{**plain, "home": Path(plain["home"])})
    try:
        channels = open_channels(settings.channels)
        loop = open_loop(settings)
    except AndonError as error:
        told: dict[str, Any] = {"failed": str(error), "config": isinstance(error, ConfigError)}
        news.write(json.dumps(told).encode() + b"\n")
        sys.exit(2)
    if not channels:
        _log.warning(NOBODY)
    work = loop_work(loop, settings, channels)
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
        told = {"problems": [p for w in work if (p := w.problem()) is not None], "charts": loop.charts}
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

    def turn() -> None:
        try:
            loop.tick(now_us())
        finally:  # a turn that fails must not keep what it found from people, nor the other incidents from their course
            try:
                loop.tell(channels, now_us())
            finally:
                loop.follow(now_us())

    work = [
        Repeated("commit", loop.warehouse.commit, COMMIT_S),
        Repeated("loop", turn, TICK_S),
        Repeated("retention", lambda: loop.forget(now_us()), FORGET_S),
    ]
    if loop.probes:
        work.append(Repeated("probes", lambda: loop.probe(now_us()), PROBE_S, PROBES_STUCK_S))
    if settings.inbox:
        work.append(Repeated("inbox", lambda: loop.take_in(Path(settings.inbox), now_us()), INBOX_S))
    return work


def last_commit(warehouse: Warehouse) -> None:
    """Commit what is in the journal; what cannot be waits there for the next start."""
    try:
        warehouse.commit()
    except AndonError as error:
        _log.warning("the last commit failed (%s); its rows wait in the journal for the next start", error)


class Server:
    """One Andon process: HTTP on a bound socket, and its background work."""

    def __init__(
        self,
        app: FastAPI,
        board: Board,
        bound: socket.socket,
        work: Sequence[Repeated],
        close: Callable[[], None],
        grpc: GrpcServer | None = None,
    ) -> None:
        self.app = app
        self.board = board
        """What levers serve; refresh it after a pull in this process, and the pull is served at once."""
        self.work = tuple(work)
        self._socket = bound
        self._close = close
        self._grpc = grpc
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

    def abandon(self) -> None:
        """Let go of everything without having served."""
        self._socket.close()
        self._close()

    def _asked_to_end(self, *_: object) -> None:
        self._http.should_exit = True

    def _start_work(self) -> None:
        for work in self.work:
            work.start()
        if self._grpc is not None:
            self._grpc.start()

    def _finish(self) -> None:
        if self._grpc is not None:
            self._grpc.stop(GRACE_S)
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
    intake: Intake,
    warehouse: Warehouse,
    ledger: Ledger,
    board: Board,
    problems: Callable[[], list[str]],
    *,
    token: str = "",
    github_secret: str = "",
) -> Deps:
    """What the API needs, made of the stages."""

    def receive(signal_name: str, body: bytes, form: Form) -> tuple[int, Sequence[str]]:
        if signal_name == "traces":
            return intake.traces(body, form)
        return intake.logs(body, form, now_us()) if signal_name == "logs" else (intake.metrics(body, form), ())

    def keep_changes(received: Received) -> list[str]:
        return [change.id for change in record_changes(ledger, received, now_us=now_us())]

    def keep_report(said: Mapping[str, Any]) -> Report:
        known = {k: said.get(k) for k in ("app", "environment", "interaction_id")}
        return receive_report(
            warehouse, ledger, said.get("text", ""), near_miss=said.get("near_miss", False), by=said.get("by") or "a user",
            now_us=now_us(), **known,
        )  # fmt: skip

    return Deps(
        receive=receive,
        record=intake.records,
        webhooks=WebhookDeps(
            record_changes=keep_changes,
            receive_alerts=lambda alerts: receive_alerts(ledger, alerts, now_us=now_us()),
            receive_report=keep_report,
            issue_closed=lambda payload: issue_closed(ledger, payload, now_us=now_us()),
            now_us=now_us,
            github_secret=github_secret,
        ),
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
    intake: Intake | None = None,
) -> Server:
    """A server that is bound and not yet running, with all of its work in this process; port 0 takes a free one.

    Raises:
        ConfigError: see `listen`.
        StoreError: levers cannot be read: it is better not to start than to serve no holds.
    """
    intake = intake or Intake(warehouse)
    work = [Repeated("commit", warehouse.commit, COMMIT_S)]
    if loop is not None:
        work.append(Repeated("loop", lambda: loop.tick(now_us()), tick_s))

    def close() -> None:
        intake.flush(now_us())
        last_commit(warehouse)
        warehouse.close()
        ledger.close()

    settings = Settings(host=host, port=port, token=token, grpc_port=0)
    return _server(settings, intake, warehouse, ledger, work, close, add_pages=add_pages)


def _server(
    settings: Settings,
    intake: Intake,
    warehouse: Warehouse,
    ledger: Ledger,
    work: Sequence[Repeated],
    close: Callable[[], None],
    *,
    add_pages: Callable[[FastAPI], None] | None = None,
    more_problems: Callable[[], list[str]] = list,
) -> Server:
    board = Board(ledger)
    expire(ledger, now_us())
    board.refresh()

    def read_levers() -> None:
        if board.has_expired(now := now_us()):
            expire(ledger, now)
        board.refresh()

    everything = [
        *work,
        Repeated("levers", read_levers, REFRESH_S),
        Repeated("counts", lambda: intake.flush(now_us()), COUNTS_S),
    ]

    def problems() -> list[str]:
        return [*more_problems(), *(problem for w in everything if (problem := w.problem()) is not None)]

    deps = create_deps(
        intake, warehouse, ledger, board, problems, token=settings.token, github_secret=settings.github_secret
    )
    app = create_app(deps)
    if add_pages is not None:
        add_pages(app)
    bound = listen(settings.host, settings.port, settings.token)
    grpc = open_grpc(settings, deps.receive)
    return Server(app, board, bound, everything, close, grpc=grpc)


def serve(settings: Settings) -> None:
    """Serve until a signal ends it.

    Raises:
        ConfigError: the settings do not allow a start.
        StoreError: the store cannot be opened.
    """
    listen(settings.host, settings.port, settings.token).close()  # before the store is touched
    warehouse = Warehouse(settings.home, SCHEMAS)
    ledger = Ledger.open(settings.home / "ledger.db")
    intake = open_intake(warehouse, settings)
    crank = Crank(settings)
    crank.start()

    def seal() -> None:
        warehouse.seal()
        crank.look_after()

    def close() -> None:
        intake.flush(now_us())
        warehouse.close()
        crank.stop()
        ledger.close()

    server = _server(
        settings,
        intake,
        warehouse,
        ledger,
        [Repeated("journal", seal, SEAL_S)],
        close,
        add_pages=lambda app: add_pages(
            app,
            ledger,
            now_us,
            lambda: crank.charts,
            lambda i: reviewed(ledger, i, layouts_beside(settings.config)),
        ),
        more_problems=crank.problems,
    )
    try:
        crank.wait()
    except AndonError:
        server.abandon()
        raise
    _log.info("Andon listens on http://%s:%d", settings.host, server.port)
    server.run()
