"""Question 4: why was it not seen sooner?"""

from collections.abc import Sequence

from andon.incidents import Incident, duration, pages
from andon.investigations.records import Gap
from andon.monitors import Signal, cluster_us

__all__ = ["first_alarms", "gap_of"]


def first_alarms(signals: Sequence[Signal]) -> tuple[tuple[str, int], ...]:
    """Which metric spoke first: (metric and direction, time of its first signal), by time."""
    first: dict[str, int] = {}
    for s in signals:
        first.setdefault(f"{s.metric} {s.direction}" + ("" if pages(s) else " (warning)"), s.at_us)
    return tuple(sorted(first.items(), key=lambda p: (p[1], p[0])))


def gap_of(incident: Incident, lead: Signal) -> Gap:
    """The detection gap in one sentence."""
    best, low, high = incident.lag_s
    text = (
        f"{duration(best)} from the estimated onset to the first alarm (between {duration(low)} and {duration(high)}, 95 %); "
        f"the evidence was {lead.x} harmed of {lead.n} interactions, and the chart raises a false alarm once in "
        f"{duration(lead.threshold * cluster_us(lead.window_us) / 1e6)}"
    )
    return Gap(kind="evaluation lag", text=text)
