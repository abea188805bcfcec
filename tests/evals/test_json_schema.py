"""The case scorer `json_schema`: what keeps a schema, what is no JSON, and how long an answer may take."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


def test_json_keeps_its_schema(case, result):
    """The whole answer is JSON, perhaps in a fence; a breach is named by its path; NaN and doubled keys are no JSON."""
    schema = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"items": {"properties": {"n": {"type": "integer"}}}}},
    }
    c = case(metric="json_schema", answer=None, expect={"schema": schema})
    assert result(c, '{"items": [{"n": 1}]}').outcome == "pass"
    assert result(c, '```json\n{"items": []}\n```').outcome == "pass"
    assert "$.items[1].n: 'x' is not of type 'integer'" in result(c, '{"items": [{"n": 1}, {"n": "x"}]}').detail
    for answer in (
        'Here: {"items": []}',
        '{"items": [NaN]}',
        '{"items": [], "items": []}',
        "[" * 100_000,
        "{}",
        "\x1b[2J",
    ):
        assert result(c, answer).outcome == "fail"


SLOW = r"^(\w+\s?)*$"  # Python's re needs longer than the universe is old


@pytest.mark.parametrize(
    ("schema", "answer", "outcome"),
    [
        ({"properties": {"a": {"pattern": SLOW}}}, {"a": "a" * 60 + "!"}, "fail"),
        ({"patternProperties": {SLOW: {"type": "string"}}}, {"a" * 60 + "!": 1}, "pass"),
        ({"patternProperties": {SLOW: {}}, "additionalProperties": False}, {"a" * 60 + "!": 1}, "fail"),
        ({"patternProperties": {SLOW: {}}, "additionalProperties": {"type": "string"}}, {"a" * 60 + "!": 1}, "fail"),
        ({"propertyNames": {"pattern": SLOW}}, {"a" * 60 + "!": 1}, "fail"),
        (
            {"$schema": "https://json-schema.org/draft/2020-12/schema", "pattern": SLOW, "properties": {"a": {"$ref": "#"}}},
            {"a": "a" * 60 + "!"},
            "fail",
        ),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"pattern": SLOW}}}, {"a": "a" * 60 + "!"}, "fail"),
    ],
)  # fmt: skip
def test_no_answer_makes_a_pattern_slow(case, result, schema, answer, outcome):
    """Patterns run in time linear in the answer, wherever a schema may hold one."""
    c = case(metric="json_schema", answer=None, expect={"schema": schema})
    begun = time.monotonic()
    assert result(c, json.dumps(answer)).outcome == outcome
    assert time.monotonic() - begun < 2


def test_unique_items_are_told_at_once(case, result):
    """Unlike items, which a comparison of all pairs holds for hours, take a second; 1 is 1.0, true is not, keys have no order."""
    c = case(metric="json_schema", answer=None, expect={"schema": {"uniqueItems": True}})
    begun = time.monotonic()
    assert result(c, json.dumps([{"a": n} for n in range(40_000)])).outcome == "pass"
    assert result(c, json.dumps([None, *range(120_000)])).outcome == "pass"
    assert time.monotonic() - begun < 10
    for answer, outcome in (
        ('[1, true, "1", [1], [[1]], null, 0, false, "", [], {}]', "pass"),
        ("[1, 1.0]", "fail"),
        ('[[{"a": 1, "b": [-0.0]}], [{"b": [0], "a": 1e0}]]', "fail"),
    ):
        assert result(c, answer).outcome == outcome, answer
    anything = case(metric="json_schema", answer=None, expect={"schema": {"uniqueItems": False}})
    assert result(anything, "[1, 1]").outcome == "pass"


def test_a_schema_that_doubles_its_work_at_each_level_is_an_error(case, result, monkeypatch):
    """Where a schema tries each branch at each level of an answer its check ends, and says what to write instead."""
    monkeypatch.setattr("andon.evals.scorers.schemas.STEPS", 10_000)
    branches = [{"properties": {"op": {"const": op}, "of": {"$ref": "#"}}} for op in ("add", "multiply")]
    schema = {"anyOf": [*branches, {"type": "integer"}]}
    answer = "x"
    for _ in range(40):
        answer = {"op": "subtract", "of": answer}
    found = result(case(metric="json_schema", answer=None, expect={"schema": schema}), json.dumps(answer))
    assert (found.outcome, "10,000 steps" in found.detail) == ("error", True)
    left = {"allOf": [{"items": {}}], "unevaluatedItems": False}
    for n, outcome in ((100, "pass"), (10_000, "error")):
        c = case(metric="json_schema", answer=None, expect={"schema": left})
        assert result(c, json.dumps([0] * n)).outcome == outcome


@pytest.mark.parametrize("answer", ["[" * 900 + "]" * 900, "1e999", "-1e999", "1" * 400, '{"n": [1e400]}'])
def test_an_answer_that_cannot_be_judged_as_json_fails(case, result, answer):
    """Nesting without end, and numbers beyond any: the answer is wrong, and no schema is blamed for it."""
    for schema in ({"items": {"$ref": "#"}}, {"multipleOf": 0.1}):
        found = result(case(metric="json_schema", answer=None, expect={"schema": schema}), answer)
        assert (found.outcome, found.detail[:22]) == ("fail", "the answer is not JSON")
    endless = case(metric="json_schema", answer=None, expect={"schema": {"$ref": "#"}})
    assert "cannot be used" in result(endless, "1").detail
    nested = case(metric="json_schema", answer=None, expect={"schema": {"items": {"$ref": "#"}}})
    assert result(nested, "[" * 60 + "1e300" + "]" * 60).outcome == "pass"


def test_patterns_mean_what_they_say(case, result):
    """Patterns are searched for, names that they match are no additional ones, escapes and properties of Unicode are known."""
    schema = {
        "patternProperties": {"^x-": {"type": "integer"}, "^\\u00e9$": {"pattern": "^\\p{L}+$"}},
        "properties": {"n": {"pattern": "b"}},
        "additionalProperties": False,
    }
    c = case(metric="json_schema", answer=None, expect={"schema": schema})
    assert result(c, '{"x-1": 1, "\\u00e9": "\\u00fc", "n": "abc"}').outcome == "pass"
    for answer in ('{"x-1": "1"}', '{"\\u00e9": "1"}', '{"n": "a"}', '{"y": 1}', '{"n": "\\ud800"}'):
        assert result(c, answer).outcome == "fail"


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^(?!a)"},
        {"patternProperties": {"(a)\\1": {}}},
        {"properties": {"a": {"pattern": "("}}},
        {"patternProperties": {"a": {}}, "unevaluatedProperties": False},
    ],
)
def test_a_pattern_that_cannot_be_run_safely_is_an_error(case, result, schema):
    """What RE2 cannot run is said of the case, whatever the answer is, and is neither a pass nor a failure."""
    found = result(case(metric="json_schema", answer=None, expect={"schema": schema}), "5")
    assert found.outcome == "error"
    assert "RE2" in found.detail or "additionalProperties" in found.detail


def test_a_schema_fetches_nothing(case, result):
    """A reference to another place is refused by name; nobody is asked for it."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        schema = {"$ref": f"http://127.0.0.1:{server.server_port}/schema.json"}
        found = result(case(metric="json_schema", answer=None, expect={"schema": schema}), "{}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (found.outcome, asked) == ("error", [])
