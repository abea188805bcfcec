"""Laws of what people are told of pulls."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from andon.errors import SeamError, StateError
from andon.incidents import Message
from andon.incidents.hooks import pagerduty_event
from andon.levers import Announced, Effect, Lever, Pull
from andon.levers.run import add_version, approve_version, declare, expire, hold, promote, release, review
from andon.levers.run import telling as telling_module
from andon.levers.run.telling import tell_levers
from andon.store import Ledger

T0 = 1_790_000_000_000_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LEVER = Lever(id="model.version", kind="string", default="new", safe="old", app="bot")
NAME = "<!here> @channel [x](https://evil.com) `rm -rf` *b*"
EVIL = f"{NAME} \x1b[2J"


class Heard:
    """A channel that keeps what it is told."""

    def __init__(self, name: str = "chat") -> None:
        self.name = name
        self.messages: list[Message] = []

    def send(self, message: Message) -> None:
        self.messages.append(message)

    def new(self) -> list[Message]:
        """What came since it was asked last."""
        messages, self.messages = self.messages, []
        return messages


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory with a declared lever."""
    ledger = Ledger("sqlite://")
    declare(ledger, LEVER, T0 - DAY, "ann")
    yield ledger
    ledger.close()


def pulled(ledger: Ledger, at_us: int = T0, key: str = LEVER.id, **more: Any) -> Pull:
    """A hold of four hours."""
    fields: dict[str, Any] = {"why": "wrong doses", "by": "ann", "until_us": at_us + 4 * HOUR, "now_us": at_us}
    return hold(ledger, key, **{**fields, **more})


def one(heard: Heard) -> Message:
    """The one new message."""
    (message,) = heard.new()
    return message


def test_a_hold_is_told_once(ledger: Ledger) -> None:
    """Who, at what, why, until when, what comes then and how to end it; once, however often it is looked at."""
    heard, other = Heard(), Heard("mail")
    pull = pulled(
        ledger, incident="INC-0007", trade_off="older answers", exit="the new one passes", evidence="INC-0007 frozen"
    )
    assert tell_levers(ledger, [heard, other], T0 + SECOND, url="https://andon.example/") == 2
    assert tell_levers(ledger, [heard, other], T0 + MINUTE) == 0
    message = one(heard)
    assert other.new() == [message]
    assert message.title == "lever model.version in production is held at “old”, by ann"
    for said in (
        "Pulled by ann, for INC-0007: wrong doses",
        "after 4 h, at 2026-09-21 18:13 UTC; then the lever gives “new”, its default again",
        "Trade-off: older answers",
        "To be released when: the new one passes",
        "Evidence: INC-0007 frozen",
        "See: https://andon.example/incidents/INC-0007",
        "andon lever release model.version --why ...",
    ):
        assert said in message.text
    assert (message.tone, message.link) == ("note", "https://andon.example/incidents/INC-0007")
    assert message.details["pull"] == pull.id
    assert "BREAK GLASS" not in message.title + message.text


def test_a_rule_is_named(ledger: Ledger) -> None:
    """What pulled by itself is told as such, and less calmly than what a person did."""
    heard = Heard()
    pulled(ledger, by="maria", rule="hold the model")
    tell_levers(ledger, [heard], T0 + SECOND)
    message = one(heard)
    assert message.title.endswith("by the rule “hold the model” (maria)")
    assert message.tone == "warning"


def test_broken_glass_is_loud_and_nags_until_it_is_reviewed(ledger: Ledger) -> None:
    """It is told like a page, even when it ended before anybody was told; then daily, until another person reviewed it."""
    heard = Heard()
    pull = pulled(ledger, value="untested", break_glass=True)
    release(ledger, LEVER.id, why="enough", by="ann", now_us=T0 + SECOND)
    tell_levers(ledger, [heard], T0 + 2 * SECOND)
    loud, ended = heard.new()
    assert loud.title.startswith("BREAK GLASS: lever model.version in production is held at “untested”")
    assert loud.tone == "urgent"
    assert f"andon lever review {pull.id} --why ..." in loud.text
    assert ended.title == "BREAK GLASS: the hold of lever model.version in production was released by ann"
    for day in range(1, 4):
        assert tell_levers(ledger, [heard], T0 + day * DAY - SECOND) == 0
        tell_levers(ledger, [heard], T0 + day * DAY + 3 * SECOND)
        nag = one(heard)
        assert (
            nag.title
            == f"Not reviewed: the glass was broken {24 * day if day == 1 else day} {'h' if day == 1 else 'd'} ago for lever model.version in production"
        )
        assert nag.tone == "warning"
        tell_levers(ledger, [heard], T0 + day * DAY + HOUR)
        assert heard.new() == []
    review(ledger, pull.id, why="it was right", by="bob", now_us=T0 + 3 * DAY + 2 * HOUR)
    assert tell_levers(ledger, [heard], T0 + 9 * DAY) == 0


