"""What came in and went out: OTLP, files and SDK calls become `Interaction` and `Feedback` rows.

In: OTLP trace requests, JSONL and Parquet files, rows of the client. Out: the tables `interactions`, `feedback` and
`spans`. Always true: nothing is scored or judged here; an acknowledged row is durable and has one id, so that sending it
again adds nothing; what cannot be kept is named, with its line, value and reason, and the rest is kept.

Everything here is pure. What touches the store is in `andon.traffic.run`.
"""

from andon.traffic.clock import format_time, parse_time
from andon.traffic.conventions.traces import READINGS, Reading, assemble
from andon.traffic.files.kinds import traffic_in
from andon.traffic.files.reading import check_file, lines_of, read_feedback, read_interactions, read_traffic
from andon.traffic.intake import (
    FEEDBACK_SYNONYMS,
    SYNONYMS,
    BadRow,
    feedback_of,
    interaction_of,
)
from andon.traffic.otlp import SpanRow, spans_of
from andon.traffic.quoting import quoted
from andon.traffic.records import FEEDBACK_KINDS, SEGMENTS, VERSIONS, Context, Feedback, Interaction, Step, ToolCall
from andon.traffic.rows import (
    SCHEMAS,
    feedback_from_rows,
    feedback_to_rows,
    from_rows,
    spans_from_rows,
    spans_to_rows,
    to_rows,
)

__all__ = [
    "FEEDBACK_KINDS",
    "FEEDBACK_SYNONYMS",
    "READINGS",
    "SCHEMAS",
    "SEGMENTS",
    "SYNONYMS",
    "VERSIONS",
    "BadRow",
    "Context",
    "Feedback",
    "Interaction",
    "Reading",
    "SpanRow",
    "Step",
    "ToolCall",
    "assemble",
    "check_file",
    "feedback_from_rows",
    "feedback_of",
    "feedback_to_rows",
    "format_time",
    "from_rows",
    "interaction_of",
    "lines_of",
    "parse_time",
    "quoted",
    "read_feedback",
    "read_interactions",
    "read_traffic",
    "spans_from_rows",
    "spans_of",
    "spans_to_rows",
    "to_rows",
    "traffic_in",
]
