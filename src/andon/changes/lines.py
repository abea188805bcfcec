"""Two texts by lines, as a unified diff that is quick whatever the texts are. Pure."""

from collections.abc import Sequence
from difflib import unified_diff

__all__ = ["line_diff"]

MOST = 5_000
"""Lines that are compared one by one, which takes the square of their number. Of longer texts only what both begin and end with is
found, and what lies between is all of the one, then all of the other."""

NEAR = 3
"""Lines that are shown around a difference."""


def line_diff(before: Sequence[str], after: Sequence[str], one: str = "", other: str = "") -> list[str]:
    """The lines of a unified diff; none where the texts are the same.

    Args:
        before: lines of the first text.
        after: lines of the second one.
        one: what the first text is called.
        other: what the second one is called.
    """
    if max(len(before), len(after)) <= MOST:
        return list(unified_diff(before, after, one, other, lineterm=""))
    same = _alike(before, after)
    rest = min(len(before), len(after)) - same
    end = _alike(before[len(before) - rest :][::-1], after[len(after) - rest :][::-1])
    old, new = before[same : len(before) - end], after[same : len(after) - end]
    if not (old or new):
        return []
    first = max(0, same - NEAR)
    last = before[len(before) - end :][:NEAR]
    around = same - first + len(last)
    head = f"@@ -{first + 1},{len(old) + around} +{first + 1},{len(new) + around} @@"
    lines = [*(f" {x}" for x in before[first:same]), *(f"-{x}" for x in old), *(f"+{x}" for x in new)]
    return [f"--- {one}", f"+++ {other}", head, *lines, *(f" {x}" for x in last)]


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines two texts begin with alike."""
    n = 0
    for x, y in zip(one, other, strict=False):
        if x != y:
            break
        n += 1
    return n
