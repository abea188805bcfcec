"""Laws of the formats of others: recognised, read, refused by name, and written so that nothing is lost."""

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError
from andon.golden import Case
from andon.golden.cases import case_id
from andon.golden.formats import FORMATS, read_as, recognise, write_as

OTHERS = [form for form in FORMATS if form != "andon"]

KEYS = (
    "input", "output", "target", "ideal", "item", "messages", "expectedOutput", "metadata", "andon", "contexts", "kwargs",
    "status", "choices", "question", "vars", "assert", "type", "value", "threshold", "content", "role", "id", "expect", "any_of",
    "risk_category", "cut", "retired", "description", "sandbox", "example_id", "text", "contains", "metric", "schema", "criteria",
)  # fmt: skip

RUN = re.compile(r"\{[{%#]|^(file://|package:)")
said = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(str.strip)
said = said.filter(lambda text: not RUN.search(text))  # promptfoo would run it: left out by name
LONG = "a right answer of more than twelve words is compared by its meaning and not by its letters"


@st.composite
def any_case(draw):
    """A case of any measure that promptfoo can say too, with contexts, risk, and what Andon adds."""
    question, truth, app = draw(said), draw(said | st.just(LONG)), draw(st.sampled_from(["default", "shop"]))
    metric, expect = draw(
        st.sampled_from(
            [
                ("normalised_match", {}),
                ("exact_match", {}),
                ("contains", {}),
                ("contains", {"contains": ["a", "b"]}),
                ("any_of", {"any_of": [truth, "another"]}),
                ("similarity", {"threshold": 0.8}),
                ("judge", {"criteria": "it is polite"}),
                ("json_schema", {"schema": {"type": "object"}}),
                ("refusal_expected", {}),
                ("refusal_forbidden", {}),
            ]
        )
    )
    return Case(
        question=question,
        ground_truth=truth,
        answer=draw(st.none() | said),
        contexts=tuple(draw(st.lists(said, max_size=2))),
        source=draw(st.sampled_from(["incident INC-0001", "thumbs-down"])),
        failure_reason=draw(st.just("") | said),
        added_date="2026-11-20",
        id=case_id(app, question, truth),
        app=app,
        metric=metric,
        expect=expect,
        risk_category=draw(st.none() | st.sampled_from(["high", "low"])),
        incident=draw(st.none() | st.just("INC-0001")),
        nearest=draw(st.none() | st.floats(-1, 1)),
        variant_of=draw(st.none() | st.just("G-0123456789abcdef")),
        retired=draw(st.none() | st.just("2026-11-21")),
        retired_why=draw(st.none() | said),
    )


@pytest.mark.parametrize("form", OTHERS)
@given(cases=st.lists(any_case(), min_size=1, max_size=4, unique_by=lambda c: c.id))
def test_what_is_written_is_read_back(form, cases):
    """Every field of every case survives each format, and the format is recognised by its content."""
    text, left_out = write_as(cases, form)
    assert left_out == ()
    assert recognise(text, "file") == form
    reading = read_as(text, form, "file")
    assert reading.refused == ()
    assert list(reading.cases) == cases


def one(form, text):
    """The only case of a text in which nothing is refused."""
    assert recognise(text, "file") == form
    reading = read_as(text, form, "file")
    assert reading.refused == ()
    (case,) = reading.cases
    return case


PROMPTFOO = """
prompts: [file://prompts.txt]
providers: [echo]
defaultTest:
  vars: {language: en}
  assert:
    - $ref: '#/assertionTemplates/polite'
tests:
  - description: exact
    vars: {body: Yes}
    assert:
      - type: equals
        value: "{{language}} yes"
  - description: mixed
    vars: {question: "hungry?", language: en}
    assert:
      - type: javascript
        value: output.startsWith('A')
      - type: similar
        value: food, please
        threshold: 0.9
      - type: is-json
      - {type: icontains-any, value: [a, b]}
  - vars: {a: 1, b: 2}
    assert: [{type: equals, value: x}]
  - vars: {question: q}
    assert: [{type: equals, value: file://right.txt}]
assertionTemplates:
  polite: {type: llm-rubric, value: It is polite}
"""


