"""Samples of Inspect: JSON, JSONL or CSV.

| Inspect | case |
|---|---|
| `input`: a text or chat messages | question; several messages become one text with their roles |
| `target`: a text | ground_truth |
| `target`: a list, each of which is right | the first is ground_truth, all are `expect.any_of`, the metric is `any_of` |
| `choices` | lettered below the question; the letter is ground_truth, the text of the choice is right too |
| `metadata` | contexts, risk_category; `andon` holds all other fields of ours, other keys are kept |
| `id` | source, as `inspect sample ID` |

A sample with `sandbox`, `files` or `setup` is refused, because a case asks a question and prepares nothing. Written are `id`, `input`,
`target` and `metadata`, one sample a line.

Source: Inspect, ``inspect_ai.dataset.Sample``, ``FieldSpec`` and the readers of CSV and JSON.
"""

from collections.abc import Iterable, Mapping
from string import ascii_uppercase
from typing import Any

from andon.errors import InputError
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
from andon.traffic.quoting import quoted

__all__ = ["matches", "read", "write"]

PREPARED = ("sandbox", "files", "setup")


def matches(first: Mapping[str, Any]) -> bool:
    """Whether the first row of a file is a sample."""
    return "input" in first and "target" in first


def read(text: str, name: str, *, app: str) -> Reading:
    """The samples of a file.

    Raises:
        InputError: the file is neither JSON, JSONL nor CSV.
    """

    def make(row: Row) -> Case:
        sample = row.value
        prepared = [k for k in PREPARED if sample.get(k)]
        if prepared:
            raise InputError(f"it has {prepared[0]!r}: a case asks a question and prepares nothing")
        question = said(sample.get("input"), QUESTION, "question")
        truths = truths_of(sample.get("target"))
        if sample.get("choices"):
            question, truths = _lettered(question, truths, _choices(sample["choices"]))
        sample_id = sample.get("id")
        source = "inspect" if sample_id in (None, "") else f"inspect sample {sample_id}"
        return case_from(question, truths, sample.get("metadata"), app=app, source=source)

    return read_rows(text, name, make)


def write(cases: Iterable[Case]) -> str:
    """One sample a line."""
    return write_lines(
        {"id": c.id, "input": c.question, "target": right_of(c), "metadata": metadata_of(c)} for c in cases
    )


def _choices(given: Any) -> list[str]:
    """Choices as Inspect reads them: a list, or one text with commas or spaces between."""
    if isinstance(given, str):
        split = given.split(",") if "," in given else given.split()
        return [c.strip() for c in split]
    return [str(c) for c in given] if isinstance(given, list) else [str(given)]


def _lettered(question: str, truths: list[str], choices: list[str]) -> tuple[str, list[str]]:
    """The question with its choices, and what is right: the letter, and the text that it stands for."""
    letters = ascii_uppercase[: len(choices)]
    target = truths[0].strip().upper()
    if len(choices) > len(ascii_uppercase) or len(truths) != 1 or target not in tuple(letters):
        raise InputError(
            f"its target is {quoted(', '.join(truths))} for {len(choices)} choices; one letter from A on is read, several at once are not"
        )
    lines = [f"{letter}) {choice}" for letter, choice in zip(letters, choices, strict=True)]
    return "\n".join((question, "", *lines)), [target, choices[letters.index(target)]]
