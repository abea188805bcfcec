"""What touches the store: read counts and turn the charts, write signals, and publish what the charts hold."""

from andon.monitors.run.accepting import accept
from andon.monitors.run.asked import traffic_window
from andon.monitors.run.charting import chart_of, harm_of, missing_of, scope_of
from andon.monitors.run.counts import history_of
from andon.monitors.run.labels import rate_from_labels
from andon.monitors.run.publishing import open_board
from andon.monitors.run.watching import Watch

__all__ = [
    "Watch",
    "accept",
    "chart_of",
    "harm_of",
    "history_of",
    "missing_of",
    "open_board",
    "rate_from_labels",
    "scope_of",
    "traffic_window",
]
