"""Laws of background work: it ends in time, and each fault of it is logged once."""

import logging
from collections.abc import Callable

import pytest

from andon.errors import StoreError
from andon.server import background, crank, leasing
from andon.server.background import Repeated, stop_all
from andon.store import LEASE_S


class Slow:
    """Work that takes for ever, by a clock of its own."""

    def __init__(self, now: list[float], asked: list[float]) -> None:
        self.now, self.asked = now, asked

    def stop(self, timeout_s: float) -> None:
        self.asked.append(timeout_s)
        self.now[0] += timeout_s


def test_however_much_work_does_not_end_it_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are asked at once, and waited for together: nobody's end is put off by the number of those who are busy."""
    now, asked = [100.0], list[float]()
    monkeypatch.setattr(background.time, "monotonic", lambda: now[0])
    stop_all([Slow(now, asked) for _ in range(5)], 4.0)  # type: ignore[misc]
    assert asked[:5] == [0.0] * 5
    assert now == [104.0]


def test_a_lease_is_given_back_before_it_is_over() -> None:
    """Runs that do not end leave time for it: the last renewal is a second old at most, and the watchdog ends the process early."""
    assert 1.0 + crank.END_S < LEASE_S - LEASE_S / leasing.SPARE


def _one() -> None:
    raise StoreError("the bucket is away", retryable=True)


def _other() -> None:
    raise StoreError("a record cannot be read")


def test_each_fault_is_logged_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """The same fault again is not, another one of the same class behind it is; and what was over is told anew."""

    def nothing() -> None:
        pass

    runs: list[Callable[[], None]] = [_one, _one, _other, _one, _other, nothing, _one]
    waiting = iter(runs)

    def run() -> None:
        next(waiting)()

    work = Repeated("work", run, 0.0)
    monitored = iter([False] * len(runs) + [True])
    work._stop.wait = lambda _=None: next(monitored)  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR, "andon"):
        work._run()
    told = [str(r.exc_info[1]) for r in caplog.records if r.exc_info]
    assert told == ["the bucket is away", "a record cannot be read", "the bucket is away"]
    assert work.failures == 6