@pytest.mark.parametrize(("lasts_us", "before_us"), [(4 * HOUR, 15 * MINUTE), (MINUTE, 6 * SECOND), (DAY, 15 * MINUTE)])
def test_that_it_ends_soon(ledger: Ledger, lasts_us: int, before_us: int) -> None:
    """A quarter of an hour before, or at the last tenth where that is less: what is served then, and how to go on."""
    heard = Heard()
    pulled(ledger, until_us=T0 + lasts_us, exit="the new one passes", incident="INC-0007")
    tell_levers(ledger, [heard], T0 + 1)
    heard.new()
    assert tell_levers(ledger, [heard], T0 + lasts_us - before_us - 1) == 0
    assert tell_levers(ledger, [heard], T0 + lasts_us - before_us) == 1
    assert tell_levers(ledger, [heard], T0 + lasts_us - before_us + 1) == 0
    message = one(heard)
    assert message.title.startswith("the hold of lever model.version in production ends in ")
    assert "the lever gives “new”, its default again; now it is held at “old”." in message.text
    assert "It was to be released when: the new one passes. Is that so?" in message.text
    assert message.text.endswith("andon lever hold model.version --for 4h --incident INC-0007 --why ...")
    assert message.tone == "warning"


def test_how_a_version_is_held_on_and_what_is_live_then(ledger: Ledger) -> None:
    """The command names the version that is held; what comes then is the version that is live, or the split of an experiment."""
    heard = Heard()
    for value in ("calm", "live"):
        digest = add_version(ledger, LEVER.id, value, why="w", by="ann", now_us=T0).digest
        approve_version(ledger, LEVER.id, digest, why="w", by="bob", now_us=T0)
    for place in ("staging", "production"):
        promote(ledger, LEVER.id, digest, to=place, why="w", by="ann", now_us=T0)
    pull = pulled(ledger, value="calm")
    tell_levers(ledger, [heard], T0 + 1)
    heard.new()
    tell_levers(ledger, [heard], T0 + 4 * HOUR - MINUTE)
    message = one(heard)
    assert f"the lever gives “live”, version {digest} again" in message.text
    assert f"andon lever hold model.version --version {pull.digest} --for 4h --why ..." in message.text


def test_an_end_is_told_with_its_effect(ledger: Ledger) -> None:
    """An expiry is told when it happened, with what the pull did; people who came late are told the end alone."""
    heard = Heard()
    pull = pulled(ledger)
    effect = Effect(
        id=f"{pull.id}:refusal", pull=pull.id, metric="refusal", direction="up", scope={}, before_x=1, before_n=2, after_x=1,
        after_n=2, difference=0.0, low=-1.0, high=1.0, from_us=T0, until_us=T0, at_us=T0, text="refusals fell from 41 % to 1 %",
    )  # fmt: skip
    ledger.put(effect, now_us=T0, by="andon")
    expire(ledger, T0 + 4 * HOUR + SECOND)
    assert tell_levers(ledger, [heard], T0 + 4 * HOUR + SECOND) == 1
    message = one(heard)
    assert message.title == "the hold of lever model.version in production expired"
    assert "Effect: refusals fell from 41 % to 1 %" in message.text
    assert "It was held at “old” for 4 h" in message.text
    assert message.tone == "warning"
    assert tell_levers(ledger, [heard], T0 + 5 * HOUR) == 0


def test_a_release_is_told_with_its_reason(ledger: Ledger) -> None:
    """Who released it and why; it is calmer than an expiry."""
    heard = Heard()
    pulled(ledger)
    release(ledger, LEVER.id, why="the new one passes", by="bob", now_us=T0 + HOUR)
    tell_levers(ledger, [heard], T0 + HOUR)
    message = one(heard)
    assert message.title == "the hold of lever model.version in production was released by bob"
    assert "Because: the new one passes" in message.text
    assert "Its effect is not measured." in message.text
    assert message.tone == "note"


