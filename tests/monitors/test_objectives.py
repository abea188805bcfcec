"""Objectives and monitor rules: what is understood of what people wrote, and what a sample shows about a limit."""

import copy
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import binom

from andon.errors import InputError
from andon.monitors.objectives import (
    BUDGET_WINDOW_S,
    MonitorRule,
    Objective,
    check_config,
    clean_sample,
    error_budget,
    matching,
    objectives_of,
    objectives_of_openslo,
    rule_for,
    rules_of,
    verdict,
)
from andon.monitors.records import TRAFFIC
from andon.monitors.series import metrics_of, parts_of, watched
from andon.scores import SCORERS, Scorer, failing
from andon.settings import Settings
from andon.traffic import SEGMENTS

METRICS = {m.name: m for m in metrics_of(SCORERS)}
HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"

MEDICAL = {"name": "medical", "metric": "error", "where": {"risk_category": "medical"}, "at_most": 0.001}


def toml(*rows: Any, **tables: Any) -> dict[str, Any]:
    """Tables as `Settings.tables` has them."""
    return {"objective": list(rows), **tables}


def one(**changes: Any) -> Objective:
    """The medical objective with some keys changed; None takes a key out."""
    row = {k: v for k, v in {**MEDICAL, **changes}.items() if v is not None}
    (found,) = objectives_of(toml(row))
    return found


# --- what a sample shows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at_most", "n"), [(0.05, 59), (0.01, 299), (0.003, 998), (0.001, 2_995), (0.0001, 29_956)])
def test_a_clean_sample_of_the_stated_size_passes_and_one_less_does_not(at_most: float, n: int) -> None:
    """0 of 2,995 shows a rate below 0.1 % with 95 % confidence, and 0 of 2,994 does not; likewise for other limits."""
    assert clean_sample(at_most) == n
    enough, short = verdict(0, n, at_most), verdict(0, n - 1, at_most)
    assert (enough.verdict, short.verdict) == ("pass", "undecided")
    assert f"a clean sample must have {n:,} interactions to show a rate below {100 * at_most:g} %" in short.reason


@given(at_most=st.floats(1e-6, 0.999), level=st.floats(0.501, 0.999))
def test_a_clean_sample_is_the_least_that_decides(at_most: float, level: float) -> None:
    """The size of a clean sample is the least n for which n interactions without harm have at most the tail of chance."""
    n = clean_sample(at_most, level)
    chance = [k * math.log1p(-at_most) for k in (n - 1, n)]
    assert chance[1] <= math.log1p(-level) + 1e-6
    assert n == 1 or chance[0] > math.log1p(-level) - 1e-6


@pytest.mark.parametrize(("x", "n"), [(1, 20), (3, 1_000), (7, 50), (19, 20)])
def test_each_bound_holds_with_the_level_by_itself(x: int, n: int) -> None:
    """At the lower bound x or more, and at the upper bound x or fewer, have exactly 5 % chance."""
    found = verdict(x, n, 0.1)
    assert binom.sf(x - 1, n, found.low) == pytest.approx(0.05)
    assert binom.cdf(x, n, found.high) == pytest.approx(0.05)


@pytest.mark.parametrize(("n", "at_most"), [(60, 0.05), (300, 0.01), (2_000, 0.003)])
def test_a_wrong_verdict_is_rare(n: int, at_most: float) -> None:
    """Computed over all outcomes: at the limit a sample fails with at most 5 %, and just above it passes with at most 5 %."""
    words = [verdict(x, n, at_most).verdict for x in range(n + 1)]
    chance = binom.pmf(np.arange(n + 1), n, at_most)
    above = binom.pmf(np.arange(n + 1), n, at_most * 1.0001)
    assert sum(p for p, word in zip(chance, words, strict=True) if word == "fail") <= 0.05
    assert sum(p for p, word in zip(above, words, strict=True) if word == "pass") <= 0.05
    assert words == sorted(words, key=["pass", "undecided", "fail"].index)


@pytest.mark.parametrize(("x", "n", "at_most"), [(0, 10, 0.1), (2, 30, 0.05), (40, 100, 0.3)])
def test_the_probability_is_that_of_jeffreys_posterior(x: int, n: int, at_most: float) -> None:
    """The probability above the limit is the integral of rate^(x-1/2) (1-rate)^(n-x-1/2) beyond it, as a share of all."""

    def mass(low: float, high: float) -> float:
        return float(integrate.quad(lambda p: p ** (x - 0.5) * (1 - p) ** (n - x - 0.5), low, high, limit=200)[0])

    expected = mass(at_most, 1) / (mass(0, at_most) + mass(at_most, 1))
    assert verdict(x, n, at_most).probability_above == pytest.approx(expected, abs=1e-6)


