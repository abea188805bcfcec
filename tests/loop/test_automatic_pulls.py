"""Pulls by written rules, from the traffic to the lever: each condition once with the whole loop."""

from collections.abc import Callable
from pathlib import Path

import pytest
from test_loop_laws import MINUTE_US, START_US, _traffic
from test_probes import case, recorded

from andon.changes import Change
from andon.incidents import Incident
from andon.investigations import Investigation
from andon.levers import Lever, Pull, in_force
from andon.levers.rule_tables import check_rules, pull_rules_of
from andon.levers.run import Board, declare, release
from andon.levers.run.automatic import ByRule, pull_by_rules
from andon.loop import Loop, open_loop
from andon.settings import load
from andon.traffic import Interaction
from andon.traffic.run import record

HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
MODEL = Lever(id="model.version", kind="string", default="m-2", safe="m-1", app="shop")
CITATIONS = Lever(id="citations.enabled", kind="boolean", default=True, safe=False, app="legal")
SEARCH = Lever(id="tools.search", kind="boolean", default=True, safe=False, app="shop")
ROUTING = Lever(id="routing", kind="string", default="large", safe="small", app="shop")

RULES = """
[[pull]]
name = "hold the model"
lever = "model.version"
by = "maria"
signal = "refusal"
app = "shop"
for = "4h"

[[pull]]
name = "citations off"
lever = "citations.enabled"
by = "maria"
probe = "daily"
for = "1d"
trade_off = "answers without sources"

[[pull]]
name = "search breaker"
lever = "tools.search"
by = "jo"
metric = "error"
above = 0.5
within = "5m"
least = 20
for = "10m"

[[pull]]
name = "daily budget"
lever = "routing"
by = "jo"
metric = "cost_usd"
total = 500
within = "24h"
for = "24h"
"""


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], Loop]:
    """Opens the loop of one home, again and again: a configuration with four rules and a daily probe, and its levers."""
    toml = tmp_path / "andon.toml"
    toml.write_text(
        f'window_s = 60\n[[probe]]\nname = "daily"\napp = "legal"\ntarget = "recorded:{tmp_path}/model.jsonl"\nevery = "1d"\n'
        f"cases = 50\n{RULES}",
        encoding="utf-8",
    )
    env = {"ANDON_HOME": str(tmp_path / "home"), "ANDON_CONFIG": str(toml), "ANDON_EMBEDDER": "hashed"}

    def open_() -> Loop:
        loop = open_loop(load(env))
        for lever in (MODEL, CITATIONS, SEARCH, ROUTING):
            declare(loop.ledger, lever, START_US, "ann")
        return loop

    return open_


def turn(loop: Loop, now_us: int) -> list[ByRule]:
    """One turn of the crank, and the rules after it."""
    loop.tick(now_us)
    tables = loop.settings.tables
    rules = pull_rules_of(tables, loop.probes, loop.scorers, loop.settings.config)
    return pull_by_rules(loop.warehouse, loop.ledger, rules, freeze=loop.freeze, now_us=now_us)


def served(loop: Loop, lever: str, now_us: int) -> object:
    """What an application is given."""
    board = Board(loop.ledger)
    board.refresh()
    body = board.evaluate(lever, {}, now_us)
    assert body is not None
    return body["value"]


def test_the_rules_can_pull_as_they_stand(opened: Callable[[], Loop]) -> None:
    """Every lever is declared, and every value may be held: the check of the file says nothing."""
    loop = opened()
    rules = pull_rules_of(loop.settings.tables, loop.probes, loop.scorers, loop.settings.config)
    assert [r.name for r in rules] == ["hold the model", "citations off", "search breaker", "daily budget"]
    assert check_rules(rules, loop.ledger.all(Lever)) == []
    loop.close()


def test_a_refusal_out_of_its_limits_holds_the_model(opened: Callable[[], Loop]) -> None:
    """In the turn in which the incident opens: with its incident, after its evidence was frozen, and served at once.

    A restart pulls nothing a second time; after a person's release the same failure pulls no more, and a restart does not
    change that.
    """
    loop = opened()
    record(loop.warehouse, _traffic())
    before = turn(loop, START_US + 3 * HOUR_US)
    assert before == []
    now, acted = START_US + 3 * HOUR_US, list[ByRule]()
    while not acted:
        now += MINUTE_US
        acted = turn(loop, now)
    (incident,) = loop.ledger.all(Incident)
    ((rule, pull, _),) = acted
    assert pull is not None
    assert (rule.name, pull.rule, pull.incident) == ("hold the model", "hold the model", incident.id)
    assert now - incident.alarmed_us <= 2 * MINUTE_US
    assert served(loop, "model.version", now) == "m-1"
    assert "answers that refuse rose from" in pull.why
    frozen = loop.ledger.latest(Investigation, incident.id)
    assert frozen is not None
    assert frozen.at_us <= pull.at_us
    assert pull.evidence == "nothing to freeze: no open incident whose evidence was old"
    (change,) = (c for c in loop.ledger.all(Change) if c.origin == "lever")
    assert (change.app, change.author, change.own) == ("shop", "rule hold the model of maria", True)
    loop.close()

    loop = opened()
    assert turn(loop, now + MINUTE_US) == []
    release(loop.ledger, "model.version", why="we know", by="ann", now_us=now + 2 * MINUTE_US)
    assert turn(loop, now + 3 * MINUTE_US) == []
    loop.close()
    loop = opened()
    later = [turn(loop, now + k * MINUTE_US) for k in range(4, 40, 5)]
    assert [a for acted in later for a in acted] == []
    assert served(loop, "model.version", now + 40 * MINUTE_US) == "m-2"
    loop.close()


