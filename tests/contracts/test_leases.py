"""Laws of leases, on every database that several processes share: one holds it, and another takes over in time."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from multiprocessing.connection import Connection

import pytest
from sqlalchemy import URL

from andon.errors import StateError
from andon.store import Lease, Ledger

SHORT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    id: str
    by: str


def render(place: URL) -> str:
    """The URL as text, with its password."""
    return place.render_as_string(hide_password=False)


@pytest.fixture
def opened(place: URL) -> Iterator[Callable[[], Ledger]]:
    """Opens ledgers over the same database, as other processes would; closed at the end."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(Ledger(place)))


def eventually(what: Callable[[], bool], within_s: float) -> None:
    """Wait until it is so."""
    until = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)


def test_one_holds_it_and_gives_it_on(opened: Callable[[], Ledger]) -> None:
    """Of two who ask one gets the lease, keeps it by asking again, and gives it back; leases of other names are others."""
    with_one, with_other = opened(), opened()
    one, other = Lease(with_one, "loop", "one"), Lease(with_other, "loop", "other")
    assert one.take()
    assert one.held
    assert not other.take()
    assert (other.held, other.other) == (False, "one")
    assert one.take()
    assert Lease(with_other, "probes", "other").take()
    one.release()
    assert not one.held
    assert other.take()
    assert not one.take()
    assert one.other == "other"
    other.release()
    one.release()  # not one's any more: it stays free for whoever asks
    assert one.take()


def test_it_ends_by_itself(opened: Callable[[], Ledger]) -> None:
    """A lease that nobody renews is taken by another after its time, not before; its holder knows by its own clock."""
    ledger = opened()
    one, other = (Lease(ledger, "loop", who, SHORT_S) for who in ("one", "other"))
    assert one.take()
    began = time.monotonic()
    eventually(other.take, 5 * SHORT_S)
    assert time.monotonic() - began > 0.9 * SHORT_S
    assert not one.held
    assert not one.take()


def test_a_lease_from_the_future_holds_nobody_up(opened: Callable[[], Ledger]) -> None:
    """Where the database's clock went back by an hour, the lease that then seems to last for an hour is free."""
    ledger = opened()
    assert Lease(ledger, "loop", "one", 3600.0).take()
    other = Lease(ledger, "loop", "other", SHORT_S)
    assert other.take()


def test_who_was_overtaken_writes_nothing(opened: Callable[[], Ledger]) -> None:
    """Whoever lost the lease is refused in the transaction of its write, whatever it believes; the new holder writes."""
    mine, theirs = opened(), opened()
    one, other = Lease(mine, "loop", "one", SHORT_S), Lease(theirs, "loop", "other", SHORT_S)
    mine.guard, theirs.guard = one.guard, other.guard
    assert one.take()
    mine.put(Turn(id="a", by="one"), now_us=1, by="one")
    with pytest.raises(StateError, match=r"'loop'.*writes nothing"):
        theirs.put(Turn(id="a", by="other"), now_us=2, by="other")
    eventually(other.take, 5 * SHORT_S)
    with pytest.raises(StateError, match="other holds the lease"):
        mine.put(Turn(id="a", by="one again"), now_us=3, by="one")
    theirs.put(Turn(id="a", by="other"), now_us=4, by="other")
    assert [v.record.by for v in mine.history(Turn, "a")] == ["one", "other"]


@pytest.mark.parametrize("how", ["released", "over"])
def test_who_was_overtaken_stays_so(opened: Callable[[], Ledger], how: str) -> None:
    """Also where the other one is gone by the time it wakes: its claim is lost, and its guard refuses; a new claim is another one."""
    mine, theirs = opened(), opened()
    one, other = Lease(mine, "loop", "one", 0.01), Lease(theirs, "loop", "other", 0.01)
    mine.guard = one.guard
    assert one.take()
    eventually(other.take, 5)
    theirs.put(Turn(id="a", by="other"), now_us=1, by="other")
    if how == "released":
        other.release()
    for _ in range(2):
        assert not one.take()
        assert (one.held, one.other) == (False, "other")
    with pytest.raises(StateError, match="writes nothing"):
        mine.put(Turn(id="a", by="one"), now_us=2, by="one")
    again = Lease(mine, "loop", "one", SHORT_S)
    mine.guard = again.guard
    eventually(again.take, 5)
    mine.put(Turn(id="a", by="one again"), now_us=3, by="one")
    with pytest.raises(StateError), mine.writing(guarded=False) as connection:
        one.guard(connection)


