"""Seeded simulations of the change points in history: false changes, found shifts, and what their intervals hold.

Each band is stated with the figure that was measured; `-s` prints the figures.
"""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from andon.stats.segments import find_changes
from figures import say

Floats = NDArray[np.float64]
N = 240


def memory(rng: np.random.Generator, phi: float) -> Floats:
    """An autoregression of variance 1."""
    x, steps = np.zeros(N + 100), rng.normal(size=N + 100) * np.sqrt(1 - phi**2)
    for t in range(1, len(x)):
        x[t] = phi * x[t - 1] + steps[t]
    return x[100:]


def spikes(rng: np.random.Generator) -> Floats:
    """Noise with a spike of 15 standard deviations in two of a hundred values."""
    return rng.normal(size=N) + 15 * (rng.random(N) < 0.02)


HOURS = np.arange(N)
NOISES: dict[str, Callable[[np.random.Generator], Floats]] = {
    "normal": lambda rng: rng.normal(size=N),
    "AR(1), 0.4": lambda rng: memory(rng, 0.4),
    "AR(1), 0.7": lambda rng: memory(rng, 0.7),
    "Student t, 3 df": lambda rng: rng.standard_t(3, N) / np.sqrt(3),
    "1 in 10 three times as wide": lambda rng: rng.normal(size=N) * np.where(rng.random(N) < 0.1, 3, 1) / np.sqrt(1.8),
    "spikes": spikes,
    "daily wave": lambda rng: rng.normal(size=N) + 2 * np.sin(2 * np.pi * HOURS / 24),
    "trend": lambda rng: rng.normal(size=N) + HOURS / 50,
    "rate of 5 % in 200": lambda rng: (rng.binomial(200, 0.05, N) / 200 - 0.05) / np.sqrt(0.05 * 0.95 / 200),
    "missing": lambda rng: np.where(rng.random(N) < 0.15, np.nan, rng.normal(size=N)),
    "random walk": lambda rng: np.cumsum(rng.normal(size=N)),
}
"""Series without a change; all but the random walk have a standard deviation of 1 about their course."""

SHIFT = 2.5
"""Standard deviations by which a series is moved."""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NOISES))
def test_stable_series_show_no_change(name: str) -> None:
    """Of 200 series without a change at most one in ten shows one, whatever their noise: waves, trends, memory, outliers."""
    rng = np.random.default_rng(21)
    false = sum(bool(find_changes(NOISES[name](rng))) for _ in range(200)) / 200
    say(f"no change, {name}: {false:.1%} of series show one")
    assert false <= 0.10


COUNTS: dict[str, Callable[[np.random.Generator], Floats]] = {
    "1 % yes": lambda rng: rng.binomial(1, 0.01, 600) * 1.0,
    "10 % yes": lambda rng: rng.binomial(1, 0.1, 600) * 1.0,
    "Poisson, 0.3": lambda rng: rng.poisson(0.3, 600) * 1.0,
    "Poisson, 3": lambda rng: rng.poisson(3.0, 600) * 1.0,
    "clustered, 0.3": lambda rng: rng.negative_binomial(0.3, 0.5, 600) * 1.0,
    "rounded": lambda rng: np.round(0.4 * rng.normal(size=600)),
    "seven in ten are 0": lambda rng: np.where(rng.random(600) < 0.7, 0.0, rng.normal(size=600)),
}
"""Stable series in which values repeat."""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(COUNTS))
def test_stable_counts_show_no_change(name: str) -> None:
    """Of 30 stable series of values that repeat at most one in ten shows a change: a run of zeros is not a state of its own."""
    rng = np.random.default_rng(29)
    false = float(np.mean([bool(find_changes(COUNTS[name](rng))) for _ in range(30)]))
    say(f"no change, {name}: {false:.1%} of series show one")
    assert false <= 0.10


def test_shifts_of_counts_are_found() -> None:
    """Counts that rise fivefold from 0.3 are one change, and so is a yes that became a no, with one in fifty against it."""
    rng = np.random.default_rng(30)
    time = np.arange(600)
    for _ in range(10):
        (change,) = find_changes(rng.poisson(np.where(time < 300, 0.3, 1.5)) * 1.0)
        assert change.low <= 300 <= change.high
        (change,) = find_changes(((time >= 300) ^ (rng.random(600) < 0.02)) * 1.0)
        assert abs(change.at - 300) <= 3


