"""Laws of what is noted when a pull is read: by whom, when first, and what an incident's timeline is told of it."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from andon.incidents import Incident
from andon.incidents.run import timeline_of
from andon.levers import FirstRead, Lever, Pull
from andon.levers.run import Board, declare, hold
from andon.levers.run.telling import Readers, note_first_reads
from andon.store import Ledger

T0 = 1_790_000_000_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND
LEVER = Lever(id="model.version", kind="string", default="new", safe="old", app="bot")


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory with a declared lever."""
    ledger = Ledger("sqlite://")
    declare(ledger, LEVER, T0 - HOUR, "ann")
    yield ledger
    ledger.close()


def pulled(ledger: Ledger, at_us: int = T0, key: str = LEVER.id, **more: Any) -> Pull:
    """A hold of four hours."""
    fields: dict[str, Any] = {"why": "wrong doses", "by": "ann", "until_us": at_us + 4 * HOUR, "now_us": at_us}
    return hold(ledger, key, **{**fields, **more})


def read_by_bot(pull: Pull, at_us: int) -> Readers:
    """The application that the lever is for read a pull."""
    seen = Readers(lambda _: "bot")
    seen.note([{"key": LEVER.id, "metadata": {"pull": pull.id}}], "bot", at_us)
    return seen


def test_the_first_read_is_noted_once(ledger: Ledger) -> None:
    """The first answer with a pull counts, of single and bulk reads alike; answers without one are no reads of any."""
    board = Board(ledger)
    seen = Readers(board.app_of)
    board.refresh()
    seen.note(board.evaluate_all({}, T0), "bot", T0)
    seen.note([{"key": "x", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "no"}], "bot", T0)
    assert note_first_reads(ledger, seen, T0) == []
    pull = pulled(ledger)
    board.refresh()
    for late in (1_300_000, 2_000_000, 9_000_000):
        body = board.evaluate(LEVER.id, {}, T0 + late)
        assert body is not None
        seen.note([body], "bot", T0 + late)
    read = FirstRead(id=pull.id, at_us=T0 + 1_300_000)
    assert note_first_reads(ledger, seen, T0 + 9_000_000) == [read]
    assert note_first_reads(ledger, seen, T0 + 10_000_000) == []
    again = Readers(board.app_of)  # another server, or this one after a restart
    again.note(board.evaluate_all({}, T0 + HOUR), "bot", T0 + HOUR)
    assert note_first_reads(ledger, again, T0 + HOUR) == []
    assert note_first_reads(ledger, again, T0 + HOUR) == []
    assert ledger.all(FirstRead) == [read]


def test_a_ledger_that_fails_loses_no_read(ledger: Ledger) -> None:
    """What could not be written is written by the next call, with the time at which it was."""
    seen = read_by_bot(pulled(ledger), T0 + SECOND)
    real = ledger.put

    def refuse(*_: Any, **__: Any) -> int:
        raise OSError("disk")

    ledger.put = refuse  # type: ignore[method-assign]
    with pytest.raises(OSError, match="disk"):
        note_first_reads(ledger, seen, T0 + 2 * SECOND)
    ledger.put = real  # type: ignore[method-assign]
    assert [r.at_us for r in note_first_reads(ledger, seen, T0 + 3 * SECOND)] == [T0 + SECOND]


def incident(**more: Any) -> Incident:
    """An incident that was alarmed 2.9 s before T0."""
    fields: dict[str, Any] = {
        "title": "refusals rose", "app": "bot", "environment": "production", "metric": "refusal", "lead": "s1",
        "onset_us": T0 - HOUR, "onset_low_us": T0 - HOUR, "onset_high_us": T0 - HOUR, "alarmed_us": T0 - 2_900_000,
        "last_signal_us": T0,
    }  # fmt: skip
    return Incident(id="INC-0001", **{**fields, **more})


@pytest.mark.parametrize(("state", "entries"), [("open", 1), ("closed", 0)])
def test_the_timeline_is_told_of_the_first_read(ledger: Ledger, state: Any, entries: int) -> None:
    """The pull's incident is told when an application first had it, after the pull and after the alarm; a closed one is not."""
    ours = incident(state=state)
    ledger.put(ours, now_us=T0, by="andon")
    seen = read_by_bot(pulled(ledger, incident="INC-0001"), T0 + 1_300_000)
    note_first_reads(ledger, seen, T0 + 2 * SECOND)
    found = timeline_of(ledger, ours)
    assert len(found) == entries
    if found:
        assert (
            found[0].text
            == "lever model.version effective in an application 1.3 s after the pull, 4.2 s after the alarm"
        )
        assert (found[0].kind, found[0].happened_us, found[0].learned_us) == ("lever", T0 + 1_300_000, T0 + 2 * SECOND)


