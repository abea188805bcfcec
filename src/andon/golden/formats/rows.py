"""What the formats of others have in common: rows of JSON, JSONL and CSV, questions in many shapes, and our own fields.

A format knows its own keys; everything here is about reading them without guessing. What cannot be read is refused with its
place and the reason, and everything else is read.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from andon.errors import InputError
from andon.golden.files import COMMON, OURS, case_of_row, row_of_case
from andon.golden.records import Case, Refusal
from andon.traffic.quoting import quoted

__all__ = [
    "MINE",
    "QUESTION",
    "TRUTH",
    "Reading",
    "Row",
    "case_from",
    "metadata_of",
    "read_rows",
    "right_of",
    "rows_of",
    "said",
    "truths_of",
    "write_lines",
]

QUESTION = ("question", "query", "input", "prompt", "user_input", "user_query", "message", "text")
"""Keys under which an object holds its question, the first that is there."""

TRUTH = (
    "ground_truth", "ideal", "expected", "expected_output", "expectedOutput", "expected_answer", "reference",
    "reference_answer", "answer", "target", "label", "correct_label", "output", "response", "text",
)  # fmt: skip
"""Keys under which an object holds its right answer, the first that is there."""

NESTED = (
    "input", "output", "expectedOutput", "expected_output", "metadata", "item", "target", "contexts", "expect"
)  # fmt: skip
"""Columns of a CSV whose cells may hold JSON."""

LONGEST = 2**20
"""Characters of the metadata of one case: what a file says once for all its tests is kept with each of them."""

MINE = "andon"
"""Key of `metadata` under which Andon's own fields stand in the formats of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One object of a file."""

    place: str
    """``line 3`` where lines are known, else ``item 3``."""
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a file of another format holds."""

    cases: tuple[Case, ...]
    refused: tuple[Refusal, ...] = ()
    """What was not understood, by its place, and why."""


def rows_of(text: str, name: str) -> tuple[list[Row], list[Refusal]]:
    """The objects of a JSON list, of JSONL or of a CSV with a header, and the lines that are none.

    An answer of a server is opened: ``{"data": [...]}`` and ``{"data": {"examples": [...]}}`` hold the list.

    Raises:
        InputError: the file as a whole is neither.
    """
    body = text.removeprefix("\ufeff").lstrip()
    if not body.startswith(("{", "[")):
        return _rows_of_csv(text.removeprefix("\ufeff"), name), []
    try:
        whole = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return _rows_of_lines(text.removeprefix("\ufeff"))
    for key in ("data", "examples", "items"):
        if isinstance(whole, dict) and isinstance(whole.get(key), list | dict):
            whole = whole[key]
    if isinstance(whole, list):
        return [Row(place=f"item {n}", value=v) for n, v in enumerate(whole, 1)], []
    return [Row(place="line 1", value=whole)], []


def read_rows(text: str, name: str, make: Callable[[Row], Case]) -> Reading:
    """Make a case of each row of a file; what `make` cannot read is refused with its reason.

    Raises:
        InputError: as `rows_of`.
    """
    cases: list[Case] = []
    rows, bad = rows_of(text, name)
    for row in rows:
        try:
            if not isinstance(row.value, dict):
                raise InputError(f"{quoted(row.value)} is not an object")
            cases.append(make(row))
        except InputError as error:
            bad.append(Refusal(id=row.place, reason=str(error)))
    return Reading(cases=tuple(cases), refused=tuple(bad))


def said(value: Any, keys: Sequence[str], what: str) -> str:
    """The text in a value of many shapes: a text, chat messages, or an object that holds one of them under a known key.

    Raises:
        InputError: there is none, or more than one and no known key; names the keys.
    """
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list) and value and all(isinstance(m, dict) and "content" in m for m in value):
        return _conversation(value, what)
    if isinstance(value, dict) and value:
        nested = value.get("kwargs")  # what Langfuse keeps of a decorated function
        inner: dict[Any, Any] = nested if isinstance(nested, dict) and nested else value
        known = [k for k in ("messages", *keys) if inner.get(k) not in (None, "", [], {})]
        if known or len(inner) == 1:
            return said(inner[known[0] if known else next(iter(inner))], keys, what)
        named = quoted(", ".join(map(str, inner)), 120)
        raise InputError(f"none of its keys is the {what}: {named}; call it {quoted(keys[0])}")
    raise InputError(f"the {what} is {quoted(value)}; a text is needed")


def truths_of(value: Any) -> list[str]:
    """The right answers in a value: one, or each of a list of texts.

    Raises:
        InputError: there is none.
    """
    if isinstance(value, list) and value and not any(isinstance(v, dict | list) for v in value):
        return list(dict.fromkeys(said(v, TRUTH, "right answer") for v in value))
    if isinstance(value, dict):
        known = [k for k in TRUTH if isinstance(value.get(k), list)]
        if known and not any(isinstance(v, dict) for v in value[known[0]]):
            return truths_of(value[known[0]])
    return [said(value, TRUTH, "right answer")]


def case_from(
    question: str, truths: Sequence[str], metadata: Any, *, app: str, source: str, more: Mapping[str, Any] | None = None
) -> Case:
    """A case with these right answers; `metadata` gives our own fields where Andon wrote it, else contexts, risk and source.

    More than one right answer is the metric ``any_of``. Other metadata are kept in the case's line.

    Raises:
        InputError: a field of ours has a value that it cannot have, or the line is longer than `LONGEST`.
    """
    given = metadata if isinstance(metadata, dict) else {}
    mine = given.get(MINE)
    row: dict[str, Any] = {k: mine[k] for k in (*COMMON, *OURS) if k in mine} if isinstance(mine, dict) else {}
    row.setdefault("source", source)
    contexts, risk = given.get("contexts"), given.get("risk_category")
    if contexts is not None:
        row["contexts"] = contexts
    if isinstance(risk, str) and risk.strip():
        row["risk_category"] = risk
    row |= {"question": question, "ground_truth": truths[0], **(more or {})}
    if len(truths) > 1:
        row |= {"metric": "any_of", "expect": {**(row.get("expect") or {}), "any_of": list(truths)}}
    case = case_of_row(row, app=app)
    theirs = {k: v for k, v in given.items() if k not in (MINE, "id", "contexts", "risk_category")}
    if not theirs:
        return case
    line = json.dumps(row_of_case(case) | {"metadata": theirs}, default=str)
    if len(line) > LONGEST:
        raise InputError(f"with its metadata it has {len(line):,} characters; up to {LONGEST:,} are kept")
    return case_of_row(row, app=app, line=line)


def metadata_of(case: Case) -> dict[str, Any]:
    """What a case says beyond question and right answer, for the `metadata` of another format; `case_from` reads it back."""
    row = row_of_case(case)
    kept = json.loads(case.line).get("metadata") if case.line else None
    plain = {k: row[k] for k in ("id", "contexts", "risk_category") if row.get(k)}
    mine = {
        k: v for k, v in row.items() if k not in ("question", "ground_truth", *plain) and v not in (None, "", [], ())
    }
    return {**(kept if isinstance(kept, dict) else {}), **plain, MINE: mine}


def right_of(case: Case) -> str | list[str]:
    """The right answer of a case, or all of them where each of several is right."""
    others = case.expect.get("any_of")
    if case.metric != "any_of" or not isinstance(others, list):
        return case.ground_truth
    return list(dict.fromkeys((case.ground_truth, *others)))


def write_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """JSONL; half of a surrogate pair, which is no text, is spelt as an escape."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    return "".join(f"{line.encode('utf-8', 'backslashreplace').decode()}\n" for line in lines)