def test_promptfoo_tests_become_cases_and_what_is_not_understood_is_named():
    """Defaults, references and variables are put in; an unknown assertion is refused by name, the rest of its test is taken."""
    reading = read_as(PROMPTFOO.replace("vars: {body: Yes}", "vars: {question: Yes}"), "promptfoo", "p.yaml")
    made = [(c.question, c.metric, c.ground_truth, c.expect) for c in reading.cases]
    polite = ("judge", "It is polite", {"criteria": "It is polite"})
    assert made == [
        ("Yes", *polite),
        ("Yes", "exact_match", "en yes", {}),
        ("hungry?", *polite),
        ("hungry?", "similarity", "food, please", {"threshold": 0.9}),
        ("hungry?", "json_schema", "JSON", {"schema": {}}),
        ("q", *polite),
    ]
    assert [c.variant_of for c in reading.cases[2:5]] == [None, reading.cases[2].id, reading.cases[2].id]
    refused = [(r.id, r.reason) for r in reading.refused]
    assert [place for place, _ in refused] == ['test 2 ("mixed")', 'test 2 ("mixed")', "test 3", "test 4"]
    for (_, reason), word in zip(refused, ["javascript", "icontains-any", "a, b", "file://right.txt"], strict=True):
        assert word in reason


def test_an_edited_promptfoo_test_is_what_it_asserts_now(case):
    """Where a person changed an assertion that Andon wrote, the assertion decides, and the other fields stay."""
    text, _ = write_as([case(risk_category="high", contexts=("c",))], "promptfoo")
    (same,) = read_as(text, "promptfoo", "p").cases
    assert (same.metric, same.ground_truth) == ("normalised_match", "8611 m")
    (new,) = read_as(text.replace("icontains", "equals"), "promptfoo", "p").cases
    assert (new.metric, new.ground_truth, new.risk_category, new.contexts) == ("exact_match", "8611 m", "high", ("c",))


def test_a_measure_that_promptfoo_lacks_is_left_out_by_name(case):
    """A test without an assertion would always pass, so none is written."""
    text, left_out = write_as([case(), case("q2", metric="groundedness", cut=0.5)], "promptfoo")
    assert len(yaml.safe_load(text)) == 1
    assert [r.id for r in left_out] == [case("q2").id]
    assert "groundedness" in left_out[0].reason


def test_promptfoo_texts_stay_texts(case):
    """A right answer that looks like a number, a date or a truth value is quoted for every reader of YAML."""
    for truth in ("1e3", "yes", "2026-01-31", "null", "0x1F", "~", "3"):
        text, _ = write_as([case(truth=truth)], "promptfoo")
        assert f'"{truth}"' in text


def test_a_langfuse_export_is_read():
    """Texts, objects and messages are understood; an archived item is retired; one without expected output is refused."""
    common = {"datasetId": "d", "datasetName": "set", "sourceTraceId": None, "htmlSourcePath": ""}
    rows = [
        {
            "id": "i1",
            "input": "q1",
            "expectedOutput": "a1",
            "metadata": {"contexts": ["c"], "level": "easy"},
            "status": "ACTIVE",
        },
        {"id": "i2", "input": {"question": "q2"}, "expectedOutput": {"answer": "a2"}, "status": "ARCHIVED"},
        {"id": "i3", "input": {"args": [], "kwargs": {"query": "q3"}}, "expectedOutput": ["x", "y"], "metadata": None},
        {"id": "i4", "input": {"messages": [{"role": "user", "content": "q4"}]}, "expectedOutput": "a4"},
        {"id": "i5", "input": "q5", "expectedOutput": None},
        {"id": "i6", "input": {"a": "1", "b": "2"}, "expectedOutput": "a6"},
    ]
    rows = [r | common | {"updatedAt": "2026-05-06T07:08:09Z"} for r in rows]
    for text in (json.dumps(rows), json.dumps({"data": rows, "meta": {}}), "\n".join(map(json.dumps, rows))):
        assert recognise(text, "items") == "langfuse"
        reading = read_as(text, "langfuse", "items", app="shop")
        assert [c.question for c in reading.cases] == ["q1", "q2", "q3", "q4"]
        assert [c.ground_truth for c in reading.cases] == ["a1", "a2", "x", "a4"]
        first, archived, many, _ = reading.cases
        assert (first.source, first.contexts, first.app) == ("langfuse item i1", ("c",), "shop")
        assert (archived.retired, archived.retired_why) == ("2026-05-06", "archived in Langfuse")
        assert (many.metric, many.expect) == ("any_of", {"any_of": ["x", "y"]})
        assert len(reading.refused) == 2
        assert reading.refused[0].id.endswith("5")
        assert "a, b" in reading.refused[1].reason
        assert json.loads(write_as([first], "langfuse")[0])["metadata"]["level"] == "easy"


