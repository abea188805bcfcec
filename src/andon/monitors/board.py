"""All charts at a glance, for a process that does not turn them: what the loop published, read without a copy."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon.monitors.history import HOUR_US
from andon.monitors.limits import expected
from andon.monitors.pointing import points_of
from andon.monitors.publication import told_of
from andon.monitors.records import Point
from andon.monitors.shown import Shown

__all__ = ["ChartBoard", "ChartState", "HealthRow", "Published"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY = 24
LATE_US = 15 * 60_000_000
NUMBERS = (
    "seen", "baseline_n", "baseline_x", "baseline_from_us", "baseline_to_us", "dispersion", "spread", "persistence",
    "statistic", "threshold", "stands_for",
)  # fmt: skip
TEXTS = ("id", "app", "environment", "metric", "direction", "aspect", "objective", "phase", "harm", "kind")


class Published(Protocol):
    """Where the tables of the loop are."""

    def stamp(self) -> Hashable | None:
        """What changes with each publication; None where there is none."""

    def state(self) -> pa.Table | None:
        """The table of states."""

    def counts(self, name: str) -> pa.Table | None:
        """The counts of this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartState:
    """One chart as of `until_us`.

    A *rate* is the share of harm among what is observed. Of a number's typical value it is the mean rank: the share of the
    reference that its values are worse than. Of traffic it is the share of what usually comes that did not.
    """

    id: str
    app: str
    environment: str
    metric: str
    direction: str
    aspect: str
    objective: str
    at_most: float | None
    """The limit of the objective."""
    scope: tuple[tuple[str, str], ...]
    harm: str
    kind: str
    """Of the metric: ``binary`` or ``number``."""
    warns: bool
    """Whether it never pages."""
    own: bool
    """Whether it has observed enough to speak for itself; until then it only warns."""
    phase: str
    """``learning``, ``watching``, or ``quiet`` (it learns for another chart, and never tells)."""
    seen: float
    """Observations since it began to learn; of traffic what came."""
    since_us: int | None
    baseline_n: float
    """0 while the baseline is learned."""
    baseline_x: float
    baseline_from_us: int
    baseline_to_us: int
    dispersion: float
    spread: float
    persistence: float
    clock: tuple[float, ...]
    """What the baseline expects by hour of the day (UTC), 24 of working days and 24 of weekends: rates, of traffic interactions
    an hour; empty while it is learned."""
    usual: float | None
    """Of these the one of the last hour."""
    statistic: float
    threshold: float
    nearness: float
    """How far the statistic is on its way to the threshold, 0 to 1 on the log scale."""
    signalled_us: int | None
    """End of the window in which it last crossed its threshold."""
    silent_until_us: int | None
    """After a crossing it says nothing until then."""
    stands_for: float
    """Interactions that an observation stands for: the greatest sampling weight."""
    window_us: int
    until_us: int
    rate_hour: float | None
    """Over the last hour with traffic; None where none is remembered."""
    hour_end_us: int | None
    """When that hour ended."""
    n_hour: float
    rate_day: float | None
    """Over the last 24 hours; None where nothing came."""
    n_day: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRow:
    """One metric of people's traffic, in one risk category or in all of it."""

    category: str
    """A risk category, or ``all`` (whatever its category)."""
    metric: str
    harm: str
    """What is lost when it moves the bad way."""
    watching: int
    learning: int
    worst: int | None
    """The chart that is nearest to its threshold; None where none watches."""
    nearness: float
    """How near."""
    signalled: int
    """How many charts crossed their threshold within 24 hours."""
    rate: float | None
    """Of the whole, over the last 24 hours."""
    spark: tuple[float | None, ...]
    """Rate of the whole in each of the last 24 hours; None where nothing came."""


