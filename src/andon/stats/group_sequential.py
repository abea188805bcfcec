"""Group-sequential tests: a planned sample, looked at on the way, with the error rate of one look.

The z statistic of all data so far is compared with a boundary at each look. Boundaries come from a spending function, which
says how much of alpha may be spent by the time a share of the planned information (of the sample, for means and rates) is in.
It depends on that share alone (or on the share of the planned time), so looks need not be planned: another look later never
moves a boundary that was already used. That the times of looks do not depend on what was seen is assumed.

`bounds` are two-sided and symmetric: each side has alpha / 2. Used on one side only (the upper one, say), the level is
alpha / 2. Use instead: `e_process` or `sequences`, where no sample can be planned, or where one looks when results look good.

Sources: Armitage, McPherson & Rowe, J. Royal Statistical Society A 132 (1969), 235-244 (the joint density, integrated look
by look); Lan & DeMets, Biometrika 70 (1983), 659-663 (spending); Jennison & Turnbull, *Group Sequential Methods with
Applications to Clinical Trials* (2000), chapters 2 (inflation), 7 (spending), 8 and 9 (p-values, repeated intervals), 19 (computation).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

__all__ = [
    "Crossing",
    "Spending",
    "bounds",
    "crossing",
    "expected_share",
    "inflation",
    "repeated_interval",
    "spent",
    "stagewise_p",
]

Floats = NDArray[np.float64]
Spending = Literal["obrien-fleming", "pocock", "square"]

CLOSEST = 2.5e-4
"""Smallest step of information between two looks, as a share of what is in: nearer ones are one look."""

_FURTHEST = 12.0
_LEAST = 1e-28
"""So many standard deviations are integrated; a look at which less than this may be spent has no boundary."""


class Crossing(NamedTuple):
    """Probabilities to stop at each look, having not stopped before."""

    upper: Floats
    """At or beyond the upper boundary, shape (looks,)."""
    lower: Floats
    """At or beyond the lower one, shape (looks,)."""


def spent(fraction: float, alpha: float = 0.05, kind: Spending = "obrien-fleming") -> float:
    """How much of a two-sided `alpha` may be spent when `fraction` of the planned information is in; all of it from 1 on.

    Each side spends half: ``2 f(t, alpha/2)``, with ``f(t, a) = 2 - 2 Phi(z(1 - a/2) / sqrt(t))`` ("obrien-fleming": next to
    nothing early, nearly alpha left at the end; for what shall run its course unless it is clear), ``a log(1 + (e - 1) t)``
    ("pocock": about even; for what shall stop early) or ``a t^2`` ("square": between the two; for harm).

    Source: Lan & DeMets (1983), alpha*_1 and alpha*_2; "square": Kim & DeMets, Biometrika 74 (1987), 149-154.
    """
    _check_alpha(alpha)
    if not fraction >= 0:
        raise ValueError(f"fraction={fraction} must be 0 or more: the share of the planned information that is in")
    if kind == "pocock":
        return alpha * math.log1p((math.e - 1) * min(fraction, 1.0))
    if kind == "square":
        return alpha * min(fraction, 1.0) ** 2
    if kind != "obrien-fleming":
        raise ValueError(f"kind={kind!r} is not known; 'obrien-fleming', 'pocock' and 'square' are")
    if fraction == 0:
        return 0.0
    return 4 * float(special.ndtr(special.ndtri(alpha / 4) / math.sqrt(min(fraction, 1.0))))


def bounds(
    fractions: Sequence[float],
    alpha: float = 0.05,
    kind: Spending = "obrien-fleming",
    *,
    clock: Sequence[float] | None = None,
) -> Floats:
    """Boundaries of ``|z|`` for looks at these shares of the planned information, shape (looks,).

    At each look the boundary is the c at which P(no crossing before, z beyond c) on either side is half of what has been
    allowed since the look before. Adding a look changes no earlier boundary. Looks beyond the plan (a fraction above 1) spend
    what is left; after that nothing is left, and the boundary is infinite. So it is at a look that
    may spend less than 1e-28. Exact to about 1e-6.

    Args:
        fractions: information at each look over the planned one, above 0 and strictly increasing (each by more than 0.00025 of itself).
        alpha: two-sided error rate over all looks.
        kind: spending function, see `spent`.
        clock: what alpha is spent by at each look, from 0 and never falling, shape (looks,): the share of the planned time, say,
            where nobody knows how much will come. `fractions` may then be in any unit; only their ratios count. Without it alpha
            is spent by the fractions.

    Source: Lan & DeMets (1983), and Statistics in Medicine 8 (1989), 1191-1198 (a clock of its own); Armitage et al. (1969);
    Jennison & Turnbull (2000), chapter 19.
    """
    _check_alpha(alpha)
    times = tuple(map(float, fractions))
    if clock is None:
        return np.array(_bounds(times, times, float(alpha), kind))
    spends = tuple(map(float, clock))
    if len(spends) != len(times) or any(not b >= a for a, b in pairwise([0.0, *spends])):
        raise ValueError(f"clock={list(spends)} must be {len(times)} shares from 0 that never fall, one for each look")
    return np.array(_bounds(times, spends, float(alpha), kind))


def crossing(fractions: Sequence[float], limits: Sequence[float] | Floats, drift: float) -> Crossing:
    """Probabilities to cross the boundaries ``+-limits`` first at each look, when z has the mean ``drift sqrt(fraction)``.

    `drift` is the expectation of z with all of the planned information: the effect over its standard error. A fixed test of
    two-sided level alpha has power P for a drift of ``z(1 - alpha/2) + z(P)``. Power is ``crossing(...).upper.sum()``.

    Args:
        fractions: as in `bounds`, shape (looks,).
        limits: boundaries of ``|z|``, 0 or more; infinite where there is none; shape (looks,).
        drift: expected z at fraction 1.

    Source: Armitage et al. (1969); Jennison & Turnbull (2000), section 19.2.
    """
    steps = _steps(fractions)
    each = [float(c) for c in limits]
    if len(each) != len(steps) or any(not c >= 0 for c in each):
        raise ValueError(f"limits={each} must be {len(steps)} numbers of 0 or more, one for each look")
    upper, lower, state = [], [], _State.start()
    for (before, now), limit in zip(steps, each, strict=True):
        upper.append(state.beyond(before, now, limit, drift))
        lower.append(state.beyond(before, now, limit, drift, side=-1))
        state = state.step(before, now, limit, drift)
    return Crossing(np.array(upper), np.array(lower))


def expected_share(fractions: Sequence[float], limits: Sequence[float] | Floats, drift: float) -> float:
    """Mean share of the planned information at which the test ends: at a crossing, or else at the last look."""
    found = crossing(fractions, limits, drift)
    stops = found.upper + found.lower
    times = np.asarray(fractions, dtype=np.float64)
    return float(stops @ times + (1 - stops.sum()) * times[-1])


def inflation(looks: int, alpha: float = 0.05, power: float = 0.8, kind: Spending = "obrien-fleming") -> float:
    """By how much the planned sample must exceed that of a single look, for the same power with evenly spaced looks.

    ``(drift / (z(1 - alpha/2) + z(power)))^2``, drift the one for which the upper boundary is crossed with that probability.

    Source: Jennison & Turnbull (2000), sections 2.2 to 2.4.
    """
    if looks < 1:
        raise ValueError(f"looks={looks} must be 1 or more")
    if not alpha / 2 < power < 1:
        raise ValueError(f"power={power} must be above alpha / 2 and below 1")
    fractions = [(k + 1) / looks for k in range(looks)]
    limits = bounds(fractions, alpha, kind)
    fixed = float(special.ndtri(power) - special.ndtri(alpha / 2))
    drift = scipy.optimize.brentq(
        lambda d: float(crossing(fractions, limits, d).upper.sum()) - power, fixed / 2, 3 * fixed + 3, xtol=1e-9
    )
    return (float(drift) / fixed) ** 2


def repeated_interval(estimate: float, se: float, bound: float) -> tuple[float, float]:
    """Interval at a look, valid at all looks together with level 1 - alpha: ``estimate -+ bound * se``.

    `bound` is the boundary of this look. Valid whether or not one stops, so it is wider than a single look's.

    Source: Jennison & Turnbull (2000), chapter 9.
    """
    if not (se > 0 and bound > 0):
        raise ValueError(f"se={se} and bound={bound} must be above 0")
    return estimate - bound * se, estimate + bound * se


def stagewise_p(fractions: Sequence[float], limits: Sequence[float] | Floats, z: float) -> float:
    """Two-sided p-value when the test ended at the last of these looks with `z`, having crossed at none before.

    P(to have stopped earlier, or to be beyond ``|z|`` now) without an effect: results are ordered by stage, then by z. It is at
    most alpha exactly when the boundary was crossed. `limits` are needed for the looks before the last only.

    Source: Jennison & Turnbull (2000), section 8.4 (stage-wise ordering).
    """
    earlier = list(limits)[: len(fractions) - 1]
    found = crossing(fractions, [*earlier, abs(z)], 0.0)
    return min(1.0, float((found.upper + found.lower).sum()))


class _State(NamedTuple):
    """Where z may be when no boundary has been crossed: nodes of a quadrature, and the probability at each."""

    nodes: Floats
    mass: Floats

    @classmethod
    def start(cls) -> "_State":
        return cls(np.zeros(1), np.ones(1))

    def beyond(self, before: float, now: float, limit: float, drift: float, side: int = 1) -> float:
        """Probability of ``side * z >= limit`` at the next look."""
        gain = now - before
        ahead = (side * self.nodes * math.sqrt(before) + side * drift * gain - limit * math.sqrt(now)) / math.sqrt(gain)
        return float(self.mass @ special.ndtr(ahead))

    def step(self, before: float, now: float, limit: float, drift: float) -> "_State":
        """The state after the next look, crossings left out."""
        gain = now - before
        centre = drift * math.sqrt(now)
        low, high = max(-limit, centre - _FURTHEST), min(limit, centre + _FURTHEST)
        if not low < high:
            return _State(np.zeros(1), np.zeros(1))
        # two nodes per standard deviation of the step, of which Gauss-Legendre makes about 1e-8
        count = max(32, math.ceil(2.5 * (high - low) * math.sqrt(now / gain)))
        x, weight = _legendre(count)
        nodes = (low + high) / 2 + (high - low) / 2 * x
        ahead = (nodes[:, None] * math.sqrt(now) - self.nodes * math.sqrt(before) - drift * gain) / math.sqrt(gain)
        density = np.exp(-ahead * ahead / 2) @ self.mass * math.sqrt(now / gain / (2 * math.pi))
        return _State(nodes, density * weight * (high - low) / 2)


class _Run(NamedTuple):
    """A computation of boundaries up to some look, from which the next look goes on."""

    found: tuple[float, ...]
    already: float
    """Spent so far, both sides."""
    state: _State


_RUNS: dict[tuple[tuple[float, ...], tuple[float, ...], float, Spending], _Run] = {}
"""By looks, clock, alpha and kind: a test that is looked at again and again integrates each of its looks once."""

_MOST_RUNS = 128


def _bounds(fractions: tuple[float, ...], clock: tuple[float, ...], alpha: float, kind: Spending) -> tuple[float, ...]:
    count = len(fractions)

    def key(looks: int) -> tuple[tuple[float, ...], tuple[float, ...], float, Spending]:
        return fractions[:looks], clock[:looks], alpha, kind

    steps, run, known = _steps(fractions), _Run((), 0.0, _State.start()), 0
    for looks in (count, count - 1) if count else ():
        if (kept := _RUNS.pop(key(looks), None)) is not None:
            run, known = kept, looks
            _RUNS[key(looks)] = kept  # the last that was used is the last that is forgotten
            break
    (*found,), already, state = run
    for k in range(known, count):
        allowed = (spent(clock[k], alpha, kind) - already) / 2
        already += 2 * allowed
        limit = _limit(state, *steps[k], allowed)
        found.append(limit)
        state = state.step(*steps[k], limit, 0.0)
        if k >= count - 2:  # the look before the last, too: where nothing comes, only the clock of the last one moves
            _RUNS[key(k + 1)] = _Run(tuple(found), already, state)
    for old in list(_RUNS)[:-_MOST_RUNS]:
        _RUNS.pop(old, None)
    return tuple(found)


def _limit(state: _State, before: float, now: float, allowed: float) -> float:
    """The boundary beyond which there is this probability on one side."""
    if allowed < _LEAST:
        return math.inf

    def excess(c: float) -> float:
        return math.log(max(state.beyond(before, now, c, 0.0), 1e-300)) - math.log(allowed)

    return float(scipy.optimize.brentq(excess, 0.0, _FURTHEST, xtol=1e-10))


def _steps(fractions: Sequence[float]) -> list[tuple[float, float]]:
    """Information before and at each look."""
    times = [float(t) for t in fractions]
    steps = list(pairwise([0.0, *times]))
    for k, (before, now) in enumerate(steps):
        if not (math.isfinite(now) and now - before > CLOSEST * now):
            raise ValueError(
                f"look {k + 1} is at {now} of the planned information, after {before}; each must be above the one before by"
                f" more than {CLOSEST:g} of itself: leave out looks that add nothing"
            )
    return steps


@lru_cache(maxsize=256)
def _legendre(count: int) -> tuple[Floats, Floats]:
    x, weight = special.roots_legendre(count)
    return np.asarray(x), np.asarray(weight)


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha} must be between 0 and 1, both excluded")
