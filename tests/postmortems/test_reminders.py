"""Laws of reminders: each owner hears of overdue actions once a week, and what arrived nowhere is said again."""

from collections.abc import Iterator

import pytest
from records_made import DAY, T0, action, draft, incident

from andon.errors import SeamError
from andon.incidents import Message
from andon.postmortems.run.actions import take_action, tell_overdue
from andon.store import Ledger


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with one incident and its draft, which proposes two actions."""
    book = Ledger("sqlite://")
    book.put(incident(), now_us=T0, by="andon")
    book.put(draft(None, action(), action("INC-0001-A2", kind="detect")), now_us=T0, by="andon")
    yield book
    book.close()


class Heard:
    """A channel that keeps what it is told."""

    def __init__(self, name: str = "chat", fails: bool = False) -> None:
        self.name, self.fails, self.messages = name, fails, []

    def send(self, message: Message) -> None:
        self.messages.append(message)
        if self.fails:
            raise SeamError("no", retryable=True)


def test_owners_are_told_once_a_week(ledger: Ledger) -> None:
    """Each owner's overdue actions are told once a week over every channel; a channel that fails does not keep others from it."""
    take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0, by="ann")
    heard, broken = Heard(), Heard("broken", fails=True)
    late = T0 + 31 * DAY
    assert tell_overdue(ledger, [heard], now_us=T0 + DAY) == 0
    assert tell_overdue(ledger, [], now_us=late) == 0
    assert tell_overdue(ledger, [broken, heard], now_us=late) == 2
    assert tell_overdue(ledger, [broken, heard], now_us=late + 6 * DAY) == 0
    take_action(ledger, "INC-0001-A2", owner="bob", due_us=late + DAY, now_us=late, by="bob")
    assert tell_overdue(ledger, [heard], now_us=late + 6 * DAY) == 1  # bob's are new
    assert tell_overdue(ledger, [heard], now_us=late + 7 * DAY) == 1  # ann's again
    assert len(heard.messages) == 3
    assert "INC-0001-A1" not in heard.messages[1].text
    assert "INC-0001-A2" not in heard.messages[2].text


def test_what_arrived_nowhere_is_told_again_in_an_hour(ledger: Ledger) -> None:
    """Where every channel refused, its owner is told an hour later, and once that arrived, in a week."""
    take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0, by="ann")
    channel, late = Heard(fails=True), T0 + 31 * DAY
    assert tell_overdue(ledger, [channel, Heard("other", fails=True)], now_us=late) == 0
    assert tell_overdue(ledger, [channel], now_us=late + DAY // 24 - 1) == 0
    assert len(channel.messages) == 1
    channel.fails = False
    assert tell_overdue(ledger, [channel], now_us=late + DAY // 24) == 1
    assert tell_overdue(ledger, [channel], now_us=late + 7 * DAY) == 0
    assert tell_overdue(ledger, [channel], now_us=late + DAY // 24 + 7 * DAY) == 1
    assert len(channel.messages) == 3
