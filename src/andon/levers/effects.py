"""What a pull did to the metric of its incident: harm before it against harm since an application first read it, as a sentence.

A difference is measured, a cause is not: other things change at the same time and are named, and harm may end by itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from andon import stats
from andon.changes import Change
from andon.incidents import Incident, phrase_of, scope_text
from andon.incidents.words import change_text, exactly, from_alarm, one_line
from andon.levers.pulls import turn
from andon.levers.records import Effect, FirstRead, Lever, Pull
from andon.levers.registry import digest_of, same_value
from andon.monitors import TRAFFIC, Signal
from andon.monitors.verdicts import percent
from andon.stats.two_sample import design_effects

__all__ = [
    "BACK_US",
    "LEAST_N",
    "MOST_ROWS",
    "SETTLED_US",
    "Counted",
    "Grouped",
    "Seen",
    "Waits",
    "design_effects",
    "due",
    "effect_entry",
    "effect_of",
    "effective_entry",
    "ended_us_of",
    "final",
    "holds_together",
    "incident_of",
    "lately_ended",
    "next_us",
    "others_of",
    "seen_of",
    "worth_telling",
]

HOUR_US = 3_600_000_000
BACK_US = 24 * HOUR_US
"""Harm is counted for a day before the pull at most."""

SETTLED_US = 300_000_000
"""The last measurement is made so long after the end of a hold: interactions and what is said of them come late."""

KEPT_US = 7 * 24 * HOUR_US
"""A hold that ended longer ago is not measured any more."""

LEAST_N = 20
"""Interactions that each side needs; with fewer, nothing is said but that it cannot be told."""

ENOUGH_N = 100
"""Interactions on each side from which the timeline is told what a hold that lasts has done so far.

How many there are decides it, never what they show: who waits for a good-looking figure finds one too often.
"""

MOST_NAMED = 3
UNREAD = "; no application is known to have read it"

MOST_ROWS = 1_000_000
"""Of more interactions than this, users are not counted one by one; so many make an interval that is narrow anyhow."""

SHADOW_US = HOUR_US
"""A version that traffic shows first so long after a pull, and that is what the pull gives, is the pull itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The two stretches of time that are compared; the one that lies before ends with the pull."""

    from_us: int
    pulled_us: int
    since_us: int
    """When an application first read it; the pull where none is known to have."""
    until_us: int
    read: bool
    """Whether an application is known to have read it."""
    began_us: int = 0
    """When harm had begun at the latest: the upper end of the onset's interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Interactions of one stretch, and those of them that were harmed, each row as the fraction its weight is of the greatest."""

    x: float
    n: float
    each: float = 1.0
    """The design effect of users: so many interactions say as much as one of a user of its own."""


