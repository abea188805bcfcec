"""The rules of a gate, where a team keeps them on disk."""

from pathlib import Path

from andon.evals.rules import DEFAULT, Rules, parse_rules
from andon.golden.files import read_text

__all__ = ["RULES", "rules_in"]

RULES = Path("andon-gate.toml")
"""The rules that a gate takes where none are named."""


def rules_in(path: Path | None, *, now_us: int, folder: Path | None = None) -> Rules:
    """The rules of a file, else of `RULES` in a folder (the working directory) where it is there, else the default ones.

    Raises:
        InputError: the file cannot be read, or holds no rules.
    """
    file = path or (folder or Path()) / RULES
    if path is None and not file.is_file():
        return DEFAULT
    return parse_rules(read_text(file), name=str(path or RULES), now_us=now_us)
