"""Laws of when within its window harm began."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from andon.investigations.onset import AFTERWARDS, PARTS, within_windows

MINUTE = 60_000_000
WINDOW = PARTS * MINUTE


def counts(*per_minute: tuple[float, float]) -> dict[int, tuple[float, float]]:
    """(harm, traffic) of each minute from 0 on."""
    return {k * MINUTE: both for k, both in enumerate(per_minute)}


QUIET, BROKEN = (0.0, 5.0), (3.0, 5.0)
AFTER = [BROKEN] * (PARTS * AFTERWARDS)

minutes = st.lists(st.integers(0, 20).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), max_size=90)


@given(minutes, st.lists(st.floats(0, 1), min_size=1, max_size=4), st.floats(0, 1))
def test_the_windows_keep_their_probability(seen, chances, baseline) -> None:
    """Whatever came, the parts of a window sum to what the window had, and lie within it, side by side."""
    windows = [(k * WINDOW, p) for k, p in enumerate(chances)]
    found = within_windows(windows, WINDOW, counts(*seen), baseline)
    for start, p in windows:
        mine = [one for one in found if start <= one[0] < start + WINDOW]
        assert math.isclose(math.fsum(q for *_, q in mine), p, abs_tol=1e-9)
        assert (mine[0][0], mine[-1][1]) == (start, start + WINDOW)
        assert all(one[1] == other[0] for one, other in pairwise(mine))


def test_harm_that_begins_in_a_window_dates_it() -> None:
    """Of a window of which the first nine minutes are quiet and the rest fails, the tenth minute is the likeliest."""
    found = within_windows([(0, 1.0)], WINDOW, counts(*[QUIET] * 9, *[BROKEN] * 6, *AFTER), 0.02)
    assert max(found, key=lambda one: one[2])[:2] == (9 * MINUTE, 10 * MINUTE)


def test_no_minute_is_more_than_a_hundred_times_as_likely_as_another() -> None:
    """Failures of one minute are rarely independent, so ten thousand of them are not proof to the minute."""
    found = within_windows([(0, 1.0)], WINDOW, counts(*[(0, 5_000)] * 9, *[(3_000, 5_000)] * 66), 0.02)
    assert max(p for *_, p in found) / min(p for *_, p in found) <= 100.001


def test_a_window_of_which_nothing_is_known_stays_whole() -> None:
    """No traffic in it, none after it, or no harm above the baseline: the window is as it was."""
    whole = [(0, WINDOW, 1.0)]
    assert within_windows([(0, 1.0)], WINDOW, {}, 0.02) == whole
    assert within_windows([(0, 1.0)], WINDOW, counts(*[(0, 0)] * PARTS, *AFTER), 0.02) == whole
    assert within_windows([(0, 1.0)], WINDOW, counts(*[QUIET] * 75), 0.02) == whole
