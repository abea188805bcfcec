"""Andon: every failure of an AI system is paid for once.

A stage reads what earlier stages wrote, decides with pure functions, and writes its own records; `andon.loop` turns
the crank. The folders of this package are the loop, in order: traffic, changes, scores, monitors, incidents,
investigations, postmortems, golden, evals, rollouts, levers.
"""

from os import PathLike
from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "case"]


def case(golden: str | PathLike[str], *, app: str | None = None, incident: str | None = None) -> Any:
    """Ask a pytest test every case of a golden set: ``@andon.case("golden.jsonl")``; the test takes `case`.

    Args:
        golden: a golden set in JSONL; its path is relative to the test's file, else to pytest's root folder.
        app: only cases of this application.
        incident: only cases of this incident.

    Raises:
        TypeError: `golden` is no path: without parentheses the test itself would be taken for it, and never run.
    """
    import pytest  # only a test suite has it

    if not isinstance(golden, str | PathLike):
        raise TypeError(f'golden is {golden!r}; write @andon.case("golden.jsonl"), with the path of a golden set')
    return pytest.mark.andon(golden, app=app, incident=incident)
