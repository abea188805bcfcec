"""Laws of what a service does with open incidents between two signals: follow, tell, freeze, look again."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_loop_laws import START_US, _loop, _traffic

from andon.changes import Change
from andon.changes.run import record_change
from andon.incidents import Incident, Message, RunbookState, message_of
from andon.incidents.run import timeline_of
from andon.incidents.run.recovery import recovery_of, see_exit_check
from andon.incidents.run.reports import receive_report
from andon.investigations import Investigation
from andon.loop import Loop
from andon.postmortems.records import Criterion
from andon.postmortems.run.actions import add_action
from andon.server import loop_work, now_us
from andon.traffic.run import record

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
END_US = START_US + 5 * HOUR_US


class Heard:
    """A channel that keeps the titles of what it is told."""

    name = "chat"

    def __init__(self) -> None:
        self.titles: list[str] = []

    def send(self, message: Message) -> None:
        self.titles.append(message.title)


def reported(loop: Loop, at_us: int = END_US) -> Incident:
    """An incident that a person reported: its one criterion is that a person looks again."""
    receive_report(loop.warehouse, loop.ledger, "a wrong dose", app="shop", by="mia", now_us=at_us)
    return state_of(loop)


def state_of(loop: Loop) -> Incident:
    """The one incident, as it is now."""
    (incident,) = loop.ledger.all(Incident)
    return incident


def test_an_open_incident_is_followed(tmp_path: Path) -> None:
    """Its timeline grows at every turn; once its exit criteria are met it recovers, at the next measurement, one an hour."""
    loop = _loop(tmp_path)
    incident = reported(loop)
    at_us = END_US + MINUTE_US
    change = Change(id="c", at_us=END_US - HOUR_US, kind="prompt", title="prompt v8", app="shop")
    loop.follow(at_us)
    record_change(loop.ledger, change, now_us=at_us + 1, by="ann")
    see_exit_check(loop.ledger, incident, "C1", "the dose is right", now_us=at_us + 1, by="mia")
    loop.follow(at_us + HOUR_US - 1)
    assert any("prompt v8" in e.text for e in timeline_of(loop.ledger, incident))
    assert state_of(loop).recovered_us is None
    loop.follow(at_us + HOUR_US)
    assert state_of(loop).state == "recovered"
    loop.close()


def test_overdue_actions_are_told(tmp_path: Path) -> None:
    """`tell` says which actions are overdue, once a week, beside what it says of incidents."""
    loop, heard = _loop(tmp_path), Heard()
    late = END_US + 40 * DAY_US
    add_action(
        loop.ledger, reported(loop), "a drill", kind="process", owner="ann",
        criterion=Criterion(kind="lever exists", subject="answers"), now_us=END_US, by="ann",
    )  # fmt: skip
    for at_us in (END_US + HOUR_US, late, late + DAY_US):
        loop.tell([heard], at_us)
    loop.close()
    assert len([t for t in heard.titles if "overdue" in t]) == 1


def test_a_turn_of_the_service_tells_and_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the turn itself fails, people are told of incidents and these are followed."""
    loop, heard = _loop(tmp_path), Heard()
    incident = reported(loop, now_us())
    monkeypatch.setattr("andon.server.crank.TICK_S", 0.01)
    monkeypatch.setattr(loop, "tick", lambda _: 1 / 0)
    (turn,) = (w for w in loop_work(loop, loop.settings, [heard]) if w.name == "loop")
    turn.start()
    until = time.monotonic() + 30
    while not recovery_of(loop.ledger, incident).criteria and time.monotonic() < until:
        time.sleep(0.01)
    turn.stop()
    assert heard.titles == [message_of(incident, "opened", now_us=0).title]
    assert [c.id for c in recovery_of(loop.ledger, incident).criteria] == ["C1"]
    loop.close()


def test_evidence_is_frozen_before_a_lever_moves(
    type_: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`andon lever hold` freezes what is known of open incidents first, and again when that is more than an hour old."""
    loop = _loop(tmp_path / "home")
    reported(loop)
    loop.close()
    type_("lever", "declare", "answers", "--default", "true", "--safe", "false")
    said = []
    for minutes in (1, 60, 122):
        monkeypatch.setattr("andon.cli.levers.now_us", lambda at=END_US + minutes * MINUTE_US: at)
        code, out, err = type_("lever", "hold", "answers", "--why", "harm", "--for", "10m")
        assert code == 0, err
        said.append("evidence of INC-0001 is frozen already" not in out)
    assert said == [True, False, True]


def test_a_store_that_rests_says_the_same_tomorrow(tmp_path: Path) -> None:
    """Without new traffic a look a day later has the same answers and the same time: the end of what is known."""
    loop = _loop(tmp_path)
    record(loop.warehouse, _traffic())
    loop.tick(END_US)
    found = []
    for at_us in (END_US, END_US + DAY_US):
        loop.look_into(state_of(loop), at_us)
        found.append(loop.ledger.get(Investigation, "INC-0001"))
    loop.close()
    assert found[0] == found[1]
    assert found[0].at_us == START_US + 4 * HOUR_US


def test_a_store_that_rests_is_frozen_once(tmp_path: Path) -> None:
    """Evidence that holds all that is known is not frozen again, however long ago it was."""
    loop = _loop(tmp_path)
    record(loop.warehouse, _traffic())
    loop.tick(END_US)
    frozen = [loop.freeze("shop", END_US + hours * HOUR_US) for hours in (0, 2, 50)]
    loop.close()
    assert frozen == [[], [], []]


def test_a_look_answers_the_runbook_as_of_now(tmp_path: Path) -> None:
    """Traffic may rest for hours: what the ledger knows of levers and people is asked as of the clock, not of the traffic."""
    loop = _loop(tmp_path)
    record(loop.warehouse, _traffic())
    loop.tick(END_US)
    loop.look_into(state_of(loop), END_US + DAY_US)
    (state,) = loop.ledger.all(RunbookState)
    loop.close()
    assert {e.item: e.at_us for e in state.entries}["held"] == END_US + DAY_US
