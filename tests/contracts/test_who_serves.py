"""Laws of what people are told after a pull: which of several servers serve it, on every database that these can share."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from sqlalchemy import URL

from andon.levers import Lever, Pull
from andon.levers.run import Board, declare, hold
from andon.levers.run import served as served_module
from andon.levers.run.served import note_end, note_served, served_within
from andon.server import now_us
from andon.store import Lease, Ledger

LEVER = Lever(id="citations.enabled", kind="boolean", default=True, safe=False, app="bot")
NONE = "NOT SERVED YET: no running server has picked it up"


@pytest.fixture
def opened(place: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Ledger]]:
    """Opens ledgers over the same database, as other processes would; closed at the end. Servers write at each look."""
    monkeypatch.setattr(served_module, "BEAT_S", 0.0)
    monkeypatch.setattr(served_module, "SOON_S", 0.0)
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(Ledger(place)))


@contextmanager
def serving(ledger: Ledger, url: str, *, reads: bool = True) -> Iterator[None]:
    """A server that looks again and again, or one that lives and reads nothing new; it says at the end that it is gone."""
    board, begun, over = Board(ledger), threading.Event(), threading.Event()
    board.refresh()

    def look() -> None:
        while not over.is_set():
            if reads:
                board.refresh()
            note_served(ledger, url, board.entry, now_us())
            begun.set()
            over.wait(0.005)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join(10)
        note_end(ledger)


def held(ledger: Ledger, hours: int = 1) -> Pull:
    """A hold."""
    at_us = now_us()
    return hold(ledger, LEVER.id, why="harm", by="ann", until_us=at_us + hours * 3_600_000_000, now_us=at_us)


@pytest.fixture
def mine(opened: Callable[[], Ledger]) -> Ledger:
    """The ledger as a command opens it, with a declared lever."""
    ledger = opened()
    declare(ledger, LEVER, now_us(), "ann")
    return ledger


def test_what_servers_serve_is_said(opened: Callable[[], Ledger], mine: Ledger) -> None:
    """Without a server, with one, with two, and after they ended; each time it is true, and nobody is waited for in vain."""
    assert served_within(mine, held(mine)).startswith(NONE)
    with serving(opened(), "http://one"):
        assert served_within(mine, held(mine), 10).startswith("the server at http://one has picked it up, ")
        with serving(opened(), "http://other"):
            assert served_within(mine, held(mine), 10).startswith("all 2 servers have picked it up, ")
        assert served_within(mine, held(mine), 10).startswith("the server at http://one has picked it up, ")
    assert served_within(mine, held(mine)).startswith(NONE)


def test_a_server_that_has_not_read_it_is_named(opened: Callable[[], Ledger], mine: Ledger) -> None:
    """Where one of two lives and does not read the ledger, it is said which, and what that means; where none does, that."""
    with serving(opened(), "http://stuck", reads=False):
        assert served_within(mine, held(mine), 0.2).startswith(NONE)
        with serving(opened(), "http://one"):
            said = served_within(mine, held(mine), 1)
    assert said.startswith(f"PICKED UP BY 1 OF 2 SERVERS: not by http://stuck on {socket.gethostname()} within 1 s.")


def test_a_server_that_died_is_named_for_a_while(
    opened: Callable[[], Ledger], mine: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was there a moment ago counts: nobody knows yet that it is gone. Later it does not, nor does it as another's word."""
    note_served(opened(), "http://gone", mine.last_entry(), now_us())
    with serving(opened(), "http://one"):
        assert served_within(mine, held(mine), 0.5).startswith("PICKED UP BY 1 OF 2 SERVERS: not by http://gone on ")
        monkeypatch.setattr(served_module, "ALIVE_S", 0.0)
        note_served(opened(), "http://gone", 1_000_000, now_us() - 10_000_000)
        assert served_within(mine, held(mine), 10).startswith("the server at http://one has picked it up, ")


def test_a_restarted_server_is_one(opened: Callable[[], Ledger], mine: Ledger) -> None:
    """A server that was killed and is back at the same address is not waited for twice."""
    note_served(opened(), "http://one", mine.last_entry(), now_us())
    with serving(opened(), "http://one"):
        assert served_within(mine, held(mine), 10).startswith("the server at http://one has picked it up, ")


def test_it_is_said_where_writers_wait(on_postgres: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL a server waits for no writer when it says what it serves, and takes no lease from anybody."""
    monkeypatch.setattr(served_module, "BEAT_S", 0.0)
    with closing(Ledger(on_postgres)) as one, closing(Ledger(on_postgres)) as other:
        lease = Lease(one, "loop", "one")
        assert lease.take()
        with other.writing():
            note_served(one, "http://one", 1, now_us())
            note_end(one)
        assert lease.take()
