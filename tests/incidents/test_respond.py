"""Laws of opening, merging and closing incidents in a real ledger."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from closing import close
from hypothesis import given, settings
from hypothesis import strategies as st
from test_triage import HOUR, T0, signal

from andon.changes import Change
from andon.errors import InputError, StateError
from andon.incidents import Incident, TimelineEvent
from andon.incidents.run import add_note, find_incident, respond, signals_of, timeline_of
from andon.incidents.run import signals as stage
from andon.monitors import Signal
from andon.store import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on disk."""
    book = Ledger.open(tmp_path / "ledger.db")
    yield book
    book.close()


def tell(ledger: Ledger, *signals: Signal) -> list[Incident]:
    """Put the signals into the ledger and respond to them."""
    for s in signals:
        ledger.put(s, now_us=s.at_us, by="andon")
    return respond(ledger, signals)


def everything(ledger: Ledger) -> tuple[list[object], ...]:
    """Every version of every incident and event."""
    return ledger.history(Incident), ledger.history(TimelineEvent)


def test_the_same_signals_again_change_nothing(ledger: Ledger) -> None:
    """Responding is idempotent: signals that have an incident write no version and no event."""
    signals = [signal("a"), signal("b", metric="error", harm="availability"), signal("c", at_us=T0 + HOUR)]
    (incident,) = tell(ledger, *signals)
    before = everything(ledger)
    assert tell(ledger, *signals) == []
    assert tell(ledger, signals[1]) == []
    assert everything(ledger) == before
    assert incident.signals == ("a", "b", "c")


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(5, 60)), min_size=1, max_size=8, unique=True
    ),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=25, deadline=None)
def test_any_order_within_one_call_gives_the_same(rows, seed) -> None:
    """The order of the signals of one call changes no incident and no event, and each signal has exactly one incident."""
    signals = [signal(f"s{k}", app=a, at_us=T0 + h * HOUR, x=x) for k, (a, h, x) in enumerate(rows)]
    books = []
    for shuffled in (signals, random.Random(seed).sample(signals, len(signals))):
        book = Ledger("sqlite://")
        tell(book, *shuffled)
        books.append(everything(book))
        held = [s.id for i in book.all(Incident) for s in signals_of(book, i)]
        assert sorted(held) == sorted(s.id for s in signals)
        book.close()
    assert books[0] == books[1]


def test_late_signals_are_attached_and_the_incident_stays_small(ledger: Ledger) -> None:
    """What signals after two days belongs to its incident without being written into it; given again it changes nothing."""
    early = [signal(f"e@{h}", monitor="e", at_us=T0 + h * HOUR) for h in range(0, 49, 12)]
    late = [
        signal(f"l@{h}", monitor="l", at_us=T0 + h * HOUR, level="warning" if h % 2 else "page") for h in range(49, 69)
    ]
    for s in (*early, *late):
        tell(ledger, s)
    (incident,) = ledger.all(Incident)
    assert incident.signals == tuple(sorted(s.id for s in early))
    assert incident.last_signal_us == late[-1].at_us
    assert [s.id for s in signals_of(ledger, incident)] == [s.id for s in (*early, *late)]
    assert len(ledger.history(Incident)) == len(early) + sum(s.level == "page" for s in late)
    before = everything(ledger)
    assert tell(ledger, *early, *late) == []
    assert everything(ledger) == before
    again = signal("l@200", monitor="l", at_us=T0 + 200 * HOUR, onset_us=T0 + 150 * HOUR)
    (joined,) = tell(ledger, again)  # a chart that spoke late speaks again: the same event
    assert joined.id == incident.id
    ledger.put(replace(joined, recovered_us=T0 + 201 * HOUR), now_us=1, by="andon")
    (back,) = tell(ledger, signal("l@202", monitor="l", at_us=T0 + 202 * HOUR, harm="safety"))
    assert (back.recovered_us, back.lead, back.signals) == (None, "l@202", incident.signals)
    assert len(signals_of(ledger, back)) == 27


