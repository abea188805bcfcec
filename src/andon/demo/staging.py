"""The three stories on one clock: what was before, what is played live, and when. Pure: no store, no clock of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from andon.changes import Change
from andon.demo.records import Story
from andon.traffic import Interaction

__all__ = [
    "CAMPAIGN",
    "CAUGHT_UP_US",
    "CUTS",
    "LEVER",
    "LIVE_S",
    "LIVE_US",
    "READY_S",
    "Cut",
    "Stage",
    "next_us",
    "rests",
    "stage",
]

HOUR_US = 3_600_000_000
LIVE_US = 12 * HOUR_US
"""This much of the traffic's time is played live."""

LIVE_S = 120.0
"""So long that takes."""

READY_S = 60.0
"""What was before is learned in about this time."""

STEP_US = HOUR_US
"""At most so much is played between two turns of the loop, however slow the machine: what a step brings is seen as it came."""

CAUGHT_UP_US, REST_S = 60_000_000, 3.0
"""A demo that is less behind than this has caught up, and plays on after each such rest: one that is left open needs little."""

LEVER, CAMPAIGN = "support.partner-campaign", "partner-campaign"
"""The lever of the support story, and the source of the traffic that it stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The stretch of a story that is played."""

    before_us: int
    """This much of its traffic comes before its harm begins: the baseline is learned from it."""
    ago_us: int
    """Its harm began so long before the end of what is played fast."""


# A chart pages in its first week only for what an unseen kind of day would not bring, so support has more than a week before.
# Charts tell of legal 82 hours after its harm began, of triage after about 12, of support after little more than one.
CUTS: Mapping[str, Cut] = MappingProxyType(
    {
        "legal": Cut(before_us=288 * HOUR_US, ago_us=91 * HOUR_US),
        "triage": Cut(before_us=120 * HOUR_US, ago_us=16 * HOUR_US),
        "support": Cut(before_us=196 * HOUR_US, ago_us=3 * HOUR_US - HOUR_US // 4),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that comes, on the clock of the demo, in order of time."""

    traffic: Sequence[Interaction]
    changes: Sequence[Change]

    def between(self, start_us: int, end_us: int) -> tuple[list[Interaction], list[Change]]:
        """What comes from a time to before another."""
        rows = [t for t in self.traffic if start_us <= t.time_us < end_us]
        return rows, [c for c in self.changes if start_us <= c.at_us < end_us]


def stage(stories: Sequence[Story], end_us: int) -> Stage:
    """Put the stories on one clock.

    Args:
        stories: as they are told.
        end_us: the end of what is played fast; the rest of the stories comes at the clock's own pace after it.
    """
    traffic: list[Interaction] = []
    changes: list[Change] = []
    for story in stories:
        cut = CUTS[story.name]
        first_us, shift_us = story.began_us - cut.before_us, end_us - cut.ago_us - story.began_us
        traffic += [replace(t, time_us=t.time_us + shift_us) for t in story.traffic if t.time_us >= first_us]
        changes += [replace(c, at_us=c.at_us + shift_us) for c in story.changes if c.at_us >= first_us]
    return Stage(
        traffic=sorted(traffic, key=lambda t: (t.time_us, t.id)), changes=sorted(changes, key=lambda c: (c.at_us, c.id))
    )


def next_us(now_us: int, real_us: int, passed_s: float) -> int:
    """Up to when is played next: fast while the demo is behind the clock, then with it.

    Args:
        now_us: up to when was played.
        real_us: the clock.
        passed_s: since the step before.
    """
    fast_us = int(passed_s * (1e6 + LIVE_US / LIVE_S))
    return min(real_us, now_us + min(STEP_US, fast_us))


def rests(lag_us: int, passed_s: float) -> bool:
    """Whether nothing is played yet.

    Args:
        lag_us: how far the demo is behind.
        passed_s: since the step before.
    """
    return lag_us < CAUGHT_UP_US and passed_s < REST_S
