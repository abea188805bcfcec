"""Laws of promptfoo's templates and options: nothing is run that was a text, and no test becomes another one unsaid."""

import json

import pytest
import yaml

from andon.errors import InputError
from andon.golden.formats import read_as, recognise, write_as


@pytest.mark.parametrize("text", ["{{ env.HOME }}", "100 {% raw %}", "{# none #}", "file:///etc/passwd", "package:x"])
def test_promptfoo_runs_no_text_of_ours(case, text):
    """A question or right answer that promptfoo would take for a template or a file is left out by name, whatever the measure."""
    for hostile in (
        case(text), case(truth=text), case(metric="judge", expect={"criteria": text}),
        case(metric="any_of", expect={"any_of": ["8611 m", text]}),
        case(metric="json_schema", expect={"schema": {"const": text}}),
    ):  # fmt: skip
        written, left_out = write_as([hostile, case("who?")], "promptfoo")
        assert [r.id for r in left_out] == [hostile.id]
        assert "template or a file" in left_out[0].reason
        assert [t["description"] for t in yaml.safe_load(written)] == [case("who?").id]
    written, left_out = write_as([case('say "file" {a}', truth="{}")], "promptfoo")
    assert left_out == ()


def test_variables_are_put_into_the_question_and_its_contexts():
    """A question that is a template asks what promptfoo asks; one that cannot be filled is refused by name."""
    text = """
- vars: {question: "What is a {{ thing }}?", thing: loan, contexts: ["A {{thing}} lasts.", plain]}
  assert: [{type: equals, value: "a {{thing}}"}]
- vars: {question: "What is {{gone}}?", thing: loan}
  assert: [{type: equals, value: a}]
- vars: {question: "{{ thing | upper }}?", thing: loan}
  assert: [{type: equals, value: a}]
- vars: {question: "{{thing}}?", thing: "{{question}}"}
  assert: [{type: equals, value: a}]
"""
    reading = read_as(text, "promptfoo", "p")
    (case,) = reading.cases
    assert (case.question, case.contexts, case.ground_truth) == (
        "What is a loan?",
        ("A loan lasts.", "plain"),
        "a loan",
    )
    assert [r.id for r in reading.refused] == ["test 2", "test 3", "test 4"]
    for refused, word in zip(reading.refused, ('"gone"', "is a template", "is a template"), strict=True):
        assert "the question" in refused.reason
        assert word in refused.reason


@pytest.mark.parametrize(
    ("test", "default", "word"),
    [
        ({"threshold": 0.5}, {}, "threshold"),
        ({}, {"threshold": 0.5}, "threshold"),
        ({"assertScoringFunction": "file://s.js"}, {}, "assertScoringFunction"),
        ({"options": {"transform": "output.trim()"}}, {}, "transform"),
        ({}, {"options": {"transform": "output.trim()"}}, "transform"),
        ({"assert": [{"type": "equals", "value": "a", "weight": 0}]}, {}, "weight 0"),
        ({"assert": [{"type": "equals", "value": "a", "transform": "x"}]}, {}, "transform"),
    ],
)
def test_what_makes_a_promptfoo_test_another_one_is_refused_by_name(test, default, word):
    """A test that may fail in part, an assertion that never fails, and a transformed answer are no case; other keys harm nothing."""
    plain = {"vars": {"question": "q"}, "assert": [{"type": "equals", "value": "a", "weight": 2, "metric": "m"}]}
    document = {"defaultTest": default, "tests": [{**plain, **test}]}
    reading = read_as(yaml.safe_dump(document), "promptfoo", "p")
    assert reading.cases == ()
    assert word in reading.refused[0].reason
    assert len(read_as(yaml.safe_dump({"tests": [{**plain, "options": {"prefix": "x"}}]}), "promptfoo", "p").cases) == 1


def test_few_bytes_of_yaml_do_not_become_many():
    """Aliases, by which 400 bytes make a document of gigabytes, are refused by line; so are texts that variables make huge."""
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 9))
    bomb += "tests:\n- vars: {question: q}\n  metadata: {m: *a8}\n  assert: [{type: equals, value: a}]\n"
    with pytest.raises(InputError, match=r"at line 2: .aliases are not read"):
        read_as(bomb, "promptfoo", "p")
    with pytest.raises(InputError, match="no format that is known"):
        recognise(bomb, "p")
    test = {"vars": {"question": "q", "a": "x" * 2000}, "assert": [{"type": "equals", "value": "{{a}}" * 2000}]}
    reading = read_as(json.dumps([test]), "promptfoo", "p")
    assert reading.cases == ()
    assert "becomes longer" in reading.refused[0].reason
    sample = {"input": "q", "target": "a", "metadata": {"page": "x" * 2**20}}
    assert "1,048,576 are kept" in read_as(json.dumps(sample), "inspect", "s").refused[0].reason


@pytest.mark.parametrize("text", ["true__", "Falsehoods", "truest of all", "True", "FALSE story"])
def test_a_text_that_begins_like_a_truth_value_is_a_text(text):
    """Unquoted YAML whose first letters are true or false is read as it stands; only the whole words are truth values."""
    written = f"- vars: {{question: {text}}}\n  assert: [{{type: equals, value: a}}]\n"
    (case,) = read_as(written, "promptfoo", "p").cases
    assert case.question.lower() == text.lower()
