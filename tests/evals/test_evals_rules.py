import pytest

from andon.errors import InputError
from andon.evals.rules import DEFAULT, TEXT, Rule, parse_rules

NOVEMBER_US = 1_795_219_200_000_000
"""2026-11-21, 00:00 UTC."""


def test_the_default_file_is_the_default():
    """What `andon gate --init` writes is what the gate does without a file, and so is an empty file."""
    assert parse_rules(TEXT) == DEFAULT
    assert parse_rules("") == DEFAULT


def test_a_case_belongs_to_the_rule_of_its_category_then_to_high_risk_then_to_the_rest():
    """The order in the file does not matter; what is of high risk in one of two runs is of high risk."""
    rules = parse_rules(
        """
        [[rule]]
        category = "*"
        at_most = 0.02
        [[rule]]
        category = "Critical"
        bar = 0.99
        [[rule]]
        category = "high-risk"
        no_regression = true
        [[rule]]
        category = "billing"
        not_worse = true
        """
    )

    def of(*categories):
        rule = rules.rule_of(categories)
        return None if rule is None else rule.category

    assert (of("critical", "critical"), of(" HIGH ", "high"), of("billing", "billing")) == (
        "critical",
        "high-risk",
        "billing",
    )
    assert (of(None, None), of("*", "*"), of("low", "low")) == ("*", "*", "*")
    assert (of("billing", "high"), of("high", "billing"), of("billing", "critical")) == (
        "high-risk",
        "high-risk",
        "critical",
    )
    alone = parse_rules('[[rule]]\ncategory = "billing"\nnot_worse = true')
    assert alone.rule_of(("high", "high")) is None


def test_a_quarantine_of_the_rules_ends_within_thirty_days():
    """A day at most 30 days ahead, as a date or a text; it holds until that day begins (UTC), for the case that is named."""
    text = '[[quarantine]]\ncase = "G-1"\nuntil = {}\nwhy = "flaky"'
    rules = parse_rules(text.format("2026-12-21"), now_us=NOVEMBER_US)
    assert parse_rules(text.format('"2026-12-21"'), now_us=NOVEMBER_US) == rules
    until_us = rules.quarantine[0].until_us
    assert until_us == NOVEMBER_US + 30 * 86_400_000_000
    assert ([*rules.set_aside(until_us - 1)], [*rules.set_aside(until_us)]) == (["G-1"], [])
    with pytest.raises(InputError, match="more than 30 days ahead"):
        parse_rules(text.format("2026-12-22"), now_us=NOVEMBER_US)


def test_rules_say_what_they_ask():
    """A rule in words holds its limit."""
    assert Rule(category="*", kind="at_most", limit=0.02).says == "at most 0.02 worse"
    assert Rule(category="*", kind="bar", limit=0.95).says == "pass rate at least 0.95"
    assert Rule(category="*", kind="no_regression").says == "no regression"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rule", "is not TOML"),
        ("alfa = 0.1", "there is no 'alfa'; allowed are alpha"),
        ("alpha = 0", "alpha is 0; a level above 0"),
        ("alpha = true", "alpha is True"),
        ("alpha = nan", "alpha is nan"),
        ("repeats = 0", "repeats is 0; a whole number from 1"),
        ("repeats = 1.5", "repeats is 1.5"),
        ("confirm = -1", "confirm is -1; a whole number from 0"),
        ("baseline = 3", "baseline is 3; the path"),
        ("quarantine = 3", "`quarantine` is 3"),
        ('[[quarantine]]\ncase = "G-1"\nuntil = 2026-12-01', "quarantine 1: case, until and why are needed"),
        ('[[quarantine]]\ncase = "G-1"\nuntil = 2026-12-01\nwhy = " "', "a reason are needed"),
        ('[[quarantine]]\ncase = "G-1"\nuntil = "7d"\nwhy = "x"', "until is 7d; a day such as"),
        ("rule = 3", "`rule` is 3"),
        ("rule = []", "one or more tables `[[rule]]`"),
        ("[[rule]]\nbar = 0.9", "rule 1: category is missing"),
        ('[[rule]]\ncategory = "x"', "asks for nothing; give one of"),
        ('[[rule]]\ncategory = "x"\nbar = 0.9\nat_most = 0.1', "asks for at_most and bar; give one of"),
        ('[[rule]]\ncategory = "x"\nbar = 1.2', "bar is 1.2; a pass rate above 0 and up to 1"),
        ('[[rule]]\ncategory = "x"\nat_most = 1', "at_most is 1; a drop"),
        ('[[rule]]\ncategory = "x"\nat_most = "2%"', "at_most is '2%'"),
        ('[[rule]]\ncategory = "x"\nnot_worse = false', "not_worse is False; `true`"),
        ('[[rule]]\ncategory = "x"\nbar = 0.9\nwhy = 1', "there is no 'why'"),
        ('[[rule]]\ncategory = "x"\nbar = 0.9\n[[rule]]\ncategory = "X "\nbar = 0.8', "rule 2: 'x' has a rule already"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_what_is_allowed(text, said):
    """Nothing in a rules file is ignored: each mistake names the file, the value and what is allowed."""
    with pytest.raises(InputError) as refused:
        parse_rules(text, name="gate.toml")
    assert str(refused.value).startswith("gate.toml")
    assert said.replace("'", "") in str(refused.value).replace('"', "").replace("'", "")
