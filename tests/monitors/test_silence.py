"""Traffic itself: silence signals, nights and weekends do not, and holidays are read off it."""

from dataclasses import replace

import numpy as np
import pytest
from charted import DAY, HOUR_US, MONDAY_US, TRAFFIC, WEEK, WHOLE, Floats, charts, hour_of, pages, say, turn

WEEKS = 5
NEVER_LEARNED = (
    "the first weekend signals, what signals is left out, so no weekend is ever learned: Phase I ends within hours"
)


def arrivals(
    rng: np.random.Generator,
    hours: int,
    per_hour: float = 400.0,
    holidays: tuple[int, ...] = (),
    width_us: int = HOUR_US,
    start: int = 0,
) -> Floats:
    """Interactions by window: a daily wave of 60 %, weekends and holidays with 60 % of them. Shape (windows, 1)."""
    windows = hours * HOUR_US // width_us
    hour = start + np.arange(windows) * width_us / HOUR_US
    day = hour // DAY
    quiet = (day % 7 >= 5) | np.isin(day, holidays)
    mean = per_hour * width_us / HOUR_US * (1 + 0.6 * np.sin(2 * np.pi * (hour - 9) / DAY)) * np.where(quiet, 0.6, 1.0)
    return rng.poisson(mean)[:, None].astype(float)


def share(x: Floats, width_us: int = HOUR_US) -> Floats:
    """The exposure of traffic: the share of an hour that a window is."""
    return np.full(x.shape, width_us / HOUR_US)


@pytest.mark.slow
@pytest.mark.parametrize(("left", "most"), [(0.0, 3), (0.2, 6), (0.5, 24)])
@pytest.mark.parametrize("hour", [11, 2])
def test_silence_signals_within_hours(left: float, most: int, hour: int) -> None:
    """When all, four fifths or half of the traffic stays away on a working day, it is told within hours, as lost availability."""
    at = 4 * WEEK + 2 * DAY + hour
    delays = []
    for seed in range(4):
        x = arrivals(np.random.default_rng([1, seed]), WEEKS * WEEK)
        x[at:] = np.floor(x[at:] * left)
        signals = [s for s in pages(turn(charts(), [TRAFFIC], share(x), x)) if hour_of(s) >= at]
        assert signals
        assert signals[0].harm == "availability"
        assert signals[0].x <= signals[0].n
        delays.append(hour_of(signals[0]) - at + 1)
    say(f"{left:.0%} of the traffic left at {hour}:00: told after {np.median(delays):.0f} hours, {max(delays)} at most")
    assert np.median(delays) <= most + (6 if hour == 2 else 0)


