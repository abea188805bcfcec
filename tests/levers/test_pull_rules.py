"""Laws of pulls by written rules: when a rule pulls, what it never does, and what it says."""

import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruled import BREAKER, BUDGET, DAY, HOUR, MINUTE, PROBED, REFUSED, SEARCH, T0, World, rules

from andon.changes import Change
from andon.evals import Probed
from andon.incidents import Incident
from andon.incidents.run.timeline import Attached
from andon.levers import GateResult, Lever, Pull
from andon.levers.rule_tables import check_rules
from andon.levers.rules import Counted, Grounds, PullRefused, counted_from_us, due_pulls
from andon.levers.run import add_version, approve_version, hold, note_gate, release
from andon.monitors import Signal
from andon.store import Plan


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fresh world."""
    made = World(tmp_path / "warehouse")
    yield made
    made.ledger.close()
    made.warehouse.close()


def test_a_breaker_trips_above_its_limit_once_enough_came(world: World) -> None:
    """Nineteen failures say nothing, the twentieth interaction trips it; the pull says who, by what rule, and the figures."""
    world.traffic(19, T0, values={"error": 1.0})
    assert world.pull(T0 + MINUTE, BREAKER) is None
    world.traffic(1, T0, values={"error": 0.0})
    pull = world.pull(T0 + MINUTE, BREAKER)
    assert pull is not None
    assert (pull.lever, pull.value, pull.rule, pull.by) == ("tools.search", False, "breaker", "rule breaker of jo")
    assert pull.until_us - pull.at_us == 10 * MINUTE
    assert "95 % of 20 interactions in the last 5 min; the limit is 50 %" in pull.why
    (change,) = world.ledger.all(Change)
    assert (change.own, change.author, change.before, change.after) == (True, pull.by, "true", "false")
    assert world.turn(T0 + 2 * MINUTE, BREAKER) == []


def test_a_rate_at_the_limit_or_before_the_window_trips_nothing(world: World) -> None:
    """Exactly the limit is within it; what is older than the window, or of others, counts for nothing."""
    world.traffic(10, T0, values={"error": 1.0})
    world.traffic(10, T0, values={"error": 0.0})
    others: list[dict[str, Any]] = [{"app": "shop"}, {"environment": "staging"}, {"source": "probe"}]
    for other in others:
        world.traffic(100, T0, values={"error": 1.0}, **other)
    world.traffic(100, T0 - 6 * MINUTE, values={"error": 1.0})
    assert world.pull(T0, BREAKER) is None
    assert world.pull(T0, {**BREAKER, "above": 0.49}) is not None


def test_a_breaker_looks_at_its_part_of_the_traffic(world: World) -> None:
    """With `where`, `app` and `environment` it counts only these; without `app`, the application of its lever."""
    high: dict[str, Any] = {"risk_category": "high"}
    world.traffic(20, T0, values={"error": 1.0}, app="shop", environment="staging", **high)
    world.traffic(60, T0, values={"error": 0.0}, app="shop", environment="staging")
    there = {**BREAKER, "app": "shop", "environment": "staging"}
    assert world.pull(T0, BREAKER) is None
    assert world.pull(T0, there) is None
    pull = world.pull(T0, {**there, "where": high})
    assert pull is not None
    assert pull.environment == "staging"
    assert world.held("tools.search", T0) is None


def test_sampling_weights_count(world: World) -> None:
    """A row that stands for fifty weighs fifty in rates and sums; whether enough came is asked of the effective number.

    Ten of weight 50 and thirty of weight 1 say as much as 11.2 of equal weight (Kish: 530^2 / 25,030).
    """
    world.traffic(10, T0, weight=50.0, values={"error": 0.0, "cost_usd": 0.5})
    world.traffic(30, T0, weight=1.0, values={"error": 1.0, "cost_usd": 0.5})
    world.traffic(90, T0, weight=1e6, values={"latency_s": 1.0})  # has no such value
    assert world.pull(T0, {**BREAKER, "above": 0.06, "least": 11}) is None
    assert world.pull(T0, {**BREAKER, "above": 0.05, "least": 12}) is None
    tripped = world.pull(T0, {**BREAKER, "above": 0.05, "least": 11})
    assert tripped is not None
    assert "5.66 % of 40 interactions that stand for 530" in tripped.why
    assert world.pull(T0, {**BUDGET, "total": 266}) is None
    spent = world.pull(T0, {**BUDGET, "total": 265})
    assert spent is not None
    assert "cost_usd adds up to 265 in" in spent.why


def test_harm_is_counted_whichever_way_it_lies(world: World) -> None:
    """Of a metric whose low values harm, the share of low ones is its rate; of a number, the mean is looked at."""
    world.traffic(30, T0, values={"citation_valid": 0.0, "latency_s": 9.0})
    world.traffic(10, T0, values={"citation_valid": 1.0, "latency_s": 1.0})
    cited = {**BREAKER, "metric": "citation_valid", "above": 0.7}
    assert world.pull(T0, {**cited, "above": 0.76}) is None
    pull = world.pull(T0, cited)
    assert pull is not None
    assert "75 % of 40" in pull.why
    slow = {**BREAKER, "lever": "routing", "metric": "latency_s", "above": 6.9}
    assert world.pull(T0, {**slow, "above": 7.0}) is None
    late = world.pull(T0, slow)
    assert late is not None
    assert "latency_s is 7 on average" in late.why


def test_the_end_of_a_hold_is_a_try(world: World) -> None:
    """After a breaker's hold has expired only new traffic counts; a trip soon after holds twice as long, up to a day."""
    now, lengths = T0, list[int]()
    (rule,) = rules(BREAKER)
    for _ in range(10):
        world.traffic(20, now, values={"error": 1.0})
        pull = world.pull(now, BREAKER)
        assert pull is not None
        lengths.append((pull.until_us - pull.at_us) // MINUTE)
        world.traffic(50, pull.until_us - 1, values={"error": 1.0})
        assert world.turn(pull.until_us - 1, BREAKER) == []
        # also where nobody has written down yet that it expired
        assert counted_from_us(rule, world.ledger.all(Pull), pull.until_us) == pull.until_us
        assert world.turn(pull.until_us, BREAKER) == []
        now = pull.until_us + MINUTE
    assert lengths == [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]


def test_a_trip_long_after_the_last_one_holds_as_written(world: World) -> None:
    """Twice the last hold without a trip, and the next one is not in a row."""
    world.traffic(20, T0, values={"error": 1.0})
    first = world.pull(T0, BREAKER)
    assert first is not None
    later = first.until_us + 20 * MINUTE + 1
    world.traffic(20, later, values={"error": 1.0})
    second = world.pull(later, BREAKER)
    assert second is not None
    assert second.until_us - second.at_us == 10 * MINUTE


def test_a_budget_holds_until_its_window_has_room(world: World) -> None:
    """The hold is renewed in its last tenth while the sum is at the limit, and ends once what was spent is old enough."""
    world.traffic(5, T0, values={"cost_usd": 100.0})
    first = world.pull(T0, BUDGET)
    assert first is not None
    now, held = T0, 0
    while now < T0 + 27 * HOUR:
        now += 5 * MINUTE
        world.turn(now, BUDGET)
        held += world.held("routing", now) is not None
    assert world.held("routing", now) is None
    assert 24 * 12 <= held <= 25 * 12
    assert len({p.until_us - p.at_us for p in world.ledger.all(Pull)}) == 1
    world.traffic(5, now, values={"cost_usd": 99.0})
    assert world.pull(now, BUDGET) is None
    world.traffic(1, now, values={"cost_usd": 5.0})
    assert world.pull(now, BUDGET) is not None


def test_a_hold_that_expired_does_not_open_a_budget_anew(world: World) -> None:
    """Where nobody renewed the hold (the service was away), what was spent still counts within its window."""
    world.traffic(5, T0, values={"cost_usd": 100.0})
    assert world.pull(T0, BUDGET) is not None
    again = world.pull(T0 + 10 * HOUR, BUDGET)
    assert again is not None
    assert again.at_us == T0 + 10 * HOUR


def test_a_signal_pulls_in_its_incident(world: World) -> None:
    """A page of the metric, within the part and app that are named, holds the lever, with the signal's figures and incident."""
    high = {"scope": {"risk_category": "high", "task": "dose"}}
    rule = {**REFUSED, "where": {"risk_category": "high"}, "trade_off": "old answers"}
    world.signal(T0, metric="error", **high)
    world.signal(T0 + 1, scope={"risk_category": "low"})
    world.signal(T0 + 2, level="warning", **high)
    world.signal(T0 + 3, app="shop", **high)
    assert world.pull(T0 + 4, rule) is None
    world.signal(T0 + 5, direction="down", **high)
    pull = world.pull(T0 + 6, rule)
    assert pull is not None
    (incident,) = (i for i in world.ledger.all(Incident) if i.app == "bot")
    assert (pull.incident, pull.value, pull.trade_off) == (incident.id, "small", "old answers")
    assert "30 %" in pull.why
    assert "(30 of 100)" in pull.why
    assert pull.exit == f"{incident.id} has recovered"


def test_a_signal_of_a_probe_is_not_one_of_people(world: World) -> None:
    """Errors of probes do not trip a rule about the errors of people's traffic."""
    world.signal(T0, metric="error", scope={"source": "probe", "segment": "weekly"})
    assert world.pull(T0 + 1, {**REFUSED, "signal": "error"}) is None


def test_what_a_person_released_is_not_pulled_again_for_the_same_cause(world: World) -> None:
    """Not by this rule, nor by another one of the lever, nor for another chart that rose before; a later rise pulls again."""
    other = {**REFUSED, "name": "another"}
    world.signal(T0)
    assert world.pull(T0, REFUSED, other) is not None
    release(world.ledger, "routing", why="we have it", by="ann", now_us=T0 + 30 * MINUTE)
    late = world.signal(T0 + 31 * MINUTE, scope={"task": "dose"}, onset_us=T0 + 29 * MINUTE)
    for now in (T0 + 31 * MINUTE, T0 + 60 * MINUTE):
        assert world.turn(now, REFUSED, other, fresh=[late]) == []
    world.signal(T0 + 2 * HOUR, scope={"task": "law"}, onset_us=T0 + HOUR)
    assert world.pull(T0 + 2 * HOUR, REFUSED, other) is not None


def test_a_release_before_anybody_knew_decides_nothing(world: World) -> None:
    """A lever that was held and released in a drill, while the rise had begun and no chart had spoken, is pulled all the same."""
    hold(world.ledger, "routing", why="drill", by="ann", until_us=T0 + HOUR, now_us=T0 - 3 * MINUTE)
    release(world.ledger, "routing", why="drill", by="ann", now_us=T0 - 2 * MINUTE)
    world.signal(T0, onset_us=T0 - 5 * MINUTE)
    assert world.pull(T0, REFUSED) is not None


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_after_a_release_a_breaker_counts_what_came_since(world: World, environment: str) -> None:
    """A person's release forgets what the breaker saw; it trips again on new failures alone, for as long as written."""
    rule = {**BREAKER, "environment": environment}
    world.traffic(40, T0, values={"error": 1.0}, environment=environment)
    assert world.pull(T0, rule) is not None
    release(world.ledger, "tools.search", why="mended", by="ann", environment=environment, now_us=T0 + MINUTE)
    assert world.turn(T0 + MINUTE + 1, rule) == []
    world.traffic(20, T0 + 2 * MINUTE, values={"error": 1.0}, environment=environment)
    again = world.pull(T0 + 2 * MINUTE, rule)
    assert again is not None
    assert again.until_us - again.at_us == 10 * MINUTE
    assert "of 20 interactions since" in again.why


def test_after_a_release_a_budget_begins_anew(world: World) -> None:
    """Who releases a budget's hold allows its sum once more."""
    world.traffic(5, T0, values={"cost_usd": 100.0})
    assert world.pull(T0, BUDGET) is not None
    release(world.ledger, "routing", why="month's end", by="ann", now_us=T0 + MINUTE)
    world.traffic(4, T0 + 2 * MINUTE, values={"cost_usd": 100.0})
    assert world.pull(T0 + 3 * MINUTE, BUDGET) is None
    world.traffic(1, T0 + 3 * MINUTE, values={"cost_usd": 100.0})
    assert world.pull(T0 + 4 * MINUTE, BUDGET) is not None


def test_what_a_person_holds_is_theirs(world: World) -> None:
    """No rule supersedes a person's hold, at whatever value; when it expires and the cause stands, the rule pulls."""
    hold(world.ledger, "routing", "large", why="test", by="ann", until_us=T0 + HOUR, now_us=T0)
    world.signal(T0 + MINUTE)
    assert world.turn(T0 + 2 * MINUTE, REFUSED) == []
    held = world.held("routing", T0 + 2 * MINUTE)
    assert held is not None
    assert held.by == "ann"
    assert world.pull(T0 + HOUR, REFUSED) is not None


@pytest.mark.parametrize("harm", [True, False, None])
def test_old_harm_moves_no_lever_unless_it_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, harm: bool | None
) -> None:
    """What an import of history or an outage brings late is no reason to hold, unless harm is seen now; a fresh page always is."""
    monkeypatch.setattr("andon.levers.run.automatic.goes_on", lambda *_, **__: harm)
    world.signal(T0)
    assert (world.pull(T0 + HOUR + 1, REFUSED) is not None) == (harm is True)
    world.signal(T0 + 3 * HOUR, app="shop")
    shop = REFUSED | {"name": "of shop", "lever": "tools.search", "app": "shop"}
    assert world.pull(T0 + 4 * HOUR, shop) is not None


