"""What may import what: the contracts hold, and they bite."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest
from checkout import PACKAGE, ROOT, STAGES

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = [name.strip() for layer in CONTRACTS[0]["layers"] for name in layer.split("|")]


def lint_imports(folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run import-linter over a folder that holds `andon` and a pyproject.toml."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    env = {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env, check=False)


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """Empty modules of the same names as ours, under the same contracts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "andon"
    for layer in LAYERS:
        (package / layer).mkdir(parents=True)
        (package / layer / "__init__.py").touch()
    (package / "__init__.py").touch()
    for stage in STAGES:
        for file in ("records.py", "run.py", "pure.py"):
            (package / stage / file).touch()
        (package / stage / "run.py").write_text("import andon.store\n")
    (package / STAGES[0] / "run.py").unlink()
    (package / STAGES[0] / "run").mkdir()
    (package / STAGES[0] / "run" / "__init__.py").touch()
    (package / STAGES[0] / "run" / "part.py").write_text("import andon.store\n")
    return tmp_path


def test_contracts_hold() -> None:
    """Every import in the package keeps the contracts of pyproject.toml."""
    done = lint_imports(PACKAGE.parent.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_contracts_accept_the_design(skeleton: Path) -> None:
    """A package with all layers whose run modules use the store keeps the contracts."""
    done = lint_imports(skeleton)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("traffic/pure.py", "import andon.monitors"),
        ("golden/records.py", "from andon import evals"),
        ("stats/__init__.py", "import andon.traffic"),
        ("errors/__init__.py", "import andon.settings"),
        ("levers/run.py", "import andon.loop"),
        ("loop/__init__.py", "import andon.api"),
        ("api/__init__.py", "import andon.web"),
        ("client/__init__.py", "import andon.store"),
        ("monitors/pure.py", "import andon.store"),
        ("incidents/__init__.py", "from andon.store import Ledger"),
        ("traffic/pure.py", "def late():\n    import andon.store"),
        ("api/__init__.py", "import andon.store.ledger"),
    ],
)
def test_contracts_bite(skeleton: Path, file: str, line: str) -> None:
    """An import against the order, or of the store from a pure module or a face, breaks a contract."""
    (skeleton / "andon" / "store" / "ledger.py").touch()
    (skeleton / "andon" / file).write_text(line + "\n")
    done = lint_imports(skeleton)
    assert done.returncode != 0, f"{file}: {line!r} was accepted"
    assert "BROKEN" in done.stdout


def test_a_folder_outside_the_design_is_refused(skeleton: Path) -> None:
    """A top-level package that no layer names breaks the contract by its mere existence."""
    (skeleton / "andon" / "toolbox").mkdir()
    (skeleton / "andon" / "toolbox" / "__init__.py").touch()
    done = lint_imports(skeleton)
    assert done.returncode != 0
    assert "toolbox" in done.stdout


def test_layers_are_exhaustive_and_the_store_is_protected() -> None:
    """The two contracts keep their teeth: layers cover everything, in the order of the loop; the store is protected."""
    order, store = CONTRACTS
    assert order["type"] == "layers"
    assert order["exhaustive"] is True
    assert "ignore_imports" not in order | store
    assert [layer for layer in reversed(LAYERS) if layer in STAGES] == list(STAGES)
    assert store["type"] == "protected"
    assert store["protected_modules"] == ["andon.store"]


def test_no_import_ring() -> None:
    """No module imports itself by way of others, at the top or within a function, in or between packages."""
    graph = grimp.build_graph("andon", exclude_type_checking_imports=True, cache_dir=None)
    after = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    while ends := {module for module, imported in after.items() if not imported & after.keys()}:
        for module in ends:
            del after[module]
    members = {m: sorted(imported & after.keys()) for m, imported in sorted(after.items())}
    assert not members, f"these modules are in a ring, or import one: {members}"
