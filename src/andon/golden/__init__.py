"""Failures become labelled cases that must pass for ever.

In: failing interactions of an incident, feedback, files. Out: `Failure`, `Label` and `Case` records, and a golden set as
plain JSONL that a team keeps in git. Always true: a failing answer never becomes its own gold label; a near-duplicate is
refused by name; the same failure is captured once.
"""

from andon.golden.cases import (
    OWNER,
    case_id,
    check_label,
    failure_id,
    golden_digest,
    label_id,
    same_text,
    to_case,
    to_failure,
)
from andon.golden.duplicates import THRESHOLD, find_duplicate, find_pairs, nearest
from andon.golden.files import COMMON, label_sheet, merge_cases, parse_cases, parse_labels, read_set, render_cases
from andon.golden.records import (
    AddResult,
    CaptureResult,
    Case,
    Failure,
    Label,
    LabelResult,
    LabelRow,
    NearDuplicate,
    Refusal,
)

__all__ = [
    "COMMON",
    "OWNER",
    "THRESHOLD",
    "AddResult",
    "CaptureResult",
    "Case",
    "Failure",
    "Label",
    "LabelResult",
    "LabelRow",
    "NearDuplicate",
    "Refusal",
    "case_id",
    "check_label",
    "failure_id",
    "find_duplicate",
    "find_pairs",
    "golden_digest",
    "label_id",
    "label_sheet",
    "merge_cases",
    "nearest",
    "parse_cases",
    "parse_labels",
    "read_set",
    "render_cases",
    "same_text",
    "to_case",
    "to_failure",
]