def test_what_a_person_takes_over_stays_theirs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who pulls over a rule's hold keeps the lever; what ends then is no release."""
    monkeypatch.setattr("andon.levers.run.automatic.goes_on", lambda *_, **__: True)
    world.signal(T0)
    assert world.pull(T0, REFUSED) is not None
    hold(world.ledger, "routing", "large", why="better", by="ann", until_us=T0 + 8 * HOUR, now_us=T0 + MINUTE)
    for now in (T0 + 2 * MINUTE, T0 + 3 * HOUR + 50 * MINUTE, T0 + 5 * HOUR):
        assert world.turn(now, REFUSED) == []
    assert world.pull(T0 + 8 * HOUR, REFUSED) is not None


def test_a_person_who_pulls_while_evidence_is_frozen_wins(world: World) -> None:
    """Freezing takes seconds; what a person does in them stands, and the rule writes nothing."""
    world.signal(T0)

    def freeze(app: str | None, now_us: int) -> list[str]:
        hold(world.ledger, "routing", "large", why="mine", by="ann", until_us=T0 + HOUR, now_us=T0 + 1)
        return []

    assert world.turn(T0, REFUSED, freeze=freeze) == []
    assert [p.by for p in world.ledger.all(Pull)] == ["ann"]


def test_a_hold_is_renewed_while_its_incident_goes_on(world: World) -> None:
    """In the last tenth of its time, and not before; once the incident has recovered or is closed it expires."""
    world.signal(T0)
    first = world.pull(T0, REFUSED)
    assert first is not None
    assert world.turn(first.until_us - 24 * MINUTE - 1, REFUSED) == []
    second = world.pull(first.until_us - 24 * MINUTE, REFUSED)
    assert second is not None
    assert (second.incident, second.value, second.rule) == (first.incident, "small", first.rule)
    assert second.until_us - second.at_us == 4 * HOUR
    assert "has not recovered" in second.why
    ended = next(p for p in world.ledger.all(Pull) if p.id == first.id)
    assert ended.released_why == f"superseded by {second.id}"
    world.incident(state="recovered", recovered_us=second.at_us)
    for now in (second.until_us - MINUTE, second.until_us, second.until_us + HOUR):
        assert world.turn(now, REFUSED) == []
    assert world.held("routing", second.until_us) is None


