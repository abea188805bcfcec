"""The case scorer `json_schema`, and the check of a value against a JSON Schema."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from andon.errors import InputError
from andon.evals.records import CaseScorer, Measured, Output
from andon.golden import Case
from andon.scores import Embedder
from andon.traffic.quoting import quoted

__all__ = ["JSON_SCHEMA", "breach", "parsed"]

READ = 1_000_000
"""Characters of an answer beyond which it is not read as JSON."""

_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|.)", re.DOTALL)
_FENCE = re.compile(r"\s*```[a-zA-Z0-9]{0,10}[ \t]*\n(.*?)\n?```\s*", re.DOTALL)


def parsed(text: str) -> Any:
    """A text as JSON, as the standard knows it: no NaN, no key twice.

    Raises:
        ValueError: it is no JSON; says where.
    """
    if len(text) > READ:
        raise ValueError(f"it has more than {READ:,} characters")
    try:
        return json.loads(text, parse_constant=_refused, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def breach(value: Any, schema: Any, what: str) -> str | None:
    """Where and how a value breaks a JSON Schema (2020-12 unless it names another draft); None where it keeps it.

    References outside the schema are refused: nothing is fetched. Patterns are of RE2, which no answer can make slow: without
    lookahead and back-references.

    Raises:
        InputError: the schema is none, or has a pattern that cannot be run so.
    """
    from jsonschema.exceptions import SchemaError, best_match
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, dict | bool):
        raise InputError(f"{what} is {quoted(schema)}; a JSON Schema is an object")
    kind, patterns = _safe(validator_for(schema, default=Draft202012Validator))
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
    except (Unresolvable, RecursionError) as error:
        raise InputError(f"{what} cannot be used ({type(error).__name__}: {quoted(str(error), 120)})") from None
    return None if found is None else f"{quoted(found.json_path, 120)[1:-1]}: {quoted(found.message, 160)[1:-1]}"


@cache
def _safe(kind: Any) -> tuple[Any, Any]:
    """A validator whose patterns take time linear in the text, and the check that RE2 can run them.

    Python's `re` may take years for one text of fifty characters, and holds every thread of the process meanwhile.
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

    checker = FormatChecker(formats=())
    checker.checks("regex", raises=pa.ArrowInvalid)(
        lambda each: not isinstance(each, str) or _matching(each, [""]) is not None
    )
    ours = {"pattern": pattern, "patternProperties": pattern_properties, "additionalProperties": additional_properties}
    return extend(kind, ours), checker


def _matching(pattern: str, texts: Sequence[str]) -> list[str]:
    r"""The texts in which RE2 finds a pattern. What JSON Schema writes as ``\u00e9`` is ``\x{00e9}`` there."""
    said = _ESCAPE.sub(lambda m: m[0] if m[1] is None else f"\\x{{{m[1]}}}", pattern)
    clean = pa.array([t.encode("utf-8", "replace").decode() for t in texts], pa.large_string())
    return [t for t, hit in zip(texts, pc.match_substring_regex(clean, said).to_pylist(), strict=True) if hit]


def _words(schema: Any) -> set[str]:
    """The keys in a schema, at any depth."""
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return set(schema if isinstance(schema, dict) else ()).union(*map(_words, inner))


def _json_schema(case: Case, output: Output, _: Embedder) -> Measured:
    if "schema" not in case.expect:
        raise InputError("expect.schema is missing; give the JSON Schema that an answer keeps")
    answer = output.answer or ""
    fenced = _FENCE.fullmatch(answer)
    try:
        value = parsed(fenced[1] if fenced else answer)
    except ValueError as error:
        return Measured(value=0.0, passed=False, detail=f"the answer is not JSON ({quoted(str(error), 100)[1:-1]})")
    found = breach(value, case.expect["schema"], "expect.schema")
    return Measured(value=float(found is None), passed=found is None, detail=found or "the answer keeps its schema")


def _refused(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return made


JSON_SCHEMA = CaseScorer(
    name="json_schema",
    version="1",
    about="The whole answer, perhaps in one code fence, is JSON that keeps `expect.schema`.",
    score=_json_schema,
)
