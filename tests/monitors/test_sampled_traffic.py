"""Laws of traffic of which a share is kept: how much came is estimated by weights, and known no better than the kept rows tell."""

import numpy as np
import pytest
from charted import DAY, MONDAY_US, WEEK, Floats, charts, hour_of, pages, say
from test_counting import rates, row
from test_silence import arrivals

from andon.monitors.counting import Counting
from andon.monitors.records import TRAFFIC

HOUR_US = 3_600_000_000
FIRST = MONDAY_US // HOUR_US


def told(kept: Floats, weight: Floats) -> list[int]:
    """Hours, from the start, in which missing traffic pages; of so many kept rows with this weight in each hour."""
    process = charts(width_us=HOUR_US)
    made = [
        row(12 * h, 0, n, w) for h, (n, w) in enumerate(zip(kept[:, 0].tolist(), weight.tolist(), strict=True)) if n
    ]
    n, x = Counting(process, []).take(0, len(kept), rates(made), {}, {})
    return [hour_of(s) for s in pages(process.advance(FIRST, n, x)) if s.metric == TRAFFIC]


@pytest.mark.slow
@pytest.mark.parametrize(("per_hour", "weight"), [(5.0, 20.0), (1.0, 20.0), (20.0, 5.0)])
def test_few_kept_rows_are_no_silence(per_hour: float, weight: float) -> None:
    """Few kept rows, each of which stands for many, page as often as that many rows that stand for themselves: within the budget."""
    found = []
    for seed in range(4):
        kept = arrivals(np.random.default_rng([80, seed]), 8 * WEEK, per_hour)
        found.append([h for h in told(kept, np.full(len(kept), weight)) if h > WEEK])
        assert found[-1] == [h for h in told(kept, np.ones(len(kept))) if h > WEEK]
    pages_a_month = sum(map(len, found)) / (4 * 7 * 7 / 30)
    say(
        f"{per_hour:g} kept rows an hour of weight {weight:g}: {pages_a_month:.2f} false pages a month (1 permitted): {found}"
    )
    assert pages_a_month <= 1


@pytest.mark.slow
@pytest.mark.parametrize(("per_hour", "weight", "most"), [(5.0, 20.0, 3), (20.0, 5.0, 2), (1.0, 20.0, 24)])
def test_silence_among_few_kept_rows_is_told(per_hour: float, weight: float, most: int) -> None:
    """When nothing comes any more on a working day, it is told within hours, unless the page of a false alarm still stands."""
    at = 5 * WEEK + 2 * DAY + 11
    delays = []
    for seed in range(8):
        kept = arrivals(np.random.default_rng([81, seed]), at + 5 * DAY, per_hour)
        kept[at:] = 0
        delays += [h - at + 1 for h in told(kept, np.full(len(kept), weight)) if h >= at][:1]
    say(f"silence after {per_hour:g} kept rows an hour: told after {np.median(delays):g} hours, {max(delays)} at most")
    assert len(delays) >= 7
    assert np.median(delays) <= most


@pytest.mark.slow
@pytest.mark.parametrize(("real", "weight"), [(100.0, 20.0), (20.0, 5.0), (1000.0, 5.0), (1000.0, 1.25)])
@pytest.mark.parametrize("back", [False, True])
def test_another_sampling_rate_is_no_outage(real: float, weight: float, back: bool) -> None:
    """Keeping a smaller share of the same traffic, or a greater one, is no missing traffic."""
    at = 4 * WEEK + 2 * DAY + 11
    for seed in range(4):
        rng = np.random.default_rng([82, seed])
        whole, part = arrivals(rng, 6 * WEEK, real), arrivals(rng, 6 * WEEK, real / weight)
        sampled = (np.arange(6 * WEEK) >= at) != back
        hours = told(np.where(sampled[:, None], part, whole), np.where(sampled, weight, 1.0))
        assert [h for h in hours if h > WEEK] == []


def test_an_outage_after_another_sampling_rate_is_told() -> None:
    """Two days after a fifth of the traffic began to be kept, half of it missing is told on the same day."""
    at, out = 4 * WEEK + 2 * DAY + 11, 5 * WEEK + DAY + 11
    for seed in range(4):
        rng = np.random.default_rng([83, seed])
        kept = arrivals(rng, 6 * WEEK, 1000.0)
        kept[at:] = arrivals(rng, 6 * WEEK, 200.0)[at:]
        kept[out:] = np.floor(kept[out:] / 2)
        hours = told(kept, np.where(np.arange(6 * WEEK) < at, 1.0, 5.0))
        assert 0 <= next(h for h in hours if h > WEEK) - out < DAY
