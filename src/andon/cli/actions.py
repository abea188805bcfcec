"""Commands about action items: take, assign, prove, drop, sync."""

import typer

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
