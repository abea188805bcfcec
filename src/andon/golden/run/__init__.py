"""What touches the store: read, decide with the pure functions of the stage, write."""

from andon.golden.run.capture import capture
from andon.golden.run.cases import add_cases
from andon.golden.run.labels import accept_suggestions, label_failures, read_labels
from andon.golden.run.sets import export, import_set, load_set

__all__ = [
    "accept_suggestions",
    "add_cases",
    "capture",
    "export",
    "import_set",
    "label_failures",
    "load_set",
    "read_labels",
]
