"""Laws of what a budget of false pages costs."""

from itertools import pairwise

import numpy as np
import pytest
from charted import HOUR_US, MONDAY_US, Traffic, charts, monitor, pages, turn
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError
from andon.monitors.budget import BUDGETS, budget_table, delays_h, hours_between

DAYS, SERIES = 29, 40
WIDTH_US = HOUR_US // 2


def measured(n: float, rate: float, spread: float, factor: float, threshold: float) -> tuple[float, float]:
    """Median hours to the page on real charts that learned for four weeks, and what is said to be typical."""
    shift = DAYS * 24
    traffic = Traffic(
        series=SERIES,
        hours=shift + 200,
        n=n,
        rate=rate,
        spread=spread,
        shift=shift,
        factor=factor,
        width_us=WIDTH_US,
        seed=2,
    )
    process = charts(SERIES * 720 / threshold, WIDTH_US)
    seen, harm = traffic.draw()
    cut = shift * HOUR_US // WIDTH_US
    monitors = [monitor(f"{i:02d}") for i in range(SERIES)]
    turn(process, monitors, seen[:cut], harm[:cut])
    held = process.held()
    told: dict[str, float] = {}
    for signal in pages(turn(process, monitors, seen[cut:], harm[cut:], first=MONDAY_US // WIDTH_US + cut)):
        told.setdefault(signal.monitor, (signal.at_us - MONDAY_US) / HOUR_US - shift)
    assert len(told) == SERIES
    assert held.threshold == pytest.approx(threshold)
    (said,) = delays_h(
        rate, n, [threshold], factor,
        dispersion=float(held.dispersion.mean()), persistence=float(held.persistence.mean()),
    )  # fmt: skip
    assert said is not None
    return float(np.median(list(told.values()))), said


@pytest.mark.parametrize(
    ("n", "rate", "spread", "factor", "threshold"),
    [
        (240, 0.05, 0.0, 2, 180_000), (240, 0.05, 0.1, 2, 10_000), (20, 0.05, 0.0, 2, 10_000), (2000, 0.01, 0.05, 2, 100_000),
        (240, 0.05, 0.0, 10, 10_000), (5, 0.02, 0.0, 10, 10_000),
    ],
)  # fmt: skip
def test_the_delay_is_that_of_real_charts(
    n: float, rate: float, spread: float, factor: float, threshold: float
) -> None:
    """What is said to be the typical delay is the median of real charts, within a quarter and the width of a window."""
    median, said = measured(n, rate, spread, factor, threshold)
    assert abs(said - median) <= 0.25 * median + WIDTH_US / HOUR_US


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=50), st.floats(0.01, 100))
def test_all_charts_together_keep_the_budget(weights: list[float], budget: float) -> None:
    """False pages a month of all charts, each at its distance, add up to the budget."""
    month = sum(720 / hours_between(budget, weights, w) for w in weights)
    assert month == pytest.approx(budget)


@given(
    rate=st.floats(1e-4, 0.5),
    per_hour=st.floats(0.5, 5000),
    dispersion=st.floats(0, 0.2),
    charts=st.integers(1, 10_000),
)
def test_a_greater_budget_is_never_slower(rate: float, per_hour: float, dispersion: float, charts: int) -> None:
    """More false pages never make a page later, and more harm is never told later than less."""
    rows = budget_table(rate, per_hour, [1.0] * charts, dispersion=dispersion)
    assert [r.false_pages_per_month for r in rows] == list(BUDGETS)
    for delays in ([r.double_h for r in rows], [r.tenfold_h for r in rows]):
        known = [np.inf if d is None else d for d in delays]
        assert known == sorted(known, reverse=True)
        assert min(known) >= 0
    for row in rows:
        assert row.tenfold_h is None or row.double_h is None or row.tenfold_h <= row.double_h + 1e-9
    assert [a.between_h / b.between_h for a, b in pairwise(rows)] == pytest.approx([4.0] * 3)


def test_the_hour_of_the_detector_may_be_shorter() -> None:
    """With windows of a minute the detector's hour is twelve minutes: distances in hours stay, thresholds are five times as high."""
    long, short = (budget_table(0.05, 240, [1.0] * 100, hour_us=h)[1] for h in (HOUR_US, HOUR_US // 5))
    assert short.between_h == long.between_h == 72_000
    assert short.threshold == pytest.approx(5 * long.threshold)
    assert short.double_h == pytest.approx(long.double_h, rel=0.4)


def test_what_is_out_of_range_is_refused() -> None:
    """A rate of 0, nothing observed, no rise, or a budget of 0 says nothing and is refused."""
    for rate, n, factor in ((0.0, 1, 2), (1.0, 1, 2), (0.1, 0, 2), (0.1, 1, 1)):
        with pytest.raises(InputError, match="rate ="):
            delays_h(rate, n, [100.0], factor)
    with pytest.raises(InputError, match="false_pages_per_month"):
        hours_between(0, [1.0])


def test_what_takes_longer_than_a_baseline_lasts_is_not_said() -> None:
    """A harm a year cannot be told to have doubled: None, not a number of hours."""
    assert delays_h(1e-4, 0.01, [1e4, 1e6], 2.0) == [None, None]
