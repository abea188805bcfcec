"""Objectives and monitor rules of andon.toml: understood as they were written, or refused by entry and key."""

import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import InputError
from andon.monitors.objectives import MonitorRule, Objective, check_config, matching, objectives_of, rule_for, rules_of
from andon.monitors.records import TRAFFIC
from andon.monitors.series import metrics_of, parts_of, watched
from andon.scores import SCORERS, Scorer
from andon.settings import Settings
from andon.traffic import SEGMENTS

METRICS = [m.name for m in metrics_of(SCORERS)]

MEDICAL = {"name": "medical", "metric": "error", "where": {"risk_category": "medical"}, "at_most": 0.001}


def toml(*rows: Any, **tables: Any) -> dict[str, Any]:
    """Tables as `Settings.tables` has them."""
    return {"objective": list(rows), **tables}


def one(**changes: Any) -> Objective:
    """The medical objective with some keys changed; None takes a key out."""
    row = {k: v for k, v in {**MEDICAL, **changes}.items() if v is not None}
    (found,) = objectives_of(toml(row))
    return found


def test_an_objective_says_what_was_written() -> None:
    """The keys of a table become the record; the direction is the metric's own, and what is not said is everything."""
    assert one() == Objective(
        name="medical",
        metric="error",
        direction="up",
        scope=(("risk_category", "medical"),),
        at_most=0.001,
        source="andon.toml, objective 1",
    )
    slow = one(metric="latency_s", beyond=10, where=None, app="shop", environment="staging")
    assert (slow.beyond, slow.scope, slow.app, slow.environment) == (10, (), "shop", "staging")
    assert one(metric="citation_valid").direction == "down"
    assert one(metric="refusal", direction="down").direction == "down"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": None}, ["name is missing"]),
        ({"name": " "}, ["name = "]),
        ({"metric": None}, ["metric is missing"]),
        ({"metric": "eror"}, ["metric = ", "eror", "citation_valid", "rating"]),
        ({"metric": ["error"]}, ["metric = "]),
        ({"at_most": None}, ["at_most is missing"]),
        ({"at_most": 0}, ["at_most = 0"]),
        ({"at_most": 1}, ["at_most = 1"]),
        ({"at_most": "0.1 %"}, ["at_most = ", "must be a number"]),
        ({"at_most": math.nan}, ["at_most = nan"]),
        ({"at_most": True}, ["at_most = True"]),
        ({"at_most": 10**400}, ["at_most = a number of more than 38 digits"]),
        ({"atmost": 0.1}, ["atmost", "at_most"]),
        ({"where": "medical"}, ["where", "risk_category"]),
        ({"where": {"country": "de"}}, ["where", "country", "requested_model"]),
        ({"where": {"task": 5}}, ["where: task = 5"]),
        ({"where": {"task": ""}}, ["where: task = "]),
        ({"where": {"task": "a", "segment": "b", "risk_category": "c"}}, ["where", "at most two"]),
        ({"beyond": 3}, ["beyond = 3", "0 or 1"]),
        ({"metric": "latency_s"}, ["beyond is missing"]),
        ({"metric": "latency_s", "beyond": math.inf}, ["beyond = inf"]),
        ({"metric": "refusal"}, ["direction is missing", "up", "down"]),
        ({"direction": "down"}, ["direction = ", "harms when it is high"]),
        ({"direction": 1}, ["direction = 1"]),
        ({"metric": "refusal", "direction": "down", "where": {"risk_category": "low"}}, ["where", "no harm there"]),
        ({"app": 3}, ["app = 3"]),
        ({"environment": "x" * 300}, ["environment = "]),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_understood_is_named(changes: dict[str, Any], words: list[str]) -> None:
    """A table that is not understood is refused with its place, the key, the value and what is allowed."""
    with pytest.raises(InputError) as error:
        one(**changes)
    assert not [w for w in ("andon.toml, objective 1", *words) if w not in str(error.value)]


@pytest.mark.parametrize("tables", [{"objective": MEDICAL}, {"objective": 3}, {"objective": ["a"]}, {"monitor": {}}])
def test_a_table_in_single_brackets_is_refused(tables: dict[str, Any]) -> None:
    """`[objective]` instead of `[[objective]]` is refused by name, and so is anything else that is no list of tables."""
    with pytest.raises(InputError, match=next(iter(tables))):
        _ = objectives_of(tables), rules_of(tables)