def test_a_renewed_hold_was_effective_before(ledger: Ledger) -> None:
    """The timeline is told of a hold once; the second pull of it is read too, but nothing became effective by that."""
    ours = incident()
    ledger.put(ours, now_us=T0, by="andon")
    for k in range(2):
        seen = read_by_bot(pulled(ledger, T0 + k * HOUR), T0 + k * HOUR + SECOND)
        note_first_reads(ledger, seen, T0 + k * HOUR + SECOND)
    assert len(ledger.all(FirstRead)) == 2
    assert len(timeline_of(ledger, ours)) == 1


def test_noting_a_read_costs_next_to_nothing() -> None:
    """A million reads a second is the order of what a note may cost; here 2 microseconds are allowed on a busy machine."""
    seen = Readers(lambda _: "bot")
    bodies = [{"key": "x", "metadata": {"pull": f"pull-x-{k:05d}"}} for k in range(20)]
    began = time.process_time()
    for _ in range(5_000):
        seen.note(bodies, "bot", T0)
    assert (time.process_time() - began) / 100_000 < 2e-6


UNSAID, ANOTHER, APPLICATION = "a client", "nobody", "an application"


@pytest.mark.parametrize(
    ("lever_app", "said", "who"),
    [
        ("bot", "bot", APPLICATION), ("bot", "default", UNSAID), ("bot", None, UNSAID), ("bot", "", UNSAID),
        ("bot", 7, UNSAID), ("bot", {"a": 1}, UNSAID), ("bot", "other", ANOTHER), ("default", "other", APPLICATION),
        ("default", "default", APPLICATION), ("default", None, UNSAID), ("default", "", UNSAID),
    ],
)  # fmt: skip
def test_only_the_application_of_a_lever_makes_a_pull_effective(
    ledger: Ledger, lever_app: str, said: Any, who: str
) -> None:
    """A person with curl is a client that did not say what it is; another application's read of all levers is none at all."""
    ours = incident(app=lever_app)
    ledger.put(ours, now_us=T0, by="andon")
    declare(ledger, Lever(id="x", kind="boolean", default=False, safe=True, app=lever_app), T0, "ann")
    board, pull = Board(ledger), pulled(ledger, key="x", incident="INC-0001")
    board.refresh()
    seen = Readers(board.app_of)
    seen.note(board.evaluate_all({}, T0 + 1), said, T0 + 300_000)
    written = note_first_reads(ledger, seen, T0 + SECOND)
    told = [e.text.partition(" 0.3 s after the pull")[0] for e in timeline_of(ledger, ours)]
    if who == ANOTHER:
        assert (written, told) == ([], [])
    else:
        assert written == [FirstRead(id=pull.id, at_us=T0 + 300_000, by_application=who == APPLICATION)]
        effective = "effective in an application"
        assert told == [
            f"lever x {effective if who == APPLICATION else 'first given to a client that did not say what it is'}"
        ]


def test_an_application_takes_the_place_of_a_client(ledger: Ledger) -> None:
    """Who looked first with curl does not hide when it became effective; the other way round nothing is written."""
    pull = pulled(ledger)
    body = [{"key": LEVER.id, "metadata": {"pull": pull.id}}]
    seen = Readers(lambda _: "bot")
    for number, (said, read) in enumerate([(None, False), (None, None), ("bot", True), ("bot", None), (None, None)]):
        at_us = T0 + (number + 1) * SECOND
        seen.note(body, said, at_us)
        expected = [] if read is None else [FirstRead(id=pull.id, at_us=at_us, by_application=read)]
        assert note_first_reads(ledger, seen, at_us) == expected
    known = ledger.all(FirstRead)
    curl = Readers(lambda _: "bot")  # of another server
    curl.note(body, None, T0 + HOUR)
    assert note_first_reads(ledger, curl, T0 + HOUR) == []
    assert ledger.all(FirstRead) == known
