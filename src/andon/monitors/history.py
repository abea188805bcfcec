"""What the charts remember: counts by hour for the baseline, counts by window for the last two days."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["HOUR_US", "History", "cluster_us"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HOUR_US = 3_600_000_000
KEPT_US = 36 * 24 * HOUR_US
"""Hours are remembered for this long: four weeks of baseline, a week of lag, a day to spare."""

FINE_US = 48 * HOUR_US
"""Windows are remembered for this long: onsets of the last two days are dated to the window."""


def cluster_us(window_us: int) -> int:
    """Width of what is called an hour here: twelve windows, at most an hour, at least a window.

    It is the stretch within which harm may cluster, the step of the detector and the unit of its run length. With windows of
    five minutes it is an hour.
    """
    return max(window_us, min(HOUR_US, 12 * window_us))


class History:
    """Rings over time of the counts of every chart; a new chart is a new column.

    Args:
        window_us: width of a window; the width of an *hour* is `cluster_us` of it.
    """

    def __init__(self, window_us: int) -> None:
        self.window_us, self.hour_us = window_us, cluster_us(window_us)
        hours, windows = KEPT_US // self.hour_us + 1, FINE_US // window_us + 1
        self._n, self._x = np.zeros((2, hours, 0), dtype=np.float32)
        self._left_out = np.zeros((hours, 0), dtype=np.bool_)
        self._weekend = np.zeros((hours, 0), dtype=np.bool_)
        self._last = 0
        self._fine_n, self._fine_x = np.zeros((2, windows, 0), dtype=np.float32)

    def grow(self, charts: int, apps: int) -> None:
        """Make room for this many charts and apps, with some to spare."""
        for name, wanted in (
            ("_n", charts), ("_x", charts), ("_left_out", charts), ("_fine_n", charts), ("_fine_x", charts),
            ("_weekend", apps),
        ):  # fmt: skip
            ring = getattr(self, name)
            if ring.shape[1] < wanted:
                larger = np.zeros((len(ring), max(wanted, ring.shape[1] * 3 // 2)), dtype=ring.dtype)
                larger[:, : ring.shape[1]] = ring
                setattr(self, name, larger)

    def put_window(self, window: int, n: Floats, x: Floats) -> None:
        """Remember the counts of a window, shape (k,)."""
        row = window % len(self._fine_n)
        self._fine_n[row, : len(n)], self._fine_x[row, : len(x)] = n, x

    def put_hour(self, hour: int, n: Floats, x: Floats, left_out: Bools, weekend: Bools) -> None:
        """Remember the counts of an hour, which of them no baseline may learn from, and the kind of day by app."""
        row, self._last = hour % len(self._n), hour
        self._n[row, : len(n)], self._x[row, : len(x)] = n, x
        self._left_out[row, : len(n)] = left_out
        self._weekend[row, : len(weekend)] = weekend

    def leave_out(self, chart: int, first_hour: int, last_hour: int) -> None:
        """Let no baseline learn from these hours of a chart."""
        first = max(first_hour, last_hour - len(self._n) + 1)
        self._left_out[np.arange(first, last_hour + 1) % len(self._n), chart] = True

    def take_in(self, chart: int) -> None:
        """Let baselines learn from everything that is remembered of a chart."""
        self._left_out[:, chart] = False

    def hours(self, charts: Ints, first: Ints, until: Ints) -> tuple[Ints, Floats, Floats]:
        """Hours and their counts (n, x), shape (t, charts), from each chart's `first` hour to before its `until`.

        What is left out, or not remembered, has n = 0.
        """
        start = max(int(first.min()), self._last - len(self._n) + 1)
        hours = np.arange(start, int(until.max()))
        rows = (hours % len(self._n))[:, None], charts[None, :]
        inside = (hours[:, None] >= first) & (hours[:, None] < until) & ~self._left_out[rows]
        n = np.where(inside, self._n[rows], 0.0).astype(np.float64)
        return hours, n, np.where(inside, self._x[rows], 0.0).astype(np.float64)

    def weekend(self, hours: Ints, app: int) -> Bools:
        """The kind of day that these hours had for an app."""
        return np.asarray(self._weekend[hours % len(self._weekend), app])

    @property
    def last_hour(self) -> int:
        """The last hour whose counts joined; 0 before any did."""
        return self._last

    def kept_from(self, end_window: int) -> tuple[int, int]:
        """The first hour and the first window that may be remembered, before this window is turned."""
        return max(0, self._last - len(self._n) + 1), max(0, end_window - len(self._fine_n))

    def hour_rows(self, start: int, end: int, charts: int) -> tuple[Singles, Singles]:
        """Counts (n, x) of hours from `start` to before `end` that are remembered, of the first charts; shape (t, charts)."""
        rows = np.arange(start, end) % len(self._n)
        return self._n[rows, :charts], self._x[rows, :charts]

    def window_rows(self, start: int, end: int, charts: int) -> tuple[Singles, Singles]:
        """The same of windows."""
        rows = np.arange(start, end) % len(self._fine_n)
        return self._fine_n[rows, :charts], self._fine_x[rows, :charts]

    def bins(self, chart: int, first_hour: int, window: int) -> tuple[Ints, Ints, Floats, Floats]:
        """Bins up to and with `window`: start and width in microseconds, n, x. Hours first, windows for the last two days."""
        begin_us = first_hour * self.hour_us
        fine_from = max(begin_us // self.window_us, window - len(self._fine_n) + 1)
        if self.hour_us > self.window_us:  # whole hours before, whole hours of windows after
            per_hour = -(-self.hour_us // self.window_us)
            fine_from = max(begin_us // self.window_us, window - len(self._fine_n) + 1 + per_hour)
            hour = -(-fine_from * self.window_us // self.hour_us)
            fine_from = -(-hour * self.hour_us // self.window_us)  # the first window that begins in this hour
        fine = np.arange(fine_from, window + 1)
        turn = fine_from * self.window_us // self.hour_us
        coarse = np.arange(max(first_hour, self._last - len(self._n) + 1), turn)
        rows, fines = coarse % len(self._n), fine % len(self._fine_n)
        start = np.concatenate([coarse * self.hour_us, fine * self.window_us])
        width = np.repeat([self.hour_us, self.window_us], [len(coarse), len(fine)])
        n = np.concatenate([self._n[rows, chart], self._fine_n[fines, chart]]).astype(np.float64)
        x = np.concatenate([self._x[rows, chart], self._fine_x[fines, chart]]).astype(np.float64)
        return start, width, n, x
