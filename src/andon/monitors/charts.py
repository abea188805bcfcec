"""The charts themselves: Phase I learns a baseline, Phase II watches it. Counts in, signals out; no clock, no store."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from andon import stats
from andon.monitors.history import HOUR_US, History
from andon.monitors.publication import Held
from andon.monitors.records import TRAFFIC, Level, Monitor, Signal
from andon.monitors.rise import Rise, by_window
from andon.monitors.series import APART, tells
from andon.scores import Harm

__all__ = ["LEARN_HOURS", "LEARN_N", "Charts"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DAY_US = 24 * HOUR_US
MONTH_US = 30 * DAY_US

LEARN_N = 100
LEARN_HOURS = 2
"""Phase I lasts for this many observations and hours with traffic, whichever comes later. A part of traffic whose whole is
past its own is watched from the start, against its siblings, and can only warn until then."""

FEW_N = 20
"""What is observed so rarely that four weeks bring no `LEARN_N` is learned from four weeks with this many, and else anew."""

YOUNG = frozenset((2, 3, 4, 6, 8, 12, 16, 20, 24, 30, 36, 42, 48))
"""Ages in hours at which a young baseline is estimated anew; from then on it is once a day."""

LAG_SHARE, LAG_MOST_US = 0.25, 7 * DAY_US
"""An hour joins the baseline when it is this share of the chart's age old, at most a week, and only while the chart is
calm: a lasting shift has that long to show itself before it becomes part of what it is compared with."""

YOUNG_US, BEYOND_SEASON = 7 * DAY_US, 2.0
"""No hour of the day and no weekend brings this many times the harm that is expected. What a chart signals on joins its
baseline unless there was so much of it (a mistaken baseline could never learn otherwise), and in its first week a chart pages only
for what an unseen kind of day would not bring; until then it warns."""

KNOWN_X = 20
"""Cases of harm that a baseline rests on before what a chart signals on is kept from it. A chart that has seen only some quiet
days would set aside every other day for ever, and page on each of them."""

LEARN_MOST_US = 28 * DAY_US
"""A baseline stops growing after four weeks: a slow drift must not become the new normal."""

TRAFFIC_LAG_US, TRAFFIC_SPREAD = DAY_US, 0.01
"""Traffic grows and shrinks for good reasons: its baseline is that of the four weeks before yesterday, and never surer than
10 % from hour to hour."""

SIBLINGS = 0.5
"""How far the level of a part may be from that of the whole, at least, on the log scale, before it speaks for itself."""

WARNING = 0.1
"""A warning is given at this share of the threshold of a page: ten for every false page."""

SUNDAY_HOURS = 3
"""A working day with the traffic of a Sunday is warned of once it has lasted for this many hours."""

SILENCE_US = DAY_US
"""After a signal a chart is silent until it has been calm for a day: one signal per event."""

REMINDER_US = 7 * DAY_US
"""An event that lasts is told again after a week, should its incident have been closed too early."""


class Charts:
    """All charts of a process, vectorised: arrays over charts, one step per window.

    Args:
        window_us: width of a window.
        false_pages_per_month: the operator's budget over everything.
        kinds: metric -> ``binary`` or ``number``.
        harms: (metric, direction) -> what is lost.
        weigh: the share of the budget that a chart deserves, greater than 0; equal shares unless given.
    """

    def __init__(
        self,
        window_us: int,
        false_pages_per_month: float,
        kinds: Mapping[str, str],
        harms: Mapping[tuple[str, str], Harm],
        weigh: Callable[[Monitor], float] = lambda _: 1.0,
    ) -> None:
        self.window_us, self.budget, self.kinds, self.harms = window_us, false_pages_per_month, kinds, harms
        self._weigh = weigh
        self._consider: Callable[[Signal], Signal] = lambda signal: signal
        self.monitors: list[Monitor] = []
        self.quiet: set[Monitor] = set()
        """Charts that learn and never tell; they have no share of the budget."""
        self._index: dict[Monitor, int] = {}
        self._apps: dict[tuple[str, str], int] = {}
        self._traffic = np.zeros(0, dtype=np.int64)  # the chart of all traffic of an app, -1 until there is one
        self._history = History(window_us)
        self._hour: int | None = None
        self._weekend = np.zeros(0, dtype=np.bool_)  # by app, in this hour
        self._unlike = np.zeros(0, dtype=np.int64)  # by app: hours of a working day in a row with a Sunday's traffic
        self._app, self._whole, self._first, self._learned, self._until = np.zeros((5, 0), dtype=np.int64)
        self._silent_until, self._over, self._told, self._warned, self._mixed = np.zeros((5, 0), dtype=np.int64)
        self._own, self._is_traffic, self._is_fixed, self._is_quiet, self._may_page = np.zeros((5, 0), dtype=np.bool_)
        self._weight, self._seen, self._hours_seen, self._statistic, self._times = np.zeros((5, 0))
        self._scale, self._spread, self._persistence, self._n0, self._x0 = np.zeros((5, 0))
        self._log_rate, self._guard = np.zeros((2, 48, 0))
        self._coefficients = np.zeros((6, 0))
        self._log_ratio, self._r, self._now = np.zeros((3, len(stats.RATIOS), 0))  # R at the start of the hour, and now
        self._n, self._x = np.zeros((2, 0))  # of the hour, since the last signal
        self._hour_n, self._hour_x = np.zeros((2, 0))  # of the whole hour so far

    @property
    def phases(self) -> tuple[int, int]:
        """How many charts watch, and how many still learn their baseline."""
        watching = int(((self._learned >= 0) & ~self._is_quiet).sum())
        return watching, len(self.monitors) - len(self.quiet) - watching

    def index(self, monitor: Monitor, *, quiet: bool = False) -> int:
        """The number of this chart; one that is new is made, to learn alone if it is to be `quiet`."""
        if monitor not in self._index:
            self._index[monitor] = len(self.monitors)
            self.monitors.append(monitor)
            if quiet:
                self.quiet.add(monitor)
        return self._index[monitor]

    def advance(
        self, first: int, n: Floats, x: Floats, consider: Callable[[Signal], Signal] = lambda signal: signal
    ) -> list[Signal]:
        """Step through consecutive windows and return the signals in order of time.

        Any partition of the same windows into calls gives the same signals.

        Args:
            first: index of the first window since 1970.
            n: observations, shape (windows, charts); of traffic the share of an hour that a window is, over what x counts as one.
            x: harm among them, fractions allowed; same shape.
            consider: gives each signal what only rows can tell. A page may come back as a warning; then its chart gathers
                evidence anew, so that worse to come is told.
        """
        self._grow()
        self._consider = consider
        signals: list[Signal] = []
        for t in range(len(n)):
            signals.extend(self._step(first + t, n[t], x[t]))
        return signals

    def relearn(self, which: Callable[[Monitor], bool], from_us: int) -> list[Monitor]:
        """Let charts forget their baseline, and learn it anew from what came since `from_us`; returns which did.

        Args:
            which: whether it is one of them.
            from_us: the time.
        """
        found = [i for i, m in enumerate(self.monitors[: len(self._first)]) if which(m)]
        for i in found:
            self._first[i] = max(from_us // self._history.hour_us, int(self._first[i]))
            self._learned[i] = self._until[i] = -1
            for array in (
                self._silent_until,
                self._told,
                self._warned,
                self._mixed,
                self._statistic,
                self._r,
                self._now,
            ):
                array[..., i] = 0
            self._seen[i] = self._hours_seen[i] = self._own[i] = 0
            self._history.take_in(i)
        return [self.monitors[i] for i in found]

    def _grow(self) -> None:
        old, new = len(self._first), len(self.monitors)
        if old == new:
            return
        for m in self.monitors[old:]:
            self._apps.setdefault((m.app, m.environment), len(self._apps))
        fills = {
            0: ("_app", "_silent_until", "_over", "_told", "_warned", "_mixed", "_own", "_times", "_is_traffic", "_is_fixed", "_is_quiet", "_may_page", "_seen", "_hours_seen",
                "_statistic", "_n0", "_x0", "_n", "_x", "_hour_n", "_hour_x", "_log_rate", "_guard", "_coefficients",
                "_log_ratio", "_r", "_now"),
            1: ("_weight", "_scale", "_spread", "_persistence"),
            -1: ("_whole", "_first", "_learned", "_until"),
        }  # fmt: skip
        for value, arrays in fills.items():
            for name in arrays:
                array = getattr(self, name)
                more = np.full((*array.shape[:-1], new - old), value, dtype=array.dtype)
                setattr(self, name, np.concatenate([array, more], axis=-1))
        apps = len(self._apps) - len(self._traffic)
        self._traffic = np.concatenate([self._traffic, np.full(apps, -1)])
        self._weekend = np.concatenate([self._weekend, np.zeros(apps, dtype=np.bool_)])
        self._unlike = np.concatenate([self._unlike, np.zeros(apps, dtype=np.int64)])
        self._history.grow(new, len(self._apps))
        for i, m in enumerate(self.monitors[old:], old):
            app = self._app[i] = self._apps[m.app, m.environment]
            self._weight[i], self._is_quiet[i] = self._weigh(m), m in self.quiet
            self._may_page[i] = not (m in self.quiet or m.warns)
            self._is_traffic[i], self._is_fixed[i] = m.metric == TRAFFIC, m.at_most is not None
            self._log_ratio[:, i] = np.log(stats.RATIOS) * (-1 if m.metric == TRAFFIC else 1)
            if m.metric == TRAFFIC and not m.scope and not m.aspect:
                self._traffic[app] = i
        for i, m in enumerate(self.monitors[old:], old):
            apart = tuple(pair for pair in m.scope if pair[0] in APART)  # probes are no part of people's traffic
            scope = apart if m.at_most is None else m.scope  # an objective's is the chart beside it
            whole = replace(m, scope=scope, objective="", at_most=None)
            self._whole[i] = self._index.get(whole, -1) if whole != m and m.metric != TRAFFIC else -1

    def _step(self, window: int, n: Floats, x: Floats) -> list[Signal]:
        """One window of every chart."""
        hour = window * self.window_us // self._history.hour_us
        if hour != self._hour:
            if self._hour is not None:
                self._close(self._hour)
            self._hour = hour
            for total in (self._n, self._x, self._hour_n, self._hour_x):
                total.fill(0)
        self._first[(self._first < 0) & (n > 0)] = hour
        self._history.put_window(window, n, x)
        self._n += n
        self._x += x
        self._hour_n += n
        self._hour_x += x
        self._seen += np.where(self._is_traffic, x, n)
        self._kind_of_day(hour)
        return self._watch(window, hour, n > 0)

    def _cells(self, hour: int) -> tuple[Ints, Ints]:
        """The cell of the clock for every app, and that of the other kind of day."""
        by_calendar = np.full(len(self._weekend), stats.clock_of(self._clock(np.array([hour])))[0])
        return by_calendar, (by_calendar + 24) % 48

    def _clock(self, hours: Ints) -> Ints:
        """Hours since 1970 of indices of hours (which are wider where a window is)."""
        return hours * self._history.hour_us // HOUR_US

    def _kind_of_day(self, hour: int) -> None:
        """Whether the traffic of each app is that of the other kind of day: on a holiday it is that of a Sunday."""
        usual, other = self._cells(hour)
        weekend = usual >= 24
        charts = self._traffic
        known = (charts >= 0) & (self._learned[charts] >= 0)
        if known.any():
            apps, i = np.flatnonzero(known), charts[known]
            so_far = self._hour_n[i]
            means = [so_far * np.exp(self._log_rate[cell[apps], i]) for cell in (usual, other)]
            unlike = stats.like_weekend(self._hour_x[i], *means) & (means[0] >= 30)
            weekend[apps] ^= unlike
        self._weekend = weekend

    def _watch(self, window: int, hour: int, some: Bools) -> list[Signal]:
        """One look of Phase II at every chart that is past its Phase I."""
        due = np.flatnonzero((self._learned >= 0) & (self._learned < hour) & some)
        if len(due):
            mean = self._n[due] * np.exp(self._bound(due, hour))
            ratio = stats.log_likelihood_ratio(
                self._x[due] * self._scale[due],
                mean,
                self._spread[due],
                self._persistence[due],
                self._log_ratio[:, due],
            )
            self._now[:, due] = stats.step(self._r[:, due], ratio)
            self._statistic[due] = self._now[:, due].mean(axis=0)
        return self._tell(due, window)

    def _bound(self, charts: Ints, hour: int) -> Floats:
        """Log rate that these charts are tested against: the baseline's worse end, of both kinds of day on a holiday."""
        side = np.where(self._is_traffic[charts], -1.0, 1.0)
        usual, other = (cell[self._app[charts]] for cell in self._cells(hour))
        bound = self._log_rate[usual, charts] + side * self._guard[usual, charts]
        unlike = (usual >= 24) != self._weekend[self._app[charts]]
        if unlike.any():
            second = self._log_rate[other, charts] + side * self._guard[other, charts]
            bound = np.where(unlike, side * np.maximum(side * bound, side * second), bound)
        return np.asarray(bound)

    def _tell(self, due: Ints, window: int) -> list[Signal]:
        """Signals of this look, and what they do to their charts."""
        threshold, end_us = self._thresholds(), (window + 1) * self.window_us
        statistic = self._statistic[due]
        quiet = (end_us < self._silent_until) & (end_us < self._told + REMINDER_US)
        crossing = due[statistic >= threshold[due]]
        warning = due[(statistic >= WARNING * threshold[due]) & (statistic < threshold[due])]
        warning = warning[~quiet[warning] & (end_us >= self._warned[warning])]
        signals = [
            self._signal(i, window, self._rise(i, window), float(threshold[i]), "warning")
            for i in warning[~self._is_quiet[warning]].tolist()
        ]
        held, explained = np.zeros((2, len(self._first)), dtype=np.bool_)
        for i in crossing[~quiet[crossing]].tolist():
            signal, fate = self._cross(i, window, float(threshold[i]))
            held[i], explained[i] = fate == "held", fate == "explained"
            signals += [] if signal is None or self._is_quiet[i] else [signal]
        self._warned[crossing] = end_us + SILENCE_US
        crossing = crossing[~held[crossing]]
        events = crossing[~explained[crossing]]
        restless = due[statistic >= np.sqrt(threshold[due])]  # an event lasts until its chart has been calm for a day
        for until in (self._warned, self._silent_until):
            lasting = restless[end_us < until[restless]]
            until[lasting] = until[events] = end_us + SILENCE_US
        self._warned[warning] = end_us + SILENCE_US
        for array in (self._r, self._now, self._statistic, self._n, self._x):
            array[..., crossing] = 0
        signals += self._sundays(window, quiet, threshold)
        return sorted(signals, key=lambda s: s.id)

    def _cross(
        self, i: int, window: int, threshold: float
    ) -> tuple[Signal | None, Literal["told", "held", "explained"]]:
        """What a chart beyond its threshold says: told, held back while it is young, or explained by what is asked."""
        rise, level, end_us = self._rise(i, window), self._level(i, window), (window + 1) * self.window_us
        held, again = level == "page" and rise.times < self._season(i, window), end_us < self._warned[i]
        if held and again:
            return None, "held"
        signal = self._signal(i, window, rise, threshold, "warning" if held else level)
        if held:
            return signal, "held"
        if signal.level != level:
            told, self._mixed[i] = end_us >= self._mixed[i], end_us + SILENCE_US
            return signal if told else None, "explained"
        self._told[i] = end_us
        self._set_aside(i, window, rise)
        return signal, "told"

    def _sundays(self, window: int, quiet: Bools, threshold: Floats) -> list[Signal]:
        """A warning for each working day with a Sunday's traffic: it is a holiday, or an outage that looks like one."""
        end_us = (window + 1) * self.window_us
        found = []
        for i in self._traffic[self._unlike >= SUNDAY_HOURS].tolist():
            if (
                self._grown_up(window * self.window_us // self._history.hour_us)[i]
                and not quiet[i]
                and end_us >= self._warned[i]
            ):
                rise = self._rise(i, window, by_calendar=True)
                found.append(self._signal(i, window, rise, float(threshold[i]), "warning"))
                self._warned[i] = end_us + SILENCE_US
        return found

    def _set_aside(self, i: int, window: int, rise: Rise) -> None:
        """Let no baseline learn from an event, if it is known well enough what is usual, and there was far more harm."""
        self._times[i] = rise.times if self._x0[i] >= KNOWN_X and not self._is_traffic[i] else 0.0
        if self._times[i] >= BEYOND_SEASON:
            hour = self._history.hour_us
            first = int(rise.start[rise.onset.low]) // hour
            self._history.leave_out(i, first, window * self.window_us // hour)

    def _season(self, i: int, window: int) -> float:
        """How many times the expected harm a kind of day may bring that a young chart has not seen: twice, less by the day."""
        if self._is_fixed[i] or self._is_traffic[i]:
            return 0.0
        age_us = (window + 1) * self.window_us - int(self._first[i]) * self._history.hour_us
        return 1 + max(0.0, (BEYOND_SEASON - 1) * (1 - age_us / YOUNG_US))

    def _level(self, i: int, window: int) -> Level:
        """Only a warning: a chart without a baseline of its own, what is asked, style, and most silence.

        Silence pages for all traffic of an app, once a week has shown when it is silent.
        """
        monitor = self.monitors[i]
        week = self._grown_up(window * self.window_us // self._history.hour_us)[i]
        silence = monitor.metric != TRAFFIC or week
        whole = self._until[i] - self._first[i] >= LEARN_MOST_US // self._history.hour_us
        known = self._n0[i] >= (FEW_N if whole else LEARN_N)  # or only its siblings speak for it
        heard = self._is_fixed[i] or self._is_traffic[i] or known
        return "page" if self._own[i] and heard and silence and not monitor.warns else "warning"

    def _thresholds(self) -> Floats:
        """Hours between false pages that every chart may have, so that all that may page keep the budget."""
        total = self._weight[(self._learned >= 0) & self._may_page].sum()
        return np.asarray(
            np.maximum(total, self._weight) / self._weight * (MONTH_US / self._history.hour_us) / self.budget
        )

    def _close(self, hour: int) -> None:
        """End an hour: its evidence stays, its counts join the history, and baselines that are due are learned."""
        self._r[:] = self._now
        self._hours_seen += self._hour_n * np.where(self._is_traffic, self._hour_x, 1) > 0
        end_us = (hour + 1) * self._history.hour_us
        told = (end_us <= self._silent_until) & (self._times >= BEYOND_SEASON)
        self._history.put_hour(hour, self._hour_n, self._hour_x, told, self._weekend)
        sunday = self._weekend & (self._cells(hour)[0] < 24)
        self._unlike = np.where(sunday, self._unlike + 1, 0)
        self._own |= (self._seen >= LEARN_N) & (self._hours_seen >= LEARN_HOURS)
        self._rare(hour)
        may = (
            (self._first >= 0) & ~self._is_fixed & (self._own | (self._learned[self._whole] >= 0) & (self._whole >= 0))
        )
        day, age = max(1, DAY_US // self._history.hour_us), hour + 1 - self._first
        calm = self._statistic < np.sqrt(self._thresholds())
        often = (np.isin(age, list(YOUNG)) & (day > 1)) | (age % day == 0)
        due = may & (((self._learned < 0) & (self._until < 0)) | (calm & often))
        for charts in (np.flatnonzero(due & (self._whole < 0)), np.flatnonzero(due & (self._whole >= 0))):
            if len(charts):  # the whole first: it speaks for its parts
                self._learn(charts, hour)
        self._fix(hour)

    def _rare(self, hour: int) -> None:
        """After four weeks, what is observed rarely is learned from what there is, or begins again."""
        rare = ~self._own & (self._first >= 0) & (hour + 1 - self._first >= LEARN_MOST_US // self._history.hour_us)
        self._own |= rare & (self._seen >= FEW_N)
        anew = rare & (self._seen < FEW_N)
        self._first[anew] = hour + 1
        self._seen[anew] = self._hours_seen[anew] = 0

    def _learn(self, charts: Ints, hour: int) -> None:
        """Estimate the baselines of these charts from what has joined them by the end of this hour."""
        width, traffic = self._history.hour_us, self._is_traffic[charts]
        age = hour + 1 - self._first[charts]
        lag = np.clip(np.ceil(age * LAG_SHARE), 1, LAG_MOST_US // width).astype(np.int64)
        unheard = np.where(self._own[charts], 0, age)  # a part without enough of its own is held against its siblings
        lag = np.where(
            self._learned[charts] < 0, unheard, np.where(traffic, np.minimum(lag, TRAFFIC_LAG_US // width), lag)
        )
        most = LEARN_MOST_US // width
        first = np.where(traffic, np.maximum(self._first[charts], hour + 1 - lag - most), self._first[charts])
        until = np.where(traffic, hour + 1 - lag, np.minimum(hour + 1 - lag, first + most))
        until = np.maximum(until, self._until[charts])
        more = until > self._until[charts]
        charts, first, until = charts[more], first[more], until[more]
        for app in np.unique(self._app[charts]).tolist():
            of_app = self._app[charts] == app
            self._fit(charts[of_app], first[of_app], until[of_app], app, hour)

    def _grown_up(self, hour: int) -> Bools:
        """Charts that have seen a week: only they can tell an event from a kind of day that they do not know yet."""
        return np.asarray(hour - self._first >= YOUNG_US // self._history.hour_us)

    def _fit(self, charts: Ints, first: Ints, until: Ints, app: int, hour: int) -> None:
        """The baselines of charts of one app from the hours between `first` and `until`."""
        hours, n, x = self._history.hours(charts, first, np.maximum(until, first + 1))
        inside = hours[:, None] < until
        n, x = n * inside, x * inside
        clock = stats.clock_of(self._clock(hours), self._history.weekend(hours, app))
        total, harm = n.sum(axis=0), x.sum(axis=0)
        rate = (harm + 0.5) / (total + 1)
        traffic = self._is_traffic[charts]
        typical = np.array(
            [self.kinds.get(self.monitors[i].metric) == "number" and not self.monitors[i].aspect for i in charts]
        )
        variance = np.where(traffic, rate, np.where(typical, stats.RIDIT_VARIANCE, rate * (1 - rate)))
        least = np.where(traffic, TRAFFIC_SPREAD, stats.LEAST_SPREAD)
        found = stats.fit_baseline(x, n, clock, variance=variance, priors=self._priors(charts), least_spread=least)
        told = np.array(
            [tells(self.monitors[i].metric, self.monitors[i].direction, r) for i, r in zip(charts, rate, strict=True)]
        )
        kept = told & ((total > 0) | (self._whole[charts] >= 0))
        self._until[charts] = until
        i = charts[kept]
        self._scale[i], self._spread[i], self._persistence[i] = (
            found.scale[kept],
            found.spread[kept],
            found.persistence[kept],
        )
        self._log_rate[:, i], self._guard[:, i] = found.log_rate[:, kept], found.guard[:, kept]
        self._coefficients[:, i] = found.coefficients[:, kept]
        rates = kept & ~traffic
        self._log_ratio[:, charts[rates]] = stats.log_ratios(found.rate[rates])
        self._n0[i], self._x0[i] = total[kept], harm[kept]
        new = i[self._learned[i] < 0]
        self._learned[new] = hour

    def _priors(self, charts: Ints) -> stats.Priors | None:
        """What the whole says of its parts: its own coefficients, with the error that its known parts have around it."""
        whole = self._whole[charts]
        if (whole < 0).all():
            return None
        error = np.full(len(charts), np.inf)
        known = np.flatnonzero((self._whole >= 0) & (self._until >= 0) & (self._x0 >= 5) & ~self._is_fixed)
        known = known[np.argsort(self._whole[known], kind="stable")]
        level, of = self._coefficients[0] - np.log(self._scale), self._whole[known]
        for w in np.unique(whole[whole >= 0]).tolist():
            siblings = known[slice(*np.searchsorted(of, (w, w + 1)))]
            far = 1.5 * np.median(np.abs(level[siblings] - level[w])) if len(siblings) else 0.0
            error[whole == w] = max(SIBLINGS, 2 * float(far)) if self._learned[w] >= 0 else np.inf
        centre = self._coefficients[:, np.maximum(whole, 0)].T.copy()
        centre[:, 0] -= np.log(self._scale[np.maximum(whole, 0)])
        return stats.Priors(centre=centre, error=error)

    def _fix(self, hour: int) -> None:
        """Charts of objectives: the limit is the baseline; how much hours vary is taken from the chart beside it."""
        fixed = np.flatnonzero(self._is_fixed & (self._first >= 0))
        if len(fixed) == 0:
            return
        limit = np.array([self.monitors[i].at_most or 0.0 for i in fixed])
        limit = np.clip(limit, 1e-6, 0.999)
        beside = self._whole[fixed]
        known = (beside >= 0) & (self._learned[beside] >= 0)
        self._scale[fixed] = np.minimum(1 / (1 - limit), 10.0)
        self._log_ratio[:, fixed] = stats.log_ratios(limit)
        self._log_rate[:, fixed] = np.log(limit * self._scale[fixed])
        self._spread[fixed] = np.where(known, self._spread[beside], stats.LEAST_SPREAD)
        self._persistence[fixed] = np.where(known, self._persistence[beside], 1.0)
        self._learned[fixed] = np.where(self._learned[fixed] < 0, hour, self._learned[fixed])
        self._own[fixed] = True

    def _rise(self, i: int, window: int, *, by_calendar: bool = False) -> Rise:
        """When what a chart shows began, and the bins since its last event (or since it watches)."""
        if 0 < self._silent_until[i] <= (window + 1) * self.window_us:  # the last event is over: this is another one
            self._over[i] = (self._silent_until[i] - SILENCE_US) // self._history.hour_us
        first = int(max(self._learned[i] + 1, self._over[i]))
        start, bin_us, n, x = self._history.bins(i, first, window)
        seen = n > 0
        start, bin_us, n, x = start[seen], bin_us[seen], n[seen], x[seen]
        hours = start // self._history.hour_us
        weekend = None if by_calendar else self._history.weekend(hours, int(self._app[i]))
        clock = stats.clock_of(self._clock(hours), weekend)
        mean = n * np.exp(self._log_rate[clock, i])
        onset = stats.locate_onset(
            x * self._scale[i], mean, float(self._spread[i]), float(self._persistence[i]),
            width=bin_us.astype(np.float64), fall=bool(self._is_traffic[i]),
        )  # fmt: skip
        times = float(x[onset.best :].sum()) * self._scale[i] / max(float(mean[onset.best :].sum()), 1e-9)
        return Rise(start=start, bin_us=bin_us, n=n, x=x, mean=mean, onset=onset, times=times)

    def _expected(self, i: int) -> tuple[float, ...]:
        """What the baseline expects by cell of the clock, where it is the rate that the signal's figures tell."""
        monitor = self.monitors[i]
        if self.kinds.get(monitor.metric) == "number" and not monitor.aspect:
            return ()
        return tuple(float(f"{r:.6g}") for r in self._rates(np.array([i]))[:, 0])

    def _rates(self, charts: Ints) -> Floats:
        """What baselines expect by cell of the clock, shape (48, k): rates of harm, of traffic interactions an hour."""
        counts = [self.monitors[i].metric == TRAFFIC and not self.monitors[i].aspect for i in charts]
        width = np.where(counts, self._history.hour_us / HOUR_US, 1.0)
        return np.asarray(np.exp(self._log_rate[:, charts]) / self._scale[charts] / width)

    def _reference(self, charts: Ints) -> tuple[Floats, Floats, Floats]:
        """What signals say of baselines: observations, harm and dispersion; of the whole where a part has too few."""
        traffic, fixed = self._is_traffic[charts], self._is_fixed[charts]
        few = (self._n0[charts] < LEARN_N) & (self._whole[charts] >= 0) & ~traffic
        by = np.where(few, self._whole[charts], charts)
        n, x = self._n0[by], self._x0[by]
        limit = np.array([self.monitors[i].at_most or 0.0 for i in charts])
        rate = np.where(fixed, limit, x / np.maximum(n, 1.0))
        dispersion = np.minimum(0.5, self._spread[charts] * rate / np.maximum(1 - rate, 0.1))
        n, x = np.where(traffic, self._x0[charts], n), np.where(traffic, 0.0, x)
        return np.where(fixed, 1e6, n), np.where(fixed, 1e6 * limit, x), dispersion

    def held(self) -> Held:
        """What is known of every chart now: views of arrays, valid until the next `advance`."""
        k, hour_us = np.arange(len(self._first)), self._history.hour_us
        n, x, dispersion = self._reference(k)
        known = self._learned >= 0
        return Held(
            monitors=self.monitors[: len(k)], kinds=self.kinds, harms=self.harms, history=self._history, seen=self._seen,
            phase=np.where(self._is_quiet, 2, known.astype(np.int64)), since_us=np.maximum(self._first, 0) * hour_us,
            baseline_n=n * known, baseline_x=x * known, baseline_from_us=np.maximum(self._first, 0) * hour_us * known,
            baseline_to_us=np.maximum(self._until, self._first + 1) * hour_us * known, dispersion=dispersion,
            spread=self._spread, persistence=self._persistence, clock=self._rates(k), statistic=self._statistic,
            threshold=self._thresholds() if len(k) else np.zeros(0), signalled_us=self._told, own=self._own,
            silent_until_us=self._silent_until,
        )  # fmt: skip

    def _signal(self, i: int, window: int, rise: Rise, threshold: float, level: Level) -> Signal:
        monitor, width, traffic = self.monitors[i], self.window_us, bool(self._is_traffic[i])
        start, bin_us, onset, n, x, mean = rise.start, rise.bin_us, rise.onset, rise.n, rise.x, rise.mean
        if traffic:  # harm is what did not come
            x, n = np.maximum(mean - x, 0.0), mean
        base_n, base_x, dispersion = (float(of[0]) for of in self._reference(np.array([i])))
        signal = Signal(
            id=f"{monitor.id}@{(window + 1) * width}",
            monitor=monitor.id,
            app=monitor.app,
            environment=monitor.environment,
            metric=monitor.metric,
            direction=monitor.direction,
            aspect=monitor.aspect,
            scope=dict(monitor.scope),
            level=level,
            objective=monitor.objective,
            kind=self.kinds.get(monitor.metric, "binary"),
            harm=self.harms[monitor.metric, monitor.direction],
            at_us=(window + 1) * width,
            window_us=width,
            x=round(float(x[onset.best :].sum())),
            n=max(1, round(float(n[onset.best :].sum()))),
            baseline_x=round(base_x),
            baseline_n=max(1, round(base_n)),
            baseline_from_us=int(self._first[i]) * self._history.hour_us,
            baseline_to_us=max(int(self._until[i]), int(self._first[i]) + 1) * self._history.hour_us,
            dispersion=round(dispersion, 9),
            persistence=round(float(self._persistence[i]), 6),
            clock=self._expected(i),
            statistic=float(f"{self._statistic[i]:.9g}"),
            threshold=threshold,
            onset_us=int(start[onset.best]),
            onset_low_us=int(start[onset.low]),
            onset_high_us=int(start[onset.high] + bin_us[onset.high]),
            onset_probability=by_window(start, bin_us, onset.probability, width),
        )
        return signal if self._is_quiet[i] else self._consider(signal)
