"""The stabilisation drill of `examples/`: from a bad prompt in a live application to a postmortem that shows what was done."""

import re
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytest.importorskip("openfeature", reason="the drill needs the extra openfeature; NOT run")


@pytest.mark.slow(80)
def test_a_bad_prompt_is_taken_out_and_the_postmortem_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule holds the careful prompt, the application uses it, the metric recovers, and the postmortem says when and how far.

    How long it takes is measured by the drill itself and not asserted: here it must happen at all, in this order, with the
    promotion as the one event that explains it.
    """
    monkeypatch.syspath_prepend(str(EXAMPLES))
    sys.modules.pop("stabilisation_drill", None)
    from stabilisation_drill import Drill

    drill = Drill(tmp_path / "drill")
    took = drill.run(calm_s=15.0)
    assert took.served_bad < took.alarm <= took.held <= took.effective
    said = drill.andon("lever", "show", "helpdesk.prompt")
    assert "first read by an application" in said
    part = "(all traffic|risk category “orders”)"  # they are the same interactions, and either may lead the incident
    assert re.search(f"answers that cite passages which were not retrieved in {part} fell from", said), said
    assert "No other change is recorded in this time" in said
    drill.andon("postmortem", "write", took.incident, "--out", "postmortem")
    [page] = (tmp_path / "drill" / "postmortem").glob("*.md")
    text = page.read_text(encoding="utf-8")
    assert f"version {drill.eager} of lever helpdesk.prompt promoted to production" in text
    assert "seen in traffic" not in text
    assert "effective in an application" in text
    assert "after the alarm" in text
    assert "95 % interval" in text
    assert "careful prompt" in text
