"""What would other monitor settings have said? History replayed through many of them at once: counts in, alarms out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import scipy
from numpy.typing import NDArray

from andon import stats
from andon.errors import InputError
from andon.monitors.records import TRAFFIC, Monitor
from andon.stats.charts import cusum, ewma, rolling_sigma
from andon.stats.run_length import NormalCusum, NormalEwma, limit_for

__all__ = ["CHARTS", "LEAST_HOURS", "LEAST_N", "Chart", "Event", "Setting", "Trial", "alarms_of", "judge"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
HOURS_A_MONTH = 720.0

Chart = Literal["e-detector", "shewhart", "ewma", "cusum", "two-sigma"]
CHARTS: tuple[Chart, ...] = get_args(Chart)

WEEK = 168
LEAST_HOURS, LEAST_N = 48, 100

SMOOTHING, REFERENCE = 0.1, 0.5
"""Weight of an EWMA's newest hour, and reference value of a CUSUM, in standard deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to watch: which chart, for which budget, how far the baseline is guarded."""

    chart: Chart = "e-detector"
    false_pages_per_month: float = 1.0
    """Over everything; the rule of thumb ``two-sigma`` knows no budget."""
    guard: float = 1.0
    """How often the error of the baseline is given away; 1 is what a running monitor does."""

    @property
    def name(self) -> str:
        """In words."""
        if self.chart == "two-sigma":
            return "2 sigma of the rolling week"
        guard = "" if self.guard == 1 or self.chart != "e-detector" else f", guard x {self.guard:g}"
        return f"{self.chart}, {self.false_pages_per_month:g} false a month{guard}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that did go wrong, and when."""

    name: str
    app: str
    environment: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one setting would have done."""

    setting: Setting
    alarms: int
    """Of single charts, each silent for a day after one."""
    pages: int
    """Alarms of one app within a day of a page are part of it."""
    false_pages: int
    """Pages outside every event."""
    months: float
    """Length of what was watched."""
    found: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Event -> when it was first told, and by which monitor."""
    missed: tuple[str, ...] = ()

    @property
    def false_a_month(self) -> float:
        """False pages in 30 days."""
        return self.false_pages / self.months


def alarms_of(
    monitors: Sequence[Monitor],
    kinds: Mapping[str, str],
    n: Floats,
    x: Floats,
    first_hour: int,
    learn: int,
    settings: Sequence[Setting],
) -> list[tuple[Ints, Ints]]:
    """The alarms of every setting, as (hours since 1970, numbers of the charts).

    The baseline is learned once from the first `learn` hours and then stands; the rest is watched. Settings that differ
    in their budget alone share the work.

    Args:
        monitors: the charts, k of them; those of the traffic itself and of objectives are left out.
        kinds: metric -> ``binary`` or ``number``.
        n: observations by hour, shape (t, k).
        x: harm by hour, shape (t, k).
        first_hour: hours since 1970 of the first row.
        learn: how many rows the baseline is learned from, at least 48.
        settings: what to try.

    Raises:
        InputError: too little history, or no chart with enough of it.
    """
    if not LEAST_HOURS <= learn < len(n):
        raise InputError(
            f"there are {len(n)} hours of history, of which {learn} would be learned from: at least {LEAST_HOURS} must be, "
            "and some be left to watch"
        )
    kept = np.array([m.metric != TRAFFIC and m.at_most is None for m in monitors], dtype=np.bool_)
    usable = np.flatnonzero(kept & (n[:learn].sum(axis=0) >= LEAST_N))
    if len(usable) == 0:
        raise InputError(f"no chart has {LEAST_N} observations in the hours to learn from; learn from more hours")
    watch = _learned([monitors[i] for i in usable.tolist()], kinds, n[:, usable], x[:, usable], first_hour, learn)
    groups: dict[tuple[Chart, float], list[int]] = defaultdict(list)
    for at, setting in enumerate(settings):
        groups[setting.chart, setting.guard if setting.chart == "e-detector" else 1.0].append(at)
    found: dict[int, tuple[Ints, Ints]] = {}
    for (chart, guard), members in groups.items():
        lengths = [len(usable) * HOURS_A_MONTH / settings[i].false_pages_per_month for i in members]
        for at, (hour, series) in zip(members, _alarms(watch, chart, guard, lengths), strict=True):
            found[at] = hour + first_hour + learn, usable[series]
    return [found[at] for at in range(len(settings))]