@pytest.mark.slow
def test_intervals_cover_the_place_of_a_shift() -> None:
    """Over a mixture of noises with one shift, the 95 % intervals of the changes nearest to it hold its place in 93 to 97.5 %."""
    held: list[bool] = []
    for name, noise in NOISES.items():
        if name == "random walk":
            continue  # a shift of 2.5 steps cannot be told from its own steps
        rng = np.random.default_rng(22)
        here, found, extra, width, error = [], 0, 0, [], []
        for _ in range(200):
            shift = int(rng.integers(N // 5, 4 * N // 5))
            changes = find_changes(noise(rng) + SHIFT * (shift <= HOURS))
            near = [c for c in changes if abs(c.at - shift) <= N // 8]
            extra += len(changes) - len(near[:1])
            if near:
                best = min(near, key=lambda c: abs(c.at - shift))
                here.append(best.low <= shift <= best.high)
                error.append(abs(best.at - shift))
                width.append(best.high - best.low + 1)
                found += 1
        held += here
        say(
            f"one shift, {name}: found {found / 200:.0%}, more {extra / 200:.1%}, coverage {np.mean(here):.1%},"
            f" median error {np.median(error):.0f}, width {np.median(width):.0f}"
        )
        assert np.mean(here) >= 0.88
        assert extra / 200 <= 0.12
    say(f"all: coverage {np.mean(held):.1%} of {len(held)}")
    assert 0.93 <= np.mean(held) <= 0.975


def test_three_shifts_are_three_changes() -> None:
    """Three clear shifts come out as three changes in order, each with its place in its interval, levels and strong evidence."""
    rng = np.random.default_rng(23)
    y = rng.normal(size=400) + np.repeat([0.0, 6.0, 1.0, -5.0], 100)
    changes = find_changes(y)
    assert [c.low <= at <= c.high for c, at in zip(changes, (100, 200, 300), strict=True)] == [True] * 3
    assert all(c.low <= c.at <= c.high and c.log10_odds > 3 for c in changes)
    assert [round(changes[0].before), *(round(c.after) for c in changes)] == [0, 6, 1, -5]


def test_a_year_of_hours_is_searched_and_placed_exactly() -> None:
    """In 8,760 values, where cuts are searched for on a grid, a shift still comes out at its hour, in a season of days and weeks."""
    rng = np.random.default_rng(24)
    hours = np.arange(8_760)
    y = rng.normal(size=8_760) + 2 * np.sin(2 * np.pi * hours / 24) + (hours // 24 % 7 > 4) + 4 * (hours >= 5_003)
    (change,) = find_changes(y)
    assert change.low <= 5_003 <= change.high
    assert change.high - change.low <= 6


def test_gaps_keep_their_place() -> None:
    """Missing values move no index: the change is at the first value after the shift, and it may have come in the gap before."""
    rng = np.random.default_rng(25)
    y = rng.normal(size=120) + 8.0 * (np.arange(120) >= 60)
    y[20:30] = y[58:63] = np.nan
    (change,) = find_changes(y)
    assert (change.at, change.low, change.high) == (63, 58, 63)


@given(scale=st.floats(1e-6, 1e6), offset=st.floats(-1e3, 1e3), sign=st.sampled_from([-1, 1]))
def test_the_unit_does_not_matter(scale: float, offset: float, sign: int) -> None:
    """The same series in another unit, moved or upside down has the same changes."""
    rng = np.random.default_rng(26)
    y = rng.normal(size=90) + 5.0 * (np.arange(90) >= 40)
    same = find_changes((y + offset) * scale * sign)
    assert [(c.at, c.low, c.high) for c in same] == [(c.at, c.low, c.high) for c in find_changes(y)]


def test_a_wider_level_is_a_wider_interval() -> None:
    """The interval of 99 % holds that of 95 %, which holds that of 50 %."""
    rng = np.random.default_rng(27)
    y = rng.normal(size=200) + 2.0 * (np.arange(200) >= 90)
    narrow, usual, wide = (find_changes(y, level=level)[0] for level in (0.5, 0.95, 0.99))
    assert wide.low <= usual.low <= narrow.low <= narrow.at <= narrow.high <= usual.high <= wide.high
    assert wide.high - wide.low > narrow.high - narrow.low


def test_six_values_at_an_end_are_enough() -> None:
    """A clear shift six values before the end, or after the start, is a change; five are not yet a stretch."""
    rng = np.random.default_rng(28)
    y = rng.normal(size=150)
    for shift in (6, 144):
        (change,) = find_changes(y + 40 * (np.arange(150) >= shift))
        assert change.at == shift
    assert all(6 <= c.at <= 144 for c in find_changes(y + 40 * (np.arange(150) >= 145)))


def test_courses_without_noise() -> None:
    """What follows its course to the last digit has no change: a line, a season, a constant; a bare step is one change."""
    time = np.arange(300.0)
    assert find_changes(3 - 0.1 * time) == []
    assert find_changes(np.sin(2 * np.pi * time / 24)) == []
    assert find_changes(np.full(50, 7.0)) == []
    (change,) = find_changes((time >= 77) * 1.0)
    assert (change.at, change.low, change.high, change.before, change.after) == (77, 77, 77, 0, 1)


def test_what_cannot_be_judged_is_refused() -> None:
    """A series that is too short, infinite or of another shape is refused with its value."""
    with pytest.raises(ValueError, match="11 values cannot show a change; at least 12"):
        find_changes([1.0] * 5 + [2.0] * 6 + [np.nan] * 9)
    with pytest.raises(ValueError, match="value 3 is infinite"):
        find_changes([0.0, 1.0, 2.0, np.inf] + [1.0] * 20)
    with pytest.raises(ValueError, match=r"shape \(4, 5\)"):
        find_changes(np.zeros((4, 5)))
