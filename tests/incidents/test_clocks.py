"""Laws of the phases of an incident, and of what is next in it."""

from dataclasses import replace

import pytest
from test_triage import HOUR, T0, signal

from andon.incidents import Delivery, ExitCriterion, Incident, Recovery, Step, open_incident
from andon.incidents.clocks import clocks_of
from andon.incidents.states import next_act, what_next


@pytest.fixture
def opened() -> Incident:
    """An incident that a chart opened."""
    return open_incident(1, [signal("a")])


def test_phases_come_in_their_order_and_name_only_what_is_known(opened: Incident) -> None:
    """Each phase stands once, in the order of an incident; what was not reached has no time; told is there once somebody was."""
    found = clocks_of(opened, visible_us=None, told=None)
    names = [c.name for c in found]
    assert names == [
        "began",
        "first visible",
        "alarmed",
        "noticed",
        "stabilised",
        "diagnosed",
        "fixed",
        "recovered",
        "closed",
    ]
    assert [c.name for c in found if c.at_us is not None] == ["began", "alarmed"]
    told = Delivery(
        id="d",
        incident=opened.id,
        reason="opened",
        channel="chat",
        severity="P1",
        signal_us=T0,
        at_us=T0 + HOUR,
        state="sent",
    )
    after = clocks_of(opened, visible_us=T0, told=told)
    assert next(c for c in after if c.name == "first told").at_us == T0 + HOUR


def test_a_report_is_not_an_alarm(opened: Incident) -> None:
    """What people reported was reported, not alarmed."""
    assert "reported" in [c.name for c in clocks_of(replace(opened, origin="report"), visible_us=None, told=None)]


def test_what_is_next_follows_what_was_reached(opened: Incident) -> None:
    """Harm is stopped first, then the cause is found and taken away, then steps are taken and measured, then it is closed."""
    plan = Recovery(id=opened.id)
    at = opened
    seen = [next_act(at, plan)]
    for milestone in ("stabilised", "diagnosed", "fixed"):
        at = replace(at, **{f"{milestone}_us": T0})
        seen.append(next_act(at, plan))
    assert seen == ["stop", "diagnose", "fix", "wait"]
    step = replace(plan, steps=(Step(id="S1", text="a tenth", check="an hour"),))
    assert next_act(at, step) == "step"
    check = replace(plan, criteria=(ExitCriterion(id="C1", kind="check", text="look"),))
    assert next_act(at, check) == "measure"
    over = replace(at, recovered_us=T0)
    assert next_act(over, plan) == "close"
    assert next_act(replace(over, state="closed"), plan) == "nothing"
    said = replace(opened, lead="", metric="", origin="near miss")
    assert next_act(replace(said, fixed_us=T0), plan) == "look"
    assert next_act(said, plan) == "diagnose"
    assert "ack" in what_next(opened, plan)
    assert "S1" in what_next(at, step)