def test_without_interactions_nothing_is_said() -> None:
    """No interaction gives undecided, no probability, the widest bounds, no budget: neither good nor bad."""
    found = verdict(0, 0, 0.001)
    assert (found.verdict, found.probability_above, found.low, found.high) == ("undecided", None, 0, 1)
    assert found.reason.startswith("no interaction yet")
    assert error_budget(0, 0, 0.001) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-1, 10, 0.1), "x = -1"), ((11, 10, 0.1), "n = 10"), ((0, -1, 0.1), "n = -1"), ((0.5, 10, 0.1), "x = 0.5"),
        ((True, 10, 0.1), "x = True"), ((0, 10, 0), "at_most = 0"), ((0, 10, 1), "at_most = 1"),
        ((0, 10, math.nan), "at_most = nan"), ((0, 10, -0.1), "at_most = -0.1"), ((0, 10, 5e-324), "at_most = 5e-324"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(arguments: tuple[Any, ...], words: str) -> None:
    """Counts that are none, and limits that no sample shows, are refused with the value, by verdict and budget alike."""
    for function in (verdict, error_budget):
        with pytest.raises(InputError) as error:
            function(*arguments)
        assert words in str(error.value)


@pytest.mark.parametrize("level", [0.5, 1.0, 95, math.nan, True])
def test_a_level_that_is_none_is_refused(level: float) -> None:
    """A level is above 0.5 and below 1; 95 instead of 0.95 is refused, not clipped."""
    with pytest.raises(InputError, match="level = "):
        verdict(0, 10, 0.1, level)


def test_a_budget_is_spent_by_harm_and_may_be_overspent() -> None:
    """6 harmful of 8,000 at 0.1 % spent three quarters; a third of the way it burns at that rate and has spent a quarter."""
    whole, young, over = (
        error_budget(6, 8_000, 0.001),
        error_budget(6, 8_000, 0.001, 1 / 3),
        error_budget(3, 100, 0.01),
    )
    assert whole is not None
    assert young is not None
    assert over is not None
    assert (whole.allowed, whole.spent, whole.burn_rate) == pytest.approx((8, 0.75, 0.75))
    assert (young.allowed, young.spent, young.burn_rate) == pytest.approx((24, 0.25, 0.75))
    assert over.spent == pytest.approx(3)
    for elapsed in (0, 1.5, math.nan):
        with pytest.raises(InputError, match="elapsed = "):
            error_budget(6, 8_000, 0.001, elapsed)


# --- objectives in andon.toml --------------------------------------------------------------------------------------


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
    """Two objectives of one name are refused, wherever the second one stands, and both places are said."""
    with pytest.raises(InputError, match=r"objective 2: name = .*objective 1"):
        objectives_of(toml(MEDICAL, MEDICAL))
    with pytest.raises(InputError, match=r"slo.yaml, document 1.*name = .*andon.toml, objective 1"):
        objectives_of(toml({**MEDICAL, "name": "cited"}, openslo=[["slo.yaml, document 1", slo()]]))


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
    "metric": st.sampled_from([*METRICS]),
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
    strict, loose = one(name="a", at_most=0.001), one(name="b", at_most=0.01, app="shop", environment="production")
    other = one(name="c", metric="tool_error")
    chart = ("shop", "production", "error", "up", (("risk_category", "medical"),))
    assert matching([loose, other, strict], *chart) == (strict, loose)
    for i, value in enumerate(["bank", "staging", "tool_error", "down", ()]):
        moved = tuple(value if i == j else part for j, part in enumerate(chart))
        assert loose not in matching([loose], *moved)  # type: ignore[arg-type]
    two = one(where={"task": "triage", "risk_category": "high"})
    assert two.scope == (("risk_category", "high"), ("task", "triage"))
    assert matching([two], "x", "y", "error", "up", (("task", "triage"), ("risk_category", "high"))) == (two,)


# --- monitor rules -------------------------------------------------------------------------------------------------


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


# --- OpenSLO -------------------------------------------------------------------------------------------------------


def slo(**spec: Any) -> dict[str, Any]:
    """An SLO of citations in medical traffic; keys of its spec changed, None takes one out."""
    source = {"metricSource": {"type": "andon", "spec": {"metric": "citation_valid", "where": {"task": "triage"}}}}
    whole = {
        "description": "what an answer cites was retrieved",
        "service": "assistant",
        "budgetingMethod": "Occurrences",
        "timeWindow": [{"duration": "4w", "isRolling": True}],
        "indicator": {"metadata": {"name": "i"}, "spec": {"ratioMetric": {"good": source, "total": source}}},
        "objectives": [{"displayName": "all", "target": 0.98}],
        **spec,
    }
    kept = {k: v for k, v in copy.deepcopy(whole).items() if v is not None}
    return {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "cited"}, "spec": kept}


