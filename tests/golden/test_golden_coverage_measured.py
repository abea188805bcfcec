"""The figures on the page `docs/methods/coverage.md` are those that are measured."""

from pathlib import Path

import coverage_measured as measured
import pytest

from andon.scores import minilm
from andon.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "coverage.md"


@pytest.fixture(autouse=True)
def needed() -> None:
    """Skip, and say so, where the real data or the weights are absent."""
    absent = [name for name in measured.PACKS if not (measured.DATA / name).is_dir()]
    if absent:
        pytest.skip(f"real data absent: {', '.join(absent)} under {measured.DATA}; set SHARED_DATA")
    if not minilm.available(Settings()):
        pytest.skip(f"the weights of {minilm.NAME} are not installed; run `andon model fetch`")


@pytest.mark.slow
def test_the_page_says_what_is_measured() -> None:
    """Both tables of the page are, to the letter, what the embedders give on the packs."""
    page = PAGE.read_text(encoding="utf-8")
    stale = [part for part in measured.page_parts() if part not in page]
    assert not stale, "run `python tests/golden/coverage_measured.py` and put this on the page:\n" + "\n\n".join(stale)
