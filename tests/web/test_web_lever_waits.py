"""What the page of a lever says of a measurement that is not made yet."""

from alarms import alarm
from browsing import NOW, House

from andon.incidents import Incident
from andon.levers import FirstRead, Lever
from andon.levers.run import declare, hold

HOUR = 3_600_000_000


def test_a_hold_says_what_its_measurement_waits_for(house: House) -> None:
    """Until it is measured a hold says when it will be, and after what; without an incident or a chart, that it never will be."""
    visitor = house.visitor("viewer")
    declare(house.ledger, Lever(id="cite", kind="boolean", default=True, safe=False, app="bot"), NOW - HOUR, "Ada")
    pull = hold(house.ledger, "cite", why="a", by="Rob", until_us=NOW + 3 * HOUR, now_us=NOW)
    assert "Its effect is not measured: it answers no incident" in visitor.sees("/levers").text
    reported = Incident(
        id="INC-0001", title="wrong doses", app="bot", environment="production", metric="m", lead="", onset_us=NOW - HOUR,
        onset_low_us=NOW - HOUR, onset_high_us=NOW - HOUR, alarmed_us=NOW, last_signal_us=NOW,
    )  # fmt: skip
    house.ledger.put(reported, now_us=NOW, by="Rob")
    assert "people reported INC-0001 and no chart saw it" in visitor.sees("/levers/cite").text
    alarm(house.ledger, 1, NOW, app="bot")
    window = "a window of the chart (5 min) after "
    for path in ("/levers", "/levers/cite"):
        assert f"{window}the pull" in visitor.sees(path).text, path
    house.ledger.put(FirstRead(id=pull.id, at_us=NOW + 2_000_000), now_us=NOW, by="andon")
    assert f"{window}it was first read" in visitor.sees("/levers").text
    house.now = NOW + 302_000_000
    assert "The time to measure its effect has come" in visitor.sees("/levers").text
