"""Two texts by lines: what is different, and one text with the changes of two people. Pure."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Literal

__all__ = ["compare_lines", "merge_lines"]

MOST_LINES = 2_000
"""A text of more lines is not merged, nor compared line by line: comparing them takes the square of their number."""

_Change = tuple[int, int, tuple[str, ...]]
"""Lines from, and before which, of the first text, and what stands in their place."""


def merge_lines(before: str, mine: str, theirs: str) -> str | None:
    """One text with the changes of two people, by lines; None where their changes touch each other.

    Changes touch where they are of the same lines, or begin or end at the same place: nobody can tell then which comes first.
    The same change made by both is one change. No line that one of them added is lost, and none that one of them took out
    comes back.

    Args:
        before: the text that both read.
        mine: what one made of it.
        theirs: what the other made of it.
    """
    if theirs in (mine, before):
        return mine
    if mine == before:
        return theirs
    old = before.split("\n")
    if max(len(old), mine.count("\n"), theirs.count("\n")) > MOST_LINES:
        return None
    ours, others = _changes(old, mine.split("\n")), _changes(old, theirs.split("\n"))
    both = sorted({*ours, *others})
    for (_, end, _), (start, _, _) in pairwise(both):
        if start <= end:
            return None
    made: list[str] = []
    at = 0
    for start, end, lines in both:
        made += [*old[at:start], *lines]
        at = end
    return "\n".join([*made, *old[at:]])


NEAR = 2
"""Lines that are shown around a difference."""


def compare_lines(old: str, new: str) -> list[tuple[Literal["same", "out", "in", "far"], str]]:
    """What became of a text: lines that are in both, only in the old, only in the new; ``far`` stands for many that are in both."""
    a, b = old.split("\n"), new.split("\n")
    if max(len(a), len(b)) > MOST_LINES:
        return [*(("out", line) for line in a), *(("in", line) for line in b)]
    found: list[tuple[Literal["same", "out", "in", "far"], str]] = []
    for group in SequenceMatcher(None, a, b, autojunk=False).get_grouped_opcodes(NEAR):
        if group[0][1]:
            found.append(("far", ""))
        for kind, a0, a1, b0, b1 in group:
            if kind == "equal":
                found += [("same", line) for line in a[a0:a1]]
            else:
                found += [("out", line) for line in a[a0:a1]]
                found += [("in", line) for line in b[b0:b1]]
    return found


def _changes(old: Sequence[str], new: Sequence[str]) -> list[_Change]:
    found = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(a, b, tuple(new[c:d])) for kind, a, b, c, d in found if kind != "equal"]
