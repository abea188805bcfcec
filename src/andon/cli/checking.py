"""The command that reads golden sets before they are committed: golden check."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.screen import fail, say
from andon.errors import InputError
from andon.golden import Case, same_text
from andon.golden.files import read_set

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
            cases = read_set(file)
            problems = list(_problems(cases)) if cases else ["holds no case, so it tests nothing"]
        except InputError as error:
            cases, problems = (), [str(error)]
        for problem in problems[:MOST]:
            fail(problem if problem.startswith(str(file)) else f"{file}: {problem}")
        if len(problems) > MOST:
            fail(f"{file}: and {len(problems) - MOST} more")
        if not problems:
            retired = sum(c.retired is not None for c in cases)
            say(f"{file}: {len(cases)} cases" + (f", {retired} of them retired" if retired else ""))
        wrong = wrong or bool(problems)
    if wrong:
        raise typer.Exit(1)


def _problems(cases: tuple[Case, ...]) -> Iterator[str]:
    """Cases that stand twice, and questions with two right answers: one of them always fails."""
    seen: dict[tuple[str, str], Case] = {}
    for case in (c for c in cases if c.retired is None):
        first = seen.setdefault((case.app, " ".join(case.question.split())), case)
        if first is case or case.contexts != first.contexts:
            continue
        if first.id == case.id:
            yield f"{case.id} stands twice"
        elif not same_text(first.ground_truth, case.ground_truth):
            yield f"{first.id} and {case.id} ask the same and differ in what is right; retire one of them"
