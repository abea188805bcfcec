"""Tests of promptfoo: a configuration, or a list of tests, in YAML or JSON.

| promptfoo | case |
|---|---|
| `vars.question` (`query`, `input`, `prompt`, ...; the only one where there is one) | question |
| `vars.context`, `vars.contexts` | contexts |
| `equals` | metric `exact_match`, ground_truth = `value` |
| `contains`, `icontains`, `contains-all`, `icontains-all` | metric `contains`: whole words, whatever their case |
| `similar` | metric `similarity`, `expect.threshold` (0.75 unless given) |
| `llm-rubric`, `model-graded-closedqa` | metric `judge`, `expect.criteria` = `value` |
| `is-json` | metric `json_schema`, `expect.schema` = `value` |
| `is-refusal`, `not-is-refusal` | metrics `refusal_expected`, `refusal_forbidden` |
| `metadata` | contexts, risk_category; `andon` holds all other fields of ours, other keys are kept |
| `description` | source, as `promptfoo DESCRIPTION` |

Each assertion becomes a case of its own, the later ones variants of the first: all must pass. `defaultTest` counts for every
test. `$ref` and `{{variables}}` are put in, in the question, its contexts and what is asserted. Any other assertion (`javascript`,
`python`, `regex`, `contains-any`, ...), one that never fails (`weight: 0`) and one of a transformed answer (`transform`) are
refused by name; the others of its test are taken. A test that may fail in part (`threshold`, `assertScoringFunction`), or whose
answer is transformed (`options.transform`), is refused whole. So is a file with YAML aliases: few of them make a huge document.

Written is a list of tests. A case is left out and named where promptfoo does not have its measure (a test without an assertion
would always pass), and where promptfoo would run its texts as a template, or read them as a file.

Source: promptfoo, "Assertions & metrics", "Deterministic metrics", "Test cases".
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import yaml

from andon.errors import InputError
from andon.golden.formats.rows import MINE, QUESTION, Reading, case_from, metadata_of, right_of, said
from andon.golden.records import Case, Refusal
from andon.traffic.quoting import quoted

__all__ = ["missing", "read", "recognises", "write"]

SIMILAR = 0.75
"""Threshold of `similar` where none is given, and of a long right answer of ours."""

LONG_WORDS = 12
"""A right answer of more words is compared by meaning; `andon.evals` does the same."""

_METRICS = {
    "equals": "exact_match",
    "contains": "contains",
    "icontains": "contains",
    "contains-all": "contains",
    "icontains-all": "contains",
    "similar": "similarity",
    "llm-rubric": "judge",
    "model-graded-closedqa": "judge",
    "is-json": "json_schema",
    "is-refusal": "refusal_expected",
    "not-is-refusal": "refusal_forbidden",
}
"""Metrics by which a case says the same as an assertion."""

_REFUSALS = {"refusal_expected": "a refusal", "refusal_forbidden": "an answer, no refusal"}
"""What is right where an assertion names no right answer."""

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_REF = "#/assertionTemplates/"
_TEMPLATE = re.compile(r"\{[{%#]")
_RUN = re.compile(_TEMPLATE.pattern + r'|(?<!\\)"(?:file://|package:)')
"""In JSON: what promptfoo would not take as a text."""

FILLED = 2**20
"""Characters of a text with its variables put in."""

_PARTLY = ("threshold", "assertScoringFunction")
"""Keys by which a test passes although an assertion fails."""

_TRANSFORMS = ("transform", "postprocess", "contextTransform")
"""Keys by which something else than the answer is tested."""

Assertion = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML 1.2 as promptfoo reads it: ``Yes`` and ``2026-01-31`` are texts. Without aliases, by which few bytes become many."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem=f"aliases are not read; write out what *{event.anchor} stands for",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Texts in quotes, so that no reader takes one for a number, a date or a truth value."""


_BOOL, _DATE = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag not in (_BOOL, _DATE)]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))
_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str",
        text,
        style=None if re.fullmatch(r"[a-z]+[_-][a-z_-]+|question|vars|type|value", text) else '"',
    ),
)
_Dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]


def recognises(text: str) -> bool:
    """Whether a text is a configuration or a list of tests."""
    try:
        document = _parsed(text, "the file")
    except InputError:
        return False
    if isinstance(document, dict):
        return "tests" in document
    tests = document if isinstance(document, list) else []
    return bool(tests) and isinstance(tests[0], dict) and ("vars" in tests[0] or "assert" in tests[0])


