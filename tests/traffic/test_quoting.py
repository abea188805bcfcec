"""Laws of quoting what came from outside."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.traffic import quoted


@given(st.text(max_size=80))
def test_a_quoted_text_is_one_line_of_characters_that_show(text: str) -> None:
    """Whatever the text, its quotation is printable, and holds no character that takes no room."""
    said = quoted(text)
    assert said.isprintable()
    assert not [c for c in said if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]


@pytest.mark.parametrize("code", [0x34F, 0x115F, 0x180B, 0x200B, 0x2800, 0x3164, 0xFE0F, 0xFFA0, 0xE0041, 0xE0149])
def test_characters_that_nobody_sees_are_written_out(code: int) -> None:
    """Instructions that are hidden in variation selectors, fillers or blanks stand in the quotation as what they are."""
    said = quoted(f"be kind{chr(code)}")
    assert chr(code) not in said
    assert f"{code:04x}" in said
