"""Failures, labels and cases for pages about them, in a real ledger."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from browsing import NOW, House

from andon.golden import Case, Failure
from andon.golden import run as golden
from andon.golden.cases import case_id, failure_id
from andon.settings import load

__all__ = ["HOSTILE", "harmless", "hashed_house", "made_case", "made_failure", "said_by"]


def hashed_house(folder: Path) -> House:
    """A site whose embedder needs no model, so that it makes cases by itself."""
    settings = replace(load({"ANDON_EMBEDDER": "hashed"}), home=folder / "store")
    return House(folder, more={"settings": settings})


HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\x1b[31m\u202ereversed\u2066 `code` |pipe|'
"""What traffic may hold: markup, an escape sequence, direction overrides, Markdown."""


def made_failure(
    house: House, question: str = "How tall is K2?", answer: str | None = "8848 m", app: str = "maps", **more: Any
) -> Failure:
    """A failure that was captured."""
    made = Failure(
        id=failure_id(app, question, answer), captured_us=NOW, app=app, question=question, answer=answer, **more
    )
    house.ledger.put(made, now_us=NOW, by="andon")
    return made


def said_by(house: House, failure: Failure, by: str, answer: str, now_us: int = NOW) -> None:
    """Somebody's label, whoever labelled it before."""
    from andon.golden.records import LabelRow

    row = LabelRow(line=0, id=failure.id, question=None, ground_truth=answer, author=by)
    assert golden.label_failures(house.ledger, [row], now_us=now_us, by=by).labelled


def made_case(
    house: House, question: str = "How tall is K2?", truth: str = "8611 m", app: str = "maps", **more: Any
) -> Case:
    """A case that is in the set."""
    fields: dict[str, Any] = {
        "answer": "8848 m", "contexts": (), "source": "thumbs-down", "failure_reason": "a user gave a thumbs-down", "added_date": "2026-03-01",
    }  # fmt: skip
    made = Case(
        **{"id": case_id(app, question, truth), **fields, **more}, question=question, ground_truth=truth, app=app
    )
    house.ledger.put(made, now_us=NOW, by="Ada")
    return made


def harmless(html: str) -> None:
    """Assert that nothing of `HOSTILE` is markup or invisible in a page."""
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "\u2066" not in html
