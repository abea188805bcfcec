"""Laws of `Watch` on the real store: restarts, replays, late rows, and the chart of a signal."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from andon.monitors import Signal
from andon.monitors.run import Watch, chart_of
from andon.scores import score_schema
from andon.scores.builtin import SCORERS
from andon.store import Ledger, Warehouse

WIDTH_US = 300_000_000
START_US = 1_700_000_000_000_000 // WIDTH_US * WIDTH_US
SCHEMA = score_schema(SCORERS)


def rows(windows: range, seed: int, bad_from: int = 10**9, per_window: int = 20) -> pa.Table:
    """Score rows in which errors, slowness and (in one task) refusals rise from one window on."""
    rng = np.random.default_rng([seed, windows.start])
    window = np.repeat(np.arange(windows.start, windows.stop), per_window)
    bad, k = window >= bad_from, len(window)
    time_us = START_US + window * WIDTH_US + rng.integers(0, WIDTH_US, k)
    ids = [f"{seed}-{windows.start}-{i}" for i in range(k)]
    columns = {
        "id": ids,
        "time_us": time_us,
        "interaction_id": ids,
        "weight": np.ones(k),
        "scorers": ["s"] * k,
        "app": ["shop"] * k,
        "environment": ["production"] * k,
        "task": rng.choice(["faq", "refund"], k).tolist(),
        "error": rng.binomial(1, np.where(bad, 0.4, 0.03)).astype(float),
        "refusal": rng.binomial(1, 0.05, k).astype(float),
        "latency_s": np.exp(rng.normal(np.where(bad, 1.5, 0.0), 0.5)),
        "cost_usd": np.zeros(k),
    }
    nothing = {f.name: pa.nulls(k, f.type) for f in SCHEMA if f.name not in columns}
    return pa.table({f.name: nothing.get(f.name, columns.get(f.name)) for f in SCHEMA}, schema=SCHEMA)


def open_store(folder: Path, *tables: pa.Table) -> tuple[Warehouse, Ledger]:
    """A store with these score rows."""
    warehouse, ledger = Warehouse(folder, {"scores": SCHEMA}), Ledger.open(folder / "ledger.db")
    for table in tables:
        warehouse.append("scores", table)
    warehouse.commit()
    return warehouse, ledger


def watch(warehouse: Warehouse, ledger: Ledger) -> Watch:
    """A new process's watch."""
    return Watch(warehouse, ledger, SCORERS, window_s=300, false_pages_per_month=1.0)


def at(window: int) -> int:
    """Start of a window."""
    return START_US + window * WIDTH_US


def written(ledger: Ledger) -> list[str]:
    """Every version of every signal in a ledger."""
    return [repr(v.record) for v in ledger.history(Signal)]


@pytest.fixture
def broken() -> pa.Table:
    """160 windows of which the last 60 are bad."""
    return rows(range(160), seed=1, bad_from=100)


def turn(process: Watch, until_us: int) -> list[Signal]:
    """Turn the charts, and say that what they signalled is dealt with."""
    signals = process.advance(until_us)
    process.done()
    return signals


def test_harm_is_found_where_it_is(tmp_path: Path, broken: pa.Table) -> None:
    """Errors and slowness signal, for all traffic and for each task, with an onset near the truth; calm metrics do not."""
    warehouse, ledger = open_store(tmp_path, broken)
    signals = turn(watch(warehouse, ledger), at(160))
    assert {s.metric for s in signals} == {"error", "latency_s"}
    assert {tuple(s.scope.items()) for s in signals} == {(), (("task", "faq"),), (("task", "refund"),)}
    assert all(abs(s.onset_us - at(100)) <= 3 * WIDTH_US for s in signals)
    assert [s.at_us for s in signals] == sorted(s.at_us for s in signals)


def test_two_processes_write_no_signal_twice(tmp_path: Path, broken: pa.Table) -> None:
    """A second watch over the same data finds the same signals written and writes and returns nothing."""
    warehouse, ledger = open_store(tmp_path, broken)
    first = turn(watch(warehouse, ledger), at(160))
    before = written(ledger)
    assert turn(watch(warehouse, ledger), at(160)) == []
    assert written(ledger) == before
    assert len(before) == len(first) > 0


@pytest.mark.parametrize("stops", [[160], [60, 61, 104, 160], list(range(20, 161, 20))])
@pytest.mark.parametrize("restart", [False, True])
def test_pace_and_restarts_change_nothing(tmp_path: Path, broken: pa.Table, stops: list[int], restart: bool) -> None:
    """Whether turned at once, in steps, or by a new process at each step, the same data give the same signals, byte for byte."""
    (tmp_path / "once").mkdir()
    expected_store = open_store(tmp_path / "once", broken)
    turn(watch(*expected_store), at(160))
    store = open_store(tmp_path / "steps", broken)
    process, returned = watch(*store), []
    for stop in stops:
        process = watch(*store) if restart else process
        returned += turn(process, at(stop) + 1234)
    assert written(store[1]) == written(expected_store[1])
    assert [repr(s) for s in returned] == written(store[1])


def test_an_unfinished_window_waits(tmp_path: Path, broken: pa.Table) -> None:
    """A window is judged only when it has ended."""
    warehouse, ledger = open_store(tmp_path, broken)
    process = watch(warehouse, ledger)
    signals = []
    for window in range(99, 108):
        judged = process.advance(at(window) - 1)
        assert all(s.at_us < at(window) for s in judged)
        signals += judged
    assert signals