def test_names_differ() -> None:
    """Two objectives of one name are refused, and both places are said."""
    with pytest.raises(InputError, match=r"objective 2: name = .*objective 1"):
        objectives_of(toml(MEDICAL, MEDICAL))


def test_a_metric_of_a_plug_in_has_objectives_too() -> None:
    """A scorer that is not built in is known when it is given, with its own direction."""
    mine = Scorer(
        name="rude", version="1", kind="number", bad="up", harm="safety", unit="share", about="", score=lambda *_: None
    )
    row = {"name": "polite", "metric": "rude", "at_most": 0.01, "beyond": 0.5}
    (found,) = objectives_of(toml(row), [*SCORERS, mine])
    assert (found.metric, found.direction) == ("rude", "up")
    with pytest.raises(InputError, match="metric = "):
        objectives_of(toml(row))


WORDS = st.text("abc_ é\n<", max_size=4)
JUNK: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from([*SEGMENTS, "x"]), st.one_of(WORDS, st.integers()), max_size=3),
)  # fmt: skip
RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "name": st.text("abc", min_size=1, max_size=5),
    "metric": st.sampled_from(METRICS),
    "at_most": st.floats(1e-6, 0.9),
    "where": st.dictionaries(st.sampled_from(SEGMENTS), st.sampled_from(["low", "high", "m"]), max_size=3),
    "beyond": st.floats(-10, 10),
    "direction": st.sampled_from(["up", "down"]),
    "app": st.just("shop"),
    "watch": st.booleans(),
    "weight": st.floats(0.01, 10),
}


@st.composite
def written(draw: st.DrawFn, wrong: bool = True) -> dict[str, Any]:
    """A table as somebody might write it: mostly right, with a junk value or an unknown key now and then."""
    keys = draw(st.lists(st.sampled_from([*RIGHT]), unique=True, max_size=6))
    row = {k: draw(RIGHT[k]) for k in [*draw(st.just(["name", "metric", "at_most"])), *keys]}
    for key in draw(st.lists(st.sampled_from([*RIGHT, "unknown"]), max_size=1)) if wrong else ():
        row[key] = draw(JUNK)
    return row


@settings(max_examples=300)
@given(rows=st.lists(written(), max_size=2), kind=st.sampled_from(["objective", "monitor"]))
def test_any_table_is_understood_or_refused_by_name(rows: list[dict[str, Any]], kind: str) -> None:
    """Any tables give one record each, or an error that names the entry and one of its keys; never another exception."""
    message, n = "", 0
    try:
        n = len(objectives_of({kind: rows}) if kind == "objective" else rules_of({kind: rows}))
    except InputError as error:
        message = str(error)
    if message:
        place = re.match(rf"andon\.toml, {kind} (\d)\b(.*)", message)
        assert place is not None
        assert int(place[1]) <= len(rows)
        assert any(key in place[2] for key in (*RIGHT, "unknown"))
        assert message.isprintable()
    else:
        assert n == len(rows)


@settings(max_examples=200)
@given(row=written(wrong=False))
def test_every_objective_has_a_chart(row: dict[str, Any]) -> None:
    """Traffic of the part that an accepted objective names makes a chart that the objective matches, and no other does."""
    row = {k: v for k, v in row.items() if k not in ("watch", "weight")}
    try:
        (found,) = objectives_of(toml(row))
    except InputError:
        return
    parts = parts_of({**dict.fromkeys(SEGMENTS, "other"), **dict(found.scope)})
    charts = [scope for scope in parts if watched(found.metric, found.direction, scope)]
    hit = [scope for scope in charts if matching([found], "shop", "x", found.metric, found.direction, scope)]
    assert hit == [found.scope]


def test_matching_is_exact_and_strictest_first() -> None:
    """An objective limits the charts of its metric, direction, part, application and environment, and no others."""
    strict, loose = one(name="z", at_most=0.001), one(name="b", at_most=0.01, app="shop", environment="production")
    other = one(name="c", metric="tool_error")
    chart = ("shop", "production", "error", "up", (("risk_category", "medical"),))
    assert matching([loose, other, strict], *chart) == (strict, loose)
    for i, value in enumerate(["bank", "staging", "tool_error", "down", ()]):
        moved = tuple(value if i == j else part for j, part in enumerate(chart))
        assert loose not in matching([loose], *moved)  # type: ignore[arg-type]
    two = one(where={"task": "triage", "risk_category": "high"})
    assert two.scope == (("risk_category", "high"), ("task", "triage"))
    assert matching([two], "x", "y", "error", "up", (("task", "triage"), ("risk_category", "high"))) == (two,)


