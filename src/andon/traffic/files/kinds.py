"""Which kind of traffic a row from outside is, by the names in it, and the records that it gives.

A row is an interaction unless its names say otherwise: feedback, an entry of a failure log, an export of Langfuse, or a
request of OTLP in JSON. A file's name can say it first (``thumbs.feedback.jsonl``).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from andon.errors import InputError
from andon.traffic.files.captures import capture_of, is_capture
from andon.traffic.files.cells import feature_columns, parse_cell, structured_columns, with_features
from andon.traffic.files.langfuse import is_export, records_of_export
from andon.traffic.intake import MAX_LINE, BadRow, bad_row, feedback_of, field_of, interaction_of, why_no_json
from andon.traffic.otlp import logs_of, spans_of
from andon.traffic.quoting import quoted
from andon.traffic.records import Feedback, Interaction, LogRow, SpanRow

__all__ = [
    "Found",
    "Record",
    "Table",
    "column_reader",
    "is_feedback",
    "is_otlp",
    "read_value",
    "reader_of",
    "table_of",
    "traffic_in",
]

Table = Literal["interactions", "feedback"]
Record = Interaction | Feedback | SpanRow | LogRow

_OTLP = ("resourceSpans", "resourceLogs", "resourceMetrics")
_FEEDBACK_OF = frozenset(("interaction_id", "trace_id", "session_id"))
_SAYS = frozenset(("kind", "thumb", "thumbs", "rating", "correction"))
_CONTENT = frozenset(
    ("query", "answer", "contexts", "tool_calls", "steps", "model", "requested_model", "features", "prediction", "latency_s",
     "input_tokens", "output_tokens", "finish_reason", "cost_usd")
)  # fmt: skip
"""Fields that only an interaction has."""
_ENVELOPES = (
    "data",
    "rows",
    "records",
    "items",
    "results",
    "interactions",
    "feedback",
    "traces",
    "observations",
    "scores",
)
"""Names under which an object holds the rows of a whole file."""

_TELLING = frozenset(
    (*_OTLP, *_FEEDBACK_OF, *_ENVELOPES, "failure_reason", "traceId", "sessionId", "bookmarked", "htmlPath")
)
"""Names of which each door knows at least one: a row with none of them is an interaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one row gave."""

    records: tuple[Record, ...] = ()
    refused: tuple[str, ...] = ()
    """Why parts of it were left out."""


def table_of(path: object) -> Literal["interactions", "feedback", "changes"] | None:
    """What the name of a file says about its rows (``*.feedback.*``, ``*.changes.*``); None where it says nothing."""
    name = str(path).replace("\\", "/").rpartition("/")[2].lower()
    for part in name.split(".")[:-1]:
        if part in ("feedback", "changes", "interactions"):
            return part  # type: ignore[return-value]
    return None


def is_feedback(names: Collection[str]) -> bool:
    """Whether rows with these names are feedback: they point at an interaction, say something, and hold no content."""
    if _FEEDBACK_OF.isdisjoint(names):
        return False
    says = not _SAYS.isdisjoint(names) or ("name" in names and ("score" in names or "label" in names))
    return says and not any(field_of(name) in _CONTENT for name in names)


def is_otlp(names: Collection[str]) -> bool:
    """Whether an object with these names is a request of OTLP in JSON, as the Collector's file exporter writes them."""
    return any(name in names for name in _OTLP)


def reader_of(names: Collection[str], table: Table | None = None) -> Callable[[Mapping[str, Any]], Found]:
    """The function that reads rows with these names; it raises `InputError` where a row cannot be kept."""
    if table == "feedback":
        return _feedback
    if is_export(names):
        return _export
    if table is None and is_feedback(names):
        return _feedback
    return _capture if is_capture(names) else _interaction


