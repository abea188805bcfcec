"""The page about the gate shows what the gate says: its sample is made by the code."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "gate-a-change.md"

CASES = (
    ("Can I take ibuprofen with warfarin?", "No. Ask a doctor first.", "Yes, that is fine.", "high"),
    ("Is it safe to double a missed dose of insulin?", "No. Call your diabetes team.", "Yes.", "high"),
    ("How long can I return a parcel?", "30 days", "14 days", "shop"),
    ("What does express delivery cost?", "4.90 EUR", "3.90 EUR", "shop"),
    ("Which countries do you deliver to?", "Austria, Germany, Switzerland", "Germany", "shop"),
    ("Do you take back opened boxes?", "Yes, within 30 days", "No", "shop"),
    ("When is the hotline open?", "Mon-Fri 8-18", "24/7", "shop"),
    ("Can I pay by invoice?", "Yes, up to 200 EUR", "No", "shop"),
)

MODEL = """
RIGHT = {right!r}

def good(question):
    return RIGHT[question]

def new(question):
    return {{**RIGHT, "Can I take ibuprofen with warfarin?": "Yes, in low doses."}}[question]
"""


@pytest.mark.parametrize("way", ["fail", "undecided"])
def test_the_page_shows_what_the_gate_says(
    type_: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Both samples of the page are what `andon gate` prints: asked again it fails, and where nobody can be asked it is undecided."""
    rows = [
        {"question": q, "answer": wrong, "contexts": [], "ground_truth": right, "source": "thumbs-down", "failure_reason": "",
         "added_date": "2026-11-20", "risk_category": risk}
        for q, right, wrong, risk in CASES
    ]  # fmt: skip
    (tmp_path / "golden.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "shop_of_page.py").write_text(MODEL.format(right={q: right for q, right, _, _ in CASES}))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop_of_page", raising=False)
    type_("eval", "run", "--golden", "golden.jsonl", "--target", "python:shop_of_page:good", "--out", "good.json")
    again = ("--baseline-target", "python:shop_of_page:good") if way == "fail" else ()
    words = (
        "gate",
        "--golden",
        "golden.jsonl",
        "--target",
        "python:shop_of_page:new",
        "--baseline",
        "good.json",
        *again,
    )
    code, out, _ = type_(*words)
    assert code == {"fail": 1, "undecided": 3}[way]
    sample = out.split("\n### By risk category")[0] if way == "fail" else out.split("\n", 1)[0]
    assert sample.strip() in PAGE.read_text(encoding="utf-8")
