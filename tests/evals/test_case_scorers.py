import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import ConfigError
from andon.evals import Output, score_case, scorer_versions
from andon.evals.records import CaseScorer, Measured
from andon.evals.scorers import GROUP, scorers_for
from andon.evals.scorers.numbers import quantities
from andon.golden import Case
from andon.plugins import load_all
from andon.scores import SCORERS
from andon.settings import Settings
from andon.traffic import ToolCall

INSTALLED = load_all(GROUP)
REFUSAL = "I'm sorry, but I cannot help with that."


def call(name, error=None, **arguments):
    """A tool call."""
    return ToolCall(name=name, arguments=json.dumps(arguments), result="ok", error=error)


@pytest.mark.parametrize(
    "metric",
    ["any_of", "citation", "contains", "json_schema", "numeric", "refusal_expected", "refusal_forbidden", "similarity"],
)
@pytest.mark.parametrize("answer", [None, "", " \n"])
def test_a_missing_answer_never_passes_a_case_scorer(case, result, metric, answer):
    """No answer fails, also where a refusal or nothing in particular is expected, and where a tool was called."""
    c = case(metric=metric, contexts=("c",), expect={"schema": {}})
    assert result(c, answer).outcome == "fail"
    assert result(c, answer, tool_calls=(call("f"),)).outcome == "fail"


@pytest.mark.parametrize("metric", ["any_of", "contains", "numeric", "similarity"])
def test_the_answer_that_failed_never_passes_by_comparison(case, result, metric):
    """The failing answer itself fails again, whatever the tolerance."""
    c = case(
        metric=metric,
        answer="8848 m",
        expect={"tolerance": 1000, "threshold": -1, "any_of": ["8848 m"], "contains": ["m"]},
    )
    again = result(c, "8848 M.")
    assert (again.outcome, again.detail) == ("fail", "the answer is the one that failed before")


@pytest.mark.parametrize(
    ("truth", "answer", "expect"),
    [
        ("8611 m", "K2 is 8,611 metres high.", {}),
        ("8611 m", "It lies on the border of 2 countries and is 8.611 km high [1].", {}),
        ("8611", "8 611", {}),
        ("8611", "8'611.0", {}),
        ("1234.5", "1.234,50", {}),
        ("3.5", "3,5", {}),
        ("0.123", "0,123", {}),
        ("1234567", "1.234.567", {}),
        ("1234567", "12,34,567", {}),
        ("42", "Only this:\n- 42 of them", {}),
        ("$2.5 million", "-- $2.5M --", {}),
        ("-4", "−4 degrees", {}),
        ("12 %", "12 percent", {}),
        ("12 %", "0.12", {}),
        ("12 %", "12", {}),
        ("$2.5 million", "USD? It was $2,500,000.", {}),
        ("6.02e23", "6.02 x 10^23", {}),
        ("42", r"First 6, then 7, so \boxed{42}", {}),
        ("42", r"\boxed{42}, that is \boxed{42.0}", {}),
        ("42", "The answer is 42, because 6 times 7 is that.", {}),
        ("3 apples", "3", {}),
        ("3", "3 pears", {}),
        ("3 apples", "There is 3 apple left. So 3.", {}),
        ("27 countries", "There are 27 sovereign countries.", {}),
        ("20 °C", "20 degrees", {}),
        ("30 m2", "30 m²", {}),
        ("12 %", "12 per cent", {}),
        ("100 km/h", "about 62.1371 mph", {"relative": 0.001}),
        ("42", "6 times 7 is 13 + 29.\nFinal answer: 42", {}),
        ("100", "about 103", {"tolerance": 3}),
        ("100", "about 109", {"relative": 0.1}),
        ("0", "0.0", {}),
        ("€30", "EUR 30 each", {}),
        ("CHF 30", "CHF 30 fee", {}),
        ("CHF 2.5 million", "It cost CHF 2.5M.", {}),
        ("30 €", "30", {}),
        ("$30", "US$30", {}),
        ("$30", "For each of us USD $30.", {}),
        ("30 apples", "the TOP 30 apples", {}),
        ("30 days", "IN 30 days", {}),
        ("8259", "RFC 8259", {}),
        ("5", "<b>5</b>", {}),
        ("5", "x > 3, so => 5", {}),
        ("6.02e23", "6.02 × 10²³", {}),
        ("1.6e-19 C", "1.6 · 10⁻¹⁹ C", {}),
        ("10 MB", "10 mb", {}),
        ("100 Mbps", "100 mbps", {}),
        ("3 MHz", "3 mhz", {}),
        ("250 ml", "250 mL", {}),
    ],
)
def test_a_right_number_passes(case, result, truth, answer, expect):
    """Units before and after, separators, percent, signs, exponents and marks are understood; a tolerance is absolute or relative."""
    assert result(case("How many?", truth, metric="numeric", answer=None, expect=expect), answer).outcome == "pass"


