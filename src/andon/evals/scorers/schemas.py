"""The case scorer `json_schema`, and the check of a value against a JSON Schema."""

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from andon.errors import InputError
from andon.evals.records import CaseScorer, Measured, Output
from andon.evals.scorers.matching import right_unless
from andon.golden import Case
from andon.scores import Embedder
from andon.traffic.quoting import quoted

__all__ = ["JSON_SCHEMA", "breach", "parsed", "unfenced"]

READ = 1_000_000
"""Characters of an answer beyond which it is not read as JSON."""

DEEPEST = 64
"""Levels of nesting beyond which an answer is not read as JSON: a schema's check descends by recursion."""

STEPS = 500_000
"""Keywords of a schema that are applied to one answer, about 10 s: a schema that branches may double them at each level."""

_left: ContextVar[list[int]] = ContextVar("the steps that are left")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|.)", re.DOTALL)
_FENCE = re.compile(r"\s*```[a-zA-Z0-9]{0,10}[ \t]*\n(.*?)\n?```\s*", re.DOTALL)


def parsed(text: str) -> Any:
    """A text as JSON, as the standard knows it: no NaN, no key twice; with numbers of IEEE 754 and not nested for ever.

    Raises:
        ValueError: it is no JSON; says where.
    """
    if len(text) > READ:
        raise ValueError(f"it has more than {READ:,} characters")
    try:
        value = json.loads(
            text, parse_constant=_refused, parse_float=_number, parse_int=_number, object_pairs_hook=_object
        )
        deep = _levels(value) > DEEPEST
    except RecursionError:
        deep = True
    if deep:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return value


def unfenced(text: str) -> str:
    """What stands in the one code fence that a text is, or else the text."""
    fenced = _FENCE.fullmatch(text)
    return fenced[1] if fenced else text


def breach(value: Any, schema: Any, what: str) -> str | None:
    """Where and how a value breaks a JSON Schema (2020-12 unless it names another draft); None where it keeps it.

    References outside the schema are refused: nothing is fetched. Patterns are of RE2, which no answer can make slow: without
    lookahead and back-references.

    Raises:
        InputError: the schema is none, has a pattern that cannot be run so, or takes more than `STEPS` on this value.
    """
    from jsonschema.exceptions import SchemaError, best_match
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, dict | bool):
        raise InputError(f"{what} is {quoted(schema)}; a JSON Schema is an object")
    kind, patterns = _safe(validator_for(schema, default=Draft202012Validator))
    _left.set([STEPS])
    try:
        kind.check_schema(schema, format_checker=patterns)
        if {"patternProperties", "unevaluatedProperties"} <= _words(schema):
            raise InputError(
                f"{what} has patternProperties and unevaluatedProperties; write additionalProperties there"
            )
        # a schema that names its draft would be handed on to the validator that runs patterns unsafely
        bare = {k: v for k, v in schema.items() if k != "$schema"} if isinstance(schema, dict) else schema
        found = best_match(kind(bare, registry=Registry()).iter_errors(value))
    except SchemaError as error:
        why = "; patterns are of RE2: no lookahead, no back-reference" if error.validator == "format" else ""
        raise InputError(f"{what} is no JSON Schema: {quoted(error.message, 120)}{why}") from None
    except (Unresolvable, RecursionError, OverflowError) as error:
        raise InputError(f"{what} cannot be used ({type(error).__name__}: {quoted(str(error), 120)})") from None
    return None if found is None else f"{quoted(found.json_path, 120)[1:-1]}: {quoted(found.message, 160)[1:-1]}"