def test_one_app_within_a_day_is_one_incident(ledger: Ledger) -> None:
    """Signals of one app within 24 h of each other are one incident, however long the chain; later ones are another."""
    tell(ledger, *(signal(f"s{k}", at_us=T0 + 20 * k * HOUR) for k in range(4)))
    (incident,) = ledger.all(Incident)
    assert (incident.alarmed_us, incident.last_signal_us) == (T0, T0 + 60 * HOUR)
    tell(ledger, signal("late", at_us=T0 + 87 * HOUR, onset_us=T0 + 86 * HOUR))
    assert [i.id for i in ledger.all(Incident)] == ["INC-0001", "INC-0002"]


def test_two_apps_are_two_incidents(ledger: Ledger) -> None:
    """Signals of two apps or environments at the same moment are incidents of their own."""
    found = tell(ledger, signal("a"), signal("b", app="other"), signal("c", environment="staging"))
    assert [(i.app, i.environment) for i in found] == [
        ("bot", "production"),
        ("bot", "staging"),
        ("other", "production"),
    ]


def test_a_closed_incident_is_never_reopened(ledger: Ledger) -> None:
    """A signal after the close opens a new incident, and the closed one stays as it was."""
    (incident,) = tell(ledger, signal("a"))
    closed = close(ledger, incident, "rate back at 2 % for a day", now_us=T0 + 1, by="ann")
    (second,) = tell(ledger, signal("b", at_us=T0 + 2))
    assert second.id == "INC-0002"
    assert ledger.get(Incident, incident.id) == closed


