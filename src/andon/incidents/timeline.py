"""Pure decisions about timelines: what is shown, at which T, and when an hour's thumbs-down are more than usual."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy

from andon.changes import Change
from andon.incidents.records import Delivery, Incident, TimelineEvent, TimelineMark
from andon.incidents.words import change_text, duration

__all__ = [
    "BEFORE_HOURS",
    "CHANGES_BACK_US",
    "LEAST_HOURS",
    "Spike",
    "brief",
    "change_entry",
    "shown",
    "spike_text",
    "spikes",
    "t_of",
    "told_text",
]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

CHANGES_BACK_US = 7 * 24 * HOUR_US
"""Changes of the week before the onset stand in the timeline."""

BEFORE_HOURS = 7 * 24
"""Hours before the onset that say how many thumbs-down are usual: a week, so that each hour of it is there."""

LEAST_HOURS = 24
"""With fewer hours than these before the onset nothing is called usual."""

TOLD_LATE_US = 5 * 60_000_000
"""The alarm has the clock of the traffic; people who are told within this of it are told at once."""

CHANCE = 0.001
"""An hour is a spike where chance alone would give as many less often than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spike:
    """Hours in a row with more thumbs-down than chance and the week before explain."""

    start_us: int
    hours: int
    n: int
    """Thumbs-down of the first hour."""
    usual: float
    """Mean of an hour before the onset."""
    bound: int
    """The most that were still taken for chance."""


def spikes(
    counts: Mapping[int, int], *, first: int, last: int, before: int, hours: int, most: int
) -> tuple[Spike, ...]:
    """The spikes among the hours from `first` up to `last`, hours in a row being one.

    An hour with k thumbs-down is part of a spike where k is more than in any hour before the onset (so that the hours of a day
    are none), and beyond the exact bound of chance: with D in H hours before, ``P(X >= k) <= 0.001`` for X of
    ``Binomial(D + k, 1 / (H + 1))``, two Poisson counts of the same rate compared given their sum.

    Args:
        counts: thumbs-down by number of the hour since 1970.
        first: number of the first hour that is judged.
        last: number of the hour after the last one.
        before: thumbs-down in the hours before the onset.
        hours: how many hours those are.
        most: the most thumbs-down in one of them.

    Returns:
        None at all where there are fewer than `LEAST_HOURS` hours before.

    Source: Przyborowski & Wilenski, Biometrika 31 (1940), 313-323.
    """
    if hours < LEAST_HOURS:
        return ()
    bound = max(most, _bound(before, hours))
    found: list[Spike] = []
    for hour in range(first, last):
        n = counts.get(hour, 0)
        if n <= bound:
            continue
        if found and found[-1].start_us // HOUR_US + found[-1].hours == hour:
            start = found.pop()
            found.append(
                Spike(start_us=start.start_us, hours=start.hours + 1, n=start.n, usual=start.usual, bound=bound)
            )
        else:
            found.append(Spike(start_us=hour * HOUR_US, hours=1, n=n, usual=before / hours, bound=bound))
    return tuple(found)


def _bound(before: int, hours: int) -> int:
    """The greatest count of an hour that chance still explains."""
    k, step = 0, max(16, 4 * (before // hours))
    while True:
        counts = np.arange(k + 1, k + 1 + step)
        beyond = np.flatnonzero(scipy.stats.binom.sf(counts - 1, before + counts, 1 / (hours + 1)) <= CHANCE)
        if len(beyond):
            return int(counts[beyond[0]]) - 1
        k += step


def spike_text(spike: Spike) -> str:
    """What a timeline says of a spike; the same however long it lasts, so that it stands there once."""
    usual = f"{spike.usual:.2g}" if spike.usual < 10 else f"{spike.usual:.0f}"
    return (
        f"{spike.n} thumbs down within an hour, where {usual} an hour are usual; chance explains at most {spike.bound}"
    )


def told_text(first: Delivery, incident: Incident) -> str:
    """Over which channel people were first told, and how long after the alarm; empty where that was at once.

    Traffic that came late, or a channel that failed, lets hours pass between the two.
    """
    late_us = first.at_us - incident.alarmed_us
    return "" if late_us <= TOLD_LATE_US else f"over {first.channel}, {duration(late_us / 1e6)} after the alarm"


def change_entry(change: Change) -> tuple[str, str]:
    """Kind and text of the entry of a change; pulls and releases of levers have a kind of their own."""
    return ("lever" if change.kind == "lever" else "change"), change_text(change)


def shown(
    events: Iterable[TimelineEvent], marks: Mapping[str, TimelineMark], *, hidden: bool = False
) -> list[TimelineEvent]:
    """The entries in order of what happened, without those that somebody hid, unless `hidden` asks for them too."""
    kept = [e for e in events if hidden or e.id not in marks or marks[e.id].mark != "hidden"]
    return sorted(kept, key=lambda e: (e.happened_us, e.learned_us, e.id))


def brief(
    events: Iterable[TimelineEvent], marks: Mapping[str, TimelineMark], *, alarmed_us: int
) -> tuple[list[TimelineEvent], int]:
    """The short form of a timeline that is `shown`, and how many signals it leaves out.

    A lasting event signals again and again. Of signals, those that page and were raised within a day of the alarm are kept;
    of everything else, and of what is pinned, all.
    """
    events = list(events)
    kept = [
        e
        for e in events
        if e.kind != "signal"
        or (e.id in marks and marks[e.id].mark == "pinned")
        or (e.happened_us - alarmed_us <= DAY_US and not e.text.startswith("warning: "))
    ]
    return kept, len(events) - len(kept)


def t_of(us: int, zero_us: int) -> str:
    """How long before or after the alarm, in hours and minutes: ``T+0:07``, ``T-26:05``."""
    minutes = round(abs(us - zero_us) / 60e6)
    return f"T{'-' if us < zero_us and minutes else '+'}{minutes // 60}:{minutes % 60:02d}"
