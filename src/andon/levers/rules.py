"""Pulls by rules that a person wrote: what a rule is, and which rules want a lever held now. Values in, values out.

Nothing here remembers anything: what a rule did before stands in the pulls, so a restart changes nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from andon.evals import Probed
from andon.evals.probes import METRIC as PROBE_PASS
from andon.incidents import Incident, duration, phrase_of, title_of
from andon.levers.pulls import CLOCKS_US, in_force, latest
from andon.levers.records import Environment, Lever, LeverValue, Pull
from andon.levers.registry import OURSELVES
from andon.monitors import TRAFFIC, Signal
from andon.monitors.verdicts import percent
from andon.traffic.clock import minute_text

__all__ = [
    "ANY_APP",
    "LEAST",
    "Breaker",
    "Budget",
    "Counted",
    "Due",
    "Grounds",
    "OnProbe",
    "OnSignal",
    "PullRefused",
    "PullRule",
    "Scope",
    "author_of",
    "counted_from_us",
    "due_pulls",
    "may_pull",
    "traffic_of",
]

ANY_APP = "default"
"""The application of levers that name none: any may read them."""

LEAST = 20
"""Interactions without which a circuit breaker says nothing, where its rule names no number."""

LONGEST_US = 24 * 3600 * 1_000_000
"""Longest time to which the hold of a breaker or a budget grows when it trips again and again."""

_LAST = 10
"""A rule renews its own hold in the last tenth of its time."""

Scope = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnSignal:
    """A chart of this metric, within this part of the traffic, left its limits and paged; either direction."""

    metric: str
    scope: Scope = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnProbe:
    """The last run of this probe broke its bar, beyond what chance would do."""

    probe: str
    bar: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The rate of harm of a rate metric, or the mean of a number, over the last `within_s` is above a limit."""

    metric: str
    binary: bool
    up_is_bad: bool
    above: float
    within_s: int
    least: int = LEAST
    """Scored interactions that must have come, as `Counted.effective` counts them."""
    scope: Scope = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The sum of a number over the last `within_s` has reached a limit."""

    metric: str
    total: float
    within_s: int
    scope: Scope = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRule:
    """One rule: a lever, a condition, and how it is held."""

    name: str
    lever: str
    by: str
    """Who wrote it."""
    when: OnSignal | OnProbe | Breaker | Budget
    hold_s: int
    value: LeverValue | None = None
    """None: the safe value."""
    trade_off: str = ""
    exit: str = ""
    environment: Environment = "production"
    """Where the lever is held, and whose traffic is looked at."""
    app: str | None = None
    """Whose traffic is looked at; None: that of the lever's application. `ANY_APP`: that of all."""
    source: str
    """Where it was written: file and entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRefused:
    """Why a rule that was due could not pull, written once per reason; empty once it could."""

    id: str
    """Name of the rule."""
    lever: str
    reason: str
    at_us: int


class Counted(NamedTuple):
    """What a breaker or a budget counted."""

    n: int
    """Interactions with a value."""
    weight: float
    """How many interactions they stand for: the sum of their sampling weights."""
    total: float
    """Sum of weight times value."""
    squares: float
    """Sum of squared weights."""

    @property
    def effective(self) -> float:
        """How many interactions of equal weight would say as much: a few that stand for many say little of the rest.

        Source: Kish, *Survey Sampling* (1965), section 8.2.
        """
        return self.weight**2 / self.squares if self.squares > 0 else 0.0


class Grounds(NamedTuple):
    """What speaks for pulls, as read from the store."""

    going_on: Mapping[str, Incident] = {}
    """Incidents that are neither closed nor recovered, by id."""
    signals: Sequence[tuple[Signal, Incident]] = ()
    """Pages of these, each with its incident."""
    probed: Mapping[str, Probed] = {}
    """The last run of each probe."""
    broken: Mapping[str, str | None] = {}
    """Probes whose last run broke their bar, and the incident that holds its page."""
    counted: Mapping[str, Counted] = {}
    """By rule."""


class Due(NamedTuple):
    """A pull that a rule asks for."""

    rule: PullRule
    why: str
    until_us: int
    incident: str | None
    exit: str


class _Cause(NamedTuple):
    why: str
    exit: str
    incident: str | None = None


def traffic_of(rule: PullRule, lever: Lever | None) -> str | None:
    """The application whose traffic a rule looks at; None: any, which is so where neither the rule nor its lever names one."""
    app = rule.app or (lever.app if lever is not None else ANY_APP)
    return None if app == ANY_APP else app


def author_of(rule: PullRule) -> str:
    """Who pulls by a rule: the rule, and the person who wrote it."""
    return f"rule {rule.name} of {rule.by}"


def may_pull(rule: PullRule, rules: Sequence[PullRule], pulls: Sequence[Pull], now_us: int) -> bool:
    """Whether a rule could pull now, if its cause were there.

    It could where nothing holds the lever; where its own hold is about to end; and where a rule that stands below it in the
    file holds it. What a person holds is theirs.

    Args:
        rule: which.
        rules: all of them, in their order.
        pulls: of its lever.
        now_us: the clock.
    """
    held = in_force(pulls, now_us, rule.environment)
    if held is None:
        return True
    if held.rule is None:
        return False
    if held.rule == rule.name:
        return not isinstance(rule.when, Breaker) and _ends_soon(held, now_us)
    above = [r.name for r in rules].index(rule.name)
    return held.rule not in [r.name for r in rules[:above]]


def counted_from_us(rule: PullRule, pulls: Sequence[Pull], now_us: int) -> int | None:
    """From when on a breaker or a budget counts; None for other rules.

    Only what came after a person's release counts. A breaker, too, counts only what came after the last hold ended by
    itself: the end of its hold is a try. A budget goes on counting: else each hold would open it anew.
    """
    if not isinstance(rule.when, Breaker | Budget):
        return None
    from_us = now_us - rule.when.within_s * 1_000_000
    mine = [p for p in pulls if p.environment == rule.environment]
    if isinstance(rule.when, Budget):
        return max(from_us, _released_us(mine, now_us))
    over = [p for p in mine if p.released_us is not None or p.until_us <= now_us]
    return max([from_us, *(_ended_us(p, now_us) for p in over)])


def due_pulls(
    rules: Sequence[PullRule],
    levers: Mapping[str, Lever],
    pulls: Mapping[str, Sequence[Pull]],
    seen: Grounds,
    now_us: int,
) -> list[Due]:
    """The pulls that rules ask for now, in the order of the rules; of several of one lever the first that may be made is meant.

    A person's decision wins: what a person released is not pulled again for a cause from before that (a rise that began
    before, of an incident that was known; a run of a probe from before; traffic from before), by whatever rule. A hold that ends while its cause
    stands (an incident that has not recovered, a probe that has not kept its bar since, a window that has no room) is renewed.

    Args:
        rules: all, in their order.
        levers: by key.
        pulls: by key of their lever.
        seen: what was read.
        now_us: the clock.
    """
    due = []
    for rule in rules:
        mine = [p for p in pulls.get(rule.lever, ()) if p.environment == rule.environment]
        if not may_pull(rule, rules, mine, now_us):
            continue
        cause = _still(rule, mine, seen) or _cause(rule, levers.get(rule.lever), mine, seen, now_us)
        if cause is not None:
            until_us = now_us + _hold_us(rule, mine, now_us)
            due.append(Due(rule, cause.why, until_us, cause.incident, rule.exit or cause.exit))
    return due


def _still(rule: PullRule, mine: Sequence[Pull], seen: Grounds) -> _Cause | None:
    """Why a hold of this rule, which ends now or was over by itself, goes on: its cause stands."""
    last = latest(mine, rule.environment)
    if last is None or last.rule != rule.name or _by_person(last, mine):
        return None
    if isinstance(rule.when, OnSignal) and last.incident in seen.going_on:
        return _Cause(f"{last.incident} has not recovered", _recovered(last.incident), last.incident)
    if isinstance(rule.when, OnProbe):
        probed = seen.probed.get(rule.when.probe)
        if probed is not None and (probed.kept_us is None or probed.kept_us < last.at_us):
            why = f"no run of probe {rule.when.probe} has kept its bar since {minute_text(last.at_us)} UTC"
            return _Cause(why, _kept(rule.when), last.incident)
    return None


def _cause(rule: PullRule, lever: Lever | None, mine: Sequence[Pull], seen: Grounds, now_us: int) -> _Cause | None:
    """What speaks for a pull by this rule, and happened after a person released the lever."""
    when, released_us = rule.when, _released_us(mine, now_us)
    if isinstance(when, OnSignal):
        app = traffic_of(rule, lever)
        fitting = [(s, i.id) for s, i in seen.signals if _fits(rule, when, app, s) and not _decided(s, i, released_us)]
        return _signalled(*min(fitting, key=lambda f: (f[0].at_us, f[0].id))) if fitting else None
    if isinstance(when, OnProbe):
        probed = seen.probed.get(when.probe)
        if probed is None or when.probe not in seen.broken or probed.at_us <= released_us:
            return None
        ran = probed.passed + probed.failed
        why = f"probe {when.probe}: {probed.passed} of {ran} pass, where its bar is {percent(when.bar)} ({probed.run})"
        return _Cause(why, _kept(when), seen.broken[when.probe])
    counted = seen.counted.get(rule.name)
    if counted is None:
        return None
    of = f"{counted.n} interactions"
    if round(counted.weight) != counted.n:
        of += f" that stand for {counted.weight:,.0f}"
    since_us = counted_from_us(rule, mine, now_us) or 0
    whole = since_us == now_us - when.within_s * 1_000_000
    of += f" in the last {duration(when.within_s)}" if whole else f" since {minute_text(since_us)} UTC"
    return _over_budget(when, counted, of) if isinstance(when, Budget) else _tripped(when, counted, of)


def _signalled(signal: Signal, incident: str) -> _Cause:
    counts = "" if signal.metric == TRAFFIC else f" ({signal.x} of {signal.n})"
    return _Cause(f"{title_of(signal, signal.onset_us)}{counts}, {incident}", _recovered(incident), incident)


def _over_budget(when: Budget, counted: Counted, of: str) -> _Cause | None:
    if counted.total < when.total and not _equal(counted.total, when.total):
        return None
    why = f"{when.metric} adds up to {counted.total:,.6g} in {of}; the budget is {when.total:,.6g}"
    return _Cause(why, f"the last {duration(when.within_s)} have room in the budget again")


def _tripped(when: Breaker, counted: Counted, of: str) -> _Cause | None:
    effective = min(float(counted.n), counted.effective)
    if effective < when.least and not _equal(effective, when.least):
        return None
    mean = counted.total / counted.weight
    level = 1 - mean if when.binary and not when.up_is_bad else mean
    if level <= when.above or _equal(level, when.above):
        return None
    told = f"{when.metric} is {level:,.6g} on average of {of}; the limit is {when.above:,.6g}"
    if when.binary:
        phrase = phrase_of(when.metric, "up" if when.up_is_bad else "down")
        told = f"the share of {phrase} is {percent(level)} of {of}; the limit is {percent(when.above)}"
    return _Cause(told, "its time is over: the next traffic decides")


def _equal(one: float, other: float) -> bool:
    """Whether two numbers are the same but for the rounding of sums: a thousand times 0.1 is 100."""
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def _hold_us(rule: PullRule, mine: Sequence[Pull], now_us: int) -> int:
    """How long a rule holds: as written; of a breaker or budget that trips soon after its hold ended by itself twice as long."""
    hold_us, last = rule.hold_s * 1_000_000, latest(mine, rule.environment)
    ended = last is not None and last.until_us <= now_us and not _by_person(last, mine)
    if isinstance(rule.when, Breaker | Budget) and ended and last is not None and last.rule == rule.name:
        twice_us = 2 * (last.until_us - last.at_us)
        if now_us <= last.until_us + twice_us:
            return max(hold_us, min(twice_us, LONGEST_US))
    return hold_us


def _fits(rule: PullRule, when: OnSignal, app: str | None, signal: Signal) -> bool:
    return (
        signal.level == "page"
        and signal.metric == when.metric
        and app in (None, signal.app)
        and signal.environment == rule.environment
        and {*when.scope} <= {*signal.scope.items()}
        and signal.of_probes == (when.metric == PROBE_PASS)
    )


def _decided(signal: Signal, incident: Incident, released_us: int) -> bool:
    """Whether a person released the lever in view of this: its incident was known, and its rise had begun."""
    return max(incident.alarmed_us, signal.onset_us) <= released_us


def _ends_soon(held: Pull, now_us: int) -> bool:
    return now_us >= held.until_us - (held.until_us - held.at_us) // _LAST


def _released_us(mine: Sequence[Pull], now_us: int) -> int:
    """When a person last released this lever; 0 for never."""
    return max((_ended_us(p, now_us) for p in mine if _by_person(p, mine)), default=0)


def _ended_us(pull: Pull, now_us: int) -> int:
    """When a hold that is over ended, for what is counted from then on.

    A time that has not come yet is one of a clock that was ahead, and would keep rules from pulling until it comes: then the
    hold's beginning counts, and nothing where that has not come either.
    """
    ended_us = pull.until_us if pull.released_us is None else pull.released_us
    return next((t for t in (ended_us, pull.at_us) if t <= now_us + CLOCKS_US), 0)


def _by_person(pull: Pull, mine: Iterable[Pull]) -> bool:
    """Whether a person released it: it neither expired nor was superseded by the next pull."""
    if pull.released_us is None or pull.released_by == OURSELVES:
        return False
    return pull.released_why not in {f"superseded by {p.id}" for p in mine}


def _recovered(incident: str | None) -> str:
    return f"{incident} has recovered"


def _kept(when: OnProbe) -> str:
    return f"a run of probe {when.probe} keeps its bar of {percent(when.bar)}"
