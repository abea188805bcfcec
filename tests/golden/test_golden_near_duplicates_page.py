"""The figures of docs/methods/near-duplicates.md are those of the run."""

from pathlib import Path

import near_duplicates_measured
import pytest

from andon.scores import minilm
from andon.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "near-duplicates.md"


@pytest.mark.slow
@pytest.mark.skipif(
    not near_duplicates_measured.PACK.is_file(), reason="the pack dedup-pairs is not here: nothing was measured"
)
@pytest.mark.skipif(
    not minilm.available(Settings()), reason="the weights of MiniLM are not installed: nothing was measured"
)
def test_the_page_says_what_was_measured():
    """Every table of the page, and the sentence on Korean, are what the labelled pairs give today."""
    page = PAGE.read_text(encoding="utf-8")
    m = near_duplicates_measured
    for table in (m.default_table(), m.picked_table(), m.number_table(), m.sweep_table(), m.held_out_table()):
        assert "\n".join(table) in page
    assert m.blind() in " ".join(page.split())
