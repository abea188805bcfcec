"""Run a golden set against a target and say pass, fail or undecided.

In: cases, a target, a baseline run. Out: `EvalRun` and `Verdict` records. Always true: cases are scored by `scores`, as live
traffic is; an execution error is a third outcome, neither pass nor fail; runs are compared case by case.
"""

from andon.evals.records import (
    Baseline,
    CaseResult,
    CaseScorer,
    Confirmed,
    EvalRun,
    Measured,
    Output,
    Probed,
    Progress,
    Quarantine,
    Tally,
    Target,
    Verdict,
)
from andon.evals.reports import junit_of, lines_of, markdown_of, sarif_of, summarise, tell
from andon.evals.scoring import score_case, scorer_versions
from andon.evals.targets import FORMS, keepable_spec, make_target
from andon.evals.verdict import exit_code, judge

__all__ = [
    "FORMS",
    "Baseline",
    "CaseResult",
    "CaseScorer",
    "Confirmed",
    "EvalRun",
    "Measured",
    "Output",
    "Probed",
    "Progress",
    "Quarantine",
    "Tally",
    "Target",
    "Verdict",
    "exit_code",
    "judge",
    "junit_of",
    "keepable_spec",
    "lines_of",
    "make_target",
    "markdown_of",
    "sarif_of",
    "score_case",
    "scorer_versions",
    "summarise",
    "tell",
]
