"""Laws of merging two edits of a text."""

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from andon.postmortems.merging import merge_lines

FOUND = ("c\na\na", "a\na\nc\nb\na\nb\nb", "c\na\na\nc\nb\na\nb\nb")
"""One moves a line into what both wrote at the end: it stands there once, though the one who left it at its place has it twice."""

LINES = st.lists(st.sampled_from(["a", "b", "c", "d", "e", ""]), max_size=8).map("\n".join)


def lines(text: str) -> "Counter[str]":
    """The lines of a text, counted."""
    return Counter(text.split("\n"))


def test_edits_of_different_places_are_both_kept() -> None:
    """What one writes at the top and the other at the bottom stands in the merged text."""
    before = "top\nmiddle\nbottom"
    assert (
        merge_lines(before, "top, mine\nmiddle\nbottom", "top\nmiddle\nbottom, theirs")
        == "top, mine\nmiddle\nbottom, theirs"
    )


def test_edits_of_the_same_line_are_for_people() -> None:
    """Where both changed the same line, or wrote at the same place, nothing is chosen for them."""
    assert merge_lines("one", "one, mine", "one, theirs") is None
    assert merge_lines("", "mine", "theirs") is None
    assert merge_lines("a\nb", "a\nmine\nb", "a\ntheirs\nb") is None
    assert merge_lines("a\nb", "a\nmine\nb", "a\nb, theirs") is None, "it could stand before or after"


@given(LINES, LINES)
def test_who_changed_nothing_changes_nothing(before: str, new: str) -> None:
    """An edit beside no edit is that edit, whichever of the two made it; the same edit twice is one."""
    assert merge_lines(before, new, before) == new
    assert merge_lines(before, before, new) == new
    assert merge_lines(before, new, new) == new


def test_a_line_moved_into_what_both_wrote_stands_there_once() -> None:
    """The same change made by both is one change, also where it holds a line that one of them took from elsewhere."""
    assert merge_lines(*FOUND) == FOUND[1]


@given(LINES, LINES, LINES)
@example(*FOUND)
def test_nothing_is_invented_and_nothing_comes_back(before: str, mine: str, theirs: str) -> None:
    """Of each line the merged text has no more than both added, and no less than both left; who is first does not matter."""
    merged = merge_lines(before, mine, theirs)
    assert merged == merge_lines(before, theirs, mine)
    if merged is None:
        return
    was, a, b, now = lines(before), lines(mine), lines(theirs), lines(merged)
    for line in {*was, *a, *b, *now}:
        changes = [x[line] - was[line] for x in (a, b)]
        assert was[line] + sum(min(0, n) for n in changes) <= now[line] <= was[line] + sum(max(0, n) for n in changes)
        if not was[line]:  # of a line that was there, one may have moved, and the move be half of what both did
            assert now[line] >= max(a[line], b[line])


EDIT = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=9, max_size=9)
"""For each line whether it stays, and whether a line is written before it."""


def edited(before: str, edit: list[tuple[bool, bool]], who: str) -> str:
    """The text with lines taken out and lines of somebody written, each of which says whose it is."""
    made = []
    for n, line in enumerate(before.split("\n")):
        stays, writes = edit[n]
        made += [f"{who}{n}"] * writes + [line] * stays
    return "\n".join(made)


@given(LINES, EDIT, EDIT)
def test_no_line_of_either_is_lost(before: str, mine: list[tuple[bool, bool]], theirs: list[tuple[bool, bool]]) -> None:
    """Every line that one of them wrote is in the merged text, once and in its order."""
    a, b = edited(before, mine, "mine"), edited(before, theirs, "theirs")
    merged = merge_lines(before, a, b)
    if merged is None:
        return
    for who, text in (("mine", a), ("theirs", b)):
        assert [x for x in merged.split("\n") if x.startswith(who)] == [
            x for x in text.split("\n") if x.startswith(who)
        ]
