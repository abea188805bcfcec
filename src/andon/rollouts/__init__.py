"""Decide whether a treatment may go on: promote, hold or roll back. It decides and does not act.

In: live traffic of two arms. Out: `Decision` records. Always true: the split is checked before the effect is read. What
touches the store is in `andon.rollouts.run`.
"""

from andon.rollouts.compare import MISMATCH, Comparison, compare, ratio_p
from andon.rollouts.records import Arm, Decision

__all__ = ["MISMATCH", "Arm", "Comparison", "Decision", "compare", "ratio_p"]