def test_a_close_at_the_same_moment_wins(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a person closes an incident while a signal is being joined to it, it stays closed and the signal is not lost."""
    (incident,) = tell(ledger, signal("a"))
    first = stage.signals_of

    def meanwhile(book: Ledger, home: Incident) -> list[Signal]:
        monkeypatch.setattr(stage, "signals_of", first)
        close(book, home, "done", now_us=T0 + 1, by="ann")
        return first(book, home)

    monkeypatch.setattr(stage, "signals_of", meanwhile)
    (second,) = tell(ledger, signal("b", at_us=T0 + 2))
    assert second.id == "INC-0002"
    assert ledger.get(Incident, incident.id).state == "closed"


def test_a_close_of_an_old_copy_keeps_the_new_signals(ledger: Ledger) -> None:
    """Closing works on the latest version, so a signal that came meanwhile stays with its incident."""
    (old,) = tell(ledger, signal("a"))
    tell(ledger, signal("b", at_us=T0 + HOUR))
    assert close(ledger, old, "over", now_us=T0 + 2 * HOUR, by="ann").signals == ("a", "b")
    with pytest.raises(StateError, match="closed already"):
        close(ledger, old, "again", now_us=T0 + 3 * HOUR, by="ann")


@pytest.mark.parametrize("why", ["", "  \n"])
def test_closing_demands_a_reason(ledger: Ledger, why: str) -> None:
    """Without a reason nothing is closed; with one, it is kept with its author and time."""
    (incident,) = tell(ledger, signal("a"))
    with pytest.raises(InputError, match="what was measured"):
        close(ledger, incident, why, now_us=T0 + 1, by="ann")
    assert ledger.get(Incident, incident.id).state == "open"
    closed = close(ledger, incident, "measured", now_us=T0 + 1, by="ann")
    assert (closed.closed_us, closed.closed_why) == (T0 + 1, "measured")
    assert timeline_of(ledger, incident)[-1].text == "closed as false alarm: measured"
    assert ledger.history(Incident, incident.id)[-1].by == "ann"


def test_the_timeline_has_two_clocks(ledger: Ledger) -> None:
    """Onset and changes stand at the time they happened and say when they were learned; the order is that of happening."""
    for name, hours in (("old", 24 * 8), ("near", 5), ("after", -1.5)):
        change = Change(id=name, at_us=T0 - 2 * HOUR - int(hours * HOUR), kind="code", title=name, app="bot")
        ledger.put(change, now_us=T0, by="ann")
    (incident,) = tell(ledger, signal("a"))
    timeline = timeline_of(ledger, incident)
    assert [e.kind for e in timeline] == ["change", "onset", "change", "signal"]
    assert [e.happened_us for e in timeline] == sorted(e.happened_us for e in timeline)
    assert {e.learned_us for e in timeline} == {T0}
    onset = next(e for e in timeline if e.kind == "onset")
    assert onset.happened_us == incident.onset_us < onset.learned_us
    assert not any("old" in e.text for e in timeline)


def test_a_new_leader_tells_its_own_onset(ledger: Ledger) -> None:
    """When a worse signal takes the lead, the class is its own, the incident's onset stays, and the timeline has both."""
    tell(ledger, signal("a"))
    worse = signal("b", metric="exact_match", direction="down", harm="correctness", at_us=T0 + HOUR, onset_us=T0)
    (incident,) = tell(ledger, worse)
    assert (incident.lead, incident.impact, incident.onset_us, incident.alarmed_us) == (
        "b",
        "correctness",
        T0 - HOUR,
        T0,
    )
    onsets = [(e.happened_us, e.learned_us) for e in timeline_of(ledger, incident) if e.kind == "onset"]
    assert onsets == [(T0 - HOUR, T0), (T0, T0 + HOUR)]


def test_notes_of_people(ledger: Ledger) -> None:
    """A note stands at the time it speaks of, with its author; a blank one is refused."""
    (incident,) = tell(ledger, signal("a"))
    note = add_note(ledger, incident, "vendor called", happened_us=T0 - 7, now_us=T0 + 9, by="ann")
    assert note in timeline_of(ledger, incident)
    assert (note.happened_us, note.learned_us, note.by) == (T0 - 7, T0 + 9, "ann")
    with pytest.raises(InputError, match="text"):
        add_note(ledger, incident, " ", happened_us=T0, now_us=T0, by="ann")


def test_an_unknown_incident_names_the_known(ledger: Ledger) -> None:
    """Asking for an incident that is not there lists those that are."""
    with pytest.raises(InputError, match="none yet"):
        find_incident(ledger, "INC-0009")
    (incident,) = tell(ledger, signal("a"))
    assert find_incident(ledger, incident.id) == incident
    with pytest.raises(InputError, match="INC-0001"):
        find_incident(ledger, "INC-0009")


def test_the_signals_of_an_incident(ledger: Ledger) -> None:
    """Its signals come back in order of time, those that are not in the ledger left out."""
    (incident,) = tell(ledger, signal("z"), signal("a", at_us=T0 + 5))
    assert [s.id for s in signals_of(ledger, incident)] == ["z", "a"]
    assert [s.id for s in signals_of(ledger, replace(incident, signals=("a", "gone")))] == ["a"]


def test_pages_of_later_weeks_raise_the_severity_once(ledger: Ledger) -> None:
    """An incident of P3 is P1 once a page of a high-risk category comes, however late; the next one writes it no second time."""
    tell(ledger, signal("bot/a@1", x=6))
    for k in range(1, 5):
        page = signal(f"bot/high@{k}", x=8, scope={"risk_category": "high"}, at_us=T0 + k * 90 * HOUR)
        tell(ledger, replace(page, onset_us=T0))
    (incident,) = ledger.all(Incident)
    assert (incident.severity, incident.lead, len(signals_of(ledger, incident))) == ("P1", "bot/a@1", 5)
    assert "risk category “high”" in incident.severity_reason
    told = [v.record.severity for v in ledger.history(Incident)]
    assert told == ["P3", "P1", "P1", "P1", "P1"]
