"""Put store, stages and faces together, and serve them over HTTP."""

import asyncio
import errno
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI

from andon.access.run import Keyring
from andon.api import Deps, LeverDeps, Streams, WebhookDeps, create_app
from andon.api.errors import OFREP
from andon.api.grpc import GrpcServer, open_grpc
from andon.api.security import is_loopback
from andon.changes import Received
from andon.changes.run import record_changes
from andon.errors import AndonError, ConfigError, SeamError
from andon.incidents import Channel, Report
from andon.incidents.run import receive_alerts, receive_report
from andon.levers.run import Board, Readers, expire, note_first_reads
from andon.levers.run.upkeep import REPLACED, Upkeep
from andon.postmortems.run import issue_closed
from andon.scores import score_schema
from andon.scores.run import installed_scorers
from andon.server.background import CLOCK_S, GRACE_S, LedgerClock, Repeated, last_commit, now_us, stop_all
from andon.server.crank import COMMIT_S, TICK_S, Crank
from andon.server.elsewhere import say_elsewhere
from andon.server.errands import Errands
from andon.server.files import allow_files
from andon.server.heads import HeadsProtocol
from andon.server.people import LIVE, Pages
from andon.server.refused import RefusedReads
from andon.server.tracing import SERVER, start_traces
from andon.server.vitals import Vitals
from andon.settings import Settings
from andon.store import Ledger, RememberingLedger, Warehouse, open_ledger, open_warehouse
from andon.traffic import SCHEMAS
from andon.traffic.otlp import Form
from andon.traffic.run import Intake, open_intake

__all__ = ["ROLES", "Server", "create_server", "listen", "serve"]

ROLES = ("ingest", "web", "loop")
"""What a replica does: takes traffic, levers' questions and webhooks; serves the pages; turns the loop, or waits to."""

SEAL_S = 0.5
LOOK_S = 0.05
"""How often it is looked whether the ledger has a new entry: a pull in another process is served, and told, after that long."""

COUNTS_S = 10.0

TOKENS_S = 0.25
"""How long a token that was made is not known yet, and one that was revoked still opens."""

USES_S = 1.0
"""How often it is seen whether a token was used that nothing is written of yet."""

DRAIN_S = 3.0
"""How long a replica that was told to end goes on taking requests, while ``/readyz`` says that none should be sent any more.

Who routes requests learns of the end a moment later than the replica itself, and until then requests would meet a closed port. That
is worth waiting for where another replica can take them, so only where the tables or the ledger are shared (ANDON_STORE,
ANDON_LEDGER): a single one has nobody to hand over to, and is back the sooner. Ctrl-C, and a second signal, end it at once.
"""

ENDING = "shutdown: this replica is about to end and finishes what was begun; send requests to another one"

EVENTS = f"{OFREP}v1/events"
STREAM_GRACE_S = 1.0
"""How long the end of an event stream may take at a shutdown."""

_log = logging.getLogger("andon")

Clock = Callable[[], int]


class Turning(Protocol):
    """What turns the crank: `andon.loop.Loop`, or a double."""

    def turn(self, channels: Sequence[Channel], clock: Callable[[], int]) -> object:
        """Do what is due now."""

    def capture_due(self, now_us: int) -> object:
        """Capture what failed."""


class _Http(uvicorn.Server):
    """uvicorn, which lets others take over, and ends the event streams before it waits for what it serves."""

    def __init__(self, config: uvicorn.Config, streams: Sequence[Streams], drain_s: float) -> None:
        super().__init__(config)
        self._streams, self._drain_s = tuple(streams), drain_s
        self._signals: list[int] = []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note the signal, and begin to end."""
        self._signals.append(sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was begun; a stream has no end of its own."""
        until_s = time.monotonic() + self._drain_s
        while self._signals == [signal.SIGTERM] and time.monotonic() < until_s:
            await asyncio.sleep(LOOK_S)
        for streams in self._streams:
            streams.end()
        let_go = asyncio.create_task(self._let_go())
        await super().shutdown(sockets)
        let_go.cancel()

    async def _let_go(self) -> None:
        """Drop event streams whose clients take nothing: there is nothing that they wait for, and the end would wait for them."""
        await asyncio.sleep(STREAM_GRACE_S)
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and cycle.scope["path"] in (EVENTS, LIVE):
                connection.transport.abort()


class Server:
    """One Andon process: HTTP on a bound socket, and its background work."""

    def __init__(
        self,
        app: FastAPI,
        board: Board,
        bound: socket.socket,
        work: Sequence[Repeated],
        close: Callable[[], None],
        streams: Sequence[Streams],
        grpc: GrpcServer | None = None,
        drain_s: float = 0.0,
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
            http=HeadsProtocol,
            loop="uvloop",
            ws="none",
            lifespan="off",
            proxy_headers=False,  # a client must not choose the address that it seems to come from
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._http = _Http(config, streams, drain_s)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._socket.getsockname()[1])

    @property
    def ending(self) -> bool:
        """Whether it was told to end."""
        return self._http.should_exit

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
        stop_all(self.work, GRACE_S)
        self._socket.close()
        self._close()


