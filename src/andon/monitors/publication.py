"""What the charts hold, as Arrow tables for readers in other processes.

Two tables. The *state* has a row for each chart: what is known of it now, and its counts since the *counts* were written.
The counts have a row for each hour and then for each window that is remembered, all charts in it: they are large, so
they are written once an hour, row after row as the charts hold them. The state names the counts that it goes with.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon.monitors.history import HOUR_US, History
from andon.monitors.records import Monitor
from andon.scores import Harm

__all__ = ["PHASES", "STATE", "VERSION", "Held", "Publication", "Stretch", "kept_of", "told_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

STATE = "charts"
"""Name of the table of states."""

VERSION = 1
"""Of both tables; a reader takes any other for none."""

PHASES = ("learning", "watching", "quiet")
"""A quiet chart learns for another one beside it, and never tells."""

ROWS = 64
"""Rows of a batch of counts: what is copied at a time."""

KEY = b"andon"

NAMES = ("app", "environment", "metric", "direction", "aspect", "objective")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What `Charts` knows of every chart; arrays of shape (k,) unless said."""

    monitors: list[Monitor]
    kinds: Mapping[str, str]
    """Metric -> ``binary`` or ``number``."""
    harms: Mapping[tuple[str, str], Harm]
    history: History
    phase: Ints
    """Index into `PHASES`."""
    seen: Floats
    """Observations since the chart began to learn."""
    since_us: Ints
    """When it began; 0: nothing came yet."""
    baseline_n: Floats
    """As signals say it: that of the whole where a part has too few of its own; 0 while it is learned."""
    baseline_x: Floats
    baseline_from_us: Ints
    baseline_to_us: Ints
    dispersion: Floats
    """Intraclass correlation within an hour."""
    spread: Floats
    """Squared relative standard deviation of the rate from hour to hour."""
    persistence: Floats
    clock: Floats
    """What the baseline expects by hour of the day, shape (48, k)."""
    statistic: Floats
    threshold: Floats
    signalled_us: Ints
    """End of the window in which it last crossed its threshold; 0: never."""
    silent_until_us: Ints
    own: Bools
    """Whether it has observed enough to speak for itself; until then it is compared with its whole, and only warns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Hours and windows, each from the first to before the end, as indices since 1970."""

    first_hour: int
    end_hour: int
    first_window: int
    end_window: int