def read(text: str, name: str, *, app: str) -> Reading:
    """The tests of a file.

    Raises:
        InputError: the file is no YAML, or holds no tests.
    """
    document = _parsed(text, name)
    whole = document if isinstance(document, dict) else {"tests": document}
    tests = whole.get("tests")
    if not isinstance(tests, list):
        raise InputError(f"{name}: its tests are {quoted(tests)}; give the file that holds the list of tests")
    default = whole.get("defaultTest") or {}
    templates = whole.get("assertionTemplates") or {}
    if not isinstance(default, dict) or not isinstance(templates, dict):
        raise InputError(f"{name}: defaultTest is {quoted(default)}; an object is allowed")
    cases: list[Case] = []
    refused: list[Refusal] = []
    for number, test in enumerate(tests, 1):
        of_this: list[Case] = []
        for made in _cases(test, default, templates, app):
            if isinstance(made, Case):
                of_this.append(made if not of_this else replace(made, variant_of=made.variant_of or of_this[0].id))
            else:
                refused.append(Refusal(id=_place(number, test), reason=str(made)))
        cases += of_this
    return Reading(cases=tuple(cases), refused=tuple(refused))


def write(cases: Iterable[Case]) -> str:
    """A list of tests in YAML; leave out the cases for which `missing` gives a reason."""
    tests = [
        {"description": c.id, "vars": {"question": c.question}, "assert": [_assertion(c)], "metadata": _metadata(c)}
        for c in cases
    ]
    return yaml.dump(tests, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=1_000)


def missing(case: Case) -> str | None:
    """Why promptfoo cannot test a case; None where it can."""
    assertion = _assertion(case)
    if assertion is not None:
        run = _RUN.search(json.dumps([case.question, assertion], ensure_ascii=False))
        return f"promptfoo would run {quoted(run[0])} in its texts as a template or a file" if run else None
    return f"promptfoo has no assertion for the metric {quoted(case.metric)}, and a test without one would always pass"


def _parsed(text: str, name: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe one)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        why = quoted(getattr(error, "problem", None) or str(error), 80)
        raise InputError(f"{name} cannot be read as YAML{line}: {why}") from None


def _cases(
    test: Any, default: Mapping[str, Any], templates: Mapping[str, Any], app: str
) -> Iterator[Case | InputError]:
    """A case, or the reason why there is none, for each assertion of a test."""
    try:
        if not isinstance(test, dict):
            raise InputError(
                f"it is {quoted(test)}; a test is an object with `vars` and `assert`, written into the file"
            )
        _plain({**default, **test}, _PARTLY, "the test")
        _plain({**_object(default.get("options")), **_object(test.get("options"))}, _TRANSFORMS, "options of the test")
        variables = {**_object(default.get("vars")), **_object(test.get("vars"))}
        question = _filled(_question(variables), variables, "the question")
        contexts = _filled(variables.get("contexts", variables.get("context")), variables, "the context")
        given = [*_list(default.get("assert")), *_list(test.get("assert"))]
        if not given:
            raise InputError("it has no assertion, so nothing says what is right")
    except InputError as error:
        yield error
        return
    metadata = {**_object(default.get("metadata")), **_object(test.get("metadata"))}
    if isinstance(contexts, str | list):
        metadata.setdefault("contexts", [contexts] if isinstance(contexts, str) else contexts)
    source = f"promptfoo {test['description']}" if isinstance(test.get("description"), str) else "promptfoo"
    for each in given:
        try:
            assertion = _referred(each, templates)
            _plain(assertion, _TRANSFORMS, "the assertion")
            if assertion.get("weight") == 0:
                raise InputError(f"the assertion {quoted(assertion['type'])} has weight 0: promptfoo never fails by it")
            what = f"the assertion {quoted(assertion['type'])}"
            if "value" in assertion:
                assertion = {**assertion, "value": _filled(assertion["value"], variables, what)}
            as_written = case_from(question, [_truth_of(assertion, metadata)], metadata, app=app, source=source)
            if _assertion(as_written) == {k: v for k, v in assertion.items() if k in ("type", "value", "threshold")}:
                yield as_written  # ours, and nobody changed what it asserts
            else:
                truth, more = _measure(assertion)
                yield case_from(question, [truth], metadata, app=app, source=source, more=more)
        except InputError as error:
            yield error


def _metadata(case: Case) -> dict[str, Any]:
    """Ours hold the right answer too: not every assertion names it."""
    metadata = metadata_of(case)
    return metadata | {MINE: {"ground_truth": case.ground_truth, **metadata[MINE]}}


def _truth_of(assertion: Assertion, metadata: Mapping[str, Any]) -> str:
    mine = metadata.get(MINE)
    value = mine.get("ground_truth") if isinstance(mine, dict) else assertion.get("value")
    return value if isinstance(value, str) and value.strip() else json.dumps(value)


def _measure(assertion: Assertion) -> tuple[str, dict[str, Any]]:
    """The right answer that an assertion names, and the metric by which a case says the same."""
    kind, value = str(assertion.get("type")), assertion.get("value")
    metric = _METRICS.get(kind)
    expect: dict[str, Any] = {}
    if metric is None:
        raise InputError(f"the assertion {quoted(kind)} is not taken: Andon has no scorer that says the same")
    if metric in _REFUSALS:
        truth = _REFUSALS[metric]
    elif metric == "json_schema":
        expect = {"schema": _schema(value)}
        truth = f"JSON that fits {json.dumps(expect['schema'], sort_keys=True)}" if expect["schema"] else "JSON"
    elif kind.endswith("contains-all"):
        expect = {"contains": [_said(v, kind) for v in _list(value)] or [_said(value, kind)]}
        truth = ", ".join(expect["contains"])
    else:
        truth = _said(value, kind)
        expect |= {"threshold": assertion.get("threshold", SIMILAR)} if metric == "similarity" else {}
        expect |= {"criteria": truth} if metric == "judge" else {}
    return truth, {"metric": metric, "expect": expect, "direction": "down", "cut": None}


