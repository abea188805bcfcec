"""Question 2, read from the tables and the change log: what changed?"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import scipy
from numpy.typing import NDArray

from andon import stats
from andon.changes import Change
from andon.changes.run import changes_of
from andon.investigations.exposure import SIDES, Bin, Exposure
from andon.investigations.onset import AFTERWARDS, PARTS, Onset, within_windows
from andon.investigations.priors import WATCHED
from andon.investigations.records import Suspect
from andon.investigations.run.case import DAY_US, Case
from andon.investigations.silent import Side, side_of_sums
from andon.investigations.suspects import (
    Behind,
    Candidate,
    Traffic,
    contrasting,
    raised_by,
    rank_suspects,
    told_once,
)
from andon.monitors import Signal
from andon.monitors.run import scope_of
from andon.scores import Embedder, failing
from andon.store import Ledger, Lookup, Rollup, Sample, Span, Where
from andon.traffic import VERSIONS

__all__ = [
    "changes_near",
    "suspects_of",
    "traffic_of",
]


LOOK_BACK_US = 60 * DAY_US
"""Changes this long before the onset are candidates: a corpus may take six weeks to hurt."""


QUESTIONS = 800
"""Questions before and after that are compared by meaning."""

BINS = 12
"""Stretches of time since the onset in which those who saw a change are compared with the others."""

LEAST_SHARE = 0.02
"""A model or provider with a smaller share of the traffic is not asked about."""

DOSE, LEAST_DOSE, DOSE_HOURS, DOSE_BEFORE_US = 3.0, 0.02, 3, 2 * DAY_US
"""A change raised the share of a version if within three hours it became this many times what it was, and at least this; asked
of changes from two days before the onset. A rise by less than three standard errors may be chance."""

FEW, UNMOVED, STEADY = 100, 0.25, 2.5
"""A metric did not move if, of at least so many measurements on each side, the mean moved by less than this share of a standard
deviation with 95 % confidence, and by less than this many standard errors."""

SHIFTED, DOUBTED, NEW = 0.01, 0.1, 1 / 3
"""Questions have surely changed below the first of these p, may have below the second; and how often they do, before any test."""

LIKELY = 0.01
"""Windows of the onset's posterior that are looked into, by their probability."""

ELSEWHERE = 0.2
"""A change that so few outside of the failing part saw, and all but so few inside, has made that part."""

SURGE_RATIO, SURGE_DAYS = 1.25, 3
"""Traffic surges if it is at least this many times that of the same hours on the busiest of at least so many earlier days."""

HOUR_US = 3_600_000_000

_Table = dict[int, dict[str, float]]
"""Sums of sampling weights: start of the stretch -> version -> sum."""


def changes_near(case: Case, ledger: Ledger, opener: Signal) -> list[Change]:
    """What the change log holds of the 60 days before the onset and the time since, as it was entered."""
    start, end = opener.onset_low_us - LOOK_BACK_US, max(case.after.end_us, opener.onset_high_us + 1)
    return changes_of(ledger, case.signal.app, case.signal.environment, start, end)


def suspects_of(
    case: Case, every: Sequence[Change], traffic: Traffic, opener: Signal, signals: Sequence[Signal] = ()
) -> tuple[Suspect, ...]:
    """Rank the changes before the onset.

    Args:
        case: the affected traffic.
        every: the change log (`changes_near`).
        traffic: what is known of a shift of the traffic itself.
        opener: the signal that dated the onset.
        signals: all that the incident has.
    """
    s = case.signal
    recorded, entered = told_once(every), {c.id: c.at_us for c in every}
    latest = max((at + opener.window_us for at, _ in opener.onset_probability), default=opener.onset_high_us)
    # one onset in twenty lies outside of its interval of 95 %
    changes = [c for c in recorded if c.at_us <= max(latest, opener.onset_high_us)]
    counts, versions = _Counts(case), _Versions(case, opener.onset_low_us - DOSE_BEFORE_US - DOSE_HOURS * HOUR_US)
    whole = _Counts(replace(case, signal=replace(s, scope={}))) if s.scope else counts
    spoke = sorted((o for o in signals if o.at_us <= case.after.end_us), key=lambda o: (o.at_us, -o.statistic, o.id))
    baseline = (s.baseline_x + 0.5) / (s.baseline_n + 1)
    candidates = [
        replace(
            _candidate(c, recorded, counts, whole, versions),
            note=_note(c, changes),
            entered_us=entered[c.id] if entered[c.id] > c.at_us else None,
        )
        for c in changes
    ]
    return rank_suspects(
        _with_doses(case, versions, candidates, opener, baseline),
        metric=s.metric,
        scope=s.scope,
        onset=_onset(case, opener, baseline),
        baseline=baseline,
        traffic=traffic,
        others=tuple(dict.fromkeys(o.metric for o in spoke if o.metric != s.metric)),
        behind=_behind(case, counts, whole),
        course=counts.course(),
        still=_still(case),
        surge=_surge(case),
    )