def _conversation(messages: list[Any], what: str) -> str:
    """The text of chat messages: the content of a single one, else all of them with their roles, in paragraphs."""
    texts = [(str(m.get("role", "user")), _content(m["content"], what)) for m in messages]
    if len(texts) == 1:
        return texts[0][1]
    return "\n\n".join(f"{role}: {text}" for role, text in texts)


def _content(content: Any, what: str) -> str:
    if isinstance(content, str) and content.strip():
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [p.get("text") if isinstance(p, dict) else None for p in parts]
    if texts and all(isinstance(t, str) and t.strip() for t in texts):
        return "\n".join(t for t in texts if t)
    raise InputError(f"a message of the {what} holds something else than text; images and files are not read")


def _rows_of_lines(text: str) -> tuple[list[Row], list[Refusal]]:
    rows: list[Row] = []
    refused: list[Refusal] = []
    for number, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        try:
            rows.append(Row(place=f"line {number}", value=json.loads(raw, parse_constant=_no_constant)))
        except (ValueError, RecursionError) as error:
            refused.append(Refusal(id=f"line {number}", reason=f"it is not JSON ({quoted(str(error), 80)})"))
    return rows, refused


def _rows_of_csv(text: str, name: str) -> list[Row]:
    limit = csv.field_size_limit(max(131_072, len(text) + 1))
    try:
        reader = csv.DictReader((f"{line}\n" for line in text.split("\n")), strict=True)
        rows = []
        for cells in reader:
            if None in cells or None in cells.values():
                raise InputError(f"{name}: line {reader.line_num} has another number of cells than the header")
            rows.append(
                Row(place=f"line {reader.line_num}", value={k: _cell(k, v) for k, v in cells.items() if v != ""})
            )
        return rows
    except csv.Error as error:
        raise InputError(f"{name}: line {reader.line_num} is not CSV: {error}") from None
    finally:
        csv.field_size_limit(limit)


def _cell(column: str, text: str) -> Any:
    if column in NESTED and text.lstrip().startswith(("{", "[", '"')):
        try:
            return json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return text
    return text


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")
