"""When within its window did harm begin? Detectors date an onset to a window; what came within it tells more."""

import math
from collections.abc import Mapping, Sequence

__all__ = ["AFTERWARDS", "PARTS", "Onset", "within_windows"]

Onset = Sequence[tuple[int, int, float]]
"""Posterior of an onset: (start, end, probability) of intervals, microseconds since the epoch."""

PARTS = 15
"""A window is looked at in so many equal parts: a quarter of an hour by the minute."""

AFTERWARDS = 4
"""Windows after a window from which the rate of harm since the onset is read."""

MOST = 100.0
"""Within a window one part is at most so many times as probable as another: failures of one minute are rarely independent."""


def within_windows(
    windows: Sequence[tuple[int, float]], window_us: int, counts: Mapping[int, tuple[float, float]], baseline: float
) -> Onset:
    """The posterior with each window split by what came within it; windows of which nothing more is known stay whole.

    ``P(part | window)`` is proportional to the likelihood of the baseline before the part and of the rate of the following
    windows from it on, bounded to a ratio of `MOST`. The probabilities of the windows stay as they are.

    Args:
        windows: (start, probability) of windows of `window_us`.
        window_us: their width.
        counts: start of a part (``window_us // PARTS`` wide) -> (harm, traffic); parts without traffic may be missing.
        baseline: rate of harm before.
    """
    part = window_us // PARTS
    return [one for start, p in windows for one in _split(start, p, window_us, part, counts, baseline)]


def _split(
    start: int, p: float, window_us: int, part: int, counts: Mapping[int, tuple[float, float]], baseline: float
) -> list[tuple[int, int, float]]:
    inside = [counts.get(start + k * part, (0.0, 0.0)) for k in range(PARTS)]
    after = [counts.get(start + k * part, (0.0, 0.0)) for k in range(PARTS, PARTS * (1 + AFTERWARDS))]
    harm, traffic = (math.fsum(side[k] for side in after) for k in (0, 1))
    base = min(max(baseline, 1e-3), 1 - 1e-3)
    level = min((harm + 0.5) / (traffic + 1), 1 - 1e-3)
    if level <= base or not any(n for _, n in inside):
        return [(start, start + window_us, p)]
    # the gain of each part as one after the onset; an onset in part k has the gains of k and of all that follow
    gains = [x * math.log(level / base) + (n - x) * math.log((1 - level) / (1 - base)) for x, n in inside]
    fits = [math.fsum(gains[k:]) for k in range(PARTS)]
    weights = [math.exp(max(f - max(fits), -math.log(MOST))) for f in fits]
    total = math.fsum(weights)
    return [(start + k * part, start + (k + 1) * part, p * w / total) for k, w in enumerate(weights)]
