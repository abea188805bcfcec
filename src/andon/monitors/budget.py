"""What the budget of false pages costs: how far apart one chart's false pages are, and how long it takes to tell of harm."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from andon import stats
from andon.errors import InputError
from andon.monitors.board import ChartBoard, ChartState
from andon.monitors.history import HOUR_US, cluster_us
from andon.monitors.records import TRAFFIC

__all__ = ["BUDGETS", "BudgetRow", "budget_of", "budget_table", "delays_h", "hours_between", "paging_weight"]

Floats = NDArray[np.float64]

MONTH_H = 30 * 24

BUDGETS = (0.25, 1.0, 4.0, 16.0)
"""False pages a month that are compared."""

LONGEST_H = 90 * 24
"""Delays beyond this are not said: by then a baseline has changed."""

START = 0.1
"""Where a chart that is calm stands at most, as a share of its threshold."""

MOST_RATE = 0.99
"""A rate that cannot double goes up to here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """One budget, for one chart."""

    false_pages_per_month: float
    """Over everything."""
    between_h: float
    """Hours between false pages of this chart, at least, on average."""
    threshold: float
    """Of its statistic, in the detector's hours."""
    double_h: float | None
    """Hours until twice the harm is paged, typically; None: not within 90 days."""
    tenfold_h: float | None


def hours_between(false_pages_per_month: float, weights: Sequence[float], weight: float = 1.0) -> float:
    """Hours between false pages of a chart of this weight, when all of these may page: ``sum(w) / w x 720 / budget``.

    Args:
        false_pages_per_month: the budget over everything, above 0.
        weights: of all charts that may page, its own among them.
        weight: of the chart.

    Raises:
        InputError: a value is not positive.
    """
    given = np.asarray(weights, dtype=np.float64)
    if not false_pages_per_month > 0 or not weight > 0 or not (given > 0).all():
        raise InputError(
            f"false_pages_per_month = {false_pages_per_month}, weight = {weight} and all weights must be above 0"
        )
    return max(float(given.sum()), weight) / weight * MONTH_H / false_pages_per_month


def delays_h(
    rate: float,
    per_hour: float,
    thresholds: Sequence[float],
    factor: float,
    *,
    dispersion: float = 0.0,
    persistence: float = 1.0,
    guard: float = 0.0,
    hour_h: float = 1.0,
) -> list[float | None]:
    """Typical hours until this many times the harm is paged, for each threshold.

    The path on which every hour brings what is expected of it: ``R <- (1 + R) exp(d)`` for each alternative, d the expected
    log likelihood ratio of an hour with `factor` times the harm, from where R stands while nothing changes
    (``exp(d0) / (1 - exp(d0))``, d0 the same without harm; at most a tenth of the threshold, where it would warn), until the mean of R is at the threshold; the hour of crossing is
    shared on the log scale, because charts are looked at within it. To first order that is ``log(8 A) / d`` for the alternative
    that grows fastest.

    Assumes that the baseline is known but for the guard, and that harm rises at once and stays. Chance moves single alarms to
    both sides: with about one harm an hour a tenth of them take twice as long (`docs/methods/detector.md`).

    Args:
        rate: of harm in the baseline, above 0 and below 1; of a number's typical value 1/2 is not a rate of harm.
        per_hour: observations an hour.
        thresholds: of the statistic, in the detector's hours.
        factor: by how much harm is multiplied, above 1; at most to a rate of 0.99.
        dispersion: intraclass correlation within an hour, as signals say it.
        persistence: as signals say it.
        guard: how far the log of the baseline's rate is pushed away, because it is an estimate.
        hour_h: width of the detector's hour in hours.

    Returns:
        Hours by threshold; None where it is not told within 90 days.

    Raises:
        InputError: a value is out of range.

    Source: Pollak & Tartakovsky, Statistica Sinica 19 (2009), 1729-1739 (the delay of Shiryaev-Roberts is the logarithm of
    the threshold over the information, to first order); Shin, Ramdas & Rinaldo (2024), as in `andon.stats.edetector`.
    """
    if not 0 < rate < 1 or not per_hour > 0 or not factor > 1 or not 0 <= dispersion < 1 or not persistence >= 1:
        raise InputError(
            f"rate = {rate} must lie between 0 and 1, per_hour = {per_hour} be above 0, factor = {factor} above 1, "
            f"dispersion = {dispersion} from 0 to below 1 and persistence = {persistence} at least 1"
        )
    scale = min(1 / (1 - rate), 10.0)
    mean = rate * scale * per_hour * hour_h
    spread = max(dispersion * max(1 - rate, 0.1) / rate, stats.LEAST_SPREAD)
    worse = mean * min(factor, MOST_RATE / rate)
    log_ratio = stats.log_ratios(np.array([rate]))
    given = np.array([mean * np.exp(guard)]), np.array([spread]), np.array([persistence]), log_ratio
    calm, drift = (stats.log_likelihood_ratio(np.array([y]), *given) for y in (mean, worse))
    return _crossings(calm, drift, np.asarray(thresholds, dtype=np.float64), hour_h)


