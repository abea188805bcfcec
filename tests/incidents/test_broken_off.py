"""Laws of turns that break off: whatever was written, the same turn again leaves what an undisturbed one leaves, nothing twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from breaking import FailingLedger
from hypothesis import given, settings
from hypothesis import strategies as st
from test_alerts import fired
from test_timeline import change
from test_triage import HOUR, T0, signal
from walked import Store, asked

from andon.errors import StoreError
from andon.incidents import Alert, Delivery, Incident, Report, TimelineEvent
from andon.incidents.records import Message
from andon.incidents.run import grow_timeline, notify, receive_alerts, receive_report, respond, timeline_of
from andon.incidents.run.timeline import Attached, TimelineCursor
from andon.monitors import Signal
from andon.store import Ledger, Warehouse

MINUTE = 60_000_000
KINDS = (Incident, TimelineEvent, Delivery, Report, Alert, Attached)

Act = Callable[[Warehouse, Ledger], Any]


@dataclass
class Ear:
    """A channel that hears everything."""

    name: str = "ear"

    def send(self, message: Message) -> None:
        """Hear it."""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """Traffic with two interactions of the app `bot`."""
    store = Store(tmp_path_factory.mktemp("store"))
    store.take([asked("one", T0 - HOUR, task="faq"), asked("two", T0 - HOUR)])
    yield store.warehouse
    store.close()


def give(*signals: Signal) -> Act:
    """Signals that stand in the ledger are given to incidents."""
    return lambda _, ledger: respond(ledger, signals, lambda: T0 + 5 * MINUTE)


def before(*signals: Signal, **fields: Any) -> Act:
    """Earlier signals have an incident, of which these fields were written since."""

    def act(warehouse: Warehouse, ledger: Ledger) -> None:
        for s in signals or (signal("a"),):
            ledger.put(s, now_us=s.at_us, by="andon")
        respond(ledger, signals or (signal("a"),))
        rest(warehouse, ledger)
        if fields:
            ledger.put(replace(ledger.all(Incident)[-1], **fields), now_us=T0 + 9, by="andon")

    return act


def say(text: str = "wrong dose", now_us: int = T0 + HOUR, **fields: Any) -> Act:
    """A person reports something."""
    return lambda warehouse, ledger: receive_report(warehouse, ledger, text, by="mia", now_us=now_us, **fields)


def hear(*alerts: Alert, now_us: int = T0 + HOUR) -> Act:
    """Another system sends alerts."""
    return lambda _, ledger: receive_alerts(ledger, alerts, now_us=now_us)


def known(*records: Any, now_us: int = T0 - HOUR) -> Act:
    """Records stand in the ledger."""

    def act(_: Warehouse, ledger: Ledger) -> None:
        for record in records:
            ledger.put(record, now_us=now_us, by="mia")

    return act


def rest(warehouse: Warehouse, ledger: Ledger) -> None:
    """What a service does after its incidents in each turn: people are told, and timelines grow."""
    notify(ledger, [Ear()], now_us=T0 + 2 * HOUR)
    for incident in ledger.all(Incident):
        grow_timeline(warehouse, ledger, incident, now_us=T0 + 2 * HOUR)


PAGES = (
    signal("a", x=40, scope={"task": "faq"}),
    signal("b", metric="error", harm="availability"),
    signal("w", level="warning"),
)
WORSE = signal("c", metric="exact_match", harm="correctness", at_us=T0 + HOUR, onset_us=T0)
LATE = tuple(
    signal(f"m@{k}", monitor="m", at_us=T0 + 60 * HOUR, onset_us=T0 + 50 * HOUR, harm=harm, level=level)
    for k, (harm, level) in enumerate((("safety", "page"), ("cost", "page"), ("cost", "warning"), ("cost", "page")))
)
EARLY = signal("m@0h", monitor="m")
CHANGES = (change("near", T0 - 3 * HOUR), change("learned", T0 - HOUR), change("old", T0 - 300 * HOUR))
ALERTS = (fired(T0 - MINUTE, "a1"), fired(T0 - 2 * MINUTE, "a2", ends_us=T0))
CLOSED = {"state": "closed", "closed_us": T0 + 9, "closed_why": "over"}

TURNS: dict[str, tuple[list[Act], Act]] = {
    "signals open": ([known(*CHANGES, *PAGES), hear(*ALERTS, now_us=T0)], give(*PAGES)),
    "a change is learned after the alarm": (
        [known(*PAGES), known(*CHANGES, now_us=T0 + 4 * MINUTE)],
        give(*PAGES),
    ),
    "signals open two": ([known(*PAGES, s := signal("o", app="other"))], give(*PAGES, s)),
    "a signal joins and leads": ([known(*CHANGES, WORSE), before()], give(WORSE)),
    "several moments": ([known(*PAGES, WORSE, EARLY, *LATE)], give(*PAGES, WORSE, EARLY, *LATE)),
    "harm comes back": ([known(WORSE), before(recovered_us=T0 + 8, state="recovered")], give(WORSE)),
    "a signal joins a report": ([known(WORSE), say(app="bot", now_us=T0), rest], give(WORSE)),
    "late signals join": ([known(*LATE), before(EARLY)], give(*LATE)),
    "late signals after recovery": (
        [known(*LATE), before(EARLY, recovered_us=T0 + 8, state="recovered")],
        give(*LATE),
    ),
    "a late page alone": ([known(LATE[1]), before(EARLY)], give(LATE[1])),
    "late warnings": ([known(LATE[2]), before(EARLY)], give(LATE[2])),
    "late signals join a report": (
        [known(*LATE), say(app="bot", now_us=T0), known(w := signal("w@", monitor="m", level="warning")), give(w)],
        give(*LATE),
    ),
    "a report opens": ([], say(interaction_id="one")),
    "a report without an interaction opens": ([], say(app="bot")),
    "a near miss opens": ([say("other", T0, app="bot")], say(app="bot", near_miss=True)),
    "a report joins signals": ([before(signal("a", scope={"task": "faq"}))], say(interaction_id="one")),
    "a report joins a report": ([say("bad", T0, interaction_id="one")], say(interaction_id="one")),
    "said again after the close": (
        [say(interaction_id="two", now_us=T0), lambda _, ledger: close_all(ledger)],
        say(interaction_id="two"),
    ),
    "alerts": (
        [before(signal("a"), signal("o", app="other")), hear(fired(T0 - MINUTE, "a1"), now_us=T0)],
        hear(
            fired(T0 - MINUTE, "a1", ends_us=T0 + MINUTE),
            fired(T0, "a2"),
            replace(fired(T0, "a3"), app=None, labels={}),
        ),
    ),
}


def close_all(ledger: Ledger) -> None:
    """All incidents are closed."""
    for incident in ledger.all(Incident):
        ledger.put(replace(incident, **CLOSED), now_us=T0 + 9, by="ann")


def left(ledger: Ledger) -> dict[str, Any]:
    """What a ledger holds in the end: all records of each kind, every version of an incident, timelines as they are read."""
    records = {kind.__name__: sorted(ledger.all(kind), key=lambda r: r.id) for kind in KINDS}
    timelines = [timeline_of(ledger, incident) for incident in ledger.all(Incident)]
    return records | {"versions": ledger.history(Incident), "timelines": timelines}


def ran(warehouse: Warehouse, name: str, fails_at: int | None = None, *, writes: bool = False, goes_on: bool = False):
    """What is left of a turn, and how many puts it had; broken off at one of them, and repeated.

    Args:
        warehouse: the traffic.
        name: of the turn.
        fails_at: number of the put that fails; None where nothing does.
        writes: whether that one is written nevertheless.
        goes_on: whether people are told and timelines grow before the turn is repeated, as in a service that was not killed.
    """
    ledger = FailingLedger()
    earlier, turn = TURNS[name]
    for act in earlier:
        act(warehouse, ledger)
    start = ledger.puts
    if fails_at is not None:
        ledger.fails_at, ledger.writes = start + fails_at, writes
        with pytest.raises(StoreError, match="failed over"):
            turn(warehouse, ledger)
        if goes_on:
            rest(warehouse, ledger)
        start = ledger.puts
    turn(warehouse, ledger)
    puts = ledger.puts - start
    rest(warehouse, ledger)
    found = left(ledger)
    again = ledger.puts
    turn(warehouse, ledger)  # once more writes nothing at all
    assert ledger.puts == again or left(ledger) == found
    ledger.close()
    return found, puts


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("name", TURNS)
def test_a_turn_that_broke_off_is_made_up_for(warehouse: Warehouse, name: str, writes: bool, goes_on: bool) -> None:
    """Whichever write fails, the turn repeated gives the incidents, timelines and messages of an undisturbed one."""
    whole, puts = ran(warehouse, name)
    assert puts >= 2
    for k in range(puts):
        found, _ = ran(warehouse, name, k, writes=writes, goes_on=goes_on)
        if goes_on and name == "several moments":  # people were told of each moment's incident as it was
            found["Delivery"] = whole["Delivery"]
        assert found == whole, f"write {k + 1} of {puts}"


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("aab"),
            st.integers(0, 90),
            st.integers(5, 60),
            st.sampled_from(("page", "page", "warning")),
            st.sampled_from(("usefulness", "correctness", "cost")),
        ),
        min_size=2,
        max_size=8,
        unique=True,
    ),
    at=st.integers(0, 10**6),
    cut=st.integers(0, 8),
)
@settings(max_examples=60, deadline=None)
def test_any_signals_and_any_failure(rows: list[tuple[str, int, int, Any, Any]], at: int, cut: int) -> None:
    """Of any signals, given in one turn or two, any write may fail once."""
    signals = [
        signal(f"m@{k}", monitor="m", app=app, at_us=T0 + hours // 10 * 10 * HOUR, x=x, level=level, harm=harm)
        for k, (app, hours, x, level, harm) in enumerate(rows)
    ]
    signals.sort(key=lambda s: s.at_us)

    def told(fails_at: int | None) -> tuple[dict[str, Any], int]:
        ledger = FailingLedger()
        for s in signals:
            ledger.put(s, now_us=s.at_us, by="andon")
        start = ledger.puts
        ledger.fails_at = -1 if fails_at is None else start + fails_at
        for turn in (signals[:cut], signals[cut:]):
            try:
                respond(ledger, turn)
            except StoreError:
                respond(ledger, turn)
        found = left(ledger), ledger.puts - start
        ledger.close()
        return found

    whole, puts = told(None)
    assert told(at % max(1, puts))[0] == whole


@pytest.mark.parametrize("name", ["signals open", "a signal joins and leads", "harm comes back"])
def test_timelines_are_made_up_for_though_no_signal_is_given_again(warehouse: Warehouse, name: str) -> None:
    """Signals that have an incident may not be given again, as those of probes; the next growth writes what is told of them."""
    whole, puts = ran(warehouse, name)
    for k in range(1, puts):
        ledger = FailingLedger()
        earlier, turn = TURNS[name]
        for act in earlier:
            act(warehouse, ledger)
        ledger.fails_at = ledger.puts + k
        with pytest.raises(StoreError):
            turn(warehouse, ledger)
        rest(warehouse, ledger)
        assert left(ledger) == whole, f"write {k + 1} of {puts}"
        ledger.close()


@pytest.mark.parametrize("fields", [{"interaction_id": "one"}, {"app": "bot"}])
def test_a_person_who_repeats_a_report_later_has_said_it_once(warehouse: Warehouse, fields: dict[str, str]) -> None:
    """Who was told of an error says it again a minute later: it is one incident, one report, one entry, of the first time."""
    whole = FailingLedger()
    say(**fields)(warehouse, whole)
    for k in range(1, whole.puts):
        ledger = FailingLedger()
        ledger.fails_at = k
        with pytest.raises(StoreError):
            say(**fields)(warehouse, ledger)
        say(now_us=T0 + HOUR + MINUTE, **fields)(warehouse, ledger)
        assert left(ledger) == left(whole)
        ledger.close()
    whole.close()


def test_two_reports_that_broke_off_are_two(warehouse: Warehouse) -> None:
    """What another person said, or the same one in other words, is not taken for the report that broke off."""
    for text, by in (("wrong dose", "ann"), ("wrong answer", "mia")):
        ledger = FailingLedger()
        ledger.fails_at = 1
        with pytest.raises(StoreError):
            say(app="bot")(warehouse, ledger)
        receive_report(warehouse, ledger, text, by=by, app="bot", now_us=T0 + HOUR)
        assert [i.id for i in ledger.all(Incident)] == ["INC-0001", "INC-0002"]
        assert [r.incident for r in ledger.all(Report)] == ["INC-0002"]
        ledger.close()


@pytest.mark.parametrize("kept", ["", "a digest of ids that were erased"])
def test_what_is_not_known_to_be_owed_is_not_told(warehouse: Warehouse, kept: str) -> None:
    """Where it is not known what was told, by an earlier Andon or before an erasure, no entry is written a second time."""
    ledger = FailingLedger()
    before()(warehouse, ledger)
    cursor = ledger.get(TimelineCursor, "INC-0001")
    assert cursor is not None
    ledger.put(replace(cursor, signals=kept), now_us=T0, by="andon")
    was = ledger.all(TimelineEvent)
    ledger.put(signal("a", x=31), now_us=T0, by="andon")  # so that its entry would have other words
    rest(warehouse, ledger)
    give(signal("a"))(warehouse, ledger)
    assert ledger.all(TimelineEvent) == was
    assert ledger.get(TimelineCursor, "INC-0001") == cursor
    ledger.close()
