"""Samples of OpenAI evals: JSONL with `input` and `ideal`, or with an `item` of the Evals API.

| OpenAI evals | case |
|---|---|
| `input`: a text or chat messages (`messages` in what Phoenix exports) | question; several messages become one text with their roles |
| `ideal`: a text | ground_truth |
| `ideal`: a list, each of which is right | the first is ground_truth, all are `expect.any_of`, the metric is `any_of` |
| `item`: an object | question under `question`, `input`, ...; ground_truth under `ground_truth`, `ideal`, `expected`, `correct_label`, ... |
| `metadata` | contexts, risk_category; `andon` holds all other fields of ours, other keys are kept |

Which class scores the samples (`Match`, `Includes`, a model) stands in another file of that project, so each case is measured by
comparison with its right answer. Written are `input`, `ideal` and `metadata`.

Source: openai/evals, ``docs/build-eval.md``; OpenAI API reference, Evals, ``jsonl`` data source.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from andon.errors import InputError
from andon.golden.formats.rows import (
    QUESTION,
    TRUTH,
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
from andon.traffic.quoting import quoted

__all__ = ["matches", "read", "write"]


def matches(first: Mapping[str, Any]) -> bool:
    """Whether the first row of a file is a sample."""
    return "ideal" in first or isinstance(first.get("item"), dict)


def read(text: str, name: str, *, app: str) -> Reading:
    """The samples of a file.

    Raises:
        InputError: the file is neither JSON nor JSONL.
    """

    def make(row: Row) -> Case:
        sample = row.value
        item = sample.get("item")
        if isinstance(item, dict):
            question, right = _of_item(item)
            return case_from(question, truths_of(right), item.get("metadata"), app=app, source="openai-evals")
        question = said(sample.get("input", sample.get("messages")), QUESTION, "question")
        return case_from(
            question, truths_of(sample.get("ideal")), sample.get("metadata"), app=app, source="openai-evals"
        )

    return read_rows(text, name, make)


def write(cases: Iterable[Case]) -> str:
    """One sample a line."""
    return write_lines(
        {"input": [{"role": "user", "content": c.question}], "ideal": right_of(c), "metadata": metadata_of(c)}
        for c in cases
    )


def _of_item(item: Mapping[str, Any]) -> tuple[str, Any]:
    """Question and right answer of an item, whose keys its author chose: known names, else the other one of two."""
    asked = [k for k in QUESTION if k in item]
    right = [k for k in TRUTH if k in item and k not in asked[:1]]
    others = [k for k in item if k != "metadata" and k not in (*asked[:1], *right[:1])]
    if not asked and right and len(others) == 1:
        asked = others
    if not asked or not right:
        keys = quoted(", ".join(map(str, item)), 120)
        raise InputError(
            f"which of its keys are question and right answer? {keys}; call them `question` and `ground_truth`"
        )
    return said(item[asked[0]], QUESTION, "question"), item[right[0]]
