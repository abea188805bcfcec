"""Laws of formats that were asked for, and of Markdown."""

import json

import pytest
import scores_measured as measured
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from andon.scores.formats import asked_format, has_markdown, keeps_format
from andon.traffic import Interaction


def asked(query: str | None, **fields) -> str | None:
    """The format that a query asks for."""
    return asked_format(Interaction(id="i", time_us=0, query=query, **fields))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("List three colours. Answer in JSON.", "json"),
        ("Return only valid JSON with the keys a and b.", "json"),
        ("Can you give me the list in JSON format?", "json"),
        ("Always respond with a JSON object that fits this schema: {...}", "json"),
        ("Output format: JSON", "json"),
        ("How do I return JSON from Flask?", None),
        ("What is a JSON object?", None),
        ("Why JSON and not XML?", None),
        ("Summarise this page: application/json is a media type.", None),
        ('Is 7 a prime? Answer "[Yes]" or "[No]".', "[yes]|[no]"),
        ("How many? Answer within \\boxed{}.", "boxed"),
        ("Put the final answer in brackets.", "bracket"),
        ("Which tax brackets are there?", None),
        ("How high is K2?", None),
        (None, None),
    ],
)
def test_a_format_is_asked_for_by_an_instruction(query: str | None, wanted: str | None) -> None:
    """An instruction asks for a format; a question about a format does not."""
    assert asked(query) == wanted


def test_a_format_is_asked_for_elsewhere_too() -> None:
    """The right answer's own form, and OpenTelemetry's output type, ask for a format as well; the middle of a query does not."""
    assert asked("q", expected_answer='{"a": 1}') == "json"
    assert asked("q", expected_answer="\\boxed{3}") == "boxed"
    assert asked("q", expected_answer="[No]") == "bracket"
    assert asked("q", expected_answer="{a} is the set") is None
    assert asked("q", attributes={"gen_ai.output.type": "json"}) == "json"
    assert asked("q", attributes={"gen_ai.output.type": "text"}) is None
    assert asked("Summarise." + "x " * 4000 + "Answer in JSON. " + "x " * 4000) is None
    assert asked("Answer in JSON. " + "x " * 9000) == asked("x " * 9000 + "Answer in JSON.") == "json"


@pytest.mark.parametrize(
    ("answer", "wanted", "kept"),
    [
        ('{"a": 1}', "json", True),
        (" [1, 2]\n", "json", True),
        ('```json\n{"a": 1}\n```', "json", True),
        ('```\n{"a": 1}\n```', "json", True),
        ('Here it is: {"a": 1}', "json", False),
        ('{"a": 1', "json", False),
        ("{'a': 1}", "json", False),
        ("42", "json", False),
        ("NaN", "json", False),
        ("So it is \\boxed{3}.", "boxed", True),
        ("So it is 3.", "boxed", False),
        ("It is [No].", "[yes]|[no]", True),
        ("[YES]", "[yes]|[no]", True),
        ("Yes", "[yes]|[no]", False),
        ("as said in [1]", "[yes]|[no]", False),
        ("it is [3]", "bracket", True),
        ("it is 3", "bracket", False),
    ],
)
def test_an_answer_keeps_its_format_or_not(answer: str, wanted: str, kept: bool) -> None:
    """JSON is a whole object or list, alone or in one fence; boxes and brackets may stand in a text."""
    assert keeps_format(answer, wanted) is kept


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
@hypothesis_settings(deadline=None)
def test_whatever_json_writes_is_json(value: object) -> None:
    """Every object and list as written by Python is JSON, alone and in a fence; cut short it is not."""
    text = json.dumps(value)
    whole = isinstance(value, dict | list)
    assert keeps_format(text, "json") is whole
    assert keeps_format(f"```json\n{json.dumps(value, indent=1)}\n```", "json") is whole
    assert not keeps_format(text[:-1], "json")


@pytest.mark.parametrize(
    ("answer", "styled"),
    [
        ("## Summary\n\nIt is high.", True),
        ("It is **high**.", True),
        ("1. one\n2. two", True),
        ("Steps:\n* one", True),
        ("```python\nx = 1\n```", True),
        ("| a | b |\n|---|---|", True),
        ("It is high.", False),
        ("# one comment\nx = 1", False),
        ("2 * 3 = 6, and 2 ** 3 = 8", False),
        ("It is -5 degrees.\n-5 is cold.", False),
        ("In 1999. It was", False),
        ("", False),
    ],
)
def test_markdown_is_seen(answer: str, styled: bool) -> None:
    """Headings, lists, tables, bold text and fences are Markdown; prose and plain code are not."""
    assert has_markdown(answer) is styled


def test_formats_agree_with_the_labels_of_llmdrift() -> None:
    """On answers that were not cut, at most one in a thousand is judged otherwise than its label."""
    _pack("drift-llmdrift")
    *_, (name, n, _, missed, false) = measured.formats_in_drift()
    assert name == "all"
    assert sum(int(x.split(" of ")[0]) for x in (missed, false)) <= n / 1000


def test_the_drift_of_code_towards_markdown_is_seen() -> None:
    """GPT-4 wrote plain code in March 2023 and Markdown in June: the rate goes from under a tenth to over two thirds."""
    _pack("drift-llmdrift")
    rates = {model: int(styled.split(" of ")[0]) / n for model, n, styled, _ in measured.markdown_in_code()}
    assert rates["gpt-4-0314"] < 0.1
    assert rates["gpt-4-0613"] > 2 / 3


def test_agents_that_repeat_a_call_fail_more_often() -> None:
    """In tau-bench, runs that call a tool again with the same arguments succeed less often, and call more."""
    _pack("agent-tau-bench")
    (_, n, once, calls), (_, m, again, more) = measured.retries_in_agents()
    assert min(n, m) >= 10
    assert float(again.rstrip("%")) < float(once.rstrip("%"))
    assert float(more) > float(calls)


def _pack(name: str) -> None:
    if not (measured.DATA / name).is_dir():
        pytest.skip(f"real data absent: {name} under {measured.DATA}; set SHARED_DATA")
