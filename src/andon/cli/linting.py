"""The command that reads a postmortem for blame, hindsight and actions that nobody can check."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from andon import __version__
from andon.cli.screen import say
from andon.errors import InputError
from andon.postmortems.lint import Finding, lint_text, sarif_of

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add these commands."""
    group.command()(lint)


def lint(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Markdown files; - reads standard input.")],
    sarif: Annotated[bool, typer.Option("--sarif", help="Print one SARIF 2.1.0 log, for code hosts.")] = False,
) -> None:
    """Find blame, hindsight and unchecked promises in any Markdown, a line each with how to say it instead; exit 1 if any."""
    found = {file: lint_text(_read(file)) for file in files}
    if sarif:
        typer.echo(json.dumps(sarif_of(found, version=__version__), indent=2, ensure_ascii=False))
    else:
        for file, findings in found.items():
            for f in findings:
                say(_line(file, f))
    total = sum(len(findings) for findings in found.values())
    if total:
        raise typer.Exit(1)
    if not sarif:
        say("nothing to say")


def _line(file: str, f: Finding) -> str:
    """One finding as editors parse it: file, line, column."""
    return f"{file}:{f.line}:{f.column}: {f.rule}: “{f.text}”: {f.why}; {f.rewrite}"


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8 Markdown") from error
