"""Run a golden set against a target and say pass, fail or undecided.

In: cases, a target, a baseline run. Out: `EvalRun` and `Verdict` records. Always true: cases are scored by `scores`, as live
traffic is; an execution error is a third outcome, neither pass nor fail; runs are compared case by case.
"""

from andon.evals.agreement import JudgeAgreement, Judged, JudgeShift, judge_agreement, judge_shift, judged_rows
from andon.evals.power import Plan, plan, say
from andon.evals.records import (
    Baseline,
    CaseResult,
    CaseScorer,
    Confirmed,
    EvalRun,
    Group,
    Measured,
    Output,
    Probed,
    Progress,
    Quarantine,
    Refreshed,
    Shown,
    Tally,
    Target,
    Verdict,
)
from andon.evals.repeats import (
    AtK,
    Flake,
    Repeats,
    Spread,
    flake_of,
    flakes_of,
    pass_at_k,
    pass_hat_k,
    repeats_of,
    spread_of,
)
from andon.evals.reports import junit_of, lines_of, markdown_of, sarif_of, summarise, tell
from andon.evals.rules import DEFAULT, Rule, Rules, parse_rules
from andon.evals.scorers import scorers_for
from andon.evals.scoring import measured_by, score_case, scorer_versions
from andon.evals.shown import shown
from andon.evals.targets import FORMS, keepable_spec, make_target
from andon.evals.verdict import BAR, ConfirmPlan, confirm_plan, exit_code, judge

__all__ = [
    "BAR",
    "DEFAULT",
    "FORMS",
    "AtK",
    "Baseline",
    "CaseResult",
    "CaseScorer",
    "ConfirmPlan",
    "Confirmed",
    "EvalRun",
    "Flake",
    "Group",
    "JudgeAgreement",
    "JudgeShift",
    "Judged",
    "Measured",
    "Output",
    "Plan",
    "Probed",
    "Progress",
    "Quarantine",
    "Refreshed",
    "Repeats",
    "Rule",
    "Rules",
    "Shown",
    "Spread",
    "Tally",
    "Target",
    "Verdict",
    "confirm_plan",
    "exit_code",
    "flake_of",
    "flakes_of",
    "judge",
    "judge_agreement",
    "judge_shift",
    "judged_rows",
    "junit_of",
    "keepable_spec",
    "lines_of",
    "make_target",
    "markdown_of",
    "measured_by",
    "parse_rules",
    "pass_at_k",
    "pass_hat_k",
    "plan",
    "repeats_of",
    "sarif_of",
    "say",
    "score_case",
    "scorer_versions",
    "scorers_for",
    "shown",
    "spread_of",
    "summarise",
    "tell",
]
