"""The case scorer `tool_contract`: which tools are called, with which arguments, and how a call may end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from andon.errors import InputError
from andon.evals.records import CaseScorer, Measured, Output
from andon.evals.scorers.matching import check_expect, right_unless
from andon.evals.scorers.schemas import breach, parsed
from andon.golden import Case
from andon.scores import Embedder
from andon.traffic import ToolCall
from andon.traffic.quoting import quoted

__all__ = ["TOOL_CONTRACT", "Due", "calls_due"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A call that the case expects; arguments are None where only the name counts."""

    name: str
    arguments: dict[str, Any] | None


def _tool_contract(case: Case, output: Output, _: Embedder) -> Measured:
    check_expect(case, "tools", "schemas", "ordered")
    due, schemas, ordered = calls_due(case), _schemas(case), case.expect.get("ordered", False)
    if not isinstance(ordered, bool):
        raise InputError(f"expect.ordered is {quoted(ordered)}; true or false is allowed")
    if due is None and "schemas" not in case.expect:
        raise InputError("expect.tools is missing; give the calls that are due, [] where none is allowed")
    found = _broken(due, schemas, ordered, output.tool_calls)
    n = len(output.tool_calls)
    return right_unless(found, f"{f'{n} call' if n else 'no call'}{'s' if n > 1 else ''}, as the contract says")


def calls_due(case: Case) -> tuple[Due, ...] | None:
    """The calls that a case expects (`expect.tools`); None where it says nothing of them.

    Raises:
        InputError: they are something else than objects of `name` and perhaps `arguments`.
    """
    rows = case.expect.get("tools")
    if rows is None:
        return None
    allowed = 'a list of {"name": ..., "arguments": {...}} is allowed'
    if not isinstance(rows, list | tuple):
        raise InputError(f"expect.tools is {quoted(rows)}; {allowed}")
    due = []
    for row in rows:
        name, arguments = (row.get("name"), row.get("arguments")) if isinstance(row, Mapping) else (None, None)
        if not isinstance(name, str) or not (arguments is None or isinstance(arguments, dict)):
            raise InputError(f"expect.tools is {quoted(rows)} with {quoted(row)} in it; {allowed}")
        if other := set(row) - {"name", "arguments"}:
            raise InputError(f"expect.tools has the key {quoted(min(map(str, other)))}; {allowed}")
        due.append(Due(name=name, arguments=arguments))
    return tuple(due)


def _schemas(case: Case) -> dict[str, Any]:
    schemas = case.expect.get("schemas", {})
    if not isinstance(schemas, dict):
        raise InputError(f"expect.schemas is {quoted(schemas)}; an object of JSON Schemas by tool is allowed")
    return schemas


def _broken(
    due: tuple[Due, ...] | None, schemas: dict[str, Any], ordered: bool, calls: tuple[ToolCall, ...]
) -> str | None:
    """The first breach: of a call by itself, in the order of the calls; then of the calls together."""
    if due is not None and bool(due) != bool(calls):
        return (
            f"no tool is called where {quoted(due[0].name)} is due"
            if due
            else f"{quoted(calls[0].name)} is called where no call is allowed"
        )
    known = {*schemas, *(d.name for d in due or ())}
    given: list[dict[str, Any]] = []
    for call in calls:
        if call.name not in known:
            return f"{quoted(call.name)} is an unknown tool; known: {', '.join(sorted(known))}"
        arguments = _arguments(call)
        found = (
            arguments if isinstance(arguments, str) else _against(arguments, schemas.get(call.name, True), call.name)
        )
        if found is not None or isinstance(arguments, str):
            return f"{quoted(call.name)}: {found}"
        given.append(arguments)
    found = None if due is None else _matched(due, calls, given, ordered)
    failed = next((c for c in calls if c.error), None)
    if found is None and failed is not None:
        return f"{quoted(failed.name)} is called rightly, but the call is reported as an error: {quoted(failed.error, 120)}"
    return found


def _arguments(call: ToolCall) -> dict[str, Any] | str:
    """The arguments of a call, or why there are none."""
    try:
        arguments = parsed(call.arguments or "") if (call.arguments or "").strip() else {}
    except ValueError as error:
        return f"its arguments are not JSON ({quoted(str(error), 100)[1:-1]})"
    return arguments if isinstance(arguments, dict) else f"its arguments are {quoted(arguments)}, not an object"


def _against(arguments: dict[str, Any], schema: Any, name: str) -> str | None:
    """A breach of a tool's schema, named as people call it: missing, unknown, of the wrong type."""
    if isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
        required = schema.get("required", ())
        missing = [k for k in required if k not in arguments] if isinstance(required, list | tuple) else []
        extra = [k for k in arguments if k not in schema["properties"]]
        if missing:
            return f"argument {quoted(missing[0])} is missing"
        if extra and not schema.get("patternProperties") and not schema.get("additionalProperties"):
            return f"argument {quoted(extra[0])} is unknown to the tool"
    return breach(arguments, schema, f"expect.schemas.{name}")


def _matched(
    due: tuple[Due, ...], calls: tuple[ToolCall, ...], given: list[dict[str, Any]], ordered: bool
) -> str | None:
    """How the calls differ from those that are due; None where each one has its own."""
    if ordered and [c.name for c in calls] != [d.name for d in due]:
        said, asked = (", ".join(quoted(x.name, 30) for x in each) for each in (calls, due))
        return f"the calls are {said}; due are, in this order, {asked}"
    left = list(range(len(calls)))
    for place, wanted in sorted(
        enumerate(due), key=lambda p: p[1].arguments is None
    ):  # what asks for more chooses first
        fitting = [i for i in left if calls[i].name == wanted.name and (not ordered or i == place)]
        if not fitting:
            return f"a call of {quoted(wanted.name)} is missing"
        differences = {i: _different(given[i], wanted.arguments) for i in fitting}
        chosen = next((i for i in fitting if differences[i] is None), None)
        if chosen is None:
            return f"{quoted(wanted.name)}: {differences[fitting[0]]}"
        left.remove(chosen)
    return f"{quoted(calls[left[0]].name)} is called once more than is due" if left else None


def _different(given: dict[str, Any], wanted: dict[str, Any] | None) -> str | None:
    if wanted is None:
        return None
    for key, value in wanted.items():
        if key not in given:
            return f"argument {quoted(key)} is missing"
        if _kind(given[key]) != _kind(value):
            return f"argument {quoted(key)} is {_kind(given[key])}, due is {_kind(value)}"
        if not _same(given[key], value):
            return f"argument {quoted(key)} is {quoted(given[key])}, due is {quoted(value)}"
    extra = next((key for key in given if key not in wanted), None)
    return None if extra is None else f"argument {quoted(extra)} is one too many"


def _kind(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "null")


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and true is not 1."""
    if _kind(one) != _kind(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(v, other[k]) for k, v in one.items())
    return bool(one == other)


TOOL_CONTRACT = CaseScorer(
    name="tool_contract",
    version="2",
    about="The calls are those of `expect.tools`, their arguments keep `expect.schemas`, and none is reported as an error.",
    score=_tool_contract,
    needs_answer=False,
)
