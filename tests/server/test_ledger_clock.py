"""Laws of the clock that replicas share: it follows the database, never runs ahead of it, and never goes back."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from andon.server import background
from andon.server.background import LedgerClock
from andon.store import Ledger

SECOND = 1_000_000
T0 = 1_790_000_000 * SECOND


class World:
    """A steady clock, a database whose clock is ahead of it, and a line that takes its time there and back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steady_us, self.ahead_us = 5_000 * SECOND, T0
        self.there_us, self.back_us = 200, 300
        monkeypatch.setattr(background, "clock_of", self._asked)
        monkeypatch.setattr(background, "time", SimpleNamespace(monotonic_ns=lambda: self.steady_us * 1_000))

    @property
    def now_us(self) -> int:
        """What the database's clock says."""
        return self.steady_us + self.ahead_us

    def _asked(self, _: Ledger) -> int:
        self.steady_us += self.there_us
        said = self.now_us
        self.steady_us += self.back_us
        return said


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """All of it."""
    return World(monkeypatch)


@pytest.fixture
def clock(world: World) -> LedgerClock:
    """The clock, set."""
    return LedgerClock(Ledger("sqlite://"))


def test_it_says_what_the_database_says(world: World, clock: LedgerClock) -> None:
    """To the time that an answer takes back, and never more."""
    for _ in range(5):
        assert 0 <= world.now_us - clock() <= world.back_us
        world.steady_us += 3 * SECOND
        clock.look()


@pytest.mark.parametrize(("there_s", "back_s"), [(6, 0), (0, 6), (3, 3), (0.3, 0.3)])
def test_a_slow_answer_moves_nothing(world: World, clock: LedgerClock, there_s: float, back_s: float) -> None:
    """While the line stalls the clock goes on: it neither jumps ahead nor stands still."""
    world.there_us, world.back_us = int(there_s * SECOND), int(back_s * SECOND)
    clock.look()
    assert 0 <= world.now_us - clock() <= 1_000
    before = clock()
    world.steady_us += SECOND
    assert clock() - before == SECOND


def test_a_steady_clock_that_runs_fast_does_not_make_a_slow_answer_count(world: World, clock: LedgerClock) -> None:
    """A machine whose clock is some microseconds too fast would otherwise stand still after each stall; the next look mends it."""
    world.ahead_us -= 400
    world.there_us, world.back_us = 0, 6 * SECOND
    clock.look()
    assert 0 <= clock() - world.now_us <= 400
    world.back_us = 300
    clock.look()
    world.steady_us += 1_000
    assert 0 <= world.now_us - clock() <= 300


def test_a_first_slow_answer_lets_it_run_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing better is known it takes the least that the answer allows, and the next one mends it."""
    world.there_us, world.back_us = 0, 6 * SECOND
    clock = LedgerClock(Ledger("sqlite://"))
    assert world.now_us - clock() == 6 * SECOND
    world.back_us = 300
    clock.look()
    assert 0 <= world.now_us - clock() <= 300


@pytest.mark.parametrize("step", [lambda w: w.now_us + 3600 * SECOND, lambda w: w.now_us - 2 * SECOND])
def test_it_follows_a_database_whose_clock_was_set(
    world: World, clock: LedgerClock, step: Callable[[World], int]
) -> None:
    """Ahead at once; back by waiting until the time has come again."""
    before = clock()
    world.ahead_us = step(world) - world.steady_us
    clock.look()
    assert clock() == max(before, clock())
    assert clock() - world.now_us <= 2 * SECOND
    world.steady_us += 3 * SECOND
    assert 0 <= world.now_us - clock() <= 300
