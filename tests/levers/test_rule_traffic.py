"""Laws of what rules look at: whose traffic, how much of it is enough, and what is said where there is none."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ruled import BREAKER, BUDGET, DAY, PROBED, REFUSED, ROUTING, SEARCH, T0, World, rules

from andon.levers import Lever
from andon.levers.rule_tables import describe_rules
from andon.levers.run import declare
from andon.levers.run.automatic import unmatched


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fresh world."""
    made = World(tmp_path / "warehouse")
    yield made
    made.ledger.close()
    made.warehouse.close()


def test_a_few_rows_that_stand_for_many_trip_nothing(world: World) -> None:
    """Two failures of weight a million among forty of weight one are two failures."""
    world.traffic(2, T0, weight=1e6, values={"error": 1.0})
    world.traffic(40, T0, weight=1.0, values={"error": 0.0})
    assert world.pull(T0, BREAKER) is None
    world.traffic(20, T0, weight=1e6, values={"error": 1.0})
    assert world.pull(T0, BREAKER) is not None


def test_sums_of_fractions_are_equal_to_what_they_are_written_as(world: World) -> None:
    """A budget of 500 is reached by 5,000 times 0.1, whose floating sum is below it; a rate of exactly 30 % is within a limit of 0.3."""
    assert sum([0.1] * 5_000) != 500
    world.traffic(1, T0, values={"cost_usd": sum([0.1] * 5_000) - 1e-8})
    assert world.pull(T0, {**BUDGET, "total": 500.001}) is None
    assert world.pull(T0, BUDGET) is not None
    world.traffic(30, T0, values={"citation_valid": 0.0})
    world.traffic(70, T0, values={"citation_valid": 1.0})
    assert 1 - 0.7 > 0.3
    assert world.pull(T0, {**BREAKER, "metric": "citation_valid", "above": 0.3}) is None
    assert world.pull(T0, {**BREAKER, "metric": "citation_valid", "above": 0.2999}) is not None


@pytest.mark.parametrize("said", [{}, {"app": "default"}])
def test_a_lever_of_no_app_is_pulled_because_of_any(world: World, said: dict[str, str]) -> None:
    """`default` is any application: its traffic trips the breaker, its charts pull, and evidence of all is frozen."""
    asked: list[str | None] = []

    def freeze(app: str | None, now_us: int) -> list[str]:
        asked.append(app)
        return []

    for lever in (SEARCH, ROUTING):
        declare(world.ledger, replace(lever, app="default" if not said else "other"), T0, "ann")
    world.traffic(20, T0, values={"error": 1.0, "cost_usd": 100.0})
    world.signal(T0)
    acted = world.turn(T0, {**BREAKER, **said}, {**REFUSED, **said}, freeze=freeze)
    assert [a.pull is not None for a in acted] == [True, True]
    assert asked == [None]
    assert "any application" in describe_rules(rules({**BREAKER, "app": "default"}))[0]


def test_a_rule_that_looks_at_nothing_is_named(world: World) -> None:
    """Where no interaction with the metric came in a week from what a rule looks at, it is said; a probe's rule looks at none."""
    known = world.ledger.all(Lever)
    world.traffic(1, T0 - 8 * DAY, values={"error": 1.0})
    world.traffic(1, T0, values={"error": 1.0}, task="dose")
    good = ({**BREAKER, "where": {"task": "dose"}}, {**REFUSED, "signal": "traffic"}, {**PROBED, "name": "p"})
    bad = (
        {**BREAKER, "name": "a", "app": "bto"},
        {**BREAKER, "name": "b", "where": {"task": "dosis"}},
        {**BREAKER, "name": "c", "metric": "latency_s", "above": 3},
        {**REFUSED, "name": "d", "environment": "staging"},
        {**BUDGET, "name": "e"},
    )
    assert unmatched(world.warehouse, rules(*good), known, T0) == []
    said = unmatched(world.warehouse, rules(*good, *bad), known, T0)
    assert [s.split('"')[1] for s in said] == ["a", "b", "c", "d", "e"]
    assert said[0] == (
        'andon.toml, pull 4: rule "a" looks at nothing: no interaction with error matches all traffic of app bto in production in the '
        "last 7 d"
    )
    assert len(unmatched(world.warehouse, rules(*good), known, T0 + 8 * DAY)) == 2