def test_time_does_not_run_back(tmp_path: Path, broken: pa.Table) -> None:
    """A clock that steps back, or an empty store, gives no signals and no error."""
    warehouse, ledger = open_store(tmp_path, broken)
    process = watch(warehouse, ledger)
    assert turn(process, at(160))
    assert turn(process, at(20)) == []
    assert turn(watch(*open_store(tmp_path / "empty")), at(20)) == []


def test_late_rows_rewrite_no_history(tmp_path: Path, broken: pa.Table) -> None:
    """Rows that come after their window was judged add no signal to the past, neither in this process nor after a restart."""
    warehouse, ledger = open_store(tmp_path, broken.slice(0, 90 * 20))
    process = watch(warehouse, ledger)
    assert turn(process, at(90)) == []
    warehouse.append("scores", rows(range(60, 88), seed=2, bad_from=0))
    warehouse.commit()
    assert turn(process, at(90)) == []
    assert turn(watch(warehouse, ledger), at(90)) == []
    warehouse.append("scores", broken.slice(90 * 20))
    warehouse.commit()
    assert turn(process, at(160))
    assert all(v.record.at_us > at(100) for v in ledger.history(Signal))


@pytest.mark.parametrize("metric", ["error", "latency_s"])
def test_the_chart_of_a_signal_shows_its_counts(tmp_path: Path, broken: pa.Table, metric: str) -> None:
    """Points between onset and alarm sum to the signal's own x and n, and lie above the limit after the onset."""
    warehouse, ledger = open_store(tmp_path, broken)
    signal = next(s for s in turn(watch(warehouse, ledger), at(160)) if s.metric == metric and s.scope)
    points = chart_of(warehouse, signal, start_us=signal.onset_us, end_us=signal.at_us)
    assert (sum(p.x for p in points), sum(p.n for p in points)) == (signal.x, signal.n)
    whole = chart_of(warehouse, signal, start_us=at(0), end_us=at(160), points=40)
    assert len(whole) in (40, 41)  # the first point may begin before the range
    assert np.mean([p.x / p.n > p.high for p in whole if p.start_us >= at(100)]) > 0.9
    assert np.mean([p.x / p.n > p.high for p in whole if p.end_us <= at(100)]) < 0.1


def test_the_chart_of_what_is_not_measured_counts_answers(tmp_path: Path, broken: pa.Table) -> None:
    """For a metric that stopped being measured the points are all answers, and those of them that lack it."""
    at_row = broken.column_names.index("latency_s")
    window = (np.array(broken["time_us"]) - START_US) // WIDTH_US
    kept = [v if w < 150 else None for v, w in zip(broken["latency_s"].to_pylist(), window, strict=True)]
    half = broken.set_column(at_row, "latency_s", pa.array(kept, pa.float64()))
    warehouse, ledger = open_store(tmp_path, half)
    signal = watch(warehouse, ledger).advance(at(160))[0]
    lost = replace(signal, metric="traffic", aspect="latency_s", direction="down", scope={}, clock=(1.0,) * 48)
    before, since = (chart_of(warehouse, lost, start_us=at(a), end_us=at(b)) for a, b in ((0, 150), (150, 160)))
    assert (sum(p.n for p in before), sum(p.x for p in before)) == (3000, 0)
    assert (sum(p.n for p in since), sum(p.x for p in since)) == (200, 200)
    warehouse.close()
    ledger.close()


def test_signals_stay_new_until_they_are_dealt_with(tmp_path: Path, broken: pa.Table) -> None:
    """A process that dies between raising a signal and dealing with it leaves the signal new for the next one."""
    warehouse, ledger = open_store(tmp_path, broken)
    raised = watch(warehouse, ledger).advance(at(160))
    assert raised
    assert turn(watch(warehouse, ledger), at(160)) == raised
    assert turn(watch(warehouse, ledger), at(160)) == []


def test_signals_are_given_again_by_the_same_process_until_they_are_dealt_with(
    tmp_path: Path, broken: pa.Table
) -> None:
    """Where what follows a turn failed, the next turn gives its signals again, with the newer ones."""
    warehouse, ledger = open_store(tmp_path, broken)
    process = watch(warehouse, ledger)
    first = process.advance(at(130))
    assert first
    again = process.advance(at(160))
    assert again[: len(first)] == first
    process.done()
    assert process.advance(at(160)) == []
    warehouse.close()
    ledger.close()


def test_the_counts_of_a_number_are_those_beyond_its_cut(tmp_path: Path, broken: pa.Table) -> None:
    """For a number, x and n are the interactions beyond its cut since the onset; those of the baseline what it learned from."""
    warehouse, ledger = open_store(tmp_path, broken)
    found = [s for s in turn(watch(warehouse, ledger), at(160)) if s.metric == "latency_s"]
    assert {s.aspect for s in found} == {"", "tail"}
    made = broken.to_pydict()
    for s in found:
        assert s.cut is not None
        for low, high, x, n in (
            (s.onset_us, s.at_us, s.x, s.n),
            (s.baseline_from_us, min(s.baseline_to_us, s.onset_us), s.baseline_x, s.baseline_n),
        ):
            inside = [
                value
                for value, time, *segments in zip(made["latency_s"], made["time_us"], made["task"], strict=True)
                if low <= time < high and (not s.scope or segments == list(s.scope.values()))
            ]
            beyond = sum(v >= s.cut for v in inside)
            if s.aspect and low == s.baseline_from_us:  # the chart's own baseline: without the windows of the reference
                assert 0.8 * len(inside) <= n <= len(inside), s.id
                assert 0.8 * beyond - 2 <= x <= beyond, s.id
            else:
                assert (x, n) == (beyond, len(inside)), s.id
        assert s.baseline_rate < (0.05 if s.aspect else 0.35)
