"""Question 4: why was it not seen sooner? Measured by replaying the incident's traffic over a fixed family of limits.

Pure: counts by window in, verdict and proposals out.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from andon import stats
from andon.incidents import Incident, duration, phrase_of, scope_text
from andon.investigations.records import Gap, Proposal
from andon.monitors import TRAFFIC, Charts, Monitor, Signal, cluster_us
from andon.monitors.objectives import aspect_of, rule_for
from andon.monitors.verdicts import GREATEST_LIMIT, LEAST_LIMIT, percent
from andon.scores import Harm

__all__ = [
    "LEAST_BEFORE_N",
    "Candidate",
    "Clocks",
    "Replayed",
    "gap_from",
    "limit_of",
    "proposal_of",
    "replay_limits",
    "sooner_limits",
]

Floats = NDArray[np.float64]
Scope = tuple[tuple[str, str], ...]
GapKind = Literal["signal missing", "evaluation lag", "no process control", "none"]

HOURS_A_MONTH = 720.0
MOST_PROPOSALS = 3
LEAST_GAIN = 0.1
"""Least share of the lag that a proposal saves."""

OFTEN = 1.0
"""False pages a month on the time before from which a limit is proposed only where nothing better is."""

LATE_SHARE = 0.25
"""What comes later than by this share of the lag explains the lag."""

ACTED_S = 3_600.0
"""Nobody is late who says something within this time of the first alarm."""

LEAST_BEFORE_N = 100
"""A limit is only proposed where at least this many observations from before the onset stand behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One limit that might have stood: harm by a metric, in one part of the traffic, counted by window."""

    metric: str
    direction: str
    kind: str
    harm: Harm
    scope: Scope = ()
    beyond: float | None = None
    """For a number, the value from which one interaction is harm (below which, where low values harm)."""
    persistence: float = 1.0
    """Of the running charts of this part: they learn it from one another, so the replay takes its own for no better."""
    n: Floats
    """Observations by window, shape (t,), in units of the greatest sampling weight."""
    x: Floats
    """Harm among them, shape (t,)."""

    @property
    def key(self) -> tuple[str, str, Scope]:
        """What is limited, where."""
        return self.metric, self.direction, self.scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What one limit would have done on the incident's traffic."""

    candidate: Candidate
    at_most: float
    fired_us: int | None
    """Its first signal since the onset; None: never."""
    false: int
    """Its signals before the onset."""
    months: float
    """Length of the time before the onset that was replayed, in months of 30 days."""
    guaranteed: float
    """False pages a month that its guarantee allows it."""

    @property
    def false_pages(self) -> float:
        """False pages a month: by its guarantee, or counted on the time before, whichever is more."""
        counted = self.false / self.months if self.months > 0 else 0.0
        return max(self.guaranteed, counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """When what happened, for the split of the lag."""

    onset_us: int
    """Where no monitor spoke, the beginning of the time that was looked at: no lag is counted from there."""
    visible_us: int | None
    """First harmed interaction since the onset; None where none was found."""
    answered_us: int | None = None
    """The answer that a person reported; None where none is known, and where a monitor spoke."""
    warned_us: int | None = None
    """First warning before the first page."""
    alarmed_us: int | None
    """First page; None where no monitor spoke."""
    noticed_us: int | None
    """First word of a person."""
    told_us: int | None = None
    """First message that reached a channel; None where nobody was told, as in a replay."""
    now_us: int
    delay_s: float | None = None
    """Median time from an interaction to the score that says it failed; None where it is not known."""


def limit_of(candidate: Candidate, before: int) -> float | None:
    """The limit "as it was before": the upper end of the exact 95 % interval of the rate in the first `before` windows.

    Rounded up to two digits, as people write limits. None with fewer than 100 observations, or where no rate below 0.5
    stands behind it: what fails more often than not is no harm.
    """
    n, x = round(float(candidate.n[:before].sum())), round(float(candidate.x[:before].sum()))
    if n < LEAST_BEFORE_N or 2 * x > n:
        return None
    high = stats.clopper_pearson(min(x, n), n)[1]
    digits = 1 - floor(log10(high))
    limit = ceil(high * 10**digits) / 10**digits
    return float(min(max(round(limit, 9), LEAST_LIMIT), GREATEST_LIMIT))


class _Limits(Charts):
    """Charts whose limits take no hour for surer than the running charts did."""

    least: Mapping[Monitor, float] = MappingProxyType({})
    """Least persistence by chart."""

    def _fix(self, hour: int) -> None:
        super()._fix(hour)
        least = np.array([self.least.get(m, 1.0) for m in self.monitors[: len(self._persistence)]])
        self._persistence[self._is_fixed] = np.maximum(self._persistence, least)[self._is_fixed]


def replay_limits(
    candidates: Sequence[Candidate],
    *,
    app: str,
    environment: str,
    first_window: int,
    window_us: int,
    onset_us: int,
    threshold: float,
) -> list[Replayed]:
    """Replay windows over a limit for each candidate, with the charts that would watch it.

    Args:
        candidates: k limits; counts of t windows each.
        app: the application.
        environment: its environment.
        first_window: number of the first window since 1970.
        window_us: width of a window.
        onset_us: where the time before ends.
        threshold: hours between false alarms that a chart of weight 1 has now.
    """
    before = max(0, onset_us // window_us - first_window)
    limited = [(c, limit) for c in candidates if (limit := limit_of(c, before)) is not None]
    if not limited or before == 0:
        return []
    kinds = {c.metric: c.kind for c, _ in limited}
    harms: dict[tuple[str, str], Harm] = {(c.metric, c.direction): c.harm for c, _ in limited}
    weights = [_weight(app, environment, c) for c, _ in limited]
    budget = sum(weights) * HOURS_A_MONTH * 3_600e6 / cluster_us(window_us) / threshold
    charts = _Limits(
        window_us,
        budget,
        kinds,
        harms,
        lambda m: rule_for((), m.app, m.environment, m.metric, m.direction, m.scope)[1],
    )
    columns = [(c, _monitors(app, environment, c, limit)) for c, limit in limited]
    n, x = np.zeros((2, len(limited[0][0].n), 2 * len(limited)))
    for c, pair in columns:
        for monitor in pair:
            column = charts.index(monitor, quiet=monitor.at_most is None)
            n[:, column], x[:, column] = c.n, np.minimum(c.x, c.n)
    charts.least = {watched: c.persistence for c, (_, watched) in columns}
    by_id = {watched.id: at for at, (_, (_, watched)) in enumerate(columns)}
    fired, false = _told(charts.advance(first_window, n, x), by_id, onset_us)
    months = before * window_us / (HOURS_A_MONTH * 3_600e6)
    return [
        Replayed(
            candidate=c,
            at_most=limit,
            fired_us=fired.get(at),
            false=false.get(at, 0),
            months=months,
            guaranteed=HOURS_A_MONTH * 3_600e6 / cluster_us(window_us) * weights[at] / threshold,
        )
        for at, (c, limit) in enumerate(limited)
    ]


def _told(signals: Iterable[Signal], by_id: Mapping[str, int], onset_us: int) -> tuple[dict[int, int], dict[int, int]]:
    """Of each chart the time of its first page since the onset, and how many pages it raised before."""
    fired: dict[int, int] = {}
    false: dict[int, int] = {}
    for signal in signals:
        at = by_id.get(signal.monitor)
        if signal.level != "page" or at is None:
            continue
        if signal.at_us <= onset_us:
            false[at] = false.get(at, 0) + 1
        else:
            fired.setdefault(at, signal.at_us)
    return fired, false


def _monitors(app: str, environment: str, c: Candidate, limit: float) -> tuple[Monitor, Monitor]:
    """The chart that learns how much hours vary, and the one that watches the limit."""
    learned = Monitor(
        app=app, environment=environment, metric=c.metric, direction=c.direction, scope=c.scope,
        aspect=aspect_of(c.beyond),
    )  # fmt: skip
    return learned, replace(learned, objective="limit", at_most=limit)


def _weight(app: str, environment: str, c: Candidate) -> float:
    return rule_for((), app, environment, c.metric, c.direction, c.scope)[1]


def sooner_limits(
    replayed: Sequence[Replayed], *, onset_us: int, seen_us: int, window_us: int, metric: str, known: Sequence[Signal]
) -> tuple[Replayed, ...]:
    """The limits that would have spoken surely sooner than `seen_us`, the best first, one for each metric.

    Sooner by less than a window or a tenth of the lag is within what the replay may be wrong by.

    Those that cry wolf at most once a month go first, then the earliest, then the metric that alarmed, the quieter, the larger part. What
    broke an objective in this incident is not proposed again.
    """
    least = max(window_us, round(LEAST_GAIN * (seen_us - onset_us)))
    limits = {(s.metric, s.direction, tuple(s.scope.items())) for s in known if s.objective}
    sooner = [
        r
        for r in replayed
        if r.fired_us is not None and seen_us - r.fired_us >= least and r.candidate.key not in limits
    ]
    sooner.sort(
        key=lambda r: (
            r.false_pages > OFTEN, r.fired_us, r.candidate.metric != metric, r.false_pages, len(r.candidate.scope),
            r.candidate.key,
        )
    )  # fmt: skip
    best = {r.candidate.metric: r for r in reversed(sooner)}
    return tuple(r for r in sooner if best[r.candidate.metric] is r)[:MOST_PROPOSALS]


def proposal_of(r: Replayed, app: str, environment: str, seen_us: int) -> Proposal:
    """A limit that spoke, in words and as the command that adds it; `seen_us` is when the incident was seen without it."""
    c = r.candidate
    assert r.fired_us is not None
    what = phrase_of(c.metric, c.direction)
    if c.beyond is not None:
        what = f"interactions with {c.metric} {'from' if c.direction == 'up' else 'below'} {c.beyond:g}"
    return Proposal(
        title=f"{what} at most {percent(r.at_most)} in {scope_text(dict(c.scope))}",
        metric=c.metric,
        fired_us=r.fired_us,
        sooner_s=(seen_us - r.fired_us) / 1e6,
        false_pages=round(r.false_pages, 4),
        command=command_of(c, r.at_most, app, environment),
    )


def command_of(c: Candidate, at_most: float, app: str, environment: str) -> str:
    """The command that adds this limit; values of traffic are quoted for a shell."""
    words = ["andon", "monitor", "add", c.metric, "--app", app, "--environment", environment]
    for field, value in c.scope:
        words += ["--scope", f"{field}={value}"]
    words += ["--direction", c.direction, "--at-most", f"{at_most:.9g}"]
    if c.beyond is not None:
        words += ["--beyond", repr(float(c.beyond))]
    return shlex.join(words)


def gap_from(
    incident: Incident, lead: Signal | None, clocks: Clocks, proposals: Sequence[Proposal], *, young: bool
) -> Gap:
    """Why it was not seen sooner: the kind, one sentence on the lag and its parts, and what would have been sooner.

    Decided in this order: nobody acted on an alarm for longer than it took to come, or a warning stood before it, or the
    chart was still learning (``no process control``); what tells of the failure comes late, as people's words do, or the
    same limit on the same traffic would have been no sooner (``evaluation lag``); a limit elsewhere would have been
    sooner, or no monitor spoke at all (``signal missing``); else ``none``.

    Args:
        incident: the incident.
        lead: its leading signal; None where no monitor spoke.
        clocks: when what happened.
        proposals: from `sooner_limits`, the best first.
        young: whether the leading chart had not yet learned its baseline when the harm began.
    """
    told = f"{_lag(incident, lead)}{_split(clocks)}" if lead is not None else _reported(clocks)
    kind, why = _kind(lead, clocks, proposals, young=young)
    best = f"; {_best(proposals[0])}" if proposals else "; of the limits that were replayed none would have been sooner"
    return Gap(kind=kind, text=f"{told}; {kind}: {why}{best}", proposals=tuple(proposals))


def _lag(incident: Incident, lead: Signal) -> str:
    best, low, high = incident.lag_s
    evidence = f"{lead.x:,} harmed of {lead.n:,} interactions"
    if lead.metric == TRAFFIC:
        evidence = f"{lead.x:,} of {lead.n:,} usual interactions that did not come"
    return (
        f"{duration(best)} from the estimated onset to the first alarm (between {duration(low)} and {duration(high)}, 95 %); "
        f"the evidence was {evidence}, and the chart raises a false alarm once in "
        f"{duration(lead.threshold * cluster_us(lead.window_us) / 1e6)}"
    )


def _reported(clocks: Clocks) -> str:
    """Without a chart nothing dates an onset: what is known is how long after the answer somebody reported it."""
    text = "no monitor spoke; a person reported it"
    if clocks.answered_us is None or clocks.noticed_us is None:
        return f"{text}, and when it began is not known"
    return f"{text} {duration(max(0, clocks.noticed_us - clocks.answered_us) / 1e6)} after the answer"


def _split(clocks: Clocks) -> str:
    """The lag in parts: onset, first visible, alarmed, noticed."""
    times = (("visible", clocks.visible_us), ("alarmed", clocks.alarmed_us), ("noticed by a person", clocks.noticed_us))
    parts = [f"{name} after {duration(max(0, at - clocks.onset_us) / 1e6)}" for name, at in times if at is not None]
    if clocks.noticed_us is None:
        parts.append("nobody has said anything yet" if clocks.told_us is not None else "nobody was told")
    return f"; {', '.join(parts)}" if parts else ""


def _kind(lead: Signal | None, clocks: Clocks, proposals: Sequence[Proposal], *, young: bool) -> tuple[GapKind, str]:
    """The kind and its reason."""
    if lead is None or clocks.alarmed_us is None:
        known = "what would have shown it is measured, but had no limit there"
        return "signal missing", known if proposals else "none of what is measured shows it: measure what was reported"
    lag = (clocks.alarmed_us - clocks.onset_us) / 1e6
    if missed := _process(lead, clocks, lag, clocks.alarmed_us, young=young):
        return "no process control", missed
    if clocks.delay_s is not None and clocks.delay_s > LATE_SHARE * lag:
        return "evaluation lag", f"half of {lead.metric} is known {duration(clocks.delay_s)} or more after the answer"
    return _measured(lead, lag, proposals)


def _measured(lead: Signal, lag: float, proposals: Sequence[Proposal]) -> tuple[GapKind, str]:
    """What the replay says."""
    if proposals:
        if proposals[0].metric != lead.metric:
            return "signal missing", "no limit stood where it showed first"
        return "evaluation lag", "the chart gathered evidence against what is usual; a limit needs less of it"
    soon = lag <= 2 * lead.window_us / 1e6
    slow: tuple[GapKind, str] = ("evaluation lag", "the evidence needed this long to be more than chance")
    return ("none", "it was seen as soon as it could be told from chance") if soon else slow


def _process(lead: Signal, clocks: Clocks, lag: float, alarmed_us: int, *, young: bool) -> str:
    """What people or settings left undone; empty where nothing is known to have been."""
    if clocks.noticed_us is not None and (idle := (clocks.noticed_us - alarmed_us) / 1e6) > max(lag, ACTED_S):
        return f"{duration(idle)} passed after the alarm until somebody said anything"
    if clocks.noticed_us is None and clocks.told_us is not None:
        idle = (clocks.now_us - clocks.told_us) / 1e6
        if idle > max(lag, ACTED_S):
            return f"people were told {duration(idle)} ago, and nobody has said anything yet"
    if clocks.warned_us is not None and (alarmed_us - clocks.warned_us) / 1e6 > max(2 * lead.window_us / 1e6, lag / 2):
        return f"a warning stood {duration((alarmed_us - clocks.warned_us) / 1e6)} before the page, and wakes nobody"
    if young:
        return (
            "the chart had hardly learned a baseline when the harm began "
            f"({lead.baseline_n:,} observations), and no objective stood in its place"
        )
    return ""


def _best(p: Proposal) -> str:
    wolf = f"{p.false_pages:.2g} false pages a month"
    return f"a limit on {p.title} would have spoken {duration(p.sooner_s)} sooner, at {wolf}"
