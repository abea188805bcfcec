"""Commands about runbooks, timelines, reports and related incidents."""

import typer

__all__ = ["add_to"]


def add_to(incident: typer.Typer, app: typer.Typer) -> None:
    """Add these commands."""
