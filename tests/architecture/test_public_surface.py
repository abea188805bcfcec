"""`__all__` is the public surface: sorted, complete, and all that other modules use."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

from checkout import PACKAGE, modules, name, tree

PACKAGES = [p for p in modules("src") if p.name == "__init__.py"]


def _module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _listed(path: Path) -> list[str]:
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _order(text: str) -> tuple[int, list[tuple[int, str]]]:
    """Constants, then classes, then the rest, each in natural order, as ruff's RUF022 sorts."""
    bare = text.strip("_")
    kind = 0 if bare.isupper() and len(bare) > 1 else 1 if bare[:1].isupper() else 2
    return kind, [(int(d or 0), t) for d, t in re.findall(r"(\d*)(\D*)", text) if d or t]


def _public(path: Path) -> set[str]:
    """Names that a package defines, and those of its own modules that it imports without using them itself."""
    own, found = _module(path), set()
    used = {n.id for n in ast.walk(tree(path)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    for node in tree(path).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(own + "."):
            found |= {a.asname or a.name for a in node.names} - used
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {t.id for t in targets if isinstance(t, ast.Name)}
    return {n for n in found if not n.startswith("_") or n == "__version__"}


def test_all_is_there_sorted_and_true() -> None:
    """Every module has an `__all__`, sorted, without repetition, and every name in it exists."""
    for path in modules("src"):
        listed = _listed(path)
        if path.name != "__main__.py":
            assert listed, f"{name(path)} has no __all__"
        assert listed == sorted(set(listed), key=_order), name(path)
        module = importlib.import_module(_module(path))
        assert not [n for n in listed if not hasattr(module, n)], name(path)


def test_all_of_a_package_is_its_public_surface() -> None:
    """`__all__` of a package is what it defines and re-exports, no less and no more."""
    for path in PACKAGES:
        assert set(_listed(path)) == _public(path), name(path)


def test_only_public_names_are_imported() -> None:
    """What one module imports from another stands in the other's `__all__`, or is a module."""
    found = {name(path): _hidden(path) for path in modules("src", "examples", "bench", "scripts")}
    assert not {path: hidden for path, hidden in found.items() if hidden}


def _hidden(path: Path) -> list[str]:
    """What a module imports from another that the other does not offer."""
    hidden = []
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("andon"):
            continue
        place = PACKAGE.parent / Path(*node.module.split("."))
        source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        for alias in node.names:
            inner = place / alias.name
            if alias.name not in _listed(source) and not inner.is_dir() and not inner.with_suffix(".py").is_file():
                hidden.append(f"{node.module}.{alias.name}")
    return hidden
