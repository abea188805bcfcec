"""Rates under sampling weights: what is shown and charted is that of the traffic, not that of the kept rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from andon.incidents.run import respond
from andon.investigations.run import investigate
from andon.monitors.run import Watch, chart_of
from andon.scores import hashed, score_schema
from andon.scores.builtin import SCORERS
from andon.settings import Settings
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS

WIDTH_US = 300_000_000
START_US = 1_700_000_000_000_000 // WIDTH_US * WIDTH_US
SCHEMA = score_schema(SCORERS)
WINDOWS, SHIFT = 200, 150


def rows(seed=1, bad_from=SHIFT, high_from=None, rate_from=None, silent_from=WINDOWS, weight=20.0):
    """Twelve high-risk rows a window, half of them errors, of weight 1; twenty others of weight 20, 3 % (then 20 %) errors."""
    rng = np.random.default_rng(seed)
    made = []
    for w in range(min(WINDOWS, silent_from)):
        n_high = 36 if high_from is not None and w >= high_from else 12
        thin = rate_from is not None and w >= rate_from
        n_rest, w_rest = (4, 5 * weight) if thin else (20, weight)
        for high in [True] * n_high + [False] * n_rest:
            p = 0.5 if high else 0.2 if w >= bad_from else 0.03
            slow = rng.lognormal(1.0 if high or w >= bad_from else 0.0, 0.3)
            i = len(made)
            made.append({
                "id": f"r{i}", "interaction_id": f"r{i}", "time_us": START_US + w * WIDTH_US + int(rng.integers(0, WIDTH_US)),
                "weight": 1.0 if high else w_rest, "scorers": "s", "app": "shop", "environment": "production",
                "risk_category": "high" if high else "low", "task": "faq", "error": float(rng.random() < p), "latency_s": slow,
                "user_id": f"u{i}",
            })  # fmt: skip
    return made


@pytest.fixture
def store(tmp_path: Path):
    """Opens a store with such rows."""
    opened = []

    def make(**fields):
        made = rows(**fields)
        warehouse, ledger = Warehouse(tmp_path / str(len(opened)), {**SCHEMAS, "scores": SCHEMA}), Ledger("sqlite://")
        warehouse.append("scores", pa.Table.from_pylist(made, schema=SCHEMA))
        warehouse.commit()
        opened.append(warehouse)
        return warehouse, ledger, made

    yield make
    for w in opened:
        w.close()


def truth(made, start=0, stop=WINDOWS, column="error", harm=lambda v: v >= 0.5):
    """Weighted rate and weighted counts of harm and traffic between two windows."""
    got = [r for r in made if start <= (r["time_us"] - START_US) // WIDTH_US < stop]
    n = sum(r["weight"] for r in got)
    x = sum(r["weight"] for r in got if harm(r[column]))
    return x / n, x, n


def signals(warehouse, ledger):
    """What the charts say."""
    process = Watch(warehouse, ledger, SCORERS, window_s=300, false_pages_per_month=30.0)
    return process.advance(START_US + WINDOWS * WIDTH_US)


def all_of(found, metric="error", levels=("page",)):
    """The pages of the chart over all traffic."""
    chart = (metric, {}, "up", "")
    return [s for s in found if (s.metric, s.scope, s.direction, s.aspect) == chart and s.level in levels]


def test_a_signal_over_all_traffic_has_the_rate_of_all_traffic(store):
    """Baseline and harm of a chart that pools risk categories are the weighted rates."""
    warehouse, ledger, made = store()
    signal = all_of(signals(warehouse, ledger))[0]
    assert signal.baseline_rate == pytest.approx(truth(made, 0, 110)[0], abs=0.012)  # 0.04; rows say 0.21
    points = chart_of(warehouse, signal, start_us=START_US, end_us=START_US + SHIFT * WIDTH_US, points=3)
    for p in points:
        start, stop = ((t - START_US) // WIDTH_US for t in (p.start_us, p.end_us))
        assert p.x / p.n == pytest.approx(truth(made, start, min(stop, SHIFT))[0], abs=0.01)


def test_a_number_over_all_traffic_has_the_rate_of_all_traffic(store):
    """The worst fifth of a number is a fifth of the traffic, not of the kept rows."""
    warehouse, ledger, made = store()
    signal = all_of(signals(warehouse, ledger), "latency_s", ("page", "warning"))[0]
    rate = truth(made, 0, 110, "latency_s", lambda v: v >= signal.cut)[0]
    assert 0.1 < rate < 0.3
    assert signal.baseline_rate == pytest.approx(rate, abs=0.03)


@pytest.mark.parametrize(("moved", "weight"), [("high_from", 100.0), ("rate_from", 20.0)])
def test_what_moves_only_the_sample_raises_no_signal(store, moved, weight):
    """More high-risk questions (0.6 % to 1.8 % of the traffic), or another sampling rate, is no rise of harm over all traffic."""
    warehouse, ledger, _ = store(bad_from=10**9, weight=weight, **{moved: 100})
    assert not all_of(signals(warehouse, ledger), levels=("page", "warning"))


def test_impact_speaks_of_the_traffic(store):
    """Harmed, all and excess of an investigation are estimates of interactions, and parts have the rates of the traffic."""
    warehouse, ledger, made = store()
    lead = next(s for s in all_of(signals(warehouse, ledger)))
    (incident,) = respond(ledger, [lead])
    found = investigate(
        warehouse,
        ledger,
        incident,
        hashed.load(Settings()),
        now_us=START_US + WINDOWS * WIDTH_US,
        rng=np.random.default_rng(1),
    )
    first = (incident.onset_us - START_US) // WIDTH_US
    _, x, n = truth(made, first)
    assert found.impact.n == pytest.approx(n, rel=0.01)
    assert found.impact.harmed == pytest.approx(x, rel=0.01)
    before = truth(made, 0, first)[0]
    assert found.impact.excess == pytest.approx(x - n * before, rel=0.1)


def test_another_sampling_rate_is_no_missing_traffic(store):
    """When a fifth of the rows stands for the same traffic, nothing is missing."""
    warehouse, ledger, _ = store(bad_from=10**9, rate_from=100)
    assert [s for s in signals(warehouse, ledger) if s.metric == "traffic"] == []


def test_silence_is_told_in_interactions(store):
    """What did not come, the baseline and the drawing are estimates of interactions, whatever was kept of them."""
    warehouse, ledger, made = store(bad_from=10**9, silent_from=SHIFT)
    signal = next(s for s in signals(warehouse, ledger) if (s.metric, s.scope) == ("traffic", {}))
    start, stop, low, high = (
        (t - START_US) / WIDTH_US
        for t in (signal.onset_us, signal.at_us, signal.baseline_from_us, signal.baseline_to_us)
    )
    _, _, came = truth(made, max(low, 0), high)
    assert signal.baseline_n == pytest.approx(came, rel=0.01)
    a_window = 12 + 20 * 20.0
    assert signal.n == pytest.approx(a_window * (stop - start), rel=0.2)
    assert signal.x == pytest.approx(signal.n, rel=0.1)
    assert signal.stands_for == 1
    drawn = chart_of(warehouse, signal, start_us=signal.onset_us, end_us=signal.at_us, points=100)
    assert sum(p.x for p in drawn) == pytest.approx(signal.x, rel=0.3)