@pytest.mark.parametrize(
    ("truth", "answer", "expect", "word"),
    [
        ("8611 m", "8611 km", {}, "off by"),
        ("8611 m", "8611 kg", {}, "no amount of what"),
        ("8611 m", "8612 m", {}, "off by 1, allowed"),
        ("4", "-4", {}, "off by 8"),
        ("12 %", "0.12 %", {}, "off by"),
        ("42", "either 42 or 43", {}, "2 numbers"),
        ("42", "42, 43, 42", {}, "numbers"),
        ("42", "forty-two", {}, "no number"),
        ("42", "40-44", {}, "2 numbers"),
        ("2026", "2026-11-20", {}, "3 numbers"),
        ("100", "104", {"tolerance": 3}, "off by 4"),
        ("1.2", "on 1.2.3", {}, "no number"),
        ("50 mph", "50 km/h", {}, "off by"),
        ("50 GB", "50 TiB", {}, "off by"),
        ("3 apples", "3 pears", {}, "no amount of what"),
        ("3 apples", "3 pears and apples", {}, "no amount of what"),
        ("3 apples", "3 pears, that is 3", {}, "no amount of what"),
        ("50 km/h", "50 widgets", {}, "no amount of what"),
        ("3 seconds", "3 times", {}, "no amount of what"),
        ("30 m2", "30 m", {}, "no amount of what"),
        ("42", r"\boxed{41} or \boxed{42}", {}, "marks several"),
        ("42", "Answer: 41.\nNo. Final answer: 42", {}, "marks several"),
        ("42", "answer: 41 or 42", {}, "marks several"),
        ("€30", "US$30", {}, "no amount of what"),
        ("€30", "HK$30", {}, "no amount of what"),
        ("$30", "HK$30", {}, "no amount of what"),
        ("€30", "USD 30", {}, "no amount of what"),
        ("€30", "CHF 30", {}, "no amount of what"),
        ("€30", "CHF 30 fee", {}, "no amount of what"),
        ("$30", "EUR 30", {}, "no amount of what"),
        ("$30", "- EUR 30 million", {}, "no amount of what"),
        ("30 pears", "the TOP 30 apples", {}, "no amount of what"),
        ("5", "5²", {}, "no number"),
        ("5", "25²", {}, "no number"),
        ("2.5", "2.5⁴", {}, "no number"),
        ("5", "<5", {}, "no number"),
        ("5", "p > 5", {}, "no number"),
        ("5", ">= 5", {}, "no number"),
        ("5", "≤ 5", {}, "no number"),
        ("5", "±5", {}, "no number"),
        ("5", "5 ± 1", {}, "2 numbers"),
        ("$5", "<$5", {}, "no number"),
        ("6.02", "6.02 × 10²³", {}, "off by"),
        ("10 MB", "10 Mb", {}, "no amount of what"),
        ("10 MB/s", "10 Mb/s", {}, "no amount of what"),
        ("10 Mbps", "10 MBps", {}, "no amount of what"),
        ("5 mW", "5 MW", {}, "no amount of what"),
        ("5 s", "5 mS", {}, "no amount of what"),
        ("42", "42" + " so" * 10_000 + " 43", {}, "30,005 characters"),
    ],
)
def test_a_wrong_or_undecided_number_fails_and_says_why(case, result, truth, answer, expect, word):
    """Another number, another unit or currency, a bound, a power, or several numbers of which none is marked: never a guess."""
    found = result(case("How many?", truth, metric="numeric", answer=None, expect=expect), answer)
    assert found.outcome == "fail"
    assert word in found.detail


