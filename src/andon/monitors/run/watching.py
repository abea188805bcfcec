"""Turn the charts: read windows of counts, step, write signals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from andon.monitors.charts import Charts
from andon.monitors.counting import Counting
from andon.monitors.history import cluster_us
from andon.monitors.objectives import MonitorRule, Objective
from andon.monitors.records import TOPIC_SHARE, TRAFFIC, Crowded, Monitor, NewNormal, Signal, names
from andon.monitors.resuming import resume, standing
from andon.monitors.run.charting import harm_of, scope_of
from andon.monitors.run.counts import CHUNK, CHUNK_CHARTS, harms_of, read_counts, rule_of
from andon.monitors.run.publishing import Publisher, keep_charts, kept_charts, mark_of
from andon.monitors.run.weighing import Weighing, Weights, usual_span
from andon.monitors.series import all_metrics
from andon.monitors.shift import explain_strata
from andon.scores import Scorer
from andon.scores.blas import one_blas_thread
from andon.store import Ledger, Rollup, Span, Warehouse

__all__ = ["Watch", "WatchCursor"]

WORST_FIFTH, WORSE_HALF = 0.2, 0.5
"""Shares of a number's reference beyond whose bound a value counts as harm: the first that shows what moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCursor:
    """How far the charts have been turned: signals up to here are in the ledger."""

    id: str
    until_us: int