def column_reader(names: Collection[str], table: Table | None = None) -> Callable[[Mapping[str, Any]], Found]:
    """As `reader_of`, for the rows of a table: cells may hold lists, and columns may be inputs of a model."""
    read = reader_of(names, table)
    if read not in (_interaction, _capture):
        return read
    features, structured = feature_columns(names), structured_columns(names)
    if not features and not structured:
        return read

    def row_of(row: Mapping[str, Any]) -> Found:
        opened = {k: parse_cell(v) if k in structured and isinstance(v, str) else v for k, v in row.items()}
        return read(with_features(opened, features) if features else opened)

    return row_of


def traffic_in(lines: Iterable[bytes], table: Table | None = None, first: int = 1) -> Iterator[Record | BadRow]:
    """What each line of JSON holds, or why it was not kept, with its number (from `first`); empty lines are passed over."""
    for number, line in enumerate(lines, first):
        if number == 1 and line.startswith(b"\xef\xbb\xbf"):
            line = line[3:]  # noqa: PLW2901 - the mark that some editors write before the text
        if not line or line.isspace():
            continue
        if len(line) > MAX_LINE:
            yield bad_row(number, f"the line is longer than {MAX_LINE} bytes", line)
        else:
            yield from read_value(number, line, table)


def read_value(number: int, raw: bytes, table: Table | None = None) -> Iterator[Record | BadRow]:
    """What one JSON value holds: a row, a request of OTLP, or an object around rows."""
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        yield bad_row(number, why_no_json(raw, error), raw)
        return
    if not isinstance(row, dict):
        yield bad_row(number, f"the row is {quoted(row)}; a JSON object is allowed", raw)
        return
    if table is None and _TELLING.isdisjoint(row):  # a short way for what most rows are
        yield from _outcome(number, row, lambda: _interaction(row))
        return
    within = _rows_within(row)
    if within is not None:
        name, rows = within
        for at, inner in enumerate(rows, 1):
            yield from _kept(at, inner, "feedback" if name == "feedback" else table)
    elif is_otlp(row):
        yield from _outcome(number, raw, lambda: _otlp(row, raw))
    else:
        yield from _kept(number, row, table)


def _kept(number: int, row: Mapping[str, Any], table: Table | None) -> Iterator[Record | BadRow]:
    return _outcome(number, row, lambda: reader_of(row, table)(row))


def _outcome(number: int, row: Any, read: Callable[[], Found]) -> Iterator[Record | BadRow]:
    try:
        found = read()
    except InputError as error:
        yield bad_row(number, str(error), row if isinstance(row, bytes) else _shown(row))
        return
    yield from found.records
    for reason in found.refused:
        yield bad_row(number, reason, "")


def _shown(row: Mapping[str, Any]) -> str:
    return str({k: v for k, v in row.items() if v is not None})


def _rows_within(row: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]] | None:
    """The rows of a file whose outermost value is an object around them, and the name under which they are."""
    if len(row) > len(_ENVELOPES) or is_export(row) or any(field_of(key) == "time_us" for key in row):
        return None
    for name in _ENVELOPES:
        rows = row.get(name)
        if isinstance(rows, list) and rows and all(isinstance(r, dict) for r in rows):
            return name, rows
    return None


def _interaction(row: Mapping[str, Any]) -> Found:
    return Found(records=(interaction_of(row),))


def _feedback(row: Mapping[str, Any]) -> Found:
    return Found(records=(feedback_of(row),))


def _capture(row: Mapping[str, Any]) -> Found:
    interaction, said = capture_of(row)
    return Found(records=(interaction,) if said is None else (interaction, said))


def _export(row: Mapping[str, Any]) -> Found:
    records, refused = records_of_export(row)
    return Found(records=tuple(records), refused=tuple(refused))


def _otlp(row: Mapping[str, Any], raw: bytes) -> Found:
    """The spans, and the log records of model calls, of a request; a record without any time cannot be placed."""
    if "resourceSpans" in row:
        spans, refused = spans_of(raw, "json")
        return Found(records=tuple(spans), refused=tuple(refused))
    if "resourceLogs" in row:
        logs = logs_of(raw, "json", now_us=0)
        return Found(records=logs.rows, refused=logs.refused)
    raise InputError("the line holds OTLP metrics; traces and logs are read")