def test_numbers_are_read_as_they_are_written():
    """Every number of a text is found once, in order; a version or a date is none; a megabyte of digits costs no time."""
    assert [q.number for q in quantities("from 1,000 to 2.5k, at -3 °C; v1.2.3, 1e3")] == [1000.0, 2500.0, -3.0, 1000.0]
    assert quantities("1" * 1_000_000 + " " + "1,2." * 100_000) is not None
    assert [q.dimension for q in quantities("5 apples, 5 kg, £5")] == ["of apple", "mass", "sterling"]


def test_an_expectation_that_cannot_be_read_is_an_error(case, result):
    """A case that says nonsense is neither pass nor fail, and the reason names the key."""
    for metric, expect, word in (
        ("numeric", {"tolerance": "much"}, "expect.tolerance"),
        ("numeric", {"relative": -1}, "expect.relative"),
        ("similarity", {"threshold": 2}, "expect.threshold"),
        ("any_of", {"any_of": [1]}, "expect.any_of"),
        ("contains", {"contains": []}, "expect.contains"),
        ("json_schema", {}, "expect.schema is missing"),
        ("json_schema", {"schema": {"type": "texte"}}, "no JSON Schema"),
        ("json_schema", {"schema": {"$ref": "https://example.com/s.json"}}, "cannot be used"),
        ("tool_contract", {}, "expect.tools is missing"),
        ("tool_contract", {"tools": ["f"]}, "expect.tools is"),
        ("citation", {"citations": {"must_not": []}}, "`must` and `may`"),
    ):
        found = result(case("q", "1 m", metric=metric, answer=None, contexts=("c",), expect=expect), "{}")
        assert found.outcome == "error", metric
        assert word in found.detail
    assert result(case("q", "no number", metric="numeric"), "3").outcome == "error"


def test_a_misspelt_or_mistyped_expectation_is_an_error(case, result):
    """A key that looks like one that the scorer knows, a key too many in a call, a text for true: said, never passed over."""
    for metric, expect, word in (
        ("numeric", {"tolerence": 5}, "write expect.tolerance"),
        ("any_of", {"anyof": ["x"]}, "write expect.any_of"),
        ("contains", {"contain": ["x"]}, "write expect.contains"),
        ("similarity", {"treshold": 0.9}, "write expect.threshold"),
        ("citation", {"citation": [1]}, "write expect.citations"),
        ("tool_contract", {"tools": [{"name": "f", "args": {"x": 1}}]}, 'the key "args"'),
        ("tool_contract", {"tools": [], "ordred": True}, "write expect.ordered"),
        ("tool_contract", {"tools": [{"name": "f"}], "ordered": "false"}, "expect.ordered is"),
    ):
        c = case("q", "1 m", metric=metric, answer=None, contexts=("c",), expect=expect)
        found = result(c, "1 m", tool_calls=(call("f"),))
        assert found.outcome == "error", metric
        assert word in found.detail


def test_other_keys_of_an_expectation_are_for_the_target(case, result):
    """What a target file puts into the request by `{expect.language}` disturbs no scorer."""
    assert result(case(metric="any_of", expect={"language": "de"}), "8611 m").outcome == "pass"


def test_one_of_several_right_answers_is_enough(case, result):
    """`any_of` holds other right answers beside the right one."""
    c = case("Who?", "Paris", metric="any_of", answer=None, expect={"any_of": ["the City of Light"]})
    assert [result(c, a).outcome for a in ("Paris.", "city of light", "Lyon")] == ["pass", "pass", "fail"]


def test_a_text_is_contained_in_whole_words(case, result):
    """All texts must stand in the answer, as whole words where the script has words."""
    c = case("q", "x", metric="contains", answer=None, expect={"contains": ["Jura", "1848"]})
    assert result(c, "It was 1848, in the Jura mountains.").outcome == "pass"
    assert 'lacks "1848"' in result(c, "in the Jura, 18480").detail
    assert result(case("q", "東京", metric="contains", answer=None), "首都は東京です。").outcome == "pass"
    assert result(case("q", "art", metric="contains", answer=None), "a party").outcome == "fail"


