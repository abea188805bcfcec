"""How fast the detector is: the mathematics alone, a turn of the real charts over a real store, and a replay.

river stands beside each figure in the same run, doing one update for each series and hour. Its loop is timed on a small
part and scaled, and it does less: it reads no store, writes no signal and has no baseline by the hour.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from andon.monitors import Signal
from andon.monitors.run import Watch
from andon.scores import SCORERS, score_schema
from andon.store import Ledger, Warehouse
from bench.detection_ours import many_steps, one_step, replay_grid
from bench.figures import best_s, figure, note, scratch
from bench.peers import ask

__all__ = ["run_speed"]

SERIES, HOURS = 10_000, 1_000
DAYS, SETTINGS = 90, 200
RIVER = ("river==0.26.1",)
UPDATES = 300_000

VALUES = 22
"""Tasks, and as many segments: with all traffic and each pair of them there are 529 scopes."""

METRICS = (
    "error", "refusal", "escalation", "citation_valid", "tool_error", "guardrail_block", "exact_match", "thumbs",
    "groundedness", "context_used", "retrieval_score", "answer_relevancy", "latency_s", "output_tokens", "cost_usd",
)  # fmt: skip
"""What is measured: with the directions that harm, and the tails of times and costs, 20 charts of each scope."""

PER_CELL = 3
WINDOW_US = 300_000_000
START_US = 1_759_708_800_000_000
"""Monday, 6 October 2025, midnight."""

LEARNING, TICKS = 40, 13
"""Windows from which charts learn; windows that are timed one by one: an hour of them, with its end."""


def run_speed() -> None:
    """All figures of speed."""
    peer = ask("river", RIVER, "river_loop.py", str(UPDATES))
    _beside(peer, "pure_step_10k_ms", best_s(one_step(SERIES), 7) * 1000, "ms", SERIES)
    run_s = best_s(many_steps(SERIES, HOURS), 3)
    _beside(peer, "run_10k_x_1000_ms", run_s * 1000, "ms", SERIES * HOURS)
    with scratch() as folder:
        turned = _tick(folder)
    note(f"{turned.charts:,} charts; {turned.signals} signals were written in the timed windows")
    _beside(peer, "tick_10k_ms", turned.seconds * 1000, "ms", turned.charts)
    figure("detection.tick_10k.worst_ms", turned.worst_s * 1000, "ms")
    figure("detection.tick_10k.start_s", turned.start_s, "s")
    replay = replay_grid(SERIES, DAYS * 24, SETTINGS)
    if replay is None:
        note("detection.replay_200x10k_90d_s was not measured: there is no function yet that replays many settings")
        return
    _beside(peer, "replay_200x10k_90d_s", best_s(replay, 1), "s", SERIES * DAYS * 24 * SETTINGS)


def _beside(peer: dict[str, float] | None, name: str, value: float, unit: str, updates: int) -> None:
    """Our figure, and beside it what river's loop would take for the same series and hours."""
    if peer is None:
        figure(f"detection.{name}", value, unit)
        return
    for detector in ("ADWIN", "PageHinkley"):
        other = peer[detector] * updates * (1000 if unit == "ms" else 1)
        against = f"river {peer['version']} {detector}, {updates:,} updates, scaled from {UPDATES:,}"
        figure(f"detection.{name}.against_{detector.casefold()}", value, unit, against, other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """What a turn of the charts took."""

    seconds: float
    """From rows in the store to signals in the ledger, for one new window: the median of `TICKS`."""
    worst_s: float
    start_s: float
    """The first turn, over all windows of `LEARNING`."""
    charts: int
    signals: int


def _tick(folder: Path) -> Turned:
    """One new window at a time, in which one task has begun to fail."""
    schema = score_schema(SCORERS)
    warehouse, ledger = Warehouse(folder, {"scores": schema}), Ledger.open(folder / "ledger.db")
    watch = Watch(warehouse, ledger, SCORERS, window_s=WINDOW_US // 1_000_000, false_pages_per_month=1.0)
    _append(warehouse, schema, range(LEARNING))
    begun = time.perf_counter()
    watch.advance(START_US + LEARNING * WINDOW_US)
    watch.done()
    start_s, seconds = time.perf_counter() - begun, []
    before = len(ledger.history(Signal))
    for window in range(LEARNING, LEARNING + TICKS):
        _append(warehouse, schema, range(window, window + 1))
        begun = time.perf_counter()
        watch.advance(START_US + (window + 1) * WINDOW_US)
        watch.done()
        seconds.append(time.perf_counter() - begun)
    signals = len(ledger.history(Signal)) - before
    charts = sum(watch.phases)
    warehouse.close()
    return Turned(
        seconds=statistics.median(seconds), worst_s=max(seconds), start_s=start_s, charts=charts, signals=signals
    )


def _append(warehouse: Warehouse, schema: pa.Schema, windows: range) -> None:
    """A few scored interactions of each task and segment in each window, with every metric; committed."""
    rng = np.random.default_rng(windows.start)
    cells = VALUES * VALUES * PER_CELL
    k = cells * len(windows)
    window, cell = np.repeat(np.arange(windows.start, windows.stop), cells), np.tile(np.arange(cells), len(windows))
    task, segment = cell % VALUES, cell // VALUES % VALUES
    ids = [f"{windows.start}-{i}" for i in range(k)]
    broken = (task == 0) & (window >= LEARNING)
    columns: dict[str, object] = {
        "id": ids,
        "interaction_id": ids,
        "time_us": START_US + window * WINDOW_US + rng.integers(0, WINDOW_US, k),
        "weight": np.ones(k),
        "scorers": ["bench"] * k,
        "app": ["shop"] * k,
        "environment": ["production"] * k,
        "task": [f"task{i:02d}" for i in task],
        "segment": [f"segment{i:02d}" for i in segment],
    }
    up = {m.name for m in SCORERS if m.bad == "up"}
    numbers = {m.name for m in SCORERS if m.kind == "number"}
    for name in METRICS:
        good = (rng.random(k) < 0.95) ^ (name in up)
        columns[name] = rng.gamma(4.0, 0.2, k) if name in numbers else good.astype(float)
    columns["error"] = np.where(broken, 1.0, np.asarray(columns["error"]))
    nothing = {f.name: pa.nulls(k, f.type) for f in schema if f.name not in columns}
    warehouse.append(
        "scores", pa.table({f.name: nothing.get(f.name, columns.get(f.name)) for f in schema}, schema=schema)
    )
    warehouse.commit()
