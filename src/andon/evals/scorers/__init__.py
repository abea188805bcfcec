"""Case scorers: whether an output is what a case expects (`Case.expect`).

In: a case, an output of a target, an embedder. Out: `Measured`. Always true: a missing answer never passes; the answer that
failed once never passes by resembling the right one; what cannot be measured is an error with its reason. Each is one
function and one entry point of the group ``andon.case_scorers``, the built-in ones too.
"""

from andon.evals.scorers.choosing import GROUP, scorers_for

__all__ = ["GROUP", "scorers_for"]
