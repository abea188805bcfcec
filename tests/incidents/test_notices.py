"""Laws of who is told when: one page per incident, reminders only while nobody is at it, no alarm about the past."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_triage import HOUR, T0, signal

from andon.incidents import Incident, open_incident
from andon.incidents.notices import (
    AGAIN_US,
    LATE_US,
    MOST_ATTEMPTS,
    OLD_US,
    REMIND_US,
    RETRY_US,
    UNSURE_US,
    delivery_of,
    due,
    still_missing,
)
from andon.incidents.records import Delivery

MINUTE = 60_000_000
HARMS = {"P1": "safety", "P2": "correctness", "P3": "cost"}


def incident(severity: str = "P1", **fields) -> Incident:
    """An incident of this severity whose only signal came at T0."""
    made = open_incident(1, [signal("a", harm=HARMS[severity], x=8)])
    assert made.severity == severity
    return replace(made, **fields)


class Person:
    """One channel that hears everything at once; its log is what it was told."""

    def __init__(self, *, state: str = "sent") -> None:
        self.told: dict[str, Delivery] = {}
        self.heard: list[tuple[int, str]] = []
        self.state = state

    def ask(self, about: Incident, now_us: int, goes_on: bool | None = None) -> str | None:
        """What is due now, and note that it was delivered as `state` says."""
        found = due(about, list(self.told.values()), now_us=now_us, goes_on=lambda: goes_on)
        if found is None:
            return None
        done = delivery_of(about, found, "c", now_us)
        self.told[done.id] = done if found.quiet else replace(done, state=self.state)
        if found.quiet:
            return "quiet"
        self.heard.append((now_us, found.reason))
        return found.reason


def test_one_page_for_one_incident() -> None:
    """Told once when it opens; further signals of the same severity tell nobody."""
    person, now = Person(), T0 + MINUTE
    assert person.ask(incident(), now) == "opened"
    more = incident(signals=("a", "b", "c"), last_signal_us=T0 + 2 * MINUTE)
    assert person.ask(more, now + MINUTE) is None


def test_worse_is_told_at_once_and_once() -> None:
    """A severity that rises is told, acknowledged or not; one that falls, and one that rises back, is not."""
    person, now = Person(), T0 + MINUTE
    person.ask(incident("P3"), now)
    assert person.ask(incident("P2", acked_us=now), now + 1) == "worse"
    assert person.ask(incident("P2"), now + 2) is None
    assert person.ask(incident("P3"), now + 3) is None
    assert person.ask(incident("P2"), now + 4) is None
    assert person.ask(incident("P1"), now + 5) == "worse"


@pytest.mark.parametrize("severity", ["P1", "P2"])
def test_a_reminder_comes_while_nobody_is_at_it_and_harm_goes_on(severity: str) -> None:
    """P1 is told again after an hour and P2 after a day, again and again, until somebody acknowledges."""
    person, now, wait = Person(), T0 + MINUTE, REMIND_US[severity]
    assert person.ask(incident(severity), now, True) == "opened"
    assert person.ask(incident(severity), now + wait - 1, True) is None
    assert person.ask(incident(severity), now + wait, True) == "still"
    assert person.ask(incident(severity), now + wait + 1, True) is None
    assert person.ask(incident(severity), now + 2 * wait, True) == "still"
    assert person.ask(incident(severity, acked_us=now), now + 3 * wait, True) is None
    assert len({*person.told}) == 3


def test_p3_is_never_told_again() -> None:
    """A P3 has no reminder, however long it lasts."""
    person = Person()
    heard = [person.ask(incident("P3"), T0 + h * HOUR, True) for h in range(1, 24 * 7)]
    assert heard[0] == "opened"
    assert set(heard[1:]) == {None}


def test_no_reminder_when_harm_is_over() -> None:
    """Where harm is over nobody is reminded; the question is put again an interval later."""
    person, now = Person(), T0 + MINUTE
    person.ask(incident(), now)
    assert person.ask(incident(), now + HOUR, False) == "quiet"
    assert person.ask(incident(), now + HOUR + MINUTE, True) is None
    assert person.ask(incident(), now + 2 * HOUR, True) == "still"


def test_further_signals_are_harm_that_goes_on() -> None:
    """A signal since the last message is enough for a reminder, where nothing else is known."""
    person, now = Person(), T0 + MINUTE
    person.ask(incident(), now)
    assert person.ask(incident(last_signal_us=T0 + 40 * MINUTE), now + HOUR, False) == "still"
    assert person.ask(incident(last_signal_us=T0 + 40 * MINUTE), now + 2 * HOUR, False) == "quiet"


def test_what_cannot_be_told_is_not_over() -> None:
    """Without an answer a late page is a page and a reminder is a reminder, both marked as unsure; a known answer is not."""
    for told, now, reason in (([], T0 + LATE_US + 1, "opened"), (["opened"], T0 + 2 * HOUR, "still")):
        person = Person()
        for _ in told:
            person.ask(incident(), T0)
        found = [
            due(incident(), list(person.told.values()), now_us=now, goes_on=lambda seen=seen: seen)
            for seen in (None, True)
        ]
        assert [(n.reason, n.sure, n.quiet) for n in found if n] == [(reason, False, False), (reason, True, False)]


@pytest.mark.parametrize(
    ("came", "usual", "share", "answer"),
    [
        (0, 1000, 1.0, True),
        (150, 1000, 0.85, True),
        (1000, 1000, 0.85, False),
        (1500, 1000, 0.85, False),
        (574, 1000, 0.85, True),
        (576, 1000, 0.85, False),
        (0, 0, 1.0, None),
        (0, 30, 1.0, None),
        (0, 40, 1.0, True),
        (700, 1000, 0.1, None),
    ],
)
def test_traffic_is_missing_until_half_of_the_fall_is_made_up(came, usual, share, answer) -> None:
    """Half of the fall decides; where that is within the noise of a count, or nothing is usual, nobody can tell."""
    assert still_missing(came, usual, share) is answer


def test_fewer_rows_tell_less_about_traffic() -> None:
    """The same interactions by rows that each stand for fifty are within the noise where every row is one they are not."""
    assert still_missing(150, 1000, 0.85) is True
    assert still_missing(150, 1000, 0.85, 50.0) is None
    assert still_missing(15_000, 100_000, 0.85, 50.0) is True


@pytest.mark.parametrize("state", ["stabilised", "diagnosed", "recovered"])
def test_no_reminder_once_somebody_works_on_it(state: str) -> None:
    """Only an open incident is told again; any other state shows that somebody is at it."""
    person = Person()
    person.ask(incident(), T0)
    assert person.ask(incident(state=state), T0 + 5 * HOUR, True) is None


def test_what_is_learned_late_and_over_is_no_page() -> None:
    """A last signal more than six hours old is told in the low tone, once; more than eight days old, not at all."""
    person = Person()
    assert person.ask(incident(), T0 + LATE_US + 1, False) == "late"
    assert person.ask(incident(), T0 + LATE_US + HOUR, True) is None
    assert Person().ask(incident(), T0 + LATE_US, False) == "opened"
    assert Person().ask(incident(), T0 + OLD_US + 1, True) is None


def test_what_is_learned_late_and_goes_on_is_a_page() -> None:
    """Harm that goes on is told as a page however late it was learned, and so is one that speaks again after the low tone."""
    assert Person().ask(incident(), T0 + LATE_US + 1, True) == "opened"
    person = Person()
    person.ask(incident(), T0 + LATE_US + 1, False)
    assert person.ask(incident(last_signal_us=T0 + LATE_US + HOUR), T0 + LATE_US + 2 * HOUR) == "opened"


def test_the_close_is_told_to_those_who_were_told() -> None:
    """One message when it is closed, and none to a channel that never heard of it."""
    person, closed = Person(), incident(state="closed", closed_us=T0 + HOUR, closed_why="over")
    assert person.ask(closed, T0 + HOUR) is None
    person.ask(incident(), T0 + MINUTE)
    assert person.ask(closed, T0 + HOUR) == "closed"
    assert person.ask(closed, T0 + 2 * HOUR) is None
    assert Person(state="failed").ask(closed, T0 + HOUR) is None


def test_a_failure_is_tried_again_with_growing_waits() -> None:
    """The first retry comes within a minute, each wait is as stated, and after the 24th attempt it is a day."""
    person, now, tries = Person(state="failed"), T0, []
    while now < T0 + 100 * HOUR:
        if person.ask(incident(last_signal_us=now), now) is not None:
            tries.append(now)
        now += MINUTE // 2
    waits = [b - a for a, b in pairwise(tries)]
    assert tuple(waits[: len(RETRY_US)]) == RETRY_US
    assert set(waits[len(RETRY_US) : MOST_ATTEMPTS - 1]) == {RETRY_US[-1]}
    assert waits[MOST_ATTEMPTS - 1 :] == [AGAIN_US] * 3
    assert max(d.attempt for d in person.told.values()) == MOST_ATTEMPTS + 3


def test_a_channel_that_is_repaired_hears_of_what_goes_on() -> None:
    """After days of failures the page arrives within a day of the repair; of what is closed meanwhile nothing is told."""
    for about, told in ((incident(last_signal_us=T0 + 90 * HOUR), ["opened"]), (incident(state="closed"), [])):
        person = Person(state="failed")
        for k in range(80 * 60):
            person.ask(incident(last_signal_us=T0 + k * MINUTE), T0 + k * MINUTE)
        person.state, person.heard = "sent", []
        for k in range(80 * 60, 104 * 60):
            person.ask(about, T0 + k * MINUTE, False)
        assert [reason for _, reason in person.heard] == told


def test_what_was_given_up_does_not_hold_up_what_is_worse() -> None:
    """While a reminder that failed for a day waits for the next, a severity that rises is told within the hour."""
    person = Person()
    person.ask(incident("P2"), T0)
    person.state, now = "failed", T0 + REMIND_US["P2"]
    while max(d.attempt for d in person.told.values()) < MOST_ATTEMPTS:
        person.ask(incident("P2"), now, True)
        now += MINUTE
    person.state, start = "sent", now
    while person.ask(incident("P1"), now, True) != "worse":
        now += MINUTE
    assert now - start <= HOUR


def test_what_may_have_arrived_is_not_repeated_but_followed_up() -> None:
    """An unknown outcome is followed by one message that says so, unless it was acknowledged; never by the same message."""
    person = Person(state="unknown")
    assert person.ask(incident("P3"), T0) == "opened"
    assert person.ask(incident("P3"), T0 + UNSURE_US - 1) is None
    assert person.ask(incident("P3"), T0 + UNSURE_US) == "unsure"
    assert [person.ask(incident("P3"), T0 + h * HOUR, True) for h in range(1, 5)] == [None] * 4
    other = Person(state="unknown")
    other.ask(incident(), T0)
    assert other.ask(incident(acked_us=T0 + 1), T0 + UNSURE_US) is None


def test_nothing_is_due_while_a_message_is_under_way() -> None:
    """Until it is known how a message ended, the same channel hears nothing more of the incident."""
    person = Person(state="sending")
    assert person.ask(incident("P3"), T0) == "opened"
    assert person.ask(incident("P1"), T0 + 9 * HOUR, True) is None


@given(
    steps=st.lists(
        st.tuples(
            st.integers(1, 90),
            st.sampled_from(["P1", "P2", "P3"]),
            st.sampled_from(["sent", "failed", "unknown"]),
            st.sampled_from([True, False, None]),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_no_message_arrives_twice(steps) -> None:
    """Over any course of severities, outcomes, signals and pauses, no message that arrived is due again."""
    person, now, last = Person(), T0, T0
    arrived: list[str] = []
    for minutes, severity, state, seen, signals in steps:
        now += minutes * 10 * MINUTE
        last = now if signals else last
        about = incident(severity, last_signal_us=last)
        found = due(about, list(person.told.values()), now_us=now, goes_on=lambda seen=seen: seen)
        if found is None or found.quiet:
            continue
        done = replace(delivery_of(about, found, "c", now), state=state)
        assert done.id not in arrived
        person.told[done.id] = done
        if state != "failed":
            arrived.append(done.id)