@cache
def _safe(kind: Any) -> tuple[Any, Any]:
    """A validator that no value makes slow, and the check that RE2 can run its patterns.

    Python's `re` may take years for one text of fifty characters, and holds every thread of the process meanwhile; the
    library's `uniqueItems` compares all pairs.
    """
    from jsonschema import FormatChecker
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend

    rest_of = kind.VALIDATORS["additionalProperties"]

    def pattern(_: Any, wanted: str, value: Any, __: Any) -> Iterator[Any]:
        if isinstance(value, str) and not _matching(wanted, [value]):
            yield ValidationError(f"{value!r} does not match {wanted!r}")

    def pattern_properties(validator: Any, wanted: Mapping[str, Any], value: Any, _: Any) -> Iterator[Any]:
        for each, schema in wanted.items() if isinstance(value, dict) else ():
            for name in _matching(each, list(value)):
                yield from validator.descend(value[name], schema, path=name, schema_path=each)

    def additional_properties(validator: Any, wanted: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
        if isinstance(value, dict):
            known = {name for each in schema.get("patternProperties", ()) for name in _matching(each, list(value))}
            left = {name: item for name, item in value.items() if name not in known}
            yield from rest_of(validator, wanted, left, {k: v for k, v in schema.items() if k != "patternProperties"})

    def unique_items(_: Any, wanted: bool, value: Any, __: Any) -> Iterator[Any]:
        if wanted and isinstance(value, list) and len({_canonical(item) for item in value}) < len(value):
            yield ValidationError(f"{value!r} has non-unique elements")

    checker = FormatChecker(formats=())
    checker.checks("regex", raises=pa.ArrowInvalid)(
        lambda each: not isinstance(each, str) or _matching(each, [""]) is not None
    )
    ours = {
        **kind.VALIDATORS, "pattern": pattern, "patternProperties": pattern_properties,
        "additionalProperties": additional_properties, "uniqueItems": unique_items,
    }  # fmt: skip
    return extend(kind, {word: partial(_counted, word, check) for word, check in ours.items()}), checker


def _counted(word: str, check: Callable[..., Any], validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
    """Apply a keyword, if there are steps left. The library's `unevaluated...` compare all pairs: 1,000 are a step."""
    left = _left.get()
    left[0] -= 1 + (len(value) ** 2 // 1000 if word.startswith("unevaluated") and isinstance(value, list | dict) else 0)
    if left[0] < 0:
        raise InputError(
            f"the schema takes more than {STEPS:,} steps on this answer; let `if` and `then` choose the branch that fits"
        )
    return check(validator, wanted, value, schema)


def _canonical(value: Any) -> str:
    """One text for all values that are equal as JSON: 1 is 1.0, true is not 1, and keys have no order."""
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _matching(pattern: str, texts: Sequence[str]) -> list[str]:
    r"""The texts in which RE2 finds a pattern. What JSON Schema writes as ``\u00e9`` is ``\x{00e9}`` there."""
    said = _ESCAPE.sub(lambda m: m[0] if m[1] is None else f"\\x{{{m[1]}}}", pattern)
    clean = pa.array([t.encode("utf-8", "replace").decode() for t in texts], pa.large_string())
    return [t for t, hit in zip(texts, pc.match_substring_regex(clean, said).to_pylist(), strict=True) if hit]


def _words(schema: Any) -> set[str]:
    """The keys in a schema, at any depth."""
    return set(schema if isinstance(schema, dict) else ()).union(*map(_words, _within(schema)))


def _levels(value: Any) -> int:
    """How deeply a value is nested; that of a scalar is 1."""
    return 1 + max(map(_levels, _within(value)), default=0)


def _within(value: Any) -> Collection[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _json_schema(case: Case, output: Output, _: Embedder) -> Measured:
    if "schema" not in case.expect:
        raise InputError("expect.schema is missing; give the JSON Schema that an answer keeps")
    try:
        value = parsed(unfenced(output.answer or ""))
    except ValueError as error:
        return right_unless(f"the answer is not JSON ({quoted(str(error), 100)[1:-1]})")
    return right_unless(breach(value, case.expect["schema"], "expect.schema"), "the answer keeps its schema")


def _refused(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _number(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{quoted(digits, 20)[1:-1]} is beyond the numbers that JSON can be counted on to carry")
    return number if set(digits) & set(".eE") else int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return made


JSON_SCHEMA = CaseScorer(
    name="json_schema",
    version="2",
    about="The whole answer, perhaps in one code fence, is JSON that keeps `expect.schema`.",
    score=_json_schema,
)
