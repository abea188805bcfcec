"""The cases of the bench are no copy of the ranker's own beliefs."""

import ast
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
RECORDS = {"andon.changes", "andon.scores", "andon.traffic"}
"""What a made-up application is written in: records of changes and traffic, and scores beside it."""


def imported(path: Path) -> set[str]:
    """Modules of the package and the bench that a file imports, by their full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: a relative import hides what it is of"
            whole = node.module in ("andon", "bench")
            found |= {f"{node.module}.{a.name}" for a in node.names} if whole else {str(node.module)}
    return {m for m in found if m.split(".")[0] in ("andon", "bench", "importlib")}


@pytest.mark.parametrize("name", ["worlds", "cases", "held", "unseen"])
def test_the_simulator_shares_nothing_with_the_ranker(name: str) -> None:
    """Worlds and cases import records of what they simulate and one another, so that no prior of the ranker is in their truth."""
    path = BENCH / f"incidents_{name}.py"
    if not path.is_file():
        pytest.skip("bench is beside the sources")
    assert imported(path) <= {*RECORDS, "bench.incidents_worlds"}


def test_there_are_forty_cases() -> None:
    """At least 40 incidents with known truth are replayed and published."""
    replay = pytest.importorskip("bench.incidents_replay", reason="bench is beside the sources")
    assert len(replay.ALL) >= 40
