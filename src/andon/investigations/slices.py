"""Which slice of the traffic carries the harm? Every slice of up to three attributes, scanned against its own baseline.

Pure. The traffic comes as *cells*: one for each combination of values that occurs, with harm before and since the onset.
For a slice S and a rise R of the odds the cells of S tell ``W(S, R) = sum of log f(x | n, R) / f(x | n, 1)``: how much
better "this slice rose by R" explains them than "nothing rose". f is beta-binomial, because

- the rate before is known from few interactions (shrunken towards that of all cells, by their own spread),
- rates wander without a cause (the dispersion that the quiet half of the cells shows), and
- a rise is not the same in every cell of a slice.

Averaged over R, and with a prior that holds slices of one, two and three attributes for equally probable, that is the
Bayes factor of the slice. A cell that stayed quiet speaks against every slice that holds it, and a cell that rose speaks
for it: so the best slice is the largest one that rose as a whole, neither a part of it nor more than it. What it explains
is taken out before the next one is looked for, and "all the rest rose alike" always competes.

Source: Neill & Cooper, *A multivariate Bayesian scan statistic for early event detection and characterization*, Machine
Learning 79 (2010), 261-282 (Gamma-Poisson; here beta-binomial, over attributes instead of places). The design, measured on
real incidents: `docs/methods/slices.md`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.special import betaln, expit, logit, logsumexp, ndtri

from andon import stats
from andon.investigations.records import HarmedSlice

__all__ = ["SURE", "Cells", "find_slices", "group_rows"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RISES = (1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 30.0, 100.0)
"""Rises of the odds of harm that are held for equally probable. A rise of less than about a quarter is not looked for: with
millions of interactions the ordinary wandering of a rate would be found everywhere."""

SPREADS = (0.0, 0.5)
"""By how much of itself the rise differs from cell to cell of one slice."""

ATTRIBUTES = 3
"""Most attributes of a slice."""

SURE = 3.0
"""Log odds from which a slice is told: 20 to 1. If nothing rose, one scan in 20 tells one at most (Markov's inequality)."""

MOST_RISE = 1e6
"""Greatest rise of the odds of all traffic that is looked for: harm that nobody saw before is known to be rare, not how rare."""

CHANCE = 0.05
"""Probability at most that a scan tells a slice which has no more harm than the rest, and rose no more than the rest."""

LEAST = 5
"""Fewer harmed interactions than this are single cases, not a slice."""

HALF = 0.4549
"""Median of chi-squared with one degree of freedom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Harm before and since the onset, by each combination of values that occurs; k cells of f fields."""

    fields: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    """Values of each field."""
    codes: Ints
    """Shape (k, f): position of the cell's value among those of the field; -1 where it has none."""
    before_x: Floats
    """Harmed interactions, shape (k,); with sampling, as many as the rows are evidence for."""
    before_n: Floats
    after_x: Floats
    after_n: Floats


def find_slices(cells: Cells, baseline: float, limit: int = 5) -> tuple[HarmedSlice, ...]:
    """The slices that carry the harm, the surest first; empty when none does, or when all traffic rose alike.

    Each explains what those before it do not: a slice is told where its rate since the onset, or its rise, is surely above
    that of the rest of the traffic without the slices before it (see `_stands_out`). The time is that of one pass over the cells for each of the slices of
    attributes, times 16: about a second for 250,000 cells of seven fields.

    Args:
        cells: see `Cells`; a value that was not there before is held against the cells that share its other values.
        baseline: rate of harm to expect where nothing was seen before.
        limit: how many are returned.
    """
    seen = cells.after_n > 0
    if not seen.any() or not cells.fields:
        return ()
    rates, known = _rates(cells, baseline)
    x, n = np.minimum(cells.after_x, cells.after_n)[seen], cells.after_n[seen]
    wander = np.minimum(_dispersion(x, n, rates[seen]) + 1 / (known[seen] + 1), 0.9)
    slices = _slices(cells.codes[seen], x)
    risen, scan = _background(cells.codes[seen], slices, x, n, rates[seen], wander)
    expected = _risen(rates, risen) * cells.after_n
    found: list[HarmedSlice] = []
    rest = np.ones(len(cells.after_n), dtype=bool)
    for _ in range(2 * limit):
        where, score = scan.best()
        if score < SURE or len(found) == limit:
            break
        inside = _inside(cells.codes, where)
        if _stands_out(cells, rates, inside, rest & ~inside, scan.among[len(where)]):
            found.append(_described(cells, expected, where, score))
            rest &= ~inside
        scan.explain(where)
    return tuple(found)


def _stands_out(
    cells: Cells, rates: Floats, inside: NDArray[np.bool_], outside: NDArray[np.bool_], among: float
) -> bool:
    """Whether harm since the onset, or its rise, is surely greater in a slice than outside of it.

    Rates since the onset are compared by the interval of Newcombe (`andon.stats.difference`), rises by the interval of the
    ratio of the odds ratios (logit method, 0.5 added to each count: Gart, JRSS B 24 (1962), 454-463), both at
    ``1 - 0.05 / (3 x slices with as many attributes)``, as the slice was chosen among so many (Bonferroni). The rate before is that of the scan, which is
    borrowed where the slice is new. Where there is nothing outside, nothing can be compared.
    """
    (x1, n1, x2, n2), (y1, m1, y2, m2) = (_sides(cells, rates, part) for part in (inside, outside))
    if m2 < 1 or n2 < 1:
        return True
    level = 1 - CHANCE / (ATTRIBUTES * max(among, 1.0))
    if stats.difference(round(y2), round(m2), round(x2), round(n2), level)[1] > 0:
        return True
    rise, variance = 0.0, 0.0
    for sign, x, n in ((1, x2, n2), (-1, x1, n1), (-1, y2, m2), (1, y1, m1)):
        rise += sign * float(np.log((x + 0.5) / (n - x + 0.5)))
        variance += 1 / (x + 0.5) + 1 / (n - x + 0.5)
    return bool(rise > ndtri(0.5 + level / 2) * variance**0.5)


def _sides(cells: Cells, rates: Floats, part: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Harm and interactions before and since in a part; harm before as the mix since would have had it."""
    x2, n2 = float(cells.after_x[part].sum()), float(cells.after_n[part].sum())
    n1 = float(cells.before_n[part].sum()) or float(cells.before_n.sum())
    return n1 * float((rates * cells.after_n)[part].sum()) / max(n2, 1e-9), n1, min(x2, n2), n2


def _background(
    codes: Ints, slices: "list[_Slices]", x: Floats, n: Floats, rates: Floats, wander: Floats
) -> "tuple[float, _Scan]":
    """By how much all traffic rose alike, and the scan for slices that rose more than that.

    The pair (rise of all, best slice) that explains the cells best is taken. As a slice raises the whole, a rise of all that
    is greater than the one that explains it without any slice need not be tried. Harm that nobody saw before may have risen by
    more than any of `RISES`: then the likeliest rise of all is tried as well, or what is left of it is found in every part.
    """

    def scan(risen: float) -> _Scan:
        return _Scan(codes, slices, _told(x, n, rates, risen, wander), x - n * _risen(rates, risen))

    quiet = _log_likelihood(x, n, rates, wander)

    def gain(risen: float) -> float:
        return float((_log_likelihood(x, n, _risen(rates, risen), wander) - quiet).sum())

    gains = [gain(r) for r in RISES]
    most = int(np.argmax(gains)) + 1 if max(gains) > 0 else 0
    tried = list(zip(RISES[:most], gains[:most], strict=True))
    if most == len(RISES):
        bounds = (np.log(RISES[-1]), np.log(MOST_RISE))
        alike = float(
            np.exp(
                scipy.optimize.minimize_scalar(lambda log: -gain(float(np.exp(log))), bounds=bounds, method="bounded").x
            )
        )
        tried.append((alike, gain(alike)))
    chosen = scan(1.0)
    risen, best = 1.0, chosen.best()[1]
    for rise, gained in tried:
        other = scan(rise)
        whole = gained + max(other.best()[1], 0.0)
        if whole > best:
            risen, best, chosen = rise, whole, other
    return risen, chosen


def _described(cells: Cells, expected: Floats, where: dict[int, int], score: float) -> HarmedSlice:
    inside = _inside(cells.codes, where)
    x, n = float(cells.after_x[inside].sum()), float(cells.after_n[inside].sum())
    rest = float((cells.after_x - expected)[~inside].sum())
    excess = x - float(expected[inside].sum())
    return HarmedSlice(
        where={cells.fields[f]: cells.values[f][code] for f, code in where.items()},
        before_x=round(float(cells.before_x[inside].sum())),
        before_n=round(float(cells.before_n[inside].sum())),
        after_x=round(x),
        after_n=round(n),
        outside_x=round(float(cells.after_x.sum()) - x),
        outside_n=round(float(cells.after_n.sum()) - n),
        score=round(score, 2),
        share=round(float(np.clip(excess / (excess + max(rest, 0.0)), 0.0, 1.0)), 4) if excess > 0 else 0.0,
    )


def _rates(cells: Cells, baseline: float) -> tuple[Floats, Floats]:
    """The shrunken rate to expect in each cell, and the number of interactions that it is known from."""
    x, n = cells.before_x.copy(), cells.before_n.copy()
    total = float(n.sum())
    overall = (float(x.sum()) + 0.5) / (total + 1) if total else float(np.clip(baseline, 1e-6, 1 - 1e-6))
    strength = _strength(x, n, overall)
    if total:
        for fields, rows in _new(cells):
            at = group_rows(cells.codes[:, fields]) if fields else np.zeros(len(n), np.int64)
            x[rows], n[rows] = (np.bincount(at, v)[at[rows]] for v in (cells.before_x, cells.before_n))
    return (x + strength * overall) / (n + strength), n + strength


def _new(cells: Cells) -> Iterator[tuple[list[int], NDArray[np.bool_]]]:
    """Cells with values that were not there before the onset: (the fields whose values were there, the cells)."""
    width = len(cells.fields)
    new = np.zeros(cells.codes.shape, dtype=bool)
    for f in range(width):
        code = cells.codes[:, f] + 1
        new[:, f] = (np.bincount(code, cells.before_n, len(cells.values[f]) + 1) == 0)[code]
    for pattern in np.unique(new[new.any(axis=1)], axis=0):
        yield [f for f in range(width) if not pattern[f]], np.all(new == pattern, axis=1)


def _strength(x: Floats, n: Floats, overall: float) -> float:
    """How many interactions at the overall rate a cell starts from: by the spread of the cells, 1 to 10,000.

    Moments of the beta-binomial: ``tau2 = (sum n (r - p)^2 - (k - 1) p q) / (N - sum n^2 / N)``, ``p q / tau2 - 1``.
    Source: Kleinman, JASA 68 (1973), 46-54.
    """
    x, n = x[n > 0], n[n > 0]
    if len(n) < 2:
        return 1e4  # the cells do not show how they differ; the quiet half of them will, since the onset
    chance = overall * (1 - overall)
    over = float((n * (x / n - overall) ** 2).sum()) - (len(n) - 1) * chance
    between = over / max(float(n.sum() - (n**2).sum() / n.sum()), 1.0)
    return float(np.clip(chance / max(between, 1e-12) - 1, 1.0, 1e4))


def _dispersion(x: Floats, n: Floats, rates: Floats) -> float:
    """By how much rates wander by themselves: the correlation within a cell at which the median cell is an ordinary one.

    Half of the cells may be harmed without spoiling it. Cells that expect less than one harmed interaction tell nothing.
    """
    tells = rates * n >= 1
    if tells.sum() < 3:
        return 1e-6
    off = (x - rates * n)[tells] ** 2 / (n * rates * (1 - rates))[tells]
    grid = np.geomspace(1e-6, 0.3, 60)
    medians = np.array([np.median(off / (1 + (n[tells] - 1) * g)) for g in grid])
    return float(grid[np.argmax(medians <= HALF)]) if medians[-1] <= HALF else float(grid[-1])


def _told(x: Floats, n: Floats, rates: Floats, risen: float, wander: Floats) -> Floats:
    """What each cell tells for each rise and spread, against the rise of all, as log likelihood ratio.

    Shape (k, rises x spreads).
    """
    quiet = _log_likelihood(x, n, _risen(rates, risen), wander)
    columns = []
    for rise in RISES:
        rate = _risen(rates, risen * rise)
        for spread in SPREADS:
            within = np.clip(np.maximum(wander, spread**2 * rate / np.maximum(1 - rate, 1e-9)), 1e-9, 0.9)
            columns.append(_log_likelihood(x, n, rate, within) - quiet)
    return np.stack(columns, axis=1)


def _risen(rates: Floats, rise: float) -> Floats:
    """Rates whose odds are multiplied."""
    found: Floats = expit(logit(rates) + np.log(rise))
    return np.clip(found, 1e-9, 1 - 1e-9)


def _log_likelihood(x: Floats, n: Floats, rate: Floats, correlation: Floats) -> Floats:
    """Beta-binomial without its binomial coefficient: mean rate and correlation within the cell."""
    weight = 1 / correlation - 1
    a, b = rate * weight, (1 - rate) * weight
    found: Floats = betaln(x + a, n - x + b) - betaln(a, b)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slices:
    """All slices by the same fields that hold enough harm."""

    fields: tuple[int, ...]
    codes: Ints
    """Values of each, shape (slices, fields)."""
    at: Ints
    """Which of them holds each cell; -1 where none does."""
    among: int
    """How many slices of these fields there are, with those of too little harm."""


def _slices(codes: Ints, x: Floats) -> list[_Slices]:
    """All slices of up to three fields, those of fewer fields first."""
    width = codes.shape[1]
    return [
        _slices_by(codes, fields, x)
        for count in range(1, min(ATTRIBUTES, width) + 1)
        for fields in combinations(range(width), count)
    ]


def _slices_by(codes: Ints, fields: tuple[int, ...], x: Floats) -> _Slices:
    mine = codes[:, fields]
    whole = np.all(mine >= 0, axis=1)
    at = np.full(len(codes), -1, np.int64)
    at[whole] = group_rows(mine[whole])
    among = int(at.max(initial=-1)) + 1
    kept = np.flatnonzero(np.bincount(at[whole], x[whole], among) >= LEAST)
    place = np.full(among + 1, -1, np.int64)  # its last place is that of -1
    place[kept] = np.arange(len(kept))
    at = place[at]
    first = np.zeros(len(kept), np.int64)
    first[at[at >= 0]] = np.flatnonzero(at >= 0)
    return _Slices(fields=fields, codes=mine[first], at=at, among=among)


class _Scan:
    """What the cells tell for each slice, kept up to date while slices are explained away."""

    def __init__(self, codes: Ints, slices: list[_Slices], told: Floats, excess: Floats) -> None:
        among = np.zeros(ATTRIBUTES + 1)
        for s in slices:
            among[len(s.fields)] += s.among
        among = np.maximum.accumulate(among)  # of two names for the same cells the simpler is never less probable
        self.among, self._codes, self._slices = among, codes, slices
        self._told = np.column_stack([told, excess])
        self._prior = -np.log(np.maximum(among, 1)) - np.log(ATTRIBUTES)
        self._sums = [_sums(s.at, self._told, len(s.codes)) for s in slices]
        self._free = np.ones(len(told), dtype=bool)

    def best(self) -> tuple[dict[int, int], float]:
        """The most probable slice, as code by field, and its log odds; equal ones: the simpler."""
        where, score = {}, -np.inf
        for s, sums in zip(self._slices, self._sums, strict=True):
            if not len(sums):
                continue
            told, excess = sums[:, :-1], sums[:, -1]
            scores = logsumexp(told, axis=1) - np.log(told.shape[1]) + self._prior[len(s.fields)]
            scores[excess <= 0] = -np.inf  # rates that fell here and rose there are no rise
            at = int(np.argmax(scores))
            if scores[at] > score + 1e-9:
                where, score = dict(zip(s.fields, s.codes[at].tolist(), strict=True)), float(scores[at])
        return where, score

    def explain(self, where: dict[int, int]) -> None:
        """Take the cells of a slice out of all sums."""
        inside = self._free & _inside(self._codes, where)
        for k, s in enumerate(self._slices):
            self._sums[k] -= _sums(s.at[inside], self._told[inside], len(s.codes))
        self._free &= ~inside


def _inside(codes: Ints, where: dict[int, int]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.all([codes[:, f] == code for f, code in where.items()], axis=0)
    return found


def _sums(at: Ints, told: Floats, count: int) -> Floats:
    """Column sums of `told` by slice; cells at -1 belong to none."""
    ends = np.arange(len(at) + 1)
    member = scipy.sparse.csc_array(
        (np.ones(len(at)), at + 1, ends), shape=(count + 1, len(at))
    )  # one slice in each column
    found: Floats = np.asarray(member @ told)
    return found[1:]


def group_rows(codes: Ints) -> Ints:
    """A number from 0 for each row, the same for the same codes, as many as there are different rows."""
    key = np.zeros(len(codes), np.int64)
    for f in range(codes.shape[1]):
        column = codes[:, f] + 1
        if (int(key.max(initial=0)) + 1) * (int(column.max(initial=0)) + 1) > 2**62:  # it would overflow
            key, column = _numbered(key), _numbered(column)
        key = key * (int(column.max(initial=0)) + 1) + column
    return _numbered(key)


def _numbered(key: Ints) -> Ints:
    """The place of each key among the different ones, in their order."""
    most = int(key.max(initial=0))
    if most > 16 * len(key):
        return np.unique(key, return_inverse=True)[1].astype(np.int64).reshape(len(key))
    there = np.zeros(most + 1, dtype=np.int64)  # much faster than sorting
    there[key] = 1
    return (np.cumsum(there) - 1)[key]
