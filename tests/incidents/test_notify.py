"""Laws of telling people, in a real ledger and with a real receiver: once, in time, and never in the way of the loop."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from closing import close
from hypothesis import given, settings
from hypothesis import strategies as st
from receivers import Receiver, receiving
from sqlalchemy import create_engine, text
from test_triage import HOUR, T0, signal

from andon.errors import SeamError, StoreError
from andon.incidents import Delivery, Incident, Message, open_channels
from andon.incidents import channels as seam
from andon.incidents.notices import LATE_US, RETRY_US, STALE_US, UNSURE_US
from andon.incidents.run import ack_incident, notify, respond
from andon.incidents.run import telling as stage
from andon.monitors import Signal
from andon.store import Ledger

MINUTE = 60_000_000


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(place: Path) -> Iterator[Ledger]:
    """A ledger on disk."""
    book = Ledger.open(place)
    yield book
    book.close()


def raise_(ledger: Ledger, *signals: Signal) -> list[Incident]:
    """Put the signals into the ledger and respond to them."""
    for s in signals:
        ledger.put(s, now_us=s.at_us, by="andon")
    return respond(ledger, signals)


def tick(place: Path, receiver: Receiver, now_us: int, **asked) -> list[Delivery]:
    """One turn of a process that has just been started."""
    book = Ledger.open(place)
    try:
        return notify(book, open_channels(receiver.url), now_us=now_us, **asked)
    finally:
        book.close()


def test_one_page_whatever_is_restarted(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """Many signals, many ticks, each by a new process: one message, recorded as sent."""
    raise_(ledger, *(signal(f"s{k}", at_us=T0 + k) for k in range(5)))
    done = [tick(place, receiver, T0 + k * MINUTE) for k in range(1, 20)]
    assert [d.state for d in done[0]] == ["sent"]
    assert done[1:] == [[]] * 18
    assert len(receiver.got) == 1
    assert receiver.titles[0].startswith("P2: The share of answers that refuse")
    (record,) = ledger.all(Delivery)
    assert (record.incident, record.reason, record.attempt, record.at_us) == ("INC-0001", "opened", 1, T0 + MINUTE)


def test_nobody_to_tell_is_no_work(ledger: Ledger) -> None:
    """Without channels nothing is read, sent or written."""
    raise_(ledger, signal("a"))
    assert notify(ledger, [], now_us=T0) == []
    assert ledger.all(Delivery) == []


def test_a_receiver_that_comes_back_is_told_once(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """While it is down every retry is recorded with its error; once it is back it gets the page, once."""
    raise_(ledger, signal("a"))
    receiver.stop()
    now, tries = T0, []
    for _ in range(60):
        now += MINUTE
        tries += tick(place, receiver, now)
    assert [d.state for d in tries] == ["failed"] * len(tries)
    assert [d.attempt for d in tries] == list(range(1, len(tries) + 1))
    assert len(tries) == 5
    assert tries[0].error == "it could not be reached"
    receiver.start()
    for _ in range(200):
        now += MINUTE
        tick(place, receiver, now)
    assert len(receiver.got) == 1
    assert ledger.all(Delivery)[0].state == "sent"


def test_a_refusal_is_tried_again(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """A receiver that answers 500 has not taken the message; it is offered again after the stated wait."""
    raise_(ledger, signal("a"))
    receiver.mode = "refuse"
    assert [d.error for d in tick(place, receiver, T0)] == ["it answered with status 500"]
    receiver.mode = "ok"
    assert tick(place, receiver, T0 + RETRY_US[0] - 1) == []
    assert [d.attempt for d in tick(place, receiver, T0 + RETRY_US[0])] == [2]
    assert len(receiver.accepted) == 1


def test_a_slow_receiver_does_not_hold_up_the_loop(
    ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn ends in time, the receiver is not given more meanwhile, and how it ended is written when it ends."""
    monkeypatch.setattr(stage, "SEND_S", 0.2)
    raise_(ledger, signal("a"), signal("b", app="other"))
    receiver.mode, receiver.slow_s = "slow", 1.0
    channels = open_channels(receiver.url)
    start = time.monotonic()
    assert [notify(ledger, channels, now_us=T0 + k) for k in range(3)] == [[], [], []]
    assert time.monotonic() - start < 0.9
    assert [d.state for d in ledger.all(Delivery)] == ["sending"]
    until = time.monotonic() + 20
    while ledger.all(Delivery)[0].state == "sending":
        assert time.monotonic() < until
        time.sleep(0.05)
    receiver.mode = "ok"
    assert [d.state for d in notify(ledger, channels, now_us=T0 + 3)] == ["sent"]
    assert [d.state for d in ledger.all(Delivery)] == ["sent", "sent"]
    assert len(receiver.got) == 2


