"""What a turn of the loop, a backfill, memory and disk cost, and how each grows from one million interactions to twenty.

The stores are built once and kept in the temporary folder. Each figure is of a process of its own, so that its memory is its own.
What the loop does at a turn is done for a minute of new traffic, as much as a store of that size gets in a minute.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.figures import ROOT, figure, note
from bench.web_store import DAYS, web_store

__all__ = ["run"]

SIZES = tuple(int(n) for n in os.environ.get("SCALE_ROWS", "1000000,5000000,20000000").split(","))


def run() -> None:
    """All sizes, the smallest first."""
    for rows in SIZES:
        of = f"{rows // 1_000_000}m" if rows >= 1_000_000 else f"{rows // 1_000}k"
        folder = web_store(Path(tempfile.gettempdir()) / f"andon-bench-scale-{of}", rows, plain=True)
        note(f"{rows:,} interactions in {folder}")
        size = sum(f.stat().st_size for f in (folder / "tables").rglob("*.parquet"))
        figure(f"scale.disk_{of}.per_million", size / rows * 1e6, "B")
        first = _ask("start", folder)
        figure(f"scale.first_start_{of}_s", first["seconds"], "s")
        figure(f"scale.first_start_{of}.per_day_s", first["seconds"] / DAYS, "s")
        figure(f"scale.first_start_{of}.memory", first["memory"], "B")
        note(f"{first['charts']:,} charts")
        again = _ask("again", folder)
        figure(f"scale.start_{of}_s", again["seconds"], "s", "the first start", first["seconds"])
        turns = _ask("turns", folder)
        figure(f"scale.tick_{of}_s", statistics.median(turns["seconds"]), "s")
        figure(f"scale.tick_{of}.worst_s", max(turns["seconds"]), "s")
        figure(f"scale.tick_{of}.window_s", max(turns["windows"]), "s")
        figure(f"scale.tick_{of}.rows", turns["rows"], "rows")
        figure(f"scale.tick_{of}.memory", turns["memory"], "B")
        figure(f"scale.capture_{of}_s", turns["captured"], "s")
        if turns["incidents"]:
            note(f"{turns['incidents']} incidents were opened and looked into meanwhile")
        storm = _ask("storm", folder)
        figure(f"scale.storm_{of}_s", storm["seconds"], "s")
        figure(f"scale.storm_{of}.signals", storm["signals"], "signals")
        note(f"{storm['all']} signals in a quarter of an hour, {storm['incidents']} incidents")
        cold = _ask("cold", folder)
        figure(f"scale.cold_tick_{of}_s", cold["wall"], "s", "a turn of a service", statistics.median(turns["seconds"]))
        for embedder in ("minilm", "hashed"):
            rate = _ask("rate", folder, embedder)
            figure(f"scale.loop_{of}.{embedder}_per_s", rate["per_s"], "1/s")
            figure(f"scale.loop_{of}.{embedder}.cpu_ms", rate["cpu_ms"], "ms an interaction")
        _backfill(folder, of)


def _backfill(folder: Path, of: str) -> None:
    """Thirty days of rates and of a histogram by five minutes, on each engine."""
    sys.path.append(str(ROOT / "tests" / "contracts"))
    from ray_cluster import cluster

    duck = _ask("backfill", folder, "duckdb")
    figure(f"scale.backfill_{of}.duckdb_s", duck["seconds"], "s")
    figure(f"scale.backfill_{of}.duckdb.memory", duck["memory"], "B")
    daft = _ask("backfill", folder, "daft")
    figure(f"scale.backfill_{of}.daft_s", daft["seconds"], "s", "DuckDB", duck["seconds"])
    figure(f"scale.backfill_{of}.daft.memory", daft["memory"], "B", "DuckDB", duck["memory"])
    with cluster() as made:
        ray = _ask("backfill", folder, made.address)
    figure(f"scale.backfill_{of}.ray_s", ray["seconds"], "s", "DuckDB", duck["seconds"])
    if not duck["groups"] == daft["groups"] == ray["groups"]:
        note(f"the engines do not agree: {duck['groups']}, {daft['groups']}, {ray['groups']} groups")


def _ask(what: str, folder: Path, *more: str) -> dict[str, Any]:
    """Have a process of its own measure something."""
    command = [sys.executable, "-m", "bench.scale_process", what, str(folder), *more]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))