def test_what_was_superseded_is_told_by_the_next_hold(ledger: Ledger) -> None:
    """A hold that another one took the place of did not end for anybody; the other one is told."""
    heard = Heard()
    pulled(ledger)
    tell_levers(ledger, [heard], T0 + 1)
    heard.new()
    pulled(ledger, T0 + HOUR, value="new", by="bob")
    tell_levers(ledger, [heard], T0 + HOUR + 1)
    assert one(heard).title == "lever model.version in production is held at “new”, by bob"


class Pager(Heard):
    """A receiver that keeps an alert open from a trigger to a resolve of the same key."""

    follows = True

    def open(self) -> set[str]:
        """The keys of alerts that are open."""
        keys: set[str] = set()
        for event in (pagerduty_event(m, "k" * 32) for m in self.messages):
            if event["event_action"] == "trigger":
                keys.add(event["dedup_key"])
            else:
                keys.discard(event["dedup_key"])
        return keys


def test_a_pager_has_one_alert_for_each_hold(ledger: Ledger) -> None:
    """Opened when it is held, the same one when it ends soon, resolved when it ended: expired, released or superseded."""
    pager, chat = Pager("pager"), Heard()
    first = pulled(ledger)
    tell_levers(ledger, [pager, chat], T0 + 1)
    tell_levers(ledger, [pager, chat], T0 + 4 * HOUR - MINUTE)
    assert pager.open() == {f"andon-{first.id}"}
    second = pulled(ledger, T0 + 4 * HOUR - SECOND)
    tell_levers(ledger, [pager, chat], T0 + 4 * HOUR - SECOND)
    assert pager.open() == {f"andon-{second.id}"}
    assert [m.event for m in pager.messages] == ["lever.held", "lever.ending", "lever.held", "lever.ended"]
    assert [m.event for m in chat.messages] == ["lever.held", "lever.ending", "lever.held"]
    expire(ledger, T0 + 9 * HOUR)
    tell_levers(ledger, [pager, chat], T0 + 9 * HOUR)
    assert pager.open() == set()
    assert len({m.id for m in pager.messages}) == len(pager.messages)


def test_a_pager_is_told_of_each_of_many(ledger: Ledger) -> None:
    """A receiver with a state of its own gets every hold by itself, so that each alert is resolved; a chat gets one message."""
    pager, chat = Pager("pager"), Heard()
    for k in range(30):
        declare(ledger, Lever(id=f"l{k}", kind="boolean", default=False, safe=True), T0 - DAY, "ann")
        pulled(ledger, key=f"l{k}")
    assert tell_levers(ledger, [pager, chat], T0 + 1) == 31
    assert len(pager.open()) == 30
    assert (len(chat.messages), chat.messages[0].event) == (1, "lever.held")
    expire(ledger, T0 + 4 * HOUR)
    tell_levers(ledger, [pager, chat], T0 + 4 * HOUR)
    assert pager.open() == set()


def test_glass_that_nobody_reviews_is_an_alert_of_its_own(ledger: Ledger) -> None:
    """The end of the hold does not close what is asked of people, nor does asking open the alert of the hold again."""
    pager = Pager("pager")
    pull = pulled(ledger, value="untested", break_glass=True)
    for at_us in (T0 + 1, T0 + 5 * HOUR, T0 + DAY, T0 + 2 * DAY):
        expire(ledger, at_us)
        tell_levers(ledger, [pager], at_us)
    assert [m.event for m in pager.messages] == ["lever.held", "lever.ended", "lever.unreviewed", "lever.unreviewed"]
    assert pager.open() == {f"andon-{pull.id}-review"}


def test_a_review_resolves_what_was_asked(ledger: Ledger) -> None:
    """The alert that asks for a review is resolved by it, once; a chat hears nothing, nor does anybody who was not asked."""
    pager, chat = Pager("pager"), Heard()
    keys = ("one", "two")
    for key in keys:
        declare(ledger, Lever(id=key, kind="string", default="new", safe="old"), T0 - DAY, "ann")
    pulls = [pulled(ledger, key=key, value="untested", break_glass=True) for key in keys]
    for key in keys:
        release(ledger, key, why="enough", by="ann", now_us=T0 + HOUR)
    review(ledger, pulls[0].id, why="it was right", by="bob", now_us=T0 + HOUR)
    for at_us in (T0 + 2 * HOUR, T0 + 2 * DAY):
        tell_levers(ledger, [pager, chat], at_us)
    assert pager.open() == {f"andon-{pulls[1].id}-review"}
    chat.new()
    review(ledger, pulls[1].id, why="it was right", by="bob", now_us=T0 + 2 * DAY)
    assert tell_levers(ledger, [pager, chat], T0 + 2 * DAY + 1) == 1
    assert pager.open() == set()
    assert pager.messages[-1].event == "lever.reviewed"
    assert "bob looked at it: it was right" in pager.messages[-1].text
    assert tell_levers(ledger, [pager, chat], T0 + 2 * DAY + 2) == 0
    assert chat.new() == []


