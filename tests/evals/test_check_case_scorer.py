from dataclasses import replace

import pytest

from andon.errors import ConfigError
from andon.evals import CaseScorer, Measured, Output
from andon.evals.scorers.choosing import GROUP
from andon.plugins import load_all
from andon.testing import check_case_scorer
from andon.traffic import ToolCall

REFUSAL = Output(answer="I'm sorry, but I cannot help with that.")
RIGHT, WRONG = Output(answer="8611 m [1]", contexts=("K2",)), Output(answer="Bananas, 3 kg.", contexts=("K2",))

EXAMPLES = {
    "any_of": ({}, Output(answer="8611 m"), WRONG),
    "citation": ({}, RIGHT, WRONG),
    "contains": ({}, RIGHT, WRONG),
    "json_schema": ({"schema": {"type": "object"}}, Output(answer="{}"), WRONG),
    "numeric": ({}, RIGHT, WRONG),
    "refusal_expected": ({}, REFUSAL, WRONG),
    "refusal_forbidden": ({}, RIGHT, REFUSAL),
    "similarity": ({"threshold": 0.5}, RIGHT, WRONG),
    "tool_contract": ({"tools": [{"name": "f"}]}, Output(answer=None, tool_calls=(ToolCall(name="f"),)), WRONG),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_built_in_case_scorer_keeps_the_laws(case, name):
    """The built-in ones are found by their entry points and pass the check that authors of plug-ins call."""
    expect, right, wrong = EXAMPLES[name]
    found = load_all(GROUP)[name]
    assert found.name == name
    check_case_scorer(found, case(answer=None, expect=expect), right=right, wrong=wrong)


def test_every_installed_case_scorer_is_a_scorer_or_makes_one():
    """An entry point is a case scorer with its own name, or a function; each has an example above, or asks for the world."""
    points = load_all(GROUP)
    assert {n for n, p in points.items() if isinstance(p, CaseScorer)} == set(EXAMPLES)
    assert {n for n, p in points.items() if callable(p)} == {"deepeval", "inspect", "judge", "ragas"}


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ({"name": "Mine"}, "identifier"),
        ({"version": ""}, "no version"),
        ({"version": "1 b"}, "space"),
        ({"score": lambda *_: Measured(value=1.0, passed=True, detail="")}, "says pass where fail"),
        ({"score": lambda _, o, __: Measured(value=float("nan"), passed=o == RIGHT, detail="")}, "says error"),
        (
            {"score": lambda _, o, __: Measured(value=1.0, passed=o == RIGHT, detail=o.answer or "")},
            "control characters|characters",
        ),
    ],
)
def test_a_case_scorer_that_breaks_a_law_is_named(case, broken, word):
    """The check bites: names, versions, verdicts, numbers and details."""
    good = CaseScorer(
        name="mine", version="1", about="", score=lambda _, o, __: Measured(value=1.0, passed=o == RIGHT, detail="")
    )
    check_case_scorer(good, case(), right=RIGHT, wrong=WRONG)
    with pytest.raises(AssertionError, match=word):
        check_case_scorer(replace(good, **broken), case(), right=RIGHT, wrong=WRONG)


def test_a_plug_in_that_makes_no_scorer_is_named(case, monkeypatch):
    """An entry point that is something else is an error of its package, said before anything is asked."""
    from andon.evals.scorers import choosing

    for point in (3, lambda settings, part: part):
        monkeypatch.setattr(choosing, "load_all", lambda _, p=point: {"odd": p})
        with pytest.raises(ConfigError, match="no CaseScorer"):
            choosing.scorers_for([case(metric="odd")], (), None)
