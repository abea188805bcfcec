"""What a case asks of an answer, and what became of labels, in words."""

from andon.golden.records import AddResult, Case, Failure
from andon.incidents import phrase_of
from andon.scores import failing

__all__ = ["added_words", "passes_when"]

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


def added_words(result: AddResult) -> str:
    """What became of labelled failures on their way into the golden set: one sentence."""
    n = len(result.added)
    parts = [f"{n:,} case{'' if n == 1 else 's'} made"]
    if result.refused:
        parts.append(f"{len(result.refused):,} refused, near a case that is there")
    if result.conflicts:
        parts.append(f"{len(result.conflicts):,} ask what another case asks and differ in what is right")
    return "; ".join(parts)
