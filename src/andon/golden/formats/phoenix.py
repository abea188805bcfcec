"""Datasets of Phoenix: the CSV that it downloads, and examples as JSON or JSONL.

| Phoenix | case |
|---|---|
| `input` (object), or the columns `input_*` | question, under `question`, `query`, `input`, ...; the only value where there is one |
| `output` (object), or the columns `output_*` | ground_truth, under `answer`, `expected`, ... |
| `metadata`, or the columns `metadata_*` | contexts, risk_category; `andon` holds all other fields of ours, other keys are kept |
| `id`, `example_id` | source, as `phoenix example ID` |

Written are `input`, `output` and `metadata`, one example a line.

Source: Phoenix, ``/v1/datasets/{id}/csv`` (columns ``example_id``, ``input_KEY``, ``output_KEY``, ``metadata_KEY``) and
``/v1/datasets/{id}/examples``.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from andon.golden.formats.rows import (
    QUESTION,
    Reading,
    Row,
    case_from,
    metadata_of,
    read_rows,
    right_of,
    said,
    truths_of,
    write_lines,
)
from andon.golden.records import Case

__all__ = ["matches", "read", "write"]

PARTS = ("input", "output", "metadata")


def matches(first: Mapping[str, Any]) -> bool:
    """Whether the first row of a file is an example."""
    flat = any(k.startswith("input_") for k in first) and any(k.startswith("output_") for k in first)
    return "example_id" in first or flat or ("input" in first and "output" in first)


def read(text: str, name: str, *, app: str) -> Reading:
    """The examples of a file.

    Raises:
        InputError: the file is neither JSON, JSONL nor CSV.
    """

    def make(row: Row) -> Case:
        example = {part: _part(row.value, part) for part in PARTS}
        example_id = row.value.get("example_id", row.value.get("id"))
        source = "phoenix" if example_id in (None, "") else f"phoenix example {example_id}"
        question = said(example["input"], QUESTION, "question")
        return case_from(question, truths_of(_answer(example["output"])), example["metadata"], app=app, source=source)

    return read_rows(text, name, make)


def write(cases: Iterable[Case]) -> str:
    """One example a line."""
    return write_lines(
        {"input": {"question": c.question}, "output": {"answer": right_of(c)}, "metadata": metadata_of(c)}
        for c in cases
    )


def _answer(output: Any) -> Any:
    """The output, or of a chat model's messages the content of the last one."""
    messages = output.get("messages") if isinstance(output, dict) else None
    return messages[-1:] if isinstance(messages, list) else output


def _part(row: Mapping[str, Any], part: str) -> Any:
    """A part of an example: as it stands, or put together from its columns; JSON in a cell of `metadata` is read."""
    if part in row:
        return row[part]
    columns = {k.removeprefix(f"{part}_"): v for k, v in row.items() if k.startswith(f"{part}_")}
    return {k: _opened(v) for k, v in columns.items()} if part == "metadata" else columns


def _opened(cell: Any) -> Any:
    try:
        return json.loads(cell) if isinstance(cell, str) and cell.startswith(("{", "[")) else cell
    except (ValueError, RecursionError):
        return cell