def _assertion(case: Case) -> Assertion | None:
    """The assertion that tests a case, None where promptfoo has none."""
    truth, expect = case.ground_truth, case.expect
    metric = case.metric
    if metric == "normalised_match":
        metric = "similarity" if len(truth.split()) > LONG_WORDS else "contains"
    texts = expect.get("contains")
    if metric == "contains" and isinstance(texts, list) and texts:
        return {"type": "icontains-all", "value": texts}
    values: dict[str, dict[str, Any]] = {
        "exact_match": {"type": "equals", "value": truth},
        "contains": {"type": "icontains", "value": truth},
        "any_of": {"type": "icontains-any", "value": right_of(case)},
        "similarity": {"type": "similar", "value": truth, "threshold": expect.get("threshold", SIMILAR)},
        "judge": {"type": "llm-rubric", "value": expect.get("criteria", f"The answer says the same as: {truth}")},
        "json_schema": {"type": "is-json", "value": expect.get("schema", {})},
        "refusal_expected": {"type": "is-refusal"},
        "refusal_forbidden": {"type": "not-is-refusal"},
    }
    return values.get(metric)


def _question(variables: Mapping[str, Any]) -> str:
    asked = {k: v for k, v in variables.items() if k not in ("context", "contexts")}
    if isinstance(asked.get("question"), list) or any(isinstance(v, list) for v in asked.values()):
        raise InputError("a variable is a list, of which promptfoo makes a test each; write the tests out")
    text = said(asked, QUESTION, "question")
    if text.startswith("file://"):
        raise InputError(f"the question stands in {quoted(text)}; write it into the test")
    return text


def _referred(assertion: Any, templates: Mapping[str, Any]) -> Assertion:
    """The assertion, or the template that it refers to."""
    if isinstance(assertion, dict) and isinstance(assertion.get("$ref"), str):
        ref = assertion["$ref"]
        assertion = templates.get(ref.removeprefix(_REF)) if ref.startswith(_REF) else None
        if assertion is None:
            raise InputError(f"the assertion refers to {quoted(ref)}, which the file does not hold")
    if not isinstance(assertion, dict) or not isinstance(assertion.get("type"), str):
        raise InputError(f"the assertion {quoted(assertion)} has no type")
    return assertion


def _plain(given: Mapping[str, Any], keys: Iterable[str], what: str) -> None:
    """Refuse what has one of these keys: a case cannot say it, and without it the case would test something else."""
    if found := [k for k in keys if given.get(k) is not None]:
        raise InputError(f"{what} has {found[0]!r}, which a case cannot say")


def _filled(value: Any, variables: Mapping[str, Any], what: str) -> Any:
    """A text, or each of a list, with its variables put in.

    Raises:
        InputError: it uses a variable that is not there, a template language, or a file; or it becomes huge.
    """
    if isinstance(value, list):
        return [_filled(v, variables, what) for v in value]
    if not isinstance(value, str):
        return value
    if value.startswith("file://"):
        raise InputError(f"{what} stands in {quoted(value)}; write it into the test")
    names = _VARIABLE.findall(value)
    if gone := [n for n in names if n not in variables]:
        raise InputError(f"{what} uses the variable {quoted(gone[0])}, which the test does not give")
    texts = {n: v if isinstance(v := variables[n], str) else json.dumps(v) for n in names}
    if sum(len(texts[n]) for n in names) > FILLED:
        raise InputError(f"{what} becomes longer than {FILLED:,} characters once its variables are put in")
    text = _VARIABLE.sub(lambda found: texts[found[1]], value)
    if _TEMPLATE.search(text):
        raise InputError(f"{what} is a template; only {{{{variable}}}} is read")
    return text


def _schema(value: Any) -> dict[str, Any]:
    schema = _parsed(value, "the schema") if isinstance(value, str) else value
    if schema is None or isinstance(schema, dict):
        return schema or {}
    raise InputError(f"the schema of is-json is {quoted(value)}; a JSON Schema, an object, is allowed")


def _said(value: Any, kind: str) -> str:
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str) and value.strip():
        return value
    raise InputError(f"the assertion {quoted(kind)} has the value {quoted(value)}; a text is needed")


def _object(value: Any) -> dict[str, Any]:
    if value is None or isinstance(value, dict):
        return value or {}
    raise InputError(f"it has {quoted(value)} where an object is needed; files are not followed")


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _place(number: int, test: Any) -> str:
    said_so = test.get("description") if isinstance(test, dict) else None
    return f"test {number} ({quoted(said_so)})" if isinstance(said_so, str) else f"test {number}"