def test_whoever_writes_superseded_is_told_all_the_same(ledger: Ledger) -> None:
    """A release whose reason reads like a supersession by a pull that is not there is told."""
    heard = Heard()
    pulled(ledger)
    release(ledger, LEVER.id, why="superseded by common sense", by="bob", now_us=T0 + HOUR)
    tell_levers(ledger, [heard], T0 + HOUR)
    assert one(heard).event == "lever.ended"


def test_a_new_channel_is_not_told_of_last_month(ledger: Ledger) -> None:
    """Without a channel nothing counts as told; what ended more than a day ago is no news, what is in force is."""
    heard = Heard()
    pulled(ledger)
    assert tell_levers(ledger, [], T0 + SECOND) == 0
    assert ledger.all(Announced) == []
    pulled(ledger, T0 + 10 * DAY, until_us=T0 + 90 * DAY)
    expire(ledger, T0 + 30 * DAY)
    tell_levers(ledger, [heard], T0 + 30 * DAY)
    assert one(heard).title.endswith("is held at “old”, by ann")


def test_many_at_once_are_one_message(ledger: Ledger) -> None:
    """A drill that holds thirty levers does not send thirty messages; glass stays apart, and loud."""
    heard = Heard()
    for k in range(30):
        declare(ledger, Lever(id=f"l{k}", kind="boolean", default=False, safe=True), T0 - DAY, "ann")
        pulled(ledger, key=f"l{k}")
    pulled(ledger, value="x", break_glass=True)
    tell_levers(ledger, [heard], T0 + 1)
    loud, many = heard.new()
    assert loud.tone == "urgent"
    assert many.title == "30 levers are held"
    assert many.text.count("Pulled by ann: wrong doses") == 10
    assert "And 20 more." in many.text


def test_what_people_wrote_is_harmless(ledger: Ledger) -> None:
    """No mention, link, markup or control character of anybody's text reaches a chat, whatever is told."""
    heard = Heard()
    declare(ledger, Lever(id="evil", kind="string", default=EVIL, safe=f"safe {EVIL}"), T0 - DAY, "ann")
    said = dict.fromkeys(("why", "trade_off", "exit", "rule", "incident", "evidence"), EVIL)
    pulled(ledger, key="evil", break_glass=True, by=NAME, **said)
    for at_us in (T0 + 1, T0 + 4 * HOUR - 1):
        tell_levers(ledger, [heard], at_us)
    release(ledger, "evil", why=EVIL, by=NAME, now_us=T0 + 4 * HOUR - 1)
    for at_us in (T0 + 4 * HOUR, T0 + 2 * DAY):
        tell_levers(ledger, [heard], at_us)
    messages = heard.new()
    assert len(messages) == 4
    for message in messages:
        for text in (message.title, message.text, message.markdown, *message.details.values()):
            assert not any(bad in text for bad in ("<!", "@", "](", "https:", "evil.com", "\x1b", "*b*", "`rm"))


class Broken(Heard):
    """A channel that refuses while it is broken, in one way or another."""

    error: Exception | None = SeamError("no", retryable=True)
    tries = 0

    def send(self, message: Message) -> None:
        self.tries += 1
        if self.error is not None:
            raise self.error
        super().send(message)


def test_a_channel_that_failed_is_told_later(ledger: Ledger) -> None:
    """It is tried again, more and more seldom, and told once; who took it is not told again."""
    broken, heard = Broken("mail"), Heard()
    pulled(ledger)
    assert tell_levers(ledger, [broken, heard], T0 + 1) == 1
    waits = [30, 60, 120, 240]
    for tries, s in enumerate(waits, 2):
        now_us = T0 + 1 + s * SECOND
        assert tell_levers(ledger, [broken, heard], now_us - 1) == 0
        assert broken.tries == tries - 1
        assert tell_levers(ledger, [broken, heard], now_us) == 0
        assert broken.tries == tries
    broken.error = None
    assert tell_levers(ledger, [broken, heard], T0 + HOUR) == 1
    assert tell_levers(ledger, [broken, heard], T0 + 2 * HOUR) == 0
    assert (len(broken.messages), len(heard.messages)) == (1, 1)


