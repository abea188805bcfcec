"""The command that reads a postmortem for blame, hindsight and actions that nobody can check."""

import typer

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add these commands."""
