"""Laws of objectives of numbers, and of the quiet charts beside objectives: counted exactly, and with how much hours vary."""

from dataclasses import replace

import numpy as np
import pytest
from charted import DAY, HOUR_US, MONDAY_US, Floats, Traffic, charts, monitor, pages, turn
from test_counting import LATENCY, histogram, rates, row, values

from andon.monitors import Charts, Monitor, Objective
from andon.monitors.counting import BEYOND, Counting
from andon.monitors.objectives import aspect_of
from andon.monitors.records import TRAFFIC
from andon.store import bin_of

FIRST = MONDAY_US // HOUR_US
SLOW = Objective(name="in time", metric="latency_s", direction="up", beyond=10.0, at_most=0.02, source="test")


def counted(*objectives: Objective, watched: bool = True) -> tuple[Counting, Charts]:
    """Counting by hours of one number with these objectives, and the charts that it tells of."""
    process = charts(width_us=HOUR_US)
    process.kinds = {"latency_s": "number"}
    process.harms = {("latency_s", "up"): "latency", (TRAFFIC, "down"): "availability"}  # type: ignore[dict-item]
    return Counting(process, [LATENCY], lambda _: watched, objectives), process


def hourly(n: Floats, x: Floats, counting: Counting) -> tuple[Floats, Floats]:
    """Counts of hours in which x of n values are 20 and the others 3, for every bound."""
    hours, slow, quick = range(len(n)), bin_of(20.0), bin_of(3.0)
    made = [values(12 * h, {quick: n[h] - x[h], slow: x[h]}) for h in hours]
    harmed = rates([row(12 * h, 0, x[h]) for h in hours]).rename_columns({"error.n": "latency_s.n", "error.sum": "_"})
    came = rates([row(12 * h, 0, n[h]) for h in hours])
    number = {"latency_s": histogram([r for rs in made for r in rs])}
    return counting.take(0, len(n), came, number, dict.fromkeys(counting.bounds, harmed))


def test_a_limit_of_a_number_knows_how_hours_vary() -> None:
    """Hours that vary around a rate within the limit break no limit, of a number as little as of a yes or no."""
    rng = np.random.default_rng(1)
    hours = 60 * DAY
    rate = 0.0175 * np.exp(rng.normal(0, 0.4, hours) - 0.08)
    n = rng.poisson(2000, hours).astype(float)
    x = rng.binomial(n.astype(int), rate).astype(float)
    for watched in (True, False):
        counting, process = counted(SLOW, watched=watched)
        seen, harm = hourly(n, x, counting)
        signals = process.advance(FIRST, seen, harm)
        assert [s for s in pages(signals) if s.objective] == []


@pytest.mark.parametrize("watched", [True, False])
def test_a_limit_of_a_number_that_is_broken_is_told(watched: bool) -> None:
    """Twice the limit is told within two days, on the objective's chart alone; its quiet companion tells nothing."""
    rng = np.random.default_rng(2)
    hours = 30 * DAY
    rate = np.where(np.arange(hours) < 20 * DAY, 0.0175, 0.045) * np.exp(rng.normal(0, 0.4, hours) - 0.08)
    n = rng.poisson(2000, hours).astype(float)
    x = rng.binomial(n.astype(int), rate).astype(float)
    counting, process = counted(SLOW, watched=watched)
    signals = process.advance(FIRST, *hourly(n, x, counting))
    told = [s for s in pages(signals) if s.aspect.startswith(BEYOND)]
    assert {s.objective for s in signals if s.aspect.startswith(BEYOND)} == {"in time"}
    assert 20 <= (told[0].at_us - MONDAY_US) // (24 * HOUR_US) < 22
    if not watched:
        assert {s.objective for s in signals} == {"in time"}


def test_quiet_charts_have_no_share_of_the_budget() -> None:
    """A chart that only learns tells nothing, is in no count of charts, and leaves the thresholds of the others alone."""
    n, x = Traffic(series=2, hours=10 * DAY, shift=8 * DAY, factor=6, seed=3).draw()
    both, alone = charts(), charts()
    both.index(monitor("b"), quiet=True)
    found = turn(both, [monitor("a"), monitor("b")], n, x)
    assert [repr(s) for s in found] == [repr(s) for s in turn(alone, [monitor("a")], n[:, :1], x[:, :1])]
    assert {s.scope["segment"] for s in found} == {"a"}
    assert both.phases == alone.phases == (1, 0)


def test_an_objective_has_a_companion_that_learns() -> None:
    """Beside every chart of an objective there is the learned one of the same counts: quiet where nobody asked for it."""
    for watched in (True, False):
        counting, process = counted(SLOW, replace(SLOW, name="never", at_most=0.1), watched=watched)
        n, x = hourly(np.full(6, 200.0), np.full(6, 7.0), counting)
        beside = Monitor(app="shop", environment="prod", metric="latency_s", direction="up", aspect="beyond 10")
        limits = [replace(beside, objective=o, at_most=m) for o, m in (("in time", 0.02), ("never", 0.1))]
        assert process.quiet == {beside}
        for m in (beside, *limits):
            i = process.index(m)
            assert (n[:, i].tolist(), x[:, i].tolist()) == ([200.0] * 6, [7.0] * 6)


@pytest.mark.parametrize(
    ("beyond", "aspect"),
    [
        (10, "beyond 10"), (2.0, "beyond 2"), (0.5, "beyond 0.5"), (-3.25, "beyond -3.25"), (1234567, "beyond 1234567"),
        (1234568, "beyond 1234568"), (None, ""),
    ],
)  # fmt: skip
def test_an_aspect_has_every_digit_of_its_bound(beyond: float | None, aspect: str) -> None:
    """Bounds that differ have charts that differ, and the cut of a chart is the bound that was written."""
    assert aspect_of(beyond) == aspect
    if beyond is not None:
        counting, _ = counted(SLOW)
        chart = Monitor(app="a", environment="e", metric="latency_s", direction="up", aspect=aspect)
        assert counting.cut_of(chart) == beyond


def test_bounds_of_several_objectives_are_asked_for_once() -> None:
    """Objectives with the same metric, direction and bound share one bound."""
    others = replace(SLOW, name="b", at_most=0.5), replace(SLOW, name="c", beyond=10.000000000000002)
    counting, _ = counted(SLOW, *others, replace(SLOW, name="d", metric="nothing"))
    assert counting.bounds == [("latency_s", "up", 10.0), ("latency_s", "up", 10.000000000000002)]