def test_one_broken_channel_does_not_silence_the_others(ledger: Ledger, receiver: Receiver) -> None:
    """Each channel is told for itself; the one that fails is not given the next message in the same turn."""
    raise_(ledger, signal("a"), signal("b", app="other"))
    with receiving() as broken:
        broken.mode = "refuse"
        done = notify(ledger, open_channels(f"{broken.url} {receiver.url}"), now_us=T0)
        assert len(broken.got) == 1
    assert len(receiver.accepted) == 2
    assert sorted(d.state for d in done) == ["failed", "sent", "sent"]


def test_two_processes_at_the_same_moment_tell_once(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """Whoever writes the delivery first sends it; the others pass it over."""
    raise_(ledger, *(signal(f"s{k}", app=f"app{k}") for k in range(6)))
    start = threading.Barrier(4)

    def process() -> None:
        start.wait()
        for k in range(4):
            tick(place, receiver, T0 + k)

    threads = [threading.Thread(target=process) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(receiver.got) == 6
    assert len(set(receiver.titles)) == 6


class Script:
    """A channel that does what a script says: arrive, fail, leave it open, or end the process before or after sending."""

    name = "script"

    def __init__(self) -> None:
        self.next = "arrive"
        self.accepted: list[str] = []

    def send(self, message: Message) -> None:
        how = self.next
        if how == "fail":
            raise SeamError("refused", retryable=True)
        if how != "cut before":
            self.accepted.append(f"{message.about}: {message.title} {message.text}")
        if how == "open":
            raise SeamError("no answer", retryable=False)
        if how.startswith("cut"):
            raise StoreError("the process ends here")


def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a cut end the work as the end of the process would: nothing more is sent or written."""

    def send(channel: Script, message: Message) -> tuple[str, str]:
        if channel.next.startswith("cut"):
            channel.send(message)
        return seam.send(channel, message)

    monkeypatch.setattr(stage, "send", send)


@pytest.mark.parametrize("how", ["cut before", "cut after"])
def test_what_was_cut_off_is_not_sent_again_but_followed_up(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """After a crash while sending nobody knows whether it arrived: it is not repeated, and a later message says so."""
    cut_off(monkeypatch)
    raise_(ledger, signal("a"))
    channel = Script()
    channel.next = how
    assert notify(ledger, [channel], now_us=T0) == []
    channel.next = "arrive"
    assert notify(ledger, [channel], now_us=T0 + STALE_US) == []
    assert notify(ledger, [channel], now_us=T0 + STALE_US + 1) == []
    (record,) = ledger.all(Delivery)
    assert record.state == "unknown"
    (told,) = notify(ledger, [channel], now_us=T0 + UNSURE_US)
    assert told.reason == "unsure"
    assert "is not known" in channel.accepted[-1]
    assert len(channel.accepted) == (1 if how == "cut before" else 2)
    assert len(set(channel.accepted)) == len(channel.accepted)


PROCESS = """
import sys
from pathlib import Path
from andon.incidents import open_channels
from andon.incidents.run import notify
from andon.store import Ledger
notify(Ledger.open(Path(sys.argv[1])), open_channels(sys.argv[2]), now_us=int(sys.argv[3]))
"""


def test_a_process_that_is_killed_while_sending_has_sent_once(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """A real process, killed when the receiver has the page but has not answered: the next one does not send it again."""
    raise_(ledger, signal("a"))
    receiver.mode, receiver.slow_s = "slow", 2.0
    sender = subprocess.Popen([sys.executable, "-c", PROCESS, str(place), receiver.url, str(T0)])
    until = time.monotonic() + 30
    while not receiver.got:
        assert time.monotonic() < until
        time.sleep(0.01)
    sender.kill()
    sender.wait()
    receiver.mode = "ok"
    for minutes in (1, 4, 6, 10):
        tick(place, receiver, T0 + minutes * MINUTE)
    assert len(receiver.got) == 1
    assert [d.state for d in ledger.all(Delivery)] == ["unknown"]
    assert [d.reason for d in tick(place, receiver, T0 + UNSURE_US)] == ["unsure"]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["arrive", "fail", "open", "cut before", "cut after"]),
            st.sampled_from([1, 10, 40, 200, 1500]),
            st.sampled_from(["", "", "signal", "worse", "ack", "close"]),
            st.sampled_from([True, False, None]),
        ),
        min_size=1,
        max_size=15,
    )
)
@settings(max_examples=30, deadline=None)
def test_no_page_is_sent_twice(steps) -> None:
    """Over any interleaving of ticks, crashes, restarts, failures, signals, acknowledgements and closes, no message is sent twice."""
    with pytest.MonkeyPatch.context() as patch:
        cut_off(patch)
        book = Ledger("sqlite://")
        raise_(book, signal("s0", harm="cost"))
        channel, now = Script(), T0
        for number, (how, minutes, what, seen) in enumerate(steps, 1):
            now += minutes * MINUTE
            incident = book.all(Incident)[0]
            if what in ("signal", "worse") and incident.state != "closed":
                harm = "safety" if what == "worse" else "cost"
                raise_(book, signal(f"s{number}", harm=harm, at_us=now, onset_us=T0, monitor="bot/s0"))
            elif what == "ack" and incident.state != "closed":
                ack_incident(book, incident, now_us=now, by="ann")
            elif what == "close" and incident.state != "closed":
                close(book, incident, "over", now_us=now, by="ann")
            channel.next = how
            notify(book, [channel], now_us=now, harmed=lambda _, seen=seen: seen)
            assert len(set(channel.accepted)) == len(channel.accepted)
        ended = [v.record.id for v in book.history(Delivery) if v.record.state in ("sent", "unknown")]
        assert len(set(ended)) == len(ended)
        book.close()


def test_a_close_is_told_to_those_who_were_told(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """The note goes to the channel that had the page, once; an incident that nobody heard of is closed in silence."""
    (one,) = raise_(ledger, signal("a"))
    tick(place, receiver, T0)
    (two,) = raise_(ledger, signal("b", app="other"))
    for incident in (one, two):
        close(ledger, incident, "rate is back <!channel>", now_us=T0 + 1, by="ann")
    for k in range(3):
        tick(place, receiver, T0 + MINUTE + k)
    assert [t.split(":")[0] for t in receiver.titles] == ["P2", "Closed"]
    assert receiver.got[1]["type"] == "success"
    assert "rate is back ‹!channel›" in receiver.got[1]["message"]


def test_what_was_learned_late_is_no_page(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """After an outage: what is over comes as a note, what goes on as a page, and history not at all."""
    raise_(
        ledger,
        signal("old", app="history", at_us=T0 - 20 * 24 * HOUR, onset_us=T0 - 21 * 24 * HOUR),
        signal("over", app="over", harm="safety"),
        signal("on", app="going on", harm="safety"),
    )
    now = T0 + LATE_US + HOUR
    tick(place, receiver, now, harmed=lambda i: i.app == "going on")
    told = {m["title"].split(":")[0]: m["type"] for m in receiver.got}
    assert told == {"Was, and went away": "info", "P1": "failure"}
    tick(place, receiver, now + MINUTE)
    assert len(receiver.got) == 2


def test_a_reminder_that_is_not_due_leaves_a_trace(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """Whether harm goes on is asked once an interval, not at every tick, and the answer stands in the ledger."""
    asked: list[str] = []

    def harmed(incident: Incident) -> bool:
        asked.append(incident.id)
        return len(asked) > 2

    raise_(ledger, signal("a", harm="safety"))
    for k in range(0, 200, 5):
        tick(place, receiver, T0 + k * MINUTE, harmed=harmed)
    assert len(asked) == 3
    assert [t.split(":")[0] for t in receiver.titles] == ["P1", "Still P1"]
    assert sorted(d.state for d in ledger.all(Delivery)) == ["quiet", "sent", "sent"]


def test_an_acknowledged_incident_is_not_told_again(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """After the acknowledgement there is no reminder, whatever goes on."""
    (incident,) = raise_(ledger, signal("a", harm="safety"))
    tick(place, receiver, T0)
    ack_incident(ledger, incident, now_us=T0 + 1, by="ann")
    for k in range(1, 30):
        tick(place, receiver, T0 + k * HOUR, harmed=lambda _: True)
    assert len(receiver.got) == 1


def test_the_message_has_suspects_mix_and_link(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """What the loop knows of the cause and of the traffic's mix stands in the message, with the link."""
    raise_(ledger, signal("a", mix="explains 3 of 10 points"))
    tick(place, receiver, T0, url="https://andon.example", suspects=lambda i: [f"62 %: prompt of {i.app}"])
    body = receiver.got[0]["message"]
    assert "Suspects: 62 %: prompt of bot." in body
    assert "Traffic mix: explains 3 of 10 points." in body
    assert "https://andon.example/incidents/INC-0001" in body.splitlines()[2]


@pytest.mark.parametrize("mode", ["ok", "refuse", "hang up", "stopped"])
def test_secrets_never_reach_the_ledger(ledger: Ledger, place: Path, receiver: Receiver, mode: str) -> None:
    """Whatever happens, no part of the URL that is secret is in any version of any record."""
    raise_(ledger, signal("a"))
    receiver.mode = mode
    if mode == "stopped":
        receiver.stop()
    for k in range(3):
        tick(place, receiver, T0 + k * HOUR)
    with create_engine(f"sqlite:///{place}").connect() as connection:
        rows = " ".join(str(tuple(r)) for r in connection.execute(text("select * from versions")))
    assert "INC-0001/opened/json://127.0.0.1" in rows
    assert "s3cret" not in rows


def test_the_most_urgent_comes_first(ledger: Ledger, place: Path, receiver: Receiver) -> None:
    """Of several incidents P1 is told before P2 before P3."""
    raise_(
        ledger,
        signal("c", app="c", harm="cost", x=5),
        signal("a", app="b", harm="correctness"),
        signal("b", app="a", harm="safety"),
    )
    tick(place, receiver, T0)
    assert [t[:2] for t in receiver.titles] == ["P1", "P2", "P3"]


def test_the_record_of_an_attempt_comes_before_the_attempt(ledger: Ledger) -> None:
    """While a message is being sent its delivery is in the ledger already, as under way."""
    seen: list[str] = []

    class Looks:
        name = "looks"

        def send(self, message: Message) -> None:
            seen.extend(d.state for d in ledger.all(Delivery))

    raise_(ledger, signal("a"))
    (done,) = notify(ledger, [Looks()], now_us=T0)
    assert seen == ["sending"]
    assert ledger.all(Delivery) == [done] == [replace(done, state="sent")]
