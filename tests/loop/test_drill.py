"""The drill: five thumbs-down events become cases in one batch, by the commands that people type."""

import csv
import io
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from andon.cli import app
from andon.golden import Case, NearDuplicate
from andon.loop import open_loop
from andon.settings import load
from andon.traffic import Feedback, Interaction

DAY_US = 86_400_000_000
NOW_US = 1_772_409_600_000_000
ASKED = {
    "How long may I return shoes?": "30 days",
    "Is a gift card valid for ever?": "No, three years",
    "Can I pay in instalments?": "Yes, from 50 euros",
    "How long may I return my shoes?": "30 days",  # the first one in other words
    "How long may I return the shoes?": "14 days in a sale",  # near, with another right answer: another test
}


@pytest.fixture
def type_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Type a command; its output, for exit code 0."""
    for name in list(os.environ):
        if name.startswith("ANDON_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANDON_EMBEDDER", "hashed")
    monkeypatch.setenv("USER", "ann")
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.output
        return done.output

    return run


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> None:
    """Rows as lines of JSON."""
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


def test_five_thumbs_down_in_one_batch(type_, tmp_path: Path) -> None:
    """They are captured by themselves and labelled from one sheet; the set grows, a paraphrase is refused.

    The baseline, set before on the cases of then, is rerun by itself on what is new, so that the gate compares all of it.
    """
    settings = load({"ANDON_HOME": str(tmp_path / "home"), "ANDON_EMBEDDER": "hashed"})
    loop = open_loop(settings)
    old = {"What does shipping cost?": "4 euros"}
    write_jsonl(tmp_path / "golden.jsonl", [{"question": q, "ground_truth": a, "app": "shop"} for q, a in old.items()])
    write_jsonl(
        tmp_path / "v1.jsonl", [{"question": q, "answer": a} for q, a in {**old, **dict.fromkeys(ASKED, "?")}.items()]
    )
    loop.close()
    type_("golden", "import", "golden.jsonl")
    type_("eval", "baseline", "--target", "recorded:v1.jsonl", "--app", "shop")

    loop = open_loop(settings)
    loop.intake.interactions(
        [
            Interaction(id=f"i{k}", time_us=NOW_US + k, app="shop", query=q, answer="I do not know that.")
            for k, q in enumerate(ASKED)
        ]
    )
    loop.intake.feedback(
        [
            Feedback(id=f"f{k}", interaction_id=f"i{k}", time_us=NOW_US + 60_000_000 + k, kind="thumb", value=0.0)
            for k in range(5)
        ]
    )
    for at in (NOW_US + 300_000_000, NOW_US + 600_000_000):
        loop.tick(at)
        loop.capture_due(at)
    loop.close()

    type_("golden", "queue", "--out", "labels.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "labels.csv").read_text(encoding="utf-8"))))
    assert sorted(r["question"] for r in rows) == sorted(ASKED)
    filled = io.StringIO()
    sheet = csv.DictWriter(filled, rows[0].keys())
    sheet.writeheader()
    sheet.writerows([{**r, "ground_truth": ASKED[r["question"]]} for r in rows])
    (tmp_path / "labels.csv").write_text(filled.getvalue(), encoding="utf-8")
    assert "5 failures labelled" in type_("golden", "label", "--file", "labels.csv")
    added = type_("golden", "add")
    assert "4 cases added" in added
    assert "1 refused" in added

    loop = open_loop(settings)
    assert len(loop.ledger.all(Case)) == 5
    (refused,) = (d for d in loop.ledger.all(NearDuplicate) if d.choice == "refuse")
    assert refused.by == "andon"
    loop.close()
    write_jsonl(tmp_path / "v2.jsonl", [{"question": q, "answer": a} for q, a in {**old, **ASKED}.items()])
    gated = type_("gate", "--target", "recorded:v2.jsonl", "--baseline", "auto", "--app", "shop")
    assert "4 gained" in gated
    assert "nothing that passed fails now" in gated