def test_a_phoenix_download_is_read():
    """The columns of the CSV, the examples of the server and JSONL give the same case."""
    csv = 'example_id,input_query,output_answer,metadata_risk_category,metadata_contexts\nRGF0=,"q, really",a,high,"[""c""]"\n'
    example = {
        "input": {"query": "q, really"},
        "output": {"answer": "a"},
        "metadata": {"risk_category": "high", "contexts": ["c"]},
    }
    server = json.dumps({"data": {"dataset_id": "D", "version_id": "V", "examples": [{"id": "RGF0=", **example}]}})
    read = [one("phoenix", text) for text in (csv, server, json.dumps(example))]
    for case in read:
        assert (case.question, case.ground_truth, case.risk_category, case.contexts) == (
            "q, really",
            "a",
            "high",
            ("c",),
        )
    assert [c.source for c in read] == ["phoenix example RGF0=", "phoenix example RGF0=", "phoenix"]


def test_samples_of_openai_evals_are_read():
    """Messages, several ideals and items of the Evals API are understood; an item whose keys say nothing is refused."""
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "q"}]
    case = one("openai-evals", json.dumps({"input": messages, "ideal": ["4", "four"]}))
    assert case.question == "system: Be short.\n\nuser: q"
    assert (case.ground_truth, case.metric, case.expect) == ("4", "any_of", {"any_of": ["4", "four"]})
    assert one("openai-evals", json.dumps({"messages": messages[1:], "ideal": "a"})).question == "q"
    item = one("openai-evals", json.dumps({"item": {"ticket_text": "my screen is black", "correct_label": "Hardware"}}))
    assert (item.question, item.ground_truth) == ("my screen is black", "Hardware")
    text = (
        json.dumps({"item": {"question": "q", "ground_truth": "a"}})
        + "\n"
        + json.dumps({"item": {"x": 1, "y": 2}})
        + "\n{oops\n"
    )
    reading = read_as(text, "openai-evals", "s")
    assert [r.id for r in reading.refused] == ["line 3", "line 2"]
    assert "x, y" in reading.refused[1].reason


def test_samples_of_inspect_are_read():
    """CSV with metadata in a cell, choices and lists of targets; a sample that prepares files is refused."""
    case = one(
        "inspect",
        'input,target,label,metadata\n"Say \'Hello, World\'","Hello, World",x,"{""risk_category"": ""low""}"\n',
    )
    assert (case.question, case.ground_truth, case.risk_category) == ("Say 'Hello, World'", "Hello, World", "low")
    choice = one("inspect", 'input,target,choices\nWhich is the smallest?,B,"3,1,2"\n')
    assert choice.question == "Which is the smallest?\n\nA) 3\nB) 1\nC) 2"
    assert choice.expect == {"any_of": ["B", "1"]}
    text = json.dumps(
        [
            {"input": [{"role": "user", "content": [{"type": "text", "text": "q"}]}], "target": ["a", "b"], "id": 7},
            {"input": "q", "target": "a", "sandbox": "docker"},
            {"input": "q", "target": ["A", "B"], "choices": ["x", "y"]},
            {"input": [{"role": "user", "content": [{"type": "image", "image": "x"}]}], "target": "a"},
            {"input": "no target"},
        ]
    )
    reading = read_as(text, recognise(text, "s"), "s")
    (many,) = reading.cases
    assert (many.question, many.source, many.expect) == ("q", "inspect sample 7", {"any_of": ["a", "b"]})
    assert [r.id for r in reading.refused] == ["item 2", "item 3", "item 4", "item 5"]


