"""One publication of the charts, as NumPy views of its tables: nothing is copied that nobody asks for."""

import json
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon.monitors.history import HOUR_US
from andon.monitors.publication import PHASES
from andon.monitors.records import TRAFFIC
from andon.monitors.series import APART
from andon.scores.rows import PROBE
from andon.stats import clock_of

__all__ = ["Rows", "Scopes", "Shown"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ALL = "all"
RISK = "risk_category"


class Rows:
    """Counts of hours, or of windows, in consecutive pieces: index of its first row, n and x of shape (t, charts).

    A chart that is younger than a piece has no column in it, and no counts.
    """

    def __init__(self, unit_us: int, pieces: list[tuple[int, NDArray[np.float32], NDArray[np.float32]]]) -> None:
        self.unit_us = unit_us
        self._pieces = [p for p in pieces if len(p[1])]
        self.first = self._pieces[0][0] if self._pieces else 0
        self.end = self._pieces[-1][0] + len(self._pieces[-1][1]) if self._pieces else 0

    def of(self, charts: Ints, start: int, end: int) -> tuple[Ints, Floats, Floats]:
        """Index of each row from `start` to before `end` that is kept, and the counts n and x; shapes (t,), (t, charts)."""
        start, end = max(start, self.first), min(end, self.end)
        rows = np.arange(start, max(start, end))
        n, x = np.zeros((2, len(rows), len(charts)))
        for first, *counts in self._pieces:
            low, high = max(start, first), min(end, first + len(counts[0]))
            if low >= high:
                continue
            known = charts < counts[0].shape[1]
            for into, values in zip((n, x), counts, strict=True):
                into[low - start : high - start, known] = values[low - first : high - first][:, charts[known]]
        return rows, n, x


class Scopes:
    """What follows from the parts of the traffic that charts are about; arrays of shape (k,)."""

    def __init__(self, column: pa.DictionaryArray) -> None:
        code = column.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self.values = [tuple((str(k), str(v)) for k, v in json.loads(text)) for text in column.dictionary.to_pylist()]
        told = [dict(scope) for scope in self.values]
        apart = [json.dumps([p for p in scope if p[0] in APART]) for scope in self.values]
        known = {text: number for number, text in enumerate(dict.fromkeys(apart))}
        self.code = code
        self.apart = np.array([known[text] for text in apart], dtype=np.int64)[code]
        """Charts of other evaluators, or of probes, have another number."""
        self.people = np.array([scope.get("source") != PROBE for scope in told], dtype=np.bool_)[code]
        risks = [scope.get(RISK, ALL) for scope in told]
        self.risks = [ALL, *sorted({r for r in risks if r != ALL})]
        self.risk = np.array([self.risks.index(r) for r in risks], dtype=np.int64)[code]
        alone = [all(k == RISK or k in APART for k in scope) for scope in told]
        self.alone = np.array(alone, dtype=np.bool_)[code]
        """Whether it is all of its risk category, or of the traffic."""


class Shown:
    """The tables of one publication.

    Args:
        state: a row for each chart.
        told: what it says of itself.
        counts: the counts that go with it.
        counts_told: what these say of themselves.
    """

    def __init__(self, state: pa.Table, told: dict[str, Any], counts: pa.Table, counts_told: dict[str, Any]) -> None:
        self._state, self.counts, self.counts_told = state, counts, counts_told
        self.told, self.charts = told, len(state)
        self.window_us, self.hour_us = int(told["window_us"]), int(told["hour_us"])
        self.begins_us, self.until_us = int(told["begins_us"]), int(told["until_us"])
        self.healths: dict[str, list[Any]] = {}
        """What was summed up of an app, by its name; kept because it is asked for at every look, and never changes."""
        pieces = self._pieces()
        for name, of in (("hours", "first_hour"), ("windows", "first_window")):
            if f"{name}_n" in state.column_names:
                n, x = (self._lists(f"{name}_{c}").T for c in "nx")
                pieces[name].append((int(told[of]), n, x))
        self.hours, self.windows = Rows(self.hour_us, pieces["hours"]), Rows(self.window_us, pieces["windows"])

    def _pieces(self) -> dict[str, list[tuple[int, NDArray[np.float32], NDArray[np.float32]]]]:
        """The batches of the counts."""
        pieces: dict[str, list[Any]] = {"hours": [], "windows": []}
        wide, told = max(int(self.counts_told["charts"]), 1), self.counts_told
        at, hours = 0, int(told["end_hour"]) - int(told["first_hour"])
        for batch in self.counts.to_batches():
            n, x = (batch[c].flatten().to_numpy(zero_copy_only=True).reshape(-1, wide) for c in "nx")
            if at < hours:
                pieces["hours"].append((int(told["first_hour"]) + at, n, x))
            else:
                pieces["windows"].append((int(told["first_window"]) + at - hours, n, x))
            at += len(n)
        return pieces

    def _array(self, name: str) -> pa.Array:
        column = self._state[name]
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def _lists(self, name: str) -> NDArray[Any]:
        """A column of lists, shape (k, length)."""
        array = self._array(name)
        return np.asarray(array.flatten().to_numpy(zero_copy_only=True).reshape(self.charts, -1))

    def column(self, name: str) -> NDArray[Any]:
        """A column of numbers as a view, shape (k,); what is not given is NaN."""
        return np.asarray(self._array(name).to_numpy(zero_copy_only=False))

    def value(self, name: str, i: int) -> Any:
        """One value of one chart."""
        return self._state[name][i].as_py()

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the charts, in the order of the rows."""
        return [str(name) for name in self._state["id"].to_pylist()]

    @cached_property
    def index(self) -> dict[str, int]:
        """Id -> row."""
        return {name: i for i, name in enumerate(self.ids)}

    @cached_property
    def clock(self) -> Floats:
        """What baselines expect by hour of the day, shape (k, 48)."""
        return self._lists("clock")

    @cached_property
    def scopes(self) -> Scopes:
        """What follows from the scopes."""
        return Scopes(self._array("scope").dictionary_encode())

    def codes(self, name: str) -> tuple[Ints, list[str]]:
        """A column of texts as numbers, shape (k,), and what they stand for."""
        array = self._array(name)
        return array.indices.to_numpy(zero_copy_only=False).astype(np.int64), array.dictionary.to_pylist()

    def is_text(self, name: str, value: str) -> Bools:
        """Where a column of texts has this value, shape (k,)."""
        code, values = self.codes(name)
        return np.asarray(code == values.index(value)) if value in values else np.zeros(self.charts, dtype=np.bool_)

    @cached_property
    def quiet(self) -> Bools:
        """Charts that never tell."""
        return self.is_text("phase", PHASES[2])

    @cached_property
    def traffic(self) -> Bools:
        """Charts of what does not come, or is not measured."""
        return self.is_text("metric", TRAFFIC)

    @cached_property
    def counted(self) -> Bools:
        """Of these the ones whose n is a stretch of time, not a number of answers."""
        return self.traffic & self.is_text("aspect", "")

    @cached_property
    def nearness(self) -> Floats:
        """How far each statistic is on its way to the threshold, 0 to 1 on the log scale; 0 while it is learned."""
        watching = self.is_text("phase", PHASES[1])
        gone = np.log(np.maximum(self.column("statistic"), 1.0)) / np.log(np.maximum(self.column("threshold"), 2.0))
        return np.where(watching, np.minimum(gone, 1.0), 0.0)

    def fine(self, start_us: int) -> bool:
        """Whether windows are remembered from this time on, or as far back as anything is."""
        return max(start_us, self.begins_us) >= self.windows.first * self.window_us or not self.hours.end

    def came(self, charts: Ints, unit_us: int, n: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Of charts of traffic: hours of exposure (or answers) and what came, both in interactions; shapes (t, charts).

        The n of a window without a gap is its share of the detector's hour over the weight that x counts as one, so the
        weight of the time is known; it grows only, up to the one that is published.
        """
        most = self.column("stands_for")[charts]
        share = unit_us / self.hour_us
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(n > 0, share / n, 0.0)
        weight = np.where(weight > most * (1 - 1e-6), most, weight)
        exposed = self.counted[charts]
        weight = np.where(exposed, weight, most)
        return n * weight * np.where(exposed, self.hour_us / HOUR_US, 1.0), x * weight

    def missing(self, charts: Ints, start_us: Ints, unit_us: int, n: Floats, x: Floats) -> tuple[Floats, Floats, Bools]:
        """Of charts of traffic, by row: what usually comes, what came, and whether that is known at all."""
        exposure, came = self.came(charts, unit_us, n, x)
        cell = clock_of(start_us // HOUR_US)
        return self.clock[charts][:, cell].T * exposure, came, self.column("baseline_to_us")[charts] > 0

    def rates(self, charts: Ints, rows: Rows, start: int, end: int, bins: Ints, wanted: int) -> tuple[Floats, Floats]:
        """Observations and harm of charts, summed over rows by bin; shape (wanted, charts). Of traffic: usual, and missing."""
        at, n, x = rows.of(charts, start, end)
        into = bins[at - start] if len(at) else bins[:0]
        traffic = self.traffic[charts]
        if traffic.any():
            some = np.flatnonzero(traffic)
            usual, came, known = self.missing(charts[some], at * rows.unit_us, rows.unit_us, n[:, some], x[:, some])
            n[:, some], x[:, some] = usual * known, came * known
        total, harm = np.zeros((2, wanted, len(charts)))
        inside = (into >= 0) & (into < wanted)
        np.add.at(total, into[inside], n[inside])
        np.add.at(harm, into[inside], x[inside])
        harm[:, traffic] = np.maximum(total[:, traffic] - harm[:, traffic], 0)
        return total, harm