def test_a_release_in_the_last_tenth_is_a_release(world: World) -> None:
    """A hold that a person ended is not renewed."""
    world.signal(T0)
    first = world.pull(T0, REFUSED)
    assert first is not None
    release(world.ledger, "routing", why="done", by="ann", now_us=first.until_us - MINUTE)
    for now in (first.until_us - MINUTE // 2, first.until_us, first.until_us + DAY):
        assert world.turn(now, REFUSED) == []


def test_a_service_that_was_away_holds_again_what_stands(world: World) -> None:
    """A hold that expired while nobody could renew it is pulled again where its incident goes on, and not where it is closed."""
    world.signal(T0)
    assert world.pull(T0, REFUSED) is not None
    again = world.pull(T0 + 3 * DAY, REFUSED)
    assert again is not None
    world.incident(state="closed", closed_us=T0 + 3 * DAY)
    assert world.turn(T0 + 6 * DAY, REFUSED) == []


def test_a_late_signal_is_known_from_its_turn(world: World) -> None:
    """A signal that joined its incident after two days stands beside it; given as fresh, it pulls with this incident."""
    world.signal(T0, metric="error")
    fresh = [world.signal(T0 + k * 20 * HOUR, metric="error", direction="up", scope={"task": str(k)}) for k in (1, 2)]
    late = world.signal(T0 + 60 * HOUR)
    assert world.ledger.get(Attached, late.id) is not None
    pull = world.pull(T0 + 60 * HOUR, REFUSED, fresh=[*fresh, late])
    assert pull is not None
    assert pull.incident == "INC-0001"


def probe_run(world: World, at_us: int, passed: int, *, page: bool, kept_us: int | None = None) -> None:
    """A run of the weekly probe; one that pages has its signal, which the first incident keeps."""
    first = f"bot/production/probe_pass.down/source=probe,segment=weekly@{T0}"
    if page and world.ledger.get(Signal, first) is None:
        scope = {"source": "probe", "segment": "weekly"}
        made = world.signal(T0, metric="probe_pass", direction="down", scope=scope, harm="correctness")
        assert made.id == first
    probed = Probed(
        id="weekly", at_us=at_us, run=f"run-{at_us}", passed=passed, failed=50 - passed,
        signals=(first,) if page else (), kept_us=kept_us,
    )  # fmt: skip
    world.ledger.put(probed, now_us=at_us, by="probe weekly")


def test_a_broken_probe_holds_until_a_run_keeps_its_bar(world: World) -> None:
    """The hold is renewed however often it must be; what could not be asked is no re-evaluation; a good run lets it expire."""
    probe_run(world, T0, 30, page=True, kept_us=T0 - 7 * DAY)
    pull = world.pull(T0 + MINUTE, PROBED)
    assert pull is not None
    assert "30 of 50 pass, where its bar is 95 %" in pull.why
    assert pull.incident == "INC-0001"
    assert pull.exit == "a run of probe weekly keeps its bar of 95 %"
    unasked = Probed(id="weekly", at_us=T0 + HOUR, kept_us=T0 - 7 * DAY, problem="no target")
    world.ledger.put(unasked, now_us=T0 + HOUR, by="probe weekly")
    now = pull.until_us - 30 * MINUTE
    second = world.pull(now, PROBED)
    assert second is not None
    assert "has kept its bar" in second.why
    probe_run(world, now + HOUR, 49, page=False, kept_us=now + HOUR)
    for later in (second.until_us - MINUTE, second.until_us, second.until_us + DAY):
        assert world.turn(later, PROBED) == []


def test_each_run_of_a_probe_is_a_cause_of_its_own(world: World) -> None:
    """Released by a person, the same run pulls nothing; the next run that breaks the bar does."""
    probe_run(world, T0, 30, page=True)
    assert world.pull(T0 + MINUTE, PROBED) is not None
    release(world.ledger, "tools.search", why="a bad case", by="ann", now_us=T0 + HOUR)
    assert world.turn(T0 + 2 * HOUR, PROBED) == []
    probe_run(world, T0 + 7 * DAY, 30, page=True)
    assert world.pull(T0 + 7 * DAY + 1, PROBED) is not None


def test_a_warning_of_a_probe_pulls_nothing(world: World) -> None:
    """A pass rate below the bar that may be chance is a warning."""
    scope = {"source": "probe", "segment": "weekly"}
    warning = world.signal(T0, metric="probe_pass", direction="down", scope=scope, level="warning")
    run = Probed(id="weekly", at_us=T0, run="run", passed=46, failed=4, signals=(warning.id,))
    world.ledger.put(run, now_us=T0, by="probe weekly")
    assert world.turn(T0 + 1, PROBED) == []


def test_of_two_rules_of_one_lever_the_first_wins(world: World) -> None:
    """Both due: one pull, by the first in the file. Held by the second: the first takes it over; never the other way."""
    world.traffic(20, T0, values={"error": 1.0})
    mild = {**BREAKER, "name": "mild", "above": 0.1, "for": "30m"}
    frozen: list[int] = []

    def freeze(app: str | None, now_us: int) -> list[str]:
        frozen.append(now_us)
        return []

    first = world.pull(T0, BREAKER, mild, freeze=freeze)
    assert first is not None
    assert frozen == [T0]
    assert first.rule == "breaker"
    assert world.turn(T0 + 1, BREAKER, mild) == []
    late = first.until_us + DAY
    world.traffic(10, late, values={"error": 0.0})
    world.traffic(10, late, values={"error": 1.0})
    second = world.pull(late, BREAKER, mild)
    assert second is not None
    assert second.rule == "mild"
    world.traffic(30, late + 1, values={"error": 1.0})
    third = world.pull(late + 2, BREAKER, mild)
    assert third is not None
    assert third.rule == "breaker"
    assert world.turn(late + 3, BREAKER, mild) == []


def test_a_rule_that_is_refused_is_told_once_and_leaves_the_lever_to_the_next(world: World) -> None:
    """A value that nobody approved is not held; it is told once per reason, and pulls as soon as somebody approved it."""
    world.signal(T0)
    rule = {**REFUSED, "value": "medium"}
    (told,) = world.turn(T0, rule)
    assert told.pull is None
    assert "nothing unapproved is served to production" in told.refused
    assert [world.turn(T0 + k, rule) for k in range(1, 4)] == [[], [], []]
    assert [v.record.reason for v in world.ledger.history(PullRefused)] == [told.refused]
    assert world.ledger.all(Pull) == []
    version = add_version(world.ledger, "routing", "medium", why="cheaper", by="jo", now_us=T0 + 5)
    (told,) = world.turn(T0 + 6, rule)
    assert "is not approved" in told.refused
    approve_version(world.ledger, "routing", version.digest, why="read", by="ann", now_us=T0 + 7)
    pull = world.pull(T0 + 8, rule)
    assert pull is not None
    assert (pull.value, pull.digest) == ("medium", version.digest)
    refused = world.ledger.get(PullRefused, "hold the model")
    assert refused is not None
    assert refused.reason == ""


def test_the_next_rule_acts_where_the_first_may_not(world: World) -> None:
    """Harm is stopped by the first rule that may pull, not by none."""
    world.signal(T0)
    acted = world.turn(T0, {**REFUSED, "value": "medium"}, {**REFUSED, "name": "safe"})
    assert [(a.rule.name, a.pull is None) for a in acted] == [("hold the model", True), ("safe", False)]


def test_an_unknown_lever_is_said_when_it_is_needed(world: World) -> None:
    """A rule about a lever that is not declared is named with those that are; `check_rules` says it before."""
    rule = {**REFUSED, "lever": "nowhere"}
    assert world.turn(T0, rule) == []
    world.signal(T0 + 1)
    (told,) = world.turn(T0 + 2, rule)
    assert 'there is no lever "nowhere"; declared: routing, tools.search' in told.refused
    known = world.ledger.all(Lever)
    wrong = rules(rule, {**BUDGET, "value": True}, {**BREAKER, "value": True}, {**PROBED, "name": "x"})
    said = check_rules(wrong, known)
    assert ["nowhere" in s or "true" in s.casefold() for s in said] == [True, True]
    assert said[0].startswith('andon.toml, pull 1: rule "hold the model" cannot pull: ')
    assert said[1].startswith("andon.toml, pull 2")


def test_evidence_is_frozen_before_and_its_failure_stops_nothing(world: World) -> None:
    """`freeze` is asked for the lever's application before the pull is written; what came of it stands in the pull."""
    seen: list[tuple[str | None, int]] = []

    def freeze(app: str | None, now_us: int) -> list[str]:
        seen.append((app, len(world.ledger.all(Pull))))
        if len(seen) > 1:
            raise ZeroDivisionError("the disk\nis full")
        return ["INC-0001"]

    world.signal(T0)
    world.traffic(20, T0, values={"error": 1.0})
    first = world.pull(T0, REFUSED, freeze=freeze)
    second = world.pull(T0, BREAKER, freeze=freeze)
    assert first is not None
    assert second is not None
    assert seen == [("bot", 0), ("bot", 1)]
    assert first.evidence == "frozen of INC-0001"
    assert second.evidence.startswith("could not be frozen: ")
    assert "\n" not in second.evidence


def test_a_clock_that_was_set_back_keeps_no_rule_from_pulling(world: World) -> None:
    """A hold begins after the last one, and lasts as long as written."""
    release_at = T0 + 5 * HOUR
    hold(world.ledger, "tools.search", why="x", by="ann", until_us=T0 + DAY, now_us=release_at)
    release(world.ledger, "tools.search", why="x", by="ann", now_us=release_at)
    world.traffic(20, T0, values={"error": 1.0})
    pull = world.pull(T0, BREAKER)  # released later, by that clock, which keeps nobody waiting for five hours
    assert pull is not None
    assert pull.until_us - pull.at_us == 10 * MINUTE


def test_a_release_by_a_clock_that_is_ahead_counts_from_when_the_hold_began(world: World) -> None:
    """A time that has not come yet is none: the rule counts what came since its hold began, and is not disarmed until that time."""
    world.traffic(20, T0, values={"error": 1.0})
    assert world.pull(T0, BREAKER) is not None
    pull = world.ledger.all(Pull)[0]
    world.ledger.put(
        replace(pull, released_us=T0 + 5 * HOUR, released_by="ann", released_why="x", until_us=T0 + 6 * HOUR),
        now_us=T0, by="ann",
    )  # fmt: skip
    (rule,) = rules(BREAKER)
    assert counted_from_us(rule, world.ledger.all(Pull), T0 + MINUTE) == T0
    world.traffic(20, T0 + MINUTE, values={"error": 1.0})
    assert world.pull(T0 + MINUTE, BREAKER) is not None


def test_freezing_keeps_no_lever_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence that takes for ever is waited for once in a turn, however many levers are due; what was done stands in the pulls."""
    monkeypatch.setattr("andon.levers.run.freezing.freeze_within.__defaults__", (0.05,))
    over, asked = threading.Event(), list[str | None]()

    def freeze(app: str | None, now_us: int) -> list[str]:
        asked.append(app)
        over.wait(30)
        return []

    world.traffic(20, T0, values={"error": 1.0})
    world.signal(T0)
    acted = world.turn(T0, BREAKER, REFUSED, freeze=freeze)
    over.set()
    assert asked == ["bot"]
    assert [a.pull and a.pull.evidence for a in acted] == [
        "freezing takes longer than 3 s; it was held without waiting"
    ] * 2


def test_a_version_that_the_gate_fails_meanwhile_is_not_pulled(world: World) -> None:
    """While evidence is frozen the gate says fail: nothing is written, and the next turn says why."""
    version = add_version(world.ledger, "routing", "medium", why="cheaper", by="jo", now_us=T0)
    approve_version(world.ledger, "routing", version.digest, why="read", by="ann", now_us=T0)
    world.signal(T0)

    def freeze(app: str | None, now_us: int) -> list[str]:
        failed = GateResult(outcome="fail", reason="r", by="ci", at_us=T0)
        note_gate(world.ledger, "routing", version.digest, failed, T0)
        return []

    rule = {**REFUSED, "value": "medium"}
    assert world.turn(T0, rule, freeze=freeze) == []
    assert world.ledger.all(Pull) == []
    (told,) = world.turn(T0 + 1, rule)
    assert "the gate did not pass" in told.refused


def test_no_rule_costs_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One roll-up for each breaker and budget that could pull; none while its hold stands, none for signals and probes."""
    asked: list[Plan] = []
    run = world.warehouse.run

    def counted(plan: Plan) -> pa.Table:
        asked.append(plan)
        return run(plan)

    monkeypatch.setattr(world.warehouse, "run", counted)
    world.signal(T0)
    world.turn(T0)
    world.turn(T0, REFUSED, PROBED)
    assert asked == []
    world.turn(T0, BREAKER, {**BUDGET, "lever": "tools.search"})
    assert len(asked) == 2
    world.traffic(20, T0, values={"error": 1.0})
    assert world.pull(T0 + 1, BREAKER) is not None
    asked.clear()
    world.turn(T0 + 2, BREAKER)
    assert asked == []


@given(
    weights=st.lists(st.floats(1e-3, 1e6), max_size=60),
    bad=st.integers(0, 60),
    above=st.floats(0, 0.99),
    held=st.booleans(),
)
def test_a_breaker_asks_for_a_pull_exactly_above_its_limit(
    weights: list[float], bad: int, above: float, held: bool
) -> None:
    """Whatever came: due if and only if nobody holds the lever, effectively enough came, and the weighted rate is above the limit."""
    (rule,) = rules({**BREAKER, "above": above})
    person = Pull(id="p", lever="tools.search", value=True, at_us=T0 - 1, by="ann", why="w", until_us=T0 + DAY)
    counted = Counted(len(weights), sum(weights), sum(weights[:bad]), sum(w * w for w in weights))
    enough = bool(weights) and counted.weight**2 >= 20 * counted.squares * (1 - 1e-9)
    rate = counted.total / counted.weight if weights else 0.0
    due = due_pulls(
        [rule],
        {SEARCH.id: SEARCH},
        {SEARCH.id: [person] if held else []},
        Grounds(counted={rule.name: counted}),
        T0,
    )
    assert bool(due) == (not held and enough and rate > above and not math.isclose(rate, above))
    if due:
        assert len(weights) >= 20