def test_cells_with_line_ends_and_separators_are_one_cell():
    """Line ends within quotes, Windows line ends and odd separators of Unicode stay within their cell."""
    case = one("inspect", '\ufeffinput,target\r\n"a\nb\u2028c","d\x0be"\r\n')
    assert (case.question, case.ground_truth) == ("a\nb\u2028c", "d\x0be")
    with pytest.raises(InputError, match="line 2 has another number of cells"):
        read_as("input,target\na\n", "inspect", "s")
    with pytest.raises(InputError, match="is not CSV"):
        read_as('input,target\n"a,b\n', "inspect", "s")


def test_two_measures_of_one_case_are_refused():
    """The same question and right answer by another measure, or with other passages, is named, not silently dropped or taken over the first."""
    test = {
        "vars": {"question": "q"},
        "assert": [{"type": "equals", "value": "a"}, {"type": "icontains", "value": "a"}],
    }
    reading = read_as(yaml.safe_dump([test]), "promptfoo", "p")
    assert [c.metric for c in reading.cases] == ["exact_match"]
    assert "exact_match already" in reading.refused[0].reason
    items = [{"question": "q", "ground_truth": "t", "contexts": [c]} for c in "aba"]
    reading = read_as(json.dumps(items), "andon", "p")
    assert [c.contexts for c in reading.cases] == [("a",), ("a",)]
    assert "differs in contexts" in reading.refused[0].reason


@pytest.mark.parametrize(
    "text", ["", "hello", "a,b\n1,2\n", "[]", '{"a": 1}', "- 1\n- 2\n", "\x00\x1b[2J", "[" * 50_000, "a: &a [*a]"]
)
def test_a_file_of_no_known_format_is_refused(text):
    """The message names the formats, on one line that no terminal obeys."""
    with pytest.raises(InputError, match="promptfoo, langfuse") as caught:
        recognise(text, "file")
    assert str(caught.value).isprintable()
    with pytest.raises(InputError, match="known"):
        read_as(text, "excel", "file")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("form", OTHERS)
@given(rows=st.lists(st.dictionaries(st.sampled_from(KEYS), json_values, max_size=7), max_size=4))
def test_whatever_a_file_holds_is_read_or_refused(form, rows):
    """Any JSON at any known key gives a case or a refusal with a reason that a terminal may show; nothing else happens."""
    reading = read_as(json.dumps(rows), form, "file")
    assert len(reading.cases) + len(reading.refused) >= min(len(rows), 1)
    for refused in reading.refused:
        assert (refused.id + refused.reason).isprintable()
    for case in reading.cases:
        assert case.question.strip()
        assert case.ground_truth.strip()
        write_as([case], form)


def test_our_own_fields_in_a_csv_and_in_a_list_are_read():
    """What is recognised as a golden set is read as one: cells and items are cases, and a bad one is refused by its place."""
    row = {"question": "q, really", "ground_truth": "t", "contexts": ["c", "d"], "risk_category": "high", "app": "shop"}
    cells = 'question,ground_truth,contexts,risk_category,app\n"q, really",t,"[""c"", ""d""]",high,shop\n,t,,,\n'
    for text, place in ((cells, "line 3"), (json.dumps([row, {"question": "q"}]), "item 2")):
        assert recognise(text, "g") == "andon"
        reading = read_as(text, "andon", "g", app="default")
        (case,) = reading.cases
        assert (case.question, case.ground_truth, case.contexts, case.risk_category, case.app) == (
            "q, really", "t", ("c", "d"), "high", "shop",
        )  # fmt: skip
        assert [r.id for r in reading.refused] == [place]


def test_our_own_format_is_recognised_even_where_a_line_is_damaged():
    """A golden set with a bad line is named as such by its own reader."""
    good = '{"question": "q", "ground_truth": "t"}\n'
    assert recognise(good, "g") == recognise(good + "{oops\n", "g") == "andon"
    with pytest.raises(InputError, match="line 2"):
        read_as(good + "{oops\n", "andon", "g")
