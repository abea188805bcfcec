"""Dataset items of Langfuse: JSON, JSONL or CSV, as its API and its export give them.

| Langfuse | case |
|---|---|
| `input` (text, messages, or an object with `question`, `query`, `input`, ...) | question |
| `expectedOutput` (text, or an object with `answer`, `expected`, ...) | ground_truth; of a list each is right (`any_of`) |
| `metadata.contexts`, `metadata.risk_category` | contexts, risk_category |
| `metadata.andon` | all other fields of ours; other keys of `metadata` are kept |
| `status: ARCHIVED` | retired, on the day of `updatedAt` |
| `id` | source, as `langfuse item ID` |

An item without expected output is refused: nobody has said yet what is right. Written are `id`, `input`, `expectedOutput`,
`metadata` and `status`, one item a line, which `create_dataset_item` takes.

Source: Langfuse API, ``DatasetItem`` and ``CreateDatasetItemRequest``.
"""

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

ARCHIVED = "ARCHIVED"


def matches(first: Mapping[str, Any]) -> bool:
    """Whether the first row of a file is a dataset item."""
    marks = (
        "expectedOutput",
        "expected_output",
        "datasetId",
        "datasetName",
        "dataset_id",
        "dataset_name",
        "sourceTraceId",
    )
    return "input" in first and any(k in first for k in marks)


def read(text: str, name: str, *, app: str) -> Reading:
    """The items of a file.

    Raises:
        InputError: the file is neither JSON, JSONL nor CSV.
    """

    def make(row: Row) -> Case:
        item = row.value
        right = item.get("expectedOutput", item.get("expected_output"))
        item_id = str(item.get("id", "")).strip()
        more: dict[str, Any] = {}
        if item.get("status") == ARCHIVED:
            day = str(item.get("updatedAt", item.get("updated_at", "")))[:10]
            more = {"retired": day or "unknown", "retired_why": "archived in Langfuse"}
            mine = (item.get("metadata") or {}).get("andon") if isinstance(item.get("metadata"), dict) else None
            if isinstance(mine, dict) and mine.get("retired"):
                more = {}  # it was archived by us, with a day and a reason
        question = said(item.get("input"), QUESTION, "question")
        source = f"langfuse item {item_id}" if item_id else "langfuse"
        return case_from(question, truths_of(right), item.get("metadata"), app=app, source=source, more=more)

    return read_rows(text, name, make)


def write(cases: Iterable[Case]) -> str:
    """One item a line."""
    return write_lines(
        {
            "id": c.id,
            "input": c.question,
            "expectedOutput": right_of(c),
            "metadata": metadata_of(c),
            "status": ARCHIVED if c.retired else "ACTIVE",
        }
        for c in cases
    )
