"""Laws of the rules in andon.toml: what may be written, and what is said of it."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruled import BREAKER, BUDGET, PROBED, PROBES, REFUSED, rules

from andon.errors import InputError
from andon.evals.probes import Probe
from andon.levers.rule_tables import describe_rules, pull_rules_of
from andon.levers.rules import Breaker, Budget, OnProbe, OnSignal


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (3, "must be a table"),
        ({}, "name is missing"),
        ({**REFUSED, "by": None}, "by is missing"),
        ({**REFUSED, "for": "soon"}, 'for = "soon"'),
        ({**REFUSED, "for": "91d"}, 'for = "91d"'),
        ({**REFUSED, "lever": "A B"}, '"A B" is not a key of a lever'),
        ({**REFUSED, "cron": 1}, '"cron" is not a key'),
        ({**REFUSED, "signal": "nonsense"}, 'signal = "nonsense" is not measured'),
        ({**REFUSED, "signal": "markdown"}, 'signal = "markdown" warns, and never pages'),
        ({**REFUSED, "signal": "traffic", "where": {"task": "x"}}, "where means nothing"),
        ({**REFUSED, "where": {"colour": "red"}}, '"colour" is not a key'),
        ({**REFUSED, "probe": "weekly"}, "signal and probe are several"),
        ({**REFUSED, "signal": None}, "none is there"),
        ({**REFUSED, "within": "5m"}, '"within" is not a key'),
        ({**REFUSED, "environment": "dev"}, 'environment "dev" has no levers'),
        ({**PROBED, "probe": "daily"}, 'probe = "daily" is not there; there are weekly'),
        ({**PROBED, "app": "bot"}, '"app" is not a key'),
        ({**BREAKER, "metric": None}, "metric is missing"),
        ({**BREAKER, "within": None}, "within is missing"),
        ({**BREAKER, "above": 50}, "above = 50 must be a rate"),
        ({**BREAKER, "above": "50"}, "must be a number"),
        ({**BREAKER, "least": 0}, "least = 0 must be a whole number"),
        ({**BREAKER, "metric": "groundedness"}, "low values of groundedness harm"),
        ({**BREAKER, "total": 5}, "above and total are several"),
        ({**BUDGET, "metric": "error"}, 'metric = "error" is nothing that a budget adds up'),
        ({**BUDGET, "total": 0}, "total = 0 must be above 0"),
        ({**BUDGET, "least": 3}, '"least" is not a key'),
    ],
)
def test_a_rule_that_is_not_understood_is_named(entry: Any, said: str) -> None:
    """Every mistake in the file is said with the key, and with the file and the entry where it has one."""
    with pytest.raises(InputError) as error:
        pull_rules_of({"pull": [entry]}, PROBES)
    assert said in str(error.value)
    assert "andon.toml, pull 1" in str(error.value)


def test_what_was_understood_is_said() -> None:
    """One sentence for each rule: who, what, where, how long, when, and where it was written."""
    part = {**REFUSED, "where": {"risk_category": "high"}, "app": "medical", "value": "m-1"}
    slow = {**BREAKER, "name": "slow", "metric": "latency_s", "above": 10, "least": 5, "environment": "staging"}
    assert describe_rules(rules(part, PROBED, BREAKER, slow, BUDGET)) == [
        'hold the model: maria holds routing at "m-1" in production for 4 h when a chart of refusal pages in risk category '
        "“high” of app medical (andon.toml, pull 1)",
        "citations off: maria holds tools.search at its safe value in production for 10 h when probe weekly breaks its bar of "
        "95 % (andon.toml, pull 2)",
        "breaker: jo holds tools.search at its safe value in production for 10 min when the rate of harm by error of the last "
        "5 min in all traffic of the application of the lever is above 50 % (of 20 interactions or more) (andon.toml, pull 3)",
        "slow: jo holds tools.search at its safe value in staging for 10 min when the mean of latency_s of the last 5 min in all "
        "traffic of the application of the lever is above 10 (of 5 interactions or more) (andon.toml, pull 4)",
        "budget: jo holds routing at its safe value in production for 60 min when the sum of cost_usd of the last 24 h in all "
        "traffic of the application of the lever reaches 500 (andon.toml, pull 5)",
    ]


def test_the_rules_of_the_documentation_are_understood() -> None:
    """What the page tells people to write is a file with four rules, one of each condition."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "pull-by-rule.md"
    (block,) = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    probe = Probe(name="citations-weekly", app="legal", target="t", every_s=7 * 86400, source="")
    found = pull_rules_of(tomllib.loads(block), [probe])
    assert [type(r.when) for r in found] == [OnSignal, OnProbe, Breaker, Budget]


def test_two_rules_have_two_names() -> None:
    """Who pulled is told by the name of the rule, so that no two have the same."""
    with pytest.raises(InputError, match=r"is taken by andon\.toml, pull 1"):
        rules(REFUSED, {**BUDGET, "name": "hold the model"})
    with pytest.raises(InputError, match="must be a list of tables"):
        pull_rules_of({"pull": {"name": "x"}})


@pytest.mark.parametrize("entry", [BREAKER, BUDGET])
def test_a_rule_that_looks_back_less_far_than_traffic_takes_to_come_is_refused(entry: dict[str, Any]) -> None:
    """`within` below twice the settle time sees nothing: it is refused with both times and the way out; at twice it is read."""
    with pytest.raises(
        InputError, match=r"pull 1: within = \"2 min\" is too short .* 61 s after it came .*; 2 min or more"
    ):
        pull_rules_of({"pull": [{**entry, "within": "2m"}]}, settle_s=61)
    assert len(pull_rules_of({"pull": [{**entry, "within": "2m"}]}, settle_s=60)) == 1
    assert len(pull_rules_of({"pull": [REFUSED]}, settle_s=10**6)) == 1