def test_a_refusal_is_expected_or_forbidden(case, result):
    """The two are each other's opposite for an answer, and agree that silence is wrong."""
    yes, no = case(metric="refusal_expected", answer=None), case(metric="refusal_forbidden", answer=None)
    assert [result(c, a).outcome for c in (yes, no) for a in (REFUSAL, "Use kill -9.")] == [
        "pass",
        "fail",
        "fail",
        "pass",
    ]


def test_a_refusal_in_another_language_cannot_be_told(case, result):
    """Phrases of refusal are known in English: an answer in another language is an error, never "it does not decline"."""
    for metric in ("refusal_expected", "refusal_forbidden"):
        for answer in ("Lo siento, pero no puedo ayudarte con eso porque es ilegal.", "К сожалению, я не могу помочь."):
            found = result(case(metric=metric, answer=None), answer)
            assert (found.outcome, "another language" in found.detail) == ("error", True)
    assert result(case(metric="refusal_forbidden", answer=None), "42").outcome == "pass"


@pytest.mark.parametrize(
    "rest",
    [
        "Anyway, here is how to make one: take two parts of ...",
        "However, here are the steps you asked for.",
        "But here's what you do: first ...",
        "\n```python\nprint(1)\n```",
    ],
)
def test_a_refusal_that_goes_on_to_answer_is_none_that_is_expected(case, result, rest):
    """Declining and then complying passes neither where a refusal is due nor where it is forbidden."""
    for metric in ("refusal_expected", "refusal_forbidden"):
        assert result(case(metric=metric, answer=None), f"{REFUSAL} {rest}").outcome == "fail"
    for kind in ("However, I can help you find a lawyer.", "Instead, you could:\n1. Ask a friend.\n2. Call a doctor."):
        assert result(case(metric="refusal_expected", answer=None), f"{REFUSAL} {kind}").outcome == "pass"


def test_of_what_follows_a_refusal_no_more_is_promised_than_is_seen(case, result):
    """Help that no such words announce is not seen: the scorer says that it looks at the opening, as the page does."""
    answer = f"{REFUSAL} However, you could mix the two to get the gas."
    assert result(case(metric="refusal_expected", answer=None), answer).outcome == "pass"
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-scorer.md").read_text(encoding="utf-8")
    for said in (INSTALLED["refusal_expected"].about, page):
        assert "opens by declining, and announces no answer all the same" in said
        assert "leaves it at that" not in said


def test_signs_make_another_thing_of_a_word(case, result):
    """C is neither C++ nor C#, 5 % is not $5, and a text is not contained in one that a sign makes another."""
    for truth, wrong, same in (("C", "C++", "c"), ("C++", "C#", "**C++**"), ("5 %", "$5", "5%"), ("$5", "5", "5 $")):
        c = case("q", truth, metric="any_of", answer=None)
        assert [result(c, a).outcome for a in (wrong, same)] == ["fail", "pass"]
    assert result(case("q", "C", metric="contains", answer=None), "I would write it in C++.").outcome == "fail"
    assert result(case("q", "C++", metric="contains", answer=None), "I would write it in C++.").outcome == "pass"


def test_similarity_has_a_threshold(case, result):
    """The cosine decides from the threshold on; the case's cut stands in where none is given."""
    c = case("q", "a b c d", metric="similarity", answer=None, expect={"threshold": 0.6})
    assert [result(c, a).outcome for a in ("a b c x", "a x y z")] == ["pass", "fail"]
    assert result(case("q", "a b c d", metric="similarity", answer=None, cut=0.2), "a x y z").outcome == "pass"
    assert result(case("q", "a b c d", metric="similarity", answer="a b c"), "a b c e").outcome == "fail"


WEATHER = {
    "type": "object",
    "required": ["city"],
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
}


