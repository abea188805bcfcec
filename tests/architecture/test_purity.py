"""Pure modules: values in, values out. No store, clock, network, log or randomness that the caller did not give."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import PACKAGE, STAGES, imports, modules, name, tree

STATS_MAY_IMPORT = {
    "numpy", "scipy", "andon.stats", "collections", "concurrent.futures", "dataclasses", "enum", "functools", "itertools", "math",
    "operator", "types", "typing",
}  # fmt: skip

REFUSED = {
    "asyncio", "concurrent", "ctypes", "duckdb", "deltalake", "fcntl", "glob", "gzip", "http", "httpx", "httpx2",
    "importlib", "io", "logging", "multiprocessing", "os", "pathlib", "random", "requests", "secrets", "shutil",
    "signal", "socket", "sqlalchemy", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request",
    "uuid", "warnings",
}  # fmt: skip
"""Modules that reach the world: clock, disk, network, processes, threads, logs, global randomness."""

REFUSED_CALLS = {
    "open", "print", "input", "eval", "exec", "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "np.random.default_rng", "np.random.seed", "np.random.rand", "np.random.random", "np.random.normal",
}  # fmt: skip

WALL_CLOCK = {
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "datetime.now", "datetime.utcnow", "datetime.today",
    "date.today", "np.random.default_rng", "np.random.seed",
}  # fmt: skip
"""What run modules must not use either; measuring a duration is allowed."""

SEAMS: dict[str, tuple[set[str], str]] = {
    "traffic/files/reading.py": ({"gzip", "io", "pathlib"}, "reads the files that `andon import` is given"),
    "traffic/files/inbox.py": ({"os", "pathlib"}, "lists the folder that is watched"),
    "golden/files.py": ({"io", "pathlib"}, "reads and writes the golden set that a team keeps in git"),
    "evals/targets/__init__.py": ({"pathlib"}, "the seam Target: reads a target file"),
    "evals/targets/http.py": (
        {"asyncio", "httpx2", "os"},
        "the seam Target: asks an endpoint in time, with secrets of the environment",
    ),
    "evals/targets/local.py": (
        {"asyncio", "importlib", "os", "pathlib", "shutil", "signal", "subprocess", "sys", "tempfile", "time"},
        "the seam Target: asks a Python function or a command",
    ),
    "evals/targets/recorded.py": ({"pathlib"}, "the seam Target: reads recorded answers"),
    "evals/scorers/foreign.py": (
        {"asyncio", "concurrent", "importlib", "os"},
        "imports optional packages, keeps them from reporting home, and waits for their coroutines",
    ),
    "incidents/channels.py": (
        {"logging", "threading", "warnings"},
        "the seam Channel: sends by apprise, and keeps its log, which holds tokens, out of every log",
    ),
    "incidents/hooks.py": ({"httpx2"}, "the seam Channel: posts JSON to receivers that take data apart"),
    "postmortems/writer.py": ({"httpx2"}, "the seam to a language model that suggests prose"),
    "postmortems/github.py": ({"httpx2", "time"}, "the seam to GitHub issues, and waits before it asks again"),
    "postmortems/pdf.py": (
        {"os", "pathlib", "shutil", "signal", "subprocess", "tempfile"},
        "prints a page by a browser that is installed",
    ),
    "scores/posting.py": ({"httpx2", "time"}, "the seams to models: asks an endpoint, and waits before it asks again"),
    "scores/blas.py": (
        {"concurrent", "ctypes", "pathlib", "threading"},
        "works on several threads, and sets those of the BLAS",
    ),
    "scores/minilm.py": (
        {"importlib", "pathlib", "subprocess", "sys"},
        "the seam Embedder: loads weights and fetches them",
    ),
    "scores/sentence_transformers.py": ({"importlib"}, "the seam Embedder: an optional package"),
    "scores/embedding.py": ({"threading"}, "one cache for all threads, behind a lock"),
}
"""Modules of stages that touch the world on purpose: what they may import, and why."""


def pure_modules() -> list[Path]:
    """The modules of stages that are neither run modules nor seams."""
    return [p for p in modules(*(f"src/andon/{s}" for s in STAGES)) if not _runs(p) and _key(p) not in SEAMS]


def run_modules() -> list[Path]:
    """What touches the store: ``run.py`` of a stage, or the modules of its package ``run``."""
    return [p for p in modules(*(f"src/andon/{s}" for s in STAGES)) if _runs(p)]


def _runs(path: Path) -> bool:
    return _key(path).split("/")[1] in ("run", "run.py")


def _key(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _world(path: Path) -> Iterator[str]:
    """The refused modules that a module imports."""
    for imported in imports(tree(path)):
        for refused in REFUSED:
            if imported == refused or imported.startswith(refused + "."):
                yield refused


def test_stats_import_mathematics_only() -> None:
    """`stats` imports NumPy, SciPy, itself and a few standard modules: never random, time, os or logging."""
    for path in modules("src/andon/stats"):
        strange = [i for i in imports(tree(path)) if not any(i == m or i.startswith(m + ".") for m in STATS_MAY_IMPORT)]
        assert not strange, f"{name(path)} imports {strange}"


def test_pure_modules_do_not_import_the_world() -> None:
    """A module of a stage other than run.py imports no clock, disk, network, thread, log or global randomness."""
    found = {name(path): sorted(set(_world(path))) for path in pure_modules()}
    assert not {path: world for path, world in found.items() if world}, "do it in run.py and pass the value in"


def test_pure_modules_do_not_ask_the_clock_or_dice() -> None:
    """A pure module opens no file, prints nothing, and takes `now_us` and `rng` as arguments."""
    for path in (*pure_modules(), *modules("src/andon/stats")):
        calls = [ast.unparse(n.func) for n in ast.walk(tree(path)) if isinstance(n, ast.Call)]
        plain = {c: c.removeprefix("datetime.").removeprefix("dt.") for c in calls}
        asked = [c for c in calls if plain[c] in REFUSED_CALLS or c in REFUSED_CALLS]
        assert not asked, f"{name(path)} calls {asked}"


@pytest.mark.parametrize("key", SEAMS)
def test_seams_touch_what_they_say(key: str) -> None:
    """A seam imports exactly those parts of the world for which it gave a reason, so that no exception outlives it."""
    allowed, reason = SEAMS[key]
    assert set(_world(PACKAGE / key)) == allowed, f"{key}: {reason}"


def test_run_modules_take_the_clock_as_an_argument() -> None:
    """Even a run module neither reads the wall clock nor rolls dice: `now_us` and `rng` are arguments, so a replay is exact."""
    for path in run_modules():
        assert not set(_world(path)) & {"random", "secrets", "uuid", "logging"}, name(path)
        asked = {ast.unparse(n) for n in ast.walk(tree(path)) if isinstance(n, ast.Attribute)} & WALL_CLOCK
        assert not asked, f"{name(path)} reads {sorted(asked)}"


def test_refused_modules_exist() -> None:
    """The list of refused modules has no misspelt name of the standard library in it."""
    foreign = {"duckdb", "deltalake", "httpx", "httpx2", "requests", "sqlalchemy"}
    assert {m.split(".")[0] for m in REFUSED} - foreign <= sys.stdlib_module_names