class Grouped(NamedTuple):
    """Interactions of one stretch by user i, who has n_i of which x_i were harmed; without weights."""

    users: float
    x: float
    n: float
    xx: float
    """Sum of x_i^2; `nn` of n_i^2, `xn` of x_i n_i."""
    nn: float
    xn: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What the next measurement of a hold that lasts waits for."""

    us: int | None
    """When it is made, once the loop turns; None where nothing will ever be measured."""
    why: str
    """What is waited for, or why nothing is measured."""


def incident_of(pull: Pull, lever: Lever, incidents: Iterable[Incident]) -> Incident | None:
    """The incident that a pull is about: the one it names, else the worst that was open in the lever's app when it was made.

    Of several that are equally bad, the newest. A lever of no app of its own (``default``) may be read by any.
    """
    if pull.incident is not None:
        return next((i for i in incidents if i.id == pull.incident), None)
    there = [
        i
        for i in incidents
        if i.environment == pull.environment
        and lever.app in (i.app, "default")
        and i.alarmed_us <= pull.at_us < (i.closed_us or pull.at_us + 1)
        and i.closed_as != "duplicate"
    ]
    return min(there, key=lambda i: (i.severity, -i.alarmed_us, i.id), default=None)


def ended_us_of(pull: Pull, now_us: int) -> int | None:
    """When a hold ended; None while it lasts. One whose time is over has ended, whether that is recorded yet or not."""
    if pull.released_us is not None:
        return pull.released_us
    return pull.until_us if pull.until_us <= now_us else None


def lately_ended(pull: Pull, now_us: int) -> bool:
    """Whether a hold lasts, or ended so lately that it is still measured."""
    ended_us = ended_us_of(pull, now_us)
    return ended_us is None or now_us - ended_us <= KEPT_US


def holds_together(pull: Pull, pulls: Iterable[Pull]) -> list[Pull]:
    """The pulls that held the lever at this value without a gap, up to this one and in order: a renewed hold is one hold."""
    mine = [p for p in pulls if (p.lever, p.environment) == (pull.lever, pull.environment) and turn(p) < turn(pull)]
    together: list[Pull] = [pull]
    for before in sorted(mine, key=turn, reverse=True):
        first = together[0]
        ended_us = min(before.until_us, before.until_us if before.released_us is None else before.released_us)
        if not same_value(before.value, pull.value) or ended_us < first.at_us:
            break
        together.insert(0, before)
    return together


def seen_of(incident: Incident, together: Sequence[Pull], read_us: int | None, now_us: int) -> Seen:
    """The stretches that are compared: from the onset to the pull, and from the first read to the end of the hold.

    Before the pull a day counts at most. Where harm is dated after the pull, as much counts before it as after it.

    Args:
        incident: what the pull is about.
        together: the pulls of one hold (`holds_together`).
        read_us: when an application first read one of them; None where none is known to have.
        now_us: the clock.
    """
    pulled_us = together[0].at_us
    since_us = pulled_us if read_us is None else max(pulled_us, read_us)
    ended_us = ended_us_of(together[-1], now_us)
    until_us = max(since_us, now_us if ended_us is None else ended_us)
    from_us = incident.onset_us if incident.onset_us < pulled_us else pulled_us - (until_us - since_us)
    return Seen(
        from_us=max(from_us, pulled_us - BACK_US),
        pulled_us=pulled_us,
        since_us=since_us,
        until_us=until_us,
        read=read_us is not None,
        began_us=incident.onset_high_us,
    )


def due(known: Effect | None, seen: Seen, *, ended_us: int | None, window_us: int, now_us: int) -> bool:
    """Whether it is time to measure again.

    First after a window of the chart, then whenever the time since is half as long again (and a window longer), once when the
    hold has ended, and a last time `SETTLED_US` after that. So each version in the ledger says something new: it rests on half
    as much again, or is the last. A hold of 90 days on windows of five minutes has under 30.
    """
    if known is None:
        return ended_us is not None or seen.until_us >= next_us(None, seen, window_us)
    if ended_us is not None:
        return known.until_us != seen.until_us or known.at_us < ended_us + SETTLED_US <= now_us
    return seen.until_us >= next_us(known, seen, window_us)


def next_us(known: Effect | None, seen: Seen, window_us: int) -> int:
    """When a hold that lasts is measured next (`due`)."""
    if known is None:
        return seen.since_us + window_us
    lasted_us = known.until_us - seen.since_us
    return seen.since_us + max(lasted_us * 3 // 2, lasted_us + window_us)


def final(effect: Effect, ended_us: int | None) -> bool:
    """Whether this is the last measurement of a hold that ended then."""
    return ended_us is not None and effect.until_us >= ended_us and effect.at_us >= ended_us + SETTLED_US


def others_of(changes: Sequence[Change], together: Sequence[Pull], seen: Seen) -> list[Change]:
    """The other changes of the time that is looked at, without what this hold itself wrote.

    Nor what else the lever would have given since the pull (promotions, defaults, splits): the hold takes its place. Nor what
    it gave until harm had surely begun: that is what the hold is compared with. A version that went live in between is named, for
    it may have ended the harm. Nor its shadow: where an application names the version that it runs by what the lever gave it
    (``held``, the version's digest, a text itself), traffic shows a new version when the pull is read.
    """
    own = {f"{p.id}-{what}" for p in together for what in ("held", "released", "expired")}
    pull = together[0]
    own |= {
        c.id
        for c in changes
        if c.attributes.get("lever") == pull.lever
        and not c.id.startswith("pull-")
        and not max(seen.from_us, seen.began_us) < c.at_us < seen.pulled_us
    }
    given = {"held", digest_of(pull.value), *([pull.value] if isinstance(pull.value, str) else [])}
    return [
        c
        for c in changes
        if c.id not in own
        and seen.from_us <= c.at_us < seen.until_us
        and not (c.origin == "traffic" and c.after in given and seen.pulled_us <= c.at_us <= seen.since_us + SHADOW_US)
    ]


def effect_of(
    pull: Pull,
    lead: Signal,
    seen: Seen,
    before: Counted,
    after: Counted,
    others: Sequence[Change],
    *,
    now_us: int,
    problem: str = "",
    beside: str = "",
) -> Effect:
    """The effect of a pull on the metric of the leading signal, with the sentence that tells it.

    The interval is Newcombe's for the difference of two independent rates (`andon.stats.difference`), of counts divided by
    the design effects of users. What did not come (a silence) is held against what is usual at these hours, which is itself
    an estimate: it gets no interval.

    Args:
        pull: which.
        lead: the leading signal of its incident.
        seen: the time that was looked at.
        before: counts from before the pull.
        after: counts from after it was first read.
        others: other changes in that time.
        now_us: the clock.
        problem: why nothing could be counted; empty where it could.
        beside: how the interval was made, as the sentence says it; empty where there is nothing to say.

    Use instead: an experiment (`andon rollout`) where one must know what a change causes; here nobody drew lots.

    Source: Newcombe, Statistics in Medicine 17 (1998), 873-890, method 10.
    """
    difference, low, high = _difference(lead, before, after)
    effect = Effect(
        id=f"{pull.id}:{lead.metric}",
        pull=pull.id,
        metric=lead.metric,
        direction="down" if lead.direction == "down" else "up",
        scope=dict(lead.scope),
        before_x=before.x,
        before_n=before.n,
        after_x=after.x,
        after_n=after.n,
        difference=difference,
        low=low,
        high=high,
        from_us=seen.from_us,
        until_us=seen.until_us,
        at_us=now_us,
        text="",
    )
    fewest = min(before.n / before.each, after.n / after.each)
    said = f"cannot tell: {one_line(problem, 200)}" if problem else _sentence(effect, lead, fewest, beside)
    return replace(effect, text=f"{said}{'' if seen.read else UNREAD}. {_beside(others)}")


def _difference(lead: Signal, before: Counted, after: Counted) -> tuple[float | None, float | None, float | None]:
    """Difference of the rates and its interval; None what cannot be told."""
    if min(before.n, after.n) <= 0:
        return None, None, None
    if lead.metric == TRAFFIC:
        return after.x / after.n - before.x / before.n, None, None
    counts = (v / side.each for side in (before, after) for v in (round(side.x), round(side.n)))
    return stats.difference(*counts)  # type: ignore[arg-type]  # effective counts are no integers


def _sentence(effect: Effect, lead: Signal, fewest: float, beside: str) -> str:
    what = f"{_what(lead)} in {scope_text(lead.scope)}"
    how = f"; {beside}" if beside else ""
    if effect.difference is None or fewest < LEAST_N:
        seen = f"{effect.before_n:,.0f} interactions before it and {effect.after_n:,.0f} since"
        return f"cannot tell what it did to {what}: {seen}, and {LEAST_N} on each side are needed{how}"
    rates = f"{_rate(effect.before_x, effect.before_n)} to {_rate(effect.after_x, effect.after_n)}"
    points = f"{_points(effect.difference)} points"
    if effect.low is None or effect.high is None:
        return f"{what} went from {rates}: {points}, without an interval, for what is usual is itself an estimate"
    interval = f"{points} (95 % interval {_points(effect.low)} to {_points(effect.high)}{how})"
    if effect.low <= 0 <= effect.high:
        return f"{what} went from {rates}: {interval}, so it cannot be told whether anything changed"
    return f"{what} {'fell' if effect.difference < 0 else 'rose'} from {rates}: {interval}"


def _what(lead: Signal) -> str:
    if lead.metric != TRAFFIC:
        return phrase_of(lead.metric, lead.direction)
    return f"answers not measured by {one_line(lead.aspect)}" if lead.aspect else "usual interactions that did not come"


def _rate(x: float, n: float) -> str:
    return f"{percent(x / n)} (of {n:,.0f})"


def _points(share: float) -> str:
    points = 100 * share
    return f"{points:+.1f}" if abs(points) >= 1 else f"{points:+.2g}"


def _beside(others: Sequence[Change]) -> str:
    itself = "harm may have ended by itself"
    if not others:
        return f"No other change is recorded in this time; {itself}"
    named = ", ".join(f"“{one_line(change_text(c), 100)}”" for c in others[-MOST_NAMED:])
    more = f", the last {MOST_NAMED} of them" if len(others) > MOST_NAMED else ""
    s = "s" * (len(others) > 1)
    return f"{len(others):,} other change{s} in this time{more}: {named}; {itself}"


def worth_telling(effect: Effect, pull: Pull) -> bool:
    """Whether a timeline is told of the effect of a hold that lasts: there is enough on each side, or an hour has passed."""
    return min(effect.before_n, effect.after_n) >= ENOUGH_N or effect.until_us - pull.at_us >= HOUR_US


def effect_entry(lever: str, effect: Effect | None, *, last: bool) -> str:
    """What a timeline says of an effect; of None, that nothing measures it.

    `andon.postmortems.happened` reads these entries again.
    """
    told = "not measured: people reported this incident, and no chart saw it" if effect is None else effect.text
    return f"effect of lever {lever}{'' if last else ' so far'}: {told}"


def effective_entry(pull: Pull, read: FirstRead, incident: Incident) -> str:
    """What a timeline says of the first that read a pull; the server's clock and that of whoever pulled may differ.

    `andon.postmortems.happened` reads these entries again: of applications only.
    """
    after = [f"{exactly(max(0, read.at_us - pull.at_us))} after the pull"]
    after += [from_alarm(incident, read.at_us)] if pull.at_us >= incident.alarmed_us else []
    what = (
        "effective in an application" if read.by_application else "first given to a client that did not say what it is"
    )
    return f"lever {pull.lever} {what} {', '.join(after)}"
