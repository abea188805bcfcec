"""The checkout as a whole: the map is true, the version is in one place, and nothing of one machine is in it."""

import os
import re
import tomllib
from pathlib import Path

from checkout import ROOT, files, name

from andon import __version__

MAP = ROOT / "ARCHITECTURE.md"
TEXTS = {"", ".cfg", ".css", ".csv", ".html", ".ini", ".js", ".json", ".jsonl", ".md", ".mjs", ".py", ".sh", ".sql"}
TEXTS |= {".svg", ".toml", ".txt", ".typed", ".yaml", ".yml"}
# Written in parts, so that this file does not hold what it looks for.
OF_A_MACHINE = [
    r"/" + r"work/",
    r"\bfarm" + r"-",
    r"bash" + r"_jobs",
    r"(?<!\w)\." + r"library/",
    r"/home" + r"/\w+/",
    r"/" + r"Users/",
]


def test_the_map_is_short() -> None:
    """ARCHITECTURE.md has at most 200 lines: who reads it once knows where things are."""
    assert MAP.is_file(), "ARCHITECTURE.md is missing"
    assert len(MAP.read_text(encoding="utf-8").splitlines()) <= 200


def _paths_named(text: str) -> set[str]:
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    named = {t for t in re.findall(r"`([^`\s]+)`", prose) if "/" in t or re.search(r"\.(py|md|toml|css|html|js)$", t)}
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        named |= set(re.findall(r"^[\s│├└─]*([\w.-]+(?:/[\w.-]+)*(?:/|\.py|\.md|\.toml))(?=\s|$)", block, re.MULTILINE))
    return {t for t in named if not re.search(r"[<>{}$:]|^/|\.\.\.", t)}


def test_every_path_on_the_map_exists() -> None:
    """A path that ARCHITECTURE.md names is a file or folder of the checkout, whole or as the end of one."""
    assert MAP.is_file(), "ARCHITECTURE.md is missing"
    there = {name(p) for p in files()}
    there |= {parent.as_posix() for p in list(there) for parent in Path(p).parents}
    lost = []
    for path in sorted(_paths_named(MAP.read_text(encoding="utf-8"))):
        end = re.escape(path.removesuffix("/")).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        made = os.path.isdir(ROOT / path) or path.startswith((".venv", "andon-demo", ".andon"))  # noqa: PTH112
        if not made and not any(re.search(rf"(^|/){end}$", p) for p in there):
            lost.append(path)
    assert not lost


def test_the_changelog_knows_the_version() -> None:
    """CHANGELOG.md has an entry for the current version."""
    changelog = ROOT / "CHANGELOG.md"
    assert changelog.is_file(), "CHANGELOG.md is missing"
    assert re.search(rf"^## \[?v?{re.escape(__version__)}\b", changelog.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_version_is_in_one_place() -> None:
    """The version is written in `andon/__init__.py` and nowhere else in the code or the build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    literal = re.compile(rf"""["']v?{re.escape(__version__)}["']""")
    places = [p for p in files() if name(p).startswith("src/") and p.suffix in TEXTS]
    assert [name(p) for p in places if literal.search(p.read_text(encoding="utf-8"))] == ["src/andon/__init__.py"]


def test_nothing_of_one_machine_is_committed() -> None:
    """No file names a folder, a tool or a session of the machine on which it was written."""
    pattern = re.compile("|".join(OF_A_MACHINE))
    found = {}
    for path in (p for p in files() if p.suffix in TEXTS):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if hits := [number for number, line in enumerate(lines, 1) if pattern.search(line)]:
            found[name(path)] = hits[:5]
    assert not found, f"file -> lines: {found}"
