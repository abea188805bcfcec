"""Laws of the plain words: durations that people can read, and numbers with their nouns."""

import pytest
from test_triage import signal

from andon.incidents import duration
from andon.incidents.words import signals_text

DAY = 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (59 * DAY + 3600, "59 d 1 h"),
        (60 * DAY, "60 d"),
        (90.4 * DAY, "90 d"),
        (729 * DAY, "729 d"),
        (731 * DAY, "2 years"),
        (3982.5 * DAY, "10.9 years"),
        (10_230 * DAY, "28 years"),
        (1e6 * DAY, "2,737.9 years"),
    ],
)
def test_long_durations_are_told_in_days_and_years(seconds: float, text: str) -> None:
    """Nobody reads 10230 d: from 60 days the hours go, from two years it is years."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "within_s", "text"),
    [(6, 0, "6 s"), (6, 59, "6 s"), (6, 60, "0 min"), (38, 7200, "1 min"), (119, 7200, "2 min"), (7200, 7200, "2 h")],
)
def test_no_seconds_under_an_uncertain_beginning(seconds: float, within_s: float, text: str) -> None:
    """Where the beginning is known within a minute or worse, a duration is told to the minute."""
    assert duration(seconds, within_s=within_s) == text


@pytest.mark.parametrize(
    ("n", "more"),
    [
        (1, ""),
        (2, "; 1 more chart left its limits in the same window"),
        (3, "; 2 more charts left their limits in the same"),
    ],
)
def test_one_chart_and_several(n: int, more: str) -> None:
    """The number of further charts agrees with its noun and its verb."""
    text = signals_text(signal(), n)
    assert more in text
    assert ("more chart" in text) == (n > 1)