def _onset(case: Case, opener: Signal, baseline: float) -> Onset:
    """The posterior of the onset, within its likelier windows by what came there (`within_windows`).

    Where another metric dated the onset than the one that leads, the windows stay whole.
    """
    windows, width = opener.onset_probability or ((opener.onset_us, 1.0),), opener.window_us
    likely = [at for at, p in windows if p >= LIKELY]
    counts: dict[int, tuple[float, float]] = {}
    if likely and opener.metric == case.signal.metric:
        span = Span(start_us=min(likely), end_us=min(case.after.end_us, max(likely) + (1 + AFTERWARDS) * width))
        n, x = (_by_window(case, None, span, width // PARTS, *extra) for extra in ((), (case.harm,)))
        unit = case.unit()
        counts = {at: (x.get(at, {}).get("", 0.0) / unit, row[""] / unit) for at, row in n.items()}
    return within_windows(windows, width, counts, baseline)


class _Counts:
    """Traffic and harm since the onset by version and by stretch of time, asked for once per version field."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._unit = case.unit()
        length = case.after.end_us - case.after.start_us
        self._bin_us = max(case.signal.window_us, -(-length // BINS))
        self._seen: dict[str | None, tuple[_Table, _Table]] = {}

    def exposure(self, name: str, values: Collection[str], before_share: float, since_us: int = 0) -> Exposure:
        """Harm among those who saw one of these values of a version field, and among the rest of the same time.

        Stretches that ended before `since_us` (the change) are left out, unless there would be none: whoever asked before a change
        was made is no one to compare with, and that harm came before it is what the onset's posterior says already.
        """
        n, x = self._of(name)
        every_n, every_x = self._of(None)
        if any(at + self._bin_us > since_us for at in every_n):
            every_n = {at: row for at, row in every_n.items() if at + self._bin_us > since_us}
        bins = []
        for at, total in sorted(every_n.items()):
            exposed_n, exposed_x = (sum(t.get(at, {}).get(v, 0.0) for v in values) for t in (n, x))
            harmed = sum(every_x.get(at, {}).values())
            sums = exposed_x, exposed_n, harmed - exposed_x, sum(total.values()) - exposed_n
            bins.append(Bin(**dict(zip(SIDES, (max(0.0, v / self._unit) for v in sums), strict=True))))
        sides = {side: math.fsum(getattr(b, side) for b in bins) for side in SIDES}
        return Exposure(**sides, before_share=before_share, bins=tuple(bins))

    def course(self) -> list[tuple[float, float]]:
        """Harm and traffic by stretch of time."""
        n, x = self._of(None)
        return [
            (sum(x.get(at, {}).values()) / self._unit, sum(row.values()) / self._unit) for at, row in sorted(n.items())
        ]

    def shares(self, name: str) -> dict[str, float]:
        """Share of the traffic since the onset by value of a version field."""
        total: dict[str, float] = {}
        for row in self._of(name)[0].values():
            for value, w in row.items():
                total[value] = total.get(value, 0.0) + w
        every = math.fsum(sum(row.values()) for row in self._of(None)[0].values())
        return {value: w / every for value, w in total.items()} if every else {}

    def before(self, name: str) -> dict[str, float]:
        """Traffic before the onset by value of a version field."""
        return self._case.by(name, self._case.before)

    def total(self, name: str | None, value: str) -> float:
        """Traffic since the onset that saw a value of a version field; of all traffic with None and an empty value."""
        return math.fsum(row.get(value, 0.0) for row in self._of(name)[0].values())

    def _of(self, name: str | None) -> tuple["_Table", "_Table"]:
        if name not in self._seen:
            self._seen[name] = self._read(name), self._read(name, self._case.harm)
        return self._seen[name]

    def _read(self, name: str | None, *extra: Where) -> "_Table":
        return _by_window(self._case, name, self._case.after, self._bin_us, *extra)


class _Versions:
    """Traffic by version and hour, before the onset and since: one question for each version field, however many changes."""

    def __init__(self, case: Case, start_us: int) -> None:
        self._case = case
        self._span = Span(start_us=min(case.before.start_us, start_us), end_us=case.after.end_us)
        self.first_hour_us = case.before.start_us + HOUR_US
        self._seen: dict[str | None, _Table] = {}

    def hours(self, name: str, values: Collection[str]) -> dict[int, tuple[float, float]]:
        """By hour since the epoch: traffic that saw one of these values, and all traffic."""
        for asked in (name, None):
            if asked not in self._seen:
                self._seen[asked] = _by_window(self._case, asked, self._span, HOUR_US)
        of = self._seen[name]
        return {
            at // HOUR_US: (math.fsum(of.get(at, {}).get(v, 0.0) for v in values), math.fsum(every.values()))
            for at, every in sorted(self._seen[None].items())
        }

    def share_before(self, change: Change) -> float:
        """Share of the traffic before the change (and the onset) that saw its version already; 0 where there was none.

        The hour of the change itself is left out.
        """
        if change.version_field is None or change.after is None:
            return 0.0
        first, end = self._case.before.start_us, min(change.at_us, self._case.before.end_us)
        which = range(-(-first // HOUR_US), end // HOUR_US)
        return _share(self.hours(change.version_field, (change.after,)), which)

    def arrivals(self, change: Change, values: Collection[str]) -> tuple[tuple[int, float], ...]:
        """When traffic began to see a change, by the hour: (time, probability that the onset is dated by those who came then).

        It is dated by the earlier of any two who saw it, as harm shows in those who come first: ``(1 - l_before)^2 - (1 - l)^2``
        with l the level of its share of the traffic. The share is taken never to fall, and fitted so (isotonic regression,
        weighted by traffic): otherwise every wobble of it would be an arrival.
        """
        if change.version_field is None:
            return ()
        first = change.at_us // HOUR_US
        told = [(h, saw / n, n) for h, (saw, n) in self.hours(change.version_field, values).items() if h > first and n]
        if len(told) < 2:
            return ()
        level = scipy.optimize.isotonic_regression([s for _, s, _ in told], weights=[n for _, _, n in told]).x
        if level[-1] <= 0:
            return ()
        come = -np.diff((1 - level / level[-1]) ** 2, prepend=1.0)
        # who sees it in its first whole hour is taken to have seen it at once
        times = [change.at_us, *(h * HOUR_US for h, _, _ in told[1:])]
        return tuple((at, float(share)) for at, share in zip(times, come, strict=True) if share > 0)


def _by_window(case: Case, name: str | None, span: Span, window_us: int, *extra: Where) -> _Table:
    """Traffic by stretch of time and value of a field; all of it as one value without a field."""
    found = case.rollup((name,) if name else (), span, *extra, window_us=window_us)
    values = found[name].to_pylist() if name else [""] * found.num_rows  # all traffic is one value
    table: _Table = {}
    columns = (found["window_us"].to_pylist(), values, found[f"{case.signal.metric}.w"].to_pylist())
    for at, value, w in zip(*columns, strict=True):
        if value is not None:
            table.setdefault(at, {})[value] = float(w or 0)
    return table


def _still(case: Case) -> frozenset[str]:
    """Those of the metrics that measure one part of the system alone which are measured, and did not move since the onset."""
    sides = []
    for span in (case.before, case.after):
        measures = ("n", "sum", "sumsq")
        plan = Rollup(table="scores", metrics=WATCHED, measures=measures, span=span, where=scope_of(case.signal))
        sides.append(case.warehouse.run(plan).to_pylist()[0])
    return frozenset(
        m for m in WATCHED if m != case.signal.metric and _unmoved(*(side_of_sums(row, m) for row in sides))
    )


def _unmoved(before: Side, after: Side) -> bool:
    """Whether a mean is known to be where it was; see `UNMOVED`."""
    n1, n2 = before.n, after.n
    if min(n1, n2) < FEW:
        return False
    sd = math.sqrt((n1 * before.variance + n2 * after.variance) / (n1 + n2))
    error, moved = sd * math.sqrt(1 / n1 + 1 / n2), abs(after.mean - before.mean)
    return moved <= STEADY * error and moved + 2 * error <= UNMOVED * sd


def _candidate(
    change: Change, recorded: Sequence[Change], counts: _Counts, whole: _Counts, versions: _Versions
) -> Candidate:
    """A change with who saw it, as far as a version field shows that.

    Where the failing part is just those who saw it, the others are outside of the part, and it is compared with those.
    """
    name, value = change.version_field, change.after
    if name is None or name not in VERSIONS or value is None:
        return Candidate(change=change)
    before = versions.share_before(change)
    later = _later(change, recorded) if name != "source" else set()  # where traffic comes from is no row of versions
    outside = _outside(change, counts, whole)
    made = outside is not None and outside < ELSEWHERE and counts.shares(name).get(value, 0.0) > 1 - ELSEWHERE
    if made and change.at_us > versions.first_hour_us:  # a version that was there from the first row on is no change
        counts = whole
    return Candidate(
        outside=outside,
        change=change,
        exposure=counts.exposure(name, {value}, before, change.at_us),
        carried=counts.exposure(name, {value, *later}, before, change.at_us) if later else None,
        arrivals=versions.arrivals(change, {value, *later}),
    )


def _outside(change: Change, inside: _Counts, whole: _Counts) -> float | None:
    """How widely traffic outside of the failing part saw a change, as a share of how widely that inside did."""
    name, value = change.version_field, change.after
    if name is None or name not in VERSIONS or value is None or inside is whole:
        return None
    n, every = inside.total(None, ""), whole.total(None, "")
    seen, of_all = inside.total(name, value), whole.total(name, value)
    if not n or not seen or every <= n:
        return None
    return min(1.0, max(0.0, (of_all - seen) / (every - n)) / (seen / n))


def _with_doses(
    case: Case, versions: _Versions, candidates: Sequence[Candidate], opener: Signal, baseline: float
) -> list[Candidate]:
    """The candidates, where a change that no field shows made many more see a version that harms: then it has its exposure.

    Two changes may be one incident: a fault that few saw, and a change of the load that sent many more of them there.
    """
    since = opener.onset_low_us - DOSE_BEFORE_US
    hidden = [c for c in candidates if c.exposure is None and c.change.at_us >= since]
    known = {c.change.id: c for c in candidates}
    for c in contrasting(candidates, baseline)[:3] if hidden else ():
        assert c.change.version_field is not None
        assert c.change.after is not None
        hours = versions.hours(c.change.version_field, (c.change.after,))
        for d in hidden:
            hour = d.change.at_us // HOUR_US
            if d.change.at_us - c.change.at_us <= (DOSE_HOURS + 1) * HOUR_US:
                continue
            (x1, n1), (x2, n2) = (
                _sums(hours, range(first, first + DOSE_HOURS)) for first in (hour - DOSE_HOURS, hour + 1)
            )
            if not n1 or not n2:
                continue
            before, after, both = x1 / n1, x2 / n2, (x1 + x2) / (n1 + n2)
            error = math.sqrt(both * (1 - both) * (1 / n1 + 1 / n2) * case.unit())
            if after >= max(DOSE * before, LEAST_DOSE) and after - before > 3 * error:
                known |= {told.change.id: told for told in raised_by(d, c, before, after)}
    return list(known.values())


def _share(hours: Mapping[int, tuple[float, float]], which: range) -> float:
    """Share of the traffic of these hours that saw the version; 0 where there was none."""
    saw, every = _sums(hours, which)
    return saw / every if every else 0.0


def _sums(hours: Mapping[int, tuple[float, float]], which: range) -> tuple[float, float]:
    """Traffic of these hours that saw the version, and all of it."""
    saw, every = (math.fsum(hours.get(h, (0.0, 0.0))[k] for h in which) for k in (0, 1))
    return saw, every


def _later(change: Change, changes: Sequence[Change]) -> set[str]:
    """Versions of the same part that came after this one: they may carry on what it brought, unless they were there before."""
    same = [c for c in changes if c.version_field == change.version_field and c.scope == change.scope and c.after]
    known = {c.after for c in same if c.at_us <= change.at_us} | {c.before for c in same if c.at_us <= change.at_us}
    return {c.after for c in same if c.at_us > change.at_us and c.after is not None} - {v for v in known if v}


def _behind(case: Case, counts: _Counts, whole: _Counts) -> tuple[Behind, ...]:
    """Models and providers that had part of the traffic before and since: one of them may have moved behind its name.

    Where the failing part is the traffic of one model, that one is compared with the rest of all traffic.
    """
    found = []
    for name in ("provider", "requested_model"):
        asked = whole if name in case.signal.scope else counts
        shares = asked.shares(name)
        if len(shares) < 2:
            continue
        before = asked.before(name)
        least = LEAST_SHARE * sum(before.values())
        found += [
            Behind(field=name, value=v, exposure=asked.exposure(name, {v}, 1.0))
            for v, share in sorted(shares.items())
            if share >= LEAST_SHARE and before.get(v, 0.0) > least
        ]
    return tuple(found)


def _surge(case: Case) -> str:
    """In words, how much more traffic came since the onset than in the same hours of any earlier day; empty where it did not.

    Only whole windows are counted, and only days that ended before the onset; the rise must be beyond chance.
    """
    window, unit = case.signal.window_us, case.unit()
    first, end = -(-case.after.start_us // window), case.after.end_us // window
    known, day = -(-case.before.start_us // window), round(DAY_US / window)
    table = _by_window(case, None, Span(start_us=case.before.start_us, end_us=case.after.end_us), window)
    came = {at // window: math.fsum(row.values()) / unit for at, row in sorted(table.items())}

    def since(back: int) -> float:
        return math.fsum(came.get(k - back * day, 0.0) for k in range(first, end))

    usual = [since(back) for back in range(max(1, -(-(end - first) // day)), (first - known) // day + 1)] if day else []
    most, now = max(usual, default=0.0), since(0)
    if len(usual) < SURGE_DAYS or now < SURGE_RATIO * most or now - most <= 3 * math.sqrt(now + most):
        return ""
    return f"{now / max(most, 1.0):.1f} times the traffic of the same hours on the busiest of {len(usual)} earlier days"


def _note(change: Change, changes: Sequence[Change]) -> str:
    """A corpus that moved while the index stood still is worse than either alone."""
    rebuilt = any(c.kind == "index" and c.at_us >= change.at_us for c in changes)
    return "the index was not rebuilt after the corpus changed" if change.kind == "corpus" and not rebuilt else ""


def traffic_of(case: Case, embedder: Embedder, rng: np.random.Generator) -> Traffic:
    """Compare the questions of before and after the onset, and see whether the new ones carry the harm."""
    before, after = _questions(case, case.before), _questions(case, case.after)
    if min(len(before), len(after)) < 20:
        few = (
            f"too few distinct questions to compare ({len(before)} before, {len(after)} since the onset; 20 are needed)"
        )
        return Traffic(shifted=False, explained=0.0, words=(few,), tested=False)
    old = embedder.embed(list(before))
    new = embedder.embed(list(after))
    p, distance = stats.mean_shift(old, new, rng)
    if p >= DOUBTED:
        return Traffic(shifted=False, explained=0.0, words=(f"questions are as before (p = {p:.3f}, {embedder.name})",))
    likeness = old @ old.T
    np.fill_diagonal(likeness, -1.0)
    familiar = (new @ old.T).max(axis=1) >= np.quantile(likeness.max(axis=1), 0.1)
    harmed = np.array(list(after.values()))
    base = float(np.mean(list(before.values())))
    rate, known = float(harmed.mean()), float(harmed[familiar].mean()) if familiar.any() else base
    explained = float(np.clip(1 - (known - base) / (rate - base), 0, 1)) if rate > base else 0.0
    sure = _surely_new(p)
    words = (
        f"the questions {'changed' if p < SHIFTED else 'may have changed'} (permutation p = {p:.3f}, distance of means {distance:.2f}, {embedder.name})",
        f"{1 - familiar.mean():.0%} of the questions are of new kinds, against 10 % expected",
        f"harm {_rate(harmed[familiar])} among familiar questions, {_rate(harmed[~familiar])} among new ones, {base:.0%} before",
    )
    return Traffic(shifted=True, explained=explained, words=words, sure=sure)


def _surely_new(p: float) -> float:
    """Probability that the questions changed, from the p-value of the test.

    ``1 / (1 + B (1 - NEW) / NEW)`` with ``B = -e p ln p``, the least that the data can speak for "no shift" (Sellke, Bayarri
    and Berger, The American Statistician 55 (2001), 62-71); 1 below `SHIFTED`. One bound alone would make p = 0.009 and 0.011
    opposites.
    """
    if p < SHIFTED:
        return 1.0
    return 1 / (1 - math.e * p * math.log(p) * (1 - NEW) / NEW)


def _rate(harmed: NDArray[np.float64]) -> str:
    return f"{harmed.mean():.0%}" if len(harmed) else "none"


def _questions(case: Case, span: Span) -> dict[str, float]:
    """A sample of distinct questions of the affected traffic and whether each was harmed."""
    metric = case.signal.metric
    plan = Sample(table="scores", n=QUESTIONS, seed=2, columns=("interaction_id", metric), span=span, where=case.scope)
    table = case.warehouse.run(plan)
    values = dict(zip(table["interaction_id"].to_pylist(), table[metric].to_pylist(), strict=True))
    op, bound = failing(case.signal.kind, case.signal.direction, case.signal.cut)
    day = Span(start_us=span.start_us - DAY_US, end_us=span.end_us)
    ids = tuple(sorted(values))
    found = case.warehouse.run(Lookup(table="interactions", ids=ids, columns=("id", "query"), span=day))
    return {
        query: float(values[name] >= bound if op == "ge" else values[name] < bound)
        for name, query in zip(found["id"].to_pylist(), found["query"].to_pylist(), strict=True)
        if query
    }
