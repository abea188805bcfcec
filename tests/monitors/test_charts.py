"""Laws of the charts: Phase I, Phase II, silence, partitions, numbers, refusals."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from charted import DAY, WIDTH_US, Traffic, binary, charts, monitor, numbers, say, watch, window_of
from hypothesis import given, settings
from hypothesis import strategies as st

from andon import stats
from andon.monitors import Charts, Counts, Monitor, Signal, watched
from andon.monitors.charts import LEARN_N, LEARN_WINDOWS, SILENCE_US

Rows = dict[Monitor, Counts]


def part(counts: Rows, start: int, stop: int) -> Rows:
    """The counts of some windows, as a reader of the store would hand them over: charts without rows are absent."""
    cut = {m: c.only((c.window >= start) & (c.window < stop)) for m, c in counts.items()}
    return {m: c for m, c in cut.items() if len(c.window)}


def turn(process: Charts, counts: Rows, ends: Sequence[int]) -> list[Signal]:
    """Advance in parts that end before these windows."""
    signals, start = [], 0
    for stop in ends:
        signals += process.advance(range(start, stop), part(counts, start, stop))
        start = stop
    return signals


def mixed(seed: int, windows: int = 420) -> tuple[Charts, Rows]:
    """Binary and number charts, dense and sparse, early and late, some of which go wrong."""
    rng = np.random.default_rng(seed)
    kinds = {"harm": "binary", "score": "number", "refusal": "binary"}
    process = Charts(WIDTH_US, 30.0, kinds, {(m, d): "correctness" for m in kinds for d in ("up", "down")})
    counts: Rows = {}
    for k in range(6):
        window = np.arange(int(rng.integers(0, 100)) if k % 2 else 0, windows)
        n = rng.poisson((0.7, 6, 30)[k % 3], len(window))
        odd = window >= 250 + 20 * k
        x = rng.binomial(n, np.where(odd & (k != 3), 0.6, 0.05))
        counts[monitor(f"b{k}")] = binary(window, n, x)
        counts[monitor(f"r{k}", "refusal", "down")] = binary(window, n, x if k % 2 else n - x)
        values = np.repeat(window, n), rng.integers(0, 40, n.sum()) + 30 * np.repeat(odd, n)
        for direction in ("up", "down"):
            counts[monitor(f"n{k}", "score", direction)] = numbers(*values, np.ones(n.sum(), dtype=np.int64))
    return process, counts


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 4), cuts=st.sets(st.integers(1, 419), max_size=30))
def test_any_partition_gives_the_same_signals(seed: int, cuts: set[int]) -> None:
    """Any partition of the same windows into calls of advance gives the same signals in the same order, byte for byte."""
    whole, counts = mixed(seed)
    expected = turn(whole, counts, [420])
    parts, _ = mixed(seed)
    assert [repr(s) for s in turn(parts, counts, [*sorted(cuts), 420])] == [repr(s) for s in expected]
    assert {s.kind for s in expected} == {"binary", "number"}


def test_one_window_at_a_time_gives_the_same_signals() -> None:
    """A live process, which sees one window per call, signals what a replay of all windows signals."""
    whole, counts = mixed(9)
    live, _ = mixed(9)
    expected = turn(whole, counts, [420])
    assert [repr(s) for s in turn(live, counts, range(1, 421))] == [repr(s) for s in expected]
    assert len(expected) > 5


@settings(max_examples=30, deadline=None)
@given(
    start=st.integers(0, 6_000_000),
    pairs=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=120),
)
def test_no_signal_while_it_learns(start: int, pairs: list[tuple[int, int]]) -> None:
    """Whatever comes in, a chart is silent until it has seen its windows and observations, and any counts are digested."""
    n = np.array([max(p) for p in pairs])
    x = np.array([min(p) for p in pairs])
    window = np.arange(start, start + len(n))
    learned = np.flatnonzero((np.cumsum(n > 0) >= LEARN_WINDOWS) & (np.cumsum(n) >= LEARN_N))
    end = int(learned[0]) + 1 if len(learned) else len(n)
    process = charts(budget=1e4)
    calm = process.advance(range(start, start + end), {monitor(): binary(window, n, x)})
    later = process.advance(range(start + end, start + len(n)), {monitor(): binary(window, n, x)})
    assert calm == []
    for s in later:
        assert s.baseline_n >= LEARN_N
        assert s.baseline_x + s.x <= x.sum()
        assert start * WIDTH_US <= s.onset_low_us <= s.onset_us < s.onset_high_us <= s.at_us


def test_the_last_window_of_phase_one_is_not_watched() -> None:
    """A burst in the very window that ends Phase I belongs to the baseline and is no signal."""
    n, x = np.full(LEARN_WINDOWS, 20), np.zeros(LEARN_WINDOWS, dtype=np.int64)
    x[-1] = 20
    process = charts(budget=1e4)
    assert process.advance(range(len(n)), {monitor(): binary(np.arange(len(n)), n, x)}) == []


def test_one_signal_per_event_and_a_reminder_a_week() -> None:
    """While harm lasts a chart signals once, and again after each whole week."""
    signals = watch(Traffic(series=30, windows=17 * DAY, shift=DAY, odds=8, seed=1))
    assert len({s.monitor for s in signals}) == 30
    for name in {s.monitor for s in signals}:
        own = [s.at_us for s in signals if s.monitor == name]
        assert all(b - a >= 7 * SILENCE_US for a, b in pairwise(own))
        assert len(own) == 3


def test_a_calm_day_ends_an_event() -> None:
    """Harm that returns after more than a calm day is a new signal, within the week of silence of the first."""
    window, n = np.arange(8 * DAY), np.full(8 * DAY, 20)
    harmed = np.isin(window // DAY, (3, 6))
    x = np.where(harmed, 12, 1)
    signals = charts().advance(range(8 * DAY), {monitor(): binary(window, n, x)})
    assert [s.at_us // WIDTH_US // DAY for s in signals] == [3, 6]


def test_an_improvement_never_signals() -> None:
    """A rate of harm that falls, at whatever pace, is no signal."""
    for odds in (0.9, 0.5, 0.05):
        assert watch(Traffic(series=60, windows=1200, shift=400, odds=odds, rate=0.3, seed=2)) == []


def test_a_shift_is_found_and_its_onset_interval_holds_it() -> None:
    """A threefold rise of the odds is found on every chart, and 93 to 99.9 % of the onset intervals hold the true window."""
    traffic = Traffic(series=200, windows=900, shift=600, odds=3, seed=3)
    first: dict[str, Signal] = {}
    for s in watch(traffic):
        first.setdefault(s.monitor, s)
    assert len(first) == traffic.series
    assert all(window_of(s) >= 600 for s in first.values())
    held = np.mean([s.onset_low_us <= 600 * WIDTH_US < s.onset_high_us for s in first.values()])
    delay = np.median([window_of(s) - 600 for s in first.values()])
    say(f"onset intervals that hold the true window: {held:.1%}; median delay {delay:.0f} windows")
    assert 0.93 <= held <= 0.999
    assert delay < 40


def test_a_signal_counts_what_it_says() -> None:
    """The x and n of a signal are the counts from its onset to its alarm, and the baseline's are those of its span."""
    traffic = Traffic(series=1, windows=700, shift=600, odds=6, seed=4)
    (n,), (x,) = traffic.draw()
    signal = watch(traffic)[0]
    since, until = signal.onset_us // WIDTH_US, signal.at_us // WIDTH_US
    assert (signal.x, signal.n) == (x[since:until].sum(), n[since:until].sum())
    first, last = signal.baseline_from_us // WIDTH_US, signal.baseline_to_us // WIDTH_US
    assert (signal.baseline_x, signal.baseline_n) == (x[first:last].sum(), n[first:last].sum())
    assert last <= since
    assert signal.statistic >= signal.threshold
    assert abs(sum(p for _, p in signal.onset_probability) - 1) < 0.05


