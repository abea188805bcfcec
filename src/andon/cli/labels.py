"""Commands about failures and their labels: golden failures, label, accept."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli.screen import now_us, opened, plain, say, show_table, who
from andon.golden import Failure, Label, LabelRow
from andon.golden import run as golden
from andon.loop import Loop

__all__ = ["add_to"]

MOST_NAMED = 5
"""Rows of a file of labels that are named because they fit no failure."""


def add_to(group: typer.Typer) -> None:
    """Add these commands to `andon golden`."""
    group.command(name="failures")(failures)
    group.command(name="label")(label)
    group.command(name="accept")(accept)


def failures() -> None:
    """Captured failures, and which of them still wait for a person's word."""
    with opened() as loop:
        labelled = {x.failure for x in loop.ledger.all(Label)}
        found = loop.ledger.all(Failure)
    rows = [
        (
            f.id,
            f.source,
            f.question[:80],
            (f.answer or "(no answer)")[:60],
            "labelled" if f.id in labelled else (f.suggested_by or "waits"),
        )
        for f in found
    ]
    show_table(("failure", "from", "question", "failing answer", "label"), rows, empty="no failure was captured yet")


def label(
    file: Annotated[
        Path | None, typer.Option(help="JSONL or CSV with id or question, and ground_truth.", exists=True)
    ] = None,
) -> None:
    """Say what the right answers are: from a file, or one by one at the prompt."""
    with opened() as loop:
        rows = golden.read_labels(file) if file else _ask(loop)
        result = golden.label_failures(loop.ledger, rows, now_us=now_us(), by=who())
    for refused in result.refused:
        say(f"refused {refused.id}: {refused.reason}")
    for name in result.unknown[:MOST_NAMED]:
        say(plain(f"no failure with this id or question was captured: {name[:80]}"))
    say(
        f"{len(result.labelled)} failures labelled, {len(result.unchanged)} had this label, {len(result.refused)} refused, "
        f"{len(result.unknown)} unknown, {result.blank} blank"
    )


def _ask(loop: Loop) -> list[LabelRow]:
    done = {x.failure for x in loop.ledger.all(Label)}
    rows: list[LabelRow] = []
    for f in loop.ledger.all(Failure):
        if f.id in done:
            continue
        say("")
        say(plain(f"{f.id}  {f.reason}"))
        say(plain(f"question: {f.question}"))  # on one line: no text can look like a line of ours
        say(plain(f"failing answer: {f.answer or '(no answer)'}"))
        if f.suggestion:
            say(plain(f"suggested: {f.suggestion}"))
        how = "empty skips, = takes the suggestion" if f.suggestion else "empty skips"
        text = typer.prompt(f"right answer ({how})", default="", show_default=False)
        if f.suggestion and text.strip() == "=":
            text = f.suggestion
        if text.strip():
            rows.append(LabelRow(line=len(rows) + 1, id=f.id, question=None, ground_truth=text, author=who()))
    return rows


def accept() -> None:
    """Accept the right answers that came with the data (expected answers, users' corrections) as labels."""
    with opened() as loop:
        result = golden.accept_suggestions(loop.ledger, now_us=now_us(), by=who())
    say(f"{len(result.labelled)} failures labelled from the data owner's own answers")
