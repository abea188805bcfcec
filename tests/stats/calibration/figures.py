"""Print what was measured: `pytest -s` shows it."""

import sys


def say(text: str) -> None:
    """Write one line."""
    sys.stdout.write(text + "\n")