def test_what_is_no_news_any_more_is_not_told_late(ledger: Ledger) -> None:
    """A channel that was broken all the while a lever was held is told that it ended, and nothing else."""
    broken = Broken("mail")
    pulled(ledger)
    tell_levers(ledger, [broken], T0 + 1)
    tell_levers(ledger, [broken], T0 + 4 * HOUR - MINUTE)
    expire(ledger, T0 + 4 * HOUR)
    broken.error = None
    assert tell_levers(ledger, [broken], T0 + 5 * HOUR) == 1
    assert one(broken).event == "lever.ended"
    assert tell_levers(ledger, [broken], T0 + 9 * HOUR) == 0


def test_many_that_failed_together_are_told_together(ledger: Ledger) -> None:
    """One message of thirty holds that was refused is sent again as one."""
    broken = Broken("mail")
    for k in range(30):
        declare(ledger, Lever(id=f"l{k}", kind="boolean", default=False, safe=True), T0 - DAY, "ann")
        pulled(ledger, key=f"l{k}")
    tell_levers(ledger, [broken], T0 + 1)
    broken.error = None
    assert tell_levers(ledger, [broken], T0 + MINUTE) == 1
    assert one(broken).title == "30 levers are held"


def test_what_may_have_arrived_is_not_sent_again(ledger: Ledger) -> None:
    """A receiver that did not answer may have taken it: it is told no second time."""
    broken = Broken("mail")
    broken.error = SeamError("it did not answer", retryable=False)
    pulled(ledger)
    assert tell_levers(ledger, [broken], T0 + 1) == 0
    assert tell_levers(ledger, [broken], T0 + HOUR) == 0
    assert broken.tries == 1


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("writes", range(1, 6))
def test_a_crash_loses_nothing_and_sends_nothing_twice(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Wherever it ends before it sends, the next start tells whom it had not begun to tell; nobody is told twice."""
    put, left = ledger.put, [writes]

    def dying(*args: Any, **more: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return put(*args, **more)

    channels = [Heard(), Heard("mail")]
    pulled(ledger)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(ledger, "put", dying)
    with suppress(Killed):
        tell_levers(ledger, channels, T0 + 1)
    monkeypatch.setattr(ledger, "put", put)
    tell_levers(ledger, channels, T0 + SECOND)
    tell_levers(ledger, channels, T0 + MINUTE)
    assert [len(c.messages) for c in channels] == [1, 1]


def test_of_two_processes_one_tells(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who read what was told before another one told it tells it no second time, be it new or a second try."""
    broken, every = Broken("mail"), ledger.all
    pulled(ledger)
    for tries, now_us in enumerate((T0 + 1, T0 + MINUTE), 1):
        stale = every(Announced)
        tell_levers(ledger, [broken], now_us)
        assert broken.tries == tries
        monkeypatch.setattr(
            ledger, "all", lambda kind, *a, s=stale, **k: s if kind is Announced else every(kind, *a, **k)
        )
        assert tell_levers(ledger, [broken], now_us) == 0
        monkeypatch.setattr(ledger, "all", every)
        assert broken.tries == tries


def test_a_process_that_writes_nothing_sends_nothing(ledger: Ledger) -> None:
    """Whoever was overtaken, and is refused every write, tells nobody."""

    def refuse(_: object) -> None:
        raise StateError("another one holds the lease")

    heard = Heard()
    pulled(ledger)
    ledger.guard = refuse
    assert tell_levers(ledger, [heard], T0 + 1) == 0
    assert heard.messages == []


def test_a_slow_channel_holds_nobody_up(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on after `SEND_S`; the others have heard it by then."""
    monkeypatch.setattr(telling_module, "SEND_S", 0.2)
    free = threading.Event()

    class Slow(Heard):
        def send(self, message: Message) -> None:
            free.wait(10)

    heard = Heard()
    pulled(ledger)
    began = time.monotonic()
    tell_levers(ledger, [Slow("slow"), heard], T0 + 1)
    free.set()
    assert time.monotonic() - began < 2
    assert len(heard.messages) == 1
