"""Laws of pages and warnings: what may open an incident, lead it, or only stand in its timeline."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from closing import close
from hypothesis import given, settings
from hypothesis import strategies as st
from test_triage import HOUR, T0, signal

from andon.errors import StateError
from andon.incidents import Incident, classify, join, merges, open_incident
from andon.incidents.run import ack_incident, respond, restate, timeline_of
from andon.monitors import Signal
from andon.store import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on disk."""
    book = Ledger.open(tmp_path / "ledger.db")
    yield book
    book.close()


def warning(name: str = "w1", **fields) -> Signal:
    """A signal that wakes nobody."""
    return signal(name, level="warning", **fields)


def tell(ledger: Ledger, *signals: Signal) -> list[Incident]:
    """Put the signals into the ledger and respond to them."""
    for s in signals:
        ledger.put(s, now_us=s.at_us, by="andon")
    return respond(ledger, signals)


def test_a_warning_opens_no_incident(ledger: Ledger) -> None:
    """Warnings alone, however many and however bad, open nothing."""
    assert tell(ledger, warning("a", harm="safety", x=99), warning("b", at_us=T0 + HOUR)) == []
    assert ledger.all(Incident) == []


def test_a_warning_stands_in_the_timeline_of_an_open_incident(ledger: Ledger) -> None:
    """A warning of the same event is an entry of the incident, and changes neither its lead, class, severity nor clock."""
    (before,) = tell(ledger, signal("a"))
    (after,) = tell(ledger, warning("b", harm="safety", x=99, at_us=T0 + HOUR))
    assert after == replace(before, signals=("a", "b"))
    entry = timeline_of(ledger, after)[-1]
    assert (entry.kind, entry.happened_us) == ("signal", T0 + HOUR)
    assert entry.text.startswith("warning: ")
    assert "99 of 100" in entry.text


def test_a_warning_of_something_else_stays_outside(ledger: Ledger) -> None:
    """Another app, a later event or a closed incident gets no entry."""
    (incident,) = tell(ledger, signal("a"))
    assert tell(ledger, warning("b", app="other"), warning("c", at_us=T0 + 50 * HOUR, onset_us=T0 + 49 * HOUR)) == []
    close(ledger, incident, "over", now_us=T0 + 1, by="ann")
    assert tell(ledger, warning("d", at_us=T0 + HOUR)) == []


def test_a_page_after_a_warning_opens_and_leads(ledger: Ledger) -> None:
    """A page and a warning of one moment are one incident led by the page, with an entry for each."""
    (incident,) = tell(ledger, warning("w", harm="safety", x=90), signal("p"))
    assert (incident.lead, incident.signals, incident.impact) == ("p", ("p", "w"), "usefulness")
    entries = [e.text for e in timeline_of(ledger, incident) if e.kind == "signal"]
    assert sorted(e.startswith("warning: ") for e in entries) == [False, True]


def test_warnings_do_not_lengthen_an_incident(ledger: Ledger) -> None:
    """What joins within a day is counted from the last page: a trickle of warnings keeps no incident open for ever."""
    tell(ledger, signal("a"), *(warning(f"w{k}", at_us=T0 + 20 * k * HOUR) for k in (1, 2, 3)))
    late = signal("b", at_us=T0 + 60 * HOUR, onset_us=T0 + 59 * HOUR, monitor="bot/another")
    assert not merges(ledger.all(Incident)[0], late)


@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(5, 60)), min_size=1, max_size=8),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=20, deadline=None)
def test_the_lead_is_a_page_in_any_order(rows, seed) -> None:
    """Whatever comes when, every lead is a page, each page has one incident, and giving all signals again changes nothing."""
    signals = [
        signal(f"s{k}", level="page" if page else "warning", at_us=T0 + h * HOUR, x=x, harm=("safety", "cost")[x % 2])
        for k, (page, h, x) in enumerate(rows)
    ]
    levels = {s.id: s.level for s in signals}
    book = Ledger("sqlite://")
    tell(book, *random.Random(seed).sample(signals, len(signals)))
    incidents = book.all(Incident)
    assert all(levels[i.lead] == "page" for i in incidents)
    held = [s for i in incidents for s in i.signals if levels[s] == "page"]
    assert sorted(held) == sorted(s for s, level in levels.items() if level == "page")
    before = book.history(Incident)
    assert tell(book, *signals) == []
    assert book.history(Incident) == before
    book.close()


def test_warnings_have_no_say_in_the_class() -> None:
    """Class, severity and title are those of the pages alone."""
    page, loud = signal("p"), warning("w", harm="safety", x=99)
    assert classify([page, loud])[0] == classify([page])[0] == "usefulness"
    assert replace(open_incident(1, [page, loud]), signals=()) == replace(open_incident(1, [page]), signals=())
    later = warning("w", at_us=T0 + HOUR)
    assert join(open_incident(1, [page]), [page, later]).last_signal_us == T0


def test_an_acknowledgement_says_who_and_when(ledger: Ledger) -> None:
    """Who was first stays; it stands in the incident and in the timeline, once."""
    (incident,) = tell(ledger, signal("a"))
    acked = ack_incident(ledger, incident, now_us=T0 + 5, by="ann")
    assert (acked.acked_us, acked.acked_by, acked.state) == (T0 + 5, "ann", "open")
    assert ack_incident(ledger, incident, now_us=T0 + 9, by="bob") == acked
    entries = [(e.text, e.by, e.happened_us) for e in timeline_of(ledger, incident) if e.kind == "state"]
    assert entries == [("acknowledged", "ann", T0 + 5)]


def test_an_acknowledgement_outlives_what_comes_later(ledger: Ledger) -> None:
    """Further signals, a new title and the close keep who acknowledged; a closed incident cannot be acknowledged."""
    (incident,) = tell(ledger, signal("a"))
    ack_incident(ledger, incident, now_us=T0 + 5, by="ann")
    (incident,) = tell(ledger, signal("b", at_us=T0 + HOUR, x=60))
    assert restate(ledger, incident, 0.5, now_us=T0 + HOUR).acked_by == "ann"
    closed = close(ledger, incident, "over", now_us=T0 + 2 * HOUR, by="ann")
    assert closed.acked_by == "ann"
    with pytest.raises(StateError, match="closed already"):
        ack_incident(ledger, closed, now_us=T0 + 3 * HOUR, by="bob")


def test_a_title_is_brought_up_to_date_on_the_latest_version(ledger: Ledger) -> None:
    """Restating an old copy keeps what was written meanwhile, and leaves a closed incident alone."""
    (old,) = tell(ledger, signal("a"))
    ack_incident(ledger, old, now_us=T0 + 5, by="ann")
    told = restate(ledger, old, 0.5, now_us=T0 + 6)
    assert (told.acked_by, "50 %" in told.title) == ("ann", True)
    closed = close(ledger, told, "over", now_us=T0 + 7, by="ann")
    assert restate(ledger, old, 0.9, now_us=T0 + 8) == closed
