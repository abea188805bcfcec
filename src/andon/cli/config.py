"""The command about the configuration: check."""

from pathlib import Path

import typer

from andon.cli.screen import say, settings

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(check)


def check() -> None:
    """Read the settings, objectives and monitor rules and say what was understood; exit 2 names what was not."""
    from andon.monitors.objectives import check_config
    from andon.scores.run import installed_scorers

    chosen = settings()
    lines = check_config(chosen, installed_scorers())
    if not Path(chosen.config).exists():
        say(f"there is no {chosen.config}: every setting has its default, or comes from the environment")
    for line in lines:
        say(line)