class ChartBoard:
    """What the loop published last.

    Rows are numbered from 0; numbers hold for one publication. A caller that looks several times takes `pinned` first,
    which stays as it is while other threads refresh this board.
    """

    def __init__(self, published: Published) -> None:
        self._published = published
        self._stamp: Hashable | None = None
        self._shown: Shown | None = None

    def refresh(self) -> bool:
        """Take the newest publication; whether there was a newer one. What cannot be read is as if it were not there."""
        stamp = self._published.stamp()
        if stamp is None or stamp == self._stamp:
            return False
        state = self._published.state()
        told = None if state is None else told_of(state)
        if state is None or told is None:
            return False
        before, counts_told = self._shown, None
        if before is not None and before.told.get("counts") == told.get("counts"):
            counts, counts_told = before.counts, before.counts_told
        else:
            counts = self._published.counts(str(told.get("counts")))
            counts_told = None if counts is None else told_of(counts)
        if counts is None or counts_told is None:
            return False
        try:
            self._shown = Shown(state, told, counts, counts_told)
        except (KeyError, ValueError, TypeError, pa.ArrowException):
            return False
        self._stamp = stamp
        return True

    def pinned(self) -> "ChartBoard":
        """A board that stays at this publication."""
        board = ChartBoard(_Nothing())
        board._shown = self._shown
        return board

    def __len__(self) -> int:
        return 0 if self._shown is None else self._shown.charts

    @property
    def ids(self) -> list[str]:
        """Ids of all charts."""
        return [] if self._shown is None else self._shown.ids

    @property
    def until_us(self) -> int:
        """End of the last window that was turned; 0 where nothing is published."""
        return 0 if self._shown is None else self._shown.until_us

    @property
    def begins_us(self) -> int:
        """Where memory begins: points start no earlier."""
        return 0 if self._shown is None else self._shown.begins_us

    @property
    def window_us(self) -> int:
        """Width of a window; 0 where nothing is published."""
        return 0 if self._shown is None else self._shown.window_us

    def late_us(self, now_us: int) -> int:
        """For how long nothing was judged, where that is longer than it should be: over 15 minutes and three windows; else 0."""
        late_us = now_us - self.until_us
        return late_us if self.until_us and late_us > LATE_US + 3 * self.window_us else 0

    @property
    def phases(self) -> tuple[int, int]:
        """How many charts watch, and how many still learn."""
        if self._shown is None:
            return 0, 0
        return tuple(int(self._shown.is_text("phase", p).sum()) for p in ("watching", "learning"))  # type: ignore[return-value]

    def find(self, chart: str) -> int | None:
        """The number of a chart by its id."""
        return None if self._shown is None else self._shown.index.get(chart)

    def column(self, name: str) -> NDArray[Any]:
        """Numbers of all charts as a view, shape (k,): ``statistic``, ``threshold``, ``seen``, and so on, or ``nearness``."""
        if self._shown is None:
            return np.zeros(0)
        return self._shown.nearness if name == "nearness" else self._shown.column(name)

    def texts(self, name: str) -> list[str]:
        """Texts of all charts: ``app``, ``environment``, ``metric``, ``direction``, ``aspect``, ``phase``, ``harm``."""
        if self._shown is None:
            return []
        code, values = self._shown.codes(name)
        return [values[c] for c in code.tolist()]

    def values(self, name: str) -> list[str]:
        """What such texts are, each once, sorted."""
        return [] if self._shown is None else sorted(self._shown.codes(name)[1])

    def state(self, i: int) -> ChartState:
        """What is known of a chart.

        Raises:
            IndexError: no chart has this number.
        """
        shown = self._at(i)
        hour, n_hour, hour_end_us = _last_hour(shown, i)
        day, n_day = _rate(shown, i, shown.windows, shown.until_us - DAY * HOUR_US, shown.until_us)
        known = shown.value("baseline_to_us", i) > 0
        clock = tuple(shown.clock[i].tolist()) if known else ()
        return ChartState(
            **{name: shown.value(name, i) for name in (*TEXTS, *NUMBERS)},
            at_most=shown.value("at_most", i), scope=shown.scopes.values[int(shown.scopes.code[i])],
            warns=shown.value("warns", i), own=shown.value("own", i), since_us=shown.value("since_us", i) or None,
            clock=clock, usual=expected(clock, shown.until_us - 1, shown.until_us) if known else None,
            nearness=float(shown.nearness[i]), signalled_us=shown.value("signalled_us", i) or None,
            silent_until_us=shown.value("silent_until_us", i) or None, window_us=shown.window_us,
            until_us=shown.until_us, rate_hour=hour, hour_end_us=hour_end_us, n_hour=n_hour, rate_day=day, n_day=n_day,
        )  # fmt: skip

    def points(self, i: int, start_us: int, end_us: int, points: int = 120) -> list[Point]:
        """The control chart of one chart over a range, in about this many points; see `andon.monitors.pointing.points_of`.

        Raises:
            IndexError: no chart has this number.
        """
        return points_of(self._at(i), i, start_us, end_us, points)

    def sparks(self, indices: Sequence[int] | Ints, hours: int = DAY) -> Floats:
        """Rates of charts in each of the last hours, shape (k, hours); NaN where there was no traffic."""
        charts = np.asarray(indices, dtype=np.int64)
        if self._shown is None or not len(charts):
            return np.full((len(charts), hours), np.nan)
        n, x = _hourly(self._shown, charts, hours)
        return _share(n, x).T

    def beside(self, i: int) -> Ints:
        """Charts of the same app, environment, metric and direction in other parts of the traffic, the worst first.

        Raises:
            IndexError: no chart has this number.
        """
        shown = self._at(i)
        same = ~shown.quiet & shown.is_text("objective", "")
        for name in ("app", "environment", "metric", "direction", "aspect"):
            code = shown.codes(name)[0]
            same &= code == code[i]
        scopes = shown.scopes
        return _worst_first(shown, same & (scopes.apart == scopes.apart[i]) & (scopes.code != scopes.code[i]))

    def search(
        self, text: str = "", app: str = "", metric: str = "", phase: str = "", limit: int = 50, *, environment: str = "",
        warns: bool | None = None, order: str = "near",
    ) -> Ints:  # fmt: skip
        """Charts whose id has every word of a text in it; quiet ones only where they are asked for.

        Args:
            text: words.
            app: the application; empty: every one, and so for the next three.
            metric: the metric.
            phase: ``learning``, ``watching`` or ``quiet``.
            limit: how many at most.
            environment: the environment.
            warns: only those that never page, or only those that may; None: both.
            order: ``near`` (the worst first: what signalled within a day, what may page before what warns, then what is nearest
                to its threshold), ``signal`` (what signalled last first), ``seen`` (most observations first) or ``name``.
        """
        if self._shown is None:
            return np.zeros(0, dtype=np.int64)
        found = self._shown.is_text("phase", phase) if phase else ~self._shown.quiet
        for name, value in (("app", app), ("metric", metric), ("environment", environment)):
            if value:
                found &= self._shown.is_text(name, value)
        if warns is not None:
            found &= self._shown.column("warns").astype(bool) == warns
        words = text.casefold().split()
        if words:
            ids = self._shown.ids
            some = np.flatnonzero(found)
            found[[i for i in some.tolist() if not all(w in ids[i].casefold() for w in words)]] = False
        some = _worst_first(self._shown, found)
        if order == "name":
            ids = self._shown.ids
            return np.array(sorted(some.tolist(), key=lambda i: ids[i]), dtype=np.int64)[:limit]
        if order in ("signal", "seen"):
            column = self._shown.column("signalled_us" if order == "signal" else "seen")
            some = some[np.argsort(-column[some], kind="stable")]
        return some[:limit]

    def came(self, hours: int = DAY) -> float | None:
        """Interactions of people that came in the last hours, all apps together; None where no chart counts them."""
        shown = self._shown
        if shown is None:
            return None
        whole = np.array([not scope for scope in shown.scopes.values], dtype=np.bool_)[shown.scopes.code]
        charts = np.flatnonzero(shown.counted & whole & shown.is_text("objective", ""))
        if not len(charts):
            return None
        begin_us = shown.until_us - hours * HOUR_US
        rows = shown.windows if shown.fine(begin_us) else shown.hours
        _, n, x = rows.of(charts, -(-begin_us // rows.unit_us), rows.end)
        return float(shown.came(charts, rows.unit_us, n, x)[1].sum())

    def health(self, app: str = "") -> list[HealthRow]:
        """A row for each risk category, ``all`` first, and metric of people's traffic that has a chart.

        Args:
            app: of this application; of every one unless given.
        """
        shown = self._shown
        if shown is None:
            return []
        if app not in shown.healths:
            shown.healths[app] = _health(shown, app)
        return list(shown.healths[app])

    def _at(self, i: int) -> Shown:
        if self._shown is None or not 0 <= i < self._shown.charts:
            raise IndexError(f"there is no chart {i}: {len(self)} are published; `find` gives the number of an id")
        return self._shown


class _Nothing:
    """Publishes nothing."""

    def stamp(self) -> None:
        return None

    def state(self) -> None:
        return None

    def counts(self, name: str) -> None:  # noqa: ARG002
        return None


def _worst_first(shown: Shown, some: NDArray[np.bool_]) -> Ints:
    found = np.flatnonzero(some)
    recent = shown.column("signalled_us")[found] > shown.until_us - DAY * HOUR_US  # its evidence began anew then
    told = np.where(recent, 2 - shown.column("warns")[found].astype(int), 0)
    order = np.lexsort((found, -shown.column("statistic")[found], -shown.nearness[found], -told))
    return found[order]


def _share(n: Floats, x: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(n > 0, x / n, np.nan))


def _hourly(shown: Shown, charts: Ints, hours: int) -> tuple[Floats, Floats]:
    """Observations and harm in each of the last hours, shape (hours, charts): of windows where they are remembered."""
    begin_us = shown.until_us - hours * HOUR_US
    rows = shown.windows if shown.fine(begin_us) else shown.hours
    end_us = rows.end * rows.unit_us
    begin_us = end_us - hours * HOUR_US
    start = -(-begin_us // rows.unit_us)
    bins = (np.arange(start, max(start, rows.end)) * rows.unit_us - begin_us) // HOUR_US
    return shown.rates(charts, rows, start, rows.end, bins, hours)


def _rate(shown: Shown, i: int, rows: Any, start_us: int, end_us: int) -> tuple[float | None, float]:
    """The rate of a chart over a stretch, and its observations."""
    start, end = -(-start_us // rows.unit_us), -(-end_us // rows.unit_us)
    n, x = shown.rates(np.array([i]), rows, start, end, np.zeros(max(0, end - start), dtype=np.int64), 1)
    return (float(x[0, 0] / n[0, 0]) if n[0, 0] > 0 else None), float(n[0, 0])


def _last_hour(shown: Shown, i: int) -> tuple[float | None, float, int | None]:
    """The rate over the last hour with traffic, its observations, and when it ended."""
    for rows in (shown.windows, shown.hours):
        at, n, _ = rows.of(np.array([i]), rows.first, rows.end)
        some = np.flatnonzero(n[:, 0] > 0)
        if len(some):
            end_us = (int(at[some[-1]]) + 1) * rows.unit_us
            rate, observed = _rate(shown, i, rows, end_us - max(HOUR_US, rows.unit_us), end_us)
            return rate, observed, end_us
    return None, 0.0, None


def _health(shown: Shown, app: str) -> list[HealthRow]:
    scopes, rows = shown.scopes, []
    metric, names = shown.codes("metric")
    harm, harms = shown.codes("harm")
    told = scopes.people & ~shown.quiet
    if app:
        told &= shown.is_text("app", app)
    sparks = _sparks_of_wholes(shown, told)
    watching, signalled = shown.is_text("phase", "watching"), shown.column("signalled_us")
    recent = (signalled > 0) & (signalled > shown.until_us - DAY * HOUR_US)
    for risk, category in enumerate(scopes.risks):
        here = told if risk == 0 else told & (scopes.risk == risk)
        for code, name in sorted(enumerate(names), key=lambda pair: pair[1]):
            some = np.flatnonzero(here & (metric == code))
            if not len(some):
                continue
            live = some[watching[some]]
            worst = int(live[np.argmax(shown.nearness[live])]) if len(live) else None
            n, x = sparks.get((risk, code), (np.zeros(DAY), np.zeros(DAY)))
            rate = float(x.sum() / n.sum()) if n.sum() > 0 else None
            spark = tuple(None if np.isnan(share) else share for share in _share(n, x).tolist())
            row = HealthRow(
                category=category, metric=name, harm=harms[int(harm[some[0]])], watching=len(live),
                learning=len(some) - len(live), worst=worst, nearness=0.0 if worst is None else float(shown.nearness[worst]),
                signalled=int(recent[some].sum()), rate=rate, spark=spark,
            )  # fmt: skip
            rows.append(row)
    return rows


def _sparks_of_wholes(shown: Shown, told: NDArray[np.bool_]) -> dict[tuple[int, int], tuple[Floats, Floats]]:
    """Observations and harm by hour of each whole risk category and metric, all apps together, in one direction that harms."""
    metric, (direction, directions) = shown.codes("metric")[0], shown.codes("direction")
    wholes = told & shown.scopes.alone & shown.is_text("aspect", "") & shown.is_text("objective", "")
    charts = np.flatnonzero(wholes)
    n, x = _hourly(shown, charts, DAY)
    groups: dict[tuple[int, int], list[int]] = {}
    for column, i in enumerate(charts.tolist()):
        groups.setdefault((int(shown.scopes.risk[i]), int(metric[i])), []).append(column)
    found = {}
    for group, columns in groups.items():
        ways = [directions[int(direction[charts[c]])] for c in columns]
        kept = [c for c, way in zip(columns, ways, strict=True) if way == max(ways)]  # up, where both harm
        found[group] = n[:, kept].sum(axis=1), x[:, kept].sum(axis=1)
    return found