def indicator(**metric: Any) -> dict[str, Any]:
    """An inline indicator."""
    return {"metadata": {"name": "i"}, "spec": metric}


def source(metric: str, **spec: Any) -> dict[str, Any]:
    """A metric of Andon."""
    return {"metricSource": {"type": "andon", "spec": {"metric": metric, **spec}}}


def read(*documents: Any) -> tuple[Objective, ...]:
    """The objectives of these documents."""
    return objectives_of_openslo([(f"slo.yaml, document {i}", d) for i, d in enumerate(documents, 1)])


def test_an_slo_is_an_objective() -> None:
    """Target, window, metric and part of the traffic become the same record that a table of andon.toml gives."""
    assert read(slo()) == (
        Objective(
            name="cited",
            metric="citation_valid",
            direction="down",
            scope=(("task", "triage"),),
            at_most=0.02,
            window_s=28 * 86_400,
            source="slo.yaml, document 1, spec.objectives[0]",
        ),
    )
    assert read(slo(timeWindow=None))[0].window_s == BUDGET_WINDOW_S


@pytest.mark.parametrize(
    ("target", "at_most"),
    [
        ({"target": 0.999}, 0.001),
        ({"targetPercent": 99.99}, 0.0001),
        ({"targetPercent": 95}, 0.05),
        ({"target": 0.5}, 0.5),
    ],
)
def test_what_a_target_leaves_is_exact(target: dict[str, float], at_most: float) -> None:
    """A target of 0.999 leaves 0.001 to the last digit, as a share and as a percentage."""
    assert read(slo(objectives=[target]))[0].at_most == at_most


@pytest.mark.parametrize(
    ("op", "direction", "harm"),
    [
        ("lte", "up", [False, False, True]), ("lt", "up", [False, True, True]),
        ("gte", "down", [True, False, False]), ("gt", "down", [True, True, False]),
    ],
)  # fmt: skip
def test_an_operator_says_which_values_are_harm(op: str, direction: str, harm: list[bool]) -> None:
    """Values that the operator does not hold for are harm, the bound itself included or not, exactly."""
    metric = "latency_s" if direction == "up" else "groundedness"
    document = slo(
        indicator=indicator(thresholdMetric=source(metric)), objectives=[{"op": op, "value": 10, "target": 0.95}]
    )
    (found,) = read(document)
    test, bound = failing("number", found.direction, found.beyond)
    values = (math.nextafter(10, 0), 10.0, math.nextafter(10, 11))
    assert found.direction == direction
    assert [v >= bound if test == "ge" else v < bound for v in values] == harm


@pytest.mark.parametrize(
    ("ratio", "direction"),
    [
        ({"bad": source("refusal"), "total": source("refusal")}, "up"),
        ({"good": source("refusal"), "total": source("refusal"), "counter": True}, "down"),
        ({"rawType": "failure", "raw": source("refusal")}, "up"),
        ({"rawType": "success", "raw": source("refusal")}, "down"),
    ],
)
def test_good_and_bad_say_which_way_harms(ratio: dict[str, Any], direction: str) -> None:
    """A ratio of bad interactions harms when it is high, one of good ones when it is low."""
    assert read(slo(indicator=indicator(ratioMetric=ratio)))[0].direction == direction