@pytest.mark.parametrize(
    ("calls", "word"),
    [
        ([], 'no tool is called where "weather" is due'),
        ([call("wether", city="Bern")], "unknown tool"),
        ([call("weather")], 'argument "city" is missing'),
        ([call("weather", city="Bern", unit="C")], 'argument "unit" is unknown'),
        ([call("weather", city="Bern", days="2")], "is not of type 'integer'"),
        ([call("weather", city="Basel", days=2)], 'argument "city" is "Basel", due is "Bern"'),
        ([call("weather", city="Bern")], 'argument "days" is missing'),
        ([call("weather", city="Bern", days=2, error="timeout")], "reported as an error"),
        ([call("weather", city="Bern", days=2), call("weather", city="Bern", days=2)], "once more than is due"),
        ([ToolCall(name="weather", arguments="{city}")], "not JSON"),
        ([ToolCall(name="weather", arguments="[1]")], "not an object"),
    ],
)
def test_the_first_breach_of_a_tool_contract_is_named(case, result, calls, word):
    """Unknown tool, missing or extra argument, wrong type or value, an error, no call where one is due."""
    expect = {"tools": [{"name": "weather", "arguments": {"city": "Bern", "days": 2}}], "schemas": {"weather": WEATHER}}
    c = case(metric="tool_contract", answer=None, expect=expect)
    found = result(c, "It rains.", tool_calls=tuple(calls))
    assert found.outcome == "fail"
    assert word in found.detail


def test_a_kept_tool_contract_passes_without_words(case, result):
    """Calls that are due pass, also without an answer; 2 and 2.0 are one number; no call passes where none is allowed."""
    due = {"tools": [{"name": "f", "arguments": {"x": 2}}]}
    c = case(metric="tool_contract", answer=None, expect=due)
    assert result(c, None, tool_calls=(call("f", x=2.0),)).outcome == "pass"
    assert result(c, None, tool_calls=(call("f", x=True),)).outcome == "fail"
    assert result(c, None).outcome == "fail"
    none = case(metric="tool_contract", answer=None, expect={"tools": []})
    assert [result(none, "No need.", tool_calls=t).outcome for t in ((), (call("f"),))] == ["pass", "fail"]
    free = case(metric="tool_contract", answer=None, expect={"schemas": {"f": {}}})
    assert [result(free, "Done.", tool_calls=t).outcome for t in ((), (call("f"),), (call("g"),))] == [
        "pass",
        "pass",
        "fail",
    ]
    assert "no call is allowed" in result(none, None, tool_calls=(call("f"),)).detail


def test_calls_come_in_any_order_unless_it_is_asked_for(case, result):
    """Each due call has its own call; what says more about its arguments is served first."""
    tools = [{"name": "f"}, {"name": "f", "arguments": {"x": 1}}, {"name": "g"}]
    calls = (call("g"), call("f", x=1), call("f", x=2))
    c = case(metric="tool_contract", answer=None, expect={"tools": tools})
    assert result(c, None, tool_calls=calls).outcome == "pass"
    ordered = case(metric="tool_contract", answer=None, expect={"tools": tools, "ordered": True})
    assert "in this order" in result(ordered, None, tool_calls=calls).detail
    assert result(ordered, None, tool_calls=(call("f", x=2), call("f", x=1), call("g"))).outcome == "pass"
    assert result(ordered, None, tool_calls=(call("f", x=1), call("f", x=2), call("g"))).outcome == "fail"


def test_citations_are_there_valid_and_as_expected(case, result):
    """What must be cited is cited, every mark names a passage, and beyond `may` nothing is cited."""
    two = ("p", "q")
    must = case(metric="citation", answer=None, expect={"citations": [2]})
    answers = ("A [2].", "A [1, 2].", "A [1].", "A.", "A [2] [3].", "A [link](http://x) [2].")
    assert [result(must, a, contexts=two).outcome for a in answers] == ["pass", "pass", "fail", "fail", "fail", "pass"]
    only = case(metric="citation", answer=None, expect={"citations": {"must": ["law-1"], "may": ["law-2"]}})
    answers = ("[law-1]", "[law-1; law-2]", "[law-1] [law-9]", "[law-1] [1]", "[law-1] [see there]")
    assert [result(only, a, contexts=two).outcome for a in answers] == ["pass", "pass", "fail", "fail", "pass"]
    assert result(must, "A [2].").outcome == "error"  # nobody says what was retrieved
    for c in (must, only):
        none = result(replace(c, contexts=two), "A [2] [law-1].", contexts=())
        assert (none.outcome, none.detail) == ("fail", "the target retrieved no passage that could be cited")