def listen(host: str, port: int, token: str) -> socket.socket:
    """A socket bound to the address.

    Raises:
        ConfigError: others could reach it and there is no token, or the address cannot be listened on.
        SeamError: somebody else listens there.
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
        # who is there may be gone in a moment, so a new start may do: nothing is wrong with the settings
        kind = SeamError if error.errno == errno.EADDRINUSE else ConfigError
        raise kind(
            f"ANDON_HOST={host} ANDON_PORT={port} cannot be listened on: {error.strerror or error}; another Andon or an OpenTelemetry "
            "collector may be there already: stop it, or set another ANDON_PORT"
        ) from error


def _deps(
    intake: Intake,
    warehouse: Warehouse,
    ledger: Ledger,
    board: Board,
    readers: Readers,
    problems: Callable[[], list[str]],
    streams: Streams,
    refused: RefusedReads,
    keyring: Keyring,
    settings: Settings,
    took: Callable[[int], None],
    clock: Clock,
) -> Deps:
    """What the API needs, made of the stages."""

    def receive(signal_name: str, body: bytes, form: Form) -> tuple[int, Sequence[str]]:
        if signal_name == "metrics":
            return intake.metrics(body, form), ()
        done = intake.traces(body, form) if signal_name == "traces" else intake.logs(body, form, clock())
        took(done[0])
        return done

    def keep_rows(rows: Sequence[Any]) -> int:
        count = intake.records(rows)
        took(count)
        return count

    def keep_changes(received: Received) -> list[str]:
        return [change.id for change in record_changes(ledger, received, now_us=clock())]

    def keep_report(said: Mapping[str, Any]) -> Report:
        known = {k: said.get(k) for k in ("app", "environment", "interaction_id")}
        return receive_report(
            warehouse, ledger, said.get("text", ""), near_miss=said.get("near_miss", False), by=said.get("by") or "a user",
            now_us=clock(), **known,
        )  # fmt: skip

    return Deps(
        receive=receive,
        record=keep_rows,
        webhooks=WebhookDeps(
            record_changes=keep_changes,
            receive_alerts=lambda alerts: receive_alerts(ledger, alerts, now_us=clock()),
            receive_report=keep_report,
            issue_closed=lambda payload: issue_closed(ledger, payload, now_us=clock()),
            now_us=clock,
            github_secret=settings.github_secret,
        ),
        levers=_lever_deps(board, readers, streams, clock),
        problems=problems,
        warnings=lambda: [*refused.warnings(), *board.too_large(clock())],
        token=settings.token,
        refused=refused.note,
        scopes_of=lambda secret: keyring.scopes_of(secret, clock()),
    )


def _lever_deps(board: Board, readers: Readers, streams: Streams, clock: Clock) -> LeverDeps:
    def evaluate(key: str, context: Mapping[str, Any]) -> dict[str, Any] | None:
        found = board.evaluate(key, context, at_us := clock())
        readers.note([] if found is None else [found], context.get("app"), at_us)
        return found

    def evaluate_all(context: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = board.evaluate_all(context, at_us := clock())
        readers.note(found, context.get("app"), at_us)
        return found

    return LeverDeps(
        evaluate=evaluate,
        evaluate_all=evaluate_all,
        state=lambda: board.state(clock()),
        keys=board.keys,
        streams=streams,
    )


def create_server(
    warehouse: Warehouse,
    ledger: Ledger,
    loop: Turning | None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str = "",
    pages: Pages | None = None,
    tick_s: float = TICK_S,
    intake: Intake | None = None,
    errands: Errands | None = None,
) -> Server:
    """A server that is bound and not yet running, with all of its work in this process; port 0 takes a free one.

    The loop does whole turns: rules pull levers, and treatments that harm are taken out. Channels are not told. Errands are
    closed at the end.

    Raises:
        ConfigError, SeamError: see `listen`.
        StoreError: levers cannot be read: it is better not to start than to serve no holds.
    """
    intake = intake or Intake(warehouse)
    work = [Repeated("commit", warehouse.commit, COMMIT_S)]
    if loop is not None:
        work.append(Repeated("loop", lambda: loop.turn((), now_us), tick_s))
        work.append(Repeated("capture", lambda: loop.capture_due(now_us()), tick_s))

    def close() -> None:
        if errands is not None:
            errands.close()
        intake.flush(now_us())
        last_commit(warehouse)
        warehouse.close()
        ledger.close()

    settings = Settings(home=warehouse.place.here, host=host, port=port, token=token, grpc_port=0)
    return _server(settings, intake, warehouse, ledger, work, close, pages=pages)


def _server(
    settings: Settings,
    intake: Intake,
    warehouse: Warehouse,
    ledger: Ledger,
    work: Sequence[Repeated],
    close: Callable[[], None],
    *,
    pages: Pages | None = None,
    clock: Clock = now_us,
    crank: Crank | None = None,
    told_of: Ledger | None = None,
    only: Collection[str] = ROLES,
) -> Server:
    board, streams = Board(ledger), Streams()
    readers = Readers(board.app_of)
    expire(ledger, clock())
    upkeep = Upkeep(ledger, board, streams.tell)
    upkeep.look(clock())
    keyring = Keyring(ledger)
    keyring.refresh()
    everything = [
        *work,
        Repeated("levers", lambda: upkeep.look(clock(), address), LOOK_S),
        Repeated("first reads", lambda: note_first_reads(ledger, readers, clock()), LOOK_S),
        Repeated("tokens", keyring.refresh, TOKENS_S),
        Repeated("uses of tokens", keyring.keep_uses, USES_S),
        Repeated("counts", lambda: intake.flush(clock()), COUNTS_S),
    ]
    if pages is not None:
        everything.append(Repeated("pages", pages.look, LOOK_S))

    def end() -> None:
        upkeep.end()
        close()

    def problems() -> list[str]:
        told = [*([ENDING] if server.ending else []), *([REPLACED] if ledger.replaced() else [])]
        told += [] if crank is None else crank.problems()
        return told + [problem for w in everything if (problem := w.problem()) is not None]

    vitals = Vitals(
        warehouse, told_of or ledger, clock=clock, journal=settings.home / "journal", work=everything, problems=problems, crank=crank
    )  # fmt: skip
    took = pages.took if pages is not None else lambda _: None
    deps = _deps(
        intake, warehouse, ledger, board, readers, problems, streams, RefusedReads(), keyring, settings, took, clock
    )
    app = create_app(replace(deps, measured=vitals.families), ingest="ingest" in only)
    say_elsewhere(app, only)  # before the pages, which answer every path that nobody else does
    if pages is not None:
        pages.add(app, problems, deps.warnings, levers=board, readers=readers)
    bound = listen(settings.host, settings.port, settings.token)
    address = f"http://{settings.host}:{bound.getsockname()[1]}"
    grpc = open_grpc(settings, deps.receive, deps.scopes_of) if "ingest" in only else None
    ended = (streams,) if pages is None else (streams, pages.streams)
    drain_s = DRAIN_S if settings.store or settings.ledger else 0.0
    server = Server(app, board, bound, everything, end, ended, grpc, drain_s)
    return server  # `problems` asks it


def behind(crank: Crank, clock_us: Clock) -> Clock:
    """The clock of a crank: this one, but for what it is behind; it never goes back."""
    last = 0

    def clock() -> int:
        nonlocal last
        last = max(last, clock_us() - crank.lag_us)
        return last

    return clock


def serve(
    settings: Settings,
    *,
    crank: Crank | None = None,
    note: Callable[[], str] = str,
    ready: Callable[[], object] = lambda: None,
    only: Collection[str] = ROLES,
) -> None:
    """Serve until a signal ends it.

    Args:
        settings: of the store and of what is listened on.
        only: what this replica does, of `ROLES`; each also answers whether it is well, and commits what it took in.
        crank: what turns the loop, where that is not the loop of a service; its clock is that of everything here.
        note: a sentence that every page shows while it is not empty.
        ready: called once requests are taken.

    Raises:
        ConfigError, SeamError: see `listen`.
        StoreError: the store cannot be opened.
    """
    listen(settings.host, settings.port, settings.token).close()  # before the store is touched
    allow_files()
    warehouse = open_warehouse(settings, {**SCHEMAS, "scores": score_schema(installed_scorers())})
    ledger, remembering = open_ledger(settings), open_ledger(settings, RememberingLedger)
    intake = open_intake(warehouse, settings)
    crank = crank or Crank(settings, "andon.server.crank:" + ("turned" if "loop" in only else "committing"))
    clock = behind(crank, steady := LedgerClock(ledger))
    errands = Errands(settings, clock=clock)
    crank.start()

    def seal() -> None:
        warehouse.seal()
        crank.look_after()

    def close() -> None:
        errands.close()
        intake.flush(clock())
        warehouse.close()
        crank.stop()
        remembering.close()
        ledger.close()

    pages = Pages(settings, remembering, warehouse, clock=clock, errands=errands, note=note) if "web" in only else None
    repeated = [Repeated("journal", seal, SEAL_S), Repeated("clock", steady.look, CLOCK_S)]
    server = _server(
        settings, intake, warehouse, ledger, repeated, close, pages=pages, clock=clock, crank=crank, told_of=remembering,
        only=only,
    )  # fmt: skip
    try:
        crank.wait()
    except AndonError:
        server.abandon()
        raise
    if pages is not None:
        pages.warm()
    _log.info("Andon listens on http://%s:%d", settings.host, server.port)
    ready()
    _run(server, settings)


def _run(server: Server, settings: Settings) -> None:
    """Serve until a signal ends it, with traces of its own where somebody asks for them."""
    traces = start_traces(settings, SERVER)
    if traces is not None:
        traces.add_to(server.app)
    server.run()
    if traces is not None:
        traces.end()
