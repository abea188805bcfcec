"""Laws of freezing before a pull: it is waited for, and never for ever."""

import threading
import time

import pytest

from andon.levers.run.freezing import freeze_within


def test_what_is_frozen_in_time_is_returned() -> None:
    """Ids that come in time are returned, also where there are none."""
    assert freeze_within(lambda: ["INC-1"]) == ["INC-1"]
    assert freeze_within(list) == []


@pytest.mark.parametrize("error", [OSError("disk full"), KeyError("x")])
def test_what_fails_in_time_is_raised(error: Exception) -> None:
    """An error of the freezing is the error of the call."""

    def fail() -> list[str]:
        raise error

    with pytest.raises(type(error)) as raised:
        freeze_within(fail)
    assert raised.value is error


def test_a_plug_in_that_exits_ends_nothing() -> None:
    """What would end the process, such as a plug-in that exits, is an error like any other."""

    def leave() -> list[str]:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        freeze_within(leave)


def test_what_takes_longer_is_not_waited_for_and_goes_on() -> None:
    """After its time nothing is returned, and what is being frozen is frozen all the same."""
    go, done = threading.Event(), threading.Event()

    def slow() -> list[str]:
        go.wait(30)
        done.set()
        return ["INC-1"]

    began = time.monotonic()
    assert freeze_within(slow, seconds=0.05) is None
    assert time.monotonic() - began < 20
    assert not done.is_set()
    go.set()
    assert done.wait(30)