def judge(
    setting: Setting, alarms: tuple[Ints, Ints], monitors: Sequence[Monitor], hours: int, events: Sequence[Event]
) -> Trial:
    """What these alarms were worth: which events they told of, how soon, and how many pages were false.

    Args:
        setting: that raised them.
        alarms: from `alarms_of`.
        monitors: the charts.
        hours: how many hours were watched.
        events: what did go wrong; an alarm within one, or within a day of its end, tells of it.
    """
    told = []
    last: dict[int, int] = {}
    for hour, series in sorted(zip(*(a.tolist() for a in alarms), strict=True)):
        if hour - last.get(series, -24) >= 24:
            told.append(((hour + 1) * HOUR_US, monitors[series]))
        last[series] = hour
    pages: list[tuple[int, Monitor]] = []
    latest: dict[tuple[str, str], int] = {}
    for at_us, monitor in told:
        app = monitor.app, monitor.environment
        if at_us - latest.get(app, -DAY_US) >= DAY_US:
            pages.append((at_us, monitor))
            latest[app] = at_us
    found: dict[str, tuple[int, str]] = {}
    for event in events:
        first = next(((at, m.id) for at, m in told if _within(event, at, m)), None)
        if first is not None:
            found[event.name] = first
    return Trial(
        setting=setting,
        alarms=len(told),
        pages=len(pages),
        false_pages=sum(not any(_within(e, at, m) for e in events) for at, m in pages),
        months=hours / HOURS_A_MONTH,
        found=found,
        missed=tuple(e.name for e in events if e.name not in found),
    )


def _within(event: Event, at_us: int, monitor: Monitor) -> bool:
    same = (event.app, event.environment) == (monitor.app, monitor.environment)
    return same and event.start_us < at_us <= event.end_us + DAY_US


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    """What is watched, and what was learned of it."""

    n: Floats
    x: Floats
    clock: Ints
    learn: int
    baseline: stats.Baseline


def _learned(
    monitors: Sequence[Monitor], kinds: Mapping[str, str], n: Floats, x: Floats, first_hour: int, learn: int
) -> _Watched:
    clock = stats.clock_of(first_hour + np.arange(len(n)))
    rate = (x[:learn].sum(axis=0) + 0.5) / (n[:learn].sum(axis=0) + 1)
    typical = np.array([kinds.get(m.metric) == "number" and not m.aspect for m in monitors], dtype=np.bool_)
    variance = np.where(typical, stats.RIDIT_VARIANCE, rate * (1 - rate))
    baseline = stats.fit_baseline(x[:learn], n[:learn], clock[:learn], variance=variance)
    return _Watched(n=n, x=x, clock=clock, learn=learn, baseline=baseline)


def _alarms(watch: _Watched, chart: Chart, guard: float, lengths: Sequence[float]) -> list[tuple[Ints, Ints]]:
    """Alarms of one chart for several run lengths, as (hours watched, numbers of the series)."""
    base, later = watch.baseline, slice(watch.learn, None)
    if chart == "two-sigma":
        high = rolling_sigma(watch.x, watch.n, WEEK, 2.0)
        return [_where((high.statistic > high.high)[later] & high.seen[later])] * len(lengths)
    y = (watch.x[later] * base.scale).astype(np.float32)
    log_mean = base.log_rate + guard * base.guard if chart == "e-detector" else base.log_rate
    mean = (watch.n[later] * np.exp(log_mean)[watch.clock[later]]).astype(np.float32)
    if chart == "e-detector":
        return stats.detect(y, mean, base.spread, base.persistence, lengths, log_ratio=stats.log_ratios(base.rate))
    residuals = np.where(mean > 0, (y - mean) / np.sqrt(np.maximum(mean + base.spread * mean * mean, 1e-9)), np.nan)
    residuals = residuals.astype(np.float64)
    if chart == "shewhart":
        return [_where(np.nan_to_num(residuals) > scipy.stats.norm.isf(1 / length)) for length in lengths]
    found = []
    for length in lengths:
        if chart == "ewma":
            limit = limit_for(NormalEwma(weight=SMOOTHING, side="upper"), length)
            made = ewma(residuals, SMOOTHING, limit, side="upper", restart=True)
        else:
            limit = limit_for(NormalCusum(reference=REFERENCE, side="upper"), length)
            made = cusum(residuals, REFERENCE, limit, side="upper", restart=True)
        found.append(_where((made.statistic > made.high) & made.seen))
    return found


def _where(alarms: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    hours, series = np.nonzero(alarms)
    return hours.astype(np.int64), series.astype(np.int64)
