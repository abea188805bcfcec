"""What holds for every test: the settings of the person who runs them do not reach the code."""

import gc
import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("andon", deadline=None)  # a busy machine is no failure
settings.load_profile("andon")
# there is a worker for every core: threads of BLAS would wait for each other
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# every write of a ledger or table waits for the disk, ten thousand times: their folders lie in memory where there is enough
if Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > 4 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings in the environment of the developer or of CI are hidden; tests set their own."""
    for name in list(os.environ):
        if name.startswith("ANDON_"):
            monkeypatch.delenv(name)


@pytest.fixture
def type_(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """A function that types one command in a fresh home, and lines at its prompts; returns exit code, stdout and stderr."""
    from andon.cli import main

    monkeypatch.chdir(tmp_path)
    for name, value in (("ANDON_HOME", "home"), ("ANDON_EMBEDDER", "hashed"), ("COLUMNS", "300"), ("USER", "ann")):
        monkeypatch.setenv(name, value)

    def typed(*words: str, lines: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["andon", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        try:
            main()
            code = 0
        except SystemExit as done:
            code = int(done.code or 0)
        out = capsys.readouterr()
        return code, out.out, out.err

    return typed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest are begun first: begun last, one of them would be all that is waited for."""
    marks = [(item, item.get_closest_marker("slow")) for item in items]
    items[:] = [item for item, mark in sorted(marks, key=lambda m: -m[1].args[0] if m[1] and m[1].args else 0)]


def pytest_collection_finish() -> None:
    """Ten thousand tests stay to the end: the garbage collector need not look through them again and again."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes get the name of their parameter: compressed ones may differ in each process, and pytest-xdist must agree."""
    return argname if isinstance(val, bytes) else None