def test_who_comes_late_but_first_goes_on(opened: Callable[[], Ledger]) -> None:
    """A lease that was over for a while, and that nobody else took meanwhile, is renewed: nothing happened."""
    ledger = opened()
    ledger.guard = (one := Lease(ledger, "loop", "one", 0.01)).guard
    assert one.take()
    eventually(lambda: not one.held, 5)
    assert one.take()
    ledger.put(Turn(id="a", by="one"), now_us=1, by="one")


def test_a_process_that_is_started_again_waits_for_nobody(opened: Callable[[], Ledger]) -> None:
    """A new claim of the same name takes the lease at once, and what the old one began writes nothing any more."""
    ledger, anew = opened(), opened()
    old, new = Lease(ledger, "loop", "one"), Lease(anew, "loop", "one")
    ledger.guard, anew.guard = old.guard, new.guard
    assert old.take()
    assert new.take()
    anew.put(Turn(id="a", by="new"), now_us=1, by="one")
    with pytest.raises(StateError, match="writes nothing"):
        ledger.put(Turn(id="a", by="old"), now_us=2, by="one")
    old.release()  # it is not its own
    assert not Lease(ledger, "loop", "other").take()


def _compete(url: str, who: str, told: Connection) -> None:
    """Turn what only one may turn, for as long as this process holds the lease."""
    ledger = Ledger(url)
    turns = 0
    lease = Lease(ledger, "loop", who, SHORT_S)
    while True:
        ledger.guard = lease.guard
        held = lease.take()
        if not held:
            lease = Lease(ledger, "loop", who, SHORT_S)  # as another process would
        if held:
            last = ledger.latest(Turn, "crank")
            try:
                ledger.put(Turn(id="crank", by=f"{who}-{turns}"), now_us=1, by=who, expect=last.version if last else 0)
            except StateError:
                continue  # paused between the lease and the write
            turns += 1
            told.send(turns)
        time.sleep(0.05)


@pytest.mark.slow(20)
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_another_takes_over_from_who_is_killed_or_paused(
    place: URL, opened: Callable[[], Ledger], blow: signal.Signals
) -> None:
    """Of three processes one turns at any time; when it is killed or paused, another goes on within seconds, and it never meddles."""
    watching = opened()
    spawn = multiprocessing.get_context("spawn")
    ends = [spawn.Pipe(duplex=False) for _ in range(3)]
    found = [spawn.Process(target=_compete, args=(render(place), f"p{n}", ends[n][1]), daemon=True) for n in range(3)]
    for process in found:
        process.start()
    try:
        stopped: list[int] = []
        for _ in range(3 if blow == signal.SIGSTOP else 2):
            eventually(lambda: watching.latest(Turn, "crank") is not None, 30)
            last = watching.latest(Turn, "crank")
            assert last is not None
            holder = int(last.by[1:])
            process = found[holder]
            assert process.pid is not None
            os.kill(process.pid, blow)
            stopped.append(holder)
            began = time.monotonic()

            def another(before: str = last.by) -> bool:
                now = watching.latest(Turn, "crank")
                return now is not None and now.by != before

            eventually(another, 8 * SHORT_S)
            assert time.monotonic() - began < 8 * SHORT_S
            if blow == signal.SIGSTOP:
                os.kill(process.pid, signal.SIGCONT)
        history = watching.history(Turn, "crank")
        assert len({v.record.by for v in history}) == len(history), "each turn is there once"
        runs = [by for n, by in enumerate(v.by for v in history) if n == 0 or history[n - 1].by != by]
        assert len(runs) == len(stopped) + 1, "whoever lost it does not come between"
    finally:
        for process in found:
            process.kill()
