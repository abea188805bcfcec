"""Laws of the limits by which a chart counts as recovered: how often that is right, and large sums in short time."""

import numpy as np
import pytest
from test_recovery import END, opened, refusals
from test_triage import HOUR

from andon.incidents import Incident
from andon.incidents.recovery import _limits as limits_of_sum
from andon.incidents.recovery import judge_chart, suggest_criteria
from andon.monitors import Signal
from andon.monitors.limits import control_points
from andon.store import Ledger


@pytest.mark.parametrize("share", [0.02, 0.024])
def test_a_short_baseline_does_not_keep_it_open_for_ever(share: float) -> None:
    """Two days hold more interactions than the baseline: its own uncertainty belongs to the limits of the sum."""
    chart = refusals(baseline_x=10, baseline_n=500)
    hours = [(END - (h + 1) * HOUR, END - h * HOUR, 400, round(400 * share)) for h in range(48)]
    points = control_points(sorted(hours), chart.baseline_x, chart.baseline_n)
    (criterion,) = suggest_criteria(_incident_of(chart), [chart], (), probes=False)
    told = judge_chart(criterion, chart, points, start_us=END - 48 * HOUR, end_us=END, came=1, usual=None)
    assert told.met is True


@pytest.mark.parametrize(("times", "least", "most"), [(1.0, 0.85, 1.0), (2.0, 0.0, 0.15), (3.0, 0.0, 0.0)])
def test_how_often_it_is_called_recovered(times: float, least: float, most: float) -> None:
    """Forty interactions an hour: two days at the old rate nearly always count, at twice of it hardly ever."""
    rng = np.random.default_rng(5)
    chart = refusals(baseline_x=400, baseline_n=20_000, x=15, n=100)
    (criterion,) = suggest_criteria(_incident_of(chart), [chart], (), probes=False)
    met = 0
    for _ in range(40):
        harmed = rng.binomial(40, 0.02 * times, 48)
        hours = [(END - (48 - h) * HOUR, END - (47 - h) * HOUR, 40, int(x)) for h, x in enumerate(harmed)]
        points = control_points(hours, chart.baseline_x, chart.baseline_n)
        told = judge_chart(criterion, chart, points, start_us=END - 48 * HOUR, end_us=END, came=1, usual=None)
        met += told.met is True
    assert least <= met / 40 <= most


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


def _incident_of(lead: Signal) -> Incident:
    book = Ledger("sqlite://")
    try:
        return opened(book, lead)
    finally:
        book.close()