def test_an_sli_is_found_by_its_name_and_a_ratio_may_have_several_objectives() -> None:
    """An SLO may refer to an SLI of any file, documents may be a list, empty ones are none; each objective has a name."""
    sli = {
        "apiVersion": "openslo/v1",
        "kind": "SLI",
        "metadata": {"name": "errors", "labels": {"team": ["a"]}},
        "spec": {"ratioMetric": {"bad": source("error", app="shop"), "total": source("error", app="shop")}},
    }
    service = {"apiVersion": "openslo.com/v1", "kind": "Service", "metadata": {"name": "assistant"}, "spec": {}}
    both = slo(
        indicator=None, indicatorRef="errors", objectives=[{"displayName": "day", "target": 0.9}, {"target": 0.99}]
    )
    found = read([both, service], None, sli)
    assert [(o.name, o.app, o.at_most) for o in found] == [("cited/day", "shop", 0.1), ("cited/2", "shop", 0.01)]
    assert found[1].source == "slo.yaml, document 1[0], spec.objectives[1]"


THRESHOLD = indicator(thresholdMetric=source("latency_s"))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("text", ["document 1"]),
        ({**slo(), "apiVersion": "openslo/v2alpha1"}, ["apiVersion = ", "openslo/v1"]),
        ({**slo(), "kind": "AlertPolicy"}, ["kind = ", "SLO, SLI"]),
        ({**slo(), "status": {}}, ["status"]),
        ({**slo(), "metadata": {}}, ["metadata", "name"]),
        ({**slo(), "spec": None}, ["spec is missing"]),
        (slo(service=None), ["service is missing"]),
        (slo(description="x" * 1051), ["description"]),
        (slo(budgetingMethod="Timeslices"), ["budgetingMethod = ", "Occurrences"]),
        (slo(alertPolicies=["a"]), ["alertPolicies", "leave it out"]),
        (slo(objective=[]), ["objective", "objectives"]),
        (slo(timeWindow=[]), ["timeWindow"]),
        (slo(timeWindow=[{"duration": "28", "isRolling": True}]), ["duration = ", "28d"]),
        (slo(timeWindow=[{"duration": "1M", "calendar": {}, "isRolling": False}]), ["calendar", "rolling"]),
        (slo(timeWindow=[{"duration": "1M", "isRolling": False}]), ["isRolling = False"]),
        (slo(indicator=None), ["indicator", "indicatorRef"]),
        (slo(indicatorRef="i"), ["indicator and indicatorRef", "not both"]),
        (slo(indicator=None, indicatorRef="nowhere"), ["indicatorRef = ", "nowhere"]),
        (slo(indicator=indicator(ratioMetric={})), ["ratioMetric", "good and total", "none"]),
        (slo(indicator=indicator()), ["thresholdMetric and ratioMetric"]),
        (slo(indicator=indicator(ratioMetric={"bad": source("error"), "total": source("refusal")})), ["total", "same"]),
        (slo(indicator=indicator(ratioMetric={"raw": source("error"), "rawType": "odd"})), ["rawType = ", "success"]),
        (slo(indicator=indicator(ratioMetric={"good": source("error"), "total": source("error")})), ["good", "bad"]),
        (slo(indicator=indicator(ratioMetric={"bad": source("latency_s"), "total": source("latency_s")})), ["thresholdMetric"]),
        (slo(indicator=indicator(ratioMetric={"bad": source("eror"), "total": source("eror")})), ["bad.metricSource.spec: metric = "]),
        (slo(indicator=indicator(ratioMetric={"bad": source("error", where={"x": "y"}), "total": source("error", where={"x": "y"})})), ["spec, where", '"x"']),
        (slo(indicator=indicator(thresholdMetric={"metricSource": {"type": "Prometheus", "spec": {}}})), ["type = ", "andon"]),
        (slo(indicator=indicator(thresholdMetric={"metricSource": {"metricSourceRef": "p", "spec": {}}})), ["metricSourceRef"]),
        (slo(indicator=indicator(thresholdMetric=source("error")), objectives=[{"op": "lt", "value": 1, "target": 0.9}]), ["ratioMetric"]),
        (slo(indicator=THRESHOLD, objectives=[{"op": "gt", "value": 1, "target": 0.9}]), ["latency_s", "lte, lt"]),
        (slo(indicator=THRESHOLD, objectives=[{"value": 1, "target": 0.9}]), ["op = null"]),
        (slo(indicator=THRESHOLD, objectives=[{"op": "lt", "target": 0.9}]), ["value is missing"]),
        (slo(indicator=THRESHOLD, objectives=[{"op": "lt", "value": 1, "target": 0.9}] * 2), ["objectives", "one"]),
        (slo(objectives=[{"op": "gt", "target": 0.9}]), ["op means nothing"]),
        (slo(objectives=[{"value": 1, "target": 0.9}]), ["value means nothing"]),
        (slo(objectives=[{}]), ["objectives[0]", "target and targetPercent"]),
        (slo(objectives=[{"target": 0.9, "targetPercent": 90}]), ["not both"]),
        (slo(objectives=[{"target": 99.9}]), ["target = 99.9", "below 1"]),
        (slo(objectives=[{"targetPercent": 100}]), ["targetPercent = 100", "below 100"]),
        (slo(objectives=[{"target": "99 %"}]), ["target = ", "number"]),
        (slo(objectives=[{"target": 1 - 1e-12}]), ["target", "must be a rate"]),
        (slo(objectives=[{"target": 0.9, "timeSliceTarget": 0.9}]), ["timeSliceTarget"]),
        (slo(objectives=[{"target": 0.9, "indicatorRef": "i"}]), ["indicatorRef"]),
    ],
    ids=lambda v: v[-1] if isinstance(v, list) else "",
)  # fmt: skip
def test_an_slo_that_is_not_understood_is_named(document: Any, words: list[str]) -> None:
    """What is wrong in a document, or what Andon cannot honour in it, is refused with file, document and key."""
    with pytest.raises(InputError) as error:
        read(document)
    assert not [w for w in ("slo.yaml, document 1", *words) if w not in str(error.value)]