def _crossings(calm: Floats, drift: Floats, limits: Floats, hour_h: float) -> list[float | None]:
    """Hours until the mean of R is at each limit, when every hour adds this drift to each alternative; shapes (m, 1), (q,)."""
    r = np.minimum(np.exp(calm) / np.maximum(-np.expm1(calm), 1e-9), START * limits)
    path = [r.mean(axis=0)]
    while (path[-1] < limits).any() and len(path) * hour_h <= LONGEST_H:
        r = stats.step(r, drift)
        path.append(r.mean(axis=0))
    logs = np.log(np.maximum.accumulate(path, axis=0))
    hours = np.arange(len(path)) * hour_h
    found = [float(np.interp(np.log(a), logs[:, k], hours)) for k, a in enumerate(limits)]
    return [h if logs[-1, k] >= np.log(a) else None for k, (h, a) in enumerate(zip(found, limits, strict=True))]


def budget_table(
    rate: float,
    per_hour: float,
    weights: Sequence[float],
    *,
    weight: float = 1.0,
    dispersion: float = 0.0,
    persistence: float = 1.0,
    guard: float = 0.0,
    hour_us: int = HOUR_US,
    budgets: Sequence[float] = BUDGETS,
) -> list[BudgetRow]:
    """What each budget means for one chart: its false pages, and the delay until harm that doubles, or is tenfold, is paged.

    Args:
        rate: as for `delays_h`, like what follows it.
        per_hour: observations an hour.
        weights: of all charts that may page.
        weight: of this one.
        dispersion: as above.
        persistence: as above.
        guard: as above.
        hour_us: the detector's hour, `andon.monitors.cluster_us` of a window.
        budgets: false pages a month that are compared.

    Raises:
        InputError: a value is out of range.
    """
    between = [hours_between(budget, weights, weight) for budget in budgets]
    hour_h = hour_us / HOUR_US
    thresholds = [hours / hour_h for hours in between]
    double, tenfold = (
        delays_h(
            rate, per_hour, thresholds, factor, dispersion=dispersion, persistence=persistence, guard=guard, hour_h=hour_h
        )
        for factor in (2.0, 10.0)
    )  # fmt: skip
    return [
        BudgetRow(false_pages_per_month=b, between_h=h, threshold=a, double_h=d, tenfold_h=t)
        for b, h, a, d, t in zip(budgets, between, thresholds, double, tenfold, strict=True)
    ]


def paging_weight(board: ChartBoard) -> float:
    """Weight of all charts that may page together, up to a factor: a threshold is the whole over the weight of its chart."""
    if not len(board):
        return 0.0
    threshold = board.column("threshold")
    quiet = np.array([phase == "quiet" for phase in board.texts("phase")], dtype=np.bool_)
    pages = ~board.column("warns").astype(bool) & (board.column("baseline_n") > 0) & ~quiet & (threshold > 0)
    return float((1 / threshold[pages]).sum())


def budget_of(state: ChartState, whole: float, budgets: Sequence[float] = BUDGETS) -> list[BudgetRow]:
    """What each budget means for a published chart; nothing while it learns, and where harm has no rate that could double.

    Args:
        state: of the chart.
        whole: as `paging_weight` gives it.
        budgets: false pages a month that are compared.
    """
    hours = (state.baseline_to_us - state.baseline_from_us) / HOUR_US
    ranks = state.kind == "number" and not state.aspect and state.at_most is None
    if state.phase != "watching" or state.metric == TRAFFIC or ranks or hours <= 0 or not state.threshold > 0:
        return []
    rate = (state.baseline_x + 0.5) / (state.baseline_n + 1)
    if not state.baseline_n or not rate < 1:
        return []
    return list(
        _remembered(
            rate, state.baseline_n / hours, whole or 1 / state.threshold, 1 / state.threshold, min(state.dispersion, 0.99),
            max(1.0, state.persistence), cluster_us(state.window_us), tuple(budgets),
        )
    )  # fmt: skip


@lru_cache(2_000)
def _remembered(
    rate: float, per_hour: float, whole: float, weight: float, dispersion: float, persistence: float, hour_us: int,
    budgets: tuple[float, ...],
) -> tuple[BudgetRow, ...]:  # fmt: skip
    """The table; baselines change once a day, and pages ask for it at every look."""
    return tuple(
        budget_table(
            rate, per_hour, [whole], weight=weight, dispersion=dispersion, persistence=persistence, hour_us=hour_us,
            budgets=budgets,
        )
    )  # fmt: skip