def kept_of(held: Held, end: int, since: Stretch | None = None) -> Stretch:
    """Hours and windows that are remembered when the windows before `end` have been turned; only those after `since`, if given."""
    history = held.history
    hour, window = history.kept_from(end)
    begun_us = int(held.since_us[held.since_us > 0].min(initial=end * history.window_us))
    first = max(window, begun_us // history.window_us), max(hour, begun_us // history.hour_us)
    last_hour = max(history.last_hour + 1, first[1])
    if since is not None:
        first = max(first[0], since.end_window), max(first[1], since.end_hour)
    return Stretch(
        first_hour=min(first[1], last_hour), end_hour=last_hour, first_window=min(first[0], end), end_window=end
    )


def told_of(table: pa.Table) -> dict[str, Any] | None:
    """What a table says of itself; None where it is not of this version, or says nothing."""
    try:
        told = json.loads((table.schema.metadata or {})[KEY])
    except (KeyError, ValueError):
        return None
    return told if isinstance(told, dict) and told.get("version") == VERSION else None


@dataclass(slots=True, kw_only=True)
class Publication:
    """Makes the tables; remembers what never changes of a chart, and which counts the next states go with."""

    counts: str = ""
    """Name of the counts that were written last."""
    span: Stretch | None = None
    """What is in them."""
    _names: dict[str, pa.Array] = field(default_factory=dict)
    _known: int = 0

    def due(self, held: Held) -> bool:
        """Whether the counts are to be written again: there are none, or an hour of real time has ended since."""
        width = held.history.hour_us
        return self.span is None or (held.history.last_hour + 1 - self.span.end_hour) * width >= max(HOUR_US, width)

    def counts_of(self, held: Held, end: int) -> tuple[str, pa.RecordBatchReader]:
        """The name and the batches of the counts of everything that is remembered."""
        span, k = kept_of(held, end), len(held.monitors)
        self._fixed(held)
        digest = blake2b("\n".join(self._names["id"].to_pylist()).encode(), digest_size=6)
        name = f"counts-{end}-{digest.hexdigest()}"
        told = {"version": VERSION, "charts": k, **_told(span)}
        wide = pa.list_(pa.float32(), max(k, 1))
        schema = pa.schema([("n", wide), ("x", wide)], metadata={KEY: json.dumps(told).encode()})
        self.counts, self.span = name, span
        return name, pa.RecordBatchReader.from_batches(schema, _batches(held, span, schema))

    def state_of(self, held: Held, end: int, weights: Floats) -> pa.Table:
        """The table of states.

        Args:
            held: what the charts hold.
            end: index of the first window that was not turned.
            weights: interactions that an observation of each chart stands for, shape (k,).
        """
        k, history = len(held.monitors), held.history
        columns = dict(self._fixed(held))
        columns["phase"] = pa.DictionaryArray.from_arrays(pa.array(held.phase, pa.int32()), pa.array(PHASES))
        for name in (
            "seen", "since_us", "baseline_n", "baseline_x", "baseline_from_us", "baseline_to_us", "dispersion", "spread",
            "persistence", "statistic", "threshold", "signalled_us", "silent_until_us",
        ):  # fmt: skip
            columns[name] = pa.array(getattr(held, name))
        columns["own"], columns["stands_for"] = pa.array(held.own), pa.array(weights)
        columns["clock"] = _lists(held.clock)
        since = kept_of(held, end, self.span)
        for name, rows in (
            ("hours", history.hour_rows(since.first_hour, since.end_hour, k)),
            ("windows", history.window_rows(since.first_window, since.end_window, k)),
        ):
            for of, counts in zip("nx", rows, strict=True):
                if len(counts):  # a list of no length is not read back by every version of Arrow
                    columns[f"{name}_{of}"] = _lists(counts)
        whole = kept_of(held, end)
        told = {
            "version": VERSION, "counts": self.counts, "window_us": history.window_us, "hour_us": history.hour_us,
            "begins_us": min(whole.first_hour * history.hour_us, whole.first_window * history.window_us),
            "until_us": end * history.window_us, **_told(since),
        }  # fmt: skip
        return pa.table(columns, metadata={KEY: json.dumps(told).encode()})

    def _fixed(self, held: Held) -> dict[str, pa.Array]:
        """Columns that follow from what a chart is."""
        k = len(held.monitors)
        if k != self._known:
            more = held.monitors[self._known :]
            made: dict[str, list[Any]] = {name: [getattr(m, name) for m in more] for name in NAMES}
            made["id"] = [m.id for m in more]
            made["scope"] = [json.dumps(m.scope, ensure_ascii=False) for m in more]
            made["at_most"] = [m.at_most for m in more]
            made["warns"] = [m.warns for m in more]
            made["kind"] = [held.kinds.get(m.metric, "binary") for m in more]
            made["harm"] = [held.harms.get((m.metric, m.direction), "usefulness") for m in more]
            for name, values in made.items():
                new = pa.array(values, pa.float64() if name == "at_most" else None)
                self._names[name] = pa.concat_arrays([self._names[name], new]) if self._known else new
            self._known = k
        coded = (*NAMES, "kind", "harm")
        return {name: a.dictionary_encode() if name in coded else a for name, a in self._names.items()}


def _batches(held: Held, span: Stretch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """A few rows at a time: hours, then windows, never both in one batch."""
    k = len(held.monitors)
    for read, first, end in (
        (held.history.hour_rows, span.first_hour, span.end_hour),
        (held.history.window_rows, span.first_window, span.end_window),
    ):
        for start in range(first, end, ROWS):
            rows = read(start, min(start + ROWS, end), k)
            arrays = [pa.FixedSizeListArray.from_arrays(pa.array(counts.ravel()), max(k, 1)) for counts in rows]
            yield pa.record_batch(arrays, schema=schema)


def _lists(counts: Floats | NDArray[np.float32]) -> pa.Array:
    """A list for each chart from an array of shape (t, k)."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(counts.T).ravel()), len(counts))


def _told(span: Stretch) -> dict[str, int]:
    return {name: getattr(span, name) for name in Stretch.__slots__}
