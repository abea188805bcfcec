"""Learning across incidents: how soon, by whom, how reliably, and what is unresolved. Pure; few incidents say so."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from andon import stats
from andon.errors import InputError
from andon.incidents import Incident, duration
from andon.incidents.related import signature_of
from andon.incidents.runbooks import PHASES
from andon.monitors.verdicts import percent
from andon.postmortems.actions import Commitment
from andon.postmortems.records import Postmortem
from andon.traffic import format_time

__all__ = [
    "HORIZONS_DAYS",
    "Agenda",
    "Learned",
    "Recurrence",
    "Share",
    "Spread",
    "agenda_of",
    "learn",
    "quarter_of",
    "recurrences_of",
    "share_of",
    "share_text",
    "spread_of",
    "spread_text",
]

DAY_US = 86_400_000_000

HORIZONS_DAYS = (15, 30)
"""After how many days actions are asked whether they were proved."""

LEAST = 6
"""Incidents from which the median has an exact 95 % interval: 1 - 2 / 2^6 = 0.969; with 5 it is 0.9375."""

WIDE = 0.5
"""A share whose interval is wider than this is too uncertain to tell."""

MOST_OPEN_US = 7 * DAY_US
"""How long an incident may be closed without a published postmortem, and its proposals undecided, before it is on the agenda."""

LAST_PHASE_US = PHASES[-1].until_us
"""An incident that is open for longer than its runbook lasts is unresolved, whoever is on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How long something took, over several incidents, in seconds; never a mean."""

    n: int
    shortest_s: float | None
    longest_s: float | None
    median_s: float | None = None
    """None: too few to tell."""
    low_s: float | None = None
    high_s: float | None = None
    """Interval of the median, at least 95 %."""
    p10_s: float | None = None
    p90_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """x of n with an exact 95 % interval; n = 0: nothing is known."""

    x: int
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A closed incident, and those that came after it with the same signature."""

    signature: tuple[str, ...]
    closed: str
    again: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """Something unresolved that a review should talk about."""

    incident: str
    what: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What the incidents of a time taught."""

    incidents: int
    """Real ones: false alarms and duplicates are counted apart."""
    false_alarms: int
    duplicates: int
    lags: tuple[tuple[str, Spread], ...]
    """Detection lag by quarter."""
    found_by_us: Share
    to_lever: Spread
    without_lever: int
    """Incidents for which no lever was pulled after the alarm."""
    lever_to_recovery: Spread
    to_stabilise: Spread
    """From the alarm to the moment at which harm had stopped."""
    to_close: Spread
    """From the onset to the close: shown as a distribution only."""
    still_open: int
    verified: tuple[tuple[int, Share], ...]
    """Days -> actions that were proved within them, of those taken at least so long ago."""
    claimed: int
    """Commitments that somebody says are done and that nobody has proved."""
    recurrences: tuple[Recurrence, ...]
    recurred: Share
    """Closed incidents after which the same signature came back."""
    failures: tuple[tuple[str, int], ...]
    """Failure type -> incidents, the most frequent first; ``not told`` where none was suggested or chosen."""
    golden: tuple[tuple[str, int, int], ...]
    """Incident, golden cases that came of it, eval runs in which they caught something."""


def learn(
    incidents: Sequence[Incident],
    commitments: Iterable[Commitment],
    *,
    now_us: int,
    since_us: int = 0,
    pulls: Mapping[str, Sequence[int]],
    kinds: Mapping[str, str],
    cases: Mapping[str, int],
    catches: Mapping[str, int],
) -> Learned:
    """What incidents and actions since a time teach.

    Args:
        incidents: all of them; those alarmed before `since_us` are left out, but recurrence looks at all.
        commitments: actions that were taken.
        now_us: the clock.
        since_us: since when.
        pulls: incident -> when levers were pulled for it.
        kinds: incident -> kind of its likeliest change, a part of its signature.
        cases: incident -> golden cases that came of it.
        catches: incident -> eval runs in which those cases caught something.
    """
    real = [i for i in incidents if i.closed_as not in ("false alarm", "duplicate")]
    ours = sorted((i for i in real if i.alarmed_us >= since_us), key=lambda i: (i.alarmed_us, i.id))
    first = {i.id: at for i in ours if (at := _first_pull(i, pulls)) is not None}
    taken = [c for c in commitments if c.taken_us >= since_us]
    recurrences = recurrences_of(real, kinds, since_us=since_us)
    closed = [i for i in ours if i.closed_us is not None]
    ended = Counter(i.closed_as for i in incidents if i.alarmed_us >= since_us)
    return Learned(
        incidents=len(ours),
        false_alarms=ended["false alarm"],
        duplicates=ended["duplicate"],
        lags=_lags(ours),
        found_by_us=share_of(sum(_by_us(i) for i in ours), len(ours)),
        to_lever=spread_of([(first[i.id] - i.alarmed_us) / 1e6 for i in ours if i.id in first]),
        without_lever=len(ours) - len(first),
        lever_to_recovery=spread_of(
            [
                (i.recovered_us - first[i.id]) / 1e6
                for i in ours
                if i.id in first and i.recovered_us is not None and i.recovered_us >= first[i.id]
            ]
        ),
        to_stabilise=spread_of(_to_stabilise(ours)),
        to_close=spread_of([(i.closed_us - i.onset_us) / 1e6 for i in closed if i.closed_us is not None]),
        still_open=len(ours) - len(closed),
        verified=tuple((days, _verified(taken, days, now_us)) for days in HORIZONS_DAYS),
        claimed=sum(c.item.state == "open" and bool(c.item.claimed) for c in taken),
        recurrences=recurrences,
        recurred=share_of(len({r.closed for r in recurrences} & {i.id for i in closed}), len(closed)),
        failures=tuple(Counter(i.failure or "not told" for i in ours).most_common()),
        golden=tuple((i.id, cases.get(i.id, 0), catches.get(i.id, 0)) for i in ours),
    )


def spread_of(
    seconds: Sequence[float], low: Sequence[float] | None = None, high: Sequence[float] | None = None
) -> Spread:
    """Median of durations with an exact interval; from 6 of them, because fewer have none at 95 %.

    With the sorted values ``x(1) <= ... <= x(n)`` the interval is ``[x(k), x(n+1-k)]``, k the largest number with
    ``P(Bin(n, 1/2) < k) <= 0.025``: it covers the median of any continuous distribution with at least 95 %. Where each
    value is itself estimated, the lower end is taken of the lower bounds and the upper end of the upper bounds, so that the
    interval grows by what is not known about each. The 10 % and 90 % points are Hyndman and Fan's type 7, from 10 values.

    Args:
        seconds: one duration per incident.
        low: lower bound of each; the value itself unless given.
        high: upper bound of each.

    Raises:
        InputError: the bounds are not as many as the values.

    Use instead: a mean of durations for nothing; they are heavy-tailed, and a mean tells of the longest one.

    Source: Conover, Practical Nonparametric Statistics, 3rd ed. (1999), section 3.2 (confidence interval for a quantile).
    """
    low, high = seconds if low is None else low, seconds if high is None else high
    if not len(low) == len(seconds) == len(high):
        raise InputError(f"{len(seconds)} durations have {len(low)} lower and {len(high)} upper bounds")
    n = len(seconds)
    if n == 0:
        return Spread(n=0, shortest_s=None, longest_s=None)
    ends = {"n": n, "shortest_s": float(min(seconds)), "longest_s": float(max(seconds))}
    if n < LEAST:
        return Spread(**ends)  # type: ignore[arg-type]
    k = int(scipy.stats.binom.ppf(0.025, n, 0.5))
    p10, p90 = (float(v) for v in np.quantile(seconds, (0.1, 0.9))) if n >= 10 else (None, None)
    return Spread(
        **ends,  # type: ignore[arg-type]
        median_s=float(np.median(seconds)),
        low_s=float(np.sort(low)[k - 1]),
        high_s=float(np.sort(high)[n - k]),
        p10_s=p10,
        p90_s=p90,
    )


def share_of(x: int, n: int) -> Share:
    """A share with its exact (Clopper-Pearson) 95 % interval."""
    low, high = stats.clopper_pearson(x, n)
    return Share(x=x, n=n, low=low, high=high)


def spread_text(s: Spread) -> str:
    """A spread in words: the median with its interval and the tails, or that there are too few to tell."""
    if s.n == 0 or s.shortest_s is None or s.longest_s is None:
        return "cannot tell: none yet"
    ends = f"{duration(s.shortest_s)} to {duration(s.longest_s)}"
    if s.median_s is None or s.low_s is None or s.high_s is None:
        return f"too few to tell ({s.n}: {duration(s.shortest_s) if s.n == 1 else ends})"
    tails = (
        "" if s.p10_s is None or s.p90_s is None else f", 10 % under {duration(s.p10_s)}, 10 % over {duration(s.p90_s)}"
    )
    interval = f"{duration(s.low_s)} to {duration(s.high_s)}"
    return f"median {duration(s.median_s)} (95 % interval {interval}{tails}; all {s.n}: {ends})"


def share_text(s: Share) -> str:
    """A share in words, with its interval, and that it is too few to tell where that is wide."""
    if s.n == 0:
        return "cannot tell: none yet"
    interval = f"95 % interval {percent(s.low)} to {percent(s.high)}"
    if s.high - s.low > WIDE:
        return f"{s.x} of {s.n}: too few to tell ({interval})"
    return f"{s.x} of {s.n}, {percent(s.x / s.n)} ({interval})"


def quarter_of(time_us: int) -> str:
    """The quarter of a time: ``2026 Q4``."""
    day = format_time(time_us)
    return f"{day[:4]} Q{(int(day[5:7]) + 2) // 3}"


def recurrences_of(
    incidents: Iterable[Incident], kinds: Mapping[str, str], *, since_us: int = 0
) -> tuple[Recurrence, ...]:
    """Closed incidents whose signature came back in the same application after they were closed, since a time.

    What people reported, and no metric shows, has no signature that could come back.

    Args:
        incidents: without false alarms and duplicates.
        kinds: incident -> kind of its likeliest change.
        since_us: since when the later ones count.
    """
    groups: dict[tuple[str, ...], list[Incident]] = defaultdict(list)
    for i in sorted(incidents, key=lambda i: (i.alarmed_us, i.id)):
        if i.metric:
            groups[i.app, *signature_of(i, kinds.get(i.id))].append(i)
    found = []
    for name, group in groups.items():
        for at, closed in enumerate(group):
            again = [
                i.id
                for i in group[at + 1 :]
                if closed.closed_us is not None and i.alarmed_us >= max(closed.closed_us, since_us)
            ]
            if again:
                found.append(Recurrence(signature=name, closed=closed.id, again=tuple(again)))
    return tuple(sorted(found, key=lambda r: r.closed))


def agenda_of(
    incidents: Sequence[Incident],
    drafts: Mapping[str, Postmortem],
    empty: Mapping[str, Sequence[str]],
    commitments: Iterable[Commitment],
    recurrences: Iterable[Recurrence],
    *,
    published: Iterable[str],
    now_us: int,
) -> tuple[Agenda, ...]:
    """What is unresolved, in the order in which a review should take it: what came back, what was promised, what was not said.

    By incident: that it goes on with nobody on it, or for longer than its runbook lasts; unanswered comments; that it is
    closed for a week without a published postmortem; proposals that nobody has decided on a week after the alarm.

    Args:
        incidents: all of them.
        drafts: incident -> its working postmortem, with what people wrote and decided.
        empty: incident -> sections for people that nobody has written.
        commitments: actions that were taken.
        recurrences: signatures that came back.
        published: incidents with a published postmortem.
        now_us: the clock.
    """
    found = [
        Agenda(
            incident=r.closed, what="came back", text=f"closed, and again in {', '.join(r.again)}: what did we miss?"
        )
        for r in recurrences
    ]
    found += _promised(commitments, now_us)
    done = set(published)
    for i in sorted(incidents, key=lambda i: (i.severity, i.alarmed_us, i.id)):
        if i.closed_as in ("false alarm", "duplicate"):
            continue
        found += _unsaid(i, drafts.get(i.id), empty.get(i.id, ()), i.id in done, now_us)
    return tuple(found)


def _promised(commitments: Iterable[Commitment], now_us: int) -> list[Agenda]:
    open_ones = [c.item for c in commitments if c.item.state == "open"]
    found = []
    for item in sorted(open_ones, key=lambda i: (not i.claimed, i.due_us, i.id)):
        if item.claimed:
            found.append(
                Agenda(
                    incident=item.incident,
                    what="claimed",
                    text=f"{item.id} is said to be done, not proved: {item.title}",
                )
            )
        elif item.due_us < now_us:
            late = duration((now_us - item.due_us) / 1e6)
            found.append(
                Agenda(incident=item.incident, what="overdue", text=f"{item.id} by {item.owner}, {late}: {item.title}")
            )
        elif item.proof is not None and not item.proof.met:
            found.append(Agenda(incident=item.incident, what="not proved", text=f"{item.id}: {item.proof.text}"))
    return found


def _unsaid(
    incident: Incident, draft: Postmortem | None, empty: Sequence[str], published: bool, now_us: int
) -> list[Agenda]:
    found = []
    if incident.closed_us is None:
        found += _goes_on(incident, now_us)
    for comment in (c for c in draft.review.comments if not c.resolved_by) if draft else ():
        text = f"{comment.id} by {comment.by}: {comment.text}"
        found.append(Agenda(incident=incident.id, what="open comment", text=text))
    waits = incident.closed_us is not None and now_us - incident.closed_us > MOST_OPEN_US
    if waits and not published:
        lasts = duration((now_us - (incident.closed_us or now_us)) / 1e6)
        text = f"closed {lasts} ago, and no postmortem is published"
        found.append(Agenda(incident=incident.id, what="not published", text=text))
        if empty:
            text = f"nobody has written: {'; '.join(empty)}"
            found.append(Agenda(incident=incident.id, what="empty sections", text=text))
    proposed = [a for a in draft.actions if a.state == "proposed"] if draft else []
    if proposed and now_us - incident.alarmed_us > MOST_OPEN_US:
        ids = ", ".join(a.id for a in proposed)
        text = f"nobody has taken or dropped {len(proposed)} proposed action{'' if len(proposed) == 1 else 's'} ({ids})"
        found.append(Agenda(incident=incident.id, what="not decided", text=text))
    return found


def _goes_on(incident: Incident, now_us: int) -> list[Agenda]:
    """That nobody is on an open incident, or that it is open for longer than its runbook lasts."""
    lasts_us = now_us - incident.alarmed_us
    alone = incident.acked_us is None and incident.state == "open"
    if not alone and lasts_us <= LAST_PHASE_US:
        return []
    who = "nobody has said that they are at it" if alone else f"it is {incident.state}"
    if not alone and incident.acked_by:
        who += f", and {incident.acked_by} is at it"
    text = f"alarmed {duration(lasts_us / 1e6)} ago, not closed: {who}"
    return [Agenda(incident=incident.id, what="nobody on it" if alone else "still open", text=text)]


def _lags(incidents: Iterable[Incident]) -> tuple[tuple[str, Spread], ...]:
    quarters: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for i in incidents:
        quarters[quarter_of(i.alarmed_us)].append(i.lag_s)
    return tuple(
        (quarter, spread_of(*([lag[k] for lag in lags] for k in (0, 1, 2))))
        for quarter, lags in sorted(quarters.items())
    )


def _to_stabilise(incidents: Iterable[Incident]) -> list[float]:
    """Seconds from the alarm until harm had stopped, where it stopped after it."""
    ends = [(i.alarmed_us, i.stabilised_us) for i in incidents]
    return [(end - alarm) / 1e6 for alarm, end in ends if end is not None and end >= alarm]


def _by_us(incident: Incident) -> bool:
    """Whether a chart spoke before any person did."""
    said = incident.noticed_us
    return incident.origin == "signal" and (said is None or said >= incident.alarmed_us)


def _first_pull(incident: Incident, pulls: Mapping[str, Sequence[int]]) -> int | None:
    return min((at for at in pulls.get(incident.id, ()) if at >= incident.alarmed_us), default=None)


def _verified(taken: Sequence[Commitment], days: int, now_us: int) -> Share:
    """Of the actions taken at least so many days ago, those proved within them and not disproved since.

    What was dropped counts as not verified: otherwise dropping would raise the rate.
    """
    span = days * DAY_US
    asked = [c for c in taken if now_us - c.taken_us >= span]
    done = [c for c in asked if c.item.state == "done" and c.proved_us is not None and c.proved_us - c.taken_us <= span]
    return share_of(len(done), len(asked))
