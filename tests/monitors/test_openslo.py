"""OpenSLO: documents become objectives as a whole, or are refused by file, document and key."""

import copy
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import InputError
from andon.monitors.objectives import BUDGET_WINDOW_S, Objective, objectives_of, objectives_of_openslo
from andon.scores import failing
from andon.traffic import SEGMENTS

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"

WORDS = st.text("abc_ é\n<", max_size=4)
JUNK: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from([*SEGMENTS, "x"]), st.one_of(WORDS, st.integers()), max_size=3),
)  # fmt: skip


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


def test_a_name_is_given_once_in_all_files() -> None:
    """An SLO with the name of an objective of andon.toml is refused, and both places are said."""
    row = {"name": "cited", "metric": "error", "at_most": 0.01}
    with pytest.raises(InputError, match=r"slo.yaml, document 1.*name = .*andon.toml, objective 1"):
        objectives_of({"objective": [row], "openslo": [["slo.yaml, document 1", slo()]]})


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
        assert all(0 < o.at_most < 1 for o in found)


def test_the_two_forms_of_the_guide_say_the_same() -> None:
    """The SLOs in the guide are the objectives of its TOML example, but for names and windows."""
    page = (HOW_TO / "set-objectives.md").read_text(encoding="utf-8")
    tables = tomllib.loads(page.split("```toml\n")[1].split("```")[0])
    documents = yaml.safe_load_all(page.split("```yaml\n")[1].split("```")[0])
    ours, theirs = objectives_of(tables), read(*documents)
    assert len(ours) == 3

    def gist(o: Objective) -> tuple[object, ...]:
        return o.metric, o.direction, o.scope, o.app, o.environment, o.at_most, o.beyond

    assert [gist(o) for o in theirs] == [gist(o) for o in ours[:2]]
    assert [o.window_s for o in theirs] == [28 * 86_400, BUDGET_WINDOW_S]
