"""The shape of the code: sizes, names, the anatomy of a stage, docstrings of tests."""

import ast
import dataclasses
import importlib
from pathlib import Path

import pytest
from checkout import OURS, PACKAGE, STAGES, files, modules, name, tree

LONGEST_FUNCTION = 59
LONGEST_MODULE = 600
REFUSED_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "service", "services"}
REFUSED_NAMES |= {"handler", "handlers", "base", "core", "misc", "lib", "stuff"}


def test_functions_are_short() -> None:
    """No function has 60 lines or more: a function is the unit of review."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = ((path, n) for path in modules(*OURS) for n in ast.walk(tree(path)) if isinstance(n, kinds))
    sizes = {f"{name(path)}: {n.name}": (n.end_lineno or 0) - n.lineno + 1 for path, n in functions}
    assert not {n: size for n, size in sizes.items() if size > LONGEST_FUNCTION}


def test_modules_are_short() -> None:
    """No module has more than 600 lines."""
    sizes = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules(*OURS)}
    assert not {n: size for n, size in sizes.items() if size > LONGEST_MODULE}


def test_every_test_states_its_law() -> None:
    """Every test has a docstring that says, as a sentence, the law that it checks."""
    silent = []
    for path in (p for p in modules("tests") if p.name.startswith("test_")):
        for node in ast.walk(tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
                law = " ".join((ast.get_docstring(node) or "").split())
                if len(law.split()) < 3 or not law.endswith((".", "!", "?", ":", ")", "``")):
                    silent.append(f"{name(path)}: {node.name}")
    assert not silent, f"no law in {silent}"


@pytest.mark.parametrize("stage", STAGES)
def test_stages_have_the_same_anatomy(stage: str) -> None:
    """Each stage has its package docstring, its records and its run module: learn one, know all."""
    missing = [f for f in ("__init__.py", "records.py") if not (PACKAGE / stage / f).is_file()]
    assert not missing
    assert (PACKAGE / stage / "run.py").is_file() != (PACKAGE / stage / "run" / "__init__.py").is_file()
    assert len((ast.get_docstring(tree(PACKAGE / stage / "__init__.py")) or "").split()) > 10


@pytest.mark.parametrize("path", [p for p in modules("src") if p.name == "records.py"], ids=name)
def test_records_are_frozen_slotted_and_keyword_only(path: Path) -> None:
    """Every class in a records module is a frozen, slotted, keyword-only dataclass, or a Protocol."""
    module = importlib.import_module(f"andon.{path.parent.name}.records")
    own = [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
    for record in (c for c in own if not getattr(c, "_is_protocol", False)):
        assert dataclasses.is_dataclass(record), f"{record.__name__} is no dataclass"
        assert record.__dataclass_params__.frozen, f"{record.__name__} is not frozen"
        assert "__slots__" in vars(record), f"{record.__name__} has no slots"
        assert all(f.kw_only for f in dataclasses.fields(record)), f"{record.__name__} is not keyword-only"


def test_names_mean_something() -> None:
    """No file or folder has one of the refused names, which say nothing about what is inside."""
    said = {p: {part.partition(".")[0].strip("_").casefold() for part in Path(name(p)).parts} for p in files()}
    assert not [name(p) for p, parts in said.items() if parts & REFUSED_NAMES]


def test_every_module_says_what_it_is() -> None:
    """Every module of the package has a docstring."""
    assert not [name(path) for path in modules("src") if not ast.get_docstring(tree(path))]
