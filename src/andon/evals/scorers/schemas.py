"""The case scorer `json_schema`, and the check of a value against a JSON Schema."""

import json
import re
from typing import Any

from andon.errors import InputError
from andon.evals.records import CaseScorer, Measured, Output
from andon.golden import Case
from andon.scores import Embedder
from andon.traffic.quoting import quoted

__all__ = ["JSON_SCHEMA", "breach", "parsed"]

READ = 1_000_000
"""Characters of an answer beyond which it is not read as JSON."""

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

    References outside the schema are refused: nothing is fetched.

    Raises:
        InputError: the schema is none.
    """
    import jsonschema
    from jsonschema.exceptions import SchemaError, best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    if not isinstance(schema, dict | bool):
        raise InputError(f"{what} is {quoted(schema)}; a JSON Schema is an object")
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
        found = best_match(kind(schema, registry=Registry()).iter_errors(value))
    except SchemaError as error:
        raise InputError(f"{what} is no JSON Schema: {quoted(error.message, 120)}") from None
    except (Unresolvable, re.error, RecursionError) as error:
        raise InputError(f"{what} cannot be used ({type(error).__name__}: {quoted(str(error), 120)})") from None
    return None if found is None else f"{quoted(found.json_path, 120)[1:-1]}: {quoted(found.message, 160)[1:-1]}"


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
