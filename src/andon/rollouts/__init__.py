"""Decide whether a version may go on: promote, hold, roll back, or undecided for so many days. It decides and does not act.

In: a plan that was written first, and live traffic of two arms. Out: `Experiment`, `Allocation` and `Decision` records. Always
true: a split that was planned is checked before the effect is read, and looking at an experiment again costs no error. What touches
the store is in `andon.rollouts.run`.
"""

from andon.rollouts.records import Allocation, Arm, Decision, Experiment, Finding, Guardrail

__all__ = [
    "Allocation",
    "Arm",
    "Decision",
    "Experiment",
    "Finding",
    "Guardrail",
]
