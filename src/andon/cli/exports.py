"""Commands that hand a postmortem to others: AVID, AIID, Article 73."""

import typer

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add these commands."""
