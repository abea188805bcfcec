"""What touches the store: read, decide with the pure functions of the stage, write."""

from andon.golden.run.by_hand import BY_HAND, capture_by_hand
from andon.golden.run.capture import capture, capture_all, capture_new
from andon.golden.run.cases import add_cases, decide, decisions, doubts
from andon.golden.run.coverage import apps_with_traffic, keep_coverage, measure_coverage
from andon.golden.run.editing import Measure, restate
from andon.golden.run.erasing import made_of, without_erased
from andon.golden.run.growth import growth, reframe
from andon.golden.run.labels import (
    accept_suggestions,
    adjudicate,
    conflicting,
    give_label,
    label_failures,
    queue,
    read_labels,
    reviewer_agreement,
    still_tested,
    withdraw,
)
from andon.golden.run.sets import (
    chronicle,
    export_as,
    export_text,
    history_of,
    import_set,
    import_text,
    load_set,
    retire,
    states_of,
)
from andon.golden.run.tuning import decided_pairs, read_pairs, tune_on
from andon.golden.run.vectors import CaseVectors, forget_vectors
from andon.golden.run.waiting import LabelQueue, Ready

__all__ = [
    "BY_HAND",
    "CaseVectors",
    "LabelQueue",
    "Measure",
    "Ready",
    "accept_suggestions",
    "add_cases",
    "adjudicate",
    "apps_with_traffic",
    "capture",
    "capture_all",
    "capture_by_hand",
    "capture_new",
    "chronicle",
    "conflicting",
    "decide",
    "decided_pairs",
    "decisions",
    "doubts",
    "export_as",
    "export_text",
    "forget_vectors",
    "give_label",
    "growth",
    "history_of",
    "import_set",
    "import_text",
    "keep_coverage",
    "label_failures",
    "load_set",
    "made_of",
    "measure_coverage",
    "queue",
    "read_labels",
    "read_pairs",
    "reframe",
    "restate",
    "retire",
    "reviewer_agreement",
    "states_of",
    "still_tested",
    "tune_on",
    "withdraw",
    "without_erased",
]
