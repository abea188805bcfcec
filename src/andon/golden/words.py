"""What a case asks of an answer, in words."""

from andon.golden.records import Case, Failure
from andon.incidents import phrase_of
from andon.scores import failing

__all__ = ["passes_when"]

_SAME = ("normalised_match", "exact_match", "label_match")


def passes_when(of: Case | Failure) -> str:
    """When an answer to it passes: one sentence with the metric."""
    if of.metric in _SAME:
        return f"An answer passes when it says the same as the right answer ({of.metric})."
    if of.cut is not None:
        op, bound = failing("number", of.direction, of.cut)
        word = "below" if op == "ge" else "at least"
        return f"An answer passes when its {of.metric} is {word} {bound:.3g}."
    if ":" in of.metric or of.expect:
        return f"An answer passes when {of.metric} says so."
    return f"An answer passes unless it counts among “{phrase_of(of.metric, of.direction)}” ({of.metric})."
