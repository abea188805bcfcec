"""Failures become labelled cases that must pass for ever.

In: failing interactions of an incident, feedback, files. Out: `Failure`, `Label` and `Case` records, and a golden set as
plain JSONL that a team keeps in git. Always true: a failing answer never becomes its own gold label; a near-duplicate is
refused by name; the same failure is captured once.
"""

from andon.golden.cases import clusters_of, golden_digest, same_text
from andon.golden.coverage import CoverageMap
from andon.golden.duplicates import THRESHOLD, near_pairs
from andon.golden.files import label_lines, label_sheet
from andon.golden.queue import labels_by_failure, needed, open_to, settled
from andon.golden.records import (
    CaptureCursor,
    CaptureDay,
    Case,
    Failure,
    Label,
    LabelRow,
    NearDuplicate,
    Queued,
    Refusal,
    RuleCount,
)
from andon.golden.thresholds import thresholds_of
from andon.golden.tune import Tuned

__all__ = [
    "THRESHOLD",
    "CaptureCursor",
    "CaptureDay",
    "Case",
    "CoverageMap",
    "Failure",
    "Label",
    "LabelRow",
    "NearDuplicate",
    "Queued",
    "Refusal",
    "RuleCount",
    "Tuned",
    "clusters_of",
    "golden_digest",
    "label_lines",
    "label_sheet",
    "labels_by_failure",
    "near_pairs",
    "needed",
    "open_to",
    "same_text",
    "settled",
    "thresholds_of",
]
