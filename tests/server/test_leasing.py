"""Laws of who turns the loop: one process at a time, and who can no longer know that it is the one ends."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from andon.errors import StateError
from andon.server import Repeated, hold_loop, leasing
from andon.server.leasing import OVERTAKEN, Leased
from andon.store import Lease, Ledger

LEASE_S = 1.0


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The statuses with which the process would have ended."""
    statuses: list[int] = []
    monkeypatch.setattr(leasing.os, "_exit", statuses.append)
    monkeypatch.setattr(leasing, "TELL_S", 0.0)
    yield statuses
    for thread in threading.enumerate():
        if thread.name == "andon-watchdog":
            thread.join(10)


def watchdog() -> threading.Thread:
    """The thread that looks how long the lease is held."""
    return next(t for t in threading.enumerate() if t.name == "andon-watchdog")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in a file."""
    with closing(Ledger.open(tmp_path / "ledger.db")) as ledger:
        yield ledger


def test_who_cannot_renew_the_lease_ends_in_time(
    ledger: Ledger, ended: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """While the renewal waits for the database, the process ends by its own steady clock, before another one may take over."""
    leased = Leased(ledger, [], "one", LEASE_S)
    leased.look()
    with closing(Ledger.open(Path(str(ledger.path)))) as other, other.writing():
        waiting = threading.Thread(target=leased.look)
        waiting.start()
        began, watching = time.monotonic(), watchdog()
        watching.join(20)
        assert ended[:1] == [OVERTAKEN]
        assert 0.5 * LEASE_S < time.monotonic() - began < 10 * LEASE_S
        assert waiting.is_alive(), "it still waits for the database"
    waiting.join(20)
    leased.give_back()
    assert "the lease could not be renewed in time" in caplog.text


def test_who_renews_the_lease_goes_on(ledger: Ledger, ended: list[int]) -> None:
    """As long as it is renewed nothing ends; nor does it when the lease is given back."""
    leased = Leased(ledger, [], "one", LEASE_S)
    until_s = time.monotonic() + 1.5 * LEASE_S
    while time.monotonic() < until_s:
        assert leased.look() == {"waits_for": ""}
        time.sleep(0.1)
    leased.give_back()
    assert Lease(ledger, "loop", "other").take()
    assert ended == []


def test_who_was_overtaken_ends_though_the_other_one_is_gone(ledger: Ledger, ended: list[int]) -> None:
    """A process that wakes after another one turned the loop and gave the lease back does not go on where it was."""
    begun = threading.Event()
    work = Repeated("work", begun.set, 0.01)
    leased = Leased(ledger, [work], "one", 0.2)
    leased.look()
    assert begun.wait(10)
    with closing(Ledger.open(Path(str(ledger.path)))) as other:
        theirs = Lease(other, "loop", "other", 0.2)
        while not theirs.take():
            time.sleep(0.01)
        theirs.release()
    watchdog_ended = ended.copy()
    leased.look()
    work.stop()
    assert ended == [*watchdog_ended, OVERTAKEN]


def test_a_tick_that_was_overtaken_writes_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the block the lease is lost to one that comes and goes; from then on this ledger refuses."""
    monkeypatch.setattr(leasing, "Lease", lambda ledger, name, who: Lease(ledger, name, who, 0.01))
    with (
        closing(Ledger.open(Path(str(ledger.path)))) as other,
        hold_loop(ledger) as held,
    ):
        assert held == ""
        theirs = Lease(other, "loop", "other", 0.01)
        while not theirs.take():
            time.sleep(0.01)
        theirs.release()
        with pytest.raises(StateError, match="writes nothing more"), ledger.writing():
            pass
    with ledger.writing():
        pass
