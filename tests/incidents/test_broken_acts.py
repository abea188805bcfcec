"""Laws of what people do to incidents where it breaks off: done again, it stands in the timeline once, as at the first time."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from breaking import FailingLedger
from test_triage import HOUR, T0, signal

from andon.errors import StateError, StoreError
from andon.incidents import Incident, Recovery, TimelineEvent
from andon.incidents.run import (
    ack_incident,
    add_exit_criterion,
    add_recovery_step,
    close_incident,
    do_recovery_step,
    drop_exit_criterion,
    mark_incident,
    measure_recovery,
    overrule_incident,
    respond,
    see_exit_check,
    timeline_of,
)
from andon.store import Ledger, Warehouse

DAY = 24 * HOUR

Act = Callable[[Warehouse, Ledger, Incident, int], Any]


def person(act: Callable[..., Any], *args: Any, **fields: Any) -> Act:
    """Something that ann does."""
    return lambda _, ledger, incident, now_us: act(ledger, incident, *args, **fields, by="ann", now_us=now_us)


def close(store: Warehouse, ledger: Ledger, incident: Incident, now_us: int) -> None:
    """Ann closes it, should it not be closed."""
    with suppress(StateError):
        close_incident(store, ledger, incident, "noise", now_us=now_us, by="ann", ending="false alarm")


def measure(store: Warehouse, ledger: Ledger, incident: Incident, now_us: int) -> None:
    """Exit criteria are measured, as each hour."""
    measure_recovery(store, ledger, incident, now_us=now_us)


def reported(_: Warehouse, ledger: Ledger, incident: Incident, now_us: int) -> None:
    """It is an incident that no chart leads, so that what people see is enough."""
    ledger.put(replace(incident, lead="", origin="report"), now_us=now_us, by="andon")


def unmeet(_: Warehouse, ledger: Ledger, incident: Incident, now_us: int) -> None:
    """What a person saw was not so."""
    plan = ledger.get(Recovery, incident.id)
    assert plan is not None
    ledger.put(replace(plan, criteria=tuple(replace(c, met=False) for c in plan.criteria)), now_us=now_us, by="andon")


CHECK = person(add_exit_criterion, "the index is whole")
STEP = person(add_recovery_step, "let a tenth in", "the rate stays")
OTHER = person(add_recovery_step, "let all in", "the rate stays")
SEEN = person(see_exit_check, "C1", "it is")
SUPPOSED = person(mark_incident, "stabilised", "a lever is held", at_us=T0)
RECOVERED = [reported, CHECK, SEEN, measure]

ACTS: dict[str, tuple[list[Act], Act]] = {
    "acknowledged": ([], person(ack_incident)),
    "marked": ([], SUPPOSED),
    "corrected": ([SUPPOSED], person(mark_incident, "stabilised", "it was later", at_us=T0 + HOUR)),
    "overruled": ([], person(overrule_incident, "severity", "P1", "children are harmed")),
    "class overruled": ([], person(overrule_incident, "impact", "safety", "children are harmed")),
    "overruled twice": (
        [person(overrule_incident, "severity", "P1", "children are harmed")],
        person(overrule_incident, "severity", "P3", "they are not"),
    ),
    "closed": ([], close),
    "criterion added": ([], CHECK),
    "second criterion added": ([CHECK, measure], person(add_exit_criterion, "the vendor says so")),
    "criterion dropped": ([CHECK, STEP, CHECK], person(drop_exit_criterion, "C2", "not of this one")),
    "criterion checked": ([CHECK], SEEN),
    "step planned": ([STEP], OTHER),
    "step done": ([STEP, OTHER], person(do_recovery_step, "S1", "it stayed")),
    "recovered": (RECOVERED[:-1], measure),
    "not recovered after all": ([*RECOVERED, unmeet], measure),
}


def left(ledger: Ledger, *, clocks: bool) -> list[Any]:
    """What a ledger holds in the end; without clocks as it would be whenever each act was done."""
    incident = ledger.all(Incident)[0]
    told = timeline_of(ledger, incident)
    plan = ledger.get(Recovery, incident.id)
    if clocks:
        return [ledger.history(Incident), ledger.history(Recovery), ledger.history(TimelineEvent), told]
    said = sorted((e.kind, e.text, e.by) for e in told)
    return [said, incident.state, len(ledger.history(Incident)), plan and len(plan.criteria), plan and len(plan.steps)]


def done(
    warehouse: Warehouse, name: str, fails_at: int | None = None, *, writes: bool = False, later_us: int = 0
) -> tuple[list[Any], int]:
    """What is left of an act, and its number of puts; broken off at one of them and done again, at once or later."""
    ledger = FailingLedger()
    ledger.put(signal("a"), now_us=T0, by="andon")
    respond(ledger, [signal("a")])
    earlier, act = ACTS[name]
    now_us = T0 + 2 * DAY
    for k, before in enumerate(earlier):
        before(warehouse, ledger, ledger.all(Incident)[0], now_us + k)
    now_us += DAY
    start = ledger.puts
    if fails_at is not None:
        ledger.fails_at, ledger.writes = start + fails_at, writes
        with pytest.raises(StoreError, match="failed over"):
            act(warehouse, ledger, ledger.all(Incident)[0], now_us)
    act(warehouse, ledger, ledger.all(Incident)[0], now_us + (later_us if fails_at is not None else 0))
    found = left(ledger, clocks=not later_us), ledger.puts - start
    if later_us == 0:
        assert left(ledger, clocks=True) == found[0]
    ledger.close()
    return found


@pytest.mark.parametrize("later_us", [0, HOUR])
@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("name", ACTS)
def test_an_act_that_broke_off_is_told_once(
    store: tuple[Warehouse, Ledger], name: str, writes: bool, later_us: int
) -> None:
    """Whichever write fails, the act done again leaves what an undisturbed one leaves: an entry is never missing or there twice."""
    whole, puts = done(store[0], name, later_us=later_us)
    assert puts >= 2
    for k in range(puts - writes):  # where the last one was written, nothing is missing but the answer
        assert done(store[0], name, k, writes=writes, later_us=later_us)[0] == whole, f"write {k + 1} of {puts}"


def test_the_same_said_again_is_another_act(store: tuple[Warehouse, Ledger]) -> None:
    """What was told is not taken for broken off: another step of the same words is another step, another reason another mark."""
    ledger = FailingLedger()
    ledger.put(signal("a"), now_us=T0, by="andon")
    (incident,) = respond(ledger, [signal("a")])
    for k in range(2):
        for act in (STEP, SUPPOSED, CHECK):
            act(store[0], ledger, incident, T0 + DAY + k)
    plan = ledger.get(Recovery, incident.id)
    assert plan is not None
    assert ([s.id for s in plan.steps], [c.id for c in plan.criteria]) == (["S1", "S2"], ["C1", "C2"])
    mark_incident(ledger, incident, "stabilised", "seen again", at_us=T0, now_us=T0 + 2 * DAY, by="ann")
    told = [e.text for e in timeline_of(ledger, incident) if e.text.startswith("stabilised")]
    assert told == ["stabilised: a lever is held", "stabilised: seen again"]
    ledger.close()


def test_who_measures_after_a_turn_that_broke_off_tells_why_it_is_not_over(store: tuple[Warehouse, Ledger]) -> None:
    """Harm that signalled again ended the recovery and broke off: the measurement tells that, and no reason of its own."""
    ledger = FailingLedger()
    ledger.put(signal("a"), now_us=T0, by="andon")
    respond(ledger, [signal("a")])
    for k, act in enumerate(RECOVERED):
        act(store[0], ledger, ledger.all(Incident)[0], T0 + HOUR + k)
    back = signal("b", at_us=T0 + 2 * HOUR)
    ledger.put(back, now_us=back.at_us, by="andon")
    ledger.fails_at = ledger.puts + 2  # the cursor, the incident, the entry
    with pytest.raises(StoreError):
        respond(ledger, [back])
    (incident,) = ledger.all(Incident)
    assert incident.recovered_us is None
    for _ in range(2):
        measure(store[0], ledger, incident, T0 + 3 * HOUR)
    told = [e.text for e in timeline_of(ledger, incident) if "not recovered" in e.text]
    assert told == ["not recovered after all: harm signals again"]
    ledger.close()


def test_what_is_seen_again_is_told_again(store: tuple[Warehouse, Ledger]) -> None:
    """A measurement that the same person asked for is not taken for a check that broke off."""
    ledger = FailingLedger()
    ledger.put(signal("a"), now_us=T0, by="andon")
    (incident,) = respond(ledger, [signal("a")])
    CHECK(store[0], ledger, incident, T0 + HOUR)
    SEEN(store[0], ledger, incident, T0 + 2 * HOUR)
    plan = ledger.get(Recovery, incident.id)
    assert plan is not None
    measured = replace(plan, criteria=tuple(replace(c, at_us=T0 + 3 * HOUR) for c in plan.criteria))
    ledger.put(measured, now_us=T0 + 3 * HOUR, by="ann")
    SEEN(store[0], ledger, incident, T0 + 4 * HOUR)
    told = [e.happened_us for e in timeline_of(ledger, incident) if "is met" in e.text]
    assert told == [T0 + 2 * HOUR, T0 + 4 * HOUR]
    ledger.close()
