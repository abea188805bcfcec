"""The command that reads golden sets before they are committed: golden check."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.screen import fail, say
from andon.errors import InputError
from andon.golden import Case, same_text
from andon.golden.cases import check_label
from andon.golden.files import parse_cases, places_of, read_text
from andon.traffic.quoting import quoted

__all__ = ["add_to"]

MOST = 20
"""Problems of one file that are named."""


def add_to(group: typer.Typer) -> None:
    """Add this command to `andon golden`."""
    group.command()(check)


def check(files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Golden sets (JSONL).")]) -> None:
    """Is every line of these files a case, and does no question have two right answers? Exit 1 names what is wrong."""
    wrong = False
    for file in files:
        try:
            text = read_text(file)
            cases = parse_cases(text, name=str(file))
            problems = list(_problems(cases, text)) if cases else ["holds no case, so it tests nothing"]
        except InputError as error:
            fail(str(error))  # it names the file
            wrong = True
            continue
        for problem in problems[:MOST]:
            fail(f"{file}: {problem}")
        if len(problems) > MOST:
            fail(f"{file}: and {len(problems) - MOST} more")
        if not problems:
            retired = sum(c.retired is not None for c in cases)
            say(f"{file}: {len(cases)} cases" + (f", {retired} of them retired" if retired else ""))
        wrong = wrong or bool(problems)
    if wrong:
        raise typer.Exit(1)


def _problems(cases: tuple[Case, ...], text: str) -> Iterator[str]:
    """What an import refuses, cases that stand twice, and questions with two right answers: one of them always fails."""
    seen: dict[tuple[str, str], Case] = {}
    places = places_of(text, cases)
    for case in cases:
        question = f"{places[case.id]}: {quoted(case.question)}"
        try:
            check_label(case.answer, case.ground_truth)
        except InputError as error:
            yield f"{question}: {error}"
        if case.retired is not None:
            continue
        first = seen.setdefault((case.app, " ".join(case.question.split())), case)
        if first is not case and first.id == case.id:
            yield f"{question} stands twice"
        elif case.contexts == first.contexts and not same_text(first.ground_truth, case.ground_truth):
            yield f"{question}: {places[first.id]} and this ask the same and differ in what is right; retire one of them"
