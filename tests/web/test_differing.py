"""Two texts side by side, and small drawings."""

import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from andon.web import charts
from andon.web.differing import word_diff

TEXT = st.text(st.sampled_from('ab <>&"\n\u202e\x00'), max_size=60)


def bare(html: str) -> str:
    """What is read of it."""
    return unescape(re.sub(r"</?(?:ins|del)>", "", html))


def shown(text: str) -> str:
    """A text without what nobody sees."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


@given(TEXT, TEXT)
def test_nothing_is_lost_and_nothing_is_markup(before: str, now: str) -> None:
    """Both texts are read as they were, whatever they hold; what only one has is marked on its side, and the rest is the same."""
    left, right = word_diff(before, now)
    assert (bare(left), bare(right)) == (shown(before), shown(now))
    assert set(re.findall(r"</?\w+", left)) <= {"<del", "</del"}
    assert set(re.findall(r"</?\w+", right)) <= {"<ins", "</ins"}
    same = [unescape(re.sub(r"<(ins|del)>.*?</\1>", "", side, flags=re.DOTALL)) for side in (left, right)]
    assert same[0] == same[1]


def test_long_texts_are_not_compared_word_by_word() -> None:
    """Texts of a hundred thousand words that share nothing are marked as a whole, at once."""
    left, right = word_diff("a b " * 50_000, "c d " * 50_000)
    assert (left.count("<del>"), right.count("<ins>")) == (1, 1)


def test_an_interval_lies_where_it_is() -> None:
    """Zero is in the middle; an end beyond the scale is cut off; without figures only the line is left; the label is escaped."""
    drawn = charts.interval(-0.5, 0.0, 9.0, '<b>"', reach=1.0, mark=0.5)
    assert 'x="25.50%"' in drawn
    assert 'cx="50.00%"' in drawn
    assert 'width="73.50%"' in drawn
    assert "<b>" not in drawn
    assert "circle" not in charts.interval(None, None, None, "nothing", reach=0.0)


def test_a_strip_tells_outcomes_by_form() -> None:
    """What fails stands higher than what passes, what could not run is hollow by its class, and an unknown word is no pass."""
    drawn = charts.strip(["pass", "fail", "error", "odd"], "four", links=["/a", "", "/c"])
    assert re.findall(r'class="(\w+)" x', drawn) == ["pass", "fail", "error", "error"]
    assert re.findall(r'height="(\d+)" rx', drawn) == ["10", "16", "16", "16"]
    assert re.findall(r'href="([^"]+)"', drawn) == ["/a", "/c"]