def test_two_documents_of_one_name_are_refused() -> None:
    """Two SLOs of the same name are refused, and so are two SLIs: a reference would be ambiguous."""
    with pytest.raises(InputError, match=r"document 2, metadata.name"):
        read(slo(), slo())


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(p for k, v in inner for p in paths(v, (*here, k)))]


@settings(max_examples=300)
@given(data=st.data(), junk=JUNK)
def test_any_document_is_understood_or_refused_by_name(data: st.DataObject, junk: Any) -> None:
    """A document with any value put anywhere is understood, or refused with its place; never another exception."""
    document = slo()
    path = data.draw(st.sampled_from(paths(document)))
    if path:
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = junk
    else:
        document = junk
    message, found = "", tuple[Objective, ...]()
    try:
        found = read(document)
    except InputError as error:
        message = str(error)
    if message:
        keys = [k for k in path if isinstance(k, str)]
        assert "slo.yaml, document 1" in message
        assert not keys or any(k in message for k in keys[-2:])
        assert message.isprintable()
    else:
        assert all(0 < o.at_most < 1 and o.metric in METRICS for o in found)


# --- what was understood -------------------------------------------------------------------------------------------


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


def test_the_figures_of_the_guide_are_computed() -> None:
    """The table of clean samples in the guide, and its Python example, give what the functions give."""
    page = (HOW_TO / "set-objectives.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.split("(95 %) |\n")[1].split("\n\n")[0].splitlines()[1:]]
    assert dict(rows) == {limit: f"{clean_sample(float(limit[:-2]) / 100):,}" for limit, _ in rows}
    assert len(rows) == 5
    said: list[object] = []
    exec(page.split("```python\n")[1].split("```")[0], {"print": said.append})
    assert said == [verdict(0, 500, 0.001).reason, "pass", "fail", error_budget(6, 8_000, 0.001)]
    assert error_budget(6, 8_000, 0.001).spent == pytest.approx(0.75)  # type: ignore[union-attr]


def test_the_two_forms_of_the_guide_say_the_same() -> None:
    """The SLOs in the guide are the objectives of its TOML example, but for names and windows."""
    import tomllib

    page = (HOW_TO / "set-objectives.md").read_text(encoding="utf-8")
    tables = tomllib.loads(page.split("```toml\n")[1].split("```")[0])
    documents = yaml.safe_load_all(page.split("```yaml\n")[1].split("```")[0])
    ours, theirs = objectives_of(tables), read(*documents)
    assert len(ours) == 3

    def gist(o: Objective) -> tuple[object, ...]:
        return o.metric, o.direction, o.scope, o.app, o.environment, o.at_most, o.beyond

    assert [gist(o) for o in theirs] == [gist(o) for o in ours[:2]]
    assert [o.window_s for o in theirs] == [28 * 86_400, BUDGET_WINDOW_S]