@pytest.mark.parametrize(
    ("category", "weight"), [("high", 4), ("Critical", 4), ("unacceptable", 4), ("medical", 1), ("low", 1), (None, 1)]
)
def test_high_risk_weighs_four_by_itself(category: str | None, weight: float) -> None:
    """Without a rule every chart is watched; those of a high risk category, alone or in a pair, have weight 4."""
    part = () if category is None else (("risk_category", category),)
    for scope in (part, (*part, ("task", "triage"))):
        assert rule_for((), "shop", "production", "error", "up", scope) == (True, weight)


def test_the_last_rule_that_says_it_counts() -> None:
    """Rules hold within their part of the traffic; of several the last one that says something of watch or weight counts."""
    rules = rules_of(
        {
            "monitor": [
                {"metric": "latency_s", "watch": False},
                {"where": {"task": "triage"}, "weight": 9},
                {"metric": "latency_s", "app": "shop", "watch": True},
                {"metric": "refusal", "direction": "down", "environment": "staging", "watch": False},
                {"metric": TRAFFIC, "watch": False},
            ]
        }
    )
    triage, pair = (("task", "triage"),), (("risk_category", "high"), ("task", "triage"))
    asked = {
        ("bank", "production", "latency_s", "up", ()): (False, 1),
        ("shop", "production", "latency_s", "up", ()): (True, 1),
        ("bank", "production", "latency_s", "up", triage): (False, 9),
        ("bank", "production", "error", "up", pair): (True, 9),
        ("bank", "production", "error", "up", (("task", "other"),)): (True, 1),
        ("bank", "staging", "refusal", "down", pair): (False, 9),
        ("bank", "staging", "refusal", "up", ()): (True, 1),
        ("bank", "production", "refusal", "down", ()): (True, 1),
        ("bank", "production", TRAFFIC, "down", triage): (False, 9),
    }
    assert {chart: rule_for(rules, *chart) for chart in asked} == asked


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({}, ["watch", "weight", "missing"]),
        ({"metric": "latency"}, ["metric = ", "latency_s"]),
        ({"metric": "error", "direction": "down", "watch": False}, ["direction = ", "up"]),
        ({"direction": "sideways", "watch": False}, ["direction = "]),
        ({"watch": "no"}, ["watch = "]),
        ({"weight": 0}, ["weight = 0", "watch = false"]),
        ({"weight": "4"}, ["weight = "]),
        ({"weight": 1e9}, ["weight = 1e+09", "1000"]),
        ({"weight": 2, "watch": False}, ["weight = 2", "watch = false"]),
        ({"where": {"task": "a", "segment": "b", "requested_model": "c"}, "weight": 2}, ["where"]),
        ({"wight": 2}, ["wight", "weight"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_rule_that_is_not_understood_is_named(row: dict[str, Any], words: list[str]) -> None:
    """A rule that says nothing, or what cannot be, is refused with its place, the key and what is allowed."""
    with pytest.raises(InputError) as error:
        rules_of({"monitor": [{"weight": 1}, row]})
    assert not [w for w in ("andon.toml, monitor 2", *words) if w not in str(error.value)]


def test_the_check_says_what_was_understood() -> None:
    """The lines count objectives and rules and tell each of them, with where it was written."""
    tables = toml(
        MEDICAL,
        {
            "name": "in time",
            "metric": "latency_s",
            "beyond": 10,
            "at_most": 0.05,
            "app": "shop",
            "environment": "staging",
        },
        monitor=[{"metric": "output_tokens", "watch": False}],
    )
    assert check_config(Settings(tables=tables, config="here.toml")) == [
        "2 objectives",
        '  medical: harm by error (high) at most 0.1 % in risk_category "medical" of every application; a clean sample'
        " must have 2,995 interactions to show it (here.toml, objective 1)",
        '  in time: harm by latency_s (high from 10) at most 5 % in all traffic of "shop" in "staging"; a clean sample'
        " must have 59 interactions to show it (here.toml, objective 2)",
        "1 monitor rule",
        "  watch = false: charts of output_tokens in all traffic of every application (here.toml, monitor 1)",
    ]
    assert check_config(Settings()) == ["0 objectives", "0 monitor rules"]
    assert rules_of(tables) == (MonitorRule(metric="output_tokens", watch=False, source="andon.toml, monitor 1"),)