def test_what_happened_during_an_incident_does_not_join_the_baseline() -> None:
    """An incident of a day leaves the baseline where it was, so that the next one is found too."""
    rng = np.random.default_rng(5)
    window = np.arange(5 * DAY)
    bad = (window // DAY == 1) | (window // DAY == 4)
    n = rng.poisson(20, len(window))
    x = rng.binomial(n, np.where(bad, 0.2, 0.05))
    signals = charts().advance(range(len(window)), {monitor(): binary(window, n, x)})
    assert {window_of(s) // DAY for s in signals} >= {1, 4}
    assert signals[-1].baseline_rate < 0.065


def test_empty_and_sparse_windows() -> None:
    """Windows without traffic change nothing: a sparse series learns and is watched on the windows that it has."""
    rng = np.random.default_rng(6)
    window = np.sort(rng.choice(6_000, 900, replace=False))
    n = rng.integers(1, 4, len(window))
    x = rng.binomial(n, np.where(np.arange(len(n)) < 600, 0.05, 0.7))
    signals = charts().advance(range(6_000), {monitor(): binary(window, n, x)})
    assert signals
    assert window_of(signals[0]) >= window[600]
    assert charts().advance(range(0), {}) == []
    assert charts().advance(range(50), {}) == []


def test_a_new_segment_gets_its_own_phase_one() -> None:
    """A part of the traffic that appears later learns its own baseline before it is watched, with its own rate."""
    rng = np.random.default_rng(7)
    old, new = np.arange(800), np.arange(400, 800)
    n_old, n_new = rng.poisson(20, len(old)), rng.poisson(20, len(new))
    counts = {
        monitor("old"): binary(old, n_old, rng.binomial(n_old, 0.02)),
        monitor("new"): binary(new, n_new, rng.binomial(n_new, np.where(new < 700, 0.4, 0.9))),
    }
    signals = turn(charts(), counts, [300, 500, 800])
    assert [s.scope["segment"] for s in signals] == ["new"]
    assert signals[0].baseline_from_us == 400 * WIDTH_US
    assert signals[0].onset_low_us >= 690 * WIDTH_US


def test_the_threshold_grows_with_the_charts_that_watch() -> None:
    """The budget is shared: with ten charts each may alarm a tenth as often as one alone."""
    alone, ten = (watch(Traffic(series=k, windows=300, shift=200, odds=20, seed=8)) for k in (1, 10))
    assert alone[0].threshold == stats.permitted_run_length(1, 30 * DAY, 1.0)
    assert {s.threshold for s in ten} == {10 * alone[0].threshold}


# --- numbers


def test_the_cut_is_the_worst_fifth() -> None:
    """A number is watched by the worst fifth of its baseline, on the side that harms."""
    rng = np.random.default_rng(9)
    window = np.repeat(np.arange(300), 20)
    bins = np.where(window < 200, rng.integers(0, 100, len(window)), rng.integers(85, 100, len(window)))
    counts = numbers(window, bins, np.ones(len(window), dtype=np.int64))
    signal = charts("number").advance(range(300), {monitor(): counts})[0]
    assert signal.cut == pytest.approx(stats.bin_edges(80)[0], rel=1.02**8)
    assert signal.baseline_rate == pytest.approx(0.2, abs=0.05)
    assert signal.kind == "number"
    low = numbers(window, 99 - bins, np.ones(len(window), dtype=np.int64))
    mirrored = charts("number").advance(range(300), {monitor(direction="down"): low})[0]
    assert mirrored.baseline_x == signal.baseline_x
    assert charts("number").advance(range(300), {monitor(direction="down"): counts}) == []


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("value", [-1500, 0, 1, 2000])
def test_a_constant_number_never_signals(direction: str, value: int) -> None:
    """A metric that always has the same value raises nothing and never signals."""
    counts = numbers(range(600), [value] * 600, [10] * 600)
    assert charts("number").advance(range(600), {monitor(direction=direction): counts}) == []


def test_a_constant_number_that_gets_worse_signals() -> None:
    """A metric that was constant signals when worse values than any before come, and is silent when better ones do."""
    bins = [2000] * 400 + [1500, 2000] * 100
    counts = numbers([*range(400), *np.repeat(range(400, 500), 2)], bins, [10] * 400 + [5] * 200)
    worse = charts("number").advance(range(500), {monitor(direction="down"): counts})
    better = charts("number").advance(range(500), {monitor(direction="up"): counts})
    assert worse
    assert worse[0].onset_us == 400 * WIDTH_US
    assert worse[0].cut == stats.bin_edges(2000)[0]
    assert better == []


def test_ties_at_the_cut() -> None:
    """With two values only, harm is the worse one, however far its share is from a fifth."""
    rng = np.random.default_rng(10)
    for share in (0.02, 0.45):
        bad = rng.binomial(20, np.where(np.arange(500) < 400, share, min(1.0, share + 0.4)))
        window = np.repeat(np.arange(500), 2)
        counts = numbers(window, [0, 2000] * 500, np.stack([bad, 20 - bad], axis=1).ravel())
        signal = charts("number").advance(range(500), {monitor(direction="down"): counts})[0]
        assert signal.baseline_rate == pytest.approx(share, abs=0.03)
        assert window_of(signal) < 420


# --- refusals


def test_fewer_refusals_harm_only_where_refusing_was_the_rule() -> None:
    """refusal.down signals where most answers were refusals and the model starts to comply, and nowhere else."""
    rng = np.random.default_rng(11)
    window, n = np.arange(600), np.full(600, 20)
    ruled = rng.binomial(n, np.where(window < 400, 0.05, 0.6))  # answers that do not refuse
    free = rng.binomial(n, np.where(window < 400, 0.8, 1.0))
    process = Charts(WIDTH_US, 1.0, {"refusal": "binary"}, {("refusal", "down"): "safety"})
    counts = {monitor(s, "refusal", "down"): binary(window, n, x) for s, x in (("ruled", ruled), ("free", free))}
    signals = process.advance(range(600), counts)
    assert [s.scope["segment"] for s in signals] == ["ruled"]
    assert signals[0].harm == "safety"


def test_fewer_refusals_are_not_watched_in_harmless_categories() -> None:
    """A part with a low risk category has no chart of fewer refusals; a high one and parts without a category have."""
    assert not watched("refusal", "down", [("risk_category", "Low")])
    assert watched("refusal", "down", [("risk_category", "high")])
    assert watched("refusal", "down", [("task", "low")])
    assert watched("refusal", "up", [("risk_category", "low")])