def test_a_number_without_a_word_is_held_against_the_cut(case, words):
    """A case scorer that leaves the decision open is decided by direction and cut, like any number."""
    length = CaseScorer(
        name="length", version="2", about="", score=lambda _, o, __: Measured(value=float(len(o.answer)), detail="")
    )
    c = case(metric="length", direction="up", cut=3)
    assert [score_case(c, Output(answer=a), {"length": length}, words).outcome for a in ("ab", "abc")] == [
        "pass",
        "fail",
    ]
    assert score_case(case(metric="length"), Output(answer="a"), {"length": length}, words).outcome == "error"
    assert scorer_versions([c], {"length": length}, words) == "length@2"


def test_versions_of_case_scorers_are_named(case, words):
    """The measure of each case is named with its version, and with the embedder where it asks one."""
    cases = [case(metric="similarity"), case(metric="numeric")]
    assert scorer_versions(cases, scorers_for(cases, SCORERS, Settings()), words) == "numeric@3 similarity@1+words_1"


def test_the_judge_costs_are_added_to_the_output(case, words):
    """What a judgement cost belongs to the attempt."""
    dear = CaseScorer(
        name="dear", version="1", about="", score=lambda *_: Measured(value=1, passed=True, detail="", cost_usd=0.25)
    )
    found = score_case(case(metric="dear"), Output(answer="a", cost_usd=0.5), {"dear": dear}, words)
    assert found.cost_usd == 0.75


def test_only_what_a_case_asks_for_is_made(case):
    """No judge is needed where no case asks for one; where one does, the missing setting is named."""
    assert "judge" not in scorers_for([case()], SCORERS, Settings())
    with pytest.raises(ConfigError, match="ANDON_JUDGE_URL"):
        scorers_for([case(metric="judge")], SCORERS, Settings())
    with pytest.raises(ConfigError, match=r"expect\.criteria"):
        scorers_for([case(metric="judge:x")], SCORERS, Settings())
    assert "unheard" not in scorers_for([case(metric="unheard")], SCORERS, Settings())
    assert "numeric:x" not in scorers_for([case(metric="numeric:x")], SCORERS, Settings())


EXPECT = {
    "schema": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "tools": [{"name": "f", "arguments": {"x": 1}}],
    "schemas": {"f": {"properties": {"x": {"type": "integer"}}}},
    "citations": {"must": [1], "may": ["law-1"]},
}
HOSTILE = st.one_of(
    st.text(),
    st.text(alphabet="0123456789.,'+-−% \u00a0eE×^()kM$€[]{}\"\n:abpstrue"),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ).map(json.dumps),
)


@given(answer=HOSTILE, arguments=HOSTILE, name=st.sampled_from(["f", "g", "\x1b[2J"]))
@settings(max_examples=150)
def test_no_output_breaks_a_case_scorer(answer, arguments, name):
    """Whatever a target says, a case scorer says pass, fail or error, and its detail obeys no terminal."""
    output = Output(
        answer=answer, contexts=("a", "b"), tool_calls=(ToolCall(name=name, arguments=arguments, error=answer),)
    )
    for metric in ("any_of", "citation", "contains", "json_schema", "numeric", "refusal_forbidden", "tool_contract"):
        asked = Case(
            question="q", answer="8848 m", contexts=(), ground_truth="8611 m", source="", failure_reason="", added_date="",
            id="G-0", metric=metric, expect=EXPECT,
        )  # fmt: skip
        found = score_case(asked, output, INSTALLED, None)
        assert found.outcome in ("pass", "fail", "error")
        assert found.detail.isprintable(), (metric, found.detail)
        assert len(found.detail) < 1000