@pytest.mark.parametrize("per_hour", [20.0, 400.0, 100_000.0])
def test_nights_and_weekends_are_no_silence(per_hour: float) -> None:
    """From the second week on, neither a night nor a weekend is told as missing traffic, however much there is of it."""
    for seed in range(3):
        x = arrivals(np.random.default_rng([2, seed]), WEEKS * WEEK, per_hour)
        assert [hour_of(s) // DAY for s in pages(turn(charts(), [TRAFFIC], share(x), x)) if hour_of(s) > WEEK] == []


@pytest.mark.parametrize("start", [0, 12, 3 * DAY + 12, 4 * DAY + 9])
def test_the_first_night_and_the_first_weekend_are_no_silence(start: int) -> None:
    """A process that was started at noon, or before a weekend, does not page in its first night or on its first Saturday."""
    first = MONDAY_US // HOUR_US + start
    found = []
    for seed in range(3):
        x = arrivals(np.random.default_rng([3, seed]), 2 * WEEK, start=start)
        found += [hour_of(s) for s in pages(turn(charts(), [TRAFFIC], share(x), x, first=first))]
    say(f"started at hour {start} of a week: pages of missing traffic in hours {found}")
    assert found == []


def test_windows_of_five_minutes_tell_silence_sooner_or_as_soon() -> None:
    """In windows of five minutes an outage is told within the hour in which hourly windows tell it."""
    width, at = 300_000_000, 2 * WEEK + 2 * DAY + 11
    x = arrivals(np.random.default_rng(4), at + 12, width_us=width)
    x[at * 12 :] = 0
    hourly = x.reshape(-1, 12, 1).sum(axis=1)
    fine, coarse = (
        [s for s in pages(turn(process, [TRAFFIC], share(c, process.window_us), c)) if hour_of(s) >= at]
        for process, c in ((charts(width_us=width), x), (charts(), hourly))
    )
    assert MONDAY_US + at * HOUR_US < fine[0].at_us <= coarse[0].at_us
    say(f"an outage of everything: told after {(fine[0].at_us - MONDAY_US - at * HOUR_US) / 6e7:.0f} minutes")


def test_growth_of_traffic_is_no_signal_and_becomes_normal() -> None:
    """Traffic that triples signals nothing, and a fall back to its third, weeks later, is told: the baseline moves along."""
    x = arrivals(np.random.default_rng(5), 12 * WEEK)
    x[4 * WEEK : 9 * WEEK] *= 3
    working = [hour_of(s) for s in pages(turn(charts(), [TRAFFIC], share(x), x)) if hour_of(s) // DAY % 7 < 5]
    assert working
    assert {hour // WEEK for hour in working} <= {9, 10, 11}


@pytest.mark.parametrize(("quiet", "left"), [(0.02, 0.1), (0.1, 0.3), (0.2, 0.5)])
def test_a_weekday_unlike_either_kind_of_day_is_told(quiet: float, left: float) -> None:
    """What falls far below a working day and stays far above a Sunday is an outage, however quiet Sundays are."""
    rng = np.random.default_rng(11)
    hour = np.arange(WEEKS * WEEK)
    at = 4 * WEEK + 1 * DAY + 10
    x = rng.poisson(1000 * np.where(hour // DAY % 7 >= 5, quiet, np.where(hour >= at, left, 1.0)))[:, None].astype(
        float
    )
    found = [hour_of(s) for s in pages(turn(charts(), [TRAFFIC], share(x), x))]
    assert found
    assert at <= found[0] <= at + 6


def test_an_outage_that_looks_like_a_sunday_is_warned_of() -> None:
    """A working day with a Sunday's traffic pages nobody, and is never passed over: one warning a day says what is missing."""
    day = 4 * 7 + 1
    x = arrivals(np.random.default_rng(12), WEEKS * WEEK, 2000.0, holidays=(day, day + 1))
    signals = [s for s in turn(charts(), [TRAFFIC], share(x), x) if hour_of(s) >= 4 * WEEK]
    assert [(s.level, hour_of(s) // DAY) for s in signals] == [("warning", day), ("warning", day + 1)]
    assert hour_of(signals[0]) % DAY <= 12
    assert all(0.2 < s.x / s.n < 0.6 for s in signals)


# --- holidays


def of_harm(seed: int, quiet: bool, rate: float) -> list[int]:
    """Days on which harm pages, when one in ten is harmed, a fifth more at weekends, and more on a Wednesday of week five."""
    rng = np.random.default_rng([6, seed])
    day = 4 * 7 + 2
    came = arrivals(rng, WEEKS * WEEK, 2000.0, holidays=(day,) if quiet else ())
    days = np.arange(len(came)) // DAY
    harm = np.where(days == day, rate, np.where(days % 7 >= 5, 0.12, 0.1))[:, None]
    x = rng.binomial(came.astype(int), harm).astype(float)
    n = np.concatenate([share(came), came], axis=1)
    signals = pages(turn(charts(), [TRAFFIC, WHOLE], n, np.concatenate([came, x], axis=1)))
    return [hour_of(s) // DAY for s in signals if s.metric == "harm" and hour_of(s) > 2 * WEEK]


def test_a_holiday_is_compared_with_both_kinds_of_day() -> None:
    """A weekday with a Sunday's traffic and a Sunday's harm is no signal; the same harm amid a weekday's traffic is one."""
    assert all(of_harm(seed, True, 0.12) == [] for seed in range(3))
    assert all(of_harm(seed, False, 0.12)[:1] == [4 * 7 + 2] for seed in range(3))


def test_harm_on_a_holiday_is_told() -> None:
    """On a holiday, harm beyond that of both kinds of day is told, once."""
    assert all(of_harm(seed, True, 0.2) == [4 * 7 + 2] for seed in range(3))


@pytest.mark.parametrize("weekend", [1.2, 1.5])
def test_a_weekend_that_is_worse_is_learned(weekend: float) -> None:
    """Harm that is more frequent at weekends, of all weeks, pages in the first two of them at most."""
    rng = np.random.default_rng(8)
    days = np.arange(6 * WEEK)[:, None] // DAY
    n = rng.poisson(2000, (len(days), 10))
    x = rng.binomial(n, np.where(days % 7 >= 5, 0.1 * weekend, 0.1))
    names = [replace(WHOLE, app=f"{i}") for i in range(10)]
    weeks = [hour_of(s) // WEEK for s in pages(turn(charts(), names, n.astype(float), x.astype(float)))]
    say(f"harm x {weekend} at weekends: pages of 10 charts in the weeks {[weeks.count(w) for w in range(6)]}")
    assert all(w < 2 for w in weeks)


# --- what is not measured any more


@pytest.mark.parametrize("share", [1.0, 0.03])
def test_a_metric_that_is_not_measured_any_more_is_warned_of(share: float) -> None:
    """Where all answers, or some of them, carried a metric and none does now, it is a warning within a day, never a page."""
    rng = np.random.default_rng([13, int(100 * share)])
    n = arrivals(rng, WEEKS * WEEK, 500.0)
    at = 4 * WEEK + 10
    x = rng.binomial(n.astype(int), share).astype(float)
    x[at:] = 0
    measured = replace(TRAFFIC, aspect="groundedness")
    signals = turn(charts(), [measured], n, x)
    assert signals
    assert {s.level for s in signals} == {"warning"}
    assert at <= hour_of(signals[0]) <= at + DAY
