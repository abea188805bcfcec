"""The checkout as the architecture tests see it: its files, its modules and their syntax trees."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "andon"
STAGES = (
    "traffic",
    "changes",
    "scores",
    "monitors",
    "incidents",
    "investigations",
    "postmortems",
    "golden",
    "evals",
    "rollouts",
    "levers",
)
"""The stages, in the order of the loop."""

OURS = ("src", "tests", "examples", "bench", "scripts")
"""Folders that hold Python of ours."""

NOT_OURS = ("__pycache__", "build", "dist", "andon-demo", "results")
"""Folders that are made, not written."""


@cache
def modules(*folders: str) -> tuple[Path, ...]:
    """The Python files below these folders of the checkout."""
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return tuple(p for p in found if not _made(p))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name(path: Path) -> str:
    """How a message calls a file."""
    return path.relative_to(ROOT).as_posix()


def files() -> list[Path]:
    """The files that git knows or would add; without git, all that are not made by a tool."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return sorted({p for part in said.split("\0") if part and (p := ROOT / part).is_file()})
    except (OSError, subprocess.CalledProcessError):
        return sorted(p for p in ROOT.rglob("*") if p.is_file() and not _made(p))


def imports(module: ast.Module, *, running: bool = True) -> Iterator[str]:
    """Full names that a module imports anywhere in it; with `running` not those under ``if TYPE_CHECKING``."""
    for node in _nodes(module, running):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _nodes(node: ast.AST, running: bool) -> Iterator[ast.AST]:
    if running and isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _nodes(child, running)


def _made(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part in NOT_OURS or (part.startswith(".") and part not in (".ci", ".gitignore")) for part in parts)