class Watch:
    """The charts of this process over one warehouse.

    The charts are a function of the counts. A new process goes on from how they stood at the end of an hour, or where
    nobody kept that, rebuilds them by reading all counts again; signals that were written before are not written twice.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        ledger: Ledger,
        scorers: Sequence[Scorer],
        *,
        window_s: int,
        false_pages_per_month: float,
        objectives: Sequence[Objective] = (),
        rules: Sequence[MonitorRule] = (),
    ) -> None:
        self._warehouse, self._ledger = warehouse, ledger
        self._metrics = all_metrics(scorers)
        self._width = window_s * 1_000_000
        self._false_pages_per_month, self._objectives, self._rules = false_pages_per_month, objectives, rules
        self._weights = Weighing(warehouse)
        self._publisher = Publisher(warehouse.place)
        self._mark = mark_of(window_s, false_pages_per_month, self._metrics, tuple(objectives), tuple(rules))
        self._told_us = -1
        self.unkept = ""
        """Why how the charts stand could not be kept, so that the next start turns all of them again; empty if it could."""
        self._forget()

    def _forget(self) -> None:
        """Charts that know nothing yet; they go on from where they were kept, or begin anew, at the next turn."""
        rules = self._rules
        self._charts = Charts(
            self._width,
            self._false_pages_per_month,
            {m.name: m.kind for m in self._metrics},
            harms_of(self._metrics),
            lambda m: rule_of(rules, m)[1],
        )
        self._counting = Counting(self._charts, self._metrics, lambda m: rule_of(rules, m)[0], self._objectives)
        self._next: int | None = None
        self._kept: int | None = None  # where the charts stood when they were kept last
        self._accepted: set[str] = set()
        self._fresh: list[Signal] = []

    @property
    def phases(self) -> tuple[int, int]:
        """How many charts watch, and how many still learn their baseline, as of the last turn."""
        return self._charts.phases

    @property
    def unpublished(self) -> str:
        """Why others cannot see the charts as they are now; empty if they can."""
        return self._publisher.failed

    def advance(self, until_us: int) -> list[Signal]:
        """Turn the charts through every whole window that ends at or before `until_us`; new signals are recorded.

        What the charts then hold is published for `andon.monitors.run.open_board`, once a call.

        What is returned is returned again until `done` is called, so that a failure in between loses no signal. After one in
        here the charts are turned again from where they were kept last: one that has signalled does not signal again.
        """
        try:
            return self._advance(until_us // self._width)
        except BaseException:
            self._forget()
            raise

    def _advance(self, last: int) -> list[Signal]:
        if self._next is None:
            self._next = self._begin()
        if self._next is None:
            return []
        begun = self._next
        cursor = self._ledger.get(WatchCursor, "monitors")
        self._told_us = cursor.until_us if cursor is not None else -1
        news = sorted(self._ledger.all(NewNormal), key=lambda w: (w.accepted_us, w.id))
        while self._next < last:
            wide = max(1, len(self._charts.monitors) // CHUNK_CHARTS)
            length = min(max(CHUNK // wide, CHUNK // 24), last - self._next)
            for accepted in news:
                at = accepted.accepted_us // self._width
                if accepted.id in self._accepted:
                    continue
                if at <= self._next:  # before it, where the clock of who said it is behind
                    self._accepted.add(accepted.id)
                    self._relearn(accepted)
                elif at < self._next + length:
                    length = at - self._next
            read = read_counts(self._warehouse, self._metrics, self._counting.bounds, self._width, self._next, length)
            n, x = self._counting.take(self._next, length, *read)
            self._say_crowded((self._next + length) * self._width)
            self._weights = Weighing(self._warehouse)
            with one_blas_thread():  # products of charts are too small to share: threads would wait for each other
                found = self._charts.advance(self._next, n, x, self._consider)
            fresh = [s for s in found if s.at_us > self._told_us]
            for signal in fresh:
                self._ledger.put(signal, now_us=signal.at_us, by="andon")
            self._fresh += fresh
            self._next += length
        if self._next > begun:
            self._publisher.publish(self._charts, self._counting, self._next)
        return list(self._fresh)

    def _relearn(self, accepted: NewNormal) -> None:
        """Have charts learn what is usual anew, and those whose counts so far are of a reference that is gone."""
        hour_us, pattern = cluster_us(self._width), accepted.monitor
        again = self._counting.relearn(self._charts.relearn(lambda m: names(pattern, m.id), accepted.from_us))
        self._charts.relearn(set(again).__contains__, -(-accepted.accepted_us // hour_us) * hour_us)

    def done(self) -> None:
        """Say that everything up to the last window has been dealt with."""
        if self._next is None:
            return
        self._fresh.clear()
        cursor = self._ledger.get(WatchCursor, "monitors")
        done = WatchCursor(id="monitors", until_us=self._next * self._width)
        if cursor is None or done.until_us > cursor.until_us:
            self._ledger.put(done, now_us=done.until_us, by="andon")
        hours = [at * self._width // cluster_us(self._width) for at in (self._next, self._kept or 0)]
        if hours[0] > hours[1]:  # signals up to here are dealt with, so whoever goes on from here misses none
            self._kept = self._next
            self.unkept = keep_charts(
                self._warehouse,
                standing(self._charts, self._counting, self._mark, next=self._next, accepted=sorted(self._accepted)),
            )

    def _begin(self) -> int | None:
        """The first window to turn: after those that another process turned, or that of the first row; None: there is none."""
        told, accepted = self._ledger.get(WatchCursor, "monitors"), {a.id for a in self._ledger.all(NewNormal)}

        def known(more: dict[str, Any]) -> bool:
            """Whether this ledger has what these charts gave and heard: one brought back from a backup may lack it."""
            dealt_us = told.until_us if told is not None else 0
            return int(more["next"]) * self._width <= dealt_us and accepted.issuperset(more["accepted"])

        found = resume(kept_charts(self._warehouse), self._charts, self._counting, self._mark, known)
        if found is not None:
            self._kept, self._accepted = int(found["next"]), set(found["accepted"])
            return self._kept
        first = self._warehouse.run(Rollup(table="scores", metrics=("time_us",)))["time_us.min"][0].as_py()
        return None if first is None else int(first) // self._width

    def _say_crowded(self, at_us: int) -> None:
        """Record once which fields have more values than are watched apart: what has no chart cannot signal."""
        for fields in self._counting.crowded:
            if self._ledger.get(Crowded, fields) is None:
                self._ledger.put(Crowded(id=fields, seen_us=at_us), now_us=at_us, by="andon")

    def _consider(self, signal: Signal) -> Signal:
        """The signal as it was recorded when these charts were turned the first time, or with what only rows can tell."""
        recorded = self._ledger.get(Signal, signal.id) if signal.at_us <= self._told_us else None
        return recorded if recorded is not None else self._complete(signal)

    def _complete(self, signal: Signal) -> Signal:
        """The signal with what only rows can tell: for a number, the harm beyond its cut before and since."""
        monitor = Monitor(
            app=signal.app, environment=signal.environment, metric=signal.metric, direction=signal.direction,
            aspect=signal.aspect, scope=tuple(signal.scope.items()),
        )  # fmt: skip
        if signal.metric == TRAFFIC:
            return self._in_interactions(signal, self._counting.weight_of(monitor, signal.at_us))
        signal = replace(signal, stands_for=self._counting.weight_of(monitor, signal.at_us))
        if signal.metric == TOPIC_SHARE:
            return signal
        before = usual_span(signal)
        sides = (before, Span(start_us=signal.onset_us, end_us=signal.at_us))
        pages = signal.level == "page" and not signal.objective and before.start_us < before.end_us
        typical = signal.kind == "number" and not signal.aspect
        if signal.kind == "number" and signal.aspect:
            signal = replace(signal, cut=self._counting.cut_of(monitor))
        if not pages and not typical:
            return signal
        every = [self._weights(signal, span) for span in sides]
        if typical:
            signal, harmed = self._with_cut(signal, monitor, sides, every)
        else:
            harmed = [self._weights(signal, span, harm_of(signal)) for span in sides]
        return self._unless_mix(signal, sides[1], every, harmed) if pages else signal

    def _in_interactions(self, signal: Signal, unit: float) -> Signal:
        """A signal of traffic in interactions that came, whatever was kept of them; its chart counts in greatest weights."""
        if unit == 1.0:
            return signal
        span = Span(start_us=signal.baseline_from_us, end_us=signal.baseline_to_us)
        came = Rollup(table="scores", metrics=("error",), measures=("w",), span=span, where=scope_of(signal))
        before = self._warehouse.run(came)["error.w"][0].as_py() or 0
        x, n = (max(least, round(k * unit)) for k, least in ((signal.x, 0), (signal.n, 1)))
        return replace(signal, x=x, n=n, baseline_n=max(1, round(before)))

    def _with_cut(
        self, signal: Signal, monitor: Monitor, sides: tuple[Span, Span], every: list[Weights]
    ) -> tuple[Signal, list[Weights]]:
        """The signal of a typical value that moved, with counts beyond a bound that show it, and their weights on both sides."""
        n0, n = (self._counted(signal, weights) for weights in every)
        for share in (WORST_FIFTH, WORSE_HALF):
            told = replace(signal, cut=self._counting.cut_of(monitor, share))
            harmed = [self._weights(told, span, harm_of(told)) for span in sides]
            x0, x = (self._counted(signal, weights) for weights in harmed)
            told = replace(told, x=x, n=max(1, n), baseline_x=x0, baseline_n=max(1, n0))
            if told.rate > told.baseline_rate:
                break
        return told, harmed

    def _unless_mix(self, signal: Signal, since: Span, every: Sequence[Weights], harmed: Sequence[Weights]) -> Signal:
        """The signal, as a warning if the mix of the traffic alone explains it; nobody is woken for other questions."""
        unit = signal.stands_for
        sides = [
            {kind: (w / unit, min(w / unit, harm.get(kind, 0.0) / unit)) for kind, w in whole.items() if w > 0}
            for whole, harm in zip(every, harmed, strict=True)
        ]
        if any(sum(n for n, _ in side.values()) < 1 for side in sides):
            return signal
        hours = (since.end_us - since.start_us) / cluster_us(signal.window_us)
        an_hour = sum(n for n, _ in sides[1].values()) / max(hours, 1 / 12)
        design = (1 + max(0.0, an_hour - 1) * signal.dispersion) * signal.persistence
        found = explain_strata(*sides, design=max(1.0, design))
        if found.verdict == "mix" and found.new_share < 0.5 * found.mix:  # new kinds that fail are no mere mix
            return replace(signal, level="warning", mix=found.reason)
        return replace(signal, mix=found.reason) if found.verdict == "both" else signal

    def _counted(self, signal: Signal, weights: Weights) -> int:
        """Weights in the units of the chart."""
        return round(sum(weights.values()) / signal.stands_for)
