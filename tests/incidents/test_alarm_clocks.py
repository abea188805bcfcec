"""Laws of how far something is from the alarm: when the incident stood in the ledger, and when its window had ended."""

import pytest

from andon.incidents import Incident
from andon.incidents.words import from_alarm

SECOND = 1_000_000
T0 = 1_790_000_000 * SECOND


def incident(opened_s: float | None = 6.2, lead: str = "s") -> Incident:
    """One whose window ended at T0, opened so many seconds later."""
    return Incident(
        id="INC-0001", title="t", app="a", environment="production", metric="error", lead=lead, onset_us=T0 - SECOND,
        onset_low_us=T0 - SECOND, onset_high_us=T0, alarmed_us=T0, last_signal_us=T0,
        opened_us=None if opened_s is None else T0 + round(opened_s * SECOND),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("at_s", "said"),
    [
        (8.6, "2.4 s after the alarm, 8.6 s after the end of its window"),
        (5.0, "1.2 s before the alarm, 5.0 s after the end of its window"),
        (-3.0, "9.2 s before the alarm"),
        (119.0, "113 s after the alarm, 119 s after the end of its window"),
        (1206.2, "20 min after the alarm"),
    ],
)
def test_both_clocks_are_named_while_seconds_count(at_s: float, said: str) -> None:
    """The alarm is when people could be told; the end of the window is named beside it for two minutes."""
    assert from_alarm(incident(), T0 + round(at_s * SECOND)) == said


def test_without_a_clock_the_window_is_the_alarm() -> None:
    """In a replay, and of a report, there is one clock and one time."""
    assert from_alarm(incident(None), T0 + 3 * SECOND) == "3.0 s after the alarm"
    assert from_alarm(incident(None, lead=""), T0 + 3 * SECOND) == "3.0 s after the report"