def test_citations_are_off_until_re_evaluated(opened: Callable[[], Loop], tmp_path: Path) -> None:
    """A run that breaks its bar switches them off; a second one keeps them off; after one that keeps it they return."""
    loop = opened()
    for n in range(50):
        loop.ledger.put(case(n), now_us=START_US, by="ann")
    shown = []
    for day, right in enumerate((50, 30, 30, 50)):
        recorded(tmp_path / "model.jsonl", right=right, of=50)
        loop.probe(START_US + day * DAY_US)
        for hours in (0, 12, 23):
            now = START_US + day * DAY_US + hours * HOUR_US + MINUTE_US
            turn(loop, now)
            shown.append(served(loop, "citations.enabled", now))
    assert shown == [True] * 3 + [False] * 3 + [False] * 3 + [False, False, True]
    pulls = loop.ledger.all(Pull)
    assert {(p.rule, p.by, p.trade_off) for p in pulls} == {
        ("citations off", "rule citations off of maria", "answers without sources")
    }
    assert {p.incident for p in pulls} == {"INC-0001"}
    assert "30 of 50 pass, where its bar is 95 %" in pulls[0].why
    loop.close()


def traffic(name: str, n: int, at_us: int, **fields: object) -> list[Interaction]:
    """Interactions of one minute."""
    return [
        Interaction(id=f"{name}-{k}", time_us=at_us + k * 1000, app="shop", query="q", answer="a", **fields)  # type: ignore[arg-type]
        for k in range(n)
    ]


def test_a_breaker_trips_tries_and_closes(opened: Callable[[], Loop]) -> None:
    """Failures take the tool out within a turn; after ten minutes it is tried; failures take it out for twenty, and then it stays."""
    loop = opened()
    now = START_US
    record(loop.warehouse, traffic("fine", 30, now - 10 * MINUTE_US))
    assert turn(loop, now) == []
    record(loop.warehouse, traffic("bad", 40, now, error="timeout"))
    ((_, pull, _),) = turn(loop, now + MINUTE_US)
    assert pull is not None
    assert served(loop, "tools.search", now + MINUTE_US) is False
    assert "100 % of 40 interactions" in pull.why
    now = pull.until_us
    assert turn(loop, now) == []
    assert served(loop, "tools.search", now) is True
    record(loop.warehouse, traffic("again", 20, now, error="timeout"))
    ((_, pull, _),) = turn(loop, now + MINUTE_US)
    assert pull is not None
    assert pull.until_us - pull.at_us == 20 * MINUTE_US
    now = pull.until_us
    record(loop.warehouse, traffic("mended", 30, now))
    assert turn(loop, now + MINUTE_US) == []
    assert in_force([p for p in loop.ledger.all(Pull) if p.lever == "tools.search"], now + MINUTE_US) is None
    loop.close()


def test_a_budget_is_held_for_the_rest_of_its_window(opened: Callable[[], Loop]) -> None:
    """500 dollars within a day, of sampled traffic too, route to the small model until the day has room again."""
    loop = opened()
    now = START_US
    record(loop.warehouse, traffic("kept", 24, now, cost_usd=1.0, weight=20.0))
    assert turn(loop, now + MINUTE_US) == []
    record(loop.warehouse, traffic("more", 1, now + 2 * MINUTE_US, cost_usd=20.0))
    ((_, pull, _),) = turn(loop, now + 3 * MINUTE_US)
    assert pull is not None
    assert (pull.rule, served(loop, "routing", now + 3 * MINUTE_US)) == ("daily budget", "small")
    assert "cost_usd adds up to 500 in 25 interactions that stand for 481 in the last 24 h" in pull.why
    assert turn(loop, now + 23 * HOUR_US)[0].pull is not None
    assert turn(loop, now + 25 * HOUR_US) == []
    assert served(loop, "routing", now + 47 * HOUR_US) == "large"
    loop.close()
