"""The control chart of a published chart over any range: hours where the range is old, windows where it is not."""

import numpy as np
from numpy.typing import NDArray

from andon.monitors.limits import control_points, expected, rank_points
from andon.monitors.records import Point
from andon.monitors.shown import Rows, Shown

__all__ = ["points_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def points_of(shown: Shown, i: int, start_us: int, end_us: int, points: int) -> list[Point]:
    """Points with limits, as `andon.monitors.run.chart_of` gives them for a signal of this chart that is raised now.

    The same rates, counts, limits and dispersion; widths are whole hours where the range begins before windows are
    remembered. Where it differs, on purpose: a number's typical value is shown by the mean rank that the chart watches, where a
    signal tells of a share beyond a bound; traffic of a window that was cut by the end of the range is expected for as
    much of it as was turned; weights are those of the time. While the baseline is learned, limits are trial limits, of
    what is remembered itself (Montgomery, section 7.3).
    """
    start_us, end_us = max(start_us, shown.begins_us), min(end_us, shown.until_us)
    if start_us >= end_us:
        return []
    width = max(shown.window_us, -(-(end_us - start_us) // max(points, 1) // shown.window_us) * shown.window_us)
    at, n, x, sizes, width = _counts(shown, i, start_us, end_us, width)
    if not (n > 0).any():
        return []
    fixed = shown.value("at_most", i) is not None
    known = bool(shown.value("baseline_to_us", i) > 0 and shown.value("phase", i) != "learning")
    clock = tuple(float(f"{r:.6g}") for r in shown.clock[i]) if known else ()
    clusters = max(1, width // shown.hour_us)
    if shown.traffic[i]:
        return _traffic(shown, i, (at, n, x, sizes), width, clock)
    starts, (total, harm) = _merged(at, width, n, x)
    counted = zip(starts.tolist(), total.tolist(), harm.tolist(), strict=True)
    windows = [(w, w + width, round(seen), round(harmed)) for w, seen, harmed in counted]
    base_n, base_x = (shown.value(name, i) for name in ("baseline_n", "baseline_x"))
    if not known:
        base_n, base_x = _remembered(shown, i)
    if shown.value("kind", i) == "number" and not shown.value("aspect", i) and not fixed:
        spread = float(shown.value("spread", i)) if known else 0.0
        return rank_points(windows, (base_x + 0.5) / (base_n + 1), spread, clusters, clock)
    dispersion = round(shown.value("dispersion", i), 9) if known else 0.0
    return control_points(windows, round(base_x), max(1, round(base_n)), dispersion, clusters, clock)


def _counts(shown: Shown, i: int, start_us: int, end_us: int, width: int) -> tuple[Ints, Floats, Floats, Ints, int]:
    """Start, n, x and width of each row of a range, and the width that its points have."""
    windows, hours, chart = shown.windows, shown.hours, np.array([i])
    if shown.fine(start_us):
        at, n, x = windows.of(chart, start_us // windows.unit_us, -(-end_us // windows.unit_us))
        return at * windows.unit_us, n[:, 0], x[:, 0], np.full(len(at), windows.unit_us), width
    width = -(-width // hours.unit_us) * hours.unit_us
    at, n, x = hours.of(chart, start_us // hours.unit_us, -(-end_us // hours.unit_us))
    parts = [(at * hours.unit_us, n[:, 0], x[:, 0], np.full(len(at), hours.unit_us))]
    if end_us > hours.end * hours.unit_us:  # the hour that is not over
        first = -(-hours.end * hours.unit_us // windows.unit_us)
        at, n, x = windows.of(chart, first, -(-end_us // windows.unit_us))
        parts.append((at * windows.unit_us, n[:, 0], x[:, 0], np.full(len(at), windows.unit_us)))
    start, n, x, sizes = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return start, n, x, sizes, width


def _merged(at: Ints, width: int, *values: Floats) -> tuple[Ints, list[Floats]]:
    """Starts of stretches of this width, and the sums of the values in each."""
    starts, inverse = np.unique(at // width * width, return_inverse=True)
    return starts, [np.bincount(inverse, weights=v, minlength=len(starts)).astype(np.float64) for v in values]


def _traffic(
    shown: Shown, i: int, rows: tuple[Ints, Floats, Floats, Ints], width: int, clock: tuple[float, ...]
) -> list[Point]:
    """What did not come (or was not measured), as a share of what does at that hour of the day."""
    at, n, x, sizes = rows
    exposure, came = np.zeros((2, len(at)))
    for unit in np.unique(sizes).tolist():
        of = sizes == unit
        given = shown.came(np.array([i]), int(unit), n[of, None], x[of, None])
        exposure[of], came[of] = given[0][:, 0], given[1][:, 0]
    starts, (exposed, total) = _merged(at[n > 0], width, exposure[n > 0], came[n > 0])
    usual = clock or (float(total.sum() / exposed.sum()),) * 48
    windows = []
    for w, share, arrived in zip(starts.tolist(), exposed.tolist(), total.tolist(), strict=True):
        expects = max(1, round(expected(usual, w, w + width) * share))
        windows.append((w, w + width, expects, max(0, expects - round(arrived))))
    base_n = shown.value("baseline_n", i) * shown.value("stands_for", i) if clock else total.sum()
    dispersion = round(shown.value("dispersion", i), 9) if clock else 0.0
    return control_points(windows, 0, max(1, round(float(base_n))), dispersion)


def _remembered(shown: Shown, i: int) -> tuple[float, float]:
    """Observations and harm of everything that is remembered of a chart."""
    rows: Rows = shown.hours if shown.hours.end else shown.windows
    _, n, x = rows.of(np.array([i]), rows.first, rows.end)
    if not n.any():
        _, n, x = shown.windows.of(np.array([i]), shown.windows.first, shown.windows.end)
    return float(n.sum()), float(x.sum())
