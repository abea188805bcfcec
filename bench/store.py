"""Answers from the tables, and what a crash costs."""

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from andon.store import Rollup, Span, Warehouse
from bench.figures import figure, note, scratch, typical_s

__all__ = ["run"]

ROWS, CHUNK = 1_000_000, 100_000
START_US, DAY_US, WINDOW_US = 1_760_054_400_000_000, 86_400_000_000, 300_000_000
CRASH_ROWS = 200_000
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "time_us": pa.int64(),
        "app": pa.string(),
        "task": pa.string(),
        "model": pa.string(),
        "refusal": pa.float64(),
        "latency_s": pa.float64(),
    }
)


def run() -> None:
    """A roll-up over a day, and recovery after kill -9."""
    with scratch() as folder:
        _rollup(folder)
    with scratch() as folder:
        _recovery(folder)


def _rows(start: int, count: int) -> pa.Table:
    rng = np.random.default_rng(start)
    pick = rng.integers(0, 5, count)
    columns = {
        "id": [f"{start + k:09d}" for k in range(count)],
        "time_us": START_US + (np.arange(start, start + count) * DAY_US) // ROWS,
        "app": np.where(pick < 3, "assistant", "triage"),
        "task": np.array([f"task{k}" for k in range(5)])[pick],
        "model": ["model-1"] * count,
        "refusal": (rng.random(count) < 0.05).astype(np.float64),
        "latency_s": rng.gamma(2.0, 0.4, count),
    }
    return pa.table(columns, schema=SCHEMA)


def _rollup(folder: Path) -> None:
    store = Warehouse(folder, {"scores": SCHEMA})
    seconds = 0.0
    for start in range(0, ROWS, CHUNK):
        rows = _rows(start, CHUNK)
        begun = time.perf_counter()
        store.append("scores", rows)
        store.commit()
        seconds += time.perf_counter() - begun
    note(f"{ROWS:,} rows are in")
    figure("store.append_and_commit_rows_per_s", ROWS / seconds, "1/s")
    plan = Rollup(
        table="scores",
        metrics=("refusal", "latency_s"),
        keys=("app", "task"),
        window_us=WINDOW_US,
        span=Span(start_us=START_US, end_us=START_US + DAY_US),
    )
    files = [str(p) for p in (folder / "tables" / "scores").rglob("*.parquet")]
    sums = ", ".join(f"count({m}), sum({m}), min({m}), max({m})" for m in plan.metrics)
    sql = f"""
        select time_us // {WINDOW_US}, app, task, count(*), {sums} from read_parquet($files)
        where time_us >= {START_US} and time_us < {START_US + DAY_US} group by all order by all
    """
    connection = duckdb.connect()
    bare = typical_s(lambda: connection.execute(sql, {"files": files}).fetchall())
    ours = typical_s(lambda: store.run(plan))
    if len(store.run(plan)) != len(connection.execute(sql, {"files": files}).fetchall()):
        raise SystemExit("the plan and the bare query differ")
    figure("store.rollup_24h_1m_rows_ms", ours * 1000, "ms", f"bare DuckDB {duckdb.__version__}", bare * 1000)
    store.close()


def _recovery(folder: Path) -> None:
    seconds, lost = [], 0
    for k in range(3):
        home = folder / str(k)
        victim = subprocess.run([sys.executable, "-m", "bench.store", str(home)], check=False)
        if victim.returncode != -signal.SIGKILL:
            raise SystemExit(f"the process ended with {victim.returncode} instead of being killed")
        begun = time.perf_counter()
        store = Warehouse(home, {"scores": SCHEMA})
        store.commit()
        found = store.run(Rollup(table="scores", metrics=("refusal",)))["rows"][0].as_py()
        seconds.append(time.perf_counter() - begun)
        lost += CRASH_ROWS - found
        store.close()
    figure("store.kill_9.recovery_s", statistics.median(seconds), "s")
    figure("store.kill_9.lost_of_600k_acknowledged_rows", lost, "rows")


def die(home: Path) -> None:
    """Append rows that are acknowledged but not committed, and end at once."""
    store = Warehouse(home, {"scores": SCHEMA})
    for start in range(0, CRASH_ROWS, 10_000):
        store.append("scores", _rows(start, 10_000))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    die(Path(sys.argv[1]))
