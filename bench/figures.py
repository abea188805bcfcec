"""One figure is one line of JSON; how often and how long things are timed."""

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["ROOT", "best_s", "figure", "note", "scratch", "typical_s"]

ROOT = Path(__file__).resolve().parents[1]


def figure(name: str, value: float, unit: str, against: str | None = None, other: float | None = None) -> None:
    """Print one figure.

    Args:
        name: ``area.what.how``.
        value: ours.
        unit: of `value`; with ``1/s`` more is better, with everything else less is.
        against: what it is compared with.
        other: the figure of that, in the same unit.

    The printed ratio says how many times better ours is; below 1 it is worse.
    """
    ratio = None if other is None or not value or not other else value / other if unit == "1/s" else other / value
    line = {"name": name, "value": _short(value), "unit": unit, "against": against, "ratio": _short(ratio)}
    print(json.dumps(line), flush=True)


def note(text: str) -> None:
    """Progress, or the reason why something is missing: on stderr."""
    print(f"    {text}", file=sys.stderr, flush=True)


def best_s(work: Callable[[], object], repeats: int = 3) -> float:
    """The shortest of several runs, in seconds: what the machine can do when others leave it alone."""
    return min(_timed(work) for _ in range(repeats))


def typical_s(work: Callable[[], object], repeats: int = 7) -> float:
    """The median of several runs after a first one that does not count, in seconds."""
    work()
    return statistics.median(_timed(work) for _ in range(repeats))


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk of the checkout (a temporary folder may be in memory, where fsync costs nothing)."""
    (ROOT / "bench" / "results").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=ROOT / "bench" / "results"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")
