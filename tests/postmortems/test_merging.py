"""Laws of merging two edits of a text."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from andon.postmortems.merging import merge_lines

LINES = st.lists(st.sampled_from(["a", "b", "c", "d", "e", ""]), max_size=8).map("\n".join)


def lines(text: str) -> "Counter[str]":
    """The lines of a text, counted."""
    return Counter(text.split("\n"))


def test_edits_of_different_places_are_both_kept() -> None:
    """What one writes at the top and the other at the bottom stands in the merged text."""
    before = "top\nmiddle\nbottom"
    assert merge_lines(before, "top, mine\nmiddle\nbottom", "top\nmiddle\nbottom, theirs") == "top, mine\nmiddle\nbottom, theirs"


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


@given(LINES, LINES, LINES)
def test_no_line_of_either_is_lost(before: str, mine: str, theirs: str) -> None:
    """A merged text has each line as often as the one who added most of it has; what nobody took out is there; order does not matter."""
    merged = merge_lines(before, mine, theirs)
    assert merged == merge_lines(before, theirs, mine)
    if merged is None:
        return
    was, a, b, now = lines(before), lines(mine), lines(theirs), lines(merged)
    for line in {*was, *a, *b, *now}:
        added = [x[line] - was[line] for x in (a, b)]
        most = max(0, max(added))
        assert now[line] >= was[line] + most + min(0, min(added)), "an added line is there but for what the other took out"
        assert now[line] <= was[line] + sum(max(0, n) for n in added), "nothing is invented"
        if min(added) >= 0:
            assert now[line] >= max(a[line], b[line])


@given(LINES, st.text("xyz", min_size=1, max_size=3), st.text("uvw", min_size=1, max_size=3), st.data())
def test_lines_written_at_two_places_are_both_there(before: str, mine: str, theirs: str, data: st.DataObject) -> None:
    """A line that each writes at a place of their own is in the merged text, in order, and nothing else has changed."""
    old = before.split("\n")
    at = data.draw(st.integers(0, len(old)))
    other = data.draw(st.integers(0, len(old)))
    merged = merge_lines(before, "\n".join([*old[:at], mine, *old[at:]]), "\n".join([*old[:other], theirs, *old[other:]]))
    if merged is None:
        return
    kept = [x for x in merged.split("\n") if x not in (mine, theirs)]
    assert kept == old
    assert {mine, theirs} <= set(merged.split("\n"))
