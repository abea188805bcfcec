"""Laws of the limits by which a chart counts as recovered: how often that is right, and large sums in short time."""

from pathlib import Path

import numpy as np
import pytest
from test_recovery import END, refusals
from test_triage import HOUR

from andon.incidents import ExitCriterion
from andon.incidents.recovery import _limits as limits_of_sum
from andon.incidents.recovery import judge_chart
from andon.monitors.limits import control_points


@pytest.mark.parametrize("share", [0.02, 0.024])
def test_a_short_baseline_does_not_keep_it_open_for_ever(share: float) -> None:
    """Two days hold more interactions than the baseline: its own uncertainty belongs to the limits of the sum."""
    chart = refusals(baseline_x=10, baseline_n=500)
    hours = [(END - (h + 1) * HOUR, END - h * HOUR, 400, round(400 * share)) for h in range(48)]
    points = control_points(sorted(hours), chart.baseline_x, chart.baseline_n)
    criterion = ExitCriterion(id="C1", kind="metric", text="")
    told = judge_chart(criterion, chart, points, start_us=END - 48 * HOUR, end_us=END, came=1, usual=None)
    assert told.met is True


@pytest.mark.parametrize(("times", "least", "most"), [(1.0, 0.85, 1.0), (2.0, 0.0, 0.15), (3.0, 0.0, 0.0)])
def test_how_often_it_is_called_recovered(times: float, least: float, most: float) -> None:
    """Forty interactions an hour: two days at the old rate nearly always count, at twice of it hardly ever."""
    assert least <= recovered(np.random.default_rng(5), 40, 20_000, times, 40) <= most


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-an-incident.md"
TIMES = (1.0, 1.25, 1.5, 2.0, 3.0)


@pytest.mark.slow
def test_the_page_publishes_what_is_simulated() -> None:
    """Each cell of the table of `run-an-incident.md` is what 400 seeded simulations give; the message holds the table to publish."""
    rng = np.random.default_rng(20)
    rows = [
        f"| {n} | {baseline_n:,} | "
        + " | ".join(f"{100 * recovered(rng, n, baseline_n, t, 400):.0f} %" for t in TIMES)
        + " |"
        for baseline_n in (20_000, 1_000)
        for n in (4, 40, 400)
    ]
    _, _, table = PAGE.read_text("utf-8").partition("| interactions an hour | baseline |")
    published = table.partition("\n\n")[0].splitlines()[2:]
    assert published == rows, "\n".join(rows)


def recovered(rng: np.random.Generator, n: int, baseline_n: int, times: float, runs: int) -> float:
    """Share of runs called recovered after 48 hours of n interactions, by a baseline drawn at 2 % and so many times that rate since."""
    met = 0
    for _ in range(runs):
        chart = refusals(baseline_x=int(rng.binomial(baseline_n, 0.02)), baseline_n=baseline_n, x=15, n=100)
        criterion = ExitCriterion(id="C1", kind="metric", text="")
        harmed = rng.binomial(n, 0.02 * times, 48)
        hours = [(END - (48 - h) * HOUR, END - (47 - h) * HOUR, n, int(x)) for h, x in enumerate(harmed)]
        points = control_points(hours, chart.baseline_x, chart.baseline_n)
        told = judge_chart(criterion, chart, points, start_us=END - 48 * HOUR, end_us=END, came=1, usual=None)
        met += told.met is True
    return met / runs


@pytest.mark.parametrize(("dispersion", "baseline_n"), [(0.0, 10**6), (0.0, 2000), (0.002, 10**6), (0.02, 500)])
def test_limits_of_large_sums_are_those_of_the_exact_ones(dispersion: float, baseline_n: int) -> None:
    """The sum that stands in for 48,000 interactions has the exact limits, to a twentieth of their width."""
    chart = refusals(baseline_x=baseline_n // 50, baseline_n=baseline_n, dispersion=dispersion)
    points = control_points([(h * HOUR, (h + 1) * HOUR, 1000, 20) for h in range(48)], 20, 1000)
    spread = dispersion * (1000 - 1) / (48_000 - 1) + 1 / (baseline_n + 1)
    (exact,) = control_points([(0, 48 * HOUR, 48_000, 0)], chart.baseline_x, baseline_n, spread)
    low, high = limits_of_sum(chart, points)
    width = exact.high - exact.low
    assert abs(low - exact.low) <= width / 20
    assert abs(high - exact.high) <= width / 20
