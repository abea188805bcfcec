"""Commands of review: sections, comments, sign-offs, publishing, search, learning."""

import typer

__all__ = ["add_to"]


def add_to(group: typer.Typer, app: typer.Typer) -> None:
    """Add these commands."""
